//! The engine in the run loop: which partitions can be built now, and what came of them.
//!
//! The loop's one thread owns it. A step of the plan that is a relation of the engine's runs batch by
//! batch; it has ended when none of its partitions is left to do.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::Project;
use super::event::{NodeFacts, NodeResult, NodeStatus};
use super::look::Sight;
use super::publish::{self, Audit, Desk, DueFiles, Ended, Job, JobRead, KnownColumns, Part};
use super::reads::inlined_sources;
use super::run::empty_result;
use super::session::Session;
use super::{expire, heartbeat};
use crate::graph::Graph;
use crate::jinja::Warehouse;
use crate::jinja::port::{CacheChange, Fetch, Transaction};
use crate::ledger::{self, Input, Outcome, RecordState, Sift, TestRow};
use crate::manifest::UniqueId;
use crate::microbatch::{Batch as Bounds, BatchResults};
use crate::planner::board::{Batch, Board, ItemKind, Status, Wait};
use crate::planner::causes::{UnknownTable, recorded, wait_phrase};
use crate::planner::items::is_passed_through;
use crate::planner::{Plan, Work};
use crate::relation::{Relation, RelationKind};

mod audits;

use audits::{JobEnd, Judging};

/// The engine's state in a run.
pub struct Engine {
    /// What is stale.
    pub sight: Sight,
    /// What all jobs share.
    pub desk: Arc<Desk>,
    /// The step of an item, and the item of a step.
    step_of: HashMap<usize, usize>,
    item_of: HashMap<usize, usize>,
    /// The test steps that judge an item before it is published.
    audits: BTreeMap<usize, Vec<usize>>,
    audit_of: HashMap<usize, usize>,
    readers: Vec<Vec<usize>>,
    eligible: BTreeSet<usize>,
    dirty: BTreeSet<usize>,
    running: HashSet<usize>,
    compared: HashSet<usize>,
    reshape: HashSet<usize>,
    progress: HashMap<usize, Progress>,
    judged: HashMap<UniqueId, NodeResult>,
    ended_tests: Vec<TestRow>,
    judging: Judging,
    newest_build: i64,
    /// Items of which nothing was ever published.
    unbuilt: BTreeSet<usize>,
    /// Nodes that were skipped since something that they read is not there yet, and what.
    idle: HashMap<UniqueId, String>,
    steps: Vec<UniqueId>,
    work: Work,
    published_anything: bool,
}

/// What came of an item's partitions so far.
#[derive(Default)]
struct Progress {
    published: Vec<i32>,
    failed: Vec<(i32, Outcome, String)>,
    result: Option<NodeResult>,
    rows: u64,
    elapsed: Duration,
    started: bool,
}

impl Engine {
    /// Finds what of a plan is the engine's; `None` where nothing is.
    pub fn new(
        project: &Arc<Project>,
        graph: &Graph,
        plan: &Plan,
        work: Work,
        sight: Sight,
        lock_timeout: Duration,
    ) -> Engine {
        let desk = Arc::new(Desk {
            project: Arc::clone(project),
            ledger: sight.ledger.clone(),
            facts: sight.facts.clone(),
            hash: sight.hash.clone(),
            shared: !project.facts.dialect.profile.embedded,
            lock_timeout,
            lease_seconds: heartbeat::lease_seconds(project),
            files: due_files(&sight),
            columns: KnownColumns::default(),
        });
        let board = &sight.board;
        let (mut step_of, mut item_of) = (HashMap::new(), HashMap::new());
        for (at, step) in plan.steps.iter().enumerate() {
            if let Some(item) = board.find(&step.node)
                && matches!(
                    board.items[item].kind,
                    ItemKind::Managed | ItemKind::Rebuilt
                )
            {
                step_of.insert(item, at);
                item_of.insert(at, item);
            }
        }
        let mut readers = vec![Vec::new(); board.items.len()];
        for (at, item) in board.items.iter().enumerate() {
            for read in &item.reads {
                readers[read.item].push(at);
            }
        }
        let replaced = sight.replaced.iter().copied().collect();
        let never = |at: &usize| {
            let is_managed = board.items[*at].kind == ItemKind::Managed;
            is_managed && board.histories[*at].records().next().is_none()
        };
        let mut engine = Engine {
            unbuilt: (0..board.items.len()).filter(never).collect(),
            idle: HashMap::new(),
            newest_build: sight.newest_build,
            sight,
            desk,
            step_of,
            item_of,
            audits: BTreeMap::new(),
            audit_of: HashMap::new(),
            readers,
            eligible: BTreeSet::new(),
            dirty: BTreeSet::new(),
            running: HashSet::new(),
            compared: HashSet::new(),
            reshape: replaced,
            progress: HashMap::new(),
            judged: HashMap::new(),
            ended_tests: Vec::new(),
            judging: Judging::default(),
            steps: plan.steps.iter().map(|step| step.node.clone()).collect(),
            work,
            published_anything: false,
        };
        if work == Work::Build {
            engine.find_audits(project, graph, plan);
        }
        engine
    }

    /// Tells whether something is to be built that others might build at the same time.
    pub fn takes_leases(&self) -> bool {
        let mut items = self.step_of.keys();
        self.desk.shared && items.any(|item| self.sight.board.has_work(*item))
    }

    /// Tells whether a step need not wait for another: partitions decide about that.
    pub fn waits_by_partition(&self, step: usize, before: usize) -> bool {
        let board = &self.sight.board;
        let Some(&item) = self.item_of.get(&step) else {
            return false;
        };
        if board.items[item].kind != ItemKind::Managed {
            return false;
        }
        if let Some(&parent) = self.item_of.get(&before) {
            return board.items[parent].kind == ItemKind::Managed
                && board.items[item]
                    .reads
                    .iter()
                    .any(|read| read.item == parent);
        }
        // A test that judges what is about to be published holds back what reads it by itself; where
        // nothing is published, it runs like any other.
        self.audit_of
            .get(&before)
            .is_some_and(|judged| *judged != item && board.todo(*judged).next().is_some())
    }

    /// The steps of the relations that a view's step reads; none of any other step.
    pub fn read_through(&self, step: usize) -> Vec<usize> {
        let item = self.item_of.get(&step);
        let item = item.map(|item| &self.sight.board.items[*item]);
        let reads = item.filter(|item| item.stores_nothing).into_iter();
        let reads = reads.flat_map(|item| &item.reads);
        reads
            .filter_map(|read| self.step_of.get(&read.item).copied())
            .collect()
    }

    /// How many partitions are to be built, by node.
    pub fn to_build(&self) -> Vec<(UniqueId, usize)> {
        let board = &self.sight.board;
        let items: BTreeSet<usize> = self.step_of.keys().copied().collect();
        items
            .into_iter()
            .filter_map(|item| {
                let allowed = board.scopes[item].allowed?;
                let todo = board.todo(item).filter(|part| allowed.contains(*part));
                Some((board.items[item].id.clone(), todo.count()))
            })
            .collect()
    }

    /// Tells whether a step is a relation of the engine's.
    pub fn has(&self, step: usize) -> bool {
        self.item_of.contains_key(&step)
    }

    /// Tells whether a step is a relation whose partitions say themselves what they wait for.
    pub fn is_managed(&self, step: usize) -> bool {
        let item = self.item_of.get(&step);
        item.is_some_and(|item| self.sight.board.items[*item].kind == ItemKind::Managed)
    }

    /// What a step reads, through whatever is not there either, that was never built and so has no
    /// relation: in words, or `None` where the step can be tried.
    ///
    /// A model that the engine does not follow is no matter of this, nor is what was dropped by others.
    pub fn lacks(&self, project: &Project, session: &Session, step: usize) -> Option<String> {
        if self.unbuilt.is_empty() {
            return None;
        }
        let board = &self.sight.board;
        let nodes = &project.manifest.nodes;
        let mut queue: Vec<&UniqueId> = nodes[&self.steps[step]].depends_on.iter().collect();
        let mut seen: HashSet<&UniqueId> = HashSet::new();
        while let Some(id) = queue.pop() {
            let Some(node) = nodes.get(id).filter(|_| seen.insert(id)) else {
                continue;
            };
            if let Some(why) = self.idle.get(id) {
                return Some(why.clone());
            }
            let is_there = existing(session, &node.relation).is_some();
            if is_there && !is_passed_through(node) {
                continue;
            }
            let item = board.find(id).filter(|item| self.unbuilt.contains(item));
            match item.filter(|item| !board.items[*item].stores_nothing) {
                Some(item) => return Some(not_yet(board, item)),
                None => queue.extend(&node.depends_on),
            }
        }
        None
    }

    /// Gives up a step since what it reads is not there yet.
    pub fn idles(&mut self, step: usize, why: String) {
        self.idle.insert(self.steps[step].clone(), why);
        self.give_up(step);
    }

    /// Says that nothing but partitions holds a step back any more.
    pub fn admit(&mut self, step: usize) {
        if let Some(&item) = self.item_of.get(&step) {
            self.eligible.insert(item);
            self.dirty.insert(item);
        }
    }

    /// The next job, with its step, if there is one that can be built now.
    pub fn next(&mut self, project: &Arc<Project>, session: &Arc<Session>) -> Option<(usize, Job)> {
        while let Some(&item) = self.dirty.iter().find(|item| !self.running.contains(item)) {
            self.notice_foreign(project, session, item);
            let (batch, settled) = self.next_batch(item);
            for _ in settled {
                self.touch(item);
            }
            let Some(batch) = batch else {
                self.dirty.remove(&item);
                continue;
            };
            self.running.insert(item);
            let step = self.step_of[&item];
            let audits = self.audits_of(project, session, &batch);
            let job = self.job(project, session, &batch, audits);
            self.progress.entry(item).or_default().started = true;
            return Some((step, job));
        }
        None
    }

    /// A table that the ledger knows nothing of is somebody else's, or was cut otherwise: it is
    /// replaced as a whole.
    fn notice_foreign(&mut self, project: &Project, session: &Session, item: usize) {
        let board = &self.sight.board;
        let followed = &board.items[item];
        if followed.cut.is_none() || self.compared.contains(&item) {
            return;
        }
        let node = &project.manifest.nodes[&followed.id];
        let nothing_known = board.histories[item].records().next().is_none();
        let found = existing(session, &node.relation);
        let is_table = found
            .as_ref()
            .is_some_and(|found| found.kind.is_none_or(|kind| kind == RelationKind::Table));
        if found.is_some() && (nothing_known || !is_table) {
            self.reshape.insert(item);
        }
    }

    fn next_batch(&mut self, item: usize) -> (Option<Batch>, Vec<i32>) {
        let board = &mut self.sight.board;
        if self.reshape.contains(&item) {
            return board.whole_batch(item);
        }
        board.next_batch(item)
    }

    /// What reads an item may be ready now.
    fn touch(&mut self, item: usize) {
        let readers = self.readers[item].iter();
        self.dirty
            .extend(readers.filter(|reader| self.eligible.contains(reader)));
    }

    /// Steps of which nothing is left to do, with their results.
    pub fn take_ended(&mut self, project: &Project) -> Vec<(usize, NodeResult)> {
        let board = &self.sight.board;
        let done: Vec<usize> = self
            .eligible
            .iter()
            .copied()
            .filter(|item| !self.running.contains(item) && !board.has_work(*item))
            .collect();
        done.into_iter()
            .map(|item| {
                self.eligible.remove(&item);
                self.dirty.remove(&item);
                (self.step_of[&item], self.result(project, item))
            })
            .collect()
    }

    /// Takes what came of a job.
    pub fn ended(&mut self, project: &Project, step: usize, ended: Ended) {
        let Some(&item) = self.item_of.get(&step) else {
            return;
        };
        self.running.remove(&item);
        if self.eligible.contains(&item) {
            self.dirty.insert(item);
        }
        if ended.moved {
            // Another run may have done it.
            self.reshape.remove(&item);
        }
        if ended.reshape {
            self.reshape.insert(item);
        }
        if !ended.published.is_empty() {
            self.published_anything = true;
            self.unbuilt.remove(&item);
            self.compared.insert(item);
            self.reshape.remove(&item);
        }
        for (id, result) in ended.audits {
            // A partition that was refused is not forgotten over those that were not.
            let refused = self
                .judged
                .get(&id)
                .is_some_and(|known| known.status.is_failure());
            if !refused || result.status.is_failure() {
                self.judged.insert(id, result);
            }
        }
        if let Some(columns) = ended.columns {
            self.sight.board.histories[item].columns = columns;
        }
        for (partition, record) in &ended.published {
            self.sight.board.published(item, *partition, *record);
        }
        let all = !ended.published.is_empty() && ended.failed.is_empty();
        let end = if all {
            JobEnd::Published
        } else {
            JobEnd::Otherwise
        };
        self.audited(project, item, end);
        for (partition, _, _) in &ended.failed {
            self.sight.board.failed(item, *partition);
        }
        let progress = self.progress.entry(item).or_default();
        let parts = ended.published.iter().map(|(partition, _)| *partition);
        progress.published.extend(parts);
        progress.failed.extend(ended.failed);
        progress.rows += ended.rows;
        if let Some(result) = ended.result {
            progress.elapsed += result.elapsed;
            let failed_before = progress
                .result
                .as_ref()
                .and_then(|known| known.diagnostic.clone());
            let mut result = result;
            if failed_before.is_some() {
                result.diagnostic = failed_before;
                result.message = progress.result.take().and_then(|known| known.message);
            }
            progress.result = Some(result);
        }
        self.touch(item);
    }

    /// Tells whether a step is a relation of the engine's of which nothing was ever published.
    pub fn is_unbuilt(&self, step: usize) -> bool {
        let Some(&item) = self.item_of.get(&step) else {
            return false;
        };
        let mut records = self.sight.board.histories[item].records();
        self.sight.board.items[item].kind == ItemKind::Managed && records.next().is_none()
    }

    /// Gives up what is left of a step.
    pub fn give_up(&mut self, step: usize) {
        let Some(&item) = self.item_of.get(&step) else {
            return;
        };
        self.eligible.remove(&item);
        self.dirty.remove(&item);
        let board = &mut self.sight.board;
        let left: Vec<i32> = board.todo(item).collect();
        for partition in left {
            board.failed(item, partition);
        }
        self.touch(item);
    }

    /// Tells whether something of a step was published or tried.
    pub fn has_begun(&self, step: usize) -> bool {
        let item = self.item_of.get(&step);
        item.and_then(|item| self.progress.get(item))
            .is_some_and(|progress| progress.started)
    }

    /// The result of a step that was stopped in the middle.
    pub fn result_of(&mut self, project: &Project, step: usize) -> Option<NodeResult> {
        let item = *self.item_of.get(&step)?;
        Some(self.result(project, item))
    }

    /// The model's result, as run_results shows it.
    fn result(&mut self, project: &Project, item: usize) -> NodeResult {
        let board = &self.sight.board;
        let node = &project.manifest.nodes[&board.items[item].id];
        let facts = Arc::new(NodeFacts::new(node, project.facts.dialect));
        let progress = self.progress.remove(&item).unwrap_or_default();
        let waiting = board.waiting(item);
        let mut result = progress
            .result
            .unwrap_or_else(|| empty_result(&facts, "MainThread"));
        result.elapsed = progress.elapsed;
        result.waiting = waiting
            .iter()
            .map(|(part, wait)| self.told(item, *part, wait))
            .collect();
        let (built, failed) = (progress.published.len(), progress.failed.len());
        let unit = match &board.items[item].cut {
            Some(cut) if built == 1 => cut.calendar.granularity.to_string(),
            Some(cut) => format!("{}s", cut.calendar.granularity),
            None => "relation".to_owned(),
        };
        let refused = progress
            .failed
            .iter()
            .find(|(_, outcome, _)| *outcome == Outcome::Refused);
        result.status = match (built, failed, waiting.len()) {
            (0, 0, 0) if board.items[item].cut.is_none() && board.begins_later(item) => {
                NodeStatus::Skipped
            }
            (0, 0, 0) => NodeStatus::NoOp,
            (0, 0, _) => NodeStatus::Skipped,
            (_, 0, _) => NodeStatus::Success,
            (0, _, _) => NodeStatus::Error,
            _ => NodeStatus::PartialSuccess,
        };
        match result.status {
            NodeStatus::NoOp => result.message = Some("fresh".to_owned()),
            NodeStatus::Skipped => {
                let is_idle = result.waiting.is_empty();
                result.lacks = is_idle.then(|| not_yet(board, item));
                result.message = result.waiting.first().or(result.lacks.as_ref()).cloned();
            }
            NodeStatus::Success if board.items[item].cut.is_some() => {
                let mut message = format!("{built} {unit}, {} rows", progress.rows);
                if !waiting.is_empty() {
                    message.push_str(&format!(", {} waiting", waiting.len()));
                }
                result.message = Some(message);
            }
            _ => {}
        }
        if let Some((partition, _, reason)) = refused
            && result.diagnostic.is_none()
        {
            let key = board.key(item, *partition);
            let mut message = format!("{key} of `{}` was refused: {reason}", node.name);
            if board.items[item].cut.is_some() {
                let schema = self.desk.ledger.schema().schema.as_deref();
                message.push_str(&format!(
                    "\nthe refused rows are in {}.{}",
                    schema.unwrap_or_default(),
                    publish::refused_table(project.facts.dialect, node)
                ));
            }
            result.message = Some(message);
        }
        if let Some(cut) = &board.items[item].cut
            && built + failed > 0
        {
            let bounds = |part: i32| Bounds {
                start: cut.calendar.granularity.civil_start(part),
                end: cut.calendar.granularity.civil_start(part.saturating_add(1)),
            };
            result.batch_results = Some(BatchResults {
                successful: progress
                    .published
                    .iter()
                    .map(|part| bounds(*part))
                    .collect(),
                failed: progress
                    .failed
                    .iter()
                    .map(|(part, _, _)| bounds(*part))
                    .collect(),
            });
        }
        result
    }

    fn told(&self, item: usize, partition: i32, wait: &Wait) -> String {
        let board = &self.sight.board;
        let name = &board.items[item].name;
        let what = match board.items[item].cut {
            Some(_) => format!("{name} {}", board.key(item, partition)),
            None => name.clone(),
        };
        format!("{what} waits for {}", wait_phrase(board, (wait, wait)))
    }

    /// Puts together all that a worker needs.
    fn job(
        &self,
        project: &Arc<Project>,
        session: &Session,
        batch: &Batch,
        audits: Vec<Audit>,
    ) -> Job {
        let board = &self.sight.board;
        let item = &board.items[batch.item];
        let node = &project.manifest.nodes[&item.id];
        let history = &board.histories[batch.item];
        let parts = batch
            .parts
            .iter()
            .map(|part| Part {
                part: part.clone(),
                before: history.record(part.partition).copied(),
                inputs: inputs(board, batch.item, part.partition),
                because: recorded(board, batch.item, &part.why),
            })
            .collect();
        let reads = node
            .upkeep
            .reads
            .iter()
            .filter_map(|read| {
                let cut = self.sight.followed.cut(&project.manifest, &read.upstream)?;
                let files = board
                    .find(&read.upstream)
                    .and_then(|at| self.sight.files.get(&at).cloned());
                Some(JobRead {
                    upstream: read.upstream.clone(),
                    mapping: read.mapping,
                    cut,
                    files,
                })
            })
            .collect();
        let through = inlined_sources(&project.manifest, node);
        let inlined = item.reads.iter().filter_map(|read| {
            let upstream = &board.items[read.item];
            Some(JobRead {
                upstream: through.get(&upstream.id)?.clone(),
                mapping: read.mapping,
                cut: Arc::clone(upstream.cut.as_ref()?),
                files: Some(Arc::clone(self.sight.files.get(&read.item)?)),
            })
        });
        let existing = existing(session, &node.relation);
        let reshape = self.reshape.contains(&batch.item);
        let wanted: BTreeSet<i32> = batch.parts.iter().map(|part| part.partition).collect();
        let left_over = history
            .records()
            .filter(|(part, record)| {
                reshape
                    && !wanted.contains(part)
                    && !matches!(record.state, RecordState::Expired | RecordState::Lost)
            })
            .map(|(part, _)| part)
            .collect();
        Job {
            node: Arc::clone(node),
            relation: item.relation,
            names: (
                item.physical.clone(),
                item.cut
                    .as_ref()
                    .map_or_else(String::new, |cut| cut.shape()),
            ),
            code: item.code,
            cut: item.cut.clone(),
            parts,
            outdated: self.outdated(batch.item),
            reads,
            inlined: inlined.collect(),
            parents: item
                .reads
                .iter()
                .map(|read| board.items[read.item].relation)
                .collect(),
            newest_build: self.newest_build,
            newest_closed: item
                .cut
                .as_ref()
                .map_or(0, |cut| cut.calendar.newest_closed(board.as_of)),
            audits,
            hashed: item.hashed,
            columns: board.is_shown(batch.item).then_some(history.columns),
            is_alike: node.microbatch.is_none()
                && self
                    .sight
                    .symbolic
                    .get(&item.id)
                    .is_some_and(|known| known.is_alike),
            exists: existing.is_some(),
            compared: self.compared.contains(&batch.item),
            reshape,
            recut: !board.scopes[batch.item].forced
                && self.sight.unknown.get(&batch.item) == Some(&UnknownTable::CutOtherwise),
            left_over,
            existing: existing.clone(),
            staged: None,
            most: item.together.most(),
            done: self.progress.get(&batch.item).map_or(0, |progress| {
                progress.published.len() + progress.failed.len()
            }),
            left: board.open(batch.item),
            reads_sources: item.reads.iter().any(|read| {
                matches!(
                    board.items[read.item].kind,
                    ItemKind::Seen | ItemKind::Unversioned
                )
            }),
        }
    }

    /// The partitions that are visible and stale, ascending.
    fn outdated(&self, item: usize) -> Vec<i32> {
        let board = &self.sight.board;
        let visible = board.histories[item].records().map(|(part, _)| part);
        let stale = |part: &i32| {
            let status = board.status(item, *part);
            matches!(status, Status::Stale { .. } | Status::Waiting { .. })
        };
        visible.filter(stale).collect()
    }

    /// After the last step: writes down how tests ended, and removes what is too old.
    ///
    /// # Errors
    /// What the database says.
    pub fn tidy_up(
        &mut self,
        session: &Arc<Session>,
    ) -> Result<(), Box<crate::diagnostic::Diagnostic>> {
        self.record_tests(session)?;
        expire::expire(&self.desk, session, &self.sight.board)?;
        if self.published_anything {
            expire::compact(&self.desk, session)?;
        }
        Ok(())
    }

    fn record_tests(
        &mut self,
        session: &Session,
    ) -> Result<(), Box<crate::diagnostic::Diagnostic>> {
        let rows = std::mem::take(&mut self.ended_tests);
        for chunk in rows.chunks(500) {
            if let Some(sql) = self.desk.ledger.add_tests(chunk, &self.desk.facts) {
                session.begin()?;
                session.query(&sql, Transaction::AsIs, Fetch::Nothing)?;
                session.commit()?;
            }
        }
        Ok(())
    }

    /// Reads again what other runs have published meanwhile.
    pub fn refresh(
        &mut self,
        project: &Project,
        session: &Session,
    ) -> Result<(), Box<crate::diagnostic::Diagnostic>> {
        let board = &mut self.sight.board;
        let relations: Vec<_> = board.items.iter().map(|item| item.relation).collect();
        let sql = self.desk.ledger.read_records(&relations, Sift::Database);
        let outcome = session.query(&sql, Transaction::AsIs, Fetch::Rows)?;
        let places: HashMap<_, _> = relations
            .iter()
            .enumerate()
            .map(|(at, id)| (*id, at))
            .collect();
        for (relation, records) in ledger::records(&outcome.table) {
            let Some(&at) = places.get(&relation) else {
                continue;
            };
            let mut is_new = false;
            for (partition, record) in records {
                self.newest_build = self.newest_build.max(record.build);
                let known = board.histories[at].record(partition);
                if known.is_none_or(|known| known.build < record.build) {
                    board.histories[at].set(partition, record);
                    is_new |= !record.is_lost();
                }
            }
            let node = project.manifest.nodes.get(&board.items[at].id);
            let node = node.filter(|node| is_new && !is_passed_through(node));
            if let Some(node) = node.filter(|node| existing(session, &node.relation).is_none()) {
                let kind = RelationKind::parse(node.materialization());
                let made = node.relation.of_kind(kind.unwrap_or(RelationKind::Table));
                session.note(CacheChange::Added(made));
            }
        }
        Ok(())
    }
}

/// The files that tests of sources and of their readers may read.
fn due_files(sight: &Sight) -> BTreeMap<UniqueId, DueFiles> {
    let files = sight.files.iter();
    files
        .filter_map(|(&at, files)| {
            let item = &sight.board.items[at];
            let found = DueFiles {
                cut: Arc::clone(item.cut.as_ref()?),
                files: Arc::clone(files),
                due: sight.board.due(at),
            };
            Some((item.id.clone(), found))
        })
        .collect()
}

/// What a partition would be built from now, for the ledger.
pub fn inputs(board: &Board, at: usize, partition: i32) -> Vec<Input> {
    let reads = board.items[at].reads.iter().filter(|read| read.tracked);
    reads
        .filter(|read| board.items[read.item].kind != ItemKind::Unversioned)
        .map(|read| {
            let range = board.read_range(at, partition, *read);
            let history = &board.histories[read.item];
            let (digest, parts) = history.digest(range);
            Input {
                build: 0,
                upstream: board.items[read.item].relation,
                first: range.first,
                last: range.last,
                parts: i64::try_from(parts).unwrap_or(i64::MAX),
                newest: history.newest(range),
                digest: digest as i64,
            }
        })
        .collect()
}

/// What is not there yet of an item, or of what it reads.
fn not_yet(board: &Board, item: usize) -> String {
    let mut reads = board.items[item].reads.iter();
    let root = reads.find(|read| board.begins_later(read.item));
    let name = &board.items[item].name;
    match (board.items[item].cut.is_some(), root) {
        (true, _) => format!("`{name}` has no partition yet"),
        (false, Some(root)) => not_yet(board, root.item),
        (false, None) => format!("`{name}` is not built yet"),
    }
}

/// The relation of a name that is there, whatever it is.
pub fn existing(session: &Session, relation: &Relation) -> Option<Relation> {
    let mut schema = relation.clone();
    schema.identifier = None;
    schema.kind = None;
    let name = relation.identifier.as_deref().unwrap_or_default();
    session
        .cached_relations_named(&schema, name)?
        .into_iter()
        .next()
}
