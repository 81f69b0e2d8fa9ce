//! dbt's microbatch models, on both databases: which batches are built, from which rows, and what is
//! told of them.

use serde_json::{Value as Json, json};

use crate::support::sandbox::{Ran, Sandbox};
use crate::support::{postgres_fields, postgres_session};

const INPUT: &str = "\
-- file: models/input.sql
{{ config(materialized='table', event_time='seen') }}
select 1 as id, cast('2024-01-01 00:00:00' as timestamp) as seen
union all select 2, cast('2024-01-02 12:00:00' as timestamp)
union all select 3, cast('2024-01-03 23:59:59' as timestamp)
{{ var('more', '') }}
";

/// A microbatch model of the input, whose key only Postgres needs.
fn model(name: &str, configs: &str, sql: &str) -> String {
    format!(
        "-- file: models/{name}.sql
{{{{ config(materialized='incremental', incremental_strategy='microbatch', event_time='seen', batch_size='day',
    begin='2024-01-01', unique_key=('id' if target.type == 'postgres' else none){configs}) }}}}
{sql}
"
    )
}

fn embedded(files: &str) -> Sandbox {
    Sandbox::new(&format!("# file: dbt_project.yml\nname: shop\n{files}"))
}

fn on_postgres(schema: &str, files: &str) -> Sandbox {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async { drop(postgres_session(schema).await) });
    let profile = json!({"shop": {"target": "dev", "outputs": {"dev": postgres_fields(schema)}}});
    Sandbox::new(&format!(
        "# file: profiles.yml\n{profile}\n# file: dbt_project.yml\nname: shop\nprofile: shop\n{files}"
    ))
}

fn both(schema: &str, files: &str) -> [Sandbox; 2] {
    [embedded(files), on_postgres(schema, files)]
}

fn run_at(sandbox: &Sandbox, now: &str, args: &[&str]) -> Ran {
    let mut command = sandbox.command(args);
    let output = command
        .env("DBT_CONFORMANCE_FAKE_NOW", now)
        .output()
        .unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The ids in a model, sorted.
fn ids(sandbox: &Sandbox, name: &str) -> Vec<i64> {
    let sql = format!("select id from {{{{ ref('{name}') }}}} order by id");
    let rows = sandbox.rows(&sql, &[]);
    rows.iter().map(|row| row["id"].as_i64().unwrap()).collect()
}

/// A model's entry in `run_results.json`.
fn result(sandbox: &Sandbox, name: &str) -> Json {
    let json: Json = serde_json::from_str(&sandbox.read("target/run_results.json")).unwrap();
    let results = json["results"].as_array().unwrap().clone();
    let id = format!("model.shop.{name}");
    results
        .into_iter()
        .find(|result| result["unique_id"] == id.as_str())
        .unwrap()
}

/// The lines that hold a text, without their times, dots, schemas and the server's own words.
fn lines(ran: &Ran, part: &str) -> String {
    let found = ran.stdout.lines().filter(|line| line.contains(part));
    let short = found.map(|line| {
        let line = line.split_once("  ").map_or(line, |(_, line)| line);
        let (words, end) = line.split_once(" .").unwrap_or((line, ""));
        let end = end.trim_matches('.').trim();
        let end = end
            .rsplit_once(" in ")
            .map_or(end.to_owned(), |(end, _)| format!("{end}]"));
        let end = match end.strip_suffix(" 1]") {
            Some(_) => "[OK]".to_owned(),
            None => end,
        };
        let words = words
            .split_once(" of ")
            .map_or(words.to_owned(), |(start, rest)| {
                let named = rest
                    .rsplit_once('.')
                    .map_or(rest.to_owned(), |(head, name)| {
                        let head = head.rsplit_once(' ').map_or(head, |(head, _)| head);
                        format!("{head} {name}")
                    });
                format!("{start} of {named}")
            });
        format!("{words} {end}").trim_end().to_owned()
    });
    short.collect::<Vec<_>>().join("\n")
}

/// The warning that comes before the project is counted.
fn warning(ran: &Ran) -> &str {
    let text = &ran.stdout[ran.stdout.find("warning[").expect("a warning")..];
    let end = text.find("  Found").expect("the project's parts");
    text[..end - "00:00:00".len()].trim_end()
}

#[test]
fn a_first_run_starts_at_begin_and_later_ones_look_back() {
    let files = INPUT.to_owned() + &model("m", "", "select * from {{ ref('input') }}");
    for sandbox in both("micro_lookback", &files) {
        let ran = run_at(&sandbox, "2024-01-03T13:57:00Z", &["run"]).expect(0);
        insta::allow_duplicates! {
            insta::assert_snapshot!(lines(&ran, "Batch"), @r"
        Batch 1 of 3 START batch 2024-01-01 of m [RUN]
        Batch 1 of 3 OK created batch 2024-01-01 of m [OK]
        Batch 2 of 3 START batch 2024-01-02 of m [RUN]
        Batch 2 of 3 OK created batch 2024-01-02 of m [OK]
        Batch 3 of 3 START batch 2024-01-03 of m [RUN]
        Batch 3 of 3 OK created batch 2024-01-03 of m [OK]
        ");
        }
        let built = result(&sandbox, "m");
        assert_eq!(built["status"], "success");
        assert_eq!(
            built["batch_results"],
            json!({"failed": [], "successful": [
                ["2024-01-01T00:00:00+00:00", "2024-01-02T00:00:00+00:00"],
                ["2024-01-02T00:00:00+00:00", "2024-01-03T00:00:00+00:00"],
                ["2024-01-03T00:00:00+00:00", "2024-01-04T00:00:00+00:00"],
            ]})
        );
        assert_eq!(result(&sandbox, "input")["batch_results"], json!(null));
        assert_eq!(ids(&sandbox, "m"), [1, 2, 3]);
        // Rows of the first day are beyond the lookback; those of the fourth are not yet due.
        let more = "union all select 4, cast('2024-01-01' as timestamp) union all select 5, cast('2024-01-02' as timestamp) union all select 6, cast('2024-01-04' as timestamp)";
        let vars = json!({"more": more}).to_string();
        let args = ["run", "-s", "input", "--vars", &vars];
        run_at(&sandbox, "2024-01-03", &args).expect(0);
        run_at(&sandbox, "2024-01-03T13:57:00Z", &["run", "-s", "m"]).expect(0);
        assert_eq!(ids(&sandbox, "m"), [1, 2, 3, 5]);
        run_at(&sandbox, "2024-01-04T13:57:00Z", &["run", "-s", "m"]).expect(0);
        assert_eq!(ids(&sandbox, "m"), [1, 2, 3, 5, 6]);
        let range = [
            "--event-time-start",
            "2024-01-01",
            "--event-time-end",
            "2024-01-02",
        ];
        let args = [&["run", "-s", "m"][..], &range].concat();
        run_at(&sandbox, "2024-01-04T13:57:00Z", &args).expect(0);
        assert_eq!(ids(&sandbox, "m"), [1, 2, 3, 4, 5, 6]);
        let args = [&["run", "-s", "m", "--full-refresh"][..], &range].concat();
        run_at(&sandbox, "2024-01-04T13:57:00Z", &args).expect(0);
        assert_eq!(ids(&sandbox, "m"), [1, 4]);
    }
}

#[test]
fn inputs_are_bounded_where_they_have_an_event_time() {
    let sql = "\
select id, seen from {{ ref('input') }}
where id in (select id from {{ ref('eph') }})
  and id in (select id from {{ source('raw', 'input') }})
  and id in (select id from {{ ref('input').render() }})
  and id in (select id from {{ ref('plain') }})";
    let files = INPUT.to_owned()
        + &model("m", "", sql)
        + "\
-- file: models/eph.sql
{{ config(materialized='ephemeral', event_time='seen') }}
select * from {{ ref('input') }}
-- file: models/plain.sql
select id from {{ ref('input') }}
# file: models/sources.yml
sources:
  - name: raw
    schema: \"{{ target.schema }}\"
    tables:
      - name: input
        config: {event_time: seen}
        columns: [{name: seen, quote: true}]
";
    let mut compiled = Vec::new();
    for sandbox in both("micro_inputs", &files) {
        run_at(&sandbox, "2024-01-02T01:00:00Z", &["run"]).expect(0);
        assert_eq!(ids(&sandbox, "m"), [1, 2]);
        let sql = sandbox.read("target/compiled/shop/models/m/m_2024-01-01.sql");
        compiled.push(sql.trim().to_owned());
        assert!(
            sandbox
                .path()
                .join("target/run/shop/models/m/m_2024-01-02.sql")
                .exists()
        );
        // Without a batch nothing is bounded.
        run_at(&sandbox, "2024-01-02", &["compile"]).expect(0);
        let sql = sandbox.read("target/compiled/shop/models/m.sql");
        assert!(!sql.contains(">="), "{sql}");
    }
    insta::assert_snapshot!(compiled.join("\n\n"), @r#"
        with __dbt__cte__eph as (

        select * from "warehouse"."main"."input"
        )

        select id, seen from (select * from "warehouse"."main"."input" where seen >= '2024-01-01 00:00:00+00:00' and seen < '2024-01-02 00:00:00+00:00')
        where id in (select id from (select * from __dbt__cte__eph where seen >= '2024-01-01 00:00:00+00:00' and seen < '2024-01-02 00:00:00+00:00'))
          and id in (select id from (select * from "warehouse"."main"."input" where "seen" >= '2024-01-01 00:00:00+00:00' and "seen" < '2024-01-02 00:00:00+00:00'))
          and id in (select id from "warehouse"."main"."input")
          and id in (select id from "warehouse"."main"."plain")

        with __dbt__cte__eph as (

        select * from "postgres"."micro_inputs"."input"
        )

        select id, seen from (select * from "postgres"."micro_inputs"."input" where seen >= '2024-01-01 00:00:00+00:00' and seen < '2024-01-02 00:00:00+00:00') _dbt_et_filter_subq_input
        where id in (select id from (select * from __dbt__cte__eph where seen >= '2024-01-01 00:00:00+00:00' and seen < '2024-01-02 00:00:00+00:00') _dbt_et_filter_subq___dbt__cte__eph)
          and id in (select id from (select * from "postgres"."micro_inputs"."input" where "seen" >= '2024-01-01 00:00:00+00:00' and "seen" < '2024-01-02 00:00:00+00:00') _dbt_et_filter_subq_input)
          and id in (select id from "postgres"."micro_inputs"."input")
          and id in (select id from "postgres"."micro_inputs"."plain")
        "#);
}

const FAILING: &str = "\
select * from {{ ref('input') }}
{% if model.batch and model.batch.id in var('fail', '') %} where nonsense {% endif %}";

#[test]
fn a_batch_that_fails_stops_no_other_but_the_first() {
    let hooks = ", pre_hook='{{ log(\"before \" ~ model.batch.id, info=true) }}', post_hook='{{ log(\"after \" ~ model.batch.id, info=true) }}'";
    let files = INPUT.to_owned()
        + &model("m", hooks, FAILING)
        + "-- file: models/reader.sql\nselect * from {{ ref('m') }}\n";
    for sandbox in both("micro_failing", &files) {
        let now = "2024-01-03T13:57:00Z";
        let ran = run_at(&sandbox, now, &["run", "--vars", "{fail: '20240101'}"]).expect(1);
        insta::allow_duplicates! {
            insta::assert_snapshot!(lines(&ran, "Batch"), @r"
        Batch 1 of 3 START batch 2024-01-01 of m [RUN]
        Batch 1 of 3 ERROR creating batch 2024-01-01 of m [ERROR]
        Batch 2 of 3 SKIP batch 2024-01-02 of m [SKIPPED]
        Batch 3 of 3 SKIP batch 2024-01-03 of m [SKIPPED]
        ");
        }
        let failed = result(&sandbox, "m");
        assert_eq!(
            (&failed["status"], &failed["message"]),
            (&json!("error"), &json!("ERROR"))
        );
        assert_eq!(
            failed["batch_results"]["failed"].as_array().unwrap().len(),
            3
        );

        let ran = run_at(&sandbox, now, &["run", "--vars", "{fail: '20240102'}"]).expect(1);
        insta::allow_duplicates! {
            insta::assert_snapshot!(lines(&ran, "partial success"), @"Completed with 1 partial success and 0 warnings");
            insta::assert_snapshot!(lines(&ran, "PARTIAL"), @"2 of 3 PARTIALLY created sql microbatch model m [PARTIAL SUCCESS (2/3)]");
            insta::assert_snapshot!(lines(&ran, "in the batch"), @"  = note: in the batch 2024-01-02");
            insta::assert_snapshot!(format!("{}\n{}", lines(&ran, "  before"), lines(&ran, "  after")), @r"
        before 20240101
        after 20240103
        ");
        }
        let failed = result(&sandbox, "m");
        assert_eq!(failed["status"], "partial success");
        assert_eq!(
            failed["batch_results"]["failed"],
            json!([["2024-01-02T00:00:00+00:00", "2024-01-03T00:00:00+00:00"]])
        );
        assert_eq!(result(&sandbox, "reader")["status"], "skipped");
        assert_eq!(result(&sandbox, "reader")["batch_results"], json!(null));
        assert_eq!(ids(&sandbox, "m"), [1, 3]);
    }
}

#[test]
fn templates_see_their_batch() {
    let sql = "\
{% if execute %}
{{ log(model.batch.id ~ ': ' ~ model.batch.event_time_start ~ ' ' ~ model.batch.event_time_end.tzinfo
   ~ ' ' ~ model.config.__dbt_internal_microbatch_event_time_start.year
   ~ ' ' ~ config.get('__dbt_internal_microbatch_event_time_end') ~ ' ' ~ is_incremental(), info=true) }}
{% endif %}
select * from {{ ref('input') }}";
    let sandbox = embedded(&(INPUT.to_owned() + &model("m", "", sql).replace("'day'", "'month'")));
    let ran = run_at(&sandbox, "2024-02-03T13:57:00Z", &["run"]).expect(0);
    insta::assert_snapshot!(lines(&ran, "UTC"), @r"
        202401: 2024-01-01 00:00:00+00:00 UTC 2024 2024-02-01 00:00:00+00:00 False
        202402: 2024-02-01 00:00:00+00:00 UTC 2024 2024-03-01 00:00:00+00:00 True
        ");
}

#[test]
fn batches_run_side_by_side_where_the_database_lets_them() {
    let docs = ", persist_docs={'relation': true}, concurrent_batches=true";
    let files = INPUT.to_owned()
        + &model("m", docs, "select * from {{ ref('input') }}").replace("'day'", "'hour'");
    let [embedded, postgres] = both("micro_beside", &files);
    let args = ["run", "--threads", "4"];
    let ran = run_at(&embedded, "2024-01-03T13:57:00Z", &args).expect(0);
    assert!(!ran.stdout.contains("warning"), "{}", ran.stdout);
    assert_eq!(ids(&embedded, "m"), [1, 2]);
    let log = embedded.read("logs/dbt.log");
    assert!(
        log.contains("[Thread-1."),
        "no batch had a thread of its own"
    );
    let ran = run_at(&postgres, "2024-01-01T13:57:00Z", &args).expect(0);
    insta::assert_snapshot!(warning(&ran), @r"
        warning[sequential-batches]: `concurrent_batches` is true, but postgres takes batches one after another
         --> models/m.sql:1:61
          |
        1 | {{ config(materialized='incremental', incremental_strategy='microbatch', event_time='seen', batch_size='hour',
          |                                                             ^^^^^^^^^^
        ");
    assert_eq!(ids(&postgres, "m"), [1]);
}

#[test]
fn each_database_says_what_it_needs() {
    let keyed = model("m", "", "select * from {{ ref('input') }}");
    let wrong = keyed.replace("== 'postgres'", "!= 'postgres'");
    let files = INPUT.to_owned() + &wrong;
    let told = ["does not support 'unique_key'", "requires a `unique_key`"];
    for (sandbox, told) in both("micro_key", &files).into_iter().zip(told) {
        let ran = run_at(&sandbox, "2024-01-03T13:57:00Z", &["run"]).expect(1);
        assert!(ran.stdout.contains(told), "{}", ran.stdout);
    }
}

#[test]
fn wrong_configs_are_all_named() {
    let sandbox = embedded(
        "\
-- file: models/wrong.sql
{{ config(materialized='incremental', incremental_strategy='microbatch', event_time=2, batch_size='days', begin='2024-01-01 11 PM', lookback='one') }}
select 1 as id
-- file: models/missing.sql
{{ config(materialized='incremental', incremental_strategy='microbatch') }}
select 1 as id
-- file: models/alone.sql
{{ config(materialized='incremental', incremental_strategy='microbatch', event_time='seen', batch_size='day', begin='2024-01-01') }}
select * from {{ ref('odd') }}
-- file: models/odd.sql
{{ config(event_time=1) }}
select 1 as id
",
    );
    let ran = sandbox.run(&["parse"]).expect(2);
    let errors = ran.stdout.lines().filter(|line| {
        line.starts_with("error[") || line.starts_with("  = help") || line.starts_with(" --> ")
    });
    insta::assert_snapshot!(errors.collect::<Vec<_>>().join("\n"), @r"
        error[bad-config]: the microbatch model `alone` reads `model.shop.odd`, whose `event_time` must be text, found `1`
         --> models/alone.sql:1:61
          = help: name a column of that input
        error[bad-config]: the microbatch model `missing` must provide an 'event_time' config
         --> models/missing.sql:1:61
          = help: name the column that says when a row happened: `event_time='created_at'`
        error[bad-config]: the microbatch model `missing` must provide a 'begin' config
         --> models/missing.sql:1:61
          = help: say where its first batch starts: `begin='2026-11-01'`
        error[bad-config]: the microbatch model `missing` must provide a 'batch_size' config
         --> models/missing.sql:1:61
          = help: it is one of `hour`, `day`, `month`, `year`
        error[bad-config]: the microbatch model `wrong` must provide an 'event_time' config of type text, found `2`
         --> models/wrong.sql:1:61
          = help: name a column of the model
        error[bad-config]: the microbatch model `wrong` must provide a 'begin' config that is a date or a time, found `2024-01-01 11 PM`
         --> models/wrong.sql:1:61
          = help: write it in ISO form: `2026-11-01` or `2026-11-01T06:00:00`
        error[bad-config]: the microbatch model `wrong` must provide a 'batch_size' config that is one of `hour`, `day`, `month`, `year`, found `days`
         --> models/wrong.sql:1:61
          = help: did you mean `day`?
        error[bad-config]: the microbatch model `wrong` must provide a 'lookback' config that is a whole number, found `one`
         --> models/wrong.sql:1:61
          = help: write how many batches before the newest are built again: `lookback=1`
        ");
}

#[test]
fn inputs_without_an_event_time_are_warned_of() {
    let files = model(
        "m",
        "",
        "select 1 as id, cast('2024-01-01' as timestamp)  as seen",
    );
    let ran = embedded(&files).run(&["parse"]).expect(0);
    insta::assert_snapshot!(warning(&ran), @r"
        warning[no-event-time]: the microbatch model `m` reads nothing that has an `event_time`, so each batch reads all rows
         --> models/m.sql:1:61
          |
        1 | {{ config(materialized='incremental', incremental_strategy='microbatch', event_time='seen', batch_size='day',
          |                                                             ^^^^^^^^^^
          |
          = help: give a model or source that it reads the config `event_time`
        ");
}

#[test]
fn a_range_has_two_ends_in_order() {
    let sandbox = embedded(INPUT);
    let mut told = Vec::new();
    for args in [
        &["--event-time-start", "2024-01-01"][..],
        &["--event-time-end", "2024-01-01"],
        &[
            "--event-time-start",
            "2024-01-02",
            "--event-time-end",
            "2024-01-02",
        ],
        &[
            "--event-time-start",
            "yesterday",
            "--event-time-end",
            "2024-01-02 00:00:00",
        ],
    ] {
        let ran = sandbox.run(&[&["build"][..], args].concat()).expect(2);
        told.push(ran.stdout[ran.stdout.find("error[").unwrap()..].to_owned());
    }
    insta::assert_snapshot!(told.join("\n"), @r"
        error[usage]: `--event-time-start` was specified, but `--event-time-end` was not
         |
         = help: give both or neither

        error[usage]: `--event-time-end` was specified, but `--event-time-start` was not
         |
         = help: give both or neither

        error[usage]: value for `--event-time-start` must be less than `--event-time-end`

        error[usage]: `--event-time-start` must be a date or a time, found `yesterday`
         |
         = help: write it as `2026-11-01` or `2026-11-01T06:00:00`; it is UTC's
        ");
    let sandbox = sandbox.with_env("DBT_EVENT_TIME_END", "2024-01-01");
    let ran = sandbox.run(&["run"]).expect(2);
    assert!(ran.stdout.contains("`--event-time-start` was not"));
}

#[test]
fn a_projects_own_strategy_has_batches_if_a_flag_says_so() {
    let own = "\
-- file: macros/own.sql
{% macro get_incremental_microbatch_sql(arg_dict) %}
  {% do log('own strategy', info=true) %}
  insert into {{ arg_dict.target_relation }} select * from {{ arg_dict.temp_relation }}
{% endmacro %}
";
    let files = INPUT.to_owned() + &model("m", "", "select * from {{ ref('input') }}") + own;
    let flag = "flags: {require_batched_execution_for_custom_microbatch_strategy: true}\n";
    for (flag, batches) in [("", false), (flag, true)] {
        let sandbox = embedded(&format!("{flag}{files}"));
        let now = "2024-01-02T13:57:00Z";
        let first = run_at(&sandbox, now, &["run"]).expect(0);
        assert_eq!(
            first.stdout.contains("START batch"),
            batches,
            "{}",
            first.stdout
        );
        if !batches {
            insta::assert_snapshot!(warning(&first), @r"
        warning[unbatched-strategy]: this project's own `get_incremental_microbatch_sql` runs without batches
         --> models/m.sql:1:61
          |
        1 | {{ config(materialized='incremental', incremental_strategy='microbatch', event_time='seen', batch_size='day',
          |                                                             ^^^^^^^^^^
          |
          = help: set `flags: {require_batched_execution_for_custom_microbatch_strategy: true}` in dbt_project.yml
        ");
        }
        let ran = run_at(&sandbox, now, &["run", "-s", "m"]).expect(0);
        assert!(ran.stdout.contains("own strategy"), "{}", ran.stdout);
    }
}

#[test]
fn an_interrupt_reaches_batches_side_by_side() {
    let slow = "\
select {% if model.batch and model.batch.id != '20240101' %}
    (select count(*) from range(100000000) as a, range(100000) as b where a.range % 7 = b.range % 3)
    {% else %} 1 {% endif %} as id, seen
from {{ ref('input') }}";
    let hook = "on-run-end: [\"{{ log('built ' ~ results[-1].batch_results.successful | length, info=true) }}\"]\n";
    let sandbox = embedded(&format!("{hook}{INPUT}{}", model("m", "", slow)));
    let range = [
        "--event-time-start",
        "2024-01-01",
        "--event-time-end",
        "2024-01-08",
    ];
    let args = [&["run", "--threads", "3"][..], &range].concat();
    let ran = sandbox.interrupt(&args).expect(1);
    assert!(
        ran.stdout.contains("PARTIAL SUCCESS (1/7)"),
        "{}",
        ran.stdout
    );
    let failed = &result(&sandbox, "m")["batch_results"]["failed"];
    assert_eq!(failed.as_array().unwrap().len(), 6);
    let fine = embedded(&format!(
        "{hook}{INPUT}{}",
        model("m", "", "select * from {{ ref('input') }}")
    ));
    let ran = run_at(&fine, "2024-01-02T01:00:00Z", &["run"]).expect(0);
    assert!(ran.stdout.contains("built 2"), "{}", ran.stdout);
}
