//! The driver of Snowflake, over the HTTP that its own drivers speak.
//!
//! Threads are sessions of their own. The client library logs in, polls statements that take long,
//! and cancels; what it leaves open is done here: new logins before old ones end, requests that are
//! sent again where that is safe, transactions, and rows in bulk.

mod decode;
mod failure;
mod load;
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

/// An account, and who asks.
struct Snowflake {
    profile: Profile,
    /// Made when the first session is.
    client: OnceCell<Client>,
}

/// Reads the profile.
pub(super) fn open(
    target: &Target,
    root: &Path,
    _access: super::Access,
) -> Result<Arc<dyn Adapter>, Box<Diagnostic>> {
    Ok(Arc::new(Snowflake {
        profile: profile::read(target, root)?,
        client: OnceCell::new(),
    }))
}

impl Snowflake {
    async fn session(&self) -> Result<Session, AdapterError> {
        let client = self.client.get_or_try_init(|| async { self.client() });
        let client = client.await?;
        let retries = self.profile.retries;
        let mut tried = 0;
        loop {
            let error = match client.create_session().await {
                Ok(session) => return Ok(Session::new(client.clone(), session)),
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

    fn client(&self) -> Result<Client, AdapterError> {
        let wrong = |message| AdapterError::new(AdapterErrorKind::Connection, message);
        let config = self.profile.client().map_err(wrong)?;
        Client::new(config).map_err(|error| failure::of_login(&error))
    }
}

impl Adapter for Snowflake {
    fn dialect(&self) -> &'static Dialect {
        &SNOWFLAKE
    }

    fn connect(&self) -> BoxFuture<'_, Result<Box<dyn Connection>, AdapterError>> {
        Box::pin(async move {
            let session = self.session().await?;
            Ok(Box::new(session) as Box<dyn Connection>)
        })
    }
}
