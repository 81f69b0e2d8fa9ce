//! What the engine follows beyond plain partitions: models without partitions, what grows, reads through
//! what stores nothing, hooks, views, and a ledger of an earlier layout.

use crate::rules::{NOTHING, orders_and_totals, shop};
use crate::support::shop::{DAILY, Shop, orders, totals};

#[test]
fn when_stale_models_are_built_when_what_they_read_has_changed() {
    let table = "{{ config(materialized='table', rebuild='when_stale') }}\n";
    let shop = shop(&[
        ("orders", &orders("")),
        ("through", "select * from {{ ref('orders') }}"),
        (
            "sums",
            &format!(
                "{table}select cast(sum(amount) as integer) as s from {{{{ ref('through') }}}}"
            ),
        ),
        (
            "more",
            &format!("{table}select s + 1 as s from {{{{ ref('sums') }}}}"),
        ),
        (
            "plain",
            "{{ config(materialized='table') }}\nselect s from {{ ref('more') }}",
        ),
    ]);
    assert_eq!(
        shop.build(4),
        ["more", "orders 01 02 03", "plain", "sums", "through"]
    );
    assert_eq!(shop.build(4), ["plain", "through"]);
    shop.lands(1, &["101,1", "1,1"]);
    assert_eq!(shop.build(4), ["orders 01", "plain", "through"]);
    // The sum is the same, so nothing follows from it.
    shop.lands(1, &["101,2", "1,0"]);
    assert_eq!(shop.build(4), ["orders 01", "plain", "sums", "through"]);
    shop.lands(1, &["101,2", "1,5"]);
    assert_eq!(
        shop.build(4),
        ["more", "orders 01", "plain", "sums", "through"]
    );
    assert_eq!(shop.rows("select s from plain"), "15");
    shop.by_hand("delete from sums");
    assert_eq!(shop.build(4), ["plain", "sums", "through"]);
}

/// What grows is counted as a whole: its new rows alone would read as somebody else's change.
fn what_grows_is_left_alone_once_it_has_grown(shop: &Shop) {
    shop.build(4);
    shop.first_days(4);
    assert_eq!(shop.build(5), ["grown", "orders 04"]);
    assert_eq!(shop.build(5), NOTHING);
    assert_eq!(
        shop.rows("select count(*) as n from {{ ref('grown') }}"),
        "8"
    );
    let one = format!("delete from {} where id = 1", shop.name("grown"));
    shop.by_hand(&one);
    assert_eq!(
        shop.rows("select count(*) as n from {{ ref('grown') }}"),
        "7"
    );
}

const GROWN: &str = "{{ config(materialized='incremental', rebuild='when_stale') }}
select id from {{ ref('orders') }}
{% if is_incremental() %} where id not in (select id from {{ this }}) {% endif %}";

#[test]
fn what_grows_is_left_alone() {
    let shop = shop(&[("orders", &orders("")), ("grown", GROWN)]);
    what_grows_is_left_alone_once_it_has_grown(&shop);
    // The embedded database tells of a change by the number of rows.
    assert_eq!(shop.build(5), ["grown"]);
    assert_eq!(shop.build(5), NOTHING);
}

#[test]
fn what_grows_is_left_alone_on_postgres() {
    let models = [("orders", &*orders("")), ("grown", GROWN)];
    let shop = Shop::on_postgres("it_rules_grown", &models);
    shop.first_days(3);
    what_grows_is_left_alone_once_it_has_grown(&shop);
}

#[test]
fn what_is_not_tracked_makes_nothing_stale_and_all_waits_for_no_hole() {
    let joined = "{{ config(CONFIG) }}\nselect o.id, n.name, o.partition_date from {{ ref('orders') }} as o left join {{ ref('names', track=false) }} as n on n.id = o.id"
        .replace("CONFIG", DAILY);
    let all = "{{ config(CONFIG) }}\nselect {{ partition.start }} as partition_date, count(*) as n from {{ ref('orders', partitions='all') }}"
        .replace("CONFIG", &format!("{DAILY}, batch_size=1"));
    let names = |name: &str| {
        format!(
            "{{{{ config(materialized='table', rebuild='when_stale') }}}}\nselect 1 as id, '{name}' as name"
        )
    };
    let shop = shop(&[
        ("orders", &orders("")),
        ("names", &names("a")),
        ("joined", &joined),
        ("counts", &all),
    ]);
    assert_eq!(
        shop.build(4),
        [
            "counts 01 02 03",
            "joined 01 02 03",
            "names",
            "orders 01 02 03"
        ]
    );
    shop.models(&[("names", &names("b"))]);
    assert_eq!(shop.build(4), ["names"]);
    shop.lands(2, &["2,9"]);
    assert_eq!(shop.build(4), ["counts 01 02 03", "joined 02", "orders 02"]);
    assert_eq!(
        shop.rows("select n from counts order by partition_date"),
        "5, 5, 5"
    );
    // The fourth day is missing: what reads its own day waits, and the count goes on.
    shop.lands(5, &["5,5"]);
    assert_eq!(
        shop.build_with(6, &[], 1),
        ["counts 01 02 03 04 05", "joined 05", "orders 05"]
    );
    assert_eq!(shop.build_with(6, &["--allow-waiting"], 0), NOTHING);
}

/// An ephemeral model over files, in models of every kind, and a source that is read by two mappings.
fn files_are_read_through_what_stores_nothing(shop: &Shop) {
    assert_eq!(
        shop.build(4),
        [
            "both 01 02 03",
            "changes 01 02 03",
            "days 01 02 03",
            "mixed 01 02 03",
            "sums"
        ]
    );
    shop.sandbox.write(
        "tests/cleaned_is_small.sql",
        "select * from {{ ref('cleaned') }} where amount > 1000",
    );
    assert_eq!(shop.build(4), NOTHING);
    assert_eq!(shop.status("cleaned_is_small"), "pass");
    let of = |model: &str| {
        shop.rows(&format!(
            "select n from {{{{ ref('{model}') }}}} order by partition_date"
        ))
    };
    assert_eq!(of("days"), "2, 3, 4");
    assert_eq!(of("both"), "4, 6, 8");
    assert_eq!(of("mixed"), "9, 9, 9");
    assert_eq!(of("changes"), "2, 1, 1");
    assert_eq!(shop.rows("select n from {{ ref('sums') }}"), "9");
    // A late file of a day makes that day stale of what keeps days apart, and all of what does not.
    shop.lands(2, &["2,12"]);
    assert_eq!(
        shop.build(4),
        [
            "both 02",
            "changes 02 03",
            "days 02",
            "mixed 01 02 03",
            "sums"
        ]
    );
    assert_eq!(of("days"), "2, 12, 4");
    assert_eq!(of("changes"), "2, 10, -8");
    assert_eq!(shop.build(4), NOTHING);
    // A day that is bad fails alone, also behind an ephemeral model.
    shop.lands(3, &["3,no"]);
    shop.lands(1, &["1,5"]);
    let ran = shop.ran(4, &["--select", "days"], 1);
    assert_eq!(shop.built(), ["days 01"], "{}", ran.stdout);
    assert!(ran.stdout.contains("part-000.csv"), "{}", ran.stdout);
}

fn models_over_files() -> Vec<(&'static str, String)> {
    let daily = |sql: &str| format!("{{{{ config({DAILY}) }}}}\n{sql}");
    vec![
        (
            "cleaned",
            "{{ config(materialized='ephemeral') }}\nselect id, amount, partition_date from {{ source('landing', 'orders') }} where amount >= 0".to_owned(),
        ),
        (
            "outer",
            "{{ config(materialized='ephemeral') }}\nselect * from {{ ref('cleaned') }}".to_owned(),
        ),
        (
            "everything",
            "{{ config(materialized='ephemeral') }}\nselect cast(sum(amount) as integer) as amount from {{ ref('cleaned') }}".to_owned(),
        ),
        (
            "days",
            daily("select partition_date, cast(sum(amount) as integer) as n from {{ ref('outer') }} as o group by partition_date"),
        ),
        (
            "both",
            daily("select partition_date, cast(sum(amount) as integer) as n from (select * from {{ ref('cleaned') }} union all select id, amount, partition_date from {{ source('landing', 'orders') }}) as t group by partition_date"),
        ),
        (
            "mixed",
            daily("select {{ partition.start }} as partition_date, amount as n from {{ ref('everything') }}"),
        ),
        (
            "changes",
            daily("select {{ partition.start }} as partition_date, cast((select sum(amount) from {{ source('landing', 'orders') }}) - coalesce((select sum(amount) from {{ source('landing', 'orders', partitions='previous') }}), 0) as integer) as n"),
        ),
        (
            "sums",
            "{{ config(materialized='table', rebuild='when_stale') }}\nselect cast(sum(amount) as integer) as n from {{ ref('outer') }}".to_owned(),
        ),
    ]
}

#[test]
fn files_are_read_through_ephemeral_models() {
    let models = models_over_files();
    let models: Vec<(&str, &str)> = models.iter().map(|(name, sql)| (*name, &**sql)).collect();
    files_are_read_through_what_stores_nothing(&shop(&models));
}

#[test]
fn files_are_read_through_ephemeral_models_on_postgres() {
    let models = models_over_files();
    let models: Vec<(&str, &str)> = models.iter().map(|(name, sql)| (*name, &**sql)).collect();
    let shop = Shop::on_postgres("it_rules_files", &models);
    shop.first_days(3);
    files_are_read_through_what_stores_nothing(&shop);
}

/// Hooks belong to a build: while they have not ended well, it is none.
fn a_hook_that_fails_runs_again(shop: &Shop) {
    let told = shop.name("told");
    let hook = format!(
        "post_hook=\"insert into {told} select 'orders', count(*) from {{{{ this }}}} where {{{{ partition.filter('partition_date') }}}}\""
    );
    let whole = format!(
        "{{{{ config(materialized='table', rebuild='when_stale', pre_hook=[{{'sql': 'select 1', 'transaction': false}}], post_hook=[{{'sql': \"insert into {told} select 'sums', n from {{{{ this }}}}\", 'transaction': false}}]) }}}}\nselect count(*) as n from {{{{ source('landing', 'orders') }}}}"
    );
    shop.models(&[
        ("orders", &orders(&hook)),
        ("totals", &totals("")),
        ("sums", &whole),
    ]);
    let ran = shop.ran(4, &[], 1);
    assert!(ran.stdout.contains("told"), "{}", ran.stdout);
    assert_eq!(shop.status("orders"), "error");
    assert_eq!(shop.status("sums"), "error");
    assert_eq!(shop.status("totals"), "skipped");
    // What was committed is there all the same, once.
    assert_eq!(
        shop.rows("select count(*) as n from {{ ref('orders') }}"),
        "6"
    );
    assert_eq!(shop.rows("select n from {{ ref('sums') }}"), "6");
    let published = format!(
        "select count(*) as n from {}.builds where outcome = 'published'",
        shop.ledger
    );
    assert_eq!(shop.rows(&published), "4");
    let why = shop
        .sandbox
        .run(&["why", "orders", "2026-11-02", "--as-of", "2026-11-04"])
        .expect(0);
    assert!(
        why.stdout.contains("its post-hook did not end well"),
        "{}",
        why.stdout
    );
    shop.by_hand(&format!("create table {told} (name varchar, n integer)"));
    assert_eq!(
        shop.build(4),
        ["orders 01 02 03", "sums", "totals 01 02 03"]
    );
    let told = format!("select name, n from {told} order by name");
    assert_eq!(shop.rows(&told), "orders 6, sums 6");
    assert_eq!(shop.build(4), NOTHING);
    assert_eq!(shop.rows(&told), "orders 6, sums 6");
    // All of it into a new table: the hooks are run as well.
    shop.models(&[(
        "orders",
        &orders(&hook).replace("amount,", "cast(amount as varchar) as amount,"),
    )]);
    assert_eq!(
        shop.build_with(4, &["--select", "orders"], 0),
        ["orders 01 02 03"]
    );
    assert_eq!(shop.rows(&told), "orders 6, orders 6, sums 6");
}

#[test]
fn a_hook_that_fails_runs_again_with_the_next_build() {
    a_hook_that_fails_runs_again(&shop(&[]));
}

#[test]
fn a_hook_that_fails_runs_again_with_the_next_build_on_postgres() {
    let shop = Shop::on_postgres("it_rules_hooks", &[]);
    shop.first_days(3);
    a_hook_that_fails_runs_again(&shop);
}

/// Also a model with hooks outside its transaction is judged before anybody sees it.
fn a_model_with_hooks_is_judged_before(shop: &Shop) {
    let sums = "{{ config(materialized='table', rebuild='when_stale', pre_hook=[{'sql': 'select 1', 'transaction': false}], post_hook=['select 2', {'sql': 'select 3', 'transaction': false}]) }}\nselect cast(sum(amount) as integer) as n from {{ source('landing', 'orders') }}";
    shop.models(&[("sums", sums)]);
    shop.sandbox.write(
        "tests/small.sql",
        "select * from {{ ref('sums') }} where n > 100",
    );
    assert_eq!(shop.build(4), ["sums"]);
    shop.lands(2, &["2,500"]);
    assert_eq!(shop.build_with(4, &[], 1), NOTHING);
    assert_eq!(shop.status("small"), "fail");
    assert_eq!(shop.rows("select n from {{ ref('sums') }}"), "9");
    shop.lands(2, &["2,50"]);
    assert_eq!(shop.build(4), ["sums"]);
    assert_eq!(shop.rows("select n from {{ ref('sums') }}"), "56");
}

#[test]
fn rule_6_a_model_with_hooks_outside_is_judged_before_it_is_seen() {
    a_model_with_hooks_is_judged_before(&shop(&[]));
}

#[test]
fn rule_6_a_model_with_hooks_outside_is_judged_before_it_is_seen_on_postgres() {
    let shop = Shop::on_postgres("it_rules_judged", &[]);
    shop.first_days(3);
    a_model_with_hooks_is_judged_before(&shop);
}

/// A ledger that an earlier release has written is read by `plan` and brought up to date by `build`.
fn the_layout_before_is_taken_over(shop: &Shop) {
    shop.build(4);
    let ledger = &shop.ledger;
    for statement in [
        "drop table L.batches",
        "drop table L.batch_files",
        "drop table L.exports",
        "drop table L.expiries",
        "drop table L.hooks",
        "alter table L.relations drop column columns",
        "alter table L.builds drop column query_id",
        "update L.builds set reason = null where outcome = 'published'",
        "update L.layout set layout = 2",
    ] {
        shop.by_hand(&statement.replace("L.", &format!("{ledger}.")));
    }
    let layout = format!("select layout from {ledger}.layout");
    let plan = shop
        .sandbox
        .run(&["plan", "--as-of", "2026-11-04", "--json"])
        .expect(0);
    assert!(plan.stdout.contains("\"steps\": []"), "{}", plan.stdout);
    assert_eq!(shop.rows(&layout), "2");
    assert_eq!(shop.build(4), NOTHING);
    assert_eq!(shop.rows(&layout), "4");
    let new = "select count(*) as n from information_schema.tables where table_schema = 'L' and table_name in ('batches', 'batch_files', 'exports', 'expiries', 'hooks')";
    assert_eq!(shop.rows(&new.replace("'L'", &format!("'{ledger}'"))), "5");
    shop.lands(2, &["2,9"]);
    assert_eq!(shop.build(4), ["orders 02", "totals 02"]);
}

#[test]
fn a_ledger_of_the_layout_before_is_taken_over() {
    the_layout_before_is_taken_over(&orders_and_totals());
}

#[test]
fn a_ledger_of_the_layout_before_is_taken_over_on_postgres() {
    let models = [("orders", &*orders("")), ("totals", &*totals(""))];
    let shop = Shop::on_postgres("it_rules_layout", &models);
    shop.first_days(3);
    the_layout_before_is_taken_over(&shop);
}

/// A view is made anew when its text or its parents' columns changed, and only then.
fn a_view_follows_columns_and_not_code(shop: &Shop) {
    let view = "{{ config(materialized='view', rebuild='when_stale') }}\nselect * from {{ ref('orders') }}";
    let whole = |what: &str| {
        format!(
            "{{{{ config(materialized='table', rebuild='when_stale') }}}}\nselect {what} from {{{{ ref('orders') }}}}"
        )
    };
    let over =
        "{{ config(materialized='view', rebuild='when_stale') }}\nselect * from {{ ref('sums') }}";
    shop.models(&[
        ("orders", &orders("")),
        ("shown", view),
        ("sums", &whole("count(*) as n")),
        ("over", over),
    ]);
    assert_eq!(shop.build(4), ["orders 01 02 03", "over", "shown", "sums"]);
    assert_eq!(shop.build(4), NOTHING);
    // Its code has changed, its columns have not.
    let plan = || {
        let args = [
            "plan",
            "--as-of",
            "2026-11-04",
            "--select",
            "shown",
            "orders",
        ];
        shop.sandbox.run(&args).expect(0).stdout
    };
    shop.models(&[(
        "orders",
        &orders("").replace("amount,", "amount * 1 as amount,"),
    )]);
    assert!(plan().contains("if changed"), "{}", plan());
    assert_eq!(shop.build(4), ["orders 01 02 03"]);
    assert_eq!(shop.build(4), NOTHING);
    // New rows are no new columns, and the plan does not say that they might be.
    shop.lands(2, &["2,9"]);
    assert!(!plan().contains("if changed"), "{}", plan());
    assert_eq!(shop.build(4), ["orders 02", "sums"]);
    // A new column is; one of another type as well; the other view shows nothing of it.
    for amount in [
        "amount, amount as twice,",
        "cast(amount as varchar) as amount, 1 as twice,",
    ] {
        shop.models(&[("orders", &orders("").replace("amount,", amount))]);
        assert_eq!(shop.build(4), ["orders 01 02 03", "shown", "sums"]);
        assert_eq!(shop.build(4), NOTHING);
        assert!(
            !shop
                .rows("select max(twice) as t from {{ ref('shown') }}")
                .is_empty()
        );
    }
    shop.models(&[("sums", &whole("count(*) + 0 as n"))]);
    assert_eq!(shop.build(4), ["sums"]);
    shop.models(&[("sums", &whole("count(*) as m"))]);
    assert_eq!(shop.build(4), ["over", "sums"]);
    assert_eq!(shop.build(4), NOTHING);
    shop.models(&[("over", &over.replace("select *", "select m"))]);
    assert_eq!(shop.build(4), ["over"]);
}

#[test]
fn a_view_is_made_anew_for_columns_and_not_for_code() {
    a_view_follows_columns_and_not_code(&shop(&[]));
}

#[test]
fn a_view_is_made_anew_for_columns_and_not_for_code_on_postgres() {
    let shop = Shop::on_postgres("it_rules_views", &[]);
    shop.first_days(3);
    a_view_follows_columns_and_not_code(&shop);
}
