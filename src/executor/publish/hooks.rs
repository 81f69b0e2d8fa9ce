//! The hooks of what is published: outside the transaction, since one of them might end it.
//!
//! They belong to the build all the same. What is committed says that its hooks are still to run, and
//! that is taken back once they have ended well; until then the partitions are stale, so that the next
//! run builds them again with their hooks.

use std::sync::Arc;

use serde_json::Value as Json;

use crate::diagnostic::Diagnostic;
use crate::executor::heartbeat::pause;
use crate::executor::session::Session;
use crate::jinja::language::Scope;
use crate::jinja::{Value, Warehouse, context};
use crate::ledger::Record;
use crate::manifest::Node;

use super::{Attempted, Desk, Job, Published, Trouble, run};

/// Which hooks of a node run outside the transaction that publishes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outside {
    /// All of them: the transaction consists of the engine's own statements.
    All,
    /// Those that say so; the materialization runs the others.
    Marked,
}

/// The hooks of a node that run outside.
fn hooks_of(node: &Node, which: &str, outside: Outside) -> Vec<Value> {
    let hooks = context::hook_values(node.config.get(which));
    let is_outside = |hook: &Value| {
        let inside = hook.get_attr("transaction");
        outside == Outside::All || inside.is_ok_and(|inside| !inside.is_true())
    };
    let hooks = hooks.try_iter().into_iter().flatten();
    hooks.filter(is_outside).collect()
}

/// Tells whether hooks run once a node is committed.
pub(super) fn follow(node: &Node, outside: Outside) -> bool {
    !hooks_of(node, "post-hook", outside).is_empty()
}

/// The node with the hooks alone that its materialization runs.
pub(super) fn without_outside(node: &Arc<Node>) -> Arc<Node> {
    let has = |which| !hooks_of(node, which, Outside::Marked).is_empty();
    if !has("pre-hook") && !has("post-hook") {
        return Arc::clone(node);
    }
    let mut inner = Node::clone(node);
    for which in ["pre-hook", "post-hook"] {
        let hooks = match inner.config.set.get(which) {
            None => continue,
            Some(Json::Array(hooks)) => hooks.clone(),
            Some(one) => vec![one.clone()],
        };
        let told = context::hook_values(Some(&Json::Array(hooks.clone())));
        let told = told.try_iter().into_iter().flatten();
        let kept = hooks.into_iter().zip(told).filter(|(_, told)| {
            let inside = told.get_attr("transaction");
            inside.is_ok_and(|inside| inside.is_true())
        });
        let kept = kept.map(|(hook, _)| hook).collect();
        inner.config.set.insert(which.to_owned(), Json::Array(kept));
    }
    Arc::new(inner)
}

/// The same, where those before the build have run.
pub(super) fn without_outside_and_before(node: &Arc<Node>) -> Arc<Node> {
    let mut inner = Node::clone(&without_outside(node));
    let none = Json::Array(Vec::new());
    inner.config.set.insert("pre-hook".to_owned(), none);
    Arc::new(inner)
}

/// Runs the hooks before a build.
pub(super) fn before(
    desk: &Desk,
    session: &Session,
    scope: &Scope,
    node: &Node,
    outside: Outside,
) -> Result<(), Trouble> {
    run_hooks(desk, session, scope, (node, "pre-hook"), outside).map_err(Trouble::Hook)
}

fn run_hooks(
    desk: &Desk,
    session: &Session,
    scope: &Scope,
    (node, which): (&Node, &str),
    outside: Outside,
) -> Result<(), Box<Diagnostic>> {
    let hooks = hooks_of(node, which, outside);
    if hooks.is_empty() {
        return Ok(());
    }
    let hooks = crate::jinja::language::list(hooks);
    for inside in [false, true] {
        let arguments = [hooks.clone(), Value::from(inside)];
        let engine = &desk.project.engine;
        engine.call("run_hooks", &arguments, &[], scope)?;
    }
    session.commit()
}

/// Runs the hooks after what was committed, which then has all that belongs to it.
pub(super) fn after(
    desk: &Desk,
    session: &Session,
    scope: &Scope,
    job: &Job,
    outside: Outside,
    published: Published,
) -> Attempted {
    if !follow(&job.node, outside) {
        return Ok(published);
    }
    let node = (&*job.node, "post-hook");
    let ended = run_hooks(desk, session, scope, node, outside).and_then(|()| {
        pause(&desk.project, "after-hooks");
        let (first, last) = numbers(&published.records);
        let sql = desk.ledger.hooks_have_run(job.relation, first, last);
        run(session, &sql).map(drop)
    });
    match ended {
        Ok(()) => Ok(published),
        Err(diagnostic) => Err((Trouble::Hook(diagnostic), published.audits)),
    }
}

/// The first and the last number of builds.
pub(super) fn numbers(records: &[(i32, Record)]) -> (i64, i64) {
    let builds = || records.iter().map(|(_, record)| record.build);
    (
        builds().min().unwrap_or_default(),
        builds().max().unwrap_or_default(),
    )
}
