//! YAML with places: the only user of the YAML crate.
//!
//! Everything above reads [`Yaml`] trees, whose every key and value knows where it stands, so that
//! a diagnostic can point at it. Scalars follow YAML 1.1, as PyYAML reads them.

mod build;
mod scalar;

use std::ops::Range;
use std::sync::Arc;

use serde_json::Value as Json;

use crate::diagnostic::{Code, Diagnostic};
use crate::source::{SourceFile, Span};

pub use build::{parse, parse_with_warnings};

/// A value and the bytes it stands in.
#[derive(Clone, Debug)]
pub struct Yaml {
    /// What it is.
    pub value: YamlValue,
    /// Its bytes in the file; of an alias, the alias itself, while what is inside stands at the anchor.
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

impl YamlKey {
    /// Its place in a file.
    pub fn span(&self, file: &Arc<SourceFile>) -> Span {
        Span::new(file, self.range.clone())
    }
}

impl Yaml {
    /// Looks a key of a mapping up; `None` for other values too.
    pub fn get(&self, key: &str) -> Option<&Yaml> {
        self.get_entry(key).map(|(_, value)| value)
    }

    /// Looks a key of a mapping up, and gives its place with the value.
    pub fn get_entry(&self, key: &str) -> Option<(&YamlKey, &Yaml)> {
        self.entries()
            .iter()
            .find(|(name, _)| name.text == key)
            .map(|(name, value)| (name, value))
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

    /// Tells whether it is a mapping.
    pub fn is_mapping(&self) -> bool {
        matches!(self.value, YamlValue::Mapping(_))
    }

    /// Its kind in the words of a message: `text`, `a number`, `a list`.
    pub fn kind(&self) -> &'static str {
        match &self.value {
            YamlValue::Null => "nothing",
            YamlValue::Bool(_) => "true or false",
            YamlValue::Int(_) | YamlValue::Float(_) => "a number",
            YamlValue::String(_) => "text",
            YamlValue::Sequence(_) => "a list",
            YamlValue::Mapping(_) => "a mapping",
        }
    }

    /// Its place in a file.
    pub fn span(&self, file: &Arc<SourceFile>) -> Span {
        Span::new(file, self.range.clone())
    }

    /// Its text.
    ///
    /// `what` begins the message and is written as it shall be read: "`name`", "an entry of `tags`".
    ///
    /// # Errors
    /// It is something else.
    pub fn expect_str(&self, what: &str, file: &Arc<SourceFile>) -> Result<&str, Box<Diagnostic>> {
        self.as_str()
            .ok_or_else(|| self.wrong_shape(what, "text", file))
    }

    /// Its text; a number or a boolean as it is written.
    ///
    /// # Errors
    /// It is a list, a mapping or nothing.
    pub fn expect_scalar(
        &self,
        what: &str,
        file: &Arc<SourceFile>,
    ) -> Result<String, Box<Diagnostic>> {
        match &self.value {
            YamlValue::String(text) => Ok(text.clone()),
            YamlValue::Bool(_) | YamlValue::Int(_) | YamlValue::Float(_) => Ok(file
                .text
                .get(self.range.clone())
                .map_or_else(|| self.to_json().to_string(), str::to_owned)),
            _ => Err(self.wrong_shape(what, "text", file)),
        }
    }

    /// Whether it is true.
    ///
    /// # Errors
    /// It is something else than a boolean.
    pub fn expect_bool(&self, what: &str, file: &Arc<SourceFile>) -> Result<bool, Box<Diagnostic>> {
        match self.value {
            YamlValue::Bool(value) => Ok(value),
            _ => Err(self.wrong_shape(what, "true or false", file)),
        }
    }

    /// Its entries.
    ///
    /// # Errors
    /// It is something else than a mapping.
    pub fn expect_mapping(
        &self,
        what: &str,
        file: &Arc<SourceFile>,
    ) -> Result<&[(YamlKey, Yaml)], Box<Diagnostic>> {
        match &self.value {
            YamlValue::Mapping(entries) => Ok(entries),
            _ => Err(self.wrong_shape(what, "a mapping", file)),
        }
    }

    /// Its items.
    ///
    /// # Errors
    /// It is something else than a sequence.
    pub fn expect_sequence(
        &self,
        what: &str,
        file: &Arc<SourceFile>,
    ) -> Result<&[Yaml], Box<Diagnostic>> {
        match &self.value {
            YamlValue::Sequence(items) => Ok(items),
            _ => Err(self.wrong_shape(what, "a list", file)),
        }
    }

    /// The error "`what` must be ..., found ...", at its place.
    pub fn wrong_shape(
        &self,
        what: &str,
        expected: &str,
        file: &Arc<SourceFile>,
    ) -> Box<Diagnostic> {
        let found = self.kind();
        let help = match (&self.value, expected) {
            (YamlValue::Mapping(_), "a list") => "begin each entry with `- `".to_owned(),
            (YamlValue::Sequence(_), "a mapping") => {
                "write `key: value` lines, without `- `".to_owned()
            }
            (YamlValue::Null, _) => format!("give it {expected}, or leave the key out"),
            (YamlValue::Bool(_) | YamlValue::Int(_) | YamlValue::Float(_), "text") => {
                "put it in quotes".to_owned()
            }
            _ => format!("write {expected} here"),
        };
        Box::new(
            Diagnostic::error(
                Code::YamlShape,
                format!("{what} must be {expected}, found {found}"),
            )
            .at(self.span(file))
            .help(help),
        )
    }

    /// The same tree with every string replaced by what `map` makes of it; keys stay.
    ///
    /// `map` gets the text and its bytes. What it returns stands at the same place.
    pub fn map_strings(&self, map: &mut dyn FnMut(&str, &Range<usize>) -> Json) -> Yaml {
        let value = match &self.value {
            YamlValue::String(text) => return Yaml::from_json(map(text, &self.range), &self.range),
            YamlValue::Sequence(items) => {
                YamlValue::Sequence(items.iter().map(|item| item.map_strings(map)).collect())
            }
            YamlValue::Mapping(entries) => YamlValue::Mapping(
                entries
                    .iter()
                    .map(|(key, value)| (key.clone(), value.map_strings(map)))
                    .collect(),
            ),
            other => other.clone(),
        };
        Yaml {
            value,
            range: self.range.clone(),
        }
    }

    /// A value made elsewhere, all of it at one place.
    pub fn from_json(json: Json, range: &Range<usize>) -> Yaml {
        let value = match json {
            Json::Null => YamlValue::Null,
            Json::Bool(value) => YamlValue::Bool(value),
            Json::Number(number) => match number.as_i64() {
                Some(value) => YamlValue::Int(value),
                None => YamlValue::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(text) => YamlValue::String(text),
            Json::Array(items) => YamlValue::Sequence(
                items
                    .into_iter()
                    .map(|item| Yaml::from_json(item, range))
                    .collect(),
            ),
            Json::Object(entries) => YamlValue::Mapping(
                entries
                    .into_iter()
                    .map(|(text, value)| {
                        let key = YamlKey {
                            text,
                            range: range.clone(),
                        };
                        (key, Yaml::from_json(value, range))
                    })
                    .collect(),
            ),
        };
        Yaml {
            value,
            range: range.clone(),
        }
    }

    /// The same value without places.
    pub fn to_json(&self) -> Json {
        match &self.value {
            YamlValue::Null => Json::Null,
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
