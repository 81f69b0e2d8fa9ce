//! A node's template to SQL: rendered with `execute` true, ephemeral models written in front.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::Project;
use super::microbatch::Turn;
use super::reads::{BatchView, Narrowed, Narrowing};
use super::resolver::NodeResolver;
use super::session::Session;
use crate::diagnostic::Diagnostic;
use crate::jinja::context::{self, ConfigOf, ExecuteScope, Lazy, NodeState};
use crate::jinja::language::{self, Scope};
use crate::jinja::port::PartitionText;
use crate::jinja::{Reading, RefCall, Resolver, SourceCall, Value};
use crate::manifest::{GenericTest, Node, UniqueId, json, kwargs};
use crate::relation::Relation;
use crate::source::Span;

/// A node's SQL.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// What is sent, or written to the compiled file.
    pub sql: Arc<str>,
    /// The template's own part of it.
    pub own: Arc<str>,
    /// The ephemeral models that it reads, each after those that it reads itself.
    pub inlined: Vec<Inlined>,
}

/// An ephemeral model inside another node's SQL.
#[derive(Clone, Debug)]
pub struct Inlined {
    /// The model.
    pub node: UniqueId,
    /// The name of its common table expression.
    pub name: String,
    /// Its own SQL.
    pub sql: Arc<str>,
}

impl Inlined {
    /// The common table expression.
    pub fn text(&self) -> String {
        format!("{} as (\n{}\n)", self.name, self.sql)
    }
}

/// What a node's templates see of it, shared by all that run in its turn.
#[derive(Clone)]
pub struct Shown {
    model: Lazy<Json>,
    config: ConfigOf,
    /// The partitions that are built, where any are.
    pub partitions: Option<BatchView>,
    /// The batch that is built, of a microbatch model.
    pub turn: Option<Turn>,
    /// The table that holds the rows already, where the materialization has only to publish them.
    pub staged: Option<Relation>,
}

impl Shown {
    /// Of a node.
    pub fn of(project: &Arc<Project>, node: &Arc<Node>) -> Shown {
        let (project, whole, part) = (Arc::clone(project), Arc::clone(node), Arc::clone(node));
        Shown {
            model: Lazy::new(move || project.node_json(&whole)),
            config: Arc::new(move |key| json::config_value(&part, key)),
            partitions: None,
            turn: None,
            staged: None,
        }
    }

    /// The same for some of the node's partitions.
    pub fn of_partitions(project: &Arc<Project>, node: &Arc<Node>, batch: BatchView) -> Shown {
        Shown {
            partitions: Some(batch),
            ..Shown::of(project, node)
        }
    }

    /// Of a microbatch model while one batch is built.
    pub fn of_batch(project: &Arc<Project>, node: &Arc<Node>, turn: Turn) -> Shown {
        let of_batch: Map<String, Json> = context::batch_config(turn.batch).into_iter().collect();
        let shown = Shown::of(project, node);
        Shown {
            config: laid_over(shown.config, of_batch),
            turn: Some(turn),
            ..shown
        }
    }

    /// What `model` shows.
    pub fn model(&self) -> Lazy<Json> {
        self.model.clone()
    }

    /// What `config` shows.
    pub fn config(&self) -> ConfigOf {
        Arc::clone(&self.config)
    }

    /// What the materialization sees: a batch that goes on from what is there is no full refresh.
    pub fn to_materialize(&self) -> Shown {
        let mut shown = self.clone();
        if self.turn.as_ref().is_some_and(|turn| turn.goes_on) {
            let goes_on = [("full_refresh".to_owned(), false.into())];
            shown.config = laid_over(shown.config, goes_on.into_iter().collect());
        }
        shown
    }
}

/// A config over which other values are laid.
fn laid_over(config: ConfigOf, over: Map<String, Json>) -> ConfigOf {
    Arc::new(move |key| over.get(key).cloned().or_else(|| config(key)))
}

/// Makes the context in which a node's template and macros run.
pub fn node_scope(
    project: &Arc<Project>,
    session: &Arc<Session>,
    node: &Node,
    shown: &Shown,
    mut extra: Vec<(&'static str, Value)>,
) -> (Scope, Arc<NodeState>) {
    extra.push(("thread_id", Value::from(session.thread())));
    if let Some(turn) = &shown.turn {
        extra.push(("model", turn.model.clone()));
    }
    let resolver = resolver(project, node, shown);
    let graph_of = Arc::clone(project);
    let scope = ExecuteScope {
        package: Arc::clone(&node.package),
        this: Some(node.relation.clone()),
        model: shown.model.clone(),
        config: shown.config(),
        graph: Arc::new(move || graph_of.graph_json().clone()),
        resolver: Arc::new(resolver),
        warehouse: Arc::clone(session) as Arc<dyn crate::jinja::Warehouse>,
        partition: shown
            .partitions
            .as_ref()
            .and_then(|batch| batch.built.clone())
            .map(|built| built as Arc<dyn PartitionText>),
        extra,
    };
    let (root, state) = context::execute_context(&project.facts, scope);
    let scope = Scope {
        package: Arc::clone(&node.package),
        root,
    };
    (scope, state)
}

/// What a node's `ref` and `source` mean.
fn resolver(project: &Arc<Project>, node: &Node, shown: &Shown) -> NodeResolver {
    let mut resolver = NodeResolver::for_node(project, node);
    resolver.batch = shown.turn.as_ref().map(|turn| turn.batch);
    if let Some(batch) = &shown.partitions {
        resolver.partitions = Some((node.clone().into(), batch.clone()));
    }
    resolver
}

/// Compiles a node.
///
/// # Errors
/// What the template raised, or the database answered to a query of the template.
pub fn compile(
    project: &Arc<Project>,
    session: &Arc<Session>,
    node: &Node,
    shown: &Shown,
) -> Result<Compiled, Box<Diagnostic>> {
    let mut inlined = Vec::new();
    let batch = shown.partitions.as_ref();
    gather(
        project,
        session,
        (node, batch),
        &mut inlined,
        &mut Vec::new(),
    )?;
    if let Some(batch) = &shown.partitions {
        batch.narrowing.reset();
    }
    let own: Arc<str> = render(project, session, node, shown)?.into();
    let mut expressions: Vec<String> = inlined.iter().map(Inlined::text).collect();
    if let Some(batch) = &shown.partitions {
        expressions.extend(batch.narrowing.expressions());
    }
    let sql = if expressions.is_empty() {
        Arc::clone(&own)
    } else {
        with_ctes(&own, &expressions).into()
    };
    Ok(Compiled { sql, own, inlined })
}

/// Collects the ephemeral models below a node, deepest first, each once.
fn gather(
    project: &Arc<Project>,
    session: &Arc<Session>,
    (node, batch): (&Node, Option<&BatchView>),
    found: &mut Vec<Inlined>,
    path: &mut Vec<UniqueId>,
) -> Result<(), Box<Diagnostic>> {
    for id in &node.depends_on {
        let Some(parent) = project
            .manifest
            .nodes
            .get(id)
            .filter(|node| node.is_ephemeral())
        else {
            continue;
        };
        if found.iter().any(|inlined| inlined.node == *id) || path.contains(id) {
            continue;
        }
        path.push(id.clone());
        gather(project, session, (parent, batch), found, path)?;
        path.pop();
        found.push(Inlined {
            node: id.clone(),
            name: format!("__dbt__cte__{}", parent.name),
            sql: match batch.and_then(|batch| of_files(parent, batch)) {
                Some(view) => {
                    let shown = Shown::of_partitions(project, parent, view);
                    render(project, session, parent, &shown)?.into()
                }
                None => ephemeral(project, session, parent)?,
            },
        });
    }
    Ok(())
}

/// What an ephemeral model sees that reads files, which are loaded for the model around it.
fn of_files(node: &Node, batch: &BatchView) -> Option<BatchView> {
    let staged = node.upkeep.reads.iter().filter_map(|read| {
        let table = batch.narrowing.inlined.get(&read.upstream)?;
        let key = (read.upstream.clone(), read.mapping);
        Some((key, Narrowed::Staged(table.clone())))
    });
    let reads: BTreeMap<_, _> = staged.collect();
    (!reads.is_empty()).then(|| BatchView {
        narrowing: Arc::new(Narrowing::new(reads)),
        built: batch.built.clone(),
    })
}

/// An ephemeral model's own SQL, rendered once a run.
fn ephemeral(
    project: &Arc<Project>,
    session: &Arc<Session>,
    node: &Arc<Node>,
) -> Result<Arc<str>, Box<Diagnostic>> {
    let known = |project: &Project| {
        let compiled = project.ephemerals.lock();
        compiled
            .expect("no holder of the ephemerals' lock panics")
            .get(&node.unique_id)
            .cloned()
    };
    if let Some(sql) = known(project) {
        return Ok(sql);
    }
    let sql: Arc<str> = render(project, session, node, &Shown::of(project, node))?.into();
    project
        .ephemerals
        .lock()
        .expect("no holder of the ephemerals' lock panics")
        .insert(node.unique_id.clone(), Arc::clone(&sql));
    Ok(sql)
}

fn render(
    project: &Arc<Project>,
    session: &Arc<Session>,
    node: &Node,
    shown: &Shown,
) -> Result<String, Box<Diagnostic>> {
    let (scope, _) = node_scope(project, session, node, shown, Vec::new());
    if let Some(test) = node.test.as_ref().and_then(|test| test.generic.as_ref()) {
        return render_test(project, node, test, shown, &scope);
    }
    let template = project.engine.compile(&node.file)?;
    project.engine.render(&template, &scope)
}

/// Calls a generic test's macro with its arguments. That is all that the test's template does, whose
/// `config` was read when it was parsed.
fn render_test(
    project: &Arc<Project>,
    node: &Node,
    test: &GenericTest,
    shown: &Shown,
    scope: &Scope,
) -> Result<String, Box<Diagnostic>> {
    let engine = &project.engine;
    let span = match &node.patch_span {
        Some(span) => span.clone(),
        None => Span::new(&node.file, 0..node.file.text.len()),
    };
    let arguments = kwargs::render_kwargs(&test.arguments, &mut |text| match judged_relation(
        project, node, shown, text,
    ) {
        Some(relation) => engine.call(kwargs::SUBQUERY, &[relation], &[], scope),
        None => engine.render_native(text, &span, scope),
    })?;
    let arguments: Vec<_> = arguments
        .iter()
        .map(|(name, value)| (name.as_str(), value.clone()))
        .collect();
    let rendered = engine.call(&test.macro_name(), &[], &arguments, scope)?;
    Ok(language::py_str(&rendered))
}

/// The relation that a test judges, where the text names it and no macro of the project gives `ref` or
/// `source` another meaning. Anything odd about it is left to the template, which says what and where.
fn judged_relation(
    project: &Arc<Project>,
    node: &Node,
    shown: &Shown,
    text: &str,
) -> Option<Value> {
    let (function, mut names) = kwargs::judged_call(text)?;
    if project.engine.find(&node.package, function).is_some() {
        return None;
    }
    let resolver = resolver(project, node, shown);
    let last = names.pop()?;
    let relation = match (function, names.as_slice()) {
        ("ref", []) => resolver.resolve_ref(&RefCall {
            package: None,
            name: last,
            version: None,
            reading: Reading::default(),
        }),
        ("source", [source]) => resolver.resolve_source(&SourceCall {
            source: source.clone(),
            table: last,
            reading: Reading::default(),
        }),
        _ => return None,
    };
    let dialect = project.facts.dialect;
    Some(context::relation_value(dialect, &relation.ok()?))
}

/// Writes common table expressions in front of a query, before those that it has itself.
fn with_ctes(sql: &str, expressions: &[String]) -> String {
    let ctes = expressions.join(", ");
    match leading_with(sql) {
        Some(end) => {
            let (head, rest) = sql.split_at(end);
            format!("{head} {ctes}, {}", rest.trim_start())
        }
        None => format!("with {ctes}\n{sql}"),
    }
}

/// The byte after a query's leading `with` (and `recursive`), behind comments and blanks.
fn leading_with(sql: &str) -> Option<usize> {
    let mut at = 0;
    loop {
        let rest = &sql[at..];
        let blank = rest.len() - rest.trim_start().len();
        if blank > 0 {
            at += blank;
        } else if rest.starts_with("--") {
            at += rest.find('\n')?;
        } else if rest.starts_with("/*") {
            at += rest.find("*/")? + 2;
        } else {
            break;
        }
    }
    let word_end = |from: usize| {
        let rest = &sql[from..];
        from + rest
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(rest.len())
    };
    let end = word_end(at);
    if !sql[at..end].eq_ignore_ascii_case("with") {
        return None;
    }
    let next = end + (sql[end..].len() - sql[end..].trim_start().len());
    let next_end = word_end(next);
    if sql[next..next_end].eq_ignore_ascii_case("recursive") {
        return Some(next_end);
    }
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inline(sql: &str) -> String {
        let inlined = [Inlined {
            node: "model.a.e".into(),
            name: "__dbt__cte__e".to_owned(),
            sql: "select 1 as id".into(),
        }];
        with_ctes(sql, &inlined.map(|cte| cte.text()))
    }

    #[test]
    fn ctes_go_before_a_query() {
        insta::assert_snapshot!(inline("select * from __dbt__cte__e"), @r"
        with __dbt__cte__e as (
        select 1 as id
        )
        select * from __dbt__cte__e
        ");
    }

    #[test]
    fn ctes_go_before_the_querys_own() {
        insta::assert_snapshot!(inline("-- first\nwith a as (select 1) select * from a"), @r"
        -- first
        with __dbt__cte__e as (
        select 1 as id
        ), a as (select 1) select * from a
        ");
        insta::assert_snapshot!(inline("WITH RECURSIVE a as (select 1) select 1"), @r"
        WITH RECURSIVE __dbt__cte__e as (
        select 1 as id
        ), a as (select 1) select 1
        ");
    }

    #[test]
    fn a_name_that_starts_with_with_is_no_keyword() {
        assert_eq!(leading_with("within"), None);
        assert_eq!(leading_with("with("), Some(4));
    }
}
