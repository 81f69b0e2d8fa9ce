//! How a run goes on, stops and ends: hooks, `--fail-fast`, failures inside a transaction.

use crate::support::sandbox::Sandbox;

const SLOW: &str = "\
-- file: models/slow.sql
{{ config(materialized='table') }}
select count(*) as n from range(100000000) as a, range(100000) as b where a.range % 7 = b.range % 3
";

fn project(config: &str, files: &str) -> Sandbox {
    Sandbox::new(&format!(
        "# file: dbt_project.yml\nname: shop\n{config}{files}"
    ))
}

/// The results in `run_results.json`, as `name status`, sorted.
fn statuses(sandbox: &Sandbox) -> Vec<String> {
    let text = sandbox.read("target/run_results.json");
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let mut found: Vec<String> = json["results"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|result| {
            let id = result["unique_id"].as_str().expect("an id");
            let name = id.rsplit('.').next().expect("a name");
            format!("{name} {}", result["status"].as_str().expect("a status"))
        })
        .collect();
    found.sort();
    found
}

#[test]
fn the_embedded_database_is_closed_in_good_order() {
    let sandbox = project("", "-- file: models/a.sql\nselect 1 as id\n");
    sandbox.run(&["run"]).expect(0);
    let left: Vec<_> = std::fs::read_dir(sandbox.path().join(".daygrain"))
        .expect("the database's folder")
        .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
        .filter(|name| name.ends_with(".wal"))
        .collect();
    assert_eq!(
        left, [""; 0],
        "a log that the next run would have to replay"
    );
}

#[test]
fn a_hook_that_fails_at_the_start_fails_the_run_and_skips_what_it_is_told_to() {
    let files = "-- file: models/a.sql\nselect 1 as id\n-- file: models/b.sql\nselect * from {{ ref('a') }}\n";
    let hook =
        "on-run-start: ['select wrong']\non-run-end: ['create table ended as select 1 as id']\n";
    let sandbox = project(hook, files);
    sandbox.run(&["run"]).expect(1);
    assert_eq!(
        statuses(&sandbox),
        [
            "a success",
            "b success",
            "shop-on-run-end-0 success",
            "shop-on-run-start-0 error",
        ]
    );
    let told = format!("{hook}flags: {{skip_nodes_if_on_run_start_fails: true}}\n");
    let sandbox = project(&told, files);
    sandbox.run(&["run"]).expect(1);
    assert_eq!(
        statuses(&sandbox),
        [
            "a skipped",
            "b skipped",
            "shop-on-run-end-0 success",
            "shop-on-run-start-0 error",
        ]
    );
}

#[test]
fn fail_fast_stops_what_runs_skips_the_rest_and_still_ends_with_the_hooks() {
    let sandbox = project(
        "flags: {fail_fast: true}\non-run-end: ['create table ended as select 1 as id']\n",
        &format!(
            "{SLOW}-- file: models/bad.sql\nselect no_such_column\n-- file: models/after.sql\nselect * from {{{{ ref('slow') }}}}\n"
        ),
    );
    let started = std::time::Instant::now();
    let ran = sandbox.run(&["run", "--threads", "2"]).expect(1);
    assert!(started.elapsed().as_secs() < 30, "{}", ran.stdout);
    assert_eq!(
        statuses(&sandbox),
        [
            "after skipped",
            "bad error",
            "shop-on-run-end-0 success",
            "slow error",
        ]
    );
    assert_eq!(sandbox.rows("select id from ended", &[]).len(), 1);
}

#[test]
fn a_failure_inside_a_transaction_leaves_the_old_rows_and_a_session_that_works() {
    let sandbox = project(
        "",
        "\
-- file: models/a.sql
{{ config(materialized='incremental', unique_key='id', post_hook=\"{{ 'select wrong' if var('fail', false) else '' }}\") }}
select 1 as id, {{ var('n', 1) }} as n
-- file: models/b.sql
{{ config(materialized='table') }}
select {{ var('n', 1) }} as n
",
    );
    sandbox.run(&["run"]).expect(0);
    let ran = sandbox.run(&["run", "--threads", "1", "--vars", "{n: 2, fail: true}"]);
    ran.expect(1);
    assert_eq!(statuses(&sandbox), ["a error", "b success"]);
    let rows = sandbox.rows("select a.n as a, b.n as b from a, b", &[]);
    assert_eq!(rows, [serde_json::json!({"a": 1, "b": 2})]);
}

/// The loop itself waits for the hook, so the interrupt must reach the statement past it.
#[test]
fn an_interrupt_reaches_a_hook() {
    let sandbox = project(
        "on-run-start: ['create table n as select count(*) as n from range(100000000) as a, range(100000) as b where a.range % 7 = b.range % 3']\n",
        "-- file: models/a.sql\nselect 1 as id\n",
    );
    sandbox.interrupt(&["run"]).expect(1);
    assert_eq!(
        statuses(&sandbox),
        ["a skipped", "shop-on-run-start-0 error"]
    );
}

#[test]
fn a_manifest_is_written_where_nothing_is_compiled() {
    for command in ["compile", "build"] {
        let sandbox = Sandbox::new(
            "# file: dbt_project.yml\nname: shop\n# file: models/a.sql\nselect 1 as id\n",
        );
        sandbox.run(&[command, "--select", "tag:none"]).expect(0);
        let manifest = sandbox.read("target/manifest.json");
        assert!(manifest.contains("model.shop.a"), "{command}");
    }
}

/// A generic test calls its macro straight away where nobody has overridden `ref`; else its text is
/// rendered. Either way it says the same.
#[test]
fn tests_say_the_same_whether_their_text_is_rendered_or_not() {
    let files = "\
-- file: dbt_project.yml
name: shop
-- file: models/orders.sql
select 1 as id, 'new' as status
-- file: models/_orders.yml
models:
  - name: orders
    columns:
      - name: id
        tests:
          - not_null: {where: \"status = 'new'\"}
          - unique
          - odd: {least: \"{{ var('least', 2) }}\"}
      - name: status
        tests:
          - accepted_values: {values: [new, \"it's\"]}
          - relationships: {to: ref('orders'), field: status}
-- file: tests/generic/odd.sql
{% test odd(model, column_name, least=1) %}
  {{ config(severity='warn') }}
  select * from {{ model }} where {{ column_name }} < {{ least }}
{% endtest %}
";
    let overridden = format!(
        "{files}-- file: macros/ref.sql\n{{% macro ref(name) %}}{{{{ return(builtins.ref(name)) }}}}{{% endmacro %}}\n"
    );
    let said = |files: &str| {
        let sandbox = Sandbox::new(files);
        sandbox.run(&["compile"]).expect(0);
        let text = sandbox.read("target/manifest.json");
        let manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
        let nodes = manifest["nodes"].as_object().unwrap();
        let tests = nodes.iter().filter(|(id, _)| id.starts_with("test."));
        tests
            .map(|(id, test)| {
                (
                    id.clone(),
                    test["compiled_code"].as_str().unwrap().to_owned(),
                )
            })
            .collect::<Vec<_>>()
    };
    let quick = said(files);
    assert_eq!(quick.len(), 5);
    assert_eq!(quick, said(&overridden));
}
