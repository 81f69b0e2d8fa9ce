//! Where a node is built: database, schema and alias.
//!
//! dbt asks three macros. Where a project overrides one of them it is called; the built-in ones
//! are computed here, because ten thousand calls cost.

use std::sync::Arc;

use super::{Project, python};
use crate::diagnostic::Diagnostic;
use crate::jinja::Value;
use crate::jinja::builtin;
use crate::jinja::language::{Scope, from_json, to_json};
use crate::manifest::{Node, ResourceType, json};
use crate::relation::{Relation, RelationKind};

const MACROS: [&str; 3] = [
    "generate_database_name",
    "generate_schema_name",
    "generate_alias_name",
];

/// The macros to call, by package; `None` stands for the built-in behaviour.
pub struct Names {
    custom: Vec<[Option<String>; 3]>,
}

impl Names {
    /// Finds the overriding macros: the root project's, then the node's own package's.
    pub fn new(project: &Project<'_>) -> Names {
        let custom = project.packages.iter().map(|package| {
            MACROS.map(|name| {
                let packages = [&project.facts.project, &package.project.name];
                packages
                    .into_iter()
                    .find_map(|from| overriding(project, from, name))
            })
        });
        Names {
            custom: custom.collect(),
        }
    }

    /// Fills alias and relation from the config; `scope` makes a context where a macro must be called.
    pub fn fill(
        &self,
        project: &Project<'_>,
        package: usize,
        node: &mut Node,
        scope: &mut dyn FnMut(&Node) -> Scope,
    ) -> Result<(), Box<Diagnostic>> {
        let set = |key| node.config.text(key).map(str::to_owned);
        let (database, mut schema, alias) = (set("database"), set("schema"), set("alias"));
        if node.resource_type == ResourceType::Test && !node.config.set.contains_key("schema") {
            schema = Some("dbt_test__audit".to_owned());
        }
        if let Some(quoting) = node.config.get("quoting") {
            let said = |part| quoting.get(part).and_then(serde_json::Value::as_bool);
            let current = &mut node.relation.quoting;
            current.database = said("database").unwrap_or(current.database);
            current.schema = said("schema").unwrap_or(current.schema);
            current.identifier = said("identifier").unwrap_or(current.identifier);
        }
        let [by_database, by_schema, by_alias] = &self.custom[package];
        let mut call = |node: &Node, name: &str, custom: Option<&str>| {
            let shape = from_json(&json::node_shape(node, project.target.dialect));
            let custom = custom.map_or_else(|| Value::from(()), Value::from);
            let made = project
                .engine
                .call(name, &[custom, shape], &[], &scope(node))?;
            let made = to_json(&made).unwrap_or_default();
            let text = (!made.is_null()).then(|| python::str(&made).trim().to_owned());
            Ok::<_, Box<Diagnostic>>(text.filter(|text| !text.is_empty()))
        };
        let target = project.target;
        let database = match by_database {
            Some(name) => call(node, name, database.as_deref())?,
            None => Some(
                database
                    .as_deref()
                    .unwrap_or(&target.database)
                    .trim()
                    .to_owned(),
            ),
        };
        node.relation.database = database.filter(|text| !text.is_empty()).map(Arc::from);
        let schema = match (by_schema, schema) {
            (Some(name), schema) => call(node, name, schema.as_deref())?,
            (None, Some(custom)) => Some(format!("{}_{}", target.schema, custom.trim())),
            (None, None) => Some(target.schema.clone()),
        };
        node.relation.schema = schema.filter(|text| !text.is_empty()).map(Arc::from);
        let alias = match (by_alias, alias) {
            (Some(name), alias) => call(node, name, alias.as_deref())?,
            (None, Some(custom)) => Some(custom.trim().to_owned()),
            (None, None) => None,
        };
        node.alias = alias.unwrap_or_else(|| node.name.clone());
        self::identify(node);
        Ok(())
    }
}

/// Names the relation after the alias; an ephemeral model's after the model.
fn identify(node: &mut Node) {
    let ephemeral = node.is_ephemeral();
    let identifier = if ephemeral { &node.name } else { &node.alias };
    node.relation = Relation {
        identifier: Some(identifier.as_str().into()),
        kind: ephemeral.then_some(RelationKind::Cte),
        ..node.relation.clone()
    };
}

/// The name by which to call a macro that is not built in, or a built-in one that dispatches to such.
fn overriding(project: &Project<'_>, package: &str, name: &str) -> Option<String> {
    let is_builtin = |package: &str| {
        package == builtin::PACKAGE || package == &*builtin::dialect_package(project.target.dialect)
    };
    let found = project.engine.find(package, name)?;
    if !is_builtin(&found.package) {
        return Some(format!("{}.{name}", found.package));
    }
    let prefixes = [project.target.dialect.name, "default"];
    prefixes.iter().find_map(|prefix| {
        let found = project.engine.find(package, &format!("{prefix}__{name}"))?;
        (!is_builtin(&found.package)).then(|| name.to_owned())
    })
}
