//! `strftime` and `strptime`, directive by directive as Python's.

use jiff::civil::{Date, DateTime, Time, Weekday};

const DAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// Writes a moment. `offset` is in seconds east of UTC, with the zone's name.
pub(super) fn strftime(at: DateTime, zone: Option<(i32, &str)>, format: &str) -> String {
    let mut out = String::new();
    let mut letters = format.chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            out.push(letter);
            continue;
        }
        let Some(mut directive) = letters.next() else {
            out.push('%');
            break;
        };
        // The C library's sign for "no padding".
        let bare = directive == '-';
        if bare {
            directive = letters.next().unwrap_or('-');
        }
        let number = |value: i64, width: usize| match bare {
            true => value.to_string(),
            false => format!("{value:0width$}"),
        };
        let weekday = usize::from(at.weekday().to_monday_zero_offset().unsigned_abs());
        let month = usize::from(at.month().unsigned_abs()) - 1;
        let hour12 = (i64::from(at.hour()) + 11) % 12 + 1;
        let day_of_year = i64::from(at.date().day_of_year());
        let iso = at.date().iso_week_date();
        let text = match directive {
            'Y' => i64::from(at.year()).to_string(),
            'm' => number(at.month().into(), 2),
            'd' => number(at.day().into(), 2),
            'e' => format!("{:>2}", at.day()),
            'H' => number(at.hour().into(), 2),
            'I' => number(hour12, 2),
            'M' => number(at.minute().into(), 2),
            'S' => number(at.second().into(), 2),
            'f' => format!("{:06}", at.subsec_nanosecond() / 1000),
            'y' => number(i64::from(at.year()).rem_euclid(100), 2),
            'C' => number(i64::from(at.year()).div_euclid(100), 2),
            'j' => number(day_of_year, 3),
            'p' => if at.hour() < 12 { "AM" } else { "PM" }.to_owned(),
            'A' => DAYS[weekday].to_owned(),
            'a' => DAYS[weekday][..3].to_owned(),
            'B' => MONTHS[month].to_owned(),
            'b' | 'h' => MONTHS[month][..3].to_owned(),
            'u' => (weekday + 1).to_string(),
            'w' => ((weekday + 1) % 7).to_string(),
            'U' => number((day_of_year + 6 - (weekday as i64 + 1) % 7) / 7, 2),
            'W' => number((day_of_year + 6 - weekday as i64) / 7, 2),
            'G' => iso.year().to_string(),
            'V' => number(iso.week().into(), 2),
            'F' => strftime(at, zone, "%Y-%m-%d"),
            'T' | 'X' => strftime(at, zone, "%H:%M:%S"),
            'D' | 'x' => strftime(at, zone, "%m/%d/%y"),
            'R' => strftime(at, zone, "%H:%M"),
            'c' => strftime(at, zone, "%a %b %e %H:%M:%S %Y"),
            's' => zone
                .map(|(seconds, _)| epoch_seconds(at) - i64::from(seconds))
                .unwrap_or_else(|| epoch_seconds(at))
                .to_string(),
            'z' => zone.map_or(String::new(), |(seconds, _)| offset_text(seconds, "")),
            'Z' => zone.map_or(String::new(), |(_, name)| name.to_owned()),
            'n' => "\n".to_owned(),
            't' => "\t".to_owned(),
            '%' => "%".to_owned(),
            other => format!("%{other}"),
        };
        out.push_str(&text);
    }
    out
}

/// Seconds since 1970 of a moment taken as UTC.
pub(super) fn epoch_seconds(at: DateTime) -> i64 {
    jiff::tz::Offset::UTC
        .to_timestamp(at)
        .map_or(0, jiff::Timestamp::as_second)
}

/// An offset as `+0200`, or with a separator `+02:00`.
pub(super) fn offset_text(seconds: i32, separator: &str) -> String {
    let sign = if seconds < 0 { '-' } else { '+' };
    let seconds = seconds.unsigned_abs();
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let mut text = format!("{sign}{hours:02}{separator}{minutes:02}");
    if rest != 0 {
        text.push_str(&format!("{separator}{rest:02}"));
    }
    text
}

/// What `strptime` read: the moment, and an offset in seconds where there was one.
pub(super) struct Parsed {
    pub at: DateTime,
    pub offset: Option<i32>,
}

/// Reads a moment.
///
/// # Errors
/// In Python's words, what does not fit.
pub(super) fn strptime(text: &str, format: &str) -> Result<Parsed, String> {
    let wrong = || format!("time data '{text}' does not match format '{format}'");
    let mut reader = Reader { rest: text };
    let (mut year, mut month, mut day) = (1900, 1, 1);
    let (mut hour, mut minute, mut second, mut nanos) = (0, 0, 0, 0);
    let (mut afternoon, mut day_of_year, mut offset) = (None, None, None);
    let expanded = format
        .replace("%F", "%Y-%m-%d")
        .replace("%T", "%H:%M:%S")
        .replace("%D", "%m/%d/%y");
    let mut letters = expanded.chars();
    while let Some(letter) = letters.next() {
        if letter.is_whitespace() {
            reader.rest = reader.rest.trim_start();
            continue;
        }
        if letter != '%' {
            reader.expect(letter).ok_or_else(wrong)?;
            continue;
        }
        let read = match letters.next() {
            Some('Y') => reader.number(4).map(|value| year = value),
            Some('m') => reader.number(2).map(|value| month = value),
            Some('d') => reader.number(2).map(|value| day = value),
            Some('H') => reader.number(2).map(|value| hour = value),
            Some('I') => reader.number(2).map(|value| hour = value % 12),
            Some('M') => reader.number(2).map(|value| minute = value),
            Some('S') => reader.number(2).map(|value| second = value),
            Some('j') => reader.number(3).map(|value| day_of_year = Some(value)),
            Some('y') => reader.number(2).map(|value| {
                year = if value < 69 {
                    2000 + value
                } else {
                    1900 + value
                };
            }),
            Some('f') => reader.fraction().map(|value| nanos = value),
            Some('b' | 'B') => reader.name(&MONTHS).map(|at| month = at as i64 + 1),
            Some('a' | 'A') => reader.name(&DAYS).map(|_| ()),
            Some('p') => reader
                .name(&["AM", "PM"])
                .map(|at| afternoon = Some(at == 1)),
            Some('z') => reader.offset().map(|value| offset = Some(value)),
            Some('Z') => {
                let end = reader.rest.find(|c: char| !c.is_ascii_alphabetic());
                let name = &reader.rest[..end.unwrap_or(reader.rest.len())];
                if ["UTC", "GMT", "Z"].contains(&name) {
                    offset = Some(0);
                }
                reader.rest = &reader.rest[name.len()..];
                Some(())
            }
            Some('%') => reader.expect('%'),
            Some(other) => {
                return Err(format!("'{other}' is a bad directive in format '{format}'"));
            }
            None => return Err(format!("stray % in format '{format}'")),
        };
        read.ok_or_else(wrong)?;
    }
    if !reader.rest.is_empty() {
        return Err(format!("unconverted data remains: {}", reader.rest));
    }
    if afternoon == Some(true) {
        hour += 12;
    }
    let out_of_range = |_| format!("a part of '{text}' is out of range");
    let small = |value: i64| i8::try_from(value).unwrap_or(i8::MAX);
    let date = match day_of_year {
        Some(ordinal) => Date::new(i16::try_from(year).unwrap_or(i16::MAX), 1, 1)
            .and_then(|first| first.checked_add(jiff::Span::new().try_days(ordinal - 1)?)),
        None => Date::new(
            i16::try_from(year).unwrap_or(i16::MAX),
            small(month),
            small(day),
        ),
    };
    let time = Time::new(small(hour), small(minute), small(second.min(59)), nanos);
    Ok(Parsed {
        at: date
            .map_err(out_of_range)?
            .to_datetime(time.map_err(out_of_range)?),
        offset,
    })
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn expect(&mut self, letter: char) -> Option<()> {
        self.rest = self.rest.strip_prefix(letter)?;
        Some(())
    }

    fn digits(&mut self, most: usize) -> Option<&str> {
        let count = self
            .rest
            .bytes()
            .take(most)
            .take_while(u8::is_ascii_digit)
            .count();
        let (digits, rest) = self.rest.split_at(count);
        self.rest = rest;
        (count > 0).then_some(digits)
    }

    fn number(&mut self, most: usize) -> Option<i64> {
        self.digits(most)?.parse().ok()
    }

    fn fraction(&mut self) -> Option<i32> {
        let digits = self.digits(6)?;
        format!("{digits:0<9}").parse().ok()
    }

    /// The position of a name that stands here, in full or as its first three letters.
    fn name(&mut self, names: &[&str]) -> Option<usize> {
        for (at, name) in names.iter().enumerate() {
            for form in [*name, &name[..name.len().min(3)]] {
                let Some(head) = self.rest.get(..form.len()) else {
                    continue;
                };
                if head.eq_ignore_ascii_case(form) {
                    self.rest = &self.rest[form.len()..];
                    return Some(at);
                }
            }
        }
        None
    }

    fn offset(&mut self) -> Option<i32> {
        if let Some(rest) = self.rest.strip_prefix('Z') {
            self.rest = rest;
            return Some(0);
        }
        let sign = match self.rest.chars().next()? {
            '+' => 1,
            '-' => -1,
            _ => return None,
        };
        self.rest = &self.rest[1..];
        let hours = self.number(2)?;
        self.rest = self.rest.strip_prefix(':').unwrap_or(self.rest);
        let minutes = self.number(2).unwrap_or(0);
        i32::try_from(sign * (hours * 3600 + minutes * 60)).ok()
    }
}

/// The weekday as Python counts it, from Monday as 0.
pub(super) fn weekday(day: Weekday) -> i64 {
    day.to_monday_zero_offset().into()
}
