//! The driver of PostgreSQL.
//!
//! Values travel as text, which is exact for every type, the user's own among them.

mod decode;
mod passfile;
mod session;
mod statement;
mod tls;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Config, Error, NoTls};

use super::fields;
use super::{Adapter, AdapterError, AdapterErrorKind, Connection};
use crate::config::profile::Target;
use crate::diagnostic::Diagnostic;
use crate::dialect::{Dialect, POSTGRES};
use session::Session;
use tls::{Files, MakeRustlsConnect, Mode};

/// The fields of a profile that this driver reads.
pub(super) const FIELDS: &[&str] = &[
    "host",
    "port",
    "user",
    "password",
    "pass",
    "passfile",
    "dbname",
    "database",
    "search_path",
    "options",
    "role",
    "application_name",
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "keepalives_idle",
    "connect_timeout",
    "retries",
];

/// A database of a server.
struct Postgres {
    /// Where it is and who asks; a secret among it, so this has no `Debug`.
    config: Config,
    /// What encryption the profile demands.
    mode: Mode,
    /// The files that encryption needs, read when it is first needed.
    files: Files,
    connector: OnceLock<MakeRustlsConnect>,
    /// How long an attempt may take, the login included.
    timeout: Option<Duration>,
    /// The role that every session takes.
    role: Option<String>,
    /// How often connecting is tried again.
    retries: u64,
}

/// Reads the profile.
pub(super) fn open(
    target: &Target,
    root: &Path,
    _access: super::Access,
) -> Result<Arc<dyn Adapter>, Box<Diagnostic>> {
    let host = fields::required(target, "host")?;
    let user = fields::required(target, "user")?;
    let database = match fields::text(target, "dbname")? {
        Some(name) => name,
        None => fields::required(target, "database")?,
    };
    let port = fields::whole(target, "port")?.unwrap_or(5432);
    let port = u16::try_from(port).map_err(|_| {
        let message = format!("`port` is {port}, and the largest is 65535");
        fields::refuse(target, message)
    })?;
    let file = |field: &str| -> Result<Option<PathBuf>, Box<Diagnostic>> {
        let named = fields::text(target, field)?.filter(|path| !path.is_empty());
        // One value of `sslrootcert` is no path.
        Ok(named.map(|path| match path.as_str() {
            "system" if field == "sslrootcert" => PathBuf::from(path),
            _ => root.join(path),
        }))
    };
    let password = match fields::text(target, "password")? {
        Some(password) => Some(password),
        None => fields::text(target, "pass")?,
    };
    let login = passfile::Login {
        host: &host,
        port,
        database: &database,
        user: &user,
    };
    let password = match password.filter(|password| !password.is_empty()) {
        Some(password) => Some(password),
        None => file("passfile")?.and_then(|path| passfile::password(&path, &login)),
    };
    let mut config = Config::new();
    config.host(&host).port(port).user(&user).dbname(&database);
    if let Some(password) = password {
        config.password(password);
    }
    let application = fields::text(target, "application_name")?;
    config.application_name(application.unwrap_or_else(|| "daygrain".to_owned()));
    // As in dbt, the search path stands in the place of other options.
    match fields::text(target, "search_path")?.filter(|path| !path.is_empty()) {
        Some(path) => {
            // In this option a space ends a value, unless a backslash stands before it.
            let path = path.replace('\\', "\\\\").replace(' ', "\\ ");
            config.options(format!("-c search_path={path}"));
        }
        None => {
            if let Some(options) = fields::text(target, "options")? {
                config.options(options);
            }
        }
    }
    // Zero is no limit, as in libpq.
    let seconds = fields::whole(target, "connect_timeout")?.unwrap_or(10);
    let timeout = (seconds > 0).then(|| Duration::from_secs(seconds));
    if let Some(timeout) = timeout {
        config.connect_timeout(timeout);
    }
    match fields::whole(target, "keepalives_idle")? {
        None | Some(0) => {}
        Some(seconds) => {
            config.keepalives_idle(Duration::from_secs(seconds));
        }
    }
    let files = Files {
        root: file("sslrootcert")?,
        certificate: file("sslcert")?,
        key: file("sslkey")?,
    };
    Ok(Arc::new(Postgres {
        config,
        // A socket of this machine is never encrypted.
        mode: if host.starts_with('/') {
            Mode::Disable
        } else {
            mode(target)?
        },
        files,
        connector: OnceLock::new(),
        timeout,
        role: fields::text(target, "role")?.filter(|role| !role.is_empty()),
        retries: fields::whole(target, "retries")?.unwrap_or(1),
    }))
}

fn mode(target: &Target) -> Result<Mode, Box<Diagnostic>> {
    let Some(asked) = fields::text(target, "sslmode")? else {
        return Ok(Mode::Prefer);
    };
    let found = Mode::ALL.iter().find(|(name, _)| *name == asked);
    found.map(|(_, mode)| *mode).ok_or_else(|| {
        let names: Vec<String> = Mode::ALL
            .iter()
            .map(|(name, _)| format!("`{name}`"))
            .collect();
        let mut refused = fields::refuse(target, format!("`sslmode` has no value `{asked}`"));
        refused.help = Some(format!("its values are {}", names.join(", ")));
        refused
    })
}

impl Postgres {
    async fn session(&self) -> Result<Session, AdapterError> {
        let mut tried = 0;
        let mut session = loop {
            match self.connect_once().await {
                Ok(session) => break session,
                Err(Refused::Server(error)) if tried < self.retries && worth_a_retry(&error) => {
                    tried += 1;
                    tokio::time::sleep(Duration::from_secs(tried * tried)).await;
                }
                Err(Refused::Server(error)) => {
                    let mut error = session::failure(&error, "", false);
                    error.kind = AdapterErrorKind::Connection;
                    if error.message.contains("password missing") {
                        let hint = "add `password:` to the profile, or set `PGPASSWORD`";
                        error.hint = Some(hint.to_owned());
                    }
                    return Err(error);
                }
                Err(Refused::Profile(error)) => return Err(error),
            }
        };
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

    /// Tries what the mode allows, in its order; the first refusal is the one that is told.
    async fn connect_once(&self) -> Result<Session, Refused> {
        let mut first = None;
        for encryption in self.mode.attempts() {
            let attempt = self.connect_with(*encryption);
            let ended = match self.timeout {
                None => attempt.await,
                Some(timeout) => match tokio::time::timeout(timeout, attempt).await {
                    Ok(ended) => ended,
                    Err(_) => return Err(Refused::Profile(too_slow(timeout))),
                },
            };
            match ended {
                Ok(session) => return Ok(session),
                Err(Refused::Server(error)) if may_like_another(&error) => {
                    first.get_or_insert(error);
                }
                Err(refused) => return Err(refused),
            }
        }
        Err(Refused::Server(first.expect("every mode has an attempt")))
    }

    async fn connect_with(&self, encryption: SslMode) -> Result<Session, Refused> {
        let mut config = self.config.clone();
        config.ssl_mode(encryption);
        if encryption == SslMode::Disable {
            let (client, connection) = config.connect(NoTls).await.map_err(Refused::Server)?;
            return Ok(Session::start(client, connection, None));
        }
        let connector = self.connector().map_err(Refused::Profile)?;
        let (client, connection) = config
            .connect(connector.clone())
            .await
            .map_err(Refused::Server)?;
        Ok(Session::start(client, connection, Some(connector)))
    }

    fn connector(&self) -> Result<MakeRustlsConnect, AdapterError> {
        if let Some(made) = self.connector.get() {
            return Ok(made.clone());
        }
        let made = tls::connector(self.mode, &self.files)?;
        Ok(self.connector.get_or_init(|| made).clone())
    }
}

fn too_slow(timeout: Duration) -> AdapterError {
    let message = format!(
        "the server has not let anyone in within {} seconds (`connect_timeout`)",
        timeout.as_secs()
    );
    AdapterError::new(AdapterErrorKind::Connection, message)
}

/// Why there is no session.
enum Refused {
    /// The server, or the way to it.
    Server(Error),
    /// Something that the profile names.
    Profile(AdapterError),
}

/// Tells whether a server may take the same login encrypted, or not encrypted.
fn may_like_another(error: &Error) -> bool {
    match error.code() {
        Some(code) => [
            SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
            SqlState::INVALID_PASSWORD,
        ]
        .contains(code),
        None => error.to_string().contains("TLS"),
    }
}

/// Tells whether the server may answer otherwise a moment later.
fn worth_a_retry(error: &Error) -> bool {
    match error.code() {
        // A certificate stays as it is.
        None => !error.to_string().contains("TLS"),
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
