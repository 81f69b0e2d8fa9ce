//! Tables that the database keeps itself: made, left alone, altered, replaced and refreshed.

use serde_json::{Value as Json, json};

use crate::support::sandbox::Sandbox;
use crate::support::shop::{Shop, orders};
use crate::support::{new_database, snowflake_fields, snowflake_log};

/// A project with one dynamic table, `d`, over the seed `base`.
struct Project {
    sandbox: Sandbox,
    database: String,
}

const QUERY: &str = "select a, a * 10 as b from {{ ref('base') }}";
const CONFIG: &str = "target_lag='1 hour', snowflake_warehouse='big'";

impl Project {
    fn new() -> Project {
        let database = new_database("dynamic");
        let fields = snowflake_fields(&database);
        let profile = json!({"shop": {"target": "dev", "outputs": {"dev": fields}}});
        let sandbox = Sandbox::new(&format!(
            "# file: profiles.yml\n{profile}\n# file: dbt_project.yml\nname: shop\nprofile: shop\n# file: seeds/base.csv\na\n1\n"
        ));
        let project = Project { sandbox, database };
        project.sandbox.run(&["seed"]).expect(0);
        project
    }

    fn model(&self, materialized: &str, config: &str, query: &str) {
        let head = format!("{{{{ config(materialized='{materialized}', {config}) }}}}");
        self.sandbox
            .write("models/d.sql", &format!("{head}\n{query}\n"));
    }

    /// Runs with this exit code, and gives the statements about the dynamic table that were sent, in
    /// their first words, and what was told.
    fn run(&self, args: &[&str], code: i32) -> (Vec<String>, String) {
        let before = self.sent().len();
        let ran = self.sandbox.run(&[&["run"], args].concat()).expect(code);
        let sent = self.sent().split_off(before);
        let told = sent.iter().filter_map(|sql| {
            let sql = sql.to_lowercase();
            let of_one = sql.contains("dynamic table ") || sql.starts_with("drop ");
            let name = format!("{}.shop.d", self.database.to_lowercase());
            let line = sql.split("\nas (").next().unwrap_or_default();
            let words: Vec<&str> = line.split_whitespace().collect();
            of_one.then(|| words.join(" ").replace(&name, "d"))
        });
        (told.collect(), ran.stdout)
    }

    fn sent(&self) -> Vec<String> {
        let log = snowflake_log(&self.database);
        let sent = log.iter().filter_map(|entry| entry["sql"].as_str());
        sent.map(str::to_owned).collect()
    }

    fn rows(&self) -> Json {
        let rows = self
            .sandbox
            .rows("select * from {{ ref('d') }} order by a", &[]);
        rows.into()
    }
}

const MADE: &str =
    "target_lag = '1 hour' warehouse = big refresh_mode = auto initialize = on_create";

#[test]
fn one_is_made_left_alone_altered_and_replaced() {
    let project = Project::new();
    project.model("dynamic_table", CONFIG, QUERY);
    assert_eq!(
        project.run(&[], 0).0,
        [format!("create dynamic table d {MADE}")]
    );
    assert_eq!(project.rows(), json!([{"a": 1, "b": 10}]));

    // Nothing is said of what is as it should be, however it is written.
    let (sent, told) = project.run(&[], 0);
    assert_eq!(sent, [""; 0]);
    assert!(told.contains("skip"), "{told}");
    let same = "target_lag='60 minutes', snowflake_warehouse='BIG', refresh_mode='auto'";
    project.model("dynamic_table", same, QUERY);
    assert_eq!(project.run(&[], 0).0, [""; 0]);

    // What can be altered is altered in one statement.
    let other = "target_lag='downstream', snowflake_warehouse='small'";
    project.model("dynamic_table", other, QUERY);
    assert_eq!(
        project.run(&[], 0).0,
        ["alter dynamic table d set target_lag = 'downstream' warehouse = small"]
    );
    assert_eq!(project.run(&[], 0).0, [""; 0]);
    let more = format!("{other}, cluster_by=['a', 'b'], immutable_where='a < 0'");
    project.model("dynamic_table", &more, QUERY);
    assert_eq!(
        project.run(&[], 0).0,
        [
            "alter dynamic table d set immutable where (a < 0)",
            "alter dynamic table d cluster by (a, b)"
        ]
    );
    assert_eq!(project.run(&[], 0).0, [""; 0]);

    // Another way to refresh, and another query, need another table.
    project.model(
        "dynamic_table",
        &format!("{CONFIG}, refresh_mode='full'"),
        QUERY,
    );
    let full = MADE.replace("auto", "full");
    assert_eq!(
        project.run(&[], 0).0,
        [format!("create or replace dynamic table d {full}")]
    );
    let query = "select a, a * 20 as b from {{ ref('base') }}";
    project.model("dynamic_table", CONFIG, query);
    let replaced = [format!("create or replace dynamic table d {MADE}")];
    assert_eq!(project.run(&[], 0).0, replaced);
    assert_eq!(project.rows(), json!([{"a": 1, "b": 20}]));
    assert_eq!(project.run(&["--full-refresh"], 0).0, replaced);
    assert_eq!(project.run(&[], 0).0, [""; 0]);
}

#[test]
fn changes_are_left_or_refused_where_the_config_says_so() {
    let project = Project::new();
    project.model("dynamic_table", CONFIG, QUERY);
    project.run(&[], 0);
    for (reaction, code) in [("continue", 0), ("fail", 1)] {
        let other = "target_lag='2 hours', snowflake_warehouse='big'";
        let config = format!("{other}, on_configuration_change='{reaction}'");
        project.model("dynamic_table", &config, QUERY);
        let (sent, told) = project.run(&[], code);
        assert_eq!(sent, [""; 0]);
        let words = format!("`on_configuration_change` was set to `{reaction}`");
        assert!(told.contains(&words), "{told}");
    }
}

#[test]
fn a_table_becomes_a_dynamic_one_and_a_view_and_back() {
    let project = Project::new();
    for kind in [
        "table",
        "dynamic_table",
        "view",
        "dynamic_table",
        "incremental",
        "dynamic_table",
        "table",
    ] {
        project.model(kind, CONFIG, QUERY);
        project.run(&[], 0);
        assert_eq!(project.rows(), json!([{"a": 1, "b": 10}]), "{kind}");
        project.run(&[], 0);
    }
    let drops = project.sent();
    let of_d = |sql: &&String| sql.starts_with("drop") && !sql.contains("__dbt_tmp");
    let drops = drops.iter().filter(of_d);
    let drops: Vec<&str> = drops.filter_map(|sql| sql.split(" if ").next()).collect();
    let expected = [
        "drop table",
        "drop dynamic table",
        "drop view",
        "drop dynamic table",
        "drop table",
        "drop dynamic table",
    ];
    assert_eq!(drops, expected);
}

#[test]
fn one_that_nothing_refreshes_is_refreshed_by_each_run() {
    let project = Project::new();
    let config = "scheduler='disable', snowflake_warehouse='big', refresh_warehouse='huge'";
    project.model("dynamic_table", config, QUERY);
    let made = "create dynamic table d warehouse = huge refresh_mode = auto initialize = on_create scheduler = 'disable'";
    let refresh = "alter dynamic table d refresh";
    assert_eq!(project.run(&[], 0).0, [made, refresh]);
    assert_eq!(project.run(&[], 0).0, [refresh]);
}

#[test]
fn what_is_missing_or_wrong_is_named_at_once() {
    let project = Project::new();
    project.model(
        "dynamic_table",
        "refresh_mode='often', initialize='never'",
        QUERY,
    );
    let (sent, told) = project.run(&[], 1);
    assert_eq!(sent, [""; 0]);
    let from = told.find("Compilation Error").expect("an error");
    let error: Vec<&str> = told[from..].lines().take(2).collect();
    insta::assert_snapshot!("wrong", error.join("\n"));
}

/// Over `orders`, kept fresh by the engine.
fn kept(materialized: &str, query: &str) -> String {
    format!(
        "{{{{ config(materialized='{materialized}', rebuild='when_stale', target_lag='downstream', snowflake_warehouse='big') }}}}\n{query}\n"
    )
}

/// What the engine says of it holds: it shows its inputs' rows, and today's query.
fn the_engine_keeps_it_fresh(shop: &Shop, materialized: &str) {
    let sum = "select cast(sum(amount) as integer) as s from {{ ref('orders') }}";
    shop.models(&[("sums", &kept(materialized, sum))]);
    shop.first_days(3);
    let told = shop.build(4);
    assert_eq!(told, ["orders 01 02 03", "sums"]);
    let seen = || shop.rows("select s from {{ ref('sums') }}");
    assert_eq!(seen(), "9");
    assert_eq!(shop.build(4), [""; 0]);
    shop.lands(2, &["2,40"]);
    assert_eq!(shop.build(4), ["orders 02", "sums"]);
    assert_eq!(seen(), "46");
    let other = sum.replace("sum(amount)", "max(amount)");
    shop.models(&[("sums", &kept(materialized, &other))]);
    assert_eq!(shop.build(4), ["sums"]);
    assert_eq!(seen(), "40");
    assert_eq!(shop.build(4), [""; 0]);
}

#[test]
fn the_engine_refreshes_a_dynamic_table_and_replaces_it_with_its_query() {
    let shop = Shop::on_snowflake("dynamic_kept", &[("orders", &orders(""))]);
    the_engine_keeps_it_fresh(&shop, "dynamic_table");
}

#[test]
fn the_engine_refreshes_a_materialized_view_and_replaces_it_with_its_query() {
    let shop = Shop::on_postgres("it_mv_kept", &[("orders", &orders(""))]);
    the_engine_keeps_it_fresh(&shop, "materialized_view");
}
