//! One session with the server.

use std::error::Error as _;
use std::fmt::Write as _;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::future::{BoxFuture, join};
use futures_util::{SinkExt as _, StreamExt as _, TryStreamExt as _};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_postgres::error::{DbError, ErrorPosition, SqlState};
use tokio_postgres::{
    AsyncMessage, CancelToken, Client, CopyInSink, Error, NoTls, SimpleQueryMessage,
    SimpleQueryRow, Socket,
};

use super::decode;
use super::statement;
use super::tls::MakeRustlsConnect;
use crate::adapter::{AdapterError, AdapterErrorKind, Canceller, Connection, Response};
use crate::dialect::POSTGRES;
use crate::relation::Relation;
use crate::table::{Datum, ResultColumn, Table};

/// How many bytes of a bulk load are sent at once.
const CHUNK: usize = 64 * 1024;

/// Notices that wait to be taken.
type Notices = Arc<Mutex<Vec<String>>>;

/// A session.
pub(super) struct Session {
    client: Client,
    /// What the server has said beside its answers, and nobody has taken yet.
    notices: Notices,
    cancel: Arc<Cancel>,
}

/// Asks the server, on a connection of its own, to stop the session's statement.
struct Cancel {
    token: CancelToken,
    /// What the session is encrypted with; the request to stop is too.
    tls: Option<MakeRustlsConnect>,
    /// Whether the statement under way was asked to stop; a timeout of the server's reads the same.
    asked: AtomicBool,
}

impl Canceller for Cancel {
    fn cancel(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.asked.store(true, Ordering::Release);
            // A server that cannot be reached has lost the statement anyway.
            let _ = match &self.tls {
                Some(tls) => self.token.cancel_query(tls.clone()).await,
                None => self.token.cancel_query(NoTls).await,
            };
        })
    }
}

/// Keeps a notice in the server's words, as far as there is room: a loop may raise one for each row.
fn hear(notices: &Notices, notice: &DbError) {
    const ROOM: usize = 1000;
    let mut notices = notices.lock().expect("no holder of this lock panics");
    if notices.len() < ROOM {
        let mut text = format!("{}: {}", notice.severity(), notice.message());
        for (label, more) in [("detail", notice.detail()), ("hint", notice.hint())] {
            if let Some(more) = more {
                text.push_str(&format!("\n{label}: {more}"));
            }
        }
        notices.push(text);
    }
}

/// What the simple protocol answered.
#[derive(Default)]
struct Answer {
    /// Names of the columns of the last statement that returned rows.
    names: Vec<String>,
    rows: Vec<SimpleQueryRow>,
    /// The number in the last command tag.
    count: u64,
}

impl Session {
    /// Starts what moves the bytes, a task that ends with the client, or with the connection: the
    /// next statement then says why.
    pub(super) fn start<T>(
        client: Client,
        mut connection: tokio_postgres::Connection<Socket, T>,
        tls: Option<MakeRustlsConnect>,
    ) -> Session
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let notices = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&notices);
        tokio::spawn(async move {
            let mut messages = poll_fn(|context| connection.poll_message(context));
            while let Some(Ok(message)) = (&mut messages).await {
                if let AsyncMessage::Notice(notice) = message {
                    hear(&heard, &notice);
                }
            }
        });
        let cancel = Cancel {
            token: client.cancel_token(),
            tls,
            asked: AtomicBool::new(false),
        };
        Session {
            client,
            notices,
            cancel: Arc::new(cancel),
        }
    }

    fn failure(&self, error: &Error, sql: &str) -> AdapterError {
        failure(error, sql, self.cancel.asked.load(Ordering::Acquire))
    }

    /// Sends the text as one message, and keeps the rows of its last statement.
    async fn simple(&self, sql: &str) -> Result<Answer, Error> {
        let mut messages = pin!(self.client.simple_query_raw(sql).await?);
        let mut answer = Answer::default();
        let mut ended = false;
        while let Some(message) = messages.try_next().await? {
            if ended {
                answer = Answer::default();
                ended = false;
            }
            match message {
                SimpleQueryMessage::RowDescription(columns) => {
                    let names = columns.iter().map(|column| column.name().to_owned());
                    answer.names = names.collect();
                }
                SimpleQueryMessage::Row(row) => answer.rows.push(row),
                SimpleQueryMessage::CommandComplete(count) => {
                    answer.count = count;
                    ended = true;
                }
                _ => {}
            }
        }
        Ok(answer)
    }

    async fn run(&self, sql: &str) -> Result<Response, AdapterError> {
        self.cancel.asked.store(false, Ordering::Release);
        match self.simple(sql).await {
            Ok(answer) => Ok(statement::response(sql, answer.count)),
            Err(error) => Err(self.failure(&error, sql)),
        }
    }

    /// Runs the text by the simple protocol, and has its last statement described, for the types.
    ///
    /// Of a single statement, both travel together: one round trip.
    async fn query(&self, sql: &str) -> Result<(Response, Table), AdapterError> {
        self.cancel.asked.store(false, Ordering::Release);
        let statements = statement::split(sql);
        let last = statements.last().copied().unwrap_or_default();
        let (described, answer) = if statements.len() > 1 {
            let answer = self.simple(sql).await;
            let described = match &answer {
                Ok(answer) if !answer.names.is_empty() => Some(self.client.prepare(last).await),
                _ => None,
            };
            (described, answer)
        } else {
            let (described, answer) = join(self.client.prepare(sql), self.simple(sql)).await;
            (Some(described), answer)
        };
        let answer = match (answer, &described) {
            (Ok(answer), _) => answer,
            // In a transaction the description fails first, and the statement because of it.
            (Err(error), Some(Err(first)))
                if error.code() == Some(&SqlState::IN_FAILED_SQL_TRANSACTION) =>
            {
                return Err(self.failure(first, sql));
            }
            (Err(error), _) => return Err(self.failure(&error, sql)),
        };
        let types: Vec<_> = match &described {
            Some(Ok(described)) if described.columns().len() == answer.names.len() => {
                let columns = described.columns().iter();
                columns.map(|column| Some(column.type_())).collect()
            }
            _ => vec![None; answer.names.len()],
        };
        let columns = answer
            .names
            .iter()
            .zip(&types)
            .map(|(name, kind)| ResultColumn {
                name: name.clone(),
                data_type: kind.map(decode::type_name).unwrap_or_default(),
            })
            .collect();
        let rows = answer
            .rows
            .iter()
            .map(|row| {
                let values = types.iter().enumerate();
                values
                    .map(|(index, kind)| decode::datum(*kind, row.get(index)))
                    .collect()
            })
            .collect();
        let response = statement::response(last, answer.count);
        Ok((response, Table { columns, rows }))
    }

    /// Loads by `copy`, in its text format.
    async fn copy(&self, relation: &Relation, table: &Table) -> Result<u64, AdapterError> {
        if table.columns.is_empty() {
            return Ok(0);
        }
        self.cancel.asked.store(false, Ordering::Release);
        let columns: Vec<String> = table
            .columns
            .iter()
            .map(|column| POSTGRES.quote_identifier(&column.name))
            .collect();
        let sql = format!(
            "copy {} ({}) from stdin",
            relation.render(&POSTGRES),
            columns.join(", ")
        );
        let sink = self.client.copy_in::<_, Bytes>(&sql).await;
        let mut sink = pin!(sink.map_err(|e| self.failure(&e, &sql))?);
        let copied = async {
            feed(sink.as_mut(), table).await?;
            sink.as_mut().finish().await
        }
        .await;
        match copied {
            Ok(count) => Ok(count),
            Err(error) if error.is_closed() && !self.client.is_closed() => {
                // The server refused a row and ended the copy: its reply says which.
                let reason = sink.as_mut().finish().await.err().unwrap_or(error);
                Err(self.failure(&reason, &sql))
            }
            Err(error) => Err(self.failure(&error, &sql)),
        }
    }
}

async fn feed(mut sink: std::pin::Pin<&mut CopyInSink<Bytes>>, table: &Table) -> Result<(), Error> {
    let mut text = String::with_capacity(CHUNK + 1024);
    for row in &table.rows {
        for (index, datum) in row.iter().enumerate() {
            if index > 0 {
                text.push('\t');
            }
            write_copied(&mut text, datum);
        }
        text.push('\n');
        if text.len() >= CHUNK {
            let full = std::mem::replace(&mut text, String::with_capacity(CHUNK + 1024));
            sink.send(Bytes::from(full)).await?;
        }
    }
    sink.send(Bytes::from(text)).await
}

/// Writes a value as `copy` reads it.
fn write_copied(text: &mut String, datum: &Datum) {
    const INFALLIBLE: &str = "writing to a string does not fail";
    match datum {
        Datum::Null => text.push_str("\\N"),
        Datum::Bool(true) => text.push('t'),
        Datum::Bool(false) => text.push('f'),
        Datum::Int(value) => write!(text, "{value}").expect(INFALLIBLE),
        Datum::Float(value) => write!(text, "{value}").expect(INFALLIBLE),
        Datum::Date(value) => write!(text, "{value}").expect(INFALLIBLE),
        Datum::Time(value) => write!(text, "{value}").expect(INFALLIBLE),
        Datum::Timestamp(value) => write!(text, "{value}").expect(INFALLIBLE),
        Datum::TimestampTz(value) => write!(text, "{value}").expect(INFALLIBLE),
        Datum::Bytes(bytes) => {
            text.push_str("\\\\x");
            for byte in bytes {
                write!(text, "{byte:02x}").expect(INFALLIBLE);
            }
        }
        Datum::Decimal(value) | Datum::Text(value) => write_escaped(text, value),
        Datum::Json(value) => write_escaped(text, &value.to_string()),
    }
}

fn write_escaped(text: &mut String, value: &str) {
    let mut rest = value;
    while let Some(at) = rest.find(['\\', '\n', '\r', '\t']) {
        text.push_str(&rest[..at]);
        text.push_str(match rest.as_bytes()[at] {
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            _ => "\\t",
        });
        rest = &rest[at + 1..];
    }
    text.push_str(rest);
}

impl Connection for Session {
    fn execute<'a>(&'a mut self, sql: &'a str) -> BoxFuture<'a, Result<Response, AdapterError>> {
        Box::pin(self.run(sql))
    }

    fn fetch<'a>(
        &'a mut self,
        sql: &'a str,
    ) -> BoxFuture<'a, Result<(Response, Table), AdapterError>> {
        Box::pin(self.query(sql))
    }

    fn load<'a>(
        &'a mut self,
        relation: &'a Relation,
        rows: &'a Table,
    ) -> BoxFuture<'a, Result<u64, AdapterError>> {
        Box::pin(self.copy(relation, rows))
    }

    fn stream_out<'a>(
        &'a mut self,
        sql: &'a str,
        take: &'a mut (dyn FnMut(&[u8]) -> std::io::Result<()> + Send),
    ) -> BoxFuture<'a, Result<(), AdapterError>> {
        Box::pin(async move {
            self.cancel.asked.store(false, Ordering::Release);
            let rows = self.client.copy_out(sql).await;
            let mut rows = pin!(rows.map_err(|e| self.failure(&e, sql))?);
            let mut refused = None;
            // To its end in any case: what is left unread would meet the next statement.
            while let Some(piece) = rows.next().await {
                let piece = piece.map_err(|e| self.failure(&e, sql))?;
                if refused.is_none() {
                    refused = take(&piece).err();
                }
            }
            match refused {
                None => Ok(()),
                Some(error) => Err(AdapterError::new(
                    AdapterErrorKind::Statement,
                    format!("the rows cannot be written down: {error}"),
                )),
            }
        })
    }

    fn is_open(&mut self) -> BoxFuture<'_, bool> {
        Box::pin(async {
            // The first turn hears what has arrived, the second acts on it.
            for _ in 0..2 {
                tokio::task::yield_now().await;
            }
            !self.client.is_closed()
        })
    }

    fn take_notices(&mut self) -> Vec<String> {
        let mut notices = self.notices.lock().expect("no holder of this lock panics");
        std::mem::take(&mut *notices)
    }

    fn canceller(&self) -> Arc<dyn Canceller> {
        Arc::clone(&self.cancel) as Arc<dyn Canceller>
    }
}

/// Turns the client's error into ours; `sql` is the text that the server's position counts in.
pub(super) fn failure(error: &Error, sql: &str, cancelled: bool) -> AdapterError {
    let Some(server) = error.as_db_error() else {
        let mut message = error.to_string();
        if let Some(source) = error.source() {
            let source = source.to_string();
            if !message.contains(&source) {
                message = format!("{message}: {source}");
            }
        }
        return AdapterError::new(AdapterErrorKind::Connection, message);
    };
    let code = server.code();
    let lost = [
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
        SqlState::CANNOT_CONNECT_NOW,
        SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
    ];
    let conflicts = [
        SqlState::T_R_DEADLOCK_DETECTED,
        SqlState::T_R_SERIALIZATION_FAILURE,
    ];
    let kind = if *code == SqlState::QUERY_CANCELED && cancelled {
        AdapterErrorKind::Cancelled
    } else if code.code().starts_with("08") || lost.contains(code) {
        AdapterErrorKind::Connection
    } else if conflicts.contains(code) {
        AdapterErrorKind::Conflict
    } else if *code == SqlState::LOCK_NOT_AVAILABLE {
        AdapterErrorKind::Locked
    } else {
        AdapterErrorKind::Statement
    };
    let offset = match server.position() {
        Some(ErrorPosition::Original(position)) => {
            // Counted in characters, from 1.
            let before = (*position as usize).saturating_sub(1);
            sql.char_indices().nth(before).map(|(at, _)| at)
        }
        _ => None,
    };
    let mut details: Vec<&str> = Vec::new();
    details.extend(server.detail());
    details.extend(server.where_());
    AdapterError {
        kind,
        message: server.message().to_owned(),
        code: Some(code.code().to_owned()),
        detail: (!details.is_empty()).then(|| details.join("\n")),
        hint: server.hint().map(str::to_owned),
        offset,
    }
}
