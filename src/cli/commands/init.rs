//! `init`: a small project that runs at once on the embedded database.

use std::path::Path;

use super::super::args::InitArgs;
use super::{CommandResult, Invocation, Outcome};
use crate::diagnostic::{Code, Diagnostic};
use crate::executor::event::{self, Event};
use crate::files;

/// The files of a new project; `{name}` stands for its name.
const FILES: &[(&str, &str)] = &[
    (
        "dbt_project.yml",
        "name: {name}
version: '1.0.0'

# Without a profile, models are built in an embedded database, a file in .daygrain.
# To build elsewhere, add a profiles.yml and name its profile here:
# profile: {name}

models:
  {name}:
    +materialized: view
",
    ),
    (
        "models/greetings.sql",
        "select
    id,
    upper(greeting) as greeting
from {{ ref('raw_greetings') }}
",
    ),
    (
        "models/schema.yml",
        "version: 2

models:
  - name: greetings
    description: Every greeting, in capitals.
    columns:
      - name: id
        data_tests: [unique, not_null]
",
    ),
    (
        "seeds/raw_greetings.csv",
        "id,greeting\n1,good morning\n2,good night\n",
    ),
    (".gitignore", "target/\nlogs/\ndbt_packages/\n.daygrain/\n"),
];

/// `init`.
///
/// # Errors
/// A name that is none, a folder that is taken, a file that cannot be written.
pub fn init(invocation: &Invocation, args: InitArgs, here: &Path) -> CommandResult {
    let name = &args.name;
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if !starts_well || !name.chars().all(is_word) {
        let message = format!("`{name}` cannot be a project's name");
        return Err(vec![Diagnostic::error(Code::Usage, message).help(
            "use letters, digits and underscores, and begin with no digit",
        )]);
    }
    let root = here.join(name);
    if root.exists() {
        let message = format!("a file or folder named `{name}` exists");
        return Err(vec![
            Diagnostic::error(Code::Usage, message).help("choose another name"),
        ]);
    }
    for (path, text) in FILES {
        let text = text.replace("{name}", name);
        files::write_text(&root.join(path), &text).map_err(|error| {
            let message = format!("cannot write `{name}/{path}`: {error}");
            vec![Diagnostic::error(Code::Io, message)]
        })?;
    }
    let text = format!("Made the project {name}.\nBuild it: cd {name} && daygrain build");
    invocation.report(Event::Output(event::Output::Text(text)));
    Ok(Outcome::Success)
}
