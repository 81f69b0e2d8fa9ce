//! What is said of faulty projects.

use crate::manifest::fixture::{Fixture, render};

fn complaints(text: &str) -> String {
    render(&Fixture::new(text).parse().1)
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
