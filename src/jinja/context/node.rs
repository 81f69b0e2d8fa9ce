//! The root object of a rendering: every name that dbt gives a template, found lazily.
//!
//! One small object a node; nothing is made before it is asked for. Macros are not found here:
//! the language looks those up itself.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use indexmap::IndexMap;
use minijinja::Value;
use minijinja::value::{Enumerator, Object, ObjectRepr};
use serde_json::{Map, Value as Json};

use super::callable::namespace;
use super::relation::relation_value;
use super::{
    ConfigOf, DBT_VERSION, Lazy, NodeState, ProjectFacts, adapter, column, config, exceptions,
    functions, modules, partition, refs, relation, results,
};
use crate::jinja::language::{dict_later, from_json, from_json_object, list};
use crate::jinja::port::{Collected, PartitionText, Resolver, Warehouse};
use crate::relation::Relation;

/// What kind of text is rendered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// A node's template while the project is parsed: `execute` is false.
    Parse,
    /// A node's template with the database at hand.
    Execute,
    /// A text in YAML.
    Yaml,
}

/// What the functions of one rendering share.
pub(super) struct Context {
    pub project: Arc<ProjectFacts>,
    pub package: Arc<str>,
    pub mode: Mode,
    pub this: Option<Relation>,
    pub config: ConfigOf,
    pub model: Lazy<Json>,
    pub graph: Option<Arc<dyn Fn() -> Json + Send + Sync>>,
    pub resolver: Option<Arc<dyn Resolver>>,
    pub warehouse: Arc<dyn Warehouse>,
    pub partition: Option<Arc<dyn PartitionText>>,
    pub extra: Vec<(&'static str, Value)>,
    pub collected: Arc<Mutex<Collected>>,
    pub state: Arc<NodeState>,
    pub docs: Option<super::DocsLookup>,
    pub made: Made,
}

/// Values that are made once, because templates may change them or they are dear.
#[derive(Default)]
pub(super) struct Made {
    model: OnceLock<Value>,
    graph: OnceLock<Value>,
    pub results: Mutex<IndexMap<String, Value>>,
}

/// The names of a node's template beyond those that YAML has.
const NODE_NAMES: &[&str] = &[
    "ref",
    "source",
    "self",
    "window",
    "this",
    "config",
    "model",
    "graph",
    "execute",
    "adapter",
    "api",
    "column",
    "load_result",
    "store_result",
    "store_raw_result",
    "load_agate_table",
    "write",
    "render",
    "database",
    "schema",
    "selected_resources",
    "pre_hooks",
    "post_hooks",
    "sql",
    "compiled_code",
    "try_or_compiler_error",
    "submit_python_job",
    "validation",
];

/// The names that every text has.
const COMMON_NAMES: &[&str] = &[
    "var",
    "env_var",
    "target",
    "project_name",
    "dbt_version",
    "invocation_id",
    "run_started_at",
    "thread_id",
    "modules",
    "flags",
    "print",
    "log",
    "exceptions",
    "return",
    "fromjson",
    "tojson",
    "fromyaml",
    "toyaml",
    "set",
    "set_strict",
    "zip",
    "zip_strict",
    "local_md5",
    "invocation_args_dict",
    "dbt_metadata_envs",
    "diff_of_two_dicts",
    "builtins",
    "doc",
];

impl Context {
    /// Whether the database may be asked.
    pub fn executes(&self) -> bool {
        self.mode == Mode::Execute
    }

    /// A relation as templates see it.
    pub fn relation(&self, relation: &Relation) -> Value {
        relation_value(self.project.dialect, relation)
    }

    /// The value of a name; `None` where dbt gives none of that name.
    fn lookup(self: &Arc<Self>, name: &str) -> Option<Value> {
        if let Some((_, value)) = self.extra.iter().find(|(key, _)| *key == name) {
            return Some(value.clone());
        }
        if self.mode != Mode::Yaml
            && let Some(value) = self.node_name(name)
        {
            return Some(value);
        }
        self.common_name(name)
    }

    fn node_name(self: &Arc<Self>, name: &str) -> Option<Value> {
        let value = match name {
            "ref" => refs::reference(self),
            "source" => refs::source(self),
            "self" => refs::own(self),
            "window" => refs::window(),
            "partition" => partition::object(self)?,
            "this" => match &self.this {
                Some(relation) => {
                    if self.mode == Mode::Parse {
                        lock(&self.collected).reads_this = true;
                    }
                    self.relation(relation)
                }
                None => Value::from(()),
            },
            "config" => config::object(self),
            "model" => self
                .made
                .model
                .get_or_init(|| dict_later(self.model.clone()))
                .clone(),
            "graph" => self.made.graph.get_or_init(|| self.make_graph()).clone(),
            "execute" => Value::from(self.executes()),
            "adapter" => adapter::object(self),
            "api" => api(self),
            "column" => column::class_value(self.project.dialect),
            "load_result" => results::load_result(self),
            "store_result" => results::store_result(self),
            "store_raw_result" => results::store_raw_result(self),
            "load_agate_table" => results::load_agate_table(self),
            "write" => results::write(self),
            "render" => functions::render(),
            "database" => self.part_of_this(|this| this.database.as_deref(), "database"),
            "schema" => self.part_of_this(|this| this.schema.as_deref(), "schema"),
            "selected_resources" | "pre_hooks" | "post_hooks" => list(Vec::new()),
            "sql" | "compiled_code" => Value::from(()),
            "try_or_compiler_error" => functions::try_or_compiler_error(),
            "submit_python_job" => functions::submit_python_job(),
            "validation" => functions::validation(),
            _ => return None,
        };
        Some(value)
    }

    fn common_name(self: &Arc<Self>, name: &str) -> Option<Value> {
        let project = &self.project;
        let value = match name {
            "var" => refs::var(self),
            "env_var" => refs::env_var(self),
            "target" => from_json_object(&project.target),
            "project_name" => Value::from(Arc::clone(&project.project)),
            "dbt_version" => Value::from(DBT_VERSION),
            "invocation_id" => Value::from(project.invocation_id.as_str()),
            "run_started_at" => modules::datetime::aware(&project.run_started_at),
            "thread_id" => Value::from("MainThread"),
            "modules" => modules::object(),
            "flags" => functions::flags(self),
            "print" => functions::print(self),
            "log" => functions::log(self),
            "exceptions" => exceptions::object(self),
            "return" => functions::return_function(),
            "fromjson" => functions::fromjson(),
            "tojson" => functions::tojson(),
            "fromyaml" => functions::fromyaml(),
            "toyaml" => functions::toyaml(),
            "set" => functions::set(),
            "set_strict" => functions::set_strict(),
            "zip" => functions::zip(),
            "zip_strict" => functions::zip_strict(),
            "local_md5" => functions::local_md5(),
            "invocation_args_dict" => from_json_object(&project.invocation_args),
            "dbt_metadata_envs" => functions::metadata_envs(self),
            "diff_of_two_dicts" => functions::diff_of_two_dicts(),
            "builtins" => builtins(self),
            "doc" => functions::doc(self)?,
            _ => return None,
        };
        Some(value)
    }

    fn part_of_this(&self, part: fn(&Relation) -> Option<&str>, key: &str) -> Value {
        match self.this.as_ref().and_then(part) {
            Some(text) => Value::from(text),
            None => self
                .project
                .target
                .get(key)
                .map_or_else(Value::default, from_json),
        }
    }

    fn make_graph(&self) -> Value {
        match &self.graph {
            Some(graph) => from_json(&graph()),
            None => {
                let names = ["nodes", "sources", "exposures", "metrics", "groups"];
                let empty = names.map(|name| (name.to_owned(), Json::Object(Map::new())));
                from_json(&Json::Object(empty.into_iter().collect()))
            }
        }
    }
}

/// `builtins`: dbt's own `ref`, `source` and `config`, for macros that override those names.
fn builtins(context: &Arc<Context>) -> Value {
    let context = Arc::clone(context);
    namespace("builtins", move |name| {
        context
            .node_name(name)
            .or_else(|| context.common_name(name))
    })
}

/// `api`: the classes of relations and columns.
fn api(context: &Arc<Context>) -> Value {
    let dialect = context.project.dialect;
    namespace("api", move |name| match name {
        "Relation" => Some(relation::class_value(dialect)),
        "Column" => Some(column::class_value(dialect)),
        _ => None,
    })
}

/// Locks, whatever happened to the last holder.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<context>")
    }
}

impl Object for Context {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.lookup(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        self.lookup(key)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let mut names: Vec<&'static str> = COMMON_NAMES.to_vec();
        if self.mode != Mode::Yaml {
            names.extend(NODE_NAMES);
        }
        names.extend(self.extra.iter().map(|(name, _)| *name));
        Enumerator::Values(names.into_iter().map(Value::from).collect())
    }
}
