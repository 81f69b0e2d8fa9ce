use super::*;
use crate::manifest::fixture::{Fixture, render};

fn node(manifest: &Manifest, id: &str) -> Arc<Node> {
    let node = manifest.nodes.get(&UniqueId::from(id));
    Arc::clone(node.unwrap_or_else(|| panic!("no `{id}` in {:#?}", manifest.nodes.keys())))
}

fn ids(manifest: &Manifest) -> Vec<&str> {
    manifest.nodes.keys().map(UniqueId::as_str).collect()
}

/// What is said of a faulty project.
fn complaints(text: &str) -> String {
    render(&Fixture::new(text).parse().1)
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
fn unknown_names_are_told_with_near_ones() {
    insta::assert_snapshot!(complaints("
/// file: models/a.sql
select * from {{ ref('ordes') }}, {{ ref('off') }}, {{ ref('lib', 'orders') }}, {{ ref('orders', v=2) }}
/// file: models/b.sql
select * from {{ source('raw', 'orderz') }}, {{ source('ra', 'orders') }}, {{ source('other', 'x') }}
/// file: models/orders.sql
select 1
/// file: models/off.sql
{{ config(enabled=false) }} select {{ broken( }}
/// file: models/off_too.sql
{{ config(enabled=false) }} select * from {{ ref('nowhere') }}
/// file: models/schema.yml
models:
  - name: ordres
  - name: some_seed
    columns: [{name: id, tests: [unique]}]
  - name: off_too
    columns: [{name: id, tests: [unique]}]
  - name: orders
    columns:
      - name: id
        tests:
          - uniqe
          - nice.test
          - relationships: {to: \"ref('custmers')\", field: id}
          - accepted_values: {value: [1]}
          - accepted_values
          - unique: {model: x}
    tests: [not_null]
  - name: a
    description: \"{{ doc('nothing') }} {{ var('nope') }}\"
sources:
  - name: raw
    tables: [{name: orders}]
macros:
  - name: no_macro
/// file: seeds/some_seed.csv
"), @r#"
    error[wrong-arguments]: the test `unique` has an argument `model`
      --> models/schema.yml:16:22
       |
    16 |           - unique: {model: x}
       |                      ^^^^^
       |
       = help: `model` is what the test is attached to
    error[unknown-doc]: no block of docs is named `nothing`
      --> models/schema.yml:19:18
       |
    19 |     description: "{{ doc('nothing') }} {{ var('nope') }}"
       |                  ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
       |
       = help: write `{% docs nothing %}` in a Markdown file
    warning[unknown-patch]: `some_seed` is a seed, and is described as if it were a model
     --> models/schema.yml:3:11
      |
    3 |   - name: some_seed
      |           ^^^^^^^^^
      |
      = help: describe it below `seeds:`
    error[jinja-syntax]: unexpected `}`
     --> models/off.sql:1:47
      |
    1 | {{ config(enabled=false) }} select {{ broken( }}
      |                                               ^
      |
     ::: models/off.sql:1:45
      |
    1 | {{ config(enabled=false) }} select {{ broken( }}
      |                                             - this `(` is open
    warning[unknown-patch]: no model is named `ordres`
     --> models/schema.yml:2:11
      |
    2 |   - name: ordres
      |           ^^^^^^
      |
      = help: a model named `orders` exists
    warning[unknown-patch]: no macro is named `no_macro`
      --> models/schema.yml:24:11
       |
    24 |   - name: no_macro
       |           ^^^^^^^^
    error[undefined-macro]: no test is named `uniqe`
      --> models/schema.yml:11:13
       |
    11 |           - uniqe
       |             ^^^^^
       |
       = help: a test named `unique` exists
    error[undefined-macro]: package `nice` has no test named `test`
      --> models/schema.yml:12:13
       |
    12 |           - nice.test
       |             ^^^^^^^^^
       |
       = help: write one: `{% test test(model, column_name) %}`
    error[wrong-arguments]: the test `accepted_values` takes no argument `value`
      --> models/schema.yml:14:13
       |
    14 |           - accepted_values: {value: [1]}
       |             ^^^^^^^^^^^^^^^
       |
       = help: did you mean `values`?
    error[wrong-arguments]: the test `accepted_values` needs the argument `values`
      --> models/schema.yml:15:13
       |
    15 |           - accepted_values
       |             ^^^^^^^^^^^^^^^
       |
       = help: add `values:` below the test's name
    error[wrong-arguments]: the test `not_null` needs the argument `column_name`
      --> models/schema.yml:17:13
       |
    17 |     tests: [not_null]
       |             ^^^^^^^^
       |
       = help: write the test below a column, or name the column
    error[unknown-ref]: no model or seed is named `ordes`
     --> models/a.sql:1:18
      |
    1 | select * from {{ ref('ordes') }}, {{ ref('off') }}, {{ ref('lib', 'orders') }}, {{ ref('orders', v=2) }}
      |                  ^^^^^^^^^^^^
      |
      = help: a node named `orders` exists
    error[unknown-ref]: package `lib` has no model or seed named `orders`
     --> models/a.sql:1:56
      |
    1 | select * from {{ ref('ordes') }}, {{ ref('off') }}, {{ ref('lib', 'orders') }}, {{ ref('orders', v=2) }}
      |                                                        ^^^^^^^^^^^^^^^^^^^^
      |
      = help: package `shop` has one
    error[unsupported]: `ref` of a version of `orders`: versions of models are not supported yet
     --> models/a.sql:1:84
      |
    1 | select * from {{ ref('ordes') }}, {{ ref('off') }}, {{ ref('lib', 'orders') }}, {{ ref('orders', v=2) }}
      |                                                                                    ^^^^^^^^^^^^^^^^^^
    error[unknown-source]: the source `raw` has no table `orderz`
     --> models/b.sql:1:18
      |
    1 | select * from {{ source('raw', 'orderz') }}, {{ source('ra', 'orders') }}, {{ source('other', 'x') }}
      |                  ^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: a table named `orders` exists
    error[unknown-source]: no source is named `ra`
     --> models/b.sql:1:49
      |
    1 | select * from {{ source('raw', 'orderz') }}, {{ source('ra', 'orders') }}, {{ source('other', 'x') }}
      |                                                 ^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: a source named `raw` exists
    error[unknown-source]: no source is named `other`
     --> models/b.sql:1:79
      |
    1 | select * from {{ source('raw', 'orderz') }}, {{ source('ra', 'orders') }}, {{ source('other', 'x') }}
      |                                                                               ^^^^^^^^^^^^^^^^^^^^
      |
      = help: declare it below `sources:` of a property file
    warning[unknown-ref]: no model or seed is named `custmers`
      --> models/schema.yml:13:13
       |
    13 |           - relationships: {to: "ref('custmers')", field: id}
       |             ^^^^^^^^^^^^^
       |
       = note: the test `relationships_orders_id__id__ref_custmers_` is left out
    "#);
}

#[test]
fn what_is_there_twice_is_told_with_both_places() {
    insta::assert_snapshot!(complaints("
/// file: models/a/orders.sql
select 1
/// file: models/b/orders.sql
select 2
/// file: models/c.sql
{{ config(alias='Orders') }} select 1
/// file: seeds/c.csv
/// file: models/schema.yml
models:
  - name: c
    columns:
      - name: id
        tests: [unique, unique]
  - name: c
sources:
  - name: raw
    tables: [{name: x}, {name: x}]
/// file: models/docs.md
{% docs one %}1{% enddocs %}
{% docs one %}2{% enddocs %}
{% docs two words %}2{% enddocs %}
{% docs open %}
"), @r#"
    error[duplicate-name]: two blocks of docs are named `one`
     --> models/docs.md:2:1
      |
    2 | {% docs one %}2{% enddocs %}
      | ^^^^^^^^^^^^^^
      |
     ::: models/docs.md:1:1
      |
    1 | {% docs one %}1{% enddocs %}
      | -------------- first here
      |
      = help: rename one of them
    error[jinja-syntax]: a block of docs needs one name
     --> models/docs.md:3:1
      |
    3 | {% docs two words %}2{% enddocs %}
      | ^^^^^^^^^^^^^^^^^^^^
      |
      = help: write it as `{% docs name %}`
    error[jinja-syntax]: the block of docs `open` is never closed
     --> models/docs.md:4:1
      |
    4 | {% docs open %}
      | ^^^^^^^^^^^^^^^
      |
      = help: add `{% enddocs %}`
    error[duplicate-name]: the model `c` is described twice
     --> models/schema.yml:6:11
      |
    6 |   - name: c
      |           ^
      |
     ::: models/schema.yml:2:11
      |
    2 |   - name: c
      |           - first here
      |
      = help: put all that is said of it into one entry
    error[duplicate-name]: the source `raw.x` is declared twice
     --> models/schema.yml:9:32
      |
    9 |     tables: [{name: x}, {name: x}]
      |                                ^
      |
     ::: models/schema.yml:9:21
      |
    9 |     tables: [{name: x}, {name: x}]
      |                     - first here
      |
      = help: keep one of them
    error[duplicate-name]: two models are named `orders`
     --> models/b/orders.sql:1:1
      |
    1 | select 2
      | ^^^^^^^^
      |
     ::: models/a/orders.sql:1:1
      |
    1 | select 1
      | -------- first here
      |
      = help: rename one of them, or disable it with `enabled: false`
    error[duplicate-name]: a seed and a model are named `c`
     --> seeds/c.csv:1:1
      |
    1 |
      | ^
      |
     ::: models/c.sql:1:1
      |
    1 | {{ config(alias='Orders') }} select 1
      | ------------------------------------- first here
      |
      = help: rename one of them, or disable it with `enabled: false`
    error[duplicate-name]: two tests are named `unique_c_id`
     --> models/schema.yml:5:25
      |
    5 |         tests: [unique, unique]
      |                         ^^^^^^
      |
     ::: models/schema.yml:5:17
      |
    5 |         tests: [unique, unique]
      |                 ------ first here
      |
      = help: remove one of them, or give it a `name` of its own
    error[duplicate-name]: `orders` and `c` both build "dev"."main"."Orders"
     --> models/c.sql:1:1
      |
    1 | {{ config(alias='Orders') }} select 1
      | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
     ::: models/a/orders.sql:1:1
      |
    1 | select 1
      | -------- first here
      |
      = help: give one of them another `alias` or `schema`
    "#);
}

#[test]
fn wrong_property_files_are_told_at_their_places() {
    insta::assert_snapshot!(complaints("
/// file: models/a.sql
{{ config(unque_key='id', my_own_key=1) }} select 1
/// file: models/wrong.yml
model:
  - name: x
seeds: 3
models:
  - name: a
    materialized: table
    descripton: x
    meta: {a: 1}
    config:
      meta: {b: 2}
      materialised: table
      enabled: \"yes please\"
    columns:
      - nme: id
      - name: id
        test: [unique]
        tests: 
          - unique:
            severity: warn
          - not_null: 3
          - not a name
          - 7
          - unique: {severity: fatal, config: {severity: warn}}
      - name: both
        tests: [unique]
        data_tests: []
  - b
/// file: models/broken.yml
models:
  - name: a
   description: x
"), @r#"
    error[yaml-syntax]: broken YAML: did not find expected `-` indicator
     --> models/broken.yml:3:4
      |
    3 |    description: x
      |    ^
      |
      = help: check the indentation of this line and of those before it
    warning[unknown-key]: nothing reads `model` of a property file
     --> models/wrong.yml:1:1
      |
    1 | model:
      | ^^^^^
      |
      = help: did you mean `models`?
    error[yaml-shape]: `seeds` must be a list, found a number
     --> models/wrong.yml:3:8
      |
    3 | seeds: 3
      |        ^
      |
      = help: write a list here
    warning[unknown-key]: nothing reads `materialized` of model `a`
     --> models/wrong.yml:6:5
      |
    6 |     materialized: table
      |     ^^^^^^^^^^^^
      |
      = help: configs belong below `config:`
    warning[unknown-key]: nothing reads `descripton` of model `a`
     --> models/wrong.yml:7:5
      |
    7 |     descripton: x
      |     ^^^^^^^^^^
      |
      = help: did you mean `description`?
    warning[unknown-key]: no config of a model is called `materialised`
      --> models/wrong.yml:11:7
       |
    11 |       materialised: table
       |       ^^^^^^^^^^^^
       |
       = help: did you mean `materialized`?
    error[bad-config]: the config `enabled` must be true or false, found `yes please`
      --> models/wrong.yml:12:16
       |
    12 |       enabled: "yes please"
       |                ^^^^^^^^^^^^
       |
       = help: write `enabled: true` or `enabled: false`, without quotes
    error[bad-config]: model `a` has `meta` twice: beside and below `config`
     --> models/wrong.yml:8:5
      |
    8 |     meta: {a: 1}
      |     ^^^^
      |
      = help: keep the one below `config`
    error[yaml-shape]: a column without a `name`
      --> models/wrong.yml:14:9
       |
    14 |       - nme: id
       |         ^^^
       |
       = help: add `name:`
    warning[unknown-key]: nothing reads `test` of column `id` of model `a`
      --> models/wrong.yml:16:9
       |
    16 |         test: [unique]
       |         ^^^^
       |
       = help: did you mean `tests`?
    error[yaml-shape]: a test is one name with its arguments below it
      --> models/wrong.yml:18:13
       |
    18 |           - unique:
       |             ^^^^^^
       |
       = help: indent the arguments below the test's name
    error[yaml-shape]: the arguments of test `not_null` must be a mapping
      --> models/wrong.yml:20:23
       |
    20 |           - not_null: 3
       |                       ^
       |
       = help: name each: `argument: value`
    error[yaml-shape]: `not a name` is no name of a test
      --> models/wrong.yml:21:13
       |
    21 |           - not a name
       |             ^^^^^^^^^^
       |
       = help: a name has letters, digits and underscores
    error[yaml-shape]: a test must be a name or a mapping, found a number
      --> models/wrong.yml:22:13
       |
    22 |           - 7
       |             ^
       |
       = help: write the name of a test
    error[bad-config]: the test `unique` has `severity` twice: beside and below `config`
      --> models/wrong.yml:23:32
       |
    23 |           - unique: {severity: fatal, config: {severity: warn}}
       |                                ^^^^^
       |
       = help: keep the one below `config`
    error[bad-config]: the config `severity` must be one of `error`, `warn`, found `fatal`
      --> models/wrong.yml:23:32
       |
    23 |           - unique: {severity: fatal, config: {severity: warn}}
       |                                ^^^^^
       |
       = help: write one of `error`, `warn`
    error[yaml-shape]: column `both` of model `a` has both `tests` and `data_tests`
      --> models/wrong.yml:25:9
       |
    25 |         tests: [unique]
       |         ^^^^^
       |
      ::: models/wrong.yml:26:9
       |
    26 |         data_tests: []
       |         ----------
       |
       = help: keep `data_tests`
    error[yaml-shape]: an entry that describes a model must be a mapping, found text
      --> models/wrong.yml:27:5
       |
    27 |   - b
       |     ^
       |
       = help: write a mapping here
    warning[unknown-key]: no config of a model is called `unque_key`
     --> models/a.sql:1:4
      |
    1 | {{ config(unque_key='id', my_own_key=1) }} select 1
      |    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: did you mean `unique_key`?
    "#);
}

#[test]
fn what_is_ignored_is_said_once() {
    insta::assert_snapshot!(complaints("
/// file: models/a.sql
{{ config(contract={'enforced': true}) }} select 1
/// file: models/more.yml
exposures: []
groups: []
unit_tests: []
models:
  - name: a
    versions: [{v: 1}]
    constraints: []
    columns: [{name: id, constraints: []}]
/// file: snapshots/s.sql
{% snapshot s %}{% endsnapshot %}
"), @"
    warning[unsupported]: exposures are not supported yet and are ignored
     --> models/more.yml:1:1
      |
    1 | exposures: []
      | ^^^^^^^^^
    warning[unsupported]: groups are not supported yet and are ignored
     --> models/more.yml:2:1
      |
    2 | groups: []
      | ^^^^^^
    warning[unsupported]: unit tests are not supported yet and are ignored
     --> models/more.yml:3:1
      |
    3 | unit_tests: []
      | ^^^^^^^^^^
    warning[unsupported]: versions of models are not supported yet and are ignored
     --> models/more.yml:6:5
      |
    6 |     versions: [{v: 1}]
      |     ^^^^^^^^
    warning[unsupported]: constraints are not supported yet and are ignored
     --> models/more.yml:7:5
      |
    7 |     constraints: []
      |     ^^^^^^^^^^^
      |
      = note: and in 1 more places
    warning[unsupported]: snapshots are not supported yet and are ignored
     --> snapshots/s.sql:1:1
      |
    1 | {% snapshot s %}{% endsnapshot %}
      | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    warning[unsupported]: enforced contracts are not supported yet and are ignored
     --> models/more.yml:5:11
      |
    5 |   - name: a
      |           ^
    ");
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
fn hooks_that_dbt_refuses_are_refused() {
    insta::assert_snapshot!(complaints("
/// file: dbt_project.yml
name: shop
seeds:
  post-hook: select * from {{ ref('after') }}
/// file: seeds/base.csv
/// file: models/after.sql
{{ config({'pre_hook': 'select 1', 'pre-hook': 'select 2'}) }} select 1
"), @"
    error[compiler-error]: `config` has both `pre_hook` and `pre-hook`, which are one
     --> models/after.sql:1:4
      |
    1 | {{ config({'pre_hook': 'select 1', 'pre-hook': 'select 2'}) }} select 1
      |    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: put the statements into one list, `pre_hook`
    error[bad-config]: a hook of seed `base` reads `after` by `ref`
     --> seeds/base.csv:1:1
      |
    1 |
      | ^
      |
      = note: in dbt's words: Seeds cannot depend on other nodes
      = help: move the hook to a model that reads the seed
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
