//! Mornings on which no partition is due yet: what reads something that was never built is skipped, and
//! says so.

use crate::support::sandbox::Ran;
use crate::support::shop::{Shop, orders, totals};

/// Models of all kinds that read `orders`, directly or through others.
const READERS: [(&str, &str); 9] = [
    ("shown", "select * from {{ ref('orders') }}"),
    ("shown_again", "select * from {{ ref('shown') }}"),
    (
        "shown_when_stale",
        "{{ config(rebuild='when_stale') }} select * from {{ ref('orders') }}",
    ),
    (
        "stored",
        "{{ config(materialized='table') }} select * from {{ ref('orders') }}",
    ),
    (
        "stored_again",
        "{{ config(materialized='table', rebuild='when_stale') }} select * from {{ ref('stored_when_stale') }}",
    ),
    (
        "stored_when_stale",
        "{{ config(materialized='table', rebuild='when_stale') }} select * from {{ ref('orders') }}",
    ),
    (
        "inlined",
        "{{ config(materialized='ephemeral') }} select * from {{ ref('stored') }}",
    ),
    (
        "behind",
        "{{ config(materialized='table') }} select * from {{ ref('inlined') }}",
    ),
    ("other", "select 1 as id"),
];

const TESTS: &str = "models:
  - {name: orders, columns: [{name: id, data_tests: [unique]}]}
  - {name: totals, columns: [{name: total, data_tests: [not_null]}]}
  - {name: shown, columns: [{name: id, data_tests: [unique]}]}
  - {name: stored, columns: [{name: id, data_tests: [unique]}]}
  - {name: stored_again, columns: [{name: id, data_tests: [unique]}]}
  - {name: behind, columns: [{name: id, data_tests: [unique]}]}
  - name: other
    columns:
      - name: id
        data_tests: [unique, {relationships: {to: \"ref('orders')\", field: id}}]
  - {name: after_other, columns: [{name: id, data_tests: [not_null]}]}
";

fn with_readers(shop: Shop) -> Shop {
    shop.models(&[("orders", &orders("")), ("totals", &totals(""))]);
    shop.models(&READERS);
    // A test that cannot run yet holds nothing back that can.
    shop.models(&[("after_other", "select id from {{ ref('other') }}")]);
    shop.sandbox.write("models/tests.yml", TESTS);
    shop
}

fn told(ran: &Ran) -> Vec<&str> {
    let lines = ran.stdout.lines().filter_map(|line| line.get(10..));
    lines
        .skip_while(|line| !line.contains(" skipped, since ") && !line.starts_with("Done."))
        .filter(|line| !line.is_empty())
        .collect()
}

fn nothing_is_due(shop: &Shop) {
    let since = "skipped, since what they read is not there yet:";
    let orders = "  `orders` has no partition yet";
    let totals = "  `totals` has no partition yet";
    let built = shop.ran(1, &[], 0);
    assert_eq!(
        told(&built),
        [
            &format!("14 nodes were {since}"),
            orders,
            totals,
            "Done. PASS=4 WARN=0 ERROR=0 SKIP=14 NO-OP=2 TOTAL=20",
        ]
    );
    for name in ["shown_again", "stored_again", "behind", "unique_orders_id"] {
        assert_eq!(shop.status(name), "skipped", "{name}");
    }
    assert_eq!(shop.status("after_other"), "success");
    assert_eq!(shop.status("orders"), "no-op");
    let tested = shop
        .sandbox
        .run(&["test", "--as-of", "2026-11-01"])
        .expect(0);
    assert_eq!(
        told(&tested),
        [
            &format!("7 nodes were {since}"),
            orders,
            totals,
            "Done. PASS=2 WARN=0 ERROR=0 SKIP=7 NO-OP=0 TOTAL=9",
        ]
    );
    // Who selects a reader alone is told the same.
    let alone = shop.ran(1, &["--select", "shown"], 0);
    assert_eq!(
        told(&alone),
        [
            &format!("2 nodes were {since}"),
            orders,
            "Done. PASS=0 WARN=0 ERROR=0 SKIP=2 NO-OP=0 TOTAL=2",
        ]
    );
    let planned = shop.sandbox.run(&["plan", "--as-of", "2026-11-01"]);
    assert!(!planned.expect(0).stdout.contains("Waiting"));

    // A day that is due and not there is something else.
    let late = shop.ran(2, &[], 1);
    assert!(
        late.stdout.contains("2026-11-01 waits for"),
        "{}",
        late.stdout
    );

    // The next morning all of it is built.
    shop.lands(1, &["1,5"]);
    let built = shop.ran(2, &[], 0);
    assert_eq!(
        told(&built),
        ["Done. PASS=20 WARN=0 ERROR=0 SKIP=0 NO-OP=0 TOTAL=20"]
    );
    assert_eq!(shop.rows("select id from {{ ref('behind') }}"), "1");
}

#[test]
fn what_reads_a_model_without_partitions_is_skipped() {
    nothing_is_due(&with_readers(Shop::embedded(&[])));
}

#[test]
fn what_reads_a_model_without_partitions_is_skipped_on_postgres() {
    nothing_is_due(&with_readers(Shop::on_postgres("it_first_morning", &[])));
}

/// What the engine does not follow, and what somebody has dropped, is told in the database's words.
#[test]
fn a_table_that_should_be_there_is_asked_for() {
    let shop = with_readers(Shop::embedded(&[]));
    shop.sandbox.write(
        "tests/plain.sql",
        "select * from {{ ref('plain') }} where id is null",
    );
    shop.models(&[("plain", "{{ config(materialized='table') }} select 1 as id")]);
    let ran = shop.sandbox.run(&["test", "--select", "plain"]).expect(1);
    assert!(
        ran.stdout.contains("plain does not exist"),
        "{}",
        ran.stdout
    );
    shop.lands(1, &["1,5"]);
    shop.ran(2, &[], 0);
    shop.by_hand("drop table orders cascade");
    let args = [
        "test",
        "--as-of",
        "2026-11-02",
        "--select",
        "unique_orders_id",
    ];
    let ran = shop.sandbox.run(&args).expect(1);
    assert!(
        ran.stdout.contains("orders does not exist"),
        "{}",
        ran.stdout
    );
}
