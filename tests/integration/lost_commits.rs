//! Publishes whose connection is lost while they are committed: what became of them is looked up, and
//! the run goes on.

use serde_json::json;

use crate::support::lossy::{Loss, proxy};
use crate::support::shop::{Shop, orders, totals};

/// Builds once with the loss, and says what was built as if there had been none.
fn goes_on(shop: &Shop) {
    shop.first_days(3);
    assert_eq!(shop.build(4), ["orders 01 02 03", "totals 01 02 03"]);
    let sums = "select total from {{ ref('totals') }} order by partition_date";
    assert_eq!(shop.rows(sums), "2, 3, 4");
    let rows = "select count(*) as n from {{ ref('orders') }}";
    assert_eq!(shop.rows(rows), "6");
    let builds = format!(
        "select outcome, count(*) as n from {}.builds where outcome <> 'seen' group by outcome",
        shop.ledger
    );
    assert_eq!(shop.rows(&builds), "published 6");
    assert_eq!(shop.build(4), [""; 0]);
}

fn models() -> [(&'static str, String); 2] {
    [("orders", orders("")), ("totals", totals(""))]
}

fn on_postgres(schema: &str, loss: Loss) {
    let models = models();
    let models = models.each_ref().map(|(name, sql)| (*name, sql.as_str()));
    let shop = Shop::on_postgres(schema, &models);
    let port = crate::support::postgres_fields(schema)["port"].as_u64();
    let port = u16::try_from(port.expect("a number")).expect("a port");
    shop.set_field("port", json!(proxy(port, loss)));
    goes_on(&shop);
}

#[test]
fn a_commit_that_is_done_is_found_in_the_ledger_on_postgres() {
    on_postgres("it_lost_reply", Loss::Reply);
}

#[test]
fn a_commit_that_is_lost_is_done_again_on_postgres() {
    on_postgres("it_lost_request", Loss::Request);
}

fn on_snowflake(name: &str, loss: &str) {
    let models = models();
    let models = models.each_ref().map(|(name, sql)| (*name, sql.as_str()));
    let shop = Shop::on_snowflake(name, &models);
    let faults = json!([{"on": "commit", "after": "select beat from", "do": loss}]).to_string();
    shop.set_field("session_parameters", json!({"daygrain_faults": faults}));
    goes_on(&shop);
    let sent = crate::support::snowflake_log(&shop.database());
    let asked = sent.iter().filter_map(|entry| entry["sql"].as_str());
    let asked = asked
        .filter(|sql| sql.contains("count(*) as found"))
        .count();
    assert_eq!(asked, 1, "the ledger is asked once");
}

#[test]
fn a_commit_that_is_done_is_found_in_the_ledger_on_snowflake() {
    on_snowflake("lost_reply", "lose-session");
}

#[test]
fn a_commit_that_is_lost_is_done_again_on_snowflake() {
    on_snowflake("lost_request", "expire");
}
