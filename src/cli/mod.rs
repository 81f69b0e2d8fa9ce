//! The command line.

pub mod reporter;
pub mod table;
