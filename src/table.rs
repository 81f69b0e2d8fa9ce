//! Rows that a database returned, or that are loaded into one.

use jiff::civil::{Date, DateTime, Time};

/// One value of a result.
#[derive(Clone, Debug, PartialEq)]
pub enum Datum {
    /// SQL null.
    Null,
    /// A boolean.
    Bool(bool),
    /// An integer of up to 64 bits.
    Int(i64),
    /// An exact number that is not an [`Datum::Int`], in plain decimal digits.
    Decimal(String),
    /// A floating point number.
    Float(f64),
    /// Text, and every type without a variant of its own, as the database prints it.
    Text(String),
    /// Raw bytes.
    Bytes(Vec<u8>),
    /// A calendar date.
    Date(Date),
    /// A time of day.
    Time(Time),
    /// A date and time without a zone.
    Timestamp(DateTime),
    /// An instant.
    TimestampTz(jiff::Timestamp),
    /// A list, struct, map or JSON value.
    Json(serde_json::Value),
}

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultColumn {
    /// Its name as the database gave it.
    pub name: String,
    /// Its type in the database's words, such as `integer` or `timestamp`; empty where unknown.
    pub data_type: String,
}

/// Columns and rows; every row has as many values as there are columns.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// The columns in order.
    pub columns: Vec<ResultColumn>,
    /// The rows in order.
    pub rows: Vec<Vec<Datum>>,
}

impl Datum {
    /// The value as JSON, in the way of dbt's `show --output json`: exact numbers become numbers,
    /// dates and times ISO text, bytes hexadecimal text.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value;
        match self {
            Datum::Null => Value::Null,
            Datum::Bool(value) => (*value).into(),
            Datum::Int(value) => (*value).into(),
            Datum::Decimal(digits) => match digits.parse::<f64>() {
                Ok(number) if number.is_finite() => number.into(),
                _ => digits.as_str().into(),
            },
            // Infinities have no JSON number.
            Datum::Float(value) if value.is_finite() => (*value).into(),
            Datum::Json(value) => value.clone(),
            Datum::Timestamp(value) => value.to_string().into(),
            Datum::TimestampTz(value) => offset_text(*value, 'T').into(),
            other => other.to_text().into(),
        }
    }

    /// The value as people read it in a table; null is empty, as in dbt.
    pub fn to_text(&self) -> String {
        match self {
            Datum::Null => String::new(),
            Datum::Bool(true) => "True".to_owned(),
            Datum::Bool(false) => "False".to_owned(),
            Datum::Int(value) => value.to_string(),
            Datum::Decimal(digits) => digits.clone(),
            Datum::Float(value) => float_text(*value),
            Datum::Text(text) => text.clone(),
            Datum::Bytes(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
            Datum::Date(value) => value.to_string(),
            Datum::Time(value) => value.to_string(),
            Datum::Timestamp(value) => value.to_string().replacen('T', " ", 1),
            Datum::TimestampTz(value) => offset_text(*value, ' '),
            Datum::Json(value) => value.to_string(),
        }
    }

    /// Tells whether a table aligns it to the right.
    pub fn is_number(&self) -> bool {
        matches!(self, Datum::Int(_) | Datum::Decimal(_) | Datum::Float(_))
    }
}

impl Table {
    /// The rows as JSON objects, keys in the order of the columns.
    pub fn to_json(&self) -> Vec<serde_json::Value> {
        self.rows
            .iter()
            .map(|row| {
                self.columns
                    .iter()
                    .zip(row)
                    .map(|(column, value)| (column.name.clone(), value.to_json()))
                    .collect::<serde_json::Map<_, _>>()
                    .into()
            })
            .collect()
    }
}

/// Large and small numbers keep an exponent.
fn float_text(value: f64) -> String {
    let size = value.abs();
    if value.is_finite() && size != 0.0 && !(1e-4..1e16).contains(&size) {
        return format!("{value:e}");
    }
    value.to_string()
}

fn offset_text(instant: jiff::Timestamp, separator: char) -> String {
    let utc = instant.to_zoned(jiff::tz::TimeZone::UTC).datetime();
    let text = utc.to_string().replacen('T', &separator.to_string(), 1);
    format!("{text}+00:00")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Vec<Datum> {
        vec![
            Datum::Null,
            Datum::Bool(true),
            Datum::Int(12_345_678),
            Datum::Decimal("1.50".to_owned()),
            Datum::Float(1e10),
            Datum::Float(1e20),
            Datum::Float(f64::NAN),
            Datum::Text("x".to_owned()),
            Datum::Bytes(vec![0, 255]),
            Datum::Date(jiff::civil::date(2024, 1, 1)),
            Datum::Time(jiff::civil::time(1, 2, 3, 0)),
            Datum::Timestamp(jiff::civil::date(2024, 1, 1).at(1, 2, 3, 500_000_000)),
            Datum::TimestampTz("2024-01-01T01:02:03Z".parse().expect("an instant")),
            Datum::Json(serde_json::json!([1, "a"])),
        ]
    }

    #[test]
    fn values_become_text() {
        let texts: Vec<String> = samples().iter().map(Datum::to_text).collect();
        assert_eq!(
            texts,
            [
                "",
                "True",
                "12345678",
                "1.50",
                "10000000000",
                "1e20",
                "NaN",
                "x",
                "00ff",
                "2024-01-01",
                "01:02:03",
                "2024-01-01 01:02:03.5",
                "2024-01-01 01:02:03+00:00",
                "[1,\"a\"]",
            ]
        );
    }

    #[test]
    fn values_become_json() {
        let values: Vec<String> = samples()
            .iter()
            .map(|datum| datum.to_json().to_string())
            .collect();
        assert_eq!(
            values,
            [
                "null",
                "true",
                "12345678",
                "1.5",
                "10000000000.0",
                "1e+20",
                "\"NaN\"",
                "\"x\"",
                "\"00ff\"",
                "\"2024-01-01\"",
                "\"01:02:03\"",
                "\"2024-01-01T01:02:03.5\"",
                "\"2024-01-01T01:02:03+00:00\"",
                "[1,\"a\"]",
            ]
        );
    }
}
