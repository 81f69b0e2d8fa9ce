//! What the template of a partitioned model sees while it is only compiled: the newest partition that
//! is due, each read narrowed as it would be. No database is asked.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::reads::{BatchView, Built, Narrowed, Narrowing, inlined_sources};
use super::stage::{self, StagedFor};
use super::{Project, look};
use crate::calendar::{Mapping, PartitionRange};
use crate::graph::Graph;
use crate::manifest::Node;
use crate::planner::items::Followed;

/// What compiling needs to know of the engine.
pub struct Preview {
    followed: Followed,
    as_of: Timestamp,
}

impl Preview {
    /// Of a project; `None` where nothing is followed.
    pub fn new(project: &Arc<Project>, graph: &Graph, as_of: Timestamp) -> Option<Preview> {
        let outline = look::follow(project, graph)?;
        Some(Preview::of(outline.followed, as_of))
    }

    /// Of what was followed already.
    pub fn of(followed: Followed, as_of: Timestamp) -> Preview {
        Preview { followed, as_of }
    }

    /// The newest due partition of a partitioned model and what it reads; `None` for any other node.
    pub fn view(&self, project: &Project, node: &Node) -> Option<BatchView> {
        let cut = node.upkeep.partitioning.as_ref()?;
        if node.microbatch.is_some() {
            return None;
        }
        let newest = cut.calendar.newest_closed(self.as_of);
        let range = PartitionRange::one(newest.max(cut.calendar.begin));
        let dialect = project.facts.dialect;
        let mut reads = BTreeMap::new();
        for read in &node.upkeep.reads {
            let Some(parent) = self.followed.cut(&project.manifest, &read.upstream) else {
                continue;
            };
            let source = project.manifest.sources.get(&read.upstream);
            let files = source.filter(|source| source.has_files());
            let narrowed = match files {
                Some(source) => {
                    let reader = StagedFor::Model(read.mapping);
                    Narrowed::Staged(stage::staging(dialect, source, reader))
                }
                None if read.mapping == Mapping::All => continue,
                None => {
                    let wanted = read.mapping.reads(range, &cut.calendar, &parent.calendar);
                    Narrowed::Where(parent.predicate(&parent.field, wanted))
                }
            };
            reads.insert((read.upstream.clone(), read.mapping), narrowed);
        }
        let inlined = inlined_sources(&project.manifest, node).into_iter();
        let inlined = inlined.filter_map(|id| {
            let source = project.manifest.sources.get(&id)?;
            let table = stage::staging(dialect, source, StagedFor::Inlined);
            source.has_files().then_some((id, table))
        });
        Some(BatchView {
            narrowing: Arc::new(Narrowing::new(reads).with_inlined(inlined.collect())),
            built: Some(Arc::new(Built {
                cut: Arc::clone(cut),
                range,
            })),
        })
    }
}
