//! `build`, `run`, `test` and `seed`: select, plan, run, write the artifacts.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use super::super::args::{
    BackfillArgs, BuildArgs, ClockArgs, DryRunArgs, PartitionArgs, RunArgs, SeedArgs, SelectArgs,
    TestArgs, TypeArgs, WorkArgs,
};
use super::super::interrupt;
use super::super::pipeline::{self, Parsed, TemplateFlags};
use super::plan::{Form, show_plan, with_names};
use super::{CommandResult, Invocation, Outcome};
use crate::adapter::Access;
use crate::calendar::{self, Granularity};
use crate::diagnostic::{Code, Diagnostic};
use crate::executor::event::{Event, NodeResult, NodeStatus};
use crate::executor::export;
use crate::executor::look::Ask;
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
    partitions: PartitionArgs,
    dry: DryRunArgs,
    backfill: bool,
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
            partitions: PartitionArgs::default(),
            dry: DryRunArgs::default(),
            backfill: false,
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
    job.partitions = args.partitions;
    job.dry = args.dry;
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
    job.partitions = args.partitions;
    job.dry = args.dry;
    carry_out(invocation, job)
}

/// `test`.
///
/// # Errors
/// As [`build`].
pub fn test(invocation: &Invocation, args: TestArgs) -> CommandResult {
    let mut job = Job::new(Work::Test, args.select, &args.work)
        .storing(invocation, args.store.store_failures);
    job.partitions.clock = args.clock;
    job.partitions.lock = args.lock;
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

/// `backfill`: a range of partitions is built again, whether they are stale or not.
///
/// # Errors
/// As [`build`], and a range that is not bounded on both sides.
pub fn backfill(invocation: &Invocation, args: BackfillArgs) -> CommandResult {
    let select = with_names(args.select, args.nodes);
    let partitions = &args.partitions;
    let bounded = partitions.range.start.is_some() && partitions.range.end.is_some();
    let wrong = if select.select.is_empty() {
        Some((
            "`backfill` needs to know which models",
            "name them: daygrain backfill orders --start 2026-11-01 --end 2026-11-14",
        ))
    } else if !bounded && partitions.partition_date.is_none() {
        Some((
            "`backfill` needs both `--start` and `--end`",
            "`build --full-refresh` builds every partition anew",
        ))
    } else {
        None
    };
    if let Some((message, help)) = wrong {
        return Err(vec![Diagnostic::error(Code::Usage, message).help(help)]);
    }
    let mut job =
        Job::new(Work::Build, select, &args.work).storing(invocation, args.store.store_failures);
    job.partitions = args.partitions;
    job.dry = args.dry;
    job.backfill = true;
    carry_out(invocation, job)
}

/// The types of nodes that a command takes, which bounds what its selectors match.
pub fn kinds(work: Work) -> &'static [ResourceType] {
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
    let opened = pipeline::open(settings, job.flags, &report)?;
    let access = match job.dry.dry_run {
        true => Access::Reading,
        false => Access::Writing,
    };
    invocation.open_ahead(&opened, access);
    let parsed = pipeline::parse_opened(settings, opened, &report)?;
    if job.dry.dry_run {
        let (selected, ask) = asked_for(invocation, &parsed, &job)?;
        let form = Form {
            work: job.work,
            json: job.dry.json,
            allow_waiting: job.partitions.allow_waiting,
        };
        return show_plan(invocation, &parsed, &selected, &ask, form);
    }
    pipeline::write_manifest(invocation, &parsed)?;
    let (results, cancelled) = run_selected(invocation, &parsed, &job)?;
    if job.show {
        show_seeds(invocation, &parsed, &results)?;
    }
    let waiting =
        !job.partitions.allow_waiting && results.iter().any(|result| !result.waiting.is_empty());
    let failed = cancelled || waiting || results.iter().any(|result| result.status.is_failure());
    if !failed && matches!(job.work, Work::Build | Work::Run) {
        hint(invocation, &results);
    }
    parsed.leave();
    Ok(if failed {
        Outcome::Failed
    } else {
        Outcome::Success
    })
}

/// What is selected, and which partitions of it.
fn asked_for(
    invocation: &Invocation,
    parsed: &Parsed,
    job: &Job,
) -> Result<(BTreeSet<UniqueId>, Ask), Vec<Diagnostic>> {
    let settings = &invocation.settings;
    let report = |event| invocation.report(event);
    let kinds = kinds(job.work);
    let mut selected = pipeline::select(parsed, settings, &job.select, &job.types, kinds, &report)?;
    let mut ask = ask(invocation, parsed, &job.partitions, job.flags)?;
    if job.backfill {
        ask.forced = true;
        only_partitioned(parsed, &mut selected)?;
    }
    Ok((selected, ask))
}

fn run_selected(
    invocation: &Invocation,
    parsed: &Parsed,
    job: &Job,
) -> Result<(Vec<Arc<NodeResult>>, bool), Vec<Diagnostic>> {
    let (selected, ask) = asked_for(invocation, parsed, job)?;
    carry_out_plan(
        invocation,
        parsed,
        &selected,
        WorkOrder {
            work: job.work,
            threads: job.threads,
            ask,
            lock_timeout: job.partitions.lock.patience(),
        },
    )
}

/// Leaves the partitioned models of a selection, and the tests.
fn only_partitioned(
    parsed: &Parsed,
    selected: &mut BTreeSet<UniqueId>,
) -> Result<(), Vec<Diagnostic>> {
    let nodes = &parsed.project.manifest.nodes;
    let partitioned = |id: &UniqueId| nodes[id].upkeep.partitioning.is_some();
    if !selected.iter().any(partitioned) {
        let error = Diagnostic::error(Code::Usage, "no partitioned model is selected");
        let help = "backfill builds partitions; `build --full-refresh` builds everything else anew";
        return Err(vec![error.help(help)]);
    }
    selected.retain(|id| nodes[id].resource_type == ResourceType::Test || partitioned(id));
    Ok(())
}

/// How a plan is carried out, as the command line says it.
pub struct WorkOrder {
    /// What is done with each node.
    pub work: Work,
    /// `--threads`.
    pub threads: Option<usize>,
    /// Which partitions are built.
    pub ask: Ask,
    /// `--lock-timeout`.
    pub lock_timeout: Duration,
}

/// Which partitions the command line asks for.
///
/// # Errors
/// What is no time and no partition.
pub fn ask(
    invocation: &Invocation,
    parsed: &Parsed,
    args: &PartitionArgs,
    flags: TemplateFlags,
) -> Result<Ask, Vec<Diagnostic>> {
    let mut ask = clock(invocation, parsed, &args.clock)?;
    let (start, end) = match &args.partition_date {
        Some(one) => (Some(one), Some(one)),
        None => (args.range.start.as_ref(), args.range.end.as_ref()),
    };
    match (start, end, flags.event_time) {
        (None, None, Some(asked)) => {
            ask.start = Some(asked.start);
            ask.end = Some(asked.end);
        }
        _ => bound(&mut ask, start, end)?,
    }
    ask.forced = flags.full_refresh == Some(true);
    ask.open = args.include_open;
    Ok(ask)
}

/// Bounds what is asked for by the first and the last partition.
///
/// # Errors
/// What is no partition, and an end before the start.
pub fn bound(
    ask: &mut Ask,
    start: Option<&String>,
    end: Option<&String>,
) -> Result<(), Vec<Diagnostic>> {
    let mut wrong = Vec::new();
    let mut bounds = |text: Option<&String>| {
        let text = text?;
        let read = partition_bounds(text);
        if read.is_none() {
            let message = format!("`{text}` is no partition");
            wrong.push(
                Diagnostic::error(Code::Usage, message)
                    .help("write a date such as 2026-11-05, an hour 2026-11-05T13, or 2026-11"),
            );
        }
        read
    };
    ask.start = bounds(start).map(|(start, _)| start);
    ask.end = bounds(end).map(|(_, end)| end);
    if let (Some(start), Some(end)) = (ask.start, ask.end)
        && start >= end
    {
        wrong.push(Diagnostic::error(
            Code::Usage,
            "`--end` lies before `--start`",
        ));
    }
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(wrong),
    }
}

/// The run's clock.
///
/// # Errors
/// What is no time.
pub fn clock(
    invocation: &Invocation,
    parsed: &Parsed,
    args: &ClockArgs,
) -> Result<Ask, Vec<Diagnostic>> {
    let said = args.as_of.as_ref().or_else(|| {
        let set = invocation.settings.environment.get("DAYGRAIN_AS_OF");
        set.filter(|text| !text.is_empty())
    });
    let as_of = match said {
        None => parsed.project.facts.run_started_at.timestamp(),
        Some(text) => moment(text).ok_or_else(|| {
            let message = format!("`--as-of` must be a time, found `{text}`");
            let help = "write it as 2026-11-15 or 2026-11-15T02:00:00; without a zone it is UTC's";
            vec![Diagnostic::error(Code::Usage, message).help(help)]
        })?,
    };
    Ok(Ask {
        as_of,
        ..Ask::default()
    })
}

fn moment(text: &str) -> Option<jiff::Timestamp> {
    if let Ok(instant) = text.parse() {
        return Some(instant);
    }
    let civil = calendar::parse_moment(text)?;
    let zoned = civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(zoned.timestamp())
}

/// The first moment of a partition and that of the next, by the length of its key.
fn partition_bounds(text: &str) -> Option<(jiff::civil::DateTime, jiff::civil::DateTime)> {
    let granularity = match text.len() {
        4 => Granularity::Year,
        7 => Granularity::Month,
        10 => Granularity::Day,
        _ => Granularity::Hour,
    };
    let partition = granularity.parse_key(text)?;
    Some((
        granularity.civil_start(partition),
        granularity.civil_start(partition + 1),
    ))
}

/// Plans and runs what is selected, connection by connection, and writes the artifacts; the flag tells
/// of an interrupt.
///
/// # Errors
/// What makes a run impossible, and artifacts that cannot be written.
pub fn carry_out_plan(
    invocation: &Invocation,
    parsed: &Parsed,
    selected: &BTreeSet<UniqueId>,
    order: WorkOrder,
) -> Result<(Vec<Arc<NodeResult>>, bool), Vec<Diagnostic>> {
    let work = order.work;
    let started = std::time::Instant::now();
    let (mut results, mut interrupted, mut impossible) = (Vec::new(), false, None);
    let mut closing = None;
    for (part, selected) in parsed.selected_parts(selected) {
        // The part before has left its database for this one to find as it is.
        drop(closing.take());
        let carried_out = invocation.sessions(part).and_then(|shared| {
            let ended = carry_out_part(invocation, part, &shared, &selected, &order);
            closing = Some(shared);
            ended
        });
        part.project.readers.close();
        match carried_out {
            Ok((ended, stopped)) => {
                results.extend(ended);
                interrupted |= stopped;
            }
            Err(wrong) => impossible = Some(wrong),
        }
        let failed = results.iter().any(|result| result.status.is_failure());
        if interrupted || impossible.is_some() || (failed && invocation.settings.fail_fast) {
            break;
        }
    }
    if results.is_empty()
        && let Some(wrong) = impossible
    {
        return Err(wrong);
    }
    let elapsed = started.elapsed();
    // An embedded database writes itself down when it is closed, which takes as long as the rest here.
    std::thread::scope(|threads| {
        threads.spawn(move || drop(closing));
        invocation.report(Event::RunFinished {
            results: results.clone(),
            elapsed,
            cancelled: interrupted,
        });
        pipeline::write_run_results(invocation, parsed, &results, elapsed)?;
        if let Some(wrong) = impossible {
            return Err(wrong);
        }
        // What builds has written one at its start, which holds all that is known if nothing was
        // compiled.
        let compiled = results.iter().any(|result| result.compiled_code.is_some());
        if compiled || work == Work::Compile {
            pipeline::write_compiled_manifest(invocation, parsed, &results)?;
        }
        Ok(())
    })?;
    Ok((results, interrupted))
}

/// Runs what is selected of one connection, then what it exports.
fn carry_out_part(
    invocation: &Invocation,
    part: &Parsed,
    shared: &Arc<SessionShared>,
    selected: &BTreeSet<UniqueId>,
    order: &WorkOrder,
) -> Result<(Vec<Arc<NodeResult>>, bool), Vec<Diagnostic>> {
    let settings = &invocation.settings;
    let (project, graph) = (&part.project, &part.graph);
    let plan = plan(&project.manifest, graph, selected, order.work);
    let (outbox, inbox) = channel();
    let watch = interrupt::watch(outbox.clone(), shared);
    let options = RunOptions {
        work: order.work,
        threads: settings
            .threads(order.threads)
            .unwrap_or(part.target.threads),
        on_failure: if settings.fail_fast {
            OnFailure::Stop
        } else {
            OnFailure::GoOn
        },
        ask: order.ask.clone(),
        lock_timeout: order.lock_timeout,
    };
    let (mut results, stopped) = run::run(project, graph, shared, &plan, options, (outbox, inbox))?;
    let exports = matches!(order.work, Work::Build | Work::Run) && !stopped;
    if exports && !watch.was_interrupted() {
        let written = export::export(project, graph, shared, selected, &order.ask, &results)?;
        results.extend(written);
    }
    Ok((results, stopped || watch.was_interrupted()))
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
    for result in results {
        if result.status != NodeStatus::Success {
            continue;
        }
        let part = parsed.part_of(&result.node.unique_id);
        let shared = invocation.sessions(part)?;
        let Some(relation) = &result.node.relation else {
            continue;
        };
        let sql = format!("select * from {relation}");
        let table =
            super::show::preview(part, &shared, &sql, Some(10)).map_err(|wrong| vec![*wrong])?;
        super::show::print(
            invocation,
            Some(&result.node.name),
            &table,
            super::super::args::Output::Text,
        );
    }
    Ok(())
}
