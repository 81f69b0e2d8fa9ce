//! What may hide in expressions: windows, subqueries and functions that see more than their row.

use std::ops::ControlFlow;

use sqlparser::ast::{
    BinaryOperator, Expr, Function, Ident, NamedWindowDefinition, NamedWindowExpr, Query, SetExpr,
    Statement, Visit, Visitor, WindowSpec, WindowType,
};

use super::columns::{Found, find, fold};
use super::scope::{Scope, conjuncts};
use super::select::refuse_clauses;
use super::{Entangled, Outer, Walk, Within, entangled, refuse_endings};

/// Functions that read relations which the query does not name.
const READS_ELSEWHERE: &[&str] = &[
    "cursor_to_xml",
    "database_to_xml",
    "dblink",
    "query_to_xml",
    "query_to_xml_and_xmlschema",
    "schema_to_xml",
    "table_to_xml",
    "table_to_xml_and_xmlschema",
];

/// Tells whether a function is called that reads relations which the query does not name.
pub(in crate::sql) fn reads_elsewhere<N: Visit>(query: &N) -> bool {
    struct Calls;
    impl Visitor for Calls {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            let Expr::Function(function) = expr else {
                return ControlFlow::Continue(());
            };
            let name = function.name.to_string().to_ascii_lowercase();
            match READS_ELSEWHERE.contains(&name.rsplit('.').next().unwrap_or_default()) {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        }
    }
    query.visit(&mut Calls).is_break()
}

/// Aggregates that are told apart by name, for the sake of a better message.
const AGGREGATES: &[&str] = &[
    "any_value",
    "approx_count_distinct",
    "arg_max",
    "arg_min",
    "array_agg",
    "avg",
    "bool_and",
    "bool_or",
    "count",
    "count_if",
    "every",
    "first",
    "json_agg",
    "jsonb_agg",
    "last",
    "list",
    "listagg",
    "max",
    "max_by",
    "median",
    "min",
    "min_by",
    "mode",
    "percentile_cont",
    "percentile_disc",
    "quantile",
    "quantile_cont",
    "stddev",
    "string_agg",
    "sum",
    "variance",
];

/// Walks the expressions of one level; queries below are left to `subquery`.
struct Level<E, S> {
    depth: usize,
    expr: E,
    subquery: S,
}

impl<E, S> Visitor for Level<E, S>
where
    E: FnMut(&Expr) -> Result<(), Entangled>,
    S: FnMut(&Query) -> Result<(), Entangled>,
{
    type Break = Entangled;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Entangled> {
        self.depth += 1;
        match self.depth {
            1 => flow((self.subquery)(query)),
            _ => ControlFlow::Continue(()),
        }
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<Entangled> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Entangled> {
        match self.depth {
            0 => flow((self.expr)(expr)),
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_statement(&mut self, _: &Statement) -> ControlFlow<Entangled> {
        ControlFlow::Break(entangled("a statement within the query is not understood"))
    }
}

fn flow(result: Result<(), Entangled>) -> ControlFlow<Entangled> {
    match result {
        Ok(()) => ControlFlow::Continue(()),
        Err(reason) => ControlFlow::Break(reason),
    }
}

impl Walk<'_> {
    /// Fails where something in the expressions of a clause looks across partitions.
    ///
    /// `windows` are the named ones of the SELECT. Over rows without partitions, windows are free.
    pub(super) fn check<N: Visit>(
        &self,
        clause: &N,
        scope: &Scope,
        windows: &[NamedWindowDefinition],
        within: Within<'_>,
    ) -> Result<(), Entangled> {
        let keyed = scope.daily();
        self.check_level(clause, scope, within, |function| match &function.over {
            Some(over) if keyed && !self.is_keyed(over, scope, windows, windows.len()) => {
                Err(entangled(format!(
                    "the window of `{}` is not partitioned by `{}`",
                    function.name.to_string().to_lowercase(),
                    scope.key_name()
                )))
            }
            _ => Ok(()),
        })
    }

    fn check_level<N: Visit>(
        &self,
        clause: &N,
        scope: &Scope,
        within: Within<'_>,
        window: impl Fn(&Function) -> Result<(), Entangled>,
    ) -> Result<(), Entangled> {
        let outer = Outer {
            scope,
            beyond: within.outer,
        };
        let mut level = Level {
            depth: 0,
            expr: |expr: &Expr| match expr {
                Expr::OuterJoin(_) | Expr::Prior(_) | Expr::MatchAgainst { .. } => {
                    Err(entangled(format!("`{expr}` is not understood")))
                }
                Expr::Function(function) => {
                    let name = function.name.to_string().to_ascii_lowercase();
                    let last = name.rsplit('.').next().unwrap_or_default();
                    if last == "columns" || READS_ELSEWHERE.contains(&last) {
                        return Err(entangled(format!(
                            "`{last}` may read what is not seen here"
                        )));
                    }
                    window(function)
                }
                _ => Ok(()),
            },
            subquery: |query: &Query| {
                let inner = Within {
                    outer: Some(&outer),
                    ..within
                };
                match self.query(query, inner) {
                    Ok(rows) if !rows.daily => Ok(()),
                    _ if self.is_pinned(query, inner) => Ok(()),
                    Ok(_) => Err(entangled(
                        "a subquery reads partitions other than that of its row",
                    )),
                    Err(reason) => Err(reason),
                }
            },
        };
        match clause.visit(&mut level) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(reason) => Err(reason),
        }
    }

    fn is_keyed(
        &self,
        over: &WindowType,
        scope: &Scope,
        windows: &[NamedWindowDefinition],
        depth: usize,
    ) -> bool {
        let named = |name: &Ident| {
            let name = fold(self.dialect, name);
            let is =
                |definition: &&NamedWindowDefinition| fold(self.dialect, &definition.0) == name;
            let mut found = windows.iter().filter(is);
            match (found.next(), found.next(), depth.checked_sub(1)) {
                (Some(NamedWindowDefinition(_, definition)), None, Some(depth)) => {
                    let over = match definition {
                        NamedWindowExpr::NamedWindow(name) => WindowType::NamedWindow(name.clone()),
                        NamedWindowExpr::WindowSpec(spec) => WindowType::WindowSpec(spec.clone()),
                    };
                    self.is_keyed(&over, scope, windows, depth)
                }
                _ => false,
            }
        };
        match over {
            WindowType::NamedWindow(name) => named(name),
            WindowType::WindowSpec(WindowSpec {
                window_name,
                partition_by,
                ..
            }) => {
                let is_key = |expr: &Expr| scope.is_key(self.dialect, expr);
                partition_by.iter().any(is_key) || window_name.as_ref().is_some_and(named)
            }
        }
    }

    /// Tells whether a subquery reads only rows with the partition of the row that it is run for:
    /// its WHERE has `inner.key = outer.key`.
    fn is_pinned(&self, query: &Query, within: Within<'_>) -> bool {
        let SetExpr::Select(select) = query.body.as_ref() else {
            return false;
        };
        if query.with.is_some() || refuse_endings(query).is_err() {
            return false;
        }
        let Some(condition) = &select.selection else {
            return false;
        };
        let Ok(mut scope) = self.from(&select.from, within) else {
            return false;
        };
        if refuse_clauses(select).is_err() {
            return false;
        }
        scope.shadowed = self.shadowed(select, &scope);
        scope.assume(self.dialect, condition);
        let pinned = conjuncts(condition).into_iter().any(|part| match part {
            Expr::BinaryOp {
                left,
                op: BinaryOperator::Eq,
                right,
            } => {
                let inner = |expr: &Expr| scope.keys_of(self.dialect, expr).is_some();
                let outer = |expr: &Expr| self.is_outer_key(expr, &scope, within.outer);
                (inner(left) && outer(right)) || (outer(left) && inner(right))
            }
            _ => false,
        });
        if !pinned || scope.same_partition().is_err() {
            return false;
        }
        // All else that it does sees this partition only; but what lies below must be pinned too.
        fn free<N: Visit>(walk: &Walk<'_>, clause: &N, scope: &Scope, within: Within<'_>) -> bool {
            let checked = walk.check_level(clause, scope, within, |_| Ok(()));
            checked.is_ok()
        }
        free(self, select.as_ref(), &scope, within)
            && free(self, &query.order_by, &scope, within)
            && free(self, &query.limit_clause, &scope, within)
            && free(self, &query.fetch, &scope, within)
    }

    /// Tells whether an expression is the partition of the row that a subquery is run for.
    fn is_outer_key(&self, expr: &Expr, inner: &Scope, outer: Option<&Outer<'_>>) -> bool {
        let parts = match expr {
            Expr::Nested(expr) => return self.is_outer_key(expr, inner, outer),
            Expr::CompoundIdentifier(parts) => parts.as_slice(),
            _ => return false,
        };
        let [table, column] = parts else {
            return false;
        };
        let (table, column) = (fold(self.dialect, table), fold(self.dialect, column));
        if inner.has_alias(&table) {
            return false;
        }
        let mut outer = outer;
        while let Some(Outer { scope, beyond }) = outer {
            if scope.has_alias(&table) {
                let place = scope.place_of(&table);
                return place.is_some_and(|place| {
                    find(&scope.sources[place].columns, &column) == Found::Key
                });
            }
            outer = *beyond;
        }
        false
    }
}

/// Finds an aggregate that is no window function.
pub(super) fn aggregate<N: Visit>(clause: &N) -> Option<String> {
    let mut level = Level {
        depth: 0,
        expr: |expr: &Expr| match expr {
            Expr::Function(Function {
                name, over: None, ..
            }) if AGGREGATES.contains(&name.to_string().to_ascii_lowercase().as_str()) => {
                Err(entangled(name.to_string().to_ascii_lowercase()))
            }
            _ => Ok(()),
        },
        subquery: |_: &Query| Ok(()),
    };
    match clause.visit(&mut level) {
        ControlFlow::Continue(()) => None,
        ControlFlow::Break(found) => Some(found.reason),
    }
}
