//! Random small projects: however their partitions come to be built, the rows are the same.
//!
//! Day by day is what the words mean. All at once, day by day in any order, bit by bit with late and
//! corrected files and changed code, and after a kill must give the same rows.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Stdio;
use std::time::Duration;

use crate::support::sandbox::Sandbox;

const DAYS: [&str; 8] = [
    "2026-10-28",
    "2026-10-29",
    "2026-10-30",
    "2026-10-31",
    "2026-11-01",
    "2026-11-02",
    "2026-11-03",
    "2026-11-04",
];
/// The morning after the last of them.
const END: &str = "2026-11-05";

struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^= x >> 31;
        usize::try_from(x % end as u64).unwrap()
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// What a model does with its rows of `k`, `v` and `partition_date`; `P` and `Q` are what it reads.
const BODIES: [&str; 22] = [
    // These may be built many days at once.
    "select k, v + C as v, partition_date from P",
    "select k, cast(sum(v) as integer) as v, partition_date from P group by k, partition_date",
    "select p.k, p.v + coalesce(q.v, C) as v, p.partition_date from P as p left join (select k, partition_date, max(v) as v from Q group by k, partition_date) as q on q.k = p.k and q.partition_date = p.partition_date",
    "select distinct k, v % 5 as v, partition_date from P",
    "select k, v, partition_date from P union all select k, C as v, partition_date from Q",
    "select k, v, partition_date from (select *, row_number() over (partition by k, partition_date order by v desc) as r from P) as s where r = 1",
    "select k, v, partition_date from P where v % 3 <> C % 3",
    "with a as (select * from P), b as (select k, partition_date, count(*) as n from a group by 1, 2) select a.k, cast(a.v + b.n as integer) as v, a.partition_date from a join b using (k, partition_date)",
    // These must not: they look across days.
    "select k, cast(sum(v) as integer) as v, max(partition_date) as partition_date from P group by k",
    "select k, v, partition_date from (select *, row_number() over (partition by k order by v desc, partition_date) as r from P) as s where r = 1",
    "select k, v - coalesce(lag(v) over (partition by k order by partition_date, v), 0) as v, partition_date from P",
    "select p.k, p.v + q.v as v, p.partition_date from P as p join (select k, max(v) as v from Q group by k) as q on q.k = p.k",
    "select k, v, partition_date from P order by v desc, k, partition_date limit 2",
    "select k, cast(count(*) over () + v as integer) as v, partition_date from P",
    "select k, v, partition_date from P where v >= (select avg(v) from Q)",
    "select k, v, partition_date from P where k in (select k from Q where v > C)",
    "select k, v, max(partition_date) over (partition by k) as partition_date from P",
    "select max(k) as k, C as v, partition_date from P group by partition_date having count(*) > (select count(*) / 4 from Q)",
    // These say so.
    "select k, cast(sum(v) as integer) as v, {{ partition.start }} as partition_date from P group by k",
    "select k, v, {{ partition.date }} as partition_date from P where v > C",
    "select distinct on (k) k, v, partition_date from P order by k, v, partition_date",
    "select k, v, partition_date from P except select k, C as v, partition_date from Q",
];

/// Bodies that give rows of the day that is built whatever days they read.
const WIDE: [&str; 3] = [
    "select k, cast(sum(v) as integer) as v, {{ partition.start }} as partition_date from P group by k",
    "select k, cast(max(v) + count(distinct partition_date) as integer) as v, {{ partition.date }} as partition_date from P group by k",
    "select k, v, {{ partition.start }} as partition_date from P where v % 2 = 0",
];

const CUMULATIVE: [&str; 2] = [
    "select k, cast(sum(v) as integer) as v, {{ partition.start }} as partition_date from (select k, v from {{ self('previous') }} union all select k, v from P) as s group by k",
    "select k, v, {{ partition.date }} as partition_date from {{ self('previous') }} where v % 4 <> C % 4 union select k, v, partition_date from P",
];

#[derive(Clone, Copy, PartialEq)]
enum Grain {
    Day,
    Month,
    Whole,
}

#[derive(Clone)]
struct Model {
    name: String,
    config: String,
    body: String,
    constant: usize,
    stored: bool,
}

impl Model {
    fn text(&self) -> String {
        let body = self.body.replace('C', &self.constant.to_string());
        format!("{{{{ config({}) }}}}\n{body}\n", self.config)
    }
}

/// The files of a source by day.
type Files = BTreeMap<String, String>;

struct World {
    models: Vec<Model>,
    files: Files,
}

const DAILY: &str = "materialized='incremental', partition_by='partition_date', begin='2026-10-28', event_time='partition_date'";
/// dbt's own batches, which have opted in: what has an `event_time` is filtered for each of them.
const BATCHES: &str = "materialized='incremental', incremental_strategy='microbatch', event_time='partition_date', batch_size='day', begin='2026-10-28', rebuild='when_stale'";
const MONTHLY: &str = "materialized='incremental', partition_by={'field': 'partition_date', 'granularity': 'month'}, begin='2026-10-01'";

fn draw(dice: &mut Dice) -> World {
    let mut grains: Vec<(String, Grain, bool)> = ["a", "b"]
        .map(|name| {
            (
                format!("{{{{ source('landing', '{name}'MAPPING) }}}}"),
                Grain::Day,
                true,
            )
        })
        .to_vec();
    let mut models = Vec::new();
    for at in 0..3 + dice.below(4) {
        let name = format!("m{at}");
        // What was made last is read most, so that there are chains.
        let pick = |dice: &mut Dice| match dice.chance(60) {
            true => grains.len() - 1,
            false => dice.below(grains.len()),
        };
        let (p, q) = (pick(dice), pick(dice));
        let plain = |of: usize| grains[of].0.replace("MAPPING", "");
        let kind = dice.below(100);
        let (config, grain, mut body) = match (kind, grains[p].1) {
            // A view or an ephemeral model in the middle.
            (0..20, Grain::Day) if p >= 2 && q >= 2 => {
                let config = ["materialized='view'", "materialized='ephemeral'"][dice.below(2)];
                let body = BODIES[dice.below(18)];
                (config.to_owned(), Grain::Day, body.to_owned())
            }
            (20..28, _) => {
                let config = "materialized='table', rebuild='when_stale'".to_owned();
                let body = "select k, cast(sum(v) as integer) as v, max(partition_date) as partition_date from P group by k";
                (config, Grain::Whole, body.to_owned())
            }
            (28..36, Grain::Day) => {
                let body = "select k, cast(sum(v) as integer) as v, cast(date_trunc('month', partition_date) as date) as partition_date from P group by 1, 3";
                (MONTHLY.to_owned(), Grain::Month, body.to_owned())
            }
            (36..46, Grain::Day) => (
                DAILY.to_owned(),
                Grain::Day,
                CUMULATIVE[dice.below(2)].to_owned(),
            ),
            (46..66, Grain::Day) => {
                let mapping = [
                    "'previous'",
                    "window(-2, 0)",
                    "window(-1, 1)",
                    "'upto'",
                    "'all'",
                ][dice.below(5)];
                let mapped = grains[p]
                    .0
                    .replace("MAPPING", &format!(", partitions={mapping}"));
                let body = WIDE[dice.below(3)].replace('P', &mapped);
                (DAILY.to_owned(), Grain::Day, body)
            }
            (66..78, Grain::Day) if p >= 2 && grains[p].2 => {
                let mut bodies = BODIES[..18].iter().filter(|body| !body.contains('Q'));
                let body = bodies.nth(dice.below(8)).unwrap();
                (BATCHES.to_owned(), Grain::Day, (*body).to_owned())
            }
            (_, Grain::Day) => (
                DAILY.to_owned(),
                Grain::Day,
                BODIES[dice.below(BODIES.len())].to_owned(),
            ),
            (_, _) => (DAILY.to_owned(), Grain::Day, WIDE[dice.below(3)].to_owned()),
        };
        // What is read beside must have days as well.
        let q = match grains[q].1 {
            Grain::Day => q,
            _ => 0,
        };
        let stored = !config.contains("view") && !config.contains("ephemeral");
        // What stores nothing may mix days, and says nothing of them.
        let daily = |of: usize| match stored && grain != Grain::Whole && !grains[of].2 {
            true => format!(
                "(select * from {} where {{{{ partition.filter('partition_date') }}}})",
                plain(of)
            ),
            false => plain(of),
        };
        body = body.replace('Q', &daily(q)).replace('P', &daily(p));
        grains.push((format!("{{{{ ref('{name}'MAPPING) }}}}"), grain, stored));
        models.push(Model {
            name,
            config,
            body,
            constant: 1 + dice.below(6),
            stored,
        });
    }
    let mut files = Files::new();
    for source in ["a", "b"] {
        for day in DAYS {
            files.insert(path(source, day, 0), rows(dice));
        }
    }
    World { models, files }
}

fn path(source: &str, day: &str, part: usize) -> String {
    format!("landing/{source}/partition_date={day}/part-{part}.csv")
}

fn rows(dice: &mut Dice) -> String {
    let mut text = "k,v\n".to_owned();
    for _ in 0..1 + dice.below(5) {
        let _ = writeln!(text, "{},{}", dice.below(4), dice.below(12));
    }
    text
}

/// A folder with models and files up to a day.
fn sandbox(world: &World, upto: &str, together: bool) -> Sandbox {
    let size = match together {
        true => "models: {+allow_empty: true}\n",
        false => "models: {+allow_empty: true, +batch_size: 1}\n",
    };
    let sandbox = Sandbox::new(&format!("# file: dbt_project.yml\nname: shop\n{size}"));
    let mut yaml = "version: 2\nsources:\n  - name: landing\n    tables:\n".to_owned();
    for source in ["a", "b"] {
        let _ = writeln!(
            yaml,
            "      - name: {source}\n        external: {{location: 'landing/{source}/partition_date={{partition_date}}/*.csv', file_format: csv}}\n        config: {{partition_by: partition_date, begin: 2026-10-28}}\n        columns: [{{name: k, data_type: integer}}, {{name: v, data_type: integer}}]"
        );
    }
    yaml.push_str("models:\n");
    for model in &world.models {
        let _ = writeln!(
            yaml,
            "  - name: {}\n    columns: [{{name: k, data_type: integer}}, {{name: v, data_type: integer}}, {{name: partition_date, data_type: date}}]",
            model.name
        );
    }
    sandbox.write("models/all.yml", &yaml);
    write(&sandbox, world, upto);
    sandbox
}

fn write(sandbox: &Sandbox, world: &World, upto: &str) {
    for model in &world.models {
        sandbox.write(&format!("models/{}.sql", model.name), &model.text());
    }
    for (path, text) in &world.files {
        let (_, day) = path.split_once('=').unwrap();
        let known = std::fs::read_to_string(sandbox.path().join(path)).unwrap_or_default();
        if &day[..10] < upto && known != *text {
            sandbox.write(path, text);
        }
    }
}

/// Every table's rows, sorted.
fn tables(sandbox: &Sandbox, world: &World) -> Vec<String> {
    let selects: Vec<String> = world
        .models
        .iter()
        .filter(|model| model.stored)
        .map(|model| {
            format!(
                "select '{0}' as t, k, v, cast(partition_date as varchar) as d from {0}",
                model.name
            )
        })
        .collect();
    let rows = sandbox.rows(&selects.join(" union all "), &[]);
    let mut rows: Vec<String> = rows
        .iter()
        .map(|row| format!("{} {} {} {}", row["t"], row["d"], row["k"], row["v"]))
        .collect();
    rows.sort();
    rows
}

fn build(sandbox: &Sandbox, as_of: &str, more: &[&str]) {
    let args = [&["run", "--allow-waiting", "--as-of", as_of], more].concat();
    sandbox.run(&args).expect(0);
}

/// Starts a build and kills it somewhere.
fn killed(sandbox: &Sandbox, as_of: &str, after: Duration) {
    let mut child = sandbox
        .command(&["run", "--allow-waiting", "--as-of", as_of])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(after);
    let _ = child.kill();
    child.wait().unwrap();
}

#[track_caller]
fn same(expected: &[String], found: &[String], how: &str, seed: u64, world: &World) {
    if expected == found {
        return;
    }
    let lacks: Vec<&String> = expected.iter().filter(|row| !found.contains(row)).collect();
    let has: Vec<&String> = found.iter().filter(|row| !expected.contains(row)).collect();
    let models: Vec<String> = world
        .models
        .iter()
        .map(|model| format!("-- {}\n{}", model.name, model.text()))
        .collect();
    panic!(
        "seed {seed}: {how} is not day by day\nlacks {lacks:#?}\nhas {has:#?}\n{}",
        models.join("\n")
    );
}

fn case(seed: u64) {
    let mut dice = Dice(seed);
    let first = draw(&mut dice);
    // What the second half of the story changes.
    let mut last = World {
        models: first.models.clone(),
        files: first.files.clone(),
    };
    for _ in 0..dice.below(4) {
        let source = ["a", "b"][dice.below(2)];
        let day = DAYS[dice.below(DAYS.len())];
        let part = dice.below(2);
        last.files.insert(path(source, day, part), rows(&mut dice));
    }
    if dice.chance(50) {
        let at = dice.below(last.models.len());
        last.models[at].constant += 1;
    }
    let plain = sandbox(&last, END, false);
    build(&plain, END, &[]);
    let expected = tables(&plain, &last);

    // Bit by bit: some days, then the rest with what has changed, killed on the way.
    let begun = DAYS[3 + dice.below(4)];
    let grown = sandbox(&first, begun, true);
    build(&grown, begun, &[]);
    write(&grown, &last, END);
    if dice.chance(60) {
        let after = Duration::from_millis(60 + dice.below(200) as u64);
        killed(&grown, END, after);
    }
    build(&grown, END, &[]);
    same(&expected, &tables(&grown, &last), "bit by bit", seed, &last);
    let ran = grown.run(&["run", "--as-of", END]);
    let again = ran.stdout.matches(" START batch ").count();
    assert_eq!(
        again, 0,
        "seed {seed}: a second run built something\n{}",
        ran.stdout
    );

    let whole = sandbox(&last, END, true);
    if dice.chance(50) {
        build(&whole, END, &[]);
        same(
            &expected,
            &tables(&whole, &last),
            "all at once",
            seed,
            &last,
        );
        build(&whole, END, &["--full-refresh"]);
        same(
            &expected,
            &tables(&whole, &last),
            "a full refresh",
            seed,
            &last,
        );
    } else {
        let mut days = DAYS.to_vec();
        while !days.is_empty() {
            let day = days.swap_remove(dice.below(days.len()));
            build(&whole, END, &["--partition-date", day]);
        }
        build(&whole, END, &[]);
        same(&expected, &tables(&whole, &last), "any order", seed, &last);
    }
}

/// `DAYGRAIN_TEST_CASES` and `DAYGRAIN_TEST_SEED` try others, or more of them.
#[test]
fn however_partitions_are_built_their_rows_are_the_same() {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let first = number("DAYGRAIN_TEST_SEED").unwrap_or(1);
    let count = number("DAYGRAIN_TEST_CASES").unwrap_or(5);
    for seed in first..first + count {
        case(seed);
    }
}
