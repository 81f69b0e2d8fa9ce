//! A plan: what would be built and why.

use std::fmt::Write;

use serde_json::{Value as Json, json};

use super::{BOLD, CYAN, DIM, GREEN, YELLOW, count, moment, styled};
use crate::planner::report::{Batches, Held, PlanReport, PlanStep};

/// The column in which reasons start, behind partitions and certainty.
const SPAN: usize = 26;
const CERTAINTY: usize = 12;

/// A plan as JSON.
pub fn to_json(report: &PlanReport) -> Json {
    let held = |held: &[Held]| -> Vec<Json> {
        let held = held.iter();
        held.map(|held| {
            json!({
                "node": held.node.as_str(),
                "partitions": held.partitions,
                "reason": held.reason,
            })
        })
        .collect()
    };
    let steps: Vec<Json> = report
        .steps
        .iter()
        .map(|step| {
            json!({
                "node": step.node.as_str(),
                "partitions": step.partitions,
                "certain": step.certain,
                "reasons": step.reasons(),
                "statements": step.statements,
            })
        })
        .collect();
    json!({
        "as_of": report.as_of.to_string(),
        "steps": steps,
        "waiting": held(&report.waiting),
        "frozen": held(&report.frozen),
    })
}

/// A plan as text; of a project where the engine follows nothing, `plain` says so.
pub fn to_text(report: &PlanReport, plain: bool) -> String {
    let mut text = format!("{BOLD}Plan as of {}{BOLD:#}\n", moment(report.as_of));
    if plain {
        text.push_str(&plain_text(report));
        return text;
    }
    let mut at = 0;
    while at < report.steps.len() {
        let node = &report.steps[at].node;
        let same = report.steps[at..].iter().take_while(|s| s.node == *node);
        let to = at + same.count();
        add_node(&mut text, &report.steps[at..to]);
        at = to;
    }
    add_held(&mut text, "Waiting", "waits for", &report.waiting, YELLOW);
    add_held(&mut text, "Frozen", "", &report.frozen, CYAN);
    for warning in &report.warnings {
        let _ = writeln!(text, "\n{YELLOW}warning{YELLOW:#}: {warning}");
    }
    let _ = write!(text, "\n{}", summary(report));
    text
}

/// Under dbt's rules there is nothing to explain.
fn plain_text(report: &PlanReport) -> String {
    let mut text = String::new();
    if report.steps.is_empty() {
        return text + "\nnothing is selected that would run";
    }
    text.push_str(
        "\nnothing here is partitioned or `rebuild: when_stale`, so dbt's rules apply: a run builds each of these\n",
    );
    for step in &report.steps {
        let _ = write!(text, "\n  {}", step.name);
    }
    let _ = write!(text, "\n\n{} to build", count(report.steps.len(), "node"));
    text
}

fn add_node(text: &mut String, steps: &[PlanStep]) {
    let Some(first) = steps.first() else {
        return;
    };
    let partitions: usize = steps.iter().map(|step| step.partitions.len()).sum();
    let statements: usize = steps.iter().map(|step| step.statements).sum();
    let unit = first.unit.map_or("partition", |unit| unit.as_str());
    let shape = match &first.batches {
        Batches::Whole => "built as a whole".to_owned(),
        Batches::Chain if partitions > 1 => format!(
            "a chain of {}, one after the other, since each reads the one before",
            count(partitions, unit)
        ),
        Batches::Chain => format!(
            "{} in 1 statement; it reads the one before",
            count(partitions, unit)
        ),
        Batches::Together(_) if statements == 1 => {
            format!("{} in 1 statement", count(partitions, unit))
        }
        Batches::Together(most) => format!(
            "{} in {}, at most {most} together",
            count(partitions, unit),
            count(statements, "statement")
        ),
        Batches::OneByOne(_) if partitions == 1 => {
            format!("{} in 1 statement", count(partitions, unit))
        }
        Batches::OneByOne(reason) => format!(
            "{} in {}, one by one: {reason}",
            count(partitions, unit),
            count(statements, "statement")
        ),
    };
    let _ = writeln!(
        text,
        "\n{}  {}",
        styled(BOLD, &first.name),
        styled(DIM, shape)
    );
    let mut lines: Vec<(&str, bool, &[String])> = Vec::new();
    for step in steps {
        let groups = step.groups.iter();
        lines.extend(groups.map(|group| (group.span.as_str(), step.certain, &group.reasons[..])));
    }
    lines.sort_by_key(|(span, ..)| *span);
    for (span, certain, reasons) in lines {
        let (word, style) = match certain {
            true => ("certain", GREEN),
            false => ("if changed", DIM),
        };
        let word = styled(style, format!("{word:<CERTAINTY$}"));
        let mut lead = format!("  {span:<SPAN$}{word}");
        let blank = " ".repeat(2 + SPAN + CERTAINTY);
        for reason in reasons {
            let _ = writeln!(text, "{lead}{reason}");
            lead.clone_from(&blank);
        }
    }
}

fn add_held(text: &mut String, title: &str, verb: &str, held: &[Held], style: anstyle::Style) {
    if held.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{}", styled(style, title));
    let name = |held: &Held| match held.span.as_str() {
        "all" => held.name.clone(),
        span => format!("{} {span}", held.name),
    };
    let width = held.iter().map(|held| name(held).chars().count()).max();
    let width = width.unwrap_or(0).max(SPAN - 2);
    let space = if verb.is_empty() { "" } else { " " };
    for held in held {
        let _ = writeln!(
            text,
            "  {:<width$}  {verb}{space}{}",
            name(held),
            held.reason
        );
    }
}

fn summary(report: &PlanReport) -> String {
    let partitions = |held: &[Held]| -> usize { held.iter().map(|h| h.partitions.len()).sum() };
    let (waiting, frozen) = (partitions(&report.waiting), partitions(&report.frozen));
    let total = |certain: bool| -> usize {
        let steps = report.steps.iter().filter(|step| step.certain == certain);
        steps.map(|step| step.partitions.len()).sum()
    };
    let (sure, unsure) = (total(true), total(false));
    let mut parts = Vec::new();
    if sure + unsure == 0 {
        parts.push("nothing to build".to_owned());
    } else {
        let mut nodes: Vec<&str> = report.steps.iter().map(|step| step.node.as_str()).collect();
        nodes.dedup();
        let statements = report.steps.iter().map(|step| step.statements).sum();
        parts.push(format!(
            "{} of {} in {}",
            count(sure + unsure, "partition"),
            count(nodes.len(), "node"),
            count(statements, "statement")
        ));
        parts.push(match (sure, unsure) {
            (_, 0) => "all certain".to_owned(),
            (0, _) => "all only if what they read turns out changed".to_owned(),
            (sure, unsure) => {
                format!("{sure} certain, {unsure} only if what they read turns out changed")
            }
        });
    }
    if waiting > 0 {
        let verb = if waiting == 1 { "waits" } else { "wait" };
        parts.push(format!("{} {verb}", count(waiting, "partition")));
    }
    if frozen > 0 {
        parts.push(format!("{frozen} frozen"));
    }
    if report.fresh > 0 {
        let verb = if report.fresh == 1 { "is" } else { "are" };
        parts.push(format!("{} {verb} fresh", count(report.fresh, "node")));
    }
    parts.join("; ")
}
