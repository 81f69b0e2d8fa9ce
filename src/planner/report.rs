//! The plan as a value: what a command would build and why, what waits, and what is frozen.
//!
//! A pure function of the board; how it is shown is the command line's matter.

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;

use super::board::{Board, ItemKind, Status, Together};
use super::causes::{self, Cause, Recall, groups, phrase, span};
use crate::calendar::{Granularity, PartitionRange};
use crate::manifest::UniqueId;

/// Above so many partitions that one unpartitioned parent makes stale, a plan warns.
const MANY: usize = 31;

/// What a command would do.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanReport {
    /// The run's clock.
    pub as_of: Timestamp,
    /// What would be built, in order; what is certain apart from what is not.
    pub steps: Vec<PlanStep>,
    /// What would be built, and must wait.
    pub waiting: Vec<Held>,
    /// What is stale, and can never be built again.
    pub frozen: Vec<Held>,
    /// What looks like a mistake.
    pub warnings: Vec<String>,
    /// How many selected relations have nothing to do.
    pub fresh: usize,
}

impl PlanReport {
    /// Adds what would be done after it.
    pub fn append(&mut self, mut later: PlanReport) {
        self.steps.append(&mut later.steps);
        self.waiting.append(&mut later.waiting);
        self.frozen.append(&mut later.frozen);
        self.warnings.append(&mut later.warnings);
        self.fresh += later.fresh;
    }
}

/// Partitions of one node that would be built.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanStep {
    /// The node.
    pub node: UniqueId,
    /// Its name.
    pub name: String,
    /// How long its partitions are; `None` where it has none.
    pub unit: Option<Granularity>,
    /// Their keys.
    pub partitions: Vec<String>,
    /// Whether they are built for sure, or only if what they read turns out changed.
    pub certain: bool,
    /// Which of them, and why.
    pub groups: Vec<ToldGroup>,
    /// How many statements build them.
    pub statements: usize,
    /// How they are put together.
    pub batches: Batches,
}

impl PlanStep {
    /// Each reason once.
    pub fn reasons(&self) -> Vec<&str> {
        let mut reasons: Vec<&str> = Vec::new();
        for reason in self.groups.iter().flat_map(|group| &group.reasons) {
            if !reasons.contains(&reason.as_str()) {
                reasons.push(reason);
            }
        }
        reasons
    }
}

/// How partitions become statements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Batches {
    /// There are no partitions.
    Whole,
    /// Each waits for the one before.
    Chain,
    /// Those that follow each other together, so many at the most.
    Together(usize),
    /// One each, for a reason.
    OneByOne(String),
}

/// Partitions that follow each other, and why they are built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToldGroup {
    /// Such as `2026-11-05 .. 2026-11-09`.
    pub span: String,
    /// In words.
    pub reasons: Vec<String>,
}

/// Partitions that are not built, and why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The node.
    pub node: UniqueId,
    /// Its name.
    pub name: String,
    /// Such as `2026-11-05 .. 2026-11-09`.
    pub span: String,
    /// Their keys.
    pub partitions: Vec<String>,
    /// For what they wait, or what is gone.
    pub reason: String,
}

/// Puts a plan together; `order` has the nodes that the command runs, with their names, tests apart.
pub fn report(board: &Board, recall: &Recall, order: &[(UniqueId, String)]) -> PlanReport {
    let places: HashMap<&UniqueId, usize> = board
        .items
        .iter()
        .enumerate()
        .map(|(at, item)| (&item.id, at))
        .collect();
    let mut report = PlanReport {
        as_of: board.as_of,
        steps: Vec::new(),
        waiting: Vec::new(),
        frozen: Vec::new(),
        warnings: Vec::new(),
        fresh: 0,
    };
    for (id, name) in order {
        let built = |at: &usize| {
            let kind = board.items[*at].kind;
            let exported = board.scopes[*at].allowed.is_some();
            matches!(kind, ItemKind::Managed | ItemKind::Rebuilt) || exported
        };
        match places.get(id).copied().filter(built) {
            Some(at) => add_item(&mut report, board, recall, at),
            None => report.steps.push(each_run(id, name)),
        }
    }
    report
}

/// A node that dbt's rules build each time.
fn each_run(id: &UniqueId, name: &str) -> PlanStep {
    PlanStep {
        node: id.clone(),
        name: name.to_owned(),
        unit: None,
        partitions: vec!["all".to_owned()],
        certain: true,
        groups: vec![ToldGroup {
            span: "all".to_owned(),
            reasons: vec!["it is built each run, as in dbt".to_owned()],
        }],
        statements: 1,
        batches: Batches::Whole,
    }
}

fn add_item(report: &mut PlanReport, board: &Board, recall: &Recall, at: usize) {
    let item = &board.items[at];
    let Some(allowed) = board.scopes[at].allowed else {
        return;
    };
    let parts = || board.range(at).intersect(allowed).iter();
    let mut is_fresh = true;
    let mut warned: BTreeSet<usize> = BTreeSet::new();
    for certain in [true, false] {
        let todo: Vec<i32> = parts()
            .filter(|part| {
                matches!(board.status(at, *part), Status::Stale { certain: sure, .. } if *sure == certain)
            })
            .collect();
        if todo.is_empty() {
            continue;
        }
        is_fresh = false;
        let groups = groups(board, recall, at, todo.iter().copied());
        for (parent, count) in unpartitioned_parents(board, &groups) {
            if count > MANY && warned.insert(parent) {
                report.warnings.push(format!(
                    "`{}` has no partitions: its change makes {count} partitions of `{}` stale; `track=false` in the ref lets them be",
                    board.items[parent].name, item.name
                ));
            }
        }
        let groups = groups.iter().map(|group| ToldGroup {
            span: span(board, at, group.range),
            reasons: group
                .causes
                .iter()
                .map(|cause| phrase(board, recall, at, cause))
                .collect(),
        });
        report.steps.push(PlanStep {
            node: item.id.clone(),
            name: item.name.clone(),
            unit: item.cut.as_ref().map(|cut| cut.calendar.granularity),
            certain,
            groups: groups.collect(),
            statements: statements(&todo, item.together.most()),
            partitions: todo.iter().map(|part| board.key(at, *part)).collect(),
            batches: batches(board, at),
        });
    }
    let held = |status: fn(&Status) -> bool| {
        let held = parts().filter(move |part| status(board.status(at, *part)));
        groups(board, recall, at, held)
    };
    let tell = |range: PartitionRange, reason: String| Held {
        node: item.id.clone(),
        name: item.name.clone(),
        span: span(board, at, range),
        partitions: range.iter().map(|part| board.key(at, part)).collect(),
        reason,
    };
    for group in held(|status| matches!(status, Status::Waiting { .. })) {
        is_fresh = false;
        if let Some((first, last)) = &group.wait {
            let words = causes::wait_phrase(board, (first, last));
            report.waiting.push(tell(group.range, words));
        }
    }
    for group in held(|status| matches!(status, Status::Frozen { .. })) {
        is_fresh = false;
        if let Some((gone, part)) = group.gone {
            let first = group.causes.first();
            let why = first.map_or_else(String::new, |cause| phrase(board, recall, at, cause));
            let what = causes::named(board, at, gone, &BTreeSet::from([part]));
            report
                .frozen
                .push(tell(group.range, format!("{why}, and {what} has expired")));
        }
    }
    report.fresh += usize::from(is_fresh);
}

/// The parents without partitions that make partitions stale, and how many.
fn unpartitioned_parents(board: &Board, groups: &[causes::Group]) -> HashMap<usize, usize> {
    let mut counts = HashMap::new();
    for group in groups {
        for cause in &group.causes {
            if let Cause::Changed { item, .. } | Cause::Upstream { item, .. } = cause
                && board.items[*item].cut.is_none()
            {
                *counts.entry(*item).or_default() += group.range.len();
            }
        }
    }
    counts
}

fn batches(board: &Board, at: usize) -> Batches {
    let item = &board.items[at];
    if item.cut.is_none() {
        return Batches::Whole;
    }
    if item.reads.iter().any(|read| read.item == at) {
        return Batches::Chain;
    }
    match &item.together {
        Together::UpTo(most) => Batches::Together(*most),
        Together::One(reason) => Batches::OneByOne(reason.clone()),
    }
}

/// How many statements build some partitions, so many at once at the most.
fn statements(parts: &[i32], most: usize) -> usize {
    let mut count = 0;
    let (mut before, mut length) = (None, 0);
    for part in parts {
        if before != Some(*part - 1) || length >= most {
            count += 1;
            length = 0;
        }
        length += 1;
        before = Some(*part);
    }
    count
}

#[cfg(test)]
mod tests;
