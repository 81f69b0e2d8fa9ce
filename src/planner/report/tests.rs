use std::sync::Arc;

use jiff::SignedDuration;
use jiff::tz::TimeZone;

use super::*;
use crate::calendar::{Calendar, Mapping};
use crate::ledger::{Attempt, History, Input, Outcome, Record, RecordState, RelationId};
use crate::manifest::partitioning::{ContentHash, FieldType, OnCodeChange, Partitioning};
use crate::planner::board::{Item, ItemRead, Scope};
use crate::planner::causes::{FileFate, SourceChange};
use crate::planner::overview::{Mark, overview};

fn day(text: &str) -> i32 {
    Granularity::Day.parse_key(text).expect("a day")
}

fn cut() -> Arc<Partitioning> {
    Arc::new(Partitioning {
        field: "partition_date".to_owned(),
        field_type: FieldType::Date,
        calendar: Calendar {
            granularity: Granularity::Day,
            timezone: TimeZone::UTC,
            begin: day("2026-11-01"),
            arrival_buffer: SignedDuration::ZERO,
        },
        order_by: Vec::new(),
        batch_size: None,
        lookback: 1,
        on_code_change: OnCodeChange::Rebuild,
        content_hash: ContentHash::default(),
        allow_empty: false,
        retention: None,
        no_data: BTreeSet::new(),
        gap: Default::default(),
    })
}

fn item(name: &str, kind: ItemKind, reads: &[(usize, Mapping)]) -> Item {
    let tracked = |(item, mapping): &(usize, Mapping)| ItemRead {
        item: *item,
        mapping: *mapping,
        tracked: true,
    };
    Item {
        id: format!("model.shop.{name}").into(),
        name: name.to_owned(),
        relation: RelationId(name.len() as i64),
        physical: format!("main.{name}"),
        kind,
        cut: Some(cut()),
        reads: reads.iter().map(tracked).collect(),
        code: 1,
        reads_clock: false,
        volatile: None,
        together: Together::UpTo(366),
        hashed: true,
        stores_nothing: false,
    }
}

fn record(build: i64, state: RecordState) -> Record {
    Record {
        build,
        state,
        code: if state == RecordState::Seen { 0 } else { 1 },
        inputs: 0,
        version: build,
        content: 7,
        rows: 20,
    }
}

/// A source and two models below it, one of which is cumulative, and one that looks around; by the
/// morning of the 8th, where the source has the first six days.
struct Shop {
    items: Vec<Item>,
    histories: Vec<History>,
    scopes: Vec<Scope>,
    recall: Recall,
}

const AS_OF: &str = "2026-11-08T00:00:00Z";

fn shop() -> Shop {
    let mut around = item("around", ItemKind::Managed, &[(1, Mapping::Window(-1, 1))]);
    around.together = Together::One("it reads `orders` by `window(-1, 1)`".to_owned());
    let mut cumulative = item(
        "cumulative",
        ItemKind::Managed,
        &[(1, Mapping::Same), (2, Mapping::PREVIOUS)],
    );
    cumulative.together = Together::One("it reads its own partition before".to_owned());
    let items = vec![
        item("landing.orders", ItemKind::Seen, &[]),
        item("orders", ItemKind::Managed, &[(0, Mapping::Same)]),
        cumulative,
        around,
    ];
    let seen: Vec<(i32, Record)> = (1..=6)
        .map(|at| {
            (
                day("2026-11-01") + at - 1,
                record(i64::from(at), RecordState::Seen),
            )
        })
        .collect();
    Shop {
        histories: vec![
            History::new(&seen),
            History::default(),
            History::default(),
            History::default(),
        ],
        scopes: vec![Scope::NONE, Scope::STALE, Scope::STALE, Scope::STALE],
        items,
        recall: Recall::default(),
    }
}

impl Shop {
    fn board(&self) -> Board {
        Board::new(
            self.items.clone(),
            self.histories.clone(),
            self.scopes.clone(),
            AS_OF.parse().expect("an instant"),
        )
    }

    /// Builds everything that is due, as a run would.
    fn built(mut self) -> Shop {
        let mut number = 100;
        for at in 1..self.items.len() {
            for part in day("2026-11-01")..=day("2026-11-06") {
                let board = self.board();
                number += 1;
                let inputs = board.digest(at, part);
                self.remember(&board, at, part, number);
                let built = Record {
                    inputs,
                    ..record(number, RecordState::Published)
                };
                self.histories[at].set(part, built);
            }
        }
        self
    }

    fn remember(&mut self, board: &Board, at: usize, part: i32, build: i64) {
        let inputs = board.items[at].reads.iter().map(|read| {
            let range = board.read_range(at, part, *read);
            let history = &board.histories[read.item];
            let (digest, parts) = history.digest(range);
            Input {
                build,
                upstream: board.items[read.item].relation,
                first: range.first,
                last: range.last,
                parts: i64::try_from(parts).expect("few"),
                newest: history.newest(range),
                digest: digest as i64,
            }
        });
        self.recall.inputs.insert(build, inputs.collect());
    }

    /// A late file of a day, as a look that records nothing sees it.
    fn late(&mut self, text: &str) {
        let part = day(text);
        self.histories[0].set(part, record(-1, RecordState::Seen));
        let change = SourceChange {
            is_new: false,
            files: vec![("in/part-001.csv".to_owned(), FileFate::New)],
        };
        self.recall.sources.insert((0, part), change);
    }

    fn told(&self) -> String {
        let board = self.board();
        let order: Vec<(UniqueId, String)> = board
            .items
            .iter()
            .filter(|item| item.kind != ItemKind::Seen)
            .map(|item| (item.id.clone(), item.name.clone()))
            .collect();
        told(&report(&board, &self.recall, &order))
    }
}

fn told(report: &PlanReport) -> String {
    let mut lines = Vec::new();
    for step in &report.steps {
        let certain = if step.certain {
            "certain"
        } else {
            "if changed"
        };
        lines.push(format!(
            "{}: {} in {}, {certain}, {:?}",
            step.name,
            step.partitions.len(),
            step.statements,
            step.batches
        ));
        for group in &step.groups {
            lines.push(format!("  {}: {}", group.span, group.reasons.join("; ")));
        }
    }
    for held in &report.waiting {
        lines.push(format!(
            "{} {} waits for {}",
            held.name, held.span, held.reason
        ));
    }
    for held in &report.frozen {
        lines.push(format!(
            "{} {} frozen: {}",
            held.name, held.span, held.reason
        ));
    }
    lines.extend(report.warnings.iter().cloned());
    lines.push(format!("{} fresh", report.fresh));
    lines.join("\n")
}

#[test]
fn what_was_never_built_is_built_and_what_misses_its_source_waits() {
    insta::assert_snapshot!(shop().told(), @r#"
    orders: 6 in 1, certain, Together(366)
      2026-11-01 .. 2026-11-06: it was never built
    cumulative: 6 in 6, certain, Chain
      2026-11-01 .. 2026-11-06: it was never built
    around: 5 in 5, certain, OneByOne("it reads `orders` by `window(-1, 1)`")
      2026-11-01 .. 2026-11-05: it was never built
    orders 2026-11-07 waits for landing.orders 2026-11-07, which is missing
    cumulative 2026-11-07 waits for orders 2026-11-07, that for landing.orders 2026-11-07, which is missing
    around 2026-11-06 .. 2026-11-07 waits for orders 2026-11-07, that for landing.orders 2026-11-07, which is missing
    0 fresh
    "#);
}

#[test]
fn nothing_is_planned_where_all_is_fresh() {
    insta::assert_snapshot!(shop().built().told(), @r"
    orders 2026-11-07 waits for landing.orders 2026-11-07, which is missing
    cumulative 2026-11-07 waits for orders 2026-11-07, that for landing.orders 2026-11-07, which is missing
    around 2026-11-07 waits for orders 2026-11-07, that for landing.orders 2026-11-07, which is missing
    0 fresh
    ");
}

#[test]
fn a_late_file_is_named_and_what_follows_is_uncertain() {
    let mut shop = shop().built();
    shop.late("2026-11-03");
    insta::assert_snapshot!(shop.told(), @r#"
    orders: 1 in 1, certain, Together(366)
      2026-11-03: landing.orders 2026-11-03 changed (late file part-001.csv)
    cumulative: 4 in 4, if changed, Chain
      2026-11-03: orders 2026-11-03 is built by this run
      2026-11-04 .. 2026-11-06: its own 2026-11-03 .. 2026-11-05 are built by this run
    around: 3 in 3, if changed, OneByOne("it reads `orders` by `window(-1, 1)`")
      2026-11-02 .. 2026-11-04: orders 2026-11-03 is built by this run, read by window(-1, 1)
    orders 2026-11-07 waits for landing.orders 2026-11-07, which is missing
    cumulative 2026-11-07 waits for orders 2026-11-07, that for landing.orders 2026-11-07, which is missing
    around 2026-11-07 waits for orders 2026-11-07, that for landing.orders 2026-11-07, which is missing
    0 fresh
    "#);
}

#[test]
fn changed_code_is_the_reason_and_the_chain_follows() {
    let mut shop = shop().built();
    shop.items[1].code = 2;
    shop.scopes[1].allowed = Some(PartitionRange::one(day("2026-11-05")));
    insta::assert_snapshot!(shop.told(), @r#"
    orders: 1 in 1, certain, Together(366)
      2026-11-05: its code changed
    cumulative: 2 in 2, if changed, Chain
      2026-11-05: orders 2026-11-05 is built by this run
      2026-11-06: its own 2026-11-05 is built by this run
    around: 2 in 2, if changed, OneByOne("it reads `orders` by `window(-1, 1)`")
      2026-11-04 .. 2026-11-05: orders 2026-11-05 is built by this run, read by window(-1, 1)
    cumulative 2026-11-07 waits for orders 2026-11-07, that for landing.orders 2026-11-07, which is missing
    around 2026-11-06 waits for orders 2026-11-07, that for landing.orders 2026-11-07, which is missing
    around 2026-11-07 waits for orders 2026-11-07, that for landing.orders 2026-11-07, which is missing
    0 fresh
    "#);
}

#[test]
fn a_parent_without_partitions_that_makes_many_stale_is_a_warning() {
    let mut shop = shop().built();
    let mut dimension = item("dim", ItemKind::Managed, &[]);
    dimension.cut = None;
    dimension.code = 5;
    shop.items.insert(1, dimension);
    shop.histories
        .insert(1, History::new(&[(0, record(50, RecordState::Published))]));
    shop.scopes.insert(1, Scope::STALE);
    // Only what is told of the reader of the dimension matters here.
    shop.items.truncate(3);
    shop.histories.truncate(3);
    shop.scopes.truncate(3);
    let begin = day("2026-09-01");
    let mut early = Partitioning::clone(&cut());
    early.calendar.begin = begin;
    shop.items[2].cut = Some(Arc::new(early));
    shop.items[2].reads = vec![ItemRead {
        item: 1,
        mapping: Mapping::Same,
        tracked: true,
    }];
    shop.histories[2] = History::default();
    for part in begin..=day("2026-11-07") {
        let board = shop.board();
        let inputs = board.digest(2, part);
        let built = Record {
            inputs,
            ..record(200, RecordState::Published)
        };
        shop.histories[2].set(part, built);
    }
    insta::assert_snapshot!(shop.told(), @r"
    dim: 1 in 1, certain, Whole
      all: its code changed
    orders: 68 in 1, if changed, Together(366)
      2026-09-01 .. 2026-11-07: dim is built by this run
    `dim` has no partitions: its change makes 68 partitions of `orders` stale; `track=false` in the ref lets them be
    0 fresh
    ");
}

#[test]
fn statements_follow_the_runs_and_their_bound() {
    assert_eq!(statements(&[1, 2, 3, 5, 6], 366), 2);
    assert_eq!(statements(&[1, 2, 3, 5, 6], 2), 3);
    assert_eq!(statements(&[1, 2, 3], 1), 3);
    assert_eq!(statements(&[], 1), 0);
}

#[test]
fn a_calendar_shows_each_partition_with_its_mark() {
    let mut shop = shop().built();
    shop.late("2026-11-03");
    let refused = Attempt {
        build: 300,
        outcome: Outcome::Refused,
        reason: "`unique_orders_id`: Got 2 results".to_owned(),
    };
    shop.histories[1]
        .attempts
        .insert(day("2026-11-03"), refused);
    let board = shop.board();
    let lines = |at: usize| {
        let shown = overview(&board, &shop.recall, at);
        let cells = shown.cells.iter().map(|cell| {
            format!(
                "{} {:?} rows {:?} version {:?}: {}",
                cell.key,
                cell.mark,
                cell.rows,
                cell.version,
                cell.reason.as_deref().unwrap_or("-")
            )
        });
        cells.collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!(lines(1), @r"
    2026-11-01 Fresh rows Some(20) version Some(101): -
    2026-11-02 Fresh rows Some(20) version Some(102): -
    2026-11-03 Refused rows Some(20) version Some(103): `unique_orders_id`: Got 2 results
    2026-11-04 Fresh rows Some(20) version Some(104): -
    2026-11-05 Fresh rows Some(20) version Some(105): -
    2026-11-06 Fresh rows Some(20) version Some(106): -
    2026-11-07 Waiting rows None version None: waits for landing.orders 2026-11-07, which is missing
    ");
    let source = overview(&board, &shop.recall, 0);
    let marks: Vec<Mark> = source.cells.iter().map(|cell| cell.mark).collect();
    assert_eq!(marks[..6], [Mark::Fresh; 6]);
    assert_eq!(marks[6..], [Mark::Missing]);
}
