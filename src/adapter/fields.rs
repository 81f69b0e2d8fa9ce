//! Reads the typed fields of a profile.

use std::fmt::Display;

use serde_json::Value as Json;

use crate::config::profile::Target;
use crate::diagnostic::{Code, Diagnostic};

type Result<T> = std::result::Result<T, Box<Diagnostic>>;

/// Adds the place of the target, where it has one.
pub(super) fn place(target: &Target, diagnostic: Diagnostic) -> Diagnostic {
    match &target.span {
        Some(span) => diagnostic.at(span.clone()),
        None => diagnostic,
    }
}

/// Makes the error of a field that cannot be used.
pub(super) fn refuse(target: &Target, message: impl Display) -> Box<Diagnostic> {
    let (profile, name) = (&target.profile, &target.name);
    let message = format!("target `{name}` of profile `{profile}`: {message}");
    Box::new(place(target, Diagnostic::error(Code::BadProfile, message)))
}

/// A field that somebody set, unless to null.
pub(super) fn get<'a>(target: &'a Target, key: &str) -> Option<&'a Json> {
    target.fields.get(key).filter(|value| !value.is_null())
}

/// A field of text; numbers and booleans are taken as they are written.
pub(super) fn text(target: &Target, key: &str) -> Result<Option<String>> {
    match get(target, key) {
        None => Ok(None),
        Some(value) => match scalar(value) {
            Some(text) => Ok(Some(text)),
            None => Err(refuse(target, format!("`{key}` must be text"))),
        },
    }
}

/// A field of text that must be there.
pub(super) fn required(target: &Target, key: &str) -> Result<String> {
    text(target, key)?.ok_or_else(|| refuse(target, format!("`{key}` is missing")))
}

/// A field that is a whole number from 0, also where it is written as text.
pub(super) fn whole(target: &Target, key: &str) -> Result<Option<u64>> {
    let Some(value) = get(target, key) else {
        return Ok(None);
    };
    let number = match value {
        Json::String(text) => text.trim().parse().ok(),
        other => other.as_u64(),
    };
    match number {
        Some(number) => Ok(Some(number)),
        None => Err(refuse(target, format!("`{key}` must be a whole number"))),
    }
}

/// The entries of a field that is a mapping of scalars.
pub(super) fn scalars(target: &Target, key: &str) -> Result<Vec<(String, String)>> {
    let Some(value) = get(target, key) else {
        return Ok(Vec::new());
    };
    let wrong = || refuse(target, format!("`{key}` must map names to values"));
    let entries = value.as_object().ok_or_else(wrong)?;
    entries
        .iter()
        .map(|(name, value)| Ok((name.clone(), scalar(value).ok_or_else(wrong)?)))
        .collect()
}

/// Writes a scalar as text; `None` for a list, a mapping or null.
pub(super) fn scalar(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => Some(text.clone()),
        Json::Bool(_) | Json::Number(_) => Some(value.to_string()),
        _ => None,
    }
}
