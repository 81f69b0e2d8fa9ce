//! The story that the README tells, on both databases: what arrives late, what is changed by hand,
//! and exactly which partitions are built for it.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::support::sandbox::Sandbox;
use crate::support::{new_database, snowflake_fields};

const DAYS: [&str; 14] = [
    "2026-11-01",
    "2026-11-02",
    "2026-11-03",
    "2026-11-04",
    "2026-11-05",
    "2026-11-06",
    "2026-11-07",
    "2026-11-08",
    "2026-11-09",
    "2026-11-10",
    "2026-11-11",
    "2026-11-12",
    "2026-11-13",
    "2026-11-14",
];

/// The tables that sum up the fact, each of one partition.
const SALES: [&str; 7] = [
    "sales_by_customer",
    "sales_by_customer_date",
    "sales_by_date",
    "sales_by_product",
    "sales_by_product_customer",
    "sales_by_product_customer_date",
    "sales_by_product_date",
];

/// Partitions by model; those of one partition have `all`.
type Built = BTreeMap<String, Vec<String>>;

fn built(models: &[(&str, &[&str])]) -> Built {
    let owned = |days: &&[&str]| days.iter().map(|day| (*day).to_owned()).collect();
    models
        .iter()
        .map(|(name, days)| ((*name).to_owned(), owned(days)))
        .collect()
}

fn with_sales(models: &[(&str, &[&str])]) -> Built {
    let sales = SALES.map(|name| (name, ["all"].as_slice()));
    let mut all = built(models);
    all.extend(built(&sales));
    all
}

struct Story {
    sandbox: Sandbox,
    ledger: &'static str,
}

impl Story {
    /// Builds what is stale on the morning after the last day; what was built, by the artifacts.
    #[track_caller]
    fn build(&self, code: i32) -> Built {
        let ran = self.sandbox.run(&["build", "--as-of", "2026-11-15"]);
        ran.expect(code);
        self.results("successful")
    }

    fn results(&self, key: &str) -> Built {
        let artifact: Json =
            serde_json::from_str(&self.sandbox.read("target/daygrain/run_results.json")).unwrap();
        let results = artifact["results"].as_array().unwrap().iter();
        results
            .filter_map(|result| {
                let name = result["unique_id"].as_str()?.strip_prefix("model.")?;
                let name = name.split_once('.')?.1.to_owned();
                let batches = result["batch_results"][key].as_array();
                let days: Vec<String> = match batches {
                    Some(batches) => batches.iter().map(first_day).collect(),
                    None if key == "successful" && result["status"] == "success" => {
                        vec!["all".to_owned()]
                    }
                    None => Vec::new(),
                };
                (!days.is_empty()).then_some((name, days))
            })
            .collect()
    }

    /// What a build would do, by model: the partitions, and whether they are built for sure.
    #[track_caller]
    fn plan(&self) -> BTreeMap<String, (Vec<String>, bool)> {
        let ran = self
            .sandbox
            .run(&["plan", "--json", "--as-of", "2026-11-15"]);
        let plan: Json = serde_json::from_str(&ran.expect(0).stdout).unwrap();
        let steps = plan["steps"].as_array().unwrap().iter();
        steps
            .map(|step| {
                let name = step["node"].as_str().unwrap().rsplit('.').next().unwrap();
                let parts = step["partitions"].as_array().unwrap().iter();
                let parts = parts
                    .map(|part| part.as_str().unwrap().to_owned())
                    .collect();
                (name.to_owned(), (parts, step["certain"].as_bool().unwrap()))
            })
            .collect()
    }

    /// The status of a model, as the artifact says it.
    fn status(&self, model: &str) -> String {
        let artifact: Json =
            serde_json::from_str(&self.sandbox.read("target/daygrain/run_results.json")).unwrap();
        let id = format!("model.orders_warehouse.{model}");
        let mut results = artifact["results"].as_array().unwrap().iter();
        let found = results.find(|result| result["unique_id"] == id.as_str());
        found.unwrap()["status"].as_str().unwrap().to_owned()
    }

    /// Copies a step of `seeds/late` over the landing.
    fn arrives(&self, step: &str) {
        let from = self.sandbox.path().join("seeds/late").join(step);
        copy_over(&from, &self.sandbox.path().join("seeds/landing"));
    }

    fn edit(&self, path: &str, from: &str, to: &str) {
        let text = self.sandbox.read(path);
        assert!(text.contains(from), "{path} has no `{from}`");
        self.sandbox.write(path, &text.replacen(from, to, 1));
    }

    #[track_caller]
    fn one(&self, sql: &str) -> Json {
        let rows = self.sandbox.rows(sql, &[]);
        assert_eq!(rows.len(), 1, "{sql}: {rows:?}");
        rows[0].clone()
    }

    /// A number of rows in the ledger.
    #[track_caller]
    fn recorded(&self, from: &str) -> i64 {
        let sql = format!("select count(*) as n from {from}").replace("{ledger}", self.ledger);
        self.one(&sql)["n"].as_i64().unwrap()
    }
}

fn first_day(batch: &Json) -> String {
    let start = batch[0].as_str().unwrap();
    start[..10].to_owned()
}

fn copy_over(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy_over(&entry.path(), &to),
            false => drop(std::fs::copy(entry.path(), to).unwrap()),
        }
    }
}

#[test]
fn the_story_on_the_embedded_database() {
    tell(&Story {
        sandbox: Sandbox::warehouse(),
        ledger: "daygrain",
    });
}

#[test]
fn the_story_on_snowflake() {
    let mut fields = snowflake_fields(&new_database("story"));
    fields.insert("schema".to_owned(), "warehouse".into());
    tell(&Story {
        sandbox: Sandbox::snowflake_warehouse(fields),
        ledger: "warehouse_ledger",
    });
}

#[test]
fn the_story_on_postgres() {
    tell(&Story {
        sandbox: Sandbox::empty_postgres_warehouse("it_story"),
        ledger: "it_story_ledger",
    });
}

fn tell(story: &Story) {
    two_weeks(story);
    late_payment(story);
    same_rows(story);
    changed_code(story);
    corrected_lines(story);
    late_order(story);
    bad_file(story);
    truncated(story);
}

fn two_weeks(story: &Story) {
    let first = story.build(0);
    for model in [
        "transaction",
        "orders",
        "order_lines",
        "product",
        "variant",
        "dim_product",
        "dim_customer_orders",
        "int_order_payment",
        "dwd_orders_variant_status",
    ] {
        assert_eq!(first[model], DAYS, "{model}");
    }
    for model in SALES.iter().chain(&["variant_price_changes"]) {
        assert_eq!(first[*model], ["all"], "{model}");
    }
    assert_eq!(
        story.recorded("{ledger}.builds where outcome = 'published'"),
        9 * 14 + 10
    );
    assert_eq!(
        story.recorded("{ledger}.builds where outcome = 'seen'"),
        5 * 14
    );
    // A day of the fact is built from four relations, some of them several days of it.
    let inputs = "{ledger}.inputs where build = (select max(b.build) from {ledger}.builds as b \
         inner join {ledger}.relations as r on r.relation = b.relation \
         where r.name like '%dwd_orders_variant_status%')";
    assert_eq!(story.recorded(inputs), 4);

    // Nothing to do: nothing is done, and nothing is written.
    let builds = story.recorded("{ledger}.builds");
    assert_eq!(story.build(0), built(&[]));
    assert_eq!(story.status("orders"), "no-op");
    assert_eq!(story.recorded("{ledger}.builds"), builds);
}

/// The success of a payment of 11-11, which arrives with the day 11-12.
fn late_payment(story: &Story) {
    let status = "select distinct order_status as s from {{ ref('dwd_orders_variant_status') }} \
         where order_id = 'o-late-payment'";
    assert_eq!(story.one(status)["s"], "failure");
    story.arrives("late-payment");
    let before = story.recorded("{ledger}.builds");
    let plan = story.plan();
    assert_eq!(
        story.recorded("{ledger}.builds"),
        before,
        "a plan touches nothing"
    );
    assert_eq!(plan["transaction"], (vec!["2026-11-12".to_owned()], true));
    // Every day whose window holds 11-12, if it turns out changed.
    let window = [
        "2026-11-09",
        "2026-11-10",
        "2026-11-11",
        "2026-11-12",
        "2026-11-13",
    ];
    let window: Vec<String> = window.map(str::to_owned).to_vec();
    assert_eq!(plan["int_order_payment"], (window.clone(), false));
    assert_eq!(plan["dwd_orders_variant_status"], (window, false));
    assert_eq!(
        story.build(0),
        with_sales(&[
            ("transaction", &["2026-11-12"]),
            // Every day whose window holds 11-12.
            (
                "int_order_payment",
                &[
                    "2026-11-09",
                    "2026-11-10",
                    "2026-11-11",
                    "2026-11-12",
                    "2026-11-13"
                ]
            ),
            // The other days' payments did not change.
            ("dwd_orders_variant_status", &["2026-11-11"]),
        ])
    );
    assert_eq!(story.one(status)["s"], "success");
    let moved = "(select b.part from {ledger}.builds as b \
         inner join {ledger}.relations as r on r.relation = b.relation \
         where r.name like '%int_order_payment%' \
         group by b.part having count(distinct b.version) > 1) as moved";
    assert_eq!(story.recorded(moved), 1);
    assert_eq!(story.plan(), BTreeMap::new());
    let why = [
        "why",
        "dwd_orders_variant_status",
        "2026-11-11",
        "--as-of",
        "2026-11-15",
    ];
    let tale = story.sandbox.run(&why).expect(0).stdout;
    for told in [
        "dwd_orders_variant_status 2026-11-11 is fresh",
        "because int_order_payment 2026-11-11 had changed",
        "landing.transaction 2026-11-12 had changed",
        "partition_date=2026-11-12/part-001.csv is new",
    ] {
        assert!(tale.contains(told), "no `{told}` in:\n{tale}");
    }
}

/// The file of orders of 11-10 again, in another order: it is loaded, and no version moves.
fn same_rows(story: &Story) {
    story.arrives("same-rows");
    assert_eq!(story.plan()["orders"].0, ["2026-11-10"]);
    assert_eq!(story.build(0), built(&[("orders", &["2026-11-10"])]));
}

fn changed_code(story: &Story) {
    let payment = "models/dwd/int_order_payment.sql";
    story.edit(payment, "-- One row an order", "-- One row for each order");
    assert_eq!(story.build(0), built(&[]));
    // Another expression with the same rows: its own partitions, and no reader.
    story.edit(
        payment,
        "count(attempt.id) as integer",
        "count(attempt.id) + 0 as integer",
    );
    let rebuilt = story.build(0);
    assert_eq!(rebuilt["int_order_payment"], DAYS);
    assert!(
        !rebuilt.contains_key("dwd_orders_variant_status"),
        "{rebuilt:?}"
    );
    // One with other rows: those that read them, too.
    let fact = "models/dwd/dwd_orders_variant_status.sql";
    let created = "coalesce(payment.first_attempt_at, placed.processed_timestamp) as";
    story.edit(fact, created, "placed.processed_timestamp as");
    let why = [
        "why",
        "dwd_orders_variant_status",
        "2026-11-05",
        "--as-of",
        "2026-11-15",
    ];
    let tale = story.sandbox.run(&why).expect(0).stdout;
    assert!(tale.contains("its code changed"), "{tale}");
    let rebuilt = story.build(0);
    assert_eq!(rebuilt["dwd_orders_variant_status"], DAYS);
    for table in SALES {
        assert_eq!(rebuilt[table], ["all"], "{table}");
    }
    assert!(!rebuilt.contains_key("int_order_payment"), "{rebuilt:?}");
    story.edit(
        fact,
        "placed.processed_timestamp as order_created_at",
        &format!("{created} order_created_at"),
    );
    assert_eq!(story.build(0)["dwd_orders_variant_status"], DAYS);
}

/// The lines of 11-11 once more, two of them with other amounts.
fn corrected_lines(story: &Story) {
    let sum = "select cast(sum(revenue) as bigint) as revenue from {{ ref('dwd_orders_variant_status') }} \
         where order_id = 'o-corrected'";
    let before = story.one(sum)["revenue"].as_i64().unwrap();
    story.arrives("corrected-lines");
    assert_eq!(
        story.build(0),
        with_sales(&[
            ("order_lines", &["2026-11-11"]),
            ("dwd_orders_variant_status", &["2026-11-11"]),
        ])
    );
    assert_eq!(story.one(sum)["revenue"].as_i64().unwrap(), 2 * before);
}

/// The order of 11-13 whose payment came before it; the customers' orders accumulate from there.
fn late_order(story: &Story) {
    let waiting = "select count(*) as n from {{ ref('transactions_waiting') }}";
    let before = story.one(waiting)["n"].as_i64().unwrap();
    story.arrives("late-order");
    assert_eq!(
        story.build(0),
        with_sales(&[
            ("orders", &["2026-11-13"]),
            ("order_lines", &["2026-11-13"]),
            ("dim_customer_orders", &["2026-11-13", "2026-11-14"]),
            ("int_order_payment", &["2026-11-13"]),
            ("dwd_orders_variant_status", &["2026-11-13"]),
        ])
    );
    assert_eq!(story.one(waiting)["n"].as_i64().unwrap(), before - 1);
}

/// A file that the audit refuses: the day that was there stays.
fn bad_file(story: &Story) {
    let day = "select count(*) as n, max(status) as s from {{ ref('transaction') }} \
         where partition_date = cast('2026-11-14' as date)";
    let before = story.one(day);
    story.arrives("bad-file");
    assert_eq!(story.build(1), built(&[]));
    assert_eq!(
        story.results("failed"),
        built(&[("transaction", &["2026-11-14"])])
    );
    assert_eq!(story.status("transaction"), "error");
    for reader in [
        "int_order_payment",
        "dwd_orders_variant_status",
        "sales_by_date",
    ] {
        assert_eq!(story.status(reader), "skipped", "{reader}");
    }
    assert_eq!(story.one(day), before);
    assert_eq!(
        story.recorded(
            "{ledger}.builds where outcome = 'refused' and reason like '%accepted_values%'"
        ),
        1
    );
    // (the day is refused)
    let bad = "seeds/landing/transaction/partition_date=2026-11-14/part-001.csv";
    std::fs::remove_file(story.sandbox.path().join(bad)).unwrap();
    assert_eq!(story.build(0), built(&[("transaction", &["2026-11-14"])]));
    assert_eq!(story.build(0), built(&[]));
}

/// What somebody empties by hand is noticed, and built again.
fn truncated(story: &Story) {
    story.sandbox.write(
        "macros/by_hand.sql",
        "{% macro by_hand() %}\n  {% do run_query('truncate table ' ~ ref('dim_product')) %}\n  {% do adapter.commit() %}\n{% endmacro %}\n",
    );
    let rows = "select count(*) as n from {{ ref('dim_product') }}";
    let before = story.one(rows);
    story.sandbox.run(&["run-operation", "by_hand"]).expect(0);
    assert_eq!(story.one(rows)["n"], 0);
    assert_eq!(story.build(0), built(&[("dim_product", &DAYS)]));
    assert_eq!(story.one(rows), before);
    assert_eq!(
        story.recorded("{ledger}.builds where reason = 'changed outside daygrain'"),
        14
    );
}
