//! Partitions of time: granularities, their boundaries, ranges of partitions and the mappings
//! between a reader's partitions and those that it reads. Pure arithmetic; no clock is asked here.
//!
//! A partition is a number within its granularity: hours, days, months or years since 1970. Hours
//! are UTC instants; days and longer are local dates of the calendar's time zone.

use std::fmt;

use jiff::civil::{Date, DateTime, Time, date};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};

/// How long a partition is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Granularity {
    /// An hour of UTC.
    Hour,
    /// A local date.
    Day,
    /// A calendar month.
    Month,
    /// A calendar year.
    Year,
}

impl Granularity {
    /// Every granularity, the finest first.
    pub const ALL: [Granularity; 4] = [
        Granularity::Hour,
        Granularity::Day,
        Granularity::Month,
        Granularity::Year,
    ];

    /// The word of configs.
    pub fn as_str(self) -> &'static str {
        match self {
            Granularity::Hour => "hour",
            Granularity::Day => "day",
            Granularity::Month => "month",
            Granularity::Year => "year",
        }
    }

    /// Reads the word of configs.
    pub fn parse(word: &str) -> Option<Granularity> {
        Granularity::ALL
            .into_iter()
            .find(|granularity| granularity.as_str() == word)
    }

    /// The key of a partition: `2026-11-05T13`, `2026-11-05`, `2026-11` or `2026`.
    pub fn key(self, partition: i32) -> String {
        let start = self.civil_start(partition);
        match self {
            Granularity::Hour => format!("{}T{:02}", start.date(), start.hour()),
            Granularity::Day => start.date().to_string(),
            Granularity::Month => format!("{:04}-{:02}", start.year(), start.month()),
            Granularity::Year => format!("{:04}", start.year()),
        }
    }

    /// Reads a key; text of a finer granularity names the partition that contains it.
    pub fn parse_key(self, text: &str) -> Option<i32> {
        let text = text.trim();
        let moment = parse_moment(text)?;
        let enough = match self {
            Granularity::Hour => text.len() > 10,
            Granularity::Day => text.len() >= 10,
            Granularity::Month => text.len() >= 7,
            Granularity::Year => true,
        };
        enough.then(|| self.containing(moment))
    }

    /// The partition that contains a civil moment (of UTC for hours).
    pub fn containing(self, moment: DateTime) -> i32 {
        match self {
            Granularity::Hour => days(moment.date()) * 24 + i32::from(moment.hour()),
            Granularity::Day => days(moment.date()),
            Granularity::Month => {
                (i32::from(moment.year()) - 1970) * 12 + i32::from(moment.month()) - 1
            }
            Granularity::Year => i32::from(moment.year()) - 1970,
        }
    }

    /// The civil moment at which a partition starts (of UTC for hours).
    pub fn civil_start(self, partition: i32) -> DateTime {
        let day = |days: i32| {
            date(1970, 1, 1)
                .checked_add(i64::from(days).days())
                .unwrap_or(if days < 0 { Date::MIN } else { Date::MAX })
        };
        let month = |months: i32| {
            let year = i16::try_from(1970 + months.div_euclid(12)).unwrap_or(9999);
            let month = i8::try_from(months.rem_euclid(12) + 1).unwrap_or(1);
            Date::new(year, month, 1).unwrap_or(Date::MAX)
        };
        match self {
            Granularity::Hour => {
                let hour = i8::try_from(partition.rem_euclid(24)).unwrap_or(0);
                day(partition.div_euclid(24)).to_datetime(Time::constant(hour, 0, 0, 0))
            }
            Granularity::Day => day(partition).to_datetime(Time::midnight()),
            Granularity::Month => month(partition).to_datetime(Time::midnight()),
            Granularity::Year => month(partition.saturating_mul(12)).to_datetime(Time::midnight()),
        }
    }
}

impl fmt::Display for Granularity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn days(day: Date) -> i32 {
    day.since(date(1970, 1, 1))
        .map_or(0, |span| span.get_days())
}

/// Reads `2026`, `2026-11`, `2026-11-05`, `2026-11-05T13`, `2026-11-05 13:00` and longer.
pub fn parse_moment(text: &str) -> Option<DateTime> {
    if let Ok(moment) = text.parse::<DateTime>() {
        return Some(moment);
    }
    if let Ok(day) = text.parse::<Date>() {
        return Some(day.to_datetime(Time::midnight()));
    }
    match text.len() {
        4 => format!("{text}-01-01").parse::<Date>(),
        7 => format!("{text}-01").parse::<Date>(),
        13 => return format!("{text}:00:00").parse::<DateTime>().ok(),
        _ => return None,
    }
    .ok()
    .map(|day| day.to_datetime(Time::midnight()))
}

/// A run of partitions of one granularity, both ends included; empty where `last < first`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartitionRange {
    /// The first.
    pub first: i32,
    /// The last.
    pub last: i32,
}

impl PartitionRange {
    /// One partition.
    pub fn one(partition: i32) -> PartitionRange {
        PartitionRange::new(partition, partition)
    }

    /// From one to another, both included.
    pub fn new(first: i32, last: i32) -> PartitionRange {
        PartitionRange { first, last }
    }

    /// Tells whether there is none.
    pub fn is_empty(self) -> bool {
        self.last < self.first
    }

    /// How many.
    pub fn len(self) -> usize {
        usize::try_from(i64::from(self.last) - i64::from(self.first) + 1).unwrap_or(0)
    }

    /// Tells whether one is among them.
    pub fn contains(self, partition: i32) -> bool {
        self.first <= partition && partition <= self.last
    }

    /// What two ranges share.
    pub fn intersect(self, other: PartitionRange) -> PartitionRange {
        PartitionRange::new(self.first.max(other.first), self.last.min(other.last))
    }

    /// Each of them, in order.
    pub fn iter(self) -> impl DoubleEndedIterator<Item = i32> {
        self.first..=self.last
    }
}

/// The time of a relation: how it is cut into partitions, and since when there are any.
#[derive(Clone, Debug, PartialEq)]
pub struct Calendar {
    /// How long a partition is.
    pub granularity: Granularity,
    /// Whose local dates days and longer are.
    pub timezone: TimeZone,
    /// The first partition.
    pub begin: i32,
    /// How long after its end a partition counts as closed.
    pub arrival_buffer: SignedDuration,
}

impl Calendar {
    /// The instant at which a partition starts.
    pub fn start(&self, partition: i32) -> Timestamp {
        let civil = self.granularity.civil_start(partition);
        let zone = match self.granularity {
            Granularity::Hour => &TimeZone::UTC,
            _ => &self.timezone,
        };
        // A midnight that a change of clocks skips is the first moment after the gap.
        zone.to_ambiguous_timestamp(civil)
            .compatible()
            .unwrap_or(Timestamp::MAX)
    }

    /// The instant at which a partition ends: the start of the next.
    pub fn end(&self, partition: i32) -> Timestamp {
        self.start(partition.saturating_add(1))
    }

    /// The partition that contains an instant.
    pub fn containing(&self, instant: Timestamp) -> i32 {
        let zone = match self.granularity {
            Granularity::Hour => TimeZone::UTC,
            _ => self.timezone.clone(),
        };
        self.granularity
            .containing(instant.to_zoned(zone).datetime())
    }

    /// The newest partition that is closed at an instant, its arrival buffer over.
    pub fn newest_closed(&self, as_of: Timestamp) -> i32 {
        let settled = as_of
            .checked_sub(self.arrival_buffer)
            .unwrap_or(Timestamp::MIN);
        self.containing(settled) - 1
    }

    /// The partitions that are due at an instant: from the first to the newest that is closed.
    pub fn due(&self, as_of: Timestamp) -> PartitionRange {
        PartitionRange::new(self.begin, self.newest_closed(as_of))
    }

    /// The partitions of this calendar that share time with partitions of another.
    pub fn covering(&self, range: PartitionRange, of: &Calendar) -> PartitionRange {
        if self.granularity == of.granularity || range.is_empty() {
            return range;
        }
        // The last moment of the range still belongs to it.
        let last = of.end(range.last);
        let last = last
            .checked_sub(SignedDuration::from_nanos(1))
            .unwrap_or(last);
        PartitionRange::new(
            self.containing(of.start(range.first)),
            self.containing(last),
        )
    }
}

/// Which partitions of what it reads a partition needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mapping {
    /// The same ones; those it covers, or the one that contains it.
    #[default]
    Same,
    /// From so many before to so many after, counted in the coarser of the two granularities.
    Window(i32, i32),
    /// From the first one to the same.
    Upto,
    /// Every one.
    All,
}

impl Mapping {
    /// The partition before.
    pub const PREVIOUS: Mapping = Mapping::Window(-1, -1);

    /// Reads the value of `partitions=`: `same`, `previous`, `upto`, `all` or `window(-2, 3)`.
    pub fn parse(text: &str) -> Option<Mapping> {
        match text.trim() {
            "same" => return Some(Mapping::Same),
            "previous" => return Some(Mapping::PREVIOUS),
            "upto" => return Some(Mapping::Upto),
            "all" => return Some(Mapping::All),
            _ => {}
        }
        let inner = text.trim().strip_prefix("window(")?.strip_suffix(')')?;
        let (from, to) = inner.split_once(',')?;
        let (from, to) = (from.trim().parse().ok()?, to.trim().parse().ok()?);
        (from <= to).then_some(Mapping::Window(from, to))
    }

    /// The partitions of a parent that a reader's partitions need, none before the parent's first.
    ///
    /// The range may reach beyond what is due.
    pub fn reads(
        self,
        range: PartitionRange,
        reader: &Calendar,
        parent: &Calendar,
    ) -> PartitionRange {
        let shift = |range: PartitionRange, from: i32, to: i32| {
            PartitionRange::new(
                range.first.saturating_add(from),
                range.last.saturating_add(to),
            )
        };
        let read = match self {
            Mapping::Same => parent.covering(range, reader),
            Mapping::Window(from, to) if parent.granularity > reader.granularity => {
                shift(parent.covering(range, reader), from, to)
            }
            Mapping::Window(from, to) => parent.covering(shift(range, from, to), reader),
            Mapping::Upto => PartitionRange::new(parent.begin, parent.covering(range, reader).last),
            Mapping::All => PartitionRange::new(parent.begin, i32::MAX),
        };
        PartitionRange::new(read.first.max(parent.begin), read.last)
    }

    /// The mapping of a reader that reads through something with a mapping of its own.
    pub fn then(self, inner: Mapping) -> Mapping {
        match (self, inner) {
            (Mapping::All, _) | (_, Mapping::All) => Mapping::All,
            (Mapping::Same, other) | (other, Mapping::Same) => other,
            (Mapping::Window(a, b), Mapping::Window(c, d)) => {
                Mapping::Window(a.saturating_add(c), b.saturating_add(d))
            }
            // `upto` with days after it has no bound of its own.
            (Mapping::Upto, Mapping::Upto) => Mapping::Upto,
            (Mapping::Upto, Mapping::Window(_, to)) | (Mapping::Window(_, to), Mapping::Upto) => {
                match to {
                    ..=0 => Mapping::Upto,
                    _ => Mapping::All,
                }
            }
        }
    }
}

impl fmt::Display for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mapping::Same => f.write_str("same"),
            Mapping::Window(-1, -1) => f.write_str("previous"),
            Mapping::Window(from, to) => write!(f, "window({from}, {to})"),
            Mapping::Upto => f.write_str("upto"),
            Mapping::All => f.write_str("all"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn calendar(granularity: Granularity, zone: &str) -> Calendar {
        Calendar {
            granularity,
            timezone: TimeZone::get(zone).expect("a zone"),
            begin: granularity.parse_key("2026-01-01T00").expect("a key"),
            arrival_buffer: SignedDuration::ZERO,
        }
    }

    fn granularities() -> impl Strategy<Value = Granularity> {
        prop::sample::select(Granularity::ALL.to_vec())
    }

    fn zones() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec![
            "UTC",
            "Europe/Berlin",
            "America/New_York",
            "Asia/Tokyo",
        ])
    }

    proptest! {
        #[test]
        fn keys_are_read_as_they_are_written(granularity in granularities(), partition in 0..600_000) {
            let partition = if granularity == Granularity::Hour { partition } else { partition % 900 };
            let key = granularity.key(partition);
            prop_assert_eq!(granularity.parse_key(&key), Some(partition), "{}", key);
        }

        #[test]
        fn partitions_cover_time_once(granularity in granularities(), zone in zones(), at in 56..57) {
            let calendar = calendar(granularity, zone);
            let partition = granularity.parse_key("2026-03-29T00").expect("a key") + at - 56;
            for partition in partition - 40..partition + 40 {
                let (start, end) = (calendar.start(partition), calendar.end(partition));
                prop_assert!(start < end);
                prop_assert_eq!(calendar.containing(start), partition);
                let inside = end.checked_sub(SignedDuration::from_nanos(1)).expect("in time");
                prop_assert_eq!(calendar.containing(inside), partition);
                prop_assert_eq!(calendar.newest_closed(end), partition);
                prop_assert_eq!(calendar.newest_closed(inside), partition - 1);
            }
        }

        #[test]
        fn the_parts_of_a_range_cover_what_the_whole_covers(
            fine in granularities(), coarse in granularities(), zone in zones(), length in 1..50,
        ) {
            let (reader, parent) = (calendar(coarse, zone), calendar(fine, zone));
            let range = PartitionRange::new(reader.begin + 1, reader.begin + length);
            let whole = parent.covering(range, &reader);
            let mut next = whole.first;
            for partition in range.iter() {
                let part = parent.covering(PartitionRange::one(partition), &reader);
                prop_assert!(part.first <= next && part.last + 1 >= next, "{:?} {}", part, next);
                next = next.max(part.last + 1);
            }
            prop_assert_eq!(next, whole.last + 1);
        }
    }

    fn read(mapping: Mapping, reader: &Calendar, key: &str, parent: &Calendar) -> String {
        let partition = reader.granularity.parse_key(key).expect("a key");
        let range = mapping.reads(PartitionRange::one(partition), reader, parent);
        let last = match range.last {
            i32::MAX => "..".to_owned(),
            last => parent.granularity.key(last),
        };
        format!("{} {last}", parent.granularity.key(range.first))
    }

    #[test]
    fn mappings_name_what_is_read() {
        let day = calendar(Granularity::Day, "UTC");
        let month = calendar(Granularity::Month, "UTC");
        let hour = calendar(Granularity::Hour, "Europe/Berlin");
        let berlin = calendar(Granularity::Day, "Europe/Berlin");
        let cases = [
            (Mapping::Same, &day, "2026-02-05", &day),
            (Mapping::PREVIOUS, &day, "2026-02-05", &day),
            (Mapping::Window(-2, 3), &day, "2026-02-05", &day),
            (Mapping::Upto, &day, "2026-02-05", &day),
            (Mapping::All, &day, "2026-02-05", &day),
            // Nothing lies before the parent's first.
            (Mapping::Window(-2, 0), &day, "2026-01-01", &day),
            (Mapping::Same, &month, "2026-02", &day),
            (Mapping::PREVIOUS, &month, "2026-03", &day),
            (Mapping::Same, &day, "2026-03-31", &month),
            (Mapping::PREVIOUS, &day, "2026-03-31", &month),
            // The day on which clocks go forward has 23 hours.
            (Mapping::Same, &berlin, "2026-03-29", &hour),
        ];
        let read: Vec<String> = cases
            .iter()
            .map(|(mapping, reader, key, parent)| {
                format!(
                    "{mapping} of {key}: {}",
                    read(*mapping, reader, key, parent)
                )
            })
            .collect();
        insta::assert_snapshot!(read.join("\n"), @r"
        same of 2026-02-05: 2026-02-05 2026-02-05
        previous of 2026-02-05: 2026-02-04 2026-02-04
        window(-2, 3) of 2026-02-05: 2026-02-03 2026-02-08
        upto of 2026-02-05: 2026-01-01 2026-02-05
        all of 2026-02-05: 2026-01-01 ..
        window(-2, 0) of 2026-01-01: 2026-01-01 2026-01-01
        same of 2026-02: 2026-02-01 2026-02-28
        previous of 2026-03: 2026-02-01 2026-02-28
        same of 2026-03-31: 2026-03 2026-03
        previous of 2026-03-31: 2026-02 2026-02
        same of 2026-03-29: 2026-03-28T23 2026-03-29T21
        ");
    }

    #[test]
    fn mappings_are_read_as_they_are_written() {
        for mapping in [
            Mapping::Same,
            Mapping::PREVIOUS,
            Mapping::Window(-2, 3),
            Mapping::Upto,
            Mapping::All,
        ] {
            assert_eq!(Mapping::parse(&mapping.to_string()), Some(mapping));
        }
        assert_eq!(Mapping::parse("window(3, -2)"), None);
        assert_eq!(Mapping::parse("yesterday"), None);
    }

    #[test]
    fn reading_through_something_adds_the_windows() {
        let through = |outer: Mapping, inner: Mapping| outer.then(inner).to_string();
        assert_eq!(through(Mapping::PREVIOUS, Mapping::Same), "previous");
        assert_eq!(
            through(Mapping::Window(-1, 3), Mapping::Window(-2, 0)),
            "window(-3, 3)"
        );
        assert_eq!(through(Mapping::Upto, Mapping::PREVIOUS), "upto");
        assert_eq!(through(Mapping::Upto, Mapping::Window(0, 1)), "all");
        assert_eq!(through(Mapping::All, Mapping::Same), "all");
    }

    #[test]
    fn a_day_is_due_once_its_buffer_is_over() {
        let mut calendar = calendar(Granularity::Day, "America/New_York");
        calendar.arrival_buffer = SignedDuration::from_hours(2);
        let due = |as_of: &str| {
            let as_of = as_of.parse().expect("an instant");
            calendar.granularity.key(calendar.newest_closed(as_of))
        };
        assert_eq!(due("2026-06-02T05:59:59Z"), "2026-05-31");
        assert_eq!(due("2026-06-02T06:00:00Z"), "2026-06-01");
    }
}
