//! The `config` blocks of dbt's dict shapes, with dbt's defaults filled in.

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::Value as Json;

use super::FreshnessShape;
use crate::manifest::{Node, ResourceType, Source};

/// What stands in a config block where nobody set a key.
#[derive(Clone, Copy)]
enum Unset {
    Null,
    True,
    One,
    Text(&'static str),
    List,
    Map,
    Tags,
    Meta,
    Materialized,
    Hooks,
    Docs,
    Contract,
    BuildAfter,
}

type Field = (&'static str, Unset);

/// The keys that all nodes have, first.
const COMMON: &[Field] = &[
    ("enabled", Unset::True),
    ("alias", Unset::Null),
    ("schema", Unset::Null),
    ("database", Unset::Null),
    ("tags", Unset::Tags),
    ("meta", Unset::Meta),
    ("group", Unset::Null),
    ("static_analysis", Unset::Null),
    ("materialized", Unset::Materialized),
    ("incremental_strategy", Unset::Null),
    ("batch_size", Unset::Null),
    ("lookback", Unset::One),
    ("begin", Unset::Null),
    ("persist_docs", Unset::Map),
    ("post-hook", Unset::Hooks),
    ("pre-hook", Unset::Hooks),
    ("quoting", Unset::Map),
    ("column_types", Unset::Map),
    ("full_refresh", Unset::Null),
    ("unique_key", Unset::Null),
    ("on_schema_change", Unset::Text("ignore")),
    ("on_configuration_change", Unset::Text("apply")),
    ("grants", Unset::Map),
    ("packages", Unset::List),
    ("docs", Unset::Docs),
    ("contract", Unset::Contract),
    ("event_time", Unset::Null),
    ("concurrent_batches", Unset::Null),
];

/// What models have beside them.
const MODEL: &[Field] = &[
    ("access", Unset::Text("protected")),
    ("freshness", Unset::BuildAfter),
];

/// What seeds have beside them.
const SEED: &[Field] = &[
    ("delimiter", Unset::Text(",")),
    ("quote_columns", Unset::Null),
];

/// Tests have keys of their own.
const TEST: &[Field] = &[
    ("enabled", Unset::True),
    ("alias", Unset::Null),
    ("schema", Unset::Text("dbt_test__audit")),
    ("database", Unset::Null),
    ("tags", Unset::Tags),
    ("meta", Unset::Meta),
    ("group", Unset::Null),
    ("static_analysis", Unset::Null),
    ("materialized", Unset::Text("test")),
    ("severity", Unset::Text("ERROR")),
    ("store_failures", Unset::Null),
    ("store_failures_as", Unset::Null),
    ("where", Unset::Null),
    ("limit", Unset::Null),
    ("fail_calc", Unset::Text("count(*)")),
    ("warn_if", Unset::Text("!= 0")),
    ("error_if", Unset::Text("!= 0")),
];

/// The `config` of a node.
pub(super) struct ConfigShape<'a>(pub &'a Node);

impl Serialize for ConfigShape<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let node = self.0;
        let (first, second) = fields(node.resource_type);
        let mut map = serializer.serialize_map(None)?;
        for (key, default) in first.iter().chain(second) {
            map.serialize_entry(key, &FieldShape(node, (key, *default)))?;
        }
        for (key, value) in &node.config.set {
            let known = |(name, _): &Field| *name == key;
            if !is_other_hook_name(key) && !first.iter().chain(second).any(known) {
                map.serialize_entry(key, value)?;
            }
        }
        map.end()
    }
}

/// The keys that nodes of a type have, in two parts.
fn fields(kind: ResourceType) -> (&'static [Field], &'static [Field]) {
    match kind {
        ResourceType::Test => (TEST, &[]),
        ResourceType::Model => (COMMON, MODEL),
        ResourceType::Seed => (COMMON, SEED),
        _ => (COMMON, &[]),
    }
}

/// Hooks are shown under the names with a hyphen, whichever they were set by.
fn is_other_hook_name(key: &str) -> bool {
    matches!(key, "pre_hook" | "post_hook")
}

/// What [`ConfigShape`] holds under a key.
pub(super) fn value(node: &Node, key: &str) -> Option<Json> {
    let (first, second) = fields(node.resource_type);
    match first.iter().chain(second).find(|(name, _)| *name == key) {
        Some(field) => Some(super::to_json(&FieldShape(node, *field))),
        None if is_other_hook_name(key) => None,
        None => node.config.get(key).cloned(),
    }
}

struct FieldShape<'a>(&'a Node, Field);

impl Serialize for FieldShape<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let FieldShape(node, (key, default)) = *self;
        let set = node.config.get(key);
        match (default, set) {
            (Unset::Tags, _) => node.config.tags().serialize(serializer),
            (Unset::Meta, _) => node.meta.serialize(serializer),
            (Unset::Materialized, _) => node.materialization().serialize(serializer),
            (Unset::Docs, set) => DocsShape(set).serialize(serializer),
            (Unset::Contract, set) => ContractShape::of_config(set).serialize(serializer),
            (Unset::Hooks, set) => {
                let other = node.config.get(&key.replace('-', "_"));
                HooksShape([set, other]).serialize(serializer)
            }
            // dbt drops a freshness that does not say when to build.
            (Unset::BuildAfter, set) => set
                .filter(|freshness| freshness.get("build_after").is_some())
                .serialize(serializer),
            (_, Some(value)) => value.serialize(serializer),
            (Unset::Null, None) => serializer.serialize_unit(),
            (Unset::True, None) => serializer.serialize_bool(true),
            (Unset::One, None) => serializer.serialize_u64(1),
            (Unset::Text(text), None) => serializer.serialize_str(text),
            (Unset::List, None) => serializer.serialize_seq(Some(0))?.end(),
            (Unset::Map, None) => serializer.serialize_map(Some(0))?.end(),
        }
    }
}

/// Hooks: each an object with its SQL, whether it runs in the transaction, and its place.
struct HooksShape<'a>([Option<&'a Json>; 2]);

impl Serialize for HooksShape<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let hooks = self.0.into_iter().flatten().flat_map(|hooks| match hooks {
            Json::Array(hooks) => hooks.as_slice(),
            one => std::slice::from_ref(one),
        });
        serializer.collect_seq(hooks.map(HookShape))
    }
}

struct HookShape<'a>(&'a Json);

impl Serialize for HookShape<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let hook = self.0;
        let mut map = serializer.serialize_map(Some(3))?;
        match hook {
            Json::Object(parts) => {
                map.serialize_entry(
                    "sql",
                    &parts.get("sql").and_then(Json::as_str).unwrap_or(""),
                )?;
                let inside = parts.get("transaction").and_then(Json::as_bool);
                map.serialize_entry("transaction", &inside.unwrap_or(true))?;
                map.serialize_entry("index", &parts.get("index"))?;
            }
            other => {
                map.serialize_entry("sql", other.as_str().unwrap_or(""))?;
                map.serialize_entry("transaction", &true)?;
                map.serialize_entry("index", &())?;
            }
        }
        map.end()
    }
}

/// `docs`: whether and how the documentation shows a node.
#[derive(Clone, Copy)]
pub(super) struct DocsShape<'a>(pub Option<&'a Json>);

impl Serialize for DocsShape<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let part = |key| self.0.and_then(|docs| docs.get(key));
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry(
            "show",
            &part("show").and_then(Json::as_bool).unwrap_or(true),
        )?;
        map.serialize_entry("node_color", &part("node_color"))?;
        map.end()
    }
}

/// `contract`, in a config or in a node.
pub(super) struct ContractShape {
    enforced: bool,
    alias_types: bool,
    in_node: bool,
}

impl ContractShape {
    fn of_config(set: Option<&Json>) -> ContractShape {
        let part = |key| set.and_then(|contract| contract.get(key)?.as_bool());
        ContractShape {
            enforced: part("enforced").unwrap_or(false),
            alias_types: part("alias_types").unwrap_or(true),
            in_node: false,
        }
    }

    pub(super) fn of_node(node: &Node) -> ContractShape {
        ContractShape {
            in_node: true,
            ..ContractShape::of_config(node.config.get("contract"))
        }
    }
}

impl Serialize for ContractShape {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("enforced", &self.enforced)?;
        map.serialize_entry("alias_types", &self.alias_types)?;
        if self.in_node {
            map.serialize_entry("checksum", &())?;
        }
        map.end()
    }
}

/// The `config` of a source.
pub(super) struct SourceConfigShape<'a> {
    pub source: &'a Source,
    pub freshness: FreshnessShape<'a>,
}

impl Serialize for SourceConfigShape<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let SourceConfigShape { source, freshness } = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("enabled", &source.config.enabled())?;
        map.serialize_entry("event_time", &source.config.get("event_time"))?;
        map.serialize_entry("freshness", freshness)?;
        map.serialize_entry("loaded_at_field", &source.loaded_at_field)?;
        map.serialize_entry("loaded_at_query", &source.config.text("loaded_at_query"))?;
        map.serialize_entry("meta", &source.meta)?;
        map.serialize_entry("tags", &source.tags)?;
        map.serialize_entry("static_analysis", &source.config.text("static_analysis"))?;
        map.end()
    }
}
