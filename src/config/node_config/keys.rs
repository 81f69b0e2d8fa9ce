//! The config keys that are known, by kind of node, and what their values may be.
//!
//! Other keys are kept: macros and packages may read them.

use serde_json::Value as Json;

use crate::diagnostic::{Code, Diagnostic, nearest};
use crate::source::Span;

use super::normalize;

/// What a value must be; null is always allowed and says nothing.
#[derive(Clone, Copy)]
enum Kind {
    Any,
    Bool,
    Text,
    Texts,
    Integer,
    Mapping,
    Hooks,
    /// One of these words; upper and lower case are the same.
    Word(&'static [&'static str]),
}

const MODEL: u8 = 1;
const SEED: u8 = 2;
const SNAPSHOT: u8 = 4;
const TEST: u8 = 8;
const SOURCE: u8 = 16;
const OTHER: u8 = 32;
/// What is built as a relation.
const BUILT: u8 = MODEL | SEED | SNAPSHOT;
const NODE: u8 = BUILT | TEST;

const KEYS: &[(&str, Kind, u8)] = &[
    ("enabled", Kind::Bool, NODE | SOURCE | OTHER),
    ("tags", Kind::Texts, NODE | SOURCE | OTHER),
    ("meta", Kind::Mapping, NODE | SOURCE | OTHER),
    ("group", Kind::Text, NODE | OTHER),
    ("static_analysis", Kind::Any, NODE | SOURCE),
    ("connection", Kind::Text, NODE | SOURCE),
    ("export", Kind::Mapping, MODEL),
    ("alias", Kind::Text, NODE),
    ("schema", Kind::Text, NODE),
    ("database", Kind::Text, NODE),
    ("materialized", Kind::Text, NODE),
    ("sql_header", Kind::Text, NODE),
    ("persist_docs", Kind::Mapping, BUILT),
    ("pre-hook", Kind::Hooks, BUILT),
    ("post-hook", Kind::Hooks, BUILT),
    ("quoting", Kind::Mapping, BUILT),
    ("full_refresh", Kind::Bool, BUILT),
    ("grants", Kind::Mapping, BUILT),
    ("docs", Kind::Mapping, BUILT),
    ("contract", Kind::Mapping, BUILT),
    ("packages", Kind::Texts, BUILT),
    ("event_time", Kind::Any, BUILT | SOURCE),
    ("unique_key", Kind::Texts, MODEL | SNAPSHOT),
    (
        "on_configuration_change",
        Kind::Word(&["apply", "continue", "fail"]),
        MODEL,
    ),
    ("on_schema_change", Kind::Text, MODEL),
    ("incremental_strategy", Kind::Text, MODEL),
    ("incremental_predicates", Kind::Texts, MODEL),
    ("predicates", Kind::Texts, MODEL),
    ("merge_update_columns", Kind::Texts, MODEL),
    ("merge_exclude_columns", Kind::Texts, MODEL),
    ("batch_size", Kind::Any, MODEL),
    ("lookback", Kind::Any, MODEL | SOURCE),
    ("begin", Kind::Any, MODEL | SOURCE),
    ("concurrent_batches", Kind::Bool, MODEL),
    (
        "access",
        Kind::Word(&["private", "protected", "public"]),
        MODEL,
    ),
    ("freshness", Kind::Mapping, MODEL | SOURCE),
    ("catalog_name", Kind::Text, MODEL),
    ("submission_method", Kind::Text, MODEL),
    // The partition engine.
    (
        "rebuild",
        Kind::Word(&["always", "when_stale"]),
        MODEL | SEED,
    ),
    ("order_by", Kind::Texts, MODEL),
    ("timezone", Kind::Text, MODEL | SOURCE),
    ("arrival_buffer", Kind::Text, MODEL | SOURCE),
    ("on_code_change", Kind::Word(&["rebuild", "keep"]), MODEL),
    ("content_hash", Kind::Any, MODEL),
    ("allow_empty", Kind::Bool, MODEL),
    ("retention", Kind::Any, MODEL | SOURCE),
    ("no_data", Kind::Texts, SOURCE),
    ("gap", Kind::Word(&["missing", "carry"]), SOURCE),
    ("retention_field", Kind::Text, MODEL),
    // Tables of the ODS.
    ("deletes", Kind::Mapping, MODEL),
    // Seeds.
    ("column_types", Kind::Mapping, SEED | MODEL),
    ("delimiter", Kind::Text, SEED),
    ("quote_columns", Kind::Bool, SEED),
    // Snapshots.
    ("strategy", Kind::Text, SNAPSHOT),
    ("target_schema", Kind::Text, SNAPSHOT),
    ("target_database", Kind::Text, SNAPSHOT),
    ("updated_at", Kind::Text, SNAPSHOT),
    ("check_cols", Kind::Texts, SNAPSHOT),
    ("snapshot_meta_column_names", Kind::Mapping, SNAPSHOT),
    ("dbt_valid_to_current", Kind::Text, SNAPSHOT),
    (
        "hard_deletes",
        Kind::Word(&["ignore", "invalidate", "new_record"]),
        SNAPSHOT,
    ),
    ("invalidate_hard_deletes", Kind::Bool, SNAPSHOT),
    // Tests.
    ("severity", Kind::Word(&["error", "warn"]), TEST),
    ("store_failures", Kind::Bool, TEST),
    (
        "store_failures_as",
        Kind::Word(&["ephemeral", "table", "view"]),
        TEST,
    ),
    ("where", Kind::Text, TEST),
    ("limit", Kind::Integer, TEST),
    ("fail_calc", Kind::Text, TEST),
    ("warn_if", Kind::Text, TEST),
    ("error_if", Kind::Text, TEST),
    // Sources.
    ("loaded_at_field", Kind::Text, SOURCE),
    ("loaded_at_query", Kind::Text, SOURCE),
    // What only some warehouses read.
    ("indexes", Kind::Any, BUILT),
    ("unlogged", Kind::Bool, BUILT),
    ("transient", Kind::Bool, BUILT),
    ("partition_by", Kind::Any, BUILT | SOURCE),
    ("cluster_by", Kind::Any, BUILT),
    ("automatic_clustering", Kind::Bool, MODEL),
    ("secure", Kind::Bool, MODEL),
    ("copy_grants", Kind::Bool, BUILT),
    ("copy_tags", Kind::Bool, BUILT),
    ("snowflake_warehouse", Kind::Text, NODE),
    ("query_tag", Kind::Text, NODE),
    ("tmp_relation_type", Kind::Text, MODEL),
    ("target_lag", Kind::Text, MODEL),
    ("row_access_policy", Kind::Text, MODEL),
    ("table_tag", Kind::Text, MODEL),
    ("table_format", Kind::Text, MODEL),
    ("external_volume", Kind::Text, MODEL),
    ("base_location_root", Kind::Text, MODEL),
    ("base_location_subpath", Kind::Text, MODEL),
    ("location", Kind::Text, MODEL),
    ("format", Kind::Text, MODEL),
    ("options", Kind::Mapping, MODEL),
    ("partitions", Kind::Any, MODEL),
];

fn bit(resource: &str) -> u8 {
    match resource.trim_end_matches('s') {
        "seed" => SEED,
        "snapshot" => SNAPSHOT,
        "test" | "data_test" => TEST,
        "source" => SOURCE,
        "exposure" | "metric" | "semantic_model" | "unit_test" | "function" => OTHER,
        "saved_query" | "saved_querie" => OTHER,
        // dbt configures analyses and operations as models.
        _ => MODEL,
    }
}

/// Tells whether a key, with or without `+`, is a config of such nodes (`model`, `seed`, `test`, `source`...).
pub fn known_key(resource: &str, key: &str) -> bool {
    find(resource, key).is_some()
}

/// The known key nearest to an unknown one, if one is near enough to be meant.
pub fn near_key(resource: &str, key: &str) -> Option<&'static str> {
    let bit = bit(resource);
    let known = KEYS.iter().filter(|(_, _, of)| of & bit != 0);
    nearest(normalize(key), known.map(|(name, _, _)| *name))
}

fn find(resource: &str, key: &str) -> Option<Kind> {
    let (key, bit) = (normalize(key), bit(resource));
    KEYS.iter()
        .find(|(name, _, of)| *name == key && of & bit != 0)
        .map(|(_, kind, _)| *kind)
}

/// The error of a known key whose value cannot be understood; values of unknown keys are free.
pub fn check(
    resource: &str,
    key: &str,
    value: &Json,
    span: impl FnOnce() -> Span,
) -> Option<Diagnostic> {
    let kind = find(resource, key)?;
    let expected = wrong(kind, value)?;
    let found = match value {
        Json::String(text) => format!("`{text}`"),
        Json::Array(_) => "a list".to_owned(),
        Json::Object(_) => "a mapping".to_owned(),
        other => format!("`{other}`"),
    };
    let key = normalize(key);
    let help = match (kind, value) {
        (Kind::Bool, Json::String(text)) if text.contains('{') => {
            "let the template end in `| as_bool`".to_owned()
        }
        (Kind::Bool, _) => format!("write `{key}: true` or `{key}: false`, without quotes"),
        (Kind::Word(words), _) => match value
            .as_str()
            .and_then(|text| nearest(text, words.iter().copied()))
        {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("write one of {expected}"),
        },
        (Kind::Text, _) => "put it in quotes".to_owned(),
        _ => format!("write {expected}"),
    };
    let expected = match kind {
        Kind::Word(_) => format!("one of {expected}"),
        _ => expected,
    };
    Some(
        Diagnostic::error(
            Code::BadConfig,
            format!("the config `{key}` must be {expected}, found {found}"),
        )
        .at(span())
        .help(help),
    )
}

/// What was expected, where the value is something else.
fn wrong(kind: Kind, value: &Json) -> Option<String> {
    let strings = |items: &[Json]| items.iter().all(Json::is_string);
    let (right, expected) = match (kind, value) {
        (Kind::Any, _) | (_, Json::Null) => return None,
        (Kind::Bool, value) => (value.is_boolean(), "true or false"),
        (Kind::Text, value) => (value.is_string(), "text"),
        (Kind::Integer, value) => (value.is_i64() || value.is_u64(), "a whole number"),
        (Kind::Mapping, value) => (value.is_object(), "a mapping"),
        (Kind::Texts, Json::Array(items)) => (strings(items), "text or a list of texts"),
        (Kind::Texts, value) => (value.is_string(), "text or a list of texts"),
        (Kind::Hooks, Json::Array(items)) => (
            items
                .iter()
                .all(|item| item.is_string() || item.is_object()),
            "text, a mapping, or a list of these",
        ),
        (Kind::Hooks, value) => (
            value.is_string() || value.is_object(),
            "text, a mapping, or a list of these",
        ),
        (Kind::Word(words), value) => {
            let lower = value.as_str().map(str::to_lowercase);
            if lower.is_some_and(|lower| words.contains(&lower.as_str())) {
                return None;
            }
            let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
            return Some(quoted.join(", "));
        }
    };
    (!right).then(|| expected.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::source::SourceFile;

    fn message(resource: &str, key: &str, value: &Json) -> String {
        let file = SourceFile::inline("dbt_project.yml", format!("+{key}: {value}\n"));
        let range = key.len() + 3..key.len() + 3 + value.to_string().len();
        match check(resource, key, value, || Span::new(&file, range)) {
            Some(error) => error.render(false),
            None => "fine".to_owned(),
        }
    }

    #[test]
    fn keys_belong_to_kinds_of_nodes() {
        assert!(known_key("model", "+materialized"));
        assert!(known_key("analysis", "pre_hook"));
        assert!(known_key("test", "severity"));
        assert!(!known_key("model", "severity"));
        assert!(!known_key("model", "materialised"));
        assert_eq!(near_key("model", "+materialised"), Some("materialized"));
        assert_eq!(near_key("seed", "my_own_thing"), None);
    }

    #[test]
    fn good_values_and_unknown_keys_pass() {
        for (resource, key, value) in [
            ("model", "enabled", json!(false)),
            ("model", "tags", json!("x")),
            ("model", "unique_key", json!(["a", "b"])),
            ("model", "schema", json!(null)),
            ("test", "severity", json!("WARN")),
            ("model", "pre-hook", json!([{"sql": "x"}, "y"])),
            ("model", "my_own_thing", json!([1])),
        ] {
            assert_eq!(message(resource, key, &value), "fine", "{key}");
        }
    }

    #[test]
    fn a_bad_value_says_what_was_expected() {
        let messages = [
            message("model", "enabled", &json!("yes please")),
            message("model", "materialized", &json!(1)),
            message("model", "tags", &json!([1])),
            message("test", "severity", &json!("errors")),
            message("test", "limit", &json!("10")),
            message("seed", "column_types", &json!(["a"])),
        ];
        insta::assert_snapshot!(messages.join("\n\n"));
    }
}
