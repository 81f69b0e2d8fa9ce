//! What the settings say about printing, in the reporter's words.

use std::io::IsTerminal;

use super::args::{LogFormat, LogLevel};
use super::reporter::{self, FileSettings, Format, Level, Screen};
use super::settings::Settings;
use crate::secrets::Redactor;

/// How to report.
pub fn reporter_settings(settings: &Settings) -> reporter::Settings {
    let level = if settings.quiet {
        Level::Error
    } else {
        level(settings.log_level)
    };
    let terminal = std::io::stdout().is_terminal();
    reporter::Settings {
        command: settings.command,
        format: format(settings.log_format),
        level,
        print: settings.print,
        colors: reporter::wants_colors(settings.colors),
        screen: if terminal && settings.log_format == LogFormat::Default {
            Screen::Terminal
        } else {
            Screen::Lines
        },
        printer_width: settings.printer_width,
        file: log_file(settings),
        invocation_id: settings.invocation_id.clone(),
        redactor: Redactor::new(&settings.environment),
    }
}

/// The log file; a folder that holds no project gets none.
fn log_file(settings: &Settings) -> Option<FileSettings> {
    let has_project = settings.project_dir.join("dbt_project.yml").is_file();
    let folder = match &settings.log_path {
        Some(folder) => settings.project_dir.join(folder),
        None if has_project => settings.project_dir.join("logs"),
        None => return None,
    };
    Some(FileSettings {
        path: folder.join("dbt.log"),
        format: format(settings.log_format_file),
        level: level(settings.log_level_file),
        max_bytes: reporter::LOG_FILE_BYTES,
    })
}

fn format(format: LogFormat) -> Format {
    match format {
        LogFormat::Default | LogFormat::Text => Format::Text,
        LogFormat::Debug => Format::Debug,
        LogFormat::Json => Format::Json,
    }
}

fn level(level: LogLevel) -> Level {
    match level {
        LogLevel::Debug => Level::Debug,
        LogLevel::Info => Level::Info,
        LogLevel::Warn => Level::Warn,
        LogLevel::Error => Level::Error,
        LogLevel::None => Level::None,
    }
}
