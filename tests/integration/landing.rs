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
use daygrain::landing::{self, Destination, FileSource, LoadFailure, Readers, Surroundings};
use daygrain::manifest::{ColumnInfo, Source};
use daygrain::relation::Relation;
use daygrain::source::{SourceFile, Span};
use object_store::ObjectStoreExt;
use serde_json::{Map, Value as Json, json};

use crate::support::{make_bucket, postgres_fields, s3_url, target};

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
        let counts = landing::load(
            source,
            self.around(),
            &listing.files,
            into,
            &Readers::default(),
        )?;
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
        connection: None,
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
        partitioning: None,
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

/// Lets the embedded database write a file.
fn written(path: &Path, select: &str, format: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let path = path.to_string_lossy();
    let sql = format!("copy ({select}) to '{path}' (format {format})");
    session(dialect::embedded())
        .query(&sql, Transaction::AsIs, Fetch::Nothing)
        .unwrap();
}

#[test]
fn parquet_files_become_rows() {
    let folder = Folder::new();
    let path = |name: &str| folder.root.path().join(name);
    let all = "select 'a' as id, 1::smallint as amount, 3000000000::bigint as big, 1.5::decimal(8,2) as price,
        0.25::double as ratio, true as ok, date '2026-02-28' as day,
        timestamp '2026-11-05 10:00:00.5' as at, timestamptz '2026-11-05 10:00:00+02' as instant, 'é' as note
        union all select 'b', null, null, null, null, null, null, null, null, null";
    written(&path("in/2026-11-05.parquet"), all, "parquet");
    let other = "select '7.0' as amount, 'c' as id, 5::integer as big, 2::integer as price, 1::float as ratio,
        false as ok, date '2026-03-01' as day, timestamptz '2026-11-06 10:00:00+02' as at,
        timestamp '2026-11-06 10:00:00' as instant, 12 as note, date '2026-11-06' as partition_date";
    written(&path("in/2026-11-06.parquet"), other, "parquet");
    let external = json!({"location": "in/{partition_date}.parquet"});
    insta::assert_snapshot!(equal_rows(&folder, &external, COLUMNS));
}

#[test]
fn json_files_become_rows() {
    let folder = Folder::new();
    let lines = r#"{"id":"a","amount":1,"big":3000000000,"price":1.5,"ratio":1e-1,"ok":true,"day":"2026-02-28","at":"2026-11-05T10:00:00","instant":"2026-11-05T10:00:00+02:00","note":"x\ny"}
{"id":"b","note":{"k":[1,2]},"ok":null}
"#;
    let (first, second) = (lines.as_bytes(), &br#"[{"id":"c","amount":2,"big":1,"price":"2","ratio":0,"ok":false,"day":null,"at":null,"instant":null,"note":""}]"#[..]);
    folder.write("in/2026-11-05/a.json", first);
    folder.write("in/2026-11-06/a.json.gz", gzip(second));
    folder.write("in/2026-11-07/a.json", "");
    let external = json!({"location": "in/{partition_date}/*.json*"});
    insta::assert_snapshot!(equal_rows(&folder, &external, COLUMNS));
}

#[test]
fn a_partition_may_be_an_hour_or_a_month() {
    let folder = Folder::new();
    folder.write(
        "h/2026-11-05T13.csv",
        "id|hour\n1|2026-11-05 13:59:59\n2|2026-11-05 13:00:00\n",
    );
    folder.write("h/2026-11-05T14.csv", "id\n3\n");
    folder.write("m/2026-11/a.csv", "1,2026-11-30\n");
    folder.write("m/2026-12/a.csv", "2\n3\n");
    folder.write("y/2026/a.csv", "id\n1\n");
    let hours = json!({"location": "h/{hour}.csv", "delimiter": "|"});
    let months = json!({"location": "m/{month}/*.csv", "header": false});
    let years = json!({"location": "y/{year}/*.csv"});
    let texts = [
        equal_rows(&folder, &hours, &["id integer", "hour timestamp"]),
        equal_rows(&folder, &months, &["id integer", "month date"]),
        equal_rows(&folder, &years, &["id integer", "year integer"]),
        equal_rows(&folder, &years, &["id integer", "year text"]),
        equal_rows(&folder, &years, &["id integer", "year timestamptz"]),
    ];
    insta::assert_snapshot!(texts.join("\n\n"));
}

#[test]
fn options_change_how_csv_is_read() {
    let folder = Folder::new();
    folder.write(
        "in/2026-11-05.txt",
        "id\tnote\tother\n'a\\'b'\tNULL\tx\n'NULL'\t''\tx\n",
    );
    let external = json!({
        "location": "in/{partition_date}.txt", "file_format": "csv", "delimiter": "\\t", "quote": "'",
        "escape": "\\", "null": "NULL", "extra_columns": "ignore", "encoding": "UTF-8",
    });
    insta::assert_snapshot!(equal_rows(&folder, &external, &["id text", "note text"]));
}

#[test]
fn many_days_load_at_once_and_nothing_is_no_rows() {
    let folder = Folder::new();
    let external = json!({"location": "in/{day}/*.csv"});
    let columns = &["id integer"];
    assert_eq!(equal_rows(&folder, &external, columns), "id | day\n{}");
    let mut day = jiff::civil::date(2026, 1, 1);
    for id in 0..450 {
        folder.write(&format!("in/{day}/a.csv"), format!("id\n{id}\n"));
        day = day.tomorrow().unwrap();
    }
    let text = equal_rows(&folder, &external, columns);
    assert_eq!(text.lines().count(), 452);
    assert!(text.contains("\nInt(449) | Date(2027-03-26)\n"), "{text}");
}

const SHORT: &[&str] = &["id varchar", "amount integer", "at timestamp"];

#[test]
fn a_bad_csv_file_fails_its_day_alone() {
    let folder = Folder::new();
    let header = "id,amount,at\n";
    let mut files = BTreeMap::from([
        ("01-good", format!("{header}a,1,2026-11-05 10:00:00\n")),
        (
            "02-too-few",
            format!("{header}a,1,2026-11-05 10:00:00\nb,2\n"),
        ),
        (
            "03-too-many",
            format!("{header}a,1,2026-11-05 10:00:00\nb,2,,x\n"),
        ),
        (
            "04-value",
            format!("{header}a,1,2026-11-05 10:00:00\nb,\"x\ny\",\nc,1.5,2026-11-05 25:00:00\n"),
        ),
        ("05-missing", "id,at\na,\n".to_owned()),
        ("06-renamed", "id,amout,at\na,1,\n".to_owned()),
        ("07-extra", "id,amount,at,note\na,1,,\n".to_owned()),
        ("08-twice", "id,amount,at,ID\na,1,,\n".to_owned()),
        (
            "09-open-quote",
            format!("{header}a,1,2026-11-05 10:00:00\n\"b,2,\nc,3,\n"),
        ),
        ("10-after-quote", format!("{header}\"a\"b,1,\n")),
        ("11-empty", String::new()),
        ("12-quoted-null", format!("{header}a,\"\",\n")),
        ("13-line-ends", format!("{header}a,1,\r\nb,2,\n")),
        (
            "14-long",
            format!("{header}{}", "a,1,\n".repeat(70_000) + "b,zwei,\n"),
        ),
        ("15-overflow", format!("{header}a,3000000000,\n")),
        ("16-two-files", format!("{header}a,?,\n")),
    ]);
    let external = json!({"location": "in/{partition_date}/*.csv*"});
    let mut texts = Vec::new();
    let partition = |name: &str| format!("2026-11-{}", &name[..2]);
    for (name, text) in &files {
        folder.write(&format!("in/{}/{}.csv", partition(name), &name[3..]), text);
    }
    // Headers are judged first, then rows.
    texts.push(equal_faults(&folder, &external, SHORT));
    for name in [
        "05-missing",
        "06-renamed",
        "07-extra",
        "08-twice",
        "11-empty",
    ] {
        files.remove(name);
        fs::remove_dir_all(folder.root.path().join("in").join(partition(name))).unwrap();
    }
    texts.push(equal_faults(&folder, &external, SHORT));
    insta::assert_snapshot!(texts.join("\n=== then\n"));
}

#[test]
fn bytes_that_are_no_text_and_packed_files_that_are_cut_are_refused() {
    let folder = Folder::new();
    let external = json!({"location": "in/{partition_date}/*.csv*"});
    folder.write(
        "in/2026-11-01/latin.csv",
        b"id,amount,at\na,1,\n\xe9t\xe9,2,\n",
    );
    insta::assert_snapshot!("not_utf_8", equal_faults(&folder, &external, SHORT));
    let packed = gzip("id,amount,at\n".repeat(3).as_bytes());
    folder.write("in/2026-11-02/cut.csv.gz", &packed[..packed.len() - 9]);
    folder.write("in/2026-11-03/plain.csv.gz", "id,amount,at\n");
    insta::assert_snapshot!("cut_short", equal_faults(&folder, &external, SHORT));
}

#[test]
fn rows_of_another_day_are_refused() {
    let folder = Folder::new();
    let columns = &["id integer", "partition_date date"];
    let text = "id,partition_date\n1,2026-11-05\n2,2026-11-06\n3,\n4,soon\n";
    folder.write("c/2026-11-05/a.csv", text);
    let csv = json!({"location": "c/{partition_date}/*.csv"});
    folder.write(
        "j/2026-11-05/a.json",
        "{\"id\":1,\"partition_date\":\"2026-11-05\"}\n{\"id\":2}\n",
    );
    let objects = json!({"location": "j/{partition_date}/*.json"});
    written(
        &folder.root.path().join("p/2026-11-05/a.parquet"),
        "select 1 as id, date '2026-11-06' as partition_date",
        "parquet",
    );
    let parquet = json!({"location": "p/{partition_date}/*.parquet"});
    let texts = [csv, objects, parquet].map(|external| equal_faults(&folder, &external, columns));
    insta::assert_snapshot!(texts.join("\n=== then\n"));
}

#[test]
fn bad_parquet_and_json_files_are_refused() {
    let folder = Folder::new();
    let path = |name: &str| folder.root.path().join(name);
    folder.write("p/2026-11-01.parquet", "PAR1 no, it is not");
    written(
        &path("p/2026-11-02.parquet"),
        "select 'a' as id, 1.5::double as amount, null::timestamp as at",
        "parquet",
    );
    written(
        &path("p/2026-11-03.parquet"),
        "select 'a' as id, 1 as amount, 1 as more",
        "parquet",
    );
    folder.write(
        "j/2026-11-01.json",
        "{\"id\":\"a\",\"amount\":1,\"at\":null}\n{\"id\":\n",
    );
    folder.write(
        "j/2026-11-03.json",
        "{\"id\":\"a\",\"amount\":1,\"at\":null,\"more\":1}\n",
    );
    folder.write("j/2026-11-04.json", "[1, 2]\n");
    let parquet = json!({"location": "p/{partition_date}.parquet"});
    let objects = json!({"location": "j/{partition_date}.json"});
    let mut texts = vec![
        equal_faults(&folder, &parquet, SHORT),
        equal_faults(&folder, &objects, SHORT),
    ];
    for name in ["01", "03", "04"] {
        fs::remove_file(path(&format!("j/2026-11-{name}.json"))).unwrap();
    }
    folder.write(
        "j/2026-11-02.json",
        "{\"id\":\"a\",\"amount\":\"x\",\"at\":null}\n{\"id\":\"b\",\"amount\":1.5}\n",
    );
    texts.push(equal_faults(&folder, &objects, SHORT));
    insta::assert_snapshot!(texts.join("\n=== then\n"));
}

#[test]
fn the_target_s_own_complaint_names_the_day() {
    let folder = Folder::new();
    folder.write("in/2026-11-05.csv", "id\nfar too long\n");
    let source = declared(
        json!({"location": "in/{partition_date}.csv"}),
        &["id varchar(3)"],
    );
    let text = folder.faults(&read(&source, &POSTGRES), &session(&POSTGRES), &POSTGRES);
    insta::assert_snapshot!(text);
}

#[test]
fn a_wrong_declaration_says_all_that_is_wrong() {
    let texts = [
        reading(&declared(
            json!({"location": "in/*.csv", "file_format": "cvs", "delimeter": ";", "partitions": []}),
            &[],
        )),
        reading(&declared(
            json!({
                "location": "in/{partition_date}/*", "file_format": "csv", "delimiter": ";;", "header": "yes",
                "encoding": "latin1", "compression": "zip", "extra_columns": "drop", "null": [],
            }),
            &["id", "amount integer", "at"],
        )),
        reading(&declared(
            json!({"file_format": "json", "quote": "'"}),
            &["id integer"],
        )),
        reading(&declared(
            json!({"location": "gs://bucket/{day}.csv"}),
            &["id integer"],
        )),
        reading(&declared(
            json!({"location": "in/{day}/{region}/*.csv"}),
            &["id integer"],
        )),
        reading(&declared(
            json!({"location": "in/{day}/*"}),
            &["id integer"],
        )),
        reading(&declared(
            json!({"location": "s3:///{day}.csv"}),
            &["id integer"],
        )),
        reading(&declared(
            json!({"location": "in/{day}.csv"}),
            &["id integer", "day boolean"],
        )),
        reading(&declared(
            json!({"location": "in/{day/a.csv"}),
            &["id integer"],
        )),
        reading(&declared(json!("in/{day}.csv"), &["id integer"])),
        reading(&declared(
            json!({"location": "in/{day}.csv", "null": "\\N", "escape": "\\", "delimiter": "\""}),
            &["id integer"],
        )),
    ];
    insta::assert_snapshot!(texts.join("\n\n"));
    let mut other = declared(json!({"location": "in/{day}.csv"}), &["id integer"]);
    other
        .config
        .set
        .insert("partition_by".to_owned(), json!("partition_date"));
    insta::assert_snapshot!("another_field", reading(&other));
    other.config.set.insert(
        "partition_by".to_owned(),
        json!({"field": "day", "granularity": "day"}),
    );
    assert_eq!(reading(&other), "");
}

#[test]
fn files_are_listed_and_have_versions() {
    let folder = Folder::new();
    let source = declared(json!({"location": "./in/day={day}/*.csv"}), &["id integer"]);
    let source = read(&source, dialect::embedded());
    assert!(
        landing::list(&source, folder.around())
            .unwrap()
            .files
            .is_empty()
    );
    folder.write("in/day=2026-11-06/b.csv", "id\n");
    folder.write("in/day=2026-11-06/a b ü.csv", "id\n1\n");
    folder.write("in/day=2026-11-05/a.csv", "id\n");
    folder.write("in/day=2026-11-05/.hidden.csv", "");
    folder.write("in/day=2026-11-05/_SUCCESS.csv", "");
    folder.write("in/day=2026-11-05/deeper/a.csv", "");
    folder.write("in/day=5/a.csv", "");
    let listing = landing::list(&source, folder.around()).unwrap();
    let files: Vec<String> = listing
        .files
        .iter()
        .map(|file| format!("{} {} {}", file.partition, file.path, file.size))
        .collect();
    assert_eq!(
        files,
        [
            "2026-11-05 in/day=2026-11-05/a.csv 3",
            "2026-11-06 in/day=2026-11-06/a b ü.csv 5",
            "2026-11-06 in/day=2026-11-06/b.csv 3",
        ]
    );
    let strange: Vec<String> = listing.strange.iter().map(Diagnostic::to_string).collect();
    insta::assert_snapshot!(strange.join("\n"));
    let sums: Vec<String> = listing
        .files
        .iter()
        .map(|file| landing::checksum(&source, folder.around(), file).unwrap())
        .collect();
    // Of `id` and a line break, by sha256sum.
    let known = "984a644ec3b56d32b0404777e1eb73390c4b0742a6a0e183f07861056b6746de";
    assert_eq!((&*sums[0], &*sums[2]), (known, known));
    assert_ne!(sums[1], known);
    let of = |files: &[(&str, &str)]| landing::version(files.iter().copied());
    assert_eq!(of(&[("a", "1"), ("b", "2")]), of(&[("b", "2"), ("a", "1")]));
    assert_ne!(of(&[("a", "1"), ("b", "2")]), of(&[("a", "2"), ("b", "1")]));
    assert_ne!(of(&[("a", "1")]), of(&[("a", "1"), ("b", "1")]));
    let gone = landing::FileEntry {
        path: "in/day=2026-11-05/gone.csv".to_owned(),
        ..listing.files[0].clone()
    };
    let gone = landing::checksum(&source, folder.around(), &gone).unwrap_err();
    let text = gone
        .to_string()
        .replace(&*folder.root.path().to_string_lossy(), "<root>");
    assert!(
        text.contains("cannot read `in/day=2026-11-05/gone.csv`"),
        "{text}"
    );
}

/// What is recorded as read is what was read.
#[test]
fn a_file_that_is_replaced_between_its_listing_and_its_end_is_told() {
    let folder = Folder::new();
    for day in ["2026-11-05", "2026-11-06"] {
        folder.write(&format!("in/{day}/a.csv"), "id\n1\n");
    }
    let dialect = dialect::embedded();
    let declared = declared(json!({"location": "in/{day}/*.csv"}), &["id integer"]);
    let source = read(&declared, dialect);
    let listing = landing::list(&source, folder.around()).unwrap();
    folder.write("in/2026-11-06/a.csv", "id\n2\n");
    let session = session(dialect);
    let staging = landing::staging(dialect, "landed");
    let into = Destination {
        warehouse: &session,
        dialect,
        staging: &staging,
    };
    match landing::load(
        &source,
        folder.around(),
        &listing.files,
        into,
        &Readers::default(),
    ) {
        Err(LoadFailure::Partitions(wrong)) => insta::assert_snapshot!(said(&wrong)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_manifest_is_held_against_its_files() {
    let folder = Folder::new();
    let external = json!({"location": "in/{day}/*.csv"});
    let columns = &["id integer"];
    let sum = "984a644ec3b56d32b0404777e1eb73390c4b0742a6a0e183f07861056b6746de";
    let day = |day: u8, manifest: &str, files: &[(&str, &str)]| {
        for (name, text) in files {
            folder.write(&format!("in/2026-11-0{day}/{name}"), text);
        }
        folder.write(&format!("in/2026-11-0{day}/_manifest.json"), manifest);
    };
    let listed = json!([{"path": "a.csv", "rows": 0, "sha256": sum}, {"path": "b.csv", "rows": 2}]);
    let good = json!({"files": listed, "by": "us"}).to_string();
    day(1, &good, &[("a.csv", "id\n"), ("b.csv", "id\n1\n2\n")]);
    insta::assert_snapshot!("kept_manifest", equal_rows(&folder, &external, columns));
    day(2, &good, &[("a.csv", "id\n1\n"), ("c.csv", "id\n")]);
    day(3, "{\"files\": {}}", &[("a.csv", "id\n")]);
    let broken = equal_faults(&folder, &external, columns);
    day(2, &good, &[("a.csv", "id\n"), ("b.csv", "id\n1\n")]);
    fs::remove_file(folder.root.path().join("in/2026-11-02/c.csv")).unwrap();
    fs::remove_dir_all(folder.root.path().join("in/2026-11-03")).unwrap();
    let miscounted = equal_faults(&folder, &external, columns);
    insta::assert_snapshot!(
        "broken_manifest",
        format!("{broken}\n=== then\n{miscounted}")
    );
}

/// Puts objects into a bucket.
pub fn upload(bucket: &str, objects: &[(&str, &[u8])]) {
    let store = object_store::aws::AmazonS3Builder::new()
        .with_endpoint(s3_url())
        .with_allow_http(true)
        .with_region("us-east-1")
        .with_access_key_id("test")
        .with_secret_access_key("test")
        .with_bucket_name(bucket)
        .build()
        .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    for (key, bytes) in objects {
        let key = object_store::path::Path::from(*key);
        let put = store.put(&key, bytes.to_vec().into());
        runtime.block_on(put).unwrap();
    }
}

/// A folder whose surroundings reach the S3 server.
fn s3_folder() -> Folder {
    let url = s3_url();
    let mut folder = Folder::new();
    folder.environment = [
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ENDPOINT_URL", &url),
        ("AWS_ALLOW_HTTP", "true"),
        ("PATH", "/bin"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    folder
}

#[test]
fn files_of_a_bucket_become_rows() {
    let bucket = "landing-rows";
    make_bucket(bucket);
    let packed = gzip(b"id,note\n2,\n");
    let good = "id,note\n1,é\n".as_bytes();
    let manifest = "in/orders/day=2026-11-06/_manifest.json";
    upload(
        bucket,
        &[
            ("in/orders/day=2026-11-04/part/0", b"not data"),
            ("in/orders/day=2026-11-05/a.csv", good),
            ("in/orders/day=2026-11-06/a.csv.gz", &packed),
            (
                manifest,
                b"{\"files\": [{\"path\": \"a.csv.gz\", \"rows\": 1}]}",
            ),
            ("in/orders/day=2026-11-06/_SUCCESS", b""),
            ("in/orders_other/day=2026-11-06/a.csv", b"not data"),
        ],
    );
    let folder = s3_folder();
    let external = json!({
        "location": "s3://landing-rows/in/orders/day={day}/*.csv*", "file_format": "csv",
    });
    let columns = &["id integer", "note text"];
    insta::assert_snapshot!("from_a_bucket", equal_rows(&folder, &external, columns));
    let source = read(&declared(external.clone(), columns), dialect::embedded());
    let listing = landing::list(&source, folder.around()).unwrap();
    let paths: Vec<&str> = listing
        .files
        .iter()
        .map(|file| file.path.as_str())
        .collect();
    assert_eq!(
        paths,
        [
            "s3://landing-rows/in/orders/day=2026-11-05/a.csv",
            "s3://landing-rows/in/orders/day=2026-11-06/a.csv.gz",
        ]
    );
    assert!(
        listing
            .files
            .iter()
            .all(|file| file.etag.is_some() && file.size > 0)
    );
    let sum = landing::checksum(&source, folder.around(), &listing.files[0]).unwrap();
    assert_eq!(
        sum,
        "7e1b08fb663af82653722911ec6e1d2f45427ccbd80fc6ca51f6bc213984e185"
    );
    upload(
        bucket,
        &[
            ("in/orders/day=2026-11-05/a.csv", b"id,note\nx,\n"),
            (manifest, b"{\"files\": []}"),
        ],
    );
    let first = equal_faults(&folder, &external, columns);
    upload(
        bucket,
        &[(
            manifest,
            b"{\"files\": [{\"path\": \"a.csv.gz\", \"rows\": 1}]}",
        )],
    );
    let second = equal_faults(&folder, &external, columns);
    insta::assert_snapshot!("faults_in_a_bucket", format!("{first}\n=== then\n{second}"));
}

#[test]
fn a_bucket_that_cannot_be_reached_is_named() {
    let mut folder = s3_folder();
    let location = "s3://landing-nowhere/in/{day}/*.csv";
    let source = declared(json!({ "location": location }), &["id integer"]);
    let source = read(&source, dialect::embedded());
    let said = |folder: &Folder| {
        let failure = landing::list(&source, folder.around()).unwrap_err();
        failure.to_string()
    };
    let text = said(&folder);
    assert!(
        text.contains("cannot list `s3://landing-nowhere/in/{day}/*.csv`"),
        "{text}"
    );
    assert!(text.contains("NoSuchBucket"), "{text}");
    folder.environment.remove("AWS_ALLOW_HTTP");
    let text = said(&folder);
    assert!(text.contains("URL scheme is not allowed"), "{text}");
}
