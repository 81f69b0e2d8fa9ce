//! The board under random runs: a small executor in memory builds what the board says, in any order
//! that it allows, and what a partition holds is a function of its code and of what it read.
//!
//! After each run nothing that is called fresh is wrong, nothing due is left without a reason,
//! nothing was built twice or for nothing, and the run ended.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use daygrain::calendar::{Calendar, Granularity, Mapping, PartitionRange};
use daygrain::ledger::{History, Record, RecordState, RelationId};
use daygrain::manifest::UniqueId;
use daygrain::manifest::partitioning::{ContentHash, FieldType, OnCodeChange, Partitioning};
use daygrain::planner::board::{
    ALL, Board, Item, ItemKind, ItemRead, Scope, Status, Together, Wait, Why,
};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

/// A relation as it is drawn; numbers are cut down to what there is.
#[derive(Clone, Debug)]
struct Draft {
    granularity: u8,
    begin: u8,
    reads: Vec<(u8, u8, bool)>,
    cumulative: bool,
    whole: bool,
    keep: bool,
    hashed: bool,
    /// Content is cut down to so many values, so that changes come to nothing.
    width: u64,
    most: usize,
}

/// What happens between runs.
#[derive(Clone, Debug)]
enum Event {
    Arrive(u8, u8, u64),
    Vanish(u8, u8),
    Code(u8),
    Lose(u8, u8),
    Later(u8),
    Run {
        selected: u16,
        bounds: Option<(u8, u8)>,
        forced: bool,
        open: bool,
        earlier: u8,
        failing: u8,
        seed: u64,
    },
}

fn drafts() -> impl Strategy<Value = Vec<Draft>> {
    let draft = (
        (0..6_u8, 0..4_u8),
        prop::collection::vec((any::<u8>(), 0..9_u8, prop::bool::weighted(0.85)), 1..4),
        (
            prop::bool::weighted(0.2),
            prop::bool::weighted(0.15),
            prop::bool::weighted(0.1),
            prop::bool::weighted(0.85),
        ),
        prop::sample::select(vec![1, 2, 3, u64::MAX]),
        1..5_usize,
    );
    let draft = draft.prop_map(
        |((granularity, begin), reads, (cumulative, whole, keep, hashed), width, most)| Draft {
            granularity,
            begin,
            reads,
            cumulative,
            whole,
            keep,
            hashed,
            width,
            most,
        },
    );
    prop::collection::vec(draft, 2..7)
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let run = (
        prop_oneof![3 => Just(u16::MAX), 1 => any::<u16>()],
        prop::option::weighted(0.2, (0..10_u8, 0..6_u8)),
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.1),
        prop_oneof![5 => Just(0_u8), 1 => 1..4_u8],
        prop_oneof![2 => Just(0_u8), 1 => 1..60_u8],
        any::<u64>(),
    );
    let run = run.prop_map(
        |(selected, bounds, forced, open, earlier, failing, seed)| Event::Run {
            selected,
            bounds,
            forced,
            open,
            earlier,
            failing,
            seed,
        },
    );
    let event = prop_oneof![
        3 => (any::<u8>(), any::<u8>(), any::<u64>()).prop_map(|(at, part, value)| Event::Arrive(at, part, value)),
        1 => (any::<u8>(), any::<u8>()).prop_map(|(at, part)| Event::Vanish(at, part)),
        1 => any::<u8>().prop_map(Event::Code),
        1 => (any::<u8>(), any::<u8>()).prop_map(|(at, part)| Event::Lose(at, part)),
        1 => (1..60_u8).prop_map(Event::Later),
        4 => run,
    ];
    prop::collection::vec(event, 1..9)
}

/// What was known when a partition was built last.
#[derive(Clone, Debug, PartialEq)]
struct Built {
    code: i64,
    /// The epochs of what was read and tracked.
    read: BTreeMap<(usize, i32), u64>,
}

struct World {
    items: Vec<Item>,
    widths: Vec<u64>,
    histories: Vec<History>,
    /// What is visible.
    stored: Vec<BTreeMap<i32, u64>>,
    /// How often what was visible has changed.
    epochs: Vec<BTreeMap<i32, u64>>,
    built: Vec<BTreeMap<i32, Built>>,
    sources: usize,
    as_of: Timestamp,
    numbers: i64,
    log: Vec<String>,
}

fn mix(state: u64, number: u64) -> u64 {
    let mut x = state ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x ^= x >> 31;
    x = x.wrapping_mul(0xd6e8_feb8_6659_fd93);
    x ^ (x >> 29)
}

struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = mix(self.0, 0x1234_5678).wrapping_add(0x9e37_79b9);
        usize::try_from(self.0 % end.max(1) as u64).unwrap()
    }
}

const START: &str = "2026-01-31T06:00:00Z";

fn cut(granularity: Granularity, begin: u8, keep: bool) -> Arc<Partitioning> {
    let first = granularity.parse_key("2026-01-27T00").unwrap();
    let step = match granularity {
        Granularity::Hour => 24 * i32::from(begin) + 60,
        Granularity::Day => i32::from(begin),
        _ => 0,
    };
    Arc::new(Partitioning {
        field: "at".to_owned(),
        field_type: FieldType::Date,
        calendar: Calendar {
            granularity,
            timezone: TimeZone::UTC,
            begin: first + step,
            arrival_buffer: SignedDuration::ZERO,
        },
        order_by: Vec::new(),
        batch_size: None,
        lookback: 1,
        on_code_change: match keep {
            true => OnCodeChange::Keep,
            false => OnCodeChange::Rebuild,
        },
        content_hash: ContentHash::default(),
        allow_empty: true,
        retention: None,
        no_data: BTreeSet::new(),
        gap: Default::default(),
    })
}

impl World {
    fn new(sources: usize, drafts: &[Draft]) -> World {
        let mut items: Vec<Item> = Vec::new();
        for (at, draft) in drafts.iter().enumerate() {
            let is_source = at < sources;
            let granularity = match draft.granularity {
                0 => Granularity::Hour,
                1 => Granularity::Month,
                _ => Granularity::Day,
            };
            let cut = (is_source || !draft.whole)
                .then(|| cut(granularity, draft.begin, draft.keep && !is_source));
            let mut reads: Vec<ItemRead> = Vec::new();
            if !is_source {
                for (parent, mapping, tracked) in &draft.reads {
                    let parent = usize::from(*parent) % at;
                    let mapping = match mapping {
                        _ if items[parent].cut.is_none() || cut.is_none() => Mapping::All,
                        0..=3 => Mapping::Same,
                        4 => Mapping::PREVIOUS,
                        5 => Mapping::Window(-2, 0),
                        6 => Mapping::Window(-1, 1),
                        7 => Mapping::Upto,
                        _ => Mapping::All,
                    };
                    reads.push(ItemRead {
                        item: parent,
                        mapping,
                        tracked: *tracked,
                    });
                }
                if draft.cumulative && cut.is_some() {
                    reads.push(ItemRead {
                        item: at,
                        mapping: Mapping::PREVIOUS,
                        tracked: true,
                    });
                }
                reads.sort_by_key(|read| (read.item, read.mapping));
                reads.dedup();
            }
            items.push(Item {
                stores_nothing: false,
                volatile: None,
                id: UniqueId::from(format!("model.p.m{at}")),
                name: format!("m{at}"),
                relation: RelationId::new(&format!("m{at}"), ""),
                physical: format!("m{at}"),
                kind: match is_source {
                    true => ItemKind::Seen,
                    false => ItemKind::Managed,
                },
                cut,
                reads,
                code: 1,
                reads_clock: false,
                together: Together::UpTo(draft.most),
                hashed: draft.hashed,
            });
        }
        let count = items.len();
        World {
            items,
            widths: drafts.iter().map(|draft| draft.width).collect(),
            histories: vec![History::default(); count],
            stored: vec![BTreeMap::new(); count],
            epochs: vec![BTreeMap::new(); count],
            built: vec![BTreeMap::new(); count],
            sources,
            as_of: START.parse().unwrap(),
            numbers: 0,
            log: Vec::new(),
        }
    }

    fn number(&mut self) -> i64 {
        self.numbers += 1;
        self.numbers
    }

    fn due(&self, at: usize) -> PartitionRange {
        match &self.items[at].cut {
            Some(cut) => cut.calendar.due(self.as_of),
            None => PartitionRange::one(ALL),
        }
    }

    fn part(&self, at: usize, part: u8) -> i32 {
        let mut range = self.due(at);
        range.last += 2;
        let count = i32::try_from(range.len().max(1)).unwrap();
        range.first + i32::from(part) % count
    }

    fn key(&self, at: usize, part: i32) -> String {
        match &self.items[at].cut {
            Some(cut) => format!("m{at} {}", cut.calendar.granularity.key(part)),
            None => format!("m{at} all"),
        }
    }

    /// A source gets rows, or other rows; like the look before a run.
    fn arrive(&mut self, at: usize, part: i32, value: u64) {
        let before = self.histories[at].record(part).copied();
        let there = self.stored[at].insert(part, value);
        let content = value as i64;
        let seen = before.filter(|before| before.state == RecordState::Seen);
        if seen.is_some_and(|seen| seen.content == content) {
            return;
        }
        if there != Some(value) {
            *self.epochs[at].entry(part).or_default() += 1;
        }
        let number = self.number();
        self.histories[at].set(
            part,
            Record {
                build: number,
                state: RecordState::Seen,
                code: 0,
                inputs: 0,
                version: number,
                content,
                rows: 1,
            },
        );
    }

    /// Most closed partitions of sources come in time; some never.
    fn arrivals(&mut self) {
        for at in 0..self.sources {
            for part in self.due(at).iter() {
                let chance = mix(at as u64 + 7, part as u64);
                if self.histories[at].record(part).is_none() && !chance.is_multiple_of(12) {
                    self.arrive(at, part, chance % 5);
                }
            }
        }
    }

    fn vanish(&mut self, at: usize, part: i32) {
        let Some(record) = self.histories[at].record(part).copied() else {
            return;
        };
        if record.state != RecordState::Seen {
            return;
        }
        self.stored[at].remove(&part);
        let build = self.number();
        let state = RecordState::Expired;
        self.histories[at].set(
            part,
            Record {
                build,
                state,
                ..record
            },
        );
    }

    fn lose(&mut self, at: usize, part: i32) {
        let Some(record) = self.histories[at].record(part).copied() else {
            return;
        };
        self.stored[at].remove(&part);
        let build = self.number();
        let state = RecordState::Lost;
        self.histories[at].set(
            part,
            Record {
                build,
                state,
                ..record
            },
        );
    }

    fn read_range(&self, at: usize, part: i32, read: ItemRead) -> PartitionRange {
        match (&self.items[at].cut, &self.items[read.item].cut) {
            (_, None) => PartitionRange::one(ALL),
            (None, Some(parent)) => PartitionRange::new(parent.calendar.begin, i32::MAX),
            (Some(own), Some(parent)) => {
                let range = PartitionRange::one(part);
                read.mapping.reads(range, &own.calendar, &parent.calendar)
            }
        }
    }

    fn visible(&self, at: usize, range: PartitionRange) -> impl Iterator<Item = (i32, u64)> + '_ {
        let parts = self.stored[at].iter().map(|(part, value)| (*part, *value));
        parts.filter(move |(part, _)| range.contains(*part))
    }

    /// What today's code makes of what is visible.
    fn content(&self, at: usize, part: i32) -> u64 {
        let item = &self.items[at];
        let mut value = mix(item.code as u64, part as u64);
        for read in &item.reads {
            value = mix(value, read.item as u64);
            for (part, content) in self.visible(read.item, self.read_range(at, part, *read)) {
                value = mix(mix(value, part as u64), content);
            }
        }
        value % self.widths[at]
    }

    fn read_epochs(&self, at: usize, part: i32) -> Built {
        let item = &self.items[at];
        let mut read = BTreeMap::new();
        for tracked in item.reads.iter().filter(|read| read.tracked) {
            let range = self.read_range(at, part, *tracked);
            // What has expired was there once, and counts as it was.
            let known = self.histories[tracked.item].records();
            for (part, _) in known
                .filter(|(part, record)| range.contains(*part) && record.state != RecordState::Lost)
            {
                let epoch = self.epochs[tracked.item].get(&part).copied();
                read.insert((tracked.item, part), epoch.unwrap_or_default());
            }
        }
        Built {
            code: item.code,
            read,
        }
    }

    /// Builds a partition from what is visible now; `inputs` is what the board said before.
    fn build(&mut self, at: usize, part: i32, inputs: i64, open: bool) -> Record {
        let value = self.content(at, part);
        let before = self.histories[at].record(part).copied();
        let number = self.number();
        let content = match self.items[at].hashed {
            true => value as i64,
            false => number,
        };
        let same = before.filter(|before| self.items[at].hashed && before.content == content);
        if same.is_none() {
            *self.epochs[at].entry(part).or_default() += 1;
        }
        self.stored[at].insert(part, value);
        let built = self.read_epochs(at, part);
        self.built[at].insert(part, built);
        Record {
            build: number,
            state: match open {
                true => RecordState::Provisional,
                false => RecordState::Published,
            },
            code: self.items[at].code,
            inputs,
            version: same.map_or(number, |before| before.version),
            content,
            rows: 1,
        }
    }

    fn scopes(
        &self,
        selected: u16,
        bounds: Option<(u8, u8)>,
        forced: bool,
        open: bool,
    ) -> Vec<Scope> {
        let items = self.items.iter().enumerate();
        items
            .map(|(at, item)| {
                if at < self.sources || selected & (1 << at) == 0 {
                    return Scope::NONE;
                }
                let allowed = match (&item.cut, bounds) {
                    (Some(cut), Some((first, length))) => {
                        let granularity = cut.calendar.granularity;
                        let day = |plus: u8| {
                            let start = Granularity::Day.parse_key("2026-01-27").unwrap();
                            Granularity::Day.civil_start(start + i32::from(plus))
                        };
                        PartitionRange::new(
                            granularity.containing(day(first)),
                            granularity.containing(day(first + length)),
                        )
                    }
                    (Some(_), None) => PartitionRange::new(i32::MIN, i32::MAX),
                    (None, _) => PartitionRange::one(ALL),
                };
                Scope {
                    allowed: Some(allowed),
                    forced,
                    open,
                }
            })
            .collect()
    }

    fn board(&self, scopes: Vec<Scope>) -> Board {
        Board::new(
            self.items.clone(),
            self.histories.clone(),
            scopes,
            self.as_of,
        )
    }

    /// Carries a run out; returns how many partitions were built.
    fn run(&mut self, scopes: Vec<Scope>, failing: u8, seed: u64) -> Result<usize, TestCaseError> {
        let before: Vec<BTreeMap<i32, Built>> = self.built.clone();
        let records = self.histories.clone();
        let mut board = self.board(scopes.clone());
        let planned: Vec<BTreeSet<i32>> = (0..self.items.len())
            .map(|at| board.todo(at).collect())
            .collect();
        let mut dice = Dice(seed);
        let mut running: Vec<daygrain::planner::board::Batch> = Vec::new();
        let mut built: BTreeSet<(usize, i32)> = BTreeSet::new();
        let mut failed: BTreeSet<(usize, i32)> = BTreeSet::new();
        loop {
            let busy: Vec<usize> = running.iter().map(|batch| batch.item).collect();
            let mut starts: Vec<usize> = (0..self.items.len())
                .filter(|at| !busy.contains(at))
                .collect();
            let mut started = false;
            if running.is_empty() || dice.below(3) > 0 {
                while !starts.is_empty() && !started {
                    let at = starts.swap_remove(dice.below(starts.len()));
                    loop {
                        let (batch, settled) = board.next_batch(at);
                        if let Some(batch) = batch {
                            running.push(batch);
                            started = true;
                            break;
                        }
                        if settled.is_empty() {
                            break;
                        }
                        // What was settled may let others begin.
                        starts = (0..self.items.len())
                            .filter(|at| !busy.contains(at))
                            .collect();
                    }
                }
            }
            if started {
                continue;
            }
            if running.is_empty() {
                break;
            }
            let batch = running.swap_remove(dice.below(running.len()));
            let at = batch.item;
            for part in &batch.parts {
                prop_assert!(
                    planned[at].contains(&part.partition),
                    "built what was not planned: {}",
                    self.key(at, part.partition)
                );
                if dice.below(256) < usize::from(failing) {
                    failed.insert((at, part.partition));
                    self.log
                        .push(format!("failed {}", self.key(at, part.partition)));
                    board.failed(at, part.partition);
                    continue;
                }
                for read in self.items[at].reads.iter().filter(|read| read.item != at) {
                    let nothing = self.histories[read.item].records().next().is_none();
                    prop_assert!(
                        !nothing || read.item < self.sources,
                        "reads a table before it is made"
                    );
                }
                let open = part.partition > self.due(at).last;
                let is_due = self.due(at).first <= part.partition && (!open || scopes[at].open);
                prop_assert!(
                    is_due,
                    "built and not due: {}",
                    self.key(at, part.partition)
                );
                let record = self.build(at, part.partition, part.inputs, open);
                self.log.push(format!(
                    "built {} {:?}",
                    self.key(at, part.partition),
                    part.why
                ));
                board.published(at, part.partition, record);
                self.histories[at].set(part.partition, record);
                prop_assert!(
                    built.insert((at, part.partition)),
                    "built twice: {}",
                    self.key(at, part.partition)
                );
                let old = records[at].record(part.partition);
                let sound = old.is_some_and(|old| {
                    !matches!(old.state, RecordState::Lost | RecordState::Provisional)
                });
                let again = before[at].get(&part.partition) == self.built[at].get(&part.partition);
                prop_assert!(
                    !(sound && again) || part.why == Why::Forced,
                    "built for nothing: {} {:?}",
                    self.key(at, part.partition),
                    part.why
                );
            }
        }
        for at in 0..self.items.len() {
            prop_assert!(
                !board.has_work(at),
                "the run ended with work left on m{}",
                at
            );
        }
        self.explained(&board, &scopes, &failed)?;
        self.sound()?;
        Ok(built.len())
    }

    /// Every due partition that a run was to look after is fresh, or says why it is not.
    fn explained(
        &self,
        board: &Board,
        scopes: &[Scope],
        failed: &BTreeSet<(usize, i32)>,
    ) -> Result<(), TestCaseError> {
        for (at, scope) in scopes.iter().enumerate().skip(self.sources) {
            let Some(allowed) = scope.allowed else {
                continue;
            };
            for part in self.due(at).intersect(allowed).iter() {
                let status = board.status(at, part);
                let key = self.key(at, part);
                match status {
                    Status::Fresh | Status::OlderCode | Status::Frozen { .. } => {}
                    Status::Waiting {
                        wait: Wait::Failed(item, hole),
                        why,
                    } => {
                        // What reads today's rows only is not held up once it is built.
                        let tracked = *item == at
                            || self.items[at]
                                .reads
                                .iter()
                                .any(|read| read.tracked && read.item == *item);
                        let upstream = matches!(why, Why::Upstream(..));
                        prop_assert!(tracked || !upstream, "{} {:?}", key, status);
                        prop_assert!(failed.contains(&(*item, *hole)), "{} {:?}", key, status);
                    }
                    Status::Waiting {
                        wait: Wait::Missing(item, hole),
                        ..
                    } => {
                        let there = self.stored[*item].contains_key(hole);
                        prop_assert!(!there, "{} waits for what is there: {:?}", key, status);
                        prop_assert!((*item, *hole) != (at, part), "{} waits for itself", key);
                    }
                    Status::NotDue => {
                        let whole = self.items[at].cut.is_none() && self.begins_later(at);
                        prop_assert!(whole, "{} is not due", key);
                    }
                    other => prop_assert!(false, "{} ended as {:?}", key, other),
                }
            }
        }
        Ok(())
    }

    /// Whether nothing of a relation is there, and nothing of it, or of what it reads as a whole, is due.
    fn begins_later(&self, at: usize) -> bool {
        let mut reads = self.items[at].reads.iter();
        let is_due = match self.items[at].cut {
            Some(_) => !self.due(at).is_empty(),
            None => !reads.any(|read| self.begins_later(read.item)),
        };
        !is_due && self.histories[at].records().next().is_none()
    }

    /// Nothing that is called fresh differs from what today's code makes of what is visible.
    fn sound(&self) -> Result<(), TestCaseError> {
        let board = self.board(self.scopes(u16::MAX, None, false, false));
        for at in self.sources..self.items.len() {
            let item = &self.items[at];
            if item.reads.iter().any(|read| !read.tracked) {
                continue;
            }
            let parts: Vec<(i32, Record)> = self.histories[at].records().collect();
            for (part, _) in parts {
                let expired = item.reads.iter().any(|read| {
                    let range = self.read_range(at, part, *read);
                    self.has_expired(read.item, range)
                });
                if *board.status(at, part) != Status::Fresh || expired {
                    continue;
                }
                let stored = self.stored[at].get(&part).copied();
                prop_assert_eq!(
                    stored,
                    Some(self.content(at, part)),
                    "{} is called fresh and is wrong",
                    self.key(at, part)
                );
            }
        }
        Ok(())
    }

    fn has_expired(&self, at: usize, range: PartitionRange) -> bool {
        let mut records = self.histories[at].records();
        records.any(|(part, record)| range.contains(part) && record.state == RecordState::Expired)
    }

    /// Whether a partition is there or can be once all is built.
    fn can_be(&self, at: usize, part: i32, known: &mut BTreeMap<(usize, i32), bool>) -> bool {
        if let Some(known) = known.get(&(at, part)) {
            return *known;
        }
        let can = match at < self.sources {
            true => self.histories[at].record(part).is_some(),
            false => self.stored[at].contains_key(&part) || self.can_build(at, part, known),
        };
        known.insert((at, part), can);
        can
    }

    fn can_build(&self, at: usize, part: i32, known: &mut BTreeMap<(usize, i32), bool>) -> bool {
        self.items[at].reads.iter().all(|read| {
            let range = self.read_range(at, part, *read);
            let due = range.intersect(self.due(read.item));
            if read.mapping == Mapping::All && self.items[read.item].cut.is_some() {
                let visible = self.visible(read.item, range).next().is_some();
                return visible || due.iter().any(|part| self.can_be(read.item, part, known));
            }
            let parent = read.item;
            let made = parent < self.sources
                || parent == at
                || !self.stored[parent].is_empty()
                || self
                    .due(parent)
                    .iter()
                    .any(|part| self.can_be(parent, part, known));
            let gone = read.tracked && self.has_expired(read.item, range);
            made && !gone && due.iter().all(|part| self.can_be(read.item, part, known))
        })
    }

    /// After a run of everything, what can be there is there.
    fn complete(&self) -> Result<(), TestCaseError> {
        let board = self.board(self.scopes(u16::MAX, None, false, false));
        let mut known = BTreeMap::new();
        for at in self.sources..self.items.len() {
            for part in self.due(at).iter() {
                let status = board.status(at, part);
                let ended = matches!(
                    status,
                    Status::Fresh | Status::OlderCode | Status::Frozen { .. }
                );
                let can = self.can_build(at, part, &mut known);
                prop_assert!(
                    ended || !can,
                    "{} can be built and is {:?}",
                    self.key(at, part),
                    status
                );
            }
        }
        Ok(())
    }

    /// Nothing is left of what was built; what sources have stays.
    fn wiped(&self) -> World {
        let mut world = World {
            items: self.items.clone(),
            widths: self.widths.clone(),
            histories: self.histories.clone(),
            stored: self.stored.clone(),
            epochs: self.epochs.clone(),
            built: vec![BTreeMap::new(); self.items.len()],
            sources: self.sources,
            as_of: self.as_of,
            numbers: self.numbers,
            log: Vec::new(),
        };
        for at in self.sources..self.items.len() {
            world.histories[at] = History::default();
            world.stored[at].clear();
        }
        world
    }

    /// Whether what is built depends on more than code and sources, so that a past shows.
    fn has_memory(&self) -> bool {
        let keeps = |item: &Item| {
            item.cut
                .as_ref()
                .is_some_and(|cut| cut.on_code_change == OnCodeChange::Keep)
        };
        let untracked = |item: &Item| item.reads.iter().any(|read| !read.tracked);
        let ever = PartitionRange::new(i32::MIN, i32::MAX);
        let expired = (0..self.sources).any(|at| self.has_expired(at, ever));
        let beyond = (self.sources..self.items.len()).any(|at| {
            let mut records = self.histories[at].records();
            let last = self.due(at).last;
            records.any(|(part, record)| part > last || record.state == RecordState::Provisional)
        });
        expired || beyond || self.items.iter().any(|item| keeps(item) || untracked(item))
    }
}

fn play(sources: usize, drafts: &[Draft], events: &[Event]) -> Result<(), TestCaseError> {
    let sources = sources.min(drafts.len() - 1);
    let mut world = World::new(sources, drafts);
    let told = told(&mut world, events);
    told.map_err(|wrong| match wrong {
        TestCaseError::Fail(reason) => {
            TestCaseError::fail(format!("{reason}\n{}", world.log.join("\n")))
        }
        other => other,
    })
}

fn told(world: &mut World, events: &[Event]) -> Result<(), TestCaseError> {
    let count = world.items.len();
    let sources = world.sources;
    world.arrivals();
    for event in events {
        world.log.push(format!("-- {event:?} at {}", world.as_of));
        match event {
            Event::Arrive(at, part, value) => {
                let at = usize::from(*at) % sources;
                let part = world.part(at, *part);
                world.arrive(at, part, value % 5);
            }
            Event::Vanish(at, part) => {
                let at = usize::from(*at) % sources;
                let part = world.part(at, *part);
                world.vanish(at, part);
            }
            Event::Code(at) => {
                let at = sources + usize::from(*at) % (count - sources);
                world.items[at].code += 1;
            }
            Event::Lose(at, part) => {
                let at = sources + usize::from(*at) % (count - sources);
                let part = world.part(at, *part);
                world.lose(at, part);
            }
            Event::Later(hours) => {
                world.as_of += SignedDuration::from_hours(i64::from(*hours));
                world.arrivals();
            }
            Event::Run {
                selected,
                bounds,
                forced,
                open,
                earlier,
                failing,
                seed,
            } => {
                let now = world.as_of;
                world.as_of -= SignedDuration::from_hours(24 * i64::from(*earlier));
                let scopes = world.scopes(*selected, *bounds, *forced, *open);
                world.run(scopes, *failing, *seed)?;
                world.as_of = now;
            }
        }
    }
    let everything = |world: &World| world.scopes(u16::MAX, None, false, false);
    world.log.push(format!("-- all at {}", world.as_of));
    world.run(everything(world), 0, 1)?;
    world.complete()?;
    world.log.push("-- again".to_owned());
    let again = world.run(everything(world), 0, 2)?;
    prop_assert_eq!(again, 0, "a second run built something");
    // What waits for a hole may be there from before it was one.
    let is_whole = (0..count).all(|at| {
        let mut due = world.due(at).iter();
        due.all(|part| world.stored[at].contains_key(&part))
    });
    if is_whole && !world.has_memory() {
        let mut fresh = world.wiped();
        fresh.run(everything(&fresh), 0, 3)?;
        for at in sources..count {
            prop_assert_eq!(
                &world.stored[at],
                &fresh.stored[at],
                "m{} is not what building all from nothing makes",
                at
            );
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_run_ends_with_right_tables_and_no_needless_work(
        sources in 1..3_usize,
        drafts in drafts(),
        events in events(),
    ) {
        play(sources, &drafts, &events)?;
    }
}
