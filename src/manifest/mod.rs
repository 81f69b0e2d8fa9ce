//! What a project consists of: nodes, sources, macros, and how they depend on each other.
//!
//! [`parse`] makes a [`Manifest`] of loaded files, with every diagnostic it can find. What templates
//! see of it has dbt's shapes ([`json`]). Nothing here talks to a database.

mod exports;
#[cfg(test)]
pub mod fixture;
mod inline;
pub mod json;
pub mod kwargs;
pub mod node;
pub mod ods;
mod parse;
pub mod partitioning;

pub use exports::{Export, ExportMode};
pub use inline::inline_node;
pub use node::*;
pub use parse::{Connection, parse};

use std::sync::Arc;

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;

/// Things by their unique ids.
pub type ById<T> = IndexMap<UniqueId, Arc<T>, FxBuildHasher>;

/// Everything that was parsed.
#[derive(Debug, Default)]
pub struct Manifest {
    /// The root project's name.
    pub project: Arc<str>,
    /// Models, seeds, tests, analyses, operations (`on-run-start`): enabled ones, by unique id, sorted.
    pub nodes: ById<Node>,
    /// Sources, by unique id, sorted.
    pub sources: ById<Source>,
    /// What writes the files of sources, by the source's unique id, sorted.
    pub exports: ById<Export>,
    /// Macros, by unique id, sorted.
    pub macros: ById<Macro>,
    /// Blocks of `{% docs %}`, by unique id, sorted.
    pub docs: ById<DocBlock>,
    /// Nodes that their config disabled, and tests of what is not there.
    pub disabled: ById<Node>,
    /// Sources that their config disabled.
    pub disabled_sources: ById<Source>,
}
