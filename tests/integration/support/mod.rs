//! What the integration tests share.

pub mod house;
pub mod live;
pub mod lossy;
pub mod outage;
pub mod sandbox;
pub mod server;
pub mod shop;

use daygrain::adapter::{self, Adapter, Connection};
use daygrain::config::profile::Target;
use daygrain::dialect::{Dialect, POSTGRES, SNOWFLAKE};
use serde_json::{Map, Value as Json, json};
use std::path::Path;
use std::sync::Arc;

/// The server that `scripts/test` starts, such as `postgres://postgres@127.0.0.1:5499/postgres`.
///
/// Tests share it, so each works in a schema of its own.
pub fn postgres_url() -> String {
    std::env::var("DAYGRAIN_TEST_POSTGRES").expect(
        "DAYGRAIN_TEST_POSTGRES names no server: run `scripts/test`, which starts one for the tests",
    )
}

/// The S3 server that `scripts/test` starts, such as `http://127.0.0.1:30001`.
///
/// Tests share it, so each works in a bucket of its own.
pub fn s3_url() -> String {
    std::env::var("DAYGRAIN_TEST_S3").expect(
        "DAYGRAIN_TEST_S3 names no server: run `scripts/test`, which starts one for the tests",
    )
}

/// Makes a bucket of the S3 server, unless it is there; clients can only use what is there.
pub fn make_bucket(name: &str) {
    use std::io::{Read as _, Write as _};
    let url = s3_url();
    let host = url.strip_prefix("http://").expect("an http:// url");
    let mut stream = std::net::TcpStream::connect(host).expect("a connection");
    let head = format!(
        "PUT /{name} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
}

/// The fields of a profile that reach the server of [`postgres_url`].
pub fn postgres_fields(schema: &str) -> Map<String, Json> {
    let url = postgres_url();
    let rest = url.strip_prefix("postgres://").expect("a postgres:// url");
    let (user, rest) = rest.split_once('@').expect("user@");
    let (address, dbname) = rest.split_once('/').expect("/database");
    let (host, port) = address.split_once(':').expect("host:port");
    let fields = json!({
        "type": "postgres", "host": host, "port": port.parse::<u16>().expect("a port"),
        "user": user, "password": "unused", "dbname": dbname, "schema": schema,
    });
    fields.as_object().cloned().expect("a mapping")
}

/// The target of a profile with these fields.
pub fn target(dialect: &'static Dialect, fields: Map<String, Json>) -> Target {
    let text = |key: &str| {
        fields
            .get(key)
            .and_then(Json::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    Target {
        profile: "test".into(),
        name: "dev".into(),
        dialect,
        database: match text("dbname") {
            name if name.is_empty() => text("database"),
            name => name,
        },
        schema: text("schema"),
        threads: 1,
        fields,
        span: None,
        file: None,
        connections: Vec::new(),
    }
}

/// Opens the server of [`postgres_url`], with further fields.
pub fn postgres(more: Json) -> Arc<dyn Adapter> {
    let mut fields = postgres_fields("public");
    fields.extend(more.as_object().cloned().unwrap_or_default());
    adapter::open(&target(&POSTGRES, fields), Path::new(".")).expect("a good profile")
}

/// A session whose unqualified names mean a new, empty schema of this name.
pub async fn postgres_session(schema: &str) -> Box<dyn Connection> {
    let adapter = postgres(json!({ "search_path": schema }));
    let mut session = adapter.connect().await.expect("a session");
    let sql = format!("drop schema if exists {schema} cascade; create schema {schema}");
    session.execute(&sql).await.expect("an empty schema");
    session
}

/// Drops schemas of the tests' server with all that is in them.
pub fn drop_postgres_schemas(schemas: &[&str]) {
    let drops: Vec<String> = schemas
        .iter()
        .map(|schema| format!("drop schema if exists {schema} cascade"))
        .collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let adapter = postgres(json!({}));
        let mut session = adapter.connect().await.expect("a session");
        session
            .execute(&drops.join("; "))
            .await
            .expect("no schemas");
    });
}

/// The Snowflake that `scripts/test` starts, such as `http://127.0.0.1:32001`: fakesnows behind
/// `support/snowflake_server.py`.
///
/// Tests share it, so each works in a database of its own, which is made by the first login.
pub fn snowflake_url() -> String {
    std::env::var("DAYGRAIN_TEST_SNOWFLAKE").expect(
        "DAYGRAIN_TEST_SNOWFLAKE names no server: run `scripts/test`, which starts one for the tests",
    )
}

/// A name that no other test and no earlier run has used for a database of [`snowflake_url`].
pub fn new_database(name: &str) -> String {
    use std::time::{SystemTime, UNIX_EPOCH};
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    format!("{name}_{}", since.expect("after 1970").as_nanos())
}

/// The fields of a profile that reach the server of [`snowflake_url`].
pub fn snowflake_fields(database: &str) -> Map<String, Json> {
    let url = snowflake_url();
    let address = url.strip_prefix("http://").expect("an http:// url");
    let (host, port) = address.split_once(':').expect("host:port");
    let fields = json!({
        "type": "snowflake", "account": "acct", "user": "tester", "password": "unused",
        "host": host, "port": port.parse::<u16>().expect("a port"), "protocol": "http",
        "database": database, "schema": "shop", "warehouse": "small", "role": "builder",
    });
    fields.as_object().cloned().expect("a mapping")
}

/// Where tests build that may run in a real account: the fields of a profile, whose schema is new.
///
/// `DAYGRAIN_TEST_SNOWFLAKE_PROFILE` names a JSON file of such fields; without it, a new database of
/// [`snowflake_url`] is the place.
pub fn snowflake_place(name: &str) -> Map<String, Json> {
    let Some(file) = std::env::var_os("DAYGRAIN_TEST_SNOWFLAKE_PROFILE") else {
        return snowflake_fields(&new_database(name));
    };
    let text = std::fs::read_to_string(&file).expect("a file");
    let fields: Json = serde_json::from_str(&text).expect("JSON");
    let mut fields = fields.as_object().cloned().expect("a mapping");
    fields.insert("type".to_owned(), "snowflake".into());
    fields.insert("schema".to_owned(), new_database(name).into());
    fields
}

/// Opens a database of [`snowflake_url`], with further fields.
pub fn snowflake(database: &str, more: Json) -> Arc<dyn Adapter> {
    let mut fields = snowflake_fields(database);
    fields.extend(more.as_object().cloned().unwrap_or_default());
    adapter::open(&target(&SNOWFLAKE, fields), Path::new(".")).expect("a good profile")
}

/// What the server of [`snowflake_url`] was sent for a database: logins and statements.
pub fn snowflake_log(database: &str) -> Vec<Json> {
    use std::io::{Read as _, Write as _};
    let url = snowflake_url();
    let address = url.strip_prefix("http://").expect("an http:// url");
    let mut stream = std::net::TcpStream::connect(address).expect("a connection");
    write!(stream, "GET /log?database={database} HTTP/1.0\r\n\r\n").expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (_, lines) = answer.split_once("\r\n\r\n").expect("a body");
    lines
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}
