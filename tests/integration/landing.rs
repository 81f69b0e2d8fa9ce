//! Files as sources, on real databases: what is in the table afterwards, and what is said of bad files.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, mpsc};

use daygrain::adapter;
use daygrain::config::node_config::NodeConfig;
use daygrain::diagnostic::Diagnostic;
use daygrain::dialect::{self, Dialect, POSTGRES};
use daygrain::executor::RelationCache;
use daygrain::executor::session::{Session, SessionShared};
use daygrain::jinja::port::{Fetch, Transaction, Warehouse};
use daygrain::landing::{self, Destination, FileSource, LoadFailure, Surroundings};
use daygrain::manifest::{ColumnInfo, Source};
use daygrain::relation::Relation;
use daygrain::source::{SourceFile, Span};
use serde_json::{Map, Value as Json, json};

use crate::support::{postgres_fields, target};

/// A folder of files, and what finding them takes.
struct Folder {
    root: tempfile::TempDir,
    environment: BTreeMap<String, String>,
}

impl Folder {
    fn new() -> Folder {
        Folder {
            root: tempfile::tempdir().unwrap(),
            environment: BTreeMap::new(),
        }
    }

    fn write(&self, path: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    fn around(&self) -> Surroundings<'_> {
        Surroundings {
            root: self.root.path(),
            environment: &self.environment,
        }
    }

    /// Lists the files and loads them all; gives the counts and the rows.
    fn load(&self, source: &FileSource, session: &Session, dialect: &'static Dialect) -> Loaded {
        let listing = landing::list(source, self.around()).unwrap();
        let staging = landing::staging(dialect, "landed");
        let into = Destination {
            warehouse: session,
            dialect,
            staging: &staging,
        };
        let counts = landing::load(source, self.around(), &listing.files, into)?;
        let sql = format!("select * from {} order by 1, 2", staging.render(dialect));
        let table = session
            .query(&sql, Transaction::AsIs, Fetch::Rows)
            .unwrap()
            .table;
        let mut lines = vec![
            table
                .columns
                .iter()
                .map(|column| column.name.clone())
                .collect::<Vec<_>>()
                .join(" | "),
        ];
        for row in &table.rows {
            let cells: Vec<String> = row.iter().map(|datum| format!("{datum:?}")).collect();
            lines.push(cells.join(" | "));
        }
        lines.push(format!("{counts:?}"));
        Ok(lines.join("\n"))
    }

    /// What is wrong, by partition.
    fn faults(&self, source: &FileSource, session: &Session, dialect: &'static Dialect) -> String {
        match self.load(source, session, dialect) {
            Err(LoadFailure::Partitions(wrong)) => said(&wrong),
            other => panic!("{other:?}"),
        }
    }
}

type Loaded = Result<String, LoadFailure>;

fn said(wrong: &BTreeMap<String, Vec<Diagnostic>>) -> String {
    let mut texts = Vec::new();
    for (partition, faults) in wrong {
        texts.push(format!("--- {partition}"));
        texts.extend(faults.iter().map(Diagnostic::to_string));
    }
    texts.join("\n")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

fn session(dialect: &'static Dialect) -> Session {
    let fields = match dialect.profile.embedded {
        true => Map::new(),
        false => postgres_fields("public"),
    };
    let adapter = adapter::open(&target(dialect, fields), Path::new(".")).unwrap();
    let shared = SessionShared {
        adapter,
        cache: Arc::new(RelationCache::default()),
        events: mpsc::channel().0,
        cancellers: Mutex::default(),
        stopping: false.into(),
    };
    Session::new(Arc::new(shared)).unwrap()
}

/// A source's table; columns are written as `name type`.
fn declared(external: Json, columns: &[&str]) -> Source {
    let text = "tables:\n  - name: orders\n    external: ..\n";
    let file = SourceFile::inline("models/landing.yml", text);
    let columns = columns.iter().map(|column| {
        let (name, data_type) = column.split_once(' ').unwrap_or((column, ""));
        let info = ColumnInfo {
            name: name.to_owned(),
            data_type: (!data_type.is_empty()).then(|| data_type.to_owned()),
            ..ColumnInfo::default()
        };
        (name.to_owned(), info)
    });
    Source {
        unique_id: "source.shop.landing.orders".into(),
        package: "shop".into(),
        source_name: "landing".into(),
        name: "orders".into(),
        fqn: Vec::new(),
        original_path: "models/landing.yml".into(),
        span: Span::line(&file, 2),
        relation: Relation::new(dialect::embedded(), "dev", "landing", "orders"),
        identifier: "orders".into(),
        source_description: String::new(),
        description: String::new(),
        loader: String::new(),
        columns: columns.collect(),
        source_meta: Map::new(),
        meta: Map::new(),
        tags: Vec::new(),
        config: NodeConfig::default(),
        loaded_at_field: None,
        freshness: None,
        external: Some(external),
        quoting: Map::new(),
    }
}

#[track_caller]
fn read(source: &Source, dialect: &Dialect) -> FileSource {
    let mut found = Vec::new();
    let read = landing::file_source(source, dialect, &mut found);
    let texts: Vec<String> = found.iter().map(Diagnostic::to_string).collect();
    read.unwrap_or_else(|| panic!("{}", texts.join("\n")))
}

/// What reading a declaration says.
fn reading(source: &Source) -> String {
    let mut found = Vec::new();
    let read = landing::file_source(source, dialect::embedded(), &mut found);
    assert_eq!(read.is_none(), found.iter().any(Diagnostic::is_error));
    let texts: Vec<String> = found.iter().map(Diagnostic::to_string).collect();
    texts.join("\n")
}

/// Loads on the embedded database and on Postgres, and demands equal rows.
#[track_caller]
fn equal_rows(folder: &Folder, external: &Json, columns: &[&str]) -> String {
    let source = declared(external.clone(), columns);
    let here = dialect::embedded();
    let embedded = folder
        .load(&read(&source, here), &session(here), here)
        .unwrap_or_else(|failure| panic!("{failure:?}"));
    let server = folder
        .load(&read(&source, &POSTGRES), &session(&POSTGRES), &POSTGRES)
        .unwrap_or_else(|failure| panic!("{failure:?}"));
    assert_eq!(embedded, server);
    embedded
}

#[track_caller]
fn equal_faults(folder: &Folder, external: &Json, columns: &[&str]) -> String {
    let source = declared(external.clone(), columns);
    let here = dialect::embedded();
    let embedded = folder.faults(&read(&source, here), &session(here), here);
    let server = folder.faults(&read(&source, &POSTGRES), &session(&POSTGRES), &POSTGRES);
    assert_eq!(embedded, server);
    embedded
}

const COLUMNS: &[&str] = &[
    "id varchar",
    "amount integer",
    "big bigint",
    "price numeric(10,2)",
    "ratio double precision",
    "ok boolean",
    "day date",
    "at timestamp",
    "instant timestamptz",
    "note text",
];

#[test]
fn csv_files_become_rows() {
    let folder = Folder::new();
    let header = "id,amount,big,price,ratio,ok,day,at,instant,note\n";
    let first = "a,1,3000000000,1.50,0.1,true,2026-02-28,2026-11-05 10:00:00,2026-11-05T10:00:00+02:00,\"two\nlines, \"\"quoted\"\"\"\n\
                 b,,,,,,,,,\n\
                 c,-7.0,0,-0.01,1e3,false,2026-11-05 00:00:00,2026-11-05T10:00:00.25Z,2026-11-05 10:00:00,\"\"\n";
    folder.write("in/day=2026-11-05/a.csv", format!("{header}{first}"));
    let second = "note,id,amount,big,price,ratio,ok,day,at,instant\n\
                  é ü 漢,d,2,,,,,,2026-11-06 01:02:03.000004,\n";
    folder.write("in/day=2026-11-06/b.csv.gz", gzip(second.as_bytes()));
    folder.write("in/day=2026-11-07/c.csv", format!("\u{feff}{header}"));
    folder.write("in/day=2026-11-07/_manifest.csv", "not,data\n");
    folder.write(
        "in/day=2026-11-08/a[1].csv",
        format!("{header}e,,,,,,,,,\n"),
    );
    folder.write("in/day=2026-11-08/a1.csv.bak", "not data");
    folder.write("in/day=later/a.csv", "not data");
    let windows = "id,amount,big,price,ratio,ok,day,at,instant,note\r\nf,,,,,,,,,\"x\r\ny\"\r\n";
    folder.write("in/day=2026-11-09/windows.csv", windows);
    let external = json!({"location": "in/day={day_of}/*.csv*", "file_format": "csv"});
    fs::remove_file(folder.root.path().join("in/day=2026-11-08/a1.csv.bak")).unwrap();
    insta::assert_snapshot!(equal_rows(&folder, &external, COLUMNS));
}
