//! `show`: the rows of a model, a seed, a test or a query, as the database has them now.

use std::sync::Arc;

use super::super::args::{Output, ShowArgs, TypeArgs};
use super::super::pipeline::{self, Parsed, TemplateFlags};
use super::super::table;
use super::compile::{compile_one, inline_node};
use super::{CommandResult, Invocation, Outcome};
use crate::diagnostic::{Code, Diagnostic};
use crate::executor::event::{self, Event};
use crate::executor::schemas::plain_scope;
use crate::executor::session::{Session, SessionShared};
use crate::jinja::port::{Fetch, Transaction};
use crate::jinja::{Value, Warehouse};
use crate::manifest::ResourceType;
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
        store_failures: None,
    };
    let parsed = pipeline::parse(settings, flags, &report)?;
    let shared = invocation.sessions(&parsed)?;
    let limit = u64::try_from(args.limit).ok();
    if let Some(text) = &args.inline {
        let node = inline_node(&parsed, text)?;
        let table = rows_of(&parsed, &shared, &node, limit).map_err(|wrong| vec![*wrong])?;
        print(invocation, None, &table, args.output);
        return Ok(Outcome::Success);
    }
    if args.select.select.is_empty() {
        let wrong = Diagnostic::error(Code::Usage, "`show` needs to know of what to show rows");
        return Err(vec![
            wrong.help("name a node by `--select`, or write a query by `--inline`"),
        ]);
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
    for node in nodes {
        // The tests that come along with a model are not what was asked for.
        if several && node.resource_type == ResourceType::Test {
            continue;
        }
        let rows = if node.resource_type == ResourceType::Seed {
            let relation = node.relation.render(parsed.project.facts.dialect);
            preview(
                &parsed,
                &shared,
                &format!("select * from {relation}"),
                limit,
            )
        } else {
            rows_of(&parsed, &shared, node, limit)
        };
        match rows {
            Ok(table) => print(invocation, Some(&node.name), &table, args.output),
            Err(diagnostic) => {
                outcome = Outcome::Failed;
                invocation.report(Event::Diagnostic(Arc::new(*diagnostic)));
            }
        }
    }
    Ok(outcome)
}

fn rows_of(
    parsed: &Parsed,
    shared: &Arc<SessionShared>,
    node: &Arc<crate::manifest::Node>,
    limit: Option<u64>,
) -> Result<Table, Box<Diagnostic>> {
    let sql = compile_one(parsed, shared, node)?;
    preview(parsed, shared, &sql, limit).map_err(|mut diagnostic| {
        crate::executor::locate::place(&mut diagnostic, node, Some(&sql));
        diagnostic
    })
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
    let project = &parsed.project;
    let session = Arc::new(Session::new(Arc::clone(shared)).map_err(pipeline::no_session)?);
    session.begin_node(project, None);
    let sql = match limit {
        Some(limit) => {
            let scope = plain_scope(project, &session, Vec::new());
            let args = [Value::from(sql), Value::from(limit)];
            let limited = project
                .engine
                .call("get_limit_subquery_sql", &args, &[], &scope)?;
            limited.to_string()
        }
        None => sql.to_owned(),
    };
    let outcome = session.query(&sql, Transaction::AsIs, Fetch::Rows)?;
    Ok(outcome.table)
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
