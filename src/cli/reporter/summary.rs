//! The end of a run in dbt's words: what was run, what failed and why, and the counts.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use serde_json::json;

use super::Level;
use super::record::{GREEN, RED, Record, YELLOW, facts, node_info};
use crate::executor::event::{NodeResult, NodeStatus};
use crate::manifest::ResourceType;

/// The records of a run's end; commands whose node lines are quiet only tell what failed.
pub(super) fn records(
    results: &[Arc<NodeResult>],
    elapsed: Duration,
    cancelled: bool,
    nodes: Level,
) -> Vec<Record> {
    let failed = |result: &&Arc<NodeResult>| result.status.is_failure();
    let errors: Vec<&Arc<NodeResult>> = results.iter().filter(failed).collect();
    let warnings: Vec<&Arc<NodeResult>> = results
        .iter()
        .filter(|result| result.status == NodeStatus::Warn)
        .collect();
    let mut records = Vec::new();
    if results.is_empty() && !cancelled {
        let text = "Nothing to do. Try checking your model configs and model specification args";
        return vec![Record::new(
            ("NothingToDo", "Q035"),
            Level::Warn,
            text,
            json!({}),
        )];
    }
    if nodes == Level::Info {
        records.push(Record::blank());
        records.push(finished_running(results, elapsed));
        records.push(Record::blank());
        let partial = NodeStatus::PartialSuccess;
        let partial = errors.iter().filter(|result| result.status == partial);
        let partial = partial.count();
        let failed = errors.len() - partial;
        let waits = results.iter().any(|result| !result.waiting.is_empty());
        records.push(verdict(failed, partial, warnings.len(), cancelled, waits));
    }
    for result in errors {
        explain(result, &mut records);
    }
    for result in warnings {
        explain(result, &mut records);
    }
    for result in results {
        if let (NodeStatus::Skipped, Some(message)) = (result.status, &result.message) {
            let data = json!({"msg": message});
            let text = format!("  {message}");
            records.push(Record::new(
                ("RunResultError", "Z024"),
                Level::Debug,
                text,
                data,
            ));
        }
    }
    if nodes == Level::Info {
        partitions(results, &mut records);
        records.push(Record::blank());
        records.push(counts(results));
    }
    records
}

/// At most so many partitions that wait, or reasons to skip, are named.
const NAMED: usize = 10;

/// What became of partitions, where there are any: what was fresh, built, refused, and what waits.
fn partitions(results: &[Arc<NodeResult>], records: &mut Vec<Record>) {
    let mut say = |level: Level, text: String| {
        let data = json!({"msg": text});
        records.push(Record::new(("Note", "Z050"), level, text, data));
    };
    let fresh = results
        .iter()
        .filter(|result| result.status == NodeStatus::NoOp);
    let is_test = |result: &&Arc<NodeResult>| result.node.resource_type == ResourceType::Test;
    let (tests, relations): (Vec<_>, Vec<_>) = fresh.partition(is_test);
    let followed = relations.iter().filter(|result| result.node.followed);
    let mut kinds: IndexMap<&str, usize> = IndexMap::new();
    for result in followed {
        *kinds.entry(result.node.resource_type.as_str()).or_default() += 1;
    }
    if !tests.is_empty() {
        kinds.insert("test", tests.len());
    }
    let total: usize = kinds.values().sum();
    let told: Vec<String> = kinds
        .iter()
        .map(|(kind, count)| plural(*count, kind))
        .collect();
    let mut lines = Vec::new();
    if total > 0 {
        let verb = if total == 1 { "was" } else { "were" };
        lines.push((Level::Info, format!("{} {verb} fresh", told.join(" and "))));
    }
    let batches = results
        .iter()
        .filter(|result| result.node.followed)
        .filter_map(|result| result.batch_results.as_ref());
    let (mut built, mut failed, mut models) = (0, 0, 0);
    for batch in batches {
        built += batch.successful.len();
        failed += batch.failed.len();
        models += 1;
    }
    if built + failed > 0 {
        let mut text = format!(
            "{} of {} built",
            plural(built, "partition"),
            plural(models, "model")
        );
        if failed > 0 {
            text.push_str(&format!(
                "; {RED}{failed} refused or failed{RED:#}, and what was there before stays"
            ));
        }
        lines.push((Level::Info, text));
    }
    let idle: Vec<&String> = results
        .iter()
        .filter_map(|result| result.lacks.as_ref())
        .collect();
    if !idle.is_empty() {
        let verb = if idle.len() == 1 { "was" } else { "were" };
        let text = plural(idle.len(), "node");
        let text = format!("{text} {verb} skipped, since what they read is not there yet:");
        lines.push((Level::Info, text));
        let reasons: BTreeSet<&String> = idle.into_iter().collect();
        let reasons: Vec<&String> = reasons.into_iter().collect();
        name_some(&reasons, Level::Info, &mut lines);
    }
    let waiting: Vec<&String> = results.iter().flat_map(|result| &result.waiting).collect();
    if !waiting.is_empty() {
        let verb = if waiting.len() == 1 { "waits" } else { "wait" };
        let text = plural(waiting.len(), "partition");
        lines.push((Level::Warn, format!("{YELLOW}{text} {verb}:{YELLOW:#}")));
        name_some(&waiting, Level::Warn, &mut lines);
    }
    if !lines.is_empty() {
        say(Level::Info, String::new());
    }
    for (level, text) in lines {
        say(level, text);
    }
}

/// Names the first few of what was counted.
fn name_some(texts: &[&String], level: Level, lines: &mut Vec<(Level, String)>) {
    let named = texts.iter().take(NAMED);
    lines.extend(named.map(|text| (level, format!("  {text}"))));
    if texts.len() > NAMED {
        lines.push((level, format!("  and {} more", texts.len() - NAMED)));
    }
}

fn finished_running(results: &[Arc<NodeResult>], elapsed: Duration) -> Record {
    let mut kinds: IndexMap<String, usize> = IndexMap::new();
    for result in results {
        let node = &result.node;
        let kind = match node.resource_type {
            ResourceType::Model => format!("{} model", node.materialization),
            ResourceType::Operation => "project hook".to_owned(),
            ResourceType::Test => "data test".to_owned(),
            ResourceType::Source => "export".to_owned(),
            kind => kind.as_str().replace('_', " "),
        };
        *kinds.entry(kind).or_default() += 1;
    }
    kinds.sort_unstable_keys();
    let line: Vec<String> = kinds
        .iter()
        .map(|(kind, count)| plural(*count, kind))
        .collect();
    let line = line.join(", ");
    let seconds = elapsed.as_secs_f64();
    let (hours, rest) = (elapsed.as_secs() / 3600, seconds % 3600.0);
    let took = format!(
        " in {hours} hours {} minutes and {:.2} seconds",
        (rest / 60.0) as u64,
        rest % 60.0
    );
    Record::new(
        ("FinishedRunningStats", "E047"),
        Level::Info,
        format!("Finished running {line}{took} ({seconds:.2}s)."),
        json!({"stat_line": line, "execution": took, "execution_time": seconds}),
    )
}

fn verdict(errors: usize, partial: usize, warnings: usize, cancelled: bool, waits: bool) -> Record {
    let warned = plural(warnings, "warning");
    let partly = match partial {
        1 => "1 partial success".to_owned(),
        count => format!("{count} partial successes"),
    };
    let text = if cancelled {
        format!("{YELLOW}Exited because of keyboard interrupt{YELLOW:#}")
    } else if errors > 0 {
        let failed = plural(errors, "error");
        format!("{RED}Completed with {failed}, {partly}, and {warned}:{RED:#}")
    } else if partial > 0 {
        format!("{YELLOW}Completed with {partly} and {warned}{YELLOW:#}")
    } else if warnings > 0 {
        format!("{YELLOW}Completed with {warned}:{YELLOW:#}")
    } else if waits {
        format!("{YELLOW}Completed, and partitions wait{YELLOW:#}")
    } else {
        format!("{GREEN}Completed successfully{GREEN:#}")
    };
    Record::new(
        ("EndOfRunSummary", "Z030"),
        Level::Info,
        text,
        json!({
            "keyboard_interrupt": cancelled, "num_errors": errors,
            "num_partial_success": partial, "num_warnings": warnings,
        }),
    )
}

/// What failed or warned: which node, why, and where the compiled SQL is.
fn explain(result: &NodeResult, records: &mut Vec<Record>) {
    let node = &*result.node;
    let is_warning = result.status == NodeStatus::Warn;
    let info = node_info(node, result.status.as_str(), Some(result));
    let resource = node.resource_type.as_str();
    let (event, level, style, word) = if is_warning {
        (("RunResultWarning", "Z021"), Level::Warn, YELLOW, "Warning")
    } else {
        (("RunResultFailure", "Z022"), Level::Error, RED, "Failure")
    };
    let mut data = json!({
        "node_name": node.name, "path": node.path, "resource_type": resource, "node_info": info,
    });
    let text = format!(
        "{style}{word} in {resource} {} ({}){style:#}",
        node.name, node.path
    );
    records.push(Record::blank());
    records.push(Record::new(event, level, text, data.clone()));

    let message = result.message.as_deref().unwrap_or_default();
    let event = match (is_warning, message) {
        (true, _) => ("RunResultWarningMessage", "Z046"),
        (false, "") => ("RunResultErrorNoMessage", "Z025"),
        (false, _) => ("RunResultError", "Z024"),
    };
    data = json!({"msg": message, "node_info": data["node_info"]});
    let text = match &result.diagnostic {
        Some(diagnostic) => {
            data["diagnostic"] = facts(diagnostic);
            // dbt's own first line, which other tools look for, and then what we know.
            let rendered = indent(&diagnostic.render(true));
            match message
                .lines()
                .next()
                .filter(|line| line.contains(" Error in "))
            {
                Some(first) => format!("  {first}\n{rendered}"),
                None => rendered,
            }
        }
        None if message.is_empty() => format!("  Status: {}", result.status.as_str()),
        None => indent(message),
    };
    records.push(Record::new(event, level, text, data.clone()));

    if let Some(path) = &result.compiled_path {
        records.push(Record::blank());
        records.push(Record::new(
            ("SQLCompiledPath", "Z026"),
            Level::Info,
            format!("  compiled code at {path}"),
            json!({"path": path, "node_info": data["node_info"]}),
        ));
    }
    let is_test = node.resource_type == ResourceType::Test;
    if let Some(relation) = node.relation.as_deref().filter(|_| is_test) {
        let query = format!("select * from {relation}");
        let border = "-".repeat(query.chars().count());
        records.push(Record::blank());
        records.push(Record::new(
            ("CheckNodeTestFailure", "Z027"),
            Level::Info,
            format!("  See test failures:\n  {border}\n  {query}\n  {border}"),
            json!({"relation_name": relation, "node_info": data["node_info"]}),
        ));
    }
}

fn counts(results: &[Arc<NodeResult>]) -> Record {
    let count = |wanted: &[NodeStatus]| {
        let results = results.iter();
        results
            .filter(|result| wanted.contains(&result.status))
            .count()
    };
    let pass = count(&[NodeStatus::Success, NodeStatus::Pass]);
    let warn = count(&[NodeStatus::Warn]);
    let error = count(&[
        NodeStatus::Error,
        NodeStatus::Fail,
        NodeStatus::PartialSuccess,
    ]);
    let skip = count(&[NodeStatus::Skipped]);
    let noop = count(&[NodeStatus::NoOp]);
    let total = results.len();
    Record::new(
        ("StatsLine", "Z023"),
        Level::Info,
        format!(
            "Done. PASS={pass} WARN={warn} ERROR={error} SKIP={skip} NO-OP={noop} TOTAL={total}"
        ),
        json!({"stats": {
            "error": error, "noop": noop, "pass": pass, "skip": skip, "total": total, "warn": warn,
        }}),
    )
}

fn plural(count: usize, word: &str) -> String {
    match (count, word.strip_suffix("sis")) {
        (1, _) => format!("1 {word}"),
        (_, Some(stem)) => format!("{count} {stem}ses"),
        (_, None) => format!("{count} {word}s"),
    }
}

fn indent(text: &str) -> String {
    let lines = text.lines().map(|line| format!("  {line}"));
    lines.collect::<Vec<_>>().join("\n")
}
