//! Relations as templates see them, and `api.Relation`.

use std::fmt;
use std::sync::Arc;

use minijinja::value::{DynObject, Object, ObjectRepr};
use minijinja::{ErrorKind, State, Value};

use super::callable::{Answer, class, function, given, text, truth};
use crate::diagnostic::{Code, Diagnostic};
use crate::dialect::Dialect;
use crate::jinja::language::{bind, dict, pairs, raise, type_error};
use crate::relation::{Quoting, Relation, RelationKind};

/// A relation in a template.
pub(super) struct RelationObject {
    relation: Relation,
    dialect: &'static Dialect,
}

/// Makes the value of a relation.
pub fn relation_value(dialect: &'static Dialect, relation: &Relation) -> Value {
    Value::from_object(RelationObject {
        relation: relation.clone(),
        dialect,
    })
}

/// The relation inside a value; `None` where it is none.
pub fn as_relation(value: &Value) -> Option<&Relation> {
    value
        .downcast_object_ref::<RelationObject>()
        .map(|object| &object.relation)
}

/// The relation inside an argument.
pub(super) fn expect_relation(function: &str, value: &Value) -> Result<Relation, minijinja::Error> {
    as_relation(value).cloned().ok_or_else(|| {
        raise(Diagnostic::error(
            Code::WrongArguments,
            format!(
                "`{function}` needs a relation, not a value of type `{}`",
                crate::jinja::language::type_name(value)
            ),
        ))
    })
}

/// `api.Relation`.
pub(super) fn class_value(dialect: &'static Dialect) -> Value {
    class(
        "Relation",
        move |name| class_attribute(dialect, name),
        move |_, args| create(dialect, args),
    )
}

fn class_attribute(dialect: &'static Dialect, name: &str) -> Option<Value> {
    let value = match name {
        "create" => function("create", move |_, args| create(dialect, args)),
        "create_from" => function("create_from", move |_, args| create_from(dialect, args)),
        "get_default_quote_policy" => function("get_default_quote_policy", move |_, _| {
            Ok(policy(dialect.quoting))
        }),
        "get_default_include_policy" => function("get_default_include_policy", |_, _| {
            Ok(policy(Quoting::ALL))
        }),
        "View" => Value::from("view"),
        "Table" => Value::from("table"),
        "CTE" => Value::from("cte"),
        "MaterializedView" => Value::from("materialized_view"),
        "DynamicTable" => Value::from("dynamic_table"),
        "External" => Value::from("external"),
        _ => return None,
    };
    Some(value)
}

fn policy(quoting: Quoting) -> Value {
    dict([
        (Value::from("database"), Value::from(quoting.database)),
        (Value::from("schema"), Value::from(quoting.schema)),
        (Value::from("identifier"), Value::from(quoting.identifier)),
    ])
}

/// Lays the entries of a dict over a policy.
fn over(base: Quoting, changes: &Value) -> Quoting {
    let mut result = base;
    for (key, value) in pairs(changes) {
        if value.is_none() {
            continue;
        }
        match key.as_str() {
            Some("database") => result.database = value.is_true(),
            Some("schema") => result.schema = value.is_true(),
            Some("identifier") => result.identifier = value.is_true(),
            _ => {}
        }
    }
    result
}

fn name_part(value: &Option<Value>) -> Option<Arc<str>> {
    text(value.as_ref())
        .filter(|text| !text.is_empty())
        .map(Into::into)
}

fn kind_of(value: &Value) -> Result<RelationKind, minijinja::Error> {
    let name = crate::jinja::language::py_str(value);
    RelationKind::parse(&name).ok_or_else(|| {
        type_error(format!(
            "a relation cannot be a `{name}`: it is a table, view, cte, materialized_view, dynamic_table or external"
        ))
    })
}

/// `api.Relation.create(database, schema, identifier, type, ..)`.
fn create(dialect: &'static Dialect, args: &[Value]) -> Answer {
    let [
        database,
        schema,
        identifier,
        kind,
        quote_policy,
        include_policy,
        _,
        _,
        _,
    ] = bind(
        "api.Relation.create",
        args,
        [
            "database",
            "schema",
            "identifier",
            "type",
            "quote_policy",
            "include_policy",
            "limit",
            "dbt_created",
            "catalog",
        ],
        0,
    )?;
    let mut relation = Relation::new(dialect, "", "", "");
    relation.database = name_part(&database);
    relation.schema = name_part(&schema);
    relation.identifier = name_part(&identifier);
    relation.kind = given(&kind).map(kind_of).transpose()?;
    if let Some(changes) = given(&quote_policy) {
        relation.quoting = over(relation.quoting, changes);
    }
    if let Some(changes) = given(&include_policy) {
        relation.include = over(relation.include, changes);
    }
    Ok(relation_value(dialect, &relation))
}

/// `api.Relation.create_from(config, node)`: the relation that a node of the graph builds.
fn create_from(dialect: &'static Dialect, args: &[Value]) -> Answer {
    let Some(node) = args
        .iter()
        .rev()
        .find(|value| !value.is_kwargs() && !pairs(value).is_empty())
    else {
        return Err(type_error("`create_from` needs a node of the graph"));
    };
    let field = |name: &str| {
        node.get_attr(name)
            .ok()
            .and_then(|value| text(Some(&value)))
    };
    let identifier = field("identifier")
        .or_else(|| field("alias"))
        .or_else(|| field("name"));
    let mut relation = Relation::new(
        dialect,
        &field("database").unwrap_or_default(),
        &field("schema").unwrap_or_default(),
        &identifier.unwrap_or_default(),
    );
    if let Ok(quoting) = node.get_attr("quoting") {
        relation.quoting = over(relation.quoting, &quoting);
    }
    Ok(relation_value(dialect, &relation))
}

impl RelationObject {
    fn with(&self, change: impl FnOnce(&mut Relation)) -> Value {
        let mut relation = self.relation.clone();
        change(&mut relation);
        relation_value(self.dialect, &relation)
    }

    fn render_text(&self) -> String {
        self.relation.render(self.dialect)
    }

    /// What stands where a template prints it: unlike `render()`, with the filter.
    fn printed(&self) -> String {
        self.relation.render_filtered(self.dialect)
    }

    fn attribute(self: &Arc<Self>, name: &str) -> Option<Value> {
        let relation = &self.relation;
        let part = |part: &Option<Arc<str>>| match part {
            Some(text) => Value::from(Arc::clone(text)),
            None => Value::from(()),
        };
        let is = |kind: RelationKind| Value::from(relation.kind == Some(kind));
        let value = match name {
            "database" => part(&relation.database),
            "schema" => part(&relation.schema),
            "identifier" | "name" | "table" => part(&relation.identifier),
            "type" => relation
                .kind
                .map_or(Value::from(()), |kind| Value::from(kind.as_str())),
            "is_table" => is(RelationKind::Table),
            "is_view" => is(RelationKind::View),
            "is_cte" => is(RelationKind::Cte),
            "is_materialized_view" => is(RelationKind::MaterializedView),
            "is_external" | "is_external_table" => is(RelationKind::External),
            "is_dynamic_table" => is(RelationKind::DynamicTable),
            "is_iceberg_format" => Value::from(false),
            "can_be_renamed" | "can_be_replaced" => Value::from(matches!(
                relation.kind,
                Some(RelationKind::Table | RelationKind::View)
            )),
            "path" => dict([
                (Value::from("database"), part(&relation.database)),
                (Value::from("schema"), part(&relation.schema)),
                (Value::from("identifier"), part(&relation.identifier)),
            ]),
            "quote_policy" => policy(relation.quoting),
            "include_policy" => policy(relation.include),
            "quote_character" => Value::from(self.dialect.quote.to_string()),
            "limit" => Value::from(()),
            // What dbt_utils asks a value before it takes it for a relation.
            "metadata" => dict([(Value::from("type"), Value::from("Relation"))]),
            "__mapping__" => Value::from(true),
            _ => {
                return self
                    .method(name)
                    .or_else(|| class_attribute(self.dialect, name));
            }
        };
        Some(value)
    }

    fn method(self: &Arc<Self>, name: &str) -> Option<Value> {
        type Method = fn(&RelationObject, &[Value]) -> Answer;
        let (name, body): (&'static str, Method) = match name {
            "render" => ("render", |this, _| Ok(Value::from(this.render_text()))),
            "include" => ("include", |this, args| {
                this.choose("include", args, |relation| &mut relation.include)
            }),
            "quote" => ("quote", |this, args| {
                this.choose("quote", args, |relation| &mut relation.quoting)
            }),
            "incorporate" => ("incorporate", RelationObject::incorporate),
            "replace_path" => ("replace_path", |this, args| {
                this.replace_path("replace_path", args)
            }),
            "without_identifier" => ("without_identifier", |this, _| {
                Ok(this.with(|relation| {
                    relation.identifier = None;
                    relation.kind = None;
                }))
            }),
            "information_schema" => ("information_schema", RelationObject::information_schema),
            "information_schema_only" => ("information_schema_only", |this, _| {
                this.information_schema(&[])
            }),
            "quoted" => ("quoted", |this, args| {
                let [identifier] = bind("quoted", args, ["identifier"], 1)?;
                let identifier = text(identifier.as_ref()).unwrap_or_default();
                Ok(Value::from(this.dialect.quote_identifier(&identifier)))
            }),
            "matches" => ("matches", RelationObject::matches),
            "relation_max_name_length" => ("relation_max_name_length", |this, _| {
                Ok(this
                    .dialect
                    .max_identifier
                    .map_or(Value::from(()), Value::from))
            }),
            "get" => ("get", |this, args| {
                let [key, default] = bind("get", args, ["key", "default"], 1)?;
                let key = text(key.as_ref()).unwrap_or_default();
                let this = Arc::new(RelationObject {
                    relation: this.relation.clone(),
                    dialect: this.dialect,
                });
                Ok(this
                    .attribute(&key)
                    .filter(|value| !value.is_none())
                    .or(default)
                    .unwrap_or(Value::from(())))
            }),
            _ => return None,
        };
        let this = Arc::clone(self);
        Some(function(name, move |_, args| body(&this, args)))
    }

    fn choose(
        &self,
        name: &str,
        args: &[Value],
        field: fn(&mut Relation) -> &mut Quoting,
    ) -> Answer {
        let [database, schema, identifier] =
            bind(name, args, ["database", "schema", "identifier"], 0)?;
        Ok(self.with(|relation| {
            let policy = field(relation);
            policy.database = truth(database.as_ref(), policy.database);
            policy.schema = truth(schema.as_ref(), policy.schema);
            policy.identifier = truth(identifier.as_ref(), policy.identifier);
        }))
    }

    fn replace_path(&self, name: &str, args: &[Value]) -> Answer {
        let [database, schema, identifier] =
            bind(name, args, ["database", "schema", "identifier"], 0)?;
        Ok(self.with(|relation| {
            if database.is_some() {
                relation.database = name_part(&database);
            }
            if schema.is_some() {
                relation.schema = name_part(&schema);
            }
            if identifier.is_some() {
                relation.identifier = name_part(&identifier);
            }
        }))
    }

    fn incorporate(&self, args: &[Value]) -> Answer {
        let [path, kind, quote_policy, include_policy, _, _] = bind(
            "incorporate",
            args,
            [
                "path",
                "type",
                "quote_policy",
                "include_policy",
                "limit",
                "dbt_created",
            ],
            0,
        )?;
        let kind = given(&kind).map(kind_of).transpose()?;
        Ok(self.with(|relation| {
            for (key, value) in given(&path).map(pairs).unwrap_or_default() {
                let value = name_part(&Some(value));
                match key.as_str() {
                    Some("database") => relation.database = value,
                    Some("schema") => relation.schema = value,
                    Some("identifier") => relation.identifier = value,
                    _ => {}
                }
            }
            if kind.is_some() {
                relation.kind = kind;
            }
            if let Some(changes) = given(&quote_policy) {
                relation.quoting = over(relation.quoting, changes);
            }
            if let Some(changes) = given(&include_policy) {
                relation.include = over(relation.include, changes);
            }
        }))
    }

    fn information_schema(&self, args: &[Value]) -> Answer {
        let [view] = bind("information_schema", args, ["view_name"], 0)?;
        Ok(self.with(|relation| {
            relation.schema = Some("information_schema".into());
            relation.identifier = name_part(&view);
            relation.kind = None;
            relation.quoting.schema = false;
            relation.quoting.identifier = false;
            relation.include = Quoting::ALL;
        }))
    }

    /// Whether the parts that are given are those of this relation, folded where they are not quoted.
    fn matches(&self, args: &[Value]) -> Answer {
        let [database, schema, identifier] =
            bind("matches", args, ["database", "schema", "identifier"], 0)?;
        let relation = &self.relation;
        let equal = |wanted: &Option<Value>, own: &Option<Arc<str>>, quoted: bool| {
            let Some(wanted) = text(wanted.as_ref()) else {
                return true;
            };
            let own = own.as_deref().unwrap_or_default();
            wanted == own || (!quoted && wanted.eq_ignore_ascii_case(own))
        };
        Ok(Value::from(
            equal(&database, &relation.database, relation.quoting.database)
                && equal(&schema, &relation.schema, relation.quoting.schema)
                && equal(
                    &identifier,
                    &relation.identifier,
                    relation.quoting.identifier,
                ),
        ))
    }
}

impl fmt::Debug for RelationObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render_text())
    }
}

impl Object for RelationObject {
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
            // Operators try methods, and go on without.
            None if method.starts_with("__") => Err(ErrorKind::UnknownMethod.into()),
            None => Err(type_error(format!("a relation has no method `{method}`"))),
        }
    }

    fn custom_cmp(self: &Arc<Self>, other: &DynObject) -> Option<std::cmp::Ordering> {
        let other = other.downcast_ref::<RelationObject>()?;
        Some(self.relation.cmp(&other.relation))
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.printed())
    }
}
