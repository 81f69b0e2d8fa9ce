//! The files of sources: which versions of them there are, and their rows in tables of the session
//! that reads them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Project;
use super::look::Seen;
use super::session::Session;
use crate::calendar::{Mapping, PartitionRange};
use crate::diagnostic::Diagnostic;
use crate::dialect::Dialect;
use crate::landing::{self, Destination, FileEntry, FileSource, LoadFailure, Surroundings};
use crate::ledger::{self, FileRow, RelationId};
use crate::manifest::Source;
use crate::manifest::partitioning::Partitioning;
use crate::relation::Relation;

/// A source and its files.
#[derive(Clone, Debug)]
pub struct SourceFiles {
    /// How its files are read.
    pub spec: FileSource,
    /// Its files, by partition.
    pub files: BTreeMap<i32, Vec<FileEntry>>,
}

/// Where the locations of a project's sources begin.
pub fn surroundings(project: &Project) -> Surroundings<'_> {
    Surroundings {
        root: &project.root,
        environment: &project.facts.environment,
    }
}

/// When a file was written, and the store's tag, as the ledger keeps them.
pub fn stamp(file: &FileEntry) -> String {
    let tag = file.etag.as_deref().unwrap_or_default();
    format!("{} {tag}", file.modified)
}

/// Lists a source's files, and tells which versions its partitions have.
///
/// A file is read only where its size, time or tag is not the recorded one.
///
/// # Errors
/// A declaration that is not understood, and what the store says.
pub fn list(
    project: &Project,
    source: &Source,
    cut: &Partitioning,
    relation: RelationId,
    known: &[&FileRow],
) -> Result<(SourceFiles, Vec<Seen>), Vec<Diagnostic>> {
    let mut found = Vec::new();
    let Some(spec) = landing::file_source(source, project.facts.dialect, &mut found) else {
        found.retain(Diagnostic::is_error);
        return Err(found);
    };
    let around = surroundings(project);
    let listing = landing::list(&spec, around).map_err(|wrong| vec![wrong])?;
    let mut files: BTreeMap<i32, Vec<FileEntry>> = BTreeMap::new();
    for file in listing.files {
        let partition = cut.calendar.granularity.parse_key(&file.partition);
        if let Some(partition) = partition.filter(|part| *part >= cut.calendar.begin) {
            files.entry(partition).or_default().push(file);
        }
    }
    let known: BTreeMap<(i32, &str), &FileRow> = known
        .iter()
        .map(|row| ((row.partition, row.path.as_str()), *row))
        .collect();
    let mut seen = Vec::new();
    for (&partition, files) in &files {
        let mut rows = Vec::new();
        for file in files {
            let size = i64::try_from(file.size).unwrap_or(i64::MAX);
            let stamp = stamp(file);
            let same = known
                .get(&(partition, file.path.as_str()))
                .filter(|row| row.size == size && row.stamp == stamp);
            let checksum = match same {
                Some(row) => row.checksum.clone(),
                None => landing::checksum(&spec, around, file).map_err(|wrong| vec![wrong])?,
            };
            rows.push(FileRow {
                relation,
                partition,
                path: file.path.clone(),
                size,
                stamp,
                checksum,
            });
        }
        let pairs = rows
            .iter()
            .map(|row| (row.path.as_str(), row.checksum.as_str()));
        let version = landing::version(pairs);
        seen.push(Seen {
            partition,
            content: ledger::hash64(&["files", &version]),
            rows: 0,
            files: rows,
        });
    }
    Ok((SourceFiles { spec, files }, seen))
}

/// Whose rows a staging table holds: what a model is built from outlives the tests that judge it.
///
/// A model may read a source by several mappings, each of which has a table of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StagedFor {
    /// A model that is built, by a mapping.
    Model(Mapping),
    /// The ephemeral models in a model that is built.
    Inlined,
    /// A test that reads the source.
    Test,
}

/// The table that holds the rows of a source's files for a reader.
pub fn staging(dialect: &Dialect, source: &Source, reader: StagedFor) -> Relation {
    let name = format!("{}.{}", source.source_name, source.name);
    named(dialect, reader, &name)
}

/// The same for tests, of a source's files.
pub fn staged_for_test(dialect: &Dialect, source: &SourceFiles) -> Relation {
    named(dialect, StagedFor::Test, &source.spec.name)
}

fn named(dialect: &Dialect, reader: StagedFor, source: &str) -> Relation {
    let stem = match reader {
        StagedFor::Model(Mapping::Same) => String::new(),
        StagedFor::Model(Mapping::Window(from, to)) => {
            format!("window_{from}_{to}_").replace('-', "m")
        }
        StagedFor::Model(Mapping::Upto) => "upto_".to_owned(),
        StagedFor::Model(Mapping::All) => "all_".to_owned(),
        StagedFor::Inlined => "inlined_".to_owned(),
        StagedFor::Test => "tested_".to_owned(),
    };
    let name = source.replace('.', "_");
    landing::staging(dialect, &format!("__daygrain__{stem}{name}"))
}

/// Loads the files of some partitions; returns the table that holds their rows.
///
/// # Errors
/// Files that do not match the declared columns, and what the database says.
pub fn load(
    project: &Project,
    session: &Arc<Session>,
    source: &SourceFiles,
    wanted: PartitionRange,
    reader: StagedFor,
) -> Result<Relation, Box<Diagnostic>> {
    let files: Vec<FileEntry> = source
        .files
        .iter()
        .filter(|(partition, _)| wanted.contains(**partition))
        .flat_map(|(_, files)| files.iter().cloned())
        .collect();
    let staging = named(project.facts.dialect, reader, &source.spec.name);
    let into = Destination {
        warehouse: &**session,
        dialect: project.facts.dialect,
        staging: &staging,
    };
    match landing::load(
        &source.spec,
        surroundings(project),
        &files,
        into,
        &project.readers,
    ) {
        Ok(_) => Ok(staging),
        Err(LoadFailure::Whole(wrong)) => Err(wrong),
        Err(LoadFailure::Partitions(wrong)) => {
            let all = wrong.into_values().flatten().collect();
            let first = landing::joined(all).unwrap_or_else(|| {
                let message = format!("the files of `{}` cannot be read", source.spec.name);
                Diagnostic::error(crate::diagnostic::Code::BadCsv, message)
            });
            Err(Box::new(first))
        }
    }
}
