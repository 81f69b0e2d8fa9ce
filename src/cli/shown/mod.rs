//! Plans, chains of causes and calendars, as people read them and as programs do.
//!
//! Texts hold terminal colours; the reporter strips them where none are wanted.

pub mod calendar;
pub mod inbox;
pub mod plan;
pub mod why;

use anstyle::{AnsiColor, Style};
use jiff::Timestamp;
use jiff::tz::TimeZone;

pub(super) const BOLD: Style = Style::new().bold();
pub(super) const DIM: Style = Style::new().dimmed();
pub(super) const RED: Style = AnsiColor::Red.on_default();
pub(super) const GREEN: Style = AnsiColor::Green.on_default();
pub(super) const YELLOW: Style = AnsiColor::Yellow.on_default();
pub(super) const BLUE: Style = AnsiColor::Blue.on_default();
pub(super) const CYAN: Style = AnsiColor::Cyan.on_default();

/// A text in a style.
pub(super) fn styled(style: Style, text: impl std::fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}

/// `1 day`, `12 days`, `1,204 days`.
pub fn count(number: usize, word: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {word}{plural}", thousands(number as i64))
}

/// `1 row`, `1,204 rows`.
pub fn rows(number: i64) -> String {
    match number {
        1 => "1 row".to_owned(),
        number => format!("{} rows", thousands(number)),
    }
}

/// A number with a comma for each three digits.
pub(super) fn thousands(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    match number < 0 {
        true => format!("-{text}"),
        false => text,
    }
}

/// A moment of UTC to the second.
pub(super) fn moment(at: Timestamp) -> String {
    let civil = at.to_zoned(TimeZone::UTC);
    format!("{} UTC", civil.strftime("%Y-%m-%d %H:%M:%S"))
}

#[cfg(test)]
mod tests;
