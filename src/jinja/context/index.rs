//! `adapter.parse_index`: an entry of the config `indexes`.

use minijinja::{Error, Value};

use super::callable::Answer;
use crate::diagnostic::{Code, Diagnostic};
use crate::jinja::language::{bind, dict, items, list, py_str, raise};

/// Reads `{columns, unique, type}`; `unique` is false and `type` is none where they are not there.
pub(super) fn parse_index(args: &[Value]) -> Answer {
    let [raw] = bind("adapter.parse_index", args, ["raw_index"], 1)?;
    let raw = raw.unwrap_or_default();
    if raw.is_none() {
        return Ok(raw);
    }
    if raw.kind() != minijinja::value::ValueKind::Map {
        return Err(refuse(format!(
            "Invalid index config:\n  Got: {}\n  Expected a dictionary with at minimum a \"columns\" key",
            py_str(&raw)
        )));
    }
    let field = |name: &str| {
        let value = raw.get_item(&Value::from(name)).unwrap_or_default();
        (!value.is_undefined() && !value.is_none()).then_some(value)
    };
    let wrong = |name: &str, value: &Value, kind: &str| {
        // The database's own validator quotes text.
        let shown = match value.as_str() {
            Some(text) => format!("'{text}'"),
            None => py_str(value),
        };
        refuse(format!(
            "Could not parse index config: at path ['{name}']: {shown} is not of type '{kind}'"
        ))
    };
    let Some(columns) = field("columns") else {
        return Err(refuse(
            "Could not parse index config: at path []: 'columns' is a required property".to_owned(),
        ));
    };
    if columns.kind() != minijinja::value::ValueKind::Seq {
        return Err(wrong("columns", &columns, "array"));
    }
    let unique = field("unique").unwrap_or_else(|| Value::from(false));
    if unique.kind() != minijinja::value::ValueKind::Bool {
        return Err(wrong("unique", &unique, "boolean"));
    }
    let kind = field("type").unwrap_or_else(|| Value::from(()));
    if !kind.is_none() && kind.as_str().is_none() {
        return Err(wrong("type", &kind, "string"));
    }
    let name = field("name").unwrap_or_else(|| Value::from(()));
    Ok(dict([
        (Value::from("columns"), list(items(&columns)?)),
        (Value::from("unique"), unique),
        (Value::from("type"), kind),
        (Value::from("name"), name),
    ]))
}

fn refuse(message: String) -> Error {
    raise(Diagnostic::error(Code::CompilerError, message))
}
