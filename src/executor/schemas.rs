//! Before the first node: the schemas are made, and what they hold is looked at once.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Project;
use super::session::Session;
use crate::diagnostic::Diagnostic;
use crate::jinja::context::{self, ExecuteScope};
use crate::jinja::language::Scope;
use crate::jinja::{Value, Warehouse};
use crate::manifest::{Node, ResourceType, UniqueId};
use crate::relation::Relation;

/// Makes the schemas of some nodes where they are missing, and fills the cache with what is in them.
///
/// # Errors
/// What the database or an overridden macro answered.
pub fn prepare<'a>(
    project: &Arc<Project>,
    session: &Arc<Session>,
    nodes: impl Iterator<Item = &'a UniqueId>,
) -> Result<(), Box<Diagnostic>> {
    let schemas = schemas_of(project, nodes);
    if schemas.is_empty() {
        return Ok(());
    }
    session.begin_node(project, None);
    let scope = plain_scope(project, session, Vec::new());
    let call = |name: &str, args: &[Value]| project.engine.call(name, args, &[], &scope);
    let mut databases: Vec<(String, BTreeSet<String>)> = Vec::new();
    for schema in &schemas {
        let database = schema.database.as_deref().unwrap_or_default().to_owned();
        let at = match databases.iter().position(|(name, _)| *name == database) {
            Some(at) => at,
            None => {
                let listed = call("list_schemas", &[Value::from(database.as_str())])?;
                databases.push((database, context::first_column(&listed)));
                databases.len() - 1
            }
        };
        let relation = context::relation_value(project.facts.dialect, schema);
        let name = schema.schema.as_deref().unwrap_or_default().to_lowercase();
        if databases[at]
            .1
            .iter()
            .any(|known| known.to_lowercase() == name)
        {
            let listed = call("list_relations_without_caching", &[relation])?;
            let found = context::listed_relations(project.facts.dialect, &listed);
            session.cache_relations(schema, found);
        } else {
            call("create_schema", &[relation])?;
            session.cache_relations(schema, Vec::new());
        }
    }
    session.commit()
}

/// The schemas that some nodes build into, each once, sorted.
pub fn schemas_of<'a>(
    project: &Project,
    nodes: impl Iterator<Item = &'a UniqueId>,
) -> BTreeSet<Relation> {
    nodes
        .filter_map(|id| project.manifest.nodes.get(id))
        .filter(|node| builds_relation(node))
        .map(|node| {
            let mut schema = node.relation.clone();
            schema.identifier = None;
            schema.kind = None;
            schema
        })
        .collect()
}

fn builds_relation(node: &Node) -> bool {
    match node.resource_type {
        ResourceType::Model => !node.is_ephemeral(),
        ResourceType::Seed => true,
        ResourceType::Test => node.stores_failures(),
        _ => false,
    }
}

/// A scope of the root project that belongs to no node.
pub fn plain_scope(
    project: &Arc<Project>,
    session: &Arc<Session>,
    extra: Vec<(&'static str, Value)>,
) -> Scope {
    let graph_of = Arc::clone(project);
    let package = Arc::clone(&project.manifest.project);
    let resolver = super::NodeResolver {
        project: Arc::clone(project),
        declared: None,
        partitions: None,
        batch: None,
    };
    let (root, _) = context::execute_context(
        &project.facts,
        ExecuteScope {
            package: Arc::clone(&package),
            this: None,
            model: serde_json::Value::Null.into(),
            config: Arc::new(|_| None),
            graph: Arc::new(move || graph_of.graph_json().clone()),
            resolver: Arc::new(resolver),
            warehouse: Arc::clone(session) as Arc<dyn Warehouse>,
            partition: None,
            extra,
        },
    );
    Scope { package, root }
}
