//! A table that is replaced by DDL, where DDL cannot be undone: it is built under another name, judged
//! there, and put into its place by one statement.
//!
//! ```text
//! build -> audits -> count and hash -> ledger: it is about to be replaced -> replace -> ledger -> fence -> commit
//! ```
//!
//! What is refused was never seen. A crash after the first word of the ledger leaves a table that is stale.

use std::sync::Arc;
use std::time::SystemTime;

use crate::diagnostic::Diagnostic;
use crate::executor::compile::{Compiled, Shown, compile, node_scope};
use crate::executor::event::NodeResult;
use crate::executor::heartbeat::pause;
use crate::executor::node::{self, in_model_session};
use crate::executor::session::Session;
use crate::jinja::context::relation_value;
use crate::jinja::language::Scope;
use crate::jinja::{Value, Warehouse, builtin};
use crate::manifest::ResourceType;

use super::audit::{judge, refuse};
use super::hooks::{self, Outside};
use super::partitions::set_aside;
use super::record::{Claim, intend, record};
use super::whole::{may_be_published, shown_whole, whole_columns, whole_content};
use super::{
    Attempted, Desk, Job, Published, Trouble, moved, none_judged, run, take_numbers, text,
};

/// Tells whether a job is built so: a table that the built-in materialization makes. One of the
/// project's own knows no table that is built already.
pub(super) fn is_staged(desk: &Desk, job: &Job) -> bool {
    let name = job.node.materialization();
    let own = desk.project.engine.find_materialization(name);
    !desk.project.facts.dialect.transactional_ddl
        && job.node.resource_type == ResourceType::Model
        && name == "table"
        && own.is_some_and(|own| *own.package == *builtin::PACKAGE)
}

/// Builds a table aside and publishes it.
pub(super) fn publish_staged(
    desk: &Desk,
    session: &Arc<Session>,
    job: &Job,
    fence: Option<i64>,
    result: &mut NodeResult,
) -> Attempted {
    let shown = shown_whole(desk, session, job, &job.node).map_err(none_judged)?;
    let (scope, _) = node_scope(&desk.project, session, &job.node, &shown, Vec::new());
    in_model_session(&desk.project, &scope, none_judged, || {
        let aside = set_aside(job, desk.project.facts.dialect);
        let name = aside.node.relation.render(desk.project.facts.dialect);
        let published = build_and_replace(
            desk,
            session,
            (job, &aside),
            (&shown, &scope),
            fence,
            result,
        );
        session.release();
        let _ = session.rollback();
        // What cannot be dropped now is replaced by the next build.
        let _ = run(session, &format!("drop table if exists {name}"));
        published
    })
}

fn build_and_replace(
    desk: &Desk,
    session: &Arc<Session>,
    (job, aside): (&Job, &Job),
    (shown, scope): (&Shown, &Scope),
    fence: Option<i64>,
    result: &mut NodeResult,
) -> Attempted {
    let project = &desk.project;
    let started = (jiff::Timestamp::now(), SystemTime::now());
    hooks::before(desk, session, scope, &job.node, Outside::All).map_err(none_judged)?;
    let compiled = compile(project, session, &job.node, shown).map_err(none_judged)?;
    node::write_compiled(project, &job.node, shown, &compiled, result).map_err(none_judged)?;
    result.compile = Some((started.1, SystemTime::now()));
    pause(project, "before-begin");
    let (create, query_id) = create(desk, session, aside, scope, &compiled).map_err(none_judged)?;
    pause(project, "after-insert");
    let audits = judge(desk, session, aside).map_err(none_judged)?;
    let judged = |trouble: Trouble| (trouble, audits.clone());
    let failed = |wrong: Box<Diagnostic>| judged(Trouble::Failed(wrong));
    refuse(&audits).map_err(judged)?;
    pause(project, "after-audits");
    let content = whole_content(desk, session, aside, result).map_err(failed)?;
    let rows = may_be_published(job, &content).map_err(judged)?;
    let columns = whole_columns(desk, session, aside).map_err(failed)?;
    moved(desk, session, job).map_err(judged)?;
    // Before the numbers are taken: what comes last counts.
    intend(desk, session, job, fence).map_err(judged)?;
    let claim = Claim {
        fence,
        numbers: take_numbers(desk, session, job).map_err(failed)?,
        started: started.0,
        query_id,
        outside: Outside::Marked,
        columns,
    };
    pause(project, "before-replace");
    replace(desk, session, (job, aside), shown, &compiled, result).map_err(failed)?;
    node::write_run(project, &job.node, shown, &create).map_err(failed)?;
    result.query_id.clone_from(&claim.query_id);
    pause(project, "after-replace");
    session.begin().map_err(failed)?;
    session.hold();
    let records = record(desk, session, job, &content, &claim).map_err(judged)?;
    desk.columns.forget();
    let published = Published {
        records,
        audits,
        rows,
        columns: claim.columns,
    };
    hooks::after(desk, session, scope, job, Outside::Marked, published)
}

/// Builds the table under its other name; gives the statement, and what the database calls it.
fn create(
    desk: &Desk,
    session: &Session,
    aside: &Job,
    scope: &Scope,
    compiled: &Compiled,
) -> Result<(String, Option<String>), Box<Diagnostic>> {
    let relation = relation_value(desk.project.facts.dialect, &aside.node.relation);
    let arguments = [relation, Value::from(Arc::clone(&compiled.sql))];
    let create = text(desk, scope, "create_or_replace_table_as", &arguments)?;
    let made = run(session, &create)?;
    Ok((create, made.query_id))
}

/// Lets the materialization do the rest: the table is put into its place, with its grants, comments and
/// hooks.
fn replace(
    desk: &Desk,
    session: &Arc<Session>,
    (job, aside): (&Job, &Job),
    shown: &Shown,
    compiled: &Compiled,
    result: &mut NodeResult,
) -> Result<(), Box<Diagnostic>> {
    let node = hooks::without_outside_and_before(&job.node);
    let mut shown = shown.clone();
    shown.staged = aside.staged.clone();
    node::build_model(&desk.project, session, &node, &shown, compiled, result)?;
    session.commit()
}
