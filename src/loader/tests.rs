//! Which files of a folder are read, and what is said about those that cannot be.

use std::fs;

use super::*;
use crate::source::Span;

fn no_jinja(text: &str, _: Span) -> Result<serde_json::Value, Box<Diagnostic>> {
    Ok(text.into())
}

/// Files by path; each gets its path as text unless it is given one after `|`.
fn folder(files: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for file in files {
        let (path, text) = file.split_once('|').unwrap_or((file, file));
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, text).expect("a file");
    }
    folder
}

fn load_folder(folder: &tempfile::TempDir) -> (Vec<Package>, Vec<String>) {
    let (project, errors) = project::read(folder.path(), &no_jinja);
    assert!(errors.is_empty(), "{errors:?}");
    let (packages, diagnostics) = load(project.expect("a project"), &no_jinja);
    let place = folder.path().to_string_lossy().into_owned();
    let texts = diagnostics
        .iter()
        .map(|diagnostic| diagnostic.render(false).replace(&place, "[folder]"))
        .collect();
    (packages, texts)
}

fn paths(files: &[LoadedFile]) -> String {
    let paths: Vec<String> = files
        .iter()
        .map(|loaded| format!("{}:{}", loaded.folder, loaded.below()))
        .collect();
    paths.join(" ")
}

#[test]
fn each_file_is_in_the_list_of_its_folder() {
    let folder = folder(&[
        "dbt_project.yml|name: shop",
        "models/b.sql|\u{feff}select 1",
        "models/a/z.SQL",
        "models/a/schema.yml",
        "models/.hidden/h.sql",
        "models/.x.sql",
        "models/#x.sql",
        "models/~x.sql",
        "models/notes.txt",
        "models/docs.md",
        "seeds/s.csv",
        "seeds/s.sql",
        "seeds/seeds.yaml",
        "macros/m.sql",
        "tests/t.sql",
        "tests/generic/g.sql",
        "tests/fixtures/f.sql",
        "tests/deep/generic/t.sql",
        "tests/main.rs",
        "analyses/an.sql",
        "snapshots/sn.sql",
        "other/o.sql",
    ]);
    let (packages, diagnostics) = load_folder(&folder);
    assert_eq!(diagnostics, Vec::<String>::new());
    let [shop] = packages.as_slice() else {
        panic!("one package")
    };
    assert_eq!(
        paths(&shop.models),
        "models:.hidden/h.sql models:a/z.SQL models:b.sql"
    );
    assert_eq!(paths(&shop.seeds), "seeds:s.csv");
    assert_eq!(paths(&shop.macros), "macros:m.sql tests/generic:g.sql");
    assert_eq!(paths(&shop.tests), "tests:deep/generic/t.sql tests:t.sql");
    assert_eq!(paths(&shop.analyses), "analyses:an.sql");
    assert_eq!(paths(&shop.snapshots), "snapshots:sn.sql");
    assert_eq!(
        paths(&shop.properties),
        "models:a/schema.yml seeds:seeds.yaml"
    );
    assert_eq!(paths(&shop.docs), "models:docs.md");
    assert_eq!(shop.models[2].file.text, "select 1");
    assert_eq!(shop.seeds[0].file.text, "");
    assert!(shop.seeds[0].file.absolute.is_file());
}

#[test]
fn ignored_and_made_folders_are_left_out() {
    let folder = folder(&[
        "dbt_project.yml|name: shop\nmodel-paths: ['.', sub]\ntarget-path: out\nlog-path: sub/logs\nmacro-paths: []\n",
        ".dbtignore|*_old.sql\n/drafts/\n",
        "a.sql",
        "a_old.sql",
        "drafts/d.sql",
        "out/compiled.sql",
        "sub/s.sql",
        "sub/logs/l.sql",
        "dbt_packages/utils/dbt_project.yml|name: utils",
        "dbt_packages/utils/models/u.sql",
        "dbt_packages/utils/dbt_packages/utils/models/v.sql",
    ]);
    let (packages, diagnostics) = load_folder(&folder);
    assert_eq!(diagnostics, Vec::<String>::new());
    let [shop, utils] = packages.as_slice() else {
        panic!("two packages")
    };
    assert_eq!(paths(&shop.models), ".:a.sql .:sub/s.sql");
    assert_eq!(paths(&utils.models), "models:u.sql");
    assert_eq!(&*utils.project.name, "utils");
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let folder = folder(&["dbt_project.yml|name: shop", "models/a.sql", "models/p.py"]);
    fs::write(
        folder.path().join("models/bad.sql"),
        b"select 1\n-- caf\xe9",
    )
    .expect("a file");
    let (packages, diagnostics) = load_folder(&folder);
    assert_eq!(paths(&packages[0].models), "models:a.sql");
    insta::assert_snapshot!(diagnostics.join("\n\n"));
}

#[test]
fn packages_that_are_missing_broken_or_twice_there_are_named() {
    let folder = folder(&[
        "dbt_project.yml|name: shop",
        "packages.yml|packages:\n  - package: dbt-labs/dbt_utils\n    version: 1.3.0\n  - git: https://example.com/audit-helper.git\n  - local: ../mine\n  - version: 1\n  - package: dbt-labs/codegen\n  - package: a/b\n",
        "dbt_packages/dbt_utils/dbt_project.yml|name: dbt_utils\nodd-key: 1\n",
        "dbt_packages/empty/notes.md",
        "dbt_packages/same/dbt_project.yml|name: dbt_utils",
        "dbt_packages/broken/dbt_project.yml|nam: x",
    ]);
    let (packages, diagnostics) = load_folder(&folder);
    assert_eq!(packages.len(), 2);
    insta::assert_snapshot!(diagnostics.join("\n\n"));
}
