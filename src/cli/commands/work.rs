//! `build`, `run`, `test` and `seed`: select, plan, run, write the artifacts.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::channel;

use super::super::args::{BuildArgs, RunArgs, SeedArgs, SelectArgs, TestArgs, TypeArgs, WorkArgs};
use super::super::interrupt;
use super::super::pipeline::{self, Parsed, TemplateFlags};
use super::{CommandResult, Invocation, Outcome};
use crate::diagnostic::Diagnostic;
use crate::executor::event::{Event, NodeResult, NodeStatus};
use crate::executor::run::{self, OnFailure, RunOptions};
use crate::executor::session::SessionShared;
use crate::manifest::{ResourceType, UniqueId};
use crate::planner::{Work, plan};

/// What the four commands differ in.
struct Job {
    work: Work,
    select: SelectArgs,
    types: TypeArgs,
    threads: Option<usize>,
    flags: TemplateFlags,
    show: bool,
}

impl Job {
    fn new(work: Work, select: SelectArgs, threads: &WorkArgs) -> Job {
        Job {
            work,
            select,
            types: TypeArgs::default(),
            threads: threads.threads,
            flags: TemplateFlags::default(),
            show: false,
        }
    }

    fn refreshing(mut self, invocation: &Invocation, given: bool) -> Job {
        self.flags.full_refresh = invocation.settings.full_refresh(given);
        self
    }

    fn storing(mut self, invocation: &Invocation, given: bool) -> Job {
        self.flags.store_failures = invocation.settings.store_failures(given);
        self
    }
}

/// `build`.
///
/// # Errors
/// As for every command: what is wrong with the user's input.
pub fn build(invocation: &Invocation, args: BuildArgs) -> CommandResult {
    let mut job = Job::new(Work::Build, args.select, &args.work)
        .refreshing(invocation, args.refresh.full_refresh)
        .storing(invocation, args.store.store_failures);
    job.types = args.types;
    job.flags.event_time = invocation.settings.event_time(&args.event_time)?;
    carry_out(invocation, job)
}

/// `run`.
///
/// # Errors
/// As [`build`].
pub fn run(invocation: &Invocation, args: RunArgs) -> CommandResult {
    let mut job = Job::new(Work::Run, args.select, &args.work)
        .refreshing(invocation, args.refresh.full_refresh);
    job.flags.event_time = invocation.settings.event_time(&args.event_time)?;
    carry_out(invocation, job)
}

/// `test`.
///
/// # Errors
/// As [`build`].
pub fn test(invocation: &Invocation, args: TestArgs) -> CommandResult {
    let job = Job::new(Work::Test, args.select, &args.work)
        .storing(invocation, args.store.store_failures);
    carry_out(invocation, job)
}

/// `seed`.
///
/// # Errors
/// As [`build`].
pub fn seed(invocation: &Invocation, args: SeedArgs) -> CommandResult {
    let mut job = Job::new(Work::Seed, args.select, &args.work)
        .refreshing(invocation, args.refresh.full_refresh);
    job.show = args.show;
    carry_out(invocation, job)
}

/// The types of nodes that a command takes, which bounds what its selectors match.
fn kinds(work: Work) -> &'static [ResourceType] {
    match work {
        Work::Run => &[ResourceType::Model],
        Work::Test => &[ResourceType::Test],
        Work::Seed => &[ResourceType::Seed],
        Work::Build => &[ResourceType::Model, ResourceType::Seed, ResourceType::Test],
        Work::Compile => &[
            ResourceType::Model,
            ResourceType::Test,
            ResourceType::Analysis,
        ],
    }
}

fn carry_out(invocation: &Invocation, job: Job) -> CommandResult {
    let settings = &invocation.settings;
    let report = |event| invocation.report(event);
    let parsed = pipeline::parse(settings, job.flags, &report)?;
    pipeline::write_manifest(invocation, &parsed)?;
    let (results, cancelled) = run_selected(invocation, &parsed, &job)?;
    if job.show {
        show_seeds(invocation, &parsed, &results)?;
    }
    let failed = cancelled || results.iter().any(|result| result.status.is_failure());
    if !failed && matches!(job.work, Work::Build | Work::Run) {
        hint(invocation, &results);
    }
    Ok(if failed {
        Outcome::Failed
    } else {
        Outcome::Success
    })
}

fn run_selected(
    invocation: &Invocation,
    parsed: &Parsed,
    job: &Job,
) -> Result<(Vec<Arc<NodeResult>>, bool), Vec<Diagnostic>> {
    let settings = &invocation.settings;
    let report = |event| invocation.report(event);
    let kinds = kinds(job.work);
    let selected = pipeline::select(parsed, settings, &job.select, &job.types, kinds, &report)?;
    let shared = invocation.sessions(parsed)?;
    carry_out_plan(
        invocation,
        parsed,
        &shared,
        &selected,
        job.work,
        job.threads,
    )
}

/// Plans and runs what is selected, and writes the artifacts; the flag tells of an interrupt.
///
/// # Errors
/// What makes a run impossible, and artifacts that cannot be written.
pub fn carry_out_plan(
    invocation: &Invocation,
    parsed: &Parsed,
    shared: &Arc<SessionShared>,
    selected: &BTreeSet<UniqueId>,
    work: Work,
    threads: Option<usize>,
) -> Result<(Vec<Arc<NodeResult>>, bool), Vec<Diagnostic>> {
    let settings = &invocation.settings;
    let threads = settings.threads(threads);
    let plan = plan(&parsed.project.manifest, &parsed.graph, selected, work);
    let (outbox, inbox) = channel();
    let watch = interrupt::watch(outbox.clone(), Arc::clone(shared));
    let options = RunOptions {
        work,
        threads: threads.unwrap_or(parsed.target.threads),
        on_failure: if settings.fail_fast {
            OnFailure::Stop
        } else {
            OnFailure::GoOn
        },
    };
    let started = std::time::Instant::now();
    let results = run::run(&parsed.project, shared, &plan, options, (outbox, inbox))
        .map_err(|diagnostic| vec![*diagnostic])?;
    pipeline::write_run_results(invocation, parsed, &results, started.elapsed())?;
    pipeline::write_compiled_manifest(invocation, parsed, &results)?;
    Ok((results, watch.was_interrupted()))
}

/// Names what was built last: it is likely what the user wants to look at.
fn hint(invocation: &Invocation, results: &[Arc<NodeResult>]) {
    let model = results.iter().rev().find(|result| {
        result.node.resource_type == ResourceType::Model && result.status == NodeStatus::Success
    });
    if let Some(model) = model {
        let text = format!(
            "look at the rows: daygrain show --select {}",
            model.node.name
        );
        invocation.report(Event::Hint(text));
    }
}

/// `seed --show`: the first rows of each seed that was loaded.
fn show_seeds(
    invocation: &Invocation,
    parsed: &Parsed,
    results: &[Arc<NodeResult>],
) -> Result<(), Vec<Diagnostic>> {
    let shared = invocation.sessions(parsed)?;
    for result in results {
        if result.status != NodeStatus::Success {
            continue;
        }
        let Some(relation) = &result.node.relation else {
            continue;
        };
        let sql = format!("select * from {relation}");
        let table =
            super::show::preview(parsed, &shared, &sql, Some(10)).map_err(|wrong| vec![*wrong])?;
        super::show::print(
            invocation,
            Some(&result.node.name),
            &table,
            super::super::args::Output::Text,
        );
    }
    Ok(())
}
