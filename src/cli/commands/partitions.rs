//! `partitions`: the calendar of a relation, and with `--verify` whether its rows are still those that
//! were published.

use super::super::args::PartitionsArgs;
use super::super::pipeline::{self, Parsed, TemplateFlags};
use super::super::shown::calendar;
use super::plan::{View, look_only};
use super::{CommandResult, Invocation, Outcome, work};
use crate::diagnostic::{Code, Diagnostic, nearest};
use crate::executor::event::{self, Event};
use crate::executor::look::Ask;
use crate::manifest::{ResourceType, UniqueId};
use crate::planner::board::{Board, ItemKind};
use crate::planner::overview::overview;

/// `partitions`.
///
/// # Errors
/// An unknown model, what is no partition, and what the database says.
pub fn partitions(invocation: &Invocation, args: PartitionsArgs) -> CommandResult {
    let tell = |event| invocation.report(event);
    let parsed = pipeline::parse(&invocation.settings, TemplateFlags::default(), &tell)?;
    let id = named(&parsed, &args.model)?;
    let part = parsed.part_of(&id);
    let mut ask = work::clock(invocation, &parsed, &args.clock)?;
    work::bound(&mut ask, args.range.start.as_ref(), args.range.end.as_ref())?;
    let mut outcome = Outcome::Success;
    let verified = match args.verify {
        true => Some(super::adopt::verify(
            invocation,
            part,
            &id,
            &ask,
            args.lock.patience(),
        )?),
        false => None,
    };
    let view = view(invocation, part, &id, ask.as_of)?;
    let board = &view.sight.board;
    let at = place(board, part, &id)?;
    let mut shown = overview(board, &view.recall, at);
    if let Some(cut) = &board.items[at].cut {
        let range = crate::executor::look::bounds(cut, &ask);
        shown.cells.retain(|cell| range.contains(cell.partition));
    }
    let text = match args.json {
        true => format!("{:#}", calendar::to_json(&shown)),
        false => calendar::to_text(&shown, ask.as_of),
    };
    invocation.report(Event::Output(event::Output::Text(text)));
    if let Some(verified) = verified {
        outcome = match verified.disagreeing.is_empty() {
            true => Outcome::Success,
            false => Outcome::Failed,
        };
        let text = super::adopt::told_check(board, at, &verified);
        let event = match args.json {
            true => Event::Note(text),
            false => Event::Output(event::Output::Text(text)),
        };
        invocation.report(event);
    }
    Ok(outcome)
}

/// Finds a model or seed by its name, or a source by `source.table`.
///
/// # Errors
/// No such node, with a near name.
pub fn named(parsed: &Parsed, name: &str) -> Result<UniqueId, Vec<Diagnostic>> {
    let manifest = &parsed.project.manifest;
    let nodes = manifest
        .nodes
        .values()
        .filter(|node| matches!(node.resource_type, ResourceType::Model | ResourceType::Seed));
    let mut known: Vec<(String, UniqueId)> = nodes
        .map(|node| (node.name.clone(), node.unique_id.clone()))
        .collect();
    known.extend(manifest.sources.values().map(|source| {
        let name = format!("{}.{}", source.source_name, source.name);
        (name, source.unique_id.clone())
    }));
    let found = known
        .iter()
        .find(|(other, id)| other == name || id.as_str() == name);
    if let Some((_, id)) = found {
        return Ok(id.clone());
    }
    let names = known.iter().map(|(name, _)| name.as_str());
    let mut error = Diagnostic::error(Code::UnknownRef, format!("no model is named `{name}`"));
    if let Some(near) = nearest(name, names) {
        error = error.help(format!("`{near}` exists"));
    }
    Err(vec![error])
}

/// Looks at everything as a build of everything would, and leaves no trace.
///
/// # Errors
/// A node that the engine does not follow, and what the database says.
pub fn view(
    invocation: &Invocation,
    parsed: &Parsed,
    id: &UniqueId,
    as_of: jiff::Timestamp,
) -> Result<View, Vec<Diagnostic>> {
    let everything = parsed.project.manifest.nodes.keys().cloned().collect();
    let ask = Ask {
        as_of,
        ..Ask::default()
    };
    look_only(invocation, parsed, &everything, &ask)?.ok_or_else(|| not_followed(parsed, id))
}

/// The place of a node on the board.
///
/// # Errors
/// It has none, or nobody knows its versions.
pub fn place(board: &Board, parsed: &Parsed, id: &UniqueId) -> Result<usize, Vec<Diagnostic>> {
    let found = board.find(id);
    let known = |at: &usize| board.items[*at].kind != ItemKind::Unversioned;
    found.filter(known).ok_or_else(|| not_followed(parsed, id))
}

fn not_followed(parsed: &Parsed, id: &UniqueId) -> Vec<Diagnostic> {
    let manifest = &parsed.project.manifest;
    let (name, help) = match (manifest.nodes.get(id), manifest.sources.get(id)) {
        (Some(node), _) => (
            node.name.clone(),
            "`partition_by` with `begin`, or `rebuild: when_stale`, lets daygrain follow it",
        ),
        (None, Some(source)) => (
            format!("{}.{}", source.source_name, source.name),
            "a source has versions if it has `partition_by`, `begin` and files or a `loaded_at_field`",
        ),
        (None, None) => (id.to_string(), ""),
    };
    let message = match manifest.nodes.get(id) {
        Some(_) => format!("`{name}` is built each run as in dbt, and nothing is remembered of it"),
        None => format!("`{name}` has no versions, so nothing is remembered of it"),
    };
    vec![Diagnostic::error(Code::Usage, message).help(help)]
}
