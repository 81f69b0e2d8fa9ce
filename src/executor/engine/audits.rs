//! The tests that judge partitions before they are published: which they are, which of them need look
//! at the new partitions only, and which need not run at all.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::Engine;
use crate::calendar::PartitionRange;
use crate::executor::compile::{Shown, compile};
use crate::executor::event::{NodeFacts, NodeResult, NodeStatus};
use crate::executor::publish::Audit;
use crate::executor::run::empty_result;
use crate::executor::session::Session;
use crate::executor::{Project, fingerprint};
use crate::graph::{Graph, Walk};
use crate::ledger::{self, TestRow};
use crate::manifest::{Node, ResourceType, UniqueId};
use crate::planner::board::{Batch, ItemKind};
use crate::planner::items::is_passed_through;
use crate::planner::{Plan, Work};
use crate::sql::rowwise::judges_rows;
use crate::sql::separable::DailyRelation;

/// What the engine knows of tests that judge.
#[derive(Default)]
pub(super) struct Judging {
    /// Whether a test judges row by row, where that was asked.
    row_wise: HashMap<UniqueId, bool>,
    /// The tests of the job under way, by item.
    under_way: HashMap<usize, Vec<UnderWay>>,
    /// Tests that have not judged all that is visible now: their result is not remembered.
    in_doubt: HashSet<UniqueId>,
}

/// How a job ended, as far as its tests go.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum JobEnd {
    /// All of it was published.
    Published,
    /// Some of it was not.
    Otherwise,
}

/// A test that judges a job.
struct UnderWay {
    test: UniqueId,
    /// The digest of what it reads beside the model, when the job began.
    beside: i64,
    /// Whether it has then judged all that is visible.
    certain: bool,
}

impl Engine {
    /// A test that reads a model and its ancestors alone judges the model before it is published.
    pub(super) fn find_audits(&mut self, project: &Project, graph: &Graph, plan: &Plan) {
        for (at, step) in plan.steps.iter().enumerate() {
            let node = &project.manifest.nodes[&step.node];
            if node.resource_type != ResourceType::Test {
                continue;
            }
            let judged = node.depends_on.iter().find(|id| {
                let Some(index) = graph.index(id) else {
                    return false;
                };
                let above = graph.reach([index], Walk::Ancestors, None);
                let mut others = node.depends_on.iter().filter(|other| other != id);
                others.all(|other| {
                    graph
                        .index(other)
                        .is_some_and(|other| above.contains(&other))
                })
            });
            let item = judged
                .filter(|id| {
                    let judged = project.manifest.nodes.get(*id);
                    judged.is_some_and(|judged| !is_passed_through(judged))
                })
                .and_then(|id| self.sight.board.find(id))
                .filter(|item| self.step_of.contains_key(item));
            if let Some(item) = item {
                self.audits.entry(item).or_default().push(at);
                self.audit_of.insert(at, item);
            }
        }
    }

    /// The tests that judge a batch. One that judges row by row and has passed on all that readers see
    /// needs look at nothing else than the batch.
    pub(super) fn audits_of(
        &mut self,
        project: &Arc<Project>,
        session: &Arc<Session>,
        batch: &Batch,
    ) -> Vec<Audit> {
        let item = batch.item;
        let steps = self.audits.get(&item).cloned().unwrap_or_default();
        if steps.is_empty() {
            return Vec::new();
        }
        let built = |part: &i32| batch.parts.iter().any(|own| own.partition == *part);
        let covered = self.outdated(item).iter().all(built);
        let mut audits = Vec::new();
        let mut under_way = Vec::new();
        for step in steps {
            let test = self.test_node(project, step);
            let known = self.sight.tests.get(test.unique_id.as_str());
            let state = self.test_state(project, &test, None);
            let passed = known
                .is_some_and(|known| known.passed && state == Some((known.code, known.inputs)));
            let narrowed = passed && self.is_row_wise(project, session, item, &test);
            if let Some((_, beside)) = self.test_state(project, &test, Some(item)) {
                under_way.push(UnderWay {
                    test: test.unique_id.clone(),
                    beside,
                    certain: narrowed || covered,
                });
            }
            audits.push(Audit { test, narrowed });
        }
        self.judging.under_way.insert(item, under_way);
        audits
    }

    /// Takes note of how a job has ended: where all of it was published, its tests have passed.
    pub(super) fn audited(&mut self, project: &Project, item: usize, ended: JobEnd) {
        for UnderWay {
            test,
            beside,
            certain,
        } in self.judging.under_way.remove(&item).unwrap_or_default()
        {
            let node = &project.manifest.nodes[&test];
            let unmoved = self
                .test_state(project, node, Some(item))
                .map(|(_, now)| now)
                == Some(beside);
            if ended == JobEnd::Published && certain && unmoved {
                self.judging.in_doubt.remove(&test);
                if let Some((code, inputs)) = self.test_state(project, node, None) {
                    let row = TestRow {
                        test: test.to_string(),
                        code,
                        inputs,
                        passed: true,
                    };
                    self.sight.tests.insert(test.to_string(), row);
                }
            } else {
                self.judging.in_doubt.insert(test);
            }
        }
    }

    /// Tells whether a test passes on all rows if and only if it passes on some partitions of an item and
    /// on the rest.
    fn is_row_wise(
        &mut self,
        project: &Arc<Project>,
        session: &Arc<Session>,
        item: usize,
        test: &Arc<Node>,
    ) -> bool {
        if let Some(known) = self.judging.row_wise.get(&test.unique_id) {
            return *known;
        }
        let judged = &self.sight.board.items[item];
        let row_wise = judged.cut.as_ref().is_some_and(|cut| {
            let name = |id: &UniqueId| {
                let relation = match project.manifest.nodes.get(id) {
                    Some(node) => Some(&node.relation),
                    None => project
                        .manifest
                        .sources
                        .get(id)
                        .map(|source| &source.relation),
                };
                relation.and_then(|relation| relation.identifier.as_deref())
            };
            let others = test.depends_on.iter().filter(|id| **id != judged.id);
            let others: Vec<&str> = others.filter_map(name).collect();
            let finds_none = counts_all(test);
            let compiled = finds_none
                .then(|| compile(project, session, test, &Shown::of(project, test)).ok())
                .flatten();
            match (compiled, name(&judged.id)) {
                (Some(compiled), Some(name)) => {
                    let field = cut.field.as_str();
                    let judged = DailyRelation { name, field };
                    judges_rows(project.facts.dialect, &compiled.sql, judged, &others)
                }
                _ => false,
            }
        });
        self.judging
            .row_wise
            .insert(test.unique_id.clone(), row_wise);
        row_wise
    }

    fn test_node(&self, project: &Project, step: usize) -> Arc<Node> {
        Arc::clone(&project.manifest.nodes[&self.steps[step]])
    }

    /// A test's result where it needs not run: it judged what was published, or it passed before on
    /// what is there now.
    pub fn settled_test(&mut self, project: &Project, step: usize) -> Option<NodeResult> {
        if let Some(result) = self.judgement(step) {
            return Some(result);
        }
        let id = self.steps.get(step)?;
        if self.work != Work::Build {
            return None;
        }
        let node = &project.manifest.nodes[id];
        let (code, inputs) = self.test_state(project, node, None)?;
        let known = self.sight.tests.get(id.as_str())?;
        if !known.passed || known.code != code || known.inputs != inputs {
            return None;
        }
        let facts = Arc::new(NodeFacts::new(node, project.facts.dialect));
        Some(NodeResult {
            status: NodeStatus::NoOp,
            message: Some("passed before on the same rows".to_owned()),
            ..empty_result(&facts, "MainThread")
        })
    }

    /// What a test found when it judged partitions before they were published.
    pub fn judgement(&mut self, step: usize) -> Option<NodeResult> {
        self.judged.remove(self.steps.get(step)?)
    }

    /// Remembers how a test ended.
    pub fn note_test(&mut self, project: &Project, id: UniqueId, result: &NodeResult) {
        let node = &project.manifest.nodes[&id];
        if node.resource_type != ResourceType::Test || self.judging.in_doubt.contains(&id) {
            return;
        }
        if let Some((code, inputs)) = self.test_state(project, node, None) {
            self.ended_tests.push(TestRow {
                test: id.to_string(),
                code,
                inputs,
                passed: matches!(result.status, NodeStatus::Pass | NodeStatus::Warn),
            });
        }
    }

    /// The fingerprint of a test and the digest of what it reads; `None` where something that it reads
    /// has no versions.
    ///
    /// Without an item, the digest is of what it reads beside that.
    fn test_state(
        &self,
        project: &Project,
        test: &Node,
        without: Option<usize>,
    ) -> Option<(i64, i64)> {
        let board = &self.sight.board;
        let mut texts = Vec::new();
        let mut stored: BTreeSet<usize> = BTreeSet::new();
        let mut queue: Vec<&UniqueId> = test.depends_on.iter().collect();
        while let Some(id) = queue.pop() {
            let node = project.manifest.nodes.get(id);
            match (node, board.find(id)) {
                (Some(node), at) if is_passed_through(node) => {
                    let code = at.map(|at| board.items[at].code);
                    let code = code.or(self.sight.symbolic.get(id).map(|known| known.code))?;
                    texts.push(code.to_string());
                    queue.extend(&node.depends_on);
                }
                (_, Some(at))
                    if matches!(board.items[at].kind, ItemKind::Managed | ItemKind::Seen) =>
                {
                    stored.insert(at);
                }
                _ => return None,
            }
        }
        for at in stored.into_iter().filter(|at| Some(*at) != without) {
            let everything = PartitionRange::new(i32::MIN, i32::MAX);
            let (sum, count) = board.histories[at].digest(everything);
            texts.push(format!("{} {sum} {count}", board.items[at].relation.0));
        }
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let code = fingerprint::of_test(project, test);
        Some((code, ledger::hash64(&texts)))
    }
}

/// Tells whether a test passes only where its query returns no row, all of which are looked at.
fn counts_all(test: &Node) -> bool {
    let is = |key: &str, wanted: &str| {
        let text = test.config.text(key).unwrap_or(wanted);
        text.split_whitespace().eq(wanted.split_whitespace())
    };
    is("fail_calc", "count(*)")
        && is("error_if", "!= 0")
        && is("warn_if", "!= 0")
        && test
            .config
            .text("severity")
            .is_none_or(|severity| severity.eq_ignore_ascii_case("error"))
        && test
            .config
            .get("limit")
            .is_none_or(serde_json::Value::is_null)
        && !test.stores_failures()
}
