//! What the project's own files say: `dbt_project.yml`, `profiles.yml`, and node configs.
//!
//! Values in these files may hold Jinja. This floor knows no Jinja: whoever reads a file hands in a
//! [`RenderText`].

pub mod node_config;
pub mod profile;
pub mod project;

use serde_json::Value as Json;

use crate::diagnostic::Diagnostic;
use crate::source::Span;

/// Renders the Jinja in a YAML scalar, at its place, to a native value (a number stays a number).
pub type RenderText<'a> = dyn Fn(&str, Span) -> Result<Json, Box<Diagnostic>> + Sync + 'a;
