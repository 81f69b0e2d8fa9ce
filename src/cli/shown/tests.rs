use super::*;
use crate::calendar::Granularity;
use crate::executor::why::{BuildRow, Chapter, ReadRow, Reason, Story};
use crate::planner::overview::{Cell, Mark, Note, Overview};
use crate::planner::report::{Batches, Held, PlanReport, PlanStep, ToldGroup};

fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

fn as_of() -> Timestamp {
    "2026-11-15T00:00:00Z".parse().expect("an instant")
}

fn overview(unit: Granularity, first: &str, marks: &[Mark]) -> Overview {
    let first = unit.parse_key(first).expect("a key");
    let cells = (first..).zip(marks);
    let cells = cells.map(|(partition, mark)| Cell {
        partition,
        key: unit.key(partition),
        mark: *mark,
        rows: (*mark != Mark::Missing).then_some(1200),
        version: Some(3),
        build: Some(4),
        reason: None,
    });
    Overview {
        name: "orders".to_owned(),
        relation: "main.orders".to_owned(),
        unit: Some(unit),
        cells: cells.collect(),
        notes: vec![Note {
            mark: Mark::Stale,
            span: "2026-11-02 .. 2026-11-03".to_owned(),
            text: "its code changed".to_owned(),
        }],
    }
}

#[test]
fn days_are_a_line_a_month() {
    let mut marks = vec![Mark::Fresh; 33];
    marks.extend(Mark::ALL);
    let shown = overview(Granularity::Day, "2026-10-03", &marks);
    insta::assert_snapshot!(plain(&calendar::to_text(&shown, as_of())), @r"
    orders  45 days, 2026-10-03 .. 2026-11-16, 52,800 rows  main.orders as of 2026-11-15 00:00:00 UTC

               1   5    10   15   20   25   30
      2026-10    ■■■■■■■■■■■■■■■■■■■■■■■■■■■■■  34,800 rows
      2026-11  ■■■■■▣▤◧□!xw?*-·                 18,000 rows

      ■ 34 fresh   ▣ 1 older code   ▤ 1 adopted   ◧ 1 provisional   □ 1 stale   ! 1 refused   x 1 failed   w 1 waiting   ? 1 missing   * 1 frozen   - 1 expired   · 1 not due

      □ 2026-11-02 .. 2026-11-03  its code changed
    ");
}

#[test]
fn hours_are_a_line_a_day_months_a_line_a_year_and_years_a_line() {
    let hours = overview(Granularity::Hour, "2026-11-01T20", &[Mark::Fresh; 12]);
    let months = overview(
        Granularity::Month,
        "2025-11",
        &[Mark::Fresh, Mark::Stale, Mark::Fresh],
    );
    let years = overview(
        Granularity::Year,
        "2018",
        &[Mark::Fresh, Mark::Frozen, Mark::Missing],
    );
    let lines = |overview: &Overview| {
        let text = plain(&calendar::to_text(overview, as_of()));
        let kept = text.lines().skip(2).take(3);
        kept.collect::<Vec<_>>().join("\n")
    };
    let told = [lines(&hours), lines(&months), lines(&years)];
    insta::assert_snapshot!(told.join("\n"), @r"
                0     6     12    18
    2026-11-01                      ■■■■  4,800 rows
    2026-11-02  ■■■■■■■■                  9,600 rows
          JFMAMJJASOND
    2025            ■□  2,400 rows
    2026  ■             1,200 rows
          0123456789
    201x          ■*  2,400 rows
    202x  ?
    ");
}

fn step(name: &str, certain: bool, batches: Batches, groups: &[(&str, &str)]) -> PlanStep {
    PlanStep {
        node: format!("model.shop.{name}").into(),
        name: name.to_owned(),
        unit: Some(Granularity::Day),
        partitions: groups.iter().map(|(span, _)| (*span).to_owned()).collect(),
        certain,
        groups: groups
            .iter()
            .map(|(span, reason)| ToldGroup {
                span: (*span).to_owned(),
                reasons: vec![(*reason).to_owned()],
            })
            .collect(),
        statements: groups.len(),
        batches,
    }
}

fn report() -> PlanReport {
    PlanReport {
        as_of: as_of(),
        steps: vec![
            step(
                "orders",
                true,
                Batches::Together(366),
                &[("2026-11-05", "it was never built")],
            ),
            step(
                "orders",
                false,
                Batches::Together(366),
                &[("2026-11-03", "dim is built by this run")],
            ),
            step(
                "chain",
                false,
                Batches::Chain,
                &[
                    ("2026-11-05", "orders 2026-11-05 is built by this run"),
                    ("2026-11-06", "its own 2026-11-05 is built by this run"),
                ],
            ),
        ],
        waiting: vec![Held {
            node: "model.shop.orders".into(),
            name: "orders".to_owned(),
            span: "2026-11-14".to_owned(),
            partitions: vec!["2026-11-14".to_owned()],
            reason: "landing.orders 2026-11-14, which is missing".to_owned(),
        }],
        frozen: Vec::new(),
        warnings: vec!["`dim` has no partitions".to_owned()],
        fresh: 2,
    }
}

#[test]
fn a_plan_says_what_and_why_and_how() {
    insta::assert_snapshot!(plain(&plan::to_text(&report(), false)), @r"
    Plan as of 2026-11-15 00:00:00 UTC

    orders  2 days in 2 statements, at most 366 together
      2026-11-03                if changed  dim is built by this run
      2026-11-05                certain     it was never built

    chain  a chain of 2 days, one after the other, since each reads the one before
      2026-11-05                if changed  orders 2026-11-05 is built by this run
      2026-11-06                if changed  its own 2026-11-05 is built by this run

    Waiting
      orders 2026-11-14         waits for landing.orders 2026-11-14, which is missing

    warning: `dim` has no partitions

    4 partitions of 2 nodes in 4 statements; 1 certain, 3 only if what they read turns out changed; 1 partition waits; 2 nodes are fresh
    ");
}

#[test]
fn a_plan_for_programs() {
    insta::assert_snapshot!(plan::to_json(&report()).to_string(), @r#"{"as_of":"2026-11-15T00:00:00Z","steps":[{"node":"model.shop.orders","partitions":["2026-11-05"],"certain":true,"reasons":["it was never built"],"statements":1},{"node":"model.shop.orders","partitions":["2026-11-03"],"certain":false,"reasons":["dim is built by this run"],"statements":1},{"node":"model.shop.chain","partitions":["2026-11-05","2026-11-06"],"certain":false,"reasons":["orders 2026-11-05 is built by this run","its own 2026-11-05 is built by this run"],"statements":2}],"waiting":[{"node":"model.shop.orders","partitions":["2026-11-14"],"reason":"landing.orders 2026-11-14, which is missing"}],"frozen":[]}"#);
}

#[test]
fn a_story_goes_back_to_the_root() {
    let build = BuildRow {
        number: 9,
        outcome: "published".to_owned(),
        code: 1,
        inputs: 2,
        version: 4,
        rows: 1,
        run: "6f2c".to_owned(),
        as_of: "2026-11-15 00:00:00".to_owned(),
        finished: "2026-11-15 02:00:13".to_owned(),
        reason: None,
    };
    let reason = |text: &str, because: Vec<Reason>| Reason {
        text: text.to_owned(),
        because,
    };
    let file = reason("the file in/part-001.csv is new", Vec::new());
    let cause = reason("landing.orders 2026-11-05 changed", vec![file]);
    let story = Story {
        name: "orders".to_owned(),
        node: "model.shop.orders".to_owned(),
        key: "2026-11-05".to_owned(),
        mark: Mark::Refused,
        because: vec![cause.clone(), reason("its code changed", Vec::new())],
        build: Some(build.clone()),
        code_is_todays: Some(false),
        reads: vec![ReadRow {
            name: "landing.orders".to_owned(),
            span: "2026-11-05".to_owned(),
            parts: 1,
            newest: 3,
        }],
        attempts: vec![BuildRow {
            number: 12,
            outcome: "refused".to_owned(),
            reason: Some("`unique_id`: Got 2 results".to_owned()),
            ..build.clone()
        }],
        history: vec![Chapter {
            build,
            because: vec![cause],
        }],
    };
    insta::assert_snapshot!(plain(&why::to_text(&story)), @r"
    orders 2026-11-05 is stale, and what was built last was refused
      because landing.orders 2026-11-05 changed
              └─ the file in/part-001.csv is new
              its code changed

      refused    build 12 at 2026-11-15 02:00:13 UTC: `unique_id`: Got 2 results

      published  build 9 at 2026-11-15 02:00:13 UTC, 1 row, by other code
                 run 6f2c, as of 2026-11-15 00:00:00 UTC

      read       landing.orders  2026-11-05  1 partition, newest version 3

      history
        2026-11-15 02:00:13  published as build 9, 1 row; same content, so version 4 was kept
          because landing.orders 2026-11-05 changed
                  └─ the file in/part-001.csv is new
    ");
}

#[test]
fn numbers_are_cut_by_commas() {
    let told = [0, 999, 1000, 1_234_567, -12_345].map(thousands);
    assert_eq!(told, ["0", "999", "1,000", "1,234,567", "-12,345"]);
}
