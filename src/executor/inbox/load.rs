//! Batches into tables: staged, then upserted parents first, with their record, in one transaction.
//!
//! ```text
//! lease -> stage -> begin -> (upsert each table -> delete -> judge keys) each batch -> ledger -> fence -> commit
//! ```
//!
//! What is loaded must end as if all batches had come in the order of their names. So a batch before
//! one that is loaded, such as a corrected or a late one, takes all later ones with it into its
//! transaction: nobody sees a newer value give way to an older one, and a crash leaves the old state.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Value as Json, json};

use super::find::{Batch, Inbox, Known, State, Supply, Wanted, batches};
use super::table::Place;
use crate::calendar::Mapping;
use crate::diagnostic::{Code, Diagnostic, nearest};
use crate::executor::Project;
use crate::executor::compile::{Compiled, Shown, compile};
use crate::executor::event::{BatchFacts, Event, NodeFacts, NodeStatus};
use crate::executor::heartbeat::pause;
use crate::executor::lease::{self, Wanted as WantedLease};
use crate::executor::look::civil_text;
use crate::executor::node::{MOST_REPEATS, repeat_soon};
use crate::executor::reads::{BatchView, Narrowed, Narrowing};
use crate::executor::run::empty_result;
use crate::executor::session::{Session, SessionShared};
use crate::executor::stage::surroundings;
use crate::jinja::Warehouse;
use crate::jinja::port::{Fetch, Transaction};
use crate::landing::{self, Counts, Destination, FileEntry, LoadFailure};
use crate::ledger::{self, BatchFile, BatchOutcome, BatchRecord, Ledger, RelationId, RunFacts};
use crate::manifest::{Node, UniqueId};
use crate::relation::Relation;
use crate::sql;

/// What the loads of a run share.
pub struct Loads<'a> {
    /// The project.
    pub project: &'a Arc<Project>,
    /// What sessions share: the one that gives signs of life is made of it.
    pub shared: &'a Arc<SessionShared>,
    /// The session.
    pub session: &'a Arc<Session>,
    /// The ledger.
    pub ledger: &'a Ledger,
    /// The run's clock, as its rows name it.
    pub as_of: &'a str,
    /// How long a lease or a lock of somebody else is waited for.
    pub lock_timeout: Duration,
    /// How long a lease lasts after the last sign of life.
    pub lease_seconds: u32,
}

/// What came of an inbox.
#[derive(Debug, Default)]
pub struct Outcome {
    /// How many batches were loaded that had not been, or were corrected.
    pub loaded: usize,
    /// What was done to each table.
    pub tables: BTreeMap<UniqueId, Changed>,
    /// Batches that were refused, in this run or before.
    pub refused: Vec<Refused>,
    /// Batches that wait for a file of these supplies.
    pub waiting: Vec<(String, Vec<usize>)>,
}

/// What was done to a table.
#[derive(Clone, Debug, Default)]
pub struct Changed {
    /// Rows that were inserted or changed.
    pub upserted: u64,
    /// Rows that were deleted by their keys.
    pub deleted: u64,
    /// The query, as it was rendered last.
    pub compiled: Option<Compiled>,
}

/// A batch that was refused.
#[derive(Clone, Debug)]
pub struct Refused {
    /// Its name.
    pub batch: String,
    /// The table whose file or rows are at fault, where one is.
    pub table: Option<UniqueId>,
    /// Why.
    pub diagnostic: Diagnostic,
}

/// Loads what there is to load of an inbox whose tables are made.
///
/// # Errors
/// What keeps all of it from being loaded: the lease, the store, the connection.
pub fn load(loads: &Loads<'_>, inbox: &Inbox, wanted: Wanted) -> Result<Outcome, Box<Diagnostic>> {
    let relation = RelationId(ledger::hash64(&["inbox", &inbox.name]));
    let facts = RunFacts {
        // Signs of life of its own, which end with the load.
        run: format!("{}/{:x}", loads.project.facts.invocation_id, relation.0),
        as_of: loads.as_of.to_owned(),
    };
    let ledger_name = ledger_name(loads.project, loads.session, inbox)?;
    lease::alive(
        loads.shared,
        (loads.ledger, &facts, loads.lease_seconds),
        || {
            let lease = WantedLease {
                ledger: loads.ledger,
                facts: &facts,
                relation,
                name: &inbox.pattern,
                seconds: loads.lease_seconds,
                patience: loads.lock_timeout,
            };
            let fence = lease::take(loads.session, lease)?;
            let mut work = Work {
                loads,
                inbox,
                facts: &facts,
                ledger_name,
                fence: (relation, fence),
                columns: BTreeMap::new(),
                outcome: Outcome::default(),
                told: 0,
            };
            let done = work.all(wanted);
            loads.session.release();
            let _ = loads.session.rollback();
            work.clear();
            lease::give_back(loads.session, loads.ledger, relation, fence);
            done.map(|()| work.outcome)
        },
    )
}

/// The name of an inbox in the ledger. It changes with each table that is made anew: such a one has
/// nothing of what was loaded before, whenever the run that made it may have died.
pub fn ledger_name(
    project: &Arc<Project>,
    session: &Arc<Session>,
    inbox: &Inbox,
) -> Result<String, Box<Diagnostic>> {
    let identities = inbox.tables.iter();
    let identities: Result<Vec<String>, _> = identities
        .map(|node| Place::new(project, session, node).identity())
        .collect();
    Ok(format!("{} ({})", inbox.name, identities?.join(", ")))
}

/// What the ledger knows of an inbox by its name there.
pub fn known(session: &Session, ledger: &Ledger, name: &str) -> Result<Known, Box<Diagnostic>> {
    let fetch = |sql: &str| session.query(sql, Transaction::AsIs, Fetch::Rows);
    let records = ledger::batches(&fetch(&ledger.read_batches(name))?.table);
    let files = ledger::batch_files(&fetch(&ledger.read_batch_files(name))?.table);
    Ok(Known::new(records, files))
}

struct Work<'a> {
    loads: &'a Loads<'a>,
    inbox: &'a Inbox,
    facts: &'a RunFacts,
    /// See [`ledger_name`].
    ledger_name: String,
    fence: (RelationId, i64),
    /// The columns that each table's query gives.
    columns: BTreeMap<UniqueId, Vec<String>>,
    outcome: Outcome,
    /// How many batches were told of.
    told: usize,
}

/// Why a transaction came to nothing: the batch at fault, the table, and what was said.
struct Fault {
    batch: Option<usize>,
    table: Option<UniqueId>,
    diagnostic: Box<Diagnostic>,
}

impl From<Box<Diagnostic>> for Fault {
    fn from(diagnostic: Box<Diagnostic>) -> Fault {
        Fault {
            batch: None,
            table: None,
            diagnostic,
        }
    }
}

/// How many rows the files of each supply have, by batch.
type Staged = BTreeMap<usize, Counts>;

impl Work<'_> {
    fn all(&mut self, wanted: Wanted) -> Result<(), Box<Diagnostic>> {
        let project = self.loads.project;
        let known = known(self.loads.session, self.loads.ledger, &self.ledger_name)?;
        let mut all = batches(project, self.inbox, &known, wanted)?;
        for batch in &all {
            match &batch.state {
                State::Waiting(missing) => {
                    self.outcome
                        .waiting
                        .push((batch.name.clone(), missing.clone()));
                }
                State::Refused(reason) => {
                    let message = format!(
                        "batch `{}` of `{}` was refused before, and its files are as they were",
                        batch.name, self.inbox.pattern
                    );
                    let error = Diagnostic::error(Code::BadFile, message).note(reason.clone());
                    self.refuse_one(
                        &batch.name,
                        None,
                        error.help("correct the file under its name"),
                    );
                }
                State::Pending | State::Loaded | State::Gone => {}
            }
        }
        self.refuse_before_gone(&mut all);
        let together = match wanted {
            Wanted::All => true,
            Wanted::New => !known.has_loaded() && self.has_rows()?,
        };
        let total = all
            .iter()
            .filter(|batch| batch.state == State::Pending)
            .count();
        for chain in chains(&all, together) {
            let chain: Vec<Batch> = chain.into_iter().map(|at| all[at].clone()).collect();
            self.chain(chain, &known, total)?;
        }
        Ok(())
    }

    /// A batch cannot be loaded under a later one that cannot be loaded again over it.
    fn refuse_before_gone(&mut self, all: &mut [Batch]) {
        let Some(gone) = all.iter().rposition(|batch| batch.state == State::Gone) else {
            return;
        };
        let (before, rest) = all.split_at_mut(gone);
        for batch in before
            .iter_mut()
            .filter(|batch| batch.state == State::Pending)
        {
            let message = format!(
                "batch `{}` of `{}` comes before `{}`, which is loaded and whose files are gone: it would overwrite newer rows",
                batch.name, self.inbox.pattern, rest[0].name
            );
            let error = Diagnostic::error(Code::BadFile, message);
            let error = error.help("send its rows in a batch of a later name");
            batch.state = State::Refused(error.message.clone());
            self.refuse_one(&batch.name, None, error);
        }
    }

    fn refuse_one(&mut self, batch: &str, table: Option<UniqueId>, diagnostic: Diagnostic) {
        self.outcome.refused.push(Refused {
            batch: batch.to_owned(),
            table,
            diagnostic,
        });
    }

    /// Tells whether a table has rows that no batch is known of.
    fn has_rows(&self) -> Result<bool, Box<Diagnostic>> {
        for node in &self.inbox.tables {
            let place = self.place(node);
            let sql = place.text("ods_has_rows", &[place.name().into()])?;
            let table = place.fetch(&sql)?;
            let first = table.rows.first().and_then(|row| row.first());
            if first == Some(&crate::table::Datum::Bool(true)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn place<'n>(&'n self, node: &'n Arc<Node>) -> Place<'n> {
        Place::new(self.loads.project, self.loads.session, node)
    }

    /// Loads batches in one transaction; those that are refused are left out, and the rest is tried again.
    fn chain(
        &mut self,
        mut chain: Vec<Batch>,
        known: &Known,
        total: usize,
    ) -> Result<(), Box<Diagnostic>> {
        let mut tried = 0;
        loop {
            // What was loaded before and has nothing under it need not be loaded again.
            let first = chain.iter().position(|batch| batch.state == State::Pending);
            let Some(first) = first else { return Ok(()) };
            chain.drain(..first);
            if self.loads.shared.is_stopping() {
                let message = "the run was stopped before this batch";
                return Err(Box::new(Diagnostic::error(Code::Cancelled, message)));
            }
            let started = Instant::now();
            let begun = civil_text(Timestamp::now());
            self.tell_start(&chain, total);
            let connection = self.loads.session.connection();
            let fault = match self.stage(&chain) {
                Err(fault) => fault,
                Ok(staged) => match self.transaction(&chain, &staged, &begun) {
                    Ok(tables) => {
                        self.loaded(&chain, tables, started, total);
                        return Ok(());
                    }
                    Err(fault) => {
                        self.loads.session.release();
                        let _ = self.loads.session.rollback();
                        fault
                    }
                },
            };
            let code = fault.diagnostic.code;
            // On another connection nothing of what was staged is there: that is no fault of the batch's.
            let unstaged =
                self.loads.session.connection() != connection && code != Code::Connection;
            if (unstaged || code == Code::DatabaseConflict) && tried < MOST_REPEATS {
                tried += 1;
                repeat_soon(
                    self.loads.session,
                    &self.inbox.tables[0],
                    &fault.diagnostic,
                    tried,
                );
                continue;
            }
            if matches!(
                code,
                Code::Cancelled
                    | Code::Connection
                    | Code::DatabaseConflict
                    | Code::DatabaseLocked
                    | Code::Io
            ) {
                return Err(fault.diagnostic);
            }
            let Some(at) = fault.batch.filter(|_| !unstaged) else {
                return Err(fault.diagnostic);
            };
            let outcome = match code {
                Code::BadCsv | Code::BadFile => BatchOutcome::Refused,
                _ => BatchOutcome::Failed,
            };
            // What was loaded and cannot be loaded again holds back all that come before it.
            let refused: Vec<Batch> = match chain[at].state {
                State::Pending => vec![chain.remove(at)],
                _ => chain
                    .drain(..at)
                    .filter(|batch| batch.state == State::Pending)
                    .collect(),
            };
            for batch in refused {
                let mut diagnostic = (*fault.diagnostic).clone();
                diagnostic.notes.push(format!(
                    "in the batch `{}` of `{}`",
                    batch.name, self.inbox.pattern
                ));
                self.record_refused(&batch, known, (outcome, &diagnostic.message), &begun)?;
                self.tell_refused(&batch, &diagnostic, started, total);
                self.refuse_one(&batch.name, fault.table.clone(), diagnostic);
            }
        }
    }

    fn staging(&self, supply: &Supply) -> Relation {
        let name = supply.spec.name.replace('.', "_");
        landing::staging(
            self.loads.project.facts.dialect,
            &format!("__daygrain__inbox_{name}"),
        )
    }

    /// Loads the files of some batches into temporary tables, one a supply.
    fn stage(&self, chain: &[Batch]) -> Result<Staged, Fault> {
        let project = self.loads.project;
        let dialect = project.facts.dialect;
        let mut staged = Staged::new();
        for (at, supply) in self.inbox.supplies.iter().enumerate() {
            let files = chain.iter().filter_map(|batch| batch.files.get(&at));
            let files: Vec<FileEntry> = files.flatten().cloned().collect();
            let staging = self.staging(supply);
            let into = Destination {
                warehouse: &**self.loads.session,
                dialect,
                staging: &staging,
            };
            let around = surroundings(project);
            match landing::load(&supply.spec, around, &files, into, &project.readers) {
                Ok(counts) => drop(staged.insert(at, counts)),
                Err(LoadFailure::Whole(wrong)) => return Err(wrong.into()),
                Err(LoadFailure::Partitions(wrong)) => {
                    let first = wrong.into_iter().find_map(|(name, found)| {
                        let place = chain.iter().position(|batch| batch.name == name)?;
                        Some((place, landing::joined(found)?))
                    });
                    let Some((batch, diagnostic)) = first else {
                        let message = format!("the files of `{}` cannot be read", supply.spec.name);
                        return Err(Box::new(Diagnostic::error(Code::BadFile, message)).into());
                    };
                    return Err(Fault {
                        batch: Some(batch),
                        table: Some(supply.table.clone()),
                        diagnostic: Box::new(diagnostic),
                    });
                }
            }
            if chain.len() > 1 {
                let args = [
                    staging.render(dialect).into(),
                    self.batch_column(supply).into(),
                ];
                self.run(
                    &self
                        .place(&self.inbox.tables[0])
                        .text("ods_index_staging", &args)?,
                )?;
            }
        }
        Ok(staged)
    }

    fn batch_column(&self, supply: &Supply) -> String {
        let column = &supply.spec.columns[supply.spec.field].name;
        self.loads.project.facts.dialect.quote_identifier(column)
    }

    fn run(&self, sql: &str) -> Result<u64, Box<Diagnostic>> {
        let outcome = self
            .loads
            .session
            .query(sql, Transaction::AsIs, Fetch::Nothing)?;
        Ok(outcome.rows_affected.unwrap_or_default())
    }

    /// The rows of one batch of a supply, as a query.
    fn rows_of(&self, supply: &Supply, batch: &str) -> String {
        let dialect = self.loads.project.facts.dialect;
        format!(
            "select * from {} where {} = {}",
            self.staging(supply).render(dialect),
            self.batch_column(supply),
            dialect.string_literal(batch)
        )
    }

    fn transaction(
        &mut self,
        chain: &[Batch],
        staged: &Staged,
        begun: &str,
    ) -> Result<BTreeMap<UniqueId, Changed>, Fault> {
        let (loads, project) = (self.loads, self.loads.project);
        let pending = chain.iter().filter(|batch| batch.state == State::Pending);
        let numbers = loads.session.query(
            &loads.ledger.take_numbers(pending.clone().count()),
            Transaction::AsIs,
            Fetch::Rows,
        )?;
        let mut numbers = numbers.table.rows.iter().map(|row| ledger::number(row, 0));
        pause(project, "inbox-staged");
        loads.session.begin()?;
        // Zero would be no limit.
        let lock = loads.lock_timeout.as_secs().max(1);
        let limits = [lock.into(), (4 * loads.lease_seconds).into()];
        self.run(
            &self
                .place(&self.inbox.tables[0])
                .text("ods_limits", &limits)?,
        )?;
        loads.session.hold();
        let mut tables: BTreeMap<UniqueId, Changed> = BTreeMap::new();
        for (at, batch) in chain.iter().enumerate() {
            let before: u64 = tables
                .values()
                .map(|table| table.upserted + table.deleted)
                .sum();
            self.one(batch, chain.len() == 1, &mut tables)
                .map_err(|(table, diagnostic)| Fault {
                    batch: Some(at),
                    table,
                    diagnostic,
                })?;
            pause(project, "inbox-batch");
            if batch.state == State::Pending {
                let after: u64 = tables
                    .values()
                    .map(|table| table.upserted + table.deleted)
                    .sum();
                let record = BatchRecord {
                    number: numbers.next().unwrap_or_default(),
                    batch: batch.name.clone(),
                    outcome: BatchOutcome::Loaded,
                    rows: i64::try_from(after - before).unwrap_or(i64::MAX),
                    reason: None,
                };
                self.record(&record, &self.counted(batch, staged), begun)?;
            }
        }
        let (relation, fence) = self.fence;
        let beat = loads.session.query(
            &loads.ledger.beat(relation, fence),
            Transaction::AsIs,
            Fetch::Rows,
        )?;
        if beat.table.rows.is_empty() {
            let message = format!("another run has taken over `{}`", self.inbox.pattern);
            return Err(Box::new(Diagnostic::error(Code::DatabaseLocked, message)).into());
        }
        pause(project, "inbox-commit");
        loads.session.release();
        loads.session.commit().map_err(|diagnostic| Fault {
            batch: chain
                .iter()
                .rposition(|batch| batch.state == State::Pending),
            table: None,
            diagnostic,
        })?;
        pause(project, "inbox-committed");
        Ok(tables)
    }

    /// The files of a batch with their rows, where a supply has one.
    fn counted(&self, batch: &Batch, staged: &Staged) -> Vec<BatchFile> {
        let mut files = batch.recorded.clone();
        for (at, entries) in &batch.files {
            if let [one] = &entries[..]
                && let Some(rows) = staged.get(at).and_then(|counts| counts.get(&batch.name))
                && let Some(file) = files.iter_mut().find(|file| file.path == one.path)
            {
                file.rows = i64::try_from(*rows).ok();
            }
        }
        files
    }

    fn record(
        &self,
        record: &BatchRecord,
        files: &[BatchFile],
        begun: &str,
    ) -> Result<(), Box<Diagnostic>> {
        let ledger = self.loads.ledger;
        self.run(&ledger.add_batch(&self.ledger_name, record, self.facts, begun))?;
        let files: Vec<BatchFile> = files
            .iter()
            .map(|file| BatchFile {
                number: record.number,
                ..file.clone()
            })
            .collect();
        for chunk in files.chunks(500) {
            if let Some(sql) = ledger.add_batch_files(chunk) {
                self.run(&sql)?;
            }
        }
        Ok(())
    }

    fn record_refused(
        &self,
        batch: &Batch,
        known: &Known,
        (outcome, reason): (BatchOutcome, &str),
        begun: &str,
    ) -> Result<(), Box<Diagnostic>> {
        // What is refused each run is told each run and written once.
        if known.says(batch, outcome, reason) {
            return Ok(());
        }
        let session = self.loads.session;
        let numbers = session.query(
            &self.loads.ledger.take_numbers(1),
            Transaction::AsIs,
            Fetch::Rows,
        )?;
        let record = BatchRecord {
            number: numbers
                .table
                .rows
                .first()
                .map_or(0, |row| ledger::number(row, 0)),
            batch: batch.name.clone(),
            outcome,
            rows: 0,
            reason: Some(reason.to_owned()),
        };
        session.begin()?;
        self.record(&record, &batch.recorded, begun)?;
        session.commit()
    }

    /// Upserts the rows of one batch into each table, and deletes by its keys.
    fn one(
        &mut self,
        batch: &Batch,
        alone: bool,
        tables: &mut BTreeMap<UniqueId, Changed>,
    ) -> Result<(), (Option<UniqueId>, Box<Diagnostic>)> {
        let project = self.loads.project;
        let of = |node: &Node| {
            let id = node.unique_id.clone();
            move |diagnostic: Box<Diagnostic>| (Some(id), diagnostic)
        };
        let inbox = self.inbox;
        for node in &inbox.tables {
            self.loads.session.begin_node(project, Some(node));
            let Some(ods) = node.upkeep.ods.as_ref() else {
                continue;
            };
            let reads = ods.inbox.iter().flat_map(|inbox| &inbox.reads);
            let supplies: Vec<&Supply> = reads
                .filter_map(|id| inbox.supplies.iter().find(|supply| supply.id == *id))
                .collect();
            if supplies.is_empty() {
                continue;
            }
            let reads = supplies.iter().map(|supply| {
                let narrowed = match alone {
                    true => Narrowed::Staged(self.staging(supply)),
                    false => Narrowed::Query(self.rows_of(supply, &batch.name)),
                };
                ((supply.id.clone(), Mapping::All), narrowed)
            });
            let view = BatchView {
                narrowing: Arc::new(Narrowing::new(reads.collect())),
                built: None,
            };
            let shown = Shown::of_partitions(project, node, view);
            let compiled = compile(project, self.loads.session, node, &shown).map_err(of(node))?;
            let changed = tables.entry(node.unique_id.clone()).or_default();
            if !sql::tokens::is_blank(project.facts.dialect, &compiled.sql) {
                changed.upserted += self.upsert(node, &compiled.sql).map_err(of(node))?;
            }
            changed.compiled = Some(compiled);
        }
        for node in &inbox.tables {
            let ods = node.upkeep.ods.as_ref();
            let Some(deletes) = ods.and_then(|ods| ods.inbox.as_ref()?.deletes.as_ref()) else {
                continue;
            };
            let Some(supply) = inbox
                .supplies
                .iter()
                .find(|supply| supply.id == deletes.source)
            else {
                continue;
            };
            self.loads.session.begin_node(project, Some(node));
            let place = self.place(node);
            let rows = format!("({}) as removed", self.rows_of(supply, &batch.name));
            let args = [
                place.name().into(),
                place.quote(&deletes.key).into(),
                rows.into(),
            ];
            let deleted = place
                .text("ods_delete", &args)
                .and_then(|sql| place.run(&sql));
            let changed = tables.entry(node.unique_id.clone()).or_default();
            changed.deleted += deleted.map_err(of(node))?;
        }
        let place = self.place(&inbox.tables[0]);
        let judged = place
            .text("ods_judge_keys", &[])
            .and_then(|sql| place.run(&sql));
        judged.map(drop).map_err(|diagnostic| (None, diagnostic))
    }

    fn upsert(&mut self, node: &Arc<Node>, query: &str) -> Result<u64, Box<Diagnostic>> {
        let query = query.trim().trim_end_matches(';');
        let names = self.columns_of(node, query)?;
        let place = self.place(node);
        let Some(ods) = node.upkeep.ods.as_ref() else {
            return Ok(0);
        };
        let key = ods.primary_key();
        let columns: Vec<Json> = ods
            .columns
            .iter()
            .filter(|column| names.contains(&column.name))
            .map(|column| {
                json!({
                    "quoted": place.quote(&column.name),
                    "data_type": column.data_type,
                    "is_key": key.contains(&column.name),
                })
            })
            .collect();
        let key: Vec<String> = key.iter().map(|column| place.quote(column)).collect();
        let args = [
            place.name().into(),
            columns.into(),
            key.into(),
            query.into(),
        ];
        let sql = place.text("ods_upsert", &args)?;
        place.run(&sql)
    }

    /// The columns that a table's query gives, all of which must be the table's.
    fn columns_of(
        &mut self,
        node: &Arc<Node>,
        query: &str,
    ) -> Result<Vec<String>, Box<Diagnostic>> {
        if let Some(known) = self.columns.get(&node.unique_id) {
            return Ok(known.clone());
        }
        let place = self.place(node);
        let described = place.fetch(&format!(
            "select * from (\n{query}\n) as incoming where 1 = 0"
        ))?;
        let names: Vec<String> = described
            .columns
            .iter()
            .map(|column| column.name.clone())
            .collect();
        let Some(ods) = node.upkeep.ods.as_ref() else {
            return Ok(names);
        };
        let declared: BTreeSet<&str> = ods
            .columns
            .iter()
            .map(|column| column.name.as_str())
            .collect();
        if let Some(other) = names.iter().find(|name| !declared.contains(name.as_str())) {
            let message = format!(
                "the query of `{}` gives a column `{other}`, which the table does not declare",
                node.name
            );
            let error = Diagnostic::error(Code::BadConfig, message);
            return Err(Box::new(match nearest(other, declared.iter().copied()) {
                Some(near) => error.help(format!("a column named `{near}` is declared")),
                None => error.help("declare it, or leave it out of the query"),
            }));
        }
        if let Some(key) = ods.primary_key().iter().find(|key| !names.contains(key)) {
            let message = format!(
                "the query of `{}` gives no column `{key}`, which is its primary key",
                node.name
            );
            return Err(Box::new(Diagnostic::error(Code::BadConfig, message)));
        }
        self.columns.insert(node.unique_id.clone(), names.clone());
        Ok(names)
    }

    /// Drops the temporary tables, whose rows the session would keep.
    fn clear(&self) {
        let dialect = self.loads.project.facts.dialect;
        for supply in &self.inbox.supplies {
            let name = self.staging(supply).render(dialect);
            // Who cannot drop them has lost the session, and they are gone with it.
            let _ = self.run(&format!("drop table if exists {name}"));
        }
    }

    fn loaded(
        &mut self,
        chain: &[Batch],
        tables: BTreeMap<UniqueId, Changed>,
        started: Instant,
        total: usize,
    ) {
        let rows = tables
            .values()
            .map(|table| table.upserted + table.deleted)
            .sum();
        for (id, changed) in tables {
            let known = self.outcome.tables.entry(id).or_default();
            known.upserted += changed.upserted;
            known.deleted += changed.deleted;
            known.compiled = changed.compiled.or(known.compiled.take());
        }
        self.outcome.loaded += chain
            .iter()
            .filter(|batch| batch.state == State::Pending)
            .count();
        let facts = self.facts_of(chain, total);
        let mut result = empty_result(&facts.node, self.loads.session.thread());
        result.elapsed = started.elapsed();
        result.message = Some(match rows {
            1 => "1 row".to_owned(),
            rows => format!("{rows} rows"),
        });
        self.told = facts.index;
        self.loads.shared.send(Event::BatchFinished {
            batch: Arc::new(facts),
            result: Arc::new(result),
        });
    }

    fn facts_of(&self, chain: &[Batch], total: usize) -> BatchFacts {
        let node = NodeFacts::new(&self.inbox.tables[0], self.loads.project.facts.dialect);
        let pending: Vec<&str> = chain
            .iter()
            .filter(|batch| batch.state == State::Pending)
            .map(|batch| batch.name.as_str())
            .collect();
        let label = match &pending[..] {
            [] => String::new(),
            [one] => (*one).to_owned(),
            [first, .., last] => format!("{first} .. {last}"),
        };
        BatchFacts {
            node: Arc::new(node),
            label,
            index: (self.told + pending.len()).min(total.max(1)),
            total,
            parts: None,
        }
    }

    fn tell_start(&self, chain: &[Batch], total: usize) {
        let batch = Arc::new(self.facts_of(chain, total));
        self.loads.shared.send(Event::BatchStarted { batch });
    }

    fn tell_refused(
        &mut self,
        batch: &Batch,
        diagnostic: &Diagnostic,
        started: Instant,
        total: usize,
    ) {
        let facts = self.facts_of(std::slice::from_ref(batch), total);
        let mut result = empty_result(&facts.node, self.loads.session.thread());
        result.status = NodeStatus::Error;
        result.elapsed = started.elapsed();
        result.message = Some(facts.node.failure(diagnostic));
        result.diagnostic = Some(Arc::new(diagnostic.clone()));
        self.told = facts.index;
        self.loads.shared.send(Event::BatchFinished {
            batch: Arc::new(facts),
            result: Arc::new(result),
        });
    }
}

/// The batches that go into one transaction each, by their places; `together` puts all into one.
///
/// From the first that is to be loaded under one that is loaded, all up to the last loaded one go
/// together; each of the rest goes alone.
fn chains(all: &[Batch], together: bool) -> Vec<Vec<usize>> {
    let heeded = |at: &usize| matches!(all[*at].state, State::Pending | State::Loaded);
    let places = || (0..all.len()).filter(heeded);
    let is_pending = |at: &usize| all[*at].state == State::Pending;
    let Some(first) = places().find(is_pending) else {
        return Vec::new();
    };
    if together {
        return vec![places().filter(|at| *at >= first).collect()];
    }
    let last = places().filter(|at| !is_pending(at)).max();
    let mut chains = Vec::new();
    if let Some(last) = last.filter(|last| *last > first) {
        chains.push(places().filter(|at| (first..=last).contains(at)).collect());
    }
    let alone = places().filter(|at| is_pending(at) && last.is_none_or(|last| *at > last));
    chains.extend(alone.map(|at| vec![at]));
    chains
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chained(states: &str, together: bool) -> Vec<Vec<usize>> {
        let all: Vec<Batch> = states
            .chars()
            .map(|state| Batch {
                name: String::new(),
                files: BTreeMap::new(),
                recorded: Vec::new(),
                state: match state {
                    'p' => State::Pending,
                    'l' => State::Loaded,
                    'w' => State::Waiting(Vec::new()),
                    _ => State::Refused(String::new()),
                },
            })
            .collect();
        chains(&all, together)
    }

    #[test]
    fn later_batches_are_loaded_again_over_an_older_one() {
        assert_eq!(chained("ppp", false), [vec![0], vec![1], vec![2]]);
        assert_eq!(chained("llp", false), [vec![2]]);
        assert_eq!(
            chained("lplwrlpp", false),
            [vec![1, 2, 5], vec![6], vec![7]]
        );
        assert_eq!(chained("plpl", false), [vec![0, 1, 2, 3]]);
        assert_eq!(chained("ppwp", true), [vec![0, 1, 3]]);
        assert!(chained("llrw", false).is_empty());
    }
}
