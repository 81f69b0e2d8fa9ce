//! Standard output: lines, JSON lines, or lines above a moving picture of what runs.

use std::io::Write;

use super::plain::{self, Lead};
use super::progress::Progress;
use super::record::{Channel, Record};
use super::{Format, Level, Screen, Settings, Stamp, json};
use crate::executor::event::Event;

/// Where records are shown to whoever started the command.
pub(super) struct Console {
    out: Box<dyn Write + Send>,
    format: Format,
    level: Level,
    print: bool,
    colors: bool,
    progress: Option<Progress>,
}

impl Console {
    pub(super) fn new(settings: &Settings, out: Box<dyn Write + Send>) -> Console {
        let moving = settings.screen == Screen::Terminal
            && settings.format == Format::Text
            && settings.level == Level::Info;
        Console {
            out,
            format: settings.format,
            level: settings.level,
            print: settings.print,
            colors: settings.colors,
            progress: moving.then(|| Progress::new(settings.colors)),
        }
    }

    /// Lets the picture know of an event before its lines are written.
    pub(super) fn before(&mut self, event: &Event) {
        if let Some(progress) = &mut self.progress {
            progress.before(event);
        }
    }

    /// Lets the picture know of an event after its lines are written.
    pub(super) fn after(&mut self, event: &Event) {
        if let Some(progress) = &mut self.progress {
            progress.after(event);
        }
    }

    /// Shows a record, unless its level is too low.
    ///
    /// What cannot be written is let go: the reader went away, and the run's result still counts.
    pub(super) fn record(&mut self, record: &Record, stamp: &Stamp<'_>) {
        if !plain::shows(self.level, record) || (record.printed && !self.print) {
            return;
        }
        let on_terminal = self.progress.is_some();
        match record.channel {
            Channel::Terminal if !on_terminal => return,
            // The picture already shows that the node runs.
            Channel::Log if on_terminal && record.transient => return,
            _ => {}
        }
        let mut line = Vec::new();
        let written = match self.format {
            Format::Json => json::write(&mut line, record, stamp),
            Format::Debug => plain::write(&mut line, record, stamp, Lead::Debug, self.colors),
            Format::Text if on_terminal => {
                plain::write(&mut line, record, stamp, Lead::None, self.colors)
            }
            Format::Text => plain::write(&mut line, record, stamp, Lead::Time, self.colors),
        };
        if written.is_err() {
            return;
        }
        let out = &mut self.out;
        let put = || {
            let _ = out.write_all(&line).and_then(|()| out.flush());
        };
        match &self.progress {
            Some(progress) => progress.suspend(put),
            None => {
                let mut put = put;
                put();
            }
        }
    }

    /// Takes the picture away.
    pub(super) fn finish(&mut self) {
        if let Some(progress) = &mut self.progress {
            progress.finish();
        }
        let _ = self.out.flush();
    }
}
