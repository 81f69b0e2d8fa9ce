//! The batches of inboxes: which were loaded or refused, from which files.

use super::{Ledger, RunFacts, number};
use crate::table::{Datum, Table};

/// The columns of the table of batches.
pub(super) const COLUMNS: &str = "number bigint not null, inbox varchar not null, batch varchar not null, \
     outcome varchar not null, row_count bigint not null, run varchar, started timestamp, finished timestamp, \
     reason varchar";

/// The columns of the table of their files.
pub(super) const FILE_COLUMNS: &str = "number bigint not null, path varchar not null, size bigint not null, \
     stamp varchar not null, checksum varchar not null, row_count bigint";

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchOutcome {
    /// Its rows are in the tables.
    Loaded,
    /// Its files are broken.
    Refused,
    /// The database refused its rows.
    Failed,
}

impl BatchOutcome {
    /// The word in the ledger.
    pub fn as_str(self) -> &'static str {
        match self {
            BatchOutcome::Loaded => "loaded",
            BatchOutcome::Refused => "refused",
            BatchOutcome::Failed => "failed",
        }
    }

    fn parse(word: &str) -> Option<BatchOutcome> {
        let all = [
            BatchOutcome::Loaded,
            BatchOutcome::Refused,
            BatchOutcome::Failed,
        ];
        all.into_iter().find(|outcome| outcome.as_str() == word)
    }
}

/// One attempt at a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchRecord {
    /// Its number, from the ledger's sequence.
    pub number: i64,
    /// The batch, as its path names it.
    pub batch: String,
    /// What became of it.
    pub outcome: BatchOutcome,
    /// How many rows of the tables it changed.
    pub rows: i64,
    /// Why it was refused.
    pub reason: Option<String>,
}

/// A file of a batch, as it was when the batch was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchFile {
    /// The attempt.
    pub number: i64,
    /// Its path.
    pub path: String,
    /// Its size in bytes.
    pub size: i64,
    /// When it was written, and the store's tag, as one text.
    pub stamp: String,
    /// Its checksum.
    pub checksum: String,
    /// How many rows it has, where it is the only one of its source.
    pub rows: Option<i64>,
}

impl Ledger {
    /// The numbers of each batch's newest attempt, and of the newest that was loaded.
    fn newest_batches(&self, inbox: &str) -> String {
        let (table, inbox) = (self.table("batches"), self.text(inbox));
        format!(
            "select max(number) from {table} where inbox = {inbox} group by batch\n    \
             union all\n    \
             select max(number) from {table} where inbox = {inbox} and outcome = 'loaded' group by batch"
        )
    }

    /// The query of the newest attempt at each batch of an inbox, and of the newest that was loaded;
    /// read by [`batches`].
    pub fn read_batches(&self, inbox: &str) -> String {
        format!(
            "select number, batch, outcome, row_count, reason from {}\nwhere number in (\n    {}\n)\norder by number",
            self.table("batches"),
            self.newest_batches(inbox)
        )
    }

    /// The query of the files of these attempts; read by [`batch_files`].
    pub fn read_batch_files(&self, inbox: &str) -> String {
        format!(
            "select number, path, size, stamp, checksum, row_count from {}\nwhere number in (\n    {}\n)\norder by number, path",
            self.table("batch_files"),
            self.newest_batches(inbox)
        )
    }

    /// The statement that records an attempt; `started` and the end are moments of the database's clock.
    pub fn add_batch(
        &self,
        inbox: &str,
        record: &BatchRecord,
        facts: &RunFacts,
        started: &str,
    ) -> String {
        format!(
            "insert into {} (number, inbox, batch, outcome, row_count, run, started, finished, reason)\n\
             select {}, {}, {}, {}, {}, {}, cast({} as timestamp), {}, {}",
            self.table("batches"),
            record.number,
            self.text(inbox),
            self.text(&record.batch),
            self.text(record.outcome.as_str()),
            record.rows,
            self.text(&facts.run),
            self.text(started),
            self.dialect.utc_now,
            self.optional(record.reason.as_deref())
        )
    }

    /// The statement that records the files of attempts; `None` for none.
    pub fn add_batch_files(&self, files: &[BatchFile]) -> Option<String> {
        let rows: Vec<String> = files
            .iter()
            .map(|file| {
                format!(
                    "({}, {}, {}, {}, {}, {})",
                    file.number,
                    self.text(&file.path),
                    file.size,
                    self.text(&file.stamp),
                    self.text(&file.checksum),
                    file.rows
                        .map_or_else(|| "null".to_owned(), |rows| rows.to_string())
                )
            })
            .collect();
        (!rows.is_empty()).then(|| {
            format!(
                "insert into {} (number, path, size, stamp, checksum, row_count) values\n{}",
                self.table("batch_files"),
                rows.join(",\n")
            )
        })
    }
}

fn words(row: &[Datum], at: usize) -> String {
    row.get(at).map(Datum::to_text).unwrap_or_default()
}

/// Reads [`Ledger::read_batches`]; later attempts stand behind earlier ones.
pub fn batches(table: &Table) -> Vec<BatchRecord> {
    let rows = table.rows.iter();
    rows.filter_map(|row| {
        Some(BatchRecord {
            number: number(row, 0),
            batch: words(row, 1),
            outcome: BatchOutcome::parse(&words(row, 2))?,
            rows: number(row, 3),
            reason: row
                .get(4)
                .filter(|value| **value != Datum::Null)
                .map(Datum::to_text),
        })
    })
    .collect()
}

/// Reads [`Ledger::read_batch_files`].
pub fn batch_files(table: &Table) -> Vec<BatchFile> {
    let rows = table.rows.iter();
    rows.map(|row| BatchFile {
        number: number(row, 0),
        path: words(row, 1),
        size: number(row, 2),
        stamp: words(row, 3),
        checksum: words(row, 4),
        rows: row
            .get(5)
            .filter(|value| **value != Datum::Null)
            .map(|_| number(row, 5)),
    })
    .collect()
}
