//! Which relations exist, as far as this run has looked.
//!
//! Filled by a look at each schema before the first node, kept up to date by what macros note.
//! Names are compared without case, as all our databases do for names that are not quoted.

use std::collections::HashMap;
use std::sync::Mutex;

use crate::jinja::port::CacheChange;
use crate::relation::Relation;

type SchemaKey = (String, String);

/// The relations of the schemas that were looked at; shared by all sessions.
#[derive(Debug, Default)]
pub struct RelationCache {
    schemas: Mutex<HashMap<SchemaKey, Vec<Relation>>>,
    nothing_exists: bool,
}

impl RelationCache {
    /// The cache of a database that cannot be looked at: nothing is built in it.
    pub fn of_nothing() -> RelationCache {
        RelationCache {
            nothing_exists: true,
            ..RelationCache::default()
        }
    }

    /// The relations of a schema; `None` if nobody has looked yet.
    pub fn relations(&self, schema: &Relation) -> Option<Vec<Relation>> {
        let known = self.lock().get(&schema_key(schema)).cloned();
        known.or_else(|| self.nothing_exists.then(Vec::new))
    }

    /// Records what a look found.
    pub fn fill(&self, schema: &Relation, relations: Vec<Relation>) {
        self.lock().insert(schema_key(schema), relations);
    }

    /// Records a change; of schemas that nobody has looked at, nothing is kept.
    pub fn note(&self, change: CacheChange) {
        let mut schemas = self.lock();
        match change {
            CacheChange::Added(relation) => add(&mut schemas, relation),
            CacheChange::Dropped(relation) => remove(&mut schemas, &relation),
            CacheChange::Renamed(from, to) => {
                remove(&mut schemas, &from);
                add(&mut schemas, to);
            }
            CacheChange::SchemaDropped(schema) => {
                schemas.insert(schema_key(&schema), Vec::new());
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<SchemaKey, Vec<Relation>>> {
        self.schemas
            .lock()
            .expect("no holder of the cache's lock panics")
    }
}

fn add(schemas: &mut HashMap<SchemaKey, Vec<Relation>>, relation: Relation) {
    remove(schemas, &relation);
    if let Some(relations) = schemas.get_mut(&schema_key(&relation)) {
        relations.push(relation);
    }
}

fn remove(schemas: &mut HashMap<SchemaKey, Vec<Relation>>, relation: &Relation) {
    if let Some(relations) = schemas.get_mut(&schema_key(relation)) {
        let name = identifier(relation);
        relations.retain(|other| identifier(other) != name);
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
        cache.note(CacheChange::Dropped(relation("A")));
        assert_eq!(cache.relations(&schema), Some(Vec::new()));
    }
}
