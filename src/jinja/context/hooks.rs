//! Hooks as `run_hooks` takes them.

use minijinja::Value;
use serde_json::Value as Json;

use crate::jinja::language::{dict, list};

/// Makes `pre_hooks` or `post_hooks` of a config: a list of dicts of `sql`, `transaction` and `index`.
///
/// The config holds a text, a dict, the JSON text of a dict (as `before_begin` and `after_commit`
/// write it), or a list of these.
pub fn hook_values(config: Option<&Json>) -> Value {
    let hooks = match config {
        None | Some(Json::Null) => &[],
        Some(Json::Array(hooks)) => hooks.as_slice(),
        Some(hook) => std::slice::from_ref(hook),
    };
    let hooks = hooks.iter().enumerate().map(|(index, hook)| {
        let (sql, transaction) = read(hook);
        dict([
            (Value::from("sql"), Value::from(sql)),
            (Value::from("transaction"), Value::from(transaction)),
            (Value::from("index"), Value::from(index)),
        ])
    });
    list(hooks.collect())
}

/// The text of a hook, and whether it runs inside the transaction.
fn read(hook: &Json) -> (String, bool) {
    match hook {
        Json::String(text) => match serde_json::from_str::<Json>(text) {
            Ok(inner @ Json::Object(_)) => read(&inner),
            _ => (text.clone(), true),
        },
        Json::Object(parts) => (
            parts
                .get("sql")
                .and_then(Json::as_str)
                .unwrap_or_default()
                .to_owned(),
            parts
                .get("transaction")
                .and_then(Json::as_bool)
                .unwrap_or(true),
        ),
        other => (other.to_string(), true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jinja::language::py_str;
    use serde_json::json;

    #[test]
    fn hooks_of_every_form_become_dicts() {
        let config = json!([
            "grant select on {{ this }} to x",
            {"sql": "vacuum", "transaction": false},
            "{\"sql\": \"analyze\", \"transaction\": false}",
        ]);
        assert_eq!(
            py_str(&hook_values(Some(&config))),
            "[{'sql': 'grant select on {{ this }} to x', 'transaction': True, 'index': 0}, \
             {'sql': 'vacuum', 'transaction': False, 'index': 1}, \
             {'sql': 'analyze', 'transaction': False, 'index': 2}]"
        );
        let one = hook_values(Some(&json!("select 1")));
        assert_eq!(one.len(), Some(1));
        assert_eq!(hook_values(None).len(), Some(0));
    }
}
