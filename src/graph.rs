//! Who depends on whom, as a directed graph.
