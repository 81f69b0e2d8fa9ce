//! The sources that have versions: files are listed, tables are probed, and what is new is recorded.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;

use crate::calendar::PartitionRange;
use crate::diagnostic::{Code, Diagnostic};
use crate::executor::publish::partition_of;
use crate::executor::stage::{self, SourceFiles};
use crate::jinja::context::relation_value;
use crate::jinja::{Value, Warehouse};
use crate::ledger::{
    self, Build, FileRow, History, MOST_RECORDS, Outcome, Record, RecordState, RunFacts,
};
use crate::planner::board::{Item, ItemKind};
use crate::table::Datum;

use super::store::{Read, Store};
use super::{Ask, Look, civil_text};

/// Looks at the sources that have versions: lists files, probes tables, and records what is new.
pub(super) fn sources(
    store: &Store<'_>,
    items: &[Item],
    histories: &mut [History],
    read: &Read,
    facts: &RunFacts,
    ask: &Ask,
) -> Result<HashMap<usize, Arc<SourceFiles>>, Vec<Diagnostic>> {
    let mut files = HashMap::new();
    let mut wrong = Vec::new();
    for (at, item) in items.iter().enumerate() {
        let (Some(cut), Some(source)) = (
            item.cut.as_ref().filter(|_| item.kind == ItemKind::Seen),
            store.project.manifest.sources.get(&item.id),
        ) else {
            continue;
        };
        let known: Vec<&FileRow> = read
            .files
            .iter()
            .filter(|row| row.relation == item.relation)
            .collect();
        let seen = if source.has_files() {
            match stage::list(store.project, source, cut, item.relation, &known) {
                Ok((found, seen)) => {
                    files.insert(at, Arc::new(found));
                    seen
                }
                Err(found) => {
                    wrong.extend(found);
                    continue;
                }
            }
        } else {
            match probe(store, source, cut, &histories[at], ask) {
                Ok(seen) => seen,
                Err(found) => {
                    wrong.push(*found);
                    continue;
                }
            }
        };
        // What lies before the source's retention is as it was, whatever is left of it.
        let kept = cut.first_retained(ask.as_of);
        let seen = seen.into_iter().filter(|seen| seen.partition >= kept);
        let seen = (seen.collect(), kept);
        if let Err(found) = take_seen(store, item, &mut histories[at], seen, facts) {
            wrong.push(*found);
        }
    }
    match wrong.is_empty() {
        true => Ok(files),
        false => Err(wrong),
    }
}

/// What a look at a source found of one partition.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Which.
    pub partition: i32,
    /// What tells one version of it from another.
    pub content: i64,
    /// How many rows it has, where known.
    pub rows: i64,
    /// The files that it consists of.
    pub files: Vec<FileRow>,
}

/// Compares what a source has with what the ledger knows; new versions get numbers of their own.
fn take_seen(
    store: &Store<'_>,
    item: &Item,
    history: &mut History,
    (seen, kept): (Vec<Seen>, i32),
    facts: &RunFacts,
) -> Result<(), Box<Diagnostic>> {
    let there: BTreeSet<i32> = seen.iter().map(|seen| seen.partition).collect();
    let changed: Vec<Seen> = seen
        .into_iter()
        .filter(|seen| {
            history.record(seen.partition).is_none_or(|record| {
                record.content != seen.content || record.state != RecordState::Seen
            })
        })
        .collect();
    let gone: Vec<(i32, Record)> = history
        .records()
        .filter(|(part, record)| {
            record.state == RecordState::Seen && *part >= kept && !there.contains(part)
        })
        .collect();
    let count = changed.len() + gone.len();
    if count == 0 {
        return Ok(());
    }
    let numbers: Vec<i64> = match store.mode {
        Look::Recording => {
            let table = store.fetch(&store.ledger.take_numbers(count))?;
            table
                .rows
                .iter()
                .map(|row| ledger::number(row, 0))
                .collect()
        }
        // Only for the eyes of this command: no build has such a number.
        Look::Reading => (1..=count as i64).map(|number| -number).collect(),
    };
    let mut numbers = numbers.into_iter();
    let (mut builds, mut files) = (Vec::new(), Vec::new());
    for seen in changed {
        let number = numbers.next().unwrap_or_default();
        let before = history.record(seen.partition);
        // What comes back counts as new: what reads everything may have been built without it.
        let version = before
            .filter(|before| before.content == seen.content && before.state == RecordState::Seen)
            .map_or(number, |before| before.version);
        let record = Record {
            build: number,
            state: RecordState::Seen,
            code: 0,
            inputs: 0,
            version,
            content: seen.content,
            rows: seen.rows,
        };
        builds.push(build_of(item, seen.partition, Outcome::Seen, &record));
        files.extend(seen.files.into_iter().map(|file| (number, file)));
        history.set(seen.partition, record);
    }
    for (partition, record) in gone {
        let record = Record {
            build: numbers.next().unwrap_or_default(),
            state: RecordState::Expired,
            ..record
        };
        builds.push(build_of(item, partition, Outcome::Expired, &record));
        history.set(partition, record);
    }
    if store.mode == Look::Reading {
        return Ok(());
    }
    let now = civil_text(Timestamp::now());
    store.session.begin()?;
    store.run(
        &store.ledger.add_relation(
            item.relation,
            &item.physical,
            &item
                .cut
                .as_ref()
                .map_or_else(String::new, |cut| cut.shape()),
        ),
    )?;
    for chunk in builds.chunks(MOST_RECORDS) {
        store.run(&store.ledger.add_builds(chunk, facts, &now))?;
    }
    for chunk in files.chunks(500) {
        if let Some(sql) = store.ledger.add_files(chunk) {
            store.run(&sql)?;
        }
    }
    store.session.commit()
}

fn build_of(item: &Item, partition: i32, outcome: Outcome, record: &Record) -> Build {
    Build {
        number: record.build,
        relation: item.relation,
        partition,
        outcome,
        code: 0,
        inputs: 0,
        version: record.version,
        content: record.content,
        rows: record.rows,
        reason: None,
        query_id: None,
    }
}

/// Counts a table that somebody else loads, by partition; days up to the newest one that has rows
/// are there, also where they are empty.
fn probe(
    store: &Store<'_>,
    source: &crate::manifest::Source,
    cut: &crate::manifest::partitioning::Partitioning,
    history: &History,
    ask: &Ask,
) -> Result<Vec<Seen>, Box<Diagnostic>> {
    let field = source.loaded_at_field.as_deref().unwrap_or_default();
    let known = history.extent();
    // Late rows are looked for in the last partitions alone; older ones count as they were.
    let first = match known.is_empty() {
        true => cut.calendar.begin,
        false => (known.last - cut.lookback + 1).max(cut.calendar.begin),
    };
    let range = PartitionRange::new(first, i32::MAX);
    let bucket = cut.bucket(&cut.field).ok_or_else(|| {
        let message = format!(
            "the source `{}.{}` cannot be probed: a time zone lies between its column and its days",
            source.source_name, source.name
        );
        let error = Diagnostic::error(Code::Unsupported, message).at(source.span.clone());
        Box::new(error.help("give `partition_by` the column's own `timezone`"))
    })?;
    let sql = store.macro_text(
        "probe_partitions",
        &[
            relation_value(store.project.facts.dialect, &source.relation),
            Value::from(bucket),
            Value::from(field),
            Value::from(cut.predicate(&cut.field, range)),
        ],
    )?;
    let table = store.fetch(&sql)?;
    let mut counted: BTreeMap<i32, (i64, String)> = BTreeMap::new();
    for row in &table.rows {
        let part = row.first().and_then(|value| partition_of(value, cut));
        if let Some(part) = part {
            let newest = row.get(2).map(Datum::to_text).unwrap_or_default();
            counted.insert(part, (ledger::number(row, 1), newest));
        }
    }
    let newest = counted.keys().max().copied();
    let due = cut.calendar.newest_closed(ask.as_of);
    let last = newest.unwrap_or(i32::MIN);
    let mut seen: Vec<Seen> = history
        .records()
        .filter(|(part, _)| *part < first)
        .map(|(part, record)| Seen {
            partition: part,
            content: record.content,
            rows: record.rows,
            files: Vec::new(),
        })
        .collect();
    let looked = PartitionRange::new(first, last.min(due.max(last)));
    seen.extend(looked.iter().map(|part| {
        let empty = (0, String::new());
        let (rows, stamp) = counted.get(&part).unwrap_or(&empty);
        Seen {
            partition: part,
            content: ledger::hash64(&["probe", &rows.to_string(), stamp]),
            rows: *rows,
            files: Vec::new(),
        }
    }));
    Ok(seen)
}
