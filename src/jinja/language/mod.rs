//! minijinja made to behave like Jinja2 on Python: macros that are programs of their own, native
//! return values, mutable lists and dicts, Python's rendering.
//!
//! Knows nothing of dbt's context: names that a template reads come from the root object of its
//! [`Scope`].
//!
//! What a function of the context may use:
//!
//! - values: [`list`], [`dict`], [`tuple()`], [`from_json`], [`to_json`], [`json_dumps`], [`items`], [`pairs`];
//! - text: [`py_str`], [`py_repr`];
//! - arguments: [`bind`], [`split_kwargs`], [`wrong_arguments`]; and [`kwargs`] to call something;
//! - operators: an object whose repr is plain answers `+ - * /` by the methods `__add__`, `__rsub__` and
//!   so on, and `<` by `custom_cmp`;
//! - faults: [`raise`] carries a diagnostic out of the rendering, [`type_error`] makes one of plain words;
//! - the engine, by the state that minijinja hands to every function: [`dispatch`], [`lookup`] (a
//!   macro is a value; `value.call(state, args)` calls it), [`current_package`], [`scope_of`],
//!   [`engine_of`], [`call_span`].
//!
//! The root object should enumerate its names: they are offered where a name is misspelt.
//! The names `return`, `context`, `range`, `dict`, `namespace` and the packages are given here;
//! macros win over names of the context, as in dbt.

mod engine;
mod environment;
mod expression;
mod fault;
mod filters;
mod format;
mod forward;
mod frame;
mod lexer;
mod lowered;
mod macros;
mod methods;
mod native;
mod operators;
mod parser;
mod percent;
#[cfg(test)]
mod python_cases;
mod strings;
mod syntax;
#[cfg(test)]
mod tests;
mod values;

use std::sync::Arc;

use indexmap::IndexMap;
use minijinja::Value;

pub use engine::{Engine, SnapshotBlock, Template};
pub use fault::{RAISED_INSIDE, raise, raise_return};
pub use filters::{KeyOrder, json_dumps};
pub use format::{py_repr, py_str};
pub use frame::{call_span, current_package, dispatch, engine_of, lookup, scope_of};
pub use methods::{bind, kwargs, split_kwargs, wrong_arguments};
pub use values::{
    PyDict, PyList, dict, dict_later, from_json, from_json_object, items, list, pairs, to_json,
    tuple, type_error, type_name,
};

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
    /// Constant arguments of `adapter.dispatch` in its text: the name, and the namespace where given.
    pub dispatches: Vec<(String, Option<String>)>,
    /// Whether it is a materialization.
    pub is_materialization: bool,
    /// `supported_languages` of a materialization's tag, where given.
    pub languages: Vec<String>,
}

/// What a rendering sees: whose macros come first, and the object that answers for every other name.
#[derive(Clone)]
pub struct Scope {
    /// The package of the template.
    pub package: Arc<str>,
    /// The context: an object whose attributes are the names that a template may read.
    pub root: Value,
}

/// Finds the `docs` blocks of a file: their names, what stands inside of them, and where the blocks stand.
pub fn docs_blocks(file: &Arc<SourceFile>) -> Vec<(String, String, Span)> {
    let text = &file.text;
    let mut blocks = Vec::new();
    let mut from = 0;
    while let Some(offset) = text[from..].find('{') {
        let start = from + offset;
        from = start + 1;
        if text[start..].starts_with("{#") {
            from = text[start..]
                .find("#}")
                .map_or(text.len(), |end| start + end + 2);
        } else if let Some(docs) = lexer::find_docs(text, start, text.len()) {
            if docs.closed {
                let body = text[docs.body.clone()].trim().to_owned();
                blocks.push((docs.name.to_owned(), body, Span::new(file, start..docs.end)));
            }
            from = docs.end;
        }
    }
    blocks
}
