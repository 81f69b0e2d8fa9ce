//! The configs of dbt's microbatch models, understood once all names are resolved.

use std::sync::Arc;

use serde_json::Value as Json;

use super::Project;
use super::connections::Views;
use super::files;
use super::partitions::of_microbatch;
use crate::diagnostic::{Code, Diagnostic, nearest};
use crate::manifest::{Manifest, Node, ResourceType, UniqueId};
use crate::microbatch::{self, BatchSize, Microbatch};
use crate::source::Span;

/// The macro that writes a batch; a project's own one has batches only if a flag says so.
const STRATEGY: &str = "get_incremental_microbatch_sql";

/// Gives each microbatch model its [`Microbatch`].
pub fn fill(views: &Views<'_>, manifest: &mut Manifest, diagnostics: &mut Vec<Diagnostic>) {
    let project = &views.main().project;
    let models: Vec<UniqueId> = manifest
        .nodes
        .values()
        .filter(|node| is_microbatch(node))
        .map(|node| node.unique_id.clone())
        .collect();
    let Some(first) = models.first() else {
        return;
    };
    if has_own_strategy(project) && !batches_own_strategy(project) {
        let message = format!("this project's own `{STRATEGY}` runs without batches");
        let help = "set `flags: {require_batched_execution_for_custom_microbatch_strategy: true}` in dbt_project.yml";
        let warning = Diagnostic::warning(Code::UnbatchedStrategy, message);
        diagnostics.push(warning.at(place(&manifest.nodes[first])).help(help));
        return;
    }
    let mut forced = Vec::new();
    for id in &models {
        let model = read(&manifest.nodes[id], diagnostics);
        let Some(model) = model else { continue };
        check_inputs(manifest, &manifest.nodes[id], diagnostics);
        let node = Arc::make_mut(&mut manifest.nodes[id]);
        // As dbt shows it: a date has become a time.
        let begin = microbatch::iso_local(model.begin).into();
        node.config.set.insert("begin".to_owned(), begin);
        let dialect = views.of(node.connection.as_ref()).project.target.dialect;
        if model.concurrent == Some(true) && !dialect.concurrent_batches {
            forced.push((dialect.name, place(node)));
        }
        if node.upkeep.when_stale {
            // It has opted in to the engine, which builds its batches when they are stale.
            node.upkeep.partitioning = Some(Arc::new(of_microbatch(&model)));
        }
        node.microbatch = Some(Arc::new(model));
    }
    let more = forced.len().saturating_sub(1);
    if let Some((dialect, place)) = forced.into_iter().next() {
        let message =
            format!("`concurrent_batches` is true, but {dialect} takes batches one after another");
        let mut warning = Diagnostic::warning(Code::SequentialBatches, message);
        if more > 0 {
            warning = warning.note(format!("and in {more} more places"));
        }
        diagnostics.push(warning.at(place));
    }
}

fn is_microbatch(node: &Node) -> bool {
    node.resource_type == ResourceType::Model
        && node.materialization() == "incremental"
        && node.config.text("incremental_strategy") == Some("microbatch")
}

fn has_own_strategy(project: &Project<'_>) -> bool {
    let mut macros = project.engine.macros().iter();
    macros.any(|found| {
        let mut packages = project.packages.iter();
        *found.name == *STRATEGY && packages.any(|own| own.project.name == found.package)
    })
}

fn batches_own_strategy(project: &Project<'_>) -> bool {
    let flag = "REQUIRE_BATCHED_EXECUTION_FOR_CUSTOM_MICROBATCH_STRATEGY";
    let set = project.facts.flags.get(flag).and_then(Json::as_bool);
    set.unwrap_or(false)
}

/// The word that made it a microbatch model, if the template says it; else its entry or its file.
fn place(node: &Node) -> Span {
    const WORD: &str = "microbatch";
    match (node.file.text.find(WORD), &node.patch_span) {
        (Some(at), _) => Span::new(&node.file, at..at + WORD.len()),
        (None, Some(span)) => span.clone(),
        (None, None) => files::place(node),
    }
}

/// Reads the configs of one model; everything that is wrong is told.
fn read(node: &Node, diagnostics: &mut Vec<Diagnostic>) -> Option<Microbatch> {
    let mut wrong = |message: String, help: String| {
        // dbt's words, which other tools look for.
        let message = format!(
            "the microbatch model `{}` must provide {message}",
            node.name
        );
        diagnostics.push(
            Diagnostic::error(Code::BadConfig, message)
                .at(place(node))
                .help(help),
        );
    };
    let event_time = match node.config.get("event_time") {
        Some(Json::String(name)) if !name.is_empty() => Some(name.clone()),
        None => {
            let help = "name the column that says when a row happened: `event_time='created_at'`";
            wrong("an 'event_time' config".to_owned(), help.to_owned());
            None
        }
        Some(other) => {
            let message = format!(
                "an 'event_time' config of type text, found {}",
                shown(other)
            );
            wrong(message, "name a column of the model".to_owned());
            None
        }
    };
    let begin = match node.config.get("begin") {
        None => {
            let help = "say where its first batch starts: `begin='2026-11-01'`";
            wrong("a 'begin' config".to_owned(), help.to_owned());
            None
        }
        Some(value) => {
            let begin = value.as_str().and_then(microbatch::parse_iso);
            if begin.is_none() {
                let message = format!(
                    "a 'begin' config that is a date or a time, found {}",
                    shown(value)
                );
                let help = "write it in ISO form: `2026-11-01` or `2026-11-01T06:00:00`";
                wrong(message, help.to_owned());
            }
            begin
        }
    };
    let sizes = BatchSize::ALL.iter().map(|size| size.as_str());
    let size = match node.config.get("batch_size") {
        None => {
            let help = format!("it is one of {}", listed(sizes));
            wrong("a 'batch_size' config".to_owned(), help);
            None
        }
        Some(value) => {
            let size = value.as_str().and_then(BatchSize::parse);
            if size.is_none() {
                let near = value.as_str().and_then(|word| nearest(word, sizes.clone()));
                let help = match near {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "write one of them".to_owned(),
                };
                let message = format!(
                    "a 'batch_size' config that is one of {}, found {}",
                    listed(sizes),
                    shown(value)
                );
                wrong(message, help);
            }
            size
        }
    };
    let lookback = match node.config.get("lookback") {
        None => Some(1),
        Some(value) => {
            let lookback = value.as_i64();
            if lookback.is_none() {
                let message = format!(
                    "a 'lookback' config that is a whole number, found {}",
                    shown(value)
                );
                let help = "write how many batches before the newest are built again: `lookback=1`";
                wrong(message, help.to_owned());
            }
            lookback
        }
    };
    // What is no truth value was refused where it was read.
    let concurrent = node
        .config
        .get("concurrent_batches")
        .and_then(Json::as_bool);
    Some(Microbatch {
        event_time: event_time?,
        size: size?,
        begin: begin?,
        lookback: lookback?,
        concurrent,
    })
}

/// Without an input that can be bounded, every batch holds every row.
fn check_inputs(manifest: &Manifest, node: &Node, diagnostics: &mut Vec<Diagnostic>) {
    let mut bounded = false;
    for id in &node.depends_on {
        let config = match (manifest.nodes.get(id), manifest.sources.get(id)) {
            (Some(input), _) => &input.config,
            (None, Some(source)) => &source.config,
            (None, None) => continue,
        };
        match config.get("event_time") {
            None => {}
            Some(Json::String(name)) => bounded |= !name.is_empty(),
            Some(other) => {
                let message = format!(
                    "the microbatch model `{}` reads `{id}`, whose `event_time` must be text, found {}",
                    node.name,
                    shown(other)
                );
                let error = Diagnostic::error(Code::BadConfig, message).at(place(node));
                diagnostics.push(error.help("name a column of that input"));
                bounded = true;
            }
        }
    }
    if !bounded {
        let message = format!(
            "the microbatch model `{}` reads nothing that has an `event_time`, so each batch reads all rows",
            node.name
        );
        let help = "give a model or source that it reads the config `event_time`";
        let warning = Diagnostic::warning(Code::NoEventTime, message);
        diagnostics.push(warning.at(place(node)).help(help));
    }
}

fn listed<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = words.map(|word| format!("`{word}`")).collect();
    quoted.join(", ")
}

fn shown(value: &Json) -> String {
    match value {
        Json::String(text) => format!("`{text}`"),
        Json::Array(_) => "a list".to_owned(),
        Json::Object(_) => "a mapping".to_owned(),
        other => format!("`{other}`"),
    }
}
