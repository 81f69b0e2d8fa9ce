//! The SQL that reads files, by the built-in macros of the embedded database, and the session on a
//! database in memory that runs it where the target has no readers.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value as Json, json};
use tokio::runtime::Runtime;

use super::layout::{Field, Layout};
use super::pattern::bounds;
use super::spec::{Compression, FileColumn, FileSource, Format, Header, Kind};
use crate::adapter::{self, Adapter, AdapterError, AdapterErrorKind, Connection};
use crate::config::profile::Target;
use crate::diagnostic::{Code, Diagnostic};
use crate::dialect::{self, Dialect};
use crate::jinja::language::{Engine, Lookup, Scope, from_json};
use crate::jinja::{Value, builtin};
use crate::table::Table;

/// The macros of a dialect that have to do with files.
pub(super) struct Macros {
    engine: Engine,
    scope: Scope,
}

impl Macros {
    pub(super) fn of(dialect: &Dialect) -> Macros {
        let mut files = builtin::macro_files(dialect);
        files.retain(|file| file.file.path.ends_with("/landing.sql"));
        let lookup = Lookup {
            root: builtin::PACKAGE.into(),
            dialect: dialect.name.into(),
            builtin: builtin::packages(dialect),
            ..Lookup::default()
        };
        let (engine, faults) = Engine::new(&files, lookup);
        debug_assert!(faults.is_empty(), "the built-in macros are sound");
        let scope = Scope {
            package: builtin::PACKAGE.into(),
            root: Value::from(()),
        };
        Macros { engine, scope }
    }

    /// Renders a macro.
    pub(super) fn sql(&self, name: &str, args: &[Json]) -> Result<String, Box<Diagnostic>> {
        let args: Vec<Value> = args.iter().map(from_json).collect();
        let text = self.engine.call(name, &args, &[], &self.scope)?;
        Ok(text.to_string())
    }
}

/// A file that is read.
pub(super) struct Located<'a> {
    pub partition: &'a str,
    pub layout: &'a Layout,
    pub path: &'a Path,
    pub gzip: bool,
    /// Its path as users see it.
    pub shown: &'a str,
}

/// Writes a text as a literal of the embedded database.
pub(super) fn literal(text: &str) -> String {
    dialect::embedded().string_literal(text)
}

fn quoted(name: &str) -> String {
    dialect::embedded().quote_identifier(name)
}

/// Files as the macros take them: in parts that one reader can read.
pub(super) fn parts_json(source: &FileSource, files: &[Located<'_>], typing: Typing) -> Vec<Json> {
    let mut parts: BTreeMap<(&Layout, bool), Vec<&Located<'_>>> = BTreeMap::new();
    for file in files {
        parts
            .entry((file.layout, file.gzip))
            .or_default()
            .push(file);
    }
    let parts = parts.into_iter().map(|((layout, gzip), files)| {
        let fields: Vec<Json> = layout
            .fields
            .iter()
            .map(|field| field_json(source, field))
            .collect();
        let held = layout.fields.iter().filter_map(|field| {
            let column = &source.columns[field.column?];
            Some((column.name.clone(), field_json(source, field)))
        });
        let held: Map<String, Json> = held.collect();
        let files: Vec<Json> = files
            .iter()
            .map(|file| {
                let mut json = bounds_json(source, file.partition, typing);
                let path = literal(&file.path.to_string_lossy());
                json.insert("path".to_owned(), path.into());
                json.into()
            })
            .collect();
        let compression = if gzip { "gzip" } else { "uncompressed" };
        json!({ "files": files, "fields": fields, "held": held, "compression": compression })
    });
    parts.collect()
}

/// What a partition's name means as SQL: a value and, where its column has an order in time, bounds.
pub(super) fn bounds_json(
    source: &FileSource,
    partition: &str,
    typing: Typing,
) -> Map<String, Json> {
    let column = &source.columns[source.field];
    let range = match column.kind {
        Kind::Date | Kind::Timestamp | Kind::TimestampTz => bounds(partition),
        _ => None,
    };
    let data_type = type_of(column, typing);
    let cast = |text: &str| format!("cast({} as {data_type})", literal(text));
    let write = |at: jiff::civil::DateTime| match column.kind {
        Kind::Date => cast(&at.date().to_string()),
        Kind::TimestampTz => cast(&format!("{at}+00")),
        _ => cast(&at.to_string()),
    };
    let mut json = Map::new();
    match range {
        Some((from, to)) => {
            json.insert("key".to_owned(), write(from).into());
            json.insert("from".to_owned(), write(from).into());
            json.insert("to".to_owned(), write(to).into());
            json.insert("equal".to_owned(), Json::Null);
        }
        None => {
            json.insert("key".to_owned(), cast(partition).into());
            json.insert("from".to_owned(), "null".into());
            json.insert("to".to_owned(), "null".into());
            json.insert("equal".to_owned(), cast(partition).into());
        }
    }
    json
}

/// A field of a file as the macros take it.
pub(super) fn field_json(source: &FileSource, field: &Field) -> Json {
    json!({
        "literal": literal(&field.name),
        "quoted": quoted(&field.name),
        "read_as": read_as(source, field),
    })
}

/// The type that a reader gives a field.
fn read_as(source: &FileSource, field: &Field) -> String {
    if let Some(own) = &field.data_type {
        return own.to_lowercase();
    }
    let Some(column) = field.column.map(|at| &source.columns[at]) else {
        return "varchar".to_owned();
    };
    match (&source.format, column.kind) {
        (Format::Csv(_), Kind::Double | Kind::Boolean) => reader_type(column),
        _ => "varchar".to_owned(),
    }
}

/// The columns as the macros take them; `own` tells whether the embedded database is the target itself.
pub(super) fn columns_json(source: &FileSource, own: Typing) -> Json {
    let columns = source.columns.iter().enumerate().map(|(at, column)| {
        let kind = match column.kind {
            Kind::SmallInt | Kind::Integer | Kind::BigInt => "integer",
            Kind::Number(Some(_)) => "decimal",
            // Without digits, the embedded database's own default.
            Kind::Number(None) if own == Typing::Declared => "decimal",
            Kind::Date => "date",
            Kind::Timestamp => "timestamp",
            Kind::TimestampTz => "instant",
            _ => "plain",
        };
        let scale = match column.kind {
            Kind::Number(Some((_, scale))) => scale,
            _ => DEFAULT_SCALE,
        };
        let data_type = type_of(column, own);
        json!({
            "name": column.name,
            "quoted": quoted(&column.name),
            "kind": kind,
            "type": data_type,
            "scale": scale,
            "is_field": at == source.field,
        })
    });
    columns.collect::<Vec<Json>>().into()
}

/// The digits after the point of the embedded database's `numeric`.
const DEFAULT_SCALE: u8 = 3;

/// Whose type names are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Typing {
    /// The declared ones: the target is the embedded database.
    Declared,
    /// What every database knows; what it does not stays text, and the target reads it.
    Portable,
}

/// The type that a column has in a statement.
fn type_of(column: &FileColumn, typing: Typing) -> String {
    match typing {
        Typing::Declared => column.data_type.clone(),
        Typing::Portable => reader_type(column),
    }
}

/// The type of the embedded database that holds a column's values on their way to another.
fn reader_type(column: &FileColumn) -> String {
    let plain = match column.kind {
        Kind::SmallInt => "smallint",
        Kind::Integer => "integer",
        Kind::BigInt => "bigint",
        Kind::Number(Some((digits, scale))) if digits <= 38 && digits > 0 && scale <= digits => {
            return format!("decimal({digits}, {scale})");
        }
        Kind::Double => "double",
        Kind::Boolean => "boolean",
        Kind::Date => "date",
        Kind::Timestamp => "timestamp",
        Kind::TimestampTz => "timestamptz",
        Kind::Number(_) | Kind::Text | Kind::Other => "varchar",
    };
    plain.to_owned()
}

/// How the files are read, as the macros take it.
pub(super) fn options_json(source: &FileSource, typing: Typing) -> Json {
    let ahead = (typing == Typing::Portable).then_some(READ_AHEAD);
    let mut json = json!({ "format": source.format.as_str(), "read_ahead": ahead });
    if let Format::Csv(options) = &source.format {
        let one = |byte: u8| literal(&char::from(byte).to_string());
        json["header"] = (if options.header == Header::Named {
            "true"
        } else {
            "false"
        })
        .into();
        json["delimiter"] = one(options.delimiter).into();
        json["quote"] = one(options.quote).into();
        json["escape"] = one(options.escape).into();
        json["null"] = literal(&options.null).into();
    }
    json
}

/// Tells whether a file is packed.
pub(super) fn is_gzip(source: &FileSource, path: &str) -> bool {
    let compression = match &source.format {
        Format::Csv(options) => options.compression,
        Format::Json(compression) => *compression,
        Format::Parquet => Compression::None,
    };
    compression.is_gzip(path)
}

/// What the database in memory may hold; more than that lies in files.
const MOST_MEMORY: &str = "64MB";

/// How many threads read files: each takes memory for what it reads ahead.
const THREADS: &str = "1";

/// How many bytes of a CSV are read at once, of which there are two; more than its longest line has.
const READ_AHEAD: u32 = 4 << 20;

/// What reads files where the target cannot: sessions on one database in memory, which is opened when it
/// is first needed. So they share its memory, however many there are.
#[derive(Default)]
pub struct Readers {
    opened: Mutex<Option<Arc<Opened>>>,
}

impl Readers {
    /// Closes the database and removes what it has spilled; who reads later opens it anew.
    pub fn close(&self) {
        drop(lock(&self.opened).take());
    }
}

/// The database in memory.
struct Opened {
    adapter: Arc<dyn Adapter>,
    macros: Macros,
    /// Held while a file is read: what is read ahead must fit into the memory.
    turn: Mutex<()>,
    /// Where the database spills what does not fit into memory.
    _spill: tempfile::TempDir,
}

impl Opened {
    fn new() -> Result<Opened, Box<Diagnostic>> {
        let spill = tempfile::Builder::new()
            .prefix("daygrain-landing-")
            .tempdir()
            .map_err(|e| not_opened(&e))?;
        let fields = json!({
            "config_options": {
                "temp_directory": spill.path().to_string_lossy(),
                "memory_limit": MOST_MEMORY,
                "threads": THREADS,
            },
        });
        let target = Target {
            profile: "landing".to_owned(),
            name: "reader".to_owned(),
            dialect: dialect::embedded(),
            database: "memory".to_owned(),
            schema: dialect::embedded().default_schema.to_owned(),
            threads: 1,
            fields: fields.as_object().cloned().unwrap_or_default(),
            span: None,
            file: None,
            connections: Vec::new(),
        };
        Ok(Opened {
            adapter: adapter::open(&target, spill.path())?,
            macros: Macros::of(dialect::embedded()),
            turn: Mutex::default(),
            _spill: spill,
        })
    }
}

fn not_opened(error: &std::io::Error) -> Box<Diagnostic> {
    let message = format!("cannot open a database in memory to read files: {error}");
    Box::new(Diagnostic::error(Code::Io, message))
}

/// A session on the database in memory, whose zone is UTC whatever the machine's is. Its tables are its own.
pub(super) struct Reader {
    session: Mutex<(Runtime, Box<dyn Connection>)>,
    database: Arc<Opened>,
}

impl Reader {
    pub(super) fn open(readers: &Readers) -> Result<Reader, Box<Diagnostic>> {
        let mut opened = lock(&readers.opened);
        let database = match &*opened {
            Some(database) => Arc::clone(database),
            None => Arc::clone(opened.insert(Arc::new(Opened::new()?))),
        };
        drop(opened);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| not_opened(&e))?;
        let connection = runtime.block_on(database.adapter.connect());
        let reader = Reader {
            session: Mutex::new((runtime, connection.map_err(|e| told(&e))?)),
            database,
        };
        reader.set_utc()?;
        Ok(reader)
    }

    /// Makes UTC the session's zone; a build without zones has no such setting, and knows no other.
    fn set_utc(&self) -> Result<(), Box<Diagnostic>> {
        let known = self.macros().sql("landing_zone_setting", &[])?;
        if !self.stored(&known).map_err(|e| told(&e))?.rows.is_empty() {
            let set = self.macros().sql("landing_set_utc", &[])?;
            self.stored(&set).map_err(|e| told(&e))?;
        }
        Ok(())
    }

    pub(super) fn macros(&self) -> &Macros {
        &self.database.macros
    }

    /// Runs a statement that reads files; one after the other, whoever asks.
    pub(super) fn execute(&self, sql: &str) -> Result<(), AdapterError> {
        let _turn = lock(&self.database.turn);
        let (runtime, connection) = &mut *lock(&self.session);
        runtime.block_on(connection.execute(sql)).map(|_| ())
    }

    /// The rows of a query that reads files; one after the other, whoever asks.
    pub(super) fn fetch(&self, sql: &str) -> Result<Table, AdapterError> {
        let _turn = lock(&self.database.turn);
        self.stored(sql)
    }

    /// The rows of a query on the session's own tables.
    pub(super) fn stored(&self, sql: &str) -> Result<Table, AdapterError> {
        let (runtime, connection) = &mut *lock(&self.session);
        let fetched = runtime.block_on(connection.fetch(sql));
        fetched.map(|(_, table)| table)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The reader's own words as a diagnostic.
pub(super) fn told(error: &AdapterError) -> Box<Diagnostic> {
    let code = match error.kind {
        AdapterErrorKind::Cancelled => Code::Cancelled,
        _ => Code::Database,
    };
    Box::new(Diagnostic::error(code, error.message.clone()))
}
