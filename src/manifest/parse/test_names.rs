//! The names and identities of generic tests, as dbt makes them: they agree letter by letter.

use std::fmt::Write;

use md5::{Digest, Md5};
use serde_json::{Map, Value as Json};

use super::python;
use crate::manifest::test_macro;

/// What a generic test is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestName {
    /// The name of the node, in full.
    pub full: String,
    /// The name of its file; where the full name is too long, cut and hashed, and the alias as well.
    pub short: String,
}

/// Makes the name of a test out of its arguments.
///
/// `kind` is the test's own name with its namespace and `source_` before it where it tests a
/// source; `target` the name of the model, seed or table.
pub fn synthesize(kind: &str, target: &str, arguments: &Map<String, Json>) -> TestName {
    let mut sorted: Vec<_> = arguments
        .iter()
        .filter(|(key, _)| *key != "model")
        .collect();
    sorted.sort_unstable_by_key(|(key, _)| *key);
    let mut parts: Vec<String> = Vec::new();
    for (_, value) in sorted {
        match value {
            Json::Object(map) => parts.extend(map.values().map(clean)),
            Json::Array(items) => parts.extend(items.iter().map(clean)),
            scalar => parts.push(clean(scalar)),
        }
    }
    let identifier = format!("{kind}_{target}");
    let full = format!("{identifier}_{}", parts.join("__"));
    // dbt counts characters, not bytes.
    let short = if full.chars().count() >= 64 {
        let start: String = identifier.chars().take(30).collect();
        format!("{start}_{}", md5_hex(&full))
    } else {
        full.clone()
    };
    TestName { full, short }
}

/// Replaces each run of characters that no identifier has by one underscore.
fn clean(value: &Json) -> String {
    let text = python::str(value);
    let mut cleaned = String::with_capacity(text.len());
    let mut replaced = false;
    for c in text.chars() {
        if c.is_ascii_alphanumeric() || c == '_' {
            cleaned.push(c);
            replaced = false;
        } else if !replaced {
            cleaned.push('_');
            replaced = true;
        }
    }
    cleaned
}

/// The ten characters that end a generic test's unique id.
pub fn hash(
    full_name: &str,
    namespace: Option<&str>,
    test: &str,
    arguments: &Map<String, Json>,
) -> String {
    // The `repr` of `{"namespace": .., "name": .., "kwargs": ..}`, sorted.
    let mut hashed = format!("{full_name}{{'kwargs': ");
    python::write_hashed(&mut hashed, arguments);
    hashed.push_str(", 'name': ");
    python::write_text(&mut hashed, test);
    hashed.push_str(", 'namespace': ");
    python::write_text(&mut hashed, namespace.unwrap_or("None"));
    hashed.push('}');
    let digest = md5_hex(&hashed);
    digest[digest.len() - 10..].to_owned()
}

/// The call of the test macro, and its configs, as dbt writes them into the node's code.
pub fn raw_code(namespace: Option<&str>, test: &str, config: &Map<String, Json>) -> String {
    let called = test_macro(namespace, test);
    let mut code = format!("{{{{ {called}(**_dbt_generic_test_kwargs) }}}}");
    if !config.is_empty() {
        let settings: Vec<String> = config
            .iter()
            .map(|(key, value)| match value {
                Json::String(text) => format!("{key}=\"{}\"", text.replace('"', "\\\"")),
                other => format!("{key}={}", python::repr(other)),
            })
            .collect();
        code.push_str(&format!("{{{{ config({}) }}}}", settings.join(",")));
    }
    code
}

fn md5_hex(text: &str) -> String {
    let digest = Md5::digest(text.as_bytes());
    let mut text = String::with_capacity(2 * digest.len());
    for byte in digest {
        write!(text, "{byte:02x}").expect("a string takes all that is written");
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn arguments(value: Json) -> Map<String, Json> {
        let Json::Object(map) = value else {
            panic!("a mapping")
        };
        map
    }

    /// Ids and names that dbt 1.11.16 gave to the same tests.
    #[test]
    fn names_and_hashes_agree_with_dbt() {
        let plain = arguments(json!({
            "column_name": "order_id",
            "model": "{{ get_where_subquery(ref('orders')) }}",
        }));
        let name = synthesize("not_null", "orders", &plain);
        assert_eq!(name.full, "not_null_orders_order_id");
        assert_eq!(hash(&name.full, None, "not_null", &plain), "cf6c17daed");

        let values = arguments(json!({
            "values": ["placed", "shipped", "completed", "return_pending", "returned"],
            "column_name": "status",
            "model": "{{ get_where_subquery(ref('orders')) }}",
        }));
        let name = synthesize("accepted_values", "orders", &values);
        assert_eq!(
            name.full,
            "accepted_values_orders_status__placed__shipped__completed__return_pending__returned"
        );
        assert_eq!(
            name.short,
            "accepted_values_orders_1ce6ab157c285f7cd2ac656013faf758"
        );
        assert_eq!(
            hash(&name.full, None, "accepted_values", &values),
            "be6b5b5ec3"
        );

        let relation = arguments(json!({
            "to": "ref('customers')",
            "field": "customer_id",
            "column_name": "customer_id",
            "model": "{{ get_where_subquery(ref('orders')) }}",
        }));
        let name = synthesize("relationships", "orders", &relation);
        assert_eq!(
            name.full,
            "relationships_orders_customer_id__customer_id__ref_customers_"
        );
        assert_eq!(
            hash(&name.full, None, "relationships", &relation),
            "c6ec7f58f2"
        );
    }

    #[test]
    fn the_code_calls_the_macro_and_carries_the_configs() {
        let config = arguments(
            json!({"severity": "warn", "where": "a = \"b\"", "tags": ["x"], "enabled": true}),
        );
        assert_eq!(
            raw_code(Some("dbt_utils"), "expression", &config),
            "{{ dbt_utils.test_expression(**_dbt_generic_test_kwargs) }}{{ config(severity=\"warn\",where=\"a = \\\"b\\\"\",tags=['x'],enabled=True) }}"
        );
        assert_eq!(
            raw_code(None, "unique", &Map::new()),
            "{{ test_unique(**_dbt_generic_test_kwargs) }}"
        );
    }
}
