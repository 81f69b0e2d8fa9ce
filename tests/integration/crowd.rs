//! Many models built side by side while others read them: nothing deadlocks, and no reader ever meets
//! an error or a view that is missing.
//!
//! Small by default; `DAYGRAIN_TEST_CROWD=full` is 500 models, 20 times.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use daygrain::table::Datum;
use serde_json::json;

use crate::support::sandbox::Sandbox;
use crate::support::{drop_postgres_schemas, postgres, postgres_fields};

const ROWS: i64 = 50;
const THREADS: usize = 16;
const READERS: usize = 4;

/// A table in four, views on top of what came before; tables change a column's type now and then.
fn models(count: usize) -> String {
    let mut files = String::new();
    for at in 0..count {
        let from = match at {
            0..4 => format!("(select g as id, g as n from generate_series(1, {ROWS}) as g) as f"),
            // Any earlier one, or one of the first, on which views pile up.
            _ => {
                let earlier = if at % 3 == 0 {
                    at % 4
                } else {
                    at * 7919 % at.min(40)
                };
                format!("{{{{ ref('m{}') }}}} as f", earlier.min(at - 1))
            }
        };
        let sql = if at % 4 == 0 {
            format!(
                "{{{{ config(materialized='table') }}}}
{{% set n = 'bigint' if (var('round') + {at}) % 3 == 0 else 'integer' %}}
select id, cast(n as {{{{ n }}}}) as n, {{{{ var('round') }}}} as round from {from}"
            )
        } else {
            format!("select id, n, {{{{ var('round') }}}} as round from {from}")
        };
        let _ = write!(files, "-- file: models/m{at}.sql\n{sql}\n");
    }
    files
}

fn read_until(stop: &AtomicBool, reads: &AtomicU64, first: usize, count: usize) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut wrong = Vec::new();
        let mut session = postgres(json!({})).connect().await.unwrap();
        let mut at = first;
        while !stop.load(Ordering::Relaxed) && wrong.len() < 3 {
            let name = match at % 9 {
                0 => "crowd.by_hand".to_owned(),
                _ => format!("crowd.m{}", at % count),
            };
            let sql = format!("select count(*), sum(n) from {name}");
            match session.fetch(&sql).await {
                Ok((_, table)) if table.rows[0][0] == Datum::Int(ROWS) => {}
                Ok((_, table)) => wrong.push(format!("{name}: {:?}", table.rows)),
                Err(error) => wrong.push(format!("{name}: {error:?}")),
            }
            reads.fetch_add(1, Ordering::Relaxed);
            at += READERS + 3;
        }
        wrong
    })
}

#[test]
fn readers_meet_no_error_while_many_models_are_built_again() {
    let full = std::env::var("DAYGRAIN_TEST_CROWD").is_ok_and(|size| size == "full");
    let (count, rounds) = if full { (500, 20) } else { (60, 5) };
    drop_postgres_schemas(&["crowd"]);
    let mut fields = postgres_fields("crowd");
    fields.insert("threads".into(), THREADS.into());
    let profile = json!({"shop": {"target": "dev", "outputs": {"dev": fields}}});
    let sandbox = Sandbox::new(&format!(
        "# file: profiles.yml\n{profile}\n# file: dbt_project.yml\nname: shop\nprofile: shop\n{}",
        models(count)
    ));
    let build = |round: usize| {
        let vars = json!({"round": round}).to_string();
        sandbox.run(&["run", "--vars", &vars])
    };
    build(0).expect(0);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut session = postgres(json!({})).connect().await.unwrap();
        let sql = format!(
            "create view crowd.by_hand as select * from crowd.m{}",
            count - 1
        );
        session.execute(&sql).await.unwrap();
    });
    let (stop, reads) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let readers: Vec<_> = (0..READERS)
        .map(|first| {
            let (stop, reads) = (Arc::clone(&stop), Arc::clone(&reads));
            std::thread::spawn(move || read_until(&stop, &reads, first, count))
        })
        .collect();
    let mut repeated = 0;
    for round in 1..=rounds {
        let ran = build(round);
        if ran.code != 0 {
            stop.store(true, Ordering::Relaxed);
            panic!("round {round}:\n{}", ran.stdout);
        }
        let log = sandbox.read("logs/dbt.log");
        repeated += log.matches("is done again").count();
        assert!(!log.contains("deadlock detected"), "round {round}");
        std::fs::remove_file(sandbox.path().join("logs/dbt.log")).unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    for reader in readers {
        assert_eq!(reader.join().unwrap(), [""; 0]);
    }
    assert!(reads.load(Ordering::Relaxed) > 100, "readers hardly read");
    // What was built last is what is read, through every view, and nothing is left behind.
    let sql = format!(
        "select min(round) as a, max(round) as b from crowd.m{}",
        count - 1
    );
    let last = sandbox.rows(&sql, &["--vars", "round: 0"]);
    assert_eq!(last, [json!({"a": rounds, "b": rounds})]);
    let sql = "select count(*) as n from pg_class c join pg_namespace s on s.oid = relnamespace where nspname = 'crowd' and relkind in ('r', 'v')";
    let left = sandbox.rows(sql, &["--vars", "round: 0"]);
    assert_eq!(left, [json!({"n": count + 1})]);
    eprintln!(
        "{count} models, {rounds} rounds, {} reads, {repeated} repeats",
        reads.load(Ordering::Relaxed)
    );
}
