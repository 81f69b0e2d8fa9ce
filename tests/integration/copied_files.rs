//! Sources whose files lie in a stage: the database copies them itself.

use crate::landing::upload;
use crate::support::shop::{Shop, orders};
use crate::support::{make_bucket, s3_url, snowflake_log};

/// A shop whose orders are copied from a stage over its own folder of files.
fn shop(database: &str, config: &str) -> Shop {
    let shop = Shop::on_snowflake(database, &[("orders", &orders(config))]);
    let sources = shop.sandbox.read("models/sources.yml");
    let place = "location: 'landing/orders/partition_date={partition_date}/*.csv'";
    let staged = format!("{place}\n          stage: '@landing_stage/orders'");
    let sources = sources.replace(place, &staged);
    shop.sandbox.write("models/sources.yml", &sources);
    let folder = shop.sandbox.path().join("landing");
    std::fs::create_dir_all(&folder).unwrap();
    shop.by_hand(&format!("create schema if not exists {}", shop.schema));
    shop.by_hand(&format!(
        "create stage {}.landing_stage url = 'file://{}/'",
        shop.schema,
        folder.display()
    ));
    shop
}

const ROWS: &str = "select id, amount from {{ ref('orders') }} order by id";

#[test]
fn files_are_copied_and_rows_are_those_of_the_files() {
    let shop = shop("copied", "");
    shop.first_days(3);
    assert_eq!(shop.build(4), ["orders 01 02 03"]);
    assert_eq!(shop.rows(ROWS), "1 1, 2 2, 3 3, 101 1, 102 1, 103 1");
    assert_eq!(shop.build(4), [""; 0]);
    // Late, corrected, and of names that a literal must hold.
    shop.lands_as(1, "it's \\ ; drop -- 1", &["7,70"]);
    shop.lands_as(1, "ä ö", &["8,80"]);
    shop.lands(2, &["2,20", "102,"]);
    assert_eq!(shop.build(4), ["orders 01 02"]);
    assert_eq!(
        shop.rows(ROWS),
        "1 1, 2 20, 3 3, 7 70, 8 80, 101 1, 102 null, 103 1"
    );
    let sent: Vec<String> = snowflake_log(&shop.database())
        .iter()
        .filter_map(|entry| entry["sql"].as_str().map(str::to_owned))
        .filter(|sql| sql.starts_with("copy into") || sql.contains("parse_json(?)"))
        .collect();
    // The partition is in the paths alone, so each day is a statement.
    assert_eq!(sent.len(), 5, "{sent:?}");
    insta::assert_snapshot!("copy", sent[3]);
    daygrain::sql::parse(&daygrain::dialect::SNOWFLAKE, &sent[3]).expect("a statement");
}

/// Files that are found in a bucket, of which no more than the header is read once they are known.
#[test]
fn files_of_a_bucket_are_copied() {
    let mut shop = shop("copied_bucket", "");
    make_bucket("copied-files");
    let url = s3_url();
    for (name, value) in [
        ("AWS_ENDPOINT_URL", url.as_str()),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ALLOW_HTTP", "true"),
    ] {
        shop.sandbox = shop.sandbox.with_env(name, value);
    }
    let sources = shop.sandbox.read("models/sources.yml");
    let found = "location: 's3://copied-files/landing/orders/";
    let sources = sources.replace("location: 'landing/orders/", found);
    let sources = sources.replace("/*.csv'", "/*'");
    let sources = sources.replace(
        "file_format: csv",
        "file_format: csv\n          null_marker: none",
    );
    shop.sandbox.write("models/sources.yml", &sources);
    shop.lands(1, &["1,1", "101,none"]);
    shop.lands(2, &["2,2"]);
    let packed = shop
        .sandbox
        .path()
        .join("landing/orders/partition_date=2026-11-02/part-001.csv.gz");
    let file = std::fs::File::create(&packed).unwrap();
    let mut packer = flate2::write::GzEncoder::new(file, flate2::Compression::default());
    std::io::Write::write_all(&mut packer, b"amount,id\n20,102\n").unwrap();
    packer.finish().unwrap();
    for path in [
        "landing/orders/partition_date=2026-11-01/part-000.csv",
        "landing/orders/partition_date=2026-11-02/part-000.csv",
        "landing/orders/partition_date=2026-11-02/part-001.csv.gz",
    ] {
        let bytes = std::fs::read(shop.sandbox.path().join(path)).unwrap();
        upload("copied-files", &[(path, &bytes)]);
    }
    assert_eq!(shop.build(3), ["orders 01 02"]);
    assert_eq!(shop.rows(ROWS), "1 1, 2 2, 101 null, 102 20");
}

#[test]
fn a_file_that_cannot_be_read_fails_its_day_alone() {
    let shop = shop("copied_bad", "");
    shop.first_days(3);
    shop.lands(2, &["2,2", "102,many"]);
    let ran = shop.ran(4, &[], 1);
    assert_eq!(shop.built(), ["orders 01 03"]);
    assert_eq!(shop.rows(ROWS), "1 1, 3 3, 101 1, 103 1");
    let words = "`landing/orders/partition_date=2026-11-02/part-000.csv`, line 3, character 5: Numeric value 'many' is not recognized";
    assert!(ran.stdout.contains(words), "{}", ran.stdout);
    // Columns are found by name before anything is copied.
    let path = "landing/orders/partition_date=2026-11-02/part-000.csv";
    shop.sandbox.write(path, "amount,price\n2,2\n");
    let ran = shop.ran(4, &[], 1);
    assert!(ran.stdout.contains("price"), "{}", ran.stdout);
    shop.sandbox.write(path, "amount,id\n5,2\n");
    assert_eq!(shop.build(4), ["orders 02"]);
    assert_eq!(shop.rows(ROWS), "1 1, 2 5, 3 3, 101 1, 103 1");
}

#[test]
fn what_is_promised_is_held_against_what_was_copied() {
    let shop = shop("copied_promised", "");
    shop.first_days(1);
    let manifest = "landing/orders/partition_date=2026-11-01/_manifest.json";
    let promise = |rows: u8| {
        let text = format!("{{\"files\": [{{\"path\": \"part-000.csv\", \"rows\": {rows}}}]}}");
        shop.sandbox.write(manifest, &text);
    };
    promise(3);
    let ran = shop.ran(2, &[], 1);
    let words = "have 2 rows, and their manifest promises 3";
    assert!(ran.stdout.contains(words), "{}", ran.stdout);
    promise(2);
    assert_eq!(shop.build(2), ["orders 01"]);
    // A file that holds its partition must hold the one of its path.
    let path = "landing/orders/partition_date=2026-11-01/part-000.csv";
    shop.sandbox.write(
        path,
        "id,amount,partition_date\n1,1,2026-11-01\n2,1,2026-11-02\n",
    );
    let ran = shop.ran(2, &[], 1);
    let words = "the files of `2026-11-01` hold 2 rows, and 1 have this `partition_date`";
    assert!(ran.stdout.contains(words), "{}", ran.stdout);
    assert_eq!(shop.rows(ROWS), "1 1, 101 1");
}

#[test]
fn a_stage_that_cannot_be_copied_from_is_refused() {
    let shop = shop("copied_refused", "");
    let sources = shop.sandbox.read("models/sources.yml");
    let told = |from: &str, to: &str| {
        shop.sandbox
            .write("models/sources.yml", &sources.replace(from, to));
        shop.ran(4, &[], 2).stdout
    };
    let wrong = told("'@landing_stage/orders'", "landing_stage");
    assert!(
        wrong.contains("`external.stage` is no place in a stage"),
        "{wrong}"
    );
    let wrong = told("file_format: csv", "file_format: parquet");
    assert!(
        wrong.contains("files of a stage are copied as csv"),
        "{wrong}"
    );
    let wrong = told("file_format: csv", "extra_columns: ignore");
    assert!(wrong.contains("does not go with `stage`"), "{wrong}");
}
