//! What has one partition: its materialization, inside the transaction that records it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value as Json;

use crate::calendar::PartitionRange;
use crate::diagnostic::{Code, Diagnostic};
use crate::executor::compile::{Shown, node_scope};
use crate::executor::event::NodeResult;
use crate::executor::heartbeat::pause;
use crate::executor::node::run_shown;
use crate::executor::reads::{BatchView, Built};
use crate::executor::schemas;
use crate::executor::session::Session;
use crate::jinja::Warehouse;
use crate::jinja::context::relation_value;
use crate::jinja::language::list;
use crate::ledger;
use crate::manifest::partitioning::ContentHash;
use crate::manifest::{Node, ResourceType};
use crate::planner::Work;
use crate::planner::board::ALL;
use crate::planner::items::is_passed_through;

use super::audit::{empty, judge, refuse, stage_audits};
use super::content::{ColumnOrder, Content, columns_number, stored_whole};
use super::hooks::{self, Outside};
use super::partitions::{Own, narrowing};
use super::record::{Claim, intend, record};
use super::{
    Attempted, Desk, Job, Part, Published, Trouble, begin, fetch, none_judged, take_numbers, text,
};

/// Builds what has one partition by its materialization, inside the transaction that records it.
pub(super) fn publish_whole(
    desk: &Desk,
    session: &Arc<Session>,
    job: &Job,
    fence: Option<i64>,
    result: &mut NodeResult,
) -> Attempted {
    let project = &desk.project;
    let dialect = project.facts.dialect;
    let node = with_todays_query(job);
    let shown = shown_whole(desk, session, job, &node).map_err(none_judged)?;
    let (scope, _) = node_scope(project, session, &job.node, &shown, Vec::new());
    hooks::before(desk, session, &scope, &job.node, Outside::Marked).map_err(none_judged)?;
    if !dialect.transactional_ddl && !is_passed_through(&job.node) {
        // Before the numbers are taken: what comes last counts.
        intend(desk, session, job, fence).map_err(none_judged)?;
    }
    stage_audits(desk, session, job).map_err(none_judged)?;
    let mut claim = Claim {
        fence,
        numbers: take_numbers(desk, session, job).map_err(none_judged)?,
        started: jiff::Timestamp::now(),
        query_id: None,
        outside: Outside::Marked,
        columns: None,
    };
    pause(project, "before-begin");
    if dialect.transactional_ddl {
        begin(desk, session, job).map_err(none_judged)?;
    }
    let facts = Arc::clone(&result.node);
    let node = hooks::without_outside(&node);
    let built = run_shown(
        project,
        session,
        (&node, &shown),
        &facts,
        Work::Build,
        session.thread(),
    );
    session.begin_node(project, Some(&job.node));
    claim.query_id.clone_from(&built.query_id);
    let failed = built.status.is_failure();
    *result = built;
    if failed {
        let diagnostic = result.diagnostic.take().map_or_else(
            || Diagnostic::error(Code::Internal, "it failed without a word"),
            |diagnostic| Diagnostic::clone(&diagnostic),
        );
        return Err(none_judged(Box::new(diagnostic)));
    }
    // A hook inside may have ended it.
    session.begin().map_err(none_judged)?;
    session.hold();
    pause(project, "after-insert");
    let audits = judge(desk, session, job).map_err(none_judged)?;
    let judged = |trouble: Trouble| (trouble, audits.clone());
    refuse(&audits).map_err(judged)?;
    pause(project, "after-audits");
    let content = whole_content(desk, session, job, result)
        .map_err(|diagnostic| judged(Trouble::Failed(diagnostic)))?;
    let rows = may_be_published(job, &content).map_err(judged)?;
    let columns = whole_columns(desk, session, job);
    claim.columns = columns.map_err(|wrong| judged(Trouble::Failed(wrong)))?;
    let records = record(desk, session, job, &content, &claim).map_err(judged)?;
    desk.columns.forget();
    let published = Published {
        records,
        audits,
        rows,
        columns: claim.columns,
    };
    hooks::after(desk, session, &scope, job, Outside::Marked, published)
}

/// The number of rows, unless they are gone and that is suspicious.
pub(super) fn may_be_published(job: &Job, content: &Content) -> Result<u64, Trouble> {
    let rows = content.get(&ALL).map_or(0, |(rows, _)| rows.unsigned_abs());
    let may_be_empty = job.node.config.get("allow_empty");
    let may_be_empty = may_be_empty.and_then(Json::as_bool).unwrap_or(false);
    let had = job.parts.iter().any(|part| part.had_rows());
    if rows == 0 && had && job.reads_sources && !may_be_empty {
        let empty = empty(&format!("`{}`", job.node.name));
        return Err(Trouble::Failed(Box::new(empty)));
    }
    Ok(rows)
}

/// What tells the columns of what was built from others, where a view shows them.
pub(super) fn whole_columns(
    desk: &Desk,
    session: &Session,
    job: &Job,
) -> Result<Option<i64>, Box<Diagnostic>> {
    if job.columns.is_none() {
        return Ok(None);
    }
    let name = job.node.relation.render(desk.project.facts.dialect);
    let described = fetch(session, &format!("select * from {name} where 1 = 0"))?;
    Ok(Some(columns_number(&described, ColumnOrder::Counts)))
}

/// The node to be made anew where it is a view that stores its rows and was made of another query: it
/// would go on with that one, whatever is refreshed.
fn with_todays_query(job: &Job) -> Arc<Node> {
    let keeps_query = matches!(
        job.node.materialization(),
        "materialized_view" | "dynamic_table"
    );
    let is_todays = |part: &Part| part.before.is_some_and(|before| before.code == job.code);
    if !keeps_query || job.parts.iter().all(is_todays) {
        return Arc::clone(&job.node);
    }
    let mut made = Node::clone(&job.node);
    made.config
        .set
        .insert("full_refresh".to_owned(), Json::Bool(true));
    Arc::new(made)
}

/// What the templates of a job's node see of it.
pub(super) fn shown_whole(
    desk: &Desk,
    session: &Arc<Session>,
    job: &Job,
    node: &Arc<Node>,
) -> Result<Shown, Box<Diagnostic>> {
    let view = whole_view(desk, session, job)?;
    Ok(match view {
        Some(view) => Shown::of_partitions(&desk.project, node, view),
        None => Shown::of(&desk.project, node),
    })
}

/// The reads of an unpartitioned model that are loaded from files.
fn whole_view(
    desk: &Desk,
    session: &Arc<Session>,
    job: &Job,
) -> Result<Option<BatchView>, Box<Diagnostic>> {
    let mut reads = job.reads.iter().chain(&job.inlined);
    let Some(first) = reads.find(|read| read.files.is_some()) else {
        return Ok(None);
    };
    let range = PartitionRange::new(first.cut.calendar.begin, i32::MAX);
    Ok(Some(BatchView {
        narrowing: Arc::new(narrowing(desk, session, job, range, Own::Missing)?),
        built: Some(Arc::new(Built {
            cut: Arc::clone(&first.cut),
            range,
        })),
    }))
}

fn stored_rows(desk: &Desk, session: &Arc<Session>, job: &Job) -> Result<i64, Box<Diagnostic>> {
    let scope = schemas::plain_scope(&desk.project, session, Vec::new());
    let relation = relation_value(desk.project.facts.dialect, &job.node.relation);
    let sql = text(
        desk,
        &scope,
        "relation_content",
        &[relation, list(Vec::new())],
    )?;
    let table = fetch(session, &sql)?;
    Ok(table.rows.first().map_or(0, |row| ledger::number(row, 0)))
}

pub(super) fn whole_content(
    desk: &Desk,
    session: &Arc<Session>,
    job: &Job,
    result: &NodeResult,
) -> Result<Content, Box<Diagnostic>> {
    let passes_through = is_passed_through(&job.node);
    let written = result.rows_affected.unwrap_or(0);
    // What is made as a whole was counted by the statement that made it; where DDL alone replaces a
    // table, the reply tells no number, and what grows was only told of what is new.
    let made_whole = desk.project.facts.dialect.transactional_ddl
        && matches!(job.node.materialization(), "table" | "seed");
    let rows = match made_whole || passes_through {
        true => i64::try_from(written).unwrap_or(i64::MAX),
        false => stored_rows(desk, session, job)?,
    };
    let off = job.node.upkeep.content_hash == ContentHash::Off;
    if passes_through || off || !job.hashed {
        return Ok(BTreeMap::from([(ALL, (rows, String::new()))]));
    }
    let grows = job.node.resource_type == ResourceType::Model
        && job.node.materialization() == "incremental"
        && job.parts.iter().any(|part| part.before.is_some());
    if grows && written > 0 {
        return Ok(BTreeMap::from([(ALL, (rows, String::new()))]));
    }
    let scope = schemas::plain_scope(&desk.project, session, Vec::new());
    stored_whole(&desk.project, session, &scope, &desk.hash, &job.node)
}
