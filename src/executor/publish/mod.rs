//! Write, audit, publish: how partitions become visible, with their record, in one transaction.
//!
//! ```text
//! lease -> begin -> delete -> insert -> audits -> count and hash -> ledger -> fence -> commit -> hooks
//! ```
//!
//! Whatever fails on the way, or a crash at any moment, leaves the partitions that were there and a
//! ledger that agrees. A batch that fails is split until the partition is named that is at fault.

mod audit;
mod content;
mod hooks;
mod partitions;
mod record;
mod staged;
mod whole;

pub use audit::run_test;
pub use content::{
    ColumnOrder, Content, Stored, boundaries, columns_number, nothing_stored, partition_of,
    read_content, stored_partitions, stored_whole,
};
pub use record::refused_table;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime};

use super::Project;
use super::compile::{Shown, node_scope};
use super::engine::existing;
use super::event::{NodeFacts, NodeResult};
use super::lease::{self, Wanted};
use super::node::{MOST_REPEATS, in_model_session, repeat_soon};
use super::run::empty_result;
use super::session::Session;
use super::{locate, schemas, stage};
use crate::calendar::{Mapping, PartitionRange};
use crate::diagnostic::{Code, Diagnostic};
use crate::jinja::context::{self, relation_value};
use crate::jinja::language::Scope;
use crate::jinja::port::{CacheChange, Fetch, QueryOutcome, Transaction};
use crate::jinja::{Value, Warehouse};
use crate::ledger::{self, Input, Ledger, Outcome, Record, RelationId, RunFacts};
use crate::manifest::partitioning::Partitioning;
use crate::manifest::{Node, UniqueId};
use crate::planner::board::{ALL, BatchPart};
use crate::relation::Relation;
use crate::table::{Datum, Table};
use partitions::{publish_partitions, publish_reshaped};
use record::{keep_refused, record_failure};
use staged::{is_staged, publish_staged};
use whole::publish_whole;

/// What all jobs of a run share.
pub struct Desk {
    /// The project.
    pub project: Arc<Project>,
    /// The ledger.
    pub ledger: Ledger,
    /// The run, as its rows name it.
    pub facts: RunFacts,
    /// The name of the hash that rows are hashed by.
    pub hash: String,
    /// Whether other processes may publish at the same time.
    pub shared: bool,
    /// How long a lease of somebody else is waited for.
    pub lock_timeout: Duration,
    /// How long a lease lasts after the last sign of life.
    pub lease_seconds: u32,
    /// The sources that have files, for the tests that read them.
    pub files: BTreeMap<UniqueId, DueFiles>,
    /// The columns of queries that differ in literals alone.
    pub columns: KnownColumns,
}

/// The columns of models' queries, each asked for once while no relation of the run changes its own.
#[derive(Debug, Default)]
pub struct KnownColumns {
    known: Mutex<HashMap<UniqueId, Arc<Table>>>,
}

impl KnownColumns {
    fn lock(&self) -> MutexGuard<'_, HashMap<UniqueId, Arc<Table>>> {
        let known = self.known.lock();
        known.expect("no holder of the columns' lock panics")
    }

    fn get(&self, id: &UniqueId) -> Option<Arc<Table>> {
        self.lock().get(id).cloned()
    }

    fn keep(&self, id: &UniqueId, columns: &Arc<Table>) {
        self.lock().insert(id.clone(), Arc::clone(columns));
    }

    /// Forgets all, since a relation has other columns now.
    fn forget(&self) {
        self.lock().clear();
    }
}

/// A source's files, and which of its partitions are due.
#[derive(Clone, Debug)]
pub struct DueFiles {
    /// How it is cut.
    pub cut: Arc<Partitioning>,
    /// Its files by partition.
    pub files: Arc<stage::SourceFiles>,
    /// The partitions that are due.
    pub due: PartitionRange,
}

/// What one worker is to build.
#[derive(Clone)]
pub struct Job {
    /// The model or seed.
    pub node: Arc<Node>,
    /// Its identity in the ledger.
    pub relation: RelationId,
    /// Its physical name, and how it is cut, as the ledger keeps them.
    pub names: (String, String),
    /// The fingerprint of its code.
    pub code: i64,
    /// Its partitions; `None` for one, `all`.
    pub cut: Option<Arc<Partitioning>>,
    /// The partitions to build, with what is there of them.
    pub parts: Vec<Part>,
    /// All of its partitions that are visible and stale, these included.
    pub outdated: Vec<i32>,
    /// What it reads, by call.
    pub reads: Vec<JobRead>,
    /// What ephemeral models inside it read of files, by mapping.
    pub inlined: Vec<JobRead>,
    /// The relations that it reads, for the check that nobody else published meanwhile.
    pub parents: Vec<RelationId>,
    /// The newest build when the ledger was read last.
    pub newest_build: i64,
    /// The newest partition that is closed.
    pub newest_closed: i32,
    /// The tests that judge it before it is published.
    pub audits: Vec<Audit>,
    /// Whether its rows are hashed.
    pub hashed: bool,
    /// What tells its columns from others now; `None` where no view that is followed shows them.
    pub columns: Option<i64>,
    /// Whether its query is the same for all partitions but for literals.
    pub is_alike: bool,
    /// Whether its table is there.
    pub exists: bool,
    /// Whether the table's columns were compared with the query's in this run.
    pub compared: bool,
    /// Whether everything is built into a new table that replaces the old one.
    pub reshape: bool,
    /// Whether the table that is there was cut into other partitions, and nobody asked for all of it.
    pub recut: bool,
    /// Partitions that are in the old table and would not be in the new one.
    pub left_over: Vec<i32>,
    /// What has the table's name now.
    pub existing: Option<Relation>,
    /// The table under another name that is judged before it takes the place of the old one.
    pub staged: Option<Relation>,
    /// How many partitions one statement may build.
    pub most: usize,
    /// How many batches of the node came before, and how many partitions are left, this one's too.
    pub done: usize,
    /// See `done`.
    pub left: usize,
    /// Whether it reads sources, so that an empty partition is suspicious.
    pub reads_sources: bool,
}

/// A test that judges a job.
#[derive(Clone, Debug)]
pub struct Audit {
    /// The test.
    pub test: Arc<Node>,
    /// Whether it needs look at the job's partitions only: it judges row by row, and has passed on the
    /// rest.
    pub narrowed: bool,
}

/// One partition of a job.
#[derive(Clone, Debug)]
pub struct Part {
    /// Which, why, and the digest of what it is built from.
    pub part: BatchPart,
    /// What readers see of it now.
    pub before: Option<Record>,
    /// What it reads, for the ledger.
    pub inputs: Vec<Input>,
    /// Why it is built, for the ledger.
    pub because: String,
}

impl Part {
    /// Tells whether readers see rows of it now.
    pub fn had_rows(&self) -> bool {
        self.before.is_some_and(|before| before.rows > 0)
    }
}

/// One call of a job's template that is narrowed.
#[derive(Clone, Debug)]
pub struct JobRead {
    /// What is read.
    pub upstream: UniqueId,
    /// By which mapping.
    pub mapping: Mapping,
    /// How what is read is cut.
    pub cut: Arc<Partitioning>,
    /// The files that hold it, of a source that has files: the source and its files by partition.
    pub files: Option<Arc<stage::SourceFiles>>,
}

/// What came of a job.
#[derive(Default)]
pub struct Ended {
    /// The partitions that were published.
    pub published: Vec<(i32, Record)>,
    /// Those that were refused or failed, and why.
    pub failed: Vec<(i32, Outcome, String)>,
    /// What the audits found, the last word of each.
    pub audits: BTreeMap<UniqueId, NodeResult>,
    /// The audits that passed on what is visible now, for the ledger.
    pub result: Option<NodeResult>,
    /// Rows that were written.
    pub rows: u64,
    /// What tells its columns from others, where a view that is followed shows them.
    pub columns: Option<i64>,
    /// The table's columns are not the query's: everything must be built anew, at once.
    pub reshape: bool,
    /// Somebody else published what the job reads or builds: it must be judged again.
    pub moved: bool,
}

impl Ended {
    /// Takes what audits found; a partition that was refused is not forgotten over those that were not.
    fn judged(&mut self, audits: BTreeMap<UniqueId, NodeResult>) {
        for (id, result) in audits {
            let known = self.audits.get(&id);
            let refused = known.is_some_and(|known| known.status.is_failure());
            if !refused || result.status.is_failure() {
                self.audits.insert(id, result);
            }
        }
    }
}

/// Why an attempt came to nothing.
enum Trouble {
    /// A statement failed, or what was built is not what may be published.
    Failed(Box<Diagnostic>),
    /// The connection was lost at the end, and nothing of it has lasted.
    Undone(Box<Diagnostic>),
    /// A hook failed, which has nothing to do with single partitions.
    Hook(Box<Diagnostic>),
    /// Tests refused it.
    Refused(String),
    /// See [`Ended::reshape`].
    Reshape,
    /// See [`Ended::moved`].
    Moved,
}

impl Trouble {
    /// The failure that has undone the transaction as a whole, so that all of it may be done again.
    fn undone(&self) -> Option<&Diagnostic> {
        match self {
            Trouble::Undone(failure) => Some(failure),
            Trouble::Failed(failure) if failure.code == Code::DatabaseConflict => Some(failure),
            _ => None,
        }
    }
}

impl From<Box<Diagnostic>> for Trouble {
    fn from(diagnostic: Box<Diagnostic>) -> Trouble {
        Trouble::Failed(diagnostic)
    }
}

/// Builds the partitions of a job, as many as can be.
pub fn build(desk: &Desk, session: &Arc<Session>, job: &Job) -> Ended {
    let started = Instant::now();
    let facts = Arc::new(NodeFacts::new(&job.node, desk.project.facts.dialect));
    let mut ended = Ended::default();
    let mut result = empty_result(&facts, session.thread());
    let begun = SystemTime::now();
    session.begin_node(&desk.project, Some(&job.node));
    build_parts(desk, session, job, &mut ended, &mut result);
    let _ = session.rollback();
    result.execute = Some((begun, SystemTime::now()));
    result.elapsed = started.elapsed();
    ended.result = Some(result);
    ended
}

fn build_parts(
    desk: &Desk,
    session: &Arc<Session>,
    job: &Job,
    ended: &mut Ended,
    result: &mut NodeResult,
) {
    let audits = ended.audits.clone();
    let mut tried = 0;
    let outcome = loop {
        match attempt(desk, session, job, ended, result) {
            Err(trouble) if tried < MOST_REPEATS => {
                let Some(failure) = trouble.undone() else {
                    break Err(trouble);
                };
                tried += 1;
                session.release();
                let _ = session.rollback();
                ended.audits.clone_from(&audits);
                repeat_soon(session, &job.node, failure, tried);
            }
            outcome => break outcome,
        }
    };
    let trouble = match outcome {
        Ok(()) => return,
        Err(trouble) => trouble,
    };
    session.release();
    let _ = session.rollback();
    match trouble {
        Trouble::Reshape => ended.reshape = true,
        Trouble::Moved => ended.moved = true,
        Trouble::Failed(_) | Trouble::Refused(_) if may_split(job, &trouble) => {
            // The halves are judged for themselves.
            ended.audits = audits;
            let middle = job.parts.len() / 2;
            for parts in [&job.parts[..middle], &job.parts[middle..]] {
                let half = Job {
                    parts: parts.to_vec(),
                    // It stays where the batch that failed has made it.
                    exists: existing(session, &job.node.relation).is_some(),
                    ..job.clone()
                };
                build_parts(desk, session, &half, ended, result);
            }
        }
        Trouble::Failed(mut diagnostic)
        | Trouble::Undone(mut diagnostic)
        | Trouble::Hook(mut diagnostic) => {
            name_blockers(desk, session, job, &mut diagnostic);
            locate::place(&mut diagnostic, &job.node, result.compiled_code.as_deref());
            let reason = diagnostic.message.clone();
            if result.diagnostic.is_none() {
                let keys = job.keys();
                if job.cut.is_some() {
                    diagnostic.notes.push(format!("in the partition {keys}"));
                }
                result.message = Some(result.node.failure(&diagnostic));
                result.diagnostic = Some(Arc::new(*diagnostic));
            }
            record_failure(desk, session, job, Outcome::Failed, &reason);
            let parts = job.parts.iter();
            ended
                .failed
                .extend(parts.map(|part| (part.part.partition, Outcome::Failed, reason.clone())));
        }
        Trouble::Refused(reason) => {
            keep_refused(desk, session, job, result.compiled_code.as_deref());
            record_failure(desk, session, job, Outcome::Refused, &reason);
            let parts = job.parts.iter();
            ended
                .failed
                .extend(parts.map(|part| (part.part.partition, Outcome::Refused, reason.clone())));
        }
    }
}

fn may_split(job: &Job, trouble: &Trouble) -> bool {
    let lost = matches!(trouble, Trouble::Failed(diagnostic) if is_of_the_moment(diagnostic.code));
    job.parts.len() > 1 && !lost && !job.reshape
}

/// Tells whether a failure says nothing of the statement and the rows that met it.
fn is_of_the_moment(code: Code) -> bool {
    matches!(
        code,
        Code::Cancelled | Code::Connection | Code::DatabaseConflict | Code::DatabaseLocked
    )
}

impl Job {
    fn range(&self) -> PartitionRange {
        let parts = || self.parts.iter().map(|part| part.part.partition);
        PartitionRange::new(parts().min().unwrap_or(ALL), parts().max().unwrap_or(ALL))
    }

    /// The partitions as people name them, such as `2026-11-05 .. 2026-11-09`.
    pub fn keys(&self) -> String {
        let Some(cut) = &self.cut else {
            return "all".to_owned();
        };
        let key = |partition| cut.calendar.granularity.key(partition);
        let range = self.range();
        match range.len() {
            0 | 1 => key(range.first),
            _ => format!("{} .. {}", key(range.first), key(range.last)),
        }
    }

    fn state(&self, partition: i32) -> Outcome {
        if self.cut.is_some() && partition > self.newest_closed {
            Outcome::Provisional
        } else {
            Outcome::Published
        }
    }
}

/// Takes a number for each part of a job. It is done before the transaction: a sequence may make other
/// sessions wait for the end of one that has taken numbers of it.
fn take_numbers(desk: &Desk, session: &Session, job: &Job) -> Result<Vec<i64>, Box<Diagnostic>> {
    let table = fetch(session, &desk.ledger.take_numbers(job.parts.len()))?;
    let rows = table.rows.iter();
    Ok(rows.map(|row| ledger::number(row, 0)).collect())
}

/// Builds and publishes the parts of a job in one transaction.
fn attempt(
    desk: &Desk,
    session: &Arc<Session>,
    job: &Job,
    ended: &mut Ended,
    result: &mut NodeResult,
) -> Result<(), Trouble> {
    let fence = take_lease(desk, session, job)?;
    let alone = match fence {
        Some(_) => moved(desk, session, job).and_then(|()| made(desk, session, job)),
        None => Ok(()),
    };
    let published = match (&job.cut, alone) {
        (_, Err(trouble)) => Err(none_judged(trouble)),
        (Some(cut), _) => {
            let shown = Shown::of(&desk.project, &job.node);
            let (scope, _) = node_scope(&desk.project, session, &job.node, &shown, Vec::new());
            in_model_session(&desk.project, &scope, none_judged, || {
                let published = match job.reshape {
                    true => publish_reshaped(desk, session, job, cut, fence, result),
                    false => publish_partitions(desk, session, job, cut, fence, result),
                };
                session.release();
                let _ = session.rollback();
                published
            })
        }
        (None, _) if is_staged(desk, job) => publish_staged(desk, session, job, fence, result),
        (None, _) => publish_whole(desk, session, job, fence, result),
    };
    if let Some(fence) = fence {
        session.release();
        let _ = session.rollback();
        lease::give_back(session, &desk.ledger, job.relation, fence);
    }
    let published = published.map_err(|(trouble, audits)| {
        ended.judged(audits);
        trouble
    })?;
    ended.judged(published.audits);
    ended.published.extend(published.records);
    ended.rows += published.rows;
    ended.columns = published.columns.or(ended.columns);
    Ok(())
}

/// What was committed.
struct Published {
    records: Vec<(i32, Record)>,
    audits: BTreeMap<UniqueId, NodeResult>,
    rows: u64,
    columns: Option<i64>,
}

type Attempted = Result<Published, (Trouble, BTreeMap<UniqueId, NodeResult>)>;

fn none_judged<T: Into<Trouble>>(trouble: T) -> (Trouble, BTreeMap<UniqueId, NodeResult>) {
    (trouble.into(), BTreeMap::new())
}

/// Takes the relation's lease, waiting for whoever holds it; `None` where the file's lock is enough.
fn take_lease(desk: &Desk, session: &Session, job: &Job) -> Result<Option<i64>, Trouble> {
    if !desk.shared {
        return Ok(None);
    }
    let wanted = Wanted {
        ledger: &desk.ledger,
        facts: &desk.facts,
        relation: job.relation,
        name: &job.node.name,
        seconds: desk.lease_seconds,
        patience: desk.lock_timeout,
    };
    Ok(Some(lease::take(session, wanted)?))
}

/// Runs a macro that gives one statement.
fn text(desk: &Desk, scope: &Scope, name: &str, args: &[Value]) -> Result<String, Box<Diagnostic>> {
    let text = desk.project.engine.call(name, args, &[], scope)?;
    Ok(text.as_str().map(str::trim).unwrap_or_default().to_owned())
}

fn run(session: &Session, sql: &str) -> Result<QueryOutcome, Box<Diagnostic>> {
    session.query(sql, Transaction::AsIs, Fetch::Nothing)
}

fn fetch(session: &Session, sql: &str) -> Result<Table, Box<Diagnostic>> {
    let outcome = session.query(sql, Transaction::AsIs, Fetch::Rows)?;
    Ok(outcome.table)
}

fn begin(desk: &Desk, session: &Session, job: &Job) -> Result<(), Trouble> {
    session.begin()?;
    // Files may be read between two statements; whoever is quiet for much longer is no more.
    let idle = (4 * desk.lease_seconds).to_string();
    // Zero would be no limit.
    let lock = desk.lock_timeout.as_secs().max(1).to_string();
    for setting in desk.project.facts.dialect.publish_settings {
        let setting = setting.replace("{idle}", &idle).replace("{lock}", &lock);
        run(session, &setting)?;
    }
    session.hold();
    moved(desk, session, job)
}

/// Fails where another run has published what a job reads or builds.
fn moved(desk: &Desk, session: &Session, job: &Job) -> Result<(), Trouble> {
    if !desk.shared {
        return Ok(());
    }
    let mut relations = job.parents.clone();
    relations.push(job.relation);
    let sql = desk
        .ledger
        .published_since(&relations, job.newest_build, &desk.facts.run);
    let table = fetch(session, &sql)?;
    let others = table.rows.first().map_or(0, |row| ledger::number(row, 0));
    if others > 0 {
        return Err(Trouble::Moved);
    }
    Ok(())
}

/// Says who holds the lock that a statement has waited for in vain, as far as the database tells.
fn name_blockers(desk: &Desk, session: &Arc<Session>, job: &Job, diagnostic: &mut Diagnostic) {
    if diagnostic.code != Code::DatabaseLocked {
        return;
    }
    let scope = schemas::plain_scope(&desk.project, session, Vec::new());
    let relation = relation_value(desk.project.facts.dialect, &job.node.relation);
    // What cannot be found out is left unsaid: the failure itself counts.
    let found = text(desk, &scope, "lock_holders", &[relation])
        .ok()
        .filter(|sql| !sql.is_empty())
        .and_then(|sql| fetch(session, &sql).ok())
        .unwrap_or_default();
    let holders = found.rows.iter().filter_map(|row| match row.first() {
        Some(Datum::Text(holder)) => Some(format!("{holder} holds a lock on it")),
        _ => None,
    });
    diagnostic.notes.extend(holders);
    let help = "end what holds it, or wait longer with `--lock-timeout`";
    diagnostic.help.get_or_insert_with(|| help.to_owned());
}

/// Fails where another run has made the table that a job would make; it is known from then on.
fn made(desk: &Desk, session: &Arc<Session>, job: &Job) -> Result<(), Trouble> {
    if job.exists || job.cut.is_none() {
        return Ok(());
    }
    let dialect = desk.project.facts.dialect;
    let mut schema = job.node.relation.clone();
    schema.identifier = None;
    let scope = schemas::plain_scope(&desk.project, session, Vec::new());
    let schema = relation_value(dialect, &schema);
    let listed = "list_relations_without_caching";
    let listed = desk.project.engine.call(listed, &[schema], &[], &scope)?;
    let name = job.node.relation.identifier.as_deref();
    let mut found = context::listed_relations(dialect, &listed).into_iter();
    match found.find(|found| found.identifier.as_deref() == name) {
        None => Ok(()),
        Some(found) => {
            session.note(CacheChange::Added(found));
            Err(Trouble::Moved)
        }
    }
}
