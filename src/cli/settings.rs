//! What the command line, the environment and the project's `flags` ask for, as one value.
//!
//! The command line wins over `DBT_*` variables, these over `flags` of `dbt_project.yml`. Both are
//! read once, here at the top, and handed down.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::args::{EventTimeArgs, GlobalArgs, Indirect, LogFormat, LogLevel};
use crate::config::profile::ProfileRequest;
use crate::diagnostic::{Code, Diagnostic};
use crate::microbatch::{self, Batch};
use crate::source::SourceFile;
use crate::yaml;

/// The settings of one invocation.
#[derive(Clone, Debug)]
pub struct Settings {
    /// dbt's word for the command.
    pub command: &'static str,
    /// The folder of `dbt_project.yml`.
    pub project_dir: PathBuf,
    /// Which profile, and where.
    pub profile: ProfileRequest,
    /// `--vars`.
    pub vars: Map<String, Json>,
    /// `--target-path`.
    pub target_path: Option<String>,
    /// `--log-path`.
    pub log_path: Option<String>,
    /// The form of what is printed.
    pub log_format: LogFormat,
    /// The form of the log file.
    pub log_format_file: LogFormat,
    /// The least severe that is printed.
    pub log_level: LogLevel,
    /// The least severe that reaches the log file.
    pub log_level_file: LogLevel,
    /// Only errors and what was asked for.
    pub quiet: bool,
    /// Whether `print()` of templates is shown.
    pub print: bool,
    /// Colours, where somebody has decided.
    pub colors: Option<bool>,
    /// The width of a line of progress.
    pub printer_width: usize,
    /// Stop at the first failure.
    pub fail_fast: bool,
    /// Warnings are errors.
    pub warn_error: bool,
    /// Whether artifacts are written.
    pub write_json: bool,
    /// Build from nothing, where the environment says so.
    full_refresh: Option<bool>,
    /// Keep the rows that fail tests, where the environment says so.
    store_failures: Option<bool>,
    /// Which tests come along, where the command line does not say it.
    indirect: Option<Indirect>,
    /// How many nodes at once, where the command line does not say it.
    threads: Option<usize>,
    /// The environment as it was at the start.
    pub environment: BTreeMap<String, String>,
    /// The id of this invocation.
    pub invocation_id: String,
}

/// A truth value of the environment, as dbt reads it.
fn truth(text: &str) -> Option<bool> {
    match text.trim().to_lowercase().as_str() {
        "1" | "true" | "t" | "yes" | "y" | "on" => Some(true),
        "0" | "false" | "f" | "no" | "n" | "off" => Some(false),
        _ => None,
    }
}

impl Settings {
    /// Lays the command line over the environment.
    ///
    /// # Errors
    /// Values that are not understood, each with the name of its flag or variable.
    pub fn new(
        command: &'static str,
        args: &GlobalArgs,
        environment: BTreeMap<String, String>,
        here: &Path,
    ) -> Result<Settings, Vec<Diagnostic>> {
        let mut wrong = Vec::new();
        let text = |name: &str| {
            environment
                .get(name)
                .filter(|text| !text.is_empty())
                .cloned()
        };
        let folder = |given: &Option<PathBuf>, name: &str| {
            let folder = given.clone().or_else(|| text(name).map(PathBuf::from))?;
            Some(here.join(folder))
        };
        let project_dir = folder(&args.project_dir, "DBT_PROJECT_DIR")
            .unwrap_or_else(|| project_above(here).unwrap_or_else(|| here.to_owned()));
        let defaults = Defaults {
            environment: &environment,
            flags: project_flags(&project_dir),
        };
        let mut flag = |given: bool, name: &str| {
            if given {
                return Some(true);
            }
            let (shown, value) = defaults.get(name)?;
            let read = truth(&value);
            if read.is_none() {
                wrong.push(usage(format!(
                    "`{shown}` must be true or false, found `{value}`"
                )));
            }
            read
        };
        let debug = flag(args.debug, "DBT_DEBUG").unwrap_or(false);
        let quiet = flag(args.quiet, "DBT_QUIET").unwrap_or(false);
        let print = !args.no_print && flag(false, "DBT_PRINT").unwrap_or(true);
        let fail_fast = flag(args.fail_fast, "DBT_FAIL_FAST").unwrap_or(false);
        let warn_error = flag(args.warn_error, "DBT_WARN_ERROR").unwrap_or(false);
        let write_json = !args.no_write_json && flag(false, "DBT_WRITE_JSON").unwrap_or(true);
        let colors = if args.no_use_colors {
            Some(false)
        } else {
            flag(args.use_colors, "DBT_USE_COLORS")
        };
        let full_refresh = flag(false, "DBT_FULL_REFRESH");
        let store_failures = flag(false, "DBT_STORE_FAILURES");
        let mut choice = Choices {
            defaults: &defaults,
            wrong: &mut wrong,
        };
        let log_format = choice.pick(args.log_format, "DBT_LOG_FORMAT");
        let log_format_file = choice.pick(args.log_format_file, "DBT_LOG_FORMAT_FILE");
        let log_level = choice.pick(args.log_level, "DBT_LOG_LEVEL");
        let log_level_file = choice.pick(args.log_level_file, "DBT_LOG_LEVEL_FILE");
        let indirect = choice.pick(None, "DBT_INDIRECT_SELECTION");
        let mut number = |name: &str| {
            let (shown, value) = defaults.get(name)?;
            let number = value.parse().ok().filter(|number: &usize| *number > 0);
            if number.is_none() {
                wrong.push(usage(format!(
                    "`{shown}` must be a number above zero, found `{value}`"
                )));
            }
            number
        };
        let threads = number("DBT_THREADS");
        let printer_width = args.printer_width.or_else(|| number("DBT_PRINTER_WIDTH"));
        let vars = match args
            .vars
            .as_deref()
            .map(|vars| yaml_mapping("--vars", vars))
        {
            Some(Ok(vars)) => vars,
            Some(Err(diagnostic)) => {
                wrong.push(*diagnostic);
                Map::new()
            }
            None => Map::new(),
        };
        let settings = Settings {
            command,
            project_dir,
            profile: ProfileRequest {
                profiles_dir: folder(&args.profiles_dir, "DBT_PROFILES_DIR"),
                profile: args.profile.clone().or_else(|| text("DBT_PROFILE")),
                target: args.target.clone().or_else(|| text("DBT_TARGET")),
                home: text("HOME").map(PathBuf::from),
                environment: environment.clone(),
            },
            vars,
            target_path: args.target_path.clone().or_else(|| text("DBT_TARGET_PATH")),
            log_path: args.log_path.clone().or_else(|| text("DBT_LOG_PATH")),
            log_format: log_format.unwrap_or(LogFormat::Default),
            log_format_file: log_format_file.unwrap_or(LogFormat::Debug),
            log_level: if debug {
                LogLevel::Debug
            } else {
                log_level.unwrap_or(LogLevel::Info)
            },
            log_level_file: log_level_file.unwrap_or(LogLevel::Debug),
            quiet,
            print,
            colors: colors.or_else(|| text("NO_COLOR").map(|_| false)),
            printer_width: printer_width.unwrap_or(80),
            fail_fast,
            warn_error,
            write_json,
            full_refresh,
            store_failures,
            indirect,
            threads,
            invocation_id: uuid::Uuid::new_v4().to_string(),
            environment,
        };
        if wrong.is_empty() {
            Ok(settings)
        } else {
            Err(wrong)
        }
    }

    /// `--full-refresh` or its variable.
    pub fn full_refresh(&self, given: bool) -> Option<bool> {
        given.then_some(true).or(self.full_refresh)
    }

    /// `--store-failures` or its variable.
    pub fn store_failures(&self, given: bool) -> Option<bool> {
        given.then_some(true).or(self.store_failures)
    }

    /// `--event-time-start` and `--event-time-end` or their variables.
    ///
    /// # Errors
    /// One without the other, an end that does not follow the start, and what is no time.
    pub fn event_time(&self, args: &EventTimeArgs) -> Result<Option<Batch>, Vec<Diagnostic>> {
        let mut wrong = Vec::new();
        let mut bound = |given: &Option<String>, flag: &str, variable: &str| {
            let (shown, text) = match (given, self.environment.get(variable)) {
                (Some(text), _) => (flag, text),
                (None, Some(text)) if !text.is_empty() => (variable, text),
                _ => return None,
            };
            let at = microbatch::parse_flag(text);
            if at.is_none() {
                let message = format!("`{shown}` must be a date or a time, found `{text}`");
                let help = "write it as `2026-11-01` or `2026-11-01T06:00:00`; it is UTC's";
                wrong.push(usage(message).help(help));
            }
            Some(at)
        };
        const START: &str = "--event-time-start";
        const END: &str = "--event-time-end";
        let start = bound(&args.event_time_start, START, "DBT_EVENT_TIME_START");
        let end = bound(&args.event_time_end, END, "DBT_EVENT_TIME_END");
        let range = match (start, end) {
            (None, None) => None,
            (Some(start), Some(end)) => start.zip(end),
            (start, _) => {
                let (here, missing) = if start.is_some() {
                    (START, END)
                } else {
                    (END, START)
                };
                let message = format!("`{here}` was specified, but `{missing}` was not");
                wrong.push(usage(message).help("give both or neither"));
                None
            }
        };
        if range.is_some_and(|(start, end)| start >= end) {
            let message = format!("value for `{START}` must be less than `{END}`");
            wrong.push(usage(message));
        }
        match wrong.is_empty() {
            true => Ok(range.map(|(start, end)| Batch { start, end })),
            false => Err(wrong),
        }
    }

    /// `--threads` or its variable.
    pub fn threads(&self, given: Option<usize>) -> Option<usize> {
        given.or(self.threads)
    }

    /// `--indirect-selection`, its variable or its flag.
    pub fn indirect(&self, given: Option<Indirect>) -> Indirect {
        given.or(self.indirect).unwrap_or(Indirect::Eager)
    }
}

/// What holds where the command line is silent: the environment, then `flags` of the project.
struct Defaults<'a> {
    environment: &'a BTreeMap<String, String>,
    flags: BTreeMap<String, String>,
}

impl Defaults<'_> {
    /// The value of a variable, or of the flag of the same name, with the name to show.
    fn get(&self, name: &str) -> Option<(String, String)> {
        let value = self.environment.get(name).filter(|text| !text.is_empty());
        if let Some(value) = value {
            return Some((name.to_owned(), value.clone()));
        }
        let flag = name.strip_prefix("DBT_")?.to_lowercase();
        let value = self.flags.get(&flag)?;
        Some((format!("flags.{flag}"), value.clone()))
    }
}

/// `flags` of the project's file, those that are plain values.
///
/// What is wrong with the file is reported when it is read as a project.
fn project_flags(folder: &Path) -> BTreeMap<String, String> {
    let absolute = folder.join("dbt_project.yml");
    let Ok(text) = std::fs::read_to_string(&absolute) else {
        return BTreeMap::new();
    };
    let file = SourceFile::inline("dbt_project.yml", text);
    let Ok(root) = yaml::parse(&file) else {
        return BTreeMap::new();
    };
    let Some(Json::Object(flags)) = root.get("flags").map(yaml::Yaml::to_json) else {
        return BTreeMap::new();
    };
    let plain = flags.into_iter().filter_map(|(name, value)| match value {
        Json::String(text) => Some((name, text)),
        Json::Bool(_) | Json::Number(_) => Some((name, value.to_string())),
        _ => None,
    });
    plain.collect()
}

struct Choices<'a> {
    defaults: &'a Defaults<'a>,
    wrong: &'a mut Vec<Diagnostic>,
}

impl Choices<'_> {
    fn pick<T: clap::ValueEnum>(&mut self, given: Option<T>, name: &str) -> Option<T> {
        if given.is_some() {
            return given;
        }
        let (shown, value) = self.defaults.get(name)?;
        match T::from_str(&value, true) {
            Ok(choice) => Some(choice),
            Err(_) => {
                let known: Vec<String> = T::value_variants()
                    .iter()
                    .filter_map(T::to_possible_value)
                    .map(|value| format!("`{}`", value.get_name()))
                    .collect();
                let message = format!("`{shown}` is `{value}`, which is not understood");
                self.wrong
                    .push(usage(message).help(format!("it can be {}", known.join(", "))));
                None
            }
        }
    }
}

fn usage(message: String) -> Diagnostic {
    Diagnostic::error(Code::Usage, message)
}

/// Reads a YAML mapping that stands on the command line.
///
/// # Errors
/// Broken YAML, or something else than a mapping.
pub fn yaml_mapping(flag: &str, text: &str) -> Result<Map<String, Json>, Box<Diagnostic>> {
    let file: Arc<SourceFile> = SourceFile::inline(flag, text);
    let parsed = yaml::parse(&file)?;
    match parsed.to_json() {
        Json::Object(map) => Ok(map),
        Json::Null => Ok(Map::new()),
        _ => Err(Box::new(
            usage(format!("`{flag}` must be a YAML mapping"))
                .at(parsed.span(&file))
                .help("write it as '{name: value}'"),
        )),
    }
}

/// The nearest folder with a `dbt_project.yml`, from here upwards.
fn project_above(here: &Path) -> Option<PathBuf> {
    here.ancestors()
        .find(|folder| folder.join("dbt_project.yml").is_file())
        .map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(
        args: &GlobalArgs,
        environment: &[(&str, &str)],
    ) -> Result<Settings, Vec<Diagnostic>> {
        let environment = environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Settings::new("run", args, environment, Path::new("/nowhere"))
    }

    #[test]
    fn the_command_line_wins_over_the_environment() {
        let args = GlobalArgs {
            target: Some("prod".to_owned()),
            ..GlobalArgs::default()
        };
        let environment = [
            ("DBT_TARGET", "dev"),
            ("DBT_PROFILE", "shop"),
            ("DBT_QUIET", "1"),
        ];
        let settings = settings(&args, &environment).expect("settings");
        assert_eq!(settings.profile.target.as_deref(), Some("prod"));
        assert_eq!(settings.profile.profile.as_deref(), Some("shop"));
        assert!(settings.quiet);
    }

    #[test]
    fn flags_of_the_project_hold_where_nothing_else_is_said() {
        let folder = tempfile::tempdir().expect("a folder");
        let project = "name: shop\nflags: {fail_fast: true, warn_error: true, log_level: warn}\n";
        std::fs::write(folder.path().join("dbt_project.yml"), project).expect("a file");
        let environment = [("DBT_WARN_ERROR".to_owned(), "false".to_owned())].into();
        let args = GlobalArgs::default();
        let settings = Settings::new("run", &args, environment, folder.path()).expect("settings");
        assert!(settings.fail_fast);
        assert!(!settings.warn_error);
        assert_eq!(settings.log_level, LogLevel::Warn);
    }

    #[test]
    fn wrong_values_of_variables_are_all_named() {
        let environment = [("DBT_DEBUG", "maybe"), ("DBT_LOG_FORMAT", "xml")];
        let wrong = settings(&GlobalArgs::default(), &environment).expect_err("both are wrong");
        let text: Vec<String> = wrong.iter().map(Diagnostic::to_string).collect();
        insta::assert_snapshot!(text.join("\n"), @r"
        error[usage]: `DBT_DEBUG` must be true or false, found `maybe`
        error[usage]: `DBT_LOG_FORMAT` is `xml`, which is not understood
         |
         = help: it can be `default`, `text`, `debug`, `json`
        ");
    }
}
