//! Sources: one for each table that a property file declares.

use rustc_hash::FxHashMap;
use serde_json::{Map, Value as Json};

use super::connections::Views;
use super::properties::{Properties, SourceEntry, TableEntry, words};
use super::source_id;
use crate::config::node_config::{Layer, NodeConfig};
use crate::diagnostic::{Code, Diagnostic};
use crate::manifest::{Source, UniqueId};
use crate::relation::Relation;
use crate::source::Span;

/// Makes every source; a table that is declared twice is an error.
pub fn sources(
    views: &Views<'_>,
    all: &[Properties],
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<Source> {
    let mut made: Vec<Source> = Vec::new();
    let mut seen: FxHashMap<UniqueId, Span> = FxHashMap::default();
    for properties in all {
        for entry in &properties.sources {
            for table in &entry.tables {
                let source = source(views, properties, entry, table, diagnostics);
                if let Some(first) = seen.insert(source.unique_id.clone(), source.span.clone()) {
                    let message = format!(
                        "the source `{}.{}` is declared twice",
                        entry.name, table.name
                    );
                    let error =
                        Diagnostic::error(Code::DuplicateName, message).at(source.span.clone());
                    diagnostics.push(error.label(first, "first here").help("keep one of them"));
                    continue;
                }
                made.push(source);
            }
        }
    }
    made
}

fn source(
    views: &Views<'_>,
    properties: &Properties,
    entry: &SourceEntry,
    table: &TableEntry,
    diagnostics: &mut Vec<Diagnostic>,
) -> Source {
    let project = &views.main().project;
    let package = project.package(properties.package);
    let path = &properties.file.path;
    let mut fqn = vec![package.to_string()];
    let folders = path.rsplit_once('/').map_or("", |(folders, _)| folders);
    fqn.extend(folders.split('/').skip(1).map(str::to_owned));
    fqn.extend([entry.name.clone(), table.name.clone()]);

    let text = |facts: &Map<String, Json>, key: &str| {
        facts.get(key).and_then(Json::as_str).map(str::to_owned)
    };
    let config_of = |facts: &Map<String, Json>| match facts.get("config") {
        Some(Json::Object(config)) => config.clone(),
        _ => Map::new(),
    };
    let (outer, inner) = (config_of(&entry.facts), config_of(&table.facts));
    // From the weakest to the strongest place that may say a thing.
    let places = [&entry.facts, &outer, &table.facts, &inner];

    let mut meta = Map::new();
    let mut tags: Vec<String> = Vec::new();
    for place in places {
        if let Some(Json::Object(more)) = place.get("meta") {
            meta.extend(more.clone());
        }
        tags.extend(place.get("tags").map(words).unwrap_or_default());
    }
    let mut source_meta = Map::new();
    for place in [&entry.facts, &outer] {
        if let Some(Json::Object(more)) = place.get("meta") {
            source_meta.extend(more.clone());
        }
    }
    tags.sort_unstable();
    tags.dedup();

    let mut config: NodeConfig = project.trees.base(package, "source", &fqn).clone();
    let mut layer = Layer::new();
    layer.extend(outer.clone());
    layer.extend(inner.clone());
    layer.shift_remove("freshness");
    layer.insert("meta".to_owned(), Json::Object(meta));
    layer.insert("tags".to_owned(), tags.into());
    match merged_freshness(places.map(|place| place.get("freshness"))) {
        Freshness::Unsaid => {}
        Freshness::Off => drop(layer.insert("freshness".to_owned(), Json::Null)),
        Freshness::Said(map) => drop(layer.insert("freshness".to_owned(), Json::Object(map))),
    }
    for key in ["loaded_at_field", "loaded_at_query"] {
        let inside = inner.get(key).or_else(|| table.facts.get(key));
        let outside = outer.get(key).or_else(|| entry.facts.get(key));
        if let Some(value) = inside.or(outside) {
            layer.insert(key.to_owned(), value.clone());
        }
    }
    config.merge(&layer);
    for over in project.trees.layers_for(package, "source", &fqn).root {
        config.merge(over);
    }

    let span = Span::new(&properties.file, table.range.clone());
    let view = views.chosen(&config, || span.clone(), diagnostics);
    let project = &view.project;
    let mut quoting = Map::new();
    for facts in [&entry.facts, &table.facts] {
        if let Some(Json::Object(more)) = facts.get("quoting") {
            quoting.extend(more.clone());
        }
    }
    let quoted =
        |part: &str, default: bool| quoting.get(part).and_then(Json::as_bool).unwrap_or(default);
    let identifier = text(&table.facts, "identifier").unwrap_or_else(|| table.name.clone());
    let database =
        text(&entry.facts, "database").unwrap_or_else(|| project.target.database.clone());
    let schema = text(&entry.facts, "schema").unwrap_or_else(|| entry.name.clone());
    let mut relation = Relation::new(project.target.dialect, &database, &schema, &identifier);
    relation.quoting.database = quoted("database", project.quoting.database);
    relation.quoting.schema = quoted("schema", project.quoting.schema);
    relation.quoting.identifier = quoted("identifier", project.quoting.identifier);

    let meta = config
        .get("meta")
        .and_then(Json::as_object)
        .cloned()
        .unwrap_or_default();
    Source {
        unique_id: source_id(package, &entry.name, &table.name),
        package: package.clone(),
        source_name: entry.name.clone(),
        name: table.name.clone(),
        fqn,
        original_path: path.clone(),
        span,
        connection: view.name.clone(),
        relation,
        identifier,
        source_description: entry.description.clone(),
        description: table.description.clone(),
        loader: text(&entry.facts, "loader").unwrap_or_default(),
        columns: table
            .columns
            .iter()
            .map(|column| (column.info.name.clone(), column.info.clone()))
            .collect(),
        source_meta,
        meta,
        tags: config.tags(),
        loaded_at_field: config.text("loaded_at_field").map(str::to_owned),
        freshness: config
            .set
            .get("freshness")
            .cloned()
            .or_else(|| Some(Map::new().into())),
        external: table
            .facts
            .get("external")
            .filter(|value| !value.is_null())
            .cloned(),
        quoting,
        partitioning: None,
        config,
    }
}

enum Freshness {
    Unsaid,
    Off,
    Said(Map<String, Json>),
}

/// Merges thresholds from the weakest to the strongest; null switches off what was said before.
fn merged_freshness(said: [Option<&Json>; 4]) -> Freshness {
    let mut merged = Freshness::Unsaid;
    for value in said.into_iter().flatten() {
        let Json::Object(update) = value else {
            merged = Freshness::Off;
            continue;
        };
        let mut map = match merged {
            Freshness::Said(map) => map,
            _ => Map::new(),
        };
        for (key, value) in update {
            match (map.get_mut(key), value) {
                (Some(Json::Object(before)), Json::Object(after)) => before.extend(after.clone()),
                _ => drop(map.insert(key.clone(), value.clone())),
            }
        }
        merged = Freshness::Said(map);
    }
    merged
}
