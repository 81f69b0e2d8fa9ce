//! What is wrong, where, and how to mend it.
//!
//! A user's mistake is a [`Diagnostic`], never a bare string. Stages collect as many as they can
//! find. Rendering is done by annotate-snippets, which only this module knows.

use std::fmt;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::source::{SourceFile, Span};

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)*) => {
        /// The kinds of mistakes, each with a stable name that is printed with it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code { $($(#[$doc])* $variant,)* }

        impl Code {
            /// Every code, in the order of this file.
            pub const ALL: &'static [Code] = &[$(Code::$variant,)*];

            /// The name that is printed: lower case with hyphens.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$variant => $text,)* }
            }
        }
    };
}

codes! {
    /// A file cannot be read or written.
    Io = "io",
    /// No `dbt_project.yml` where one was expected.
    NoProject = "no-project",
    /// YAML that does not parse, or a key that is there twice (a warning).
    YamlSyntax = "yaml-syntax",
    /// YAML of the wrong shape: a missing key, a value of the wrong type, a value out of range.
    YamlShape = "yaml-shape",
    /// A key that nothing reads.
    UnknownKey = "unknown-key",
    /// The project names a profile that `profiles.yml` does not have, or has no such target.
    MissingProfile = "missing-profile",
    /// A profile whose fields are wrong or incomplete.
    BadProfile = "bad-profile",
    /// `env_var` without a default, of a variable that is not set.
    MissingEnvVar = "missing-env-var",
    /// `var` without a default, of a variable that is not defined.
    MissingVar = "missing-var",
    /// A template that does not parse.
    JinjaSyntax = "jinja-syntax",
    /// A template that failed while it was rendered.
    JinjaRender = "jinja-render",
    /// A call of a macro that does not exist.
    UndefinedMacro = "undefined-macro",
    /// A call with arguments that the macro or function does not take.
    WrongArguments = "wrong-arguments",
    /// `exceptions.raise_compiler_error` was called.
    CompilerError = "compiler-error",
    /// Two nodes of one name, or two that build one relation.
    DuplicateName = "duplicate-name",
    /// A `ref` to a node that does not exist or is disabled.
    UnknownRef = "unknown-ref",
    /// A `source` that is not declared.
    UnknownSource = "unknown-source",
    /// A description that shows a block of docs which does not exist.
    UnknownDoc = "unknown-doc",
    /// Nodes that depend on each other.
    Cycle = "cycle",
    /// A file of SQL in which nothing stands.
    EmptyFile = "empty-file",
    /// A property file that describes a node which does not exist.
    UnknownPatch = "unknown-patch",
    /// A config whose value is not understood.
    BadConfig = "bad-config",
    /// A microbatch model none of whose inputs has an `event_time`.
    NoEventTime = "no-event-time",
    /// Batches that should run side by side, on a database that takes them one after another.
    SequentialBatches = "sequential-batches",
    /// A project's own microbatch strategy, which runs without batches.
    UnbatchedStrategy = "unbatched-strategy",
    /// A config path of `dbt_project.yml` that no node has.
    UnusedConfig = "unused-config",
    /// Something of dbt that daygrain does not do yet.
    Unsupported = "unsupported",
    /// A selector that does not parse.
    BadSelector = "bad-selector",
    /// A selection that matches nothing.
    EmptySelection = "empty-selection",
    /// Command line arguments that do not fit together.
    Usage = "usage",
    /// The database cannot be reached.
    Connection = "connection",
    /// Somebody else holds the embedded database's file, or a lock that was waited for in vain.
    DatabaseLocked = "database-locked",
    /// The database refused a statement.
    Database = "database",
    /// The database ended a transaction in favour of another one; it may be tried again.
    DatabaseConflict = "database-conflict",
    /// A CSV file that does not parse, or whose rows differ in length.
    BadCsv = "bad-csv",
    /// Rows that came after all that they belong to was exported and removed.
    TooLate = "too-late",
    /// A file of a source that is broken, or does not match the source's columns.
    BadFile = "bad-file",
    /// A package that is declared and not installed.
    MissingPackage = "missing-package",
    /// A project that wants another version of dbt.
    RequiredVersion = "required-version",
    /// A deprecated spelling that still works.
    Deprecated = "deprecated",
    /// A fault of daygrain itself.
    Internal = "internal",
    /// The user stopped the run.
    Cancelled = "cancelled",
}

impl Code {
    /// dbt's words for mistakes of this kind, which other tools look for, such as `Compilation Error`.
    pub fn kind(self) -> &'static str {
        match self {
            Code::YamlSyntax
            | Code::YamlShape
            | Code::UnknownKey
            | Code::BadConfig
            | Code::MissingEnvVar => "Parsing Error",
            Code::MissingVar
            | Code::JinjaSyntax
            | Code::JinjaRender
            | Code::UndefinedMacro
            | Code::WrongArguments
            | Code::CompilerError
            | Code::DuplicateName
            | Code::UnknownRef
            | Code::UnknownSource
            | Code::UnknownPatch
            | Code::Unsupported => "Compilation Error",
            Code::Connection | Code::Database | Code::DatabaseConflict => "Database Error",
            Code::Usage => "Usage Error",
            _ => "Runtime Error",
        }
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// The run goes on.
    Warning,
    /// The node, or the whole command, fails.
    Error,
}

/// A place, with words that belong to it.
#[derive(Clone, Debug)]
pub struct Label {
    /// Where.
    pub span: Span,
    /// What is there; may be empty for the place of the fault itself.
    pub text: String,
}

/// The statement that a database refused.
#[derive(Clone, Debug)]
pub struct FailedSql {
    /// The whole statement, as it was sent.
    pub sql: String,
    /// The byte offset in it that the server pointed at.
    pub offset: Option<usize>,
}

/// One mistake: what, where, then how to mend it.
///
/// Messages are lower case without a final period, names in backticks.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// The kind.
    pub code: Code,
    /// Error or warning.
    pub severity: Severity,
    /// What is wrong, in one line where possible.
    pub message: String,
    /// Where: the first is the fault's own place, the others lead to it (a chain of macros, the first definition).
    pub labels: Vec<Label>,
    /// Facts beside it: the server's detail, the path of a cycle.
    pub notes: Vec<String>,
    /// How to mend it, in one line.
    pub help: Option<String>,
    /// The statement, where a database refused one.
    pub sql: Option<Arc<FailedSql>>,
}

impl Diagnostic {
    /// Makes an error without a place.
    pub fn error(code: Code, message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            code,
            severity: Severity::Error,
            message: message.into(),
            labels: Vec::new(),
            notes: Vec::new(),
            help: None,
            sql: None,
        }
    }

    /// Makes a warning without a place.
    pub fn warning(code: Code, message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            severity: Severity::Warning,
            ..Diagnostic::error(code, message)
        }
    }

    /// Adds the place of the fault.
    pub fn at(self, span: Span) -> Diagnostic {
        self.label(span, "")
    }

    /// Adds a place with words.
    pub fn label(mut self, span: Span, text: impl Into<String>) -> Diagnostic {
        self.labels.push(Label {
            span,
            text: text.into(),
        });
        self
    }

    /// Adds a fact.
    pub fn note(mut self, note: impl Into<String>) -> Diagnostic {
        self.notes.push(note.into());
        self
    }

    /// Says how to mend it.
    pub fn help(mut self, help: impl Into<String>) -> Diagnostic {
        self.help = Some(help.into());
        self
    }

    /// Tells whether this is an error.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// Renders it with its snippets, in the way of rustc.
    ///
    /// `styled` adds terminal colours. The text ends without a line break.
    pub fn render(&self, styled: bool) -> String {
        let renderer = if styled {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut group =
            Group::with_title(level.primary_title(&self.message).id(self.code.as_str()));
        for (index, label) in self.labels.iter().enumerate() {
            group = group.element(snippet(label, index == 0));
        }
        for note in &self.notes {
            group = group.element(Level::NOTE.message(note));
        }
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help));
        }
        renderer.render(&[group])
    }
}

/// A text with so many lines above a place is drawn from the place on.
const MANY_LINES: usize = 10_000;

fn snippet(label: &Label, primary: bool) -> Snippet<'_, annotate_snippets::Annotation<'_>> {
    let file: &SourceFile = &label.span.file;
    let length = file.text.len();
    let start = label.span.range.start.min(length);
    let end = label.span.range.end.clamp(start, length);
    let kind = if primary {
        AnnotationKind::Primary
    } else {
        AnnotationKind::Context
    };
    // What draws it takes memory for each line of the text, and rows of files may stand at any line.
    let above = file.text.as_bytes()[..start]
        .iter()
        .filter(|byte| **byte == b'\n')
        .count();
    let (cut, first) = match above {
        0..MANY_LINES => (0, 1),
        lines => {
            let line = file.text[..start].rfind('\n');
            (line.map_or(0, |at| at + 1), lines + 1)
        }
    };
    let mut annotation = kind.span(start - cut..end - cut);
    if !label.text.is_empty() {
        annotation = annotation.label(label.text.as_str());
    }
    Snippet::source(&file.text[cut..])
        .line_start(first)
        .path(&file.path)
        .fold(true)
        .annotation(annotation)
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Diagnostic {}

/// Returns the candidate nearest to a misspelt name, if one is near enough to be meant.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| {
            let distance = strsim::damerau_levenshtein(&lower, &candidate.to_lowercase());
            (distance, candidate)
        })
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len().min(name.len()) / 4)
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_far_down_is_drawn_as_any_other() {
        let drawn = |above: usize| {
            let text = format!("{}id,name\n1,é,x\n", "\n".repeat(above));
            let file = SourceFile::inline("a.csv", text);
            let at = above + "id,name\n1,".len();
            let error = Diagnostic::error(Code::BadCsv, "wrong").at(Span::new(&file, at..at + 2));
            error.render(false)
        };
        let far = drawn(MANY_LINES);
        assert!(far.contains("a.csv:10002:3"), "{far}");
        let plain = |text: &str, line: &str| text.replace(line, "N").replace(' ', "");
        assert_eq!(plain(&far, "10002"), plain(&drawn(MANY_LINES - 3), "9999"));
    }

    #[test]
    fn a_diagnostic_shows_its_line_and_its_help() {
        let file = SourceFile::inline("models/a.sql", "select *\nfrom {{ ref('ordes') }}\n");
        let text = Diagnostic::error(Code::UnknownRef, "no model named `ordes`")
            .at(Span::new(&file, 17..24))
            .help("a model named `orders` exists")
            .render(false);
        insta::assert_snapshot!(text);
    }

    #[test]
    fn a_near_name_is_found_and_a_far_one_is_not() {
        assert_eq!(nearest("ordes", ["customers", "orders"]), Some("orders"));
        assert_eq!(nearest("zebra", ["customers", "orders"]), None);
    }
}
