//! What dbt gives templates: `ref`, `source`, `config`, `var`, `adapter`, `api`, `modules` and the rest.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use indexmap::IndexMap;
use minijinja::Value;
use serde_json::{Map, Value as Json};

use super::port::{Collected, QueryOutcome, Resolver, Warehouse};
use crate::dialect::Dialect;
use crate::relation::Relation;

/// What all templates of a command share.
pub struct ProjectFacts {
    /// The root project's name.
    pub project: Arc<str>,
    /// The target's SQL.
    pub dialect: &'static Dialect,
    /// What `target` shows: name, schema, type, threads, profile_name and the like, never a secret.
    pub target: Map<String, Json>,
    /// The profile's name.
    pub profile: String,
    /// `--vars`; they win.
    pub cli_vars: Map<String, Json>,
    /// `vars` of each package's `dbt_project.yml`, root first.
    pub package_vars: IndexMap<Arc<str>, Map<String, Json>>,
    /// What `flags` shows, by upper-case name.
    pub flags: Map<String, Json>,
    /// `invocation_id`.
    pub invocation_id: String,
    /// `run_started_at`.
    pub run_started_at: jiff::Zoned,
    /// The environment as it was when the command started.
    pub environment: BTreeMap<String, String>,
    /// What `invocation_args_dict` shows.
    pub invocation_args: Map<String, Json>,
}

/// What the parser says of a node whose template it renders with `execute` false.
pub struct ParseScope {
    /// The node's package.
    pub package: Arc<str>,
    /// What `this` shows, and what `ref` and `source` return.
    pub this: Relation,
    /// What `model` shows: unique_id, name, package_name, resource_type, path, fqn and the like.
    pub model: Json,
    /// What `config.get` shows before the template's own `config()`.
    pub config: IndexMap<String, Json>,
}

/// What the executor says of a node.
pub struct ExecuteScope {
    /// The node's package.
    pub package: Arc<str>,
    /// What `this` shows.
    pub this: Option<Relation>,
    /// What `model` shows: the node in its manifest shape.
    pub model: Json,
    /// What `config.get` shows: the merged configuration.
    pub config: IndexMap<String, Json>,
    /// What `graph` shows: nodes, sources and so on in their manifest shapes; made at first use.
    pub graph: Arc<dyn Fn() -> Json + Send + Sync>,
    /// Names to relations.
    pub resolver: Arc<dyn Resolver>,
    /// The live database.
    pub warehouse: Arc<dyn Warehouse>,
    /// Further names: `sql`, `compiled_code`, `pre_hooks`, `post_hooks`, `schemas`, `results` ...
    pub extra: Vec<(&'static str, Value)>,
}

/// The state that a node's templates share while it runs.
#[derive(Default)]
pub struct NodeState {
    /// Results of `statement` blocks by name; `main` is the node's own.
    pub results: Mutex<BTreeMap<String, QueryOutcome>>,
}

/// Makes the context of a rendering with `execute` false; what it collects appears in the second value.
pub fn parse_context(
    project: &Arc<ProjectFacts>,
    scope: ParseScope,
) -> (Value, Arc<Mutex<Collected>>) {
    let _ = (project, scope);
    todo!()
}

/// Makes the context of a rendering with `execute` true.
pub fn execute_context(
    project: &Arc<ProjectFacts>,
    scope: ExecuteScope,
) -> (Value, Arc<NodeState>) {
    let _ = (project, scope);
    todo!()
}

/// Makes the context of YAML: `var`, `env_var`, `target`, `builtins` and the like, no database.
///
/// `target` is missing from it while the profile itself is read.
pub fn yaml_context(project: &Arc<ProjectFacts>, package: &str) -> Value {
    let _ = (project, package);
    todo!()
}
