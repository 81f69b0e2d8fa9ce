//! What the ledger's queries return, as values.

use std::cmp::Reverse;
use std::collections::HashMap;

use super::{Attempt, FileRow, Input, Outcome, Record, RecordState, RelationId, TestRow};
use crate::table::{Datum, Table};

/// A whole number of a row; 0 where there is none.
pub fn number(row: &[Datum], at: usize) -> i64 {
    match row.get(at) {
        Some(Datum::Int(number)) => *number,
        Some(Datum::Decimal(digits)) => digits.parse().unwrap_or_default(),
        _ => 0,
    }
}

pub(super) fn part(row: &[Datum], at: usize) -> i32 {
    i32::try_from(number(row, at)).unwrap_or_default()
}

pub(super) fn words(row: &[Datum], at: usize) -> String {
    row.get(at).map(Datum::to_text).unwrap_or_default()
}

/// Reads [`super::Ledger::read_records`]; of several versions of a partition the newest counts.
pub fn records(table: &Table) -> HashMap<RelationId, Vec<(i32, Record)>> {
    let mut found: HashMap<RelationId, Vec<(i32, Record)>> = HashMap::new();
    for row in &table.rows {
        let (Some(Datum::Text(word)), Some(Datum::Text(packed))) = (row.get(1), row.get(3)) else {
            continue;
        };
        let Some(state) = Outcome::parse(word).and_then(RecordState::of) else {
            continue;
        };
        let code = number(row, 2);
        let records = found.entry(RelationId(number(row, 0))).or_default();
        records.reserve(packed.bytes().filter(|byte| *byte == b',').count() + 1);
        records.extend(
            packed
                .split(',')
                .filter_map(|one| unpacked(one, state, code)),
        );
    }
    for records in found.values_mut() {
        records.sort_unstable_by_key(|(part, record)| (*part, Reverse(record.build)));
        records.dedup_by_key(|(part, _)| *part);
    }
    found
}

/// One record of a packed text.
fn unpacked(text: &str, state: RecordState, code: i64) -> Option<(i32, Record)> {
    let mut numbers = text.split(' ').map(|number| number.parse::<i64>().ok());
    let mut next = || numbers.next().flatten();
    let part = i32::try_from(next()?).ok()?;
    let record = Record {
        build: next()?,
        state,
        code,
        inputs: next()?,
        version: next()?,
        content: next()?,
        rows: next()?,
    };
    Some((part, record))
}

/// Reads [`super::Ledger::read_attempts`].
pub fn attempts(table: &Table) -> Vec<(RelationId, i32, Attempt)> {
    let rows = table.rows.iter();
    rows.filter_map(|row| {
        let attempt = Attempt {
            build: number(row, 2),
            outcome: Outcome::parse(&words(row, 3))?,
            reason: words(row, 4),
        };
        Some((RelationId(number(row, 0)), part(row, 1), attempt))
    })
    .collect()
}

/// Reads [`super::Ledger::read_inputs`].
pub fn inputs(table: &Table) -> Vec<Input> {
    let rows = table.rows.iter();
    rows.map(|row| Input {
        build: number(row, 0),
        upstream: RelationId(number(row, 1)),
        first: part(row, 2),
        last: part(row, 3),
        parts: number(row, 4),
        newest: number(row, 5),
        digest: number(row, 6),
    })
    .collect()
}

/// Reads [`super::Ledger::read_files`]; of several versions of a partition the newest counts.
pub fn files(table: &Table) -> Vec<FileRow> {
    let versions = file_versions(table);
    let mut newest: HashMap<(RelationId, i32), i64> = HashMap::new();
    for (build, file) in &versions {
        let known = newest.entry((file.relation, file.partition)).or_default();
        *known = (*known).max(*build);
    }
    let seen = versions
        .into_iter()
        .filter(|(build, file)| newest[&(file.relation, file.partition)] == *build);
    seen.map(|(_, file)| file).collect()
}

/// Reads [`super::Ledger::read_files_of`]: each row with the build that saw it.
pub fn file_versions(table: &Table) -> Vec<(i64, FileRow)> {
    let rows = table.rows.iter();
    rows.map(|row| {
        let file = FileRow {
            relation: RelationId(number(row, 0)),
            partition: part(row, 1),
            path: words(row, 2),
            size: number(row, 3),
            stamp: words(row, 4),
            checksum: words(row, 5),
        };
        (number(row, 6), file)
    })
    .collect()
}

/// Reads [`super::Ledger::read_hooks`].
pub fn owed(table: &Table) -> Vec<(RelationId, i64, i64)> {
    let rows = table.rows.iter();
    rows.map(|row| (RelationId(number(row, 0)), number(row, 1), number(row, 2)))
        .collect()
}

/// Reads [`super::Ledger::read_tests`]; a later row of a test replaces an earlier one.
pub fn tests(table: &Table) -> Vec<TestRow> {
    let rows = table.rows.iter();
    rows.map(|row| TestRow {
        test: words(row, 0),
        code: number(row, 1),
        inputs: number(row, 2),
        passed: matches!(row.get(3), Some(Datum::Bool(true))),
    })
    .collect()
}
