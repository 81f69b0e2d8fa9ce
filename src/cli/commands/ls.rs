//! `ls`: the selected nodes, a line each.

use serde_json::{Map, Value as Json};

use super::super::args::{ListOutput, LsArgs};
use super::super::pipeline::{self, Parsed, TemplateFlags};
use super::{CommandResult, Invocation, Outcome};
use crate::executor::event::{self, Event};
use crate::manifest::{Node, ResourceType, Source, UniqueId, json};

/// The keys that dbt prints unless `--output-keys` names others.
const KEYS: &[&str] = &[
    "alias",
    "name",
    "package_name",
    "depends_on",
    "tags",
    "config",
    "resource_type",
    "source_name",
    "original_file_path",
    "unique_id",
];

/// `ls`.
///
/// # Errors
/// What is wrong with the user's input.
pub fn ls(invocation: &Invocation, args: LsArgs) -> CommandResult {
    let settings = &invocation.settings;
    let report = |event| invocation.report(event);
    let parsed = pipeline::parse(settings, TemplateFlags::default(), &report)?;
    pipeline::write_manifest(invocation, &parsed)?;
    let selected = pipeline::select(&parsed, settings, &args.select, &args.types, &[], &report)?;
    let mut lines: Vec<String> = selected
        .iter()
        .filter_map(|id| line(&parsed, id, &args))
        .collect();
    if args.output != ListOutput::Json {
        lines.sort();
    }
    for line in lines {
        invocation.report(Event::Output(event::Output::Line(line)));
    }
    parsed.leave();
    Ok(Outcome::Success)
}

fn line(parsed: &Parsed, id: &UniqueId, args: &LsArgs) -> Option<String> {
    let manifest = &parsed.project.manifest;
    if let Some(node) = manifest.nodes.get(id) {
        let listed = matches!(
            node.resource_type,
            ResourceType::Model | ResourceType::Seed | ResourceType::Test | ResourceType::Analysis
        );
        return listed.then(|| match args.output {
            ListOutput::Selector => node.fqn.join("."),
            ListOutput::Name => node.name.clone(),
            ListOutput::Path => node.original_path.clone(),
            ListOutput::Json => json_line(parsed.project.node_json(node), args, node_depends(node)),
        });
    }
    let source = manifest.sources.get(id)?;
    Some(match args.output {
        ListOutput::Selector => format!("source:{}", source.fqn.join(".")),
        ListOutput::Name => source_name(source),
        ListOutput::Path => source.original_path.clone(),
        ListOutput::Json => json_line(
            json::source_shape(source, parsed.project.facts.dialect),
            args,
            None,
        ),
    })
}

fn source_name(source: &Source) -> String {
    format!("{}.{}", source.source_name, source.name)
}

fn node_depends(node: &Node) -> Option<Json> {
    let nodes: Vec<&str> = node.depends_on.iter().map(UniqueId::as_str).collect();
    let macros: Vec<&str> = node
        .depends_on_macros
        .iter()
        .map(UniqueId::as_str)
        .collect();
    Some(serde_json::json!({ "macros": macros, "nodes": nodes }))
}

fn json_line(shape: Json, args: &LsArgs, depends_on: Option<Json>) -> String {
    let Json::Object(mut shape) = shape else {
        return shape.to_string();
    };
    if let Some(depends_on) = depends_on {
        shape.entry("depends_on").or_insert(depends_on);
    }
    let given: Vec<&str> = args
        .output_keys
        .iter()
        .flat_map(|keys| keys.split([' ', ',']))
        .filter(|key| !key.is_empty())
        .collect();
    let keys = if given.is_empty() { KEYS } else { &given };
    let chosen: Map<String, Json> = keys
        .iter()
        .filter_map(|key| shape.remove(*key).map(|value| ((*key).to_owned(), value)))
        .collect();
    Json::Object(chosen).to_string()
}
