//! `plan`: what a build would do and why. It only looks.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::args::{PlanArgs, SelectArgs};
use super::super::pipeline::{self, Parsed, TemplateFlags};
use super::super::shown;
use super::{CommandResult, Invocation, Outcome, work};
use crate::adapter::Access;
use crate::calendar::PartitionRange;
use crate::diagnostic::Diagnostic;
use crate::executor::event::{self, Event};
use crate::executor::inbox::{Survey, survey};
use crate::executor::look::{self, Ask, Look, Sight};
use crate::executor::recall::recall;
use crate::executor::session::Session;
use crate::executor::{Project, export};
use crate::manifest::{ResourceType, UniqueId};
use crate::planner::board::Board;
use crate::planner::causes::Recall;
use crate::planner::report::report;
use crate::planner::{Work, plan as order};

/// `plan`.
///
/// # Errors
/// What is wrong with the user's input, and what the database says.
pub fn plan(invocation: &Invocation, args: PlanArgs) -> CommandResult {
    let settings = &invocation.settings;
    let tell = |event| invocation.report(event);
    let flags = TemplateFlags {
        full_refresh: settings.full_refresh(args.refresh.full_refresh),
        ..TemplateFlags::default()
    };
    let opened = pipeline::open(settings, flags, &tell)?;
    invocation.open_ahead(&opened, Access::Reading);
    let parsed = pipeline::parse_opened(settings, opened, &tell)?;
    let select = with_names(args.select, args.nodes);
    let kinds = work::kinds(Work::Build);
    let selected = pipeline::select(&parsed, settings, &select, &args.types, kinds, &tell)?;
    let ask = work::ask(invocation, &parsed, &args.partitions, flags)?;
    let form = Form {
        work: Work::Build,
        json: args.json,
        allow_waiting: args.partitions.allow_waiting,
    };
    show_plan(invocation, &parsed, &selected, &ask, form)
}

/// `--select` with the selectors that stand without a flag.
pub fn with_names(mut select: SelectArgs, names: Vec<String>) -> SelectArgs {
    select.select.extend(names);
    select
}

/// How a plan is shown.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// The command that is planned.
    pub work: Work,
    /// Whether it is JSON.
    pub json: bool,
    /// Whether partitions that wait are no failure.
    pub allow_waiting: bool,
}

/// Prints what a command would do with what is selected.
///
/// # Errors
/// What the database says, and files that cannot be listed.
pub fn show_plan(
    invocation: &Invocation,
    parsed: &Parsed,
    selected: &BTreeSet<UniqueId>,
    ask: &Ask,
    form: Form,
) -> CommandResult {
    let nothing = Board::new(Vec::new(), Vec::new(), Vec::new(), ask.as_of);
    let mut told = report(&nothing, &Recall::default(), &[]);
    let mut inboxes = Vec::new();
    let mut exported: Vec<(UniqueId, PartitionRange)> = Vec::new();
    for (part, selected) in parsed.selected_parts(selected) {
        let project = &part.project;
        let plan = order(&project.manifest, &part.graph, &selected, form.work);
        let sources = exported
            .iter()
            .map(|(id, _)| (id.clone(), source_name(project, id)));
        let nodes = plan
            .steps
            .iter()
            .map(|step| &project.manifest.nodes[&step.node])
            .filter(|node| node.resource_type != ResourceType::Test)
            .map(|node| (node.unique_id.clone(), node.name.clone()));
        let taken = plan.steps.iter().map(|step| step.node.clone()).collect();
        inboxes.extend(in_inboxes(invocation, part, &taken)?);
        told.append(match look_only(invocation, part, &taken, ask)? {
            Some(view) => {
                let board = view.sight.board;
                let places = exported
                    .iter()
                    .filter_map(|(id, range)| Some((board.find(id)?, *range)));
                let places: Vec<(usize, PartitionRange)> = places.collect();
                let read = |(id, _): &(UniqueId, String)| board.find(id).is_some();
                let order: Vec<_> = sources.filter(read).chain(nodes).collect();
                report(&board.expecting(&places), &view.recall, &order)
            }
            None => report(&nothing, &Recall::default(), &nodes.collect::<Vec<_>>()),
        });
        if !project.manifest.exports.is_empty() {
            exported.extend(to_export(invocation, part, &selected, ask)?);
        }
    }
    let plain = !look::is_followed(&parsed.project);
    let text = match form.json {
        true => {
            let mut json = shown::plan::to_json(&told);
            if !inboxes.is_empty() {
                json["inboxes"] = shown::inbox::to_json(&inboxes);
            }
            format!("{json:#}")
        }
        false => shown::plan::to_text(&told, plain) + &shown::inbox::to_text(&inboxes),
    };
    invocation.report(Event::Output(event::Output::Text(text)));
    let waits = !told.waiting.is_empty() || inboxes.iter().any(|inbox| !inbox.waiting.is_empty());
    Ok(match form.allow_waiting || !waits {
        true => Outcome::Success,
        false => Outcome::Failed,
    })
}

fn source_name(project: &Project, id: &UniqueId) -> String {
    let source = project.manifest.sources.get(id);
    source.map_or_else(
        || id.to_string(),
        |source| format!("{}.{}", source.source_name, source.name),
    )
}

/// What a part would export.
fn to_export(
    invocation: &Invocation,
    part: &Parsed,
    selected: &BTreeSet<UniqueId>,
    ask: &Ask,
) -> Result<Vec<(UniqueId, PartitionRange)>, Vec<Diagnostic>> {
    let shared = invocation.sessions_to_look(part)?;
    let session = Session::new(shared).map_err(|error| vec![*pipeline::no_session(error)])?;
    export::expected(
        &part.project,
        &part.graph,
        &Arc::new(session),
        selected,
        ask,
    )
}

/// What the inboxes of some tables of the ODS have to load.
fn in_inboxes(
    invocation: &Invocation,
    parsed: &Parsed,
    taken: &BTreeSet<UniqueId>,
) -> Result<Vec<Survey>, Vec<Diagnostic>> {
    let nodes = &parsed.project.manifest.nodes;
    if !taken.iter().any(|id| nodes[id].is_ods_table()) {
        return Ok(Vec::new());
    }
    let shared = invocation.sessions_to_look(parsed)?;
    let session = Session::new(shared).map_err(pipeline::no_session);
    let session = session.map_err(|wrong| vec![*wrong])?;
    survey(&parsed.project, &Arc::new(session), taken)
}

/// What a look without traces has found.
pub struct View {
    /// What is stale, and why.
    pub sight: Sight,
    /// What reasons are told by.
    pub recall: Recall,
    /// The session that asks more.
    pub session: Arc<Session>,
}

/// Looks at what the engine follows, and leaves no trace; `None` where it follows nothing.
///
/// # Errors
/// What the database says, and files that cannot be listed.
pub fn look_only(
    invocation: &Invocation,
    parsed: &Parsed,
    selected: &BTreeSet<UniqueId>,
    ask: &Ask,
) -> Result<Option<View>, Vec<Diagnostic>> {
    let project = &parsed.project;
    let Some(outline) = look::follow(project, &parsed.graph) else {
        return Ok(None);
    };
    let one = |wrong: Box<Diagnostic>| vec![*wrong];
    let shared = invocation.sessions_to_look(parsed)?;
    let session = Session::new(shared).map_err(pipeline::no_session);
    let session = Arc::new(session.map_err(one)?);
    let sight = look::look(project, &session, outline, selected, ask, Look::Reading)?;
    for warning in &sight.warnings {
        invocation.report(Event::Diagnostic(Arc::new(warning.clone())));
    }
    let recall = recall(&session, &sight).map_err(one)?;
    Ok(Some(View {
        sight,
        recall,
        session,
    }))
}
