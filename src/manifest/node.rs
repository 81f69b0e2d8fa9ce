//! Nodes, sources, macros and their parts.

use std::fmt;
use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::Value as Json;

use crate::config::node_config::NodeConfig;
use crate::jinja::{RefCall, SourceCall};
use crate::microbatch::Microbatch;
use crate::relation::Relation;
use crate::source::{SourceFile, Span};

use super::ods::{BATCH, MATERIALIZATION};
use super::partitioning::{Partitioning, Upkeep};

/// dbt's identity of a node, such as `model.shop.orders`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UniqueId(pub Arc<str>);

impl UniqueId {
    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for UniqueId {
    fn from(text: String) -> UniqueId {
        UniqueId(text.into())
    }
}

impl From<&str> for UniqueId {
    fn from(text: &str) -> UniqueId {
        UniqueId(text.into())
    }
}

impl fmt::Display for UniqueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for UniqueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ResourceType {
    /// A SQL model.
    Model,
    /// A CSV file that is loaded.
    Seed,
    /// A data test, generic or singular.
    Test,
    /// A query that is compiled and never run.
    Analysis,
    /// A hook of the project, or a macro called from the command line.
    Operation,
    /// Text given on the command line.
    SqlOperation,
    /// A relation that others load.
    Source,
}

impl ResourceType {
    /// Every type.
    pub const ALL: &'static [ResourceType] = &[
        ResourceType::Model,
        ResourceType::Seed,
        ResourceType::Test,
        ResourceType::Analysis,
        ResourceType::Operation,
        ResourceType::SqlOperation,
        ResourceType::Source,
    ];

    /// Reads dbt's word.
    pub fn parse(word: &str) -> Option<ResourceType> {
        ResourceType::ALL
            .iter()
            .copied()
            .find(|kind| kind.as_str() == word)
    }

    /// dbt's word.
    pub fn as_str(self) -> &'static str {
        match self {
            ResourceType::Model => "model",
            ResourceType::Seed => "seed",
            ResourceType::Test => "test",
            ResourceType::Analysis => "analysis",
            ResourceType::Operation => "operation",
            ResourceType::SqlOperation => "sql_operation",
            ResourceType::Source => "source",
        }
    }
}

/// A node that has SQL, or a seed.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its identity.
    pub unique_id: UniqueId,
    /// What it is.
    pub resource_type: ResourceType,
    /// The connection that it lives in; `None` for the target's own.
    pub connection: Option<Arc<str>>,
    /// Its package.
    pub package: Arc<str>,
    /// Its name.
    pub name: String,
    /// Its path below the configured folder, such as `staging/stg_orders.sql`; of a generic test `<name>.sql`.
    pub path: String,
    /// Its file below the package's root, such as `models/staging/stg_orders.sql`; of a generic test the YAML file.
    pub original_path: String,
    /// Package, folders and name.
    pub fqn: Vec<String>,
    /// The template: a model's file; of a generic test, the text that calls the test macro.
    pub file: Arc<SourceFile>,
    /// The alias: the identifier of its relation.
    pub alias: String,
    /// The relation that it builds, or (tests) that its failures are stored in.
    pub relation: Relation,
    /// Its merged configuration, rendered.
    pub config: NodeConfig,
    /// The description, rendered.
    pub description: String,
    /// The columns that YAML declares, by name.
    pub columns: IndexMap<String, ColumnInfo>,
    /// `meta` of the YAML and the config, merged.
    pub meta: serde_json::Map<String, Json>,
    /// Its tags: those of its config and, of a generic test, those of its column; sorted.
    pub tags: Vec<String>,
    /// Calls of `ref`, with their places.
    pub refs: Vec<(RefCall, Span)>,
    /// Calls of `source`, with their places.
    pub sources: Vec<(SourceCall, Span)>,
    /// Nodes and sources that it reads, each once, in the order of the calls.
    pub depends_on: Vec<UniqueId>,
    /// Macros that it calls, each once.
    pub depends_on_macros: Vec<UniqueId>,
    /// The YAML file that describes it, as `package://path`.
    pub patch_path: Option<String>,
    /// The place of its entry in that YAML file.
    pub patch_span: Option<Span>,
    /// A test's own facts.
    pub test: Option<TestInfo>,
    /// The batches of a microbatch model, where dbt builds it in batches.
    pub microbatch: Option<Arc<Microbatch>>,
    /// An operation's place among its fellows, counted from 0.
    pub index: Option<usize>,
    /// How its relation is kept up to date: what the partition engine knows of it.
    pub upkeep: Upkeep,
}

impl Node {
    /// How it is built: `materialized` of its config or the default of its kind.
    pub fn materialization(&self) -> &str {
        let default = match self.resource_type {
            ResourceType::Seed => "seed",
            ResourceType::Test => "test",
            _ => "view",
        };
        self.config.text("materialized").unwrap_or(default)
    }

    /// Tells whether it is an ephemeral model, which is inlined into its readers.
    pub fn is_ephemeral(&self) -> bool {
        self.resource_type == ResourceType::Model && self.materialization() == "ephemeral"
    }

    /// Tells whether it is a table of the ODS, which is changed and never rebuilt.
    pub fn is_ods_table(&self) -> bool {
        self.resource_type == ResourceType::Model && self.materialization() == MATERIALIZATION
    }

    /// Tells whether it is a test that keeps the rows that it finds, in its relation.
    pub fn stores_failures(&self) -> bool {
        self.test.as_ref().is_some_and(|test| test.stores_failures)
    }
}

/// What a data test has beside a node.
#[derive(Clone, Debug, Default)]
pub struct TestInfo {
    /// The generic test it calls; `None` for a singular test.
    pub generic: Option<GenericTest>,
    /// The node or source that a generic test is attached to.
    pub attached_to: Option<UniqueId>,
    /// The column it is attached to.
    pub column: Option<String>,
    /// The file key of its YAML block, such as `models.orders`.
    pub file_key: Option<String>,
    /// Whether the rows that it finds are kept: its config's word, else `--store-failures`.
    pub stores_failures: bool,
}

/// The call of a generic test.
#[derive(Clone, Debug)]
pub struct GenericTest {
    /// Its name without a package.
    pub name: String,
    /// The package before the dot, where there was one.
    pub namespace: Option<String>,
    /// The arguments, `model` and `column_name` among them.
    pub arguments: serde_json::Map<String, Json>,
}

impl GenericTest {
    /// The macro that it calls, with its package where one was named.
    pub fn macro_name(&self) -> String {
        test_macro(self.namespace.as_deref(), &self.name)
    }
}

/// The macro of a generic test, with its package where one is named.
pub fn test_macro(namespace: Option<&str>, test: &str) -> String {
    match namespace {
        Some(package) => format!("{package}.test_{test}"),
        None => format!("test_{test}"),
    }
}

/// A column that YAML declares.
#[derive(Clone, Debug, Default)]
pub struct ColumnInfo {
    /// Its name.
    pub name: String,
    /// What it means.
    pub description: String,
    /// Its declared type.
    pub data_type: Option<String>,
    /// Whether its name is quoted.
    pub quote: Option<bool>,
    /// Free facts.
    pub meta: serde_json::Map<String, Json>,
    /// Tags, which its tests inherit.
    pub tags: Vec<String>,
}

/// A table of a source.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its identity, such as `source.shop.raw.orders`.
    pub unique_id: UniqueId,
    /// Its package.
    pub package: Arc<str>,
    /// The source's name.
    pub source_name: String,
    /// The table's name.
    pub name: String,
    /// Package, folders, source and table.
    pub fqn: Vec<String>,
    /// The YAML file, below the package's root.
    pub original_path: String,
    /// The table's place in it.
    pub span: Span,
    /// The connection that it lives in, or whose nodes read its files; `None` for the target's own.
    pub connection: Option<Arc<str>>,
    /// Where the table is.
    pub relation: Relation,
    /// The table's identifier.
    pub identifier: String,
    /// What the source means.
    pub source_description: String,
    /// What the table means.
    pub description: String,
    /// Who loads it.
    pub loader: String,
    /// The columns that YAML declares.
    pub columns: IndexMap<String, ColumnInfo>,
    /// Free facts of the source.
    pub source_meta: serde_json::Map<String, Json>,
    /// Free facts, merged.
    pub meta: serde_json::Map<String, Json>,
    /// Tags, merged.
    pub tags: Vec<String>,
    /// The merged configuration.
    pub config: NodeConfig,
    /// `loaded_at_field`.
    pub loaded_at_field: Option<String>,
    /// `freshness`, merged; empty where nobody said anything, null where it was switched off.
    pub freshness: Option<Json>,
    /// `external`, as written.
    pub external: Option<Json>,
    /// `quoting`, merged.
    pub quoting: serde_json::Map<String, Json>,
    /// How its rows are cut into partitions, where the engine follows them.
    pub partitioning: Option<Arc<Partitioning>>,
}

impl Source {
    /// Tells whether it says where files are that hold its rows.
    pub fn has_files(&self) -> bool {
        let external = self.external.as_ref();
        external.is_some_and(|external| external.get("location").is_some())
    }

    /// The location of its files up to and including the batch, where they come in batches and not by
    /// partitions.
    pub fn inbox(&self) -> Option<&str> {
        let location = self.external.as_ref()?.get("location")?.as_str()?;
        let (before, _) = location.split_once(BATCH)?;
        let partitioned = self.config.get("partition_by").is_some();
        (!partitioned).then(|| &location[..before.len() + BATCH.len()])
    }
}

/// A macro.
#[derive(Clone, Debug)]
pub struct Macro {
    /// Its identity, such as `macro.dbt.create_table_as`.
    pub unique_id: UniqueId,
    /// Its package; the built-in ones belong to `dbt`.
    pub package: Arc<str>,
    /// Its name.
    pub name: String,
    /// Its place.
    pub span: Span,
    /// The names of its parameters.
    pub arguments: Vec<String>,
    /// The names of macros that its text calls, resolved.
    pub depends_on: Vec<UniqueId>,
    /// What YAML says of it.
    pub description: String,
    /// Free facts.
    pub meta: serde_json::Map<String, Json>,
    /// The YAML file that describes it, as `package://path`.
    pub patch_path: Option<String>,
}

/// A block of documentation text.
#[derive(Clone, Debug)]
pub struct DocBlock {
    /// Its identity, such as `doc.shop.order_status`.
    pub unique_id: UniqueId,
    /// Its package.
    pub package: Arc<str>,
    /// Its name.
    pub name: String,
    /// The file, below the package's root.
    pub original_path: String,
    /// The text.
    pub contents: String,
}
