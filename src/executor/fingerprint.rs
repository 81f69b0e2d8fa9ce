//! The fingerprint of a node's code: one rendering with symbols in the places of relations and
//! partitions, read as tokens.
//!
//! A template that asks the database while it is rendered, or that does anything with a symbol but
//! print it, could render otherwise another time: it is fingerprinted as text, together with every
//! macro that it can reach, so that no change is overlooked.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value as Json;

use super::Project;
use super::compile::Shown;
use crate::calendar::Mapping;
use crate::diagnostic::{Code, Diagnostic};
use crate::jinja::context::{self, ExecuteScope};
use crate::jinja::language::Scope;
use crate::jinja::port::{
    CacheChange, Fetch, PartitionText, QueryFailure, QueryOutcome, TemplateMessage, Transaction,
};
use crate::jinja::{RefCall, Resolver, SourceCall, Warehouse};
use crate::ledger;
use crate::manifest::{Node, ResourceType, UniqueId};
use crate::planner::items::{Symbolic, symbol};
use crate::relation::Relation;
use crate::sql::tokens;
use crate::table::Table;

/// Fingerprints a model or a seed.
pub fn fingerprint(project: &Arc<Project>, node: &Arc<Node>) -> Symbolic {
    let shape = shape(node);
    if node.resource_type == ResourceType::Seed {
        return Symbolic {
            code: ledger::hash64(&[&shape, &node.file.text]),
            sql: None,
            volatile: None,
            is_alike: false,
        };
    }
    let dialect = project.facts.dialect;
    let reachable = reachable_text(project, node);
    let clock = CLOCKS
        .iter()
        .find(|word| reachable.contains(**word))
        .map(|word| format!("its template reads `{word}`"));
    match render(project, node) {
        Some(sql) if plain_symbols(&reachable) => Symbolic {
            code: ledger::hash64(&[&shape, &tokens::fingerprint(dialect, &sql)]),
            volatile: clock.or_else(|| {
                tokens::volatile(dialect, &sql).map(|word| format!("its SQL calls `{word}`"))
            }),
            sql: Some(sql),
            is_alike: true,
        },
        rendered => Symbolic {
            code: ledger::hash64(&[&shape, &reachable, &variables(project, &reachable)]),
            volatile: clock.or_else(|| {
                let sql = rendered.as_deref().unwrap_or_default();
                tokens::volatile(dialect, sql).map(|word| format!("its SQL calls `{word}`"))
            }),
            sql: rendered,
            is_alike: false,
        },
    }
}

/// The fingerprint of a test: its text, arguments and config, and every macro that it can reach.
pub fn of_test(project: &Project, test: &Node) -> i64 {
    let arguments = test
        .test
        .as_ref()
        .and_then(|info| info.generic.as_ref())
        .map_or_else(String::new, |generic| {
            Json::Object(generic.arguments.clone()).to_string()
        });
    let config: Vec<String> = test
        .config
        .set
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let text = reachable_text(project, test);
    let variables = variables(project, &text);
    ledger::hash64(&[&text, &arguments, &config.join("\n"), &variables])
}

/// What templates tell the time by.
const CLOCKS: [&str; 4] = ["run_started_at", "datetime.now", "utcnow", "date.today"];

/// The configuration that shapes what is built.
fn shape(node: &Node) -> String {
    let mut text = node.materialization().to_owned();
    if let Some(cut) = &node.upkeep.partitioning {
        let _ = write!(text, " {}", cut.shape());
    }
    for key in [
        "pre-hook",
        "post-hook",
        "sql_header",
        "unique_key",
        "incremental_strategy",
        "column_types",
        "delimiter",
        "quote_columns",
    ] {
        if let Some(value) = node.config.get(key)
            && *value != Json::Array(Vec::new())
        {
            let _ = write!(text, " {key}={value}");
        }
    }
    text
}

/// The node's template and the text of every macro that it can reach.
fn reachable_text(project: &Project, node: &Node) -> String {
    let mut text = node.file.text.clone();
    let mut seen: BTreeSet<UniqueId> = BTreeSet::new();
    let mut queue: Vec<UniqueId> = node.depends_on_macros.clone();
    while let Some(id) = queue.pop() {
        if !seen.insert(id.clone()) {
            continue;
        }
        if let Some(found) = project.manifest.macros.get(&id) {
            queue.extend(found.depends_on.iter().cloned());
        }
    }
    for id in seen {
        if let Some(found) = project.manifest.macros.get(&id) {
            text.push('\n');
            text.push_str(&found.span.file.text[found.span.range.clone()]);
        }
    }
    text
}

/// Tells whether every use of `partition` in a text prints it and does nothing else.
fn plain_symbols(text: &str) -> bool {
    let mut rest = text;
    while let Some(at) = rest.find("partition.") {
        let before = rest[..at].trim_end().trim_end_matches('-').trim_end();
        let word = &rest[at + "partition.".len()..];
        let name_end = word
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(word.len());
        let is_ours = matches!(&word[..name_end], "start" | "end" | "date" | "filter");
        let is_word = rest[..at]
            .chars()
            .next_back()
            .is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != '.');
        if is_ours && is_word {
            let mut after = &word[name_end..];
            if let Some(arguments) = after.strip_prefix('(') {
                after = arguments.find(')').map_or("", |end| &arguments[end + 1..]);
            }
            let after = after.trim_start().trim_start_matches('-').trim_start();
            if !before.ends_with("{{") || !after.starts_with("}}") {
                return false;
            }
        }
        rest = &rest[at + "partition.".len()..];
    }
    true
}

/// The values of the variables that a text names.
fn variables(project: &Project, text: &str) -> String {
    let facts = &project.facts;
    let mut found = String::new();
    let vars = facts
        .cli_vars
        .iter()
        .chain(facts.package_vars.values().flatten());
    for (name, value) in vars {
        if text.contains(name.as_str()) {
            let _ = write!(found, "{name}={value};");
        }
    }
    // Names such as `_`, which shells set for each command, are part of other words.
    let quoted: BTreeMap<&String, &String> = between_quotes(text)
        .filter_map(|word| facts.environment.get_key_value(word))
        .collect();
    for (name, value) in quoted {
        let _ = write!(found, "{name}={value};");
    }
    found
}

/// What stands between one quote and the next of its kind.
fn between_quotes(text: &str) -> impl Iterator<Item = &str> {
    ['\'', '"'].into_iter().flat_map(|quote| {
        let mut pieces = text.split(quote).skip(1).peekable();
        std::iter::from_fn(move || {
            let piece = pieces.next()?;
            pieces.peek().is_some().then_some(piece)
        })
    })
}

/// Renders a node with symbols; `None` where it asks the database or cannot be rendered without.
fn render(project: &Arc<Project>, node: &Arc<Node>) -> Option<String> {
    let shown = Shown::of(project, node);
    let asked = Arc::new(AtomicBool::new(false));
    let graph_of = Arc::clone(project);
    let scope = ExecuteScope {
        package: Arc::clone(&node.package),
        this: Some(node.relation.clone()),
        model: shown.model(),
        config: shown.config(),
        graph: Arc::new(move || graph_of.graph_json().clone()),
        resolver: Arc::new(Symbols {
            project: Arc::clone(project),
            node: Arc::clone(node),
        }),
        warehouse: Arc::new(Asked(Arc::clone(&asked))),
        partition: node
            .upkeep
            .partitioning
            .is_some()
            .then(|| Arc::new(SymbolText) as Arc<dyn PartitionText>),
        extra: Vec::new(),
    };
    let (root, _) = context::execute_context(&project.facts, scope);
    let scope = Scope {
        package: Arc::clone(&node.package),
        root,
    };
    let template = project.engine.compile(&node.file).ok()?;
    let sql = project.engine.render(&template, &scope).ok()?;
    (!asked.load(Ordering::Relaxed)).then_some(sql)
}

/// Answers names with symbols.
struct Symbols {
    project: Arc<Project>,
    node: Arc<Node>,
}

impl Symbols {
    fn show(&self, upstream: &UniqueId, relation: &Relation, asked: Option<Mapping>) -> Relation {
        let mapping = super::reads::mapping_of(&self.node, upstream, asked);
        let mut relation = relation.clone();
        relation.kind = None;
        relation.shown_as = Some(symbol(upstream, mapping).into());
        relation
    }
}

impl Resolver for Symbols {
    fn resolve_ref(&self, call: &RefCall) -> Result<Relation, Box<Diagnostic>> {
        let resolver = super::NodeResolver::for_node(&self.project, &self.node);
        let parent = resolver.find_node(call)?;
        Ok(self.show(&parent.unique_id, &parent.relation, call.reading.mapping))
    }

    fn resolve_source(&self, call: &SourceCall) -> Result<Relation, Box<Diagnostic>> {
        let resolver = super::NodeResolver::for_node(&self.project, &self.node);
        let source = resolver.find_source(call)?;
        Ok(self.show(&source.unique_id, &source.relation, call.reading.mapping))
    }

    fn resolve_self(&self, mapping: Mapping) -> Result<Relation, Box<Diagnostic>> {
        // Not by its name, so that a model that is renamed has the same code.
        let mut relation = self.node.relation.clone();
        relation.kind = None;
        relation.shown_as = Some(symbol(&"self".into(), mapping).into());
        Ok(relation)
    }
}

/// The partitions, as symbols.
struct SymbolText;

impl PartitionText for SymbolText {
    fn start(&self) -> String {
        "__daygrain_partition_start__".to_owned()
    }

    fn end(&self) -> String {
        "__daygrain_partition_end__".to_owned()
    }

    fn date(&self) -> String {
        "__daygrain_partition_date__".to_owned()
    }

    fn filter(&self, column: &str) -> String {
        format!("{column} >= {} and {column} < {}", self.start(), self.end())
    }
}

/// A database that only notes that it was asked.
struct Asked(Arc<AtomicBool>);

impl Asked {
    fn refuse<T>(&self) -> Result<T, QueryFailure> {
        self.0.store(true, Ordering::Relaxed);
        let message = "a template that is fingerprinted asks the database";
        Err(Box::new(Diagnostic::error(Code::Database, message)))
    }
}

impl Warehouse for Asked {
    fn query(&self, _: &str, _: Transaction, _: Fetch) -> Result<QueryOutcome, QueryFailure> {
        self.refuse()
    }

    fn begin(&self) -> Result<(), QueryFailure> {
        self.refuse()
    }

    fn commit(&self) -> Result<(), QueryFailure> {
        self.refuse()
    }

    fn rollback(&self) -> Result<(), QueryFailure> {
        self.refuse()
    }

    fn load(&self, _: &Relation, _: &Table) -> Result<u64, QueryFailure> {
        self.refuse()
    }

    fn cached_relations(&self, _: &Relation) -> Option<Vec<Relation>> {
        self.0.store(true, Ordering::Relaxed);
        Some(Vec::new())
    }

    fn cache_relations(&self, _: &Relation, _: Vec<Relation>) {}

    fn note(&self, _: CacheChange) {}

    fn emit(&self, _: TemplateMessage) {}

    fn seed_rows(&self) -> Result<Arc<Table>, Box<Diagnostic>> {
        self.refuse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_between_quotes_are_found_beside_others() {
        let text = "env_var('A') ~ \"B\" ~ 'it''s' 'open";
        let found: Vec<&str> = between_quotes(text).collect();
        for word in ["A", "it", "s", "B"] {
            assert!(found.contains(&word), "{word} in {found:?}");
        }
        assert!(!found.contains(&"open"));
        assert!(between_quotes("no quote").next().is_none());
    }

    #[test]
    fn symbols_may_be_printed_and_nothing_else() {
        for plain in [
            "where at >= {{ partition.start }} and {{partition.filter('x')}}",
            "{{- partition.end -}}",
            "select partition_date, t.partition.start_of from t",
            "-- no partition. At all",
        ] {
            assert!(plain_symbols(plain), "{plain}");
        }
        for other in [
            "{% if partition.start > '2026' %}",
            "{{ partition.start[:4] }}",
            "{% set day = partition.date %}",
            "{{ x ~ partition.start }}",
        ] {
            assert!(!plain_symbols(other), "{other}");
        }
    }
}
