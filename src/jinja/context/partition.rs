//! `partition`: the partitions that a statement builds, as SQL.

use std::sync::Arc;

use minijinja::Value;

use super::callable::{function, namespace};
use super::node::{Context, Mode, lock};
use crate::jinja::language::{bind, py_str};
use crate::jinja::port::PartitionText;

/// `partition`; `None` where no partitions are built.
pub(super) fn object(context: &Arc<Context>) -> Option<Value> {
    let shown: Arc<dyn PartitionText> = match (&context.partition, context.mode) {
        (Some(shown), _) => Arc::clone(shown),
        // While parsing nobody knows yet whether the node is partitioned.
        (None, Mode::Parse) => Arc::new(Anything),
        (None, _) => return None,
    };
    let collected = Arc::clone(&context.collected);
    Some(namespace("partition", move |name| match name {
        "start" => Some(Value::from(shown.start())),
        "end" => Some(Value::from(shown.end())),
        "date" => {
            lock(&collected).one_by_one = true;
            Some(Value::from(shown.date()))
        }
        "filter" => {
            let shown = Arc::clone(&shown);
            Some(function("partition.filter", move |_, args| {
                let [column] = bind("partition.filter", args, ["column"], 1)?;
                let column = column.map(|column| py_str(&column)).unwrap_or_default();
                Ok(Value::from(shown.filter(&column)))
            }))
        }
        _ => None,
    }))
}

/// What stands for any partition while parsing.
struct Anything;

impl PartitionText for Anything {
    fn start(&self) -> String {
        "cast('1970-01-01' as date)".to_owned()
    }

    fn end(&self) -> String {
        "cast('1970-01-02' as date)".to_owned()
    }

    fn date(&self) -> String {
        self.start()
    }

    fn filter(&self, column: &str) -> String {
        format!("{column} >= {} and {column} < {}", self.start(), self.end())
    }
}
