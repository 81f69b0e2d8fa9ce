//! The config `export`: a model whose rows become the files of a source.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Span;
use serde_json::Value as Json;

use super::connections::Views;
use super::files;
use crate::diagnostic::{Code, Diagnostic, nearest};
use crate::manifest::partitioning::{Gap, Kept};
use crate::manifest::{Export, ExportMode, Manifest, Node, ResourceType, Source, UniqueId};

/// The keys of the mapping.
const KEYS: [&str; 3] = ["to", "mode", "order_by"];

/// How long a table without partitions keeps its rows: `retention: 3 days`, `retention_field: created_at`.
pub fn kept(node: &Node, diagnostics: &mut Vec<Diagnostic>) -> Option<Kept> {
    const HELP: &str = "write `retention: 3 days`, and `retention_field`, the column that says when a row happened";
    let mut refuse = |message: String| {
        let message = format!("`{}`: {message}", node.name);
        let error = Diagnostic::error(Code::BadConfig, message).at(files::place(node));
        diagnostics.push(error.help(HELP));
    };
    let said = node.config.get("retention").filter(|said| !said.is_null());
    let field = node.config.text("retention_field");
    let Some(said) = said else {
        if field.is_some() {
            refuse("`retention_field` says when, and no `retention` says how long".to_owned());
        }
        return None;
    };
    let days = said.as_str().and_then(|text| {
        let span: Span = text.parse().ok()?;
        let days = span.get_days();
        (days > 0 && span == Span::new().days(days).fieldwise()).then_some(days)
    });
    match (days, field) {
        (Some(days), Some(field)) => Some(Kept {
            field: field.to_owned(),
            days,
        }),
        (None, _) => {
            refuse(format!("`retention` is {said}, which is no number of days"));
            None
        }
        (_, None) => {
            refuse("`retention` has no `retention_field`".to_owned());
            None
        }
    }
}

/// Finds the exports of enabled models; everything that is wrong with them is told.
pub fn fill(views: &Views<'_>, manifest: &mut Manifest, diagnostics: &mut Vec<Diagnostic>) {
    let mut exports: Vec<Export> = Vec::new();
    for node in manifest.nodes.values() {
        let Some(said) = node.config.get("export").filter(|said| !said.is_null()) else {
            continue;
        };
        let mut reader = Reader {
            node,
            wrong: Vec::new(),
        };
        let export = reader.read(views, manifest, said);
        diagnostics.extend(reader.wrong);
        let Some(export) = export else { continue };
        if let Some(first) = exports.iter().find(|first| first.source == export.source) {
            let message = format!(
                "`{}` and `{}` both write the files of `{}`",
                first.model, export.model, export.source
            );
            let error = Diagnostic::error(Code::DuplicateName, message).at(export.span.clone());
            let error = error.label(first.span.clone(), "first here");
            diagnostics.push(error.help("give each a source of its own"));
            continue;
        }
        exports.push(export);
    }
    exports.sort_by(|one, other| one.source.cmp(&other.source));
    manifest.exports = exports
        .into_iter()
        .map(|export| (export.source.clone(), Arc::new(export)))
        .collect();
    diagnostics.extend(without_effect(manifest));
}

/// Warns of configs that wait for an export which is not there, in a project that has some.
fn without_effect(manifest: &Manifest) -> Vec<Diagnostic> {
    if manifest.exports.is_empty() {
        return Vec::new();
    }
    let mut exported: BTreeSet<&UniqueId> = BTreeSet::new();
    let exports = manifest.exports.values();
    let mut queue: Vec<&UniqueId> = exports
        .filter(|export| export.mode == ExportMode::Partitions)
        .map(|export| &export.model)
        .collect();
    while let Some(id) = queue.pop() {
        if exported.insert(id)
            && let Some(node) = manifest.nodes.get(id)
        {
            queue.extend(&node.depends_on);
        }
    }
    let kept = manifest
        .nodes
        .values()
        .filter(|node| node.upkeep.kept.is_some() && !exported.contains(&node.unique_id));
    let kept = kept.map(|node| {
        let message = format!(
            "`retention` does nothing for `{}`, which no export of partitions reads",
            node.name
        );
        let warning = Diagnostic::warning(Code::UnusedConfig, message).at(files::place(node));
        warning.help("export a model that reads it, or drop the config: its rows stay")
    });
    let copied = manifest.sources.values().filter(|source| {
        let cut = source.partitioning.as_ref();
        let export = manifest.exports.get(&source.unique_id);
        cut.is_some_and(|cut| cut.gap == Gap::Carry)
            && export.is_none_or(|export| export.mode != ExportMode::Dump)
    });
    let copied = copied.map(|source| {
        let message = format!(
            "`gap: carry` does nothing for the source `{}.{}`, which is exported as no dump",
            source.source_name, source.name
        );
        let warning = Diagnostic::warning(Code::UnusedConfig, message).at(source.span.clone());
        warning.help("export a model to it with `mode: dump`, or drop the config")
    });
    kept.chain(copied).collect()
}

struct Reader<'a> {
    node: &'a Arc<Node>,
    wrong: Vec<Diagnostic>,
}

impl Reader<'_> {
    fn refuse(&mut self, message: String, help: impl Into<String>) {
        let message = format!("the `export` of `{}` {message}", self.node.name);
        let error = Diagnostic::error(Code::BadConfig, message).at(files::place(self.node));
        self.wrong.push(error.help(help));
    }

    fn read(&mut self, views: &Views<'_>, manifest: &Manifest, said: &Json) -> Option<Export> {
        let node = self.node;
        let Some(said) = said.as_object() else {
            self.refuse(
                "is no mapping".to_owned(),
                "write export: {to: landing.orders}",
            );
            return None;
        };
        for key in said.keys().filter(|key| !KEYS.contains(&key.as_str())) {
            let help = match nearest(key, KEYS) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("its keys are {}", KEYS.join(", ")),
            };
            self.refuse(format!("has no key `{key}`"), help);
        }
        let mode = match said.get("mode").map(Json::as_str) {
            None | Some(Some("partitions")) => Some(ExportMode::Partitions),
            Some(Some("dump")) => Some(ExportMode::Dump),
            Some(_) => {
                let help = "write `partitions`, or `dump` for all rows into the newest partition";
                self.refuse("has no such `mode`".to_owned(), help);
                None
            }
        };
        let order_by = self.order_by(said.get("order_by"));
        if node.resource_type != ResourceType::Model || node.is_ephemeral() {
            self.refuse(
                "reads no relation".to_owned(),
                "export a model that is a view or a table",
            );
        }
        let dialect = views.of(node.connection.as_ref()).project.target.dialect;
        if !dialect.streams_rows_out {
            self.refuse(
                format!(
                    "needs a database that hands its rows out, which {} does not yet",
                    dialect.name
                ),
                "build it in a connection of another type",
            );
        }
        let source = self.source(manifest, said.get("to"))?;
        Some(Export {
            model: node.unique_id.clone(),
            source: source.unique_id.clone(),
            mode: mode?,
            order_by: order_by?,
            span: files::place(node),
        })
    }

    fn order_by(&mut self, said: Option<&Json>) -> Option<Vec<String>> {
        let texts = match said {
            None => Some(Vec::new()),
            Some(Json::String(one)) => Some(vec![one.clone()]),
            Some(Json::Array(items)) => {
                let texts = items.iter().map(|item| item.as_str().map(str::to_owned));
                texts.collect()
            }
            Some(_) => None,
        };
        if texts.is_none() {
            let help = "write the columns that order a file's rows: order_by: [order_id]";
            self.refuse("has an `order_by` that names no columns".to_owned(), help);
        }
        texts
    }

    fn source<'m>(&mut self, manifest: &'m Manifest, to: Option<&Json>) -> Option<&'m Source> {
        let Some(to) = to.and_then(Json::as_str) else {
            self.refuse(
                "does not say where `to`".to_owned(),
                "name a source that has files: to: landing.orders",
            );
            return None;
        };
        let name = |source: &Source| format!("{}.{}", source.source_name, source.name);
        let Some(source) = manifest.sources.values().find(|source| name(source) == to) else {
            let names: Vec<String> = manifest
                .sources
                .values()
                .map(|source| name(source))
                .collect();
            let help = match nearest(to, names.iter().map(String::as_str)) {
                Some(near) => format!("a source named `{near}` exists"),
                None => "declare the source, with the `location` of its files".to_owned(),
            };
            self.refuse(format!("goes to `{to}`, which is no source"), help);
            return None;
        };
        if !source.has_files() || source.partitioning.is_none() {
            self.refuse(
                format!("goes to `{to}`, which has no files by partition"),
                "give the source `external: {location: ...}`, `partition_by` and `begin`",
            );
            return None;
        }
        Some(source)
    }
}
