//! Who depends on whom, as a directed graph.
//!
//! Edges point from what is read to its reader. Indices are dense and follow the sorted unique ids,
//! and the order is the one topological order that prefers small indices, so everything derived
//! from a graph is the same on every run. Nothing here knows what a node is made of.

use std::cmp::Reverse;
use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, BinaryHeap, VecDeque};

use petgraph::Direction;
use petgraph::algo::tarjan_scc;
use petgraph::graph::DiGraph;
pub use petgraph::graph::NodeIndex;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::diagnostic::{Code, Diagnostic};
use crate::manifest::{Manifest, ResourceType, UniqueId};

/// The nodes and sources of a manifest, and what each reads.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    graph: DiGraph<UniqueId, ()>,
    index: FxHashMap<UniqueId, NodeIndex>,
    order: Vec<NodeIndex>,
}

/// Nodes that depend on each other, each on the next and the last on the first.
pub type CyclePath = Vec<UniqueId>;

/// Which way a walk goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Walk {
    /// To what is read.
    Ancestors,
    /// To the readers.
    Descendants,
}

impl Graph {
    /// Makes the graph of every node and source of a manifest.
    ///
    /// # Errors
    /// One [`Code::Cycle`] for each group of nodes that depend on each other, with a label at each
    /// `ref` that closes it.
    pub fn new(manifest: &Manifest) -> Result<Graph, Vec<Diagnostic>> {
        let sources = manifest.sources.keys().map(|id| {
            let export = manifest.exports.get(id);
            let model = export.map(|export| std::slice::from_ref(&export.model));
            (id, model.unwrap_or_default())
        });
        let nodes = manifest
            .nodes
            .iter()
            .map(|(id, node)| (id, node.depends_on.as_slice()));
        Graph::from_dependencies(sources.chain(nodes)).map_err(|cycles| {
            cycles
                .iter()
                .map(|cycle| cycle_diagnostic(manifest, cycle))
                .collect()
        })
    }

    /// Makes a graph of ids and what each depends on; dependencies that are no nodes are left out.
    ///
    /// # Errors
    /// One path for each group of nodes that depend on each other.
    pub fn from_dependencies<'a>(
        nodes: impl IntoIterator<Item = (&'a UniqueId, &'a [UniqueId])>,
    ) -> Result<Graph, Vec<CyclePath>> {
        let mut nodes: Vec<_> = nodes.into_iter().collect();
        nodes.sort_unstable_by_key(|(id, _)| *id);
        let mut graph = DiGraph::with_capacity(nodes.len(), nodes.len());
        let index: FxHashMap<UniqueId, NodeIndex> = nodes
            .iter()
            .map(|(id, _)| ((*id).clone(), graph.add_node((*id).clone())))
            .collect();
        for (id, dependencies) in &nodes {
            let reader = index[*id];
            let mut seen = FxHashSet::default();
            for dependency in dependencies.iter() {
                if let Some(&read) = index.get(dependency)
                    && seen.insert(read)
                {
                    graph.add_edge(read, reader, ());
                }
            }
        }
        match topological_order(&graph) {
            Some(order) => Ok(Graph {
                graph,
                index,
                order,
            }),
            None => Err(cycles(&graph)),
        }
    }

    /// How many nodes and sources there are.
    pub fn len(&self) -> usize {
        self.graph.node_count()
    }

    /// Tells whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The index of a unique id.
    pub fn index(&self, id: &UniqueId) -> Option<NodeIndex> {
        self.index.get(id).copied()
    }

    /// The unique id at an index.
    pub fn id(&self, index: NodeIndex) -> &UniqueId {
        &self.graph[index]
    }

    /// Every index, dependencies before their readers.
    pub fn order(&self) -> &[NodeIndex] {
        &self.order
    }

    /// What a node reads, sorted.
    pub fn parents(&self, index: NodeIndex) -> Vec<NodeIndex> {
        self.neighbours(index, Walk::Ancestors)
    }

    /// What reads a node, sorted.
    pub fn children(&self, index: NodeIndex) -> Vec<NodeIndex> {
        self.neighbours(index, Walk::Descendants)
    }

    /// Everything that is reached from some nodes in at most `depth` steps, without the nodes
    /// themselves unless one is reached from another.
    pub fn reach(
        &self,
        from: impl IntoIterator<Item = NodeIndex>,
        walk: Walk,
        depth: Option<usize>,
    ) -> BTreeSet<NodeIndex> {
        let mut queue: VecDeque<_> = from.into_iter().map(|index| (index, 0)).collect();
        let mut reached = BTreeSet::new();
        while let Some((index, steps)) = queue.pop_front() {
            if depth.is_some_and(|depth| steps >= depth) {
                continue;
            }
            for next in self.graph.neighbors_directed(index, walk.direction()) {
                if reached.insert(next) {
                    queue.push_back((next, steps + 1));
                }
            }
        }
        reached
    }

    /// The graph that `build` follows: whatever reads a node waits for the node's tests as well.
    ///
    /// A test of several nodes holds back only nodes below all of them, so no cycle can arise.
    pub fn with_test_barriers(&self, manifest: &Manifest) -> Graph {
        let mut graph = self.clone();
        for (test, node) in self.barriers(manifest) {
            graph.graph.update_edge(test, node, ());
        }
        graph.order = topological_order(&graph.graph)
            .expect("a test holds back only nodes below all it reads");
        graph
    }

    /// The graph of some of the nodes: one waits for another if it did so through any others.
    pub fn subset(&self, selected: &BTreeSet<UniqueId>) -> Graph {
        let mut taken = vec![false; self.len()];
        for index in selected.iter().filter_map(|id| self.index(id)) {
            taken[index.index()] = true;
        }
        // For each node, the nearest selected nodes that it waits for.
        let mut nearest: Vec<BTreeSet<NodeIndex>> = vec![BTreeSet::new(); self.len()];
        let mut dependencies: Vec<(&UniqueId, Vec<UniqueId>)> = Vec::new();
        for &index in &self.order {
            let mut found = BTreeSet::new();
            for parent in self.graph.neighbors_directed(index, Direction::Incoming) {
                if taken[parent.index()] {
                    found.insert(parent);
                } else {
                    found.extend(nearest[parent.index()].iter().copied());
                }
            }
            if taken[index.index()] {
                let ids = found.iter().map(|&read| self.id(read).clone()).collect();
                dependencies.push((self.id(index), ids));
            } else {
                nearest[index.index()] = found;
            }
        }
        let dependencies = dependencies
            .iter()
            .map(|(id, reads)| (*id, reads.as_slice()));
        Graph::from_dependencies(dependencies).expect("a part of a graph without cycles has none")
    }

    fn neighbours(&self, index: NodeIndex, walk: Walk) -> Vec<NodeIndex> {
        let found = self.graph.neighbors_directed(index, walk.direction());
        let mut found: Vec<_> = found.collect();
        found.sort_unstable();
        found
    }

    /// The edges from tests to the nodes that must wait for them.
    fn barriers(&self, manifest: &Manifest) -> Vec<(NodeIndex, NodeIndex)> {
        let mut edges = Vec::new();
        let mut waits = vec![false; self.len()];
        // Tests of several nodes, and the small numbers of the nodes that they read.
        let mut wide_tests: Vec<(NodeIndex, Vec<usize>)> = Vec::new();
        let mut tested: FxHashMap<NodeIndex, usize> = FxHashMap::default();
        for (id, node) in &manifest.nodes {
            let Some(index) = self.index(id) else {
                continue;
            };
            waits[index.index()] = node.resource_type != ResourceType::Test;
            if node.resource_type == ResourceType::Test {
                let parents = self.parents(index);
                if parents.len() > 1 {
                    let numbers = parents.iter().map(|&parent| {
                        let next = tested.len();
                        *tested.entry(parent).or_insert(next)
                    });
                    wide_tests.push((index, numbers.collect()));
                }
            }
        }
        for (id, node) in &manifest.nodes {
            if node.resource_type != ResourceType::Test {
                continue;
            }
            let Some(index) = self.index(id) else {
                continue;
            };
            if let [parent] = self.parents(index)[..] {
                let readers = self.children(parent);
                edges.extend(
                    readers
                        .into_iter()
                        .filter(|r| waits[r.index()])
                        .map(|r| (index, r)),
                );
            }
        }
        if wide_tests.is_empty() {
            return edges;
        }
        let mut touching: Vec<Vec<usize>> = vec![Vec::new(); tested.len()];
        for (number, (_, reads)) in wide_tests.iter().enumerate() {
            for &read in reads {
                touching[read].push(number);
            }
        }
        // Down the order: which tested nodes lie above, and which wide tests nobody above waits for.
        let none = (Bits::default(), Bits::default());
        let mut state = vec![none; self.len()];
        for &index in &self.order {
            let (mut above, mut open) = (Bits::default(), Bits::default());
            for parent in self.graph.neighbors_directed(index, Direction::Incoming) {
                let (parent_above, parent_open) = &state[parent.index()];
                above.union(parent_above);
                open.union(parent_open);
                if let Some(&number) = tested.get(&parent) {
                    above.insert(number);
                    touching[number].iter().for_each(|&test| open.insert(test));
                }
            }
            if waits[index.index()] {
                for number in open.numbers() {
                    let (test, reads) = &wide_tests[number];
                    if reads.iter().all(|&read| above.contains(read)) {
                        edges.push((*test, index));
                        open.remove(number);
                    }
                }
            }
            state[index.index()] = (above, open);
        }
        edges
    }
}

impl Walk {
    fn direction(self) -> Direction {
        match self {
            Walk::Ancestors => Direction::Incoming,
            Walk::Descendants => Direction::Outgoing,
        }
    }
}

/// A set of small numbers.
#[derive(Clone, Debug, Default)]
struct Bits(Vec<u64>);

impl Bits {
    fn insert(&mut self, number: usize) {
        if self.0.len() <= number / 64 {
            self.0.resize(number / 64 + 1, 0);
        }
        self.0[number / 64] |= 1 << (number % 64);
    }

    fn remove(&mut self, number: usize) {
        if let Some(word) = self.0.get_mut(number / 64) {
            *word &= !(1 << (number % 64));
        }
    }

    fn contains(&self, number: usize) -> bool {
        let word = self.0.get(number / 64).copied().unwrap_or(0);
        word >> (number % 64) & 1 == 1
    }

    fn union(&mut self, other: &Bits) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (word, more) in self.0.iter_mut().zip(&other.0) {
            *word |= more;
        }
    }

    fn numbers(&self) -> Vec<usize> {
        let words = self.0.iter().enumerate().filter(|(_, word)| **word != 0);
        words
            .flat_map(|(at, word)| {
                (0..64)
                    .filter(move |bit| word >> bit & 1 == 1)
                    .map(move |bit| at * 64 + bit)
            })
            .collect()
    }
}

/// Kahn's order with the smallest index first; `None` where there is a cycle.
fn topological_order(graph: &DiGraph<UniqueId, ()>) -> Option<Vec<NodeIndex>> {
    let mut missing: Vec<usize> = graph
        .node_indices()
        .map(|index| graph.neighbors_directed(index, Direction::Incoming).count())
        .collect();
    let free = graph
        .node_indices()
        .filter(|index| missing[index.index()] == 0);
    let mut ready: BinaryHeap<_> = free.map(Reverse).collect();
    let mut order = Vec::with_capacity(graph.node_count());
    while let Some(Reverse(index)) = ready.pop() {
        order.push(index);
        for reader in graph.neighbors_directed(index, Direction::Outgoing) {
            missing[reader.index()] -= 1;
            if missing[reader.index()] == 0 {
                ready.push(Reverse(reader));
            }
        }
    }
    (order.len() == graph.node_count()).then_some(order)
}

/// One shortest cycle through the smallest node of each group that is tied together.
fn cycles(graph: &DiGraph<UniqueId, ()>) -> Vec<CyclePath> {
    let mut paths: Vec<CyclePath> = Vec::new();
    for group in tarjan_scc(graph) {
        let members: FxHashSet<_> = group.iter().copied().collect();
        let start = *group.iter().min().expect("a component has a node");
        if let Some(path) = cycle_through(graph, start, &members) {
            paths.push(path.into_iter().map(|index| graph[index].clone()).collect());
        }
    }
    paths.sort();
    paths
}

fn cycle_through(
    graph: &DiGraph<UniqueId, ()>,
    start: NodeIndex,
    members: &FxHashSet<NodeIndex>,
) -> Option<Vec<NodeIndex>> {
    // Walks from a reader to what it reads, as the arrows of the message do.
    let mut came_from: FxHashMap<NodeIndex, NodeIndex> = FxHashMap::default();
    let mut queue = VecDeque::from([start]);
    while let Some(index) = queue.pop_front() {
        let mut reads: Vec<_> = graph
            .neighbors_directed(index, Direction::Incoming)
            .collect();
        reads.sort_unstable();
        for read in reads.into_iter().filter(|read| members.contains(read)) {
            if read == start {
                let mut path = vec![index];
                while let Some(&previous) = came_from.get(path.last().expect("not empty")) {
                    path.push(previous);
                }
                path.reverse();
                return Some(path);
            }
            if let Entry::Vacant(vacant) = came_from.entry(read) {
                vacant.insert(index);
                queue.push_back(read);
            }
        }
    }
    None
}

fn cycle_diagnostic(manifest: &Manifest, cycle: &[UniqueId]) -> Diagnostic {
    let name = |id: &UniqueId| match manifest.nodes.get(id) {
        Some(node) => node.name.clone(),
        None => id.to_string(),
    };
    let mut names: Vec<_> = cycle.iter().map(name).collect();
    names.push(names[0].clone());
    let mut diagnostic = Diagnostic::error(
        Code::Cycle,
        format!("nodes depend on each other: {}", names.join(" -> ")),
    );
    for (at, id) in cycle.iter().enumerate() {
        let read = &names[at + 1];
        let call = manifest
            .nodes
            .get(id)
            .and_then(|node| node.refs.iter().find(|(call, _)| call.name == *read));
        if let Some((_, span)) = call {
            diagnostic = diagnostic.label(span.clone(), format!("`{}` reads `{read}`", names[at]));
        }
    }
    diagnostic.help("remove one of these references, or read the upstream source in its place")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::jinja::{Reading, RefCall};
    use crate::manifest::fixture;
    use crate::source::{SourceFile, Span};

    fn graph(lines: &[(&str, &[&str])]) -> Result<Graph, Vec<CyclePath>> {
        let owned: Vec<(UniqueId, Vec<UniqueId>)> = lines
            .iter()
            .map(|(id, reads)| {
                (
                    (*id).into(),
                    reads.iter().map(|&read| read.into()).collect(),
                )
            })
            .collect();
        Graph::from_dependencies(owned.iter().map(|(id, reads)| (id, reads.as_slice())))
    }

    fn names(graph: &Graph, indices: impl IntoIterator<Item = NodeIndex>) -> String {
        let names: Vec<_> = indices
            .into_iter()
            .map(|index| graph.id(index).as_str())
            .collect();
        names.join(" ")
    }

    #[test]
    fn the_order_is_topological_and_prefers_small_ids() {
        let graph =
            graph(&[("c", &["a"]), ("b", &["c"]), ("a", &[]), ("d", &[])]).expect("no cycle");
        assert_eq!(names(&graph, graph.order().to_vec()), "a c b d");
    }

    #[test]
    fn walks_stop_at_their_depth() {
        let graph = graph(&[("a", &[]), ("b", &["a"]), ("c", &["b"]), ("d", &["c", "a"])])
            .expect("no cycle");
        let a = graph.index(&"a".into()).expect("a");
        let d = graph.index(&"d".into()).expect("d");
        assert_eq!(
            names(&graph, graph.reach([a], Walk::Descendants, None)),
            "b c d"
        );
        assert_eq!(
            names(&graph, graph.reach([a], Walk::Descendants, Some(1))),
            "b d"
        );
        assert_eq!(
            names(&graph, graph.reach([d], Walk::Ancestors, Some(1))),
            "a c"
        );
        assert_eq!(
            names(&graph, graph.reach([d], Walk::Ancestors, Some(0))),
            ""
        );
        assert_eq!(names(&graph, graph.parents(d)), "a c");
        assert_eq!(names(&graph, graph.children(a)), "b d");
    }

    #[test]
    fn a_cycle_is_told_as_a_path_from_reader_to_read() {
        let cycles = graph(&[
            ("a", &["b"]),
            ("b", &["c"]),
            ("c", &["a"]),
            ("d", &["d"]),
            ("e", &["a"]),
        ])
        .expect_err("cycles");
        let paths: Vec<Vec<&str>> = cycles
            .iter()
            .map(|path| path.iter().map(UniqueId::as_str).collect())
            .collect();
        assert_eq!(paths, [vec!["a", "b", "c"], vec!["d"]]);
    }

    #[test]
    fn a_subset_waits_through_what_was_left_out() {
        let graph =
            graph(&[("a", &[]), ("b", &["a"]), ("c", &["b"]), ("d", &["c"])]).expect("no cycle");
        let part = graph.subset(&["a", "d"].into_iter().map(UniqueId::from).collect());
        let d = part.index(&"d".into()).expect("d");
        assert_eq!(part.len(), 2);
        assert_eq!(names(&part, part.parents(d)), "a");
    }

    fn manifest(lines: &[(&str, &[&str])]) -> Manifest {
        let mut manifest = Manifest::default();
        for (id, reads) in lines {
            let node = fixture::node(id, reads);
            manifest.nodes.insert(node.unique_id.clone(), node.into());
        }
        manifest
    }

    #[test]
    fn build_waits_for_the_tests_of_what_is_read() {
        // b and c read a; d reads both. The test of b and c holds back d alone, that of a both of
        // its readers, and that of d nothing.
        let manifest = manifest(&[
            ("model.p.a", &[]),
            ("model.p.b", &["model.p.a"]),
            ("model.p.c", &["model.p.a"]),
            ("model.p.d", &["model.p.b", "model.p.c"]),
            ("model.p.e", &["model.p.d"]),
            ("test.p.of_a", &["model.p.a"]),
            ("test.p.of_bc", &["model.p.b", "model.p.c"]),
            ("test.p.of_bd", &["model.p.b", "model.p.d"]),
            ("test.p.of_e", &["model.p.e"]),
        ]);
        let graph = Graph::new(&manifest).expect("no cycle");
        let build = graph.with_test_barriers(&manifest);
        let parents = |name: &str| {
            let index = build.index(&name.into()).expect("known");
            names(&build, build.parents(index))
        };
        assert_eq!(parents("model.p.b"), "model.p.a test.p.of_a");
        assert_eq!(parents("model.p.d"), "model.p.b model.p.c test.p.of_bc");
        assert_eq!(parents("model.p.e"), "model.p.d test.p.of_bd");
        assert_eq!(parents("test.p.of_bd"), "model.p.b model.p.d");
        assert_eq!(
            graph
                .parents(graph.index(&"model.p.b".into()).expect("b"))
                .len(),
            1
        );
    }

    #[test]
    fn a_cycle_is_shown_at_each_of_its_references() {
        let mut manifest = Manifest::default();
        for (name, read) in [("a", "b"), ("b", "a")] {
            let mut node = fixture::node(&format!("model.p.{name}"), &[&format!("model.p.{read}")]);
            let text = format!("select * from {{{{ ref('{read}') }}}}\n");
            node.file = SourceFile::inline(format!("models/{name}.sql"), text);
            let call = RefCall {
                package: None,
                name: read.to_owned(),
                version: None,
                reading: Reading::default(),
            };
            node.refs.push((call, Span::new(&node.file, 17..25)));
            manifest.nodes.insert(node.unique_id.clone(), node.into());
        }
        let errors = Graph::new(&manifest).expect_err("a cycle");
        insta::assert_snapshot!(errors[0], @"
        error[cycle]: nodes depend on each other: a -> b -> a
         --> models/a.sql:1:18
          |
        1 | select * from {{ ref('b') }}
          |                  ^^^^^^^^ `a` reads `b`
          |
         ::: models/b.sql:1:18
          |
        1 | select * from {{ ref('a') }}
          |                  -------- `b` reads `a`
          |
          = help: remove one of these references, or read the upstream source in its place
        ");
    }

    proptest! {
        #[test]
        fn every_graph_has_an_order_or_a_cycle(edges in proptest::collection::vec((0usize..8, 0usize..8), 0..14)) {
            let ids: Vec<UniqueId> = (0..8).map(|number| format!("n{number}").into()).collect();
            let reads: Vec<Vec<UniqueId>> = (0..8)
                .map(|reader| edges.iter().filter(|(r, _)| *r == reader).map(|(_, read)| ids[*read].clone()).collect())
                .collect();
            match Graph::from_dependencies(ids.iter().zip(&reads).map(|(id, reads)| (id, reads.as_slice()))) {
                Ok(graph) => {
                    let place = |id: &UniqueId| graph.order().iter().position(|&index| graph.id(index) == id);
                    for (reader, read) in &edges {
                        prop_assert!(place(&ids[*read]) < place(&ids[*reader]));
                    }
                }
                Err(cycles) => {
                    prop_assert!(!cycles.is_empty());
                    for cycle in cycles {
                        for (at, id) in cycle.iter().enumerate() {
                            let next = &cycle[(at + 1) % cycle.len()];
                            let number = ids.iter().position(|other| other == id).expect("known");
                            prop_assert!(reads[number].contains(next));
                        }
                    }
                }
            }
        }
    }
}
