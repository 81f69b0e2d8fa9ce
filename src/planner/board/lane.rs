//! The partitions of one item while a plan is made or carried out: their statuses, and sums over them
//! that answer for any range at once.

use super::Status;
use crate::calendar::PartitionRange;
use crate::ledger::{Record, SumTree};

/// The partitions of one item while a plan is made or carried out.
#[derive(Clone, Debug, Default)]
pub(super) struct Lane {
    pub(super) first: i32,
    pub(super) statuses: Vec<Status>,
    /// What each counts for in the sums below.
    weights: Vec<Weights>,
    /// To be built, or being built.
    pub(super) todo: SumTree,
    /// Of these, those that get a new version for sure.
    pub(super) sure: SumTree,
    /// Due, and there is nothing to read.
    pub(super) holes: SumTree,
    /// Failed in this run.
    pub(super) failed: SumTree,
    /// There once, and gone since.
    pub(super) gone: SumTree,
    pub(super) open: usize,
    /// Whether this run has published any: the table is there, with today's columns.
    pub(super) published: bool,
}

impl Lane {
    pub(super) fn new(range: PartitionRange) -> Lane {
        let zeros = vec![0; range.len()];
        let tree = || SumTree::new(&zeros);
        Lane {
            first: range.first,
            statuses: vec![Status::NotDue; range.len()],
            weights: vec![Weights::default(); range.len()],
            todo: tree(),
            sure: tree(),
            holes: tree(),
            failed: tree(),
            gone: tree(),
            open: 0,
            published: false,
        }
    }

    pub(super) fn place(&self, partition: i32) -> Option<usize> {
        let at = usize::try_from(i64::from(partition) - i64::from(self.first)).ok()?;
        (at < self.statuses.len()).then_some(at)
    }

    pub(super) fn range(&self) -> PartitionRange {
        let last = i64::from(self.first) + self.statuses.len() as i64 - 1;
        PartitionRange::new(self.first, i32::try_from(last).unwrap_or(i32::MAX))
    }

    pub(super) fn count(&self, tree: &SumTree, range: PartitionRange) -> u64 {
        let inside = range.intersect(self.range());
        match (self.place(inside.first), self.place(inside.last)) {
            (Some(from), Some(to)) if !inside.is_empty() => tree.between(from, to + 1),
            _ => 0,
        }
    }

    /// The first partition of a range that a tree counts.
    pub(super) fn find(&self, tree: &SumTree, range: PartitionRange) -> Option<i32> {
        let inside = range.intersect(self.range());
        inside
            .iter()
            .find(|partition| self.count(tree, PartitionRange::one(*partition)) > 0)
    }

    pub(super) fn mark(&mut self, at: usize, status: Status, record: Option<&Record>) {
        // The record may have changed since the status was given, so what it counted for is kept.
        let (was, is) = (self.weights[at], Weights::of(&status, record));
        let change = |was: bool, is: bool| u64::from(is).wrapping_sub(u64::from(was));
        self.todo.add(at, change(was.todo, is.todo));
        self.sure.add(at, change(was.sure, is.sure));
        self.holes.add(at, change(was.hole, is.hole));
        self.gone.add(at, change(was.gone, is.gone));
        self.open = self.open + usize::from(is.todo) - usize::from(was.todo);
        self.statuses[at] = status;
        self.weights[at] = is;
    }
}

/// What a partition counts for.
#[derive(Clone, Copy, Debug, Default)]
struct Weights {
    todo: bool,
    sure: bool,
    hole: bool,
    gone: bool,
}

impl Weights {
    fn of(status: &Status, record: Option<&Record>) -> Weights {
        let todo = matches!(status, Status::Stale { .. });
        let blocks = matches!(
            status,
            Status::Waiting { .. } | Status::Missing | Status::Frozen { .. }
        );
        Weights {
            todo,
            sure: record.is_none() && matches!(status, Status::Stale { certain: true, .. }),
            hole: blocks && record.is_none_or(Record::is_lost),
            gone: matches!(status, Status::Expired),
        }
    }
}
