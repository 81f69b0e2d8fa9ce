//! Reads just enough of SQL text to find its statements and to name the last one as the server does.
//!
//! The client library keeps only the number of a command tag, so the words come from the text.

use crate::adapter::Response;
use crate::adapter::tokens::{Backslashes, Lexis, tokens};

const LEXIS: Lexis = Lexis {
    line_comments: &["--"],
    nested_comments: true,
    backslashes: Backslashes::Marked,
    dollar_tags: true,
};

/// Cuts a text into its statements, each without the semicolon; empty ones are left out.
pub(super) fn split(sql: &str) -> Vec<&str> {
    let mut statements = Vec::new();
    let mut start = None;
    for (token, at) in tokens(&LEXIS, sql) {
        if token == ";" {
            if let Some(start) = start.take() {
                statements.push(&sql[start..at]);
            }
        } else if start.is_none() {
            start = Some(at);
        }
    }
    if let Some(start) = start {
        statements.push(sql[start..].trim_end());
    }
    statements
}

/// Makes the response to a text: the tag of its last statement, with the number that came back.
pub(super) fn response(sql: &str, count: u64) -> Response {
    let statements = split(sql);
    let (code, counts) = tag(statements.last().copied().unwrap_or_default());
    let message = match (counts, code.as_str()) {
        (false, _) => code.clone(),
        (true, "INSERT") => format!("INSERT 0 {count}"),
        (true, _) => format!("{code} {count}"),
    };
    Response {
        message,
        code,
        rows_affected: counts.then_some(count),
        query_id: None,
    }
}

/// The words of a statement's tag, and whether a number follows them.
fn tag(sql: &str) -> (String, bool) {
    let words = top_level_words(sql);
    let word = |index: usize| words.get(index).map_or("", String::as_str);
    let first = match word(0) {
        // The statement that follows the common table expressions.
        "WITH" => words[1..]
            .iter()
            .map(String::as_str)
            .find(|word| ["SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "VALUES"].contains(word))
            .unwrap_or("SELECT"),
        other => other,
    };
    match first {
        "" => (String::new(), false),
        "VALUES" | "TABLE" | "SELECT" => ("SELECT".into(), true),
        "INSERT" | "UPDATE" | "DELETE" | "MERGE" | "COPY" | "FETCH" | "MOVE" => {
            (first.into(), true)
        }
        "CREATE" => create(&words),
        "DROP" | "ALTER" => (format!("{first} {}", object(&words[1..])), false),
        "TRUNCATE" => ("TRUNCATE TABLE".into(), false),
        "REFRESH" => ("REFRESH MATERIALIZED VIEW".into(), false),
        "LOCK" => ("LOCK TABLE".into(), false),
        "START" => ("START TRANSACTION".into(), false),
        "END" => ("COMMIT".into(), false),
        "ABORT" => ("ROLLBACK".into(), false),
        _ => (first.into(), false),
    }
}

fn create(words: &[String]) -> (String, bool) {
    const ADJECTIVES: &[&str] = &[
        "OR",
        "REPLACE",
        "TEMP",
        "TEMPORARY",
        "UNLOGGED",
        "GLOBAL",
        "LOCAL",
        "RECURSIVE",
        "UNIQUE",
        "TRUSTED",
        "PROCEDURAL",
        "CONSTRAINT",
    ];
    let rest = &words[1..];
    let skipped = rest
        .iter()
        .take_while(|word| ADJECTIVES.contains(&word.as_str()))
        .count();
    let object = object(&rest[skipped..]);
    let filled = rest.iter().any(|word| word == "AS")
        && !rest
            .windows(2)
            .any(|pair| pair[0] == "NO" && pair[1] == "DATA");
    match object.as_str() {
        "TABLE" if rest.iter().any(|word| word == "AS") => {
            if filled {
                ("SELECT".into(), true)
            } else {
                ("CREATE TABLE AS".into(), false)
            }
        }
        "MATERIALIZED VIEW" if filled => ("SELECT".into(), true),
        _ => (format!("CREATE {object}"), false),
    }
}

/// The kind of object that a `create`, `drop` or `alter` names.
fn object(words: &[String]) -> String {
    const TWO_WORDS: &[(&str, &str)] = &[
        ("MATERIALIZED", "VIEW"),
        ("FOREIGN", "TABLE"),
        ("EVENT", "TRIGGER"),
        ("ACCESS", "METHOD"),
        ("DEFAULT", "PRIVILEGES"),
        ("OPERATOR", "CLASS"),
        ("OPERATOR", "FAMILY"),
        ("USER", "MAPPING"),
    ];
    let first = words.first().map_or("", String::as_str);
    let second = words.get(1).map_or("", String::as_str);
    if TWO_WORDS.contains(&(first, second)) {
        format!("{first} {second}")
    } else {
        first.to_owned()
    }
}

/// The words outside brackets and quotes, in upper case.
fn top_level_words(sql: &str) -> Vec<String> {
    let mut depth = 0usize;
    let mut words = Vec::new();
    for (token, _) in tokens(&LEXIS, sql) {
        match token {
            "(" => depth += 1,
            ")" => depth = depth.saturating_sub(1),
            word if depth == 0 && word.starts_with(|c: char| c.is_alphabetic()) => {
                words.push(word.to_ascii_uppercase());
            }
            _ => {}
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn semicolons_inside_quotes_and_comments_do_not_split() {
        let sql = "select ';', \"a;b\", E'\\';' /* ; /* ; */ */ -- ;\n; do $x$ begin; end $x$;;\n select 'it''s; ok' ; -- end";
        assert_eq!(
            split(sql),
            [
                "select ';', \"a;b\", E'\\';' /* ; /* ; */ */ -- ;\n",
                "do $x$ begin; end $x$",
                "select 'it''s; ok' ",
            ]
        );
        assert_eq!(split(" -- nothing\n;"), Vec::<&str>::new());
    }

    #[test]
    fn tags_are_the_servers() {
        let cases = [
            ("select 1", "SELECT 3"),
            (
                "-- c\nwith a as (insert into t values (1)) select 1",
                "SELECT 3",
            ),
            (
                "with a as (select 1) insert into t select * from a",
                "INSERT 0 3",
            ),
            ("insert into t values (1)", "INSERT 0 3"),
            ("delete from t", "DELETE 3"),
            ("create temp table t as (select 1)", "SELECT 3"),
            (
                "create table t as (select 1) with no data",
                "CREATE TABLE AS",
            ),
            ("create table \"as\" (a int)", "CREATE TABLE"),
            ("create or replace view v as (select 1)", "CREATE VIEW"),
            (
                "create materialized view if not exists v as select 1",
                "SELECT 3",
            ),
            ("create unique index on t (a)", "CREATE INDEX"),
            ("alter table t rename to u", "ALTER TABLE"),
            (
                "drop materialized view if exists v",
                "DROP MATERIALIZED VIEW",
            ),
            ("begin; select 1; commit;", "COMMIT"),
            ("truncate t", "TRUNCATE TABLE"),
            ("", ""),
        ];
        for (sql, message) in cases {
            assert_eq!(response(sql, 3).message, message, "{sql}");
        }
        assert_eq!(response("create view v as select 1", 0).rows_affected, None);
        assert_eq!(response("update t set a = 1", 3).rows_affected, Some(3));
    }
}
