//! What is handed from one connection to another: a model's rows, as the files of a source.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Manifest, Node, UniqueId};
use crate::diagnostic::{Code, Diagnostic};
use crate::source::Span;

/// A model whose rows become the files of a source.
#[derive(Clone, Debug)]
pub struct Export {
    /// The model that is read.
    pub model: UniqueId,
    /// The source whose files are written.
    pub source: UniqueId,
    /// Which rows a partition of the source gets.
    pub mode: ExportMode,
    /// The columns by which the rows of a file are ordered.
    pub order_by: Vec<String>,
    /// Where it is declared.
    pub span: Span,
}

/// Which rows of a model a partition of the source gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportMode {
    /// Those whose partition it is, by the source's column.
    Partitions,
    /// All that are there, for the newest closed partition only.
    Dump,
}

/// The name of a connection; `None` for the target's own.
type ConnectionName = Option<Arc<str>>;

impl Manifest {
    /// What lives in one connection; sources are everywhere.
    pub fn part(&self, connection: Option<&Arc<str>>) -> Manifest {
        let lives = |node: &Node| node.connection.as_ref() == connection;
        let nodes = self.nodes.iter().filter(|(_, node)| lives(node));
        let exports = self.exports.iter().filter(|(_, export)| {
            self.nodes
                .get(&export.model)
                .is_some_and(|node| lives(node))
        });
        Manifest {
            project: Arc::clone(&self.project),
            nodes: nodes
                .map(|(id, node)| (id.clone(), Arc::clone(node)))
                .collect(),
            exports: exports
                .map(|(id, export)| (id.clone(), Arc::clone(export)))
                .collect(),
            sources: self.sources.clone(),
            macros: self.macros.clone(),
            docs: self.docs.clone(),
            disabled: self.disabled.clone(),
            disabled_sources: self.disabled_sources.clone(),
        }
    }

    /// The connections that nodes live in, each after those whose exports it reads.
    ///
    /// # Errors
    /// Connections that wait for each other.
    pub fn connections_in_order(&self) -> Result<Vec<ConnectionName>, Box<Diagnostic>> {
        let mut waits: BTreeMap<ConnectionName, Vec<(ConnectionName, &Export)>> = BTreeMap::new();
        for node in self.nodes.values() {
            let waits = waits.entry(node.connection.clone()).or_default();
            for export in node.depends_on.iter().filter_map(|id| self.exports.get(id)) {
                if let Some(model) = self.nodes.get(&export.model) {
                    waits.push((model.connection.clone(), export));
                }
            }
        }
        let mut order: Vec<ConnectionName> = Vec::new();
        while order.len() < waits.len() {
            let left = waits.iter().filter(|(name, _)| !order.contains(name));
            let next = left
                .clone()
                .find(|(_, waits)| waits.iter().all(|(before, _)| order.contains(before)));
            match (next, left.flat_map(|(_, waits)| waits).next()) {
                (Some((name, _)), _) => order.push(name.clone()),
                (None, Some((_, export))) => return Err(Box::new(in_a_circle(export))),
                (None, None) => break,
            }
        }
        Ok(order)
    }
}

fn in_a_circle(export: &Export) -> Diagnostic {
    let message = format!(
        "`{}` is exported to `{}`, which is read by what its own connection waits for",
        export.model, export.source
    );
    Diagnostic::error(Code::Cycle, message)
        .at(export.span.clone())
        .help("let rows go one way only: read the model itself within its connection")
}

#[cfg(test)]
mod tests {
    use crate::manifest::fixture::{Fixture, render};

    #[test]
    fn what_is_wrong_with_exports_is_told_at_once() {
        insta::assert_snapshot!(render(
            &Fixture::new(
                "
/// file: models/a.sql
{{ config(export={'to': 'landing.order', 'mod': 'dump'}) }}
select 1 as id
/// file: models/b.sql
{{ config(export={'mode': 'all', 'order_by': 3}) }}
select 1 as id
/// file: models/c.sql
{{ config(export={'to': 'landing.plain'}) }}
select 1 as id
/// file: models/d.sql
{{ config(export={'to': 'landing.orders'}, connection='there') }}
select 1 as id
/// file: models/e.sql
{{ config(materialized='ephemeral', export={'to': 'landing.orders'}) }}
select 1 as id
/// file: models/landing.yml
models:
  - name: c
    config: {connection: elsewhere}
sources:
  - name: landing
    tables:
      - name: orders
        external: {location: 'landing/{day}/*.csv'}
        columns: [{name: id, data_type: int}]
        config: {partition_by: day, begin: 2026-11-01}
      - name: plain
"
            )
            .parse()
            .1
        ));
    }
}
