//! `merge` on the embedded database: what is misunderstood is refused, and a documented column that
//! does not exist is warned about.

use crate::support::sandbox::Sandbox;

const PROJECT: &str = "\
# file: dbt_project.yml
name: shop
# file: models/schema.yml
models:
  - name: m
    config: {persist_docs: {columns: true}}
    columns:
      - {name: ID, description: The key.}
      - {name: gone, description: Not there.}
-- file: models/m.sql
";

#[test]
fn wrong_merge_configs_are_all_named() {
    let sandbox = Sandbox::new(&format!(
        "{PROJECT}{{{{ config(materialized='incremental', incremental_strategy='merge', unique_key='id',
            merge_update_condition=1, merge_exclude_columns='id',
            merge_clauses={{'when_matched': [1], 'when_lost': []}}) }}}}
select 1 as id, 2 as n
"
    ));
    sandbox.run(&["run"]).expect(0);
    let said = sandbox.run(&["run"]).expect(1).stdout;
    for part in [
        "`merge_update_condition` must be text, found `1`",
        "`merge_exclude_columns` must be a list, found text",
        "each item of `when_matched` must be a mapping, found `1`",
        "found `when_lost`",
    ] {
        assert!(said.contains(part), "{part} is missing in:\n{said}");
    }
}

#[test]
fn a_documented_column_that_is_missing_is_warned_about() {
    let sandbox = Sandbox::new(&format!(
        "{PROJECT}{{{{ config(materialized='table') }}}}\nselect 1 as id\n"
    ));
    let said = sandbox.run(&["run"]).expect(0).stdout;
    let warned = "specified in the schema but are not present in the database: gone";
    assert!(said.contains(warned), "{said}");
    let sql = "select comment from duckdb_columns() where column_name = 'id' and table_name = 'm'";
    assert_eq!(sandbox.rows(sql, &[])[0]["comment"], "The key.");
}
