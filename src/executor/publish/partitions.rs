//! A partitioned model: its query narrowed to a batch, its rows written, or all of it into a new table.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use crate::calendar::{Mapping, PartitionRange};
use crate::diagnostic::{Code, Diagnostic};
use crate::dialect::Dialect;
use crate::executor::Project;
use crate::executor::compile::{Shown, compile, node_scope};
use crate::executor::event::NodeResult;
use crate::executor::heartbeat::pause;
use crate::executor::microbatch::Turn;
use crate::executor::node::{self};
use crate::executor::reads::{BatchView, Built, Narrowed, Narrowing};
use crate::executor::session::Session;
use crate::executor::stage;
use crate::jinja::context::relation_value;
use crate::jinja::language::{Scope, list};
use crate::jinja::port::CacheChange;
use crate::jinja::{Value, Warehouse};
use crate::ledger;
use crate::manifest::partitioning::{OnCodeChange, Partitioning};
use crate::manifest::{Node, UniqueId};
use crate::microbatch::{Batch as Bounds, Microbatch};
use crate::planner::board::Why;
use crate::relation::{Relation, RelationKind};
use crate::table::Table;

use super::audit::{empty, judge, refuse, stage_audits};
use super::content::{ColumnOrder, Content, columns_number, content, partition_of};
use super::hooks::{self, Outside};
use super::record::{Claim, intend, record};
use super::take_numbers;

use super::{
    Attempted, Desk, Job, JobRead, Part, Published, Trouble, begin, fetch, moved, none_judged, run,
    text,
};

/// Where a cumulative model finds its own earlier partitions.
#[derive(Clone, Copy)]
pub(super) enum Own<'a> {
    /// In a table.
    Table(&'a Relation),
    /// Nowhere: there is no table yet.
    Missing,
}

/// The reads of a batch: what the files of sources hold is loaded into tables of the session.
pub(super) fn narrowing(
    desk: &Desk,
    session: &Arc<Session>,
    job: &Job,
    range: PartitionRange,
    own: Own<'_>,
) -> Result<Narrowing, Box<Diagnostic>> {
    let mut reads = BTreeMap::new();
    let wanted = |read: &JobRead| match &job.cut {
        Some(own) => read.mapping.reads(range, &own.calendar, &read.cut.calendar),
        None => PartitionRange::new(read.cut.calendar.begin, i32::MAX),
    };
    for read in &job.reads {
        let wanted = wanted(read);
        let is_self = read.upstream == job.node.unique_id;
        let narrowed = if let Some(files) = &read.files {
            let reader = stage::StagedFor::Model(read.mapping);
            Narrowed::Staged(stage::load(&desk.project, session, files, wanted, reader)?)
        } else if is_self {
            match own {
                Own::Missing => Narrowed::Query(nothing(&job.node)?),
                Own::Table(table) => {
                    let predicate = read.cut.predicate(&read.cut.field, wanted);
                    let name = table.render(desk.project.facts.dialect);
                    Narrowed::Query(format!("select * from {name}\nwhere {predicate}"))
                }
            }
        } else if read.mapping == Mapping::All || job.cut.is_none() {
            continue;
        } else {
            let field = &read.cut.field;
            Narrowed::Where(read.cut.predicate(field, wanted))
        };
        reads.insert((read.upstream.clone(), read.mapping), narrowed);
    }
    let mut files: BTreeMap<&UniqueId, (PartitionRange, &stage::SourceFiles)> = BTreeMap::new();
    for read in &job.inlined {
        let Some(of_source) = read.files.as_deref() else {
            continue;
        };
        let more = wanted(read);
        let (range, _) = files.entry(&read.upstream).or_insert((more, of_source));
        *range = PartitionRange::new(range.first.min(more.first), range.last.max(more.last));
    }
    let mut inlined = BTreeMap::new();
    for (source, (range, files)) in files {
        let reader = stage::StagedFor::Inlined;
        let staged = stage::load(&desk.project, session, files, range, reader)?;
        inlined.insert(source.clone(), staged);
    }
    Ok(Narrowing::new(reads).with_inlined(inlined))
}

/// A query without rows that has a model's declared columns: what a cumulative model starts from.
pub(super) fn nothing(node: &Node) -> Result<String, Box<Diagnostic>> {
    let untyped = node
        .columns
        .values()
        .find(|column| column.data_type.is_none());
    if node.columns.is_empty() || untyped.is_some() {
        let message = format!(
            "`{}` reads its own partition before, and there is no table yet that says which columns it has",
            node.name
        );
        let mut error = Diagnostic::error(Code::BadConfig, message);
        if let Some(span) = &node.upkeep.reads_self {
            error = error.at(span.clone());
        }
        let help = "declare all of its columns in YAML, each with its `data_type`";
        return Err(Box::new(error.help(help)));
    }
    let columns: Vec<String> = node
        .columns
        .values()
        .map(|column| {
            let data_type = column.data_type.as_deref().unwrap_or_default();
            format!("cast(null as {data_type}) as {}", column.name)
        })
        .collect();
    Ok(format!("select {} where 1 = 0", columns.join(", ")))
}

/// A batch's query, ready to be inserted.
pub(super) struct Prepared {
    shown: Shown,
    scope: Scope,
    sql: Arc<str>,
    described: Arc<Table>,
}

/// Renders a batch's query, and asks the database which columns it has.
pub(super) fn prepare(
    desk: &Desk,
    session: &Arc<Session>,
    job: &Job,
    cut: &Arc<Partitioning>,
    own: Own<'_>,
    result: &mut NodeResult,
) -> Result<Prepared, Box<Diagnostic>> {
    let project = &desk.project;
    let range = job.range();
    let started = SystemTime::now();
    let shown = match &job.node.microbatch {
        Some(model) => Shown::of_batch(project, &job.node, turn(project, job, model, cut)),
        None => {
            let view = BatchView {
                narrowing: Arc::new(narrowing(desk, session, job, range, own)?),
                built: Some(Arc::new(Built {
                    cut: Arc::clone(cut),
                    range,
                })),
            };
            Shown::of_partitions(project, &job.node, view)
        }
    };
    let compiled = compile(project, session, &job.node, &shown)?;
    node::write_compiled(project, &job.node, &shown, &compiled, result)?;
    result.compile = Some((started, SystemTime::now()));
    let (scope, _) = node_scope(project, session, &job.node, &shown, Vec::new());
    let sql = Arc::clone(&compiled.sql);
    // A cumulative model reads its declared columns where there is no table yet.
    let alike = job.is_alike && matches!(own, Own::Table(_));
    let known = desk.columns.get(&job.node.unique_id).filter(|_| alike);
    let described = match known {
        Some(known) => known,
        None => {
            let arguments = [Value::from(Arc::clone(&sql))];
            let describe = text(desk, &scope, "describe_query", &arguments)?;
            let described = Arc::new(fetch(session, &describe)?);
            if alike {
                desk.columns.keep(&job.node.unique_id, &described);
            }
            described
        }
    };
    Ok(Prepared {
        shown,
        scope,
        sql,
        described,
    })
}

/// What the template of a microbatch model sees of the batch that is built, as in dbt.
pub(super) fn turn(project: &Project, job: &Job, model: &Microbatch, cut: &Partitioning) -> Turn {
    let range = job.range();
    let granularity = cut.calendar.granularity;
    let batch = Bounds {
        start: granularity.civil_start(range.first),
        end: granularity.civil_start(range.last.saturating_add(1)),
    };
    Turn::new(&project.node_json(&job.node), batch, model.size, job.exists)
}

impl Prepared {
    /// The statement that inserts the rows into a table, in order.
    fn insert(
        &self,
        desk: &Desk,
        job: &Job,
        cut: &Partitioning,
        target: &Relation,
    ) -> Result<String, Box<Diagnostic>> {
        let dialect = desk.project.facts.dialect;
        let columns = self.described.columns.iter();
        let names = columns
            .map(|column| Value::from(dialect.quote_identifier(&column.name)))
            .collect();
        let mut order: Vec<Value> = vec![Value::from(cut.field.as_str())];
        order.extend(
            cut.order_by
                .iter()
                .filter(|column| !column.eq_ignore_ascii_case(&cut.field))
                .map(|column| Value::from(column.as_str())),
        );
        let arguments = [
            relation_value(dialect, target),
            list(names),
            Value::from(Arc::clone(&self.sql)),
            list(order),
        ];
        let insert = text(desk, &self.scope, "insert_partitions", &arguments)?;
        node::write_run(&desk.project, &job.node, &self.shown, &insert)?;
        Ok(insert)
    }
}

pub(super) fn publish_partitions(
    desk: &Desk,
    session: &Arc<Session>,
    job: &Job,
    cut: &Arc<Partitioning>,
    fence: Option<i64>,
    result: &mut NodeResult,
) -> Attempted {
    let dialect = desk.project.facts.dialect;
    let relation = &job.node.relation;
    let own = match job.exists {
        true => Own::Table(relation),
        false => Own::Missing,
    };
    let started = jiff::Timestamp::now();
    let batch = prepare(desk, session, job, cut, own, result).map_err(none_judged)?;
    hooks::before(desk, session, &batch.scope, &job.node, Outside::All).map_err(none_judged)?;
    if !job.exists {
        session.begin().map_err(none_judged)?;
        create_table(desk, session, &batch, relation, cut).map_err(none_judged)?;
        session.commit().map_err(none_judged)?;
    } else if !job.compared {
        let stored = format!("select * from {} where 1 = 0", relation.render(dialect));
        let stored = fetch(session, &stored).map_err(none_judged)?;
        add_columns(desk, session, job, &stored, &batch.described)
            .map_err(|trouble| (trouble, BTreeMap::new()))?;
    }
    let insert = batch
        .insert(desk, job, cut, relation)
        .map_err(none_judged)?;
    let predicate = cut.predicate(&cut.field, job.range());
    let delete = [relation_value(dialect, relation), Value::from(predicate)];
    let delete = text(desk, &batch.scope, "delete_partitions", &delete).map_err(none_judged)?;

    stage_audits(desk, session, job).map_err(none_judged)?;
    let mut claim = claim(desk, session, job, fence).map_err(none_judged)?;
    claim.started = started;
    claim.columns = shown_columns(job, &batch.described);
    pause(&desk.project, "before-begin");
    begin(desk, session, job).map_err(|trouble| (trouble, BTreeMap::new()))?;
    run(session, &delete).map_err(none_judged)?;
    pause(&desk.project, "after-delete");
    let inserted = run(session, &insert).map_err(none_judged)?;
    claim.query_id.clone_from(&inserted.query_id);
    pause(&desk.project, "after-insert");
    let (audits, content) = examine(desk, session, job, cut, &batch)?;
    pause(&desk.project, "after-audits");
    let judged = |trouble: Trouble| (trouble, audits.clone());
    let counted: i64 = content.values().map(|(rows, _)| rows).sum();
    if let Some(written) = inserted.rows_affected
        && written != counted.unsigned_abs()
    {
        let outside = outside(session, job, cut, &batch.sql);
        return Err(judged(Trouble::Failed(Box::new(outside))));
    }
    let records = record(desk, session, job, &content, &claim).map_err(judged)?;
    result.rows_affected = Some(result.rows_affected.unwrap_or(0) + counted.unsigned_abs());
    let published = Published {
        records,
        audits,
        rows: counted.unsigned_abs(),
        columns: claim.columns,
    };
    hooks::after(desk, session, &batch.scope, job, Outside::All, published)
}

fn claim(
    desk: &Desk,
    session: &Session,
    job: &Job,
    fence: Option<i64>,
) -> Result<Claim, Box<Diagnostic>> {
    Ok(Claim {
        fence,
        numbers: take_numbers(desk, session, job)?,
        started: jiff::Timestamp::now(),
        query_id: None,
        outside: Outside::All,
        columns: None,
    })
}

/// What tells the columns of what is built from others, where a view shows them.
fn shown_columns(job: &Job, described: &Table) -> Option<i64> {
    job.columns?;
    Some(columns_number(described, ColumnOrder::IsKept))
}

/// What a batch has become, judged in the open transaction: its tests, its rows and their hashes.
#[allow(clippy::type_complexity)]
pub(super) fn examine(
    desk: &Desk,
    session: &Arc<Session>,
    job: &Job,
    cut: &Partitioning,
    batch: &Prepared,
) -> Result<(BTreeMap<UniqueId, NodeResult>, Content), (Trouble, BTreeMap<UniqueId, NodeResult>)> {
    let audits = judge(desk, session, job).map_err(none_judged)?;
    let judged = |trouble: Trouble| (trouble, audits.clone());
    refuse(&audits).map_err(judged)?;
    let content = content(desk, session, &batch.scope, job, cut, &batch.described)
        .map_err(|diagnostic| judged(Trouble::Failed(diagnostic)))?;
    let emptied = job.parts.iter().find(|part| {
        let rows = content
            .get(&part.part.partition)
            .map_or(0, |(rows, _)| *rows);
        rows == 0 && part.had_rows() && job.reads_sources && !cut.allow_empty
    });
    if let Some(part) = emptied {
        let key = cut.calendar.granularity.key(part.part.partition);
        let empty = empty(&format!("the partition {key} of `{}`", job.node.name));
        return Err(judged(Trouble::Failed(Box::new(empty))));
    }
    Ok((audits, content))
}

/// Builds every partition into a new table and puts it in the place of the old one, once.
pub(super) fn publish_reshaped(
    desk: &Desk,
    session: &Arc<Session>,
    job: &Job,
    cut: &Arc<Partitioning>,
    fence: Option<i64>,
    result: &mut NodeResult,
) -> Attempted {
    may_reshape(job, cut).map_err(none_judged)?;
    let dialect = desk.project.facts.dialect;
    let aside = set_aside(job, dialect);
    let new = &aside.node.relation;
    let name = new.render(dialect);
    let whole = BatchView {
        narrowing: Arc::new(Narrowing::default()),
        built: Some(Arc::new(Built {
            cut: Arc::clone(cut),
            range: job.range(),
        })),
    };
    let whole = Shown::of_partitions(&desk.project, &job.node, whole);
    let (whole, _) = node_scope(&desk.project, session, &job.node, &whole, Vec::new());
    hooks::before(desk, session, &whole, &job.node, Outside::All).map_err(none_judged)?;
    let started = jiff::Timestamp::now();
    let mut early = None;
    let mut query_id = None;
    if dialect.transactional_ddl {
        early = Some(claim(desk, session, job, fence).map_err(none_judged)?);
        begin(desk, session, job).map_err(none_judged)?;
    }
    run(session, &format!("drop table if exists {name}")).map_err(none_judged)?;
    let mut last: Option<Prepared> = None;
    let mut written = 0;
    for group in groups(&job.parts, job.most) {
        let part = Job {
            parts: group,
            ..job.clone()
        };
        let own = match last {
            Some(_) => Own::Table(new),
            None => Own::Missing,
        };
        let batch = prepare(desk, session, &part, cut, own, result).map_err(none_judged)?;
        if last.is_none() {
            create_table(desk, session, &batch, new, cut).map_err(none_judged)?;
        }
        let insert = batch.insert(desk, &part, cut, new).map_err(none_judged)?;
        let inserted = run(session, &insert).map_err(none_judged)?;
        written += inserted.rows_affected.unwrap_or(0);
        query_id = inserted.query_id;
        last = Some(batch);
    }
    let Some(batch) = last else {
        return Err(none_judged(Trouble::Moved));
    };
    pause(&desk.project, "after-insert");
    let (audits, content) = examine(desk, session, &aside, cut, &batch)?;
    let judged = |trouble: Trouble| (trouble, audits.clone());
    pause(&desk.project, "after-audits");
    let counted: i64 = content.values().map(|(rows, _)| rows).sum();
    if written != counted.unsigned_abs() {
        let outside = outside(session, job, cut, &batch.sql);
        return Err(judged(Trouble::Failed(Box::new(outside))));
    }
    if !dialect.transactional_ddl {
        moved(desk, session, job).map_err(judged)?;
        // Before the numbers are taken: what comes last counts.
        intend(desk, session, job, fence).map_err(judged)?;
    }
    let failed = |wrong: Box<Diagnostic>| judged(Trouble::Failed(wrong));
    let mut claim = match early {
        Some(claim) => claim,
        None => claim(desk, session, job, fence).map_err(failed)?,
    };
    claim.started = started;
    claim.query_id = query_id;
    claim.columns = shown_columns(job, &batch.described);
    pause(&desk.project, "before-replace");
    if let Some(existing) = &job.existing {
        let arguments = [
            relation_value(dialect, &job.node.relation.of_kind(RelationKind::Table)),
            relation_value(dialect, existing),
            relation_value(dialect, new),
        ];
        desk.project
            .engine
            .call("swap_partitioned_table", &arguments, &[], &batch.scope)
            .map_err(failed)?;
    }
    pause(&desk.project, "after-replace");
    if !dialect.transactional_ddl {
        session.begin().map_err(failed)?;
        session.hold();
    }
    let records = record(desk, session, job, &content, &claim).map_err(judged)?;
    let published = Published {
        records,
        audits,
        rows: counted.unsigned_abs(),
        columns: claim.columns,
    };
    desk.columns.forget();
    hooks::after(desk, session, &whole, job, Outside::All, published)
}

/// The job as one that builds a table under another name, which is judged in the place of its own.
pub(super) fn set_aside(job: &Job, dialect: &Dialect) -> Job {
    let mut node = Node::clone(&job.node);
    let new = node.relation.identifier.as_deref().unwrap_or_default();
    let new = dialect.fit_identifier(format!("{new}__daygrain_new"));
    node.relation.identifier = Some(new.into());
    node.relation.kind = Some(RelationKind::Table);
    Job {
        staged: Some(node.relation.clone()),
        node: Arc::new(node),
        ..job.clone()
    }
}

/// Refuses a new table that would lack what the old one has.
pub(super) fn may_reshape(job: &Job, cut: &Partitioning) -> Result<(), Box<Diagnostic>> {
    let name = &job.node.name;
    let mut parts = job.parts.iter();
    let kept = parts.any(|part| part.before.is_some() && part.part.why != Why::Forced);
    let kept = kept || job.recut || !job.left_over.is_empty();
    if cut.on_code_change == OnCodeChange::Keep && kept {
        let what = match job.recut {
            true => format!("`{name}` is cut into other partitions than its table"),
            false => format!("columns of `{name}` were removed or have other types"),
        };
        let message =
            format!("{what}, and `on_code_change: keep` leaves its partitions as they are");
        let error = Diagnostic::error(Code::Database, message);
        return Err(Box::new(error.help(format!(
            "build all of it anew: daygrain build --select {name} --full-refresh"
        ))));
    }
    if let (Some(first), Some(last)) = (job.left_over.first(), job.left_over.last()) {
        let key = |part| cut.calendar.granularity.key(part);
        let message = format!(
            "`{name}` needs a new table, since its columns or partitions were changed, and {} partitions between {} and {} would not be in it",
            job.left_over.len(),
            key(*first),
            key(*last)
        );
        let error = Diagnostic::error(Code::Database, message);
        return Err(Box::new(
            error.help("build without --start, --end and --partition-date"),
        ));
    }
    Ok(())
}

/// Parts that follow each other, so many together at the most.
pub(super) fn groups(parts: &[Part], most: usize) -> Vec<Vec<Part>> {
    let mut groups: Vec<Vec<Part>> = Vec::new();
    for part in parts {
        match groups.last_mut() {
            Some(group)
                if group.len() < most
                    && group
                        .last()
                        .is_some_and(|last| last.part.partition + 1 == part.part.partition) =>
            {
                group.push(part.clone());
            }
            _ => groups.push(vec![part.clone()]),
        }
    }
    groups
}

/// Makes an empty table for a batch's rows, in the open transaction.
pub(super) fn create_table(
    desk: &Desk,
    session: &Arc<Session>,
    batch: &Prepared,
    relation: &Relation,
    cut: &Partitioning,
) -> Result<(), Box<Diagnostic>> {
    let target = relation_value(desk.project.facts.dialect, relation);
    let sql = Value::from(Arc::clone(&batch.sql));
    let create = text(
        desk,
        &batch.scope,
        "create_partitioned_table",
        &[target.clone(), sql],
    )?;
    run(session, &create)?;
    let field = Value::from(cut.field.as_str());
    let index = text(
        desk,
        &batch.scope,
        "create_partition_index",
        &[target.clone(), field],
    )?;
    if !index.is_empty() {
        run(session, &index)?;
    }
    desk.project
        .engine
        .call("create_indexes", &[target], &[], &batch.scope)?;
    session.note(CacheChange::Added(relation.of_kind(RelationKind::Table)));
    desk.columns.forget();
    Ok(())
}

/// Adds the columns that the query has and the table has not; any other difference needs a new table.
pub(super) fn add_columns(
    desk: &Desk,
    session: &Arc<Session>,
    job: &Job,
    stored: &Table,
    described: &Table,
) -> Result<(), Trouble> {
    let find = |table: &'_ Table, name: &str| {
        let mut columns = table.columns.iter();
        columns
            .find(|column| column.name.eq_ignore_ascii_case(name))
            .map(|column| column.data_type.clone())
    };
    let kept = stored.columns.iter().all(|column| {
        find(described, &column.name).is_some_and(|data_type| data_type == column.data_type)
    });
    if !kept {
        return Err(Trouble::Reshape);
    }
    let dialect = desk.project.facts.dialect;
    for column in &described.columns {
        if find(stored, &column.name).is_some() {
            continue;
        }
        let sql = format!(
            "alter table {} add column {} {}",
            job.node.relation.render(dialect),
            dialect.quote_identifier(&column.name),
            column.data_type
        );
        run(session, &sql)?;
        desk.columns.forget();
    }
    Ok(())
}

/// Names the partitions outside a batch that its rows belong to.
pub(super) fn outside(session: &Session, job: &Job, cut: &Partitioning, sql: &str) -> Diagnostic {
    let range = job.range();
    let field = &cut.field;
    let bucket = cut.bucket(field).unwrap_or_else(|| field.clone());
    let inside = cut.predicate(field, range);
    let query = format!(
        "select {bucket} as part, count(*) as row_count from (\n{sql}\n) as built where not coalesce({inside}, false) group by {bucket} order by row_count desc limit 5"
    );
    let mut told = Vec::new();
    if let Ok(table) = fetch(session, &query) {
        for row in &table.rows {
            let part = row.first().and_then(|value| partition_of(value, cut));
            let key = match part {
                Some(part) => cut.calendar.granularity.key(part),
                None => "no partition (null)".to_owned(),
            };
            told.push(format!("{key} ({} rows)", ledger::number(row, 1)));
        }
    }
    let message = format!(
        "`{}` built {} and gave rows of {}",
        job.node.name,
        job.keys(),
        match told.is_empty() {
            true => "other partitions".to_owned(),
            false => told.join(", "),
        }
    );
    Diagnostic::error(Code::Database, message).help(format!(
        "keep `{field}` within the partitions that are built; `partition.filter('{field}')` does"
    ))
}
