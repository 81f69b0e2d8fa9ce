//! The ledger's own tables, and how many rows they hold.

use super::{FEW_BUILDS, LOCK_ROW, Ledger, batches};
use crate::dialect::Upsert;

/// The version of the ledger's own tables.
pub const LAYOUT: i64 = 4;

impl Ledger {
    /// The statements that make it where it is missing.
    pub fn create(&self) -> Vec<String> {
        let table = |name: &str, columns: &str| {
            format!(
                "create table if not exists {} ({columns})",
                self.table(name)
            )
        };
        let mut statements = vec![
            format!("create schema if not exists {}", self.schema_alone()),
            table("layout", "layout integer not null"),
            format!(
                "create sequence if not exists {}{}",
                self.table("versions"),
                self.dialect.ledger.ordered
            ),
            table(
                "relations",
                "relation bigint not null, name varchar not null, shape varchar not null, marker varchar",
            ),
            table(
                "builds",
                "build bigint not null, relation bigint not null, part integer not null, \
                 outcome varchar not null, code bigint not null, inputs bigint not null, \
                 version bigint not null, content bigint not null, row_count bigint not null, \
                 run varchar, as_of timestamp, started timestamp, finished timestamp, reason varchar",
            ),
            table(
                "inputs",
                "build bigint not null, upstream bigint not null, first_part integer not null, \
                 last_part integer not null, parts bigint not null, newest bigint not null, digest bigint not null",
            ),
            table(
                "files",
                "build bigint not null, relation bigint not null, part integer not null, path varchar not null, \
                 size bigint not null, stamp varchar not null, checksum varchar not null",
            ),
            table(
                "tests",
                "test varchar not null, code bigint not null, inputs bigint not null, passed boolean not null, \
                 run varchar, finished timestamp",
            ),
            table(
                "leases",
                "relation bigint not null primary key, fence bigint not null, beat bigint not null, holder varchar, expires timestamp",
            ),
            table(
                "hooks",
                "relation bigint not null, first_build bigint not null, last_build bigint not null",
            ),
            table("batches", batches::COLUMNS),
            table("batch_files", batches::FILE_COLUMNS),
            table(
                "exports",
                "source varchar not null, part integer not null, rows_written bigint not null, \
                 checksum varchar not null, carried_from integer, run varchar, finished timestamp",
            ),
            table(
                "expiries",
                "relation varchar not null, first_kept integer not null, rows_removed bigint not null, \
                 run varchar, finished timestamp",
            ),
            table(
                "runs",
                "run varchar not null primary key, expires timestamp not null",
            ),
        ];
        if self.dialect.ledger.upsert == Upsert::Locked {
            statements.push(format!(
                "insert into {0} (relation, fence, beat) select {LOCK_ROW}, 0, 0 where not exists (select 1 from {0} where relation = {LOCK_ROW})",
                self.table("leases")
            ));
        }
        // Tables that an earlier layout lacks were made above, and columns are added here.
        statements.push(format!(
            "alter table {} add column if not exists columns bigint",
            self.table("relations")
        ));
        statements.push(format!(
            "alter table {} add column if not exists query_id varchar",
            self.table("builds")
        ));
        if self.dialect.has_indexes {
            statements.push(format!(
                "create index if not exists builds_of_relation on {} (relation, part, build)",
                self.table("builds")
            ));
            statements.push(format!(
                "create index if not exists inputs_of_build on {} (build)",
                self.table("inputs")
            ));
        }
        // Last of all, since nothing is made any more where this is found.
        statements.push(format!(
            "update {0} set layout = {LAYOUT} where layout < {LAYOUT}",
            self.table("layout")
        ));
        statements.push(format!(
            "insert into {0} (layout) select {LAYOUT} where not exists (select 1 from {0})",
            self.table("layout")
        ));
        statements
    }

    /// The query of the layout's version, and of how many builds there are: layout, builds. More than
    /// [`FEW_BUILDS`] are not counted.
    pub fn read_layout(&self) -> String {
        format!(
            "select max(layout) as layout, (select count(*) from (select 1 as one from {} limit {}) as counted) as builds from {}",
            self.table("builds"),
            FEW_BUILDS + 1,
            self.table("layout")
        )
    }

    /// The schema without its database, which not every database takes where schemas are made.
    fn schema_alone(&self) -> String {
        let mut schema = self.schema.clone();
        schema.include.database = false;
        schema.render(self.dialect)
    }
}
