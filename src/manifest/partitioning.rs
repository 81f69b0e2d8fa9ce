//! What nodes and sources say of their partitions, as the engine reads it: the partition column and
//! its calendar, what is read and by which mapping, and when a relation is rebuilt.
//!
//! Values only. [`super::parse`] makes them from configs; nothing here asks a clock or a database.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::calendar::{Calendar, Granularity, Mapping, PartitionRange};
use crate::manifest::UniqueId;
use crate::manifest::ods::OdsTable;
use crate::source::Span;

/// How a node's relation is kept up to date.
#[derive(Clone, Debug, Default)]
pub struct Upkeep {
    /// Its partitions, where it has any.
    pub partitioning: Option<Arc<Partitioning>>,
    /// `rebuild: when_stale`: it is left alone while nothing it depends on has changed.
    pub when_stale: bool,
    /// What it reads, each once; empty where the project has nothing that the engine follows.
    pub reads: Vec<Read>,
    /// `content_hash`, of what has one partition.
    pub content_hash: ContentHash,
    /// The place of a call of `self`.
    pub reads_self: Option<Span>,
    /// Whether its template asks for `partition.date`: then one statement builds one partition.
    pub one_by_one: bool,
    /// How long the rows of a table without partitions are kept, where that is limited.
    pub kept: Option<Kept>,
    /// What makes it a table of the ODS, which is neither rebuilt nor replaced.
    pub ods: Option<Arc<OdsTable>>,
}

/// `retention` of a table without partitions: its rows are removed once all exports of their day are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The column that says when a row happened, in UTC.
    pub field: String,
    /// For how many closed days.
    pub days: i32,
}

/// What a source is where a partition was never exported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Gap {
    /// Missing: what reads it waits.
    #[default]
    Missing,
    /// A copy of the one before, marked as such.
    Carry,
}

impl Upkeep {
    /// Tells whether the ledger decides if the node is built.
    pub fn is_managed(&self) -> bool {
        self.when_stale || self.partitioning.is_some()
    }

    /// Tells whether it reads its own earlier partitions.
    pub fn is_cumulative(&self, own: &UniqueId) -> bool {
        self.reads.iter().any(|read| read.upstream == *own)
    }
}

/// Something that a node reads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Read {
    /// The node or source; the node itself for `self`.
    pub upstream: UniqueId,
    /// Which of its partitions.
    pub mapping: Mapping,
    /// Whether a change of them makes the reader stale.
    pub tracked: bool,
}

/// The type of a partition column.
#[derive(Clone, Debug, PartialEq)]
pub enum FieldType {
    /// A calendar date.
    Date,
    /// A date and time of some zone, without saying which.
    Timestamp(TimeZone),
    /// An instant.
    Instant,
}

/// What a change of code does to partitions that are built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnCodeChange {
    /// They are stale.
    Rebuild,
    /// They stay, and are shown as built from older code.
    Keep,
}

/// Whether a relation's content is hashed to tell whether it changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContentHash {
    /// Of all columns but these, in lower case.
    Rows(BTreeSet<String>),
    /// Never: each build counts as a change.
    Off,
}

impl Default for ContentHash {
    fn default() -> ContentHash {
        ContentHash::Rows(BTreeSet::new())
    }
}

/// How a relation is cut into partitions.
#[derive(Clone, Debug, PartialEq)]
pub struct Partitioning {
    /// The partition column.
    pub field: String,
    /// Its type.
    pub field_type: FieldType,
    /// Its partitions.
    pub calendar: Calendar,
    /// `order_by`: the order in which rows are inserted, after the partition column.
    pub order_by: Vec<String>,
    /// `batch_size`: so many partitions may be built by one statement, whatever can be proved.
    pub batch_size: Option<usize>,
    /// `lookback`: so many of the newest partitions are rebuilt each run where an input has no version.
    pub lookback: i32,
    /// `on_code_change`.
    pub on_code_change: OnCodeChange,
    /// `content_hash`.
    pub content_hash: ContentHash,
    /// `allow_empty`: a partition that had rows may become empty.
    pub allow_empty: bool,
    /// `retention`: how many partitions are kept, where that is limited.
    pub retention: Option<i32>,
    /// `no_data`: partitions of a source that are known to be empty.
    pub no_data: BTreeSet<i32>,
    /// `gap`, of a source that is exported as dumps.
    pub gap: Gap,
}

impl Partitioning {
    /// The literal of a partition's first moment, in the column's type.
    pub fn literal(&self, partition: i32) -> String {
        match &self.field_type {
            FieldType::Date => {
                let start = self.calendar.granularity.civil_start(partition);
                format!("cast('{}' as date)", start.date())
            }
            FieldType::Timestamp(zone) => {
                let start = self.calendar.start(partition).to_zoned(zone.clone());
                let text = start.datetime().to_string().replace('T', " ");
                format!("cast('{text}' as timestamp)")
            }
            FieldType::Instant => {
                let start = self.calendar.start(partition).to_zoned(TimeZone::UTC);
                let text = start.datetime().to_string().replace('T', " ");
                format!("cast('{text}+00:00' as timestamp with time zone)")
            }
        }
    }

    /// The predicate that keeps a column within a range, half-open.
    pub fn predicate(&self, column: &str, range: PartitionRange) -> String {
        if range.is_empty() {
            return "1 = 0".to_owned();
        }
        let start = self.literal(range.first);
        match range.last {
            i32::MAX => format!("{column} >= {start}"),
            last => format!(
                "{column} >= {start} and {column} < {}",
                self.literal(last.saturating_add(1))
            ),
        }
    }

    /// The expression that gives the start of a row's partition, in the column's own type; `None`
    /// where only the boundaries tell, since a time zone lies between column and calendar.
    pub fn bucket(&self, column: &str) -> Option<String> {
        let unit = self.calendar.granularity;
        match (&self.field_type, unit) {
            (FieldType::Date, Granularity::Hour) => None,
            (FieldType::Date, Granularity::Day) => Some(column.to_owned()),
            (FieldType::Date, _) => Some(format!(
                "cast(date_trunc('{unit}', cast({column} as timestamp)) as date)"
            )),
            (FieldType::Timestamp(zone), _) => {
                let same = match unit {
                    Granularity::Hour => *zone == TimeZone::UTC,
                    _ => *zone == self.calendar.timezone,
                };
                same.then(|| format!("date_trunc('{unit}', {column})"))
            }
            (FieldType::Instant, _) => None,
        }
    }

    /// The first partition that the retention keeps, where that is limited.
    pub fn first_retained(&self, as_of: Timestamp) -> i32 {
        self.retention.map_or(i32::MIN, |kept| {
            self.calendar.newest_closed(as_of) - kept + 1
        })
    }

    /// What must be the same for partitions that were built to be the partitions of today.
    pub fn shape(&self) -> String {
        let zone = |zone: &TimeZone| zone.iana_name().unwrap_or("UTC").to_owned();
        let column = match &self.field_type {
            FieldType::Date => "date".to_owned(),
            FieldType::Timestamp(of) => format!("timestamp {}", zone(of)),
            FieldType::Instant => "instant".to_owned(),
        };
        format!(
            "{} {} {} {column}",
            self.field.to_lowercase(),
            self.calendar.granularity,
            zone(&self.calendar.timezone),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::SignedDuration;

    fn partitioning(field_type: FieldType, granularity: Granularity, zone: &str) -> Partitioning {
        Partitioning {
            field: "at".to_owned(),
            field_type,
            calendar: Calendar {
                granularity,
                timezone: TimeZone::get(zone).expect("a zone"),
                begin: 0,
                arrival_buffer: SignedDuration::ZERO,
            },
            order_by: Vec::new(),
            batch_size: None,
            lookback: 1,
            on_code_change: OnCodeChange::Rebuild,
            content_hash: ContentHash::default(),
            allow_empty: false,
            retention: None,
            no_data: BTreeSet::new(),
            gap: Gap::Missing,
        }
    }

    #[test]
    fn predicates_are_half_open_and_in_the_columns_type() {
        let berlin = TimeZone::get("Europe/Berlin").expect("a zone");
        let cases = [
            (FieldType::Date, Granularity::Day, "Europe/Berlin"),
            (FieldType::Date, Granularity::Month, "UTC"),
            (
                FieldType::Timestamp(TimeZone::UTC),
                Granularity::Day,
                "Europe/Berlin",
            ),
            (
                FieldType::Timestamp(berlin),
                Granularity::Day,
                "Europe/Berlin",
            ),
            (
                FieldType::Timestamp(TimeZone::UTC),
                Granularity::Hour,
                "UTC",
            ),
            (FieldType::Instant, Granularity::Day, "Europe/Berlin"),
        ];
        let lines: Vec<String> = cases
            .into_iter()
            .map(|(field_type, granularity, zone)| {
                let cut = partitioning(field_type, granularity, zone);
                let partition = granularity.parse_key("2026-03-29T00").expect("a key");
                let predicate = cut.predicate("at", PartitionRange::one(partition));
                format!("{}: {predicate}; by {:?}", cut.shape(), cut.bucket("at"))
            })
            .collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        at day Europe/Berlin date: at >= cast('2026-03-29' as date) and at < cast('2026-03-30' as date); by Some("at")
        at month UTC date: at >= cast('2026-03-01' as date) and at < cast('2026-04-01' as date); by Some("cast(date_trunc('month', cast(at as timestamp)) as date)")
        at day Europe/Berlin timestamp UTC: at >= cast('2026-03-28 23:00:00' as timestamp) and at < cast('2026-03-29 22:00:00' as timestamp); by None
        at day Europe/Berlin timestamp Europe/Berlin: at >= cast('2026-03-29 00:00:00' as timestamp) and at < cast('2026-03-30 00:00:00' as timestamp); by Some("date_trunc('day', at)")
        at hour UTC timestamp UTC: at >= cast('2026-03-29 00:00:00' as timestamp) and at < cast('2026-03-29 01:00:00' as timestamp); by Some("date_trunc('hour', at)")
        at day Europe/Berlin instant: at >= cast('2026-03-28 23:00:00+00:00' as timestamp with time zone) and at < cast('2026-03-29 22:00:00+00:00' as timestamp with time zone); by None
        "#);
    }

    /// The clock goes twice through one hour, of which a local time cannot tell the first.
    #[test]
    fn local_hours_are_in_one_partition_each() {
        let berlin = TimeZone::get("Europe/Berlin").expect("a zone");
        let cut = partitioning(FieldType::Timestamp(berlin), Granularity::Hour, "UTC");
        let hour = |key: &str| Granularity::Hour.parse_key(key).expect("a key");
        let parts = PartitionRange::new(hour("2026-10-24T23"), hour("2026-10-25T02"));
        let starts: Vec<String> = parts.iter().map(|part| cut.literal(part)).collect();
        insta::assert_snapshot!(starts.join("\n"), @r"
        cast('2026-10-25 01:00:00' as timestamp)
        cast('2026-10-25 02:00:00' as timestamp)
        cast('2026-10-25 02:00:00' as timestamp)
        cast('2026-10-25 03:00:00' as timestamp)
        ");
    }
}
