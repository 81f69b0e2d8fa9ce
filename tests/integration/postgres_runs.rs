//! Runs on Postgres: what holds of the binary, the session and the server together.

use std::process::Stdio;
use std::time::{Duration, Instant};

use daygrain::table::Datum;
use serde_json::json;

use crate::support::drop_postgres_schemas;
use crate::support::live::{aside, by_hand, project, project_in, rows, statuses};

#[test]
fn a_view_whose_columns_move_is_replaced() {
    let sandbox = project("runs_view", "-- file: models/v.sql\nselect 1 as a\n");
    sandbox.run(&["run"]).expect(0);
    by_hand("create view runs_view.by_hand as select a from runs_view.v");
    sandbox.write("models/v.sql", "select 'x' as b, 2 as a");
    sandbox.run(&["run"]).expect(0);
    assert_eq!(rows("select * from runs_view.v"), "x|2");
    assert_eq!(rows("select * from runs_view.by_hand"), "2");
}

#[test]
fn long_names_of_two_bytes_a_letter_are_not_cut_into_one() {
    let name = "é".repeat(31);
    let config = format!("{{{{ config(materialized='table', alias='{name}') }}}}\n");
    let sandbox = project(
        "runs_long",
        &format!("-- file: models/t.sql\n{config}select 1 as a\n"),
    );
    sandbox.run(&["run"]).expect(0);
    sandbox.write("models/t.sql", &format!("{config}select 'x' as b"));
    sandbox.run(&["run"]).expect(0);
    assert_eq!(
        rows(
            "select relname from pg_class c join pg_namespace n on n.oid = relnamespace where nspname = 'runs_long'"
        ),
        name
    );
    sandbox.write("models/t.sql", &config.replace('é', "éé"));
    let ran = sandbox.run(&["run"]).expect(1);
    assert!(
        ran.stdout.contains("is longer than 63 characters"),
        "{}",
        ran.stdout
    );
}

/// Ends the session that runs a statement with this text; returns once it has been there.
fn terminate(text: &str) {
    let sql = format!(
        "select count(pg_terminate_backend(pid)) from pg_stat_activity
         where query like '%{text}%' and state = 'active' and pid <> pg_backend_pid()"
    );
    let started = Instant::now();
    aside(async |session| {
        loop {
            let (_, table) = session.fetch(&sql).await.unwrap();
            if table.rows[0][0] != Datum::Int(0) {
                return;
            }
            assert!(
                started.elapsed() < Duration::from_secs(30),
                "`{text}` never ran"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
}

#[test]
fn a_lost_connection_is_made_good_or_fails_its_node_alone() {
    let sandbox = project(
        "runs_lost",
        "\
-- file: models/safe.sql
{{ config(materialized='table') }}
select 1 as a, pg_sleep(3) is null as safe_marker
-- file: models/unsafe.sql
{{ config(materialized='table', pre_hook={'sql': 'insert into runs_lost.log values (1)', 'transaction': false}) }}
select 1 as a, pg_sleep(3) is null as unsafe_marker
-- file: models/after_safe.sql
select * from {{ ref('safe') }}
-- file: models/after_unsafe.sql
select * from {{ ref('unsafe') }}
-- file: models/other.sql
select 1 as a
",
    );
    by_hand("create schema runs_lost; create table runs_lost.log (a int)");
    let child = sandbox
        .command(&["run"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    terminate("as safe_marker");
    terminate("as unsafe_marker");
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert_eq!(
        statuses(&sandbox),
        [
            "after_safe success",
            "after_unsafe skipped",
            "other success",
            "safe success",
            "unsafe error"
        ]
    );
    assert!(
        told.contains("terminating connection due to administrator command"),
        "{told}"
    );
    assert!(told.contains("57P01"), "{told}");
    assert!(told.contains("models/unsafe.sql"), "{told}");
    assert_eq!(rows("select count(*) from runs_lost.log"), "1");
    assert!(
        sandbox
            .read("logs/dbt.log")
            .contains("`safe` is done again (1 of 4)")
    );
}

/// Two models whose statements wait for each other.
#[test]
fn a_deadlock_is_tried_again() {
    let model = |first: &str, second: &str| {
        format!(
            "{{{{ config(materialized='table', pre_hook=['update runs_dead.{first} set a = 1', 'select pg_sleep(1)', 'update runs_dead.{second} set a = 1']) }}}}\nselect 1 as a\n"
        )
    };
    let files = format!(
        "-- file: models/m1.sql\n{}-- file: models/m2.sql\n{}",
        model("x", "y"),
        model("y", "x")
    );
    let sandbox = project("runs_dead", &files);
    by_hand(
        "create schema runs_dead; create table runs_dead.x as select 0 as a; create table runs_dead.y as select 0 as a",
    );
    sandbox.run(&["run"]).expect(0);
    let log = sandbox.read("logs/dbt.log");
    assert!(
        log.contains("is done again (1 of 4), since nothing of it has lasted: deadlock detected"),
        "{log}"
    );
    assert_eq!(
        rows("select a from runs_dead.m1 union all select a from runs_dead.m2"),
        "1\n1"
    );
}

/// Sessions that wait are ended by servers and poolers; what begins next does not mind.
#[test]
fn a_session_that_was_ended_while_it_waited_is_opened_again() {
    let kill = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'runs_idle' and pid <> pg_backend_pid()";
    drop_postgres_schemas(&["runs_idle"]);
    let sandbox = project_in(
        "runs_idle",
        json!({"application_name": "runs_idle"}),
        &format!(
            "-- file: models/a.sql\n{{{{ config(post_hook={{'sql': \"{kill}\", 'transaction': false}}) }}}}\nselect 1 as a\n"
        ),
    );
    let project = sandbox.read("dbt_project.yml");
    let hook = "on-run-end: ['create table runs_idle.ended as select 1 as a']\n";
    sandbox.write("dbt_project.yml", &format!("{project}{hook}"));
    sandbox.run(&["run"]).expect(0);
    assert_eq!(rows("select a from runs_idle.ended"), "1");
}

#[test]
fn an_interrupt_cancels_what_the_server_is_doing() {
    let sandbox = project(
        "runs_interrupt",
        "\
-- file: models/slow.sql
{{ config(materialized='table') }}
select pg_sleep(60) is null as interrupt_marker
-- file: models/other.sql
{{ config(materialized='table') }}
select pg_sleep(61) is null as interrupt_marker
-- file: models/after.sql
select * from {{ ref('slow') }}
",
    );
    let ran = sandbox.interrupt(&["run"]);
    assert_eq!(ran.code, 1, "{}", ran.stdout);
    assert_eq!(
        statuses(&sandbox),
        ["after skipped", "other error", "slow error"],
    );
    let running = "select count(*) from pg_stat_activity where query like '%interrupt_marker%' and pid <> pg_backend_pid()";
    assert_eq!(rows(running), "0");
    assert_eq!(
        rows("select count(*) from pg_class where relnamespace = 'runs_interrupt'::regnamespace"),
        "0"
    );
}

/// A conflict that each attempt meets again is told in the end, once.
#[test]
fn a_conflict_that_stays_fails_the_node() {
    let raise = "do $$ begin raise exception 'no luck' using errcode = '40001', detail = 'as always', hint = 'wait'; end $$";
    let sandbox = project(
        "runs_conflict",
        &format!("-- file: models/a.sql\n{{{{ config(pre_hook=\"{raise}\") }}}}\nselect 1 as a\n"),
    );
    let told = sandbox.run(&["run"]).expect(1).stdout;
    let (_, rest) = told.split_once("in model a (models/a.sql)\n").unwrap();
    let (_, rest) = rest.split_once("in model a (models/a.sql)\n").unwrap();
    let lines = rest
        .lines()
        .take_while(|line| !line.contains("compiled code") && !line.contains("  Done."));
    let error: Vec<&str> = lines.filter(|line| line.starts_with(' ')).collect();
    insta::assert_snapshot!(error.join("\n"));
    let log = sandbox.read("logs/dbt.log");
    assert!(log.contains("`a` is done again (4 of 4)"), "{log}");
}

#[test]
fn notices_are_logged_in_the_servers_words() {
    let sandbox = project(
        "runs_notice",
        "-- file: models/a.sql\n{{ config(pre_hook=\"do $$ begin raise warning 'mind the gap' using hint = 'step over', detail = 'one foot'; end $$\") }}\nselect 1 as a\n",
    );
    let ran = sandbox.run(&["run"]).expect(0);
    assert!(!ran.stdout.contains("mind the gap"), "{}", ran.stdout);
    let log = sandbox.read("logs/dbt.log");
    assert!(log.contains("WARNING: mind the gap"), "{log}");
    assert!(
        log.contains("detail: one foot") && log.contains("hint: step over"),
        "{log}"
    );
}

#[test]
fn an_error_keeps_what_the_server_says_and_the_line_of_the_template() {
    let sandbox = project(
        "runs_error",
        "-- file: models/a.sql\n{{ config(materialized='table') }}\n{% set x = 1 %}\nselect\n  nope\nfrom (select {{ x }} as hope) as t\n",
    );
    let ran = sandbox.run(&["run"]).expect(1);
    for part in [
        "column \"nope\" does not exist",
        "models/a.sql:4",
        "42703",
        "hope",
    ] {
        assert!(
            ran.stdout.contains(part),
            "`{part}` is not in\n{}",
            ran.stdout
        );
    }
}

#[test]
fn longer_texts_widen_the_column_of_an_incremental_model_unless_a_view_reads_it() {
    let model = |length: usize, text: &str| {
        format!(
            "-- file: models/i.sql\n{{{{ config(materialized='incremental') }}}}\nselect cast('{text}' as varchar({length})) as a, 1 as b\n"
        )
    };
    let sandbox = project("runs_wide", &model(3, "abc"));
    sandbox.run(&["run"]).expect(0);
    let write = |length: usize, text: &str| {
        let file = model(length, text);
        sandbox.write("models/i.sql", file.split_once('\n').unwrap().1);
    };
    write(10, "abcdef");
    sandbox.run(&["run"]).expect(0);
    let kind = "select format_type(atttypid, atttypmod) from pg_attribute where attrelid = 'runs_wide.i'::regclass and attname = 'a'";
    assert_eq!(rows(kind), "character varying(10)");
    by_hand("create view runs_wide.v as select a from runs_wide.i");
    write(20, "short");
    sandbox.run(&["run"]).expect(0);
    assert_eq!(
        rows("select string_agg(a, ' ' order by a) from runs_wide.v"),
        "abc abcdef short"
    );
    write(20, "longer than ten");
    let told = sandbox.run(&["run"]).expect(1).stdout;
    assert!(
        told.contains("value too long for type character varying(10)"),
        "{told}"
    );
}

#[test]
fn arrays_and_documents_are_text_in_a_template() {
    let sandbox = project(
        "runs_array",
        "-- file: macros/m.sql\n{% macro look() %}{{ log(run_query(\"select array[1, 2] as a, '{\\\"b\\\": [null, 1.5]}'::jsonb as b\").rows[0].values(), info=true) }}{% endmacro %}\n",
    );
    let told = sandbox.run(&["run-operation", "look"]).expect(0).stdout;
    assert!(
        told.contains(r#"('[1, 2]', '{"b": [null, 1.5]}')"#),
        "{told}"
    );
}
