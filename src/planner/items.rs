//! From the manifest to the relations that the engine follows: what is read through views and
//! ephemeral models, by which mapping, and what code each relation comes from.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::calendar::Mapping;
use crate::dialect::Dialect;
use crate::graph::Graph;
use crate::ledger::{RelationId, hash64};
use crate::manifest::partitioning::{Partitioning, Read};
use crate::manifest::{Manifest, Node, ResourceType, UniqueId};
use crate::planner::board::{Item, ItemKind, ItemRead, Together};
use crate::sql::separable::{DailyRelation, carried_field, separable};

/// So many partitions one statement builds at the most, where nothing else bounds it.
const MOST_TOGETHER: usize = 366;

/// What one rendering with symbols told of a node.
#[derive(Clone, Debug)]
pub struct Symbolic {
    /// The fingerprint of its own code and of the configuration that shapes its output.
    pub code: i64,
    /// Its SQL, with a symbol for each relation; `None` where it could not be rendered so.
    pub sql: Option<String>,
    /// What in it changes by itself, such as the clock; in words.
    pub volatile: Option<String>,
    /// Whether its text is the same for all partitions but for the literals of their bounds.
    pub is_alike: bool,
}

/// The symbol of what a node reads, as its SQL shows it.
pub fn symbol(upstream: &UniqueId, mapping: Mapping) -> String {
    let plain = |text: &str| -> String {
        let chars = text.chars();
        chars
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
            .collect()
    };
    format!(
        "__daygrain__{}__{}",
        plain(upstream.as_str()),
        plain(&mapping.to_string())
    )
}

/// Tells whether a node stores nothing, so that its readers read through it.
pub fn is_passed_through(node: &Node) -> bool {
    node.resource_type == ResourceType::Model
        && matches!(node.materialization(), "view" | "ephemeral")
}

/// The nodes whose code matters: those that are managed, and what they read through.
pub fn with_code(manifest: &Manifest) -> BTreeSet<UniqueId> {
    let managed = manifest
        .nodes
        .values()
        .filter(|node| node.upkeep.is_managed());
    let mut queue: Vec<UniqueId> = managed.map(|node| node.unique_id.clone()).collect();
    let mut found = BTreeSet::new();
    while let Some(id) = queue.pop() {
        let Some(node) = manifest.nodes.get(&id) else {
            continue;
        };
        if !found.insert(id) {
            continue;
        }
        let parents = node.upkeep.reads.iter().map(|read| &read.upstream);
        queue.extend(
            parents
                .filter(|id| {
                    manifest
                        .nodes
                        .get(*id)
                        .is_some_and(|node| is_passed_through(node))
                })
                .cloned(),
        );
    }
    found
}

/// The relations that the engine follows, and how reads of them are narrowed.
#[derive(Clone, Debug, Default)]
pub struct Followed {
    /// Each after those that it reads.
    pub items: Vec<Item>,
    /// The partitions that a view or an ephemeral model carries through, by its own column.
    pub carried: HashMap<UniqueId, Arc<Partitioning>>,
}

impl Followed {
    /// The partitions of what a node reads: its own, or those that it carries.
    pub fn cut(&self, manifest: &Manifest, id: &UniqueId) -> Option<Arc<Partitioning>> {
        let node = manifest.nodes.get(id);
        let own = node.and_then(|node| node.upkeep.partitioning.clone());
        let source = manifest.sources.get(id);
        own.or_else(|| source.and_then(|source| source.partitioning.clone()))
            .or_else(|| self.carried.get(id).cloned())
    }
}

/// Finds what the engine follows; `symbolic` has every node of [`with_code`].
pub fn follow(
    manifest: &Manifest,
    graph: &Graph,
    dialect: &'static Dialect,
    symbolic: &BTreeMap<UniqueId, Symbolic>,
) -> Followed {
    let mut walk = Walk {
        manifest,
        dialect,
        symbolic,
        followed: Followed::default(),
        places: HashMap::new(),
        through: HashMap::new(),
    };
    let wanted = walk.wanted();
    for &index in graph.order() {
        let id = graph.id(index);
        if let Some(node) = manifest.nodes.get(id) {
            if is_passed_through(node) && symbolic.contains_key(id) {
                walk.pass_through(node);
            }
            if node.upkeep.is_managed() || wanted.contains(id) {
                walk.add_node(node);
            }
        } else if wanted.contains(id) {
            walk.add_source(id);
        }
    }
    let mut followed = walk.followed;
    let tracked: BTreeSet<usize> = followed
        .items
        .iter()
        .flat_map(|item| item.reads.iter().filter(|read| read.tracked))
        .map(|read| read.item)
        .collect();
    for at in tracked {
        followed.items[at].hashed = true;
    }
    followed
}

/// What a view or an ephemeral model reads that stores something.
#[derive(Clone, Debug, Default)]
struct Through {
    reads: Vec<Read>,
    code: i64,
    volatile: Option<String>,
}

struct Walk<'a> {
    manifest: &'a Manifest,
    dialect: &'static Dialect,
    symbolic: &'a BTreeMap<UniqueId, Symbolic>,
    followed: Followed,
    places: HashMap<UniqueId, usize>,
    through: HashMap<UniqueId, Through>,
}

impl Walk<'_> {
    /// What managed nodes read, through what stores nothing.
    fn wanted(&self) -> BTreeSet<UniqueId> {
        let mut wanted = BTreeSet::new();
        for id in self.symbolic.keys() {
            let Some(node) = self.manifest.nodes.get(id) else {
                continue;
            };
            for read in &node.upkeep.reads {
                let parent = self.manifest.nodes.get(&read.upstream);
                if parent.is_none_or(|parent| !is_passed_through(parent)) {
                    wanted.insert(read.upstream.clone());
                }
            }
        }
        wanted
    }

    /// The reads of a node with what stores nothing taken out of the middle, and the code of that.
    fn effective(&self, node: &Node) -> (Vec<Read>, Vec<i64>, Option<String>) {
        let mut reads: Vec<Read> = Vec::new();
        let mut codes = Vec::new();
        let mut volatile = None;
        let mut add = |read: Read| {
            if !reads.contains(&read) {
                reads.push(read);
            }
        };
        for read in &node.upkeep.reads {
            let Some(through) = self.through.get(&read.upstream) else {
                codes.extend(self.declared(&read.upstream));
                add(read.clone());
                continue;
            };
            codes.push(through.code);
            if volatile.is_none() {
                volatile.clone_from(&through.volatile);
            }
            for inner in &through.reads {
                add(Read {
                    upstream: inner.upstream.clone(),
                    mapping: read.mapping.then(inner.mapping),
                    tracked: read.tracked && inner.tracked,
                });
            }
        }
        (reads, codes, volatile)
    }

    /// How a source's files become rows, which shapes what is built from them like code.
    fn declared(&self, id: &UniqueId) -> Option<i64> {
        let source = self.manifest.sources.get(id)?;
        let external = source.external.as_ref()?.as_object()?;
        external.get("location")?;
        let columns = source.columns.values().map(|column| {
            let data_type = column.data_type.as_deref().unwrap_or_default();
            format!("{} {data_type}", column.name)
        });
        let columns: Vec<String> = columns.collect();
        let mut options: Vec<String> = external
            .iter()
            .filter(|(key, _)| *key != "location")
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        options.sort();
        Some(hash64(&[&columns.join(", "), &options.join("; ")]))
    }

    fn pass_through(&mut self, node: &Arc<Node>) {
        let (mut reads, codes, inner_volatile) = self.effective(node);
        let symbolic = &self.symbolic[&node.unique_id];
        let carried = symbolic
            .sql
            .as_deref()
            .and_then(|sql| self.carried(node, sql));
        for read in &mut reads {
            let parent_has = self.followed.cut(self.manifest, &read.upstream).is_some();
            read.mapping = match carried {
                Some(_) if parent_has => Mapping::Same,
                _ => Mapping::All,
            };
        }
        let mut texts: Vec<String> = vec![symbolic.code.to_string()];
        texts.extend(codes.iter().map(i64::to_string));
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let through = Through {
            reads,
            code: hash64(&texts),
            volatile: symbolic.volatile.clone().or(inner_volatile),
        };
        if let Some(carried) = carried {
            self.followed
                .carried
                .insert(node.unique_id.clone(), Arc::new(carried));
        }
        self.through.insert(node.unique_id.clone(), through);
    }

    /// The partitions that a node which stores nothing carries from all that it reads.
    fn carried(&self, node: &Node, sql: &str) -> Option<Partitioning> {
        let mut cuts: Vec<Arc<Partitioning>> = Vec::new();
        let (mut daily, mut fixed) = (Vec::new(), Vec::new());
        for read in &node.upkeep.reads {
            let symbol = symbol(&read.upstream, read.mapping);
            match self.followed.cut(self.manifest, &read.upstream) {
                Some(cut) => {
                    daily.push((symbol, cut.field.clone()));
                    cuts.push(cut);
                }
                None => fixed.push(symbol),
            }
        }
        let first = cuts.first()?;
        let alike = |cut: &Arc<Partitioning>| {
            cut.calendar.granularity == first.calendar.granularity
                && cut.calendar.timezone == first.calendar.timezone
                && cut.field_type == first.field_type
        };
        if !cuts.iter().all(alike) {
            return None;
        }
        let field = carried_field(self.dialect, sql, &as_daily(&daily), &as_texts(&fixed)).ok()?;
        Some(Partitioning {
            field,
            ..(**first).clone()
        })
    }

    fn place(&self, read: &Read) -> Option<ItemRead> {
        Some(ItemRead {
            item: *self.places.get(&read.upstream)?,
            mapping: read.mapping,
            tracked: read.tracked,
        })
    }

    fn push(&mut self, item: Item) {
        self.places
            .insert(item.id.clone(), self.followed.items.len());
        self.followed.items.push(item);
    }

    fn add_node(&mut self, node: &Arc<Node>) {
        let physical = node.relation.render(self.dialect);
        let cut = node.upkeep.partitioning.clone();
        let shape = cut.as_ref().map_or_else(String::new, |cut| cut.shape());
        let mut item = Item {
            id: node.unique_id.clone(),
            name: node.name.clone(),
            relation: RelationId::new(&physical, &shape),
            physical,
            // dbt's own batches are no matter of the ledger, and those of an inbox have records of their own.
            kind: match node.microbatch.is_some() || node.is_ods_table() {
                true => ItemKind::Unversioned,
                false => ItemKind::Rebuilt,
            },
            cut,
            reads: Vec::new(),
            code: 0,
            reads_clock: false,
            volatile: None,
            together: Together::UpTo(1),
            hashed: false,
            stores_nothing: false,
        };
        let Some(symbolic) = self.symbolic.get(&node.unique_id) else {
            return self.push(item);
        };
        let (reads, codes, inner_volatile) = self.effective(node);
        let volatile = symbolic.volatile.clone().or(inner_volatile);
        let mut texts = vec![symbolic.code.to_string()];
        texts.extend(codes.iter().map(i64::to_string));
        item.kind = ItemKind::Managed;
        item.stores_nothing = is_passed_through(node);
        if item.stores_nothing {
            // A view is made anew when its text or the columns of what it reads have changed, never for
            // new rows.
            for read in &reads {
                if let Some(place) = self.place(read) {
                    item.reads.push(ItemRead {
                        mapping: Mapping::All,
                        tracked: false,
                        ..place
                    });
                }
            }
        } else {
            item.reads = reads.iter().filter_map(|read| self.place(read)).collect();
            item.reads_clock = volatile.is_some() && node.upkeep.when_stale && item.cut.is_none();
            item.together = self.together(node, symbolic, volatile.as_deref());
            item.volatile = volatile;
        }
        let own = self.followed.items.len();
        if node.upkeep.reads_self.is_some() {
            item.reads.push(ItemRead {
                item: own,
                mapping: Mapping::PREVIOUS,
                tracked: true,
            });
        }
        item.reads.sort_by_key(|read| (read.item, read.mapping));
        item.reads.dedup();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        item.code = hash64(&texts);
        self.push(item);
    }

    /// Whether one statement may build several partitions of a model.
    fn together(&self, node: &Node, symbolic: &Symbolic, volatile: Option<&str>) -> Together {
        let Some(own) = &node.upkeep.partitioning else {
            return Together::UpTo(1);
        };
        let one = |reason: String| Together::One(reason);
        if node.upkeep.reads_self.is_some() {
            return one("it reads its own partition before".to_owned());
        }
        if node.microbatch.is_some() {
            return one("a microbatch model is built batch by batch".to_owned());
        }
        if node.upkeep.one_by_one {
            return one("it asks for `partition.date`".to_owned());
        }
        if let Some(size) = own.batch_size {
            return Together::UpTo(size);
        }
        if let Some(volatile) = volatile {
            return one(volatile.to_owned());
        }
        let (mut daily, mut fixed) = (Vec::new(), Vec::new());
        for read in &node.upkeep.reads {
            let symbol = symbol(&read.upstream, read.mapping);
            match self.followed.cut(self.manifest, &read.upstream) {
                Some(cut)
                    if read.mapping == Mapping::Same
                        && cut.calendar.granularity == own.calendar.granularity
                        && cut.calendar.timezone == own.calendar.timezone
                        && cut.field_type == own.field_type =>
                {
                    daily.push((symbol, cut.field.clone()));
                }
                Some(_) if read.mapping == Mapping::Same => {
                    let name = name_of(&read.upstream);
                    return one(format!("the partitions of `{name}` are cut otherwise"));
                }
                Some(_) if read.mapping != Mapping::All => {
                    let name = name_of(&read.upstream);
                    return one(format!("it reads `{name}` by `{}`", read.mapping));
                }
                _ => fixed.push(symbol),
            }
        }
        let Some(sql) = &symbolic.sql else {
            return one("its template asks the database".to_owned());
        };
        let (daily, fixed) = (as_daily(&daily), as_texts(&fixed));
        match separable(self.dialect, sql, &daily, &fixed, &own.field) {
            Ok(()) => Together::UpTo(MOST_TOGETHER),
            Err(entangled) => one(entangled.reason),
        }
    }

    fn add_source(&mut self, id: &UniqueId) {
        let Some(source) = self.manifest.sources.get(id) else {
            return;
        };
        let physical = source.relation.render(self.dialect);
        let cut = source.partitioning.clone();
        let shape = cut
            .as_ref()
            .map_or_else(String::new, |cut| format!("source {}", cut.shape()));
        self.push(Item {
            id: id.clone(),
            name: format!("{}.{}", source.source_name, source.name),
            relation: RelationId::new(&physical, &shape),
            physical,
            kind: match cut {
                Some(_) => ItemKind::Seen,
                None => ItemKind::Unversioned,
            },
            cut,
            reads: Vec::new(),
            code: 0,
            reads_clock: false,
            volatile: None,
            together: Together::UpTo(1),
            hashed: false,
            stores_nothing: false,
        });
    }
}

fn name_of(id: &UniqueId) -> &str {
    let text = id.as_str();
    text.splitn(3, '.').nth(2).unwrap_or(text)
}

fn as_daily(pairs: &[(String, String)]) -> Vec<DailyRelation<'_>> {
    let pairs = pairs.iter();
    pairs
        .map(|(name, field)| DailyRelation { name, field })
        .collect()
}

fn as_texts(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}
