//! Wrong input: each code of a diagnostic as a user meets it, from the binary.

use daygrain::diagnostic::Code;

use crate::support::sandbox::{Ran, Sandbox};

/// A project without faults, to which a test adds some.
const PROJECT: &str = "\
# file: dbt_project.yml
name: shop
models:
  shop:
    +materialized: view
";

fn project(files: &str) -> Sandbox {
    Sandbox::new(&format!("{PROJECT}{files}"))
}

/// The diagnostics in an output, without what changes from run to run.
fn diagnostics(ran: &Ran) -> String {
    let noise = [
        "Running with",
        "Registered",
        "Found",
        "Finished",
        "Done.",
        "Concurrency",
    ];
    let lines: Vec<&str> = ran
        .stdout
        .lines()
        .map(|line| match line.split_once("  ") {
            // The time of day before each line.
            Some((time, rest)) if time.len() == 8 && time.matches(':').count() == 2 => rest,
            _ => line,
        })
        .filter(|line| !noise.iter().any(|noise| line.starts_with(noise)))
        .filter(|line| !line.contains("embedded database"))
        .collect();
    lines.join("\n").trim().to_owned()
}

#[track_caller]
fn parse_fails(files: &str) -> String {
    diagnostics(&project(files).run(&["parse"]).expect(2))
}

#[test]
fn parse_reports_everything_at_once() {
    let text = parse_fails(
        "\
-- file: models/a.sql
select * from {{ ref('bb') }}
-- file: models/b.sql
select * from {{ source('raw', 'order') }}
-- file: models/c.sql
{{ no_such_macro() }}
-- file: models/d.sql
select {{ 1 +
-- file: models/schema.yml
models:
  - name: a
    columns:
      - name: id
        data_tests: [uniqe]
sources:
  - name: raw
    tables: [{name: orders}]
",
    );
    insta::assert_snapshot!(text);
}

#[test]
fn broken_yaml() {
    insta::assert_snapshot!(parse_fails(
        "-- file: models/schema.yml\nmodels:\n  - name: a\n   description: x\n"
    ));
}

#[test]
fn a_cycle_shows_its_path() {
    insta::assert_snapshot!(parse_fails(
        "\
-- file: models/a.sql
select * from {{ ref('c') }}
-- file: models/b.sql
select * from {{ ref('a') }}
-- file: models/c.sql
select * from {{ ref('b') }}
"
    ));
}

#[test]
fn two_models_of_one_name() {
    insta::assert_snapshot!(parse_fails(
        "-- file: models/x/a.sql\nselect 1\n-- file: models/y/a.sql\nselect 2\n"
    ));
}

#[test]
fn wrong_arguments_of_a_macro() {
    insta::assert_snapshot!(parse_fails(
        "\
-- file: macros/cents.sql
{% macro cents(column, digits=2) %}({{ column }} / 100){% endmacro %}
-- file: models/a.sql
select {{ cents('x', precision=2) }}
"
    ));
}

#[test]
fn a_variable_that_is_not_set() {
    insta::assert_snapshot!(parse_fails(
        "-- file: models/a.sql\nselect '{{ env_var('NO_SUCH_VARIABLE') }}', '{{ var('nothing') }}'\n"
    ));
}

#[test]
fn a_profile_that_is_missing() {
    let sandbox = Sandbox::new("# file: dbt_project.yml\nname: shop\nprofile: shop\n");
    let folder = sandbox.path().display().to_string();
    let text = diagnostics(&sandbox.run(&["parse"]).expect(2));
    insta::assert_snapshot!(text.replace(&folder, "<folder>"));
}

#[test]
fn no_project() {
    let sandbox = Sandbox::empty();
    let folder = sandbox.path().display().to_string();
    let text = diagnostics(&sandbox.run(&["parse"]).expect(2));
    insta::assert_snapshot!(text.replace(&folder, "<folder>"));
}

#[test]
fn a_database_error_points_at_the_template() {
    let sandbox = project(
        "\
-- file: models/a.sql
{{ config(materialized='table') }}

select
    1 as id,
    no_such_column
from (select 1 as x) as t
-- file: models/b.sql
select * from {{ ref('a') }}
",
    );
    insta::assert_snapshot!(without_times(&sandbox.run(&["run"]).expect(1)));
}

#[test]
fn ragged_rows_of_a_seed() {
    let sandbox = project("# file: seeds/s.csv\na,b\n1,2\n3\n4,5,6\n");
    insta::assert_snapshot!(without_times(&sandbox.run(&["seed"]).expect(1)));
}

/// As [`diagnostics`], with durations taken out.
fn without_times(ran: &Ran) -> String {
    let text = diagnostics(ran);
    let mut out = String::new();
    for line in text.lines() {
        let line = match (line.find(" in "), line.rfind("s]")) {
            (Some(at), Some(end)) if at < end => format!("{} in <time>s]", &line[..at]),
            _ => line.to_owned(),
        };
        out.push_str(&line);
        out.push('\n');
    }
    out
}

/// Every code has a snapshot somewhere in the repository.
#[test]
fn every_code_has_a_snapshot() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut texts = String::new();
    for folder in ["src", "tests/integration"] {
        gather(&root.join(folder), &mut texts);
    }
    let missing: Vec<&str> = Code::ALL
        .iter()
        .map(|code| code.as_str())
        .filter(|code| {
            !texts.contains(&format!("error[{code}]"))
                && !texts.contains(&format!("warning[{code}]"))
        })
        .collect();
    assert!(missing.is_empty(), "no snapshot shows {missing:?}");
}

fn gather(folder: &std::path::Path, texts: &mut String) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            gather(&path, texts);
        } else if path.extension().is_some_and(|e| e == "snap" || e == "rs") {
            texts.push_str(&std::fs::read_to_string(&path).expect("text"));
        }
    }
}

#[test]
fn a_variable_that_nobody_defines() {
    let sandbox = project("-- file: models/a.sql\nselect '{{ var('nothing') }}' as x\n");
    // As in dbt, a variable is looked up when the model is compiled.
    insta::assert_snapshot!(without_times(&sandbox.run(&["compile"]).expect(1)));
}

#[test]
fn a_documentation_block_that_does_not_exist() {
    insta::assert_snapshot!(parse_fails(
        "\
-- file: models/a.sql
select 1 as id
-- file: models/schema.yml
models:
  - name: a
    description: \"{{ doc('order_stats') }}\"
-- file: models/docs.md
{% docs order_status %}What became of an order.{% enddocs %}
"
    ));
}

#[test]
fn a_server_that_does_not_answer() {
    let sandbox = Sandbox::new(
        "\
# file: dbt_project.yml
name: shop
profile: shop
# file: profiles.yml
shop:
  target: dev
  outputs:
    dev: {type: postgres, host: 127.0.0.1, port: 1, user: me, password: secret, dbname: shop, schema: shop}
# file: models/a.sql
select 1 as id
",
    );
    let ran = sandbox.run(&["run"]).expect(2);
    assert!(!ran.stdout.contains("secret"));
    insta::assert_snapshot!(diagnostics(&ran));
}

#[test]
fn a_database_file_that_somebody_holds() {
    let sandbox = project("-- file: models/a.sql\nselect 1 as id\n");
    std::fs::create_dir(sandbox.path().join(".daygrain")).expect("a folder");
    let held = duckdb::Connection::open(sandbox.path().join(".daygrain/warehouse.duckdb"));
    let held = held.expect("a new database");
    let ran = sandbox.run(&["run"]).expect(2);
    drop(held);
    let folder = sandbox.path().display().to_string();
    let holder = std::process::id().to_string();
    let text = diagnostics(&ran)
        .replace(&folder, "<folder>")
        .replace(&holder, "<pid>");
    let lines: Vec<String> = text
        .lines()
        .map(|line| match (line.find("held in "), line.find(" (PID")) {
            (Some(from), Some(to)) if from < to => {
                format!("{}<binary>{}", &line[..from + 8], &line[to..])
            }
            _ => line.to_owned(),
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
}

/// A statement that runs for minutes is stopped at once, and nothing is left of it.
#[test]
fn an_interrupt_stops_the_run() {
    let sandbox = project(
        "\
-- file: models/slow.sql
{{ config(materialized='table') }}
select count(*) as n from range(100000000) as a, range(100000) as b where a.range % 7 = b.range % 3
-- file: models/after.sql
select * from {{ ref('slow') }}
",
    );
    let ran = sandbox.interrupt(&["run"]).expect(1);
    insta::assert_snapshot!(without_times(&ran));
    let left = sandbox.rows("select table_name from information_schema.tables", &[]);
    assert!(left.is_empty(), "{left:?}");
}

/// The database is opened while the project is parsed: what is wrong with the project is told all the
/// same, no new file is left, and one that is there stays as it was.
#[test]
fn a_broken_project_leaves_the_database_alone() {
    let broken = project("-- file: models/a.sql\nselect {{ nothing( }}\n");
    broken.run(&["build"]).expect(2);
    assert!(!broken.path().join(".daygrain/warehouse.duckdb").exists());

    let mended = project("-- file: models/a.sql\nselect 1 as id\n");
    mended.run(&["build"]).expect(0);
    let file = mended.path().join(".daygrain/warehouse.duckdb");
    let before = std::fs::read(&file).expect("a database");
    mended.write("models/a.sql", "select {{ nothing( }}\n");
    let ran = mended.run(&["build"]).expect(2);
    assert!(diagnostics(&ran).contains("models/a.sql"), "{}", ran.stderr);
    assert!(std::fs::read(&file).expect("a database") == before);
}
