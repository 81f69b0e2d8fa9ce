//! Tables of the ODS in a run: made with their keys, and filled from the batches of their inbox.
//!
//! All tables of an inbox are loaded in one transaction a batch, so the first of them that has its
//! turn makes and loads them all; the others tell what came of them in their own turns.

mod find;
mod load;
mod table;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value as Json;

use self::find::{Inbox, Known, State, Wanted, pattern_of};
use self::load::{Changed, Loads, Outcome, Refused};
use self::table::{Made, Place, make};
use super::Project;
use super::compile::{Shown, compile};
use super::event::{NodeFacts, NodeResult, NodeStatus};
use super::heartbeat::{lease_seconds, pause};
use super::look::{civil_text, has_ledger, ledger_of, prepare_ledger};
use super::node::write_compiled;
use super::run::empty_result;
use super::session::{Session, SessionShared};
use crate::diagnostic::{Code, Diagnostic};
use crate::jinja::Warehouse;
use crate::ledger::Ledger;
use crate::manifest::{Node, UniqueId};
use crate::planner::{Plan, Work};
use crate::sql;

/// What the tables of the ODS of a run share.
pub struct Desk {
    project: Arc<Project>,
    shared: Arc<SessionShared>,
    ledger: Option<Ledger>,
    as_of: String,
    lock_timeout: Duration,
    inboxes: Vec<Inbox>,
    /// The step that loads the inbox of each step, and of each table.
    leaders: HashMap<usize, usize>,
    /// What came of tables whose turn is still to come.
    told: Mutex<BTreeMap<UniqueId, NodeResult>>,
}

impl Desk {
    /// Of a plan; `None` where it has no table of the ODS.
    ///
    /// # Errors
    /// Declarations of files that are not understood, and what the database says of the ledger.
    pub fn new(
        project: &Arc<Project>,
        (shared, master): (&Arc<SessionShared>, &Arc<Session>),
        (plan, work): (&Plan, Work),
        as_of: jiff::Timestamp,
        lock_timeout: Duration,
    ) -> Result<Option<Desk>, Vec<Diagnostic>> {
        let nodes = &project.manifest.nodes;
        let steps = || plan.steps.iter().enumerate();
        let builds = matches!(work, Work::Run | Work::Build);
        if !builds || !steps().any(|(_, step)| nodes[&step.node].is_ods_table()) {
            return Ok(None);
        }
        let wanted: BTreeSet<UniqueId> = plan.steps.iter().map(|step| step.node.clone()).collect();
        let inboxes = find::inboxes(project, &wanted)?;
        let ledger = match inboxes.is_empty() {
            true => None,
            false => {
                prepare_ledger(project, master).map_err(|wrong| vec![*wrong])?;
                Some(ledger_of(project))
            }
        };
        let mut first: HashMap<&str, usize> = HashMap::new();
        let mut leaders = HashMap::new();
        for (at, step) in steps() {
            if let Some(pattern) = pattern_of(&nodes[&step.node]) {
                leaders.insert(at, *first.entry(pattern).or_insert(at));
            }
        }
        Ok(Some(Desk {
            project: Arc::clone(project),
            shared: Arc::clone(shared),
            ledger,
            as_of: civil_text(as_of),
            lock_timeout,
            inboxes,
            leaders,
            told: Mutex::default(),
        }))
    }

    /// Lets the first table of an inbox wait for all that any of them waits for, and the others for it.
    pub fn arrange(&self, after: &mut [Vec<usize>]) {
        let loading: BTreeSet<usize> = self.leaders.values().copied().collect();
        for leader in loading {
            let members: Vec<usize> = (0..after.len())
                .filter(|at| self.leaders.get(at) == Some(&leader))
                .collect();
            // What itself waits for one of them, such as its test, cannot be waited for.
            let mut below: BTreeSet<usize> = members.iter().copied().collect();
            for (at, waits) in after.iter().enumerate() {
                if waits.iter().any(|before| below.contains(before)) {
                    below.insert(at);
                }
            }
            let outside: BTreeSet<usize> = members
                .iter()
                .flat_map(|at| after[*at].iter().copied())
                .filter(|before| !below.contains(before))
                .collect();
            for at in members {
                after[at] = match at == leader {
                    true => outside.iter().copied().collect(),
                    false => vec![leader],
                };
            }
        }
    }

    /// Tells whether a step has its turn also where the one before it failed: it tells what came of it.
    pub fn tells(&self, before: usize, step: usize) -> bool {
        before != step && self.leaders.get(&step) == Some(&before)
    }

    /// One table's turn.
    pub fn turn(
        &self,
        session: &Arc<Session>,
        node: &Arc<Node>,
        facts: &Arc<NodeFacts>,
    ) -> NodeResult {
        let known = |desk: &Desk| {
            let mut told = desk.told.lock().expect("no holder of this lock panics");
            told.remove(&node.unique_id)
        };
        let started = (Instant::now(), SystemTime::now());
        let mut result = match known(self) {
            Some(result) => result,
            None => {
                let results = match pattern_of(node) {
                    None => vec![self.alone(session, node)],
                    Some(pattern) => self.together(session, pattern),
                };
                let mut told = self.told.lock().expect("no holder of this lock panics");
                told.extend(
                    results
                        .into_iter()
                        .map(|result| (result.node.unique_id.clone(), result)),
                );
                told.remove(&node.unique_id)
                    .unwrap_or_else(|| empty_result(facts, session.thread()))
            }
        };
        session.thread().clone_into(&mut result.thread);
        if !result.status.is_failure() {
            session.begin_node(&self.project, Some(node));
            let place = Place::new(&self.project, session, node);
            if let Err(failure) = place.hooks("post-hook") {
                fail(&mut result, *failure);
            }
        }
        let _ = session.rollback();
        result.elapsed = started.0.elapsed();
        result.execute = Some((started.1, SystemTime::now()));
        result
    }

    fn result_of(&self, session: &Session, node: &Node) -> NodeResult {
        let facts = NodeFacts::new(node, self.project.facts.dialect);
        empty_result(&Arc::new(facts), session.thread())
    }

    /// A table that others fill.
    fn alone(&self, session: &Arc<Session>, node: &Arc<Node>) -> NodeResult {
        let mut result = self.result_of(session, node);
        let made = self.make(session, node, &mut result).and_then(|made| {
            let shown = Shown::of(&self.project, node);
            let compiled = compile(&self.project, session, node, &shown)?;
            write_compiled(&self.project, node, &shown, &compiled, &mut result)?;
            if sql::tokens::is_blank(self.project.facts.dialect, &compiled.sql) {
                return Ok(made);
            }
            let message = format!(
                "the query of `{}` reads no source whose files come in batches",
                node.name
            );
            let error = Diagnostic::error(Code::BadConfig, message);
            Err(Box::new(error.help(
                "leave the model's text empty but for comments where others fill the table",
            )))
        });
        match made {
            Ok(made) => {
                result.message = Some(made.as_str().to_owned());
                result.response_code = Some(made.as_str().to_owned());
            }
            Err(failure) => fail(&mut result, *failure),
        }
        result
    }

    fn make(
        &self,
        session: &Arc<Session>,
        node: &Arc<Node>,
        result: &mut NodeResult,
    ) -> Result<Made, Box<Diagnostic>> {
        session.begin_node(&self.project, Some(node));
        let place = Place::new(&self.project, session, node);
        let Some(ods) = node.upkeep.ods.as_ref() else {
            return Ok(Made::Same);
        };
        let made = make(&place, ods);
        let _ = session.rollback();
        if let Ok(made) = made {
            result.message = Some(made.as_str().to_owned());
        }
        made
    }

    /// All tables of an inbox.
    fn together(&self, session: &Arc<Session>, pattern: &str) -> Vec<NodeResult> {
        let Some(inbox) = self.inboxes.iter().find(|inbox| inbox.pattern == pattern) else {
            return Vec::new();
        };
        let mut results = Vec::new();
        for node in &inbox.tables {
            let mut result = self.result_of(session, node);
            if let Err(failure) = self.make(session, node, &mut result) {
                fail(&mut result, *failure);
            }
            results.push(result);
        }
        if let Some(broken) = results.iter().find(|result| result.status.is_failure()) {
            let name = broken.node.name.clone();
            for result in results
                .iter_mut()
                .filter(|result| !result.status.is_failure())
            {
                let message = format!("nothing of `{pattern}` is loaded, since `{name}` failed");
                fail(result, Diagnostic::error(Code::Database, message));
            }
            return results;
        }
        pause(&self.project, "inbox-made");
        match self.load(session, inbox) {
            Ok(outcome) => {
                for (result, node) in results.iter_mut().zip(&inbox.tables) {
                    tell(&self.project, inbox, &outcome, node, result);
                }
            }
            Err(failure) => {
                for result in &mut results {
                    fail(result, (*failure).clone());
                }
            }
        }
        results
    }

    fn load(&self, session: &Arc<Session>, inbox: &Inbox) -> Result<Outcome, Box<Diagnostic>> {
        let Some(ledger) = &self.ledger else {
            let message = "there is no ledger to record batches in";
            return Err(Box::new(Diagnostic::error(Code::Internal, message)));
        };
        let loads = Loads {
            project: &self.project,
            shared: &self.shared,
            session,
            ledger,
            as_of: &self.as_of,
            lock_timeout: self.lock_timeout,
            lease_seconds: lease_seconds(&self.project),
        };
        load::load(&loads, inbox, wanted(&self.project, inbox))
    }
}

/// Whether all batches are to be loaded anew: `--full-refresh`, unless all tables say otherwise.
fn wanted(project: &Project, inbox: &Inbox) -> Wanted {
    let asked = project
        .facts
        .flags
        .get("FULL_REFRESH")
        .and_then(Json::as_bool);
    let refreshes = |node: &Arc<Node>| {
        let own = node.config.get("full_refresh").and_then(Json::as_bool);
        own.or(asked).unwrap_or(false)
    };
    match inbox.tables.iter().any(refreshes) {
        true => Wanted::All,
        false => Wanted::New,
    }
}

fn fail(result: &mut NodeResult, diagnostic: Diagnostic) {
    result.status = NodeStatus::Error;
    result.message = Some(result.node.failure(&diagnostic));
    result.diagnostic = Some(Arc::new(diagnostic));
}

/// Tells in a table's result what came of its inbox.
fn tell(
    project: &Arc<Project>,
    inbox: &Inbox,
    outcome: &Outcome,
    node: &Arc<Node>,
    result: &mut NodeResult,
) {
    let Changed {
        upserted,
        deleted,
        compiled,
    } = outcome
        .tables
        .get(&node.unique_id)
        .cloned()
        .unwrap_or_default();
    if let Some(compiled) = compiled {
        let shown = Shown::of(project, node);
        // The file is for people: the load does not hang on it.
        let _ = write_compiled(project, node, &shown, &compiled, result);
    }
    let counted = |count: u64, word: &str| match count {
        1 => format!("1 {word}"),
        count => format!("{count} {word}s"),
    };
    for (batch, missing) in &outcome.waiting {
        for supply in missing.iter().map(|at| &inbox.supplies[*at]) {
            if supply.table == node.unique_id {
                result.waiting.push(format!(
                    "batch {batch} of {} waits for a file of `{}`",
                    inbox.pattern, supply.spec.name
                ));
            }
        }
    }
    result.rows_affected = Some(upserted + deleted);
    result.response_code = Some("UPSERT".to_owned());
    let batches = match outcome.loaded {
        1 => "1 batch".to_owned(),
        count => format!("{count} batches"),
    };
    let mut message = format!("{batches}, {}", counted(upserted, "row"));
    if deleted > 0 {
        message.push_str(&format!(", {deleted} removed"));
    }
    if !outcome.refused.is_empty() {
        message.push_str(&format!(", {} refused", outcome.refused.len()));
    }
    if !outcome.waiting.is_empty() {
        message.push_str(&format!(", {} waiting", outcome.waiting.len()));
    }
    if !outcome.refused.is_empty() {
        let own = |one: &&Refused| one.table.as_ref() == Some(&node.unique_id);
        let mut diagnostic = match outcome.refused.iter().find(own) {
            Some(one) => one.diagnostic.clone(),
            None => by_another(outcome, inbox, node),
        };
        diagnostic.notes.push(message.clone());
        fail(result, diagnostic);
        result.status = NodeStatus::PartialSuccess;
        return;
    }
    result.message = Some(message);
}

/// What is said of a table whose batch was refused for another table of its inbox.
fn by_another(outcome: &Outcome, inbox: &Inbox, node: &Node) -> Diagnostic {
    let first = &outcome.refused[0];
    let other = first.table.as_ref().and_then(|id| {
        let mut tables = inbox.tables.iter();
        tables.find(|table| table.unique_id == *id)
    });
    match other {
        Some(other) => {
            let message = format!(
                "batch `{}` of `{}` was refused for `{}`, and `{}` has nothing of it either",
                first.batch, inbox.pattern, other.name, node.name
            );
            Diagnostic::error(first.diagnostic.code, message)
        }
        None => first.diagnostic.clone(),
    }
}

/// What an inbox has to load, for a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// The inbox.
    pub inbox: String,
    /// The batches that would be loaded, in this order.
    pub batches: Vec<String>,
    /// Those that were refused and whose files are as they were.
    pub refused: Vec<String>,
    /// Those that wait for a file, and of which source.
    pub waiting: Vec<(String, String)>,
}

/// Looks at the inboxes that fill some tables, and leaves no trace.
///
/// # Errors
/// As [`Desk::new`], and what the store says.
pub fn survey(
    project: &Arc<Project>,
    session: &Arc<Session>,
    selected: &BTreeSet<UniqueId>,
) -> Result<Vec<Survey>, Vec<Diagnostic>> {
    let one = |wrong: Box<Diagnostic>| vec![*wrong];
    let inboxes = find::inboxes(project, selected)?;
    if inboxes.is_empty() {
        return Ok(Vec::new());
    }
    let there = has_ledger(project, session).map_err(one)?;
    let ledger = there.then(|| ledger_of(project));
    let mut found = Vec::new();
    for inbox in inboxes {
        let known = match &ledger {
            Some(ledger) => {
                let name = load::ledger_name(project, session, &inbox).map_err(one)?;
                load::known(session, ledger, &name).map_err(one)?
            }
            None => Known::default(),
        };
        let batches =
            find::batches(project, &inbox, &known, wanted(project, &inbox)).map_err(one)?;
        let mut survey = Survey {
            inbox: inbox.pattern.clone(),
            ..Survey::default()
        };
        for batch in batches {
            match batch.state {
                State::Pending => survey.batches.push(batch.name),
                State::Refused(_) => survey.refused.push(batch.name),
                State::Waiting(missing) => {
                    let sources = missing
                        .iter()
                        .map(|at| inbox.supplies[*at].spec.name.clone());
                    let sources: Vec<String> = sources.collect();
                    survey.waiting.push((batch.name, sources.join(", ")));
                }
                State::Loaded | State::Gone => {}
            }
        }
        found.push(survey);
    }
    Ok(found)
}
