//! Values as Python writes them: dbt hashes and names tests by `str` and `repr`.

use std::fmt::Write;

use serde_json::{Map, Number, Value as Json};

/// Python's `str`: text as it is, everything else as [`repr`].
pub fn str(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        other => repr(other),
    }
}

/// Python's `repr`.
pub fn repr(value: &Json) -> String {
    let mut out = String::new();
    write(&mut out, value, Form::Plain);
    out
}

/// The `repr` of a mapping as dbt hashes it: all keys sorted, all scalars turned into text.
pub fn write_hashed(out: &mut String, map: &Map<String, Json>) {
    write_map(out, map, Form::Hashed);
}

#[derive(Clone, Copy, PartialEq)]
enum Form {
    Plain,
    Hashed,
}

fn write(out: &mut String, value: &Json, form: Form) {
    match (value, form) {
        (Json::Object(map), _) => write_map(out, map, form),
        (Json::Array(items), _) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push_str(", ");
                }
                write(out, item, form);
            }
            out.push(']');
        }
        (Json::String(text), _) => write_text(out, text),
        (scalar, Form::Hashed) => write_text(out, &repr(scalar)),
        (Json::Null, Form::Plain) => out.push_str("None"),
        (Json::Bool(true), Form::Plain) => out.push_str("True"),
        (Json::Bool(false), Form::Plain) => out.push_str("False"),
        (Json::Number(number), Form::Plain) => write_number(out, number),
    }
}

fn write_map(out: &mut String, map: &Map<String, Json>, form: Form) {
    let mut entries: Vec<_> = map.iter().collect();
    if form == Form::Hashed {
        entries.sort_unstable_by_key(|(key, _)| *key);
    }
    out.push('{');
    for (at, (key, item)) in entries.into_iter().enumerate() {
        if at > 0 {
            out.push_str(", ");
        }
        write_text(out, key);
        out.push_str(": ");
        write(out, item, form);
    }
    out.push('}');
}

fn write_number(out: &mut String, number: &Number) {
    let float = match number.as_f64() {
        Some(float) if !(number.is_i64() || number.is_u64()) => float,
        _ => {
            let _ = write!(out, "{number}");
            return;
        }
    };
    // Python writes the shortest digits, with an exponent outside 1e-4 .. 1e16.
    let scientific = format!("{float:e}");
    let (digits, exponent) = scientific
        .split_once('e')
        .expect("written with an exponent");
    let exponent: i32 = exponent.parse().expect("a number");
    if (-4..16).contains(&exponent) {
        let plain = format!("{float}");
        out.push_str(&plain);
        if !plain.contains('.') {
            out.push_str(".0");
        }
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        let _ = write!(out, "{digits}e{sign}{:02}", exponent.abs());
    }
}

/// Writes the `repr` of a text.
pub fn write_text(out: &mut String, text: &str) {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    out.push(quote);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if (c as u32) < 0x20 || (0x7f..0xa1).contains(&(c as u32)) || c == '\u{ad}' => {
                let _ = write!(out, "\\x{:02x}", c as u32);
            }
            '\u{2028}' | '\u{2029}' | '\u{200b}'..='\u{200f}' | '\u{feff}' => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push(quote);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_written_as_python_writes_them() {
        let value = json!({"a": [1, 2.0, -0.5, 1e16, 1.5e-7, true, null], "b'": "it's", "c": "\"'\n\\ä\u{0}"});
        assert_eq!(
            repr(&value),
            r#"{'a': [1, 2.0, -0.5, 1e+16, 1.5e-07, True, None], "b'": "it's", 'c': '"\'\n\\ä\x00'}"#
        );
        assert_eq!(str(&json!("x")), "x");
        let mut hashed = String::new();
        let map = json!({"b": 1, "a": [null, {"d": "x", "c": true}]});
        write_hashed(&mut hashed, map.as_object().expect("a mapping"));
        assert_eq!(hashed, "{'a': ['None', {'c': 'True', 'd': 'x'}], 'b': '1'}");
    }
}
