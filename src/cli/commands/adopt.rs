//! `adopt`: what tables already hold is taken over; and the check of `partitions --verify`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::super::args::AdoptArgs;
use super::super::pipeline::{self, Parsed, TemplateFlags};
use super::super::shown::{count, rows};
use super::plan::with_names;
use super::{CommandResult, Invocation, Outcome, partitions, work};
use crate::calendar::PartitionRange;
use crate::diagnostic::{Code, Diagnostic};
use crate::executor::adopt::{self, Adopted, Place, Verified};
use crate::executor::event::{self, Event};
use crate::executor::look::{self, Ask, Look, Sight};
use crate::executor::run;
use crate::executor::session::{Session, SessionShared};
use crate::manifest::{ResourceType, UniqueId};
use crate::planner::board::{Board, ItemKind};
use crate::planner::causes::listed;

/// `adopt`.
///
/// # Errors
/// What is wrong with the user's input, and what the database says.
pub fn adopt(invocation: &Invocation, args: AdoptArgs) -> CommandResult {
    let settings = &invocation.settings;
    let tell = |event| invocation.report(event);
    let select = with_names(args.select, args.nodes);
    if select.select.is_empty() {
        let error = Diagnostic::error(Code::Usage, "`adopt` needs to know which models");
        return Err(vec![error.help("name them: daygrain adopt orders")]);
    }
    let parsed = pipeline::parse(settings, TemplateFlags::default(), &tell)?;
    let kinds = [ResourceType::Model, ResourceType::Seed];
    let types = super::super::args::TypeArgs::default();
    let selected = pipeline::select(&parsed, settings, &select, &types, &kinds, &tell)?;
    let mut ask = work::clock(invocation, &parsed, &args.clock)?;
    work::bound(&mut ask, args.range.start.as_ref(), args.range.end.as_ref())?;
    let managed = |id: &UniqueId| parsed.project.manifest.nodes[id].upkeep.is_managed();
    let selected: BTreeSet<UniqueId> = selected.into_iter().filter(managed).collect();
    if selected.is_empty() {
        let error = Diagnostic::error(Code::Usage, "nothing is selected that daygrain follows");
        return Err(vec![error.help(
            "`partition_by` with `begin`, or `rebuild: when_stale`, lets daygrain follow a model",
        )]);
    }
    if args.from.is_some() && selected.len() != 1 {
        let message = format!(
            "`--from` is about one model, and {} are selected that daygrain follows",
            selected.len()
        );
        return Err(vec![Diagnostic::error(Code::Usage, message)]);
    }
    let patience = args.lock.patience();
    for (part, selected) in parsed.selected_parts(&selected) {
        adopt_part(
            invocation,
            part,
            &selected,
            &ask,
            args.from.as_deref(),
            patience,
        )?;
    }
    Ok(Outcome::Success)
}

/// Adopts what is selected of one connection.
fn adopt_part(
    invocation: &Invocation,
    part: &Parsed,
    selected: &BTreeSet<UniqueId>,
    ask: &Ask,
    from: Option<&str>,
    patience: Duration,
) -> Result<(), Vec<Diagnostic>> {
    let one = |wrong: Box<Diagnostic>| vec![*wrong];
    let (mut sight, session, shared) = look_and_record(invocation, part, ask, patience)?;
    let place = Place {
        project: &part.project,
        session: &session,
        shared: &shared,
        lock_timeout: patience,
    };
    let say = |text: String| invocation.report(Event::Output(event::Output::Text(text)));
    let followed: Vec<usize> = (0..sight.board.items.len())
        .filter(|at| selected.contains(&sight.board.items[*at].id))
        .filter(|at| sight.board.items[*at].kind == ItemKind::Managed)
        .collect();
    if let (Some(old), Some(at)) = (from, followed.first()) {
        let taken = adopt::inherit(place, &mut sight, *at, old).map_err(one)?;
        let item = &sight.board.items[*at];
        say(format!(
            "{} has the history of {}: {}, {}",
            item.name,
            taken.from,
            told_parts(&sight.board, *at, &taken.parts),
            rows(taken.rows)
        ));
        return Ok(());
    }
    for at in followed {
        let range = match &sight.board.items[at].cut {
            Some(cut) => look::bounds(cut, ask),
            None => PartitionRange::new(i32::MIN, i32::MAX),
        };
        let adopted = adopt::adopt(place, &mut sight, at, range).map_err(one)?;
        say(told(&sight.board, at, &adopted));
    }
    Ok(())
}

/// What was adopted, in words.
fn told(board: &Board, at: usize, adopted: &Adopted) -> String {
    let mut text = board.items[at].name.clone();
    match adopted.parts.is_empty() {
        true => text.push_str(": nothing to adopt"),
        false => {
            text.push_str(&format!(
                ": adopted {}, {}",
                told_parts(board, at, &adopted.parts),
                rows(adopted.rows)
            ));
        }
    }
    let unit = unit(board, at);
    if adopted.known > 0 {
        text.push_str(&format!("; {} known already", count(adopted.known, unit)));
    }
    if adopted.empty > 0 {
        text.push_str(&format!(
            "; {} without rows, left to be built",
            count(adopted.empty, unit)
        ));
    }
    text
}

fn unit(board: &Board, at: usize) -> &'static str {
    let cut = board.items[at].cut.as_ref();
    cut.map_or("partition", |cut| cut.calendar.granularity.as_str())
}

fn told_parts(board: &Board, at: usize, parts: &[i32]) -> String {
    if board.items[at].cut.is_none() {
        return "its table".to_owned();
    }
    let set: BTreeSet<i32> = parts.iter().copied().collect();
    let number = count(set.len(), unit(board, at));
    format!("{number} ({})", listed(board, at, &set))
}

/// Looks at everything, on a session that may write.
fn look_and_record(
    invocation: &Invocation,
    parsed: &Parsed,
    ask: &Ask,
    patience: Duration,
) -> Result<(Sight, Arc<Session>, Arc<SessionShared>), Vec<Diagnostic>> {
    let project = &parsed.project;
    let outline = look::follow(project, &parsed.graph).ok_or_else(|| {
        let message = "nothing in this project is partitioned or `rebuild: when_stale`";
        vec![Diagnostic::error(Code::Usage, message)]
    })?;
    let one = |wrong: Box<Diagnostic>| vec![*wrong];
    let shared = invocation.sessions(parsed)?;
    let session = Session::new(Arc::clone(&shared)).map_err(pipeline::no_session);
    let session = Arc::new(session.map_err(one)?);
    run::connect(&session, project, patience).map_err(one)?;
    let everything: BTreeSet<UniqueId> = project.manifest.nodes.keys().cloned().collect();
    let ask = Ask {
        as_of: ask.as_of,
        ..Ask::default()
    };
    let sight = look::look(
        project,
        &session,
        outline,
        &everything,
        &ask,
        Look::Recording,
    )?;
    Ok((sight, session, shared))
}

/// Hashes the rows of a model again, and records what is not as it was published.
///
/// # Errors
/// A node that the engine does not build, and what the database says.
pub fn verify(
    invocation: &Invocation,
    parsed: &Parsed,
    id: &UniqueId,
    ask: &Ask,
    patience: Duration,
) -> Result<Verified, Vec<Diagnostic>> {
    // Where nothing was ever published, no ledger is made for it.
    let seen = partitions::view(invocation, parsed, id, ask.as_of)?;
    if !seen.sight.ledger_exists {
        return Ok(Verified::default());
    }
    drop(seen);
    let (mut sight, session, shared) = look_and_record(invocation, parsed, ask, patience)?;
    let at = partitions::place(&sight.board, parsed, id)?;
    let range = match &sight.board.items[at].cut {
        Some(cut) => look::bounds(cut, ask),
        None => PartitionRange::new(i32::MIN, i32::MAX),
    };
    let place = Place {
        project: &parsed.project,
        session: &session,
        shared: &shared,
        lock_timeout: patience,
    };
    adopt::verify(place, &mut sight, at, range).map_err(|wrong| vec![*wrong])
}

/// What a check found, in words.
pub fn told_check(board: &Board, at: usize, verified: &Verified) -> String {
    let mut text = format!(
        "\nverified {} of {}",
        count(verified.checked, unit(board, at)),
        board.items[at].name
    );
    if verified.only_counted > 0 {
        text.push_str(&format!(
            ", {} by the number of rows alone",
            verified.only_counted
        ));
    }
    if verified.disagreeing.is_empty() {
        text.push_str(": all as published");
        return text;
    }
    text.push_str(&format!(
        ": {} changed outside daygrain, which the next run builds anew",
        verified.disagreeing.len()
    ));
    for (part, how) in &verified.disagreeing {
        text.push_str(&format!("\n  {}  {how}", board.key(at, *part)));
    }
    text
}
