//! The look before a plan: what the engine follows, what the ledger says, what sources have, and
//! what was changed by others. Its outcome is a [`Board`], a value.
//!
//! A project that has nothing for the engine to follow is not looked at, and its database is not
//! asked a single question more.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use rayon::prelude::*;

use super::engine::existing;
use super::publish::{partition_of, read_content};
use super::session::Session;
use super::stage::{self, SourceFiles};
use super::{Project, fingerprint, schemas};
use crate::calendar::PartitionRange;
use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Graph;
use crate::jinja::context::{self, relation_value};
use crate::jinja::language::list;
use crate::jinja::port::{Fetch, Transaction};
use crate::jinja::{Value, Warehouse};
use crate::ledger::{
    self, Build, FileRow, History, LAYOUT, Ledger, MOST_RECORDS, Outcome, Record, RecordState,
    RelationId, RunFacts, TestRow,
};
use crate::manifest::partitioning::Partitioning;
use crate::manifest::{Node, UniqueId};
use crate::planner::board::{ALL, Board, Item, ItemKind, PastRead, PastReads, Scope};
use crate::planner::items::{self, Followed, Symbolic, is_passed_through};
use crate::relation::Relation;
use crate::table::{Datum, Table};

/// How many relations' partitions are read by one query.
const MOST_RELATIONS: usize = 100;

/// The inputs of how many builds are read by one query.
const MOST_BUILDS: usize = 1000;

/// What a look may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Only read: nothing is made, nothing is recorded.
    Touching,
    /// The ledger is made where it is missing, and what was noticed is recorded.
    Recording,
}

/// Which partitions a command is about.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    /// The run's clock.
    pub as_of: Timestamp,
    /// The first moment to build, where it is bounded.
    pub start: Option<jiff::civil::DateTime>,
    /// The first moment not to build, where it is bounded.
    pub end: Option<jiff::civil::DateTime>,
    /// Whether fresh partitions are built again.
    pub forced: bool,
    /// Whether partitions that are not closed are built.
    pub open: bool,
}

/// What was found.
pub struct Sight {
    /// What is stale, and why.
    pub board: Board,
    /// What is followed.
    pub followed: Followed,
    /// Each node's rendering with symbols.
    pub symbolic: BTreeMap<UniqueId, Symbolic>,
    /// The ledger.
    pub ledger: Ledger,
    /// Whether it was there.
    pub ledger_exists: bool,
    /// The run, as its rows name it.
    pub facts: RunFacts,
    /// The files of sources that have some, by the place of their item.
    pub files: HashMap<usize, Arc<SourceFiles>>,
    /// How tests ended last.
    pub tests: HashMap<String, TestRow>,
    /// The newest build that the ledger had.
    pub newest_build: i64,
    /// Items whose table was cut otherwise meanwhile.
    pub replaced: BTreeSet<usize>,
    /// The name of the hash that rows are hashed by.
    pub hash: String,
    /// What the user should know of the models before they are built.
    pub warnings: Vec<Diagnostic>,
}

/// Tells whether the engine follows anything of a project.
pub fn is_followed(project: &Project) -> bool {
    let mut nodes = project.manifest.nodes.values();
    nodes.any(|node| node.upkeep.is_managed())
}

/// Renders what is managed with symbols, and finds what the engine follows.
pub fn follow(project: &Arc<Project>, graph: &Graph) -> (BTreeMap<UniqueId, Symbolic>, Followed) {
    let ids: Vec<UniqueId> = items::with_code(&project.manifest).into_iter().collect();
    let symbolic: BTreeMap<UniqueId, Symbolic> = ids
        .par_iter()
        .filter_map(|id| {
            let node = project.manifest.nodes.get(id)?;
            Some((id.clone(), fingerprint::fingerprint(project, node)))
        })
        .collect();
    let dialect = project.facts.dialect;
    let followed = items::follow(&project.manifest, graph, dialect, &symbolic);
    (symbolic, followed)
}

/// Looks at everything that the engine follows; `None` where it follows nothing.
///
/// # Errors
/// What the database says, files that cannot be listed, and a ledger of a later release.
pub fn look(
    project: &Arc<Project>,
    graph: &Graph,
    session: &Arc<Session>,
    selected: &BTreeSet<UniqueId>,
    ask: &Ask,
    mode: Look,
) -> Result<Option<Sight>, Vec<Diagnostic>> {
    if !is_followed(project) {
        return Ok(None);
    }
    let one = |wrong: Box<Diagnostic>| vec![*wrong];
    session.begin_node(project, None);
    let (symbolic, mut followed) = follow(project, graph);
    let mut store = Store {
        project,
        session,
        ledger: ledger_of(project),
        mode,
    };
    let ledger_exists = store.prepare().map_err(one)?;
    let facts = RunFacts {
        run: project.facts.invocation_id.clone(),
        as_of: civil_text(ask.as_of),
    };
    let relations: Vec<RelationId> = followed.items.iter().map(|item| item.relation).collect();
    let mut read = match ledger_exists {
        true => store.read(&relations).map_err(one)?,
        false => Read::default(),
    };
    // What was never seen to be built, and is not built now, has no versions.
    for item in &mut followed.items {
        let recorded = read.histories.contains_key(&item.relation);
        if item.kind == ItemKind::Rebuilt && !recorded && !selected.contains(&item.id) {
            item.kind = ItemKind::Unversioned;
        }
    }
    let mut histories: Vec<History> = followed
        .items
        .iter()
        .map(|item| read.histories.remove(&item.relation).unwrap_or_default())
        .collect();
    store.fill_cache(&followed.items).map_err(one)?;
    let hash = store.hash_name().map_err(one)?;
    store
        .outside_changes(&followed.items, &mut histories, &facts)
        .map_err(one)?;
    let replaced = store
        .replaced(&followed.items, &mut histories, &read, &facts)
        .map_err(one)?;
    let files = sources(&store, &followed.items, &mut histories, &read, &facts, ask)?;
    let scopes = followed
        .items
        .iter()
        .map(|item| scope(item, selected, ask))
        .collect();
    let mut board = Board::new(followed.items.clone(), histories, scopes, ask.as_of);
    if store.adopt_microbatches(&mut board, &facts).map_err(one)? {
        let Board {
            items,
            histories,
            scopes,
            as_of,
            ..
        } = board;
        board = Board::new(items, histories, scopes, as_of);
    }
    if let Some(past) = store.past(&board).map_err(one)? {
        board = board.with_past(past);
    }
    Ok(Some(Sight {
        board,
        symbolic,
        ledger: store.ledger.clone(),
        ledger_exists,
        facts,
        files,
        tests: read
            .tests
            .drain(..)
            .map(|row| (row.test.clone(), row))
            .collect(),
        newest_build: read.newest_build,
        replaced,
        hash,
        warnings: volatile_partitions(project, &followed, selected),
        followed,
    }))
}

/// Warns of partitioned models whose rows depend on when they are built.
fn volatile_partitions(
    project: &Project,
    followed: &Followed,
    selected: &BTreeSet<UniqueId>,
) -> Vec<Diagnostic> {
    let items = followed.items.iter();
    items
        .filter(|item| item.cut.is_some() && selected.contains(&item.id))
        .filter_map(|item| {
            let volatile = item.volatile.as_ref()?;
            let node = project.manifest.nodes.get(&item.id)?;
            let message = format!(
                "`{}` is partitioned, and {volatile}: a partition that is built again later may hold other rows",
                item.name
            );
            let warning = Diagnostic::warning(Code::BadConfig, message);
            let warning = warning.at(crate::source::Span::line(&node.file, 1));
            Some(warning.help("use `partition.end` for the time up to which a partition reaches"))
        })
        .collect()
}

/// The ledger of a project: in the target's database, in the schema that `DAYGRAIN_LEDGER_SCHEMA` or
/// the variable `ledger_schema` of `daygrain` names.
pub fn ledger_of(project: &Project) -> Ledger {
    let facts = &project.facts;
    let own = facts
        .package_vars
        .get(&facts.project)
        .and_then(|vars| vars.get("daygrain"))
        .and_then(|vars| vars.get("ledger_schema"))
        .and_then(serde_json::Value::as_str);
    let schema = facts
        .environment
        .get("DAYGRAIN_LEDGER_SCHEMA")
        .map(String::as_str)
        .or(own)
        .unwrap_or("daygrain");
    let database = facts.target.get("database").or(facts.target.get("dbname"));
    let database = database
        .and_then(serde_json::Value::as_str)
        .unwrap_or_default();
    Ledger::new(facts.dialect, database, schema)
}

/// A moment of UTC as the ledger's literals write it.
pub fn civil_text(moment: Timestamp) -> String {
    let utc = moment.to_zoned(jiff::tz::TimeZone::UTC).datetime();
    utc.to_string().replace('T', " ")
}

/// The partitions that lie within what is asked for.
pub fn bounds(cut: &Partitioning, ask: &Ask) -> PartitionRange {
    let granularity = cut.calendar.granularity;
    let first = ask
        .start
        .map_or(i32::MIN, |start| granularity.containing(start));
    let last = ask.end.map_or(i32::MAX, |end| {
        let before = granularity.containing(end);
        match granularity.civil_start(before) < end {
            true => before,
            false => before - 1,
        }
    });
    PartitionRange::new(first, last)
}

fn scope(item: &Item, selected: &BTreeSet<UniqueId>, ask: &Ask) -> Scope {
    let builds = matches!(item.kind, ItemKind::Managed | ItemKind::Rebuilt);
    if !builds || !selected.contains(&item.id) {
        return Scope::NONE;
    }
    let allowed = match &item.cut {
        None => PartitionRange::one(ALL),
        Some(cut) => bounds(cut, ask),
    };
    Scope {
        allowed: Some(allowed),
        forced: ask.forced,
        open: ask.open,
    }
}

/// What was read of the ledger.
#[derive(Default)]
struct Read {
    histories: HashMap<RelationId, History>,
    files: Vec<FileRow>,
    tests: Vec<TestRow>,
    newest_build: i64,
    names: Vec<(RelationId, String)>,
}

/// The ledger and the session that asks it.
struct Store<'a> {
    project: &'a Arc<Project>,
    session: &'a Arc<Session>,
    ledger: Ledger,
    mode: Look,
}

impl Store<'_> {
    fn fetch(&self, sql: &str) -> Result<Table, Box<Diagnostic>> {
        let outcome = self.session.query(sql, Transaction::AsIs, Fetch::Rows)?;
        Ok(outcome.table)
    }

    fn run(&self, sql: &str) -> Result<(), Box<Diagnostic>> {
        self.session
            .query(sql, Transaction::AsIs, Fetch::Nothing)
            .map(drop)
    }

    fn macro_text(&self, name: &str, args: &[Value]) -> Result<String, Box<Diagnostic>> {
        let scope = schemas::plain_scope(self.project, self.session, Vec::new());
        let text = self.project.engine.call(name, args, &[], &scope)?;
        Ok(text.as_str().map(str::trim).unwrap_or_default().to_owned())
    }

    /// Makes the ledger where that may be done; tells whether it is there.
    fn prepare(&mut self) -> Result<bool, Box<Diagnostic>> {
        let schema = self.ledger.schema();
        let dialect = self.project.facts.dialect;
        let literal = |part: &Option<Arc<str>>| {
            dialect.string_literal(&part.as_deref().unwrap_or_default().to_lowercase())
        };
        let there = format!(
            "select count(*) as tables from information_schema.tables where lower(table_name) = 'layout' and lower(table_schema) = {} and lower(table_catalog) = {}",
            literal(&schema.schema),
            literal(&schema.database)
        );
        let there = self.fetch(&there)?;
        let exists = there
            .rows
            .first()
            .is_some_and(|row| ledger::number(row, 0) > 0);
        if exists {
            let layout = self.fetch(&self.ledger.read_layout())?;
            let layout = layout.rows.first().map_or(0, |row| ledger::number(row, 0));
            if layout > LAYOUT {
                let message = format!(
                    "the ledger in `{}` has layout {layout}, and this daygrain knows layouts up to {LAYOUT}",
                    schema.schema.as_deref().unwrap_or_default()
                );
                let error = Diagnostic::error(Code::Unsupported, message);
                return Err(Box::new(
                    error.help("use the release that wrote it, or a later one"),
                ));
            }
            if layout == LAYOUT {
                return Ok(true);
            }
        }
        if self.mode == Look::Touching {
            return Ok(false);
        }
        // Several runs may make it at the same time: what one has made, the next finds.
        for statement in self.ledger.create() {
            if let Err(first) = self.run(&statement) {
                self.run(&statement).map_err(|_| first)?;
            }
        }
        Ok(true)
    }

    fn read(&self, relations: &[RelationId]) -> Result<Read, Box<Diagnostic>> {
        // Not all at once, so that a large ledger takes time and no room.
        let mut records: HashMap<RelationId, Vec<(i32, Record)>> = HashMap::new();
        for some in relations.chunks(MOST_RELATIONS) {
            let table = self.fetch(&self.ledger.read_records(some))?;
            records.extend(ledger::records(&table));
        }
        let newest_build = records
            .values()
            .flatten()
            .map(|(_, record)| record.build)
            .max()
            .unwrap_or(0);
        let mut histories: HashMap<RelationId, History> = records
            .into_iter()
            .map(|(relation, records)| (relation, History::new(&records)))
            .collect();
        let attempts = self.fetch(&self.ledger.read_attempts(relations))?;
        for (relation, part, attempt) in ledger::attempts(&attempts) {
            let history = histories.entry(relation).or_default();
            let visible = history.record(part).map_or(0, |record| record.build);
            let known = history.attempts.get(&part).map_or(0, |known| known.build);
            if attempt.build > visible.max(known) {
                history.attempts.insert(part, attempt);
            }
        }
        let markers = self.fetch(&self.ledger.read_relations())?;
        let mut names = Vec::new();
        for row in &markers.rows {
            let relation = RelationId(ledger::number(row, 0));
            names.push((relation, row.get(1).map(Datum::to_text).unwrap_or_default()));
            if let (Some(history), Some(Datum::Text(marker))) =
                (histories.get_mut(&relation), row.get(3))
            {
                history.marker = Some(marker.clone());
            }
        }
        let files = ledger::files(&self.fetch(&self.ledger.read_files(relations))?);
        let tests = ledger::tests(&self.fetch(&self.ledger.read_tests())?);
        Ok(Read {
            histories,
            files,
            tests,
            newest_build,
            names,
        })
    }

    /// Finds tables that were cut otherwise after what the ledger says of them: a relation of the
    /// same name and another shape was built since, so that nothing of the older one is there.
    fn replaced(
        &self,
        items: &[Item],
        histories: &mut [History],
        read: &Read,
        facts: &RunFacts,
    ) -> Result<BTreeSet<usize>, Box<Diagnostic>> {
        let others = |item: &Item| -> Vec<RelationId> {
            let others = read.names.iter().filter(|(id, name)| {
                *id != item.relation && item.kind == ItemKind::Managed && *name == item.physical
            });
            others.map(|(id, _)| *id).collect()
        };
        let mut lost = Vec::new();
        for (at, item) in items.iter().enumerate() {
            let others = others(item);
            if others.is_empty() || histories[at].records().next().is_none() {
                continue;
            }
            let newest = self.fetch(&self.ledger.read_newest(&others))?;
            let newest = newest.rows.iter().map(|row| ledger::number(row, 1));
            let newest = newest.max().unwrap_or(0);
            let older = visible(&histories[at]).filter(|(_, record)| record.build < newest);
            lost.extend(older.map(|(part, _)| (at, part)));
        }
        self.record_lost(items, histories, &lost, facts)?;
        Ok(lost.into_iter().map(|(at, _)| at).collect())
    }

    /// Looks at the schemas of what is followed, unless that was done.
    fn fill_cache(&self, items: &[Item]) -> Result<(), Box<Diagnostic>> {
        let ids = items.iter().map(|item| &item.id);
        let schemas = schemas::schemas_of(self.project, ids);
        let scope = schemas::plain_scope(self.project, self.session, Vec::new());
        for schema in schemas {
            if self.session.cached_relations(&schema).is_some() {
                continue;
            }
            let dialect = self.project.facts.dialect;
            let relation = relation_value(dialect, &schema);
            let listed = self.project.engine.call(
                "list_relations_without_caching",
                &[relation],
                &[],
                &scope,
            )?;
            let found = context::listed_relations(dialect, &listed);
            self.session.cache_relations(&schema, found);
        }
        Ok(())
    }

    fn hash_name(&self) -> Result<String, Box<Diagnostic>> {
        self.macro_text("hash_name", &[])
    }

    fn node(&self, item: &Item) -> Option<&Arc<Node>> {
        self.project.manifest.nodes.get(&item.id)
    }

    /// Finds built partitions that somebody else has changed, and records them as lost.
    fn outside_changes(
        &self,
        items: &[Item],
        histories: &mut [History],
        facts: &RunFacts,
    ) -> Result<(), Box<Diagnostic>> {
        let dialect = self.project.facts.dialect;
        let mut asked: Vec<(usize, Relation)> = Vec::new();
        let mut lost: Vec<(usize, i32)> = Vec::new();
        for (at, item) in items.iter().enumerate() {
            let history = &histories[at];
            let Some(node) = self.node(item) else {
                continue;
            };
            if history.records().next().is_none() || item.kind != ItemKind::Managed {
                continue;
            }
            match existing(self.session, &node.relation) {
                None => lost.extend(visible(history).map(|(part, _)| (at, part))),
                Some(_) if is_passed_through(node) => {}
                Some(_) => asked.push((at, node.relation.clone())),
            }
        }
        let markers = self.markers(&asked)?;
        for (at, relation) in asked {
            let name = relation.render(dialect);
            let Some(marker) = markers.get(&name) else {
                continue;
            };
            let expected = match dialect.counts_rows {
                true => {
                    let rows: i64 = visible(&histories[at]).map(|(_, record)| record.rows).sum();
                    Some(rows.to_string())
                }
                false => histories[at].marker.clone(),
            };
            if expected.as_ref() == Some(marker) {
                continue;
            }
            let differ = self.disagreeing(&items[at], &histories[at], &relation)?;
            lost.extend(differ.into_iter().map(|part| (at, part)));
            if self.mode == Look::Recording && !dialect.counts_rows {
                self.run(&self.ledger.set_marker(items[at].relation, marker))?;
            }
        }
        self.record_lost(items, histories, &lost, facts)
    }

    fn markers(
        &self,
        asked: &[(usize, Relation)],
    ) -> Result<HashMap<String, String>, Box<Diagnostic>> {
        if asked.is_empty() {
            return Ok(HashMap::new());
        }
        let dialect = self.project.facts.dialect;
        let relations = asked
            .iter()
            .map(|(_, relation)| relation_value(dialect, relation))
            .collect();
        let sql = self.macro_text("relation_markers", &[list(relations)])?;
        let table = self.fetch(&sql)?;
        let rows = table.rows.iter();
        Ok(rows
            .filter_map(|row| Some((row.first()?.to_text(), row.get(1)?.to_text())))
            .collect())
    }

    /// The partitions whose rows are not as many as the ledger says.
    fn disagreeing(
        &self,
        item: &Item,
        history: &History,
        relation: &Relation,
    ) -> Result<Vec<i32>, Box<Diagnostic>> {
        let counts = self.counts(item, relation, history.extent())?;
        let differs = |part: i32, record: &Record| {
            counts.get(&part).map_or(0, |(rows, _)| *rows) != record.rows
        };
        Ok(visible(history)
            .filter(|(part, record)| differs(*part, record))
            .map(|(part, _)| part)
            .collect())
    }

    fn counts(
        &self,
        item: &Item,
        relation: &Relation,
        extent: PartitionRange,
    ) -> Result<BTreeMap<i32, (i64, String)>, Box<Diagnostic>> {
        let dialect = self.project.facts.dialect;
        let shown = relation_value(dialect, relation);
        let Some(cut) = &item.cut else {
            let sql = self.macro_text("relation_content", &[shown, list(Vec::new())])?;
            let table = self.fetch(&sql)?;
            let rows = table.rows.first().map_or(0, |row| ledger::number(row, 0));
            return Ok(BTreeMap::from([(ALL, (rows, String::new()))]));
        };
        let bucket = cut.bucket(&cut.field);
        let bounds: Vec<Value> = match bucket {
            Some(_) => Vec::new(),
            None => extent
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
        let sql = self.macro_text(
            "partition_content",
            &[
                shown,
                list(Vec::new()),
                bucket.map_or_else(|| Value::from(()), Value::from),
                list(bounds),
                Value::from(cut.field.as_str()),
                Value::from(""),
            ],
        )?;
        Ok(read_content(&self.fetch(&sql)?, cut, "", ""))
    }

    /// What partitions have read whose older code stays, by item; `None` where there are none.
    fn past(&self, board: &Board) -> Result<Option<Vec<PastReads>>, Box<Diagnostic>> {
        let kept: Vec<(usize, i32, i64)> = (0..board.items.len())
            .flat_map(|at| {
                let kept = board.kept(at).into_iter();
                kept.map(move |(part, record)| (at, part, record.build))
            })
            .collect();
        if kept.is_empty() {
            return Ok(None);
        }
        let places: HashMap<RelationId, usize> = (board.items.iter().enumerate())
            .map(|(at, item)| (item.relation, at))
            .collect();
        let mut past = vec![HashMap::new(); board.items.len()];
        for some in kept.chunks(MOST_BUILDS) {
            let builds: Vec<i64> = some.iter().map(|(_, _, build)| *build).collect();
            let mut reads: HashMap<i64, Vec<PastRead>> = HashMap::new();
            for input in ledger::inputs(&self.fetch(&self.ledger.read_inputs(&builds))?) {
                reads.entry(input.build).or_default().push(PastRead {
                    item: places.get(&input.upstream).copied(),
                    range: PartitionRange::new(input.first, input.last),
                    found: (input.digest as u64, input.parts.unsigned_abs()),
                });
            }
            for (at, part, build) in some {
                past[*at].insert(*part, reads.remove(build).unwrap_or_default());
            }
        }
        Ok(Some(past))
    }

    /// Takes over the tables of microbatch models that have opted in and that the ledger does not know:
    /// what they hold counts as published by unknown code. Tells whether there were any.
    fn adopt_microbatches(
        &self,
        board: &mut Board,
        facts: &RunFacts,
    ) -> Result<bool, Box<Diagnostic>> {
        let mut any = false;
        for at in 0..board.items.len() {
            let item = &board.items[at];
            let Some(node) = self.node(item).filter(|node| node.microbatch.is_some()) else {
                continue;
            };
            let unknown = board.histories[at].records().next().is_none();
            let exists = existing(self.session, &node.relation).is_some();
            if item.kind != ItemKind::Managed || item.cut.is_none() || !unknown || !exists {
                continue;
            }
            let counts = self.counts(item, &node.relation, board.due(at))?;
            let builds = self.adopted(board, at, &counts)?;
            self.record_adopted(&board.items[at], &builds, facts)?;
            for build in &builds {
                let record = Record {
                    build: build.number,
                    state: RecordState::Adopted,
                    code: build.code,
                    inputs: build.inputs,
                    version: build.version,
                    content: build.content,
                    rows: build.rows,
                };
                board.histories[at].set(build.partition, record);
            }
            any |= !builds.is_empty();
        }
        Ok(any)
    }

    /// The records of partitions that a table holds already.
    fn adopted(
        &self,
        board: &Board,
        at: usize,
        counts: &BTreeMap<i32, (i64, String)>,
    ) -> Result<Vec<Build>, Box<Diagnostic>> {
        let numbers: Vec<i64> = match self.mode {
            Look::Recording => {
                let table = self.fetch(&self.ledger.take_numbers(counts.len()))?;
                let rows = table.rows.iter();
                rows.map(|row| ledger::number(row, 0)).collect()
            }
            Look::Touching => (1..=counts.len() as i64).map(|number| -number).collect(),
        };
        let numbered = counts.iter().zip(numbers);
        Ok(numbered
            .map(|((partition, (rows, _)), number)| Build {
                number,
                relation: board.items[at].relation,
                partition: *partition,
                outcome: Outcome::Adopted,
                code: 0,
                inputs: board.digest(at, *partition),
                version: number,
                content: number,
                rows: *rows,
                reason: None,
            })
            .collect())
    }

    fn record_adopted(
        &self,
        item: &Item,
        builds: &[Build],
        facts: &RunFacts,
    ) -> Result<(), Box<Diagnostic>> {
        if self.mode == Look::Touching || builds.is_empty() {
            return Ok(());
        }
        let shape = item
            .cut
            .as_ref()
            .map_or_else(String::new, |cut| cut.shape());
        let now = civil_text(Timestamp::now());
        self.session.begin()?;
        self.run(
            &self
                .ledger
                .add_relation(item.relation, &item.physical, &shape),
        )?;
        for chunk in builds.chunks(500) {
            self.run(&self.ledger.add_builds(chunk, facts, &now))?;
        }
        self.session.commit()
    }

    fn record_lost(
        &self,
        items: &[Item],
        histories: &mut [History],
        lost: &[(usize, i32)],
        facts: &RunFacts,
    ) -> Result<(), Box<Diagnostic>> {
        if lost.is_empty() {
            return Ok(());
        }
        let mut builds = Vec::new();
        let numbers = match self.mode {
            Look::Touching => Vec::new(),
            Look::Recording => self.fetch(&self.ledger.take_numbers(lost.len()))?.rows,
        };
        for (index, (at, part)) in lost.iter().enumerate() {
            let Some(record) = histories[*at].record(*part).copied() else {
                continue;
            };
            let number = numbers
                .get(index)
                .map_or(record.build, |row| ledger::number(row, 0));
            builds.push(Build {
                number,
                relation: items[*at].relation,
                partition: *part,
                outcome: Outcome::Lost,
                code: record.code,
                inputs: record.inputs,
                version: record.version,
                content: record.content,
                rows: record.rows,
                reason: Some("changed outside daygrain".to_owned()),
            });
            let record = Record {
                build: number,
                state: RecordState::Lost,
                ..record
            };
            histories[*at].set(*part, record);
        }
        if self.mode == Look::Recording {
            for chunk in builds.chunks(MOST_RECORDS) {
                let now = civil_text(Timestamp::now());
                self.run(&self.ledger.add_builds(chunk, facts, &now))?;
            }
        }
        Ok(())
    }
}

/// The partitions whose rows are in the table.
fn visible(history: &History) -> impl Iterator<Item = (i32, Record)> + '_ {
    history
        .records()
        .filter(|(_, record)| !matches!(record.state, RecordState::Expired | RecordState::Lost))
}

/// Looks at the sources that have versions: lists files, probes tables, and records what is new.
fn sources(
    store: &Store<'_>,
    items: &[Item],
    histories: &mut [History],
    read: &Read,
    facts: &RunFacts,
    ask: &Ask,
) -> Result<HashMap<usize, Arc<SourceFiles>>, Vec<Diagnostic>> {
    let mut files = HashMap::new();
    let mut wrong = Vec::new();
    for (at, item) in items.iter().enumerate() {
        let (Some(cut), Some(source)) = (
            item.cut.as_ref().filter(|_| item.kind == ItemKind::Seen),
            store.project.manifest.sources.get(&item.id),
        ) else {
            continue;
        };
        let known: Vec<&FileRow> = read
            .files
            .iter()
            .filter(|row| row.relation == item.relation)
            .collect();
        let seen = if stage::has_files(source) {
            match stage::list(store.project, source, cut, item.relation, &known) {
                Ok((found, seen)) => {
                    files.insert(at, Arc::new(found));
                    seen
                }
                Err(found) => {
                    wrong.extend(found);
                    continue;
                }
            }
        } else {
            match probe(store, source, cut, &histories[at], ask) {
                Ok(seen) => seen,
                Err(found) => {
                    wrong.push(*found);
                    continue;
                }
            }
        };
        // What lies before the source's retention is as it was, whatever is left of it.
        let kept = cut.first_retained(ask.as_of);
        let seen = seen.into_iter().filter(|seen| seen.partition >= kept);
        let seen = (seen.collect(), kept);
        if let Err(found) = take_seen(store, item, &mut histories[at], seen, facts) {
            wrong.push(*found);
        }
    }
    match wrong.is_empty() {
        true => Ok(files),
        false => Err(wrong),
    }
}

/// What a look at a source found of one partition.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Which.
    pub partition: i32,
    /// What tells one version of it from another.
    pub content: i64,
    /// How many rows it has, where known.
    pub rows: i64,
    /// The files that it consists of.
    pub files: Vec<FileRow>,
}

/// Compares what a source has with what the ledger knows; new versions get numbers of their own.
fn take_seen(
    store: &Store<'_>,
    item: &Item,
    history: &mut History,
    (seen, kept): (Vec<Seen>, i32),
    facts: &RunFacts,
) -> Result<(), Box<Diagnostic>> {
    let there: BTreeSet<i32> = seen.iter().map(|seen| seen.partition).collect();
    let changed: Vec<Seen> = seen
        .into_iter()
        .filter(|seen| {
            history.record(seen.partition).is_none_or(|record| {
                record.content != seen.content || record.state != RecordState::Seen
            })
        })
        .collect();
    let gone: Vec<(i32, Record)> = history
        .records()
        .filter(|(part, record)| {
            record.state == RecordState::Seen && *part >= kept && !there.contains(part)
        })
        .collect();
    let count = changed.len() + gone.len();
    if count == 0 {
        return Ok(());
    }
    let numbers: Vec<i64> = match store.mode {
        Look::Recording => {
            let table = store.fetch(&store.ledger.take_numbers(count))?;
            table
                .rows
                .iter()
                .map(|row| ledger::number(row, 0))
                .collect()
        }
        // Only for the eyes of this command: no build has such a number.
        Look::Touching => (1..=count as i64).map(|number| -number).collect(),
    };
    let mut numbers = numbers.into_iter();
    let (mut builds, mut files) = (Vec::new(), Vec::new());
    for seen in changed {
        let number = numbers.next().unwrap_or_default();
        let before = history.record(seen.partition);
        // What comes back counts as new: what reads everything may have been built without it.
        let version = before
            .filter(|before| before.content == seen.content && before.state == RecordState::Seen)
            .map_or(number, |before| before.version);
        let record = Record {
            build: number,
            state: RecordState::Seen,
            code: 0,
            inputs: 0,
            version,
            content: seen.content,
            rows: seen.rows,
        };
        builds.push(build_of(item, seen.partition, Outcome::Seen, &record));
        files.extend(seen.files.into_iter().map(|file| (number, file)));
        history.set(seen.partition, record);
    }
    for (partition, record) in gone {
        let record = Record {
            build: numbers.next().unwrap_or_default(),
            state: RecordState::Expired,
            ..record
        };
        builds.push(build_of(item, partition, Outcome::Expired, &record));
        history.set(partition, record);
    }
    if store.mode == Look::Touching {
        return Ok(());
    }
    let now = civil_text(Timestamp::now());
    store.session.begin()?;
    store.run(
        &store.ledger.add_relation(
            item.relation,
            &item.physical,
            &item
                .cut
                .as_ref()
                .map_or_else(String::new, |cut| cut.shape()),
        ),
    )?;
    for chunk in builds.chunks(MOST_RECORDS) {
        store.run(&store.ledger.add_builds(chunk, facts, &now))?;
    }
    for chunk in files.chunks(500) {
        if let Some(sql) = store.ledger.add_files(chunk) {
            store.run(&sql)?;
        }
    }
    store.session.commit()
}

fn build_of(item: &Item, partition: i32, outcome: Outcome, record: &Record) -> Build {
    Build {
        number: record.build,
        relation: item.relation,
        partition,
        outcome,
        code: 0,
        inputs: 0,
        version: record.version,
        content: record.content,
        rows: record.rows,
        reason: None,
    }
}

/// Counts a table that somebody else loads, by partition; days up to the newest one that has rows
/// are there, also where they are empty.
fn probe(
    store: &Store<'_>,
    source: &crate::manifest::Source,
    cut: &crate::manifest::partitioning::Partitioning,
    history: &History,
    ask: &Ask,
) -> Result<Vec<Seen>, Box<Diagnostic>> {
    let field = source.loaded_at_field.as_deref().unwrap_or_default();
    let known = history.extent();
    // Late rows are looked for in the last partitions alone; older ones count as they were.
    let first = match known.is_empty() {
        true => cut.calendar.begin,
        false => (known.last - cut.lookback + 1).max(cut.calendar.begin),
    };
    let range = PartitionRange::new(first, i32::MAX);
    let bucket = cut.bucket(&cut.field).ok_or_else(|| {
        let message = format!(
            "the source `{}.{}` cannot be probed: a time zone lies between its column and its days",
            source.source_name, source.name
        );
        let error = Diagnostic::error(Code::Unsupported, message).at(source.span.clone());
        Box::new(error.help("give `partition_by` the column's own `timezone`"))
    })?;
    let sql = store.macro_text(
        "probe_partitions",
        &[
            relation_value(store.project.facts.dialect, &source.relation),
            Value::from(bucket),
            Value::from(field),
            Value::from(cut.predicate(&cut.field, range)),
        ],
    )?;
    let table = store.fetch(&sql)?;
    let mut counted: BTreeMap<i32, (i64, String)> = BTreeMap::new();
    for row in &table.rows {
        let part = row.first().and_then(|value| partition_of(value, cut));
        if let Some(part) = part {
            let newest = row.get(2).map(Datum::to_text).unwrap_or_default();
            counted.insert(part, (ledger::number(row, 1), newest));
        }
    }
    let newest = counted.keys().max().copied();
    let due = cut.calendar.newest_closed(ask.as_of);
    let last = newest.unwrap_or(i32::MIN);
    let mut seen: Vec<Seen> = history
        .records()
        .filter(|(part, _)| *part < first)
        .map(|(part, record)| Seen {
            partition: part,
            content: record.content,
            rows: record.rows,
            files: Vec::new(),
        })
        .collect();
    let looked = PartitionRange::new(first, last.min(due.max(last)));
    seen.extend(looked.iter().map(|part| {
        let empty = (0, String::new());
        let (rows, stamp) = counted.get(&part).unwrap_or(&empty);
        Seen {
            partition: part,
            content: ledger::hash64(&["probe", &rows.to_string(), stamp]),
            rows: *rows,
            files: Vec::new(),
        }
    }));
    Ok(seen)
}
