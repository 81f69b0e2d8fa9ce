//! The queries of what is recorded; `rows` reads what they return.

use super::{Ledger, RelationId};

/// A ledger of so many builds is sifted by who reads it.
pub const FEW_BUILDS: i64 = 20_000;

/// Who leaves out what a reader does not need: other relations, and versions that were followed by another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sift {
    /// The reader: of a small ledger all is read, which costs the database least.
    Reader,
    /// The database.
    Database,
}

impl Ledger {
    /// The query of what readers see now, of some relations; read by [`super::records`].
    ///
    /// The database packs each relation's partitions into one text: there may be very many of them.
    pub fn read_records(&self, relations: &[RelationId], sift: Sift) -> String {
        let builds = self.table("builds");
        let packed = self.dialect.joined_text;
        let seen = "outcome not in ('refused', 'failed')";
        let wanted = match sift {
            Sift::Reader => seen.to_owned(),
            Sift::Database => {
                let among = numbers(relations);
                format!(
                    "relation in ({among}) and build in (\n    select max(build) from {builds}\n    \
                     where {seen} and relation in ({among})\n    group by relation, part\n)"
                )
            }
        };
        format!(
            "select relation, outcome, code, {packed}(concat_ws(' ', part, build, inputs, version, content, row_count), ',') as records\n\
             from {builds}\nwhere {wanted}\ngroup by relation, outcome, code"
        )
    }

    /// The query of the newest build of some relations that readers saw: relation, build.
    pub fn read_newest(&self, relations: &[RelationId]) -> String {
        format!(
            "select relation, max(build) as build from {}\nwhere outcome not in ('refused', 'failed') and relation in ({})\ngroup by relation",
            self.table("builds"),
            numbers(relations)
        )
    }

    /// The query of attempts that were in vain; read by [`super::attempts`].
    pub fn read_attempts(&self, relations: &[RelationId], sift: Sift) -> String {
        let all = format!(
            "select relation, part, build, outcome, reason from {}\nwhere outcome in ('refused', 'failed')",
            self.table("builds")
        );
        match sift {
            Sift::Reader => all,
            Sift::Database => format!("{all} and relation in ({})", numbers(relations)),
        }
    }

    /// The query of the files of some sources that readers see now; read by [`super::files`].
    pub fn read_files(&self, relations: &[RelationId], sift: Sift) -> String {
        let files = self.table("files");
        let all = format!(
            "select f.relation, f.part, f.path, f.size, f.stamp, f.checksum, f.build from {files} as f"
        );
        match sift {
            Sift::Reader => all,
            Sift::Database => format!(
                "{all}\ninner join (\n    select relation, part, max(build) as build from {files}\n    \
                 where relation in ({})\n    group by relation, part\n) as newest\n    \
                 on newest.relation = f.relation and newest.part = f.part and newest.build = f.build",
                numbers(relations)
            ),
        }
    }

    /// The query of every version of some partitions' files, the newest first; read by [`super::file_versions`].
    pub fn read_files_of(&self, relation: RelationId, parts: &[i32]) -> String {
        let among: Vec<String> = parts.iter().map(i32::to_string).collect();
        format!(
            "select relation, part, path, size, stamp, checksum, build from {}\nwhere relation = {} and part in ({})\norder by part, build desc, path",
            self.table("files"),
            relation.0,
            among.join(", ")
        )
    }

    /// The query of what a build read; read by [`super::inputs`].
    pub fn read_inputs(&self, builds: &[i64]) -> String {
        let among: Vec<String> = builds.iter().map(i64::to_string).collect();
        format!(
            "select build, upstream, first_part, last_part, parts, newest, digest from {} where build in ({})",
            self.table("inputs"),
            among.join(", ")
        )
    }

    /// The query of the names and markers of relations: relation, name, shape, marker.
    pub fn read_relations(&self) -> String {
        format!(
            "select relation, name, shape, marker from {}",
            self.table("relations")
        )
    }

    /// The query of what tells the columns of relations from others: relation, columns.
    pub fn read_columns(&self) -> String {
        format!(
            "select relation, columns from {} where columns is not null",
            self.table("relations")
        )
    }

    /// The query of the builds whose hooks have not ended well; read by [`super::owed`].
    pub fn read_hooks(&self) -> String {
        format!(
            "select relation, first_build, last_build from {}",
            self.table("hooks")
        )
    }

    /// The query of the newest end of each test; read by [`super::tests`].
    pub fn read_tests(&self) -> String {
        format!(
            "select test, code, inputs, passed from {} order by finished",
            self.table("tests")
        )
    }

    /// The query of one partition's builds, the newest first; for people.
    pub fn read_builds(&self, relation: RelationId, partition: i32) -> String {
        format!(
            "select build, outcome, code, inputs, version, row_count, run, as_of, started, finished, reason\n\
             from {}\nwhere relation = {} and part = {partition}\norder by build desc",
            self.table("builds"),
            relation.0
        )
    }

    /// The same columns behind relation and partition, of builds by their number; for people.
    pub fn read_numbered(&self, builds: &[i64]) -> String {
        let among: Vec<String> = builds.iter().map(i64::to_string).collect();
        format!(
            "select relation, part, build, outcome, code, inputs, version, row_count, run, as_of, started, finished, reason\nfrom {}\nwhere build in ({})",
            self.table("builds"),
            among.join(", ")
        )
    }

    /// The query of which of some partitions are known: part, and the number of their builds.
    pub fn count_builds(&self, relation: RelationId, parts: &[i32]) -> String {
        let among: Vec<String> = parts.iter().map(i32::to_string).collect();
        format!(
            "select part, count(*) as builds from {} where relation = {} and part in ({}) group by part",
            self.table("builds"),
            relation.0,
            among.join(", ")
        )
    }

    /// The query that tells whether a build is recorded, by one count.
    pub fn count_build(&self, relation: RelationId, number: i64) -> String {
        format!(
            "select count(*) as found from {} where relation = {} and build = {number}",
            self.table("builds"),
            relation.0
        )
    }

    /// The query that counts what other runs have published of some relations since a build.
    pub fn published_since(&self, relations: &[RelationId], build: i64, run: &str) -> String {
        format!(
            "select count(*) as others from {} where build > {build} and run <> {} and outcome not in ('refused', 'failed') and relation in ({})",
            self.table("builds"),
            self.text(run),
            numbers(relations)
        )
    }
}

fn numbers(relations: &[RelationId]) -> String {
    if relations.is_empty() {
        return "null".to_owned();
    }
    let among: Vec<String> = relations.iter().map(|id| id.0.to_string()).collect();
    among.join(", ")
}
