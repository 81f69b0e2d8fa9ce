//! What a microbatch model's templates see of the batch that is built.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use minijinja::Value;
use serde_json::Value as Json;

use super::modules::datetime;
use crate::jinja::language::{dict, from_json};
use crate::microbatch::{self, Batch, BatchSize};

/// dbt's older names for the batch's bounds, which macros still read from the config.
const START: &str = "__dbt_internal_microbatch_event_time_start";
const END: &str = "__dbt_internal_microbatch_event_time_end";

/// The bounds of a batch as entries of its node's config.
pub fn batch_config(batch: Batch) -> [(String, Json); 2] {
    [(START, batch.start), (END, batch.end)]
        .map(|(key, at)| (key.to_owned(), microbatch::python_text(at).into()))
}

/// `model` with its `batch`, and with the batch's bounds in its config.
pub fn batch_model(model: &Json, size: BatchSize, batch: Batch) -> Value {
    let bounds = [(START, batch.start), (END, batch.end)];
    let shown = dict([
        (Value::from("id"), Value::from(size.id(batch.start))),
        (Value::from("event_time_start"), moment(batch.start)),
        (Value::from("event_time_end"), moment(batch.end)),
    ]);
    let entries = model.as_object().into_iter().flatten();
    let entries = entries.map(|(key, value)| {
        let value = match (key.as_str(), value) {
            ("config", Json::Object(config)) => {
                let own = config
                    .iter()
                    .map(|(key, value)| (Value::from(key.as_str()), from_json(value)));
                let bounds = bounds
                    .iter()
                    .map(|(key, at)| (Value::from(*key), moment(*at)));
                dict(own.chain(bounds))
            }
            _ => from_json(value),
        };
        (Value::from(key.as_str()), value)
    });
    dict(entries.chain([(Value::from("batch"), shown)]))
}

/// The value of a config's key: the bounds of a batch are datetimes, as in dbt.
pub(super) fn config_value(key: &str, value: &Json) -> Value {
    let bound = match (key, value.as_str()) {
        (START | END, Some(text)) => microbatch::parse_iso(text),
        _ => None,
    };
    bound.map_or_else(|| from_json(value), moment)
}

fn moment(at: DateTime) -> Value {
    // UTC has no gaps, so only the calendar's very end is out of reach.
    match at.to_zoned(TimeZone::UTC) {
        Ok(zoned) => datetime::aware(&zoned),
        Err(_) => datetime::naive(at),
    }
}
