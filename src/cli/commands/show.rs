//! `show`: the rows of a model, a seed, a test or a query, as the database has them now.

use std::sync::Arc;
use std::time::Instant;

use super::super::args::{Output, ShowArgs, TypeArgs};
use super::super::pipeline::{self, Parsed, TemplateFlags};
use super::super::table;
use super::compile::{compile_one, inline_node};
use super::{CommandResult, Invocation, Outcome};
use crate::diagnostic::{Code, Diagnostic};
use crate::executor::event::{self, Event, NodeFacts, NodeResult, NodeStatus};
use crate::executor::run::empty_result;
use crate::executor::schemas::plain_scope;
use crate::executor::session::{Session, SessionShared};
use crate::jinja::port::{Fetch, Transaction};
use crate::jinja::{Value, Warehouse};
use crate::manifest::{Node, ResourceType};
use crate::table::Table;

/// `show`.
///
/// # Errors
/// What is wrong with the user's input, or what the database answered.
pub fn show(invocation: &Invocation, args: ShowArgs) -> CommandResult {
    let settings = &invocation.settings;
    let report = |event| invocation.report(event);
    let flags = TemplateFlags {
        full_refresh: settings.full_refresh(args.refresh.full_refresh),
        ..TemplateFlags::default()
    };
    let parsed = pipeline::parse(settings, flags, &report)?;
    let limit = u64::try_from(args.limit).ok();
    let started = Instant::now();
    if let Some(text) = &args.inline {
        let shared = invocation.sessions(&parsed)?;
        let node = inline_node(&parsed, text)?;
        let (table, result) = match rows_of(&parsed, &shared, &node, limit) {
            Ok(rows) => rows,
            Err(diagnostic) => {
                invocation.report(Event::Diagnostic(Arc::new(*diagnostic)));
                return Ok(Outcome::Failed);
            }
        };
        print(invocation, None, &table, args.output);
        write_results(invocation, &parsed, vec![result], args.limit, started)?;
        return Ok(Outcome::Success);
    }
    if args.select.select.is_empty() {
        // dbt's words, which other tools look for.
        let message = "Either --select or --inline must be passed to show";
        return Err(vec![Diagnostic::error(Code::Usage, message)]);
    }
    let kinds = [
        ResourceType::Model,
        ResourceType::Seed,
        ResourceType::Test,
        ResourceType::Analysis,
    ];
    let types = TypeArgs::default();
    let selected = pipeline::select(&parsed, settings, &args.select, &types, &kinds, &report)?;
    let nodes: Vec<_> = selected
        .iter()
        .filter_map(|id| parsed.project.manifest.nodes.get(id))
        .collect();
    let several = nodes
        .iter()
        .any(|node| node.resource_type != ResourceType::Test);
    let mut outcome = Outcome::Success;
    let mut results = Vec::new();
    let mut opened: Vec<(Option<&Arc<str>>, Arc<SessionShared>)> = Vec::new();
    for node in nodes {
        // The tests that come along with a model are not what was asked for.
        if several && node.resource_type == ResourceType::Test {
            continue;
        }
        let part = parsed.part_of(&node.unique_id);
        let connection = node.connection.as_ref();
        let shared = match opened.iter().find(|(known, _)| *known == connection) {
            Some((_, shared)) => Arc::clone(shared),
            None => {
                let shared = invocation.sessions(part)?;
                opened.push((connection, Arc::clone(&shared)));
                shared
            }
        };
        match rows_of(part, &shared, node, limit) {
            Ok((table, result)) => {
                print(invocation, Some(&node.name), &table, args.output);
                results.push(result);
            }
            Err(diagnostic) => {
                outcome = Outcome::Failed;
                results.push(failed(part, node, &diagnostic));
                invocation.report(Event::Diagnostic(Arc::new(*diagnostic)));
            }
        }
    }
    write_results(invocation, &parsed, results, args.limit, started)?;
    Ok(outcome)
}

/// A node's first rows, and what the artifact says of them.
fn rows_of(
    parsed: &Parsed,
    shared: &Arc<SessionShared>,
    node: &Arc<Node>,
    limit: Option<u64>,
) -> Result<(Table, NodeResult), Box<Diagnostic>> {
    let dialect = parsed.project.facts.dialect;
    let is_seed = node.resource_type == ResourceType::Seed;
    let relation = node.relation.render(dialect);
    let compiled: Arc<str> = match &node.upkeep.partitioning {
        _ if is_seed => format!("select * from {relation}").into(),
        // Its query belongs to a batch; what is published is what people want to see.
        Some(cut) => format!("select * from {relation} order by {} desc", cut.field).into(),
        None => compile_one(parsed, shared, node)?,
    };
    let header = node.config.text("sql_header");
    let (sql, table) = limited(parsed, shared, &compiled, header, limit).map_err(|mut wrong| {
        if !is_seed {
            crate::executor::locate::place(&mut wrong, node, Some(&compiled));
        }
        wrong
    })?;
    let mut result = empty_result(&facts_of(parsed, node), "MainThread");
    result.compiled_code = Some(sql.into());
    Ok((table, result))
}

fn facts_of(parsed: &Parsed, node: &Node) -> Arc<NodeFacts> {
    Arc::new(NodeFacts::new(node, parsed.project.facts.dialect))
}

fn failed(parsed: &Parsed, node: &Node, diagnostic: &Diagnostic) -> NodeResult {
    let facts = facts_of(parsed, node);
    NodeResult {
        status: NodeStatus::Error,
        message: Some(facts.failure(diagnostic)),
        ..empty_result(&facts, "MainThread")
    }
}

fn write_results(
    invocation: &Invocation,
    parsed: &Parsed,
    results: Vec<NodeResult>,
    limit: i64,
    started: Instant,
) -> Result<(), Vec<Diagnostic>> {
    let results: Vec<_> = results.into_iter().map(Arc::new).collect();
    let mut args = parsed.project.facts.invocation_args.clone();
    args.insert("limit".to_owned(), limit.into());
    pipeline::write_run_results_of(invocation, parsed, &results, started.elapsed(), &args)
}

/// Fetches the first rows of a query.
///
/// # Errors
/// What the database answered.
pub fn preview(
    parsed: &Parsed,
    shared: &Arc<SessionShared>,
    sql: &str,
    limit: Option<u64>,
) -> Result<Table, Box<Diagnostic>> {
    limited(parsed, shared, sql, None, limit).map(|(_, table)| table)
}

/// The statement that fetches the first rows of a query, and its rows.
fn limited(
    parsed: &Parsed,
    shared: &Arc<SessionShared>,
    sql: &str,
    header: Option<&str>,
    limit: Option<u64>,
) -> Result<(String, Table), Box<Diagnostic>> {
    let project = &parsed.project;
    let session = Arc::new(Session::new(Arc::clone(shared)).map_err(pipeline::no_session)?);
    session.begin_node(project, None);
    let scope = plain_scope(project, &session, Vec::new());
    let nothing = || Value::from(());
    let args = [
        Value::from(sql),
        header.map_or_else(nothing, Value::from),
        limit.map_or_else(nothing, Value::from),
    ];
    let sql = project
        .engine
        .call("get_show_sql", &args, &[], &scope)?
        .to_string();
    let outcome = session.query(&sql, Transaction::AsIs, Fetch::Rows)?;
    Ok((sql, outcome.table))
}

/// Prints rows.
pub fn print(invocation: &Invocation, node: Option<&str>, rows: &Table, output: Output) {
    let json = output == Output::Json;
    let text = if json {
        table::to_json(node, rows)
    } else {
        table::to_text(rows)
    };
    invocation.report(Event::Output(event::Output::Preview {
        node: node.map(str::to_owned),
        text,
        json,
    }));
}
