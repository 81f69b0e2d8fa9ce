//! The commands around partitions: `plan`, `why`, `partitions`, `backfill` and `adopt`.

use std::path::PathBuf;

use serde_json::Value as Json;

use crate::support::drop_postgres_schemas;
use crate::support::sandbox::{Ran, Sandbox};

/// A source of files, a model that copies it, one that counts by day, one that reads itself, and a
/// total.
const SHOP: &str = "
-- file: dbt_project.yml
name: shop
models:
  +rebuild: when_stale
-- file: models/orders.sql
{{ config(materialized='incremental', partition_by='partition_date', begin='2026-11-01') }}
select id, amount, partition_date from {{ source('landing', 'orders') }}
-- file: models/daily.sql
{{ config(materialized='incremental', partition_by='partition_date', begin='2026-11-01') }}
select partition_date, sum(amount) as amount from {{ ref('orders') }} as o group by partition_date
-- file: models/running.sql
{{ config(materialized='incremental', partition_by='partition_date', begin='2026-11-01') }}
select id, {{ partition.date }} as partition_date from {{ self('previous') }}
union all
select id, partition_date from {{ ref('orders') }}
-- file: models/total.sql
{{ config(materialized='table') }}
select sum(amount) as amount from {{ ref('daily') }}
-- file: models/schema.yml
sources:
  - name: landing
    tables:
      - name: orders
        external: {location: 'landing/{partition_date}/*.csv', file_format: csv}
        config: {partition_by: partition_date, begin: 2026-11-01}
        columns:
          - {name: id, data_type: varchar}
          - {name: amount, data_type: integer}
models:
  - name: orders
    columns:
      - name: id
        data_tests: [unique]
  - name: running
    columns:
      - {name: id, data_type: varchar}
      - {name: partition_date, data_type: date}
-- file: landing/2026-11-01/a.csv
id,amount
a1,1
a2,2
-- file: landing/2026-11-02/a.csv
id,amount
b1,10
-- file: landing/2026-11-03/a.csv
id,amount
c1,100
c2,200
c3,300
-- file: landing/2026-11-04/a.csv
id,amount
d1,1000
";

const AS_OF: [&str; 2] = ["--as-of", "2026-11-05"];

struct Shop {
    sandbox: Sandbox,
}

impl Shop {
    fn new() -> Shop {
        Shop {
            sandbox: Sandbox::new(SHOP),
        }
    }

    fn built() -> Shop {
        let shop = Shop::new();
        shop.run(&["build"], 0);
        shop
    }

    /// Runs a command on the morning after the last day.
    #[track_caller]
    fn run(&self, args: &[&str], code: i32) -> Ran {
        let mut all = args.to_vec();
        if args.first() != Some(&"run-operation") {
            all.extend(AS_OF);
        }
        self.sandbox.run(&all).expect(code)
    }

    #[track_caller]
    fn json(&self, args: &[&str], code: i32) -> Json {
        let mut all = args.to_vec();
        all.push("--json");
        let ran = self.run(&all, code);
        serde_json::from_str(&ran.stdout)
            .unwrap_or_else(|error| panic!("{error} in:\n{}", ran.stdout))
    }

    /// The steps of a plan in short: `daily 2026-11-03 if changed: ..`.
    #[track_caller]
    fn steps(&self, args: &[&str]) -> String {
        let plan = self.json(args, 0);
        let steps = plan["steps"].as_array().unwrap().iter();
        let told = steps.map(|step| {
            let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
            let list = |value: &Json| {
                let values = value.as_array().unwrap().iter();
                values.map(text).collect::<Vec<_>>().join(" ")
            };
            format!(
                "{} {}{}: {}",
                text(&step["node"]).rsplit('.').next().unwrap_or_default(),
                list(&step["partitions"]),
                if step["certain"] == true {
                    ""
                } else {
                    " if changed"
                },
                list(&step["reasons"])
            )
        });
        told.collect::<Vec<_>>().join("\n")
    }

    /// Marks of a calendar, in order.
    #[track_caller]
    fn marks(&self, model: &str) -> Vec<String> {
        let cells = self.json(&["partitions", model], 0);
        let cells = cells.as_array().unwrap().iter();
        cells
            .map(|cell| {
                let text = |key: &str| cell[key].as_str().unwrap_or_default().to_owned();
                format!("{} {}", &text("partition")[8..], text("status"))
            })
            .collect()
    }

    /// Changes the database behind daygrain's back.
    fn edit(&self, sql: &str) {
        let text = format!(
            "{{% macro edit() %}}{{% do run_query(\"begin; {sql}; commit\") %}}{{% endmacro %}}"
        );
        self.sandbox.write("macros/edit.sql", &text);
        self.run(&["run-operation", "edit"], 0);
    }

    fn late_file(&self) {
        let text = "id,amount\nc4,400\n";
        self.sandbox.write("landing/2026-11-03/b.csv", text);
    }

    fn database(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let folder = self.sandbox.path().join(".daygrain");
        let mut files: Vec<(PathBuf, Vec<u8>)> = std::fs::read_dir(folder)
            .into_iter()
            .flatten()
            .map(|entry| {
                let path = entry.unwrap().path();
                let bytes = std::fs::read(&path).unwrap();
                (path, bytes)
            })
            .collect();
        files.sort();
        files
    }
}

#[test]
fn a_plan_makes_no_database() {
    let shop = Shop::new();
    let told = shop.run(&["plan"], 0).stdout;
    assert!(told.contains("it was never built"), "{told}");
    shop.run(&["why", "orders", "2026-11-02"], 0);
    shop.run(&["partitions", "orders"], 0);
    shop.run(&["build", "--dry-run"], 0);
    assert_eq!(shop.database(), []);
    assert!(!shop.sandbox.path().join(".daygrain").exists());
    assert!(!shop.sandbox.path().join("target").exists());
}

#[test]
fn a_plan_names_what_changed_and_changes_nothing() {
    let shop = Shop::built();
    assert_eq!(shop.steps(&["plan"]), "");
    shop.late_file();
    let before = shop.database();
    insta::assert_snapshot!(shop.steps(&["plan"]), @r"
    orders 2026-11-03: landing.orders 2026-11-03 changed (late file b.csv)
    daily 2026-11-03 if changed: orders 2026-11-03 is built by this run
    running 2026-11-03 2026-11-04 if changed: orders 2026-11-03 is built by this run its own 2026-11-03 is built by this run
    total all if changed: daily 2026-11-03 is built by this run
    ");
    assert_eq!(shop.steps(&["build", "--dry-run"]), shop.steps(&["plan"]));
    insta::assert_snapshot!(shop.steps(&["plan", "daily", "total"]), @"");
    insta::assert_snapshot!(shop.steps(&["plan", "--partition-date", "2026-11-03", "-s", "orders"]), @"orders 2026-11-03: landing.orders 2026-11-03 changed (late file b.csv)");
    assert_eq!(shop.database(), before, "a plan touches nothing");
    // A run does no more than its plan, and then there is nothing left.
    shop.run(&["build"], 0);
    assert_eq!(shop.steps(&["plan"]), "");
    insta::assert_snapshot!(shop.steps(&["plan", "--full-refresh", "-s", "daily"]), @"daily 2026-11-01 2026-11-02 2026-11-03 2026-11-04: it was asked for");
}

#[test]
fn what_misses_its_source_waits_and_says_for_what() {
    let shop = Shop::built();
    let later = ["plan", "--as-of", "2026-11-06"];
    let ran = shop.sandbox.run(&later).expect(1);
    assert!(
        ran.stdout.contains(
            "daily 2026-11-05          waits for orders 2026-11-05, that for landing.orders 2026-11-05, which is missing"
        ),
        "{}",
        ran.stdout
    );
    let later = ["plan", "--as-of", "2026-11-06", "--allow-waiting"];
    shop.sandbox.run(&later).expect(0);
    let run = ["build", "--as-of", "2026-11-06"];
    let told = shop.sandbox.run(&run).expect(1).stdout;
    assert!(told.contains("3 partitions wait:"), "{told}");
    assert!(
        told.contains("orders 2026-11-05 waits for landing.orders 2026-11-05, which is missing"),
        "{told}"
    );
}

#[test]
fn a_project_without_partitions_is_told_that_dbts_rules_apply() {
    let sandbox = Sandbox::new(
        "
-- file: dbt_project.yml
name: plain
-- file: models/a.sql
select 1 as id
",
    );
    let told = sandbox.run(&["plan"]).expect(0).stdout;
    assert!(told.contains("so dbt's rules apply"), "{told}");
    let json = sandbox.run(&["plan", "--json"]).expect(0).stdout;
    let plan: Json = serde_json::from_str(&json).unwrap();
    assert_eq!(plan["steps"][0]["node"], "model.plain.a");
    assert_eq!(plan["steps"][0]["partitions"][0], "all");
    let told = sandbox.run(&["partitions", "a"]).expect(2).stdout;
    assert!(told.contains("nothing is remembered of it"), "{told}");
}

#[test]
fn a_cause_is_followed_to_its_root_before_and_after_the_build() {
    let shop = Shop::built();
    shop.late_file();
    let told = shop.run(&["why", "running", "2026-11-04"], 0).stdout;
    let causes: Vec<&str> = told.lines().take(6).collect();
    insta::assert_snapshot!(causes.join("\n"), @r"
    running 2026-11-04 is stale
      because its own 2026-11-03 is built by the next run
              └─ orders 2026-11-03 is built by the next run
                 └─ landing.orders 2026-11-03 changed
                    └─ the file landing/2026-11-03/b.csv is new
    ");
    shop.run(&["build"], 0);
    let story = shop.json(&["why", "total"], 0);
    assert_eq!(story["status"], "fresh");
    let root = &story["history"][0]["because"][0];
    assert_eq!(root["reason"], "daily 2026-11-03 had changed");
    let root = &root["because"][0]["because"][0]["because"][0];
    assert_eq!(root["reason"], "the file landing/2026-11-03/b.csv is new");
}

#[test]
fn a_rebuilt_partition_that_is_the_same_tells_that_its_version_was_kept() {
    let shop = Shop::built();
    let backfill = [
        "backfill",
        "orders",
        "--start",
        "2026-11-02",
        "--end",
        "2026-11-03",
    ];
    let told = shop.run(&backfill, 0).stdout;
    assert!(
        told.contains("2026-11-02 .. 2026-11-03 of main.orders: 2 of 2 days"),
        "{told}"
    );
    // Its test judged it, and nothing below was built.
    assert!(told.contains("PASS unique_orders_id"), "{told}");
    assert!(!told.contains("main.daily"), "{told}");
    let told = shop.run(&["why", "orders", "2026-11-02"], 0).stdout;
    assert!(told.contains("same content, so version"), "{told}");
    assert!(told.contains("because it was asked for"), "{told}");
    assert_eq!(shop.steps(&["plan"]), "");
}

#[test]
fn a_backfill_needs_models_and_both_bounds() {
    let shop = Shop::new();
    for (args, words) in [
        (
            vec!["backfill", "orders", "--start", "2026-11-01"],
            "needs both `--start` and `--end`",
        ),
        (
            vec!["backfill", "--start", "2026-11-01", "--end", "2026-11-02"],
            "needs to know which models",
        ),
        (
            vec![
                "backfill",
                "total",
                "--start",
                "2026-11-01",
                "--end",
                "2026-11-02",
            ],
            "no partitioned model is selected",
        ),
    ] {
        let told = shop.run(&args, 2).stdout;
        assert!(told.contains(words), "{told}");
    }
}

#[test]
fn what_a_test_refuses_is_told_by_every_command() {
    let shop = Shop::built();
    shop.sandbox
        .write("landing/2026-11-03/b.csv", "id,amount\nc1,1\n");
    let told = shop.run(&["build"], 1).stdout;
    assert!(
        told.contains("the refused rows are in daygrain.refused_orders"),
        "{told}"
    );
    assert!(
        told.contains("2026-11-03 of main.orders: 1 of 1 day"),
        "{told}"
    );
    assert!(told.contains("[REFUSED in"), "{told}");
    assert!(
        told.contains("daily 2026-11-03 waits for orders 2026-11-03, which failed"),
        "{told}"
    );
    assert_eq!(
        shop.marks("orders"),
        ["01 fresh", "02 fresh", "03 refused", "04 fresh"]
    );
    let told = shop.run(&["why", "orders", "2026-11-03"], 0).stdout;
    assert!(told.contains("what was built last was refused"), "{told}");
    assert!(told.contains("`unique_orders_id`"), "{told}");
    let rows = shop
        .sandbox
        .rows("select count(*) as n from daygrain.refused_orders", &[]);
    assert_eq!(rows[0]["n"], 4);
}

#[test]
fn unknown_models_and_partitions_are_told_with_what_there_is() {
    let shop = Shop::built();
    for (args, words) in [
        (vec!["why", "odrers", "2026-11-01"], "`orders` exists"),
        (vec!["why", "orders"], "daygrain why orders 2026-11-04"),
        (vec!["why", "orders", "tuesday"], "`tuesday` is no day"),
        (
            vec!["why", "orders", "2026-12-01"],
            "they go from 2026-11-01 to 2026-11-04",
        ),
        (
            vec!["why", "total", "2026-11-01"],
            "`total` has no partitions",
        ),
        (vec!["partitions", "nothing"], "no model is named `nothing`"),
    ] {
        let told = shop.run(&args, 2).stdout;
        assert!(told.contains(words), "{told}");
    }
}

#[test]
fn an_edit_that_moves_no_count_is_found_by_hashing_again() {
    let shop = Shop::built();
    shop.edit("update main.orders set amount = 7 where id = 'b1'");
    // Nothing shows it.
    assert_eq!(shop.steps(&["plan"]), "");
    let told = shop.run(&["partitions", "orders", "--verify"], 1).stdout;
    assert!(told.contains("1 changed outside daygrain"), "{told}");
    assert!(
        told.contains("2026-11-02  other rows than were published"),
        "{told}"
    );
    assert_eq!(
        shop.marks("orders"),
        ["01 fresh", "02 stale", "03 fresh", "04 fresh"]
    );
    shop.run(&["build"], 0);
    shop.run(&["partitions", "orders", "--verify"], 0);
    assert_eq!(shop.steps(&["plan"]), "");
    let rows = shop
        .sandbox
        .rows("select amount from main.orders where id = 'b1'", &[]);
    assert_eq!(rows[0]["amount"], 10);
}

#[test]
fn columns_in_another_order_are_no_change() {
    let shop = Shop::built();
    // The table keeps its order of columns; the rows are hashed in that of the query.
    let model = shop.sandbox.read("models/orders.sql");
    let model = model.replace("select id, amount,", "select amount, id,");
    shop.sandbox.write("models/orders.sql", &model);
    shop.run(&["build"], 0);
    let told = shop.run(&["partitions", "orders", "--verify"], 0).stdout;
    assert!(
        told.contains("verified 4 days of orders: all as published"),
        "{told}"
    );
}

#[test]
fn a_table_that_is_there_is_adopted() {
    let shop = Shop::built();
    shop.edit("drop schema daygrain cascade");
    let told = shop.run(&["plan"], 0).stdout;
    assert!(told.contains("it was never built"), "{told}");
    let told = shop
        .run(&["adopt", "orders", "daily", "total", "running"], 0)
        .stdout;
    assert!(
        told.contains("orders: adopted 4 days (2026-11-01 .. 2026-11-04), 7 rows"),
        "{told}"
    );
    assert!(told.contains("total: adopted its table, 1 row"), "{told}");
    assert_eq!(shop.steps(&["plan"]), "");
    assert_eq!(
        shop.marks("running"),
        ["01 adopted", "02 adopted", "03 adopted", "04 adopted"]
    );
    // From then on it is followed as ever.
    shop.late_file();
    insta::assert_snapshot!(shop.steps(&["plan"]), @r"
    orders 2026-11-03: landing.orders 2026-11-03 changed (late file b.csv)
    daily 2026-11-03 if changed: orders 2026-11-03 is built by this run
    running 2026-11-03 2026-11-04 if changed: orders 2026-11-03 is built by this run its own 2026-11-03 is built by this run
    total all if changed: daily 2026-11-03 is built by this run
    ");
    shop.run(&["build"], 0);
    assert_eq!(shop.marks("orders")[2..], ["03 fresh", "04 adopted"]);
    let told = shop.run(&["adopt", "orders"], 0).stdout;
    assert!(
        told.contains("orders: nothing to adopt; 4 days known already"),
        "{told}"
    );
}

#[test]
fn a_renamed_model_takes_its_history_along() {
    let shop = Shop::built();
    let text = shop.sandbox.read("models/running.sql");
    std::fs::remove_file(shop.sandbox.path().join("models/running.sql")).unwrap();
    shop.sandbox.write("models/sums.sql", &text);
    let schema = shop.sandbox.read("models/schema.yml");
    shop.sandbox.write(
        "models/schema.yml",
        &schema.replace("name: running", "name: sums"),
    );
    let told = shop.run(&["adopt", "sums", "--from", "running"], 2).stdout;
    assert!(told.contains("there is no table"), "{told}");
    shop.edit("alter table main.running rename to sums");
    let told = shop.run(&["adopt", "sums", "--from", "runing"], 2).stdout;
    assert!(told.contains("it knows `running`"), "{told}");
    shop.edit("delete from main.sums where id = 'a1' and partition_date = date '2026-11-01'");
    let told = shop.run(&["adopt", "sums", "--from", "running"], 2).stdout;
    assert!(
        told.contains("2026-11-01 has 1 rows instead of 2"),
        "{told}"
    );
    shop.edit("insert into main.sums (id, partition_date) values ('a1', date '2026-11-01')");
    let told = shop
        .run(&["adopt", "sums", "--from", "main.running"], 0)
        .stdout;
    assert!(
        told.contains(
            "sums has the history of \"warehouse\".\"main\".\"running\": 4 days (2026-11-01 .. 2026-11-04), 18 rows"
        ),
        "{told}"
    );
    // The model reads itself, and is fresh all the same.
    assert_eq!(shop.steps(&["plan"]), "");
    let told = shop.run(&["why", "sums", "2026-11-04"], 0).stdout;
    assert!(told.contains("sums 2026-11-04 is fresh"), "{told}");
}

#[test]
fn the_same_on_a_server() {
    let schema = "partition_commands";
    let ledger = "partition_commands_ledger";
    drop_postgres_schemas(&[schema, ledger]);
    let fields = Json::Object(crate::support::postgres_fields(schema));
    let sandbox = Sandbox::new(SHOP).with_env("DAYGRAIN_LEDGER_SCHEMA", ledger);
    let project = sandbox.read("dbt_project.yml");
    sandbox.write("dbt_project.yml", &format!("{project}\nprofile: shop\n"));
    sandbox.write(
        "profiles.yml",
        &format!("shop: {{target: dev, outputs: {{dev: {fields}}}}}"),
    );
    let shop = Shop { sandbox };
    let plan = shop.steps(&["plan"]);
    let there = |shop: &Shop| {
        let sql = format!(
            "select count(*) as n from information_schema.schemata where schema_name = '{ledger}'"
        );
        shop.sandbox.rows(&sql, &[])[0]["n"].clone()
    };
    assert_eq!(there(&shop), 0, "a plan makes no ledger");
    assert!(
        plan.contains("orders 2026-11-01 2026-11-02 2026-11-03 2026-11-04: it was never built")
    );
    shop.run(&["build"], 0);
    assert_eq!(shop.steps(&["plan"]), "");
    shop.edit(&format!(
        "update {schema}.orders set amount = 7 where id = 'b1'"
    ));
    shop.run(&["partitions", "orders", "--verify"], 1);
    shop.run(&["build"], 0);
    shop.run(&["partitions", "orders", "--verify"], 0);
    shop.edit(&format!("drop schema {ledger} cascade"));
    let told = shop
        .run(&["adopt", "orders", "daily", "total", "running"], 0)
        .stdout;
    assert!(
        told.contains("orders: adopted 4 days (2026-11-01 .. 2026-11-04), 7 rows"),
        "{told}"
    );
    assert_eq!(shop.steps(&["plan"]), "");
    shop.late_file();
    let told = shop.run(&["why", "daily", "2026-11-03"], 0).stdout;
    assert!(
        told.contains("the file landing/2026-11-03/b.csv is new"),
        "{told}"
    );
    drop_postgres_schemas(&[schema, ledger]);
}

#[test]
fn a_check_of_what_was_never_built_makes_no_ledger() {
    let shop = Shop::new();
    let told = shop.run(&["partitions", "orders", "--verify"], 0).stdout;
    assert!(told.contains("verified 0 days of orders"), "{told}");
    assert!(shop.database().is_empty());
}

#[test]
fn a_plan_says_that_a_table_which_the_ledger_does_not_know_is_replaced() {
    let shop = Shop::built();
    shop.edit("drop schema daygrain cascade");
    let told = shop.run(&["plan"], 0).stdout;
    for words in [
        "the ledger knows nothing of its table, which is replaced as a whole",
        "the table of `daily` is there and the ledger knows nothing of it: building `daily` replaces it as a whole",
        "`daygrain adopt daily` takes over what it holds instead",
    ] {
        assert!(told.contains(words), "{told}");
    }
    let plan = shop.json(&["plan", "orders"], 0);
    assert_eq!(
        plan["steps"][0]["reasons"][0],
        "the ledger knows nothing of its table, which is replaced as a whole"
    );
    let told = shop.run(&["plan", "orders"], 0).stdout;
    assert!(!told.contains("building `daily`"), "{told}");
    shop.run(&["build"], 0);
    // Other partitions are known to be that.
    let model = shop.sandbox.read("models/daily.sql");
    let model = model.replace(
        "partition_by='partition_date'",
        "partition_by={'field': 'partition_date', 'timezone': 'Europe/Berlin'}",
    );
    shop.sandbox.write("models/daily.sql", &model);
    let told = shop.run(&["plan"], 0).stdout;
    assert!(
        told.contains("its table has other partitions, and is replaced as a whole"),
        "{told}"
    );
    assert!(!told.contains("knows nothing"), "{told}");
}

#[test]
fn why_tells_the_reason_that_a_build_had() {
    let shop = Shop::built();
    let reason = |partition: &[&str]| {
        let args = [&["why"], partition].concat();
        let story = shop.json(&args, 0);
        let because = &story["history"][0]["because"][0]["reason"];
        because.as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(
        reason(&["orders", "2026-11-02"]),
        "it had not been built before"
    );
    // Asked for, though its code has changed as well.
    let model = shop.sandbox.read("models/orders.sql");
    shop.sandbox.write(
        "models/orders.sql",
        &model.replace("amount,", "amount + 0 as amount,"),
    );
    let two = ["--start", "2026-11-02", "--end", "2026-11-02"];
    shop.run(&[&["backfill", "orders"], &two[..]].concat(), 0);
    assert_eq!(reason(&["orders", "2026-11-02"]), "it was asked for");

    shop.run(&["build"], 0);
    assert_eq!(reason(&["orders", "2026-11-03"]), "its code had changed");
    shop.edit("delete from main.orders where id = 'b1'");
    shop.run(&["build"], 0);
    assert_eq!(
        reason(&["orders", "2026-11-02"]),
        "its rows had been changed outside daygrain"
    );
    shop.late_file();
    shop.run(&["build"], 0);
    assert_eq!(
        reason(&["orders", "2026-11-03"]),
        "landing.orders 2026-11-03 had changed"
    );
    let kept = shop.sandbox.rows(
        "select distinct reason from daygrain.builds where outcome = 'published' order by 1",
        &[],
    );
    let kept: Vec<&str> = kept
        .iter()
        .filter_map(|row| row["reason"].as_str())
        .collect();
    assert_eq!(
        kept,
        [
            "it had not been built before",
            "it was asked for",
            "its code had changed",
            "its rows had been changed outside daygrain",
            "what it reads had changed",
        ]
    );
    // Builds of an earlier release tell none, and it is guessed.
    shop.edit("update daygrain.builds set reason = null where outcome = 'published'");
    assert_eq!(
        reason(&["orders", "2026-11-03"]),
        "landing.orders 2026-11-03 had changed"
    );
}
