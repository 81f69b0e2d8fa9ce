//! The arguments of a generic test, as its macro gets them.

use serde_json::{Map, Value as Json};

use crate::diagnostic::Diagnostic;
use crate::jinja::Value;
use crate::jinja::language::{dict, from_json, list};

/// The name under which a generic test's code finds its arguments.
pub const KWARGS: &str = "_dbt_generic_test_kwargs";

/// Renders arguments natively, as dbt does before it calls the test's macro.
///
/// Text that is a call of `ref`, `source`, `var`, `env_var` or `doc` is one even without braces. The
/// column's name stays text. `render` renders a template natively.
///
/// # Errors
/// The first that `render` returns.
pub fn render_kwargs(
    arguments: &Map<String, Json>,
    render: &mut dyn FnMut(&str) -> Result<Value, Box<Diagnostic>>,
) -> Result<Vec<(String, Value)>, Box<Diagnostic>> {
    let mut rendered = Vec::with_capacity(arguments.len());
    for (key, value) in arguments {
        let value = match value {
            Json::String(column) if key == "column_name" => Value::from(column.as_str()),
            value => render_value(value, render)?,
        };
        rendered.push((key.clone(), value));
    }
    Ok(rendered)
}

fn render_value(
    value: &Json,
    render: &mut dyn FnMut(&str) -> Result<Value, Box<Diagnostic>>,
) -> Result<Value, Box<Diagnostic>> {
    Ok(match value {
        Json::String(text) if looks_like_call(text) => render(&format!("{{{{ {text} }}}}"))?,
        Json::String(text) if text.contains('{') => render(text)?,
        Json::String(text) => Value::from(text.strip_suffix('\n').unwrap_or(text)),
        Json::Array(items) => {
            let items = items.iter().map(|item| render_value(item, render));
            list(items.collect::<Result<Vec<Value>, _>>()?)
        }
        Json::Object(map) => {
            let entries = map
                .iter()
                .map(|(key, item)| Ok((key.clone(), render_value(item, render)?)));
            let entries: Vec<(String, Value)> = entries.collect::<Result<_, Box<Diagnostic>>>()?;
            let pairs = entries
                .into_iter()
                .map(|(key, item)| (Value::from(key), item));
            dict(pairs)
        }
        scalar => from_json(scalar),
    })
}

/// Tells whether text is a call of a function that dbt renders even without braces.
pub fn looks_like_call(text: &str) -> bool {
    let text = text.trim();
    let Some((function, rest)) = text.split_once('(') else {
        return false;
    };
    matches!(
        function.trim_end(),
        "env_var" | "ref" | "var" | "source" | "doc"
    ) && rest.len() > 1
        && rest.ends_with(')')
        && !text.contains('\n')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn calls_are_rendered_and_names_are_not() {
        let Json::Object(arguments) = json!({
            "to": "ref('a')",
            "values": ["x", "{{ y }}", {"k": "source('s', 't')"}],
            "column_name": "{{ no }}",
            "quote": false,
        }) else {
            panic!("a mapping")
        };
        let mut seen = Vec::new();
        let rendered = render_kwargs(&arguments, &mut |text| {
            seen.push(text.to_owned());
            Ok(Value::from(7))
        });
        let rendered = rendered.expect("nothing fails");
        assert_eq!(
            seen,
            ["{{ ref('a') }}", "{{ y }}", "{{ source('s', 't') }}"]
        );
        let shown: Vec<_> = rendered
            .iter()
            .map(|(key, value)| {
                (
                    key.as_str(),
                    crate::jinja::language::to_json(value).expect("plain"),
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                ("to", json!(7)),
                ("values", json!(["x", 7, {"k": 7}])),
                ("column_name", json!("{{ no }}")),
                ("quote", json!(false)),
            ]
        );
    }
}
