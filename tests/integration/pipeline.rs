//! The whole pipeline, morning by morning: the inbox, the operational store, the landing, the warehouse.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt};
use serde_json::{Map, Value as Json, json};

use crate::support::outage::Door;
use crate::support::sandbox::{Ran, Sandbox};
use crate::support::server::Server;
use crate::support::{
    drop_postgres_schemas, live, make_bucket, new_database, postgres_fields, s3_url,
    snowflake_place,
};
use crate::warehouse::{contents, relations, relations_of};

/// The tables that are exported.
const TABLES: [&str; 5] = ["order_lines", "orders", "product", "transaction", "variant"];

/// The payment that reaches the webhook three days late.
const LATE_PAYMENT: &str = "t-late-payment-2";

/// The batch whose orders come a day after everything else.
const LATE_BATCH: &str = "2026-11-13-5";

fn committed(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("seeds")
        .join(path)
}

/// Two weeks of a backend and of mornings.
struct Weeks {
    sandbox: Sandbox,
    /// The schema of the operational store.
    ods: String,
}

impl Weeks {
    /// On the tests' own server, in schemas that are new.
    fn new(name: &str) -> Weeks {
        let ods = format!("{name}_ods");
        drop_postgres_schemas(&[&ods, &format!("{name}_ledger")]);
        Weeks::on(name, postgres_fields(&ods))
    }

    /// On the server that these fields of a profile reach.
    fn on(name: &str, fields: Map<String, Json>) -> Weeks {
        let (ods, ledger) = (format!("{name}_ods"), format!("{name}_ledger"));
        let text = |key: &str| match &fields[key] {
            Json::String(text) => text.clone(),
            other => other.to_string(),
        };
        let sandbox = Sandbox::warehouse()
            .with_env("PGHOST", &text("host"))
            .with_env("PGPORT", &text("port"))
            .with_env("PGUSER", &text("user"))
            .with_env("PGDATABASE", &text("dbname"))
            .with_env("DBT_TARGET", "pipeline")
            .with_env("DAYGRAIN_ODS_SCHEMA", &ods)
            .with_env("DAYGRAIN_INBOX", "arrived")
            .with_env("DAYGRAIN_LANDING", "landed")
            .with_env("DAYGRAIN_LEDGER_SCHEMA", &ledger);
        std::fs::create_dir_all(sandbox.path().join("arrived")).expect("a folder");
        Weeks { sandbox, ods }
    }

    /// Brings a batch into the inbox, if there is one of this name.
    fn deliver(&self, batch: &str) {
        let from = committed("inbox").join(batch);
        let to = self.sandbox.path().join("arrived").join(batch);
        if !from.exists() {
            return;
        }
        std::fs::create_dir_all(&to).expect("a folder");
        for entry in std::fs::read_dir(from).expect("a folder") {
            let entry = entry.expect("an entry");
            std::fs::copy(entry.path(), to.join(entry.file_name())).expect("a copy");
        }
    }

    /// Calls the webhook for the payments of a day that `wanted` takes.
    fn pay(&self, day: i32, wanted: impl Fn(&str) -> bool) {
        pay(&self.ods, day, wanted);
    }

    /// What the backend sends on a day, before the morning after it.
    fn send(&self, day: i32) {
        let date = date(day);
        self.deliver(&format!("products/batch={date}"));
        for batch in 1..=3 {
            self.deliver(&format!("orders/batch={date}-{batch}"));
        }
        // The last batch of most even days comes only in the course of the next one.
        if day % 2 == 1 || day == 14 {
            self.deliver(&format!("orders/batch={date}-4"));
        }
        self.deliver(&format!("orders/batch={}-4", self::date(day - 1)));
    }

    #[track_caller]
    fn morning(&self, day: i32, code: i32) -> Ran {
        let as_of = format!("{}T02:00:00", date(day));
        self.sandbox.run(&["build", "--as-of", &as_of]).expect(code)
    }

    fn landed(&self) -> BTreeMap<String, String> {
        files(&self.sandbox.path().join("landed"))
    }
}

/// Whether a payment reaches the webhook when it is made.
fn in_time(line: &str) -> bool {
    !line.starts_with(LATE_PAYMENT)
}

fn date(day: i32) -> String {
    format!("2026-11-{day:02}")
}

/// Inserts payments as the webhook does: one by one, and again without harm.
fn pay(schema: &str, day: i32, wanted: impl Fn(&str) -> bool) {
    for sql in payments(schema, day, wanted) {
        live::by_hand(&sql);
    }
}

/// The webhook's statements of a day.
fn payments(schema: &str, day: i32, wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let path = committed(&format!("inbox/webhook/{}.csv", date(day)));
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines = text.lines().skip(1).filter(|line| wanted(line));
    lines
        .map(|line| {
            let values: Vec<String> = line.split(',').map(|value| format!("'{value}'")).collect();
            format!(
                "insert into {schema}.transaction values ({}) on conflict do nothing",
                values.join(", ")
            )
        })
        .collect()
}

/// The files of data below a folder, by their path.
fn files(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for table in TABLES {
        for day in std::fs::read_dir(folder.join(table)).into_iter().flatten() {
            let day = day.expect("an entry").path();
            for file in std::fs::read_dir(&day).expect("a folder") {
                let file = file.expect("an entry").path();
                if file.extension().is_some_and(|extension| extension == "csv") {
                    let shown = file.strip_prefix(folder).expect("below it");
                    let text = std::fs::read_to_string(&file).expect("a file");
                    found.insert(shown.display().to_string(), text);
                }
            }
        }
    }
    found
}

/// A file with more rows, in the order of their ids.
fn with_rows(text: &str, more: &str) -> String {
    let (header, rows) = text.split_once('\n').expect("a header");
    let more = more.lines().skip(1);
    let rows: BTreeSet<&str> = rows.lines().chain(more).collect();
    let rows: Vec<&str> = rows.into_iter().collect();
    format!("{header}\n{}\n", rows.join("\n"))
}

/// What the landing holds once everything has come that was late.
fn landing_in_the_end() -> BTreeMap<String, String> {
    let mut files = files(&committed("landing"));
    for (step, path) in [
        ("late-payment", "transaction/partition_date=2026-11-12"),
        ("late-order", "orders/partition_date=2026-11-13"),
        ("late-order", "order_lines/partition_date=2026-11-13"),
    ] {
        let more = std::fs::read_to_string(committed(&format!("late/{step}/{path}/part-001.csv")));
        let file = files.get_mut(&format!("{path}/part-000.csv")).expect(path);
        *file = with_rows(file, &more.expect("a file"));
    }
    let corrected = "order_lines/partition_date=2026-11-11/part-000.csv";
    let text = std::fs::read_to_string(committed(&format!("late/corrected-lines/{corrected}")));
    files.insert(corrected.to_owned(), text.expect("a file"));
    files
}

/// The lines of `o-corrected` as they were meant, in the batch that brought them first.
fn correct(weeks: &Weeks) {
    let path = "arrived/orders/batch=2026-11-11-3/order_lines.csv";
    let meant = std::fs::read_to_string(committed(
        "late/corrected-lines/order_lines/partition_date=2026-11-11/part-000.csv",
    ))
    .expect("a file");
    let meant: Vec<&str> = meant
        .lines()
        .filter(|line| line.starts_with("l-corrected-"))
        .collect();
    let lines: Vec<String> = weeks
        .sandbox
        .read(path)
        .lines()
        .map(|line| {
            let id = line.split(',').next().expect("an id");
            let same = meant
                .iter()
                .find(|meant| meant.starts_with(&format!("{id},")));
            same.map_or_else(|| line.to_owned(), |meant| (*meant).to_owned())
        })
        .collect();
    weeks
        .sandbox
        .write(path, &format!("{}\n", lines.join("\n")));
}

#[test]
fn two_weeks_of_mornings_end_with_what_the_inbox_holds() {
    let weeks = Weeks::new("weeks");
    // The store is there before the first order, and no day is due.
    weeks.morning(1, 0);
    for day in 1..=14 {
        weeks.send(day);
        weeks.pay(day, in_time);
        if day == 13 {
            correct(&weeks);
        }
        if matches!(day, 2 | 3) {
            continue; // Nobody calls daygrain on these two mornings.
        }
        // The next day's payments come while the build runs.
        std::thread::scope(|threads| {
            threads.spawn(|| weeks.pay(day + 1, in_time));
            weeks.morning(day + 1, 0);
        });
    }
    let mut expected = landing_in_the_end();
    let before: BTreeMap<String, String> = files(&committed("landing"));
    for path in before
        .keys()
        .filter(|path| !path.contains("order_lines/partition_date=2026-11-11"))
    {
        assert_eq!(weeks.landed().get(path), before.get(path), "{path}");
    }

    // What is late by days: its own days are exported again, and no others.
    weeks.deliver(&format!("orders/batch={LATE_BATCH}"));
    weeks.pay(12, |_| true);
    weeks.morning(15, 0);
    let landed = weeks.landed();
    assert_eq!(
        landed.keys().collect::<Vec<_>>(),
        expected.keys().collect::<Vec<_>>()
    );
    for (path, text) in &mut expected {
        assert_eq!(&landed[path], text, "{path}");
    }

    // The store keeps three closed days, and what has happened since.
    let kept = format!(
        "select min(cast(processed_timestamp as date))::text, (select min(cast(created_at as date))::text from {0}.transaction),
            (select count(*) from {0}.order_lines where order_id not in (select id from {0}.orders)) from {0}.orders",
        weeks.ods
    );
    assert_eq!(live::rows(&kept), "2026-11-12|2026-11-12|0");
    let gone = format!(
        "select count(*) from {0}.variant where product_id = 'p00003'",
        weeks.ods
    );
    assert_eq!(
        live::rows(&gone),
        "0",
        "a removed product takes its variants with it"
    );

    // The warehouse is the one that is built from those files at once.
    let reference = Sandbox::warehouse();
    for (path, text) in &expected {
        reference.write(&format!("seeds/landing/{path}"), text);
    }
    reference.run(&["build", "--as-of", "2026-11-15"]).expect(0);
    let names = relations(&reference);
    let rows = contents(&reference, &names);
    let piped = contents(&weeks.sandbox, &names);
    for name in &names {
        // All orders have come.
        let is_empty = name == "transactions_waiting";
        assert_eq!(rows[name].is_empty(), is_empty, "rows of `{name}`");
        assert_eq!(piped[name], rows[name], "`{name}` differs");
    }
    assert_eq!(
        fact(&weeks.sandbox),
        computed(&weeks.sandbox.path().join("arrived"))
    );

    let snowflake = on_snowflake(&weeks, "+sales_by_date");
    let names = relations_of(&reference, "+sales_by_date");
    assert!(names.len() > 7, "{names:?}");
    let seen = contents(&snowflake, &names);
    for name in &names {
        assert_eq!(seen[name], rows[name], "`{name}` differs on Snowflake");
    }

    // One more morning has nothing to do.
    let again = weeks.morning(15, 0);
    assert!(!again.stdout.contains("partitions of"), "{}", again.stdout);
}

/// The same store and the same landing, with models of the warehouse on Snowflake, run in one morning.
///
/// That all of them, and their tests, are the same on Snowflake is shown by `warehouse` and `story`.
fn on_snowflake(weeks: &Weeks, select: &str) -> Sandbox {
    let path = |name: &str| weeks.sandbox.path().join(name).display().to_string();
    let sandbox = Sandbox::warehouse()
        .with_env("DAYGRAIN_INBOX", &path("arrived"))
        .with_env("DAYGRAIN_LANDING", &path("landed"))
        .with_env(
            "DAYGRAIN_LEDGER_SCHEMA",
            &weeks.ods.replace("_ods", "_ledger"),
        );
    let mut fields = snowflake_place("weeks");
    let ods = postgres_fields(&weeks.ods);
    fields.insert("threads".to_owned(), 4.into());
    fields.insert("connections".to_owned(), json!({"ods": ods}));
    let profile = json!({"orders_warehouse": {"target": "snow", "outputs": {"snow": fields}}});
    sandbox.write("profiles.yml", &profile.to_string());
    let as_of = ["--as-of", "2026-11-15T02:00:00"];
    sandbox
        .run(&[&["run", "--select", select], &as_of[..]].concat())
        .expect(0);
    sandbox
}

/// What stops a morning's build before its end.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// The process is killed.
    Process,
    /// The server of the store crashes, and comes back.
    Server,
    /// The bucket cannot be reached.
    Bucket,
}

/// The process, the store and the bucket fail at random moments; each morning ends with one more run.
#[test]
fn faults_on_all_mornings_lose_nothing_and_double_nothing() {
    const HBA: &str = "host all all 127.0.0.1/32 trust";
    let mut server = Server::new("unused");
    server.start(HBA, &[]);
    let bucket = &new_database("weeks").replace('_', "-");
    make_bucket(bucket);
    let url = s3_url();
    let door = Door::before(url.trim_start_matches("http://"));
    let fields = server.fields(json!({"schema": "faults_ods", "password": "unused"}));
    let mut weeks = Weeks::on("faults", fields.clone());
    for (name, value) in [
        // Nobody waits long for a lease whose holder was killed.
        ("DAYGRAIN_TEST_LEASE_SECONDS", "2"),
        ("DAYGRAIN_LANDING", format!("s3://{bucket}/landed").as_str()),
        ("AWS_ENDPOINT_URL", &format!("http://{}", door.address)),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ALLOW_HTTP", "true"),
    ] {
        weeks.sandbox = weeks.sandbox.with_env(name, value);
    }
    weeks.morning(1, 0);
    let seed = std::env::var("DAYGRAIN_TEST_SEED")
        .ok()
        .and_then(|text| text.parse().ok());
    let mut random = seed.unwrap_or(20_261_115_u64);
    let mut next = move |below: u64| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    for day in 1..=14 {
        weeks.send(day);
        pay_at(&fields, day);
        for _ in 0..next(3) {
            let fault = [Fault::Process, Fault::Server, Fault::Bucket]
                [usize::try_from(next(3)).expect("a place")];
            let as_of = format!("{}T02:00:00", date(day + 1));
            let mut build = weeks
                .sandbox
                .command(&["build", "--quiet", "--as-of", &as_of]);
            let mut build = build
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::null())
                .spawn()
                .expect("it runs");
            std::thread::sleep(Duration::from_millis(200 + next(2_500)));
            match fault {
                Fault::Process => build.kill().expect("a process"),
                Fault::Server => {
                    server.crash();
                    server.start(HBA, &[]);
                }
                Fault::Bucket => door.shut(),
            }
            let ended = build.wait().expect("it ends");
            door.open();
            // A fault that comes too late finds everything done.
            let code = ended.code();
            assert!(
                code.is_none_or(|code| code <= 2),
                "{fault:?} on day {day}: {code:?}"
            );
        }
        weeks.morning(day + 1, 0);
    }
    let expected = files(&committed("landing"));
    let landed = objects(&door, bucket, "landed/");
    assert_eq!(
        landed.keys().collect::<Vec<_>>(),
        expected.keys().collect::<Vec<_>>()
    );
    for (path, text) in &expected {
        assert_eq!(&landed[path], text, "{path}");
    }
    let reference = Sandbox::warehouse();
    reference.run(&["build", "--as-of", "2026-11-15"]).expect(0);
    let names = relations(&reference);
    let (rows, piped) = (
        contents(&reference, &names),
        contents(&weeks.sandbox, &names),
    );
    for name in &names {
        assert_eq!(piped[name], rows[name], "`{name}` differs");
    }
}

/// Payments of a day, all in time but the late one, on a server of the test's own.
fn pay_at(fields: &Map<String, Json>, day: i32) {
    let adapter = daygrain::adapter::open(
        &crate::support::target(&daygrain::dialect::POSTGRES, fields.clone()),
        Path::new("."),
    )
    .expect("a good profile");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let mut session = adapter.connect().await.expect("a session");
        for sql in payments("faults_ods", day, in_time) {
            session.execute(&sql).await.expect(&sql);
        }
    });
}

/// The files of data in a bucket, by their path below `prefix`.
fn objects(door: &Door, bucket: &str, prefix: &str) -> BTreeMap<String, String> {
    let store = object_store::aws::AmazonS3Builder::new()
        .with_endpoint(format!("http://{}", door.address))
        .with_allow_http(true)
        .with_region("us-east-1")
        .with_access_key_id("test")
        .with_secret_access_key("test")
        .with_bucket_name(bucket)
        .build()
        .expect("a bucket");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let listed: Vec<_> = store.list(None).try_collect().await.expect("a listing");
        let mut found = BTreeMap::new();
        for object in listed {
            let path = object.location.to_string();
            if let Some(path) = path
                .strip_prefix(prefix)
                .filter(|path| path.ends_with(".csv"))
            {
                let bytes = store.get(&object.location).await.expect("an object");
                let bytes = bytes.bytes().await.expect("its bytes");
                found.insert(
                    path.to_owned(),
                    String::from_utf8(bytes.to_vec()).expect("text"),
                );
            }
        }
        found
    })
}

/// The fact, a line each.
fn fact(sandbox: &Sandbox) -> BTreeSet<String> {
    let rows = sandbox.rows(
        "select order_id, variant_id, product_id, quantity, revenue, order_status, cast(partition_date as varchar) as day
        from {{ ref('dwd_orders_variant_status') }}",
        &[],
    );
    let columns = [
        "order_id",
        "variant_id",
        "product_id",
        "quantity",
        "revenue",
        "order_status",
        "day",
    ];
    rows.iter()
        .map(|row| {
            let cells = columns.map(|column| match &row[column] {
                Json::String(text) => text.clone(),
                other => other.to_string(),
            });
            cells.join("|")
        })
        .collect()
}

/// The rows of a CSV file without quotes, by the names of its columns.
fn table(path: &Path) -> Vec<BTreeMap<String, String>> {
    let mut reader = csv::Reader::from_path(path).expect("a file");
    let header = reader.headers().expect("a header").clone();
    let rows = reader.records().map(|row| {
        let row = row.expect("a row");
        let cells = header.iter().zip(row.iter());
        cells
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    });
    rows.collect()
}

/// The fact as it follows from what has arrived, by plain loops.
fn computed(arrived: &Path) -> BTreeSet<String> {
    let mut batches: Vec<PathBuf> = Vec::new();
    for kind in ["orders", "products"] {
        let entries = std::fs::read_dir(arrived.join(kind)).expect("a folder");
        batches.extend(entries.map(|entry| entry.expect("an entry").path()));
    }
    batches.sort();
    let (mut orders, mut lines, mut products) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for batch in batches {
        for (file, rows) in [
            ("orders.csv", &mut orders),
            ("order_lines.csv", &mut lines),
            ("variant.csv", &mut products),
        ] {
            if batch.join(file).exists() {
                rows.extend(
                    table(&batch.join(file))
                        .into_iter()
                        .map(|row| (row["id"].clone(), row)),
                );
            }
        }
    }
    let mut attempts: BTreeMap<String, Vec<(i32, String)>> = BTreeMap::new();
    for day in 1..=14 {
        for row in table(&committed(&format!("inbox/webhook/{}.csv", date(day)))) {
            let of = attempts.entry(row["order_id"].clone()).or_default();
            of.push((day, row["status"].clone()));
        }
    }
    lines
        .values()
        .map(|line| {
            let day = &orders[&line["order_id"]]["processed_timestamp"][..10];
            let number: i32 = day[8..].parse().expect("a day");
            let seen = attempts.get(&line["order_id"]).into_iter().flatten();
            let seen: Vec<&str> = seen
                .filter(|(at, _)| (number - 1..=number + 3).contains(at))
                .map(|(_, status)| status.as_str())
                .collect();
            let status = match seen.contains(&"success") {
                true => "success",
                false if seen.is_empty() => "pending",
                false => "failure",
            };
            let product = &products[&line["variant_id"]]["product_id"];
            let (order, variant) = (&line["order_id"], &line["variant_id"]);
            format!(
                "{order}|{variant}|{product}|{}|{}|{status}|{day}",
                line["quantity"], line["revenue"]
            )
        })
        .collect()
}
