//! Leases: one run at a time publishes a relation, or records something of it.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use super::heartbeat;
use super::session::{Session, SessionShared};
use crate::diagnostic::{Code, Diagnostic};
use crate::jinja::Warehouse;
use crate::jinja::port::{Fetch, Transaction};
use crate::ledger::{self, Ledger, RelationId, RunFacts};
use crate::table::Datum;

/// Who wants a lease of what, and how.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The ledger.
    pub ledger: &'a Ledger,
    /// The run.
    pub facts: &'a RunFacts,
    /// The relation.
    pub relation: RelationId,
    /// Its name, for people.
    pub name: &'a str,
    /// How long the lease lasts after the last sign of life.
    pub seconds: u32,
    /// How long somebody else's is waited for.
    pub patience: Duration,
}

/// Takes a relation's lease, waiting for whoever holds it; returns the fencing number.
///
/// # Errors
/// Who holds it when the patience has come to its end, and what the database says.
pub fn take(session: &Session, wanted: Wanted<'_>) -> Result<i64, Box<Diagnostic>> {
    let until = Instant::now() + wanted.patience;
    loop {
        let (ledger, run) = (wanted.ledger, &wanted.facts.run);
        let sql = ledger.take_lease(wanted.relation, run, wanted.seconds);
        let taken = session.query(&sql, Transaction::AsIs, Fetch::Rows)?;
        if let Some(row) = taken.table.rows.first() {
            return Ok(ledger::number(row, 0));
        }
        if Instant::now() >= until {
            let message = format!(
                "`{}` is being built by the run {}, which holds its lease",
                wanted.name,
                holder(session, ledger, wanted.relation)
            );
            let error = Diagnostic::error(Code::DatabaseLocked, message);
            return Err(Box::new(
                error.help("wait for it, or give --lock-timeout more time"),
            ));
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// The run that holds a relation's lease; nothing where nobody does.
pub fn holder(session: &Session, ledger: &Ledger, relation: RelationId) -> String {
    let held = session.query(&ledger.read_lease(relation), Transaction::AsIs, Fetch::Rows);
    let row = held
        .ok()
        .and_then(|held| held.table.rows.into_iter().next());
    let name = row.as_ref().and_then(|row| row.first());
    name.map(Datum::to_text).unwrap_or_default()
}

/// Gives a lease back; what is not given back runs out.
pub fn give_back(session: &Session, ledger: &Ledger, relation: RelationId, fence: i64) {
    let sql = ledger.free_lease(relation, fence);
    let _ = session.query(&sql, Transaction::AsIs, Fetch::Nothing);
}

/// Does something while signs of life keep the leases that it takes.
///
/// # Errors
/// What the work says, or that there is no session for the signs of life.
pub fn alive<T>(
    shared: &Arc<SessionShared>,
    (ledger, facts, seconds): (&Ledger, &RunFacts, u32),
    work: impl FnOnce() -> Result<T, Box<Diagnostic>>,
) -> Result<T, Box<Diagnostic>> {
    let session = Session::of_thread(Arc::clone(shared), "Heartbeat").map_err(|error| {
        let message = format!("cannot start a session: {error}");
        Box::new(Diagnostic::error(Code::Io, message))
    })?;
    std::thread::scope(|threads| {
        let (held, stop) = channel::<()>();
        let session = &session;
        threads.spawn(move || heartbeat::beat(session, ledger, facts, seconds, &stop));
        let done = work();
        drop(held);
        done
    })
}
