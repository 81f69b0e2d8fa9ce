//! What a model says of a table of the ODS: its columns and keys, and the inbox whose batches fill it.
//!
//! Values only; [`super::parse`] makes them.

use crate::manifest::UniqueId;

/// The word in `materialized`.
pub const MATERIALIZATION: &str = "ods_table";

/// The placeholder that stands for a batch in the location of a source.
pub const BATCH: &str = "{batch}";

/// A table with keys that the database keeps, whose rows come from batches or from others.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OdsTable {
    /// Its columns, in the declared order.
    pub columns: Vec<OdsColumn>,
    /// Its keys and checks.
    pub constraints: Vec<Constraint>,
    /// Where its batches are; `None` where others fill it.
    pub inbox: Option<Inbox>,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OdsColumn {
    /// Its name, folded as the database folds it unless it is declared with `quote`.
    pub name: String,
    /// Its type in the database's words.
    pub data_type: String,
    /// Whether null is refused.
    pub not_null: bool,
    /// Constraints of type `custom`, as written.
    pub custom: Vec<String>,
}

/// A constraint of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Constraint {
    /// `name`.
    pub name: Option<String>,
    /// What it is.
    pub kind: ConstraintKind,
    /// The columns, by their folded names.
    pub columns: Vec<String>,
    /// `expression`: of a check the condition, of others what follows.
    pub expression: String,
}

/// The kinds of constraints that a table has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConstraintKind {
    /// Rows are told apart by it.
    PrimaryKey,
    /// No two rows are alike in it.
    Unique,
    /// A condition holds for every row.
    Check,
    /// A row of another table is there.
    ForeignKey(Parent),
    /// As written.
    Custom,
}

impl ConstraintKind {
    /// dbt's word.
    pub fn as_str(&self) -> &'static str {
        match self {
            ConstraintKind::PrimaryKey => "primary_key",
            ConstraintKind::Unique => "unique",
            ConstraintKind::Check => "check",
            ConstraintKind::ForeignKey(_) => "foreign_key",
            ConstraintKind::Custom => "custom",
        }
    }
}

/// What a foreign key refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parent {
    /// `to`: a node or source of the project, and `to_columns` (none for the parent's primary key).
    Of(UniqueId, Vec<String>),
    /// The relation and its columns as `expression` writes them.
    Written(String),
}

/// The inbox of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inbox {
    /// The location up to and including the batch; what shares it is loaded together.
    pub pattern: String,
    /// The sources that the model's query reads: a batch is whole when each has files.
    pub reads: Vec<UniqueId>,
    /// Where keys to delete come from.
    pub deletes: Option<Deletes>,
}

/// Keys of rows that are to be deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deletes {
    /// The source.
    pub source: UniqueId,
    /// The column of the table and of the source.
    pub key: String,
}

impl OdsTable {
    /// The columns of the primary key.
    pub fn primary_key(&self) -> &[String] {
        let mut keys = self.constraints.iter();
        let key = keys.find(|one| one.kind == ConstraintKind::PrimaryKey);
        key.map_or(&[], |key| &key.columns)
    }
}
