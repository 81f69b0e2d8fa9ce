//! Functions of templates: values that can be called, and namespaces of them.

use std::fmt;
use std::sync::Arc;

use minijinja::value::{Object, ObjectRepr};
use minijinja::{Error, State, Value};

/// What a function of a template gives.
pub(super) type Answer = Result<Value, Error>;

type Body = Box<dyn Fn(&mut State<'_, '_>, &[Value]) -> Answer + Send + Sync>;
type Lookup = Box<dyn Fn(&str) -> Option<Value> + Send + Sync>;

struct Callable {
    name: &'static str,
    body: Body,
}

/// Makes a function.
pub(super) fn function(
    name: &'static str,
    body: impl Fn(&mut State<'_, '_>, &[Value]) -> Answer + Send + Sync + 'static,
) -> Value {
    Value::from_object(Callable {
        name,
        body: Box::new(body),
    })
}

impl fmt::Debug for Callable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<function {}>", self.name)
    }
}

impl Object for Callable {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn call(self: &Arc<Self>, state: &mut State<'_, '_>, args: &[Value]) -> Answer {
        (self.body)(state, args)
    }
}

/// A module, a class or another thing with attributes; it may be callable too.
struct Namespace {
    name: &'static str,
    lookup: Lookup,
    body: Option<Body>,
}

/// Makes a thing whose attributes a function looks up.
pub(super) fn namespace(
    name: &'static str,
    lookup: impl Fn(&str) -> Option<Value> + Send + Sync + 'static,
) -> Value {
    Value::from_object(Namespace {
        name,
        lookup: Box::new(lookup),
        body: None,
    })
}

/// Makes a thing with attributes that can be called: a class and its constructor.
pub(super) fn class(
    name: &'static str,
    lookup: impl Fn(&str) -> Option<Value> + Send + Sync + 'static,
    body: impl Fn(&mut State<'_, '_>, &[Value]) -> Answer + Send + Sync + 'static,
) -> Value {
    Value::from_object(Namespace {
        name,
        lookup: Box::new(lookup),
        body: Some(Box::new(body)),
    })
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", self.name)
    }
}

impl Object for Namespace {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        (self.lookup)(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        (self.lookup)(key)
    }

    fn call(self: &Arc<Self>, state: &mut State<'_, '_>, args: &[Value]) -> Answer {
        match &self.body {
            Some(body) => body(state, args),
            None => Err(crate::jinja::language::type_error(format!(
                "`{}` is not callable",
                self.name
            ))),
        }
    }
}

/// The text of an argument, as Python's `str` gives it; `None` for none and for what is missing.
pub(super) fn text(value: Option<&Value>) -> Option<String> {
    value
        .filter(|value| !value.is_none() && !value.is_undefined())
        .map(crate::jinja::language::py_str)
}

/// Whether an argument is true; `default` where it is missing or none.
pub(super) fn truth(value: Option<&Value>, default: bool) -> bool {
    match value {
        Some(value) if !value.is_none() && !value.is_undefined() => value.is_true(),
        _ => default,
    }
}

/// An argument that is there and not none.
pub(super) fn given(value: &Option<Value>) -> Option<&Value> {
    value
        .as_ref()
        .filter(|value| !value.is_none() && !value.is_undefined())
}
