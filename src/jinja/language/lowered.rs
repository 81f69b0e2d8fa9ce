//! Callables that the parser puts into programs in place of what minijinja does otherwise.

use std::ops::Range;
use std::sync::Arc;

use minijinja::value::{Object, ObjectRepr};
use minijinja::{Error, State, Value};

use super::fault::undefined_name;
use super::frame::{self, Frame, Position};
use super::values::{dict, list};

/// Makes a fresh list of its arguments: `[a, b]`.
#[derive(Debug)]
pub(crate) struct ListDisplay;

/// Makes a fresh dict of keys and values in turn: `{a: b}`.
#[derive(Debug)]
pub(crate) struct DictDisplay;

/// Calls its first argument with the others, and remembers where that is.
#[derive(Debug)]
pub(crate) struct Located {
    name: &'static str,
    range: Range<usize>,
}

impl Located {
    pub fn new(name: &'static str, range: &Range<usize>) -> Located {
        Located {
            name,
            range: range.clone(),
        }
    }
}

impl Object for ListDisplay {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn call(self: &Arc<Self>, _: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
        Ok(list(args.to_vec()))
    }
}

impl Object for DictDisplay {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn call(self: &Arc<Self>, _: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
        Ok(dict(
            args.chunks_exact(2)
                .map(|pair| (pair[0].clone(), pair[1].clone())),
        ))
    }
}

impl Object for Located {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn call(self: &Arc<Self>, state: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
        let Some((callee, args)) = args.split_first() else {
            return Ok(Value::UNDEFINED);
        };
        if callee.is_undefined() {
            let names = Frame::of(state).map_or_else(Vec::new, |frame| frame.names());
            let diagnostic = undefined_name(self.name, &names);
            return Err(super::fault::raise(diagnostic));
        }
        let position = frame::position(state);
        let before = std::mem::replace(position, Position(Some(self.range.clone())));
        let result = callee.call(state, args);
        *frame::position(state) = before;
        result
    }
}
