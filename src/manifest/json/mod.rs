//! Nodes, sources and macros in dbt's dict shapes: what templates see as `model` and `graph`, and
//! what `manifest.json` is made of.
//!
//! Everything here borrows and is written straight to a serializer, field by field in dbt's order,
//! with dbt's defaults filled in. It writes no file and knows nothing of the document around it
//! ([`crate::artifacts`] does).

mod config;

use std::path::Path;

use rustc_hash::FxHashMap;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value as Json;
use sha2::{Digest, Sha256};

use self::config::{ConfigShape, ContractShape, DocsShape, SourceConfigShape};
use super::{ColumnInfo, DocBlock, Macro, Manifest, Node, ResourceType, Source, UniqueId};
use crate::dialect::Dialect;
use crate::jinja::{RefCall, SourceCall};

/// Seeds larger than this are told apart by their path and not by their text, as in dbt.
const LARGEST_HASHED_SEED: u64 = 1024 * 1024;

/// What compiling a node has made.
#[derive(Clone, Copy, Debug)]
pub struct CompiledNode<'a> {
    /// The compiled SQL.
    pub code: &'a str,
    /// Its file, below the project's root.
    pub path: &'a str,
    /// The ephemeral models in it: unique id and common table expression, in order.
    pub ctes: &'a [(UniqueId, String)],
}

/// All that is needed to show a manifest's parts in dbt's shapes.
pub struct Shapes<'a> {
    dialect: &'a Dialect,
    root: &'a Path,
    created_at: f64,
    compiled: FxHashMap<&'a UniqueId, CompiledNode<'a>>,
    primary_keys: FxHashMap<&'a UniqueId, Vec<&'a str>>,
}

impl<'a> Shapes<'a> {
    /// Looks at a manifest; `root` is the project's folder, `created_at` seconds since 1970.
    pub fn new(
        manifest: &'a Manifest,
        dialect: &'a Dialect,
        root: &'a Path,
        created_at: f64,
    ) -> Shapes<'a> {
        Shapes {
            dialect,
            root,
            created_at,
            compiled: FxHashMap::default(),
            primary_keys: primary_keys(manifest),
        }
    }

    /// Adds what compiling has made.
    pub fn with_compiled(
        mut self,
        compiled: impl IntoIterator<Item = (&'a UniqueId, CompiledNode<'a>)>,
    ) -> Shapes<'a> {
        self.compiled.extend(compiled);
        self
    }

    /// A node in its shape.
    pub fn node(&self, node: &'a Node) -> NodeShape<'_> {
        NodeShape { node, shapes: self }
    }

    /// A source in its shape.
    pub fn source(&self, source: &'a Source) -> SourceShape<'_> {
        SourceShape {
            source,
            shapes: self,
        }
    }

    /// A macro in its shape.
    pub fn macro_(&self, macro_: &'a Macro) -> MacroShape<'a> {
        MacroShape {
            macro_,
            created_at: self.created_at,
        }
    }

    /// A block of documentation in its shape.
    pub fn doc(&self, doc: &'a DocBlock) -> DocShape<'a> {
        DocShape { doc }
    }
}

/// What a template sees as `model`.
pub fn node_shape(node: &Node, dialect: &Dialect) -> Json {
    to_json(&Shapes::for_templates(dialect).node(node))
}

/// What a template sees of a node's config under one key, where the node has it.
pub fn config_value(node: &Node, key: &str) -> Option<Json> {
    config::value(node, key)
}

/// The same of a source.
pub fn source_shape(source: &Source, dialect: &Dialect) -> Json {
    to_json(&Shapes::for_templates(dialect).source(source))
}

/// What a template sees as `graph`.
pub fn graph_json(manifest: &Manifest, dialect: &Dialect) -> Json {
    let mut shapes = Shapes::for_templates(dialect);
    shapes.primary_keys = primary_keys(manifest);
    let nodes: serde_json::Map<String, Json> = manifest
        .nodes
        .iter()
        .map(|(id, node)| (id.to_string(), to_json(&shapes.node(node))))
        .collect();
    let sources: serde_json::Map<String, Json> = manifest
        .sources
        .iter()
        .map(|(id, source)| (id.to_string(), to_json(&shapes.source(source))))
        .collect();
    serde_json::json!({
        "exposures": {},
        "functions": {},
        "groups": {},
        "metrics": {},
        "nodes": nodes,
        "sources": sources,
        "semantic_models": {},
        "saved_queries": {},
    })
}

impl<'a> Shapes<'a> {
    /// One node's shape must not cost a walk over all tests, so it goes without primary keys.
    fn for_templates(dialect: &'a Dialect) -> Shapes<'a> {
        Shapes {
            dialect,
            root: Path::new(""),
            created_at: 0.0,
            compiled: FxHashMap::default(),
            primary_keys: FxHashMap::default(),
        }
    }
}

fn to_json(shape: &impl Serialize) -> Json {
    serde_json::to_value(shape).expect("every key of these shapes is text")
}

/// The columns that tests show to be a node's key, in dbt's order of trust: unique and not null,
/// then unique.
fn primary_keys(manifest: &Manifest) -> FxHashMap<&UniqueId, Vec<&str>> {
    let mut unique: FxHashMap<&UniqueId, Vec<&str>> = FxHashMap::default();
    let mut not_null: FxHashMap<&UniqueId, Vec<&str>> = FxHashMap::default();
    for node in manifest.nodes.values() {
        let Some(test) = &node.test else { continue };
        let (Some(generic), Some(attached)) = (&test.generic, &test.attached_to) else {
            continue;
        };
        let found = match generic.name.as_str() {
            "unique" | "unique_combination_of_columns" => &mut unique,
            "not_null" => &mut not_null,
            _ => continue,
        };
        let columns = found.entry(attached).or_default();
        match (
            generic.arguments.get("column_name"),
            generic.arguments.get("combination_of_columns"),
        ) {
            (Some(Json::String(column)), _) => columns.push(column),
            (_, Some(Json::Array(names))) => columns.extend(names.iter().filter_map(Json::as_str)),
            _ => {}
        }
    }
    for (id, columns) in &mut unique {
        let both: Vec<&str> = not_null
            .get(id)
            .into_iter()
            .flatten()
            .copied()
            .filter(|column| columns.contains(column))
            .collect();
        if !both.is_empty() {
            *columns = both;
        }
    }
    unique
}

/// A node in dbt's shape.
pub struct NodeShape<'s> {
    node: &'s Node,
    shapes: &'s Shapes<'s>,
}

impl Serialize for NodeShape<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (node, shapes) = (self.node, self.shapes);
        let kind = node.resource_type;
        let compiled = shapes.compiled.get(&node.unique_id);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("database", &node.relation.database.as_deref())?;
        map.serialize_entry("schema", node.relation.schema.as_deref().unwrap_or(""))?;
        map.serialize_entry("name", &node.name)?;
        map.serialize_entry("resource_type", kind.as_str())?;
        map.serialize_entry("package_name", &*node.package)?;
        map.serialize_entry("path", &node.path)?;
        map.serialize_entry("original_file_path", &node.original_path)?;
        map.serialize_entry("unique_id", node.unique_id.as_str())?;
        map.serialize_entry("fqn", &node.fqn)?;
        map.serialize_entry("alias", &node.alias)?;
        map.serialize_entry("checksum", &ChecksumShape(node))?;
        map.serialize_entry("config", &ConfigShape(node))?;
        map.serialize_entry("tags", &node.tags)?;
        map.serialize_entry("description", &node.description)?;
        map.serialize_entry("columns", &ColumnsShape(&node.columns))?;
        map.serialize_entry("meta", &node.meta)?;
        map.serialize_entry("group", &node.config.text("group"))?;
        map.serialize_entry("docs", &DocsShape(node.config.get("docs")))?;
        map.serialize_entry("patch_path", &node.patch_path)?;
        map.serialize_entry("build_path", &None::<&str>)?;
        map.serialize_entry("unrendered_config", &node.config.set)?;
        map.serialize_entry("created_at", &shapes.created_at)?;
        let relation = relation_name(node, shapes.dialect);
        map.serialize_entry("relation_name", &relation)?;
        let code = match kind {
            ResourceType::Seed => "",
            _ => node.file.text.trim(),
        };
        map.serialize_entry("raw_code", code)?;
        map.serialize_entry("doc_blocks", &NOTHING)?;
        if kind == ResourceType::Seed {
            let root = shapes.root.to_string_lossy();
            map.serialize_entry("root_path", &root)?;
            map.serialize_entry(
                "depends_on",
                &DependsOnShape {
                    macros: &node.depends_on_macros,
                    nodes: None,
                },
            )?;
            return map.end();
        }
        map.serialize_entry("language", "sql")?;
        map.serialize_entry("refs", &RefsShape(node))?;
        map.serialize_entry("sources", &SourceCallsShape(node))?;
        map.serialize_entry("metrics", &NOTHING)?;
        map.serialize_entry("functions", &NOTHING)?;
        map.serialize_entry(
            "depends_on",
            &DependsOnShape {
                macros: &node.depends_on_macros,
                nodes: Some(&node.depends_on),
            },
        )?;
        map.serialize_entry("compiled_path", &compiled.map(|made| made.path))?;
        if let Some(made) = compiled {
            map.serialize_entry("compiled", &true)?;
            map.serialize_entry("compiled_code", made.code)?;
            map.serialize_entry("extra_ctes_injected", &true)?;
            let ctes = made.ctes.iter().map(|(id, sql)| CteShape {
                id: id.as_str(),
                sql,
            });
            map.serialize_entry("extra_ctes", &ctes.collect::<Vec<_>>())?;
        }
        map.serialize_entry("contract", &ContractShape::of_node(node))?;
        match kind {
            ResourceType::Model => {
                let access = node.config.text("access").unwrap_or("protected");
                map.serialize_entry("access", access)?;
                map.serialize_entry("constraints", &NOTHING)?;
                map.serialize_entry("version", &None::<&str>)?;
                map.serialize_entry("latest_version", &None::<&str>)?;
                map.serialize_entry("deprecation_date", &None::<&str>)?;
                let key = shapes.primary_keys.get(&node.unique_id);
                map.serialize_entry("primary_key", key.map_or(&[][..], |columns| columns))?;
                map.serialize_entry("time_spine", &None::<&str>)?;
            }
            ResourceType::Operation => map.serialize_entry("index", &node.index)?,
            ResourceType::Test => serialize_test(&mut map, node)?,
            _ => {}
        }
        map.end()
    }
}

fn serialize_test<M: SerializeMap>(map: &mut M, node: &Node) -> Result<(), M::Error> {
    let Some(test) = &node.test else {
        return Ok(());
    };
    let Some(generic) = &test.generic else {
        return Ok(());
    };
    map.serialize_entry("column_name", &test.column)?;
    map.serialize_entry("file_key_name", &test.file_key)?;
    map.serialize_entry(
        "attached_node",
        &test.attached_to.as_ref().map(UniqueId::as_str),
    )?;
    map.serialize_entry(
        "test_metadata",
        &TestMetadataShape {
            name: &generic.name,
            kwargs: &generic.arguments,
            namespace: generic.namespace.as_deref(),
        },
    )
}

/// The relation as SQL writes it; tests have one only where their failures are stored, and what is
/// never built has none.
fn relation_name(node: &Node, dialect: &Dialect) -> Option<String> {
    let has_one = match node.resource_type {
        ResourceType::Model => !node.is_ephemeral(),
        ResourceType::Seed | ResourceType::Source => true,
        ResourceType::Test => node.stores_failures(),
        ResourceType::Analysis | ResourceType::Operation | ResourceType::SqlOperation => false,
    };
    has_one.then(|| node.relation.render(dialect))
}

const NOTHING: [&str; 0] = [];

#[derive(serde::Serialize)]
struct TestMetadataShape<'a> {
    name: &'a str,
    kwargs: &'a serde_json::Map<String, Json>,
    namespace: Option<&'a str>,
}

#[derive(serde::Serialize)]
struct CteShape<'a> {
    id: &'a str,
    sql: &'a str,
}

struct ChecksumShape<'a>(&'a Node);

impl Serialize for ChecksumShape<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let node = self.0;
        let is_generic_test = node
            .test
            .as_ref()
            .is_some_and(|test| test.generic.is_some());
        let (name, checksum) = if is_generic_test {
            ("none", String::new())
        } else if node.resource_type == ResourceType::Seed {
            seed_checksum(node)
        } else {
            ("sha256", sha256(node.file.text.trim()))
        };
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("name", name)?;
        map.serialize_entry("checksum", &checksum)?;
        map.end()
    }
}

fn seed_checksum(node: &Node) -> (&'static str, String) {
    let file = &node.file.absolute;
    let small = std::fs::metadata(file).is_ok_and(|meta| meta.len() < LARGEST_HASHED_SEED);
    match std::fs::read(file) {
        Ok(bytes) if small => ("sha256", sha256(String::from_utf8_lossy(&bytes).trim())),
        _ => ("path", node.original_path.clone()),
    }
}

fn sha256(text: &str) -> String {
    const DIGITS: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',
    ];
    let digest = Sha256::digest(text.as_bytes());
    let digits = digest
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15].map(|half| DIGITS[usize::from(half)]));
    digits.collect()
}

struct ColumnsShape<'a>(&'a indexmap::IndexMap<String, ColumnInfo>);

impl Serialize for ColumnsShape<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(
            self.0
                .iter()
                .map(|(name, column)| (name, ColumnShape(column))),
        )
    }
}

struct ColumnShape<'a>(&'a ColumnInfo);

impl Serialize for ColumnShape<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let column = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", &column.name)?;
        map.serialize_entry("description", &column.description)?;
        map.serialize_entry("meta", &column.meta)?;
        map.serialize_entry("data_type", &column.data_type)?;
        map.serialize_entry("constraints", &NOTHING)?;
        map.serialize_entry("quote", &column.quote)?;
        map.serialize_entry(
            "config",
            &ColumnConfigShape {
                meta: &column.meta,
                tags: &column.tags,
            },
        )?;
        map.serialize_entry("tags", &column.tags)?;
        map.serialize_entry("granularity", &None::<&str>)?;
        map.serialize_entry("doc_blocks", &NOTHING)?;
        map.end()
    }
}

#[derive(serde::Serialize)]
struct ColumnConfigShape<'a> {
    meta: &'a serde_json::Map<String, Json>,
    tags: &'a [String],
}

struct DependsOnShape<'a> {
    macros: &'a [UniqueId],
    nodes: Option<&'a [UniqueId]>,
}

impl Serialize for DependsOnShape<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("macros", &IdsShape(self.macros))?;
        if let Some(nodes) = self.nodes {
            map.serialize_entry("nodes", &IdsShape(nodes))?;
        }
        map.end()
    }
}

/// Unique ids as a list of texts.
pub struct IdsShape<'a>(pub &'a [UniqueId]);

impl Serialize for IdsShape<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(UniqueId::as_str))
    }
}

struct RefsShape<'a>(&'a Node);

impl Serialize for RefsShape<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.refs.iter().map(|(call, _)| RefShape(call)))
    }
}

struct RefShape<'a>(&'a RefCall);

impl Serialize for RefShape<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let RefCall {
            package,
            name,
            version,
            ..
        } = self.0;
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("name", name)?;
        map.serialize_entry("package", package)?;
        match version.as_deref().map(str::parse::<i64>) {
            Some(Ok(number)) => map.serialize_entry("version", &number)?,
            _ => map.serialize_entry("version", version)?,
        }
        map.end()
    }
}

struct SourceCallsShape<'a>(&'a Node);

impl Serialize for SourceCallsShape<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(
            self.0
                .sources
                .iter()
                .map(|(SourceCall { source, table, .. }, _)| [source, table]),
        )
    }
}

/// A source in dbt's shape.
pub struct SourceShape<'s> {
    source: &'s Source,
    shapes: &'s Shapes<'s>,
}

impl Serialize for SourceShape<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (source, shapes) = (self.source, self.shapes);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("database", &source.relation.database.as_deref())?;
        map.serialize_entry("schema", source.relation.schema.as_deref().unwrap_or(""))?;
        map.serialize_entry("name", &source.name)?;
        map.serialize_entry("resource_type", "source")?;
        map.serialize_entry("package_name", &*source.package)?;
        map.serialize_entry("path", &source.original_path)?;
        map.serialize_entry("original_file_path", &source.original_path)?;
        map.serialize_entry("unique_id", source.unique_id.as_str())?;
        map.serialize_entry("fqn", &source.fqn)?;
        map.serialize_entry("source_name", &source.source_name)?;
        map.serialize_entry("source_description", &source.source_description)?;
        map.serialize_entry("loader", &source.loader)?;
        map.serialize_entry("identifier", &source.identifier)?;
        map.serialize_entry("quoting", &QuotingShape(&source.quoting))?;
        map.serialize_entry("loaded_at_field", &source.loaded_at_field)?;
        map.serialize_entry("loaded_at_query", &source.config.text("loaded_at_query"))?;
        let freshness = FreshnessShape(source.freshness.as_ref());
        map.serialize_entry("freshness", &freshness)?;
        map.serialize_entry("external", &source.external)?;
        map.serialize_entry("description", &source.description)?;
        map.serialize_entry("columns", &ColumnsShape(&source.columns))?;
        map.serialize_entry("meta", &source.meta)?;
        map.serialize_entry("source_meta", &source.source_meta)?;
        map.serialize_entry("tags", &source.tags)?;
        map.serialize_entry("config", &SourceConfigShape { source, freshness })?;
        map.serialize_entry("patch_path", &None::<&str>)?;
        map.serialize_entry("unrendered_config", &source.config.set)?;
        map.serialize_entry("relation_name", &source.relation.render(shapes.dialect))?;
        map.serialize_entry("created_at", &shapes.created_at)?;
        map.serialize_entry("unrendered_database", &None::<&str>)?;
        map.serialize_entry("unrendered_schema", &None::<&str>)?;
        map.serialize_entry("doc_blocks", &NOTHING)?;
        map.end()
    }
}

/// `quoting`, all four parts.
struct QuotingShape<'a>(&'a serde_json::Map<String, Json>);

impl Serialize for QuotingShape<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(
            ["database", "schema", "identifier", "column"]
                .map(|part| (part, self.0.get(part).unwrap_or(&Json::Null))),
        )
    }
}

/// `freshness`: null where it was switched off, and otherwise both thresholds.
#[derive(Clone, Copy)]
pub(super) struct FreshnessShape<'a>(Option<&'a Json>);

impl Serialize for FreshnessShape<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Some(Json::Object(freshness)) = self.0 else {
            return serializer.serialize_none();
        };
        let mut map = serializer.serialize_map(Some(3))?;
        for name in ["warn_after", "error_after"] {
            let threshold = freshness.get(name).and_then(Json::as_object);
            let part = |key| threshold.and_then(|threshold| threshold.get(key));
            map.serialize_entry(
                name,
                &ThresholdShape {
                    count: part("count"),
                    period: part("period"),
                },
            )?;
        }
        map.serialize_entry("filter", &freshness.get("filter"))?;
        map.end()
    }
}

#[derive(serde::Serialize)]
struct ThresholdShape<'a> {
    count: Option<&'a Json>,
    period: Option<&'a Json>,
}

/// A macro in dbt's shape.
pub struct MacroShape<'a> {
    macro_: &'a Macro,
    created_at: f64,
}

impl Serialize for MacroShape<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let macro_ = self.macro_;
        let file = &macro_.span.file;
        let text = file.text.get(macro_.span.range.clone()).unwrap_or_default();
        let docs = DocsShape(None);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", &macro_.name)?;
        map.serialize_entry("resource_type", "macro")?;
        map.serialize_entry("package_name", &*macro_.package)?;
        map.serialize_entry("path", &file.path)?;
        map.serialize_entry("original_file_path", &file.path)?;
        map.serialize_entry("unique_id", macro_.unique_id.as_str())?;
        map.serialize_entry("macro_sql", text)?;
        map.serialize_entry(
            "depends_on",
            &DependsOnShape {
                macros: &macro_.depends_on,
                nodes: None,
            },
        )?;
        map.serialize_entry("description", &macro_.description)?;
        map.serialize_entry("meta", &macro_.meta)?;
        map.serialize_entry("docs", &docs)?;
        map.serialize_entry(
            "config",
            &MacroConfigShape {
                meta: &macro_.meta,
                docs,
            },
        )?;
        map.serialize_entry("patch_path", &macro_.patch_path)?;
        // dbt lists parameters only where YAML describes the macro.
        let described = macro_.patch_path.is_some();
        let arguments: Vec<ArgumentShape<'_>> = macro_
            .arguments
            .iter()
            .filter(|_| described)
            .map(|name| ArgumentShape {
                name,
                r#type: None,
                description: "",
            })
            .collect();
        map.serialize_entry("arguments", &arguments)?;
        map.serialize_entry("created_at", &self.created_at)?;
        let languages = macro_
            .name
            .starts_with("materialization_")
            .then_some(["sql"]);
        map.serialize_entry("supported_languages", &languages)?;
        map.end()
    }
}

#[derive(serde::Serialize)]
struct MacroConfigShape<'a> {
    meta: &'a serde_json::Map<String, Json>,
    docs: DocsShape<'a>,
}

#[derive(serde::Serialize)]
struct ArgumentShape<'a> {
    name: &'a str,
    r#type: Option<&'a str>,
    description: &'a str,
}

/// A block of documentation in dbt's shape.
pub struct DocShape<'a> {
    doc: &'a DocBlock,
}

impl Serialize for DocShape<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let doc = self.doc;
        let path = doc
            .original_path
            .split_once('/')
            .map_or(doc.original_path.as_str(), |(_, below)| below);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", &doc.name)?;
        map.serialize_entry("resource_type", "doc")?;
        map.serialize_entry("package_name", &*doc.package)?;
        map.serialize_entry("path", path)?;
        map.serialize_entry("original_file_path", &doc.original_path)?;
        map.serialize_entry("unique_id", doc.unique_id.as_str())?;
        map.serialize_entry("block_contents", &doc.contents)?;
        map.end()
    }
}
