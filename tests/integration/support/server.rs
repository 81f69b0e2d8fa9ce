//! A Postgres of a test's own, where the shared one will not do: its login and encryption are set here.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Map, Value as Json, json};

/// A server, which ends with the value.
pub struct Server {
    folder: tempfile::TempDir,
    child: Option<Child>,
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
}

impl Server {
    /// Makes a cluster with a superuser `postgres` of this password; it does not run yet.
    pub fn new(password: &str) -> Server {
        // Below the folder of temporary files of the system, where the server's user may go.
        let folder = tempfile::Builder::new()
            .prefix("daygrain-server")
            .tempdir_in("/var/tmp")
            .expect("a folder");
        let server = Server {
            folder,
            child: None,
            port: free_port(),
        };
        server.write("password", password);
        server.hand_over(&[]);
        let made = server
            .program("initdb")
            .args(["-D", "data", "--username=postgres", "--auth=scram-sha-256"])
            .args([
                "--pwfile=password",
                "--no-locale",
                "--encoding=UTF8",
                "--no-sync",
            ])
            .output()
            .expect("initdb runs");
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        server
    }

    /// Writes a file that the server reads, and nobody else.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        run(Command::new("chmod").arg("600").arg(&path));
    }

    /// Starts it with further settings, and these lines in `pg_hba.conf`.
    pub fn start(&mut self, hba: &str, settings: &[&str]) {
        self.write("pg_hba.conf", hba);
        self.hand_over(&["pg_hba.conf"]);
        let log = std::fs::File::create(self.folder.path().join("log")).expect("a log");
        let mut command = self.program("postgres");
        command.args(["-D", "data", "-p", &self.port.to_string()]);
        let hba_file = format!("hba_file={}", self.path("pg_hba.conf").display());
        let always = [
            &hba_file,
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "lc_messages=C",
            "fsync=off",
        ];
        for setting in always.iter().chain(settings) {
            command.args(["-c", setting]);
        }
        command.stdout(Stdio::null()).stderr(log);
        self.child = Some(command.spawn().expect("postgres runs"));
        let started = Instant::now();
        while !self.log().contains("ready to accept connections") {
            let child = self.child.as_mut().expect("started");
            let ended = child.try_wait().expect("a state");
            assert!(
                ended.is_none() && started.elapsed() < Duration::from_secs(60),
                "it did not start:\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Ends it; its sessions with it.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = Command::new("kill")
                .args(["-INT", &child.id().to_string()])
                .status();
            let _ = child.wait();
        }
    }

    /// Ends it at once, as a crash does: what was not committed is gone.
    pub fn crash(&mut self) {
        if let Some(mut child) = self.child.take() {
            let id = child.id().to_string();
            let _ = Command::new("kill").args(["-QUIT", &id]).status();
            let _ = child.wait();
        }
    }

    /// What it has written.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// A file of its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The fields of a profile that reach it.
    pub fn fields(&self, more: Json) -> Map<String, Json> {
        let mut fields = json!({
            "type": "postgres", "host": "127.0.0.1", "port": self.port, "user": "postgres",
            "dbname": "postgres", "schema": "public",
        });
        let fields = fields.as_object_mut().expect("a mapping");
        fields.extend(more.as_object().cloned().unwrap_or_default());
        fields.clone()
    }

    /// Gives the folder and some files to who runs the server, which refuses root.
    fn hand_over(&self, files: &[&str]) {
        if is_root() {
            let paths = files.iter().map(|file| self.path(file));
            let all = [self.folder.path().to_owned(), self.path("password")];
            run(Command::new("chown")
                .arg(server_user())
                .args(all)
                .args(paths));
        }
    }

    /// Gives a file to who runs the server.
    pub fn give(&self, file: &str) {
        self.hand_over(&[file]);
    }

    fn program(&self, name: &str) -> Command {
        let program = programs().join(name);
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            let user = server_user();
            command.args([
                "--reuid",
                user,
                "--regid",
                &group_of(user),
                "--clear-groups",
            ]);
            command.arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir(self.folder.path());
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

fn run(command: &mut Command) {
    let status = command.status().expect("it runs");
    assert!(status.success(), "{command:?}: {status}");
}

fn output(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

fn is_root() -> bool {
    output("id", &["-u"]).as_deref() == Some("0")
}

fn server_user() -> &'static str {
    match output("id", &["-u", "postgres"]) {
        Some(_) => "postgres",
        None => "nobody",
    }
}

fn group_of(user: &str) -> String {
    output("id", &["-g", user]).expect("a group")
}

/// The folder with the programs, the newest version's; as `scripts/test` finds it.
fn programs() -> PathBuf {
    let installed = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten();
    let mut folders: Vec<PathBuf> = installed
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .collect();
    folders.sort();
    folders.reverse();
    folders.extend(output("pg_config", &["--bindir"]).map(PathBuf::from));
    let found = folders
        .into_iter()
        .find(|folder| folder.join("initdb").exists() && folder.join("postgres").exists());
    found.expect("the tests of encryption start a Postgres of their own: install its server")
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

/// Writes a file that only its owner reads.
pub fn write_private(path: &Path, text: &str) {
    std::fs::write(path, text).expect("a file");
    run(Command::new("chmod").arg("600").arg(path));
}
