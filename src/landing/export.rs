//! Rows on their way out: into a copy at hand first, then into the source's location, with a manifest.
//!
//! A file that holds already what is to be written is left alone, so its time and tag stay, and whoever
//! reads it has nothing to do.

use std::fs::File;
use std::io::{BufWriter, Cursor, Read, Seek, SeekFrom, Write};

use sha2::{Digest, Sha256};

use super::list::{self, Surroundings};
use super::manifest::{Column, Listed, Manifest, NAME};
use super::spec::{Compression, CsvOptions, FileSource, Format, Header};
use crate::diagnostic::{Code, Diagnostic};

/// What the file of a partition is called, where the location has a `*`.
const STEM: &str = "part-000";

/// The CSV that is written.
const WRITTEN: CsvOptions = CsvOptions {
    delimiter: b',',
    header: Header::Named,
    quote: b'"',
    escape: b'"',
    null: String::new(),
    compression: Compression::Auto,
};

/// How many bytes are written down at once: the database hands out a row at a time.
const CHUNK: usize = 64 * 1024;

/// Rows of CSV that were handed out, at hand until they are put.
pub struct Spool {
    file: BufWriter<File>,
    hash: Sha256,
    /// Whether the last byte lies within quotes.
    quoted: bool,
    lines: u64,
}

impl Spool {
    /// Makes an empty one, in the system's folder for such files.
    ///
    /// # Errors
    /// What the file system says.
    pub fn new() -> std::io::Result<Spool> {
        Ok(Spool {
            file: BufWriter::with_capacity(CHUNK, tempfile::tempfile()?),
            hash: Sha256::new(),
            quoted: false,
            lines: 0,
        })
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// What the file system says.
    pub fn take(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        for byte in bytes {
            match byte {
                b'"' => self.quoted = !self.quoted,
                b'\n' if !self.quoted => self.lines += 1,
                _ => {}
            }
        }
        self.hash.update(bytes);
        self.file.write_all(bytes)
    }

    /// The rows below the header.
    fn rows(&self) -> u64 {
        self.lines.saturating_sub(1)
    }
}

/// What became of a partition's rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// How many there are.
    pub rows: u64,
    /// The SHA-256 of the file, in hexadecimal.
    pub checksum: String,
    /// Whether the file was not there with these bytes before.
    pub changed: bool,
}

/// The path of a partition's file.
///
/// # Errors
/// A location whose folder is not known, or whose files are not written here.
pub fn place(source: &FileSource, partition: &str) -> Result<String, Diagnostic> {
    let plain = matches!(&source.format, Format::Csv(options) if *options == WRITTEN);
    let path = source.location.pattern.path_of(partition, STEM);
    match path.filter(|path| plain && !path.ends_with(".gz")) {
        Some(path) => Ok(match &source.location.bucket {
            Some(bucket) => format!("s3://{bucket}/{path}"),
            None => path,
        }),
        None => {
            let message = format!(
                "the source `{}` is exported to, and its location `{}` does not say which file of CSV to write",
                source.name, source.location.text
            );
            Err(Diagnostic::error(Code::BadConfig, message)
                .at(source.span.clone())
                .help("let it end like orders/day={day}/*.csv, with CSV as it is by default"))
        }
    }
}

/// Puts a partition's file in its place, and the manifest beside it; what is there already stays.
///
/// # Errors
/// As [`place`], and what the file system or the bucket answered.
pub fn put(
    source: &FileSource,
    around: Surroundings<'_>,
    partition: &str,
    mut spool: Spool,
) -> Result<Written, Diagnostic> {
    let path = place(source, partition)?;
    let checksum = list::hex(&spool.hash.clone().finalize());
    let rows = spool.rows();
    let written = |changed| Written {
        rows,
        checksum: checksum.clone(),
        changed,
    };
    if let Some(listed) = listed(source, around, &path)?
        && listed.sha256.as_deref() == Some(&checksum)
        && there(source, around, &path)?.is_some_and(|found| found == checksum)
    {
        return Ok(written(false));
    }
    let rewound = spool.file.seek(SeekFrom::Start(0));
    rewound.map_err(|error| list::failure(source, "cannot read back", &path, &error))?;
    let manifest = document(source, &path, rows, &checksum, None);
    write(source, around, &path, spool.file.get_mut(), &manifest)?;
    Ok(written(true))
}

/// Copies the file of a partition into a later one, and marks it in the manifest.
///
/// Returns `None` where the earlier one has no file.
///
/// # Errors
/// As [`put`].
pub fn carry(
    source: &FileSource,
    around: Surroundings<'_>,
    from: &str,
    to: &str,
) -> Result<Option<Written>, Diagnostic> {
    let (origin, path) = (place(source, from)?, place(source, to)?);
    let mut spool = Spool::new().map_err(|e| list::failure(source, "cannot copy", &origin, &e))?;
    if !list::read_at(source, around, &origin, |bytes| spool.take(bytes))? {
        return Ok(None);
    }
    let checksum = list::hex(&spool.hash.clone().finalize());
    let rewound = spool.file.seek(SeekFrom::Start(0));
    rewound.map_err(|error| list::failure(source, "cannot read back", &origin, &error))?;
    let manifest = document(source, &path, spool.rows(), &checksum, Some(from));
    write(source, around, &path, spool.file.get_mut(), &manifest)?;
    Ok(Some(Written {
        rows: spool.rows(),
        checksum,
        changed: true,
    }))
}

/// The folder of a path, with its last `/`, and the name in it.
fn split(path: &str) -> (&str, &str) {
    path.split_at(path.rfind('/').map_or(0, |slash| slash + 1))
}

/// What the manifest beside a file says of it, where it says of no other.
fn listed(
    source: &FileSource,
    around: Surroundings<'_>,
    path: &str,
) -> Result<Option<Listed>, Diagnostic> {
    let (folder, name) = split(path);
    let texts = list::texts(source, around, &[format!("{folder}{NAME}")])?;
    let text = texts.into_iter().next().flatten();
    let manifest = text.and_then(|text| serde_json::from_str::<Manifest>(&text).ok());
    let mut files = manifest.map(|manifest| manifest.files).unwrap_or_default();
    Ok(match files.len() {
        1 => files.pop().filter(|listed| listed.path == name),
        _ => None,
    })
}

/// The checksum of the file at a path; `None` where there is none.
fn there(
    source: &FileSource,
    around: Surroundings<'_>,
    path: &str,
) -> Result<Option<String>, Diagnostic> {
    let mut hash = Sha256::new();
    let found = list::read_at(source, around, path, |bytes| {
        hash.update(bytes);
        Ok(())
    })?;
    Ok(found.then(|| list::hex(&hash.finalize())))
}

fn document(
    source: &FileSource,
    path: &str,
    rows: u64,
    checksum: &str,
    carried_from: Option<&str>,
) -> String {
    let columns = source.columns.iter().enumerate();
    let columns = columns.filter(|(at, _)| *at != source.field);
    let manifest = Manifest {
        files: vec![Listed {
            path: split(path).1.to_owned(),
            rows: Some(rows),
            sha256: Some(checksum.to_owned()),
        }],
        columns: columns
            .map(|(_, column)| Column {
                name: column.name.clone(),
                data_type: column.data_type.clone(),
            })
            .collect(),
        carried_from: carried_from.map(str::to_owned),
    };
    let text = serde_json::to_string_pretty(&manifest).expect("a manifest is plain JSON");
    format!("{text}\n")
}

/// The file first: until its manifest is there too, readers refuse the two as they disagree.
fn write(
    source: &FileSource,
    around: Surroundings<'_>,
    path: &str,
    file: &mut dyn Read,
    manifest: &str,
) -> Result<(), Diagnostic> {
    let beside = format!("{}{NAME}", split(path).0);
    let mut text = Cursor::new(manifest.as_bytes());
    let mut files: [(String, &mut dyn Read); 2] = [(path.to_owned(), file), (beside, &mut text)];
    list::write(source, around, &mut files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_counted_whatever_their_values_hold() {
        let mut spool = Spool::new().expect("a file");
        for piece in ["id,title\n1,\"two\nlines \"", "\"quoted\"\"\"\n2,x\n"] {
            spool.take(piece.as_bytes()).expect("room");
        }
        assert_eq!(spool.rows(), 2);
    }
}
