//! What is written into the ledger: what was published, what came to nothing.

use std::sync::Arc;
use std::time::Duration;

use crate::diagnostic::{Code, Diagnostic};
use crate::dialect::Dialect;
use crate::executor::heartbeat::pause;
use crate::executor::lease;
use crate::executor::look::civil_text;
use crate::executor::node::MOST_REPEATS;
use crate::executor::schemas;
use crate::executor::session::Session;
use crate::jinja::Warehouse;
use crate::jinja::context::relation_value;
use crate::jinja::language::list;
use crate::jinja::port::TemplateMessage;
use crate::ledger::{self, Build, Input, MOST_RECORDS, Outcome, Record, RecordState};
use crate::manifest::Node;
use crate::table::Table;

use super::content::Content;
use super::content::nothing_stored;
use super::hooks::{self, Outside};
use super::{Desk, Job, Trouble, fetch, run, text};

/// What a publish has in hand before its transaction begins.
pub(super) struct Claim {
    /// The fencing number of its lease, where there are leases.
    pub fence: Option<i64>,
    /// The numbers of its builds.
    pub numbers: Vec<i64>,
    /// When the work on it began.
    pub started: jiff::Timestamp,
    /// What the database calls the statement that wrote the rows, where it has such names.
    pub query_id: Option<String>,
    /// Which hooks run when it is committed.
    pub outside: Outside,
    /// What tells the columns of what is built from others, where a view shows them.
    pub columns: Option<i64>,
}

/// Writes the ledger's rows and the fence, and commits.
pub(super) fn record(
    desk: &Desk,
    session: &Arc<Session>,
    job: &Job,
    content: &Content,
    claim: &Claim,
) -> Result<Vec<(i32, Record)>, Trouble> {
    let mut records = Vec::new();
    let (mut builds, mut inputs) = (Vec::new(), Vec::new());
    for (part, number) in job.parts.iter().zip(claim.numbers.iter().copied()) {
        let partition = part.part.partition;
        let nothing = (0, nothing_stored(&desk.hash));
        let (rows, text) = content.get(&partition).unwrap_or(&nothing);
        let hashed = job.hashed && !text.is_empty();
        let content = match hashed {
            true => ledger::hash64(&[text]),
            false => number,
        };
        let same = part
            .before
            .filter(|before| hashed && before.content == content);
        let outcome = job.state(partition);
        let build = Build {
            number,
            relation: job.relation,
            partition,
            outcome,
            code: job.code,
            inputs: part.part.inputs,
            version: same.map_or(number, |before| before.version),
            content,
            rows: *rows,
            reason: Some(part.because.clone()),
            query_id: claim.query_id.clone(),
        };
        inputs.extend(part.inputs.iter().map(|input| Input {
            build: number,
            ..input.clone()
        }));
        let state = RecordState::of(outcome).unwrap_or(RecordState::Published);
        records.push((
            partition,
            Record {
                build: number,
                state,
                code: build.code,
                inputs: build.inputs,
                version: build.version,
                content,
                rows: build.rows,
            },
        ));
        builds.push(build);
    }
    let started = civil_text(claim.started);
    if !job.compared {
        // The first of the run: what follows finds it there.
        let (name, shape) = &job.names;
        run(
            session,
            &desk.ledger.add_relation(job.relation, name, shape),
        )?;
    }
    for chunk in builds.chunks(MOST_RECORDS) {
        run(
            session,
            &desk.ledger.add_builds(chunk, &desk.facts, &started),
        )?;
    }
    for chunk in inputs.chunks(MOST_RECORDS) {
        if let Some(sql) = desk.ledger.add_inputs(chunk) {
            run(session, &sql)?;
        }
    }
    if let Some(columns) = claim.columns.filter(|_| claim.columns != job.columns) {
        run(session, &desk.ledger.set_columns(job.relation, columns))?;
    }
    if hooks::follow(&job.node, claim.outside) {
        let (first, last) = hooks::numbers(&records);
        run(session, &desk.ledger.owe_hooks(job.relation, first, last))?;
    }
    if !desk.project.facts.dialect.counts_rows && (!job.exists || job.cut.is_none() || job.reshape)
    {
        set_marker(desk, session, job)?;
    }
    pause(&desk.project, "after-ledger");
    beat(desk, session, job, claim.fence)?;
    pause(&desk.project, "before-commit");
    session.release();
    if let Err(failed) = session.commit() {
        settle(desk, session, job, claim, failed)?;
    }
    pause(&desk.project, "after-commit");
    Ok(records)
}

/// Finds out what became of a publish whose connection was lost while it was committed: the ledger has
/// its builds, or nothing of it has lasted.
fn settle(
    desk: &Desk,
    session: &Session,
    job: &Job,
    claim: &Claim,
    failed: Box<Diagnostic>,
) -> Result<(), Trouble> {
    let Some(number) = claim.numbers.first() else {
        return Err(failed.into());
    };
    if failed.code != Code::Connection {
        return Err(failed.into());
    }
    let landed = || -> Result<bool, Box<Diagnostic>> {
        if let Some(fence) = claim.fence {
            // The commit may still be under way: its transaction has changed this row, and is waited for.
            fetch(session, &desk.ledger.beat(job.relation, fence))?;
        }
        let found = fetch(session, &desk.ledger.count_build(job.relation, *number))?;
        Ok(found
            .rows
            .first()
            .is_some_and(|row| ledger::number(row, 0) > 0))
    };
    let mut tried = 0;
    let landed = loop {
        match landed() {
            Err(gone) if gone.code == Code::Connection && tried < MOST_REPEATS => {
                tried += 1;
                std::thread::sleep(Duration::from_millis(100 << tried));
            }
            known => break known,
        }
    };
    match landed {
        Ok(true) => {
            session.emit(TemplateMessage::Log {
                text: format!(
                    "the connection was lost while `{}` was committed, and the ledger has it",
                    job.node.name
                ),
                info: false,
            });
            Ok(())
        }
        Ok(false) => Err(Trouble::Undone(failed)),
        // The next run finds out.
        Err(_) => Err(failed.into()),
    }
}

/// Changes the lease's row, as the last write of a transaction, which is rolled back where the lease is
/// no longer this run's.
fn beat(desk: &Desk, session: &Session, job: &Job, fence: Option<i64>) -> Result<(), Trouble> {
    let Some(fence) = fence else {
        return Ok(());
    };
    let beat = fetch(session, &desk.ledger.beat(job.relation, fence));
    if beat.as_ref().is_ok_and(|beat| !beat.rows.is_empty()) {
        return Ok(());
    }
    session.release();
    let _ = session.rollback();
    let holder = lease::holder(session, &desk.ledger, job.relation);
    Err(match beat {
        Err(other) if holder.is_empty() || holder == desk.facts.run => other.into(),
        _ => taken_over(job, &holder).into(),
    })
}

/// Writes down that what is there is about to be replaced by DDL, which no transaction can undo: where
/// the build that should follow does not, it is stale.
pub(super) fn intend(
    desk: &Desk,
    session: &Session,
    job: &Job,
    fence: Option<i64>,
) -> Result<(), Trouble> {
    let there = job
        .parts
        .iter()
        .filter_map(|part| Some((part.part.partition, part.before?)));
    let there: Vec<(i32, Record)> = there.collect();
    let numbers = match there.len() {
        0 => Table::default(),
        some => fetch(session, &desk.ledger.take_numbers(some))?,
    };
    let builds: Vec<Build> = there
        .iter()
        .zip(&numbers.rows)
        .map(|((partition, before), row)| {
            let (number, part) = (ledger::number(row, 0), (*partition, before));
            let why = (Outcome::Lost, "its replacement was begun and not ended");
            Build::ended(number, job.relation, part, why)
        })
        .collect();
    let started = civil_text(jiff::Timestamp::now());
    session.begin()?;
    for chunk in builds.chunks(MOST_RECORDS) {
        run(
            session,
            &desk.ledger.add_builds(chunk, &desk.facts, &started),
        )?;
    }
    beat(desk, session, job, fence)?;
    Ok(session.commit()?)
}

/// Says that a run was too slow, and that nothing came of what it built.
fn taken_over(job: &Job, holder: &str) -> Box<Diagnostic> {
    let by = match holder {
        "" => "another run".to_owned(),
        holder => format!("the run {holder}"),
    };
    let message = format!(
        "the lease of `{}` was taken over by {by} while this one built {}",
        job.node.name,
        job.keys()
    );
    let error = Diagnostic::error(Code::DatabaseLocked, message);
    Box::new(error.help("nothing of it was published; run again"))
}

/// Notes what the catalogue shows of the relation, so that a change by others is noticed.
pub(super) fn set_marker(
    desk: &Desk,
    session: &Arc<Session>,
    job: &Job,
) -> Result<(), Box<Diagnostic>> {
    let relation = relation_value(desk.project.facts.dialect, &job.node.relation);
    let scope = schemas::plain_scope(&desk.project, session, Vec::new());
    let sql = text(desk, &scope, "relation_markers", &[list(vec![relation])])?;
    let table = fetch(session, &sql)?;
    let marker = table.rows.first().and_then(|row| row.get(1));
    if let Some(marker) = marker {
        run(
            session,
            &desk.ledger.set_marker(job.relation, &marker.to_text()),
        )?;
    }
    Ok(())
}

/// Writes down that partitions came to nothing, in a transaction of its own.
pub(super) fn record_failure(
    desk: &Desk,
    session: &Session,
    job: &Job,
    outcome: Outcome,
    reason: &str,
) {
    let write = || -> Result<(), Box<Diagnostic>> {
        let numbers = fetch(session, &desk.ledger.take_numbers(job.parts.len()))?;
        let builds: Vec<Build> = job
            .parts
            .iter()
            .zip(&numbers.rows)
            .map(|(part, row)| Build {
                number: ledger::number(row, 0),
                relation: job.relation,
                partition: part.part.partition,
                outcome,
                code: job.code,
                inputs: part.part.inputs,
                version: 0,
                content: 0,
                rows: 0,
                reason: Some(reason.to_owned()),
                query_id: None,
            })
            .collect();
        let started = civil_text(jiff::Timestamp::now());
        session.begin()?;
        run(
            session,
            &desk.ledger.add_builds(&builds, &desk.facts, &started),
        )?;
        session.commit()
    };
    // The failure itself is reported in any case; the ledger only helps to remember it.
    if write().is_err() {
        let _ = session.rollback();
    }
}

/// The table of the ledger's schema that keeps what was refused of a model.
pub fn refused_table(dialect: &Dialect, node: &Node) -> String {
    dialect.fit_identifier(format!("refused_{}", node.alias))
}

/// Keeps the rows that a test refused, to be looked at.
pub(super) fn keep_refused(desk: &Desk, session: &Session, job: &Job, sql: Option<&str>) {
    let (Some(sql), Some(_)) = (sql, &job.cut) else {
        return;
    };
    let dialect = desk.project.facts.dialect;
    let mut relation = desk.ledger.schema().clone();
    relation.identifier = Some(refused_table(dialect, &job.node).into());
    let name = relation.render(dialect);
    let keep = || -> Result<(), Box<Diagnostic>> {
        session.begin()?;
        run(session, &format!("drop table if exists {name}"))?;
        run(session, &format!("create table {name} as\n{sql}"))?;
        session.commit()
    };
    if keep().is_err() {
        let _ = session.rollback();
    }
}
