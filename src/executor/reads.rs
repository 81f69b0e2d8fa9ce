//! What one batch reads: each `ref` and `source` narrowed to the partitions that its mapping names.
//!
//! A narrowed read is a common table expression in front of the model's query, so that the template
//! may give it an alias or none. The files of a source are loaded before, into a table of the
//! session.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use crate::calendar::{Mapping, PartitionRange};
use crate::dialect::Dialect;
use crate::jinja::port::PartitionText;
use crate::manifest::partitioning::Partitioning;
use crate::manifest::{Manifest, Node, UniqueId};
use crate::relation::Relation;

/// The mapping by which a node reads something, where its call says none.
pub fn mapping_of(node: &Node, upstream: &UniqueId, asked: Option<Mapping>) -> Mapping {
    let mut reads = node.upkeep.reads.iter();
    match asked {
        Some(mapping) => reads
            .find(|read| read.upstream == *upstream && read.mapping == mapping)
            .map_or(Mapping::All, |read| read.mapping),
        None => reads
            .find(|read| {
                read.upstream == *upstream && matches!(read.mapping, Mapping::Same | Mapping::All)
            })
            .map_or(Mapping::All, |read| read.mapping),
    }
}

/// The sources that a node reads through ephemeral models, which are written into its own query.
pub fn inlined_sources(manifest: &Manifest, node: &Node) -> BTreeSet<UniqueId> {
    let ephemeral = |id: &UniqueId| {
        let parent = manifest.nodes.get(id);
        parent.filter(|parent| parent.is_ephemeral())
    };
    let mut queue: Vec<&UniqueId> = node.depends_on.iter().collect();
    let (mut seen, mut sources) = (BTreeSet::new(), BTreeSet::new());
    while let Some(id) = queue.pop() {
        let Some(parent) = ephemeral(id).filter(|_| seen.insert(id)) else {
            continue;
        };
        let read = parent.depends_on.iter();
        sources.extend(
            read.filter(|id| manifest.sources.contains_key(*id))
                .cloned(),
        );
        queue.extend(&parent.depends_on);
    }
    sources
}

/// How one read is narrowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Narrowed {
    /// To the rows for which a predicate holds.
    Where(String),
    /// The rows are in a table of the session.
    Staged(Relation),
    /// A query gives them.
    Query(String),
}

/// The reads of one batch, by what is read and how.
#[derive(Debug, Default)]
pub struct Narrowing {
    /// What is not among them is read whole.
    pub reads: BTreeMap<(UniqueId, Mapping), Narrowed>,
    /// The tables of the session that hold what the ephemeral models inside read of files.
    pub inlined: BTreeMap<UniqueId, Relation>,
    used: Mutex<Vec<(String, String)>>,
}

impl Narrowing {
    /// Of some reads.
    pub fn new(reads: BTreeMap<(UniqueId, Mapping), Narrowed>) -> Narrowing {
        Narrowing {
            reads,
            ..Narrowing::default()
        }
    }

    /// The same, with the files that ephemeral models inside read.
    pub fn with_inlined(self, inlined: BTreeMap<UniqueId, Relation>) -> Narrowing {
        Narrowing { inlined, ..self }
    }

    /// The relation that the template gets for one of its reads.
    pub fn narrow(
        &self,
        upstream: &UniqueId,
        mapping: Mapping,
        relation: Relation,
        dialect: &Dialect,
    ) -> Relation {
        let key = (upstream.clone(), mapping);
        let text = match self.reads.get(&key) {
            None => return relation,
            Some(Narrowed::Staged(staged)) => {
                let name: Arc<str> = staged.render(dialect).into();
                return Relation {
                    shown_as: Some(name),
                    ..relation
                };
            }
            Some(Narrowed::Where(predicate)) => {
                format!(
                    "select * from {}\nwhere {predicate}",
                    relation.render(dialect)
                )
            }
            Some(Narrowed::Query(query)) => query.clone(),
        };
        let identifier = relation.identifier.as_deref().unwrap_or("rows");
        let plain: String = identifier
            .chars()
            .map(|c| if c.is_alphanumeric() { c } else { '_' })
            .collect();
        let mut used = self
            .used
            .lock()
            .expect("no holder of the narrowed reads' lock panics");
        let name = match used.iter().find(|(_, known)| *known == text) {
            Some((name, _)) => name.clone(),
            None => {
                let stem = match mapping {
                    Mapping::Same => format!("__daygrain__{plain}"),
                    Mapping::Window(-1, -1) => format!("__daygrain__previous_{plain}"),
                    Mapping::Window(..) => format!("__daygrain__window_{plain}"),
                    Mapping::Upto => format!("__daygrain__upto_{plain}"),
                    Mapping::All => format!("__daygrain__all_{plain}"),
                };
                let numbered = (2..).map(|number| format!("{stem}_{number}"));
                let name = std::iter::once(stem.clone())
                    .chain(numbered)
                    .map(|name| dialect.fit_identifier(name))
                    .find(|name| used.iter().all(|(taken, _)| taken != name))
                    .expect("numbers never end");
                used.push((name.clone(), text));
                name
            }
        };
        Relation {
            shown_as: Some(name.into()),
            ..relation
        }
    }

    /// The common table expressions that the template made use of, in order.
    pub fn expressions(&self) -> Vec<String> {
        let used = self
            .used
            .lock()
            .expect("no holder of the narrowed reads' lock panics");
        used.iter()
            .map(|(name, text)| format!("{name} as (\n{text}\n)"))
            .collect()
    }

    /// Forgets what was made use of, before the template is rendered once more.
    pub fn reset(&self) {
        self.used
            .lock()
            .expect("no holder of the narrowed reads' lock panics")
            .clear();
    }
}

/// What `partition` shows of the partitions that one statement builds.
#[derive(Clone, Debug)]
pub struct Built {
    /// How they are cut.
    pub cut: Arc<Partitioning>,
    /// Which.
    pub range: PartitionRange,
}

impl PartitionText for Built {
    fn start(&self) -> String {
        self.cut.literal(self.range.first)
    }

    fn end(&self) -> String {
        self.cut.literal(self.range.last.saturating_add(1))
    }

    fn date(&self) -> String {
        self.start()
    }

    fn filter(&self, column: &str) -> String {
        self.cut.predicate(column, self.range)
    }
}

/// What the templates of one batch see beside what every node sees.
#[derive(Clone, Debug)]
pub struct BatchView {
    /// Its reads.
    pub narrowing: Arc<Narrowing>,
    /// Its partitions, where it has any.
    pub built: Option<Arc<Built>>,
}
