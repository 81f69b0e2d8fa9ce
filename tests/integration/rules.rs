//! The rules of partitions, each by the smallest project that shows it.

use crate::support::live;
use crate::support::shop::{DAILY, Shop, orders, totals};

fn shop(models: &[(&str, &str)]) -> Shop {
    let shop = Shop::embedded(models);
    shop.first_days(3);
    shop
}

fn orders_and_totals() -> Shop {
    shop(&[("orders", &orders("")), ("totals", &totals(""))])
}

const NOTHING: [&str; 0] = [];

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
