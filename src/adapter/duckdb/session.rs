//! One session.
//!
//! The library's calls block, so a future of this session does all its work when it is first
//! polled, and its thread waits. On a runtime of several threads the others carry on meanwhile;
//! best is to poll it where blocking is no matter. No thread of its own stands between: handing
//! each statement over would cost as much as a small statement takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use duckdb::types::{TimeUnit, ToSql, ToSqlOutput, Value, ValueRef};
use duckdb::{Connection as Database, Error, InterruptHandle, appender_params_from_iter};
use futures_util::future::BoxFuture;
use tokio::runtime::{Handle, RuntimeFlavor};

use super::decode;
use crate::adapter::{AdapterError, AdapterErrorKind, Canceller, Connection, Response};
use crate::dialect::DUCKDB;
use crate::relation::Relation;
use crate::table::{Datum, ResultColumn, Table};

/// A session.
pub(super) struct Session {
    database: Database,
    cancel: Arc<Cancel>,
}

/// Interrupts the session's statement.
struct Cancel {
    handle: Arc<InterruptHandle>,
    /// Whether a statement is under way.
    running: AtomicBool,
}

impl Canceller for Cancel {
    fn cancel(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            if self.running.load(Ordering::Acquire) {
                self.handle.interrupt();
            }
        })
    }
}

/// Runs what blocks, and lets the runtime's other tasks move to other threads meanwhile.
pub(super) fn blocking<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current() {
        Ok(runtime) if runtime.runtime_flavor() == RuntimeFlavor::MultiThread => {
            tokio::task::block_in_place(work)
        }
        _ => work(),
    }
}

impl Session {
    pub(super) fn new(database: Database) -> Session {
        let cancel = Cancel {
            handle: database.interrupt_handle(),
            running: AtomicBool::new(false),
        };
        Session {
            database,
            cancel: Arc::new(cancel),
        }
    }

    fn run<T>(&mut self, work: impl FnOnce(&Database) -> T) -> T {
        self.cancel.running.store(true, Ordering::Release);
        let result = blocking(|| work(&self.database));
        self.cancel.running.store(false, Ordering::Release);
        result
    }
}

impl Connection for Session {
    fn execute<'a>(&'a mut self, sql: &'a str) -> BoxFuture<'a, Result<Response, AdapterError>> {
        Box::pin(async move { self.run(|database| execute(database, sql)) })
    }

    fn fetch<'a>(
        &'a mut self,
        sql: &'a str,
    ) -> BoxFuture<'a, Result<(Response, Table), AdapterError>> {
        Box::pin(async move { self.run(|database| fetch(database, sql)) })
    }

    fn load<'a>(
        &'a mut self,
        relation: &'a Relation,
        rows: &'a Table,
    ) -> BoxFuture<'a, Result<u64, AdapterError>> {
        Box::pin(async move { self.run(|database| load(database, relation, rows)) })
    }

    fn canceller(&self) -> Arc<dyn Canceller> {
        Arc::clone(&self.cancel) as Arc<dyn Canceller>
    }
}

fn execute(database: &Database, sql: &str) -> Result<Response, AdapterError> {
    let fail = |e: Error| failure(&e, sql);
    let start = beginning(sql);
    if start.is_empty() {
        return Ok(response(None));
    }
    if changes_no_rows(start) {
        database.execute_batch(sql).map_err(fail)?;
        return Ok(response(None));
    }
    let mut statement = database.prepare(sql).map_err(fail)?;
    statement.raw_execute().map_err(fail)?;
    let changed = decode::changed_rows(&statement).map_err(fail)?;
    Ok(response(changed))
}

/// Tells whether a text is one of the common statements that never report changed rows: these need
/// not be prepared first, which is a tenth faster.
fn changes_no_rows(sql: &str) -> bool {
    const WORDS: &[&str] = &[
        "begin", "commit", "rollback", "drop", "alter", "comment", "set",
    ];
    if sql.trim_end().trim_end_matches(';').contains(';') {
        return false;
    }
    let mut words = sql.split_whitespace().map(str::to_ascii_lowercase);
    match words.next() {
        Some(first) if first == "create" => {
            words.take(4).any(|word| word == "view" || word == "schema")
        }
        Some(first) => WORDS.contains(&first.trim_end_matches(';')),
        None => false,
    }
}

fn fetch(database: &Database, sql: &str) -> Result<(Response, Table), AdapterError> {
    let fail = |e: Error| failure(&e, sql);
    if beginning(sql).is_empty() {
        return Ok((response(None), Table::default()));
    }
    let mut statement = database.prepare(sql).map_err(fail)?;
    statement.raw_execute().map_err(fail)?;
    let table = decode::table(&statement).map_err(fail)?;
    let rows = table.rows.len() as u64;
    Ok((response(Some(rows)), table))
}

fn response(rows_affected: Option<u64>) -> Response {
    Response {
        message: "OK".into(),
        code: String::new(),
        rows_affected,
        query_id: None,
    }
}

/// Skips spaces, semicolons and comments; the library refuses a text that holds nothing else.
fn beginning(sql: &str) -> &str {
    let mut rest = sql;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ';');
        if let Some(comment) = rest.strip_prefix("--") {
            rest = comment.split_once('\n').map_or("", |(_, after)| after);
        } else if let Some(comment) = rest.strip_prefix("/*") {
            rest = comment.split_once("*/").map_or("", |(_, after)| after);
        } else {
            return rest;
        }
    }
}

/// Appends all rows, in one transaction: the open one, or one of its own.
fn load(database: &Database, relation: &Relation, rows: &Table) -> Result<u64, AdapterError> {
    if rows.columns.is_empty() || rows.rows.is_empty() {
        return Ok(0);
    }
    let run = |sql| database.execute_batch(sql).map_err(|e| failure(&e, sql));
    if in_transaction(database).map_err(|e| failure(&e, ""))? {
        return append(database, relation, rows);
    }
    run("begin transaction")?;
    let appended = append(database, relation, rows);
    let ended = run(if appended.is_ok() {
        "commit"
    } else {
        "rollback"
    });
    appended.and_then(|count| ended.map(|()| count))
}

/// Tells whether a transaction is open: without one, each statement is a transaction of its own.
fn in_transaction(database: &Database) -> Result<bool, Error> {
    let id = || database.query_row("select txid_current()", [], |row| row.get::<_, u64>(0));
    Ok(id()? == id()?)
}

fn append(database: &Database, relation: &Relation, rows: &Table) -> Result<u64, AdapterError> {
    let fail = |e: Error| failure(&e, "");
    let columns = table_columns(database, relation, rows)?;
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let table = relation.identifier.as_deref().unwrap_or_default();
    let schema = match relation.schema.as_deref() {
        Some(schema) => schema.to_owned(),
        None => database
            .query_row("select current_schema()", [], |row| row.get(0))
            .map_err(fail)?,
    };
    let mut appender = match relation.database.as_deref() {
        Some(catalog) => {
            database.appender_with_columns_to_catalog_and_db(table, catalog, &schema, &columns)
        }
        None => database.appender_with_columns_to_db(table, &schema, &columns),
    }
    .map_err(fail)?;
    for row in &rows.rows {
        appender
            .append_row(appender_params_from_iter(row.iter().map(Cell)))
            .map_err(fail)?;
    }
    appender.flush().map_err(fail)?;
    Ok(rows.rows.len() as u64)
}

/// Finds the table's own spelling of the columns, since the appender compares with case.
fn table_columns(
    database: &Database,
    relation: &Relation,
    rows: &Table,
) -> Result<Vec<String>, AdapterError> {
    let sql = format!("select * from {} limit 0", relation.render(&DUCKDB));
    let mut statement = database.prepare(&sql).map_err(|e| failure(&e, &sql))?;
    statement.raw_execute().map_err(|e| failure(&e, &sql))?;
    let own = statement.column_names();
    let spelt = |column: &ResultColumn| {
        let name = &column.name;
        let found = own
            .iter()
            .find(|own| own.to_lowercase() == name.to_lowercase());
        found.unwrap_or(name).clone()
    };
    Ok(rows.columns.iter().map(spelt).collect())
}

/// A value as the appender takes it; text is cast to the column's type, exactly.
struct Cell<'a>(&'a Datum);

impl ToSql for Cell<'_> {
    fn to_sql(&self) -> duckdb::Result<ToSqlOutput<'_>> {
        let value = match self.0 {
            Datum::Decimal(text) | Datum::Text(text) => {
                return Ok(ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())));
            }
            Datum::Bytes(bytes) => return Ok(ToSqlOutput::Borrowed(ValueRef::Blob(bytes))),
            Datum::Null => Value::Null,
            Datum::Bool(value) => Value::Boolean(*value),
            Datum::Int(value) => Value::BigInt(*value),
            Datum::Float(value) => Value::Double(*value),
            Datum::Date(date) => {
                let epoch = jiff::civil::date(1970, 1, 1);
                Value::Date32(epoch.duration_until(*date).as_hours() as i32 / 24)
            }
            Datum::Time(time) => {
                let since = jiff::civil::Time::midnight().duration_until(*time);
                Value::Time64(TimeUnit::Microsecond, since.as_micros() as i64)
            }
            Datum::Timestamp(at) => {
                let epoch = jiff::civil::datetime(1970, 1, 1, 0, 0, 0, 0);
                let since = epoch.duration_until(*at).as_micros() as i64;
                Value::Timestamp(TimeUnit::Microsecond, since)
            }
            Datum::TimestampTz(at) => Value::Text(at.to_string()),
            Datum::Json(value) => Value::Text(value.to_string()),
        };
        Ok(ToSqlOutput::Owned(value))
    }
}

/// Turns the library's error into ours; `sql` is the text that it points into.
pub(super) fn failure(error: &Error, sql: &str) -> AdapterError {
    let text = match error {
        Error::DuckDBFailure(_, Some(message)) => message.clone(),
        Error::FromSqlConversionFailure(_, _, source) => source.to_string(),
        other => other.to_string(),
    };
    let (message, pointer) = match text.find("\n\nLINE ") {
        Some(at) => (&text[..at], &text[at + 2..]),
        None => match text.find("\nLINE ") {
            Some(at) => (&text[..at], &text[at + 1..]),
            None => (text.as_str(), ""),
        },
    };
    let cancelled = message.starts_with("INTERRUPT Error");
    let kind = if cancelled {
        AdapterErrorKind::Cancelled
    } else {
        AdapterErrorKind::Statement
    };
    AdapterError {
        offset: offset(pointer, sql),
        ..AdapterError::new(kind, message.trim_end())
    }
}

/// Finds the byte offset that `LINE 2: ... from x` and the caret below it mean.
///
/// The library cuts long lines at either end and marks the cut with `...`.
fn offset(pointer: &str, sql: &str) -> Option<usize> {
    let (line, below) = pointer.split_once('\n')?;
    let (number, excerpt) = line.strip_prefix("LINE ")?.split_once(": ")?;
    let number: usize = number.parse().ok()?;
    let caret = below.lines().next()?;
    let column = caret.find('^')?.checked_sub(line.len() - excerpt.len())?;
    let start: usize = sql
        .split_inclusive('\n')
        .take(number - 1)
        .map(str::len)
        .sum();
    let whole = sql[start..].lines().next().unwrap_or_default();
    let within = match whole.strip_prefix(excerpt) {
        Some(_) => column,
        None => {
            let inner = excerpt.strip_prefix("...").unwrap_or(excerpt);
            let cut = excerpt.len() - inner.len();
            let inner = inner.strip_suffix("...").unwrap_or(inner);
            whole.find(inner)? + column.checked_sub(cut)?
        }
    };
    // The caret counts columns of the terminal; a line with wide characters is near enough.
    let mut at = (start + within).min(sql.len());
    while !sql.is_char_boundary(at) {
        at -= 1;
    }
    Some(at)
}
