//! A microbatch model's turn: one batch after the other, the middle ones side by side where they may.
//!
//! As dbt does it: the first batch runs alone, for it may make the table; where it fails, the others
//! are skipped. Of the rest none stops another. The last one runs alone too, and after all others,
//! for it has the post-hooks.

use std::sync::{Arc, Mutex};
use std::thread::Scope;
use std::time::{Instant, SystemTime};

use indexmap::IndexMap;
use serde_json::Value as Json;

use super::Project;
use super::compile::Shown;
use super::event::{BatchFacts, Event, NodeFacts, NodeResult, NodeStatus};
use super::node::run_shown;
use super::run::empty_result;
use super::session::{Session, SessionShared};
use super::slots::Slots;
use crate::config::node_config::NodeConfig;
use crate::diagnostic::{Code, Diagnostic};
use crate::dialect::Dialect;
use crate::jinja::{Value, Warehouse, context};
use crate::manifest::{ColumnInfo, Node};
use crate::microbatch::{self, Batch, BatchResults, BatchSize, Extent, Microbatch};
use crate::planner::Work;
use crate::relation::{Relation, RelationKind};

/// One batch of a model, while it is built.
#[derive(Clone)]
pub struct Turn {
    /// Its bounds.
    pub batch: Batch,
    /// How much time it covers.
    pub size: BatchSize,
    /// Whether it adds to the table that is there.
    pub goes_on: bool,
    /// What templates see as `model`.
    pub model: Value,
}

impl Turn {
    /// Of a batch; `model` is what templates see as `model`, before the batch is added.
    pub fn new(model: &Json, batch: Batch, size: BatchSize, goes_on: bool) -> Turn {
        Turn {
            batch,
            size,
            goes_on,
            model: context::batch_model(model, size, batch),
        }
    }

    /// The batch's file of a model's: `models/orders.sql` becomes `models/orders/orders_2026-11-01.sql`.
    pub fn path_of(&self, path: &str) -> String {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let (stem, extension) = name.rsplit_once('.').unwrap_or((name, "sql"));
        let slash = if folder.is_empty() { "" } else { "/" };
        let label = self.size.label(self.batch.start);
        format!("{folder}{slash}{stem}/{stem}_{label}.{extension}")
    }
}

/// The condition that bounds an input to a batch; `None` for an input without `event_time`.
pub fn filter(
    dialect: &Dialect,
    config: &NodeConfig,
    columns: &IndexMap<String, ColumnInfo>,
    quoted: Option<bool>,
    batch: Batch,
) -> Option<Arc<str>> {
    let name = config.text("event_time").filter(|name| !name.is_empty())?;
    let column = columns.values().find(|column| column.name == name);
    let quoted = column.and_then(|column| column.quote).or(quoted);
    let field = match quoted {
        Some(true) => dialect.quote_identifier(name),
        _ => name.to_owned(),
    };
    let [start, end] = [batch.start, batch.end].map(microbatch::python_text);
    Some(format!("{field} >= '{start}' and {field} < '{end}'").into())
}

/// What the batches of one model share.
struct Run<'a> {
    project: &'a Arc<Project>,
    shared: &'a Arc<SessionShared>,
    node: &'a Arc<Node>,
    facts: &'a Arc<NodeFacts>,
    size: BatchSize,
    batches: &'a [Batch],
    /// What templates see as `model`, before the batch is added.
    model: Json,
}

/// Builds a microbatch model, batch by batch.
pub fn run_batches(
    project: &Arc<Project>,
    shared: &Arc<SessionShared>,
    session: &Arc<Session>,
    (node, model): (&Arc<Node>, &Microbatch),
    facts: &Arc<NodeFacts>,
    slots: &Slots,
) -> NodeResult {
    let started = (Instant::now(), SystemTime::now());
    let goes_on = goes_on(project, session, node);
    let extent = match asked_range(project) {
        Some(range) => Extent::Range(range),
        None if goes_on => Extent::Lookback,
        None => Extent::FromBegin,
    };
    let now = microbatch::utc(project.facts.run_started_at.timestamp());
    let batches = microbatch::batches(model, extent, now);
    let run = Run {
        project,
        shared,
        node,
        facts,
        size: model.size,
        batches: &batches,
        model: project.node_json(node),
    };
    let count = batches.len();
    let mut results = vec![run.batch(0, goes_on, session)];
    if results[0].status.is_failure() {
        results.extend((1..count).map(|at| run.skip(at, session.thread())));
    } else {
        if count > 2 {
            let beside = match may_run_together(project, node, model) {
                true => Some(slots),
                false => None,
            };
            results.extend(run.middle(session, beside));
        }
        if count > 1 {
            results.push(run.batch(count - 1, true, session));
        }
    }
    let mut result = run.merge(results, session.thread());
    result.compile = Some((started.1, started.1));
    result.execute = Some((started.1, SystemTime::now()));
    result.elapsed = started.0.elapsed();
    result
}

impl Run<'_> {
    /// Builds the batches between the first and the last; with slots, side by side while some are free.
    fn middle(&self, session: &Arc<Session>, slots: Option<&Slots>) -> Vec<NodeResult> {
        let last = self.batches.len() - 1;
        let ended = Mutex::new(Vec::with_capacity(last));
        let idle = Mutex::new(Vec::new());
        std::thread::scope(|threads| {
            for at in 1..last {
                let beside = slots
                    .and_then(|slots| slots.try_take())
                    .is_some_and(|slot| {
                        self.start_beside(threads, (at, slot), (session, &idle), &ended)
                    });
                if !beside {
                    let result = self.batch(at, true, session);
                    lock(&ended).push((at, result));
                }
            }
        });
        let mut ended = ended.into_inner().unwrap_or_default();
        ended.sort_by_key(|(at, _)| *at);
        ended.into_iter().map(|(_, result)| result).collect()
    }

    /// Builds a batch on a thread of its own; false where the system grants none.
    fn start_beside<'scope, 'env>(
        &'scope self,
        threads: &'scope Scope<'scope, 'env>,
        (at, slot): (usize, super::slots::Slot<'scope>),
        (session, idle): (&Arc<Session>, &'scope Mutex<Vec<Arc<Session>>>),
        ended: &'scope Mutex<Vec<(usize, NodeResult)>>,
    ) -> bool {
        let known = lock(idle).pop();
        let own = known.or_else(|| {
            let name = format!("{}.{at}", session.thread());
            let new = Session::of_thread(Arc::clone(self.shared), &name);
            new.ok().map(Arc::new)
        });
        let Some(own) = own else {
            return false;
        };
        let work = move || {
            let result = self.batch(at, true, &own);
            lock(idle).push(own);
            lock(ended).push((at, result));
            drop(slot);
        };
        let thread = std::thread::Builder::new().name(format!("batch {at}"));
        thread.spawn_scoped(threads, work).is_ok()
    }

    /// Builds one batch.
    fn batch(&self, at: usize, goes_on: bool, session: &Arc<Session>) -> NodeResult {
        if self.shared.is_stopping() {
            let message = "the run was stopped before this batch";
            return NodeResult {
                status: NodeStatus::Error,
                diagnostic: Some(Arc::new(Diagnostic::error(Code::Cancelled, message))),
                ..empty_result(self.facts, session.thread())
            };
        }
        let batch = self.facts_of(at);
        self.shared.send(Event::BatchStarted {
            batch: Arc::clone(&batch),
        });
        let turn = Turn::new(&self.model, self.batches[at], self.size, goes_on);
        let node = Arc::new(self.node_of(at));
        let shown = Shown::of_batch(self.project, &node, turn);
        let (project, facts) = (self.project, self.facts);
        let thread = session.thread();
        let result = run_shown(project, session, (&node, &shown), facts, Work::Run, thread);
        self.shared.send(Event::BatchFinished {
            batch,
            result: Arc::new(result.clone()),
        });
        result
    }

    /// Passes a batch over, since the first one has failed.
    fn skip(&self, at: usize, thread: &str) -> NodeResult {
        let result = NodeResult {
            status: NodeStatus::Skipped,
            ..empty_result(self.facts, thread)
        };
        self.shared.send(Event::BatchFinished {
            batch: self.facts_of(at),
            result: Arc::new(result.clone()),
        });
        result
    }

    /// The node as one batch sees it: pre-hooks belong to the first, post-hooks to the last.
    ///
    /// What describes the whole table is done by these two as well: side by side, the batches between
    /// them would get into each other's way.
    fn node_of(&self, at: usize) -> Node {
        let mut node = Node::clone(self.node);
        if at > 0 {
            node.config.set.shift_remove("pre-hook");
        }
        if at + 1 < self.batches.len() {
            node.config.set.shift_remove("post-hook");
        }
        if at > 0 && at + 1 < self.batches.len() {
            node.config.set.shift_remove("persist_docs");
            node.config.set.shift_remove("grants");
        }
        node
    }

    fn facts_of(&self, at: usize) -> Arc<BatchFacts> {
        Arc::new(BatchFacts {
            node: Arc::clone(self.facts),
            label: self.size.label(self.batches[at].start),
            index: at + 1,
            total: self.batches.len(),
            parts: None,
        })
    }

    /// The model's result, in dbt's words.
    fn merge(&self, results: Vec<NodeResult>, thread: &str) -> NodeResult {
        let mut ended = BatchResults::default();
        let mut first_failure: Option<(String, Arc<Diagnostic>)> = None;
        for (batch, result) in self.batches.iter().zip(results) {
            if result.status == NodeStatus::Success {
                ended.successful.push(*batch);
                continue;
            }
            ended.failed.push(*batch);
            if first_failure.is_none() {
                let label = self.size.label(batch.start);
                first_failure = result.diagnostic.map(|diagnostic| (label, diagnostic));
            }
        }
        let (built, failed) = (ended.successful.len(), ended.failed.len());
        let (status, message) = match (built, failed) {
            (_, 0) => (NodeStatus::Success, "SUCCESS".to_owned()),
            (0, _) => (NodeStatus::Error, "ERROR".to_owned()),
            _ => {
                let told = format!("PARTIAL SUCCESS ({built}/{})", built + failed);
                (NodeStatus::PartialSuccess, told)
            }
        };
        let diagnostic = first_failure.map(|(label, diagnostic)| {
            let mut diagnostic = Diagnostic::clone(&diagnostic);
            diagnostic.notes.push(match failed {
                1 => format!("in the batch {label}"),
                _ => format!("in the batch {label}, the first of {failed} that were not built"),
            });
            Arc::new(diagnostic)
        });
        NodeResult {
            status,
            message: Some(message),
            diagnostic,
            failures: Some(0),
            batch_results: Some(ended),
            ..empty_result(self.facts, thread)
        }
    }
}

/// Tells whether the model's table is there and stays.
fn goes_on(project: &Project, session: &Session, node: &Node) -> bool {
    let found = existing(session, &node.relation);
    let is_table = found.is_some_and(|found| found.kind == Some(RelationKind::Table));
    let flag = project.facts.flags.get("FULL_REFRESH");
    let configured = node.config.get("full_refresh").and_then(Json::as_bool);
    let refresh = configured.or(flag.and_then(Json::as_bool)).unwrap_or(false);
    is_table && !refresh
}

fn existing(session: &Session, relation: &Relation) -> Option<Relation> {
    let mut schema = relation.clone();
    let name = schema.identifier.take()?;
    session.cached_relations_named(&schema, &name)?.pop()
}

/// `--event-time-start` and `--event-time-end`.
fn asked_range(project: &Project) -> Option<Batch> {
    let bound = |name: &str| microbatch::parse_iso(project.facts.flags.get(name)?.as_str()?);
    Some(Batch {
        start: bound("EVENT_TIME_START")?,
        end: bound("EVENT_TIME_END")?,
    })
}

/// As in dbt: what the database cannot do is not done; else the config decides; else whether the
/// model reads itself.
fn may_run_together(project: &Project, node: &Node, model: &Microbatch) -> bool {
    if !project.facts.dialect.concurrent_batches {
        return false;
    }
    model.concurrent.unwrap_or_else(|| {
        let template = project.engine.compile(&node.file);
        template.is_ok_and(|template| !template.mentions("this"))
    })
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
