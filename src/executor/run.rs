//! The run loop: one thread owns the state, the workers send messages.
//!
//! A step's life:
//!
//! ```text
//! waiting --(all it waits for have ended well)--> ready --(a worker is free)--> running --> ended
//!    \--(one of them failed, or the run is stopping)--> skipped
//! ```

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use super::compile::Shown;
use super::crew::Crew;
use super::engine::Engine;
use super::event::{BatchFacts, Event, NodeFacts, NodeResult, NodeStatus, PartFacts};
use super::look::{Ask, Look, follow, is_followed, look};
use super::node::run_shown;
use super::preview::Preview;
use super::publish::{self, Ended, Job};
use super::session::{Session, SessionShared};
use super::slots::Slots;
use super::{Project, heartbeat, hooks, inbox, microbatch, schemas};
use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Graph;
use crate::ledger::Outcome;
use crate::manifest::{Node, ResourceType, UniqueId};
use crate::microbatch::Microbatch;
use crate::planner::{Plan, Work};

/// What reaches the loop.
pub enum Message {
    /// A worker has ended a step.
    Ended {
        /// The worker.
        worker: usize,
        /// The step.
        step: usize,
        /// What came out.
        result: Box<NodeResult>,
    },
    /// A worker has ended a batch of a step.
    BatchEnded {
        /// The worker.
        worker: usize,
        /// The step.
        step: usize,
        /// What came out.
        ended: Box<Ended>,
    },
    /// The user wants the run to stop.
    Interrupt,
}

/// How a plan is carried out.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// What is done with each node.
    pub work: Work,
    /// How many sessions at once; at least one.
    pub threads: usize,
    /// What happens to the rest after the first failure.
    pub on_failure: OnFailure,
    /// Which partitions are built.
    pub ask: Ask,
    /// How long a lease of somebody else is waited for.
    pub lock_timeout: Duration,
}

/// A worker's task.
enum Task {
    /// A node's turn: its step, and its place in the order of starts.
    Node(usize, usize),
    /// Some partitions of a step.
    Batch(usize, Box<Job>),
}

/// Why steps are skipped after Ctrl-C.
pub(super) const INTERRUPTED: &str = "the run was interrupted";

/// What happens to the rest of a run after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// What does not read the failed node goes on.
    GoOn,
    /// The run stops (`--fail-fast`).
    Stop,
}

/// Carries a plan out; returns every node's result in the order in which they ended, and whether the
/// user stopped it.
///
/// Interrupts arrive through `inbox`, whose other end is `outbox`.
///
/// # Errors
/// What makes a run impossible before its first node: no connection, a schema that cannot be made.
pub fn run(
    project: &Arc<Project>,
    graph: &Graph,
    shared: &Arc<SessionShared>,
    plan: &Plan,
    options: RunOptions,
    (outbox, inbox): (Sender<Message>, Receiver<Message>),
) -> Result<(Vec<Arc<NodeResult>>, bool), Vec<Diagnostic>> {
    let one = |wrong: Box<Diagnostic>| vec![*wrong];
    let nodes: Vec<Arc<Node>> = plan
        .steps
        .iter()
        .map(|step| Arc::clone(&project.manifest.nodes[&step.node]))
        .collect();
    let master = new_session(shared, "MainThread").map_err(one)?;
    let builds = !matches!(options.work, Work::Compile);
    // While the database is opened, or the server is reached.
    let outline = match builds {
        true => follow(project, graph),
        false => None,
    };
    let prepared = if builds && !nodes.is_empty() {
        let steps = plan.steps.iter().map(|step| &step.node);
        connect(&master, project, options.lock_timeout)
            .and_then(|()| schemas::prepare(project, &master, steps))
    } else {
        Ok(())
    };
    let interrupted = match prepared {
        Err(failure) if failure.code != Code::Cancelled => return Err(one(failure)),
        Err(_) => true,
        Ok(()) => false,
    };
    let with_hooks = matches!(
        options.work,
        Work::Run | Work::Seed | Work::Build | Work::Test
    ) && !nodes.is_empty();
    let selected: BTreeSet<UniqueId> = plan.steps.iter().map(|step| step.node.clone()).collect();
    let sight = match outline {
        Some(outline) if !interrupted => Some(look(
            project,
            &master,
            outline,
            &selected,
            &options.ask,
            Look::Recording,
        )?),
        _ => None,
    };
    for warning in sight.iter().flat_map(|sight| &sight.warnings) {
        shared.send(Event::Diagnostic(Arc::new(warning.clone())));
    }
    let engine = sight.map(|sight| {
        Engine::new(
            project,
            graph,
            plan,
            options.work,
            sight,
            options.lock_timeout,
        )
    });
    let tables = match interrupted {
        true => None,
        false => inbox::Desk::new(
            project,
            (shared, &master),
            (plan, options.work),
            options.ask.as_of,
            options.lock_timeout,
        )?,
    };
    let tables = tables.map(Arc::new);
    let mut after = waits(plan, engine.as_ref());
    if let Some(tables) = &tables {
        tables.arrange(&mut after);
    }
    let mut loop_state = Loop {
        project,
        shared,
        nodes: &nodes,
        facts: nodes
            .iter()
            .map(|node| Arc::new(NodeFacts::new(node, project.facts.dialect)))
            .collect(),
        readers: readers(&after),
        missing: after.iter().map(Vec::len).collect(),
        ready: BinaryHeap::new(),
        arrived: Vec::new(),
        engine,
        tables,
        preview: match options.work {
            Work::Compile => Preview::new(project, graph, options.ask.as_of).map(Arc::new),
            _ => None,
        },
        master: &master,
        ended: vec![false; nodes.len()],
        results: Vec::new(),
        started: 0,
        running: 0,
        stopping: None,
        interrupted,
        on_failure: options.on_failure,
    };
    for step in 0..nodes.len() {
        if loop_state.missing[step] == 0 {
            loop_state.admit(step);
        }
    }
    let selected: Vec<_> = plan.steps.iter().map(|step| step.node.clone()).collect();
    let target = project.facts.target.get("name");
    shared.send(Event::RunStarted {
        target: target
            .and_then(serde_json::Value::as_str)
            .unwrap_or_default()
            .to_owned(),
        total: nodes.len(),
        threads: options.threads,
        partitions: loop_state
            .engine
            .as_ref()
            .map_or_else(Vec::new, Engine::to_build),
    });
    if loop_state.interrupted {
        shared.send(Event::Cancelling);
        loop_state.stop(INTERRUPTED);
    } else {
        let start_failed = with_hooks
            && hooks::run_start(project, &master, &selected, &mut loop_state.results).is_err();
        if start_failed && skips_after_failed_start(project) {
            loop_state.stop("`on-run-start` failed");
        }
        loop_state.drive(&options, outbox, &inbox).map_err(one)?;
    }
    if let Some(engine) = &mut loop_state.engine {
        // A test that is not remembered is run again, a day that is not removed is removed next time.
        if let Err(failure) = engine.tidy_up(&master) {
            shared.send(Event::Diagnostic(Arc::new(Diagnostic {
                severity: crate::diagnostic::Severity::Warning,
                ..*failure
            })));
        }
    }
    loop_state.interrupted |= inbox.try_recv().is_ok();
    if with_hooks && !loop_state.interrupted {
        // What `--fail-fast` stopped has ended by now.
        shared.resume();
        let schemas = schemas::schemas_of(project, selected.iter());
        hooks::run_end(
            project,
            &master,
            &selected,
            schemas,
            &mut loop_state.results,
        );
    }
    loop_state.interrupted |= inbox.try_recv().is_ok();
    Ok((
        std::mem::take(&mut loop_state.results),
        loop_state.interrupted,
    ))
}

/// Connects; where another process holds the database's file, a run of the engine waits for it.
///
/// # Errors
/// What the driver says.
pub fn connect(
    master: &Session,
    project: &Project,
    lock_timeout: Duration,
) -> Result<(), Box<Diagnostic>> {
    let until = Instant::now() + lock_timeout;
    loop {
        match master.connect() {
            Err(failure)
                if failure.code == Code::DatabaseLocked
                    && is_followed(project)
                    && Instant::now() < until =>
            {
                std::thread::sleep(Duration::from_millis(200));
            }
            ended => return ended,
        }
    }
}

fn new_session(shared: &Arc<SessionShared>, thread: &str) -> Result<Arc<Session>, Box<Diagnostic>> {
    Session::of_thread(Arc::clone(shared), thread)
        .map(Arc::new)
        .map_err(|error| {
            let message = format!("cannot start a session: {error}");
            Box::new(Diagnostic::error(Code::Io, message))
        })
}

/// How many short turns may be under way, where the database computes on our own processors.
fn most_short_turns(project: &Project) -> Option<usize> {
    let processors = std::thread::available_parallelism().ok();
    let processors = processors.filter(|_| project.facts.dialect.profile.embedded);
    processors.map(NonZero::get)
}

/// What a microbatch model's config says, where the work builds its batches.
fn batched(node: &Node, work: Work) -> Option<&Microbatch> {
    let builds = matches!(work, Work::Run | Work::Build);
    node.microbatch.as_deref().filter(|_| builds)
}

/// dbt's flag `skip_nodes_if_on_run_start_fails`; without it the nodes run all the same.
fn skips_after_failed_start(project: &Project) -> bool {
    let flag = project.facts.flags.get("SKIP_NODES_IF_ON_RUN_START_FAILS");
    flag.and_then(serde_json::Value::as_bool).unwrap_or(false)
}

/// For each step, those that must have ended before it starts.
fn waits(plan: &Plan, engine: Option<&Engine>) -> Vec<Vec<usize>> {
    let steps = plan.steps.iter().enumerate();
    steps
        .map(|(step, planned)| {
            let Some(engine) = engine else {
                return planned.after.clone();
            };
            // A view is there before all that it shows is.
            let behind_views = planned
                .after
                .iter()
                .flat_map(|before| engine.read_through(*before));
            let before: BTreeSet<usize> = planned
                .after
                .iter()
                .copied()
                .chain(behind_views)
                .filter(|before| !engine.waits_by_partition(step, *before))
                .collect();
            before.into_iter().collect()
        })
        .collect()
}

/// For each step, the steps that wait for it.
fn readers(after: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let mut readers = vec![Vec::new(); after.len()];
    for (index, after) in after.iter().enumerate() {
        for &before in after {
            readers[before].push(index);
        }
    }
    readers
}

struct Loop<'a> {
    project: &'a Arc<Project>,
    shared: &'a Arc<SessionShared>,
    nodes: &'a [Arc<Node>],
    facts: Vec<Arc<NodeFacts>>,
    readers: Vec<Vec<usize>>,
    missing: Vec<usize>,
    ready: BinaryHeap<Reverse<usize>>,
    /// Steps that wait for nothing, and may be tests that need not run, or lack what they read.
    arrived: Vec<usize>,
    ended: Vec<bool>,
    results: Vec<Arc<NodeResult>>,
    started: usize,
    running: usize,
    stopping: Option<&'static str>,
    interrupted: bool,
    on_failure: OnFailure,
    engine: Option<Engine>,
    /// The tables of the ODS.
    tables: Option<Arc<inbox::Desk>>,
    /// What partitioned models see where they are only compiled.
    preview: Option<Arc<Preview>>,
    master: &'a Arc<Session>,
}

impl Loop<'_> {
    fn drive(
        &mut self,
        options: &RunOptions,
        outbox: Sender<Message>,
        inbox: &Receiver<Message>,
    ) -> Result<(), Box<Diagnostic>> {
        let workers = options.threads.clamp(1, self.nodes.len().max(1));
        let slots = Slots::new(options.threads);
        let slots = &slots;
        std::thread::scope(|threads| {
            let mut desks: Vec<Sender<Task>> = Vec::new();
            for worker in 0..workers {
                let shared = self.shared;
                let thread = format!("Thread-{}", worker + 1);
                let mut session = new_session(shared, &thread)?;
                let (desk, tasks) = channel();
                desks.push(desk);
                let (project, nodes) = (self.project, self.nodes);
                let (facts, outbox) = (self.facts.clone(), outbox.clone());
                let events = self.shared.events.clone();
                let name = format!("Thread-{} (worker)", worker + 1);
                let total = nodes.len();
                let desk_of_engine = self.engine.as_ref().map(|engine| Arc::clone(&engine.desk));
                let work = options.work;
                let preview = self.preview.clone();
                let tables = self.tables.clone();
                let body = move || {
                    for task in tasks {
                        let (step, index) = match task {
                            Task::Node(step, index) => (step, index),
                            Task::Batch(step, job) => {
                                let _slot = slots.take();
                                let desk = desk_of_engine
                                    .as_deref()
                                    .expect("the engine alone makes jobs");
                                let ended = run_job(desk, &session, &job, &facts[step], &events);
                                let ended = Box::new(ended);
                                let message = Message::BatchEnded {
                                    worker,
                                    step,
                                    ended,
                                };
                                if outbox.send(message).is_err() {
                                    break;
                                }
                                continue;
                            }
                        };
                        let fact = Arc::clone(&facts[step]);
                        let _slot = slots.take();
                        let _ = events.send(Event::NodeStarted {
                            node: Arc::clone(&fact),
                            index,
                            total,
                        });
                        let turn = || {
                            let node = &nodes[step];
                            if let Some(model) = batched(node, work) {
                                let node = (node, model);
                                return microbatch::run_batches(
                                    project, shared, &session, node, &fact, slots,
                                );
                            }
                            if let Some(tables) = tables.as_deref()
                                && node.is_ods_table()
                            {
                                return tables.turn(&session, node, &fact);
                            }
                            if let Some(desk) = desk_of_engine.as_deref()
                                && node.resource_type == ResourceType::Test
                            {
                                return publish::run_test(desk, &session, node, &fact);
                            }
                            let seen = preview.as_ref().and_then(|view| view.view(project, node));
                            let shown = match seen {
                                Some(view) => Shown::of_partitions(project, node, view),
                                None => Shown::of(project, node),
                            };
                            run_shown(project, &session, (node, &shown), &fact, work, &thread)
                        };
                        let result = catch_unwind(AssertUnwindSafe(turn)).unwrap_or_else(|_| {
                            // Nobody knows in what state the session was left.
                            if let Ok(fresh) = new_session(shared, &thread) {
                                session = fresh;
                            }
                            broken(&fact, &thread)
                        });
                        let _ = events.send(Event::NodeFinished {
                            result: Arc::new(result.clone()),
                            index,
                            total,
                        });
                        let result = Box::new(result);
                        let ended = Message::Ended {
                            worker,
                            step,
                            result,
                        };
                        if outbox.send(ended).is_err() {
                            break;
                        }
                    }
                };
                std::thread::Builder::new()
                    .name(name)
                    .spawn_scoped(threads, body)
                    .map_err(|error| {
                        let message = format!("cannot start a thread: {error}");
                        Box::new(Diagnostic::error(Code::Io, message))
                    })?;
            }
            drop(outbox);
            let (alive, stop) = channel::<()>();
            let held = self.engine.as_ref().filter(|engine| engine.takes_leases());
            if let Some(engine) = held {
                let desk = Arc::clone(&engine.desk);
                let session = new_session(self.shared, "Heartbeat")?;
                threads.spawn(move || {
                    let (ledger, facts) = (&desk.ledger, &desk.facts);
                    heartbeat::beat(&session, ledger, facts, desk.lease_seconds, &stop);
                });
            }
            self.serve(&desks, inbox);
            drop(alive);
            Ok(())
        })
    }

    /// Hands steps to free workers until nothing is left to do.
    fn serve(&mut self, desks: &[Sender<Task>], inbox: &Receiver<Message>) {
        let mut crew = Crew::new(desks.len(), most_short_turns(self.project));
        loop {
            while let Ok(message) = inbox.try_recv() {
                self.take(message, &mut crew);
            }
            while self.settle() {}
            while self.stopping.is_none()
                && let Some(worker) = crew.next(Instant::now())
                && let Some(task) = self.next_task()
            {
                crew.begins(worker, Instant::now());
                self.running += 1;
                desks[worker]
                    .send(task)
                    .expect("a worker lives as long as its desk");
            }
            // The search for a batch may have found that nothing is left of a step.
            if self.settle() {
                continue;
            }
            if self.running == 0 {
                return;
            }
            let stops = self.shared.is_stopping();
            let patience = match stops {
                true => Some(Duration::from_millis(200)),
                false => crew.patience(Instant::now()),
            };
            match inbox.recv_timeout(patience.unwrap_or(Duration::MAX)) {
                Ok(message) => self.take(message, &mut crew),
                // A statement that was just starting escapes a cancellation, so it is asked again.
                Err(RecvTimeoutError::Timeout) if stops => self.shared.cancel_all(),
                Err(RecvTimeoutError::Timeout) => {}
                // Every worker holds an end of the channel while it works.
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// What a free worker does next: a node's turn, or partitions of one.
    fn next_task(&mut self) -> Option<Task> {
        if let Some(Reverse(step)) = self.ready.pop() {
            self.started += 1;
            return Some(Task::Node(step, self.started));
        }
        let engine = self.engine.as_mut()?;
        let (step, job) = engine.next(self.project, self.master)?;
        Some(Task::Batch(step, Box::new(job)))
    }

    /// Says that a step waits for nothing that is told in the plan.
    fn admit(&mut self, step: usize) {
        match &mut self.engine {
            Some(engine) if engine.is_managed(step) => engine.admit(step),
            Some(_) => self.arrived.push(step),
            None => self.ready.push(Reverse(step)),
        }
    }

    /// Ends the steps of which nothing is left to do, tests that need not run, and what reads something
    /// that is not there yet; tells whether there were any.
    fn settle(&mut self) -> bool {
        let Some(engine) = &mut self.engine else {
            return false;
        };
        let mut ended = engine.take_ended(self.project);
        if self.stopping.is_none() {
            for step in self.arrived.drain(..) {
                if let Some(why) = engine.lacks(self.project, self.master, step) {
                    engine.idles(step, why.clone());
                    let skipped = skipped(&self.facts[step], why.clone());
                    let lacks = Some(why);
                    ended.push((step, NodeResult { lacks, ..skipped }));
                } else if let Some(result) = engine.settled_test(self.project, step) {
                    ended.push((step, result));
                } else if engine.has(step) {
                    engine.admit(step);
                } else {
                    self.ready.push(Reverse(step));
                }
            }
        }
        let any = !ended.is_empty();
        for (step, result) in ended {
            // What was fresh is not told line by line.
            if result.status == NodeStatus::NoOp {
                let node = result.node.unique_id.clone();
                self.shared.send(Event::NodeFresh { node });
            } else {
                self.started += 1;
                self.shared.send(Event::NodeFinished {
                    result: Arc::new(result.clone()),
                    index: self.started,
                    total: self.nodes.len(),
                });
            }
            self.end(step, result);
        }
        any
    }

    fn take(&mut self, message: Message, crew: &mut Crew) {
        match message {
            Message::BatchEnded {
                worker,
                step,
                ended,
            } => {
                crew.ends(worker);
                self.running -= 1;
                let moved = ended.moved;
                let failed = !ended.failed.is_empty();
                if let Some(engine) = &mut self.engine {
                    engine.ended(self.project, step, *ended);
                    if moved && let Err(failure) = engine.refresh(self.project, self.master) {
                        self.shared.send(Event::Diagnostic(Arc::new(*failure)));
                        engine.give_up(step);
                    }
                    if self.stopping.is_some() {
                        engine.give_up(step);
                        if let Some(result) = engine.result_of(self.project, step) {
                            self.end(step, result);
                        }
                    }
                }
                if failed && self.on_failure == OnFailure::Stop && self.stopping.is_none() {
                    self.stop("skipped because of `--fail-fast`");
                    self.shared.cancel_all();
                }
            }
            Message::Ended {
                worker,
                step,
                result,
            } => {
                crew.ends(worker);
                self.running -= 1;
                self.end(step, *result);
            }
            Message::Interrupt => {
                self.interrupted = true;
                self.shared.send(Event::Cancelling);
                self.stop(INTERRUPTED);
                self.shared.cancel_all();
            }
        }
    }

    /// Records a result and decides about the steps that waited for it.
    fn end(&mut self, step: usize, result: NodeResult) {
        let failed = result.status.is_failure();
        let holds_back = result.holds_readers_back();
        // Of what waits and was never built, nothing can be read.
        let absent = result.status == NodeStatus::Skipped
            && !result.waiting.is_empty()
            && self
                .engine
                .as_ref()
                .is_some_and(|engine| engine.is_unbuilt(step));
        self.ended[step] = true;
        if let Some(engine) = &mut self.engine {
            let id = self.nodes[step].unique_id.clone();
            if !failed && !matches!(result.status, NodeStatus::NoOp | NodeStatus::Skipped) {
                engine.note_test(self.project, id, &result);
            }
        }
        self.results.push(Arc::new(result));
        if absent {
            self.skip_readers(step, "is not built");
            return;
        }
        if holds_back {
            self.tell_judgements(step);
            // What is loaded together with it tells of itself.
            for reader in self.readers[step].clone() {
                if self.tells(step, reader) && !self.ended[reader] {
                    self.missing[reader] -= 1;
                    self.admit(reader);
                }
            }
            self.skip_readers(step, "failed");
        } else {
            for at in 0..self.readers[step].len() {
                let reader = self.readers[step][at];
                self.missing[reader] -= 1;
                if self.missing[reader] == 0 && !self.ended[reader] {
                    self.admit(reader);
                }
            }
        }
        if failed && self.on_failure == OnFailure::Stop && self.stopping.is_none() {
            self.stop("skipped because of `--fail-fast`");
            self.shared.cancel_all();
        }
    }

    fn tells(&self, before: usize, step: usize) -> bool {
        let tables = self.tables.as_ref();
        tables.is_some_and(|tables| tables.tells(before, step))
    }

    /// Ends the tests that have judged a failed step already: what they found is not skipped over.
    fn tell_judgements(&mut self, step: usize) {
        for reader in self.readers[step].clone() {
            let judged = self
                .engine
                .as_mut()
                .filter(|_| !self.ended[reader])
                .and_then(|engine| engine.judgement(reader));
            if let Some(result) = judged {
                self.started += 1;
                self.shared.send(Event::NodeFinished {
                    result: Arc::new(result.clone()),
                    index: self.started,
                    total: self.nodes.len(),
                });
                self.end(reader, result);
            }
        }
    }

    /// Skips everything that reads a step, through any number of steps; `why` ends the sentence.
    fn skip_readers(&mut self, step: usize, why: &str) {
        let because = self.facts[step].unique_id.clone();
        let mut queue = self.readers[step].clone();
        queue.retain(|reader| !self.tells(step, *reader));
        while let Some(reader) = queue.pop() {
            if self.ended[reader] {
                continue;
            }
            self.skip(reader, format!("`{because}` {why}"));
            queue.extend(self.readers[reader].iter().copied());
        }
    }

    /// Starts nothing more, and skips what has not started.
    fn stop(&mut self, why: &'static str) {
        self.stopping = Some(why);
        let ready = self.ready.drain().map(|Reverse(step)| step);
        let started: Vec<usize> = ready.chain(self.arrived.drain(..)).collect();
        for step in started {
            self.skip(step, why.to_owned());
        }
        for step in 0..self.nodes.len() {
            let begun = self
                .engine
                .as_ref()
                .is_some_and(|engine| engine.has_begun(step));
            let waits = self.missing[step] > 0
                || self.engine.as_ref().is_some_and(|engine| engine.has(step));
            if !self.ended[step] && waits && !begun {
                self.skip(step, why.to_owned());
            }
        }
    }

    fn skip(&mut self, step: usize, why: String) {
        self.ended[step] = true;
        if let Some(engine) = &mut self.engine {
            engine.give_up(step);
        }
        self.started += 1;
        let result = Arc::new(skipped(&self.facts[step], why));
        self.results.push(Arc::clone(&result));
        self.shared.send(Event::NodeFinished {
            result,
            index: self.started,
            total: self.nodes.len(),
        });
    }
}

/// Builds some partitions, telling when they start and end.
fn run_job(
    desk: &publish::Desk,
    session: &Arc<Session>,
    job: &Job,
    facts: &Arc<NodeFacts>,
    events: &Sender<Event>,
) -> Ended {
    let mut batch = BatchFacts {
        node: Arc::clone(facts),
        label: job.keys(),
        index: job.done + 1,
        total: job.done + job.left,
        parts: Some(PartFacts {
            unit: job
                .cut
                .as_ref()
                .map(|cut| cut.calendar.granularity.as_str()),
            count: job.parts.len(),
            ..PartFacts::default()
        }),
    };
    let _ = events.send(Event::BatchStarted {
        batch: Arc::new(batch.clone()),
    });
    let build = AssertUnwindSafe(|| publish::build(desk, session, job));
    let ended = catch_unwind(build).unwrap_or_else(|_| {
        let failed = job.parts.iter().map(|part| {
            let reason = "daygrain failed inside".to_owned();
            (part.part.partition, Outcome::Failed, reason)
        });
        Ended {
            failed: failed.collect(),
            result: Some(broken(facts, session.thread())),
            ..Ended::default()
        }
    });
    if let Some(result) = &ended.result {
        let mut result = result.clone();
        if !ended.failed.is_empty() {
            result.status = NodeStatus::Error;
        }
        if let Some(parts) = &mut batch.parts {
            let failed = ended.failed.iter();
            let refused = failed.filter(|(_, outcome, _)| *outcome == Outcome::Refused);
            parts.refused = refused.count();
            parts.failed = ended.failed.len() - parts.refused;
            parts.built = ended.published.len();
            parts.rows = ended.rows;
        }
        let _ = events.send(Event::BatchFinished {
            batch: Arc::new(batch),
            result: Arc::new(result),
        });
    }
    ended
}

/// The result of a node that was skipped, and why.
pub(super) fn skipped(node: &Arc<NodeFacts>, why: String) -> NodeResult {
    NodeResult {
        status: NodeStatus::Skipped,
        message: Some(why),
        ..empty_result(node, "MainThread")
    }
}

/// The result of a worker that panicked: our fault, said plainly.
fn broken(node: &Arc<NodeFacts>, thread: &str) -> NodeResult {
    let message = format!("daygrain failed inside while it worked on `{}`", node.name);
    let diagnostic = Diagnostic::error(Code::Internal, message.as_str())
        .help("this is a fault of daygrain; please report it with the log file");
    NodeResult {
        status: NodeStatus::Error,
        message: Some(message),
        diagnostic: Some(Arc::new(diagnostic)),
        ..empty_result(node, thread)
    }
}

/// A result that says nothing yet.
pub fn empty_result(node: &Arc<NodeFacts>, thread: &str) -> NodeResult {
    NodeResult {
        node: Arc::clone(node),
        status: NodeStatus::Success,
        message: None,
        diagnostic: None,
        failures: None,
        rows_affected: None,
        response_code: None,
        query_id: None,
        compiled_code: None,
        compiled_path: None,
        inlined: Vec::new(),
        compile: None,
        execute: None,
        thread: thread.to_owned(),
        elapsed: Duration::ZERO,
        batch_results: None,
        waiting: Vec::new(),
        lacks: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_inside_says_whose_it_is() {
        let node = crate::manifest::fixture::node("model.shop.orders", &[]);
        let facts = Arc::new(NodeFacts::new(&node, crate::dialect::embedded()));
        let result = broken(&facts, "Thread-1");
        let diagnostic = result.diagnostic.expect("it is said");
        insta::assert_snapshot!(diagnostic.render(false), @r"
        error[internal]: daygrain failed inside while it worked on `orders`
         |
         = help: this is a fault of daygrain; please report it with the log file
        ");
    }
}
