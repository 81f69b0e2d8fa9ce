//! Tables of the ODS on Postgres: their keys, and the batches that fill them.

use std::collections::BTreeMap;
use std::process::Child;
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use crate::landing::upload;
use crate::support::live::{by_hand, project, rows};
use crate::support::sandbox::{Ran, Sandbox, paused_at};
use crate::support::{drop_postgres_schemas, make_bucket, new_database, s3_url};

/// Products with variants, removed ones, orders with lines, and a table that others fill.
const MODELS: &str = "
# file: models/ods_product.sql
{{ config(materialized='ods_table', alias='product', deletes={'source': ['inbox', 'removed'], 'key': 'id'}) }}
select id, title from {{ source('inbox', 'product') }}
# file: models/ods_variant.sql
{{ config(materialized='ods_table', alias='variant', indexes=[{'columns': ['product_id']}]) }}
select id, product_id, price from {{ source('inbox', 'variant') }}
# file: models/ods_payment.sql
{{ config(materialized='ods_table', alias='payment') }}
-- The webhook inserts into it.
# file: models/ods.yml
version: 2
models:
  - name: ods_product
    columns:
      - {name: id, data_type: varchar, constraints: [{type: primary_key}], data_tests: [unique]}
      - {name: title, data_type: varchar(20), constraints: [{type: not_null}]}
  - name: ods_variant
    columns:
      - {name: id, data_type: varchar, constraints: [{type: primary_key}], data_tests: [unique]}
      - name: product_id
        data_type: varchar
        constraints:
          - {type: not_null}
          - type: foreign_key
            to: ref('ods_product')
            to_columns: [id]
            expression: on delete cascade deferrable initially deferred
        data_tests:
          - relationships: {arguments: {to: ref('ods_product'), field: id}}
      - {name: price, data_type: integer, constraints: [{type: check, expression: price >= 0}]}
  - name: ods_payment
    columns:
      - {name: id, data_type: varchar, constraints: [{type: primary_key}]}
      - {name: status, data_type: varchar(45), constraints: [{type: not_null}]}
sources:
  - name: inbox
    tables:
      - name: product
        external: {location: \"{{ env_var('INBOX', 'inbox') }}/products/batch={batch}/product.csv\"}
        columns: [{name: id, data_type: varchar}, {name: title, data_type: varchar}]
      - name: variant
        external: {location: \"{{ env_var('INBOX', 'inbox') }}/products/batch={batch}/variant.csv\"}
        columns: [{name: id, data_type: varchar}, {name: product_id, data_type: varchar}, {name: price, data_type: integer}]
      - name: removed
        external: {location: \"{{ env_var('INBOX', 'inbox') }}/products/batch={batch}/removed.csv\"}
        columns: [{name: id, data_type: varchar}]
";

/// A project with an inbox, in schemas of its own.
struct Store {
    sandbox: Sandbox,
    schema: &'static str,
}

impl Store {
    fn new(schema: &'static str) -> Store {
        Store::of(schema, MODELS)
    }

    fn of(schema: &'static str, models: &str) -> Store {
        let ledger = format!("{schema}_ledger");
        drop_postgres_schemas(&[&ledger]);
        let sandbox = project(schema, models).with_env("DAYGRAIN_LEDGER_SCHEMA", &ledger);
        Store { sandbox, schema }
    }

    /// Writes the files of a batch of products.
    fn batch(&self, name: &str, files: &[(&str, &str)]) {
        for (file, lines) in files {
            let header = match *file {
                "product" => "id,title",
                "variant" => "id,product_id,price",
                _ => "id",
            };
            let path = format!("inbox/products/batch={name}/{file}.csv");
            self.sandbox.write(&path, &format!("{header}\n{lines}"));
        }
    }

    /// A product with one variant.
    fn offers(&self, name: &str, product: &str, price: &str) {
        let title = format!("{product},{product} of {name}\n");
        let variant = format!("{product}-1,{product},{price}\n");
        self.batch(name, &[("product", &title), ("variant", &variant)]);
    }

    fn build(&self) -> Ran {
        self.sandbox.run(&["build"])
    }

    fn rows(&self, sql: &str) -> String {
        rows(&sql.replace("ODS", self.schema))
    }

    fn by_hand(&self, sql: &str) {
        by_hand(&sql.replace("ODS", self.schema));
    }

    /// Every variant with its product, and what tells a row that was written again from one that was not.
    fn prices(&self) -> String {
        self.rows("select v.id, v.price, p.title from ODS.variant as v inner join ODS.product as p on p.id = v.product_id order by v.id")
    }

    fn batches(&self) -> String {
        self.rows("select batch, outcome from ODS_ledger.batches where inbox like '%/products/%' order by number")
    }

    fn result(&self, name: &str) -> Json {
        let text = self.sandbox.read("target/run_results.json");
        let json: Json = serde_json::from_str(&text).unwrap();
        let mut results = json["results"].as_array().unwrap().iter();
        let id = format!("model.shop.{name}");
        results
            .find(|one| one["unique_id"] == id.as_str())
            .unwrap()
            .clone()
    }

    fn message(&self, name: &str) -> String {
        self.result(name)["message"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// A build that waits at a place, once it is there.
    fn paused(&self, place: &str, seconds: &str) -> Child {
        let mut command = self.sandbox.command(&["build"]);
        command.env("DAYGRAIN_TEST_LEASE_SECONDS", "2");
        paused_at(command, place, seconds)
    }
}

#[test]
fn tables_are_made_with_their_keys() {
    let store = Store::new("it_ods_ddl");
    store.build().expect(0);
    let constraints = "select conrelid::regclass, pg_get_constraintdef(oid) from pg_constraint where connamespace = 'ODS'::regnamespace order by 1, 2";
    insta::assert_snapshot!(store.rows(&constraints.replace("conrelid::regclass", "conrelid::regclass::text")), @r"
    it_ods_ddl.payment|PRIMARY KEY (id)
    it_ods_ddl.product|PRIMARY KEY (id)
    it_ods_ddl.variant|CHECK ((price >= 0))
    it_ods_ddl.variant|FOREIGN KEY (product_id) REFERENCES it_ods_ddl.product(id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED
    it_ods_ddl.variant|PRIMARY KEY (id)
    ");
    let columns = "select table_name::text, column_name::text, data_type::text, is_nullable::text from information_schema.columns where table_schema = 'ODS' order by table_name, ordinal_position";
    insta::assert_snapshot!(store.rows(columns), @r"
    payment|id|character varying|NO
    payment|status|character varying|NO
    product|id|character varying|NO
    product|title|character varying|NO
    variant|id|character varying|NO
    variant|product_id|character varying|NO
    variant|price|integer|YES
    ");
    let indexes =
        "select count(*) from pg_indexes where schemaname = 'ODS' and tablename = 'variant'";
    assert_eq!(store.rows(indexes), "2");
    assert_eq!(store.message("ods_payment"), "CREATE TABLE");
    // What others have inserted stays, and nothing is made a second time.
    store.by_hand("insert into ODS.payment values ('t1', 'success')");
    let oids = "select string_agg(oid::text, ' ' order by relname) from pg_class where relnamespace = 'ODS'::regnamespace";
    let before = store.rows(oids);
    for args in [&["build"][..], &["run", "--full-refresh"]] {
        store.sandbox.run(args).expect(0);
    }
    assert_eq!(store.rows(oids), before);
    assert_eq!(store.rows("select id from ODS.payment"), "t1");
    assert_eq!(store.message("ods_payment"), "OK");
}

#[test]
fn what_is_harmless_is_added_and_the_rest_is_refused() {
    let store = Store::new("it_ods_shape");
    store.offers("1", "tea", "5");
    store.build().expect(0);
    let yaml = store.sandbox.read("models/ods.yml");
    let price = "      - {name: price, data_type: integer, constraints: [{type: check, expression: price >= 0}]}";
    let changed = |from: &str, to: &str| {
        assert!(yaml.contains(from), "{from}");
        store
            .sandbox
            .write("models/ods.yml", &yaml.replace(from, to));
    };
    // A column that takes null, and an index.
    changed(
        price,
        &format!("{price}\n      - {{name: note, data_type: text}}"),
    );
    let model = store.sandbox.read("models/ods_variant.sql");
    store.sandbox.write(
        "models/ods_variant.sql",
        &model.replace(
            "indexes=[",
            "indexes=[{'columns': ['price', 'id'], 'unique': true}, ",
        ),
    );
    store.build().expect(0);
    assert_eq!(store.rows("select note is null from ODS.variant"), "true");
    let indexes =
        "select count(*) from pg_indexes where schemaname = 'ODS' and tablename = 'variant'";
    assert_eq!(store.rows(indexes), "3");
    store.build().expect(0);
    // Somebody's own index only makes things faster.
    store.by_hand("create index own on ODS.variant (note)");
    store.build().expect(0);
    store.by_hand("drop index ODS.own; alter table ODS.variant drop column note");
    store.sandbox.write("models/ods_variant.sql", &model);
    store.sandbox.write("models/ods.yml", &yaml);
    let refused = |expected: &str| {
        for args in [&["build"][..], &["run", "--full-refresh"]] {
            store.sandbox.run(args).expect(1);
            let said = store.message("ods_variant");
            assert!(said.contains("the table \"postgres\".\"it_ods_shape\".\"variant\" is not as `ods_variant` declares it"), "{said}");
            let expected = expected.replace("ODS.variant", "\"it_ods_shape\".\"variant\"");
            assert!(said.contains(&expected), "{expected} in\n{said}");
            assert!(
                store
                    .message("ods_product")
                    .contains("is loaded, since `ods_variant` failed")
            );
        }
        assert_eq!(store.prices(), "tea-1|5|tea of 1");
    };
    // The unique index of before is in the way of a declaration without it.
    refused("the unique index `");
    store.by_hand("do $$ begin execute (select 'drop index ' || indexrelid::regclass from pg_index where indrelid = 'ODS.variant'::regclass and indisunique and not indisprimary); end $$");
    store.build().expect(0);
    let cases = [
        (
            price,
            "      - {name: price, data_type: bigint, constraints: [{type: check, expression: price >= 0}]}",
            "alter table ODS.variant alter column \"price\" type bigint",
        ),
        (
            price,
            "      - {name: price, data_type: integer, constraints: [{type: not_null}, {type: check, expression: price >= 0}]}",
            "alter table ODS.variant alter column \"price\" set not null",
        ),
        (
            price,
            "      - {name: price, data_type: integer, constraints: [{type: check, expression: price > 0}]}",
            "the constraint `CHECK ((price > 0))` is missing: alter table ODS.variant add CHECK ((price > 0))",
        ),
        (
            price,
            "      - {name: price, data_type: integer}",
            "the constraint `CHECK ((price >= 0))` is not declared: alter table ODS.variant drop constraint \"variant_price_check\"",
        ),
        (
            "on delete cascade deferrable",
            "on delete set null deferrable",
            "the constraint `FOREIGN KEY (product_id) REFERENCES it_ods_shape.product(id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED` is not declared",
        ),
        (
            price,
            &format!(
                "{price}\n      - {{name: size, data_type: text, constraints: [{{type: not_null}}]}}"
            ),
            "the column `size` is missing, and refuses null: alter table ODS.variant add column \"size\" text not null",
        ),
    ];
    for (from, to, expected) in cases {
        changed(from, to);
        refused(expected);
    }
    store.sandbox.write("models/ods.yml", &yaml);
    store.by_hand("alter table ODS.variant add column extra text");
    refused("the column `extra` is not declared: alter table ODS.variant drop column \"extra\"");
    store.by_hand("alter table ODS.variant drop column extra");
    store.build().expect(0);
    // Something else under the name.
    store.by_hand("drop table ODS.payment; create view ODS.payment as select 1 as id");
    store.build().expect(1);
    assert!(
        store
            .message("ods_payment")
            .contains("is there and is no table")
    );
}

#[test]
fn batches_are_loaded_once_and_corrected_ones_again() {
    let store = Store::new("it_ods_load");
    store.offers("1", "tea", "5");
    store.offers("2", "scarf", "7");
    store.offers("10", "tea", "6");
    store.build().expect(0);
    let now = "scarf-1|7|scarf of 2\ntea-1|6|tea of 10";
    assert_eq!(store.prices(), now);
    assert_eq!(store.batches(), "1|loaded\n2|loaded\n10|loaded");
    assert_eq!(store.message("ods_variant"), "3 batches, 3 rows");
    // A second run writes no row.
    let versions = "select string_agg(xmin::text || ctid::text, ' ' order by id) from ODS.variant";
    let before = store.rows(versions);
    store.build().expect(0);
    assert_eq!(store.message("ods_variant"), "0 batches, 0 rows");
    assert_eq!(store.rows(versions), before);
    // Nor does a file that was only touched, or one that brings the same rows.
    store.offers("10", "tea", "6");
    store.build().expect(0);
    assert_eq!(store.message("ods_variant"), "0 batches, 0 rows");
    store.batch("10", &[("variant", "\"tea-1\",tea,6\n")]);
    store.build().expect(0);
    assert_eq!(store.message("ods_variant"), "1 batch, 0 rows");
    assert_eq!(store.rows(versions), before);
    // A corrected older batch does not overwrite what a later one says.
    store.batch("1", &[("variant", "tea-1,tea,4\nmug-1,tea,3\n")]);
    store.build().expect(0);
    assert_eq!(store.prices(), format!("mug-1|3|tea of 10\n{now}"));
    // Nor does one that comes late.
    store.offers("9", "tea", "1");
    store.build().expect(0);
    assert_eq!(store.prices(), format!("mug-1|3|tea of 10\n{now}"));
    assert_eq!(store.message("ods_product"), "1 batch, 2 rows");
    // All of them anew, onto rows that somebody has changed.
    store.by_hand("update ODS.variant set price = 0; delete from ODS.product where id = 'scarf'");
    store.sandbox.run(&["run", "--full-refresh"]).expect(0);
    assert_eq!(store.prices(), format!("mug-1|3|tea of 10\n{now}"));
    // A table that is gone is filled again.
    store.by_hand("drop table ODS.variant");
    store.build().expect(0);
    assert_eq!(store.prices(), format!("mug-1|3|tea of 10\n{now}"));
    // A ledger that is gone makes no older value visible.
    store.by_hand("drop schema ODS_ledger cascade");
    store.build().expect(0);
    assert_eq!(store.prices(), format!("mug-1|3|tea of 10\n{now}"));
}

#[test]
fn what_was_spilled_to_read_files_is_removed() {
    let store = Store::new("it_ods_spill");
    let spill = tempfile::tempdir().unwrap();
    let folder = spill.path().to_str().unwrap();
    let store = Store {
        sandbox: store.sandbox.with_env("TMPDIR", folder),
        ..store
    };
    store.offers("1", "tea", "5");
    store.build().expect(0);
    assert_eq!(store.prices(), "tea-1|5|tea of 1");
    assert_eq!(std::fs::read_dir(spill.path()).unwrap().count(), 0);
}

#[test]
fn a_removed_product_takes_its_variants() {
    let store = Store::new("it_ods_removed");
    store.offers("1", "tea", "5");
    store.offers("2", "scarf", "7");
    store.batch("3", &[("removed", "tea\nnobody\n")]);
    store.build().expect(0);
    assert_eq!(store.prices(), "scarf-1|7|scarf of 2");
    assert_eq!(store.message("ods_product"), "3 batches, 2 rows, 1 removed");
    // It does not come back with a correction of what came before.
    store.offers("1", "tea", "8");
    store.build().expect(0);
    assert_eq!(store.prices(), "scarf-1|7|scarf of 2");
    // It does when it is offered again.
    store.offers("4", "tea", "9");
    store.build().expect(0);
    assert_eq!(store.prices(), "scarf-1|7|scarf of 2\ntea-1|9|tea of 4");
}

#[test]
fn a_broken_batch_is_refused_whole_and_the_others_are_loaded() {
    let store = Store::new("it_ods_broken");
    store.offers("1", "tea", "5");
    store.batch(
        "2",
        &[
            ("product", "scarf,scarf\n"),
            ("variant", "scarf-1,scarf,7\nscarf-2,scarf,seven\n"),
        ],
    );
    store.offers("3", "mug", "2");
    let ran = store.build().expect(1);
    assert_eq!(store.prices(), "mug-1|2|mug of 3\ntea-1|5|tea of 1");
    assert_eq!(store.batches(), "1|loaded\n2|refused\n3|loaded");
    assert!(
        ran.stdout
            .contains("inbox/products/batch=2/variant.csv:3:15"),
        "{}",
        ran.stdout
    );
    let said = store.message("ods_variant");
    assert!(
        said.contains("`price` is `seven`, which is no `integer`"),
        "{said}"
    );
    assert!(
        said.contains("in the batch `2` of `inbox/products/batch={batch}`"),
        "{said}"
    );
    assert_eq!(store.result("ods_variant")["status"], "partial success");
    let said = store.message("ods_product");
    assert!(said.contains("batch `2` of `inbox/products/batch={batch}` was refused for `ods_variant`, and `ods_product` has nothing of it either"), "{said}");
    // It is not tried again before a file changes, and not forgotten.
    store.build().expect(1);
    assert_eq!(store.batches(), "1|loaded\n2|refused\n3|loaded");
    assert!(
        store
            .message("ods_variant")
            .contains("was refused before, and its files are as they were")
    );
    store.batch("2", &[("variant", "scarf-1,scarf,7\n")]);
    store.build().expect(0);
    assert_eq!(
        store.prices(),
        "mug-1|2|mug of 3\nscarf-1|7|scarf\ntea-1|5|tea of 1"
    );
}

#[test]
fn what_the_database_refuses_is_named_with_its_batch() {
    let store = Store::new("it_ods_keys");
    store.offers("1", "tea", "5");
    store.batch("2", &[("product", ""), ("variant", "mug-1,mug,3\n")]);
    store.offers("3", "scarf", "7");
    store.build().expect(1);
    assert_eq!(store.prices(), "scarf-1|7|scarf of 3\ntea-1|5|tea of 1");
    let said = store.message("ods_variant");
    assert!(said.contains("violates foreign key constraint"), "{said}");
    assert!(
        said.contains("Key (product_id)=(mug) is not present in table \"product\""),
        "{said}"
    );
    assert!(said.contains("in the batch `2`"), "{said}");
    assert_eq!(store.batches(), "1|loaded\n2|failed\n3|loaded");
    // It is tried each run, and written down once.
    store.build().expect(1);
    assert_eq!(store.batches(), "1|loaded\n2|failed\n3|loaded");
    // The parent has come with another batch.
    store.batch("4", &[("product", "mug,mug\n"), ("variant", "")]);
    store.build();
    store.build().expect(0);
    assert_eq!(
        store.prices(),
        "mug-1|3|mug\nscarf-1|7|scarf of 3\ntea-1|5|tea of 1"
    );
    for (batch, files, expected) in [
        (
            "5",
            [("product", "x,\n"), ("variant", "")],
            "null value in column \"title\"",
        ),
        (
            "6",
            [("product", ""), ("variant", "tea-1,tea,-1\n")],
            "violates check constraint",
        ),
        (
            "7",
            [("product", ""), ("variant", "tea-1,tea,1\ntea-1,tea,2\n")],
            "cannot affect row a second time",
        ),
        (
            "8",
            [
                ("product", "y,a title that is far too long\n"),
                ("variant", ""),
            ],
            "value too long for type character varying(20)",
        ),
    ] {
        store.batch(batch, &files);
        store.build().expect(1);
        let table = if files[1].1.is_empty() {
            "ods_product"
        } else {
            "ods_variant"
        };
        let said = store.message(table);
        assert!(said.contains(expected), "{expected} in\n{said}");
        assert!(said.contains(&format!("in the batch `{batch}`")), "{said}");
        std::fs::remove_dir_all(
            store
                .sandbox
                .path()
                .join(format!("inbox/products/batch={batch}")),
        )
        .unwrap();
    }
}

#[test]
fn a_batch_without_a_file_waits() {
    let store = Store::new("it_ods_waits");
    store.offers("1", "tea", "5");
    store.batch("2", &[("variant", "tea-1,tea,9\n")]);
    let ran = store.build().expect(1);
    assert_eq!(store.prices(), "tea-1|5|tea of 1");
    let waits = "batch 2 of inbox/products/batch={batch} waits for a file of `inbox.product`";
    assert!(ran.stdout.contains(waits), "{}", ran.stdout);
    assert_eq!(store.message("ods_product"), "1 batch, 1 row, 1 waiting");
    store.sandbox.run(&["build", "--allow-waiting"]).expect(0);
    let plan = store
        .sandbox
        .run(&["plan", "--json", "--quiet"])
        .expect(1)
        .stdout;
    let plan: Json = serde_json::from_str(&plan).unwrap();
    assert_eq!(
        plan["inboxes"].to_string(),
        r#"[{"inbox":"inbox/products/batch={batch}","batches":[],"refused":[],"waiting":[{"batch":"2","waits_for":"inbox.product"}]}]"#
    );
    store.batch("2", &[("product", "")]);
    store.offers("3", "mug", "1");
    let plan = store.sandbox.run(&["build", "--dry-run"]).expect(0).stdout;
    assert!(plan.contains("2 batches to load: 2 .. 3"), "{plan}");
    assert_eq!(store.prices(), "tea-1|5|tea of 1");
    store.build().expect(0);
    assert_eq!(store.prices(), "mug-1|1|mug of 3\ntea-1|9|tea of 1");
    // Files that are put away after they were loaded are no change.
    std::fs::remove_dir_all(store.sandbox.path().join("inbox/products/batch=1")).unwrap();
    std::fs::remove_file(
        store
            .sandbox
            .path()
            .join("inbox/products/batch=3/product.csv"),
    )
    .unwrap();
    store.build().expect(0);
    // A batch under one that cannot be loaded over it is not loaded.
    store.offers("2", "mug", "0");
    store.build().expect(1);
    let said = store.message("ods_variant");
    assert!(
        said.contains("comes before `3`, which is loaded and whose files are gone"),
        "{said}"
    );
    assert_eq!(store.prices(), "mug-1|1|mug of 3\ntea-1|9|tea of 1");
}

#[test]
fn a_run_that_is_killed_leaves_all_of_a_batch_or_nothing() {
    let store = Store::new("it_ods_kill");
    store.offers("1", "tea", "5");
    store.build().expect(0);
    let places = [
        ("inbox-staged", false),
        ("inbox-batch", false),
        ("inbox-commit", false),
        ("inbox-committed", true),
    ];
    for (at, (place, is_new)) in places.into_iter().enumerate() {
        let (batch, price) = (format!("{}", 2 + at), 10 + at);
        let before = store.prices();
        store.offers(&batch, "tea", &price.to_string());
        let mut child = store.paused(place, "600");
        child.kill().unwrap();
        child.wait().unwrap();
        let new = format!("tea-1|{price}|tea of {batch}");
        assert_eq!(
            store.prices(),
            if is_new { new.clone() } else { before },
            "killed {place}"
        );
        let ran = store
            .sandbox
            .command(&["build"])
            .env("DAYGRAIN_TEST_LEASE_SECONDS", "2")
            .output()
            .unwrap();
        assert!(
            ran.status.success(),
            "{}",
            String::from_utf8_lossy(&ran.stdout)
        );
        assert_eq!(store.prices(), new, "after {place}");
        let recorded = format!("select count(*) from ODS_ledger.batches where batch = '{batch}'");
        assert_eq!(store.rows(&recorded), "1", "{place}");
    }
}

/// The files were staged in temporary tables, which are gone with the connection that the server ended.
#[test]
fn a_batch_whose_connection_is_lost_after_it_was_staged_is_staged_again() {
    let store = Store::new("it_ods_lost");
    store.offers("1", "tea", "5");
    store.build().expect(0);
    store.offers("2", "tea", "6");
    let mut load = store.paused("inbox-staged", "2");
    store.by_hand("select pg_terminate_backend(pid) from pg_stat_activity where query like '%it_ods_lost%' and pid <> pg_backend_pid()");
    let ended = load.wait().unwrap();
    assert!(ended.success(), "{}", store.message("ods_variant"));
    assert_eq!(store.prices(), "tea-1|6|tea of 2");
    assert_eq!(store.batches(), "1|loaded\n2|loaded");
}

#[test]
fn a_table_that_was_made_anew_is_filled_whatever_happened_to_the_run() {
    let store = Store::new("it_ods_anew");
    store.offers("1", "tea", "5");
    store.offers("2", "mug", "6");
    store.build().expect(0);
    let before = store.prices();
    store.by_hand("drop table ODS.variant");
    let mut child = store.paused("inbox-made", "600");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(store.prices(), "");
    let planned = store.sandbox.run(&["plan"]).expect(0).stdout;
    assert!(planned.contains("2 batches to load: 1 .. 2"), "{planned}");
    store.build().expect(0);
    assert_eq!(store.prices(), before);
}

#[test]
fn two_runs_at_once_load_each_batch_once() {
    let store = Store::new("it_ods_twice");
    store.build().expect(0);
    for at in 1..=6 {
        store.offers(&at.to_string(), "tea", &at.to_string());
    }
    let mut first = store.paused("inbox-batch", "0.3");
    let second = store.build().expect(0);
    assert!(first.wait().unwrap().success());
    assert_eq!(store.prices(), "tea-1|6|tea of 6");
    assert_eq!(
        store.batches(),
        "1|loaded\n2|loaded\n3|loaded\n4|loaded\n5|loaded\n6|loaded"
    );
    assert!(
        second.stdout.contains("0 batches, 0 rows"),
        "{}",
        second.stdout
    );
    // One that waits in vain says for whom.
    store.offers("7", "tea", "7");
    let mut first = store.paused("inbox-batch", "4");
    let second = store
        .sandbox
        .run(&["build", "--lock-timeout", "1"])
        .expect(1);
    assert!(
        second.stdout.contains("which holds its lease"),
        "{}",
        second.stdout
    );
    assert!(first.wait().unwrap().success());
    assert_eq!(store.prices(), "tea-1|7|tea of 7");
}

#[test]
fn others_write_while_a_batch_is_loaded() {
    let store = Store::new("it_ods_webhook");
    store.offers("1", "tea", "5");
    store.build().expect(0);
    store.offers("2", "tea", "6");
    let mut load = store.paused("inbox-batch", "2");
    let started = Instant::now();
    store.by_hand("insert into ODS.payment values ('t1', 'success'), ('t2', 'failure')");
    store.by_hand("insert into ODS.product values ('own', 'by hand'); insert into ODS.variant values ('own-1', 'own', 1)");
    assert_eq!(store.prices(), "own-1|1|by hand\ntea-1|5|tea of 1");
    assert!(started.elapsed() < Duration::from_secs(2), "they waited");
    assert!(load.wait().unwrap().success());
    assert_eq!(store.prices(), "own-1|1|by hand\ntea-1|6|tea of 2");
    assert_eq!(store.rows("select count(*) from ODS.payment"), "2");
}

#[test]
fn hostile_names_and_values_are_kept_as_they_are() {
    let models = "
# file: models/odd.sql
{{ config(materialized='ods_table', alias='o\\'dd \"table\" (x)') }}
select \"Id\" as \"Id\", \"sel ect\" from {{ source('in box', 'it''s') }}
# file: models/child.sql
{{ config(materialized='ods_table', indexes=[{'columns': ['odd_id']}]) }}
select id, odd_id from {{ source('in box', 'child') }}
# file: models/ods.yml
version: 2
models:
  - name: odd
    columns:
      - {name: Id, quote: true, data_type: text, constraints: [{type: primary_key, name: 'my \"key\"'}]}
      - {name: sel ect, quote: true, data_type: text}
  - name: child
    constraints:
      - {type: foreign_key, columns: [odd_id], to: ref('odd'), expression: match full on update cascade}
      - {type: unique, columns: [odd_id, id]}
    columns:
      - {name: id, data_type: integer, constraints: [{type: primary_key}]}
      - {name: odd_id, data_type: text}
sources:
  - name: in box
    tables:
      - name: \"it's\"
        external: {location: 'in''box/{batch}/o dd.csv', 'null': 'NULL'}
        columns: [{name: Id, quote: true, data_type: text}, {name: sel ect, quote: true, data_type: text}]
      - name: child
        external: {location: 'in''box/{batch}/child.csv'}
        columns: [{name: id, data_type: integer}, {name: odd_id, data_type: text}]
";
    let models = models.replace("'it''s'", "\"it's\"");
    let store = Store::of("it_ods_odd", &models);
    let value = "a\\b\t'x'; drop table t; -- \u{1f37a}";
    let folder = "in'box/o'clock; \"1\"";
    store.sandbox.write(
        &format!("{folder}/o dd.csv"),
        &format!("Id,sel ect\n\"{value}\",\"two\nlines, \"\"quoted\"\"\"\n\\N,NULL\n"),
    );
    store.sandbox.write(
        &format!("{folder}/child.csv"),
        &format!("id,odd_id\n1,\"{value}\"\n2,\\N\n"),
    );
    for _ in 0..2 {
        store.build().expect(0);
        let odd = "select \"Id\", \"sel ect\" from ODS.\"o'dd \"\"table\"\" (x)\" order by 1 desc";
        assert_eq!(
            store.rows(odd),
            format!("{value}|two\nlines, \"quoted\"\n\\N|null")
        );
        assert_eq!(
            store.rows("select id, odd_id from ODS.child order by id"),
            format!("1|{value}\n2|\\N")
        );
    }
    let batches = "select batch, outcome from ODS_ledger.batches";
    assert_eq!(store.rows(batches), "o'clock; \"1\"|loaded");
}

/// The bucket of a test, as it is reached from a run.
fn in_bucket(store: Store, bucket: &str) -> Store {
    let sandbox = store
        .sandbox
        .with_env("INBOX", &format!("s3://{bucket}/in"))
        .with_env("AWS_ENDPOINT_URL", &s3_url())
        .with_env("AWS_ALLOW_HTTP", "true")
        .with_env("AWS_REGION", "us-east-1")
        .with_env("AWS_ACCESS_KEY_ID", "key")
        .with_env("AWS_SECRET_ACCESS_KEY", "secret");
    Store { sandbox, ..store }
}

/// Writes objects into a bucket, which is made where it is missing.
fn put(bucket: &str, objects: &[(&str, &str)]) {
    make_bucket(bucket);
    let objects: Vec<(&str, &[u8])> = objects
        .iter()
        .map(|(path, text)| (*path, text.as_bytes()))
        .collect();
    upload(bucket, &objects);
}

#[test]
fn batches_may_lie_in_a_bucket() {
    // The server keeps what an earlier run has put there.
    let bucket = new_database("ods").replace('_', "-");
    let store = in_bucket(Store::new("it_ods_bucket"), &bucket);
    put(
        &bucket,
        &[
            ("in/products/batch=1/product.csv", "id,title\ntea,tea\n"),
            (
                "in/products/batch=1/variant.csv",
                "id,product_id,price\ntea-1,tea,5\n",
            ),
            ("in/products/batch=2/product.csv", "id,title\n"),
        ],
    );
    let ran = store.build().expect(1);
    assert_eq!(store.prices(), "tea-1|5|tea");
    let waits = format!(
        "batch 2 of s3://{bucket}/in/products/batch={{batch}} waits for a file of `inbox.variant`"
    );
    assert!(ran.stdout.contains(&waits), "{}", ran.stdout);
    put(
        &bucket,
        &[(
            "in/products/batch=2/variant.csv",
            "id,product_id,price\ntea-1,tea,6\n",
        )],
    );
    store.build().expect(0);
    assert_eq!(store.prices(), "tea-1|6|tea");
    store.build().expect(0);
    assert_eq!(store.message("ods_variant"), "0 batches, 0 rows");
}

/// The orders warehouse's own inbox: what is in the ODS is what a plain reading of the files gives.
#[test]
fn the_warehouses_ods_holds_what_its_inbox_says() {
    let schema = "it_ods_warehouse";
    let (ods, ledger) = (format!("{schema}_ods"), format!("{schema}_ledger"));
    drop_postgres_schemas(&[&ods, &ledger]);
    let sandbox = Sandbox::postgres_warehouse(schema)
        .with_env("DBT_TARGET", "pipeline")
        .with_env("DAYGRAIN_ODS_SCHEMA", &ods)
        .with_env("DAYGRAIN_LEDGER_SCHEMA", &ledger);
    let args = ["build", "--select", "config.materialized:ods_table"];
    sandbox.run(&args).expect(0);
    let inbox = sandbox.path().join("seeds/inbox");
    let table = |file: &str, folder: &str| -> BTreeMap<String, Vec<String>> {
        let mut batches: Vec<_> = std::fs::read_dir(inbox.join(folder))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        batches.sort();
        let mut found = BTreeMap::new();
        for batch in batches {
            let records = |name: &str| -> Vec<Vec<String>> {
                let Ok(mut reader) = csv::Reader::from_path(batch.join(name)) else {
                    return Vec::new();
                };
                let records = reader.records().map(Result::unwrap);
                records
                    .map(|record| record.iter().map(str::to_owned).collect())
                    .collect()
            };
            for record in records(file) {
                found.insert(record[0].clone(), record);
            }
            for removed in records("removed.csv") {
                let product = if file == "product.csv" { 0 } else { 1 };
                found.retain(|_, record| record[product] != removed[0]);
            }
        }
        found
    };
    let stored = |sql: &str| -> BTreeMap<String, Vec<String>> {
        let lines = rows(&sql.replace("ODS", &ods));
        let records = lines
            .lines()
            .map(|line| line.split('|').map(str::to_owned).collect::<Vec<_>>());
        records.map(|record| (record[0].clone(), record)).collect()
    };
    let product = "select id, title, product_type, created_at::text from ODS.product";
    assert_eq!(stored(product), table("product.csv", "products"));
    assert_eq!(stored(product).len(), 11);
    let variant = "select id, product_id, price, title, created_at::text, updated_at::text, ingested_at::text from ODS.variant";
    assert_eq!(stored(variant), table("variant.csv", "products"));
    let orders = "select id, processed_timestamp::text, customer_id from ODS.orders";
    assert_eq!(stored(orders), table("orders.csv", "orders"));
    assert!(stored(orders).len() > 280);
    let lines = "select id, quantity, variant_id, revenue, order_id from ODS.order_lines";
    assert_eq!(stored(lines), table("order_lines.csv", "orders"));
    let keys = "select string_agg(pg_get_constraintdef(oid), '; ' order by conrelid::regclass::text, contype) from pg_constraint where connamespace = 'ODS'::regnamespace and contype = 'f'";
    assert_eq!(
        rows(&keys.replace("ODS", &ods))
            .matches("ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED")
            .count(),
        2
    );
    sandbox.run(&args).expect(0);
}
