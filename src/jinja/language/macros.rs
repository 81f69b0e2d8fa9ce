//! Macros: each a program of its own, and a value that can be called from any file.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, LazyLock, OnceLock};

use minijinja::machinery::{CodeGenerator, Instructions, eval, make_string_output};
use minijinja::value::{Object, ObjectRepr, ValueKind};
use minijinja::{AutoEscape, Environment, Error, State, Value};

use super::fault::{Fault, Origin, raise, returned};
use super::forward::Forward;
use super::frame::{Frame, Rendering};
use super::methods::split_kwargs;
use super::native::Nodes;
use super::parser::{Expr, Mentions, Stmt};
use super::py_str;
use super::values::{dict, tuple};
use crate::diagnostic::{Code, Diagnostic, nearest};
use crate::source::Span;

/// How deeply macros may call each other.
const MAX_DEPTH: u32 = 200;

/// Instructions that can be run any number of times, from any thread.
pub(crate) struct Program {
    instructions: Instructions<'static>,
    blocks: BTreeMap<&'static str, Instructions<'static>>,
    size: usize,
}

impl Program {
    /// A program that writes text.
    pub fn of_body(body: &[Stmt]) -> Program {
        let mut generator = CodeGenerator::new("", "");
        for statement in body {
            generator.compile_stmt(statement);
        }
        Program::finish(generator)
    }

    /// A program that gives the value of an expression.
    pub fn of_expr(expr: &Expr) -> Program {
        let mut generator = CodeGenerator::new("", "");
        generator.compile_expr(expr);
        Program::finish(generator)
    }

    fn finish(generator: CodeGenerator<'static>) -> Program {
        let size = generator.buffer_size_hint();
        let (instructions, blocks) = generator.finish();
        Program {
            instructions,
            blocks,
            size: size.max(128),
        }
    }

    /// Runs it; what it writes, and the last value on its stack.
    pub fn run(
        &self,
        env: &Environment<'_>,
        frame: Frame,
    ) -> Result<(String, Option<Value>), Error> {
        let mut text = String::with_capacity(self.size);
        let (value, _) = eval(
            env,
            &self.instructions,
            Value::from_object(frame),
            &self.blocks,
            &mut make_string_output(&mut text),
            AutoEscape::None,
        )?;
        Ok((text, value))
    }
}

impl Program {
    /// Runs it and keeps the values that it prints.
    pub fn run_native(
        &self,
        env: &Environment<'_>,
        frame: Frame,
    ) -> Result<(String, Vec<Value>), Error> {
        let mut text = String::with_capacity(self.size);
        let (_, mut state) = eval(
            env,
            &self.instructions,
            Value::from_object(frame),
            &self.blocks,
            &mut make_string_output(&mut text),
            AutoEscape::None,
        )?;
        let nodes = std::mem::take(state.get_or_insert_extension_with(Nodes::default));
        drop(state);
        Ok((text, nodes.0))
    }
}

/// A parameter of a macro.
pub(crate) struct Parameter {
    pub name: &'static str,
    default: Option<DefaultValue>,
}

enum DefaultValue {
    Constant(Value),
    Program(Box<Program>),
}

impl Parameter {
    pub fn new(name: &'static str, default: Option<&Expr>) -> Parameter {
        let default = default.map(|expr| match expr {
            Expr::Const(constant) => DefaultValue::Constant(constant.value.clone()),
            expr => DefaultValue::Program(Box::new(Program::of_expr(expr))),
        });
        Parameter { name, default }
    }

    pub fn has_default(&self) -> bool {
        self.default.is_some()
    }
}

/// A macro as it was declared.
pub(crate) struct MacroDef {
    pub name: Arc<str>,
    pub package: Arc<str>,
    pub origin: Arc<Origin>,
    pub parameters: Vec<Parameter>,
    /// What is done instead of running the body, where it only dispatches.
    pub forward: Option<Forward>,
    /// Made when the macro is first called: most of those that a project could call never are.
    body: LazyLock<Program, Box<dyn FnOnce() -> Program + Send>>,
    uses_varargs: bool,
    uses_kwargs: bool,
    uses_caller: bool,
    is_caller: bool,
}

impl MacroDef {
    pub fn new(
        name: &str,
        package: &Arc<str>,
        origin: &Arc<Origin>,
        parameters: Vec<Parameter>,
        body: Vec<Stmt>,
        mentions: &Mentions,
    ) -> MacroDef {
        let is_parameter = |name: &str| parameters.iter().any(|known| known.name == name);
        MacroDef {
            forward: Forward::of(&body, &is_parameter),
            name: Arc::from(name),
            package: Arc::clone(package),
            origin: Arc::clone(origin),
            parameters,
            body: LazyLock::new(Box::new(move || Program::of_body(&body))),
            uses_varargs: mentions.names.contains("varargs"),
            uses_kwargs: mentions.names.contains("kwargs"),
            uses_caller: mentions.names.contains("caller"),
            is_caller: false,
        }
    }

    /// The same as the body of a `call` tag: it shares `caller` and the like with what is around it.
    pub fn into_caller(mut self) -> MacroDef {
        self.is_caller = true;
        self.uses_varargs = false;
        self.uses_kwargs = false;
        self.uses_caller = false;
        self
    }

    /// Whether a name is the macro's own and never captured from around it.
    pub fn has_local(&self, name: &str) -> bool {
        self.parameters
            .iter()
            .any(|parameter| parameter.name == name)
            || (name == "varargs" && self.uses_varargs)
            || (name == "kwargs" && self.uses_kwargs)
            || (name == "caller" && self.uses_caller)
    }
}

/// Makes the value of a macro that stands inside a template: its keyword arguments are what it captures.
pub(crate) struct Maker(Arc<MacroDef>);

impl Maker {
    pub fn new(def: MacroDef) -> Maker {
        Maker(Arc::new(def))
    }
}

impl fmt::Debug for Maker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<maker of {}>", self.0.name)
    }
}

impl Object for Maker {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn call(self: &Arc<Self>, _: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
        let captured = split_kwargs(args)
            .1
            .into_iter()
            .filter(|(_, value)| !value.is_undefined())
            .collect();
        Ok(Value::from_object(MacroValue {
            def: Arc::clone(&self.0),
            captured,
            is_local: true,
            names: OnceLock::new(),
        }))
    }
}

/// A macro as a value.
pub(crate) struct MacroValue {
    pub def: Arc<MacroDef>,
    captured: Vec<(Value, Value)>,
    /// Whether it stands inside a template.
    is_local: bool,
    names: OnceLock<Vec<&'static str>>,
}

impl MacroValue {
    pub fn new(def: MacroDef) -> MacroValue {
        MacroValue {
            def: Arc::new(def),
            captured: Vec::new(),
            is_local: false,
            names: OnceLock::new(),
        }
    }

    /// Calls the macro.
    ///
    /// `depth` counts the macros around the call; `site` is the located call that led there.
    pub fn invoke(
        self: &Arc<Self>,
        env: &Environment<'_>,
        rendering: &Arc<Rendering>,
        depth: u32,
        site: Option<Span>,
        args: &[Value],
    ) -> Result<Value, Error> {
        let def = &self.def;
        if depth >= MAX_DEPTH {
            return Err(raise(Diagnostic::error(
                Code::JinjaRender,
                format!(
                    "macros call each other more than {MAX_DEPTH} times deep, here `{}`",
                    def.name
                ),
            )));
        }
        let frame = |locals: Vec<(&'static str, Value)>| Frame {
            locals,
            rendering: Arc::clone(rendering),
            depth: depth + 1,
            origin: Arc::clone(&def.origin),
            site: site.clone(),
        };
        let leave = |error: Error| {
            let range = error.range().unwrap_or(0..0);
            self.leave(&error, range, rendering)
        };
        let mut locals = self.bind(args)?;
        for parameter in &def.parameters {
            if locals.iter().any(|(name, _)| *name == parameter.name) {
                continue;
            }
            let value = match &parameter.default {
                None => Value::UNDEFINED,
                Some(DefaultValue::Constant(value)) => value.clone(),
                Some(DefaultValue::Program(program)) => {
                    let mut seen = locals.clone();
                    self.add_captured(rendering, &mut seen);
                    let (_, value) = program.run(env, frame(seen)).map_err(leave)?;
                    value.unwrap_or_default()
                }
            };
            locals.push((parameter.name, value));
        }
        if let Some(forward) = &def.forward
            && !self.is_local
            && rendering.has_usual_names()
        {
            return self.forward(forward, env, rendering, (depth + 1, site), &locals);
        }
        self.add_captured(rendering, &mut locals);
        match def.body.run(env, frame(locals)) {
            Ok((text, _)) => Ok(Value::from(text)),
            Err(error) => match returned(&error) {
                // What a `call` block returns leaves the macro that called it, as in dbt.
                Some(_) if def.is_caller => Err(error),
                Some(value) => Ok(value),
                None => Err(leave(error)),
            },
        }
    }

    /// Does what the body would: calls what the dispatch finds, and returns or prints its value.
    fn forward(
        self: &Arc<Self>,
        forward: &Forward,
        env: &Environment<'_>,
        rendering: &Arc<Rendering>,
        (depth, site): (u32, Option<Span>),
        locals: &[(&'static str, Value)],
    ) -> Result<Value, Error> {
        let found = rendering
            .dispatch(&forward.name, forward.namespace.as_deref())
            .map_err(|error| self.leave(&error, forward.dispatch.clone(), rendering))?;
        let arguments = forward.arguments(locals);
        let found = found.downcast_object::<MacroValue>();
        let found = found.expect("a table of macros holds nothing else");
        match found.invoke(env, rendering, depth, site, &arguments) {
            Ok(value) if forward.returns || value.kind() == ValueKind::String => Ok(value),
            Ok(value) => Ok(Value::from(py_str(&value))),
            Err(error) => match returned(&error) {
                Some(value) => Ok(value),
                None => Err(self.leave(&error, forward.call.clone(), rendering)),
            },
        }
    }

    /// Adds to an error the place in this macro that it comes from.
    fn leave(&self, error: &Error, range: Range<usize>, rendering: &Rendering) -> Error {
        let def = &self.def;
        let mut fault = Fault::leave_at(error, &def.origin, range, &|| rendering.names());
        fault.left = Some(Arc::clone(&def.name));
        fault.into_error()
    }

    fn add_captured(
        self: &Arc<Self>,
        rendering: &Rendering,
        locals: &mut Vec<(&'static str, Value)>,
    ) {
        if !self.is_local {
            return;
        }
        let syntax = &rendering.engine.syntax;
        let names = self.names.get_or_init(|| {
            let intern =
                |(name, _): &(Value, Value)| syntax.intern(name.as_str().unwrap_or_default());
            self.captured.iter().map(intern).collect()
        });
        for (name, (_, value)) in names.iter().zip(&self.captured) {
            if !locals.iter().any(|(local, _)| local == name) {
                locals.push((name, value.clone()));
            }
        }
        if !self.def.is_caller && !locals.iter().any(|(local, _)| **local == *self.def.name) {
            // A macro inside a template may call itself.
            locals.push((
                syntax.intern(&self.def.name),
                Value::from_dyn_object(Arc::clone(self)),
            ));
        }
    }

    /// Binds arguments to parameters; those that are missing are left out.
    fn bind(&self, args: &[Value]) -> Result<Vec<(&'static str, Value)>, Error> {
        let def = &self.def;
        let (positional, mut keywords) = split_kwargs(args);
        let mut locals = Vec::with_capacity(def.parameters.len() + 4);
        for (index, parameter) in def.parameters.iter().enumerate() {
            let keyword = keywords
                .iter()
                .position(|(name, _)| name.as_str() == Some(parameter.name))
                .map(|at| keywords.remove(at).1);
            match (positional.get(index), keyword) {
                (Some(_), Some(_)) => {
                    return Err(self.wrong(format!(
                        "macro `{}` got two values for parameter `{}`",
                        def.name, parameter.name
                    )));
                }
                (Some(value), None) => locals.push((parameter.name, value.clone())),
                (None, Some(value)) => locals.push((parameter.name, value)),
                (None, None) => {}
            }
        }
        let rest = positional.get(def.parameters.len()..).unwrap_or_default();
        if def.uses_varargs {
            locals.push(("varargs", tuple(rest.to_vec())));
        } else if !rest.is_empty() {
            let count = def.parameters.len();
            return Err(self.wrong(format!(
                "macro `{}` takes at most {count} argument{}, {} were given",
                def.name,
                if count == 1 { "" } else { "s" },
                positional.len()
            )));
        }
        if def.uses_caller {
            let at = keywords
                .iter()
                .position(|(name, _)| name.as_str() == Some("caller"));
            let caller = at.map(|at| keywords.remove(at).1);
            locals.push(("caller", caller.unwrap_or_default()));
        }
        if def.uses_kwargs {
            locals.push(("kwargs", dict(keywords)));
        } else if let Some((name, _)) = keywords.first() {
            return Err(self.unknown_parameter(name.as_str().unwrap_or_default()));
        }
        Ok(locals)
    }

    fn wrong(&self, message: String) -> Error {
        raise(Diagnostic::error(Code::WrongArguments, message))
    }

    fn unknown_parameter(&self, name: &str) -> Error {
        let def = &self.def;
        if name == "caller" {
            return self.wrong(format!(
                "macro `{}` takes no `call` block: it never calls `caller`",
                def.name
            ));
        }
        let mut diagnostic = Diagnostic::error(
            Code::WrongArguments,
            format!("macro `{}` has no parameter named `{name}`", def.name),
        );
        let names: Vec<&str> = def
            .parameters
            .iter()
            .map(|parameter| parameter.name)
            .collect();
        if let Some(near) = nearest(name, names.iter().copied()) {
            diagnostic = diagnostic.help(format!("it has one named `{near}`"));
        } else if !names.is_empty() {
            diagnostic = diagnostic.help(format!("its parameters are `{}`", names.join("`, `")));
        }
        raise(diagnostic)
    }
}

impl fmt::Debug for MacroValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<macro '{}'>", self.def.name)
    }
}

impl Object for MacroValue {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let def = &self.def;
        Some(match key {
            "name" => Value::from(&*def.name),
            "package_name" => Value::from(&*def.package),
            "arguments" => tuple(
                def.parameters
                    .iter()
                    .map(|parameter| Value::from(parameter.name))
                    .collect(),
            ),
            "catch_varargs" => Value::from(def.uses_varargs),
            "catch_kwargs" => Value::from(def.uses_kwargs),
            "caller" => Value::from(def.uses_caller),
            _ => return None,
        })
    }

    fn call(self: &Arc<Self>, state: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
        let frame = Frame::of(state)
            .ok_or_else(|| super::type_error("a macro is called outside of a rendering"))?;
        let site = frame.site(state);
        self.invoke(state.env(), &frame.rendering, frame.depth, site, args)
    }
}
