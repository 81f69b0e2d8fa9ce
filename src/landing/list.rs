//! The files of a location: which there are, their checksums, and copies of them at hand.
//!
//! Folders and buckets go one way, through object_store, which only this file knows.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::{Stream, StreamExt, TryStreamExt};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::local::LocalFileSystem;
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt, RetryConfig, WriteMultipart};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::pattern;
use super::spec::{Cut, FileSource, Location};
use crate::diagnostic::{Code, Diagnostic};

/// What finding files takes beside their location.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// The project's root, which folders are relative to.
    pub root: &'a Path,
    /// The environment: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, `AWS_ENDPOINT_URL` and the like.
    pub environment: &'a BTreeMap<String, String>,
}

/// One file of a partition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileEntry {
    /// The partition or the batch, as its path writes it, such as `2026-11-05`.
    pub partition: String,
    /// The path as users see it: below the project's root, absolute, or `s3://bucket/..`.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// When it was last written.
    pub modified: jiff::Timestamp,
    /// The store's own tag of this version.
    pub etag: Option<String>,
}

impl FileEntry {
    /// Tells whether the store shows the same file still, as far as size and tag tell, or the time
    /// where there is no tag: a bucket's listing may have it to the millisecond, and a look not.
    fn is_same(&self, now: &object_store::ObjectMeta) -> bool {
        let same = match (&self.etag, &now.e_tag) {
            (Some(before), Some(now)) => before == now,
            _ => self.modified == written_at(now),
        };
        same && self.size == now.size
    }
}

fn written_at(object: &object_store::ObjectMeta) -> jiff::Timestamp {
    let modified = object.last_modified;
    let nanoseconds = i32::try_from(modified.timestamp_subsec_nanos()).unwrap_or_default();
    jiff::Timestamp::new(modified.timestamp(), nanoseconds).unwrap_or_default()
}

/// What a look at a location found.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// The files, by partition and path.
    pub files: Vec<FileEntry>,
    /// Warnings of files that the pattern means, in what is no partition.
    pub strange: Vec<Diagnostic>,
}

/// Lists the files of a source, in one listing of what the pattern begins with.
///
/// A folder that does not exist holds no files.
///
/// # Errors
/// What the file system or the bucket answered.
pub fn list(source: &FileSource, around: Surroundings<'_>) -> Result<Listing, Diagnostic> {
    let fail = |error: &dyn std::error::Error| {
        failure(source, "cannot list", &source.location.text, error)
    };
    let runtime = runtime().map_err(|e| fail(&e))?;
    let Some(store) = open(&source.location, around).map_err(|e| fail(&e))? else {
        return Ok(Listing::default());
    };
    let found = runtime.block_on(store.list()).map_err(|e| fail(&e))?;
    let mut listing = Listing::default();
    let mut strange: BTreeMap<String, String> = BTreeMap::new();
    for object in found {
        let key = store.key_text(&object.location);
        let Some(partition) = source.location.pattern.partition_of(&key) else {
            continue;
        };
        if source.cut == Cut::Partition && pattern::bounds(partition).is_none() {
            strange
                .entry(partition.to_owned())
                .or_insert_with(|| store.shown(&key));
            continue;
        }
        let modified = written_at(&object);
        listing.files.push(FileEntry {
            partition: partition.to_owned(),
            path: store.shown(&key),
            size: object.size,
            modified,
            etag: object.e_tag,
        });
    }
    listing.files.sort();
    for (partition, path) in strange {
        let message = format!("`{path}` is not read: `{partition}` names no partition");
        let warning = Diagnostic::warning(Code::BadConfig, message)
            .at(source.span.clone())
            .help("a partition is written as `2026`, `2026-11`, `2026-11-05` or `2026-11-05T13`");
        listing.strange.push(warning);
    }
    Ok(listing)
}

/// The files that are no more what a listing has shown.
///
/// # Errors
/// What the file system or the bucket answered.
pub(super) fn replaced<'f>(
    source: &FileSource,
    around: Surroundings<'_>,
    files: &'f [FileEntry],
) -> Result<Vec<&'f FileEntry>, Diagnostic> {
    let fail =
        |path: &str, error: &dyn std::error::Error| failure(source, "cannot look at", path, error);
    let whole = &source.location.text;
    let runtime = runtime().map_err(|e| fail(whole, &e))?;
    let Some(store) = open(&source.location, around).map_err(|e| fail(whole, &e))? else {
        return Ok(files.iter().collect());
    };
    let store = &store;
    let looks = futures_util::stream::iter(files)
        .map(|file| async move {
            match store.look(&file.path).await {
                Ok(now) => Ok((!file.is_same(&now)).then_some(file)),
                Err(object_store::Error::NotFound { .. }) => Ok(Some(file)),
                Err(error) => Err(fail(&file.path, &error)),
            }
        })
        .buffered(AT_ONCE);
    let looked: Vec<Option<&FileEntry>> = runtime.block_on(looks.try_collect())?;
    Ok(looked.into_iter().flatten().collect())
}

/// The SHA-256 of a file's bytes, in hexadecimal.
///
/// # Errors
/// What the file system or the bucket answered.
pub fn checksum(
    source: &FileSource,
    around: Surroundings<'_>,
    file: &FileEntry,
) -> Result<String, Diagnostic> {
    let mut hash = Sha256::new();
    read_through(source, around, &[file], |_, bytes| {
        hash.update(bytes);
        Ok(())
    })?;
    Ok(hex(&hash.finalize()))
}

/// As [`checksum`], of a file at hand.
pub(super) fn checksum_of(path: &Path) -> std::io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let mut hash = Sha256::new();
    let mut piece = vec![0; 64 * 1024];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hex(&hash.finalize())),
            length => hash.update(&piece[..length]),
        }
    }
}

/// The version of a partition: a text that changes with the paths and the contents of its files only.
///
/// `files` gives each file's path and checksum, in any order.
pub fn version<'f>(files: impl IntoIterator<Item = (&'f str, &'f str)>) -> String {
    let mut files: Vec<(&str, &str)> = files.into_iter().collect();
    files.sort_unstable();
    let mut hash = Sha256::new();
    for (path, checksum) in files {
        // Lengths first, so that no two lists are the same bytes.
        hash.update((path.len() as u64).to_le_bytes());
        hash.update(path.as_bytes());
        hash.update((checksum.len() as u64).to_le_bytes());
        hash.update(checksum.as_bytes());
    }
    hex(&hash.finalize())
}

/// Files where SQL can read them.
pub(super) struct Local {
    /// One path a file, in the order of the files.
    pub paths: Vec<PathBuf>,
    /// Holds the copies.
    _copies: Option<TempDir>,
}

/// Brings files within reach: those of a folder stay where they are, those of a bucket are copied.
pub(super) fn local(
    source: &FileSource,
    around: Surroundings<'_>,
    files: &[FileEntry],
) -> Result<Local, Diagnostic> {
    // SQL's readers would take these characters of a name for a pattern.
    let plain = |path: &Path| !path.to_string_lossy().contains(['*', '?', '[']);
    let mut paths: Vec<PathBuf> = files
        .iter()
        .map(|file| around.root.join(&file.path))
        .collect();
    let far = |at: usize, paths: &[PathBuf]| source.location.bucket.is_some() || !plain(&paths[at]);
    let wanted: Vec<usize> = (0..files.len()).filter(|at| far(*at, &paths)).collect();
    if wanted.is_empty() {
        return Ok(Local {
            paths,
            _copies: None,
        });
    }
    let fail = |error: &dyn std::error::Error| {
        failure(source, "cannot copy", &source.location.text, error)
    };
    let folder = tempfile::Builder::new()
        .prefix("daygrain-landing-")
        .tempdir()
        .map_err(|e| fail(&e))?;
    let copied: Vec<&FileEntry> = wanted.iter().map(|at| &files[*at]).collect();
    let mut open: Option<(usize, std::fs::File)> = None;
    for (count, at) in wanted.iter().enumerate() {
        let suffix: &str =
            &files[*at].path[files[*at].path.rfind('/').map_or(0, |slash| slash + 1)..];
        let suffix = suffix.find('.').map_or("", |dot| &suffix[dot..]);
        let plain: String = suffix
            .chars()
            .filter(|c| c.is_ascii_alphanumeric() || *c == '.')
            .collect();
        paths[*at] = folder.path().join(format!("{count}{plain}"));
        std::fs::File::create(&paths[*at]).map_err(|e| fail(&e))?;
    }
    read_through(source, around, &copied, |index, bytes| {
        let mut file = match open.take() {
            Some((at, file)) if at == index => file,
            _ => std::fs::File::options()
                .append(true)
                .open(&paths[wanted[index]])?,
        };
        file.write_all(bytes)?;
        open = Some((index, file));
        Ok(())
    })?;
    Ok(Local {
        paths,
        _copies: Some(folder),
    })
}

/// How much of a file shows its header.
const HEAD: usize = 256 * 1024;

/// Brings the beginnings of files within reach, as [`local`] does with whole files.
pub(super) fn heads(
    source: &FileSource,
    around: Surroundings<'_>,
    files: &[FileEntry],
) -> Result<Local, Diagnostic> {
    if source.location.bucket.is_none() {
        let paths = files.iter().map(|file| around.root.join(&file.path));
        return Ok(Local {
            paths: paths.collect(),
            _copies: None,
        });
    }
    let fail = |error: &dyn std::error::Error| {
        failure(source, "cannot read", &source.location.text, error)
    };
    let folder = tempfile::Builder::new()
        .prefix("daygrain-landing-")
        .tempdir()
        .map_err(|e| fail(&e))?;
    let runtime = runtime().map_err(|e| fail(&e))?;
    let opened = open(&source.location, around).map_err(|e| fail(&e))?;
    let store = opened.ok_or_else(|| fail(&std::io::Error::from(std::io::ErrorKind::NotFound)))?;
    let all = futures_util::stream::iter(files)
        .map(|file| async { store.head(&file.path).await.map_err(|e| fail(&e)) })
        .buffered(AT_ONCE);
    let heads: Vec<Vec<u8>> = runtime.block_on(all.try_collect())?;
    let mut paths = Vec::new();
    for (count, head) in heads.iter().enumerate() {
        let path = folder.path().join(count.to_string());
        std::fs::write(&path, head).map_err(|e| fail(&e))?;
        paths.push(path);
    }
    Ok(Local {
        paths,
        _copies: Some(folder),
    })
}

/// Reads small texts of the store; `None` for one that is not there.
pub(super) fn texts(
    source: &FileSource,
    around: Surroundings<'_>,
    paths: &[String],
) -> Result<Vec<Option<String>>, Diagnostic> {
    let fail =
        |path: &str, error: &dyn std::error::Error| failure(source, "cannot read", path, error);
    let whole = &source.location.text;
    let runtime = runtime().map_err(|e| fail(whole, &e))?;
    let Some(store) = open(&source.location, around).map_err(|e| fail(whole, &e))? else {
        return Ok(vec![None; paths.len()]);
    };
    // Several at once: a bucket takes its time for each.
    let all = futures_util::stream::iter(paths)
        .map(|path| async {
            let bytes = match store.read(path).await {
                Ok(pieces) => pieces
                    .try_collect::<Vec<_>>()
                    .await
                    .map(|pieces| pieces.concat()),
                Err(object_store::Error::NotFound { .. }) => return Ok(None),
                Err(error) => Err(error),
            };
            let bytes = bytes.map_err(|e| fail(path, &e))?;
            Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
        })
        .buffered(AT_ONCE);
    runtime.block_on(all.try_collect())
}

/// How many small files are asked for at once.
const AT_ONCE: usize = 16;

/// Reads files from their store, piece by piece; `take` gets each piece with its file's index.
fn read_through(
    source: &FileSource,
    around: Surroundings<'_>,
    files: &[&FileEntry],
    mut take: impl FnMut(usize, &[u8]) -> std::io::Result<()>,
) -> Result<(), Diagnostic> {
    let fail =
        |path: &str, error: &dyn std::error::Error| failure(source, "cannot read", path, error);
    let whole = &source.location.text;
    let runtime = runtime().map_err(|e| fail(whole, &e))?;
    let Some(store) = open(&source.location, around).map_err(|e| fail(whole, &e))? else {
        let gone = std::io::Error::from(std::io::ErrorKind::NotFound);
        return Err(fail(whole, &gone));
    };
    for (index, file) in files.iter().enumerate() {
        runtime.block_on(async {
            let bytes = store.read(&file.path).await;
            let mut bytes = bytes.map_err(|e| fail(&file.path, &e))?;
            while let Some(piece) = bytes.next().await {
                let piece = piece.map_err(|e| fail(&file.path, &e))?;
                take(index, &piece).map_err(|e| fail(&file.path, &e))?;
            }
            Ok::<(), Diagnostic>(())
        })?;
    }
    Ok(())
}

/// A folder or a bucket, opened.
struct Store {
    store: Arc<dyn ObjectStore>,
    /// What the store's keys lack of the pattern's paths, with a `/` at the end unless empty.
    before: String,
    /// What a listing is bounded to.
    within: Option<Key>,
    /// `s3://bucket/`, or nothing.
    scheme: String,
}

impl Store {
    async fn list(&self) -> object_store::Result<Vec<object_store::ObjectMeta>> {
        self.store.list(self.within.as_ref()).try_collect().await
    }

    /// A key as the pattern writes it.
    fn key_text(&self, key: &Key) -> String {
        format!("{}{}", self.before, key.as_ref())
    }

    fn shown(&self, path: &str) -> String {
        format!("{}{path}", self.scheme)
    }

    /// The store's key of a path as users see it.
    fn key(&self, shown: &str) -> object_store::Result<Key> {
        let path = shown.strip_prefix(&self.scheme).unwrap_or(shown);
        Ok(Key::parse(path.strip_prefix(&self.before).unwrap_or(path))?)
    }

    async fn look(&self, shown: &str) -> object_store::Result<object_store::ObjectMeta> {
        self.store.head(&self.key(shown)?).await
    }

    async fn read(
        &self,
        shown: &str,
    ) -> object_store::Result<impl Stream<Item = object_store::Result<bytes::Bytes>> + Unpin + use<>>
    {
        Ok(self.store.get(&self.key(shown)?).await?.into_stream())
    }

    /// The first bytes of a file, as far as its header goes.
    async fn head(&self, shown: &str) -> object_store::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut pieces = self.read(shown).await?;
        while bytes.len() < HEAD
            && let Some(piece) = pieces.next().await
        {
            bytes.extend_from_slice(&piece?);
        }
        Ok(bytes)
    }
}

/// Opens the place of a location; `None` where the folder does not exist.
fn open(location: &Location, around: Surroundings<'_>) -> object_store::Result<Option<Store>> {
    let prefix = &location.pattern.prefix;
    let Some(bucket) = &location.bucket else {
        let folder = around.root.join(prefix);
        if !folder.is_dir() {
            return Ok(None);
        }
        return Ok(Some(Store {
            store: Arc::new(LocalFileSystem::new_with_prefix(folder)?),
            before: prefix.clone(),
            within: None,
            scheme: String::new(),
        }));
    };
    let retries = RetryConfig {
        max_retries: 4,
        retry_timeout: std::time::Duration::from_secs(30),
        ..RetryConfig::default()
    };
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_retry(retries);
    for (name, value) in around.environment {
        let name = name.to_ascii_lowercase();
        if name.starts_with("aws_")
            && let Ok(key) = name.parse::<AmazonS3ConfigKey>()
        {
            builder = builder.with_config(key, value);
        }
    }
    let store = builder.build()?;
    let within = Key::parse(prefix.trim_end_matches('/'))?;
    Ok(Some(Store {
        store: Arc::new(store),
        before: String::new(),
        within: (!within.as_ref().is_empty()).then_some(within),
        scheme: format!("s3://{bucket}/"),
    }))
}

/// Reads the file at a path, piece by piece; tells whether it is there.
pub(super) fn read_at(
    source: &FileSource,
    around: Surroundings<'_>,
    path: &str,
    mut take: impl FnMut(&[u8]) -> std::io::Result<()>,
) -> Result<bool, Diagnostic> {
    let fail = |error: &dyn std::error::Error| failure(source, "cannot read", path, error);
    let runtime = runtime().map_err(|e| fail(&e))?;
    let Some(store) = open(&source.location, around).map_err(|e| fail(&e))? else {
        return Ok(false);
    };
    runtime.block_on(async {
        let mut bytes = match store.read(path).await {
            Ok(bytes) => bytes,
            Err(object_store::Error::NotFound { .. }) => return Ok(false),
            Err(error) => return Err(fail(&error)),
        };
        while let Some(piece) = bytes.next().await {
            let piece = piece.map_err(|e| fail(&e))?;
            take(&piece).map_err(|e| fail(&e))?;
        }
        Ok(true)
    })
}

/// Writes files, one after the other; each appears whole or not at all.
///
/// What a path is to hold is read from `contents`, piece by piece, so any size needs little memory.
pub(super) fn write(
    source: &FileSource,
    around: Surroundings<'_>,
    files: &mut [(String, &mut dyn Read)],
) -> Result<(), Diagnostic> {
    let fail =
        |path: &str, error: &dyn std::error::Error| failure(source, "cannot write", path, error);
    let whole = &source.location.text;
    if source.location.bucket.is_none() {
        let folder = around.root.join(&source.location.pattern.prefix);
        std::fs::create_dir_all(folder).map_err(|e| fail(whole, &e))?;
    }
    let runtime = runtime().map_err(|e| fail(whole, &e))?;
    let store = open(&source.location, around).map_err(|e| fail(whole, &e))?;
    let store = store.expect("the folder was made above");
    for (path, contents) in files {
        let sent = runtime.block_on(async {
            let upload = store.store.put_multipart(&store.key(path)?).await?;
            let mut upload = WriteMultipart::new_with_chunk_size(upload, PIECE);
            let mut piece = vec![0; PIECE];
            loop {
                let length = match contents.read(&mut piece) {
                    Ok(0) => break,
                    Ok(length) => length,
                    Err(error) => {
                        upload.abort().await?;
                        return Err(object_store::Error::Generic {
                            store: "the copy at hand",
                            source: Box::new(error),
                        });
                    }
                };
                upload.wait_for_capacity(SENT_AT_ONCE).await?;
                upload.write(&piece[..length]);
            }
            upload.finish().await.map(drop)
        });
        sent.map_err(|e| fail(path, &e))?;
    }
    Ok(())
}

/// How much is sent to a store in one piece: the least that S3 takes.
const PIECE: usize = 5 << 20;

/// How many pieces are under way at once.
const SENT_AT_ONCE: usize = 2;

fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}

/// Names the location, and keeps the words of the store and of what is below it.
pub(super) fn failure(
    source: &FileSource,
    what: &str,
    path: &str,
    error: &dyn std::error::Error,
) -> Diagnostic {
    let mut words = error.to_string();
    let mut below = error.source();
    while let Some(cause) = below {
        let text = cause.to_string();
        if !words.contains(&text) {
            words = format!("{words}: {text}");
        }
        below = cause.source();
    }
    let message = format!("source `{}`: {what} `{path}`", source.name);
    Diagnostic::error(Code::Io, message)
        .at(source.span.clone())
        .note(words)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
