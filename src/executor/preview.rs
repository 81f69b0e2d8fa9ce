//! A partitioned model's query as a batch of one partition would have it, without building anything.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use rayon::prelude::*;

use super::compile::Shown;
use super::reads::{BatchView, Built, Narrowed, Narrowing};
use super::stage::{self, StagedFor};
use super::{Project, fingerprint, look};
use crate::calendar::{Mapping, PartitionRange};
use crate::diagnostic::Diagnostic;
use crate::graph::Graph;
use crate::manifest::{Node, Source, UniqueId};
use crate::planner::items::{self, Followed};
use crate::relation::Relation;

/// What previews are made by.
pub struct Previews {
    followed: Followed,
    as_of: Timestamp,
}

impl Previews {
    /// Finds how reads are narrowed; `None` where nothing of the project has partitions.
    pub fn new(project: &Arc<Project>, graph: &Graph, as_of: Timestamp) -> Option<Previews> {
        if !look::is_followed(project) {
            return None;
        }
        let ids: Vec<UniqueId> = items::with_code(&project.manifest).into_iter().collect();
        let symbolic = ids
            .par_iter()
            .filter_map(|id| {
                let node = project.manifest.nodes.get(id)?;
                Some((id.clone(), fingerprint::fingerprint(project, node)))
            })
            .collect();
        let dialect = project.facts.dialect;
        Some(Previews {
            followed: items::follow(&project.manifest, graph, dialect, &symbolic),
            as_of,
        })
    }

    /// What a node's templates see: of a partitioned model, the newest partition that is due.
    pub fn shown(&self, project: &Arc<Project>, node: &Arc<Node>) -> Shown {
        let staged = |source: &Source| {
            let name = format!("{}.{}", source.source_name, source.name);
            Ok(stage::staging(project, &name, StagedFor::Model))
        };
        // Naming a table cannot fail.
        match view(project, &self.followed, node, self.as_of, &staged) {
            Ok(Some(view)) => Shown::of_partitions(project, node, view),
            _ => Shown::of(project, node),
        }
    }
}

/// Which table stands for the files of a source.
pub type StageOf<'a> = &'a dyn Fn(&Source) -> Result<Relation, Box<Diagnostic>>;

/// The view of a batch that builds the newest due partition, or the whole of what has none; `None`
/// where nothing that the node reads is narrowed.
///
/// # Errors
/// Those of `staged`.
pub fn view(
    project: &Project,
    followed: &Followed,
    node: &Node,
    as_of: Timestamp,
    staged: StageOf<'_>,
) -> Result<Option<BatchView>, Box<Diagnostic>> {
    if node.microbatch.is_some() {
        return Ok(None);
    }
    let own = node.upkeep.partitioning.as_ref();
    let range = own.map(|cut| {
        let newest = cut.calendar.newest_closed(as_of);
        PartitionRange::one(newest.max(cut.calendar.begin))
    });
    let mut built = own.zip(range).map(|(cut, range)| Built {
        cut: Arc::clone(cut),
        range,
    });
    let mut reads = BTreeMap::new();
    for read in &node.upkeep.reads {
        let Some(cut) = followed.cut(&project.manifest, &read.upstream) else {
            continue;
        };
        let files = project
            .manifest
            .sources
            .get(&read.upstream)
            .filter(|source| {
                let external = source.external.as_ref();
                external.is_some_and(|external| external.get("location").is_some())
            });
        let narrowed = match (files, own.zip(range)) {
            (Some(source), _) => {
                built.get_or_insert_with(|| Built {
                    range: PartitionRange::new(cut.calendar.begin, i32::MAX),
                    cut: Arc::clone(&cut),
                });
                Narrowed::Staged(staged(source)?)
            }
            (None, Some((own, range))) if read.mapping != Mapping::All => {
                let wanted = read.mapping.reads(range, &own.calendar, &cut.calendar);
                let predicate = cut.predicate(&cut.field, wanted);
                match read.upstream == node.unique_id {
                    true => {
                        let name = node.relation.render(project.facts.dialect);
                        Narrowed::Query(format!("select * from {name}\nwhere {predicate}"))
                    }
                    false => Narrowed::Where(predicate),
                }
            }
            (None, _) => continue,
        };
        reads.insert((read.upstream.clone(), read.mapping), narrowed);
    }
    Ok(built.map(|built| BatchView {
        narrowing: Arc::new(Narrowing::new(reads)),
        built: Arc::new(built),
    }))
}
