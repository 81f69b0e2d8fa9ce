//! The log file, which is put aside when it has grown large.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::plain::{self, Lead};
use super::record::Record;
use super::{FileSettings, Format, Level, Stamp, json};

/// How many old files are kept: `dbt.log.1` is the newest.
const KEPT: usize = 5;

/// An open log file.
pub(super) struct LogFile {
    path: PathBuf,
    format: Format,
    level: Level,
    max_bytes: u64,
    written: u64,
    out: BufWriter<File>,
    line: Vec<u8>,
}

impl LogFile {
    /// Opens the file for appending, making its folder, and writes where this command begins.
    pub(super) fn open(settings: &FileSettings, invocation_id: &str) -> io::Result<LogFile> {
        if let Some(folder) = settings.path.parent() {
            fs::create_dir_all(folder)?;
        }
        let (out, written) = append_to(&settings.path)?;
        let mut file = LogFile {
            path: settings.path.clone(),
            format: settings.format,
            level: settings.level,
            max_bytes: settings.max_bytes,
            written,
            out,
            line: Vec::new(),
        };
        if file.format != Format::Json {
            let bar = "=".repeat(30);
            let time = Timestamp::now().strftime("%H:%M:%S.%6f");
            write!(file.line, "\n\n{bar} {time} | {invocation_id} {bar}\n")?;
            file.put()?;
        }
        Ok(file)
    }

    /// Appends a record; a full disk is no reason to stop a run.
    pub(super) fn record(&mut self, record: &Record, stamp: &Stamp<'_>) {
        if record.level < self.level {
            return;
        }
        self.line.clear();
        let written = match self.format {
            Format::Json => json::write(&mut self.line, record, stamp),
            _ => plain::write(&mut self.line, record, stamp, Lead::Debug, false),
        };
        if written.is_ok() {
            let _ = self.put();
        }
    }

    /// Hands everything to the system.
    pub(super) fn flush(&mut self) {
        let _ = self.out.flush();
    }

    fn put(&mut self) -> io::Result<()> {
        let size = self.line.len() as u64;
        if self.max_bytes > 0 && self.written > 0 && self.written + size > self.max_bytes {
            self.out.flush()?;
            put_aside(&self.path)?;
            (self.out, self.written) = append_to(&self.path)?;
        }
        self.written += size;
        self.out.write_all(&self.line)
    }
}

fn append_to(path: &Path) -> io::Result<(BufWriter<File>, u64)> {
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    let size = file.metadata()?.len();
    Ok((BufWriter::new(file), size))
}

fn put_aside(path: &Path) -> io::Result<()> {
    let numbered = |number: usize| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    };
    for number in (1..KEPT).rev() {
        if numbered(number).exists() {
            fs::rename(numbered(number), numbered(number + 1))?;
        }
    }
    fs::rename(path, numbered(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_file_is_put_aside() {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = FileSettings {
            path: folder.path().join("logs/dbt.log"),
            format: Format::Text,
            level: Level::Debug,
            max_bytes: 150,
        };
        for id in ["first", "second", "third"] {
            LogFile::open(&settings, id).expect("it opens").flush();
        }
        let read = |name: &str| fs::read_to_string(folder.path().join("logs").join(name));
        assert!(read("dbt.log").expect("the newest").contains("third"));
        assert!(
            read("dbt.log.1")
                .expect("the one before")
                .contains("second")
        );
        assert!(read("dbt.log.2").expect("the oldest").contains("first"));
    }
}
