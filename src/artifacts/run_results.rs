//! `run_results.json`, schema v6.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::{Map, Value as Json};

use super::{Invocation, instant, write_document};
use crate::executor::event::{NodeResult, NodeStatus};
use crate::manifest::ResourceType;
use crate::microbatch::{BatchResults, iso_bounds};

const SCHEMA: &str = "https://schemas.getdbt.com/dbt/run-results/v6.json";

/// Writes `run_results.json`; `args` holds the command's flags by dbt's names, `which` among them.
///
/// # Errors
/// Whatever the file system says.
pub fn write_run_results(
    path: &Path,
    invocation: &Invocation<'_>,
    results: &[Arc<NodeResult>],
    elapsed: Duration,
    args: &Map<String, Json>,
) -> io::Result<()> {
    let document = RunResults {
        metadata: Metadata(invocation),
        results: results.iter().map(|result| shape(result)).collect(),
        elapsed_time: elapsed.as_secs_f64(),
        args,
    };
    write_document(path, &invocation.redactor, &document)
}

#[derive(Serialize)]
struct RunResults<'a> {
    metadata: Metadata<'a>,
    results: Vec<ResultShape<'a>>,
    elapsed_time: f64,
    args: &'a Map<String, Json>,
}

struct Metadata<'a>(&'a Invocation<'a>);

impl Serialize for Metadata<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.0.serialize_into(&mut map, SCHEMA)?;
        map.end()
    }
}

#[derive(Serialize)]
struct ResultShape<'a> {
    status: &'static str,
    timing: Vec<TimingShape>,
    thread_id: &'a str,
    execution_time: f64,
    adapter_response: ResponseShape<'a>,
    message: Option<&'a str>,
    failures: Option<i64>,
    unique_id: &'a str,
    compiled: Option<bool>,
    compiled_code: Option<&'a str>,
    relation_name: Option<&'a str>,
    batch_results: Option<BatchesShape<'a>>,
}

/// The batches of a microbatch model: pairs of their bounds.
struct BatchesShape<'a>(&'a BatchResults);

impl Serialize for BatchesShape<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let BatchResults { successful, failed } = self.0;
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("successful", &iso_bounds(successful))?;
        map.serialize_entry("failed", &iso_bounds(failed))?;
        map.end()
    }
}

#[derive(Serialize)]
struct TimingShape {
    name: &'static str,
    started_at: String,
    completed_at: String,
}

#[derive(Serialize)]
struct ResponseShape<'a> {
    #[serde(rename = "_message", skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rows_affected: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    query_id: Option<&'a str>,
}

fn shape(result: &NodeResult) -> ResultShape<'_> {
    let node = &result.node;
    // dbt compiles no seeds, and says so by null.
    let is_seed = node.resource_type == ResourceType::Seed;
    let phases = [("compile", result.compile), ("execute", result.execute)];
    ResultShape {
        status: result.status.as_str(),
        timing: phases
            .into_iter()
            .filter_map(|(name, phase)| {
                let (started_at, completed_at) = phase?;
                Some(TimingShape {
                    name,
                    started_at: system_instant(started_at),
                    completed_at: system_instant(completed_at),
                })
            })
            .collect(),
        thread_id: &result.thread,
        execution_time: result.elapsed.as_secs_f64(),
        adapter_response: ResponseShape {
            message: match result.status {
                NodeStatus::Success if result.batch_results.is_none() => result.message.as_deref(),
                _ => result.response_code.as_deref(),
            },
            code: result.response_code.as_deref(),
            rows_affected: result.rows_affected,
            query_id: result.query_id.as_deref(),
        },
        message: result.message.as_deref(),
        failures: result.failures,
        unique_id: node.unique_id.as_str(),
        compiled: (!is_seed).then_some(result.compiled_code.is_some()),
        compiled_code: result.compiled_code.as_deref(),
        relation_name: node.relation.as_deref().filter(|_| !is_seed),
        batch_results: result.batch_results.as_ref().map(BatchesShape),
    }
}

fn system_instant(at: SystemTime) -> String {
    // A clock outside of jiff's years is as good as none.
    instant(Timestamp::try_from(at).unwrap_or(Timestamp::UNIX_EPOCH))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::dialect::DUCKDB;
    use crate::executor::event::NodeFacts;
    use crate::manifest::fixture;

    fn result(id: &str, status: NodeStatus) -> NodeResult {
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_323_045);
        let phase = Some((start, start + Duration::from_millis(250)));
        NodeResult {
            node: Arc::new(NodeFacts::new(&fixture::node(id, &[]), &DUCKDB)),
            status,
            message: None,
            diagnostic: None,
            failures: None,
            rows_affected: None,
            response_code: None,
            query_id: None,
            compiled_code: None,
            compiled_path: None,
            inlined: Vec::new(),
            compile: phase,
            execute: phase,
            thread: "Thread-1".to_owned(),
            elapsed: Duration::from_millis(500),
            batch_results: None,
            waiting: Vec::new(),
            lacks: None,
        }
    }

    fn results() -> Vec<Arc<NodeResult>> {
        let mut seed = result("seed.shop.raw_orders", NodeStatus::Success);
        seed.message = Some("INSERT 2".to_owned());
        seed.response_code = Some("INSERT".to_owned());
        seed.rows_affected = Some(2);
        let mut model = result("model.shop.orders", NodeStatus::Success);
        model.message = Some("SELECT 2".to_owned());
        model.response_code = Some("SELECT".to_owned());
        model.query_id = Some("01b2".to_owned());
        model.compiled_code = Some("select 1".into());
        let mut test = result("test.shop.no_refunds", NodeStatus::Fail);
        test.message = Some("Got 3 results, configured to fail if != 0".to_owned());
        test.failures = Some(3);
        test.compiled_code = Some("select 0".into());
        let mut skipped = result("model.shop.after", NodeStatus::Skipped);
        (skipped.compile, skipped.execute) = (None, None);
        [seed, model, test, skipped].map(Arc::new).to_vec()
    }

    #[test]
    fn run_results_have_the_shape_of_schema_6() {
        let environment = BTreeMap::new();
        let at = "2026-01-02T03:04:05Z".parse().expect("an instant");
        let invocation = Invocation {
            redactor: crate::secrets::Redactor::default(),
            id: "00000000-0000-0000-0000-000000000000",
            started_at: at,
            generated_at: at,
            environment: &environment,
        };
        let args = json!({"which": "build", "threads": 4});
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("run_results.json");
        let args = args.as_object().expect("an object");
        let elapsed = Duration::from_secs(2);
        write_run_results(&path, &invocation, &results(), elapsed, args).expect("it is written");
        let text = std::fs::read_to_string(&path).expect("it is there");
        let json: Json = serde_json::from_str(&text).expect("JSON");
        insta::assert_snapshot!(serde_json::to_string_pretty(&json).expect("JSON"));
    }
}
