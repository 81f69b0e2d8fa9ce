//! The table itself: made with its keys where it is missing, else compared with what is declared.
//!
//! What may be added without touching a row is added; anything else is refused with the statements
//! that it would take. Nothing here drops or rewrites anything.

use std::sync::Arc;

use serde_json::{Value as Json, json};

use crate::diagnostic::{Code, Diagnostic};
use crate::executor::Project;
use crate::executor::compile::{Shown, node_scope};
use crate::executor::session::Session;
use crate::jinja::context::{self, relation_value};
use crate::jinja::language::{Scope, from_json};
use crate::jinja::port::{CacheChange, Fetch, Transaction};
use crate::jinja::{Value, Warehouse};
use crate::manifest::Node;
use crate::manifest::ods::{Constraint, ConstraintKind, OdsTable, Parent};
use crate::relation::{Relation, RelationKind};
use crate::table::{Datum, Table};

/// The temporary table that shows what the database makes of the declaration.
const DECLARED: &str = "__daygrain__declared";

/// What was done with a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// It was missing.
    Created,
    /// Columns or indexes were added.
    Extended,
    /// It was as it is declared.
    Same,
}

impl Made {
    /// The server's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Made::Created => "CREATE TABLE",
            Made::Extended => "ALTER TABLE",
            Made::Same => "OK",
        }
    }
}

/// A table, and what its macros are called with.
pub struct Place<'a> {
    project: &'a Arc<Project>,
    session: &'a Arc<Session>,
    node: &'a Arc<Node>,
    scope: Scope,
}

impl<'a> Place<'a> {
    /// Of a node.
    pub fn new(
        project: &'a Arc<Project>,
        session: &'a Arc<Session>,
        node: &'a Arc<Node>,
    ) -> Place<'a> {
        let shown = Shown::of(project, node);
        let (scope, _) = node_scope(project, session, node, &shown, Vec::new());
        Place {
            project,
            session,
            node,
            scope,
        }
    }

    /// Runs a macro.
    pub fn call(&self, name: &str, args: &[Value]) -> Result<Value, Box<Diagnostic>> {
        self.project.engine.call(name, args, &[], &self.scope)
    }

    /// Runs a macro that gives SQL.
    pub fn text(&self, name: &str, args: &[Json]) -> Result<String, Box<Diagnostic>> {
        let args: Vec<Value> = args.iter().map(from_json).collect();
        let text = self.call(name, &args)?;
        Ok(text.as_str().map(str::trim).unwrap_or_default().to_owned())
    }

    /// Runs a statement; gives how many rows it changed.
    pub fn run(&self, sql: &str) -> Result<u64, Box<Diagnostic>> {
        let outcome = self.session.query(sql, Transaction::AsIs, Fetch::Nothing)?;
        Ok(outcome.rows_affected.unwrap_or_default())
    }

    /// Runs a query.
    pub fn fetch(&self, sql: &str) -> Result<Table, Box<Diagnostic>> {
        let outcome = self.session.query(sql, Transaction::AsIs, Fetch::Rows)?;
        Ok(outcome.table)
    }

    /// The name as statements write it.
    pub fn name(&self) -> String {
        self.node.relation.render(self.project.facts.dialect)
    }

    /// What tells the table from one that is made in its place; `-` where there is none.
    pub fn identity(&self) -> Result<String, Box<Diagnostic>> {
        let sql = self.text("ods_identity", &[name_of(&self.node.relation, self).into()])?;
        let rows = self.fetch(&sql)?.rows;
        let found = rows.first().and_then(|row| row.first());
        let found = found.filter(|value| **value != Datum::Null);
        Ok(found.map_or_else(|| "-".to_owned(), Datum::to_text))
    }

    /// A name in quotes.
    pub fn quote(&self, name: &str) -> String {
        self.project.facts.dialect.quote_identifier(name)
    }

    /// Runs the hooks of the node that its config calls so.
    pub fn hooks(&self, which: &str) -> Result<(), Box<Diagnostic>> {
        let hooks = context::hook_values(self.node.config.get(which));
        if hooks.len() == Some(0) {
            return Ok(());
        }
        for inside in [true, false] {
            self.call("run_hooks", &[hooks.clone(), Value::from(inside)])?;
            self.session.commit()?;
        }
        Ok(())
    }
}

/// Makes the table of a node, or finds it as it is declared.
///
/// # Errors
/// How the table that is there differs, and what the database says.
pub fn make(place: &Place<'_>, table: &OdsTable) -> Result<Made, Box<Diagnostic>> {
    place.hooks("pre-hook")?;
    let made = match kind(place)? {
        Some(kind) => compare(place, table, &kind)?,
        None => match create(place, table) {
            Ok(()) => Made::Created,
            // Another run may have made it at the same time.
            Err(failure) => match kind(place)? {
                Some(kind) => compare(place, table, &kind)?,
                None => return Err(failure),
            },
        },
    };
    let relation = place.node.relation.of_kind(RelationKind::Table);
    place.session.note(CacheChange::Added(relation.clone()));
    describe(place, &relation)?;
    Ok(made)
}

/// Its grants and its comments.
fn describe(place: &Place<'_>, relation: &Relation) -> Result<(), Box<Diagnostic>> {
    let dialect = place.project.facts.dialect;
    let value = relation_value(dialect, relation);
    if let Some(grants) = place.node.config.get("grants") {
        let args = [value.clone(), from_json(grants), Value::from(true)];
        place.call("apply_grants", &args)?;
    }
    if place.node.config.get("persist_docs").is_some() {
        let model = from_json(&place.project.node_json(place.node));
        place.call("persist_docs", &[value, model])?;
    }
    place.session.commit()
}

fn kind(place: &Place<'_>) -> Result<Option<String>, Box<Diagnostic>> {
    let sql = place.text("ods_kind", &[name_of(&place.node.relation, place).into()])?;
    let rows = place.fetch(&sql)?.rows;
    Ok(rows.first().and_then(|row| row.first()).map(Datum::to_text))
}

/// A relation without its database, which not all of a server's functions take.
fn name_of(relation: &Relation, place: &Place<'_>) -> String {
    let mut relation = relation.clone();
    relation.include.database = false;
    relation.render(place.project.facts.dialect)
}

fn create(place: &Place<'_>, table: &OdsTable) -> Result<(), Box<Diagnostic>> {
    let name = name_of(&place.node.relation, place);
    place.session.begin()?;
    let made = place
        .text(
            "ods_create_table",
            &[name.as_str().into(), shape_json(place, table, &name, None)],
        )
        .and_then(|sql| place.run(&sql))
        .and_then(|_| {
            for (_, sql) in indexes(place, &place.node.relation)? {
                place.run(&sql)?;
            }
            place.session.commit()
        });
    if made.is_err() {
        // What failed first is worth more than a failure to undo it.
        let _ = place.session.rollback();
    }
    made
}

/// The configured indexes of a relation: what each is called there, and the statement that makes it.
fn indexes(
    place: &Place<'_>,
    relation: &Relation,
) -> Result<Vec<(String, String)>, Box<Diagnostic>> {
    let Some(Json::Array(indexes)) = place.node.config.get("indexes") else {
        return Ok(Vec::new());
    };
    let relation = relation_value(
        place.project.facts.dialect,
        &relation.of_kind(RelationKind::Table),
    );
    let mut made = Vec::new();
    for index in indexes {
        let sql = place.call("ods_index", &[relation.clone(), from_json(index)])?;
        let sql = sql.as_str().map(str::trim).unwrap_or_default().to_owned();
        let name = sql.split('"').nth(1).unwrap_or_default().to_owned();
        made.push((name, sql));
    }
    Ok(made)
}

/// Columns and constraints as the macros take them; the parents of foreign keys may be stood in for.
fn shape_json(
    place: &Place<'_>,
    table: &OdsTable,
    own: &str,
    stand_ins: Option<&[StandIn]>,
) -> Json {
    let columns: Vec<Json> = table
        .columns
        .iter()
        .map(|column| {
            json!({
                "quoted": place.quote(&column.name),
                "data_type": column.data_type,
                "not_null": column.not_null,
                "custom": column.custom,
            })
        })
        .collect();
    let constraints: Vec<Json> = table
        .constraints
        .iter()
        .map(|constraint| {
            let columns = constraint.columns.iter();
            let columns: Vec<String> = columns.map(|column| place.quote(column)).collect();
            let (parent, rest) = references(place, constraint, own).unwrap_or_default();
            let stand_in = stand_ins.into_iter().flatten();
            let parent = stand_in
                .filter(|one| one.parent == parent)
                .map(|one| place.quote(&one.name))
                .next()
                .unwrap_or(parent);
            json!({
                "name": constraint.name.as_ref().map(|name| place.quote(name)),
                "kind": constraint.kind.as_str(),
                "columns": columns,
                "expression": constraint.expression,
                "parent": parent,
                "rest": rest,
            })
        })
        .collect();
    json!({ "columns": columns, "constraints": constraints })
}

/// What a foreign key refers to, and what follows it; `own` is the table's own name.
fn references(place: &Place<'_>, constraint: &Constraint, own: &str) -> Option<(String, String)> {
    let ConstraintKind::ForeignKey(parent) = &constraint.kind else {
        return None;
    };
    let (id, columns) = match parent {
        Parent::Of(id, columns) => (id, columns),
        Parent::Written(text) => {
            let (name, rest) = after_name(text);
            return Some((name.to_owned(), rest.trim().to_owned()));
        }
    };
    let manifest = &place.project.manifest;
    let relation = match (manifest.nodes.get(id), manifest.sources.get(id)) {
        (Some(node), _) => &node.relation,
        (None, Some(source)) => &source.relation,
        (None, None) => return None,
    };
    let name = match *id == place.node.unique_id {
        true => own.to_owned(),
        false => name_of(relation, place),
    };
    let columns: Vec<String> = columns.iter().map(|column| place.quote(column)).collect();
    let mut rest = Vec::new();
    if !columns.is_empty() {
        rest.push(format!("({})", columns.join(", ")));
    }
    if !constraint.expression.is_empty() {
        rest.push(constraint.expression.clone());
    }
    Some((name, rest.join(" ")))
}

/// Cuts the name of a relation from what follows it; quotes may hold anything.
fn after_name(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    let mut quoted = false;
    for (at, character) in text.char_indices() {
        match character {
            '"' => quoted = !quoted,
            '(' if !quoted => return text.split_at(at),
            other if !quoted && other.is_whitespace() => return text.split_at(at),
            _ => {}
        }
    }
    (text, "")
}

/// A temporary table in the place of a foreign key's parent.
struct StandIn {
    name: String,
    parent: String,
}

fn stand_ins(place: &Place<'_>, table: &OdsTable) -> Vec<StandIn> {
    let mut found: Vec<StandIn> = Vec::new();
    for constraint in &table.constraints {
        let Some((parent, _)) = references(place, constraint, DECLARED) else {
            continue;
        };
        if parent != DECLARED && found.iter().all(|one| one.parent != parent) {
            let name = format!("__daygrain__parent_{}", found.len());
            found.push(StandIn { name, parent });
        }
    }
    found
}

/// A column, constraint or index, as the catalogue has it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    kind: String,
    name: String,
    definition: String,
}

impl Part {
    fn refuses_null(&self) -> bool {
        self.definition.contains(" not null")
    }
}

fn parts(table: &Table) -> Vec<Part> {
    let word = |row: &[Datum], at: usize| row.get(at).map(Datum::to_text).unwrap_or_default();
    let rows = table.rows.iter();
    rows.map(|row| Part {
        kind: word(row, 0),
        name: word(row, 1),
        definition: word(row, 2),
    })
    .collect()
}

/// What a table that is there lacks and has too much, as statements.
#[derive(Debug, Default, PartialEq, Eq)]
struct Difference {
    /// Add something and touch no row.
    harmless: Vec<String>,
    /// What else differs, and the statement that would mend it.
    others: Vec<(String, String)>,
}

fn compare(place: &Place<'_>, table: &OdsTable, kind: &str) -> Result<Made, Box<Diagnostic>> {
    let name = place.name();
    if kind != "table" {
        let message = format!(
            "{name} is there and is no table, so `{}` cannot be it",
            place.node.name
        );
        let error = Diagnostic::error(Code::Database, message);
        return Err(Box::new(
            error.help("drop it, or give the model another `alias`"),
        ));
    }
    let (declared, there) = looked_at(place, table)?;
    let indexes = indexes(place, &place.node.relation)?;
    let shadow = indexes_of_shadow(place)?;
    let statement_of = |index: &str| {
        let at = shadow.iter().position(|(name, _)| name == index)?;
        indexes.get(at).map(|(_, sql)| sql.clone())
    };
    let difference = differ(place, table, (&declared, &there), &statement_of);
    if !difference.others.is_empty() {
        let message = format!(
            "the table {name} is not as `{}` declares it",
            place.node.name
        );
        let mut error = Diagnostic::error(Code::Database, message);
        for (what, statement) in &difference.others {
            error = error.note(format!("{what}: {statement}"));
        }
        return Err(Box::new(error.help(
            "run these statements yourself, or change the declaration: no run changes rows or drops anything here, not even with --full-refresh",
        )));
    }
    if difference.harmless.is_empty() {
        return Ok(Made::Same);
    }
    place.session.begin()?;
    for statement in &difference.harmless {
        place.run(statement)?;
    }
    place.session.commit()?;
    Ok(Made::Extended)
}

fn shadow(place: &Place<'_>) -> Relation {
    crate::landing::staging(place.project.facts.dialect, DECLARED)
}

fn indexes_of_shadow(place: &Place<'_>) -> Result<Vec<(String, String)>, Box<Diagnostic>> {
    indexes(place, &shadow(place))
}

/// The declared table, made for a moment where nobody sees it, and the one that is there.
fn looked_at(
    place: &Place<'_>,
    table: &OdsTable,
) -> Result<(Vec<Part>, Vec<Part>), Box<Diagnostic>> {
    let stand_ins = stand_ins(place, table);
    let own = place.quote(DECLARED);
    let look = || -> Result<(Vec<Part>, Vec<Part>), Box<Diagnostic>> {
        for one in &stand_ins {
            let args = [place.quote(&one.name).into(), one.parent.as_str().into()];
            place.run(&place.text("ods_stand_in", &args)?)?;
        }
        let json = shape_json(place, table, &own, Some(&stand_ins));
        let args = [own.as_str().into(), json, true.into()];
        place.run(&place.text("ods_create_table", &args)?)?;
        for (_, sql) in indexes_of_shadow(place)? {
            place.run(&sql)?;
        }
        let told: Vec<Json> = stand_ins
            .iter()
            .map(|one| json!({"name": place.quote(&one.name), "parent": one.parent}))
            .collect();
        let declared = place.text("ods_shape", &[own.as_str().into(), told.into()])?;
        let there = place.text("ods_shape", &[name_of(&place.node.relation, place).into()])?;
        Ok((
            parts(&place.fetch(&declared)?),
            parts(&place.fetch(&there)?),
        ))
    };
    place.session.begin()?;
    let found = look();
    // It was only to be looked at.
    let _ = place.session.rollback();
    found
}

/// Holds what is declared against what is there; `index` gives the statement of a declared index.
fn differ(
    place: &Place<'_>,
    table: &OdsTable,
    (declared, there): (&[Part], &[Part]),
    index: &dyn Fn(&str) -> Option<String>,
) -> Difference {
    let name = name_of(&place.node.relation, place);
    let mut found = Difference::default();
    let of = |parts: &[Part], kind: &str| -> Vec<Part> {
        let parts = parts.iter().filter(|part| part.kind == kind);
        parts.cloned().collect()
    };
    let (wanted, columns) = (of(declared, "column"), of(there, "column"));
    for part in &wanted {
        let quoted = place.quote(&part.name);
        match columns.iter().find(|own| own.name == part.name) {
            Some(own) if own.definition == part.definition => {}
            Some(own) => {
                let what = format!(
                    "the column `{}` is `{}` and is declared as `{}`",
                    part.name, own.definition, part.definition
                );
                found
                    .others
                    .push((what, retyped(&name, &quoted, own, part)));
            }
            None => {
                let add = added_column(place, table, part);
                let statement = format!("alter table {name} add column {add}");
                match part.refuses_null() {
                    false => found.harmless.push(statement),
                    true => {
                        let what =
                            format!("the column `{}` is missing, and refuses null", part.name);
                        found.others.push((what, statement));
                    }
                }
            }
        }
    }
    for own in &columns {
        if wanted.iter().all(|part| part.name != own.name) {
            let what = format!("the column `{}` is not declared", own.name);
            let statement = format!("alter table {name} drop column {}", place.quote(&own.name));
            found.others.push((what, statement));
        }
    }
    let (wanted, mut left) = (of(declared, "constraint"), of(there, "constraint"));
    for part in &wanted {
        match left
            .iter()
            .position(|own| own.definition == part.definition)
        {
            Some(at) => drop(left.remove(at)),
            None => {
                let definition = part
                    .definition
                    .replace("REFERENCES itself(", &format!("REFERENCES {name}("));
                let what = format!("the constraint `{definition}` is missing");
                found
                    .others
                    .push((what, format!("alter table {name} add {definition}")));
            }
        }
    }
    for own in &left {
        let what = format!("the constraint `{}` is not declared", own.definition);
        let statement = format!(
            "alter table {name} drop constraint {}",
            place.quote(&own.name)
        );
        found.others.push((what, statement));
    }
    for kind in ["index", "unique index"] {
        let (wanted, mut left) = (of(declared, kind), of(there, kind));
        for part in &wanted {
            match left
                .iter()
                .position(|own| own.definition == part.definition)
            {
                Some(at) => drop(left.remove(at)),
                None => found.harmless.extend(index(&part.name)),
            }
        }
        // One that only makes things faster may be somebody's own.
        for own in left.iter().filter(|_| kind == "unique index") {
            let what = format!("the unique index `{}` is not declared", own.name);
            let schema = place.node.relation.schema.as_deref().unwrap_or_default();
            let (schema, index) = (place.quote(schema), place.quote(&own.name));
            found
                .others
                .push((what, format!("drop index {schema}.{index}")));
        }
    }
    found
}

fn added_column(place: &Place<'_>, table: &OdsTable, part: &Part) -> String {
    let quoted = place.quote(&part.name);
    let mut columns = table.columns.iter();
    match columns.find(|column| column.name == part.name) {
        Some(column) if !column.custom.is_empty() => {
            format!("{quoted} {} {}", column.data_type, column.custom.join(" "))
        }
        _ => format!("{quoted} {}", part.definition),
    }
}

/// The statement that makes one column of another.
fn retyped(name: &str, quoted: &str, own: &Part, part: &Part) -> String {
    let plain = |part: &Part| {
        let end = [" not null", " default ", " generated "].into_iter();
        let end = end.filter_map(|word| part.definition.find(word)).min();
        part.definition[..end.unwrap_or(part.definition.len())].to_owned()
    };
    let mut changes = Vec::new();
    if plain(own) != plain(part) {
        changes.push(format!("alter column {quoted} type {}", plain(part)));
    }
    match (own.refuses_null(), part.refuses_null()) {
        (false, true) => changes.push(format!("alter column {quoted} set not null")),
        (true, false) => changes.push(format!("alter column {quoted} drop not null")),
        _ => {}
    }
    let default = |part: &Part| {
        let at = part.definition.find(" default ")?;
        Some(part.definition[at + 1..].to_owned())
    };
    match (default(own), default(part)) {
        (own, Some(wanted)) if own.as_ref() != Some(&wanted) => {
            changes.push(format!("alter column {quoted} set {wanted}"));
        }
        (Some(_), None) => changes.push(format!("alter column {quoted} drop default")),
        _ => {}
    }
    match changes.is_empty() {
        true => format!("make the column {quoted} of {name} anew"),
        false => format!("alter table {name} {}", changes.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_ends_before_its_columns() {
        assert_eq!(
            after_name("public.p (id) on delete cascade"),
            ("public.p", " (id) on delete cascade")
        );
        assert_eq!(
            after_name("\"a (b\".\"c d\"(id)"),
            ("\"a (b\".\"c d\"", "(id)")
        );
        assert_eq!(after_name(" p"), ("p", ""));
    }

    #[test]
    fn a_column_is_changed_by_what_differs() {
        let part = |definition: &str| Part {
            kind: "column".to_owned(),
            name: "a".to_owned(),
            definition: definition.to_owned(),
        };
        let change = |own, wanted| retyped("s.t", "\"a\"", &part(own), &part(wanted));
        assert_eq!(
            change("integer", "bigint not null default 1"),
            "alter table s.t alter column \"a\" type bigint, alter column \"a\" set not null, alter column \"a\" set default 1"
        );
        assert_eq!(
            change("text not null default 'x'::text", "text"),
            "alter table s.t alter column \"a\" drop not null, alter column \"a\" drop default"
        );
    }
}
