//! Sends recorded statements to DuckDB and nothing else: what a build costs without a tool.
//!
//! Input: JSON lines `{"wave": 0, "group": "model.x.y", "sql": "..."}`. Waves run one after the
//! other; within a wave groups run on several connections, each group's statements in order.

use std::collections::BTreeMap;
use std::fs;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use duckdb::Connection;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [database, statements, threads] = args.as_slice() else {
        eprintln!("usage: bare_statements DATABASE STATEMENTS.jsonl THREADS");
        return ExitCode::from(2);
    };
    match run(database, statements, threads) {
        Ok(summary) => {
            println!("{summary}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Groups of statements that may run side by side.
type Wave = Vec<Vec<String>>;

fn run(database: &str, statements: &str, threads: &str) -> Result<String> {
    let threads: usize = threads.parse().context("THREADS must be a number")?;
    let text =
        fs::read_to_string(statements).with_context(|| format!("cannot read `{statements}`"))?;
    let waves = read(&text)?;
    let count: usize = waves.iter().flatten().map(Vec::len).sum();
    let started = Instant::now();
    let main = Connection::open(database)?;
    let mut connections = vec![];
    for _ in 1..threads.max(1) {
        connections.push(main.try_clone()?);
    }
    connections.push(main);
    for wave in waves {
        let queue = Mutex::new(wave.into_iter());
        std::thread::scope(|scope| {
            let workers: Vec<_> = connections
                .iter_mut()
                .map(|connection| {
                    let queue = &queue;
                    scope.spawn(move || work(connection, queue))
                })
                .collect();
            workers
                .into_iter()
                .try_for_each(|worker| worker.join().map_err(|_| anyhow!("a worker panicked"))?)
        })?;
    }
    let elapsed = started.elapsed().as_secs_f64();
    Ok(format!("{count} statements in {elapsed:.3} s"))
}

fn read(text: &str) -> Result<Vec<Wave>> {
    let mut waves: BTreeMap<u64, Vec<(String, Vec<String>)>> = BTreeMap::new();
    let mut places: BTreeMap<(u64, String), usize> = BTreeMap::new();
    for line in text.lines() {
        let row: serde_json::Value = serde_json::from_str(line)?;
        let text = |key| {
            row[key]
                .as_str()
                .with_context(|| format!("`{key}` is no string: {line}"))
        };
        let number = row["wave"].as_u64().context("`wave` is no number")?;
        let (group, sql) = (text("group")?.to_owned(), text("sql")?.to_owned());
        let wave = waves.entry(number).or_default();
        let place = *places.entry((number, group.clone())).or_insert(wave.len());
        if place == wave.len() {
            wave.push((group, vec![]));
        }
        wave[place].1.push(sql);
    }
    Ok(waves
        .into_values()
        .map(|wave| wave.into_iter().map(|(_, sql)| sql).collect())
        .collect())
}

fn work(connection: &mut Connection, queue: &Mutex<std::vec::IntoIter<Vec<String>>>) -> Result<()> {
    loop {
        let group = queue
            .lock()
            .map_err(|_| anyhow!("a worker panicked"))?
            .next();
        let Some(group) = group else { return Ok(()) };
        for sql in group {
            send(connection, &sql).with_context(|| format!("refused: {sql}"))?;
        }
    }
}

/// Runs the statement and, where it is a query, reads its rows.
fn send(connection: &Connection, sql: &str) -> Result<()> {
    let body = sql
        .lines()
        .map(str::trim_start)
        .find(|line| !line.is_empty() && !line.starts_with("--") && !line.starts_with("/*"))
        .unwrap_or_default()
        .to_ascii_lowercase();
    if !body.starts_with("select") && !body.starts_with("with") {
        return Ok(connection.execute_batch(sql)?);
    }
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    Ok(())
}
