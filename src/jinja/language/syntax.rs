//! What the parser knows beside the grammar: interned names, and which filters and tests exist.

use std::ops::Range;
use std::sync::{PoisonError, RwLock};

use rustc_hash::{FxHashMap, FxHashSet};

use super::filters;
use super::lexer::SyntaxError;
use crate::diagnostic::nearest;

/// Names and tables shared by all parsers of an engine.
///
/// minijinja's instructions borrow names for as long as they live. Each distinct identifier is
/// therefore leaked once an engine: a few thousand words for a large project.
#[derive(Default)]
pub(crate) struct Syntax {
    names: RwLock<FxHashSet<&'static str>>,
    filters: FxHashMap<&'static str, ()>,
    tests: FxHashMap<&'static str, ()>,
}

impl Syntax {
    pub fn new() -> Syntax {
        Syntax {
            names: RwLock::default(),
            filters: filters::FILTERS.iter().map(|name| (*name, ())).collect(),
            tests: filters::TESTS.iter().map(|name| (*name, ())).collect(),
        }
    }

    /// The one copy of a name that lives as long as the program.
    pub fn intern(&self, name: &str) -> &'static str {
        let known = self.names.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(name) = known.get(name) {
            return name;
        }
        drop(known);
        let mut known = self.names.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(name) = known.get(name) {
            return name;
        }
        let name: &'static str = Box::leak(name.to_owned().into_boxed_str());
        known.insert(name);
        name
    }

    pub fn check_filter(&self, name: &str, range: &Range<usize>) -> Result<(), SyntaxError> {
        check("filter", &self.filters, name, range)
    }

    pub fn check_test(&self, name: &str, range: &Range<usize>) -> Result<(), SyntaxError> {
        check("test", &self.tests, name, range)
    }
}

fn check(
    kind: &str,
    known: &FxHashMap<&'static str, ()>,
    name: &str,
    range: &Range<usize>,
) -> Result<(), SyntaxError> {
    if known.contains_key(name) {
        return Ok(());
    }
    let mut message = format!("no {kind} named `{name}`");
    if let Some(near) = nearest(name, known.keys().copied()) {
        message = format!("{message}; did you mean `{near}`?");
    }
    Err(SyntaxError::new(message, range.clone()))
}
