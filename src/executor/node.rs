//! One node's turn: compile it, then do with it what its kind and the command ask.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::compile::{Compiled, Shown, compile, node_scope};
use super::event::{NodeFacts, NodeResult, NodeStatus};
use super::run::empty_result;
use super::session::Session;
use super::{Project, locate, seed};
use crate::diagnostic::{Code, Diagnostic};
use crate::files;
use crate::jinja::language::{MacroInfo, Scope};
use crate::jinja::port::{CacheChange, QueryOutcome, TemplateMessage};
use crate::jinja::{Value, Warehouse, builtin, context};
use crate::manifest::{Node, ResourceType};
use crate::planner::Work;
use crate::source::{SourceFile, Span};
use crate::table::{Datum, Table};

/// Does one node's work, as its templates are shown it; every failure ends in the result.
pub(super) fn run_shown(
    project: &Arc<Project>,
    session: &Arc<Session>,
    (node, shown): (&Arc<Node>, &Shown),
    facts: &Arc<NodeFacts>,
    work: Work,
    thread: &str,
) -> NodeResult {
    let started = Instant::now();
    let mut tried = 0;
    let mut result = loop {
        let mut result = empty_result(facts, thread);
        session.begin_node(project, Some(node));
        let Err(mut diagnostic) = turn(project, session, node, shown, work, &mut result) else {
            break result;
        };
        if tried < MOST_REPEATS && session.may_repeat(&diagnostic) {
            tried += 1;
            repeat_soon(session, node, &diagnostic, tried);
            continue;
        }
        locate::place(&mut diagnostic, node, result.compiled_code.as_deref());
        result.status = NodeStatus::Error;
        result.message = Some(result.node.failure(&diagnostic));
        result.diagnostic = Some(Arc::new(*diagnostic));
        break result;
    };
    // What the node left open is its own: the next one starts afresh. A failure here is the
    // connection's, and the next statement reports it.
    let _ = session.rollback();
    result.elapsed = started.elapsed();
    result
}

/// How often a node is done again whose transaction lost against another one, or its connection.
pub(super) const MOST_REPEATS: u32 = 4;

/// Says so in the log, and waits a little longer each time; not all who met wait alike.
pub(super) fn repeat_soon(session: &Session, node: &Node, diagnostic: &Diagnostic, tried: u32) {
    session.emit(TemplateMessage::Log {
        text: format!(
            "`{}` is done again ({tried} of {MOST_REPEATS}), since nothing of it has lasted: {}",
            node.name, diagnostic.message
        ),
        info: false,
    });
    let spread = node.name.bytes().map(u64::from).sum::<u64>();
    std::thread::sleep(Duration::from_millis((50 << tried) + spread % 100));
}

fn turn(
    project: &Arc<Project>,
    session: &Arc<Session>,
    node: &Arc<Node>,
    shown: &Shown,
    work: Work,
    result: &mut NodeResult,
) -> Result<(), Box<Diagnostic>> {
    let compile_started = SystemTime::now();
    if node.resource_type == ResourceType::Seed {
        result.compile = Some((compile_started, SystemTime::now()));
        return timed(result, |result| {
            build_seed(project, session, node, shown, result)
        });
    }
    let compiled = compile(project, session, node, shown)?;
    result.compile = Some((compile_started, SystemTime::now()));
    write_compiled(project, node, shown, &compiled, result)?;
    if work == Work::Compile {
        return Ok(());
    }
    timed(result, |result| match node.resource_type {
        ResourceType::Test => run_test(project, session, node, shown, &compiled, result),
        _ => build_model(
            project,
            session,
            node,
            &shown.to_materialize(),
            &compiled,
            result,
        ),
    })
}

/// Writes a node's compiled SQL, and says so in its result.
pub(super) fn write_compiled(
    project: &Project,
    node: &Node,
    shown: &Shown,
    compiled: &Compiled,
    result: &mut NodeResult,
) -> Result<(), Box<Diagnostic>> {
    result.compiled_code = Some(Arc::clone(&compiled.sql));
    let path = artifact_path(node, shown);
    write(project, &format!("compiled/{path}"), &compiled.sql)?;
    result.compiled_path = Some(display_path(project, &format!("compiled/{path}")));
    let inlined = compiled.inlined.iter();
    result.inlined = inlined.map(|cte| (cte.node.clone(), cte.text())).collect();
    Ok(())
}

/// Writes the statement that a node ran as its own.
pub(super) fn write_run(
    project: &Project,
    node: &Node,
    shown: &Shown,
    sql: &str,
) -> Result<(), Box<Diagnostic>> {
    write(project, &format!("run/{}", artifact_path(node, shown)), sql)
}

fn timed(
    result: &mut NodeResult,
    work: impl FnOnce(&mut NodeResult) -> Result<(), Box<Diagnostic>>,
) -> Result<(), Box<Diagnostic>> {
    let started = SystemTime::now();
    let outcome = work(result);
    result.execute = Some((started, SystemTime::now()));
    outcome
}

/// Calls a model's materialization, and takes over what its own statement gave.
pub(super) fn build_model(
    project: &Arc<Project>,
    session: &Arc<Session>,
    node: &Arc<Node>,
    shown: &Shown,
    compiled: &Compiled,
    result: &mut NodeResult,
) -> Result<(), Box<Diagnostic>> {
    let main = materialize(project, session, node, shown, Some(compiled))?;
    take_response(result, main);
    Ok(())
}

fn build_seed(
    project: &Arc<Project>,
    session: &Arc<Session>,
    node: &Arc<Node>,
    shown: &Shown,
    result: &mut NodeResult,
) -> Result<(), Box<Diagnostic>> {
    let rows = Arc::new(read_seed(project, node)?);
    let count = rows.rows.len() as u64;
    session.set_seed(rows);
    let main = materialize(project, session, node, shown, None)?;
    take_response(result, main);
    result.rows_affected.get_or_insert(count);
    Ok(())
}

fn run_test(
    project: &Arc<Project>,
    session: &Arc<Session>,
    node: &Arc<Node>,
    shown: &Shown,
    compiled: &Compiled,
    result: &mut NodeResult,
) -> Result<(), Box<Diagnostic>> {
    let main = materialize(project, session, node, shown, Some(compiled))?;
    let table = main.as_ref().map(|main| &main.table);
    let verdict = table.and_then(verdict).ok_or_else(|| {
        let message = "the test's query must return one row with `failures`, `should_warn` and `should_error`";
        Box::new(Diagnostic::error(Code::Database, message))
    })?;
    result.failures = Some(verdict.failures);
    let severity = node.config.text("severity").unwrap_or("error");
    let judged = |what: &str| {
        let condition = node.config.text(what).unwrap_or("!= 0");
        let plural = if verdict.failures == 1 { "" } else { "s" };
        let word = what.trim_end_matches("_if");
        let word = if word == "error" { "fail" } else { word };
        Some(format!(
            "Got {} result{plural}, configured to {word} if {condition}",
            verdict.failures
        ))
    };
    if severity.eq_ignore_ascii_case("error") && verdict.should_error {
        result.status = NodeStatus::Fail;
        result.message = judged("error_if");
    } else if verdict.should_warn {
        result.status = NodeStatus::Warn;
        result.message = judged("warn_if");
    } else {
        result.status = NodeStatus::Pass;
    }
    Ok(())
}

struct Verdict {
    failures: i64,
    should_warn: bool,
    should_error: bool,
}

fn verdict(table: &Table) -> Option<Verdict> {
    let [row] = table.rows.as_slice() else {
        return None;
    };
    let cell = |name: &str| {
        let at = table
            .columns
            .iter()
            .position(|column| column.name.eq_ignore_ascii_case(name))?;
        row.get(at)
    };
    let flag = |name: &str| match cell(name)? {
        Datum::Bool(flag) => Some(*flag),
        Datum::Int(number) => Some(*number != 0),
        Datum::Text(text) => Some(matches!(text.to_lowercase().as_str(), "true" | "t" | "1")),
        _ => None,
    };
    let failures = match cell("failures")? {
        Datum::Int(number) => *number,
        Datum::Decimal(digits) => digits.split('.').next()?.parse().ok()?,
        Datum::Float(number) => *number as i64,
        Datum::Null => 0,
        _ => return None,
    };
    Some(Verdict {
        failures,
        should_warn: flag("should_warn")?,
        should_error: flag("should_error")?,
    })
}

fn take_response(result: &mut NodeResult, main: Option<QueryOutcome>) {
    let Some(main) = main else {
        return;
    };
    result.rows_affected = main.rows_affected;
    result.response_code = Some(main.code);
    result.query_id = main.query_id;
    result.message = Some(main.message);
}

/// Calls the node's materialization; returns what the statement `main` gave.
fn materialize(
    project: &Arc<Project>,
    session: &Arc<Session>,
    node: &Arc<Node>,
    shown: &Shown,
    compiled: Option<&Compiled>,
) -> Result<Option<QueryOutcome>, Box<Diagnostic>> {
    refuse_long_name(project, node)?;
    let name = node.materialization();
    let Some(found) = project.engine.find_materialization(name) else {
        return Err(Box::new(unknown_materialization(project, node, name)));
    };
    let called = format!("{}.{}", found.package, found.name);
    let mut extra = Vec::new();
    if let Some(compiled) = compiled {
        extra.push(("sql", Value::from(Arc::clone(&compiled.sql))));
        extra.push(("compiled_code", Value::from(Arc::clone(&compiled.sql))));
    }
    if let Some(staged) = &shown.staged {
        let staged = context::relation_value(project.facts.dialect, staged);
        extra.push(("staged_relation", staged));
    }
    let hooks_of = |key: &str| context::hook_values(node.config.get(key));
    extra.push(("pre_hooks", hooks_of("pre-hook")));
    extra.push(("post_hooks", hooks_of("post-hook")));
    let (scope, state) = node_scope(project, session, node, shown, extra);
    let returned = in_model_session(
        project,
        &scope,
        |wrong| wrong,
        || project.engine.call(&called, &[], &[], &scope),
    )?;
    for relation in context::materialized_relations(&returned) {
        session.note(CacheChange::Added(relation));
    }
    if let Some(sql) = state.written() {
        write(
            project,
            &format!("run/{}", artifact_path(node, shown)),
            &sql,
        )?;
    }
    Ok(state.result("main"))
}

/// Works while the session is set to what a node's config says of it.
pub(super) fn in_model_session<T, E>(
    project: &Project,
    scope: &Scope,
    refused: impl Fn(Box<Diagnostic>) -> E,
    work: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    if !sets_sessions(project, &scope.package) {
        return work();
    }
    let call = |name, args: &[Value]| project.engine.call(name, args, &[], scope);
    let before = call(BEGIN_SESSION, &[]).map_err(&refused)?;
    let done = work();
    // What was done is done: a failure here is the connection's, and the next statement has it.
    let _ = call(END_SESSION, &[before]);
    done
}

const BEGIN_SESSION: &str = "begin_model_session";
const END_SESSION: &str = "end_model_session";

/// Tells whether the macros around a model's turn do anything: those that every database has do
/// not, and need not be called twice a node.
fn sets_sessions(project: &Project, package: &str) -> bool {
    let engine = &project.engine;
    [BEGIN_SESSION, END_SESSION].into_iter().any(|name| {
        let called = engine.find(package, name);
        let done = engine.find_dispatched(package, name, Some(builtin::PACKAGE));
        let empty = |found: Option<&MacroInfo>| {
            found.is_some_and(|found| *found.package == *builtin::PACKAGE)
        };
        !(empty(called) && empty(done))
    })
}

/// Databases cut names that are too long, so that two relations may become one.
fn refuse_long_name(project: &Project, node: &Node) -> Result<(), Box<Diagnostic>> {
    let Some(max) = project.facts.dialect.max_identifier else {
        return Ok(());
    };
    let name = node.relation.identifier.as_deref().unwrap_or_default();
    let builds = node.resource_type != ResourceType::Test || node.stores_failures();
    if !builds || name.len() <= max {
        return Ok(());
    }
    let message = format!("Relation name '{name}' is longer than {max} characters");
    let diagnostic = Diagnostic::error(Code::CompilerError, message);
    Err(Box::new(diagnostic.help(
        "give the node a shorter `alias`; the database would cut this one",
    )))
}

fn unknown_materialization(project: &Project, node: &Node, name: &str) -> Diagnostic {
    let known: BTreeSet<&str> = project
        .engine
        .macros()
        .iter()
        .filter(|found| found.is_materialization)
        .filter_map(|found| found.name.strip_prefix("materialization_"))
        .filter_map(|found| found.rsplit_once('_').map(|(name, _)| name))
        .collect();
    let message = format!(
        "`{}` asks for the materialization `{name}`, which does not exist",
        node.name
    );
    // It may also have been asked for in YAML; then the node as a whole is pointed at.
    let place = match node.file.text.find(&format!("'{name}'")) {
        Some(at) => Span::new(&node.file, at..at + name.len() + 2),
        None => Span::line(&node.file, 1),
    };
    let mut diagnostic = Diagnostic::error(Code::BadConfig, message).at(place);
    if let Some(near) = crate::diagnostic::nearest(name, known.iter().copied()) {
        diagnostic = diagnostic.help(format!("a materialization named `{near}` exists"));
    } else {
        let known: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
        diagnostic = diagnostic.help(format!("there are {}", known.join(", ")));
    }
    diagnostic
}

/// Reads a seed's file and types its columns.
fn read_seed(project: &Project, node: &Node) -> Result<Table, Box<Diagnostic>> {
    let absolute = &node.file.absolute;
    let bytes = std::fs::read(absolute).map_err(|error| {
        let message = format!("cannot read `{}`: {error}", node.original_path);
        Box::new(Diagnostic::error(Code::Io, message))
    })?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let message = format!("`{}` is not UTF-8 (line {line})", node.original_path);
        Box::new(Diagnostic::error(Code::BadCsv, message).help("save the file as UTF-8"))
    })?;
    let file = Arc::new(SourceFile {
        path: node.original_path.clone(),
        absolute: absolute.clone(),
        text,
    });
    let delimiter = node.config.text("delimiter").unwrap_or(",");
    let &[delimiter] = delimiter.as_bytes() else {
        let message = format!("`delimiter` must be one character, found `{delimiter}`");
        return Err(Box::new(Diagnostic::error(Code::CompilerError, message)));
    };
    let as_text: BTreeSet<String> = match node.config.get("column_types") {
        Some(serde_json::Value::Object(types)) => {
            types.keys().map(|name| name.to_lowercase()).collect()
        }
        _ => BTreeSet::new(),
    };
    seed::read_csv(&file, delimiter, &as_text, project.facts.dialect).map_err(|mut wrong| {
        let mut first = wrong.remove(0);
        for other in wrong {
            if let Some(label) = other.labels.into_iter().next() {
                first = first.label(label.span, other.message);
            }
            first.notes.extend(other.notes);
        }
        Box::new(first)
    })
}

/// The path of a node's SQL below `compiled` and `run`, as dbt lays it out.
fn artifact_path(node: &Node, shown: &Shown) -> String {
    let package = &node.package;
    if let Some(turn) = &shown.turn {
        return format!("{package}/{}", turn.path_of(&node.original_path));
    }
    let generic = node
        .test
        .as_ref()
        .is_some_and(|test| test.generic.is_some());
    if generic {
        format!("{package}/{}/{}", node.original_path, node.path)
    } else {
        format!("{package}/{}", node.original_path)
    }
}

fn display_path(project: &Project, below: &str) -> String {
    let target = project
        .target_path
        .strip_prefix(&project.root)
        .unwrap_or(&project.target_path);
    format!("{}/{below}", target.display())
}

fn write(project: &Project, below: &str, text: &str) -> Result<(), Box<Diagnostic>> {
    let path = project.target_path.join(Path::new(below));
    files::write_text(&path, text).map_err(|error| {
        let message = format!("cannot write `{}`: {error}", path.display());
        Box::new(Diagnostic::error(Code::Io, message))
    })
}
