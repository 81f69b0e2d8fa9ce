//! Nodes that are files: models, seeds, analyses, singular tests; and the hooks of a project.

use std::sync::Arc;

use indexmap::IndexMap;
use rayon::prelude::*;
use rustc_hash::FxHashSet;
use serde_json::{Map, Value as Json, json};

use super::connections::{self, Views};
use super::properties::{Patch, Patches, Properties};
use super::{Project, check_config, macros, ods, partitions};
use crate::config::has_jinja;
use crate::config::node_config::Layer;
use crate::diagnostic::{Code, Diagnostic};
use crate::jinja::RefCall;
use crate::jinja::context::{ParseScope, parse_context};
use crate::jinja::language::Scope;
use crate::jinja::port::Collected;
use crate::loader::{LoadedFile, Package};
use crate::manifest::{Node, ResourceType, TestInfo};
use crate::source::{SourceFile, Span};

/// A file that becomes a node.
pub struct Job {
    kind: ResourceType,
    package: usize,
    name: String,
    /// Below the configured folder, as dbt writes it.
    path: String,
    original_path: String,
    file: Arc<SourceFile>,
    index: Option<usize>,
    /// Tags that it has of itself.
    tag: Option<&'static str>,
}

/// Which entries of property files describe a node that exists.
pub type Used = FxHashSet<(ResourceType, usize, String)>;

/// Lists the nodes to make. Files of SQL in which nothing stands make none, as in dbt.
pub fn jobs(packages: &[Package], diagnostics: &mut Vec<Diagnostic>) -> Vec<Job> {
    let mut jobs = Vec::new();
    for (at, package) in packages.iter().enumerate() {
        let kinds = [
            (ResourceType::Model, &package.models),
            (ResourceType::Seed, &package.seeds),
            (ResourceType::Analysis, &package.analyses),
            (ResourceType::Test, &package.tests),
        ];
        for (kind, files) in kinds {
            for loaded in files {
                let empty = kind != ResourceType::Seed && loaded.file.text.trim().is_empty();
                if empty {
                    let message = format!("`{}` is empty, and makes no node", loaded.file.path);
                    diagnostics.push(Diagnostic::warning(Code::EmptyFile, message));
                } else {
                    jobs.push(file_job(kind, at, loaded));
                }
            }
        }
        let hooks = [
            ("on-run-start", &package.project.on_run_start),
            ("on-run-end", &package.project.on_run_end),
        ];
        for (event, list) in hooks {
            for (index, hook) in list.iter().enumerate() {
                let name = format!("{}-{event}-{index}", package.project.name);
                let path = format!("hooks/{name}.sql");
                jobs.push(Job {
                    kind: ResourceType::Operation,
                    package: at,
                    original_path: "./dbt_project.yml".to_owned(),
                    file: SourceFile::inline(path.clone(), hook.as_str().unwrap_or_default()),
                    path,
                    name,
                    index: Some(index),
                    tag: Some(event),
                });
            }
        }
    }
    jobs
}

fn file_job(kind: ResourceType, package: usize, loaded: &LoadedFile) -> Job {
    let original = loaded.file.path.as_str();
    let below = original
        .strip_prefix(&*loaded.folder)
        .unwrap_or(original)
        .trim_start_matches('/');
    let base = below.rsplit('/').next().unwrap_or(below);
    let name = base.rsplit_once('.').map_or(base, |(stem, _)| stem);
    Job {
        kind,
        package,
        name: name.to_owned(),
        path: match kind {
            ResourceType::Analysis => format!("analysis/{below}"),
            _ => below.to_owned(),
        },
        original_path: original.to_owned(),
        file: Arc::clone(&loaded.file),
        index: None,
        tag: None,
    }
}

/// Gives entries that stand below the key of another kind (`models:` that describes a seed) to the node
/// that they mean, as dbt does, and warns.
pub fn redirect(jobs: &[Job], all: &mut [Properties], diagnostics: &mut Vec<Diagnostic>) {
    let there: FxHashSet<(ResourceType, &str)> = jobs
        .iter()
        .map(|job| (job.kind, job.name.as_str()))
        .collect();
    for properties in all {
        for entry in &mut properties.entries {
            let (meant, key) = match entry.kind {
                ResourceType::Model => (ResourceType::Seed, "seeds"),
                ResourceType::Seed => (ResourceType::Model, "models"),
                _ => continue,
            };
            let name = entry.name.as_str();
            if there.contains(&(entry.kind, name)) || !there.contains(&(meant, name)) {
                continue;
            }
            let (is, as_if) = (meant.as_str(), entry.kind.as_str());
            let message = format!("`{name}` is a {is}, and is described as if it were a {as_if}");
            let warning = Diagnostic::warning(Code::UnknownPatch, message)
                .at(Span::new(&properties.file, entry.range.clone()));
            diagnostics.push(warning.help(format!("describe it below `{key}:`")));
            entry.kind = meant;
        }
    }
}

/// Makes every node, in parallel.
pub fn nodes(
    views: &Views<'_>,
    patches: &Patches<'_>,
    jobs: &[Job],
    diagnostics: &mut Vec<Diagnostic>,
) -> (Vec<Arc<Node>>, Used) {
    let there: FxHashSet<(ResourceType, usize, &str)> = jobs
        .iter()
        .map(|job| (job.kind, job.package, job.name.as_str()))
        .collect();
    let packages = views.main().project.packages.len();
    let patch_of = |job: &Job| {
        // A node is described by its own package, or by another that has no such node itself.
        patches.node(job.kind, job.package, &job.name).or_else(|| {
            let others = (0..packages).filter(|&other| other != job.package);
            others
                .filter(|&other| !there.contains(&(job.kind, other, job.name.as_str())))
                .find_map(|other| patches.node(job.kind, other, &job.name))
        })
    };
    let made: Vec<_> = jobs
        .par_iter()
        .map(|job| {
            let patch = patch_of(job);
            let used = patch.map(|patch| (job.kind, patch.properties.package, job.name.clone()));
            let (node, errors) = node(views, job, patch);
            (Arc::new(node), errors, used)
        })
        .collect();
    let mut nodes = Vec::with_capacity(made.len());
    let mut used = Used::default();
    for (node, errors, described) in made {
        nodes.push(node);
        diagnostics.extend(errors);
        used.extend(described);
    }
    (nodes, used)
}

fn node(views: &Views<'_>, job: &Job, patch: Option<Patch<'_>>) -> (Node, Vec<Diagnostic>) {
    let project = &views.main().project;
    let package = project.package(job.package);
    let mut fqn = vec![package.to_string()];
    let stem = job
        .path
        .rsplit_once('.')
        .map_or(job.path.as_str(), |(stem, _)| stem);
    fqn.extend(stem.split('/').map(str::to_owned));
    *fqn.last_mut().expect("it has the package") = job.name.clone();
    let mut config = project.trees.base(package, job.kind.as_str(), &fqn).clone();
    if let Some(patch) = patch {
        config.merge(&patch.entry.config);
    }
    let mut found = Vec::new();
    let first_line = || Span::line(&job.file, 1);
    let view = views.chosen(
        &config,
        || patch.map_or_else(first_line, |patch| patch.span()),
        &mut found,
    );
    let project = &view.project;
    let said = config.text(connections::KEY).map(str::to_owned);
    let mut node = Node {
        unique_id: format!("{}.{package}.{}", job.kind.as_str(), job.name).into(),
        resource_type: job.kind,
        connection: view.name.clone(),
        package: Arc::clone(package),
        name: job.name.clone(),
        path: job.path.clone(),
        original_path: job.original_path.clone(),
        fqn,
        file: Arc::clone(&job.file),
        alias: job.name.clone(),
        relation: project.relation(&job.name),
        config,
        description: String::new(),
        columns: IndexMap::new(),
        meta: Map::new(),
        tags: Vec::new(),
        refs: Vec::new(),
        sources: Vec::new(),
        depends_on: Vec::new(),
        depends_on_macros: Vec::new(),
        patch_path: None,
        patch_span: None,
        test: (job.kind == ResourceType::Test).then(TestInfo::default),
        microbatch: None,
        index: job.index,
        upkeep: Default::default(),
    };
    if let Some(patch) = patch {
        let columns = patch.entry.columns.iter();
        node.columns = columns
            .map(|column| (column.info.name.clone(), column.info.clone()))
            .collect();
        node.description = patch.entry.description.clone();
        let described_by = project.package(patch.properties.package);
        node.patch_path = Some(format!("{described_by}://{}", patch.properties.file.path));
        node.patch_span = Some(patch.span());
    }
    let mut rendering = Rendering::new(project, job.package);
    let mut asked = (false, false, Vec::new());
    if job.kind != ResourceType::Seed && has_jinja(&node.file.text) {
        let file = Arc::clone(&node.file);
        found.extend(rendering.render(&node, &file).err().map(|error| *error));
        {
            // Before the hooks are rendered, which may read `this`.
            let collected = rendering.collected();
            asked = (
                collected.reads_this,
                collected.one_by_one,
                collected.macros.clone(),
            );
            let own = collected.selves.first().map(|(_, span)| span.clone());
            node.upkeep.reads_self = own;
        }
        for (layer, span) in std::mem::take(&mut rendering.collected().configs) {
            let layer: Layer = layer.into_iter().collect();
            for (key, value) in &layer {
                found.extend(check_config(job.kind.as_str(), key, value, || span.clone()));
            }
            found.extend(hooks_twice(&layer, &span));
            node.config.merge(&layer);
        }
    }
    lay_root_over(project, &mut node);
    found.extend(connections::said_too_late(
        &node,
        said.as_deref(),
        first_line(),
    ));
    found.extend(
        view.names
            .fill(project, job.package, &mut node, &mut |node| {
                rendering.scope(node)
            })
            .err()
            .map(|error| *error),
    );
    if job.kind != ResourceType::Test {
        for hook in hooks(&node) {
            let file = SourceFile::inline(node.original_path.clone(), hook);
            found.extend(rendering.render(&node, &file).err().map(|error| *error));
        }
    }
    let collected = rendering.finish();
    if job.kind == ResourceType::Seed {
        found.extend(hooks_that_read(&node, collected.refs.first()));
    }
    node.refs = collected.refs;
    node.sources = collected.sources;
    node.depends_on_macros =
        macros::resolve(project, package, &collected.macros, &rendering.dispatches);
    finish_config(project, &mut node, job.tag);
    ods::declare(project, &mut node, patch);
    let (reads_this, one_by_one, macros) = asked;
    partitions::of_node(&mut node, reads_this, one_by_one, &macros, &mut found);
    if !node.config.enabled() {
        // What is switched off may be broken: nobody asked for it.
        found.retain(|diagnostic| diagnostic.code == Code::BadConfig);
    }
    (node, found)
}

/// The context of one node's templates, made where it is first needed.
pub struct Rendering<'a, 'p> {
    project: &'a Project<'p>,
    package: usize,
    made: Option<(Scope, Arc<std::sync::Mutex<Collected>>)>,
    /// What the templates give to `adapter.dispatch`.
    pub dispatches: Vec<(String, Option<String>)>,
}

impl<'a, 'p> Rendering<'a, 'p> {
    /// Makes none yet.
    pub fn new(project: &'a Project<'p>, package: usize) -> Rendering<'a, 'p> {
        Rendering {
            project,
            package,
            made: None,
            dispatches: Vec::new(),
        }
    }

    /// The scope of the node.
    pub fn scope(&mut self, node: &Node) -> Scope {
        let (project, package) = (self.project, self.package);
        let (scope, _) = self.made.get_or_insert_with(|| {
            let package = project.package(package);
            let scope = ParseScope {
                package: Arc::clone(package),
                this: node.relation.clone(),
                model: model_json(node),
                config: node.config.set.clone(),
            };
            let (root, collected) = parse_context(project.facts, scope);
            let package = Arc::clone(package);
            (Scope { package, root }, collected)
        });
        scope.clone()
    }

    /// Renders a template of the node for what it calls.
    pub fn render(&mut self, node: &Node, file: &Arc<SourceFile>) -> Result<(), Box<Diagnostic>> {
        if !has_jinja(&file.text) {
            return Ok(());
        }
        let scope = self.scope(node);
        let template = self.project.engine.compile(file)?;
        let rendered = self.project.engine.render(&template, &scope);
        self.collected()
            .macros
            .extend(template.calls().iter().cloned());
        self.dispatches
            .extend(template.dispatches().iter().cloned());
        rendered.map(drop)
    }

    /// What was collected so far.
    pub fn collected(&mut self) -> impl std::ops::DerefMut<Target = Collected> {
        let (_, collected) = self.made.as_ref().expect("something was rendered");
        collected
            .lock()
            .expect("no rendering panics while it collects")
    }

    /// All that was collected.
    pub fn finish(&mut self) -> Collected {
        match &self.made {
            Some(_) => std::mem::take(&mut *self.collected()),
            None => Collected::default(),
        }
    }
}

/// Lays the root project's tree over a node of another package.
pub fn lay_root_over(project: &Project<'_>, node: &mut Node) {
    let layers = project
        .trees
        .layers_for(&node.package, node.resource_type.as_str(), &node.fqn);
    for layer in layers.root {
        node.config.merge(layer);
    }
}

/// Copies to the node what dbt copies from its config.
pub fn finish_config(project: &Project<'_>, node: &mut Node, tag: Option<&str>) {
    if node.resource_type == ResourceType::Test {
        let kind = node.config.text("store_failures_as").map(str::to_owned);
        let stored = node.config.get("store_failures").and_then(Json::as_bool);
        // Each of the two configs says what the other is.
        if let Some(kind) = kind {
            let stored = Json::Bool(kind != "ephemeral");
            node.config.set.insert("store_failures".to_owned(), stored);
        } else if let Some(stored) = stored {
            let kind = if stored { "table" } else { "ephemeral" };
            node.config
                .set
                .insert("store_failures_as".to_owned(), kind.into());
        }
        let own = node.config.get("store_failures").and_then(Json::as_bool);
        let asked = || project.facts.flags.get("STORE_FAILURES") == Some(&Json::Bool(true));
        if let Some(test) = &mut node.test {
            test.stores_failures = own.unwrap_or_else(asked);
        }
    }
    let tags = tag.map(str::to_owned).into_iter().chain(node.config.tags());
    for tag in tags {
        if !node.tags.contains(&tag) {
            node.tags.push(tag);
        }
    }
    if let Some(Json::Object(meta)) = node.config.get("meta") {
        node.meta = meta.clone();
    }
}

/// A `config` that says the same hooks by both of their names, of which one would be lost.
fn hooks_twice(layer: &Layer, span: &Span) -> Option<Diagnostic> {
    let names = [("pre_hook", "pre-hook"), ("post_hook", "post-hook")];
    let (one, other) = names
        .into_iter()
        .find(|(one, other)| layer.contains_key(*one) && layer.contains_key(*other))?;
    let message = format!("`config` has both `{one}` and `{other}`, which are one");
    let error = Diagnostic::error(Code::CompilerError, message).at(span.clone());
    Some(error.help(format!("put the statements into one list, `{one}`")))
}

/// A seed is loaded before anything else is built, so its hooks cannot read other nodes.
fn hooks_that_read(seed: &Node, read: Option<&(RefCall, Span)>) -> Option<Diagnostic> {
    let (call, _) = read?;
    let message = format!(
        "a hook of seed `{}` reads `{}` by `ref`",
        seed.name, call.name
    );
    let error = Diagnostic::error(Code::BadConfig, message).at(place(seed));
    Some(
        error
            .note("in dbt's words: Seeds cannot depend on other nodes")
            .help("move the hook to a model that reads the seed"),
    )
}

/// The templates of a node's hooks.
fn hooks(node: &Node) -> Vec<String> {
    let lists = ["pre-hook", "post-hook"]
        .into_iter()
        .filter_map(|key| node.config.get(key));
    let items = lists.flat_map(|list| match list {
        Json::Array(items) => items.clone(),
        other => vec![other.clone()],
    });
    items
        .filter_map(|hook| match hook {
            Json::String(text) => Some(text),
            Json::Object(map) => map.get("sql").and_then(Json::as_str).map(str::to_owned),
            _ => None,
        })
        .collect()
}

/// What a template sees as `model` while it is parsed.
fn model_json(node: &Node) -> Json {
    json!({
        "unique_id": node.unique_id.as_str(),
        "name": node.name,
        "resource_type": node.resource_type.as_str(),
        "package_name": &*node.package,
        "path": node.path,
        "original_file_path": node.original_path,
        "fqn": node.fqn,
        "alias": node.alias,
        "database": node.relation.database.as_deref(),
        "schema": node.relation.schema.as_deref(),
        "config": node.config.set,
        "description": node.description,
        "tags": node.config.tags(),
        "meta": node.config.get("meta").cloned().unwrap_or_else(|| json!({})),
        "columns": {},
        "refs": [],
        "sources": [],
        "depends_on": {"nodes": [], "macros": []},
    })
}

/// The whole first line of a node's file, or the place where YAML describes it.
pub fn place(node: &Node) -> Span {
    match (&node.patch_span, node.file.text.is_empty()) {
        (Some(span), true) => span.clone(),
        _ => Span::line(&node.file, 1),
    }
}
