//! What a batch has become: rows and hashes by partition.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::calendar::PartitionRange;
use crate::diagnostic::Diagnostic;
use crate::executor::Project;
use crate::executor::session::Session;
use crate::jinja::Value;
use crate::jinja::context::relation_value;
use crate::jinja::language::{Scope, list};
use crate::ledger;
use crate::manifest::Node;
use crate::manifest::partitioning::{ContentHash, Partitioning};
use crate::planner::board::ALL;
use crate::relation::Relation;
use crate::table::{Datum, Table};

use super::{Desk, Job, fetch, run};

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
    let stored = Stored {
        relation: &job.node.relation,
        cut,
        range: job.range(),
        hashed: job.hashed,
    };
    let project = &desk.project;
    stored_partitions(project, session, scope, &desk.hash, &stored, described)
}

/// Partitions in a table.
#[derive(Clone, Copy, Debug)]
pub struct Stored<'a> {
    /// The table.
    pub relation: &'a Relation,
    /// How it is cut.
    pub cut: &'a Partitioning,
    /// Which partitions.
    pub range: PartitionRange,
    /// Whether they are hashed, or counted alone.
    pub hashed: bool,
}

/// Rows and content of partitions as a table holds them now; `described` gives the columns in the
/// order in which they are hashed, and `hash` the name of the hash.
///
/// # Errors
/// What the database says.
pub fn stored_partitions(
    project: &Project,
    session: &Session,
    scope: &Scope,
    hash: &str,
    stored: &Stored<'_>,
    described: &Table,
) -> Result<Content, Box<Diagnostic>> {
    let dialect = project.facts.dialect;
    let (cut, range) = (stored.cut, stored.range);
    if stored.hashed {
        for setting in dialect.hash_settings {
            run(session, setting)?;
        }
    }
    let columns = hashed_columns(dialect, described, &cut.content_hash, stored.hashed);
    let bucket = cut.bucket(&cut.field);
    let bounds = boundaries(cut, range);
    let predicate = cut.predicate(&cut.field, range);
    let arguments = [
        relation_value(dialect, stored.relation),
        list(columns.into_iter().map(Value::from).collect()),
        bucket.map_or_else(|| Value::from(()), Value::from),
        bounds,
        Value::from(cut.field.as_str()),
        Value::from(predicate),
    ];
    let sql = project
        .engine
        .call("partition_content", &arguments, &[], scope)?;
    let sql = sql.as_str().map(str::trim).unwrap_or_default();
    let table = fetch(session, sql)?;
    Ok(read_content(&table, cut, &signature(described), hash))
}

/// The bounds of partitions for `partition_content`: number, first literal, next literal; none where an
/// expression tells a row's partition.
pub fn boundaries(cut: &Partitioning, range: PartitionRange) -> Value {
    if cut.bucket(&cut.field).is_some() {
        return list(Vec::new());
    }
    let bounds = range.iter().map(|part| {
        list(vec![
            Value::from(part),
            Value::from(cut.literal(part)),
            Value::from(cut.literal(part.saturating_add(1))),
        ])
    });
    list(bounds.collect())
}

/// Rows and content of a table that has one partition.
///
/// # Errors
/// What the database says.
pub fn stored_whole(
    project: &Project,
    session: &Session,
    scope: &Scope,
    hash: &str,
    node: &Node,
) -> Result<Content, Box<Diagnostic>> {
    let dialect = project.facts.dialect;
    for setting in dialect.hash_settings {
        run(session, setting)?;
    }
    let name = node.relation.render(dialect);
    let described = fetch(session, &format!("select * from {name} where 1 = 0"))?;
    let columns = hashed_columns(dialect, &described, &node.upkeep.content_hash, true);
    let arguments = [
        relation_value(dialect, &node.relation),
        list(columns.into_iter().map(Value::from).collect()),
    ];
    let sql = project
        .engine
        .call("relation_content", &arguments, &[], scope)?;
    let sql = sql.as_str().map(str::trim).unwrap_or_default();
    let table = fetch(session, sql)?;
    let Some(row) = table.rows.first() else {
        return Ok(Content::new());
    };
    let count = ledger::number(row, 0);
    let sum = row.get(1).map(Datum::to_text).unwrap_or_default();
    let text = format!("{hash} {sum} {count} {}", signature(&described));
    Ok(Content::from([(ALL, (count, text))]))
}

/// The content of a partition without rows, where rows are hashed.
pub fn nothing_stored(hash: &str) -> String {
    format!("{hash} nothing")
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

/// Whether the order of columns makes a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnOrder {
    /// The table has them in this order.
    Counts,
    /// The table keeps an order of its own.
    IsKept,
}

/// A number that tells columns from others, by names and types; never 0.
pub fn columns_number(described: &Table, order: ColumnOrder) -> i64 {
    let columns = described.columns.iter();
    let mut columns: Vec<String> = columns
        .map(|column| format!("{} {}", column.name.to_lowercase(), column.data_type))
        .collect();
    if order == ColumnOrder::IsKept {
        columns.sort();
    }
    ledger::hash64(&[&columns.join(", ")]) | 1
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
