//! What the ledger says of one relation's partitions, as a value that answers quickly.

use std::collections::BTreeMap;

use super::Outcome;
use crate::calendar::PartitionRange;

/// What readers see of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordState {
    /// Built, and whole.
    Published,
    /// Built before it was closed.
    Provisional,
    /// There by nobody's known code.
    Adopted,
    /// Of a source: it has it.
    Seen,
    /// Its rows are gone because they were too old.
    Expired,
    /// Its rows were changed by somebody else.
    Lost,
}

impl RecordState {
    /// Of an outcome that readers see.
    pub fn of(outcome: Outcome) -> Option<RecordState> {
        Some(match outcome {
            Outcome::Published => RecordState::Published,
            Outcome::Provisional => RecordState::Provisional,
            Outcome::Adopted => RecordState::Adopted,
            Outcome::Seen => RecordState::Seen,
            Outcome::Expired => RecordState::Expired,
            Outcome::Lost => RecordState::Lost,
            Outcome::Refused | Outcome::Failed => return None,
        })
    }
}

/// The newest build of a partition that readers see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// The build's number.
    pub build: i64,
    /// What readers see.
    pub state: RecordState,
    /// The fingerprint of the code that built it.
    pub code: i64,
    /// The digest of the tracked inputs that it was built from.
    pub inputs: i64,
    /// The version of its content.
    pub version: i64,
    /// The hash of its content.
    pub content: i64,
    /// How many rows it has.
    pub rows: i64,
}

impl Record {
    /// Tells whether its rows are not what was published.
    pub fn is_lost(&self) -> bool {
        self.state == RecordState::Lost
    }
}

/// A build that came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The build's number.
    pub build: i64,
    /// Refused or failed.
    pub outcome: Outcome,
    /// Why.
    pub reason: String,
}

/// The partitions of one relation.
#[derive(Clone, Debug, Default)]
pub struct History {
    first: i32,
    cells: Vec<Option<Record>>,
    sums: SumTree,
    counts: SumTree,
    lost: usize,
    /// The newest attempt in vain of a partition, where nothing was published after it.
    pub attempts: BTreeMap<i32, Attempt>,
    /// What the catalogue showed when it was last published.
    pub marker: Option<String>,
    /// A number that tells its columns from others, as of its newest build; 0 where nobody knows.
    pub columns: i64,
    /// Builds whose hooks have not ended well: from the first to the last of each batch.
    pub owed: Vec<(i64, i64)>,
}

impl History {
    /// Puts records of any order together.
    pub fn new(records: &[(i32, Record)]) -> History {
        let mut history = History::default();
        let Some(first) = records.iter().map(|(part, _)| *part).min() else {
            return history;
        };
        let last = records.iter().map(|(part, _)| *part).max().unwrap_or(first);
        history.first = first;
        history.cells = vec![None; PartitionRange::new(first, last).len()];
        for (part, record) in records {
            if let Some(at) = history.place(*part) {
                history.cells[at] = Some(*record);
            }
        }
        history.sum_up();
        history
    }

    fn sum_up(&mut self) {
        let cells = self.cells.iter().enumerate();
        let (sums, counts): (Vec<u64>, Vec<u64>) = cells
            .map(|(at, cell)| weight(self.partition(at), cell.as_ref()))
            .unzip();
        self.sums = SumTree::new(&sums);
        self.counts = SumTree::new(&counts);
        let lost = |cell: &&Option<Record>| cell.is_some_and(|record| record.is_lost());
        self.lost = self.cells.iter().filter(lost).count();
    }

    fn partition(&self, at: usize) -> i32 {
        self.first
            .saturating_add(i32::try_from(at).unwrap_or(i32::MAX))
    }

    fn place(&self, partition: i32) -> Option<usize> {
        let at = usize::try_from(i64::from(partition) - i64::from(self.first)).ok()?;
        (at < self.cells.len()).then_some(at)
    }

    /// What readers see of a partition; `None` where it was never there.
    pub fn record(&self, partition: i32) -> Option<&Record> {
        self.place(partition).and_then(|at| self.cells[at].as_ref())
    }

    /// Records what readers see of a partition from now on.
    pub fn set(&mut self, partition: i32, record: Record) {
        if self
            .attempts
            .get(&partition)
            .is_some_and(|attempt| attempt.build < record.build)
        {
            self.attempts.remove(&partition);
        }
        match self.place(partition) {
            Some(at) => {
                let old = self.cells[at].replace(record);
                let (before, after) = (
                    weight(partition, old.as_ref()),
                    weight(partition, Some(&record)),
                );
                self.sums.add(at, after.0.wrapping_sub(before.0));
                self.counts.add(at, after.1.wrapping_sub(before.1));
                self.lost += usize::from(record.is_lost());
                self.lost -= usize::from(old.is_some_and(|old| old.is_lost()));
            }
            None => {
                let mut records: Vec<(i32, Record)> = self.records().collect();
                records.push((partition, record));
                // Room beyond the newest, so that going on day by day does not copy all each time.
                let attempts = std::mem::take(&mut self.attempts);
                let marker = self.marker.take();
                let owed = std::mem::take(&mut self.owed);
                let columns = self.columns;
                *self = History::new(&records);
                let room = self.cells.len() / 2 + 8;
                self.cells.extend(std::iter::repeat_n(None, room));
                self.sum_up();
                self.attempts = attempts;
                self.marker = marker;
                self.owed = owed;
                self.columns = columns;
            }
        }
    }

    /// Every partition that was ever there, in order.
    pub fn records(&self) -> impl Iterator<Item = (i32, Record)> + '_ {
        let cells = self.cells.iter().enumerate();
        cells.filter_map(|(at, cell)| cell.map(|record| (self.partition(at), record)))
    }

    /// Tells whether a build was published and its hooks have not ended well.
    pub fn owes_hooks(&self, record: &Record) -> bool {
        let mut owed = self.owed.iter();
        owed.any(|(first, last)| (*first..=*last).contains(&record.build))
    }

    /// From the first to the last partition that was ever there.
    pub fn extent(&self) -> PartitionRange {
        let mut parts = self.records().map(|(part, _)| part);
        match parts.next() {
            Some(first) => PartitionRange::new(first, parts.last().unwrap_or(first)),
            None => PartitionRange::new(0, -1),
        }
    }

    /// Tells whether rows of some partition are not what was published.
    pub fn has_lost(&self) -> bool {
        self.lost > 0
    }

    /// The digest of the versions in a range, and how many there are; what is lost has no version.
    pub fn digest(&self, range: PartitionRange) -> (u64, u64) {
        if range.is_empty() || self.cells.is_empty() {
            return (0, 0);
        }
        let from = i64::from(range.first) - i64::from(self.first);
        let to = i64::from(range.last) - i64::from(self.first) + 1;
        let clamp = |at: i64| usize::try_from(at).unwrap_or(0).min(self.cells.len());
        let (from, to) = (clamp(from), clamp(to));
        if from >= to {
            return (0, 0);
        }
        (self.sums.between(from, to), self.counts.between(from, to))
    }

    /// The newest version in a range; 0 where there is none.
    pub fn newest(&self, range: PartitionRange) -> i64 {
        let inside = range.intersect(PartitionRange::new(
            self.first,
            self.partition(self.cells.len()),
        ));
        let versions = inside.iter().filter_map(|part| self.record(part));
        versions.map(|record| record.version).max().unwrap_or(0)
    }
}

/// What a partition adds to the digest and the count.
fn weight(partition: i32, record: Option<&Record>) -> (u64, u64) {
    match record {
        Some(record) if !record.is_lost() => (mix(partition, record.version), 1),
        _ => (0, 0),
    }
}

/// Spreads a partition and its version over 64 bits, so that sums of them tell sets apart.
fn mix(partition: i32, version: i64) -> u64 {
    let mut x = (version as u64) ^ (partition as u32 as u64).rotate_left(40);
    for constant in [0xff51_afd7_ed55_8ccd_u64, 0xc4ce_b9fe_1a85_ec53] {
        x ^= x >> 33;
        x = x.wrapping_mul(constant);
    }
    (x ^ (x >> 33)) | 1
}

/// Sums over ranges of a row of numbers that change: a Fenwick tree. Sums wrap around.
#[derive(Clone, Debug, Default)]
pub struct SumTree {
    nodes: Vec<u64>,
}

impl SumTree {
    /// Over these numbers.
    pub fn new(numbers: &[u64]) -> SumTree {
        let mut nodes = numbers.to_vec();
        for at in 0..nodes.len() {
            let parent = at | (at + 1);
            if parent < nodes.len() {
                nodes[parent] = nodes[parent].wrapping_add(nodes[at]);
            }
        }
        SumTree { nodes }
    }

    /// Adds to one number; a negative amount is one that wraps around.
    pub fn add(&mut self, mut at: usize, amount: u64) {
        if amount == 0 {
            return;
        }
        while at < self.nodes.len() {
            self.nodes[at] = self.nodes[at].wrapping_add(amount);
            at |= at + 1;
        }
    }

    fn before(&self, mut end: usize) -> u64 {
        let mut sum = 0_u64;
        while end > 0 {
            sum = sum.wrapping_add(self.nodes[end - 1]);
            end &= end - 1;
        }
        sum
    }

    /// The sum of a half-open range.
    pub fn between(&self, from: usize, to: usize) -> u64 {
        self.before(to).wrapping_sub(self.before(from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(version: i64) -> Record {
        Record {
            build: version,
            state: RecordState::Published,
            code: 1,
            inputs: 0,
            version,
            content: 0,
            rows: 1,
        }
    }

    proptest! {
        #[test]
        fn a_digest_tells_of_the_versions_in_its_range_alone(
            builds in prop::collection::vec((0..40_i32, 1..1000_i64), 0..80),
            range in (-5..45_i32, -5..45_i32),
        ) {
            let mut history = History::default();
            let mut plain: BTreeMap<i32, i64> = BTreeMap::new();
            for (part, version) in builds {
                history.set(part, record(version));
                plain.insert(part, version);
            }
            let range = PartitionRange::new(range.0, range.1);
            let inside: Vec<(i32, Record)> = plain
                .iter()
                .filter(|(part, _)| range.contains(**part))
                .map(|(part, version)| (*part, record(*version)))
                .collect();
            let alone = History::new(&inside);
            let everything = PartitionRange::new(i32::MIN, i32::MAX);
            prop_assert_eq!(history.digest(range), alone.digest(everything));
            prop_assert_eq!(history.digest(range).1, inside.len() as u64);
            prop_assert_eq!(history.newest(range), inside.iter().map(|(_, r)| r.version).max().unwrap_or(0));
        }
    }

    #[test]
    fn versions_that_change_places_change_the_digest() {
        let one = History::new(&[(1, record(5)), (2, record(6))]);
        let other = History::new(&[(1, record(6)), (2, record(5))]);
        let range = PartitionRange::new(0, 9);
        assert_ne!(one.digest(range), other.digest(range));
    }
}
