//! `run_results.json`, schema v6.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::{Map, Value as Json};

use super::{Invocation, instant};
use crate::executor::event::{NodeResult, NodeStatus};
use crate::files::write_atomic;
use crate::manifest::ResourceType;

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
    write_atomic(path, |writer| Ok(serde_json::to_writer(writer, &document)?))
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
    batch_results: Option<()>,
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
                NodeStatus::Success => result.message.as_deref(),
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
        batch_results: None,
    }
}

fn system_instant(at: SystemTime) -> String {
    // A clock outside of jiff's years is as good as none.
    instant(Timestamp::try_from(at).unwrap_or(Timestamp::UNIX_EPOCH))
}
