//! What a FROM reads.

use sqlparser::ast::{
    Expr, Join, JoinConstraint, JoinOperator, ObjectName, ObjectNamePart, TableAlias, TableFactor,
    TableWithJoins, Visit,
};

use super::columns::{Rows, fold, rename_first, unknown};
use super::scope::{Kind, On, Scope, join};
use super::{Entangled, Walk, Within, entangled};

/// Words that a database reads as part of a join or a clause where the parser sees an alias.
const NO_ALIAS: &[&str] = &[
    "anti",
    "asof",
    "at",
    "before",
    "changes",
    "cross",
    "full",
    "inner",
    "lateral",
    "left",
    "limit",
    "natural",
    "outer",
    "pivot",
    "pivot_longer",
    "pivot_wider",
    "positional",
    "qualify",
    "right",
    "sample",
    "semi",
    "tablesample",
    "unpivot",
    "using",
    "window",
];

/// Functions in FROM that read nothing but their arguments.
const PURE: &[&str] = &[
    "flatten",
    "generate_series",
    "generate_subscripts",
    "generator",
    "json_array_elements",
    "json_array_elements_text",
    "json_each",
    "json_each_text",
    "json_object_keys",
    "jsonb_array_elements",
    "jsonb_array_elements_text",
    "jsonb_each",
    "jsonb_each_text",
    "jsonb_object_keys",
    "range",
    "regexp_matches",
    "regexp_split_to_table",
    "split_to_table",
    "string_to_table",
    "unnest",
];

impl Walk<'_> {
    /// The sources of a FROM.
    pub(super) fn from(
        &self,
        from: &[TableWithJoins],
        within: Within<'_>,
    ) -> Result<Scope, Entangled> {
        let mut scope = Scope::default();
        for item in from {
            scope = scope.beside(self.table_with_joins(item, within)?);
        }
        Ok(scope)
    }

    fn table_with_joins(
        &self,
        item: &TableWithJoins,
        within: Within<'_>,
    ) -> Result<Scope, Entangled> {
        let mut scope = self.factor(&item.relation, within)?;
        for join in &item.joins {
            scope = self.join(scope, join, within)?;
        }
        Ok(scope)
    }

    fn join(&self, left: Scope, item: &Join, within: Within<'_>) -> Result<Scope, Entangled> {
        let right = self.factor(&item.relation, within)?;
        let (kind, constraint) = match &item.join_operator {
            JoinOperator::Join(on) | JoinOperator::Inner(on) => (Kind::Inner, on),
            JoinOperator::CrossJoin(JoinConstraint::None) => return Ok(left.beside(right)),
            JoinOperator::Left(on) | JoinOperator::LeftOuter(on) => (Kind::Left, on),
            JoinOperator::Right(on) | JoinOperator::RightOuter(on) => (Kind::Right, on),
            JoinOperator::FullOuter(on) => (Kind::Full, on),
            JoinOperator::Semi(on)
            | JoinOperator::LeftSemi(on)
            | JoinOperator::Anti(on)
            | JoinOperator::LeftAnti(on) => (Kind::Half, on),
            _ => return Err(entangled("a join is not understood")),
        };
        if item.global {
            return Err(entangled("a join is not understood"));
        }
        let on = match constraint {
            JoinConstraint::On(condition) => On::Condition(condition),
            JoinConstraint::Using(columns) => {
                let mut names = Vec::new();
                for column in columns {
                    match column.0.as_slice() {
                        [ObjectNamePart::Identifier(name)] => names.push(fold(self.dialect, name)),
                        _ => return Err(entangled("a join is not understood")),
                    }
                }
                On::Columns(names)
            }
            JoinConstraint::Natural => {
                return Err(entangled("a natural join does not name its columns"));
            }
            JoinConstraint::None => On::Nothing,
        };
        match on {
            On::Condition(condition) => {
                let both = left.clone().beside(right.clone());
                self.check(condition, &both, &[], within)?;
            }
            On::Nothing => return Err(entangled("a join has no condition")),
            On::Columns(_) => {}
        }
        join(self.dialect, left, right, kind, &on)
    }

    fn factor(&self, factor: &TableFactor, within: Within<'_>) -> Result<Scope, Entangled> {
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
            } if with_hints.is_empty() && partitions.is_empty() && index_hints.is_empty() => {
                let rows = self.relation(name, within)?;
                let own = match name.0.last() {
                    Some(ObjectNamePart::Identifier(own)) => Some(fold(self.dialect, own)),
                    _ => None,
                };
                self.source(rows, alias.as_ref(), own)
            }
            TableFactor::Table {
                name,
                alias,
                args: Some(args),
                version: None,
                json_path: None,
                sample: None,
                ..
            } if args.settings.is_none() => self.function(name, &args.args, alias.as_ref(), within),
            TableFactor::Table {
                sample: Some(_), ..
            }
            | TableFactor::Derived {
                sample: Some(_), ..
            } => Err(entangled("a sample is drawn from all partitions")),
            TableFactor::Derived {
                lateral,
                subquery,
                alias,
                sample: None,
            } => {
                let rows = self.query(subquery, within)?;
                if *lateral && rows.daily {
                    return Err(entangled(
                        "a lateral subquery reads a relation by partition",
                    ));
                }
                self.source(rows, alias.as_ref(), None)
            }
            TableFactor::Function {
                name, args, alias, ..
            } => self.function(name, args, alias.as_ref(), within),
            TableFactor::TableFunction {
                expr: Expr::Function(function),
                alias,
            } => self.function(&function.name, function, alias.as_ref(), within),
            TableFactor::UNNEST {
                alias, array_exprs, ..
            } => {
                self.check(array_exprs, &Scope::default(), &[], within)?;
                self.source(pure(), alias.as_ref(), None)
            }
            TableFactor::NestedJoin {
                table_with_joins,
                alias: None,
            } => self.table_with_joins(table_with_joins, within),
            _ => Err(entangled("a part of FROM is not understood")),
        }
    }

    /// A function in FROM, which sees the columns of the sources before it.
    fn function<N: Visit>(
        &self,
        name: &ObjectName,
        arguments: &N,
        alias: Option<&TableAlias>,
        within: Within<'_>,
    ) -> Result<Scope, Entangled> {
        let own = match name.0.as_slice() {
            [ObjectNamePart::Identifier(own)] => own.value.to_ascii_lowercase(),
            _ => String::new(),
        };
        if !PURE.contains(&own.as_str()) {
            return Err(entangled(format!(
                "`{name}` in FROM may read what is not seen here"
            )));
        }
        self.check(arguments, &Scope::default(), &[], within)?;
        self.source(pure(), alias, Some(own))
    }

    fn source(
        &self,
        rows: Rows,
        alias: Option<&TableAlias>,
        own: Option<String>,
    ) -> Result<Scope, Entangled> {
        let rows = self.aliased(rows, alias)?;
        let name = match alias {
            Some(alias) if !alias.explicit && alias.name.quote_style.is_none() => {
                let word = alias.name.value.to_ascii_lowercase();
                if NO_ALIAS.contains(&word.as_str()) {
                    return Err(entangled(format!("`{word}` in FROM is not understood")));
                }
                Some(fold(self.dialect, &alias.name))
            }
            Some(alias) => Some(fold(self.dialect, &alias.name)),
            None => own,
        };
        Ok(Scope::of(name, rows.daily, rows.columns))
    }

    /// Rows whose columns an alias may rename.
    pub(super) fn aliased(
        &self,
        mut rows: Rows,
        alias: Option<&TableAlias>,
    ) -> Result<Rows, Entangled> {
        if let Some(alias) = alias {
            if alias.at.is_some() {
                return Err(entangled("a part of FROM is not understood"));
            }
            let names = alias.columns.iter();
            let names = names.map(|column| fold(self.dialect, &column.name));
            rename_first(&mut rows.columns, names.collect());
        }
        Ok(rows)
    }
}

/// The rows of a function: they depend on the row before it only.
fn pure() -> Rows {
    Rows {
        daily: false,
        columns: vec![unknown()],
    }
}
