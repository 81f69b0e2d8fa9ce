//! From loaded files to a manifest: a pure function that reports every mistake it can find.
//!
//! Property files are read first, then every file makes its node on some thread of its own, then
//! names are resolved. The order of files decides nothing: results are sorted.

mod connections;
mod docs;
mod exports;
mod files;
mod generic;
mod macros;
mod microbatch;
mod names;
mod ods;
mod partitions;
mod properties;
mod python;
mod resolve;
mod sources;
mod test_names;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use indexmap::IndexMap;
use rayon::prelude::*;
use serde_json::Value as Json;

pub use self::connections::Connection;
use self::connections::Views;
use self::docs::Docs;
use self::properties::{Patches, Properties};
use super::{ById, Manifest, Node, ResourceType, Source, UniqueId};
use crate::config::has_jinja;
use crate::config::node_config::{ConfigTrees, check, known_key, near_key};
use crate::config::profile::Target;
use crate::diagnostic::{Code, Diagnostic};
use crate::jinja::context::{ProjectFacts, yaml_context};
use crate::jinja::language::{Engine, Scope, to_json};
use crate::loader::Package;
use crate::relation::{Quoting, Relation};
use crate::source::{SourceFile, Span};

/// Makes the manifest of a project and its packages (root first).
///
/// `main` is the target's own connection, `others` are those that it has beside it. What is wrong comes beside it, warnings among errors; a node that has an error is left in where
/// it can be, so that it is not reported again by whatever reads it.
pub fn parse(
    packages: &[Package],
    main: &Connection<'_>,
    others: &[Connection<'_>],
) -> (Manifest, Vec<Diagnostic>) {
    let mut diagnostics = Vec::new();
    let facts = main.facts;
    let project = Project::new(packages, main, &mut diagnostics);
    let views = Views::new(project, others);
    let project = &views.main().project;
    let docs = Arc::new(Docs::read(packages, &mut diagnostics));
    let mut properties = read_properties(project, &docs, &mut diagnostics);
    let jobs = files::jobs(packages, &mut diagnostics);
    files::redirect(&jobs, &mut properties, &mut diagnostics);
    let patches = Patches::new(&properties, &mut diagnostics);

    let (mut nodes, used) = files::nodes(&views, &patches, &jobs, &mut diagnostics);
    let mut manifest = Manifest {
        project: Arc::clone(&facts.project),
        macros: macros::macros(project, &patches),
        docs: docs.to_blocks(),
        ..Manifest::default()
    };
    patches.unused(&used, &nodes, &manifest.macros, &mut diagnostics);

    let mut sources = sources::sources(&views, &properties, &mut diagnostics);
    for source in sources.iter_mut().filter(|source| is_enabled(source)) {
        partitions::of_source(source, &mut diagnostics);
    }
    nodes.extend(generic::nodes(
        &views,
        &properties,
        &nodes,
        &sources,
        &mut diagnostics,
    ));
    let fqns = nodes
        .iter()
        .map(|node| (node.resource_type.as_str(), &node.fqn[..]));
    let fqns = fqns.chain(sources.iter().map(|source| ("source", &source.fqn[..])));
    diagnostics.extend(project.trees.unused(fqns));
    unsupported(packages, &properties, &nodes, &mut diagnostics);
    resolve::fill(&views, &mut manifest, nodes, sources, &mut diagnostics);
    microbatch::fill(&views, &mut manifest, &mut diagnostics);
    ods::fill(&views, &patches, &mut manifest, &mut diagnostics);
    partitions::fill_reads(&views, &mut manifest, &mut diagnostics);
    exports::fill(&views, &mut manifest, &mut diagnostics);
    connections::check_reads(&manifest, &mut diagnostics);
    (manifest, diagnostics)
}

/// What every part of parsing reads.
struct Project<'a> {
    packages: &'a [Package],
    engine: &'a Engine,
    facts: &'a Arc<ProjectFacts>,
    target: &'a Target,
    trees: Arc<ConfigTrees>,
    /// The dialect's quoting with the root project's over it.
    quoting: Quoting,
    /// What YAML sees, by package.
    yaml: Arc<Vec<Scope>>,
}

impl<'a> Project<'a> {
    fn new(
        packages: &'a [Package],
        main: &Connection<'a>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Project<'a> {
        let Connection {
            engine,
            facts,
            target,
            ..
        } = *main;
        let yaml: Vec<Scope> = packages
            .iter()
            .map(|package| Scope {
                package: Arc::clone(&package.project.name),
                root: yaml_context(facts, &package.project.name),
            })
            .collect();
        let render = |text: &str, span: Span| {
            let owner = packages
                .iter()
                .position(|package| Arc::ptr_eq(&package.project.file, &span.file));
            render_json(engine, text, &span, &yaml[owner.unwrap_or(0)])
        };
        let projects = packages.iter().map(|package| &package.project);
        let (trees, errors) = ConfigTrees::new(projects, &render);
        diagnostics.extend(errors);
        Project {
            packages,
            engine,
            facts,
            target,
            trees: Arc::new(trees),
            quoting: quoting_of(packages, target),
            yaml: Arc::new(yaml),
        }
    }

    /// The same project as another connection sees it; YAML is as the main one's.
    fn seen_by(&self, connection: &Connection<'a>) -> Project<'a> {
        Project {
            packages: self.packages,
            engine: connection.engine,
            facts: connection.facts,
            target: connection.target,
            trees: Arc::clone(&self.trees),
            quoting: quoting_of(self.packages, connection.target),
            yaml: Arc::clone(&self.yaml),
        }
    }

    fn package(&self, index: usize) -> &'a Arc<str> {
        &self.packages[index].project.name
    }

    /// Renders YAML text natively; text without Jinja is only freed of its last line break.
    fn render_yaml(
        &self,
        package: usize,
        text: &str,
        span: &Span,
    ) -> Result<Json, Box<Diagnostic>> {
        if has_jinja(text) {
            return render_json(self.engine, text, span, &self.yaml[package]);
        }
        Ok(text.strip_suffix('\n').unwrap_or(text).into())
    }

    /// A relation in the target's database and schema, before its names are made.
    fn relation(&self, identifier: &str) -> Relation {
        Relation {
            quoting: self.quoting,
            ..Relation::new(
                self.target.dialect,
                &self.target.database,
                &self.target.schema,
                identifier,
            )
        }
    }
}

/// The dialect's quoting with the root project's over it.
fn quoting_of(packages: &[Package], target: &Target) -> Quoting {
    let said = packages
        .first()
        .map(|root| root.project.quoting)
        .unwrap_or_default();
    let own = target.dialect.quoting;
    Quoting {
        database: said.database.unwrap_or(own.database),
        schema: said.schema.unwrap_or(own.schema),
        identifier: said.identifier.unwrap_or(own.identifier),
    }
}

fn render_json(
    engine: &Engine,
    text: &str,
    span: &Span,
    scope: &Scope,
) -> Result<Json, Box<Diagnostic>> {
    let value = engine.render_native(text, span, scope)?;
    to_json(&value).map_err(|error| {
        let message = format!("the value cannot be used here: {error}");
        Box::new(Diagnostic::error(Code::JinjaRender, message).at(span.clone()))
    })
}

/// Reads every property file, in parallel.
fn read_properties(
    project: &Project<'_>,
    docs: &Arc<Docs>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<Properties> {
    let files: Vec<(usize, &Arc<SourceFile>)> = project
        .packages
        .iter()
        .enumerate()
        .flat_map(|(at, package)| {
            package
                .properties
                .iter()
                .map(move |loaded| (at, &loaded.file))
        })
        .collect();
    let read: Vec<_> = files
        .into_par_iter()
        .map(|(package, file)| properties::read(project, docs, package, file))
        .collect();
    let mut all = Vec::with_capacity(read.len());
    for (properties, errors) in read {
        all.push(properties);
        diagnostics.extend(errors);
    }
    all
}

/// Warns once of each thing that is read by dbt and ignored here.
fn unsupported(
    packages: &[Package],
    properties: &[Properties],
    nodes: &[Arc<Node>],
    diagnostics: &mut Vec<Diagnostic>,
) {
    let mut found: IndexMap<&str, Vec<Span>> = IndexMap::new();
    for file in properties {
        let package = &packages[file.package].project.name;
        let heeds = |model: &String| {
            let mut nodes = nodes.iter();
            nodes.any(|node| node.is_ods_table() && node.name == *model && node.package == *package)
        };
        for ignored in &file.unsupported {
            let heeded = ignored.what == "constraints" && ignored.of_model.iter().any(heeds);
            if !heeded {
                let places = found.entry(ignored.what).or_default();
                places.push(ignored.span.clone());
            }
        }
    }
    for loaded in packages.iter().flat_map(|package| &package.snapshots) {
        found
            .entry("snapshots")
            .or_default()
            .push(Span::line(&loaded.file, 1));
    }
    for node in nodes {
        let enforced = node
            .config
            .get("contract")
            .and_then(|contract| contract.get("enforced"));
        if enforced == Some(&Json::Bool(true)) && node.config.enabled() {
            let span = node
                .patch_span
                .clone()
                .unwrap_or_else(|| Span::line(&node.file, 1));
            found.entry("enforced contracts").or_default().push(span);
        }
        let private = node.config.text("access") == Some("private");
        if private && node.config.enabled() {
            let span = node.patch_span.clone();
            let span = span.unwrap_or_else(|| Span::line(&node.file, 1));
            found
                .entry("limits to who reads private models")
                .or_default()
                .push(span);
        }
    }
    for (what, spans) in found {
        let warning = Diagnostic::warning(
            Code::Unsupported,
            format!("{what} are not supported yet and are ignored"),
        );
        let warning = match spans.len() {
            1 => warning,
            more => warning.note(format!("and in {} more places", more - 1)),
        };
        diagnostics.push(warning.at(spans[0].clone()));
    }
}

/// What is wrong with one config: a value that is not understood, or a key that is nearly a known one.
///
/// Other unknown keys are free: macros and adapters have configs of their own.
fn check_config(
    resource: &str,
    key: &str,
    value: &Json,
    span: impl Fn() -> Span,
) -> Option<Diagnostic> {
    if known_key(resource, key) {
        return check(resource, key, value, span);
    }
    let near = near_key(resource, key)?;
    let message = format!("no config of a {resource} is called `{key}`");
    let warning = Diagnostic::warning(Code::UnknownKey, message).at(span());
    Some(warning.help(format!("did you mean `{near}`?")))
}

/// The kind of node that a key of a property file describes, in the words of a message.
fn described(kind: ResourceType) -> &'static str {
    match kind {
        ResourceType::Model => "model",
        ResourceType::Seed => "seed",
        ResourceType::Test => "test",
        ResourceType::Analysis => "analysis",
        ResourceType::Operation | ResourceType::SqlOperation => "operation",
        ResourceType::Source => "source",
    }
}

/// Sorts by unique id.
fn sorted<T>(mut items: Vec<Arc<T>>, id: impl Fn(&T) -> &UniqueId) -> ById<T> {
    items.sort_by(|a, b| id(a).cmp(id(b)));
    let entries = items.into_iter().map(|item| (id(&item).clone(), item));
    entries.collect()
}

/// The key by which sources are found: package, source, table.
fn source_id(package: &str, source: &str, table: &str) -> UniqueId {
    format!("source.{package}.{source}.{table}").into()
}

/// Tells whether a source is enabled.
fn is_enabled(source: &Source) -> bool {
    source.config.enabled()
}
