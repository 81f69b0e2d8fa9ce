//! Names in a running template to relations, by the manifest.

use std::sync::Arc;

use serde_json::Value as Json;

use super::{Project, microbatch};
use crate::diagnostic::{Code, Diagnostic};
use crate::jinja::{RefCall, Resolver, SourceCall};
use crate::manifest::{Node, Source, UniqueId};
use crate::microbatch::Batch;
use crate::relation::{Relation, RelationKind};

/// Resolves what one node reads.
pub struct NodeResolver {
    /// The project.
    pub project: Arc<Project>,
    /// What the node declared that it reads; `None` for text that has no place in the graph.
    pub declared: Option<Vec<UniqueId>>,
    /// The batch that bounds what is read of inputs that have an `event_time`.
    pub batch: Option<Batch>,
}

impl NodeResolver {
    /// Resolves as a node of the manifest does.
    pub fn for_node(project: &Arc<Project>, node: &Node) -> NodeResolver {
        NodeResolver {
            project: Arc::clone(project),
            declared: Some(node.depends_on.clone()),
            batch: None,
        }
    }

    /// Refuses what the parser could not see: it would be built in no certain order.
    fn undeclared(&self, id: &UniqueId, call: &str) -> Box<Diagnostic> {
        let message = format!("`{id}` is read here, and the parser could not see it");
        Box::new(Diagnostic::error(Code::UnknownRef, message).help(format!(
            "add the comment `-- depends_on: {{{{ {call} }}}}` to the template"
        )))
    }

    /// Finds a node as the parser did, among what was declared; else in the whole project.
    fn find_node(&self, call: &RefCall) -> Result<&Arc<Node>, Box<Diagnostic>> {
        let manifest = &self.project.manifest;
        let Some(declared) = &self.declared else {
            return manifest.find_ref(call);
        };
        let named = |node: &&Arc<Node>| {
            let package = call.package.as_deref();
            node.name == call.name && package.is_none_or(|package| package == &*node.package)
        };
        let mut known = declared.iter().filter_map(|id| manifest.nodes.get(id));
        match known.find(named) {
            Some(node) => Ok(node),
            None => {
                let node = manifest.find_ref(call)?;
                Err(self.undeclared(&node.unique_id, &format!("ref('{}')", call.name)))
            }
        }
    }

    fn find_source(&self, call: &SourceCall) -> Result<&Arc<Source>, Box<Diagnostic>> {
        let manifest = &self.project.manifest;
        let Some(declared) = &self.declared else {
            return manifest.find_source(call);
        };
        let mut known = declared.iter().filter_map(|id| manifest.sources.get(id));
        let found =
            known.find(|source| source.source_name == call.source && source.name == call.table);
        match found {
            Some(source) => Ok(source),
            None => {
                let source = manifest.find_source(call)?;
                let text = format!("source('{}', '{}')", call.source, call.table);
                Err(self.undeclared(&source.unique_id, &text))
            }
        }
    }
}

impl Resolver for NodeResolver {
    fn resolve_ref(&self, call: &RefCall) -> Result<Relation, Box<Diagnostic>> {
        let node = self.find_node(call)?;
        let mut relation = node.relation.clone();
        if node.is_ephemeral() {
            relation.kind = Some(RelationKind::Cte);
            relation.identifier = Some(node.name.as_str().into());
        }
        if let Some(batch) = self.batch {
            let dialect = self.project.facts.dialect;
            relation.filter = microbatch::filter(dialect, &node.config, &node.columns, None, batch);
        }
        Ok(relation)
    }

    fn resolve_source(&self, call: &SourceCall) -> Result<Relation, Box<Diagnostic>> {
        let source = self.find_source(call)?;
        let mut relation = source.relation.clone();
        if let Some(batch) = self.batch {
            let dialect = self.project.facts.dialect;
            let quoted = source.quoting.get("column").and_then(Json::as_bool);
            let (config, columns) = (&source.config, &source.columns);
            relation.filter = microbatch::filter(dialect, config, columns, quoted, batch);
        }
        Ok(relation)
    }
}
