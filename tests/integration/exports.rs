//! Several connections in one project: what lives where, and what is handed from one to another.

use std::process::{Child, Command};
use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::support::live::{by_hand, rows};
use crate::support::sandbox::{Ran, Sandbox, paused_at};
use crate::support::{drop_postgres_schemas, postgres_fields};

/// A store on Postgres, whose tables others fill, and a warehouse in a file.
struct Pair {
    sandbox: Sandbox,
    base: String,
}

impl Pair {
    /// `landing` is where the files go, below the project's root or in a bucket.
    fn new(name: &str, landing: &str) -> Pair {
        let (schema, base) = (format!("{name}_ods"), format!("{name}_base"));
        drop_postgres_schemas(&[&schema, &base, &format!("{name}_ledger")]);
        by_hand(&format!(
            "create schema {base};
             create table {base}.orders (id integer, title text, placed_at timestamp);
             create table {base}.product (id integer, title text);
             insert into {base}.orders
             select i, (array['plain', 'a, \"b\"', '', null])[1 + i % 4], timestamp '2026-11-01' + i * interval '6 hours'
             from generate_series(0, 15) as i;
             insert into {base}.product values (1, 'one'), (2, 'two')"
        ));
        let mut ods = postgres_fields(&schema);
        ods.insert("threads".into(), 2.into());
        // The shared one is a word of some messages, which would be masked.
        ods.insert("password".into(), "not asked for".into());
        let profile = json!({"shop": {"target": "dev", "outputs": {"dev": {
            "type": "duckdb", "path": "shop.duckdb", "connections": {"ods": ods},
        }}}});
        let files = FILES.replace("BASE", &base).replace("LANDING", landing);
        let sandbox = Sandbox::new(&format!("# file: profiles.yml\n{profile}\n{files}"))
            .with_env("DAYGRAIN_LEDGER_SCHEMA", &format!("{name}_ledger"));
        Pair { sandbox, base }
    }

    #[track_caller]
    fn build(&self, as_of: &str, more: &[&str], code: i32) -> Ran {
        let args = [&["build", "--as-of", as_of], more].concat();
        self.sandbox.run(&args).expect(code)
    }

    /// Starts a build that waits for `seconds` after each export, and returns once it is after the first.
    fn exporting(&self, seconds: &str) -> Child {
        let command = self.sandbox.command(&["build", "--as-of", "2026-11-05"]);
        paused_at(command, "exported", seconds)
    }

    /// The days of a source that the ledger has.
    fn recorded(&self, source: &str) -> String {
        let ledger = self.base.replace("_base", "_ledger");
        rows(&format!(
            "select count(*) from {ledger}.exports where source = '{source}'"
        ))
    }

    /// What the last run said of a node or a source.
    fn said(&self, id: &str) -> String {
        let results: Json =
            serde_json::from_str(&self.sandbox.read("target/run_results.json")).unwrap();
        let mut results = results["results"].as_array().unwrap().iter();
        let result = results.find(|result| result["unique_id"] == id);
        result.map_or_else(String::new, |result| {
            format!(
                "{}: {}",
                result["status"].as_str().unwrap(),
                result["message"].as_str().unwrap_or_default()
            )
        })
    }

    fn orders(&self) -> String {
        self.counted("orders")
    }

    /// Rows by day, as the warehouse has them.
    fn counted(&self, model: &str) -> String {
        let sql = format!(
            "select cast(partition_date as varchar) as day, count(*) as n from {{{{ ref('{model}') }}}} group by 1 order by 1"
        );
        let rows = self.sandbox.rows(&sql, &[]);
        let rows = rows
            .iter()
            .map(|row| format!("{}:{}", &row["day"].as_str().unwrap()[8..], row["n"]));
        rows.collect::<Vec<_>>().join(" ")
    }
}

const FILES: &str = "# file: dbt_project.yml
name: shop
profile: shop
models:
  shop:
    ods: {+connection: ods}
# file: models/ods/orders_by_day.sql
{{ config(export={'to': 'landing.orders', 'order_by': ['id']}) }}
select id, title, placed_at, cast(placed_at as date) as partition_date from {{ source('base', 'orders') }}
# file: models/ods/product_today.sql
{{ config(export={'to': 'landing.product', 'mode': 'dump', 'order_by': 'id'}) }}
select id, title, '{{ target.type }}' as made_by from {{ source('base', 'product') }}
# file: models/orders.sql
{{ config(materialized='incremental', partition_by='partition_date', begin='2026-11-01') }}
select id, title, placed_at, partition_date from {{ source('landing', 'orders') }}
# file: models/product.sql
{{ config(materialized='incremental', partition_by='partition_date', begin='2026-11-04') }}
select id, title, made_by, partition_date from {{ source('landing', 'product') }}
# file: models/schema.yml
models:
  - name: orders_by_day
    columns: [{name: id, data_tests: [unique, not_null]}]
  - name: orders
    columns: [{name: id, data_tests: [unique]}]
sources:
  - name: base
    schema: BASE
    config: {connection: ods}
    tables: [{name: orders}, {name: product}]
  - name: landing
    config: {partition_by: partition_date, begin: '2026-11-01'}
    tables:
      - name: orders
        external: {location: 'LANDING/orders/partition_date={partition_date}/*.csv'}
        columns:
          - {name: id, data_type: integer}
          - {name: title, data_type: varchar}
          - {name: placed_at, data_type: timestamp}
          - {name: partition_date, data_type: date}
      - name: product
        config: {begin: '2026-11-04', gap: carry}
        external: {location: 'LANDING/product/partition_date={partition_date}/*.csv'}
        columns:
          - {name: id, data_type: integer}
          - {name: title, data_type: varchar}
          - {name: made_by, data_type: varchar}
          - {name: partition_date, data_type: date}
";

const ORDERS: &str = "source.shop.landing.orders";
const PRODUCT: &str = "source.shop.landing.product";

#[test]
fn rows_go_from_one_connection_to_the_other_by_files() {
    goes_by_files(&Pair::new("exports_files", "landing"));
}

#[test]
fn a_bucket_is_a_landing_too() {
    let url = crate::support::s3_url();
    let bucket = crate::support::new_database("exports").replace('_', "-");
    crate::support::make_bucket(&bucket);
    let mut pair = Pair::new("exports_bucket", &format!("s3://{bucket}/landing"));
    for (name, value) in [
        ("AWS_ENDPOINT_URL", url.as_str()),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ALLOW_HTTP", "true"),
    ] {
        pair.sandbox = pair.sandbox.with_env(name, value);
    }
    goes_by_files(&pair);
}

fn goes_by_files(pair: &Pair) {
    pair.build("2026-11-05", &[], 0);
    assert_eq!(
        pair.said(ORDERS),
        "success: EXPORT 4 days, 4 changed, 16 rows"
    );
    assert_eq!(
        pair.said(PRODUCT),
        "success: EXPORT 1 day, 1 changed, 2 rows"
    );
    assert_eq!(pair.orders(), "01:4 02:4 03:4 04:4");
    let sql = "select count(*) as all_rows, count(title) as titles, count(*) filter (title = '') as empty, max(title) as most
        from {{ ref('orders') }}";
    assert_eq!(
        pair.sandbox.rows(sql, &[]),
        [json!({"all_rows": 16, "titles": 12, "empty": 4, "most": "plain"})]
    );
    let made = pair
        .sandbox
        .rows("select distinct made_by from {{ ref('product') }}", &[]);
    assert_eq!(made, [json!({"made_by": "postgres"})]);

    // Nothing new: the files stay, and so does the warehouse.
    pair.build("2026-11-05", &[], 0);
    assert_eq!(
        pair.said(ORDERS),
        "success: EXPORT 4 days, 0 changed, 16 rows"
    );
    assert_eq!(pair.said(PRODUCT), "success: EXPORT, nothing new");
    assert_eq!(pair.said("model.shop.orders"), "no-op: fresh");

    // A late row makes its own day new, and a price of today is no matter of yesterday's dump.
    by_hand(&format!(
        "insert into {0}.orders values (99, 'late', '2026-11-02 23:59:59'); update {0}.product set title = 'ONE' where id = 1",
        pair.base
    ));
    let ran = pair.build("2026-11-05", &[], 0);
    assert_eq!(
        pair.said(ORDERS),
        "success: EXPORT 4 days, 1 changed, 17 rows"
    );
    assert_eq!(pair.said(PRODUCT), "success: EXPORT, nothing new");
    assert!(
        ran.stdout.contains("2026-11-02 of main.orders"),
        "{}",
        ran.stdout
    );
    assert_eq!(pair.orders(), "01:4 02:5 03:4 04:4");

    // Two mornings were missed: the days without a dump are copies, and say so.
    pair.build("2026-11-08", &[], 0);
    assert_eq!(
        pair.said(PRODUCT),
        "success: EXPORT 3 days, 3 changed, 6 rows, carried over to 2026-11-05, 2026-11-06"
    );
    assert_eq!(
        pair.said(ORDERS),
        "success: EXPORT 7 days, 3 changed, 17 rows"
    );
    assert_eq!(pair.counted("product"), "04:2 05:2 06:2 07:2");
    let titles = "select string_agg(title, ' ' order by partition_date) as titles from {{ ref('product') }} where id = 1";
    assert_eq!(
        pair.sandbox.rows(titles, &[]),
        [json!({"titles": "one one one ONE"})]
    );
    // Days without orders are exported as empty files, not left out.
    assert_eq!(pair.orders(), "01:4 02:5 03:4 04:4");
    let ledger = format!("{}_ledger", pair.base.trim_end_matches("_base"));
    let recorded = rows(&format!(
        "select part - (date '2026-11-01' - date '1970-01-01'), carried_from - (date '2026-11-01' - date '1970-01-01') from {ledger}.exports where source = '{PRODUCT}' order by part"
    ));
    assert_eq!(recorded, "3|null\n4|3\n5|3\n6|null");
}

#[test]
fn a_test_that_fails_holds_its_export_back_and_no_other() {
    let pair = Pair::new("exports_held", "landing");
    pair.build("2026-11-05", &[], 0);
    by_hand(&format!(
        "insert into {}.orders values (3, 'twice', '2026-11-04')",
        pair.base
    ));
    pair.build("2026-11-06", &[], 1);
    assert!(
        pair.said(ORDERS).starts_with("skipped: "),
        "{}",
        pair.said(ORDERS)
    );
    assert_eq!(
        pair.said(PRODUCT),
        "success: EXPORT 1 day, 1 changed, 2 rows"
    );
    assert_eq!(pair.orders(), "01:4 02:4 03:4 04:4");
    // The reader says what it waits for.
    let said = pair
        .sandbox
        .run(&["build", "--as-of", "2026-11-06", "--select", "orders"])
        .expect(1);
    assert!(
        said.stdout
            .contains("landing.orders 2026-11-05, which is missing"),
        "{}",
        said.stdout
    );
}

/// A day leaves the store once it is exported and its retention is over; what comes for it after that
/// is told, and exported no more.
#[test]
fn what_is_exported_leaves_the_store_when_its_time_is_over() {
    let pair = Pair::new("exports_kept", "landing");
    pair.sandbox.write(
        "models/ods/orders_kept.sql",
        "{{ config(materialized='ods_table', retention='2 days', retention_field='placed_at') }}\n-- Others fill it.\n",
    );
    pair.sandbox.write(
        "models/ods/orders_by_day.sql",
        "{{ config(export={'to': 'landing.orders', 'order_by': ['id']}) }}
select id, title, placed_at, cast(placed_at as date) as partition_date from {{ ref('orders_kept') }}",
    );
    pair.sandbox.write(
        "models/ods/kept.yml",
        "models:
  - name: orders_kept
    columns:
      - {name: id, data_type: integer, constraints: [{type: primary_key}]}
      - {name: title, data_type: varchar}
      - {name: placed_at, data_type: timestamp}
",
    );
    let store = "exports_kept_ods.orders_kept";
    pair.sandbox
        .run(&["run", "--select", "orders_kept"])
        .expect(0);
    by_hand(&format!(
        "insert into {store} select i, 'x', timestamp '2026-11-01' + i * interval '6 hours' from generate_series(0, 19) as i"
    ));
    let oldest = format!("select min(placed_at)::text from {store}");
    // An outage: no day was exported yet, so none is gone however old it is.
    pair.build("2026-11-05", &["--select", "orders_kept"], 0);
    assert_eq!(rows(&oldest), "2026-11-01 00:00:00");
    pair.build("2026-11-05", &[], 0);
    assert_eq!(pair.orders(), "01:4 02:4 03:4 04:4");
    assert_eq!(rows(&oldest), "2026-11-03 00:00:00");
    // A late row of a day that is kept, and one of a day that is gone.
    by_hand(&format!(
        "insert into {store} values (100, 'late', '2026-11-03 12:00'), (101, 'too late', '2026-11-01 12:00')"
    ));
    // Its day was exported before it came: it stays until it was read.
    pair.build("2026-11-06", &["--select", "orders_kept"], 0);
    pair.build("2026-11-06", &["--partition-date", "2026-11-05"], 0);
    assert_eq!(rows(&oldest), "2026-11-01 12:00:00");
    let ran = pair.build("2026-11-06", &[], 0);
    assert_eq!(pair.orders(), "01:4 02:4 03:5 04:4 05:4");
    assert_eq!(rows(&oldest), "2026-11-04 00:00:00");
    let told = ran
        .stdout
        .lines()
        .skip_while(|line| !line.contains("warning[too-late]"));
    let told: Vec<&str> = told.take(6).collect();
    let told = told.join("\n");
    insta::assert_snapshot!(told.trim_start_matches(|c: char| !c.is_alphabetic()));
}

/// Interrupts a build, and returns what it said.
fn interrupted(child: Child) -> String {
    let id = child.id().to_string();
    let killed = Command::new("kill").args(["-INT", &id]).status();
    assert!(killed.unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn an_interrupt_skips_the_exports_that_are_left() {
    let pair = Pair::new("exports_stopped", "landing");
    let told = interrupted(pair.exporting("1"));
    assert_eq!(
        pair.said(ORDERS),
        "success: EXPORT 4 days, 4 changed, 16 rows"
    );
    assert_eq!(pair.said(PRODUCT), "skipped: the run was interrupted");
    assert!(!told.contains("not recorded"), "{told}");
    assert_eq!(pair.recorded(ORDERS), "4");
    // The warehouse had no turn.
    assert_eq!(pair.said("model.shop.orders"), "");
    pair.build("2026-11-05", &[], 0);
    assert_eq!(
        pair.said(ORDERS),
        "success: EXPORT 4 days, 0 changed, 16 rows"
    );
    assert_eq!(
        pair.said(PRODUCT),
        "success: EXPORT 1 day, 1 changed, 2 rows"
    );
    assert_eq!(pair.orders(), "01:4 02:4 03:4 04:4");
}

#[test]
fn an_interrupt_cancels_what_an_export_reads() {
    let pair = Pair::new("exports_cancelled", "landing");
    let path = "models/ods/product_today.sql";
    let product = pair.sandbox.read(path);
    pair.sandbox
        .write(path, &format!("{product}, pg_sleep(61) as cancelled"));
    let child = pair.exporting("0");
    let reading = "select count(*) from pg_stat_activity where query ilike '%copy (%exports_cancelled%product_today%' and pid <> pg_backend_pid()";
    for _ in 0..100 {
        if rows(reading) == "1" {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(rows(reading), "1");
    let told = interrupted(child);
    assert!(
        pair.said(PRODUCT).starts_with("error: "),
        "{}",
        pair.said(PRODUCT)
    );
    assert!(!told.contains("not recorded"), "{told}");
    assert_eq!(rows(reading), "0");
    assert_eq!(pair.recorded(ORDERS), "4");
    assert_eq!(pair.recorded(PRODUCT), "0");
    pair.sandbox.write(path, &product);
    pair.build("2026-11-05", &[], 0);
    assert_eq!(
        pair.said(PRODUCT),
        "success: EXPORT 1 day, 1 changed, 2 rows"
    );
}

#[test]
fn a_plan_counts_what_will_be_exported_first() {
    let pair = Pair::new("exports_plan", "landing");
    let planned = |as_of: &str| {
        let ran = pair.sandbox.run(&["plan", "--as-of", as_of]).expect(0);
        let ledger =
            rows("select count(*) from pg_namespace where nspname = 'exports_plan_ledger'");
        (ran.stdout, ledger)
    };
    let (first, ledger) = planned("2026-11-05");
    assert_eq!(ledger, "0", "a plan leaves no trace");
    assert!(!pair.sandbox.path().join("landing").exists());
    pair.build("2026-11-05", &[], 0);
    let (again, _) = planned("2026-11-05");
    let (next, _) = planned("2026-11-06");
    insta::with_settings!({filters => vec![(r"(?m)^\d\d:\d\d:\d\d  .*\n", "")]}, {
        insta::assert_snapshot!(format!("{first}\n=== once it is built\n{again}\n=== a day later\n{next}"));
    });
}

#[test]
fn each_connection_is_asked_for_what_lives_in_it() {
    let pair = Pair::new("exports_parts", "landing");
    pair.build("2026-11-05", &["--select", "+orders"], 0);
    assert_eq!(pair.said(PRODUCT), "");
    let listed = pair
        .sandbox
        .run(&["ls", "--select", "+orders", "--quiet"])
        .expect(0);
    assert_eq!(
        listed.stdout,
        "shop.not_null_orders_by_day_id\nshop.ods.orders_by_day\nshop.orders\nshop.unique_orders_by_day_id\nshop.unique_orders_id\nsource:shop.base.orders\nsource:shop.landing.orders\n"
    );
    let show = |node: &str| {
        pair.sandbox
            .run(&["show", "--quiet", "--select", node, "--limit", "1"])
            .expect(0)
    };
    assert!(show("orders_by_day").stdout.contains("plain"));
    assert!(show("orders").stdout.contains("2026-11-04"));
    pair.sandbox
        .run(&["why", "orders", "2026-11-02", "--as-of", "2026-11-05"])
        .expect(0);
    pair.sandbox
        .run(&["partitions", "landing.orders", "--as-of", "2026-11-05"])
        .expect(0);
    let checked = pair.sandbox.run(&["debug"]).expect(0).stdout;
    assert!(
        checked.contains("Connection `ods`:") && checked.contains("type: postgres"),
        "{checked}"
    );
    // dbt's artifact has the nodes of both.
    let manifest: Json = serde_json::from_str(&pair.sandbox.read("target/manifest.json")).unwrap();
    assert!(manifest["nodes"]["model.shop.orders_by_day"].is_object());
    assert!(manifest["nodes"]["model.shop.orders"].is_object());
}

#[test]
fn what_is_wrong_with_connections_is_told_at_once() {
    let sandbox = Sandbox::new(
        "# file: profiles.yml
shop:
  target: dev
  outputs:
    dev:
      type: duckdb
      path: shop.duckdb
      connections:
        ods: {type: postgres, host: h, user: u, password: p, port: 1, dbname: d, schema: s}
# file: dbt_project.yml
name: shop
profile: shop
# file: models/there.sql
select 1 as id
# file: models/here.sql
select * from {{ ref('there') }} join {{ source('base', 'orders') }} on true
# file: models/unknown.sql
select 1 as id
# file: models/late.sql
{{ config(connection='ods') }}
select 1 as id
# file: models/kept.sql
{{ config(retention='3 weeks', retention_field='at') }}
# file: models/fieldless.sql
{{ config(retention='3 days') }}
# file: models/schema.yml
models:
  - name: kept
    config: {connection: ods, materialized: ods_table}
    columns: [{name: at, data_type: timestamp}]
  - name: fieldless
    config: {connection: ods, materialized: ods_table}
    columns: [{name: at, data_type: timestamp, data_tests: [{not_null: {config: {connection: elsewhere}}}]}]
  - name: there
    config: {connection: ods}
    columns: [{name: id, data_tests: [{relationships: {to: \"ref('here')\", field: id}}]}]
  - name: unknown
    config: {connection: odds}
sources:
  - name: base
    config: {connection: ods}
    tables: [{name: orders}]
",
    );
    let ran = sandbox.run(&["parse"]).expect(2);
    let (_, told) = ran.stdout.split_once("Parsing Error\n").expect("errors");
    insta::assert_snapshot!(told);
}

#[test]
fn what_waits_for_an_export_that_is_not_there_is_told() {
    let pair = Pair::new("exports_idle", "landing");
    pair.sandbox.write(
        "models/ods/idle.sql",
        "{{ config(materialized='ods_table', retention='3 days', retention_field='at') }}\n-- Others fill it.\n",
    );
    pair.sandbox.write(
        "models/ods/idle.yml",
        "models: [{name: idle, columns: [{name: at, data_type: timestamp}]}]\n",
    );
    let schema = pair.sandbox.read("models/schema.yml");
    let carried = schema.replace(
        "      - name: orders\n        external",
        "      - name: orders\n        config: {gap: carry}\n        external",
    );
    pair.sandbox.write("models/schema.yml", &carried);
    let ran = pair.sandbox.run(&["parse"]).expect(0);
    let (_, told) = ran.stdout.split_once("warning").expect("warnings");
    // How many macros are built in is no matter of this.
    let filters = vec![
        (r"(?m)^\d\d:\d\d:\d\d  ", ""),
        (r"\d+ macros", "[some] macros"),
    ];
    insta::with_settings!({filters => filters}, {
        insta::assert_snapshot!(told);
    });
}
