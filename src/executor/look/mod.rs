//! The look before a plan: what the engine follows, what the ledger says, what sources have, and
//! what was changed by others. Its outcome is a [`Board`], a value.
//!
//! A project that has nothing for the engine to follow is not looked at, and its database is not
//! asked a single question more.

mod sources;
mod store;

pub use sources::Seen;

use sources::sources;
use store::{Read, Store};

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use rayon::prelude::*;

use super::session::Session;
use super::stage::SourceFiles;
use super::{Project, fingerprint};
use crate::calendar::PartitionRange;
use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Graph;
use crate::ledger::{History, Ledger, RelationId, RunFacts, TestRow};
use crate::manifest::UniqueId;
use crate::manifest::partitioning::Partitioning;
use crate::planner::board::{ALL, Board, Item, ItemKind, Scope};
use crate::planner::causes::UnknownTable;
use crate::planner::items::{self, Followed, Symbolic};

/// What a look may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Only read: nothing is made, nothing is recorded.
    Reading,
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
    /// Tables that are there and of which no partition is known, by the place of their item.
    pub unknown: BTreeMap<usize, UnknownTable>,
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

/// What the engine follows of a project, before its database is asked anything.
pub struct Outline {
    /// Each node's rendering with symbols.
    pub symbolic: BTreeMap<UniqueId, Symbolic>,
    /// What is followed.
    pub followed: Followed,
}

/// Renders what is managed with symbols, and finds what the engine follows; `None` where that is nothing.
pub fn follow(project: &Arc<Project>, graph: &Graph) -> Option<Outline> {
    if !is_followed(project) {
        return None;
    }
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
    Some(Outline { symbolic, followed })
}

/// Looks at everything that the engine follows.
///
/// # Errors
/// What the database says, files that cannot be listed, and a ledger of a later release.
pub fn look(
    project: &Arc<Project>,
    session: &Arc<Session>,
    outline: Outline,
    selected: &BTreeSet<UniqueId>,
    ask: &Ask,
    mode: Look,
) -> Result<Sight, Vec<Diagnostic>> {
    let one = |wrong: Box<Diagnostic>| vec![*wrong];
    session.begin_node(project, None);
    let Outline {
        symbolic,
        mut followed,
    } = outline;
    let mut store = Store::new(project, session, mode);
    let ledger_exists = store.prepare().map_err(one)?;
    let facts = run_facts(project, ask);
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
    store
        .columns_of_sources(&followed.items, &mut histories)
        .map_err(one)?;
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
    let unknown = store.unknown_tables(&board, &read);
    let mut warnings = volatile_partitions(project, &followed, selected);
    warnings.extend(replaced_tables(project, &board, &unknown, selected));
    Ok(Sight {
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
        unknown,
        hash,
        warnings,
        followed,
    })
}

/// Warns of tables that the ledger has never heard of: what they hold beside what is built now is lost.
fn replaced_tables(
    project: &Project,
    board: &Board,
    unknown: &BTreeMap<usize, UnknownTable>,
    selected: &BTreeSet<UniqueId>,
) -> Vec<Diagnostic> {
    let unheard = unknown
        .iter()
        .filter(|(_, table)| **table == UnknownTable::Unheard);
    let items = unheard.map(|(at, _)| &board.items[*at]);
    items
        .filter(|item| selected.contains(&item.id))
        .filter_map(|item| {
            let node = project.manifest.nodes.get(&item.id)?;
            let message = format!(
                "the table of `{0}` is there and the ledger knows nothing of it: building `{0}` replaces it as a whole",
                item.name
            );
            let warning = Diagnostic::warning(Code::Database, message);
            let warning = warning.at(crate::source::Span::line(&node.file, 1));
            Some(warning.help(format!(
                "`daygrain adopt {}` takes over what it holds instead",
                item.name
            )))
        })
        .collect()
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

/// The run, as the ledger's rows name it.
pub fn run_facts(project: &Project, ask: &Ask) -> RunFacts {
    RunFacts {
        run: project.facts.invocation_id.clone(),
        as_of: civil_text(ask.as_of),
    }
}

/// Makes the ledger where it is missing, for what writes into it without a look.
///
/// # Errors
/// What the database says, and a ledger of a later release.
pub fn prepare_ledger(
    project: &Arc<Project>,
    session: &Arc<Session>,
) -> Result<(), Box<Diagnostic>> {
    let mut store = Store::new(project, session, Look::Recording);
    store.prepare().map(drop)
}

/// Tells whether there is a ledger, and makes none.
///
/// # Errors
/// What the database says, and a ledger of a later release.
pub fn has_ledger(project: &Arc<Project>, session: &Arc<Session>) -> Result<bool, Box<Diagnostic>> {
    let mut store = Store::new(project, session, Look::Reading);
    Ok(store.prepare()? && store.layout == crate::ledger::LAYOUT)
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
