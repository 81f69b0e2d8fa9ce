//! The arithmetic of dbt's microbatch models: which batches a run builds.
//!
//! All times are those of UTC's clock, so that an hour is an hour whatever summer time does
//! elsewhere. Pure: the clock, the flags and the table's state are given.

use std::fmt;

use jiff::civil::{Date, DateTime};
use jiff::{Span, Timestamp, tz::TimeZone};

/// How much time one batch covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchSize {
    /// An hour.
    Hour,
    /// A day.
    Day,
    /// A month.
    Month,
    /// A year.
    Year,
}

impl BatchSize {
    /// Every size, smallest first.
    pub const ALL: &'static [BatchSize] = &[
        BatchSize::Hour,
        BatchSize::Day,
        BatchSize::Month,
        BatchSize::Year,
    ];

    /// dbt's word.
    pub fn as_str(self) -> &'static str {
        match self {
            BatchSize::Hour => "hour",
            BatchSize::Day => "day",
            BatchSize::Month => "month",
            BatchSize::Year => "year",
        }
    }

    /// Reads dbt's word.
    pub fn parse(word: &str) -> Option<BatchSize> {
        let mut sizes = BatchSize::ALL.iter().copied();
        sizes.find(|size| size.as_str() == word)
    }

    /// The start of the batch that holds an instant.
    pub fn truncate(self, at: DateTime) -> DateTime {
        let day = |year, month, day| Date::constant(year, month, day).at(0, 0, 0, 0);
        match self {
            BatchSize::Hour => at.date().at(at.hour(), 0, 0, 0),
            BatchSize::Day => day(at.year(), at.month(), at.day()),
            BatchSize::Month => day(at.year(), at.month(), 1),
            BatchSize::Year => day(at.year(), 1, 1),
        }
    }

    /// The first border at or behind an instant.
    pub fn ceiling(self, at: DateTime) -> DateTime {
        let start = self.truncate(at);
        if start == at {
            start
        } else {
            self.offset(start, 1)
        }
    }

    /// The start of the batch so many batches from the one that holds an instant; the calendar's
    /// ends hold it back.
    pub fn offset(self, at: DateTime, batches: i64) -> DateTime {
        let length = |batches: i64| -> Result<Span, jiff::Error> {
            match self {
                BatchSize::Hour => Span::new().try_hours(batches),
                BatchSize::Day => Span::new().try_days(batches),
                BatchSize::Month => Span::new().try_months(batches),
                BatchSize::Year => Span::new().try_years(batches),
            }
        };
        let start = self.truncate(at);
        let end = match batches < 0 {
            true => self.truncate(DateTime::MIN),
            false => DateTime::MAX,
        };
        length(batches)
            .and_then(|span| start.checked_add(span))
            .unwrap_or(end)
    }

    /// How a batch is named in lines and files, such as `2026-11-01`.
    pub fn label(self, start: DateTime) -> String {
        let format = match self {
            BatchSize::Hour => "%Y-%m-%dT%H",
            BatchSize::Day => "%Y-%m-%d",
            BatchSize::Month => "%Y-%m",
            BatchSize::Year => "%Y",
        };
        start.strftime(format).to_string()
    }

    /// dbt's id of a batch, such as `20261101`.
    pub fn id(self, start: DateTime) -> String {
        self.label(start).replace('-', "")
    }
}

/// What a microbatch model's config says, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Microbatch {
    /// The column that says to which batch a row belongs.
    pub event_time: String,
    /// How much one batch covers.
    pub size: BatchSize,
    /// Where the first batch starts, once truncated.
    pub begin: DateTime,
    /// How many batches before the newest are built again.
    pub lookback: i64,
    /// Whether batches may run at the same time, where somebody said so.
    pub concurrent: Option<bool>,
}

/// A half-open stretch of UTC's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Batch {
    /// Its first instant.
    pub start: DateTime,
    /// The first instant behind it.
    pub end: DateTime,
}

/// The batches of one model, by how they ended; each list sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BatchResults {
    /// Those that were built.
    pub successful: Vec<Batch>,
    /// Those that failed or were not tried.
    pub failed: Vec<Batch>,
}

/// What a run starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// The model is built for the first time, or anew.
    FromBegin,
    /// The model goes on from what is there.
    Lookback,
    /// The user named a range.
    Range(Batch),
}

/// The batches that a run builds, in order.
///
/// The last one is open, so that a run can be repeated while the day goes on. Where `begin` lies
/// ahead of the clock there is one batch that holds nothing, as in dbt.
pub fn batches(model: &Microbatch, extent: Extent, now: DateTime) -> Vec<Batch> {
    let size = model.size;
    let end = size.ceiling(match extent {
        Extent::Range(range) => range.end,
        _ => now,
    });
    let first = match extent {
        Extent::Range(range) => size.truncate(range.start),
        Extent::FromBegin => size.truncate(model.begin),
        // `end` is a border, so the newest batch is the one before it.
        Extent::Lookback => size.offset(end, -model.lookback.saturating_add(1)),
    };
    let mut batches = Vec::new();
    let mut start = first;
    loop {
        let next = size.offset(start, 1);
        if next >= end || next <= start {
            batches.push(Batch { start, end });
            return batches;
        }
        batches.push(Batch { start, end: next });
        start = next;
    }
}

/// An instant on UTC's clock.
pub fn utc(at: Timestamp) -> DateTime {
    at.to_zoned(TimeZone::UTC).datetime()
}

/// An instant of UTC as Python's `str` writes it, which is how it stands in SQL:
/// `2026-11-01 00:00:00+00:00`.
pub fn python_text(at: DateTime) -> String {
    format!(
        "{}+00:00",
        at.strftime(with_fraction(at, "%Y-%m-%d %H:%M:%S"))
    )
}

/// An instant of UTC in ISO 8601, as in artifacts: `2026-11-01T00:00:00+00:00`.
pub fn iso_text(at: DateTime) -> String {
    format!("{}+00:00", iso_local(at))
}

/// The bounds of batches as artifacts and hooks show them.
pub fn iso_bounds(batches: &[Batch]) -> Vec<[String; 2]> {
    let bounds = batches.iter().map(|batch| [batch.start, batch.end]);
    bounds.map(|bounds| bounds.map(iso_text)).collect()
}

/// A time without a zone in ISO 8601: `2026-11-01T00:00:00`.
pub fn iso_local(at: DateTime) -> String {
    at.strftime(with_fraction(at, "%Y-%m-%dT%H:%M:%S"))
        .to_string()
}

fn with_fraction(at: DateTime, format: &'static str) -> &'static str {
    match (at.subsec_nanosecond(), format) {
        (0, format) => format,
        (_, "%Y-%m-%d %H:%M:%S") => "%Y-%m-%d %H:%M:%S.%6f",
        (_, _) => "%Y-%m-%dT%H:%M:%S.%6f",
    }
}

/// Reads the forms that dbt's flags take: a date, or a date and a time with a `T` or a blank between.
pub fn parse_flag(text: &str) -> Option<DateTime> {
    if let Ok(date) = Date::strptime("%Y-%m-%d", text) {
        return Some(date.at(0, 0, 0, 0));
    }
    ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S"]
        .iter()
        .find_map(|format| DateTime::strptime(format, text).ok())
}

/// Reads a date or a date and a time in ISO 8601. A zone is read and left out: dbt takes the clock's
/// face for UTC's.
pub fn parse_iso(text: &str) -> Option<DateTime> {
    if let Ok(date) = Date::strptime("%Y-%m-%d", text) {
        return Some(date.at(0, 0, 0, 0));
    }
    let bytes = text.as_bytes();
    if bytes.len() < 13 || !matches!(bytes[10], b'T' | b' ') {
        return None;
    }
    let zone = text
        .char_indices()
        .skip(11)
        .find(|(_, c)| matches!(c, '+' | '-' | 'Z'));
    let (clock, zone) = text.split_at(zone.map_or(text.len(), |(at, _)| at));
    let digits = zone.trim_start_matches(['+', '-']);
    let is_zone = matches!(zone, "" | "Z")
        || (digits.len() >= 2 && digits.chars().all(|c| c.is_ascii_digit() || c == ':'));
    is_zone.then(|| clock.parse().ok()).flatten()
}

impl fmt::Display for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {})", iso_local(self.start), iso_local(self.end))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> DateTime {
        parse_iso(text).expect(text)
    }

    fn model(size: BatchSize, begin: &str, lookback: i64) -> Microbatch {
        Microbatch {
            event_time: "at".to_owned(),
            size,
            begin: at(begin),
            lookback,
            concurrent: None,
        }
    }

    fn shown(model: &Microbatch, extent: Extent, now: &str) -> Vec<String> {
        let batches = batches(model, extent, at(now));
        batches.iter().map(Batch::to_string).collect()
    }

    #[test]
    fn borders_are_those_of_the_calendar() {
        let noon = at("2024-09-17T16:06:00");
        let of = |size: BatchSize| {
            [
                size.truncate(noon),
                size.ceiling(noon),
                size.offset(noon, -1),
                size.offset(noon, 5),
            ]
            .map(iso_local)
            .join(" ")
        };
        let lines: Vec<String> = BatchSize::ALL.iter().map(|size| of(*size)).collect();
        insta::assert_snapshot!(lines.join("\n"), @r"
        2024-09-17T16:00:00 2024-09-17T17:00:00 2024-09-17T15:00:00 2024-09-17T21:00:00
        2024-09-17T00:00:00 2024-09-18T00:00:00 2024-09-16T00:00:00 2024-09-22T00:00:00
        2024-09-01T00:00:00 2024-10-01T00:00:00 2024-08-01T00:00:00 2025-02-01T00:00:00
        2024-01-01T00:00:00 2025-01-01T00:00:00 2023-01-01T00:00:00 2029-01-01T00:00:00
        ");
        let border = at("2024-09-01");
        assert_eq!(BatchSize::Month.ceiling(border), border);
    }

    #[test]
    fn a_first_run_goes_from_begin_to_the_open_day() {
        let model = model(BatchSize::Day, "2024-01-01T05:00:00", 1);
        assert_eq!(
            shown(&model, Extent::FromBegin, "2024-01-03T13:57:00"),
            [
                "[2024-01-01T00:00:00, 2024-01-02T00:00:00)",
                "[2024-01-02T00:00:00, 2024-01-03T00:00:00)",
                "[2024-01-03T00:00:00, 2024-01-04T00:00:00)",
            ]
        );
    }

    #[test]
    fn a_later_run_builds_the_newest_batch_and_those_of_lookback() {
        let two = [
            "[2024-01-02T00:00:00, 2024-01-03T00:00:00)",
            "[2024-01-03T00:00:00, 2024-01-04T00:00:00)",
        ];
        let one = model(BatchSize::Day, "2020-01-01", 1);
        assert_eq!(shown(&one, Extent::Lookback, "2024-01-03T13:57:00"), two);
        // At midnight the day that has just ended is the newest.
        assert_eq!(shown(&one, Extent::Lookback, "2024-01-04T00:00:00"), two);
        let none = model(BatchSize::Day, "2020-01-01", 0);
        assert_eq!(
            shown(&none, Extent::Lookback, "2024-01-03T13:57:00"),
            &two[1..]
        );
        let years = model(BatchSize::Year, "2020-01-01", 2);
        let first = &shown(&years, Extent::Lookback, "2024-02-29T00:00:00")[0];
        assert_eq!(first, "[2022-01-01T00:00:00, 2023-01-01T00:00:00)");
    }

    #[test]
    fn a_range_is_widened_to_whole_batches() {
        let hours = model(BatchSize::Hour, "2020-01-01", 1);
        let range = |start, end| {
            Extent::Range(Batch {
                start: at(start),
                end: at(end),
            })
        };
        let extent = range("2024-03-31T00:30:00", "2024-03-31T02:10:00");
        // The night of summer time in Berlin, of which UTC knows nothing.
        assert_eq!(
            shown(&hours, extent, "2025-01-01"),
            [
                "[2024-03-31T00:00:00, 2024-03-31T01:00:00)",
                "[2024-03-31T01:00:00, 2024-03-31T02:00:00)",
                "[2024-03-31T02:00:00, 2024-03-31T03:00:00)",
            ]
        );
        let months = model(BatchSize::Month, "2020-01-01", 1);
        let extent = range("2024-01-31", "2024-03-01");
        assert_eq!(shown(&months, extent, "2025-01-01").len(), 2);
    }

    #[test]
    fn a_begin_ahead_of_the_clock_is_one_batch_of_nothing() {
        let model = model(BatchSize::Day, "2030-01-01", 1);
        assert_eq!(
            shown(&model, Extent::FromBegin, "2024-01-03T13:57:00"),
            ["[2030-01-01T00:00:00, 2024-01-04T00:00:00)"]
        );
        let never = self::model(BatchSize::Day, "9999-12-31", 1);
        assert_eq!(batches(&never, Extent::FromBegin, DateTime::MAX).len(), 1);
    }

    #[test]
    fn names_and_texts_are_those_of_dbt() {
        let start = at("2024-09-17T16:00:00");
        let named = |size: BatchSize| format!("{} {}", size.label(start), size.id(start));
        let names: Vec<String> = BatchSize::ALL.iter().map(|size| named(*size)).collect();
        assert_eq!(
            names,
            [
                "2024-09-17T16 20240917T16",
                "2024-09-17 20240917",
                "2024-09 202409",
                "2024 2024"
            ]
        );
        assert_eq!(python_text(start), "2024-09-17 16:00:00+00:00");
        assert_eq!(iso_text(start), "2024-09-17T16:00:00+00:00");
        assert_eq!(BatchSize::parse("week"), None);
    }

    #[test]
    fn times_are_read_as_dbt_reads_them() {
        for (text, read) in [
            ("2024-01-02", Some("2024-01-02T00:00:00")),
            ("2024-01-02 03:04:05", Some("2024-01-02T03:04:05")),
            ("2024-01-02T03:04:05", Some("2024-01-02T03:04:05")),
            ("2024-01-02T03:04:05.5", Some("2024-01-02T03:04:05.500000")),
            ("2024-01-02T03:04:05+01:00", Some("2024-01-02T03:04:05")),
            ("2024-01-02T03:04:05Z", Some("2024-01-02T03:04:05")),
            ("2024-01-02 11 PM", None),
            ("2024-13-02", None),
            ("yesterday", None),
            ("", None),
        ] {
            assert_eq!(parse_iso(text).map(iso_local).as_deref(), read, "{text}");
        }
        assert_eq!(
            parse_flag("2024-01-02 03:04:05"),
            Some(at("2024-01-02T03:04:05"))
        );
        assert_eq!(parse_flag("2024-01-02T03:04:05Z"), None);
    }

    proptest! {
        #[test]
        fn batches_cover_their_range_once(
            size in prop::sample::select(BatchSize::ALL),
            start in 0i64..2_000_000_000,
            hours in 1i64..5_000,
        ) {
            let instant = |seconds| utc(Timestamp::from_second(seconds).expect("an instant"));
            let range = Batch { start: instant(start), end: instant(start + hours * 3600) };
            let found = batches(&model(size, "2020-01-01", 1), Extent::Range(range), DateTime::MAX);
            prop_assert!(found[0].start <= range.start);
            prop_assert!(size.offset(found[0].start, 1) > range.start);
            let last = found.last().expect("there is one");
            prop_assert!(last.end >= range.end && last.start < range.end);
            for pair in found.windows(2) {
                prop_assert_eq!(pair[0].end, pair[1].start);
            }
        }
    }
}
