//! Names become nodes: `ref` and `source`, and what has one name twice.

use std::sync::Arc;

use rayon::prelude::*;
use rustc_hash::{FxHashMap, FxHashSet};

use super::connections::Views;
use super::{Project, described, files, is_enabled, sorted};
use crate::diagnostic::{Code, Diagnostic, nearest};
use crate::dialect::Folding;
use crate::jinja::{RefCall, SourceCall};
use crate::manifest::{Manifest, Node, ResourceType, Source, UniqueId};
use crate::source::Span;

/// Resolves every name, and fills the manifest with nodes and sources, enabled and disabled.
pub fn fill(
    views: &Views<'_>,
    manifest: &mut Manifest,
    nodes: Vec<Arc<Node>>,
    sources: Vec<Source>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let (mut nodes, mut disabled): (Vec<Arc<Node>>, Vec<Arc<Node>>) =
        nodes.into_iter().partition(|node| node.config.enabled());
    drop_duplicates(&mut nodes, diagnostics);
    let index = Index::new(&views.main().project, &nodes, &disabled, &sources);
    let resolved: Vec<_> = nodes.par_iter().map(|node| index.resolve(node)).collect();
    let names = index.into_orphans(&nodes, &resolved);
    for (node, found) in nodes.iter_mut().zip(resolved) {
        Arc::make_mut(node).depends_on = found.ids;
        diagnostics.extend(found.diagnostics);
    }
    ambiguous(views, &nodes, diagnostics);
    // A test whose node is not there is not run, as in dbt.
    let (kept, orphans): (Vec<Arc<Node>>, Vec<Arc<Node>>) = nodes
        .into_iter()
        .partition(|node| !names.contains(&node.unique_id));
    disabled.extend(orphans);
    manifest.nodes = sorted(kept, |node| &node.unique_id);
    manifest.disabled = sorted(disabled, |node| &node.unique_id);
    let (on, off): (Vec<Arc<Source>>, Vec<Arc<Source>>) = sources
        .into_iter()
        .map(Arc::new)
        .partition(|source| is_enabled(source));
    manifest.sources = sorted(on, |source| &source.unique_id);
    manifest.disabled_sources = sorted(off, |source| &source.unique_id);
}

/// Leaves the first of several nodes of one identity, and the first model or seed of one name.
fn drop_duplicates(nodes: &mut Vec<Arc<Node>>, diagnostics: &mut Vec<Diagnostic>) {
    let mut ids: FxHashMap<UniqueId, usize> = FxHashMap::default();
    let mut names: FxHashMap<(Arc<str>, String), usize> = FxHashMap::default();
    let mut doubles: Vec<(usize, usize)> = Vec::new();
    for (at, node) in nodes.iter().enumerate() {
        let mut first = ids.get(&node.unique_id).copied();
        ids.entry(node.unique_id.clone()).or_insert(at);
        if is_refable(node) {
            let key = (Arc::clone(&node.package), node.name.clone());
            first = first.or(names.get(&key).copied());
            names.entry(key).or_insert(at);
        }
        doubles.extend(first.map(|first| (at, first)));
    }
    for &(at, first) in &doubles {
        let (node, other) = (&nodes[at], &nodes[first]);
        let (what, name) = (described(node.resource_type), &node.name);
        let message = if node.resource_type == other.resource_type {
            format!("two {what}s are named `{name}`")
        } else {
            format!(
                "a {what} and a {} are named `{name}`",
                described(other.resource_type)
            )
        };
        let is_generic = node
            .test
            .as_ref()
            .is_some_and(|test| test.generic.is_some());
        let error = Diagnostic::error(Code::DuplicateName, message)
            .at(own_place(node))
            .label(own_place(other), "first here");
        diagnostics.push(if is_generic {
            error.help("remove one of them, or give it a `name` of its own")
        } else {
            error.help("rename one of them, or disable it with `enabled: false`")
        });
    }
    let doubles: FxHashSet<usize> = doubles.into_iter().map(|(at, _)| at).collect();
    let mut at = 0;
    nodes.retain(|_| {
        at += 1;
        !doubles.contains(&(at - 1))
    });
}

/// Where a node stands: its file, or of a generic test its entry.
fn own_place(node: &Node) -> Span {
    let generic = node
        .test
        .as_ref()
        .is_some_and(|test| test.generic.is_some());
    match &node.patch_span {
        Some(span) if generic => span.clone(),
        _ => files::place(node),
    }
}

fn is_refable(node: &Node) -> bool {
    matches!(node.resource_type, ResourceType::Model | ResourceType::Seed)
}

/// Two nodes must not build one relation.
fn ambiguous(views: &Views<'_>, nodes: &[Arc<Node>], diagnostics: &mut Vec<Diagnostic>) {
    let mut built: FxHashMap<(Option<&Arc<str>>, String), &Node> = FxHashMap::default();
    for node in nodes
        .iter()
        .filter(|node| is_refable(node) && !node.is_ephemeral())
    {
        let connection = node.connection.as_ref();
        let dialect = views.of(connection).project.target.dialect;
        let rendered = node.relation.render(dialect);
        let key = match dialect.folding {
            Folding::Insensitive => rendered.to_lowercase(),
            Folding::Lower | Folding::Upper => rendered.clone(),
        };
        let Some(first) = built.insert((connection, key), node) else {
            continue;
        };
        let message = format!("`{}` and `{}` both build {rendered}", first.name, node.name);
        diagnostics.push(
            Diagnostic::error(Code::DuplicateName, message)
                .at(files::place(node))
                .label(files::place(first), "first here")
                .help("give one of them another `alias` or `schema`"),
        );
    }
}

/// What the calls of one node mean.
struct Resolved {
    ids: Vec<UniqueId>,
    diagnostics: Vec<Diagnostic>,
    /// A test that reads something that is not there.
    orphan: bool,
}

struct Index<'a> {
    root: &'a str,
    refable: FxHashMap<&'a str, Vec<(&'a Arc<str>, UniqueId)>>,
    disabled: FxHashMap<&'a str, Vec<&'a Node>>,
    sources: FxHashMap<(&'a str, &'a str), Vec<&'a Source>>,
}

impl<'a> Index<'a> {
    fn new(
        project: &'a Project<'_>,
        nodes: &'a [Arc<Node>],
        disabled: &'a [Arc<Node>],
        sources: &'a [Source],
    ) -> Index<'a> {
        let mut index = Index {
            root: &project.facts.project,
            refable: FxHashMap::default(),
            disabled: FxHashMap::default(),
            sources: FxHashMap::default(),
        };
        for node in nodes.iter().filter(|node| is_refable(node)) {
            let same = index.refable.entry(&node.name).or_default();
            same.push((&node.package, node.unique_id.clone()));
        }
        for node in disabled.iter().filter(|node| is_refable(node)) {
            index.disabled.entry(&node.name).or_default().push(node);
        }
        for source in sources {
            index
                .sources
                .entry((&source.source_name, &source.name))
                .or_default()
                .push(source);
        }
        index
    }

    fn resolve(&self, node: &Node) -> Resolved {
        let mut resolved = Resolved {
            ids: Vec::new(),
            diagnostics: Vec::new(),
            orphan: false,
        };
        let refs = node
            .refs
            .iter()
            .map(|(call, span)| self.resolve_ref(node, call, span));
        let sources = node
            .sources
            .iter()
            .map(|(call, span)| self.resolve_source(node, call, span));
        // dbt resolves sources first.
        for found in sources.chain(refs) {
            match found {
                Ok(id) if resolved.ids.contains(&id) => {}
                Ok(id) => resolved.ids.push(id),
                Err(missing) => {
                    resolved.orphan |= node.resource_type == ResourceType::Test;
                    resolved
                        .diagnostics
                        .extend(missing.map(|diagnostic| *diagnostic));
                }
            }
        }
        resolved
    }

    /// The packages to look in, in dbt's order; `None` stands for any.
    fn packages<'s>(&'s self, node: &'s Node, named: Option<&'s str>) -> Vec<Option<&'s str>> {
        match named {
            Some(package) => vec![Some(package)],
            None if *node.package == *self.root => vec![Some(self.root), None],
            None => vec![Some(self.root), Some(&node.package), None],
        }
    }

    fn resolve_ref(
        &self,
        node: &Node,
        call: &RefCall,
        span: &Span,
    ) -> Result<UniqueId, Option<Box<Diagnostic>>> {
        let name = call.name.as_str();
        if call.version.is_some() {
            let message =
                format!("`ref` of a version of `{name}`: versions of models are not supported yet");
            return Err(Some(Box::new(
                Diagnostic::error(Code::Unsupported, message).at(span.clone()),
            )));
        }
        let candidates = self.refable.get(name).map_or(&[][..], Vec::as_slice);
        for package in self.packages(node, call.package.as_deref()) {
            let mut candidates = candidates.iter();
            let found =
                candidates.find(|(own, _)| package.is_none_or(|package| ***own == *package));
            if let Some((_, id)) = found {
                return Ok(id.clone());
            }
        }
        let off = self.disabled.get(name).and_then(|nodes| {
            let package = call.package.as_deref();
            nodes
                .iter()
                .find(|node| package.is_none_or(|package| *node.package == *package))
        });
        let is_test = node.resource_type == ResourceType::Test;
        if is_test && off.is_some() {
            // The node was switched off, and its tests with it.
            return Err(None);
        }
        let message = match (off, &call.package) {
            (Some(off), _) => format!("the {} `{name}` is disabled", described(off.resource_type)),
            (None, Some(package)) => {
                format!("package `{package}` has no model or seed named `{name}`")
            }
            (None, None) => format!("no model or seed is named `{name}`"),
        };
        let diagnostic = missing(node, Code::UnknownRef, message).at(span.clone());
        Err(Some(Box::new(if let Some(off) = off {
            diagnostic
                .label(files::place(off), "it is here")
                .help(format!("enable `{name}`, or remove what reads it"))
        } else if let (Some(_), [(package, _), ..]) = (&call.package, candidates) {
            diagnostic.help(format!("package `{package}` has one"))
        } else if let Some(near) = nearest(name, self.refable.keys().copied()) {
            diagnostic.help(format!("a node named `{near}` exists"))
        } else if self.sources.keys().any(|(_, table)| *table == name) {
            diagnostic.help("a source has such a table: read it by `source`")
        } else {
            diagnostic
        })))
    }

    fn resolve_source(
        &self,
        node: &Node,
        call: &SourceCall,
        span: &Span,
    ) -> Result<UniqueId, Option<Box<Diagnostic>>> {
        let (source, table) = (call.source.as_str(), call.table.as_str());
        let candidates = self
            .sources
            .get(&(source, table))
            .map_or(&[][..], Vec::as_slice);
        for package in self.packages(node, None) {
            let mut candidates = candidates.iter().filter(|source| is_enabled(source));
            let found =
                candidates.find(|own| package.is_none_or(|package| *own.package == *package));
            if let Some(source) = found {
                return Ok(source.unique_id.clone());
            }
        }
        if let [off, ..] = candidates {
            if node.resource_type == ResourceType::Test {
                return Err(None);
            }
            let message = format!("the source `{source}.{table}` is disabled");
            let error = missing(node, Code::UnknownSource, message).at(span.clone());
            return Err(Some(Box::new(
                error
                    .label(off.span.clone(), "it is here")
                    .help("enable it, or remove what reads it"),
            )));
        }
        let tables = self
            .sources
            .keys()
            .filter(|(own, _)| *own == source)
            .map(|(_, table)| *table);
        let tables: Vec<&str> = tables.collect();
        let (message, near) = if tables.is_empty() {
            let near = nearest(source, self.sources.keys().map(|(own, _)| *own));
            (
                format!("no source is named `{source}`"),
                near.map(|near| format!("a source named `{near}` exists")),
            )
        } else {
            let near = nearest(table, tables);
            (
                format!("the source `{source}` has no table `{table}`"),
                near.map(|near| format!("a table named `{near}` exists")),
            )
        };
        let diagnostic = missing(node, Code::UnknownSource, message).at(span.clone());
        Err(Some(Box::new(match near {
            Some(near) => diagnostic.help(near),
            None => diagnostic.help("declare it below `sources:` of a property file"),
        })))
    }

    /// The tests that read something that is not there.
    fn into_orphans(self, nodes: &[Arc<Node>], resolved: &[Resolved]) -> FxHashSet<UniqueId> {
        let orphans = nodes.iter().zip(resolved).filter(|(_, found)| found.orphan);
        orphans.map(|(node, _)| node.unique_id.clone()).collect()
    }
}

/// An error, but of a test a warning: dbt leaves such a test out.
fn missing(node: &Node, code: Code, message: String) -> Diagnostic {
    if node.resource_type == ResourceType::Test {
        return Diagnostic::warning(code, message)
            .note(format!("the test `{}` is left out", node.name));
    }
    Diagnostic::error(code, message)
}
