//! What is recorded of a build: what became of it, and what it read.

use super::{Record, RelationId};

/// What became of a partition that was to be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is visible.
    Published,
    /// It is visible, and was built before it was closed.
    Provisional,
    /// Its table held it already; nobody knows by which code.
    Adopted,
    /// A source has it.
    Seen,
    /// Its rows were removed because they are too old.
    Expired,
    /// Its rows were found to have changed outside daygrain.
    Lost,
    /// A test refused it, and the old one stayed.
    Refused,
    /// The database refused a statement.
    Failed,
}

impl Outcome {
    const ALL: [Outcome; 8] = [
        Outcome::Published,
        Outcome::Provisional,
        Outcome::Adopted,
        Outcome::Seen,
        Outcome::Expired,
        Outcome::Lost,
        Outcome::Refused,
        Outcome::Failed,
    ];

    /// The word in the ledger.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Published => "published",
            Outcome::Provisional => "provisional",
            Outcome::Adopted => "adopted",
            Outcome::Seen => "seen",
            Outcome::Expired => "expired",
            Outcome::Lost => "lost",
            Outcome::Refused => "refused",
            Outcome::Failed => "failed",
        }
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Outcome> {
        Outcome::ALL
            .into_iter()
            .find(|outcome| outcome.as_str() == word)
    }

    /// Tells whether the partition is what readers see from then on.
    pub fn is_visible(self) -> bool {
        !matches!(self, Outcome::Refused | Outcome::Failed)
    }
}

/// A build to be recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct Build {
    /// Its number, from the ledger's sequence.
    pub number: i64,
    /// The relation.
    pub relation: RelationId,
    /// The partition.
    pub partition: i32,
    /// What became of it.
    pub outcome: Outcome,
    /// The code's fingerprint.
    pub code: i64,
    /// The digest of the tracked inputs.
    pub inputs: i64,
    /// The data version: this build's number, or an earlier one's where nothing changed.
    pub version: i64,
    /// The hash of the content.
    pub content: i64,
    /// How many rows there are.
    pub rows: i64,
    /// Why it was built; why it was refused or failed.
    pub reason: Option<String>,
    /// What the database calls the statement that wrote the rows, where it has such names.
    pub query_id: Option<String>,
}

impl Build {
    /// A partition that its table held already; nobody knows by which code, from inputs that have this
    /// digest.
    pub fn adopted(
        number: i64,
        relation: RelationId,
        partition: i32,
        inputs: i64,
        (rows, content): (i64, i64),
    ) -> Build {
        Build {
            number,
            relation,
            partition,
            outcome: Outcome::Adopted,
            code: 0,
            inputs,
            version: number,
            content,
            rows,
            reason: None,
            query_id: None,
        }
    }

    /// The end of a partition that was as the record says, and why it is that no more.
    pub fn ended(
        number: i64,
        relation: RelationId,
        (partition, record): (i32, &Record),
        (outcome, reason): (Outcome, &str),
    ) -> Build {
        Build {
            number,
            relation,
            partition,
            outcome,
            code: record.code,
            inputs: record.inputs,
            version: record.version,
            content: record.content,
            rows: record.rows,
            reason: Some(reason.to_owned()),
            query_id: None,
        }
    }

    /// A partition whose rows somebody else has changed: it is as the record says, and stale.
    pub fn lost(number: i64, relation: RelationId, partition: i32, record: &Record) -> Build {
        let why = (Outcome::Lost, "changed outside daygrain");
        Build::ended(number, relation, (partition, record), why)
    }
}

/// What a build read of one relation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// The build.
    pub build: i64,
    /// The relation.
    pub upstream: RelationId,
    /// The first partition of the range.
    pub first: i32,
    /// The last.
    pub last: i32,
    /// How many were there.
    pub parts: i64,
    /// The newest version among them.
    pub newest: i64,
    /// The digest of their versions.
    pub digest: i64,
}
