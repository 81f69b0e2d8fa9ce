//! The configuration of one node, and how its sources merge.
//!
//! dbt's order, weakest first: the node's own package's `dbt_project.yml` from its root to the
//! leaf, property YAML, `config()`, and over all of these, for a node of an installed package, the
//! root project's `dbt_project.yml`. Most keys are clobbered; `tags` and hooks are appended, `meta`,
//! `column_types`, `quoting`, `docs` and `contract` merged, and `grants` merged key by key (appended
//! where a key begins with `+`).

mod keys;
mod trees;

use indexmap::IndexMap;
use serde_json::Value as Json;

pub use keys::{check, known_key, near_key};
pub use trees::{ConfigTrees, Layers};

/// One source of configs: keys without their `+`, values as rendered.
pub type Layer = IndexMap<String, Json>;

/// The merged configuration: only what somebody set; getters give dbt's defaults.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeConfig {
    /// Keys without their `+`, values as rendered.
    pub set: Layer,
}

impl NodeConfig {
    /// Lays a layer over this one, key by key as dbt merges them.
    ///
    /// A `+` before a key is dropped, and `pre_hook` is `pre-hook`.
    pub fn merge(&mut self, layer: &Layer) {
        for (key, value) in layer {
            let key = normalize(key);
            match merge_of(key) {
                Merge::Clobber => drop(self.set.insert(key.to_owned(), value.clone())),
                _ if value.is_null() => {}
                Merge::Append => {
                    let list = self.array(key);
                    list.extend(listed(value));
                }
                Merge::Unique => {
                    let list = self.array(key);
                    for item in listed(value) {
                        if !list.contains(&item) {
                            list.push(item);
                        }
                    }
                }
                Merge::Update => match (self.set.get_mut(key), value) {
                    (Some(Json::Object(there)), Json::Object(more)) => {
                        let more = more.iter();
                        there.extend(more.map(|(key, value)| (key.clone(), value.clone())));
                    }
                    _ => drop(self.set.insert(key.to_owned(), value.clone())),
                },
                Merge::Grants => self.grant(key, value),
            }
        }
    }

    fn array(&mut self, key: &str) -> &mut Vec<Json> {
        let slot = self.set.entry(key.to_owned()).or_insert(Json::Null);
        if !slot.is_array() {
            *slot = Json::Array(listed(slot));
        }
        slot.as_array_mut().expect("it was just made an array")
    }

    fn grant(&mut self, key: &str, value: &Json) {
        let Json::Object(grants) = value else {
            self.set.insert(key.to_owned(), value.clone());
            return;
        };
        let slot = self.set.entry(key.to_owned()).or_insert(Json::Null);
        if !slot.is_object() {
            *slot = Json::Object(serde_json::Map::new());
        }
        let there = slot.as_object_mut().expect("it was just made an object");
        for (privilege, grantees) in grants {
            let name = privilege.trim_start_matches('+');
            let mut list = listed(grantees);
            if name != privilege
                && let Some(before) = there.get(name)
            {
                list.splice(0..0, listed(before));
            }
            there.insert(name.to_owned(), Json::Array(list));
        }
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

/// How a key's value meets the one that is there.
enum Merge {
    Clobber,
    Append,
    Unique,
    Update,
    Grants,
}

fn merge_of(key: &str) -> Merge {
    match key {
        "pre-hook" | "post-hook" | "packages" => Merge::Append,
        "tags" => Merge::Unique,
        "quoting"
        | "column_types"
        | "meta"
        | "docs"
        | "contract"
        | "snapshot_meta_column_names" => Merge::Update,
        "grants" => Merge::Grants,
        _ => Merge::Clobber,
    }
}

/// A key without its `+`, in the spelling that is kept.
pub fn normalize(key: &str) -> &str {
    let key = match key.strip_prefix('+') {
        Some(rest) => rest.trim(),
        None => key,
    };
    match key {
        "pre_hook" => "pre-hook",
        "post_hook" => "post-hook",
        key => key,
    }
}

fn listed(value: &Json) -> Vec<Json> {
    match value {
        Json::Null => Vec::new(),
        Json::Array(items) => items.clone(),
        value => vec![value.clone()],
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn merged(layers: &[Json]) -> String {
        let mut config = NodeConfig::default();
        for layer in layers {
            let layer = layer.as_object().expect("a layer is a mapping");
            config.merge(&layer.clone().into_iter().collect());
        }
        json!(config.set).to_string()
    }

    #[test]
    fn most_keys_are_clobbered() {
        assert_eq!(
            merged(&[
                json!({"materialized": "view", "persist_docs": {"relation": true}, "alias": "x"}),
                json!({"+materialized": "table", "persist_docs": {"columns": true}, "alias": null}),
            ]),
            r#"{"materialized":"table","persist_docs":{"columns":true},"alias":null}"#
        );
    }

    #[test]
    fn tags_and_hooks_are_appended() {
        assert_eq!(
            merged(&[
                json!({"tags": "a", "pre_hook": "one"}),
                json!({"tags": ["b", "a"], "pre-hook": ["two", {"sql": "three"}]}),
                json!({"+tags": null, "pre-hook": "one"}),
            ]),
            r#"{"tags":["a","b"],"pre-hook":["one","two",{"sql":"three"},"one"]}"#
        );
    }

    #[test]
    fn some_mappings_are_merged_by_key() {
        assert_eq!(
            merged(&[
                json!({"meta": {"a": 1, "b": 2}, "column_types": {"id": "int"}}),
                json!({"meta": {"b": 3, "c": 4}, "column_types": null}),
            ]),
            r#"{"meta":{"a":1,"b":3,"c":4},"column_types":{"id":"int"}}"#
        );
    }

    #[test]
    fn grants_are_replaced_or_with_a_plus_appended() {
        assert_eq!(
            merged(&[
                json!({"grants": {"select": "ann", "insert": ["bob"]}}),
                json!({"grants": {"+select": ["carl"], "insert": "dora", "+update": "eve"}}),
            ]),
            r#"{"grants":{"select":["ann","carl"],"insert":["dora"],"update":["eve"]}}"#
        );
    }
}
