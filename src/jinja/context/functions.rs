//! The plain functions: logs, JSON and YAML, sets and zips, hashes, and a few odd ones.

use std::fmt::Write;
use std::sync::Arc;

use md5::{Digest, Md5};
use minijinja::value::{Enumerator, Object, ObjectRepr};
use minijinja::{Error, State, Value};
use serde_json::Value as Json;

use super::callable::{Answer, function, namespace, text, truth};
use super::node::Context;
use crate::diagnostic::{Code, Diagnostic};
use crate::jinja::language::{
    KeyOrder, bind, dict, engine_of, from_json, items, json_dumps, list, pairs, py_str, raise,
    raise_return, scope_of, split_kwargs, to_json, tuple, type_error,
};
use crate::jinja::port::TemplateMessage;
use crate::source::SourceFile;
use crate::yaml;

/// The prefix of environment variables that go into artifacts.
const METADATA_PREFIX: &str = "DBT_ENV_CUSTOM_ENV_";

/// `log(msg, info=false)`.
pub(super) fn log(context: &Arc<Context>) -> Value {
    let context = Arc::clone(context);
    function("log", move |_, args| {
        let [message, info] = bind("log", args, ["msg", "info"], 1)?;
        context.warehouse.emit(TemplateMessage::Log {
            text: message.as_ref().map(py_str).unwrap_or_default(),
            info: truth(info.as_ref(), false),
        });
        Ok(Value::from(""))
    })
}

/// `print(msg)`.
pub(super) fn print(context: &Arc<Context>) -> Value {
    let context = Arc::clone(context);
    function("print", move |_, args| {
        let [message] = bind("print", args, ["msg"], 1)?;
        context.warehouse.emit(TemplateMessage::Print(
            message.as_ref().map(py_str).unwrap_or_default(),
        ));
        Ok(Value::from(""))
    })
}

/// `return(value)`.
pub(super) fn return_function() -> Value {
    function("return", |_, args| {
        let [data] = bind("return", args, ["data"], 0)?;
        Err(raise_return(data.unwrap_or(Value::from(()))))
    })
}

/// `flags`: attributes by name, in any case.
#[derive(Debug)]
struct Flags(Arc<Context>);

impl Object for Flags {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let flags = &self.0.project.flags;
        let key = key.as_str()?;
        flags
            .get(key)
            .or_else(|| flags.get(&key.to_uppercase()))
            .map(from_json)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let keys = self.0.project.flags.keys();
        Enumerator::Values(keys.map(|key| Value::from(key.as_str())).collect())
    }
}

/// `flags`.
pub(super) fn flags(context: &Arc<Context>) -> Value {
    Value::from_object(Flags(Arc::clone(context)))
}

/// `fromjson(text, default)`.
pub(super) fn fromjson() -> Value {
    function("fromjson", |_, args| {
        let [text, default] = bind("fromjson", args, ["string", "default"], 1)?;
        let text = text.as_ref().map(py_str).unwrap_or_default();
        Ok(match serde_json::from_str::<Json>(&text) {
            Ok(json) => from_json(&json),
            Err(_) => default.unwrap_or(Value::from(())),
        })
    })
}

/// `tojson(value, default, sort_keys)`, with Python's spaces.
pub(super) fn tojson() -> Value {
    function("tojson", |_, args| {
        let [value, default, sort] = bind("tojson", args, ["value", "default", "sort_keys"], 1)?;
        Ok(match to_json(&value.unwrap_or_default()) {
            Ok(json) => Value::from(json_dumps(
                &json,
                match truth(sort.as_ref(), false) {
                    true => KeyOrder::Sorted,
                    false => KeyOrder::Kept,
                },
            )),
            Err(_) => default.unwrap_or(Value::from(())),
        })
    })
}

/// `fromyaml(text, default)`.
pub(super) fn fromyaml() -> Value {
    function("fromyaml", |_, args| {
        let [text, default] = bind("fromyaml", args, ["value", "default"], 1)?;
        let text = text.as_ref().map(py_str).unwrap_or_default();
        Ok(match yaml::parse(&SourceFile::inline("<fromyaml>", text)) {
            Ok(tree) => from_json(&tree.to_json()),
            Err(_) => default.unwrap_or(Value::from(())),
        })
    })
}

/// `toyaml(value, default, sort_keys)`, in PyYAML's block style.
pub(super) fn toyaml() -> Value {
    function("toyaml", |_, args| {
        let [value, default, sort] = bind("toyaml", args, ["value", "default", "sort_keys"], 1)?;
        Ok(match to_json(&value.unwrap_or_default()) {
            Ok(json) => {
                let mut out = String::new();
                write_yaml(&mut out, &json, 0, truth(sort.as_ref(), false));
                Value::from(out)
            }
            Err(_) => default.unwrap_or(Value::from(())),
        })
    })
}

fn write_yaml(out: &mut String, json: &Json, indent: usize, sort: bool) {
    let pad = " ".repeat(indent);
    match json {
        Json::Object(entries) if !entries.is_empty() => {
            let mut entries: Vec<_> = entries.iter().collect();
            if sort {
                entries.sort_by_key(|(key, _)| *key);
            }
            for (index, (key, value)) in entries.into_iter().enumerate() {
                if index > 0 || !out.ends_with("- ") {
                    out.push_str(&pad);
                }
                out.push_str(&yaml_scalar(key));
                out.push(':');
                match value {
                    Json::Object(inner) if !inner.is_empty() => {
                        out.push('\n');
                        write_yaml(out, value, indent + 2, sort);
                    }
                    Json::Array(inner) if !inner.is_empty() => {
                        out.push('\n');
                        write_yaml(out, value, indent, sort);
                    }
                    _ => {
                        out.push(' ');
                        write_yaml(out, value, indent, sort);
                    }
                }
            }
        }
        Json::Array(values) if !values.is_empty() => {
            for (index, value) in values.iter().enumerate() {
                if index > 0 || !out.ends_with("- ") {
                    out.push_str(&pad);
                }
                out.push_str("- ");
                write_yaml(out, value, indent + 2, sort);
            }
        }
        Json::Object(_) => out.push_str("{}\n"),
        Json::Array(_) => out.push_str("[]\n"),
        Json::String(text) => {
            out.push_str(&yaml_scalar(text));
            out.push('\n');
        }
        other => {
            out.push_str(&other.to_string());
            out.push('\n');
        }
    }
}

/// A text as YAML writes it: plain where that reads back as the same text.
fn yaml_scalar(text: &str) -> String {
    let file = SourceFile::inline("<toyaml>", text);
    let plain = !text.contains(['\n', '\t', '#', ':'])
        && text.trim() == text
        && yaml::parse(&file).is_ok_and(|tree| tree.as_str() == Some(text));
    if plain {
        text.to_owned()
    } else if text.contains(['\n', '\t']) {
        Json::from(text).to_string()
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}

/// The values of an argument, each once; `None` where it cannot be walked.
fn distinct(value: &Value) -> Result<Value, Error> {
    let mut seen: Vec<Value> = Vec::new();
    for item in items(value)? {
        if !seen.contains(&item) {
            seen.push(item);
        }
    }
    Ok(list(seen))
}

/// `set(value, default)`. Sets keep the order of their first members.
pub(super) fn set() -> Value {
    function("set", |_, args| {
        let [value, default] = bind("set", args, ["value", "default"], 1)?;
        Ok(distinct(&value.unwrap_or_default())
            .unwrap_or_else(|_| default.unwrap_or(Value::from(()))))
    })
}

/// `set_strict(value)`.
pub(super) fn set_strict() -> Value {
    function("set_strict", |_, args| {
        let [value] = bind("set_strict", args, ["value"], 1)?;
        distinct(&value.unwrap_or_default())
    })
}

fn zip_values(values: &[Value]) -> Answer {
    let columns = values.iter().map(items).collect::<Result<Vec<_>, _>>()?;
    let length = columns.iter().map(Vec::len).min().unwrap_or(0);
    Ok(list(
        (0..length)
            .map(|row| tuple(columns.iter().map(|column| column[row].clone()).collect()))
            .collect(),
    ))
}

/// `zip(*values, default)`.
pub(super) fn zip() -> Value {
    function("zip", |_, args| {
        let (values, keywords) = split_kwargs(args);
        let default = keywords
            .into_iter()
            .find(|(key, _)| key.as_str() == Some("default"))
            .map(|(_, value)| value);
        Ok(zip_values(values).unwrap_or_else(|_| default.unwrap_or(Value::from(()))))
    })
}

/// `zip_strict(*values)`.
pub(super) fn zip_strict() -> Value {
    function("zip_strict", |_, args| zip_values(split_kwargs(args).0))
}

/// `local_md5(text)`.
pub(super) fn local_md5() -> Value {
    function("local_md5", |_, args| {
        let [value] = bind("local_md5", args, ["value"], 1)?;
        let text = value.as_ref().map(py_str).unwrap_or_default();
        let mut out = String::with_capacity(32);
        for byte in Md5::digest(text.as_bytes()) {
            write!(out, "{byte:02x}").expect("writing to a string does not fail");
        }
        Ok(Value::from(out))
    })
}

/// `dbt_metadata_envs`.
pub(super) fn metadata_envs(context: &Arc<Context>) -> Value {
    let environment = &context.project.environment;
    dict(environment.iter().filter_map(|(name, value)| {
        let name = name.strip_prefix(METADATA_PREFIX)?;
        Some((Value::from(name), Value::from(value.as_str())))
    }))
}

/// `diff_of_two_dicts(a, b)`: of each list in the first, what the second lacks; case does not matter.
pub(super) fn diff_of_two_dicts() -> Value {
    function("diff_of_two_dicts", |_, args| {
        let [a, b] = bind("diff_of_two_dicts", args, ["dict_a", "dict_b"], 2)?;
        let fold = |value: &Value| py_str(value).to_lowercase();
        let members = |value: &Value| match value.as_str() {
            Some(_) => Ok(vec![value.clone()]),
            None => items(value),
        };
        let others = pairs(&b.unwrap_or_default());
        let mut difference = Vec::new();
        for (key, wanted) in pairs(&a.unwrap_or_default()) {
            let known = match others.iter().find(|(other, _)| fold(other) == fold(&key)) {
                Some((_, values)) => members(values)?.iter().map(fold).collect(),
                None => Vec::new(),
            };
            let missing: Vec<Value> = members(&wanted)?
                .into_iter()
                .filter(|value| !known.contains(&fold(value)))
                .collect();
            if !missing.is_empty() {
                difference.push((key, list(missing)));
            }
        }
        Ok(dict(difference))
    })
}

/// `render(text)`: a text as a template of the node, as hooks are.
pub(super) fn render() -> Value {
    function("render", |state, args| {
        let [source] = bind("render", args, ["string"], 1)?;
        render_text(state, &text(source.as_ref()).unwrap_or_default())
    })
}

/// Renders a text in the scope of the running template.
pub(super) fn render_text(state: &mut State<'_, '_>, source: &str) -> Answer {
    if !source.contains("{{") && !source.contains("{%") && !source.contains("{#") {
        return Ok(Value::from(source));
    }
    let (Some(engine), Some(scope)) = (engine_of(state), scope_of(state)) else {
        return Err(type_error("`render` was called outside of a rendering"));
    };
    let file = SourceFile::inline("<text>", source);
    engine
        .compile(&file)
        .and_then(|template| engine.render(&template, &scope))
        .map(Value::from)
        .map_err(|diagnostic| raise(*diagnostic))
}

/// `try_or_compiler_error(message, function, *args, **kwargs)`.
pub(super) fn try_or_compiler_error() -> Value {
    function("try_or_compiler_error", |state, args| match args {
        [message, callee, rest @ ..] => callee
            .call(state, rest)
            .map_err(|_| raise(Diagnostic::error(Code::CompilerError, py_str(message)))),
        _ => Err(type_error(
            "`try_or_compiler_error` needs a message and a function",
        )),
    })
}

/// `submit_python_job`.
pub(super) fn submit_python_job() -> Value {
    function("submit_python_job", |_, _| {
        Err(raise(
            Diagnostic::error(Code::Unsupported, "models in Python are not supported")
                .help("write the model in SQL"),
        ))
    })
}

/// `validation.any[..]`: validators pass every value, for configs are checked when they are merged.
pub(super) fn validation() -> Value {
    namespace("validation", |name| {
        (name == "any").then(|| Value::from_object(AnyOf))
    })
}

#[derive(Debug)]
struct AnyOf;

impl Object for AnyOf {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, _: &Value) -> Option<Value> {
        Some(function("validator", |_, _| Ok(Value::from(()))))
    }
}

/// `doc(name)` or `doc(package, name)`, where there is a lookup for it.
pub(super) fn doc(context: &Arc<Context>) -> Option<Value> {
    let lookup = Arc::clone(context.docs.as_ref()?);
    Some(function("doc", move |_, args| {
        let [first, second] = bind("doc", args, ["package_or_name", "name"], 1)?;
        let first = text(first.as_ref()).unwrap_or_default();
        let found = match text(second.as_ref()) {
            Some(name) => lookup(Some(&first), &name),
            None => lookup(None, &first),
        };
        found
            .map(|contents| Value::from(&*contents))
            .map_err(|diagnostic| raise(*diagnostic))
    }))
}
