//! What people and programs see of a run.
//!
//! The executor sends events; [`record`] puts each into dbt's words, once, and the console and the
//! log file show those records in their own forms. Nothing here decides what runs, and nothing
//! here can make a run fail: a console that went away is silently done without.

mod console;
mod json;
mod log_file;
mod plain;
mod progress;
mod record;
mod summary;

use std::io::{self, Write};
use std::path::PathBuf;

use jiff::Timestamp;

use self::console::Console;
use self::log_file::LogFile;
use self::record::{Channel, Words};
use crate::executor::event::Event;
use crate::secrets::Redactor;

/// How important a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For the log file.
    Debug,
    /// For everyone.
    Info,
    /// Something is odd.
    Warn,
    /// Something failed.
    Error,
    /// Above everything: a sink of this level shows nothing.
    None,
}

impl Level {
    /// Reads the words of `--log-level`.
    pub fn parse(word: &str) -> Option<Level> {
        match word {
            "debug" => Some(Level::Debug),
            "info" => Some(Level::Info),
            "warn" => Some(Level::Warn),
            "error" => Some(Level::Error),
            "none" => Some(Level::None),
            _ => None,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
            Level::None => "none",
        }
    }
}

/// The form of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// dbt's lines, with the time before each.
    Text,
    /// The same with level and thread, as in the log file.
    Debug,
    /// One JSON object a line.
    Json,
}

impl Format {
    /// Reads the words of `--log-format`.
    pub fn parse(word: &str) -> Option<Format> {
        match word {
            "text" | "default" => Some(Format::Text),
            "debug" => Some(Format::Debug),
            "json" => Some(Format::Json),
            _ => None,
        }
    }
}

/// What standard output is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Screen {
    /// A terminal, where running nodes are shown as they run.
    Terminal,
    /// A pipe or a file, where every line stays.
    Lines,
}

/// How to report.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The console's form.
    pub format: Format,
    /// The least level that the console shows; `--quiet` is [`Level::Error`].
    pub level: Level,
    /// Whether the console shows what `print(..)` says.
    pub print: bool,
    /// Whether the console is coloured; see [`wants_colors`].
    pub colors: bool,
    /// What standard output is.
    pub screen: Screen,
    /// `--printer-width`: where the dots end.
    pub printer_width: usize,
    /// The log file; `None` where none is wanted.
    pub file: Option<FileSettings>,
    /// `invocation_id`.
    pub invocation_id: String,
    /// What must not be shown.
    pub redactor: Redactor,
}

/// How to write the log file.
#[derive(Clone, Debug)]
pub struct FileSettings {
    /// Where: `dbt.log` in the log path.
    pub path: PathBuf,
    /// Its form.
    pub format: Format,
    /// The least level that it keeps.
    pub level: Level,
    /// The size in bytes at which it is put aside; 0 for never.
    pub max_bytes: u64,
}

/// dbt's size of a log file that is put aside.
pub const LOG_FILE_BYTES: u64 = 10 * 1024 * 1024;

/// Decides about colours: what the user said, else what standard output, `NO_COLOR`, `CLICOLOR` and
/// `CLICOLOR_FORCE` say.
pub fn wants_colors(said: Option<bool>) -> bool {
    said.unwrap_or_else(|| {
        anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never
    })
}

/// Shows the events of a command.
pub struct Reporter {
    console: Console,
    file: Option<LogFile>,
    words: Words,
    redactor: Redactor,
    invocation_id: String,
}

impl Reporter {
    /// Makes a reporter on standard output, and opens the log file.
    ///
    /// # Errors
    /// Whatever the file system says of the log file.
    pub fn new(settings: Settings) -> io::Result<Reporter> {
        Reporter::on(settings, Box::new(io::stdout()))
    }

    fn on(settings: Settings, out: Box<dyn Write + Send>) -> io::Result<Reporter> {
        let file = settings
            .file
            .as_ref()
            .filter(|file| file.level != Level::None)
            .map(|file| LogFile::open(file, &settings.invocation_id))
            .transpose()?;
        Ok(Reporter {
            words: Words::new(settings.printer_width),
            console: Console::new(&settings, out),
            file,
            redactor: settings.redactor,
            invocation_id: settings.invocation_id,
        })
    }

    /// Shows one event.
    pub fn event(&mut self, event: &Event) {
        let stamp = Stamp {
            at: Timestamp::now(),
            invocation_id: &self.invocation_id,
        };
        self.console.before(event);
        for mut record in self.words.records(event) {
            if let std::borrow::Cow::Owned(masked) = self.redactor.text(&record.text) {
                record.text = masked;
            }
            self.redactor.json(&mut record.data);
            self.console.record(&record, &stamp);
            if let Some(file) = &mut self.file
                && record.channel != Channel::Terminal
            {
                file.record(&record, &stamp);
            }
        }
        self.console.after(event);
        if let (Some(file), Event::NodeFinished { .. } | Event::CommandFinished { .. }) =
            (&mut self.file, event)
        {
            file.flush();
        }
    }

    /// Takes everything that moves off the terminal, for instance before a panic is shown.
    pub fn finish(&mut self) {
        self.console.finish();
        if let Some(file) = &mut self.file {
            file.flush();
        }
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        self.finish();
    }
}

/// What all forms say of a record beside its own words.
#[derive(Clone, Copy)]
struct Stamp<'a> {
    at: Timestamp,
    invocation_id: &'a str,
}

#[cfg(test)]
mod tests;
