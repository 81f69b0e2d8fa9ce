//! The tests that judge what is about to be published, and tests that read files.

use std::collections::{BTreeMap, BTreeSet};
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
use crate::manifest::partitioning::Partitioning;
use crate::manifest::{Node, UniqueId};
use crate::planner::Work;
use crate::relation::Relation;

use super::{Audit, Desk, DueFiles, Job, Trouble, is_of_the_moment};

/// Loads the files of sources that the tests of a job read, where that cannot be done in the transaction
/// in which they judge: a table is made for them, and DDL would commit it.
pub(super) fn stage_audits(
    desk: &Desk,
    session: &Arc<Session>,
    job: &Job,
) -> Result<(), Box<Diagnostic>> {
    if desk.project.facts.dialect.transactional_ddl {
        return Ok(());
    }
    let mut read = BTreeSet::new();
    for Audit { test, .. } in &job.audits {
        read.extend(test.depends_on.iter().cloned());
        read.extend(inlined_sources(&desk.project.manifest, test));
    }
    for source in read.iter().filter_map(|id| desk.files.get(id)) {
        stage_for_test(desk, session, source)?;
    }
    Ok(())
}

/// The table with the rows of a source's files that tests read.
fn stage_for_test(
    desk: &Desk,
    session: &Arc<Session>,
    source: &DueFiles,
) -> Result<Relation, Box<Diagnostic>> {
    let dialect = desk.project.facts.dialect;
    if !dialect.transactional_ddl && session.in_transaction() {
        return Ok(stage::staged_for_test(dialect, &source.files));
    }
    let reader = stage::StagedFor::Test;
    stage::load(&desk.project, session, &source.files, source.due, reader)
}

/// Runs the tests of what is about to be published, in its transaction where one is open.
pub(super) fn judge(
    desk: &Desk,
    session: &Arc<Session>,
    job: &Job,
) -> Result<BTreeMap<UniqueId, NodeResult>, Box<Diagnostic>> {
    let mut audits = BTreeMap::new();
    let in_transaction = session.in_transaction();
    for Audit { test, narrowed } in &job.audits {
        let judged = match narrowed {
            true => Judged::New(job),
            false => Judged::Whole(job),
        };
        let facts = Arc::new(NodeFacts::new(test, desk.project.facts.dialect));
        let result = run_judging(desk, session, test, &facts, Some(judged));
        session.begin_node(&desk.project, Some(&job.node));
        // Then nothing was judged, and nothing is refused.
        if let Some(failure) = result.diagnostic.as_deref()
            && is_of_the_moment(failure.code)
        {
            return Err(Box::new(failure.clone()));
        }
        let broken = in_transaction && !session.in_transaction();
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
    judged: Option<Judged<'_>>,
) -> NodeResult {
    let project = &desk.project;
    let shown = match test_view(desk, session, test, judged) {
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
    judged: Option<Judged<'_>>,
) -> Result<Option<BatchView>, Box<Diagnostic>> {
    let mut reads = BTreeMap::new();
    let mut built = None;
    for id in &test.depends_on {
        let Some(source) = desk.files.get(id) else {
            continue;
        };
        let staged = stage_for_test(desk, session, source)?;
        reads.insert((id.clone(), Mapping::All), Narrowed::Staged(staged));
        built.get_or_insert((&source.cut, source.due));
    }
    let mut inlined = BTreeMap::new();
    for id in inlined_sources(&desk.project.manifest, test) {
        if let Some(source) = desk.files.get(&id) {
            let staged = stage_for_test(desk, session, source)?;
            inlined.insert(id, staged);
            built.get_or_insert((&source.cut, source.due));
        }
    }
    if let Some(judged) = judged {
        let job = judged.job();
        let key = (job.node.unique_id.clone(), Mapping::All);
        let rows = job.cut.as_ref().and_then(|cut| judged.rows(cut));
        if let Some(staged) = &job.staged {
            reads.insert(key, Narrowed::Staged(staged.clone()));
        } else if let Some(rows) = rows {
            reads.insert(key, Narrowed::Where(rows));
        }
        if let Some(cut) = &job.cut {
            built.get_or_insert((cut, job.range()));
        }
    }
    if reads.is_empty() && inlined.is_empty() {
        return Ok(None);
    }
    Ok(Some(BatchView {
        narrowing: Arc::new(Narrowing::new(reads).with_inlined(inlined)),
        built: built.map(|(cut, range)| {
            Arc::new(Built {
                cut: Arc::clone(cut),
                range,
            })
        }),
    }))
}

/// Which rows of the model a test looks at.
#[derive(Clone, Copy)]
pub(super) enum Judged<'j> {
    /// All that would be visible, but for partitions that are still to be built anew.
    Whole(&'j Job),
    /// Those of the job.
    New(&'j Job),
}

impl<'j> Judged<'j> {
    fn job(self) -> &'j Job {
        match self {
            Judged::Whole(job) | Judged::New(job) => job,
        }
    }

    /// The predicate of the rows; `None` for all.
    fn rows(self, cut: &Partitioning) -> Option<String> {
        let any = |parts: &mut dyn Iterator<Item = i32>| {
            let predicates: Vec<String> = ranges(parts)
                .into_iter()
                .map(|range| format!("({})", cut.predicate(&cut.field, range)))
                .collect();
            predicates.join(" or ")
        };
        let built = |job: &'j Job| job.parts.iter().map(|part| part.part.partition);
        match self {
            Judged::New(job) => Some(any(&mut built(job))),
            Judged::Whole(job) => {
                let built: BTreeSet<i32> = built(job).collect();
                let others = job.outdated.iter().copied();
                let outdated = any(&mut others.filter(|part| !built.contains(part)));
                (!outdated.is_empty()).then(|| format!("not coalesce({outdated}, false)"))
            }
        }
    }
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
