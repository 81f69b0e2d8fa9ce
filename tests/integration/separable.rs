//! The proofs that days can be built together, and that a test judges row by row, against a database:
//! what is proved of a random query must be so on random tables.

use std::cell::RefCell;
use std::path::Path;

use daygrain::adapter::{self, Connection};
use daygrain::dialect::DUCKDB;
use daygrain::sql::rowwise::judges_rows;
use daygrain::sql::separable::{DailyRelation, separable};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::json;
use tokio::runtime::{Builder, Runtime};

use crate::support::target;

/// The relations that have days, and the one that has none; all have `day`, `id` and `x`.
const DAILY: [DailyRelation<'static>; 2] = [
    DailyRelation {
        name: "a",
        field: "day",
    },
    DailyRelation {
        name: "b",
        field: "day",
    },
];

type Row = (i32, i32, Option<i32>);

/// A database with a schema for each day, in which the daily relations have this day only.
struct Database {
    runtime: Runtime,
    session: RefCell<Box<dyn Connection>>,
}

impl Database {
    fn new() -> Database {
        let runtime = Builder::new_multi_thread().enable_all().build().unwrap();
        let fields = json!({"type": "duckdb", "path": ":memory:", "schema": "main"});
        let target = target(&DUCKDB, fields.as_object().unwrap().clone());
        let adapter = adapter::open(&target, Path::new(".")).expect("a good profile");
        let session = runtime.block_on(adapter.connect()).expect("a session");
        let mut sql = String::new();
        for name in ["a", "b", "f"] {
            sql += &format!("create table {name}_rows (day int, id int, x int);");
        }
        let daily = SCHEMAS.map(|schema| (schema, &["a", "b"][..]));
        let judged = PARTS.map(|schema| (schema, &["a"][..]));
        for ((schema, days), daily) in daily.into_iter().chain(judged) {
            sql += &format!("create schema {schema};");
            for name in ["a", "b", "f"] {
                let days = if daily.contains(&name) { days } else { "true" };
                sql += &format!(
                    "create view {schema}.{name} as select * from main.{name}_rows where {days};"
                );
            }
        }
        let database = Database {
            runtime,
            session: RefCell::new(session),
        };
        database.execute(&sql);
        database
    }

    fn execute(&self, sql: &str) {
        let mut session = self.session.borrow_mut();
        let done = self.runtime.block_on(session.execute(sql));
        done.unwrap_or_else(|error| panic!("{sql}\n{error}"));
    }

    fn fill(&self, tables: &[Vec<Row>]) {
        let mut sql = String::new();
        for (name, rows) in ["a", "b", "f"].iter().zip(tables) {
            sql += &format!("delete from main.{name}_rows;");
            for (day, id, x) in rows {
                let x = x.map_or("null".to_owned(), |x| x.to_string());
                sql += &format!("insert into main.{name}_rows values ({day}, {id}, {x});");
            }
        }
        self.execute(&sql);
    }

    /// The rows of a query over the relations of one schema, sorted; nothing where it is no SQL.
    fn rows(&self, schema: &str, sql: &str) -> Option<Vec<Vec<String>>> {
        let sql = format!("set schema = '{schema}'; {sql}");
        let mut session = self.session.borrow_mut();
        let (_, table) = self.runtime.block_on(session.fetch(&sql)).ok()?;
        let row = |row: &Vec<_>| row.iter().map(|datum| format!("{datum:?}")).collect();
        let mut rows: Vec<Vec<String>> = table.rows.iter().map(row).collect();
        rows.sort();
        Some(rows)
    }

    /// Tells whether days built together and one by one are the same; nothing where it is no SQL.
    fn separates(&self, sql: &str) -> Option<bool> {
        let together = self.rows("every", sql)?;
        let mut one_by_one = Vec::new();
        for (schema, _) in &SCHEMAS[1..] {
            let rows = self.rows(schema, sql)?;
            let own = &self.rows(schema, &format!("select {}", &schema[3..]))?[0][0];
            if rows.iter().any(|row| row[0] != *own) {
                return Some(false);
            }
            one_by_one.extend(rows);
        }
        one_by_one.sort();
        Some(together == one_by_one)
    }
}

const SCHEMAS: [(&str, &str); 4] = [
    ("every", "true"),
    ("day1", "day = 1"),
    ("day2", "day = 2"),
    ("day3", "day = 3"),
];

/// Schemas in which `a` alone has some of its rows.
const PARTS: [(&str, &str); 2] = [("part", "day = 1"), ("rest", "day <> 1")];

/// Tables of few rows, so that days, ids and whole rows meet often.
fn tables() -> impl Strategy<Value = Vec<Vec<Row>>> {
    let row = (1..4, 1..4, proptest::option::weighted(0.8, 1..4));
    prop::collection::vec(prop::collection::vec(row, 2..9), 3)
}

/// What stands in FROM: a relation, or a query in parentheses with the columns `day`, `id`, `x`.
fn relation() -> impl Strategy<Value = String> {
    let table = select(vec!["a", "b", "a", "b", "f"]).prop_map(str::to_owned);
    table.prop_recursive(3, 12, 2, |inner| {
        let two = (inner.clone(), inner.clone());
        prop_oneof![
            3 => (inner.clone(), rows()).prop_map(|(r, shape)| shape.replace("$R", &r)),
            3 => (two.clone(), joined()).prop_map(|((l, r), shape)| {
                shape.replace("$L", &l).replace("$R", &r)
            }),
            1 => (two, both()).prop_map(|((l, r), shape)| {
                shape.replace("$L", &l).replace("$R", &r)
            }),
        ]
    })
}

/// Queries of one relation.
fn rows() -> impl Strategy<Value = String> {
    let day = select(vec![
        "l.day", "day", "(day)", "l.day", "day + 1", "l.id", "l.x",
    ]);
    let keys = select(vec![
        "day",
        "l.day, l.id",
        "id",
        "x, day",
        "1",
        "all",
        "2, 1",
    ]);
    let shape = select(vec![
        "(select $D as day, id, x from $R as l)",
        "(select * from $R as l where x > 1)",
        "(select * replace (x + 1 as x) from $R as l)",
        "(select * replace ($D as day) from $R as l)",
        "(select distinct $D as day, 0 as id, x from $R as l)",
        "(select distinct 1 as day, day as id, x from $R as l)",
        "(select $D as day, max(id) as id, count(*) as x from $R as l group by $K)",
        "(select $D as day, l.id, sum(l.x) as x from $R as l group by l.id, $D)",
        "(select $D as day, id, rank() over (partition by $K order by id, x) as x from $R as l)",
        "(select $D as day, id, sum(x) over (partition by id, $D) as x from $R as l)",
        "(select * from $R as l qualify max(x) over (partition by $K) = x)",
        "(select * from $R as l order by day, id, x limit 2)",
        "(select * from $R as l where x = (select max(x) from f))",
        "(select * from $R as l where exists (select 1 from b as s where s.day = $D and s.x > l.x))",
        "(select * from $R as l where id in (select s.id from a as s where s.x = l.x and $D = s.day))",
        "(select * from $R as l where id in (select id from b))",
        "(select day, id, (select sum(s.x) from b as s where s.day = $D) as x from $R as l)",
        "(with c as (select * from $R as l) select l.day, l.id, r.x from c as l join c as r on $D = r.day)",
        "(with a as (select * from $R as l) select * from a)",
        "(with f as (select * from $R as l) select $D as day, l.id, a.x from f as l join a using (day))",
        "(select *, 1 as day from $R as l)",
        "(select id as day, day as id, rank() over (partition by day order by id, x) as x from $R as l)",
        "(select * replace ($D as day) from $R as l qualify max(x) over (partition by day) = x)",
        "(select distinct on ($D) * from $R as l order by $D, day, id, x)",
        "(select distinct on (day) $D as day, id, x from $R as l order by day, id, l.day, x)",
        "(select day, id, (select s.x from b as s where s.day = $D order by x, \
         (select max(x) from a) limit 1) as x from $R as l)",
        "(select other as day, day as id, x from $R as l (other, day, x))",
        "(select $D as day, x, id from $R as l)",
        "(select l.day, l.id, t.x from $R as l, unnest([l.x, l.id]) as t (x))",
    ]);
    (shape, day, keys).prop_map(|(shape, day, keys)| {
        // `partition by` takes neither numbers nor `all`.
        let keys = match keys {
            "1" | "all" | "2, 1" if !shape.contains("group by $K") => "day",
            keys => keys,
        };
        shape.replace("$D", day).replace("$K", keys)
    })
}

/// Joins of two relations.
fn joined() -> impl Strategy<Value = String> {
    let day = select(vec![
        "l.day",
        "l.day",
        "r.day",
        "coalesce(l.day, r.day)",
        "r.id",
    ]);
    let kind = select(vec!["join", "left join", "right join", "full join"]);
    let condition = select(vec![
        "l.day = r.day",
        "r.day = l.day and l.id = r.id",
        "(l.id = r.id) and (l.day = r.day)",
        "l.day = r.day",
        "l.id = r.id",
        "l.day = r.day or l.id = r.id",
        "l.day = r.day - 1",
        "l.day = r.id",
        "l.day <= r.day",
        "l.day is not distinct from r.day",
    ]);
    let shape = select(vec![
        "(select $D as day, l.id, r.x from $L as l $J $R as r on $C)",
        "(select $D as day, l.id, r.x from $L as l $J $R as r on $C)",
        "(select $D as day, l.id, r.x from $L as l, $R as r where $C)",
        "(select l.day, l.id, l.x from $L as l semi join $R as r on $C)",
        "(select l.day, l.id, l.x from $L as l anti join $R as r on $C)",
        "(select day, l.id, r.x from $L as l $J $R as r using (day))",
        "(select $D as day, l.id, r.x from $L as l $J $R as r using (day, id))",
        "(select * exclude (y) from $L as l $J (select day, x as y from $R as r) as r using (day))",
        "(select l.* from $L as l $J $R as r on $C)",
        "(select r.* from $L as l $J $R as r on $C)",
        "(select $D as day, count(l.id) as id, max(r.x) as x from $L as l $J $R as r on $C group by $D)",
        "(select $D as day, l.id, sum(r.x) over (partition by $D) as x from $L as l $J $R as r on $C)",
        "(select $D as day, l.id, s.x from $L as l $J $R as r on $C left join b as s on s.day = $D)",
        "(select coalesce($D, s.day) as day, l.id, s.x from $L as l $J $R as r on $C \
         full join b as s on s.day = $D)",
        "(select $D as day, l.id, r.x from $L as l $J $R as r on $C and r.x = (select max(x) from f))",
        "(select day, id, x from (select l.*, r.* from $L as l $J $R as r on $C))",
    ]);
    (shape, day, kind, condition).prop_map(|(shape, day, kind, condition)| {
        shape
            .replace("$D", day)
            .replace("$J", kind)
            .replace("$C", condition)
    })
}

/// Unions and the like.
fn both() -> impl Strategy<Value = String> {
    let word = select(vec![
        "union all",
        "union",
        "except",
        "intersect",
        "union all by name",
        "except all",
    ]);
    let shape = select(vec![
        "(select day, id, x from $L $W select day, id, x from $R)",
        "(select id as day, day as id, x from $L $W select day, id, x from $R)",
        "(select * from $L $W select * from $R)",
        "(select * from $L as l where x > 1 $W select * from $L as l where x < 3)",
    ]);
    (shape, word).prop_map(|(shape, word)| shape.replace("$W", word))
}

/// The same queries each time, so that a change is blamed for what it breaks only.
fn runner() -> TestRunner {
    let config = Config {
        cases: CASES,
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

#[test]
fn days_that_are_proved_apart_are() {
    let database = Database::new();
    let (mut proved, mut refused, mut saved) = (0, 0, 0);
    let counts = RefCell::new((&mut proved, &mut refused, &mut saved));
    let outcome = runner().run(&(relation(), tables()), |(relation, tables)| {
        let sql = format!("select * from {relation} as q");
        let mut counts = counts.borrow_mut();
        match separable(&DUCKDB, &sql, &DAILY, &["f"], "day") {
            Ok(()) => {
                database.fill(&tables);
                if let Some(separates) = database.separates(&sql) {
                    *counts.0 += 1;
                    prop_assert!(separates, "{}", sql);
                }
            }
            // Some of those that are refused, to see that the tables tell.
            Err(_) if *counts.1 < 50 => {
                database.fill(&tables);
                *counts.1 += 1;
                *counts.2 += i32::from(database.separates(&sql) == Some(false));
            }
            Err(_) => {}
        }
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
    println!("{proved} proved; of {refused} refused, {saved} would have been wrong");
    assert!(proved > CASES / 10, "only {proved} queries were proved");
    assert!(
        saved > 10,
        "only {saved} of {refused} were refused for good"
    );
}

#[test]
fn tests_that_are_proved_to_judge_rows_do() {
    let database = Database::new();
    let (mut proved, mut found, mut saved) = (0, 0, 0);
    let counts = RefCell::new((&mut proved, &mut found, &mut saved));
    let wrong = select(vec![
        "x > 2",
        "x is null",
        "id = 1",
        "x > id",
        "day = 1 and x > 1",
    ]);
    let outcome = runner().run(
        &(relation(), wrong, tables()),
        |(relation, wrong, tables)| {
            let sql = format!("select * from {relation} as q where {wrong}");
            let mut counts = counts.borrow_mut();
            let claimed = judges_rows(&DUCKDB, &sql, DAILY[0], &["b", "f"]);
            if !claimed && *counts.2 >= 10 {
                return Ok(());
            }
            database.fill(&tables);
            let any = |schema| database.rows(schema, &sql).map(|rows| !rows.is_empty());
            if let (Some(every), Some(part), Some(rest)) = (any("every"), any("part"), any("rest"))
            {
                if claimed {
                    *counts.0 += 1;
                    *counts.1 += i32::from(every);
                    prop_assert_eq!(every, part || rest, "{}", sql);
                } else {
                    *counts.2 += i32::from(every != (part || rest));
                }
            }
            Ok(())
        },
    );
    if let Err(error) = outcome {
        panic!("{error}");
    }
    println!("{proved} proved, {found} with wrong rows; {saved} refused would have been wrong");
    assert!(proved > CASES / 10, "only {proved} queries were proved");
    assert!(found > 20, "only {found} of {proved} found something");
    assert!(saved > 5, "only {saved} were refused for good");
}

const CASES: u32 = 1000;
