//! Python's `str` and `repr` of values: what `{{ x }}` prints.

use std::fmt::{self, Write};

use minijinja::value::{Tuple, ValueKind};
use minijinja::{Error, Output, State, Value};

use super::values::{PyDict, PyList};

/// Returns what Python's `str` would; an undefined value gives nothing.
pub fn py_str(value: &Value) -> String {
    match value.as_str() {
        Some(text) if value.kind() == ValueKind::String => text.to_owned(),
        _ => {
            let mut out = String::new();
            write_str(&mut out, value).expect("writing to a string does not fail");
            out
        }
    }
}

/// Returns what Python's `repr` would.
pub fn py_repr(value: &Value) -> String {
    let mut out = String::new();
    write_repr(&mut out, value).expect("writing to a string does not fail");
    out
}

/// Python's `str` of a float.
pub fn py_float(value: f64) -> String {
    if value.is_nan() {
        return "nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific
        .split_once('e')
        .expect("scientific notation has an exponent");
    let exponent: i32 = exponent.parse().expect("an exponent is a number");
    if (-4..16).contains(&exponent) {
        // Rust's plain notation is the shortest that reads back, as Python's is.
        let plain = format!("{value}");
        if plain.contains('.') {
            plain
        } else {
            plain + ".0"
        }
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{mantissa}e{sign}{:02}", exponent.abs())
    }
}

/// Writes what `{{ value }}` prints.
pub(crate) fn write_str(out: &mut impl Write, value: &Value) -> fmt::Result {
    match value.kind() {
        ValueKind::String => out.write_str(value.as_str().unwrap_or_default()),
        ValueKind::Undefined => Ok(()),
        _ => write_repr(out, value),
    }
}

/// Writes what the value looks like inside a list.
pub(crate) fn write_repr(out: &mut impl Write, value: &Value) -> fmt::Result {
    match value.kind() {
        ValueKind::None => out.write_str("None"),
        ValueKind::Undefined => out.write_str("Undefined"),
        ValueKind::Bool => out.write_str(if value.is_true() { "True" } else { "False" }),
        ValueKind::Number if !value.is_integer() => match f64::try_from(value.clone()) {
            Ok(number) => out.write_str(&py_float(number)),
            Err(_) => write!(out, "{value}"),
        },
        ValueKind::Seq | ValueKind::Map => write_container(out, value),
        _ => write!(out, "{value:?}"),
    }
}

fn write_container(out: &mut impl Write, value: &Value) -> fmt::Result {
    if let Some(list) = value.downcast_object_ref::<PyList>() {
        out.write_char('[')?;
        write_items(out, &list.snapshot())?;
        out.write_char(']')
    } else if let Some(tuple) = value.downcast_object_ref::<Tuple>() {
        out.write_char('(')?;
        write_items(out, tuple)?;
        out.write_str(if tuple.len() == 1 { ",)" } else { ")" })
    } else if let Some(dict) = value.downcast_object_ref::<PyDict>() {
        out.write_char('{')?;
        for (index, (key, value)) in dict.snapshot().iter().enumerate() {
            if index > 0 {
                out.write_str(", ")?;
            }
            write_repr(out, key)?;
            out.write_str(": ")?;
            write_repr(out, value)?;
        }
        out.write_char('}')
    } else {
        // An object of the context knows how it looks.
        write!(out, "{value}")
    }
}

fn write_items(out: &mut impl Write, items: &[Value]) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.write_str(", ")?;
        }
        write_repr(out, item)?;
    }
    Ok(())
}

/// The formatter of the environment.
pub(crate) fn formatter(
    out: &mut Output<'_>,
    _: &mut State<'_, '_>,
    value: &Value,
) -> Result<(), Error> {
    Ok(write_str(out, value)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jinja::language::values::{dict, list, tuple};

    #[test]
    fn floats_look_as_python_prints_them() {
        for (value, text) in [
            (1.0, "1.0"),
            (0.1, "0.1"),
            (-2.5, "-2.5"),
            (1e16, "1e+16"),
            (1e15, "1000000000000000.0"),
            (123456789012345680.0, "1.2345678901234568e+17"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1.5e-7, "1.5e-07"),
            (f64::INFINITY, "inf"),
        ] {
            assert_eq!(py_float(value), text);
        }
    }

    #[test]
    fn containers_show_their_items_as_repr() {
        let value = list(vec![
            Value::from("it's"),
            Value::from("a\n\"b\""),
            Value::from(()),
            Value::from(true),
            Value::from(2.0),
            tuple(vec![Value::from(1)]),
            tuple(vec![]),
            dict([(Value::from("k"), list(vec![]))]),
        ]);
        assert_eq!(
            py_str(&value),
            r#"["it's", 'a\n"b"', None, True, 2.0, (1,), (), {'k': []}]"#
        );
        assert_eq!(py_str(&Value::UNDEFINED), "");
        assert_eq!(py_repr(&Value::from("x")), "'x'");
    }
}
