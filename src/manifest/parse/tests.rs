//! What becomes of good projects; [`complaints`] has the faulty ones.

mod complaints;

use super::*;
use crate::manifest::fixture::{Fixture, render};

fn node(manifest: &Manifest, id: &str) -> Arc<Node> {
    let node = manifest.nodes.get(&UniqueId::from(id));
    Arc::clone(node.unwrap_or_else(|| panic!("no `{id}` in {:#?}", manifest.nodes.keys())))
}

fn ids(manifest: &Manifest) -> Vec<&str> {
    manifest.nodes.keys().map(UniqueId::as_str).collect()
}

#[test]
fn a_model_has_names_paths_and_configs_as_in_dbt() {
    let manifest = Fixture::new(
        "
/// file: dbt_project.yml
name: shop
models:
  +tags: all
  shop:
    staging:
      +materialized: table
      +schema: stage
/// file: models/staging/stg_orders.sql
{{ config(tags=['own'], alias='orders_clean') }}
select * from {{ source('raw', 'orders') }}
/// file: models/marts/orders.sql
select * from {{ ref('stg_orders') }} join {{ ref('shop', 'countries') }} using (country)
/// file: models/schema.yml
models:
  - name: stg_orders
    description: \"{{ doc('orders') }} ({{ 1 + 1 }})\"
    meta: {owner: ann}
    config:
      tags: [patched]
    columns:
      - name: id
        description: the key
        tags: key
/// file: models/raw.yml
sources:
  - name: raw
    schema: landing
    tables:
      - name: orders
/// file: models/text.md
{% docs orders %}
Every order, once.
{% enddocs %}
/// file: seeds/countries.csv
/// file: analyses/deep/look.sql
select 1
",
    )
    .manifest();
    assert_eq!(
        ids(&manifest),
        [
            "analysis.shop.look",
            "model.shop.orders",
            "model.shop.stg_orders",
            "seed.shop.countries"
        ]
    );
    let stg = node(&manifest, "model.shop.stg_orders");
    assert_eq!(stg.path, "staging/stg_orders.sql");
    assert_eq!(stg.original_path, "models/staging/stg_orders.sql");
    assert_eq!(stg.fqn, ["shop", "staging", "stg_orders"]);
    assert_eq!(stg.alias, "orders_clean");
    assert_eq!(
        stg.relation.render(&crate::dialect::DUCKDB),
        r#""dev"."main_stage"."orders_clean""#
    );
    assert_eq!(stg.materialization(), "table");
    assert_eq!(stg.tags, ["all", "patched", "own"]);
    assert_eq!(stg.meta["owner"], "ann");
    assert_eq!(stg.description, "Every order, once. (2)");
    assert_eq!(stg.columns["id"].description, "the key");
    assert_eq!(stg.patch_path.as_deref(), Some("shop://models/schema.yml"));
    assert_eq!(stg.depends_on, ["source.shop.raw.orders".into()]);
    let orders = node(&manifest, "model.shop.orders");
    assert_eq!(
        orders.depends_on,
        ["model.shop.stg_orders".into(), "seed.shop.countries".into()]
    );
    assert_eq!(
        node(&manifest, "analysis.shop.look").fqn,
        ["shop", "analysis", "deep", "look"]
    );
}

#[test]
fn generic_tests_are_nodes_as_in_dbt() {
    let manifest = Fixture::new(
        "
/// file: models/marts/schema.yml
models:
  - name: orders
    tests:
      - unique:
          column_name: id || day
          severity: warn
    columns:
      - name: id
        tags: [key]
        data_tests:
          - not_null
          - unique: {name: orders_are_unique, config: {tags: b, where: \"day > '{{ var('start', '2020') }}'\"}}
      - name: status
        quote: true
        data_tests:
          - accepted_values:
              arguments:
                values: [placed, shipped, completed, return_pending, returned, 12, 1.5, null]
          - relationships:
              to: ref('statuses')
              field: code
          - odd: {limit: 3, extra: \"{{ ref('statuses') }}\"}
sources:
  - name: raw
    tags: [raw]
    tables:
      - name: orders
        columns:
          - name: id
            tests: [not_null]
/// file: models/marts/orders.sql
select * from {{ source('raw', 'orders') }}
/// file: models/statuses.sql
select 1 as code
/// file: macros/odd.sql
{% test odd(model, column_name, extra) %}{{ config(severity='warn', fail_calc='max(n)') }}select {{ column_name }} from {{ model }}, {{ extra }}{% endtest %}
",
    )
    .manifest();
    let mut shown = String::new();
    for node in manifest
        .nodes
        .values()
        .filter(|node| node.resource_type == ResourceType::Test)
    {
        let test = node.test.as_ref().expect("a test");
        let generic = test.generic.as_ref().expect("generic");
        shown.push_str(&format!(
            "{}\n  path {} fqn {}\n  alias {} column {:?} key {:?} attached {:?}\n  {}\n  {}\n  config {} tags {:?}\n  reads {:?}\n  macros {:?}\n",
            node.unique_id,
            node.path,
            node.fqn.join("."),
            node.alias,
            test.column,
            test.file_key,
            test.attached_to,
            node.file.text,
            serde_json::to_string(&generic.arguments).expect("text"),
            serde_json::to_string(&node.config.set).expect("text"),
            node.tags,
            node.depends_on,
            node.depends_on_macros,
        ));
    }
    insta::assert_snapshot!(shown, @r#"
    test.shop.accepted_values_orders__status___placed__shipped__completed__return_pending__returned__12__1_5__None.552383d5ef
      path accepted_values_orders_f913e182a9b871c9e2a301b0fe335c72.sql fqn shop.marts.accepted_values_orders__status___placed__shipped__completed__return_pending__returned__12__1_5__None
      alias accepted_values_orders_f913e182a9b871c9e2a301b0fe335c72 column Some("\"status\"") key Some("models.orders") attached Some(model.shop.orders)
      {{ test_accepted_values(**_dbt_generic_test_kwargs) }}{{ config(alias="accepted_values_orders_f913e182a9b871c9e2a301b0fe335c72") }}
      {"column_name":"\"status\"","values":["placed","shipped","completed","return_pending","returned",12,1.5,null],"model":"{{ get_where_subquery(ref('orders')) }}"}
      config {"alias":"accepted_values_orders_f913e182a9b871c9e2a301b0fe335c72"} tags []
      reads [model.shop.orders]
      macros [macro.dbt.test_accepted_values, macro.dbt.get_where_subquery]
    test.shop.not_null_orders_id.84ef11d8fe
      path not_null_orders_id.sql fqn shop.marts.not_null_orders_id
      alias not_null_orders_id column Some("id") key Some("models.orders") attached Some(model.shop.orders)
      {{ test_not_null(**_dbt_generic_test_kwargs) }}
      {"column_name":"id","model":"{{ get_where_subquery(ref('orders')) }}"}
      config {} tags ["key"]
      reads [model.shop.orders]
      macros [macro.dbt.test_not_null]
    test.shop.odd_orders__status____ref_statuses_.b98f938a3f
      path odd_orders__status____ref_statuses_.sql fqn shop.marts.odd_orders__status____ref_statuses_
      alias odd_orders__status____ref_statuses_ column Some("\"status\"") key Some("models.orders") attached Some(model.shop.orders)
      {{ test_odd(**_dbt_generic_test_kwargs) }}{{ config(limit=3) }}
      {"extra":"{{ ref('statuses') }}","column_name":"\"status\"","model":"{{ get_where_subquery(ref('orders')) }}"}
      config {"limit":3,"severity":"warn","fail_calc":"max(n)"} tags []
      reads [model.shop.statuses, model.shop.orders]
      macros [macro.shop.test_odd, macro.dbt.get_where_subquery]
    test.shop.orders_are_unique.9efd98edc5
      path orders_are_unique.sql fqn shop.marts.orders_are_unique
      alias orders_are_unique column Some("id") key Some("models.orders") attached Some(model.shop.orders)
      {{ test_unique(**_dbt_generic_test_kwargs) }}{{ config(tags="b",where="day > '2020'") }}
      {"column_name":"id","model":"{{ get_where_subquery(ref('orders')) }}"}
      config {"tags":["b"],"where":"day > '2020'"} tags ["b", "key"]
      reads [model.shop.orders]
      macros [macro.dbt.test_unique]
    test.shop.relationships_orders__status___code__ref_statuses_.ebe8ebd6b9
      path relationships_orders__status___code__ref_statuses_.sql fqn shop.marts.relationships_orders__status___code__ref_statuses_
      alias relationships_orders__status___code__ref_statuses_ column Some("\"status\"") key Some("models.orders") attached Some(model.shop.orders)
      {{ test_relationships(**_dbt_generic_test_kwargs) }}
      {"to":"ref('statuses')","field":"code","column_name":"\"status\"","model":"{{ get_where_subquery(ref('orders')) }}"}
      config {} tags []
      reads [model.shop.statuses, model.shop.orders]
      macros [macro.dbt.test_relationships, macro.dbt.get_where_subquery]
    test.shop.source_not_null_raw_orders_id.f232a64478
      path source_not_null_raw_orders_id.sql fqn shop.marts.source_not_null_raw_orders_id
      alias source_not_null_raw_orders_id column Some("id") key Some("sources.raw") attached None
      {{ test_not_null(**_dbt_generic_test_kwargs) }}
      {"column_name":"id","model":"{{ get_where_subquery(source('raw', 'orders')) }}"}
      config {} tags ["raw"]
      reads [source.shop.raw.orders]
      macros [macro.dbt.test_not_null]
    test.shop.unique_orders_id_day.4f7d539439
      path unique_orders_id_day.sql fqn shop.marts.unique_orders_id_day
      alias unique_orders_id_day column None key Some("models.orders") attached Some(model.shop.orders)
      {{ test_unique(**_dbt_generic_test_kwargs) }}{{ config(severity="warn") }}
      {"column_name":"id || day","model":"{{ get_where_subquery(ref('orders')) }}"}
      config {"severity":"warn"} tags []
      reads [model.shop.orders]
      macros [macro.dbt.test_unique]
    "#);
}

#[test]
fn singular_tests_hooks_and_their_tags() {
    let manifest = Fixture::new(
        "
/// file: dbt_project.yml
name: shop
data_tests:
  +severity: warn
on-run-start: \"create schema if not exists {{ target.schema }}_x\"
on-run-end:
  - \"{{ log_it() }}\"
  - select 1
/// file: macros/log.sql
{% macro log_it() %}{{ helper() }}{% endmacro %}
{% macro helper() %}select 1{% endmacro %}
/// file: models/a.sql
{{ config(pre_hook=\"insert into x select * from {{ ref('b') }}\") }} select 1
/// file: models/b.sql
select 1
/// file: tests/deep/no_rows.sql
{{ config(tags='slow') }} select * from {{ ref('a') }}
/// file: tests/deep/tests.yml
data_tests:
  - name: no_rows
    description: none
",
    )
    .manifest();
    assert_eq!(
        ids(&manifest),
        [
            "model.shop.a",
            "model.shop.b",
            "operation.shop.shop-on-run-end-0",
            "operation.shop.shop-on-run-end-1",
            "operation.shop.shop-on-run-start-0",
            "test.shop.no_rows",
        ]
    );
    let test = node(&manifest, "test.shop.no_rows");
    assert_eq!(test.fqn, ["shop", "deep", "no_rows"]);
    assert_eq!(test.config.text("severity"), Some("warn"));
    assert_eq!(test.description, "none");
    assert_eq!(test.depends_on, ["model.shop.a".into()]);
    assert_eq!(
        &*test.relation.schema.clone().expect("a schema"),
        "main_dbt_test__audit"
    );
    assert_eq!(
        node(&manifest, "model.shop.a").depends_on,
        ["model.shop.b".into()]
    );
    let hook = node(&manifest, "operation.shop.shop-on-run-end-0");
    assert_eq!(hook.depends_on_macros, ["macro.shop.log_it".into()]);
    assert_eq!(
        (hook.index, &hook.tags[..]),
        (Some(0), &["on-run-end".to_owned()][..])
    );
    assert_eq!(
        manifest.macros[&UniqueId::from("macro.shop.log_it")].depends_on,
        ["macro.shop.helper".into()]
    );
}

#[test]
fn sources_merge_what_source_and_table_say() {
    let manifest = Fixture::new(
        "
/// file: models/sources.yml
sources:
  - name: raw
    database: lake
    schema: landing
    description: all
    loader: boat
    meta: {a: 1, b: 1}
    tags: [one]
    loaded_at_field: at
    freshness: {warn_after: {count: 1, period: day}, error_after: {count: 2, period: day}}
    quoting: {identifier: false}
    config: {meta: {b: 2}}
    tables:
      - name: orders
        identifier: orders_v2
        tags: [two]
        meta: {c: 3}
        freshness: {warn_after: {count: 6}}
        columns: [{name: id, data_type: int}]
      - name: statuses
        freshness: null
        loaded_at_field: null
        config: {enabled: false}
",
    )
    .manifest();
    assert_eq!(manifest.disabled_sources.len(), 1);
    let off = &manifest.disabled_sources[0];
    assert_eq!(off.freshness, Some(Json::Null));
    let source = &manifest.sources[&UniqueId::from("source.shop.raw.orders")];
    assert_eq!(
        source.relation.render(&crate::dialect::DUCKDB),
        r#""lake"."landing".orders_v2"#
    );
    assert_eq!(source.tags, ["one", "two"]);
    assert_eq!(
        Json::Object(source.meta.clone()).to_string(),
        r#"{"a":1,"b":2,"c":3}"#
    );
    assert_eq!(
        Json::Object(source.source_meta.clone()).to_string(),
        r#"{"a":1,"b":2}"#
    );
    let freshness = source.freshness.clone().expect("said").to_string();
    assert_eq!(
        freshness,
        r#"{"warn_after":{"count":6,"period":"day"},"error_after":{"count":2,"period":"day"}}"#
    );
    assert_eq!(source.loaded_at_field.as_deref(), Some("at"));
    assert_eq!(source.columns["id"].data_type.as_deref(), Some("int"));
}

#[test]
fn packages_have_their_own_names_and_the_root_has_the_last_word() {
    let manifest = Fixture::new(
        "
/// file: dbt_project.yml
name: shop
models:
  lib:
    +materialized: table
/// file: models/same.sql
select * from {{ ref('lib', 'util') }}
/// file: models/reader.sql
select * from {{ ref('only_lib') }}
/// file: models/schema.yml
models:
  - name: util
    description: described from outside
/// file: dbt_packages/lib/models/util.sql
{{ config(materialized='view') }} select * from {{ ref('same') }}
/// file: dbt_packages/lib/models/only_lib.sql
select 1
/// file: dbt_packages/lib/models/same2.sql
select 1
/// file: dbt_packages/lib/macros/names.sql
{% macro generate_schema_name(custom_schema_name, node) %}lib_{{ node.name }}{% endmacro %}
",
    )
    .parse()
    .0;
    let util = node(&manifest, "model.lib.util");
    assert_eq!(util.materialization(), "table");
    assert_eq!(util.description, "described from outside");
    assert_eq!(util.relation.schema.as_deref(), Some("lib_util"));
    assert_eq!(
        node(&manifest, "model.shop.reader").depends_on,
        ["model.lib.only_lib".into()]
    );
    assert_eq!(
        node(&manifest, "model.shop.reader")
            .relation
            .schema
            .as_deref(),
        Some("main")
    );
}

#[test]
fn names_are_made_by_the_projects_macros() {
    let manifest = Fixture::new(
        "
/// file: macros/names.sql
{% macro generate_schema_name(custom_schema_name, node) -%}
  {{ target.schema }}__{{ custom_schema_name or node.fqn[1] }}
{%- endmacro %}
{% macro default__generate_alias_name(custom_alias_name, node) -%} t_{{ node.name }} {%- endmacro %}
/// file: models/staging/a.sql
select 1
/// file: models/b.sql
{{ config(schema='own', materialized='ephemeral') }} select 1
",
    )
    .manifest();
    let a = node(&manifest, "model.shop.a");
    assert_eq!(
        a.relation.render(&crate::dialect::DUCKDB),
        r#""dev"."main__staging"."t_a""#
    );
    let b = node(&manifest, "model.shop.b");
    assert_eq!(b.relation.schema.as_deref(), Some("main__own"));
    assert_eq!(b.relation.render(&crate::dialect::DUCKDB), "__dbt__cte__b");
}

#[test]
fn an_entry_below_the_key_of_another_kind_describes_its_node_all_the_same() {
    let (manifest, said) = Fixture::new(
        "
/// file: seeds/base.csv
/// file: models/schema.yml
models:
  - name: base
    description: the base
    columns:
      - name: id
        data_tests: [not_null]
",
    )
    .parse();
    assert_eq!(node(&manifest, "seed.shop.base").description, "the base");
    let test = manifest
        .nodes
        .keys()
        .find(|id| id.as_str().starts_with("test."));
    assert!(test.is_some(), "the seed has its test");
    insta::assert_snapshot!(render(&said), @"
    warning[unknown-patch]: `base` is a seed, and is described as if it were a model
     --> models/schema.yml:2:11
      |
    2 |   - name: base
      |           ^^^^
      |
      = help: describe it below `seeds:`
    ");
}

#[test]
fn empty_files_make_no_nodes() {
    let (manifest, said) = Fixture::new(
        "
/// file: models/a.sql
select 1
/// file: models/empty.sql

",
    )
    .parse();
    assert_eq!(ids(&manifest), ["model.shop.a"]);
    insta::assert_snapshot!(
        render(&said),
        @"warning[empty-file]: `models/empty.sql` is empty, and makes no node"
    );
}
