//! The manifest that an exporter may write beside its files: how many rows each has, and its checksum.
//!
//! `_manifest.json` in the files' folder: `{"files": [{"path": "part-000.csv", "rows": 12, "sha256": ".."}]}`.
//! Paths are below that folder; `rows` and `sha256` may lack. A folder with a manifest holds the files
//! that it lists, no more and no less. What daygrain exports has the columns beside, and the partition
//! that was copied where there was no dump of a day.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::faults;
use super::list::{self, FileEntry, Surroundings};
use super::spec::FileSource;
use crate::diagnostic::{Code, Diagnostic};

/// The name of a manifest.
pub(super) const NAME: &str = "_manifest.json";

/// A manifest's document.
#[derive(Deserialize, Serialize)]
pub(super) struct Manifest {
    pub files: Vec<Listed>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<Column>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carried_from: Option<String>,
}

/// One file of a manifest.
#[derive(Deserialize, Serialize)]
pub(super) struct Listed {
    pub path: String,
    pub rows: Option<u64>,
    pub sha256: Option<String>,
}

/// One column of the files.
#[derive(Deserialize, Serialize)]
pub(super) struct Column {
    pub name: String,
    pub data_type: String,
}

/// What manifests promise of partitions.
#[derive(Debug, Default)]
pub(super) struct Promises {
    /// The rows of each partition whose manifests count all its files.
    pub rows: BTreeMap<String, u64>,
    /// What is wrong already, by partition.
    pub wrong: BTreeMap<String, Vec<Diagnostic>>,
}

/// What gives the checksum of a file.
pub(super) type Checksum<'c> = dyn Fn(usize, &str) -> Result<String, Diagnostic> + 'c;

/// Reads the manifests beside some files, and holds the files against them.
///
/// `checksum` gives that of a file, by its place among them and its name in the manifest.
pub(super) fn promises(
    source: &FileSource,
    around: Surroundings<'_>,
    files: &[FileEntry],
    checksum: &Checksum<'_>,
) -> Result<Promises, Diagnostic> {
    let mut folders: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
    for (at, file) in files.iter().enumerate() {
        let folder = &file.path[..file.path.rfind('/').map_or(0, |slash| slash + 1)];
        folders
            .entry((&file.partition, folder))
            .or_default()
            .push(at);
    }
    let paths: Vec<String> = folders
        .keys()
        .map(|(_, folder)| format!("{folder}{NAME}"))
        .collect();
    let texts = list::texts(source, around, &paths)?;
    let mut promises = Promises::default();
    let mut uncounted = Vec::new();
    for (((partition, folder), held), (path, text)) in folders.iter().zip(paths.iter().zip(texts)) {
        let Some(text) = text else {
            uncounted.push((*partition).to_owned());
            continue;
        };
        let mut wrong = Vec::new();
        match serde_json::from_str::<Manifest>(&text) {
            Ok(manifest) => {
                let held: BTreeMap<&str, usize> = held
                    .iter()
                    .map(|&at| (&files[at].path[folder.len()..], at))
                    .collect();
                match check(source, path, &manifest, (&held, checksum), &mut wrong) {
                    Some(rows) => {
                        *promises.rows.entry((*partition).to_owned()).or_default() += rows
                    }
                    None => uncounted.push((*partition).to_owned()),
                }
            }
            Err(error) => {
                let message = format!("`{path}` is no manifest that can be read: {error}");
                let help =
                    "write `{\"files\": [{\"path\": \"..\", \"rows\": 1, \"sha256\": \"..\"}]}`";
                wrong.push(fault(source, message).help(help));
            }
        }
        if !wrong.is_empty() {
            promises
                .wrong
                .entry((*partition).to_owned())
                .or_default()
                .extend(wrong);
        }
    }
    for partition in uncounted {
        promises.rows.remove(&partition);
    }
    Ok(promises)
}

/// Holds a manifest against the files of its folder; gives their rows where all are counted.
fn check(
    source: &FileSource,
    path: &str,
    manifest: &Manifest,
    (held, checksum): (&BTreeMap<&str, usize>, &Checksum<'_>),
    wrong: &mut Vec<Diagnostic>,
) -> Option<u64> {
    let mut rows = Some(0);
    for listed in &manifest.files {
        rows = rows.zip(listed.rows).map(|(sum, more)| sum + more);
        let Some(&at) = held.get(listed.path.as_str()) else {
            let message = format!("`{path}` lists `{}`, which is not there", listed.path);
            wrong.push(fault(source, message));
            continue;
        };
        let Some(promised) = &listed.sha256 else {
            continue;
        };
        match checksum(at, &listed.path) {
            Ok(own) if own.eq_ignore_ascii_case(promised) => {}
            Ok(own) => {
                let message = format!("`{}` is not the file that `{path}` lists", listed.path);
                let note = format!("its SHA-256 is {own}, and {promised} is promised");
                wrong.push(fault(source, message).note(note));
            }
            Err(fault) => wrong.push(fault),
        }
    }
    for name in held.keys() {
        if !manifest.files.iter().any(|listed| listed.path == *name) {
            let message = format!("`{path}` does not list `{name}`");
            let help = "write the manifest again, after the files";
            wrong.push(fault(source, message).help(help));
        }
    }
    rows
}

/// Tells what is wrong with the number of rows that a partition has.
pub(super) fn miscounted(
    source: &FileSource,
    partition: &str,
    promised: u64,
    loaded: u64,
) -> Diagnostic {
    let message = format!(
        "the files of `{partition}` have {loaded} rows, and their manifest promises {promised}"
    );
    fault(source, message)
}

fn fault(source: &FileSource, message: String) -> Diagnostic {
    Diagnostic::error(Code::BadFile, message).note(faults::of_source(source))
}
