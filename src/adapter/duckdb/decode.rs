//! From the library's results to [`Table`].

use duckdb::core::{LogicalTypeHandle, LogicalTypeId};
use duckdb::types::{TimeUnit, Value};
use duckdb::{Error, Statement};
use serde_json::Value as Json;

use crate::table::{Datum, ResultColumn, Table};

const DAY_MICROS: i64 = 86_400_000_000;

/// Reads how many rows an executed statement changed, where it tells.
pub(super) fn changed_rows(statement: &Statement<'_>) -> Result<Option<u64>, Error> {
    let counts = statement.column_count() == 1
        && statement.column_name(0)? == "Count"
        && statement.column_logical_type(0).id() == LogicalTypeId::Bigint;
    if !counts {
        return Ok(None);
    }
    match statement.raw_query().next()? {
        Some(row) => Ok(Some(row.get(0)?)),
        None => Ok(None),
    }
}

/// Reads all rows of an executed statement.
pub(super) fn table(statement: &Statement<'_>) -> Result<Table, Error> {
    let mut columns = Vec::new();
    let mut kinds = Vec::new();
    for index in 0..statement.column_count() {
        let logical = statement.column_logical_type(index);
        let column = ResultColumn {
            name: statement.column_name(index)?.clone(),
            data_type: type_name(&logical),
        };
        kinds.push(Kind::of(&logical).ok_or_else(|| unreadable(&column))?);
        columns.push(column);
    }
    let mut rows = Vec::with_capacity(statement.row_count());
    let mut cursor = statement.raw_query();
    while let Some(row) = cursor.next()? {
        let values = kinds.iter().enumerate().map(|(index, kind)| {
            let value = row.get_ref(index)?.to_owned();
            Ok(datum(value, kind))
        });
        rows.push(values.collect::<Result<Vec<Datum>, Error>>()?);
    }
    Ok(Table { columns, rows })
}

fn unreadable(column: &ResultColumn) -> Error {
    let ResultColumn { name, data_type } = column;
    let message = format!("cannot read column `{name}` of type {data_type}: cast it to VARCHAR");
    Error::FromSqlConversionFailure(0, duckdb::types::Type::Any, message.into())
}

/// What the carrier of a value does not tell.
enum Kind {
    Instant,
    Json,
    Bits,
    BigNumber,
    Plain,
    /// The items' kind of a list, the fields' of a struct, the key's and the value's of a map.
    Nested(Vec<Kind>),
}

impl Kind {
    /// `None` for types whose values the library's binding cannot hand over whole.
    fn of(logical: &LogicalTypeHandle) -> Option<Kind> {
        use LogicalTypeId as Id;
        let kind = match logical.id() {
            Id::TimeNs | Id::TimeTZ | Id::Variant | Id::Unsupported => return None,
            Id::TimestampTZ => Kind::Instant,
            Id::Bit => Kind::Bits,
            Id::Bignum => Kind::BigNumber,
            Id::Varchar if logical.get_alias().as_deref() == Some("JSON") => Kind::Json,
            Id::List | Id::Array | Id::Struct | Id::Map => {
                let children = 0..logical.num_children();
                let kinds = children.map(|index| Kind::of(&logical.child(index)));
                Kind::Nested(kinds.collect::<Option<_>>()?)
            }
            _ => Kind::Plain,
        };
        Some(kind)
    }

    fn child(&self, index: usize) -> &Kind {
        match self {
            Kind::Nested(kinds) => kinds.get(index).unwrap_or(&Kind::Plain),
            _ => &Kind::Plain,
        }
    }
}

fn datum(value: Value, kind: &Kind) -> Datum {
    match value {
        Value::Null => Datum::Null,
        Value::Boolean(value) => Datum::Bool(value),
        Value::TinyInt(value) => Datum::Int(value.into()),
        Value::SmallInt(value) => Datum::Int(value.into()),
        Value::Int(value) => Datum::Int(value.into()),
        Value::BigInt(value) => Datum::Int(value),
        Value::UTinyInt(value) => Datum::Int(value.into()),
        Value::USmallInt(value) => Datum::Int(value.into()),
        Value::UInt(value) => Datum::Int(value.into()),
        Value::UBigInt(value) => whole(i64::try_from(value).ok(), value),
        Value::HugeInt(value) => whole(i64::try_from(value).ok(), value),
        Value::UHugeInt(value) => whole(i64::try_from(value).ok(), value),
        Value::Float(value) => Datum::Float(widen(value)),
        Value::Double(value) => Datum::Float(value),
        Value::Decimal(value) => Datum::Decimal(digits(value.value(), value.scale())),
        Value::Text(text) => match kind {
            Kind::Json => match serde_json::from_str(&text) {
                Ok(json) => Datum::Json(json),
                Err(_) => Datum::Text(text),
            },
            _ => Datum::Text(text),
        },
        Value::Enum(text) => Datum::Text(text),
        Value::Blob(bytes) => match kind {
            Kind::Bits => Datum::Text(bits(&bytes)),
            Kind::BigNumber => Datum::Decimal(big_number(&bytes)),
            _ => Datum::Bytes(bytes),
        },
        Value::Geometry(bytes) => Datum::Bytes(bytes),
        Value::Date32(days) => date(days),
        Value::Time64(unit, count) => match time(unit, count) {
            Some(time) => Datum::Time(time),
            None => Datum::Text("24:00:00".into()),
        },
        Value::Timestamp(unit, count) => timestamp(unit, count, matches!(kind, Kind::Instant)),
        Value::Interval {
            months,
            days,
            nanos,
        } => Datum::Text(interval(months, days, nanos)),
        Value::Union(inner) => datum(*inner, kind),
        nested => Datum::Json(json(nested, kind)),
    }
}

/// Writes a bit string; the first byte says how many bits of the second are padding.
fn bits(bytes: &[u8]) -> String {
    let Some((padding, bytes)) = bytes.split_first() else {
        return String::new();
    };
    let all: String = bytes.iter().map(|byte| format!("{byte:08b}")).collect();
    all.chars().skip(usize::from(*padding)).collect()
}

/// Writes a whole number of any size: three bytes of header, then its magnitude, high byte first;
/// every bit is inverted where it is negative.
fn big_number(bytes: &[u8]) -> String {
    let negative = bytes.first().is_some_and(|byte| byte & 0x80 == 0);
    // Groups of nine decimal digits, the lowest first.
    let mut groups = vec![0u64];
    for byte in bytes.iter().skip(3) {
        let byte = if negative { !byte } else { *byte };
        let mut carry = u64::from(byte);
        for group in &mut groups {
            carry += *group * 256;
            *group = carry % 1_000_000_000;
            carry /= 1_000_000_000;
        }
        if carry > 0 {
            groups.push(carry);
        }
    }
    let mut text = String::from(if negative { "-" } else { "" });
    for (index, group) in groups.iter().rev().enumerate() {
        match index {
            0 => text.push_str(&group.to_string()),
            _ => text.push_str(&format!("{group:09}")),
        }
    }
    text
}

fn whole(small: Option<i64>, value: impl ToString) -> Datum {
    match small {
        Some(value) => Datum::Int(value),
        None => Datum::Decimal(value.to_string()),
    }
}

/// Widens by way of the shortest digits, so that 0.1 stays 0.1.
fn widen(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(value.into())
}

/// Writes a scaled integer in plain digits.
fn digits(value: i128, scale: u8) -> String {
    let scale = usize::from(scale);
    let sign = if value < 0 { "-" } else { "" };
    let digits = format!("{:0>width$}", value.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    if fraction.is_empty() {
        format!("{sign}{whole}")
    } else {
        format!("{sign}{whole}.{fraction}")
    }
}

/// The largest and its opposite mean infinity; years outside -9999..=9999 stay text.
fn date(days: i32) -> Datum {
    match days {
        i32::MAX => Datum::Text("infinity".into()),
        days if days == -i32::MAX => Datum::Text("-infinity".into()),
        days => match civil(days.into(), 0) {
            Some(at) => Datum::Date(at.date()),
            None => Datum::Text(far_date(days.into())),
        },
    }
}

fn timestamp(unit: TimeUnit, count: i64, instant: bool) -> Datum {
    match count {
        i64::MAX => return Datum::Text("infinity".into()),
        count if count == -i64::MAX => return Datum::Text("-infinity".into()),
        _ => {}
    }
    let per_day = match unit {
        TimeUnit::Second => 86_400,
        TimeUnit::Millisecond => 86_400_000,
        TimeUnit::Microsecond => DAY_MICROS,
        TimeUnit::Nanosecond => DAY_MICROS * 1000,
    };
    let days = count.div_euclid(per_day);
    let nanos = count.rem_euclid(per_day) * (DAY_MICROS * 1000 / per_day);
    match civil(days, nanos) {
        Some(at) if instant => match at.to_zoned(jiff::tz::TimeZone::UTC) {
            Ok(zoned) => Datum::TimestampTz(zoned.timestamp()),
            Err(_) => Datum::Text(at.to_string()),
        },
        Some(at) => Datum::Timestamp(at),
        None => {
            let seconds = nanos / 1_000_000_000;
            let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
            let zone = if instant { "+00" } else { "" };
            let day = far_date(days);
            Datum::Text(format!("{day} {hour:02}:{minute:02}:{second:02}{zone}"))
        }
    }
}

/// Counts from 1970; `None` outside the years that jiff knows.
fn civil(days: i64, nanos: i64) -> Option<jiff::civil::DateTime> {
    jiff::civil::datetime(1970, 1, 1, 0, 0, 0, 0)
        .checked_add(jiff::Span::new().try_days(days).ok()?)
        .ok()?
        .checked_add(jiff::SignedDuration::from_nanos(nanos))
        .ok()
}

/// Writes a date of any year, in the proleptic Gregorian calendar, as the database does.
fn far_date(days: i64) -> String {
    // A cycle of 400 years has 146,097 days: move into the one that starts in 2000.
    let since = days - 10_957;
    let (cycle, within) = (since.div_euclid(146_097), since.rem_euclid(146_097));
    let Some(at) = civil(10_957 + within, 0) else {
        return format!("{days} days after 1970-01-01");
    };
    let year = i64::from(at.year()) + cycle * 400;
    let (year, era) = if year > 0 {
        (year, "")
    } else {
        (1 - year, " (BC)")
    };
    format!("{year:04}-{:02}-{:02}{era}", at.month(), at.day())
}

fn time(unit: TimeUnit, count: i64) -> Option<jiff::civil::Time> {
    let nanos = match unit {
        TimeUnit::Second => count.checked_mul(1_000_000_000)?,
        TimeUnit::Millisecond => count.checked_mul(1_000_000)?,
        TimeUnit::Microsecond => count.checked_mul(1000)?,
        TimeUnit::Nanosecond => count,
    };
    jiff::civil::Time::midnight()
        .checked_add(jiff::SignedDuration::from_nanos(nanos))
        .ok()
}

/// Writes an interval as the database prints it, such as `1 year 2 months 3 days 04:05:06.5`.
fn interval(months: i32, days: i32, nanos: i64) -> String {
    let mut parts = Vec::new();
    for (count, unit) in [(months / 12, "year"), (months % 12, "month"), (days, "day")] {
        match count {
            0 => {}
            1 | -1 => parts.push(format!("{count} {unit}")),
            _ => parts.push(format!("{count} {unit}s")),
        }
    }
    if nanos != 0 || parts.is_empty() {
        let sign = if nanos < 0 { "-" } else { "" };
        let micros = nanos.unsigned_abs() / 1000;
        let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        let mut text = format!("{sign}{hour:02}:{minute:02}:{second:02}");
        if fraction != 0 {
            let digits = format!("{fraction:06}");
            text = format!("{text}.{}", digits.trim_end_matches('0'));
        }
        parts.push(text);
    }
    parts.join(" ")
}

/// A value inside a list, struct or map.
fn json(value: Value, kind: &Kind) -> Json {
    match value {
        Value::List(items) | Value::Array(items) => items
            .into_iter()
            .map(|item| json(item, kind.child(0)))
            .collect(),
        Value::Struct(fields) => fields
            .iter()
            .enumerate()
            .map(|(index, (name, value))| (name.clone(), json(value.clone(), kind.child(index))))
            .collect(),
        Value::Map(entries) => entries
            .iter()
            .map(|(key, value)| {
                let key = plain_text(json(key.clone(), kind.child(0)));
                (key, json(value.clone(), kind.child(1)))
            })
            .collect(),
        Value::Union(inner) => json(*inner, kind),
        scalar => match datum(scalar, kind) {
            Datum::Null => Json::Null,
            Datum::Bool(value) => value.into(),
            Datum::Int(value) => value.into(),
            Datum::Float(value) => value.into(),
            Datum::Decimal(text) => exact_number(text),
            Datum::Text(text) => text.into(),
            Datum::Bytes(bytes) => String::from_utf8_lossy(&bytes).into(),
            Datum::Date(date) => date.to_string().into(),
            Datum::Time(time) => time.to_string().into(),
            Datum::Timestamp(at) => at.to_string().replace('T', " ").into(),
            Datum::TimestampTz(at) => at.to_string().into(),
            Datum::Json(value) => value,
        },
    }
}

/// A JSON number where one says it exactly, else text.
fn exact_number(text: String) -> Json {
    match text.parse::<f64>() {
        Ok(number) if number.to_string() == text => number.into(),
        _ => text.into(),
    }
}

fn plain_text(value: Json) -> String {
    match value {
        Json::String(text) => text,
        other => other.to_string(),
    }
}

/// Names a type in the database's words.
fn type_name(logical: &LogicalTypeHandle) -> String {
    use LogicalTypeId as Id;
    if let Some(alias) = logical.get_alias() {
        return alias;
    }
    let name = match logical.id() {
        Id::Boolean => "BOOLEAN",
        Id::Tinyint => "TINYINT",
        Id::Smallint => "SMALLINT",
        Id::Integer => "INTEGER",
        Id::Bigint => "BIGINT",
        Id::UTinyint => "UTINYINT",
        Id::USmallint => "USMALLINT",
        Id::UInteger => "UINTEGER",
        Id::UBigint => "UBIGINT",
        Id::Hugeint => "HUGEINT",
        Id::UHugeint => "UHUGEINT",
        Id::Bignum => "BIGNUM",
        Id::Float => "FLOAT",
        Id::Double => "DOUBLE",
        Id::Varchar => "VARCHAR",
        Id::Blob => "BLOB",
        Id::Bit => "BIT",
        Id::Date => "DATE",
        Id::Time => "TIME",
        Id::TimeTZ => "TIME WITH TIME ZONE",
        Id::TimeNs => "TIME_NS",
        Id::Timestamp => "TIMESTAMP",
        Id::TimestampS => "TIMESTAMP_S",
        Id::TimestampMs => "TIMESTAMP_MS",
        Id::TimestampNs => "TIMESTAMP_NS",
        Id::TimestampTZ => "TIMESTAMP WITH TIME ZONE",
        Id::Interval => "INTERVAL",
        Id::Uuid => "UUID",
        Id::Enum => "ENUM",
        Id::Geometry => "GEOMETRY",
        Id::SqlNull => "\"NULL\"",
        Id::Decimal => {
            let (width, scale) = (logical.decimal_width(), logical.decimal_scale());
            return format!("DECIMAL({width},{scale})");
        }
        Id::List | Id::Array => return format!("{}[]", type_name(&logical.child(0))),
        Id::Map => {
            let (key, value) = (logical.child(0), logical.child(1));
            return format!("MAP({}, {})", type_name(&key), type_name(&value));
        }
        Id::Struct | Id::Union => {
            let fields: Vec<String> = (0..logical.num_children())
                .map(|index| {
                    let (name, child) = (logical.child_name(index), logical.child(index));
                    format!(
                        "{} {}",
                        crate::dialect::DUCKDB.quote_identifier(&name),
                        type_name(&child)
                    )
                })
                .collect();
            let word = if logical.id() == Id::Struct {
                "STRUCT"
            } else {
                "UNION"
            };
            return format!("{word}({})", fields.join(", "));
        }
        _ => "",
    };
    name.to_owned()
}
