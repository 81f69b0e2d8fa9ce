//! Which relations exist, as far as this run has looked.
//!
//! Filled by a look at each schema before the first node, kept up to date by what macros note.
//! Names are compared without case, as all our databases do for names that are not quoted.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use crate::jinja::port::CacheChange;
use crate::relation::Relation;

type SchemaKey = (String, String);

/// A schema's relations by their names in lower case; several where names differ in case only.
type Named = BTreeMap<String, Vec<Relation>>;

/// What was known before a change.
#[derive(Debug)]
pub struct Undo(Vec<Before>);

#[derive(Debug)]
enum Before {
    Name(SchemaKey, String, Option<Vec<Relation>>),
    Schema(SchemaKey, Option<Named>),
}

fn before(schemas: &HashMap<SchemaKey, Named>, relation: &Relation) -> Before {
    let (key, name) = (schema_key(relation), identifier(relation));
    let known = schemas
        .get(&key)
        .and_then(|named| named.get(&name))
        .cloned();
    Before::Name(key, name, known)
}

/// The relations of the schemas that were looked at; shared by all sessions.
#[derive(Debug, Default)]
pub struct RelationCache {
    schemas: Mutex<HashMap<SchemaKey, Named>>,
}

impl RelationCache {
    /// The relations of a schema, by name; `None` if nobody has looked yet.
    pub fn relations(&self, schema: &Relation) -> Option<Vec<Relation>> {
        self.read(schema, |named| named.values().flatten().cloned().collect())
    }

    /// The relations of a schema that have a name in any case; `None` if nobody has looked yet.
    pub fn relations_named(&self, schema: &Relation, name: &str) -> Option<Vec<Relation>> {
        let name = name.to_lowercase();
        self.read(schema, |named| {
            named.get(&name).cloned().unwrap_or_default()
        })
    }

    /// Records what a look found.
    pub fn fill(&self, schema: &Relation, relations: Vec<Relation>) {
        let mut named = Named::new();
        for relation in relations {
            named
                .entry(identifier(&relation))
                .or_default()
                .push(relation);
        }
        self.lock().insert(schema_key(schema), named);
    }

    /// Records a change, and tells how to take it back; of schemas that nobody has looked at, nothing
    /// is kept.
    pub fn note(&self, change: CacheChange) -> Undo {
        let mut schemas = self.lock();
        let undo = match &change {
            CacheChange::Added(relation) | CacheChange::Dropped(relation) => {
                vec![before(&schemas, relation)]
            }
            CacheChange::Renamed(from, to) => vec![before(&schemas, from), before(&schemas, to)],
            CacheChange::SchemaDropped(schema) => {
                let key = schema_key(schema);
                let named = schemas.get(&key).cloned();
                vec![Before::Schema(key, named)]
            }
        };
        match change {
            CacheChange::Added(relation) => add(&mut schemas, relation),
            CacheChange::Dropped(relation) => remove(&mut schemas, &relation),
            CacheChange::Renamed(from, to) => {
                remove(&mut schemas, &from);
                add(&mut schemas, to);
            }
            CacheChange::SchemaDropped(schema) => {
                schemas.insert(schema_key(&schema), Named::new());
            }
        }
        Undo(undo)
    }

    /// Takes changes back that the database has rolled back, the last one first.
    pub fn undo(&self, changes: Vec<Undo>) {
        let mut schemas = self.lock();
        for before in changes.into_iter().rev().flat_map(|undo| undo.0) {
            match before {
                Before::Name(key, name, relations) => {
                    let Some(named) = schemas.get_mut(&key) else {
                        continue;
                    };
                    match relations {
                        Some(relations) => named.insert(name, relations),
                        None => named.remove(&name),
                    };
                }
                Before::Schema(key, Some(named)) => {
                    schemas.insert(key, named);
                }
                Before::Schema(key, None) => {
                    schemas.remove(&key);
                }
            }
        }
    }

    fn read(
        &self,
        schema: &Relation,
        take: impl FnOnce(&Named) -> Vec<Relation>,
    ) -> Option<Vec<Relation>> {
        self.lock().get(&schema_key(schema)).map(take)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<SchemaKey, Named>> {
        self.schemas
            .lock()
            .expect("no holder of the cache's lock panics")
    }
}

fn add(schemas: &mut HashMap<SchemaKey, Named>, relation: Relation) {
    if let Some(named) = schemas.get_mut(&schema_key(&relation)) {
        named.insert(identifier(&relation), vec![relation]);
    }
}

fn remove(schemas: &mut HashMap<SchemaKey, Named>, relation: &Relation) {
    if let Some(named) = schemas.get_mut(&schema_key(relation)) {
        named.remove(&identifier(relation));
    }
}

fn schema_key(relation: &Relation) -> SchemaKey {
    let lower =
        |part: &Option<std::sync::Arc<str>>| part.as_deref().unwrap_or_default().to_lowercase();
    (lower(&relation.database), lower(&relation.schema))
}

fn identifier(relation: &Relation) -> String {
    relation
        .identifier
        .as_deref()
        .unwrap_or_default()
        .to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::DUCKDB;

    #[test]
    fn a_rename_replaces_what_had_the_name() {
        let cache = RelationCache::default();
        let relation = |name| Relation::new(&DUCKDB, "dev", "main", name);
        let schema = relation("");
        assert_eq!(cache.relations(&schema), None);
        cache.fill(&schema, vec![relation("A"), relation("a__tmp")]);
        cache.note(CacheChange::Renamed(relation("a__tmp"), relation("a")));
        assert_eq!(cache.relations(&schema), Some(vec![relation("a")]));
        assert_eq!(
            cache.relations_named(&schema, "A"),
            Some(vec![relation("a")])
        );
        assert_eq!(cache.relations_named(&schema, "b"), Some(Vec::new()));
        cache.note(CacheChange::Dropped(relation("A")));
        assert_eq!(cache.relations(&schema), Some(Vec::new()));
    }

    #[test]
    fn what_is_rolled_back_is_known_as_before() {
        let cache = RelationCache::default();
        let relation = |name| Relation::new(&DUCKDB, "dev", "main", name);
        let schema = relation("");
        cache.fill(&schema, vec![relation("a")]);
        let changes = [
            CacheChange::Added(relation("a__tmp")),
            CacheChange::Renamed(relation("a"), relation("a__backup")),
            CacheChange::Renamed(relation("a__tmp"), relation("a")),
            CacheChange::Dropped(relation("a__backup")),
            CacheChange::SchemaDropped(schema.clone()),
        ];
        let undo = changes.into_iter().map(|change| cache.note(change));
        let undo = undo.collect();
        assert_eq!(cache.relations(&schema), Some(Vec::new()));
        cache.undo(undo);
        assert_eq!(cache.relations(&schema), Some(vec![relation("a")]));
    }
}
