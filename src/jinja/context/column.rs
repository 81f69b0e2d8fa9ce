//! Columns as templates see them, and `api.Column`.

use std::fmt;
use std::sync::Arc;

use minijinja::value::{DynObject, Object, ObjectRepr};
use minijinja::{ErrorKind, State, Value};

use super::callable::{Answer, class, function, given, text};
use crate::dialect::Dialect;
use crate::jinja::language::{bind, type_error};
use crate::relation::Column;

const STRINGS: &[&str] = &[
    "text",
    "character varying",
    "character",
    "varchar",
    "string",
    "char",
    "bpchar",
];
const FLOATS: &[&str] = &[
    "real",
    "float4",
    "float",
    "double precision",
    "float8",
    "double",
];
const INTEGERS: &[&str] = &[
    "smallint",
    "integer",
    "bigint",
    "smallserial",
    "serial",
    "bigserial",
    "int2",
    "int4",
    "int8",
    "serial2",
    "serial4",
    "serial8",
    "int",
    "tinyint",
    "hugeint",
    "utinyint",
    "usmallint",
    "uinteger",
    "ubigint",
    "byteint",
];
const NUMERICS: &[&str] = &["numeric", "decimal", "number"];

/// A column in a template.
pub(super) struct ColumnObject {
    pub column: Column,
    dialect: &'static Dialect,
}

/// Makes the value of a column.
pub fn column_value(dialect: &'static Dialect, column: Column) -> Value {
    Value::from_object(ColumnObject { column, dialect })
}

/// The column inside a value; `None` where it is none.
pub fn as_column(value: &Value) -> Option<&Column> {
    value
        .downcast_object_ref::<ColumnObject>()
        .map(|object| &object.column)
}

/// `api.Column`.
pub(super) fn class_value(dialect: &'static Dialect) -> Value {
    class(
        "Column",
        move |name| class_attribute(dialect, name),
        move |_, args| {
            let [name, dtype, char_size, precision, scale] = bind(
                "api.Column",
                args,
                [
                    "column",
                    "dtype",
                    "char_size",
                    "numeric_precision",
                    "numeric_scale",
                ],
                2,
            )?;
            let number = |value: &Option<Value>| {
                given(value).and_then(|value| {
                    value.as_i64().or_else(|| {
                        f64::try_from(value.clone())
                            .ok()
                            .map(|number| number as i64)
                    })
                })
            };
            Ok(column_value(
                dialect,
                Column {
                    name: text(name.as_ref()).unwrap_or_default(),
                    data_type: text(dtype.as_ref()).unwrap_or_default(),
                    char_size: number(&char_size),
                    numeric_precision: number(&precision),
                    numeric_scale: number(&scale),
                },
            ))
        },
    )
}

fn class_attribute(dialect: &'static Dialect, name: &str) -> Option<Value> {
    let value = match name {
        "create" => function("create", move |_, args| {
            let [name, label] = bind("api.Column.create", args, ["name", "label_or_dtype"], 2)?;
            let label = text(label.as_ref()).unwrap_or_default();
            Ok(column_value(
                dialect,
                Column {
                    name: text(name.as_ref()).unwrap_or_default(),
                    data_type: translate_type(&label).to_owned(),
                    char_size: None,
                    numeric_precision: None,
                    numeric_scale: None,
                },
            ))
        }),
        "from_description" => function("from_description", move |_, args| {
            let [name, described] = bind(
                "api.Column.from_description",
                args,
                ["name", "raw_data_type"],
                2,
            )?;
            Ok(column_value(
                dialect,
                described_column(
                    &text(name.as_ref()).unwrap_or_default(),
                    &text(described.as_ref()).unwrap_or_default(),
                ),
            ))
        }),
        "translate_type" => function("translate_type", |_, args| {
            let [dtype] = bind("api.Column.translate_type", args, ["dtype"], 1)?;
            Ok(Value::from(translate_type(
                &text(dtype.as_ref()).unwrap_or_default(),
            )))
        }),
        "string_type" => function("string_type", |_, args| {
            let [size] = bind("api.Column.string_type", args, ["size"], 1)?;
            Ok(Value::from(string_type(
                size.as_ref().and_then(Value::as_i64),
            )))
        }),
        "numeric_type" => function("numeric_type", |_, args| {
            let [dtype, precision, scale] = bind(
                "api.Column.numeric_type",
                args,
                ["dtype", "precision", "scale"],
                1,
            )?;
            Ok(Value::from(numeric_type(
                &text(dtype.as_ref()).unwrap_or_default(),
                precision.as_ref().and_then(Value::as_i64),
                scale.as_ref().and_then(Value::as_i64),
            )))
        }),
        _ => return None,
    };
    Some(value)
}

/// Turns one of dbt's words for types into SQL; others stay as they are.
fn translate_type(label: &str) -> &str {
    match label.to_ascii_uppercase().as_str() {
        "STRING" => "TEXT",
        "TIMESTAMP" => "TIMESTAMP",
        "FLOAT" => "FLOAT",
        "INTEGER" => "INT",
        "BOOLEAN" => "BOOLEAN",
        _ => label,
    }
}

fn string_type(size: Option<i64>) -> String {
    match size {
        Some(size) => format!("character varying({size})"),
        None => "character varying".to_owned(),
    }
}

fn numeric_type(dtype: &str, precision: Option<i64>, scale: Option<i64>) -> String {
    match (precision, scale) {
        (Some(precision), Some(scale)) => format!("{dtype}({precision},{scale})"),
        _ => dtype.to_owned(),
    }
}

/// Reads a type with its size in brackets, such as `NUMBER(38,0)`.
fn described_column(name: &str, described: &str) -> Column {
    let mut column = Column {
        name: name.to_owned(),
        data_type: described.to_owned(),
        char_size: None,
        numeric_precision: None,
        numeric_scale: None,
    };
    if let Some((base, rest)) = described.split_once('(') {
        let sizes: Vec<i64> = rest
            .trim_end_matches(')')
            .split(',')
            .filter_map(|size| size.trim().parse().ok())
            .collect();
        let base = base.trim();
        if is_one_of(base, STRINGS) && sizes.len() == 1 {
            column.char_size = sizes.first().copied();
            column.data_type = base.to_owned();
        } else if is_one_of(base, NUMERICS) && sizes.len() == 2 {
            column.numeric_precision = sizes.first().copied();
            column.numeric_scale = sizes.get(1).copied();
            column.data_type = base.to_owned();
        }
    }
    column
}

fn is_one_of(dtype: &str, types: &[&str]) -> bool {
    types.iter().any(|name| name.eq_ignore_ascii_case(dtype))
}

/// Whether a column holds text.
pub(super) fn is_string(column: &Column) -> bool {
    is_one_of(&column.data_type, STRINGS)
}

/// The length that a text column can hold; dbt takes 256 where none is known.
pub(super) fn string_size(column: &Column) -> i64 {
    column.char_size.unwrap_or(256)
}

/// Whether a text column is too short for another one's values.
pub(super) fn can_expand_to(column: &Column, other: &Column) -> bool {
    is_string(column)
        && is_string(other)
        && column.char_size.is_some()
        && other
            .char_size
            .is_none_or(|size| size > string_size(column))
}

/// The type as DDL writes it.
pub(super) fn data_type(column: &Column) -> String {
    if is_string(column) && column.char_size.is_some() {
        string_type(column.char_size)
    } else if is_one_of(&column.data_type, NUMERICS) {
        numeric_type(
            &column.data_type,
            column.numeric_precision,
            column.numeric_scale,
        )
    } else {
        column.data_type.clone()
    }
}

impl ColumnObject {
    fn attribute(self: &Arc<Self>, name: &str) -> Option<Value> {
        let column = &self.column;
        let number = |number: Option<i64>| number.map_or(Value::from(()), Value::from);
        let value = match name {
            "name" | "column" => Value::from(column.name.as_str()),
            "quoted" => Value::from(self.dialect.quote_identifier(&column.name)),
            "dtype" => Value::from(column.data_type.as_str()),
            "data_type" | "expanded_data_type" => Value::from(data_type(column)),
            "char_size" => number(column.char_size),
            "numeric_precision" => number(column.numeric_precision),
            "numeric_scale" => number(column.numeric_scale),
            "mode" => Value::from("NULLABLE"),
            _ => {
                return self
                    .method(name)
                    .or_else(|| class_attribute(self.dialect, name));
            }
        };
        Some(value)
    }

    fn method(self: &Arc<Self>, name: &str) -> Option<Value> {
        type Method = fn(&ColumnObject, &[Value]) -> Answer;
        let (name, body): (&'static str, Method) = match name {
            "is_string" => ("is_string", |this, _| {
                Ok(Value::from(is_string(&this.column)))
            }),
            "is_float" => ("is_float", |this, _| {
                Ok(Value::from(is_one_of(&this.column.data_type, FLOATS)))
            }),
            "is_integer" => ("is_integer", |this, _| {
                Ok(Value::from(is_one_of(&this.column.data_type, INTEGERS)))
            }),
            "is_numeric" => ("is_numeric", |this, _| {
                Ok(Value::from(is_one_of(&this.column.data_type, NUMERICS)))
            }),
            "is_number" => ("is_number", |this, _| {
                let dtype = &this.column.data_type;
                Ok(Value::from(
                    is_one_of(dtype, FLOATS)
                        || is_one_of(dtype, INTEGERS)
                        || is_one_of(dtype, NUMERICS),
                ))
            }),
            "string_size" => ("string_size", |this, _| {
                if is_string(&this.column) {
                    Ok(Value::from(string_size(&this.column)))
                } else {
                    Err(type_error(
                        "`string_size` was called on a column that holds no text",
                    ))
                }
            }),
            "can_expand_to" => ("can_expand_to", |this, args| {
                let [other] = bind("can_expand_to", args, ["other_column"], 1)?;
                let other = other.as_ref().and_then(as_column);
                Ok(Value::from(
                    other.is_some_and(|other| can_expand_to(&this.column, other)),
                ))
            }),
            "literal" => ("literal", |this, args| {
                let [value] = bind("literal", args, ["value"], 1)?;
                Ok(Value::from(format!(
                    "{}::{}",
                    text(value.as_ref()).unwrap_or_default(),
                    data_type(&this.column)
                )))
            }),
            _ => return None,
        };
        let this = Arc::clone(self);
        Some(function(name, move |_, args| body(&this, args)))
    }
}

impl fmt::Debug for ColumnObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "<Column {} ({})>",
            self.column.name,
            data_type(&self.column)
        )
    }
}

impl Object for ColumnObject {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.attribute(key.as_str()?)
    }

    fn call_method(
        self: &Arc<Self>,
        state: &mut State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Answer {
        match self.attribute(method) {
            Some(value) => value.call(state, args),
            // Operators try methods, and go on without.
            None if method.starts_with("__") => Err(ErrorKind::UnknownMethod.into()),
            None => Err(type_error(format!("a column has no method `{method}`"))),
        }
    }

    fn custom_cmp(self: &Arc<Self>, other: &DynObject) -> Option<std::cmp::Ordering> {
        let key = |column: &Column| (column.name.clone(), data_type(column));
        let other = other.downcast_ref::<ColumnObject>()?;
        Some(key(&self.column).cmp(&key(&other.column)))
    }
}
