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
    let noise = ["Running with", "Registered", "Found", "Finished", "Done.", "Concurrency"];
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
            !texts.contains(&format!("error[{code}]")) && !texts.contains(&format!("warning[{code}]"))
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
