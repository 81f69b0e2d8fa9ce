//! The drivers: what it takes to reach one kind of database.
//!
//! Few methods, asynchronous. Metadata queries, DDL and DML are macros or dialect data, never
//! methods here.

mod duckdb;
mod fields;
mod postgres;
mod snowflake;
mod tokens;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::config::profile::Target;
use crate::diagnostic::Diagnostic;
use crate::dialect::{DUCKDB, Dialect, POSTGRES, SNOWFLAKE};
use crate::relation::Relation;
use crate::table::Table;

/// A database that a target names.
pub trait Adapter: Send + Sync {
    /// Its SQL.
    fn dialect(&self) -> &'static Dialect;

    /// Opens a session.
    fn connect(&self) -> BoxFuture<'_, Result<Box<dyn Connection>, AdapterError>>;

    /// Does ahead what the first session would wait for, where nothing is left behind by it; blocks.
    ///
    /// What fails here, [`Adapter::connect`] tells.
    fn prepare(&self) {}
}

/// One session.
pub trait Connection: Send {
    /// Runs one or several statements and drops what they return.
    fn execute<'a>(&'a mut self, sql: &'a str) -> BoxFuture<'a, Result<Response, AdapterError>>;

    /// Runs one or several statements and returns the rows of the last.
    fn fetch<'a>(
        &'a mut self,
        sql: &'a str,
    ) -> BoxFuture<'a, Result<(Response, Table), AdapterError>>;

    /// Appends rows to an existing relation in bulk; returns how many.
    ///
    /// Columns are matched by the table's names. It takes part in the open transaction.
    fn load<'a>(
        &'a mut self,
        relation: &'a Relation,
        rows: &'a Table,
    ) -> BoxFuture<'a, Result<u64, AdapterError>>;

    /// Runs a statement that hands rows out as bytes, and gives them on piece by piece.
    ///
    /// It takes part in the open transaction. Only where [`Dialect::streams_rows_out`] says so.
    fn stream_out<'a>(
        &'a mut self,
        sql: &'a str,
        take: &'a mut (dyn FnMut(&[u8]) -> std::io::Result<()> + Send),
    ) -> BoxFuture<'a, Result<(), AdapterError>> {
        let _ = (sql, take);
        let message = "this database does not hand rows out as a stream";
        let refused = AdapterError::new(AdapterErrorKind::Statement, message);
        Box::pin(std::future::ready(Err(refused)))
    }

    /// Tells whether the session is still there, as far as this side has heard; sends nothing.
    fn is_open(&mut self) -> BoxFuture<'_, bool> {
        Box::pin(std::future::ready(true))
    }

    /// What the server has said beside its answers since this was last asked, in its words.
    fn take_notices(&mut self) -> Vec<String> {
        Vec::new()
    }

    /// A handle that stops what this session runs, usable from any thread.
    fn canceller(&self) -> Arc<dyn Canceller>;
}

/// Stops the statement that a session runs, if it runs one.
pub trait Canceller: Send + Sync {
    /// Asks the database to stop; the statement then fails as cancelled.
    fn cancel(&self) -> BoxFuture<'_, ()>;
}

/// What a database says of a statement that it ran.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// In dbt's words, such as `SELECT 12` or `OK`.
    pub message: String,
    /// The command without its numbers, such as `SELECT` or `CREATE VIEW`; empty where there is none.
    pub code: String,
    /// Rows that were returned or changed, where known.
    pub rows_affected: Option<u64>,
    /// The server's id of the query, where it gives one.
    pub query_id: Option<String>,
}

/// Why a database did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdapterError {
    /// The kind.
    pub kind: AdapterErrorKind,
    /// The server's words.
    pub message: String,
    /// SQLSTATE or the like.
    pub code: Option<String>,
    /// The server's detail.
    pub detail: Option<String>,
    /// The server's hint, or ours.
    pub hint: Option<String>,
    /// The byte offset in the statement's text that the server pointed at.
    pub offset: Option<usize>,
}

/// The kinds of failures that are handled apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdapterErrorKind {
    /// Cannot connect, or the connection was lost.
    Connection,
    /// Somebody else holds the embedded database's file, or a lock that was waited for in vain.
    Locked,
    /// The statement was refused.
    Statement,
    /// The transaction was ended in favour of another one, and may be tried again.
    Conflict,
    /// The statement was stopped by [`Canceller::cancel`].
    Cancelled,
}

impl AdapterError {
    /// Makes an error that has no more than its message.
    pub fn new(kind: AdapterErrorKind, message: impl Into<String>) -> AdapterError {
        AdapterError {
            kind,
            message: message.into(),
            code: None,
            detail: None,
            hint: None,
            offset: None,
        }
    }
}

impl fmt::Display for AdapterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for AdapterError {}

/// An adapter, or what is wrong with the profile.
type Opened = Result<Arc<dyn Adapter>, Box<Diagnostic>>;

/// What sessions may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everything.
    Writing,
    /// Only read; where the database is a file, it stays as it is, byte by byte.
    Reading,
}

/// What the table of drivers knows of one.
struct Driver {
    /// The SQL it speaks.
    dialect: &'static Dialect,
    /// Reads the profile; touches neither files nor the network.
    open: fn(&Target, &Path, Access) -> Opened,
    /// The fields of a profile that it reads, beside those that [`Target`] itself reads.
    fields: &'static [&'static str],
}

const DRIVERS: &[Driver] = &[
    Driver {
        dialect: &DUCKDB,
        open: duckdb::open,
        fields: duckdb::FIELDS,
    },
    Driver {
        dialect: &POSTGRES,
        open: postgres::open,
        fields: postgres::FIELDS,
    },
    Driver {
        dialect: &SNOWFLAKE,
        open: snowflake::open,
        fields: snowflake::FIELDS,
    },
];

fn driver(target: &Target) -> &'static Driver {
    DRIVERS
        .iter()
        .find(|driver| driver.dialect.name == target.dialect.name)
        .expect("every dialect has a driver, as a test demands")
}

/// Makes the adapter of a target. Nothing is reached before the first [`Adapter::connect`].
///
/// Paths in the profile are relative to the project's root.
///
/// # Errors
/// Fields of the profile that are wrong or missing.
pub fn open(target: &Target, project_root: &Path) -> Result<Arc<dyn Adapter>, Box<Diagnostic>> {
    open_for(target, project_root, Access::Writing)
}

/// As [`open`], for sessions that may do so much.
///
/// # Errors
/// As [`open`].
pub fn open_for(
    target: &Target,
    project_root: &Path,
    access: Access,
) -> Result<Arc<dyn Adapter>, Box<Diagnostic>> {
    (driver(target).open)(target, project_root, access)
}

/// Returns the fields of the profile that nothing reads, sorted, so that the caller can warn of them.
pub fn unused_fields(target: &Target) -> Vec<String> {
    const COMMON: &[&str] = &["type", "threads", "schema", "database"];
    let read = driver(target).fields;
    let known = |key: &str| COMMON.contains(&key) || read.contains(&key);
    let mut unused: Vec<String> = target.fields.keys().cloned().collect();
    unused.retain(|key| !known(key));
    unused.sort();
    unused
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes a target for the tests of the drivers.
    pub(super) fn target(dialect: &'static Dialect, fields: serde_json::Value) -> Target {
        let fields = fields.as_object().cloned().unwrap_or_default();
        let text = |key: &str| fields.get(key).and_then(|value| value.as_str());
        Target {
            profile: "shop".into(),
            name: "dev".into(),
            dialect,
            database: text("database").unwrap_or("memory").into(),
            schema: text("schema").unwrap_or(dialect.default_schema).into(),
            threads: 1,
            fields,
            span: None,
            file: None,
            connections: Vec::new(),
        }
    }

    #[test]
    fn every_dialect_has_a_driver() {
        for dialect in crate::dialect::ALL {
            let found = driver(&target(dialect, serde_json::json!({})));
            assert_eq!(found.dialect.name, dialect.name);
        }
    }

    #[test]
    fn fields_that_do_nothing_are_named() {
        let fields = serde_json::json!({
            "type": "postgres", "host": "h", "user": "u", "sslcrl": "c", "keepalive": 1,
        });
        let target = target(&POSTGRES, fields);
        assert_eq!(unused_fields(&target), ["keepalive", "sslcrl"]);
    }
}
