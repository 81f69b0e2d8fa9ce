//! `config`: called by a template to configure its node, asked by macros for what came of it.

use std::fmt;
use std::sync::Arc;

use minijinja::value::{Object, ObjectRepr, ValueKind};
use minijinja::{State, Value};
use serde_json::{Map, Value as Json, json};

use super::batch::config_value;
use super::callable::{Answer, function, text};
use super::node::{Context, Mode, lock};
use super::refs::place;
use crate::diagnostic::{Code, Diagnostic};
use crate::jinja::language::{
    bind, from_json, pairs, py_str, raise, split_kwargs, to_json, wrong_arguments,
};

struct Config(Arc<Context>);

/// `config`.
pub(super) fn object(context: &Arc<Context>) -> Value {
    Value::from_object(Config(Arc::clone(context)))
}

/// What a node's config holds where nobody set it. Keys that dbt knows and leaves empty are null.
fn default_of(context: &Context, key: &str) -> Option<Json> {
    let materialized = (context.config)("materialized");
    let resource = match materialized.as_ref().and_then(Json::as_str) {
        Some(kind @ ("test" | "seed")) => kind,
        Some(_) => "model",
        None => {
            let resource = context.model.get("resource_type");
            resource.and_then(Json::as_str).unwrap_or("model")
        }
    };
    let value = match (resource, key) {
        ("test", "materialized") => json!("test"),
        ("test", "severity") => json!("ERROR"),
        ("test", "fail_calc") => json!("count(*)"),
        ("test", "warn_if" | "error_if") => json!("!= 0"),
        ("test", "store_failures" | "store_failures_as" | "where" | "limit") => Json::Null,
        ("seed", "materialized") => json!("seed"),
        ("seed", "delimiter") => json!(","),
        ("seed", "quote_columns") => Json::Null,
        (_, "materialized") => json!("view"),
        (_, "enabled") => json!(true),
        (_, "tags" | "packages" | "pre-hook" | "post-hook") => json!([]),
        (_, "meta" | "persist_docs" | "quoting" | "column_types" | "grants") => json!({}),
        (_, "on_schema_change") => json!("ignore"),
        (_, "docs") => json!({"show": true, "node_color": null}),
        (_, "contract") => json!({"enforced": false, "alias_types": true}),
        (_, "access") => json!("protected"),
        (_, "lookback") => json!(1),
        (
            _,
            "alias"
            | "schema"
            | "database"
            | "group"
            | "unique_key"
            | "incremental_strategy"
            | "full_refresh"
            | "event_time"
            | "begin"
            | "batch_size"
            | "concurrent_batches",
        ) => Json::Null,
        _ => return None,
    };
    Some(value)
}

/// The value of a key; `None` where neither the node nor dbt has it.
fn lookup(context: &Context, key: &str) -> Option<Json> {
    let other = match key {
        "pre_hook" => "pre-hook",
        "post_hook" => "post-hook",
        key => key,
    };
    (context.config)(key)
        .or_else(|| (context.config)(other))
        .or_else(|| default_of(context, other))
}

impl Config {
    fn configure(&self, state: &State<'_, '_>, args: &[Value]) -> Answer {
        let (positional, keywords) = split_kwargs(args);
        let entries = match (positional, keywords.is_empty()) {
            ([], _) => keywords,
            ([dict], true) if dict.kind() == ValueKind::Map => pairs(dict),
            _ => {
                return Err(wrong_arguments(
                    "`config` takes keyword arguments or one dict".to_owned(),
                ));
            }
        };
        if self.0.mode == Mode::Parse {
            let entries: Map<String, Json> = entries
                .iter()
                .map(|(key, value)| (py_str(key), plain_json(value)))
                .collect();
            lock(&self.0.collected)
                .configs
                .push((entries, place(state)));
        }
        Ok(Value::from(""))
    }

    fn method(&self, name: &str) -> Option<Value> {
        let context = Arc::clone(&self.0);
        let parsing = context.mode == Mode::Parse;
        Some(match name {
            "get" => function("config.get", move |_, args| {
                let [key, default, _] =
                    bind("config.get", args, ["name", "default", "validator"], 1)?;
                if parsing {
                    return Ok(Value::from(""));
                }
                let key = text(key.as_ref()).unwrap_or_default();
                Ok(lookup(&context, &key)
                    .map(|value| config_value(&key, &value))
                    .or(default)
                    .unwrap_or(Value::from(())))
            }),
            "require" => function("config.require", move |_, args| {
                let [key, _] = bind("config.require", args, ["name", "validator"], 1)?;
                if parsing {
                    return Ok(Value::from(""));
                }
                let key = text(key.as_ref()).unwrap_or_default();
                lookup(&context, &key)
                    .map(|value| config_value(&key, &value))
                    .ok_or_else(|| {
                        missing(&format!("the config `{key}` is required here and not set"))
                    })
            }),
            "meta_get" => function("config.meta_get", move |_, args| {
                let [key, default, _] =
                    bind("config.meta_get", args, ["name", "default", "validator"], 1)?;
                if parsing {
                    return Ok(Value::from(""));
                }
                Ok(meta(&context, &key).or(default).unwrap_or(Value::from(())))
            }),
            "meta_require" => function("config.meta_require", move |_, args| {
                let [key, _] = bind("config.meta_require", args, ["name", "validator"], 1)?;
                if parsing {
                    return Ok(Value::from(""));
                }
                let name = text(key.as_ref()).unwrap_or_default();
                meta(&context, &key).ok_or_else(|| {
                    missing(&format!("`{name}` is required here in `meta` and not set"))
                })
            }),
            "set" => {
                let this = Config(context);
                function("config.set", move |state, args| {
                    let [key, value] = bind("config.set", args, ["name", "value"], 2)?;
                    let entry = crate::jinja::language::dict([(
                        key.unwrap_or_default(),
                        value.unwrap_or_default(),
                    )]);
                    this.configure(state, &[entry])
                })
            }
            "persist_relation_docs" => {
                persists(context, "config.persist_relation_docs", "relation")
            }
            "persist_column_docs" => persists(context, "config.persist_column_docs", "columns"),
            "model" => from_json(&context.model),
            _ => return None,
        })
    }
}

fn meta(context: &Context, key: &Option<Value>) -> Option<Value> {
    let key = text(key.as_ref()).unwrap_or_default();
    lookup(context, "meta")?.get(&key).map(from_json)
}

fn missing(message: &str) -> minijinja::Error {
    raise(Diagnostic::error(Code::BadConfig, message))
}

fn persists(context: Arc<Context>, name: &'static str, part: &'static str) -> Value {
    function(name, move |_, _| {
        if context.mode == Mode::Parse {
            return Ok(Value::from(false));
        }
        let persist = lookup(&context, "persist_docs").unwrap_or_default();
        if !persist.is_object() {
            return Err(raise(
                Diagnostic::error(Code::BadConfig, "`persist_docs` is no mapping")
                    .help("write `persist_docs: {relation: true, columns: true}`"),
            ));
        }
        Ok(Value::from(
            persist.get(part).and_then(Json::as_bool).unwrap_or(false),
        ))
    })
}

/// JSON of any value: what has no shape of its own becomes its text.
pub(super) fn plain_json(value: &Value) -> Json {
    match value.kind() {
        ValueKind::Map => Json::Object(
            pairs(value)
                .iter()
                .map(|(key, value)| (py_str(key), plain_json(value)))
                .collect(),
        ),
        ValueKind::Seq | ValueKind::Iterable => match value.try_iter() {
            Ok(items) => Json::Array(items.map(|item| plain_json(&item)).collect()),
            Err(_) => Json::Null,
        },
        ValueKind::Undefined => Json::Null,
        _ => to_json(value).unwrap_or_else(|_| Json::String(py_str(value))),
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<config>")
    }
}

impl Object for Config {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let key = key.as_str()?;
        self.method(key)
            .or_else(|| lookup(&self.0, key).map(|value| config_value(key, &value)))
    }

    fn call(self: &Arc<Self>, state: &mut State<'_, '_>, args: &[Value]) -> Answer {
        self.configure(state, args)
    }
}
