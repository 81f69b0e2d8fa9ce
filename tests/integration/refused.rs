//! What tests refuse is never seen: on a database whose DDL commits by itself, and elsewhere.

use crate::support::shop::{Shop, orders};
use crate::support::snowflake_log;

const NOT_NEGATIVE: &str = "select * from {{ ref('orders') }} where amount < 0";
const SUMS: &str = "{{ config(materialized='table', rebuild='when_stale', cluster_by=['s'], automatic_clustering=true, copy_grants=true, pre_hook='insert into TOLD select 1', post_hook='insert into TOLD select s from {{ this }}') }}\nselect cast(sum(amount) as integer) as s from {{ ref('orders') }}";
const SUM: &str = "select s from {{ ref('sums') }}";

/// `lasting` are the hooks that have lasted, after the refusals and at the end.
fn a_refused_table_is_never_seen(shop: &Shop, lasting: [&str; 2]) {
    let told = shop.name("told");
    shop.first_days(3);
    shop.build(4);
    shop.by_hand(&format!("create table {told} (s integer)"));
    shop.models(&[("sums", &SUMS.replace("TOLD", &told))]);
    let small = "select * from {{ ref('sums') }} where s > 100";
    shop.sandbox.write("tests/small.sql", small);
    assert_eq!(shop.build(4), ["sums"]);
    // Readers see the old rows, and what the ledger says of them stays.
    shop.lands(2, &["2,200"]);
    assert_eq!(shop.build_with(4, &[], 1), ["orders 02"]);
    assert_eq!(shop.status("small"), "fail");
    assert_eq!(shop.rows(SUM), "9");
    let lost = format!(
        "select count(*) as n from {}.builds where outcome = 'lost'",
        shop.ledger
    );
    assert_eq!(shop.rows(&lost), "0");
    // It is still stale. The hooks before it run again, those after it not.
    assert_eq!(shop.build_with(4, &[], 1), [""; 0]);
    assert_eq!(shop.rows(SUM), "9");
    let hooks = format!("select s from {told} order by s");
    assert_eq!(shop.rows(&hooks), lasting[0]);
    shop.lands(2, &["2,20"]);
    assert_eq!(shop.build(4), ["orders 02", "sums"]);
    assert_eq!(shop.rows(SUM), "26");
    assert_eq!(shop.rows(&hooks), lasting[1]);
    assert_eq!(shop.build(4), [""; 0]);
}

#[test]
fn a_refused_table_is_never_seen_on_snowflake() {
    let shop = Shop::on_snowflake("refused", &[("orders", &orders(""))]);
    a_refused_table_is_never_seen(&shop, ["1, 1, 1, 9", "1, 1, 1, 1, 9, 26"]);
    let sent = snowflake_log(&shop.database());
    let sent = sent.iter().filter_map(|entry| entry["sql"].as_str());
    let of_sums = sent.filter(|sql| sql.contains("sums__daygrain_new"));
    let of_sums: Vec<String> = of_sums
        .map(|sql| sql.replace(&shop.database(), "db"))
        .collect();
    let replacing =
        |sql: &&String| sql.starts_with("create or replace transient table db.shop.sums clone");
    assert_eq!(of_sums.iter().filter(replacing).count(), 2, "{of_sums:#?}");
    insta::assert_snapshot!("replacing", of_sums[..8.min(of_sums.len())].join(";\n\n"));
}

#[test]
fn a_refused_table_is_never_seen_on_postgres() {
    let shop = Shop::on_postgres("it_refused", &[("orders", &orders(""))]);
    // Its hooks are part of what is undone.
    a_refused_table_is_never_seen(&shop, ["1, 9", "1, 1, 9, 26"]);
}

fn a_refused_shape_is_never_seen(shop: &Shop) {
    shop.sandbox.write("tests/not_negative.sql", NOT_NEGATIVE);
    shop.first_days(3);
    assert_eq!(shop.build(4), ["orders 01 02 03"]);
    let rows = "select id, amount from {{ ref('orders') }} order by id";
    let before = shop.rows(rows);
    // A column is gone, so all of it is built into a new table.
    shop.lands(2, &["2,-2"]);
    shop.models(&[("orders", &orders("").replace("id, ", ""))]);
    assert_eq!(shop.build_with(4, &[], 1), [""; 0]);
    assert_eq!(shop.status("not_negative"), "fail");
    assert_eq!(shop.rows(rows), before);
    shop.lands(2, &["2,7"]);
    assert_eq!(shop.build(4), ["orders 01 02 03"]);
    let rows = "select * from (select amount from {{ ref('orders') }}) as amounts order by 1";
    assert_eq!(shop.rows(rows), "1, 1, 1, 3, 7");
    assert_eq!(shop.build(4), [""; 0]);
}

#[test]
fn a_refused_shape_is_never_seen_on_snowflake() {
    let shop = Shop::on_snowflake("refused_shape", &[("orders", &orders(""))]);
    a_refused_shape_is_never_seen(&shop);
}

#[test]
fn a_refused_shape_is_never_seen_on_the_embedded_database() {
    a_refused_shape_is_never_seen(&Shop::embedded(&[("orders", &orders(""))]));
}

/// A test that reads files has a table made for them, which must not commit what it judges.
#[test]
fn a_test_that_reads_files_commits_nothing_on_snowflake() {
    let shop = Shop::on_snowflake("refused_files", &[("orders", &orders(""))]);
    let test = "select o.id from {{ ref('orders') }} as o inner join {{ source('landing', 'orders') }} as f on f.id = o.id where o.amount < 0";
    shop.sandbox.write("tests/not_negative.sql", test);
    shop.first_days(3);
    assert_eq!(shop.build(4), ["orders 01 02 03"]);
    shop.lands(2, &["2,-2"]);
    assert_eq!(shop.build_with(4, &[], 1), [""; 0]);
    assert_eq!(shop.status("not_negative"), "fail");
    let day = "select id, amount from {{ ref('orders') }} where partition_date = cast('2026-11-02' as date) order by id";
    assert_eq!(shop.rows(day), "2 2, 102 1");
    shop.lands(2, &["2,5"]);
    assert_eq!(shop.build(4), ["orders 02"]);
    assert_eq!(shop.rows(day), "2 5");
}
