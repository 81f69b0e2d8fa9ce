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
