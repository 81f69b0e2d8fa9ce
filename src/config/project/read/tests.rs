//! What a `dbt_project.yml` becomes, and what is said of a wrong one.

use serde_json::json;

use super::*;

/// Puts angle brackets around what stands between the braces; `{{ fail }}` fails.
fn render(text: &str, span: Span) -> Result<Json, Box<Diagnostic>> {
    match text {
        "{{ fail }}" => Err(Box::new(
            Diagnostic::error(Code::MissingEnvVar, "no variable `X`").at(span),
        )),
        "{{ yes }}" => Ok(true.into()),
        _ => Ok(text.replace("{{ ", "<").replace(" }}", ">").into()),
    }
}

fn read_text(text: &str) -> (Option<ProjectFile>, Vec<Diagnostic>) {
    let file = SourceFile::inline(FILE_NAME, text);
    read_file(Path::new("/home/me/my_shop"), file, &render)
}

fn good(text: &str) -> ProjectFile {
    let (project, diagnostics) = read_text(text);
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    project.expect("a usable file")
}

fn messages(text: &str) -> String {
    let (_, diagnostics) = read_text(text);
    let texts: Vec<String> = diagnostics
        .iter()
        .map(|error| error.render(false))
        .collect();
    texts.join("\n\n")
}

#[test]
fn a_name_is_enough() {
    let project = good("name: shop\n");
    assert_eq!(&*project.name, "shop");
    assert!(project.profile.is_none() && project.query_comment.is_none());
    let paths = &project.paths;
    assert_eq!(paths.models, ["models"]);
    assert_eq!(paths.analyses, ["analyses"]);
    assert_eq!(
        paths.docs,
        [
            "models",
            "seeds",
            "snapshots",
            "analyses",
            "macros",
            "tests",
            "functions"
        ]
    );
    assert_eq!(
        (paths.target.as_str(), paths.packages.as_str()),
        ("target", "dbt_packages")
    );
    assert_eq!(paths.clean, ["target"]);
}

const WHOLE: &str = "
name: shop
version: 1.0
config-version: 2
profile: '{{ p }}'
model-paths: [./models/, more]
test-paths: ['tests/sql']
target-path: target/dbt
clean-targets: [target/dbt]
require-dbt-version: ['>=1.3.0', '<2.0.0']
vars: {day: '{{ raw }}', utils: {x: 1}}
quoting: {database: false, identifier: '{{ yes }}'}
dispatch:
  - macro_namespace: dbt
    search_order: [shop, dbt]
on-run-start: create schema {{ raw }}
on-run-end:
  - one
  - '{{ two }}'
models:
  +materialized: view
tests:
  +severity: warn
semantic-models:
  +enabled: true
flags: {fail_fast: true}
query-comment: null
restrict-access: false
";

#[test]
fn every_key_is_read() {
    let project = good(WHOLE);
    assert_eq!(project.version.as_deref(), Some("1.0"));
    assert_eq!(project.profile.as_deref(), Some("<p>"));
    assert_eq!(project.paths.models, ["models", "more"]);
    assert_eq!(project.paths.clean, ["target/dbt"]);
    assert_eq!(
        json!(project.vars).to_string(),
        r#"{"day":"{{ raw }}","utils":{"x":1}}"#
    );
    assert_eq!(
        (
            project.quoting.database,
            project.quoting.schema,
            project.quoting.identifier
        ),
        (Some(false), None, Some(true))
    );
    assert_eq!(project.dispatch["dbt"], ["shop", "dbt"]);
    let hooks = |hooks: &[Yaml]| -> Vec<String> {
        let texts = hooks.iter().filter_map(Yaml::as_str);
        texts.map(str::to_owned).collect()
    };
    assert_eq!(hooks(&project.on_run_start), ["create schema {{ raw }}"]);
    assert_eq!(hooks(&project.on_run_end), ["one", "{{ two }}"]);
    let words: Vec<&String> = project.configs.keys().collect();
    assert_eq!(words, ["models", "data_tests", "semantic_models"]);
    assert_eq!(project.query_comment, Some(Json::Null));
    assert_eq!(project.flags["fail_fast"], json!(true));
}

#[test]
fn a_missing_file_says_where_it_was_looked_for() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (project, errors) = read(folder.path(), &render);
    assert!(project.is_none());
    let text = errors[0].render(false);
    let place = folder.path().to_string_lossy().into_owned();
    insta::assert_snapshot!(text.replace(&place, "[folder]"));
}

#[test]
fn a_name_has_letters_digits_and_underscores() {
    for name in ["_a1", "größe", "Shop_2"] {
        assert_eq!(&*good(&format!("name: {name}\n")).name, name);
    }
    insta::assert_snapshot!(messages("name: my-shop\n"));
    insta::assert_snapshot!(messages("name: ref\n"));
    insta::assert_snapshot!(messages("name: 12\n"));
    insta::assert_snapshot!(messages("profile: x\n"));
    insta::assert_snapshot!(messages("- x\n"));
}

#[test]
fn unknown_and_old_keys_are_warned_of() {
    let (project, diagnostics) =
        read_text("name: s\nsource-paths: [src]\nmodel_paths: [m]\nmine: 1\n");
    assert!(diagnostics.iter().all(|warning| !warning.is_error()));
    assert_eq!(project.expect("usable").paths.models, ["src"]);
    insta::assert_snapshot!(messages(
        "name: s\nsource-paths: [src]\nmodel_paths: [m]\nmine: 1\n"
    ));
    insta::assert_snapshot!(messages("name: s\ndata-paths: [a]\nseed-paths: [b]\n"));
}

#[test]
fn wrong_shapes_are_all_told_at_once() {
    insta::assert_snapshot!(messages(
        "name: s
config-version: 1
model-paths: models
seed-paths: [1]
vars: [a]
models: view
quoting: {database: 'no', shema: true}
dispatch: [{macro_namespace: dbt}]
on-run-start: {a: b}
query-comment: [a]
tests: {}
data_tests: {}
flags: '{{ fail }}'
restrict-access: maybe
"
    ));
}

#[test]
fn a_project_may_require_another_dbt() {
    insta::assert_snapshot!(messages("name: s\nrequire-dbt-version: '>=2.0.0'\n"));
    insta::assert_snapshot!(messages("name: s\nrequire-dbt-version: ['1.0']\n"));
    let unchecked = "name: s\nrequire-dbt-version: '>=2.0.0'\nflags: {version_check: false}\n";
    assert_eq!(messages(unchecked), "");
}
