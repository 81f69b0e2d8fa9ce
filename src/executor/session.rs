//! The bridge from synchronous templates to an asynchronous connection.
//!
//! A [`Session`] belongs to one worker thread, which has a runtime of its own: the connection's
//! background work runs on the thread that waits for it, so a query wakes no other thread. The
//! session follows the transaction's state, reports each statement, and turns the driver's errors
//! into diagnostics.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::runtime::Runtime;

use super::Project;
use super::cache::{RelationCache, Undo};
use super::comment::{self, Comment};
use super::event::Event;
use crate::adapter::{Adapter, AdapterError, AdapterErrorKind, Canceller, Connection, Response};
use crate::diagnostic::{Code, Diagnostic, FailedSql};
use crate::jinja::port::{
    CacheChange, Fetch, QueryFailure, QueryOutcome, TemplateMessage, Transaction, Warehouse,
};
use crate::manifest::{Node, UniqueId};
use crate::relation::Relation;
use crate::table::Table;

/// What all sessions of a run share.
pub struct SessionShared {
    /// The database.
    pub adapter: Arc<dyn Adapter>,
    /// What is known of its relations.
    pub cache: Arc<RelationCache>,
    /// Where events go.
    pub events: Sender<Event>,
    /// What stops the sessions' statements, by session.
    pub cancellers: Mutex<Vec<Arc<dyn Canceller>>>,
    /// Whether sessions start no further statement, but for the rollback of what is open.
    pub stopping: AtomicBool,
    /// Whether what is left is to be recorded, which nothing stops any more.
    pub winding_up: AtomicBool,
}

impl SessionShared {
    /// Tells the reporter; a closed channel means that it has ended, and the run goes on without it.
    pub fn send(&self, event: Event) {
        let _ = self.events.send(event);
    }

    /// Lets the sessions start nothing more until [`Self::resume`].
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// Lets a run that was stopped record what it has done.
    pub fn wind_up(&self) {
        self.winding_up.store(true, Ordering::Release);
        self.resume();
    }

    /// Stops whatever the sessions run, and lets them start nothing more until [`Self::resume`].
    ///
    /// A statement that was about to start may escape it, so who waits for the end asks again.
    pub fn cancel_all(&self) {
        if self.winding_up.load(Ordering::Acquire) {
            return;
        }
        self.stop();
        let cancellers = self
            .cancellers
            .lock()
            .expect("no holder of the cancellers' lock panics")
            .clone();
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
        else {
            return;
        };
        for canceller in cancellers {
            runtime.block_on(canceller.cancel());
        }
    }

    /// Lets sessions start statements again.
    pub fn resume(&self) {
        self.stopping.store(false, Ordering::Release);
    }

    /// Tells whether no statement is started any more.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Refuses a new statement while the run is being stopped.
    fn permit(&self) -> Result<(), QueryFailure> {
        if self.is_stopping() {
            let message = "the run was stopped before this statement";
            return Err(Box::new(Diagnostic::error(Code::Cancelled, message)));
        }
        Ok(())
    }
}

/// One connection, opened when it is first used.
pub struct Session {
    shared: Arc<SessionShared>,
    /// The name of the thread that it belongs to, as templates and results show it.
    thread: String,
    state: Mutex<State>,
}

struct State {
    runtime: Runtime,
    connection: Option<Box<dyn Connection>>,
    /// How many connections it has had.
    connections: u64,
    transaction_open: bool,
    /// Whether who holds the transaction ends it, and nobody else.
    held: bool,
    /// Whether the next statement may fail without ending the transaction: a savepoint was just made.
    guarded: bool,
    /// Whether something that lasts has been done since the node began, as far as one can tell.
    lasting: bool,
    /// Whether the connection was lost since the node began.
    lost: bool,
    /// How to forget what the open transaction has made known.
    undo: Vec<Undo>,
    node: Option<UniqueId>,
    comment: Option<Comment>,
    seed: Option<Arc<Table>>,
}

impl Session {
    /// Makes a session of the main thread that is not connected yet.
    pub fn new(shared: Arc<SessionShared>) -> std::io::Result<Session> {
        Session::of_thread(shared, "MainThread")
    }

    /// Makes a session of a thread that is not connected yet.
    pub fn of_thread(shared: Arc<SessionShared>, thread: &str) -> std::io::Result<Session> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        Ok(Session {
            shared,
            thread: thread.to_owned(),
            state: Mutex::new(State {
                runtime,
                connection: None,
                connections: 0,
                transaction_open: false,
                held: false,
                guarded: false,
                lasting: false,
                lost: false,
                undo: Vec::new(),
                node: None,
                comment: None,
                seed: None,
            }),
        })
    }

    /// The name of the thread that it belongs to.
    pub fn thread(&self) -> &str {
        &self.thread
    }

    /// Says whose statements follow.
    pub fn begin_node(&self, project: &Project, node: Option<&Node>) {
        let comment = comment::comment_for(project, node);
        let mut state = self.lock();
        state.node = node.map(|node| node.unique_id.clone());
        state.comment = comment;
        state.seed = None;
        state.lasting = false;
        state.lost = false;
    }

    /// Tells whether the node that failed may be done again from its start: nothing that it did has
    /// lasted, and the failure is one that another attempt may not meet.
    pub fn may_repeat(&self, failure: &Diagnostic) -> bool {
        let state = self.lock();
        let passing = match failure.code {
            Code::DatabaseConflict => true,
            Code::Connection => state.lost,
            _ => false,
        };
        passing && !state.lasting && !state.held && !self.shared.is_stopping()
    }

    /// Says which rows `load_agate_table` gives.
    pub fn set_seed(&self, rows: Arc<Table>) {
        self.lock().seed = Some(rows);
    }

    /// Opens the connection if it is not open.
    pub fn connect(&self) -> Result<(), QueryFailure> {
        self.lock().connected(&self.shared).map(|_| ())
    }

    /// The number of its connection: another one has none of the temporary tables of the one before.
    pub fn connection(&self) -> u64 {
        self.lock().connections
    }

    /// Runs a statement that hands rows out as bytes, within the transaction.
    pub fn stream_out(
        &self,
        sql: &str,
        take: &mut (dyn FnMut(&[u8]) -> std::io::Result<()> + Send),
    ) -> Result<(), QueryFailure> {
        self.shared.permit()?;
        self.begin()?;
        let mut state = self.lock();
        let State {
            runtime,
            connection,
            node,
            ..
        } = &mut *state;
        let connection = connection
            .as_mut()
            .expect("`begin` has opened the connection");
        let started = Instant::now();
        let outcome = runtime.block_on(connection.stream_out(sql, take));
        self.shared.send(Event::Statement {
            node: node.clone(),
            sql: sql.to_owned(),
            elapsed: started.elapsed(),
        });
        outcome.map_err(|error| {
            match error.kind {
                AdapterErrorKind::Connection => state.lose(&self.shared),
                _ => state.roll_back(&self.shared),
            }
            failure(error, Some(sql))
        })
    }

    /// Keeps the transaction open: until [`Session::release`], `commit` and `rollback` do nothing.
    ///
    /// What a macro does is then part of a transaction that the engine ends.
    pub fn hold(&self) {
        self.lock().held = true;
    }

    /// Lets the transaction be ended again.
    pub fn release(&self) {
        self.lock().held = false;
    }

    /// Tells whether a transaction is open: a statement that failed has ended it.
    pub fn in_transaction(&self) -> bool {
        self.lock().transaction_open
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("a session is used by one thread at a time")
    }
}

impl State {
    fn connected(&mut self, shared: &SessionShared) -> Result<(), QueryFailure> {
        if let Some(connection) = &mut self.connection {
            // One that was ended while it waited is made good where nothing hangs on it.
            if self.transaction_open || self.runtime.block_on(connection.is_open()) {
                return Ok(());
            }
            self.connection = None;
        }
        let connection = self
            .runtime
            .block_on(shared.adapter.connect())
            .map_err(|error| failure(error, None))?;
        shared
            .cancellers
            .lock()
            .expect("no holder of the cancellers' lock panics")
            .push(connection.canceller());
        self.connection = Some(connection);
        self.connections += 1;
        Ok(())
    }

    fn run(
        &mut self,
        shared: &SessionShared,
        sql: &str,
        fetch: Fetch,
    ) -> Result<QueryOutcome, QueryFailure> {
        if sql != "rollback"
            && let Err(stopped) = shared.permit()
        {
            self.roll_back(shared);
            return Err(stopped);
        }
        self.connected(shared)?;
        let commented = self.comment.as_ref().map(|comment| comment.add_to(sql));
        let (sent, before) = match &commented {
            Some((sent, before)) => (sent.as_str(), *before),
            None => (sql, 0),
        };
        let passing = sql == "begin" || (!self.transaction_open && only_reads(sql));
        let mut outcome = self.send(shared, sent, fetch);
        let lost = |outcome: &Answered| matches!(outcome, Err(error) if error.kind == AdapterErrorKind::Connection);
        if lost(&outcome) && passing && !self.transaction_open {
            // Nothing was under way, such as after a long wait: another connection does as well.
            self.connection = None;
            self.connected(shared)?;
            outcome = self.send(shared, sent, fetch);
        }
        let guarded = std::mem::take(&mut self.guarded);
        match outcome {
            Ok((response, table)) => {
                self.lasting |= !self.transaction_open && !passing;
                self.follow_transaction(shared, sql);
                Ok(outcome_of(response, table))
            }
            Err(mut error) => {
                error.offset = error.offset.and_then(|at| at.checked_sub(before));
                if error.kind == AdapterErrorKind::Connection {
                    // Nobody knows whether a commit, or what needs none, came through.
                    self.lasting |= sql == "commit" || (!self.transaction_open && !passing);
                    self.lose(shared);
                } else if !guarded || error.kind != AdapterErrorKind::Statement {
                    self.roll_back(shared);
                }
                Err(failure(error, Some(sql)))
            }
        }
    }

    /// Sends a statement, and reports it with what the server has said beside.
    fn send(&mut self, shared: &SessionShared, sent: &str, fetch: Fetch) -> Answered {
        let connection = self
            .connection
            .as_mut()
            .expect("`connected` has opened the connection");
        let started = Instant::now();
        let outcome = self.runtime.block_on(async {
            match fetch {
                Fetch::Rows => connection.fetch(sent).await,
                Fetch::Nothing => connection
                    .execute(sent)
                    .await
                    .map(|response| (response, Table::default())),
            }
        });
        shared.send(Event::Statement {
            node: self.node.clone(),
            sql: sent.to_owned(),
            elapsed: started.elapsed(),
        });
        for text in connection.take_notices() {
            let (node, info) = (self.node.clone(), false);
            let message = TemplateMessage::Log { text, info };
            shared.send(Event::Message { node, message });
        }
        outcome
    }

    /// Forgets a connection that is gone, and its transaction with it.
    fn lose(&mut self, shared: &SessionShared) {
        self.connection = None;
        self.transaction_open = false;
        self.lost = true;
        shared.cache.undo(std::mem::take(&mut self.undo));
    }

    /// Notices transactions that a hook or a macro opens or ends by its own SQL.
    fn follow_transaction(&mut self, shared: &SessionShared, sql: &str) {
        let statement = sql.trim().trim_end_matches(';').trim();
        if statement.len() > 40 {
            return;
        }
        match statement.to_ascii_lowercase().as_str() {
            "begin" | "begin transaction" | "start transaction" => self.transaction_open = true,
            "commit" | "end" => {
                self.transaction_open = false;
                self.lasting = true;
                self.undo.clear();
            }
            "rollback" => {
                self.transaction_open = false;
                shared.cache.undo(std::mem::take(&mut self.undo));
            }
            savepoint => self.guarded = savepoint.starts_with("savepoint "),
        }
    }

    /// Ends a broken transaction; there is nobody to tell of a second failure.
    fn roll_back(&mut self, shared: &SessionShared) {
        let Some(connection) = self.connection.as_mut().filter(|_| self.transaction_open) else {
            return;
        };
        if self
            .runtime
            .block_on(connection.execute("rollback"))
            .is_err()
        {
            self.connection = None;
        }
        self.transaction_open = false;
        shared.cache.undo(std::mem::take(&mut self.undo));
    }
}

/// What a connection answers.
type Answered = Result<(Response, Table), AdapterError>;

/// Tells of a statement outside a transaction that it changes nothing, in doubt that it may.
fn only_reads(sql: &str) -> bool {
    let text = sql.trim_start().to_ascii_lowercase();
    (text.starts_with("select") || text.starts_with("show")) && !text.contains(" into ")
}

impl Warehouse for Session {
    fn query(
        &self,
        sql: &str,
        transaction: Transaction,
        fetch: Fetch,
    ) -> Result<QueryOutcome, QueryFailure> {
        if transaction == Transaction::AutoBegin {
            self.begin()?;
        }
        self.lock().run(&self.shared, sql, fetch)
    }

    fn begin(&self) -> Result<(), QueryFailure> {
        let mut state = self.lock();
        if !state.transaction_open {
            state.run(&self.shared, "begin", Fetch::Nothing)?;
        }
        Ok(())
    }

    fn commit(&self) -> Result<(), QueryFailure> {
        let mut state = self.lock();
        if state.transaction_open && !state.held {
            state.run(&self.shared, "commit", Fetch::Nothing)?;
        }
        Ok(())
    }

    fn rollback(&self) -> Result<(), QueryFailure> {
        let mut state = self.lock();
        if state.transaction_open && !state.held {
            state.run(&self.shared, "rollback", Fetch::Nothing)?;
        }
        Ok(())
    }

    fn load(&self, relation: &Relation, rows: &Table) -> Result<u64, QueryFailure> {
        self.begin()?;
        let mut state = self.lock();
        let State {
            runtime,
            connection,
            ..
        } = &mut *state;
        let connection = connection
            .as_mut()
            .expect("`begin` has opened the connection");
        let loaded = runtime.block_on(connection.load(relation, rows));
        loaded.map_err(|error| {
            match error.kind {
                AdapterErrorKind::Connection => state.lose(&self.shared),
                _ => state.roll_back(&self.shared),
            }
            failure(error, None)
        })
    }

    fn cached_relations(&self, schema: &Relation) -> Option<Vec<Relation>> {
        self.shared.cache.relations(schema)
    }

    fn cached_relations_named(&self, schema: &Relation, name: &str) -> Option<Vec<Relation>> {
        self.shared.cache.relations_named(schema, name)
    }

    fn cache_relations(&self, schema: &Relation, relations: Vec<Relation>) {
        self.shared.cache.fill(schema, relations);
    }

    fn note(&self, change: CacheChange) {
        let mut state = self.lock();
        let undo = self.shared.cache.note(change);
        if state.transaction_open {
            state.undo.push(undo);
        }
    }

    fn emit(&self, message: TemplateMessage) {
        let node = self.lock().node.clone();
        let _ = self.shared.events.send(Event::Message { node, message });
    }

    fn seed_rows(&self) -> Result<Arc<Table>, Box<Diagnostic>> {
        self.lock().seed.clone().ok_or_else(|| {
            let message = "`load_agate_table` gives rows only while a seed is built";
            Box::new(Diagnostic::error(Code::JinjaRender, message))
        })
    }
}

fn outcome_of(response: Response, table: Table) -> QueryOutcome {
    QueryOutcome {
        message: response.message,
        code: response.code,
        rows_affected: response.rows_affected,
        query_id: response.query_id,
        table,
    }
}

/// Keeps the server's words, its code, and the statement.
pub fn failure(error: AdapterError, sql: Option<&str>) -> QueryFailure {
    let code = match error.kind {
        AdapterErrorKind::Connection => Code::Connection,
        AdapterErrorKind::Locked => Code::DatabaseLocked,
        AdapterErrorKind::Statement => Code::Database,
        AdapterErrorKind::Conflict => Code::DatabaseConflict,
        AdapterErrorKind::Cancelled => Code::Cancelled,
    };
    let mut diagnostic = Diagnostic::error(code, error.message);
    diagnostic.notes.extend(error.detail);
    if let Some(code) = error.code {
        diagnostic
            .notes
            .push(format!("the database's code is {code}"));
    }
    diagnostic.help = error.hint;
    diagnostic.sql = sql.map(|sql| {
        Arc::new(FailedSql {
            sql: sql.to_owned(),
            offset: error.offset,
        })
    });
    Box::new(diagnostic)
}
