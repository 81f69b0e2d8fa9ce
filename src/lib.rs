//! daygrain compiles Jinja SQL models and builds them day by day.
//!
//! One pipe, of which every command is a prefix or a variant:
//!
//! ```text
//! argv -> settings -> load -> parse -> graph -> select -> look -> plan -> execute -> report -> exit code
//! ```
//!
//! The modules stand on floors, and a file imports from its own floor or from lower ones only
//! (`tests/integration/floors.rs` keeps that):
//!
//! | floor | modules |
//! |---|---|
//! | 0 | [`source`], [`diagnostic`], [`yaml`], [`dialect`], [`calendar`], [`relation`], [`table`], [`microbatch`], [`files`], [`secrets`] |
//! | 1 | [`config`], [`loader`] |
//! | 2 | [`jinja`], [`sql`], [`adapter`]: none of the three imports another |
//! | 3 | [`manifest`], [`graph`], [`selector`] |
//! | 4 | [`ledger`], [`planner`] |
//! | 5 | [`executor`], [`landing`] |
//! | 6 | [`artifacts`] |
//! | 7 | [`cli`] |

pub mod adapter;
pub mod artifacts;
pub mod calendar;
pub mod cli;
pub mod config;
pub mod diagnostic;
pub mod dialect;
pub mod executor;
pub mod files;
pub mod graph;
pub mod jinja;
pub mod landing;
pub mod ledger;
pub mod loader;
pub mod manifest;
pub mod microbatch;
pub mod planner;
pub mod relation;
pub mod secrets;
pub mod selector;
pub mod source;
pub mod sql;
pub mod table;
pub mod yaml;
