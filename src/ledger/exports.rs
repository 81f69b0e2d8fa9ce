//! What was handed to other connections, and what was removed after that.

use super::{Ledger, RunFacts};
use crate::table::{Datum, Table};

/// A partition of a source that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportRow {
    /// The source's unique id.
    pub source: String,
    /// The partition.
    pub partition: i32,
    /// Its rows.
    pub rows: i64,
    /// The SHA-256 of its file.
    pub checksum: String,
    /// The partition whose rows it holds, where there was no dump of its own day.
    pub carried_from: Option<i32>,
}

impl Ledger {
    /// Its table of exports, which who exports locks.
    pub fn exports_table(&self) -> String {
        self.table("exports")
    }

    /// The query of what is exported of a source, each partition once; read by [`exports`].
    pub fn read_exports(&self, source: &str) -> String {
        let table = self.table("exports");
        format!(
            "select part, rows_written, checksum, carried_from from (\n    \
             select part, rows_written, checksum, carried_from, row_number() over (partition by part order by finished desc) as age\n    \
             from {table} where source = {}\n) as numbered where age = 1 order by part",
            self.text(source)
        )
    }

    /// The statement that records what was exported; `None` for nothing.
    pub fn add_exports(&self, rows: &[ExportRow], facts: &RunFacts) -> Option<String> {
        let rows: Vec<String> = rows
            .iter()
            .map(|row| {
                let carried = row.carried_from.map(|part| part.to_string());
                format!(
                    "({}, {}, {}, {}, {}, {}, {})",
                    self.text(&row.source),
                    row.partition,
                    row.rows,
                    self.text(&row.checksum),
                    carried.as_deref().unwrap_or("null"),
                    self.text(&facts.run),
                    self.dialect.utc_now
                )
            })
            .collect();
        (!rows.is_empty()).then(|| {
            format!(
                "insert into {} (source, part, rows_written, checksum, carried_from, run, finished) values\n{}",
                self.table("exports"),
                rows.join(",\n")
            )
        })
    }

    /// The query of the first partition that a table still has whole; null where nothing was removed.
    pub fn read_first_kept(&self, relation: &str) -> String {
        format!(
            "select max(first_kept) as first_kept from {} where relation = {}",
            self.table("expiries"),
            self.text(relation)
        )
    }

    /// The statement that records what was removed of a table.
    pub fn add_expiry(
        &self,
        relation: &str,
        first_kept: i32,
        rows: u64,
        facts: &RunFacts,
    ) -> String {
        format!(
            "insert into {} (relation, first_kept, rows_removed, run, finished) values ({}, {first_kept}, {rows}, {}, {})",
            self.table("expiries"),
            self.text(relation),
            self.text(&facts.run),
            self.dialect.utc_now
        )
    }
}

/// Reads the exports of a source.
pub fn exports(source: &str, table: &Table) -> Vec<ExportRow> {
    let rows = table.rows.iter();
    rows.map(|row| ExportRow {
        source: source.to_owned(),
        partition: super::rows::part(row, 0),
        rows: super::rows::number(row, 1),
        checksum: super::rows::words(row, 2),
        carried_from: match row.get(3) {
            None | Some(Datum::Null) => None,
            Some(_) => Some(super::rows::part(row, 3)),
        },
    })
    .collect()
}
