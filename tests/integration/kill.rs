//! Runs that are killed, paused and raced: readers see the old day or the new one, the ledger agrees
//! with the table, and one more run makes all right.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use daygrain::dialect::POSTGRES;
use daygrain::ledger::Ledger;

use crate::support::sandbox::paused_at;
use crate::support::shop::{Shop, orders, totals};
use crate::support::{drop_postgres_schemas, live};

/// The places at which a publish can be stopped, and whether the day is the new one there.
const PLACES: [(&str, bool); 7] = [
    ("before-begin", false),
    ("after-delete", false),
    ("after-insert", false),
    ("after-audits", false),
    ("after-ledger", false),
    ("before-commit", false),
    ("after-commit", true),
];

const OLD: &str = "2, 3, 4";
const DAYS: &str = "select cast(sum(amount) as integer) as s from {{ ref('orders') }} group by partition_date order by partition_date";

/// A build on the morning of the fourth.
fn command(shop: &Shop, more: &[&str]) -> Command {
    let args = [&["build", "--as-of", "2026-11-04"], more].concat();
    let mut command = shop.sandbox.command(&args);
    command
        .env("DAYGRAIN_TEST_LEASE_SECONDS", "2")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// Starts a build that waits at a place, and returns once it is there.
fn paused(shop: &Shop, place: &str, seconds: &str) -> Child {
    paused_with(shop, place, seconds, &[])
}

fn paused_with(shop: &Shop, place: &str, seconds: &str, more: &[&str]) -> Child {
    paused_at(command(shop, more), place, seconds)
}

/// Runs to the end, and shows what was said where that fails.
#[track_caller]
fn ends_well(mut command: Command) {
    let ran = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    let wrong = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{said}{wrong}");
}

fn killed(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// The last word of the ledger on each day, against what the table holds.
#[track_caller]
fn ledger_agrees(shop: &Shop, table: &str) {
    let sql = format!(
        "select count(*) as n from (
            select b.part, b.row_count from {0}.builds as b inner join (
                select b.part, max(b.build) as build from {0}.builds as b
                inner join {0}.relations as r on r.relation = b.relation
                where r.name like '%{table}%' and b.outcome not in ('refused', 'failed') and b.row_count > 0
                group by b.part
            ) as newest on newest.build = b.build
        ) as told full join (
            select partition_date - cast('1970-01-01' as date) as part, count(*) as row_count
            from {1} group by partition_date
        ) as stored on stored.part = told.part and stored.row_count = told.row_count
        where stored.part is null or told.part is null",
        shop.ledger,
        shop.name(table)
    );
    assert_eq!(shop.rows(&sql), "0", "the ledger and `{table}` disagree");
}

fn shop_of(shop: Shop) -> Shop {
    shop.first_days(3);
    shop.sandbox.write(
        "tests/not_negative.sql",
        "select * from {{ ref('orders') }} where amount < 0",
    );
    shop
}

fn on_postgres(schema: &str) -> Shop {
    shop_of(Shop::on_postgres(
        schema,
        &[("orders", &orders("")), ("totals", &totals(""))],
    ))
}

fn on_snowflake(database: &str) -> Shop {
    shop_of(Shop::on_snowflake(
        database,
        &[("orders", &orders("")), ("totals", &totals(""))],
    ))
}

fn killed_at_every_step(shop: &Shop) {
    ends_well(command(shop, &[]));
    let mut old = OLD.to_owned();
    assert_eq!(shop.rows(DAYS), old);
    for (at, (place, is_new)) in PLACES.into_iter().enumerate() {
        // Another number of rows each time, so that counts tell the days apart.
        let amount = 50 + at;
        let first = format!("2,{amount}");
        shop.lands(2, &[&*first, "7,0", "8,0", "9,0"][..3 + at % 2]);
        killed(paused(shop, place, "600"));
        let new = format!("2, {amount}, 4");
        let expected = if is_new { &new } else { &old };
        assert_eq!(shop.rows(DAYS), *expected, "killed {place}");
        ledger_agrees(shop, "orders");
        ledger_agrees(shop, "totals");
        println!("after {place}");
        ends_well(command(shop, &[]));
        assert_eq!(shop.rows(DAYS), new, "after {place}");
        assert_eq!(
            shop.rows("select total from {{ ref('totals') }} order by partition_date"),
            new
        );
        ledger_agrees(shop, "orders");
        old = new;
    }
}

#[test]
fn killed_at_every_step_it_leaves_the_old_day_or_the_new_one() {
    killed_at_every_step(&shop_of(Shop::embedded(&[
        ("orders", &orders("")),
        ("totals", &totals("")),
    ])));
}

#[test]
fn killed_at_every_step_it_leaves_the_old_day_or_the_new_one_on_snowflake() {
    killed_at_every_step(&on_snowflake("kill_steps"));
}

#[test]
fn killed_at_every_step_it_leaves_the_old_day_or_the_new_one_on_postgres() {
    killed_at_every_step(&on_postgres("it_kill_steps"));
}

fn killed_at_any_time(shop: &Shop) {
    let mut state = 7_u64;
    for round in 1..=12_u64 {
        for day in 1..=3 {
            shop.lands(day, &[&format!("{day},{round}"), "9,0"]);
        }
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let mut child = command(shop, &["--threads", "2"]).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(20 + (state >> 33) % 400));
        let _ = child.kill();
        child.wait().unwrap();
    }
    ends_well(command(shop, &[]));
    assert_eq!(shop.rows(DAYS), "12, 12, 12");
    ledger_agrees(shop, "orders");
    ledger_agrees(shop, "totals");
    assert_eq!(shop.build(4), [""; 0]);
}

#[test]
fn killed_at_any_time_one_more_run_makes_all_right() {
    killed_at_any_time(&shop_of(Shop::embedded(&[
        ("orders", &orders("batch_size=1")),
        ("totals", &totals("batch_size=2")),
    ])));
}

#[test]
fn killed_at_any_time_one_more_run_makes_all_right_on_postgres() {
    killed_at_any_time(&on_postgres("it_kill_times"));
}

/// The tables of the ledger are made one by one; whoever comes after a kill makes the rest.
#[test]
fn a_ledger_whose_making_was_cut_short_is_made_whole() {
    let schema = "it_kill_ledger";
    let models = [("orders", orders("")), ("totals", totals(""))];
    let models = models.each_ref().map(|(name, text)| (*name, text.as_str()));
    let shop = Shop::on_postgres(schema, &models);
    shop.first_days(1);
    let database = live::rows("select current_database()");
    let ledger_schema = format!("{schema}_ledger");
    let statements = Ledger::new(&POSTGRES, &database, &ledger_schema).create();
    for made in 1..=statements.len() {
        drop_postgres_schemas(&[schema, &ledger_schema]);
        for statement in &statements[..made] {
            live::by_hand(statement);
        }
        let last = &statements[made - 1];
        let mut plan = shop.sandbox.command(&["plan", "--as-of", "2026-11-02"]);
        assert!(plan.output().unwrap().status.success(), "plan after {last}");
        ends_well(shop.sandbox.command(&["build", "--as-of", "2026-11-02"]));
        assert_eq!(shop.built(), ["orders 01", "totals 01"], "after {last}");
    }
}

/// Every day is seen whole while it is replaced again and again.
#[test]
fn a_reader_sees_whole_days_while_they_are_replaced() {
    let shop = on_postgres("it_kill_reader");
    ends_well(command(&shop, &[]));
    let stop = Arc::new(AtomicBool::new(false));
    let reader = {
        let stop = Arc::clone(&stop);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let adapter = crate::support::postgres(serde_json::json!({}));
                let mut session = adapter.connect().await.unwrap();
                let mut looks = 0;
                while !stop.load(Ordering::Relaxed) {
                    let sql = "select count(*) as n from (select partition_date from it_kill_reader.orders group by partition_date having count(*) = 2 and count(distinct case when id > 100 then 0 else amount end) = 2) as whole";
                    let (_, table) = session.fetch(sql).await.unwrap();
                    assert_eq!(table.rows[0][0].to_text(), "3");
                    looks += 1;
                }
                looks
            })
        })
    };
    for round in 1..=4_u8 {
        for day in 1..=3 {
            shop.lands(
                day,
                &[
                    &format!("{day},{}", 10 * round + day),
                    &format!("{},1", 100 + u16::from(day)),
                ],
            );
        }
        ends_well(command(&shop, &[]));
    }
    stop.store(true, Ordering::Relaxed);
    assert!(reader.join().unwrap() > 10);
}

fn signal(child: &Child, name: &str) {
    let id = child.id().to_string();
    let sent = Command::new("kill").args([name, &id]).status().unwrap();
    assert!(sent.success());
}

#[test]
fn two_runs_at_once_build_each_day_once_and_both_end_well() {
    two_runs_at_once(&on_postgres("it_two_runs"));
}

#[test]
fn two_runs_at_once_build_each_day_once_and_both_end_well_on_snowflake() {
    two_runs_at_once(&on_snowflake("two_runs"));
}

fn two_runs_at_once(shop: &Shop) {
    let first = paused(shop, "after-insert", "1");
    let second = command(shop, &[]).stdout(Stdio::piped()).spawn().unwrap();
    for run in [first, second] {
        let ended = run.wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&ended.stdout);
        assert!(ended.status.success(), "{told}");
    }
    assert_eq!(shop.rows(DAYS), OLD);
    let builds = format!(
        "select count(*) as n from {}.builds where outcome = 'published'",
        shop.ledger
    );
    assert_eq!(shop.rows(&builds), "6");
    ledger_agrees(shop, "orders");
    // Who waits long enough says for whom.
    shop.lands(2, &["2,9"]);
    let first = paused(shop, "after-insert", "600");
    let ran = shop.ran(4, &["--lock-timeout", "1"], 1);
    assert!(
        ran.stdout.contains("is being built by the run"),
        "{}",
        ran.stdout
    );
    killed(first);
    // The lease of the dead is taken over once it has run out.
    assert_eq!(shop.build(4), ["orders 02", "totals 02"]);
}

#[test]
fn a_run_that_wakes_up_late_changes_nothing() {
    wakes_up_late(&on_postgres("it_zombie"));
}

#[test]
fn a_run_that_wakes_up_late_changes_nothing_on_snowflake() {
    wakes_up_late(&on_snowflake("zombie"));
}

fn wakes_up_late(shop: &Shop) {
    ends_well(command(shop, &[]));
    for place in ["before-begin", "after-insert"] {
        shop.lands(2, &["2,2", "102,1"]);
        ends_well(command(shop, &[]));
        shop.lands(2, &["2,8"]);
        let mut zombie = paused(shop, place, "0.5");
        signal(&zombie, "-STOP");
        shop.lands(2, &["2,9"]);
        let started = Instant::now();
        println!("{place}");
        ends_well(command(shop, &[]));
        assert!(started.elapsed() < Duration::from_secs(40), "{place}");
        assert_eq!(shop.rows(DAYS), "2, 9, 4");
        signal(&zombie, "-CONT");
        zombie.wait().unwrap();
        assert_eq!(shop.rows(DAYS), "2, 9, 4", "{place}");
        ledger_agrees(shop, "orders");
        ends_well(command(shop, &[]));
        assert_eq!(shop.rows(DAYS), "2, 9, 4", "{place}");
    }
}

#[test]
fn a_second_process_waits_for_the_file_and_names_who_holds_it() {
    let shop = shop_of(Shop::embedded(&[("orders", &orders(""))]));
    let first = paused(&shop, "before-commit", "600");
    let holder = first.id().to_string();
    let started = Instant::now();
    let ran = shop
        .sandbox
        .run(&["build", "--as-of", "2026-11-04", "--lock-timeout", "1"]);
    assert!(started.elapsed() >= Duration::from_secs(1));
    let told = format!("{}{}", ran.stdout, ran.stderr);
    assert!(
        ran.code != 0 && told.contains(&holder),
        "{holder} is not named in {told}"
    );
    killed(first);
    let first = paused(&shop, "before-commit", "1");
    assert_eq!(shop.build(4), [""; 0]);
    let ended = first.wait_with_output().unwrap();
    assert!(ended.status.success());
    assert_eq!(shop.rows(DAYS), OLD);
}

/// What has one partition, with a hook once it is committed.
const WHOLE: &str = "{{ config(materialized='table', rebuild='when_stale', post_hook=[{'sql': 'insert into TOLD select s from {{ this }}', 'transaction': false}]) }}\nselect cast(sum(amount) as integer) as s from {{ ref('orders') }}";

/// The places at which it can be stopped, and whether its rows are the new ones there.
const WHOLE_PLACES: [(&str, bool); 7] = [
    ("before-begin", false),
    ("after-insert", false),
    ("after-audits", false),
    ("after-ledger", false),
    ("before-commit", false),
    ("after-commit", true),
    ("after-hooks", true),
];

/// The same where the table is replaced by DDL.
const REPLACED_PLACES: [(&str, bool); 9] = [
    ("before-begin", false),
    ("after-insert", false),
    ("after-audits", false),
    ("before-replace", false),
    ("after-replace", true),
    ("after-ledger", true),
    ("before-commit", true),
    ("after-commit", true),
    ("after-hooks", true),
];

fn a_whole_model_killed_at_every_step(shop: &Shop, places: &[(&str, bool)]) {
    let told = shop.name("told");
    ends_well(command(shop, &[]));
    shop.by_hand(&format!("create table {told} (s integer)"));
    shop.models(&[("sums", &WHOLE.replace("TOLD", &told))]);
    let sums = ["--select", "sums"];
    ends_well(command(shop, &[]));
    let mut before = 9;
    for (at, (place, is_new)) in places.iter().copied().enumerate() {
        let amount = 50 + i32::try_from(at).unwrap();
        shop.lands(2, &[&format!("2,{amount}")]);
        let others = ["--exclude", "sums"];
        ends_well(command(shop, &others));
        killed(paused_with(shop, place, "600", &sums));
        let new = 6 + amount;
        let seen = if is_new { new } else { before };
        let rows = || shop.rows("select s from {{ ref('sums') }}");
        assert_eq!(rows(), seen.to_string(), "killed {place}");
        println!("after {place}");
        ends_well(command(shop, &sums));
        assert_eq!(rows(), new.to_string(), "after {place}");
        let hooks = shop.rows(&format!("select count(*) as n from {told} where s = {new}"));
        // It is run again where nobody knows that it has ended well.
        assert_eq!(
            hooks,
            if place == "after-hooks" { "2" } else { "1" },
            "{place}"
        );
        assert_eq!(shop.build_with(4, &sums, 0), [""; 0], "after {place}");
        before = new;
    }
}

#[test]
fn a_whole_model_killed_at_every_step_is_the_old_one_or_the_new_one() {
    let shop = Shop::embedded(&[("orders", &orders(""))]);
    shop.first_days(3);
    a_whole_model_killed_at_every_step(&shop, &WHOLE_PLACES);
}

#[test]
fn a_whole_model_killed_at_every_step_is_the_old_one_or_the_new_one_on_postgres() {
    let shop = Shop::on_postgres("it_kill_whole", &[("orders", &orders(""))]);
    shop.first_days(3);
    a_whole_model_killed_at_every_step(&shop, &WHOLE_PLACES);
}

#[test]
fn a_whole_model_killed_at_every_step_is_the_old_one_or_the_new_one_on_snowflake() {
    let shop = Shop::on_snowflake("kill_whole", &[("orders", &orders(""))]);
    shop.first_days(3);
    a_whole_model_killed_at_every_step(&shop, &REPLACED_PLACES);
}

#[test]
fn two_runs_at_once_build_a_whole_model_once() {
    let shop = Shop::on_postgres("it_two_wholes", &[("orders", &orders(""))]);
    shop.first_days(3);
    let told = shop.name("told");
    let (orders, sums) = (["--select", "orders"], ["--select", "sums"]);
    ends_well(command(&shop, &orders));
    shop.by_hand(&format!("create table {told} (s integer)"));
    shop.models(&[("sums", &WHOLE.replace("TOLD", &told))]);
    // It takes longer than a lease lasts without signs of life.
    let first = paused_with(&shop, "after-insert", "3", &sums);
    let second = command(&shop, &sums).spawn().unwrap();
    for run in [first, second] {
        assert!(run.wait_with_output().unwrap().status.success());
    }
    assert_eq!(shop.rows(&format!("select s from {told}")), "9");
    // One that wakes up late changes nothing, and what it reads has moved on meanwhile.
    shop.lands(2, &["2,30"]);
    ends_well(command(&shop, &orders));
    let mut zombie = paused_with(&shop, "after-insert", "0.5", &sums);
    signal(&zombie, "-STOP");
    shop.lands(2, &["2,40"]);
    ends_well(command(&shop, &[]));
    assert_eq!(shop.rows("select s from {{ ref('sums') }}"), "46");
    signal(&zombie, "-CONT");
    zombie.wait().unwrap();
    assert_eq!(shop.rows("select s from {{ ref('sums') }}"), "46");
    ends_well(command(&shop, &[]));
    assert_eq!(shop.rows("select s from {{ ref('sums') }}"), "46");
}

#[test]
fn a_check_and_an_adoption_take_their_turn() {
    let shop = on_postgres("it_kill_adopt");
    ends_well(command(&shop, &[]));
    let verify = ["partitions", "orders", "--verify", "--as-of", "2026-11-04"];
    shop.lands(2, &["2,40"]);
    let first = paused(&shop, "after-insert", "1.5");
    let ran = shop.sandbox.run(&verify).expect(0);
    assert!(ran.stdout.contains("all as published"), "{}", ran.stdout);
    assert!(first.wait_with_output().unwrap().status.success());
    // Who waits long enough says for whom.
    shop.lands(2, &["2,41"]);
    let first = paused(&shop, "after-insert", "600");
    let impatient = [&verify[..], &["--lock-timeout", "1"]].concat();
    let ran = shop.sandbox.run(&impatient);
    assert!(
        ran.code != 0 && ran.stdout.contains("is being built by the run"),
        "{}",
        ran.stdout
    );
    killed(first);
    ends_well(command(&shop, &[]));
    // An adoption that takes longer than a lease lasts without signs of life keeps it all the same.
    shop.by_hand(&format!("drop schema {} cascade", shop.ledger));
    let mut adopt = shop
        .sandbox
        .command(&["adopt", "orders", "totals", "--as-of", "2026-11-04"]);
    adopt
        .env("DAYGRAIN_TEST_LEASE_SECONDS", "2")
        .stdout(Stdio::null());
    let adopting = paused_at(adopt, "leased", "4");
    assert_eq!(shop.build(4), [""; 0]);
    assert!(adopting.wait_with_output().unwrap().status.success());
    let outcomes = format!(
        "select distinct outcome from {}.builds where outcome <> 'seen'",
        shop.ledger
    );
    assert_eq!(shop.rows(&outcomes), "adopted");
    assert_eq!(shop.rows(DAYS), "2, 41, 4");
}
