//! Events in dbt's words: the one place that decides what is said, under which of dbt's event
//! names, and how loudly.
//!
//! Texts hold terminal colours; the forms that want none strip them.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};
use jiff::Timestamp;
use serde_json::{Value as Json, json};

use super::{Level, summary};
use crate::diagnostic::{Code, Diagnostic};
use crate::executor::event::{
    BatchFacts, Event, NodeFacts, NodeResult, NodeStatus, Output, PartFacts,
};
use crate::jinja::port::TemplateMessage;
use crate::manifest::{ResourceType, UniqueId};

pub(super) const RED: Style = AnsiColor::Red.on_default();
pub(super) const GREEN: Style = AnsiColor::Green.on_default();
pub(super) const YELLOW: Style = AnsiColor::Yellow.on_default();
const DIM: Style = Style::new().dimmed();

/// The thread of what belongs to no node.
const MAIN_THREAD: &str = "MainThread";

/// Who sees a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Channel {
    /// Whoever reads the log.
    Log,
    /// Everyone, also with `--quiet`: it is what the command was asked for.
    Output,
    /// Only people at a terminal.
    Terminal,
}

/// One thing that is said.
#[derive(Clone, Debug)]
pub(super) struct Record {
    /// dbt's name of the event, where it has one.
    pub name: &'static str,
    /// dbt's code of it.
    pub code: &'static str,
    /// How loudly.
    pub level: Level,
    /// The words.
    pub text: String,
    /// The facts.
    pub data: Json,
    /// The thread that it happened on.
    pub thread: String,
    /// Who sees it.
    pub channel: Channel,
    /// Whether a template's `print(..)` said it.
    pub printed: bool,
    /// Whether a moving picture shows the same.
    pub transient: bool,
}

impl Record {
    pub(super) fn new(
        (name, code): (&'static str, &'static str),
        level: Level,
        text: impl Into<String>,
        data: Json,
    ) -> Record {
        Record {
            name,
            code,
            level,
            text: text.into(),
            data,
            thread: MAIN_THREAD.to_owned(),
            channel: Channel::Log,
            printed: false,
            transient: false,
        }
    }

    /// An empty line.
    pub(super) fn blank() -> Record {
        Record::new(("Formatting", "Z017"), Level::Info, "", json!({"msg": ""}))
    }

    fn on(mut self, thread: &str) -> Record {
        thread.clone_into(&mut self.thread);
        self
    }

    fn transient(mut self) -> Record {
        self.transient = true;
        self
    }

    fn to(mut self, channel: Channel) -> Record {
        self.channel = channel;
        self
    }
}

/// How lines are laid out, and which command they are about.
pub(super) struct Words {
    width: usize,
    /// `compile` and `show` run nodes as well, but what they print is something else.
    nodes: Level,
    /// What is said before a command's own words; some commands have no more than an answer.
    opening: Level,
    facts: Facts,
}

/// Whether the facts of what is said again and again are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Facts {
    /// Some form shows them.
    Kept,
    /// Only words are shown.
    LeftOut,
}

impl Words {
    pub(super) fn new(command: &str, width: usize, facts: Facts) -> Words {
        Words {
            width,
            facts,
            nodes: match command {
                "compile" | "show" => Level::Debug,
                _ => Level::Info,
            },
            opening: match command {
                "plan" | "why" | "partitions" => Level::Debug,
                _ => Level::Info,
            },
        }
    }

    /// Puts an event into records, in the order in which they are said.
    pub(super) fn records(&self, event: &Event) -> Vec<Record> {
        match event {
            Event::CommandStarted { command } => {
                let version = env!("CARGO_PKG_VERSION");
                vec![
                    Record::new(
                        ("MainReportVersion", "A001"),
                        self.opening,
                        format!("Running with daygrain={version}"),
                        json!({"log_version": 3, "version": format!("={version}")}),
                    ),
                    Record::new(
                        ("MainReportArgs", "A002"),
                        Level::Debug,
                        format!("running daygrain with arguments {command}"),
                        json!({"args": {"invocation_command": format!("daygrain {command}")}}),
                    ),
                ]
            }
            Event::LogFile(_) | Event::Secrets(_) => Vec::new(),
            Event::Found { stats } => vec![Record::new(
                ("FoundStats", "W006"),
                self.opening,
                format!("Found {stats}"),
                json!({"stat_line": stats}),
            )],
            Event::RunStarted {
                target,
                total,
                threads,
                partitions: _,
            } => vec![
                Record::blank(),
                Record::new(
                    ("ConcurrencyLine", "Q027"),
                    self.nodes,
                    format!("Concurrency: {threads} threads (target='{target}')"),
                    json!({"node_count": total, "num_threads": threads, "target_name": target}),
                )
                .transient(),
                Record::blank().transient(),
            ],
            Event::NodeStarted { node, index, total } => {
                vec![self.node_started(node, *index, *total)]
            }
            Event::NodeFinished {
                result,
                index,
                total,
            } => vec![self.node_finished(result, *index, *total)],
            Event::NodeFresh { .. } => Vec::new(),
            Event::BatchStarted { batch } => vec![self.batch_started(batch)],
            Event::BatchFinished { batch, result } => self.batch_finished(batch, result),
            Event::Statement { node, sql, elapsed } => self.statement(node.as_ref(), sql, *elapsed),
            Event::Message { node, message } => vec![template_message(node.as_ref(), message)],
            Event::Diagnostic(diagnostic) => vec![diagnosed(diagnostic)],
            Event::Fatal(diagnostics) => vec![fatal(diagnostics)],
            Event::Output(output) => vec![asked_for(output)],
            Event::Note(text) => vec![Record::new(
                ("Note", "Z050"),
                self.opening,
                text.as_str(),
                json!({"msg": text}),
            )],
            Event::Hint(text) => vec![
                Record::blank().to(Channel::Terminal),
                Record::new(
                    ("Note", "Z050"),
                    Level::Info,
                    format!("{DIM}{text}{DIM:#}"),
                    json!({"msg": text}),
                )
                .to(Channel::Terminal),
            ],
            Event::ArtifactWritten { kind, path } => vec![Record::new(
                ("ArtifactWritten", "P001"),
                Level::Debug,
                format!("Wrote artifact {kind} to {path}"),
                json!({"artifact_path": path, "artifact_type": kind}),
            )],
            Event::Cancelling => vec![Record::new(
                ("CancelingNodes", "D001"),
                Level::Warn,
                format!("{YELLOW}Stopping: cancelling the queries in flight{YELLOW:#}"),
                json!({}),
            )],
            Event::RunFinished {
                results,
                elapsed,
                cancelled,
            } => summary::records(results, *elapsed, *cancelled, self.nodes),
            Event::CommandFinished {
                command,
                success,
                elapsed,
            } => {
                let how = if *success { "succeeded" } else { "failed" };
                let seconds = elapsed.as_secs_f64();
                vec![Record::new(
                    ("CommandCompleted", "Q039"),
                    Level::Debug,
                    format!("Command `daygrain {command}` {how} after {seconds:.2} seconds"),
                    json!({"command": command, "success": success, "elapsed": seconds}),
                )]
            }
        }
    }

    fn node_started(&self, node: &NodeFacts, index: usize, total: usize) -> Record {
        let info = || node_info(node, "started", None);
        if node.resource_type == ResourceType::Operation {
            let hook = hook_name(node);
            let text = self.line(index, total, &format!("START hook: {hook}"), "RUN", None);
            let data = self.facts(
                || json!({"index": index, "total": total, "statement": hook, "node_info": info()}),
            );
            let record = Record::new(("LogHookStartLine", "Q032"), self.nodes, text, data);
            return record.transient();
        }
        let description = describe(node);
        let text = self.line(index, total, &format!("START {description}"), "RUN", None);
        let data = self.facts(|| {
            json!({
                "index": index, "total": total, "description": description, "node_info": info()
            })
        });
        Record::new(("LogStartLine", "Q011"), self.nodes, text, data).transient()
    }

    fn node_finished(&self, result: &NodeResult, index: usize, total: usize) -> Record {
        use NodeStatus::*;
        let node = &*result.node;
        let status = result.status;
        let seconds = result.elapsed.as_secs_f64();
        let description = describe(node);
        let mut data = self.facts(|| {
            json!({
                "index": index, "total": total, "status": status.as_str(),
                "execution_time": seconds,
                "node_info": node_info(node, status.as_str(), Some(result)),
            })
        });
        if status == Skipped {
            let text = self.line(
                index,
                total,
                &format!("SKIP {}", skipped(node)),
                "SKIP",
                None,
            );
            let text = text.replacen("[SKIP]", &format!("[{YELLOW}SKIP{YELLOW:#}]"), 1);
            data["resource_type"] = node.resource_type.as_str().into();
            data["schema"] = node.schema.as_str().into();
            data["node_name"] = node.name.as_str().into();
            return Record::new(("SkippingDetails", "Q034"), self.nodes, text, data)
                .on(&result.thread);
        }
        let says = |fallback: &str| {
            let message = result.message.as_deref().filter(|text| !text.is_empty());
            message.unwrap_or(fallback).to_owned()
        };
        let count = result.failures.unwrap_or_default();
        let (event, words, mark) = match (node.resource_type, status) {
            (ResourceType::Test, Error) => (
                TEST_RESULT,
                format!("ERROR {}", node.name),
                "ERROR".to_owned(),
            ),
            (ResourceType::Test, Fail | Warn) => {
                let mark = format!("{} {count}", status.as_str().to_uppercase());
                (TEST_RESULT, format!("{mark} {}", node.name), mark)
            }
            (ResourceType::Test, _) => (
                TEST_RESULT,
                format!("PASS {}", node.name),
                "PASS".to_owned(),
            ),
            (ResourceType::Seed, Error) => {
                let words = format!("ERROR loading {description}");
                (("LogSeedResult", "Q016"), words, "ERROR".to_owned())
            }
            (ResourceType::Seed, _) => {
                let words = format!("OK loaded {description}");
                (("LogSeedResult", "Q016"), words, says("OK"))
            }
            (ResourceType::Operation, _) => {
                let mark = if status == Error { "ERROR" } else { "OK" };
                let words = format!("{mark} hook: {}", hook_name(node));
                (("LogHookEndLine", "Q033"), words, mark.to_owned())
            }
            (ResourceType::Source, Error) => {
                let words = format!("ERROR exporting to {}", node.name);
                (("LogModelResult", "Q012"), words, "ERROR".to_owned())
            }
            (ResourceType::Source, _) => {
                let words = format!("OK exported to {}", node.name);
                (("LogModelResult", "Q012"), words, says("OK"))
            }
            (_, NoOp) => {
                let words = format!("NO-OP {description}");
                (("LogNodeNoOpResult", "Q019"), words, "NO-OP".to_owned())
            }
            (_, PartialSuccess) => {
                let words = format!("PARTIALLY created {description}");
                // What was wrong with partitions is told at the end.
                let mark = match node.followed {
                    true => "PARTIAL SUCCESS".to_owned(),
                    false => says("PARTIAL SUCCESS"),
                };
                (("LogModelResult", "Q012"), words, mark)
            }
            (_, Error | Fail) => {
                let words = format!("ERROR creating {description}");
                (("LogModelResult", "Q012"), words, "ERROR".to_owned())
            }
            _ => {
                let words = format!("OK created {description}");
                (("LogModelResult", "Q012"), words, says("OK"))
            }
        };
        match node.resource_type {
            _ if self.facts == Facts::LeftOut => {}
            ResourceType::Test => {
                data["name"] = node.name.as_str().into();
                data["num_models"] = total.into();
                data["num_failures"] = count.into();
                let attached = node.attached_to.as_ref().map_or("", UniqueId::as_str);
                data["attached_node"] = attached.into();
            }
            ResourceType::Seed => {
                data["relation"] = node.alias.as_str().into();
                data["schema"] = node.schema.as_str().into();
                data["result_message"] = mark.as_str().into();
            }
            ResourceType::Operation => data["statement"] = hook_name(node).into(),
            _ => {
                data["description"] = description.into();
                data["status"] = mark.as_str().into();
            }
        }
        let (style, level) = match status {
            Error | Fail => (RED, Level::Error),
            Warn => (YELLOW, Level::Warn),
            Skipped | NoOp | PartialSuccess => (YELLOW, self.nodes),
            Success | Pass => (GREEN, self.nodes),
        };
        let mark = format!("{style}{mark}{style:#}");
        let text = self.line(index, total, &words, &mark, Some(seconds));
        Record::new(event, level.min(self.loudest()), text, data).on(&result.thread)
    }

    fn batch_started(&self, batch: &BatchFacts) -> Record {
        let description = describe_batch(batch);
        let words = format!("START {description}");
        let text = self.line(batch.index, batch.total, &words, "RUN", None);
        let data = self.facts(|| {
            json!({
                "batch_index": batch.index, "total_batches": batch.total,
                "description": description, "node_info": node_info(&batch.node, "started", None),
            })
        });
        let text = format!("Batch {text}");
        // Of partitions the end alone is told.
        let level = match batch.parts {
            Some(_) => Level::Debug,
            None => self.nodes,
        };
        Record::new(("LogStartBatch", "Q045"), level, text, data).transient()
    }

    fn batch_finished(&self, batch: &BatchFacts, result: &NodeResult) -> Vec<Record> {
        let description = describe_batch(batch);
        let status = result.status;
        let seconds = result.elapsed.as_secs_f64();
        let (words, style, level) = match status {
            NodeStatus::Skipped => ("SKIP", YELLOW, self.nodes),
            status if status.is_failure() => ("ERROR creating", RED, Level::Error),
            _ => ("OK created", GREEN, self.nodes),
        };
        let said = match status {
            NodeStatus::Success => result.message.as_deref().unwrap_or("OK").to_owned(),
            status => status.as_str().to_uppercase(),
        };
        let (text, level) = match &batch.parts {
            Some(parts) => {
                // What has no partitions has one batch, and the node's own line tells of it.
                let level = parts.unit.map_or(Level::Debug, |_| level);
                (self.partitions_line(batch, parts, style, seconds), level)
            }
            None => {
                let mark = format!("{style}{said}{style:#}");
                let words = format!("{words} {description}");
                let text = self.line(batch.index, batch.total, &words, &mark, Some(seconds));
                (format!("Batch {text}"), level)
            }
        };
        let info = || node_info(&batch.node, status.as_str(), Some(result));
        let data = self.facts(|| {
            let status = match status {
                NodeStatus::Success => said.as_str(),
                status => status.as_str(),
            };
            json!({
                "batch_index": batch.index, "total_batches": batch.total,
                "description": description, "status": status, "execution_time": seconds,
                "node_info": info(),
            })
        });
        let level = level.min(self.loudest());
        let ended = Record::new(("LogBatchResult", "Q046"), level, text, data);
        let mut records = vec![ended.on(&result.thread)];
        if let Some(diagnostic) = result.diagnostic.as_ref().filter(|_| status.is_failure()) {
            // The run's end explains the first; the log has each.
            let id = batch.node.unique_id.as_str();
            let text = format!(
                "Unhandled error while executing {id}\n{}",
                diagnostic.render(true)
            );
            let data = self.facts(
                || json!({"unique_id": id, "exc": diagnostic.render(false), "node_info": info()}),
            );
            let failed = Record::new(("GenericExceptionOnRun", "W004"), Level::Debug, text, data);
            records.insert(0, failed.on(&result.thread));
        }
        records
    }

    /// `2026-11-01 .. 2026-11-14 of main.orders: 14 of 14 days ......... [291 rows in 0.06s]`.
    fn partitions_line(
        &self,
        batch: &BatchFacts,
        parts: &PartFacts,
        style: Style,
        seconds: f64,
    ) -> String {
        let node = &batch.node;
        let place = node.short_relation.as_deref().unwrap_or(&node.name);
        let unit = parts.unit.unwrap_or("partition");
        let (done, total) = (batch.index - 1 + parts.count, batch.total);
        let plural = if total == 1 { "" } else { "s" };
        let words = format!(
            "{} of {place}: {done} of {total} {unit}{plural} ",
            batch.label
        );
        let number = |count: usize, word: &str| match count {
            1 if parts.count == 1 => word.to_uppercase(),
            count => format!("{count} {word}"),
        };
        let mut said = Vec::new();
        if parts.refused > 0 {
            said.push(number(parts.refused, "refused"));
        }
        if parts.failed > 0 {
            said.push(number(parts.failed, "failed"));
        }
        if parts.built > 0 {
            said.push(match parts.rows {
                1 => "1 row".to_owned(),
                rows => format!("{rows} rows"),
            });
        }
        if said.is_empty() {
            said.push("judged anew".to_owned());
        }
        let dots = self.width.saturating_sub(words.chars().count());
        let dots = ".".repeat(dots);
        let said = said.join(", ");
        format!("{words}{dots} [{style}{said}{style:#} in {seconds:.2}s]")
    }

    /// The facts of a record, if anyone shows them.
    fn facts(&self, make: impl FnOnce() -> Json) -> Json {
        match self.facts {
            Facts::Kept => make(),
            Facts::LeftOut => Json::Null,
        }
    }

    fn statement(
        &self,
        node: Option<&UniqueId>,
        sql: &str,
        elapsed: std::time::Duration,
    ) -> Vec<Record> {
        let connection = node.map_or("master", UniqueId::as_str);
        let seconds = elapsed.as_secs_f64();
        vec![
            Record::new(
                ("SQLQuery", "E016"),
                Level::Debug,
                format!("On {connection}: {sql}"),
                self.facts(|| json!({"conn_name": connection, "sql": sql})),
            ),
            Record::new(
                ("SQLQueryStatus", "E017"),
                Level::Debug,
                format!("SQL status: done in {seconds:.3} seconds"),
                self.facts(|| json!({"status": "done", "elapsed": seconds, "query_id": ""})),
            ),
        ]
    }

    /// In `compile` and `show` an error is told by the end of the run, once.
    fn loudest(&self) -> Level {
        match self.nodes {
            Level::Debug => Level::Debug,
            _ => Level::Error,
        }
    }

    /// dbt's line: `3 of 11 OK created sql table model main.orders ....... [OK in 0.10s]`.
    fn line(
        &self,
        index: usize,
        total: usize,
        words: &str,
        mark: &str,
        seconds: Option<f64>,
    ) -> String {
        let mut text = format!("{index} of {total} {words} ");
        let dots = self.width.saturating_sub(text.chars().count());
        text.extend(std::iter::repeat_n('.', dots));
        let timing = seconds.map(|seconds| format!(" in {seconds:.2}s"));
        let timing = timing.as_deref().unwrap_or_default();
        write!(text, " [{mark}{timing}]").expect("a string takes all that is written");
        text
    }
}

const TEST_RESULT: (&str, &str) = ("LogTestResult", "Q007");

/// dbt's words for a node that runs, such as `sql table model main.orders`.
fn describe(node: &NodeFacts) -> String {
    let place = match &node.short_relation {
        Some(relation) => relation.clone(),
        None if node.schema.is_empty() => node.alias.clone(),
        None => format!("{}.{}", node.schema, node.alias),
    };
    match node.resource_type {
        ResourceType::Model if node.microbatch => format!("sql microbatch model {place}"),
        ResourceType::Model => format!("sql {} model {place}", node.materialization),
        ResourceType::Seed => format!("seed file {place}"),
        ResourceType::Source => format!("export to {}", node.name),
        ResourceType::Analysis => format!("sql analysis {}", node.name),
        kind => format!("{} {}", kind.as_str().replace('_', " "), node.name),
    }
}

fn describe_batch(batch: &BatchFacts) -> String {
    let node = &batch.node;
    let place = node.short_relation.as_deref().unwrap_or(&node.name);
    format!("batch {} of {place}", batch.label)
}

fn skipped(node: &NodeFacts) -> String {
    match node.resource_type {
        ResourceType::Model | ResourceType::Seed => {
            format!("relation {}.{}", node.schema, node.name)
        }
        kind => format!("{} {}", kind.as_str(), node.name),
    }
}

/// dbt's name of a hook: `shop.on-run-start.0` for the operation `shop-on-run-start-0`.
fn hook_name(node: &NodeFacts) -> String {
    let mut parts = node.unique_id.as_str().splitn(3, '.');
    let package = parts.nth(1).unwrap_or_default();
    let own = node
        .name
        .strip_prefix(package)
        .and_then(|rest| rest.strip_prefix('-'))
        .unwrap_or(&node.name);
    match own.rsplit_once('-') {
        Some((hook, number)) => format!("{package}.{hook}.{number}"),
        None => format!("{package}.{own}"),
    }
}

/// What dbt's events say of their node.
pub(super) fn node_info(node: &NodeFacts, status: &str, result: Option<&NodeResult>) -> Json {
    let time = |at: Option<std::time::SystemTime>| {
        at.and_then(|at| Timestamp::try_from(at).ok())
            .map(|at| at.strftime("%Y-%m-%dT%H:%M:%S.%6f").to_string())
            .unwrap_or_default()
    };
    let phases = result.map(|result| (result.compile.or(result.execute), result.execute));
    let (first, last) = phases.unwrap_or_default();
    json!({
        "materialized": node.materialization,
        "meta": {},
        "node_checksum": "",
        "node_finished_at": time(last.map(|(_, end)| end)),
        "node_name": node.name,
        "node_path": node.path,
        "node_relation": {
            "alias": node.alias,
            "database": node.database,
            "relation_name": node.relation.as_deref().unwrap_or_default(),
            "schema": node.schema,
        },
        "node_started_at": time(first.map(|(start, _)| start)),
        "node_status": status,
        "resource_type": node.resource_type.as_str(),
        "unique_id": node.unique_id.as_str(),
    })
}

fn template_message(node: Option<&UniqueId>, message: &TemplateMessage) -> Record {
    let said = |event, level, text: &str| {
        let node = node.map_or("", UniqueId::as_str);
        let data = json!({"msg": text, "node_info": {"unique_id": node}});
        Record::new(event, level, text, data)
    };
    match message {
        TemplateMessage::Log { text, info: true } => {
            said(("JinjaLogInfo", "I062"), Level::Info, text)
        }
        TemplateMessage::Log { text, info: false } => {
            said(("JinjaLogDebug", "I063"), Level::Debug, text)
        }
        TemplateMessage::Print(text) => {
            let mut record = said(("PrintEvent", "Z052"), Level::Info, text).to(Channel::Output);
            record.printed = true;
            record
        }
        TemplateMessage::Warning(diagnostic) => {
            let mut record = diagnosed(diagnostic);
            (record.name, record.code) = ("JinjaLogWarning", "I061");
            record.data["msg"] = diagnostic.message.as_str().into();
            record
        }
    }
}

fn diagnosed(diagnostic: &Diagnostic) -> Record {
    let event = match diagnostic.code {
        Code::UnknownPatch => ("NoNodeForYamlKey", "I058"),
        Code::EmptySelection => ("NoNodesSelected", "Q038"),
        Code::NoEventTime => ("MicrobatchModelNoEventTimeInputs", "I074"),
        Code::SequentialBatches => ("InvalidConcurrentBatchesConfig", "I075"),
        Code::UnbatchedStrategy => ("MicrobatchMacroOutsideOfBatchesDeprecation", "D020"),
        _ => ("Diagnostic", "D002"),
    };
    let level = if diagnostic.is_error() {
        Level::Error
    } else {
        Level::Warn
    };
    Record::new(event, level, diagnostic.render(true), facts(diagnostic))
}

/// A diagnostic as facts.
pub(super) fn facts(diagnostic: &Diagnostic) -> Json {
    let mut data = json!({
        "code": diagnostic.code.as_str(),
        "message": diagnostic.message,
        "notes": diagnostic.notes,
        "help": diagnostic.help,
    });
    if let Some(label) = diagnostic.labels.first() {
        let (line, column) = label.span.start();
        data["path"] = label.span.file.path.as_str().into();
        data["line"] = line.into();
        data["column"] = column.into();
    }
    data
}

/// dbt says `Encountered an error:`, then the kind, then the rest.
fn fatal(diagnostics: &[std::sync::Arc<Diagnostic>]) -> Record {
    let kind = diagnostics
        .iter()
        .find(|diagnostic| diagnostic.is_error())
        .map_or("Runtime Error", |diagnostic| diagnostic.code.kind());
    let rendered = |styled: bool| {
        let each = diagnostics
            .iter()
            .map(|diagnostic| diagnostic.render(styled));
        each.collect::<Vec<_>>().join("\n\n")
    };
    let data = json!({
        "exc": format!("{kind}\n{}", rendered(false)),
        "diagnostics": diagnostics.iter().map(|diagnostic| facts(diagnostic)).collect::<Vec<_>>(),
    });
    Record::new(
        ("MainEncounteredError", "Z002"),
        Level::Error,
        format!(
            "{RED}Encountered an error:{RED:#}\n{kind}\n{}",
            rendered(true)
        ),
        data,
    )
}

fn asked_for(output: &Output) -> Record {
    let record = match output {
        Output::Line(text) => Record::new(
            ("ListCmdOut", "Z049"),
            Level::Info,
            text,
            json!({"msg": text}),
        ),
        Output::Text(text) => Record::new(
            ("DebugCmdOut", "Z047"),
            Level::Info,
            text,
            json!({"msg": text}),
        ),
        Output::Preview { node, text, json } => {
            let said = match (json, node) {
                (true, _) => text.clone(),
                (false, Some(node)) => format!("Previewing node '{node}':\n{text}"),
                (false, None) => format!("Previewing inline node:\n{text}"),
            };
            let data = json!({
                "node_name": node.as_deref().unwrap_or("inline_query"),
                "is_inline": node.is_none(),
                "preview": text,
                "output_format": if *json { "json" } else { "text" },
            });
            Record::new(("ShowNode", "Q041"), Level::Info, said, data)
        }
        Output::Compiled { node, text, json } => {
            let said = match (json, node) {
                (true, _) => text.clone(),
                (false, Some(node)) => format!("Compiled node '{node}' is:\n{text}"),
                (false, None) => format!("Compiled inline node is:\n{text}"),
            };
            let data = json!({
                "node_name": node.as_deref().unwrap_or("inline_query"),
                "is_inline": node.is_none(),
                "compiled": text,
                "output_format": if *json { "json" } else { "text" },
            });
            Record::new(("CompiledNode", "Q042"), Level::Info, said, data)
        }
    };
    record.to(Channel::Output)
}
