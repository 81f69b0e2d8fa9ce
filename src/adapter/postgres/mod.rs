//! The driver of PostgreSQL.
//!
//! Connections are plain: TLS is not built in yet, and a profile that demands it is refused. Values
//! travel as text, which is exact for every type, the user's own among them.

mod decode;
mod session;
mod statement;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio_postgres::{Config, NoTls};

use super::fields;
use super::{Adapter, AdapterError, AdapterErrorKind, Connection};
use crate::config::profile::Target;
use crate::diagnostic::Diagnostic;
use crate::dialect::{Dialect, POSTGRES};
use session::Session;

/// The fields of a profile that this driver reads.
pub(super) const FIELDS: &[&str] = &[
    "host",
    "port",
    "user",
    "password",
    "pass",
    "dbname",
    "database",
    "search_path",
    "role",
    "application_name",
    "sslmode",
    "keepalives_idle",
    "connect_timeout",
    "retries",
];

/// A database of a server.
struct Postgres {
    /// Where it is and who asks; a secret among it, so this has no `Debug`.
    config: Config,
    /// The role that every session takes.
    role: Option<String>,
    /// How often connecting is tried again.
    retries: u64,
}

/// Reads the profile.
pub(super) fn open(
    target: &Target,
    _root: &Path,
    _access: super::Access,
) -> Result<Arc<dyn Adapter>, Box<Diagnostic>> {
    let mode = fields::text(target, "sslmode")?.unwrap_or_else(|| "prefer".to_owned());
    match mode.as_str() {
        "disable" | "allow" | "prefer" => {}
        "require" | "verify-ca" | "verify-full" => {
            let message = format!("`sslmode: {mode}` needs TLS, which is not supported yet");
            let mut refused = fields::refuse(target, message);
            refused.code = crate::diagnostic::Code::Unsupported;
            return Err(refused);
        }
        other => {
            let message = format!("`sslmode` has no value `{other}`");
            return Err(fields::refuse(target, message));
        }
    }
    let mut config = Config::new();
    config.ssl_mode(tokio_postgres::config::SslMode::Disable);
    config.host(fields::required(target, "host")?);
    config.user(fields::required(target, "user")?);
    let database = match fields::text(target, "dbname")? {
        Some(name) => name,
        None => fields::required(target, "database")?,
    };
    config.dbname(database);
    let port = fields::whole(target, "port")?.unwrap_or(5432);
    let port = u16::try_from(port).map_err(|_| {
        fields::refuse(
            target,
            format!("`port` is {port}, and the largest is 65535"),
        )
    })?;
    config.port(port);
    let password = match fields::text(target, "password")? {
        Some(password) => Some(password),
        None => fields::text(target, "pass")?,
    };
    if let Some(password) = password {
        config.password(password);
    }
    let application = fields::text(target, "application_name")?;
    config.application_name(application.unwrap_or_else(|| "daygrain".to_owned()));
    if let Some(path) = fields::text(target, "search_path")? {
        // In this option a space ends a value, unless a backslash stands before it.
        let path = path.replace('\\', "\\\\").replace(' ', "\\ ");
        config.options(format!("-c search_path={path}"));
    }
    let seconds = fields::whole(target, "connect_timeout")?.unwrap_or(10);
    config.connect_timeout(Duration::from_secs(seconds));
    match fields::whole(target, "keepalives_idle")? {
        None | Some(0) => {}
        Some(seconds) => {
            config.keepalives_idle(Duration::from_secs(seconds));
        }
    }
    Ok(Arc::new(Postgres {
        config,
        role: fields::text(target, "role")?,
        retries: fields::whole(target, "retries")?.unwrap_or(1),
    }))
}

impl Postgres {
    async fn session(&self) -> Result<Session, AdapterError> {
        let mut tried = 0;
        let (client, connection) = loop {
            match self.config.connect(NoTls).await {
                Ok(connected) => break connected,
                Err(error) if tried < self.retries && worth_a_retry(&error) => {
                    tried += 1;
                    tokio::time::sleep(Duration::from_secs(tried * tried)).await;
                }
                Err(error) => {
                    let mut error = session::failure(&error, "", false);
                    error.kind = AdapterErrorKind::Connection;
                    return Err(error);
                }
            }
        };
        // The task ends with the client, or with the connection: the next statement says why.
        tokio::spawn(connection);
        let mut session = Session::new(client);
        if let Some(role) = &self.role {
            let sql = format!("set role {}", POSTGRES.quote_identifier(role));
            session.execute(&sql).await.map_err(|mut error| {
                error.kind = AdapterErrorKind::Connection;
                error.detail = Some(format!("the profile asks for `{sql}`"));
                error
            })?;
        }
        Ok(session)
    }
}

/// Tells whether the server may answer otherwise a moment later.
fn worth_a_retry(error: &tokio_postgres::Error) -> bool {
    use tokio_postgres::error::SqlState;
    match error.code() {
        None => true,
        Some(code) => [SqlState::CANNOT_CONNECT_NOW, SqlState::TOO_MANY_CONNECTIONS].contains(code),
    }
}

impl Adapter for Postgres {
    fn dialect(&self) -> &'static Dialect {
        &POSTGRES
    }

    fn connect(&self) -> BoxFuture<'_, Result<Box<dyn Connection>, AdapterError>> {
        Box::pin(async move {
            let session = self.session().await?;
            Ok(Box::new(session) as Box<dyn Connection>)
        })
    }
}
