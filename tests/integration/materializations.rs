//! The built-in macros, run on real databases: what they send, and what is there afterwards.

use std::sync::{Arc, Mutex};

use daygrain::diagnostic::{Code, Diagnostic};
use daygrain::dialect::{self, DUCKDB, POSTGRES, SNOWFLAKE};
use daygrain::jinja::Value;
use daygrain::jinja::context::{ExecuteScope, ParseScope, execute_context, parse_context};
use daygrain::jinja::language::Scope;
use daygrain::jinja::port::{
    CacheChange, Fetch, NoWarehouse, QueryFailure, QueryOutcome, TemplateMessage, Transaction,
    Warehouse,
};
use daygrain::relation::Relation;
use daygrain::source::SourceFile;
use daygrain::sql;
use daygrain::table::{Datum, ResultColumn, Table};
use indexmap::IndexMap;
use serde_json::{Value as Json, json};

use crate::support::house::{House, Names, engine, facts};

fn both(schema: &str, check: impl Fn(&House)) {
    for dialect in [&DUCKDB, &POSTGRES] {
        check(&House::new(dialect, schema));
    }
}

#[test]
fn the_builtin_macros_of_every_dialect_compile() {
    for dialect in dialect::ALL {
        let engine = engine(dialect);
        for name in ["view", "table", "incremental", "seed", "test"] {
            assert!(engine.find_materialization(name).is_some(), "{name}");
        }
    }
}

#[test]
fn a_table_is_replaced_and_what_reads_it_survives() {
    both("mat_table", |house| {
        let table = json!({"materialized": "table"});
        let outcome = house.build("t", table.clone(), "select 1 as id, 'a' as name");
        if house.dialect.name == "postgres" {
            assert_eq!(outcome.message, "SELECT 1");
        }
        insta::assert_snapshot!(format!("{}_table_first", house.dialect.name), house.sent());
        house
            .live
            .run("create view mat_table.v as select id from mat_table.t");
        house
            .live
            .run("create view mat_table.w as select id + 1 as id from mat_table.v");

        house.build("t", table.clone(), "select 2 as id, 'b' as name");
        insta::assert_snapshot!(format!("{}_table_again", house.dialect.name), house.sent());
        assert_eq!(house.rows("select * from @.t"), "2|b");
        assert_eq!(house.rows("select * from @.w"), "3");

        // A column is added before the others.
        house.build(
            "t",
            table.clone(),
            "select true as flag, 3 as id, 'c' as name",
        );
        insta::assert_snapshot!(
            format!("{}_table_other_columns", house.dialect.name),
            house.sent()
        );
        assert_eq!(house.rows("select id, name from @.t"), "3|c");
        assert_eq!(house.rows("select * from @.w"), "4");

        // A model that was a table becomes a view, and a table again.
        house.build(
            "t",
            json!({"materialized": "view"}),
            "select 5 as id, 'e' as name",
        );
        assert_eq!(house.rows("select * from @.w"), "6");
        house.build("t", table, "select 6 as id, 'f' as name");
        assert_eq!(house.rows("select * from @.w"), "7");
        let left = "select count(*) from information_schema.tables where table_schema = '@'";
        assert_eq!(house.rows(left), "3");
    });
}

#[test]
fn a_view_is_replaced_whatever_its_columns_were() {
    both("mat_view", |house| {
        let view = json!({"materialized": "view"});
        house.build("v", view.clone(), "select 1 as id");
        house
            .live
            .run("create view mat_view.w as select id from mat_view.v");
        house.live.take_sent();
        house.build("v", view.clone(), "select 2 as id, 3 as more");
        insta::assert_snapshot!(format!("{}_view_again", house.dialect.name), house.sent());
        house.build("v", view.clone(), "select 'x' as more, 4 as id");
        assert_eq!(house.rows("select id, more from @.v"), "4|x");
        assert_eq!(house.rows("select * from @.w"), "4");
    });
}

#[test]
fn new_types_reach_the_views_of_postgres_with_their_grants() {
    let house = House::new(&POSTGRES, "mat_types");
    let table = json!({"materialized": "table"});
    house.build("t", table.clone(), "select 1 as id, 2 as n");
    house.live.run(
        "drop role if exists mat_reader; create role mat_reader;
         create view mat_types.v as select id from mat_types.t;
         create view mat_types.w as select n from mat_types.t;
         create materialized view mat_types.m as select id from mat_types.v;
         create unique index m_id on mat_types.m (id);
         grant select on mat_types.v to mat_reader;
         comment on view mat_types.v is 'it''s
 a view';
         comment on column mat_types.v.id is 'the key'",
    );
    house.build("t", table, "select 'x'::text as id, 2 as n");
    assert_eq!(house.rows("select id from @.v"), "x");
    assert_eq!(house.rows("select n from @.w"), "2");
    assert_eq!(house.rows("select id from @.m"), "x");
    assert_eq!(
        house.rows("select has_table_privilege('mat_reader', '@.v', 'select')"),
        "Bool(true)"
    );
    let comments = "select obj_description('@.v'::regclass), col_description('@.v'::regclass, 1),
                    (select count(*) from pg_indexes where indexname = 'm_id')";
    assert_eq!(house.rows(comments), "it's\n a view|the key|1");
}

#[test]
fn a_view_whose_column_is_gone_is_refused_or_left_to_the_run() {
    let mut house = House::new(&POSTGRES, "mat_gone");
    let table = json!({"materialized": "table"});
    house.build("t", table.clone(), "select 1 as id, 2 as n");
    house
        .live
        .run("create view mat_gone.v as select n from mat_gone.t");
    let refused = house
        .try_build("t", &table, "select 1 as id")
        .expect_err("the view reads `n`");
    assert_eq!(refused.code, Code::CompilerError);
    assert!(
        refused.message.contains("`mat_gone.v` reads a column"),
        "{}",
        refused.message
    );
    assert_eq!(house.rows("select * from @.v"), "2");

    house.graph = json!({"nodes": {"model.shop.v": {"resource_type": "model", "schema": "mat_gone", "alias": "v"}}});
    house.live.cache.lock().unwrap().clear();
    house.build("t", table, "select 1 as id");
    assert_eq!(house.rows("select * from @.t"), "1");
}

#[test]
fn readers_see_the_old_rows_or_the_new() {
    both("mat_readers", |house| {
        let rows =
            "from (values (1), (2), (3), (4), (5)) as a (i), (values (1), (2), (3), (4)) as b (j)";
        let build = |turn: i32| {
            // The table's shape changes every second time.
            let more = if turn % 2 == 0 { ", 1 as more" } else { "" };
            let table = json!({"materialized": "table"});
            house.build("t", table, &format!("select {turn} as id{more} {rows}"));
            let inc = json!({"materialized": "incremental", "unique_key": "i"});
            house.build("i", inc, &format!("select i, {turn} as id {rows}"));
            let sql = if turn % 3 == 0 { "*" } else { "id" };
            let view = json!({"materialized": "view"});
            house.build("w", view, &format!("select {sql} from mat_readers.i"));
            house.build("s", json!({"materialized": "seed"}), "");
        };
        *house.live.seed.lock().unwrap() = Arc::new(seed_table());
        build(0);
        house
            .live
            .run("create view mat_readers.v as select id from mat_readers.t");
        let done = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let reader = {
            let (done, adapter) = (Arc::clone(&done), Arc::clone(&house.live.adapter));
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                let mut session = runtime.block_on(adapter.connect()).unwrap();
                let mut looks = 0;
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    for (relation, count) in [("v", 20), ("t", 20), ("i", 20), ("w", 20), ("s", 2)]
                    {
                        let versions = if relation == "s" {
                            "1"
                        } else {
                            "count(distinct id)"
                        };
                        let sql =
                            format!("select count(*), {versions} from mat_readers.{relation}");
                        let (_, table) = runtime
                            .block_on(session.fetch(&sql))
                            .expect("never an error");
                        assert_eq!(
                            table.rows[0],
                            [Datum::Int(count), Datum::Int(1)],
                            "{relation}"
                        );
                    }
                    looks += 1;
                }
                looks
            })
        };
        for turn in 1..8 {
            build(turn);
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(reader.join().unwrap() > 0);
    });
}

#[test]
fn incremental_models_insert_replace_and_grow() {
    both("mat_inc", |house| {
        let config = json!({"materialized": "incremental", "unique_key": "id", "on_schema_change": "append_new_columns"});
        let first = "select 1 as id, 'a' as v union all select 2, 'b'";
        house.build("i", config.clone(), first);
        house.live.take_sent();
        let template =
            "{% if is_incremental() %}select 2 as id, 'B' as v union all select 3, 'c'{% endif %}";
        house.build("i", config.clone(), template);
        insta::assert_snapshot!(format!("{}_incremental", house.dialect.name), house.sent());
        assert_eq!(
            house.rows("select id, v from @.i order by 1"),
            "1|a 2|B 3|c"
        );
        house.build("i", config.clone(), "select 3 as id, 'C' as v, 7 as more");
        assert_eq!(
            house.rows("select id, v, more from @.i order by 1"),
            "1|a|null 2|B|null 3|C|7"
        );

        let keys = json!({"materialized": "incremental", "unique_key": ["id", "v"], "incremental_strategy": "delete+insert", "incremental_predicates": ["DBT_INTERNAL_DEST.id < 9"]});
        house.build("i", keys, "select 3 as id, 'C' as v, 8 as more");
        assert_eq!(house.rows("select more from @.i where id = 3"), "8");
        let append = json!({"materialized": "incremental", "incremental_strategy": "append"});
        house.build("i", append, "select 3 as id, 'C' as v, 8 as more");
        assert_eq!(house.rows("select count(*) from @.i where id = 3"), "2");

        let sync = json!({"materialized": "incremental", "unique_key": "id", "on_schema_change": "sync_all_columns"});
        house.build("i", sync, "select 3 as id, 9 as more");
        assert_eq!(house.rows("select id, more from @.i where id = 3"), "3|9");
        let fail =
            json!({"materialized": "incremental", "unique_key": "id", "on_schema_change": "fail"});
        let refused = house
            .try_build("i", &fail, "select 3 as id")
            .expect_err("`more` is gone");
        assert!(
            refused.message.contains("`more` is gone"),
            "{}",
            refused.message
        );
        let unknown = json!({"materialized": "incremental", "incremental_strategy": "magic"});
        let refused = house
            .try_build("i", &unknown, "select 3 as id")
            .expect_err("no such strategy");
        assert_eq!(refused.code, Code::BadConfig);
    });
}

#[test]
fn merge_updates_and_inserts() {
    // Postgres has `merge` from 15 on, DuckDB from 1.4 on.
    both("mat_merge", |house| {
        let config = json!({"materialized": "incremental", "unique_key": "id", "incremental_strategy": "merge", "merge_exclude_columns": ["born"]});
        house.build("i", config.clone(), "select 1 as id, 'a' as v, 1 as born");
        house.build(
            "i",
            config,
            "select 1 as id, 'A' as v, 2 as born union all select 2, 'b', 2",
        );
        assert_eq!(
            house.rows("select id, v, born from @.i order by 1"),
            "1|A|1 2|b|2"
        );
    });
}

#[test]
fn merges_of_duckdb_take_conditions_expressions_and_clauses() {
    let house = House::new(&DUCKDB, "mat_merge_more");
    let base =
        json!({"materialized": "incremental", "unique_key": "id", "incremental_strategy": "merge"});
    let with = |more: serde_json::Value| {
        let mut config = base.clone();
        let all = config.as_object_mut().expect("a mapping");
        all.extend(more.as_object().expect("a mapping").clone());
        config
    };
    let first = "select 1 as id, 10 as v, 1 as n union all select 2, 20, 1";
    let next = "select 1 as id, 11 as v, 1 as n union all select 2, 5, 1 union all select 3, 30, 1 union all select 4, 1, 1";
    let basic = with(json!({
        "merge_update_condition": "DBT_INTERNAL_DEST.v < DBT_INTERNAL_SOURCE.v",
        "merge_insert_condition": "DBT_INTERNAL_SOURCE.v > 25",
        "merge_update_set_expressions": {"n": "DBT_INTERNAL_DEST.n + 1"},
    }));
    house.build("a", basic.clone(), first);
    house.build("a", basic, next);
    let rows = "select id, v, n from @.a order by 1";
    assert_eq!(house.rows(rows), "1|11|2 2|20|1 3|30|1");
    let clauses = with(json!({"merge_clauses": {
        "when_matched": [
            {"action": "delete", "condition": "DBT_INTERNAL_SOURCE.v = 5"},
            {"action": "update", "mode": "explicit", "update": {"include": ["v"]}},
        ],
        "when_not_matched": [{"action": "insert", "mode": "explicit", "insert": {
            "columns": ["id", "v"], "values": ["DBT_INTERNAL_SOURCE.id", "DBT_INTERNAL_SOURCE.v"],
        }}],
    }}));
    house.build("b", clauses.clone(), first);
    house.build("b", clauses, next);
    let rows = "select id, v from @.b order by 1";
    assert_eq!(house.rows(rows), "1|11 3|30 4|1");
}

#[test]
fn full_refresh_rebuilds() {
    both("mat_full", |house| {
        let config = json!({"materialized": "incremental", "unique_key": "id"});
        house.build("i", config.clone(), "select 1 as id");
        let refresh =
            json!({"materialized": "incremental", "unique_key": "id", "full_refresh": true});
        house.build(
            "i",
            refresh,
            "select {{ 5 if is_incremental() else 6 }} as id",
        );
        assert_eq!(house.rows("select * from @.i"), "6");
    });
}

fn seed_table() -> Table {
    let column = |name: &str| ResultColumn {
        name: name.into(),
        data_type: String::new(),
    };
    Table {
        columns: vec![column("id"), column("name"), column("born")],
        rows: vec![
            vec![
                Datum::Int(1),
                Datum::Text("it's".into()),
                Datum::Date(jiff::civil::date(2024, 2, 29)),
            ],
            vec![Datum::Int(2), Datum::Null, Datum::Null],
        ],
    }
}

#[test]
fn seeds_are_loaded_in_bulk() {
    both("mat_seed", |house| {
        *house.live.seed.lock().unwrap() = Arc::new(seed_table());
        let config = json!({"materialized": "seed", "column_types": {"id": "bigint"}});
        let outcome = house.build("s", config.clone(), "");
        assert_eq!(
            (outcome.message.as_str(), outcome.rows_affected),
            ("CREATE 2", Some(2))
        );
        insta::assert_snapshot!(format!("{}_seed", house.dialect.name), house.sent());
        assert_eq!(
            house.rows("select * from @.s order by id"),
            "1|it's|2024-02-29 2|null|null"
        );
        let outcome = house.build("s", config.clone(), "");
        assert_eq!(outcome.message, "INSERT 2");
        house
            .live
            .run("create view mat_seed.v as select id from mat_seed.s");
        let mut keyed = config.clone();
        keyed["indexes"] = json!([{"columns": ["id"], "unique": true}]);
        house.build("k", keyed.clone(), "");
        house.build("k", keyed, "");
        assert_eq!(house.rows("select count(*) from @.k"), "2");
        let mut refresh = config;
        refresh["full_refresh"] = json!(true);
        refresh["column_types"] = json!({"id": "smallint"});
        house.build("s", refresh, "");
        assert_eq!(house.rows("select sum(id) from @.v"), "3");
        assert_eq!(house.rows("select count(*) from @.s"), "2");
    });
}

#[test]
fn tests_count_what_is_wrong() {
    both("mat_test", |house| {
        house.live.run(
            "create table mat_test.t as select 1 as id union all select 1 union all select null",
        );
        let cell = |outcome: &QueryOutcome, at: usize| outcome.table.rows[0][at].clone();
        let config = json!({"materialized": "test", "fail_calc": "count(*)", "warn_if": "> 10", "error_if": "!= 0"});
        let unique = "{{ test_unique(model=get_where_subquery(ref('t')), column_name='id') }}";
        let outcome = house.build("x", config.clone(), unique);
        insta::assert_snapshot!(format!("{}_test_unique", house.dialect.name), house.sent());
        assert_eq!(cell(&outcome, 0), Datum::Int(1));
        assert_eq!(cell(&outcome, 1), Datum::Bool(false));
        assert_eq!(cell(&outcome, 2), Datum::Bool(true));

        let not_null = "{{ test_not_null(model=get_where_subquery(ref('t')), column_name='id') }}";
        assert_eq!(
            cell(&house.build("x", config.clone(), not_null), 0),
            Datum::Int(1)
        );
        let mut narrowed = config.clone();
        narrowed["where"] = json!("id = 1");
        narrowed["limit"] = json!(5);
        assert_eq!(
            cell(&house.build("x", narrowed, not_null), 0),
            Datum::Int(0)
        );
        let values = "{{ test_accepted_values(model=ref('t'), column_name='id', values=[1, 2], quote=false) }}";
        assert_eq!(
            cell(&house.build("x", config.clone(), values), 0),
            Datum::Int(0)
        );
        let related =
            "{{ test_relationships(model=ref('t'), column_name='id', to=ref('t'), field='id') }}";
        assert_eq!(
            cell(&house.build("x", config.clone(), related), 0),
            Datum::Int(0)
        );

        let mut stored = config;
        stored["store_failures"] = json!(true);
        assert_eq!(
            cell(&house.build("kept", stored.clone(), unique), 0),
            Datum::Int(1)
        );
        assert_eq!(house.rows("select n_records from @.kept"), "2");
        stored["limit"] = json!(2);
        let all = house.build("few", stored, "select * from {{ ref('t') }}");
        assert_eq!(cell(&all, 0), Datum::Int(2));
        assert_eq!(house.rows("select count(*) from @.few"), "2");
    });
}

#[test]
fn indexes_hooks_grants_and_docs() {
    let house = House::new(&POSTGRES, "mat_more");
    house
        .live
        .run("drop role if exists mat_grantee; create role mat_grantee");
    let config = json!({
        "materialized": "table",
        "indexes": [{"columns": ["id"], "unique": true}],
        "grants": {"select": ["mat_grantee"]},
        "persist_docs": {"relation": true, "columns": true},
        "pre-hook": [{"sql": "select 'before {{ this.identifier }}'", "transaction": false}],
        "post-hook": ["select 'inside'", {"sql": "vacuum {{ this }}", "transaction": false}],
    });
    house.build("t", config.clone(), "select 1 as id");
    insta::assert_snapshot!("postgres_everything", house.sent());
    house.build("t", config.clone(), "select 2 as id");
    let facts = "select has_table_privilege('mat_grantee', '@.t', 'select'),
                 obj_description('@.t'::regclass), col_description('@.t'::regclass, 1),
                 (select count(*) from pg_indexes where schemaname = '@')";
    assert_eq!(house.rows(facts), "Bool(true)|what it is|it's the key|1");
    // Another index is another shape.
    let mut other = config;
    other["indexes"] = json!([{"columns": ["id"], "type": "hash"}]);
    house.build("t", other, "select 3 as id");
    assert_eq!(
        house.rows(
            "select count(*) from pg_indexes where schemaname = '@' and indexdef like '%hash%'"
        ),
        "1"
    );
    assert_eq!(
        house.rows("select has_table_privilege('mat_grantee', '@.t', 'select')"),
        "Bool(true)"
    );
}

#[test]
fn cross_database_functions_agree() {
    both("mat_utils", |house| {
        let text = |template: &str| {
            let (scope, _) = house.scope("x", &json!({"materialized": "view"}), Vec::new());
            let compiled = house
                .engine
                .compile(&SourceFile::inline("x.sql", template))
                .unwrap();
            let sql = house.engine.render(&compiled, &scope).unwrap();
            house.rows(&format!("select cast({sql} as varchar)"))
        };
        for (template, expected) in [
            (
                "cast({{ dbt.dateadd('day', 3, \"date '2024-02-27'\") }} as date)",
                "2024-03-01",
            ),
            (
                "cast({{ dbt.dateadd('month', -1, \"date '2024-03-31'\") }} as date)",
                "2024-02-29",
            ),
            (
                "{{ dbt.datediff(\"date '2023-12-31'\", \"date '2024-01-01'\", 'year') }}",
                "1",
            ),
            (
                "{{ dbt.datediff(\"date '2024-01-01'\", \"date '2024-03-05'\", 'day') }}",
                "64",
            ),
            (
                "{{ dbt.datediff(\"date '2024-01-06'\", \"date '2024-01-07'\", 'week') }}",
                "1",
            ),
            (
                "{{ dbt.datediff(\"date '2024-01-01'\", \"date '2024-01-02'\", 'hour') }}",
                "24",
            ),
            (
                "cast({{ dbt.date_trunc('month', \"date '2024-02-27'\") }} as date)",
                "2024-02-01",
            ),
            (
                "{{ dbt.last_day(\"date '2024-02-01'\", 'month') }}",
                "2024-02-29",
            ),
            (
                "{{ dbt.last_day(\"date '2024-02-01'\", 'quarter') }}",
                "2024-03-31",
            ),
            ("{{ dbt.concat([\"'a'\", \"'b'\"]) }}", "ab"),
            (
                "{{ dbt.hash(\"'a'\") }}",
                "0cc175b9c0f1b6a831c399e269772661",
            ),
            ("{{ dbt.length(\"'abc'\") }}", "3"),
            ("{{ dbt.position(\"'c'\", \"'abc'\") }}", "3"),
            ("{{ dbt.replace(\"'abc'\", \"'b'\", \"'x'\") }}", "axc"),
            ("{{ dbt.right(\"'abc'\", 2) }}", "bc"),
            ("{{ dbt.split_part(\"'a|b|c'\", \"'|'\", 2) }}", "b"),
            ("{{ dbt.split_part(\"'a|b|c'\", \"'|'\", -1) }}", "c"),
            (
                "{{ dbt.string_literal(dbt.escape_single_quotes(\"it's\")) }}",
                "it's",
            ),
            (
                "{{ dbt.safe_cast(\"'1'\", api.Column.translate_type('integer')) }}",
                "1",
            ),
            ("{{ dbt.cast_bool_to_text('true') }}", "true"),
            (
                "(select {{ dbt.bool_or('a') }} from (select true as a) as t)",
                "true",
            ),
            (
                "(select {{ dbt.any_value('a') }} from (select 1 as a) as t)",
                "1",
            ),
            (
                "(select {{ dbt.listagg('a', \"'|'\", 'order by a') }} from (select '1' as a union all select '2') as t)",
                "1|2",
            ),
            (
                "(select max(generated_number) from ({{ dbt.generate_series(5) }}) as t)",
                "5",
            ),
            (
                "(select count(*) from ({{ dbt.date_spine('day', \"date '2024-01-01'\", \"date '2024-01-04'\") }}) as t)",
                "3",
            ),
            (
                "cast({{ dbt.current_timestamp() }} as date) is not null",
                "true",
            ),
            (
                "cast({{ dbt.current_timestamp_in_utc_backcompat() }} as date) is not null",
                "true",
            ),
            (
                "cast(1.5 as {{ dbt.type_numeric() }}) = 1.5 and cast(1 as {{ dbt.type_bigint() }}) = cast(1 as {{ dbt.type_int() }})",
                "true",
            ),
            (
                "cast('a' as {{ dbt.type_string() }}) = 'a' and cast(true as {{ dbt.type_boolean() }})",
                "true",
            ),
        ] {
            assert_eq!(
                text(template),
                expected,
                "{} on {}",
                template,
                house.dialect.name
            );
        }
    });
}

/// Answers every query with nothing and keeps what was sent.
struct Paper {
    sent: Mutex<Vec<String>>,
    open: Mutex<bool>,
    known: Vec<Relation>,
    columns: Table,
}

impl Warehouse for Paper {
    fn query(
        &self,
        sql: &str,
        transaction: Transaction,
        _: Fetch,
    ) -> Result<QueryOutcome, QueryFailure> {
        if transaction == Transaction::AutoBegin {
            self.begin()?;
        }
        self.sent.lock().unwrap().push(sql.to_owned());
        let table = if sql.contains("describe table") {
            self.columns.clone()
        } else if sql.contains("current_warehouse") {
            Table {
                columns: vec![ResultColumn {
                    name: "WAREHOUSE".into(),
                    data_type: String::new(),
                }],
                rows: vec![vec![Datum::Text("SMALL".into())]],
            }
        } else {
            Table::default()
        };
        Ok(QueryOutcome {
            table,
            ..QueryOutcome::default()
        })
    }

    fn begin(&self) -> Result<(), QueryFailure> {
        if !std::mem::replace(&mut *self.open.lock().unwrap(), true) {
            self.sent.lock().unwrap().push("begin".into());
        }
        Ok(())
    }

    fn commit(&self) -> Result<(), QueryFailure> {
        if std::mem::take(&mut *self.open.lock().unwrap()) {
            self.sent.lock().unwrap().push("commit".into());
        }
        Ok(())
    }

    fn rollback(&self) -> Result<(), QueryFailure> {
        NoWarehouse.rollback()
    }

    fn load(&self, _: &Relation, rows: &Table) -> Result<u64, QueryFailure> {
        Ok(rows.rows.len() as u64)
    }

    fn cached_relations(&self, _: &Relation) -> Option<Vec<Relation>> {
        Some(self.known.clone())
    }

    fn cache_relations(&self, _: &Relation, _: Vec<Relation>) {}

    fn note(&self, _: CacheChange) {}

    fn emit(&self, _: TemplateMessage) {}

    fn seed_rows(&self) -> Result<Arc<Table>, Box<Diagnostic>> {
        Ok(Arc::new(seed_table()))
    }
}

/// Words of good statements that our parser does not know; the tests on a server run them.
const UNPARSED: &[&str] = &["column id comment '", "comment on dynamic table"];

#[test]
fn the_sql_of_snowflake_parses() {
    let engine = engine(&SNOWFLAKE);
    let mut told = String::new();
    for (materialized, strategy, exists, more) in [
        ("view", "", true, json!({})),
        (
            "view",
            "",
            true,
            json!({"secure": true, "copy_grants": true, "grants": {"select": ["reader"]}}),
        ),
        ("table", "", true, json!({})),
        (
            "table",
            "",
            true,
            json!({
                "transient": false, "cluster_by": ["id", "v"], "automatic_clustering": true,
                "snowflake_warehouse": "big", "query_tag": "it's \\ mine",
                "persist_docs": {"relation": true, "columns": true},
            }),
        ),
        (
            "dynamic_table",
            "",
            false,
            json!({
                "target_lag": "1 hour", "snowflake_warehouse": "big", "refresh_mode": "full",
                "initialize": "on_schedule", "cluster_by": ["id", "v"],
                "persist_docs": {"relation": true},
            }),
        ),
        ("incremental", "append", true, json!({})),
        ("incremental", "delete+insert", true, json!({})),
        ("incremental", "merge", true, json!({})),
        (
            "incremental",
            "merge",
            true,
            json!({"tmp_relation_type": "table", "on_schema_change": "sync_all_columns"}),
        ),
        ("incremental", "insert_overwrite", true, json!({})),
        ("incremental", "", false, json!({})),
        ("seed", "", false, json!({})),
        ("seed", "", true, json!({})),
        ("seed", "", true, json!({"full_refresh": true})),
    ] {
        let this = Relation::new(&SNOWFLAKE, "analytics", "main", "t");
        let mut known = this.clone();
        known.kind = daygrain::relation::RelationKind::parse(if materialized == "view" {
            "view"
        } else {
            "table"
        });
        let column = |name: &str| ResultColumn {
            name: name.into(),
            data_type: String::new(),
        };
        let text = |text: &str| Datum::Text(text.into());
        let paper = Arc::new(Paper {
            sent: Mutex::default(),
            open: Mutex::default(),
            known: if exists { vec![known] } else { vec![] },
            columns: Table {
                columns: vec![column("name"), column("type")],
                rows: vec![
                    vec![text("ID"), text("NUMBER(38,0)")],
                    vec![text("V"), text("VARCHAR(10)")],
                ],
            },
        });
        let config: IndexMap<String, Json> = [
            ("materialized".to_owned(), json!(materialized)),
            ("unique_key".to_owned(), json!("id")),
            ("incremental_strategy".to_owned(), json!(strategy)),
        ]
        .into_iter()
        .chain(more.as_object().cloned().unwrap_or_default())
        .collect();
        let model = json!({
            "name": "t", "resource_type": "model", "description": "it's \\ a table",
            "columns": {"id": {"name": "id", "description": "the key's it"}},
        });
        let sql = "select 1 as id, 'a' as v";
        let (root, _) = execute_context(
            &facts(&SNOWFLAKE, json!({"FULL_REFRESH": false})),
            ExecuteScope {
                package: "shop".into(),
                this: Some(this),
                model: model.into(),
                config: Arc::new(move |key| config.get(key).cloned()),
                graph: Arc::new(|| json!({})),
                resolver: Arc::new(Names(&SNOWFLAKE, "main".into())),
                warehouse: Arc::clone(&paper) as Arc<dyn Warehouse>,
                partition: None,
                extra: vec![("sql", sql.into()), ("compiled_code", sql.into())],
            },
        );
        let scope = Scope {
            package: "shop".into(),
            root,
        };
        let found = engine.find_materialization(materialized).unwrap();
        let called = format!("{}.{}", found.package, found.name);
        let call = |name: &str, args: &[Value]| {
            let done = engine.call(name, args, &[], &scope);
            done.unwrap_or_else(|wrong| panic!("{}", wrong.render(false)))
        };
        let before = call("begin_model_session", &[]);
        call(&called, &[]);
        call("end_model_session", &[before]);
        let sent = std::mem::take(&mut *paper.sent.lock().unwrap());
        for statement in &sent {
            if UNPARSED.iter().any(|words| statement.contains(words)) {
                continue;
            }
            sql::parse(&SNOWFLAKE, statement)
                .unwrap_or_else(|wrong| panic!("{}\n{statement}", wrong.message));
        }
        told.push_str(&format!(
            "-- {materialized} {strategy} {more}\n{}\n\n",
            sent.join(";\n\n")
        ));
    }
    insta::assert_snapshot!("snowflake", told);
}

#[test]
fn parsing_collects_and_asks_no_database() {
    let engine = engine(&DUCKDB);
    let (root, collected) = parse_context(
        &facts(&DUCKDB, json!({})),
        ParseScope {
            package: "shop".into(),
            this: Relation::new(&DUCKDB, "memory", "main", "me"),
            model: json!({"name": "me"}),
            config: IndexMap::new(),
        },
    );
    let scope = Scope {
        package: "shop".into(),
        root,
    };
    let template = "{{ config(materialized='table', tags=['a'], meta={'k': [1, none]}) }}
{%- set found = run_query('select 1') -%}
{{ ref('a') }}, {{ ref('pkg', 'b', v=2) }}, {{ ref('a') }}, {{ source('raw', 't') }}
{%- if is_incremental() %} never {% endif %} {{ found is none }} {{ config.get('x', 1) == '' }} {{ execute }}
{{- adapter.get_relation('a', 'b', 'c') is none }} {{ var('missing') is none }}";
    let file = SourceFile::inline("models/me.sql", template);
    let compiled = engine.compile(&file).unwrap();
    let text = engine
        .render(&compiled, &scope)
        .unwrap_or_else(|wrong| panic!("{}", wrong.render(false)));
    let me = "\"memory\".\"main\".\"me\"";
    assert_eq!(
        text.trim(),
        format!("{me}, {me}, {me}, {me} True True FalseTrue True")
    );
    let collected = collected.lock().unwrap();
    insta::assert_debug_snapshot!(*collected);
}
