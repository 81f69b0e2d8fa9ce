//! The run loop: one thread owns the state, the workers send messages.
//!
//! A step's life:
//!
//! ```text
//! waiting --(all it waits for have ended well)--> ready --(a worker is free)--> running --> ended
//!    \--(one of them failed, or the run is stopping)--> skipped
//! ```

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use super::event::{Event, NodeFacts, NodeResult, NodeStatus};
use super::node::run_node;
use super::session::{Session, SessionShared};
use super::slots::Slots;
use super::{Project, hooks, microbatch, schemas};
use crate::diagnostic::{Code, Diagnostic};
use crate::manifest::Node;
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
    /// The user wants the run to stop.
    Interrupt,
}

/// How a plan is carried out.
#[derive(Clone, Copy, Debug)]
pub struct RunOptions {
    /// What is done with each node.
    pub work: Work,
    /// How many sessions at once; at least one.
    pub threads: usize,
    /// What happens to the rest after the first failure.
    pub on_failure: OnFailure,
}

/// Why steps are skipped after Ctrl-C.
const INTERRUPTED: &str = "the run was interrupted";

/// What happens to the rest of a run after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// What does not read the failed node goes on.
    GoOn,
    /// The run stops (`--fail-fast`).
    Stop,
}

/// Carries a plan out; returns every node's result in the order in which they ended.
///
/// Interrupts arrive through `inbox`, whose other end is `outbox`.
///
/// # Errors
/// What makes a run impossible before its first node: no connection, a schema that cannot be made.
pub fn run(
    project: &Arc<Project>,
    shared: &Arc<SessionShared>,
    plan: &Plan,
    options: RunOptions,
    (outbox, inbox): (Sender<Message>, Receiver<Message>),
) -> Result<Vec<Arc<NodeResult>>, Box<Diagnostic>> {
    let started = Instant::now();
    let nodes: Vec<Arc<Node>> = plan
        .steps
        .iter()
        .map(|step| Arc::clone(&project.manifest.nodes[&step.node]))
        .collect();
    let master = new_session(shared, "MainThread")?;
    let builds = !matches!(options.work, Work::Compile);
    let prepared = if builds && !nodes.is_empty() {
        let steps = plan.steps.iter().map(|step| &step.node);
        master
            .connect()
            .and_then(|()| schemas::prepare(project, &master, steps))
    } else {
        Ok(())
    };
    let interrupted = match prepared {
        Err(failure) if failure.code != Code::Cancelled => return Err(failure),
        Err(_) => true,
        Ok(()) => false,
    };
    let with_hooks = matches!(
        options.work,
        Work::Run | Work::Seed | Work::Build | Work::Test
    ) && !nodes.is_empty();
    let mut loop_state = Loop {
        project,
        shared,
        nodes: &nodes,
        facts: nodes
            .iter()
            .map(|node| Arc::new(NodeFacts::new(node, project.facts.dialect)))
            .collect(),
        readers: readers(plan),
        missing: plan.steps.iter().map(|step| step.after.len()).collect(),
        ready: roots(plan),
        ended: vec![false; nodes.len()],
        results: Vec::new(),
        started: 0,
        running: 0,
        stopping: None,
        interrupted,
        on_failure: options.on_failure,
    };
    let selected: Vec<_> = plan.steps.iter().map(|step| step.node.clone()).collect();
    let target = project.facts.target.get("name");
    shared.send(Event::RunStarted {
        target: target
            .and_then(serde_json::Value::as_str)
            .unwrap_or_default()
            .to_owned(),
        total: nodes.len(),
        threads: options.threads,
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
        loop_state.drive(options, outbox, &inbox)?;
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
    let results = std::mem::take(&mut loop_state.results);
    shared.send(Event::RunFinished {
        results: results.clone(),
        elapsed: started.elapsed(),
        cancelled: loop_state.interrupted,
    });
    Ok(results)
}

fn new_session(shared: &Arc<SessionShared>, thread: &str) -> Result<Arc<Session>, Box<Diagnostic>> {
    Session::of_thread(Arc::clone(shared), thread)
        .map(Arc::new)
        .map_err(|error| {
            let message = format!("cannot start a session: {error}");
            Box::new(Diagnostic::error(Code::Io, message))
        })
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

/// The steps that wait for none.
fn roots(plan: &Plan) -> BinaryHeap<Reverse<usize>> {
    let steps = plan.steps.iter().enumerate();
    steps
        .filter(|(_, step)| step.after.is_empty())
        .map(|(index, _)| Reverse(index))
        .collect()
}

/// For each step, the steps that wait for it.
fn readers(plan: &Plan) -> Vec<Vec<usize>> {
    let mut readers = vec![Vec::new(); plan.steps.len()];
    for (index, step) in plan.steps.iter().enumerate() {
        for &before in &step.after {
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
    ended: Vec<bool>,
    results: Vec<Arc<NodeResult>>,
    started: usize,
    running: usize,
    stopping: Option<&'static str>,
    interrupted: bool,
    on_failure: OnFailure,
}

impl Loop<'_> {
    fn drive(
        &mut self,
        options: RunOptions,
        outbox: Sender<Message>,
        inbox: &Receiver<Message>,
    ) -> Result<(), Box<Diagnostic>> {
        let workers = options.threads.clamp(1, self.nodes.len().max(1));
        let slots = Slots::new(options.threads);
        let slots = &slots;
        std::thread::scope(|threads| {
            let mut desks: Vec<Sender<(usize, usize)>> = Vec::new();
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
                let body = move || {
                    for (step, index) in tasks {
                        let fact = Arc::clone(&facts[step]);
                        let _slot = slots.take();
                        let _ = events.send(Event::NodeStarted {
                            node: Arc::clone(&fact),
                            index,
                            total,
                        });
                        let work = || {
                            let node = &nodes[step];
                            if let Some(model) = batched(node, options.work) {
                                let node = (node, model);
                                return microbatch::run_batches(
                                    project, shared, &session, node, &fact, slots,
                                );
                            }
                            let fact = Arc::clone(&fact);
                            run_node(project, &session, node, fact, options.work, &thread)
                        };
                        let result = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
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
            self.serve(&desks, inbox);
            Ok(())
        })
    }

    /// Hands steps to free workers until nothing is left to do.
    fn serve(&mut self, desks: &[Sender<(usize, usize)>], inbox: &Receiver<Message>) {
        let mut free: Vec<usize> = (0..desks.len()).rev().collect();
        loop {
            while let Ok(message) = inbox.try_recv() {
                self.take(message, &mut free);
            }
            while self.stopping.is_none()
                && let Some(&worker) = free.last()
                && let Some(Reverse(step)) = self.ready.pop()
            {
                free.pop();
                self.started += 1;
                self.running += 1;
                desks[worker]
                    .send((step, self.started))
                    .expect("a worker lives as long as its desk");
            }
            if self.running == 0 {
                return;
            }
            // A statement that was just starting escapes a cancellation, so it is asked again.
            let patience = match self.shared.is_stopping() {
                true => Duration::from_millis(200),
                false => Duration::MAX,
            };
            match inbox.recv_timeout(patience) {
                Ok(message) => self.take(message, &mut free),
                Err(RecvTimeoutError::Timeout) => self.shared.cancel_all(),
                // Every worker holds an end of the channel while it works.
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn take(&mut self, message: Message, free: &mut Vec<usize>) {
        match message {
            Message::Ended {
                worker,
                step,
                result,
            } => {
                free.push(worker);
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
        self.ended[step] = true;
        self.results.push(Arc::new(result));
        if !failed {
            for at in 0..self.readers[step].len() {
                let reader = self.readers[step][at];
                self.missing[reader] -= 1;
                if self.missing[reader] == 0 && !self.ended[reader] {
                    self.ready.push(Reverse(reader));
                }
            }
            return;
        }
        self.skip_readers(step);
        if self.on_failure == OnFailure::Stop && self.stopping.is_none() {
            self.stop("skipped because of `--fail-fast`");
            self.shared.cancel_all();
        }
    }

    /// Skips everything that reads a failed step, through any number of steps.
    fn skip_readers(&mut self, step: usize) {
        let because = self.facts[step].unique_id.clone();
        let mut queue = self.readers[step].clone();
        while let Some(reader) = queue.pop() {
            if self.ended[reader] {
                continue;
            }
            self.skip(reader, format!("`{because}` failed"));
            queue.extend(self.readers[reader].iter().copied());
        }
    }

    /// Starts nothing more, and skips what has not started.
    fn stop(&mut self, why: &'static str) {
        self.stopping = Some(why);
        let started: Vec<usize> = self.ready.drain().map(|Reverse(step)| step).collect();
        for step in started {
            self.skip(step, why.to_owned());
        }
        for step in 0..self.nodes.len() {
            if !self.ended[step] && self.missing[step] > 0 {
                self.skip(step, why.to_owned());
            }
        }
    }

    fn skip(&mut self, step: usize, why: String) {
        self.ended[step] = true;
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

fn skipped(node: &Arc<NodeFacts>, why: String) -> NodeResult {
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
