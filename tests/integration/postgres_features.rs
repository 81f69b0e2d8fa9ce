//! What Postgres has and others have not: indexes, unlogged tables, materialized views, and its ways
//! with grants, comments, types and hostile names.

use crate::support::live::{by_hand, project, rows, statuses};
use crate::support::sandbox::Sandbox;

/// The indexes of a relation, as the server says them, without their names.
fn indexes(schema: &str, table: &str) -> String {
    rows(&format!(
        "select regexp_replace(indexdef, 'INDEX \"?[0-9a-f]+\"? ON {schema}\\.', 'INDEX ON ') from pg_indexes
         where schemaname = '{schema}' and tablename = '{table}' order by 1"
    ))
}

#[test]
fn indexes_are_made_on_tables_incrementals_and_seeds() {
    let config = "indexes=[{'columns': ['a'], 'unique': true}, {'columns': ['b', 'a'], 'type': 'btree'}, {'columns': ['b'], 'type': 'hash'}]";
    let sandbox = project(
        "feat_index",
        &format!(
            "\
-- file: models/t.sql
{{{{ config(materialized='table', unlogged=true, {config}) }}}}
select 1 as a, 2 as b
-- file: models/i.sql
{{{{ config(materialized='incremental', {config}) }}}}
select 1 as a, 2 as b {{% if is_incremental() %}} where false {{% endif %}}
# file: seeds/s.csv
a,b
1,2
# file: seeds/s.yml
seeds: [{{name: s, config: {{indexes: [{{columns: [a]}}], column_types: {{b: 'numeric(10,2)'}}}}}}]
"
        ),
    );
    let all = "\
CREATE INDEX ON i USING btree (b, a)
CREATE INDEX ON i USING hash (b)
CREATE UNIQUE INDEX ON i USING btree (a)";
    for turn in ["first", "again"] {
        sandbox.run(&["build"]).expect(0);
        assert_eq!(indexes("feat_index", "i"), all, "{turn}");
        assert_eq!(
            indexes("feat_index", "t"),
            all.replace(" i ", " t "),
            "{turn}"
        );
        assert_eq!(
            indexes("feat_index", "s"),
            "CREATE INDEX ON s USING btree (a)",
            "{turn}"
        );
    }
    let unlogged = "select relname, relpersistence = 'u' from pg_class where relname in ('t', 'i') and relnamespace = 'feat_index'::regnamespace order by 1";
    assert_eq!(rows(unlogged), "i|false\nt|true");
    let kind = "select format_type(atttypid, atttypmod) from pg_attribute where attrelid = 'feat_index.s'::regclass and attname = 'b'";
    assert_eq!(rows(kind), "numeric(10,2)");
    // Another configuration reaches a table that is there, and an incremental one with its next full refresh.
    for (model, kind) in [("t", "table"), ("i", "incremental")] {
        let sql = format!(
            "{{{{ config(materialized='{kind}', indexes=[{{'columns': ['b']}}]) }}}}\nselect 1 as a, 2 as b"
        );
        sandbox.write(&format!("models/{model}.sql"), &sql);
    }
    sandbox.run(&["build", "--full-refresh"]).expect(0);
    for table in ["t", "i"] {
        assert_eq!(
            indexes("feat_index", table),
            format!("CREATE INDEX ON {table} USING btree (b)")
        );
    }
}

#[test]
fn an_index_that_is_no_index_is_refused_in_the_words_of_dbt() {
    let model = |name: &str, index: &str| {
        format!(
            "-- file: models/{name}.sql\n{{{{ config(materialized='table', indexes=[{index}]) }}}}\nselect 1 as a\n"
        )
    };
    let files = [
        model("columns", "{'columns': 'a, b'}"),
        model("missing", "{'unique': true}"),
        model("flag", "{'columns': ['a'], 'unique': 'yes'}"),
        model("word", "'a'"),
        model("kind", "{'columns': ['a'], 'type': 'nosuch'}"),
    ];
    let sandbox = project("feat_badindex", &files.concat());
    let told = sandbox.run(&["run"]).expect(1).stdout;
    for part in [
        "columns']: 'a, b' is not of type 'array'",
        "'columns' is a required property",
        "unique']: 'yes' is not of type 'boolean'",
        "Expected a dictionary with at minimum a \"columns\" key",
        "access method \"nosuch\" does not exist",
    ] {
        assert!(told.contains(part), "`{part}` is not in\n{told}");
    }
}

const MV: &str = "materialized='materialized_view'";

fn mv(sandbox: &Sandbox, config: &str, sql: &str) {
    sandbox.write(
        "models/m.sql",
        &format!("{{{{ config({MV}, {config}) }}}}\n{sql}"),
    );
}

#[test]
fn a_materialized_view_is_made_refreshed_changed_and_replaced() {
    let sandbox = project("feat_mv", "");
    by_hand("create schema feat_mv; create table feat_mv.base as select 1 as a");
    let sql = "select a, a * 10 as b from feat_mv.base";
    let index = "indexes=[{'columns': ['a'], 'unique': true}, {'columns': ['b', 'a']}]";
    mv(&sandbox, index, sql);
    let ran = sandbox.run(&["run"]).expect(0);
    assert!(ran.stdout.contains("SELECT 1"), "{}", ran.stdout);
    by_hand("create view feat_mv.by_hand as select a from feat_mv.m");
    let both = "CREATE INDEX ON m USING btree (b, a)\nCREATE UNIQUE INDEX ON m USING btree (a)";
    assert_eq!(indexes("feat_mv", "m"), both);

    // New rows come with a refresh, which leaves the object as it is.
    let oid = rows("select 'feat_mv.m'::regclass::oid");
    by_hand("insert into feat_mv.base values (2)");
    let ran = sandbox.run(&["run"]).expect(0);
    assert!(
        ran.stdout.contains("REFRESH MATERIALIZED VIEW"),
        "{}",
        ran.stdout
    );
    assert_eq!(rows("select count(*) from feat_mv.by_hand"), "2");

    // Another configuration: `continue` warns, `fail` fails, `apply`, which is what is meant, applies.
    let other = "indexes=[{'columns': ['b', 'a']}, {'columns': ['b'], 'type': 'hash'}]";
    mv(
        &sandbox,
        &format!("{other}, on_configuration_change='continue'"),
        sql,
    );
    let ran = sandbox.run(&["run"]).expect(0);
    assert!(
        ran.stdout
            .contains("`on_configuration_change` was set to `continue`"),
        "{}",
        ran.stdout
    );
    assert_eq!(indexes("feat_mv", "m"), both);
    mv(
        &sandbox,
        &format!("{other}, on_configuration_change='fail'"),
        sql,
    );
    let ran = sandbox.run(&["run"]).expect(1);
    assert!(
        ran.stdout
            .contains("`on_configuration_change` was set to `fail`"),
        "{}",
        ran.stdout
    );
    assert_eq!(indexes("feat_mv", "m"), both);
    mv(&sandbox, other, sql);
    sandbox.run(&["run"]).expect(0);
    assert_eq!(
        indexes("feat_mv", "m"),
        "CREATE INDEX ON m USING btree (b, a)\nCREATE INDEX ON m USING hash (b)"
    );
    assert_eq!(rows("select 'feat_mv.m'::regclass::oid"), oid);

    // Another query comes with a full refresh; who reads it is pointed at the new one.
    mv(
        &sandbox,
        other,
        "select a::bigint as a, a * 100 as b from feat_mv.base",
    );
    sandbox.run(&["run"]).expect(0);
    assert_eq!(rows("select max(b) from feat_mv.m"), "20");
    sandbox.run(&["run", "--full-refresh"]).expect(0);
    assert_eq!(rows("select max(b) from feat_mv.m"), "200");
    assert_eq!(rows("select count(*) from feat_mv.by_hand"), "2");

    // From a materialized view to a table, a view, and back.
    for kind in [
        "table",
        "view",
        "materialized_view",
        "table",
        "materialized_view",
        "view",
        "incremental",
    ] {
        let model =
            format!("{{{{ config(materialized='{kind}') }}}}\nselect a, a as b from feat_mv.base");
        sandbox.write("models/m.sql", &model);
        sandbox.run(&["run"]).expect(0);
        assert_eq!(rows("select count(*) from feat_mv.by_hand"), "2", "{kind}");
        assert_eq!(
            rows(
                "select count(*) from pg_class where relnamespace = 'feat_mv'::regnamespace and relkind in ('r', 'v', 'm')"
            ),
            "3",
            "{kind}"
        );
    }
    mv(&sandbox, "on_configuration_change='maybe'", sql);
    let ran = sandbox.run(&["run"]);
    assert_ne!(ran.code, 0);
    assert!(ran.stdout.contains("maybe"), "{}", ran.stdout);
}

/// Who may read a relation, besides its owner.
fn readers(relation: &str) -> String {
    rows(&format!(
        "select string_agg(case acl.grantee when 0 then 'public' else acl.grantee::regrole::text end, ' ' order by acl.grantee::regrole::text)
         from pg_class, aclexplode(relacl) acl
         where oid = '{relation}'::regclass and acl.grantee <> relowner and acl.privilege_type = 'SELECT'"
    ))
}

#[test]
fn grants_are_added_replaced_and_revoked() {
    let sandbox = project(
        "feat_grants",
        "\
# file: models/m.yml
models:
  - {name: t, config: {materialized: table}}
  - {name: v, config: {materialized: view}}
  - {name: m, config: {materialized: materialized_view}}
  - {name: i, config: {materialized: incremental}}
-- file: models/t.sql
select 1 as a
-- file: models/v.sql
select 1 as a
-- file: models/m.sql
select 1 as a
-- file: models/i.sql
select 1 as a
# file: seeds/s.csv
a
1
",
    );
    by_hand(
        "do $$ begin
           perform pg_advisory_xact_lock(7001);
           for at in 1..3 loop
             if not exists (select from pg_roles where rolname = 'feat_reader_' || at) then
               execute format('create role feat_reader_%s', at);
             end if;
           end loop;
           if not exists (select from pg_roles where rolname = 'feat \"odd; role') then
             create role \"feat \"\"odd; role\";
           end if;
         end $$",
    );
    let configure = |models: &str| {
        sandbox.write(
            "dbt_project.yml",
            &format!("name: shop\nprofile: shop\nmodels: {models}\nseeds: {models}\n"),
        );
        sandbox.run(&["build"]).expect(0);
        let found: Vec<String> = ["t", "v", "m", "i", "s"]
            .iter()
            .map(|name| readers(&format!("feat_grants.{name}")))
            .collect();
        found
    };
    let all = |names: &str| vec![names.to_owned(); 5];
    assert_eq!(
        configure("{+grants: {select: [feat_reader_1, feat_reader_2]}}"),
        all("feat_reader_1 feat_reader_2")
    );
    // Replaced: who is not named any more loses the right, also one whose name is odd.
    for name in ["t", "v", "m", "i", "s"] {
        by_hand(&format!(
            "grant select on feat_grants.{name} to \"feat \"\"odd; role\""
        ));
    }
    assert_eq!(
        configure("{+grants: {select: feat_reader_3}}"),
        all("feat_reader_3")
    );
    // Added to what the project says, by a model of its own.
    sandbox.write(
        "models/t.sql",
        "{{ config(grants={'+select': ['feat_reader_1']}) }}\nselect 1 as a",
    );
    let mut added = all("feat_reader_3");
    added[0] = "feat_reader_1 feat_reader_3".into();
    assert_eq!(configure("{+grants: {select: feat_reader_3}}"), added);
    assert_eq!(
        configure("{+grants: {select: []}}"),
        [vec!["feat_reader_1".to_owned()], vec!["null".to_owned(); 4]].concat()
    );
}

#[test]
fn descriptions_are_kept_whatever_they_hold() {
    let text = "it's a $$ \\\"quoted\\\" \\\\ thing; -- '";
    let files: String = ["table", "view", "materialized_view", "incremental"]
        .iter()
        .map(|kind| format!("-- file: models/{kind}_m.sql\n{{{{ config(materialized='{kind}') }}}}\nselect 1 as a, 2 as \"B b\"\n"))
        .collect();
    let sandbox = project("feat_docs", &files);
    sandbox.write("dbt_project.yml", "name: shop\nprofile: shop\nmodels: {+persist_docs: {relation: true, columns: true}}\nseeds: {+persist_docs: {relation: true, columns: true}}\n");
    sandbox.write("seeds/s.csv", "a,B b\n1,2\n");
    sandbox.write("seeds/p.yml", &format!("seeds: [{{name: s, description: \"{text}\", config: {{quote_columns: true}}, columns: [{{name: a, description: \"{text}\"}}, {{name: B b, quote: true, description: \"{text}\"}}]}}]\n"));
    let models: String = ["table", "view", "materialized_view", "incremental"]
        .iter()
        .map(|kind| format!("  - name: {kind}_m\n    description: \"{text}\"\n    columns: [{{name: a, description: \"{text}\"}}, {{name: B b, quote: true, description: \"{text}\"}}]\n"))
        .collect();
    sandbox.write("models/p.yml", &format!("models:\n{models}"));
    for _ in 0..2 {
        sandbox.run(&["build"]).expect(0);
        let said = "it's a $$ \"quoted\" \\ thing; -- '";
        let kept = rows(
            "select count(*) from pg_description as d join pg_class as c on c.oid = d.objoid where c.relnamespace = 'feat_docs'::regnamespace and d.description = $q$it's a $$ \"quoted\" \\ thing; -- '$q$",
        );
        assert_eq!(kept, "15", "{said}");
    }
}

/// Names and values that would end a literal or an identifier if they were not quoted.
#[test]
fn hostile_names_and_values_stay_names_and_values() {
    let schema = "feat'; drop schema \"x\" cascade; --";
    let quoted = schema.replace('"', "\"\"");
    by_hand(&format!(
        "drop schema if exists \"{quoted}\" cascade; drop schema if exists feat_hostile cascade; create schema feat_hostile; create table feat_hostile.kept as select 1 as a"
    ));
    let cell = "'); drop table feat_hostile.kept; -- \\ \"\t$$";
    let sandbox = crate::support::live::project_in(
        schema,
        serde_json::json!({}),
        &format!(
            "\
-- file: models/t.sql
{{{{ config(materialized='table', alias='t\" ; drop table feat_hostile.kept; --', indexes=[{{'columns': ['a']}}], grants={{'select': ['pg_monitor']}}, persist_docs={{'relation': true, 'columns': true}}) }}}}
select a, b, {{{{ dbt.string_literal(dbt.escape_single_quotes(var('x'))) }}}} as c from {{{{ ref('s') }}}}
-- file: models/v.sql
select * from {{{{ ref('t') }}}}
-- file: models/m.sql
{{{{ config(materialized='materialized_view', indexes=[{{'columns': ['a']}}]) }}}}
select * from {{{{ ref('v') }}}}
# file: models/p.yml
models:
  - name: t
    description: \"'; drop table feat_hostile.kept; --\"
    columns:
      - name: b
        data_tests: [accepted_values: {{arguments: {{values: [{cell}]}}}}]
",
            cell = serde_json::to_string(cell).unwrap(),
        ),
    );
    sandbox.write(
        "seeds/s.csv",
        &format!("a,b\n1,\"{}\"\n", cell.replace('"', "\"\"")),
    );
    let vars = serde_json::json!({"x": cell}).to_string();
    for _ in 0..2 {
        sandbox.run(&["build", "--vars", &vars]).expect(0);
        assert_eq!(
            statuses(&sandbox)
                .iter()
                .filter(|line| !line.ends_with("success") && !line.ends_with("pass"))
                .count(),
            0
        );
    }
    // Once more with other columns, so that the table is swapped and its views are made anew.
    let model = sandbox
        .read("models/t.sql")
        .replace("select a,", "select a::bigint as a,");
    sandbox.write("models/t.sql", &model);
    sandbox.run(&["build", "--vars", &vars]).expect(0);
    let found = rows(&format!("select c = b, b from \"{quoted}\".m"));
    assert_eq!(found, format!("true|{cell}"));
    assert_eq!(rows("select a from feat_hostile.kept"), "1");
    by_hand(&format!("drop schema \"{quoted}\" cascade"));
}

/// The same of the partition engine: schemas of tables and of the ledger, names of tables and of files.
#[test]
fn hostile_names_do_no_harm_to_partitions() {
    let (schema, ledger) = ("it's \"here\"; --", "led'ger\"; --");
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let drop =
        [schema, ledger].map(|name| format!("drop schema if exists {} cascade", quoted(name)));
    by_hand(&drop.join(";"));
    let sandbox = crate::support::live::project_in(
        schema,
        serde_json::json!({}),
        "\
# file: models/sources.yml
sources:
  - name: landing
    tables:
      - name: orders
        external: {location: 'landing/partition_date={partition_date}/*.csv', file_format: csv}
        config: {partition_by: partition_date, begin: 2026-11-01}
        columns: [{name: id, data_type: integer}, {name: note, data_type: text}]
-- file: models/orders.sql
{{ config(materialized='incremental', partition_by='partition_date', begin='2026-11-01', alias='or\"d\\'ers; --') }}
select id, note, partition_date from {{ source('landing', 'orders') }}
-- file: models/totals.sql
{{ config(materialized='incremental', partition_by='partition_date', begin='2026-11-01') }}
select partition_date, count(*) as n, max(note) as note from {{ ref('orders') }} group by partition_date
",
    )
    .with_env("DAYGRAIN_LEDGER_SCHEMA", ledger);
    let note = "'); drop schema public; -- \\ $$ \"";
    let lands = |day: &str, name: &str, note: &str| {
        let path = format!("landing/partition_date=2026-11-{day}/{name}.csv");
        let cell = note.replace('"', "\"\"");
        sandbox.write(&path, &format!("id,note\n1,\"{cell}\"\n"));
    };
    let name = "it's \"x\"; drop table t; -- \\ $$ %s {a}";
    lands("01", name, note);
    lands("02", "plain", "b");
    sandbox.run(&["build", "--as-of", "2026-11-03"]).expect(0);
    let found = || {
        rows(&format!(
            "select note from {}.totals order by partition_date",
            quoted(schema)
        ))
    };
    assert_eq!(found(), format!("{note}\nb"));
    lands("01", name, "later");
    let told = sandbox.run(&["plan", "--as-of", "2026-11-03"]).expect(0);
    assert!(told.stdout.contains("2026-11-01"), "{}", told.stdout);
    sandbox.run(&["build", "--as-of", "2026-11-03"]).expect(0);
    assert_eq!(found(), "later\nb");
    sandbox
        .run(&["partitions", "orders", "--verify", "--as-of", "2026-11-03"])
        .expect(0);
    sandbox
        .run(&["why", "totals", "2026-11-01", "--as-of", "2026-11-03"])
        .expect(0);
    by_hand(&drop.join(";"));
}
