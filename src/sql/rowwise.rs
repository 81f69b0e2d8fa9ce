//! The proof that a test judges a relation row by row.
//!
//! A test's query gives the rows that are wrong. If what it finds among all rows is what it finds among
//! some of them and among the rest, then a part that has passed needs no second look. Where that cannot
//! be seen, it is not so.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use sqlparser::ast::{
    Distinct, Expr, GroupByExpr, Join, JoinConstraint, JoinOperator, ObjectName, ObjectNamePart,
    Query, Select, SelectItem, SetExpr, SetOperator, SetQuantifier, Statement, TableFactor,
    TableWithJoins, Value, Visit, Visitor,
};
use sqlparser::parser::Parser as SqlParser;

use super::separable::{self, DailyRelation, fold, spellings};
use super::tokens;
use crate::dialect::Dialect;

/// Tells whether a query finds something in a relation's rows if and only if it finds something in one
/// part of them or in the rest, where the parts are whole partitions by `field`.
///
/// `judged` is the relation's name in the query's FROM, without its schema; `others` are the names of
/// all other relations that it reads, which stay as they are.
pub fn judges_rows(
    dialect: &Dialect,
    sql: &str,
    judged: DailyRelation<'_>,
    others: &[&str],
) -> bool {
    separable::carried_field(dialect, sql, &[judged], others).is_ok()
        || adds_up(dialect, sql, &spellings(dialect, judged.name)).is_some()
}

/// The proof by structure, whatever the parts are.
fn adds_up(dialect: &Dialect, sql: &str, judged: &BTreeSet<String>) -> Option<()> {
    if tokens::volatile(dialect, sql).is_some() || tokens::has_nested_comment(dialect, sql) {
        return None;
    }
    let statements = SqlParser::parse_sql(super::grammar(dialect), sql).ok()?;
    let [Statement::Query(query)] = statements.as_slice() else {
        return None;
    };
    if separable::reads_elsewhere(&statements) {
        return None;
    }
    let mut names = Names {
        dialect,
        count: BTreeMap::new(),
        ctes: BTreeMap::new(),
    };
    let _ = statements.visit(&mut names);
    // Read in one place: what is not on the way from there to the result cannot depend on it.
    let read_as = names
        .count
        .keys()
        .filter(|parts| judged.contains(last(parts)));
    let read: usize = read_as
        .filter(|parts| parts.len() > 1 || !names.ctes.contains_key(last(parts)))
        .map(|parts| names.count[parts])
        .sum();
    if read != 1 {
        return None;
    }
    let walk = Walk {
        dialect,
        judged,
        names: &names,
    };
    match walk.query(query, &BTreeMap::new())? {
        Rows::Judged(_) => Some(()),
        Rows::Other => None,
    }
}

fn last(parts: &[String]) -> &str {
    parts.last().map_or("", String::as_str)
}

/// What a part of a query returns.
#[derive(Clone)]
enum Rows {
    /// The same, whatever rows the judged relation has.
    Other,
    /// Of more rows more of the same, but for these columns, whose values depend on other rows.
    Judged(BTreeSet<String>),
}

/// How often relations are read, by the folded parts of their names.
struct Names<'d> {
    dialect: &'d Dialect,
    count: BTreeMap<Vec<String>, usize>,
    /// How often each name is that of a common table expression.
    ctes: BTreeMap<String, usize>,
}

impl Visitor for Names<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            let name = fold(self.dialect, &cte.alias.name);
            *self.ctes.entry(name).or_default() += 1;
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        let parts = parts(self.dialect, relation);
        *self.count.entry(parts).or_default() += 1;
        ControlFlow::Continue(())
    }
}

fn parts(dialect: &Dialect, name: &ObjectName) -> Vec<String> {
    let part = |part: &ObjectNamePart| match part {
        ObjectNamePart::Identifier(part) => fold(dialect, part),
        ObjectNamePart::Function(_) => String::new(),
    };
    name.0.iter().map(part).collect()
}

type Ctes = BTreeMap<String, Rows>;

struct Walk<'a> {
    dialect: &'a Dialect,
    judged: &'a BTreeSet<String>,
    names: &'a Names<'a>,
}

impl Walk<'_> {
    fn query(&self, query: &Query, outer: &Ctes) -> Option<Rows> {
        if separable::refuse_endings(query).is_err()
            || query.limit_clause.is_some()
            || query.fetch.is_some()
        {
            return None;
        }
        let mut ctes = outer.clone();
        if let Some(with) = &query.with {
            if with.recursive {
                return None;
            }
            for cte in &with.cte_tables {
                let name = fold(self.dialect, &cte.alias.name);
                let rows = self.query(&cte.query, &ctes)?;
                if let Rows::Judged(_) = &rows {
                    // Read twice, it could meet itself; two of one name could be confused.
                    let read = self.names.count.get([name.clone()].as_slice());
                    let renamed = !cte.alias.columns.is_empty() || cte.from.is_some();
                    if read != Some(&1) || self.names.ctes[&name] != 1 || renamed {
                        return None;
                    }
                }
                ctes.insert(name, rows);
            }
        }
        self.body(&query.body, &ctes)
    }

    fn body(&self, body: &SetExpr, ctes: &Ctes) -> Option<Rows> {
        match body {
            SetExpr::Select(select) => self.select(select, ctes),
            SetExpr::Query(query) => self.query(query, ctes),
            SetExpr::Values(_) => Some(Rows::Other),
            SetExpr::SetOperation {
                left,
                op,
                set_quantifier,
                right,
            } => {
                let by_position = matches!(
                    set_quantifier,
                    SetQuantifier::All | SetQuantifier::Distinct | SetQuantifier::None
                );
                match (self.body(left, ctes)?, self.body(right, ctes)?) {
                    (Rows::Other, Rows::Other) => Some(Rows::Other),
                    // What is found on either side is found; names are those of the left.
                    (Rows::Judged(unsteady), Rows::Other)
                    | (Rows::Other, Rows::Judged(unsteady))
                        if *op == SetOperator::Union && by_position && unsteady.is_empty() =>
                    {
                        Some(Rows::Judged(unsteady))
                    }
                    _ => None,
                }
            }
            _ => None,
        }
    }

    fn select(&self, select: &Select, ctes: &Ctes) -> Option<Rows> {
        if separable::refuse_clauses(select).is_err() || select.top.is_some() {
            return None;
        }
        let Select {
            distinct,
            projection,
            from,
            selection,
            group_by,
            having,
            qualify,
            named_window,
            ..
        } = select;
        let mut rows = Rows::Other;
        for item in from {
            rows = match (rows, self.joined(item, ctes)?) {
                (Rows::Other, other) | (other, Rows::Other) => other,
                _ => return None,
            };
        }
        let Rows::Judged(unsteady) = rows else {
            // What reads the judged relation in an expression ends here: it is read only once.
            return Some(Rows::Other);
        };
        let whole = matches!(
            distinct,
            None | Some(Distinct::All) | Some(Distinct::Distinct)
        );
        if !whole || having.is_some() || qualify.is_some() || !named_window.is_empty() {
            return None;
        }
        let GroupByExpr::Expressions(keys, modifiers) = group_by else {
            return None;
        };
        if !modifiers.is_empty() {
            return None;
        }
        if keys.is_empty() {
            let found = self.columns(projection, &unsteady)?;
            return self.kept(selection, &unsteady, found);
        }
        let plain_key = |key: &Expr| !matches!(key, Expr::Tuple(_)) && !is_several(key);
        if !keys.iter().all(plain_key) || !self.is_steady(keys, &unsteady) {
            return None;
        }
        let found = self.grouped(projection, keys)?;
        self.kept(selection, &unsteady, found)
    }

    /// The rows of a SELECT with these unsteady columns, if its WHERE, which some databases let use the
    /// names that it gives, names none.
    fn kept(
        &self,
        selection: &Option<Expr>,
        read: &BTreeSet<String>,
        given: BTreeSet<String>,
    ) -> Option<Rows> {
        let unsteady = read.union(&given).cloned().collect();
        self.is_steady(selection, &unsteady)
            .then_some(Rows::Judged(given))
    }

    fn joined(&self, item: &TableWithJoins, ctes: &Ctes) -> Option<Rows> {
        let mut rows = self.factor(&item.relation, ctes)?;
        for join in &item.joins {
            rows = self.join(rows, join, ctes)?;
        }
        Some(rows)
    }

    fn join(&self, left: Rows, join: &Join, ctes: &Ctes) -> Option<Rows> {
        let right = self.factor(&join.relation, ctes)?;
        let (keeps_left, keeps_right, half, constraint) = match &join.join_operator {
            JoinOperator::Join(on) | JoinOperator::Inner(on) => (true, true, false, on),
            JoinOperator::CrossJoin(on) => (true, true, false, on),
            JoinOperator::Left(on) | JoinOperator::LeftOuter(on) => (true, false, false, on),
            JoinOperator::Right(on) | JoinOperator::RightOuter(on) => (false, true, false, on),
            JoinOperator::Semi(on)
            | JoinOperator::LeftSemi(on)
            | JoinOperator::Anti(on)
            | JoinOperator::LeftAnti(on) => (true, false, true, on),
            _ => return None,
        };
        let rows = match (left, right) {
            (Rows::Other, Rows::Other) => return Some(Rows::Other),
            (Rows::Judged(unsteady), Rows::Other) if keeps_left => unsteady,
            (Rows::Other, Rows::Judged(unsteady)) if keeps_right && !half => unsteady,
            _ => return None,
        };
        let steady = match constraint {
            JoinConstraint::On(condition) => self.is_steady(condition, &rows),
            JoinConstraint::Using(columns) => columns
                .iter()
                .all(|column| !rows.contains(last(&parts(self.dialect, column)))),
            JoinConstraint::Natural => false,
            JoinConstraint::None => true,
        };
        steady.then_some(Rows::Judged(rows))
    }

    fn factor(&self, factor: &TableFactor, ctes: &Ctes) -> Option<Rows> {
        match factor {
            TableFactor::Table {
                name,
                alias,
                args: None,
                with_hints,
                version: None,
                with_ordinality: false,
                partitions,
                json_path: None,
                sample: None,
                index_hints,
            } => {
                let plain =
                    with_hints.is_empty() && partitions.is_empty() && index_hints.is_empty();
                let renamed = alias
                    .as_ref()
                    .is_some_and(|alias| !alias.columns.is_empty());
                let parts = parts(self.dialect, name);
                if !plain || parts.iter().any(String::is_empty) {
                    return None;
                }
                let rows = match parts.as_slice() {
                    [one] if ctes.contains_key(one) => ctes[one].clone(),
                    parts if self.judged.contains(last(parts)) => Rows::Judged(BTreeSet::new()),
                    _ => Rows::Other,
                };
                match rows {
                    Rows::Judged(_) if renamed => None,
                    rows => Some(rows),
                }
            }
            TableFactor::Derived {
                lateral: false,
                subquery,
                alias,
                sample: None,
            } => {
                let renamed = alias
                    .as_ref()
                    .is_some_and(|alias| !alias.columns.is_empty());
                match self.query(subquery, ctes)? {
                    Rows::Judged(_) if renamed => None,
                    rows => Some(rows),
                }
            }
            TableFactor::NestedJoin {
                table_with_joins,
                alias: None,
            } => self.joined(table_with_joins, ctes),
            _ => None,
        }
    }

    /// The unsteady columns of a SELECT without groups.
    fn columns(
        &self,
        projection: &[SelectItem],
        unsteady: &BTreeSet<String>,
    ) -> Option<BTreeSet<String>> {
        let mut found = BTreeSet::new();
        for item in projection {
            match item {
                SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..) => {
                    let plain = item.to_string().ends_with('*');
                    if !plain && !unsteady.is_empty() {
                        return None;
                    }
                    found.extend(unsteady.iter().cloned());
                }
                SelectItem::UnnamedExpr(expr) => {
                    if !is_of_one_row(expr) {
                        return None;
                    }
                    let name = match expr {
                        Expr::Identifier(name) => Some(fold(self.dialect, name)),
                        Expr::CompoundIdentifier(names) => {
                            names.last().map(|name| fold(self.dialect, name))
                        }
                        _ => None,
                    };
                    match name {
                        Some(name) if unsteady.contains(&name) => {
                            found.insert(name);
                        }
                        Some(_) => {}
                        None if self.is_steady(expr, unsteady) && self.is_steady(expr, &found) => {}
                        None => return None,
                    }
                }
                SelectItem::ExprWithAlias { expr, alias } => {
                    if !is_of_one_row(expr) {
                        return None;
                    }
                    // Some databases let an expression use the names that were given before it.
                    if !self.is_steady(expr, unsteady) || !self.is_steady(expr, &found) {
                        found.insert(fold(self.dialect, alias));
                    }
                }
                SelectItem::ExprWithAliases { .. } => return None,
            }
        }
        Some(found)
    }

    /// The unsteady columns of a SELECT with groups: all that are no key.
    fn grouped(&self, projection: &[SelectItem], keys: &[Expr]) -> Option<BTreeSet<String>> {
        let mut found = BTreeSet::new();
        for (at, item) in projection.iter().enumerate() {
            let is_key = |expr: &Expr| {
                keys.iter()
                    .any(|key| key == expr || ordinal(key) == Some(at + 1))
            };
            match item {
                SelectItem::UnnamedExpr(expr) if is_key(expr) => {}
                SelectItem::ExprWithAlias { expr, alias } => {
                    if !is_key(expr) {
                        found.insert(fold(self.dialect, alias));
                    } else if !is_of_one_row(expr) {
                        return None;
                    }
                }
                _ => return None,
            }
        }
        Some(found)
    }

    /// Tells whether an expression names no unsteady column.
    fn is_steady<N: Visit>(&self, clause: &N, unsteady: &BTreeSet<String>) -> bool {
        if unsteady.is_empty() {
            return true;
        }
        struct Uses<'u>(&'u Dialect, &'u BTreeSet<String>);
        impl Visitor for Uses<'_> {
            type Break = ();

            fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
                let name = match expr {
                    Expr::Identifier(name) => Some(name),
                    Expr::CompoundIdentifier(names) => names.last(),
                    _ => None,
                };
                match name {
                    Some(name) if self.1.contains(&fold(self.0, name)) => ControlFlow::Break(()),
                    _ => ControlFlow::Continue(()),
                }
            }
        }
        clause
            .visit(&mut Uses(self.dialect, unsteady))
            .is_continue()
    }
}

fn is_several(key: &Expr) -> bool {
    matches!(key, Expr::GroupingSets(_) | Expr::Cube(_) | Expr::Rollup(_))
}

/// The number by which `group by 1` means a column.
fn ordinal(key: &Expr) -> Option<usize> {
    match key {
        Expr::Value(value) => match &value.value {
            Value::Number(number, _) => number.to_string().parse().ok(),
            _ => None,
        },
        _ => None,
    }
}

/// Tells whether an expression looks at one row alone: no aggregate, no window, no function that could
/// be either.
fn is_of_one_row(expr: &Expr) -> bool {
    struct Calls;
    impl Visitor for Calls {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            match expr {
                Expr::Function(function) => {
                    let name = function.name.to_string().to_ascii_lowercase();
                    match function.over.is_none() && PLAIN.contains(&name.as_str()) {
                        true => ControlFlow::Continue(()),
                        false => ControlFlow::Break(()),
                    }
                }
                _ => ControlFlow::Continue(()),
            }
        }
    }
    expr.visit(&mut Calls).is_continue()
}

/// Functions that are known to look at one row alone.
const PLAIN: &[&str] = &[
    "abs",
    "cast",
    "ceil",
    "coalesce",
    "concat",
    "date_trunc",
    "floor",
    "greatest",
    "ifnull",
    "least",
    "length",
    "lower",
    "md5",
    "mod",
    "nullif",
    "nvl",
    "replace",
    "round",
    "substr",
    "substring",
    "trim",
    "upper",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::{DUCKDB, POSTGRES, SNOWFLAKE};

    fn judges(sql: &str) -> bool {
        let by_dialect = [&DUCKDB, &POSTGRES, &SNOWFLAKE].map(|dialect| {
            let judged = DailyRelation {
                name: "orders",
                field: "day",
            };
            judges_rows(dialect, sql, judged, &["customers"])
        });
        assert_eq!(by_dialect, [by_dialect[0]; 3], "{sql}");
        by_dialect[0]
    }

    #[test]
    fn what_looks_at_rows_alone_or_by_partition_is_seen() {
        for sql in [
            "select id from db.main.orders where id is null",
            r#"select id from "db"."main"."orders" where id is null order by 1"#,
            "select * from (select * from db.main.orders where total > 0) dbt_subquery where id is null",
            "with all_values as (select status as value_field, count(*) as n_records
                 from db.main.orders group by status)
             select * from all_values where value_field not in ('a', 'b')",
            "with child as (select customer as from_field from db.main.orders where customer is not null),
                  parent as (select id as to_field from db.main.customers)
             select from_field from child left join parent on child.from_field = parent.to_field
             where parent.to_field is null",
            "with orders as (select * from db.main.orders) select * from orders where total < 0",
            "select * from db.main.orders o where not exists
                 (select 1 from db.main.customers c where c.id = o.customer)",
            "select distinct id from db.main.customers right join db.main.orders using (id)
             where customers.name is null",
            "select id from db.main.orders where id is null
             union all select id from db.main.customers where id is null",
            // Groups that hold one partition each.
            "select day, id, count(*) from db.main.orders group by day, id having count(*) > 1",
        ] {
            assert!(judges(sql), "{sql}");
        }
    }

    #[test]
    fn what_compares_rows_is_seen_too() {
        for sql in [
            "select id as unique_field, count(*) as n_records from db.main.orders
             where id is not null group by id having count(*) > 1",
            "with counted as (select id, count(*) as n from db.main.orders group by id)
             select id from counted where n > 1",
            "with counted as (select id, count(*) as n from db.main.orders group by id)
             select n + 0 as m, id from counted where m > 1",
            "with counted as (select id, count(*) as n from db.main.orders group by id),
                  named as (select n as a, a + 1 as b from counted)
             select * from named where b > 2",
            "select count(*) as n from db.main.orders",
            "select * from (select sum(total) as s from db.main.orders) t where s < 0",
            "select id, row_number() over (partition by id) as place from db.main.orders",
            "select our_aggregate(total) from db.main.orders",
            "select a.id from db.main.orders a join db.main.orders b on a.id = b.parent",
            "select id from db.main.orders where total > (select avg(total) from db.main.orders)",
            "with o as (select * from db.main.orders) select a.id from o a, o b where a.id < b.id",
            "select c.id from db.main.customers c left join db.main.orders o on c.id = o.customer
             where o.id is null",
            "select id from db.main.customers where id not in (select customer from db.main.orders)",
            "select id from db.main.customers except select customer from db.main.orders",
            "select id from db.main.orders limit 5",
            "select id from db.main.orders where day < current_date",
            "select id from db.main.orders full join db.main.customers using (id)",
            "select id from db.main.orders group by rollup (id)",
            "select distinct on (id) * from db.main.orders",
            "select 1",
            "not sql",
        ] {
            assert!(!judges(sql), "{sql}");
        }
    }
}
