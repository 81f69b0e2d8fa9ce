//! minijinja made to behave like Jinja2 on Python: macros that are programs of their own, native
//! return values, mutable lists and dicts, Python's rendering.
//!
//! Knows nothing of dbt's context: names that a template reads come from the root object of its
//! [`Scope`].

mod fault;
mod format;
mod methods;
mod operators;
mod percent;
mod values;

use std::sync::Arc;

pub use fault::{raise, raise_return};
pub use format::{py_repr, py_str};
pub use methods::{bind, kwargs, split_kwargs, wrong_arguments};
pub use values::{
    PyDict, PyList, dict, from_json, items, list, pairs, to_json, tuple, type_error, type_name,
};

use indexmap::IndexMap;
use minijinja::Value;

use crate::diagnostic::Diagnostic;
use crate::source::{SourceFile, Span};

/// A file of macros and the package that it belongs to.
#[derive(Clone, Debug)]
pub struct MacroFile {
    /// The package; the built-in ones belong to `dbt`, those of a dialect to `dbt_<dialect>`.
    pub package: Arc<str>,
    /// The file.
    pub file: Arc<SourceFile>,
}

/// How names of macros are found.
#[derive(Clone, Debug, Default)]
pub struct Lookup {
    /// The root project's name.
    pub root: Arc<str>,
    /// The dialect's name, the first prefix that `adapter.dispatch` tries before `default`.
    pub dialect: Arc<str>,
    /// The built-in packages in order: `dbt_<dialect>`, `dbt`.
    pub builtin: Vec<Arc<str>>,
    /// `dispatch` of the root project: the search order by macro namespace.
    pub dispatch: IndexMap<String, Vec<String>>,
}

/// One macro as it was declared.
#[derive(Clone, Debug)]
pub struct MacroInfo {
    /// Its package.
    pub package: Arc<str>,
    /// Its name: of a generic test `test_<name>`, of a materialization `materialization_<name>_<adapter>`, as in dbt.
    pub name: Arc<str>,
    /// The whole block.
    pub span: Span,
    /// The names of its parameters.
    pub arguments: Vec<String>,
    /// Names that its text calls, as written: `name` or `package.name`, and the first argument of `adapter.dispatch`.
    pub calls: Vec<String>,
    /// `supported_languages` and other keywords of a materialization's tag.
    pub is_materialization: bool,
}

/// The macros of a project, compiled once and shared by all threads.
pub struct Engine {}

/// A compiled template.
pub struct Template {}

/// What a rendering sees: whose macros come first, and the object that answers for every other name.
#[derive(Clone)]
pub struct Scope {
    /// The package of the template.
    pub package: Arc<str>,
    /// The context: an object whose attributes are the names that a template may read.
    pub root: Value,
}

impl Engine {
    /// Compiles every macro, in parallel. Broken files are reported and left out.
    pub fn new(files: &[MacroFile], lookup: Lookup) -> (Engine, Vec<Diagnostic>) {
        let _ = (files, lookup);
        todo!()
    }

    /// Every macro, in the order of the files.
    pub fn macros(&self) -> &[MacroInfo] {
        todo!()
    }

    /// Finds a macro as a template of a package would: its own package, the root project, the built-ins;
    /// `package.name` names the package.
    pub fn find(&self, from_package: &str, name: &str) -> Option<&MacroInfo> {
        let _ = (from_package, name);
        todo!()
    }

    /// Finds the materialization for a dialect: `materialization_<name>_<dialect>`, else `.._default`;
    /// the root project's before packages' before built-in ones.
    pub fn find_materialization(&self, name: &str) -> Option<&MacroInfo> {
        let _ = name;
        todo!()
    }

    /// Compiles a template.
    ///
    /// # Errors
    /// A syntax error, at its place.
    pub fn compile(&self, file: &Arc<SourceFile>) -> Result<Template, Box<Diagnostic>> {
        let _ = file;
        todo!()
    }

    /// Compiles and renders text that stands inside a file (a YAML scalar), natively: `{{ 1 + 1 }}` gives a number.
    ///
    /// # Errors
    /// As [`Engine::compile`] and [`Engine::render`], placed at `span`.
    pub fn render_native(
        &self,
        text: &str,
        span: &Span,
        scope: &Scope,
    ) -> Result<Value, Box<Diagnostic>> {
        let _ = (text, span, scope);
        todo!()
    }

    /// Renders a template.
    ///
    /// # Errors
    /// What went wrong, at the template's line, with the chain of macros that led there. A
    /// diagnostic that a context function raised comes out with its code, message and `sql`, places added.
    pub fn render(&self, template: &Template, scope: &Scope) -> Result<String, Box<Diagnostic>> {
        let _ = (template, scope);
        todo!()
    }

    /// Calls a macro by its name, as a template of the scope's package would.
    ///
    /// # Errors
    /// As [`Engine::render`].
    pub fn call(
        &self,
        name: &str,
        args: &[Value],
        kwargs: &[(&str, Value)],
        scope: &Scope,
    ) -> Result<Value, Box<Diagnostic>> {
        let _ = (name, args, kwargs, scope);
        todo!()
    }
}

impl Template {
    /// Names that its text calls, as [`MacroInfo::calls`].
    pub fn calls(&self) -> &[String] {
        todo!()
    }
}
