//! The files of sources, loaded into tables of the session that reads them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Project;
use super::look::Seen;
use super::session::Session;
use crate::calendar::PartitionRange;
use crate::diagnostic::{Code, Diagnostic};
use crate::ledger::{FileRow, RelationId};
use crate::manifest::partitioning::Partitioning;
use crate::manifest::{Node, Source};
use crate::relation::Relation;

/// A source and its files.
#[derive(Clone, Debug)]
pub struct SourceFiles {
    /// The source.
    pub source: Arc<Source>,
    /// Its files, by partition.
    pub files: BTreeMap<i32, Vec<String>>,
}

/// Loads the files of some partitions; returns the table that holds their rows.
///
/// # Errors
/// Files that do not match the declared columns, and what the database says.
pub fn load(
    _: &Arc<Project>,
    _: &Arc<Session>,
    _: &Node,
    files: &SourceFiles,
    _: PartitionRange,
) -> Result<Relation, Box<Diagnostic>> {
    let message = format!("the files of `{}` cannot be read yet", files.source.name);
    Err(Box::new(Diagnostic::error(Code::Unsupported, message)))
}

/// Lists a source's files, and tells which versions its partitions have.
///
/// # Errors
/// A declaration that is not understood, and what the store says.
pub fn list(
    _: &Arc<Project>,
    source: &Arc<Source>,
    _: &Partitioning,
    _: RelationId,
    _: &[&FileRow],
) -> Result<(SourceFiles, Vec<Seen>), Vec<Diagnostic>> {
    let message = format!("the files of `{}` cannot be read yet", source.name);
    Err(vec![Diagnostic::error(Code::Unsupported, message)])
}
