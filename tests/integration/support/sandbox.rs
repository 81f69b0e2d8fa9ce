//! A project in a folder of its own, and the binary run in it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value as Json;

/// A temporary project.
pub struct Sandbox {
    folder: tempfile::TempDir,
    environment: Vec<(String, String)>,
}

/// What a run of the binary left.
pub struct Ran {
    /// The exit code; -1 where a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Ran {
    /// Fails unless the exit code is the one expected.
    #[track_caller]
    pub fn expect(self, code: i32) -> Ran {
        assert_eq!(
            self.code, code,
            "stdout:\n{}\nstderr:\n{}",
            self.stdout, self.stderr
        );
        self
    }
}

/// The program that is tested: the one that was built with the tests, or the one that
/// `DAYGRAIN_TEST_BINARY` names, such as a release.
fn binary() -> PathBuf {
    std::env::var_os("DAYGRAIN_TEST_BINARY")
        .map_or_else(|| env!("CARGO_BIN_EXE_daygrain").into(), PathBuf::from)
}

/// Starts a command that waits at a place for some seconds, and returns once it is there.
#[track_caller]
pub fn paused_at(mut command: Command, place: &str, seconds: &str) -> Child {
    let mut child = command
        .env("DAYGRAIN_TEST_PAUSE", place)
        .env("DAYGRAIN_TEST_PAUSE_SECONDS", seconds)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let told = lines
        .map_while(Result::ok)
        .any(|line| line.starts_with("paused"));
    assert!(told, "nothing waits at {place}");
    child
}

impl Sandbox {
    /// Makes the files of one text: each begins at a line `-- file: path` or `# file: path`.
    pub fn new(files: &str) -> Sandbox {
        let sandbox = Sandbox::empty();
        let mut path = None;
        let mut text = String::new();
        for line in files.lines() {
            let header = line
                .strip_prefix("-- file: ")
                .or_else(|| line.strip_prefix("# file: "));
            let Some(next) = header else {
                text.push_str(line);
                text.push('\n');
                continue;
            };
            if let Some(path) = path.replace(next.to_owned()) {
                sandbox.write(&path, &std::mem::take(&mut text));
            }
            text.clear();
        }
        if let Some(path) = path {
            sandbox.write(&path, &text);
        }
        sandbox
    }

    /// A folder with nothing in it.
    pub fn empty() -> Sandbox {
        Sandbox {
            folder: tempfile::tempdir().expect("a temporary folder"),
            environment: Vec::new(),
        }
    }

    /// A copy of the orders warehouse, without what was built.
    pub fn warehouse() -> Sandbox {
        let sandbox = Sandbox::empty();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for folder in ["models", "macros", "seeds", "tests/warehouse"] {
            copy(&root.join(folder), &sandbox.path().join(folder));
        }
        for file in ["dbt_project.yml", "profiles.yml"] {
            std::fs::copy(root.join(file), sandbox.path().join(file)).expect("a copy");
        }
        sandbox
    }

    /// [`Sandbox::warehouse`], whose target is a schema of the tests' server.
    pub fn postgres_warehouse(schema: &str) -> Sandbox {
        let fields = super::postgres_fields(schema);
        let text = |key: &str| match &fields[key] {
            Json::String(text) => text.clone(),
            other => other.to_string(),
        };
        Sandbox::warehouse()
            .with_env("PGHOST", &text("host"))
            .with_env("PGPORT", &text("port"))
            .with_env("PGUSER", &text("user"))
            .with_env("PGDATABASE", &text("dbname"))
            .with_env("DBT_TARGET", "postgres")
            .with_env("DAYGRAIN_POSTGRES_SCHEMA", schema)
    }

    /// [`Sandbox::postgres_warehouse`] with a ledger of its own, and nothing built.
    pub fn empty_postgres_warehouse(schema: &str) -> Sandbox {
        let ledger = format!("{schema}_ledger");
        let parts = ["replica", "dim", "dwd", "app"].map(|part| format!("{schema}_{part}"));
        let schemas: Vec<&str> = parts.iter().map(String::as_str).collect();
        super::drop_postgres_schemas(&[&[schema, &ledger], &schemas[..]].concat());
        Sandbox::postgres_warehouse(schema).with_env("DAYGRAIN_LEDGER_SCHEMA", &ledger)
    }

    /// [`Sandbox::warehouse`], whose target is a Snowflake that these fields reach.
    pub fn snowflake_warehouse(mut fields: serde_json::Map<String, Json>) -> Sandbox {
        let sandbox = Sandbox::warehouse();
        fields.insert("threads".to_owned(), 4.into());
        let schema = fields["schema"].as_str().expect("a schema").to_owned();
        let profile = serde_json::json!({
            "orders_warehouse": {"target": "snowflake", "outputs": {"snowflake": fields}},
        });
        sandbox.write("profiles.yml", &profile.to_string());
        sandbox.with_env("DAYGRAIN_LEDGER_SCHEMA", &format!("{schema}_ledger"))
    }

    /// Sets a variable for every run of the binary.
    pub fn with_env(mut self, name: &str, value: &str) -> Sandbox {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The folder.
    pub fn path(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// Writes a file, making its folders.
    pub fn write(&self, path: &str, text: &str) {
        let path = self.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
        std::fs::write(path, text).expect("a file");
    }

    /// Reads a file.
    pub fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.path().join(path)).expect(path)
    }

    /// A command of the binary in the folder, with a clean environment.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command
            .args(args)
            .current_dir(self.folder.path())
            .env_clear()
            .env("HOME", self.folder.path())
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs the binary.
    pub fn run(&self, args: &[&str]) -> Ran {
        let Output {
            status,
            stdout,
            stderr,
        } = self.command(args).output().expect("the binary runs");
        Ran {
            code: status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
        }
    }

    /// Runs the binary, interrupts it once it is in the middle, and expects it to end soon.
    pub fn interrupt(&self, args: &[&str]) -> Ran {
        let mut command = self.command(args);
        let child = command
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        std::thread::sleep(Duration::from_millis(1500));
        let id = child.id().to_string();
        let killed = Command::new("kill").args(["-INT", &id]).status();
        assert!(killed.expect("kill").success());
        let started = Instant::now();
        let output = child.wait_with_output().expect("it ends");
        assert!(started.elapsed().as_secs() < 20, "it went on");
        Ran {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::new(),
        }
    }

    /// The rows of a query, by `show`; columns have names in lower case, as not every database gives them.
    #[track_caller]
    pub fn rows(&self, sql: &str, more: &[&str]) -> Vec<Json> {
        let mut args = vec![
            "show", "--quiet", "--output", "json", "--limit", "-1", "--inline", sql,
        ];
        args.extend(more);
        let ran = self.run(&args).expect(0);
        let shown: Json = serde_json::from_str(&ran.stdout)
            .unwrap_or_else(|error| panic!("{error} in:\n{}", ran.stdout));
        let rows = shown["show"].as_array().expect("rows").iter();
        rows.map(|row| {
            let cells = row.as_object().expect("a row").iter();
            let cells = cells.map(|(name, value)| (name.to_lowercase(), value.clone()));
            Json::Object(cells.collect())
        })
        .collect()
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).expect("a copy");
        }
    }
}
