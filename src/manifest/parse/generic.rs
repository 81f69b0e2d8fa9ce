//! Generic tests: one node for each use in a property file.
//!
//! What the four built-in tests read is known without rendering; every other test is rendered, so
//! that its macro may call `ref` and `config`.

use std::sync::Arc;

use indexmap::IndexMap;
use rayon::prelude::*;
use rustc_hash::FxHashMap;
use serde_json::{Map, Value as Json};

use super::connections::{self, Views};
use super::files::{Rendering, finish_config, lay_root_over};
use super::properties::{Entry, Properties, SourceEntry, TableEntry, TestEntry, words};
use super::{Project, check_config, macros, source_id, test_names};
use crate::config::has_jinja;
use crate::config::node_config::Layer;
use crate::diagnostic::{Code, Diagnostic, nearest};
use crate::jinja::language::MacroInfo;
use crate::jinja::{Reading, RefCall, SourceCall, builtin};
use crate::manifest::kwargs::{
    SUBQUERY, judged_text, literal_call, looks_like_call, render_kwargs,
};
use crate::manifest::{GenericTest, Node, ResourceType, Source, TestInfo, UniqueId, test_macro};
use crate::source::{SourceFile, Span};

/// What a test is attached to.
struct Target {
    /// Its name in the test's name.
    name: String,
    /// Before the test's name: `source_` for a source.
    prefix: &'static str,
    /// The call that reads it.
    call: Call,
    /// Its file key, such as `models.orders`.
    file_key: String,
    /// Its node; dbt knows none for a source.
    node: Option<UniqueId>,
    /// Where its tests run.
    connection: Option<Arc<str>>,
    /// Tags that all its tests inherit.
    tags: Vec<String>,
}

struct Job<'a> {
    properties: &'a Properties,
    target: Arc<Target>,
    entry: &'a TestEntry,
    /// The column's tags.
    tags: &'a [String],
}

/// What the text of an argument reads.
#[derive(Clone, Debug, PartialEq)]
enum Call {
    Ref(RefCall),
    Source(SourceCall),
}

/// Makes the tests of every entry whose node exists.
pub fn nodes(
    views: &Views<'_>,
    all: &[Properties],
    nodes: &[Arc<Node>],
    sources: &[Source],
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<Arc<Node>> {
    let mut by_name: FxHashMap<(ResourceType, &str), Vec<&Node>> = FxHashMap::default();
    for node in nodes {
        by_name
            .entry((node.resource_type, &node.name))
            .or_default()
            .push(node);
    }
    let known: FxHashMap<&UniqueId, &Source> = sources
        .iter()
        .map(|source| (&source.unique_id, source))
        .collect();
    let project = &views.main().project;
    let mut jobs = Vec::new();
    for properties in all {
        let package = project.package(properties.package);
        for entry in &properties.entries {
            // Below the wrong word nothing else is heeded, but tests are, as in dbt.
            let kinds = [entry.kind, ResourceType::Model, ResourceType::Seed];
            let testable = matches!(entry.kind, ResourceType::Model | ResourceType::Seed);
            let node = kinds.iter().filter(|_| testable).find_map(|&kind| {
                let found = by_name.get(&(kind, entry.name.as_str()))?;
                let own = found.iter().find(|node| node.package == *package);
                own.or_else(|| found.first())
            });
            let Some(node) = node else {
                continue;
            };
            node_jobs(&mut jobs, properties, entry, node);
        }
        for source in &properties.sources {
            for table in &source.tables {
                let id = source_id(package, &source.name, &table.name);
                if let Some(known) = known.get(&id) {
                    source_jobs(&mut jobs, properties, source, table, known);
                }
            }
        }
    }
    let made: Vec<_> = jobs
        .par_iter()
        .map(|job| {
            let (node, errors) = node(views, job);
            (node.map(Arc::new), errors)
        })
        .collect();
    let mut tests = Vec::with_capacity(made.len());
    for (node, errors) in made {
        tests.extend(node);
        diagnostics.extend(errors);
    }
    tests
}

fn node_jobs<'a>(
    jobs: &mut Vec<Job<'a>>,
    properties: &'a Properties,
    entry: &'a Entry,
    node: &Node,
) {
    let target = Arc::new(Target {
        name: entry.name.clone(),
        prefix: "",
        call: Call::Ref(RefCall {
            package: None,
            name: entry.name.clone(),
            version: None,
            reading: Reading::default(),
        }),
        file_key: format!("{}s.{}", entry.kind.as_str(), entry.name),
        node: Some(node.unique_id.clone()),
        connection: node.connection.clone(),
        tags: Vec::new(),
    });
    let columns = entry.columns.iter().flat_map(|column| {
        column
            .tests
            .iter()
            .map(|test| (test, &column.info.tags[..]))
    });
    jobs.extend(
        columns
            .chain(entry.tests.iter().map(|test| (test, &[][..])))
            .map(|(entry, tags)| Job {
                properties,
                target: Arc::clone(&target),
                entry,
                tags,
            }),
    );
}

fn source_jobs<'a>(
    jobs: &mut Vec<Job<'a>>,
    properties: &'a Properties,
    source: &'a SourceEntry,
    table: &'a TableEntry,
    made: &Source,
) {
    let tags = [source.facts.get("tags"), table.facts.get("tags")];
    let target = Arc::new(Target {
        name: format!("{}_{}", source.name, table.name),
        prefix: "source_",
        call: Call::Source(SourceCall {
            source: source.name.clone(),
            table: table.name.clone(),
            reading: Reading::default(),
        }),
        file_key: format!("sources.{}", source.name),
        node: None,
        connection: made.connection.clone(),
        tags: tags.into_iter().flatten().flat_map(words).collect(),
    });
    let columns = table.columns.iter().flat_map(|column| {
        column
            .tests
            .iter()
            .map(|test| (test, &column.info.tags[..]))
    });
    jobs.extend(
        columns
            .chain(table.tests.iter().map(|test| (test, &[][..])))
            .map(|(entry, tags)| Job {
                properties,
                target: Arc::clone(&target),
                entry,
                tags,
            }),
    );
}

fn node(views: &Views<'_>, job: &Job<'_>) -> (Option<Node>, Vec<Diagnostic>) {
    let Job {
        properties,
        target,
        entry,
        ..
    } = job;
    let view = views.of(target.connection.as_ref());
    let project = &view.project;
    let package = project.package(properties.package);
    let namespace = entry.namespace.as_deref();
    let span = Span::new(&properties.file, entry.range.clone());
    let Some(info) = find_macro(project, package, entry) else {
        return (None, vec![undefined(project, entry, span)]);
    };
    let mut arguments = entry.arguments.clone();
    let call = match &target.call {
        Call::Ref(call) => format!("ref('{}')", call.name),
        Call::Source(call) => format!("source('{}', '{}')", call.source, call.table),
    };
    arguments.insert("model".to_owned(), judged_text(&call).into());
    let mut config = entry.config.clone();
    let name = match &entry.custom_name {
        Some(name) => test_names::TestName {
            full: name.clone(),
            short: name.clone(),
        },
        None => {
            let kind = format!("{}{}", target.prefix, entry.name);
            let kind =
                namespace.map_or_else(|| kind.clone(), |package| format!("{package}_{kind}"));
            let name = test_names::synthesize(&kind, &target.name, &arguments);
            if name.short != name.full && !config.contains_key("alias") {
                config.insert("alias".to_owned(), name.short.clone().into());
            }
            name
        }
    };
    let hash = test_names::hash(&name.full, namespace, &entry.name, &arguments);
    let original_path = &properties.file.path;
    let mut fqn = vec![package.to_string()];
    let folders = original_path.split('/').skip(1);
    fqn.extend(folders.map(str::to_owned));
    match fqn.len() {
        1 => fqn.push(name.full.clone()),
        _ => *fqn.last_mut().expect("it has the package") = name.full.clone(),
    }
    let code = test_names::raw_code(
        namespace,
        &entry.name,
        &config.clone().into_iter().collect(),
    );
    let mut merged = project.trees.base(package, "test", &fqn).clone();
    merged.merge(&config);
    let mut tags: Vec<String> = target.tags.iter().chain(job.tags).cloned().collect();
    tags.extend(config.get("tags").map(words).unwrap_or_default());
    tags.sort_unstable();
    tags.dedup();
    let mut node = Node {
        unique_id: format!("test.{package}.{}.{hash}", name.full).into(),
        resource_type: ResourceType::Test,
        connection: view.name.clone(),
        package: Arc::clone(package),
        path: format!("{}.sql", name.short),
        original_path: original_path.clone(),
        fqn,
        file: SourceFile::inline(format!("{original_path}/{}.sql", name.short), code),
        alias: name.full.clone(),
        relation: project.relation(&name.full),
        config: merged,
        description: entry.description.clone(),
        columns: IndexMap::new(),
        meta: Map::new(),
        tags,
        refs: Vec::new(),
        sources: Vec::new(),
        depends_on: Vec::new(),
        depends_on_macros: vec![macros::unique_id(info)],
        patch_path: None,
        patch_span: Some(span.clone()),
        test: Some(TestInfo {
            generic: Some(GenericTest {
                name: entry.name.clone(),
                namespace: entry.namespace.clone(),
                arguments,
            }),
            attached_to: target.node.clone(),
            column: entry.column.clone(),
            file_key: Some(target.file_key.clone()),
            stores_failures: false,
        }),
        microbatch: None,
        index: None,
        upkeep: Default::default(),
        name: name.full,
    };
    let mut found = Vec::new();
    let said = entry.config.get(connections::KEY).and_then(Json::as_str);
    if said.is_some() && said != view.name.as_deref() {
        let message = format!(
            "the test `{}` names a connection other than that of what it judges",
            entry.name
        );
        let error = Diagnostic::error(Code::BadConfig, message).at(span.clone());
        found.push(error.help("drop `connection`: a test lives where its node does"));
    }
    let mut rendering = Rendering::new(project, properties.package);
    match read_natively(entry, info, &target.call, &span) {
        Ok(Some(calls)) => {
            for call in calls {
                match call {
                    Call::Ref(call) => node.refs.push((call, span.clone())),
                    Call::Source(call) => node.sources.push((call, span.clone())),
                }
            }
        }
        Ok(None) => {
            if let Err(error) = render(project, &mut node, &mut rendering, &span, &mut found) {
                found.push(*error);
            }
        }
        Err(error) => found.push(*error),
    }
    if !is_quick(info) {
        let subquery = macros::resolve(project, package, &[SUBQUERY.to_owned()], &[]);
        for id in subquery {
            if !node.depends_on_macros.contains(&id) {
                node.depends_on_macros.push(id);
            }
        }
    }
    lay_root_over(project, &mut node);
    let named = view
        .names
        .fill(project, properties.package, &mut node, &mut |node| {
            rendering.scope(node)
        });
    found.extend(named.err().map(|error| *error));
    finish_config(project, &mut node, None);
    (Some(node), found)
}

fn find_macro<'e>(
    project: &Project<'e>,
    package: &str,
    entry: &TestEntry,
) -> Option<&'e MacroInfo> {
    let name = test_macro(entry.namespace.as_deref(), &entry.name);
    project.engine.find(package, &name)
}

fn undefined(project: &Project<'_>, entry: &TestEntry, span: Span) -> Diagnostic {
    let message = match &entry.namespace {
        Some(package) => format!("package `{package}` has no test named `{}`", entry.name),
        None => format!("no test is named `{}`", entry.name),
    };
    let error = Diagnostic::error(Code::UndefinedMacro, message).at(span);
    let tests = project.engine.macros().iter().filter(|info| {
        entry
            .namespace
            .as_deref()
            .is_none_or(|package| *info.package == *package)
    });
    let tests: Vec<&MacroInfo> = tests
        .filter(|info| info.name.starts_with("test_"))
        .collect();
    let same = project
        .engine
        .macros()
        .iter()
        .find(|info| info.name.strip_prefix("test_") == Some(&*entry.name));
    if let (None, Some(info)) = (&entry.namespace, same) {
        return error.help(format!(
            "package `{0}` has one: write `{0}.{1}`",
            info.package, entry.name
        ));
    }
    match nearest(&entry.name, tests.iter().map(|info| &info.name[5..])) {
        Some(near) => error.help(format!("a test named `{near}` exists")),
        None => error.help(format!(
            "write one: `{{% test {}(model, column_name) %}}`",
            entry.name
        )),
    }
}

/// The built-in tests that dbt does not render either.
fn is_quick(info: &MacroInfo) -> bool {
    *info.package == *builtin::PACKAGE && matches!(&*info.name, "test_not_null" | "test_unique")
}

/// What a built-in test reads, found without rendering it; `None` where that cannot be known.
///
/// # Errors
/// Arguments that the test does not take, or does not get.
fn read_natively(
    entry: &TestEntry,
    info: &MacroInfo,
    target: &Call,
    span: &Span,
) -> Result<Option<Vec<Call>>, Box<Diagnostic>> {
    let needed: &[&str] = match &*info.name {
        _ if *info.package != *builtin::PACKAGE => return Ok(None),
        "test_not_null" | "test_unique" => &["column_name"],
        "test_accepted_values" => &["column_name", "values"],
        "test_relationships" => &["column_name", "to", "field"],
        _ => return Ok(None),
    };
    let wrong = |message: String| {
        Box::new(Diagnostic::error(Code::WrongArguments, message).at(span.clone()))
    };
    let name = &entry.name;
    for key in entry.arguments.keys() {
        if !info.arguments.contains(key) {
            let error = wrong(format!("the test `{name}` takes no argument `{key}`"));
            let known = info
                .arguments
                .iter()
                .map(String::as_str)
                .filter(|known| *known != "model");
            return Err(Box::new(match nearest(key, known.clone()) {
                Some(near) => error.help(format!("did you mean `{near}`?")),
                None => error.help(format!(
                    "it takes `{}`",
                    known.collect::<Vec<_>>().join("`, `")
                )),
            }));
        }
    }
    if let Some(missing) = needed
        .iter()
        .find(|key| !entry.arguments.contains_key(**key))
    {
        let error = wrong(format!("the test `{name}` needs the argument `{missing}`"));
        return Err(Box::new(if *missing == "column_name" {
            error.help("write the test below a column, or name the column")
        } else {
            error.help(format!("add `{missing}:` below the test's name"))
        }));
    }
    let mut calls = Vec::new();
    for (key, value) in &entry.arguments {
        match value {
            Json::String(text) if key == "to" => match literal_call(text) {
                Some(("ref", names)) if matches!(names.len(), 1 | 2) => {
                    let mut names = names.into_iter().rev();
                    calls.push(Call::Ref(RefCall {
                        name: names.next().unwrap_or_default(),
                        package: names.next(),
                        version: None,
                        reading: Reading::default(),
                    }));
                }
                Some(("source", names)) if names.len() == 2 => {
                    let mut names = names.into_iter();
                    calls.push(Call::Source(SourceCall {
                        source: names.next().unwrap_or_default(),
                        table: names.next().unwrap_or_default(),
                        reading: Reading::default(),
                    }));
                }
                _ => return Ok(None),
            },
            Json::String(_) if key == "column_name" => {}
            other => {
                if reads_something(other) {
                    return Ok(None);
                }
            }
        }
    }
    if !calls.contains(target) {
        calls.push(target.clone());
    }
    Ok(Some(calls))
}

/// Tells whether a value holds a template, or a call that dbt takes for one.
fn reads_something(value: &Json) -> bool {
    match value {
        Json::String(text) => has_jinja(text) || looks_like_call(text),
        Json::Array(items) => items.iter().any(reads_something),
        Json::Object(map) => map.values().any(reads_something),
        _ => false,
    }
}

/// Renders the test's macro with its arguments for what they read and configure.
fn render(
    project: &Project<'_>,
    node: &mut Node,
    rendering: &mut Rendering<'_, '_>,
    span: &Span,
    found: &mut Vec<Diagnostic>,
) -> Result<(), Box<Diagnostic>> {
    let scope = rendering.scope(node);
    let generic = node
        .test
        .as_ref()
        .and_then(|test| test.generic.as_ref())
        .expect("it is generic");
    let result = render_kwargs(&generic.arguments, &mut |text| {
        project.engine.render_native(text, span, &scope)
    });
    let result = result.and_then(|kwargs| {
        let kwargs: Vec<_> = kwargs
            .iter()
            .map(|(key, value)| (key.as_str(), value.clone()))
            .collect();
        let name = generic.macro_name();
        project.engine.call(&name, &[], &kwargs, &scope)
    });
    let collected = rendering.finish();
    node.refs = collected.refs;
    node.sources = collected.sources;
    for (layer, place) in collected.configs {
        let layer: Layer = layer.into_iter().collect();
        for (key, value) in &layer {
            found.extend(check_config("test", key, value, || place.clone()));
        }
        // What the test's entry says comes last in its code, so it wins.
        for (key, value) in layer {
            if !node.config.set.contains_key(&key) {
                node.config.set.insert(key, value);
            }
        }
    }
    result.map(drop).map_err(|mut error| {
        let known = error
            .labels
            .iter()
            .any(|label| Arc::ptr_eq(&label.span.file, &span.file));
        if !known {
            error.labels.push(crate::diagnostic::Label {
                span: span.clone(),
                text: "in this test".to_owned(),
            });
        }
        error
    })
}
