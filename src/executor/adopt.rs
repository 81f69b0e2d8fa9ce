//! Tables against the ledger: what a table holds already is recorded as published by unknown code, a
//! renamed model takes its history along, and what was published is hashed again to find edits.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::engine::{existing, inputs};
use super::lease::{self, Wanted};
use super::look::{Sight, civil_text};
use super::preview::Preview;
use super::publish::{Content, Stored, nothing_stored, stored_partitions, stored_whole};
use super::session::{Session, SessionShared};
use super::stage::{self, StagedFor};
use super::{Project, heartbeat, recall, schemas};
use crate::calendar::PartitionRange;
use crate::diagnostic::{Code, Diagnostic};
use crate::jinja::port::{Fetch, Transaction};
use crate::jinja::{Value, Warehouse};
use crate::ledger::{
    self, Build, History, Input, MOST_RECORDS, Outcome, Record, RecordState, RelationId, Sift,
};
use crate::manifest::Node;
use crate::planner::board::{ALL, ItemKind};
use crate::planner::items::is_passed_through;
use crate::table::{Datum, Table};

/// So many builds are named in one query.
const CHUNK: usize = 500;

/// What was adopted of one relation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Adopted {
    /// The partitions that were recorded.
    pub parts: Vec<i32>,
    /// Their rows.
    pub rows: i64,
    /// Partitions that the ledger knew already.
    pub known: usize,
    /// Due partitions of which the table has no row.
    pub empty: usize,
}

/// Where an adoption happens.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// The project.
    pub project: &'a Arc<Project>,
    /// The session.
    pub session: &'a Arc<Session>,
    /// What the session shares with the one that gives signs of life.
    pub shared: &'a Arc<SessionShared>,
    /// How long a lease of somebody else is waited for.
    pub lock_timeout: Duration,
}

impl Place<'_> {
    fn run(&self, sql: &str) -> Result<(), Box<Diagnostic>> {
        let outcome = self.session.query(sql, Transaction::AsIs, Fetch::Nothing);
        outcome.map(drop)
    }

    fn fetch(&self, sql: &str) -> Result<Table, Box<Diagnostic>> {
        recall::fetch(self.session, sql)
    }

    /// Does something in a transaction, which is rolled back where it fails.
    fn within<T>(
        &self,
        work: impl FnOnce() -> Result<T, Box<Diagnostic>>,
    ) -> Result<T, Box<Diagnostic>> {
        self.session.begin()?;
        let done = work().and_then(|done| self.session.commit().map(|()| done));
        if done.is_err() {
            // What failed is told; the connection tells of itself when it is used next.
            let _ = self.session.rollback();
        }
        done
    }

    fn node(&self, sight: &Sight, at: usize) -> Result<Arc<Node>, Box<Diagnostic>> {
        let item = &sight.board.items[at];
        let found = self.project.manifest.nodes.get(&item.id).cloned();
        let builds = item.kind == ItemKind::Managed;
        found.filter(|_| builds).ok_or_else(|| {
            let message = format!(
                "`{}` is built each run as in dbt, so nothing is remembered of it",
                item.name
            );
            Box::new(Diagnostic::error(Code::Usage, message).help(
                "`partition_by` with `begin`, or `rebuild: when_stale`, lets daygrain follow it",
            ))
        })
    }

    /// Refuses a relation that is not there.
    fn must_exist(&self, node: &Node) -> Result<(), Box<Diagnostic>> {
        if existing(self.session, &node.relation).is_some() {
            return Ok(());
        }
        let name = node.relation.render(self.project.facts.dialect);
        let message = format!("there is no table {name}, so there is nothing to adopt");
        Err(Box::new(Diagnostic::error(Code::Usage, message).help(
            format!(
                "`daygrain build --select {}` builds it from nothing",
                node.name
            ),
        )))
    }

    /// Rows, and where it is asked for hashes, of what a table holds of a range; by the table's own
    /// order of columns unless another is given.
    fn contents(
        &self,
        sight: &Sight,
        at: usize,
        range: PartitionRange,
        described: Option<&Table>,
    ) -> Result<Content, Box<Diagnostic>> {
        let node = self.node(sight, at)?;
        let scope = schemas::plain_scope(self.project, self.session, Vec::new());
        let Some(cut) = &node.upkeep.partitioning else {
            return stored_whole(self.project, self.session, &scope, &sight.hash, &node);
        };
        let name = node.relation.render(self.project.facts.dialect);
        let own = match described {
            Some(_) => None,
            None => Some(self.fetch(&format!("select * from {name} where 1 = 0"))?),
        };
        let described = described.or(own.as_ref());
        let stored = Stored {
            relation: &node.relation,
            cut,
            range,
            hashed: sight.board.items[at].hashed,
        };
        let (project, session) = (self.project, self.session);
        let nothing = Table::default();
        let described = described.unwrap_or(&nothing);
        stored_partitions(project, session, &scope, &sight.hash, &stored, described)
    }

    /// Writes records of a relation in the open transaction, under its lease where there are leases.
    fn write(
        &self,
        sight: &Sight,
        at: usize,
        builds: &[Build],
        inputs: &[Input],
    ) -> Result<(), Box<Diagnostic>> {
        let item = &sight.board.items[at];
        let shape = item
            .cut
            .as_ref()
            .map_or_else(String::new, |cut| cut.shape());
        let now = civil_text(jiff::Timestamp::now());
        let ledger = &sight.ledger;
        self.run(&ledger.add_relation(item.relation, &item.physical, &shape))?;
        for chunk in builds.chunks(MOST_RECORDS) {
            self.run(&ledger.add_builds(chunk, &sight.facts, &now))?;
        }
        for chunk in inputs.chunks(MOST_RECORDS) {
            if let Some(sql) = ledger.add_inputs(chunk) {
                self.run(&sql)?;
            }
        }
        Ok(())
    }

    /// Does something while no other run publishes the relation, by what the ledger says of it then;
    /// gives it the fencing number, where there are leases.
    fn leased<T>(
        &self,
        sight: &mut Sight,
        at: usize,
        work: impl FnOnce(&mut Sight, Option<i64>) -> Result<T, Box<Diagnostic>>,
    ) -> Result<T, Box<Diagnostic>> {
        if self.project.facts.dialect.profile.embedded {
            return work(sight, None);
        }
        let seconds = heartbeat::lease_seconds(self.project);
        let (ledger, facts) = (sight.ledger.clone(), sight.facts.clone());
        lease::alive(self.shared, (&ledger, &facts, seconds), || {
            let name = sight.board.items[at].name.clone();
            let relation = sight.board.items[at].relation;
            let wanted = Wanted {
                ledger: &ledger,
                facts: &facts,
                relation,
                name: &name,
                seconds,
                patience: self.lock_timeout,
            };
            let fence = lease::take(self.session, wanted)?;
            // It may have been built while this waited.
            let done = self
                .fetch(&ledger.read_records(&[relation], Sift::Database))
                .and_then(|known| {
                    let known = ledger::records(&known).remove(&relation);
                    sight.board.histories[at] = History::new(&known.unwrap_or_default());
                    heartbeat::pause(self.project, "leased");
                    work(sight, Some(fence))
                });
            lease::give_back(self.session, &ledger, relation, fence);
            done
        })
    }

    /// Does something in a transaction that is committed only while the lease is held.
    fn recorded<T>(
        &self,
        sight: &Sight,
        (at, fence): (usize, Option<i64>),
        work: impl FnOnce() -> Result<T, Box<Diagnostic>>,
    ) -> Result<T, Box<Diagnostic>> {
        self.within(|| {
            let done = work()?;
            let item = &sight.board.items[at];
            if let Some(fence) = fence
                && self
                    .fetch(&sight.ledger.beat(item.relation, fence))?
                    .rows
                    .is_empty()
            {
                let message = format!("another run has taken the lease of `{}` over", item.name);
                let error = Diagnostic::error(Code::DatabaseLocked, message);
                return Err(Box::new(error.help("nothing was recorded; try again")));
            }
            Ok(done)
        })
    }

    fn numbers(&self, sight: &Sight, count: usize) -> Result<Vec<i64>, Box<Diagnostic>> {
        if count == 0 {
            return Ok(Vec::new());
        }
        let table = self.fetch(&sight.ledger.take_numbers(count))?;
        let rows = table.rows.iter();
        Ok(rows.map(|row| ledger::number(row, 0)).collect())
    }
}

/// Records what a table holds of partitions that have no record; the board knows of it afterwards.
///
/// # Errors
/// No such table, and what the database says.
pub fn adopt(
    place: Place<'_>,
    sight: &mut Sight,
    at: usize,
    bounds: PartitionRange,
) -> Result<Adopted, Box<Diagnostic>> {
    let node = place.node(sight, at)?;
    if is_passed_through(&node) {
        return Ok(Adopted::default());
    }
    place.must_exist(&node)?;
    let range = match sight.board.items[at].cut {
        Some(_) => sight.board.due(at).intersect(bounds),
        None => PartitionRange::one(ALL),
    };
    let (records, wanted) = place.leased(sight, at, |sight, fence| {
        let history = &sight.board.histories[at];
        let unknown = |part: &i32| history.record(*part).is_none_or(Record::is_lost);
        let wanted: Vec<i32> = range.iter().filter(unknown).collect();
        if wanted.is_empty() {
            return Ok((Vec::new(), wanted));
        }
        let sight: &Sight = sight;
        let builds = place.recorded(sight, (at, fence), || {
            let contents = place.contents(sight, at, range, None)?;
            let there: Vec<i32> = wanted
                .iter()
                .copied()
                .filter(|part| contents.contains_key(part))
                .collect();
            let numbers = place.numbers(sight, there.len())?;
            let (mut builds, mut read) = (Vec::new(), Vec::new());
            // A model may read its own partitions before, which are adopted just now.
            let mut board = sight.board.clone();
            for (part, number) in there.iter().zip(numbers) {
                let (rows, text) = &contents[part];
                let hashed = sight.board.items[at].hashed && !text.is_empty();
                let content = match hashed {
                    true => ledger::hash64(&[text]),
                    false => number,
                };
                let (relation, read_from) = (board.items[at].relation, board.digest(at, *part));
                let build = Build::adopted(number, relation, *part, read_from, (*rows, content));
                let inputs = inputs(&board, at, *part).into_iter();
                board.histories[at].set(*part, record_of(&build, RecordState::Adopted));
                builds.push(build);
                read.extend(inputs.map(|input| Input {
                    build: number,
                    ..input
                }));
            }
            place.write(sight, at, &builds, &read)?;
            Ok(builds)
        })?;
        Ok((builds, wanted))
    })?;
    let mut adopted = Adopted {
        known: range.len() - wanted.len(),
        empty: wanted.len() - records.len(),
        ..Adopted::default()
    };
    for build in records {
        adopted.parts.push(build.partition);
        adopted.rows += build.rows;
        let record = record_of(&build, RecordState::Adopted);
        sight.board.histories[at].set(build.partition, record);
    }
    Ok(adopted)
}

fn record_of(build: &Build, state: RecordState) -> Record {
    Record {
        build: build.number,
        state,
        code: build.code,
        inputs: build.inputs,
        version: build.version,
        content: build.content,
        rows: build.rows,
    }
}

/// What a renamed model has taken along.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inherited {
    /// The old relation's physical name.
    pub from: String,
    /// The partitions that were taken over.
    pub parts: Vec<i32>,
    /// Their rows.
    pub rows: i64,
}

/// Copies the records of a relation of another name, where the table holds the same rows.
///
/// # Errors
/// No such relation in the ledger, no such table, partitions with other numbers of rows, and what the
/// database says.
pub fn inherit(
    place: Place<'_>,
    sight: &mut Sight,
    at: usize,
    old: &str,
) -> Result<Inherited, Box<Diagnostic>> {
    let node = place.node(sight, at)?;
    place.must_exist(&node)?;
    let (from, relation) = find_old(place, sight, at, old)?;
    let item = &sight.board.items[at];
    if sight.board.histories[at].records().next().is_some() {
        let message = format!("the ledger knows partitions of `{}` already", item.name);
        return Err(Box::new(Diagnostic::error(Code::Usage, message).help(
            "`adopt` without --from records those that it does not know",
        )));
    }
    let table = place.fetch(&sight.ledger.read_records(&[relation], Sift::Database))?;
    let records = ledger::records(&table)
        .remove(&relation)
        .unwrap_or_default();
    let mut visible: Vec<(i32, Record)> = records
        .iter()
        .copied()
        .filter(|(_, record)| !matches!(record.state, RecordState::Expired | RecordState::Lost))
        .collect();
    visible.sort_by_key(|(part, _)| *part);
    let old_history = History::new(&records);
    let builds = place.leased(sight, at, |sight, fence| {
        let sight: &Sight = sight;
        place.recorded(sight, (at, fence), || {
            let contents = place.contents(sight, at, old_history.extent(), None)?;
            agree(sight, at, &from, &visible, &contents)?;
            let numbers = place.numbers(sight, visible.len())?;
            // What was fresh under the old name is fresh under the new one, also where the model reads
            // itself: its inputs are then those that it would read by the new name.
            let mut then = sight.board.clone();
            then.items[at].relation = relation;
            then.histories[at] = old_history.clone();
            let mut now = sight.board.clone();
            now.histories[at] = old_history.clone();
            let mut read: BTreeMap<i64, Vec<Input>> = BTreeMap::new();
            let old_builds: Vec<i64> = visible.iter().map(|(_, record)| record.build).collect();
            for chunk in old_builds.chunks(CHUNK) {
                let table = place.fetch(&sight.ledger.read_inputs(chunk))?;
                for input in ledger::inputs(&table) {
                    read.entry(input.build).or_default().push(input);
                }
            }
            let (mut builds, mut inputs) = (Vec::new(), Vec::new());
            for ((part, record), number) in visible.iter().zip(numbers) {
                let same = then.digest(at, *part) == record.inputs;
                builds.push(Build {
                    number,
                    relation: sight.board.items[at].relation,
                    partition: *part,
                    outcome: match record.state {
                        RecordState::Provisional => Outcome::Provisional,
                        RecordState::Adopted => Outcome::Adopted,
                        _ => Outcome::Published,
                    },
                    code: record.code,
                    inputs: match same {
                        true => now.digest(at, *part),
                        false => record.inputs,
                    },
                    version: record.version,
                    content: record.content,
                    rows: record.rows,
                    reason: Some(format!("taken over from {from}")),
                    query_id: None,
                });
                for input in read.remove(&record.build).unwrap_or_default() {
                    inputs.push(Input {
                        build: number,
                        upstream: match input.upstream == relation {
                            true => sight.board.items[at].relation,
                            false => input.upstream,
                        },
                        ..input
                    });
                }
            }
            place.write(sight, at, &builds, &inputs)?;
            Ok(builds)
        })
    })?;
    Ok(Inherited {
        from,
        parts: builds.iter().map(|build| build.partition).collect(),
        rows: builds.iter().map(|build| build.rows).sum(),
    })
}

/// Refuses partitions whose rows are not as many as the old records say.
fn agree(
    sight: &Sight,
    at: usize,
    from: &str,
    records: &[(i32, Record)],
    contents: &Content,
) -> Result<(), Box<Diagnostic>> {
    let rows = |part: &i32| contents.get(part).map_or(0, |(rows, _)| *rows);
    let other: Vec<String> = records
        .iter()
        .filter(|(part, record)| rows(part) != record.rows)
        .map(|(part, record)| {
            let key = sight.board.key(at, *part);
            format!("{key} has {} rows instead of {}", rows(part), record.rows)
        })
        .collect();
    let Some(first) = other.first() else {
        return Ok(());
    };
    let message = format!(
        "the table of `{}` is not what was published as {from}: {first}{}",
        sight.board.items[at].name,
        match other.len() {
            1 => String::new(),
            more => format!(", and {} partitions more", more - 1),
        }
    );
    Err(Box::new(Diagnostic::error(Code::Usage, message).help(
        "rename the table as well; or `adopt` it without --from",
    )))
}

/// Finds a relation of the ledger by its identifier, or by schema and identifier.
fn find_old(
    place: Place<'_>,
    sight: &Sight,
    at: usize,
    old: &str,
) -> Result<(String, RelationId), Box<Diagnostic>> {
    let item = &sight.board.items[at];
    let shape = item
        .cut
        .as_ref()
        .map_or_else(String::new, |cut| cut.shape());
    let plain = |name: &str| name.replace(['"', '`'], "").to_lowercase();
    let wanted = plain(old);
    let table = match sight.ledger_exists {
        true => place.fetch(&sight.ledger.read_relations())?,
        false => Table::default(),
    };
    let known: Vec<(RelationId, String, String)> = table
        .rows
        .iter()
        .map(|row| {
            let text = |at: usize| row.get(at).map(Datum::to_text).unwrap_or_default();
            (RelationId(ledger::number(row, 0)), text(1), text(2))
        })
        .filter(|(id, ..)| *id != item.relation)
        .collect();
    let named: Vec<&(RelationId, String, String)> = known
        .iter()
        .filter(|(_, name, _)| {
            let name = plain(name);
            name == wanted || name.ends_with(&format!(".{wanted}"))
        })
        .collect();
    let alike: Vec<_> = named.iter().filter(|(_, _, cut)| *cut == shape).collect();
    match (alike.as_slice(), named.first()) {
        ([(id, name, _)], _) => Ok((name.clone(), *id)),
        ([], None) => {
            let message = format!("the ledger knows no relation `{old}`");
            let mut error = Diagnostic::error(Code::Usage, message);
            let names: Vec<String> = known.iter().map(|(_, name, _)| plain(name)).collect();
            let last = |name: &String| name.rsplit('.').next().unwrap_or_default().to_owned();
            let short: Vec<String> = names.iter().map(last).collect();
            let candidates = short.iter().map(String::as_str);
            if let Some(near) = crate::diagnostic::nearest(&wanted, candidates) {
                error = error.help(format!("it knows `{near}`"));
            }
            Err(Box::new(error))
        }
        ([], Some((_, name, cut))) => {
            let what = |cut: &str| match cut {
                "" => "has no partitions".to_owned(),
                cut => format!("is cut by {cut}"),
            };
            let message = format!("{name} {}, and `{}` {}", what(cut), item.name, what(&shape));
            Err(Box::new(Diagnostic::error(Code::Usage, message).help(
                "a history can be taken along only where partitions stay as they are",
            )))
        }
        _ => {
            let names: Vec<&str> = alike.iter().map(|(_, name, _)| name.as_str()).collect();
            let message = format!("`{old}` may be {}", names.join(" or "));
            let error = Diagnostic::error(Code::Usage, message);
            Err(Box::new(error.help("write it as schema.table")))
        }
    }
}

/// What a check of published partitions found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// How many partitions were checked.
    pub checked: usize,
    /// Of these, how many were counted and could not be hashed.
    pub only_counted: usize,
    /// Those that are not what was published, and how.
    pub disagreeing: Vec<(i32, String)>,
}

/// Compares what a table holds with what was published, and records what differs as lost.
///
/// # Errors
/// What the database says.
pub fn verify(
    place: Place<'_>,
    sight: &mut Sight,
    at: usize,
    bounds: PartitionRange,
) -> Result<Verified, Box<Diagnostic>> {
    let node = place.node(sight, at)?;
    if is_passed_through(&node) {
        return Ok(Verified::default());
    }
    let bounds = match sight.board.items[at].cut {
        Some(_) => bounds,
        None => PartitionRange::one(ALL),
    };
    let node = Arc::clone(&node);
    place.leased(sight, at, |sight, fence| {
        let (verified, lost) = compare(place, sight, (at, &node), bounds)?;
        if !lost.is_empty() {
            record_lost(place, sight, (at, fence), &lost)?;
        }
        Ok(verified)
    })
}

/// What a check found, and the partitions that are not what was published.
type Compared = (Verified, Vec<(i32, Record)>);

/// What a table holds against what was published, and which partitions have to be recorded as lost.
fn compare(
    place: Place<'_>,
    sight: &Sight,
    (at, node): (usize, &Arc<Node>),
    bounds: PartitionRange,
) -> Result<Compared, Box<Diagnostic>> {
    let mut verified = Verified::default();
    let records: Vec<(i32, Record)> = sight.board.histories[at]
        .records()
        .filter(|(part, record)| bounds.contains(*part) && record.state != RecordState::Expired)
        .collect();
    let extent = match (records.first(), records.last()) {
        (Some((first, _)), Some((last, _))) => PartitionRange::new(*first, *last),
        _ => return Ok((verified, Vec::new())),
    };
    if existing(place.session, &node.relation).is_none() {
        let gone = records.iter();
        verified.disagreeing = gone
            .map(|(part, _)| (*part, "its table is gone".to_owned()))
            .collect();
        verified.checked = records.len();
        return Ok((verified, Vec::new()));
    }
    let contents = place.within(|| place.contents(sight, at, extent, None))?;
    let differ = records.iter().any(|(part, record)| {
        let now = content_of(&contents, *part, &sight.hash);
        is_hashed(record) && now.1 != Some(record.content)
    });
    // The query may give the columns in another order than the table has them.
    let described = match differ {
        true => describe(place, sight, node).ok().flatten(),
        false => None,
    };
    let reordered = match described {
        Some(described) => {
            Some(place.within(|| place.contents(sight, at, extent, Some(&described)))?)
        }
        None => None,
    };
    let mut lost = Vec::new();
    for (part, record) in &records {
        verified.checked += 1;
        if record.is_lost() {
            verified
                .disagreeing
                .push((*part, "known to be changed".to_owned()));
            continue;
        }
        let (rows, now) = content_of(&contents, *part, &sight.hash);
        if rows != record.rows {
            let text = format!("{rows} rows instead of {}", record.rows);
            verified.disagreeing.push((*part, text));
            lost.push((*part, *record));
            continue;
        }
        let item = &sight.board.items[at];
        // Older code may have had other columns, which nobody remembers.
        let known_columns = record.code == item.code || record.state == RecordState::Adopted;
        if !is_hashed(record) || now.is_none() || !known_columns {
            verified.only_counted += 1;
            continue;
        }
        let other = reordered
            .as_ref()
            .and_then(|contents| content_of(contents, *part, &sight.hash).1);
        if now != Some(record.content) && other != Some(record.content) {
            verified
                .disagreeing
                .push((*part, "other rows than were published".to_owned()));
            lost.push((*part, *record));
        }
    }
    Ok((verified, lost))
}

/// Tells whether a record's content is a hash, and not just the number of its build.
fn is_hashed(record: &Record) -> bool {
    record.content != record.version && record.content != record.build
}

/// Rows and content of a partition, as a record has them.
fn content_of(contents: &Content, part: i32, hash: &str) -> (i64, Option<i64>) {
    let hashes = contents.values().any(|(_, text)| !text.is_empty());
    match contents.get(&part) {
        Some((rows, text)) if text.is_empty() => (*rows, None),
        Some((rows, text)) => (*rows, Some(ledger::hash64(&[text]))),
        None if hashes || contents.is_empty() => {
            (0, Some(ledger::hash64(&[&nothing_stored(hash)])))
        }
        None => (0, None),
    }
}

/// The columns of a model's query, in its order.
fn describe(
    place: Place<'_>,
    sight: &Sight,
    node: &Arc<Node>,
) -> Result<Option<Table>, Box<Diagnostic>> {
    let Place {
        project, session, ..
    } = place;
    // The files need not be read to know their columns.
    for read in &node.upkeep.reads {
        let files = sight.board.find(&read.upstream);
        if let Some(files) = files.and_then(|at| sight.files.get(&at)) {
            let nothing = PartitionRange::new(0, -1);
            stage::load(
                project,
                session,
                files,
                nothing,
                StagedFor::Model(read.mapping),
            )?;
        }
    }
    let preview = Preview::of(sight.followed.clone(), sight.board.as_of);
    let Some(view) = preview.view(project, node) else {
        return Ok(None);
    };
    let shown = super::compile::Shown::of_partitions(project, node, view);
    let compiled = super::compile::compile(project, session, node, &shown)?;
    let scope = schemas::plain_scope(project, session, Vec::new());
    let arguments = [Value::from(compiled.sql)];
    let sql = project
        .engine
        .call("describe_query", &arguments, &[], &scope)?;
    let sql = sql.as_str().map(str::trim).unwrap_or_default();
    place.fetch(sql).map(Some)
}

/// Records partitions as changed outside daygrain, so that the next run builds
/// them.
fn record_lost(
    place: Place<'_>,
    sight: &mut Sight,
    (at, fence): (usize, Option<i64>),
    lost: &[(i32, Record)],
) -> Result<(), Box<Diagnostic>> {
    let numbers = place.numbers(sight, lost.len())?;
    let relation = sight.board.items[at].relation;
    let numbered = lost.iter().zip(numbers);
    let builds: Vec<Build> = numbered
        .map(|((part, record), number)| Build::lost(number, relation, *part, record))
        .collect();
    place.recorded(sight, (at, fence), || place.write(sight, at, &builds, &[]))?;
    for build in builds {
        let record = record_of(&build, RecordState::Lost);
        sight.board.histories[at].set(build.partition, record);
    }
    Ok(())
}
