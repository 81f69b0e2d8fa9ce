//! Text from the command line as a node: it reads the project and has no place in it.

use std::sync::Arc;

use super::{Manifest, Node, ResourceType, Source, UniqueId};
use crate::config::node_config::NodeConfig;
use crate::diagnostic::{Code, Diagnostic, nearest};
use crate::jinja::context::{ParseScope, ProjectFacts, parse_context};
use crate::jinja::language::{Engine, Scope};
use crate::jinja::{RefCall, SourceCall};
use crate::relation::Relation;
use crate::source::SourceFile;

/// dbt's name for such a node.
const NAME: &str = "inline_query";

impl Manifest {
    /// Finds what a `ref` names, the root project's before packages'.
    ///
    /// # Errors
    /// No such node, without a place.
    pub fn find_ref(&self, call: &RefCall) -> Result<&Arc<Node>, Box<Diagnostic>> {
        let refable = || {
            self.nodes.values().filter(|node| {
                matches!(node.resource_type, ResourceType::Model | ResourceType::Seed)
            })
        };
        let named = |node: &&Arc<Node>| {
            node.name == call.name && call.package.as_deref().is_none_or(|p| p == &*node.package)
        };
        let in_root = refable()
            .filter(named)
            .find(|node| node.package == self.project);
        in_root.or_else(|| refable().find(named)).ok_or_else(|| {
            let message = format!("no model or seed is named `{}`", call.name);
            let diagnostic = Diagnostic::error(Code::UnknownRef, message);
            let names = refable().map(|node| node.name.as_str());
            with_near(diagnostic, nearest(&call.name, names))
        })
    }

    /// Finds what a `source` names, the root project's before packages'.
    ///
    /// # Errors
    /// No such table, without a place.
    pub fn find_source(&self, call: &SourceCall) -> Result<&Arc<Source>, Box<Diagnostic>> {
        let named =
            |source: &&Arc<Source>| source.source_name == call.source && source.name == call.table;
        let in_root = self
            .sources
            .values()
            .filter(named)
            .find(|s| s.package == self.project);
        in_root
            .or_else(|| self.sources.values().find(named))
            .ok_or_else(|| {
                let asked = format!("{}.{}", call.source, call.table);
                let message = format!("no source table is named `{asked}`");
                let diagnostic = Diagnostic::error(Code::UnknownSource, message);
                let names: Vec<String> = self
                    .sources
                    .values()
                    .map(|source| format!("{}.{}", source.source_name, source.name))
                    .collect();
                with_near(
                    diagnostic,
                    nearest(&asked, names.iter().map(String::as_str)),
                )
            })
    }
}

fn with_near(diagnostic: Diagnostic, near: Option<&str>) -> Box<Diagnostic> {
    Box::new(match near {
        Some(near) => diagnostic.help(format!("`{near}` exists")),
        None => diagnostic,
    })
}

/// Makes a node of text.
///
/// # Errors
/// Faults of its template, and names that do not exist.
pub fn inline_node(
    manifest: &Manifest,
    engine: &Engine,
    facts: &Arc<ProjectFacts>,
    text: &str,
) -> Result<Node, Vec<Diagnostic>> {
    let file = SourceFile::inline(NAME, text);
    let target = |key: &str| {
        let value = facts.target.get(key).and_then(serde_json::Value::as_str);
        value.unwrap_or_default().to_owned()
    };
    let package = Arc::clone(&manifest.project);
    let relation = Relation::new(facts.dialect, &target("database"), &target("schema"), NAME);
    let unique_id = UniqueId::from(format!("sql_operation.{package}.{NAME}"));
    let scope = ParseScope {
        package: Arc::clone(&package),
        this: relation.clone(),
        model: serde_json::json!({
            "unique_id": unique_id.as_str(), "name": NAME, "package_name": &*package,
            "resource_type": "sql_operation",
        }),
        config: indexmap::IndexMap::new(),
    };
    let template = engine.compile(&file).map_err(|wrong| vec![*wrong])?;
    let (root, collected) = parse_context(facts, scope);
    let scope = Scope {
        package: Arc::clone(&package),
        root,
    };
    engine
        .render(&template, &scope)
        .map_err(|wrong| vec![*wrong])?;
    let collected = collected
        .lock()
        .expect("no rendering holds it any more")
        .clone();
    let mut depends_on = Vec::new();
    let mut wrong = Vec::new();
    let refs = collected.refs.iter().map(|(call, span)| {
        (
            manifest.find_ref(call).map(|node| node.unique_id.clone()),
            span,
        )
    });
    let sources = collected.sources.iter().map(|(call, span)| {
        (
            manifest
                .find_source(call)
                .map(|source| source.unique_id.clone()),
            span,
        )
    });
    for (found, span) in refs.chain(sources) {
        match found {
            Ok(id) => depends_on.push(id),
            Err(diagnostic) => wrong.push(diagnostic.at(span.clone())),
        }
    }
    if !wrong.is_empty() {
        return Err(wrong);
    }
    Ok(Node {
        unique_id,
        resource_type: ResourceType::SqlOperation,
        connection: None,
        fqn: vec![package.to_string(), NAME.to_owned()],
        package,
        name: NAME.to_owned(),
        path: NAME.to_owned(),
        original_path: NAME.to_owned(),
        file,
        alias: NAME.to_owned(),
        relation,
        config: NodeConfig::default(),
        description: String::new(),
        columns: indexmap::IndexMap::new(),
        meta: serde_json::Map::new(),
        refs: collected.refs,
        sources: collected.sources,
        depends_on,
        depends_on_macros: Vec::new(),
        patch_path: None,
        patch_span: None,
        tags: Vec::new(),
        test: None,
        microbatch: None,
        index: None,
        upkeep: Default::default(),
    })
}
