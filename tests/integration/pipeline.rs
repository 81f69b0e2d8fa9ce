//! The whole pipeline, morning by morning: the inbox, the operational store, the landing, the warehouse.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use crate::support::live;
use crate::support::sandbox::{Ran, Sandbox};
use crate::support::{drop_postgres_schemas, postgres_fields};
use crate::warehouse::{contents, relations};

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
    fn new(name: &str) -> Weeks {
        let (ods, ledger) = (format!("{name}_ods"), format!("{name}_ledger"));
        drop_postgres_schemas(&[&ods, &ledger]);
        let fields = postgres_fields(&ods);
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
    let path = committed(&format!("inbox/webhook/{}.csv", date(day)));
    let text = std::fs::read_to_string(path).unwrap_or_default();
    for line in text.lines().skip(1).filter(|line| wanted(line)) {
        let values: Vec<&str> = line.split(',').collect();
        let [id, order, status, at] = values[..] else {
            panic!("no payment: {line}");
        };
        live::by_hand(&format!(
            "insert into {schema}.transaction values ('{id}', '{order}', '{status}', '{at}') on conflict do nothing"
        ));
    }
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
    // The store is there before the first order.
    weeks
        .sandbox
        .run(&["run", "--select", "tag:ods", "--as-of", "2026-11-01"])
        .expect(0);
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
        assert!(!rows[name].is_empty(), "`{name}` is empty");
        assert_eq!(piped[name], rows[name], "`{name}` differs");
    }
    assert_eq!(
        fact(&weeks.sandbox),
        computed(&weeks.sandbox.path().join("arrived"))
    );

    // One more morning has nothing to do.
    let again = weeks.morning(15, 0);
    assert!(!again.stdout.contains("partitions of"), "{}", again.stdout);
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
