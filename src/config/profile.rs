//! `profiles.yml`: which database, and how to reach it.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value as Json;

use crate::diagnostic::Diagnostic;
use crate::dialect::Dialect;
use crate::source::{SourceFile, Span};

use super::RenderText;

/// One output of a profile, rendered.
pub struct Target {
    /// The profile's name.
    pub profile: String,
    /// The output's name.
    pub name: String,
    /// Its `type`, as a dialect.
    pub dialect: &'static Dialect,
    /// `database` (also `dbname`; for the embedded database the file's stem).
    pub database: String,
    /// `schema`.
    pub schema: String,
    /// `threads`, default 1.
    pub threads: usize,
    /// Every field as rendered; secrets among them, so this never reaches Debug, logs or artifacts.
    pub fields: serde_json::Map<String, Json>,
    /// Where it stands; `None` for the embedded default.
    pub span: Option<Span>,
    /// Where `profiles.yml` lies; `None` for the embedded default.
    pub file: Option<Arc<SourceFile>>,
}

/// Where to look for a profile, and which one.
#[derive(Clone, Debug, Default)]
pub struct ProfileRequest {
    /// `--profiles-dir` or `DBT_PROFILES_DIR`.
    pub profiles_dir: Option<PathBuf>,
    /// `--profile` or `DBT_PROFILE`, over the project's own.
    pub profile: Option<String>,
    /// `--target` or `DBT_TARGET`.
    pub target: Option<String>,
}

/// Finds and reads the profile of a project.
///
/// The order is dbt's: the folder asked for, the project's root, `~/.dbt`. A project that names no
/// profile gets an embedded database in `.daygrain/warehouse.duckdb`.
///
/// # Errors
/// A missing file, profile, target or field, each with the file that was read.
pub fn read(
    project: &super::project::ProjectFile,
    request: &ProfileRequest,
    render: &RenderText<'_>,
) -> Result<Target, Vec<Diagnostic>> {
    let _ = (project, request, render);
    todo!()
}
