//! What the ledger remembers beside the newest builds, asked for when reasons are told: what builds
//! read, and in which files a source differs.

use std::collections::{BTreeMap, BTreeSet};

use super::look::Sight;
use super::session::Session;
use crate::diagnostic::Diagnostic;
use crate::jinja::Warehouse;
use crate::jinja::port::{Fetch, Transaction};
use crate::ledger::{self, FileRow};
use crate::planner::board::{Board, ItemKind, Status, Why};
use crate::planner::causes::{Cause, FileFate, Recall, SourceChange, causes};
use crate::table::Table;

/// So many numbers stand in one query.
const CHUNK: usize = 500;

/// Asks for all that the reasons of a board's stale partitions need.
///
/// # Errors
/// What the database says.
pub fn recall(session: &Session, sight: &Sight) -> Result<Recall, Box<Diagnostic>> {
    let mut recall = Recall {
        unknown: sight.unknown.clone(),
        ..Recall::default()
    };
    if !sight.ledger_exists {
        return Ok(recall);
    }
    let board = &sight.board;
    let stale = stale_by_inputs(board);
    for chunk in stale.chunks(CHUNK) {
        let builds: Vec<i64> = chunk.iter().map(|(_, _, build)| *build).collect();
        let table = fetch(session, &sight.ledger.read_inputs(&builds))?;
        for input in ledger::inputs(&table) {
            recall.inputs.entry(input.build).or_default().push(input);
        }
    }
    let mut changed: BTreeMap<usize, BTreeSet<i32>> = BTreeMap::new();
    for (at, partition, _) in stale {
        for cause in causes(board, &recall, at, partition) {
            if let Cause::Changed { item, parts, .. } = cause
                && board.items[item].kind == ItemKind::Seen
            {
                changed.entry(item).or_default().extend(parts);
            }
        }
    }
    for (item, parts) in changed {
        let parts: Vec<i32> = parts.into_iter().collect();
        for chunk in parts.chunks(CHUNK) {
            source_changes(session, sight, item, chunk, &mut recall)?;
        }
    }
    Ok(recall)
}

/// The partitions that are stale since their inputs changed, with their builds.
fn stale_by_inputs(board: &Board) -> Vec<(usize, i32, i64)> {
    let mut found = Vec::new();
    for at in 0..board.items.len() {
        for partition in board.range(at).iter() {
            let status = board.status(at, partition);
            let counts = !matches!(status, Status::Fresh | Status::OlderCode);
            if counts
                && status.why() == Some(&Why::Inputs)
                && let Some(record) = board.histories[at].record(partition)
            {
                found.push((at, partition, record.build));
            }
        }
    }
    found
}

/// In what some partitions of a source differ from what was there before.
fn source_changes(
    session: &Session,
    sight: &Sight,
    item: usize,
    parts: &[i32],
    recall: &mut Recall,
) -> Result<(), Box<Diagnostic>> {
    let relation = sight.board.items[item].relation;
    let counted = fetch(session, &sight.ledger.count_builds(relation, parts))?;
    let builds: BTreeMap<i32, i64> = counted
        .rows
        .iter()
        .map(|row| {
            let part = i32::try_from(ledger::number(row, 0)).unwrap_or_default();
            (part, ledger::number(row, 1))
        })
        .collect();
    let table = fetch(session, &sight.ledger.read_files_of(relation, parts))?;
    let mut versions: BTreeMap<i32, BTreeMap<i64, Vec<FileRow>>> = BTreeMap::new();
    for (build, file) in ledger::file_versions(&table) {
        let of_part = versions.entry(file.partition).or_default();
        of_part.entry(build).or_default().push(file);
    }
    for part in parts {
        let record = sight.board.histories[item].record(*part);
        let unrecorded = record.is_some_and(|record| record.version < 0);
        let known = builds.get(part).copied().unwrap_or(0);
        let seen_before = if unrecorded { 1 } else { 2 };
        let mut newest = versions.remove(part).unwrap_or_default().into_iter().rev();
        let files = if unrecorded {
            let now = files_now(sight, item, *part);
            newest
                .next()
                .map(|(_, before)| differences(&before, &now))
                .unwrap_or_default()
        } else {
            match (newest.next(), newest.next()) {
                (Some((_, now)), Some((_, before))) => differences(&before, &now),
                _ => Vec::new(),
            }
        };
        let change = SourceChange {
            is_new: known < seen_before,
            files,
        };
        recall.sources.insert((item, *part), change);
    }
    Ok(())
}

/// The files of a source's partition as they are now, without their checksums.
fn files_now(sight: &Sight, item: usize, partition: i32) -> Vec<FileRow> {
    let files = sight.files.get(&item);
    let files = files.and_then(|files| files.files.get(&partition));
    files
        .into_iter()
        .flatten()
        .map(|file| FileRow {
            relation: sight.board.items[item].relation,
            partition,
            path: file.path.clone(),
            size: i64::try_from(file.size).unwrap_or(i64::MAX),
            stamp: super::stage::stamp(file),
            checksum: String::new(),
        })
        .collect()
}

/// The files that are not the same before and after.
pub fn differences(before: &[FileRow], after: &[FileRow]) -> Vec<(String, FileFate)> {
    let same = |one: &FileRow, other: &FileRow| match one.checksum.is_empty() {
        true => (one.size, &one.stamp) == (other.size, &other.stamp),
        false => one.checksum == other.checksum,
    };
    let mut found: Vec<(String, FileFate)> = Vec::new();
    for file in after {
        let fate = match before.iter().find(|known| known.path == file.path) {
            None => FileFate::New,
            Some(known) if !same(file, known) => FileFate::Changed,
            Some(_) => continue,
        };
        found.push((file.path.clone(), fate));
    }
    for file in before {
        if !after.iter().any(|other| other.path == file.path) {
            found.push((file.path.clone(), FileFate::Gone));
        }
    }
    found
}

/// The rows of a query.
pub fn fetch(session: &Session, sql: &str) -> Result<Table, Box<Diagnostic>> {
    let outcome = session.query(sql, Transaction::AsIs, Fetch::Rows)?;
    Ok(outcome.table)
}
