//! What statements leave behind: `store_result`, `load_result`, `write`, and the rows of a seed.

use std::fmt;
use std::sync::Arc;

use minijinja::Value;
use minijinja::value::{DynObject, Object, ObjectRepr};

use super::callable::{function, given, text};
use super::node::{Context, lock};
use super::table::{as_table, row_values, table_value};
use crate::diagnostic::{Code, Diagnostic};
use crate::jinja::language::{bind, dict, list, py_str, raise, tuple};
use crate::jinja::port::QueryOutcome;
use crate::table::Table;

/// A database's response in a template; it prints as its message.
pub(super) struct Response(pub QueryOutcome);

/// Makes the value of a response; the rows are left out.
pub(super) fn response_value(outcome: &QueryOutcome) -> Value {
    Value::from_object(Response(QueryOutcome {
        table: Table::default(),
        ..outcome.clone()
    }))
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl Object for Response {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let response = &self.0;
        let optional = |text: &Option<String>| text.as_deref().map_or(Value::from(()), Value::from);
        Some(match key.as_str()? {
            "_message" | "message" => Value::from(response.message.as_str()),
            "code" => Value::from(response.code.as_str()),
            "rows_affected" => response.rows_affected.map_or(Value::from(()), Value::from),
            "query_id" => optional(&response.query_id),
            _ => return None,
        })
    }

    fn custom_cmp(self: &Arc<Self>, other: &DynObject) -> Option<std::cmp::Ordering> {
        Some(
            self.0
                .message
                .cmp(&other.downcast_ref::<Response>()?.0.message),
        )
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

fn outcome_of(response: Option<&Value>) -> QueryOutcome {
    match response.and_then(|value| value.downcast_object_ref::<Response>()) {
        Some(Response(outcome)) => outcome.clone(),
        None => QueryOutcome {
            message: response.map(py_str).unwrap_or_default(),
            ..QueryOutcome::default()
        },
    }
}

fn store(context: &Context, name: String, mut outcome: QueryOutcome, table: Option<&Value>) {
    let rows = table.and_then(as_table);
    let data = rows.as_ref().map_or_else(Vec::new, |table| {
        (0..table.rows.len())
            .map(|index| tuple(row_values(table, index)))
            .collect()
    });
    let shown = dict([
        (Value::from("response"), response_value(&outcome)),
        (Value::from("data"), list(data)),
        (
            Value::from("table"),
            table
                .cloned()
                .unwrap_or_else(|| table_value(Arc::default())),
        ),
    ]);
    if let Some(rows) = rows {
        outcome.table = Table::clone(&rows);
    }
    lock(&context.state.results).insert(name.clone(), outcome);
    lock(&context.made.results).insert(name, shown);
}

/// `store_result(name, response, agate_table)`.
pub(super) fn store_result(context: &Arc<Context>) -> Value {
    let context = Arc::clone(context);
    function("store_result", move |_, args| {
        let [name, response, table] =
            bind("store_result", args, ["name", "response", "agate_table"], 2)?;
        let name = text(name.as_ref()).unwrap_or_default();
        store(&context, name, outcome_of(response.as_ref()), given(&table));
        Ok(Value::from(""))
    })
}

/// `store_raw_result(name, message, code, rows_affected, agate_table)`.
pub(super) fn store_raw_result(context: &Arc<Context>) -> Value {
    let context = Arc::clone(context);
    function("store_raw_result", move |_, args| {
        let [name, message, code, rows_affected, table] = bind(
            "store_raw_result",
            args,
            ["name", "message", "code", "rows_affected", "agate_table"],
            1,
        )?;
        let outcome = QueryOutcome {
            message: text(message.as_ref()).unwrap_or_default(),
            code: text(code.as_ref()).unwrap_or_default(),
            rows_affected: given(&rows_affected)
                .and_then(Value::as_i64)
                .and_then(|rows| u64::try_from(rows).ok()),
            ..QueryOutcome::default()
        };
        let name = text(name.as_ref()).unwrap_or_default();
        store(&context, name, outcome, given(&table));
        Ok(Value::from(""))
    })
}

/// `load_result(name)`: a dict of `response`, `data` and `table`; none where nothing was stored.
///
/// As in dbt, a result is taken once, but for `main`.
pub(super) fn load_result(context: &Arc<Context>) -> Value {
    let context = Arc::clone(context);
    function("load_result", move |_, args| {
        let [name] = bind("load_result", args, ["name"], 1)?;
        let name = text(name.as_ref()).unwrap_or_default();
        let mut results = lock(&context.made.results);
        let Some(kept) = results.get_mut(&name) else {
            return Ok(Value::from(()));
        };
        if kept.is_undefined() {
            let message = format!(
                "The 'statement' result named '{name}' has already been loaded into a variable"
            );
            return Err(raise(Diagnostic::error(Code::CompilerError, message)));
        }
        Ok(match name.as_str() {
            "main" => kept.clone(),
            _ => std::mem::replace(kept, Value::UNDEFINED),
        })
    })
}

/// `write(text)`: what was run, for the file under the target folder.
pub(super) fn write(context: &Arc<Context>) -> Value {
    let context = Arc::clone(context);
    function("write", move |_, args| {
        let [payload] = bind("write", args, ["payload"], 1)?;
        *lock(&context.state.written) = text(payload.as_ref()).map(|text| text.trim().to_owned());
        Ok(Value::from(""))
    })
}

/// `load_agate_table()`: the rows of the seed.
pub(super) fn load_agate_table(context: &Arc<Context>) -> Value {
    let context = Arc::clone(context);
    function("load_agate_table", move |_, _| {
        context
            .warehouse
            .seed_rows()
            .map(table_value)
            .map_err(|diagnostic| raise(*diagnostic))
    })
}
