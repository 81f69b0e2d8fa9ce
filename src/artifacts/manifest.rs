//! `manifest.json`, schema v12.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use indexmap::IndexMap;
use md5::{Digest, Md5};
use rayon::prelude::*;
use rustc_hash::FxHashMap;
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::{Invocation, write_json};
use crate::dialect::Dialect;
use crate::files::write_atomic;
use crate::manifest::json::{CompiledNode, IdsShape, Shapes};
use crate::manifest::{Manifest, Node, UniqueId};
use crate::relation::Quoting;
use crate::secrets::Redactor;

const SCHEMA: &str = "https://schemas.getdbt.com/dbt/manifest/v12.json";

/// What goes into `manifest.json`.
pub struct ManifestDocument<'a> {
    /// The command.
    pub invocation: Invocation<'a>,
    /// What was parsed.
    pub manifest: &'a Manifest,
    /// The target's SQL.
    pub dialect: &'a Dialect,
    /// The root project's quoting over the dialect's.
    pub quoting: Quoting,
    /// The root project's folder.
    pub root: &'a Path,
    /// What the command has compiled so far; empty after `parse`.
    pub compiled: Vec<(&'a UniqueId, CompiledNode<'a>)>,
}

/// How many nodes are put into JSON by one thread at a time.
const CHUNK: usize = 64;

/// How many nodes are held as JSON at once.
const BATCH: usize = 32 * CHUNK;

/// Writes `manifest.json`.
///
/// # Errors
/// Whatever the file system says.
pub fn write_manifest(path: &Path, document: &ManifestDocument<'_>) -> io::Result<()> {
    write_atomic(path, |writer| write_document(writer, document))
}

/// Writes the document part by part: nodes are most of it, so several threads make their JSON.
fn write_document(
    out: &mut (impl Write + Send),
    document: &ManifestDocument<'_>,
) -> io::Result<()> {
    let ManifestDocument {
        invocation,
        manifest,
        ..
    } = document;
    let created_at = invocation.started_at.as_microsecond() as f64 / 1e6;
    let shapes = Shapes::new(manifest, document.dialect, document.root, created_at)
        .with_compiled(document.compiled.iter().copied());
    let secrets = &document.invocation.redactor.for_json_fragments();
    out.write_all(b"{\"metadata\":")?;
    write_json(&mut *out, secrets, &Metadata(document))?;
    out.write_all(b",\"nodes\":")?;
    write_nodes(out, manifest, &shapes, secrets)?;
    let sources = manifest.sources.iter();
    let sources = sources.map(|(id, source)| (id.as_str(), shapes.source(source)));
    write_part(out, secrets, "sources", sources)?;
    let macros = manifest.macros.iter();
    let macros = macros.map(|(id, found)| (id.as_str(), shapes.macro_(found)));
    write_part(out, secrets, "macros", macros)?;
    let docs = manifest.docs.iter();
    write_part(
        out,
        secrets,
        "docs",
        docs.map(|(id, doc)| (id.as_str(), shapes.doc(doc))),
    )?;
    for empty in ["exposures", "metrics", "groups", "selectors"] {
        write_part(out, secrets, empty, std::iter::empty::<(&str, ())>())?;
    }
    let disabled = manifest.disabled.iter();
    let disabled = disabled.map(|(id, node)| (id.as_str(), [shapes.node(node)]));
    write_part(out, secrets, "disabled", disabled)?;
    write_part(out, secrets, "parent_map", parents(manifest))?;
    let children = children(manifest);
    let children = children.iter();
    write_part(
        out,
        secrets,
        "child_map",
        children.map(|(id, below)| (*id, below.as_slice())),
    )?;
    for empty in [
        "group_map",
        "saved_queries",
        "semantic_models",
        "unit_tests",
        "functions",
    ] {
        write_part(out, secrets, empty, std::iter::empty::<(&str, ())>())?;
    }
    out.write_all(b"}")
}

/// Writes one more entry of the document: an object.
fn write_part<'a, V: Serialize>(
    out: &mut impl Write,
    secrets: &Redactor,
    name: &str,
    entries: impl Iterator<Item = (&'a str, V)>,
) -> io::Result<()> {
    write!(out, ",\"{name}\":{{")?;
    for (at, (key, value)) in entries.enumerate() {
        if at > 0 {
            out.write_all(b",")?;
        }
        write_json(&mut *out, secrets, key)?;
        out.write_all(b":")?;
        write_json(&mut *out, secrets, &value)?;
    }
    out.write_all(b"}")
}

fn write_nodes(
    out: &mut (impl Write + Send),
    manifest: &Manifest,
    shapes: &Shapes<'_>,
    secrets: &Redactor,
) -> io::Result<()> {
    let nodes: Vec<_> = manifest.nodes.iter().collect();
    let texts = |nodes: &[(&UniqueId, &Arc<Node>)]| -> Vec<io::Result<Vec<u8>>> {
        let texts = nodes.par_chunks(CHUNK).map(|nodes| {
            let mut text = Vec::with_capacity(nodes.len() * 4096);
            for (id, node) in nodes {
                text.push(b',');
                write_json(&mut text, secrets, id.as_str())?;
                text.push(b':');
                write_json(&mut text, secrets, &shapes.node(node))?;
            }
            Ok(text)
        });
        texts.collect()
    };
    out.write_all(b"{")?;
    let mut first = true;
    let mut put = |batch: Vec<io::Result<Vec<u8>>>| {
        batch.into_iter().try_for_each(|text| {
            let comma = usize::from(std::mem::take(&mut first));
            out.write_all(&text?[comma..])
        })
    };
    // One batch is written while the next is made.
    let mut made = Vec::new();
    for nodes in nodes.chunks(BATCH) {
        let (next, put) = rayon::join(|| texts(nodes), || put(std::mem::take(&mut made)));
        put?;
        made = next;
    }
    put(made)?;
    out.write_all(b"}")
}

fn parents(manifest: &Manifest) -> impl Iterator<Item = (&str, IdsShape<'_>)> {
    let nodes = manifest
        .nodes
        .iter()
        .map(|(id, node)| (id.as_str(), IdsShape(&node.depends_on)));
    let sources = manifest
        .sources
        .keys()
        .map(|id| (id.as_str(), IdsShape(&[])));
    nodes.chain(sources)
}

/// Who reads each node and source, sorted as dbt sorts them.
fn children(manifest: &Manifest) -> IndexMap<&str, Vec<&str>> {
    let mut positions: FxHashMap<&str, usize> = FxHashMap::default();
    let mut children: IndexMap<&str, Vec<&str>> = IndexMap::new();
    for id in manifest.nodes.keys().chain(manifest.sources.keys()) {
        positions.insert(id.as_str(), children.len());
        children.insert(id.as_str(), Vec::new());
    }
    for (id, node) in &manifest.nodes {
        for parent in &node.depends_on {
            // A parent that is disabled has no entry.
            if let Some(&position) = positions.get(parent.as_str()) {
                children[position].push(id.as_str());
            }
        }
    }
    for below in children.values_mut() {
        below.sort_unstable();
    }
    children
}

struct Metadata<'a>(&'a ManifestDocument<'a>);

impl Serialize for Metadata<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let document = self.0;
        let project = &*document.manifest.project;
        let mut map = serializer.serialize_map(None)?;
        document.invocation.serialize_into(&mut map, SCHEMA)?;
        map.serialize_entry("project_name", project)?;
        map.serialize_entry("project_id", &hex(&Md5::digest(project.as_bytes())))?;
        map.serialize_entry("user_id", &())?;
        map.serialize_entry("send_anonymous_usage_stats", &false)?;
        map.serialize_entry("adapter_type", document.dialect.name)?;
        map.serialize_entry(
            "quoting",
            &QuotingShape {
                database: document.quoting.database,
                schema: document.quoting.schema,
                identifier: document.quoting.identifier,
                column: None,
            },
        )?;
        let started_at = super::instant(document.invocation.started_at);
        map.serialize_entry("run_started_at", &started_at)?;
        map.end()
    }
}

#[derive(serde::Serialize)]
struct QuotingShape {
    database: bool,
    schema: bool,
    identifier: bool,
    column: Option<bool>,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::dialect::DUCKDB;
    use crate::jinja::{RefCall, SourceCall};
    use crate::manifest::{ColumnInfo, DocBlock, GenericTest, Macro, Node, TestInfo, fixture};
    use crate::source::{SourceFile, Span};

    fn set(node: &mut Node, key: &str, value: serde_json::Value) {
        node.config.set.insert(key.to_owned(), value);
    }

    fn orders(file: &Arc<SourceFile>) -> Node {
        let mut orders = fixture::node("model.shop.orders", &["seed.shop.raw_orders"]);
        set(&mut orders, "materialized", json!("table"));
        set(&mut orders, "post-hook", json!("analyze"));
        set(&mut orders, "tags", json!(["daily"]));
        set(&mut orders, "cluster_by", json!(["id"]));
        orders.tags = vec!["daily".to_owned()];
        orders.meta = json!({"owner": "me"})
            .as_object()
            .cloned()
            .expect("an object");
        orders.columns.insert(
            "id".to_owned(),
            ColumnInfo {
                name: "id".to_owned(),
                description: "key".to_owned(),
                ..ColumnInfo::default()
            },
        );
        orders.refs = vec![(
            RefCall {
                package: None,
                name: "raw_orders".to_owned(),
                version: Some("2".to_owned()),
                reading: Default::default(),
            },
            Span::line(file, 1),
        )];
        orders.depends_on_macros = vec!["macro.shop.cents".into()];
        orders.patch_path = Some("shop://models/schema.yml".to_owned());
        orders
    }

    fn column_test(name: &str) -> Node {
        let id = format!("test.shop.{name}_orders_id.0123456789");
        let mut test = fixture::node(&id, &["model.shop.orders"]);
        let arguments =
            json!({"column_name": "id", "model": "{{ get_where_subquery(ref('orders')) }}"});
        test.test = Some(TestInfo {
            generic: Some(GenericTest {
                name: name.to_owned(),
                namespace: None,
                arguments: arguments.as_object().cloned().expect("an object"),
            }),
            attached_to: Some("model.shop.orders".into()),
            column: Some("id".to_owned()),
            file_key: Some("models.orders".to_owned()),
            stores_failures: false,
        });
        test
    }

    fn manifest() -> Manifest {
        let file = SourceFile::inline(
            "macros/cents.sql",
            "{% macro cents(x) %}{{ x }} * 100{% endmacro %}\n",
        );
        let mut manifest = Manifest {
            project: "shop".into(),
            ..Manifest::default()
        };
        let mut hook = fixture::node("operation.shop.shop-on-run-start-0", &[]);
        hook.index = Some(1);
        let mut seed = fixture::node("seed.shop.raw_orders", &[]);
        seed.original_path = "seeds/raw_orders.csv".to_owned();
        let mut view = fixture::node(
            "model.shop.v",
            &["model.shop.orders", "source.shop.raw.things"],
        );
        view.sources = vec![(
            SourceCall {
                source: "raw".to_owned(),
                table: "things".to_owned(),
                reading: Default::default(),
            },
            Span::line(&file, 1),
        )];
        let nodes = [
            orders(&file),
            view,
            hook,
            seed,
            column_test("not_null"),
            column_test("unique"),
        ];
        for node in nodes {
            manifest
                .nodes
                .insert(node.unique_id.clone(), Arc::new(node));
        }
        let mut source = fixture::source("source.shop.raw.things", &Span::line(&file, 1));
        source.freshness = Some(json!({"warn_after": {"count": 1, "period": "day"}}));
        manifest
            .sources
            .insert(source.unique_id.clone(), Arc::new(source));
        let macro_ = Macro {
            unique_id: "macro.shop.cents".into(),
            package: "shop".into(),
            name: "cents".to_owned(),
            span: Span::new(&file, 0..file.text.len() - 1),
            arguments: vec!["x".to_owned()],
            depends_on: Vec::new(),
            description: "to cents".to_owned(),
            meta: serde_json::Map::new(),
            patch_path: Some("shop://macros/schema.yml".to_owned()),
        };
        manifest
            .macros
            .insert(macro_.unique_id.clone(), Arc::new(macro_));
        let doc = DocBlock {
            unique_id: "doc.shop.status".into(),
            package: "shop".into(),
            name: "status".to_owned(),
            original_path: "models/docs.md".to_owned(),
            contents: "what it is".to_owned(),
        };
        manifest.docs.insert(doc.unique_id.clone(), Arc::new(doc));
        let mut off = fixture::node("model.shop.off", &[]);
        set(&mut off, "enabled", json!(false));
        manifest
            .disabled
            .insert(off.unique_id.clone(), Arc::new(off));
        manifest
    }

    fn written(manifest: &Manifest) -> Vec<u8> {
        let environment = BTreeMap::new();
        let orders = UniqueId::from("model.shop.orders");
        let at = "2026-01-02T03:04:05Z".parse().expect("an instant");
        let document = ManifestDocument {
            invocation: Invocation {
                redactor: crate::secrets::Redactor::default(),
                id: "00000000-0000-0000-0000-000000000000",
                started_at: at,
                generated_at: at,
                environment: &environment,
            },
            manifest,
            dialect: &DUCKDB,
            quoting: Quoting::ALL,
            root: Path::new("/shop"),
            compiled: vec![(
                &orders,
                CompiledNode {
                    code: "select 1",
                    path: "target/compiled/shop/models/orders.sql",
                    ctes: &[],
                },
            )],
        };
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("target/manifest.json");
        write_manifest(&path, &document).expect("it is written");
        std::fs::read(&path).expect("it is there")
    }

    #[test]
    fn a_manifest_has_the_shape_of_schema_12() {
        let json: serde_json::Value = serde_json::from_slice(&written(&manifest())).expect("JSON");
        insta::assert_snapshot!(serde_json::to_string_pretty(&json).expect("JSON"));
    }

    #[test]
    fn unique_and_not_null_columns_are_the_key() {
        let json: serde_json::Value = serde_json::from_slice(&written(&manifest())).expect("JSON");
        let orders = &json["nodes"]["model.shop.orders"];
        assert_eq!(orders["primary_key"], json!(["id"]));
        assert_eq!(
            json["child_map"]["model.shop.orders"]
                .as_array()
                .map(Vec::len),
            Some(3)
        );
    }

    #[test]
    fn nodes_of_several_batches_are_one_object_in_order() {
        let mut manifest = Manifest::default();
        for at in 0..2 * BATCH + 1 {
            let node = fixture::node(&format!("model.shop.m{at:05}"), &[]);
            manifest
                .nodes
                .insert(node.unique_id.clone(), Arc::new(node));
        }
        let json: serde_json::Value = serde_json::from_slice(&written(&manifest)).expect("JSON");
        let nodes = json["nodes"].as_object().expect("an object");
        assert!(nodes.keys().eq(manifest.nodes.keys().map(UniqueId::as_str)));
    }
}
