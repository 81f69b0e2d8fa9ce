//! Macros that do nothing but hand their arguments to what `adapter.dispatch` finds.
//!
//! Every macro that a dialect or a project may override is one, so a run calls thousands of them. They
//! are told by their syntax and called through, without a program of their own.

use std::ops::Range;

use minijinja::Value;
use minijinja::machinery::ast::{self, CallArg};

use super::methods;
use super::operators::names;
use super::parser::{Expr, Stmt};

/// The names on whose usual meaning the texts of such macros rely.
pub(crate) const RELIES_ON: [&str; 2] = ["adapter", "return"];

/// What such a macro does.
pub(crate) struct Forward {
    /// The first argument of `adapter.dispatch`.
    pub name: String,
    /// The second.
    pub namespace: Option<String>,
    /// Whether the macro returns the value, and does not print it.
    pub returns: bool,
    /// Where `adapter.dispatch(..)` stands.
    pub dispatch: Range<usize>,
    /// Where what it finds is called.
    pub call: Range<usize>,
    positional: Vec<Argument>,
    keywords: Vec<(&'static str, Argument)>,
}

enum Argument {
    Parameter(&'static str),
    Constant(Value),
}

impl Forward {
    /// Reads a macro's body; `None` where it does anything else. `is_parameter` knows its parameters.
    ///
    /// Such a body is `{{ adapter.dispatch('name', 'namespace')(a, b, c=d) }}`, all of it inside
    /// `return(..)` or not, where the arguments are parameters and constants.
    pub fn of(body: &[Stmt], is_parameter: &dyn Fn(&str) -> bool) -> Option<Forward> {
        let mut told = body.iter().filter(|stmt| !is_blank(stmt));
        let (Some(Stmt::EmitExpr(emitted)), None) = (told.next(), told.next()) else {
            return None;
        };
        if RELIES_ON.into_iter().any(is_parameter) {
            return None;
        }
        let done = done(&emitted.expr);
        let given = returned(done.unwrap_or(&emitted.expr));
        let (call, returns) = match given {
            Some(given) => (given, true),
            // What is printed stands alone, else the blanks around it belong to it.
            None if done.is_none() && body.len() == 1 => (&emitted.expr, false),
            None => return None,
        };
        let Expr::Call(call) = call else { return None };
        let Expr::Call(dispatch) = &call.expr else {
            return None;
        };
        let mut forward = Forward {
            name: String::new(),
            namespace: None,
            returns,
            dispatch: range(dispatch),
            call: range(call),
            positional: Vec::new(),
            keywords: Vec::new(),
        };
        forward.read_dispatch(dispatch)?;
        for argument in &call.args {
            match argument {
                CallArg::Pos(value) => {
                    let argument = Argument::of(value, is_parameter)?;
                    forward.positional.push(argument);
                }
                CallArg::Kwarg(name, value) => {
                    let argument = Argument::of(value, is_parameter)?;
                    forward.keywords.push((name, argument));
                }
                CallArg::PosSplat(_) | CallArg::KwargSplat(_) => return None,
            }
        }
        Some(forward)
    }

    fn read_dispatch(&mut self, dispatch: &ast::Call<'static>) -> Option<()> {
        let Expr::GetAttr(attribute) = &dispatch.expr else {
            return None;
        };
        let Expr::Var(owner) = &attribute.expr else {
            return None;
        };
        if owner.id != "adapter" || attribute.name != "dispatch" {
            return None;
        }
        let (name, namespace) = match dispatch.args.as_slice() {
            [CallArg::Pos(name)] => (name, None),
            [CallArg::Pos(name), CallArg::Pos(namespace)]
            | [
                CallArg::Pos(name),
                CallArg::Kwarg("macro_namespace", namespace),
            ] => (name, Some(namespace)),
            _ => return None,
        };
        self.name = text(name).filter(|name| !name.contains('.'))?;
        if let Some(namespace) = namespace {
            self.namespace = Some(text(namespace)?);
        }
        Some(())
    }

    /// What is handed on, of what the parameters hold.
    pub fn arguments(&self, locals: &[(&'static str, Value)]) -> Vec<Value> {
        let value = |argument: &Argument| match argument {
            Argument::Constant(value) => value.clone(),
            Argument::Parameter(parameter) => {
                let found = locals.iter().find(|(name, _)| name == parameter);
                found.map_or(Value::UNDEFINED, |(_, value)| value.clone())
            }
        };
        let mut arguments: Vec<Value> = self.positional.iter().map(value).collect();
        if !self.keywords.is_empty() {
            let keywords = self.keywords.iter();
            let entries = keywords.map(|(name, argument)| ((*name).to_owned(), value(argument)));
            arguments.push(methods::kwargs(entries));
        }
        arguments
    }
}

impl Argument {
    fn of(expr: &Expr, is_parameter: &dyn Fn(&str) -> bool) -> Option<Argument> {
        match expr {
            Expr::Var(var) if is_parameter(var.id) => Some(Argument::Parameter(var.id)),
            Expr::Const(constant) => Some(Argument::Constant(constant.value.clone())),
            _ => None,
        }
    }
}

/// The expression of a `do`.
fn done(expr: &Expr) -> Option<&Expr> {
    match expr {
        Expr::Filter(filter) if filter.name == names::DO => filter.expr.as_ref(),
        _ => None,
    }
}

/// What is given to a `return`.
fn returned(expr: &Expr) -> Option<&Expr> {
    let Expr::Call(call) = expr else { return None };
    match (&call.expr, call.args.as_slice()) {
        (Expr::Var(function), [CallArg::Pos(value)]) if function.id == "return" => Some(value),
        _ => None,
    }
}

fn is_blank(stmt: &Stmt) -> bool {
    matches!(stmt, Stmt::EmitRaw(raw) if raw.raw.trim().is_empty())
}

fn text(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Const(constant) => constant.value.as_str().map(str::to_owned),
        _ => None,
    }
}

fn range<T>(node: &ast::Spanned<T>) -> Range<usize> {
    let span = node.span();
    span.start_offset as usize..span.end_offset as usize
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::jinja::language::fault::Origin;
    use crate::jinja::language::parser::{Kind, parse};
    use crate::jinja::language::syntax::Syntax;
    use crate::source::SourceFile;

    /// Whether the macro of a body is told to forward: `returns`, `prints` or `no`.
    fn told(body: &str) -> &'static str {
        let text = format!("{{% macro m(a, b=1) -%}}{body}{{%- endmacro %}}");
        let origin = Arc::new(Origin {
            file: SourceFile::inline("macros/m.sql", text.as_str()),
            whole: None,
            builtin: false,
        });
        let package = Arc::from("shop");
        let range = 0..text.len();
        let parsed = parse(
            &Syntax::new(),
            Kind::MacroFile,
            &origin,
            &package,
            &text,
            range,
        );
        let Ok(parsed) = parsed else {
            panic!("{text} is a macro")
        };
        match &parsed.macros[0].def.forward {
            Some(forward) if forward.returns => "returns",
            Some(_) => "prints",
            None => "no",
        }
    }

    #[test]
    fn only_what_does_nothing_else_forwards() {
        for (body, expected) in [
            (
                "{{ return(adapter.dispatch('m', 'dbt')(a, b)) }}",
                "returns",
            ),
            ("{% do return(adapter.dispatch('m')(a, b=b)) %}", "returns"),
            (
                "\n {{ return(adapter.dispatch('m', macro_namespace='x')()) }}\n ",
                "returns",
            ),
            ("{{ adapter.dispatch('m', 'dbt')(a, 'x', none) }}", "prints"),
            (" text {{ adapter.dispatch('m', 'dbt')(a) }}", "no"),
            ("{{ a }}{{ adapter.dispatch('m', 'dbt')(a) }}", "no"),
            ("{% do adapter.dispatch('m', 'dbt')(a) %}", "no"),
            ("{{ adapter.dispatch('m', 'dbt')(a, c) }}", "no"),
            ("{{ adapter.dispatch('m', 'dbt')(a | upper) }}", "no"),
            ("{{ adapter.dispatch('m', 'dbt')(**a) }}", "no"),
            ("{{ adapter.dispatch(a, 'dbt')(a) }}", "no"),
            ("{{ adapter.dispatch('x.m')(a) }}", "no"),
            ("{{ adapter.dispatch('m', packages=['x'])(a) }}", "no"),
            ("{{ other.dispatch('m')(a) }}", "no"),
            ("{{ adapter.dispatch('m') }}", "no"),
            ("{{ m(a) }}", "no"),
        ] {
            assert_eq!(told(body), expected, "{body}");
        }
    }
}
