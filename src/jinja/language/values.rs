//! The values that templates work on: lists and dicts that can be changed in place, tuples, JSON.
//!
//! Every list and dict that enters a template should be made here, so that `append` and `update`
//! work on it. Never renders text: that is [`super::format`].

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use indexmap::IndexMap;
use minijinja::value::{Enumerator, Object, ObjectRepr, Tuple, ValueKind};
use minijinja::{Error, ErrorKind, State, Value};
use rustc_hash::FxBuildHasher;
use serde_json::{Map, Value as Json};

use super::format::write_repr;
use super::methods;

/// The entries of a dict.
pub(crate) type Entries = IndexMap<Value, Value, FxBuildHasher>;

/// A Python list.
#[derive(Debug, Default)]
pub struct PyList {
    items: Mutex<Vec<Value>>,
}

/// A Python dict, in insertion order.
pub struct PyDict {
    entries: OnceLock<Mutex<Entries>>,
    /// Makes the entries of a dict that nobody has looked into yet.
    make: Option<Box<dyn Fn() -> Entries + Send + Sync>>,
}

/// Makes a list.
pub fn list(items: Vec<Value>) -> Value {
    Value::from_object(PyList {
        items: Mutex::new(items),
    })
}

/// Makes a dict; of equal keys the last value counts.
pub fn dict(entries: impl IntoIterator<Item = (Value, Value)>) -> Value {
    Value::from_object(PyDict {
        entries: OnceLock::from(Mutex::new(entries.into_iter().collect())),
        make: None,
    })
}

/// Makes a dict of a JSON object that is asked for when the dict is first looked into: most of
/// what is handed to macros never is. Of other JSON the dict is empty.
pub fn dict_later(json: impl Deref<Target = Json> + Send + Sync + 'static) -> Value {
    let make = move || match &*json {
        Json::Object(object) => entries_of(object).collect(),
        _ => Entries::default(),
    };
    Value::from_object(PyDict {
        entries: OnceLock::new(),
        make: Some(Box::new(make)),
    })
}

fn entries_of(object: &Map<String, Json>) -> impl Iterator<Item = (Value, Value)> {
    object
        .iter()
        .map(|(key, value)| (Value::from(key.as_str()), from_json(value)))
}

/// Makes a tuple.
pub fn tuple(items: Vec<Value>) -> Value {
    Value::from(Tuple::new(items))
}

/// Makes a value of JSON: objects are dicts and arrays are lists, both fresh.
pub fn from_json(json: &Json) -> Value {
    match json {
        Json::Null => Value::from(()),
        Json::Bool(value) => Value::from(*value),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(value), _) => Value::from(value),
            (None, Some(value)) => Value::from(value),
            (None, None) => Value::from(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => list(items.iter().map(from_json).collect()),
        Json::Object(object) => from_json_object(object),
    }
}

/// The same of a JSON object: a dict.
pub fn from_json_object(object: &Map<String, Json>) -> Value {
    dict(entries_of(object))
}

/// Makes JSON of a value, as Python's `json.dumps` would: keys become text, tuples arrays.
///
/// # Errors
/// A value that JSON has no shape for: undefined, a function, not a number.
pub fn to_json(value: &Value) -> Result<Json, Error> {
    Ok(match value.kind() {
        ValueKind::None => Json::Null,
        ValueKind::Bool => Json::Bool(value.is_true()),
        ValueKind::Number if value.is_integer() => match value.as_i64() {
            Some(number) => number.into(),
            None => {
                u64::try_from(value.clone()).map_or_else(|_| not_json(value), |n| Ok(n.into()))?
            }
        },
        ValueKind::Number => match f64::try_from(value.clone())
            .ok()
            .and_then(serde_json::Number::from_f64)
        {
            Some(number) => Json::Number(number),
            None => not_json(value)?,
        },
        ValueKind::String => Json::from(value.as_str().unwrap_or_default()),
        ValueKind::Seq | ValueKind::Iterable => Json::Array(
            value
                .try_iter()?
                .map(|item| to_json(&item))
                .collect::<Result<_, _>>()?,
        ),
        ValueKind::Map => {
            let mut entries = serde_json::Map::new();
            for (key, value) in pairs(value) {
                entries.insert(json_key(&key)?, to_json(&value)?);
            }
            Json::Object(entries)
        }
        _ => not_json(value)?,
    })
}

fn not_json(value: &Value) -> Result<Json, Error> {
    Err(type_error(format!(
        "a value of type `{}` cannot be written as JSON",
        type_name(value)
    )))
}

fn json_key(key: &Value) -> Result<String, Error> {
    match key.kind() {
        ValueKind::String => Ok(key.as_str().unwrap_or_default().to_owned()),
        ValueKind::Bool | ValueKind::None | ValueKind::Number => Ok(to_json(key)?.to_string()),
        _ => Err(type_error(format!(
            "a value of type `{}` cannot be a key in JSON",
            type_name(key)
        ))),
    }
}

/// The entries of anything that behaves as a dict; nothing for other values.
pub fn pairs(value: &Value) -> Vec<(Value, Value)> {
    if let Some(dict) = value.downcast_object_ref::<PyDict>() {
        return dict.snapshot();
    }
    match value.as_object() {
        Some(object) if object.repr() == ObjectRepr::Map => object
            .try_iter_pairs()
            .map_or_else(Vec::new, Iterator::collect),
        _ => Vec::new(),
    }
}

/// The items of anything that can be iterated: the keys of a dict, the characters of a string.
///
/// # Errors
/// Of `none`, numbers and the like, with Python's words.
pub fn items(value: &Value) -> Result<Vec<Value>, Error> {
    if let Some(list) = value.downcast_object_ref::<PyList>() {
        return Ok(list.snapshot());
    }
    if value.is_none() {
        return Err(not_iterable(value));
    }
    match value.try_iter() {
        Ok(iter) => Ok(iter.collect()),
        Err(_) => Err(not_iterable(value)),
    }
}

fn not_iterable(value: &Value) -> Error {
    type_error(format!("`{}` object is not iterable", type_name(value)))
}

/// An error of Python's `TypeError` and `ValueError` kind, in the words given.
pub fn type_error(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.into())
}

/// The name of a value's type, in Python's words.
pub fn type_name(value: &Value) -> &'static str {
    match value.kind() {
        ValueKind::Undefined => "Undefined",
        ValueKind::None => "NoneType",
        ValueKind::Bool => "bool",
        ValueKind::Number if value.is_integer() => "int",
        ValueKind::Number => "float",
        ValueKind::String => "str",
        ValueKind::Bytes => "bytes",
        ValueKind::Seq if value.is_tuple() => "tuple",
        ValueKind::Seq => "list",
        ValueKind::Map => "dict",
        ValueKind::Iterable => "generator",
        _ => "object",
    }
}

impl PyList {
    /// The items, to read or to change; do not call into the engine while holding it.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Vec<Value>> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The items as they are now.
    pub fn snapshot(&self) -> Vec<Value> {
        self.lock().clone()
    }
}

impl PyDict {
    /// The entries, to read or to change; do not call into the engine while holding them.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Entries> {
        let entries = self.entries.get_or_init(|| {
            let make = self.make.as_ref();
            Mutex::new(make.map_or_else(Entries::default, |make| make()))
        });
        entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The entries as they are now.
    pub fn snapshot(&self) -> Vec<(Value, Value)> {
        self.lock()
            .iter()
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }
}

impl Object for PyList {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.lock().get(key.as_usize()?).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.snapshot())
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.lock().len())
    }

    fn call_method(
        self: &Arc<Self>,
        state: &mut State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Result<Value, Error> {
        methods::list_method(self, state, method, args)
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_repr(f, &Value::from_dyn_object(Arc::clone(self)))
    }
}

impl fmt::Debug for PyDict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.snapshot()).finish()
    }
}

impl Object for PyDict {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.lock().get(key).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.lock().keys().cloned().collect())
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.lock().len())
    }

    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Result<Value, Error> {
        methods::dict_method(self, method, args)
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_repr(f, &Value::from_dyn_object(Arc::clone(self)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use serde_json::json;

    #[test]
    fn json_comes_back_as_it_went() {
        let value =
            json!({"a": [1, -2.5, null, true, {"b": "x"}], "n": 18_446_744_073_709_551_615_u64});
        assert_eq!(to_json(&from_json(&value)).expect("json"), value);
    }

    #[test]
    fn a_later_dict_is_made_once_and_can_be_changed() {
        struct Counted(Arc<AtomicUsize>, Json);
        impl Deref for Counted {
            type Target = Json;
            fn deref(&self) -> &Json {
                self.0.fetch_add(1, Ordering::Relaxed);
                &self.1
            }
        }
        let made = Arc::new(AtomicUsize::new(0));
        let later = dict_later(Counted(Arc::clone(&made), json!({"a": 1})));
        assert_eq!(made.load(Ordering::Relaxed), 0);
        let dict = later.downcast_object_ref::<PyDict>().expect("a dict");
        dict.lock().insert(Value::from("b"), Value::from(2));
        assert_eq!(to_json(&later).expect("json"), json!({"a": 1, "b": 2}));
        assert_eq!(made.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn keys_become_text_and_functions_are_refused() {
        let value = dict([
            (Value::from(1), tuple(vec![Value::from(true)])),
            (Value::from(()), Value::from(2.0)),
        ]);
        assert_eq!(
            to_json(&value).expect("json"),
            json!({"1": [true], "null": 2.0})
        );
        let error = to_json(&list(vec![Value::from_function(|| 1)])).expect_err("a function");
        assert_eq!(
            error.detail(),
            Some("a value of type `object` cannot be written as JSON")
        );
        assert!(to_json(&Value::UNDEFINED).is_err());
    }
}
