//! Reads just enough of SQL text to find its statements, and what each means for the session.
//!
//! A request holds one statement here: several in one are an option that sessions have to be asked
//! for, and their replies say less.

use crate::adapter::tokens::{Backslashes, Lexis, tokens};

const LEXIS: Lexis = Lexis {
    line_comments: &["--", "//"],
    nested_comments: false,
    backslashes: Backslashes::Everywhere,
    dollar_tags: false,
};

/// What a statement means for the transaction it stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Opens a transaction.
    Begin,
    /// Ends it, and keeps what was done.
    Commit,
    /// Ends it, and undoes what was done.
    Rollback,
    /// Only reads; belongs to no transaction.
    Read,
    /// Changes rows, as part of a transaction.
    Change,
    /// Changes the session, such as `use` and `alter session`.
    Setting,
    /// Everything else, DDL above all: the server commits what is open before it.
    Definition,
}

/// What is known of one statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Statement<'a> {
    /// Its text, without the semicolon.
    pub(super) text: &'a str,
    /// Where it starts in the whole text, in bytes.
    pub(super) start: usize,
    /// Its meaning.
    pub(super) kind: Kind,
    /// Whether running it twice leaves what running it once does.
    pub(super) repeatable: bool,
    /// The table that lives as long as the session, where it makes or drops one.
    pub(super) temporary: Option<Temporary>,
    /// What it sets, in upper case, where it sets something of the session.
    pub(super) setting: Option<String>,
}

/// What becomes of a temporary table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Temporary {
    /// It is made.
    Made(String),
    /// A table of this name is dropped, be it temporary or not.
    Dropped(String),
}

/// Cuts a text into its statements; empty ones are left out.
///
/// A scripting block (`begin ... end`, `declare ... end`) is one statement to the end of the text.
pub(super) fn split(sql: &str) -> Vec<Statement<'_>> {
    let mut statements = Vec::new();
    let mut words: Vec<&str> = Vec::new();
    let mut start = None;
    let mut block = false;
    for (token, at) in tokens(&LEXIS, sql) {
        if token == ";" && !block {
            if let Some(start) = start.take() {
                statements.push(statement(&sql[start..at], start, &words));
            }
            words.clear();
            continue;
        }
        start.get_or_insert(at);
        words.push(token);
        block = block || opens_block(&words);
    }
    if let Some(start) = start {
        statements.push(statement(sql[start..].trim_end(), start, &words));
    }
    statements
}

/// Tells whether the tokens so far begin a block, inside which semicolons end nothing.
fn opens_block(words: &[&str]) -> bool {
    let is = |word: &str, wanted: &str| word.eq_ignore_ascii_case(wanted);
    match words {
        [first] => is(first, "declare"),
        [first, second] if is(first, "begin") => !["transaction", "work", "name"]
            .iter()
            .any(|word| is(second, word)),
        // The body of a procedure without dollar quotes.
        [first, .., before, last] if is(first, "create") => {
            is(before, "as") && (is(last, "begin") || is(last, "declare"))
        }
        _ => false,
    }
}

fn statement<'a>(text: &'a str, start: usize, tokens: &[&str]) -> Statement<'a> {
    let words: Vec<String> = tokens.iter().map(|word| word.to_uppercase()).collect();
    let word = |index: usize| words.get(index).map_or("", String::as_str);
    let has = |wanted: &str| words.iter().any(|word| word == wanted);
    let block = opens_block(&tokens[..tokens.len().min(2)]) || word(0) == "DECLARE";
    let kind = match word(0) {
        "BEGIN" if !block => Kind::Begin,
        "START" if word(1) == "TRANSACTION" => Kind::Begin,
        "COMMIT" => Kind::Commit,
        "ROLLBACK" => Kind::Rollback,
        "SELECT" | "WITH" | "VALUES" | "SHOW" | "DESCRIBE" | "DESC" | "LIST" | "LS" | "EXPLAIN" => {
            Kind::Read
        }
        "(" => Kind::Read,
        "INSERT" | "UPDATE" | "DELETE" | "MERGE" | "COPY" | "TRUNCATE" => Kind::Change,
        "USE" | "SET" | "UNSET" => Kind::Setting,
        "ALTER" if word(1) == "SESSION" => Kind::Setting,
        _ => Kind::Definition,
    };
    let repeatable = match kind {
        // A second `begin`, `commit` or `rollback` of a session does nothing.
        Kind::Begin | Kind::Commit | Kind::Rollback | Kind::Setting => true,
        // Numbers of a sequence that nobody got are no loss.
        Kind::Read => !words.iter().any(|word| word.starts_with("SYSTEM$")),
        Kind::Change => false,
        Kind::Definition => match word(0) {
            "CREATE" => (word(1) == "OR" && word(2) == "REPLACE") || has("EXISTS"),
            "DROP" => has("EXISTS"),
            "COMMENT" | "GRANT" | "REVOKE" => true,
            _ => false,
        },
    };
    Statement {
        text,
        start,
        kind,
        repeatable,
        temporary: temporary(&words),
        setting: (kind == Kind::Setting).then(|| setting(&words)),
    }
}

fn temporary(words: &[String]) -> Option<Temporary> {
    let is = |word: &String, wanted: &[&str]| wanted.contains(&word.as_str());
    let made = is(words.first()?, &["CREATE"]);
    let dropped = words[0] == "DROP" && words.get(1).is_some_and(|word| word == "TABLE");
    if !made && !dropped {
        return None;
    }
    let at = words.iter().position(|word| word == "TABLE")?;
    if made {
        words[..at]
            .iter()
            .find(|word| is(word, &["TEMP", "TEMPORARY", "VOLATILE"]))?;
    }
    let rest = words[at + 1..]
        .iter()
        .skip_while(|word| is(word, &["IF", "NOT", "EXISTS"]));
    // A name is words with dots between them: its last part is enough.
    let mut name = String::new();
    let mut dot = true;
    for word in rest {
        if word == "." {
            dot = true;
        } else if dot {
            name.clone_from(word);
            dot = false;
        } else {
            break;
        }
    }
    let name = name.trim_matches('"').to_owned();
    Some(if made {
        Temporary::Made(name)
    } else {
        Temporary::Dropped(name)
    })
}

/// What is set: `USE WAREHOUSE`, `ALTER SESSION QUERY_TAG`, `SET X`.
fn setting(words: &[String]) -> String {
    let of = |index: usize| words.get(index).map_or("", String::as_str);
    match of(0) {
        "ALTER" => format!("ALTER SESSION {}", of(3)),
        "UNSET" => format!("SET {}", of(1)),
        "USE" if of(1) == "SECONDARY" => "USE SECONDARY ROLES".to_owned(),
        "USE" if ["WAREHOUSE", "ROLE", "SCHEMA"].contains(&of(1)) => format!("USE {}", of(1)),
        "USE" => "USE DATABASE".to_owned(),
        first => format!("{first} {}", of(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(sql: &str) -> Vec<&str> {
        split(sql).iter().map(|found| found.text).collect()
    }

    fn one(sql: &str) -> Statement<'_> {
        let mut found = split(sql);
        assert_eq!(found.len(), 1, "{sql}");
        found.remove(0)
    }

    #[test]
    fn semicolons_inside_quotes_comments_and_blocks_do_not_split() {
        assert_eq!(
            texts(
                "select ';\\';', \"a;b\" /* ; */ -- ;\n // ;\n; select $$ ; $$;;\n select 'it''s; ok' ;"
            ),
            [
                "select ';\\';', \"a;b\" /* ; */ -- ;\n // ;\n",
                "select $$ ; $$",
                "select 'it''s; ok' ",
            ]
        );
        assert_eq!(texts("-- nothing\n;"), Vec::<&str>::new());
        assert_eq!(
            texts("begin; begin transaction; commit"),
            ["begin", "begin transaction", "commit"]
        );
        assert_eq!(
            texts("select 1; begin let x := 1; return x; end;"),
            ["select 1", "begin let x := 1; return x; end;"]
        );
        assert_eq!(
            texts("create procedure p() returns int as begin a; b; end;").len(),
            1
        );
    }

    #[test]
    fn statements_know_what_they_do_to_a_transaction() {
        let cases = [
            ("begin", Kind::Begin),
            ("START TRANSACTION", Kind::Begin),
            ("begin let x := 1; end", Kind::Definition),
            ("/* {\"app\": 1} */ commit", Kind::Commit),
            ("rollback work", Kind::Rollback),
            ("with a as (select 1) select * from a", Kind::Read),
            ("insert into t values (1)", Kind::Change),
            ("truncate table t", Kind::Change),
            ("create table t (a int)", Kind::Definition),
            ("call p()", Kind::Definition),
            ("use warehouse w", Kind::Setting),
            ("alter session set query_tag = 'x'", Kind::Setting),
            ("alter table t add column a int", Kind::Definition),
        ];
        for (sql, kind) in cases {
            assert_eq!(one(sql).kind, kind, "{sql}");
        }
    }

    #[test]
    fn only_what_may_run_twice_is_repeatable() {
        for sql in [
            "select 1",
            "create or replace table t as select 1",
            "drop table if exists t",
            "commit",
            "create schema if not exists s",
            "select s.nextval",
        ] {
            assert!(one(sql).repeatable, "{sql}");
        }
        for sql in [
            "insert into t select 1",
            "delete from t",
            "create table t as select 1",
            "alter table t rename to u",
            "select system$cancel_query('x')",
            "call p()",
        ] {
            assert!(!one(sql).repeatable, "{sql}");
        }
    }

    #[test]
    fn temporary_tables_and_settings_are_noticed() {
        assert_eq!(
            one("create or replace temporary table d.\"S\".t__tmp as (select 1)").temporary,
            Some(Temporary::Made("T__TMP".into()))
        );
        assert_eq!(
            one("drop table if exists d.s.t__tmp cascade").temporary,
            Some(Temporary::Dropped("T__TMP".into()))
        );
        assert_eq!(one("create table t (temporary int)").temporary, None);
        let settings = [
            ("use warehouse \"big\"", "USE WAREHOUSE"),
            ("use my_db", "USE DATABASE"),
            ("use secondary roles all", "USE SECONDARY ROLES"),
            (
                "alter session set query_tag = 'a'",
                "ALTER SESSION QUERY_TAG",
            ),
            ("alter session unset query_tag", "ALTER SESSION QUERY_TAG"),
            ("set x = 1", "SET X"),
        ];
        for (sql, set) in settings {
            assert_eq!(one(sql).setting.as_deref(), Some(set), "{sql}");
        }
    }
}
