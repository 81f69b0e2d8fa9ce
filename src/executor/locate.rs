//! From a place in the SQL that was sent back to the line of the template that wrote it.
//!
//! Rendering keeps most lines as they are, so equal lines are paired in order; a line between two
//! pairs came from the template's lines between them. Which built-in macro sent the statement is
//! nothing that users can mend, so it is not shown of a database's failure.

use std::ops::RangeInclusive;
use std::sync::Arc;

use crate::diagnostic::{Code, Diagnostic, FailedSql, Label};
use crate::jinja::builtin;
use crate::jinja::language::RAISED_INSIDE;
use crate::manifest::Node;
use crate::source::{SourceFile, Span};

/// How much of a statement is shown that is not the node's own SQL, in bytes.
const MOST_SHOWN: usize = 400;

/// Says of a failure of the database where in the node's own files it came from.
///
/// Other failures stay as they are, since there the chain of macros is what tells, unless a built-in
/// macro refused the node: then it is the node that has to be mended.
pub fn place(diagnostic: &mut Diagnostic, node: &Node, compiled: Option<&str>) {
    let of_the_database = matches!(
        diagnostic.code,
        Code::Database
            | Code::DatabaseConflict
            | Code::DatabaseLocked
            | Code::Connection
            | Code::Cancelled
    );
    if !of_the_database {
        if refused_by_us(diagnostic) {
            diagnostic.labels = whole(node, true).into_iter().collect();
            diagnostic
                .notes
                .retain(|note| !note.starts_with(RAISED_INSIDE));
        }
        return;
    }
    diagnostic
        .labels
        .retain(|label| !builtin::is_builtin(&label.span.file));
    diagnostic
        .notes
        .retain(|note| !note.starts_with(RAISED_INSIDE));
    let Some(sql) = diagnostic.sql.clone() else {
        return;
    };
    if diagnostic.code == Code::Cancelled {
        return;
    }
    let compiled = compiled.unwrap_or_default().trim();
    let start = sql.sql.find(compiled).filter(|_| !compiled.is_empty());
    if let Some(span) = start.and_then(|start| pointed_at(&sql, start, compiled, &node.file)) {
        let text = "the database points here".to_owned();
        diagnostic.labels.insert(0, Label { span, text });
        return;
    }
    if start.is_none() {
        diagnostic
            .notes
            .push(format!("the statement was: {}", shortened(&sql.sql)));
    }
    if diagnostic.labels.is_empty()
        && let Some(label) = whole(node, start.is_some())
    {
        diagnostic.labels.push(label);
    }
}

/// Tells whether a built-in macro raised the failure without one of the user's files in between.
fn refused_by_us(diagnostic: &Diagnostic) -> bool {
    let raised = matches!(diagnostic.code, Code::CompilerError | Code::Unsupported);
    let mut labels = diagnostic.labels.iter();
    raised && labels.all(|label| builtin::is_builtin(&label.span.file))
}

/// The place in the template of what the database points at.
fn pointed_at(
    sql: &FailedSql,
    start: usize,
    compiled: &str,
    template: &Arc<SourceFile>,
) -> Option<Span> {
    let inside = sql.offset?.checked_sub(start)?;
    if inside > compiled.len() {
        return None;
    }
    let lines = template_lines(compiled, inside, &template.text)?;
    if lines.start() == lines.end() {
        return Some(narrow(template, *lines.start(), compiled, inside));
    }
    let first = Span::line(template, *lines.start());
    let last = Span::line(template, *lines.end());
    Some(Span::new(template, first.range.start..last.range.end))
}

/// The node as a whole: of a test its declaration, else the first line of its file that says something.
fn whole(node: &Node, own: bool) -> Option<Label> {
    if let Some(span) = node.test.as_ref().and(node.patch_span.clone()) {
        let text = "this test".to_owned();
        return Some(Label { span, text });
    }
    let lines = node.file.text.lines();
    let (index, _) = lines
        .enumerate()
        .find(|(_, line)| !line.trim().is_empty())?;
    let text = match own {
        true => "the SQL of this file",
        false => "while this file's node was built",
    };
    Some(Label {
        span: Span::line(&node.file, index + 1),
        text: text.to_owned(),
    })
}

fn shortened(sql: &str) -> String {
    let sql = sql.trim();
    let mut end = sql.len().min(MOST_SHOWN);
    while !sql.is_char_boundary(end) {
        end -= 1;
    }
    match end == sql.len() {
        true => sql.to_owned(),
        false => format!("{} ...", &sql[..end]),
    }
}

/// Finds the lines of the template, counted from 1, that wrote the compiled line around an offset.
fn template_lines(compiled: &str, offset: usize, template: &str) -> Option<RangeInclusive<usize>> {
    let written: Vec<&str> = compiled.lines().map(str::trim).collect();
    let source: Vec<&str> = template.lines().map(str::trim).collect();
    let line = compiled.get(..offset)?.matches('\n').count();
    let pairs = pair_lines(&written, &source);
    if let Some(&(_, at)) = pairs.iter().find(|(from, _)| *from == line) {
        return Some(at + 1..=at + 1);
    }
    let before = pairs.iter().rev().find(|(from, _)| *from < line);
    let after = pairs.iter().find(|(from, _)| *from > line);
    let (from, first) = before.map_or((0, 0), |(from, at)| (from + 1, at + 1));
    let (to, last) = after.map_or((written.len(), source.len()), |(to, at)| (*to, *at));
    if first >= last {
        return None;
    }
    // As many lines as were written: each came from the line at its own distance.
    if to - from == last - first {
        let at = first + (line - from) + 1;
        return Some(at..=at);
    }
    // Only lines with an expression can have written more or other lines.
    let dynamic: Vec<usize> = (first..last)
        .filter(|&at| source[at].contains("{{") || source[at].contains("{%"))
        .collect();
    let (start, end) = (dynamic.first()?, dynamic.last()?);
    Some(start + 1..=end + 1)
}

/// Pairs equal lines in order: the longest common subsequence of the lines that are not blank.
fn pair_lines(written: &[&str], source: &[&str]) -> Vec<(usize, usize)> {
    const MOST_CELLS: usize = 4_000_000;
    if written.len() * source.len() > MOST_CELLS {
        return Vec::new();
    }
    let width = source.len() + 1;
    let mut lengths = vec![0u32; (written.len() + 1) * width];
    for (i, line) in written.iter().enumerate().rev() {
        for (j, other) in source.iter().enumerate().rev() {
            lengths[i * width + j] = if !line.is_empty() && line == other {
                lengths[(i + 1) * width + j + 1] + 1
            } else {
                lengths[(i + 1) * width + j].max(lengths[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j, mut pairs) = (0, 0, Vec::new());
    while i < written.len() && j < source.len() {
        if !written[i].is_empty() && written[i] == source[j] {
            pairs.push((i, j));
            i += 1;
            j += 1;
        } else if lengths[(i + 1) * width + j] >= lengths[i * width + j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
    pairs
}

/// Points at the word itself where the template's line holds the same word once.
fn narrow(template: &Arc<SourceFile>, line: usize, compiled: &str, offset: usize) -> Span {
    let whole = Span::line(template, line);
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let rest = compiled.get(offset..).unwrap_or_default();
    let word: String = rest.chars().take_while(|c| is_word(*c)).collect();
    let text = &template.text[whole.range.clone()];
    let mut matches = text.match_indices(word.as_str());
    match (matches.next(), matches.next()) {
        (Some((at, _)), None) if !word.is_empty() => {
            let start = whole.range.start + at;
            Span::new(template, start..start + word.len())
        }
        _ => whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(template: &str, compiled: &str, needle: &str) -> Option<RangeInclusive<usize>> {
        template_lines(compiled, compiled.find(needle).expect("needle"), template)
    }

    #[test]
    fn an_equal_line_is_found() {
        let template =
            "{{ config(materialized='table') }}\nselect a,\n  wrong\nfrom {{ ref('x') }}";
        let compiled = "select a,\n  wrong\nfrom \"x\"";
        assert_eq!(lines(template, compiled, "wrong"), Some(3..=3));
    }

    #[test]
    fn a_rendered_line_is_found_by_its_distance() {
        let template = "select a\nfrom {{ ref('x') }}\nwhere b";
        let compiled = "select a\nfrom \"x\"\nwhere b";
        assert_eq!(lines(template, compiled, "\"x\""), Some(2..=2));
    }

    #[test]
    fn lines_of_a_loop_point_at_the_loop() {
        let template = "select\n{% for c in cs %}\n{{ c }},\n{% endfor %}\n1 as one";
        let compiled = "select\n\na,\n\nb,\n\n1 as one";
        assert_eq!(lines(template, compiled, "b,"), Some(2..=4));
    }
}
