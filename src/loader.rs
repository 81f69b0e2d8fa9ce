//! Walks a project and its packages, and reads every file once, in parallel.
//!
//! What dbt reads is read here: hidden folders too, files whose names begin with `.`, `#` or `~`
//! not, nor what `.dbtignore` names. The target, log and package folders are never walked, even
//! where a model path holds them. Nothing here looks into a file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ignore::WalkBuilder;
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use rayon::prelude::*;
use rustc_hash::FxHashMap;

use crate::config::project::{self, ProjectFile};
use crate::config::{RenderText, packages};
use crate::diagnostic::{Code, Diagnostic};
use crate::source::SourceFile;

/// The files of one package, each list sorted by path.
#[derive(Debug)]
pub struct Package {
    /// Its `dbt_project.yml`.
    pub project: ProjectFile,
    /// `.sql` files below the model paths; each path is relative to the package's root.
    pub models: Vec<LoadedFile>,
    /// `.csv` files below the seed paths; their text is not read (only [`SourceFile::absolute`] is set).
    pub seeds: Vec<LoadedFile>,
    /// `.sql` files below the test paths, outside their `generic` and `fixtures` folders.
    pub tests: Vec<LoadedFile>,
    /// `.sql` files below the macro paths and the `generic` folders of the test paths.
    pub macros: Vec<LoadedFile>,
    /// `.sql` files below the analysis paths.
    pub analyses: Vec<LoadedFile>,
    /// `.sql` files below the snapshot paths.
    pub snapshots: Vec<LoadedFile>,
    /// `.yml` and `.yaml` files below any of the paths.
    pub properties: Vec<LoadedFile>,
    /// `.md` files below the docs paths.
    pub docs: Vec<LoadedFile>,
}

/// A file and the configured folder that it was found in.
#[derive(Clone, Debug)]
pub struct LoadedFile {
    /// The file.
    pub file: Arc<SourceFile>,
    /// The entry of `model-paths` or the like, such as `models`.
    pub folder: Arc<str>,
}

impl LoadedFile {
    /// The path below the configured folder.
    pub fn below(&self) -> &str {
        let path = &self.file.path;
        path.strip_prefix(&*self.folder)
            .and_then(|rest| rest.strip_prefix('/'))
            .unwrap_or(path)
    }
}

/// Reads the root project and the packages that are installed below it (root first).
pub fn load(root: ProjectFile, render: &RenderText<'_>) -> (Vec<Package>, Vec<Diagnostic>) {
    let (declared, mut diagnostics) = packages::declared(&root);
    let folders = package_folders(&root);
    let names: Vec<String> = folders.keys().cloned().collect();
    diagnostics.extend(packages::missing(&root, &declared, &names));
    let (installed, errors) = read_packages(&root, &folders, render);
    diagnostics.extend(errors);

    let mut projects = vec![root];
    projects.extend(installed);
    let loaded: Vec<(Package, Vec<Diagnostic>)> =
        projects.into_par_iter().map(load_package).collect();
    let mut result = Vec::with_capacity(loaded.len());
    for (package, errors) in loaded {
        diagnostics.extend(errors);
        result.push(package);
    }
    (result, diagnostics)
}

/// The folders of installed packages, by name.
fn package_folders(root: &ProjectFile) -> BTreeMap<String, PathBuf> {
    let folder = root.root.join(&root.paths.packages);
    let Ok(entries) = std::fs::read_dir(folder) else {
        return BTreeMap::new();
    };
    entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .filter_map(|path| Some((path.file_name()?.to_str()?.to_owned(), path)))
        .filter(|(name, _)| !name.starts_with("__") && !name.starts_with('.'))
        .collect()
}

fn read_packages(
    root: &ProjectFile,
    folders: &BTreeMap<String, PathBuf>,
    render: &RenderText<'_>,
) -> (Vec<ProjectFile>, Vec<Diagnostic>) {
    let mut projects: Vec<ProjectFile> = Vec::new();
    let mut diagnostics = Vec::new();
    for (folder, path) in folders {
        let (project, errors) = project::read(path, render);
        let place = format!("in the package at `{}/{folder}`", root.paths.packages);
        for error in errors {
            if error.code == Code::NoProject {
                let message = format!("`{}/{folder}` is no package", root.paths.packages);
                diagnostics.push(
                    Diagnostic::warning(Code::NoProject, message)
                        .note(format!("it has no `{}`", project::FILE_NAME))
                        .help("remove the folder, or install the package again"),
                );
            } else if error.is_error() {
                // Warnings are for the people who can change the package.
                diagnostics.push(error.note(&place));
            }
        }
        let Some(project) = project else { continue };
        let other = std::iter::once(root)
            .chain(&projects)
            .find(|other| other.name == project.name);
        if let Some(other) = other {
            let relative = other.root.strip_prefix(&root.root).unwrap_or(&other.root);
            diagnostics.push(
                Diagnostic::error(
                    Code::DuplicateName,
                    format!("two packages are named `{}`", project.name),
                )
                .note(format!(
                    "one is at `{}/{folder}`, the other at `{}`",
                    root.paths.packages,
                    root_path(relative)
                ))
                .help("remove or rename one of the two"),
            );
            continue;
        }
        projects.push(project);
    }
    (projects, diagnostics)
}

fn root_path(path: &Path) -> String {
    let text = path.to_string_lossy();
    if text.is_empty() {
        ".".to_owned()
    } else {
        text.into_owned()
    }
}

/// What a kind of file is found by.
struct Kind {
    folders: Vec<String>,
    extensions: &'static [&'static str],
}

impl Kind {
    fn of(folders: &[String], extensions: &'static [&'static str]) -> Kind {
        Kind {
            folders: folders.to_vec(),
            extensions,
        }
    }
}

fn load_package(project: ProjectFile) -> (Package, Vec<Diagnostic>) {
    let paths = &project.paths;
    let generic = |path: &String| format!("{path}/generic");
    let macros = paths.macros.iter().cloned();
    let macros: Vec<String> = macros.chain(paths.tests.iter().map(generic)).collect();
    let sources = paths.sources();
    let kinds = [
        Kind::of(&paths.models, &["sql"]),
        Kind::of(&paths.seeds, &["csv"]),
        Kind::of(&paths.tests, &["sql"]),
        Kind::of(&macros, &["sql"]),
        Kind::of(&paths.analyses, &["sql"]),
        Kind::of(&paths.snapshots, &["sql"]),
        Kind::of(&sources, &["yml", "yaml"]),
        Kind::of(&paths.docs, &["md"]),
        Kind::of(&paths.models, &["py"]),
        Kind::of(&paths.functions, &["sql", "py"]),
    ];
    let (found, mut diagnostics) = walk(&project, &kinds);
    let [
        models,
        seeds,
        mut tests,
        macros,
        analyses,
        snapshots,
        properties,
        docs,
        python,
        functions,
    ] = pick(&kinds, &found);
    tests.retain(|(path, folder)| {
        let below = path.strip_prefix(&**folder).unwrap_or(path);
        let first = below.trim_start_matches('/').split('/').next();
        !matches!(first, Some("generic" | "fixtures"))
    });
    for (path, _) in &python {
        diagnostics.push(unsupported(path, "Python models"));
    }
    for (path, _) in &functions {
        diagnostics.push(unsupported(path, "functions"));
    }

    let mut texts: Vec<&String> = [
        &models,
        &tests,
        &macros,
        &analyses,
        &snapshots,
        &properties,
        &docs,
    ]
    .into_iter()
    .flatten()
    .map(|(path, _)| path)
    .collect();
    texts.sort_unstable();
    texts.dedup();
    let read: Vec<Result<Arc<SourceFile>, Box<Diagnostic>>> = texts
        .par_iter()
        .map(|path| read_file(&project.root, path))
        .collect();
    let mut files: FxHashMap<String, Arc<SourceFile>> = FxHashMap::default();
    for file in read {
        match file {
            Ok(file) => drop(files.insert(file.path.clone(), file)),
            Err(error) => diagnostics.push(*error),
        }
    }
    let loaded = |list: Vec<Found>| -> Vec<LoadedFile> {
        list.into_iter()
            .filter_map(|(path, folder)| {
                let file = Arc::clone(files.get(&path)?);
                Some(LoadedFile { file, folder })
            })
            .collect()
    };
    let seeds = seeds.into_iter().map(|(path, folder)| {
        let file = Arc::new(SourceFile {
            absolute: project.root.join(&path),
            path,
            text: String::new(),
        });
        LoadedFile { file, folder }
    });
    let package = Package {
        models: loaded(models),
        seeds: seeds.collect(),
        tests: loaded(tests),
        macros: loaded(macros),
        analyses: loaded(analyses),
        snapshots: loaded(snapshots),
        properties: loaded(properties),
        docs: loaded(docs),
        project,
    };
    (package, diagnostics)
}

fn unsupported(path: &str, what: &str) -> Diagnostic {
    Diagnostic::warning(
        Code::Unsupported,
        format!("`{path}` is left out: {what} cannot be run yet"),
    )
    .help("write it as a SQL model, or name it in `.dbtignore`")
}

/// A path below the package's root, and the configured folder.
type Found = (String, Arc<str>);

/// The files below each folder that any kind names, by that folder.
fn walk(project: &ProjectFile, kinds: &[Kind]) -> (BTreeMap<String, Vec<String>>, Vec<Diagnostic>) {
    let mut diagnostics = Vec::new();
    let ignored = ignored(&project.root, &mut diagnostics);
    let mut folders: Vec<&String> = kinds.iter().flat_map(|kind| &kind.folders).collect();
    folders.sort_unstable();
    folders.dedup();
    let walked: Vec<(String, Vec<String>, Vec<Diagnostic>)> = folders
        .par_iter()
        .map(|folder| {
            let (files, errors) = walk_folder(project, folder, &ignored);
            ((*folder).clone(), files, errors)
        })
        .collect();
    let mut found = BTreeMap::new();
    for (folder, files, errors) in walked {
        found.insert(folder, files);
        diagnostics.extend(errors);
    }
    (found, diagnostics)
}

fn ignored(root: &Path, diagnostics: &mut Vec<Diagnostic>) -> Gitignore {
    let path = root.join(".dbtignore");
    if !path.is_file() {
        return Gitignore::empty();
    }
    let mut builder = GitignoreBuilder::new(root);
    let failed = builder.add(&path);
    let built = builder.build();
    let failed = failed.or_else(|| built.as_ref().err().cloned());
    if let Some(error) = failed {
        diagnostics.push(
            Diagnostic::error(Code::Io, format!("cannot read `.dbtignore`: {error}"))
                .help("write one pattern a line, as in `.gitignore`"),
        );
    }
    built.unwrap_or_else(|_| Gitignore::empty())
}

fn walk_folder(
    project: &ProjectFile,
    folder: &str,
    ignored: &Gitignore,
) -> (Vec<String>, Vec<Diagnostic>) {
    let root = &project.root;
    let top = root.join(folder);
    let mut files = Vec::new();
    let mut errors = Vec::new();
    if !top.is_dir() {
        return (files, errors);
    }
    let paths = &project.paths;
    let never = [&paths.target, &paths.packages, &paths.logs].map(|path| root.join(path));
    let walker = WalkBuilder::new(&top)
        .standard_filters(false)
        .filter_entry(move |entry| {
            // The folder asked for is walked, whatever its name.
            entry.depth() == 0 || !never.iter().any(|never| entry.path() == never)
        })
        .build();
    for entry in walker {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                let message = format!("cannot walk `{folder}`: {error}");
                errors.push(Diagnostic::error(Code::Io, message));
                continue;
            }
        };
        let path = entry.path();
        // A link to a file counts as a file, a link to a folder is not followed, as in dbt.
        let is_file = entry
            .file_type()
            .is_some_and(|kind| kind.is_file() || (kind.is_symlink() && path.is_file()));
        if !is_file {
            continue;
        }
        let Some(relative) = relative(root, path) else {
            let message = format!("the name of `{}` is not UTF-8", path.display());
            errors.push(Diagnostic::error(Code::Io, message).help("rename the file"));
            continue;
        };
        let name = relative.rsplit('/').next().unwrap_or(&relative);
        if name.starts_with(['.', '#', '~'])
            || (!ignored.is_empty()
                && ignored
                    .matched_path_or_any_parents(Path::new(&relative), false)
                    .is_ignore())
        {
            continue;
        }
        files.push(relative);
    }
    files.sort_unstable();
    (files, errors)
}

/// A path below a folder, with `/` between its parts.
fn relative(root: &Path, path: &Path) -> Option<String> {
    let relative = path.strip_prefix(root).unwrap_or(path);
    let parts: Option<Vec<&str>> = relative
        .components()
        .map(|part| part.as_os_str().to_str())
        .collect();
    Some(parts?.join("/"))
}

/// The files of each kind, each file once, sorted by path.
fn pick<const N: usize>(
    kinds: &[Kind; N],
    found: &BTreeMap<String, Vec<String>>,
) -> [Vec<Found>; N] {
    std::array::from_fn(|index| {
        let kind = &kinds[index];
        let mut files: Vec<Found> = Vec::new();
        for folder in &kind.folders {
            let name: Arc<str> = Arc::from(folder.as_str());
            let below = found.get(folder).into_iter().flatten();
            files.extend(
                below
                    .filter(|path| has_extension(path, kind.extensions))
                    .map(|path| (path.clone(), Arc::clone(&name))),
            );
        }
        // Of folders inside each other, the first that is configured has the file.
        files.sort_by(|one, other| one.0.cmp(&other.0));
        files.dedup_by(|next, kept| next.0 == kept.0);
        files
    })
}

fn has_extension(path: &str, extensions: &[&str]) -> bool {
    let Some((_, extension)) = path.rsplit_once('.') else {
        return false;
    };
    extensions
        .iter()
        .any(|wanted| extension.eq_ignore_ascii_case(wanted))
}

fn read_file(root: &Path, path: &str) -> Result<Arc<SourceFile>, Box<Diagnostic>> {
    let absolute = root.join(path);
    let bytes = std::fs::read(&absolute).map_err(|error| {
        let message = format!("cannot read `{path}`: {error}");
        Box::new(
            Diagnostic::error(Code::Io, message).help("mend the file's permissions, or remove it"),
        )
    })?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = good.iter().filter(|&&byte| byte == b'\n').count() + 1;
        let message = format!("`{path}` is not UTF-8: see its line {line}");
        Box::new(Diagnostic::error(Code::Io, message).help("save the file as UTF-8"))
    })?;
    let text = match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    };
    Ok(Arc::new(SourceFile {
        path: path.to_owned(),
        absolute,
        text,
    }))
}

#[cfg(test)]
mod tests;
