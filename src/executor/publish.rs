//! Write, audit, publish: how partitions become visible, with their record, in one transaction.
//!
//! ```text
//! lease -> begin -> delete -> insert -> audits -> count and hash -> ledger -> fence -> commit
//! ```
//!
//! Whatever fails on the way, or a crash at any moment, leaves the partitions that were there and a
//! ledger that agrees. A batch that fails is split until the partition is named that is at fault.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::Project;
use super::compile::{Shown, compile, node_scope};
use super::engine::existing;
use super::event::{NodeFacts, NodeResult, NodeStatus};
use super::microbatch::Turn;
use super::node::{self, run_shown};
use super::reads::{BatchView, Built, Narrowed, Narrowing};
use super::run::empty_result;
use super::session::Session;
use super::{locate, schemas, stage};
use crate::calendar::{Mapping, PartitionRange};
use crate::diagnostic::{Code, Diagnostic};
use crate::jinja::context::{self, relation_value};
use crate::jinja::language::{Scope, list};
use crate::jinja::port::{CacheChange, Fetch, QueryOutcome, Transaction};
use crate::jinja::{Value, Warehouse};
use crate::ledger::{
    self, Build, Input, Ledger, MOST_RECORDS, Outcome, Record, RecordState, RelationId, RunFacts,
    TestRow,
};
use crate::manifest::partitioning::{ContentHash, OnCodeChange, Partitioning};
use crate::manifest::{Node, ResourceType, UniqueId};
use crate::microbatch::{Batch as Bounds, Microbatch};
use crate::planner::Work;
use crate::planner::board::{ALL, BatchPart};
use crate::relation::{Relation, RelationKind};
use crate::table::{Datum, Table};

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
    /// The sources that have files, for the tests that read them.
    pub files: BTreeMap<UniqueId, DueFiles>,
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
    /// The relations that it reads, for the check that nobody else published meanwhile.
    pub parents: Vec<RelationId>,
    /// The newest build when the ledger was read last.
    pub newest_build: i64,
    /// The newest partition that is closed.
    pub newest_closed: i32,
    /// The tests that judge it before it is published.
    pub audits: Vec<Arc<Node>>,
    /// Whether its rows are hashed.
    pub hashed: bool,
    /// Whether its table is there.
    pub exists: bool,
    /// Whether the table's columns were compared with the query's in this run.
    pub compared: bool,
    /// Whether everything is built into a new table that replaces the old one.
    pub reshape: bool,
    /// Partitions that are in the old table and would not be in the new one.
    pub left_over: Vec<i32>,
    /// What has the table's name now.
    pub existing: Option<Relation>,
    /// How many partitions one statement may build.
    pub most: usize,
    /// How many batches of the node came before, and how many partitions are left, this one's too.
    pub done: usize,
    /// See `done`.
    pub left: usize,
    /// Whether it reads sources, so that an empty partition is suspicious.
    pub reads_sources: bool,
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
    /// The table's columns are not the query's: everything must be built anew, at once.
    pub reshape: bool,
    /// Somebody else published what the job reads or builds: it must be judged again.
    pub moved: bool,
}

/// Why an attempt came to nothing.
enum Trouble {
    /// A statement failed, or what was built is not what may be published.
    Failed(Box<Diagnostic>),
    /// Tests refused it.
    Refused(String),
    /// See [`Ended::reshape`].
    Reshape,
    /// See [`Ended::moved`].
    Moved,
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
    let outcome = attempt(desk, session, job, ended, result);
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
        Trouble::Failed(mut diagnostic) => {
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
    let lost = match trouble {
        Trouble::Failed(diagnostic) => matches!(
            diagnostic.code,
            Code::Cancelled | Code::Connection | Code::DatabaseLocked
        ),
        _ => false,
    };
    job.parts.len() > 1 && !lost && !job.reshape
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

/// Builds and publishes the parts of a job in one transaction.
fn attempt(
    desk: &Desk,
    session: &Arc<Session>,
    job: &Job,
    ended: &mut Ended,
    result: &mut NodeResult,
) -> Result<(), Trouble> {
    let fence = lease(desk, session, job)?;
    let published = match &job.cut {
        Some(cut) if job.reshape => publish_reshaped(desk, session, job, cut, fence, result),
        Some(cut) => publish_partitions(desk, session, job, cut, fence, result),
        None => publish_whole(desk, session, job, fence, result),
    };
    if let Some(fence) = fence {
        session.release();
        let _ = session.rollback();
        // What is not given back runs out.
        let _ = session.query(
            &desk.ledger.free_lease(job.relation, fence),
            Transaction::AsIs,
            Fetch::Nothing,
        );
    }
    let published = published.map_err(|(trouble, audits)| {
        ended.audits.extend(audits);
        trouble
    })?;
    ended.audits.extend(published.audits);
    ended.published.extend(published.records);
    ended.rows += published.rows;
    Ok(())
}

/// The rows of each partition, and a text that differs where their content does; empty where nothing
/// was hashed.
pub type Content = BTreeMap<i32, (i64, String)>;

/// What was committed.
struct Published {
    records: Vec<(i32, Record)>,
    audits: BTreeMap<UniqueId, NodeResult>,
    rows: u64,
}

type Attempted = Result<Published, (Trouble, BTreeMap<UniqueId, NodeResult>)>;

fn none_judged<T: Into<Trouble>>(trouble: T) -> (Trouble, BTreeMap<UniqueId, NodeResult>) {
    (trouble.into(), BTreeMap::new())
}

/// Takes the relation's lease, waiting for whoever holds it; `None` where the file's lock is enough.
fn lease(desk: &Desk, session: &Session, job: &Job) -> Result<Option<i64>, Trouble> {
    if !desk.shared {
        return Ok(None);
    }
    let seconds = 120;
    let until = Instant::now() + desk.lock_timeout;
    loop {
        let sql = desk
            .ledger
            .take_lease(job.relation, &desk.facts.run, seconds);
        let taken = session.query(&sql, Transaction::AsIs, Fetch::Rows)?;
        if let Some(row) = taken.table.rows.first() {
            return Ok(Some(ledger::number(row, 0)));
        }
        if Instant::now() >= until {
            let sql = desk.ledger.read_lease(job.relation);
            let held = session.query(&sql, Transaction::AsIs, Fetch::Rows)?;
            let holder = held.table.rows.first().and_then(|row| row.first());
            let holder = holder.map(Datum::to_text).unwrap_or_default();
            let message = format!(
                "`{}` is being built by the run {holder}, which holds its lease",
                job.node.name
            );
            let error = Diagnostic::error(Code::DatabaseLocked, message)
                .help("wait for it, or give --lock-timeout more time");
            return Err(Trouble::Failed(Box::new(error)));
        }
        std::thread::sleep(Duration::from_millis(200));
    }
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

/// Where a cumulative model finds its own earlier partitions.
#[derive(Clone, Copy)]
enum Own<'a> {
    /// In a table.
    Table(&'a Relation),
    /// Nowhere: there is no table yet.
    Missing,
}

/// The reads of a batch: what the files of sources hold is loaded into tables of the session.
fn narrowing(
    desk: &Desk,
    session: &Arc<Session>,
    job: &Job,
    range: PartitionRange,
    own: Own<'_>,
) -> Result<Narrowing, Box<Diagnostic>> {
    let mut reads = BTreeMap::new();
    for read in &job.reads {
        let wanted = match &job.cut {
            Some(own) => read.mapping.reads(range, &own.calendar, &read.cut.calendar),
            None => PartitionRange::new(read.cut.calendar.begin, i32::MAX),
        };
        let is_self = read.upstream == job.node.unique_id;
        let narrowed = if let Some(files) = &read.files {
            let reader = stage::StagedFor::Model;
            Narrowed::Staged(stage::load(&desk.project, session, files, wanted, reader)?)
        } else if is_self {
            match own {
                Own::Missing => Narrowed::Query(nothing(&job.node)?),
                Own::Table(table) => {
                    let predicate = read.cut.predicate(&read.cut.field, wanted);
                    let name = table.render(desk.project.facts.dialect);
                    Narrowed::Query(format!("select * from {name}\nwhere {predicate}"))
                }
            }
        } else if read.mapping == Mapping::All || job.cut.is_none() {
            continue;
        } else {
            let field = &read.cut.field;
            Narrowed::Where(read.cut.predicate(field, wanted))
        };
        reads.insert((read.upstream.clone(), read.mapping), narrowed);
    }
    Ok(Narrowing::new(reads))
}

/// A query without rows that has a model's declared columns: what a cumulative model starts from.
fn nothing(node: &Node) -> Result<String, Box<Diagnostic>> {
    let untyped = node
        .columns
        .values()
        .find(|column| column.data_type.is_none());
    if node.columns.is_empty() || untyped.is_some() {
        let message = format!(
            "`{}` reads its own partition before, and there is no table yet that says which columns it has",
            node.name
        );
        let mut error = Diagnostic::error(Code::BadConfig, message);
        if let Some(span) = &node.upkeep.reads_self {
            error = error.at(span.clone());
        }
        let help = "declare all of its columns in YAML, each with its `data_type`";
        return Err(Box::new(error.help(help)));
    }
    let columns: Vec<String> = node
        .columns
        .values()
        .map(|column| {
            let data_type = column.data_type.as_deref().unwrap_or_default();
            format!("cast(null as {data_type}) as {}", column.name)
        })
        .collect();
    Ok(format!("select {} where 1 = 0", columns.join(", ")))
}

/// A batch's query, ready to be inserted.
struct Prepared {
    shown: Shown,
    scope: Scope,
    sql: Arc<str>,
    described: Table,
}

/// Renders a batch's query, and asks the database which columns it has.
fn prepare(
    desk: &Desk,
    session: &Arc<Session>,
    job: &Job,
    cut: &Arc<Partitioning>,
    own: Own<'_>,
    result: &mut NodeResult,
) -> Result<Prepared, Box<Diagnostic>> {
    let project = &desk.project;
    let range = job.range();
    let started = SystemTime::now();
    let shown = match &job.node.microbatch {
        Some(model) => Shown::of_batch(project, &job.node, turn(project, job, model, cut)),
        None => {
            let view = BatchView {
                narrowing: Arc::new(narrowing(desk, session, job, range, own)?),
                built: Arc::new(Built {
                    cut: Arc::clone(cut),
                    range,
                }),
            };
            Shown::of_partitions(project, &job.node, view)
        }
    };
    let compiled = compile(project, session, &job.node, &shown)?;
    node::write_compiled(project, &job.node, &shown, &compiled, result)?;
    result.compile = Some((started, SystemTime::now()));
    let (scope, _) = node_scope(project, session, &job.node, &shown, Vec::new());
    let sql = Arc::clone(&compiled.sql);
    let describe = text(
        desk,
        &scope,
        "describe_query",
        &[Value::from(Arc::clone(&sql))],
    )?;
    let described = fetch(session, &describe)?;
    Ok(Prepared {
        shown,
        scope,
        sql,
        described,
    })
}

/// What the template of a microbatch model sees of the batch that is built, as in dbt.
fn turn(project: &Project, job: &Job, model: &Microbatch, cut: &Partitioning) -> Turn {
    let range = job.range();
    let granularity = cut.calendar.granularity;
    let batch = Bounds {
        start: granularity.civil_start(range.first),
        end: granularity.civil_start(range.last.saturating_add(1)),
    };
    Turn::new(&project.node_json(&job.node), batch, model.size, job.exists)
}

impl Prepared {
    /// The statement that inserts the rows into a table, in order.
    fn insert(
        &self,
        desk: &Desk,
        job: &Job,
        cut: &Partitioning,
        target: &Relation,
    ) -> Result<String, Box<Diagnostic>> {
        let dialect = desk.project.facts.dialect;
        let columns = self.described.columns.iter();
        let names = columns
            .map(|column| Value::from(dialect.quote_identifier(&column.name)))
            .collect();
        let mut order: Vec<Value> = vec![Value::from(cut.field.as_str())];
        order.extend(
            cut.order_by
                .iter()
                .filter(|column| !column.eq_ignore_ascii_case(&cut.field))
                .map(|column| Value::from(column.as_str())),
        );
        let arguments = [
            relation_value(dialect, target),
            list(names),
            Value::from(Arc::clone(&self.sql)),
            list(order),
        ];
        let insert = text(desk, &self.scope, "insert_partitions", &arguments)?;
        node::write_run(&desk.project, &job.node, &self.shown, &insert)?;
        Ok(insert)
    }
}

fn publish_partitions(
    desk: &Desk,
    session: &Arc<Session>,
    job: &Job,
    cut: &Arc<Partitioning>,
    fence: Option<i64>,
    result: &mut NodeResult,
) -> Attempted {
    let dialect = desk.project.facts.dialect;
    let relation = &job.node.relation;
    let own = match job.exists {
        true => Own::Table(relation),
        false => Own::Missing,
    };
    let batch = prepare(desk, session, job, cut, own, result).map_err(none_judged)?;
    run_hooks(desk, session, &batch.scope, &job.node, "pre-hook").map_err(none_judged)?;
    if !job.exists {
        session.begin().map_err(none_judged)?;
        create_table(desk, session, &batch, relation, cut).map_err(none_judged)?;
        session.commit().map_err(none_judged)?;
    } else if !job.compared {
        let stored = format!("select * from {} where 1 = 0", relation.render(dialect));
        let stored = fetch(session, &stored).map_err(none_judged)?;
        add_columns(desk, session, job, &stored, &batch.described)
            .map_err(|trouble| (trouble, BTreeMap::new()))?;
    }
    let insert = batch
        .insert(desk, job, cut, relation)
        .map_err(none_judged)?;
    let predicate = cut.predicate(&cut.field, job.range());
    let delete = [relation_value(dialect, relation), Value::from(predicate)];
    let delete = text(desk, &batch.scope, "delete_partitions", &delete).map_err(none_judged)?;

    begin(desk, session, job).map_err(|trouble| (trouble, BTreeMap::new()))?;
    run(session, &delete).map_err(none_judged)?;
    let inserted = run(session, &insert).map_err(none_judged)?;
    let (audits, content) = examine(desk, session, job, cut, &batch)?;
    let judged = |trouble: Trouble| (trouble, audits.clone());
    let counted: i64 = content.values().map(|(rows, _)| rows).sum();
    if let Some(written) = inserted.rows_affected
        && written != counted.unsigned_abs()
    {
        let outside = outside(session, job, cut, &batch.sql);
        return Err(judged(Trouble::Failed(Box::new(outside))));
    }
    let records = record(desk, session, job, &content, fence).map_err(judged)?;
    run_hooks(desk, session, &batch.scope, &job.node, "post-hook")
        .map_err(|diagnostic| (Trouble::Failed(diagnostic), audits.clone()))?;
    result.rows_affected = Some(result.rows_affected.unwrap_or(0) + counted.unsigned_abs());
    Ok(Published {
        records,
        audits,
        rows: counted.unsigned_abs(),
    })
}

/// What a batch has become, judged in the open transaction: its tests, its rows and their hashes.
#[allow(clippy::type_complexity)]
fn examine(
    desk: &Desk,
    session: &Arc<Session>,
    job: &Job,
    cut: &Partitioning,
    batch: &Prepared,
) -> Result<(BTreeMap<UniqueId, NodeResult>, Content), (Trouble, BTreeMap<UniqueId, NodeResult>)> {
    let audits = judge(desk, session, job).map_err(none_judged)?;
    let judged = |trouble: Trouble| (trouble, audits.clone());
    refuse(&audits).map_err(judged)?;
    let content = content(desk, session, &batch.scope, job, cut, &batch.described)
        .map_err(|diagnostic| judged(Trouble::Failed(diagnostic)))?;
    let empty = job.parts.iter().find(|part| {
        let rows = content
            .get(&part.part.partition)
            .map_or(0, |(rows, _)| *rows);
        let had = part.before.is_some_and(|before| before.rows > 0);
        rows == 0 && had && job.reads_sources && !cut.allow_empty
    });
    if let Some(part) = empty {
        let key = cut.calendar.granularity.key(part.part.partition);
        let message = format!(
            "the partition {key} of `{}` had rows and would be empty",
            job.node.name
        );
        let error = Diagnostic::error(Code::Database, message)
            .help("look at what it reads; `allow_empty: true` lets it be");
        return Err(judged(Trouble::Failed(Box::new(error))));
    }
    Ok((audits, content))
}

/// Builds every partition into a new table and puts it in the place of the old one, once.
fn publish_reshaped(
    desk: &Desk,
    session: &Arc<Session>,
    job: &Job,
    cut: &Arc<Partitioning>,
    fence: Option<i64>,
    result: &mut NodeResult,
) -> Attempted {
    may_reshape(job, cut).map_err(none_judged)?;
    let dialect = desk.project.facts.dialect;
    let mut new = job.node.relation.clone();
    new.identifier = new
        .identifier
        .map(|identifier| format!("{identifier}__daygrain_new").into());
    new.kind = Some(RelationKind::Table);
    let name = new.render(dialect);
    begin(desk, session, job).map_err(|trouble| (trouble, BTreeMap::new()))?;
    run(session, &format!("drop table if exists {name}")).map_err(none_judged)?;
    let mut last: Option<Prepared> = None;
    let mut written = 0;
    for group in groups(&job.parts, job.most) {
        let part = Job {
            parts: group,
            ..job.clone()
        };
        let own = match last {
            Some(_) => Own::Table(&new),
            None => Own::Missing,
        };
        let batch = prepare(desk, session, &part, cut, own, result).map_err(none_judged)?;
        if last.is_none() {
            create_table(desk, session, &batch, &new, cut).map_err(none_judged)?;
        }
        let insert = batch.insert(desk, &part, cut, &new).map_err(none_judged)?;
        let inserted = run(session, &insert).map_err(none_judged)?;
        written += inserted.rows_affected.unwrap_or(0);
        last = Some(batch);
    }
    let Some(batch) = last else {
        return Err(none_judged(Trouble::Moved));
    };
    if let Some(existing) = &job.existing {
        let arguments = [
            relation_value(dialect, &job.node.relation.of_kind(RelationKind::Table)),
            relation_value(dialect, existing),
            relation_value(dialect, &new),
        ];
        desk.project
            .engine
            .call("swap_partitioned_table", &arguments, &[], &batch.scope)
            .map_err(none_judged)?;
    }
    let (audits, content) = examine(desk, session, job, cut, &batch)?;
    let judged = |trouble: Trouble| (trouble, audits.clone());
    let counted: i64 = content.values().map(|(rows, _)| rows).sum();
    if written != counted.unsigned_abs() {
        let outside = outside(session, job, cut, &batch.sql);
        return Err(judged(Trouble::Failed(Box::new(outside))));
    }
    let records = record(desk, session, job, &content, fence).map_err(judged)?;
    Ok(Published {
        records,
        audits,
        rows: counted.unsigned_abs(),
    })
}

/// Refuses a new table that would lack what the old one has.
fn may_reshape(job: &Job, cut: &Partitioning) -> Result<(), Box<Diagnostic>> {
    let name = &job.node.name;
    let known = job.parts.iter().any(|part| part.before.is_some());
    if cut.on_code_change == OnCodeChange::Keep && known {
        let message = format!(
            "columns of `{name}` were removed or have other types, and `on_code_change: keep` leaves its partitions as they are"
        );
        let error = Diagnostic::error(Code::Database, message);
        return Err(Box::new(error.help(format!(
            "build all of it anew: daygrain build --select {name} --full-refresh"
        ))));
    }
    if let (Some(first), Some(last)) = (job.left_over.first(), job.left_over.last()) {
        let key = |part| cut.calendar.granularity.key(part);
        let message = format!(
            "`{name}` needs a new table, since its columns or partitions were changed, and {} partitions between {} and {} would not be in it",
            job.left_over.len(),
            key(*first),
            key(*last)
        );
        let error = Diagnostic::error(Code::Database, message);
        return Err(Box::new(
            error.help("build without --start, --end and --partition-date"),
        ));
    }
    Ok(())
}

/// Parts that follow each other, so many together at the most.
fn groups(parts: &[Part], most: usize) -> Vec<Vec<Part>> {
    let mut groups: Vec<Vec<Part>> = Vec::new();
    for part in parts {
        match groups.last_mut() {
            Some(group)
                if group.len() < most
                    && group
                        .last()
                        .is_some_and(|last| last.part.partition + 1 == part.part.partition) =>
            {
                group.push(part.clone());
            }
            _ => groups.push(vec![part.clone()]),
        }
    }
    groups
}

/// Hooks run outside the transaction that publishes: one of them might end it.
fn run_hooks(
    desk: &Desk,
    session: &Arc<Session>,
    scope: &Scope,
    node: &Node,
    which: &str,
) -> Result<(), Box<Diagnostic>> {
    if node.config.get(which).is_none() {
        return Ok(());
    }
    let hooks = context::hook_values(node.config.get(which));
    for inside in [false, true] {
        desk.project.engine.call(
            "run_hooks",
            &[hooks.clone(), Value::from(inside)],
            &[],
            scope,
        )?;
    }
    session.commit()
}

/// Makes an empty table for a batch's rows, in the open transaction.
fn create_table(
    desk: &Desk,
    session: &Arc<Session>,
    batch: &Prepared,
    relation: &Relation,
    cut: &Partitioning,
) -> Result<(), Box<Diagnostic>> {
    let target = relation_value(desk.project.facts.dialect, relation);
    let sql = Value::from(Arc::clone(&batch.sql));
    let create = text(
        desk,
        &batch.scope,
        "create_partitioned_table",
        &[target.clone(), sql],
    )?;
    run(session, &create)?;
    let field = Value::from(cut.field.as_str());
    let index = text(
        desk,
        &batch.scope,
        "create_partition_index",
        &[target.clone(), field],
    )?;
    if !index.is_empty() {
        run(session, &index)?;
    }
    desk.project
        .engine
        .call("create_indexes", &[target], &[], &batch.scope)?;
    session.note(CacheChange::Added(relation.of_kind(RelationKind::Table)));
    Ok(())
}

/// Adds the columns that the query has and the table has not; any other difference needs a new table.
fn add_columns(
    desk: &Desk,
    session: &Arc<Session>,
    job: &Job,
    stored: &Table,
    described: &Table,
) -> Result<(), Trouble> {
    let find = |table: &'_ Table, name: &str| {
        let mut columns = table.columns.iter();
        columns
            .find(|column| column.name.eq_ignore_ascii_case(name))
            .map(|column| column.data_type.clone())
    };
    let kept = stored.columns.iter().all(|column| {
        find(described, &column.name).is_some_and(|data_type| data_type == column.data_type)
    });
    if !kept {
        return Err(Trouble::Reshape);
    }
    let dialect = desk.project.facts.dialect;
    for column in &described.columns {
        if find(stored, &column.name).is_some() {
            continue;
        }
        let sql = format!(
            "alter table {} add column {} {}",
            job.node.relation.render(dialect),
            dialect.quote_identifier(&column.name),
            column.data_type
        );
        run(session, &sql)?;
    }
    Ok(())
}

fn begin(desk: &Desk, session: &Session, job: &Job) -> Result<(), Trouble> {
    session.begin()?;
    for setting in desk.project.facts.dialect.publish_settings {
        run(session, setting)?;
    }
    session.hold();
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

/// Runs the tests of what is about to be published, in its transaction.
fn judge(
    desk: &Desk,
    session: &Arc<Session>,
    job: &Job,
) -> Result<BTreeMap<UniqueId, NodeResult>, Box<Diagnostic>> {
    let mut audits = BTreeMap::new();
    for test in &job.audits {
        let facts = Arc::new(NodeFacts::new(test, desk.project.facts.dialect));
        let result = run_judging(desk, session, test, &facts, Some(job));
        session.begin_node(&desk.project, Some(&job.node));
        let broken = !session.in_transaction();
        audits.insert(test.unique_id.clone(), result);
        if broken {
            break;
        }
    }
    Ok(audits)
}

/// Runs a test, for which the files of sources that it reads are loaded.
pub fn run_test(
    desk: &Desk,
    session: &Arc<Session>,
    test: &Arc<Node>,
    facts: &Arc<NodeFacts>,
) -> NodeResult {
    run_judging(desk, session, test, facts, None)
}

fn run_judging(
    desk: &Desk,
    session: &Arc<Session>,
    test: &Arc<Node>,
    facts: &Arc<NodeFacts>,
    job: Option<&Job>,
) -> NodeResult {
    let project = &desk.project;
    let shown = match test_view(desk, session, test, job) {
        Ok(Some(view)) => Shown::of_partitions(project, test, view),
        Ok(None) => Shown::of(project, test),
        Err(diagnostic) => {
            return NodeResult {
                status: NodeStatus::Error,
                message: Some(facts.failure(&diagnostic)),
                diagnostic: Some(Arc::new(*diagnostic)),
                ..empty_result(facts, session.thread())
            };
        }
    };
    let turn = (test, &shown);
    run_shown(project, session, turn, facts, Work::Test, session.thread())
}

/// What a test reads otherwise than the database holds it: the files of sources, and of the model that
/// it judges no partition that is still to be built anew.
fn test_view(
    desk: &Desk,
    session: &Arc<Session>,
    test: &Node,
    job: Option<&Job>,
) -> Result<Option<BatchView>, Box<Diagnostic>> {
    let mut reads = BTreeMap::new();
    let mut built = None;
    for id in &test.depends_on {
        let Some(source) = desk.files.get(id) else {
            continue;
        };
        let reader = stage::StagedFor::Test;
        let staged = stage::load(&desk.project, session, &source.files, source.due, reader)?;
        reads.insert((id.clone(), Mapping::All), Narrowed::Staged(staged));
        built.get_or_insert((&source.cut, source.due));
    }
    if let Some(job) = job
        && let Some(cut) = &job.cut
    {
        let built_now = |part: &i32| job.parts.iter().any(|built| built.part.partition == *part);
        let ranges = ranges(job.outdated.iter().copied().filter(|part| !built_now(part)));
        if !ranges.is_empty() {
            let predicates: Vec<String> = ranges
                .into_iter()
                .map(|range| format!("({})", cut.predicate(&cut.field, range)))
                .collect();
            let visible = format!("not coalesce({}, false)", predicates.join(" or "));
            let key = (job.node.unique_id.clone(), Mapping::All);
            reads.insert(key, Narrowed::Where(visible));
            built.get_or_insert((cut, job.range()));
        }
    }
    Ok(built.map(|(cut, range)| BatchView {
        narrowing: Arc::new(Narrowing::new(reads)),
        built: Arc::new(Built {
            cut: Arc::clone(cut),
            range,
        }),
    }))
}

/// Ascending partitions as ranges without gaps.
fn ranges(parts: impl Iterator<Item = i32>) -> Vec<PartitionRange> {
    let mut ranges: Vec<PartitionRange> = Vec::new();
    for part in parts {
        match ranges.last_mut() {
            Some(range) if range.last.saturating_add(1) == part => range.last = part,
            _ => ranges.push(PartitionRange::one(part)),
        }
    }
    ranges
}

fn refuse(audits: &BTreeMap<UniqueId, NodeResult>) -> Result<(), Trouble> {
    let bad: Vec<String> = audits
        .values()
        .filter(|result| result.status.is_failure())
        .map(|result| {
            let message = result.message.clone().unwrap_or_default();
            let first = message.lines().next().unwrap_or_default().to_owned();
            format!("`{}`: {first}", result.node.name)
        })
        .collect();
    match bad.is_empty() {
        true => Ok(()),
        false => Err(Trouble::Refused(bad.join("; "))),
    }
}

/// Rows and content of each partition of a range.
fn content(
    desk: &Desk,
    session: &Arc<Session>,
    scope: &Scope,
    job: &Job,
    cut: &Partitioning,
    described: &Table,
) -> Result<Content, Box<Diagnostic>> {
    let range = job.range();
    let dialect = desk.project.facts.dialect;
    if job.hashed {
        for setting in dialect.hash_settings {
            run(session, setting)?;
        }
    }
    let columns = hashed_columns(dialect, described, &cut.content_hash, job.hashed);
    let bucket = cut.bucket(&cut.field);
    let bounds = match bucket {
        Some(_) => Vec::new(),
        None => range
            .iter()
            .map(|part| {
                list(vec![
                    Value::from(part),
                    Value::from(cut.literal(part)),
                    Value::from(cut.literal(part.saturating_add(1))),
                ])
            })
            .collect(),
    };
    let predicate = cut.predicate(&cut.field, range);
    let sql = text(
        desk,
        scope,
        "partition_content",
        &[
            relation_value(dialect, &job.node.relation),
            list(columns.into_iter().map(Value::from).collect()),
            bucket.map_or_else(|| Value::from(()), Value::from),
            list(bounds),
            Value::from(cut.field.as_str()),
            Value::from(predicate),
        ],
    )?;
    let table = fetch(session, &sql)?;
    let signature = signature(described);
    Ok(read_content(&table, cut, &signature, &desk.hash))
}

/// Reads what `partition_content` returned; the content's text names all that it depends on.
pub fn read_content(table: &Table, cut: &Partitioning, signature: &str, hash: &str) -> Content {
    let rows = table.rows.iter();
    rows.filter_map(|row| {
        let partition = partition_of(row.first()?, cut)?;
        let count = ledger::number(row, 1);
        let content = match row.get(2) {
            None | Some(Datum::Null) => String::new(),
            Some(sum) => format!("{hash} {} {count} {signature}", sum.to_text()),
        };
        Some((partition, (count, content)))
    })
    .collect()
}

/// The partition that a bucket's value stands for.
pub fn partition_of(value: &Datum, cut: &Partitioning) -> Option<i32> {
    let granularity = cut.calendar.granularity;
    match value {
        Datum::Int(part) => i32::try_from(*part).ok(),
        Datum::Date(date) => {
            Some(granularity.containing(date.to_datetime(jiff::civil::Time::midnight())))
        }
        Datum::Timestamp(moment) => Some(granularity.containing(*moment)),
        Datum::TimestampTz(instant) => {
            let utc = instant.to_zoned(jiff::tz::TimeZone::UTC);
            Some(granularity.containing(utc.datetime()))
        }
        Datum::Text(text) => granularity.parse_key(&text.replace(' ', "T")),
        _ => None,
    }
}

fn hashed_columns(
    dialect: &crate::dialect::Dialect,
    described: &Table,
    hash: &ContentHash,
    hashed: bool,
) -> Vec<String> {
    let ignored = match hash {
        ContentHash::Rows(ignored) if hashed => ignored,
        _ => return Vec::new(),
    };
    described
        .columns
        .iter()
        .filter(|column| !ignored.contains(&column.name.to_lowercase()))
        .map(|column| dialect.quote_identifier(&column.name))
        .collect()
}

/// The names and types of columns, which are part of the content.
fn signature(described: &Table) -> String {
    let columns: Vec<String> = described
        .columns
        .iter()
        .map(|column| format!("{} {}", column.name.to_lowercase(), column.data_type))
        .collect();
    columns.join(", ")
}

/// Names the partitions outside a batch that its rows belong to.
fn outside(session: &Session, job: &Job, cut: &Partitioning, sql: &str) -> Diagnostic {
    let range = job.range();
    let field = &cut.field;
    let bucket = cut.bucket(field).unwrap_or_else(|| field.clone());
    let inside = cut.predicate(field, range);
    let query = format!(
        "select {bucket} as part, count(*) as row_count from (\n{sql}\n) as built where not coalesce({inside}, false) group by {bucket} order by row_count desc limit 5"
    );
    let mut told = Vec::new();
    if let Ok(table) = fetch(session, &query) {
        for row in &table.rows {
            let part = row.first().and_then(|value| partition_of(value, cut));
            let key = match part {
                Some(part) => cut.calendar.granularity.key(part),
                None => "no partition (null)".to_owned(),
            };
            told.push(format!("{key} ({} rows)", ledger::number(row, 1)));
        }
    }
    let message = format!(
        "`{}` built {} and gave rows of {}",
        job.node.name,
        job.keys(),
        match told.is_empty() {
            true => "other partitions".to_owned(),
            false => told.join(", "),
        }
    );
    Diagnostic::error(Code::Database, message).help(format!(
        "keep `{field}` within the partitions that are built; `partition.filter('{field}')` does"
    ))
}

/// Writes the ledger's rows and the fence, and commits.
fn record(
    desk: &Desk,
    session: &Arc<Session>,
    job: &Job,
    content: &Content,
    fence: Option<i64>,
) -> Result<Vec<(i32, Record)>, Trouble> {
    let numbers = fetch(session, &desk.ledger.take_numbers(job.parts.len()))?;
    let mut records = Vec::new();
    let (mut builds, mut inputs) = (Vec::new(), Vec::new());
    for (part, row) in job.parts.iter().zip(&numbers.rows) {
        let number = ledger::number(row, 0);
        let partition = part.part.partition;
        let nothing = (0, format!("{} nothing", desk.hash));
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
            reason: None,
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
    let started = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC);
    let started = started.datetime().to_string().replace('T', " ");
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
    if !desk.project.facts.dialect.counts_rows && (!job.exists || job.cut.is_none() || job.reshape)
    {
        set_marker(desk, session, job)?;
    }
    if let Some(fence) = fence {
        let beat = fetch(session, &desk.ledger.beat(job.relation, fence))?;
        if beat.rows.is_empty() {
            let message = format!(
                "the lease of `{}` was taken over by another run while this one built {}",
                job.node.name,
                job.keys()
            );
            return Err(Trouble::Failed(Box::new(Diagnostic::error(
                Code::DatabaseLocked,
                message,
            ))));
        }
    }
    session.release();
    session.commit()?;
    Ok(records)
}

/// Notes what the catalogue shows of the relation, so that a change by others is noticed.
fn set_marker(desk: &Desk, session: &Arc<Session>, job: &Job) -> Result<(), Box<Diagnostic>> {
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
fn record_failure(desk: &Desk, session: &Session, job: &Job, outcome: Outcome, reason: &str) {
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
            })
            .collect();
        let now = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC);
        let started = now.datetime().to_string().replace('T', " ");
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

/// Keeps the rows that a test refused, to be looked at.
fn keep_refused(desk: &Desk, session: &Session, job: &Job, sql: Option<&str>) {
    let (Some(sql), Some(_)) = (sql, &job.cut) else {
        return;
    };
    let mut relation = desk.ledger.schema().clone();
    relation.identifier = Some(format!("refused_{}", job.node.alias).into());
    let name = relation.render(desk.project.facts.dialect);
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

/// Builds what has one partition by its materialization, inside the transaction that records it.
fn publish_whole(
    desk: &Desk,
    session: &Arc<Session>,
    job: &Job,
    fence: Option<i64>,
    result: &mut NodeResult,
) -> Attempted {
    let project = &desk.project;
    let dialect = project.facts.dialect;
    let shown = match whole_view(desk, session, job).map_err(none_judged)? {
        Some(view) => Shown::of_partitions(project, &job.node, view),
        None => Shown::of(project, &job.node),
    };
    // What runs outside a transaction cannot be part of ours.
    let holds = dialect.transactional_ddl && !has_outside_hooks(&job.node);
    if holds {
        session.begin().map_err(none_judged)?;
        session.hold();
    }
    let facts = Arc::clone(&result.node);
    let built = run_shown(
        project,
        session,
        (&job.node, &shown),
        &facts,
        Work::Build,
        session.thread(),
    );
    session.begin_node(project, Some(&job.node));
    let failed = built.status.is_failure();
    *result = built;
    if failed {
        let diagnostic = result.diagnostic.take().map_or_else(
            || Diagnostic::error(Code::Internal, "it failed without a word"),
            |diagnostic| Diagnostic::clone(&diagnostic),
        );
        return Err(none_judged(Box::new(diagnostic)));
    }
    session.begin().map_err(none_judged)?;
    session.hold();
    let audits = judge(desk, session, job).map_err(none_judged)?;
    let judged = |trouble: Trouble| (trouble, audits.clone());
    refuse(&audits).map_err(judged)?;
    let content = whole_content(desk, session, job, result)
        .map_err(|diagnostic| judged(Trouble::Failed(diagnostic)))?;
    let rows = content.get(&ALL).map_or(0, |(rows, _)| rows.unsigned_abs());
    let records = record(desk, session, job, &content, fence).map_err(judged)?;
    Ok(Published {
        records,
        audits,
        rows,
    })
}

/// The reads of an unpartitioned model that are loaded from files.
fn whole_view(
    desk: &Desk,
    session: &Arc<Session>,
    job: &Job,
) -> Result<Option<BatchView>, Box<Diagnostic>> {
    let Some(first) = job.reads.iter().find(|read| read.files.is_some()) else {
        return Ok(None);
    };
    let range = PartitionRange::new(first.cut.calendar.begin, i32::MAX);
    Ok(Some(BatchView {
        narrowing: Arc::new(narrowing(desk, session, job, range, Own::Missing)?),
        built: Arc::new(Built {
            cut: Arc::clone(&first.cut),
            range,
        }),
    }))
}

fn has_outside_hooks(node: &Node) -> bool {
    ["pre-hook", "post-hook"].into_iter().any(|key| {
        let hooks = context::hook_values(node.config.get(key));
        hooks.try_iter().is_ok_and(|mut hooks| {
            hooks.any(|hook| {
                hook.get_attr("transaction")
                    .is_ok_and(|inside| !inside.is_true())
            })
        })
    })
}

fn whole_content(
    desk: &Desk,
    session: &Arc<Session>,
    job: &Job,
    result: &NodeResult,
) -> Result<Content, Box<Diagnostic>> {
    let dialect = desk.project.facts.dialect;
    let passes_through = crate::planner::items::is_passed_through(&job.node);
    let written = result.rows_affected.unwrap_or(0);
    let rows = i64::try_from(written).unwrap_or(i64::MAX);
    let off = job.node.upkeep.content_hash == ContentHash::Off;
    if passes_through || off || !job.hashed {
        return Ok(BTreeMap::from([(ALL, (rows, String::new()))]));
    }
    let grows = job.node.resource_type == ResourceType::Model
        && job.node.materialization() == "incremental"
        && job.parts.iter().any(|part| part.before.is_some());
    if grows && written > 0 {
        return Ok(BTreeMap::from([(ALL, (rows, String::new()))]));
    }
    for setting in dialect.hash_settings {
        run(session, setting)?;
    }
    let name = job.node.relation.render(dialect);
    let described = fetch(session, &format!("select * from {name} where 1 = 0"))?;
    let columns = hashed_columns(dialect, &described, &job.node.upkeep.content_hash, true);
    let scope = schemas::plain_scope(&desk.project, session, Vec::new());
    let sql = text(
        desk,
        &scope,
        "relation_content",
        &[
            relation_value(dialect, &job.node.relation),
            list(columns.into_iter().map(Value::from).collect()),
        ],
    )?;
    let table = fetch(session, &sql)?;
    let Some(row) = table.rows.first() else {
        return Ok(BTreeMap::new());
    };
    let count = ledger::number(row, 0);
    let sum = row.get(1).map(Datum::to_text).unwrap_or_default();
    let text = format!("{} {sum} {count} {}", desk.hash, signature(&described));
    Ok(BTreeMap::from([(ALL, (count, text))]))
}

/// The ledger's rows of tests that ended.
pub fn test_rows(
    results: &BTreeMap<UniqueId, NodeResult>,
    digest: impl Fn(&UniqueId) -> Option<(i64, i64)>,
) -> Vec<TestRow> {
    let results = results.iter();
    results
        .filter_map(|(id, result)| {
            let (code, inputs) = digest(id)?;
            Some(TestRow {
                test: id.to_string(),
                code,
                inputs,
                passed: matches!(result.status, NodeStatus::Pass | NodeStatus::Warn),
            })
        })
        .collect()
}
