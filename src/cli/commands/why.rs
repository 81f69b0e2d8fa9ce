//! `why`: the story of one partition, back to the root of it.

use super::super::args::WhyArgs;
use super::super::pipeline::{self, TemplateFlags};
use super::super::shown;
use super::partitions::{named, place, view};
use super::{CommandResult, Invocation, Outcome, work};
use crate::diagnostic::{Code, Diagnostic};
use crate::executor::event::{self, Event};
use crate::executor::why::story;
use crate::planner::board::{ALL, Board};

/// `why`.
///
/// # Errors
/// An unknown model, what is no partition of it, and what the database says.
pub fn why(invocation: &Invocation, args: WhyArgs) -> CommandResult {
    let tell = |event| invocation.report(event);
    let parsed = pipeline::parse(&invocation.settings, TemplateFlags::default(), &tell)?;
    let id = named(&parsed, &args.model)?;
    let ask = work::clock(invocation, &parsed, &args.clock)?;
    let part = parsed.part_of(&id);
    let view = view(invocation, part, &id, ask.as_of)?;
    let board = &view.sight.board;
    let at = place(board, part, &id)?;
    let partition =
        partition(board, at, args.partition.as_deref()).map_err(|wrong| vec![*wrong])?;
    let story = story(&view.session, &view.sight, &view.recall, at, partition)
        .map_err(|wrong| vec![*wrong])?;
    let text = match args.json {
        true => format!("{:#}", shown::why::to_json(&story)),
        false => shown::why::to_text(&story),
    };
    invocation.report(Event::Output(event::Output::Text(text)));
    Ok(Outcome::Success)
}

/// Reads the partition that is asked for.
fn partition(board: &Board, at: usize, text: Option<&str>) -> Result<i32, Box<Diagnostic>> {
    let item = &board.items[at];
    let name = &item.name;
    let usage = |message: String| Diagnostic::error(Code::Usage, message);
    let Some(cut) = &item.cut else {
        return match text {
            None | Some("all") => Ok(ALL),
            Some(text) => {
                let message = format!("`{name}` has no partitions, so there is no `{text}` of it");
                Err(Box::new(
                    usage(message).help(format!("daygrain why {name}")),
                ))
            }
        };
    };
    let (unit, range) = (cut.calendar.granularity, board.range(at));
    let example = board.key(at, range.last);
    let Some(text) = text else {
        let message = format!("`{name}` has partitions, so say which {unit}");
        return Err(Box::new(
            usage(message).help(format!("daygrain why {name} {example}")),
        ));
    };
    let Some(partition) = unit.parse_key(text) else {
        let message = format!("`{text}` is no {unit}");
        return Err(Box::new(
            usage(message).help(format!("write it as {example}")),
        ));
    };
    if range.contains(partition) {
        return Ok(partition);
    }
    let key = unit.key(partition);
    if range.is_empty() {
        let begin = unit.key(cut.calendar.begin);
        let message = format!("no {unit} of `{name}` is due yet");
        return Err(Box::new(
            usage(message).help(format!("it begins with {begin}")),
        ));
    }
    let message = format!(
        "`{name}` has no partition {key}: they go from {} to {example}",
        board.key(at, range.first)
    );
    let help = match partition > range.last {
        true => format!("{key} is due once it has closed; --as-of sets the clock"),
        false => format!("it begins with {}", unit.key(cut.calendar.begin)),
    };
    Err(Box::new(usage(message).help(help)))
}
