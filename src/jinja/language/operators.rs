//! Python's operators: what `+`, `%`, `<`, `in`, `~` and slices do to values.
//!
//! The parser lowers each operator to a filter whose name no template can write.

use std::cmp::Ordering;

use minijinja::value::{Rest, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, Value};

use super::format::write_str;
use super::methods::integer;
use super::percent::percent;
use super::values::{PyDict, PyList, items, list, tuple, type_error, type_name};

/// The names that operators are lowered to.
pub(crate) mod names {
    pub const ADD: &str = "+";
    pub const SUB: &str = "-";
    pub const MUL: &str = "*";
    pub const DIV: &str = "/";
    pub const FLOOR_DIV: &str = "//";
    pub const MOD: &str = "%";
    pub const POW: &str = "**";
    pub const CONCAT: &str = "~";
    pub const NEG: &str = "-x";
    pub const POS: &str = "+x";
    pub const LT: &str = "<";
    pub const LE: &str = "<=";
    pub const GT: &str = ">";
    pub const GE: &str = ">=";
    pub const IN: &str = "$in";
    pub const NOT_IN: &str = "$not_in";
    pub const SLICE: &str = "[:]";
    pub const ITER: &str = "$for";
    /// Evaluates and prints nothing.
    pub const DO: &str = "$do";
    /// Keeps the value that a native rendering prints.
    pub const NODE: &str = "$node";
}

type Operator = fn(&Value, &Value) -> Result<Value, Error>;

/// Operators that objects of the context may answer by a method, as Python's do: dates, durations.
const OVERLOADED: [(&str, Operator, &str, &str); 4] = [
    (names::ADD, add, "__add__", "__radd__"),
    (names::SUB, sub, "__sub__", "__rsub__"),
    (names::MUL, mul, "__mul__", "__rmul__"),
    (names::DIV, div, "__truediv__", "__rtruediv__"),
];

/// Adds the operators to an environment.
pub(crate) fn register(env: &mut Environment<'static>) {
    for (name, operator, method, reflected) in OVERLOADED {
        env.add_filter(name, move |state: &mut State, a: &Value, b: &Value| {
            let answer = if a.kind() == ValueKind::Plain {
                a.call_method(state, method, std::slice::from_ref(b))
            } else if b.kind() == ValueKind::Plain {
                b.call_method(state, reflected, std::slice::from_ref(a))
            } else {
                return operator(a, b);
            };
            match answer {
                Err(error) if error.kind() == ErrorKind::UnknownMethod => operator(a, b),
                answer => answer,
            }
        });
    }
    env.add_filter(names::FLOOR_DIV, |a: &Value, b: &Value| floor_div(a, b));
    env.add_filter(names::MOD, |a: &Value, b: &Value| modulo(a, b));
    env.add_filter(names::POW, |a: &Value, b: &Value| pow(a, b));
    env.add_filter(names::CONCAT, concat);
    env.add_filter(names::NEG, |a: &Value| match number("unary -", a)? {
        Number::Int(a) => a.checked_neg().map(int).ok_or_else(too_large),
        Number::Float(a) => Ok(Value::from(-a)),
    });
    env.add_filter(names::POS, |a: &Value| {
        number("unary +", a)?;
        Ok::<_, Error>(a.clone())
    });
    env.add_filter(names::LT, |a: &Value, b: &Value| {
        compare("<", a, b).map(Ordering::is_lt)
    });
    env.add_filter(names::LE, |a: &Value, b: &Value| {
        compare("<=", a, b).map(Ordering::is_le)
    });
    env.add_filter(names::GT, |a: &Value, b: &Value| {
        compare(">", a, b).map(Ordering::is_gt)
    });
    env.add_filter(names::GE, |a: &Value, b: &Value| {
        compare(">=", a, b).map(Ordering::is_ge)
    });
    env.add_filter(names::IN, |a: &Value, b: &Value| contains(b, a));
    env.add_filter(names::NOT_IN, |a: &Value, b: &Value| {
        contains(b, a).map(|found| !found)
    });
    env.add_filter(names::SLICE, slice);
    env.add_filter(names::ITER, iterable);
}

/// A number as Python's operators see it: a bool counts.
#[derive(Clone, Copy)]
pub(crate) enum Number {
    Int(i128),
    Float(f64),
}

impl Number {
    pub fn to_f64(self) -> f64 {
        match self {
            Number::Int(value) => value as f64,
            Number::Float(value) => value,
        }
    }
}

pub(crate) fn as_number(value: &Value) -> Option<Number> {
    match value.kind() {
        ValueKind::Bool => Some(Number::Int(i128::from(value.is_true()))),
        ValueKind::Number if value.is_integer() => {
            i128::try_from(value.clone()).ok().map(Number::Int)
        }
        ValueKind::Number => f64::try_from(value.clone()).ok().map(Number::Float),
        _ => None,
    }
}

fn number(operator: &str, value: &Value) -> Result<Number, Error> {
    as_number(value).ok_or_else(|| match value.is_undefined() {
        true => undefined_operand(operator),
        false => type_error(format!(
            "bad operand type for {operator}: `{}`",
            type_name(value)
        )),
    })
}

/// A whole number in the smallest shape.
pub(crate) fn int(value: i128) -> Value {
    i64::try_from(value).map_or_else(|_| Value::from(value), Value::from)
}

fn too_large() -> Error {
    type_error("the number is too large")
}

fn undefined_operand(operator: &str) -> Error {
    type_error(format!("an operand of `{operator}` is undefined"))
}

fn unsupported(operator: &str, a: &Value, b: &Value) -> Error {
    if a.is_undefined() || b.is_undefined() {
        return undefined_operand(operator);
    }
    type_error(format!(
        "unsupported operand types for `{operator}`: `{}` and `{}`",
        type_name(a),
        type_name(b)
    ))
}

fn arithmetic(
    operator: &str,
    a: &Value,
    b: &Value,
    ints: fn(i128, i128) -> Option<i128>,
    floats: fn(f64, f64) -> f64,
) -> Result<Value, Error> {
    match (as_number(a), as_number(b)) {
        (Some(Number::Int(a)), Some(Number::Int(b))) => ints(a, b).map(int).ok_or_else(too_large),
        (Some(a), Some(b)) => Ok(Value::from(floats(a.to_f64(), b.to_f64()))),
        _ => Err(unsupported(operator, a, b)),
    }
}

fn add(a: &Value, b: &Value) -> Result<Value, Error> {
    match (a.kind(), b.kind()) {
        (ValueKind::String, ValueKind::String) => {
            let (a, b) = (
                a.as_str().unwrap_or_default(),
                b.as_str().unwrap_or_default(),
            );
            Ok(Value::from([a, b].concat()))
        }
        (ValueKind::Seq, ValueKind::Seq) if a.is_tuple() == b.is_tuple() => {
            let mut all = items(a)?;
            all.extend(items(b)?);
            Ok(if a.is_tuple() { tuple(all) } else { list(all) })
        }
        (ValueKind::String, ValueKind::Undefined) | (ValueKind::Undefined, ValueKind::String) => {
            Err(undefined_operand("+"))
        }
        (ValueKind::String, _) => Err(type_error(format!(
            "can only concatenate str (not `{}`) to str",
            type_name(b)
        ))),
        _ => arithmetic("+", a, b, i128::checked_add, |a, b| a + b),
    }
}

fn sub(a: &Value, b: &Value) -> Result<Value, Error> {
    arithmetic("-", a, b, i128::checked_sub, |a, b| a - b)
}

fn mul(a: &Value, b: &Value) -> Result<Value, Error> {
    let repeat = |value: &Value, times: i128| -> Option<Result<Value, Error>> {
        let times = usize::try_from(times.max(0)).ok()?;
        match value.kind() {
            ValueKind::String => Some(Ok(Value::from(value.as_str()?.repeat(times)))),
            ValueKind::Seq => Some(items(value).map(|all| {
                let all = all
                    .iter()
                    .cycle()
                    .take(all.len() * times)
                    .cloned()
                    .collect();
                if value.is_tuple() {
                    tuple(all)
                } else {
                    list(all)
                }
            })),
            _ => None,
        }
    };
    let repeated = match (as_number(a), as_number(b)) {
        (None, Some(Number::Int(times))) => repeat(a, times),
        (Some(Number::Int(times)), None) => repeat(b, times),
        _ => None,
    };
    repeated.unwrap_or_else(|| arithmetic("*", a, b, i128::checked_mul, |a, b| a * b))
}

fn div(a: &Value, b: &Value) -> Result<Value, Error> {
    match (as_number(a), as_number(b)) {
        (Some(_), Some(b)) if b.to_f64() == 0.0 => Err(type_error("division by zero")),
        (Some(a), Some(b)) => Ok(Value::from(a.to_f64() / b.to_f64())),
        _ => Err(unsupported("/", a, b)),
    }
}

fn floor_div(a: &Value, b: &Value) -> Result<Value, Error> {
    if as_number(b).is_some_and(|b| b.to_f64() == 0.0) {
        return Err(type_error("integer division or modulo by zero"));
    }
    let ints = |a: i128, b: i128| {
        let quotient = a.checked_div(b)?;
        Some(if a % b != 0 && (a < 0) != (b < 0) {
            quotient - 1
        } else {
            quotient
        })
    };
    arithmetic("//", a, b, ints, |a, b| (a / b).floor())
}

fn modulo(a: &Value, b: &Value) -> Result<Value, Error> {
    if let (ValueKind::String, Some(text)) = (a.kind(), a.as_str()) {
        return percent(text, b).map(Value::from);
    }
    if as_number(b).is_some_and(|b| b.to_f64() == 0.0) {
        return Err(type_error("integer division or modulo by zero"));
    }
    let ints = |a: i128, b: i128| {
        let rest = a.checked_rem(b)?;
        Some(if rest != 0 && (rest < 0) != (b < 0) {
            rest + b
        } else {
            rest
        })
    };
    arithmetic("%", a, b, ints, |a, b| a - b * (a / b).floor())
}

fn pow(a: &Value, b: &Value) -> Result<Value, Error> {
    match (as_number(a), as_number(b)) {
        (Some(Number::Int(a)), Some(Number::Int(b))) if b >= 0 => u32::try_from(b)
            .ok()
            .and_then(|b| a.checked_pow(b))
            .map(int)
            .ok_or_else(too_large),
        (Some(a), Some(b)) => Ok(Value::from(a.to_f64().powf(b.to_f64()))),
        _ => Err(unsupported("**", a, b)),
    }
}

fn concat(parts: Rest<Value>) -> Value {
    let mut out = String::new();
    for part in parts.iter() {
        write_str(&mut out, part).expect("writing to a string does not fail");
    }
    Value::from(out)
}

/// Orders two values as Python would.
///
/// # Errors
/// Types that Python does not order.
pub(crate) fn compare(operator: &str, a: &Value, b: &Value) -> Result<Ordering, Error> {
    if let (Some(x), Some(y)) = (as_number(a), as_number(b)) {
        return Ok(match (x, y) {
            (Number::Int(x), Number::Int(y)) => x.cmp(&y),
            (x, y) => x.to_f64().total_cmp(&y.to_f64()),
        });
    }
    match (a.kind(), b.kind()) {
        (ValueKind::String, ValueKind::String) => Ok(a.as_str().cmp(&b.as_str())),
        (ValueKind::Seq, ValueKind::Seq) if a.is_tuple() == b.is_tuple() => {
            let (a, b) = (items(a)?, items(b)?);
            for (x, y) in a.iter().zip(&b) {
                if x != y {
                    return compare(operator, x, y);
                }
            }
            Ok(a.len().cmp(&b.len()))
        }
        // Dates and the like order themselves.
        (ValueKind::Plain, ValueKind::Plain) => {
            a.partial_cmp(b).ok_or_else(|| unsupported(operator, a, b))
        }
        _ => Err(unsupported(operator, a, b)),
    }
}

/// Whether `container` holds a value, as `in` asks.
pub(crate) fn contains(container: &Value, value: &Value) -> Result<bool, Error> {
    if let Some(dict) = container.downcast_object_ref::<PyDict>() {
        return Ok(dict.lock().contains_key(value));
    }
    if let Some(list) = container.downcast_object_ref::<PyList>() {
        return Ok(list.snapshot().contains(value));
    }
    match container.kind() {
        ValueKind::String => match value.kind() {
            ValueKind::String => Ok(container
                .as_str()
                .unwrap_or_default()
                .contains(value.as_str().unwrap_or_default())),
            ValueKind::Undefined => Err(undefined_operand("in")),
            _ => Err(type_error(format!(
                "`in <str>` needs a str on its left, not `{}`",
                type_name(value)
            ))),
        },
        ValueKind::Undefined => Ok(false),
        ValueKind::Map => Ok(container
            .get_item(value)
            .is_ok_and(|found| !found.is_undefined())
            || items(container)?.contains(value)),
        ValueKind::Seq | ValueKind::Iterable => Ok(items(container)?.contains(value)),
        _ => Err(type_error(format!(
            "argument of type `{}` is not a container",
            type_name(container)
        ))),
    }
}

/// `value[start:stop:step]`.
fn slice(value: &Value, start: &Value, stop: &Value, step: &Value) -> Result<Value, Error> {
    let bound = |value: &Value| -> Result<Option<i64>, Error> {
        match value.is_none() {
            true => Ok(None),
            false => integer("slice", value).map(Some),
        }
    };
    let step = bound(step)?.unwrap_or(1);
    if step == 0 {
        return Err(type_error("slice step cannot be zero"));
    }
    let (start, stop) = (bound(start)?, bound(stop)?);
    if let (ValueKind::String, Some(text)) = (value.kind(), value.as_str()) {
        let chars: Vec<char> = text.chars().collect();
        let picked = indices(chars.len(), start, stop, step);
        return Ok(Value::from(picked.map(|at| chars[at]).collect::<String>()));
    }
    match value.kind() {
        ValueKind::Seq | ValueKind::Iterable => {
            let all = items(value)?;
            let picked = indices(all.len(), start, stop, step)
                .map(|at| all[at].clone())
                .collect();
            Ok(if value.is_tuple() {
                tuple(picked)
            } else {
                list(picked)
            })
        }
        ValueKind::Undefined => Err(undefined_operand("[:]")),
        _ => Err(type_error(format!(
            "a value of type `{}` cannot be sliced",
            type_name(value)
        ))),
    }
}

/// The positions that a slice of a sequence picks, in order.
fn indices(
    length: usize,
    start: Option<i64>,
    stop: Option<i64>,
    step: i64,
) -> impl Iterator<Item = usize> {
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    let (low, high) = if step > 0 {
        (0, length)
    } else {
        (-1, length - 1)
    };
    let clamp = |index: i64| {
        let index = if index < 0 {
            index.saturating_add(length)
        } else {
            index
        };
        index.clamp(low, high)
    };
    let start = start.map_or(if step > 0 { low } else { high }, clamp);
    let stop = stop.map_or(if step > 0 { high } else { low }, clamp);
    std::iter::successors(Some(start), move |at| at.checked_add(step))
        .take_while(move |&at| if step > 0 { at < stop } else { at > stop })
        .filter_map(|at| usize::try_from(at).ok())
}

/// What `for` walks: a value whose length is known, so that `loop.last` is right.
fn iterable(value: &Value) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::Seq | ValueKind::Undefined => Ok(value.clone()),
        ValueKind::Map if value.len().is_some() => Ok(value.clone()),
        _ => items(value).map(Value::from),
    }
}

/// Whether Python takes a value for true.
pub(crate) fn truth(value: &Value) -> bool {
    value.is_true()
}
