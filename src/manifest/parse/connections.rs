//! A project whose nodes live in several databases: each node is read as its own connection sees it.
//!
//! Which one that is must be known before a template is rendered, since `target`, the dialect and the
//! macros depend on it: so `connection` stands in `dbt_project.yml` or in a property file.

use std::sync::Arc;

use super::names::Names;
use super::{Project, files};
use crate::config::node_config::NodeConfig;
use crate::config::profile::Target;
use crate::diagnostic::{Code, Diagnostic, nearest};
use crate::jinja::context::ProjectFacts;
use crate::jinja::language::Engine;
use crate::manifest::{Manifest, Node};
use crate::source::Span;

/// The config that names a node's connection.
pub const KEY: &str = "connection";

/// A database of the profile, and how templates are rendered for it.
pub struct Connection<'a> {
    /// Its name; `None` for the target's own.
    pub name: Option<Arc<str>>,
    /// The macros, those of its dialect among them.
    pub engine: &'a Engine,
    /// What templates see; `target` is this one.
    pub facts: &'a Arc<ProjectFacts>,
    /// Its profile.
    pub target: &'a Target,
}

/// The project as one connection sees it.
pub struct View<'a> {
    /// Its name; `None` for the target's own.
    pub name: Option<Arc<str>>,
    pub project: Project<'a>,
    pub names: Names,
}

/// The project as each connection sees it; the target's own is the first.
pub struct Views<'a>(Vec<View<'a>>);

impl<'a> Views<'a> {
    /// Makes the views; `project` is the main connection's.
    pub fn new(project: Project<'a>, others: &[Connection<'a>]) -> Views<'a> {
        let others: Vec<_> = others
            .iter()
            .map(|connection| (connection.name.clone(), project.seen_by(connection)))
            .collect();
        let all = std::iter::once((None, project)).chain(others);
        let views = all.map(|(name, project)| View {
            name,
            names: Names::new(&project),
            project,
        });
        Views(views.collect())
    }

    /// The view of the target's own connection.
    pub fn main(&self) -> &View<'a> {
        &self.0[0]
    }

    /// The view of a connection by its name.
    pub fn of(&self, name: Option<&Arc<str>>) -> &View<'a> {
        let found = self.0.iter().find(|view| view.name.as_ref() == name);
        found.unwrap_or_else(|| self.main())
    }

    /// The view in which a node of this config is read, before its template is; an unknown name is told.
    pub fn chosen(
        &self,
        config: &NodeConfig,
        place: impl FnOnce() -> Span,
        found: &mut Vec<Diagnostic>,
    ) -> &View<'a> {
        let Some(name) = config.text(KEY) else {
            return self.main();
        };
        let named = self
            .0
            .iter()
            .find(|view| view.name.as_deref() == Some(name));
        named.unwrap_or_else(|| {
            // What is switched off may name what this profile has not.
            if config.enabled() {
                found.push(self.unknown(name).at(place()));
            }
            self.main()
        })
    }

    fn unknown(&self, name: &str) -> Diagnostic {
        let target = &self.main().project.target.name;
        let message = format!("the target `{target}` has no connection `{name}`");
        let known = self.0.iter().filter_map(|view| view.name.as_deref());
        let help = match nearest(name, known) {
            Some(near) => format!("a connection named `{near}` exists"),
            None => "add it below `connections:` of the target in `profiles.yml`, or disable what lives in it".to_owned(),
        };
        Diagnostic::error(Code::BadConfig, message).help(help)
    }
}

/// A template that says where it is to be rendered, once it has been; `before` is what was said by then.
pub fn said_too_late(node: &Node, before: Option<&str>, place: Span) -> Option<Diagnostic> {
    if node.config.text(KEY) == before {
        return None;
    }
    let message = format!(
        "`{}` names its connection in its own template, which is rendered for that connection",
        node.name
    );
    let help = "write `+connection:` in dbt_project.yml, or `connection` in the node's entry of a property file";
    Some(
        Diagnostic::error(Code::BadConfig, message)
            .at(place)
            .help(help),
    )
}

/// Refuses what reads a relation of another connection: no statement can.
pub fn check_reads(manifest: &Manifest, diagnostics: &mut Vec<Diagnostic>) {
    for node in manifest.nodes.values() {
        for id in &node.depends_on {
            let (connection, name, export) =
                match (manifest.nodes.get(id), manifest.sources.get(id)) {
                    (Some(read), _) => {
                        let mut exports = manifest.exports.values();
                        let export = exports.find(|export| export.model == *id);
                        (&read.connection, format!("`{}`", read.name), export)
                    }
                    // Files are read from everywhere.
                    (None, Some(source)) if !source.has_files() => {
                        let name = format!("the source `{}.{}`", source.source_name, source.name);
                        (&source.connection, name, None)
                    }
                    _ => continue,
                };
            if *connection == node.connection {
                continue;
            }
            let shown = |name: &Option<Arc<str>>| match name {
                Some(name) => format!("the connection `{name}`"),
                None => "the target's own connection".to_owned(),
            };
            let message = format!(
                "`{}` lives in {}, and reads {name} of {}",
                node.name,
                shown(&node.connection),
                shown(connection)
            );
            let calls = node.refs.iter().map(|(call, span)| (&call.name, span));
            let calls = calls.chain(node.sources.iter().map(|(call, span)| (&call.table, span)));
            let mut calls = calls.filter(|(called, _)| name.contains(called.as_str()));
            let place = calls
                .next()
                .map_or_else(|| files::place(node), |(_, span)| span.clone());
            let help = match export.and_then(|export| manifest.sources.get(&export.source)) {
                Some(source) => format!(
                    "read what it is exported to: source('{}', '{}')",
                    source.source_name, source.name
                ),
                None => {
                    "export it to a source of files, `export: {to: landing.orders}`, and read that"
                        .to_owned()
                }
            };
            diagnostics.push(
                Diagnostic::error(Code::BadConfig, message)
                    .at(place)
                    .help(help),
            );
        }
    }
}
