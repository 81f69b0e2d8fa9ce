//! Writes a synthetic project of any size, the same for the same options: models in ten layers, each
//! of which reads one to three earlier ones, a property file a layer, about 1.2 tests a model.
//!
//! Every model has the columns `id`, `amount` and `label` and the same few rows, so that each builds
//! and each test passes on any database.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo run --example generate_project -- --out FOLDER [options]
  --models N            models (1000)
  --materialized WORD   how they are built (view)
  --seed N              seed number (11)";

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
        Ok(tests) => {
            println!("models: {}, tests: {tests}", options.models);
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
    materialized: String,
    seed: u64,
}

impl Options {
    fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let (out, materialized) = (PathBuf::new(), "view".to_owned());
        let mut options = Self {
            out,
            models: 1000,
            materialized,
            seed: 11,
        };
        while let Some(name) = args.next() {
            let value = args.next().ok_or(format!("`{name}` needs a value"))?;
            let wrong = format!("`{value}` is no value of `{name}`");
            match name.as_str() {
                "--out" => options.out = value.into(),
                "--models" => options.models = value.parse().map_err(|_| wrong)?,
                "--materialized" => options.materialized = value,
                "--seed" => options.seed = value.parse().map_err(|_| wrong)?,
                _ => return Err(format!("`{name}` is no option")),
            }
        }
        if options.out.as_os_str().is_empty() {
            return Err("`--out` is missing".into());
        }
        if options.models < LAYERS {
            return Err(format!("`--models` must be {LAYERS} at least"));
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

fn generate(options: &Options) -> io::Result<usize> {
    let mut random = Random(options.seed);
    let layer_of = |number: usize| number * LAYERS / options.models;
    let mut properties: Vec<String> = vec!["version: 2\n\nmodels:\n".into(); LAYERS];
    let mut tests = 0;
    for layer in 0..LAYERS {
        fs::create_dir_all(options.out.join(format!("models/layer_{layer}")))?;
    }
    fs::create_dir_all(options.out.join("macros"))?;
    for number in 0..options.models {
        let layer = layer_of(number);
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
        fs::write(options.out.join(path), sql(number, layer, &parents))?;
        tests += describe(&mut properties[layer], number, &mut random);
    }
    for (layer, text) in properties.iter().enumerate() {
        fs::write(
            options
                .out
                .join(format!("models/layer_{layer}/_layer_{layer}.yml")),
            text,
        )?;
    }
    fs::write(options.out.join("macros/amounts.sql"), AMOUNTS)?;
    let project = PROJECT.replace("MATERIALIZED", &options.materialized);
    fs::write(options.out.join("dbt_project.yml"), project)?;
    fs::write(options.out.join("profiles.yml"), PROFILES)?;
    Ok(tests)
}

fn name(number: usize) -> String {
    format!("model_{number:06}")
}

fn sql(number: usize, layer: usize, parents: &[usize]) -> String {
    let mut text = format!("{{{{ config(tags=['layer_{layer}']) }}}}\n");
    if parents.is_empty() {
        write!(
            text,
            "select 1 as id, {number} as amount, 'label {number}' as label\nunion all\n\
             select 2 as id, {{{{ capped('{number}') }}}} as amount, 'other {number}' as label\n"
        )
        .expect("a string takes all");
        return text;
    }
    for (index, parent) in parents.iter().enumerate() {
        write!(
            text,
            "{}parent_{index} as (\n\n    select\n        id,\n        amount,\n        label\n    \
             from {{{{ ref('{}') }}}}\n\n)",
            if index == 0 { "with " } else { ",\n\n" },
            name(*parent),
        )
        .expect("a string takes all");
    }
    text.push_str("\n\nselect\n    parent_0.id,\n    ");
    for index in 0..parents.len() {
        let plus = if index == 0 { "" } else { " + " };
        write!(text, "{plus}{{{{ capped('parent_{index}.amount') }}}}")
            .expect("a string takes all");
    }
    text.push_str(" as amount,\n    {% if target.name == 'never' %}upper(parent_0.label){% else %}parent_0.label{% endif %} as label\nfrom parent_0\n");
    for index in 1..parents.len() {
        writeln!(
            text,
            "inner join parent_{index}\n    on parent_{index}.id = parent_0.id"
        )
        .expect("a string takes all");
    }
    text
}

/// Adds the model's properties; returns how many tests it has.
fn describe(text: &mut String, number: usize, random: &mut Random) -> usize {
    let name = name(number);
    let unique = random.below(100) < 21;
    write!(
        text,
        "  - name: {name}\n    description: The model {name} of the synthetic project.\n    \
         columns:\n      - name: id\n        description: Its key.\n        data_tests:\n          \
         - not_null\n{}      - name: amount\n        description: An amount.\n      - name: label\n        \
         description: A label.\n\n",
        if unique { "          - unique\n" } else { "" },
    )
    .expect("a string takes all");
    1 + usize::from(unique)
}

const AMOUNTS: &str = "\
{% macro capped(amount) -%}
    least({{ amount }}, 1000)
{%- endmacro %}
";

const PROJECT: &str = "\
name: synthetic
version: \"1.0.0\"
config-version: 2
profile: synthetic

flags:
  send_anonymous_usage_stats: false

models:
  synthetic:
    +materialized: MATERIALIZED
";

const PROFILES: &str = "\
synthetic:
  target: dev
  outputs:
    dev:
      type: duckdb
      path: bench.duckdb
      schema: synthetic
      threads: 4
    postgres:
      type: postgres
      host: \"{{ env_var('PGHOST', 'localhost') }}\"
      port: \"{{ env_var('PGPORT', '5432') | int }}\"
      user: \"{{ env_var('PGUSER', 'postgres') }}\"
      password: \"{{ env_var('PGPASSWORD', 'postgres') }}\"
      dbname: \"{{ env_var('PGDATABASE', 'postgres') }}\"
      schema: \"{{ env_var('SYNTHETIC_SCHEMA', 'synthetic') }}\"
      threads: 4
";
