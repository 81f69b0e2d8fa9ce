//! The orders warehouse: built on the embedded database, on Postgres and on Snowflake, and equal on all.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::support::sandbox::Sandbox;
use crate::support::snowflake_place;

/// The morning after the last day of the files.
const AS_OF: &str = "2026-11-15";

/// Every relation of the warehouse that is built, by the name that `ref` takes.
pub fn relations(sandbox: &Sandbox) -> Vec<String> {
    relations_of(sandbox, "*")
}

/// The same, of a selection.
pub fn relations_of(sandbox: &Sandbox, select: &str) -> Vec<String> {
    let args = [
        "ls",
        "--quiet",
        "--resource-type",
        "model",
        "--output",
        "json",
        "--select",
        select,
    ];
    let listed = sandbox.run(&args).expect(0).stdout;
    let mut names: Vec<String> = listed
        .lines()
        .map(|line| serde_json::from_str::<Json>(line).expect("a JSON line"))
        .filter(|node| node["config"]["materialized"] != "ephemeral")
        .map(|node| node["name"].as_str().expect("a name").to_owned())
        .collect();
    names.sort();
    names
}

/// Every table's rows as text, in an order of their own.
pub fn contents(sandbox: &Sandbox, names: &[String]) -> BTreeMap<String, Vec<String>> {
    names
        .iter()
        .map(|name| {
            let rows = sandbox.rows(&format!("select * from {{{{ ref('{name}') }}}}"), &[]);
            let mut rows: Vec<String> = rows.iter().map(Json::to_string).collect();
            rows.sort();
            (name.clone(), rows)
        })
        .collect()
}

#[test]
fn all_databases_hold_the_same_rows() {
    let duckdb = Sandbox::warehouse();
    let postgres = Sandbox::empty_postgres_warehouse("it_warehouse");
    let snowflake = Sandbox::snowflake_warehouse(snowflake_place("warehouse"));
    let names = relations(&duckdb);
    assert!(
        names.len() > 15,
        "the warehouse has more relations than {names:?}"
    );
    for sandbox in [&duckdb, &postgres, &snowflake] {
        let ran = sandbox.run(&["build", "--as-of", AS_OF]).expect(0);
        assert!(ran.stdout.contains("ERROR=0"), "{}", ran.stdout);
    }
    let rows = contents(&duckdb, &names);
    for (sandbox, database) in [(&postgres, "Postgres"), (&snowflake, "Snowflake")] {
        let others = contents(sandbox, &names);
        for name in &names {
            assert!(!rows[name].is_empty(), "`{name}` is empty");
            assert_eq!(rows[name], others[name], "`{name}` differs on {database}");
        }
    }
    // A second build has nothing to do.
    for sandbox in [&duckdb, &postgres, &snowflake] {
        let ran = sandbox.run(&["build", "--as-of", AS_OF]).expect(0);
        assert!(ran.stdout.contains("PASS=0"), "{}", ran.stdout);
        assert_eq!(contents(sandbox, &names), rows);
    }
    // A build from nothing over what is there gives the same rows.
    for sandbox in [&duckdb, &postgres, &snowflake] {
        let args = ["build", "--full-refresh", "--as-of", AS_OF];
        sandbox.run(&args).expect(0);
        assert_eq!(contents(sandbox, &names), rows);
    }
}
