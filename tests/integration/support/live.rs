//! Projects that are run on the tests' Postgres, and what somebody else sees and does there meanwhile.

use std::time::Duration;

use daygrain::adapter::{AdapterErrorKind, Connection};
use daygrain::table::Datum;
use serde_json::{Value as Json, json};

use super::sandbox::Sandbox;
use super::{drop_postgres_schemas, postgres, postgres_fields};

/// A project whose schema is new.
pub fn project(schema: &str, files: &str) -> Sandbox {
    drop_postgres_schemas(&[schema]);
    project_in(schema, json!({}), files)
}

/// A project in a schema, with more fields in its profile.
pub fn project_in(schema: &str, more: Json, files: &str) -> Sandbox {
    let mut fields = postgres_fields(schema);
    fields.insert("threads".into(), 4.into());
    fields.extend(more.as_object().cloned().unwrap());
    let profile = json!({"shop": {"target": "dev", "outputs": {"dev": fields}}});
    Sandbox::new(&format!(
        "# file: profiles.yml\n{profile}\n# file: dbt_project.yml\nname: shop\nprofile: shop\n{files}"
    ))
}

/// Does something as somebody else.
pub fn aside<T>(work: impl AsyncFnOnce(&mut Box<dyn Connection>) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut session = postgres(json!({})).connect().await.unwrap();
        work(&mut session).await
    })
}

/// Runs statements as somebody else.
pub fn by_hand(sql: &str) {
    aside(async |session| session.execute(sql).await.map(drop)).expect(sql);
}

/// The rows of a query as `a|b`, one a line.
pub fn rows(sql: &str) -> String {
    let (_, table) = aside(async |session| session.fetch(sql).await).expect(sql);
    let cell = |datum: &Datum| match datum {
        Datum::Text(text) => text.clone(),
        Datum::Int(number) => number.to_string(),
        Datum::Bool(truth) => truth.to_string(),
        Datum::Null => "null".to_owned(),
        other => format!("{other:?}"),
    };
    let lines = table.rows.iter().map(|row| {
        let cells: Vec<String> = row.iter().map(cell).collect();
        cells.join("|")
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The results of the last run, as `name status`, sorted.
pub fn statuses(sandbox: &Sandbox) -> Vec<String> {
    let json: Json = serde_json::from_str(&sandbox.read("target/run_results.json")).unwrap();
    let results = json["results"].as_array().unwrap().iter();
    let mut found: Vec<String> = results
        .map(|result| {
            let name = result["unique_id"]
                .as_str()
                .unwrap()
                .rsplit('.')
                .next()
                .unwrap();
            format!("{name} {}", result["status"].as_str().unwrap())
        })
        .collect();
    found.sort();
    found
}

/// Asks a session to stop while its statement sleeps, which then fails as cancelled.
pub async fn is_cancelled_while_it_sleeps(session: &mut Box<dyn Connection>) {
    let canceller = session.canceller();
    let stop = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        canceller.cancel().await;
    };
    let (ended, ()) = tokio::join!(session.execute("select pg_sleep(60)"), stop);
    let kind = ended.expect_err("stopped").kind;
    assert_eq!(kind, AdapterErrorKind::Cancelled);
}
