//! From the events of the YAML parser to a tree.

use std::ops::Range;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};
use serde_saphyr::granit_parser::{
    self as events, ErrorKind, Event, Parser, ScalarStyle, ScanError, Tag,
};

use crate::diagnostic::{Code, Diagnostic};
use crate::source::{SourceFile, Span};

use super::{Yaml, YamlKey, YamlValue, scalar};

/// How many values the aliases of one file may stand for, so that no small file grows without end.
const MAX_ALIASED: usize = 1_000_000;

/// Parses one document; an empty file is [`YamlValue::Null`].
///
/// Of a key that is there twice the last value counts, as in PyYAML; nothing is said of it.
///
/// # Errors
/// Broken syntax, with its place.
pub fn parse(file: &Arc<SourceFile>) -> Result<Yaml, Box<Diagnostic>> {
    parse_with_warnings(file, &mut Vec::new())
}

/// As [`parse`], with a warning for each key that is there twice.
///
/// # Errors
/// As [`parse`].
pub fn parse_with_warnings(
    file: &Arc<SourceFile>,
    warnings: &mut Vec<Diagnostic>,
) -> Result<Yaml, Box<Diagnostic>> {
    let mut options = events::options! { block_scalar_eof_without_line_feed: true };
    options.set_emit_comments(false);
    let mut builder = Builder {
        file,
        open: Vec::new(),
        anchors: FxHashMap::default(),
        aliased: 0,
        documents: 0,
        root: None,
        warnings,
    };
    for event in Parser::new_from_str_with_options(&file.text, options) {
        match event {
            Ok((event, span)) => builder.event(event, &span)?,
            Err(error) => return Err(syntax(file, &error)),
        }
    }
    Ok(builder.root.unwrap_or(Yaml {
        value: YamlValue::Null,
        range: 0..0,
    }))
}

/// A collection that has not ended yet.
struct Open {
    range: Range<usize>,
    anchor: usize,
    kind: OpenKind,
}

enum OpenKind {
    Sequence(Vec<Yaml>),
    Mapping {
        entries: Vec<(YamlKey, Yaml)>,
        key: Option<Key>,
        merged: Vec<Yaml>,
    },
}

struct Key {
    key: YamlKey,
    merge: bool,
}

struct Builder<'a> {
    file: &'a Arc<SourceFile>,
    open: Vec<Open>,
    anchors: FxHashMap<usize, Yaml>,
    aliased: usize,
    documents: usize,
    root: Option<Yaml>,
    warnings: &'a mut Vec<Diagnostic>,
}

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, span: &events::Span) -> Result<(), Box<Diagnostic>> {
        let range = span.byte_range().unwrap_or(0..0);
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(self.error(
                        "more than one document in one file",
                        range,
                        "keep one document, without `---` between",
                    ));
                }
            }
            Event::Alias(anchor) => {
                let Some(target) = self.anchors.get(&anchor) else {
                    return Err(self.error(
                        "an alias to the value that it stands in",
                        range,
                        "write the value out",
                    ));
                };
                self.aliased += count(target);
                if self.aliased > MAX_ALIASED {
                    return Err(self.error(
                        "the aliases of this file stand for too many values",
                        range,
                        "write fewer aliases of aliases",
                    ));
                }
                let value = target.value.clone();
                self.add(Yaml { value, range }, false)?;
            }
            Event::Scalar(text, style, anchor, tag) => {
                let merge = style == ScalarStyle::Plain && tag.is_none() && text == "<<";
                // The parser writes nothing as `~` without a width.
                let empty = style == ScalarStyle::Plain && range.is_empty();
                let range = if empty {
                    self.place_of_nothing(range)
                } else {
                    self.trimmed(range, style)
                };
                let value = self.scalar(&text, style, tag.as_deref(), &range)?;
                let node = Yaml { value, range };
                if anchor != 0 {
                    self.anchors.insert(anchor, node.clone());
                }
                self.add(node, merge)?;
            }
            Event::SequenceStart(_, anchor, _) => self.open.push(Open {
                range,
                anchor,
                kind: OpenKind::Sequence(Vec::new()),
            }),
            Event::MappingStart(_, anchor, _) => self.open.push(Open {
                range,
                anchor,
                kind: OpenKind::Mapping {
                    entries: Vec::new(),
                    key: None,
                    merged: Vec::new(),
                },
            }),
            Event::SequenceEnd | Event::MappingEnd => self.close(range)?,
            _ => {}
        }
        Ok(())
    }

    fn scalar(
        &self,
        text: &str,
        style: ScalarStyle,
        tag: Option<&Tag>,
        range: &Range<usize>,
    ) -> Result<YamlValue, Box<Diagnostic>> {
        let as_text = || YamlValue::String(text.to_owned());
        let Some(tag) = tag else {
            return Ok(match style {
                ScalarStyle::Plain => scalar::resolve(text),
                _ => as_text(),
            });
        };
        let core = tag.handle() == "tag:yaml.org,2002:";
        let value = match tag.suffix() {
            "str" if core => Some(as_text()),
            "null" if core => Some(YamlValue::Null),
            "bool" if core => scalar::boolean(text).map(YamlValue::Bool),
            "int" | "float" if core => scalar::number(text),
            "timestamp" if core => Some(as_text()),
            _ if tag.handle() == "!" && tag.suffix().is_empty() => Some(as_text()),
            _ => None,
        };
        value.ok_or_else(|| {
            self.error(
                &format!(
                    "a tag that does not fit: `{}{}`",
                    tag.handle(),
                    tag.suffix()
                ),
                range.clone(),
                "leave the tag out, or use one of `!!str`, `!!int`, `!!float`, `!!bool`, `!!null`",
            )
        })
    }

    /// An empty value stands behind its key's colon, or where the parser saw it.
    fn place_of_nothing(&self, range: Range<usize>) -> Range<usize> {
        let key = self.open.last().and_then(|open| match &open.kind {
            OpenKind::Mapping { key, .. } => key.as_ref(),
            OpenKind::Sequence(_) => None,
        });
        match key {
            Some(key) => {
                let end = key.key.range.end;
                let colon = usize::from(self.file.text[end..].starts_with(':'));
                end + colon..end + colon
            }
            None => range.start..range.start,
        }
    }

    /// Block scalars and plain ones may come with the white space behind them.
    fn trimmed(&self, range: Range<usize>, style: ScalarStyle) -> Range<usize> {
        if matches!(style, ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted) {
            return range;
        }
        match self.file.text.get(range.clone()) {
            Some(text) => range.start..range.start + text.trim_end().len(),
            None => range,
        }
    }

    fn close(&mut self, end: Range<usize>) -> Result<(), Box<Diagnostic>> {
        let open = self.open.pop().expect("ends come after starts");
        let mut range = open.range;
        let value = match open.kind {
            OpenKind::Sequence(items) => {
                if let Some(last) = items.last() {
                    range.end = range.end.max(last.range.end);
                }
                YamlValue::Sequence(items)
            }
            OpenKind::Mapping {
                entries, merged, ..
            } => {
                let entries = self.last_of_each(entries);
                if let Some((key, value)) = entries.last() {
                    range.end = range.end.max(key.range.end).max(value.range.end);
                }
                YamlValue::Mapping(if merged.is_empty() {
                    entries
                } else {
                    self.merge(entries, &merged)?
                })
            }
        };
        // The end of a flow collection is its bracket; of a block one, whatever comes next.
        if matches!(self.file.text.get(end.clone()), Some("]" | "}")) {
            range.end = end.end;
        }
        let node = Yaml { value, range };
        if open.anchor != 0 {
            self.anchors.insert(open.anchor, node.clone());
        }
        self.add(node, false)
    }

    fn add(&mut self, node: Yaml, merge: bool) -> Result<(), Box<Diagnostic>> {
        match self.open.last_mut().map(|open| &mut open.kind) {
            None => self.root = Some(node),
            Some(OpenKind::Sequence(items)) => items.push(node),
            Some(OpenKind::Mapping {
                entries,
                key: pending,
                merged,
            }) => match pending.take() {
                None => match key_text(&node.value) {
                    Some(text) => {
                        let range = node.range;
                        let key = YamlKey { text, range };
                        *pending = Some(Key { key, merge });
                    }
                    None => return Err(self.complex_key(&node)),
                },
                Some(Key { merge: true, .. }) => merged.push(node),
                Some(Key { key, .. }) => entries.push((key, node)),
            },
        }
        Ok(())
    }

    /// What a `{{ name }}` without quotes is to YAML: a mapping whose key is a mapping.
    fn complex_key(&self, node: &Yaml) -> Box<Diagnostic> {
        let start = node.range.start.saturating_sub(1);
        let written = self.file.text.get(start..).unwrap_or("");
        if written.starts_with("{{") {
            let end = written
                .find("}}")
                .map_or(node.range.end, |at| start + at + 2);
            return self.error("Jinja without quotes around it", start..end, QUOTE_JINJA);
        }
        self.error(
            &format!("{} as a key", node.kind()),
            node.range.clone(),
            "use text as a key",
        )
    }

    /// Of a key that is there twice, the last value at the first place, as a Python dict keeps it.
    fn last_of_each(&mut self, entries: Vec<(YamlKey, Yaml)>) -> Vec<(YamlKey, Yaml)> {
        let twice = if entries.len() <= 12 {
            (1..entries.len()).any(|at| {
                let text = &entries[at].0.text;
                entries[..at].iter().any(|(key, _)| key.text == *text)
            })
        } else {
            let mut seen = FxHashSet::default();
            !entries
                .iter()
                .all(|(key, _)| seen.insert(key.text.as_str()))
        };
        if !twice {
            return entries;
        }
        let mut kept: Vec<(YamlKey, Yaml)> = Vec::new();
        for (key, value) in entries {
            let Some((first, old)) = kept.iter_mut().find(|(other, _)| other.text == key.text)
            else {
                kept.push((key, value));
                continue;
            };
            self.warnings.push(
                Diagnostic::warning(
                    Code::YamlSyntax,
                    format!(
                        "the key `{}` is there twice, and the last one counts",
                        key.text
                    ),
                )
                .label(key.span(self.file), "this one counts")
                .label(first.span(self.file), "this one is left out")
                .help("keep one of the two"),
            );
            *first = key;
            *old = value;
        }
        kept
    }

    /// `<<`: the merged entries come first, an own entry replaces one where it stands.
    fn merge(
        &self,
        own: Vec<(YamlKey, Yaml)>,
        merged: &[Yaml],
    ) -> Result<Vec<(YamlKey, Yaml)>, Box<Diagnostic>> {
        let mut result: Vec<(YamlKey, Yaml)> = Vec::new();
        for source in merged {
            let parts = match &source.value {
                YamlValue::Sequence(items) => items.as_slice(),
                _ => std::slice::from_ref(source),
            };
            for part in parts {
                if !part.is_mapping() {
                    return Err(self.error(
                        &format!("`<<` merges mappings, found {}", part.kind()),
                        part.range.clone(),
                        "name a mapping, or a list of mappings, by its anchor",
                    ));
                }
                for (key, value) in part.entries() {
                    if !result.iter().any(|(there, _)| there.text == key.text) {
                        result.push((key.clone(), value.clone()));
                    }
                }
            }
        }
        for (key, value) in own {
            match result.iter_mut().find(|(there, _)| there.text == key.text) {
                Some(entry) => *entry = (key, value),
                None => result.push((key, value)),
            }
        }
        Ok(result)
    }

    fn error(&self, words: &str, range: Range<usize>, help: &str) -> Box<Diagnostic> {
        Box::new(
            Diagnostic::error(Code::YamlSyntax, format!("broken YAML: {words}"))
                .at(Span::new(self.file, range))
                .help(help),
        )
    }
}

/// The text of a key; `None` for collections.
fn key_text(value: &YamlValue) -> Option<String> {
    Some(match value {
        YamlValue::String(text) => text.clone(),
        YamlValue::Null => "None".to_owned(),
        YamlValue::Bool(true) => "True".to_owned(),
        YamlValue::Bool(false) => "False".to_owned(),
        YamlValue::Int(value) => value.to_string(),
        YamlValue::Float(value) if value.is_nan() => "nan".to_owned(),
        // Rust writes 1.0 as `1.0` and infinity as `inf` here, as Python does.
        YamlValue::Float(value) => format!("{value:?}"),
        YamlValue::Sequence(_) | YamlValue::Mapping(_) => return None,
    })
}

fn count(node: &Yaml) -> usize {
    let items: usize = node.items().iter().map(count).sum();
    let entries: usize = node.entries().iter().map(|(_, value)| count(value)).sum();
    1 + items + entries
}

const QUOTE_JINJA: &str = "put quotes around a value that begins with `{{`";

fn syntax(file: &Arc<SourceFile>, error: &ScanError) -> Box<Diagnostic> {
    let at = error.marker().byte_offset().unwrap_or(0);
    let mut start = at.min(file.text.len());
    while !file.text.is_char_boundary(start) {
        start -= 1;
    }
    // An error at the end of the text is shown where the text ends, not behind it.
    if start == file.text.len() {
        start = file.text.trim_end().len();
    }
    let width = file.text[start..]
        .chars()
        .next()
        .filter(|&next| next != '\n' && next != '\r')
        .map_or(0, char::len_utf8);
    let words = error
        .info()
        .replace("EOF", "end of file")
        .replace("wasn't", "was not")
        .replace('\'', "`");
    let words = match words.split_once(", ") {
        Some((context, rest)) if context.starts_with("while ") => rest.to_owned(),
        _ => words,
    };
    let mut letters = words.chars();
    let words = match letters.next() {
        Some(first) if first.is_ascii_uppercase() && !words.starts_with("YAML") => {
            first.to_ascii_lowercase().to_string() + letters.as_str()
        }
        _ => words,
    };
    let words = words.trim_end_matches('.');
    Box::new(
        Diagnostic::error(Code::YamlSyntax, format!("broken YAML: {words}"))
            .at(Span::new(file, start..start + width))
            .help(help(file, start, error.kind())),
    )
}

fn help(file: &SourceFile, at: usize, kind: &ErrorKind) -> &'static str {
    let line_start = file.text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let line = file.text[line_start..].lines().next().unwrap_or("");
    let value = line.split_once(": ").map_or(line, |(_, value)| value);
    if value.trim_start_matches([' ', '-']).starts_with("{{") {
        return QUOTE_JINJA;
    }
    if value.starts_with(['"', '\'']) && kind == &ErrorKind::InvalidTrailingDoubleQuotedScalar {
        return "put single quotes around a value that holds double ones";
    }
    match kind {
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabAtBlockScalarStart
        | ErrorKind::TabInPlainScalar => "indent with spaces, not with tabs",
        ErrorKind::UnexpectedCharacter { character: '\t' } => "indent with spaces, not with tabs",
        ErrorKind::MappingValueNotAllowed => "put quotes around a value that holds `: `",
        ErrorKind::InvalidColonPlacement => {
            "close the bracket that was opened before, or put quotes around a value that holds `: `"
        }
        ErrorKind::UnexpectedCharacter { .. } => {
            "put quotes around a value that begins with a sign such as `@`, `%` or a backtick"
        }
        ErrorKind::UnclosedQuotedScalar
        | ErrorKind::InvalidTrailingDoubleQuotedScalar
        | ErrorKind::InvalidTrailingSingleQuotedScalar => {
            "close the quotes, and double a single quote inside single quotes"
        }
        ErrorKind::UnclosedFlowCollection { .. }
        | ErrorKind::ExpectedFlowMappingSeparator
        | ErrorKind::ExpectedFlowSequenceSeparator
        | ErrorKind::UnexpectedEofFlowSequence
        | ErrorKind::UnexpectedEofFlowMapping
        | ErrorKind::MisplacedFlowCollectionEnd
        | ErrorKind::MismatchedFlowCollectionEnd { .. } => {
            "close each bracket that was opened, and put commas between entries"
        }
        ErrorKind::UnknownAnchor => "define the anchor with `&name` before `*name` uses it",
        _ => "check the indentation of this line and of those before it",
    }
}

#[cfg(test)]
mod tests;
