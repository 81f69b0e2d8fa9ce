//! Writes a project of partitioned models of any size, the same for the same options: models in ten
//! layers, each of which reads one to three earlier ones, one row a model and day.
//!
//! `--models 500 --days 730` makes a ledger of 365,000 partitions once it was built.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use jiff::ToSpan;
use jiff::civil::Date;

const USAGE: &str = "\
usage: cargo run --example generate_partitions -- --out FOLDER [options]
  --models N       models (500)
  --days N         days that are due at the end of the last one (730)
  --end DATE       the day after the last (2026-11-24)
  --seed N         seed number (11)";

const LAYERS: usize = 10;

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match generate(&options) {
        Ok(()) => {
            println!("models: {}, days: {}", options.models, options.days);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("cannot write below `{}`: {error}", options.out.display());
            ExitCode::FAILURE
        }
    }
}

struct Options {
    out: PathBuf,
    models: usize,
    days: i64,
    end: Date,
    seed: u64,
}

impl Options {
    fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            out: PathBuf::new(),
            models: 500,
            days: 730,
            end: jiff::civil::date(2026, 11, 24),
            seed: 11,
        };
        while let Some(name) = args.next() {
            let value = args.next().ok_or(format!("`{name}` needs a value"))?;
            let wrong = format!("`{value}` is no value of `{name}`");
            match name.as_str() {
                "--out" => options.out = value.into(),
                "--models" => options.models = value.parse().map_err(|_| wrong)?,
                "--days" => options.days = value.parse().map_err(|_| wrong)?,
                "--end" => options.end = value.parse().map_err(|_| wrong)?,
                "--seed" => options.seed = value.parse().map_err(|_| wrong)?,
                _ => return Err(format!("`{name}` is no option")),
            }
        }
        if options.out.as_os_str().is_empty() {
            return Err("`--out` is missing".into());
        }
        if options.models < LAYERS || options.days < 1 {
            return Err(format!("at least {LAYERS} models and one day are needed"));
        }
        Ok(options)
    }
}

/// A linear congruential generator; its high bits are good enough to choose parents.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % bound
    }
}

fn generate(options: &Options) -> io::Result<()> {
    let mut random = Random(options.seed);
    for layer in 0..LAYERS {
        fs::create_dir_all(options.out.join(format!("models/layer_{layer}")))?;
    }
    for number in 0..options.models {
        let layer = number * LAYERS / options.models;
        // The first model of the layer: its parents come before it.
        let earlier = (layer * options.models).div_ceil(LAYERS);
        let mut parents = Vec::new();
        for _ in 0..1 + random.below(3) {
            let parent = random.below(earlier.max(1));
            if layer > 0 && !parents.contains(&parent) {
                parents.push(parent);
            }
        }
        let path = format!("models/layer_{layer}/{}.sql", name(number));
        fs::write(options.out.join(path), sql(number, &parents))?;
    }
    let begin = options
        .end
        .checked_sub(options.days.days())
        .map_err(io::Error::other)?;
    let project = PROJECT.replace("BEGIN", &begin.to_string());
    fs::write(options.out.join("dbt_project.yml"), project)?;
    fs::write(options.out.join("profiles.yml"), PROFILES)
}

fn name(number: usize) -> String {
    format!("model_{number:06}")
}

fn sql(number: usize, parents: &[usize]) -> String {
    let Some((first, others)) = parents.split_first() else {
        return format!(
            "{{{{ config(batch_size=1000) }}}}\n\
             select\n    cast(moment as date) as partition_date,\n    cast({number} as bigint) as amount\n\
             from generate_series(\n    cast({{{{ partition.start }}}} as timestamp),\n    \
             cast({{{{ partition.end }}}} as timestamp),\n    interval '1 day'\n) as moments (moment)\n\
             where moment < {{{{ partition.end }}}}\n"
        );
    };
    let mut amounts = "p0.amount".to_owned();
    let mut from = format!("from {{{{ ref('{}') }}}} as p0\n", name(*first));
    for (index, parent) in others.iter().enumerate() {
        let index = index + 1;
        write!(amounts, " + p{index}.amount").expect("a string takes all");
        write!(
            from,
            "inner join {{{{ ref('{}') }}}} as p{index}\n    on p{index}.partition_date = p0.partition_date\n",
            name(*parent)
        )
        .expect("a string takes all");
    }
    format!("select\n    p0.partition_date,\n    ({amounts}) % 1000003 as amount\n{from}")
}

const PROJECT: &str = "\
name: partitions
version: 1.0.0
profile: partitions

models:
  +materialized: incremental
  +partition_by: partition_date
  +begin: BEGIN
";

const PROFILES: &str = "\
partitions:
  target: duckdb
  outputs:
    duckdb:
      type: duckdb
      path: bench.duckdb
      schema: main
      threads: 4
";
