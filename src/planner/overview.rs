//! The calendar of one relation as a value: each partition with its mark.

use super::board::{Board, ItemKind, Status};
use super::causes::{Recall, groups, of_the_next_run, phrase, span, wait_phrase};
use crate::calendar::Granularity;
use crate::ledger::{Outcome, RecordState};

/// What one glance tells of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// It is what today's code makes of today's inputs.
    Fresh,
    /// Built by older code, which its config lets stay.
    OlderCode,
    /// There by nobody's known code.
    Adopted,
    /// Built before it was closed.
    Provisional,
    /// It will be built.
    Stale,
    /// A test refused what was built last; what was there before stayed.
    Refused,
    /// What was tried last failed.
    Failed,
    /// It is stale and must wait.
    Waiting,
    /// A source has no such partition.
    Missing,
    /// It is stale, and what it was built from is gone.
    Frozen,
    /// Its rows were removed because they were too old.
    Expired,
    /// Nothing is there, and nothing is due.
    NotDue,
}

impl Mark {
    /// Each, in the order of a legend.
    pub const ALL: [Mark; 12] = [
        Mark::Fresh,
        Mark::OlderCode,
        Mark::Adopted,
        Mark::Provisional,
        Mark::Stale,
        Mark::Refused,
        Mark::Failed,
        Mark::Waiting,
        Mark::Missing,
        Mark::Frozen,
        Mark::Expired,
        Mark::NotDue,
    ];

    /// The word of JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Mark::OlderCode => "older_code",
            Mark::NotDue => "not_due",
            other => other.words(),
        }
    }

    /// The words of a legend.
    pub fn words(self) -> &'static str {
        match self {
            Mark::Fresh => "fresh",
            Mark::OlderCode => "older code",
            Mark::Adopted => "adopted",
            Mark::Provisional => "provisional",
            Mark::Stale => "stale",
            Mark::Refused => "refused",
            Mark::Failed => "failed",
            Mark::Waiting => "waiting",
            Mark::Missing => "missing",
            Mark::Frozen => "frozen",
            Mark::Expired => "expired",
            Mark::NotDue => "not due",
        }
    }
}

/// The mark of a partition.
pub fn mark(board: &Board, at: usize, partition: i32) -> Mark {
    let history = &board.histories[at];
    let record = history.record(partition).map(|record| record.state);
    let attempt = history
        .attempts
        .get(&partition)
        .map(|attempt| attempt.outcome);
    match (board.status(at, partition), attempt, record) {
        (Status::Stale { .. }, Some(Outcome::Refused), _) => Mark::Refused,
        (Status::Stale { .. }, Some(_), _) => Mark::Failed,
        (Status::Stale { .. }, None, _) => Mark::Stale,
        (Status::Waiting { .. }, ..) => Mark::Waiting,
        (Status::Frozen { .. }, ..) => Mark::Frozen,
        (Status::Missing, ..) => Mark::Missing,
        (Status::Expired, ..) => Mark::Expired,
        (Status::NotDue, ..) => Mark::NotDue,
        (Status::Fresh | Status::OlderCode, _, Some(RecordState::Adopted)) => Mark::Adopted,
        (Status::Fresh, _, Some(RecordState::Provisional)) => Mark::Provisional,
        (Status::OlderCode, ..) => Mark::OlderCode,
        (Status::Fresh, ..) => Mark::Fresh,
    }
}

/// A relation's partitions.
#[derive(Clone, Debug, PartialEq)]
pub struct Overview {
    /// Its name.
    pub name: String,
    /// Its physical name.
    pub relation: String,
    /// How long its partitions are; `None` where it has none.
    pub unit: Option<Granularity>,
    /// Each partition, in order.
    pub cells: Vec<Cell>,
    /// What is to be said of those that are not fresh.
    pub notes: Vec<Note>,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// Its number.
    pub partition: i32,
    /// Its key.
    pub key: String,
    /// Its mark.
    pub mark: Mark,
    /// How many rows it has, where that is known.
    pub rows: Option<i64>,
    /// The version of its content, where it has one.
    pub version: Option<i64>,
    /// Its newest build.
    pub build: Option<i64>,
    /// Why it is not fresh, or what was wrong with it last.
    pub reason: Option<String>,
}

/// What is said of partitions that follow each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Their mark.
    pub mark: Mark,
    /// Such as `2026-11-05 .. 2026-11-09`.
    pub span: String,
    /// In words.
    pub text: String,
}

/// Lays the partitions of an item out.
pub fn overview(board: &Board, recall: &Recall, at: usize) -> Overview {
    let item = &board.items[at];
    let mut cells: Vec<Cell> = board
        .range(at)
        .iter()
        .map(|partition| {
            let record = board.histories[at].record(partition);
            Cell {
                partition,
                key: board.key(at, partition),
                mark: mark(board, at, partition),
                // Nobody counts the rows of files.
                rows: record
                    .map(|record| record.rows)
                    .filter(|rows| item.kind != ItemKind::Seen || *rows > 0),
                // A look that records nothing gives numbers below zero.
                version: record
                    .map(|record| record.version)
                    .filter(|number| *number > 0),
                build: record
                    .map(|record| record.build)
                    .filter(|number| *number > 0),
                reason: None,
            }
        })
        .collect();
    let mut notes = Vec::new();
    let mut from = 0;
    while from < cells.len() {
        let mark = cells[from].mark;
        let same = cells[from..].iter().take_while(|cell| cell.mark == mark);
        let to = from + same.count();
        let parts: Vec<i32> = cells[from..to].iter().map(|cell| cell.partition).collect();
        for group in groups(board, recall, at, parts) {
            let mut words: Vec<String> = Vec::new();
            if let Some((first, last)) = &group.wait {
                words.push(format!("waits for {}", wait_phrase(board, (first, last))));
            } else {
                let causes = group.causes.iter();
                words
                    .extend(causes.map(|cause| of_the_next_run(&phrase(board, recall, at, cause))));
            }
            if let Some((gone, part)) = group.gone {
                let gone = super::causes::named(board, at, gone, &[part].into());
                words.push(format!("{gone} has expired"));
            }
            let inside = |cell: &&mut Cell| group.range.contains(cell.partition);
            for cell in cells.iter_mut().filter(inside) {
                cell.reason = (!words.is_empty()).then(|| words.join("; "));
            }
            let silent = matches!(mark, Mark::Fresh | Mark::Refused | Mark::Failed);
            if !words.is_empty() && !silent {
                notes.push(Note {
                    mark,
                    span: span(board, at, group.range),
                    text: words.join("; "),
                });
            }
        }
        from = to;
    }
    for cell in &mut cells {
        let attempt = board.histories[at].attempts.get(&cell.partition);
        if let (Some(attempt), Mark::Refused | Mark::Failed) = (attempt, cell.mark) {
            cell.reason = Some(attempt.reason.clone());
            notes.push(Note {
                mark: cell.mark,
                span: cell.key.clone(),
                text: attempt.reason.clone(),
            });
        }
    }
    notes.sort_by(|one, other| one.span.cmp(&other.span));
    Overview {
        name: item.name.clone(),
        relation: item.physical.clone(),
        unit: item.cut.as_ref().map(|cut| cut.calendar.granularity),
        cells,
        notes,
    }
}
