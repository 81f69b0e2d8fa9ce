//! Jinja2's filters and tests, where minijinja has none or another behaviour.

use minijinja::value::{Rest, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, State, Value};
use serde_json::Value as Json;

use super::format::{py_repr, py_str};
use super::macros::MacroValue;
use super::methods::{bind, integer, sort};
use super::operators::{Number, as_number, contains, int};
use super::percent::percent;
use super::strings;
use super::values::{dict, from_json, items, list, pairs, to_json, tuple, type_error, type_name};

/// The filters that templates may use.
pub(crate) const FILTERS: &[&str] = &[
    "abs",
    "as_bool",
    "as_native",
    "as_number",
    "as_text",
    "attr",
    "batch",
    "bool",
    "capitalize",
    "center",
    "chain",
    "count",
    "d",
    "default",
    "dictsort",
    "e",
    "escape",
    "first",
    "float",
    "format",
    "fromjson",
    "groupby",
    "indent",
    "int",
    "is_list",
    "items",
    "join",
    "last",
    "length",
    "lines",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "pprint",
    "random",
    "reject",
    "rejectattr",
    "replace",
    "reverse",
    "round",
    "safe",
    "select",
    "selectattr",
    "slice",
    "sort",
    "split",
    "string",
    "striptags",
    "sum",
    "title",
    "tojson",
    "trim",
    "truncate",
    "unique",
    "upper",
    "urlencode",
    "wordcount",
    "zip",
];

/// The tests that templates may use.
pub(crate) const TESTS: &[&str] = &[
    "boolean",
    "callable",
    "defined",
    "divisibleby",
    "endingwith",
    "eq",
    "equalto",
    "escaped",
    "even",
    "false",
    "filter",
    "float",
    "ge",
    "greaterthan",
    "gt",
    "in",
    "integer",
    "int",
    "iterable",
    "le",
    "lessthan",
    "lower",
    "lt",
    "mapping",
    "ne",
    "none",
    "number",
    "odd",
    "sameas",
    "safe",
    "sequence",
    "startingwith",
    "string",
    "test",
    "true",
    "undefined",
    "upper",
];

type Args = Rest<ValueOrKwargs>;

fn values(args: Args) -> Vec<Value> {
    args.0.into_iter().map(ValueOrKwargs::into_value).collect()
}

/// Adds the filters and tests to an environment.
pub(crate) fn register(env: &mut Environment<'static>) {
    env.add_filter(super::operators::names::DO, |_: &Value| Value::UNDEFINED);
    for name in ["as_text", "as_bool", "as_number", "as_native"] {
        env.add_filter(name, |value: Value| value);
    }
    text_filters(env);
    // Objects that Python would call a mapping say so: relations, which dbt_utils asks for it.
    env.add_test("mapping", |value: &Value| {
        value.kind() == ValueKind::Map
            || value
                .get_attr("__mapping__")
                .is_ok_and(|answer| answer.is_true())
    });
    // dbt's own filter.
    env.add_filter("is_list", |value: &Value| {
        value.kind() == ValueKind::Seq && !value.is_tuple()
    });
    env.add_filter("list", |value: &Value| items(value).map(list));
    env.add_filter("int", |args: Args| {
        let [value, default, base] = bind("int", &values(args), ["value", "default", "base"], 1)?;
        let base = base.map_or(Ok(10), |base| integer("int", &base))?;
        Ok::<_, Error>(
            to_int(&value.unwrap_or_default(), base).unwrap_or(default.unwrap_or(Value::from(0))),
        )
    });
    env.add_filter("float", |args: Args| {
        let [value, default] = bind("float", &values(args), ["value", "default"], 1)?;
        let value = value.unwrap_or_default();
        let number = match value.as_str() {
            Some(text) => text.trim().parse().ok(),
            None => as_number(&value).map(Number::to_f64),
        };
        Ok::<_, Error>(number.map_or(default.unwrap_or(Value::from(0.0)), Value::from))
    });
    env.add_filter("round", |args: Args| {
        let [value, precision, method] =
            bind("round", &values(args), ["value", "precision", "method"], 1)?;
        let precision = precision.map_or(Ok(0), |precision| integer("round", &precision))?;
        let method = method.map_or_else(|| "common".to_owned(), |method| py_str(&method));
        round(&value.unwrap_or_default(), precision, &method)
    });
    env.add_filter("default", default);
    env.add_filter("d", default);
    env.add_filter("sort", |state: &mut State, args: Args| {
        let names = ["value", "reverse", "case_sensitive", "attribute"];
        let [value, reverse, case, attribute] = bind("sort", &values(args), names, 1)?;
        let keyed = keyed(
            items(&value.unwrap_or_default())?,
            attribute.as_ref(),
            is_true(case),
        )?;
        sort_keyed(keyed, is_true(reverse), state)
    });
    env.add_filter("dictsort", |state: &mut State, args: Args| {
        let names = ["value", "case_sensitive", "by", "reverse"];
        let [value, case, by, reverse] = bind("dictsort", &values(args), names, 1)?;
        let by_value = by.is_some_and(|by| by.as_str() == Some("value"));
        let entries = pairs(&value.unwrap_or_default());
        let case = is_true(case);
        let keyed = entries
            .into_iter()
            .map(|(key, value)| {
                let by = if by_value { value.clone() } else { key.clone() };
                (fold(by, case), tuple(vec![key, value]))
            })
            .collect();
        sort_keyed(keyed, is_true(reverse), state)
    });
    env.add_filter("items", |value: &Value| match value.is_undefined() {
        true => list(Vec::new()),
        false => list(
            pairs(value)
                .into_iter()
                .map(|(key, value)| tuple(vec![key, value]))
                .collect(),
        ),
    });
    env.add_filter("sum", |args: Args| {
        let [value, attribute, start] =
            bind("sum", &values(args), ["value", "attribute", "start"], 1)?;
        let mut total = start
            .and_then(|start| as_number(&start))
            .unwrap_or(Number::Int(0));
        for item in items(&value.unwrap_or_default())? {
            let item = attribute_of(&item, attribute.as_ref())?;
            total = match (total, as_number(&item)) {
                (Number::Int(a), Some(Number::Int(b))) => Number::Int(a.saturating_add(b)),
                (a, Some(b)) => Number::Float(a.to_f64() + b.to_f64()),
                (_, None) => {
                    return Err(type_error(format!(
                        "`sum` cannot add a `{}`",
                        type_name(&item)
                    )));
                }
            };
        }
        Ok(match total {
            Number::Int(total) => int(total),
            Number::Float(total) => Value::from(total),
        })
    });
    env.add_filter("random", |value: &Value| -> Result<Value, Error> {
        // Renderings are deterministic: of the items that might be meant, always the first.
        Ok(items(value)?.first().cloned().unwrap_or_default())
    });
    env.add_filter("tojson", |args: Args| {
        let [value, indent] = bind("tojson", &values(args), ["value", "indent"], 1)?;
        let json = to_json(&value.unwrap_or_default())?;
        let _ = indent;
        // Jinja2's filter sorts keys and writes text that is safe inside HTML.
        let text = json_dumps(&json, KeyOrder::Sorted);
        let text = text.replace('<', "\\u003c").replace('>', "\\u003e");
        Ok::<_, Error>(text.replace('&', "\\u0026").replace('\'', "\\u0027"))
    });
    env.add_filter("fromjson", |text: &str| {
        serde_json::from_str::<Json>(text)
            .map(|json| from_json(&json))
            .map_err(|error| type_error(format!("this is no JSON: {error}")))
    });
    env.add_filter("pprint", py_repr_of);
    tests(env);
}

fn py_repr_of(value: &Value) -> String {
    py_repr(value)
}

fn text_filters(env: &mut Environment<'static>) {
    env.add_filter("string", |value: &Value| py_str(value));
    env.add_filter("upper", |value: &Value| py_str(value).to_uppercase());
    env.add_filter("lower", |value: &Value| py_str(value).to_lowercase());
    env.add_filter("title", |value: &Value| title_words(&py_str(value)));
    env.add_filter("capitalize", |value: &Value| {
        strings::capitalize(&py_str(value))
    });
    env.add_filter("wordcount", |value: &Value| {
        py_str(value).split_whitespace().count()
    });
    env.add_filter("trim", |args: Args| {
        let [value, chars] = bind("trim", &values(args), ["value", "chars"], 1)?;
        let text = py_str(&value.unwrap_or_default());
        let trimmed = match chars.filter(|chars| !chars.is_none()) {
            Some(chars) => {
                let chars = py_str(&chars);
                text.trim_matches(|char| chars.contains(char)).to_owned()
            }
            None => text.trim().to_owned(),
        };
        Ok::<_, Error>(trimmed)
    });
    env.add_filter("replace", |args: Args| {
        let [value, old, new, count] =
            bind("replace", &values(args), ["s", "old", "new", "count"], 3)?;
        let text = py_str(&value.unwrap_or_default());
        let (old, new) = (
            py_str(&old.unwrap_or_default()),
            py_str(&new.unwrap_or_default()),
        );
        let count = count.filter(|count| !count.is_none());
        let count = count.map(|count| integer("replace", &count)).transpose()?;
        Ok::<_, Error>(match count.and_then(|count| usize::try_from(count).ok()) {
            Some(count) => text.replacen(&old, &new, count),
            None => text.replace(&old, &new),
        })
    });
    env.add_filter("join", |args: Args| {
        let [value, between, attribute] =
            bind("join", &values(args), ["value", "d", "attribute"], 1)?;
        let between = between.map_or_else(String::new, |between| py_str(&between));
        let mut parts = Vec::new();
        for item in items(&value.unwrap_or_default())? {
            parts.push(py_str(&attribute_of(&item, attribute.as_ref())?));
        }
        Ok::<_, Error>(parts.join(&between))
    });
    env.add_filter("center", |args: Args| {
        let [value, width] = bind("center", &values(args), ["value", "width"], 1)?;
        let text = py_str(&value.unwrap_or_default());
        let width = width.map_or(Ok(80), |width| integer("center", &width))?;
        let width = usize::try_from(width).unwrap_or(0);
        let missing = width.saturating_sub(text.chars().count());
        let (before, after) = strings::center(missing, width);
        Ok::<_, Error>(format!("{}{text}{}", " ".repeat(before), " ".repeat(after)))
    });
    env.add_filter("truncate", |args: Args| {
        let names = ["s", "length", "killwords", "end", "leeway"];
        let [value, length, kill, end, leeway] = bind("truncate", &values(args), names, 1)?;
        let text = py_str(&value.unwrap_or_default());
        let length = length.map_or(Ok(255), |length| integer("truncate", &length))?;
        let leeway = leeway.map_or(Ok(5), |leeway| integer("truncate", &leeway))?;
        let end = end.map_or_else(|| "...".to_owned(), |end| py_str(&end));
        let size = |number: i64| usize::try_from(number).unwrap_or(0);
        if text.chars().count() <= size(length.saturating_add(leeway)) {
            return Ok::<_, Error>(text);
        }
        let keep = size(length).saturating_sub(end.chars().count());
        let cut: String = text.chars().take(keep).collect();
        let cut = match is_true(kill) {
            true => cut.as_str(),
            false => cut
                .rsplit_once(' ')
                .map_or(cut.as_str(), |(before, _)| before),
        };
        Ok(format!("{cut}{end}"))
    });
    env.add_filter("striptags", |value: &Value| {
        let mut out = String::new();
        let mut inside = false;
        for char in py_str(value).chars() {
            match char {
                '<' => inside = true,
                '>' if inside => inside = false,
                char if !inside => out.push(char),
                _ => {}
            }
        }
        out.split_whitespace().collect::<Vec<_>>().join(" ")
    });
    env.add_filter("format", |args: Args| {
        let args = values(args);
        let (positional, keywords) = super::split_kwargs(&args);
        let Some((format, rest)) = positional.split_first() else {
            return Ok(String::new());
        };
        match keywords.is_empty() {
            true => percent(&py_str(format), &tuple(rest.to_vec())),
            false => percent(&py_str(format), &dict(keywords)),
        }
    });
}

fn tests(env: &mut Environment<'static>) {
    env.add_test("callable", |value: &Value| {
        value.downcast_object_ref::<MacroValue>().is_some() || value.kind() == ValueKind::Plain
    });
    env.add_test("number", |value: &Value| as_number(value).is_some());
    env.add_test("sequence", |value: &Value| {
        matches!(
            value.kind(),
            ValueKind::String | ValueKind::Seq | ValueKind::Map
        )
    });
    env.add_test("iterable", |value: &Value| {
        !value.is_none() && value.try_iter().is_ok()
    });
    env.add_test("in", |value: &Value, container: &Value| {
        contains(container, value)
    });
}

/// Jinja2's `title`, which unlike Python's knows apostrophes.
fn title_words(text: &str) -> String {
    let mut inside = false;
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        if inside {
            out.extend(char.to_lowercase());
        } else {
            out.extend(char.to_uppercase());
        }
        inside = !(char.is_whitespace() || "-({[<".contains(char));
    }
    out
}

fn is_true(value: Option<Value>) -> bool {
    value.is_some_and(|value| value.is_true())
}

fn default(args: Args) -> Result<Value, Error> {
    let names = ["value", "default_value", "boolean"];
    let [value, default, boolean] = bind("default", &values(args), names, 1)?;
    let value = value.unwrap_or_default();
    if value.is_undefined() || (is_true(boolean) && !value.is_true()) {
        return Ok(default.unwrap_or_else(|| Value::from("")));
    }
    Ok(value)
}

/// Follows `a.b.0`, the attribute argument of many filters.
fn attribute_of(item: &Value, attribute: Option<&Value>) -> Result<Value, Error> {
    let Some(attribute) = attribute.filter(|attribute| !attribute.is_none()) else {
        return Ok(item.clone());
    };
    if attribute.is_integer() {
        return item.get_item(attribute);
    }
    let mut value = item.clone();
    for part in py_str(attribute).split('.') {
        value = match part.parse::<usize>() {
            Ok(index) => value.get_item_by_index(index)?,
            Err(_) => value.get_attr(part)?,
        };
    }
    Ok(value)
}

/// A key for sorting: small letters, unless case counts.
fn fold(value: Value, case_sensitive: bool) -> Value {
    match value.as_str() {
        Some(text) if !case_sensitive => Value::from(text.to_lowercase()),
        _ => value,
    }
}

fn keyed(
    all: Vec<Value>,
    attribute: Option<&Value>,
    case_sensitive: bool,
) -> Result<Vec<(Value, Value)>, Error> {
    all.into_iter()
        .map(|item| {
            let names = attribute
                .and_then(Value::as_str)
                .filter(|names| names.contains(','));
            let key = match names {
                Some(names) => tuple(
                    names
                        .split(',')
                        .map(|name| {
                            Ok(fold(
                                attribute_of(&item, Some(&Value::from(name)))?,
                                case_sensitive,
                            ))
                        })
                        .collect::<Result<_, Error>>()?,
                ),
                None => fold(attribute_of(&item, attribute)?, case_sensitive),
            };
            Ok((key, item))
        })
        .collect()
}

fn sort_keyed(
    keyed: Vec<(Value, Value)>,
    reverse: bool,
    state: &mut State<'_, '_>,
) -> Result<Value, Error> {
    // Sorting positions by their keys keeps equal ones in order.
    let keys: Vec<Value> = keyed.iter().map(|(key, _)| key.clone()).collect();
    let lookup = keys.clone();
    let key = Value::from_function(move |index: usize| lookup[index].clone());
    let order = sort(
        (0..keys.len()).map(Value::from).collect(),
        Some(&key),
        reverse,
        state,
    )?;
    let picked = order
        .iter()
        .filter_map(|index| Some(keyed[index.as_usize()?].1.clone()));
    Ok(list(picked.collect()))
}

fn to_int(value: &Value, base: i64) -> Option<Value> {
    if let Some(text) = value.as_str() {
        let text = text.trim().replace('_', "");
        let lower = text.to_lowercase();
        let digits = match base {
            16 => lower.strip_prefix("0x").unwrap_or(&lower),
            8 => lower.strip_prefix("0o").unwrap_or(&lower),
            2 => lower.strip_prefix("0b").unwrap_or(&lower),
            _ => &lower,
        };
        let radix = u32::try_from(base)
            .ok()
            .filter(|radix| (2..=36).contains(radix))?;
        return match i128::from_str_radix(digits, radix) {
            Ok(value) => Some(int(value)),
            Err(_) if base == 10 => lower
                .parse::<f64>()
                .ok()
                .filter(|value| value.is_finite())
                .map(|value| int(value.trunc() as i128)),
            Err(_) => None,
        };
    }
    match as_number(value)? {
        Number::Int(value) => Some(int(value)),
        Number::Float(value) if value.is_finite() => Some(int(value.trunc() as i128)),
        Number::Float(_) => None,
    }
}

fn round(value: &Value, precision: i64, method: &str) -> Result<Value, Error> {
    let Some(number) = as_number(value) else {
        return Err(type_error(format!(
            "`round` needs a number, not `{}`",
            type_name(value)
        )));
    };
    let scale = 10f64.powi(i32::try_from(precision).unwrap_or(0));
    let number = match (number, method) {
        (Number::Int(number), "common") if precision >= 0 => return Ok(int(number)),
        (number, "ceil") => (number.to_f64() * scale).ceil() / scale,
        (number, "floor") => (number.to_f64() * scale).floor() / scale,
        (number, "common") => match usize::try_from(precision) {
            // Formatting rounds the exact value, and halves to even, as Python's `round` does.
            Ok(digits) => format!("{:.digits$}", number.to_f64())
                .parse()
                .unwrap_or(f64::NAN),
            Err(_) => (number.to_f64() * scale).round_ties_even() / scale,
        },
        (_, other) => {
            return Err(type_error(format!(
                "`round` knows the methods common, ceil and floor, not `{other}`"
            )));
        }
    };
    match (as_number(value), method) {
        (Some(Number::Int(_)), "common") => Ok(int(number as i128)),
        _ => Ok(Value::from(number)),
    }
}

/// Whether the keys of a dict are sorted when it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyOrder {
    /// By their text.
    Sorted,
    /// As they are.
    Kept,
}

/// Writes JSON as Python's `json.dumps` does: `, ` and `: `, and ASCII only.
pub fn json_dumps(json: &Json, order: KeyOrder) -> String {
    let mut out = String::new();
    dump(&mut out, json, order);
    out
}

fn dump(out: &mut String, json: &Json, order: KeyOrder) {
    match json {
        Json::Null | Json::Bool(_) => out.push_str(&json.to_string()),
        Json::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            Some(number) => out.push_str(&super::format::py_float(number)),
            None => out.push_str(&number.to_string()),
        },
        Json::String(text) => dump_text(out, text),
        Json::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                dump(out, item, order);
            }
            out.push(']');
        }
        Json::Object(entries) => {
            let mut entries: Vec<_> = entries.iter().collect();
            if order == KeyOrder::Sorted {
                entries.sort_by_key(|(key, _)| *key);
            }
            out.push('{');
            for (index, (key, value)) in entries.into_iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                dump_text(out, key);
                out.push_str(": ");
                dump(out, value, order);
            }
            out.push('}');
        }
    }
}

fn dump_text(out: &mut String, text: &str) {
    let quoted = Json::from(text).to_string();
    for char in quoted.chars() {
        if char.is_ascii() {
            out.push(char);
            continue;
        }
        let mut units = [0; 2];
        for unit in char.encode_utf16(&mut units) {
            out.push_str(&format!("\\u{unit:04x}"));
        }
    }
}
