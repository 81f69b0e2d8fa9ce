//! `profiles.yml`: which database, and how to reach it.
//!
//! Only the chosen target is rendered, so that a variable that another target needs may be missing.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use crate::diagnostic::{Code, Diagnostic, nearest};
use crate::dialect::{self, Dialect};
use crate::secrets::Redactor;
use crate::source::{SourceFile, Span};
use crate::yaml::{self, Yaml, YamlValue};

use super::project::ProjectFile;
use super::{RenderText, has_jinja, render_tree};

/// The file with the profiles.
pub const FILE_NAME: &str = "profiles.yml";

/// The key of an output under which its further connections stand.
const CONNECTIONS: &str = "connections";

/// One output of a profile, rendered.
pub struct Target {
    /// The profile's name.
    pub profile: String,
    /// The output's name.
    pub name: String,
    /// Its `type`, as a dialect.
    pub dialect: &'static Dialect,
    /// `database` (also `dbname`; for the embedded database the file's stem).
    pub database: String,
    /// `schema`.
    pub schema: String,
    /// `threads`, default 1.
    pub threads: usize,
    /// Every field as rendered; secrets among them, so this never reaches Debug, logs or artifacts.
    ///
    /// Fields with two names are there under both.
    pub fields: Map<String, Json>,
    /// Where it stands; `None` for the embedded default.
    pub span: Option<Span>,
    /// Where `profiles.yml` lies; `None` for the embedded default.
    pub file: Option<Arc<SourceFile>>,
    /// Its further connections by name, in the order of the file: each a target with the same name.
    pub connections: Vec<(Arc<str>, Arc<Target>)>,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({}.{})", self.profile, self.name)
    }
}

/// Where to look for a profile, and which one.
#[derive(Clone, Debug, Default)]
pub struct ProfileRequest {
    /// `--profiles-dir` or `DBT_PROFILES_DIR`.
    pub profiles_dir: Option<PathBuf>,
    /// `--profile` or `DBT_PROFILE`, over the project's own.
    pub profile: Option<String>,
    /// `--target` or `DBT_TARGET`.
    pub target: Option<String>,
    /// The user's home, whose folder `.dbt` is looked into last.
    pub home: Option<PathBuf>,
    /// The variables that a database's own client library reads; passwords may be among them.
    pub environment: BTreeMap<String, String>,
}

/// Finds and reads the profile of a project.
///
/// The order is dbt's: the folder asked for and no other, else the project's root, else `~/.dbt`.
/// A project that names no profile gets an embedded database in `.daygrain/warehouse.duckdb`.
///
/// # Errors
/// A missing file, profile, target or field, each with the file that was read.
pub fn read(
    project: &ProjectFile,
    request: &ProfileRequest,
    render: &RenderText<'_>,
) -> Result<Target, Vec<Diagnostic>> {
    let Some(name) = request.profile.as_ref().or(project.profile.as_ref()) else {
        return embedded(request).map_err(|error| vec![*error]);
    };
    let file = find(project, request, name).map_err(|error| vec![*error])?;
    let tree = yaml::parse(&file).map_err(|error| vec![without_secrets(*error)])?;
    let mut reader = Reader {
        file: &file,
        render,
        errors: Vec::new(),
    };
    match reader.target(&tree, name, request) {
        Some(target) if reader.errors.is_empty() => Ok(target),
        _ => Err(reader.errors.into_iter().map(without_secrets).collect()),
    }
}

/// Takes lines that may hold a secret out of what an error shows.
fn without_secrets(mut error: Diagnostic) -> Diagnostic {
    let (hidden, shown) = std::mem::take(&mut error.labels)
        .into_iter()
        .partition(|label| {
            let text = &label.span.file.text;
            let start = text[..label.span.range.start]
                .rfind('\n')
                .map_or(0, |at| at + 1);
            let end = text[label.span.range.end..]
                .find('\n')
                .map_or(text.len(), |at| label.span.range.end + at);
            // Keys only: the name of a variable in a value is no secret.
            let keys = text[start..end].split(['\n', ',', '{']);
            keys.filter_map(|entry| entry.split_once(':'))
                .any(|(key, _)| is_secret(key.trim().trim_matches(['"', '\''])))
        });
    error.labels = shown;
    let hidden: Vec<crate::diagnostic::Label> = hidden;
    for label in hidden {
        let (line, column) = label.span.start();
        let path = &label.span.file.path;
        error = error.note(format!(
            "at {path}:{line}:{column}, a line that is not shown"
        ));
    }
    error
}

/// The secrets of a target's profile, for masking.
///
/// One that equals a field which is no secret (a user `postgres` with the password `postgres`) hides
/// nothing, and masking it would make every text unreadable; so would one of a few letters.
pub fn secrets(target: &Target) -> Redactor {
    const FEWEST: usize = 4;
    let (mut secrets, mut known) = (Vec::new(), Vec::new());
    let connections = target.connections.iter().map(|(_, target)| &**target);
    for (key, value) in std::iter::once(target)
        .chain(connections)
        .flat_map(|target| &target.fields)
    {
        sort_out(value, is_secret(key), &mut secrets, &mut known);
    }
    secrets.retain(|secret| secret.len() >= FEWEST && !known.contains(secret));
    Redactor::of(secrets)
}

fn sort_out(value: &Json, secret: bool, secrets: &mut Vec<String>, known: &mut Vec<String>) {
    match value {
        Json::Object(fields) => {
            for (key, value) in fields {
                sort_out(value, secret || is_secret(key), secrets, known);
            }
        }
        Json::Array(items) => {
            for item in items {
                sort_out(item, secret, secrets, known);
            }
        }
        scalar => {
            let into = if secret { secrets } else { known };
            into.extend(scalar_text(scalar));
        }
    }
}

/// What templates see as `target`: the public fields, never a password.
pub fn target_facts(target: &Target) -> Map<String, Json> {
    let fields = &target.dialect.profile;
    let mut facts = Map::new();
    let mut add = |name: &str, value: Json| drop(facts.insert(name.to_owned(), value));
    for name in fields.public {
        let value = target.fields.get(*name).cloned().unwrap_or(Json::Null);
        add(name, value);
    }
    for (alias, name) in fields.aliases {
        if fields.public.contains(name) {
            let value = target.fields.get(*name).cloned().unwrap_or(Json::Null);
            add(alias, value);
        }
    }
    add("database", target.database.as_str().into());
    if fields.aliases.contains(&("dbname", "database")) {
        add("dbname", target.database.as_str().into());
    }
    add("schema", target.schema.as_str().into());
    add("type", target.dialect.name.into());
    add("threads", target.threads.into());
    add("name", target.name.as_str().into());
    add("target_name", target.name.as_str().into());
    add("profile_name", target.profile.as_str().into());
    if !target.connections.is_empty() {
        let names = target
            .connections
            .iter()
            .map(|(name, _)| Json::from(&**name));
        add("connections", names.collect());
    }
    facts
}

/// The target of a project that names no profile.
fn embedded(request: &ProfileRequest) -> Result<Target, Box<Diagnostic>> {
    const NAME: &str = "dev";
    if let Some(asked) = request.target.as_ref().filter(|asked| *asked != NAME) {
        let message =
            format!("no target `{asked}`: the project names no profile, so there is only `{NAME}`");
        return Err(Box::new(
            Diagnostic::error(Code::MissingProfile, message)
                .help("add `profile:` to `dbt_project.yml`, and the profile to `profiles.yml`"),
        ));
    }
    let dialect = dialect::embedded();
    let path = format!(".daygrain/warehouse.{}", dialect.name);
    let schema = dialect.default_schema;
    let mut fields = Map::new();
    fields.insert("type".to_owned(), dialect.name.into());
    fields.insert("path".to_owned(), path.as_str().into());
    fields.insert("schema".to_owned(), schema.into());
    Ok(Target {
        profile: "daygrain".to_owned(),
        name: NAME.to_owned(),
        dialect,
        database: database_of_path(&path),
        schema: schema.to_owned(),
        threads: 4,
        fields,
        span: None,
        file: None,
        connections: Vec::new(),
    })
}

/// Reads the first `profiles.yml` in dbt's order.
fn find(
    project: &ProjectFile,
    request: &ProfileRequest,
    name: &str,
) -> Result<Arc<SourceFile>, Box<Diagnostic>> {
    let folders = match &request.profiles_dir {
        Some(folder) => vec![folder.clone()],
        None => std::iter::once(project.root.clone())
            .chain(request.home.as_ref().map(|home| home.join(".dbt")))
            .collect(),
    };
    for folder in &folders {
        let path = folder.join(FILE_NAME);
        match std::fs::read_to_string(&path) {
            Ok(text) => return Ok(source(project, path, text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                let message = format!("cannot read `{}`: {error}", path.display());
                return Err(Box::new(Diagnostic::error(Code::Io, message)));
            }
        }
    }
    let message = format!("no `{FILE_NAME}` with the profile `{name}`");
    let mut error = Diagnostic::error(Code::MissingProfile, message)
        .help("name its folder with `--profiles-dir`, or take `profile:` out of `dbt_project.yml`");
    for folder in &folders {
        error = error.note(format!("looked in `{}`", folder.display()));
    }
    Err(Box::new(error))
}

fn source(project: &ProjectFile, path: PathBuf, text: String) -> Arc<SourceFile> {
    let shown = path.strip_prefix(&project.root).unwrap_or(&path);
    Arc::new(SourceFile {
        path: shown.to_string_lossy().into_owned(),
        absolute: path,
        text,
    })
}

struct Reader<'a> {
    file: &'a Arc<SourceFile>,
    render: &'a RenderText<'a>,
    errors: Vec<Diagnostic>,
}

impl Reader<'_> {
    fn target(&mut self, tree: &Yaml, name: &str, request: &ProfileRequest) -> Option<Target> {
        if !tree.is_mapping() && !tree.is_null() {
            self.push(*tree.wrong_shape(&format!("`{FILE_NAME}`"), "a mapping", self.file));
            return None;
        }
        let Some((key, profile)) = tree.get_entry(name) else {
            self.no_profile(tree, name);
            return None;
        };
        let wrong = profile.expect_mapping(&format!("the profile `{name}`"), self.file);
        self.keep(wrong)?;
        let target = self.target_name(profile, request)?;
        let Some(outputs) = profile.get("outputs") else {
            let message = format!("the profile `{name}` has no `outputs`");
            self.errors.push(
                Diagnostic::error(Code::BadProfile, message)
                    .at(key.span(self.file))
                    .help("add `outputs:`, and below it a mapping for each target"),
            );
            return None;
        };
        let wrong = outputs.expect_mapping("`outputs`", self.file);
        self.keep(wrong)?;
        let Some((key, output)) = outputs.get_entry(&target) else {
            let names = names(outputs);
            let message = format!("the profile `{name}` has no target `{target}`");
            let help = match nearest(&target, names.iter().copied()) {
                Some(near) => format!("a target named `{near}` exists"),
                None => format!("its targets are {}", backticked(&names)),
            };
            let place = match profile.get("target") {
                Some(value) if request.target.is_none() => value.span(self.file),
                _ => key_of(outputs, profile, self.file),
            };
            self.errors.push(
                Diagnostic::error(Code::MissingProfile, message)
                    .at(place)
                    .help(help),
            );
            return None;
        };
        let wrong = output.expect_mapping(&format!("the target `{target}`"), self.file);
        self.keep(wrong)?;
        let span = key.span(self.file);
        let connections = self.connections(name, &target, output, request);
        let mut read = self.output(name, target, output, span, request)?;
        read.connections = connections;
        Some(read)
    }

    /// The connections beside the output's own: a mapping from their names to fields as an output has.
    fn connections(
        &mut self,
        profile: &str,
        target: &str,
        output: &Yaml,
        request: &ProfileRequest,
    ) -> Vec<(Arc<str>, Arc<Target>)> {
        let Some(all) = output.get(CONNECTIONS).filter(|all| !all.is_null()) else {
            return Vec::new();
        };
        let wrong = all.expect_mapping("`connections`", self.file);
        if self.keep(wrong).is_none() {
            return Vec::new();
        }
        let mut read = Vec::new();
        for (key, fields) in all.entries() {
            let shown = format!("the connection `{}`", key.text);
            let wrong = fields.expect_mapping(&shown, self.file);
            if self.keep(wrong).is_none() {
                continue;
            }
            if let Some((nested, _)) = fields.get_entry(CONNECTIONS) {
                let message = format!("{shown} has connections of its own");
                self.errors.push(
                    Diagnostic::error(Code::BadProfile, message)
                        .at(nested.span(self.file))
                        .help("name all of them below the target"),
                );
                continue;
            }
            let span = key.span(self.file);
            let target = target.to_owned();
            if let Some(connection) = self.output(profile, target, fields, span, request) {
                read.push((Arc::from(key.text.as_str()), Arc::new(connection)));
            }
        }
        read
    }

    fn push(&mut self, error: Diagnostic) {
        self.errors.push(error);
    }

    fn keep<T>(&mut self, result: Result<T, Box<Diagnostic>>) -> Option<T> {
        result.map_err(|error| self.push(*error)).ok()
    }

    fn no_profile(&mut self, tree: &Yaml, name: &str) {
        let mut names = names(tree);
        names.retain(|name| *name != "config");
        let file = &self.file.path;
        let message = format!("`{file}` has no profile `{name}`");
        let help = match nearest(name, names.iter().copied()) {
            Some(near) => format!("a profile named `{near}` exists"),
            None if names.is_empty() => format!("add the profile `{name}` to it"),
            None => format!("its profiles are {}", backticked(&names)),
        };
        let absolute = self.file.absolute.display();
        self.errors.push(
            Diagnostic::error(Code::MissingProfile, message)
                .note(format!("looked in `{absolute}`"))
                .help(help),
        );
    }

    fn target_name(&mut self, profile: &Yaml, request: &ProfileRequest) -> Option<String> {
        if let Some(target) = &request.target {
            return Some(target.clone());
        }
        let Some(value) = profile.get("target").filter(|value| !value.is_null()) else {
            return Some("default".to_owned());
        };
        let before = self.errors.len();
        let rendered = render_tree(value, self.file, self.render, &mut self.errors);
        if self.errors.len() > before {
            return None;
        }
        let name = rendered.expect_str("`target`", self.file);
        self.keep(name.map(str::to_owned))
    }

    fn output(
        &mut self,
        profile: &str,
        name: String,
        output: &Yaml,
        span: Span,
        request: &ProfileRequest,
    ) -> Option<Target> {
        let mut fields = Map::new();
        for (key, value) in output.entries() {
            if key.text == CONNECTIONS {
                continue;
            }
            let rendered = self.field(&key.text, value);
            fields.insert(key.text.clone(), rendered);
        }
        let dialect = self.dialect(output, &fields, &name, &span)?;
        for (alias, kept) in dialect.profile.aliases {
            if let Some(value) = fields.get(*alias).cloned() {
                fields.entry(*kept).or_insert(value);
            } else if let Some(value) = fields.get(*kept).cloned() {
                fields.insert((*alias).to_owned(), value);
            }
        }
        add_surroundings(&mut fields, dialect, request);
        for field in dialect.profile.required {
            self.require(field, dialect, &fields, &name, &span);
        }
        let text = |field: &str| scalar_text(fields.get(field)?);
        let schema = text("schema").unwrap_or_else(|| dialect.default_schema.to_owned());
        let database = if dialect.profile.embedded {
            self.embedded_database(output, &fields)
        } else {
            text("database").unwrap_or_default()
        };
        let threads = self.threads(output, &fields);
        Some(Target {
            profile: profile.to_owned(),
            name,
            dialect,
            database,
            schema,
            threads,
            fields,
            span: Some(span),
            file: Some(Arc::clone(self.file)),
            connections: Vec::new(),
        })
    }

    /// A rendered field. What looks like a number in a secret stays the text that was written.
    fn field(&mut self, key: &str, value: &Yaml) -> Json {
        let mut errors = Vec::new();
        let rendered = render_tree(value, self.file, self.render, &mut errors);
        if !is_secret(key) {
            self.errors.extend(errors);
            return rendered.to_json();
        }
        if matches!(key, "password" | "pass") && !errors.is_empty() {
            // A password may look like Jinja without being any; a variable that is not set is an error.
            if errors.iter().all(|error| error.code != Code::MissingEnvVar) {
                return value.to_json();
            }
        }
        self.errors.extend(errors);
        match (&value.value, &rendered.value) {
            (YamlValue::Int(_) | YamlValue::Float(_) | YamlValue::Bool(_), _) => {
                let written = self.file.text.get(value.range.clone());
                written.map_or_else(|| value.to_json(), Json::from)
            }
            (_, YamlValue::Int(_) | YamlValue::Float(_) | YamlValue::Bool(_)) => {
                rendered.to_json().to_string().into()
            }
            _ => rendered.to_json(),
        }
    }

    fn dialect(
        &mut self,
        output: &Yaml,
        fields: &Map<String, Json>,
        target: &str,
        span: &Span,
    ) -> Option<&'static Dialect> {
        let supported: Vec<&str> = dialect::ALL.iter().map(|dialect| dialect.name).collect();
        let Some(value) = fields.get("type").filter(|value| !value.is_null()) else {
            // A type that did not render has its error already.
            if !output
                .get("type")
                .and_then(Yaml::as_str)
                .is_some_and(has_jinja)
            {
                let message = format!("the target `{target}` has no `type`");
                self.errors.push(
                    Diagnostic::error(Code::BadProfile, message)
                        .at(span.clone())
                        .help(format!("add `type:`, one of {}", backticked(&supported))),
                );
            }
            return None;
        };
        let name = scalar_text(value).unwrap_or_default();
        let found = dialect::by_name(&name);
        if found.is_none() {
            let help = match nearest(&name, supported.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("the types are {}", backticked(&supported)),
            };
            let message = format!("the `type` `{name}` is not supported");
            self.errors.push(
                Diagnostic::error(Code::BadProfile, message)
                    .at(place(output, "type", self.file))
                    .help(help),
            );
        }
        found
    }

    fn require(
        &mut self,
        field: &str,
        dialect: &Dialect,
        fields: &Map<String, Json>,
        target: &str,
        span: &Span,
    ) {
        let aliases = dialect.profile.aliases.iter();
        let spellings: Vec<&str> = std::iter::once(field)
            .chain(
                aliases
                    .filter(|(_, kept)| *kept == field)
                    .map(|(alias, _)| *alias),
            )
            .collect();
        let written = spellings.iter().any(|name| fields.contains_key(*name));
        // One that is there and null has failed to render, or is empty: dbt refuses it too.
        let failed = !self.errors.is_empty();
        match fields.get(field) {
            Some(value) if scalar_text(value).is_some() => {}
            Some(Json::Null) if written && failed => {}
            _ => {
                let near = fields.keys().map(String::as_str);
                let help = match nearest(field, near.filter(|name| !spellings.contains(name))) {
                    Some(near) => format!("rename `{near}` to `{field}`"),
                    None => format!("add `{}:` to it", spellings.last().unwrap_or(&field)),
                };
                let message = format!("the target `{target}` has no `{field}`");
                self.errors.push(
                    Diagnostic::error(Code::BadProfile, message)
                        .at(span.clone())
                        .help(help),
                );
            }
        }
    }

    /// The file's name without what follows its first dot, which `database` may not contradict.
    fn embedded_database(&mut self, output: &Yaml, fields: &Map<String, Json>) -> String {
        let path = fields.get("path").and_then(scalar_text);
        let stem = database_of_path(path.as_deref().unwrap_or(":memory:"));
        let Some(database) = fields.get("database").and_then(scalar_text) else {
            return stem;
        };
        let attached = fields.get("attach").and_then(Json::as_array);
        let attached = attached
            .into_iter()
            .flatten()
            .any(|entry| entry.get("alias").and_then(Json::as_str) == Some(database.as_str()));
        if database != stem && !attached {
            let message = format!("`database` is `{database}`, but `path` makes it `{stem}`");
            self.errors.push(
                Diagnostic::error(Code::BadProfile, message)
                    .at(place(output, "database", self.file))
                    .help("leave `database` out"),
            );
        }
        database
    }

    fn threads(&mut self, output: &Yaml, fields: &Map<String, Json>) -> usize {
        let threads = match fields.get("threads") {
            None | Some(Json::Null) => Some(1),
            Some(Json::String(text)) => text.trim().parse().ok(),
            Some(value) => value.as_u64().and_then(|value| usize::try_from(value).ok()),
        };
        match threads {
            Some(threads) if threads > 0 => threads,
            _ => {
                self.errors.push(
                    Diagnostic::error(Code::BadProfile, "`threads` must be a whole number from 1")
                        .at(place(output, "threads", self.file))
                        .help("write `threads: 4`"),
                );
                1
            }
        }
    }
}

/// Adds what the profile leaves to the environment and to files in the user's home.
fn add_surroundings(fields: &mut Map<String, Json>, dialect: &Dialect, request: &ProfileRequest) {
    let variables = dialect.profile.environment.iter();
    let variables = variables.filter_map(|(field, variable)| {
        let value = request.environment.get(*variable)?;
        Some((*field, value.clone()))
    });
    let files = dialect.profile.home_files.iter();
    let files = files.filter_map(|(field, file)| {
        let path = request.home.as_ref()?.join(file);
        path.is_file()
            .then(|| (*field, path.to_string_lossy().into_owned()))
    });
    for (field, value) in variables.chain(files) {
        if fields.get(field).is_none_or(Json::is_null) {
            fields.insert(field.to_owned(), value.into());
        }
    }
}

fn place(tree: &Yaml, key: &str, file: &Arc<SourceFile>) -> Span {
    tree.get(key).unwrap_or(tree).span(file)
}

/// The key `outputs` of a profile.
fn key_of(outputs: &Yaml, profile: &Yaml, file: &Arc<SourceFile>) -> Span {
    match profile.get_entry("outputs") {
        Some((key, _)) => key.span(file),
        None => outputs.span(file),
    }
}

fn names(tree: &Yaml) -> Vec<&str> {
    let keys = tree.entries().iter();
    keys.map(|(key, _)| key.text.as_str()).collect()
}

fn backticked(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

fn scalar_text(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => Some(text.clone()),
        Json::Bool(_) | Json::Number(_) => Some(value.to_string()),
        _ => None,
    }
}

fn is_secret(key: &str) -> bool {
    matches!(key, "pass" | "passcode" | "private_key")
        || ["password", "passphrase", "token", "secret"]
            .iter()
            .any(|word| key.contains(word))
}

/// How the embedded database calls a file.
fn database_of_path(path: &str) -> String {
    if path == ":memory:" || path.is_empty() {
        return "memory".to_owned();
    }
    let name = Path::new(path).file_name().and_then(|name| name.to_str());
    let name = name.unwrap_or(path).trim_start_matches('.');
    name.split('.').next().unwrap_or(name).to_owned()
}

#[cfg(test)]
mod tests;
