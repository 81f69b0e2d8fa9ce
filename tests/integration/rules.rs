//! The rules of partitions, each by the smallest project that shows it.

use crate::support::live;
use crate::support::shop::{DAILY, Shop, orders, totals};

pub fn shop(models: &[(&str, &str)]) -> Shop {
    let shop = Shop::embedded(models);
    shop.first_days(3);
    shop
}

pub fn orders_and_totals() -> Shop {
    shop(&[("orders", &orders("")), ("totals", &totals(""))])
}

pub const NOTHING: [&str; 0] = [];

/// What both databases must do.
fn fresh_is_left_alone(shop: &Shop) {
    assert_eq!(shop.build(4), ["orders 01 02 03", "totals 01 02 03"]);
    assert_eq!(shop.build(4), NOTHING);
    shop.first_days(4);
    assert_eq!(shop.build(5), ["orders 04", "totals 04"]);
    // A corrected file, a late one, and one with the same rows in another order.
    shop.lands(1, &["1,5", "101,1"]);
    shop.lands_as(2, "part-001", &["202,7"]);
    shop.lands(3, &["103,1", "3,3"]);
    assert_eq!(shop.build(5), ["orders 01 02 03", "totals 01 02"]);
    let sums = "select total from {{ ref('totals') }} order by partition_date";
    assert_eq!(shop.rows(sums), "6, 10, 4, 5");
    assert_eq!(shop.build(5), NOTHING);
    // A table that is emptied or gone is built again; what comes back as it was moves nothing.
    shop.by_hand(&format!("truncate table {}", shop.name("orders")));
    assert_eq!(shop.build(5), ["orders 01 02 03 04"]);
    shop.by_hand(&format!("drop table {}", shop.name("totals")));
    assert_eq!(shop.build(5), ["totals 01 02 03 04"]);
    assert_eq!(shop.rows(sums), "6, 10, 4, 5");
}

#[test]
fn rule_1_and_4_fresh_is_left_alone() {
    fresh_is_left_alone(&orders_and_totals());
}

#[test]
fn rule_1_and_4_fresh_is_left_alone_on_snowflake() {
    let models = [("orders", &*orders("")), ("totals", &*totals(""))];
    let shop = Shop::on_snowflake("rules", &models);
    shop.first_days(3);
    fresh_is_left_alone(&shop);
}

#[test]
fn rule_1_and_4_fresh_is_left_alone_on_postgres() {
    let models = [("orders", &*orders("")), ("totals", &*totals(""))];
    let shop = Shop::on_postgres("it_rules_fresh", &models);
    shop.first_days(3);
    fresh_is_left_alone(&shop);
}

#[test]
fn rule_1_rows_that_somebody_deletes_are_noticed() {
    let shop = orders_and_totals();
    shop.build(4);
    shop.by_hand("delete from orders where partition_date = cast('2026-11-02' as date)");
    assert_eq!(shop.build(4), ["orders 02"]);
    assert_eq!(shop.rows("select count(*) as n from orders"), "6");
}

#[test]
fn rule_2_comments_and_macros_without_effect_make_nothing_stale() {
    let plain = "{{ config(CONFIG) }}\nselect id, {{ plus('amount') }} as amount, partition_date\nfrom {{ source('landing', 'orders') }}"
        .replace("CONFIG", DAILY);
    let shop = shop(&[("orders", &plain)]);
    let plus = |text: &str| shop.sandbox.write("macros/plus.sql", text);
    plus("{% macro plus(a) %}{{ a }} + 0{% endmacro %}");
    assert_eq!(shop.build(4), ["orders 01 02 03"]);
    shop.models(&[(
        "orders",
        &format!(
            "-- what is ordered\n{}",
            plain.replace(", partition_date", ",\n    partition_date -- its day")
        ),
    )]);
    assert_eq!(shop.build(4), NOTHING);
    plus("{# adds nothing #}{% macro plus(a) %}{% set b = 1 %}{{ a }}   +   0{% endmacro %}");
    assert_eq!(shop.build(4), NOTHING);
    plus("{% macro plus(a) %}{{ a }} + 1{% endmacro %}");
    assert_eq!(shop.build(4), ["orders 01 02 03"]);
}

#[test]
fn rule_2_a_template_that_looks_at_a_symbol_is_hashed_as_text() {
    let branching = "{{ config(CONFIG) }}\nselect id, {% if '2026-11-02' in partition.start %}0{% else %}amount{% endif %} as amount, partition_date\nfrom {{ source('landing', 'orders') }}"
        .replace("CONFIG", &format!("{DAILY}, batch_size=1"));
    let shop = shop(&[("orders", &branching)]);
    assert_eq!(shop.build(4), ["orders 01 02 03"]);
    let sums =
        "select sum(amount) as s from orders group by partition_date order by partition_date";
    assert_eq!(shop.rows(sums), "2, 0, 4");
    shop.models(&[("orders", &branching.replace("2026-11-02", "2026-11-01"))]);
    assert_eq!(shop.build(4), ["orders 01 02 03"]);
    assert_eq!(shop.rows(sums), "0, 3, 4");
}

#[test]
fn rule_2_keep_leaves_old_partitions_to_older_code() {
    let keep = "on_code_change='keep'";
    let shop = shop(&[("orders", &orders(keep)), ("totals", &totals(keep))]);
    shop.build(4);
    shop.models(&[(
        "orders",
        &orders(keep).replace("amount,", "amount * 10 as amount,"),
    )]);
    assert_eq!(shop.build(4), NOTHING);
    shop.first_days(4);
    assert_eq!(shop.build(5), ["orders 04", "totals 04"]);
    let sums = "select total from totals order by partition_date";
    assert_eq!(shop.rows(sums), "2, 3, 4, 50");
    // One more parent is a change of code, too.
    let more = totals(keep).replace(
        "group by",
        "where exists (select 1 from {{ ref('days') }}) group by",
    );
    let days = format!(
        "{{{{ config({DAILY}) }}}}\nselect distinct partition_date from {{{{ source('landing', 'orders') }}}}"
    );
    shop.models(&[("days", &days), ("totals", &more)]);
    assert_eq!(shop.build(5), ["days 01 02 03 04"]);
    // What arrives late is built by today's code.
    shop.lands(2, &["2,2"]);
    assert_eq!(shop.build(5), ["days 02", "orders 02", "totals 02"]);
    assert_eq!(shop.rows(sums), "2, 20, 4, 50");
    assert_eq!(shop.build(5), NOTHING);
}

#[test]
fn rule_3_what_is_not_hashed_gets_a_new_version() {
    let shop = shop(&[
        ("orders", &orders("content_hash=false")),
        ("totals", &totals("")),
    ]);
    shop.build(4);
    shop.lands(1, &["101,1", "1,1"]);
    assert_eq!(shop.build(4), ["orders 01", "totals 01"]);
    shop.models(&[("orders", &orders("content_hash={'ignore': ['id']}"))]);
    shop.lands(2, &["102,1", "2,2"]);
    // The day has a version by another hash, which tells nothing.
    assert_eq!(shop.build(4), ["orders 02", "totals 02"]);
    shop.lands(2, &["1102,1", "12,2"]);
    assert_eq!(shop.build(4), ["orders 02"]);
    shop.lands(2, &["1102,1", "12,3"]);
    assert_eq!(shop.build(4), ["orders 02", "totals 02"]);
}

#[test]
fn rule_4_a_source_that_others_load_is_probed_as_far_back_as_it_says() {
    let shop = Shop::embedded(&[(
        "orders",
        &orders("").replace("'landing', 'orders'", "'raw', 'orders'"),
    )]);
    shop.sandbox.write(
        "models/raw.yml",
        "version: 2\nsources:\n  - name: raw\n    schema: main\n    tables:\n      - name: orders\n        identifier: raw_orders\n        loaded_at_field: loaded_at\n        config: {partition_by: partition_date, begin: 2026-11-01, lookback: 2}\n",
    );
    shop.by_hand("create table raw_orders as select i as id, i as amount, cast('2026-11-01' as date) + cast(i as integer) as partition_date, timestamp '2026-11-05' as loaded_at from range(4) as t(i)");
    assert_eq!(shop.build(5), ["orders 01 02 03 04"]);
    assert_eq!(shop.build(5), NOTHING);
    let late = |day: u8| {
        shop.by_hand(&format!(
            "insert into raw_orders values (9, 9, '2026-11-{day:02}', timestamp '2026-11-06')"
        ));
    };
    late(3);
    assert_eq!(shop.build(5), ["orders 03"]);
    late(2);
    assert_eq!(shop.build(5), NOTHING);
}

#[test]
fn rule_4_without_versions_the_newest_partitions_are_built_each_run() {
    let plain = "{{ config(CONFIG, lookback=2) }}\nselect id, partition_date from {{ source('raw', 'orders') }} where {{ partition.filter('partition_date') }}"
        .replace("CONFIG", DAILY);
    let shop = Shop::embedded(&[("orders", &plain)]);
    shop.sandbox.write(
        "models/raw.yml",
        "version: 2\nsources:\n  - name: raw\n    schema: main\n    tables:\n      - {name: orders, identifier: raw_orders}\n",
    );
    shop.by_hand("create table raw_orders as select i as id, cast('2026-11-01' as date) + cast(i as integer) as partition_date from range(4) as t(i)");
    assert_eq!(shop.build(5), ["orders 01 02 03 04"]);
    assert_eq!(shop.build(5), ["orders 03 04"]);
}

const NOT_NEGATIVE: &str = "select * from {{ ref('orders') }} where amount < 0";

fn a_refused_day_stays_as_it_was(shop: &Shop) {
    shop.sandbox.write("tests/not_negative.sql", NOT_NEGATIVE);
    shop.lands(2, &["2,-1"]);
    // It is found even where a statement builds all days, the very first time.
    assert_eq!(shop.build_with(4, &[], 1), ["orders 01 03", "totals 01 03"]);
    assert_eq!(shop.status("not_negative"), "fail");
    shop.lands(2, &["2,2"]);
    assert_eq!(shop.build(4), ["orders 02", "totals 02"]);
    shop.lands(2, &["2,3", "3,-4"]);
    assert_eq!(shop.build_with(4, &[], 1), NOTHING);
    assert_eq!(shop.status("orders"), "error");
    assert_eq!(shop.status("totals"), "skipped");
    let day = "select id, amount from {{ ref('orders') }} where partition_date = cast('2026-11-02' as date)";
    assert_eq!(shop.rows(day), "2 2");
    let refused = format!(
        "select id, amount from {}.refused_orders order by id",
        shop.ledger
    );
    assert_eq!(shop.rows(&refused), "2 3, 3 -4");
    shop.lands(2, &["2,3"]);
    assert_eq!(shop.build(4), ["orders 02", "totals 02"]);
}

#[test]
fn rule_6_a_refused_day_stays_as_it_was() {
    a_refused_day_stays_as_it_was(&orders_and_totals());
}

#[test]
fn rule_6_a_refused_day_stays_as_it_was_on_snowflake() {
    let models = [("orders", &*orders("")), ("totals", &*totals(""))];
    let shop = Shop::on_snowflake("rules", &models);
    shop.first_days(3);
    a_refused_day_stays_as_it_was(&shop);
}

#[test]
fn rule_6_a_refused_day_stays_as_it_was_on_postgres() {
    let models = [("orders", &*orders("")), ("totals", &*totals(""))];
    let shop = Shop::on_postgres("it_rules_refused", &models);
    shop.first_days(3);
    a_refused_day_stays_as_it_was(&shop);
}

#[test]
fn rule_6_a_new_test_judges_what_is_there_and_one_that_passed_is_not_run_again() {
    let shop = orders_and_totals();
    shop.build(4);
    shop.sandbox.write(
        "tests/small.sql",
        "select * from {{ ref('orders') }} where amount > 2",
    );
    assert_eq!(shop.build_with(4, &[], 1), NOTHING);
    assert_eq!(shop.status("small"), "fail");
    assert_eq!(shop.build_with(4, &[], 1), NOTHING);
    assert_eq!(shop.status("small"), "fail");
    shop.sandbox.write(
        "tests/small.sql",
        "select * from {{ ref('orders') }} where amount > 3",
    );
    assert_eq!(shop.build(4), NOTHING);
    assert_eq!(shop.status("small"), "pass");
    assert_eq!(shop.build(4), NOTHING);
    assert_eq!(shop.status("small"), "no-op");
}

fn a_row_by_row_test_looks_at_new_days_once_the_rest_has_passed(shop: &Shop) {
    let seen = |test: &str| {
        let path = format!("target/compiled/shop/tests/{test}.sql");
        shop.sandbox.read(&path)
    };
    let once = "select id from {{ ref('orders') }} group by id having count(*) > 1";
    shop.sandbox.write("tests/not_negative.sql", NOT_NEGATIVE);
    shop.sandbox.write("tests/once.sql", once);
    shop.build(4);
    assert!(!seen("not_negative").contains("2026-11"));
    shop.first_days(4);
    assert_eq!(shop.build(5), ["orders 04"]);
    assert!(seen("not_negative").contains("'2026-11-04'"));
    assert!(!seen("once").contains("2026-11"));
    // Several batches of one run as well, each on the shoulders of those before.
    shop.models(&[(
        "orders",
        &orders("batch_size=1").replace("amount,", "amount + 0 as amount,"),
    )]);
    assert_eq!(shop.build(5).concat(), "orders 01 02 03 04");
    let last = seen("not_negative");
    assert_eq!(last.matches("2026-11").count(), 2, "{last}");
    // The whole is judged where rows of two days may be wrong together ...
    shop.lands(5, &["1,1"]);
    assert_eq!(shop.build_with(6, &[], 1), NOTHING);
    assert_eq!(shop.status("once"), "fail");
    shop.lands(5, &["5,1"]);
    assert_eq!(shop.build(6), ["orders 05"]);
    // ... and where something was published that no test has judged.
    shop.lands(2, &["2,-1"]);
    let run = shop.sandbox.run(&["run", "--as-of", "2026-11-06"]);
    run.expect(0);
    shop.first_days(1);
    shop.lands(6, &["6,6"]);
    assert_eq!(shop.build_with(7, &[], 1), NOTHING);
    assert_eq!(shop.status("not_negative"), "fail");
    assert!(!seen("not_negative").contains("'2026-11-06'"));
}

#[test]
fn rule_6_a_row_by_row_test_looks_at_new_days_once_the_rest_has_passed() {
    let shop = shop(&[("orders", &orders(""))]);
    a_row_by_row_test_looks_at_new_days_once_the_rest_has_passed(&shop);
}

#[test]
fn rule_6_a_row_by_row_test_looks_at_new_days_once_the_rest_has_passed_on_postgres() {
    let shop = Shop::on_postgres("it_rules_rows", &[("orders", &orders(""))]);
    shop.first_days(3);
    a_row_by_row_test_looks_at_new_days_once_the_rest_has_passed(&shop);
}

#[test]
fn rule_6_a_test_that_fails_holds_back_what_reads_the_model() {
    let shop = orders_and_totals();
    shop.build(4);
    shop.sandbox.write(
        "tests/small.sql",
        "select * from {{ ref('orders') }} where amount > 2",
    );
    shop.models(&[(
        "totals",
        &totals("").replace("sum(amount)", "2 * sum(amount)"),
    )]);
    assert_eq!(shop.build_with(4, &[], 1), NOTHING);
    assert_eq!(shop.status("totals"), "skipped");
}

#[test]
fn rule_7_an_added_column_is_null_in_days_that_are_not_rebuilt() {
    let keep = "on_code_change='keep'";
    let shop = shop(&[("orders", &orders(keep))]);
    shop.build(4);
    shop.first_days(4);
    shop.models(&[(
        "orders",
        &orders(keep).replace("amount,", "amount, amount + 1 as more,"),
    )]);
    assert_eq!(shop.build(5), ["orders 04"]);
    let more = "select max(more) as m from orders group by partition_date order by partition_date";
    assert_eq!(shop.rows(more), "null, null, null, 5");
    // A removed one is refused.
    shop.models(&[("orders", &orders(keep))]);
    shop.first_days(5);
    let ran = shop.ran(6, &[], 1);
    assert!(ran.stdout.contains("--full-refresh"), "{}", ran.stdout);
    assert_eq!(
        shop.build_with(6, &["--full-refresh"], 0),
        ["orders 01 02 03 04 05"]
    );
    assert_eq!(shop.build(6), NOTHING);
}

fn another_shape_is_swapped_in(shop: &Shop) {
    shop.build(4);
    let by_month = orders("").replace(
        "'partition_date', begin",
        "{'field': 'partition_date', 'granularity': 'month'}, begin",
    );
    assert_eq!(shop.build(4), NOTHING);
    shop.models(&[(
        "orders",
        &orders("").replace("amount,", "cast(amount as varchar) as amount,"),
    )]);
    assert_eq!(shop.build(4), ["orders 01 02 03"]);
    shop.models(&[("orders", &orders("").replace("amount, ", ""))]);
    assert_eq!(shop.build(4), ["orders 01 02 03"]);
    assert_eq!(shop.build(4), NOTHING);
    // By month and back: what the ledger says of the days is of a table that is no more.
    shop.first_days(30);
    let first = "select id, amount, partition_date from";
    let other = "select id, amount, cast('2026-11-01' as date) as partition_date from";
    shop.models(&[("orders", &orders(""))]);
    let all: Vec<String> = (1..=30).map(|day| format!("{day:02}")).collect();
    let all = format!("orders {}", all.join(" "));
    assert_eq!(
        shop.build_with(1, &["--as-of", "2026-12-01"], 0),
        std::slice::from_ref(&all)
    );
    shop.models(&[("orders", &by_month.replace(first, other))]);
    assert_eq!(
        shop.build_with(1, &["--as-of", "2026-12-01"], 0),
        ["orders 01"]
    );
    let days = "select count(distinct partition_date) as n from {{ ref('orders') }}";
    assert_eq!(shop.rows(days), "1");
    shop.models(&[("orders", &orders(""))]);
    assert_eq!(shop.build_with(1, &["--as-of", "2026-12-01"], 0), [all]);
    assert_eq!(shop.rows(days), "30");
}

#[test]
fn rule_7_another_shape_is_swapped_in() {
    another_shape_is_swapped_in(&shop(&[("orders", &orders(""))]));
}

#[test]
fn rule_7_another_shape_is_swapped_in_on_snowflake() {
    let models = [("orders", &*orders(""))];
    let shop = Shop::on_snowflake("rules", &models);
    shop.first_days(3);
    another_shape_is_swapped_in(&shop);
}

#[test]
fn rule_7_another_shape_is_swapped_in_on_postgres() {
    let shop = Shop::on_postgres("it_rules_shape", &[("orders", &orders(""))]);
    shop.first_days(3);
    another_shape_is_swapped_in(&shop);
}

#[test]
fn rule_7_another_shape_is_swapped_in_where_names_are_as_long_as_they_may_be() {
    let model = "orders_".repeat(9);
    let first = orders("");
    let shop = Shop::on_postgres("it_rules_long", &[(&model, &first)]);
    shop.first_days(3);
    assert_eq!(shop.build(4), [format!("{model} 01 02 03")]);
    shop.models(&[(&model, &first.replace("id, amount", "amount"))]);
    assert_eq!(shop.build(4), [format!("{model} 01 02 03")]);
    let sum = format!("select sum(amount) as amount from {{{{ ref('{model}') }}}}");
    assert_eq!(shop.rows(&sum), "9");
    assert_eq!(shop.build(4), NOTHING);
}

#[test]
fn rule_7_who_holds_a_lock_is_named() {
    let shop = Shop::on_postgres("it_rules_lock", &[("orders", &orders(""))]);
    shop.first_days(3);
    shop.build(4);
    shop.lands(2, &["2,7"]);
    let table = shop.name("orders");
    let ran = live::aside(async |session| {
        let lock = format!(
            "begin; set local application_name = 'a look'; lock table {table} in share mode"
        );
        session.execute(&lock).await.expect("a lock");
        let ran = shop.ran(4, &["--lock-timeout", "1"], 1);
        session.execute("rollback").await.expect("its end");
        ran
    });
    assert!(
        ran.stdout
            .contains("error[database-locked]: canceling statement due to lock timeout")
    );
    let holder = "(user postgres, application a look, idle in transaction since ";
    assert!(ran.stdout.contains(holder), "{}", ran.stdout);
    assert!(ran.stdout.contains("or wait longer with `--lock-timeout`"));
    assert_eq!(shop.build(4), ["orders 02"]);
}

#[test]
fn rule_7_a_publish_that_loses_against_another_is_done_again() {
    let shop = Shop::on_postgres("it_rules_luck", &[("orders", &orders(""))]);
    shop.first_days(3);
    shop.build(4);
    let (tries, lucky) = (shop.name("tries"), shop.name("lucky"));
    shop.by_hand(&format!(
        "create sequence {tries}; create function {lucky}() returns int language plpgsql as $$ begin \
         if nextval('{tries}') = 1 then raise exception 'no luck' using errcode = '40001'; end if; return 0; end $$"
    ));
    let model = orders("").replace("amount,", &format!("amount + {lucky}() as amount,"));
    shop.models(&[("orders", &model)]);
    assert_eq!(shop.build(4), ["orders 01 02 03"]);
    let log = shop.sandbox.read("logs/dbt.log");
    assert!(log.contains("`orders` is done again (1 of 4)"), "{log}");
}

#[test]
fn rule_6_a_test_that_loses_its_connection_refuses_nothing() {
    let shop = Shop::on_postgres("it_rules_gone", &[("orders", &orders(""))]);
    shop.first_days(1);
    let gone = "select id from {{ ref('orders') }} where pg_terminate_backend(pg_backend_pid())";
    shop.sandbox.write("tests/gone.sql", gone);
    let told = shop.ran(2, &[], 1).stdout;
    assert!(told.contains("error[connection]"), "{told}");
    assert!(!told.contains("refused rows"), "{told}");
    let why = shop
        .sandbox
        .run(&["why", "orders", "2026-11-01", "--as-of", "2026-11-02"]);
    let why = why.expect(0).stdout;
    assert!(why.contains("failed") && !why.contains("refused"), "{why}");
    shop.sandbox.write("tests/gone.sql", NOT_NEGATIVE);
    assert_eq!(shop.build(2), ["orders 01"]);
}

#[test]
fn rule_5_rows_of_other_days_are_an_error_that_names_them() {
    let wrong = orders("batch_size=10").replace(
        ", partition_date from",
        ", case when id = 2 then cast('2026-11-09' as date) else partition_date end as partition_date from",
    );
    let shop = shop(&[("orders", &wrong)]);
    let ran = shop.ran(4, &[], 1);
    assert!(ran.stdout.contains("2026-11-09 (1 rows)"), "{}", ran.stdout);
    assert_eq!(shop.built(), ["orders 01 03"]);
    assert_eq!(shop.rows("select count(*) as n from orders"), "4");
    let none = wrong.replace("cast('2026-11-09' as date)", "null");
    shop.models(&[("orders", &none)]);
    let ran = shop.ran(4, &[], 1);
    assert!(ran.stdout.contains("no partition (null)"), "{}", ran.stdout);
}

#[test]
fn rule_9_an_open_day_is_provisional_until_it_has_closed() {
    let shop = orders_and_totals();
    let noon = ["--as-of", "2026-11-03T12:00:00"];
    assert_eq!(
        shop.build_with(3, &noon, 0),
        ["orders 01 02", "totals 01 02"]
    );
    let open = [&noon[..], &["--include-open"]].concat();
    assert_eq!(shop.build_with(3, &open, 0), ["orders 03", "totals 03"]);
    assert_eq!(shop.build_with(3, &open, 0), NOTHING);
    assert_eq!(shop.build_with(3, &noon, 0), NOTHING);
    assert_eq!(shop.build(4), ["orders 03", "totals 03"]);
    assert_eq!(shop.build(4), NOTHING);
}

#[test]
fn rule_9_a_day_is_due_after_its_buffer_in_its_time_zone() {
    let buffered = orders("arrival_buffer='2 hours', timezone='Europe/Berlin'");
    let shop = shop(&[("orders", &buffered)]);
    let at = |time: &str| shop.build_with(1, &["--as-of", time], 0);
    assert_eq!(at("2026-11-03T00:59:00"), ["orders 01"]);
    assert_eq!(at("2026-11-03T01:01:00"), ["orders 02"]);
}

#[test]
fn rule_10_files_that_vanish_make_nothing_stale_and_freeze_what_is() {
    let all = "{{ config(materialized='table', rebuild='when_stale') }}\nselect count(*) as n from {{ ref('orders') }}";
    let whole = "{{ config(materialized='table', rebuild='when_stale') }}\nselect count(*) as n from {{ source('landing', 'orders') }}";
    let shop = shop(&[("orders", &orders("")), ("sums", all), ("raws", whole)]);
    assert_eq!(shop.build(4), ["orders 01 02 03", "raws", "sums"]);
    shop.vanishes(1);
    assert_eq!(shop.build(4), NOTHING);
    shop.models(&[(
        "orders",
        &orders("").replace("amount,", "amount * 2 as amount,"),
    )]);
    assert_eq!(shop.build(4), ["orders 02 03", "sums"]);
    assert_eq!(
        shop.build_with(4, &["--full-refresh"], 0),
        ["orders 02 03", "raws", "sums"]
    );
    let sums =
        "select sum(amount) as s from orders group by partition_date order by partition_date";
    assert_eq!(shop.rows(sums), "2, 6, 8");
    // What counted while it was gone counts again once it is back.
    assert_eq!(shop.rows("select n from raws"), "4");
    shop.first_days(3);
    assert_eq!(shop.build(4), ["orders 01", "raws", "sums"]);
    assert_eq!(shop.rows("select n from raws"), "6");
}

#[test]
fn rule_11_an_empty_day_is_refused_unless_it_may_be() {
    let whole = "{{ config(materialized='table', rebuild='when_stale') }}\nselect id from {{ source('landing', 'orders') }} where amount < 90";
    let shop = shop(&[("orders", &orders("")), ("raws", whole)]);
    shop.build(4);
    shop.lands(2, &[]);
    shop.ran(4, &["--select", "orders"], 1);
    assert_eq!(shop.rows("select count(*) as n from orders"), "6");
    shop.models(&[("orders", &orders("allow_empty=true"))]);
    assert_eq!(
        shop.build_with(4, &["--select", "orders"], 0),
        ["orders 02"]
    );
    for day in 1..=3 {
        shop.lands(day, &[&format!("{day},99")]);
    }
    shop.ran(4, &["--select", "raws"], 1);
    assert_eq!(shop.rows("select count(*) as n from raws"), "6");
    shop.models(&[(
        "raws",
        &whole.replace("materialized", "allow_empty=true, materialized"),
    )]);
    assert_eq!(shop.build_with(4, &["--select", "raws"], 0), ["raws"]);
    assert_eq!(shop.rows("select count(*) as n from raws"), "0");
}

#[test]
fn rule_2_how_files_become_rows_is_code() {
    let shop = orders_and_totals();
    shop.build(4);
    let sources = shop.sandbox.read("models/sources.yml");
    let wider = sources.replace("amount, data_type: integer", "amount, data_type: bigint");
    shop.sandbox.write("models/sources.yml", &wider);
    assert_eq!(shop.build(4), ["orders 01 02 03", "totals 01 02 03"]);
    assert_eq!(shop.build(4), NOTHING);
}

#[test]
fn the_columns_of_a_query_are_asked_for_once_a_run() {
    let shop = shop(&[
        ("orders", &orders("batch_size=1")),
        ("totals", &totals("batch_size=1")),
    ]);
    let described = |morning: u8| {
        let as_of = format!("2026-11-{morning:02}");
        let ran = shop
            .sandbox
            .run(&["--debug", "build", "--as-of", &as_of])
            .expect(0);
        let statements = ran.stdout.matches(") as built\nwhere 1 = 0").count();
        (shop.built(), statements)
    };
    shop.build(2);
    shop.first_days(12);
    let (built, statements) = described(13);
    assert_eq!(built.len(), 2);
    assert!((1..=2).contains(&statements), "{statements}");
    // Where the template does more than print its bounds, each batch is asked.
    let branching = orders("batch_size=1").replace(
        "amount,",
        "{% if partition.start %}amount{% endif %} as amount,",
    );
    shop.models(&[("orders", &branching)]);
    assert_eq!(described(13).1, 12);
}

#[test]
fn rule_7_other_partitions_under_keep_are_refused_with_what_does_it() {
    let keep = "on_code_change='keep'";
    let shop = shop(&[("orders", &orders(keep))]);
    shop.build(4);
    let berlin = orders(keep).replace(
        "partition_by='partition_date'",
        "partition_by={'field': 'partition_date', 'timezone': 'Europe/Berlin'}",
    );
    shop.models(&[("orders", &berlin)]);
    let ran = shop.ran(4, &[], 1);
    assert!(
        ran.stdout.contains("cut into other partitions"),
        "{}",
        ran.stdout
    );
    assert!(ran.stdout.contains("--full-refresh"), "{}", ran.stdout);
    assert_eq!(shop.rows("select count(*) as n from orders"), "6");
    assert_eq!(
        shop.build_with(4, &["--full-refresh"], 0),
        ["orders 01 02 03"]
    );
    assert_eq!(shop.build(4), NOTHING);
}
