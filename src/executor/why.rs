//! The story of one partition: how it stands, what it was built from, and why, followed back through
//! what it reads to the root of it.
//!
//! How things stand is the board's answer; what happened before is asked of the ledger, build by
//! build, as far as the story reaches.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::look::Sight;
use super::recall::{differences, fetch};
use super::session::Session;
use crate::calendar::PartitionRange;
use crate::diagnostic::Diagnostic;
use crate::ledger::{self, FileRow, Input, RelationId};
use crate::planner::board::{Board, ItemKind, Status};
use crate::planner::causes::{
    Cause, FileFate, READS_CHANGED, Recall, causes, groups, listed, named, of_the_next_run, phrase,
    span, wait_phrase,
};
use crate::planner::overview::{Mark, mark};
use crate::table::{Datum, Table};

/// So many builds of a partition are told, the newest first.
const TOLD_BUILDS: usize = 5;

/// So far is a cause followed.
const DEEPEST: usize = 24;

/// At most so many causes of one kind are followed each.
const FOLLOWED: usize = 3;

/// The story of a partition.
#[derive(Clone, Debug)]
pub struct Story {
    /// The relation's name.
    pub name: String,
    /// Its unique id.
    pub node: String,
    /// The partition's key.
    pub key: String,
    /// How it stands.
    pub mark: Mark,
    /// Why it stands so.
    pub because: Vec<Reason>,
    /// The build that readers see.
    pub build: Option<BuildRow>,
    /// Whether that was by today's code; `None` where no code builds it.
    pub code_is_todays: Option<bool>,
    /// What that build read.
    pub reads: Vec<ReadRow>,
    /// Attempts after it that came to nothing, the newest first.
    pub attempts: Vec<BuildRow>,
    /// It and the builds before it, the newest first.
    pub history: Vec<Chapter>,
}

/// A reason, and the reasons for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// In words.
    pub text: String,
    /// Why that is.
    pub because: Vec<Reason>,
}

/// A build and why it happened.
#[derive(Clone, Debug)]
pub struct Chapter {
    /// The build.
    pub build: BuildRow,
    /// Why.
    pub because: Vec<Reason>,
}

/// A build as the ledger has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildRow {
    /// Its number.
    pub number: i64,
    /// What became of it.
    pub outcome: String,
    /// The fingerprint of the code.
    pub code: i64,
    /// The digest of its inputs.
    pub inputs: i64,
    /// The version of its content: its own number, or an earlier one where nothing changed.
    pub version: i64,
    /// How many rows.
    pub rows: i64,
    /// The run's id.
    pub run: String,
    /// The run's clock, in UTC.
    pub as_of: String,
    /// When it ended, in UTC.
    pub finished: String,
    /// Why it was built; why it was refused or failed.
    pub reason: Option<String>,
}

/// What a build read of one relation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadRow {
    /// Its name.
    pub name: String,
    /// Which partitions.
    pub span: String,
    /// How many there were.
    pub parts: i64,
    /// The newest version among them.
    pub newest: i64,
}

impl BuildRow {
    /// Tells whether it changed what readers see.
    fn is_visible(&self) -> bool {
        !matches!(self.outcome.as_str(), "refused" | "failed")
    }
}

fn leaf(text: impl Into<String>) -> Reason {
    Reason {
        text: text.into(),
        because: Vec::new(),
    }
}

/// Tells the story of a partition of an item.
///
/// # Errors
/// What the database says.
pub fn story(
    session: &Session,
    sight: &Sight,
    recall: &Recall,
    at: usize,
    partition: i32,
) -> Result<Story, Box<Diagnostic>> {
    let board = &sight.board;
    let item = &board.items[at];
    let mut teller = Teller {
        session,
        sight,
        board,
        recall,
        builds: HashMap::new(),
        inputs: HashMap::new(),
        followed: BTreeSet::new(),
    };
    let builds = teller.builds(item.relation, partition)?;
    let build = builds.iter().find(|build| build.is_visible()).cloned();
    let attempts = builds.iter().take_while(|build| !build.is_visible());
    let attempts = attempts.take(TOLD_BUILDS).cloned().collect();
    let mut because = Vec::new();
    if let Status::Waiting { wait, .. } = board.status(at, partition) {
        because.push(leaf(format!(
            "it waits for {}",
            wait_phrase(board, (wait, wait))
        )));
    }
    if let Status::Frozen { gone, .. } = board.status(at, partition) {
        let what = named(board, at, gone.0, &[gone.1].into());
        because.push(leaf(format!(
            "{what} has expired, so it can never be built again"
        )));
    }
    because.extend(teller.reasons(at, partition, 0)?);
    let mut reads = Vec::new();
    if let Some(build) = &build {
        for input in teller.inputs(build.number)? {
            reads.push(teller.read_row(&input));
        }
    }
    let visible: Vec<BuildRow> = builds.into_iter().filter(BuildRow::is_visible).collect();
    let mut history = Vec::new();
    for (index, build) in visible.iter().take(TOLD_BUILDS).enumerate() {
        teller.followed.clear();
        let before = visible.get(index + 1);
        let because = teller.told(item.relation, partition, build, before, 0)?;
        history.push(Chapter {
            build: build.clone(),
            because,
        });
    }
    Ok(Story {
        name: item.name.clone(),
        node: item.id.to_string(),
        key: board.key(at, partition),
        mark: mark(board, at, partition),
        because,
        code_is_todays: build
            .as_ref()
            .filter(|_| item.kind != ItemKind::Seen)
            .map(|build| build.code == item.code),
        build,
        reads,
        attempts,
        history,
    })
}

struct Teller<'a> {
    session: &'a Session,
    sight: &'a Sight,
    board: &'a Board,
    recall: &'a Recall,
    builds: HashMap<(RelationId, i32), Vec<BuildRow>>,
    inputs: HashMap<i64, Vec<Input>>,
    followed: BTreeSet<(usize, i32)>,
}

impl Teller<'_> {
    fn fetch(&self, sql: &str) -> Result<Table, Box<Diagnostic>> {
        match self.sight.ledger_exists {
            true => fetch(self.session, sql),
            false => Ok(Table::default()),
        }
    }

    /// The builds of a partition, the newest first.
    fn builds(
        &mut self,
        relation: RelationId,
        partition: i32,
    ) -> Result<Vec<BuildRow>, Box<Diagnostic>> {
        if let Some(known) = self.builds.get(&(relation, partition)) {
            return Ok(known.clone());
        }
        let table = self.fetch(&self.sight.ledger.read_builds(relation, partition))?;
        let rows: Vec<BuildRow> = table.rows.iter().map(|row| build_row(row)).collect();
        self.builds.insert((relation, partition), rows.clone());
        Ok(rows)
    }

    fn inputs(&mut self, build: i64) -> Result<Vec<Input>, Box<Diagnostic>> {
        if let Some(known) = self.inputs.get(&build) {
            return Ok(known.clone());
        }
        let table = self.fetch(&self.sight.ledger.read_inputs(&[build]))?;
        let rows = ledger::inputs(&table);
        self.inputs.insert(build, rows.clone());
        Ok(rows)
    }

    fn find(&self, relation: RelationId) -> Option<usize> {
        let mut items = self.board.items.iter();
        items.position(|item| item.relation == relation)
    }

    fn read_row(&self, input: &Input) -> ReadRow {
        match self.find(input.upstream) {
            Some(item) => {
                // A range may reach beyond what is there.
                let extent = self.board.histories[item].extent();
                let range = PartitionRange::new(input.first, input.last).intersect(extent);
                ReadRow {
                    name: self.board.items[item].name.clone(),
                    span: match (range.is_empty(), self.board.items[item].cut.is_some()) {
                        (_, false) => "all".to_owned(),
                        (true, true) => "nothing".to_owned(),
                        (false, true) => span(self.board, item, range),
                    },
                    parts: input.parts,
                    newest: input.newest,
                }
            }
            None => ReadRow {
                name: "something that is read no more".to_owned(),
                span: String::new(),
                parts: input.parts,
                newest: input.newest,
            },
        }
    }

    /// Why a partition is stale or waits, followed upstream.
    fn reasons(
        &mut self,
        at: usize,
        partition: i32,
        depth: usize,
    ) -> Result<Vec<Reason>, Box<Diagnostic>> {
        if depth > DEEPEST || !self.followed.insert((at, partition)) {
            return Ok(Vec::new());
        }
        let mut reasons = Vec::new();
        for cause in causes(self.board, self.recall, at, partition) {
            // Files are told each for itself.
            let text = phrase(self.board, &Recall::default(), at, &cause);
            let text = of_the_next_run(&text);
            let because = match &cause {
                Cause::Upstream { item, parts, .. } => self.pending(at, *item, parts, depth)?,
                Cause::Changed {
                    item,
                    parts,
                    are_new,
                    ..
                } => self.changed(*item, parts, *are_new, depth)?,
                _ => Vec::new(),
            };
            reasons.push(Reason { text, because });
        }
        Ok(reasons)
    }

    /// Why partitions that will be built are stale themselves.
    fn pending(
        &mut self,
        at: usize,
        item: usize,
        parts: &BTreeSet<i32>,
        depth: usize,
    ) -> Result<Vec<Reason>, Box<Diagnostic>> {
        let first = parts.first().copied();
        if item == at
            && let Some(part) = first
        {
            // A chain is followed to its beginning at once.
            let mut start = part;
            while matches!(
                self.board.status(item, start - 1),
                Status::Stale { .. } | Status::Waiting { .. }
            ) {
                start -= 1;
            }
            let because = self.reasons(item, start, depth + 1)?;
            if start == part {
                return Ok(because);
            }
            let text = match start + 1 == part {
                true => format!("its own {} before it", self.board.key(item, start)),
                false => format!(
                    "they follow each other, from {} on",
                    self.board.key(item, start)
                ),
            };
            return Ok(vec![Reason { text, because }]);
        }
        let Some(first) = first.filter(|_| parts.len() == 1) else {
            let mut reasons = Vec::new();
            let alike = groups(self.board, self.recall, item, parts.iter().copied());
            for group in alike.iter().take(FOLLOWED) {
                let because = self.reasons(item, group.range.first, depth + 1)?;
                if !because.is_empty() {
                    let parts: BTreeSet<i32> = group.range.iter().collect();
                    let verb = if parts.len() == 1 { "is" } else { "are" };
                    let text = format!("{} {verb} stale", named(self.board, at, item, &parts));
                    reasons.push(Reason { text, because });
                }
            }
            return Ok(reasons);
        };
        self.reasons(item, first, depth + 1)
    }

    /// Why partitions that were read are other ones now.
    fn changed(
        &mut self,
        item: usize,
        parts: &BTreeSet<i32>,
        are_new: bool,
        depth: usize,
    ) -> Result<Vec<Reason>, Box<Diagnostic>> {
        let mut reasons = Vec::new();
        let relation = self.board.items[item].relation;
        for part in parts.iter().take(FOLLOWED) {
            if self.board.items[item].kind == ItemKind::Seen {
                let known = self.recall.sources.get(&(item, *part));
                let files = known.into_iter().flat_map(|change| &change.files);
                reasons.extend(files.map(|(path, fate)| file_reason(path, *fate)));
                if are_new {
                    let files = self.sight.files.get(&item);
                    let files = files.and_then(|files| files.files.get(part));
                    let files = files.into_iter().flatten().take(FOLLOWED);
                    reasons.extend(files.map(|file| file_reason(&file.path, FileFate::New)));
                }
                continue;
            }
            let builds = self.builds(relation, *part)?;
            let record = self.board.histories[item].record(*part);
            let version = record.map_or(0, |record| record.version);
            let visible: Vec<&BuildRow> = builds.iter().filter(|b| b.is_visible()).collect();
            let place = visible.iter().position(|build| build.number == version);
            if let Some(place) = place {
                let build = visible[place].clone();
                let before = visible.get(place + 1).map(|build| (*build).clone());
                let because = self.told(relation, *part, &build, before.as_ref(), depth + 1)?;
                let text = format!(
                    "build {} gave {} other rows at {}",
                    build.number,
                    self.board.key(item, *part),
                    build.finished
                );
                reasons.push(Reason { text, because });
            }
        }
        Ok(reasons)
    }

    /// Why a build was done: what the ledger keeps of it, or what can be told of one of an earlier
    /// release.
    fn told(
        &mut self,
        relation: RelationId,
        partition: i32,
        build: &BuildRow,
        before: Option<&BuildRow>,
        depth: usize,
    ) -> Result<Vec<Reason>, Box<Diagnostic>> {
        if depth > DEEPEST {
            return Ok(Vec::new());
        }
        match build.outcome.as_str() {
            "adopted" => return Ok(vec![leaf("the table had it already")]),
            "lost" => return Ok(vec![leaf("its rows were changed outside daygrain")]),
            "expired" => return Ok(vec![leaf("it was too old")]),
            "seen" => return self.seen(relation, partition, build),
            _ => {}
        }
        let kept = build.reason.as_deref();
        let reads_changed = kept.filter(|reason| reason.starts_with(READS_CHANGED));
        if let Some(reason) = kept.filter(|_| reads_changed.is_none()) {
            return Ok(vec![leaf(reason)]);
        }
        let Some(before) = before else {
            return Ok(vec![leaf("it had not been built before")]);
        };
        if reads_changed.is_none() {
            let guessed = match before.outcome.as_str() {
                "lost" => Some("its rows had been changed outside daygrain"),
                "provisional" => Some("it had been built before it was closed"),
                outcome if before.code != build.code && outcome != "adopted" => {
                    Some("its code had changed")
                }
                _ if before.inputs == build.inputs => Some("it was asked for"),
                _ => None,
            };
            if let Some(guessed) = guessed {
                return Ok(vec![leaf(guessed)]);
            }
        }
        let (then, now) = (self.inputs(before.number)?, self.inputs(build.number)?);
        let mut reasons = Vec::new();
        for input in now {
            let known = then.iter().find(|other| {
                other.upstream == input.upstream
                    && (other.first, other.last) == (input.first, input.last)
            });
            if known.is_some_and(|known| known.digest == input.digest && known.parts == input.parts)
            {
                continue;
            }
            let newest = known.map_or(0, |known| known.newest);
            reasons.push(self.input_changed(&input, newest, depth)?);
        }
        if reasons.is_empty() {
            reasons.push(leaf(reads_changed.unwrap_or(READS_CHANGED)));
        }
        Ok(reasons)
    }

    /// What of an input was newer than before, and why.
    fn input_changed(
        &mut self,
        input: &Input,
        newest_then: i64,
        depth: usize,
    ) -> Result<Reason, Box<Diagnostic>> {
        let name = self.find(input.upstream);
        let name = name.map_or("what it reads", |item| &self.board.items[item].name);
        let plain = leaf(format!("{name} had changed"));
        if input.newest <= newest_then {
            return Ok(plain);
        }
        let table = self.fetch(&self.sight.ledger.read_numbered(&[input.newest]))?;
        let (Some(row), Some(item)) = (table.rows.first(), self.find(input.upstream)) else {
            return Ok(plain);
        };
        let part = i32::try_from(ledger::number(row, 1)).unwrap_or_default();
        let what = match self.board.items[item].cut {
            Some(_) => format!(
                "{} {}",
                self.board.items[item].name,
                listed(self.board, item, &[part].into())
            ),
            None => self.board.items[item].name.clone(),
        };
        if !self.followed.insert((item, part)) {
            return Ok(leaf(format!("{what} had changed")));
        }
        let builds = self.builds(input.upstream, part)?;
        let visible: Vec<&BuildRow> = builds.iter().filter(|b| b.is_visible()).collect();
        let place = visible
            .iter()
            .position(|build| build.number == input.newest);
        let mut because = Vec::new();
        let mut said = "had changed";
        if let Some(place) = place {
            let (build, before) = (visible[place].clone(), visible.get(place + 1));
            if before.is_none() {
                said = "was new";
            }
            let before = before.map(|build| (*build).clone());
            because = self.told(input.upstream, part, &build, before.as_ref(), depth + 1)?;
        }
        Ok(Reason {
            text: format!("{what} {said}"),
            because,
        })
    }

    /// What was new of a source's partition when a look saw it.
    fn seen(
        &mut self,
        relation: RelationId,
        partition: i32,
        build: &BuildRow,
    ) -> Result<Vec<Reason>, Box<Diagnostic>> {
        let table = self.fetch(&self.sight.ledger.read_files_of(relation, &[partition]))?;
        let mut versions: BTreeMap<i64, Vec<FileRow>> = BTreeMap::new();
        for (number, file) in ledger::file_versions(&table) {
            versions.entry(number).or_default().push(file);
        }
        let Some(now) = versions.get(&build.number) else {
            return Ok(Vec::new());
        };
        let before = versions.range(..build.number).next_back();
        let before = before.map_or(&[][..], |(_, files)| files);
        let files = differences(before, now);
        Ok(files
            .iter()
            .map(|(path, fate)| file_reason(path, *fate))
            .collect())
    }
}

fn file_reason(path: &str, fate: FileFate) -> Reason {
    leaf(format!("the file {path} {}", fate.words()))
}

/// Reads a row of [`ledger::Ledger::read_builds`].
fn build_row(row: &[Datum]) -> BuildRow {
    let text = |at: usize| row.get(at).map(Datum::to_text).unwrap_or_default();
    let second = |at: usize| text(at).chars().take(19).collect();
    BuildRow {
        number: ledger::number(row, 0),
        outcome: text(1),
        code: ledger::number(row, 2),
        inputs: ledger::number(row, 3),
        version: ledger::number(row, 4),
        rows: ledger::number(row, 5),
        run: text(6),
        as_of: second(7),
        finished: second(9),
        reason: Some(text(10)).filter(|reason| !reason.is_empty()),
    }
}
