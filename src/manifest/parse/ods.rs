//! Tables of the ODS: dbt's `constraints` and the config `deletes` as the keys of a real table, and
//! the inbox that its batches come from.
//!
//! Of any other model constraints are left to [`super::unsupported`].

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::connections::Views;
use super::properties::{Entry, Patch, Patches};
use super::{Project, files};
use crate::diagnostic::{Code, Diagnostic, nearest};
use crate::dialect::Dialect;
use crate::jinja::{Reading, RefCall, SourceCall};
use crate::manifest::ods::{
    BATCH, Constraint, ConstraintKind, Deletes, Inbox, MATERIALIZATION, OdsColumn, OdsTable, Parent,
};
use crate::manifest::{ColumnInfo, Manifest, Node, ResourceType, UniqueId};
use crate::source::Span;

/// A constraint as written.
#[derive(Clone)]
pub struct Written {
    /// Its keys, rendered.
    pub json: Json,
    /// Its place.
    pub span: Span,
}

/// The keys of a constraint.
const KEYS: [&str; 8] = [
    "type",
    "name",
    "expression",
    "columns",
    "to",
    "to_columns",
    "warn_unenforced",
    "warn_unsupported",
];

/// The types of constraints.
const TYPES: [&str; 6] = [
    "not_null",
    "primary_key",
    "unique",
    "check",
    "foreign_key",
    "custom",
];

/// Configs of models that are rebuilt.
const WITHOUT_EFFECT: [&str; 4] = [
    "unique_key",
    "incremental_strategy",
    "on_schema_change",
    "unlogged",
];

/// What `to` calls.
enum Call {
    Ref(RefCall),
    Source(SourceCall),
}

/// Lets a table of the ODS depend on what its keys and its config name, before names are resolved.
pub fn declare(project: &Project<'_>, node: &mut Node, patch: Option<Patch<'_>>) {
    if !node.is_ods_table() {
        return;
    }
    let written: Vec<Written> = patch
        .iter()
        .flat_map(|patch| all_written(patch.entry))
        .cloned()
        .collect();
    for Written { json, span } in written {
        match json.get("to").and_then(Json::as_str).and_then(call) {
            Some(Call::Ref(call)) => node.refs.push((call, span)),
            Some(Call::Source(call)) => node.sources.push((call, span)),
            None => {}
        }
    }
    // The last of its sources: see `reads`.
    if let Some((call, _)) = deletes(node, project.target.dialect, &mut Vec::new()) {
        let place = files::place(node);
        node.sources.push((call, place));
    }
}

fn all_written(entry: &Entry) -> impl Iterator<Item = &Written> {
    let columns = entry.columns.iter().flat_map(|column| &column.constraints);
    entry.constraints.iter().chain(columns)
}

/// Reads `ref('a')`, `ref('package', 'a')` or `source('a', 'b')`, with braces around it or none.
fn call(text: &str) -> Option<Call> {
    let text = text.trim();
    let inner = text
        .strip_prefix("{{")
        .and_then(|text| text.strip_suffix("}}"));
    let (name, arguments) = inner.unwrap_or(text).trim().split_once('(')?;
    let arguments = arguments.trim_end().strip_suffix(')')?;
    let unquoted = |text: &str| {
        let text = text.trim();
        let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
        let inner = text.strip_prefix(quote)?.strip_suffix(quote)?;
        (!inner.is_empty() && !inner.contains(quote)).then(|| inner.to_owned())
    };
    let arguments: Option<Vec<String>> = arguments.split(',').map(unquoted).collect();
    let reading = Reading::default();
    let refer = |package, name| RefCall {
        package,
        name,
        version: None,
        reading,
    };
    match (name.trim(), &arguments?[..]) {
        ("ref", [name]) => Some(Call::Ref(refer(None, name.clone()))),
        ("ref", [package, name]) => Some(Call::Ref(refer(Some(package.clone()), name.clone()))),
        ("source", [source, table]) => Some(Call::Source(SourceCall {
            source: source.clone(),
            table: table.clone(),
            reading,
        })),
        _ => None,
    }
}

/// Reads `deletes`: the source, and the column that both have.
fn deletes(
    node: &Node,
    dialect: &Dialect,
    found: &mut Vec<Diagnostic>,
) -> Option<(SourceCall, String)> {
    let said = node.config.get("deletes").filter(|said| !said.is_null())?;
    let source = match said.get("source") {
        Some(Json::Array(parts)) => match &parts[..] {
            [Json::String(source), Json::String(table)] => Some((source, table)),
            _ => None,
        },
        _ => None,
    };
    let key = said.get("key").and_then(Json::as_str);
    let known = |key: &String| matches!(key.as_str(), "source" | "key");
    let all_known = said.as_object().is_some_and(|map| map.keys().all(known));
    let (Some((source, table)), Some(key), true) = (source, key, all_known) else {
        let message = format!(
            "the config `deletes` of `{}` does not say which rows are deleted",
            node.name
        );
        let error = Diagnostic::error(Code::BadConfig, message).at(files::place(node));
        found.push(error.help("write deletes: {source: [inbox, removed], key: id}"));
        return None;
    };
    let call = SourceCall {
        source: source.clone(),
        table: table.clone(),
        reading: Reading::default(),
    };
    Some((call, dialect.fold(key)))
}

/// Reads every table of the ODS, once names are resolved, and refuses what nobody would load.
pub fn fill(
    views: &Views<'_>,
    patches: &Patches<'_>,
    manifest: &mut Manifest,
    diagnostics: &mut Vec<Diagnostic>,
) {
    for at in 0..manifest.nodes.len() {
        let node = Arc::clone(&manifest.nodes[at]);
        if !node.is_ods_table() {
            reads_batches(manifest, &node, diagnostics);
            continue;
        }
        let project = &views.of(node.connection.as_ref()).project;
        let patch = (0..project.packages.len())
            .filter_map(|at| patches.node(ResourceType::Model, at, &node.name))
            .find(|patch| {
                let place = patch.span();
                let own = node.patch_span.as_ref();
                own.is_some_and(|own| {
                    Arc::ptr_eq(&own.file, &place.file) && own.range == place.range
                })
            });
        let mut reader = Reader {
            dialect: project.target.dialect,
            manifest,
            node: &node,
            found: Vec::new(),
        };
        let table = reader.table(patch.map(|patch| patch.entry));
        diagnostics.append(&mut reader.found);
        Arc::make_mut(&mut manifest.nodes[at]).upkeep.ods = Some(Arc::new(table));
    }
    entangled(manifest, diagnostics);
}

/// Refuses what reads batches and is no table of the ODS: nobody would load them for it.
fn reads_batches(manifest: &Manifest, node: &Node, diagnostics: &mut Vec<Diagnostic>) {
    for (call, span) in &node.sources {
        let mut parents = node.depends_on.iter();
        let source = parents.find_map(|id| {
            let source = manifest.sources.get(id)?;
            let named = source.source_name == call.source && source.name == call.table;
            (named && source.inbox().is_some()).then_some(source)
        });
        let Some(source) = source else { continue };
        let message = format!(
            "`{}` reads the source `{}.{}`, whose files come in batches: they are loaded into tables of the ODS alone",
            node.name, source.source_name, source.name
        );
        let error = Diagnostic::error(Code::BadConfig, message).at(span.clone());
        let help = match node.resource_type {
            ResourceType::Test => "test the table that they are loaded into".to_owned(),
            _ => format!("write `materialized: {MATERIALIZATION}`, or read such a table"),
        };
        diagnostics.push(error.help(help));
    }
}

struct Reader<'a> {
    dialect: &'static Dialect,
    manifest: &'a Manifest,
    node: &'a Node,
    found: Vec<Diagnostic>,
}

impl Reader<'_> {
    fn refuse(&mut self, code: Code, message: String, span: Span, help: impl Into<String>) {
        let error = Diagnostic::error(code, message).at(span);
        self.found.push(error.help(help));
    }

    fn table(&mut self, entry: Option<&Entry>) -> OdsTable {
        let place = self.node.patch_span.clone();
        let place = place.unwrap_or_else(|| files::place(self.node));
        let name = &self.node.name;
        if !self.dialect.has_ods_tables {
            let message = format!(
                "`{name}` is an `{MATERIALIZATION}`, and {} keeps no such tables",
                self.dialect.name
            );
            let help = "build it on a target whose database enforces keys, or disable it there";
            self.refuse(Code::Unsupported, message, place.clone(), help);
            return OdsTable::default();
        }
        for key in WITHOUT_EFFECT {
            if self.node.config.get(key).is_some() {
                let message = format!("`{key}` does nothing for `{name}`, an `{MATERIALIZATION}`");
                let warning = Diagnostic::warning(Code::UnusedConfig, message);
                self.found.push(warning.at(place.clone()));
            }
        }
        let mut table = OdsTable {
            columns: self.columns(&place),
            ..OdsTable::default()
        };
        for (column, info) in entry.iter().flat_map(|entry| {
            let columns = entry.columns.iter();
            columns.map(|column| (column, &column.info))
        }) {
            let own = self.folded(info);
            for written in &column.constraints {
                self.constraint(written, Some(&own), &mut table);
            }
        }
        for written in entry.iter().flat_map(|entry| &entry.constraints) {
            self.constraint(written, None, &mut table);
        }
        let keys = table.constraints.iter();
        let keys = keys.filter(|one| one.kind == ConstraintKind::PrimaryKey);
        if keys.count() > 1 {
            let message = format!("`{name}` has two primary keys");
            let help = "declare a key of several columns once, below the model";
            self.refuse(Code::BadConfig, message, place.clone(), help);
        }
        table.inbox = self.inbox(&table, &place);
        table
    }

    fn folded(&self, column: &ColumnInfo) -> String {
        match column.quote {
            Some(true) => column.name.clone(),
            _ => self.dialect.fold(&column.name),
        }
    }

    fn columns(&mut self, place: &Span) -> Vec<OdsColumn> {
        let name = &self.node.name;
        if self.node.columns.is_empty() {
            let message = format!("`{name}` is an `{MATERIALIZATION}`, and declares no columns");
            let help = "add `columns:` with a `name` and a `data_type` each";
            self.refuse(Code::BadConfig, message, place.clone(), help);
        }
        let mut columns = Vec::new();
        for column in self.node.columns.values() {
            let data_type = column.data_type.as_deref().unwrap_or_default().trim();
            if data_type.is_empty() {
                let message = format!("the column `{}` of `{name}` has no type", column.name);
                let help = "give it one, such as `data_type: varchar`";
                self.refuse(Code::BadConfig, message, place.clone(), help);
            }
            columns.push(OdsColumn {
                name: self.folded(column),
                data_type: data_type.to_owned(),
                not_null: false,
                custom: Vec::new(),
            });
        }
        columns
    }

    fn constraint(&mut self, written: &Written, column: Option<&String>, table: &mut OdsTable) {
        let Written { json, span } = written;
        let name = self.node.name.clone();
        let Json::Object(map) = json else {
            let message = format!("a constraint of `{name}` is no mapping");
            self.refuse(Code::BadConfig, message, span.clone(), "write `- type: ..`");
            return;
        };
        for key in map.keys().filter(|key| !KEYS.contains(&key.as_str())) {
            let message = format!("a constraint has no key `{key}`");
            let help = match nearest(key, KEYS) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("its keys are {}", KEYS.join(", ")),
            };
            self.refuse(Code::UnknownKey, message, span.clone(), help);
        }
        let text = |key: &str| map.get(key).and_then(Json::as_str).map(str::trim);
        let word = text("type").unwrap_or_default().to_lowercase();
        let columns = match column {
            Some(column) => vec![column.clone()],
            None => self.named_columns(map, span, table),
        };
        let expression = text("expression").unwrap_or_default().to_owned();
        let needs = |this: &mut Self, what: &str| {
            let message = format!("a constraint `{word}` of `{name}` has no {what}");
            this.refuse(
                Code::BadConfig,
                message,
                span.clone(),
                format!("add `{what}:`"),
            );
        };
        let needs_columns = matches!(
            word.as_str(),
            "not_null" | "primary_key" | "unique" | "foreign_key"
        );
        let named = !texts(map.get("columns")).is_empty();
        if needs_columns && columns.is_empty() && !named {
            return needs(self, "columns");
        }
        if matches!(word.as_str(), "check" | "custom") && expression.is_empty() {
            return needs(self, "expression");
        }
        let kind = match word.as_str() {
            "not_null" => {
                if !expression.is_empty() {
                    let message = format!("a constraint `not_null` of `{name}` has an expression");
                    let help = "write it as a constraint of type `check`";
                    self.refuse(Code::BadConfig, message, span.clone(), help);
                }
                for own in &mut table.columns {
                    own.not_null |= columns.contains(&own.name);
                }
                return;
            }
            "custom" if column.is_some() => {
                let own = table.columns.iter_mut();
                for own in own.filter(|own| Some(&own.name) == column) {
                    own.custom.push(expression.clone());
                }
                return;
            }
            "custom" => ConstraintKind::Custom,
            "primary_key" => ConstraintKind::PrimaryKey,
            "unique" => ConstraintKind::Unique,
            "check" => ConstraintKind::Check,
            "foreign_key" => match self.parent(map, span) {
                Some(parent) => ConstraintKind::ForeignKey(parent),
                None => return,
            },
            _ => {
                let message = format!("`{word}` is no type of a constraint");
                let help = match nearest(&word, TYPES) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("the types are {}", TYPES.join(", ")),
                };
                self.refuse(Code::BadConfig, message, span.clone(), help);
                return;
            }
        };
        let expression = match &kind {
            ConstraintKind::ForeignKey(Parent::Written(_)) => String::new(),
            _ => expression,
        };
        table.constraints.push(Constraint {
            name: text("name")
                .filter(|name| !name.is_empty())
                .map(str::to_owned),
            kind,
            columns,
            expression,
        });
    }

    /// `columns` of a constraint of the whole.
    fn named_columns(
        &mut self,
        map: &Map<String, Json>,
        span: &Span,
        table: &OdsTable,
    ) -> Vec<String> {
        let mut names = Vec::new();
        for said in texts(map.get("columns")) {
            let folded = self.dialect.fold(&said);
            let mut own = table.columns.iter();
            match own.find(|own| own.name == said || own.name == folded) {
                Some(own) => names.push(own.name.clone()),
                None => {
                    let message = format!("`{}` declares no column `{said}`", self.node.name);
                    let known = table.columns.iter().map(|own| own.name.as_str());
                    let help = match nearest(&said, known) {
                        Some(near) => format!("a column named `{near}` is declared"),
                        None => "declare it below `columns:`".to_owned(),
                    };
                    self.refuse(Code::BadConfig, message, span.clone(), help);
                }
            }
        }
        names
    }

    fn parent(&mut self, map: &Map<String, Json>, span: &Span) -> Option<Parent> {
        let name = &self.node.name;
        let expression = map.get("expression").and_then(Json::as_str);
        let Some(to) = map.get("to").and_then(Json::as_str) else {
            let written = expression.map(str::trim).filter(|text| !text.is_empty());
            if written.is_none() {
                let message = format!("a foreign key of `{name}` refers to nothing");
                let help =
                    "write `to: ref('..')` with `to_columns`, or `expression: table (column)`";
                self.refuse(Code::BadConfig, message, span.clone(), help);
            }
            return written.map(|text| Parent::Written(text.to_owned()));
        };
        let columns = texts(map.get("to_columns"));
        let columns = columns.iter().map(|column| self.dialect.fold(column));
        let columns: Vec<String> = columns.collect();
        let mut parents = self.node.depends_on.iter();
        let found = match call(to) {
            Some(Call::Ref(call)) => parents.find(|id| {
                let node = self.manifest.nodes.get(*id);
                node.is_some_and(|node| {
                    let package = call.package.as_deref();
                    node.name == call.name
                        && package.is_none_or(|package| package == &*node.package)
                })
            }),
            Some(Call::Source(call)) => parents.find(|id| {
                let source = self.manifest.sources.get(*id);
                source.is_some_and(|source| {
                    source.source_name == call.source && source.name == call.table
                })
            }),
            None => {
                let message = format!("`to` of a foreign key of `{name}` is `{to}`");
                let help = "write `to: ref('model')` or `to: source('source', 'table')`";
                self.refuse(Code::BadConfig, message, span.clone(), help);
                return None;
            }
        };
        // One that is not there was reported when names were resolved.
        found.map(|id| Parent::Of(id.clone(), columns))
    }

    /// The sources that the template reads, with their places.
    fn reads(&self, deletes: Option<&SourceCall>) -> Vec<(&SourceCall, &Span)> {
        let own = self.node.sources.iter();
        let own = own.filter(|(_, span)| Arc::ptr_eq(&span.file, &self.node.file));
        let mut reads: Vec<(&SourceCall, &Span)> = own.map(|(call, span)| (call, span)).collect();
        // The config's own stands behind them.
        if deletes.is_some() && reads.last().map(|(call, _)| *call) == deletes {
            reads.pop();
        }
        reads
    }

    fn source(&self, call: &SourceCall) -> Option<&Arc<crate::manifest::Source>> {
        let parents = self.node.depends_on.iter();
        parents
            .filter_map(|id| self.manifest.sources.get(id))
            .find(|source| source.source_name == call.source && source.name == call.table)
    }

    fn inbox(&mut self, table: &OdsTable, place: &Span) -> Option<Inbox> {
        let mut found = Vec::new();
        let deleting = deletes(self.node, self.dialect, &mut found);
        self.found.extend(found);
        let name = self.node.name.clone();
        let calls: Vec<(SourceCall, Span)> = self
            .reads(deleting.as_ref().map(|(call, _)| call))
            .into_iter()
            .map(|(call, span)| (call.clone(), span.clone()))
            .collect();
        let all = calls.iter().cloned();
        let deleted = deleting
            .iter()
            .map(|(call, _)| (call.clone(), place.clone()));
        let mut patterns: BTreeSet<String> = BTreeSet::new();
        for (call, span) in all.chain(deleted) {
            let Some(source) = self.source(&call) else {
                continue;
            };
            match source.inbox() {
                Some(pattern) => drop(patterns.insert(pattern.to_owned())),
                None => {
                    let message = format!(
                        "`{name}` is filled from batches, and the source `{}.{}` has none",
                        call.source, call.table
                    );
                    let help = format!(
                        "give it `external: {{location: \"inbox/batch={BATCH}/{}.csv\"}}`",
                        call.table
                    );
                    self.refuse(Code::BadConfig, message, span, help);
                }
            }
        }
        if patterns.len() > 1 {
            let listed: Vec<String> = patterns.iter().map(|one| format!("`{one}`")).collect();
            let message = format!(
                "`{name}` reads batches of several inboxes: {}",
                listed.join(", ")
            );
            let help = "a table is filled from one inbox, whose files share the batch's folder";
            self.refuse(Code::BadConfig, message, place.clone(), help);
        }
        let pattern = patterns.pop_first()?;
        let mut reads = Vec::new();
        for (call, _) in &calls {
            let id = self.source(call).map(|source| source.unique_id.clone());
            reads.extend(id.filter(|id| !reads.contains(id)));
        }
        if !reads.is_empty() && table.primary_key().is_empty() {
            let message = format!("`{name}` is filled from batches, and has no primary key");
            let help = "declare one: `constraints: [{type: primary_key}]` below the column";
            self.refuse(Code::BadConfig, message, place.clone(), help);
        }
        let deletes = deleting.and_then(|(call, key)| {
            let source = self.source(&call).cloned()?;
            let folded = |column: &ColumnInfo| self.folded(column) == key;
            let there = source.columns.values().any(folded);
            if !there || table.columns.iter().all(|own| own.name != key) {
                let message = format!("`deletes` of `{name}` names the column `{key}`, which the table and the source do not both declare");
                self.refuse(Code::BadConfig, message, place.clone(), "name a column that both have");
            }
            Some(Deletes {
                source: source.unique_id.clone(),
                key,
            })
        });
        Some(Inbox {
            pattern,
            reads,
            deletes,
        })
    }
}

/// Texts of a list, or one.
fn texts(value: Option<&Json>) -> Vec<String> {
    value.map(super::properties::words).unwrap_or_default()
}

/// Refuses inboxes of which a table must wait for what reads another table of the same one: all of
/// them are loaded in one transaction.
fn entangled(manifest: &Manifest, diagnostics: &mut Vec<Diagnostic>) {
    let pattern = |id: &UniqueId| {
        let node = manifest.nodes.get(id)?;
        let inbox = node.upkeep.ods.as_ref()?.inbox.as_ref()?;
        Some((inbox.pattern.as_str(), node.connection.as_deref()))
    };
    let members = |wanted: (&str, Option<&str>)| -> Vec<&UniqueId> {
        let all = manifest.nodes.keys();
        all.filter(|id| pattern(id) == Some(wanted)).collect()
    };
    let patterns: BTreeSet<_> = manifest.nodes.keys().filter_map(pattern).collect();
    for own in patterns {
        let mut seen: BTreeSet<&UniqueId> = BTreeSet::new();
        let reads = |id: &UniqueId| manifest.nodes.get(id).map(|node| &node.depends_on);
        let mut queue: Vec<(&UniqueId, &UniqueId)> = Vec::new();
        for member in members(own) {
            let parents = reads(member).into_iter().flatten();
            let outside = parents.filter(|id| pattern(id) != Some(own));
            queue.extend(outside.map(|id| (id, member)));
        }
        while let Some((id, member)) = queue.pop() {
            if !seen.insert(id) {
                continue;
            }
            // One table of an inbox is there when all of them are.
            let together = pattern(id).map_or_else(|| vec![id], members);
            let parents = together.into_iter().filter_map(reads).flatten();
            let parents: Vec<&UniqueId> = parents.collect();
            if let Some(parent) = parents.iter().find(|parent| pattern(parent) == Some(own)) {
                let node = &manifest.nodes[member];
                let message = format!(
                    "`{member}` waits for `{id}`, which waits for `{parent}`; both tables are filled from `{}`, in one transaction",
                    own.0
                );
                let error = Diagnostic::error(Code::Cycle, message).at(files::place(node));
                diagnostics
                    .push(error.help("read the table itself instead of what is built from it"));
                break;
            }
            queue.extend(parents.into_iter().map(|id| (id, member)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::POSTGRES;
    use crate::manifest::fixture::{Fixture, render};

    fn on_postgres(text: &str) -> (Manifest, Vec<Diagnostic>) {
        let mut fixture = Fixture::new(text);
        fixture.target.dialect = &POSTGRES;
        fixture.parse()
    }

    const SOURCES: &str = "
/// file: models/inbox.yml
sources:
  - name: inbox
    tables:
      - name: orders
        external: {location: 'in/orders/batch={batch}/orders.csv'}
        columns: [{name: id, data_type: int}]
      - name: lines
        external: {location: 'in/orders/batch={batch}/lines.csv'}
        columns: [{name: id, data_type: int}]
      - name: products
        external: {location: 'in/products/batch={batch}/products.csv'}
        columns: [{name: id, data_type: int}]
      - name: daily
        external: {location: 'in/{day}/daily.csv'}
        columns: [{name: id, data_type: int}]
        config: {partition_by: day, begin: 2026-11-01}
      - name: batches_as_partitions
        external: {location: 'in/{batch}/daily.csv'}
        columns: [{name: id, data_type: int}]
        config: {partition_by: batch, begin: 2026-11-01}
";

    #[test]
    fn keys_are_read_and_parents_are_dependencies() {
        let (manifest, found) = on_postgres(&format!(
            "{SOURCES}
/// file: models/orders.sql
{{{{ config(materialized='ods_table', rebuild='when_stale', deletes={{'source': ['inbox', 'orders'], 'key': 'ID'}}) }}}}
select id from {{{{ source('inbox', 'orders') }}}}
/// file: models/lines.sql
{{{{ config(materialized='ods_table') }}}}
select * from {{{{ source('inbox', 'lines') }}}}
/// file: models/webhook.sql
{{{{ config(materialized='ods_table') }}}}
-- filled by others
/// file: models/plain.sql
select 1 as id
/// file: models/models.yml
models:
  - name: orders
    columns: [{{name: ID, data_type: int, constraints: [{{type: primary_key}}]}}]
  - name: lines
    constraints:
      - {{type: primary_key, columns: [id, NR], expression: deferrable}}
      - {{type: foreign_key, name: of_order, columns: [order_id], to: \"ref('shop', 'orders')\", to_columns: [ID], expression: on delete cascade}}
      - {{type: unique, columns: [Odd]}}
    columns:
      - {{name: id, data_type: int}}
      - {{name: nr, data_type: int, constraints: [{{type: not_null}}, {{type: custom, expression: default 1}}]}}
      - {{name: order_id, data_type: int, constraints: [{{type: foreign_key, expression: public.o (id)}}]}}
      - {{name: Odd, quote: true, data_type: text, constraints: [{{type: check, expression: \"\\\"Odd\\\" <> ''\"}}]}}
  - name: webhook
    columns: [{{name: id, data_type: int}}]
  - name: plain
    columns: [{{name: id, data_type: int, constraints: [{{type: not_null}}]}}]
"
        ));
        let node =
            |name: &str| &manifest.nodes[&UniqueId::from(format!("model.shop.{name}").as_str())];
        let table = |name: &str| node(name).upkeep.ods.clone().expect("a table of the ODS");
        insta::assert_debug_snapshot!((table("orders"), table("lines"), table("webhook")));
        let order = UniqueId::from("model.shop.orders");
        assert!(node("lines").depends_on.contains(&order));
        assert!(!node("orders").upkeep.is_managed());
        assert!(node("plain").upkeep.ods.is_none());
        // Of a model that dbt builds, constraints are ignored as before.
        insta::assert_snapshot!(render(&found));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let (_, found) = on_postgres(&format!(
            "{SOURCES}
/// file: models/a.sql
{{{{ config(materialized='ods_table', unique_key='id', deletes={{'source': 'inbox'}}) }}}}
select 1 from {{{{ source('inbox', 'orders') }}}} join {{{{ source('inbox', 'products') }}}} join {{{{ source('inbox', 'daily') }}}}
/// file: models/b.sql
{{{{ config(materialized='ods_table', deletes={{'source': ['inbox', 'orders'], 'key': 'no'}}) }}}}
select 1 from {{{{ source('inbox', 'orders') }}}}
/// file: models/between.sql
select * from {{{{ ref('c') }}}}
/// file: models/c.sql
{{{{ config(materialized='ods_table') }}}}
select * from {{{{ source('inbox', 'products') }}}}
/// file: models/d.sql
{{{{ config(materialized='ods_table') }}}}
select * from {{{{ source('inbox', 'products') }}}} join {{{{ ref('between') }}}}
/// file: models/view.sql
select * from {{{{ source('inbox', 'orders') }}}}
/// file: tests/a_test.sql
select * from {{{{ source('inbox', 'orders') }}}}
/// file: models/models.yml
models:
  - name: b
    constraints:
      - {{type: primary, columns: [id]}}
      - {{type: unique, columns: [idd]}}
      - {{type: unique}}
      - {{type: check}}
      - {{type: foreign_key, columns: [id]}}
      - {{type: foreign_key, columns: [id], to: orders}}
      - {{type: not_null, columns: [id], expression: x}}
      - {{type: primary_key, columns: [id], expresion: x}}
      - {{type: primary_key, columns: [id]}}
      - primary_key
    columns: [{{name: id, data_type: int}}, {{name: untyped}}]
  - name: c
    columns: [{{name: id, data_type: int, constraints: [{{type: primary_key}}]}}]
  - name: d
    columns: [{{name: id, data_type: int, constraints: [{{type: primary_key}}]}}]
"
        ));
        insta::assert_snapshot!(render(&found));
    }

    #[test]
    fn other_databases_have_no_such_tables() {
        let found = Fixture::new(
            "
/// file: models/a.sql
{{ config(materialized='ods_table') }}
-- filled by others
",
        )
        .parse()
        .1;
        insta::assert_snapshot!(render(&found), @r"
        error[unsupported]: `a` is an `ods_table`, and duckdb keeps no such tables
         --> models/a.sql:1:1
          |
        1 | {{ config(materialized='ods_table') }}
          | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          |
          = help: build it on a target whose database enforces keys, or disable it there
        ");
    }
}
