//! What is wrong with a file, at its line and column.
//!
//! The database's reader says only that a partition could not be read. Here its files are looked
//! through: the structure of CSV by our own eyes, values by the same expressions that load them.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value as Json;

use super::csv::{self, Broken, Record};
use super::layout::Field;
use super::pattern::bounds;
use super::spec::{CsvOptions, FileSource, Format, Header, Kind};
use super::sql::{self, Located, Reader, Typing};
use crate::adapter::AdapterError;
use crate::diagnostic::{Code, Diagnostic};
use crate::source::{SourceFile, Span};
use crate::table::Datum;

/// How many faults of one file are reported.
const MOST_REPORTED: usize = 10;

/// How many values are judged at once.
const BATCH: usize = 1000;

/// The note that leads to the declaration.
pub(super) fn of_source(source: &FileSource) -> String {
    format!("it is a file of the source `{}`", source.name)
}

pub(super) fn unreadable(source: &FileSource, shown: &str, error: &std::io::Error) -> Diagnostic {
    let message = format!("cannot read `{shown}`: {error}");
    Diagnostic::error(Code::Io, message).note(of_source(source))
}

pub(super) fn replaced(source: &FileSource, shown: &str) -> Diagnostic {
    let message = format!("`{shown}` was replaced or removed while it was read");
    Diagnostic::error(Code::BadFile, message)
        .note(of_source(source))
        .help("run again: what is there by then is read")
}

pub(super) fn cut_short(source: &FileSource, shown: &str, error: &std::io::Error) -> Diagnostic {
    let message = match error.kind() {
        std::io::ErrorKind::UnexpectedEof => format!("`{shown}` ends before its packed data does"),
        std::io::ErrorKind::NotFound => return unreadable(source, shown, error),
        _ => format!("`{shown}` cannot be unpacked: {error}"),
    };
    Diagnostic::error(Code::BadFile, message)
        .note(of_source(source))
        .help("write the file again, whole, under another name, and then rename it")
}

/// A file that the reader of its format does not understand.
pub(super) fn broken(
    source: &FileSource,
    shown: &str,
    path: &Path,
    error: &AdapterError,
) -> Diagnostic {
    let path = path.to_string_lossy();
    let words = error.message.replace(&*path, shown);
    let first = words.lines().next().unwrap_or_default().trim();
    let message = format!(
        "`{shown}` is no {} file that can be read",
        source.format.as_str()
    );
    Diagnostic::error(Code::BadFile, message)
        .note(first.to_owned())
        .note(of_source(source))
}

/// Makes a file of one record, whose line has its own number; the header stands above it.
///
/// Gives the places of the record's values as well.
pub(super) fn record_file(
    shown: &str,
    header: Option<&str>,
    record: &Record,
) -> (Arc<SourceFile>, Vec<Range<usize>>) {
    let mut text = String::new();
    let mut above = record.line - 1;
    if let Some(header) = header.filter(|header| header.lines().count() <= above) {
        text.push_str(header);
        above -= header.matches('\n').count();
    }
    text.extend(std::iter::repeat_n('\n', above));
    let mut ranges = Vec::new();
    let mut done = 0;
    for piece in &record.values {
        text.push_str(&String::from_utf8_lossy(
            &record.bytes[done..piece.range.start],
        ));
        let start = text.len();
        text.push_str(&String::from_utf8_lossy(&record.bytes[piece.range.clone()]));
        ranges.push(start..text.len());
        done = piece.range.end;
    }
    text.push_str(&String::from_utf8_lossy(&record.bytes[done..]));
    (SourceFile::inline(shown, text), ranges)
}

/// Looks through a file; gives what is wrong with it, or nothing where that cannot be told.
pub(super) fn of_file(source: &FileSource, file: &Located<'_>, reader: &Reader) -> Vec<Diagnostic> {
    match &source.format {
        Format::Csv(options) => of_csv(source, options, file, reader)
            .unwrap_or_else(|error| vec![unreadable(source, file.shown, &error)]),
        _ => of_rows(source, file, reader),
    }
}

/// A value that may be wrong.
struct Doubt {
    record: Arc<Record>,
    /// The field of the file.
    field: usize,
}

fn of_csv(
    source: &FileSource,
    options: &CsvOptions,
    file: &Located<'_>,
    reader: &Reader,
) -> std::io::Result<Vec<Diagnostic>> {
    let mut records = csv::records(file.path, file.gzip, options)?;
    let mut header = None;
    if options.header == Header::Named
        && let Some(first) = records.next()?
        && first.line == 1
    {
        header = Some(String::from_utf8_lossy(&first.bytes).into_owned());
    }
    let eye = Eye {
        source,
        file,
        header: header.as_deref(),
        reader,
    };
    let mut found: Vec<(usize, Diagnostic)> = Vec::new();
    let mut doubts: Vec<Doubt> = Vec::new();
    while let Some(record) = records.next()? {
        let line = record.line;
        if let Some(fault) = eye.structure(&record) {
            found.push((line, fault));
        } else {
            let record = Arc::new(record);
            for (at, field) in file.layout.fields.iter().enumerate() {
                let Some(column) = field.column else { continue };
                let piece = &record.values[at];
                if !piece.quoted && piece.bytes == options.null.as_bytes() && column != source.field
                {
                    continue;
                }
                let text = std::str::from_utf8(&piece.bytes).unwrap_or_default();
                let kind = source.columns[column].kind;
                let plain = plainly(kind, text)
                    && (column != source.field || within(kind, text, file.partition));
                if !plain {
                    doubts.push(Doubt {
                        record: Arc::clone(&record),
                        field: at,
                    });
                }
            }
        }
        if doubts.len() >= BATCH {
            eye.judge(&std::mem::take(&mut doubts), options, &mut found);
        }
        if found.len() > MOST_REPORTED {
            break;
        }
    }
    eye.judge(&doubts, options, &mut found);
    found.sort_by_key(|(line, _)| *line);
    let more = found.len() > MOST_REPORTED;
    found.truncate(MOST_REPORTED);
    if let Some((_, last)) = found.last_mut().filter(|_| more) {
        last.notes
            .push("more rows of the file are broken".to_owned());
    }
    Ok(found.into_iter().map(|(_, fault)| fault).collect())
}

/// What a look at a CSV file needs.
struct Eye<'a> {
    source: &'a FileSource,
    file: &'a Located<'a>,
    header: Option<&'a str>,
    reader: &'a Reader,
}

impl Eye<'_> {
    /// Tells what is wrong with a record whatever its values mean.
    fn structure(&self, record: &Record) -> Option<Diagnostic> {
        let expected = self.file.layout.fields.len();
        let place = || record_file(self.file.shown, self.header, record);
        let error = |message: String| Diagnostic::error(Code::BadCsv, message);
        if let Some((at, broken)) = record.broken {
            let (file, ranges) = place();
            let mut values = record.values.iter().zip(&ranges);
            let shift = values
                .rfind(|(piece, _)| piece.range.start <= at)
                .map_or(0, |(piece, range)| range.start + (at - piece.range.start));
            let span = Span::new(&file, shift..(shift + 1).min(file.text.len()));
            return Some(match broken {
                Broken::Open => error("this quote is never closed".to_owned())
                    .at(span)
                    .note(of_source(self.source))
                    .help("close it, or double a quote that belongs to the text"),
                Broken::LineEnd => error("this line ends in another way than the first".to_owned())
                    .at(span)
                    .note(of_source(self.source))
                    .help("end all lines with LF, or all with CR LF"),
                Broken::After => error("text follows the closing quote".to_owned())
                    .at(span)
                    .note(of_source(self.source))
                    .help("double a quote that belongs to the text: \"say \"\"hi\"\"\""),
            });
        }
        if let Some(at) = record
            .values
            .iter()
            .position(|piece| std::str::from_utf8(&piece.bytes).is_err())
        {
            let (file, ranges) = place();
            return Some(
                error("this value is not UTF-8".to_owned())
                    .at(Span::new(&file, ranges[at].clone()))
                    .note(of_source(self.source))
                    .help("write the file in UTF-8"),
            );
        }
        if record.values.len() != expected {
            let (file, _) = place();
            let length = file.text.len();
            let start = length - String::from_utf8_lossy(&record.bytes).len();
            let found = record.values.len();
            let named = match self.header {
                Some(_) => format!("the header names {expected} columns"),
                None => format!("{expected} columns are expected"),
            };
            let values = if found == 1 { "value" } else { "values" };
            let wrong = error(format!("this row has {found} {values}, and {named}"))
                .at(Span::new(&file, start..length))
                .note(of_source(self.source));
            return Some(if found > expected {
                wrong.help("quote a value that holds the delimiter: \"a,b\"")
            } else {
                wrong
            });
        }
        None
    }

    /// Asks the database which of some values it cannot read.
    fn judge(&self, doubts: &[Doubt], options: &CsvOptions, found: &mut Vec<(usize, Diagnostic)>) {
        let columns = sql::columns_json(self.source, Typing::Portable);
        let bounds = sql::bounds_json(self.source, self.file.partition, Typing::Portable);
        for (at, field) in self.file.layout.fields.iter().enumerate() {
            let Some(column) = field.column else { continue };
            let of_field: Vec<&Doubt> = doubts.iter().filter(|doubt| doubt.field == at).collect();
            if of_field.is_empty() {
                continue;
            }
            let values: Vec<Json> = of_field
                .iter()
                .map(|doubt| {
                    let piece = &doubt.record.values[at];
                    if !piece.quoted && piece.bytes == options.null.as_bytes() {
                        return "cast(null as varchar)".into();
                    }
                    sql::literal(&String::from_utf8_lossy(&piece.bytes)).into()
                })
                .collect();
            let mut given = sql::field_json(self.source, field);
            given["read_as"] = "varchar".into();
            let mut described = columns[column].clone();
            if self.source.columns[column].kind == Kind::Number(None) {
                // The target reads it; here it is enough that it is a number.
                described["type"] = "double".into();
            }
            let args = [values.into(), described, given, bounds.clone().into()];
            let Ok(sql) = self.reader.macros().sql("landing_bad_values", &args) else {
                continue;
            };
            let Ok(table) = self.reader.fetch(&sql) else {
                continue;
            };
            for row in &table.rows {
                let Datum::Int(index) = row[0] else { continue };
                let Some(doubt) = usize::try_from(index).ok().and_then(|at| of_field.get(at))
                else {
                    continue;
                };
                found.push((doubt.record.line, self.bad_value(doubt, field, column)));
            }
        }
    }

    fn bad_value(&self, doubt: &Doubt, field: &Field, column: usize) -> Diagnostic {
        let (file, ranges) = record_file(self.file.shown, self.header, &doubt.record);
        let piece = &doubt.record.values[doubt.field];
        let value = String::from_utf8_lossy(&piece.bytes);
        let message = what_is_wrong(self.source, self.file.partition, column, field, &value);
        Diagnostic::error(Code::BadCsv, message)
            .at(Span::new(&file, ranges[doubt.field].clone()))
            .note(of_source(self.source))
    }
}

/// Puts into words why a value cannot be read.
fn what_is_wrong(
    source: &FileSource,
    partition: &str,
    column: usize,
    field: &Field,
    value: &str,
) -> String {
    let declared = &source.columns[column];
    let name = &field.name;
    if column == source.field && (plainly(declared.kind, value) || value.is_empty()) {
        let value = if value.is_empty() {
            "empty".to_owned()
        } else {
            format!("`{value}`")
        };
        return format!("`{name}` is {value}, and the file's path says `{partition}`");
    }
    let shown: String = value.chars().take(60).collect();
    let dots = if shown.len() < value.len() { ".." } else { "" };
    format!(
        "`{name}` is `{shown}{dots}`, which is no `{}`",
        declared.data_type
    )
}

/// Tells whether a text certainly is a value of a kind; where not, the database is asked.
fn plainly(kind: Kind, text: &str) -> bool {
    match kind {
        Kind::Text => true,
        Kind::SmallInt => text.parse::<i16>().is_ok(),
        Kind::Integer => text.parse::<i32>().is_ok(),
        Kind::BigInt => text.parse::<i64>().is_ok(),
        Kind::Double => text.parse::<f64>().is_ok(),
        Kind::Boolean => text == "true" || text == "false",
        Kind::Date => text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok(),
        Kind::Timestamp => text.len() == 19 && text.parse::<jiff::civil::DateTime>().is_ok(),
        Kind::TimestampTz => text.parse::<jiff::Timestamp>().is_ok(),
        Kind::Number(_) | Kind::Other => false,
    }
}

/// Tells whether a value of the partition's column certainly is of its partition.
fn within(kind: Kind, text: &str, partition: &str) -> bool {
    let Some((from, to)) = bounds(partition) else {
        return text == partition;
    };
    let at = match kind {
        Kind::Date => text
            .parse::<jiff::civil::Date>()
            .map(|date| date.at(0, 0, 0, 0)),
        Kind::Timestamp => text.parse::<jiff::civil::DateTime>(),
        Kind::TimestampTz => text
            .parse::<jiff::Timestamp>()
            .map(|at| at.to_zoned(jiff::tz::TimeZone::UTC).datetime()),
        _ => return text == partition,
    };
    at.is_ok_and(|at| from <= at && at < to)
}

/// Looks through rows that have numbers and no lines: Parquet and JSON.
fn of_rows(source: &FileSource, file: &Located<'_>, reader: &Reader) -> Vec<Diagnostic> {
    let columns = sql::columns_json(source, Typing::Portable);
    let options = sql::options_json(source, Typing::Portable);
    let part = sql::parts_json(source, std::slice::from_ref(file), Typing::Portable).swap_remove(0);
    let bounds = sql::bounds_json(source, file.partition, Typing::Portable);
    let shown = file.shown;
    let mut found: Vec<(i64, Diagnostic)> = Vec::new();
    for field in &file.layout.fields {
        let Some(column) = field.column else { continue };
        let args = [
            part.clone(),
            columns[column].clone(),
            sql::field_json(source, field),
            bounds.clone().into(),
            options.clone(),
            MOST_REPORTED.into(),
        ];
        let table = match reader.macros().sql("landing_bad_rows", &args) {
            Ok(sql) => match reader.fetch(&sql) {
                Ok(table) => table,
                Err(error) => return vec![broken(source, shown, file.path, &error)],
            },
            Err(fault) => return vec![*fault],
        };
        for row in &table.rows {
            let Datum::Int(number) = row[0] else { continue };
            let value = row[1].to_text();
            let words = what_is_wrong(source, file.partition, column, field, &value);
            let message = format!("`{shown}`, row {number}: {words}");
            found.push((
                number,
                Diagnostic::error(Code::BadFile, message).note(of_source(source)),
            ));
        }
    }
    found.sort_by_key(|(number, _)| *number);
    found.truncate(MOST_REPORTED);
    found.into_iter().map(|(_, fault)| fault).collect()
}

/// Points at the row of a file that the target has refused, after so many that it had taken, where
/// its words tell which.
pub(super) fn refused(
    source: &FileSource,
    files: &[Located<'_>],
    taken: u64,
    refused: Diagnostic,
) -> Diagnostic {
    let found = match (&source.format, files) {
        (Format::Csv(options), [file]) => {
            let told = refused.notes.iter().flat_map(|note| note.lines());
            let told = told.filter_map(told_row);
            told.filter_map(|told| row_at(source, options, file, taken, told).ok()?)
                .next()
        }
        _ => None,
    };
    let Some(span) = found else {
        return refused;
    };
    let mut fault = Diagnostic::error(Code::BadCsv, refused.message)
        .at(span)
        .note(of_source(source));
    fault.notes.extend(refused.notes);
    fault
}

/// What a target's words tell of a row: its number within what was handed over, from 1, the column, and
/// what follows.
type Told<'w> = (u64, &'w str, &'w str);

fn told_row(words: &str) -> Option<Told<'_>> {
    let (_, rest) = words.split_once(", line ")?;
    let (line, rest) = rest.split_once(", column ")?;
    let (column, value) = rest.split_once(": ")?;
    Some((line.parse().ok()?, column, value))
}

/// The place of a value in a file; `None` where the file does not hold it there.
fn row_at(
    source: &FileSource,
    options: &CsvOptions,
    file: &Located<'_>,
    taken: u64,
    (row, column, value): Told<'_>,
) -> std::io::Result<Option<Span>> {
    let mut fields = file.layout.fields.iter();
    let at = fields.position(|field| {
        field
            .column
            .is_some_and(|of| source.columns[of].name == column)
    });
    let Some(at) = at else { return Ok(None) };
    let mut records = csv::records(file.path, file.gzip, options)?;
    let mut header = None;
    if options.header == Header::Named
        && let Some(first) = records.next()?
    {
        header = Some(String::from_utf8_lossy(&first.bytes).into_owned());
    }
    for _ in 1..taken + row {
        if records.next()?.is_none() {
            return Ok(None);
        }
    }
    let Some(record) = records.next()? else {
        return Ok(None);
    };
    let (text, ranges) = record_file(file.shown, header.as_deref(), &record);
    let said = record.values.get(at).map(|piece| &piece.bytes);
    let said = String::from_utf8_lossy(said.map_or(&[][..], Vec::as_slice));
    let start: String = said.chars().take(20).collect();
    let place = ranges.get(at).filter(|_| value.contains(&start));
    Ok(place.map(|range| Span::new(&text, range.clone())))
}

/// The fault of files in which none was found: the reader's own words.
pub(super) fn in_its_words(
    source: &FileSource,
    files: &[Located<'_>],
    error: &AdapterError,
) -> Diagnostic {
    let mut words = error.message.clone();
    for file in files {
        words = words.replace(&*file.path.to_string_lossy(), file.shown);
    }
    let partition = files.first().map_or("", |file| file.partition);
    let message = format!(
        "source `{}`: the {} `{partition}` cannot be read",
        source.name,
        source.cut.as_str()
    );
    let mut fault = Diagnostic::error(Code::BadFile, message);
    let lines = words.lines().take(2).map(|line| line.trim().to_owned());
    fault.notes.extend(lines);
    fault
}
