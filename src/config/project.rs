//! `dbt_project.yml`.

mod read;
mod version;

use std::path::PathBuf;
use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::Value as Json;

use crate::source::SourceFile;
use crate::yaml::Yaml;

#[cfg(test)]
pub(crate) use read::read_file;
pub use read::{FILE_NAME, read};
pub use version::DBT_VERSION;

/// One package: the root project, or one installed below it.
#[derive(Debug)]
pub struct ProjectFile {
    /// The file itself.
    pub file: Arc<SourceFile>,
    /// Its folder.
    pub root: PathBuf,
    /// `name`.
    pub name: Arc<str>,
    /// `version`, as text.
    pub version: Option<String>,
    /// `profile`.
    pub profile: Option<String>,
    /// `model-paths` and its fellows, relative to the root.
    pub paths: Paths,
    /// `vars`, as written, for dbt renders none: plain ones, and maps by package name.
    pub vars: serde_json::Map<String, Json>,
    /// `quoting`: database, schema, identifier, where said.
    pub quoting: PartialQuoting,
    /// `dispatch`: the search order by macro namespace.
    pub dispatch: IndexMap<String, Vec<String>>,
    /// `on-run-start`: raw templates.
    pub on_run_start: Vec<Yaml>,
    /// `on-run-end`: raw templates.
    pub on_run_end: Vec<Yaml>,
    /// The trees below `models:`, `seeds:` and the like, by that word with underscores; `tests:` is
    /// under `data_tests`. Unrendered mappings.
    pub configs: IndexMap<String, Yaml>,
    /// `flags`, rendered.
    pub flags: serde_json::Map<String, Json>,
    /// `query-comment`, as written; `None` where the key is missing.
    pub query_comment: Option<Json>,
    /// `require-dbt-version`, in whatever form it has; already checked.
    pub require_dbt_version: Option<Json>,
}

/// The folders of a project, relative to its root, in order.
#[derive(Clone, Debug)]
pub struct Paths {
    /// `model-paths` (v1: `source-paths`), default `models`.
    pub models: Vec<String>,
    /// `seed-paths` (v1: `data-paths`), default `seeds`.
    pub seeds: Vec<String>,
    /// `test-paths`, default `tests`.
    pub tests: Vec<String>,
    /// `macro-paths`, default `macros`.
    pub macros: Vec<String>,
    /// `analysis-paths`, default `analyses`.
    pub analyses: Vec<String>,
    /// `snapshot-paths`, default `snapshots`.
    pub snapshots: Vec<String>,
    /// `function-paths`, default `functions`.
    pub functions: Vec<String>,
    /// `asset-paths`, default none.
    pub assets: Vec<String>,
    /// `docs-paths`; default all of the others.
    pub docs: Vec<String>,
    /// `target-path`, default `target`.
    pub target: String,
    /// `log-path`, default `logs`.
    pub logs: String,
    /// `packages-install-path`, default `dbt_packages`.
    pub packages: String,
    /// `clean-targets`, default the target path.
    pub clean: Vec<String>,
}

impl Paths {
    /// The folders that hold nodes and macros, each once, in the order of the fields.
    pub fn sources(&self) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        for path in [
            &self.models,
            &self.seeds,
            &self.snapshots,
            &self.analyses,
            &self.macros,
            &self.tests,
            &self.functions,
        ]
        .into_iter()
        .flatten()
        {
            if !all.contains(path) {
                all.push(path.clone());
            }
        }
        all
    }
}

/// The parts of a relation's name that a file says something about.
#[derive(Clone, Copy, Debug, Default)]
pub struct PartialQuoting {
    /// The database.
    pub database: Option<bool>,
    /// The schema.
    pub schema: Option<bool>,
    /// The identifier.
    pub identifier: Option<bool>,
}
