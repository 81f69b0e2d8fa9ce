//! What there is to load: the inboxes of a project, their batches, and what the ledger knows of them.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::diagnostic::Diagnostic;
use crate::executor::Project;
use crate::executor::stage::{stamp, surroundings};
use crate::landing::{self, FileEntry, FileSource};
use crate::ledger::{BatchFile, BatchOutcome, BatchRecord};
use crate::manifest::{Node, UniqueId};
use crate::relation::Relation;

/// An inbox: files in folders of batches, and the tables that they fill in one transaction.
#[derive(Clone, Debug)]
pub struct Inbox {
    /// The location up to the batch, as users write it.
    pub pattern: String,
    /// Where the files are, and where their rows go: what is leased.
    pub name: String,
    /// Its tables, parents first.
    pub tables: Vec<Arc<Node>>,
    /// Its sources.
    pub supplies: Vec<Supply>,
}

/// A source of an inbox.
#[derive(Clone, Debug)]
pub struct Supply {
    /// The source.
    pub id: UniqueId,
    /// Its files.
    pub spec: FileSource,
    /// Whether a batch without it is not whole; keys to delete need not come with each.
    pub required: bool,
    /// The table that it fills, or whose keys it deletes.
    pub table: UniqueId,
}

/// A batch.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Its name.
    pub name: String,
    /// Its files, by the place of the supply.
    pub files: BTreeMap<usize, Vec<FileEntry>>,
    /// The same for the ledger.
    pub recorded: Vec<BatchFile>,
    /// What is to be done with it.
    pub state: State,
}

/// What is to be done with a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It is loaded.
    Pending,
    /// It was loaded, and its files are as they were.
    Loaded,
    /// It was loaded, and not all its files are there any more.
    Gone,
    /// A file of these supplies lacks.
    Waiting(Vec<usize>),
    /// Its files are as broken as they were, for this reason.
    Refused(String),
}

/// What the ledger knows of an inbox.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The newest attempt at each batch, and its files.
    newest: BTreeMap<String, (BatchRecord, Vec<BatchFile>)>,
    /// The batches that were loaded at some time.
    loaded: BTreeSet<String>,
}

impl Known {
    /// From what the ledger's queries gave.
    pub fn new(records: Vec<BatchRecord>, files: Vec<BatchFile>) -> Known {
        let mut of: BTreeMap<i64, Vec<BatchFile>> = BTreeMap::new();
        for file in files {
            of.entry(file.number).or_default().push(file);
        }
        let mut known = Known::default();
        for record in records {
            if record.outcome == BatchOutcome::Loaded {
                known.loaded.insert(record.batch.clone());
            }
            let files = of.get(&record.number).cloned().unwrap_or_default();
            known.newest.insert(record.batch.clone(), (record, files));
        }
        known
    }

    /// Tells whether a batch was ever loaded.
    pub fn has_loaded(&self) -> bool {
        !self.loaded.is_empty()
    }

    /// Tells whether the same was recorded of a batch when it was tried last.
    pub fn says(&self, batch: &Batch, outcome: BatchOutcome, reason: &str) -> bool {
        self.newest.get(&batch.name).is_some_and(|(record, files)| {
            record.outcome == outcome
                && record.reason.as_deref() == Some(reason)
                && same_files(files, &batch.recorded)
        })
    }
}

fn same_files(before: &[BatchFile], now: &[BatchFile]) -> bool {
    let key = |file: &BatchFile| (file.path.clone(), file.checksum.clone());
    let set = |files: &[BatchFile]| files.iter().map(key).collect::<BTreeSet<_>>();
    set(before) == set(now)
}

/// Which batches are loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// What is new, was corrected, or was refused by the database.
    New,
    /// All of them.
    All,
}

/// Finds the inboxes that fill one of some tables; each has all its tables.
///
/// # Errors
/// Declarations of files that are not understood.
pub fn inboxes(
    project: &Project,
    wanted: &BTreeSet<UniqueId>,
) -> Result<Vec<Inbox>, Vec<Diagnostic>> {
    let manifest = &project.manifest;
    let mut tables: BTreeMap<&str, Vec<Arc<Node>>> = BTreeMap::new();
    for node in manifest.nodes.values() {
        if let Some(pattern) = pattern_of(node) {
            tables.entry(pattern).or_default().push(Arc::clone(node));
        }
    }
    let mut found = Vec::new();
    let mut wrong = Vec::new();
    for (pattern, tables) in tables {
        if tables.iter().all(|node| !wanted.contains(&node.unique_id)) {
            continue;
        }
        let schemas: BTreeSet<String> = tables
            .iter()
            .map(|node| {
                let schema = Relation {
                    identifier: None,
                    ..node.relation.clone()
                };
                schema.render(project.facts.dialect)
            })
            .collect();
        let schemas: Vec<String> = schemas.into_iter().collect();
        found.push(Inbox {
            pattern: pattern.to_owned(),
            name: format!("{pattern} into {}", schemas.join(", ")),
            supplies: supplies(project, &tables, &mut wrong),
            tables: parents_first(tables),
        });
    }
    match wrong.is_empty() {
        true => Ok(found),
        false => Err(wrong),
    }
}

/// The pattern of the inbox that fills a table.
pub fn pattern_of(node: &Node) -> Option<&str> {
    let inbox = node.upkeep.ods.as_ref()?.inbox.as_ref()?;
    Some(&inbox.pattern)
}

fn supplies(project: &Project, tables: &[Arc<Node>], wrong: &mut Vec<Diagnostic>) -> Vec<Supply> {
    let mut found: Vec<Supply> = Vec::new();
    for node in tables {
        let Some(inbox) = node.upkeep.ods.as_ref().and_then(|ods| ods.inbox.as_ref()) else {
            continue;
        };
        let read = inbox.reads.iter().map(|id| (id, true));
        let deleted = inbox.deletes.iter().map(|deletes| (&deletes.source, false));
        for (id, required) in read.chain(deleted) {
            if let Some(known) = found.iter_mut().find(|known| known.id == *id) {
                known.required |= required;
                continue;
            }
            let Some(source) = project.manifest.sources.get(id) else {
                continue;
            };
            let mut said = Vec::new();
            let spec = landing::file_source(source, project.facts.dialect, &mut said);
            wrong.extend(said.into_iter().filter(Diagnostic::is_error));
            if let Some(spec) = spec {
                found.push(Supply {
                    id: id.clone(),
                    spec,
                    required,
                    table: node.unique_id.clone(),
                });
            }
        }
    }
    found
}

/// Puts each table behind those that it refers to.
fn parents_first(mut left: Vec<Arc<Node>>) -> Vec<Arc<Node>> {
    let mut ordered: Vec<Arc<Node>> = Vec::new();
    while !left.is_empty() {
        let waits = |node: &Node| {
            let mut others = left.iter().map(|other| &other.unique_id);
            others.any(|id| *id != node.unique_id && node.depends_on.contains(id))
        };
        // The graph has no cycles, so one of them waits for none.
        let at = left
            .iter()
            .position(|node| !waits(node))
            .unwrap_or_default();
        ordered.push(left.remove(at));
    }
    ordered
}

/// Lists the batches of an inbox, in the order of their names, and says what is to be done with each.
///
/// A file is read only where its size, time or tag is not the recorded one.
///
/// # Errors
/// What the store says.
pub fn batches(
    project: &Project,
    inbox: &Inbox,
    known: &Known,
    wanted: Wanted,
) -> Result<Vec<Batch>, Box<Diagnostic>> {
    let around = surroundings(project);
    let mut listed: BTreeMap<String, BTreeMap<usize, Vec<FileEntry>>> = BTreeMap::new();
    for (at, supply) in inbox.supplies.iter().enumerate() {
        for file in landing::list(&supply.spec, around)?.files {
            let batch = listed.entry(file.partition.clone()).or_default();
            batch.entry(at).or_default().push(file);
        }
    }
    let mut found = Vec::new();
    for (name, files) in listed {
        let recorded = recorded(project, inbox, &files, known.newest.get(&name))?;
        let mut batch = Batch {
            state: State::Pending,
            name,
            files,
            recorded,
        };
        batch.state = state(inbox, &batch, known, wanted);
        found.push(batch);
    }
    for name in &known.loaded {
        if found.iter().all(|batch| batch.name != *name) {
            found.push(Batch {
                name: name.clone(),
                files: BTreeMap::new(),
                recorded: Vec::new(),
                state: State::Gone,
            });
        }
    }
    found.sort_by(|a, b| in_order(&a.name, &b.name));
    Ok(found)
}

fn recorded(
    project: &Project,
    inbox: &Inbox,
    files: &BTreeMap<usize, Vec<FileEntry>>,
    known: Option<&(BatchRecord, Vec<BatchFile>)>,
) -> Result<Vec<BatchFile>, Box<Diagnostic>> {
    let mut rows = Vec::new();
    for (at, files) in files {
        for file in files {
            let size = i64::try_from(file.size).unwrap_or(i64::MAX);
            let stamp = stamp(file);
            let mut before = known.iter().flat_map(|(_, files)| files);
            let same =
                before.find(|row| row.path == file.path && row.size == size && row.stamp == stamp);
            let checksum = match same {
                Some(row) => row.checksum.clone(),
                None => landing::checksum(&inbox.supplies[*at].spec, surroundings(project), file)?,
            };
            rows.push(BatchFile {
                number: 0,
                path: file.path.clone(),
                size,
                stamp,
                checksum,
                rows: None,
            });
        }
    }
    Ok(rows)
}

fn state(inbox: &Inbox, batch: &Batch, known: &Known, wanted: Wanted) -> State {
    let supplies = inbox.supplies.iter().enumerate();
    let required: Vec<usize> = supplies
        .filter(|(_, supply)| supply.required)
        .map(|(at, _)| at)
        .collect();
    let missing: Vec<usize> = required
        .iter()
        .copied()
        .filter(|at| !batch.files.contains_key(at))
        .collect();
    // Keys to delete may come alone.
    let whole = missing.is_empty() || missing.len() == required.len();
    let before = known.newest.get(&batch.name);
    let was_loaded = known.loaded.contains(&batch.name);
    // What vanishes of a batch is no change of it.
    let unchanged = before.is_some_and(|(_, files)| {
        batch.recorded.iter().all(|now| {
            let mut files = files.iter();
            files.any(|was| was.path == now.path && was.checksum == now.checksum)
        })
    });
    let fewer = before.is_some_and(|(_, files)| files.len() > batch.recorded.len());
    match before {
        _ if !whole && was_loaded && unchanged => State::Gone,
        _ if !whole => State::Waiting(missing),
        Some((record, _)) if unchanged && wanted == Wanted::New => match record.outcome {
            BatchOutcome::Loaded if fewer => State::Gone,
            BatchOutcome::Loaded => State::Loaded,
            BatchOutcome::Refused => State::Refused(record.reason.clone().unwrap_or_default()),
            BatchOutcome::Failed => State::Pending,
        },
        _ => State::Pending,
    }
}

/// The order of batches: by name, where numbers count as numbers, so that 10 stands behind 9.
pub fn in_order(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a, b);
    loop {
        let (first, second) = match (left.chars().next(), right.chars().next()) {
            (Some(first), Some(second)) => (first, second),
            (first, second) => return first.cmp(&second).then_with(|| a.cmp(b)),
        };
        let ordered = if first.is_ascii_digit() && second.is_ascii_digit() {
            let (one, more) = number(left);
            let (other, rest) = number(right);
            (left, right) = (more, rest);
            one.len().cmp(&other.len()).then_with(|| one.cmp(other))
        } else {
            (left, right) = (&left[first.len_utf8()..], &right[second.len_utf8()..]);
            first.cmp(&second)
        };
        if ordered != Ordering::Equal {
            return ordered;
        }
    }
}

/// The digits that a text begins with, without leading zeros, and what follows.
fn number(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    (text[..end].trim_start_matches('0'), &text[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_count_as_numbers() {
        let sorted = [
            "2026-11-01-1",
            "2026-11-01-2",
            "2026-11-01-10",
            "2026-11-02-1",
            "2026-11-02-01x",
            "a",
            "a1",
            "a01b",
            "a2",
            "ä",
        ];
        for (at, name) in sorted.iter().enumerate() {
            for (other_at, other) in sorted.iter().enumerate() {
                assert_eq!(in_order(name, other), at.cmp(&other_at), "{name} {other}");
            }
        }
        assert_ne!(in_order("01", "1"), Ordering::Equal);
    }
}
