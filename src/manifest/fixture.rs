//! What tests make manifests of: nodes by hand, and packages out of one string.

use std::sync::Arc;

use indexmap::IndexMap;

use super::{Node, ResourceType, Source, TestInfo, UniqueId};
use crate::config::node_config::NodeConfig;
use crate::dialect::DUCKDB;
use crate::relation::Relation;
use crate::source::{SourceFile, Span};

/// Makes a node of a unique id such as `model.shop.orders`, in the folder `models`, and what it reads.
pub fn node(id: &str, reads: &[&str]) -> Node {
    let mut parts = id.splitn(3, '.');
    let kind = parts.next().expect("a type");
    let package: Arc<str> = parts.next().expect("a package").into();
    let name = parts.next().expect("a name").to_owned();
    let resource_type = ResourceType::parse(kind).expect("a resource type");
    Node {
        unique_id: id.into(),
        resource_type,
        package: Arc::clone(&package),
        path: format!("{name}.sql"),
        original_path: format!("models/{name}.sql"),
        fqn: vec![package.to_string(), name.clone()],
        file: SourceFile::inline(format!("models/{name}.sql"), "select 1"),
        alias: name.clone(),
        relation: Relation::new(&DUCKDB, "dev", "main", &name),
        config: NodeConfig::default(),
        description: String::new(),
        columns: IndexMap::new(),
        meta: serde_json::Map::new(),
        tags: Vec::new(),
        refs: Vec::new(),
        sources: Vec::new(),
        depends_on: reads.iter().map(|&read| UniqueId::from(read)).collect(),
        depends_on_macros: Vec::new(),
        patch_path: None,
        patch_span: None,
        test: (resource_type == ResourceType::Test).then(TestInfo::default),
        index: None,
        name,
    }
}

/// Makes a source of a unique id such as `source.shop.raw.orders`.
pub fn source(id: &str, span: &Span) -> Source {
    let parts: Vec<&str> = id.split('.').collect();
    let [_, package, source_name, name] = parts[..] else {
        panic!("`{id}` is no source");
    };
    Source {
        unique_id: id.into(),
        package: package.into(),
        source_name: source_name.to_owned(),
        name: name.to_owned(),
        fqn: vec![package.to_owned(), source_name.to_owned(), name.to_owned()],
        original_path: span.file.path.clone(),
        span: span.clone(),
        relation: Relation::new(&DUCKDB, "dev", source_name, name),
        identifier: name.to_owned(),
        source_description: String::new(),
        description: String::new(),
        loader: String::new(),
        columns: IndexMap::new(),
        source_meta: serde_json::Map::new(),
        meta: serde_json::Map::new(),
        tags: Vec::new(),
        config: NodeConfig::default(),
        loaded_at_field: None,
        freshness: None,
        external: None,
        quoting: serde_json::Map::new(),
    }
}
