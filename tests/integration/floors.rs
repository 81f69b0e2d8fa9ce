//! Keeps the floors: which module may import which, and which words stay where.
//!
//! The table is the one in the docs of `src/lib.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Crates with one user: the path that all their users start with.
const ONE_USER: &[(&str, &str)] = &[
    ("minijinja", "jinja/"),
    ("minijinja_contrib", "jinja/"),
    ("serde_saphyr", "yaml"),
    ("sqlparser", "sql/"),
    ("annotate_snippets", "diagnostic.rs"),
    ("object_store", "landing/list.rs"),
    ("flate2", "landing/csv.rs"),
    ("tokio_postgres", "adapter/postgres/"),
    ("::duckdb", "adapter/duckdb/"),
    ("use duckdb", "adapter/duckdb/"),
];

/// The databases, whose names stay in few places.
const DATABASES: &[&str] = &["duckdb", "postgres", "snowflake"];

/// The code of `src/`, by path below it, without comments and tests.
fn code() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut texts = BTreeMap::new();
    let mut tests = BTreeSet::new();
    let mut folders: Vec<PathBuf> = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let own = match path.file_stem().unwrap().to_str().unwrap() {
                    "mod" | "lib" | "main" => path.parent().unwrap().to_owned(),
                    _ => path.with_extension(""),
                };
                let mut kept = String::new();
                let mut lines = text.lines().peekable();
                while let Some(line) = lines.next() {
                    if line == "#[cfg(test)]" {
                        let next = lines.peek().copied().unwrap_or_default();
                        let name = match next.split_once("mod ") {
                            Some(("" | "pub " | "pub(crate) " | "pub(super) ", name)) => name,
                            _ => continue,
                        };
                        if let Some(module) = name.strip_suffix(';') {
                            tests.insert(own.join(module));
                            lines.next();
                        } else if name.ends_with('{') {
                            break;
                        }
                    } else if !line.trim_start().starts_with("//") {
                        kept.push_str(line.split(" // ").next().unwrap_or_default());
                        kept.push('\n');
                    }
                }
                texts.insert(path, kept);
            }
        }
    }
    texts
        .into_iter()
        .filter(|(path, _)| {
            !path
                .ancestors()
                .any(|part| tests.contains(&part.with_extension("")))
        })
        .map(|(path, text)| {
            let below = path
                .strip_prefix(&root)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            (below, text)
        })
        .collect()
}

/// The floor of each module, as the docs of the crate say.
fn floors() -> BTreeMap<String, u32> {
    let docs = include_str!("../../src/lib.rs");
    let mut floors = BTreeMap::new();
    for row in docs.lines().filter_map(|line| line.strip_prefix("//! | ")) {
        if let Some((Ok(floor), modules)) = row.split_once(" | ").map(|(n, rest)| (n.parse(), rest))
        {
            let names = modules
                .split("[`")
                .skip(1)
                .filter_map(|part| part.split('`').next());
            floors.extend(names.map(|name| (name.to_owned(), floor)));
        }
    }
    floors
}

/// The top modules that a text names after `crate::`, also in braces.
fn imports(text: &str) -> BTreeSet<String> {
    let word = |text: &str| -> String {
        let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
        text[..end.unwrap_or(text.len())].to_owned()
    };
    let mut names = BTreeSet::new();
    for rest in text.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            Some(group) => {
                let mut depth = 0;
                let mut at_start = true;
                for (place, character) in group.char_indices() {
                    match character {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => at_start = true,
                        c if c.is_alphabetic() && at_start => {
                            names.insert(word(&group[place..]));
                            at_start = false;
                        }
                        _ => {}
                    }
                }
            }
            None => drop(names.insert(word(rest))),
        }
    }
    names
}

/// The top module that a file belongs to.
fn module(path: &str) -> &str {
    path.split('/').next().unwrap().trim_end_matches(".rs")
}

#[test]
fn a_module_imports_from_its_own_floor_or_lower_ones() {
    let floors = floors();
    let mut faults = Vec::new();
    for (path, text) in code() {
        let own = module(&path);
        if own == "main" || own == "lib" {
            continue;
        }
        let Some(floor) = floors.get(own) else {
            faults.push(format!("src/{path} has no floor in the docs of src/lib.rs"));
            continue;
        };
        for name in imports(&text) {
            match floors.get(&name) {
                Some(other) if other > floor => {
                    faults.push(format!("src/{path} imports `{name}` of floor {other}"));
                }
                Some(2) if *floor == 2 && name != own => {
                    faults.push(format!("src/{path} imports `{name}`, its neighbour"));
                }
                _ => {}
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_crate_with_one_user_has_one() {
    let mut faults = Vec::new();
    for (path, text) in code() {
        for (name, user) in ONE_USER {
            let used = text.contains(&format!("{name}::"));
            if used && !path.starts_with(user) {
                faults.push(format!(
                    "src/{path} uses `{name}`, which belongs to src/{user}"
                ));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn databases_are_named_in_few_places() {
    let allowed = ["dialect.rs", "adapter/", "sql/"];
    let mut faults = Vec::new();
    for (path, text) in code() {
        if allowed.iter().any(|start| path.starts_with(start)) {
            continue;
        }
        for line in text.lines() {
            let lower = line.to_lowercase();
            let words = lower.split(|c: char| !c.is_alphanumeric() && c != '_');
            if words.into_iter().any(|word| DATABASES.contains(&word)) {
                faults.push(format!("src/{path}: {}", line.trim()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Released binaries hold a DuckDB without the ICU extension; the library that tests run on has it.
#[test]
fn nothing_on_duckdb_needs_time_zones() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/builtin/duckdb");
    let mut faults = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        for line in std::fs::read_to_string(&path).unwrap().lines() {
            let lower = line.to_lowercase();
            if lower.contains("timezone('") || lower.contains("at time zone") {
                faults.push(format!("{}: {}", path.display(), line.trim()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_checks_see_what_they_should() {
    let floors = floors();
    assert_eq!((floors["source"], floors["sql"], floors["cli"]), (0, 2, 7));
    let text = "use crate::{a, b::{c, d}, e};\nlet x = crate::f::g(); use crate::h;";
    let expected = ["a", "b", "e", "f", "h"].map(str::to_owned);
    assert_eq!(imports(text), BTreeSet::from(expected));
    let code = code();
    assert!(code["adapter/duckdb/session.rs"].contains("use duckdb::"));
    assert!(!code.contains_key("adapter/duckdb/tests.rs"));
    assert!(!code["sql/mod.rs"].contains("mod tests"));
}
