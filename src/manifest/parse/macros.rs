//! Macros as the manifest lists them, and the names of macros resolved.

use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::{Map, Value as Json};

use super::properties::Patches;
use super::{Project, sorted};
use crate::diagnostic::{Code, Diagnostic};
use crate::jinja::language::MacroInfo;
use crate::manifest::{Macro, UniqueId};

/// Lists every macro with what YAML says of it.
pub fn macros(
    project: &Project<'_>,
    patches: &Patches<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> IndexMap<UniqueId, Arc<Macro>> {
    let mut all: IndexMap<UniqueId, Macro> = IndexMap::new();
    for info in project.engine.macros() {
        let id = unique_id(info);
        if let Some(first) = all.get(&id) {
            let message = format!(
                "two macros are named `{}` in package `{}`",
                info.name, info.package
            );
            let error = Diagnostic::error(Code::DuplicateName, message).at(head(info));
            let first = crate::source::Span::new(&first.span.file, first_line(&first.span));
            diagnostics.push(error.label(first, "first here").help("rename one of them"));
            continue;
        }
        let package = project
            .packages
            .iter()
            .position(|package| package.project.name == info.package);
        // A generic test is described by its own name.
        let patch = package.and_then(|package| {
            let short = info.name.strip_prefix("test_");
            let short = short.and_then(|short| patches.macro_(package, short));
            patches.macro_(package, &info.name).or(short)
        });
        let meta = patch.and_then(|patch| patch.entry.config.get("meta"));
        let made = Macro {
            unique_id: id.clone(),
            package: Arc::clone(&info.package),
            name: info.name.to_string(),
            span: info.span.clone(),
            arguments: info.arguments.clone(),
            depends_on: resolve(
                project,
                &info.package,
                info.calls.iter().map(String::as_str),
            ),
            description: patch
                .map(|patch| patch.entry.description.clone())
                .unwrap_or_default(),
            meta: meta
                .and_then(Json::as_object)
                .cloned()
                .unwrap_or_else(Map::new),
            patch_path: patch.map(|patch| {
                format!(
                    "{}://{}",
                    project.package(patch.properties.package),
                    patch.properties.file.path
                )
            }),
        };
        all.insert(id, made);
    }
    sorted(all.into_iter().collect())
}

/// The macros behind names as a template of a package writes them; names of functions are left out.
pub fn resolve<'n>(
    project: &Project<'_>,
    package: &str,
    names: impl IntoIterator<Item = &'n str>,
) -> Vec<UniqueId> {
    let mut ids: Vec<UniqueId> = Vec::new();
    let dialect = project.target.dialect.name;
    for name in names {
        let found = project.engine.find(package, name).or_else(|| {
            // The first argument of `adapter.dispatch`.
            let prefixes = [dialect, "default"].into_iter();
            prefixes
                .filter_map(|prefix| project.engine.find(package, &format!("{prefix}__{name}")))
                .next()
        });
        if let Some(id) = found.map(unique_id)
            && !ids.contains(&id)
        {
            ids.push(id);
        }
    }
    ids
}

/// dbt's identity of a macro.
pub fn unique_id(info: &MacroInfo) -> UniqueId {
    format!("macro.{}.{}", info.package, info.name).into()
}

fn head(info: &MacroInfo) -> crate::source::Span {
    crate::source::Span::new(&info.span.file, first_line(&info.span))
}

fn first_line(span: &crate::source::Span) -> std::ops::Range<usize> {
    let text = span.file.text.get(span.range.clone()).unwrap_or_default();
    let length = text.find('\n').unwrap_or(text.len());
    span.range.start..span.range.start + length
}
