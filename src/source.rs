//! Files as they were read, and places inside them.
//!
//! A [`SourceFile`] is read once and shared; a [`Span`] keeps its file alive, so a diagnostic can
//! show the line long after the stage that found the fault has ended.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

/// One text file of a project, a package or the built-in macros.
pub struct SourceFile {
    /// The path as users see it: relative to the root of its package, with `/` between parts.
    pub path: String,
    /// Where the file lies on disk; empty for built-in macros and inline text.
    pub absolute: PathBuf,
    /// The whole text.
    pub text: String,
}

impl SourceFile {
    /// Makes a file that exists in memory only, such as the text of `--inline`.
    pub fn inline(path: impl Into<String>, text: impl Into<String>) -> Arc<SourceFile> {
        Arc::new(SourceFile {
            path: path.into(),
            absolute: PathBuf::new(),
            text: text.into(),
        })
    }

    /// Returns the line and column, both counted from 1, of a byte offset.
    ///
    /// Columns count characters. An offset past the end gives the end.
    pub fn line_column(&self, offset: usize) -> (usize, usize) {
        let mut end = offset.min(self.text.len());
        while !self.text.is_char_boundary(end) {
            end -= 1;
        }
        let before = &self.text[..end];
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = before.bytes().filter(|&byte| byte == b'\n').count() + 1;
        (line, before[start..].chars().count() + 1)
    }

    /// Returns the byte range of a line, counted from 1, without its line break.
    ///
    /// `None` where the file has no such line.
    pub fn line_range(&self, line: usize) -> Option<Range<usize>> {
        let mut start = 0;
        for (index, text) in self.text.split('\n').enumerate() {
            if index + 1 == line {
                return Some(start..start + text.trim_end_matches('\r').len());
            }
            start += text.len() + 1;
        }
        None
    }
}

impl fmt::Debug for SourceFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SourceFile({})", self.path)
    }
}

/// A byte range inside a file.
#[derive(Clone)]
pub struct Span {
    /// The file.
    pub file: Arc<SourceFile>,
    /// Bytes, half-open.
    pub range: Range<usize>,
}

impl Span {
    /// Makes a span of a file's bytes.
    pub fn new(file: &Arc<SourceFile>, range: Range<usize>) -> Span {
        Span {
            file: Arc::clone(file),
            range,
        }
    }

    /// Makes a span of a whole line, counted from 1; of the whole first line where there is none such.
    pub fn line(file: &Arc<SourceFile>, line: usize) -> Span {
        let range = file.line_range(line).or_else(|| file.line_range(1));
        Span::new(file, range.unwrap_or(0..0))
    }

    /// Returns the line and column, counted from 1, where the span starts.
    pub fn start(&self) -> (usize, usize) {
        self.file.line_column(self.range.start)
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column) = self.start();
        write!(f, "{}:{line}:{column}", self.file.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_from_one() {
        let file = SourceFile::inline("a.sql", "select 1\nfrom ä x\r\nend");
        assert_eq!(file.line_column(0), (1, 1));
        assert_eq!(file.line_column(9), (2, 1));
        assert_eq!(file.line_column(file.text.find('x').expect("x")), (2, 8));
        assert_eq!(file.line_column(999), (3, 4));
        assert_eq!(&file.text[file.line_range(2).expect("line 2")], "from ä x");
        assert_eq!(file.line_range(4), None);
    }
}
