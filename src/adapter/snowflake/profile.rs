//! Reads a profile: where the account is, who asks, and how sessions begin.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Url;
use serde_json::{Value as Json, json};
use snowflake_connector_rs::{
    AuthConfig, ClientConfig, EndpointConfig, ExternalBrowserConfig, KeyPairConfig, PasswordConfig,
    ProxyConfig, QueryConfig, SessionConfig, TransportConfig,
};

use super::oauth::Refresh;
use crate::adapter::fields;
use crate::config::profile::Target;
use crate::diagnostic::{Code, Diagnostic};

/// The fields of a profile that this driver reads.
pub(in crate::adapter) const FIELDS: &[&str] = &[
    "account",
    "user",
    "password",
    "passcode",
    "authenticator",
    "private_key",
    "private_key_path",
    "private_key_passphrase",
    "token",
    "oauth_client_id",
    "oauth_client_secret",
    "role",
    "warehouse",
    "host",
    "port",
    "protocol",
    "query_tag",
    "session_parameters",
    "client_session_keep_alive",
    "connect_retries",
    "connect_timeout",
    "retry_on_database_errors",
    "retry_all",
    "proxy_host",
    "proxy_port",
];

/// How long a statement is waited for: as long as the server lets one run.
const STATEMENT_LIMIT: Duration = Duration::from_secs(2 * 24 * 60 * 60 + 600);
/// How long a statement waits for another transaction's locks, unless the profile says otherwise:
/// the server's own limit is twelve hours.
const LOCK_TIMEOUT_SECONDS: u64 = 600;

type Result<T> = std::result::Result<T, Box<Diagnostic>>;

/// What a profile says; secrets are among it, so this has no `Debug`.
pub(super) struct Profile {
    account: String,
    user: String,
    login: Login,
    url: Url,
    proxy: Option<Url>,
    session: SessionConfig,
    /// How a login that failed is tried again.
    pub(super) retries: Retries,
}

/// How logging in is tried again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retries {
    /// How often at most.
    pub(super) most: u64,
    /// How long to wait in between; `None` is longer each time.
    pub(super) pause: Option<Duration>,
    /// Which failures are worth it.
    pub(super) of: Retried,
}

/// Which failures of a login are worth another try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retried {
    /// Those of the network.
    Network,
    /// The server's refusals too.
    All,
}

/// How the user proves who they are.
enum Login {
    Password {
        password: String,
        passcode: Option<String>,
    },
    Key {
        from: Key,
        passphrase: Option<String>,
    },
    Token(String),
    Refresh(Refresh),
    Browser,
}

/// Where a private key comes from.
enum Key {
    Text(String),
    File(PathBuf),
}

/// Reads the fields; touches neither files nor the network.
pub(super) fn read(target: &Target, root: &Path) -> Result<Profile> {
    let account = fields::required(target, "account")?;
    let login = login(target, root)?;
    let user = match fields::text(target, "user")? {
        Some(user) => user,
        None if matches!(login, Login::Token(_) | Login::Refresh(_)) => String::new(),
        None => fields::required(target, "user")?,
    };
    Ok(Profile {
        url: url(target, &account)?,
        // What follows the first dot names the region, which only the address needs.
        account: account.split('.').next().unwrap_or(&account).to_owned(),
        user,
        login,
        proxy: proxy(target)?,
        session: session(target)?,
        retries: retries(target)?,
    })
}

impl Profile {
    /// What is exchanged for the token of a login, and where.
    pub(super) fn refresh(&self) -> Option<(&Refresh, &Url, Option<&Url>)> {
        match &self.login {
            Login::Refresh(refresh) => Some((refresh, &self.url, self.proxy.as_ref())),
            _ => None,
        }
    }

    /// Makes the client's configuration, with the token that was exchanged where one was; reads the
    /// key's file, where there is one.
    ///
    /// # Errors
    /// Why the file cannot be read.
    pub(super) fn client(
        &self,
        exchanged: Option<String>,
    ) -> std::result::Result<ClientConfig, String> {
        let auth = match &self.login {
            Login::Password { password, passcode } => {
                let mut config = PasswordConfig::new(password.clone());
                if let Some(passcode) = passcode {
                    config = config.with_passcode(passcode.clone());
                }
                AuthConfig::password(config)
            }
            Login::Key { from, passphrase } => {
                let text = match from {
                    Key::Text(text) => text.clone(),
                    Key::File(path) => std::fs::read_to_string(path)
                        .map_err(|error| format!("{}: {error}", path.display()))?,
                };
                AuthConfig::key_pair(match passphrase {
                    Some(passphrase) => {
                        let pem = pem(&text, "ENCRYPTED PRIVATE KEY");
                        KeyPairConfig::from_encrypted_pem(pem, passphrase.as_bytes())
                    }
                    None => KeyPairConfig::from_pem(pem(&text, "PRIVATE KEY")),
                })
            }
            Login::Token(token) => AuthConfig::oauth(token.clone()),
            Login::Refresh(_) => AuthConfig::oauth(exchanged.unwrap_or_default()),
            Login::Browser => AuthConfig::external_browser(ExternalBrowserConfig::default()),
        };
        let mut transport = TransportConfig::new();
        if let Some(proxy) = &self.proxy {
            transport = transport.with_proxy(ProxyConfig::new(proxy.clone()));
        }
        Ok(ClientConfig::new(&self.user, &self.account, auth)
            .with_session(self.session.clone())
            .with_query(QueryConfig::new().with_query_response_timeout(STATEMENT_LIMIT))
            .with_endpoint(EndpointConfig::custom_base_url(self.url.clone()))
            .with_transport(transport))
    }
}

/// A key as PEM, also where only its base64 is given.
fn pem(text: &str, label: &str) -> String {
    let text = text.trim();
    if text.starts_with("-----BEGIN") {
        return text.to_owned();
    }
    let digits: Vec<char> = text.chars().filter(|c| !c.is_whitespace()).collect();
    let lines: Vec<String> = digits
        .chunks(64)
        .map(|line| line.iter().collect())
        .collect();
    let body = lines.join("\n");
    format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
}

fn unsupported(target: &Target, message: &str) -> Box<Diagnostic> {
    let mut refused = fields::refuse(target, message);
    refused.code = Code::Unsupported;
    refused
}

fn login(target: &Target, root: &Path) -> Result<Login> {
    let named = fields::text(target, "authenticator")?;
    let name = named.as_deref().unwrap_or("snowflake").to_lowercase();
    let key = key(target, root)?;
    let password = fields::text(target, "password")?;
    let passcode = fields::text(target, "passcode")?;
    let token = fields::text(target, "token")?;
    let refuse = |message: &str| Err(fields::refuse(target, message));
    if fields::get(target, "private_key_passphrase").is_some() && key.is_none() {
        return refuse("`private_key_passphrase` needs `private_key` or `private_key_path`");
    }
    if passcode.is_some() && password.is_none() {
        return refuse("`passcode` belongs to a `password`, which is missing");
    }
    let client_id = fields::text(target, "oauth_client_id")?;
    let client_secret = fields::text(target, "oauth_client_secret")?;
    if name != "oauth" && (client_id.is_some() || client_secret.is_some()) {
        return refuse(
            "`oauth_client_id` and `oauth_client_secret` belong to `authenticator: oauth`",
        );
    }
    let others = |allowed: &str| {
        let given = [
            ("password", password.is_some()),
            ("private_key", key.is_some()),
            ("token", token.is_some()),
        ];
        let extra = given.iter().find(|(name, is)| *is && *name != allowed);
        extra.map(|(field, _)| {
            let message = format!("`{field}` cannot be used with `authenticator: {name}`");
            fields::refuse(target, message)
        })
    };
    match name.as_str() {
        "snowflake" | "username_password_mfa" | "snowflake_jwt" => {
            let by_key = name == "snowflake_jwt" || (name == "snowflake" && key.is_some());
            if password.is_some() && key.is_some() {
                return refuse("`password` and a private key are both given; leave one out");
            }
            if let Some(extra) = others(if by_key { "private_key" } else { "password" }) {
                return Err(extra);
            }
            if !by_key {
                let Some(password) = password else {
                    return refuse(
                        "nothing proves who you are: give a `password`, a `private_key_path`, or an `authenticator`",
                    );
                };
                return Ok(Login::Password { password, passcode });
            }
            let Some(from) = key else {
                return refuse(
                    "`authenticator: snowflake_jwt` needs `private_key` or `private_key_path`",
                );
            };
            let passphrase = fields::text(target, "private_key_passphrase")?;
            Ok(Login::Key { from, passphrase })
        }
        "oauth" | "jwt" | "programmatic_access_token" => {
            if let Some(extra) = others("token") {
                return Err(extra);
            }
            let Some(token) = token else {
                return refuse(&format!("`authenticator: {name}` needs a `token`"));
            };
            if name == "programmatic_access_token" {
                // The server takes one wherever it takes a password.
                return Ok(Login::Password {
                    password: token,
                    passcode: None,
                });
            }
            match (client_id, client_secret) {
                (None, None) => Ok(Login::Token(token)),
                (Some(client_id), Some(client_secret)) => Ok(Login::Refresh(Refresh {
                    client_id,
                    client_secret,
                    token,
                })),
                (Some(_), None) => refuse("`oauth_client_id` needs `oauth_client_secret`"),
                (None, Some(_)) => refuse("`oauth_client_secret` needs `oauth_client_id`"),
            }
        }
        "externalbrowser" => match others("") {
            Some(extra) => Err(extra),
            None => Ok(Login::Browser),
        },
        _ => {
            let named = named.unwrap_or_default();
            let message = format!(
                "`authenticator: {named}` is not supported; there are `snowflake`, \
                 `username_password_mfa`, `snowflake_jwt`, `oauth`, `jwt`, \
                 `programmatic_access_token` and `externalbrowser`"
            );
            Err(unsupported(target, &message))
        }
    }
}

fn key(target: &Target, root: &Path) -> Result<Option<Key>> {
    let text = fields::text(target, "private_key")?;
    let path = fields::text(target, "private_key_path")?;
    match (text, path) {
        (Some(_), Some(_)) => Err(fields::refuse(
            target,
            "`private_key` and `private_key_path` are both given; leave one out",
        )),
        (Some(text), None) => Ok(Some(Key::Text(text))),
        (None, Some(path)) => Ok(Some(Key::File(root.join(path)))),
        (None, None) => Ok(None),
    }
}

fn port(target: &Target, field: &str) -> Result<Option<u16>> {
    let port = fields::whole(target, field)?;
    port.map(|port| {
        u16::try_from(port).map_err(|_| {
            let message = format!("`{field}` is {port}, and the largest is 65535");
            fields::refuse(target, message)
        })
    })
    .transpose()
}

/// Where the account answers.
fn url(target: &Target, account: &str) -> Result<Url> {
    let host = match fields::text(target, "host")? {
        Some(host) => host,
        None => {
            let region = account.split('.').nth(1).unwrap_or_default();
            let top = if region.starts_with("cn-") {
                "cn"
            } else {
                "com"
            };
            // An underscore in a host's name is refused by many certificates' checks.
            let account = account.to_lowercase().replace('_', "-");
            format!("{account}.snowflakecomputing.{top}")
        }
    };
    let protocol = fields::text(target, "protocol")?.unwrap_or_else(|| "https".to_owned());
    let address = match port(target, "port")? {
        Some(port) => format!("{protocol}://{host}:{port}"),
        None => format!("{protocol}://{host}"),
    };
    let url = match Url::parse(&address) {
        Ok(url) if url.host_str().is_some() && url.path() == "/" => url,
        _ => {
            let message = format!("`{address}` is no address of a server");
            return Err(fields::refuse(target, message));
        }
    };
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        "http" => Err(fields::refuse(
            target,
            format!(
                "`protocol: http` would send secrets in the clear to `{host}`; only a server on this machine may be reached by it"
            ),
        )),
        other => Err(fields::refuse(
            target,
            format!(
                "`protocol` has no value `{other}`; there are `https` and, for this machine, `http`"
            ),
        )),
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

fn proxy(target: &Target) -> Result<Option<Url>> {
    let host = fields::text(target, "proxy_host")?;
    let port = port(target, "proxy_port")?;
    let (host, port) = match (host, port) {
        (None, None) => return Ok(None),
        (Some(host), Some(port)) => (host, port),
        (Some(_), None) => return Err(fields::refuse(target, "`proxy_host` needs `proxy_port`")),
        (None, Some(_)) => return Err(fields::refuse(target, "`proxy_port` needs `proxy_host`")),
    };
    match Url::parse(&format!("http://{host}:{port}")) {
        Ok(url) => Ok(Some(url)),
        Err(_) => {
            let message = format!("`proxy_host` is `{host}`, which names no server");
            Err(fields::refuse(target, message))
        }
    }
}

/// Where a session begins, and what it is set to.
fn session(target: &Target) -> Result<SessionConfig> {
    let mut parameters: HashMap<String, Json> = HashMap::new();
    parameters.insert("LOCK_TIMEOUT".to_owned(), json!(LOCK_TIMEOUT_SECONDS));
    if let Some(tag) = fields::text(target, "query_tag")? {
        parameters.insert("QUERY_TAG".to_owned(), Json::String(tag));
    }
    if flag(target, "client_session_keep_alive")? {
        parameters.insert("CLIENT_SESSION_KEEP_ALIVE".to_owned(), Json::Bool(true));
    }
    if let Some(more) = fields::get(target, "session_parameters") {
        let given = fields::scalars(target, "session_parameters")?;
        for (name, _) in given {
            let name = name.to_uppercase();
            if REFUSED_PARAMETERS.contains(&name.as_str()) {
                let message = format!(
                    "`session_parameters` may not set `{name}`: transactions are daygrain's own"
                );
                return Err(fields::refuse(target, message));
            }
            let value = more.as_object().and_then(|entries| {
                let mut entries = entries.iter();
                entries.find(|(key, _)| key.to_uppercase() == name)
            });
            let value = value.map_or(Json::Null, |(_, value)| value.clone());
            parameters.insert(name, value);
        }
    }
    let mut config = SessionConfig::new()
        .with_database(target.database.clone())
        .with_schema(target.schema.clone())
        .with_session_parameters(parameters);
    if let Some(warehouse) = fields::text(target, "warehouse")? {
        config = config.with_warehouse(warehouse);
    }
    if let Some(role) = fields::text(target, "role")? {
        config = config.with_role(role);
    }
    Ok(config)
}

/// Session parameters that would change what a statement of daygrain's means.
const REFUSED_PARAMETERS: &[&str] = &["AUTOCOMMIT", "MULTI_STATEMENT_COUNT"];

fn flag(target: &Target, field: &str) -> Result<bool> {
    match fields::text(target, field)?.as_deref() {
        None => Ok(false),
        Some(text) => match text.to_lowercase().as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(fields::refuse(
                target,
                format!("`{field}` must be true or false"),
            )),
        },
    }
}

fn retries(target: &Target) -> Result<Retries> {
    let all = flag(target, "retry_all")? || flag(target, "retry_on_database_errors")?;
    Ok(Retries {
        most: fields::whole(target, "connect_retries")?.unwrap_or(1),
        pause: fields::whole(target, "connect_timeout")?.map(Duration::from_secs),
        of: if all { Retried::All } else { Retried::Network },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapter::tests::target;
    use crate::dialect::SNOWFLAKE;

    fn profile(more: Json) -> Result<Profile> {
        let mut fields = json!({"account": "xy12345.eu-west-1", "user": "u"});
        let entries = more.as_object().cloned().unwrap_or_default();
        fields.as_object_mut().expect("a mapping").extend(entries);
        read(&target(&SNOWFLAKE, fields), Path::new("/project"))
    }

    fn good(more: Json) -> Profile {
        profile(more).unwrap_or_else(|error| panic!("{}", error.message))
    }

    fn refused(more: Json) -> String {
        let error = profile(more).err().expect("a bad profile");
        error
            .message
            .trim_start_matches("target `dev` of profile `shop`: ")
            .to_owned()
    }

    #[test]
    fn accounts_have_addresses() {
        let url = |more: Json| good(more).url.to_string();
        assert_eq!(
            url(json!({"password": "p"})),
            "https://xy12345.eu-west-1.snowflakecomputing.com/"
        );
        assert_eq!(
            url(json!({"password": "p", "account": "My_Org-acct"})),
            "https://my-org-acct.snowflakecomputing.com/"
        );
        assert_eq!(
            url(json!({"password": "p", "account": "x.cn-north-1"})),
            "https://x.cn-north-1.snowflakecomputing.cn/"
        );
        assert_eq!(
            url(json!({"password": "p", "host": "127.0.0.1", "port": 80, "protocol": "http"})),
            "http://127.0.0.1/"
        );
        insta::assert_snapshot!(
            refused(json!({"password": "p", "host": "example.com", "protocol": "http"})),
            @"`protocol: http` would send secrets in the clear to `example.com`; only a server on this machine may be reached by it"
        );
        insta::assert_snapshot!(
            refused(json!({"password": "p", "host": "a/b"})),
            @"`https://a/b` is no address of a server"
        );
    }

    #[test]
    fn logins_are_as_the_profile_says() {
        let login = |more: Json| good(more).login;
        let key = login(json!({"private_key_path": "keys/k.p8", "private_key_passphrase": "x"}));
        let Login::Key {
            from: Key::File(path),
            passphrase,
        } = key
        else {
            panic!("no key");
        };
        assert_eq!(path, Path::new("/project/keys/k.p8"));
        assert_eq!(passphrase.as_deref(), Some("x"));
        let mfa =
            json!({"password": "p", "passcode": 123456, "authenticator": "username_password_mfa"});
        assert!(matches!(
            login(mfa),
            Login::Password {
                passcode: Some(_),
                ..
            }
        ));
        let refresh = json!({
            "authenticator": "oauth", "token": "t", "oauth_client_id": "c", "oauth_client_secret": "s",
        });
        assert!(matches!(
            login(refresh),
            Login::Refresh(Refresh { client_id, token, .. }) if client_id == "c" && token == "t"
        ));
        let token = |kind: &str| login(json!({"authenticator": kind, "token": "t"}));
        assert!(matches!(token("OAuth"), Login::Token(_)));
        assert!(matches!(
            token("programmatic_access_token"),
            Login::Password { password, .. } if password == "t"
        ));
        assert!(matches!(
            login(json!({"authenticator": "externalbrowser"})),
            Login::Browser
        ));
    }

    #[test]
    fn wrong_combinations_are_refused() {
        let cases = [
            json!({}),
            json!({"password": "p", "private_key": "k"}),
            json!({"private_key": "k", "private_key_path": "k"}),
            json!({"password": "p", "private_key_passphrase": "k"}),
            json!({"passcode": "1", "authenticator": "externalbrowser"}),
            json!({"password": "p", "token": "t"}),
            json!({"password": "p", "authenticator": "oauth"}),
            json!({"authenticator": "oauth"}),
            json!({"authenticator": "snowflake_jwt"}),
            json!({"authenticator": "oauth", "token": "t", "oauth_client_id": "c"}),
            json!({"authenticator": "oauth", "token": "t", "oauth_client_secret": "s"}),
            json!({"password": "p", "oauth_client_id": "c", "oauth_client_secret": "s"}),
            json!({"authenticator": "https://x.okta.com", "password": "p"}),
            json!({"password": "p", "proxy_host": "h"}),
            json!({"password": "p", "retry_all": "maybe"}),
            json!({"password": "p", "session_parameters": {"autocommit": false}}),
        ];
        let refused: Vec<String> = cases.into_iter().map(refused).collect();
        insta::assert_snapshot!(refused.join("\n"));
    }

    #[test]
    fn a_key_may_be_bare_base64() {
        let digits = "A".repeat(70);
        let text = pem(&digits, "PRIVATE KEY");
        let lines: Vec<usize> = text.lines().map(str::len).collect();
        assert_eq!(lines, [27, 64, 6, 25]);
        assert_eq!(pem(&text, "x").trim_end(), text.trim_end());
    }
}
