//! Faults on their way out of a rendering: a diagnostic and the places that it passes.
//!
//! minijinja carries errors; the diagnostic is their source. Each macro that an error leaves adds
//! the place of the call, so that the chain spans files.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use minijinja::{Error, ErrorKind, Value};

use crate::diagnostic::{Code, Diagnostic, Label, nearest};
use crate::source::{SourceFile, Span};

/// What the note begins with that names the built-in macros on an error's way.
pub const RAISED_INSIDE: &str = "raised inside built-in macros";

/// How many places a diagnostic shows.
const MAX_LABELS: usize = 12;

/// Makes the error that carries a diagnostic through a rendering.
///
/// A function of the context returns it; [`super::Engine::render`] gives the diagnostic back, with
/// the places added. The diagnostic itself needs no place.
pub fn raise(diagnostic: Diagnostic) -> Error {
    Fault::new(diagnostic).into_error()
}

/// Makes the error by which `return(value)` leaves a macro.
pub fn raise_return(value: Value) -> Error {
    Error::new(ErrorKind::InvalidOperation, "return outside of a macro")
        .with_source(Returned(value))
}

/// Where the text of a program came from.
#[derive(Clone)]
pub(crate) struct Origin {
    /// The file.
    pub file: Arc<SourceFile>,
    /// The place of the whole text, where its offsets are not those of the file.
    pub whole: Option<Range<usize>>,
    /// Whether users cannot edit it.
    pub builtin: bool,
}

impl Origin {
    /// The place of a range of the program's text.
    pub fn span(&self, range: Range<usize>) -> Span {
        Span::new(&self.file, self.whole.clone().unwrap_or(range))
    }
}

/// One place that a fault passed.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub span: Span,
    pub builtin: bool,
    /// The macro that was called there; `None` at the fault itself.
    pub called: Option<Arc<str>>,
}

/// A diagnostic under way, with the places from the innermost outwards.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub diagnostic: Diagnostic,
    pub places: Vec<Place>,
    /// The macro that it has just left.
    pub left: Option<Arc<str>>,
}

#[derive(Debug)]
struct Returned(Value);

impl fmt::Display for Returned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("return")
    }
}

impl std::error::Error for Returned {}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.diagnostic.message)
    }
}

impl std::error::Error for Fault {}

/// Finds a type along the sources of an error.
fn find<T: std::error::Error + 'static>(error: &Error) -> Option<&T> {
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        if let Some(found) = inner.downcast_ref::<T>() {
            return Some(found);
        }
        source = inner.source();
    }
    None
}

/// The value that `return` carries, if that is what the error is.
pub(crate) fn returned(error: &Error) -> Option<Value> {
    find::<Returned>(error).map(|Returned(value)| value.clone())
}

impl Fault {
    /// A fault that has passed no place yet.
    pub fn new(diagnostic: Diagnostic) -> Fault {
        Fault {
            diagnostic,
            places: Vec::new(),
            left: None,
        }
    }

    /// Makes the error that carries it.
    pub fn into_error(self) -> Error {
        Error::new(ErrorKind::InvalidOperation, "raised").with_source(self)
    }

    /// Takes an error that leaves a program, and adds the place where it happened there.
    pub fn leave(error: &Error, origin: &Origin, names: &dyn Fn() -> Vec<String>) -> Fault {
        Fault::leave_at(error, origin, error.range().unwrap_or(0..0), names)
    }

    /// The same of a program that knows the place itself.
    pub fn leave_at(
        error: &Error,
        origin: &Origin,
        range: Range<usize>,
        names: &dyn Fn() -> Vec<String>,
    ) -> Fault {
        let mut fault = match find::<Fault>(error) {
            Some(fault) => fault.clone(),
            None => {
                let text = match origin.whole {
                    Some(_) => "",
                    None => origin.file.text.get(range.clone()).unwrap_or(""),
                };
                Fault::new(describe(error, text, names))
            }
        };
        let called = fault.left.take();
        fault.places.push(Place {
            span: origin.span(range),
            builtin: origin.builtin,
            called,
        });
        fault
    }

    /// Takes an error that has left its program already.
    pub fn of(error: &Error, names: &dyn Fn() -> Vec<String>) -> Fault {
        match find::<Fault>(error) {
            Some(fault) => fault.clone(),
            None => Fault::new(describe(error, "", names)),
        }
    }

    /// The diagnostic with its places as labels: the innermost that users can edit comes first.
    pub fn into_diagnostic(self) -> Box<Diagnostic> {
        let mut diagnostic = self.diagnostic;
        let mut labels: Vec<Label> = Vec::new();
        let mut through: Vec<String> = Vec::new();
        let only_builtin = self.places.iter().all(|place| place.builtin);
        for (index, place) in self.places.iter().enumerate() {
            if place.builtin && !(only_builtin && index == 0) {
                through.push(format!("{:?}", place.span));
                continue;
            }
            let text = match &place.called {
                Some(name) => format!("in macro `{name}` called here"),
                None => String::new(),
            };
            let repeats = labels.last().is_some_and(|last| {
                last.text == text
                    && last.span.range == place.span.range
                    && Arc::ptr_eq(&last.span.file, &place.span.file)
            });
            if repeats {
                continue;
            }
            labels.push(Label {
                span: place.span.clone(),
                text,
            });
        }
        if labels.len() > MAX_LABELS {
            let dropped = labels.len() - MAX_LABELS;
            labels.drain(MAX_LABELS / 2..MAX_LABELS / 2 + dropped);
            diagnostic
                .notes
                .push(format!("{dropped} more calls are left out"));
        }
        labels.append(&mut diagnostic.labels);
        diagnostic.labels = labels;
        if !through.is_empty() {
            through.truncate(MAX_LABELS);
            diagnostic
                .notes
                .push(format!("{RAISED_INSIDE}: {}", through.join(", ")));
        }
        Box::new(diagnostic)
    }
}

/// Says in our words what minijinja found wrong at a piece of text.
fn describe(error: &Error, text: &str, names: &dyn Fn() -> Vec<String>) -> Diagnostic {
    let detail = error.detail().unwrap_or_default();
    match error.kind() {
        ErrorKind::UndefinedError => {
            let owner = owner_of(text);
            if owner.is_empty() {
                render_error("the value is undefined".to_owned())
            } else {
                render_error(format!("`{owner}` is undefined"))
            }
        }
        ErrorKind::UnknownFunction => {
            let name = detail.strip_suffix(" is unknown").unwrap_or(detail);
            undefined_name(name, &names())
        }
        ErrorKind::UnknownMethod => {
            match (detail.starts_with("undefined has no"), owner_of(text)) {
                (true, owner) if !owner.is_empty() => {
                    render_error(format!("`{owner}` is undefined"))
                }
                _ => {
                    let method = detail.rsplit(' ').next().unwrap_or_default();
                    let owner = detail.split(" has no method").next().unwrap_or_default();
                    render_error(format!(
                        "a value of type `{}` has no method `{method}`",
                        python_kind(owner)
                    ))
                }
            }
        }
        ErrorKind::UnknownFilter | ErrorKind::UnknownTest => {
            let mut words = detail.split(' ');
            let kind = words.next().unwrap_or_default();
            let name = words.next().unwrap_or_default();
            render_error(format!("no {kind} named `{name}`"))
        }
        ErrorKind::MissingArgument | ErrorKind::TooManyArguments => {
            let text = if detail.is_empty() {
                match error.kind() {
                    ErrorKind::MissingArgument => "an argument is missing",
                    _ => "too many arguments",
                }
            } else {
                detail
            };
            Diagnostic::error(Code::WrongArguments, text)
        }
        _ if detail.is_empty() => render_error(error.kind().to_string()),
        _ => match detail
            .strip_prefix("value of type ")
            .and_then(|rest| rest.strip_suffix(" is not callable"))
        {
            Some("undefined") => undefined_name(callee_of(text), &names()),
            Some(kind) => render_error(format!("`{}` object is not callable", python_kind(kind))),
            None => render_error(detail.to_owned()),
        },
    }
}

fn render_error(message: String) -> Diagnostic {
    Diagnostic::error(Code::JinjaRender, message)
}

/// The diagnostic of a call of a name that nothing has.
pub(crate) fn undefined_name(name: &str, names: &[String]) -> Diagnostic {
    let mut diagnostic = Diagnostic::error(
        Code::UndefinedMacro,
        format!("no macro or function named `{name}`"),
    );
    if let Some(near) = nearest(name, names.iter().map(String::as_str)) {
        diagnostic = diagnostic.help(format!("one named `{near}` exists"));
    }
    diagnostic
}

/// Of `a.b.c`, `a.b['c']` or `a.b.c(1)`, the text before the last step: `a.b`.
fn owner_of(text: &str) -> &str {
    let path = callee_of(text);
    let end = match path.strip_suffix(']') {
        Some(_) => path.rfind('['),
        None => path.rfind('.'),
    };
    path[..end.unwrap_or(0)].trim()
}

/// Of `a.b(1)`, the text before the arguments.
fn callee_of(text: &str) -> &str {
    let text = text.trim();
    if !text.ends_with(')') {
        return text;
    }
    let mut depth = 0;
    for (at, byte) in text.bytes().enumerate().rev() {
        match byte {
            b')' => depth += 1,
            b'(' => {
                depth -= 1;
                if depth == 0 {
                    return text[..at].trim();
                }
            }
            _ => {}
        }
    }
    text
}

fn python_kind(kind: &str) -> &str {
    match kind {
        "none" => "NoneType",
        "string" => "str",
        "sequence" => "list",
        "map" => "dict",
        "iterator" => "generator",
        "plain object" => "object",
        other => other,
    }
}
