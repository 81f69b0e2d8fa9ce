//! The pattern of a location: which paths it means, and which partition a path belongs to.
//!
//! `*` stands for any characters within a name, `?` for one, `**` for any folders, and `{field}` for
//! the partition. A wildcard at the start of a name does not stand for a `.` or a `_`, so that hidden
//! files, `_SUCCESS` and `_manifest.json` are never taken for data.

use jiff::civil::{Date, DateTime};
use jiff::{Span, ToSpan};

/// A pattern, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// The folders before the first one that varies, ending with `/` unless empty.
    pub prefix: String,
    /// The name in braces: the partition's field.
    pub field: String,
    tokens: Vec<Token>,
}

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PatternFault {
    /// No `{field}` is there.
    NoPlaceholder,
    /// Two different names stand in braces.
    OtherPlaceholder(String),
    /// A brace without its fellow, or with nothing inside.
    Brace,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Text(String),
    /// `?`
    One,
    /// `*`
    Some,
    /// `**/`, which may stand for no folder at all.
    Folders,
    /// `**` elsewhere.
    Deep,
    /// `{field}`
    Partition,
}

/// Reads a pattern: the part of a location below its bucket or root.
///
/// # Errors
/// What is wrong with its braces.
pub fn parse(text: &str) -> Result<Pattern, PatternFault> {
    let mut tokens: Vec<Token> = Vec::new();
    let mut plain = String::new();
    let mut field: Option<String> = None;
    let mut varies = None;
    let mut at = 0;
    while let Some(character) = text[at..].chars().next() {
        let rest = &text[at..];
        let (token, length) = match character {
            '{' => {
                let (name, _) = rest[1..].split_once('}').ok_or(PatternFault::Brace)?;
                if name.is_empty() || name.contains('{') {
                    return Err(PatternFault::Brace);
                }
                match &field {
                    Some(first) if first != name => {
                        return Err(PatternFault::OtherPlaceholder(name.to_owned()));
                    }
                    _ => field = Some(name.to_owned()),
                }
                (Token::Partition, name.len() + 2)
            }
            '}' => return Err(PatternFault::Brace),
            '?' => (Token::One, 1),
            '*' if rest.starts_with("**/") => (Token::Folders, 3),
            '*' if rest.starts_with("**") => (Token::Deep, 2),
            '*' => (Token::Some, 1),
            other => {
                plain.push(other);
                at += other.len_utf8();
                continue;
            }
        };
        varies.get_or_insert(at);
        if !plain.is_empty() {
            tokens.push(Token::Text(std::mem::take(&mut plain)));
        }
        tokens.push(token);
        at += length;
    }
    if !plain.is_empty() {
        tokens.push(Token::Text(plain));
    }
    let field = field.ok_or(PatternFault::NoPlaceholder)?;
    let fixed = &text[..varies.unwrap_or_default()];
    let prefix = fixed.rfind('/').map_or("", |slash| &fixed[..=slash]);
    Ok(Pattern {
        prefix: prefix.to_owned(),
        field,
        tokens,
    })
}

impl Pattern {
    /// The text that stands at the place of the partition; `None` for a path that is not meant.
    ///
    /// Where there is a choice, one that [`bounds`] reads is taken.
    pub fn partition_of<'p>(&self, path: &'p str) -> Option<&'p str> {
        let good = |text: &str| bounds(text).is_some();
        walk(&self.tokens, path, true, None, &good)
            .or_else(|| walk(&self.tokens, path, true, None, &|_| true))
    }
}

impl Pattern {
    /// A path of a partition that the pattern means, whose file is called `stem` where it has a choice;
    /// `None` where it leaves the folder open.
    pub fn path_of(&self, partition: &str, stem: &str) -> Option<String> {
        let mut path = String::new();
        for (at, token) in self.tokens.iter().enumerate() {
            let in_name = || {
                let later = &self.tokens[at + 1..];
                later.iter().all(|token| match token {
                    Token::Text(text) => !text.contains('/'),
                    _ => false,
                })
            };
            match token {
                Token::Text(text) => path.push_str(text),
                Token::Partition => path.push_str(partition),
                Token::Some if in_name() => path.push_str(stem),
                _ => return None,
            }
        }
        Some(path)
    }
}

/// Matches the tokens with a text; `start` tells whether it begins a name.
fn walk<'p>(
    tokens: &[Token],
    text: &'p str,
    start: bool,
    found: Option<&'p str>,
    fits: &dyn Fn(&str) -> bool,
) -> Option<&'p str> {
    let Some((token, rest)) = tokens.split_first() else {
        return if text.is_empty() { found } else { None };
    };
    let hidden = start && text.starts_with(['.', '_']);
    let ends = |deep: bool| {
        let end = if deep { None } else { text.find('/') };
        let end = end.unwrap_or(text.len());
        text[..end]
            .char_indices()
            .map(|(at, _)| at)
            .chain(std::iter::once(end))
    };
    match token {
        Token::Text(plain) => {
            let after = text.strip_prefix(plain.as_str())?;
            walk(rest, after, plain.ends_with('/'), found, fits)
        }
        Token::One => {
            let first = text.chars().next().filter(|c| *c != '/' && !hidden)?;
            walk(rest, &text[first.len_utf8()..], false, found, fits)
        }
        Token::Some if hidden => walk(rest, text, start, found, fits),
        Token::Some => {
            ends(false).find_map(|end| walk(rest, &text[end..], start && end == 0, found, fits))
        }
        Token::Folders => walk(rest, text, start, found, fits).or_else(|| {
            let (_, after) = text.split_once('/').filter(|_| !hidden)?;
            walk(tokens, after, true, found, fits)
        }),
        Token::Deep => ends(true).find_map(|end| {
            let crossed = &text[..end];
            if (hidden && end > 0) || crossed.contains("/.") || crossed.contains("/_") {
                return None;
            }
            let start = if end == 0 {
                start
            } else {
                crossed.ends_with('/')
            };
            walk(rest, &text[end..], start, found, fits)
        }),
        Token::Partition => {
            let mut lengths: Vec<usize> = ends(false).filter(|end| *end > 0).collect();
            lengths.reverse();
            lengths.into_iter().find_map(|end| {
                let taken = &text[..end];
                let same = found.is_none_or(|before| before == taken);
                if !same || !fits(taken) {
                    return None;
                }
                walk(rest, &text[end..], false, Some(taken), fits)
            })
        }
    }
}

/// The half-open range that a partition's name means: `2026`, `2026-11`, `2026-11-05`, `2026-11-05T13`.
///
/// `None` for any other text.
pub fn bounds(partition: &str) -> Option<(DateTime, DateTime)> {
    let digits = |text: &str| {
        let all = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        all.then(|| text.parse::<i16>().ok()).flatten()
    };
    let parts = |start: usize, end: usize| {
        let separated =
            partition.get(start.checked_sub(1)?..start)? == if start == 11 { "T" } else { "-" };
        separated
            .then(|| digits(partition.get(start..end)?))
            .flatten()
    };
    let year = digits(partition.get(..4)?)?;
    let part = |start: usize| parts(start, start + 2).and_then(|value| i8::try_from(value).ok());
    let (month, day, hour, length): (i8, i8, i8, Span) = match partition.len() {
        4 => (1, 1, 0, 1.year()),
        7 => (part(5)?, 1, 0, 1.month()),
        10 => (part(5)?, part(8)?, 0, 1.day()),
        13 => (part(5)?, part(8)?, part(11)?, 1.hour()),
        _ => return None,
    };
    let start = Date::new(year, month, day).ok()?.at(0, 0, 0, 0);
    let start = start.with().hour(hour).build().ok()?;
    Some((start, start.checked_add(length).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(pattern: &str, path: &str) -> Option<String> {
        let pattern = parse(pattern).expect("a pattern");
        pattern.partition_of(path).map(str::to_owned)
    }

    #[test]
    fn a_path_names_its_partition() {
        let days = "landing/orders/day={day}/*.csv";
        let cases = [
            (
                days,
                "landing/orders/day=2026-11-05/a.csv",
                Some("2026-11-05"),
            ),
            (days, "landing/orders/day=2026-11-05/x/a.csv", None),
            (days, "landing/orders/day=2026-11-05/a.json", None),
            (days, "landing/orders/day=2026-11-05/_a.csv", None),
            (days, "landing/orders/day=2026-11-05/.a.csv", None),
            (days, "landing/orders/day=soon/a.csv", Some("soon")),
            ("o_{day}.csv", "o_2026-11.csv", Some("2026-11")),
            (
                "o_{day}_*.csv",
                "o_2026-11-05T13_1_2.csv",
                Some("2026-11-05T13"),
            ),
            ("o{day}*.csv", "o2026-11-051.csv", Some("2026-11-05")),
            ("{day}/**/*.csv", "2026/a.csv", Some("2026")),
            ("{day}/**/*.csv", "2026/x/y/a.csv", Some("2026")),
            ("{day}/**/*.csv", "2026/_x/a.csv", None),
            ("{day}/**", "2026/x/a.csv", Some("2026")),
            ("{day}/**", "2026/x/_a.csv", None),
            ("{day}/{day}_?.csv", "2026/2026_a.csv", Some("2026")),
            ("{day}/{day}_?.csv", "2026/2027_a.csv", None),
            ("{day}/é*.csv", "2026/éü.csv", Some("2026")),
        ];
        for (pattern, path, expected) in cases {
            assert_eq!(
                partition(pattern, path).as_deref(),
                expected,
                "{pattern} {path}"
            );
        }
    }

    #[test]
    fn the_fixed_folders_come_first() {
        let prefix = |text| parse(text).expect("a pattern").prefix;
        assert_eq!(prefix("landing/orders/day={day}/*.csv"), "landing/orders/");
        assert_eq!(prefix("/data/*/{day}.csv"), "/data/");
        assert_eq!(prefix("{day}.csv"), "");
    }

    #[test]
    fn braces_must_fit() {
        assert_eq!(parse("a/*.csv"), Err(PatternFault::NoPlaceholder));
        assert_eq!(parse("a/{x/*.csv"), Err(PatternFault::Brace));
        assert_eq!(parse("a/{}/*.csv"), Err(PatternFault::Brace));
        let other = PatternFault::OtherPlaceholder("y".to_owned());
        assert_eq!(parse("{x}/{y}/*.csv"), Err(other));
    }

    #[test]
    fn a_partition_has_bounds() {
        let text = |partition| bounds(partition).map(|(start, end)| format!("{start} {end}"));
        let day = text("2026-11-05").expect("a day");
        assert_eq!(day, "2026-11-05T00:00:00 2026-11-06T00:00:00");
        assert_eq!(
            text("2026-12").expect("a month"),
            "2026-12-01T00:00:00 2027-01-01T00:00:00"
        );
        assert_eq!(
            text("2024").expect("a year"),
            "2024-01-01T00:00:00 2025-01-01T00:00:00"
        );
        let hour = text("2026-12-31T23").expect("an hour");
        assert_eq!(hour, "2026-12-31T23:00:00 2027-01-01T00:00:00");
        for wrong in [
            "",
            "26",
            "2026-13",
            "2026-02-30",
            "2026-11-5",
            "2026-11-05T24",
            "20261105",
            "2026_11",
            "+026",
            "ünf4",
        ] {
            assert_eq!(bounds(wrong), None, "{wrong}");
        }
    }
}
