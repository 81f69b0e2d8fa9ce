//! The Postgres driver against a real server.

use daygrain::adapter::{AdapterErrorKind, Connection};
use daygrain::dialect::POSTGRES;
use daygrain::relation::Relation;
use daygrain::table::{Datum, ResultColumn, Table};
use serde_json::json;

use crate::support::live;
use crate::support::{postgres, postgres_session};

async fn rows(session: &mut Box<dyn Connection>, sql: &str) -> Vec<Vec<Datum>> {
    session.fetch(sql).await.expect(sql).1.rows
}

fn text(text: &str) -> Datum {
    Datum::Text(text.into())
}

#[tokio::test]
async fn every_type_arrives_as_it_is() {
    let mut session = postgres_session("driver_types").await;
    let types = "create type mood as enum ('sad', 'ok'); create domain price as numeric(10,2);
                 create type pair as (a int, b text); set timezone = 'Asia/Kolkata'";
    session.execute(types).await.expect("types");
    let cases = [
        ("null::int", "integer", Datum::Null),
        ("true", "boolean", Datum::Bool(true)),
        ("(-5)::smallint", "smallint", Datum::Int(-5)),
        ("count(*)", "bigint", Datum::Int(1)),
        (
            "12345678901234567890.10",
            "numeric",
            Datum::Decimal("12345678901234567890.10".into()),
        ),
        ("'NaN'::numeric", "numeric", text("NaN")),
        ("2.5::price", "numeric", Datum::Decimal("2.50".into())),
        ("0.1::real", "real", Datum::Float(0.1)),
        (
            "'-infinity'::float8",
            "double precision",
            Datum::Float(f64::NEG_INFINITY),
        ),
        ("'ü'::text", "text", text("ü")),
        ("'a'::varchar(10)", "character varying", text("a")),
        ("'a'::char(2)", "character", text("a ")),
        ("'t'::name", "name", text("t")),
        ("'ok'::mood", "mood", text("ok")),
        ("'\\x00ff'::bytea", "bytea", Datum::Bytes(vec![0, 255])),
        (
            "date '2024-02-29'",
            "date",
            Datum::Date(jiff::civil::date(2024, 2, 29)),
        ),
        ("date 'infinity'", "date", text("infinity")),
        ("date '0044-03-15 BC'", "date", text("0044-03-15 BC")),
        (
            "time '01:02:03.5'",
            "time without time zone",
            Datum::Time(jiff::civil::time(1, 2, 3, 500_000_000)),
        ),
        (
            "timetz '01:02:03+02'",
            "time with time zone",
            text("01:02:03+02"),
        ),
        (
            "timestamp '2024-01-02 03:04:05.000006'",
            "timestamp without time zone",
            Datum::Timestamp(jiff::civil::datetime(2024, 1, 2, 3, 4, 5, 6000)),
        ),
        (
            "timestamptz '2024-01-02 03:04:05+02'",
            "timestamp with time zone",
            Datum::TimestampTz("2024-01-02T01:04:05Z".parse().unwrap()),
        ),
        (
            "interval '14 months 90 seconds'",
            "interval",
            text("1 year 2 mons 00:01:30"),
        ),
        (
            "'550e8400-e29b-41d4-a716-446655440000'::uuid",
            "uuid",
            text("550e8400-e29b-41d4-a716-446655440000"),
        ),
        (
            "'{\"a\": [1]}'::jsonb",
            "jsonb",
            Datum::Json(json!({"a": [1]})),
        ),
        (
            "array[[1, null], [3, 4]]",
            "integer[]",
            Datum::Json(json!([[1, null], [3, 4]])),
        ),
        (
            "array['a\"b', 'NULL', null, '', 'x,y}', 'z\\']",
            "text[]",
            Datum::Json(json!(["a\"b", "NULL", null, "", "x,y}", "z\\"])),
        ),
        ("'{}'::date[]", "date[]", Datum::Json(json!([]))),
        (
            "array[1.5, 2.50]",
            "numeric[]",
            Datum::Json(json!([1.5, "2.50"])),
        ),
        ("row(1, 'x')::pair", "pair", text("(1,x)")),
        ("int4range(1, 5)", "int4range", text("[1,5)")),
        ("'10.0.0.1/8'::inet", "inet", text("10.0.0.1/8")),
        ("'pg_class'::regclass", "regclass", text("pg_class")),
        ("point(1, 2)", "point", text("(1,2)")),
        ("B'0101'", "bit", text("0101")),
    ];
    for (sql, data_type, value) in cases {
        let (_, table) = session
            .fetch(&format!("select {sql} as x"))
            .await
            .expect(sql);
        let column = ResultColumn {
            name: "x".into(),
            data_type: data_type.into(),
        };
        assert_eq!(table.columns, [column], "{sql}");
        assert_eq!(table.rows, [[value]], "{sql}");
    }
}

#[tokio::test]
async fn responses_are_the_servers_tags() {
    let mut session = postgres_session("driver_tags").await;
    let cases = [
        (
            "create table t as select 1 as a from generate_series(1, 5)",
            "SELECT 5",
            Some(5),
        ),
        ("insert into t values (3), (4)", "INSERT 0 2", Some(2)),
        ("update t set a = 2 where a = 1", "UPDATE 5", Some(5)),
        (
            "with old as (select 3 as a) delete from t using old where t.a = old.a",
            "DELETE 1",
            Some(1),
        ),
        ("create view v as select * from t", "CREATE VIEW", None),
        (
            "create materialized view m as select * from t",
            "SELECT 6",
            Some(6),
        ),
        ("select * from t", "SELECT 6", Some(6)),
        (
            "create table u (a int); insert into u values (1);",
            "INSERT 0 1",
            Some(1),
        ),
        ("-- nothing\n;", "", None),
    ];
    for (sql, message, rows_affected) in cases {
        let response = session.execute(sql).await.expect(sql);
        assert_eq!(
            (response.message.as_str(), response.rows_affected),
            (message, rows_affected)
        );
    }
}

#[tokio::test]
async fn several_statements_return_the_rows_of_the_last() {
    let mut session = postgres_session("driver_many").await;
    let sql = "create table t as select 1 as a; select 'x;' as gone; select a, 2.50 as b from t;";
    let (response, table) = session.fetch(sql).await.expect("all three");
    assert_eq!(response.message, "SELECT 1");
    assert_eq!(table.rows, [[Datum::Int(1), Datum::Decimal("2.50".into())]]);
    assert_eq!(table.columns[0].data_type, "integer");
    let (response, table) = session
        .fetch("select 1; create view v as select 1 as a")
        .await
        .expect("both");
    assert_eq!(
        (response.message.as_str(), table),
        ("CREATE VIEW", Table::default())
    );
    let (_, empty) = session
        .fetch("select a from t where false")
        .await
        .expect("no rows");
    assert_eq!((empty.columns.len(), empty.rows.len()), (1, 0));
}

#[tokio::test]
async fn an_error_keeps_the_servers_words_and_place() {
    let mut session = postgres_session("driver_errors").await;
    for transaction in [false, true] {
        if transaction {
            session.execute("begin").await.expect("begun");
        }
        let sql = "select 'ü' as a,\n  nope";
        let error = session.fetch(sql).await.expect_err("no such column");
        assert_eq!(error.kind, AdapterErrorKind::Statement);
        assert_eq!(error.message, "column \"nope\" does not exist");
        assert_eq!(error.code.as_deref(), Some("42703"));
        assert!(sql[error.offset.expect("a place")..].starts_with("nope"));
    }
    let error = session.fetch("select 1").await.expect_err("aborted");
    assert_eq!(error.code.as_deref(), Some("25P02"));
    session.execute("rollback").await.expect("rolled back");
    session
        .execute("create table t (a int primary key); insert into t values (1)")
        .await
        .expect("made");
    let error = session
        .execute("insert into t values (1)")
        .await
        .expect_err("twice");
    assert_eq!(error.detail.as_deref(), Some("Key (a)=(1) already exists."));
    let sql = "select 1; select * from nowhere";
    let error = session.execute(sql).await.expect_err("no table");
    assert!(sql[error.offset.expect("a place")..].starts_with("nowhere"));
}

#[tokio::test]
async fn a_long_statement_is_cancelled_and_a_timeout_is_not_a_cancellation() {
    let mut session = postgres_session("driver_cancel").await;
    live::is_cancelled_while_it_sleeps(&mut session).await;
    session
        .execute("set statement_timeout = 50")
        .await
        .expect("set");
    let error = session
        .execute("select pg_sleep(60)")
        .await
        .expect_err("timed out");
    assert_eq!(error.kind, AdapterErrorKind::Statement);
}

#[tokio::test]
async fn a_lost_connection_is_known_as_one() {
    let mut one = postgres_session("driver_lost").await;
    let mut two = postgres(json!({})).connect().await.expect("a session");
    let pid = rows(&mut one, "select pg_backend_pid()").await;
    let Datum::Int(pid) = pid[0][0] else {
        panic!("a number")
    };
    two.execute(&format!("select pg_terminate_backend({pid})"))
        .await
        .expect("ended");
    let first = one.execute("select 1").await.expect_err("lost");
    let second = one.fetch("select 1").await.expect_err("still lost");
    assert_eq!(
        (first.kind, second.kind),
        (AdapterErrorKind::Connection, AdapterErrorKind::Connection)
    );
}

#[tokio::test]
async fn the_profile_sets_the_session_up() {
    let adapter = postgres(json!({
        "search_path": "shop, public", "role": "pg_monitor", "application_name": "shop",
        "keepalives_idle": 30, "sslmode": "prefer",
    }));
    let mut session = adapter.connect().await.expect("a session");
    let sql = "select current_setting('search_path'), current_user::text, current_setting('application_name')";
    let expected = ["shop, public", "pg_monitor", "shop"].map(text);
    assert_eq!(rows(&mut session, sql).await, [expected]);
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_a_connection_error() {
    let adapter = postgres(json!({"port": 1, "retries": 0}));
    let error = adapter.connect().await.err().expect("nobody listens");
    assert_eq!(error.kind, AdapterErrorKind::Connection);
    assert!(error.message.contains("refused"), "{}", error.message);
    let adapter = postgres(json!({"dbname": "nowhere"}));
    let error = adapter.connect().await.err().expect("no such database");
    assert_eq!(error.message, "database \"nowhere\" does not exist");
    let adapter = postgres(json!({"role": "nobody"}));
    let error = adapter.connect().await.err().expect("no such role");
    assert_eq!(
        error.detail.as_deref(),
        Some("the profile asks for `set role \"nobody\"`")
    );
}

fn seed(rows: Vec<Vec<Datum>>) -> Table {
    let names = [
        "note", "ID", "amount", "day", "at", "tz", "ok", "ratio", "raw", "t", "doc",
    ];
    let columns = names.map(|name| ResultColumn {
        name: name.into(),
        data_type: String::new(),
    });
    Table {
        columns: columns.to_vec(),
        rows,
    }
}

const SEED: &str = "create table seed (
    \"ID\" bigint not null, amount numeric(38,2), day date, \"at\" timestamp, tz timestamptz,
    ok boolean, ratio float8, raw bytea, t time, doc jsonb, note text, extra int default 9)";

fn full_row() -> Vec<Datum> {
    vec![
        text("a\\b\t\"c\"\r\n\\N é"),
        Datum::Int(1),
        Datum::Decimal("123456789012345678901234567890.12".into()),
        Datum::Date(jiff::civil::date(1960, 2, 29)),
        Datum::Timestamp(jiff::civil::datetime(1960, 1, 2, 3, 4, 5, 6000)),
        Datum::TimestampTz("2024-01-02T01:04:05.5Z".parse().unwrap()),
        Datum::Bool(true),
        Datum::Float(0.1),
        Datum::Bytes(vec![0, 255]),
        Datum::Time(jiff::civil::time(23, 59, 59, 1000)),
        Datum::Json(json!({"a": "x\ny\\"})),
    ]
}

#[tokio::test]
async fn rows_are_loaded_by_column_name() {
    let mut session = postgres_session("driver_load").await;
    session.execute(SEED).await.expect("created");
    let relation = Relation::new(&POSTGRES, "", "driver_load", "seed");
    let mut nulls = vec![Datum::Null; 11];
    nulls[1] = Datum::Int(2);
    let mut rows_in = vec![full_row(), nulls.clone()];
    rows_in.extend((3..10_001).map(|id| {
        let mut row = nulls.clone();
        row[1] = Datum::Int(id);
        row
    }));
    let loaded = session
        .load(&relation, &seed(rows_in))
        .await
        .expect("loaded");
    assert_eq!(loaded, 10_000);
    let select = "select note, \"ID\", amount, day, at, tz, ok, ratio, raw, t, doc from seed where \"ID\" < 3 order by 2";
    assert_eq!(rows(&mut session, select).await, [full_row(), nulls]);
    let totals = rows(
        &mut session,
        "select count(*), max(\"ID\"), min(extra) from seed",
    )
    .await;
    assert_eq!(
        totals,
        [[Datum::Int(10_000), Datum::Int(10_000), Datum::Int(9)]]
    );
}

#[tokio::test]
async fn a_load_is_part_of_the_open_transaction() {
    let mut session = postgres_session("driver_load_tx").await;
    session.execute(SEED).await.expect("created");
    let relation = Relation::new(&POSTGRES, "", "driver_load_tx", "seed");
    session.execute("begin").await.expect("begun");
    session
        .load(&relation, &seed(vec![full_row()]))
        .await
        .expect("loaded");
    session.execute("rollback").await.expect("rolled back");
    assert_eq!(
        rows(&mut session, "select count(*) from seed").await,
        [[Datum::Int(0)]]
    );
}

#[tokio::test]
async fn a_load_that_fails_leaves_nothing_and_says_why() {
    let mut session = postgres_session("driver_load_bad").await;
    session.execute(SEED).await.expect("created");
    let relation = Relation::new(&POSTGRES, "", "driver_load_bad", "seed");
    let mut bad = full_row();
    bad[3] = text("not a day");
    for place in [0, 20_000] {
        let mut rows_in = vec![full_row(); 20_000];
        rows_in.insert(place, bad.clone());
        let error = session
            .load(&relation, &seed(rows_in))
            .await
            .expect_err("refused");
        assert_eq!(
            error.message,
            "invalid input syntax for type date: \"not a day\""
        );
        let line = format!("COPY seed, line {}, column day", place + 1);
        assert!(error.detail.unwrap().starts_with(&line));
        assert_eq!(
            rows(&mut session, "select count(*) from seed").await,
            [[Datum::Int(0)]]
        );
    }
    let missing = Relation::new(&POSTGRES, "", "driver_load_bad", "nowhere");
    let error = session
        .load(&missing, &seed(vec![full_row()]))
        .await
        .expect_err("no table");
    assert_eq!(error.code.as_deref(), Some("42P01"));
}
