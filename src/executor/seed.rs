//! Seeds: a CSV file to typed rows.
//!
//! Types are inferred as dbt does: a column is a number, a date, a timestamp or a boolean if every
//! value in it is one or is empty; everything else is text. Columns that the config gives a type
//! stay text here, and the database casts them.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::civil::{Date, DateTime};

use crate::diagnostic::{Code, Diagnostic};
use crate::dialect::Dialect;
use crate::source::{SourceFile, Span};
use crate::table::{Datum, ResultColumn, Table};

/// How many broken rows are reported of one file.
const MOST_REPORTED: usize = 10;

/// Reads a CSV text whose first line names the columns.
///
/// `as_text` names columns that are not inferred. The types in the result are those of the dialect.
///
/// # Errors
/// Rows whose length differs from the header's, repeated column names, broken quotes; each with its line.
pub fn read_csv(
    file: &Arc<SourceFile>,
    delimiter: u8,
    as_text: &BTreeSet<String>,
    dialect: &Dialect,
) -> Result<Table, Vec<Diagnostic>> {
    let (header, records) = read_records(file, delimiter)?;
    let mut kinds = Vec::with_capacity(header.len());
    for (index, name) in header.iter().enumerate() {
        let cells = records.iter().map(|record| &record[index]);
        kinds.push(if as_text.contains(&name.to_lowercase()) {
            Kind::Text
        } else {
            infer(cells)
        });
    }
    let columns = header
        .iter()
        .zip(&kinds)
        .map(|(name, kind)| ResultColumn {
            name: name.clone(),
            data_type: kind.type_name(dialect).to_owned(),
        })
        .collect();
    let rows = records
        .iter()
        .map(|record| {
            record
                .iter()
                .zip(&kinds)
                .map(|(cell, kind)| kind.convert(cell))
                .collect()
        })
        .collect();
    Ok(Table { columns, rows })
}

type Records = (Vec<String>, Vec<csv::StringRecord>);

fn read_records(file: &Arc<SourceFile>, delimiter: u8) -> Result<Records, Vec<Diagnostic>> {
    let text = file.text.strip_prefix('\u{feff}').unwrap_or(&file.text);
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .flexible(true)
        .from_reader(text.as_bytes());
    let bad = |line: u64, message: String| {
        let line = usize::try_from(line).unwrap_or(usize::MAX);
        Diagnostic::error(Code::BadCsv, message).at(Span::line(file, line))
    };
    let header: Vec<String> = match reader.headers() {
        Ok(header) => header.iter().map(|name| name.trim().to_owned()).collect(),
        Err(error) => return Err(vec![bad(1, error.to_string())]),
    };
    if header.iter().all(String::is_empty) {
        let message = "the file is empty, so its columns have no names";
        return Err(vec![
            bad(1, message.to_owned()).help("write the column names into the first line"),
        ]);
    }
    if let Some(at) = header.iter().position(String::is_empty) {
        let message = format!("column {} has no name", at + 1);
        return Err(vec![
            bad(1, message).help("write the column names into the first line"),
        ]);
    }
    let mut seen = BTreeSet::new();
    if let Some(name) = header.iter().find(|name| !seen.insert(name.to_lowercase())) {
        return Err(vec![bad(1, format!("the column `{name}` appears twice"))]);
    }
    let mut records = Vec::new();
    let mut wrong = Vec::new();
    for record in reader.records() {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                let line = error.position().map_or(1, csv::Position::line);
                wrong.push(bad(line, error.to_string()));
                continue;
            }
        };
        if record.len() == header.len() {
            records.push(record);
            continue;
        }
        let line = record.position().map_or(1, csv::Position::line);
        let message = format!(
            "this row has {} values, the header names {} columns",
            record.len(),
            header.len()
        );
        wrong.push(bad(line, message).help("quote a value that holds the delimiter: \"a,b\""));
    }
    if wrong.is_empty() {
        return Ok((header, records));
    }
    let more = wrong.len().saturating_sub(MOST_REPORTED);
    wrong.truncate(MOST_REPORTED);
    if let Some(last) = wrong.last_mut().filter(|_| more > 0) {
        last.notes.push(format!("{more} more rows are broken"));
    }
    Err(wrong)
}

/// What all cells of a column can be read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Integer,
    BigInteger,
    Number,
    Date,
    Timestamp,
    Boolean,
    Text,
}

impl Kind {
    fn type_name(self, dialect: &Dialect) -> &'static str {
        match self {
            Kind::Integer => dialect.types.integer,
            Kind::BigInteger => dialect.types.bigint,
            Kind::Number => dialect.types.number,
            Kind::Date => dialect.types.date,
            Kind::Timestamp => dialect.types.timestamp,
            Kind::Boolean => dialect.types.boolean,
            Kind::Text => dialect.types.text,
        }
    }

    fn convert(self, cell: &str) -> Datum {
        let cell = match self {
            Kind::Text => cell,
            _ => cell.trim(),
        };
        if is_null(cell) {
            return Datum::Null;
        }
        let converted = match self {
            Kind::Integer | Kind::BigInteger => integer(cell)
                .map(Datum::Int)
                .or_else(|| Some(Datum::Decimal(number(cell)?))),
            Kind::Number => number(cell).map(Datum::Decimal),
            Kind::Date => date(cell).map(Datum::Date),
            Kind::Timestamp => timestamp(cell).map(Datum::Timestamp),
            Kind::Boolean => boolean(cell).map(Datum::Bool),
            Kind::Text => None,
        };
        converted.unwrap_or_else(|| Datum::Text(cell.to_owned()))
    }
}

/// Finds the first kind that every cell fits, in the order in which dbt tries them.
fn infer<'a>(cells: impl Iterator<Item = &'a str> + Clone) -> Kind {
    let values = || cells.clone().map(str::trim).filter(|cell| !is_null(cell));
    if values().all(|cell| number(cell).is_some()) {
        return if values()
            .all(|cell| integer(cell).is_some_and(|value| i32::try_from(value).is_ok()))
        {
            Kind::Integer
        } else if values().all(|cell| integer(cell).is_some()) {
            Kind::BigInteger
        } else {
            Kind::Number
        };
    }
    if values().all(|cell| date(cell).is_some()) {
        return Kind::Date;
    }
    if values().all(|cell| timestamp(cell).is_some()) {
        return Kind::Timestamp;
    }
    if values().all(|cell| boolean(cell).is_some()) {
        return Kind::Boolean;
    }
    Kind::Text
}

fn is_null(cell: &str) -> bool {
    cell.is_empty() || cell.eq_ignore_ascii_case("null")
}

/// Reads a number as agate does: thousands separators, a currency sign and a percent sign are dropped.
fn number(cell: &str) -> Option<String> {
    let (negative, digits) = match cell.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, cell.strip_prefix('+').unwrap_or(cell)),
    };
    let digits = digits
        .trim_matches(['$', '€', '£', '¥', '%'])
        .replace(',', "");
    let (mantissa, exponent) = match digits.find(['e', 'E']) {
        Some(at) => (&digits[..at], Some(&digits[at + 1..])),
        None => (digits.as_str(), None),
    };
    let mut dots = 0;
    let plain = mantissa.chars().all(|c| {
        dots += usize::from(c == '.');
        c.is_ascii_digit() || c == '.'
    });
    if !plain || dots > 1 || !mantissa.bytes().any(|byte| byte.is_ascii_digit()) {
        return None;
    }
    if let Some(exponent) = exponent {
        exponent.parse::<i16>().ok()?;
    }
    let sign = if negative { "-" } else { "" };
    Some(format!("{sign}{digits}"))
}

/// Reads a number without a fraction; `2.0` is one.
fn integer(cell: &str) -> Option<i64> {
    let digits = number(cell)?;
    let whole = match digits.split_once('.') {
        Some((whole, fraction)) if fraction.bytes().all(|byte| byte == b'0') => whole,
        Some(_) => return None,
        None => digits.as_str(),
    };
    whole.parse().ok()
}

fn date(cell: &str) -> Option<Date> {
    Date::strptime("%Y-%m-%d", cell).ok()
}

fn timestamp(cell: &str) -> Option<DateTime> {
    if let Ok(value) = DateTime::strptime("%Y-%m-%d %H:%M:%S", cell) {
        return Some(value);
    }
    let bytes = cell.as_bytes();
    let zoned =
        cell.ends_with(['Z', 'z']) || cell.get(11..).is_some_and(|time| time.contains(['+', '-']));
    (bytes.get(10) == Some(&b'T') && !zoned)
        .then(|| cell.parse().ok())
        .flatten()
}

fn boolean(cell: &str) -> Option<bool> {
    if cell.eq_ignore_ascii_case("true") {
        Some(true)
    } else if cell.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::DUCKDB;

    fn read(text: &str) -> Result<Table, Vec<Diagnostic>> {
        let file = SourceFile::inline("seeds/a.csv", text);
        read_csv(&file, b',', &BTreeSet::from(["zip".to_owned()]), &DUCKDB)
    }

    #[test]
    fn types_are_inferred_from_every_row() {
        let table = read(
            "id,big,price,day,at,ok,name,zip,none\n\
             1,3000000000,1.50,2026-11-01,2026-11-01 10:00:00,true,007a,007,\n\
             2,1,null,2026-11-02,2026-11-02T11:00:00,FALSE,b,008,\n",
        )
        .expect("a table");
        let types: Vec<_> = table.columns.iter().map(|c| c.data_type.as_str()).collect();
        assert_eq!(
            types,
            [
                "integer",
                "bigint",
                "double",
                "date",
                "timestamp",
                "boolean",
                "varchar",
                "varchar",
                "integer"
            ]
        );
        assert_eq!(table.rows[0][2], Datum::Decimal("1.50".to_owned()));
        assert_eq!(table.rows[1][2], Datum::Null);
        assert_eq!(table.rows[1][5], Datum::Bool(false));
        assert_eq!(table.rows[0][7], Datum::Text("007".to_owned()));
    }

    #[test]
    fn ragged_rows_are_all_named() {
        let wrong = read("a,b\n1\n1,2\n1,2,3\n").expect_err("two rows are broken");
        let text: Vec<_> = wrong.iter().map(Diagnostic::to_string).collect();
        insta::assert_snapshot!(text.join("\n\n"));
    }

    #[test]
    fn a_repeated_column_is_refused() {
        let wrong = read("a,A\n1,2\n").expect_err("a column is repeated");
        assert_eq!(wrong[0].message, "the column `A` appears twice");
    }
}
