//! What tests make manifests of: nodes by hand, and packages out of one string.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use indexmap::IndexMap;

use super::{Manifest, Node, ResourceType, Source, TestInfo, UniqueId};
use crate::config::node_config::NodeConfig;
use crate::config::profile::Target;
use crate::config::project;
use crate::diagnostic::Diagnostic;
use crate::dialect::DUCKDB;
use crate::jinja::builtin;
use crate::jinja::context::ProjectFacts;
use crate::jinja::language::{Engine, Lookup, MacroFile};
use crate::loader::{LoadedFile, Package};
use crate::relation::Relation;
use crate::source::{SourceFile, Span};

/// Makes a node of a unique id such as `model.shop.orders`, in the folder `models`, and what it reads.
pub fn node(id: &str, reads: &[&str]) -> Node {
    let mut parts = id.splitn(3, '.');
    let kind = parts.next().expect("a type");
    let package: Arc<str> = parts.next().expect("a package").into();
    let name = parts.next().expect("a name").to_owned();
    let resource_type = ResourceType::parse(kind).expect("a resource type");
    Node {
        unique_id: id.into(),
        resource_type,
        connection: None,
        package: Arc::clone(&package),
        path: format!("{name}.sql"),
        original_path: format!("models/{name}.sql"),
        fqn: vec![package.to_string(), name.clone()],
        file: SourceFile::inline(format!("models/{name}.sql"), "select 1"),
        alias: name.clone(),
        relation: Relation::new(&DUCKDB, "dev", "main", &name),
        config: NodeConfig::default(),
        description: String::new(),
        columns: IndexMap::new(),
        meta: serde_json::Map::new(),
        tags: Vec::new(),
        refs: Vec::new(),
        sources: Vec::new(),
        depends_on: reads.iter().map(|&read| UniqueId::from(read)).collect(),
        depends_on_macros: Vec::new(),
        patch_path: None,
        patch_span: None,
        test: (resource_type == ResourceType::Test).then(TestInfo::default),
        microbatch: None,
        index: None,
        upkeep: Default::default(),
        name,
    }
}

/// Makes a source of a unique id such as `source.shop.raw.orders`.
pub fn source(id: &str, span: &Span) -> Source {
    let parts: Vec<&str> = id.split('.').collect();
    let [_, package, source_name, name] = parts[..] else {
        panic!("`{id}` is no source");
    };
    Source {
        unique_id: id.into(),
        package: package.into(),
        source_name: source_name.to_owned(),
        name: name.to_owned(),
        fqn: vec![package.to_owned(), source_name.to_owned(), name.to_owned()],
        original_path: span.file.path.clone(),
        span: span.clone(),
        connection: None,
        relation: Relation::new(&DUCKDB, "dev", source_name, name),
        identifier: name.to_owned(),
        source_description: String::new(),
        description: String::new(),
        loader: String::new(),
        columns: IndexMap::new(),
        source_meta: serde_json::Map::new(),
        meta: serde_json::Map::new(),
        tags: Vec::new(),
        config: NodeConfig::default(),
        loaded_at_field: None,
        freshness: None,
        external: None,
        quoting: serde_json::Map::new(),
        partitioning: None,
    }
}

/// A project in memory.
pub struct Fixture {
    /// The packages, root first.
    pub packages: Vec<Package>,
    /// The macros: those of the packages and the built-in ones.
    pub engine: Engine,
    /// What templates share.
    pub facts: Arc<ProjectFacts>,
    /// The target: database `dev`, schema `main`, of the embedded database.
    pub target: Target,
    /// What was wrong with the macros and the project files.
    pub diagnostics: Vec<Diagnostic>,
}

impl Fixture {
    /// Makes packages of one text: each file follows a line `/// file: models/a.sql`.
    ///
    /// Files below `dbt_packages/<name>/` make packages of their own. A missing `dbt_project.yml`
    /// is made: of the root it says `name: shop`. Folders have dbt's default names.
    pub fn new(text: &str) -> Fixture {
        let mut roots: IndexMap<String, Vec<(String, String)>> = IndexMap::new();
        roots.insert("shop".to_owned(), Vec::new());
        for part in text.split("/// file: ").skip(1) {
            let (path, body) = part.split_once('\n').expect("a path and a text");
            let below = path.trim().strip_prefix("dbt_packages/");
            let (package, path) = match below.and_then(|below| below.split_once('/')) {
                Some((package, path)) => (package, path),
                None => ("shop", path.trim()),
            };
            let files = roots.entry(package.to_owned()).or_default();
            files.push((path.to_owned(), body.to_owned()));
        }
        let mut diagnostics = Vec::new();
        let mut packages = Vec::new();
        for (name, files) in &roots {
            packages.push(package(name, files, &mut diagnostics));
        }
        let target = target();
        let facts = facts(&packages, &target);
        let mut macros = builtin::macro_files(target.dialect);
        for package in &packages {
            macros.extend(package.macros.iter().map(|loaded| MacroFile {
                package: Arc::clone(&package.project.name),
                file: Arc::clone(&loaded.file),
            }));
        }
        let lookup = Lookup {
            root: Arc::clone(&facts.project),
            dialect: target.dialect.name.into(),
            builtin: vec![
                builtin::dialect_package(target.dialect),
                builtin::PACKAGE.into(),
            ],
            dispatch: packages[0].project.dispatch.clone(),
        };
        let (engine, errors) = Engine::new(&macros, lookup);
        diagnostics.extend(errors);
        Fixture {
            packages,
            engine,
            facts,
            target,
            diagnostics,
        }
    }

    /// Parses it; diagnostics of the fixture come first.
    pub fn parse(&self) -> (Manifest, Vec<Diagnostic>) {
        let main = super::Connection {
            name: None,
            engine: &self.engine,
            facts: &self.facts,
            target: &self.target,
        };
        let (manifest, found) = super::parse(&self.packages, &main, &[]);
        let all = self.diagnostics.iter().cloned().chain(found).collect();
        (manifest, all)
    }

    /// Parses what has no fault.
    pub fn manifest(&self) -> Manifest {
        let (manifest, found) = self.parse();
        assert!(found.is_empty(), "{}", render(&found));
        manifest
    }
}

/// All diagnostics as they are printed.
pub fn render(diagnostics: &[Diagnostic]) -> String {
    let texts: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
    texts.join("\n")
}

fn package(name: &str, files: &[(String, String)], diagnostics: &mut Vec<Diagnostic>) -> Package {
    let given = files.iter().find(|(path, _)| path == "dbt_project.yml");
    let text = given.map_or_else(|| format!("name: {name}\n"), |(_, text)| text.clone());
    let plain = |text: &str, _: Span| Ok(text.into());
    let file = SourceFile::inline("dbt_project.yml", text);
    let (project, errors) = project::read_file(Path::new(""), file, &plain);
    diagnostics.extend(errors);
    let project = project.expect("a project");
    let of = |folder: &str, extensions: &[&str]| -> Vec<LoadedFile> {
        let mut loaded: Vec<LoadedFile> = files
            .iter()
            .filter(|(path, _)| {
                let inside = folder.is_empty() || path.starts_with(&format!("{folder}/"));
                inside && extensions.iter().any(|extension| path.ends_with(extension))
            })
            .filter(|(path, _)| path != "dbt_project.yml")
            .map(|(path, text)| LoadedFile {
                file: SourceFile::inline(path.clone(), text.clone()),
                folder: path.split('/').next().unwrap_or_default().into(),
            })
            .collect();
        loaded.sort_by(|a, b| a.file.path.cmp(&b.file.path));
        loaded
    };
    Package {
        models: of("models", &[".sql"]),
        seeds: of("seeds", &[".csv"]),
        tests: of("tests", &[".sql"]),
        macros: of("macros", &[".sql"]),
        analyses: of("analyses", &[".sql"]),
        snapshots: of("snapshots", &[".sql"]),
        properties: of("", &[".yml", ".yaml"]),
        docs: of("", &[".md"]),
        project,
    }
}

fn target() -> Target {
    Target {
        profile: "shop".to_owned(),
        name: "dev".to_owned(),
        dialect: &DUCKDB,
        database: "dev".to_owned(),
        schema: "main".to_owned(),
        threads: 1,
        fields: serde_json::Map::new(),
        span: None,
        file: None,
        connections: Vec::new(),
    }
}

fn facts(packages: &[Package], target: &Target) -> Arc<ProjectFacts> {
    let shown = serde_json::json!({
        "name": target.name,
        "schema": target.schema,
        "database": target.database,
        "type": target.dialect.name,
    });
    let vars = packages.iter().map(|package| {
        (
            Arc::clone(&package.project.name),
            package.project.vars.clone(),
        )
    });
    Arc::new(ProjectFacts {
        project: Arc::clone(&packages[0].project.name),
        dialect: target.dialect,
        target: shown.as_object().cloned().unwrap_or_default(),
        profile: target.profile.clone(),
        cli_vars: serde_json::Map::new(),
        package_vars: vars.collect(),
        flags: serde_json::Map::new(),
        invocation_id: "00000000-0000-0000-0000-000000000000".to_owned(),
        run_started_at: "2026-01-02T03:04:05+00:00[UTC]".parse().expect("a time"),
        environment: BTreeMap::new(),
        invocation_args: serde_json::Map::new(),
    })
}
