//! After a run: what a model's retention no longer keeps is removed, and what the ledger no longer
//! needs.

use std::sync::Arc;
use std::time::Duration;

use super::lease::{self, Wanted};
use super::look::civil_text;
use super::publish::Desk;
use super::session::Session;
use crate::calendar::PartitionRange;
use crate::diagnostic::{Code, Diagnostic};
use crate::jinja::Warehouse;
use crate::jinja::port::{Fetch, Transaction};
use crate::ledger::{self, Build, History, Outcome};
use crate::manifest::partitioning::Partitioning;
use crate::planner::board::{Board, Item, ItemKind};

/// So many builds of a partition are kept for people to look at.
const KEPT_BUILDS: usize = 3;

/// A ledger with fewer superseded builds than this is left alone.
const WORTH_COMPACTING: i64 = 10_000;

/// Removes the partitions of selected models that are older than their retention; returns how many.
///
/// # Errors
/// What the database says; what was removed before stays removed, and the ledger agrees.
pub fn expire(
    desk: &Desk,
    session: &Arc<Session>,
    board: &Board,
) -> Result<usize, Box<Diagnostic>> {
    let mut removed = 0;
    for (at, item) in board.items.iter().enumerate() {
        let selected = board.scopes[at].allowed.is_some();
        let (Some(cut), ItemKind::Managed, true) = (&item.cut, item.kind, selected) else {
            continue;
        };
        let old = board.expiring(at);
        if old.is_empty() {
            continue;
        }
        let fence = match desk.shared {
            // What somebody else is building is removed next time.
            true => match lease::take(session, wanted(desk, item)) {
                Ok(fence) => Some(fence),
                Err(failure) if failure.code == Code::DatabaseLocked => continue,
                Err(failure) => return Err(failure),
            },
            false => None,
        };
        let gone = remove(
            desk,
            session,
            (item, cut),
            &board.histories[at],
            &old,
            fence,
        );
        if let Some(fence) = fence {
            lease::give_back(session, &desk.ledger, item.relation, fence);
        }
        removed += gone?;
    }
    Ok(removed)
}

fn wanted<'a>(desk: &'a Desk, item: &'a Item) -> Wanted<'a> {
    Wanted {
        ledger: &desk.ledger,
        facts: &desk.facts,
        relation: item.relation,
        name: &item.name,
        seconds: desk.lease_seconds,
        patience: Duration::ZERO,
    }
}

/// Removes partitions and records that, in one transaction; returns how many.
fn remove(
    desk: &Desk,
    session: &Arc<Session>,
    (item, cut): (&Item, &Partitioning),
    history: &History,
    old: &[i32],
    fence: Option<i64>,
) -> Result<usize, Box<Diagnostic>> {
    let numbers = fetch(session, &desk.ledger.take_numbers(old.len()))?;
    let mut builds = Vec::new();
    session.begin()?;
    for (partition, row) in old.iter().zip(&numbers.rows) {
        let predicate = cut.predicate(&cut.field, PartitionRange::one(*partition));
        let delete = format!("delete from {} where {predicate}", item.physical);
        run(session, &delete)?;
        if let Some(record) = history.record(*partition) {
            let (number, part) = (ledger::number(row, 0), (*partition, record));
            let why = (Outcome::Expired, "older than its retention");
            builds.push(Build::ended(number, item.relation, part, why));
        }
    }
    let now = civil_text(jiff::Timestamp::now());
    for chunk in builds.chunks(500) {
        run(session, &desk.ledger.add_builds(chunk, &desk.facts, &now))?;
    }
    if let Some(fence) = fence
        && fetch(session, &desk.ledger.beat(item.relation, fence))?
            .rows
            .is_empty()
    {
        session.rollback()?;
        return Ok(0);
    }
    session.commit()?;
    Ok(builds.len())
}

/// Removes builds that were superseded long ago, once there are many.
///
/// # Errors
/// What the database says; the ledger then stays as it was.
pub fn compact(desk: &Desk, session: &Arc<Session>) -> Result<(), Box<Diagnostic>> {
    let counted = fetch(session, &desk.ledger.count_superseded())?;
    let superseded = counted.rows.first().map_or(0, |row| ledger::number(row, 0));
    if superseded < WORTH_COMPACTING {
        return Ok(());
    }
    session.begin()?;
    for statement in desk.ledger.compact(KEPT_BUILDS) {
        run(session, &statement)?;
    }
    session.commit()
}

fn run(session: &Session, sql: &str) -> Result<(), Box<Diagnostic>> {
    session
        .query(sql, Transaction::AsIs, Fetch::Nothing)
        .map(drop)
}

fn fetch(session: &Session, sql: &str) -> Result<crate::table::Table, Box<Diagnostic>> {
    let outcome = session.query(sql, Transaction::AsIs, Fetch::Rows)?;
    Ok(outcome.table)
}
