//! Which nodes a command works on: dbt's `--select`, `--exclude` and their fellows.
//!
//! A selection is a union of words (space) of intersections (comma) of criteria. It is evaluated
//! as dbt does it: each criterion widens to the tests of what it found, then sets are combined.
//! Nothing here decides an order or runs anything.

use std::collections::BTreeSet;

use globset::{GlobBuilder, GlobMatcher};
use serde_json::Value as Json;

use crate::diagnostic::{Code, Diagnostic, nearest};
use crate::graph::{Graph, Walk};
use crate::manifest::{Manifest, Node, ResourceType, Source, UniqueId};

/// What the user asked for.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// `--select`: each word group as given; empty means everything.
    pub select: Vec<String>,
    /// `--exclude`.
    pub exclude: Vec<String>,
    /// `--resource-type`, in dbt's words; empty means every type.
    pub resource_types: Vec<String>,
    /// `--exclude-resource-type`.
    pub exclude_resource_types: Vec<String>,
    /// `--indirect-selection`.
    pub indirect: IndirectSelection,
    /// The types that the command works on; empty means every type.
    pub kinds: Vec<ResourceType>,
}

/// Which tests come along with a selected node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IndirectSelection {
    /// Every test that reads a selected node.
    #[default]
    Eager,
    /// Tests that read selected nodes only.
    Cautious,
    /// Tests that read selected nodes and their ancestors only.
    Buildable,
    /// None.
    Empty,
}

impl IndirectSelection {
    /// Reads dbt's word.
    pub fn parse(text: &str) -> Option<IndirectSelection> {
        match text {
            "eager" => Some(IndirectSelection::Eager),
            "cautious" => Some(IndirectSelection::Cautious),
            "buildable" => Some(IndirectSelection::Buildable),
            "empty" => Some(IndirectSelection::Empty),
            _ => None,
        }
    }
}

/// What a request means in a project.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// The nodes and sources, sorted.
    pub ids: BTreeSet<UniqueId>,
    /// Criteria that match nothing.
    pub warnings: Vec<Diagnostic>,
}

/// Finds the nodes of a request.
///
/// # Errors
/// Criteria that do not parse, use an unknown method, or one that is not done yet.
pub fn select(
    manifest: &Manifest,
    graph: &Graph,
    request: &Request,
) -> Result<Selection, Vec<Diagnostic>> {
    let mut errors = Vec::new();
    let included = parse_union(&request.select, &mut errors);
    let excluded = parse_union(&request.exclude, &mut errors);
    let only = resource_types(&request.resource_types, "--resource-type", &mut errors);
    let not = resource_types(
        &request.exclude_resource_types,
        "--exclude-resource-type",
        &mut errors,
    );
    if !errors.is_empty() {
        return Err(errors);
    }
    let mut evaluation = Evaluation {
        manifest,
        graph,
        indirect: request.indirect,
        warnings: Vec::new(),
    };
    let included = if included.is_empty() {
        let everything: BTreeSet<_> = graph
            .order()
            .iter()
            .map(|&at| graph.id(at).clone())
            .collect();
        Found::direct(everything)
    } else {
        evaluation.union(&included)
    };
    let excluded = evaluation.union(&excluded);
    let direct = &included.direct - &excluded.direct;
    let both = &included.both() - &excluded.both();
    let mut ids = evaluation.incorporate(direct, &both);
    ids.retain(|id| {
        evaluation.member(id).is_some_and(|member| {
            let kind = member.kind();
            (request.kinds.is_empty() || request.kinds.contains(&kind))
                && (request.resource_types.is_empty() || only.contains(&kind))
                && !not.contains(&kind)
        })
    });
    Ok(Selection {
        ids,
        warnings: evaluation.warnings,
    })
}

/// Resource types of dbt that nodes of daygrain never have: they are known words that match nothing.
const OTHER_TYPES: &[&str] = &[
    "snapshot",
    "exposure",
    "metric",
    "semantic_model",
    "saved_query",
    "unit_test",
    "function",
];

fn resource_types(
    words: &[String],
    option: &str,
    errors: &mut Vec<Diagnostic>,
) -> Vec<ResourceType> {
    let mut types = Vec::new();
    for word in words.iter().flat_map(|word| word.split_whitespace()) {
        if word == "all" {
            types.extend(ResourceType::ALL);
        } else if word == "default" {
            types.extend(
                ResourceType::ALL
                    .iter()
                    .filter(|kind| **kind != ResourceType::Operation),
            );
        } else if let Some(kind) = ResourceType::parse(word) {
            types.push(kind);
        } else if !OTHER_TYPES.contains(&word) {
            errors.push(unknown_type(word, &format!("`{option}`")));
        }
    }
    types
}

fn unknown_type(word: &str, place: &str) -> Diagnostic {
    let known = ResourceType::ALL.iter().map(|kind| kind.as_str());
    let diagnostic = Diagnostic::error(
        Code::BadSelector,
        format!("{place} has no resource type `{word}`"),
    );
    match nearest(word, known.clone()) {
        Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
        None => diagnostic.help(format!("it is one of {}", list(known))),
    }
}

fn list<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<_> = words.into_iter().map(|word| format!("`{word}`")).collect();
    words.join(", ")
}

/// How a criterion's value is understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Fqn,
    Tag,
    Path,
    File,
    Package,
    Source,
    Config,
    ResourceType,
    TestName,
    TestType,
    Group,
    Access,
}

const METHODS: &[(&str, Method)] = &[
    ("access", Method::Access),
    ("config", Method::Config),
    ("file", Method::File),
    ("fqn", Method::Fqn),
    ("group", Method::Group),
    ("package", Method::Package),
    ("path", Method::Path),
    ("resource_type", Method::ResourceType),
    ("source", Method::Source),
    ("tag", Method::Tag),
    ("test_name", Method::TestName),
    ("test_type", Method::TestType),
];

/// Methods of dbt that need something daygrain does not have yet.
const LATER_METHODS: &[&str] = &[
    "exposure",
    "metric",
    "result",
    "saved_query",
    "selector",
    "semantic_model",
    "source_status",
    "state",
    "unit_test",
    "version",
];

/// One criterion, such as `2+tag:nightly`.
#[derive(Clone, Debug, PartialEq)]
struct Criterion {
    raw: String,
    method: Method,
    /// The words after the method's name: `config.meta.owner` has two.
    arguments: Vec<String>,
    value: String,
    /// `@`.
    childrens_parents: bool,
    /// `+` before: with how many steps.
    parents: Option<Option<usize>>,
    /// `+` after.
    children: Option<Option<usize>>,
}

/// An intersection of criteria and the word that it was.
struct Word {
    raw: String,
    criteria: Vec<Criterion>,
}

fn parse_union(groups: &[String], errors: &mut Vec<Diagnostic>) -> Vec<Word> {
    let mut words = Vec::new();
    for raw in groups.iter().flat_map(|group| group.split_whitespace()) {
        let mut criteria = Vec::new();
        for part in raw.split(',') {
            match parse_criterion(part) {
                Ok(criterion) => criteria.push(criterion),
                Err(error) => errors.push(*error),
            }
        }
        let raw = raw.to_owned();
        words.push(Word { raw, criteria });
    }
    words
}

fn parse_criterion(raw: &str) -> Result<Criterion, Box<Diagnostic>> {
    let bad = |message: String| Box::new(Diagnostic::error(Code::BadSelector, message));
    let mut rest = raw;
    let childrens_parents = rest.starts_with('@');
    if childrens_parents {
        rest = &rest[1..];
    }
    let mut parents = None;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    if rest[digits..].starts_with('+') {
        parents =
            Some(depth(&rest[..digits]).map_err(|()| bad(format!("`{raw}` counts too far")))?);
        rest = &rest[digits + 1..];
    }
    let mut children = None;
    if let Some(at) = rest.rfind('+')
        && rest[at + 1..].bytes().all(|byte| byte.is_ascii_digit())
    {
        children =
            Some(depth(&rest[at + 1..]).map_err(|()| bad(format!("`{raw}` counts too far")))?);
        rest = &rest[..at];
    }
    if childrens_parents && children.is_some() {
        let error = bad(format!("`{raw}` has both `@` and a `+` after it"));
        return Err(Box::new(error.help("`@` takes all descendants already")));
    }
    let name_end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.'));
    let (method, arguments, value) = match name_end {
        Some(end) if end > 0 && rest[end..].starts_with(':') => {
            let mut parts = rest[..end].split('.').map(str::to_owned);
            let name = parts.next().unwrap_or_default();
            (find_method(&name, raw)?, parts.collect(), &rest[end + 1..])
        }
        _ => (default_method(rest), Vec::new(), rest),
    };
    if value.is_empty() {
        return Err(Box::new(
            bad(format!("the selector `{raw}` names nothing")).help(
                "a selector is a name, a path or `method:value`, with `+` around it for relatives",
            ),
        ));
    }
    check_value(method, &arguments, value, raw)?;
    Ok(Criterion {
        raw: raw.to_owned(),
        method,
        arguments,
        value: value.to_owned(),
        childrens_parents,
        parents,
        children,
    })
}

fn depth(digits: &str) -> Result<Option<usize>, ()> {
    if digits.is_empty() {
        return Ok(None);
    }
    digits.parse().map(Some).map_err(|_| ())
}

fn find_method(name: &str, raw: &str) -> Result<Method, Box<Diagnostic>> {
    if let Some((_, method)) = METHODS.iter().find(|(known, _)| *known == name) {
        return Ok(*method);
    }
    let known = METHODS.iter().map(|(known, _)| *known);
    if LATER_METHODS.contains(&name) {
        let message = format!("the selector method `{name}:` is not supported yet (in `{raw}`)");
        let error = Diagnostic::error(Code::Unsupported, message);
        return Err(Box::new(
            error.help(format!("supported are {}", list(known))),
        ));
    }
    let error = Diagnostic::error(
        Code::BadSelector,
        format!("no selector method is called `{name}` (in `{raw}`)"),
    );
    Err(Box::new(match nearest(name, known.clone()) {
        Some(near) => error.help(format!("did you mean `{near}:`?")),
        None => error.help(format!("supported are {}", list(known))),
    }))
}

/// A value without a method: a path where it has a slash, a file where it ends like one, else a name.
fn default_method(value: &str) -> Method {
    let lower = value.to_lowercase();
    if value.contains('/') {
        Method::Path
    } else if [".sql", ".py", ".csv"]
        .iter()
        .any(|end| lower.ends_with(end))
    {
        Method::File
    } else {
        Method::Fqn
    }
}

fn check_value(
    method: Method,
    arguments: &[String],
    value: &str,
    raw: &str,
) -> Result<(), Box<Diagnostic>> {
    let error = |message: String, help: &str| {
        Err(Box::new(
            Diagnostic::error(Code::BadSelector, message).help(help),
        ))
    };
    match method {
        Method::ResourceType
            if ResourceType::parse(value).is_none() && !OTHER_TYPES.contains(&value) =>
        {
            Err(Box::new(unknown_type(
                value,
                &format!("the selector `{raw}`"),
            )))
        }
        Method::TestType if !["generic", "schema", "singular", "data", "unit"].contains(&value) => {
            error(
                format!("no tests are of type `{value}` (in `{raw}`)"),
                "it is one of `generic`, `singular`, `data`, `unit`",
            )
        }
        Method::Source if value.split('.').count() > 3 => error(
            format!("the selector `{raw}` has too many parts"),
            "it is `source:name`, `source:name.table` or `source:package.name.table`",
        ),
        Method::Config if arguments.is_empty() => error(
            format!("the selector `{raw}` does not say which config"),
            "write it as `config.materialized:view`",
        ),
        _ => Ok(()),
    }
}

/// A pattern as Python's fnmatch reads it: `*`, `?`, `[..]`, `[!..]`, with case.
struct Pattern {
    text: String,
    glob: Option<GlobMatcher>,
}

impl Pattern {
    fn new(text: &str) -> Pattern {
        Pattern::build(text, false)
    }

    /// A pattern of paths: only `**` crosses a slash.
    fn path(text: &str) -> Pattern {
        let text = text.trim_start_matches("./").trim_end_matches('/');
        Pattern::build(text, true)
    }

    fn build(text: &str, path: bool) -> Pattern {
        let glob = has_wildcard(text).then(|| {
            // Braces mean nothing to fnmatch; a bracket that is never closed stands for itself.
            let mut escaped = text.replace('{', "[{]").replace('}', "[}]");
            if !escaped.contains(']') {
                escaped = escaped.replace('[', "[[]");
            }
            let build = |text: &str| {
                GlobBuilder::new(text)
                    .literal_separator(path)
                    .backslash_escape(false)
                    .build()
            };
            build(&escaped).ok().map(|glob| glob.compile_matcher())
        });
        Pattern {
            text: text.to_owned(),
            glob: glob.flatten(),
        }
    }

    fn matches(&self, text: &str) -> bool {
        match &self.glob {
            Some(glob) => glob.is_match(text),
            None => self.text == text,
        }
    }
}

fn has_wildcard(text: &str) -> bool {
    text.contains(['*', '?', '[', ']'])
}

/// A node or a source.
#[derive(Clone, Copy)]
enum Member<'a> {
    Node(&'a Node),
    Source(&'a Source),
}

impl<'a> Member<'a> {
    fn kind(self) -> ResourceType {
        match self {
            Member::Node(node) => node.resource_type,
            Member::Source(_) => ResourceType::Source,
        }
    }

    fn package(self) -> &'a str {
        match self {
            Member::Node(node) => &node.package,
            Member::Source(source) => &source.package,
        }
    }

    fn original_path(self) -> &'a str {
        match self {
            Member::Node(node) => &node.original_path,
            Member::Source(source) => &source.original_path,
        }
    }

    fn tags(self) -> &'a [String] {
        match self {
            Member::Node(node) => &node.tags,
            Member::Source(source) => &source.tags,
        }
    }

    /// A config by its path of keys, dbt's defaults included.
    fn config(self, keys: &[String]) -> Option<Json> {
        let config = match self {
            Member::Node(node) => &node.config,
            Member::Source(source) => &source.config,
        };
        let (first, rest) = keys.split_first()?;
        let value = match (first.as_str(), self) {
            ("materialized", Member::Node(node)) => node.materialization().into(),
            ("enabled", _) => config.enabled().into(),
            ("tags", _) => self.tags().into(),
            ("meta", Member::Node(node)) => Json::Object(node.meta.clone()),
            ("meta", Member::Source(source)) => Json::Object(source.meta.clone()),
            (key, _) => match (config.get(key), self.kind()) {
                (Some(value), _) => value.clone(),
                (None, ResourceType::Test) if key == "severity" => "ERROR".into(),
                (None, ResourceType::Model) if key == "on_schema_change" => "ignore".into(),
                (None, ResourceType::Model) if key == "access" => "protected".into(),
                _ => return None,
            },
        };
        let mut value = &value;
        for key in rest {
            value = value.get(key)?;
        }
        Some(value.clone())
    }
}

/// The nodes of a criterion, and tests that may come along if their other parents are found too.
#[derive(Default)]
struct Found {
    direct: BTreeSet<UniqueId>,
    indirect: BTreeSet<UniqueId>,
}

impl Found {
    fn direct(direct: BTreeSet<UniqueId>) -> Found {
        Found {
            direct,
            indirect: BTreeSet::new(),
        }
    }

    fn both(&self) -> BTreeSet<UniqueId> {
        &self.direct | &self.indirect
    }
}

struct Evaluation<'a> {
    manifest: &'a Manifest,
    graph: &'a Graph,
    indirect: IndirectSelection,
    warnings: Vec<Diagnostic>,
}

impl<'a> Evaluation<'a> {
    fn member(&self, id: &UniqueId) -> Option<Member<'a>> {
        let node = self.manifest.nodes.get(id).map(|node| Member::Node(node));
        node.or_else(|| {
            self.manifest
                .sources
                .get(id)
                .map(|source| Member::Source(source))
        })
    }

    fn union(&mut self, words: &[Word]) -> Found {
        let (mut direct, mut both) = (BTreeSet::new(), BTreeSet::new());
        for word in words {
            let found = self.intersection(word);
            both.extend(found.both());
            direct.extend(found.direct);
        }
        let direct = self.incorporate(direct, &both);
        Found {
            direct,
            indirect: both,
        }
    }

    fn intersection(&mut self, word: &Word) -> Found {
        let mut combined: Option<(BTreeSet<UniqueId>, BTreeSet<UniqueId>)> = None;
        for criterion in &word.criteria {
            let found = self.criterion(criterion);
            let both = found.both();
            combined = Some(match combined {
                None => (found.direct, both),
                Some((direct, all)) => (&direct & &found.direct, &all & &both),
            });
        }
        let (direct, indirect) = combined.unwrap_or_default();
        let direct = self.incorporate(direct, &indirect);
        if direct.is_empty() {
            let warning = self.empty_selection(word);
            self.warnings.push(warning);
        }
        Found { direct, indirect }
    }

    fn criterion(&self, criterion: &Criterion) -> Found {
        let mut selected = self.search(criterion);
        let indices: Vec<_> = selected
            .iter()
            .filter_map(|id| self.graph.index(id))
            .collect();
        let mut reached = BTreeSet::new();
        if criterion.childrens_parents {
            let mut family = self.graph.reach(indices.clone(), Walk::Descendants, None);
            family.extend(&indices);
            reached.extend(
                self.graph
                    .reach(family.iter().copied(), Walk::Ancestors, None),
            );
            reached.extend(family);
        }
        if let Some(depth) = criterion.parents {
            reached.extend(self.graph.reach(indices.clone(), Walk::Ancestors, depth));
        }
        if let Some(depth) = criterion.children {
            reached.extend(self.graph.reach(indices, Walk::Descendants, depth));
        }
        selected.extend(
            reached
                .into_iter()
                .map(|index| self.graph.id(index).clone()),
        );
        self.with_tests(selected)
    }

    /// Widens a set to the tests that read it.
    fn with_tests(&self, selected: BTreeSet<UniqueId>) -> Found {
        if self.indirect == IndirectSelection::Empty {
            return Found::direct(selected);
        }
        let mut allowed = selected.clone();
        if self.indirect == IndirectSelection::Buildable {
            allowed.extend(self.ancestors(&selected));
            allowed.extend(self.manifest.sources.keys().cloned());
        }
        let (mut direct, mut indirect) = (selected.clone(), BTreeSet::new());
        let indices = selected.iter().filter_map(|id| self.graph.index(id));
        for child in self.graph.reach(indices, Walk::Descendants, Some(1)) {
            let id = self.graph.id(child);
            let Some(Member::Node(node)) = self.member(id) else {
                continue;
            };
            if node.resource_type != ResourceType::Test {
                continue;
            }
            if self.indirect == IndirectSelection::Eager
                || node.depends_on.iter().all(|read| allowed.contains(read))
            {
                direct.insert(id.clone());
            } else {
                indirect.insert(id.clone());
            }
        }
        Found { direct, indirect }
    }

    /// Adds the tests that waited for their other parents, where these are there now.
    fn incorporate(
        &self,
        direct: BTreeSet<UniqueId>,
        all: &BTreeSet<UniqueId>,
    ) -> BTreeSet<UniqueId> {
        let mut allowed = match self.indirect {
            IndirectSelection::Cautious => direct.clone(),
            IndirectSelection::Buildable => &direct | &self.ancestors(&direct),
            IndirectSelection::Eager | IndirectSelection::Empty => return direct,
        };
        let mut selected = direct;
        for id in all {
            if let Some(Member::Node(node)) = self.member(id)
                && node.depends_on.iter().all(|read| allowed.contains(read))
                && node.resource_type == ResourceType::Test
            {
                allowed.insert(id.clone());
                selected.insert(id.clone());
            }
        }
        selected
    }

    fn ancestors(&self, ids: &BTreeSet<UniqueId>) -> BTreeSet<UniqueId> {
        let indices = ids.iter().filter_map(|id| self.graph.index(id));
        let reached = self.graph.reach(indices, Walk::Ancestors, None);
        reached
            .into_iter()
            .map(|index| self.graph.id(index).clone())
            .collect()
    }

    /// The nodes that a criterion names, without relatives.
    fn search(&self, criterion: &Criterion) -> BTreeSet<UniqueId> {
        let value = criterion.value.as_str();
        let matches: Box<dyn Fn(Member<'_>) -> bool> = match criterion.method {
            Method::Fqn => {
                let name = QualifiedName::new(value);
                Box::new(move |member| match member {
                    Member::Node(node) => {
                        name.matches(&node.fqn)
                            || name.matches(node.fqn.get(1..).unwrap_or_default())
                    }
                    Member::Source(_) => false,
                })
            }
            Method::Tag => {
                let pattern = Pattern::new(value);
                Box::new(move |member| member.tags().iter().any(|tag| pattern.matches(tag)))
            }
            Method::Path => {
                let pattern = Pattern::path(value);
                Box::new(move |member| path_matches(&pattern, member))
            }
            Method::File => {
                let pattern = Pattern::new(value);
                Box::new(move |member| {
                    let path = member.original_path();
                    let name = path.rsplit('/').next().unwrap_or(path);
                    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
                    pattern.matches(name) || pattern.matches(stem)
                })
            }
            Method::Package => {
                let own = value == "this";
                let pattern = Pattern::new(if own { &self.manifest.project } else { value });
                Box::new(move |member| pattern.matches(member.package()))
            }
            Method::Source => source_matcher(value),
            Method::Config => {
                let keys = criterion.arguments.clone();
                let value = value.to_owned();
                Box::new(move |member| {
                    let found = member.config(&keys);
                    found.is_some_and(|found| config_matches(&found, &value, keys == ["severity"]))
                })
            }
            Method::ResourceType => {
                let kind = ResourceType::parse(value);
                Box::new(move |member| Some(member.kind()) == kind)
            }
            Method::TestName => {
                let pattern = Pattern::new(value);
                Box::new(move |member| {
                    generic_name(member).is_some_and(|name| pattern.matches(name))
                })
            }
            Method::TestType => {
                let (generic, singular) = match value {
                    "generic" | "schema" => (true, false),
                    "singular" => (false, true),
                    "data" => (true, true),
                    _ => (false, false),
                };
                Box::new(move |member| {
                    let is_generic = generic_name(member).is_some();
                    member.kind() == ResourceType::Test
                        && if is_generic { generic } else { singular }
                })
            }
            Method::Group => {
                let pattern = Pattern::new(value);
                Box::new(move |member| match member {
                    Member::Node(node) => node
                        .config
                        .text("group")
                        .is_some_and(|group| pattern.matches(group)),
                    Member::Source(_) => false,
                })
            }
            Method::Access => {
                let value = value.to_owned();
                Box::new(move |member| {
                    member.kind() == ResourceType::Model
                        && member
                            .config(&["access".to_owned()])
                            .is_some_and(|found| found == value)
                })
            }
        };
        let ids = self.graph.order().iter().map(|&index| self.graph.id(index));
        ids.filter(|id| self.member(id).is_some_and(&matches))
            .cloned()
            .collect()
    }

    fn empty_selection(&self, word: &Word) -> Diagnostic {
        let raw = &word.raw;
        let warning = Diagnostic::warning(
            Code::EmptySelection,
            format!("the selector `{raw}` matches no enabled node"),
        );
        let [criterion] = &word.criteria[..] else {
            return warning;
        };
        let value = criterion.value.as_str();
        let nodes = self.manifest.nodes.values();
        let near = match criterion.method {
            Method::Fqn => {
                if self
                    .manifest
                    .disabled
                    .values()
                    .any(|node| node.name == value)
                {
                    return warning.note(format!("`{value}` is disabled"));
                }
                if self
                    .manifest
                    .sources
                    .values()
                    .any(|source| source.source_name == value)
                {
                    return warning.help(format!("did you mean `source:{value}`?"));
                }
                let words = nodes
                    .filter(|node| node.resource_type != ResourceType::Test)
                    .flat_map(|node| node.fqn.iter().map(String::as_str));
                nearest(value, words).map(str::to_owned)
            }
            Method::Tag => {
                let sources = self.manifest.sources.values();
                let tags = nodes
                    .flat_map(|node| &node.tags)
                    .chain(sources.flat_map(|source| &source.tags));
                nearest(value, tags.map(String::as_str)).map(str::to_owned)
            }
            Method::Source => {
                let names = self.manifest.sources.values().flat_map(|source| {
                    [
                        source.source_name.clone(),
                        format!("{}.{}", source.source_name, source.name),
                    ]
                });
                let names: BTreeSet<String> = names.collect();
                nearest(value, names.iter().map(String::as_str)).map(str::to_owned)
            }
            Method::Package => nearest(value, nodes.map(|node| &*node.package)).map(str::to_owned),
            Method::Path => {
                let wanted = value.trim_start_matches("./").trim_end_matches('/');
                let paths = nodes.flat_map(|node| prefixes(&node.original_path));
                nearest(wanted, paths).map(str::to_owned)
            }
            Method::TestName => {
                let names = nodes.filter_map(|node| generic_name(Member::Node(node)));
                nearest(value, names).map(str::to_owned)
            }
            _ => None,
        };
        match near {
            Some(near) => {
                let start = criterion.raw.rfind(value).unwrap_or(0);
                let end = start + value.len();
                let fixed = format!("{}{near}{}", &criterion.raw[..start], &criterion.raw[end..]);
                warning.help(format!("did you mean `{fixed}`?"))
            }
            None => warning,
        }
    }
}

/// The path and each folder above it.
fn prefixes(path: &str) -> impl Iterator<Item = &str> {
    let slashes = path.match_indices('/').map(|(at, _)| at);
    slashes.chain([path.len()]).map(|end| &path[..end])
}

fn path_matches(pattern: &Pattern, member: Member<'_>) -> bool {
    let patched = match member {
        Member::Node(node) => node.patch_path.as_deref(),
        Member::Source(_) => None,
    };
    let patched = patched
        .and_then(|path| path.split_once("://"))
        .map(|(_, path)| path);
    patched.is_some_and(|path| pattern.matches(path))
        || pattern.text == "."
        || prefixes(member.original_path()).any(|path| pattern.matches(path))
}

fn generic_name(member: Member<'_>) -> Option<&str> {
    let Member::Node(node) = member else {
        return None;
    };
    node.test
        .as_ref()?
        .generic
        .as_ref()
        .map(|generic| generic.name.as_str())
}

fn source_matcher(value: &str) -> Box<dyn Fn(Member<'_>) -> bool> {
    let parts: Vec<_> = value.split('.').map(Pattern::new).collect();
    Box::new(move |member| {
        let Member::Source(source) = member else {
            return false;
        };
        let names: &[&str] = match parts.len() {
            1 => &[&source.source_name],
            2 => &[&source.source_name, &source.name],
            _ => &[&source.package, &source.source_name, &source.name],
        };
        parts
            .iter()
            .zip(names)
            .all(|(pattern, name)| pattern.matches(name))
    })
}

fn config_matches(found: &Json, wanted: &str, ignore_case: bool) -> bool {
    match found {
        Json::Array(items) => items
            .iter()
            .any(|item| config_matches(item, wanted, ignore_case)),
        Json::String(text) if ignore_case => text.eq_ignore_ascii_case(wanted),
        Json::String(text) => text == wanted,
        Json::Bool(flag) => wanted.eq_ignore_ascii_case(if *flag { "true" } else { "false" }),
        _ => false,
    }
}

/// A dotted name that is compared with the parts of an fqn.
struct QualifiedName {
    whole: String,
    /// Parts before the first that has a wildcard.
    fixed: Vec<String>,
    /// The rest, from the first wildcard on.
    rest: Option<Pattern>,
    /// The whole as one pattern, where it has no dot.
    leaf: Option<Pattern>,
    parts: usize,
}

impl QualifiedName {
    fn new(value: &str) -> QualifiedName {
        let parts: Vec<&str> = value.split('.').collect();
        let wild = parts.iter().position(|part| has_wildcard(part));
        QualifiedName {
            whole: value.to_owned(),
            fixed: parts[..wild.unwrap_or(parts.len())]
                .iter()
                .map(|&part| part.to_owned())
                .collect(),
            rest: wild.map(|at| Pattern::new(&parts[at..].join("."))),
            leaf: (wild.is_some() && parts.len() == 1).then(|| Pattern::new(value)),
            parts: parts.len(),
        }
    }

    fn matches(&self, fqn: &[String]) -> bool {
        if fqn.last().is_some_and(|leaf| *leaf == self.whole) {
            return true;
        }
        // Dots in names separate parts as well.
        let flat: Vec<&str> = fqn.iter().flat_map(|part| part.split('.')).collect();
        if flat.len() < self.parts || !self.fixed.iter().zip(&flat).all(|(a, b)| a == b) {
            return false;
        }
        match &self.rest {
            None => true,
            Some(rest) => {
                rest.matches(&flat[self.fixed.len()..].join("."))
                    || self
                        .leaf
                        .as_ref()
                        .is_some_and(|leaf| fqn.last().is_some_and(|last| leaf.matches(last)))
            }
        }
    }
}

#[cfg(test)]
mod tests;
