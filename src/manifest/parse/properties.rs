//! Property files: what YAML says of models, seeds, sources, tests, macros and analyses.
//!
//! Text is rendered while it is read, except what dbt renders later: the arguments of tests.

use std::ops::Range;
use std::sync::Arc;

use indexmap::IndexMap;
use rustc_hash::{FxHashMap, FxHashSet};
use serde_json::{Map, Value as Json};

use super::docs::Docs;
use super::ods::Written;
use super::{Project, check_config, described};
use crate::config::node_config::{Layer, known_key, normalize};
use crate::diagnostic::{Code, Diagnostic, nearest};
use crate::manifest::{ById, ColumnInfo, Macro, Node, ResourceType};
use crate::source::{SourceFile, Span};
use crate::yaml::{self, Yaml, YamlKey, YamlValue};

/// One property file.
pub struct Properties {
    /// The file.
    pub file: Arc<SourceFile>,
    /// The index of its package.
    pub package: usize,
    /// Entries of `models`, `seeds`, `analyses` and `data_tests` (singular tests).
    pub entries: Vec<Entry>,
    /// Entries of `macros`.
    pub macros: Vec<Entry>,
    /// Entries of `sources`.
    pub sources: Vec<SourceEntry>,
    /// What is ignored, and where.
    pub unsupported: Vec<Ignored>,
}

/// What is ignored.
pub struct Ignored {
    /// What it is.
    pub what: &'static str,
    /// Its place.
    pub span: Span,
    /// The model that it belongs to, where it is one that may heed it after all.
    pub of_model: Option<String>,
}

/// The description of one node or macro.
pub struct Entry {
    /// What it describes; of a macro without meaning.
    pub kind: ResourceType,
    /// The name of what it describes.
    pub name: String,
    /// The place of the name.
    pub range: Range<usize>,
    /// The description, rendered.
    pub description: String,
    /// `config`, and the top-level keys that dbt takes for configs.
    pub config: Layer,
    /// The columns.
    pub columns: Vec<Column>,
    /// The constraints of the whole.
    pub constraints: Vec<Written>,
    /// The tests of the whole.
    pub tests: Vec<TestEntry>,
}

/// A column and its tests.
pub struct Column {
    /// The column.
    pub info: ColumnInfo,
    /// Its constraints.
    pub constraints: Vec<Written>,
    /// Its tests.
    pub tests: Vec<TestEntry>,
}

/// One use of a generic test.
pub struct TestEntry {
    /// The place of the test's name.
    pub range: Range<usize>,
    /// The package before the dot.
    pub namespace: Option<String>,
    /// The test's name.
    pub name: String,
    /// The arguments as written, the column's name among them, in dbt's order.
    pub arguments: Map<String, Json>,
    /// The configs, rendered, in dbt's order.
    pub config: Layer,
    /// `name`.
    pub custom_name: Option<String>,
    /// `description`.
    pub description: String,
    /// The column as it is named in the arguments.
    pub column: Option<String>,
}

/// A source as written.
pub struct SourceEntry {
    /// Its name.
    pub name: String,
    /// Everything else that is not below; rendered.
    pub facts: Map<String, Json>,
    /// The description, rendered.
    pub description: String,
    /// Its tables.
    pub tables: Vec<TableEntry>,
}

/// A table of a source as written.
pub struct TableEntry {
    /// Its name.
    pub name: String,
    /// The place of the name.
    pub range: Range<usize>,
    /// Everything else that is not below; rendered.
    pub facts: Map<String, Json>,
    /// The description, rendered.
    pub description: String,
    /// The columns.
    pub columns: Vec<Column>,
    /// The tests of the table.
    pub tests: Vec<TestEntry>,
}

/// dbt's configs of a test, in the order in which it collects them.
pub const TEST_CONFIGS: &[&str] = &[
    "severity",
    "tags",
    "enabled",
    "where",
    "limit",
    "warn_if",
    "error_if",
    "fail_calc",
    "store_failures",
    "store_failures_as",
    "meta",
    "database",
    "schema",
    "alias",
];

const TOP_KEYS: &[&str] = &[
    "version",
    "models",
    "seeds",
    "sources",
    "snapshots",
    "macros",
    "analyses",
    "exposures",
    "groups",
    "semantic_models",
    "metrics",
    "saved_queries",
    "unit_tests",
    "data_tests",
    "tests",
    "functions",
    "anchors",
];

/// Top-level keys of an entry that dbt moves below `config`.
const MOVED_CONFIGS: &[&str] = &["meta", "docs", "group", "contract", "access"];

const ENTRY_KEYS: &[&str] = &[
    "name",
    "description",
    "config",
    "columns",
    "tests",
    "data_tests",
    "docs",
    "meta",
    "group",
    "access",
    "contract",
    "quote_columns",
    "latest_version",
    "versions",
    "constraints",
    "deprecation_date",
    "time_spine",
    "semantic_model",
    "agg_time_dimension",
    "primary_entity",
    "metrics",
    "derived_semantics",
];

const MACRO_KEYS: &[&str] = &["name", "description", "docs", "meta", "config", "arguments"];

const COLUMN_KEYS: &[&str] = &[
    "name",
    "description",
    "data_type",
    "meta",
    "quote",
    "tags",
    "tests",
    "data_tests",
    "config",
    "constraints",
    "docs",
    "granularity",
    "policy_tags",
    "dimension",
    "entity",
];

const SOURCE_KEYS: &[&str] = &[
    "name",
    "description",
    "database",
    "schema",
    "loader",
    "loaded_at_field",
    "loaded_at_query",
    "meta",
    "tags",
    "config",
    "overrides",
    "freshness",
    "quoting",
    "tables",
];

const TABLE_KEYS: &[&str] = &[
    "name",
    "description",
    "identifier",
    "loaded_at_field",
    "loaded_at_query",
    "freshness",
    "quoting",
    "external",
    "tags",
    "meta",
    "columns",
    "tests",
    "data_tests",
    "config",
    "docs",
    "data_type",
    "constraints",
];

/// Reads one property file.
pub fn read(
    project: &Project<'_>,
    docs: &Arc<Docs>,
    package: usize,
    file: &Arc<SourceFile>,
) -> (Properties, Vec<Diagnostic>) {
    let mut reader = Reader {
        project,
        docs,
        package,
        file,
        found: Vec::new(),
        result: Properties {
            file: Arc::clone(file),
            package,
            entries: Vec::new(),
            macros: Vec::new(),
            sources: Vec::new(),
            unsupported: Vec::new(),
        },
    };
    match yaml::parse_with_warnings(file, &mut reader.found) {
        Ok(tree) if tree.is_null() => {}
        Ok(tree) if tree.is_mapping() => reader.document(&tree),
        Ok(tree) => reader
            .found
            .push(*tree.wrong_shape("a property file", "a mapping", file)),
        Err(error) => reader.found.push(*error),
    }
    (reader.result, reader.found)
}

struct Reader<'a, 'p> {
    project: &'a Project<'p>,
    docs: &'a Arc<Docs>,
    package: usize,
    file: &'a Arc<SourceFile>,
    found: Vec<Diagnostic>,
    result: Properties,
}

impl Reader<'_, '_> {
    fn document(&mut self, tree: &Yaml) {
        self.unknown_keys(tree.entries(), "a property file", TOP_KEYS, "");
        for (key, value) in tree.entries() {
            let kind = match key.text.as_str() {
                "models" => ResourceType::Model,
                "seeds" => ResourceType::Seed,
                "analyses" => ResourceType::Analysis,
                "data_tests" | "tests" => ResourceType::Test,
                "sources" => ResourceType::Source,
                "macros" => ResourceType::Operation,
                "exposures" => self.ignore("exposures", key),
                "groups" => self.ignore("groups", key),
                "semantic_models" => self.ignore("semantic models", key),
                "metrics" => self.ignore("metrics", key),
                "saved_queries" => self.ignore("saved queries", key),
                "unit_tests" => self.ignore("unit tests", key),
                "snapshots" => self.ignore("snapshots", key),
                "functions" => self.ignore("functions", key),
                _ => continue,
            };
            if kind == ResourceType::SqlOperation {
                continue;
            }
            for item in self.list(value, &format!("`{}`", key.text)) {
                match kind {
                    ResourceType::Source => self.source(item),
                    ResourceType::Operation => {
                        if let Some(entry) = self.entry(kind, item, MACRO_KEYS) {
                            self.result.macros.push(entry);
                        }
                    }
                    _ => {
                        if let Some(entry) = self.entry(kind, item, ENTRY_KEYS) {
                            self.result.entries.push(entry);
                        }
                    }
                }
            }
        }
    }

    fn ignore(&mut self, what: &'static str, key: &YamlKey) -> ResourceType {
        self.ignored(what, key);
        ResourceType::SqlOperation
    }

    fn ignored(&mut self, what: &'static str, key: &YamlKey) {
        self.result.unsupported.push(Ignored {
            what,
            span: key.span(self.file),
            of_model: None,
        });
    }

    /// The constraints of a model or a column; what is no list is left to who reads them.
    fn constraints(&mut self, item: &Yaml) -> Vec<Written> {
        let Some((key, list)) = item.get_entry("constraints") else {
            return Vec::new();
        };
        self.ignored("constraints", key);
        let items = list.items().iter();
        items
            .map(|one| Written {
                json: self.json(one),
                span: one.span(self.file),
            })
            .collect()
    }

    fn entry(&mut self, kind: ResourceType, item: &Yaml, known: &[&str]) -> Option<Entry> {
        let is_macro = kind == ResourceType::Operation;
        let what = if is_macro { "macro" } else { described(kind) };
        let (name, range) = self.name(item, what)?;
        let resource = if is_macro { "" } else { kind.as_str() };
        self.unknown_keys(item.entries(), &format!("{what} `{name}`"), known, resource);
        let mut config = Layer::new();
        for (key, value) in item.get("config").map(Yaml::entries).unwrap_or_default() {
            let json = self.json(value);
            if !is_macro {
                let span = || match known_key(resource, &key.text) {
                    true => value.span(self.file),
                    false => key.span(self.file),
                };
                self.found
                    .extend(check_config(resource, &key.text, &json, span));
            }
            config.insert(normalize(&key.text).to_owned(), json);
        }
        for key in MOVED_CONFIGS {
            let Some((at, value)) = item.get_entry(key) else {
                continue;
            };
            if config.contains_key(*key) {
                let message =
                    format!("{what} `{name}` has `{key}` twice: beside and below `config`");
                let error = Diagnostic::error(Code::BadConfig, message).at(at.span(self.file));
                self.found.push(error.help("keep the one below `config`"));
                continue;
            }
            let json = self.json(value);
            config.insert((*key).to_owned(), json);
        }
        let before = self.result.unsupported.len();
        if let Some((at, _)) = item.get_entry("versions") {
            self.ignored("versions of models", at);
        }
        let constraints = self.constraints(item);
        let quote = item
            .get("quote_columns")
            .is_some_and(|value| matches!(value.value, YamlValue::Bool(true)));
        let quote = quote
            || config.get("quote_columns") == Some(&Json::Bool(true)) && kind != ResourceType::Seed;
        let columns = self.columns(item, &format!("{what} `{name}`"), quote);
        for ignored in &mut self.result.unsupported[before..] {
            ignored.of_model = Some(name.clone());
        }
        Some(Entry {
            kind,
            description: self.description(item),
            columns,
            tests: self.tests(item, &format!("{what} `{name}`"), None),
            constraints,
            config,
            name,
            range,
        })
    }

    fn source(&mut self, item: &Yaml) {
        let Some((name, _)) = self.name(item, "source") else {
            return;
        };
        let what = format!("source `{name}`");
        self.unknown_keys(item.entries(), &what, SOURCE_KEYS, "source");
        if let Some((key, _)) = item.get_entry("overrides") {
            self.ignored("overrides of sources", key);
        }
        let mut tables = Vec::new();
        if let Some(list) = item.get("tables") {
            for table in self.list(list, &format!("`tables` of {what}")) {
                if let Some(table) = self.table(table, &name) {
                    tables.push(table);
                }
            }
        }
        let entry = SourceEntry {
            facts: self.facts(item, &["name", "description", "tables"]),
            description: self.description(item),
            tables,
            name,
        };
        self.result.sources.push(entry);
    }

    fn table(&mut self, item: &Yaml, source: &str) -> Option<TableEntry> {
        let (name, range) = self.name(item, "table")?;
        let what = format!("table `{source}.{name}`");
        self.unknown_keys(item.entries(), &what, TABLE_KEYS, "source");
        let quote = item
            .get("quoting")
            .and_then(|quoting| quoting.get("column"));
        let quote = quote.is_some_and(|value| matches!(value.value, YamlValue::Bool(true)));
        Some(TableEntry {
            facts: self.facts(
                item,
                &["name", "description", "columns", "tests", "data_tests"],
            ),
            description: self.description(item),
            columns: self.columns(item, &what, quote),
            tests: self.tests(item, &what, None),
            name,
            range,
        })
    }

    fn columns(&mut self, item: &Yaml, what: &str, quote_all: bool) -> Vec<Column> {
        let Some(list) = item.get("columns").filter(|list| !list.is_null()) else {
            return Vec::new();
        };
        let mut columns: Vec<Column> = Vec::new();
        for column in self.list(list, &format!("`columns` of {what}")) {
            // A version's columns may say `include: all`; versions are warned of elsewhere.
            if column.get("name").is_none() && column.get("include").is_some() {
                continue;
            }
            let Some((name, _)) = self.name(column, "column") else {
                continue;
            };
            let here = format!("column `{name}` of {what}");
            self.unknown_keys(column.entries(), &here, COLUMN_KEYS, "");
            let constraints = self.constraints(column);
            let mut meta = Map::new();
            let mut tags: Vec<String> = Vec::new();
            for place in [Some(column), column.get("config")].into_iter().flatten() {
                if let Some(Json::Object(more)) = place.get("meta").map(|value| self.json(value)) {
                    meta.extend(more);
                }
                let more = place
                    .get("tags")
                    .map(|value| self.json(value))
                    .unwrap_or_default();
                for tag in words(&more) {
                    if !tags.contains(&tag) {
                        tags.push(tag);
                    }
                }
            }
            let quote = match column.get("quote").map(|value| &value.value) {
                Some(YamlValue::Bool(quote)) => Some(*quote),
                _ => None,
            };
            let data_type = column.get("data_type").map(|value| self.json(value));
            let argument = if quote.unwrap_or(quote_all) {
                self.project.target.dialect.quote_identifier(&name)
            } else {
                name.clone()
            };
            let tests = self.tests(column, &here, Some(&argument));
            columns.push(Column {
                info: ColumnInfo {
                    description: self.description(column),
                    data_type: data_type.and_then(|json| json.as_str().map(str::to_owned)),
                    quote,
                    meta,
                    tags,
                    name,
                },
                constraints,
                tests,
            });
        }
        columns
    }

    fn tests(&mut self, item: &Yaml, what: &str, column: Option<&str>) -> Vec<TestEntry> {
        let entries = [item.get_entry("tests"), item.get_entry("data_tests")];
        let (key, list) = match entries {
            [Some((old, list)), Some((new, _))] if !list.items().is_empty() => {
                let error = Diagnostic::error(
                    Code::YamlShape,
                    format!("{what} has both `tests` and `data_tests`"),
                );
                let error = error.at(old.span(self.file)).label(new.span(self.file), "");
                self.found.push(error.help("keep `data_tests`"));
                return Vec::new();
            }
            [_, Some(entry)] | [Some(entry), None] => entry,
            [None, None] => return Vec::new(),
        };
        if list.is_null() {
            return Vec::new();
        }
        let what = format!("`{}` of {what}", key.text);
        let items = self.list(list, &what);
        items
            .iter()
            .filter_map(|item| self.test(item, column))
            .collect()
    }

    fn test(&mut self, item: &Yaml, column: Option<&str>) -> Option<TestEntry> {
        let shape = |this: &mut Self, message: String, range: &Range<usize>, help: &str| {
            let error = Diagnostic::error(Code::YamlShape, message);
            this.found
                .push(error.at(Span::new(this.file, range.clone())).help(help));
        };
        let no_arguments: &[(YamlKey, Yaml)] = &[];
        let (name, range, entries) = match &item.value {
            YamlValue::String(name) => (name.clone(), item.range.clone(), no_arguments),
            YamlValue::Mapping(entries) => {
                if let Some(name) = item.get("test_name") {
                    (name.as_str()?.to_owned(), name.range.clone(), &entries[..])
                } else if let [(key, arguments)] = &entries[..] {
                    if !(arguments.is_mapping() || arguments.is_null()) {
                        let message =
                            format!("the arguments of test `{}` must be a mapping", key.text);
                        shape(
                            self,
                            message,
                            &arguments.range,
                            "name each: `argument: value`",
                        );
                        return None;
                    }
                    (key.text.clone(), key.range.clone(), arguments.entries())
                } else {
                    let range = entries.first().map_or(&item.range, |(key, _)| &key.range);
                    let message = "a test is one name with its arguments below it".to_owned();
                    shape(
                        self,
                        message,
                        range,
                        "indent the arguments below the test's name",
                    );
                    return None;
                }
            }
            _ => {
                let message = format!("a test must be a name or a mapping, found {}", item.kind());
                shape(self, message, &item.range, "write the name of a test");
                return None;
            }
        };
        let (namespace, test) = match name.split_once('.') {
            Some((package, test)) => (Some(package.to_owned()), test.to_owned()),
            None => (None, name.clone()),
        };
        let is_name = |text: &str| {
            !text.is_empty()
                && !text.starts_with(|c: char| c.is_ascii_digit())
                && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        if !is_name(&test) || !namespace.as_deref().is_none_or(is_name) {
            shape(
                self,
                format!("`{name}` is no name of a test"),
                &range,
                "a name has letters, digits and underscores",
            );
            return None;
        }
        self.test_entry(range, namespace, test, entries, column)
    }

    fn test_entry(
        &mut self,
        range: Range<usize>,
        namespace: Option<String>,
        name: String,
        entries: &[(YamlKey, Yaml)],
        column: Option<&str>,
    ) -> Option<TestEntry> {
        let mut arguments = Map::new();
        let mut settings: IndexMap<&str, &Yaml> = IndexMap::new();
        let mut nested: IndexMap<&str, &Yaml> = IndexMap::new();
        let (mut custom_name, mut description) = (None, String::new());
        let mut later: &[(YamlKey, Yaml)] = &[];
        for (key, value) in entries {
            match key.text.as_str() {
                "test_name" => {}
                "config" => {
                    nested = value
                        .entries()
                        .iter()
                        .map(|(key, value)| (key.text.as_str(), value))
                        .collect();
                }
                "name" => custom_name = self.json(value).as_str().map(str::to_owned),
                "description" => description = self.docs_text(value),
                "arguments" if value.is_mapping() => later = value.entries(),
                "arguments" if value.is_null() => {}
                "model" => {
                    let message = format!("the test `{name}` has an argument `model`");
                    let error = Diagnostic::error(Code::WrongArguments, message);
                    self.found.push(
                        error
                            .at(key.span(self.file))
                            .help("`model` is what the test is attached to"),
                    );
                    return None;
                }
                text if TEST_CONFIGS.contains(&text) => {
                    settings.insert(text, value);
                }
                text => {
                    arguments.insert(text.to_owned(), value.to_json());
                }
            }
        }
        if let Some(column) = column {
            arguments.insert("column_name".to_owned(), column.into());
        }
        for (key, value) in later {
            match key.text.as_str() {
                // dbt lays the arguments over everything, so even there these are no arguments.
                "name" => custom_name = self.json(value).as_str().map(str::to_owned),
                "description" => description = self.docs_text(value),
                text => {
                    arguments.insert(text.to_owned(), value.to_json());
                }
            }
        }
        let mut config = Layer::new();
        for key in TEST_CONFIGS {
            let beside = settings.get(key).filter(|value| !value.is_null());
            let below = nested.shift_remove(key);
            if let (Some(beside), Some(_)) = (beside, below) {
                let message =
                    format!("the test `{name}` has `{key}` twice: beside and below `config`");
                let error = Diagnostic::error(Code::BadConfig, message).at(beside.span(self.file));
                self.found.push(error.help("keep the one below `config`"));
            }
            if let Some(value) = beside.copied().or(below) {
                self.test_config(&mut config, key, value);
            }
        }
        for (key, value) in nested {
            self.test_config(&mut config, key, value);
        }
        Some(TestEntry {
            range,
            namespace,
            name,
            arguments,
            config,
            custom_name,
            description,
            column: column.map(str::to_owned),
        })
    }

    fn test_config(&mut self, config: &mut Layer, key: &str, value: &Yaml) {
        let json = self.json(value);
        if json.is_null() {
            return;
        }
        self.found
            .extend(check_config("test", key, &json, || value.span(self.file)));
        config.insert(key.to_owned(), json);
    }

    /// The items of a list; anything else but nothing is an error.
    fn list<'y>(&mut self, value: &'y Yaml, what: &str) -> &'y [Yaml] {
        if value.is_null() {
            return &[];
        }
        match value.expect_sequence(what, self.file) {
            Ok(items) => items,
            Err(error) => {
                self.found.push(*error);
                &[]
            }
        }
    }

    fn name(&mut self, item: &Yaml, what: &str) -> Option<(String, Range<usize>)> {
        if !item.is_mapping() {
            let what = format!("an entry that describes a {what}");
            self.found
                .push(*item.wrong_shape(&what, "a mapping", self.file));
            return None;
        }
        let Some(value) = item.get("name") else {
            let error = Diagnostic::error(Code::YamlShape, format!("a {what} without a `name`"));
            let first = item
                .entries()
                .first()
                .map_or(&item.range, |(key, _)| &key.range);
            self.found.push(
                error
                    .at(Span::new(self.file, first.clone()))
                    .help("add `name:`"),
            );
            return None;
        };
        let name = match self.json(value) {
            Json::String(name) => name,
            Json::Number(number) => number.to_string(),
            _ => {
                self.found
                    .push(*value.wrong_shape("`name`", "text", self.file));
                return None;
            }
        };
        Some((name, value.range.clone()))
    }

    fn description(&mut self, item: &Yaml) -> String {
        match item.get("description") {
            Some(value) => self.docs_text(value),
            None => String::new(),
        }
    }

    fn docs_text(&mut self, value: &Yaml) -> String {
        let Some(text) = value.as_str() else {
            if !value.is_null() {
                self.found
                    .push(*value.wrong_shape("`description`", "text", self.file));
            }
            return String::new();
        };
        let span = value.span(self.file);
        match self.docs.render(self.project, self.package, text, &span) {
            Ok(text) => text,
            Err(error) => {
                self.found.push(*error);
                String::new()
            }
        }
    }

    /// The other keys of a mapping, rendered.
    fn facts(&mut self, item: &Yaml, except: &[&str]) -> Map<String, Json> {
        let entries = item.entries().iter();
        entries
            .filter(|(key, _)| !except.contains(&key.text.as_str()))
            .map(|(key, value)| (key.text.clone(), self.json(value)))
            .collect()
    }

    /// A value with its text rendered, hooks excepted.
    fn json(&mut self, value: &Yaml) -> Json {
        match &value.value {
            YamlValue::String(text) => {
                let rendered = self
                    .project
                    .render_yaml(self.package, text, &value.span(self.file));
                rendered.unwrap_or_else(|error| {
                    self.found.push(*error);
                    Json::Null
                })
            }
            YamlValue::Sequence(items) => items.iter().map(|item| self.json(item)).collect(),
            YamlValue::Mapping(entries) => {
                let entries = entries.iter().map(|(key, value)| {
                    let hook = matches!(normalize(&key.text), "pre-hook" | "post-hook");
                    let json = if hook {
                        value.to_json()
                    } else {
                        self.json(value)
                    };
                    (key.text.clone(), json)
                });
                Json::Object(entries.collect())
            }
            _ => value.to_json(),
        }
    }

    /// Warns of keys that nothing reads; `resource` is the kind whose configs are told where they belong.
    fn unknown_keys(
        &mut self,
        entries: &[(YamlKey, Yaml)],
        what: &str,
        known: &[&str],
        resource: &str,
    ) {
        for (key, _) in entries {
            let text = key.text.as_str();
            if known.contains(&text) {
                continue;
            }
            let message = format!("nothing reads `{text}` of {what}");
            let warning = Diagnostic::warning(Code::UnknownKey, message).at(key.span(self.file));
            self.found
                .push(if !resource.is_empty() && known_key(resource, text) {
                    warning.help("configs belong below `config:`")
                } else if let Some(near) = nearest(text, known.iter().copied()) {
                    warning.help(format!("did you mean `{near}`?"))
                } else {
                    warning
                });
        }
    }
}

/// Texts of a list, or of one word.
pub fn words(value: &Json) -> Vec<String> {
    match value {
        Json::String(word) => vec![word.clone()],
        Json::Array(items) => items
            .iter()
            .filter_map(Json::as_str)
            .map(str::to_owned)
            .collect(),
        _ => Vec::new(),
    }
}

/// The entries of all property files, by what they describe.
pub struct Patches<'a> {
    nodes: FxHashMap<(ResourceType, usize, &'a str), Patch<'a>>,
    macros: FxHashMap<(usize, &'a str), Patch<'a>>,
}

/// One entry and its file.
#[derive(Clone, Copy)]
pub struct Patch<'a> {
    /// The file's properties.
    pub properties: &'a Properties,
    /// The entry.
    pub entry: &'a Entry,
}

impl Patch<'_> {
    /// The place of the name.
    pub fn span(&self) -> Span {
        Span::new(&self.properties.file, self.entry.range.clone())
    }
}

impl<'a> Patches<'a> {
    /// Indexes all entries; two of one thing are an error.
    pub fn new(all: &'a [Properties], diagnostics: &mut Vec<Diagnostic>) -> Patches<'a> {
        let mut patches = Patches {
            nodes: FxHashMap::default(),
            macros: FxHashMap::default(),
        };
        for properties in all {
            for entry in &properties.entries {
                let patch = Patch { properties, entry };
                let key = (entry.kind, properties.package, entry.name.as_str());
                let before = patches.nodes.insert(key, patch);
                diagnostics.extend(
                    before.map(|before| described_twice(described(entry.kind), patch, before)),
                );
            }
            for entry in &properties.macros {
                let patch = Patch { properties, entry };
                let before = patches
                    .macros
                    .insert((properties.package, &entry.name), patch);
                diagnostics.extend(before.map(|before| described_twice("macro", patch, before)));
            }
        }
        patches
    }

    /// The entry of a node.
    pub fn node(&self, kind: ResourceType, package: usize, name: &str) -> Option<Patch<'a>> {
        self.nodes.get(&(kind, package, name)).copied()
    }

    /// The entry of a macro.
    pub fn macro_(&self, package: usize, name: &str) -> Option<Patch<'a>> {
        self.macros.get(&(package, name)).copied()
    }

    /// Warns of entries that describe nothing.
    pub fn unused(
        &self,
        used: &FxHashSet<(ResourceType, usize, String)>,
        nodes: &[Arc<Node>],
        macros: &ById<Macro>,
        diagnostics: &mut Vec<Diagnostic>,
    ) {
        let mut warnings = Vec::new();
        for (&(kind, package, name), patch) in &self.nodes {
            if used.contains(&(kind, package, name.to_owned())) {
                continue;
            }
            let what = described(kind);
            let warning =
                Diagnostic::warning(Code::UnknownPatch, format!("no {what} is named `{name}`"));
            let warning = warning.at(patch.span());
            let same_kind = nodes.iter().filter(|node| node.resource_type == kind);
            let other = nodes
                .iter()
                .find(|node| node.name == name && node.resource_type != kind);
            warnings.push(match other {
                Some(node)
                    if matches!(node.resource_type, ResourceType::Model | ResourceType::Seed) =>
                {
                    let right = described(node.resource_type);
                    warning.help(format!(
                        "`{name}` is a {right}: describe it below `{right}s:`"
                    ))
                }
                _ => match nearest(name, same_kind.map(|node| node.name.as_str())) {
                    Some(near) => warning.help(format!("a {what} named `{near}` exists")),
                    None => warning.help("what is said of it here, its tests too, is ignored"),
                },
            });
        }
        let known: FxHashSet<&str> = macros.values().map(|known| known.name.as_str()).collect();
        for (&(_, name), patch) in &self.macros {
            let is_there = known.contains(name) || known.contains(format!("test_{name}").as_str());
            if is_there {
                continue;
            }
            let warning =
                Diagnostic::warning(Code::UnknownPatch, format!("no macro is named `{name}`"));
            let warning = warning.at(patch.span());
            warnings.push(match nearest(name, known.iter().copied()) {
                Some(near) => warning.help(format!("a macro named `{near}` exists")),
                None => warning,
            });
        }
        warnings.sort_by(|a, b| place(a).cmp(&place(b)));
        diagnostics.extend(warnings);
    }
}

fn place(diagnostic: &Diagnostic) -> (&str, usize) {
    let label = diagnostic.labels.first();
    label.map_or(("", 0), |label| {
        (label.span.file.path.as_str(), label.span.range.start)
    })
}

fn described_twice(what: &str, second: Patch<'_>, first: Patch<'_>) -> Diagnostic {
    let name = &second.entry.name;
    Diagnostic::error(
        Code::DuplicateName,
        format!("the {what} `{name}` is described twice"),
    )
    .at(second.span())
    .label(first.span(), "first here")
    .help("put all that is said of it into one entry")
}
