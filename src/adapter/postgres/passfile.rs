//! The file of passwords that libpq reads, `~/.pgpass` or where `PGPASSFILE` points.

use std::path::Path;

/// Whose password is looked for.
pub(super) struct Login<'a> {
    /// The host as the profile has it.
    pub(super) host: &'a str,
    /// The port.
    pub(super) port: u16,
    /// The database.
    pub(super) database: &'a str,
    /// The user.
    pub(super) user: &'a str,
}

/// Finds the password in a file; `None` where there is no file, or other people may read it.
pub(super) fn password(path: &Path, login: &Login<'_>) -> Option<String> {
    if !is_private(path) {
        return None;
    }
    let text = std::fs::read_to_string(path).ok()?;
    find(&text, login)
}

/// libpq ignores a file that others can read.
#[cfg(unix)]
fn is_private(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(path).is_ok_and(|facts| facts.mode() & 0o077 == 0)
}

#[cfg(not(unix))]
fn is_private(path: &Path) -> bool {
    path.is_file()
}

/// The first line that fits counts: `host:port:database:user:password`, `*` fits everything.
fn find(text: &str, login: &Login<'_>) -> Option<String> {
    let port = login.port.to_string();
    // A socket's folder is written as `localhost`.
    let host = if login.host.starts_with('/') {
        "localhost"
    } else {
        login.host
    };
    let wanted = [host, &port, login.database, login.user];
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .find_map(|line| {
            let mut fields = fields(line).into_iter();
            let fits = wanted
                .iter()
                .all(|wanted| fields.next().is_some_and(|is| is == "*" || is == **wanted));
            fields.next().filter(|_| fits)
        })
}

/// Cuts at colons; a backslash takes the next character as it is.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        let last = fields.last_mut().expect("there is a first field");
        match character {
            '\\' => last.extend(characters.next()),
            ':' => fields.push(String::new()),
            other => last.push(other),
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_fits_has_the_password() {
        let login = Login {
            host: "db.example",
            port: 5432,
            database: "shop:1",
            user: "ann",
        };
        let text = "\
#db.example:5432:*:*:comment
db.example:5433:*:*:other port
db.example:*:shop\\:1:ann:a\\:b\\\\c
*:*:*:*:everyone
";
        assert_eq!(find(text, &login).as_deref(), Some("a:b\\c"));
        let socket = Login {
            host: "/run/postgresql",
            ..login
        };
        assert_eq!(find(text, &socket).as_deref(), Some("everyone"));
        assert_eq!(find("localhost:*:*:*:x", &socket).as_deref(), Some("x"));
        assert_eq!(find("db.example:5432:shop", &socket), None);
    }
}
