//! What a batch has become: rows and hashes by partition.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::diagnostic::Diagnostic;
use crate::executor::session::Session;
use crate::jinja::Value;
use crate::jinja::context::relation_value;
use crate::jinja::language::{Scope, list};
use crate::ledger;
use crate::manifest::partitioning::{ContentHash, Partitioning};
use crate::table::{Datum, Table};

use super::{Desk, Job, fetch, run, text};

/// The rows of each partition, and a text that differs where their content does; empty where nothing
/// was hashed.
pub type Content = BTreeMap<i32, (i64, String)>;

/// Rows and content of each partition of a range.
pub(super) fn content(
    desk: &Desk,
    session: &Arc<Session>,
    scope: &Scope,
    job: &Job,
    cut: &Partitioning,
    described: &Table,
) -> Result<Content, Box<Diagnostic>> {
    let range = job.range();
    let dialect = desk.project.facts.dialect;
    if job.hashed {
        for setting in dialect.hash_settings {
            run(session, setting)?;
        }
    }
    let columns = hashed_columns(dialect, described, &cut.content_hash, job.hashed);
    let bucket = cut.bucket(&cut.field);
    let bounds = match bucket {
        Some(_) => Vec::new(),
        None => range
            .iter()
            .map(|part| {
                list(vec![
                    Value::from(part),
                    Value::from(cut.literal(part)),
                    Value::from(cut.literal(part.saturating_add(1))),
                ])
            })
            .collect(),
    };
    let predicate = cut.predicate(&cut.field, range);
    let sql = text(
        desk,
        scope,
        "partition_content",
        &[
            relation_value(dialect, &job.node.relation),
            list(columns.into_iter().map(Value::from).collect()),
            bucket.map_or_else(|| Value::from(()), Value::from),
            list(bounds),
            Value::from(cut.field.as_str()),
            Value::from(predicate),
        ],
    )?;
    let table = fetch(session, &sql)?;
    let signature = signature(described);
    Ok(read_content(&table, cut, &signature, &desk.hash))
}

/// Reads what `partition_content` returned; the content's text names all that it depends on.
pub fn read_content(table: &Table, cut: &Partitioning, signature: &str, hash: &str) -> Content {
    let rows = table.rows.iter();
    rows.filter_map(|row| {
        let partition = partition_of(row.first()?, cut)?;
        let count = ledger::number(row, 1);
        let content = match row.get(2) {
            None | Some(Datum::Null) => String::new(),
            Some(sum) => format!("{hash} {} {count} {signature}", sum.to_text()),
        };
        Some((partition, (count, content)))
    })
    .collect()
}

/// The partition that a bucket's value stands for.
pub fn partition_of(value: &Datum, cut: &Partitioning) -> Option<i32> {
    let granularity = cut.calendar.granularity;
    match value {
        Datum::Int(part) => i32::try_from(*part).ok(),
        Datum::Date(date) => {
            Some(granularity.containing(date.to_datetime(jiff::civil::Time::midnight())))
        }
        Datum::Timestamp(moment) => Some(granularity.containing(*moment)),
        Datum::TimestampTz(instant) => {
            let utc = instant.to_zoned(jiff::tz::TimeZone::UTC);
            Some(granularity.containing(utc.datetime()))
        }
        Datum::Text(text) => granularity.parse_key(&text.replace(' ', "T")),
        _ => None,
    }
}

pub(super) fn hashed_columns(
    dialect: &crate::dialect::Dialect,
    described: &Table,
    hash: &ContentHash,
    hashed: bool,
) -> Vec<String> {
    let ignored = match hash {
        ContentHash::Rows(ignored) if hashed => ignored,
        _ => return Vec::new(),
    };
    described
        .columns
        .iter()
        .filter(|column| !ignored.contains(&column.name.to_lowercase()))
        .map(|column| dialect.quote_identifier(&column.name))
        .collect()
}

/// The names and types of columns, which are part of the content.
pub(super) fn signature(described: &Table) -> String {
    let columns: Vec<String> = described
        .columns
        .iter()
        .map(|column| format!("{} {}", column.name.to_lowercase(), column.data_type))
        .collect();
    columns.join(", ")
}
