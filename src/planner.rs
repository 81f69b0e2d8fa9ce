//! What a command will do, and in which order.
//!
//! A pure function of the graph and the selection: a [`Plan`] can be printed and tested without a
//! database.

pub mod board;
pub mod causes;
pub mod items;
pub mod overview;
pub mod report;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::fixture;

    /// Each step of the plan of some nodes, and what it waits for.
    fn shown(nodes: &[Node], selected: &[&str], work: Work) -> String {
        let mut manifest = Manifest::default();
        for node in nodes {
            let node = node.clone();
            manifest.nodes.insert(node.unique_id.clone(), node.into());
        }
        let graph = Graph::new(&manifest).expect("no cycle");
        let selection = selected.iter().map(|&id| UniqueId::from(id)).collect();
        let plan = plan(&manifest, &graph, &selection, work);
        let steps: Vec<String> = plan
            .steps
            .iter()
            .map(|step| {
                let after: Vec<&str> = step
                    .after
                    .iter()
                    .map(|&at| plan.steps[at].node.as_str())
                    .collect();
                match after.is_empty() {
                    true => step.node.to_string(),
                    false => format!("{} after {}", step.node, after.join(", ")),
                }
            })
            .collect();
        steps.join("\n")
    }

    /// A seed, a chain of three models of which the middle one is ephemeral, and tests.
    fn shop() -> Vec<Node> {
        let mut nodes = [
            ("seed.s.raw", &[] as &[&str]),
            ("model.s.a", &["seed.s.raw"]),
            ("model.s.b", &["model.s.a"]),
            ("model.s.c", &["model.s.b"]),
            ("test.s.raw_id", &["seed.s.raw"]),
            ("test.s.a_id", &["model.s.a"]),
            ("test.s.c_in_a", &["model.s.c", "model.s.a"]),
        ]
        .map(|(id, reads)| fixture::node(id, reads));
        nodes[2]
            .config
            .set
            .insert("materialized".to_owned(), "ephemeral".into());
        nodes.to_vec()
    }

    const EVERYTHING: &[&str] = &[
        "seed.s.raw",
        "model.s.a",
        "model.s.b",
        "model.s.c",
        "test.s.raw_id",
        "test.s.a_id",
        "test.s.c_in_a",
    ];

    #[test]
    fn a_build_waits_for_the_tests_of_what_it_reads() {
        insta::assert_snapshot!(shown(&shop(), EVERYTHING, Work::Build), @r"
        seed.s.raw
        test.s.raw_id after seed.s.raw
        model.s.a after seed.s.raw, test.s.raw_id
        test.s.a_id after model.s.a
        model.s.c after model.s.a, test.s.a_id
        test.s.c_in_a after model.s.a, model.s.c
        ");
    }

    #[test]
    fn a_run_takes_models_and_waits_through_the_ephemeral_one() {
        insta::assert_snapshot!(shown(&shop(), EVERYTHING, Work::Run), @r"
        model.s.a
        model.s.c after model.s.a
        ");
    }

    #[test]
    fn tests_and_seeds_wait_for_nothing_where_they_are_alone() {
        insta::assert_snapshot!(shown(&shop(), EVERYTHING, Work::Test), @r"
        test.s.a_id
        test.s.c_in_a
        test.s.raw_id
        ");
        insta::assert_snapshot!(shown(&shop(), EVERYTHING, Work::Seed), @"seed.s.raw");
    }

    #[test]
    fn compile_takes_the_ephemeral_model_and_no_seed() {
        insta::assert_snapshot!(shown(&shop(), &["seed.s.raw", "model.s.b", "model.s.c"], Work::Compile), @r"
        model.s.b
        model.s.c after model.s.b
        ");
    }

    #[test]
    fn what_is_not_selected_keeps_the_order_of_what_is() {
        insta::assert_snapshot!(shown(&shop(), &["seed.s.raw", "model.s.c", "test.s.a_id"], Work::Build), @r"
        seed.s.raw
        test.s.a_id after seed.s.raw
        model.s.c after seed.s.raw, test.s.a_id
        ");
        assert_eq!(shown(&shop(), &["model.s.nowhere"], Work::Build), "");
    }
}
