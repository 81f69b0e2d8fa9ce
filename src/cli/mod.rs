//! The command line: the terminal, the environment, the exit code.
//!
//! Exit codes: 0 all well, 1 something failed, 2 the user's input is wrong.

pub mod args;
pub mod commands;
mod interrupt;
mod output;
pub mod pipeline;
pub mod reporter;
pub mod settings;
mod shown;
pub mod table;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use clap::Parser;

use crate::diagnostic::Diagnostic;
use crate::executor::event::Event;
use crate::secrets::Redactor;
use args::{Cli, Command};
use commands::{CommandResult, Invocation, Outcome};
use settings::Settings;

/// Runs the program; the one place that reads the process's arguments, environment and folder.
pub fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and the version are no errors; clap knows where each belongs.
            let code = if error.use_stderr() { 2 } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    // Arguments may hold secrets, and the reporter that masks them is not there yet.
    let redactor = Redactor::new(&environment);
    let here = match std::env::current_dir() {
        Ok(here) => here,
        Err(error) => {
            eprintln!("Error: cannot tell the current folder: {error}");
            return ExitCode::from(2);
        }
    };
    let mut settings = match Settings::new(cli.command.name(), &cli.global, environment, &here) {
        Ok(settings) => settings,
        Err(wrong) => {
            for diagnostic in &wrong {
                eprintln!("{}", redactor.text(&diagnostic.to_string()));
            }
            return ExitCode::from(2);
        }
    };
    settings.quiet |= cli.command.prints_json();
    let reporter = reporter::start(output::reporter_settings(&settings));
    let invocation = Invocation::new(settings, reporter.events());
    let code = dispatch(&invocation, cli.command, &arguments.join(" "), &here);
    drop(invocation);
    reporter.finish();
    ExitCode::from(code)
}

fn dispatch(invocation: &Invocation, command: Command, typed: &str, here: &Path) -> u8 {
    let started = Instant::now();
    invocation.report(Event::CommandStarted {
        command: typed.to_owned(),
    });
    let (code, success) = match call(invocation, command, here) {
        Ok(Outcome::Success) => (0, true),
        Ok(Outcome::Failed) => (1, false),
        Err(wrong) => {
            let wrong: Vec<Arc<Diagnostic>> = wrong.into_iter().map(Arc::new).collect();
            invocation.report(Event::Fatal(wrong));
            (2, false)
        }
    };
    invocation.report(Event::CommandFinished {
        command: typed.to_owned(),
        success,
        elapsed: started.elapsed(),
    });
    code
}

fn call(invocation: &Invocation, command: Command, here: &Path) -> CommandResult {
    match command {
        Command::Build(args) => commands::work::build(invocation, args),
        Command::Run(args) => commands::work::run(invocation, args),
        Command::Test(args) => commands::work::test(invocation, args),
        Command::Seed(args) => commands::work::seed(invocation, args),
        Command::Compile(args) => commands::compile::compile(invocation, args),
        Command::Show(args) => commands::show::show(invocation, args),
        Command::Ls(args) => commands::ls::ls(invocation, args),
        Command::Parse => commands::parse::parse(invocation),
        Command::Debug(args) => commands::debug::debug(invocation, args),
        Command::Clean(args) => commands::clean::clean(invocation, args),
        Command::Init(args) => commands::init::init(invocation, args, here),
        Command::RunOperation(args) => commands::run_operation::run_operation(invocation, args),
        Command::Plan(args) => commands::plan::plan(invocation, args),
        Command::Why(args) => commands::why::why(invocation, args),
        Command::Partitions(args) => commands::partitions::partitions(invocation, args),
        Command::Backfill(args) => commands::work::backfill(invocation, args),
        Command::Adopt(args) => commands::adopt::adopt(invocation, args),
    }
}
