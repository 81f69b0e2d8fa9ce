//! `compile`: SQL into the target folder, and to the terminal where nodes were named.

use std::sync::Arc;

use serde_json::json;

use super::super::args::{CompileArgs, Output};
use super::super::pipeline::{self, Parsed, TemplateFlags};
use super::{CommandResult, Invocation, Outcome, work};
use crate::diagnostic::Diagnostic;
use crate::executor::compile::{Shown, compile as compile_node};
use crate::executor::event::{self, Event, NodeFacts, NodeResult};
use crate::executor::run;
use crate::executor::session::{Session, SessionShared};
use crate::manifest::{Node, ResourceType};
use crate::planner::Work;

/// `compile`.
///
/// # Errors
/// What is wrong with the user's input.
pub fn compile(invocation: &Invocation, args: CompileArgs) -> CommandResult {
    let settings = &invocation.settings;
    let report = |event| invocation.report(event);
    let flags = TemplateFlags {
        full_refresh: settings.full_refresh(args.refresh.full_refresh),
        ..TemplateFlags::default()
    };
    let parsed = pipeline::parse(settings, flags, &report)?;
    if let Some(text) = &args.inline {
        let shared = invocation.sessions(&parsed)?;
        pipeline::write_manifest(invocation, &parsed)?;
        let started = std::time::Instant::now();
        let node = inline_node(&parsed, text)?;
        let sql = compile_one(&parsed, &shared, &node).map_err(|wrong| vec![*wrong])?;
        let compiled = [(node, Arc::clone(&sql))];
        write_results(invocation, &parsed, &compiled, started.elapsed())?;
        print(invocation, None, &sql, args.output);
        return Ok(Outcome::Success);
    }
    let kinds = [
        ResourceType::Model,
        ResourceType::Test,
        ResourceType::Analysis,
    ];
    let selected = pipeline::select(
        &parsed,
        settings,
        &args.select,
        &args.types,
        &kinds,
        &report,
    )?;
    let (results, interrupted) = work::carry_out_plan(
        invocation,
        &parsed,
        &selected,
        work::WorkOrder {
            work: Work::Compile,
            threads: args.work.threads,
            ask: work::clock(invocation, &parsed, &args.clock)?,
            lock_timeout: std::time::Duration::ZERO,
        },
    )?;
    if !args.select.select.is_empty() {
        for result in &results {
            let named = result.node.resource_type != ResourceType::Test || results.len() == 1;
            if let Some(sql) = result.compiled_code.as_ref().filter(|_| named) {
                print(invocation, Some(&result.node.name), sql, args.output);
            }
        }
    }
    let failed = interrupted || results.iter().any(|result| result.status.is_failure());
    parsed.leave();
    Ok(if failed {
        Outcome::Failed
    } else {
        Outcome::Success
    })
}

/// Compiles a node on a session of its own.
///
/// # Errors
/// As [`compile_node`].
pub fn compile_one(
    parsed: &Parsed,
    shared: &Arc<SessionShared>,
    node: &Arc<Node>,
) -> Result<Arc<str>, Box<Diagnostic>> {
    let session = Arc::new(Session::new(Arc::clone(shared)).map_err(pipeline::no_session)?);
    session.begin_node(&parsed.project, Some(node));
    let shown = Shown::of(&parsed.project, node);
    Ok(compile_node(&parsed.project, &session, node, &shown)?.sql)
}

/// Makes a node of text from the command line.
///
/// # Errors
/// What is wrong with the text.
pub fn inline_node(parsed: &Parsed, text: &str) -> Result<Arc<Node>, Vec<Diagnostic>> {
    let project = &parsed.project;
    crate::manifest::inline_node(&project.manifest, &project.engine, &project.facts, text)
        .map(Arc::new)
        // dbt's words, which other tools look for.
        .map_err(|wrong| {
            let told = wrong.into_iter();
            told.map(|diagnostic| diagnostic.note("Error parsing inline query"))
                .collect()
        })
}

/// Writes the run results of nodes that were compiled one by one.
///
/// # Errors
/// A file that cannot be written.
fn write_results(
    invocation: &Invocation,
    parsed: &Parsed,
    compiled: &[(Arc<Node>, Arc<str>)],
    elapsed: std::time::Duration,
) -> Result<(), Vec<Diagnostic>> {
    let dialect = parsed.project.facts.dialect;
    let results: Vec<_> = compiled
        .iter()
        .map(|(node, sql)| {
            let facts = Arc::new(NodeFacts::new(node, dialect));
            Arc::new(NodeResult {
                compiled_code: Some(Arc::clone(sql)),
                ..run::empty_result(&facts, "MainThread")
            })
        })
        .collect();
    pipeline::write_run_results(invocation, parsed, &results, elapsed)
}

fn print(invocation: &Invocation, node: Option<&str>, sql: &str, output: Output) {
    let json = output == Output::Json;
    let text = match (json, node) {
        (false, _) => sql.to_owned(),
        (true, Some(node)) => format!("{:#}", json!({"node": node, "compiled": sql})),
        (true, None) => format!("{:#}", json!({"compiled": sql})),
    };
    invocation.report(Event::Output(event::Output::Compiled {
        node: node.map(str::to_owned),
        text,
        json,
    }));
}
