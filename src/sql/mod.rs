//! Reading SQL: the only user of sqlparser.
//!
//! What this cannot read may still be good SQL: nothing is refused because of it.

pub mod rowwise;
pub mod separable;
pub mod tokens;

use sqlparser::dialect::{DuckDbDialect, PostgreSqlDialect, SnowflakeDialect};
use sqlparser::parser::{Parser as SqlParser, ParserError};

use crate::dialect::{Dialect, Parser};

/// Where and why a text does not parse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// The parser's words.
    pub message: String,
    /// The line, counted from 1; the last one where the text ends too early.
    pub line: usize,
    /// The column in characters, counted from 1.
    pub column: usize,
}

/// Parses a text of one or several statements, and returns how many there are.
///
/// # Errors
/// The first place that is no SQL of the dialect.
pub fn parse(dialect: &Dialect, sql: &str) -> Result<usize, SyntaxError> {
    match SqlParser::parse_sql(grammar(dialect), sql) {
        Ok(statements) => Ok(statements.len()),
        Err(error) => Err(place(error, sql)),
    }
}

/// What sqlparser knows of a dialect.
fn grammar(dialect: &Dialect) -> &'static dyn sqlparser::dialect::Dialect {
    match dialect.parser {
        Parser::DuckDb => &DuckDbDialect {},
        Parser::Postgres => &PostgreSqlDialect {},
        Parser::Snowflake => &SnowflakeDialect,
    }
}

/// Takes the place out of the message, where the parser writes it.
fn place(error: ParserError, sql: &str) -> SyntaxError {
    let text = match error {
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => message,
        ParserError::RecursionLimitExceeded => "it is nested too deeply".to_owned(),
    };
    let written = text.rsplit_once(" at Line: ").and_then(|(message, place)| {
        let (line, column) = place.split_once(", Column: ")?;
        Some((message, line.parse().ok()?, column.parse().ok()?))
    });
    let (message, line, column) = written.unwrap_or_else(|| {
        let last = sql.lines().last().unwrap_or_default();
        (&text, sql.lines().count().max(1), last.chars().count() + 1)
    });
    SyntaxError {
        message: message.to_owned(),
        line,
        column,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::{ALL, DUCKDB, POSTGRES, SNOWFLAKE};

    #[test]
    fn statements_are_counted_in_each_dialect() {
        for dialect in ALL {
            let sql = "create view a as select 1 as x; delete from a where x = 2;";
            assert_eq!(parse(dialect, sql), Ok(2), "{}", dialect.name);
        }
        assert_eq!(parse(&DUCKDB, "from t select struct_pack(a := 1)"), Ok(1));
        assert_eq!(
            parse(&POSTGRES, "select a::text[] from t for update"),
            Ok(1)
        );
        let snowflake = "create or replace transient table t as (select a:b.c::int from t)";
        assert_eq!(parse(&SNOWFLAKE, snowflake), Ok(1));
    }

    #[test]
    fn a_fault_has_its_place() {
        let error = parse(&POSTGRES, "select 1,\n  from from t").expect_err("broken");
        assert_eq!((error.line, error.column), (2, 8), "{error:?}");
        let error = parse(&POSTGRES, "select 'open").expect_err("broken");
        assert_eq!((error.line, error.column), (1, 8), "{error:?}");
        let error = parse(&POSTGRES, "select (1").expect_err("broken");
        assert_eq!((error.line, error.column), (1, 10), "{error:?}");
    }
}
