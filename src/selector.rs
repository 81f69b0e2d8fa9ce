//! `--select` and `--exclude`: from words to nodes.
