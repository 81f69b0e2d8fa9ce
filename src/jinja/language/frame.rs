//! What a running program sees: its parameters, the macros, the context below them.
//!
//! A [`Frame`] is the root object of each evaluation. Functions of the context reach the engine
//! through it: [`engine_of`], [`current_package`], [`dispatch`], [`lookup`], [`call_span`].

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use minijinja::value::{Enumerator, Object, ObjectRepr};
use minijinja::{Error, State, Value};

use super::Scope;
use super::engine::{Inner, Table};
use super::fault::{Origin, raise, undefined_name};
use super::values::{dict, type_error};
use super::{Engine, methods};
use crate::diagnostic::{Code, Diagnostic};
use crate::source::Span;

/// The name by which a frame finds itself; no template can write it.
const SELF: &str = " frame";

/// What all frames of one rendering share.
pub(crate) struct Rendering {
    pub engine: Arc<Inner>,
    pub scope: Scope,
    pub table: Arc<Table>,
}

/// The root object of one evaluation.
pub(crate) struct Frame {
    pub locals: Vec<(&'static str, Value)>,
    pub rendering: Arc<Rendering>,
    pub depth: u32,
    pub origin: Arc<Origin>,
    /// The nearest located call outside of this frame.
    pub site: Option<Span>,
}

/// Where the located call that is under way stands in the running program.
#[derive(Default)]
pub(crate) struct Position(pub Option<Range<usize>>);

pub(crate) fn position<'a>(state: &'a mut State<'_, '_>) -> &'a mut Position {
    state.get_or_insert_extension_with(Position::default)
}

impl Frame {
    /// The frame of a running program.
    pub fn of(state: &State<'_, '_>) -> Option<Arc<Frame>> {
        state.lookup(SELF)?.downcast_object::<Frame>()
    }

    /// The innermost located call as seen from a running program.
    pub fn site(&self, state: &State<'_, '_>) -> Option<Span> {
        match state.get_extension::<Position>() {
            Some(Position(Some(range))) => Some(self.origin.span(range.clone())),
            _ => self.site.clone(),
        }
    }

    /// Finds a name outside of the parameters: macros, packages, then the context.
    pub fn global(&self, name: &str) -> Option<Value> {
        let rendering = &self.rendering;
        rendering
            .table
            .find(name)
            .or_else(|| rendering.engine.package(name))
            .or_else(|| rendering.scope.root.as_object()?.get_value_by_str(name))
    }

    /// Names that a template may call, for near names.
    pub fn names(&self) -> Vec<String> {
        self.rendering.names()
    }
}

impl Rendering {
    /// Finds the macro of a dispatch; see [`dispatch`].
    pub fn dispatch(&self, name: &str, namespace: Option<&str>) -> Result<Value, Error> {
        let engine = &self.engine;
        let packages = engine.dispatch_order(namespace);
        let prefixes = [&*engine.lookup.dialect, "default"];
        for package in &packages {
            for prefix in prefixes {
                let full = format!("{prefix}__{name}");
                let found = match package {
                    Some(package) => engine.table_of(package).and_then(|table| table.find(&full)),
                    None => self.table.find(&full),
                };
                if let Some(found) = found {
                    return Ok(found);
                }
            }
        }
        let tried = packages.iter().flat_map(|package| {
            prefixes.map(|prefix| match package {
                Some(package) => format!("`{package}.{prefix}__{name}`"),
                None => format!("`{prefix}__{name}`"),
            })
        });
        let tried: Vec<String> = tried.collect();
        let diagnostic = Diagnostic::error(
            Code::UndefinedMacro,
            format!("`adapter.dispatch` found no macro for `{name}`"),
        )
        .note(format!("searched for {}", tried.join(", ")));
        Err(raise(diagnostic))
    }

    /// Whether `adapter` and `return` mean here what they mean in dbt.
    pub fn has_usual_names(&self) -> bool {
        let root = self.scope.root.as_object();
        !self.engine.renames && root.is_some_and(|root| root.get_value_by_str("adapter").is_some())
    }

    /// Names that a template may call, for near names.
    pub fn names(&self) -> Vec<String> {
        let mut names = self.table.names();
        if let Ok(keys) = self.scope.root.try_iter() {
            names.extend(keys.filter_map(|key| key.as_str().map(str::to_owned)));
        }
        names.sort();
        names
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<context>")
    }
}

impl Object for Frame {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        if key == SELF {
            return Some(Value::from_dyn_object(Arc::clone(self)));
        }
        if let Some((_, value)) = self.locals.iter().find(|(name, _)| *name == key) {
            return Some(value.clone());
        }
        if let Some(value) = self.global(key) {
            return Some(value);
        }
        match key {
            "context" => Some(Value::from_object(ContextView(Arc::clone(self)))),
            _ => None,
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.names().into_iter().map(Value::from).collect())
    }
}

/// What `context` shows: every name, as a dict would.
#[derive(Debug)]
struct ContextView(Arc<Frame>);

impl Object for ContextView {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.0.get_value(key)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        self.0.enumerate()
    }

    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Result<Value, Error> {
        let pairs = || {
            let names = self.0.names().into_iter();
            names
                .filter_map(|name| Some((Value::from(name.as_str()), self.0.global(&name)?)))
                .collect()
        };
        methods::map_method(method, args, |key| self.0.get_value(key), pairs)
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<context>")
    }
}

/// The macros of a package: `dbt_utils` in `dbt_utils.star(..)`.
#[derive(Debug)]
pub(crate) struct Package {
    pub name: Arc<str>,
    pub table: Arc<Table>,
}

impl Object for Package {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.table.find(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        self.table.find(key)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.table.names().into_iter().map(Value::from).collect())
    }

    fn is_true(self: &Arc<Self>) -> bool {
        true
    }

    fn call_method(
        self: &Arc<Self>,
        state: &mut State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Result<Value, Error> {
        if let Some(found) = self.table.find(method) {
            return found.call(state, args);
        }
        if method == "get" {
            let entries = dict([]);
            return methods::map_method(
                method,
                args,
                |key| self.get_value(key),
                || super::pairs(&entries),
            );
        }
        let mut diagnostic = undefined_name(method, &self.table.names());
        diagnostic.message = format!("package `{}` has no macro named `{method}`", self.name);
        Err(raise(diagnostic))
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<package {}>", self.name)
    }
}

/// The engine that runs a template.
pub fn engine_of(state: &State<'_, '_>) -> Option<Engine> {
    Frame::of(state).map(|frame| Engine::from_inner(Arc::clone(&frame.rendering.engine)))
}

/// The package of the template that is rendered, whatever macro runs at the moment.
pub fn current_package(state: &State<'_, '_>) -> Option<Arc<str>> {
    Frame::of(state).map(|frame| Arc::clone(&frame.rendering.scope.package))
}

/// The scope of the rendering.
pub fn scope_of(state: &State<'_, '_>) -> Option<Scope> {
    Frame::of(state).map(|frame| frame.rendering.scope.clone())
}

/// Finds a name as the running template would: its variables, macros, packages, the context.
pub fn lookup(state: &State<'_, '_>, name: &str) -> Option<Value> {
    state.lookup(name)
}

/// Where the call of `ref`, `source` or `config` stands that is under way.
///
/// A function of one of these names asks while it runs. Inside of a macro it is the macro's text,
/// unless the macro is itself called by such a name (a project's own `ref`).
pub fn call_span(state: &State<'_, '_>) -> Option<Span> {
    Frame::of(state)?.site(state)
}

/// What `adapter.dispatch(name, namespace)` returns: the macro `<prefix>__<name>` that comes first.
///
/// The packages are searched in the order of the project's `dispatch`, else the root project and
/// the namespace itself; in each, the dialect's prefix comes before `default`.
///
/// # Errors
/// [`Code::UndefinedMacro`], with the names that were tried.
pub fn dispatch(
    state: &State<'_, '_>,
    name: &str,
    namespace: Option<&str>,
) -> Result<Value, Error> {
    let Some(frame) = Frame::of(state) else {
        return Err(type_error("`dispatch` is called outside of a rendering"));
    };
    if let Some((package, plain)) = name.split_once('.') {
        let diagnostic = Diagnostic::error(
            Code::UndefinedMacro,
            format!("`{name}` is not the name of a macro: it holds a `.`"),
        )
        .help(format!(
            "write `adapter.dispatch('{plain}', macro_namespace='{package}')`"
        ));
        return Err(raise(diagnostic));
    }
    frame.rendering.dispatch(name, namespace)
}
