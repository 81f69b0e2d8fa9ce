//! What a template may ask of the outside.

use std::sync::Arc;

use crate::calendar::Mapping;
use crate::diagnostic::{Diagnostic, FailedSql};
use crate::relation::Relation;
use crate::source::Span;
use crate::table::Table;

/// Whether a query's rows are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetch {
    /// Rows are returned.
    Rows,
    /// Only the response matters.
    Nothing,
}

/// Whether a statement opens a transaction where none is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transaction {
    /// `begin` is sent first, unless a transaction is open.
    AutoBegin,
    /// The statement runs in whatever there is.
    AsIs,
}

/// What a database says of a statement: its response and, where asked for, the rows.
#[derive(Clone, Debug, Default)]
pub struct QueryOutcome {
    /// In dbt's words, such as `SELECT 12`.
    pub message: String,
    /// The command's first word.
    pub code: String,
    /// Rows returned or changed, where known.
    pub rows_affected: Option<u64>,
    /// The server's id of the query.
    pub query_id: Option<String>,
    /// The rows; empty for [`Fetch::Nothing`].
    pub table: Table,
}

/// Why a query failed: a diagnostic whose `sql` field holds the statement.
pub type QueryFailure = Box<Diagnostic>;

/// The live database of one node's run, and what is known of it.
///
/// Every method blocks. In parse mode [`NoWarehouse`] answers.
pub trait Warehouse: Send + Sync {
    /// Runs SQL on the node's own session.
    fn query(
        &self,
        sql: &str,
        transaction: Transaction,
        fetch: Fetch,
    ) -> Result<QueryOutcome, QueryFailure>;

    /// Opens a transaction, unless one is open.
    fn begin(&self) -> Result<(), QueryFailure>;

    /// Commits the open transaction, if there is one.
    fn commit(&self) -> Result<(), QueryFailure>;

    /// Rolls the open transaction back, if there is one.
    fn rollback(&self) -> Result<(), QueryFailure>;

    /// Appends rows to a relation in bulk.
    fn load(&self, relation: &Relation, rows: &Table) -> Result<u64, QueryFailure>;

    /// The relations of a schema as far as they are known; `None` if nobody has looked yet.
    fn cached_relations(&self, schema: &Relation) -> Option<Vec<Relation>>;

    /// Those of [`Warehouse::cached_relations`] whose name is this one, in any case.
    fn cached_relations_named(&self, schema: &Relation, name: &str) -> Option<Vec<Relation>> {
        let mut known = self.cached_relations(schema)?;
        let name = name.to_lowercase();
        known.retain(|relation| {
            let identifier = relation.identifier.as_deref().unwrap_or_default();
            identifier.to_lowercase() == name
        });
        Some(known)
    }

    /// Records what a look at a schema found.
    fn cache_relations(&self, schema: &Relation, relations: Vec<Relation>);

    /// Records a change of the catalogue that a macro made.
    fn note(&self, change: CacheChange);

    /// Passes a message of the template to the run's events.
    fn emit(&self, message: TemplateMessage);

    /// The rows of the seed that is being built.
    fn seed_rows(&self) -> Result<Arc<Table>, Box<Diagnostic>>;
}

/// A change of the catalogue.
#[derive(Clone, Debug)]
pub enum CacheChange {
    /// A relation was made.
    Added(Relation),
    /// A relation was dropped.
    Dropped(Relation),
    /// A relation was renamed, from the first to the second.
    Renamed(Relation, Relation),
    /// A schema was dropped with all it held.
    SchemaDropped(Relation),
}

/// Something that a template said: `log`, `print`, `exceptions.warn`.
#[derive(Clone, Debug)]
pub enum TemplateMessage {
    /// `log(..)`: to the log file; to the terminal too where `info` is set.
    Log {
        /// The text.
        text: String,
        /// Whether the terminal shows it.
        info: bool,
    },
    /// `print(..)`: to standard output.
    Print(String),
    /// `exceptions.warn(..)`.
    Warning(Box<Diagnostic>),
}

/// What a call of `ref` or `source` says beside the name: which partitions are read, and whether a
/// change of them makes the reader stale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Reading {
    /// `partitions=`, where it was given.
    pub mapping: Option<Mapping>,
    /// `track=false`: today's rows, which make nothing stale.
    pub untracked: bool,
}

/// A call of `ref`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RefCall {
    /// The package, where two names were given.
    pub package: Option<String>,
    /// The node's name.
    pub name: String,
    /// `v` or `version`, as text.
    pub version: Option<String>,
    /// `partitions` and `track`.
    pub reading: Reading,
}

/// A call of `source`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SourceCall {
    /// The source's name.
    pub source: String,
    /// The table's name.
    pub table: String,
    /// `partitions` and `track`.
    pub reading: Reading,
}

/// Turns the names in a template into relations.
pub trait Resolver: Send + Sync {
    /// The relation of a `ref`.
    ///
    /// # Errors
    /// A diagnostic without a place; the caller adds the template's.
    fn resolve_ref(&self, call: &RefCall) -> Result<Relation, Box<Diagnostic>>;

    /// The relation of a `source`.
    ///
    /// # Errors
    /// As [`Resolver::resolve_ref`].
    fn resolve_source(&self, call: &SourceCall) -> Result<Relation, Box<Diagnostic>>;

    /// The relation of `self`: the node's own, narrowed to some of its partitions.
    ///
    /// # Errors
    /// As [`Resolver::resolve_ref`].
    fn resolve_self(&self, mapping: Mapping) -> Result<Relation, Box<Diagnostic>> {
        let _ = mapping;
        let message = "`self` reads a model's own partitions, and this is no partitioned model";
        Err(Box::new(Diagnostic::error(
            crate::diagnostic::Code::BadConfig,
            message,
        )))
    }
}

/// What `partition` shows a template: the partitions that its statement builds, as SQL.
pub trait PartitionText: Send + Sync {
    /// The literal of the first moment.
    fn start(&self) -> String;

    /// The literal of the first moment after the last.
    fn end(&self) -> String;

    /// The literal of the one partition; asking for it makes every statement build one alone.
    fn date(&self) -> String;

    /// A predicate that keeps a column within them.
    fn filter(&self, column: &str) -> String;
}

/// What a rendering with `execute` false has collected.
#[derive(Clone, Debug, Default)]
pub struct Collected {
    /// Calls of `ref`, in order, each once, with the place of the first.
    pub refs: Vec<(RefCall, Span)>,
    /// Calls of `source`, likewise.
    pub sources: Vec<(SourceCall, Span)>,
    /// Calls of `self`, likewise.
    pub selves: Vec<(Mapping, Span)>,
    /// Whether `partition.date` was asked for.
    pub one_by_one: bool,
    /// Whether `this` was asked for.
    pub reads_this: bool,
    /// The arguments of each call of `config`, in order: key, value.
    pub configs: Vec<(serde_json::Map<String, serde_json::Value>, Span)>,
    /// Names of macros that the template's text calls, as written (`package.name` or `name`).
    pub macros: Vec<String>,
}

/// The warehouse of parse mode: it has no database, and says nothing.
#[derive(Debug, Default)]
pub struct NoWarehouse;

impl Warehouse for NoWarehouse {
    fn query(&self, sql: &str, _: Transaction, _: Fetch) -> Result<QueryOutcome, QueryFailure> {
        use crate::diagnostic::Code;
        let mut failure = Diagnostic::error(Code::Database, "no database is open while parsing");
        failure.sql = Some(Arc::new(FailedSql {
            sql: sql.to_owned(),
            offset: None,
        }));
        Err(Box::new(failure))
    }

    fn begin(&self) -> Result<(), QueryFailure> {
        Ok(())
    }

    fn commit(&self) -> Result<(), QueryFailure> {
        Ok(())
    }

    fn rollback(&self) -> Result<(), QueryFailure> {
        Ok(())
    }

    fn load(&self, _: &Relation, _: &Table) -> Result<u64, QueryFailure> {
        Ok(0)
    }

    fn cached_relations(&self, _: &Relation) -> Option<Vec<Relation>> {
        Some(Vec::new())
    }

    fn cache_relations(&self, _: &Relation, _: Vec<Relation>) {}

    fn note(&self, _: CacheChange) {}

    fn emit(&self, _: TemplateMessage) {}

    fn seed_rows(&self) -> Result<Arc<Table>, Box<Diagnostic>> {
        Ok(Arc::new(Table::default()))
    }
}
