//! Names in a running template to relations, by the manifest.

use std::sync::Arc;

use serde_json::Value as Json;

use super::reads::{BatchView, mapping_of};
use super::{Project, microbatch};
use crate::calendar::Mapping;
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
    /// The partitions of the node that are built, which narrow what it reads.
    pub partitions: Option<(Arc<Node>, BatchView)>,
    /// The batch that bounds what is read of inputs that have an `event_time`.
    pub batch: Option<Batch>,
}

impl NodeResolver {
    /// Resolves as a node of the manifest does.
    pub fn for_node(project: &Arc<Project>, node: &Node) -> NodeResolver {
        NodeResolver {
            project: Arc::clone(project),
            declared: Some(node.depends_on.clone()),
            partitions: None,
            batch: None,
        }
    }

    /// The relation of a read, narrowed to what the batch at hand reads of it.
    fn narrowed(&self, id: &UniqueId, asked: Option<Mapping>, relation: Relation) -> Relation {
        let Some((node, batch)) = &self.partitions else {
            return relation;
        };
        let mapping = mapping_of(node, id, asked);
        let dialect = self.project.facts.dialect;
        batch.narrowing.narrow(id, mapping, relation, dialect)
    }

    /// Refuses what the parser could not see: it would be built in no certain order.
    fn undeclared(&self, id: &UniqueId, call: &str) -> Box<Diagnostic> {
        let message = format!("`{id}` is read here, and the parser could not see it");
        Box::new(Diagnostic::error(Code::UnknownRef, message).help(format!(
            "add the comment `-- depends_on: {{{{ {call} }}}}` to the template"
        )))
    }

    /// Finds a node as the parser did, among what was declared; else in the whole project.
    ///
    /// # Errors
    /// No such node, or one that was not declared.
    pub fn find_node(&self, call: &RefCall) -> Result<&Arc<Node>, Box<Diagnostic>> {
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

    /// Finds a source in the same way.
    ///
    /// # Errors
    /// As [`NodeResolver::find_node`].
    pub fn find_source(&self, call: &SourceCall) -> Result<&Arc<Source>, Box<Diagnostic>> {
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
        Ok(self.narrowed(&node.unique_id, call.reading.mapping, relation))
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
        Ok(self.narrowed(&source.unique_id, call.reading.mapping, relation))
    }

    fn resolve_self(&self, mapping: Mapping) -> Result<Relation, Box<Diagnostic>> {
        let Some((node, _)) = &self.partitions else {
            let message = "`self` reads a model's own partitions, and none are built here";
            return Err(Box::new(Diagnostic::error(Code::BadConfig, message)));
        };
        Ok(self.narrowed(&node.unique_id, Some(mapping), node.relation.clone()))
    }
}
