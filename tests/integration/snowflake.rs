//! The driver of Snowflake against a server: values, transactions, faults, and a small project.
//!
//! The server is fakesnow behind a proxy that also injects faults: `support/snowflake_server.py`.

use std::time::{Duration, Instant};

use daygrain::adapter::{AdapterErrorKind, Connection};
use daygrain::dialect::SNOWFLAKE;
use daygrain::relation::Relation;
use daygrain::table::{Datum, ResultColumn, Table};
use serde_json::{Map, Value as Json, json};

use crate::support::sandbox::Sandbox;
use crate::support::{new_database, snowflake, snowflake_fields, snowflake_log, snowflake_place};

/// A session that meets faults; see the server's file for what there is.
async fn faulty(database: &str, faults: Json) -> Box<dyn Connection> {
    let parameters = json!({"session_parameters": {"daygrain_faults": faults.to_string()}});
    let adapter = snowflake(database, parameters);
    adapter.connect().await.expect("a session")
}

/// The statements that the server got, those of the proxy's faults included.
fn statements(database: &str) -> Vec<String> {
    let log = snowflake_log(database);
    let sent = log.iter().filter_map(|entry| entry["sql"].as_str());
    sent.map(str::to_owned).collect()
}

fn logins(database: &str) -> usize {
    let log = snowflake_log(database);
    log.iter()
        .filter(|entry| entry["login"].is_string())
        .count()
}

/// How many rows the table of the small tests has.
async fn rows_of_t(session: &mut Box<dyn Connection>) -> i64 {
    let counted = session.fetch("select count(*) from shop.t").await;
    match counted.expect("a number").1.rows.as_slice() {
        [row] => match row.as_slice() {
            [Datum::Int(count)] => *count,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn values_keep_their_types() {
    let adapter = snowflake(&new_database("values"), json!({}));
    let mut session = adapter.connect().await.expect("a session");
    let text = |text: &str| Datum::Text(text.into());
    let cases = [
        ("null::int", Datum::Null),
        ("true", Datum::Bool(true)),
        ("(-5)::int", Datum::Int(-5)),
        (
            "12345678901234567890.10::number(38,2)",
            Datum::Decimal("12345678901234567890.10".into()),
        ),
        ("0.1::float", Datum::Float(0.1)),
        ("'ü''\\\\'", text("ü'\\")),
        ("''", text("")),
        (
            "date '1969-12-31'",
            Datum::Date(jiff::civil::date(1969, 12, 31)),
        ),
        (
            "time '01:02:03.5'",
            Datum::Time(jiff::civil::time(1, 2, 3, 500_000_000)),
        ),
        (
            "'1969-12-31 23:59:59.25'::timestamp_ntz",
            Datum::Timestamp(jiff::civil::datetime(1969, 12, 31, 23, 59, 59, 250_000_000)),
        ),
        (
            "'2024-01-02 03:04:05 +00:00'::timestamp_tz",
            Datum::TimestampTz("2024-01-02T03:04:05Z".parse().unwrap()),
        ),
        ("parse_json('{\"a\": [1]}')", Datum::Json(json!({"a": [1]}))),
    ];
    for (sql, value) in cases {
        let (response, table) = session
            .fetch(&format!("select {sql} as x"))
            .await
            .expect(sql);
        assert_eq!(table.columns[0].name, "X");
        assert_eq!(table.rows, [[value]], "{sql}");
        assert_eq!(response.message, "SUCCESS 1");
        assert!(response.query_id.is_some(), "{sql}");
    }
}

#[tokio::test]
async fn sessions_begin_as_the_profile_says() {
    let database = new_database("logins");
    let adapter = snowflake(
        &database,
        json!({
            "query_tag": "it's ours", "client_session_keep_alive": true,
            "session_parameters": {"timezone": "UTC", "lock_timeout": 7},
        }),
    );
    adapter.connect().await.expect("a session");
    let log = snowflake_log(&database);
    assert_eq!(
        log,
        [json!({
            "database": database, "login": "tester", "role": "builder", "warehouse": "small",
            "authenticator": null,
            "parameters": {
                "QUERY_TAG": "it's ours", "CLIENT_SESSION_KEEP_ALIVE": true,
                "TIMEZONE": "UTC", "LOCK_TIMEOUT": 7,
            },
        })]
    );
}

#[tokio::test]
async fn a_key_pair_and_a_token_log_in() {
    let database = new_database("keys");
    // Made for this test by `openssl genrsa 2048 | openssl pkcs8 -topk8`.
    let key = include_str!("support/snowflake_key.p8");
    let encrypted = include_str!("support/snowflake_key_encrypted.p8");
    let ways = [
        json!({"password": null, "private_key": key}),
        json!({"password": null, "private_key": encrypted, "private_key_passphrase": "open sesame"}),
        json!({"password": null, "authenticator": "oauth", "token": "t"}),
    ];
    for way in ways {
        let adapter = snowflake(&database, way);
        adapter.connect().await.expect("a session");
    }
    let log = snowflake_log(&database);
    let said: Vec<&Json> = log.iter().map(|entry| &entry["authenticator"]).collect();
    assert_eq!(said, ["SNOWFLAKE_JWT", "SNOWFLAKE_JWT", "OAUTH"]);
    let wrong = snowflake(
        &database,
        json!({"password": null, "private_key": encrypted, "private_key_passphrase": "no"}),
    );
    let refused = wrong.connect().await.err().expect("no session");
    assert_eq!(refused.kind, AdapterErrorKind::Connection);
    assert!(refused.message.contains("private key"), "{refused}");
}

#[tokio::test]
async fn a_refresh_token_is_exchanged_for_each_login() {
    let database = new_database("exchange");
    let fields = |token: String, secret: &str| {
        json!({
            "password": null, "authenticator": "oauth", "token": token,
            "oauth_client_id": "client", "oauth_client_secret": secret,
            "session_parameters": {"daygrain_faults": json!([{"on": "select 1", "do": "expire"}]).to_string()},
        })
    };
    let token = format!("refresh {database}+/=&");
    let adapter = snowflake(&database, fields(token.clone(), "secret"));
    let mut session = adapter.connect().await.expect("a session");
    session.fetch("select 1").await.expect("a new login");
    let log = snowflake_log(&database);
    let logins = log.iter().filter(|entry| entry.get("login").is_some());
    let said: Vec<(&Json, &Json)> = logins
        .map(|entry| (&entry["authenticator"], &entry["token"]))
        .collect();
    // The first answer is no JSON, and is asked for again.
    assert_eq!(
        said,
        [
            (&json!("OAUTH"), &json!("access 2")),
            (&json!("OAUTH"), &json!("access 3"))
        ]
    );
    for (token, secret, words) in [
        (token, "other", "This is an invalid client."),
        (
            "gone".to_owned(),
            "secret",
            "This is an invalid refresh token.",
        ),
    ] {
        let adapter = snowflake(&database, fields(token, secret));
        let refused = adapter.connect().await.err().expect("no session");
        assert_eq!(refused.kind, AdapterErrorKind::Connection);
        assert!(refused.message.ends_with(words), "{refused}");
    }
}

#[tokio::test]
async fn only_what_changes_rows_opens_a_transaction() {
    let database = new_database("transactions");
    let adapter = snowflake(&database, json!({}));
    let mut session = adapter.connect().await.expect("a session");
    let mut other = adapter.connect().await.expect("a session");
    session
        .execute("create schema if not exists shop; begin; create table shop.t (a int); commit")
        .await
        .expect("a table");
    let response = session
        .execute("begin; select 1; insert into shop.t values (1), (2)")
        .await
        .expect("rows");
    assert_eq!(response.rows_affected, Some(2));
    let count = "select count(*) from shop.t";
    let (_, seen) = other.fetch(count).await.expect("a number");
    assert_eq!(seen.rows, [[Datum::Int(0)]]);
    session.execute("rollback").await.expect("nothing");
    session
        .execute("begin; insert into shop.t values (3); create table shop.u (a int); rollback")
        .await
        .expect("DDL commits what is open");
    let (_, seen) = other.fetch(count).await.expect("a number");
    assert_eq!(seen.rows, [[Datum::Int(1)]]);
    assert_eq!(
        statements(&database),
        [
            "create schema if not exists shop",
            "create table shop.t (a int)",
            "select 1",
            "begin",
            "insert into shop.t values (1), (2)",
            count,
            "rollback",
            "begin",
            "insert into shop.t values (3)",
            "commit",
            "create table shop.u (a int)",
            count,
        ]
    );
}

#[tokio::test]
async fn rows_are_loaded_as_one_value() {
    let database = new_database("load");
    let adapter = snowflake(&database, json!({}));
    let mut session = adapter.connect().await.expect("a session");
    session
        .execute("create schema if not exists shop; create table shop.t (a int, \"b c\" text, d date, e number(10,2), f boolean)")
        .await
        .expect("a table");
    let column = |name: &str| ResultColumn {
        name: name.into(),
        data_type: String::new(),
    };
    let row = vec![
        Datum::Int(1),
        Datum::Text("it's \\ \"quoted\"\n?".into()),
        Datum::Date(jiff::civil::date(2026, 11, 1)),
        Datum::Decimal("1.25".into()),
        Datum::Bool(true),
    ];
    let mut rows = vec![row.clone(), vec![Datum::Null; 5]];
    rows.extend(std::iter::repeat_n(row.clone(), 20_000));
    let table = Table {
        columns: ["A", "b c", "D", "E", "F"].map(column).to_vec(),
        rows,
    };
    let relation = Relation::new(&SNOWFLAKE, &database, "shop", "t");
    let loaded = session.load(&relation, &table).await.expect("rows");
    assert_eq!(loaded, 20_002);
    let (_, found) = session
        .fetch("select distinct * from shop.t order by a nulls last")
        .await
        .expect("rows");
    assert_eq!(found.rows, [row, vec![Datum::Null; 5]]);
}

#[tokio::test]
async fn errors_name_the_query_and_the_code() {
    let adapter = snowflake(&new_database("errors"), json!({}));
    let mut session = adapter.connect().await.expect("a session");
    let error = session
        .execute("select 1; select * from nowhere")
        .await
        .expect_err("no table");
    assert_eq!(error.kind, AdapterErrorKind::Statement);
    assert_eq!(error.code.as_deref(), Some("002003"));
    let detail = error.detail.expect("a query id");
    assert!(detail.starts_with("the query's id is "), "{detail}");
}

#[tokio::test]
async fn long_statements_are_waited_for() {
    let database = new_database("long");
    let mut session = faulty(&database, json!([{"on": "select 41", "do": "async"}])).await;
    let (response, table) = session.fetch("select 41 + 1 as x").await.expect("a row");
    assert_eq!(table.rows, [[Datum::Int(42)]]);
    assert!(response.query_id.is_some());
}

#[tokio::test]
async fn a_busy_server_is_asked_again() {
    let database = new_database("busy");
    let faults = json!([
        {"on": "create", "do": "503"},
        {"on": "insert", "do": "429", "times": 2},
        {"on": "select", "do": "drop"},
    ]);
    let mut session = faulty(&database, faults).await;
    session
        .execute("create schema if not exists shop; create or replace table shop.t (a int); insert into shop.t values (1)")
        .await
        .expect("done");
    assert_eq!(rows_of_t(&mut session).await, 1);
}

#[tokio::test]
async fn a_login_is_tried_again() {
    let database = new_database("again");
    let of = |what: &str| json!([{"on": "login", "do": what}]).to_string();
    let adapter = |fields: Json| snowflake(&database, fields);
    let lost = json!({"session_parameters": {"daygrain_faults": of("drop")}});
    adapter(lost).connect().await.expect("a session");
    assert_eq!(logins(&database), 2);
    let database = new_database("refused");
    let adapter = |fields: Json| snowflake(&database, fields);
    let refused = json!({"session_parameters": {"daygrain_faults": of("refuse")}});
    let error = adapter(refused).connect().await.err().expect("no session");
    assert_eq!(error.kind, AdapterErrorKind::Connection);
    assert_eq!(
        error.message,
        "Incorrect username or password was specified."
    );
    assert_eq!(logins(&database), 1);
    let database = new_database("all");
    let adapter = |fields: Json| snowflake(&database, fields);
    let all = json!({
        "retry_all": true, "connect_timeout": 0,
        "session_parameters": {"daygrain_faults": of("refuse")},
    });
    adapter(all).connect().await.expect("a session");
    assert_eq!(logins(&database), 2);
}

#[tokio::test]
async fn a_change_whose_reply_is_lost_is_not_repeated() {
    let database = new_database("lost");
    let mut session = faulty(&database, json!([{"on": "insert", "do": "lose"}])).await;
    session
        .execute("create schema if not exists shop; create table shop.t (a int); begin")
        .await
        .expect("a table");
    let error = session
        .execute("insert into shop.t values (1)")
        .await
        .expect_err("the reply is lost");
    assert_eq!(error.kind, AdapterErrorKind::Connection);
    assert!(error.hint.expect("a hint").contains("nobody knows"));
    let sent = statements(&database);
    let inserts = sent.iter().filter(|sql| sql.starts_with("insert")).count();
    assert_eq!(inserts, 1, "{sent:?}");
    // Its transaction is rolled back, and the session goes on.
    assert_eq!(rows_of_t(&mut session).await, 0);
}

#[tokio::test]
async fn a_commit_whose_reply_is_lost_is_said_again() {
    let database = new_database("commit");
    let mut session = faulty(&database, json!([{"on": "commit", "do": "lose"}])).await;
    session
        .execute("create schema if not exists shop; create table shop.t (a int); begin; insert into shop.t values (1); commit")
        .await
        .expect("committed");
    assert_eq!(rows_of_t(&mut session).await, 1);
}

#[tokio::test]
async fn an_expired_login_is_renewed_between_transactions() {
    let database = new_database("expired");
    let faults = json!([{"on": "select 1", "do": "expire"}, {"on": "values (7)", "do": "expire"}]);
    let mut session = faulty(&database, faults).await;
    session
        .execute("create schema if not exists shop; create table shop.t (a int); use warehouse big; use warehouse huge")
        .await
        .expect("done");
    session.fetch("select 1").await.expect("a new login");
    assert_eq!(logins(&database), 2);
    let sent = statements(&database);
    assert_eq!(sent[sent.len() - 2..], ["use warehouse huge", "select 1"]);
    let error = session
        .execute("begin; insert into shop.t values (6); insert into shop.t values (7)")
        .await
        .expect_err("the transaction is lost");
    assert_eq!(error.kind, AdapterErrorKind::Connection);
    assert!(error.hint.expect("a hint").contains("rolled back"));
}

#[tokio::test]
async fn a_statement_that_outlives_its_login_is_stopped() {
    let database = new_database("outlived");
    let mut session = faulty(&database, json!([{"on": "select 5", "do": "expire-async"}])).await;
    let error = session.fetch("select 5").await.expect_err("too long");
    assert!(error.hint.expect("a hint").contains("longer than a login"));
    let last = statements(&database).pop().expect("a statement");
    assert!(last.starts_with("select system$cancel_query('"), "{last}");
}

#[tokio::test]
async fn a_statement_is_cancelled() {
    let database = new_database("cancel");
    let mut session = faulty(&database, json!([{"on": "select 3", "do": "slow"}])).await;
    let canceller = session.canceller();
    let started = Instant::now();
    let (ended, ()) = tokio::join!(session.fetch("select 3"), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        canceller.cancel().await;
    });
    assert_eq!(
        ended.expect_err("cancelled").kind,
        AdapterErrorKind::Cancelled
    );
    assert!(started.elapsed() < Duration::from_secs(10));
    session.fetch("select 4").await.expect("it goes on");
}

const SHOP: &str = "\
# file: dbt_project.yml
name: shop
profile: shop
flags: {send_anonymous_usage_stats: false}
on-run-start: \"create table if not exists {{ target.schema }}.ends (n int)\"
on-run-end: \"insert into {{ target.schema }}.ends values (1)\"
# file: seeds/raw_orders.csv
id,customer,amount,day,ok,note
1,ann,10.50,2026-11-01,true,it's
2,bob,20.25,2026-11-02,false,\"a\\b \"\"q\"\"\"
3,ann,,2026-11-03,true,
# file: models/stg.sql
select * from {{ ref('raw_orders') }}
# file: models/totals.sql
{{ config(materialized='table', cluster_by=['customer'], snowflake_warehouse='big', query_tag='totals', post_hook='insert into ' ~ target.schema ~ '.ends values (2)') }}
select customer, sum(amount) as total, count(*) as n from {{ ref('stg') }} group by customer
# file: models/added.sql
{{ config(materialized='incremental', incremental_strategy='append') }}
select id from {{ ref('stg') }}
# file: models/merged.sql
{{ config(materialized='incremental', unique_key='id', on_schema_change='append_new_columns') }}
select id, amount {% if var('more', false) %}, customer {% endif %} from {{ ref('stg') }}
# file: models/replaced.sql
{{ config(materialized='incremental', incremental_strategy='delete+insert', unique_key='id') }}
select id, customer from {{ ref('stg') }}
{% if is_incremental() %} where id > 1 {% endif %}
# file: models/overwritten.sql
{{ config(materialized='incremental', incremental_strategy='insert_overwrite') }}
select id from {{ ref('stg') }} {% if is_incremental() %} where id = 3 {% endif %}
# file: models/by_day.sql
{{ config(materialized='incremental', incremental_strategy='microbatch', event_time='day', batch_size='day', begin='2026-11-01', lookback=1) }}
select id, day from {{ ref('stg') }}
# file: models/schema.yml
models:
  - name: stg
    description: staged orders
    config: {event_time: day, persist_docs: {relation: true, columns: true}, grants: {select: [reader]}}
    columns:
      - name: id
        description: the key
        data_tests: [unique, not_null]
      - name: customer
        data_tests:
          - accepted_values: {arguments: {values: [ann]}, config: {severity: warn}}
";

fn shop(mut fields: Map<String, Json>, more: Json) -> Sandbox {
    fields.extend(more.as_object().cloned().unwrap_or_default());
    let profile = json!({"shop": {"target": "dev", "outputs": {"dev": fields}}});
    Sandbox::new(&format!("# file: profiles.yml\n{profile}\n{SHOP}"))
}

#[test]
fn a_small_project_is_built() {
    let fields = snowflake_place("small");
    let database = fields["database"].as_str().expect("a name").to_owned();
    let shop = shop(fields, json!({"threads": 4}));
    let debug = shop.run(&["debug"]).expect(0);
    assert!(
        debug.stdout.contains("OK connection ok"),
        "{}",
        debug.stdout
    );
    assert!(!debug.stdout.contains("unused"), "{}", debug.stdout);
    shop.run(&["seed"]).expect(0);
    let bounds = [
        "--event-time-start",
        "2026-11-01",
        "--event-time-end",
        "2026-11-04",
    ];
    let built = shop.run(&[&["build"], &bounds[..]].concat()).expect(0);
    assert!(built.stdout.contains("WARN=1 ERROR=0"), "{}", built.stdout);
    let rows = |sql: &str| Json::from(shop.rows(sql, &[]));
    assert_eq!(
        rows("select * from {{ ref('stg') }} order by id"),
        json!([
            {"id": 1, "customer": "ann", "amount": 10.5, "day": "2026-11-01", "ok": true, "note": "it's"},
            {"id": 2, "customer": "bob", "amount": 20.25, "day": "2026-11-02", "ok": false, "note": "a\\b \"q\""},
            {"id": 3, "customer": "ann", "amount": null, "day": "2026-11-03", "ok": true, "note": null},
        ])
    );
    assert_eq!(
        rows("select * from {{ ref('totals') }} order by customer"),
        json!([{"customer": "ann", "total": 10.5, "n": 2}, {"customer": "bob", "total": 20.25, "n": 1}])
    );
    // Once more, incrementally, with a column that is new.
    shop.run(&[&["run", "--vars", "{more: true}"], &bounds[..]].concat())
        .expect(0);
    let results: Json = serde_json::from_str(&shop.read("target/run_results.json")).unwrap();
    let results = results["results"].as_array().expect("results").iter();
    let is_model = |result: &&Json| {
        result["unique_id"]
            .as_str()
            .is_some_and(|id| id.starts_with("model.") && id != "model.shop.by_day")
    };
    for result in results.filter(is_model) {
        let answer = &result["adapter_response"];
        assert_eq!(answer["code"], "SUCCESS", "{result}");
        assert!(answer["query_id"].is_string(), "{result}");
    }
    assert_eq!(
        rows("select id, day from {{ ref('by_day') }} order by id"),
        json!([{"id": 1, "day": "2026-11-01"}, {"id": 2, "day": "2026-11-02"}, {"id": 3, "day": "2026-11-03"}])
    );
    assert_eq!(
        rows("select count(*) as n from {{ ref('added') }}"),
        json!([{"n": 6}])
    );
    assert_eq!(
        rows("select id, customer from {{ ref('merged') }} order by id"),
        json!([{"id": 1, "customer": "ann"}, {"id": 2, "customer": "bob"}, {"id": 3, "customer": "ann"}])
    );
    assert_eq!(
        rows("select count(*) as n, count(distinct id) as d from {{ ref('replaced') }}"),
        json!([{"n": 3, "d": 3}])
    );
    assert_eq!(
        rows("select id from {{ ref('overwritten') }}"),
        json!([{"id": 3}])
    );
    assert_eq!(
        rows("select n, count(*) as times from {{ target.schema }}.ends group by n order by n"),
        json!([{"n": 1, "times": 3}, {"n": 2, "times": 2}])
    );
    shop.run(&["seed", "--full-refresh"]).expect(0);
    if std::env::var_os("DAYGRAIN_TEST_SNOWFLAKE_PROFILE").is_some() {
        return;
    }
    let sent = statements(&database);
    let count = |part: &str| sent.iter().filter(|sql| sql.contains(part)).count();
    assert_eq!(count("use warehouse big"), 2);
    assert_eq!(count("use warehouse small"), 2);
    assert_eq!(count("query_tag = 'totals'"), 2);
    assert_eq!(count("alter session unset query_tag"), 2);
    assert_eq!(count("comment on view"), 2);
    assert_eq!(count("grant select on view"), 2);
}

#[test]
fn an_interrupt_cancels_what_runs() {
    let database = new_database("interrupt");
    let faults = json!([{"on": "table", "do": "slow", "times": 9}]).to_string();
    let shop = shop(
        snowflake_fields(&database),
        json!({"session_parameters": {"daygrain_faults": faults}}),
    );
    let ran = shop.interrupt(&["seed"]);
    assert_ne!(ran.code, 0);
    assert!(ran.stdout.contains("cancel"), "{}", ran.stdout);
}

#[test]
fn fields_that_do_nothing_are_named() {
    let fields = snowflake_fields(&new_database("fields"));
    let shop = shop(fields, json!({"insecure_mode": true}));
    let ran = shop.run(&["debug"]).expect(0);
    let told = format!("{}{}", ran.stdout, ran.stderr);
    assert!(told.contains("insecure_mode"), "{told}");
}
