//! `'%s' % x` and `'{}'.format(x)`: Python's two ways to format text.

use minijinja::Error;
use minijinja::Value;
use minijinja::value::{Tuple, ValueKind};

use super::format::{py_float, py_repr, py_str};
use super::methods::split_kwargs;
use super::operators::{Number, as_number};
use super::values::{type_error, type_name};

/// How a value is to be laid out.
#[derive(Default, Clone)]
struct Layout {
    fill: Option<char>,
    align: Option<char>,
    sign: Option<char>,
    alternate: bool,
    zero: bool,
    width: usize,
    grouping: Option<char>,
    precision: Option<usize>,
    kind: Option<char>,
}

/// `format % values`.
pub(crate) fn percent(format: &str, values: &Value) -> Result<String, Error> {
    let positional: Vec<Value> = match values.downcast_object_ref::<Tuple>() {
        Some(tuple) => tuple.to_vec(),
        None => vec![values.clone()],
    };
    let mut next = positional.iter();
    let mut take = || {
        next.next()
            .ok_or_else(|| type_error("not enough arguments for format string"))
    };
    let mut named = false;
    let mut out = String::with_capacity(format.len() + 16);
    let mut chars = format.chars().peekable();
    while let Some(char) = chars.next() {
        if char != '%' {
            out.push(char);
            continue;
        }
        let mut key = None;
        if chars.next_if_eq(&'(').is_some() {
            let mut name = String::new();
            loop {
                match chars.next() {
                    Some(')') => break,
                    Some(char) => name.push(char),
                    None => return Err(type_error("incomplete format key")),
                }
            }
            key = Some(name);
        }
        let mut layout = Layout::default();
        while let Some(flag) = chars.next_if(|char| "-+ #0".contains(*char)) {
            match flag {
                '-' => layout.align = Some('<'),
                '#' => layout.alternate = true,
                '0' => layout.zero = true,
                sign => layout.sign = Some(if layout.sign == Some('+') { '+' } else { sign }),
            }
        }
        let width = number_or_star(&mut chars, &mut take)?;
        if width.is_some_and(|width| width < 0) {
            layout.align = Some('<');
        }
        layout.width = small(width.unwrap_or(0).unsigned_abs())?;
        if chars.next_if_eq(&'.').is_some() {
            let precision = number_or_star(&mut chars, &mut take)?.unwrap_or(0);
            layout.precision = Some(small(precision.max(0).unsigned_abs())?);
        }
        while chars.next_if(|char| "hlL".contains(*char)).is_some() {}
        let kind = chars
            .next()
            .ok_or_else(|| type_error("incomplete format"))?;
        if kind == '%' {
            out.push('%');
            continue;
        }
        let value = match key {
            Some(key) => {
                named = true;
                match values.kind() {
                    ValueKind::Map => values.get_item(&Value::from(key.as_str()))?,
                    _ => return Err(type_error("format requires a mapping")),
                }
            }
            None => take()?.clone(),
        };
        percent_one(&mut out, &value, kind, layout)?;
    }
    if !named && next.next().is_some() && values.kind() != ValueKind::Map {
        return Err(type_error(
            "not all arguments converted during string formatting",
        ));
    }
    Ok(out)
}

fn number_or_star<'a>(
    chars: &mut std::iter::Peekable<std::str::Chars<'_>>,
    take: &mut impl FnMut() -> Result<&'a Value, Error>,
) -> Result<Option<i64>, Error> {
    if chars.next_if_eq(&'*').is_some() {
        return match take()?.as_i64() {
            Some(value) => Ok(Some(value)),
            None => Err(type_error("* wants int")),
        };
    }
    let mut digits = String::new();
    while let Some(digit) = chars.next_if(char::is_ascii_digit) {
        digits.push(digit);
    }
    Ok(digits.parse().ok())
}

/// Widths are bounded, so that a template cannot ask for all the memory.
fn small(value: u64) -> Result<usize, Error> {
    match usize::try_from(value) {
        Ok(value) if value <= 1_000_000 => Ok(value),
        _ => Err(type_error("the width or precision is too large")),
    }
}

fn percent_one(out: &mut String, value: &Value, kind: char, layout: Layout) -> Result<(), Error> {
    let layout = Layout {
        align: layout.align.or(Some('>')),
        kind: Some(kind),
        ..layout
    };
    match kind {
        's' | 'r' | 'a' => {
            let text = if kind == 's' {
                py_str(value)
            } else {
                py_repr(value)
            };
            pad(
                out,
                &truncate(&text, layout.precision),
                "",
                &Layout {
                    zero: false,
                    ..layout
                },
            );
            Ok(())
        }
        'c' => {
            let text = match value.as_i64().and_then(|code| u32::try_from(code).ok()) {
                Some(code) => char::from_u32(code).map(String::from),
                None => value.as_str().map(str::to_owned),
            };
            let text = text.ok_or_else(|| type_error("%c requires int or char"))?;
            pad(
                out,
                &text,
                "",
                &Layout {
                    zero: false,
                    ..layout
                },
            );
            Ok(())
        }
        'd' | 'i' | 'u' | 'x' | 'X' | 'o' => {
            let number = match as_number(value) {
                Some(Number::Int(number)) => number,
                Some(Number::Float(number)) if "diu".contains(kind) => number.trunc() as i128,
                _ => {
                    return Err(type_error(format!(
                        "%{kind} format: a number is required, not `{}`",
                        type_name(value)
                    )));
                }
            };
            let mut digits = radix(number, kind);
            if let Some(precision) = layout.precision {
                digits = format!("{digits:0>precision$}");
            }
            let prefix = if layout.alternate {
                radix_prefix(kind)
            } else {
                ""
            };
            pad_number(out, number < 0, prefix, digits, &layout);
            Ok(())
        }
        'e' | 'E' | 'f' | 'F' | 'g' | 'G' => match as_number(value) {
            Some(number) => {
                let number = number.to_f64();
                let digits = float(
                    number.abs(),
                    kind,
                    layout.precision.unwrap_or(6),
                    layout.alternate,
                );
                pad_number(out, number.is_sign_negative(), "", digits, &layout);
                Ok(())
            }
            None => Err(type_error(format!(
                "must be real number, not `{}`",
                type_name(value)
            ))),
        },
        other => Err(type_error(format!(
            "unsupported format character `{other}`"
        ))),
    }
}

/// `format.format(*args)`.
pub(crate) fn brace(format: &str, args: &[Value]) -> Result<String, Error> {
    let (positional, keywords) = split_kwargs(args);
    let mut fields = Fields {
        positional,
        keywords,
        next: 0,
    };
    let mut out = String::with_capacity(format.len() + 16);
    brace_into(&mut out, format, &mut fields, 0)?;
    Ok(out)
}

struct Fields<'a> {
    positional: &'a [Value],
    keywords: Vec<(Value, Value)>,
    next: usize,
}

fn brace_into(
    out: &mut String,
    format: &str,
    fields: &mut Fields<'_>,
    depth: usize,
) -> Result<(), Error> {
    if depth > 2 {
        return Err(type_error("format fields are nested too deeply"));
    }
    let mut rest = format;
    while let Some(at) = rest.find(['{', '}']) {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if rest[at..].starts_with("{{") || rest[at..].starts_with("}}") {
            out.push_str(&rest[at..=at]);
            rest = &after[1..];
            continue;
        }
        if rest.as_bytes()[at] == b'}' {
            return Err(type_error("single `}` encountered in format string"));
        }
        let mut level = 1;
        let end = after
            .find(|char| {
                match char {
                    '{' => level += 1,
                    '}' => level -= 1,
                    _ => {}
                }
                level == 0
            })
            .ok_or_else(|| type_error("expected `}` before end of string"))?;
        brace_one(out, &after[..end], fields, depth)?;
        rest = &after[end + 1..];
    }
    out.push_str(rest);
    Ok(())
}

fn brace_one(
    out: &mut String,
    field: &str,
    fields: &mut Fields<'_>,
    depth: usize,
) -> Result<(), Error> {
    let (name, spec) = field.split_once(':').unwrap_or((field, ""));
    let (name, conversion) = match name.split_once('!') {
        Some((name, conversion)) => (name, Some(conversion)),
        None => (name, None),
    };
    let value = fields.find(name)?;
    let mut full_spec = String::new();
    brace_into(&mut full_spec, spec, fields, depth + 1)?;
    let value = match conversion {
        None => value,
        Some("s") => Value::from(py_str(&value)),
        Some("r" | "a") => Value::from(py_repr(&value)),
        Some(other) => {
            return Err(type_error(format!(
                "unknown conversion specifier `{other}`"
            )));
        }
    };
    if full_spec.is_empty() {
        out.push_str(&py_str(&value));
        return Ok(());
    }
    format_spec(out, &value, &full_spec)
}

impl Fields<'_> {
    fn find(&mut self, name: &str) -> Result<Value, Error> {
        let end = name.find(['.', '[']).unwrap_or(name.len());
        let (base, mut path) = name.split_at(end);
        let mut value = if base.is_empty() {
            self.next += 1;
            self.at(self.next - 1)?
        } else if let Ok(index) = base.parse::<usize>() {
            self.at(index)?
        } else {
            let found = self
                .keywords
                .iter()
                .find(|(key, _)| key.as_str() == Some(base));
            match found {
                Some((_, value)) => value.clone(),
                None => return Err(type_error(format!("format has no argument `{base}`"))),
            }
        };
        while !path.is_empty() {
            if let Some(rest) = path.strip_prefix('.') {
                let end = rest.find(['.', '[']).unwrap_or(rest.len());
                value = value.get_attr(&rest[..end])?;
                path = &rest[end..];
            } else {
                let (key, rest) = path[1..]
                    .split_once(']')
                    .ok_or_else(|| type_error("missing `]` in format string"))?;
                value = match key.parse::<usize>() {
                    Ok(index) => value.get_item_by_index(index)?,
                    Err(_) => value.get_item(&Value::from(key))?,
                };
                path = rest;
            }
        }
        Ok(value)
    }

    fn at(&self, index: usize) -> Result<Value, Error> {
        self.positional
            .get(index)
            .cloned()
            .ok_or_else(|| type_error("replacement index out of range for positional args"))
    }
}

/// Python's `format(value, spec)`.
fn format_spec(out: &mut String, value: &Value, spec: &str) -> Result<(), Error> {
    let layout = parse_spec(spec)?;
    let bad = || {
        type_error(format!(
            "invalid format `{spec}` for a value of type `{}`",
            type_name(value)
        ))
    };
    match (as_number(value), layout.kind) {
        (Some(_), Some('s'))
        | (
            None,
            Some('b' | 'c' | 'd' | 'o' | 'x' | 'X' | 'n' | 'e' | 'E' | 'f' | 'F' | 'g' | 'G' | '%'),
        ) => Err(bad()),
        (None, _) => {
            let text = truncate(&py_str(value), layout.precision);
            pad(
                out,
                &text,
                "",
                &Layout {
                    align: layout.align.or(Some('<')),
                    ..layout
                },
            );
            Ok(())
        }
        (Some(Number::Int(number)), None | Some('b' | 'c' | 'd' | 'o' | 'x' | 'X' | 'n'))
            if value.kind() == ValueKind::Number || layout.kind.is_some() =>
        {
            let kind = layout.kind.unwrap_or('d');
            if kind == 'c' {
                let text = u32::try_from(number)
                    .ok()
                    .and_then(char::from_u32)
                    .ok_or_else(bad)?;
                pad(out, &text.to_string(), "", &layout);
                return Ok(());
            }
            let digits = group(&radix(number, kind), layout.grouping);
            let prefix = if layout.alternate {
                radix_prefix(kind)
            } else {
                ""
            };
            pad_number(out, number < 0, prefix, digits, &layout);
            Ok(())
        }
        (Some(Number::Int(_)), None) => {
            pad(
                out,
                &py_str(value),
                "",
                &Layout {
                    align: layout.align.or(Some('<')),
                    ..layout
                },
            );
            Ok(())
        }
        (Some(number), kind) => {
            let number = number.to_f64();
            let size = number.abs();
            let digits = match kind {
                Some('%') => float(size * 100.0, 'f', layout.precision.unwrap_or(6), false) + "%",
                Some('n') => float(size, 'g', layout.precision.unwrap_or(6), layout.alternate),
                Some(kind) => float(size, kind, layout.precision.unwrap_or(6), layout.alternate),
                None => match layout.precision {
                    Some(precision) => {
                        let text = float(size, 'g', precision, false);
                        if text.contains(['.', 'e']) {
                            text
                        } else {
                            text + ".0"
                        }
                    }
                    None => py_float(size),
                },
            };
            pad_number(
                out,
                number.is_sign_negative(),
                "",
                group(&digits, layout.grouping),
                &layout,
            );
            Ok(())
        }
    }
}

/// `[[fill]align][sign][#][0][width][grouping][.precision][type]`.
fn parse_spec(spec: &str) -> Result<Layout, Error> {
    let mut layout = Layout::default();
    let mut chars: Vec<char> = spec.chars().collect();
    chars.reverse();
    let is_align = |char: Option<&char>| char.is_some_and(|char| "<>=^".contains(*char));
    if chars.len() > 1 && is_align(chars.get(chars.len() - 2)) {
        layout.fill = chars.pop();
        layout.align = chars.pop();
    } else if is_align(chars.last()) {
        layout.align = chars.pop();
    }
    if chars.last().is_some_and(|char| "+- ".contains(*char)) {
        layout.sign = chars.pop();
    }
    if chars.last() == Some(&'#') {
        layout.alternate = true;
        chars.pop();
    }
    if chars.last() == Some(&'0') {
        layout.zero = true;
        chars.pop();
    }
    let digits = |chars: &mut Vec<char>| -> Result<Option<usize>, Error> {
        let mut text = String::new();
        while chars.last().is_some_and(char::is_ascii_digit) {
            text.extend(chars.pop());
        }
        match text.is_empty() {
            true => Ok(None),
            false => small(text.parse().unwrap_or(u64::MAX)).map(Some),
        }
    };
    layout.width = digits(&mut chars)?.unwrap_or(0);
    if chars.last().is_some_and(|char| ",_".contains(*char)) {
        layout.grouping = chars.pop();
    }
    if chars.last() == Some(&'.') {
        chars.pop();
        layout.precision = Some(
            digits(&mut chars)?.ok_or_else(|| type_error("format specifier missing precision"))?,
        );
    }
    layout.kind = chars.pop();
    match chars.is_empty() {
        true => Ok(layout),
        false => Err(type_error(format!("invalid format specifier `{spec}`"))),
    }
}

fn radix(number: i128, kind: char) -> String {
    let size = number.unsigned_abs();
    match kind {
        'x' => format!("{size:x}"),
        'X' => format!("{size:X}"),
        'o' => format!("{size:o}"),
        'b' => format!("{size:b}"),
        _ => size.to_string(),
    }
}

fn radix_prefix(kind: char) -> &'static str {
    match kind {
        'x' => "0x",
        'X' => "0X",
        'o' => "0o",
        'b' => "0b",
        _ => "",
    }
}

/// A non-negative float in one of C's notations.
fn float(value: f64, kind: char, precision: usize, alternate: bool) -> String {
    if !value.is_finite() {
        let text = if value.is_nan() { "nan" } else { "inf" };
        return if kind.is_uppercase() {
            text.to_uppercase()
        } else {
            text.to_owned()
        };
    }
    let text = match kind {
        'f' | 'F' => format!("{value:.precision$}"),
        'e' | 'E' => exponent(&format!("{value:.precision$e}")),
        _ => {
            let precision = precision.max(1);
            let scientific = format!("{value:.*e}", precision - 1);
            let power: i64 = scientific
                .split_once('e')
                .and_then(|(_, power)| power.parse().ok())
                .unwrap_or(0);
            let limit = i64::try_from(precision).unwrap_or(i64::MAX);
            let mut text = if power < -4 || power >= limit {
                scientific
            } else {
                let decimals = usize::try_from(limit - 1 - power).unwrap_or(0);
                format!("{value:.decimals$}")
            };
            if !alternate {
                let (number, power) = match text.split_once('e') {
                    Some((number, power)) => (number, format!("e{power}")),
                    None => (text.as_str(), String::new()),
                };
                let number = match number.contains('.') {
                    true => number.trim_end_matches('0').trim_end_matches('.'),
                    false => number,
                };
                text = format!("{number}{power}");
            }
            if text.contains('e') {
                exponent(&text)
            } else {
                text
            }
        }
    };
    if kind.is_uppercase() {
        text.to_uppercase()
    } else {
        text
    }
}

/// `1e5` as C writes it: `1e+05`.
fn exponent(text: &str) -> String {
    let (number, power) = text.split_once('e').unwrap_or((text, "0"));
    let (sign, digits) = match power.strip_prefix('-') {
        Some(digits) => ('-', digits),
        None => ('+', power),
    };
    format!("{number}e{sign}{digits:0>2}")
}

/// Puts a separator between groups of three digits of the whole part.
fn group(digits: &str, separator: Option<char>) -> String {
    let Some(separator) = separator else {
        return digits.to_owned();
    };
    let end = digits
        .find(|char: char| !char.is_ascii_digit())
        .unwrap_or(digits.len());
    let (whole, rest) = digits.split_at(end);
    let mut out = String::with_capacity(digits.len() + whole.len() / 3);
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            out.push(separator);
        }
        out.push(digit);
    }
    out + rest
}

fn truncate(text: &str, precision: Option<usize>) -> String {
    match precision {
        Some(precision) => text.chars().take(precision).collect(),
        None => text.to_owned(),
    }
}

fn pad_number(out: &mut String, negative: bool, prefix: &str, digits: String, layout: &Layout) {
    let sign = match (negative, layout.sign) {
        (true, _) => "-",
        (false, Some('+')) => "+",
        (false, Some(' ')) => " ",
        _ => "",
    };
    let head = format!("{sign}{prefix}");
    let layout = Layout {
        align: layout.align.or(Some('>')),
        ..layout.clone()
    };
    pad(out, &digits, &head, &layout);
}

/// Writes `head` and `text` into the width; zeros go between them.
fn pad(out: &mut String, text: &str, head: &str, layout: &Layout) {
    let length = head.chars().count() + text.chars().count();
    let missing = layout.width.saturating_sub(length);
    let between = layout.align == Some('=')
        || (layout.zero && layout.align != Some('<') && layout.fill.is_none());
    let fill = layout
        .fill
        .unwrap_or(if layout.zero && between { '0' } else { ' ' });
    let (before, middle, after) = match layout.align {
        _ if between => (0, missing, 0),
        Some('<') => (0, 0, missing),
        Some('^') => (missing / 2, 0, missing - missing / 2),
        _ => (missing, 0, 0),
    };
    let fill_with = |out: &mut String, count: usize| out.extend(std::iter::repeat_n(fill, count));
    fill_with(out, before);
    out.push_str(head);
    fill_with(out, middle);
    out.push_str(text);
    fill_with(out, after);
}
