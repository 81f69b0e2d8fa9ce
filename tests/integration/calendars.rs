//! Partitions by the calendar: hours, days of a time zone, what is kept and for how long, and days of
//! which it is known that they are empty.

use serde_json::Value as Json;

use crate::support::shop::{DAILY, Shop, orders, totals};

const NOTHING: [&str; 0] = [];

/// The partitions that the last run built of a model, by their first moment.
fn batches(shop: &Shop, model: &str) -> Vec<String> {
    let text = shop.sandbox.read("target/run_results.json");
    let artifact: Json = serde_json::from_str(&text).unwrap();
    let id = format!("model.shop.{model}");
    let results = artifact["results"].as_array().unwrap();
    let result = results.iter().find(|result| result["unique_id"] == *id);
    let batches = result.and_then(|result| result["batch_results"]["successful"].as_array());
    let batches = batches.into_iter().flatten();
    let starts = batches.filter_map(|batch| batch[0].as_str());
    let mut starts: Vec<String> = starts.map(|start| start[5..13].to_owned()).collect();
    starts.sort();
    starts
}

/// Every half hour around the night in which Berlin's clocks go back, as instants.
const INSTANTS: &str = "{{ config(materialized='table', rebuild='when_stale') }}
select cast('2026-10-24 00:00:00+00:00' as timestamp with time zone) + i * interval '30 minutes' as moment, i as id
from generate_series(0, 143) as numbers(i)";

fn night(model: &str, granularity: &str, more: &str, from: &str) -> String {
    format!(
        "{{{{ config(materialized='incremental', partition_by={{'field': 'moment', 'granularity': '{granularity}', 'data_type': 'timestamptz', 'timezone': 'Europe/Berlin'}}, begin='2026-10-24'{more}) }}}}\nselect * from {{{{ {from} }}}} as t where {{{{ partition.filter('moment') }}}} -- {model}"
    )
}

/// The day on which Berlin's clocks go back has 25 hours, and each of them is one of UTC.
fn a_long_day_has_all_of_its_hours(shop: &Shop) {
    let hours = night("hours", "hour", "", "ref('instants')");
    let days = night("days", "day", "", "ref('hours')");
    let counts = "{{ config(materialized='incremental', partition_by={'field': 'day', 'timezone': 'Europe/Berlin'}, begin='2026-10-24') }}
select {{ partition.date }} as day, count(*) as n from {{ ref('days') }}";
    let single = night("single", "hour", ", batch_size=1", "ref('days')");
    shop.models(&[
        ("instants", INSTANTS),
        ("hours", &hours),
        ("days", &days),
        ("counts", counts),
        ("single", &single),
    ]);
    // Two days of Berlin have closed by then: it is 23:30 there on the third.
    let at = |time: &str, code: i32| shop.build_with(1, &["--as-of", time], code);
    at("2026-10-26T22:30:00", 0);
    assert_eq!(batches(shop, "days"), ["10-24T00", "10-25T00"]);
    let counted = "select cast(day as varchar) as day, n from {{ ref('counts') }} order by day";
    assert_eq!(shop.rows(counted), "2026-10-24 44, 2026-10-25 50");
    // From 00:00 UTC of the first to 22:00 UTC of the last.
    assert_eq!(
        shop.rows("select count(*) as n from {{ ref('hours') }}"),
        "140"
    );
    // An hour behind its day waits for the day; what is due of it is there, hour by hour.
    assert_eq!(
        shop.rows("select count(*) as n from {{ ref('single') }}"),
        "94"
    );
    assert_eq!(at("2026-10-26T22:30:00", 0), NOTHING);
    at("2026-10-26T23:30:00", 0);
    assert_eq!(batches(shop, "hours"), ["10-26T22"]);
    assert_eq!(batches(shop, "days"), ["10-26T00"]);
    assert_eq!(
        shop.rows(counted),
        "2026-10-24 44, 2026-10-25 50, 2026-10-26 48"
    );
    // Rows that are lost are found in their own hour, on either side of the change.
    let gone = "cast('2026-10-25 01:30:00+00:00' as timestamp with time zone)";
    shop.by_hand(&format!(
        "delete from {} where moment = {gone}",
        shop.name("hours")
    ));
    if shop.schema == "main" {
        at("2026-10-26T23:30:00", 0);
        assert_eq!(batches(shop, "hours"), ["10-25T01"]);
        assert_eq!(batches(shop, "days"), [""; 0]);
    }
}

#[test]
fn a_day_of_twenty_five_hours() {
    a_long_day_has_all_of_its_hours(&Shop::embedded(&[]));
}

#[test]
fn a_day_of_twenty_five_hours_on_postgres() {
    a_long_day_has_all_of_its_hours(&Shop::on_postgres("it_calendar_night", &[]));
}

/// What is older than its retention goes, day by day, and never before its readers have it.
fn old_days_go(shop: &Shop) {
    shop.models(&[("orders", &orders("retention=2")), ("totals", &totals(""))]);
    shop.first_days(3);
    let days =
        "select distinct cast(partition_date as varchar) as d from {{ ref('orders') }} order by d";
    // The first day is no longer built; nobody has it, and nobody waits for it.
    assert_eq!(
        shop.build_with(4, &["--allow-waiting"], 0),
        ["orders 02 03", "totals 02 03"]
    );
    assert_eq!(shop.rows(days), "2026-11-02, 2026-11-03");
    shop.first_days(4);
    // The second would go, and its reader has it.
    assert_eq!(
        shop.build_with(5, &["--allow-waiting"], 0),
        ["orders 04", "totals 04"]
    );
    assert_eq!(shop.rows(days), "2026-11-03, 2026-11-04");
    // Its going makes nothing stale.
    assert_eq!(shop.build_with(5, &["--allow-waiting"], 0), NOTHING);
    assert_eq!(
        shop.rows("select count(*) as n from {{ ref('totals') }}"),
        "3"
    );
    // A reader that has not published a day keeps it from going.
    shop.first_days(6);
    let only = ["--allow-waiting", "--select", "orders"];
    assert_eq!(shop.build_with(7, &only, 0), ["orders 05 06"]);
    assert_eq!(shop.rows(days), "2026-11-05, 2026-11-06");
    shop.first_days(8);
    assert_eq!(shop.build_with(9, &only, 0), ["orders 07 08"]);
    assert_eq!(
        shop.rows(days),
        "2026-11-05, 2026-11-06, 2026-11-07, 2026-11-08"
    );
    assert_eq!(
        shop.build_with(9, &["--allow-waiting"], 0),
        ["totals 05 06 07 08"]
    );
    assert_eq!(shop.rows(days), "2026-11-07, 2026-11-08");
    // What was built from what is gone is frozen once its code has changed: not even a full refresh
    // touches it.
    shop.models(&[(
        "totals",
        &totals("").replace("sum(amount)", "sum(amount) + 1"),
    )]);
    let plan = shop
        .sandbox
        .run(&["plan", "--as-of", "2026-11-09", "--json", "--allow-waiting"])
        .expect(0);
    let plan: Json = serde_json::from_str(&plan.stdout).unwrap();
    let frozen = plan["frozen"].as_array().unwrap().iter();
    let frozen: Vec<&Json> = frozen
        .flat_map(|held| held["partitions"].as_array().unwrap())
        .collect();
    // The first was never built, and can never be.
    assert_eq!(frozen.len(), 6);
    assert_eq!(*frozen[0], "2026-11-01");
    assert_eq!(*frozen[5], "2026-11-06");
    assert_eq!(
        shop.build_with(9, &["--full-refresh", "--allow-waiting"], 0),
        ["orders 07 08", "totals 07 08"]
    );
    let totals = "select total from {{ ref('totals') }} order by partition_date";
    assert_eq!(shop.rows(totals), "3, 4, 5, 6, 7, 9, 10");
}

#[test]
fn rule_10_old_days_go_once_their_readers_have_them() {
    old_days_go(&Shop::embedded(&[]));
}

#[test]
fn rule_10_old_days_go_once_their_readers_have_them_on_postgres() {
    old_days_go(&Shop::on_postgres("it_calendar_old", &[]));
}

#[test]
fn rule_10_a_cumulative_model_keeps_its_oldest_day_as_anchor() {
    let running = format!(
        "{{{{ config({DAILY}, retention=3) }}}}\nselect {{{{ partition.date }}}} as partition_date, cast(coalesce((select max(n) from {{{{ self('previous') }}}}), 0) + count(*) as integer) as n from {{{{ ref('orders') }}}}"
    );
    let shop = Shop::embedded(&[("orders", &orders("")), ("running", &running)]);
    shop.sandbox.write(
        "models/running.yml",
        "models:\n  - name: running\n    columns:\n      - {name: partition_date, data_type: date}\n      - {name: n, data_type: integer}\n",
    );
    shop.first_days(3);
    assert_eq!(shop.build(4), ["orders 01 02 03", "running 01 02 03"]);
    shop.first_days(5);
    assert_eq!(shop.build(6), ["orders 04 05", "running 04 05"]);
    let rows = "select n from {{ ref('running') }} order by partition_date";
    assert_eq!(shop.rows(rows), "6, 8, 10");
    // The oldest that is left cannot be built again, and what follows it can.
    shop.lands(4, &["4,4", "5,5", "6,6"]);
    assert_eq!(shop.build(6), ["orders 04", "running 04 05"]);
    assert_eq!(shop.rows(rows), "6, 9, 11");
    shop.lands(3, &["3,3", "4,4", "5,5"]);
    assert_eq!(shop.build(6), ["orders 03"]);
    assert_eq!(shop.rows(rows), "6, 9, 11");
}

#[test]
fn days_of_which_it_is_known_that_they_are_empty_hold_nobody_up() {
    let shop = Shop::embedded(&[("orders", &orders("")), ("totals", &totals(""))]);
    shop.first_days(3);
    shop.vanishes(2);
    assert_eq!(shop.build_with(4, &[], 1), ["orders 01 03", "totals 01 03"]);
    let sources = shop.sandbox.read("models/sources.yml");
    let known = sources.replace(
        "begin: 2026-11-01}",
        "begin: 2026-11-01, no_data: ['2026-11-02']}",
    );
    shop.sandbox.write("models/sources.yml", &known);
    assert_eq!(shop.build(4), ["orders 02", "totals 02"]);
    assert_eq!(shop.rows("select count(*) as n from orders"), "4");
    assert_eq!(shop.build(4), NOTHING);
    // Files that come all the same are rows.
    shop.lands(2, &["2,2"]);
    assert_eq!(shop.build(4), ["orders 02", "totals 02"]);
}
