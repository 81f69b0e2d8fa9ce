//! Which profile is found, what becomes of its fields, and what is said of a bad one.

use std::fs;

use serde_json::json;

use super::*;
use crate::config::project;

/// Knows `{{ target_name }}`, `{{ number }}`, and of nothing else.
fn render(text: &str, span: Span) -> Result<Json, Box<Diagnostic>> {
    match text {
        "{{ target_name }}" => Ok("prod".into()),
        "{{ number }}" => Ok(7.into()),
        _ if text.contains("env_var") => Err(Box::new(
            Diagnostic::error(Code::MissingEnvVar, "no such variable").at(span),
        )),
        _ => Err(Box::new(
            Diagnostic::error(Code::JinjaSyntax, "no such thing").at(span),
        )),
    }
}

struct Case {
    folder: tempfile::TempDir,
    request: ProfileRequest,
}

fn case(files: &[(&str, &str)]) -> Case {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (path, text) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, text).expect("a file");
    }
    let request = ProfileRequest {
        home: Some(folder.path().join("home")),
        ..ProfileRequest::default()
    };
    Case { folder, request }
}

fn profiles(text: &str) -> Case {
    case(&[
        ("shop/dbt_project.yml", "name: shop\nprofile: shop\n"),
        ("shop/profiles.yml", text),
    ])
}

impl Case {
    fn read(&self) -> Result<Target, Vec<Diagnostic>> {
        let root = self.folder.path().join("shop");
        let (project, errors) = project::read(&root, &render);
        assert!(errors.is_empty(), "{errors:?}");
        read(&project.expect("a project"), &self.request, &render)
    }

    fn target(&self) -> Target {
        self.read().expect("a good profile")
    }

    fn errors(&self) -> String {
        let errors = self.read().expect_err("a bad profile");
        let place = self.folder.path().to_string_lossy().into_owned();
        let texts: Vec<String> = errors
            .iter()
            .map(|error| error.render(false).replace(&place, "[folder]"))
            .collect();
        texts.join("\n\n")
    }
}

const FILE: &str = "shop: {outputs: {default: {type: duckdb}}}\n";

#[test]
fn the_first_file_in_dbts_order_is_read() {
    let project = ("shop/dbt_project.yml", "name: shop\nprofile: shop\n");
    let mut case = case(&[
        project,
        ("shop/profiles.yml", FILE),
        ("home/.dbt/profiles.yml", FILE),
        ("asked/profiles.yml", FILE),
    ]);
    let found = |case: &Case| {
        let file = case.target().file.expect("a file");
        let path = file.absolute.strip_prefix(case.folder.path());
        path.expect("below").to_string_lossy().into_owned()
    };
    assert_eq!(found(&case), "shop/profiles.yml");
    case.request.profiles_dir = Some(case.folder.path().join("asked"));
    assert_eq!(found(&case), "asked/profiles.yml");
    case.request.profiles_dir = None;
    fs::remove_file(case.folder.path().join("shop/profiles.yml")).expect("removed");
    assert_eq!(found(&case), "home/.dbt/profiles.yml");
}

#[test]
fn without_a_profile_there_is_an_embedded_database() {
    let mut case = case(&[("shop/dbt_project.yml", "name: shop\n")]);
    let target = case.target();
    assert!(target.file.is_none() && target.span.is_none());
    assert_eq!(
        json!(target_facts(&target)).to_string(),
        r#"{"database":"warehouse","schema":"main","path":".daygrain/warehouse.duckdb","config_options":null,"extensions":null,"external_root":null,"use_credential_provider":null,"disable_transactions":null,"type":"duckdb","threads":4,"name":"dev","target_name":"dev","profile_name":"daygrain"}"#
    );
    case.request.target = Some("prod".to_owned());
    insta::assert_snapshot!(case.errors());
}

const SERVER: &str = "
config: {send_anonymous_usage_stats: false}
shop:
  target: '{{ target_name }}'
  outputs:
    dev:
      type: postgres
      host: \"{{ env_var('NOT_SET') }}\"
    prod:
      type: postgres
      host: localhost
      user: 007
      pass: 0123
      port: 5432
      dbname: shop
      schema: public
      threads: '{{ number }}'
";

#[test]
fn only_the_chosen_target_is_rendered() {
    let target = profiles(SERVER).target();
    assert_eq!(
        (
            target.name.as_str(),
            target.database.as_str(),
            target.threads
        ),
        ("prod", "shop", 7)
    );
    assert_eq!(target.fields["password"], json!("0123"));
    assert_eq!(target.span.expect("a place").start(), (9, 5));
    let mut other = profiles(SERVER);
    other.request.target = Some("dev".to_owned());
    assert!(other.errors().contains("missing-env-var"));
}

#[test]
fn templates_and_debug_see_no_secret() {
    let target = profiles(SERVER).target();
    let facts = json!(target_facts(&target)).to_string();
    assert!(facts.contains(r#""dbname":"shop""#), "{facts}");
    assert!(!facts.contains("0123"), "{facts}");
    assert_eq!(format!("{target:?}"), "Target(shop.prod)");
}

#[test]
fn a_password_may_look_like_jinja() {
    let text = SERVER.replace("pass: 0123", "password: 'a{{b'");
    assert_eq!(profiles(&text).target().fields["pass"], json!("a{{b"));
    let text = SERVER.replace("pass: 0123", "password: \"{{ env_var('NOT_SET') }}\"");
    assert!(profiles(&text).errors().contains("missing-env-var"));
}

#[test]
fn the_path_names_the_embedded_database() {
    for (path, name) in [
        (":memory:", "memory"),
        ("data/shop.duckdb", "shop"),
        ("my.db.duckdb", "my"),
        (".hidden.db", "hidden"),
    ] {
        assert_eq!(database_of_path(path), name, "{path}");
    }
}

#[test]
fn what_is_missing_is_named_with_what_is_there() {
    let mut case = case(&[("shop/dbt_project.yml", "name: shop\nprofile: shop\n")]);
    insta::assert_snapshot!(case.errors());
    case.request.profiles_dir = Some(case.folder.path().join("asked"));
    insta::assert_snapshot!(case.errors());
    insta::assert_snapshot!(profiles("shops: {}\nother: {}\n").errors());
    insta::assert_snapshot!(profiles("first: {}\nother: {}\n").errors());
    insta::assert_snapshot!(profiles("shop:\n  target: prd\n  outputs:\n    prod: {}\n").errors());
    let mut asked = profiles("shop:\n  outputs:\n    dev: {}\n    prod: {}\n");
    asked.request.target = Some("staging".to_owned());
    insta::assert_snapshot!(asked.errors());
}

#[test]
fn an_error_beside_a_secret_does_not_show_it() {
    let wrong = SERVER.replace("port: 5432", "threads: many, token: hunter2");
    let list = SERVER.replace("pass: 0123", "- {pass: hunter2");
    for text in [wrong, list] {
        let errors = profiles(&text).errors();
        assert!(errors.contains("at profiles.yml:1"), "{errors}");
        assert!(
            !errors.contains("hunter2") && !errors.contains("0123"),
            "{errors}"
        );
    }
}

#[test]
fn a_bad_profile_says_everything_that_is_wrong() {
    let output = |fields: &str| {
        profiles(&format!(
            "shop:\n  outputs:\n    default:\n      {fields}\n"
        ))
        .errors()
    };
    insta::assert_snapshot!(output("type: duckbd"));
    insta::assert_snapshot!(output("type: oracle"));
    insta::assert_snapshot!(output("threads: 4"));
    insta::assert_snapshot!(output(
        "type: postgres\n      hosts: x\n      threads: none"
    ));
    insta::assert_snapshot!(output(
        "type: duckdb\n      path: a/shop.db\n      database: other"
    ));
    insta::assert_snapshot!(profiles("shop:\n  target: dev\n").errors());
    insta::assert_snapshot!(profiles("- shop\n").errors());
}
