//! From the text that the server prints to [`Datum`].

use serde_json::Value as Json;
use tokio_postgres::types::{Kind, Type};

use crate::table::Datum;

/// Reads a value; what does not parse as its type stays text.
pub(super) fn datum(kind: Option<&Type>, text: Option<&str>) -> Datum {
    let Some(text) = text else {
        return Datum::Null;
    };
    kind.and_then(|kind| typed(kind, text))
        .unwrap_or_else(|| Datum::Text(text.to_owned()))
}

fn typed(kind: &Type, text: &str) -> Option<Datum> {
    match kind.kind() {
        Kind::Domain(base) => return typed(base, text),
        Kind::Array(item) => return array(item, text).map(Datum::Json),
        Kind::Simple | Kind::Pseudo => {}
        _ => return None,
    }
    let datum = match *kind {
        Type::BOOL => Datum::Bool(text == "t"),
        Type::INT2 | Type::INT4 | Type::INT8 | Type::OID => Datum::Int(text.parse().ok()?),
        Type::FLOAT4 | Type::FLOAT8 => Datum::Float(text.parse().ok()?),
        Type::NUMERIC if text.starts_with(|c: char| c == '-' || c.is_ascii_digit()) => {
            Datum::Decimal(text.to_owned())
        }
        Type::DATE => Datum::Date(text.parse().ok()?),
        Type::TIME => Datum::Time(text.parse().ok()?),
        Type::TIMESTAMP => Datum::Timestamp(text.parse().ok()?),
        Type::TIMESTAMPTZ => Datum::TimestampTz(text.parse().ok()?),
        Type::BYTEA => Datum::Bytes(bytes(text)?),
        Type::JSON | Type::JSONB => Datum::Json(serde_json::from_str(text).ok()?),
        _ => return None,
    };
    Some(datum)
}

/// Reads `\x0aff`.
fn bytes(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("\\x")?;
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok())
        .collect()
}

/// Reads `{1,NULL,"a \"b\""}`, also nested.
fn array(item: &Type, text: &str) -> Option<Json> {
    // Where an index does not start at 1, the bounds stand before: `[0:1]={1,2}`.
    let start = text.find('{')?;
    let mut rest = &text[start..];
    let value = list(item, &mut rest)?;
    rest.is_empty().then_some(value)
}

fn list(item: &Type, rest: &mut &str) -> Option<Json> {
    *rest = rest.strip_prefix('{')?;
    let mut items = Vec::new();
    if let Some(after) = rest.strip_prefix('}') {
        *rest = after;
        return Some(Json::Array(items));
    }
    loop {
        items.push(element(item, rest)?);
        if let Some(after) = rest.strip_prefix(',') {
            *rest = after;
        } else {
            *rest = rest.strip_prefix('}')?;
            return Some(Json::Array(items));
        }
    }
}

fn element(item: &Type, rest: &mut &str) -> Option<Json> {
    if rest.starts_with('{') {
        return list(item, rest);
    }
    if let Some(quoted) = rest.strip_prefix('"') {
        let mut text = String::new();
        let mut characters = quoted.char_indices();
        loop {
            match characters.next()? {
                (at, '"') => {
                    *rest = &quoted[at + 1..];
                    return Some(json(datum(Some(item), Some(&text))));
                }
                (_, '\\') => text.push(characters.next()?.1),
                (_, other) => text.push(other),
            }
        }
    }
    let end = rest.find([',', '}'])?;
    let (text, after) = rest.split_at(end);
    *rest = after;
    if text == "NULL" {
        return Some(Json::Null);
    }
    Some(json(datum(Some(item), Some(text))))
}

/// An item of an array.
fn json(datum: Datum) -> Json {
    match datum {
        Datum::Null => Json::Null,
        Datum::Bool(value) => value.into(),
        Datum::Int(value) => value.into(),
        Datum::Float(value) => value.into(),
        // A JSON number where one says it exactly, else text.
        Datum::Decimal(text) => match text.parse::<f64>() {
            Ok(number) if number.to_string() == text => number.into(),
            _ => text.into(),
        },
        Datum::Text(text) => text.into(),
        Datum::Bytes(bytes) => String::from_utf8_lossy(&bytes).into(),
        Datum::Date(date) => date.to_string().into(),
        Datum::Time(time) => time.to_string().into(),
        Datum::Timestamp(at) => at.to_string().replace('T', " ").into(),
        Datum::TimestampTz(at) => at.to_string().into(),
        Datum::Json(value) => value,
    }
}

/// Names a type as `format_type` does, without its size.
pub(super) fn type_name(kind: &Type) -> String {
    if let Kind::Array(item) = kind.kind() {
        return format!("{}[]", type_name(item));
    }
    let name = match *kind {
        Type::BOOL => "boolean",
        Type::INT2 => "smallint",
        Type::INT4 => "integer",
        Type::INT8 => "bigint",
        Type::FLOAT4 => "real",
        Type::FLOAT8 => "double precision",
        Type::VARCHAR => "character varying",
        Type::BPCHAR => "character",
        Type::TIME => "time without time zone",
        Type::TIMETZ => "time with time zone",
        Type::TIMESTAMP => "timestamp without time zone",
        Type::TIMESTAMPTZ => "timestamp with time zone",
        Type::VARBIT => "bit varying",
        _ => kind.name(),
    };
    name.to_owned()
}
