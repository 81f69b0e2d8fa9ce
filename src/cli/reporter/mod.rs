//! What people and programs see of a run.
//!
//! The executor sends events; `record` puts each into dbt's words, once, and the console and the
//! log file show those records in their own forms. Nothing here decides what runs, and nothing
//! here can make a run fail: a console that went away is silently done without.

mod console;
mod json;
mod log_file;
mod plain;
mod progress;
mod record;
mod summary;

use std::borrow::Cow;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;

use self::console::Console;
use self::log_file::LogFile;
use self::record::{Channel, Facts, Record, Words};
use crate::diagnostic::{Code, Diagnostic};
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
    /// dbt's word for the command, such as `build`.
    pub command: &'static str,
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
    /// Where, unless [`Event::LogFile`] says another place before the command ends.
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

/// Starts to report, on a thread of its own.
pub fn start(settings: Settings) -> Handle {
    let (events, inbox) = mpsc::channel();
    let mut reporter = Reporter::new(settings);
    let thread = std::thread::spawn(move || {
        while let Some(event) = next_event(&inbox) {
            reporter.event(&event);
            if matches!(event, Event::CommandFinished { .. }) {
                break;
            }
        }
        reporter.finish();
    });
    Handle { events, thread }
}

/// Waits for the next event; `None` once nobody can send one.
///
/// Before it lets itself be woken, it sleeps for a moment: waking a thread costs the sender as much as
/// a small statement does, and a run sends thousands of events a second.
fn next_event(inbox: &Receiver<Event>) -> Option<Event> {
    const MOMENT: Duration = Duration::from_millis(1);
    if let Ok(event) = inbox.try_recv() {
        return Some(event);
    }
    std::thread::sleep(MOMENT);
    inbox.recv().ok()
}

/// A reporter at work.
pub struct Handle {
    events: Sender<Event>,
    thread: JoinHandle<()>,
}

impl Handle {
    /// Where its events are sent to.
    pub fn events(&self) -> Sender<Event> {
        self.events.clone()
    }

    /// Waits until everything is shown, up to [`Event::CommandFinished`].
    pub fn finish(self) {
        drop(self.events);
        // Its panic has been shown already, and the run's result still counts.
        let _ = self.thread.join();
    }
}

/// Shows the events of a command, one by one.
pub struct Reporter {
    console: Console,
    file: File,
    words: Words,
    redactor: Redactor,
    invocation_id: String,
}

fn mask(redactor: &Redactor, record: &mut Record) {
    if let Cow::Owned(masked) = redactor.text(&record.text) {
        record.text = masked;
    }
    redactor.json(&mut record.data);
}

/// The log file, from before its place is known.
enum File {
    /// None is wanted, or it cannot be written.
    None,
    /// Records wait until somebody says where it lies.
    Waiting(FileSettings, Vec<(Record, Timestamp)>),
    /// It is open.
    Open(LogFile),
}

impl Reporter {
    /// Makes a reporter on standard output.
    pub fn new(settings: Settings) -> Reporter {
        Reporter::on(settings, Box::new(io::stdout()))
    }

    fn on(settings: Settings, out: Box<dyn Write + Send>) -> Reporter {
        let console = Console::new(&settings, out);
        let file = settings.file.filter(|file| file.level != Level::None);
        let in_file = file.as_ref().map(|file| file.format);
        let facts = match settings.format == Format::Json || in_file == Some(Format::Json) {
            true => Facts::Kept,
            false => Facts::LeftOut,
        };
        Reporter {
            words: Words::new(settings.command, settings.printer_width, facts),
            console,
            file: file.map_or(File::None, |file| File::Waiting(file, Vec::new())),
            redactor: settings.redactor,
            invocation_id: settings.invocation_id,
        }
    }

    /// Shows one event.
    pub fn event(&mut self, event: &Event) {
        let at = Timestamp::now();
        self.console.before(event);
        for record in self.words.records(event) {
            self.record(record, at);
        }
        self.console.after(event);
        match event {
            Event::LogFile(path) => self.open_file(Some(path)),
            Event::Secrets(more) => {
                self.redactor.extend(more);
                // What waits for the log file was said before anybody knew.
                if let File::Waiting(_, waiting) = &mut self.file {
                    for (record, _) in waiting {
                        mask(&self.redactor, record);
                    }
                }
            }
            Event::CommandFinished { .. } => self.finish(),
            Event::NodeFinished { .. } => {
                if let File::Open(file) = &mut self.file {
                    file.flush();
                }
            }
            _ => {}
        }
    }

    /// Takes everything that moves off the terminal, and writes what still waits.
    pub fn finish(&mut self) {
        self.open_file(None);
        self.console.finish();
        if let File::Open(file) = &mut self.file {
            file.flush();
        }
    }

    fn record(&mut self, mut record: Record, at: Timestamp) {
        mask(&self.redactor, &mut record);
        let stamp = Stamp {
            at,
            invocation_id: &self.invocation_id,
        };
        self.console.record(&record, &stamp);
        if record.channel == Channel::Terminal {
            return;
        }
        match &mut self.file {
            File::None => {}
            File::Waiting(settings, waiting) if record.level >= settings.level => {
                waiting.push((record, at));
            }
            File::Waiting(..) => {}
            File::Open(file) => file.record(&record, &stamp),
        }
    }

    /// Opens the log file, unless it is open, and writes what has waited for it.
    fn open_file(&mut self, path: Option<&PathBuf>) {
        let (mut settings, waiting) = match std::mem::replace(&mut self.file, File::None) {
            File::Waiting(settings, waiting) => (settings, waiting),
            other => {
                self.file = other;
                return;
            }
        };
        if let Some(path) = path {
            settings.path.clone_from(path);
        }
        match LogFile::open(&settings, &self.invocation_id) {
            Ok(mut file) => {
                for (record, at) in waiting {
                    let stamp = Stamp {
                        at,
                        invocation_id: &self.invocation_id,
                    };
                    file.record(&record, &stamp);
                }
                self.file = File::Open(file);
            }
            Err(error) => {
                let path = settings.path.display();
                let message = format!("cannot write the log file `{path}`: {error}");
                let warning = Event::Diagnostic(Arc::new(Diagnostic::warning(Code::Io, message)));
                for record in self.words.records(&warning) {
                    self.record(record, Timestamp::now());
                }
            }
        }
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
