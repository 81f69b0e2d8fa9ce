//! What is stale, and why: the one answer that `plan`, `run`, `why` and `partitions` share.
//!
//! A [`Board`] holds the relations that the engine follows, what the ledger says of them, and what
//! is still to be built. [`Board::judge`] is a pure function of it. A plan asks it once for every
//! partition; a run asks it again before each step, when what was built meanwhile is known, so that
//! cut-off needs no logic of its own.

mod lane;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;

use lane::Lane;

use crate::calendar::{Mapping, PartitionRange};
use crate::ledger::{History, Record, RecordState, RelationId};
use crate::manifest::UniqueId;
use crate::manifest::partitioning::{OnCodeChange, Partitioning};

/// The only partition of what has none.
pub const ALL: i32 = 0;

/// A relation that the engine follows.
#[derive(Clone, Debug)]
pub struct Item {
    /// The node or source.
    pub id: UniqueId,
    /// Its name, for people.
    pub name: String,
    /// Its identity in the ledger.
    pub relation: RelationId,
    /// Its physical name in the ledger.
    pub physical: String,
    /// Where its versions come from.
    pub kind: ItemKind,
    /// Its partitions; `None` for one partition, `all`.
    pub cut: Option<Arc<Partitioning>>,
    /// What it reads, through what stores nothing.
    pub reads: Vec<ItemRead>,
    /// The fingerprint of its code.
    pub code: i64,
    /// Whether its code reads the clock, so that the logical day is one more input.
    pub reads_clock: bool,
    /// What in its code changes by itself, in words.
    pub volatile: Option<String>,
    /// How many partitions one statement may build, and why no more.
    pub together: Together,
    /// Whether something tracks it, so that its rows are hashed.
    pub hashed: bool,
    /// Whether it stores nothing: a view needs the tables that it reads, not their rows.
    pub stores_nothing: bool,
}

/// How many partitions one statement may build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Together {
    /// So many.
    UpTo(usize),
    /// One, for a reason.
    One(String),
}

impl Together {
    /// The number.
    pub fn most(&self) -> usize {
        match self {
            Together::UpTo(most) => (*most).max(1),
            Together::One(_) => 1,
        }
    }
}

/// Where the versions of an item come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemKind {
    /// It is built, when it is stale.
    Managed,
    /// It is built each run, as in dbt, and has versions because something followed reads it.
    Rebuilt,
    /// A source whose versions are seen.
    Seen,
    /// Nobody knows its versions.
    Unversioned,
}

/// Something that an item reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ItemRead {
    /// The place of what is read in [`Board::items`].
    pub item: usize,
    /// Which of its partitions.
    pub mapping: Mapping,
    /// Whether a change of them makes the reader stale.
    pub tracked: bool,
}

/// Which partitions of an item a command may build, and which it must.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Those that it may build; `None` where the item is not selected.
    pub allowed: Option<PartitionRange>,
    /// Whether it builds them also where they are fresh.
    pub forced: bool,
    /// Whether partitions that are not closed are built as well.
    pub open: bool,
}

impl Scope {
    /// Of an item that is not selected.
    pub const NONE: Scope = Scope {
        allowed: None,
        forced: false,
        open: false,
    };
    /// Of an item whose stale partitions are built.
    pub const STALE: Scope = Scope {
        allowed: Some(PartitionRange {
            first: i32::MIN,
            last: i32::MAX,
        }),
        forced: false,
        open: false,
    };
}

/// Why a partition is stale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// It was never built.
    Never,
    /// The user asked for it.
    Forced,
    /// Its code has changed.
    Code,
    /// What it reads is not what it was built from.
    Inputs,
    /// It was built before it was closed.
    Provisional,
    /// Its rows have changed outside daygrain.
    Outside,
    /// It was published, and its hooks have not ended well.
    Hooks,
    /// It reads something that has no versions.
    Unversioned(usize),
    /// What it reads is built by this run, so it may change.
    Upstream(usize, PartitionRange),
    /// A model of dbt's kind is built each run.
    EachRun,
    /// Another connection exports it each run, before anything here is built.
    Exported,
}

/// Why a stale partition cannot be built now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wait {
    /// A partition that it reads is not there.
    Missing(usize, i32),
    /// A partition that it reads failed in this run.
    Failed(usize, i32),
}

/// The state of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// It is what today's code makes of today's inputs.
    Fresh,
    /// It was built by older code, which its config lets stay.
    OlderCode,
    /// It is to be built; `certain` unless its inputs may turn out the same.
    Stale {
        /// Why.
        why: Why,
        /// Whether it will be built for sure.
        certain: bool,
    },
    /// It is stale and must wait.
    Waiting {
        /// Why it is stale.
        why: Why,
        /// For what it waits.
        wait: Wait,
    },
    /// It is stale, and what it was built from is gone.
    Frozen {
        /// Why it is stale.
        why: Why,
        /// What is gone.
        gone: (usize, i32),
    },
    /// A source has no such partition, and it is due.
    Missing,
    /// Its rows were removed because they are too old.
    Expired,
    /// Nothing is there, and nothing is due.
    NotDue,
}

impl Status {
    /// Why it is stale, where it is.
    pub fn why(&self) -> Option<&Why> {
        match self {
            Status::Stale { why, .. }
            | Status::Waiting { why, .. }
            | Status::Frozen { why, .. } => Some(why),
            _ => None,
        }
    }
}

/// The engine's view of a project: what is there, what is stale, what is still to be built.
#[derive(Clone, Debug)]
pub struct Board {
    /// The relations, each after those that it reads.
    pub items: Vec<Item>,
    /// What the ledger says of each.
    pub histories: Vec<History>,
    /// Which partitions of each may be built.
    pub scopes: Vec<Scope>,
    /// The run's clock.
    pub as_of: Timestamp,
    /// The newest partition of each that is closed at that clock.
    closed: Vec<i32>,
    /// Whether the columns of each may change by what this run builds.
    reshaping: Vec<bool>,
    past: Vec<PastReads>,
    lanes: Vec<Lane>,
}

/// What partitions of one item have read, whose older code stays.
pub type PastReads = HashMap<i32, Vec<PastRead>>;

/// What a partition of older code read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PastRead {
    /// The place of what was read; `None` where it is followed no more.
    pub item: Option<usize>,
    /// Which of its partitions.
    pub range: PartitionRange,
    /// The digest of their versions, and how many there were.
    pub found: (u64, u64),
}

impl Board {
    /// Judges every partition, parents before readers.
    pub fn new(
        items: Vec<Item>,
        histories: Vec<History>,
        scopes: Vec<Scope>,
        as_of: Timestamp,
    ) -> Board {
        let closed = items.iter().map(|item| match &item.cut {
            Some(cut) => cut.calendar.newest_closed(as_of),
            None => ALL,
        });
        let mut board = Board {
            closed: closed.collect(),
            reshaping: reshaping(&items, &histories),
            past: vec![HashMap::new(); items.len()],
            lanes: vec![Lane::default(); items.len()],
            items,
            histories,
            scopes,
            as_of,
        };
        board.judge_all();
        board
    }

    /// Judges anew, where older code stays, by what it read and not by what today's code would read;
    /// `past` has such partitions by item.
    pub fn with_past(self, past: Vec<PastReads>) -> Board {
        let mut board = Board { past, ..self };
        board.judge_all();
        board
    }

    /// Judges anew, where another connection is going to export partitions of sources first.
    pub fn expecting(mut self, exported: &[(usize, PartitionRange)]) -> Board {
        for (at, range) in exported {
            self.scopes[*at].allowed = Some(*range);
        }
        self.judge_all();
        self
    }

    /// The partitions of an item that older code has built, which stays.
    pub fn kept(&self, at: usize) -> Vec<(i32, Record)> {
        let records = self.histories[at].records();
        records
            .filter(|(_, record)| self.is_kept(at, record))
            .collect()
    }

    fn is_kept(&self, at: usize, record: &Record) -> bool {
        let item = &self.items[at];
        let keeps = |cut: &Arc<Partitioning>| cut.on_code_change == OnCodeChange::Keep;
        let is_older = record.code != item.code && record.state != RecordState::Adopted;
        is_older && item.cut.as_ref().is_some_and(keeps)
    }

    fn judge_all(&mut self) {
        for at in 0..self.items.len() {
            // What is there and not due, as when a run's clock is put back, is left alone.
            let due = self.due(at);
            let scope = &mut self.scopes[at];
            scope.allowed = scope.allowed.map(|allowed| allowed.intersect(due));
            let range = self.extent(at);
            self.lanes[at] = Lane::new(range);
            for partition in range.iter() {
                let status = self.first_status(at, partition);
                self.set_status(at, partition, status);
            }
        }
    }

    /// The partitions of an item that are due.
    pub fn due(&self, at: usize) -> PartitionRange {
        match &self.items[at].cut {
            Some(cut) => {
                let mut last = self.closed[at];
                if self.scopes[at].open {
                    last = last.saturating_add(1);
                }
                PartitionRange::new(cut.calendar.begin, last)
            }
            None => PartitionRange::one(ALL),
        }
    }

    /// Tells whether nothing of an item is there yet, and nothing of it is due.
    pub fn begins_later(&self, at: usize) -> bool {
        let is_due = match &self.items[at].cut {
            Some(_) => !self.due(at).is_empty(),
            None => {
                let is_built = self.items[at].kind == ItemKind::Managed;
                !is_built || *self.status(at, ALL) != Status::NotDue
            }
        };
        !is_due && self.histories[at].records().next().is_none()
    }

    /// The first partition of an item that its retention keeps.
    pub fn first_retained(&self, at: usize) -> i32 {
        let cut = self.items[at].cut.as_ref();
        cut.map_or(i32::MIN, |cut| cut.first_retained(self.as_of))
    }

    /// The partitions of an item that its retention no longer keeps and that no reader still waits for.
    pub fn expiring(&self, at: usize) -> Vec<i32> {
        let first = self.first_retained(at);
        let old = self.histories[at].records().filter(|(partition, record)| {
            *partition < first && record.state != RecordState::Expired
        });
        old.map(|(partition, _)| partition)
            .filter(|partition| !self.is_awaited(at, *partition))
            .collect()
    }

    /// Tells whether a due partition of some reader reads a partition and was never published, or is
    /// stale and would be built from it.
    fn is_awaited(&self, at: usize, partition: i32) -> bool {
        let mut readers = self.items.iter().enumerate();
        readers.any(|(reader, item)| {
            let reads = item.reads.iter().filter(|read| read.item == at);
            reads.into_iter().any(|read| {
                let due = self.due(reader);
                due.iter().any(|part| {
                    let status = self.status(reader, part);
                    let stale = matches!(status, Status::Stale { .. } | Status::Waiting { .. });
                    part >= self.first_retained(reader)
                        && (stale || self.histories[reader].record(part).is_none())
                        && self.read_range(reader, part, *read).contains(partition)
                })
            })
        })
    }

    fn extent(&self, at: usize) -> PartitionRange {
        let due = self.due(at);
        let there = self.histories[at].extent();
        match (due.is_empty(), there.is_empty()) {
            (true, _) => there,
            (false, true) => due,
            (false, false) => {
                PartitionRange::new(due.first.min(there.first), due.last.max(there.last))
            }
        }
    }

    /// The partitions of an item that have a status.
    pub fn range(&self, at: usize) -> PartitionRange {
        self.lanes[at].range()
    }

    /// The status of a partition, as it was judged last.
    pub fn status(&self, at: usize, partition: i32) -> &Status {
        match self.lanes[at].place(partition) {
            Some(place) => &self.lanes[at].statuses[place],
            None => &Status::NotDue,
        }
    }

    /// How many partitions of an item are still to be built or being built.
    pub fn open(&self, at: usize) -> usize {
        self.lanes[at].open
    }

    /// The partitions of an item that are to be built, in order.
    pub fn todo(&self, at: usize) -> impl Iterator<Item = i32> + '_ {
        let lane = &self.lanes[at];
        let parts = lane.range().iter();
        parts.filter(move |partition| matches!(self.status(at, *partition), Status::Stale { .. }))
    }

    /// The range of a parent's partitions that a reader's partition reads.
    pub fn read_range(&self, at: usize, partition: i32, read: ItemRead) -> PartitionRange {
        self.read_ranges(at, PartitionRange::one(partition), read)
    }

    /// The same for several partitions that one statement builds.
    pub fn read_ranges(&self, at: usize, range: PartitionRange, read: ItemRead) -> PartitionRange {
        match (&self.items[at].cut, &self.items[read.item].cut) {
            (_, None) => PartitionRange::one(ALL),
            (None, Some(parent)) => PartitionRange::new(parent.calendar.begin, i32::MAX),
            (Some(own), Some(parent)) => read.mapping.reads(range, &own.calendar, &parent.calendar),
        }
    }

    /// The digest of the tracked inputs that a partition would be built from now.
    pub fn digest(&self, at: usize, partition: i32) -> i64 {
        let item = &self.items[at];
        let mut digest = 0x5eed_u64;
        let mut blend = |number: u64| {
            digest = (digest ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            digest ^= digest >> 29;
        };
        for read in item.reads.iter().filter(|read| read.tracked) {
            let parent = &self.items[read.item];
            if parent.kind == ItemKind::Unversioned {
                continue;
            }
            let range = self.read_range(at, partition, *read);
            let (sum, count) = self.histories[read.item].digest(range);
            blend(parent.relation.0 as u64);
            blend(sum);
            blend(count);
        }
        if item.stores_nothing {
            for read in &item.reads {
                blend(self.items[read.item].relation.0 as u64);
                blend(self.histories[read.item].columns as u64);
            }
        }
        if item.reads_clock {
            blend(self.logical_day(at) as u64);
        }
        digest as i64
    }

    fn logical_day(&self, at: usize) -> i64 {
        let zone = match &self.items[at].cut {
            Some(cut) => cut.calendar.timezone.clone(),
            None => jiff::tz::TimeZone::UTC,
        };
        let date = self.as_of.to_zoned(zone).date();
        i64::from(date.year()) * 400 + i64::from(date.day_of_year())
    }

    /// The status of a partition before anything is built.
    fn first_status(&self, at: usize, partition: i32) -> Status {
        let item = &self.items[at];
        let record = self.histories[at].record(partition);
        match item.kind {
            ItemKind::Unversioned => return Status::NotDue,
            ItemKind::Seen => {
                let exported = self.scopes[at].allowed;
                if exported.is_some_and(|exported| exported.contains(partition)) {
                    return Status::Stale {
                        why: Why::Exported,
                        certain: record.is_none(),
                    };
                }
                let no_data = item
                    .cut
                    .as_ref()
                    .is_some_and(|cut| cut.no_data.contains(&partition));
                return match record.map(|record| record.state) {
                    Some(RecordState::Expired) => Status::Expired,
                    Some(_) => Status::Fresh,
                    None if no_data => Status::Fresh,
                    None if partition < self.first_retained(at) => Status::Expired,
                    None if self.due(at).contains(partition) => Status::Missing,
                    None => Status::NotDue,
                };
            }
            ItemKind::Managed | ItemKind::Rebuilt => {}
        }
        if record.is_some_and(|record| record.state == RecordState::Expired) {
            return Status::Expired;
        }
        if partition < self.first_retained(at) {
            // What is still there may be read until it is removed; what is not is never built.
            return match record {
                Some(_) => Status::Fresh,
                None => Status::Expired,
            };
        }
        if record.is_none() && !self.due(at).contains(partition) {
            return Status::NotDue;
        }
        let mut reads = item.reads.iter();
        if item.cut.is_none() && record.is_none() && reads.any(|read| self.begins_later(read.item))
        {
            return Status::NotDue;
        }
        let allowed = self.scopes[at]
            .allowed
            .is_some_and(|allowed| allowed.contains(partition));
        match self.judge(at, partition) {
            // What this command does not build stays as it is; where nothing is, readers wait.
            Status::Stale { why, .. } if !allowed && record.is_none_or(Record::is_lost) => {
                Status::Waiting {
                    why,
                    wait: Wait::Missing(at, partition),
                }
            }
            Status::Stale { why, .. } if !allowed => Status::Stale {
                why,
                certain: false,
            },
            status => status,
        }
    }

    /// Judges a partition of a built item by what is there now and what is still to be built.
    pub fn judge(&self, at: usize, partition: i32) -> Status {
        let Some((why, certain)) = self.staleness(at, partition) else {
            let older = self.histories[at].record(partition).is_some_and(|record| {
                record.state == RecordState::Adopted || record.code != self.items[at].code
            });
            let tracked = |read: &&ItemRead| read.tracked;
            if let Some((item, part)) = self.failed_input(at, partition, tracked) {
                return Status::Waiting {
                    why: Why::Upstream(item, PartitionRange::one(part)),
                    wait: Wait::Failed(item, part),
                };
            }
            return if older {
                Status::OlderCode
            } else {
                Status::Fresh
            };
        };
        if let Some(gone) = self.gone_input(at, partition) {
            return Status::Frozen { why, gone };
        }
        if let Some((item, part)) = self.failed_input(at, partition, |_| true) {
            let wait = Wait::Failed(item, part);
            return Status::Waiting { why, wait };
        }
        match self.missing_input(at, partition) {
            Some(wait) => Status::Waiting { why, wait },
            None => Status::Stale { why, certain },
        }
    }

    /// Why a partition is stale, and whether it will be built for sure; `None` where it is fresh.
    fn staleness(&self, at: usize, partition: i32) -> Option<(Why, bool)> {
        let item = &self.items[at];
        let scope = self.scopes[at];
        let allowed = scope
            .allowed
            .is_some_and(|allowed| allowed.contains(partition));
        let Some(record) = self.histories[at].record(partition) else {
            return Some((Why::Never, true));
        };
        if scope.forced && allowed {
            return Some((Why::Forced, true));
        }
        if item.kind == ItemKind::Rebuilt {
            return Some((Why::EachRun, true));
        }
        match record.state {
            RecordState::Lost => return Some((Why::Outside, true)),
            RecordState::Provisional if self.is_closed(at, partition) => {
                return Some((Why::Provisional, true));
            }
            _ => {}
        }
        if self.histories[at].owes_hooks(record) {
            return Some((Why::Hooks, true));
        }
        if self.is_kept(at, record) {
            if let Some(past) = self.past[at].get(&partition) {
                return self.past_staleness(past);
            }
        } else if record.code != item.code && record.state != RecordState::Adopted {
            return Some((Why::Code, true));
        }
        if record.inputs != self.digest(at, partition) {
            // What is lost may come back as it was.
            return Some((Why::Inputs, !self.reads_lost(at, partition)));
        }
        if let Some(unversioned) = self.unversioned_input(at, partition) {
            return Some((Why::Unversioned(unversioned), true));
        }
        self.pending_input(at, partition)
            .or_else(|| self.pending_columns(at))
    }

    /// Whether what older code read is not what it was, or may not be once this run has built it.
    fn past_staleness(&self, past: &[PastRead]) -> Option<(Why, bool)> {
        let changed = |read: &PastRead| {
            let now = read
                .item
                .map(|item| self.histories[item].digest(read.range));
            now != Some(read.found)
        };
        if past.iter().any(changed) {
            return Some((Why::Inputs, true));
        }
        past.iter().find_map(|read| {
            let item = read.item?;
            let pending = self.buildable(item, &self.lanes[item], read.range) > 0;
            pending.then_some((Why::Upstream(item, read.range), false))
        })
    }

    fn is_closed(&self, at: usize, partition: i32) -> bool {
        self.items[at].cut.is_none() || partition <= self.closed[at]
    }

    fn unversioned_input(&self, at: usize, partition: i32) -> Option<usize> {
        let item = &self.items[at];
        let near = match &item.cut {
            Some(cut) => partition > self.closed[at] - cut.lookback,
            None => true,
        };
        let mut tracked = item.reads.iter().filter(|read| read.tracked && near);
        tracked
            .find(|read| self.items[read.item].kind == ItemKind::Unversioned)
            .map(|read| read.item)
    }

    fn reads_lost(&self, at: usize, partition: i32) -> bool {
        let mut tracked = self.items[at].reads.iter().filter(|read| read.tracked);
        tracked.any(|read| {
            let history = &self.histories[read.item];
            let range = self.read_range(at, partition, *read);
            let mut inside = range.intersect(history.extent()).iter();
            history.has_lost()
                && inside.any(|part| history.record(part).is_some_and(Record::is_lost))
        })
    }

    /// A tracked input that this run builds.
    fn pending_input(&self, at: usize, partition: i32) -> Option<(Why, bool)> {
        let mut found = None;
        for read in self.items[at].reads.iter().filter(|read| read.tracked) {
            let range = self.read_range(at, partition, *read);
            let lane = &self.lanes[read.item];
            if self.buildable(read.item, lane, range) == 0 {
                continue;
            }
            if lane.count(&lane.sure, range) > 0 {
                return Some((Why::Upstream(read.item, range), true));
            }
            found.get_or_insert((Why::Upstream(read.item, range), false));
        }
        found
    }

    /// Something that a view shows, of which this run may change the columns.
    fn pending_columns(&self, at: usize) -> Option<(Why, bool)> {
        let item = &self.items[at];
        let mut shown = item.reads.iter().filter(|_| item.stores_nothing);
        shown.find_map(|read| {
            let lane = &self.lanes[read.item];
            let comes = self.buildable(read.item, lane, lane.range()) > 0 && !lane.published;
            let pending = comes && self.reshaping[read.item];
            pending.then_some((Why::Upstream(read.item, lane.range()), false))
        })
    }

    /// Tells whether a view that is followed shows an item.
    pub fn is_shown(&self, at: usize) -> bool {
        let mut views = self.items.iter().filter(|item| item.stores_nothing);
        views.any(|view| view.reads.iter().any(|read| read.item == at))
    }

    /// How many partitions of a range this run still builds.
    fn buildable(&self, at: usize, lane: &Lane, range: PartitionRange) -> u64 {
        match self.scopes[at].allowed {
            Some(allowed) => lane.count(&lane.todo, range.intersect(allowed)),
            None => 0,
        }
    }

    fn failed_input(
        &self,
        at: usize,
        partition: i32,
        among: impl FnMut(&&ItemRead) -> bool,
    ) -> Option<(usize, i32)> {
        let mut reads = self.items[at].reads.iter().filter(among);
        reads.find_map(|read| {
            let range = self.read_range(at, partition, *read);
            let lane = &self.lanes[read.item];
            let enough = self.items[at].stores_nothing && lane.published;
            if enough || lane.count(&lane.failed, range) == 0 {
                return None;
            }
            let failed = lane.find(&lane.failed, range)?;
            Some((read.item, failed))
        })
    }

    /// A partition that must be there to be read, and is not.
    fn missing_input(&self, at: usize, partition: i32) -> Option<Wait> {
        self.items[at].reads.iter().find_map(|read| {
            let parent = &self.items[read.item];
            if parent.kind == ItemKind::Unversioned {
                return None;
            }
            let range = self.read_range(at, partition, *read);
            let lane = &self.lanes[read.item];
            let whole = read.mapping == Mapping::All && parent.cut.is_some();
            if whole {
                // It goes on with what is there; but something must be.
                let (_, there) = self.histories[read.item].digest(range);
                let coming = self.buildable(read.item, lane, range);
                let first = range.first;
                return (there == 0 && coming == 0).then_some(Wait::Missing(read.item, first));
            }
            let due = range.intersect(self.due(read.item));
            if lane.count(&lane.holes, due) > 0 {
                let hole = lane.find(&lane.holes, due)?;
                return Some(Wait::Missing(read.item, hole));
            }
            // Nothing of it is read yet; but its table must be there.
            let never = read.item != at
                && !self.is_there(read.item)
                && self.buildable(read.item, lane, lane.range()) == 0;
            never.then_some(Wait::Missing(read.item, range.first))
        })
    }

    /// A partition that was read once and is gone.
    fn gone_input(&self, at: usize, partition: i32) -> Option<(usize, i32)> {
        let own = &self.items[at];
        own.reads.iter().find_map(|read| {
            let parent = &self.items[read.item];
            if !read.tracked || (read.mapping == Mapping::All && parent.cut.is_some()) {
                return None;
            }
            let range = self.read_range(at, partition, *read);
            let lane = &self.lanes[read.item];
            if lane.count(&lane.gone, range) == 0 {
                return None;
            }
            let gone = lane.find(&lane.gone, range)?;
            Some((read.item, gone))
        })
    }

    /// Tells whether nothing that a partition reads is still to be built by this run.
    pub fn is_ready(&self, at: usize, partition: i32) -> bool {
        let mut reads = self.items[at].reads.iter();
        reads.all(|read| self.is_read_ready(at, partition, *read))
    }

    fn is_read_ready(&self, at: usize, partition: i32, read: ItemRead) -> bool {
        let lane = &self.lanes[read.item];
        if self.items[at].stores_nothing && lane.published {
            return true;
        }
        // Where nothing of it is read yet, its table must be there all the same.
        let range = match read.item == at || self.is_there(read.item) {
            true => self.read_range(at, partition, read),
            false => lane.range(),
        };
        self.buildable(read.item, lane, range) == 0
    }

    /// Tells whether a relation exists, as far as the ledger knows.
    fn is_there(&self, at: usize) -> bool {
        let builds = matches!(self.items[at].kind, ItemKind::Managed | ItemKind::Rebuilt);
        let everything = PartitionRange::new(i32::MIN, i32::MAX);
        !builds || self.histories[at].digest(everything).1 > 0
    }

    fn set_status(&mut self, at: usize, partition: i32, status: Status) {
        let record = self.histories[at].record(partition).copied();
        if let Some(place) = self.lanes[at].place(partition) {
            self.lanes[at].mark(place, status, record.as_ref());
        }
    }

    /// Takes the next partitions of an item that one statement can build now: the first that is
    /// ready and those behind it, one after another; what turned out fresh or must wait is settled
    /// on the way, and told in the second value.
    pub fn next_batch(&mut self, at: usize) -> (Option<Batch>, Vec<i32>) {
        let most = self.items[at].together.most();
        let Some(allowed) = self.scopes[at].allowed else {
            return (None, Vec::new());
        };
        let mut settled = Vec::new();
        let mut batch: Option<Batch> = None;
        let todo: Vec<i32> = self
            .todo(at)
            .filter(|part| allowed.contains(*part))
            .collect();
        for partition in todo {
            if let Some(open) = &batch
                && (partition != open.range.last + 1 || open.range.len() >= most)
            {
                break;
            }
            if !self.is_ready(at, partition) {
                if batch.is_some() {
                    break;
                }
                continue;
            }
            match self.judge(at, partition) {
                Status::Stale { why, .. } => {
                    let inputs = self.digest(at, partition);
                    let open = batch.get_or_insert_with(|| Batch {
                        item: at,
                        range: PartitionRange::new(partition, partition),
                        parts: Vec::new(),
                    });
                    open.range.last = partition;
                    open.parts.push(BatchPart {
                        partition,
                        why,
                        inputs,
                    });
                }
                other => {
                    self.set_status(at, partition, other);
                    settled.push(partition);
                }
            }
        }
        (batch, settled)
    }

    /// As [`Board::next_batch`], but all at once: nothing until everything that is left is ready.
    pub fn whole_batch(&mut self, at: usize) -> (Option<Batch>, Vec<i32>) {
        let Some(allowed) = self.scopes[at].allowed else {
            return (None, Vec::new());
        };
        let todo: Vec<i32> = self
            .todo(at)
            .filter(|part| allowed.contains(*part))
            .collect();
        let others = |part: &i32| {
            let mut reads = self.items[at].reads.iter();
            reads.all(|read| read.item == at || self.is_read_ready(at, *part, *read))
        };
        if !todo.iter().all(others) {
            return (None, Vec::new());
        }
        let (mut parts, mut settled) = (Vec::new(), Vec::new());
        for partition in todo {
            match self.judge(at, partition) {
                Status::Stale { why, .. } => parts.push(BatchPart {
                    partition,
                    why,
                    inputs: self.digest(at, partition),
                }),
                other => {
                    self.set_status(at, partition, other);
                    settled.push(partition);
                }
            }
        }
        let batch = parts.first().zip(parts.last()).map(|(first, last)| Batch {
            item: at,
            range: PartitionRange::new(first.partition, last.partition),
            parts: parts.clone(),
        });
        (batch, settled)
    }

    /// Tells whether an item has partitions that this command is to build.
    pub fn has_work(&self, at: usize) -> bool {
        let lane = &self.lanes[at];
        self.buildable(at, lane, lane.range()) > 0
    }

    /// The partitions of an item that this command would build and that must wait, and for what.
    pub fn waiting(&self, at: usize) -> Vec<(i32, Wait)> {
        let Some(allowed) = self.scopes[at].allowed else {
            return Vec::new();
        };
        let parts = self.lanes[at].range().intersect(allowed);
        parts
            .iter()
            .filter_map(|part| match self.status(at, part) {
                // What failed by itself is told as a failure.
                Status::Waiting {
                    wait: Wait::Failed(item, _),
                    ..
                } if *item == at => None,
                Status::Waiting { wait, .. } => Some((part, wait.clone())),
                _ => None,
            })
            .collect()
    }

    /// Records that a partition was published.
    pub fn published(&mut self, at: usize, partition: i32, record: Record) {
        self.histories[at].set(partition, record);
        self.set_status(at, partition, Status::Fresh);
        self.lanes[at].published = true;
    }

    /// Records that a partition failed or was refused: what reads it waits.
    pub fn failed(&mut self, at: usize, partition: i32) {
        let why = self
            .status(at, partition)
            .why()
            .cloned()
            .unwrap_or(Why::Never);
        let wait = Wait::Failed(at, partition);
        self.set_status(at, partition, Status::Waiting { why, wait });
        let lane = &mut self.lanes[at];
        if let Some(place) = lane.place(partition) {
            lane.failed.add(place, 1);
        }
    }

    /// The place of a node or source.
    pub fn find(&self, id: &UniqueId) -> Option<usize> {
        self.items.iter().position(|item| item.id == *id)
    }

    /// The key of a partition, for people.
    pub fn key(&self, at: usize, partition: i32) -> String {
        match &self.items[at].cut {
            Some(cut) => cut.calendar.granularity.key(partition),
            None => "all".to_owned(),
        }
    }
}

/// Tells of each item whether its columns may change when it is built: its code is another one than
/// before, or those of what it reads may.
fn reshaping(items: &[Item], histories: &[History]) -> Vec<bool> {
    let views = items.iter().filter(|item| item.stores_nothing);
    let shown: HashSet<usize> = views
        .flat_map(|view| view.reads.iter().map(|read| read.item))
        .collect();
    let mut found: Vec<bool> = Vec::new();
    for (at, (item, history)) in items.iter().zip(histories).enumerate() {
        let may = match item.kind {
            ItemKind::Unversioned | ItemKind::Rebuilt => true,
            // Its files have the columns that are declared, which count as code.
            ItemKind::Seen => false,
            ItemKind::Managed => {
                let mut records = history.records();
                let older = records.any(|(_, record)| record.code != item.code);
                let mut reads = item.reads.iter();
                older
                    || history.columns == 0 && shown.contains(&at)
                    || reads.any(|read| found.get(read.item) == Some(&true))
            }
        };
        found.push(may);
    }
    found
}

/// Partitions that one statement builds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The item.
    pub item: usize,
    /// The first and the last.
    pub range: PartitionRange,
    /// Each of them.
    pub parts: Vec<BatchPart>,
}

/// One partition of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchPart {
    /// Which.
    pub partition: i32,
    /// Why it is built.
    pub why: Why,
    /// The digest of the tracked inputs that it is built from.
    pub inputs: i64,
}
