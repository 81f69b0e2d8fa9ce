//! The records of a CSV file with the places of their values: what it takes to point at a fault.
//!
//! Rows are loaded by a database's reader, which is fast. This is for the header, and for the lines
//! that the reader refused.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::ops::Range;
use std::path::Path;

use flate2::read::MultiGzDecoder;

use super::spec::CsvOptions;

/// One record, as it stands in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// Its bytes without the line break at its end.
    pub bytes: Vec<u8>,
    /// The line that it begins on, counted from 1.
    pub line: usize,
    /// Its values.
    pub values: Vec<Piece>,
    /// Where its quotes are wrong, and how.
    pub broken: Option<(usize, Broken)>,
}

/// A value's place in its record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// With its quotes.
    pub range: Range<usize>,
    /// Whether it stands in quotes.
    pub quoted: bool,
    /// What it says.
    pub bytes: Vec<u8>,
}

/// What can be wrong with quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// A quote that is never closed.
    Open,
    /// Text after the closing quote.
    After,
    /// A line that does not end as the first one does.
    LineEnd,
}

/// The records of a file.
pub(super) struct Records<'o> {
    input: Box<dyn BufRead>,
    options: &'o CsvOptions,
    line: usize,
    /// How lines end: whether with a carriage return before the line feed.
    returns: Option<bool>,
}

/// Opens a file, unpacked where it is packed.
pub(super) fn reader(path: &Path, gzip: bool) -> io::Result<Box<dyn BufRead>> {
    let file = BufReader::with_capacity(64 * 1024, File::open(path)?);
    Ok(if gzip {
        Box::new(BufReader::new(MultiGzDecoder::new(file)))
    } else {
        Box::new(file)
    })
}

/// Reads a packed file to its end, which shows whether it is whole.
pub(super) fn check_gzip(path: &Path) -> io::Result<()> {
    let mut unpacked = MultiGzDecoder::new(BufReader::with_capacity(64 * 1024, File::open(path)?));
    io::copy(&mut unpacked, &mut io::sink()).map(|_| ())
}

/// Begins with the records of a file.
pub(super) fn records<'o>(
    path: &Path,
    gzip: bool,
    options: &'o CsvOptions,
) -> io::Result<Records<'o>> {
    let mut input = reader(path, gzip)?;
    let mark = b"\xef\xbb\xbf";
    if input.fill_buf()?.starts_with(mark) {
        input.read_exact(&mut [0; 3])?;
    }
    Ok(Records {
        input,
        options,
        line: 1,
        returns: None,
    })
}

impl Records<'_> {
    /// The next record; blank lines are passed over.
    pub(super) fn next(&mut self) -> io::Result<Option<Record>> {
        loop {
            let line = self.line;
            let mut bytes = Vec::new();
            let mut state = State::default();
            loop {
                let start = bytes.len();
                if self.input.read_until(b'\n', &mut bytes)? == 0 {
                    break;
                }
                self.line += 1;
                state.feed(&bytes[start..], self.options);
                if !state.open {
                    break;
                }
            }
            if bytes.is_empty() {
                return Ok(None);
            }
            let mut other_end = false;
            if !state.open && bytes.ends_with(b"\n") {
                bytes.pop();
                let returns = bytes.ends_with(b"\r");
                if returns {
                    bytes.pop();
                }
                other_end = *self.returns.get_or_insert(returns) != returns;
            }
            if bytes.is_empty() {
                continue;
            }
            let (values, mut broken) = split(&bytes, self.options);
            if other_end {
                broken.get_or_insert((bytes.len(), Broken::LineEnd));
            }
            return Ok(Some(Record {
                bytes,
                line,
                values,
                broken,
            }));
        }
    }
}

/// Whether a quote is open at the end of some bytes.
#[derive(Default)]
struct State {
    open: bool,
    /// Whether something but a quote stands in the value so far.
    within: bool,
    escaped: bool,
}

impl State {
    fn feed(&mut self, bytes: &[u8], options: &CsvOptions) {
        let doubled = options.escape == options.quote;
        for &byte in bytes {
            if self.escaped {
                self.escaped = false;
            } else if self.open && !doubled && byte == options.escape {
                self.escaped = true;
            } else if byte == options.quote {
                if self.open {
                    // A doubled quote opens it again at once.
                    self.open = false;
                } else if !self.within {
                    self.open = true;
                }
            } else if !self.open {
                self.within = byte != options.delimiter && byte != b'\n';
            }
        }
    }
}

/// Splits a record into its values.
fn split(bytes: &[u8], options: &CsvOptions) -> (Vec<Piece>, Option<(usize, Broken)>) {
    let doubled = options.escape == options.quote;
    let mut values = Vec::new();
    let mut broken = None;
    let mut at = 0;
    loop {
        let start = at;
        let quoted = bytes.get(at) == Some(&options.quote);
        let mut said = Vec::new();
        if quoted {
            at += 1;
            loop {
                match bytes.get(at) {
                    None => {
                        broken.get_or_insert((start, Broken::Open));
                        break;
                    }
                    Some(byte) if !doubled && *byte == options.escape && at + 1 < bytes.len() => {
                        said.push(bytes[at + 1]);
                        at += 2;
                    }
                    Some(byte) if *byte == options.quote => {
                        if doubled && bytes.get(at + 1) == Some(&options.quote) {
                            said.push(*byte);
                            at += 2;
                        } else {
                            at += 1;
                            break;
                        }
                    }
                    Some(byte) => {
                        said.push(*byte);
                        at += 1;
                    }
                }
            }
            if bytes.get(at).is_some_and(|byte| *byte != options.delimiter) {
                broken.get_or_insert((at, Broken::After));
            }
        }
        while let Some(byte) = bytes.get(at).filter(|byte| **byte != options.delimiter) {
            said.push(*byte);
            at += 1;
        }
        values.push(Piece {
            range: start..at,
            quoted,
            bytes: said,
        });
        if at >= bytes.len() {
            return (values, broken);
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::landing::spec::{Compression, Header};

    fn options() -> CsvOptions {
        CsvOptions {
            delimiter: b',',
            header: Header::Named,
            quote: b'"',
            escape: b'"',
            null: String::new(),
            compression: Compression::Auto,
        }
    }

    type Read = (usize, Vec<String>, Option<(usize, Broken)>);

    fn read(text: &str, options: &CsvOptions) -> Vec<Read> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), text).expect("written");
        let mut records = records(file.path(), false, options).expect("opened");
        let mut found = Vec::new();
        while let Some(record) = records.next().expect("read") {
            let text = |piece: &Piece| String::from_utf8_lossy(&piece.bytes).into_owned();
            let values = record.values.iter().map(text).collect();
            found.push((record.line, values, record.broken));
        }
        found
    }

    #[test]
    fn records_know_their_lines() {
        let text = "\u{feff}a,b\n\"x\ny\",\"q\"\"q\"\n\n1,\n,\"\"\n\"z\"w,1\nr,1\r\nlast,\"open\n";
        let of = |values: [&str; 2]| values.map(str::to_owned).to_vec();
        let expected = vec![
            (1, of(["a", "b"]), None),
            (2, of(["x\ny", "q\"q"]), None),
            (5, of(["1", ""]), None),
            (6, of(["", ""]), None),
            (7, of(["zw", "1"]), Some((3, Broken::After))),
            (8, of(["r", "1"]), Some((3, Broken::LineEnd))),
            (9, of(["last", "open\n"]), Some((5, Broken::Open))),
        ];
        assert_eq!(read(text, &options()), expected);
    }

    #[test]
    fn an_escape_may_be_another_character() {
        let options = CsvOptions {
            escape: b'\\',
            quote: b'\'',
            delimiter: b'|',
            ..options()
        };
        let found = read("'a\\'|b'|c\n1|2\n", &options);
        assert_eq!(found[0].1, ["a'|b", "c"]);
        assert_eq!(found[1], (2, vec!["1".to_owned(), "2".to_owned()], None));
    }
}
