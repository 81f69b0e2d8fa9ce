//! What must not be shown is shown nowhere: not on the terminal, in the log, in an artifact.

use std::path::Path;

use serde_json::json;

use crate::support::sandbox::Sandbox;
use crate::support::server::{Server, write_private};
use crate::support::{new_database, postgres_fields, snowflake_fields};

const PASSWORD: &str = "corr3ct-horse";
const KEY: &str = "t0p\\\"secret-key";

/// Every file below a folder that holds a text.
fn files_with(folder: &Path, text: &str, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files_with(&path, text, found);
        } else if String::from_utf8_lossy(&std::fs::read(&path).expect("bytes")).contains(text) {
            found.push(path.display().to_string());
        }
    }
}

/// The logs and artifacts of a project that hold a text. What the user wrote into a model is the
/// model's SQL, so that is left out.
fn leaks(sandbox: &Sandbox, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for folder in ["logs", "target"].map(|folder| sandbox.path().join(folder)) {
        if folder.exists() {
            files_with(&folder, text, &mut found);
        }
    }
    found.retain(|path| !path.contains("target/compiled") && !path.contains("target/run/"));
    found
}

#[test]
fn secrets_are_masked_wherever_something_is_written() {
    let fields = postgres_fields("secrets");
    let field = |name: &str| fields[name].to_string().replace('"', "");
    let sandbox = Sandbox::new(&format!(
        "\
# file: dbt_project.yml
name: shop
profile: shop
# file: home/profiles.yml
shop:
  target: dev
  outputs:
    dev:
      type: postgres
      host: {}
      port: {}
      user: {}
      password: \"{{{{ env_var('DBT_ENV_SECRET_PASSWORD') }}}}\"
      dbname: {}
      schema: secrets
    plain:
      type: postgres
      host: {}
      port: {}
      user: {}
      password: {PASSWORD}
      dbname: {}
      schema: secrets
-- file: models/a.sql
-- {PASSWORD}
{{{{ log('the password is {PASSWORD}', info=true) }}}}
select '{PASSWORD}' as one, '{{{{ var(\"key\", \"none\") }}}}' as two
-- file: models/bad.sql
select cast('{PASSWORD}' as int) as id
",
        field("host"),
        field("port"),
        field("user"),
        field("dbname"),
        field("host"),
        field("port"),
        field("user"),
        field("dbname"),
    ))
    .with_env("DBT_ENV_SECRET_PASSWORD", PASSWORD)
    .with_env("DBT_ENV_SECRET_KEY", KEY)
    .with_env("DBT_PROFILES_DIR", "home");
    let vars = serde_json::json!({"key": KEY}).to_string();
    // From the environment, then from the profile alone.
    for target in ["dev", "plain"] {
        let args = [
            "--debug",
            "run",
            "--target",
            target,
            "--vars",
            &vars,
            "--log-format",
            "json",
        ];
        let ran = sandbox.run(&args).expect(1);
        let written = format!("{}{}", ran.stdout, ran.stderr);
        assert!(written.contains("the password is *****"), "{written}");
        assert!(!written.contains(PASSWORD), "{written}");
        assert!(!written.contains("secret-key"), "{written}");
        for secret in [PASSWORD, "secret-key"] {
            assert_eq!(leaks(&sandbox, secret), [""; 0], "`{secret}`");
        }
    }
}

/// A login whose password is in the environment, a key that is broken, and every command that talks.
#[test]
fn a_login_of_the_environment_and_the_text_of_a_key_stay_in() {
    const KEY_TEXT: &str = "MC4CAQAwBQYDK2VwBCIEIHNlY3JldA";
    const OTHER: &str = "0ther-hidden-value";
    let mut server = Server::new(PASSWORD);
    server.start("host all all all scram-sha-256\n", &[]);
    let good = server.fields(json!({"retries": 0}));
    let bad = server.fields(json!({
        "retries": 0, "sslmode": "require", "sslcert": "client.key", "sslkey": "client.key",
    }));
    let wrong = server.fields(json!({"retries": 0, "password": format!("{PASSWORD}-not")}));
    let profile =
        json!({"shop": {"target": "good", "outputs": {"good": good, "bad": bad, "wrong": wrong}}});
    let sandbox = Sandbox::new(&format!(
        "\
# file: home/profiles.yml
{profile}
# file: dbt_project.yml
name: shop
profile: shop
on-run-start: [\"select '{{{{ env_var('DBT_ENV_SECRET_OTHER', '') }}}}'\"]
-- file: macros/talk.sql
{{% macro talk() %}}
  {{{{ log(target, info=true) }}}}
  {{{{ log('{PASSWORD}', info=true) }}}}
  {{{{ print('{PASSWORD}') }}}}
  {{% do exceptions.warn('{PASSWORD}') %}}
  {{% do run_query(\"select '{PASSWORD}' as hidden\") %}}
  {{% do run_query(\"do $$ begin raise notice '{PASSWORD}'; end $$\") %}}
  {{% do run_query(\"select cast('{PASSWORD}' as integer)\") %}}
{{% endmacro %}}
-- file: models/a.sql
{{{{ config(materialized='table', meta={{'hidden': '{PASSWORD}'}}) }}}}
select '{PASSWORD}' as one
-- file: models/a.yml
models: [{{name: a, description: 'the {PASSWORD}', columns: [{{name: one, data_tests: [{{accepted_values: {{arguments: {{values: ['{PASSWORD}x']}}}}}}]}}]}}]
# file: seeds/s.csv
id,note
1,{PASSWORD}
"
    ))
    .with_env("PGPASSWORD", PASSWORD)
    .with_env("DBT_ENV_SECRET_OTHER", OTHER)
    .with_env("DBT_PROFILES_DIR", "home");
    let key = format!("-----BEGIN PRIVATE KEY-----\n{KEY_TEXT}\n-----END PRIVATE KEY-----\n");
    write_private(&sandbox.path().join("client.key"), &key);
    let commands: [&[&str]; 12] = [
        &["debug"],
        &["debug", "--target", "bad"],
        &["debug", "--target", "wrong"],
        &["--debug", "parse"],
        &["ls", "--output", "json"],
        &["--debug", "build"],
        &["--debug", "build", "--log-format", "json"],
        &["run", "--target", "bad"],
        &["run", "--target", "wrong"],
        &["run-operation", "talk"],
        &["run", "--vars", "{x: 0ther-hidden-value, y: ["],
        &["compile", "--inline", "{{ corr3ct-horse }}"],
    ];
    for command in commands {
        let ran = sandbox.run(command);
        let written = format!("{}{}", ran.stdout, ran.stderr);
        for secret in [PASSWORD, KEY_TEXT, OTHER] {
            assert!(
                !written.contains(secret),
                "`{secret}` by {command:?}:\n{written}"
            );
        }
    }
    let log = sandbox.read("logs/dbt.log");
    assert!(log.contains("*****"), "nothing was masked");
    let lines = log.lines().filter(|line| line.contains(PASSWORD));
    assert_eq!(lines.collect::<Vec<_>>(), [""; 0]);
    // Whatever is on the disk beside what the user wrote, and the SQL that comes of it.
    for secret in [PASSWORD, KEY_TEXT, OTHER] {
        let mut found = Vec::new();
        files_with(&sandbox.path(), secret, &mut found);
        let written_by_hand = [
            "home/",
            "models/",
            "macros/",
            "seeds/",
            "client.key",
            "target/compiled",
            "target/run/",
        ];
        let root = format!("{}/", sandbox.path().display());
        found.retain(|path| {
            let below = path.strip_prefix(&root).unwrap_or(path);
            !written_by_hand.iter().any(|known| below.starts_with(known))
        });
        assert!(found.is_empty(), "`{secret}` is in {found:?}");
    }
}

/// Logins of every kind, a key that is none, and statements that fail.
#[test]
fn logins_on_snowflake_stay_in() {
    const TOKEN: &str = "t0ken-of-a-guest";
    const PASSPHRASE: &str = "op3n-sesame";
    const KEY_TEXT: &str = "MC4CAQAwBQYDK2VwBCIEIHNlY3JldA";
    let base = snowflake_fields(&new_database("secrets"));
    let login = |more: serde_json::Value| {
        let mut fields = base.clone();
        for kept_elsewhere in ["password", "authenticator"] {
            fields.remove(kept_elsewhere);
        }
        fields.extend(more.as_object().cloned().expect("fields"));
        fields
    };
    let outputs = json!({
        "password": login(json!({"password": PASSWORD})),
        "token": login(json!({"authenticator": "oauth", "token": TOKEN})),
        "key": login(json!({"private_key": KEY_TEXT, "private_key_passphrase": PASSPHRASE})),
    });
    let profile = json!({"shop": {"target": "password", "outputs": outputs}});
    let sandbox = Sandbox::new(&format!(
        "\
# file: home/profiles.yml
{profile}
# file: dbt_project.yml
name: shop
profile: shop
-- file: macros/talk.sql
{{% macro talk() %}}
  {{{{ log(target, info=true) }}}}
  {{{{ log('{PASSWORD} {TOKEN}', info=true) }}}}
  {{% do run_query(\"select cast('{PASSWORD} {TOKEN}' as integer)\") %}}
{{% endmacro %}}
-- file: models/a.sql
select '{PASSWORD} {TOKEN}' as one
-- file: models/bad.sql
{{{{ config(materialized='table') }}}}
select cast('{PASSWORD} {TOKEN}' as integer) as one
"
    ))
    .with_env("DBT_PROFILES_DIR", "home");
    let commands: [(&[&str], i32, &[&str]); 6] = [
        (&["debug"], 0, &[PASSWORD]),
        (&["--debug", "run"], 1, &[PASSWORD]),
        (
            &[
                "--debug",
                "run",
                "--target",
                "token",
                "--log-format",
                "json",
            ],
            1,
            &[TOKEN],
        ),
        (&["run-operation", "talk"], 1, &[PASSWORD]),
        (&["run-operation", "talk", "--target", "token"], 1, &[TOKEN]),
        (
            &["--debug", "run", "--target", "key"],
            2,
            &[KEY_TEXT, PASSPHRASE],
        ),
    ];
    for (command, code, secrets) in commands {
        let _ = std::fs::remove_dir_all(sandbox.path().join("logs"));
        let _ = std::fs::remove_dir_all(sandbox.path().join("target"));
        let ran = sandbox.run(command).expect(code);
        let written = format!("{}{}", ran.stdout, ran.stderr);
        for secret in secrets {
            assert!(
                !written.contains(secret),
                "`{secret}` by {command:?}:\n{written}"
            );
            assert_eq!(
                leaks(&sandbox, secret),
                [""; 0],
                "`{secret}` by {command:?}"
            );
        }
    }
}
