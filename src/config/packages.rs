//! `packages.yml` and `dependencies.yml`: which packages a project declares.

use std::path::Path;
use std::sync::Arc;

use crate::diagnostic::{Code, Diagnostic};
use crate::source::{SourceFile, Span};
use crate::yaml::{self, Yaml};

use super::project::ProjectFile;

/// The kinds of entries; the value of the first key that is there names the package.
const KINDS: &[&str] = &["package", "local", "git", "private", "tarball"];

/// One entry below `packages`.
#[derive(Debug)]
pub struct Declared {
    /// What the entry says, such as `dbt-labs/dbt_utils` or a path.
    pub text: String,
    /// The folder that it is most likely installed in.
    pub folder: String,
    /// Where it stands.
    pub span: Span,
}

/// Reads what a project declares.
pub fn declared(project: &ProjectFile) -> (Vec<Declared>, Vec<Diagnostic>) {
    let mut diagnostics = Vec::new();
    let packages = tree(&project.root, "packages.yml", &mut diagnostics);
    let dependencies = tree(&project.root, "dependencies.yml", &mut diagnostics);
    let entry = |tree: &Option<(Arc<SourceFile>, Yaml)>, key: &str| {
        let (file, tree) = tree.as_ref()?;
        let (key, value) = tree.get_entry(key)?;
        Some((Arc::clone(file), key.clone(), value.clone()))
    };
    if let Some((file, key, _)) = entry(&packages, "projects") {
        diagnostics.push(
            Diagnostic::error(
                Code::YamlShape,
                "`packages.yml` cannot have the key `projects`",
            )
            .at(key.span(&file))
            .help("move it to `dependencies.yml`"),
        );
    }
    if let Some((file, key, value)) = entry(&dependencies, "projects")
        && !value.is_null()
    {
        diagnostics.push(
            Diagnostic::warning(
                Code::Unsupported,
                "projects of other people's making cannot be read yet",
            )
            .at(key.span(&file))
            .help("declare what you need below `packages`"),
        );
    }
    let found = match (
        entry(&packages, "packages"),
        entry(&dependencies, "packages"),
    ) {
        (Some((first, key, _)), Some((second, again, _))) => {
            diagnostics.push(
                Diagnostic::error(
                    Code::YamlShape,
                    "`packages.yml` and `dependencies.yml` cannot both have the key `packages`",
                )
                .at(again.span(&second))
                .label(key.span(&first), "first here")
                .help("keep one of the two"),
            );
            return (Vec::new(), diagnostics);
        }
        (Some(found), None) | (None, Some(found)) => found,
        (None, None) => return (Vec::new(), diagnostics),
    };
    let (file, _, value) = found;
    let mut packages = Vec::new();
    if value.is_null() {
        return (packages, diagnostics);
    }
    match value.expect_sequence("`packages`", &file) {
        Ok(items) => {
            for item in items {
                match package(item, &file) {
                    Ok(package) => packages.push(package),
                    Err(error) => diagnostics.push(*error),
                }
            }
        }
        Err(error) => diagnostics.push(*error),
    }
    (packages, diagnostics)
}

fn tree(
    root: &Path,
    name: &str,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<(Arc<SourceFile>, Yaml)> {
    let absolute = root.join(name);
    let text = match std::fs::read_to_string(&absolute) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => {
            let message = format!("cannot read `{name}`: {error}");
            diagnostics.push(Diagnostic::error(Code::Io, message));
            return None;
        }
    };
    let file = Arc::new(SourceFile {
        path: name.to_owned(),
        absolute,
        text,
    });
    match yaml::parse_with_warnings(&file, diagnostics) {
        Ok(tree) => Some((file, tree)),
        Err(error) => {
            diagnostics.push(*error);
            None
        }
    }
}

fn package(item: &Yaml, file: &Arc<SourceFile>) -> Result<Declared, Box<Diagnostic>> {
    item.expect_mapping("an entry of `packages`", file)?;
    let found = KINDS
        .iter()
        .find_map(|kind| item.get(kind).map(|value| (kind, value)));
    let Some((kind, value)) = found else {
        return Err(Box::new(
            Diagnostic::error(Code::YamlShape, "an entry of `packages` names no package")
                .at(item.span(file))
                .help("give it one of `package`, `git`, `local`, `tarball`, `private`"),
        ));
    };
    let text = value.expect_str(&format!("`{kind}`"), file)?;
    let name = item.get("name").and_then(Yaml::as_str).unwrap_or(text);
    let tail = name
        .trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or(name);
    Ok(Declared {
        text: text.to_owned(),
        folder: tail.trim_end_matches(".git").replace('-', "_"),
        span: value.span(file),
    })
}

/// The errors of declared packages that are not there, given the names of the folders that are.
///
/// As in dbt it is the number that counts, for a repository's folder can have any name.
pub fn missing(
    project: &ProjectFile,
    declared: &[Declared],
    installed: &[String],
) -> Vec<Diagnostic> {
    if declared.len() <= installed.len() {
        return Vec::new();
    }
    let there = |package: &&Declared| {
        !installed
            .iter()
            .any(|folder| folder.replace('-', "_") == package.folder)
    };
    declared
        .iter()
        .filter(there)
        .map(|package| {
            Diagnostic::error(
                Code::MissingPackage,
                format!(
                    "the package `{}` is not installed in `{}`",
                    package.text, project.paths.packages
                ),
            )
            .at(package.span.clone())
            .help("run `dbt deps`: daygrain cannot install packages yet")
        })
        .collect()
}
