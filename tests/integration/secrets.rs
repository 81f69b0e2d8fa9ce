//! What must not be shown is shown nowhere: not on the terminal, in the log, in an artifact.

use std::path::Path;

use crate::support::postgres_fields;
use crate::support::sandbox::Sandbox;

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
        for folder in ["logs", "target"] {
            let folder = sandbox.path().join(folder);
            for secret in [PASSWORD, "secret-key"] {
                let mut found = Vec::new();
                files_with(&folder, secret, &mut found);
                // What the user wrote into a model is the model's SQL.
                found.retain(|path| {
                    !path.contains("target/compiled") && !path.contains("target/run/")
                });
                assert!(found.is_empty(), "`{secret}` is in {found:?}");
            }
        }
    }
}
