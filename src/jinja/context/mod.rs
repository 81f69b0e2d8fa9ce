//! What dbt gives templates: `ref`, `source`, `config`, `var`, `adapter`, `api`, `modules` and the rest.

mod adapter;
mod batch;
mod callable;
mod column;
mod config;
mod exceptions;
mod functions;
mod hooks;
mod index;
mod modules;
mod node;
mod partition;
mod refs;
mod relation;
mod results;
mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::{Arc, LazyLock, Mutex};

use indexmap::IndexMap;
use minijinja::Value;
use serde_json::{Map, Value as Json};

use super::port::{Collected, NoWarehouse, PartitionText, QueryOutcome, Resolver, Warehouse};
use crate::diagnostic::Diagnostic;
use crate::dialect::Dialect;
use crate::relation::Relation;

pub use adapter::{first_column, listed_relations, materialized_relations};
pub use batch::{batch_config, batch_model};
pub use hooks::hook_values;
pub use relation::{as_relation, relation_value};
pub use table::{as_table, table_value};

use node::{Context, Made, Mode};

/// The version of dbt whose templates are understood.
pub const DBT_VERSION: &str = "1.11.16";

/// Finds the text of a block of documentation: its package, where one was named, and its name.
pub type DocsLookup =
    Arc<dyn Fn(Option<&str>, &str) -> Result<Arc<str>, Box<Diagnostic>> + Send + Sync>;

/// Finds what a node's config holds under a key.
pub type ConfigOf = Arc<dyn Fn(&str) -> Option<Json> + Send + Sync>;

/// What all templates of a command share.
#[derive(Clone)]
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
    pub model: Lazy<Json>,
    /// What `config.get` shows: the merged configuration.
    pub config: ConfigOf,
    /// What `graph` shows: nodes, sources and so on in their manifest shapes; made at first use.
    pub graph: Arc<dyn Fn() -> Json + Send + Sync>,
    /// Names to relations.
    pub resolver: Arc<dyn Resolver>,
    /// The live database.
    pub warehouse: Arc<dyn Warehouse>,
    /// What `partition` shows, where partitions are built.
    pub partition: Option<Arc<dyn PartitionText>>,
    /// Further names: `sql`, `compiled_code`, `pre_hooks`, `post_hooks`, `schemas`, `results` ...
    pub extra: Vec<(&'static str, Value)>,
}

/// A value that is made when it is first asked for, once for all who share it.
#[derive(Clone)]
pub struct Lazy<T>(Arc<LazyLock<T, Box<dyn FnOnce() -> T + Send>>>);

impl<T> Lazy<T> {
    /// Says how the value is made.
    pub fn new(make: impl FnOnce() -> T + Send + 'static) -> Lazy<T> {
        Lazy(Arc::new(LazyLock::new(Box::new(make))))
    }
}

impl<T: Send + 'static> From<T> for Lazy<T> {
    fn from(made: T) -> Lazy<T> {
        Lazy::new(move || made)
    }
}

impl<T> Deref for Lazy<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// The state that a node's templates share while it runs.
#[derive(Default)]
pub struct NodeState {
    /// Results of `statement` blocks by name; `main` is the node's own.
    pub results: Mutex<BTreeMap<String, QueryOutcome>>,
    /// What was given to `write`: the text that the materialization ran as its own.
    pub written: Mutex<Option<String>>,
}

impl NodeState {
    /// The result of a statement.
    pub fn result(&self, name: &str) -> Option<QueryOutcome> {
        node::lock(&self.results).get(name).cloned()
    }

    /// What was given to `write`.
    pub fn written(&self) -> Option<String> {
        node::lock(&self.written).clone()
    }
}

/// Makes the context of a rendering with `execute` false; what it collects appears in the second value.
pub fn parse_context(
    project: &Arc<ProjectFacts>,
    scope: ParseScope,
) -> (Value, Arc<Mutex<Collected>>) {
    let context = Context {
        this: Some(scope.this),
        model: scope.model.into(),
        config: Arc::new(move |key| scope.config.get(key).cloned()),
        ..blank(project, scope.package, Mode::Parse)
    };
    let collected = Arc::clone(&context.collected);
    (Value::from_object(context), collected)
}

/// Makes the context of a rendering with `execute` true.
pub fn execute_context(
    project: &Arc<ProjectFacts>,
    scope: ExecuteScope,
) -> (Value, Arc<NodeState>) {
    let context = Context {
        this: scope.this,
        model: scope.model,
        config: scope.config,
        graph: Some(scope.graph),
        resolver: Some(scope.resolver),
        warehouse: scope.warehouse,
        partition: scope.partition,
        extra: scope.extra,
        ..blank(project, scope.package, Mode::Execute)
    };
    let state = Arc::clone(&context.state);
    (Value::from_object(context), state)
}

/// Makes the context of YAML: `var`, `env_var`, `target`, `builtins` and the like, no database.
///
/// While the profile itself is read there is no target: an empty one says so, and secrets may be read.
pub fn yaml_context(project: &Arc<ProjectFacts>, package: &str) -> Value {
    Value::from_object(blank(project, package.into(), Mode::Yaml))
}

/// Makes the context of descriptions: that of YAML, and `doc`.
pub fn docs_context(project: &Arc<ProjectFacts>, package: &str, docs: DocsLookup) -> Value {
    Value::from_object(Context {
        docs: Some(docs),
        ..blank(project, package.into(), Mode::Yaml)
    })
}

/// Makes the context of a query's comment: that of YAML, and `node`.
pub fn comment_context(project: &Arc<ProjectFacts>, package: &Arc<str>, node: Value) -> Value {
    Value::from_object(Context {
        extra: vec![("node", node)],
        ..blank(project, Arc::clone(package), Mode::Yaml)
    })
}

fn blank(project: &Arc<ProjectFacts>, package: Arc<str>, mode: Mode) -> Context {
    Context {
        project: Arc::clone(project),
        package,
        mode,
        this: None,
        config: Arc::new(|_| None),
        model: Json::Null.into(),
        graph: None,
        resolver: None,
        warehouse: Arc::new(NoWarehouse),
        partition: None,
        extra: Vec::new(),
        collected: Arc::default(),
        state: Arc::default(),
        docs: None,
        made: Made::default(),
    }
}
