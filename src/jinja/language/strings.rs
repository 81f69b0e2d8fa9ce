//! The methods of Python's strings, tuples and foreign dicts.

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, State, Value};

use super::format::py_str;
use super::methods::{bind, integer, map_method, split_kwargs};
use super::percent::brace;
use super::values::{items, list, pairs, tuple, type_error, type_name};

/// Answers methods that an object does not have itself.
pub(crate) fn unknown_method(
    _: &mut State<'_, '_>,
    value: &Value,
    method: &str,
    args: &[Value],
) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::String => string_method(value.as_str().unwrap_or_default(), method, args),
        ValueKind::Map => {
            let get = |key: &Value| value.get_item(key).ok();
            map_method(method, args, get, || pairs(value))
        }
        ValueKind::Seq => sequence_method(value, method, args),
        _ => Err(Error::from(ErrorKind::UnknownMethod)),
    }
}

fn sequence_method(value: &Value, method: &str, args: &[Value]) -> Result<Value, Error> {
    match method {
        "count" => {
            let [wanted] = bind(method, args, ["value"], 1)?;
            let wanted = wanted.unwrap_or_default();
            Ok(Value::from(
                items(value)?.iter().filter(|item| **item == wanted).count(),
            ))
        }
        "index" => {
            let [wanted] = bind(method, args, ["value"], 1)?;
            let wanted = wanted.unwrap_or_default();
            let at = items(value)?.iter().position(|item| *item == wanted);
            at.map(Value::from)
                .ok_or_else(|| type_error("the value is not in the sequence"))
        }
        _ => Err(Error::from(ErrorKind::UnknownMethod)),
    }
}

fn text_of(method: &str, value: &Value) -> Result<String, Error> {
    match value.kind() {
        ValueKind::String => Ok(value.as_str().unwrap_or_default().to_owned()),
        ValueKind::Undefined => Err(type_error(format!(
            "an argument of `{method}` is undefined"
        ))),
        _ => Err(type_error(format!(
            "`{method}` needs a string, not `{}`",
            type_name(value)
        ))),
    }
}

fn optional_text(method: &str, value: Option<Value>) -> Result<Option<String>, Error> {
    value
        .filter(|value| !value.is_none())
        .map(|value| text_of(method, &value))
        .transpose()
}

fn count_of(method: &str, value: Option<Value>) -> Result<Option<usize>, Error> {
    match value {
        None => Ok(None),
        // A negative count means no limit.
        Some(value) => Ok(usize::try_from(integer(method, &value)?).ok()),
    }
}

fn texts(parts: impl IntoIterator<Item = impl Into<String>>) -> Value {
    list(
        parts
            .into_iter()
            .map(|part| Value::from(part.into()))
            .collect(),
    )
}

fn string_method(text: &str, method: &str, args: &[Value]) -> Result<Value, Error> {
    let plain = |result: String| {
        let [] = bind(method, args, [], 0)?;
        Ok(Value::from(result))
    };
    match method {
        "upper" => plain(text.to_uppercase()),
        "lower" | "casefold" => plain(text.to_lowercase()),
        "title" => plain(title(text)),
        "capitalize" => plain(capitalize(text)),
        "swapcase" => plain(text.chars().map(swap_case).collect()),
        "strip" | "lstrip" | "rstrip" => {
            let [chars] = bind(method, args, ["chars"], 0)?;
            let chars = optional_text(method, chars)?;
            let strips = |char: char| match &chars {
                Some(chars) => chars.contains(char),
                None => char.is_whitespace(),
            };
            Ok(Value::from(match method {
                "strip" => text.trim_matches(strips),
                "lstrip" => text.trim_start_matches(strips),
                _ => text.trim_end_matches(strips),
            }))
        }
        "split" | "rsplit" => {
            let [separator, limit] = bind(method, args, ["sep", "maxsplit"], 0)?;
            let separator = optional_text(method, separator)?;
            let limit = count_of(method, limit)?;
            split(text, separator.as_deref(), limit, method == "rsplit")
        }
        "splitlines" => {
            let [keep] = bind(method, args, ["keepends"], 0)?;
            let keep = keep.is_some_and(|keep| keep.is_true());
            Ok(texts(text.split_inclusive('\n').map(|line| match keep {
                true => line,
                false => line.trim_end_matches('\n').trim_end_matches('\r'),
            })))
        }
        "partition" | "rpartition" => {
            let [separator] = bind(method, args, ["sep"], 1)?;
            let separator = text_of(method, &separator.unwrap_or_default())?;
            let found = match method {
                "partition" => text.split_once(&separator),
                _ => text.rsplit_once(&separator),
            };
            let parts = match found {
                Some((before, after)) => [before, &separator, after],
                None if method == "partition" => [text, "", ""],
                None => ["", "", text],
            };
            Ok(tuple(parts.into_iter().map(Value::from).collect()))
        }
        "replace" => {
            let [old, new, count] = bind(method, args, ["old", "new", "count"], 2)?;
            let old = text_of(method, &old.unwrap_or_default())?;
            let new = text_of(method, &new.unwrap_or_default())?;
            Ok(Value::from(match count_of(method, count)? {
                Some(count) => text.replacen(&old, &new, count),
                None => text.replace(&old, &new),
            }))
        }
        "startswith" | "endswith" => {
            let [affix, start, end] = bind(method, args, ["prefix", "start", "end"], 1)?;
            let affix = affix.unwrap_or_default();
            let part = window(text, start, end, method)?.1;
            let affixes = match affix.kind() {
                ValueKind::Seq => items(&affix)?,
                _ => vec![affix],
            };
            for affix in affixes {
                let affix = text_of(method, &affix)?;
                let found = match method {
                    "startswith" => part.starts_with(&affix),
                    _ => part.ends_with(&affix),
                };
                if found {
                    return Ok(Value::from(true));
                }
            }
            Ok(Value::from(false))
        }
        "find" | "index" | "rfind" | "rindex" => {
            let [wanted, start, end] = bind(method, args, ["sub", "start", "end"], 1)?;
            let wanted = text_of(method, &wanted.unwrap_or_default())?;
            let (offset, part) = window(text, start, end, method)?;
            let at = match method {
                "find" | "index" => part.find(&wanted),
                _ => part.rfind(&wanted),
            };
            match at {
                Some(at) => Ok(Value::from(offset + part[..at].chars().count())),
                None if method.ends_with("index") => Err(type_error("substring not found")),
                None => Ok(Value::from(-1)),
            }
        }
        "count" => {
            let [wanted, start, end] = bind(method, args, ["sub", "start", "end"], 1)?;
            let wanted = text_of(method, &wanted.unwrap_or_default())?;
            let part = window(text, start, end, method)?.1;
            Ok(Value::from(part.matches(&wanted).count()))
        }
        "join" => {
            let [parts] = bind(method, args, ["iterable"], 1)?;
            let mut out = String::new();
            for (index, part) in items(&parts.unwrap_or_default())?.iter().enumerate() {
                if index > 0 {
                    out.push_str(text);
                }
                match part.kind() {
                    ValueKind::String => out.push_str(part.as_str().unwrap_or_default()),
                    // Relations and the like are strings to those who join them.
                    ValueKind::Plain | ValueKind::Map => out.push_str(&py_str(part)),
                    _ => {
                        return Err(type_error(format!(
                            "sequence item {index}: expected str instance, `{}` found",
                            type_name(part)
                        )));
                    }
                }
            }
            Ok(Value::from(out))
        }
        "format" => brace(text, args).map(Value::from),
        "format_map" => {
            let [map] = bind(method, args, ["mapping"], 1)?;
            let entries = pairs(&map.unwrap_or_default());
            let entries = entries
                .into_iter()
                .map(|(key, value)| (py_str(&key), value));
            brace(text, &[super::kwargs(entries)]).map(Value::from)
        }
        "zfill" => {
            let [width] = bind(method, args, ["width"], 1)?;
            let width = count_of(method, width)?.unwrap_or(0);
            let missing = width.saturating_sub(text.chars().count());
            let (sign, digits) = match text.starts_with(['+', '-']) {
                true => text.split_at(1),
                false => ("", text),
            };
            Ok(Value::from(format!(
                "{sign}{}{digits}",
                "0".repeat(missing)
            )))
        }
        "ljust" | "rjust" | "center" => {
            let [width, fill] = bind(method, args, ["width", "fillchar"], 1)?;
            let width = count_of(method, width)?.unwrap_or(0);
            let fill = optional_text(method, fill)?.unwrap_or_else(|| " ".to_owned());
            let missing = width.saturating_sub(text.chars().count());
            let (before, after) = match method {
                "ljust" => (0, missing),
                "rjust" => (missing, 0),
                _ => center(missing, width),
            };
            Ok(Value::from(format!(
                "{}{text}{}",
                fill.repeat(before),
                fill.repeat(after)
            )))
        }
        "removeprefix" | "removesuffix" => {
            let [affix] = bind(method, args, ["affix"], 1)?;
            let affix = text_of(method, &affix.unwrap_or_default())?;
            Ok(Value::from(match method {
                "removeprefix" => text.strip_prefix(affix.as_str()).unwrap_or(text),
                _ => text.strip_suffix(affix.as_str()).unwrap_or(text),
            }))
        }
        "expandtabs" => {
            let [width] = bind(method, args, ["tabsize"], 0)?;
            let width = count_of(method, width)?.unwrap_or(8);
            Ok(Value::from(text.replace('\t', &" ".repeat(width))))
        }
        "encode" => {
            split_kwargs(args);
            Ok(Value::from_bytes(text.as_bytes().to_vec()))
        }
        _ => match predicate(text, method) {
            Some(answer) => {
                let [] = bind(method, args, [], 0)?;
                Ok(Value::from(answer))
            }
            None => Err(Error::from(ErrorKind::UnknownMethod)),
        },
    }
}

/// `isdigit` and the like.
fn predicate(text: &str, method: &str) -> Option<bool> {
    let all = |test: fn(char) -> bool| !text.is_empty() && text.chars().all(test);
    Some(match method {
        "isdigit" | "isnumeric" | "isdecimal" => all(char::is_numeric),
        "isalpha" => all(char::is_alphabetic),
        "isalnum" => all(char::is_alphanumeric),
        "isspace" => all(char::is_whitespace),
        "isascii" => text.is_ascii(),
        "islower" => text.chars().any(char::is_lowercase) && !text.chars().any(char::is_uppercase),
        "isupper" => text.chars().any(char::is_uppercase) && !text.chars().any(char::is_lowercase),
        "istitle" => text.chars().any(char::is_alphabetic) && title(text) == text,
        "isidentifier" => {
            all(|char| char == '_' || char.is_alphanumeric())
                && !text.starts_with(|char: char| char.is_numeric())
        }
        _ => return None,
    })
}

fn swap_case(char: char) -> char {
    if char.is_uppercase() {
        char.to_lowercase().next().unwrap_or(char)
    } else {
        char.to_uppercase().next().unwrap_or(char)
    }
}

/// Python's `title`: a letter is large where none stands before it.
pub(crate) fn title(text: &str) -> String {
    let mut inside = false;
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        if inside {
            out.extend(char.to_lowercase());
        } else {
            out.extend(char.to_uppercase());
        }
        inside = char.is_alphabetic();
    }
    out
}

pub(crate) fn capitalize(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first
            .to_uppercase()
            .chain(chars.as_str().to_lowercase().chars())
            .collect(),
        None => String::new(),
    }
}

/// How Python's `center` shares the missing characters.
pub(crate) fn center(missing: usize, width: usize) -> (usize, usize) {
    let before = missing / 2 + (missing & width & 1);
    (before, missing - before)
}

/// The part of a text between two Python indices, and how many characters stand before it.
fn window<'a>(
    text: &'a str,
    start: Option<Value>,
    end: Option<Value>,
    method: &str,
) -> Result<(usize, &'a str), Error> {
    if start.is_none() && end.is_none() {
        return Ok((0, text));
    }
    let length = text.chars().count();
    let place = |value: Option<Value>, default: usize| -> Result<usize, Error> {
        let Some(value) = value.filter(|value| !value.is_none()) else {
            return Ok(default);
        };
        let index = integer(method, &value)?;
        let size = usize::try_from(index.unsigned_abs()).unwrap_or(length);
        Ok(match index < 0 {
            true => length.saturating_sub(size),
            false => size.min(length),
        })
    };
    let (start, end) = (place(start, 0)?, place(end, length)?);
    let byte = |index: usize| {
        text.char_indices()
            .nth(index)
            .map_or(text.len(), |(at, _)| at)
    };
    Ok((start, text.get(byte(start)..byte(end)).unwrap_or_default()))
}

fn split(
    text: &str,
    separator: Option<&str>,
    limit: Option<usize>,
    from_right: bool,
) -> Result<Value, Error> {
    let Some(separator) = separator else {
        return Ok(split_space(text, limit, from_right));
    };
    if separator.is_empty() {
        return Err(type_error("empty separator"));
    }
    Ok(match (limit, from_right) {
        (None, _) => texts(text.split(separator)),
        (Some(limit), false) => texts(text.splitn(limit + 1, separator)),
        (Some(limit), true) => {
            let mut parts: Vec<&str> = text.rsplitn(limit + 1, separator).collect();
            parts.reverse();
            texts(parts)
        }
    })
}

fn split_space(text: &str, limit: Option<usize>, from_right: bool) -> Value {
    let Some(limit) = limit else {
        return texts(text.split_whitespace());
    };
    let mut parts = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let cut = match (parts.len() < limit, from_right) {
            (false, _) => None,
            (true, false) => rest.find(char::is_whitespace),
            (true, true) => rest.rfind(char::is_whitespace),
        };
        let Some(cut) = cut else {
            parts.push(rest);
            break;
        };
        let (left, right) = rest.split_at(cut);
        if from_right {
            parts.push(right.trim_start());
            rest = left.trim_end();
        } else {
            parts.push(left);
            rest = right.trim_start();
        }
    }
    if from_right {
        parts.reverse();
    }
    texts(parts)
}
