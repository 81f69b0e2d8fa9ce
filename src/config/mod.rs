//! What the project's own files say: `dbt_project.yml`, `profiles.yml`, and node configs.
//!
//! Values in these files may hold Jinja. This floor knows no Jinja: whoever reads a file hands in a
//! [`RenderText`].

pub mod node_config;
pub mod packages;
pub mod profile;
pub mod project;

use std::sync::Arc;

use serde_json::Value as Json;

use crate::diagnostic::Diagnostic;
use crate::source::{SourceFile, Span};
use crate::yaml::{Yaml, YamlValue};

/// Renders the Jinja in a YAML scalar, at its place, to a native value (a number stays a number).
pub type RenderText<'a> = dyn Fn(&str, Span) -> Result<Json, Box<Diagnostic>> + Sync + 'a;

/// Tells whether text holds anything that Jinja would touch.
pub fn has_jinja(text: &str) -> bool {
    text.match_indices('{')
        .any(|(at, _)| matches!(text.as_bytes().get(at + 1), Some(b'{' | b'%' | b'#')))
}

/// Renders every string of a tree, each at its place, except hooks, which are templates of their own.
///
/// A string that does not render becomes null, and its error is added to `errors`.
pub fn render_tree(
    tree: &Yaml,
    file: &Arc<SourceFile>,
    render: &RenderText<'_>,
    errors: &mut Vec<Diagnostic>,
) -> Yaml {
    let value = match &tree.value {
        YamlValue::String(text) if has_jinja(text) => {
            let json = render(text, tree.span(file)).unwrap_or_else(|error| {
                errors.push(*error);
                Json::Null
            });
            return Yaml::from_json(json, &tree.range);
        }
        // Jinja drops one line break at the end of a template, also of one without any Jinja.
        YamlValue::String(text) => {
            YamlValue::String(text.strip_suffix('\n').unwrap_or(text).to_owned())
        }
        YamlValue::Sequence(items) => YamlValue::Sequence(
            items
                .iter()
                .map(|item| render_tree(item, file, render, errors))
                .collect(),
        ),
        YamlValue::Mapping(entries) => YamlValue::Mapping(
            entries
                .iter()
                .map(|(key, value)| {
                    let value = if is_hook(&key.text) {
                        value.clone()
                    } else {
                        render_tree(value, file, render, errors)
                    };
                    (key.clone(), value)
                })
                .collect(),
        ),
        other => other.clone(),
    };
    Yaml {
        value,
        range: tree.range.clone(),
    }
}

/// Tells whether a config key, with or without `+`, is a hook.
fn is_hook(key: &str) -> bool {
    matches!(
        key.trim_start_matches(['+', ' ']),
        "pre-hook" | "pre_hook" | "post-hook" | "post_hook"
    )
}
