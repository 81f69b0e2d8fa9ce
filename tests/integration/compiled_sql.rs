//! The warehouse's compiled SQL: one full snapshot, then the difference a dialect; all of it parses.

use std::collections::BTreeMap;
use std::path::Path;

use daygrain::dialect::{self, Dialect};
use daygrain::sql;

use crate::support::sandbox::Sandbox;
use crate::support::snowflake_fields;

/// The compiled models, by file.
fn compiled(sandbox: &Sandbox) -> BTreeMap<String, String> {
    let args = "compile --quiet --as-of 2026-11-15 --exclude resource_type:test";
    let args: Vec<&str> = args.split(' ').collect();
    sandbox.run(&args).expect(0);
    let root = sandbox
        .path()
        .join("target/daygrain/compiled/orders_warehouse/models");
    let mut files = BTreeMap::new();
    gather(&root, &root, &mut files);
    assert!(files.len() > 15, "too little was compiled: {files:?}");
    files
}

fn gather(root: &Path, folder: &Path, files: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            gather(root, &path, files);
        } else if path.extension().is_some_and(|extension| extension == "sql") {
            let name = path
                .strip_prefix(root)
                .expect("below")
                .display()
                .to_string();
            files.insert(name, std::fs::read_to_string(&path).expect("text"));
        }
    }
}

fn assert_parses(dialect: &Dialect, files: &BTreeMap<String, String>) {
    for (name, text) in files {
        if let Err(error) = sql::parse(dialect, text) {
            panic!(
                "{name} does not parse as {}: {error:?}\n{text}",
                dialect.name
            );
        }
    }
}

fn all_in_one(files: &BTreeMap<String, String>) -> String {
    let texts: Vec<String> = files
        .iter()
        .map(|(name, text)| format!("-- {name}\n{}", text.trim()))
        .collect();
    texts.join("\n\n")
}

/// The lines that differ, each file under its name.
fn difference(from: &BTreeMap<String, String>, to: &BTreeMap<String, String>) -> String {
    let mut text = String::new();
    for (name, new) in to {
        let changes = similar::TextDiff::from_lines(from[name].trim(), new.trim())
            .unified_diff()
            .context_radius(0)
            .to_string();
        if !changes.is_empty() {
            text.push_str(&format!("-- {name}\n{changes}\n"));
        }
    }
    text
}

#[test]
fn the_warehouse_compiles_for_every_dialect() {
    let embedded = compiled(&Sandbox::warehouse());
    assert_parses(&dialect::DUCKDB, &embedded);
    insta::assert_snapshot!("embedded", all_in_one(&embedded));
    // Nothing is built in either schema, so that the incremental models compile to their first run.
    let postgres = Sandbox::postgres_warehouse("warehouse");
    let mut fields = snowflake_fields("analytics");
    fields.insert("schema".to_owned(), "warehouse".into());
    let snowflake = Sandbox::snowflake_warehouse(fields);
    let others = [
        (&dialect::POSTGRES, postgres),
        (&dialect::SNOWFLAKE, snowflake),
    ];
    for (dialect, sandbox) in others {
        let files = compiled(&sandbox);
        assert_parses(dialect, &files);
        insta::assert_snapshot!(dialect.name, difference(&embedded, &files));
    }
}
