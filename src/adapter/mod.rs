//! The drivers: what it takes to reach one kind of database.
//!
//! Few methods, asynchronous. Metadata queries, DDL and DML are macros or dialect data, never
//! methods here.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::dialect::Dialect;
use crate::relation::Relation;
use crate::table::Table;

/// A database that a target names.
pub trait Adapter: Send + Sync {
    /// Its SQL.
    fn dialect(&self) -> &'static Dialect;

    /// Opens a session.
    fn connect(&self) -> BoxFuture<'_, Result<Box<dyn Connection>, AdapterError>>;
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
    /// The command's first word, such as `SELECT`.
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
    /// Another process holds the embedded database's file.
    Locked,
    /// The statement was refused.
    Statement,
    /// The statement was stopped by [`Canceller::cancel`].
    Cancelled,
}
