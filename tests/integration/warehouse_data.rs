//! The committed data of the orders warehouse is what its generator writes, byte for byte.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

/// All CSV files below a folder, by their path below it.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "csv") {
                let name = path.strip_prefix(folder).unwrap().display().to_string();
                found.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    found
}

fn generate(arguments: &[&str]) {
    // Examples have no variable that names their binary.
    let output = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--example", "generate_orders", "--"])
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn seeds_are_what_the_generator_writes() {
    let folder = tempfile::tempdir().unwrap();
    let (tables, late) = (folder.path().join("tables"), folder.path().join("late"));
    generate(&[
        "--out",
        &tables.display().to_string(),
        "--late",
        &late.display().to_string(),
    ]);

    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    assert!(files(&tables) == files(&seeds.join("tables")));
    assert!(files(&late) == files(&seeds.join("late")));
}

#[test]
fn landing_files_hold_the_rows_of_the_seeds() {
    let folder = tempfile::tempdir().unwrap();
    generate(&[
        "--layout",
        "landing",
        "--out",
        &folder.path().display().to_string(),
        "--late",
        &folder.path().join("late").display().to_string(),
    ]);
    fs::remove_dir_all(folder.path().join("late")).unwrap();

    // The rows of a day's files, each with its day, are the rows of the one file.
    let mut landed: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (path, bytes) in files(folder.path()) {
        let (table, rest) = path.split_once("/partition_date=").unwrap();
        let (day, _) = rest.split_once('/').unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let rows = text.lines().skip(1).map(|row| format!("{row},{day}"));
        landed.entry(table.to_owned()).or_default().extend(rows);
    }
    assert_eq!(landed.len(), 5);
    for (table, mut rows) in landed {
        let path = format!(
            "{}/seeds/tables/landing_{table}.csv",
            env!("CARGO_MANIFEST_DIR")
        );
        let text = fs::read_to_string(path).unwrap();
        let mut seeded: Vec<&str> = text.lines().skip(1).collect();
        rows.sort_unstable();
        seeded.sort_unstable();
        assert_eq!(rows, seeded, "{table}");
    }
}
