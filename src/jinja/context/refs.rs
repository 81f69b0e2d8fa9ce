//! Names of nodes, variables and the environment: `ref`, `source`, `var`, `env_var`.

use std::fmt;
use std::sync::Arc;

use minijinja::value::{Object, ObjectRepr};
use minijinja::{Error, State, Value};
use serde_json::{Map, Value as Json};

use super::callable::{Answer, function, given, text};
use super::functions;
use super::node::{Context, Mode, lock};
use crate::calendar::Mapping;
use crate::diagnostic::{Code, Diagnostic, nearest};
use crate::jinja::language::{
    bind, call_span, from_json, py_str, raise, split_kwargs, wrong_arguments,
};
use crate::jinja::port::{Reading, RefCall, SourceCall};
use crate::source::Span;

/// Variables of the environment with this prefix are kept out of templates.
const SECRET_PREFIX: &str = "DBT_ENV_SECRET";

/// The place of the call under way; the start of nothing where the language knows none.
pub(super) fn place(state: &State<'_, '_>) -> Span {
    call_span(state)
        .unwrap_or_else(|| Span::new(&crate::source::SourceFile::inline("<unknown>", ""), 0..0))
}

/// `ref`.
pub(super) fn reference(context: &Arc<Context>) -> Value {
    let context = Arc::clone(context);
    function("ref", move |state, args| {
        let call = ref_call(args)?;
        match (context.mode, &context.resolver) {
            (Mode::Execute, Some(resolver)) => resolver
                .resolve_ref(&call)
                .map(|relation| context.relation(&relation))
                .map_err(|diagnostic| raise(*diagnostic)),
            _ => {
                let mut collected = lock(&context.collected);
                if !collected.refs.iter().any(|(known, _)| *known == call) {
                    collected.refs.push((call, place(state)));
                }
                Ok(stand_in(&context))
            }
        }
    })
}

fn ref_call(args: &[Value]) -> Result<RefCall, Error> {
    let (names, keywords) = split_kwargs(args);
    let mut version = None;
    let mut reading = Reading::default();
    for (key, value) in keywords {
        match key.as_str() {
            Some("v" | "version") => version = text(Some(&value)),
            Some("partitions") => reading.mapping = Some(mapping("ref", &value)?),
            Some("track") => reading.untracked = !value.is_true(),
            key => {
                return Err(wrong_arguments(format!(
                    "`ref` takes no argument `{}`",
                    key.unwrap_or_default()
                )));
            }
        }
    }
    let name = |value: &Value| match value.as_str() {
        Some(name) => Ok(name.to_owned()),
        None => Err(wrong_arguments(format!(
            "`ref` needs names as text, not a value of type `{}`",
            crate::jinja::language::type_name(value)
        ))),
    };
    let (package, name) = match names {
        [only] => (None, name(only)?),
        [package, only] => (Some(name(package)?), name(only)?),
        _ => {
            return Err(wrong_arguments(format!(
                "`ref` takes a name, or a package and a name; {} arguments were given",
                names.len()
            )));
        }
    };
    Ok(RefCall {
        package,
        name,
        version,
        reading,
    })
}

/// The value of `partitions=`.
fn mapping(function: &str, value: &Value) -> Result<Mapping, Error> {
    let given = py_str(value);
    Mapping::parse(&given).ok_or_else(|| {
        wrong_arguments(format!(
            "`{function}` takes partitions='same', 'previous', 'upto', 'all' or window(-2, 3), not `{given}`"
        ))
    })
}

/// `window`: from so many partitions before to so many after.
pub(super) fn window() -> Value {
    function("window", |_, args| {
        let [from, to] = bind("window", args, ["start", "end"], 2)?;
        let number = |value: &Option<Value>| {
            value
                .as_ref()
                .and_then(|value| value.clone().try_into().ok())
        };
        let (from, to): (Option<i32>, Option<i32>) = (number(&from), number(&to));
        match (from, to) {
            (Some(from), Some(to)) if from <= to => Ok(Value::from(Mapping::Window(from, to).to_string())),
            _ => Err(wrong_arguments(
                "`window` takes two whole numbers, the first not above the second, such as window(-2, 3)".to_owned(),
            )),
        }
    })
}

/// `self`: a partitioned model's own earlier partitions.
pub(super) fn own(context: &Arc<Context>) -> Value {
    let context = Arc::clone(context);
    function("self", move |state, args| {
        let [given] = bind("self", args, ["partitions"], 1)?;
        let given = given.unwrap_or_default();
        let read = mapping("self", &given)?;
        if read != Mapping::PREVIOUS {
            return Err(wrong_arguments(format!(
                "`self` reads the partition before, self('previous'), not `{}`",
                py_str(&given)
            )));
        }
        match (context.mode, &context.resolver) {
            (Mode::Execute, Some(resolver)) => resolver
                .resolve_self(read)
                .map(|relation| context.relation(&relation))
                .map_err(|diagnostic| raise(*diagnostic)),
            _ => {
                let mut collected = lock(&context.collected);
                if collected.selves.is_empty() {
                    collected.selves.push((read, place(state)));
                }
                Ok(stand_in(&context))
            }
        }
    })
}

/// What `ref` and `source` give while nothing is known yet: the node's own relation.
fn stand_in(context: &Context) -> Value {
    match &context.this {
        Some(this) => context.relation(this),
        None => Value::from(""),
    }
}

/// `source`.
pub(super) fn source(context: &Arc<Context>) -> Value {
    let context = Arc::clone(context);
    function("source", move |state, args| {
        let (names, keywords) = split_kwargs(args);
        let mut reading = Reading::default();
        let mut positional = names.to_vec();
        for (key, value) in keywords {
            match key.as_str() {
                Some("partitions") => reading.mapping = Some(mapping("source", &value)?),
                Some("track") => reading.untracked = !value.is_true(),
                Some("source_name" | "table_name") => positional.push(value),
                key => {
                    return Err(wrong_arguments(format!(
                        "`source` takes no argument `{}`",
                        key.unwrap_or_default()
                    )));
                }
            }
        }
        let [source, table] = positional.as_slice() else {
            return Err(wrong_arguments(
                "`source` takes a source and a table".to_owned(),
            ));
        };
        let call = SourceCall {
            source: py_str(source),
            table: py_str(table),
            reading,
        };
        match (context.mode, &context.resolver) {
            (Mode::Execute, Some(resolver)) => resolver
                .resolve_source(&call)
                .map(|relation| context.relation(&relation))
                .map_err(|diagnostic| raise(*diagnostic)),
            _ => {
                let mut collected = lock(&context.collected);
                if !collected.sources.iter().any(|(known, _)| *known == call) {
                    collected.sources.push((call, place(state)));
                }
                Ok(stand_in(&context))
            }
        }
    })
}

/// `var`: callable, and it has `has_var`.
struct Var(Arc<Context>);

/// `var`.
pub(super) fn var(context: &Arc<Context>) -> Value {
    Value::from_object(Var(Arc::clone(context)))
}

impl fmt::Debug for Var {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<function var>")
    }
}

impl Object for Var {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        if key.as_str() != Some("has_var") {
            return None;
        }
        let context = Arc::clone(&self.0);
        Some(function("has_var", move |_, args| {
            let [name] = bind("var.has_var", args, ["var_name"], 1)?;
            let name = text(name.as_ref()).unwrap_or_default();
            Ok(Value::from(find_var(&context, &name).is_some()))
        }))
    }

    fn call(self: &Arc<Self>, state: &mut State<'_, '_>, args: &[Value]) -> Answer {
        let [name, default] = bind("var", args, ["name", "default"], 1)?;
        let name = text(name.as_ref()).unwrap_or_default();
        let context = &self.0;
        match (find_var(context, &name), default) {
            // As in dbt, a text may be a template itself.
            (Some(Json::String(text)), _) => functions::render_text(state, text),
            (Some(value), _) => Ok(from_json(value)),
            (None, Some(default)) => Ok(default),
            // As in dbt, the parser lets a variable be missing: the node may never run.
            (None, None) if context.mode == Mode::Parse => Ok(Value::from(())),
            (None, None) => Err(raise(missing_var(context, &name))),
        }
    }
}

/// `--vars` first, then the root project's, then the package's own; in each a package's own section wins.
fn find_var<'a>(context: &'a Context, name: &str) -> Option<&'a Json> {
    let project = &context.project;
    if let Some(value) = project.cli_vars.get(name) {
        return Some(value);
    }
    let find = |vars: &'a Map<String, Json>| -> Option<&'a Json> {
        match vars.get(&*context.package) {
            Some(Json::Object(own)) if own.contains_key(name) => own.get(name),
            _ => vars.get(name),
        }
    };
    [&project.project, &context.package]
        .into_iter()
        .find_map(|package| project.package_vars.get(package).and_then(find))
}

fn missing_var(context: &Context, name: &str) -> Diagnostic {
    let diagnostic = Diagnostic::error(
        Code::MissingVar,
        format!("the variable `{name}` is not defined and has no default"),
    );
    let project = &context.project;
    let known = project
        .cli_vars
        .keys()
        .chain(project.package_vars.values().flat_map(Map::keys));
    match nearest(name, known.map(String::as_str)) {
        Some(near) => diagnostic.help(format!("a variable `{near}` is defined")),
        None => diagnostic.help(format!(
            "define it under `vars:` in dbt_project.yml, or give it with --vars '{{{name}: ..}}'"
        )),
    }
}

/// `env_var`.
pub(super) fn env_var(context: &Arc<Context>) -> Value {
    let context = Arc::clone(context);
    function("env_var", move |_, args| {
        let [name, default] = bind("env_var", args, ["var", "default"], 1)?;
        let name = text(name.as_ref()).unwrap_or_default();
        // Secrets are for credentials: a profile is read before there is a target.
        if name.starts_with(SECRET_PREFIX) && !context.project.target.is_empty() {
            return Err(raise(
                Diagnostic::error(
                    Code::MissingEnvVar,
                    format!("the secret `{name}` may be read in profiles.yml only"),
                )
                .help(format!("name the variable without `{SECRET_PREFIX}`")),
            ));
        }
        let environment = &context.project.environment;
        if let Some(value) = environment.get(&name) {
            return Ok(Value::from(value.as_str()));
        }
        if let Some(default) = given(&default) {
            return Ok(default.clone());
        }
        let diagnostic = Diagnostic::error(
            Code::MissingEnvVar,
            format!("the environment variable `{name}` is not set and has no default"),
        );
        let close = nearest(&name, environment.keys().map(String::as_str));
        Err(raise(match close {
            Some(near) => diagnostic.help(format!("`{near}` is set")),
            None => diagnostic.help(format!("set it, or write `env_var('{name}', 'default')`")),
        }))
    })
}
