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
fn the_files_are_what_the_generator_writes() {
    let folder = tempfile::tempdir().unwrap();
    let (landing, late) = (folder.path().join("landing"), folder.path().join("late"));
    generate(&[
        "--layout",
        "landing",
        "--out",
        &landing.display().to_string(),
        "--late",
        &late.display().to_string(),
    ]);

    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    assert_eq!(files(&landing).len(), 5 * 14);
    assert!(files(&landing) == files(&seeds.join("landing")));
    assert!(files(&late) == files(&seeds.join("late")));
}

#[test]
fn the_inbox_is_what_the_generator_writes() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = folder.path().join("inbox");
    generate(&["--layout", "inbox", "--out", &inbox.display().to_string()]);

    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    assert!(files(&inbox).len() > 100);
    assert!(files(&inbox) == files(&seeds.join("inbox")));
}
