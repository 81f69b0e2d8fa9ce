//! The run: nodes in order, on several sessions at once.

pub mod event;
