//! Values that must never be shown, and what is shown in their place.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value as Json;

/// Variables with this prefix hold secrets.
const PREFIX: &str = "DBT_ENV_SECRET_";

/// What stands where a secret stood.
const MASK: &str = "*****";

/// Replaces secrets in everything that is shown.
#[derive(Clone, Default)]
pub struct Redactor {
    /// Longest first, so that a secret inside another does not leave its rest behind.
    secrets: Vec<String>,
}

impl Redactor {
    /// Takes the values of `DBT_ENV_SECRET_*`.
    pub fn new(environment: &BTreeMap<String, String>) -> Redactor {
        let secrets = environment
            .iter()
            .filter(|(name, _)| name.starts_with(PREFIX))
            .map(|(_, value)| value.trim().to_owned());
        Redactor::of(secrets)
    }

    /// Takes secrets that come from elsewhere, such as a profile's password.
    pub fn of(secrets: impl IntoIterator<Item = String>) -> Redactor {
        let mut secrets: Vec<String> = secrets
            .into_iter()
            .filter(|secret| !secret.is_empty())
            // Also as JSON writes them, such as inside `--vars`.
            .flat_map(|secret| {
                let quoted = Json::from(secret.as_str()).to_string();
                [quoted[1..quoted.len() - 1].to_owned(), secret]
            })
            .collect();
        secrets.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        secrets.dedup();
        Redactor { secrets }
    }

    /// Takes further secrets along.
    pub fn extend(&mut self, more: &Redactor) {
        let all = self.secrets.iter().chain(&more.secrets).cloned();
        *self = Redactor::of(all);
    }

    /// Tells whether there is nothing to mask.
    pub fn is_empty(&self) -> bool {
        self.secrets.is_empty()
    }

    /// The same for the text between escapes of a JSON document, where it masks a secret's parts.
    pub fn for_json_fragments(&self) -> Redactor {
        let escaped = |c: char| matches!(c, '"' | '\\') || c.is_control();
        let parts = self.secrets.iter().flat_map(|secret| secret.split(escaped));
        Redactor::of(parts.map(str::to_owned))
    }

    /// Masks the secrets in a text.
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut text = Cow::Borrowed(text);
        for secret in &self.secrets {
            if text.contains(secret.as_str()) {
                text = Cow::Owned(text.replace(secret.as_str(), MASK));
            }
        }
        text
    }

    /// Masks the secrets in every text of a JSON value.
    pub fn json(&self, value: &mut Json) {
        if self.secrets.is_empty() {
            return;
        }
        match value {
            Json::String(text) => {
                if let Cow::Owned(masked) = self.text(text) {
                    *text = masked;
                }
            }
            Json::Array(items) => items.iter_mut().for_each(|item| self.json(item)),
            Json::Object(entries) => entries.values_mut().for_each(|entry| self.json(entry)),
            Json::Null | Json::Bool(_) | Json::Number(_) => {}
        }
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redactor({} texts)", self.secrets.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redactor() -> Redactor {
        Redactor::new(&BTreeMap::from(
            [
                ("DBT_ENV_SECRET_A", "hunter"),
                ("DBT_ENV_SECRET_B", "hunter2"),
                ("DBT_ENV_SECRET_C", ""),
                ("DBT_SCHEMA", "main"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
        ))
    }

    #[test]
    fn secrets_are_masked_the_longest_first() {
        assert_eq!(redactor().text("main hunter2 hunter"), "main ***** *****");
    }

    #[test]
    fn secrets_inside_json_are_masked() {
        let mut value = serde_json::json!({"sql": ["select 'hunter'", 1]});
        redactor().json(&mut value);
        assert_eq!(value.to_string(), r#"{"sql":["select '*****'",1]}"#);
    }

    #[test]
    fn debug_does_not_show_them() {
        assert_eq!(format!("{:?}", redactor()), "Redactor(2 texts)");
    }
}
