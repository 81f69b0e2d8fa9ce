//! The ledger's queries against real databases.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use daygrain::adapter::{self, Connection};
use daygrain::dialect::{DUCKDB, Dialect, POSTGRES};
use daygrain::ledger::{
    self, Build, FEW_BUILDS, FileRow, Ledger, Outcome, RelationId, RunFacts, Sift,
};
use daygrain::table::{Datum, Table};
use serde_json::json;

use crate::support::{drop_postgres_schemas, postgres_session, target};

const ORDERS: RelationId = RelationId(11);
const LINES: RelationId = RelationId(-12);
const OTHER: RelationId = RelationId(13);

fn build(number: i64, relation: RelationId, partition: i32, outcome: Outcome) -> Build {
    let built = Build::adopted(number, relation, partition, number * 2, (number * 10, 7));
    let reason = Some(format!("reason {number}"));
    Build {
        outcome,
        reason,
        ..built
    }
}

fn file(number: i64, relation: RelationId, partition: i32, path: &str) -> (i64, FileRow) {
    let file = FileRow {
        relation,
        partition,
        path: path.to_owned(),
        size: number,
        stamp: format!("stamp {number}"),
        checksum: "ab".to_owned(),
    };
    (number, file)
}

async fn fetch(session: &mut Box<dyn Connection>, sql: &str) -> Table {
    session.fetch(sql).await.expect(sql).1
}

/// What somebody who asks for [`ORDERS`] and [`LINES`] is told.
#[derive(Debug, PartialEq)]
struct Told {
    records: BTreeMap<RelationId, BTreeMap<i32, i64>>,
    attempts: BTreeSet<(RelationId, i32, i64)>,
    files: BTreeSet<(RelationId, i32, String, i64)>,
}

async fn told(session: &mut Box<dyn Connection>, ledger: &Ledger, sift: Sift) -> Told {
    let wanted = [ORDERS, LINES];
    let records = fetch(session, &ledger.read_records(&wanted, sift)).await;
    let attempts = fetch(session, &ledger.read_attempts(&wanted, sift)).await;
    let files = fetch(session, &ledger.read_files(&wanted, sift)).await;
    let files = ledger::files(&files).into_iter();
    let attempts = ledger::attempts(&attempts).into_iter();
    let is_wanted = |relation: &RelationId| wanted.contains(relation);
    Told {
        records: ledger::records(&records)
            .into_iter()
            .filter(|(relation, _)| is_wanted(relation))
            .map(|(relation, records)| {
                let number = records.len();
                let builds = records
                    .into_iter()
                    .map(|(part, record)| (part, record.build));
                let builds: BTreeMap<i32, i64> = builds.collect();
                assert_eq!(builds.len(), number, "each partition once");
                (relation, builds)
            })
            .collect(),
        attempts: attempts
            .filter(|(relation, ..)| is_wanted(relation))
            .map(|(relation, part, attempt)| (relation, part, attempt.build))
            .collect(),
        files: files
            .filter(|file| is_wanted(&file.relation))
            .map(|file| (file.relation, file.partition, file.path, file.size))
            .collect(),
    }
}

async fn both_ways_tell_the_same(
    mut session: Box<dyn Connection>,
    dialect: &'static Dialect,
    schema: &str,
) {
    let database = fetch(&mut session, "select current_database() as name").await;
    let ledger = Ledger::new(dialect, &database.rows[0][0].to_text(), schema);
    for statement in ledger.create() {
        session.execute(&statement).await.expect(&statement);
    }
    let facts = RunFacts {
        run: "run-1".to_owned(),
        as_of: "2026-11-15 00:00:00".to_owned(),
    };
    let builds = [
        build(1, ORDERS, 5, Outcome::Published),
        build(2, ORDERS, 6, Outcome::Published),
        build(3, ORDERS, 5, Outcome::Published),
        build(4, ORDERS, 5, Outcome::Refused),
        build(5, LINES, 5, Outcome::Seen),
        build(6, LINES, 5, Outcome::Lost),
        build(7, ORDERS, 6, Outcome::Expired),
        build(8, LINES, 7, Outcome::Failed),
        build(9, OTHER, 5, Outcome::Published),
        build(10, OTHER, 6, Outcome::Failed),
    ];
    let files = [
        file(1, ORDERS, 5, "a.csv"),
        file(3, ORDERS, 5, "a.csv"),
        file(3, ORDERS, 5, "b.csv"),
        file(2, ORDERS, 6, "c.csv"),
        file(9, OTHER, 5, "d.csv"),
    ];
    let rows = ledger.add_builds(&builds, &facts, &facts.as_of);
    session.execute(&rows).await.expect(&rows);
    let rows = ledger.add_files(&files).expect("there are some");
    session.execute(&rows).await.expect(&rows);

    let here = told(&mut session, &ledger, Sift::Reader).await;
    let there = told(&mut session, &ledger, Sift::Database).await;
    assert_eq!(here, there);
    let parts = |parts: &[(i32, i64)]| parts.iter().copied().collect();
    let records = [
        (ORDERS, parts(&[(5, 3), (6, 7)])),
        (LINES, parts(&[(5, 6)])),
    ];
    assert_eq!(here.records, BTreeMap::from(records));
    let attempts = [(ORDERS, 5, 4), (LINES, 7, 8)];
    assert_eq!(here.attempts, BTreeSet::from(attempts));
    let files = [(5, "a.csv", 3), (5, "b.csv", 3), (6, "c.csv", 2)];
    let files = files.map(|(part, path, size)| (ORDERS, part, path.to_owned(), size));
    assert_eq!(here.files, BTreeSet::from(files));

    // No more are counted than tell a small ledger from a large one.
    let counted = async |session: &mut Box<dyn Connection>| {
        let layout = fetch(session, &ledger.read_layout()).await;
        layout.rows[0][1].clone()
    };
    assert_eq!(counted(&mut session).await, Datum::Int(10));
    for first in (100..100 + FEW_BUILDS + 500).step_by(2_000) {
        let builds: Vec<Build> = (first..first + 2_000)
            .map(|number| Build::adopted(number, OTHER, number as i32, 0, (1, 2)))
            .collect();
        let rows = ledger.add_builds(&builds, &facts, &facts.as_of);
        session.execute(&rows).await.expect("many rows");
    }
    assert_eq!(counted(&mut session).await, Datum::Int(FEW_BUILDS + 1));
}

#[tokio::test]
async fn a_ledger_is_sifted_by_either_side_on_duckdb() {
    let fields = json!({"type": "duckdb", "path": ":memory:", "schema": "main"});
    let target = target(&DUCKDB, fields.as_object().unwrap().clone());
    let adapter = adapter::open(&target, Path::new(".")).expect("a good profile");
    let session = adapter.connect().await.expect("a session");
    both_ways_tell_the_same(session, &DUCKDB, "ledger").await;
}

#[tokio::test]
async fn a_ledger_is_sifted_by_either_side_on_postgres() {
    let session = postgres_session("sifted_ledger").await;
    both_ways_tell_the_same(session, &POSTGRES, "sifted_ledger").await;
    let dropped = tokio::task::spawn_blocking(|| drop_postgres_schemas(&["sifted_ledger"]));
    dropped.await.expect("no schemas");
}
