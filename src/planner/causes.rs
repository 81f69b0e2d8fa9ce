//! Why partitions are stale or must wait, as causes and in words: what `plan`, `why` and `partitions`
//! say.
//!
//! [`super::board`] alone decides what is stale. What is here names the inputs that are meant, by
//! comparing what a build read with what it would read now.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::board::{Board, ItemKind, ItemRead, Status, Wait, Why};
use crate::calendar::{Mapping, PartitionRange};
use crate::ledger::Input;

/// At most so many runs of partitions are named in one phrase.
const NAMED_RUNS: usize = 3;

/// At most so many files are named in one phrase.
const NAMED_FILES: usize = 2;

/// What the ledger tells beside the newest builds, as far as it was asked.
#[derive(Clone, Debug, Default)]
pub struct Recall {
    /// What builds read, by their number.
    pub inputs: HashMap<i64, Vec<Input>>,
    /// What is new of a source's partitions, by the place of its item.
    pub sources: HashMap<(usize, i32), SourceChange>,
    /// The tables that are there and of which no partition is known, by the place of their item.
    pub unknown: BTreeMap<usize, UnknownTable>,
}

/// A table that is there and of which no partition is known: it is replaced as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownTable {
    /// The ledger has never heard of it, or was lost.
    Unheard,
    /// The ledger knows it with other partitions.
    CutOtherwise,
}

/// What is new of a partition of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceChange {
    /// Whether it was never there before.
    pub is_new: bool,
    /// The files in which it differs, where it has some.
    pub files: Vec<(String, FileFate)>,
}

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileFate {
    /// It came.
    New,
    /// It has other content.
    Changed,
    /// It is gone.
    Gone,
}

impl FileFate {
    /// In words, behind a file's name.
    pub fn words(self) -> &'static str {
        match self {
            FileFate::New => "is new",
            FileFate::Changed => "has changed",
            FileFate::Gone => "is gone",
        }
    }
}

/// One reason for which a partition is stale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It was never built.
    Never,
    /// It is not known, and a table is there which is replaced as a whole.
    Replaced(UnknownTable),
    /// The user asked for it.
    Forced,
    /// It is built each run, as in dbt.
    EachRun,
    /// Another connection exports it each run.
    Exported,
    /// Its code has changed.
    Code,
    /// It was built before it was closed.
    Provisional,
    /// Its rows were changed by somebody else.
    Outside,
    /// It was published, and its hooks have not ended well.
    Hooks,
    /// Its code reads the clock, which has gone on.
    Clock,
    /// It shows columns that are others now.
    Columns,
    /// It reads something that has no versions.
    Unversioned(usize),
    /// Something that it reads is not what it was built from; nobody knows what.
    Unknown,
    /// It reads something that it was not built from.
    ReadsNew(usize),
    /// What it reads of something is not what it read then.
    ReadsOther(usize),
    /// Partitions that it reads came or changed since it was built.
    Changed {
        /// What is read.
        item: usize,
        /// By which mapping.
        mapping: Mapping,
        /// Which partitions of it.
        parts: BTreeSet<i32>,
        /// Whether a source has them for the first time.
        are_new: bool,
    },
    /// Partitions that it reads are built by the same run.
    Upstream {
        /// What is read.
        item: usize,
        /// By which mapping.
        mapping: Mapping,
        /// Which partitions of it.
        parts: BTreeSet<i32>,
    },
}

impl Cause {
    /// The same cause of whatever partitions: causes that are alike in this are told as one.
    fn kind(&self) -> Cause {
        let mut kind = self.clone();
        if let Cause::Changed { parts, .. } | Cause::Upstream { parts, .. } = &mut kind {
            parts.clear();
        }
        kind
    }

    fn add(&mut self, other: &Cause) {
        if let (
            Cause::Changed { parts, .. } | Cause::Upstream { parts, .. },
            Cause::Changed { parts: more, .. } | Cause::Upstream { parts: more, .. },
        ) = (self, other)
        {
            parts.extend(more);
        }
    }
}

/// The causes of a partition's status; none where it is neither stale nor waiting nor frozen.
pub fn causes(board: &Board, recall: &Recall, at: usize, partition: i32) -> Vec<Cause> {
    let Some(why) = board.status(at, partition).why() else {
        return Vec::new();
    };
    match why {
        Why::Never => match recall.unknown.get(&at) {
            Some(table) => vec![Cause::Replaced(*table)],
            None => vec![Cause::Never],
        },
        Why::Forced => vec![Cause::Forced],
        Why::EachRun => vec![Cause::EachRun],
        Why::Exported => vec![Cause::Exported],
        Why::Code => vec![Cause::Code],
        Why::Provisional => vec![Cause::Provisional],
        Why::Outside => vec![Cause::Outside],
        Why::Hooks => vec![Cause::Hooks],
        Why::Unversioned(item) => vec![Cause::Unversioned(*item)],
        Why::Inputs => changed_inputs(board, recall, at, partition),
        Why::Upstream(item, range) => {
            let found = pending_inputs(board, at, partition);
            if found.is_empty() {
                let parts = range.intersect(board.range(*item)).iter().take(1).collect();
                let mapping = Mapping::Same;
                return vec![Cause::Upstream {
                    item: *item,
                    mapping,
                    parts,
                }];
            }
            found
        }
    }
}

fn tracked(board: &Board, at: usize) -> impl Iterator<Item = ItemRead> + '_ {
    let reads = board.items[at].reads.iter().copied();
    reads.filter(|read| read.tracked && board.items[read.item].kind != ItemKind::Unversioned)
}

/// Compares what a partition's build read with what is there now.
fn changed_inputs(board: &Board, recall: &Recall, at: usize, partition: i32) -> Vec<Cause> {
    let build = board.histories[at]
        .record(partition)
        .map(|record| record.build);
    let recorded = build.and_then(|build| recall.inputs.get(&build));
    let mut found = Vec::new();
    for read in tracked(board, at) {
        let range = board.read_range(at, partition, read);
        let known = recorded.into_iter().flatten().find(|input| {
            input.upstream == board.items[read.item].relation
                && (input.first, input.last) == (range.first, range.last)
        });
        let (digest, count) = board.histories[read.item].digest(range);
        match known {
            None => {
                let relation = board.items[read.item].relation;
                let mut inputs = recorded.into_iter().flatten();
                found.extend(recorded.is_some().then(|| {
                    match inputs.any(|input| input.upstream == relation) {
                        true => Cause::ReadsOther(read.item),
                        false => Cause::ReadsNew(read.item),
                    }
                }));
            }
            Some(input)
                if input.digest == digest as i64 && u64::try_from(input.parts) == Ok(count) => {}
            Some(input) => {
                let newer = newer_than(board, read.item, range, input.newest);
                if newer.is_empty() {
                    // What was lost counts as not there until it is built again.
                    let pending = pending_of(board, at, partition, read);
                    found.push(pending.unwrap_or(Cause::ReadsOther(read.item)));
                }
                let (new, changed): (BTreeSet<i32>, BTreeSet<i32>) =
                    newer.into_iter().partition(|part| {
                        let change = recall.sources.get(&(read.item, *part));
                        change.is_some_and(|change| change.is_new)
                    });
                for (parts, are_new) in [(changed, false), (new, true)] {
                    if !parts.is_empty() {
                        found.push(Cause::Changed {
                            item: read.item,
                            mapping: read.mapping,
                            parts,
                            are_new,
                        });
                    }
                }
            }
        }
    }
    if found.is_empty() {
        let item = &board.items[at];
        found.push(match (item.stores_nothing, item.reads_clock) {
            (true, _) => Cause::Columns,
            (false, true) => Cause::Clock,
            (false, false) => Cause::Unknown,
        });
    }
    found
}

/// The partitions of a range that have a later version; those of a look that records nothing are
/// below zero.
fn newer_than(board: &Board, item: usize, range: PartitionRange, newest: i64) -> Vec<i32> {
    let inside = range.intersect(board.histories[item].extent());
    let parts = inside.iter();
    parts
        .filter(|part| {
            let record = board.histories[item].record(*part);
            record.is_some_and(|record| record.version > newest || record.version < 0)
        })
        .collect()
}

/// What a partition reads that the same run builds.
fn pending_inputs(board: &Board, at: usize, partition: i32) -> Vec<Cause> {
    tracked(board, at)
        .filter_map(|read| pending_of(board, at, partition, read))
        .collect()
}

fn pending_of(board: &Board, at: usize, partition: i32, read: ItemRead) -> Option<Cause> {
    let allowed = board.scopes[read.item].allowed?;
    let range = board.read_range(at, partition, read);
    let inside = range
        .intersect(board.range(read.item))
        .intersect(allowed)
        .iter();
    let parts: BTreeSet<i32> = inside
        .filter(|part| matches!(board.status(read.item, *part), Status::Stale { .. }))
        .collect();
    (!parts.is_empty()).then_some(Cause::Upstream {
        item: read.item,
        mapping: read.mapping,
        parts,
    })
}

/// Partitions that follow each other, with causes of the same kinds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// From the first to the last.
    pub range: PartitionRange,
    /// Why.
    pub causes: Vec<Cause>,
    /// Whether they will be built for sure; `false` as well for what is not built at all.
    pub certain: bool,
    /// For what the first and the last of them wait, where they do.
    pub wait: Option<(Wait, Wait)>,
    /// What is gone of what they were built from, where they are frozen.
    pub gone: Option<(usize, i32)>,
}

/// Puts partitions of an item with the same causes together.
pub fn groups(
    board: &Board,
    recall: &Recall,
    at: usize,
    parts: impl IntoIterator<Item = i32>,
) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut kinds: Vec<Cause> = Vec::new();
    for part in parts {
        let causes = causes(board, recall, at, part);
        let (certain, wait, gone) = match board.status(at, part) {
            Status::Stale { certain, .. } => (*certain, None, None),
            Status::Waiting { wait, .. } => (false, Some(wait.clone()), None),
            Status::Frozen { gone, .. } => (false, None, Some(*gone)),
            _ => (false, None, None),
        };
        let these: Vec<Cause> = causes.iter().map(Cause::kind).collect();
        let last = groups.last_mut().filter(|last| {
            let item_of = |wait: &Wait| wait_target(wait).0;
            last.range.last + 1 == part
                && last.certain == certain
                && last.wait.as_ref().map(|(first, _)| item_of(first)) == wait.as_ref().map(item_of)
                && last.gone.map(|(item, _)| item) == gone.map(|(item, _)| item)
                && kinds == these
        });
        match last {
            Some(last) => {
                last.range.last = part;
                if let (Some((_, last)), Some(wait)) = (&mut last.wait, wait) {
                    *last = wait;
                }
                for (known, more) in last.causes.iter_mut().zip(&causes) {
                    known.add(more);
                }
            }
            None => {
                kinds = these;
                groups.push(Group {
                    range: PartitionRange::one(part),
                    causes,
                    certain,
                    wait: wait.map(|wait| (wait.clone(), wait)),
                    gone,
                });
            }
        }
    }
    groups
}

/// What is waited for.
pub fn wait_target(wait: &Wait) -> (usize, i32) {
    match wait {
        Wait::Missing(item, part) | Wait::Failed(item, part) => (*item, *part),
    }
}

/// From one partition to another as people write it, such as `2026-11-05 .. 2026-11-09`.
pub fn span(board: &Board, at: usize, range: PartitionRange) -> String {
    match range.len() {
        0 | 1 => board.key(at, range.first),
        _ => format!(
            "{} .. {}",
            board.key(at, range.first),
            board.key(at, range.last)
        ),
    }
}

/// Some partitions of an item as people write them: `2026-11-05, 2026-11-07 .. 2026-11-09`.
pub fn listed(board: &Board, at: usize, parts: &BTreeSet<i32>) -> String {
    let mut runs: Vec<PartitionRange> = Vec::new();
    for part in parts {
        match runs.last_mut() {
            Some(run) if run.last + 1 == *part => run.last = *part,
            _ => runs.push(PartitionRange::one(*part)),
        }
    }
    let named: Vec<String> = runs
        .iter()
        .take(NAMED_RUNS)
        .map(|run| span(board, at, *run))
        .collect();
    let rest: usize = runs.iter().skip(NAMED_RUNS).map(|run| run.len()).sum();
    match rest {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

/// An item's name with some of its partitions; `its own` for the one that is spoken of.
pub fn named(board: &Board, at: usize, item: usize, parts: &BTreeSet<i32>) -> String {
    if board.items[item].cut.is_none() {
        return board.items[item].name.clone();
    }
    let listed = listed(board, item, parts);
    match item == at {
        true => format!("its own {listed}"),
        false => format!("{} {listed}", board.items[item].name),
    }
}

/// A cause in words.
pub fn phrase(board: &Board, recall: &Recall, at: usize, cause: &Cause) -> String {
    let name = |item: &usize| board.items[*item].name.as_str();
    match cause {
        Cause::Never => "it was never built".to_owned(),
        Cause::Forced => "it was asked for".to_owned(),
        Cause::EachRun => "it is built each run, as in dbt".to_owned(),
        Cause::Exported => "it is exported first, and stays as it is if nothing changed".to_owned(),
        Cause::Replaced(UnknownTable::Unheard) => {
            "the ledger knows nothing of its table, which is replaced as a whole".to_owned()
        }
        Cause::Replaced(UnknownTable::CutOtherwise) => {
            "its table has other partitions, and is replaced as a whole".to_owned()
        }
        Cause::Code => "its code changed".to_owned(),
        Cause::Provisional => "it was built before it was closed".to_owned(),
        Cause::Outside => "its rows were changed outside daygrain".to_owned(),
        Cause::Hooks => "its post-hook did not end well".to_owned(),
        Cause::Clock => "its code reads the clock, and the day is another one".to_owned(),
        Cause::Columns => "the columns of what it shows have changed".to_owned(),
        Cause::Unversioned(item) => match board.items[at].cut {
            Some(_) => format!(
                "{} has no versions, so the newest partitions are rebuilt each run",
                name(item)
            ),
            None => format!(
                "{} has no versions, so nobody knows whether it changed",
                name(item)
            ),
        },
        Cause::Unknown => "what it reads is not what it was built from".to_owned(),
        Cause::ReadsNew(item) => {
            format!("it reads {}, which it was not built from", name(item))
        }
        Cause::ReadsOther(item) => {
            format!("what it reads of {} is not what it read then", name(item))
        }
        Cause::Changed {
            item,
            mapping,
            parts,
            are_new,
        } => {
            let what = named(board, at, *item, parts);
            let said = match (are_new, parts.len()) {
                (true, 1) => "is new",
                (true, _) => "are new",
                (false, _) => "changed",
            };
            let files = match are_new {
                true => String::new(),
                false => files(recall, *item, parts),
            };
            format!(
                "{what} {said}{files}{}",
                read_by(board, at, *item, *mapping)
            )
        }
        Cause::Upstream {
            item,
            mapping,
            parts,
        } => {
            let what = named(board, at, *item, parts);
            let said = match parts.len() {
                0 | 1 => "is built by this run",
                _ => "are built by this run",
            };
            let by = match *item == at {
                true => String::new(),
                false => read_by(board, at, *item, *mapping),
            };
            format!("{what} {said}{by}")
        }
    }
}

/// What the ledger keeps of a build that was done since what it reads had changed; what of it, the
/// inputs of the build tell.
pub const READS_CHANGED: &str = "what it reads had changed";

/// Why a build was done, as the ledger keeps it.
pub fn recorded(board: &Board, at: usize, why: &Why) -> String {
    match why {
        Why::Never => "it had not been built before".to_owned(),
        Why::Forced => "it was asked for".to_owned(),
        Why::EachRun => "it is built each run, as in dbt".to_owned(),
        Why::Exported => "it had been exported".to_owned(),
        Why::Code => "its code had changed".to_owned(),
        Why::Provisional => "it had been built before it was closed".to_owned(),
        Why::Outside => "its rows had been changed outside daygrain".to_owned(),
        Why::Hooks => "its post-hook had not ended well".to_owned(),
        Why::Unversioned(item) => format!(
            "{} has no versions, so nobody knows whether it had changed",
            board.items[*item].name
        ),
        Why::Inputs | Why::Upstream(..) if board.items[at].stores_nothing => {
            "the columns of what it shows had changed".to_owned()
        }
        Why::Inputs | Why::Upstream(..) => match board.items[at].reads_clock {
            true => format!("{READS_CHANGED}, or the day that its code reads"),
            false => READS_CHANGED.to_owned(),
        },
    }
}

/// A phrase of the run at hand, said of the next one.
pub fn of_the_next_run(phrase: &str) -> String {
    phrase.replace("by this run", "by the next run")
}

fn read_by(board: &Board, at: usize, item: usize, mapping: Mapping) -> String {
    match mapping {
        Mapping::Same => String::new(),
        _ if board.items[at].cut.is_none() || board.items[item].cut.is_none() => String::new(),
        mapping => format!(", read by {mapping}"),
    }
}

/// The files that make the difference, such as ` (late file part-001.csv)`.
fn files(recall: &Recall, item: usize, parts: &BTreeSet<i32>) -> String {
    let changes = parts
        .iter()
        .filter_map(|part| recall.sources.get(&(item, *part)));
    let files: Vec<&(String, FileFate)> = changes.flat_map(|change| &change.files).collect();
    if files.is_empty() {
        return String::new();
    }
    let short = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
    let told: Vec<String> = files
        .iter()
        .take(NAMED_FILES)
        .map(|(path, fate)| match fate {
            FileFate::New => format!("late file {}", short(path)),
            fate => format!("{} {}", short(path), fate.words()),
        })
        .collect();
    match files.len() - told.len() {
        0 => format!(" ({})", told.join(", ")),
        more => format!(" ({} and {more} more)", told.join(", ")),
    }
}

/// For what partitions wait, back to what is missing at last:
/// `orders 2026-11-15, that for landing.orders 2026-11-15, which is missing`.
///
/// It is given for what the first and for what the last of them waits.
pub fn wait_phrase(board: &Board, (first, last): (&Wait, &Wait)) -> String {
    let mut text = String::new();
    let (mut first, mut last) = (first.clone(), last.clone());
    for _ in 0..board.items.len() {
        let ((item, part), (other, end)) = (wait_target(&first), wait_target(&last));
        let several = other == item && end > part;
        let parts = match several {
            true => PartitionRange::new(part, end),
            false => PartitionRange::one(part),
        };
        text.push_str(&board.items[item].name);
        if board.items[item].cut.is_some() {
            text.push(' ');
            text.push_str(&span(board, item, parts));
        }
        let next = |wait: &Wait| match board.status(wait_target(wait).0, wait_target(wait).1) {
            Status::Waiting { wait: next, .. } if wait_target(next) != wait_target(wait) => {
                Some(next.clone())
            }
            _ => None,
        };
        let word = |one: &'static str, more: &'static str| if several { more } else { one };
        let end = match board.status(item, part) {
            _ if matches!(first, Wait::Failed(..)) => ", which failed",
            Status::Waiting { .. } => match (next(&first), board.scopes[item].allowed) {
                (Some(following), _) => {
                    text.push_str(", that for ");
                    last = next(&last).unwrap_or_else(|| following.clone());
                    first = following;
                    continue;
                }
                (None, Some(_)) => word(
                    ", which is not among the partitions that are built",
                    ", which are not among the partitions that are built",
                ),
                (None, None) => word(
                    ", which is not there and not selected",
                    ", which are not there and not selected",
                ),
            },
            Status::Missing => word(", which is missing", ", which are missing"),
            _ => word(", which is not there", ", which are not there"),
        };
        text.push_str(end);
        return text;
    }
    text
}
