//! `adapter`: the database as macros see it.
//!
//! Metadata queries and DDL are macros, as in dbt; the adapter calls them and keeps what is known of
//! the catalogue. While the project is parsed it answers as if the database were empty.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use minijinja::value::{Object, ObjectRepr};
use minijinja::{Error, State, Value};

use super::callable::{Answer, function, given, namespace, text, truth};
use super::column::{
    self, as_column, can_expand_to, column_value, data_type, is_string, string_size,
};
use super::index::parse_index;
use super::node::Context;
use super::relation::{self, as_relation, expect_relation, relation_value};
use super::results::response_value;
use super::table::{as_table, table_value};
use crate::diagnostic::{Code, Diagnostic};
use crate::dialect::{Dialect, Folding};
use crate::jinja::language::{
    bind, dict, dispatch, items, list, lookup, py_str, raise, tuple, type_error,
};
use crate::jinja::port::{CacheChange, Fetch, QueryOutcome, Transaction};
use crate::relation::{Column, Relation, RelationKind};
use crate::table::{Datum, Table};

/// The incremental strategies that have macros.
const STRATEGIES: &[&str] = &["append", "delete+insert", "merge"];

/// Methods of dbt's adapters that are not done.
const UNSUPPORTED: &[&str] = &[
    "submit_python_job",
    "generate_python_submission_response",
    "render_raw_columns_constraints",
    "render_raw_model_constraints",
    "get_catalog",
    "get_catalog_by_relations",
    "calculate_freshness",
    "calculate_freshness_from_metadata",
    "valid_snapshot_target",
    "assert_valid_snapshot_target_given_strategy",
    "get_partitions_metadata",
    "upload_file",
    "copy_table",
    "store_relation",
    "register_glue_table",
    "build_catalog_relation",
];

struct Adapter(Arc<Context>);

type Method = fn(&Arc<Context>, &mut State<'_, '_>, &[Value]) -> Answer;

/// `adapter`.
pub(super) fn object(context: &Arc<Context>) -> Value {
    Value::from_object(Adapter(Arc::clone(context)))
}

/// What needs no database, while parsing and later.
fn method_of_text(name: &str) -> Option<(&'static str, Method)> {
    Some(match name {
        "dispatch" => ("dispatch", dispatch_macro),
        "type" => ("type", |context, _, _| {
            Ok(Value::from(context.project.dialect.name))
        }),
        "quote" => ("quote", quote),
        "quote_as_configured" => ("quote_as_configured", quote_as_configured),
        "quote_seed_column" => ("quote_seed_column", quote_seed_column),
        "convert_type" => ("convert_type", convert_type),
        "valid_incremental_strategies" => ("valid_incremental_strategies", |_, _, _| {
            Ok(list(STRATEGIES.iter().copied().map(Value::from).collect()))
        }),
        "get_incremental_strategy_macro" => ("get_incremental_strategy_macro", strategy_macro),
        "standardize_grants_dict" => ("standardize_grants_dict", standardize_grants),
        "parse_index" => ("parse_index", |_, _, args| parse_index(args)),
        "is_cancelable" => ("is_cancelable", |_, _, _| Ok(Value::from(true))),
        "verify_database" => ("verify_database", |_, _, _| Ok(Value::from(""))),
        "date_function" => ("date_function", |_, _, _| Ok(Value::from("now()"))),
        _ => return None,
    })
}

/// What needs the database.
fn method_of_database(name: &str) -> Option<(&'static str, Method)> {
    Some(match name {
        "execute" => ("execute", execute),
        "add_query" => ("add_query", add_query),
        "attempt" => ("attempt", attempt),
        "begin" => ("begin", |context, _, _| silent(context.warehouse.begin())),
        "commit" => ("commit", |context, _, _| silent(context.warehouse.commit())),
        "rollback" => ("rollback", |context, _, _| {
            silent(context.warehouse.rollback())
        }),
        "load_rows" => ("load_rows", load_rows),
        "get_relation" => ("get_relation", get_relation),
        "load_relation" => ("load_relation", load_relation),
        "already_exists" => ("already_exists", |context, state, args| {
            let [schema, table] = bind("already_exists", args, ["schema", "table"], 2)?;
            let found = find_relation(context, state, &None, &schema, &table)?;
            Ok(Value::from(found.is_some()))
        }),
        "list_relations" => ("list_relations", list_relations),
        "list_relations_without_caching" => {
            ("list_relations_without_caching", |context, state, args| {
                let [schema] = bind(
                    "list_relations_without_caching",
                    args,
                    ["schema_relation"],
                    1,
                )?;
                let schema = expect_relation(
                    "list_relations_without_caching",
                    &schema.unwrap_or_default(),
                )?;
                let found = look(context, state, &schema)?;
                Ok(relations_value(context, found))
            })
        }
        "cache_added" => ("cache_added", |context, _, args| {
            note(context, "cache_added", args, CacheChange::Added)
        }),
        "cache_dropped" => ("cache_dropped", |context, _, args| {
            note(context, "cache_dropped", args, CacheChange::Dropped)
        }),
        "cache_renamed" => ("cache_renamed", |context, _, args| {
            let (from, to) = two_relations("cache_renamed", args)?;
            context.warehouse.note(CacheChange::Renamed(from, to));
            Ok(Value::from(""))
        }),
        "create_schema" => ("create_schema", |_, state, args| {
            call_macro(state, "create_schema", args)
        }),
        "drop_schema" => ("drop_schema", |context, state, args| {
            call_macro(state, "drop_schema", args)?;
            note(context, "drop_schema", args, CacheChange::SchemaDropped)
        }),
        "drop_relation" => ("drop_relation", |context, state, args| {
            call_macro(state, "drop_relation", args)?;
            note(context, "drop_relation", args, CacheChange::Dropped)
        }),
        "truncate_relation" => ("truncate_relation", |_, state, args| {
            call_macro(state, "truncate_relation", args)
        }),
        "rename_relation" => ("rename_relation", |context, state, args| {
            let (from, to) = two_relations("rename_relation", args)?;
            call_macro(state, "rename_relation", args)?;
            context.warehouse.note(CacheChange::Renamed(from, to));
            Ok(Value::from(""))
        }),
        "get_columns_in_relation" => ("get_columns_in_relation", |_, state, args| {
            call_macro(state, "get_columns_in_relation", args)
        }),
        "get_missing_columns" => ("get_missing_columns", missing_columns),
        "expand_target_column_types" => ("expand_target_column_types", expand_types),
        "get_column_schema_from_query" => ("get_column_schema_from_query", columns_of_query),
        "check_schema_exists" => ("check_schema_exists", check_schema_exists),
        "list_schemas" => ("list_schemas", list_schemas),
        _ => return None,
    })
}

/// What a method that needs the database gives while there is none.
fn parsed(name: &str) -> Value {
    match name {
        "execute" => tuple(vec![
            response_value(&QueryOutcome::default()),
            table_value(Arc::default()),
        ]),
        "add_query" => tuple(vec![Value::from(()), Value::from(())]),
        "list_relations"
        | "list_relations_without_caching"
        | "get_columns_in_relation"
        | "get_missing_columns"
        | "get_column_schema_from_query"
        | "list_schemas" => list(Vec::new()),
        "already_exists" | "check_schema_exists" => Value::from(false),
        _ => Value::from(()),
    }
}

impl Adapter {
    fn attribute(&self, name: &str) -> Option<Value> {
        let dialect = self.0.project.dialect;
        match name {
            "Relation" => return Some(relation::class_value(dialect)),
            "Column" => return Some(column::class_value(dialect)),
            "behavior" => return Some(namespace("behavior", |_| Some(Value::from(false)))),
            "config" => return Some(namespace("config", |_| None)),
            _ => {}
        }
        let context = Arc::clone(&self.0);
        if let Some((name, body)) = method_of_text(name) {
            return Some(function(name, move |state, args| {
                body(&context, state, args)
            }));
        }
        if let Some((name, body)) = method_of_database(name) {
            return Some(function(name, move |state, args| {
                match context.executes() {
                    true => body(&context, state, args),
                    false => Ok(parsed(name)),
                }
            }));
        }
        let name = *UNSUPPORTED.iter().find(|known| **known == name)?;
        Some(function(name, move |_, _| {
            Err(raise(Diagnostic::error(
                Code::Unsupported,
                format!("`adapter.{name}` is not supported"),
            )))
        }))
    }
}

impl fmt::Debug for Adapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<adapter>")
    }
}

impl Object for Adapter {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.attribute(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        self.attribute(key)
    }

    fn call_method(
        self: &Arc<Self>,
        state: &mut State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Answer {
        match self.attribute(method) {
            Some(value) => value.call(state, args),
            None => Err(raise(Diagnostic::error(
                Code::Unsupported,
                format!("`adapter` has no method `{method}`"),
            ))),
        }
    }
}

/// The failure of a query as an error of the template.
#[allow(clippy::boxed_local, reason = "it is what every port returns")]
fn failed(diagnostic: Box<Diagnostic>) -> Error {
    raise(*diagnostic)
}

fn silent(result: Result<(), Box<Diagnostic>>) -> Answer {
    result.map(|()| Value::from("")).map_err(failed)
}

/// Calls a macro by its name, as the node's own template would.
fn call_macro(state: &mut State<'_, '_>, name: &str, args: &[Value]) -> Answer {
    match lookup(state, name) {
        Some(found) => found.call(state, args),
        None => Err(raise(Diagnostic::error(
            Code::UndefinedMacro,
            format!("no macro named `{name}`"),
        ))),
    }
}

fn dispatch_macro(_: &Arc<Context>, state: &mut State<'_, '_>, args: &[Value]) -> Answer {
    let [name, namespace, packages] = bind(
        "adapter.dispatch",
        args,
        ["macro_name", "macro_namespace", "packages"],
        1,
    )?;
    if given(&packages).is_some() {
        return Err(raise(
            Diagnostic::error(
                Code::Unsupported,
                "`adapter.dispatch` takes no `packages` any more",
            )
            .help("use `macro_namespace`, and `dispatch` in dbt_project.yml"),
        ));
    }
    let name = text(name.as_ref()).unwrap_or_default();
    dispatch(state, &name, text(namespace.as_ref()).as_deref())
}

fn quote(context: &Arc<Context>, _: &mut State<'_, '_>, args: &[Value]) -> Answer {
    let [identifier] = bind("adapter.quote", args, ["identifier"], 1)?;
    let identifier = text(identifier.as_ref()).unwrap_or_default();
    Ok(Value::from(
        context.project.dialect.quote_identifier(&identifier),
    ))
}

fn quote_as_configured(context: &Arc<Context>, _: &mut State<'_, '_>, args: &[Value]) -> Answer {
    let [identifier, key] = bind(
        "adapter.quote_as_configured",
        args,
        ["identifier", "quote_key"],
        2,
    )?;
    let identifier = text(identifier.as_ref()).unwrap_or_default();
    let dialect = context.project.dialect;
    let quoting = context
        .this
        .as_ref()
        .map_or(dialect.quoting, |this| this.quoting);
    let quoted = match text(key.as_ref()).as_deref() {
        Some("database") => quoting.database,
        Some("schema") => quoting.schema,
        _ => quoting.identifier,
    };
    Ok(Value::from(match quoted {
        true => dialect.quote_identifier(&identifier),
        false => identifier,
    }))
}

fn quote_seed_column(context: &Arc<Context>, _: &mut State<'_, '_>, args: &[Value]) -> Answer {
    let [name, quote] = bind(
        "adapter.quote_seed_column",
        args,
        ["column", "quote_config"],
        1,
    )?;
    let name = text(name.as_ref()).unwrap_or_default();
    let dialect = context.project.dialect;
    Ok(Value::from(
        match truth(quote.as_ref(), dialect.quoting.identifier) {
            true => dialect.quote_identifier(&name),
            false => name,
        },
    ))
}

/// The type that a column of a seed is made with.
fn convert_type(context: &Arc<Context>, _: &mut State<'_, '_>, args: &[Value]) -> Answer {
    let [table, index] = bind("adapter.convert_type", args, ["agate_table", "col_idx"], 2)?;
    let table = table.as_ref().and_then(as_table);
    let index = index.as_ref().and_then(Value::as_usize);
    let (Some(table), Some(index)) = (table, index) else {
        return Err(type_error(
            "`adapter.convert_type` needs a table and a column's index",
        ));
    };
    Ok(Value::from(seed_type(
        context.project.dialect,
        &table,
        index,
    )))
}

/// The type of a column: as it was given, else the narrowest that holds every value.
fn seed_type(dialect: &Dialect, table: &Table, index: usize) -> String {
    let types = &dialect.types;
    match table.columns.get(index) {
        Some(column) if !column.data_type.is_empty() => return column.data_type.clone(),
        _ => {}
    }
    let mut found: Option<&str> = None;
    for datum in table.rows.iter().filter_map(|row| row.get(index)) {
        let own = match datum {
            Datum::Null => continue,
            Datum::Bool(_) => types.boolean,
            Datum::Int(value) if i32::try_from(*value).is_ok() => types.integer,
            Datum::Int(_) => types.bigint,
            Datum::Decimal(_) | Datum::Float(_) => types.number,
            Datum::Date(_) => types.date,
            Datum::Timestamp(_) | Datum::TimestampTz(_) => types.timestamp,
            Datum::Time(_) => types.time,
            Datum::Text(_) | Datum::Bytes(_) | Datum::Json(_) => types.text,
        };
        let numbers = [types.integer, types.bigint, types.number];
        let rank = |name: &str| numbers.iter().position(|number| *number == name);
        found = Some(match found {
            None => own,
            Some(known) if known == own => own,
            Some(known) => match (rank(known), rank(own)) {
                (Some(a), Some(b)) => numbers[a.max(b)],
                _ => types.text,
            },
        });
    }
    // As in dbt, a column without a value holds whole numbers.
    found.unwrap_or(types.integer).to_owned()
}

fn strategy_macro(context: &Arc<Context>, state: &mut State<'_, '_>, args: &[Value]) -> Answer {
    let [_, strategy] = bind(
        "adapter.get_incremental_strategy_macro",
        args,
        ["model_context", "strategy"],
        2,
    )?;
    let strategy = text(strategy.as_ref()).unwrap_or_else(|| "default".to_owned());
    let name = format!("get_incremental_{}_sql", strategy.replace('+', "_"));
    lookup(state, &name).ok_or_else(|| {
        raise(
            Diagnostic::error(
                Code::BadConfig,
                format!(
                    "dbt could not find an incremental strategy macro with the name \"{name}\" in {}",
                    context.project.project
                ),
            )
            .help(format!("there are `{}`", STRATEGIES.join("`, `"))),
        )
    })
}

/// Grants as the config writes them: a list of grantees by privilege.
fn standardize_grants(_: &Arc<Context>, _: &mut State<'_, '_>, args: &[Value]) -> Answer {
    let [table] = bind("adapter.standardize_grants_dict", args, ["grants_table"], 1)?;
    let Some(table) = table.as_ref().and_then(as_table) else {
        return Ok(dict([]));
    };
    let find = |names: &[&str]| {
        names.iter().find_map(|name| {
            table
                .columns
                .iter()
                .position(|column| column.name.eq_ignore_ascii_case(name))
        })
    };
    let (Some(grantee), Some(privilege)) = (
        find(&["grantee_name", "grantee"]),
        find(&["privilege_type", "privilege"]),
    ) else {
        return Ok(dict([]));
    };
    // A database that grants to other things than roles says so, and tells who owns the relation too.
    let granted_to = find(&["granted_to"]);
    let mut grants: Vec<(String, Vec<Value>)> = Vec::new();
    for row in &table.rows {
        let text = |index: usize| py_str(&super::table::datum_value(&row[index]));
        if granted_to.is_some_and(|at| text(at) != "ROLE" || text(privilege) == "OWNERSHIP") {
            continue;
        }
        let name = |index: usize| py_str(&super::table::datum_value(&row[index]));
        let (grantee, privilege) = (name(grantee), name(privilege).to_lowercase());
        match grants.iter_mut().find(|(known, _)| *known == privilege) {
            Some((_, grantees)) => grantees.push(Value::from(grantee)),
            None => grants.push((privilege, vec![Value::from(grantee)])),
        }
    }
    Ok(dict(grants.into_iter().map(|(privilege, grantees)| {
        (Value::from(privilege), list(grantees))
    })))
}

fn execute(context: &Arc<Context>, _: &mut State<'_, '_>, args: &[Value]) -> Answer {
    let [sql, auto_begin, fetch, limit] = bind(
        "adapter.execute",
        args,
        ["sql", "auto_begin", "fetch", "limit"],
        1,
    )?;
    let mut outcome = run(
        context,
        &sql,
        truth(auto_begin.as_ref(), false),
        truth(fetch.as_ref(), false),
    )?;
    if let Some(limit) = given(&limit).and_then(Value::as_usize) {
        outcome.table.rows.truncate(limit);
    }
    let response = response_value(&outcome);
    Ok(tuple(vec![response, table_value(Arc::new(outcome.table))]))
}

fn add_query(context: &Arc<Context>, _: &mut State<'_, '_>, args: &[Value]) -> Answer {
    let [sql, auto_begin, bindings, _] = bind(
        "adapter.add_query",
        args,
        ["sql", "auto_begin", "bindings", "abridge_sql_log"],
        1,
    )?;
    if given(&bindings).is_some_and(Value::is_true) {
        return Err(raise(
            Diagnostic::error(
                Code::Unsupported,
                "`adapter.add_query` with bindings is not supported",
            )
            .help("load rows with `adapter.load_rows(relation, table)`"),
        ));
    }
    let outcome = run(context, &sql, truth(auto_begin.as_ref(), true), false)?;
    Ok(tuple(vec![Value::from(()), response_value(&outcome)]))
}

fn run(
    context: &Context,
    sql: &Option<Value>,
    auto_begin: bool,
    fetch: bool,
) -> Result<QueryOutcome, Error> {
    let sql = text(sql.as_ref()).unwrap_or_default();
    let transaction = match auto_begin {
        true => Transaction::AutoBegin,
        false => Transaction::AsIs,
    };
    let fetch = match fetch {
        true => Fetch::Rows,
        false => Fetch::Nothing,
    };
    context
        .warehouse
        .query(sql.trim(), transaction, fetch)
        .map_err(failed)
}

/// `adapter.attempt(sql)`: the response, or none where the statement failed and nothing has changed.
///
/// daygrain's own. The transaction that is open, or is opened, stays usable either way.
fn attempt(context: &Arc<Context>, _: &mut State<'_, '_>, args: &[Value]) -> Answer {
    let [sql] = bind("adapter.attempt", args, ["sql"], 1)?;
    let sql = text(sql.as_ref()).unwrap_or_default();
    let send = |sql: &str| {
        context
            .warehouse
            .query(sql, Transaction::AutoBegin, Fetch::Nothing)
    };
    send("savepoint daygrain_attempt").map_err(failed)?;
    match send(sql.trim()) {
        Ok(outcome) => Ok(response_value(&outcome)),
        Err(failure) if failure.code == Code::Database => {
            send("rollback to savepoint daygrain_attempt").map_err(failed)?;
            Ok(Value::from(()))
        }
        Err(failure) => Err(failed(failure)),
    }
}

fn load_rows(context: &Arc<Context>, _: &mut State<'_, '_>, args: &[Value]) -> Answer {
    let names = ["relation", "agate_table", "quote_config"];
    let [relation, table, quote] = bind("adapter.load_rows", args, names, 2)?;
    let relation = expect_relation("adapter.load_rows", &relation.unwrap_or_default())?;
    let Some(table) = table.as_ref().and_then(as_table) else {
        return Err(type_error("`adapter.load_rows` needs a table"));
    };
    // Where the columns were made without quotes, the database has folded their names.
    let dialect = context.project.dialect;
    let folded = (!truth(quote.as_ref(), dialect.quoting.identifier)).then(|| {
        let mut folded = Table::clone(&table);
        for column in &mut folded.columns {
            column.name = dialect.fold(&column.name);
        }
        Arc::new(folded)
    });
    let table = folded.unwrap_or(table);
    context
        .warehouse
        .load(&relation, &table)
        .map(Value::from)
        .map_err(failed)
}

/// The relations of a schema: from the cache, else by a look that fills it.
fn known_relations(
    context: &Context,
    state: &mut State<'_, '_>,
    schema: &Relation,
) -> Result<Vec<Relation>, Error> {
    if let Some(known) = context.warehouse.cached_relations(schema) {
        return Ok(known);
    }
    let found = look(context, state, schema)?;
    context.warehouse.cache_relations(schema, found.clone());
    Ok(found)
}

fn look(
    context: &Context,
    state: &mut State<'_, '_>,
    schema: &Relation,
) -> Result<Vec<Relation>, Error> {
    let argument = context.relation(schema);
    let answer = call_macro(state, "list_relations_without_caching", &[argument])?;
    Ok(listed_relations(context.project.dialect, &answer))
}

/// Reads what `list_relations_without_caching` gives: a table of database, name, schema and type, or
/// a list of relations.
pub fn listed_relations(dialect: &Dialect, listed: &Value) -> Vec<Relation> {
    let Some(table) = as_table(listed) else {
        return materialized_relations(listed);
    };
    let cell = |row: &[Datum], index: usize| match row.get(index) {
        Some(Datum::Text(text)) => text.clone(),
        _ => String::new(),
    };
    table
        .rows
        .iter()
        .map(|row| {
            let mut relation = Relation::new(dialect, &cell(row, 0), &cell(row, 2), &cell(row, 1));
            relation.kind = RelationKind::parse(&cell(row, 3));
            relation
        })
        .collect()
}

/// Reads the relations that a materialization returned: `{'relations': [..]}`, or a plain list.
pub fn materialized_relations(returned: &Value) -> Vec<Relation> {
    let relations = match returned.get_attr("relations") {
        Ok(inner) if !inner.is_undefined() => inner,
        _ => returned.clone(),
    };
    items(&relations)
        .unwrap_or_default()
        .iter()
        .filter_map(as_relation)
        .cloned()
        .collect()
}

/// Reads the first column of a table, as `list_schemas` gives it, or a plain list.
pub fn first_column(listed: &Value) -> BTreeSet<String> {
    match as_table(listed) {
        Some(table) => table
            .rows
            .iter()
            .filter_map(|row| row.first())
            .map(|datum| py_str(&super::table::datum_value(datum)))
            .collect(),
        None => items(listed)
            .unwrap_or_default()
            .iter()
            .map(py_str)
            .collect(),
    }
}

fn relations_value(context: &Context, relations: Vec<Relation>) -> Value {
    list(
        relations
            .into_iter()
            .map(|relation| relation_value(context.project.dialect, &relation))
            .collect(),
    )
}

fn list_relations(context: &Arc<Context>, state: &mut State<'_, '_>, args: &[Value]) -> Answer {
    let [database, schema] = bind("adapter.list_relations", args, ["database", "schema"], 2)?;
    let schema = schema_named(context, &database, &schema);
    let known = known_relations(context, state, &schema)?;
    Ok(relations_value(context, known))
}

fn schema_named(context: &Context, database: &Option<Value>, schema: &Option<Value>) -> Relation {
    let dialect = context.project.dialect;
    let of_this = |part: fn(&Relation) -> Option<&str>| {
        context.this.as_ref().and_then(part).map(str::to_owned)
    };
    let database = text(database.as_ref()).or_else(|| of_this(|this| this.database.as_deref()));
    let schema = text(schema.as_ref()).or_else(|| of_this(|this| this.schema.as_deref()));
    Relation::new(
        dialect,
        &database.unwrap_or_default(),
        &schema.unwrap_or_default(),
        "",
    )
}

fn find_relation(
    context: &Context,
    state: &mut State<'_, '_>,
    database: &Option<Value>,
    schema: &Option<Value>,
    identifier: &Option<Value>,
) -> Result<Option<Relation>, Error> {
    let dialect = context.project.dialect;
    let identifier = text(identifier.as_ref()).unwrap_or_default();
    let schema = schema_named(context, database, schema);
    let known = match context
        .warehouse
        .cached_relations_named(&schema, &identifier)
    {
        Some(known) => known,
        None => known_relations(context, state, &schema)?,
    };
    let name = |relation: &Relation| relation.identifier.clone().unwrap_or_default();
    let exact = known.iter().find(|relation| *name(relation) == *identifier);
    // What is not quoted is folded by the database, so case tells nothing.
    let folded = dialect.folding == Folding::Insensitive || !dialect.quoting.identifier;
    let near = || {
        known
            .iter()
            .find(|relation| folded && name(relation).eq_ignore_ascii_case(&identifier))
    };
    Ok(exact.or_else(near).cloned())
}

fn get_relation(context: &Arc<Context>, state: &mut State<'_, '_>, args: &[Value]) -> Answer {
    let [database, schema, identifier, _] = bind(
        "adapter.get_relation",
        args,
        ["database", "schema", "identifier", "needs_information"],
        3,
    )?;
    let found = find_relation(context, state, &database, &schema, &identifier)?;
    Ok(found.map_or(Value::from(()), |relation| context.relation(&relation)))
}

fn load_relation(context: &Arc<Context>, state: &mut State<'_, '_>, args: &[Value]) -> Answer {
    let [relation] = bind("adapter.load_relation", args, ["relation"], 1)?;
    let relation = expect_relation("adapter.load_relation", &relation.unwrap_or_default())?;
    let part = |part: &Option<Arc<str>>| part.as_deref().map(Value::from);
    let found = find_relation(
        context,
        state,
        &part(&relation.database),
        &part(&relation.schema),
        &part(&relation.identifier),
    )?;
    Ok(found.map_or(Value::from(()), |relation| context.relation(&relation)))
}

fn note(
    context: &Context,
    name: &str,
    args: &[Value],
    change: fn(Relation) -> CacheChange,
) -> Answer {
    let relation = expect_relation(name, args.first().unwrap_or(&Value::UNDEFINED))?;
    context.warehouse.note(change(relation));
    Ok(Value::from(""))
}

fn two_relations(name: &str, args: &[Value]) -> Result<(Relation, Relation), Error> {
    let [from, to] = bind(name, args, ["from_relation", "to_relation"], 2)?;
    Ok((
        expect_relation(name, &from.unwrap_or_default())?,
        expect_relation(name, &to.unwrap_or_default())?,
    ))
}

fn columns_of(state: &mut State<'_, '_>, relation: Option<Value>) -> Result<Vec<Value>, Error> {
    let answer = call_macro(
        state,
        "get_columns_in_relation",
        &[relation.unwrap_or_default()],
    )?;
    items(&answer)
}

fn missing_columns(_: &Arc<Context>, state: &mut State<'_, '_>, args: &[Value]) -> Answer {
    let [from, to] = bind(
        "adapter.get_missing_columns",
        args,
        ["from_relation", "to_relation"],
        2,
    )?;
    let known = columns_of(state, to)?;
    let known: Vec<&str> = known
        .iter()
        .filter_map(as_column)
        .map(|column| column.name.as_str())
        .collect();
    let from = columns_of(state, from)?;
    Ok(list(
        from.into_iter()
            .filter(|value| {
                as_column(value).is_some_and(|column| !known.contains(&column.name.as_str()))
            })
            .collect(),
    ))
}

/// Widens the text columns of a relation that are too short for another one's.
fn expand_types(_: &Arc<Context>, state: &mut State<'_, '_>, args: &[Value]) -> Answer {
    let [from, to] = bind(
        "adapter.expand_target_column_types",
        args,
        ["from_relation", "to_relation"],
        2,
    )?;
    let targets = columns_of(state, to.clone())?;
    for value in columns_of(state, from)? {
        let Some(source) = as_column(&value).filter(|column| is_string(column)) else {
            continue;
        };
        let target = targets
            .iter()
            .filter_map(as_column)
            .find(|column| column.name.eq_ignore_ascii_case(&source.name));
        let Some(target) = target.filter(|target| can_expand_to(target, source)) else {
            continue;
        };
        let wider = Column {
            char_size: source.char_size.map(|_| string_size(source)),
            ..target.clone()
        };
        let arguments = [
            to.clone().unwrap_or_default(),
            Value::from(target.name.as_str()),
            Value::from(data_type(&wider)),
        ];
        call_macro(state, "alter_column_type", &arguments)?;
    }
    Ok(Value::from(()))
}

fn columns_of_query(context: &Arc<Context>, _: &mut State<'_, '_>, args: &[Value]) -> Answer {
    let [sql] = bind("adapter.get_column_schema_from_query", args, ["sql"], 1)?;
    let outcome = run(context, &sql, false, true)?;
    let columns = outcome.table.columns.into_iter().map(|column| Column {
        name: column.name,
        data_type: column.data_type,
        char_size: None,
        numeric_precision: None,
        numeric_scale: None,
    });
    Ok(list(
        columns
            .map(|column| column_value(context.project.dialect, column))
            .collect(),
    ))
}

fn check_schema_exists(
    context: &Arc<Context>,
    state: &mut State<'_, '_>,
    args: &[Value],
) -> Answer {
    let [database, schema] = bind(
        "adapter.check_schema_exists",
        args,
        ["database", "schema"],
        2,
    )?;
    let relation = schema_named(context, &database, &schema);
    let arguments = [context.relation(&relation), schema.unwrap_or_default()];
    let answer = call_macro(state, "check_schema_exists", &arguments)?;
    let count = as_table(&answer).and_then(|table| {
        table
            .rows
            .first()
            .and_then(|row| row.first())
            .map(super::table::datum_value)
    });
    Ok(Value::from(count.is_some_and(|count| count.is_true())))
}

fn list_schemas(_: &Arc<Context>, state: &mut State<'_, '_>, args: &[Value]) -> Answer {
    let answer = call_macro(state, "list_schemas", args)?;
    Ok(list(
        first_column(&answer).into_iter().map(Value::from).collect(),
    ))
}
