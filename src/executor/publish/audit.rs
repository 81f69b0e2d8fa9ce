//! The tests that judge what is about to be published, and tests that read files.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::calendar::{Mapping, PartitionRange};
use crate::diagnostic::{Code, Diagnostic};
use crate::executor::compile::Shown;
use crate::executor::event::{NodeFacts, NodeResult, NodeStatus};
use crate::executor::node::run_shown;
use crate::executor::reads::{BatchView, Built, Narrowed, Narrowing, inlined_sources};
use crate::executor::run::empty_result;
use crate::executor::session::Session;
use crate::executor::stage;
use crate::manifest::{Node, UniqueId};
use crate::planner::Work;

use super::{Desk, Job, Trouble};

/// Runs the tests of what is about to be published, in its transaction.
pub(super) fn judge(
    desk: &Desk,
    session: &Arc<Session>,
    job: &Job,
) -> Result<BTreeMap<UniqueId, NodeResult>, Box<Diagnostic>> {
    let mut audits = BTreeMap::new();
    for test in &job.audits {
        let facts = Arc::new(NodeFacts::new(test, desk.project.facts.dialect));
        let result = run_judging(desk, session, test, &facts, Some(job));
        session.begin_node(&desk.project, Some(&job.node));
        let broken = !session.in_transaction();
        audits.insert(test.unique_id.clone(), result);
        if broken {
            break;
        }
    }
    Ok(audits)
}

/// Runs a test, for which the files of sources that it reads are loaded.
pub fn run_test(
    desk: &Desk,
    session: &Arc<Session>,
    test: &Arc<Node>,
    facts: &Arc<NodeFacts>,
) -> NodeResult {
    run_judging(desk, session, test, facts, None)
}

pub(super) fn run_judging(
    desk: &Desk,
    session: &Arc<Session>,
    test: &Arc<Node>,
    facts: &Arc<NodeFacts>,
    job: Option<&Job>,
) -> NodeResult {
    let project = &desk.project;
    let shown = match test_view(desk, session, test, job) {
        Ok(Some(view)) => Shown::of_partitions(project, test, view),
        Ok(None) => Shown::of(project, test),
        Err(diagnostic) => {
            return NodeResult {
                status: NodeStatus::Error,
                message: Some(facts.failure(&diagnostic)),
                diagnostic: Some(Arc::new(*diagnostic)),
                ..empty_result(facts, session.thread())
            };
        }
    };
    let turn = (test, &shown);
    run_shown(project, session, turn, facts, Work::Test, session.thread())
}

/// What a test reads otherwise than the database holds it: the files of sources, and of the model that
/// it judges no partition that is still to be built anew.
pub(super) fn test_view(
    desk: &Desk,
    session: &Arc<Session>,
    test: &Node,
    job: Option<&Job>,
) -> Result<Option<BatchView>, Box<Diagnostic>> {
    let mut reads = BTreeMap::new();
    let mut built = None;
    for id in &test.depends_on {
        let Some(source) = desk.files.get(id) else {
            continue;
        };
        let reader = stage::StagedFor::Test;
        let staged = stage::load(&desk.project, session, &source.files, source.due, reader)?;
        reads.insert((id.clone(), Mapping::All), Narrowed::Staged(staged));
        built.get_or_insert((&source.cut, source.due));
    }
    let mut inlined = BTreeMap::new();
    for id in inlined_sources(&desk.project.manifest, test) {
        if let Some(source) = desk.files.get(&id) {
            let reader = stage::StagedFor::Test;
            let staged = stage::load(&desk.project, session, &source.files, source.due, reader)?;
            inlined.insert(id, staged);
            built.get_or_insert((&source.cut, source.due));
        }
    }
    if let Some(job) = job
        && let Some(cut) = &job.cut
    {
        let built_now = |part: &i32| job.parts.iter().any(|built| built.part.partition == *part);
        let ranges = ranges(job.outdated.iter().copied().filter(|part| !built_now(part)));
        if !ranges.is_empty() {
            let predicates: Vec<String> = ranges
                .into_iter()
                .map(|range| format!("({})", cut.predicate(&cut.field, range)))
                .collect();
            let visible = format!("not coalesce({}, false)", predicates.join(" or "));
            let key = (job.node.unique_id.clone(), Mapping::All);
            reads.insert(key, Narrowed::Where(visible));
            built.get_or_insert((cut, job.range()));
        }
    }
    Ok(built.map(|(cut, range)| BatchView {
        narrowing: Arc::new(Narrowing::new(reads).with_inlined(inlined)),
        built: Arc::new(Built {
            cut: Arc::clone(cut),
            range,
        }),
    }))
}

/// Ascending partitions as ranges without gaps.
pub(super) fn ranges(parts: impl Iterator<Item = i32>) -> Vec<PartitionRange> {
    let mut ranges: Vec<PartitionRange> = Vec::new();
    for part in parts {
        match ranges.last_mut() {
            Some(range) if range.last.saturating_add(1) == part => range.last = part,
            _ => ranges.push(PartitionRange::one(part)),
        }
    }
    ranges
}

pub(super) fn refuse(audits: &BTreeMap<UniqueId, NodeResult>) -> Result<(), Trouble> {
    let bad: Vec<String> = audits
        .values()
        .filter(|result| result.status.is_failure())
        .map(|result| {
            let message = result.message.clone().unwrap_or_default();
            let first = message.lines().next().unwrap_or_default().to_owned();
            format!("`{}`: {first}", result.node.name)
        })
        .collect();
    match bad.is_empty() {
        true => Ok(()),
        false => Err(Trouble::Refused(bad.join("; "))),
    }
}

/// Says that something lost all of its rows.
pub(super) fn empty(what: &str) -> Diagnostic {
    let message = format!("{what} had rows and would be empty");
    let error = Diagnostic::error(Code::Database, message);
    error.help("look at what it reads; `allow_empty: true` lets it be")
}
