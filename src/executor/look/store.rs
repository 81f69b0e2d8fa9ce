//! The ledger and the catalogue, asked through the session that looks.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;

use crate::calendar::PartitionRange;
use crate::diagnostic::{Code, Diagnostic};
use crate::executor::engine::existing;
use crate::executor::publish::{ColumnOrder, boundaries, columns_number, read_content};
use crate::executor::session::Session;
use crate::executor::{Project, schemas};
use crate::jinja::context::{self, relation_value};
use crate::jinja::language::list;
use crate::jinja::port::{Fetch, Transaction};
use crate::jinja::{Value, Warehouse};
use crate::ledger::{
    self, Build, FEW_BUILDS, FileRow, History, LAYOUT, Ledger, MOST_RECORDS, Record, RecordState,
    RelationId, RunFacts, Sift, TestRow,
};
use crate::manifest::Node;
use crate::planner::board::{ALL, Board, Item, ItemKind, PastRead, PastReads};
use crate::planner::causes::UnknownTable;
use crate::planner::items::is_passed_through;
use crate::relation::Relation;
use crate::table::{Datum, Table};

use super::{Look, civil_text, ledger_of};

/// How many relations' partitions are read by one query.
const MOST_RELATIONS: usize = 100;

/// The inputs of how many builds are read by one query.
const MOST_BUILDS: usize = 1000;

/// The layout that brought the table of hooks that are still to run, and columns.
const HOOKS_SINCE: i64 = 3;

/// What was read of the ledger.
#[derive(Default)]
pub(super) struct Read {
    pub(super) histories: HashMap<RelationId, History>,
    pub(super) files: Vec<FileRow>,
    pub(super) tests: Vec<TestRow>,
    pub(super) newest_build: i64,
    pub(super) names: Vec<(RelationId, String)>,
}

/// The ledger and the session that asks it.
pub(super) struct Store<'a> {
    pub(super) project: &'a Arc<Project>,
    pub(super) session: &'a Arc<Session>,
    pub(super) ledger: Ledger,
    pub(super) mode: Look,
    /// The layout of the ledger that is there; 0 for none.
    pub(super) layout: i64,
    /// Who sifts it.
    pub(super) sift: Sift,
}

impl<'a> Store<'a> {
    /// The ledger of a project, not looked at yet.
    pub(super) fn new(
        project: &'a Arc<Project>,
        session: &'a Arc<Session>,
        mode: Look,
    ) -> Store<'a> {
        Store {
            project,
            session,
            ledger: ledger_of(project),
            mode,
            layout: 0,
            sift: Sift::Database,
        }
    }

    pub(super) fn fetch(&self, sql: &str) -> Result<Table, Box<Diagnostic>> {
        let outcome = self.session.query(sql, Transaction::AsIs, Fetch::Rows)?;
        Ok(outcome.table)
    }

    pub(super) fn run(&self, sql: &str) -> Result<(), Box<Diagnostic>> {
        self.session
            .query(sql, Transaction::AsIs, Fetch::Nothing)
            .map(drop)
    }

    pub(super) fn macro_text(&self, name: &str, args: &[Value]) -> Result<String, Box<Diagnostic>> {
        let scope = schemas::plain_scope(self.project, self.session, Vec::new());
        let text = self.project.engine.call(name, args, &[], &scope)?;
        Ok(text.as_str().map(str::trim).unwrap_or_default().to_owned())
    }

    /// Makes the ledger where that may be done; tells whether it is there.
    pub(super) fn prepare(&mut self) -> Result<bool, Box<Diagnostic>> {
        let schema = self.ledger.schema();
        let dialect = self.project.facts.dialect;
        let literal = |part: &Option<Arc<str>>| {
            dialect.string_literal(&part.as_deref().unwrap_or_default().to_lowercase())
        };
        let there = format!(
            "select count(*) as tables from information_schema.tables where lower(table_name) in ('layout', 'builds') and lower(table_schema) = {} and lower(table_catalog) = {}",
            literal(&schema.schema),
            literal(&schema.database)
        );
        let there = self.fetch(&there)?;
        let exists = there
            .rows
            .first()
            .is_some_and(|row| ledger::number(row, 0) == 2);
        if exists {
            let layout = self.fetch(&self.ledger.read_layout())?;
            let (layout, builds) = layout.rows.first().map_or((0, 0), |row| {
                (ledger::number(row, 0), ledger::number(row, 1))
            });
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
            self.layout = layout;
            if builds <= FEW_BUILDS {
                self.sift = Sift::Reader;
            }
            if layout == LAYOUT {
                return Ok(true);
            }
        }
        if self.mode == Look::Reading {
            // One of an earlier release is read as far as it goes; one whose making was cut short has
            // no layout yet, and nothing to read.
            return Ok(self.layout > 0);
        }
        // Several runs may make it at the same time: what one has made, the next finds.
        for statement in self.ledger.create() {
            if let Err(first) = self.run(&statement) {
                self.run(&statement).map_err(|_| first)?;
            }
        }
        self.layout = LAYOUT;
        Ok(true)
    }

    pub(super) fn read(&self, relations: &[RelationId]) -> Result<Read, Box<Diagnostic>> {
        // Not all at once, so that a large ledger takes time and no room.
        let most = match self.sift {
            Sift::Reader => relations.len().max(1),
            Sift::Database => MOST_RELATIONS,
        };
        let mut records: HashMap<RelationId, Vec<(i32, Record)>> = HashMap::new();
        for some in relations.chunks(most) {
            let table = self.fetch(&self.ledger.read_records(some, self.sift))?;
            records.extend(ledger::records(&table));
        }
        let wanted: HashSet<RelationId> = relations.iter().copied().collect();
        records.retain(|relation, _| wanted.contains(relation));
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
        let attempts = self.fetch(&self.ledger.read_attempts(relations, self.sift))?;
        let attempts = ledger::attempts(&attempts).into_iter();
        for (relation, part, attempt) in attempts.filter(|(of, ..)| wanted.contains(of)) {
            let history = histories.entry(relation).or_default();
            let visible = history.record(part).map_or(0, |record| record.build);
            let known = history.attempts.get(&part).map_or(0, |known| known.build);
            if attempt.build > visible.max(known) {
                history.attempts.insert(part, attempt);
            }
        }
        if self.layout >= HOOKS_SINCE {
            for row in &self.fetch(&self.ledger.read_columns())?.rows {
                if let Some(history) = histories.get_mut(&RelationId(ledger::number(row, 0))) {
                    history.columns = ledger::number(row, 1);
                }
            }
            for (relation, first, last) in ledger::owed(&self.fetch(&self.ledger.read_hooks())?) {
                if let Some(history) = histories.get_mut(&relation) {
                    history.owed.push((first, last));
                }
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
        let files = self.ledger.read_files(relations, self.sift);
        let files = ledger::files(&self.fetch(&files)?);
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
    pub(super) fn replaced(
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

    /// Looks at the columns of what views show and nothing here builds.
    pub(super) fn columns_of_sources(
        &self,
        items: &[Item],
        histories: &mut [History],
    ) -> Result<(), Box<Diagnostic>> {
        let views = items.iter().filter(|item| item.stores_nothing);
        let shown: BTreeSet<usize> = views
            .flat_map(|view| view.reads.iter().map(|read| read.item))
            .collect();
        for at in shown {
            let item = &items[at];
            let relation = match self.project.manifest.sources.get(&item.id) {
                Some(source) => Some(&source.relation),
                // What dbt's rules build each run, and nobody has recorded.
                None if item.kind == ItemKind::Unversioned => {
                    self.node(item).map(|node| &node.relation)
                }
                None => None,
            };
            let relation = relation.filter(|relation| existing(self.session, relation).is_some());
            if let Some(relation) = relation {
                let name = relation.render(self.project.facts.dialect);
                let described = self.fetch(&format!("select * from {name} where 1 = 0"))?;
                histories[at].columns = columns_number(&described, ColumnOrder::Counts);
            }
        }
        Ok(())
    }

    /// Finds tables of which the ledger knows no partition.
    pub(super) fn unknown_tables(
        &self,
        board: &Board,
        read: &Read,
    ) -> BTreeMap<usize, UnknownTable> {
        let items = board.items.iter().enumerate();
        items
            .filter(|(at, item)| {
                let known = board.histories[*at].records().next().is_some();
                item.kind == ItemKind::Managed && item.cut.is_some() && !known
            })
            .filter_map(|(at, item)| {
                existing(self.session, &self.node(item)?.relation)?;
                let mut names = read.names.iter();
                Some(match names.any(|(_, name)| *name == item.physical) {
                    true => (at, UnknownTable::CutOtherwise),
                    false => (at, UnknownTable::Unheard),
                })
            })
            .collect()
    }

    /// Looks at the schemas of what is followed, unless that was done.
    pub(super) fn fill_cache(&self, items: &[Item]) -> Result<(), Box<Diagnostic>> {
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

    pub(super) fn hash_name(&self) -> Result<String, Box<Diagnostic>> {
        self.macro_text("hash_name", &[])
    }

    pub(super) fn node(&self, item: &Item) -> Option<&Arc<Node>> {
        self.project.manifest.nodes.get(&item.id)
    }

    /// Finds built partitions that somebody else has changed, and records them as lost.
    pub(super) fn outside_changes(
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

    pub(super) fn markers(
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
    pub(super) fn disagreeing(
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

    pub(super) fn counts(
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
        let bounds = boundaries(cut, extent);
        let sql = self.macro_text(
            "partition_content",
            &[
                shown,
                list(Vec::new()),
                bucket.map_or_else(|| Value::from(()), Value::from),
                bounds,
                Value::from(cut.field.as_str()),
                Value::from(""),
            ],
        )?;
        Ok(read_content(&self.fetch(&sql)?, cut, "", ""))
    }

    /// What partitions have read whose older code stays, by item; `None` where there are none.
    pub(super) fn past(&self, board: &Board) -> Result<Option<Vec<PastReads>>, Box<Diagnostic>> {
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
    pub(super) fn adopt_microbatches(
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
    pub(super) fn adopted(
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
            Look::Reading => (1..=counts.len() as i64).map(|number| -number).collect(),
        };
        let numbered = counts.iter().zip(numbers);
        Ok(numbered
            .map(|((partition, (rows, _)), number)| {
                let (relation, inputs) = (board.items[at].relation, board.digest(at, *partition));
                Build::adopted(number, relation, *partition, inputs, (*rows, number))
            })
            .collect())
    }

    pub(super) fn record_adopted(
        &self,
        item: &Item,
        builds: &[Build],
        facts: &RunFacts,
    ) -> Result<(), Box<Diagnostic>> {
        if self.mode == Look::Reading || builds.is_empty() {
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

    pub(super) fn record_lost(
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
            Look::Reading => Vec::new(),
            Look::Recording => self.fetch(&self.ledger.take_numbers(lost.len()))?.rows,
        };
        for (index, (at, part)) in lost.iter().enumerate() {
            let Some(record) = histories[*at].record(*part).copied() else {
                continue;
            };
            let number = numbers
                .get(index)
                .map_or(record.build, |row| ledger::number(row, 0));
            let relation = items[*at].relation;
            builds.push(Build::lost(number, relation, *part, &record));
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
pub(super) fn visible(history: &History) -> impl Iterator<Item = (i32, Record)> + '_ {
    history
        .records()
        .filter(|(_, record)| !matches!(record.state, RecordState::Expired | RecordState::Lost))
}
