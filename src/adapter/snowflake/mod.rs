//! The driver of Snowflake, over the HTTP that its own drivers speak.
//!
//! Threads are sessions of their own. The client library logs in, polls statements that take long,
//! and cancels; what it leaves open is done here: new logins before old ones end, requests that are
//! sent again where that is safe, transactions, and rows in bulk.

mod decode;
mod failure;
mod load;
mod oauth;
mod profile;
mod session;
mod statement;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use snowflake_connector_rs::Client;
use tokio::sync::OnceCell;

use super::{Adapter, AdapterError, AdapterErrorKind, Connection};
use crate::config::profile::Target;
use crate::diagnostic::Diagnostic;
use crate::dialect::{Dialect, SNOWFLAKE};
use profile::{Profile, Retried};
use session::Session;

pub(in crate::adapter) use profile::FIELDS;

/// The adapter of an account.
struct Snowflake(Arc<Account>);

/// An account, and who asks.
struct Account {
    profile: Profile,
    /// Made when the first session is, unless each login has a token of its own.
    client: OnceCell<Client>,
}

/// Reads the profile.
pub(super) fn open(
    target: &Target,
    root: &Path,
    _access: super::Access,
) -> Result<Arc<dyn Adapter>, Box<Diagnostic>> {
    Ok(Arc::new(Snowflake(Arc::new(Account {
        profile: profile::read(target, root)?,
        client: OnceCell::new(),
    }))))
}

impl Account {
    /// Logs in, again where that may help.
    async fn session(&self) -> Result<snowflake_connector_rs::Session, AdapterError> {
        let client = self.client_of_login().await?;
        let retries = self.profile.retries;
        let mut tried = 0;
        loop {
            let error = match client.create_session().await {
                Ok(session) => return Ok(session),
                Err(error) => error,
            };
            let again = retries.of == Retried::All || session::is_of_the_network(&error);
            if tried == retries.most || !again {
                return Err(failure::of_login(&error));
            }
            tried += 1;
            let longer = Duration::from_secs(tried * tried);
            tokio::time::sleep(retries.pause.unwrap_or(longer)).await;
        }
    }

    /// Logs in once.
    async fn log_in(&self) -> Result<snowflake_connector_rs::Session, AdapterError> {
        let session = self.client_of_login().await?.create_session().await;
        session.map_err(|error| failure::of_login(&error))
    }

    /// The client for a login. A token that is exchanged lives for minutes, so each login has its own.
    async fn client_of_login(&self) -> Result<Client, AdapterError> {
        if let Some((refresh, url, proxy)) = self.profile.refresh() {
            let token = oauth::access_token(refresh, url, proxy).await?;
            return self.client(Some(token));
        }
        let client = self
            .client
            .get_or_try_init(|| async { self.client(None) })
            .await?;
        Ok(client.clone())
    }

    fn client(&self, token: Option<String>) -> Result<Client, AdapterError> {
        let wrong = |message| AdapterError::new(AdapterErrorKind::Connection, message);
        let config = self.profile.client(token).map_err(wrong)?;
        Client::new(config).map_err(|error| failure::of_login(&error))
    }
}

impl Adapter for Snowflake {
    fn dialect(&self) -> &'static Dialect {
        &SNOWFLAKE
    }

    fn connect(&self) -> BoxFuture<'_, Result<Box<dyn Connection>, AdapterError>> {
        Box::pin(async move {
            let session = self.0.session().await?;
            let session = Session::new(Arc::clone(&self.0), session);
            Ok(Box::new(session) as Box<dyn Connection>)
        })
    }
}
