//! Macros as the manifest lists them, and the names of macros resolved.

use std::sync::Arc;

use serde_json::Value as Json;

use super::properties::Patches;
use super::{Project, sorted};
use crate::jinja::language::MacroInfo;
use crate::manifest::{ById, Macro, UniqueId};

/// Lists every macro with what YAML says of it.
pub fn macros(project: &Project<'_>, patches: &Patches<'_>) -> ById<Macro> {
    let all = project.engine.macros().iter().map(|info| {
        let mut packages = project.packages.iter();
        let package = packages.position(|package| package.project.name == info.package);
        // A generic test is described by its own name.
        let patch = package.and_then(|package| {
            let short = info.name.strip_prefix("test_");
            let short = short.and_then(|short| patches.macro_(package, short));
            patches.macro_(package, &info.name).or(short)
        });
        let meta = patch.and_then(|patch| patch.entry.config.get("meta"));
        let described_by = patch.map(|patch| {
            let package = project.package(patch.properties.package);
            format!("{package}://{}", patch.properties.file.path)
        });
        Arc::new(Macro {
            unique_id: unique_id(info),
            package: Arc::clone(&info.package),
            name: info.name.to_string(),
            span: info.span.clone(),
            arguments: info.arguments.clone(),
            depends_on: resolve(project, &info.package, &info.calls, &info.dispatches),
            description: patch
                .map(|patch| patch.entry.description.clone())
                .unwrap_or_default(),
            meta: meta.and_then(Json::as_object).cloned().unwrap_or_default(),
            patch_path: described_by,
        })
    });
    sorted(all.collect(), |made| &made.unique_id)
}

/// The macros behind names as a template of a package writes them, each once; other names are left out.
pub fn resolve(
    project: &Project<'_>,
    package: &str,
    calls: &[String],
    dispatches: &[(String, Option<String>)],
) -> Vec<UniqueId> {
    let mut ids: Vec<UniqueId> = Vec::new();
    let called = calls.iter().map(|name| project.engine.find(package, name));
    let dispatched = dispatches.iter().map(|(name, namespace)| {
        project
            .engine
            .find_dispatched(package, name, namespace.as_deref())
    });
    for id in called.chain(dispatched).flatten().map(unique_id) {
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    ids
}

/// dbt's identity of a macro.
pub fn unique_id(info: &MacroInfo) -> UniqueId {
    format!("macro.{}.{}", info.package, info.name).into()
}
