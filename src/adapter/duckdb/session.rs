//! One session on a thread of its own, because the library's calls block.
//!
//! The thread owns the library's connection. A statement whose future was dropped runs to its end
//! before the next one starts; dropping the session interrupts it and waits for the thread, so that
//! the file is closed when the last session is gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc as channel;
use std::thread::{self, JoinHandle};

use duckdb::types::{TimeUnit, Value};
use duckdb::{Connection as Database, Error, InterruptHandle};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};

use super::decode;
use crate::adapter::{AdapterError, AdapterErrorKind, Canceller, Connection, Response};
use crate::dialect::DUCKDB;
use crate::relation::Relation;
use crate::table::{Datum, Table};

/// How many rows of a bulk load travel to the thread at once.
const CHUNK: usize = 2048;

/// A session, as its user sees it.
pub(super) struct Session {
    /// `None` once the session is being closed.
    jobs: Option<channel::Sender<Job>>,
    cancel: Arc<Cancel>,
    thread: Option<JoinHandle<()>>,
}

type Reply<T> = oneshot::Sender<Result<T, AdapterError>>;

/// What the thread is asked to do.
enum Job {
    Execute(String, Reply<Response>),
    Fetch(String, Reply<(Response, Table)>),
    Load(Box<Load>, Reply<u64>),
}

/// A bulk load under way.
struct Load {
    relation: Relation,
    columns: Vec<String>,
    chunks: mpsc::Receiver<Vec<Vec<Value>>>,
}

/// Interrupts the session's statement.
struct Cancel {
    handle: Arc<InterruptHandle>,
    /// Whether a statement is under way.
    running: AtomicBool,
}

impl Canceller for Cancel {
    fn cancel(&self) -> BoxFuture<'_, ()> {
        if self.running.load(Ordering::Acquire) {
            self.handle.interrupt();
        }
        async {}.boxed()
    }
}

impl Session {
    /// Starts the thread and opens the library's connection on it.
    pub(super) async fn start(
        open: impl FnOnce() -> Result<Database, AdapterError> + Send + 'static,
    ) -> Result<Session, AdapterError> {
        let (jobs, queue) = channel::channel();
        let (ready, opened) = oneshot::channel();
        let thread = thread::Builder::new()
            .name("duckdb-session".into())
            .spawn(move || {
                let database = match open() {
                    Ok(database) => database,
                    Err(error) => {
                        // Nobody listens if the caller was dropped.
                        let _ = ready.send(Err(error));
                        return;
                    }
                };
                let cancel = Arc::new(Cancel {
                    handle: database.interrupt_handle(),
                    running: AtomicBool::new(false),
                });
                if ready.send(Ok(Arc::clone(&cancel))).is_ok() {
                    serve(&database, &queue, &cancel);
                }
            })
            .map_err(|e| {
                let message = format!("cannot start a thread: {e}");
                AdapterError::new(AdapterErrorKind::Connection, message)
            })?;
        let cancel = opened.await.unwrap_or_else(|_| Err(ended()))?;
        Ok(Session {
            jobs: Some(jobs),
            cancel,
            thread: Some(thread),
        })
    }

    /// Hands a job to the thread; the reply's receiver tells if the thread is gone.
    fn send(&self, job: Job) {
        if let Some(jobs) = &self.jobs {
            // A thread that is gone drops the job and with it the reply's sender.
            let _ = jobs.send(job);
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.jobs = None;
        if self.cancel.running.load(Ordering::Acquire) {
            self.cancel.handle.interrupt();
        }
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was reported as the failure of its statement.
            let _ = thread.join();
        }
    }
}

impl Connection for Session {
    fn execute<'a>(&'a mut self, sql: &'a str) -> BoxFuture<'a, Result<Response, AdapterError>> {
        let (reply, answer) = oneshot::channel();
        self.send(Job::Execute(sql.to_owned(), reply));
        async { answer.await.unwrap_or_else(|_| Err(ended())) }.boxed()
    }

    fn fetch<'a>(
        &'a mut self,
        sql: &'a str,
    ) -> BoxFuture<'a, Result<(Response, Table), AdapterError>> {
        let (reply, answer) = oneshot::channel();
        self.send(Job::Fetch(sql.to_owned(), reply));
        async { answer.await.unwrap_or_else(|_| Err(ended())) }.boxed()
    }

    fn load<'a>(
        &'a mut self,
        relation: &'a Relation,
        rows: &'a Table,
    ) -> BoxFuture<'a, Result<u64, AdapterError>> {
        Box::pin(async move {
            let (feed, chunks) = mpsc::channel(4);
            let (reply, answer) = oneshot::channel();
            let load = Load {
                relation: relation.clone(),
                columns: rows
                    .columns
                    .iter()
                    .map(|column| column.name.clone())
                    .collect(),
                chunks,
            };
            self.send(Job::Load(Box::new(load), reply));
            for chunk in rows.rows.chunks(CHUNK) {
                let chunk = chunk
                    .iter()
                    .map(|row| row.iter().map(encode).collect())
                    .collect();
                if feed.send(chunk).await.is_err() {
                    // The load has failed; its reply says why.
                    break;
                }
            }
            drop(feed);
            answer.await.unwrap_or_else(|_| Err(ended()))
        })
    }

    fn canceller(&self) -> Arc<dyn Canceller> {
        Arc::clone(&self.cancel) as Arc<dyn Canceller>
    }
}

/// The thread's loop: one job after the other until the session is dropped.
fn serve(database: &Database, queue: &channel::Receiver<Job>, cancel: &Cancel) {
    for job in queue {
        cancel.running.store(true, Ordering::Release);
        // A reply that nobody waits for any more is dropped.
        match job {
            Job::Execute(sql, reply) => {
                let _ = reply.send(execute(database, &sql));
            }
            Job::Fetch(sql, reply) => {
                let _ = reply.send(fetch(database, &sql));
            }
            Job::Load(load, reply) => {
                let _ = reply.send(append(database, *load));
            }
        }
        cancel.running.store(false, Ordering::Release);
    }
}

fn ended() -> AdapterError {
    AdapterError::new(
        AdapterErrorKind::Connection,
        "the database session ended unexpectedly",
    )
}

fn execute(database: &Database, sql: &str) -> Result<Response, AdapterError> {
    if is_blank(sql) {
        return Ok(response(None));
    }
    let mut statement = database.prepare(sql).map_err(|e| failure(&e, sql))?;
    statement.raw_execute().map_err(|e| failure(&e, sql))?;
    let changed = decode::changed_rows(&statement).map_err(|e| failure(&e, sql))?;
    Ok(response(changed))
}

fn fetch(database: &Database, sql: &str) -> Result<(Response, Table), AdapterError> {
    if is_blank(sql) {
        return Ok((response(None), Table::default()));
    }
    let mut statement = database.prepare(sql).map_err(|e| failure(&e, sql))?;
    statement.raw_execute().map_err(|e| failure(&e, sql))?;
    let table = decode::table(&statement).map_err(|e| failure(&e, sql))?;
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

/// Tells whether the text holds only spaces, semicolons and comments, which the library refuses.
fn is_blank(sql: &str) -> bool {
    let mut rest = sql;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ';');
        if let Some(comment) = rest.strip_prefix("--") {
            rest = comment.split_once('\n').map_or("", |(_, after)| after);
        } else if let Some(comment) = rest.strip_prefix("/*") {
            rest = comment.split_once("*/").map_or("", |(_, after)| after);
        } else {
            return rest.is_empty();
        }
    }
}

/// Appends all chunks, in one transaction: the open one, or one of its own.
fn append(database: &Database, mut load: Load) -> Result<u64, AdapterError> {
    let run = |sql| database.execute_batch(sql).map_err(|e| failure(&e, ""));
    if in_transaction(database).map_err(|e| failure(&e, ""))? {
        return append_rows(database, &mut load);
    }
    run("begin transaction")?;
    let appended = append_rows(database, &mut load);
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

fn append_rows(database: &Database, load: &mut Load) -> Result<u64, AdapterError> {
    let fail = |e: Error| failure(&e, "");
    let columns = table_columns(database, load)?;
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let table = load.relation.identifier.as_deref().unwrap_or_default();
    let schema = match load.relation.schema.as_deref() {
        Some(schema) => schema.to_owned(),
        None => database
            .query_row("select current_schema()", [], |row| row.get(0))
            .map_err(fail)?,
    };
    let mut appender = match load.relation.database.as_deref() {
        Some(catalog) => {
            database.appender_with_columns_to_catalog_and_db(table, catalog, &schema, &columns)
        }
        None => database.appender_with_columns_to_db(table, &schema, &columns),
    }
    .map_err(fail)?;
    let mut count = 0;
    while let Some(chunk) = load.chunks.blocking_recv() {
        count += chunk.len() as u64;
        for row in chunk {
            appender
                .append_row(duckdb::appender_params_from_iter(row))
                .map_err(fail)?;
        }
    }
    appender.flush().map_err(fail)?;
    Ok(count)
}

/// Finds the table's own spelling of the columns, since the appender compares with case.
fn table_columns(database: &Database, load: &Load) -> Result<Vec<String>, AdapterError> {
    let sql = format!("select * from {} limit 0", load.relation.render(&DUCKDB));
    let mut statement = database.prepare(&sql).map_err(|e| failure(&e, &sql))?;
    statement.raw_execute().map_err(|e| failure(&e, &sql))?;
    let own = statement.column_names();
    let spelt = |name: &String| {
        let found = own
            .iter()
            .find(|own| own.to_lowercase() == name.to_lowercase());
        found.unwrap_or(name).clone()
    };
    Ok(load.columns.iter().map(spelt).collect())
}

/// Turns a value into what the appender takes; the column's type casts text exactly.
fn encode(datum: &Datum) -> Value {
    match datum {
        Datum::Null => Value::Null,
        Datum::Bool(value) => Value::Boolean(*value),
        Datum::Int(value) => Value::BigInt(*value),
        Datum::Float(value) => Value::Double(*value),
        Datum::Decimal(text) | Datum::Text(text) => Value::Text(text.clone()),
        Datum::Bytes(bytes) => Value::Blob(bytes.clone()),
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
