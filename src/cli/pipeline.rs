//! The first half of the pipe: settings -> files -> manifest -> graph -> selection.
//!
//! Each command calls as much of it as it needs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::civil::DateTime;
use serde_json::{Map, Value as Json};

use super::args::{Indirect, SelectArgs, TypeArgs};
use super::commands::Invocation;
use super::settings::Settings;
use crate::artifacts::{self, ManifestDocument};
use crate::config::profile::{self, Target};
use crate::config::project::{self, PartialQuoting, ProjectFile};
use crate::diagnostic::{Code, Diagnostic};
use crate::dialect::{self, Dialect};
use crate::executor::event::{Event, NodeResult};
use crate::executor::{Project, QueryComment};
use crate::graph::Graph;
use crate::jinja::context::{self, ProjectFacts};
use crate::jinja::language::{self, Engine, Lookup, Scope};
use crate::jinja::{Value, builtin};
use crate::loader;
use crate::manifest::json::CompiledNode;
use crate::manifest::{self, Manifest, ResourceType, UniqueId};
use crate::microbatch::{self, Batch};
use crate::relation::Quoting;
use crate::secrets::Redactor;
use crate::selector::{self, IndirectSelection, Request};

/// What the time is for tests, in UTC.
const FAKE_NOW: &str = "DBT_CONFORMANCE_FAKE_NOW";

/// Said to those who have named no profile.
const EMBEDDED: &str =
    "The project names no profile: it is built in the embedded database, a file in .daygrain/";

/// A project's own files, its profile among them, before anything below them is read.
pub struct Opened {
    /// `dbt_project.yml`.
    pub project: ProjectFile,
    /// The profile's output.
    pub target: Arc<Target>,
    /// What all templates share.
    pub facts: ProjectFacts,
    /// Warnings so far.
    pub warnings: Vec<Diagnostic>,
}

/// A parsed project with its graph: the whole of it, or what lives in one of its connections.
#[derive(Clone)]
pub struct Parsed {
    /// The project.
    pub project: Arc<Project>,
    /// The order of its nodes.
    pub graph: Arc<Graph>,
    /// The profile's output, or one of its connections.
    pub target: Arc<Target>,
    /// The root project's quoting over the dialect's.
    pub quoting: Quoting,
    /// What lives in each connection, where there are several: one whose exports another reads is
    /// before that.
    parts: Vec<Parsed>,
}

/// Flags that templates see and a command may set.
#[derive(Clone, Copy, Debug, Default)]
pub struct TemplateFlags {
    /// `flags.FULL_REFRESH`.
    pub full_refresh: Option<bool>,
    /// `flags.STORE_FAILURES`.
    pub store_failures: Option<bool>,
    /// `flags.EVENT_TIME_START` and `flags.EVENT_TIME_END`.
    pub event_time: Option<Batch>,
}

/// Reads `dbt_project.yml` and the profile.
///
/// # Errors
/// Everything that is wrong with the two.
pub fn open(
    settings: &Settings,
    flags: TemplateFlags,
    report: &dyn Fn(Event),
) -> Result<Opened, Vec<Diagnostic>> {
    // The profile's name stands in the project's file, whose other values may read `target`: so the
    // file is read twice, first for the name alone.
    let unknown = Arc::new(facts(settings, None, flags, Map::new()));
    let (named, first) = read_project(settings, &unknown);
    let Some(named) = named else {
        return Err(errors_of(first));
    };
    let render = Renderer::new(&unknown);
    let target = profile::read(&named, &settings.profile, &|text, span| {
        render.native(text, span)
    })?;
    report(Event::Secrets(profile::secrets(&target)));
    let known = Arc::new(facts(settings, Some((&named, &target)), flags, Map::new()));
    let (project, diagnostics) = read_project(settings, &known);
    let (errors, warnings): (Vec<_>, Vec<_>) =
        diagnostics.into_iter().partition(Diagnostic::is_error);
    let project = match project {
        Some(project) if errors.is_empty() => project,
        _ => return Err(errors),
    };
    let facts = facts(
        settings,
        Some((&project, &target)),
        flags,
        project.vars.clone(),
    );
    Ok(Opened {
        target: Arc::new(target),
        facts,
        project,
        warnings,
    })
}

fn errors_of(diagnostics: Vec<Diagnostic>) -> Vec<Diagnostic> {
    diagnostics
        .into_iter()
        .filter(Diagnostic::is_error)
        .collect()
}

fn read_project(
    settings: &Settings,
    facts: &Arc<ProjectFacts>,
) -> (Option<ProjectFile>, Vec<Diagnostic>) {
    let render = Renderer::new(facts);
    project::read(&settings.project_dir, &|text, span| {
        render.native(text, span)
    })
}

/// Renders YAML scalars before there are macros.
struct Renderer {
    engine: Engine,
    scope: Scope,
}

impl Renderer {
    fn new(facts: &Arc<ProjectFacts>) -> Renderer {
        let (engine, _) = Engine::new(&[], Lookup::default());
        let package: Arc<str> = Arc::clone(&facts.project);
        let root = context::yaml_context(facts, &package);
        Renderer {
            engine,
            scope: Scope { package, root },
        }
    }

    fn native(&self, text: &str, span: crate::source::Span) -> Result<Json, Box<Diagnostic>> {
        let value: Value = self.engine.render_native(text, &span, &self.scope)?;
        language::to_json(&value).map_err(|error| {
            let message = format!("this value has no place in YAML: {error}");
            Box::new(Diagnostic::error(Code::JinjaRender, message).at(span))
        })
    }
}

/// Puts together what all templates share.
fn facts(
    settings: &Settings,
    known: Option<(&ProjectFile, &Target)>,
    flags: TemplateFlags,
    root_vars: Map<String, Json>,
) -> ProjectFacts {
    let project = known.map_or_else(|| Arc::from(""), |(project, _)| Arc::clone(&project.name));
    let target = known.map_or_else(Map::new, |(_, target)| profile::target_facts(target));
    let dialect: &'static Dialect =
        known.map_or_else(dialect::embedded, |(_, target)| target.dialect);
    let mut shown = Map::new();
    shown.insert("WHICH".to_owned(), settings.command.into());
    shown.insert("FULL_REFRESH".to_owned(), Json::from(flags.full_refresh));
    shown.insert(
        "STORE_FAILURES".to_owned(),
        Json::from(flags.store_failures),
    );
    let bound = |at: Option<DateTime>| Json::from(at.map(microbatch::iso_local));
    let (start, end) = flags
        .event_time
        .map(|range| (range.start, range.end))
        .unzip();
    shown.insert("EVENT_TIME_START".to_owned(), bound(start));
    shown.insert("EVENT_TIME_END".to_owned(), bound(end));
    shown.insert("FAIL_FAST".to_owned(), settings.fail_fast.into());
    shown.insert("WARN_ERROR".to_owned(), settings.warn_error.into());
    shown.insert("QUIET".to_owned(), settings.quiet.into());
    shown.insert("WRITE_JSON".to_owned(), settings.write_json.into());
    shown.insert("PRINTER_WIDTH".to_owned(), settings.printer_width.into());
    if let Some((project, _)) = known {
        for (name, value) in &project.flags {
            shown
                .entry(name.to_uppercase())
                .or_insert_with(|| value.clone());
        }
    }
    let mut arguments = Map::new();
    arguments.insert("which".to_owned(), settings.command.into());
    arguments.insert("vars".to_owned(), Json::Object(settings.vars.clone()));
    ProjectFacts {
        package_vars: [(Arc::clone(&project), root_vars)].into_iter().collect(),
        project,
        dialect,
        target,
        profile: known.map_or_else(String::new, |(_, target)| target.profile.clone()),
        cli_vars: settings.vars.clone(),
        flags: shown,
        invocation_id: settings.invocation_id.clone(),
        run_started_at: clock(settings).with_time_zone(jiff::tz::TimeZone::UTC),
        environment: settings.environment.clone(),
        invocation_args: arguments,
    }
}

/// The run's clock; tests of other programs stop it by a variable.
fn clock(settings: &Settings) -> jiff::Zoned {
    let stopped = settings.environment.get(FAKE_NOW);
    let stopped = stopped.and_then(|text| microbatch::parse_iso(text));
    let stopped = stopped.and_then(|at| at.to_zoned(jiff::tz::TimeZone::UTC).ok());
    stopped.unwrap_or_else(jiff::Zoned::now)
}

/// Reads and parses the whole project; warnings go to the reporter.
///
/// # Errors
/// Every error that could be found.
pub fn parse(
    settings: &Settings,
    flags: TemplateFlags,
    report: &dyn Fn(Event),
) -> Result<Parsed, Vec<Diagnostic>> {
    let opened = open(settings, flags, report)?;
    parse_opened(settings, opened, report)
}

/// The same from [`open`] on.
///
/// # Errors
/// Every error that could be found.
pub fn parse_opened(
    settings: &Settings,
    opened: Opened,
    report: &dyn Fn(Event),
) -> Result<Parsed, Vec<Diagnostic>> {
    let log_path = settings
        .log_path
        .as_ref()
        .unwrap_or(&opened.project.paths.logs);
    report(Event::LogFile(
        opened.project.root.join(log_path).join("dbt.log"),
    ));
    let Opened {
        project: root,
        target,
        facts,
        mut warnings,
    } = opened;
    if target.span.is_none() {
        report(Event::Note(EMBEDDED.to_owned()));
    }
    let project_root = root.root.clone();
    let target_path =
        project_root.join(settings.target_path.as_ref().unwrap_or(&root.paths.target));
    let said_quoting = root.quoting;
    let query_comment = query_comment(root.query_comment.as_ref());
    let (name, dispatch) = (Arc::clone(&root.name), root.dispatch.clone());
    let render = Renderer::new(&Arc::new(facts.clone()));
    let (packages, mut found) = loader::load(root, &|text, span| render.native(text, span));
    let mut facts = facts;
    for package in packages.iter().skip(1) {
        let name = Arc::clone(&package.project.name);
        facts
            .package_vars
            .insert(name, package.project.vars.clone());
    }
    let connect = |connection: Option<&Arc<str>>, target: &Arc<Target>| {
        let facts = match connection {
            None => facts.clone(),
            Some(_) => ProjectFacts {
                dialect: target.dialect,
                target: profile::target_facts(target),
                ..facts.clone()
            },
        };
        let lookup = Lookup {
            root: Arc::clone(&name),
            dialect: target.dialect.name.into(),
            builtin: vec![builtin::dialect_package(target.dialect), "dbt".into()],
            dispatch: dispatch.clone(),
        };
        let (engine, broken) = Engine::new(&macro_files(&packages, target.dialect), lookup);
        let connected = Connected {
            name: connection.cloned(),
            engine: Arc::new(engine),
            facts: Arc::new(facts),
            target: Arc::clone(target),
        };
        (connected, broken)
    };
    let (main, broken) = connect(None, &target);
    found.extend(broken);
    // A macro that is broken is broken for all.
    let others = target.connections.iter();
    let others: Vec<Connected> = others
        .map(|(name, target)| connect(Some(name), target).0)
        .collect();
    let seen: Vec<_> = others.iter().map(Connected::seen).collect();
    let (manifest, more) = manifest::parse(&packages, &main.seen(), &seen);
    found.extend(more);
    let graph = match Graph::new(&manifest) {
        Ok(graph) => graph,
        Err(cycles) => {
            found.extend(cycles);
            Graph::default()
        }
    };
    let order = manifest.connections_in_order().unwrap_or_else(|cycle| {
        found.push(*cycle);
        Vec::new()
    });
    warnings.extend(found);
    let errors = report_warnings(settings, warnings, report);
    if !errors.is_empty() {
        return Err(errors);
    }
    report(Event::Found {
        stats: stats(&manifest),
    });
    let put_together = |manifest: Manifest, graph: Graph, connected: &Connected| Parsed {
        project: Arc::new(Project::new(
            manifest,
            Arc::clone(&connected.engine),
            Arc::clone(&connected.facts),
            query_comment.clone(),
            project_root.clone(),
            target_path.clone(),
        )),
        graph: Arc::new(graph),
        target: Arc::clone(&connected.target),
        quoting: quoting_of(said_quoting, connected.target.dialect),
        parts: Vec::new(),
    };
    let mut parts = Vec::new();
    if order.iter().any(Option::is_some) {
        for name in &order {
            let connected = others.iter().find(|other| other.name == *name);
            let part = manifest.part(name.as_ref());
            let graph = Graph::new(&part).expect("a part of a graph without cycles has none");
            parts.push(put_together(part, graph, connected.unwrap_or(&main)));
        }
    }
    let whole = put_together(manifest, graph, &main);
    Ok(Parsed { parts, ..whole })
}

/// A database of the profile, and how templates are rendered for it.
struct Connected {
    /// Its name; `None` for the target's own.
    name: Option<Arc<str>>,
    engine: Arc<Engine>,
    facts: Arc<ProjectFacts>,
    target: Arc<Target>,
}

impl Connected {
    fn seen(&self) -> manifest::Connection<'_> {
        manifest::Connection {
            name: self.name.clone(),
            engine: &self.engine,
            facts: &self.facts,
            target: &self.target,
        }
    }
}

/// The macros that a dialect's templates find: the built-in ones and those of all packages.
fn macro_files(
    packages: &[loader::Package],
    dialect: &'static Dialect,
) -> Vec<language::MacroFile> {
    let mut files = builtin::macro_files(dialect);
    for package in packages {
        files.extend(package.macros.iter().map(|loaded| language::MacroFile {
            package: Arc::clone(&package.project.name),
            file: Arc::clone(&loaded.file),
        }));
    }
    files
}

/// Sends warnings to the reporter and returns the errors; with `--warn-error` warnings are errors.
fn report_warnings(
    settings: &Settings,
    diagnostics: Vec<Diagnostic>,
    report: &dyn Fn(Event),
) -> Vec<Diagnostic> {
    let mut errors = Vec::new();
    for mut diagnostic in diagnostics {
        if settings.warn_error && !diagnostic.is_error() {
            diagnostic.severity = crate::diagnostic::Severity::Error;
        }
        if diagnostic.is_error() {
            errors.push(diagnostic);
        } else {
            report(Event::Diagnostic(Arc::new(diagnostic)));
        }
    }
    errors
}

/// What was found, such as `5 models, 3 data tests, 2 sources, 400 macros`.
fn stats(manifest: &Manifest) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for node in manifest.nodes.values() {
        *counts.entry(counted_as(node.resource_type)).or_default() += 1;
    }
    let mut parts: Vec<String> = counts
        .into_iter()
        .chain([
            ("source", manifest.sources.len()),
            ("macro", manifest.macros.len()),
        ])
        .filter(|(_, count)| *count > 0)
        .map(|(word, count)| match (word, count) {
            ("analysis", 2..) => format!("{count} analyses"),
            (_, 1) => format!("1 {word}"),
            _ => format!("{count} {word}s"),
        })
        .collect();
    if parts.is_empty() {
        parts.push("nothing".to_owned());
    }
    parts.join(", ")
}

/// dbt's word for a kind of node where nodes are counted.
fn counted_as(resource_type: ResourceType) -> &'static str {
    match resource_type {
        ResourceType::Test => "data test",
        ResourceType::SqlOperation => "sql operation",
        other => other.as_str(),
    }
}

fn quoting_of(said: PartialQuoting, dialect: &Dialect) -> Quoting {
    Quoting {
        database: said.database.unwrap_or(dialect.quoting.database),
        schema: said.schema.unwrap_or(dialect.quoting.schema),
        identifier: said.identifier.unwrap_or(dialect.quoting.identifier),
    }
}

fn query_comment(config: Option<&Json>) -> QueryComment {
    match config {
        None => QueryComment::On {
            template: None,
            append: false,
        },
        Some(Json::String(text)) if !text.trim().is_empty() => QueryComment::On {
            template: Some(text.clone()),
            append: false,
        },
        Some(Json::Object(map)) => QueryComment::On {
            template: map.get("comment").and_then(Json::as_str).map(str::to_owned),
            append: map.get("append").and_then(Json::as_bool).unwrap_or(false),
        },
        Some(_) => QueryComment::Off,
    }
}

/// Writes `manifest.json`, unless artifacts are switched off.
///
/// # Errors
/// A file that cannot be written.
pub fn write_manifest(invocation: &Invocation, parsed: &Parsed) -> Result<(), Vec<Diagnostic>> {
    write_compiled_manifest(invocation, parsed, &[])
}

/// As [`write_manifest`], with the SQL of what was compiled.
///
/// # Errors
/// As [`write_manifest`].
pub fn write_compiled_manifest(
    invocation: &Invocation,
    parsed: &Parsed,
    results: &[Arc<NodeResult>],
) -> Result<(), Vec<Diagnostic>> {
    let settings = &invocation.settings;
    if !settings.write_json {
        return Ok(());
    }
    let project = &parsed.project;
    let compiled = results
        .iter()
        .filter_map(|result| {
            let compiled = CompiledNode {
                code: result.compiled_code.as_deref()?,
                path: result.compiled_path.as_deref()?,
                ctes: &result.inlined,
            };
            Some((&result.node.unique_id, compiled))
        })
        .collect();
    let document = ManifestDocument {
        invocation: parsed.artifact_facts(settings),
        manifest: &project.manifest,
        dialect: project.facts.dialect,
        quoting: parsed.quoting,
        root: &project.root,
        compiled,
    };
    let path = project.target_path.join("manifest.json");
    artifacts::write_manifest(&path, &document).map_err(|error| vec![cannot_write(&path, &error)])
}

/// Writes `run_results.json`, unless artifacts are switched off.
///
/// # Errors
/// A file that cannot be written.
pub fn write_run_results(
    invocation: &Invocation,
    parsed: &Parsed,
    results: &[Arc<NodeResult>],
    elapsed: Duration,
) -> Result<(), Vec<Diagnostic>> {
    let args = &parsed.project.facts.invocation_args;
    write_run_results_of(invocation, parsed, results, elapsed, args)
}

/// As [`write_run_results`], with the command's own flags.
///
/// # Errors
/// As [`write_run_results`].
pub fn write_run_results_of(
    invocation: &Invocation,
    parsed: &Parsed,
    results: &[Arc<NodeResult>],
    elapsed: Duration,
    args: &Map<String, Json>,
) -> Result<(), Vec<Diagnostic>> {
    let settings = &invocation.settings;
    if !settings.write_json {
        return Ok(());
    }
    let path = parsed.project.target_path.join("run_results.json");
    let facts = parsed.artifact_facts(settings);
    artifacts::write_run_results(&path, &facts, results, elapsed, args)
        .map_err(|error| vec![cannot_write(&path, &error)])
}

impl Parsed {
    /// Ends a command's use of it: what reads files is closed, and the rest is left to the end of the
    /// process, since taking a whole project apart would be the last thing that one waits for.
    pub fn leave(self) {
        for part in self.parts.iter().chain([&self]) {
            part.project.readers.close();
        }
        std::mem::forget(self);
    }

    /// What lives in each connection, in the order in which they are built; a project with one
    /// connection is its only part.
    pub fn parts(&self) -> &[Parsed] {
        match self.parts.is_empty() {
            true => std::slice::from_ref(self),
            false => &self.parts,
        }
    }

    /// The part that a node belongs to, or whose nodes read a source.
    pub fn part_of(&self, id: &UniqueId) -> &Parsed {
        let concerns = |part: &&Parsed| {
            let mut nodes = part.project.manifest.nodes.values();
            nodes.any(|node| node.unique_id == *id || node.depends_on.contains(id))
        };
        self.parts().iter().find(concerns).unwrap_or(self)
    }

    /// What is selected of each part, in the order in which they are built; a project with one
    /// connection is there even where nothing is selected.
    pub fn selected_parts(
        &self,
        selected: &BTreeSet<UniqueId>,
    ) -> Vec<(&Parsed, BTreeSet<UniqueId>)> {
        let parts = self.parts().iter().map(|part| {
            let nodes = &part.project.manifest.nodes;
            let own = selected.iter().filter(|id| nodes.contains_key(*id));
            (part, own.cloned().collect::<BTreeSet<_>>())
        });
        match self.parts.is_empty() {
            true => vec![(self, selected.clone())],
            false => parts.filter(|(_, own)| !own.is_empty()).collect(),
        }
    }

    fn artifact_facts<'a>(&'a self, settings: &'a Settings) -> artifacts::Invocation<'a> {
        let mut redactor = Redactor::new(&settings.environment);
        redactor.extend(&profile::secrets(&self.target));
        artifacts::Invocation {
            redactor,
            id: &settings.invocation_id,
            started_at: self.project.facts.run_started_at.timestamp(),
            generated_at: jiff::Timestamp::now(),
            environment: &settings.environment,
        }
    }
}

/// A file of ours that cannot be written.
fn cannot_write(path: &Path, error: &std::io::Error) -> Diagnostic {
    Diagnostic::error(
        Code::Io,
        format!("cannot write `{}`: {error}", path.display()),
    )
}

/// A session that the system does not grant.
pub fn no_session(error: std::io::Error) -> Box<Diagnostic> {
    Box::new(Diagnostic::error(
        Code::Io,
        format!("cannot start a session: {error}"),
    ))
}

/// Evaluates a selection; what matches nothing is reported.
///
/// # Errors
/// Selectors that do not parse.
pub fn select(
    parsed: &Parsed,
    settings: &Settings,
    args: &SelectArgs,
    types: &TypeArgs,
    kinds: &[ResourceType],
    report: &dyn Fn(Event),
) -> Result<BTreeSet<UniqueId>, Vec<Diagnostic>> {
    let indirect = match settings.indirect(args.indirect_selection) {
        Indirect::Eager => IndirectSelection::Eager,
        Indirect::Cautious => IndirectSelection::Cautious,
        Indirect::Buildable => IndirectSelection::Buildable,
        Indirect::Empty => IndirectSelection::Empty,
    };
    let request = Request {
        select: args.select.clone(),
        exclude: args.exclude.clone(),
        resource_types: types.resource_type.clone(),
        exclude_resource_types: types.exclude_resource_type.clone(),
        indirect,
        kinds: kinds.to_vec(),
    };
    let found = selector::select(&parsed.project.manifest, &parsed.graph, &request)?;
    let errors = report_warnings(settings, found.warnings, report);
    if errors.is_empty() {
        Ok(found.ids)
    } else {
        Err(errors)
    }
}
