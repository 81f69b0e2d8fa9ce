//! The ledger: what is recorded of builds, and the statements that read and write it.
//!
//! It lies in a schema of its own beside the relations that it tells of, so that a partition and its
//! record are committed together. Rows are inserted; few are updated, and docs/decisions/0012 says which.
//! The SQL is plain enough for every dialect; who runs it is the executor's matter.

mod batches;
mod build;
mod exports;
mod history;
mod layout;
mod leases;
mod queries;
mod rows;

pub use batches::{BatchFile, BatchOutcome, BatchRecord, batch_files, batches};
pub use build::{Build, Input, Outcome};
pub use exports::{ExportRow, exports};
pub use history::{Attempt, History, Record, RecordState, SumTree};
pub use layout::LAYOUT;
pub use queries::{FEW_BUILDS, Sift};
pub use rows::{attempts, file_versions, files, inputs, number, owed, records, tests};

use crate::dialect::{Dialect, NumberRows};
use crate::relation::Relation;

/// How many builds or inputs one statement records at the most.
pub const MOST_RECORDS: usize = 5_000;

/// So few rows are written as literals.
const FEW_ROWS: usize = 8;

/// No relation's: the row of the leases that is changed first where primary keys are not enforced.
const LOCK_ROW: i64 = 0;

/// The identity of a relation in the ledger: where it physically is and how it is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RelationId(pub i64);

impl RelationId {
    /// Of a physical relation (database, schema, identifier) and the shape of its partitions.
    pub fn new(name: &str, shape: &str) -> RelationId {
        RelationId(hash64(&[name, shape]))
    }
}

/// The first 64 bits of a hash of texts, each with its length.
pub fn hash64(parts: &[&str]) -> i64 {
    use sha2::{Digest, Sha256};
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    let digest = hasher.finalize();
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    i64::from_le_bytes(first)
}

/// A file of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRow {
    /// The source.
    pub relation: RelationId,
    /// The partition that it holds.
    pub partition: i32,
    /// Its path.
    pub path: String,
    /// Its size in bytes.
    pub size: i64,
    /// When it was written, and the store's tag, as one text.
    pub stamp: String,
    /// Its checksum.
    pub checksum: String,
}

/// How a test ended on a state of what it reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestRow {
    /// The test's unique id.
    pub test: String,
    /// The fingerprint of its text.
    pub code: i64,
    /// The digest of what it read.
    pub inputs: i64,
    /// Whether it passed (or only warned).
    pub passed: bool,
}

/// The ledger of one target.
#[derive(Clone, Debug)]
pub struct Ledger {
    dialect: &'static Dialect,
    schema: Relation,
}

/// The facts of a run that its rows carry.
#[derive(Clone, Debug)]
pub struct RunFacts {
    /// The invocation's id.
    pub run: String,
    /// The run's clock, as a literal's text (`2026-11-05 00:00:00`, UTC).
    pub as_of: String,
}

impl Ledger {
    /// The ledger in a schema.
    pub fn new(dialect: &'static Dialect, database: &str, schema: &str) -> Ledger {
        let mut schema = Relation::new(dialect, database, schema, "x");
        schema.identifier = None;
        Ledger { dialect, schema }
    }

    /// Its schema.
    pub fn schema(&self) -> &Relation {
        &self.schema
    }

    fn table(&self, name: &str) -> String {
        let mut relation = self.schema.clone();
        relation.identifier = Some(name.into());
        relation.render(self.dialect)
    }

    fn text(&self, text: &str) -> String {
        self.dialect.string_literal(text)
    }

    fn optional(&self, text: Option<&str>) -> String {
        text.map_or_else(|| "null".to_owned(), |text| self.text(text))
    }

    /// The statement that records what tells the columns of a relation from others.
    pub fn set_columns(&self, relation: RelationId, columns: i64) -> String {
        format!(
            "update {} set columns = {columns} where relation = {}",
            self.table("relations"),
            relation.0
        )
    }

    /// The query that takes numbers from the sequence.
    pub fn take_numbers(&self, count: usize) -> String {
        let sequence = self.table("versions");
        self.dialect
            .ledger
            .take_numbers
            .replace("{literal}", &self.text(&sequence))
            .replace("{sequence}", &sequence)
            .replace("{count}", &count.to_string())
    }

    /// The statement that records a relation by name, where it is not.
    pub fn add_relation(&self, relation: RelationId, name: &str, shape: &str) -> String {
        let table = self.table("relations");
        format!(
            "insert into {table} (relation, name, shape) select {0}, {1}, {2} where not exists (select 1 from {table} where relation = {0})",
            relation.0,
            self.text(name),
            self.text(shape)
        )
    }

    /// The statement that records, in the transaction that publishes builds, that hooks are to follow.
    pub fn owe_hooks(&self, relation: RelationId, first: i64, last: i64) -> String {
        format!(
            "insert into {} (relation, first_build, last_build) values ({}, {first}, {last})",
            self.table("hooks"),
            relation.0
        )
    }

    /// The statement that takes it back once they have ended well.
    pub fn hooks_have_run(&self, relation: RelationId, first: i64, last: i64) -> String {
        format!(
            "delete from {} where relation = {} and first_build = {first} and last_build = {last}",
            self.table("hooks"),
            relation.0
        )
    }

    /// The statement that records what the catalogue shows of a relation.
    pub fn set_marker(&self, relation: RelationId, marker: &str) -> String {
        format!(
            "update {} set marker = {} where relation = {}",
            self.table("relations"),
            self.text(marker),
            relation.0
        )
    }

    /// The statement that records builds; `started` and the end are moments of the database's clock.
    ///
    /// What many builds share is said once, and their numbers are one text: a database takes much
    /// longer to understand rows of literals than to write them.
    pub fn add_builds(&self, builds: &[Build], facts: &RunFacts, started: &str) -> String {
        let alike = |a: &Build, b: &Build| {
            a.relation == b.relation
                && a.outcome == b.outcome
                && a.code == b.code
                && a.reason == b.reason
                && a.query_id == b.query_id
        };
        let selects: Vec<String> = builds
            .chunk_by(alike)
            .filter_map(|builds| {
                let first = builds.first()?;
                let rows = builds.iter().map(|build| {
                    [
                        build.number,
                        i64::from(build.partition),
                        build.inputs,
                        build.version,
                        build.content,
                        build.rows,
                    ]
                });
                Some(format!(
                    "select n1, {}, n2, {}, {}, n3, n4, n5, n6, {}, cast({} as timestamp), cast({} as timestamp), {}, cast({} as varchar), cast({} as varchar)\nfrom {}",
                    first.relation.0,
                    self.text(first.outcome.as_str()),
                    first.code,
                    self.text(&facts.run),
                    self.text(&facts.as_of),
                    self.text(started),
                    self.dialect.utc_now,
                    self.optional(first.reason.as_deref()),
                    self.optional(first.query_id.as_deref()),
                    self.packed(rows),
                ))
            })
            .collect();
        format!(
            "insert into {} (build, relation, part, outcome, code, inputs, version, content, row_count, run, as_of, started, finished, reason, query_id)\n{}",
            self.table("builds"),
            selects.join("\nunion all\n")
        )
    }

    /// The statement that records what builds read; `None` where they read nothing.
    pub fn add_inputs(&self, inputs: &[Input]) -> Option<String> {
        let rows = inputs.iter().map(|input| {
            [
                input.build,
                input.upstream.0,
                i64::from(input.first),
                i64::from(input.last),
                input.parts,
                input.newest,
                input.digest,
            ]
        });
        (!inputs.is_empty()).then(|| {
            format!(
                "insert into {} (build, upstream, first_part, last_part, parts, newest, digest)\nselect n1, n2, n3, n4, n5, n6, n7\nfrom {}",
                self.table("inputs"),
                self.packed(rows)
            )
        })
    }

    /// Rows of whole numbers as a relation with the columns `n1`, `n2` and so on.
    ///
    /// Few are literals, many are one text.
    fn packed<const N: usize>(&self, rows: impl Iterator<Item = [i64; N]>) -> String {
        let rows: Vec<[String; N]> = rows
            .map(|row| row.map(|number| number.to_string()))
            .collect();
        let names: Vec<String> = (1..=N).map(|place| format!("n{place}")).collect();
        if rows.len() <= FEW_ROWS {
            let rows: Vec<String> = rows.iter().map(|row| row.join(", ")).collect();
            let (rows, names) = (rows.join("), ("), names.join(", "));
            return format!("(values ({rows})) as packed ({names})");
        }
        if self.dialect.ledger.rows == NumberRows::Json {
            let rows: Vec<String> = rows.iter().map(|row| row.join(",")).collect();
            let columns: Vec<String> = (1..=N)
                .map(|place| format!("cast(value[{}] as bigint) as n{place}", place - 1))
                .collect();
            return format!(
                "(\n    select {}\n    from table(flatten(input => parse_json({})))\n) as packed",
                columns.join(", "),
                self.text(&format!("[[{}]]", rows.join("],[")))
            );
        }
        let rows: Vec<String> = rows.iter().map(|row| row.join(" ")).collect();
        let columns: Vec<String> = (1..=N)
            .map(|place| format!("cast(split_part(numbers, ' ', {place}) as bigint) as n{place}"))
            .collect();
        format!(
            "(\n    select {}\n    from unnest(string_to_array({}, ',')) as packed (numbers)\n) as packed",
            columns.join(", "),
            self.text(&rows.join(","))
        )
    }

    /// The statement that records files, each with the build that saw it; `None` for none.
    pub fn add_files(&self, files: &[(i64, FileRow)]) -> Option<String> {
        let rows: Vec<String> = files
            .iter()
            .map(|(build, file)| {
                format!(
                    "({build}, {}, {}, {}, {}, {}, {})",
                    file.relation.0,
                    file.partition,
                    self.text(&file.path),
                    file.size,
                    self.text(&file.stamp),
                    self.text(&file.checksum)
                )
            })
            .collect();
        (!rows.is_empty()).then(|| {
            format!(
                "insert into {} (build, relation, part, path, size, stamp, checksum) values\n{}",
                self.table("files"),
                rows.join(",\n")
            )
        })
    }

    /// The statement that records the ends of tests; `None` for none.
    pub fn add_tests(&self, tests: &[TestRow], facts: &RunFacts) -> Option<String> {
        let rows: Vec<String> = tests
            .iter()
            .map(|test| {
                format!(
                    "({}, {}, {}, {}, {}, {})",
                    self.text(&test.test),
                    test.code,
                    test.inputs,
                    test.passed,
                    self.text(&facts.run),
                    self.dialect.utc_now
                )
            })
            .collect();
        (!rows.is_empty()).then(|| {
            format!(
                "insert into {} (test, code, inputs, passed, run, finished) values\n{}",
                self.table("tests"),
                rows.join(",\n")
            )
        })
    }

    /// The query that counts the builds which were followed by another of their partition.
    pub fn count_superseded(&self) -> String {
        let builds = self.table("builds");
        format!(
            "select count(*) - (select count(*) from (select distinct relation, part from {builds}) as parts) as superseded from {builds}"
        )
    }

    /// The statements that remove what no reader can need: builds that were followed by another of
    /// their partition, with what hangs on them, but for the newest `kept` of each.
    pub fn compact(&self, kept: usize) -> Vec<String> {
        let builds = self.table("builds");
        let numbered = format!(
            "select build, relation, part, row_number() over (partition by relation, part order by build desc) as age, \
             max(case when outcome not in ('refused', 'failed') then build end) over (partition by relation, part) as visible from {builds}"
        );
        let old = format!(
            "delete from {builds} where build in (select build from ({numbered}) as numbered where age > {kept} and build <> coalesce(visible, 0))"
        );
        let orphans = |table: &str| {
            let table = self.table(table);
            format!("delete from {table} where build not in (select build from {builds})")
        };
        let tests = self.table("tests");
        vec![
            old,
            orphans("inputs"),
            orphans("files"),
            format!(
                "delete from {hooks} where not exists (select 1 from {builds} as kept where kept.relation = {hooks}.relation and kept.build between {hooks}.first_build and {hooks}.last_build)",
                hooks = self.table("hooks")
            ),
            format!(
                "delete from {tests} where finished < (select max(newer.finished) from {tests} as newer where newer.test = {tests}.test)"
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::{DUCKDB, POSTGRES, SNOWFLAKE, Upsert};
    use crate::sql;

    fn build(partition: i32) -> Build {
        Build {
            number: 7,
            relation: RelationId(1),
            partition,
            outcome: Outcome::Refused,
            code: -1,
            inputs: 2,
            version: 7,
            content: 3,
            rows: 4,
            reason: Some("it's wrong".to_owned()),
            query_id: None,
        }
    }

    fn statements(ledger: &Ledger) -> Vec<String> {
        let facts = RunFacts {
            run: "run-1".to_owned(),
            as_of: "2026-11-15 00:00:00".to_owned(),
        };
        let relations = [RelationId(1), RelationId(-2)];
        let input = Input {
            build: 7,
            upstream: RelationId(-2),
            first: 1,
            last: i32::MAX,
            parts: 5,
            newest: 6,
            digest: -9,
        };
        let file = FileRow {
            relation: RelationId(1),
            partition: 3,
            path: "landing/o'clock.csv".to_owned(),
            size: 10,
            stamp: "2026".to_owned(),
            checksum: "ab".to_owned(),
        };
        let test = TestRow {
            test: "test.shop.unique".to_owned(),
            code: 1,
            inputs: 2,
            passed: true,
        };
        let mut all = ledger.create();
        all.extend(ledger.compact(3));
        all.extend([
            ledger.read_layout(),
            ledger.read_attempts(&relations, Sift::Reader),
            ledger.read_attempts(&relations, Sift::Database),
            ledger.read_builds(RelationId(1), 3),
            ledger.read_inputs(&[7, 8]),
            ledger.read_relations(),
            ledger.read_files(&relations, Sift::Reader),
            ledger.read_files(&relations, Sift::Database),
            ledger.read_records(&relations, Sift::Reader),
            ledger.read_records(&relations, Sift::Database),
            ledger.read_tests(),
            ledger.read_hooks(),
            ledger.read_columns(),
            ledger.set_columns(RelationId(1), 8),
            ledger.owe_hooks(RelationId(1), 3, 4),
            ledger.hooks_have_run(RelationId(1), 3, 4),
            ledger.take_numbers(3),
            ledger.published_since(&[], 6, "run-1"),
            ledger.count_superseded(),
            ledger.add_relation(RelationId(1), "\"db\".\"s\".\"t\"", "day"),
            ledger.set_marker(RelationId(1), "1/2"),
            ledger.add_builds(&[build(1), build(2)], &facts, &facts.as_of),
            ledger.add_builds(
                &(1..20).map(build).collect::<Vec<_>>(),
                &facts,
                &facts.as_of,
            ),
            ledger.read_lease(RelationId(1)),
            ledger.beat(RelationId(1), 4),
            ledger.free_lease(RelationId(1), 4),
        ]);
        // The lock of the embedded database's file is the lease there.
        if !ledger.dialect.profile.embedded {
            all.push(ledger.take_lease(RelationId(1), "run-1", 120));
            all.push(ledger.sign_of_life("run-1", 30));
            all.push(ledger.end_of_life("run-1"));
        }
        let batch_file = BatchFile {
            number: 9,
            path: "inbox/batch=o'clock/orders.csv".to_owned(),
            size: 10,
            stamp: "2026".to_owned(),
            checksum: "ab".to_owned(),
            rows: Some(3),
        };
        let batch = BatchRecord {
            number: 9,
            batch: "o'clock".to_owned(),
            outcome: BatchOutcome::Refused,
            rows: 0,
            reason: Some("it's wrong".to_owned()),
        };
        all.extend([
            ledger.read_batches("inbox/batch={batch}"),
            ledger.read_batch_files("inbox/batch={batch}"),
            ledger.add_batch("inbox/batch={batch}", &batch, &facts, &facts.as_of),
        ]);
        all.extend(ledger.add_batch_files(&[batch_file]));
        all.extend(ledger.add_inputs(&[input]));
        all.extend(ledger.add_files(&[(7, file)]));
        all.extend(ledger.add_tests(&[test], &facts));
        all
    }

    #[test]
    fn every_statement_parses_where_it_is_sent() {
        for dialect in [&DUCKDB, &POSTGRES, &SNOWFLAKE] {
            let ledger = Ledger::new(dialect, "db", "daygrain");
            for statement in statements(&ledger) {
                // Two options that the parser does not know of every dialect.
                let statement = match dialect.ledger.upsert {
                    Upsert::OnConflict => statement,
                    Upsert::Locked => statement
                        .trim_end_matches(dialect.ledger.ordered)
                        .replace("add column if not exists", "add column"),
                };
                if let Err(error) = sql::parse(dialect, &statement) {
                    panic!("{} of {}: {error:?}", statement, dialect.name);
                }
            }
        }
    }

    #[test]
    fn builds_are_written_in_one_statement() {
        let ledger = Ledger::new(&POSTGRES, "db", "daygrain");
        let facts = RunFacts {
            run: "run-1".to_owned(),
            as_of: "2026-11-15 00:00:00".to_owned(),
        };
        insta::assert_snapshot!(ledger.add_builds(&[build(1)], &facts, &facts.as_of), @r#"
        insert into "db"."daygrain"."builds" (build, relation, part, outcome, code, inputs, version, content, row_count, run, as_of, started, finished, reason, query_id)
        select n1, 1, n2, 'refused', -1, n3, n4, n5, n6, 'run-1', cast('2026-11-15 00:00:00' as timestamp), cast('2026-11-15 00:00:00' as timestamp), cast(clock_timestamp() at time zone 'UTC' as timestamp), cast('it''s wrong' as varchar), cast(null as varchar)
        from (values (7, 1, 2, 7, 3, 4)) as packed (n1, n2, n3, n4, n5, n6)
        "#);
    }

    #[test]
    fn texts_that_are_joined_differently_have_different_hashes() {
        assert_ne!(hash64(&["ab", "c"]), hash64(&["a", "bc"]));
        assert_ne!(RelationId::new("t", ""), RelationId::new("", "t"));
    }
}
