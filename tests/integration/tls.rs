//! Encryption and logins, against a Postgres whose certificates are made here.

use std::path::Path;
use std::sync::Arc;

use daygrain::adapter::{self, AdapterError, AdapterErrorKind, Connection};
use daygrain::dialect::POSTGRES;
use daygrain::table::Datum;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use serde_json::{Value as Json, json};

use crate::support::live;
use crate::support::sandbox::Sandbox;
use crate::support::server::{Server, write_private};
use crate::support::target;

const PASSWORD: &str = "s3same 0pen:\\";

/// What signs certificates.
type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Authority {
    let mut params = named(name, &[]);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn named(name: &str, hosts: &[&str]) -> CertificateParams {
    let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let mut params = CertificateParams::new(hosts).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// A certificate and its key, signed, as text.
fn signed(by: &Authority, params: &CertificateParams) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, by).unwrap();
    (certificate.pem(), key.serialize_pem())
}

/// A server with encryption, its folder with the certificates, and who signed them.
struct Encrypted {
    server: Server,
    folder: tempfile::TempDir,
    authority: Authority,
}

const HBA: &str = "\
hostssl all certified all cert clientcert=verify-full
hostssl all all all scram-sha-256
";

impl Encrypted {
    fn new(hba: &str) -> Encrypted {
        let authority = authority("daygrain's tests");
        let (certificate, key) = signed(&authority, &named("server", &["localhost"]));
        let mut server = Server::new(PASSWORD);
        server.write("server.crt", &certificate);
        server.write("server.key", &key);
        server.write("root.crt", &authority.pem());
        for file in ["server.crt", "server.key", "root.crt"] {
            server.give(file);
        }
        let setting = |name: &str, file: &str| format!("{name}={}", server.path(file).display());
        let settings = [
            "ssl=on".to_owned(),
            setting("ssl_cert_file", "server.crt"),
            setting("ssl_key_file", "server.key"),
            setting("ssl_ca_file", "root.crt"),
        ];
        let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
        server.start(hba, &settings);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("root.crt"), authority.pem()).unwrap();
        Encrypted {
            server,
            folder,
            authority,
        }
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Connects by a profile with these fields; relative paths mean the folder's files.
    async fn connect(&self, more: Json) -> Result<Box<dyn Connection>, AdapterError> {
        let mut fields = self
            .server
            .fields(json!({"password": PASSWORD, "retries": 0}));
        fields.extend(more.as_object().cloned().unwrap());
        let adapter = adapter::open(&target(&POSTGRES, fields), self.folder.path());
        adapter.expect("a good profile").connect().await
    }

    async fn refused(&self, more: Json) -> String {
        let error = self.connect(more).await.err().expect("it is refused");
        assert_eq!(error.kind, AdapterErrorKind::Connection);
        error.message
    }

    /// Whether the session is encrypted.
    async fn encrypted(&self, more: Json) -> bool {
        let mut session = self.connect(more).await.expect("a session");
        let sql = "select ssl from pg_stat_ssl where pid = pg_backend_pid()";
        let (_, table) = session.fetch(sql).await.unwrap();
        table.rows[0][0] == Datum::Bool(true)
    }
}

#[tokio::test]
async fn each_mode_encrypts_and_checks_what_it_says() {
    let own = Encrypted::new(&format!("{HBA}hostnossl all all all scram-sha-256\n"));
    let (host, root) = ("localhost", "root.crt");
    for (mode, encrypted) in [
        ("disable", false),
        ("allow", false),
        ("prefer", true),
        ("require", true),
    ] {
        assert_eq!(
            own.encrypted(json!({"sslmode": mode})).await,
            encrypted,
            "{mode}"
        );
    }
    assert!(
        own.encrypted(json!({})).await,
        "`prefer` is what is meant where nothing is said"
    );
    let good = json!({"sslmode": "verify-full", "host": host, "sslrootcert": root});
    assert!(own.encrypted(good).await);
    let good = json!({"sslmode": "verify-ca", "sslrootcert": own.file(root)});
    assert!(own.encrypted(good).await);

    // Another host name than the certificate's.
    let wrong = json!({"sslmode": "verify-full", "host": "127.0.0.1", "sslrootcert": root});
    let told = own.refused(wrong).await;
    assert!(told.contains("not valid for name"), "{told}");
    // Signed by somebody else; where a root is named, `require` looks at it too.
    let other = authority("somebody else");
    std::fs::write(own.folder.path().join("other.crt"), other.pem()).unwrap();
    for mode in ["require", "verify-ca", "verify-full"] {
        let wrong = json!({"sslmode": mode, "host": host, "sslrootcert": "other.crt"});
        let told = own.refused(wrong).await;
        assert!(told.contains("UnknownIssuer"), "{mode}: {told}");
    }
    let wrong = json!({"sslmode": "verify-full", "host": host, "sslrootcert": "system"});
    let told = own.refused(wrong).await;
    assert!(told.contains("UnknownIssuer"), "{told}");

    let told = own.refused(json!({"sslmode": "verify-ca"})).await;
    assert!(told.contains("there is no `sslrootcert`"), "{told}");
    let told = own
        .refused(json!({"sslmode": "verify-ca", "sslrootcert": "none.crt"}))
        .await;
    assert!(told.contains("`sslrootcert`: cannot read"), "{told}");
    let told = own.refused(json!({"password": "wrong"})).await;
    assert!(told.contains("password authentication failed"), "{told}");
}

#[tokio::test]
async fn modes_that_leave_it_open_take_what_the_server_takes() {
    let own = Encrypted::new(HBA);
    assert!(own.encrypted(json!({"sslmode": "allow"})).await);
    let told = own.refused(json!({"sslmode": "disable"})).await;
    assert!(told.contains("no encryption"), "{told}");
    let mut plain = Server::new(PASSWORD);
    plain.start("host all all all scram-sha-256\n", &[]);
    for (mode, connects) in [("allow", true), ("prefer", true), ("require", false)] {
        let fields = json!({"port": plain.port, "sslmode": mode});
        match own.connect(fields).await {
            Ok(_) => assert!(connects, "{mode}"),
            Err(error) => {
                assert!(!connects, "{mode}: {error}");
                assert!(error.message.contains("does not support TLS"), "{error}");
            }
        }
    }
}

#[tokio::test]
async fn a_client_certificate_logs_in() {
    let own = Encrypted::new(HBA);
    let mut admin = own.connect(json!({})).await.unwrap();
    admin.execute("create role certified login").await.unwrap();
    let (certificate, key) = signed(&own.authority, &named("certified", &[]));
    std::fs::write(own.file("client.crt"), certificate).unwrap();
    write_private(Path::new(&own.file("client.key")), &key);
    let login = json!({
        "user": "certified", "password": "", "sslmode": "verify-full", "host": "localhost",
        "sslrootcert": "root.crt", "sslcert": "client.crt", "sslkey": "client.key",
    });
    let with = |more: Json| {
        let mut fields = login.clone();
        let more = more.as_object().cloned().unwrap();
        fields.as_object_mut().unwrap().extend(more);
        fields
    };
    let mut session = own.connect(login.clone()).await.expect("a session");
    let (_, table) = session.fetch("select current_user::text").await.unwrap();
    assert_eq!(table.rows, [[Datum::Text("certified".into())]]);

    // Nobody's certificate, another's, and a key that does not belong to it.
    let told = own
        .refused(with(json!({"sslcert": null, "sslkey": null})))
        .await;
    assert!(
        told.contains("requires a valid client certificate"),
        "{told}"
    );
    let other = authority("somebody else");
    let (certificate, key) = signed(&other, &named("certified", &[]));
    std::fs::write(own.file("other.crt"), certificate).unwrap();
    write_private(Path::new(&own.file("other.key")), &key);
    let foreign = with(json!({"sslcert": "other.crt", "sslkey": "other.key"}));
    assert!(own.connect(foreign).await.is_err());
    let told = own.refused(with(json!({"sslkey": "other.key"}))).await;
    assert!(told.contains("do not go together"), "{told}");
    let told = own.refused(with(json!({"sslkey": null}))).await;
    assert!(told.contains("`sslkey` is not"), "{told}");
    std::fs::write(own.file("shared.key"), "key").unwrap();
    let told = own.refused(with(json!({"sslkey": "shared.key"}))).await;
    assert!(told.contains("can be read by other users"), "{told}");
}

#[tokio::test]
async fn a_server_may_show_the_certificate_that_is_believed() {
    let mut server = Server::new(PASSWORD);
    let mut params = named("alone", &["localhost"]);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap().pem();
    server.write("server.crt", &certificate);
    server.write("server.key", &key.serialize_pem());
    server.give("server.crt");
    server.give("server.key");
    let cert_file = format!("ssl_cert_file={}", server.path("server.crt").display());
    let key_file = format!("ssl_key_file={}", server.path("server.key").display());
    server.start(HBA, &["ssl=on", &cert_file, &key_file]);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("root.crt"), &certificate).unwrap();
    for (host, connects) in [("localhost", true), ("127.0.0.1", false)] {
        let fields = server.fields(json!({
            "host": host, "password": PASSWORD, "sslmode": "verify-full",
            "sslrootcert": "root.crt", "retries": 0,
        }));
        let adapter = adapter::open(&target(&POSTGRES, fields), folder.path()).unwrap();
        assert_eq!(adapter.connect().await.is_ok(), connects, "{host}");
    }
}

#[tokio::test]
async fn a_statement_is_cancelled_over_an_encrypted_connection() {
    let own = Encrypted::new(HBA);
    let good = json!({"sslmode": "verify-full", "host": "localhost", "sslrootcert": "root.crt"});
    let mut session = own.connect(good).await.unwrap();
    live::is_cancelled_while_it_sleeps(&mut session).await;
}

/// The environment and the files in the home of who runs it, as libpq reads them.
#[test]
fn what_the_profile_leaves_out_comes_from_the_environment_and_the_home() {
    let own = Arc::new(Encrypted::new(HBA));
    let profile = |password: &str| {
        let fields = own
            .server
            .fields(json!({"host": "localhost", "retries": 0}));
        let mut fields = Json::Object(fields);
        if !password.is_empty() {
            fields["password"] = password.into();
        }
        let profile = json!({"shop": {"target": "dev", "outputs": {"dev": fields}}});
        format!(
            "# file: profiles.yml\n{profile}\n# file: dbt_project.yml\nname: shop\nprofile: shop\n"
        )
    };
    let sql = "select application_name as app, ssl from pg_stat_ssl join pg_stat_activity using (pid) where pid = pg_backend_pid()";
    let escaped = PASSWORD.replace('\\', "\\\\").replace(':', "\\:");
    let line = format!("localhost:{}:*:postgres:{escaped}", own.server.port);
    let encrypted = [
        ("PGSSLMODE", "verify-full"),
        ("PGSSLROOTCERT", &own.file("root.crt")),
    ];

    let from_variable = Sandbox::new(&profile("")).with_env("PGPASSWORD", PASSWORD);
    let from_file = Sandbox::new(&profile("")).with_env("PGPASSFILE", "secrets/pass");
    from_file.write("secrets/pass", "");
    write_private(&from_file.path().join("secrets/pass"), &line);
    let from_home = Sandbox::new(&profile(""));
    write_private(&from_home.path().join(".pgpass"), &line);
    // The profile's own comes first.
    let own_first = Sandbox::new(&profile(PASSWORD)).with_env("PGPASSWORD", "wrong");
    for sandbox in [from_variable, from_file, from_home, own_first] {
        let mut sandbox = sandbox;
        for (name, value) in encrypted {
            sandbox = sandbox.with_env(name, value);
        }
        assert_eq!(
            sandbox.rows(sql, &[]),
            [json!({"app": "daygrain", "ssl": true})]
        );
    }
    // A root certificate in the home is believed; a file of passwords that others read is not.
    let home = Sandbox::new(&profile(""))
        .with_env("PGSSLMODE", "verify-ca")
        .with_env("PGPASSWORD", PASSWORD);
    home.write(".postgresql/root.crt", &own.authority.pem());
    assert_eq!(home.rows("select 1 as a", &[]), [json!({"a": 1})]);
    let shared = Sandbox::new(&profile(""));
    shared.write(".pgpass", &line);
    let ran = shared.run(&["show", "--inline", "select 1"]);
    for part in ["password missing", "or set `PGPASSWORD`"] {
        assert!(ran.stdout.contains(part), "{}", ran.stdout);
    }
}
