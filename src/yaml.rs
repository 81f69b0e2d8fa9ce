//! YAML with places: the only user of the YAML crate.
//!
//! Everything above reads [`Yaml`] trees, whose every key and value knows where it stands, so that
//! a diagnostic can point at it. Scalars follow YAML 1.1, as PyYAML reads them.

use std::ops::Range;
use std::sync::Arc;

use crate::diagnostic::Diagnostic;
use crate::source::{SourceFile, Span};

/// A value and the bytes it stands in.
#[derive(Clone, Debug)]
pub struct Yaml {
    /// What it is.
    pub value: YamlValue,
    /// Its bytes in the file.
    pub range: Range<usize>,
}

/// The kinds of YAML values.
#[derive(Clone, Debug)]
pub enum YamlValue {
    /// Nothing.
    Null,
    /// `true`, `yes`, `on` and their opposites.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Another number.
    Float(f64),
    /// Text, and dates as written.
    String(String),
    /// A sequence.
    Sequence(Vec<Yaml>),
    /// A mapping in the order of the file; keys are unique.
    Mapping(Vec<(YamlKey, Yaml)>),
}

/// A key of a mapping.
#[derive(Clone, Debug)]
pub struct YamlKey {
    /// Its text; numbers and booleans as Python prints them.
    pub text: String,
    /// Its bytes in the file.
    pub range: Range<usize>,
}

/// Parses one document; an empty file is [`YamlValue::Null`].
///
/// # Errors
/// Broken syntax and duplicate keys, with their places.
pub fn parse(file: &Arc<SourceFile>) -> Result<Yaml, Box<Diagnostic>> {
    let _ = file;
    todo!()
}

impl Yaml {
    /// Looks a key of a mapping up; `None` for other values too.
    pub fn get(&self, key: &str) -> Option<&Yaml> {
        self.entries()
            .iter()
            .find(|(name, _)| name.text == key)
            .map(|(_, value)| value)
    }

    /// The entries of a mapping; empty for other values.
    pub fn entries(&self) -> &[(YamlKey, Yaml)] {
        match &self.value {
            YamlValue::Mapping(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a sequence; empty for other values.
    pub fn items(&self) -> &[Yaml] {
        match &self.value {
            YamlValue::Sequence(items) => items,
            _ => &[],
        }
    }

    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            YamlValue::String(text) => Some(text),
            _ => None,
        }
    }

    /// Tells whether it is null.
    pub fn is_null(&self) -> bool {
        matches!(self.value, YamlValue::Null)
    }

    /// Its place in a file.
    pub fn span(&self, file: &Arc<SourceFile>) -> Span {
        Span::new(file, self.range.clone())
    }

    /// The same value without places.
    pub fn to_json(&self) -> serde_json::Value {
        match &self.value {
            YamlValue::Null => serde_json::Value::Null,
            YamlValue::Bool(value) => (*value).into(),
            YamlValue::Int(value) => (*value).into(),
            YamlValue::Float(value) => (*value).into(),
            YamlValue::String(text) => text.as_str().into(),
            YamlValue::Sequence(items) => items.iter().map(Yaml::to_json).collect(),
            YamlValue::Mapping(entries) => entries
                .iter()
                .map(|(key, value)| (key.text.clone(), value.to_json()))
                .collect(),
        }
    }
}
