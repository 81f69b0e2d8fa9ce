//! The driver against a real database, in memory and in files.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;

use super::*;
use crate::adapter::tests::target;
use crate::relation::Relation;
use crate::table::{Datum, ResultColumn, Table};

fn adapter(fields: Json, root: &Path) -> Arc<dyn Adapter> {
    open(&target(&DUCKDB, fields), root, Access::Writing).expect("a good profile")
}

async fn memory() -> Box<dyn Connection> {
    let adapter = adapter(json!({}), Path::new("."));
    adapter.connect().await.expect("a session")
}

async fn rows(session: &mut Box<dyn Connection>, sql: &str) -> Vec<Vec<Datum>> {
    session.fetch(sql).await.expect(sql).1.rows
}

fn refusal(fields: Json) -> String {
    let refused = open(&target(&DUCKDB, fields), Path::new("."), Access::Writing).err();
    refused.expect("a bad profile").render(false)
}

fn text(text: &str) -> Datum {
    Datum::Text(text.into())
}

#[tokio::test]
async fn every_type_arrives_as_it_is() {
    let mut session = memory().await;
    let cases = [
        ("null", "INTEGER", Datum::Null),
        ("true", "BOOLEAN", Datum::Bool(true)),
        ("(-5)::tinyint", "TINYINT", Datum::Int(-5)),
        (
            "18446744073709551615::ubigint",
            "UBIGINT",
            Datum::Decimal("18446744073709551615".into()),
        ),
        ("sum(7)", "HUGEINT", Datum::Int(7)),
        (
            "(-0.05)::decimal(10,2)",
            "DECIMAL(10,2)",
            Datum::Decimal("-0.05".into()),
        ),
        (
            "12::decimal(4,0)",
            "DECIMAL(4,0)",
            Datum::Decimal("12".into()),
        ),
        ("1.10", "DECIMAL(3,2)", Datum::Decimal("1.10".into())),
        ("0.1::float", "FLOAT", Datum::Float(0.1)),
        ("1e300", "DOUBLE", Datum::Float(1e300)),
        ("'ü'", "VARCHAR", text("ü")),
        ("'ab'::blob", "BLOB", Datum::Bytes(b"ab".to_vec())),
        ("'0101'::bit", "BIT", text("0101")),
        ("(-300)::bignum", "BIGNUM", Datum::Decimal("-300".into())),
        (
            "date '2024-02-29'",
            "DATE",
            Datum::Date(jiff::civil::date(2024, 2, 29)),
        ),
        (
            "date '1582-01-01'",
            "DATE",
            Datum::Date(jiff::civil::date(1582, 1, 1)),
        ),
        ("'infinity'::date", "DATE", text("infinity")),
        ("date '12024-02-29'", "DATE", text("12024-02-29")),
        (
            "time '01:02:03.5'",
            "TIME",
            Datum::Time(jiff::civil::time(1, 2, 3, 500_000_000)),
        ),
        (
            "timestamp '2024-01-02 03:04:05.000006'",
            "TIMESTAMP",
            Datum::Timestamp(jiff::civil::datetime(2024, 1, 2, 3, 4, 5, 6000)),
        ),
        (
            "'1969-12-31 23:59:59'::timestamp_s",
            "TIMESTAMP_S",
            Datum::Timestamp(jiff::civil::datetime(1969, 12, 31, 23, 59, 59, 0)),
        ),
        (
            "'2024-01-02 03:04:05.123'::timestamp_ms",
            "TIMESTAMP_MS",
            Datum::Timestamp(jiff::civil::datetime(2024, 1, 2, 3, 4, 5, 123_000_000)),
        ),
        (
            "'2024-01-02 03:04:05.123456789'::timestamp_ns",
            "TIMESTAMP_NS",
            Datum::Timestamp(jiff::civil::datetime(2024, 1, 2, 3, 4, 5, 123_456_789)),
        ),
        (
            "'2024-01-02 03:04:05+02'::timestamptz",
            "TIMESTAMP WITH TIME ZONE",
            Datum::TimestampTz("2024-01-02T01:04:05Z".parse().unwrap()),
        ),
        (
            "interval '14 months 1 day 90 seconds'",
            "INTERVAL",
            text("1 year 2 months 1 day 00:01:30"),
        ),
        (
            "'550e8400-e29b-41d4-a716-446655440000'::uuid",
            "UUID",
            text("550e8400-e29b-41d4-a716-446655440000"),
        ),
        ("'b'::enum('a', 'b')", "ENUM", text("b")),
        ("[1, null]", "INTEGER[]", Datum::Json(json!([1, null]))),
        (
            "{'a': 1.5, 'b': ['x'], 'c': '0101'::bit}",
            "STRUCT(\"a\" DECIMAL(2,1), \"b\" VARCHAR[], \"c\" BIT)",
            Datum::Json(json!({"a": 1.5, "b": ["x"], "c": "0101"})),
        ),
        (
            "map {'k': date '2024-01-01'}",
            "MAP(VARCHAR, DATE)",
            Datum::Json(json!({"k": "2024-01-01"})),
        ),
        (
            "'{\"a\": [1]}'::json",
            "JSON",
            Datum::Json(json!({"a": [1]})),
        ),
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
async fn a_type_that_cannot_be_read_is_refused_and_the_session_lives() {
    let mut session = memory().await;
    let error = session
        .fetch("select '10:00:00+01'::timetz as t")
        .await
        .expect_err("unreadable");
    let message = "cannot read column `t` of type TIME WITH TIME ZONE: cast it to VARCHAR";
    assert_eq!(error.message, message);
    assert_eq!(rows(&mut session, "select 1").await, [[Datum::Int(1)]]);
}

#[tokio::test]
async fn statements_answer_with_the_rows_they_changed() {
    let mut session = memory().await;
    let cases = [
        ("create table t as select 1 as a from range(5)", Some(5)),
        ("insert into t values (3), (4)", Some(2)),
        ("update t set a = 2 where a = 1", Some(5)),
        ("delete from t where a = 3", Some(1)),
        ("create view v as select * from t", None),
        ("create table u (a int); insert into u values (1)", Some(1)),
        (" -- nothing\n; /* at all */", None),
    ];
    for (sql, rows_affected) in cases {
        let response = session.execute(sql).await.expect(sql);
        assert_eq!(
            (response.message.as_str(), response.rows_affected),
            ("OK", rows_affected),
            "{sql}"
        );
    }
    let (_, table) = session
        .fetch("create table w (a int); select a from u")
        .await
        .expect("both");
    assert_eq!(table.rows, [[Datum::Int(1)]]);
    let (_, empty) = session
        .fetch("select a from u where false")
        .await
        .expect("no rows");
    assert_eq!((empty.columns.len(), empty.rows.len()), (1, 0));
}

#[tokio::test]
async fn an_error_points_into_the_statement() {
    let mut session = memory().await;
    let long = format!("select\n  1 as ü, {}nope\nfrom range(3)", "1 + ".repeat(60));
    for sql in ["select a,\n  nope from (select 1 as a)", "selec 1", &long] {
        let error = session.execute(sql).await.expect_err(sql);
        let word = if sql.starts_with("selec 1") {
            "selec"
        } else {
            "nope"
        };
        let offset = error.offset.expect("a place");
        assert!(
            sql[offset..].starts_with(word),
            "{:?} in {sql}",
            &sql[offset..]
        );
        assert!(!error.message.contains("LINE"), "{}", error.message);
        assert_eq!(error.kind, AdapterErrorKind::Statement);
    }
}

#[tokio::test]
async fn sessions_share_one_database() {
    let adapter = adapter(json!({}), Path::new("."));
    let mut one = adapter.connect().await.expect("a session");
    let mut two = adapter.connect().await.expect("a session");
    one.execute("create table t (a int)")
        .await
        .expect("created");
    assert_eq!(
        rows(&mut two, "select count(*) from t").await,
        [[Datum::Int(0)]]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_statement_is_cancelled() {
    let mut session = memory().await;
    let canceller = session.canceller();
    canceller.cancel().await;
    let long = tokio::spawn(async move {
        let sql = "select count(*) from range(1000000000) a, range(1000000000) b
                   where a.range % 7 = b.range % 5";
        let ended = session.execute(sql).await;
        (session, ended)
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    canceller.cancel().await;
    let (mut session, ended) = long.await.expect("no panic");
    assert_eq!(
        ended.expect_err("stopped").kind,
        AdapterErrorKind::Cancelled
    );
    assert_eq!(rows(&mut session, "select 1").await, [[Datum::Int(1)]]);
}

fn seed(rows: Vec<Vec<Datum>>) -> Table {
    let names = [
        "note", "ID", "amount", "day", "at", "tz", "ok", "ratio", "raw", "t",
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
    id bigint not null, amount decimal(38,2), day date, \"at\" timestamp, tz timestamptz,
    ok boolean, ratio double, raw blob, t time, note varchar, extra int default 9)";

fn full_row() -> Vec<Datum> {
    vec![
        text("a,\"b\"\n"),
        Datum::Int(1),
        Datum::Decimal("123456789012345678901234567890.12".into()),
        Datum::Date(jiff::civil::date(1960, 2, 29)),
        Datum::Timestamp(jiff::civil::datetime(1960, 1, 2, 3, 4, 5, 6000)),
        Datum::TimestampTz("2024-01-02T01:04:05.5Z".parse().unwrap()),
        Datum::Bool(true),
        Datum::Float(0.1),
        Datum::Bytes(vec![0, 255]),
        Datum::Time(jiff::civil::time(23, 59, 59, 1000)),
    ]
}

#[tokio::test]
async fn rows_are_loaded_by_column_name() {
    let mut session = memory().await;
    session.execute(SEED).await.expect("created");
    let relation = Relation::new(&DUCKDB, "memory", "main", "seed");
    let mut nulls = vec![Datum::Null; 10];
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
    let select = "select note, id, amount, day, seed.at, tz, ok, ratio, raw, t from seed where id < 3 order by id";
    assert_eq!(rows(&mut session, select).await, [full_row(), nulls]);
    let totals = rows(
        &mut session,
        "select count(*), max(id), min(extra) from seed",
    )
    .await;
    assert_eq!(
        totals,
        [[Datum::Int(10_000), Datum::Int(10_000), Datum::Int(9)]]
    );
}

#[tokio::test]
async fn text_is_cast_to_the_columns_type() {
    let mut session = memory().await;
    session.execute(SEED).await.expect("created");
    let relation = Relation::new(&DUCKDB, "", "", "seed");
    let row = [
        "x",
        "1",
        "1.5",
        "2024-01-01",
        "2024-01-01 10:00:00",
        "2024-01-01 10:00:00+00",
        "true",
        "0.5",
        "ab",
        "10:00:00",
    ];
    let rows_in = vec![row.map(text).to_vec()];
    session
        .load(&relation, &seed(rows_in))
        .await
        .expect("loaded");
    let back = rows(&mut session, "select amount, day, ok, tz from seed").await;
    let expected = [
        Datum::Decimal("1.50".into()),
        Datum::Date(jiff::civil::date(2024, 1, 1)),
        Datum::Bool(true),
        Datum::TimestampTz("2024-01-01T10:00:00Z".parse().unwrap()),
    ];
    assert_eq!(back, [expected]);
}

#[tokio::test]
async fn a_load_is_part_of_the_open_transaction() {
    let mut session = memory().await;
    session.execute(SEED).await.expect("created");
    let relation = Relation::new(&DUCKDB, "memory", "main", "seed");
    session.execute("begin").await.expect("begun");
    session
        .load(&relation, &seed(vec![full_row()]))
        .await
        .expect("loaded");
    assert_eq!(
        rows(&mut session, "select count(*) from seed").await,
        [[Datum::Int(1)]]
    );
    session.execute("rollback").await.expect("rolled back");
    assert_eq!(
        rows(&mut session, "select count(*) from seed").await,
        [[Datum::Int(0)]]
    );
}

#[tokio::test]
async fn a_load_that_fails_leaves_nothing() {
    let mut session = memory().await;
    session
        .execute("create table t (day date)")
        .await
        .expect("created");
    let relation = Relation::new(&DUCKDB, "memory", "main", "t");
    // More rows than the library buffers, and a bad one at the end.
    let mut rows_in = vec![vec![Datum::Date(jiff::civil::date(2024, 1, 1))]; 250_000];
    rows_in.push(vec![text("not a day")]);
    let table = Table {
        columns: vec![ResultColumn {
            name: "day".into(),
            data_type: String::new(),
        }],
        rows: rows_in,
    };
    let error = session.load(&relation, &table).await.expect_err("refused");
    assert!(error.message.contains("not a day"), "{}", error.message);
    assert_eq!(
        rows(&mut session, "select count(*) from t").await,
        [[Datum::Int(0)]]
    );
}

#[tokio::test]
async fn a_file_is_made_with_its_folder_and_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let fields =
        json!({"path": "new/shop.duckdb", "settings": {"default_null_order": "nulls_first"}});
    {
        let adapter = adapter(fields.clone(), folder.path());
        let mut session = adapter.connect().await.expect("a session");
        session
            .execute("create table shop.main.t as select 1 as a")
            .await
            .expect("created");
        let order = rows(&mut session, "select current_setting('default_null_order')").await;
        assert_eq!(order, [[text("NULLS_FIRST")]]);
    }
    let adapter = adapter(fields, folder.path());
    let mut session = adapter.connect().await.expect("a session");
    assert_eq!(
        rows(&mut session, "select a from shop.main.t").await,
        [[Datum::Int(1)]]
    );
    assert!(!folder.path().join("new/shop.duckdb.wal").exists());
}

#[tokio::test]
async fn databases_are_attached_and_nothing_is_downloaded() {
    let folder = tempfile::tempdir().expect("a folder");
    let fields = json!({"attach": [{"path": "other.duckdb", "alias": "o"}]});
    let adapter = adapter(fields, folder.path());
    let mut session = adapter.connect().await.expect("a session");
    session
        .execute("create table o.main.t (a int)")
        .await
        .expect("created");
    assert!(folder.path().join("other.duckdb").exists());
    let sql = "select current_setting('autoinstall_known_extensions'), current_setting('autoload_known_extensions')";
    assert_eq!(
        rows(&mut session, sql).await,
        [[Datum::Bool(false), Datum::Bool(false)]]
    );
}

#[tokio::test]
async fn an_extension_that_is_not_installed_is_an_error() {
    let adapter = adapter(json!({"extensions": ["no_such_extension"]}), Path::new("."));
    let error = adapter.connect().await.err().expect("not installed");
    assert_eq!(error.kind, AdapterErrorKind::Connection);
    assert_eq!(
        error.detail.as_deref(),
        Some("the profile asks for `load \"no_such_extension\"`")
    );
}

#[test]
fn wrong_profiles_are_refused() {
    insta::assert_snapshot!(refusal(json!({"path": "a/shop.duckdb", "database": "dev"})), @"error[bad-profile]: target `dev` of profile `shop`: `database` is `dev` and must be `shop`, as `path` says");
    insta::assert_snapshot!(refusal(json!({"path": "md:shop"})), @"error[bad-profile]: target `dev` of profile `shop`: `path` names MotherDuck, which is not supported");
    insta::assert_snapshot!(refusal(json!({"extensions": [{"name": "h3", "repo": "community"}]})), @r"
    error[bad-profile]: target `dev` of profile `shop`: `extensions` takes names of installed extensions, as text
     |
     = help: install it with DuckDB's own client: nothing is downloaded here
    ");
    insta::assert_snapshot!(refusal(json!({"attach": [{"alias": "a"}]})), @"error[bad-profile]: target `dev` of profile `shop`: an entry of `attach` has no `path`");
    insta::assert_snapshot!(refusal(json!({"settings": [1]})), @"error[bad-profile]: target `dev` of profile `shop`: `settings` must map names to values");
}

#[tokio::test]
async fn a_setting_that_does_not_exist_is_named() {
    let adapter = adapter(json!({"config_options": {"nope": 1}}), Path::new("."));
    let error = adapter.connect().await.err().expect("unknown");
    assert!(error.message.contains("nope"), "{}", error.message);
}

#[tokio::test]
async fn a_locked_file_names_its_holder() {
    const HELD: &str = "DAYGRAIN_TEST_HELD_FILE";
    if let Some(path) = std::env::var_os(HELD) {
        // This is the other process: it holds the file until its input ends.
        let _held = Database::open(path).expect("the file");
        println!("held");
        let _ = std::io::stdin().read_line(&mut String::new());
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let mut holder = Command::new(std::env::current_exe().expect("this test"))
        .args([
            "--exact",
            "adapter::duckdb::tests::a_locked_file_names_its_holder",
        ])
        .arg("--nocapture")
        .env(HELD, folder.path().join("shop.duckdb"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("another process");
    let output = BufReader::new(holder.stdout.take().expect("its output"));
    let mut lines = output.lines().map_while(Result::ok);
    assert!(lines.any(|line| line.ends_with("held")), "the file is held");
    let adapter = adapter(json!({"path": "shop.duckdb"}), folder.path());
    let error = adapter.connect().await.err().expect("locked");
    assert_eq!(error.kind, AdapterErrorKind::Locked);
    let pid = format!("PID {}", holder.id());
    assert!(error.message.contains(&pid), "{}", error.message);
    drop(holder.stdin.take());
    holder.wait().expect("the end");
    adapter.connect().await.expect("free again");
}
