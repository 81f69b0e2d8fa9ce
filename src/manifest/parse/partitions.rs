//! Partitions in configs: what makes a node or a source partitioned, and what it reads by which
//! mapping.
//!
//! `partition_by` alone says nothing here: packages write it for databases that we do not have. With
//! `begin` beside it, it makes a table or an incremental model partitioned.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span as Duration};
use rayon::prelude::*;
use serde_json::{Map, Value as Json};

use super::connections::Views;
use super::{exports, files};
use crate::calendar::{Calendar, Granularity, Mapping, PartitionRange, parse_moment};
use crate::config::node_config::NodeConfig;
use crate::diagnostic::{Code, Diagnostic, nearest};
use crate::jinja::Reading;
use crate::manifest::partitioning::{
    ContentHash, FieldType, Gap, OnCodeChange, Partitioning, Read,
};
use crate::manifest::{Manifest, Node, ResourceType, Source, UniqueId};
use crate::microbatch::{BatchSize, Microbatch};
use crate::source::Span;

/// The keys of a `partition_by` mapping.
const FIELDS: [&str; 4] = ["field", "granularity", "timezone", "data_type"];

/// Reads the partitions of a node, once its config is merged; `reads_this` and `macros` are what its
/// own template asked for.
pub fn of_node(
    node: &mut Node,
    reads_this: bool,
    one_by_one: bool,
    macros: &[String],
    diagnostics: &mut Vec<Diagnostic>,
) {
    let place = files::place(node);
    if node.is_ods_table() {
        node.upkeep.kept = exports::kept(node, diagnostics);
    }
    node.upkeep.one_by_one = one_by_one;
    // A table of the ODS is loaded and never rebuilt, whatever its folder says.
    let when_stale = node.config.text("rebuild") == Some("when_stale");
    node.upkeep.when_stale = when_stale && !node.is_ods_table();
    let builds_table = matches!(node.materialization(), "incremental" | "table");
    let said = node.config.get("partition_by").is_some() && node.config.get("begin").is_some();
    let owner = format!("`{}`", node.name);
    if node.resource_type != ResourceType::Model
        || !said
        || !builds_table
        || microbatch(&node.config)
    {
        if node.upkeep.when_stale {
            let mut reader = Reader {
                config: &node.config,
                owner: &owner,
                place: &place,
                wrong: Vec::new(),
            };
            let content_hash = reader.content_hash();
            diagnostics.extend(reader.wrong);
            node.upkeep.content_hash = content_hash;
        }
        if builds_table && node.resource_type == ResourceType::Model {
            diagnostics.extend(without_effect(node, &place));
        }
        return;
    }
    let found = read(&node.config, &owner, &place);
    let (partitioning, mut wrong) = match found {
        Ok(partitioning) => (Some(partitioning), Vec::new()),
        Err(wrong) => (None, wrong),
    };
    let mut refuse = |message: String, help: &str| {
        let error = Diagnostic::error(Code::BadConfig, message).at(place.clone());
        wrong.push(error.help(help));
    };
    if node.config.get("unique_key").is_some() {
        refuse(
            format!(
                "{owner} is partitioned and has a `unique_key`: whole partitions are replaced, never rows"
            ),
            "drop `unique_key`, or drop `begin` for an incremental model as in dbt",
        );
    }
    if macros.iter().any(|name| name.ends_with("is_incremental")) {
        refuse(
            format!(
                "{owner} is partitioned and asks `is_incremental()`: a partition is always built from nothing"
            ),
            "drop the condition and the date filter with it; `ref` reads the partitions that are built",
        );
    }
    if reads_this {
        refuse(
            format!("{owner} is partitioned and reads `this`"),
            "read its earlier partition by self('previous')",
        );
    }
    diagnostics.extend(wrong);
    node.upkeep.partitioning = partitioning.map(Arc::new);
}

/// The configs that only partitioned models heed.
const ONLY_PARTITIONED: [&str; 4] = ["order_by", "on_code_change", "retention", "arrival_buffer"];

/// Warns of configs of the engine on a model that is not partitioned.
fn without_effect(node: &Node, place: &Span) -> Vec<Diagnostic> {
    let mut keys: Vec<&str> = ONLY_PARTITIONED
        .into_iter()
        .filter(|key| node.config.get(key).is_some())
        .collect();
    if !node.upkeep.when_stale {
        let managed = ["allow_empty", "content_hash"].into_iter();
        keys.extend(managed.filter(|key| node.config.get(key).is_some()));
    }
    let keys = keys.into_iter();
    keys.map(|key| {
        let message = format!(
            "`{key}` does nothing for `{}`, which is not partitioned",
            node.name
        );
        let warning = Diagnostic::warning(Code::UnusedConfig, message).at(place.clone());
        warning.help("give it `partition_by` and `begin`, or drop the config")
    })
    .collect()
}

/// Reads the partitions of a source.
pub fn of_source(source: &mut Source, diagnostics: &mut Vec<Diagnostic>) {
    let said = source.config.get("partition_by").is_some() && source.config.get("begin").is_some();
    if !said {
        return;
    }
    let owner = format!("the source `{}.{}`", source.source_name, source.name);
    if !source.has_files() && source.loaded_at_field.is_none() {
        let message = format!(
            "{owner} has partitions, and nothing tells which versions of them there are: it is read as a table without any"
        );
        let warning = Diagnostic::warning(Code::UnusedConfig, message).at(source.span.clone());
        diagnostics.push(warning.help("give it `external: {location: ...}` or `loaded_at_field`"));
        return;
    }
    match read(&source.config, &owner, &source.span) {
        Ok(partitioning) => source.partitioning = Some(Arc::new(partitioning)),
        Err(wrong) => diagnostics.extend(wrong),
    }
}

/// The partitions of a microbatch model that opts in: its batches, in UTC.
pub fn of_microbatch(model: &Microbatch) -> Partitioning {
    let granularity = match model.size {
        BatchSize::Hour => Granularity::Hour,
        BatchSize::Day => Granularity::Day,
        BatchSize::Month => Granularity::Month,
        BatchSize::Year => Granularity::Year,
    };
    Partitioning {
        field: model.event_time.clone(),
        field_type: FieldType::Timestamp(TimeZone::UTC),
        calendar: Calendar {
            granularity,
            timezone: TimeZone::UTC,
            begin: granularity.containing(model.begin),
            arrival_buffer: SignedDuration::ZERO,
        },
        order_by: Vec::new(),
        batch_size: None,
        lookback: i32::try_from(model.lookback).unwrap_or(1).max(1),
        on_code_change: OnCodeChange::Rebuild,
        content_hash: ContentHash::default(),
        allow_empty: true,
        retention: None,
        no_data: BTreeSet::new(),
        gap: Gap::Missing,
    }
}

fn microbatch(config: &NodeConfig) -> bool {
    config.text("incremental_strategy") == Some("microbatch")
}

/// Reads the configs of a partitioned relation; everything that is wrong with them.
fn read(config: &NodeConfig, owner: &str, place: &Span) -> Result<Partitioning, Vec<Diagnostic>> {
    let mut reader = Reader {
        config,
        owner,
        place,
        wrong: Vec::new(),
    };
    let found = reader.partitioning();
    match found {
        Some(partitioning) if reader.wrong.is_empty() => Ok(partitioning),
        _ => Err(reader.wrong),
    }
}

struct Reader<'a> {
    config: &'a NodeConfig,
    owner: &'a str,
    place: &'a Span,
    wrong: Vec<Diagnostic>,
}

impl Reader<'_> {
    fn refuse(&mut self, message: String, help: impl Into<String>) {
        let error = Diagnostic::error(Code::BadConfig, format!("{}: {message}", self.owner));
        self.wrong.push(error.at(self.place.clone()).help(help));
    }

    fn partitioning(&mut self) -> Option<Partitioning> {
        let (field, map) = match self.config.get("partition_by") {
            Some(Json::String(field)) => (Some(field.clone()), Map::new()),
            Some(Json::Object(map)) => {
                let field = map.get("field").and_then(Json::as_str).map(str::to_owned);
                (field, map.clone())
            }
            _ => (None, Map::new()),
        };
        let Some(field) = field.filter(|field| !field.trim().is_empty()) else {
            self.refuse(
                "`partition_by` names no column".to_owned(),
                "write partition_by: partition_date, or a mapping with `field` and `granularity`",
            );
            return None;
        };
        for key in map.keys().filter(|key| !FIELDS.contains(&key.as_str())) {
            let help = match nearest(key, FIELDS) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("its keys are {}", FIELDS.join(", ")),
            };
            self.refuse(format!("`partition_by` has no key `{key}`"), help);
        }
        let text = |key: &str| map.get(key).and_then(Json::as_str);
        let word = text("granularity").unwrap_or("day");
        let granularity = Granularity::parse(&word.to_lowercase()).or_else(|| {
            self.refuse(
                format!("`{word}` is no granularity"),
                "write hour, day, month or year",
            );
            None
        })?;
        let named = text("timezone").map(str::to_owned);
        let project = self.config.text("timezone").map(str::to_owned);
        let own_zone = named.as_deref().map(|name| self.zone(name));
        let calendar_zone = match (&own_zone, project) {
            (Some(zone), _) => zone.clone(),
            (None, Some(name)) => self.zone(&name),
            (None, None) => TimeZone::UTC,
        };
        let field_type = match text("data_type").map(str::to_lowercase).as_deref() {
            None if granularity == Granularity::Hour => FieldType::Timestamp(TimeZone::UTC),
            None | Some("date") => FieldType::Date,
            Some("timestamp" | "datetime" | "timestamp without time zone" | "timestamp_ntz") => {
                FieldType::Timestamp(own_zone.unwrap_or(TimeZone::UTC))
            }
            Some("timestamptz" | "timestamp with time zone" | "timestamp_tz") => FieldType::Instant,
            Some(other) => {
                self.refuse(
                    format!("`{other}` is no type of a partition column"),
                    "write date, timestamp or timestamptz",
                );
                return None;
            }
        };
        if granularity == Granularity::Hour && field_type == FieldType::Date {
            self.refuse(
                "a date has no hours".to_owned(),
                "give `partition_by` a `data_type` of timestamp or timestamptz",
            );
        }
        let begin = self.begin(granularity)?;
        let arrival_buffer = self.arrival_buffer();
        Some(Partitioning {
            field,
            field_type,
            calendar: Calendar {
                granularity,
                timezone: calendar_zone,
                begin,
                arrival_buffer,
            },
            order_by: self.texts("order_by"),
            batch_size: self
                .count("batch_size")
                .and_then(|size| usize::try_from(size).ok()),
            lookback: self.count("lookback").unwrap_or(1),
            on_code_change: match self.config.text("on_code_change") {
                Some("keep") => OnCodeChange::Keep,
                _ => OnCodeChange::Rebuild,
            },
            content_hash: self.content_hash(),
            allow_empty: self
                .config
                .get("allow_empty")
                .and_then(Json::as_bool)
                .unwrap_or(false),
            retention: self.count("retention"),
            no_data: self.no_data(granularity),
            gap: match self.config.text("gap") {
                Some("carry") => Gap::Carry,
                _ => Gap::Missing,
            },
        })
    }

    fn zone(&mut self, name: &str) -> TimeZone {
        TimeZone::get(name).unwrap_or_else(|_| {
            self.refuse(
                format!("`{name}` is no time zone"),
                "write a name such as Europe/Berlin or UTC",
            );
            TimeZone::UTC
        })
    }

    fn begin(&mut self, granularity: Granularity) -> Option<i32> {
        let said = match self.config.get("begin") {
            Some(Json::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => return None,
        };
        match parse_moment(&said) {
            Some(moment) => Some(granularity.containing(moment)),
            None => {
                self.refuse(
                    format!("`begin` is `{said}`, which is no date"),
                    "write a date such as '2026-11-01'",
                );
                None
            }
        }
    }

    fn arrival_buffer(&mut self) -> SignedDuration {
        let Some(said) = self.config.get("arrival_buffer") else {
            return SignedDuration::ZERO;
        };
        let read = said.as_str().and_then(|text| {
            let span: Duration = text.parse().ok()?;
            SignedDuration::try_from(span).ok()
        });
        read.filter(|buffer| !buffer.is_negative())
            .unwrap_or_else(|| {
                self.refuse(
                    format!("`arrival_buffer` is {said}, which is no length of time"),
                    "write a text such as '2 hours' or '90 minutes'",
                );
                SignedDuration::ZERO
            })
    }

    fn texts(&self, key: &str) -> Vec<String> {
        match self.config.get(key) {
            Some(Json::String(text)) => vec![text.clone()],
            Some(Json::Array(items)) => {
                let texts = items.iter().filter_map(Json::as_str);
                texts.map(str::to_owned).collect()
            }
            _ => Vec::new(),
        }
    }

    fn count(&mut self, key: &str) -> Option<i32> {
        let said = self.config.get(key)?;
        let number = said.as_i64().and_then(|number| i32::try_from(number).ok());
        if number.is_none_or(|number| number < 1) {
            self.refuse(
                format!("`{key}` is {said}, which is no number of partitions"),
                "write a whole number above zero",
            );
        }
        number
    }

    fn content_hash(&mut self) -> ContentHash {
        match self.config.get("content_hash") {
            Some(Json::Bool(false)) => ContentHash::Off,
            Some(Json::Object(map)) if map.keys().all(|key| key == "ignore") => {
                let ignored = match map.get("ignore") {
                    Some(Json::Array(items)) => items.iter().filter_map(Json::as_str).collect(),
                    Some(Json::String(one)) => vec![one.as_str()],
                    _ => Vec::new(),
                };
                ContentHash::Rows(ignored.into_iter().map(str::to_lowercase).collect())
            }
            None | Some(Json::Bool(true)) => ContentHash::default(),
            Some(other) => {
                let message = format!("`content_hash` is {other}");
                self.refuse(message, "write false, or {ignore: [loaded_at]}");
                ContentHash::default()
            }
        }
    }

    fn no_data(&mut self, granularity: Granularity) -> BTreeSet<i32> {
        let mut days = BTreeSet::new();
        for text in self.texts("no_data") {
            match granularity.parse_key(&text) {
                Some(day) => drop(days.insert(day)),
                None => self.refuse(
                    format!("`no_data` has `{text}`, which is no {granularity}"),
                    format!("write keys such as '{}'", granularity.key(20_000)),
                ),
            }
        }
        days
    }
}

/// Says of every model what it reads, and refuses mappings that mean nothing.
///
/// Does nothing for a project that has nothing that the engine follows.
pub fn fill_reads(views: &Views<'_>, manifest: &mut Manifest, diagnostics: &mut Vec<Diagnostic>) {
    let followed = manifest.nodes.values().any(|node| node.upkeep.is_managed());
    let found = of_each(manifest, |node| match node.resource_type {
        ResourceType::Model => reads(manifest, node),
        _ => (Vec::new(), Vec::new()),
    });
    for (at, (reads, wrong)) in found.into_iter().enumerate() {
        diagnostics.extend(wrong);
        if !reads.is_empty() && followed {
            Arc::make_mut(&mut manifest.nodes[at]).upkeep.reads = reads;
        }
    }
    let wrong = of_each(manifest, |node| reads_files(manifest, node));
    diagnostics.extend(wrong.into_iter().flatten());
    if followed {
        for node in manifest.nodes.values() {
            short_retention(manifest, node, diagnostics);
            other_database(views, node, diagnostics);
        }
    }
}

/// Looks at every node, in parallel; what was found is in the order of the nodes.
fn of_each<T: Send>(manifest: &Manifest, look: impl Fn(&Node) -> T + Sync + Send) -> Vec<T> {
    let nodes: Vec<&Node> = manifest.nodes.values().map(|node| &**node).collect();
    nodes.into_par_iter().map(look).collect()
}

fn reads(manifest: &Manifest, node: &Node) -> (Vec<Read>, Vec<Diagnostic>) {
    let mut reads: Vec<Read> = Vec::new();
    let mut wrong = Vec::new();
    let partitioned = node.upkeep.partitioning.is_some();
    let mut add = |upstream: &UniqueId, reading: Reading, span: &Span, parent_has: Option<bool>| {
        let asked = reading.mapping;
        if !partitioned && asked.is_some_and(|mapping| mapping != Mapping::All) {
            let message = format!(
                "`partitions=` says which partitions a partitioned model reads, and `{}` is none",
                node.name
            );
            let error = Diagnostic::error(Code::BadConfig, message).at(span.clone());
            wrong.push(error.help("give it `partition_by` and `begin`, or drop the argument"));
            return;
        }
        let narrow = asked.is_some_and(|mapping| !matches!(mapping, Mapping::All | Mapping::Same));
        if narrow && parent_has == Some(false) {
            let message = format!("`{upstream}` has no partitions of which some could be read");
            let error = Diagnostic::error(Code::BadConfig, message).at(span.clone());
            wrong.push(
                error.help("drop `partitions=`, or give what is read `partition_by` and `begin`"),
            );
        }
        let mapping = match (partitioned, asked) {
            (true, Some(mapping)) => mapping,
            (true, None) if parent_has != Some(false) => Mapping::Same,
            _ => Mapping::All,
        };
        let read = Read {
            upstream: upstream.clone(),
            mapping,
            tracked: !reading.untracked,
        };
        if !reads.contains(&read) {
            reads.push(read);
        }
    };
    for (call, span) in &node.refs {
        let parents = node
            .depends_on
            .iter()
            .filter_map(|id| manifest.nodes.get(id));
        let parent = parents.into_iter().find(|parent| {
            let package = call.package.as_deref();
            parent.name == call.name && package.is_none_or(|package| package == &*parent.package)
        });
        if let Some(parent) = parent {
            // What stores nothing may carry the partitions of what it reads.
            let stores = !matches!(parent.materialization(), "view" | "ephemeral")
                || parent.resource_type != ResourceType::Model;
            let has = stores.then(|| parent.upkeep.partitioning.is_some());
            add(&parent.unique_id, call.reading, span, has);
        }
    }
    for (call, span) in &node.sources {
        let parents = node
            .depends_on
            .iter()
            .filter_map(|id| manifest.sources.get(id));
        let parent = parents
            .into_iter()
            .find(|source| source.source_name == call.source && source.name == call.table);
        if let Some(parent) = parent {
            let has = parent.partitioning.is_some();
            add(&parent.unique_id, call.reading, span, Some(has));
        }
    }
    if let Some(span) = &node.upkeep.reads_self {
        if partitioned {
            reads.push(Read {
                upstream: node.unique_id.clone(),
                mapping: Mapping::PREVIOUS,
                tracked: true,
            });
        } else {
            let message = format!(
                "`self` reads a model's own earlier partitions, and `{}` has none",
                node.name
            );
            let error = Diagnostic::error(Code::BadConfig, message).at(span.clone());
            wrong.push(error.help("give it `partition_by` and `begin`"));
        }
    }
    (reads, wrong)
}

/// Refuses what reads files that nobody would load for it: they are rows only while a model is built
/// that the engine follows.
fn reads_files(manifest: &Manifest, node: &Node) -> Vec<Diagnostic> {
    let mut diagnostics = Vec::new();
    let is_view = node.materialization() == "view";
    let is_followed = node.upkeep.is_managed() && node.microbatch.is_none() && !is_view;
    let is_table = node.resource_type == ResourceType::Model && !node.is_ephemeral();
    if !is_table || is_followed || node.is_ods_table() {
        return diagnostics;
    }
    let mut seen = BTreeSet::new();
    let mut queue: Vec<(&UniqueId, Option<&str>)> =
        node.depends_on.iter().map(|id| (id, None)).collect();
    while let Some((id, through)) = queue.pop() {
        if let Some(parent) = manifest.nodes.get(id).filter(|node| node.is_ephemeral()) {
            if seen.insert(id) {
                let inside = parent.depends_on.iter();
                queue.extend(inside.map(|id| (id, Some(through.unwrap_or(&parent.name)))));
            }
            continue;
        }
        let Some(source) = manifest
            .sources
            .get(id)
            .filter(|source| source.has_files() && source.partitioning.is_some())
        else {
            continue;
        };
        let what = format!("{}.{}", source.source_name, source.name);
        let how = through.map_or_else(String::new, |name| format!(" through `{name}`"));
        let (message, help) = if is_view {
            let message = format!(
                "`{}` is a view and reads the source `{what}`{how}, which has files: no relation is there that a view could show",
                node.name
            );
            (
                message,
                "make it ephemeral, or a table with `rebuild: when_stale` or with `partition_by` and `begin`",
            )
        } else if node.microbatch.is_some() {
            let message = format!(
                "`{}` is a microbatch model and reads the source `{what}`{how}, which has files: no relation is there whose batches it could filter",
                node.name
            );
            (
                message,
                "give it `partition_by` in the place of `event_time` and the strategy, or read a model that reads the source",
            )
        } else {
            let message = format!(
                "`{}` reads the source `{what}`{how}, which has files, and is built each run as in dbt: files are loaded only for what daygrain follows",
                node.name
            );
            (
                message,
                "give it `rebuild: when_stale`, or `partition_by` and `begin`",
            )
        };
        let call = node.sources.iter().find(|(call, _)| {
            through.is_none() && call.source == source.source_name && call.table == source.name
        });
        let place = call.map_or_else(|| files::place(node), |(_, span)| span.clone());
        diagnostics.push(
            Diagnostic::error(Code::BadConfig, message)
                .at(place)
                .help(help),
        );
    }
    diagnostics
}

/// A retention that deletes what a reader's mapping still needs.
fn short_retention(manifest: &Manifest, node: &Node, diagnostics: &mut Vec<Diagnostic>) {
    let Some(own) = &node.upkeep.partitioning else {
        return;
    };
    for read in &node.upkeep.reads {
        let parent = manifest.nodes.get(&read.upstream);
        let source = manifest.sources.get(&read.upstream);
        let (name, cut, place) = match (parent, source) {
            (Some(node), _) => (
                node.name.clone(),
                node.upkeep.partitioning.as_ref(),
                files::place(node),
            ),
            (None, Some(source)) => (
                format!("{}.{}", source.source_name, source.name),
                source.partitioning.as_ref(),
                source.span.clone(),
            ),
            (None, None) => continue,
        };
        let Some((cut, kept)) = cut.and_then(|cut| Some((cut, cut.retention?))) else {
            continue;
        };
        let (needed, help) = match read.mapping {
            Mapping::All => continue,
            Mapping::Upto => (
                "all of them from the first on".to_owned(),
                "read `partitions='all'`, which reads what is left, or drop the retention",
            ),
            mapping => match reach(mapping, &own.calendar, &cut.calendar) {
                needed if needed <= kept => continue,
                needed => (needed.to_string(), "keep more partitions, or read fewer"),
            },
        };
        let message = format!(
            "`{name}` keeps {kept} partitions, and `{}` reads {needed}",
            node.name
        );
        diagnostics.push(
            Diagnostic::error(Code::BadConfig, message)
                .at(files::place(node))
                .label(place, "its retention is here")
                .help(help),
        );
    }
}

/// How many of the newest partitions of a parent are read once a partition of the reader has closed, at
/// the most.
fn reach(mapping: Mapping, own: &Calendar, parent: &Calendar) -> i32 {
    let first = own.begin.saturating_add(100);
    let some = (first..first.saturating_add(100)).map(|part| {
        let part = PartitionRange::one(part);
        let covered = Mapping::Same.reads(part, own, parent);
        covered.last - mapping.reads(part, own, parent).first + 1
    });
    some.max().unwrap_or(1)
}

/// The ledger and what it tells of are written in one transaction, so they are in one database.
fn other_database(views: &Views<'_>, node: &Node, diagnostics: &mut Vec<Diagnostic>) {
    if !node.upkeep.is_managed() {
        return;
    }
    let database = node.relation.database.as_deref().unwrap_or_default();
    let target = views.of(node.connection.as_ref()).project.target;
    if database.is_empty() || database.eq_ignore_ascii_case(&target.database) {
        return;
    }
    let message = format!(
        "`{}` is built in the database `{database}`, and the ledger is in `{}`",
        node.name, target.database
    );
    let error = Diagnostic::error(Code::Unsupported, message).at(files::place(node));
    diagnostics.push(
        error.help(
            "build it in the target's database, or without `rebuild: when_stale` and `begin`",
        ),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::fixture::{Fixture, render};

    /// What is said of a faulty project.
    fn complaints(text: &str) -> String {
        render(&Fixture::new(text).parse().1)
    }

    fn model(manifest: &Manifest, name: &str) -> Arc<Node> {
        let id = UniqueId::from(format!("model.shop.{name}").as_str());
        Arc::clone(&manifest.nodes[&id])
    }

    fn reads(manifest: &Manifest, name: &str) -> Vec<String> {
        let node = model(manifest, name);
        let reads = node.upkeep.reads.iter();
        reads
            .map(|read| {
                let untracked = if read.tracked { "" } else { ", not tracked" };
                format!("{} by {}{untracked}", read.upstream, read.mapping)
            })
            .collect()
    }

    #[test]
    fn a_model_reads_the_same_partitions_unless_it_says_otherwise() {
        let manifest = Fixture::new(
            "
/// file: dbt_project.yml
name: shop
models:
  +materialized: incremental
  +partition_by: day
  +begin: 2026-11-01
/// file: models/orders.sql
select * from {{ source('landing', 'orders') }}
/// file: models/plain.sql
{{ config(materialized='view') }}
select 1
/// file: models/fact.sql
{{ config(partition_by={'field': 'at', 'granularity': 'hour', 'data_type': 'timestamp'}) }}
select * from {{ ref('orders') }} join {{ ref('orders', partitions=window(-1, 3)) }}
join {{ ref('plain', track=false) }} join {{ self('previous') }} where {{ partition.filter('at') }}
/// file: models/total.sql
{{ config(begin=none) }}
select * from {{ ref('fact') }}
/// file: models/landing.yml
sources:
  - name: landing
    tables:
      - name: orders
        external: {location: 'landing/{day}/*.csv'}
        columns: [{name: id, data_type: int}]
        config: {partition_by: day, begin: 2026-11-01}
",
        )
        .manifest();
        assert_eq!(
            reads(&manifest, "orders"),
            ["source.shop.landing.orders by same"]
        );
        assert_eq!(
            reads(&manifest, "fact"),
            [
                "model.shop.orders by same",
                "model.shop.orders by window(-1, 3)",
                "model.shop.plain by same, not tracked",
                "model.shop.fact by previous",
            ]
        );
        assert_eq!(reads(&manifest, "total"), ["model.shop.fact by all"]);
        let cut = model(&manifest, "fact").upkeep.partitioning.clone();
        let cut = cut.expect("it is partitioned");
        assert_eq!(cut.shape(), "at hour UTC timestamp UTC");
        assert!(model(&manifest, "total").upkeep.partitioning.is_none());
    }

    #[test]
    fn partition_by_alone_and_plain_projects_mean_nothing() {
        let manifest = Fixture::new(
            "
/// file: models/a.sql
{{ config(materialized='incremental', partition_by={'field': 'x', 'range': {}}, unique_key='id') }}
select * from {{ this }} where {{ is_incremental() }}
",
        )
        .manifest();
        let node = model(&manifest, "a");
        assert!(!node.upkeep.is_managed() && node.upkeep.reads.is_empty());
    }

    #[test]
    fn configs_that_cannot_be_are_named_all_at_once() {
        insta::assert_snapshot!(complaints(
            "
/// file: models/a.sql
{{ config(materialized='incremental', begin='soon', unique_key='id',
   partition_by={'field': 'day', 'granularty': 'day', 'timezone': 'Mars/North'}) }}
select * from {{ this }} where {{ is_incremental() }}
/// file: models/b.sql
{{ config(materialized='table', partition_by='day', begin='2026-11-01', retention=0,
   arrival_buffer='a while', content_hash='no') }}
select 1 as day
/// file: models/c.sql
{{ config(materialized='view', rebuild='when_stale', content_hash=3) }}
select 1 as at
/// file: models/d.sql
{{ config(materialized='table', order_by=['x'], retention=3) }}
select * from {{ ref('b', partitions='previous') }} join {{ self('previous') }}
"
        ));
    }

    #[test]
    fn mappings_are_refused_where_they_mean_nothing() {
        insta::assert_snapshot!(complaints(
            "
/// file: models/plain.sql
{{ config(materialized='table') }}
select 1
/// file: models/short.sql
{{ config(materialized='table', partition_by='day', begin='2026-11-01', retention=2) }}
select 1
/// file: models/a.sql
{{ config(materialized='table', partition_by='day', begin='2026-11-01') }}
select * from {{ ref('plain', partitions='previous') }} join {{ ref('short', partitions=window(-3, 0)) }}
join {{ ref('short', partitions=window(-1, 0)) }} join {{ ref('short', partitions='upto') }}
/// file: models/monthly.sql
{{ config(materialized='table', partition_by={'field': 'day', 'granularity': 'month'}, begin='2026-11-01') }}
select * from {{ ref('short') }} join {{ ref('short', partitions='all') }}
/// file: models/from_landing.sql
{{ config(materialized='table', partition_by='day', begin='2026-11-01') }}
select * from {{ source('raw', 'kept', partitions='previous') }}
/// file: models/b.sql
select * from {{ ref('short', partitions='yesterday') }}
/// file: models/s.yml
sources:
  - name: raw
    tables:
      - name: orders
        config: {partition_by: day, begin: 2026-11-01}
      - name: kept
        external: {location: 'landing/{day}/*.csv'}
        columns: [{name: id, data_type: int}]
        config: {partition_by: day, begin: 2026-11-01, retention: 1}
"
        ));
    }

    #[test]
    fn files_are_read_by_what_is_followed() {
        insta::assert_snapshot!(complaints(
            "
/// file: models/a_view.sql
select *
from {{ source('raw', 'orders') }}
/// file: models/inside.sql
{{ config(materialized='ephemeral') }}
select * from {{ source('raw', 'orders') }}
/// file: models/between.sql
{{ config(materialized='ephemeral') }}
select * from {{ ref('inside') }}
/// file: models/b_view.sql
{{ config(rebuild='when_stale') }}
select * from {{ ref('between') }}
/// file: models/each_run.sql
{{ config(materialized='table') }}
select * from {{ source('raw', 'orders') }} join {{ source('raw', 'external') }}
/// file: models/batches.sql
{{ config(materialized='incremental', incremental_strategy='microbatch', event_time='at', batch_size='day',
   begin='2026-11-01', rebuild='when_stale') }}
select * from {{ source('raw', 'orders') }}
/// file: models/well.sql
{{ config(materialized='table', partition_by='day', begin='2026-11-01') }}
select * from {{ ref('between') }} join {{ source('raw', 'orders') }}
/// file: models/too.sql
{{ config(materialized='table', rebuild='when_stale') }}
select * from {{ source('raw', 'orders') }}
/// file: models/s.yml
sources:
  - name: raw
    tables:
      - name: orders
        external: {location: 'landing/{day}/*.csv'}
        columns: [{name: id, data_type: int}]
        config: {partition_by: day, begin: 2026-11-01}
      - name: external
        external: {location: 'landing/all.csv'}
"
        ));
    }
}
