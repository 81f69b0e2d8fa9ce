//! A small shop whose orders come as files, a day each, and what its runs built.

use serde_json::{Value as Json, json};

use super::sandbox::{Ran, Sandbox};

/// A project with partitioned models, on one of the databases.
pub struct Shop {
    /// Its folder.
    pub sandbox: Sandbox,
    /// The schema of its ledger.
    pub ledger: String,
    /// The schema of its tables.
    pub schema: String,
}

const BASE: &str = "\
# file: models/sources.yml
version: 2
sources:
  - name: landing
    tables:
      - name: orders
        external:
          location: 'landing/orders/partition_date={partition_date}/*.csv'
          file_format: csv
        config: {partition_by: partition_date, begin: 2026-11-01}
        columns:
          - {name: id, data_type: integer}
          - {name: amount, data_type: integer}
# file: macros/by_hand.sql
{% macro by_hand(sql) %}
  {% do run_query(sql) %}
  {% do adapter.commit() %}
{% endmacro %}
";

/// The head of a partitioned model.
pub const DAILY: &str =
    "materialized='incremental', partition_by='partition_date', begin='2026-11-01'";

/// `orders`, each day of the landing as it is, with more configuration.
pub fn orders(config: &str) -> String {
    format!(
        "{{{{ config({DAILY}, {config}) }}}}\nselect id, amount, partition_date from {{{{ source('landing', 'orders') }}}}\n"
    )
}

/// `totals`, a sum a day over `orders`.
pub fn totals(config: &str) -> String {
    format!(
        "{{{{ config({DAILY}, {config}) }}}}\nselect partition_date, cast(sum(amount) as integer) as total from {{{{ ref('orders') }}}} group by partition_date\n"
    )
}

impl Shop {
    /// On the embedded database.
    pub fn embedded(models: &[(&str, &str)]) -> Shop {
        let sandbox = Sandbox::new(&format!(
            "# file: dbt_project.yml\nname: shop\nflags: {{send_anonymous_usage_stats: false}}\n{BASE}"
        ));
        let shop = Shop {
            sandbox,
            ledger: "daygrain".to_owned(),
            schema: "main".to_owned(),
        };
        shop.models(models);
        shop
    }

    /// On the tests' server, in a schema that is new and empty.
    pub fn on_postgres(schema: &str, models: &[(&str, &str)]) -> Shop {
        let ledger = format!("{schema}_ledger");
        super::drop_postgres_schemas(&[schema, &ledger]);
        let fields = super::postgres_fields(schema);
        let profile = json!({"shop": {"target": "dev", "outputs": {"dev": fields}}});
        let sandbox = Sandbox::new(&format!(
            "# file: profiles.yml\n{profile}\n# file: dbt_project.yml\nname: shop\nprofile: shop\n{BASE}"
        ))
        .with_env("DAYGRAIN_LEDGER_SCHEMA", &ledger);
        let schema = schema.to_owned();
        let shop = Shop {
            sandbox,
            ledger,
            schema,
        };
        shop.models(models);
        shop
    }

    /// On the tests' Snowflake, in a database that is new.
    pub fn on_snowflake(database: &str, models: &[(&str, &str)]) -> Shop {
        let fields = super::snowflake_fields(&super::new_database(database));
        let profile = json!({"shop": {"target": "dev", "outputs": {"dev": fields}}});
        let sandbox = Sandbox::new(&format!(
            "# file: profiles.yml\n{profile}\n# file: dbt_project.yml\nname: shop\nprofile: shop\n{BASE}"
        ));
        let shop = Shop {
            sandbox,
            ledger: "daygrain".to_owned(),
            schema: "shop".to_owned(),
        };
        shop.models(models);
        shop
    }

    /// The database that its profile names.
    pub fn database(&self) -> String {
        let profile = self.profile();
        let database = profile["shop"]["outputs"]["dev"]["database"].as_str();
        database.unwrap().to_owned()
    }

    /// Sets a field of its profile.
    pub fn set_field(&self, name: &str, value: Json) {
        let mut profile = self.profile();
        profile["shop"]["outputs"]["dev"][name] = value;
        self.sandbox.write("profiles.yml", &profile.to_string());
    }

    fn profile(&self) -> Json {
        serde_json::from_str(&self.sandbox.read("profiles.yml")).unwrap()
    }

    /// The name of a table, for statements by hand.
    pub fn name(&self, table: &str) -> String {
        format!("{}.{table}", self.schema)
    }

    /// Writes models.
    pub fn models(&self, models: &[(&str, &str)]) {
        for (name, sql) in models {
            self.sandbox.write(&format!("models/{name}.sql"), sql);
        }
    }

    /// Writes the file of a day; each row is `id,amount`.
    pub fn lands(&self, day: u8, rows: &[&str]) {
        self.lands_as(day, "part-000", rows);
    }

    /// Writes a file of a day.
    pub fn lands_as(&self, day: u8, part: &str, rows: &[&str]) {
        let text = format!("id,amount\n{}\n", rows.join("\n"));
        let path = format!("landing/orders/partition_date=2026-11-{day:02}/{part}.csv");
        self.sandbox.write(&path, &text);
    }

    /// Writes files of the first days, two rows each.
    pub fn first_days(&self, days: u8) {
        for day in 1..=days {
            self.lands(
                day,
                &[
                    &format!("{day},{day}"),
                    &format!("{},1", 100 + u16::from(day)),
                ],
            );
        }
    }

    /// Removes the files of a day.
    pub fn vanishes(&self, day: u8) {
        let path = format!("landing/orders/partition_date=2026-11-{day:02}");
        std::fs::remove_dir_all(self.sandbox.path().join(path)).unwrap();
    }

    /// Runs a statement as somebody else would.
    pub fn by_hand(&self, sql: &str) {
        let args = json!({"sql": sql}).to_string();
        self.sandbox
            .run(&["run-operation", "by_hand", "--args", &args])
            .expect(0);
    }

    /// Builds what is stale on a morning of November, and tells what was built.
    #[track_caller]
    pub fn build(&self, morning: u8) -> Vec<String> {
        self.build_with(morning, &[], 0)
    }

    /// The same, with more arguments and another exit code.
    #[track_caller]
    pub fn build_with(&self, morning: u8, more: &[&str], code: i32) -> Vec<String> {
        self.ran(morning, more, code);
        self.built()
    }

    /// The same, and what was said.
    #[track_caller]
    pub fn ran(&self, morning: u8, more: &[&str], code: i32) -> Ran {
        let as_of = format!("2026-11-{morning:02}");
        let mut args = vec!["build"];
        if !more.contains(&"--as-of") {
            args.extend(["--as-of", &as_of]);
        }
        args.extend(more);
        self.sandbox.run(&args).expect(code)
    }

    fn results(&self) -> Vec<Json> {
        let text = self.sandbox.read("target/run_results.json");
        let artifact: Json = serde_json::from_str(&text).unwrap();
        artifact["results"].as_array().unwrap().clone()
    }

    /// The partitions that the last run built: `orders 01 02`, or `sums` alone where it has but one.
    pub fn built(&self) -> Vec<String> {
        let mut built: Vec<String> = self
            .results()
            .iter()
            .filter_map(|result| {
                let name = result["unique_id"].as_str()?.strip_prefix("model.shop.")?;
                let batches = result["batch_results"]["successful"].as_array();
                let mut days: Vec<&str> = match batches {
                    Some(batches) => batches
                        .iter()
                        .filter_map(|batch| batch[0].as_str()?.get(8..10))
                        .collect(),
                    None => Vec::new(),
                };
                days.sort_unstable();
                match (batches, result["status"].as_str()?) {
                    (Some(_), _) if days.is_empty() => None,
                    (Some(_), _) => Some(format!("{name} {}", days.join(" "))),
                    (None, "success") => Some(name.to_owned()),
                    _ => None,
                }
            })
            .collect();
        built.sort();
        built
    }

    /// How a node of the last run ended.
    pub fn status(&self, name: &str) -> String {
        let results = self.results();
        let found = results.iter().find(|result| {
            let id = result["unique_id"].as_str().unwrap();
            id.split('.').nth(2) == Some(name)
        });
        let found = found.unwrap_or_else(|| panic!("{name} has no result: {results:?}"));
        found["status"].as_str().unwrap().to_owned()
    }

    /// The rows of a query as `a b, a b`.
    #[track_caller]
    pub fn rows(&self, sql: &str) -> String {
        let rows = self.sandbox.rows(sql, &[]);
        let rows: Vec<String> = rows
            .iter()
            .map(|row| {
                let values = row.as_object().unwrap().values();
                let values: Vec<String> = values
                    .map(|value| match value {
                        Json::String(text) => text.replace("T00:00:00.000", ""),
                        other => other.to_string(),
                    })
                    .collect();
                values.join(" ")
            })
            .collect();
        rows.join(", ")
    }
}
