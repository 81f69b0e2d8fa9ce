//! The driver of the embedded DuckDB.
//!
//! One database instance a process; the sessions are cloned from it, and the file is closed when the
//! adapter and the last of them are gone. Nothing is downloaded: extensions are neither installed nor
//! loaded behind the user's back.

mod decode;
mod session;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use duckdb::{AccessMode, Config, Connection as Database};
use futures_util::future::BoxFuture;
use serde_json::Value as Json;

use super::fields;
use super::{Access, Adapter, AdapterError, AdapterErrorKind, Connection};
use crate::config::profile::Target;
use crate::diagnostic::Diagnostic;
use crate::dialect::{DUCKDB, Dialect};
use session::Session;

/// The fields of a profile that this driver reads.
pub(super) const FIELDS: &[&str] = &["path", "settings", "config_options", "extensions", "attach"];

/// A database file, or one in memory.
struct DuckDb {
    setup: Setup,
    access: Access,
    /// The instance that all sessions share; open from the first one on.
    database: Mutex<Option<Database>>,
}

/// What the profile says.
#[derive(Debug)]
struct Setup {
    /// `None` for a database in memory.
    path: Option<PathBuf>,
    /// Options that the instance is opened with.
    options: Vec<(String, String)>,
    /// Statements that are run once, on the first session: extensions and attached databases.
    first: Vec<String>,
    /// Statements that every session starts with.
    each: Vec<String>,
}

/// Reads the profile.
pub(super) fn open(
    target: &Target,
    root: &Path,
    access: Access,
) -> Result<Arc<dyn Adapter>, Box<Diagnostic>> {
    Ok(Arc::new(DuckDb {
        setup: read(target, root)?,
        access,
        database: Mutex::new(None),
    }))
}

fn read(target: &Target, root: &Path) -> Result<Setup, Box<Diagnostic>> {
    let path = fields::text(target, "path")?.unwrap_or_else(|| ":memory:".to_owned());
    if path.starts_with("md:") || path.starts_with("motherduck:") {
        return Err(fields::refuse(
            target,
            "`path` names MotherDuck, which is not supported",
        ));
    }
    let path = (path != ":memory:").then(|| root.join(path));
    let stem = match &path {
        Some(path) => path.file_stem().unwrap_or_default().to_string_lossy(),
        None => "memory".into(),
    };
    if let Some(database) = fields::text(target, "database")?
        && database != stem
    {
        let message = format!("`database` is `{database}` and must be `{stem}`, as `path` says");
        return Err(fields::refuse(target, message));
    }

    let mut first = Vec::new();
    for extension in list(target, "extensions")? {
        let Json::String(name) = extension else {
            let message = "`extensions` takes names of installed extensions, as text";
            let mut refused = fields::refuse(target, message);
            refused.help =
                Some("install it with DuckDB's own client: nothing is downloaded here".into());
            return Err(refused);
        };
        first.push(format!("load {}", DUCKDB.quote_identifier(name)));
    }
    for entry in list(target, "attach")? {
        first.push(attach(target, root, entry)?);
    }
    let each = fields::scalars(target, "settings")?
        .into_iter()
        .map(|(name, value)| {
            let (name, value) = (
                DUCKDB.quote_identifier(&name),
                DUCKDB.string_literal(&value),
            );
            format!("set {name} = {value}")
        })
        .collect();
    Ok(Setup {
        path,
        options: fields::scalars(target, "config_options")?,
        first,
        each,
    })
}

fn list<'a>(target: &'a Target, key: &str) -> Result<&'a [Json], Box<Diagnostic>> {
    match fields::get(target, key) {
        None => Ok(&[]),
        Some(Json::Array(items)) => Ok(items),
        Some(_) => Err(fields::refuse(target, format!("`{key}` must be a list"))),
    }
}

/// Writes the statement that attaches a further database.
fn attach(target: &Target, root: &Path, entry: &Json) -> Result<String, Box<Diagnostic>> {
    let wrong = |message: &str| fields::refuse(target, format!("an entry of `attach` {message}"));
    let entry = entry
        .as_object()
        .ok_or_else(|| wrong("must be a mapping"))?;
    let mut path = None;
    let mut alias = String::new();
    let mut options = Vec::new();
    for (key, value) in entry {
        match (key.as_str(), value) {
            ("path", Json::String(text)) => path = Some(text),
            ("alias", Json::String(text)) => {
                alias = format!(" as {}", DUCKDB.quote_identifier(text));
            }
            ("type", Json::String(text)) => {
                options.push(format!("type {}", DUCKDB.quote_identifier(text)));
            }
            ("read_only", Json::Bool(true)) => options.push("read_only".to_owned()),
            ("read_only", Json::Bool(false)) => {}
            _ => return Err(wrong(&format!("has a `{key}` that is not understood"))),
        }
    }
    let path = path.ok_or_else(|| wrong("has no `path`"))?;
    let file = !path.contains(':') && !entry.contains_key("type");
    let path = if file {
        root.join(path).to_string_lossy().into_owned()
    } else {
        path.clone()
    };
    let options = match options.as_slice() {
        [] => String::new(),
        some => format!(" ({})", some.join(", ")),
    };
    Ok(format!(
        "attach {}{alias}{options}",
        DUCKDB.string_literal(&path)
    ))
}

impl DuckDb {
    /// Clones a session; the first one opens the database. Blocks.
    fn session(&self) -> Result<Database, AdapterError> {
        let mut slot = self
            .database
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        let session = match slot.as_ref() {
            Some(database) => database.try_clone().map_err(|e| session::failure(&e, ""))?,
            None => {
                let database = self.open()?;
                let session = database.try_clone().map_err(|e| session::failure(&e, ""))?;
                *slot = Some(database);
                session
            }
        };
        drop(slot);
        run(&session, &self.setup.each)?;
        Ok(session)
    }

    fn open(&self) -> Result<Database, AdapterError> {
        let mut config = Config::default()
            .enable_autoload_extension(false)
            .map_err(|e| session::failure(&e, ""))?;
        for (key, value) in &self.setup.options {
            config = config
                .with(key, value)
                .map_err(|e| session::failure(&e, ""))?;
        }
        let opened = match &self.setup.path {
            None => Database::open_in_memory_with_flags(config),
            Some(path) if self.access == Access::Reading && path.exists() => {
                let config = config
                    .access_mode(AccessMode::ReadOnly)
                    .map_err(|e| session::failure(&e, ""))?;
                Database::open_with_flags(path, config)
            }
            // What is not there is as good as empty, and is not made.
            Some(path) if self.access == Access::Reading => {
                let stem = path.file_stem().unwrap_or_default().to_string_lossy();
                let name = DUCKDB.quote_identifier(&stem);
                Database::open_in_memory_with_flags(config).and_then(|database| {
                    if stem != "memory" {
                        database.execute_batch(&format!("attach ':memory:' as {name}"))?;
                    }
                    Ok(database)
                })
            }
            Some(path) => {
                if let Some(folder) = path.parent() {
                    fs::create_dir_all(folder).map_err(|e| {
                        let message = format!("cannot create `{}`: {e}", folder.display());
                        AdapterError::new(AdapterErrorKind::Connection, message)
                    })?;
                }
                Database::open_with_flags(path, config)
            }
        };
        let database = opened.map_err(|e| {
            let mut error = session::failure(&e, "");
            if error.message.contains("Could not set lock on file") {
                error.kind = AdapterErrorKind::Locked;
                error.hint = Some(
                    "one process at a time may write to the file: \
                     end the other, or give this target another `path`"
                        .to_owned(),
                );
            } else {
                error.kind = AdapterErrorKind::Connection;
            }
            error
        })?;
        run(&database, &self.setup.first)?;
        Ok(database)
    }
}

/// Runs what the profile asks for; a failure names the statement.
fn run(database: &Database, statements: &[String]) -> Result<(), AdapterError> {
    for sql in statements {
        database.execute_batch(sql).map_err(|e| {
            let mut error = session::failure(&e, "");
            error.kind = AdapterErrorKind::Connection;
            error.detail = Some(format!("the profile asks for `{sql}`"));
            error
        })?;
    }
    Ok(())
}

impl Adapter for DuckDb {
    fn dialect(&self) -> &'static Dialect {
        &DUCKDB
    }

    fn connect(&self) -> BoxFuture<'_, Result<Box<dyn Connection>, AdapterError>> {
        Box::pin(async move {
            let database = session::blocking(|| self.session())?;
            Ok(Box::new(Session::new(database)) as Box<dyn Connection>)
        })
    }

    /// Opens a file that is there: a new one would stay behind should nothing be built.
    fn prepare(&self) {
        if self.setup.path.as_ref().is_some_and(|path| path.exists()) {
            let _ = self.session();
        }
    }
}

#[cfg(test)]
mod tests;
