//! Records as lines of text.

use std::io::{self, Write};

use super::record::{Channel, Record};
use super::{Level, Stamp};

/// Which time and marks stand before a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lead {
    /// Nothing: on a terminal.
    None,
    /// dbt's `19:02:24  `, in UTC.
    Time,
    /// dbt's `19:02:24.614657 [info ] [Thread-1]: `, in UTC.
    Debug,
}

/// Writes a record with the line break that ends it; without colours, `text` is stripped of them.
pub(super) fn write(
    out: &mut dyn Write,
    record: &Record,
    stamp: &Stamp<'_>,
    lead: Lead,
    colors: bool,
) -> io::Result<()> {
    match lead {
        // What was asked for stands alone, so that it can be read by a program.
        Lead::Time if record.channel == Channel::Log => {
            write!(out, "{}  ", stamp.at.strftime("%H:%M:%S"))?;
        }
        Lead::Debug => write!(
            out,
            "{} [{:<5}] [{}]: ",
            stamp.at.strftime("%H:%M:%S.%6f"),
            record.level.as_str(),
            record.thread
        )?,
        Lead::None | Lead::Time => {}
    }
    if colors {
        writeln!(out, "{}", record.text)
    } else {
        writeln!(out, "{}", anstream::adapter::strip_str(&record.text))
    }
}

/// Tells whether a sink of this level shows the record: what was asked for is shown by all.
pub(super) fn shows(level: Level, record: &Record) -> bool {
    record.level >= level || record.channel == Channel::Output
}
