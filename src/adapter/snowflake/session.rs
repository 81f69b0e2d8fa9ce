//! One session with the server: statements, transactions, and what is done when the network fails.
//!
//! A session is a token, not a connection: a lost connection loses neither the session nor its
//! transaction. Transactions are opened late, by the first statement that changes rows, since every
//! other statement commits by itself here, and a round trip is long.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use snowflake_connector_rs::{ErrorKind, IntoStatement, QueryCanceller, Statement};
use tokio::sync::Notify;

use super::Account;
use super::decode::{self, Cells};
use super::failure::{self, Lost};
use super::load;
use super::statement::{self, Kind, Temporary};
use crate::adapter::{AdapterError, AdapterErrorKind, Canceller, Connection, Response};
use crate::relation::Relation;
use crate::table::{Datum, Table};

/// How old a login may be before it is renewed at the next good moment.
const RENEW_AFTER: Duration = Duration::from_secs(50 * 60);
/// How old a login may be before it is renewed although temporary tables are lost by that: the
/// server would refuse it a moment later.
const RENEW_AT_ANY_PRICE: Duration = Duration::from_secs(58 * 60);
/// How long a transaction may stand still before it is asked for: the server ends one that stands still
/// for minutes and keeps another waiting, and what follows would commit by itself.
const STILL: Duration = Duration::from_secs(2);
/// How long to wait before each further try of a statement.
const PAUSES: [Duration; 6] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
    Duration::from_secs(16),
];

/// A session.
pub(super) struct Session {
    account: Arc<Account>,
    login: Login,
    transaction: Transaction,
    /// When the server answered last.
    answered: Instant,
    /// Temporary tables that were made since the login, and not dropped.
    temporary: Vec<String>,
    /// What `use` and `alter session` set since the first login, in order, to be said again.
    settings: Vec<(String, String)>,
    cancel: Arc<Cancel>,
}

struct Login {
    session: snowflake_connector_rs::Session,
    since: Instant,
}

/// How far a transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transaction {
    /// None is wanted.
    None,
    /// `begin` was asked for, and not said to the server.
    Wanted,
    /// The server has one open.
    Open,
}

/// Asks the server to stop the session's statement.
#[derive(Default)]
struct Cancel {
    current: Mutex<Option<QueryCanceller>>,
    /// Whether the statement under way was asked to stop.
    asked: AtomicBool,
    /// Wakes who waits before another try.
    wake: Notify,
}

impl Canceller for Cancel {
    fn cancel(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.asked.store(true, Ordering::Release);
            self.wake.notify_waiters();
            self.stop().await;
        })
    }
}

impl Cancel {
    /// Asks the server to stop the statement under way, if there is one.
    async fn stop(&self) {
        let current = self
            .current
            .lock()
            .expect("no holder of the canceller's lock panics")
            .clone();
        if let Some(current) = current {
            // A server that cannot be reached is asked again, or has lost the statement.
            let _ = current.cancel().await;
        }
    }

    fn set(&self, current: Option<QueryCanceller>) {
        *self
            .current
            .lock()
            .expect("no holder of the canceller's lock panics") = current;
    }

    fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Acquire)
    }
}

/// What one statement returned.
#[derive(Default)]
pub(super) struct Answer {
    table: Table,
    query_id: Option<String>,
}

impl Session {
    /// Makes a session of what the account was logged into.
    pub(super) fn new(account: Arc<Account>, session: snowflake_connector_rs::Session) -> Session {
        Session {
            account,
            login: Login {
                session,
                since: Instant::now(),
            },
            transaction: Transaction::None,
            answered: Instant::now(),
            temporary: Vec::new(),
            settings: Vec::new(),
            cancel: Arc::new(Cancel::default()),
        }
    }

    /// Runs the statements of a text, one after the other, and keeps what the last returned.
    async fn run(&mut self, sql: &str) -> Result<(Response, Table), AdapterError> {
        self.cancel.asked.store(false, Ordering::Release);
        let before = self.transaction;
        let mut last = Answer::default();
        for statement in statement::split(sql) {
            match self.step(&statement).await {
                Ok(answer) => last = answer,
                Err(mut error) => {
                    error.offset = error.offset.map(|at| at + statement.start);
                    // A transaction that the text itself began is nobody else's to end.
                    if before == Transaction::None && self.transaction == Transaction::Open {
                        let _ = self.say("rollback").await;
                    }
                    if before == Transaction::None {
                        self.transaction = Transaction::None;
                    }
                    return Err(error);
                }
            }
        }
        let response = response(&last);
        Ok((response, last.table))
    }

    async fn step(&mut self, statement: &statement::Statement<'_>) -> Result<Answer, AdapterError> {
        match (statement.kind, self.transaction) {
            (Kind::Begin, Transaction::None) => {
                self.transaction = Transaction::Wanted;
                return Ok(Answer::default());
            }
            (Kind::Begin, _) => return Ok(Answer::default()),
            (Kind::Commit | Kind::Rollback, Transaction::None | Transaction::Wanted) => {
                self.transaction = Transaction::None;
                return Ok(Answer::default());
            }
            (Kind::Change, Transaction::Wanted) => {
                self.renew_if_old().await?;
                self.say("begin").await?;
                self.transaction = Transaction::Open;
            }
            (Kind::Definition, Transaction::Open) => {
                self.find_transaction().await?;
                // The server would do the same, unasked; what follows is a transaction of its own.
                self.say("commit").await?;
                self.transaction = Transaction::Wanted;
                self.renew_if_old().await?;
            }
            (_, Transaction::None | Transaction::Wanted) => self.renew_if_old().await?,
            (Kind::Rollback, Transaction::Open) => {}
            (_, Transaction::Open) => self.find_transaction().await?,
        }
        let answer = self
            .patiently(statement.text, statement.repeatable, || {
                Statement::new(statement.text.to_owned())
            })
            .await;
        if matches!(statement.kind, Kind::Commit | Kind::Rollback) {
            self.transaction = Transaction::None;
        }
        let answer = answer?;
        self.note(statement);
        Ok(answer)
    }

    /// Makes sure that the transaction is still there, where it has stood still for a while.
    async fn find_transaction(&mut self) -> Result<(), AdapterError> {
        let still = self.answered.elapsed();
        if still < STILL {
            return Ok(());
        }
        let found = self.say("select current_transaction()").await?;
        let found = found.table.rows.first().and_then(|row| row.first());
        if found.is_some_and(|id| *id != Datum::Null) {
            return Ok(());
        }
        self.transaction = Transaction::None;
        let message = format!(
            "the server has ended the transaction, in which nothing had happened for {} seconds",
            still.as_secs()
        );
        Err(AdapterError::new(AdapterErrorKind::Connection, message))
    }

    /// Remembers what a new login would lose.
    fn note(&mut self, statement: &statement::Statement<'_>) {
        match &statement.temporary {
            Some(Temporary::Made(name)) => self.temporary.push(name.clone()),
            Some(Temporary::Dropped(name)) => self.temporary.retain(|made| made != name),
            None => {}
        }
        if let Some(setting) = &statement.setting {
            self.settings.retain(|(name, _)| name != setting);
            self.settings
                .push((setting.clone(), statement.text.to_owned()));
        }
    }

    /// Runs a statement of ours that may run twice.
    async fn say(&mut self, sql: &'static str) -> Result<Answer, AdapterError> {
        self.patiently(sql, true, || Statement::new(sql)).await
    }

    /// Runs a statement with its values, as one that changes rows.
    pub(super) async fn change<S: IntoStatement>(
        &mut self,
        sql: &str,
        make: impl Fn() -> S,
    ) -> Result<u64, AdapterError> {
        if self.transaction == Transaction::Wanted {
            self.renew_if_old().await?;
            self.say("begin").await?;
            self.transaction = Transaction::Open;
        } else if self.transaction == Transaction::Open {
            self.find_transaction().await?;
        }
        let answer = self.patiently(sql, false, make).await?;
        Ok(response(&answer).rows_affected.unwrap_or(0))
    }

    /// Runs a statement, again where that is safe and may help.
    async fn patiently<S: IntoStatement>(
        &mut self,
        sql: &str,
        repeatable: bool,
        make: impl Fn() -> S,
    ) -> Result<Answer, AdapterError> {
        let mut pauses = PAUSES.iter();
        let mut renewed = false;
        loop {
            let error = match self.once(make()).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if failure::is_expired(&error) {
                if error.query_id().is_none() && self.transaction != Transaction::Open && !renewed {
                    renewed = true;
                    self.renew().await?;
                    continue;
                }
                return Err(self.expired(&error, sql).await);
            }
            let lost = failure::lost(&error);
            let again = match lost {
                Lost::Nothing => false,
                Lost::Unsent => true,
                Lost::Reply => repeatable,
            };
            if again
                && !self.cancel.is_asked()
                && let Some(pause) = pauses.next()
            {
                let waked = self.cancel.wake.notified();
                tokio::select! {
                    () = tokio::time::sleep(*pause) => continue,
                    () = waked => {}
                }
            }
            let mut failed = failure::failure(&error, sql, self.cancel.is_asked());
            if lost == Lost::Reply && !repeatable {
                self.give_up().await;
                failed.hint = Some(
                    "nobody knows whether the statement was done: the server was asked to stop it, \
                     and an open transaction was rolled back"
                        .to_owned(),
                );
            } else if lost != Lost::Nothing && self.transaction == Transaction::Open {
                // A commit that nobody has heard of must not be left open with its locks.
                self.give_up().await;
            }
            if failed.kind == AdapterErrorKind::Connection {
                self.transaction = Transaction::None;
            }
            return Err(failed);
        }
    }

    /// Runs a statement once, so that it can be cancelled.
    async fn once<S: IntoStatement>(
        &mut self,
        statement: S,
    ) -> Result<Answer, snowflake_connector_rs::Error> {
        let handle = self.login.session.query_handle(statement)?;
        self.cancel.set(Some(handle.canceller()));
        let done = async {
            let cursor = handle.execute().await?;
            let query_id = cursor.query_id().to_owned();
            let columns = cursor.schema().columns().iter().map(decode::column);
            let columns = columns.collect();
            let rows = cursor.collect_table().await?;
            let rows = rows.rows::<Cells>()?;
            let rows = rows.map(|row| row.map(|cells| cells.0));
            Ok(Answer {
                table: Table {
                    columns,
                    rows: rows.collect::<Result<_, snowflake_connector_rs::Error>>()?,
                },
                query_id: Some(query_id),
            })
        }
        .await;
        if done.is_ok() {
            self.cancel.set(None);
        }
        self.answered = Instant::now();
        done
    }

    /// Stops a statement whose reply was lost, and undoes the transaction around it: the session
    /// is still there, and would hold its locks for hours.
    async fn give_up(&mut self) {
        self.cancel.stop().await;
        if self.transaction == Transaction::Open {
            let _ = self.once(Statement::new("rollback")).await;
        }
        self.transaction = Transaction::None;
    }

    /// Says that the login ended in the middle, and stops what runs without anyone who waits for it.
    async fn expired(&mut self, error: &snowflake_connector_rs::Error, sql: &str) -> AdapterError {
        let mut failed = failure::failure(error, sql, false);
        failed.kind = AdapterErrorKind::Connection;
        if let Some(id) = error.query_id().map(str::to_owned) {
            if self.renew().await.is_ok() {
                let stop = format!("select system$cancel_query('{}')", id.replace('\'', "''"));
                let _ = self.once(Statement::new(stop)).await;
            }
            failed.hint = Some(
                "the statement ran for longer than a login lives, about an hour, and was stopped: \
                 split it, or give it a larger warehouse"
                    .to_owned(),
            );
        } else if self.transaction == Transaction::Open && !sql.eq_ignore_ascii_case("commit") {
            failed.hint = Some("the transaction that was open is rolled back".to_owned());
        }
        self.transaction = Transaction::None;
        failed
    }

    async fn renew_if_old(&mut self) -> Result<(), AdapterError> {
        if is_due(self.login.since.elapsed(), self.temporary.len()) {
            self.renew().await?;
        }
        Ok(())
    }

    /// Logs in again, and says again what the session was set to.
    async fn renew(&mut self) -> Result<(), AdapterError> {
        let session = self.account.log_in().await?;
        self.login = Login {
            session,
            since: Instant::now(),
        };
        self.temporary.clear();
        for (_, sql) in self.settings.clone() {
            let said = self.once(Statement::new(sql.clone())).await;
            said.map_err(|error| failure::failure(&error, &sql, self.cancel.is_asked()))?;
        }
        Ok(())
    }
}

/// Tells whether a login of this age is renewed before the next statement, outside a transaction.
fn is_due(age: Duration, temporary_tables: usize) -> bool {
    age >= RENEW_AT_ANY_PRICE || (age >= RENEW_AFTER && temporary_tables == 0)
}

/// The response in dbt's words: `SUCCESS` and a number of rows.
fn response(answer: &Answer) -> Response {
    let Some(query_id) = &answer.query_id else {
        return Response {
            message: "SUCCESS 1".to_owned(),
            code: "SUCCESS".to_owned(),
            rows_affected: Some(1),
            query_id: None,
        };
    };
    let rows = changed(&answer.table).unwrap_or(answer.table.rows.len() as u64);
    Response {
        message: format!("SUCCESS {rows}"),
        code: "SUCCESS".to_owned(),
        rows_affected: Some(rows),
        query_id: Some(query_id.clone()),
    }
}

/// How many rows a statement changed; its reply is then a row of numbers of rows.
fn changed(table: &Table) -> Option<u64> {
    const COUNTED: [&str; 3] = [
        "number of rows inserted",
        "number of rows updated",
        "number of rows deleted",
    ];
    let [row] = table.rows.as_slice() else {
        return None;
    };
    let cells = table.columns.iter().zip(row);
    let counts: Vec<u64> = cells
        .filter(|(column, _)| COUNTED.contains(&column.name.as_str()))
        .filter_map(|(_, cell)| cell.to_text().parse().ok())
        .collect();
    (!counts.is_empty()).then(|| counts.iter().sum())
}

impl Connection for Session {
    fn execute<'a>(&'a mut self, sql: &'a str) -> BoxFuture<'a, Result<Response, AdapterError>> {
        Box::pin(async { Ok(self.run(sql).await?.0) })
    }

    fn fetch<'a>(
        &'a mut self,
        sql: &'a str,
    ) -> BoxFuture<'a, Result<(Response, Table), AdapterError>> {
        Box::pin(self.run(sql))
    }

    fn load<'a>(
        &'a mut self,
        relation: &'a Relation,
        rows: &'a Table,
    ) -> BoxFuture<'a, Result<u64, AdapterError>> {
        self.cancel.asked.store(false, Ordering::Release);
        Box::pin(load::load(self, relation, rows))
    }

    fn canceller(&self) -> Arc<dyn Canceller> {
        Arc::clone(&self.cancel) as Arc<dyn Canceller>
    }
}

/// Tells whether a failed login may succeed a moment later.
pub(super) fn is_of_the_network(error: &snowflake_connector_rs::Error) -> bool {
    failure::lost(error) != Lost::Nothing || error.kind() == ErrorKind::Timeout
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::ResultColumn;

    #[test]
    fn a_login_is_renewed_before_it_ends() {
        let minutes = |count: u64| Duration::from_secs(count * 60);
        assert!(!is_due(minutes(49), 0));
        assert!(is_due(minutes(50), 0));
        assert!(!is_due(minutes(57), 1));
        assert!(is_due(minutes(58), 1));
    }

    #[test]
    fn changed_rows_are_summed() {
        let column = |name: &str| ResultColumn {
            name: name.into(),
            data_type: String::new(),
        };
        let table = Table {
            columns: vec![
                column("number of rows inserted"),
                column("number of rows updated"),
                column("number of multi-joined rows updated"),
            ],
            rows: vec![vec![Datum::Int(2), Datum::Int(3), Datum::Int(9)]],
        };
        assert_eq!(changed(&table), Some(5));
        assert_eq!(changed(&Table::default()), None);
    }
}
