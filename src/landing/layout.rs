//! What a file holds: its columns, found by name, and whether the partition's is among them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::csv;
use super::faults;
use super::spec::{CsvOptions, ExtraColumns, FileSource, Format, Header, Kind, listed};
use super::sql::{self, Reader};
use crate::diagnostic::{Code, Diagnostic, nearest};
use crate::source::Span;
use crate::table::Datum;

/// The columns of a file, in its order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Layout {
    pub fields: Vec<Field>,
}

/// One column of a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Field {
    /// Its name in the file.
    pub name: String,
    /// Its type in the file, where that has types.
    pub data_type: Option<String>,
    /// Which column of the table it is; `None` for one that is not read.
    pub column: Option<usize>,
}

/// Reads what a file holds.
///
/// # Errors
/// A file that cannot be read, and columns that lack, are not declared, or are of another type.
pub(super) fn layout(
    source: &FileSource,
    shown: &str,
    path: &Path,
    reader: &dyn Fn() -> Result<ReaderRef, Box<Diagnostic>>,
) -> Result<Layout, Vec<Diagnostic>> {
    let gzip = sql::is_gzip(source, shown);
    if gzip && let Err(error) = csv::check_gzip(path) {
        return Err(vec![faults::cut_short(source, shown, &error)]);
    }
    match &source.format {
        Format::Csv(options) => csv_layout(source, options, shown, path, gzip),
        Format::Parquet => {
            let reader = reader().map_err(|e| vec![*e])?;
            parquet_layout(source, shown, path, &reader)
        }
        Format::Json(_) => {
            let reader = reader().map_err(|e| vec![*e])?;
            json_layout(source, shown, path, gzip, &reader)
        }
    }
}

/// A reader that is opened when it is first needed.
pub(super) type ReaderRef = std::sync::Arc<Reader>;

/// As [`layout`], of a CSV file of which only the beginning is at hand.
pub(super) fn of_head(
    source: &FileSource,
    options: &CsvOptions,
    shown: &str,
    head: &Path,
) -> Result<Layout, Vec<Diagnostic>> {
    csv_layout(source, options, shown, head, sql::is_gzip(source, shown))
}

fn csv_layout(
    source: &FileSource,
    options: &CsvOptions,
    shown: &str,
    path: &Path,
    gzip: bool,
) -> Result<Layout, Vec<Diagnostic>> {
    let fail = |error: std::io::Error| vec![faults::unreadable(source, shown, &error)];
    let mut records = csv::records(path, gzip, options).map_err(fail)?;
    let Some(first) = records.next().map_err(fail)? else {
        // Without a header, a file without lines is one without rows.
        if options.header == Header::None {
            return Ok(by_order(source, source.columns.len() - 1));
        }
        let message = format!("`{shown}` is empty, so its columns have no names");
        let error = Diagnostic::error(Code::BadCsv, message)
            .note(faults::of_source(source))
            .help("write the column names into the first line, also of a file without rows");
        return Err(vec![error]);
    };
    if options.header == Header::None {
        // A row of another length is found with the rows.
        return Ok(by_order(source, first.values.len()));
    }
    let (file, ranges) = faults::record_file(shown, None, &first);
    if let Some((_, at)) = first
        .values
        .iter()
        .zip(&ranges)
        .find(|(piece, _)| std::str::from_utf8(&piece.bytes).is_err())
    {
        let error = Diagnostic::error(Code::BadCsv, format!("`{shown}` is not UTF-8"))
            .label(Span::new(&file, at.clone()), "these bytes are no text")
            .note(faults::of_source(source))
            .help("write the file in UTF-8");
        return Err(vec![error]);
    }
    let names: Vec<(String, Option<String>)> = first
        .values
        .iter()
        .map(|piece| {
            (
                String::from_utf8_lossy(&piece.bytes).trim().to_owned(),
                None,
            )
        })
        .collect();
    let place = |at: Option<usize>| {
        let whole = || Span::line(&file, first.line);
        at.map_or_else(whole, |at| Span::new(&file, ranges[at].clone()))
    };
    by_name(
        source,
        Code::BadCsv,
        shown,
        names,
        Missing::Refuse,
        &|at, diagnostic| diagnostic.at(place(at)),
    )
}

/// The layout of a file without names: the declared columns in order.
fn by_order(source: &FileSource, found: usize) -> Layout {
    let field = &source.columns[source.field];
    let all = source.columns.len();
    let held = field.declared && found >= all;
    let columns = (0..all).filter(|at| held || *at != source.field);
    let fields = columns.map(|at| Field {
        name: source.columns[at].name.clone(),
        data_type: None,
        column: Some(at),
    });
    Layout {
        fields: fields.collect(),
    }
}

/// What a declared column that a file lacks means.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    Refuse,
    /// It is null: objects may lack what is null.
    Null,
}

/// Finds the columns by their names; `place` says where the one of an index is.
fn by_name(
    source: &FileSource,
    code: Code,
    shown: &str,
    names: Vec<(String, Option<String>)>,
    missing: Missing,
    place: &dyn Fn(Option<usize>, Diagnostic) -> Diagnostic,
) -> Result<Layout, Vec<Diagnostic>> {
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    let mut fields = Vec::new();
    let mut extra: Vec<(usize, &str)> = Vec::new();
    for (at, (name, data_type)) in names.iter().enumerate() {
        if !seen.insert(name.to_lowercase()) {
            let message = format!("`{shown}` has the column `{name}` twice");
            let error = Diagnostic::error(code, message).note(faults::of_source(source));
            wrong.push(place(Some(at), error));
            continue;
        }
        let column = source
            .columns
            .iter()
            .position(|column| column.name.to_lowercase() == name.to_lowercase());
        if column.is_none() {
            extra.push((at, name));
        }
        fields.push(Field {
            name: name.clone(),
            data_type: data_type.clone(),
            column,
        });
    }
    let held: BTreeSet<usize> = fields.iter().filter_map(|field| field.column).collect();
    let absent: Vec<&str> = (0..source.columns.len())
        .filter(|at| *at != source.field && !held.contains(at))
        .map(|at| source.columns[at].name.as_str())
        .collect();
    if !absent.is_empty() && missing == Missing::Refuse {
        let message = format!("`{shown}` lacks the {}", plural("column", &absent));
        let mut error = Diagnostic::error(code, message).note(faults::of_source(source));
        let near = absent
            .iter()
            .find_map(|name| nearest(name, extra.iter().map(|(_, extra)| *extra)));
        error.help = near.map(|near| format!("the file has a column `{near}`"));
        wrong.push(place(None, error));
    }
    if source.extra_columns == ExtraColumns::Refuse {
        for (at, name) in &extra {
            let message = format!("`{shown}` has the column `{name}`, which is not declared");
            let error = Diagnostic::error(code, message)
                .note(faults::of_source(source))
                .help("declare it, or write `extra_columns: ignore` into `external`");
            wrong.push(place(Some(*at), error));
        }
    }
    if wrong.is_empty() {
        Ok(Layout { fields })
    } else {
        Err(wrong)
    }
}

fn plural(word: &str, names: &[&str]) -> String {
    let many = if names.len() == 1 { "" } else { "s" };
    format!("{word}{many} {}", listed(names.iter().copied()))
}

fn parquet_layout(
    source: &FileSource,
    shown: &str,
    path: &Path,
    reader: &Reader,
) -> Result<Layout, Vec<Diagnostic>> {
    let file = sql::literal(&path.to_string_lossy());
    let sql = reader
        .macros()
        .sql("landing_describe", &[file.into()])
        .map_err(|e| vec![*e])?;
    let table = reader
        .fetch(&sql)
        .map_err(|error| vec![faults::broken(source, shown, path, &error)])?;
    let text = |datum: &Datum| datum.to_text();
    let names = table
        .rows
        .iter()
        .map(|row| (text(&row[0]), Some(text(&row[1]))))
        .collect();
    let layout = by_name(
        source,
        Code::BadFile,
        shown,
        names,
        Missing::Refuse,
        &|_, diagnostic| diagnostic,
    )?;
    let wrong: Vec<Diagnostic> = layout
        .fields
        .iter()
        .filter_map(|field| {
            let column = &source.columns[field.column?];
            let own = field.data_type.as_deref()?;
            if holds(column.kind, own) {
                return None;
            }
            let message = format!(
                "`{shown}`: the column `{}` is of type {own}, and declared `{}`",
                field.name, column.data_type
            );
            let error = Diagnostic::error(Code::BadFile, message).note(faults::of_source(source));
            Some(error.help("write the file with that type, or declare the file's"))
        })
        .collect();
    if wrong.is_empty() {
        Ok(layout)
    } else {
        Err(wrong)
    }
}

/// Tells whether a declared kind holds all values of a type of a Parquet file.
fn holds(kind: Kind, own: &str) -> bool {
    let own = own.to_uppercase();
    let whole = own.ends_with("INT") || own.ends_with("INTEGER");
    match kind {
        Kind::Text | Kind::Other => true,
        // Text is read as in the other formats.
        _ if own == "VARCHAR" => true,
        Kind::SmallInt | Kind::Integer | Kind::BigInt => {
            whole || own.starts_with("DECIMAL") && own.ends_with(",0)")
        }
        Kind::Number(declared) => {
            let scale = own
                .strip_prefix("DECIMAL(")
                .and_then(|rest| rest.trim_end_matches(')').split_once(','))
                .and_then(|(_, scale)| scale.trim().parse::<u8>().ok());
            whole || scale.is_some_and(|scale| declared.is_none_or(|(_, most)| scale <= most))
        }
        Kind::Double => whole || own == "FLOAT" || own == "DOUBLE" || own.starts_with("DECIMAL"),
        Kind::Boolean => own == "BOOLEAN",
        Kind::Date => own == "DATE",
        Kind::Timestamp => own == "DATE" || own.starts_with("TIMESTAMP"),
        Kind::TimestampTz => own.starts_with("TIMESTAMP"),
    }
}

fn json_layout(
    source: &FileSource,
    shown: &str,
    path: &Path,
    gzip: bool,
    reader: &Reader,
) -> Result<Layout, Vec<Diagnostic>> {
    let file = sql::literal(&path.to_string_lossy());
    let compression = if gzip { "gzip" } else { "uncompressed" };
    let sql = reader
        .macros()
        .sql("landing_json_keys", &[file.into(), compression.into()])
        .map_err(|e| vec![*e])?;
    let table = reader
        .fetch(&sql)
        .map_err(|error| vec![faults::broken(source, shown, path, &error)])?;
    // Keys are told apart by case, and the first in order is the one that is read.
    let mut keys: BTreeMap<String, String> = BTreeMap::new();
    if table.rows.iter().any(|row| row[0] == Datum::Null) {
        let message = format!("`{shown}` holds what is no object");
        let error = Diagnostic::error(Code::BadFile, message)
            .note(faults::of_source(source))
            .help("write an object a row: one a line, or all in an array");
        return Err(vec![error]);
    }
    for row in &table.rows {
        let key = row[0].to_text();
        keys.entry(key.to_lowercase()).or_insert(key);
    }
    let none = keys.is_empty();
    let names = keys.into_values().map(|key| (key, None)).collect();
    // A file without rows says nothing of its columns.
    let missing = if none { Missing::Null } else { Missing::Refuse };
    by_name(
        source,
        Code::BadFile,
        shown,
        names,
        missing,
        &|_, diagnostic| diagnostic,
    )
    .map(|mut layout| {
        if none {
            layout = by_order(source, source.columns.len() - 1);
        }
        layout
    })
}
