//! The rows of files into a table of the declared columns.
//!
//! Where the target is the embedded database itself, its own readers fill the table in one
//! statement. For any other target the same readers, on a database in memory, hand the rows over, so
//! that every database gets the same values of the same files.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use serde_json::{Value as Json, json};

use super::faults;
use super::layout::{self, Layout, ReaderRef};
use super::list::{self, FileEntry, Surroundings};
use super::manifest::{self, Promises};
use super::spec::{FileSource, Format, Kind};
use super::sql::{self, Located, Macros, Reader, Readers, Typing};
use crate::diagnostic::{Code, Diagnostic};
use crate::dialect::Dialect;
use crate::jinja::port::{Fetch, Transaction, Warehouse};
use crate::relation::{Quoting, Relation};
use crate::table::Datum;

/// How many rows are handed over at once.
const CHUNK: i64 = 20_000;

/// How many files one statement reads.
const MOST_FILES: usize = 5000;

/// Where rows are loaded to.
#[derive(Clone, Copy)]
pub struct Destination<'a> {
    /// The session, with no transaction open.
    pub warehouse: &'a dyn Warehouse,
    /// Its SQL.
    pub dialect: &'static Dialect,
    /// The table to make, such as [`staging`] names it; one that is there is replaced.
    pub staging: &'a Relation,
}

/// Rows by partition; a partition whose files hold none is there with 0.
pub type Counts = BTreeMap<String, u64>;

/// Why nothing was loaded.
#[derive(Clone, Debug)]
pub enum LoadFailure {
    /// Files are wrong: what, by partition. The others can be loaded without them.
    Partitions(BTreeMap<String, Vec<Diagnostic>>),
    /// The database, or a copy of the files, failed.
    Whole(Box<Diagnostic>),
}

impl From<Box<Diagnostic>> for LoadFailure {
    fn from(diagnostic: Box<Diagnostic>) -> LoadFailure {
        LoadFailure::Whole(diagnostic)
    }
}

/// Puts several faults into one: the first, with the places of the others.
pub fn joined(faults: Vec<Diagnostic>) -> Option<Diagnostic> {
    let mut faults = faults.into_iter();
    let mut first = faults.next()?;
    for other in faults {
        if let Some(label) = other.labels.into_iter().next() {
            first = first.label(label.span, other.message);
        }
    }
    Some(first)
}

/// Names a temporary table of the session.
pub fn staging(dialect: &Dialect, name: &str) -> Relation {
    let name = dialect.fit_identifier(name.to_owned());
    let mut relation = Relation::new(dialect, "", "", &name);
    relation.quoting = Quoting::ALL;
    relation
}

/// Loads files into a new temporary table that has exactly the declared columns, in their order.
///
/// The files may belong to several partitions. All of them are loaded, or nothing is; no transaction is
/// open afterwards. What was loaded is what was listed: a file that was replaced meanwhile is wrong.
///
/// # Errors
/// Which partitions have wrong files, or what failed altogether.
pub fn load(
    source: &FileSource,
    around: Surroundings<'_>,
    files: &[FileEntry],
    into: Destination<'_>,
    readers: &Readers,
) -> Result<Counts, LoadFailure> {
    let counts = load_listed(source, around, files, into, readers)?;
    let mut wrong: BTreeMap<String, Vec<Diagnostic>> = BTreeMap::new();
    for file in list::replaced(source, around, files).map_err(Box::new)? {
        let of = wrong.entry(file.partition.clone()).or_default();
        of.push(faults::replaced(source, &file.path));
    }
    match wrong.is_empty() {
        true => Ok(counts),
        false => Err(LoadFailure::Partitions(wrong)),
    }
}

fn load_listed(
    source: &FileSource,
    around: Surroundings<'_>,
    files: &[FileEntry],
    into: Destination<'_>,
    readers: &Readers,
) -> Result<Counts, LoadFailure> {
    if let (Some(stage), Format::Csv(options)) = (&source.stage, &source.format) {
        let mut counts = super::copy::copy(source, (stage, options), around, files, into)?;
        for file in files {
            counts.entry(file.partition.clone()).or_insert(0);
        }
        return Ok(counts);
    }
    let local = list::local(source, around, files).map_err(Box::new)?;
    let opened: OnceLock<ReaderRef> = OnceLock::new();
    let reader = || -> Result<ReaderRef, Box<Diagnostic>> {
        if let Some(reader) = opened.get() {
            return Ok(Arc::clone(reader));
        }
        let reader = Arc::new(Reader::open(readers)?);
        Ok(Arc::clone(opened.get_or_init(|| reader)))
    };

    let checksum = |at: usize, name: &str| {
        let found = list::checksum_of(&local.paths[at]);
        found.map_err(|error| faults::unreadable(source, name, &error))
    };
    let mut promises = manifest::promises(source, around, files, &checksum).map_err(Box::new)?;
    let mut wrong = std::mem::take(&mut promises.wrong);
    let mut layouts: Vec<Layout> = Vec::new();
    for (file, path) in files.iter().zip(&local.paths) {
        match layout::layout(source, &file.path, path, &reader) {
            Ok(layout) => layouts.push(layout),
            Err(faults) => wrong
                .entry(file.partition.clone())
                .or_default()
                .extend(faults),
        }
    }
    if !wrong.is_empty() {
        return Err(LoadFailure::Partitions(wrong));
    }
    let mut order: Vec<usize> = (0..files.len()).collect();
    order.sort_by(|a, b| files[*a].cmp(&files[*b]));
    let located = order.iter().map(|&at| {
        let file = &files[at];
        Located {
            partition: &file.partition,
            layout: &layouts[at],
            path: &local.paths[at],
            gzip: sql::is_gzip(source, &file.path),
            shown: &file.path,
        }
    });
    let located: Vec<Located<'_>> = located.collect();
    let work = Work {
        source,
        files: located,
        promises,
        into,
    };
    let mut counts = if into.dialect.profile.embedded {
        work.within(&reader)?
    } else {
        work.across(&reader)?
    };
    for file in files {
        counts.entry(file.partition.clone()).or_insert(0);
    }
    Ok(counts)
}

/// The statement that makes the empty table.
pub(super) fn create_sql(
    source: &FileSource,
    into: Destination<'_>,
    macros: &Macros,
) -> Result<String, Box<Diagnostic>> {
    let Destination {
        dialect, staging, ..
    } = into;
    let columns: Vec<Json> = source
        .columns
        .iter()
        .map(|column| {
            json!({
                "quoted": dialect.quote_identifier(&column.name),
                "data_type": column.data_type,
            })
        })
        .collect();
    macros.sql(
        "landing_create_staging",
        &[staging.render(dialect).into(), columns.into()],
    )
}

/// Whether files could be read, or what is wrong with them.
type Judgement = Result<(), Vec<Diagnostic>>;

struct Work<'a> {
    source: &'a FileSource,
    /// By partition and path.
    files: Vec<Located<'a>>,
    promises: Promises,
    into: Destination<'a>,
}

impl Work<'_> {
    /// Lets the target read the files itself.
    fn within(
        &self,
        reader: &dyn Fn() -> Result<ReaderRef, Box<Diagnostic>>,
    ) -> Result<Counts, LoadFailure> {
        let Destination {
            warehouse,
            dialect,
            staging,
        } = self.into;
        let macros = Macros::of(dialect);
        let relation = staging.render(dialect);
        let run = |sql: &str| warehouse.query(sql, Transaction::AsIs, Fetch::Nothing);
        if self.files.is_empty() {
            run(&create_sql(self.source, self.into, &macros)?)?;
            return Ok(Counts::new());
        }
        for (index, files) in self.files.chunks(MOST_FILES).enumerate() {
            let name = if index == 0 {
                "landing_create"
            } else {
                "landing_insert"
            };
            let sql = self.read_sql(&macros, name, &relation, files, Typing::Declared)?;
            if let Err(failure) = run(&sql) {
                if failure.code != Code::Database {
                    return Err(failure.into());
                }
                return Err(self.blame(&*reader()?, failure));
            }
        }
        let sql = macros.sql("landing_count", &self.count_args(&relation))?;
        let counted = warehouse.query(&sql, Transaction::AsIs, Fetch::Rows)?;
        let mut counts = Counts::new();
        for row in &counted.table.rows {
            if let (name, Datum::Int(rows)) = (&row[0], &row[1]) {
                counts.insert(name.to_text(), u64::try_from(*rows).unwrap_or_default());
            }
        }
        let mut wrong = BTreeMap::new();
        for files in self.by_partition() {
            let partition = files[0].partition;
            let rows = counts.get(partition).copied().unwrap_or_default();
            if let Some(fault) = self.miscount(partition, rows) {
                wrong.insert(partition.to_owned(), vec![fault]);
            }
        }
        if wrong.is_empty() {
            return Ok(counts);
        }
        run(&format!("drop table {relation}"))?;
        Err(LoadFailure::Partitions(wrong))
    }

    /// Tells whether a partition has other rows than its manifest promises.
    fn miscount(&self, partition: &str, rows: u64) -> Option<Diagnostic> {
        let promised = *self.promises.rows.get(partition)?;
        (promised != rows).then(|| manifest::miscounted(self.source, partition, promised, rows))
    }

    /// Reads the files in memory and hands their rows over.
    fn across(
        &self,
        reader: &dyn Fn() -> Result<ReaderRef, Box<Diagnostic>>,
    ) -> Result<Counts, LoadFailure> {
        let Destination {
            warehouse,
            dialect,
            staging,
        } = self.into;
        let created = create_sql(self.source, self.into, &Macros::of(dialect))?;
        let mut counts = Counts::new();
        let mut wrong: BTreeMap<String, Vec<Diagnostic>> = BTreeMap::new();
        warehouse.begin()?;
        let outcome = warehouse
            .query(&created, Transaction::AsIs, Fetch::Nothing)
            .map_err(LoadFailure::Whole)
            .and_then(|_| {
                for files in self.by_partition() {
                    let reader = reader()?;
                    let partition = files[0].partition;
                    if let Err(faults) = self.read(&reader, files)? {
                        wrong.insert(partition.to_owned(), faults);
                        continue;
                    }
                    // After a fault the others are only looked at.
                    if wrong.is_empty() {
                        let rows = self.hand_over(&reader, staging, files)?;
                        counts.insert(partition.to_owned(), rows);
                        if let Some(fault) = self.miscount(partition, rows) {
                            wrong.insert(partition.to_owned(), vec![fault]);
                        }
                    }
                }
                if wrong.is_empty() {
                    return Ok(());
                }
                Err(LoadFailure::Partitions(std::mem::take(&mut wrong)))
            });
        match outcome {
            Ok(()) => {
                warehouse.commit()?;
                Ok(counts)
            }
            Err(failure) => {
                // What failed first is worth more than a failure to undo it.
                let _ = warehouse.rollback();
                Err(failure)
            }
        }
    }

    /// The files, by partition.
    fn by_partition(&self) -> impl Iterator<Item = &[Located<'_>]> {
        self.files.chunk_by(|a, b| a.partition == b.partition)
    }

    /// Reads one partition into the table `landing` of the database in memory.
    fn read(&self, reader: &Reader, files: &[Located<'_>]) -> Result<Judgement, Box<Diagnostic>> {
        let sql = self.read_sql(
            reader.macros(),
            "landing_create",
            "landing",
            files,
            Typing::Portable,
        )?;
        let Err(error) = reader.execute(&sql) else {
            return Ok(Ok(()));
        };
        let mut faults = Vec::new();
        for file in files {
            faults.extend(faults::of_file(self.source, file, reader));
        }
        if faults.is_empty() {
            faults.push(faults::in_its_words(self.source, files, &error));
        }
        Ok(Err(faults))
    }

    /// Copies the table `landing` of the database in memory into the target's.
    fn hand_over(
        &self,
        reader: &Reader,
        staging: &Relation,
        files: &[Located<'_>],
    ) -> Result<u64, LoadFailure> {
        let partition = files[0].partition;
        let mut from = 0;
        let mut loaded = 0;
        loop {
            let args = ["landing".into(), from.into(), (from + CHUNK).into()];
            let sql = reader.macros().sql("landing_rows", &args)?;
            let rows = reader.stored(&sql).map_err(|e| sql::told(&e))?;
            if rows.rows.is_empty() {
                return Ok(loaded);
            }
            let loaded_before = loaded;
            loaded += rows.rows.len() as u64;
            if let Err(refused) = self.into.warehouse.load(staging, &rows) {
                if refused.code != Code::Database {
                    return Err(refused.into());
                }
                let note = format!(
                    "while the {} `{partition}` of the source `{}` was loaded",
                    self.source.cut.as_str(),
                    self.source.name
                );
                let fault = faults::refused(self.source, files, loaded_before, *refused).note(note);
                let faults = BTreeMap::from([(partition.to_owned(), vec![fault])]);
                return Err(LoadFailure::Partitions(faults));
            }
            from += CHUNK;
        }
    }

    /// Finds the partitions that made a statement fail.
    fn blame(&self, reader: &Reader, failure: Box<Diagnostic>) -> LoadFailure {
        let mut wrong = BTreeMap::new();
        for files in self.by_partition() {
            match self.read(reader, files) {
                Ok(Ok(())) => {}
                Ok(Err(faults)) => drop(wrong.insert(files[0].partition.to_owned(), faults)),
                Err(fault) => return LoadFailure::Whole(fault),
            }
        }
        if wrong.is_empty() {
            return LoadFailure::Whole(failure);
        }
        LoadFailure::Partitions(wrong)
    }

    fn read_sql(
        &self,
        macros: &Macros,
        name: &str,
        relation: &str,
        files: &[Located<'_>],
        typing: Typing,
    ) -> Result<String, Box<Diagnostic>> {
        let parts = sql::parts_json(self.source, files, typing);
        let columns = sql::columns_json(self.source, typing);
        let options = sql::options_json(self.source, typing);
        macros.sql(name, &[relation.into(), parts.into(), columns, options])
    }

    fn count_args(&self, relation: &str) -> [Json; 3] {
        let field = self.source.field;
        let column = sql::columns_json(self.source, Typing::Declared)[field].clone();
        let name = self.files.first().map_or("", |file| file.partition);
        let pattern = match self.source.columns[field].kind {
            Kind::Date | Kind::Timestamp | Kind::TimestampTz => match name.len() {
                4 => sql::literal("%Y").into(),
                7 => sql::literal("%Y-%m").into(),
                10 => sql::literal("%Y-%m-%d").into(),
                _ => sql::literal("%Y-%m-%dT%H").into(),
            },
            _ => Json::Null,
        };
        [relation.into(), column, pattern]
    }
}
