use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use super::*;
use crate::diagnostic::{Code, Diagnostic};
use crate::executor::event::{BatchFacts, NodeFacts, NodeResult, NodeStatus, Output, PartFacts};
use crate::jinja::port::TemplateMessage;
use crate::manifest::ResourceType;
use crate::source::{SourceFile, Span};

/// What a sink was given.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no test panics here").extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn settings(format: Format, level: Level) -> Settings {
    let environment = BTreeMap::from([("DBT_ENV_SECRET_KEY".to_owned(), "s3cret".to_owned())]);
    Settings {
        command: "build",
        format,
        level,
        print: true,
        colors: false,
        screen: Screen::Lines,
        printer_width: 80,
        file: None,
        invocation_id: "00000000-0000-0000-0000-000000000000".to_owned(),
        redactor: Redactor::new(&environment),
    }
}

fn shown(settings: Settings, events: &[Event]) -> String {
    let out = Shared::default();
    let mut reporter = Reporter::on(settings, Box::new(out.clone()));
    for event in events {
        reporter.event(event);
    }
    drop(reporter);
    let bytes = out.0.lock().expect("no test panics here").clone();
    String::from_utf8(bytes).expect("text")
}

fn facts(id: &str, materialization: &str) -> Arc<NodeFacts> {
    let parts: Vec<&str> = id.split('.').collect();
    let resource_type = ResourceType::parse(parts[0]).expect("a resource type");
    let name = parts[2].to_owned();
    let has_relation = matches!(resource_type, ResourceType::Model | ResourceType::Seed);
    Arc::new(NodeFacts {
        unique_id: id.into(),
        resource_type,
        materialization: materialization.to_owned(),
        followed: false,
        microbatch: false,
        relation: has_relation.then(|| format!("\"dev\".\"main\".\"{name}\"")),
        short_relation: has_relation.then(|| format!("main.{name}")),
        path: format!("models/{name}.sql"),
        database: "dev".to_owned(),
        schema: "main".to_owned(),
        alias: name.clone(),
        attached_to: None,
        name,
    })
}

fn result(node: &Arc<NodeFacts>, status: NodeStatus, message: Option<&str>) -> NodeResult {
    let phase = Some((SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH));
    NodeResult {
        node: Arc::clone(node),
        status,
        message: message.map(str::to_owned),
        diagnostic: None,
        failures: None,
        rows_affected: None,
        response_code: None,
        query_id: None,
        compiled_code: None,
        compiled_path: None,
        inlined: Vec::new(),
        compile: phase,
        execute: phase,
        thread: "Thread-1".to_owned(),
        elapsed: Duration::from_millis(120),
        batch_results: None,
        waiting: Vec::new(),
        lacks: None,
    }
}

/// A run in which each thing that can happen to a node happens to one.
fn run() -> Vec<Event> {
    let file = SourceFile::inline("models/bad.sql", "select\n  nope\nfrom orders\n");
    let refused = Diagnostic::error(Code::Database, "column `nope` does not exist")
        .at(Span::line(&file, 2))
        .help("`note` exists");
    let hook = facts("operation.shop.shop-on-run-start-0", "view");
    let seed = facts("seed.shop.raw_orders", "seed");
    let orders = facts("model.shop.orders", "table");
    let bad = facts("model.shop.bad", "view");
    let after = facts("model.shop.after_bad", "incremental");
    let failing = facts("test.shop.no_refunds", "test");
    let warning = facts("test.shop.few_nulls", "test");
    let passing = facts("test.shop.unique_orders_id", "test");
    let mut error = result(&bad, NodeStatus::Error, Some(&bad.failure(&refused)));
    error.diagnostic = Some(Arc::new(refused));
    error.compiled_path = Some("target/compiled/shop/models/bad.sql".to_owned());
    let mut fail = result(
        &failing,
        NodeStatus::Fail,
        Some("Got 3 results, configured to fail if != 0"),
    );
    fail.failures = Some(3);
    let mut warn = result(
        &warning,
        NodeStatus::Warn,
        Some("Got 1 result, configured to warn if != 0"),
    );
    warn.failures = Some(1);
    let results: Vec<Arc<NodeResult>> = [
        result(&hook, NodeStatus::Success, Some("OK")),
        result(&seed, NodeStatus::Success, Some("INSERT 2")),
        result(&orders, NodeStatus::Success, Some("SELECT 2")),
        error,
        result(&after, NodeStatus::Skipped, None),
        fail,
        warn,
        result(&passing, NodeStatus::Pass, None),
    ]
    .map(Arc::new)
    .to_vec();
    let mut events = vec![
        Event::CommandStarted {
            command: "build --threads 2".to_owned(),
        },
        Event::Found {
            stats: "3 models, 1 seed, 3 data tests".to_owned(),
        },
        Event::Diagnostic(Arc::new(
            Diagnostic::warning(Code::UnknownPatch, "no model named `ordes`")
                .help("a model named `orders` exists"),
        )),
        Event::RunStarted {
            target: "dev".to_owned(),
            total: results.len(),
            threads: 2,
            partitions: Vec::new(),
        },
        Event::Statement {
            node: Some("model.shop.orders".into()),
            sql: "select 's3cret'".to_owned(),
            elapsed: Duration::from_millis(35),
        },
        Event::Message {
            node: Some("model.shop.orders".into()),
            message: TemplateMessage::Log {
                text: "the key is s3cret".to_owned(),
                info: true,
            },
        },
        Event::Message {
            node: None,
            message: TemplateMessage::Print("printed".to_owned()),
        },
    ];
    for (position, result) in results.iter().enumerate() {
        let (index, total) = (position + 1, results.len());
        if result.status != NodeStatus::Skipped {
            let node = Arc::clone(&result.node);
            events.push(Event::NodeStarted { node, index, total });
        }
        let result = Arc::clone(result);
        events.push(Event::NodeFinished {
            result,
            index,
            total,
        });
    }
    events.push(Event::RunFinished {
        results,
        elapsed: Duration::from_millis(61_500),
        cancelled: false,
    });
    events.push(Event::Hint("try `daygrain show`".to_owned()));
    events.push(Event::CommandFinished {
        command: "build".to_owned(),
        success: false,
        elapsed: Duration::from_secs(62),
    });
    events
}

/// Takes the clock, the process and the release out of a log.
fn timeless<R>(check: impl FnOnce() -> R) -> R {
    insta::with_settings!({filters => vec![
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", "[ts]"),
        (r"\d\d:\d\d:\d\d\.\d{6}", "[time]"),
        (r"(?m)^\d\d:\d\d:\d\d  ", "[time]  "),
        (r#""pid":\d+"#, r#""pid":0"#),
        (r"daygrain=\d+\.\d+\.\d+", "daygrain=[version]"),
        (r#""=\d+\.\d+\.\d+""#, r#""=[version]""#),
    ]}, { check() })
}

#[test]
fn a_run_in_plain_lines() {
    let text = shown(settings(Format::Text, Level::Info), &run());
    timeless(|| insta::assert_snapshot!(text));
}

#[test]
fn a_run_in_json_lines() {
    let text = shown(settings(Format::Json, Level::Debug), &run());
    for line in text.lines() {
        let json: serde_json::Value = serde_json::from_str(line).expect("each line is JSON");
        assert!(json["info"]["name"].is_string());
    }
    timeless(|| insta::assert_snapshot!(text));
}

#[test]
fn a_terminal_shows_no_starts_and_no_times_but_a_hint() {
    let mut settings = settings(Format::Text, Level::Info);
    settings.screen = Screen::Terminal;
    let text = shown(settings, &run());
    assert!(!text.contains("START"), "{text}");
    assert!(
        text.contains("\n3 of 8 OK created sql table model main.orders ."),
        "{text}"
    );
    assert!(text.ends_with("try `daygrain show`\n"), "{text}");
}

#[test]
fn quiet_shows_what_failed_and_what_was_asked_for() {
    let text = shown(settings(Format::Text, Level::Error), &run());
    timeless(|| insta::assert_snapshot!(text));
}

#[test]
fn no_print_silences_templates() {
    let mut settings = settings(Format::Text, Level::Info);
    settings.print = false;
    let text = shown(settings, &run());
    assert!(!text.contains("printed"), "{text}");
}

#[test]
fn level_none_shows_only_what_was_asked_for() {
    let events = [
        Event::Fatal(vec![Arc::new(Diagnostic::error(Code::Io, "no"))]),
        Event::Output(Output::Line("shop.orders".to_owned())),
    ];
    assert_eq!(
        shown(settings(Format::Text, Level::None), &events),
        "shop.orders\n"
    );
}

#[test]
fn colors_are_shown_where_they_are_wanted() {
    let mut settings = settings(Format::Text, Level::Info);
    settings.colors = true;
    let text = shown(settings, &run());
    assert!(
        text.contains("[\u{1b}[32mSELECT 2\u{1b}[0m in 0.12s]"),
        "{text}"
    );
    assert!(text.contains("\u{1b}[31mCompleted with 2 errors"), "{text}");
}

#[test]
fn a_fatal_error_says_so_in_the_words_of_dbt() {
    let file = SourceFile::inline("models/a.sql", "select * from {{ ref('ordes') }}\n");
    let unknown =
        Diagnostic::error(Code::UnknownRef, "no model named `ordes`").at(Span::new(&file, 17..29));
    let cycle = Diagnostic::error(Code::Cycle, "models depend on each other")
        .note("model.shop.a -> model.shop.b -> model.shop.a");
    let events = [Event::Fatal(vec![Arc::new(unknown), Arc::new(cycle)])];
    let text = shown(settings(Format::Text, Level::Info), &events);
    timeless(|| insta::assert_snapshot!(text));
}

#[test]
fn previews_have_a_title_unless_they_are_json() {
    let preview = |node: Option<&str>, json| {
        Event::Output(Output::Preview {
            node: node.map(str::to_owned),
            text: "| id |".to_owned(),
            json,
        })
    };
    let events = [
        preview(Some("orders"), false),
        preview(None, false),
        preview(None, true),
    ];
    assert_eq!(
        shown(settings(Format::Text, Level::Info), &events),
        "Previewing node 'orders':\n| id |\nPreviewing inline node:\n| id |\n| id |\n"
    );
}

#[test]
fn compile_tells_only_what_failed() {
    let mut settings = settings(Format::Text, Level::Info);
    settings.command = "compile";
    let text = shown(settings, &run());
    assert!(!text.contains(" of 8 "), "{text}");
    assert!(!text.contains("Done."), "{text}");
    assert!(text.contains("column `nope` does not exist"), "{text}");
}

#[test]
fn the_log_file_keeps_everything_without_colours_and_secrets() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("logs/dbt.log");
    let mut settings = settings(Format::Text, Level::None);
    settings.colors = true;
    settings.file = Some(FileSettings {
        path: path.clone(),
        format: Format::Text,
        level: Level::Debug,
        max_bytes: LOG_FILE_BYTES,
    });
    shown(settings, &run());
    let log = std::fs::read_to_string(path).expect("the log");
    assert!(log.contains("Running with daygrain="), "{log}");
    assert!(
        log.contains("[debug] [MainThread]: On model.shop.orders: select '*****'\n"),
        "{log}"
    );
    assert!(
        log.contains("[info ] [Thread-1]: 3 of 8 OK created sql table model"),
        "{log}"
    );
    assert!(!log.contains("s3cret") && !log.contains('\u{1b}'), "{log}");
    assert!(!log.contains("try `daygrain show`"), "{log}");
}

#[test]
fn the_project_says_where_the_log_file_lies() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut settings = settings(Format::Text, Level::None);
    settings.file = Some(FileSettings {
        path: folder.path().join("logs/dbt.log"),
        format: Format::Json,
        level: Level::Info,
        max_bytes: LOG_FILE_BYTES,
    });
    let elsewhere = folder.path().join("elsewhere/dbt.log");
    let mut events = run();
    events.insert(2, Event::LogFile(elsewhere.clone()));
    shown(settings, &events);
    let log = std::fs::read_to_string(elsewhere).expect("the log");
    assert!(
        log.lines()
            .next()
            .is_some_and(|line| line.contains("MainReportVersion")),
        "{log}"
    );
    assert!(!folder.path().join("logs").exists());
}

#[test]
fn a_log_file_that_cannot_be_written_is_a_warning() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("logs"), "a file").expect("write");
    let mut settings = settings(Format::Text, Level::Info);
    settings.file = Some(FileSettings {
        path: folder.path().join("logs/dbt.log"),
        format: Format::Text,
        level: Level::Debug,
        max_bytes: LOG_FILE_BYTES,
    });
    let text = shown(settings, &run());
    assert!(text.contains("cannot write the log file"), "{text}");
}

#[test]
fn partitions_are_told_a_line_a_batch_and_summed_up_at_the_end() {
    let followed = |id: &str| {
        let facts = facts(id, "incremental");
        Arc::new(NodeFacts {
            followed: true,
            ..NodeFacts::clone(&facts)
        })
    };
    let orders = followed("model.shop.orders");
    let batch = |label: &str, index: usize, parts: PartFacts| {
        Arc::new(BatchFacts {
            node: Arc::clone(&orders),
            label: label.to_owned(),
            index,
            total: 15,
            parts: Some(parts),
        })
    };
    let many = PartFacts {
        unit: Some("day"),
        count: 14,
        built: 14,
        rows: 291,
        ..PartFacts::default()
    };
    let one = PartFacts {
        unit: Some("day"),
        count: 1,
        refused: 1,
        ..PartFacts::default()
    };
    let ended = result(&orders, NodeStatus::Success, Some("OK"));
    let bounds = |days: i64| {
        let day = jiff::civil::date(2026, 11, 1).to_datetime(jiff::civil::Time::midnight());
        (0..days)
            .map(|_| crate::microbatch::Batch {
                start: day,
                end: day,
            })
            .collect()
    };
    let mut partly = result(&orders, NodeStatus::PartialSuccess, None);
    partly.message = Some(
        "2026-11-15 of `orders` was refused: `unique_id`: Got 2 results\nthe refused rows are in daygrain.refused_orders"
            .to_owned(),
    );
    partly.batch_results = Some(crate::microbatch::BatchResults {
        successful: bounds(14),
        failed: bounds(1),
    });
    let mut waits = result(&followed("model.shop.daily"), NodeStatus::Skipped, None);
    waits.waiting = (1..=12)
        .map(|day| {
            format!("daily 2026-11-{day:02} waits for orders 2026-11-{day:02}, which failed")
        })
        .collect();
    let fresh = result(
        &followed("model.shop.total"),
        NodeStatus::NoOp,
        Some("fresh"),
    );
    let test = result(
        &facts("test.shop.unique_id", "test"),
        NodeStatus::NoOp,
        None,
    );
    let results = [partly, waits, fresh, test].map(Arc::new).to_vec();
    let events = [
        Event::BatchStarted {
            batch: batch("2026-11-01 .. 2026-11-14", 1, many.clone()),
        },
        Event::BatchFinished {
            batch: batch("2026-11-01 .. 2026-11-14", 1, many),
            result: Arc::new(ended.clone()),
        },
        Event::BatchFinished {
            batch: batch("2026-11-15", 15, one),
            result: Arc::new(NodeResult {
                status: NodeStatus::Error,
                ..ended
            }),
        },
        Event::RunFinished {
            results,
            elapsed: Duration::from_millis(1500),
            cancelled: false,
        },
    ];
    let shown = shown(settings(Format::Text, Level::Info), &events);
    let lines: Vec<&str> = shown
        .lines()
        .map(
            |line| match line.starts_with(|first: char| first.is_ascii_digit()) {
                true => line.get(10..).unwrap_or(""),
                false => line,
            },
        )
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @r"
    2026-11-01 .. 2026-11-14 of main.orders: 14 of 15 days ......................... [291 rows in 0.12s]
    2026-11-15 of main.orders: 15 of 15 days ....................................... [REFUSED in 0.12s]

    Finished running 1 data test, 3 incremental models in 0 hours 0 minutes and 1.50 seconds (1.50s).

    Completed with 1 partial success and 0 warnings

    Failure in model orders (models/orders.sql)
      2026-11-15 of `orders` was refused: `unique_id`: Got 2 results
      the refused rows are in daygrain.refused_orders

    1 model and 1 test were fresh
    14 partitions of 1 model built; 1 refused or failed, and what was there before stays
    12 partitions wait:
      daily 2026-11-01 waits for orders 2026-11-01, which failed
      daily 2026-11-02 waits for orders 2026-11-02, which failed
      daily 2026-11-03 waits for orders 2026-11-03, which failed
      daily 2026-11-04 waits for orders 2026-11-04, which failed
      daily 2026-11-05 waits for orders 2026-11-05, which failed
      daily 2026-11-06 waits for orders 2026-11-06, which failed
      daily 2026-11-07 waits for orders 2026-11-07, which failed
      daily 2026-11-08 waits for orders 2026-11-08, which failed
      daily 2026-11-09 waits for orders 2026-11-09, which failed
      daily 2026-11-10 waits for orders 2026-11-10, which failed
      and 2 more

    Done. PASS=0 WARN=0 ERROR=1 SKIP=1 NO-OP=2 TOTAL=4
    ");
}
