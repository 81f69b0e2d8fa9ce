//! The built-in macros, embedded in the binary: those of every database, then those of a dialect.
//!
//! They bear dbt's names, so that a project or a package can override each.

use std::sync::Arc;

use include_dir::{Dir, include_dir};

use super::language::MacroFile;
use crate::dialect::Dialect;
use crate::source::SourceFile;

static FILES: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/src/builtin");

/// What the paths of built-in files begin with.
const FOLDER: &str = "<builtin>/";

/// Tells whether a file is one of the binary's own, which users cannot edit.
pub fn is_builtin(file: &SourceFile) -> bool {
    file.path.starts_with(FOLDER)
}

/// The package of the macros that every dialect has.
pub const PACKAGE: &str = "dbt";

/// The package of a dialect's own macros.
pub fn dialect_package(dialect: &Dialect) -> Arc<str> {
    format!("{PACKAGE}_{}", dialect.name).into()
}

/// The built-in packages in the order in which names are looked up: the dialect's, then `dbt`.
pub fn packages(dialect: &Dialect) -> Vec<Arc<str>> {
    vec![dialect_package(dialect), PACKAGE.into()]
}

/// The macros of a dialect: package `dbt_<dialect>`, then package `dbt`.
///
/// Their paths look like `<builtin>/default/table.sql`.
pub fn macro_files(dialect: &Dialect) -> Vec<MacroFile> {
    let mut files = folder(dialect.name, dialect_package(dialect));
    files.extend(folder("default", PACKAGE.into()));
    files
}

fn folder(name: &str, package: Arc<str>) -> Vec<MacroFile> {
    let mut files: Vec<MacroFile> = FILES
        .get_dir(name)
        .into_iter()
        .flat_map(Dir::files)
        .filter_map(|file| {
            let path = file.path().to_str()?.replace('\\', "/");
            Some(MacroFile {
                package: Arc::clone(&package),
                file: SourceFile::inline(format!("{FOLDER}{path}"), file.contents_utf8()?),
            })
        })
        .collect();
    files.sort_by(|a, b| a.file.path.cmp(&b.file.path));
    files
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::{self, DUCKDB};

    #[test]
    fn every_dialect_has_macros_of_its_own() {
        for dialect in dialect::ALL {
            let files = macro_files(dialect);
            let own = files
                .iter()
                .filter(|file| *file.package == *dialect_package(dialect))
                .count();
            assert!(own > 0 && files.len() > own, "{}", dialect.name);
        }
        let paths: Vec<String> = macro_files(&DUCKDB)
            .iter()
            .map(|file| file.file.path.clone())
            .collect();
        assert!(paths.contains(&"<builtin>/default/table.sql".to_owned()));
        assert!(paths.contains(&"<builtin>/duckdb/relations.sql".to_owned()));
    }
}
