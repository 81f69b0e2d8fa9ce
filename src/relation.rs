//! Relations and columns of a database, by name.

use std::sync::Arc;

use crate::dialect::Dialect;

/// What a relation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RelationKind {
    /// A table.
    Table,
    /// A view.
    View,
    /// A common table expression: an ephemeral model.
    Cte,
    /// A materialized view.
    MaterializedView,
    /// A table that the database keeps up with the query that it was made of.
    DynamicTable,
    /// A table of another system.
    External,
}

impl RelationKind {
    /// The name that dbt uses.
    pub fn as_str(self) -> &'static str {
        match self {
            RelationKind::Table => "table",
            RelationKind::View => "view",
            RelationKind::Cte => "cte",
            RelationKind::MaterializedView => "materialized_view",
            RelationKind::DynamicTable => "dynamic_table",
            RelationKind::External => "external",
        }
    }

    /// Reads dbt's name.
    pub fn parse(name: &str) -> Option<RelationKind> {
        use RelationKind::*;
        let kinds = [Table, View, Cte, MaterializedView, DynamicTable, External];
        kinds.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// A choice for each part of a relation's name: which are quoted, or which are written at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Quoting {
    /// The database.
    pub database: bool,
    /// The schema.
    pub schema: bool,
    /// The identifier.
    pub identifier: bool,
}

impl Quoting {
    /// All three parts.
    pub const ALL: Quoting = Quoting {
        database: true,
        schema: true,
        identifier: true,
    };
    /// None of them.
    pub const NONE: Quoting = Quoting {
        database: false,
        schema: false,
        identifier: false,
    };
}

/// The name of a relation, as SQL writes it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Relation {
    /// The database, where it is named.
    pub database: Option<Arc<str>>,
    /// The schema, where it is named.
    pub schema: Option<Arc<str>>,
    /// The table or view; `None` for a schema.
    pub identifier: Option<Arc<str>>,
    /// What it is, where known.
    pub kind: Option<RelationKind>,
    /// Which parts are quoted.
    pub quoting: Quoting,
    /// Which parts are written.
    pub include: Quoting,
    /// The name by which a statement knows it, where the statement itself says what is read of it:
    /// a common table expression, or a table of the session.
    pub shown_as: Option<Arc<str>>,
    /// The condition that its rows must meet where a query reads it by [`Relation::render_filtered`].
    pub filter: Option<Arc<str>>,
}

impl Relation {
    /// Makes a relation of three parts with the dialect's own quoting.
    pub fn new(dialect: &Dialect, database: &str, schema: &str, identifier: &str) -> Relation {
        Relation {
            database: (!database.is_empty()).then(|| database.into()),
            schema: (!schema.is_empty()).then(|| schema.into()),
            identifier: (!identifier.is_empty()).then(|| identifier.into()),
            kind: None,
            quoting: dialect.quoting,
            include: Quoting::ALL,
            shown_as: None,
            filter: None,
        }
    }

    /// Writes it for a query that reads it: its name or, where it has a filter, a subquery.
    pub fn render_filtered(&self, dialect: &Dialect) -> String {
        let name = self.render(dialect);
        let Some(filter) = &self.filter else {
            return name;
        };
        let mut text = format!("(select * from {name} where {filter})");
        if dialect.subquery_alias {
            // dbt's alias; an ephemeral model is known to it by its expression's name.
            let prefix = match self.kind {
                Some(RelationKind::Cte) => "__dbt__cte__",
                _ => "",
            };
            let identifier = self.identifier.as_deref().unwrap_or_default();
            text.push_str(&format!(" _dbt_et_filter_subq_{prefix}{identifier}"));
        }
        text
    }

    /// The same relation, known to be of a kind.
    pub fn of_kind(&self, kind: RelationKind) -> Relation {
        Relation {
            kind: Some(kind),
            ..self.clone()
        }
    }

    /// Writes it for SQL, such as `"dev"."main"."orders"`.
    ///
    /// An ephemeral model is written as the name of its common table expression.
    pub fn render(&self, dialect: &Dialect) -> String {
        if let Some(name) = &self.shown_as {
            return name.to_string();
        }
        if self.kind == Some(RelationKind::Cte) {
            let name = self.identifier.as_deref().unwrap_or_default();
            return format!("__dbt__cte__{name}");
        }
        let parts = [
            (&self.database, self.include.database, self.quoting.database),
            (&self.schema, self.include.schema, self.quoting.schema),
            (
                &self.identifier,
                self.include.identifier,
                self.quoting.identifier,
            ),
        ];
        let mut text = String::new();
        for (part, included, quoted) in parts {
            let Some(part) = part.as_deref().filter(|_| included) else {
                continue;
            };
            if !text.is_empty() {
                text.push('.');
            }
            if quoted {
                text.push_str(&dialect.quote_identifier(part));
            } else {
                text.push_str(part);
            }
        }
        text
    }
}

/// A column of a relation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type in the database's words, without size.
    pub data_type: String,
    /// The length of a character type.
    pub char_size: Option<i64>,
    /// The precision of a numeric type.
    pub numeric_precision: Option<i64>,
    /// The scale of a numeric type.
    pub numeric_scale: Option<i64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::{DUCKDB, POSTGRES, SNOWFLAKE};

    #[test]
    fn parts_are_quoted_as_the_dialect_says() {
        let relation = Relation::new(&DUCKDB, "dev", "main", "or\"ders");
        assert_eq!(relation.render(&DUCKDB), "\"dev\".\"main\".\"or\"\"ders\"");
        let relation = Relation::new(&SNOWFLAKE, "dev", "main", "orders");
        assert_eq!(relation.render(&SNOWFLAKE), "dev.main.orders");
    }

    #[test]
    fn a_filtered_relation_is_read_by_a_subquery() {
        let mut relation = Relation::new(&POSTGRES, "dev", "public", "orders");
        assert_eq!(
            relation.render_filtered(&POSTGRES),
            relation.render(&POSTGRES)
        );
        relation.filter = Some("at >= '2026-11-01'".into());
        insta::assert_snapshot!(relation.render_filtered(&POSTGRES), @r#"(select * from "dev"."public"."orders" where at >= '2026-11-01') _dbt_et_filter_subq_orders"#);
        relation.kind = Some(RelationKind::Cte);
        insta::assert_snapshot!(relation.render_filtered(&DUCKDB), @"(select * from __dbt__cte__orders where at >= '2026-11-01')");
    }
}
