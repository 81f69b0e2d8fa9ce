//! The configuration of one node, and how its sources merge.
//!
//! dbt's order, weakest first: the dialect's defaults, `dbt_project.yml` from its root to the leaf
//! (the node's own package, then the root project over it), property YAML, `config()`. Most keys
//! are clobbered; `tags` and hooks are appended, `meta`, `column_types`, `quoting`, `docs` and
//! `grants` (with `+`) merged.

use indexmap::IndexMap;
use serde_json::Value as Json;

/// The merged configuration: only what somebody set; getters give dbt's defaults.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeConfig {
    /// Keys without their `+`, values as rendered.
    pub set: IndexMap<String, Json>,
}

impl NodeConfig {
    /// Lays a layer over this one, key by key as dbt merges them.
    pub fn merge(&mut self, layer: &IndexMap<String, Json>) {
        let _ = layer;
        todo!()
    }

    /// A key that somebody set, unless to null.
    pub fn get(&self, key: &str) -> Option<&Json> {
        self.set.get(key).filter(|value| !value.is_null())
    }

    /// A key as text.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(Json::as_str)
    }

    /// `enabled`, default true.
    pub fn enabled(&self) -> bool {
        self.get("enabled").and_then(Json::as_bool).unwrap_or(true)
    }

    /// Whether a test keeps the rows that it finds: `store_failures`, which `store_failures_as` overrides.
    pub fn stores_failures(&self) -> bool {
        match self.text("store_failures_as") {
            Some(kind) => kind != "ephemeral",
            None => self
                .get("store_failures")
                .and_then(Json::as_bool)
                .unwrap_or(false),
        }
    }

    /// `tags`, as a list even where one word was given.
    pub fn tags(&self) -> Vec<String> {
        match self.get("tags") {
            Some(Json::String(tag)) => vec![tag.clone()],
            Some(Json::Array(tags)) => tags
                .iter()
                .filter_map(Json::as_str)
                .map(str::to_owned)
                .collect(),
            _ => Vec::new(),
        }
    }
}
