//! The proof that a query can be built for several partitions at once.
//!
//! A query is read as a function of its relations: for each FROM, subquery and common table
//! expression it is worked out whether its rows depend on relations that are read by partition, and
//! if so which of its columns carry the partition: are never null and determine it. A step that
//! could see two partitions at once ends the proof, and so does all that is not understood.
//!
//! What is assumed of the world: the partition columns of all relations are of one granularity, time
//! zone and type, and functions that users have made read no tables.

mod checks;
mod columns;
mod from;
mod scope;
mod select;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use sqlparser::ast::{
    ObjectName, ObjectNamePart, OrderBy, OrderByExpr, OrderByKind, Query, SetExpr, SetOperator,
    SetQuantifier, Statement, Visit, Visitor,
};
use sqlparser::parser::Parser as SqlParser;

pub(super) use self::checks::reads_elsewhere;
use self::columns::{Found, Rows, Slot, find, fold_text, has_key, keys};
pub(super) use self::columns::{fold, spellings};
use self::scope::Scope;
pub(super) use self::select::refuse_clauses;
use super::tokens;
use crate::dialect::{Dialect, Parser};

/// A relation of a query that is read for the same partitions as are built.
#[derive(Clone, Copy, Debug)]
pub struct DailyRelation<'a> {
    /// Its identifier as the query writes it in FROM, without the schema.
    pub name: &'a str,
    /// Its partition column, as it is written without quotes.
    pub field: &'a str,
}

/// What keeps a query from being built for several partitions at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entangled {
    /// In words for a user, such as "the window of `lag` is not partitioned by `day`".
    pub reason: String,
}

fn entangled(reason: impl Into<String>) -> Entangled {
    Entangled {
        reason: reason.into(),
    }
}

/// Proves that the rows of a query with partition p depend on the rows of the daily relations with
/// partition p only, and that its column `output_field` is p.
///
/// So one statement over several partitions gives what one statement for each gives. `fixed` are
/// the relations that are the same whichever partition is built.
///
/// # Errors
/// The first thing that stands against it. That says nothing about the query: the proof is
/// conservative.
pub fn separable(
    dialect: &Dialect,
    sql: &str,
    daily: &[DailyRelation<'_>],
    fixed: &[&str],
    output_field: &str,
) -> Result<(), Entangled> {
    let columns = columns_of(dialect, sql, daily, fixed)?;
    match find(&columns, &fold_text(dialect, output_field)) {
        Found::Key => Ok(()),
        Found::Other => Err(entangled(format!(
            "the column `{output_field}` is not the partition of what the query reads"
        ))),
        Found::Absent | Found::Unknown => Err(entangled(format!(
            "the query does not certainly return the partition as `{output_field}`"
        ))),
    }
}

/// Finds the column by which a view or an ephemeral model keeps partitions apart, as the database
/// folds its name.
///
/// # Errors
/// As [`separable`]; also where the query reads none of the daily relations.
pub fn carried_field(
    dialect: &Dialect,
    sql: &str,
    daily: &[DailyRelation<'_>],
    fixed: &[&str],
) -> Result<String, Entangled> {
    let names = keys(&columns_of(dialect, sql, daily, fixed)?);
    let field = |name: &&String| {
        daily
            .iter()
            .any(|relation| fold_text(dialect, relation.field) == **name)
    };
    let name = names.iter().find(field).or(names.first());
    name.cloned()
        .ok_or_else(|| entangled("the query does not certainly return the partition"))
}

/// The columns that a query returns for each partition.
fn columns_of(
    dialect: &Dialect,
    sql: &str,
    daily: &[DailyRelation<'_>],
    fixed: &[&str],
) -> Result<Vec<Slot>, Entangled> {
    if let Some(word) = tokens::volatile(dialect, sql) {
        return Err(entangled(format!(
            "`{word}` has another value in each statement"
        )));
    }
    if tokens::has_nested_comment(dialect, sql) {
        return Err(entangled("a comment opens within another"));
    }
    let statements = SqlParser::parse_sql(super::grammar(dialect), sql)
        .map_err(|_| entangled("the query is not understood"))?;
    let query = match statements.as_slice() {
        [Statement::Query(query)] => query,
        _ => return Err(entangled("it is not one query")),
    };
    let mut count = Statements(0);
    let _ = statements.visit(&mut count);
    if count.0 != 1 {
        return Err(entangled("a statement within the query changes data"));
    }
    let walk = Walk::new(dialect, daily, fixed)?;
    let rows = walk.query(query, Within::default())?;
    if rows.daily {
        Ok(rows.columns)
    } else {
        Err(entangled("the query reads no relation by partition"))
    }
}

/// Counts statements.
struct Statements(usize);

impl Visitor for Statements {
    type Break = ();

    fn pre_visit_statement(&mut self, _: &Statement) -> ControlFlow<()> {
        self.0 += 1;
        ControlFlow::Continue(())
    }
}

/// What holds for the whole query.
struct Walk<'a> {
    dialect: &'a Dialect,
    /// The relations by their folded names; of the daily ones the folded partition column.
    relations: BTreeMap<String, Option<String>>,
    /// How the query qualifies each relation that it reads.
    spellings: RefCell<BTreeMap<String, String>>,
}

/// What surrounds a part of the query.
#[derive(Clone, Copy, Default)]
struct Within<'e> {
    /// Common table expressions, inner ones last.
    ctes: &'e [(String, Result<Rows, Entangled>)],
    /// The rows for each of which a subquery is run.
    outer: Option<&'e Outer<'e>>,
}

/// The FROM around a subquery, and that around it.
struct Outer<'e> {
    scope: &'e Scope,
    beyond: Option<&'e Outer<'e>>,
}

impl<'a> Walk<'a> {
    fn new(
        dialect: &'a Dialect,
        daily: &[DailyRelation<'_>],
        fixed: &[&str],
    ) -> Result<Walk<'a>, Entangled> {
        let mut relations = BTreeMap::new();
        let daily = daily
            .iter()
            .map(|relation| (relation.name, Some(fold_text(dialect, relation.field))));
        for (name, field) in daily.chain(fixed.iter().map(|name| (*name, None))) {
            for folded in spellings(dialect, name) {
                let before = relations.insert(folded, field.clone());
                if before.is_some_and(|before| before != field) {
                    return Err(entangled(format!("two relations are called `{name}`")));
                }
            }
        }
        Ok(Walk {
            dialect,
            relations,
            spellings: RefCell::default(),
        })
    }

    /// The relation that a name in FROM means.
    fn relation(&self, name: &ObjectName, within: Within<'_>) -> Result<Rows, Entangled> {
        let mut parts = Vec::new();
        for part in &name.0 {
            match part {
                ObjectNamePart::Identifier(part) => parts.push(fold(self.dialect, part)),
                ObjectNamePart::Function(_) => {
                    return Err(entangled(format!("`{name}` is not understood")));
                }
            }
        }
        let last = parts.last().cloned().unwrap_or_default();
        if parts.len() == 1
            && let Some((_, rows)) = within.ctes.iter().rev().find(|(cte, _)| *cte == last)
        {
            return rows.clone();
        }
        let Some(field) = self.relations.get(&last) else {
            return Err(entangled(format!(
                "`{name}` is read, and not for the same partitions"
            )));
        };
        let spelling = parts.join("\0");
        let mut spellings = self.spellings.borrow_mut();
        if *spellings.entry(last.clone()).or_insert(spelling.clone()) != spelling {
            return Err(entangled(format!("two relations are called `{last}`")));
        }
        Ok(Rows {
            daily: field.is_some(),
            columns: vec![Slot::Others {
                keys: field.iter().cloned().collect(),
                lacks: BTreeSet::new(),
                origin: Some(last),
            }],
        })
    }

    /// The rows of a query.
    fn query(&self, query: &Query, within: Within<'_>) -> Result<Rows, Entangled> {
        refuse_endings(query)?;
        let Query {
            with,
            body,
            order_by,
            limit_clause,
            fetch,
            ..
        } = query;
        let mut ctes = within.ctes.to_vec();
        if let Some(with) = with {
            if with.recursive {
                return Err(entangled("a common table expression may be recursive"));
            }
            for cte in &with.cte_tables {
                let name = fold(self.dialect, &cte.alias.name);
                let inner = Within {
                    ctes: &ctes,
                    outer: within.outer,
                };
                let rows = if cte.from.is_some() {
                    Err(entangled(format!("`{name}` is not understood")))
                } else if self.dialect.parser == Parser::Snowflake
                    && reads(self.dialect, &cte.query, &name)
                {
                    Err(entangled(format!("`{name}` is recursive")))
                } else {
                    self.query(&cte.query, inner)
                        .and_then(|rows| self.aliased(rows, Some(&cte.alias)))
                };
                ctes.push((name, rows));
            }
        }
        let within = Within {
            ctes: &ctes,
            outer: within.outer,
        };
        let rows = self.body(body, within)?;
        if rows.daily && (limit_clause.is_some() || fetch.is_some()) {
            return Err(entangled("a limit counts the rows of all partitions"));
        }
        // The order of rows says nothing, but what it is computed from may not be understood.
        let opaque = Scope::of(None, rows.daily, Vec::new());
        self.check(order_by, &opaque, &[], within)?;
        self.check(limit_clause, &opaque, &[], within)?;
        self.check(fetch, &opaque, &[], within)?;
        Ok(rows)
    }

    fn body(&self, body: &SetExpr, within: Within<'_>) -> Result<Rows, Entangled> {
        match body {
            SetExpr::Select(select) => self.select(select, within),
            SetExpr::Query(query) => self.query(query, within),
            SetExpr::SetOperation {
                left,
                op,
                set_quantifier,
                right,
            } => {
                let left = self.body(left, within)?;
                let right = self.body(right, within)?;
                combine(*op, *set_quantifier, &left, &right)
            }
            SetExpr::Values(values) => {
                self.check(values, &Scope::default(), &[], within)?;
                Ok(Rows {
                    daily: false,
                    columns: vec![columns::unknown()],
                })
            }
            SetExpr::Insert(_)
            | SetExpr::Update(_)
            | SetExpr::Delete(_)
            | SetExpr::Merge(_)
            | SetExpr::Table(_) => Err(entangled("a part of the query is no select")),
        }
    }
}

/// Refuses clauses behind a query that are not understood.
pub(super) fn refuse_endings(query: &Query) -> Result<(), Entangled> {
    let Query {
        with: _,
        body: _,
        order_by,
        limit_clause: _,
        fetch: _,
        locks,
        for_clause,
        settings,
        format_clause,
        pipe_operators,
    } = query;
    let fills = |order: &OrderBy| {
        let filled = |expr: &OrderByExpr| expr.with_fill.is_some();
        order.interpolate.is_some()
            || matches!(&order.kind, OrderByKind::Expressions(list) if list.iter().any(filled))
    };
    if !locks.is_empty()
        || for_clause.is_some()
        || settings.is_some()
        || format_clause.is_some()
        || !pipe_operators.is_empty()
        || order_by.as_ref().is_some_and(fills)
    {
        return Err(entangled("a clause behind a query is not understood"));
    }
    Ok(())
}

/// The rows of a union, an intersection or a difference.
fn combine(
    op: SetOperator,
    quantifier: SetQuantifier,
    left: &Rows,
    right: &Rows,
) -> Result<Rows, Entangled> {
    let word = op.to_string().to_lowercase();
    let by_name = match quantifier {
        SetQuantifier::All | SetQuantifier::Distinct | SetQuantifier::None => false,
        SetQuantifier::ByName | SetQuantifier::AllByName | SetQuantifier::DistinctByName => true,
    };
    let columns = match (left.daily, right.daily) {
        (false, false) => columns::align(&left.columns, &right.columns),
        (true, true) if by_name => columns::align_by_name(&left.columns, &right.columns),
        (true, true) => columns::align(&left.columns, &right.columns),
        (true, false) if !by_name && op != SetOperator::Union => left.columns.clone(),
        _ => {
            return Err(entangled(format!(
                "one side of `{word}` is the same for every partition"
            )));
        }
    };
    let daily = left.daily || right.daily;
    if daily && !has_key(&columns) {
        return Err(entangled(format!(
            "the partition is not certainly the same column on both sides of `{word}`"
        )));
    }
    Ok(Rows { daily, columns })
}

/// Tells whether a query reads an unqualified name.
fn reads(dialect: &Dialect, query: &Query, name: &str) -> bool {
    struct Reads<'r>(&'r Dialect, &'r str);
    impl Visitor for Reads<'_> {
        type Break = ();

        fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
            match relation.0.as_slice() {
                [ObjectNamePart::Identifier(only)] if fold(self.0, only) == self.1 => {
                    ControlFlow::Break(())
                }
                _ => ControlFlow::Continue(()),
            }
        }
    }
    query.visit(&mut Reads(dialect, name)).is_break()
}
