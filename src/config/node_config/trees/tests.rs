//! Which layers a node gets, and which paths nothing uses.

use std::path::Path;

use serde_json::json;

use super::*;
use crate::config::project;

fn no_jinja(text: &str, _: Span) -> Result<serde_json::Value, Box<Diagnostic>> {
    Ok(format!("<{text}>").into())
}

fn project(text: &str) -> ProjectFile {
    let file = SourceFile::inline("dbt_project.yml", text);
    let (project, diagnostics) = project::read_file(Path::new("/shop"), file, &no_jinja);
    assert_eq!(diagnostics.len(), 0, "{diagnostics:?}");
    project.expect("a usable file")
}

fn trees(texts: &[&str]) -> ConfigTrees {
    let projects: Vec<ProjectFile> = texts.iter().map(|text| project(text)).collect();
    let (trees, diagnostics) = ConfigTrees::new(&projects, &no_jinja);
    assert_eq!(diagnostics.len(), 0, "{diagnostics:?}");
    trees
}

fn fqn(text: &str) -> Vec<String> {
    text.split('.').map(str::to_owned).collect()
}

const SHOP: &str = "
name: shop
models:
  +tags: all
  materialized: view
  shop:
    +schema: '{{ x }}'
    staging:
      materialized: table
      +pre-hook: '{{ y }}'
      stg_orders:
        +enabled: false
  utils:
    +tags: over
data_tests:
  +severity: warn
";

#[test]
fn a_node_gets_the_layers_along_its_fqn() {
    let trees = trees(&[SHOP]);
    let base = |name: &str| json!(trees.base("shop", "model", &fqn(name)).set).to_string();
    assert_eq!(
        base("shop.staging.stg_orders"),
        r#"{"tags":["all"],"materialized":"table","schema":"<{{ x }}>","pre-hook":["{{ y }}"],"enabled":false}"#
    );
    assert_eq!(
        base("shop.orders"),
        r#"{"tags":["all"],"materialized":"view","schema":"<{{ x }}>"}"#
    );
    assert_eq!(
        trees.base("shop", "test", &fqn("shop.x")).text("severity"),
        Some("warn")
    );
    assert!(trees.base("shop", "seed", &fqn("shop.x")).set.is_empty());
    let layers = trees.layers_for("shop", "model", &fqn("shop.staging.x"));
    assert_eq!((layers.own.len(), layers.root.len()), (3, 0));
}

#[test]
fn the_root_project_goes_over_its_packages() {
    let utils = "name: utils\nmodels:\n  +materialized: ephemeral\n  utils: {+tags: own}\n";
    let trees = trees(&[SHOP, utils]);
    let node = fqn("utils.calendar");
    let layers = trees.layers_for("utils", "model", &node);
    let mut config = NodeConfig::default();
    for layer in layers.own.iter().chain(&layers.root) {
        config.merge(layer);
    }
    assert_eq!(
        json!(config.set).to_string(),
        r#"{"materialized":"view","tags":["own","all","over"]}"#
    );
}

#[test]
fn paths_that_apply_to_nothing_are_named() {
    let trees = trees(&["
name: shop
models:
  shop:
    stagin:
      +schema: x
    marts:
      +schema: y
      meta:
        owner: me
    docs: {}
  other:
    +enabled: false
seeds:
  +quote_columns: true
"]);
    let fqns = [fqn("shop.staging.a"), fqn("shop.marts.b")];
    let nodes = fqns.iter().map(|fqn| ("model", fqn.as_slice()));
    let warnings: Vec<String> = trees
        .unused(nodes)
        .iter()
        .map(|warning| warning.render(false))
        .collect();
    insta::assert_snapshot!(warnings.join("\n\n"));
}

#[test]
fn wrong_values_are_found_at_their_place() {
    let project = project("name: shop\nmodels:\n  +enabled: maybe\n  shop:\n    +tags: {a: 1}\n");
    let (_, errors) = ConfigTrees::new([&project], &no_jinja);
    let errors: Vec<String> = errors.iter().map(|error| error.render(false)).collect();
    insta::assert_snapshot!(errors.join("\n\n"));
}
