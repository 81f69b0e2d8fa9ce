//! What a connection hands to others: after its nodes have run, the rows of exported models become the
//! files of sources, and what every reader has is removed where its retention is over.
//!
//! All partitions that are still whole are read again each time, in one snapshot; a file that would hold
//! the same bytes stays as it is. So a late row makes its own day new, and nothing else.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use jiff::Timestamp;

use super::event::{Event, NodeFacts, NodeResult, NodeStatus};
use super::look::{Ask, bounds, has_ledger, ledger_of, prepare_ledger, run_facts};
use super::run::{INTERRUPTED, empty_result, skipped};
use super::schemas::plain_scope;
use super::session::{Session, SessionShared};
use super::stage::surroundings;
use super::{Project, heartbeat};
use crate::calendar::PartitionRange;
use crate::diagnostic::{Code, Diagnostic, Severity};
use crate::graph::{Graph, Walk};
use crate::jinja::port::{Fetch, Transaction};
use crate::jinja::{Value, Warehouse};
use crate::landing::{self, FileSource, Spool};
use crate::ledger::{self, ExportRow, Ledger, RunFacts};
use crate::manifest::partitioning::{Gap, Partitioning};
use crate::manifest::{Export, ExportMode, Node, ResourceType, Source, UniqueId};
use crate::source::Span;
use crate::table::{Datum, Table};

/// What an export reads and writes.
struct Task<'a> {
    export: &'a Export,
    model: &'a Node,
    source: &'a Source,
    cut: &'a Partitioning,
    files: FileSource,
    facts: Arc<NodeFacts>,
}

/// The connection that exports, and the run.
struct Place<'a> {
    project: &'a Arc<Project>,
    graph: &'a Graph,
    session: Arc<Session>,
    ledger: Ledger,
    run: RunFacts,
    ask: &'a Ask,
    /// What was written, to be recorded once the snapshot ends.
    unrecorded: Vec<ExportRow>,
}

/// Exports what is selected of a part, once its nodes have ended as `results` say.
///
/// Returns a result for each source that is written.
///
/// # Errors
/// What makes all of it impossible: no session, a location that cannot be written.
pub fn export(
    project: &Arc<Project>,
    graph: &Graph,
    shared: &Arc<SessionShared>,
    selected: &BTreeSet<UniqueId>,
    ask: &Ask,
    results: &[Arc<NodeResult>],
) -> Result<Vec<Arc<NodeResult>>, Vec<Diagnostic>> {
    let tasks = tasks(project, selected)?;
    if tasks.is_empty() {
        return Ok(Vec::new());
    }
    let session = Session::of_thread(Arc::clone(shared), "MainThread").map_err(|error| {
        let message = format!("cannot start a session: {error}");
        vec![Diagnostic::error(Code::Io, message)]
    })?;
    let session = Arc::new(session);
    session.begin_node(project, None);
    match prepare_ledger(project, &session) {
        Err(wrong) if !shared.is_stopping() => return Err(vec![*wrong]),
        _ => {}
    }
    let mut place = Place {
        project,
        graph,
        session,
        ledger: ledger_of(project),
        run: run_facts(project, ask),
        ask,
        unrecorded: Vec::new(),
    };
    let total = tasks.len();
    let mut ended = Vec::new();
    let mut stopped = false;
    for (index, task) in tasks.iter().enumerate() {
        let index = index + 1;
        let result = if shared.is_stopping() {
            skipped(&task.facts, INTERRUPTED.to_owned())
        } else {
            shared.send(Event::NodeStarted {
                node: Arc::clone(&task.facts),
                index,
                total,
            });
            place.carry_out(task, results)
        };
        let result = Arc::new(result);
        if shared.is_stopping() && !stopped {
            stopped = true;
            shared.send(Event::Cancelling);
        }
        shared.send(Event::NodeFinished {
            result: Arc::clone(&result),
            index,
            total,
        });
        ended.push(result);
    }
    // What came since a day was exported last would go with it: so it goes only once it was read again,
    // and in the snapshot that read it.
    let all_read = ended
        .iter()
        .all(|result| result.status == NodeStatus::Success)
        && !stopped
        && ask.start.is_none()
        && ask.end.is_none();
    if stopped {
        shared.wind_up();
    }
    let recorded = place.record().and_then(|()| {
        if all_read && !shared.is_stopping() {
            for told in place.remove_old(selected, &tasks)? {
                shared.send(Event::Diagnostic(Arc::new(told)));
            }
        }
        place.session.commit()
    });
    if let Err(failure) = recorded {
        let _ = place.session.rollback();
        let note = "what was exported is not recorded, and is looked at again next time";
        let failure = Diagnostic {
            severity: Severity::Warning,
            ..failure.note(note)
        };
        shared.send(Event::Diagnostic(Arc::new(failure)));
    }
    Ok(ended)
}

/// The partitions of sources that [`export`] would write, where their rows have changed.
///
/// # Errors
/// As [`export`], and what the database says; nothing is written.
pub fn expected(
    project: &Arc<Project>,
    graph: &Graph,
    session: &Arc<Session>,
    selected: &BTreeSet<UniqueId>,
    ask: &Ask,
) -> Result<Vec<(UniqueId, PartitionRange)>, Vec<Diagnostic>> {
    let tasks = tasks(project, selected)?;
    if tasks.is_empty() {
        return Ok(Vec::new());
    }
    let one = |wrong: Box<Diagnostic>| vec![*wrong];
    session.begin_node(project, None);
    let is_known = has_ledger(project, session).map_err(one)?;
    let place = Place {
        project,
        graph,
        session: Arc::clone(session),
        ledger: ledger_of(project),
        run: run_facts(project, ask),
        ask,
        unrecorded: Vec::new(),
    };
    let mut expected = Vec::new();
    for task in &tasks {
        let known = match is_known {
            true => place.exports(&task.source.unique_id).map_err(one)?,
            false => Vec::new(),
        };
        let range = match task.export.mode {
            ExportMode::Partitions if is_known => place.whole(task).map_err(one)?,
            ExportMode::Partitions => place.asked_for(task),
            ExportMode::Dump => place.dump(task, &known),
        };
        if !range.is_empty() {
            expected.push((task.source.unique_id.clone(), range));
        }
    }
    Ok(expected)
}

/// The exports of selected models.
fn tasks<'a>(
    project: &'a Project,
    selected: &BTreeSet<UniqueId>,
) -> Result<Vec<Task<'a>>, Vec<Diagnostic>> {
    let (mut tasks, mut wrong) = (Vec::new(), Vec::new());
    let manifest = &project.manifest;
    for export in manifest.exports.values() {
        let (Some(model), Some(source)) = (
            manifest.nodes.get(&export.model),
            manifest.sources.get(&export.source),
        ) else {
            continue;
        };
        let Some(cut) = source.partitioning.as_deref() else {
            continue;
        };
        if !selected.contains(&model.unique_id) {
            continue;
        }
        let Some(files) = landing::file_source(source, project.facts.dialect, &mut wrong) else {
            continue;
        };
        wrong.extend(
            landing::place(&files, &cut.calendar.granularity.key(cut.calendar.begin)).err(),
        );
        tasks.push(Task {
            export,
            model,
            source,
            cut,
            files,
            facts: Arc::new(facts(source, project)),
        });
    }
    wrong.retain(Diagnostic::is_error);
    match wrong.is_empty() {
        true => Ok(tasks),
        false => Err(wrong),
    }
}

/// What reports say of a source that is written.
fn facts(source: &Source, project: &Project) -> NodeFacts {
    let name = format!("{}.{}", source.source_name, source.name);
    NodeFacts {
        unique_id: source.unique_id.clone(),
        resource_type: ResourceType::Source,
        name: name.clone(),
        materialization: "export".to_owned(),
        microbatch: false,
        followed: false,
        relation: Some(source.relation.render(project.facts.dialect)),
        short_relation: Some(name),
        path: source.original_path.clone(),
        database: source
            .relation
            .database
            .as_deref()
            .unwrap_or_default()
            .to_owned(),
        schema: source
            .relation
            .schema
            .as_deref()
            .unwrap_or_default()
            .to_owned(),
        alias: source.identifier.clone(),
        attached_to: None,
    }
}

/// What was exported of one source.
#[derive(Default)]
struct Done {
    rows: Vec<ExportRow>,
    changed: usize,
}

impl Place<'_> {
    fn carry_out(&mut self, task: &Task<'_>, results: &[Arc<NodeResult>]) -> NodeResult {
        let started = (SystemTime::now(), Instant::now());
        let mut result = empty_result(&task.facts, "MainThread");
        if let Some(why) = held_back(task, self.project, results) {
            result.status = NodeStatus::Skipped;
            result.message = Some(why);
            return result;
        }
        match self.write(task) {
            Ok(done) => {
                let rows: i64 = done.rows.iter().map(|row| row.rows).sum();
                result.rows_affected = u64::try_from(rows).ok();
                result.message = Some(told(&done, task.cut));
                result.response_code = Some("EXPORT".to_owned());
            }
            Err(failure) => {
                let failure = failure.note(format!(
                    "while `{}` was exported to the source `{}`",
                    task.model.name, task.facts.name
                ));
                // What failed first is worth more than a failure to undo it.
                let _ = self.session.rollback();
                result.status = NodeStatus::Error;
                result.message = Some(task.facts.failure(&failure));
                result.diagnostic = Some(Arc::new(failure));
            }
        }
        result.elapsed = started.1.elapsed();
        result.execute = Some((started.0, SystemTime::now()));
        result
    }

    /// Begins the snapshot that all exports read, unless it has begun.
    fn snapshot(&self) -> Result<(), Box<Diagnostic>> {
        if self.session.in_transaction() {
            return Ok(());
        }
        self.session.begin()?;
        let lock = self.macro_text("export_snapshot", &[self.ledger.exports_table().into()])?;
        self.run(&lock)
    }

    /// Records what was written; the snapshot goes on.
    fn record(&mut self) -> Result<(), Box<Diagnostic>> {
        let rows = std::mem::take(&mut self.unrecorded);
        for rows in rows.chunks(ledger::MOST_RECORDS) {
            self.session.begin()?;
            if let Some(sql) = self.ledger.add_exports(rows, &self.run) {
                self.run(&sql)?;
            }
        }
        Ok(())
    }

    fn run(&self, sql: &str) -> Result<(), Box<Diagnostic>> {
        let outcome = self.session.query(sql, Transaction::AsIs, Fetch::Nothing);
        outcome.map(drop)
    }

    fn fetch(&self, sql: &str) -> Result<Table, Box<Diagnostic>> {
        let outcome = self.session.query(sql, Transaction::AsIs, Fetch::Rows)?;
        Ok(outcome.table)
    }

    fn exports(&self, source: &UniqueId) -> Result<Vec<ExportRow>, Box<Diagnostic>> {
        let table = self.fetch(&self.ledger.read_exports(source.as_str()))?;
        Ok(ledger::exports(source.as_str(), &table))
    }

    /// Writes the partitions of one source that are whole.
    fn write(&mut self, task: &Task<'_>) -> Result<Done, Box<Diagnostic>> {
        self.session.begin_node(self.project, Some(task.model));
        self.snapshot()?;
        let known = self.exports(&task.source.unique_id)?;
        let done = match task.export.mode {
            ExportMode::Partitions => self.write_partitions(task)?,
            ExportMode::Dump => self.write_dump(task, &known)?,
        };
        let new = done.rows.iter().filter(|row| !known.contains(row));
        self.unrecorded.extend(new.cloned());
        heartbeat::pause(self.project, "exported");
        Ok(done)
    }

    /// The partitions that may be exported: closed, asked for, and not yet cut by a retention.
    fn whole(&self, task: &Task<'_>) -> Result<PartitionRange, Box<Diagnostic>> {
        let mut range = self.asked_for(task);
        for table in self.kept_tables(&task.model.unique_id) {
            if let Some(first) = self.first_kept(table)? {
                range = range.intersect(PartitionRange::new(first, i32::MAX));
            }
        }
        Ok(range)
    }

    /// The partitions that are closed and asked for.
    fn asked_for(&self, task: &Task<'_>) -> PartitionRange {
        let due = task.cut.calendar.due(self.ask.as_of);
        due.intersect(bounds(task.cut, self.ask))
    }

    /// The newest closed partition, unless it has a dump: what is there by now would be another day's.
    /// Before it come those that are copies, where the source wants such.
    fn dump(&self, task: &Task<'_>, known: &[ExportRow]) -> PartitionRange {
        let newest = task.cut.calendar.newest_closed(self.ask.as_of);
        let is_there = known.iter().any(|row| row.partition == newest);
        if is_there || !self.asked_for(task).contains(newest) {
            return PartitionRange::new(0, -1);
        }
        let before = known.iter().map(|row| row.partition);
        let last = before.filter(|part| *part < newest).max();
        match (task.cut.gap, last) {
            (Gap::Carry, Some(last)) => PartitionRange::new(last + 1, newest),
            _ => PartitionRange::one(newest),
        }
    }

    fn write_partitions(&self, task: &Task<'_>) -> Result<Done, Box<Diagnostic>> {
        let mut done = Done::default();
        let range = self.whole(task)?;
        for partition in range.iter() {
            let field = self.project.facts.dialect.quote_identifier(&task.cut.field);
            let predicate = task.cut.predicate(&field, PartitionRange::one(partition));
            self.write_one(task, partition, Some(&predicate), &mut done)?;
        }
        Ok(done)
    }

    /// Writes all rows into the newest closed partition, and copies into those before that have none.
    fn write_dump(&self, task: &Task<'_>, known: &[ExportRow]) -> Result<Done, Box<Diagnostic>> {
        let mut done = Done::default();
        let range = self.dump(task, known);
        if range.is_empty() {
            return Ok(done);
        }
        let newest = range.last;
        for missing in range.first..newest {
            let key = |partition| task.cut.calendar.granularity.key(partition);
            let (last, around) = (range.first - 1, surroundings(self.project));
            let carried = landing::carry(&task.files, around, &key(last), &key(missing))?;
            let Some(carried) = carried else { break };
            done.changed += 1;
            done.rows.push(ExportRow {
                source: task.source.unique_id.to_string(),
                partition: missing,
                rows: i64::try_from(carried.rows).unwrap_or(i64::MAX),
                checksum: carried.checksum,
                carried_from: Some(last),
            });
        }
        self.write_one(task, newest, None, &mut done)?;
        Ok(done)
    }

    fn write_one(
        &self,
        task: &Task<'_>,
        partition: i32,
        predicate: Option<&str>,
        done: &mut Done,
    ) -> Result<(), Box<Diagnostic>> {
        let dialect = self.project.facts.dialect;
        let columns = task.files.columns.iter().enumerate();
        let columns: Vec<Value> = columns
            .filter(|(at, _)| *at != task.files.field)
            .map(|(_, column)| dialect.quote_identifier(&column.name).into())
            .collect();
        let order: Vec<Value> = task
            .export
            .order_by
            .iter()
            .map(|by| by.as_str().into())
            .collect();
        let sql = self.macro_text(
            "export_rows",
            &[
                task.model.relation.render(dialect).into(),
                Value::from(columns),
                predicate.map_or_else(|| Value::from(()), Value::from),
                Value::from(order),
            ],
        )?;
        let unwritten = |error: std::io::Error| {
            let message = format!("cannot write rows down before they are put: {error}");
            Box::new(Diagnostic::error(Code::Io, message))
        };
        let mut spool = Spool::new().map_err(unwritten)?;
        self.session
            .stream_out(&sql, &mut |bytes| spool.take(bytes))?;
        let key = task.cut.calendar.granularity.key(partition);
        let written = landing::put(&task.files, surroundings(self.project), &key, spool)?;
        done.changed += usize::from(written.changed);
        done.rows.push(ExportRow {
            source: task.source.unique_id.to_string(),
            partition,
            rows: i64::try_from(written.rows).unwrap_or(i64::MAX),
            checksum: written.checksum,
            carried_from: None,
        });
        Ok(())
    }

    /// The tables with a retention that a node reads, through whatever is between, or is itself.
    fn kept_tables(&self, id: &UniqueId) -> Vec<&Arc<Node>> {
        let Some(index) = self.graph.index(id) else {
            return Vec::new();
        };
        let above = self.graph.reach([index], Walk::Ancestors, None);
        let ids = above.into_iter().chain([index]).map(|at| self.graph.id(at));
        let nodes = ids.filter_map(|id| self.project.manifest.nodes.get(id));
        nodes.filter(|node| node.upkeep.kept.is_some()).collect()
    }

    fn first_kept(&self, table: &Node) -> Result<Option<i32>, Box<Diagnostic>> {
        let found = self.fetch(&self.ledger.read_first_kept(&self.rendered(table)))?;
        let row = found.rows.first();
        Ok(row
            .filter(|row| row[0] != Datum::Null)
            .map(|row| i32::try_from(ledger::number(row, 0)).unwrap_or(i32::MIN)))
    }

    fn rendered(&self, table: &Node) -> String {
        table.relation.render(self.project.facts.dialect)
    }

    /// Removes the rows of selected tables whose retention is over and which every export has.
    fn remove_old(
        &self,
        selected: &BTreeSet<UniqueId>,
        written: &[Task<'_>],
    ) -> Result<Vec<Diagnostic>, Box<Diagnostic>> {
        let nodes = self.project.manifest.nodes.values();
        let kept = nodes.filter(|node| node.upkeep.kept.is_some());
        let mut told = Vec::new();
        for node in kept.filter(|node| selected.contains(&node.unique_id)) {
            told.extend(self.remove_from(node, written)?);
        }
        Ok(told)
    }

    /// The exports of partitions that read a table.
    fn readers(&self, table: &Node) -> Vec<(&Export, &Partitioning)> {
        let exports = self.project.manifest.exports.values();
        exports
            .filter(|export| export.mode == ExportMode::Partitions)
            .filter(|export| {
                let tables = self.kept_tables(&export.model);
                tables.iter().any(|node| node.unique_id == table.unique_id)
            })
            .filter_map(|export| {
                let source = self.project.manifest.sources.get(&export.source)?;
                Some((&**export, source.partitioning.as_deref()?))
            })
            .collect()
    }

    fn remove_from(
        &self,
        table: &Node,
        written: &[Task<'_>],
    ) -> Result<Option<Diagnostic>, Box<Diagnostic>> {
        let Some(kept) = &table.upkeep.kept else {
            return Ok(None);
        };
        let readers = self.readers(table);
        let Some((_, cut)) = readers.first() else {
            return Ok(None);
        };
        let is_written = |export: &Export| {
            let mut sources = written.iter().map(|task| &task.export.source);
            sources.any(|source| *source == export.source)
        };
        if !readers.iter().all(|(export, _)| is_written(export)) {
            return Ok(None);
        }
        let calendar = &cut.calendar;
        let before = self.first_kept(table)?;
        let mut first = calendar.newest_closed(self.ask.as_of) + 1 - kept.days;
        for (export, cut) in &readers {
            let known = self.exports(&export.source)?;
            let from = before.unwrap_or(cut.calendar.begin).max(cut.calendar.begin);
            let there: BTreeSet<i32> = known.iter().map(|row| row.partition).collect();
            let missing = (from..first).find(|partition| !there.contains(partition));
            first = missing.map_or(first, |missing| first.min(missing));
        }
        if before.is_some_and(|before| first <= before) || first <= calendar.begin {
            return Ok(None);
        }
        let relation = self.rendered(table);
        let column = self.project.facts.dialect.quote_identifier(&kept.field);
        let literal = |partition: i32| moment(calendar.start(partition), self.project);
        let mut late = 0;
        self.session.begin_node(self.project, Some(table));
        if let Some(before) = before {
            let older = literal(before);
            let counted = self.fetch(&format!(
                "select count(*) from {relation} where {column} < {older}"
            ))?;
            late = counted.rows.first().map_or(0, |row| ledger::number(row, 0));
        }
        let sql = format!("delete from {relation} where {column} < {}", literal(first));
        let gone = self
            .session
            .query(&sql, Transaction::AsIs, Fetch::Nothing)?;
        let removed = gone.rows_affected.unwrap_or_default();
        let expiry = self.ledger.add_expiry(&relation, first, removed, &self.run);
        self.run(&expiry)?;
        Ok((late > 0).then(|| {
            let key = calendar.granularity.key(before.unwrap_or(first));
            let message = format!(
                "{} of `{}` from before {key} came after the retention of their day was over: not exported, and removed",
                match late {
                    1 => "1 row".to_owned(),
                    more => format!("{more} rows"),
                },
                table.name
            );
            Diagnostic::warning(Code::TooLate, message)
                .at(Span::line(&table.file, 1))
                .help("a longer `retention` waits longer for late rows")
        }))
    }

    fn macro_text(&self, name: &str, args: &[Value]) -> Result<String, Box<Diagnostic>> {
        let scope = plain_scope(self.project, &self.session, Vec::new());
        let text = self.project.engine.call(name, args, &[], &scope)?;
        Ok(text.as_str().map(str::trim).unwrap_or_default().to_owned())
    }
}

/// A moment as a literal of a column that holds UTC without a zone.
fn moment(at: Timestamp, project: &Project) -> String {
    let text = super::look::civil_text(at);
    format!("timestamp {}", project.facts.dialect.string_literal(&text))
}

/// Why a model is not exported: it, or a test of it, has failed or was skipped.
fn held_back(task: &Task<'_>, project: &Project, results: &[Arc<NodeResult>]) -> Option<String> {
    let model = &task.model.unique_id;
    let bad = results.iter().find(|result| {
        let id = &result.node.unique_id;
        let concerns = id == model
            || (result.node.resource_type == ResourceType::Test
                && project
                    .manifest
                    .nodes
                    .get(id)
                    .is_some_and(|test| test.depends_on.contains(model)));
        concerns && (result.holds_readers_back() || result.status == NodeStatus::Skipped)
    })?;
    Some(format!(
        "skipped, since {} ended with `{}`",
        bad.node.unique_id,
        bad.status.as_str()
    ))
}

/// What was exported, in words.
fn told(done: &Done, cut: &Partitioning) -> String {
    let granularity = cut.calendar.granularity;
    let unit = granularity.as_str();
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    let (looked, changed) = (done.rows.len(), done.changed);
    let rows: i64 = done.rows.iter().map(|row| row.rows).sum();
    let mut text = match looked {
        0 => "EXPORT, nothing new".to_owned(),
        _ => format!(
            "EXPORT {looked} {unit}{}, {changed} changed, {rows} rows",
            plural(looked)
        ),
    };
    let carried = done.rows.iter().filter(|row| row.carried_from.is_some());
    let carried: Vec<String> = carried.map(|row| granularity.key(row.partition)).collect();
    if !carried.is_empty() {
        text.push_str(&format!(", carried over to {}", carried.join(", ")));
    }
    text
}
