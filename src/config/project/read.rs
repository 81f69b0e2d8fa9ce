//! Reading `dbt_project.yml`: every key, and everything that is wrong with it at once.

use std::path::Path;
use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::Value as Json;

use crate::config::{RenderText, has_jinja, render_tree};
use crate::diagnostic::{Code, Diagnostic, nearest};
use crate::source::{SourceFile, Span};
use crate::yaml::{self, Yaml, YamlKey, YamlValue};

use super::version::{self, NotAVersion};
use super::{DBT_VERSION, PartialQuoting, Paths, ProjectFile};

/// The file that makes a folder a project.
pub const FILE_NAME: &str = "dbt_project.yml";

/// The keys below which configs of nodes stand, as written, and the word they are kept under.
const TREES: &[(&str, &str)] = &[
    ("models", "models"),
    ("seeds", "seeds"),
    ("snapshots", "snapshots"),
    ("analyses", "analyses"),
    ("sources", "sources"),
    ("tests", "data_tests"),
    ("data_tests", "data_tests"),
    ("data-tests", "data_tests"),
    ("unit_tests", "unit_tests"),
    ("unit-tests", "unit_tests"),
    ("metrics", "metrics"),
    ("semantic-models", "semantic_models"),
    ("semantic_models", "semantic_models"),
    ("saved-queries", "saved_queries"),
    ("saved_queries", "saved_queries"),
    ("exposures", "exposures"),
    ("functions", "functions"),
];

const OTHER_KEYS: &[&str] = &[
    "name",
    "version",
    "config-version",
    "profile",
    "model-paths",
    "seed-paths",
    "test-paths",
    "macro-paths",
    "analysis-paths",
    "snapshot-paths",
    "function-paths",
    "asset-paths",
    "docs-paths",
    "target-path",
    "log-path",
    "packages-install-path",
    "clean-targets",
    "quoting",
    "dispatch",
    "vars",
    "on-run-start",
    "on-run-end",
    "query-comment",
    "require-dbt-version",
    "restrict-access",
    "flags",
    "dbt-cloud",
    // Old spellings, and keys that something else reads.
    "source-paths",
    "data-paths",
    "dbt_cloud",
    "packages",
    "project-root",
];

/// dbt's flags of a project. Those of its parser and its telemetry have nothing to steer here.
const FLAGS: &[&str] = &[
    "cache_selected_only",
    "debug",
    "fail_fast",
    "indirect_selection",
    "log_format",
    "log_format_file",
    "log_level",
    "log_level_file",
    "partial_parse",
    "populate_cache",
    "print",
    "printer_width",
    "quiet",
    "send_anonymous_usage_stats",
    "static_parser",
    "use_colors",
    "use_colors_file",
    "use_experimental_parser",
    "version_check",
    "warn_error",
    "warn_error_options",
    "write_json",
];

/// Names that a project may not have, because templates would confuse them with something else.
const RESERVED: &[&str] = &[
    "_sql_results",
    "adapter",
    "api",
    "column",
    "config",
    "context",
    "database",
    "env",
    "env_var",
    "exceptions",
    "execute",
    "flags",
    "fromjson",
    "fromyaml",
    "graph",
    "invocation_id",
    "load_agate_table",
    "load_result",
    "log",
    "model",
    "modules",
    "post_hooks",
    "pre_hooks",
    "ref",
    "render",
    "return",
    "run_started_at",
    "schema",
    "source",
    "sql",
    "sql_now",
    "store_raw_result",
    "store_result",
    "target",
    "this",
    "tojson",
    "toyaml",
    "try_or_compiler_error",
    "var",
    "write",
];

/// Reads `dbt_project.yml` in a folder.
///
/// The second value holds warnings and errors; the first is there unless the file is unusable.
pub fn read(root: &Path, render: &RenderText<'_>) -> (Option<ProjectFile>, Vec<Diagnostic>) {
    let path = root.join(FILE_NAME);
    let text = match std::fs::read(&path).map(String::from_utf8) {
        Ok(Ok(text)) => text,
        Ok(Err(_)) => {
            let message = format!("`{}` is not UTF-8", path.display());
            let error = Diagnostic::error(Code::Io, message).help("save the file as UTF-8");
            return (None, vec![error]);
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let message = format!("no `{FILE_NAME}` in `{}`", root.display());
            let error = Diagnostic::error(Code::NoProject, message)
                .help("go to the folder of a project, or name it with `--project-dir`");
            return (None, vec![error]);
        }
        Err(error) => {
            let message = format!("cannot read `{}`: {error}", path.display());
            return (None, vec![Diagnostic::error(Code::Io, message)]);
        }
    };
    let file = Arc::new(SourceFile {
        path: FILE_NAME.to_owned(),
        absolute: path,
        text,
    });
    read_file(root, file, render)
}

/// Reads the text of a `dbt_project.yml` whose folder is `root`.
pub(crate) fn read_file(
    root: &Path,
    file: Arc<SourceFile>,
    render: &RenderText<'_>,
) -> (Option<ProjectFile>, Vec<Diagnostic>) {
    let mut diagnostics = Vec::new();
    let tree = match yaml::parse_with_warnings(&file, &mut diagnostics) {
        Ok(tree) => tree,
        Err(error) => {
            diagnostics.push(*error);
            return (None, diagnostics);
        }
    };
    let mut reader = Reader {
        file: &file,
        tree: &tree,
        render,
        diagnostics,
    };
    let project = reader.project(root);
    (project, reader.diagnostics)
}

struct Reader<'a> {
    file: &'a Arc<SourceFile>,
    tree: &'a Yaml,
    render: &'a RenderText<'a>,
    diagnostics: Vec<Diagnostic>,
}

impl Reader<'_> {
    fn project(&mut self, root: &Path) -> Option<ProjectFile> {
        if !self.tree.is_mapping() {
            let mut error =
                *self
                    .tree
                    .wrong_shape(&format!("`{FILE_NAME}`"), "a mapping", self.file);
            error.help = Some("begin it with `name: my_project`".to_owned());
            self.diagnostics.push(error);
            return None;
        }
        self.warn_of_unknown_keys();
        let name = self.name(root);
        let flags = self.rendered_mapping("flags");
        self.warn_of_unread_flags();
        let require_dbt_version = self.rendered("require-dbt-version").map(|(_, json)| json);
        if flags.get("version_check") != Some(&Json::Bool(false)) {
            self.check_version(name.as_deref(), require_dbt_version.as_ref());
        }
        if let Some((_, json)) = self.rendered("config-version") {
            let two = json.as_i64() == Some(2) || json.as_str() == Some("2") || json.is_null();
            if !two {
                let span = self.span("config-version");
                self.diagnostics.push(
                    Diagnostic::error(Code::YamlShape, "`config-version` must be 2")
                        .at(span)
                        .help("write `config-version: 2`, or leave the key out"),
                );
            }
        }
        if self.boolean("restrict-access") == Some(true) {
            let message = "`restrict-access` is not done yet: other packages can read every model";
            let span = self.span("restrict-access");
            self.push(Diagnostic::warning(Code::Unsupported, message).at(span));
        }
        let project = ProjectFile {
            file: Arc::clone(self.file),
            root: root.to_owned(),
            name: Arc::from(name.as_deref().unwrap_or_default()),
            version: self.scalar("version"),
            profile: self.scalar("profile"),
            paths: self.paths(),
            vars: self.plain_mapping("vars"),
            quoting: self.quoting(),
            dispatch: self.dispatch(),
            on_run_start: self.hooks("on-run-start"),
            on_run_end: self.hooks("on-run-end"),
            configs: self.configs(),
            flags,
            query_comment: self.query_comment(),
            require_dbt_version,
        };
        name.map(|_| project)
    }

    fn push(&mut self, error: Diagnostic) {
        self.diagnostics.push(error);
    }

    fn span(&self, key: &str) -> Span {
        match self.tree.get_entry(key) {
            Some((_, value)) => value.span(self.file),
            None => Span::line(self.file, 1),
        }
    }

    fn warn_of_unknown_keys(&mut self) {
        let known: Vec<&str> = TREES
            .iter()
            .map(|(key, _)| *key)
            .chain(OTHER_KEYS.iter().copied())
            .collect();
        for (key, _) in self.tree.entries() {
            if known.contains(&key.text.as_str()) {
                continue;
            }
            let near = nearest(&key.text, known.iter().copied());
            let help = match near {
                Some(near) => format!("`{near}` is a key"),
                None => "remove it, or move it below `vars` or a node's `+meta`".to_owned(),
            };
            self.diagnostics.push(
                Diagnostic::warning(
                    Code::UnknownKey,
                    format!("nothing reads the key `{}`", key.text),
                )
                .at(key.span(self.file))
                .help(help),
            );
        }
    }

    /// Warns of flags that dbt reads and nothing here does, and of misspelt ones.
    ///
    /// Other flags are free: dbt has one for each change of its behaviour.
    fn warn_of_unread_flags(&mut self) {
        let mut unread = Vec::new();
        let flags = self.tree.get("flags").map(yaml::Yaml::entries);
        for (key, _) in flags.unwrap_or_default() {
            let name = key.text.as_str();
            let warning = if name == "warn_error_options" {
                let message = "the flag `warn_error_options` is not supported yet and is ignored";
                Diagnostic::warning(Code::Unsupported, message)
                    .help("`warn_error: true` makes errors of all warnings")
            } else if FLAGS.contains(&name) {
                continue;
            } else if let Some(near) = nearest(name, FLAGS.iter().copied()) {
                Diagnostic::warning(Code::UnknownKey, format!("nothing reads the flag `{name}`"))
                    .help(format!("did you mean `{near}`?"))
            } else {
                continue;
            };
            unread.push(warning.at(key.span(self.file)));
        }
        self.diagnostics.extend(unread);
    }

    fn name(&mut self, root: &Path) -> Option<String> {
        let Some((_, json)) = self.rendered("name") else {
            let folder = root.file_name().and_then(|name| name.to_str());
            let folder = folder.filter(|folder| is_identifier(folder));
            self.diagnostics.push(
                Diagnostic::error(Code::YamlShape, format!("`{FILE_NAME}` has no `name`"))
                    .at(Span::line(self.file, 1))
                    .help(format!("add `name: {}`", folder.unwrap_or("my_project"))),
            );
            return None;
        };
        let Json::String(name) = json else {
            let value = self.tree.get("name")?;
            self.push(*value.wrong_shape("`name`", "text", self.file));
            return None;
        };
        let span = self.span("name");
        if !is_identifier(&name) {
            self.diagnostics.push(
                Diagnostic::error(
                    Code::YamlShape,
                    format!("`{name}` cannot be the name of a project"),
                )
                .at(span)
                .help("use letters, digits and underscores, and do not begin with a digit"),
            );
            return None;
        }
        if RESERVED.contains(&name.as_str()) {
            self.diagnostics.push(
                Diagnostic::error(
                    Code::YamlShape,
                    format!("`{name}` cannot be the name of a project: templates have a word of that name"),
                )
                .at(span)
                .help("take another name"),
            );
            return None;
        }
        Some(name)
    }

    fn check_version(&mut self, name: Option<&str>, required: Option<&Json>) {
        let requirements: Vec<&str> = match required {
            None | Some(Json::Null) => return,
            Some(Json::String(text)) => vec![text],
            Some(Json::Array(items)) if items.iter().all(Json::is_string) => {
                items.iter().filter_map(Json::as_str).collect()
            }
            Some(_) => {
                if let Some(value) = self.tree.get("require-dbt-version") {
                    let what = "`require-dbt-version`";
                    self.push(*value.wrong_shape(what, "text or a list of texts", self.file));
                }
                return;
            }
        };
        let span = self.span("require-dbt-version");
        let error = match version::satisfies(&requirements) {
            Ok(true) => return,
            Ok(false) => Diagnostic::error(
                Code::RequiredVersion,
                format!(
                    "`{}` requires dbt {}, and daygrain behaves as dbt {DBT_VERSION}",
                    name.unwrap_or("this project"),
                    requirements.join(", ")
                ),
            )
            .help("widen `require-dbt-version`, or set `version_check: false` below `flags`"),
            Err(NotAVersion(text)) => {
                Diagnostic::error(Code::YamlShape, format!("`{text}` is not a version"))
                    .help("write versions such as `>=1.0.0` or `[\">=1.0.0\", \"<2.0.0\"]`")
            }
        };
        self.diagnostics.push(error.at(span));
    }

    /// A key's value with its Jinja rendered; `None` where the key is missing.
    fn rendered(&mut self, key: &str) -> Option<(Yaml, Json)> {
        let value = self.tree.get(key)?;
        let value = render_tree(value, self.file, self.render, &mut self.diagnostics);
        let json = value.to_json();
        Some((value, json))
    }

    fn scalar(&mut self, key: &str) -> Option<String> {
        let value = self.tree.get(key).filter(|value| !value.is_null())?;
        let templated = value.as_str().is_some_and(has_jinja);
        let (rendered, _) = self.rendered(key)?;
        let result = match &rendered.value {
            // A version may be a number: what was rendered has no text in the file.
            YamlValue::Int(_) | YamlValue::Float(_) | YamlValue::Bool(_) if templated => {
                Ok(rendered.to_json().to_string())
            }
            YamlValue::Null if templated => return None,
            _ => rendered.expect_scalar(&format!("`{key}`"), self.file),
        };
        self.keep(result)
    }

    fn keep<T>(&mut self, result: Result<T, Box<Diagnostic>>) -> Option<T> {
        result.map_err(|error| self.push(*error)).ok()
    }

    fn boolean(&mut self, key: &str) -> Option<bool> {
        let (value, json) = self.rendered(key)?;
        if json.is_null() {
            return None;
        }
        let result = value.expect_bool(&format!("`{key}`"), self.file);
        self.keep(result)
    }

    /// The folders that a key names, without `./` before and `/` behind them.
    fn list(&mut self, key: &str) -> Option<Vec<String>> {
        let (value, json) = self.rendered(key)?;
        if json.is_null() {
            return None;
        }
        let what = format!("`{key}`");
        let mut folders = Vec::new();
        let items = value
            .expect_sequence(&what, self.file)
            .map_err(|mut error| {
                if value.as_str().is_some() {
                    error.help = Some(format!(
                        "write `{key}: [\"{}\"]`",
                        value.as_str().unwrap_or("")
                    ));
                }
                error
            });
        for item in self.keep(items)? {
            let text = item.expect_str(&format!("an entry of {what}"), self.file);
            if let Some(text) = self.keep(text) {
                folders.push(clean_path(text));
            }
        }
        Some(folders)
    }

    fn renamed_list(&mut self, key: &str, old: &str) -> Option<Vec<String>> {
        if let Some((old_key, _)) = self.tree.get_entry(old) {
            let span = old_key.span(self.file);
            if let Some((key_there, _)) = self.tree.get_entry(key) {
                self.diagnostics.push(
                    Diagnostic::error(
                        Code::YamlShape,
                        format!("`{old}` and `{key}` cannot both be there"),
                    )
                    .at(span)
                    .label(key_there.span(self.file), "the name of today")
                    .help(format!("remove `{old}`")),
                );
            } else {
                self.diagnostics.push(
                    Diagnostic::warning(
                        Code::Deprecated,
                        format!("`{old}` is the old name of `{key}`"),
                    )
                    .at(span)
                    .help(format!("rename it to `{key}`")),
                );
                return self.list(old);
            }
        }
        self.list(key)
    }

    fn paths(&mut self) -> Paths {
        let default =
            |found: Option<Vec<String>>, name: &str| found.unwrap_or_else(|| vec![name.to_owned()]);
        let mut paths = Paths {
            models: default(self.renamed_list("model-paths", "source-paths"), "models"),
            seeds: default(self.renamed_list("seed-paths", "data-paths"), "seeds"),
            tests: default(self.list("test-paths"), "tests"),
            macros: default(self.list("macro-paths"), "macros"),
            analyses: default(self.list("analysis-paths"), "analyses"),
            snapshots: default(self.list("snapshot-paths"), "snapshots"),
            functions: default(self.list("function-paths"), "functions"),
            assets: self.list("asset-paths").unwrap_or_default(),
            docs: Vec::new(),
            target: self.path("target-path", "target"),
            logs: self.path("log-path", "logs"),
            packages: self.path("packages-install-path", "dbt_packages"),
            clean: Vec::new(),
        };
        paths.docs = self.list("docs-paths").unwrap_or_else(|| paths.sources());
        paths.clean = self
            .list("clean-targets")
            .unwrap_or_else(|| vec![paths.target.clone()]);
        paths
    }

    fn path(&mut self, key: &str, default: &str) -> String {
        match self.scalar(key) {
            Some(text) => clean_path(&text),
            None => default.to_owned(),
        }
    }

    fn rendered_mapping(&mut self, key: &str) -> serde_json::Map<String, Json> {
        match self.rendered(key) {
            Some((value, json)) => self.as_map(key, &value, json),
            None => serde_json::Map::new(),
        }
    }

    fn plain_mapping(&mut self, key: &str) -> serde_json::Map<String, Json> {
        match self.tree.get(key) {
            Some(value) => self.as_map(key, &value.clone(), value.to_json()),
            None => serde_json::Map::new(),
        }
    }

    fn as_map(&mut self, key: &str, value: &Yaml, json: Json) -> serde_json::Map<String, Json> {
        match json {
            Json::Object(map) => map,
            Json::Null => serde_json::Map::new(),
            _ => {
                self.push(*value.wrong_shape(&format!("`{key}`"), "a mapping", self.file));
                serde_json::Map::new()
            }
        }
    }

    fn quoting(&mut self) -> PartialQuoting {
        let mut quoting = PartialQuoting::default();
        let Some((value, json)) = self.rendered("quoting") else {
            return quoting;
        };
        if json.is_null() {
            return quoting;
        }
        let entries = value.expect_mapping("`quoting`", self.file);
        for (key, value) in self.keep(entries).unwrap_or_default() {
            let slot = match key.text.as_str() {
                "database" | "project" => &mut quoting.database,
                "schema" => &mut quoting.schema,
                "identifier" => &mut quoting.identifier,
                "snowflake_ignore_case" => continue,
                _ => {
                    let parts = ["database", "schema", "identifier"];
                    self.unknown_part(key, "`quoting`", &parts);
                    continue;
                }
            };
            if !value.is_null() {
                *slot = self.keep(value.expect_bool(&format!("`{}`", key.text), self.file));
            }
        }
        quoting
    }

    fn unknown_part(&mut self, key: &YamlKey, of: &str, known: &[&str]) {
        let help = match nearest(&key.text, known.iter().copied()) {
            Some(near) => format!("`{near}` is a key"),
            None => format!("the keys are {}", backticked(known)),
        };
        self.diagnostics.push(
            Diagnostic::warning(
                Code::UnknownKey,
                format!("nothing reads the key `{}` of {of}", key.text),
            )
            .at(key.span(self.file))
            .help(help),
        );
    }

    fn dispatch(&mut self) -> IndexMap<String, Vec<String>> {
        let mut orders = IndexMap::new();
        let Some((value, json)) = self.rendered("dispatch") else {
            return orders;
        };
        if json.is_null() {
            return orders;
        }
        let items = value.expect_sequence("`dispatch`", self.file);
        for item in self.keep(items).unwrap_or_default() {
            let namespace = item.get("macro_namespace").and_then(Yaml::as_str);
            let order = item.get("search_order").filter(|order| {
                matches!(order.value, YamlValue::Sequence(_))
                    && order.items().iter().all(|item| item.as_str().is_some())
            });
            match (namespace, order) {
                (Some(namespace), Some(order)) => {
                    let order = order.items().iter().filter_map(Yaml::as_str);
                    orders.insert(namespace.to_owned(), order.map(str::to_owned).collect());
                }
                _ => self.diagnostics.push(
                    Diagnostic::error(
                        Code::YamlShape,
                        "an entry of `dispatch` must have a `macro_namespace` and a `search_order`",
                    )
                    .at(item.span(self.file))
                    .help("write `- macro_namespace: dbt_utils` and `search_order: [my_project, dbt_utils]`"),
                ),
            }
        }
        orders
    }

    fn hooks(&mut self, key: &str) -> Vec<Yaml> {
        let Some(value) = self.tree.get(key) else {
            return Vec::new();
        };
        let candidates = match &value.value {
            YamlValue::Null => return Vec::new(),
            YamlValue::String(_) => std::slice::from_ref(value),
            _ => {
                let items = value.expect_sequence(&format!("`{key}`"), self.file);
                self.keep(items).unwrap_or_default()
            }
        };
        let mut hooks = Vec::new();
        for hook in candidates {
            match hook.expect_str(&format!("an entry of `{key}`"), self.file) {
                Ok(_) => hooks.push(hook.clone()),
                Err(error) => self.push(*error),
            }
        }
        hooks
    }

    fn configs(&mut self) -> IndexMap<String, Yaml> {
        let mut trees: IndexMap<String, Yaml> = IndexMap::new();
        for (written, word) in TREES {
            let Some((key, value)) = self.tree.get_entry(written) else {
                continue;
            };
            if trees.contains_key(*word) {
                self.diagnostics.push(
                    Diagnostic::error(
                        Code::YamlShape,
                        format!("`{written}` says the same as another key of this file"),
                    )
                    .at(key.span(self.file))
                    .help(format!("keep one key, `{word}`")),
                );
                continue;
            }
            if value.is_null() {
                continue;
            }
            match value.expect_mapping(&format!("`{written}`"), self.file) {
                Ok(_) => drop(trees.insert((*word).to_owned(), value.clone())),
                Err(error) => self.push(*error),
            }
        }
        trees
    }

    fn query_comment(&mut self) -> Option<Json> {
        let value = self.tree.get("query-comment")?;
        match &value.value {
            YamlValue::Null | YamlValue::String(_) => {}
            YamlValue::Mapping(entries) => {
                for (key, _) in entries {
                    let known = ["comment", "append", "job-label"];
                    if !known.contains(&key.text.as_str()) && key.text != "job_label" {
                        self.unknown_part(key, "`query-comment`", &known);
                    }
                }
            }
            _ => {
                self.push(*value.wrong_shape("`query-comment`", "text or a mapping", self.file));
                return None;
            }
        }
        Some(value.to_json())
    }
}

fn clean_path(text: &str) -> String {
    let mut text = text;
    while let Some(rest) = text.strip_prefix("./") {
        text = rest;
    }
    let trimmed = text.trim_end_matches('/');
    if trimmed.is_empty() { text } else { trimmed }.to_owned()
}

fn is_identifier(name: &str) -> bool {
    let mut letters = name.chars();
    letters
        .next()
        .is_some_and(|first| first.is_alphabetic() || first == '_')
        && letters.all(|letter| letter.is_alphanumeric() || letter == '_')
}

fn backticked(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

#[cfg(test)]
mod tests;
