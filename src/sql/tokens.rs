//! SQL as a stream of tokens: what a text says apart from its layout, and whether it reads the clock.
//!
//! Nothing here knows what a statement means.

use sha2::{Digest, Sha256};
use sqlparser::keywords::{Keyword, RESERVED_FOR_COLUMN_ALIAS};
use sqlparser::tokenizer::{Token, Tokenizer, Whitespace, Word};

use crate::dialect::{Dialect, Folding, Parser};

/// Hashes a text by its tokens: 32 hexadecimal characters that stay the same while comments, white
/// space, the case of keywords and the final `;` change.
///
/// Names without quotes count as the database folds them. Where it keeps their case (and shows it,
/// as in the name of a column), the case counts; so do the keys in Snowflake's `column:Key` paths.
/// A text without tokens, such as an open string, is hashed as it stands.
pub fn fingerprint(dialect: &Dialect, sql: &str) -> String {
    let mut hash = Sha256::new();
    match tokens(dialect, sql) {
        Some(tokens) => {
            hash.update(b"tokens\0");
            for (kind, text) in canonical(dialect, &tokens) {
                hash.update([kind]);
                hash.update((text.len() as u64).to_be_bytes());
                hash.update(text.as_bytes());
            }
        }
        None => {
            hash.update(b"text\0");
            hash.update(sql.as_bytes());
        }
    }
    let digest = hash.finalize();
    let hex = digest.iter().take(16).map(|byte| format!("{byte:02x}"));
    hex.collect()
}

/// Finds the first word by which a text reads the clock, draws a random number or moves a sequence.
///
/// It is returned as written, with `()` where it is a call. What comments, strings and columns are
/// named does not count; a text without tokens is searched word by word.
pub fn volatile(dialect: &Dialect, sql: &str) -> Option<String> {
    let tokens = tokens(dialect, sql).unwrap_or_else(|| words(sql));
    let at = |place: usize| tokens.get(place);
    for (place, token) in tokens.iter().enumerate() {
        let before = place.checked_sub(1).and_then(at);
        match token {
            Token::Word(word) => {
                let name = word.value.to_ascii_lowercase();
                let called = at(place + 1) == Some(&Token::LParen);
                let quoted = word.quote_style.is_some();
                let member = before == Some(&Token::Period);
                let named = before.is_some_and(|token| is_word(token, "as"));
                if called && is_volatile_call(&name, &tokens[place + 2..]) {
                    return Some(format!("{}()", word.value));
                }
                if !quoted && !member && !named && CLOCK.contains(&name.as_str()) {
                    return Some(word.value.clone());
                }
                // `sequence.nextval` moves a sequence without being called.
                if !quoted && member && dialect.parser == Parser::Snowflake && name == "nextval" {
                    return Some(word.value.clone());
                }
            }
            // Postgres makes a date of these words wherever one is asked for.
            Token::SingleQuotedString(text)
                if dialect.parser == Parser::Postgres
                    && MOMENTS.contains(&text.trim().to_ascii_lowercase().as_str()) =>
            {
                return Some(format!("'{text}'"));
            }
            _ => {}
        }
    }
    None
}

/// Tells whether a text holds nothing but comments and white space.
pub fn is_blank(dialect: &Dialect, sql: &str) -> bool {
    tokens(dialect, sql).is_some_and(|tokens| tokens.is_empty())
}

/// Tells whether a comment opens within another, where readers of SQL disagree about its end.
pub(super) fn has_nested_comment(dialect: &Dialect, sql: &str) -> bool {
    let tokens = Tokenizer::new(super::grammar(dialect), sql).tokenize();
    tokens.unwrap_or_default().iter().any(|token| match token {
        Token::Whitespace(Whitespace::MultiLineComment(text)) => text.contains("/*"),
        _ => false,
    })
}

/// Keywords that read the clock without being called.
const CLOCK: &[&str] = &[
    "current_date",
    "current_time",
    "current_timestamp",
    "localtime",
    "localtimestamp",
];

/// Strings that Postgres reads as the time of the statement.
const MOMENTS: &[&str] = &["now", "today", "tomorrow", "yesterday"];

/// Functions whose result is another one the next time, in any of the databases.
const VOLATILE: &[&str] = &[
    // The clock.
    "now",
    "today",
    "getdate",
    "sysdate",
    "systimestamp",
    "timeofday",
    "clock_timestamp",
    "statement_timestamp",
    "transaction_timestamp",
    "get_current_time",
    "get_current_timestamp",
    "current_localtime",
    "current_localtimestamp",
    // Chance.
    "random",
    "random_normal",
    "rand",
    "setseed",
    "gen_salt",
    "gen_random_bytes",
    "gen_random_uuid",
    "uuidv4",
    "uuidv7",
    "uuid_string",
    "uuid_generate_v1",
    "uuid_generate_v1mc",
    "uuid_generate_v4",
    // Sequences and the session.
    "nextval",
    "currval",
    "lastval",
    "setval",
    "seq1",
    "seq2",
    "seq4",
    "seq8",
    "txid_current",
    "pg_current_xact_id",
    "current_transaction",
    "last_query_id",
];

/// Tells whether a call is volatile; `rest` starts behind its `(`.
fn is_volatile_call(name: &str, rest: &[Token]) -> bool {
    match name {
        // With an argument, a cast.
        "uuid" => rest.first() == Some(&Token::RParen),
        // With one argument, the time since then.
        "age" => {
            let mut depth = 0_u32;
            for token in rest {
                match token {
                    Token::LParen | Token::LBracket | Token::LBrace => depth += 1,
                    Token::RParen if depth == 0 => return true,
                    Token::RParen | Token::RBracket | Token::RBrace => {
                        depth = depth.saturating_sub(1);
                    }
                    Token::Comma if depth == 0 => return false,
                    _ => {}
                }
            }
            true
        }
        _ => VOLATILE.contains(&name) || CLOCK.contains(&name),
    }
}

/// Cuts a text into tokens, without white space and comments, literals as they are written.
fn tokens(dialect: &Dialect, sql: &str) -> Option<Vec<Token>> {
    let mut tokens = Tokenizer::new(super::grammar(dialect), sql)
        .with_unescape(false)
        .tokenize()
        .ok()?;
    tokens.retain(|token| !matches!(token, Token::Whitespace(_) | Token::EOF));
    Some(tokens)
}

/// Cuts a text that has no tokens into words and brackets.
fn words(sql: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut word = String::new();
    for character in sql.chars().chain([' ']) {
        if character.is_alphanumeric() || character == '_' {
            word.push(character);
            continue;
        }
        if !word.is_empty() {
            found.push(Token::make_word(&word, None));
            word.clear();
        }
        match character {
            '(' => found.push(Token::LParen),
            ')' => found.push(Token::RParen),
            ',' => found.push(Token::Comma),
            '.' => found.push(Token::Period),
            _ => {}
        }
    }
    found
}

/// The kind and the text of each token; no two streams that differ in more than case have the same.
fn canonical<'t>(dialect: &Dialect, tokens: &'t [Token]) -> Vec<(u8, String)> {
    let end = tokens
        .iter()
        .rposition(|token| *token != Token::SemiColon)
        .map_or(0, |last| last + 1);
    let mut before: Option<&'t Token> = None;
    let mut in_path = false;
    let mut result = Vec::with_capacity(end);
    for (place, token) in tokens[..end].iter().enumerate() {
        let text = match token {
            Token::Word(word) if word.quote_style.is_none() => {
                let joined = matches!(before, Some(Token::Period | Token::Colon));
                in_path &= joined;
                let called = tokens.get(place + 1) == Some(&Token::LParen);
                let named = before.is_some_and(|token| is_word(token, "as"));
                let folded = match dialect.folding {
                    Folding::Lower | Folding::Upper => !in_path,
                    Folding::Insensitive => (called || is_reserved(word)) && !named,
                };
                (
                    b'w',
                    if folded {
                        word.value.to_ascii_lowercase()
                    } else {
                        word.value.clone()
                    },
                )
            }
            Token::Word(word) => (b'q', word.to_string()),
            Token::SingleQuotedString(text) => (b's', text.clone()),
            other => {
                match other {
                    Token::Colon => in_path = dialect.parser == Parser::Snowflake,
                    Token::Period | Token::LBracket | Token::RBracket | Token::Number(..) => {}
                    _ => in_path = false,
                }
                (b'p', other.to_string())
            }
        };
        result.push(text);
        before = Some(token);
    }
    result
}

/// Tells whether a word can be nothing but SQL's own, so that its case says nothing.
fn is_reserved(word: &Word) -> bool {
    const MORE: &[Keyword] = &[
        Keyword::ALL,
        Keyword::AND,
        Keyword::AS,
        Keyword::ASC,
        Keyword::BETWEEN,
        Keyword::CASE,
        Keyword::CROSS,
        Keyword::DESC,
        Keyword::DISTINCT,
        Keyword::ELSE,
        Keyword::EXISTS,
        Keyword::FULL,
        Keyword::IN,
        Keyword::INNER,
        Keyword::IS,
        Keyword::JOIN,
        Keyword::LEFT,
        Keyword::LIKE,
        Keyword::NOT,
        Keyword::NULL,
        Keyword::ON,
        Keyword::OR,
        Keyword::OVER,
        Keyword::RIGHT,
        Keyword::THEN,
        Keyword::USING,
        Keyword::WHEN,
        Keyword::BY,
    ];
    MORE.contains(&word.keyword) || RESERVED_FOR_COLUMN_ALIAS.contains(&word.keyword)
}

fn is_word(token: &Token, text: &str) -> bool {
    matches!(token, Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::{ALL, DUCKDB, POSTGRES, SNOWFLAKE};

    #[test]
    fn layout_comments_and_the_case_of_keywords_do_not_count() {
        for dialect in ALL {
            let one = "select a, count(*) as n from t where b = 'X' group by a";
            let other = "-- why\nSELECT a , COUNT( * ) AS n\n/* what */ FROM t\n WHERE b='X'\nGROUP BY a ;;\n";
            assert_eq!(
                fingerprint(dialect, one),
                fingerprint(dialect, other),
                "{}",
                dialect.name
            );
        }
        assert_eq!(fingerprint(&POSTGRES, "").len(), 32);
    }

    #[test]
    fn what_changes_the_result_counts() {
        for (dialect, one, other) in [
            (&POSTGRES, "select 'a'", "select 'A'"),
            (&POSTGRES, "select \"a\"", "select \"A\""),
            (&POSTGRES, "select \"a\"", "select a"),
            (&POSTGRES, "select \"a\"", "select 'a'"),
            (&POSTGRES, "select 1", "select 1.0"),
            (&POSTGRES, "select ab", "select a b"),
            (&POSTGRES, "select a; select b", "select a select b"),
            (&POSTGRES, "select 'it''s'", "select 'it', 's'"),
            (&POSTGRES, "select 'a  b'", "select 'a b'"),
            (&POSTGRES, "select $$a$$", "select 'a'"),
            (&POSTGRES, "select 'a -- b'", "select 'a '"),
            (&POSTGRES, "select < =", "select <="),
            // Shown as written: the name of a column, the key in a document.
            (&DUCKDB, "select 1 as Total", "select 1 as total"),
            (&DUCKDB, "select count(*) Total", "select count(*) total"),
            (&SNOWFLAKE, "select a:Key from t", "select a:key from t"),
            (&SNOWFLAKE, "select a:b.Key", "select a:b.key"),
            (&SNOWFLAKE, "select a:b[0].Key", "select a:b[0].key"),
        ] {
            assert_ne!(
                fingerprint(dialect, one),
                fingerprint(dialect, other),
                "{one}"
            );
        }
    }

    #[test]
    fn names_are_folded_as_the_database_folds_them() {
        for dialect in [&POSTGRES, &SNOWFLAKE] {
            let folded = fingerprint(dialect, "select ORDER_ID as Id from Orders");
            assert_eq!(
                folded,
                fingerprint(dialect, "select order_id as id from orders")
            );
        }
        let cast = fingerprint(&SNOWFLAKE, "select a:Key::TEXT FROM t");
        assert_eq!(cast, fingerprint(&SNOWFLAKE, "select A:Key::text from T"));
    }

    #[test]
    fn a_text_without_tokens_is_hashed_as_it_stands() {
        let open = fingerprint(&POSTGRES, "select 'open");
        assert_ne!(open, fingerprint(&POSTGRES, "select  'open"));
        assert_eq!(open, fingerprint(&POSTGRES, "select 'open"));
    }

    #[test]
    fn the_clock_and_chance_are_found() {
        for (dialect, sql, found) in [
            (&POSTGRES, "select CURRENT_DATE", "CURRENT_DATE"),
            (
                &POSTGRES,
                "select current_timestamp(3)",
                "current_timestamp()",
            ),
            (&POSTGRES, "select a from t where b < Now ( )", "Now()"),
            (&POSTGRES, "select pg_catalog.now()", "now()"),
            (&POSTGRES, "select \"now\"()", "now()"),
            (&POSTGRES, "select localtime, random()", "localtime"),
            (&POSTGRES, "select age(least(a, b)) from t", "age()"),
            (&POSTGRES, "select a from t where d = 'today'", "'today'"),
            (&POSTGRES, "select nextval('s')", "nextval()"),
            (&POSTGRES, "select gen_random_uuid()", "gen_random_uuid()"),
            (&DUCKDB, "select today()", "today()"),
            (&DUCKDB, "select uuid()", "uuid()"),
            (&DUCKDB, "select setseed(0.5)", "setseed()"),
            (&SNOWFLAKE, "select sysdate()", "sysdate()"),
            (&SNOWFLAKE, "select s.nextval from t", "nextval"),
            (&SNOWFLAKE, "select uuid_string()", "uuid_string()"),
            (&POSTGRES, "select 'open, now()", "now()"),
        ] {
            assert_eq!(volatile(dialect, sql).as_deref(), Some(found), "{sql}");
        }
    }

    #[test]
    fn what_is_only_named_so_is_not_the_clock() {
        for (dialect, sql) in [
            (
                &POSTGRES,
                "select now, t.current_date, 1 as current_date from t",
            ),
            (
                &POSTGRES,
                "select 'now() it is' -- current_date\n/* random() */",
            ),
            (&POSTGRES, "select \"current_date\", \"now\" from t"),
            (&POSTGRES, "select age(a, b), age(f(a), b) from t"),
            (&POSTGRES, "select uuid('0'), today from t"),
            (&DUCKDB, "select 'today' as word, nextval from t"),
            (&SNOWFLAKE, "select \"nextval\", randomize(1) from t"),
        ] {
            assert_eq!(volatile(dialect, sql), None, "{sql}");
        }
    }
}
