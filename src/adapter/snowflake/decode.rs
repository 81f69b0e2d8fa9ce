//! From the text of a result's cells to [`Datum`].

use jiff::SignedDuration;
use jiff::civil::{Date, Time, date};
use snowflake_connector_rs::decode::{PlanBuildResult, RowDecodeResult, RowPlanContext};
use snowflake_connector_rs::{Column, ColumnType, FromRow, RowRef};

use crate::table::{Datum, ResultColumn};

/// A row of values.
pub(super) struct Cells(pub(super) Vec<Datum>);

impl FromRow for Cells {
    type Plan = ();

    fn build_plan(_: RowPlanContext<'_>) -> PlanBuildResult<()> {
        Ok(())
    }

    fn from_row_with_plan(row: RowRef<'_>, _: &()) -> RowDecodeResult<Cells> {
        let columns = row.schema().columns();
        let mut cells = Vec::with_capacity(columns.len());
        for (index, column) in columns.iter().enumerate() {
            cells.push(datum(column.ty(), row.cell_at(index)?.raw()));
        }
        Ok(Cells(cells))
    }
}

/// A column's name and type, in the words of the database's SQL.
pub(super) fn column(column: &Column) -> ResultColumn {
    ResultColumn {
        name: column.name().to_owned(),
        data_type: type_name(column.ty()),
    }
}

fn type_name(kind: &ColumnType) -> String {
    match kind {
        ColumnType::Fixed { .. } => {
            let (precision, scale) = (kind.precision().unwrap_or(38), kind.scale().unwrap_or(0));
            format!("NUMBER({precision},{scale})")
        }
        ColumnType::Real => "FLOAT".to_owned(),
        ColumnType::Text { .. } => match kind.length() {
            Some(length) => format!("VARCHAR({length})"),
            None => "VARCHAR".to_owned(),
        },
        other => other.as_str().to_uppercase(),
    }
}

/// Reads a value; what does not parse as its type stays text.
fn datum(kind: &ColumnType, text: Option<&str>) -> Datum {
    let Some(text) = text else {
        return Datum::Null;
    };
    typed(kind, text).unwrap_or_else(|| Datum::Text(text.to_owned()))
}

fn typed(kind: &ColumnType, text: &str) -> Option<Datum> {
    Some(match kind {
        ColumnType::Fixed { .. } => match text.parse() {
            Ok(value) if kind.scale().unwrap_or(0) == 0 => Datum::Int(value),
            _ => Datum::Decimal(text.to_owned()),
        },
        ColumnType::Real => Datum::Float(text.parse().ok()?),
        ColumnType::Boolean => match text {
            "1" | "true" | "TRUE" => Datum::Bool(true),
            "0" | "false" | "FALSE" => Datum::Bool(false),
            _ => return None,
        },
        ColumnType::Date => Datum::Date(day(text.parse().ok()?)?),
        ColumnType::Time { .. } => Datum::Time(time(text)?),
        ColumnType::TimestampNtz { .. } => {
            let since = seconds(text)?;
            Datum::Timestamp(EPOCH.checked_add(since).ok()?)
        }
        ColumnType::TimestampLtz { .. } => Datum::TimestampTz(instant(text)?),
        // The second number is the zone, which an instant does not need.
        ColumnType::TimestampTz { .. } => {
            Datum::TimestampTz(instant(text.split(' ').next().unwrap_or(text))?)
        }
        ColumnType::Binary { .. } => Datum::Bytes(bytes(text)?),
        ColumnType::Variant | ColumnType::Object | ColumnType::Array | ColumnType::Vector => {
            Datum::Json(serde_json::from_str(text).ok()?)
        }
        _ => return None,
    })
}

const EPOCH: jiff::civil::DateTime = date(1970, 1, 1).at(0, 0, 0, 0);

/// Reads the days since 1970.
fn day(days: i64) -> Option<Date> {
    let since = jiff::Span::new().try_days(days).ok()?;
    EPOCH.date().checked_add(since).ok()
}

fn time(text: &str) -> Option<Time> {
    Time::midnight().checked_add(seconds(text)?).ok()
}

fn instant(text: &str) -> Option<jiff::Timestamp> {
    jiff::Timestamp::UNIX_EPOCH.checked_add(seconds(text)?).ok()
}

/// Reads seconds with up to nine digits after the point.
fn seconds(text: &str) -> Option<SignedDuration> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let nanoseconds: i32 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    let duration = SignedDuration::new(whole.parse().ok()?, nanoseconds);
    Some(if negative { -duration } else { duration })
}

/// Reads hexadecimal digits.
fn bytes(text: &str) -> Option<Vec<u8>> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_since_1970() {
        let ntz = |text| EPOCH.checked_add(seconds(text).unwrap()).unwrap();
        assert_eq!(
            ntz("1700000000.123456789").to_string(),
            "2023-11-14T22:13:20.123456789"
        );
        assert_eq!(ntz("-0.5").to_string(), "1969-12-31T23:59:59.5");
        assert_eq!(day(-1).unwrap().to_string(), "1969-12-31");
        assert_eq!(time("3723.500000000").unwrap().to_string(), "01:02:03.5");
        assert_eq!(bytes("00FF"), Some(vec![0, 255]));
        assert_eq!(
            typed(&ColumnType::Real, "inf"),
            Some(Datum::Float(f64::INFINITY))
        );
        assert_eq!(seconds("x"), None);
    }
}
