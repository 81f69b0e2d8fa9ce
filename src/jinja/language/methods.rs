//! The methods of Python's lists and dicts, and the binding of arguments to parameters.

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Error, ErrorKind, State, Value};

use super::fault::raise;
use super::operators::{compare, truth};
use super::values::{PyDict, PyList, dict, items, list, pairs, tuple, type_error};
use crate::diagnostic::{Code, Diagnostic};

/// Binds the arguments of a call to parameters, the first `required` of which must be given.
///
/// Keyword arguments arrive as minijinja hands them over: a last value that is a keyword map.
///
/// # Errors
/// [`Code::WrongArguments`], naming the function and the parameter.
pub fn bind<const N: usize>(
    function: &str,
    args: &[Value],
    parameters: [&str; N],
    required: usize,
) -> Result<[Option<Value>; N], Error> {
    let (positional, keywords) = split_kwargs(args);
    if positional.len() > N {
        return Err(wrong_arguments(format!(
            "`{function}` takes at most {N} argument{}, {} were given",
            if N == 1 { "" } else { "s" },
            positional.len()
        )));
    }
    let mut bound = std::array::from_fn(|index| positional.get(index).cloned());
    for (key, value) in keywords {
        let key = key.as_str().unwrap_or_default().to_owned();
        let Some(index) = parameters.iter().position(|name| *name == key) else {
            return Err(wrong_arguments(format!(
                "`{function}` takes no argument `{key}`"
            )));
        };
        if bound[index].is_some() {
            return Err(wrong_arguments(format!(
                "`{function}` got two values for argument `{key}`"
            )));
        }
        bound[index] = Some(value);
    }
    match bound.iter().take(required).position(Option::is_none) {
        Some(missing) => Err(wrong_arguments(format!(
            "`{function}` needs a value for argument `{}`",
            parameters[missing]
        ))),
        None => Ok(bound),
    }
}

/// Splits the arguments of a call into positional ones and keywords.
pub fn split_kwargs(args: &[Value]) -> (&[Value], Vec<(Value, Value)>) {
    match args.split_last() {
        Some((last, rest)) if last.is_kwargs() => (rest, pairs(last)),
        _ => (args, Vec::new()),
    }
}

/// An error of [`Code::WrongArguments`].
pub fn wrong_arguments(message: String) -> Error {
    raise(Diagnostic::error(Code::WrongArguments, message))
}

/// Makes the keyword map that a callable takes as its last argument.
pub fn kwargs(entries: impl IntoIterator<Item = (String, Value)>) -> Value {
    entries.into_iter().collect::<Kwargs>().into()
}

fn unknown() -> Error {
    Error::from(ErrorKind::UnknownMethod)
}

pub(crate) fn integer(function: &str, value: &Value) -> Result<i64, Error> {
    match value.kind() {
        ValueKind::Bool => Ok(i64::from(value.is_true())),
        ValueKind::Number if value.is_integer() => value
            .as_i64()
            .ok_or_else(|| type_error(format!("the number given to `{function}` is too large"))),
        _ => Err(type_error(format!("`{function}` needs a whole number"))),
    }
}

/// Turns a Python index, counted from the end where negative, into a position.
fn position(index: i64, length: usize) -> Option<usize> {
    let index = if index < 0 {
        index.checked_add(i64::try_from(length).ok()?)?
    } else {
        index
    };
    usize::try_from(index).ok().filter(|&at| at < length)
}

/// Calls a method of a list.
pub(crate) fn list_method(
    this: &PyList,
    state: &mut State<'_, '_>,
    method: &str,
    args: &[Value],
) -> Result<Value, Error> {
    let none = Value::from(());
    match method {
        "append" => {
            let [item] = bind(method, args, ["object"], 1)?;
            this.lock().push(item.unwrap_or_default());
            Ok(none)
        }
        "extend" => {
            let [more] = bind(method, args, ["iterable"], 1)?;
            let more = items(&more.unwrap_or_default())?;
            this.lock().extend(more);
            Ok(none)
        }
        "insert" => {
            let [index, item] = bind(method, args, ["index", "object"], 2)?;
            let index = integer(method, &index.unwrap_or_default())?;
            let mut items = this.lock();
            let length = items.len();
            let at = if index < 0 {
                length.saturating_sub(usize::try_from(index.unsigned_abs()).unwrap_or(length))
            } else {
                usize::try_from(index).unwrap_or(length).min(length)
            };
            items.insert(at, item.unwrap_or_default());
            Ok(none)
        }
        "pop" => {
            let [index] = bind(method, args, ["index"], 0)?;
            let index = index.map_or(Ok(-1), |index| integer(method, &index))?;
            let mut items = this.lock();
            if items.is_empty() {
                return Err(type_error("pop from an empty list"));
            }
            match position(index, items.len()) {
                Some(at) => Ok(items.remove(at)),
                None => Err(type_error("pop index out of range")),
            }
        }
        "remove" => {
            let [item] = bind(method, args, ["value"], 1)?;
            let item = item.unwrap_or_default();
            let at = this.snapshot().iter().position(|other| *other == item);
            match at {
                Some(at) => {
                    this.lock().remove(at);
                    Ok(none)
                }
                None => Err(type_error("`list.remove(x)`: x is not in the list")),
            }
        }
        "clear" => {
            let [] = bind(method, args, [], 0)?;
            this.lock().clear();
            Ok(none)
        }
        "reverse" => {
            let [] = bind(method, args, [], 0)?;
            this.lock().reverse();
            Ok(none)
        }
        "copy" => {
            let [] = bind(method, args, [], 0)?;
            Ok(list(this.snapshot()))
        }
        "index" => {
            let [item, start, end] = bind(method, args, ["value", "start", "stop"], 1)?;
            let item = item.unwrap_or_default();
            let items = this.snapshot();
            let start = start.map_or(Ok(0), |start| integer(method, &start))?.max(0);
            let end = end.map_or(Ok(i64::MAX), |end| integer(method, &end))?;
            let found = items.iter().enumerate().find(|(at, other)| {
                let at = i64::try_from(*at).unwrap_or(i64::MAX);
                at >= start && at < end && **other == item
            });
            match found {
                Some((at, _)) => Ok(Value::from(at)),
                None => Err(type_error("the value is not in the list")),
            }
        }
        "count" => {
            let [item] = bind(method, args, ["value"], 1)?;
            let item = item.unwrap_or_default();
            let count = this
                .snapshot()
                .iter()
                .filter(|other| **other == item)
                .count();
            Ok(Value::from(count))
        }
        "sort" => {
            let [key, reverse] = bind(method, args, ["key", "reverse"], 0)?;
            let sorted = sort(
                this.snapshot(),
                key.as_ref(),
                reverse.is_some_and(|r| truth(&r)),
                state,
            )?;
            *this.lock() = sorted;
            Ok(none)
        }
        _ => Err(unknown()),
    }
}

/// Sorts as Python's `sorted`: stable, by a key function where one is given.
pub(crate) fn sort(
    items: Vec<Value>,
    key: Option<&Value>,
    reverse: bool,
    state: &mut State<'_, '_>,
) -> Result<Vec<Value>, Error> {
    let mut keyed = Vec::with_capacity(items.len());
    for item in items {
        let by = match key {
            Some(key) if !key.is_none() => key.call(state, std::slice::from_ref(&item))?,
            _ => item.clone(),
        };
        keyed.push((by, item));
    }
    let mut failure = None;
    keyed.sort_by(|(a, _), (b, _)| {
        let order = compare("<", a, b).unwrap_or_else(|error| {
            failure.get_or_insert(error);
            std::cmp::Ordering::Equal
        });
        if reverse { order.reverse() } else { order }
    });
    match failure {
        Some(error) => Err(error),
        None => Ok(keyed.into_iter().map(|(_, item)| item).collect()),
    }
}

/// Calls a method of a dict.
pub(crate) fn dict_method(this: &PyDict, method: &str, args: &[Value]) -> Result<Value, Error> {
    let none = Value::from(());
    match method {
        "update" => {
            let (positional, keywords) = split_kwargs(args);
            let mut more = Vec::new();
            match positional {
                [] => {}
                [other] => more = entries_of(other)?,
                _ => {
                    return Err(wrong_arguments(
                        "`update` takes at most 1 argument".to_owned(),
                    ));
                }
            }
            more.extend(keywords);
            this.lock().extend(more);
            Ok(none)
        }
        "setdefault" => {
            let [key, default] = bind(method, args, ["key", "default"], 1)?;
            let default = default.unwrap_or(none);
            let mut entries = this.lock();
            Ok(entries
                .entry(key.unwrap_or_default())
                .or_insert(default)
                .clone())
        }
        "pop" => {
            let [key, default] = bind(method, args, ["key", "default"], 1)?;
            let key = key.unwrap_or_default();
            let taken = this.lock().shift_remove(&key);
            taken.or(default).ok_or_else(|| missing_key(&key))
        }
        "popitem" => {
            let [] = bind(method, args, [], 0)?;
            let last = this.lock().pop();
            match last {
                Some((key, value)) => Ok(tuple(vec![key, value])),
                None => Err(type_error("the dict is empty")),
            }
        }
        "clear" => {
            let [] = bind(method, args, [], 0)?;
            this.lock().clear();
            Ok(none)
        }
        _ => {
            let get = |key: &Value| this.lock().get(key).cloned();
            map_method(method, args, get, || this.snapshot())
        }
    }
}

/// Calls a reading method of anything that behaves as a dict.
pub(crate) fn map_method(
    method: &str,
    args: &[Value],
    get: impl Fn(&Value) -> Option<Value>,
    entries: impl Fn() -> Vec<(Value, Value)>,
) -> Result<Value, Error> {
    match method {
        "get" => {
            let [key, default] = bind(method, args, ["key", "default"], 1)?;
            let found = get(&key.unwrap_or_default()).filter(|value| !value.is_undefined());
            Ok(found.or(default).unwrap_or_else(|| Value::from(())))
        }
        "items" => {
            let [] = bind(method, args, [], 0)?;
            Ok(list(
                entries()
                    .into_iter()
                    .map(|(key, value)| tuple(vec![key, value]))
                    .collect(),
            ))
        }
        "keys" => {
            let [] = bind(method, args, [], 0)?;
            Ok(list(entries().into_iter().map(|(key, _)| key).collect()))
        }
        "values" => {
            let [] = bind(method, args, [], 0)?;
            Ok(list(
                entries().into_iter().map(|(_, value)| value).collect(),
            ))
        }
        "copy" => {
            let [] = bind(method, args, [], 0)?;
            Ok(dict(entries()))
        }
        _ => Err(unknown()),
    }
}

pub(crate) fn missing_key(key: &Value) -> Error {
    type_error(format!(
        "the dict has no key {}",
        super::format::py_repr(key)
    ))
}

/// The entries of a dict, or of a list of pairs.
pub(crate) fn entries_of(value: &Value) -> Result<Vec<(Value, Value)>, Error> {
    if value.kind() == ValueKind::Map {
        return Ok(pairs(value));
    }
    items(value)?
        .iter()
        .map(|pair| match items(pair)?.as_slice() {
            [key, value] => Ok((key.clone(), value.clone())),
            _ => Err(type_error("a dict is made of pairs")),
        })
        .collect()
}
