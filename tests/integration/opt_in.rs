//! A microbatch model of dbt's that opts in to the engine.

use serde_json::Value as Json;

use crate::support::sandbox::Sandbox;

const PROJECT: &str = "
-- file: dbt_project.yml
name: shop
-- file: models/events.sql
{{ config(materialized='table', event_time='happened') }}
select i as id, timestamp '2026-11-01' + interval (i * 6) hour as happened, {{ var('amount', 1) }} as amount
from range(32) as numbers(i)
-- file: models/daily.sql
{{ config(materialized='incremental', incremental_strategy='microbatch', event_time='happened',
          batch_size='day', begin='2026-11-01', lookback=1) }}
select id, happened, amount from {{ ref('events') }}
{% if is_incremental() %} where 1 = 1 {% endif %}
";

/// The days of `daily` that a run built.
fn built(sandbox: &Sandbox, args: &[&str]) -> Vec<String> {
    sandbox.run(args).expect(0);
    let results: Json =
        serde_json::from_str(&sandbox.read("target/run_results.json")).expect("run results");
    let results = results["results"].as_array().expect("results").clone();
    let daily = results
        .iter()
        .find(|result| result["unique_id"] == "model.shop.daily")
        .expect("daily is there");
    let batches = daily["batch_results"]["successful"].as_array().cloned();
    let days = batches.unwrap_or_default();
    days.iter()
        .map(|bounds| bounds[0].as_str().expect("a time")[..10].to_owned())
        .collect()
}

#[test]
fn its_batches_are_built_when_they_are_stale_and_only_then() {
    let mut sandbox =
        Sandbox::new(PROJECT).with_env("DBT_CONFORMANCE_FAKE_NOW", "2026-11-09T01:00:00");
    // As in dbt: all from `begin` to now, then the newest ones each time.
    assert_eq!(built(&sandbox, &["run"]).len(), 9);
    assert_eq!(
        built(&sandbox, &["run"]),
        ["2026-11-08", "2026-11-09"],
        "a lookback of one, and the open batch"
    );

    let model = sandbox.read("models/daily.sql");
    let model = model.replace("lookback=1", "lookback=1, rebuild='when_stale'");
    sandbox.write("models/daily.sql", &model);
    // The table is taken over; what it reads gets its first version, and the batches follow once.
    assert_eq!(built(&sandbox, &["run"]).len(), 8);
    assert_eq!(built(&sandbox, &["run"]), [] as [&str; 0]);
    let outcomes = sandbox.rows(
        "select outcome, count(*) as n from daygrain.builds as b where part > 0 group by 1 order by 1",
        &[],
    );
    assert_eq!(outcomes[0]["outcome"], "adopted");

    // Its code changes: every batch is stale.
    let changed = model.replace("amount from", "amount * 2 as amount from");
    sandbox.write("models/daily.sql", &changed);
    assert_eq!(built(&sandbox, &["run"]).len(), 8);
    // A gap is seen, and filled.
    let range = [
        "run",
        "--select",
        "daily",
        "--event-time-start",
        "2026-11-03",
        "--event-time-end",
        "2026-11-05",
    ];
    sandbox = sandbox.with_env("DBT_FULL_REFRESH", "true");
    assert_eq!(built(&sandbox, &range), ["2026-11-03", "2026-11-04"]);
    let rows = sandbox.rows(
        "select count(*) as n, sum(amount) as s from {{ ref('daily') }}",
        &[],
    );
    assert_eq!(
        (rows[0]["n"].as_i64(), rows[0]["s"].as_f64()),
        (Some(32), Some(64.0))
    );
}

#[test]
fn one_that_has_not_is_built_as_in_dbt_also_where_the_engine_follows_its_rows() {
    let sandbox = Sandbox::new(PROJECT).with_env("DBT_CONFORMANCE_FAKE_NOW", "2026-11-09T01:00:00");
    sandbox.write(
        "models/total.sql",
        "{{ config(materialized='table', rebuild='when_stale') }}\nselect count(*) as n from {{ ref('daily') }}",
    );
    assert_eq!(built(&sandbox, &["run"]).len(), 9);
    assert_eq!(built(&sandbox, &["run"]), ["2026-11-08", "2026-11-09"]);
    let rows = sandbox.rows("select n from {{ ref('total') }}", &[]);
    assert_eq!(rows[0]["n"], 32);
}
