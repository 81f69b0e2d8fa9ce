//! `clean`: removes the folders of `clean-targets`.

use std::path::{Component, Path, PathBuf};

use super::super::args::CleanArgs;
use super::super::pipeline::{self, TemplateFlags};
use super::{CommandResult, Invocation, Outcome};
use crate::diagnostic::{Code, Diagnostic};
use crate::executor::event::{self, Event};

/// `clean`.
///
/// # Errors
/// A folder that must not be removed, or cannot be.
pub fn clean(invocation: &Invocation, args: CleanArgs) -> CommandResult {
    let opened = pipeline::open(&invocation.settings, TemplateFlags::default(), &|event| {
        invocation.report(event);
    })?;
    let paths = &opened.project.paths;
    let root = normal(&opened.project.root);
    let mut sources: Vec<PathBuf> = [&paths.models, &paths.seeds, &paths.tests, &paths.macros]
        .into_iter()
        .chain([&paths.analyses, &paths.snapshots])
        .flatten()
        .map(|folder| normal(&root.join(folder)))
        .collect();
    sources.push(root.clone());
    // What holds the embedded database is never cleaned.
    sources.push(root.join(".daygrain"));
    let mut wrong = Vec::new();
    let mut folders = Vec::new();
    for target in &paths.clean {
        let folder = normal(&root.join(target));
        match refusal(&folder, &root, &sources, &args) {
            Some(diagnostic) => wrong.push(diagnostic),
            None => folders.push((target, folder)),
        }
    }
    if !wrong.is_empty() {
        return Err(wrong);
    }
    for (target, folder) in folders {
        let text = match std::fs::remove_dir_all(&folder) {
            Ok(()) => format!("Cleaned {target}"),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                format!("Nothing to clean in {target}")
            }
            Err(error) => {
                let message = format!("cannot remove `{target}`: {error}");
                return Err(vec![Diagnostic::error(Code::Io, message)]);
            }
        };
        invocation.report(Event::Output(event::Output::Text(text)));
    }
    Ok(Outcome::Success)
}

fn refusal(
    folder: &Path,
    root: &Path,
    sources: &[PathBuf],
    args: &CleanArgs,
) -> Option<Diagnostic> {
    let shown = folder.strip_prefix(root).unwrap_or(folder).display();
    if sources.iter().any(|source| source.starts_with(folder)) {
        let message =
            format!("`clean` will not remove `{shown}`: it holds what the project is made of");
        return Some(
            Diagnostic::error(Code::Usage, message)
                .help("take it out of `clean-targets` in dbt_project.yml"),
        );
    }
    if folder.join("CACHEDIR.TAG").exists() {
        let message = format!("`clean` will not remove `{shown}`: it is another program's cache");
        return Some(
            Diagnostic::error(Code::Usage, message)
                .help("name a folder of your own as `target-path`, such as `target/daygrain`"),
        );
    }
    if !folder.starts_with(root) && !args.no_clean_project_files_only {
        let message = format!(
            "`clean` will not remove `{}`: it lies outside the project",
            folder.display()
        );
        return Some(
            Diagnostic::error(Code::Usage, message)
                .help("to remove it all the same, add `--no-clean-project-files-only`"),
        );
    }
    None
}

/// A path without `.` and `..`, by its words alone.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                normal.pop();
            }
            other => normal.push(other),
        }
    }
    normal
}
