//! `on-run-start` and `on-run-end`: statements of the project around the whole run.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use serde_json::json;

use super::Project;
use super::compile::{Shown, node_scope};
use super::event::{NodeFacts, NodeResult, NodeStatus};
use super::run::empty_result;
use super::session::Session;
use crate::diagnostic::Diagnostic;
use crate::jinja::language;
use crate::jinja::port::{Fetch, Transaction};
use crate::jinja::{Value, Warehouse};
use crate::manifest::{Node, ResourceType, UniqueId};
use crate::microbatch::iso_bounds;
use crate::relation::Relation;

/// A hook failed; its result says why.
pub struct HookFailed;

/// Runs the hooks before the first node, in order, until one fails.
pub fn run_start(
    project: &Arc<Project>,
    session: &Arc<Session>,
    selected: &[UniqueId],
    results: &mut Vec<Arc<NodeResult>>,
) -> Result<(), HookFailed> {
    for node in hooks(project, "on-run-start") {
        let result = run_hook(project, session, &node, vec![selected_names(selected)]);
        let failed = result.status.is_failure();
        results.push(Arc::new(result));
        if failed {
            return Err(HookFailed);
        }
    }
    Ok(())
}

/// Runs the hooks after the last node, all of them.
pub fn run_end(
    project: &Arc<Project>,
    session: &Arc<Session>,
    selected: &[UniqueId],
    schemas: BTreeSet<Relation>,
    results: &mut Vec<Arc<NodeResult>>,
) {
    let hooks = hooks(project, "on-run-end");
    if hooks.is_empty() {
        return;
    }
    let ended: Vec<serde_json::Value> = results
        .iter()
        .map(|result| shown(project, result))
        .collect();
    let pairs: Vec<[&str; 2]> = schemas
        .iter()
        .map(|schema| {
            [&schema.database, &schema.schema].map(|part| part.as_deref().unwrap_or_default())
        })
        .collect();
    let names: BTreeSet<&str> = pairs.iter().map(|[_, schema]| *schema).collect();
    let extra = || {
        vec![
            selected_names(selected),
            (
                "results",
                language::from_json(&serde_json::Value::Array(ended.clone())),
            ),
            ("schemas", language::from_json(&json!(names))),
            ("database_schemas", language::from_json(&json!(pairs))),
        ]
    };
    for node in hooks {
        let result = run_hook(project, session, &node, extra());
        results.push(Arc::new(result));
    }
}

fn hooks(project: &Project, moment: &str) -> Vec<Arc<Node>> {
    let mut hooks: Vec<Arc<Node>> = project
        .manifest
        .nodes
        .values()
        .filter(|node| node.resource_type == ResourceType::Operation && is_of(node, moment))
        .cloned()
        .collect();
    let root = &project.manifest.project;
    // Packages' hooks come first, the root project's last, each in the order of its file.
    hooks.sort_by_key(|node| (node.package == *root, Arc::clone(&node.package), node.index));
    hooks
}

/// Tells by its name which hook an operation is, such as `shop-on-run-end-0`.
fn is_of(node: &Node, moment: &str) -> bool {
    let rest = node.name.strip_prefix(&*node.package);
    rest.and_then(|rest| rest.strip_prefix('-'))
        .and_then(|rest| rest.rsplit_once('-'))
        .is_some_and(|(name, _)| name == moment)
}

fn run_hook(
    project: &Arc<Project>,
    session: &Arc<Session>,
    node: &Arc<Node>,
    extra: Vec<(&'static str, Value)>,
) -> NodeResult {
    let started = (Instant::now(), SystemTime::now());
    let facts = Arc::new(NodeFacts::new(node, project.facts.dialect));
    let mut result = empty_result(&facts, "MainThread");
    session.begin_node(project, Some(node));
    let outcome = send(project, session, node, extra);
    // As after a node: what is still open belongs to nobody.
    let _ = session.rollback();
    result.execute = Some((started.1, SystemTime::now()));
    result.elapsed = started.0.elapsed();
    match outcome {
        Ok(message) => result.message = Some(message),
        Err(diagnostic) => {
            result.status = NodeStatus::Error;
            result.message = Some(result.node.failure(&diagnostic));
            result.diagnostic = Some(Arc::new(*diagnostic));
        }
    }
    result
}

fn send(
    project: &Arc<Project>,
    session: &Arc<Session>,
    node: &Arc<Node>,
    extra: Vec<(&'static str, Value)>,
) -> Result<String, Box<Diagnostic>> {
    let shown = Shown::of(project, node);
    let (scope, _) = node_scope(project, session, node, &shown, extra);
    let template = project.engine.compile(&node.file)?;
    let sql = project.engine.render(&template, &scope)?;
    if sql.trim().is_empty() {
        return Ok("OK".to_owned());
    }
    let outcome = session.query(&sql, Transaction::AsIs, Fetch::Nothing)?;
    session.commit()?;
    Ok(outcome.message)
}

fn selected_names(selected: &[UniqueId]) -> (&'static str, Value) {
    let names: Vec<&str> = selected.iter().map(UniqueId::as_str).collect();
    ("selected_resources", language::from_json(&json!(names)))
}

/// What a hook sees of a result, in dbt's words.
fn shown(project: &Project, result: &NodeResult) -> serde_json::Value {
    let node = project.manifest.nodes.get(&result.node.unique_id);
    let batches = result.batch_results.as_ref().map(|batches| {
        json!({
            "successful": iso_bounds(&batches.successful),
            "failed": iso_bounds(&batches.failed),
        })
    });
    json!({
        "status": result.status.as_str(),
        "message": result.message,
        "failures": result.failures,
        "unique_id": result.node.unique_id.as_str(),
        "execution_time": result.elapsed.as_secs_f64(),
        "thread_id": result.thread,
        "adapter_response": {
            "_message": result.message,
            "code": result.response_code,
            "rows_affected": result.rows_affected,
        },
        "batch_results": batches,
        "node": node.map(|node| project.node_json(node)),
    })
}
