//! What a command will do, and in which order.
//!
//! A pure function of the graph and the selection: a [`Plan`] can be printed and tested without a
//! database.

use std::collections::BTreeSet;

use crate::graph::Graph;
use crate::manifest::{Manifest, Node, ResourceType, UniqueId};

/// What a command does with its nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Builds models.
    Run,
    /// Runs data tests.
    Test,
    /// Loads seeds.
    Seed,
    /// All three, each test a barrier before what reads the tested node.
    Build,
    /// Renders SQL and runs nothing.
    Compile,
}

impl Work {
    /// Tells whether the command takes a node.
    ///
    /// Ephemeral models are inlined into their readers, so only `compile` takes them.
    pub fn takes(self, node: &Node) -> bool {
        match (self, node.resource_type) {
            (Work::Run | Work::Build, ResourceType::Model) => !node.is_ephemeral(),
            (Work::Test | Work::Build, ResourceType::Test) => true,
            (Work::Seed | Work::Build, ResourceType::Seed) => true,
            (Work::Compile, ResourceType::Model | ResourceType::Test | ResourceType::Analysis) => {
                true
            }
            _ => false,
        }
    }
}

/// The steps of a command; what a step waits for stands before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// In an order in which they could run one by one.
    pub steps: Vec<Step>,
}

/// One node's turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The node.
    pub node: UniqueId,
    /// The steps it waits for, by their place in [`Plan::steps`].
    pub after: Vec<usize>,
}

/// Puts the selected nodes that the command takes in order.
///
/// A node waits for another also where only unselected nodes lie between them.
pub fn plan(
    manifest: &Manifest,
    graph: &Graph,
    selection: &BTreeSet<UniqueId>,
    work: Work,
) -> Plan {
    let taken: BTreeSet<UniqueId> = selection
        .iter()
        .filter(|id| manifest.nodes.get(*id).is_some_and(|node| work.takes(node)))
        .cloned()
        .collect();
    let ordered = match work {
        Work::Build => graph.with_test_barriers(manifest).subset(&taken),
        _ => graph.subset(&taken),
    };
    let mut place = vec![0; ordered.len()];
    for (at, index) in ordered.order().iter().enumerate() {
        place[index.index()] = at;
    }
    let steps = ordered
        .order()
        .iter()
        .map(|&index| {
            let mut after: Vec<usize> = ordered
                .parents(index)
                .into_iter()
                .map(|parent| place[parent.index()])
                .collect();
            after.sort_unstable();
            Step {
                node: ordered.id(index).clone(),
                after,
            }
        })
        .collect();
    Plan { steps }
}
