//! Exchanges a refresh token for the access token of one login.

use std::time::Duration;

use reqwest::{Client, Proxy, Url, header};
use serde_json::Value as Json;

use crate::adapter::{AdapterError, AdapterErrorKind};

/// What a profile has for the exchange; secrets, so this has no `Debug`.
pub(super) struct Refresh {
    /// The client that the account knows.
    pub(super) client_id: String,
    /// Its secret.
    pub(super) client_secret: String,
    /// What is exchanged; it lives for long, and what it is exchanged for ten minutes.
    pub(super) token: String,
}

/// How often an answer that is no JSON is asked for again, and the pause in between.
const MOST_TRIES: usize = 20;
const PAUSE: Duration = Duration::from_millis(50);

/// Asks the account for an access token.
///
/// # Errors
/// What the account or the network says.
pub(super) async fn access_token(
    refresh: &Refresh,
    account: &Url,
    proxy: Option<&Url>,
) -> Result<String, AdapterError> {
    let lost = |error: reqwest::Error| {
        let message = format!("cannot exchange the refresh token: {error}");
        AdapterError::new(AdapterErrorKind::Connection, message)
    };
    let mut client = Client::builder();
    if let Some(proxy) = proxy {
        client = client.proxy(Proxy::all(proxy.clone()).map_err(lost)?);
    }
    let client = client.build().map_err(lost)?;
    let mut url = account.clone();
    url.set_path("/oauth/token-request");
    let mut tried = 1;
    loop {
        let asked = client
            .post(url.clone())
            .basic_auth(&refresh.client_id, Some(&refresh.client_secret))
            .header(
                header::CONTENT_TYPE,
                "application/x-www-form-urlencoded;charset=utf-8",
            )
            .body(form(&refresh.token));
        let reply = asked.send().await.map_err(lost)?;
        let status = reply.status();
        let text = reply.text().await.map_err(lost)?;
        if let Ok(answer) = serde_json::from_str::<Json>(&text) {
            return read(&answer);
        }
        if tried == MOST_TRIES {
            let message = format!(
                "cannot exchange the refresh token: the account's answer is no JSON, with the status {status}"
            );
            return Err(AdapterError::new(AdapterErrorKind::Connection, message));
        }
        tried += 1;
        tokio::time::sleep(PAUSE).await;
    }
}

/// The fields of the request, as dbt-snowflake sends them.
fn form(token: &str) -> String {
    let mut fields = Url::parse("http://localhost").expect("an address");
    fields
        .query_pairs_mut()
        .append_pair("grant_type", "refresh_token")
        .append_pair("refresh_token", token)
        // Where a browser would be sent, which nobody is.
        .append_pair("redirect_uri", "http://localhost:9999");
    fields.query().unwrap_or_default().to_owned()
}

fn read(answer: &Json) -> Result<String, AdapterError> {
    if let Some(token) = answer["access_token"].as_str() {
        return Ok(token.to_owned());
    }
    let words = ["message", "error_description", "error"];
    let words = words.iter().find_map(|name| answer[*name].as_str());
    let message = format!(
        "the account does not exchange the refresh token: {}",
        words.unwrap_or("it does not say why")
    );
    let mut refused = AdapterError::new(AdapterErrorKind::Connection, message);
    refused.code = answer["error"].as_str().map(str::to_owned);
    refused.hint = Some(
        "`token` must be a refresh token of the client `oauth_client_id`; ask for a new one where it has expired"
            .to_owned(),
    );
    Err(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_sent_as_it_is() {
        assert_eq!(
            form("a+b/c=&d"),
            "grant_type=refresh_token&refresh_token=a%2Bb%2Fc%3D%26d&redirect_uri=http%3A%2F%2Flocalhost%3A9999"
        );
    }

    #[test]
    fn a_refusal_keeps_the_accounts_words() {
        let answer = serde_json::json!({"error": "invalid_grant", "message": "This is an invalid refresh token."});
        let refused = read(&answer).expect_err("no token");
        assert_eq!(
            refused.message,
            "the account does not exchange the refresh token: This is an invalid refresh token."
        );
        assert_eq!(refused.code.as_deref(), Some("invalid_grant"));
    }
}
