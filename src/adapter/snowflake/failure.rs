//! What the client's errors mean.

use std::error::Error as _;

use snowflake_connector_rs::{Error, ErrorKind};

use crate::adapter::{AdapterError, AdapterErrorKind};

/// What a failure of the network lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// Nothing: the server has answered.
    Nothing,
    /// The request, before the server took it up.
    Unsent,
    /// Perhaps only the reply.
    Reply,
}

/// Tells what was lost.
pub(super) fn lost(error: &Error) -> Lost {
    match error.kind() {
        ErrorKind::Network => {
            let mut source = error.source();
            while let Some(cause) = source {
                if let Some(request) = cause.downcast_ref::<reqwest::Error>() {
                    return if request.is_connect() {
                        Lost::Unsent
                    } else {
                        Lost::Reply
                    };
                }
                source = cause.source();
            }
            // The client keeps a status only in its words.
            match status(error) {
                Some(429) => Lost::Unsent,
                Some(408 | 500..=599) => Lost::Reply,
                Some(_) => Lost::Nothing,
                None => Lost::Reply,
            }
        }
        ErrorKind::Timeout => Lost::Reply,
        _ => Lost::Nothing,
    }
}

/// The status of a reply that was refused as a whole.
fn status(error: &Error) -> Option<u16> {
    let words = error.to_string();
    let (_, rest) = words.split_once("HTTP ")?;
    rest.get(..3)?.parse().ok()
}

/// Tells whether the login is at its end: the statement was not run, or is no longer waited for.
pub(super) fn is_expired(error: &Error) -> bool {
    const CODES: [&str; 4] = ["390104", "390111", "390112", "390114"];
    error.is_session_expired()
        || error
            .snowflake_code()
            .is_some_and(|code| CODES.contains(&code))
}

/// The error of a login.
pub(super) fn of_login(error: &Error) -> AdapterError {
    let mut failed = failure(error, "", false);
    failed.kind = AdapterErrorKind::Connection;
    failed
}

/// Turns the client's error into ours; `sql` is the text that the server's position counts in.
pub(super) fn failure(error: &Error, sql: &str, cancelled: bool) -> AdapterError {
    let kind = match error.kind() {
        ErrorKind::Cancelled => AdapterErrorKind::Cancelled,
        ErrorKind::Server if cancelled && error.snowflake_code() == Some("000604") => {
            AdapterErrorKind::Cancelled
        }
        _ if cancelled && lost(error) != Lost::Nothing => AdapterErrorKind::Cancelled,
        ErrorKind::Server | ErrorKind::BindEncode | ErrorKind::Decode => {
            AdapterErrorKind::Statement
        }
        _ => AdapterErrorKind::Connection,
    };
    let message = match error.snowflake_message() {
        Some(message) => message.to_owned(),
        None => with_causes(error),
    };
    AdapterError {
        kind,
        offset: offset(&message, sql),
        message,
        code: error.snowflake_code().map(str::to_owned),
        detail: error.query_id().map(|id| format!("the query's id is {id}")),
        hint: None,
    }
}

fn with_causes(error: &Error) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        if !message.contains(&words) {
            message = format!("{message}: {words}");
        }
        source = cause.source();
    }
    message
}

/// Finds the place that the server's words name: `error line 2 at position 7`, the line from 1 and
/// the position from 0.
fn offset(message: &str, sql: &str) -> Option<usize> {
    let (_, rest) = message.split_once("error line ")?;
    let (line, rest) = rest.split_once(" at position ")?;
    let end = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    let (line, position): (usize, usize) = (line.parse().ok()?, rest[..end].parse().ok()?);
    let mut lines = sql.split_inclusive('\n');
    let before: usize = lines
        .by_ref()
        .take(line.checked_sub(1)?)
        .map(str::len)
        .sum();
    let (at, _) = lines.next()?.char_indices().nth(position)?;
    Some(before + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_found_in_the_text() {
        let message = "SQL compilation error: error line 2 at position 3\ninvalid identifier 'X'";
        assert_eq!(offset(message, "select\n  ä, x"), Some(7 + 4));
        assert_eq!(offset(message, "select 1"), None);
        assert_eq!(offset("Object 'T' does not exist", "select 1"), None);
    }
}
