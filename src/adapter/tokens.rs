//! Cuts SQL text into tokens, as far as drivers read it: to find where statements end, and what they do.

/// In which ways databases write comments and quotes.
pub(super) struct Lexis {
    /// What begins a comment to the end of the line.
    pub(super) line_comments: &'static [&'static str],
    /// Whether comments in `/* */` nest.
    pub(super) nested_comments: bool,
    /// Where a backslash in single quotes takes the meaning from the next character.
    pub(super) backslashes: Backslashes,
    /// Whether a dollar quote may have a tag, such as `$body$`.
    pub(super) dollar_tags: bool,
}

/// Where a backslash escapes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Backslashes {
    /// In every string.
    Everywhere,
    /// In strings that are marked: `E'..'`.
    Marked,
}

/// Cuts text into words, quoted pieces and single characters, with their places; comments and
/// spaces are left out.
pub(super) fn tokens<'s>(lexis: &Lexis, sql: &'s str) -> impl Iterator<Item = (&'s str, usize)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let rest = &sql[at..];
            let first = rest.chars().next()?;
            let start = at;
            let starts_comment = |mark: &&str| rest.starts_with(*mark);
            let (length, kept) = if first.is_whitespace() {
                (first.len_utf8(), false)
            } else if lexis.line_comments.iter().any(starts_comment) {
                (rest.find('\n').unwrap_or(rest.len()), false)
            } else if rest.starts_with("/*") {
                (comment(lexis, rest), false)
            } else {
                (token(lexis, rest, first), true)
            };
            at += length;
            if kept {
                return Some((&sql[start..at], start));
            }
        }
    })
}

/// The length of the token that the text starts with.
fn token(lexis: &Lexis, rest: &str, first: char) -> usize {
    let marked = lexis.backslashes == Backslashes::Marked;
    match first {
        '\'' if marked => quoted(rest, '\'', None),
        '\'' => quoted(rest, '\'', Some('\\')),
        '"' => quoted(rest, '"', None),
        '$' => dollar_quoted(lexis, rest).unwrap_or(1),
        'e' | 'E' if marked && rest[1..].starts_with('\'') => {
            1 + quoted(&rest[1..], '\'', Some('\\'))
        }
        c if c.is_alphanumeric() || c == '_' => rest
            .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$'))
            .unwrap_or(rest.len()),
        c => c.len_utf8(),
    }
}

/// The length of a piece in quotes; a doubled quote is two pieces, which does no harm here.
fn quoted(rest: &str, quote: char, escape: Option<char>) -> usize {
    let mut characters = rest.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        if character == quote {
            return at + 1;
        }
        if Some(character) == escape {
            characters.next();
        }
    }
    rest.len()
}

/// The length of `$tag$ ... $tag$`, where the text starts with one.
fn dollar_quoted(lexis: &Lexis, rest: &str) -> Option<usize> {
    let inner = &rest[1..];
    let end = inner.find('$')?;
    let name = &inner[..end];
    let plain = name.chars().all(|c| c.is_alphanumeric() || c == '_');
    let tagged = !name.is_empty() && !lexis.dollar_tags;
    if !plain || tagged || name.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let tag = &rest[..end + 2];
    let close = rest[tag.len()..].find(tag);
    Some(close.map_or(rest.len(), |at| at + 2 * tag.len()))
}

/// The length of a comment in `/* */`.
fn comment(lexis: &Lexis, rest: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        let here = &rest.as_bytes()[at..];
        if here.starts_with(b"/*") && (depth == 0 || lexis.nested_comments) {
            depth += 1;
            at += 2;
        } else if here.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}
