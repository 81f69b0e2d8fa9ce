//! Native rendering: a YAML scalar that is one expression keeps its type, as in dbt.

use std::fmt;
use std::sync::Arc;

use minijinja::machinery::ast;
use minijinja::value::{Object, ObjectRepr, ValueKind};
use minijinja::{Environment, Error, State, Value};

use super::format::py_str;
use super::lexer::{Token, tokenize};
use super::operators::{int, names};
use super::parser::Expr;
use super::values::{dict, list, tuple, type_error};

/// The values that a native rendering printed, in order.
#[derive(Default)]
pub(crate) struct Nodes(pub Vec<Value>);

/// What `as_bool` and its siblings ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Text,
    Bool,
    Number,
    Native,
}

/// A value and the type that a filter asked for.
struct Marker {
    wish: Wish,
    value: Value,
}

impl fmt::Debug for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&py_str(&self.value))
    }
}

impl Object for Marker {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }
}

/// The name that one of the type filters has in native renderings.
pub(crate) fn native_filter(name: &str) -> Option<&'static str> {
    match name {
        "as_text" => Some("$as_text"),
        "as_bool" => Some("$as_bool"),
        "as_number" => Some("$as_number"),
        "as_native" => Some("$as_native"),
        _ => None,
    }
}

/// Adds the filters of native renderings to an environment.
pub(crate) fn register(env: &mut Environment<'static>) {
    for (name, wish) in [
        ("$as_text", Wish::Text),
        ("$as_bool", Wish::Bool),
        ("$as_number", Wish::Number),
        ("$as_native", Wish::Native),
    ] {
        env.add_filter(name, move |value: Value| {
            Value::from_object(Marker { wish, value })
        });
    }
    env.add_filter(
        names::NODE,
        |state: &mut State, value: Value, constant: bool| {
            let value = match constant {
                true => Value::from(py_str(&value)),
                false => value,
            };
            state
                .get_or_insert_extension_with(Nodes::default)
                .0
                .push(value.clone());
            value
        },
    );
}

/// Whether an expression is made of constants only; dbt prints those as text.
pub(crate) fn is_constant(expr: &Expr) -> bool {
    let args = |args: &[ast::CallArg<'static>]| {
        args.iter().all(|arg| match arg {
            ast::CallArg::Pos(expr) | ast::CallArg::Kwarg(_, expr) => is_constant(expr),
            _ => false,
        })
    };
    match expr {
        Expr::Const(_) => true,
        Expr::Tuple(tuple) => tuple.items.iter().all(is_constant),
        Expr::UnaryOp(op) => is_constant(&op.expr),
        Expr::BinOp(op) => is_constant(&op.left) && is_constant(&op.right),
        Expr::Compare(compare) => {
            is_constant(&compare.expr) && compare.ops.iter().all(|op| is_constant(&op.expr))
        }
        Expr::IfExpr(choice) => {
            is_constant(&choice.test_expr)
                && is_constant(&choice.true_expr)
                && choice.false_expr.as_ref().is_none_or(is_constant)
        }
        Expr::Filter(filter) => {
            !filter.name.starts_with("$as_")
                && filter.expr.as_ref().is_some_and(is_constant)
                && args(&filter.args)
        }
        Expr::Call(call) => matches!(call.expr, Expr::Const(_)) && args(&call.args),
        _ => false,
    }
}

/// The value of a native rendering that printed these values, which together read `text`.
pub(crate) fn result(text: String, mut nodes: Vec<Value>) -> Result<Value, Error> {
    if nodes.len() != 1 {
        return Ok(Value::from(text));
    }
    let value = nodes.remove(0);
    let Some(marker) = value.downcast_object_ref::<Marker>() else {
        return Ok(value);
    };
    let shown = py_str(&marker.value);
    if marker.wish == Wish::Text {
        return Ok(Value::from(shown));
    }
    let literal = match marker.value.kind() {
        ValueKind::String => literal(&shown),
        _ => Some(marker.value.clone()),
    };
    let is_bool = |value: &Value| value.kind() == ValueKind::Bool;
    let wanted = match (marker.wish, &literal) {
        (Wish::Bool, Some(value)) if is_bool(value) => None,
        (Wish::Bool, _) => Some("bool"),
        (Wish::Number, Some(value)) if value.is_number() => None,
        (Wish::Number, _) => Some("number"),
        _ => None,
    };
    match wanted {
        Some(wanted) => Err(type_error(format!(
            "cannot turn `{shown}` into a value of type `{wanted}`"
        ))),
        None => Ok(literal.unwrap_or_else(|| Value::from(shown))),
    }
}

/// Reads a Python literal, such as `[1, 'a']`.
fn literal(text: &str) -> Option<Value> {
    let template = format!("{{{{{text}}}}}");
    let tokens = tokenize(&template, 0..template.len()).ok()?;
    let inside = tokens.get(1..tokens.len().checked_sub(1)?)?;
    let padded = |range: &std::ops::Range<usize>| {
        let number = template[range.clone()].as_bytes();
        number.len() > 1 && number[0] == b'0' && number.iter().all(u8::is_ascii_digit)
    };
    if inside.iter().any(|(_, range)| padded(range)) {
        return None;
    }
    let mut tokens = inside.iter().map(|(token, _)| token).peekable();
    let value = read(&mut tokens, 0)?;
    tokens.next().is_none().then_some(value)
}

fn read<'t>(
    tokens: &mut std::iter::Peekable<impl Iterator<Item = &'t Token<'t>>>,
    depth: usize,
) -> Option<Value> {
    if depth > 50 {
        return None;
    }
    Some(match tokens.next()? {
        Token::Name("True") => Value::from(true),
        Token::Name("False") => Value::from(false),
        Token::Name("None") => Value::from(()),
        Token::Text(text) => Value::from(text.as_str()),
        Token::Int(value) => int(*value),
        Token::Float(value) => Value::from(*value),
        Token::Op("-") => match tokens.next()? {
            Token::Int(value) => int(-value),
            Token::Float(value) => Value::from(-value),
            _ => return None,
        },
        Token::Op(open @ ("[" | "(" | "{")) => {
            let close = match *open {
                "[" => "]",
                "(" => ")",
                _ => "}",
            };
            let mut items = Vec::new();
            let mut commas = 0;
            while tokens
                .next_if(|token| **token == Token::Op(close))
                .is_none()
            {
                items.push(read(tokens, depth + 1)?);
                if *open == "{" {
                    tokens.next_if(|token| **token == Token::Op(":"))?;
                    items.push(read(tokens, depth + 1)?);
                }
                match tokens.next_if(|token| **token == Token::Op(",")) {
                    Some(_) => commas += 1,
                    None if *tokens.peek()? == &Token::Op(close) => {}
                    None => return None,
                }
            }
            match *open {
                "[" => list(items),
                "(" if commas == 0 && items.len() == 1 => items.remove(0),
                "(" => tuple(items),
                _ => dict(
                    items
                        .chunks_exact(2)
                        .map(|pair| (pair[0].clone(), pair[1].clone())),
                ),
            }
        }
        _ => return None,
    })
}
