//! Results as templates see them: a table of rows and columns, after the library that dbt uses.

use std::fmt;
use std::sync::Arc;

use minijinja::value::{Enumerator, Object, ObjectRepr};
use minijinja::{Error, ErrorKind, State, Value};

use super::callable::{Answer, given, text, truth};
use super::modules::datetime;
use crate::jinja::language::{KeyOrder, bind, dict, items, json_dumps, list, pairs, py_str, tuple};
use crate::table::{Datum, ResultColumn, Table};

/// A value of a result in a template.
pub(super) fn datum_value(datum: &Datum) -> Value {
    match datum {
        Datum::Null => Value::from(()),
        Datum::Bool(value) => Value::from(*value),
        Datum::Int(value) => Value::from(*value),
        Datum::Decimal(digits) => match (digits.parse::<i128>(), digits.parse::<f64>()) {
            (Ok(whole), _) => Value::from(whole),
            (_, Ok(number)) => Value::from(number),
            _ => Value::from(digits.as_str()),
        },
        Datum::Float(value) => Value::from(*value),
        Datum::Text(text) => Value::from(text.as_str()),
        Datum::Bytes(bytes) => Value::from_bytes(bytes.clone()),
        Datum::Date(date) => datetime::date_value(*date),
        Datum::Time(time) => datetime::time_value(*time),
        Datum::Timestamp(stamp) => datetime::naive(*stamp),
        Datum::TimestampTz(instant) => datetime::aware(&instant.to_zoned(jiff::tz::TimeZone::UTC)),
        // As in dbt, lists and mappings of the database are text in a template.
        Datum::Json(json) => Value::from(json_dumps(json, KeyOrder::Kept)),
    }
}

/// The values of one row.
pub(super) fn row_values(table: &Table, index: usize) -> Vec<Value> {
    table
        .rows
        .get(index)
        .map_or_else(Vec::new, |row| row.iter().map(datum_value).collect())
}

struct TableObject(Arc<Table>);

/// Makes the value of a table.
pub fn table_value(table: Arc<Table>) -> Value {
    Value::from_object(TableObject(table))
}

/// The table inside a value; `None` where it is none.
pub fn as_table(value: &Value) -> Option<Arc<Table>> {
    value
        .downcast_object_ref::<TableObject>()
        .map(|object| Arc::clone(&object.0))
}

struct Rows(Arc<Table>);

struct Row {
    table: Arc<Table>,
    index: usize,
}

struct Columns(Arc<Table>);

struct ColumnOf {
    table: Arc<Table>,
    index: usize,
}

fn names(table: &Table) -> Vec<Value> {
    table
        .columns
        .iter()
        .map(|column| Value::from(column.name.as_str()))
        .collect()
}

fn position(table: &Table, key: &Value) -> Option<usize> {
    match key.as_str() {
        Some(name) => table.columns.iter().position(|column| column.name == name),
        None => key.as_usize().filter(|&index| index < table.columns.len()),
    }
}

fn unknown_method() -> Error {
    Error::from(ErrorKind::UnknownMethod)
}

fn row(table: &Arc<Table>, index: usize) -> Value {
    Value::from_object(Row {
        table: Arc::clone(table),
        index,
    })
}

fn column(table: &Arc<Table>, index: usize) -> Value {
    Value::from_object(ColumnOf {
        table: Arc::clone(table),
        index,
    })
}

/// The positions of the columns that an argument names: one name, an index, or many.
fn picked(table: &Table, keys: &Value) -> Result<Vec<usize>, Error> {
    let keys = match keys.as_str() {
        Some(_) => vec![keys.clone()],
        None if keys.as_usize().is_some() => vec![keys.clone()],
        None => items(keys)?,
    };
    keys.iter()
        .map(|key| {
            position(table, key).ok_or_else(|| {
                crate::jinja::language::type_error(format!("no column `{}`", py_str(key)))
            })
        })
        .collect()
}

fn narrowed(table: &Table, columns: &[usize]) -> Value {
    table_value(Arc::new(Table {
        columns: columns
            .iter()
            .map(|&at| table.columns[at].clone())
            .collect(),
        rows: table
            .rows
            .iter()
            .map(|row| columns.iter().map(|&at| row[at].clone()).collect())
            .collect(),
    }))
}

fn with_rows(table: &Table, rows: impl IntoIterator<Item = usize>) -> Value {
    table_value(Arc::new(Table {
        columns: table.columns.clone(),
        rows: rows.into_iter().map(|at| table.rows[at].clone()).collect(),
    }))
}

impl TableObject {
    fn method(&self, state: &mut State<'_, '_>, method: &str, args: &[Value]) -> Answer {
        let table = &self.0;
        let all = 0..table.rows.len();
        match method {
            "select" => {
                let [key] = bind("select", args, ["key"], 1)?;
                Ok(narrowed(table, &picked(table, &key.unwrap_or_default())?))
            }
            "exclude" => {
                let [key] = bind("exclude", args, ["key"], 1)?;
                let gone = picked(table, &key.unwrap_or_default())?;
                let kept: Vec<usize> = (0..table.columns.len())
                    .filter(|at| !gone.contains(at))
                    .collect();
                Ok(narrowed(table, &kept))
            }
            "where" => {
                let [test] = bind("where", args, ["test"], 1)?;
                let test = test.unwrap_or_default();
                let mut kept = Vec::new();
                for index in all {
                    if test.call(state, &[row(table, index)])?.is_true() {
                        kept.push(index);
                    }
                }
                Ok(with_rows(table, kept))
            }
            "limit" => {
                let [start, stop, step] =
                    bind("limit", args, ["start_or_stop", "stop", "step"], 1)?;
                let number = |value: &Option<Value>| given(value).and_then(Value::as_usize);
                let (start, stop) = match number(&stop) {
                    Some(stop) => (number(&start).unwrap_or(0), stop),
                    None => (0, number(&start).unwrap_or(usize::MAX)),
                };
                let step = number(&step).unwrap_or(1).max(1);
                Ok(with_rows(
                    table,
                    all.skip(start)
                        .take(stop.saturating_sub(start))
                        .step_by(step),
                ))
            }
            "order_by" => {
                let [key, reverse] = bind("order_by", args, ["key", "reverse"], 1)?;
                let keys = picked(table, &key.unwrap_or_default())?;
                let mut order: Vec<usize> = all.collect();
                let key = |row: usize| -> Vec<Value> {
                    keys.iter()
                        .map(|&at| datum_value(&table.rows[row][at]))
                        .collect()
                };
                order.sort_by_cached_key(|&row| key(row));
                if truth(reverse.as_ref(), false) {
                    order.reverse();
                }
                Ok(with_rows(table, order))
            }
            "distinct" => {
                let [key] = bind("distinct", args, ["key"], 0)?;
                let keys = match given(&key) {
                    Some(key) => picked(table, key)?,
                    None => (0..table.columns.len()).collect(),
                };
                let mut seen: Vec<Vec<&Datum>> = Vec::new();
                let kept: Vec<usize> = all
                    .filter(|&row| {
                        let values: Vec<&Datum> =
                            keys.iter().map(|&at| &table.rows[row][at]).collect();
                        let fresh = !seen.contains(&values);
                        if fresh {
                            seen.push(values);
                        }
                        fresh
                    })
                    .collect();
                Ok(with_rows(table, kept))
            }
            "rename" => {
                let [columns, _, _, _] = bind(
                    "rename",
                    args,
                    ["column_names", "row_names", "slug_columns", "slug_rows"],
                    0,
                )?;
                let mut renamed = Table::clone(table);
                if let Some(columns) = given(&columns) {
                    rename(&mut renamed, columns)?;
                }
                Ok(table_value(Arc::new(renamed)))
            }
            "print_table" | "print_csv" => Ok(Value::from(printed(table))),
            "to_json" => Ok(Value::from(json_rows(table))),
            _ => Err(unknown_method()),
        }
    }
}

fn rename(table: &mut Table, names: &Value) -> Result<(), Error> {
    let by_name = pairs(names);
    let listed = if by_name.is_empty() {
        items(names)?
    } else {
        Vec::new()
    };
    for (index, column) in table.columns.iter_mut().enumerate() {
        let name = match by_name.is_empty() {
            true => listed.get(index),
            false => by_name
                .iter()
                .find(|(old, _)| old.as_str() == Some(&column.name))
                .map(|(_, new)| new),
        };
        if let Some(name) = text(name) {
            column.name = name;
        }
    }
    Ok(())
}

/// The table as text, its columns padded.
fn printed(table: &Table) -> String {
    let mut lines: Vec<Vec<String>> = vec![
        table
            .columns
            .iter()
            .map(|column| column.name.clone())
            .collect(),
    ];
    for row in &table.rows {
        lines.push(
            row.iter()
                .map(|datum| py_str(&datum_value(datum)))
                .collect(),
        );
    }
    let widths: Vec<usize> = (0..table.columns.len())
        .map(|at| {
            lines
                .iter()
                .map(|line| line[at].chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut out = String::new();
    for (index, line) in lines.iter().enumerate() {
        let cells: Vec<String> = line
            .iter()
            .zip(&widths)
            .map(|(cell, &width)| format!("{cell:<width$}"))
            .collect();
        out.push_str(&format!("| {} |\n", cells.join(" | ")));
        if index == 0 {
            let rules: Vec<String> = widths.iter().map(|&width| "-".repeat(width)).collect();
            out.push_str(&format!("| {} |\n", rules.join(" | ")));
        }
    }
    out
}

fn json_rows(table: &Table) -> String {
    let rows: Vec<serde_json::Value> = table
        .rows
        .iter()
        .map(|row| {
            let entries = table.columns.iter().zip(row).map(|(column, datum)| {
                (
                    column.name.clone(),
                    super::config::plain_json(&datum_value(datum)),
                )
            });
            serde_json::Value::Object(entries.collect())
        })
        .collect();
    serde_json::Value::Array(rows).to_string()
}

impl fmt::Debug for TableObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printed(&self.0))
    }
}

impl Object for TableObject {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let table = &self.0;
        match key.as_str() {
            Some("rows") => Some(Value::from_object(Rows(Arc::clone(table)))),
            Some("columns") => Some(Value::from_object(Columns(Arc::clone(table)))),
            Some("column_names") => Some(tuple(names(table))),
            Some("column_types") => Some(tuple(
                table
                    .columns
                    .iter()
                    .map(|column| Value::from(column.data_type.as_str()))
                    .collect(),
            )),
            Some("row_names") => Some(Value::from(())),
            Some(_) => None,
            None => key
                .as_usize()
                .filter(|&index| index < table.rows.len())
                .map(|index| row(table, index)),
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.0.rows.len())
    }

    fn call_method(
        self: &Arc<Self>,
        state: &mut State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Answer {
        self.method(state, method, args)
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printed(&self.0))
    }
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} rows>", self.0.rows.len())
    }
}

impl Object for Rows {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        key.as_usize()
            .filter(|&index| index < self.0.rows.len())
            .map(|index| row(&self.0, index))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.0.rows.len())
    }

    fn call_method(self: &Arc<Self>, _: &mut State<'_, '_>, method: &str, _: &[Value]) -> Answer {
        match method {
            "values" => Ok(list(
                (0..self.0.rows.len())
                    .map(|index| row(&self.0, index))
                    .collect(),
            )),
            _ => Err(unknown_method()),
        }
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values = row_values(&self.table, self.index);
        write!(f, "<Row: {}>", py_str(&tuple(values)))
    }
}

impl Object for Row {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let at = position(&self.table, key)?;
        self.table.rows.get(self.index)?.get(at).map(datum_value)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.table.columns.len())
    }

    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Answer {
        let values = || row_values(&self.table, self.index);
        match method {
            "values" => Ok(tuple(values())),
            "keys" => Ok(tuple(names(&self.table))),
            "dict" => Ok(dict(names(&self.table).into_iter().zip(values()))),
            "items" => Ok(list(
                names(&self.table)
                    .into_iter()
                    .zip(values())
                    .map(|(name, value)| tuple(vec![name, value]))
                    .collect(),
            )),
            "get" => {
                let [key, default] = bind("get", args, ["key", "default"], 1)?;
                let found = key.and_then(|key| self.get_value(&key));
                Ok(found.or(default).unwrap_or(Value::from(())))
            }
            _ => Err(unknown_method()),
        }
    }
}

impl fmt::Debug for Columns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} columns>", self.0.columns.len())
    }
}

impl Object for Columns {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        position(&self.0, key).map(|index| column(&self.0, index))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.0.columns.len())
    }

    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Answer {
        let all = || (0..self.0.columns.len()).map(|index| column(&self.0, index));
        match method {
            "keys" => Ok(tuple(names(&self.0))),
            "values" => Ok(tuple(all().collect())),
            "items" => Ok(list(
                names(&self.0)
                    .into_iter()
                    .zip(all())
                    .map(|(name, column)| tuple(vec![name, column]))
                    .collect(),
            )),
            "get" => {
                let [key, default] = bind("get", args, ["key", "default"], 1)?;
                let found = key.and_then(|key| self.get_value(&key));
                Ok(found.or(default).unwrap_or(Value::from(())))
            }
            _ => Err(unknown_method()),
        }
    }
}

impl ColumnOf {
    fn column(&self) -> &ResultColumn {
        &self.table.columns[self.index]
    }

    fn values(&self) -> Vec<Value> {
        self.table
            .rows
            .iter()
            .map(|row| datum_value(&row[self.index]))
            .collect()
    }
}

impl fmt::Debug for ColumnOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<Column: {}>", py_str(&tuple(self.values())))
    }
}

impl Object for ColumnOf {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match key.as_str() {
            Some("name") => Some(Value::from(self.column().name.as_str())),
            Some("data_type") => Some(Value::from(self.column().data_type.as_str())),
            Some("index") => Some(Value::from(self.index)),
            Some(_) => None,
            None => self
                .table
                .rows
                .get(key.as_usize()?)
                .map(|row| datum_value(&row[self.index])),
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.table.rows.len())
    }

    fn call_method(self: &Arc<Self>, _: &mut State<'_, '_>, method: &str, _: &[Value]) -> Answer {
        match method {
            "values" => Ok(tuple(self.values())),
            "values_distinct" => {
                let mut seen: Vec<Value> = Vec::new();
                for value in self.values() {
                    if !seen.contains(&value) {
                        seen.push(value);
                    }
                }
                Ok(tuple(seen))
            }
            "values_without_nulls" => Ok(tuple(
                self.values()
                    .into_iter()
                    .filter(|value| !value.is_none())
                    .collect(),
            )),
            _ => Err(unknown_method()),
        }
    }
}
