//! The arguments of a generic test, as its macro gets them.

use serde_json::{Map, Value as Json};

use crate::diagnostic::Diagnostic;
use crate::jinja::Value;
use crate::jinja::language::{dict, from_json, list};

/// The macro that says what a generic test reads of the node that it judges.
pub const SUBQUERY: &str = "get_where_subquery";

/// The text of a test's argument `model`, of a call such as `ref('orders')`.
pub fn judged_text(call: &str) -> String {
    format!("{{{{ {SUBQUERY}({call}) }}}}")
}

/// The call in such a text, as [`literal_call`] reads it.
pub fn judged_call(text: &str) -> Option<(&str, Vec<String>)> {
    let rest = text.strip_prefix("{{ ")?.strip_prefix(SUBQUERY)?;
    literal_call(rest.strip_prefix('(')?.strip_suffix(") }}")?)
}

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

/// Reads a call of a function with plain text as arguments, such as `ref('a', "b")`.
pub fn literal_call(text: &str) -> Option<(&str, Vec<String>)> {
    let (function, rest) = text.trim().split_once('(')?;
    let mut rest = rest.strip_suffix(')')?.trim();
    let mut arguments = Vec::new();
    while !rest.is_empty() {
        let quote = rest.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
        let end = rest[1..].find(quote)? + 1;
        let argument = &rest[1..end];
        if argument.contains('\\') {
            return None;
        }
        arguments.push(argument.to_owned());
        rest = rest[end + 1..].trim_start();
        rest = match rest.strip_prefix(',') {
            Some(more) => more.trim_start(),
            None if rest.is_empty() => rest,
            None => return None,
        };
    }
    Some((function.trim_end(), arguments))
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

    #[test]
    fn calls_with_plain_text_are_read_and_others_are_not() {
        let read = |text| {
            literal_call(text).map(|(function, names)| (function.to_owned(), names.join("|")))
        };
        assert_eq!(
            read(" ref( 'a' , \"b\" ) "),
            Some(("ref".to_owned(), "a|b".to_owned()))
        );
        assert_eq!(
            read("source('a','b')"),
            Some(("source".to_owned(), "a|b".to_owned()))
        );
        assert_eq!(read("ref(a)"), None);
        assert_eq!(read("ref('a') ~ ')'"), None);
        assert_eq!(read("ref('a', v=1)"), None);
        assert_eq!(read("plain"), None);
    }

    #[test]
    fn the_judged_node_is_read_back_from_its_text() {
        for (call, function, names) in [
            ("ref('orders')", "ref", vec!["orders"]),
            ("source('s', 't')", "source", vec!["s", "t"]),
        ] {
            let text = judged_text(call);
            let read = judged_call(&text).expect("it was written so");
            assert_eq!(
                (read.0, read.1),
                (
                    function,
                    names.iter().map(|name| (*name).to_owned()).collect()
                )
            );
        }
        assert_eq!(judged_call("{{ ref('orders') }}"), None);
        assert_eq!(judged_call("{{ get_where_subquery(ref('a')) }} x"), None);
        assert_eq!(judged_call("{{ get_where_subquery(ref('a'), 1) }}"), None);
    }
}
