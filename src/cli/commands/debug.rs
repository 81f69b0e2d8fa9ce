//! `debug`: checks the set-up step by step, and says where it looked.

use std::path::Path;
use std::sync::Arc;

use super::super::args::DebugArgs;
use super::super::pipeline::{self, Opened, TemplateFlags};
use super::{CommandResult, Invocation, Outcome};
use crate::adapter;
use crate::config::profile::{self, Target};
use crate::diagnostic::{Code, Diagnostic};
use crate::executor::event::{self, Event};
use crate::executor::session::failure;

/// `debug`.
///
/// # Errors
/// There is no project; what is wrong with its file or the profile is a check that failed.
pub fn debug(invocation: &Invocation, args: DebugArgs) -> CommandResult {
    let settings = &invocation.settings;
    let say = |text: String| invocation.report(Event::Output(event::Output::Text(text)));
    if args.config_dir {
        let folder = settings
            .profile
            .profiles_dir
            .clone()
            .or_else(|| settings.profile.home.as_ref().map(|home| home.join(".dbt")));
        let folder = folder.map_or_else(
            || "(no home folder)".to_owned(),
            |at| at.display().to_string(),
        );
        say(format!(
            "profiles.yml is looked for in the project's folder, then in {folder}"
        ));
        return Ok(Outcome::Success);
    }
    if !args.connection {
        say(format!("daygrain version: {}", env!("CARGO_PKG_VERSION")));
        say(format!(
            "operating system: {} {}",
            std::env::consts::OS,
            std::env::consts::ARCH
        ));
    }
    let mut opened = match pipeline::open(settings, TemplateFlags::default(), &|event| {
        invocation.report(event);
    }) {
        Ok(opened) => opened,
        Err(wrong) if wrong.iter().any(|found| found.code == Code::NoProject) => return Err(wrong),
        Err(wrong) => return Ok(refuse(invocation, wrong)),
    };
    if args.connection {
        say("Skipping steps before connection verification".to_owned());
    } else {
        describe(&opened, &say);
    }
    for warning in std::mem::take(&mut opened.warnings) {
        invocation.report(Event::Diagnostic(Arc::new(warning)));
    }
    let others = opened.target.connections.iter();
    let others = others.map(|(name, target)| (format!("Connection `{name}`:"), &**target));
    let own = ("Connection:".to_owned(), &*opened.target);
    let mut failures = Vec::new();
    for (title, target) in std::iter::once(own).chain(others) {
        say(title);
        for (name, value) in profile::target_facts(target) {
            let hidden = matches!(name.as_str(), "name" | "profile_name" | "target_name");
            if !hidden && !value.is_null() {
                let value = value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned);
                say(format!("  {name}: {value}"));
            }
        }
        let ended = connect(target, &opened.project.root);
        say(match ended {
            Ok(()) => "  Connection test: [OK connection ok]".to_owned(),
            Err(_) => "  Connection test: [ERROR]".to_owned(),
        });
        failures.extend(ended.err());
    }
    say(match failures.len() {
        0 => "All checks passed!".to_owned(),
        1 => "1 check failed:".to_owned(),
        more => format!("{more} checks failed:"),
    });
    Ok(match failures.is_empty() {
        true => Outcome::Success,
        false => {
            for failure in failures {
                invocation.report(Event::Diagnostic(Arc::new(*failure)));
            }
            Outcome::Failed
        }
    })
}

/// Says which of the two files is wrong, and why.
fn refuse(invocation: &Invocation, wrong: Vec<Diagnostic>) -> Outcome {
    let in_project = |found: &Diagnostic| {
        let places = found.labels.iter();
        places
            .map(|label| label.span.file.path.as_str())
            .any(|path| path.ends_with("dbt_project.yml"))
    };
    let (file, what) = if wrong.iter().any(in_project) {
        ("dbt_project.yml", "Project")
    } else {
        ("profiles.yml", "Profile")
    };
    let lines = [
        "Configuration:".to_owned(),
        format!("  {file} file [ERROR invalid]"),
        "1 check failed:".to_owned(),
        format!("{what} loading failed for the following reason:"),
    ];
    for line in lines {
        invocation.report(Event::Output(event::Output::Text(line)));
    }
    for diagnostic in wrong {
        invocation.report(Event::Diagnostic(Arc::new(diagnostic)));
    }
    Outcome::Failed
}

fn describe(opened: &Opened, say: &dyn Fn(String)) {
    let project = opened.project.root.join("dbt_project.yml");
    say(format!(
        "Using dbt_project.yml file at {}",
        project.display()
    ));
    match &opened.target.file {
        Some(file) => say(format!(
            "Using profiles.yml file at {}",
            file.absolute.display()
        )),
        None => say("Using the embedded database, since the project names no profile".to_owned()),
    }
    say(format!(
        "profile: {}, target: {}",
        opened.target.profile, opened.target.name
    ));
    say(format!("adapter type: {}", opened.target.dialect.name));
    say("Configuration:".to_owned());
    say("  profiles.yml file [OK found and valid]".to_owned());
    say("  dbt_project.yml file [OK found and valid]".to_owned());
}

fn connect(target: &Target, root: &Path) -> Result<(), Box<Diagnostic>> {
    let adapter = adapter::open(target, root)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(pipeline::no_session)?;
    let sql = "select 1 as id";
    runtime
        .block_on(async {
            let mut connection = adapter.connect().await?;
            connection.execute(sql).await
        })
        .map(|_| ())
        .map_err(|error| failure(error, Some(sql)))
}
