//! Splits a template into tokens, as Jinja2's lexer does; every token knows its bytes.
//!
//! Whitespace control, comments, `raw` and `docs` blocks end here; the parser never sees them.

use std::borrow::Cow;
use std::ops::Range;

/// What is wrong with the syntax, and where.
#[derive(Debug)]
pub(crate) struct SyntaxError {
    pub message: String,
    pub range: Range<usize>,
    /// The place of the tag or bracket that the fault belongs to.
    pub opened: Option<(Range<usize>, String)>,
}

impl SyntaxError {
    pub fn new(message: impl Into<String>, range: Range<usize>) -> SyntaxError {
        SyntaxError {
            message: message.into(),
            range,
            opened: None,
        }
    }
}

/// The kinds of tokens.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token<'a> {
    /// Text outside of tags.
    Data(Cow<'a, str>),
    /// `{{`
    PrintStart,
    /// `}}`
    PrintEnd,
    /// `{%`
    BlockStart,
    /// `%}`
    BlockEnd,
    Name(&'a str),
    Text(String),
    Int(i128),
    Float(f64),
    /// An operator or a bracket, as written.
    Op(&'static str),
}

/// A token and its bytes.
pub(crate) type Spanned<'a> = (Token<'a>, Range<usize>);

/// Operators, the longer before their beginnings.
const OPERATORS: [&str; 31] = [
    "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}",
    ">", "<", "=", ".", ":", "|", ",", ";", "&", "^", "@", "!", "?",
];

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    end: usize,
    tokens: Vec<Spanned<'a>>,
}

/// Splits the bytes `range` of a text into tokens.
pub(crate) fn tokenize(text: &str, range: Range<usize>) -> Result<Vec<Spanned<'_>>, SyntaxError> {
    let mut lexer = Lexer {
        text,
        at: range.start,
        end: range.end,
        // A file of macros has a token for every five bytes or so.
        tokens: Vec::with_capacity((range.len() / 5).min(4096)),
    };
    lexer.template()?;
    Ok(lexer.tokens)
}

/// What stands after the name of a tag without arguments: the end of the tag, and whether it strips.
struct Tag {
    /// Where `{%` starts.
    start: usize,
    /// Behind `%}`.
    end: usize,
    strips_before: bool,
    strips_after: bool,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..self.end]
    }

    fn push(&mut self, token: Token<'a>, range: Range<usize>) {
        self.tokens.push((token, range));
    }

    fn data(&mut self, range: Range<usize>, strip_end: bool) {
        let mut data = &self.text[range.clone()];
        if strip_end {
            data = data.trim_end();
        }
        if data.is_empty() {
            return;
        }
        let end = range.start + data.len();
        let data = match data.contains('\r') {
            true => Cow::Owned(data.replace("\r\n", "\n").replace('\r', "\n")),
            false => Cow::Borrowed(data),
        };
        self.push(Token::Data(data), range.start..end);
    }

    fn skip_space(&mut self) {
        let rest = self.rest();
        self.at = self.end - rest.trim_start().len();
    }

    fn template(&mut self) -> Result<(), SyntaxError> {
        while self.at < self.end {
            let rest = self.rest();
            let Some(offset) = find_tag(rest) else {
                self.data(self.at..self.end, false);
                return Ok(());
            };
            let start = self.at + offset;
            let strip = rest[offset + 2..].starts_with('-');
            self.data(self.at..start, strip);
            self.at = start;
            match rest.as_bytes()[offset + 1] {
                b'#' => self.comment(start)?,
                b'{' => {
                    let open = self.opening(start);
                    self.push(Token::PrintStart, open.clone());
                    self.expression(open, "}}", Token::PrintEnd)?;
                }
                _ => self.block(start)?,
            }
        }
        Ok(())
    }

    /// Steps over `{{`, `{%` and the sign behind it.
    fn opening(&mut self, start: usize) -> Range<usize> {
        self.at = start + 2;
        if self.rest().starts_with(['-', '+']) {
            self.at += 1;
        }
        start..self.at
    }

    fn comment(&mut self, start: usize) -> Result<(), SyntaxError> {
        let body = &self.text[start + 2..self.end];
        let Some(length) = body.find("#}") else {
            return Err(SyntaxError::new(
                "this comment is not closed",
                start..start + 2,
            ));
        };
        self.at = start + 2 + length + 2;
        if body[..length].ends_with('-') {
            self.skip_space();
        }
        Ok(())
    }

    fn block(&mut self, start: usize) -> Result<(), SyntaxError> {
        if let Some(tag) = self.simple_tag(start, "raw") {
            return self.raw(&tag);
        }
        if let Some(docs) = find_docs(self.text, start, self.end) {
            self.at = docs.end;
            if docs.strips_after {
                self.skip_space();
            }
            return match docs.closed {
                true => Ok(()),
                false => Err(SyntaxError::new(
                    "this `docs` block is not closed",
                    start..docs.open_end,
                )),
            };
        }
        let open = self.opening(start);
        self.push(Token::BlockStart, open.clone());
        self.expression(open, "%}", Token::BlockEnd)
    }

    /// Recognises `{% name %}` at a place.
    fn simple_tag(&self, start: usize, name: &str) -> Option<Tag> {
        let mut rest = self.text[start..self.end].strip_prefix("{%")?;
        let strips_before = rest.starts_with('-');
        rest = rest.strip_prefix(['-', '+']).unwrap_or(rest);
        rest = rest.trim_start().strip_prefix(name)?.trim_start();
        let strips_after = rest.starts_with('-');
        rest = rest
            .strip_prefix(['-', '+'])
            .unwrap_or(rest)
            .strip_prefix("%}")?;
        Some(Tag {
            start,
            end: self.end - rest.len(),
            strips_before,
            strips_after,
        })
    }

    fn raw(&mut self, open: &Tag) -> Result<(), SyntaxError> {
        let mut from = open.end;
        let close = loop {
            let Some(offset) = self.text[from..self.end].find("{%") else {
                return Err(SyntaxError::new(
                    "this `raw` block is not closed",
                    open.start..open.end,
                ));
            };
            match self.simple_tag(from + offset, "endraw") {
                Some(tag) => break tag,
                None => from += offset + 2,
            }
        };
        let mut start = open.end;
        if open.strips_after {
            let body = &self.text[start..close.start];
            start = close.start - body.trim_start().len();
        }
        self.data(start..close.start, close.strips_before);
        self.at = close.end;
        if close.strips_after {
            self.skip_space();
        }
        Ok(())
    }

    /// The inside of a tag, up to and with its end.
    fn expression(
        &mut self,
        open: Range<usize>,
        close: &str,
        end: Token<'a>,
    ) -> Result<(), SyntaxError> {
        let mut brackets: Vec<(&'static str, Range<usize>)> = Vec::new();
        loop {
            self.skip_space();
            let (start, rest) = (self.at, self.rest());
            if rest.is_empty() {
                let shown = &self.text[open.clone()];
                let mut error = SyntaxError::new(format!("this `{shown}` is not closed"), open);
                if let Some((bracket, range)) = brackets.pop() {
                    error = SyntaxError::new(format!("this `{bracket}` is not closed"), range);
                }
                return Err(error);
            }
            if brackets.is_empty() {
                let bare = rest.strip_prefix(['-', '+']).unwrap_or(rest);
                if bare.starts_with(close) && !(rest.starts_with('+') && close == "}}") {
                    self.at = self.end - bare.len() + 2;
                    self.push(end, start..self.at);
                    if rest.starts_with('-') {
                        self.skip_space();
                    }
                    return Ok(());
                }
            }
            let first = rest.chars().next().unwrap_or(' ');
            if first.is_ascii_digit() {
                self.number()?;
            } else if first == '_' || first.is_alphabetic() {
                let length = rest
                    .find(|char: char| !(char == '_' || char.is_alphanumeric()))
                    .unwrap_or(rest.len());
                self.at += length;
                self.push(Token::Name(&rest[..length]), start..start + length);
            } else if first == '"' || first == '\'' {
                self.string(first)?;
            } else {
                self.operator(&mut brackets)?;
            }
        }
    }

    fn operator(
        &mut self,
        brackets: &mut Vec<(&'static str, Range<usize>)>,
    ) -> Result<(), SyntaxError> {
        let (start, rest) = (self.at, self.rest());
        let Some(operator) = OPERATORS
            .iter()
            .find(|operator| rest.starts_with(**operator))
        else {
            let char = rest.chars().next().unwrap_or(' ');
            return Err(SyntaxError::new(
                format!("unexpected character `{char}`"),
                start..start + char.len_utf8(),
            ));
        };
        self.at += operator.len();
        let range = start..self.at;
        match *operator {
            "(" | "[" | "{" => brackets.push((operator, range.clone())),
            ")" | "]" | "}" => {
                let opening = match *operator {
                    ")" => "(",
                    "]" => "[",
                    _ => "{",
                };
                match brackets.pop() {
                    Some((open, _)) if open == opening => {}
                    Some((open, at)) => {
                        let mut error = SyntaxError::new(format!("unexpected `{operator}`"), range);
                        error.opened = Some((at, format!("this `{open}` is open")));
                        return Err(error);
                    }
                    None => {
                        return Err(SyntaxError::new(format!("unexpected `{operator}`"), range));
                    }
                }
            }
            "&" | "^" | "@" | "!" | "?" => {
                return Err(SyntaxError::new(
                    format!("unexpected character `{operator}`"),
                    range,
                ));
            }
            _ => {}
        }
        self.push(Token::Op(operator), range);
        Ok(())
    }

    fn number(&mut self) -> Result<(), SyntaxError> {
        let (start, rest) = (self.at, self.rest());
        let bytes = rest.as_bytes();
        let radix = match bytes.get(..2) {
            Some(b"0x" | b"0X") => 16,
            Some(b"0b" | b"0B") => 2,
            Some(b"0o" | b"0O") => 8,
            _ => 10,
        };
        let too_large = |range| SyntaxError::new("this number is too large", range);
        if radix != 10 {
            let length = 2 + digits(&bytes[2..], |byte| char::from(byte).is_digit(radix));
            self.at += length;
            let text = rest[2..length].replace('_', "");
            let value =
                i128::from_str_radix(&text, radix).map_err(|_| too_large(start..start + length))?;
            self.push(Token::Int(value), start..start + length);
            return Ok(());
        }
        let digit = |byte: u8| byte.is_ascii_digit();
        let mut length = digits(bytes, digit);
        let mut float = false;
        let after_dot = matches!(self.tokens.last(), Some((Token::Op("."), _)));
        if !after_dot {
            if bytes.get(length) == Some(&b'.')
                && bytes.get(length + 1).is_some_and(u8::is_ascii_digit)
            {
                float = true;
                length += 1 + digits(&bytes[length + 1..], digit);
            }
            if matches!(bytes.get(length), Some(b'e' | b'E')) {
                let sign = usize::from(matches!(bytes.get(length + 1), Some(b'+' | b'-')));
                if bytes.get(length + 1 + sign).is_some_and(u8::is_ascii_digit) {
                    float = true;
                    length += 1 + sign + digits(&bytes[length + 1 + sign..], digit);
                }
            }
        }
        self.at += length;
        let range = start..start + length;
        let text = rest[..length].replace('_', "");
        let token = match float {
            true => Token::Float(text.parse().map_err(|_| too_large(range.clone()))?),
            false => Token::Int(text.parse().map_err(|_| too_large(range.clone()))?),
        };
        self.push(token, range);
        Ok(())
    }

    fn string(&mut self, quote: char) -> Result<(), SyntaxError> {
        let (start, rest) = (self.at, self.rest());
        let mut escaped = false;
        let end = rest.char_indices().skip(1).find(|(_, char)| {
            let ends = *char == quote && !escaped;
            escaped = *char == '\\' && !escaped;
            ends
        });
        let Some((length, _)) = end else {
            return Err(SyntaxError::new(
                "this string is not closed",
                start..start + 1,
            ));
        };
        self.at += length + 1;
        let body = &rest[1..length];
        let text = match body.contains(['\\', '\r']) {
            true => unescape(&body.replace("\r\n", "\n")),
            false => body.to_owned(),
        };
        self.push(Token::Text(text), start..self.at);
        Ok(())
    }
}

/// How many of the first bytes are digits, single underscores between them included.
fn digits(bytes: &[u8], digit: impl Fn(u8) -> bool) -> usize {
    let mut length = 0;
    while length < bytes.len() {
        if digit(bytes[length])
            || (bytes[length] == b'_' && bytes.get(length + 1).is_some_and(|byte| digit(*byte)))
        {
            length += 1;
        } else {
            break;
        }
    }
    length
}

/// Where the next tag starts.
fn find_tag(text: &str) -> Option<usize> {
    let mut from = 0;
    while let Some(offset) = text[from..].find('{') {
        let at = from + offset;
        if matches!(text.as_bytes().get(at + 1), Some(b'{' | b'%' | b'#')) {
            return Some(at);
        }
        from = at + 1;
    }
    None
}

/// A `docs` block.
pub(crate) struct Docs<'a> {
    pub name: &'a str,
    /// Behind its first tag.
    pub open_end: usize,
    /// What stands between the tags.
    pub body: Range<usize>,
    /// Behind its last tag.
    pub end: usize,
    pub closed: bool,
    strips_after: bool,
}

/// Recognises `{% docs name %}` at a place, and finds its end.
pub(crate) fn find_docs(text: &str, start: usize, end: usize) -> Option<Docs<'_>> {
    let mut rest = text[start..end].strip_prefix("{%")?;
    rest = rest.strip_prefix(['-', '+']).unwrap_or(rest);
    rest = rest.trim_start().strip_prefix("docs")?;
    let name_part = rest.trim_start();
    if name_part.len() == rest.len() {
        return None;
    }
    let length = name_part
        .find(|char: char| !(char == '_' || char.is_alphanumeric()))
        .unwrap_or(name_part.len());
    let (name, after) = name_part.split_at(length);
    let after = after.trim_start();
    let body = after
        .strip_prefix(['-', '+'])
        .unwrap_or(after)
        .strip_prefix("%}")?;
    let open_end = end - body.len();
    let mut from = open_end;
    while let Some(offset) = text[from..end].find("{%") {
        let at = from + offset;
        let inner = &text[at + 2..end];
        let inner = inner.strip_prefix(['-', '+']).unwrap_or(inner).trim_start();
        if let Some(tail) = inner.strip_prefix("enddocs") {
            let tail = tail.trim_start();
            let strips_after = tail.starts_with('-');
            if let Some(tail) = tail
                .strip_prefix(['-', '+'])
                .unwrap_or(tail)
                .strip_prefix("%}")
            {
                return Some(Docs {
                    name,
                    open_end,
                    body: open_end..at,
                    end: end - tail.len(),
                    closed: true,
                    strips_after,
                });
            }
        }
        from = at + 2;
    }
    Some(Docs {
        name,
        open_end,
        body: open_end..end,
        end,
        closed: false,
        strips_after: false,
    })
}

/// Reads Python's escapes; unknown ones stay as they are.
fn unescape(body: &str) -> String {
    let mut out = String::with_capacity(body.len());
    let mut chars = body.chars();
    while let Some(char) = chars.next() {
        if char != '\\' {
            out.push(char);
            continue;
        }
        let Some(kind) = chars.next() else {
            out.push('\\');
            break;
        };
        match kind {
            'n' => out.push('\n'),
            't' => out.push('\t'),
            'r' => out.push('\r'),
            'a' => out.push('\x07'),
            'b' => out.push('\x08'),
            'f' => out.push('\x0c'),
            'v' => out.push('\x0b'),
            '\\' | '\'' | '"' => out.push(kind),
            '\n' => {}
            'x' | 'u' | 'U' => {
                let width = match kind {
                    'x' => 2,
                    'u' => 4,
                    _ => 8,
                };
                let code = chars
                    .as_str()
                    .get(..width)
                    .and_then(|hex| u32::from_str_radix(hex, 16).ok());
                match code.and_then(char::from_u32) {
                    Some(char) => {
                        out.push(char);
                        chars = chars.as_str()[width..].chars();
                    }
                    None => out.extend(['\\', kind]),
                }
            }
            '0'..='7' => {
                let mut code = kind.to_digit(8).unwrap_or(0);
                for _ in 0..2 {
                    let Some(digit) = chars.clone().next().and_then(|char| char.to_digit(8)) else {
                        break;
                    };
                    code = code * 8 + digit;
                    chars.next();
                }
                out.extend(char::from_u32(code));
            }
            other => out.extend(['\\', other]),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<Token<'_>> {
        tokenize(text, 0..text.len())
            .expect("tokens")
            .into_iter()
            .map(|(token, _)| token)
            .collect()
    }

    #[test]
    fn whitespace_control_strips_its_side_only() {
        assert_eq!(
            kinds("a {{- 1 -}} b {%+ x %} c {#- y -#} d"),
            [
                Token::Data("a".into()),
                Token::PrintStart,
                Token::Int(1),
                Token::PrintEnd,
                Token::Data("b ".into()),
                Token::BlockStart,
                Token::Name("x"),
                Token::BlockEnd,
                Token::Data(" c".into()),
                Token::Data("d".into()),
            ]
        );
    }

    #[test]
    fn raw_and_docs_blocks_are_not_read() {
        assert_eq!(
            kinds("{% raw %}{{ x }}{% endraw -%}  y{% docs a %}{{ ( }}{% enddocs %}"),
            [Token::Data("{{ x }}".into()), Token::Data("y".into())]
        );
    }

    #[test]
    fn a_dict_may_end_right_before_the_tag() {
        let tokens = kinds("{{ {'a': 1.5e3}}}");
        assert_eq!(
            tokens[tokens.len() - 2..],
            [Token::Op("}"), Token::PrintEnd]
        );
        assert!(tokens.contains(&Token::Float(1500.0)));
    }

    #[test]
    fn faults_know_their_place() {
        for (text, message, range) in [
            ("a {{ x", "this `{{` is not closed", 2..4),
            ("{{ (1 }}", "unexpected `}`", 6..7),
            ("{{ [1) }}", "unexpected `)`", 5..6),
            ("{{ 'a }}", "this string is not closed", 3..4),
            ("{# a", "this comment is not closed", 0..2),
            ("{% raw %}", "this `raw` block is not closed", 0..9),
            ("{{ a & b }}", "unexpected character `&`", 5..6),
        ] {
            let error = tokenize(text, 0..text.len()).expect_err(text);
            assert_eq!(
                (error.message.as_str(), error.range),
                (message, range),
                "{text}"
            );
        }
    }

    #[test]
    fn escapes_are_pythons() {
        assert_eq!(unescape(r"a\n\x41\u00e4\'\d\101"), "a\nAä'\\dA");
    }
}
