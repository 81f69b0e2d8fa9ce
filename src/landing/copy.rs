//! Files of a stage, which the target copies into the table itself.
//!
//! The files are found and looked at here, as far as their headers; their rows never pass through. The
//! target says of each file what it has loaded, and that is held against what was asked for.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::faults;
use super::layout::{self, Layout};
use super::list::{self, FileEntry, Surroundings};
use super::load::{Counts, Destination, LoadFailure, create_sql};
use super::manifest;
use super::spec::{CsvOptions, FileSource, Header, Stage};
use super::sql::{self, Macros, Typing};
use crate::diagnostic::{Code, Diagnostic};
use crate::jinja::port::{Fetch, Transaction};
use crate::table::{Datum, Table};

/// How many files one statement may name.
const MOST_FILES: usize = 1000;

/// Copies files into a new staging table; gives the rows of each partition.
pub(super) fn copy(
    source: &FileSource,
    (stage, options): (&Stage, &CsvOptions),
    around: Surroundings<'_>,
    files: &[FileEntry],
    into: Destination<'_>,
) -> Result<Counts, LoadFailure> {
    let heads = list::heads(source, around, files).map_err(Box::new)?;
    let checksum = |at: usize, _: &str| list::checksum(source, around, &files[at]);
    let promises = manifest::promises(source, around, files, &checksum).map_err(Box::new)?;
    let mut wrong = promises.wrong;
    let mut groups: BTreeMap<(Layout, Option<&str>), Vec<&FileEntry>> = BTreeMap::new();
    for (file, head) in files.iter().zip(&heads.paths) {
        match layout::of_head(source, options, &file.path, head) {
            Ok(layout) => {
                let holds_field = layout
                    .fields
                    .iter()
                    .any(|it| it.column == Some(source.field));
                let partition = (!holds_field).then_some(file.partition.as_str());
                groups.entry((layout, partition)).or_default().push(file);
            }
            Err(faults) => wrong
                .entry(file.partition.clone())
                .or_default()
                .extend(faults),
        }
    }
    if !wrong.is_empty() {
        return Err(LoadFailure::Partitions(wrong));
    }
    let work = Copy {
        source,
        stage,
        options,
        macros: Macros::of(into.dialect),
        into,
    };
    work.run(&create_sql(source, into, &work.macros)?)?;
    let mut counts = Counts::new();
    for ((layout, partition), files) in &groups {
        for files in files.chunks(MOST_FILES) {
            work.group(layout, *partition, files, &mut counts)?;
        }
    }
    work.are_in_place(&counts)?;
    for (partition, promised) in &promises.rows {
        let rows = counts.get(partition).copied().unwrap_or_default();
        if *promised != rows {
            let fault = manifest::miscounted(source, partition, *promised, rows);
            wrong.insert(partition.clone(), vec![fault]);
        }
    }
    match wrong.is_empty() {
        true => Ok(counts),
        false => Err(LoadFailure::Partitions(wrong)),
    }
}

struct Copy<'a> {
    source: &'a FileSource,
    stage: &'a Stage,
    options: &'a CsvOptions,
    macros: Macros,
    into: Destination<'a>,
}

impl Copy<'_> {
    fn run(&self, sql: &str) -> Result<(), Box<Diagnostic>> {
        let into = self.into.warehouse;
        into.query(sql, Transaction::AsIs, Fetch::Nothing).map(drop)
    }

    fn fetch(&self, sql: &str) -> Result<Table, Box<Diagnostic>> {
        let into = self.into.warehouse;
        into.query(sql, Transaction::AsIs, Fetch::Rows)
            .map(|outcome| outcome.table)
    }

    fn literal(&self, text: &str) -> String {
        self.into.dialect.string_literal(text)
    }

    /// Copies files of one layout, of one partition where they do not say which.
    fn group(
        &self,
        layout: &Layout,
        partition: Option<&str>,
        files: &[&FileEntry],
        counts: &mut Counts,
    ) -> Result<(), LoadFailure> {
        let relation = self.into.staging.render(self.into.dialect);
        let of_column = |at: usize| {
            let name = &self.source.columns[at].name;
            self.into.dialect.quote_identifier(name)
        };
        let columns: Vec<Json> = (layout.fields.iter())
            .filter_map(|field| Some(of_column(field.column?).into()))
            .collect();
        for gzip in [false, true] {
            let packed = |file: &&&FileEntry| sql::is_gzip(self.source, &file.path) == gzip;
            let some: Vec<&FileEntry> = files.iter().filter(packed).copied().collect();
            if some.is_empty() {
                continue;
            }
            let names = some.iter().map(|file| self.name_of(file));
            let names: Vec<Json> = names.map(|name| self.literal(name).into()).collect();
            let sql = self.macros.sql(
                "landing_copy",
                &[
                    relation.clone().into(),
                    columns.clone().into(),
                    self.literal(&self.stage.folder).into(),
                    names.into(),
                    self.options(gzip),
                ],
            )?;
            let told = self
                .fetch(&sql)
                .map_err(|refused| self.refused(&some, refused))?;
            self.read_answer(&told, &some, counts)?;
        }
        if let Some(partition) = partition {
            let key = sql::bounds_json(self.source, partition, Typing::Declared);
            let args = [
                relation.into(),
                of_column(self.source.field).into(),
                key["key"].clone(),
            ];
            self.run(&self.macros.sql("landing_fill_partition", &args)?)?;
        }
        Ok(())
    }

    /// The path of a file below the stage's folder.
    fn name_of<'f>(&self, file: &'f FileEntry) -> &'f str {
        self.source.location.below_prefix(&file.path)
    }

    fn options(&self, gzip: bool) -> Json {
        let one = |byte: u8| self.literal(&char::from(byte).to_string());
        let CsvOptions {
            delimiter,
            header,
            quote,
            escape,
            null,
            ..
        } = self.options;
        json!({
            "delimiter": one(*delimiter),
            "quote": one(*quote),
            "escape": (escape != quote).then(|| one(*escape)),
            "null": (!null.is_empty()).then(|| self.literal(null)),
            "header_lines": if *header == Header::Named { 1 } else { 0 },
            "compression": if gzip { "gzip" } else { "none" },
        })
    }

    /// Holds what the target says of each file against what was asked for.
    fn read_answer(
        &self,
        told: &Table,
        files: &[&FileEntry],
        counts: &mut Counts,
    ) -> Result<(), LoadFailure> {
        let at = |name: &str| {
            let mut columns = told.columns.iter();
            columns.position(|column| column.name.eq_ignore_ascii_case(name))
        };
        let text = |row: &[Datum], name: &str| at(name).map(|at| row[at].to_text());
        let number = |row: &[Datum], name: &str| text(row, name)?.parse::<u64>().ok();
        let mut wrong: BTreeMap<String, Vec<Diagnostic>> = BTreeMap::new();
        for file in files {
            let name = self.name_of(file);
            let of_file =
                |row: &&Vec<Datum>| text(row, "file").is_some_and(|told| is_at(&told, name));
            let row = told.rows.iter().find(of_file);
            let status = row.and_then(|row| text(row, "status"));
            let rows = row.and_then(|row| number(row, "rows_loaded"));
            let parsed = row.and_then(|row| number(row, "rows_parsed"));
            match (status.as_deref(), rows) {
                (Some("LOADED"), Some(rows)) if parsed == Some(rows) => {
                    *counts.entry(file.partition.clone()).or_insert(0) += rows;
                }
                (status, _) => {
                    let status = status.unwrap_or("no word of it");
                    let message = format!("`{}` was not copied as a whole: {status}", file.path);
                    let mut fault = self.fault(message);
                    let first = row.and_then(|row| text(row, "first_error"));
                    fault.notes.extend(first.filter(|words| !words.is_empty()));
                    wrong.entry(file.partition.clone()).or_default().push(fault);
                }
            }
        }
        match wrong.is_empty() {
            true => Ok(()),
            false => Err(LoadFailure::Partitions(wrong)),
        }
    }

    /// Finds the file, and the place in it, that the target's words name; where they name none, each
    /// partition may be at fault.
    fn refused(&self, files: &[&FileEntry], refused: Box<Diagnostic>) -> LoadFailure {
        if refused.code != Code::Database {
            return refused.into();
        }
        let place = Place::read(&refused.message);
        let named = place.as_ref().and_then(|place| {
            let mut files = files.iter();
            files.find(|file| is_at(place.file, self.name_of(file)))
        });
        let first = refused.message.lines().next().unwrap_or_default();
        let mut wrong = BTreeMap::new();
        if let (Some(place), Some(file)) = (&place, named) {
            let message = format!(
                "`{}`, line {}, character {}: {first}",
                file.path, place.line, place.character
            );
            let mut fault = self.fault(message);
            fault.notes.extend(place.row.map(str::to_owned));
            wrong.insert(file.partition.clone(), vec![fault]);
        } else {
            for file in files {
                let fault = Diagnostic::clone(&refused).note(faults::of_source(self.source));
                wrong.entry(file.partition.clone()).or_insert(vec![fault]);
            }
        }
        LoadFailure::Partitions(wrong)
    }

    /// Refuses rows that are in another partition than their file.
    fn are_in_place(&self, counts: &Counts) -> Result<(), LoadFailure> {
        let mut wrong = BTreeMap::new();
        let relation = self.into.staging.render(self.into.dialect);
        let field = &self.source.columns[self.source.field].name;
        let field = self.into.dialect.quote_identifier(field);
        let partitions: Vec<&String> = counts.keys().collect();
        for some in partitions.chunks(MOST_FILES) {
            let bounds = some.iter().map(|partition| {
                Json::from(sql::bounds_json(self.source, partition, Typing::Declared))
            });
            let bounds: Vec<Json> = bounds.collect();
            let args = [relation.clone().into(), field.clone().into(), bounds.into()];
            let found = self.fetch(&self.macros.sql("landing_count_partitions", &args)?)?;
            for (at, partition) in some.iter().enumerate() {
                let rows = found.rows.first().and_then(|row| row.get(at));
                let rows = rows.and_then(|rows| rows.to_text().parse::<u64>().ok());
                if rows != counts.get(*partition).copied() {
                    let message = format!(
                        "the files of `{partition}` hold {} rows, and {} have this `{}`",
                        counts[*partition],
                        rows.unwrap_or_default(),
                        self.source.location.pattern.field
                    );
                    wrong.insert((*partition).clone(), vec![self.fault(message)]);
                }
            }
        }
        match wrong.is_empty() {
            true => Ok(()),
            false => Err(LoadFailure::Partitions(wrong)),
        }
    }

    fn fault(&self, message: String) -> Diagnostic {
        Diagnostic::error(Code::BadCsv, message).note(faults::of_source(self.source))
    }
}

/// Tells whether the target means a file, of which it may write the whole address.
fn is_at(told: &str, name: &str) -> bool {
    let before = told.strip_suffix(name);
    before.is_some_and(|before| before.is_empty() || before.ends_with('/'))
}

/// The place that the target's words name.
#[derive(Debug, PartialEq, Eq)]
struct Place<'m> {
    file: &'m str,
    line: u64,
    character: u64,
    /// The line about the row and its column.
    row: Option<&'m str>,
}

impl<'m> Place<'m> {
    /// Reads `File '..', line 3, character 5`, and the line `Row 2, column ..` below it.
    fn read(message: &'m str) -> Option<Place<'m>> {
        let (_, rest) = message.split_once("File '")?;
        // A name may hold a quote of its own.
        let (file, rest) = rest.split_once("', line ")?;
        let (line, rest) = rest.split_once(", character ")?;
        let end = rest.find(|c: char| !c.is_ascii_digit());
        let (character, rest) = rest.split_at(end.unwrap_or(rest.len()));
        let mut below = rest.lines().map(str::trim);
        Some(Place {
            file,
            line: line.parse().ok()?,
            character: character.parse().ok()?,
            row: below.find(|line| line.starts_with("Row ")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_a_fault_is_read_from_the_targets_words() {
        let message = "Numeric value 'x' is not recognized\n  File 'a/it's.csv', line 3, character 5\n  Row 2, column \"T\"[\"AMOUNT\":2]\n  If you would like to continue";
        let place = Place::read(message).expect("a place");
        assert_eq!(
            (place.file, place.line, place.character),
            ("a/it's.csv", 3, 5)
        );
        assert_eq!(place.row, Some("Row 2, column \"T\"[\"AMOUNT\":2]"));
        assert_eq!(Place::read("Object 'T' does not exist"), None);
    }

    #[test]
    fn a_file_is_known_by_the_end_of_its_address() {
        assert!(is_at("s3://b/orders/d=1/a.csv", "d=1/a.csv"));
        assert!(is_at("d=1/a.csv", "d=1/a.csv"));
        assert!(!is_at("s3://b/orders/d=1/aa.csv", "a.csv"));
    }
}
