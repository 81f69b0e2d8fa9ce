//! The command line as clap reads it: dbt's words and letters.
//!
//! Values only; [`super::settings`] lays them over the environment and the project's `flags`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

/// Builds SQL models day by day: dbt projects, compiled and run.
#[derive(Debug, Parser)]
#[command(name = "daygrain", version, about, max_term_width = 100)]
pub struct Cli {
    /// Flags of every command.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags that every command takes, before or behind its name.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Global options")]
pub struct GlobalArgs {
    /// The folder of dbt_project.yml; default: this folder or the nearest above it [env: DBT_PROJECT_DIR]
    #[arg(long, global = true, value_name = "FOLDER")]
    pub project_dir: Option<PathBuf>,
    /// The folder of profiles.yml; default: the project's, then ~/.dbt [env: DBT_PROFILES_DIR]
    #[arg(long, global = true, value_name = "FOLDER")]
    pub profiles_dir: Option<PathBuf>,
    /// The profile, instead of the one that the project names [env: DBT_PROFILE]
    #[arg(long, global = true, value_name = "NAME")]
    pub profile: Option<String>,
    /// The profile's output, instead of its default [env: DBT_TARGET]
    #[arg(long, short = 't', global = true, value_name = "NAME")]
    pub target: Option<String>,
    /// Variables as a YAML mapping, such as '{day: 2026-11-01}'; they win over the project's
    #[arg(long, global = true, value_name = "YAML")]
    pub vars: Option<String>,
    /// Where artifacts and compiled SQL go, instead of the project's target-path [env: DBT_TARGET_PATH]
    #[arg(long, global = true, value_name = "FOLDER")]
    pub target_path: Option<String>,
    /// Where the log file goes; default: logs [env: DBT_LOG_PATH]
    #[arg(long, global = true, value_name = "FOLDER")]
    pub log_path: Option<String>,
    /// The form of what is printed [env: DBT_LOG_FORMAT]
    #[arg(long, global = true, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// The form of the log file [env: DBT_LOG_FORMAT_FILE]
    #[arg(long, global = true, value_name = "FORMAT")]
    pub log_format_file: Option<LogFormat>,
    /// The least severe that is printed [env: DBT_LOG_LEVEL]
    #[arg(long, global = true, value_name = "LEVEL")]
    pub log_level: Option<LogLevel>,
    /// The least severe that reaches the log file [env: DBT_LOG_LEVEL_FILE]
    #[arg(long, global = true, value_name = "LEVEL")]
    pub log_level_file: Option<LogLevel>,
    /// Print every statement and what else helps to find a fault [env: DBT_DEBUG]
    #[arg(long, short = 'd', global = true)]
    pub debug: bool,
    /// Print only errors and what was asked for [env: DBT_QUIET]
    #[arg(long, short = 'q', global = true)]
    pub quiet: bool,
    /// Leave out what templates print by print() [env: DBT_PRINT=false]
    #[arg(long, global = true)]
    pub no_print: bool,
    /// Use colours, also where no terminal is seen [env: DBT_USE_COLORS]
    #[arg(long, global = true, overrides_with = "no_use_colors")]
    pub use_colors: bool,
    /// Use no colours; NO_COLOR works as well [env: DBT_USE_COLORS=false]
    #[arg(long, global = true, overrides_with = "use_colors")]
    pub no_use_colors: bool,
    /// The width of a line of progress [env: DBT_PRINTER_WIDTH]
    #[arg(long, global = true, value_name = "COLUMNS")]
    pub printer_width: Option<usize>,
    /// Stop at the first failure [env: DBT_FAIL_FAST]
    #[arg(long, short = 'x', global = true)]
    pub fail_fast: bool,
    /// Treat warnings of the project as errors [env: DBT_WARN_ERROR]
    #[arg(long, global = true)]
    pub warn_error: bool,
    /// Write no manifest and no run results [env: DBT_WRITE_JSON=false]
    #[arg(long, global = true)]
    pub no_write_json: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Build everything: seeds, models and tests, each test a barrier before what reads the tested node
    Build(BuildArgs),
    /// Build models
    Run(RunArgs),
    /// Run data tests
    Test(TestArgs),
    /// Load seeds
    Seed(SeedArgs),
    /// Render SQL into the target folder and run nothing
    Compile(CompileArgs),
    /// Show the rows of a model or of a query
    Show(ShowArgs),
    /// List nodes
    #[command(visible_alias = "list")]
    Ls(LsArgs),
    /// Read the whole project and report everything that is wrong with it
    Parse,
    /// Check the set-up: project, profile, connection
    Debug(DebugArgs),
    /// Remove the folders that clean-targets names
    Clean(CleanArgs),
    /// Make a new project
    Init(InitArgs),
    /// Call a macro
    RunOperation(RunOperationArgs),
    /// Say what a build would do and why, and touch nothing
    Plan(PlanArgs),
    /// Say why a partition is stale, or when and why it was built, back to the root of it
    Why(WhyArgs),
    /// Show the calendar of a model: which partitions are fresh, stale, failed, waiting or missing
    Partitions(PartitionsArgs),
    /// Build a range of partitions again, whether they are stale or not
    Backfill(BackfillArgs),
    /// Record what tables already hold as published by unknown code
    Adopt(AdoptArgs),
}

impl Command {
    /// dbt's word, as it stands in artifacts and in `flags.WHICH`.
    pub fn name(&self) -> &'static str {
        match self {
            Command::Build(_) => "build",
            Command::Run(_) => "run",
            Command::Test(_) => "test",
            Command::Seed(_) => "seed",
            Command::Compile(_) => "compile",
            Command::Show(_) => "show",
            Command::Ls(_) => "list",
            Command::Parse => "parse",
            Command::Debug(_) => "debug",
            Command::Clean(_) => "clean",
            Command::Init(_) => "init",
            Command::RunOperation(_) => "run-operation",
            Command::Plan(_) => "plan",
            Command::Why(_) => "why",
            Command::Partitions(_) => "partitions",
            Command::Backfill(_) => "backfill",
            Command::Adopt(_) => "adopt",
        }
    }

    /// Tells whether JSON alone is printed, so that a program can read it.
    pub fn prints_json(&self) -> bool {
        match self {
            Command::Build(args) => args.dry.json,
            Command::Run(args) => args.dry.json,
            Command::Backfill(args) => args.dry.json,
            Command::Plan(args) => args.json,
            Command::Why(args) => args.json,
            Command::Partitions(args) => args.json,
            _ => false,
        }
    }
}

/// Which nodes.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Selection")]
pub struct SelectArgs {
    /// Nodes by name, path, tag:..., with + for what they read or what reads them, and wildcards
    #[arg(long, short = 's', visible_aliases = ["models", "model"], short_alias = 'm', num_args = 1.., action = ArgAction::Append, value_name = "SELECTOR")]
    pub select: Vec<String>,
    /// Nodes to leave out
    #[arg(long, num_args = 1.., action = ArgAction::Append, value_name = "SELECTOR")]
    pub exclude: Vec<String>,
    /// Which tests come along with a selected node [env: DBT_INDIRECT_SELECTION]
    #[arg(long, value_name = "MODE")]
    pub indirect_selection: Option<Indirect>,
}

/// `--resource-type` and its opposite.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Selection")]
pub struct TypeArgs {
    /// Only nodes of these types
    #[arg(long, visible_alias = "resource-types", num_args = 1.., action = ArgAction::Append, value_name = "TYPE")]
    pub resource_type: Vec<String>,
    /// No nodes of these types
    #[arg(long, visible_alias = "exclude-resource-types", num_args = 1.., action = ArgAction::Append, value_name = "TYPE")]
    pub exclude_resource_type: Vec<String>,
}

/// How work is done.
#[derive(Clone, Debug, Default, Args)]
pub struct WorkArgs {
    /// How many nodes at once, instead of the profile's [env: DBT_THREADS]
    #[arg(long, value_name = "N", value_parser = above_zero)]
    pub threads: Option<usize>,
}

fn above_zero(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| "it must be a number above zero".to_owned())
}

/// `--full-refresh`.
#[derive(Clone, Debug, Default, Args)]
pub struct RefreshArgs {
    /// Build incremental models and seeds from nothing [env: DBT_FULL_REFRESH]
    #[arg(long, short = 'f')]
    pub full_refresh: bool,
}

/// `--event-time-start` and `--event-time-end`.
#[derive(Clone, Debug, Default, Args)]
pub struct EventTimeArgs {
    /// Where the batches of microbatch models start (UTC), with --event-time-end [env: DBT_EVENT_TIME_START]
    #[arg(long, value_name = "TIME")]
    pub event_time_start: Option<String>,
    /// Where they end; this instant is no part of them [env: DBT_EVENT_TIME_END]
    #[arg(long, value_name = "TIME")]
    pub event_time_end: Option<String>,
}

/// The run's clock.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Partitions")]
pub struct ClockArgs {
    /// The clock of the run: the newest partition that is due closed before it; default: now [env: DAYGRAIN_AS_OF]
    #[arg(long, value_name = "TIME")]
    pub as_of: Option<String>,
}

/// Which partitions.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Partitions")]
pub struct RangeArgs {
    /// The first partition, such as 2026-11-01 or 2026-11
    #[arg(long, value_name = "PARTITION")]
    pub start: Option<String>,
    /// The last partition
    #[arg(long, value_name = "PARTITION")]
    pub end: Option<String>,
}

/// Which partitions a command builds, and how it does.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Partitions")]
pub struct PartitionArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub clock: ClockArgs,
    /// Build this partition alone, such as 2026-11-05
    #[arg(long, value_name = "PARTITION", conflicts_with_all = ["start", "end"])]
    pub partition_date: Option<String>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub range: RangeArgs,
    /// Build the partition that is not closed yet as well; it is stale once it has closed
    #[arg(long)]
    pub include_open: bool,
    /// Exit with 0 also where due partitions must wait
    #[arg(long)]
    pub allow_waiting: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub lock: LockArgs,
}

/// `--lock-timeout`.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Partitions")]
pub struct LockArgs {
    /// How many seconds to wait for what another run is building
    #[arg(long, value_name = "SECONDS", default_value_t = PATIENCE)]
    pub lock_timeout: u64,
}

/// So many seconds another run is waited for.
const PATIENCE: u64 = 60;

impl Default for LockArgs {
    fn default() -> LockArgs {
        LockArgs {
            lock_timeout: PATIENCE,
        }
    }
}

impl LockArgs {
    /// As a length of time.
    pub fn patience(&self) -> Duration {
        Duration::from_secs(self.lock_timeout)
    }
}

/// `--dry-run`.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Partitions")]
pub struct DryRunArgs {
    /// Say what would be built and why, as plan does, and touch nothing
    #[arg(long)]
    pub dry_run: bool,
    /// With --dry-run: print the plan as JSON
    #[arg(long, requires = "dry_run")]
    pub json: bool,
}

/// `--store-failures`.
#[derive(Clone, Debug, Default, Args)]
pub struct StoreArgs {
    /// Keep the rows that fail a test in a table [env: DBT_STORE_FAILURES]
    #[arg(long)]
    pub store_failures: bool,
}

/// `build`.
#[derive(Debug, Args)]
pub struct BuildArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub select: SelectArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub types: TypeArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub work: WorkArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub refresh: RefreshArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub event_time: EventTimeArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub partitions: PartitionArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub dry: DryRunArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub store: StoreArgs,
}

/// `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub select: SelectArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub work: WorkArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub refresh: RefreshArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub event_time: EventTimeArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub partitions: PartitionArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub dry: DryRunArgs,
}

/// `test`.
#[derive(Debug, Args)]
pub struct TestArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub select: SelectArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub work: WorkArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub store: StoreArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub clock: ClockArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub lock: LockArgs,
}

/// `seed`.
#[derive(Debug, Args)]
pub struct SeedArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub select: SelectArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub work: WorkArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub refresh: RefreshArgs,
    /// Show the first rows of each seed
    #[arg(long)]
    pub show: bool,
}

/// `compile`.
#[derive(Debug, Args)]
pub struct CompileArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub select: SelectArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub types: TypeArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub work: WorkArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub refresh: RefreshArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub clock: ClockArgs,
    /// Compile this text instead of nodes
    #[arg(long, value_name = "SQL", conflicts_with = "select")]
    pub inline: Option<String>,
    /// The form of what is printed
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// `show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub select: SelectArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub refresh: RefreshArgs,
    /// Show the rows of this query, which may use ref() and source()
    #[arg(long, value_name = "SQL", conflicts_with = "select")]
    pub inline: Option<String>,
    /// How many rows; -1 for all
    #[arg(
        long,
        default_value_t = 5,
        allow_negative_numbers = true,
        value_name = "ROWS"
    )]
    pub limit: i64,
    /// The form of what is printed
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// `ls`.
#[derive(Debug, Args)]
pub struct LsArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub select: SelectArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub types: TypeArgs,
    /// The form of each line
    #[arg(long, value_enum, default_value_t = ListOutput::Selector)]
    pub output: ListOutput,
    /// The keys of each JSON line
    #[arg(long, num_args = 1.., action = ArgAction::Append, value_name = "KEY")]
    pub output_keys: Vec<String>,
}

/// `debug`.
#[derive(Debug, Args)]
pub struct DebugArgs {
    /// Print where profiles.yml is looked for, and do nothing else
    #[arg(long)]
    pub config_dir: bool,
    /// Check the connection only
    #[arg(long)]
    pub connection: bool,
}

/// `clean`.
#[derive(Debug, Args)]
pub struct CleanArgs {
    /// Also remove folders outside the project
    #[arg(long)]
    pub no_clean_project_files_only: bool,
}

/// `init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// The project's name, which is also its folder's
    pub name: String,
}

/// `run-operation`.
#[derive(Debug, Args)]
pub struct RunOperationArgs {
    /// The macro's name, with or without its package
    pub name: String,
    /// Its arguments as a YAML mapping
    #[arg(long, value_name = "YAML", default_value = "{}")]
    pub args: String,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub work: WorkArgs,
}

/// `plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// Nodes to plan for, as --select takes them; default: all
    #[arg(value_name = "SELECTOR")]
    pub nodes: Vec<String>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub select: SelectArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub types: TypeArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub refresh: RefreshArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub partitions: PartitionArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `why`.
#[derive(Debug, Args)]
pub struct WhyArgs {
    /// The model, seed or source (landing.orders)
    pub model: String,
    /// The partition, such as 2026-11-05; none for what has no partitions
    pub partition: Option<String>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub clock: ClockArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `partitions`.
#[derive(Debug, Args)]
pub struct PartitionsArgs {
    /// The model, seed or source (landing.orders)
    pub model: String,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub clock: ClockArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub range: RangeArgs,
    /// Hash the table's rows again; what is not what daygrain published will be built anew by the next run
    #[arg(long)]
    pub verify: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub lock: LockArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `backfill`.
#[derive(Debug, Args)]
pub struct BackfillArgs {
    /// Models to build, as --select takes them
    #[arg(value_name = "SELECTOR")]
    pub nodes: Vec<String>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub select: SelectArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub work: WorkArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub partitions: PartitionArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub store: StoreArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub dry: DryRunArgs,
}

/// `adopt`.
#[derive(Debug, Args)]
pub struct AdoptArgs {
    /// Models whose tables are adopted, as --select takes them
    #[arg(value_name = "SELECTOR")]
    pub nodes: Vec<String>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub select: SelectArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub clock: ClockArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub range: RangeArgs,
    /// The model's name before it was renamed (or its table's, or schema.table): its history is taken along
    #[arg(long, value_name = "OLD")]
    pub from: Option<String>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub lock: LockArgs,
}

/// A form of what is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Progress on a terminal, plain lines elsewhere
    Default,
    /// Plain lines
    Text,
    /// Plain lines with their time and thread
    Debug,
    /// A JSON object a line
    Json,
}

/// How severe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum LogLevel {
    /// Everything
    Debug,
    /// Progress and results
    Info,
    /// Warnings and errors
    Warn,
    /// Errors
    Error,
    /// Nothing
    None,
}

/// Which tests come along.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Indirect {
    /// Every test that reads a selected node
    Eager,
    /// Tests that read selected nodes only
    Cautious,
    /// Tests that read selected nodes and their ancestors only
    Buildable,
    /// None
    Empty,
}

/// Text or JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    Text,
    /// For programs
    Json,
}

/// The lines of `ls`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ListOutput {
    /// The selector that names the node alone
    Selector,
    /// The node's name
    Name,
    /// The node's file
    Path,
    /// A JSON object
    Json,
}
