//! minijinja's environment, set up to behave like Jinja2 in dbt.

use minijinja::value::{Rest, ValueOrKwargs};
use minijinja::{Environment, Error, UndefinedBehavior, Value};

use super::fault::raise_return;
use super::methods::{bind, entries_of, split_kwargs};
use super::values::dict;
use super::{filters, format, native, operators, strings};

/// What the parts of an undefined value are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parts {
    /// An error.
    Refused,
    /// Undefined as well: the parser renders templates whose queries have not run.
    Undefined,
}

/// Makes an environment that all renderings of its kind share.
pub(crate) fn environment(parts: Parts) -> Environment<'static> {
    let mut env = Environment::new();
    // In debug mode every error would carry a copy of the source.
    env.set_debug(false);
    env.set_undefined_behavior(match parts {
        Parts::Refused => UndefinedBehavior::Lenient,
        Parts::Undefined => UndefinedBehavior::Chainable,
    });
    env.set_formatter(format::formatter);
    env.set_unknown_method_callback(strings::unknown_method);
    operators::register(&mut env);
    filters::register(&mut env);
    native::register(&mut env);
    env.add_function(
        "return",
        |args: Rest<ValueOrKwargs>| -> Result<Value, Error> {
            let args: Vec<Value> = args.0.into_iter().map(ValueOrKwargs::into_value).collect();
            let [value] = bind("return", &args, ["data"], 0)?;
            Err(raise_return(value.unwrap_or_else(|| Value::from(()))))
        },
    );
    env.add_function(
        "dict",
        |args: Rest<ValueOrKwargs>| -> Result<Value, Error> {
            let args: Vec<Value> = args.0.into_iter().map(ValueOrKwargs::into_value).collect();
            let (positional, keywords) = split_kwargs(&args);
            let mut entries = match positional.first() {
                Some(first) => entries_of(first)?,
                None => Vec::new(),
            };
            entries.extend(keywords);
            Ok(dict(entries))
        },
    );
    env.remove_global("debug");
    env
}
