//! `modules.re`: Python's regular expressions, on an engine that knows look-around and back references.

use std::fmt;
use std::sync::Arc;

use fancy_regex::Regex;
use minijinja::value::{Object, ObjectRepr};
use minijinja::{Error, State, Value};

use crate::jinja::context::callable::{Answer, function, given, namespace, text};
use crate::jinja::language::{bind, dict, list, py_repr, py_str, tuple, type_error};

const IGNORECASE: i64 = 2;
const MULTILINE: i64 = 8;
const DOTALL: i64 = 16;
const UNICODE: i64 = 32;
const VERBOSE: i64 = 64;
const ASCII: i64 = 256;

/// `modules.re`.
pub(super) fn module() -> Value {
    namespace("re", |name| {
        let number = match name {
            "IGNORECASE" | "I" => IGNORECASE,
            "MULTILINE" | "M" => MULTILINE,
            "DOTALL" | "S" => DOTALL,
            "VERBOSE" | "X" => VERBOSE,
            "UNICODE" | "U" => UNICODE,
            "ASCII" | "A" => ASCII,
            _ => return module_function(name),
        };
        Some(Value::from(number))
    })
}

fn module_function(name: &str) -> Option<Value> {
    let name = match name {
        "compile" => {
            return Some(function("re.compile", |_, args| {
                let [pattern, flags] = bind("re.compile", args, ["pattern", "flags"], 1)?;
                Ok(Value::from_dyn_object(compiled(&pattern, &flags)?))
            }));
        }
        "escape" => {
            return Some(function("re.escape", |_, args| {
                let [pattern] = bind("re.escape", args, ["pattern"], 1)?;
                Ok(Value::from(escape(
                    &text(pattern.as_ref()).unwrap_or_default(),
                )))
            }));
        }
        "match" => "match",
        "search" => "search",
        "fullmatch" => "fullmatch",
        "findall" => "findall",
        "finditer" => "finditer",
        "split" => "split",
        "sub" => "sub",
        "subn" => "subn",
        _ => return None,
    };
    Some(function(name, move |state, args| match name {
        "sub" | "subn" => {
            let [pattern, replacement, string, count, flags] = bind(
                name,
                args,
                ["pattern", "repl", "string", "count", "flags"],
                3,
            )?;
            compiled(&pattern, &flags)?.substitute(state, name, replacement, string, count)
        }
        "split" => {
            let [pattern, string, limit, flags] =
                bind(name, args, ["pattern", "string", "maxsplit", "flags"], 2)?;
            compiled(&pattern, &flags)?.split(string, limit)
        }
        _ => {
            let [pattern, string, flags] = bind(name, args, ["pattern", "string", "flags"], 2)?;
            compiled(&pattern, &flags)?.find(name, string)
        }
    }))
}

/// A pattern: searched for anywhere, at the start, or as the whole text.
struct Pattern {
    source: String,
    flags: i64,
    anywhere: Regex,
}

/// Text with the flags' letters in front, as this engine and Python both read it.
fn build(source: &str, flags: i64) -> Result<Regex, Error> {
    let mut letters = String::new();
    for (flag, letter) in [
        (IGNORECASE, 'i'),
        (MULTILINE, 'm'),
        (DOTALL, 's'),
        (VERBOSE, 'x'),
    ] {
        if flags & flag != 0 {
            letters.push(letter);
        }
    }
    // Python's `\Z` is the very end.
    let source = source.replace("\\Z", "\\z");
    let full = match letters.is_empty() {
        true => source,
        false => format!("(?{letters}){source}"),
    };
    Regex::new(&full)
        .map_err(|error| type_error(format!("the pattern `{full}` does not parse: {error}")))
}

fn compiled(pattern: &Option<Value>, flags: &Option<Value>) -> Result<Arc<Pattern>, Error> {
    let Some(pattern) = given(pattern) else {
        return Err(type_error("a regular expression is needed"));
    };
    if let Some(pattern) = pattern.downcast_object::<Pattern>() {
        return Ok(pattern);
    }
    let source = py_str(pattern);
    let flags = given(flags).and_then(Value::as_i64).unwrap_or(0);
    Ok(Arc::new(Pattern {
        anywhere: build(&source, flags)?,
        source,
        flags,
    }))
}

fn subject(string: &Option<Value>) -> Result<Arc<str>, Error> {
    match string.as_ref().map(|value| (value, value.as_str())) {
        Some((_, Some(text))) => Ok(text.into()),
        Some((value, None)) if !value.is_none() && !value.is_undefined() => {
            Ok(py_str(value).into())
        }
        _ => Err(type_error("a regular expression needs text, not none")),
    }
}

fn failed(error: fancy_regex::Error) -> Error {
    type_error(format!("the regular expression gave up: {error}"))
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        if "()[]{}?*+-|^$\\.&~# \t\n\r\x0b\x0c".contains(letter) {
            out.push('\\');
        }
        out.push(letter);
    }
    out
}

impl Pattern {
    fn first(&self, name: &str, text: &Arc<str>) -> Result<Option<Match>, Error> {
        let anchored = match name {
            "match" => Some(build(&format!("\\A(?:{})", self.source), self.flags)?),
            "fullmatch" => Some(build(&format!("\\A(?:{})\\z", self.source), self.flags)?),
            _ => None,
        };
        let regex = anchored.as_ref().unwrap_or(&self.anywhere);
        let found = regex.captures(&**text).map_err(failed)?;
        Ok(found.map(|captures| Match::new(regex, text, &captures)))
    }

    fn all(&self, text: &Arc<str>) -> Result<Vec<Match>, Error> {
        self.anywhere
            .captures_iter(&**text)
            .map(|captures| {
                captures
                    .map(|captures| Match::new(&self.anywhere, text, &captures))
                    .map_err(failed)
            })
            .collect()
    }

    fn find(&self, name: &str, string: Option<Value>) -> Answer {
        let text = subject(&string)?;
        match name {
            "findall" => Ok(list(
                self.all(&text)?
                    .iter()
                    .map(|found| match found.spans.len() {
                        1 => found.group(0, ""),
                        2 => found.group(1, ""),
                        count => tuple((1..count).map(|at| found.group(at, "")).collect()),
                    })
                    .collect(),
            )),
            "finditer" => Ok(list(
                self.all(&text)?
                    .into_iter()
                    .map(Value::from_object)
                    .collect(),
            )),
            _ => Ok(self
                .first(name, &text)?
                .map_or(Value::from(()), Value::from_object)),
        }
    }

    fn split(&self, string: Option<Value>, limit: Option<Value>) -> Answer {
        let text = subject(&string)?;
        let limit = given(&limit)
            .and_then(Value::as_usize)
            .filter(|&limit| limit > 0)
            .unwrap_or(usize::MAX);
        let mut parts = Vec::new();
        let mut start = 0;
        for found in self.all(&text)?.into_iter().take(limit) {
            let (from, to) = found.spans[0].unwrap_or((start, start));
            parts.push(Value::from(&text[start..from]));
            for group in 1..found.spans.len() {
                parts.push(found.optional_group(group));
            }
            start = to;
        }
        parts.push(Value::from(&text[start..]));
        Ok(list(parts))
    }

    fn substitute(
        &self,
        state: &mut State<'_, '_>,
        name: &str,
        replacement: Option<Value>,
        string: Option<Value>,
        count: Option<Value>,
    ) -> Answer {
        let text = subject(&string)?;
        let limit = given(&count)
            .and_then(Value::as_usize)
            .filter(|&count| count > 0)
            .unwrap_or(usize::MAX);
        let replacement = replacement.unwrap_or_default();
        let template = replacement.as_str().map(str::to_owned);
        let mut out = String::new();
        let mut start = 0;
        let mut done = 0;
        for found in self.all(&text)?.into_iter().take(limit) {
            let (from, to) = found.spans[0].unwrap_or((start, start));
            out.push_str(&text[start..from]);
            match &template {
                Some(template) => out.push_str(&found.expand(template)?),
                None => {
                    let found = Value::from_object(found);
                    out.push_str(&py_str(&replacement.call(state, &[found])?));
                }
            }
            start = to;
            done += 1;
        }
        out.push_str(&text[start..]);
        Ok(match name {
            "subn" => tuple(vec![Value::from(out), Value::from(done)]),
            _ => Value::from(out),
        })
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "re.compile({})",
            py_repr(&Value::from(self.source.as_str()))
        )
    }
}

impl Object for Pattern {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = match key.as_str()? {
            "pattern" => return Some(Value::from(self.source.as_str())),
            "flags" => return Some(Value::from(self.flags | UNICODE)),
            "groups" => return Some(Value::from(self.anywhere.captures_len() - 1)),
            "match" => "match",
            "search" => "search",
            "fullmatch" => "fullmatch",
            "findall" => "findall",
            "finditer" => "finditer",
            "split" => "split",
            "sub" => "sub",
            "subn" => "subn",
            _ => return None,
        };
        let this = Arc::clone(self);
        Some(function(name, move |state, args| match name {
            "sub" | "subn" => {
                let [replacement, string, count] =
                    bind(name, args, ["repl", "string", "count"], 2)?;
                this.substitute(state, name, replacement, string, count)
            }
            "split" => {
                let [string, limit] = bind(name, args, ["string", "maxsplit"], 1)?;
                this.split(string, limit)
            }
            _ => {
                let [string] = bind(name, args, ["string"], 1)?;
                this.find(name, string)
            }
        }))
    }
}

/// What a pattern matched.
struct Match {
    text: Arc<str>,
    spans: Vec<Option<(usize, usize)>>,
    names: Vec<(String, usize)>,
}

impl Match {
    fn new(regex: &Regex, text: &Arc<str>, captures: &fancy_regex::Captures<'_, str>) -> Match {
        Match {
            text: Arc::clone(text),
            spans: (0..captures.len())
                .map(|at| captures.get(at).map(|group| (group.start(), group.end())))
                .collect(),
            names: regex
                .capture_names()
                .enumerate()
                .filter_map(|(at, name)| Some((name?.to_owned(), at)))
                .collect(),
        }
    }

    fn part(&self, at: usize) -> Option<&str> {
        let (from, to) = (*self.spans.get(at)?)?;
        self.text.get(from..to)
    }

    fn group(&self, at: usize, missing: &str) -> Value {
        Value::from(self.part(at).unwrap_or(missing))
    }

    fn optional_group(&self, at: usize) -> Value {
        self.part(at).map_or(Value::from(()), Value::from)
    }

    fn index(&self, key: &Value) -> Result<usize, Error> {
        let found = match key.as_str() {
            Some(name) => self
                .names
                .iter()
                .find(|(known, _)| known == name)
                .map(|(_, at)| *at),
            None => key.as_usize().filter(|&at| at < self.spans.len()),
        };
        found.ok_or_else(|| type_error(format!("the match has no group {}", py_repr(key))))
    }

    /// Python counts characters where Rust counts bytes.
    fn characters(&self, offset: usize) -> i64 {
        i64::try_from(self.text[..offset].chars().count()).unwrap_or(i64::MAX)
    }

    /// Fills a replacement: `\1`, `\g<1>`, `\g<name>` and the usual escapes.
    fn expand(&self, template: &str) -> Result<String, Error> {
        let mut out = String::new();
        let mut rest = template;
        while let Some(at) = rest.find('\\') {
            out.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            let next = rest.chars().next();
            match next {
                Some('g') if rest.starts_with("g<") => {
                    let Some((name, after)) = rest[2..].split_once('>') else {
                        return Err(type_error("a replacement has `\\g<` without `>`"));
                    };
                    let key = match name.parse::<usize>() {
                        Ok(number) => Value::from(number),
                        Err(_) => Value::from(name),
                    };
                    out.push_str(self.part(self.index(&key)?).unwrap_or(""));
                    rest = after;
                }
                Some(digit) if digit.is_ascii_digit() && digit != '0' => {
                    let two = rest.as_bytes().get(1).is_some_and(u8::is_ascii_digit);
                    let length = if two { 2 } else { 1 };
                    let number: usize = rest[..length].parse().unwrap_or(usize::MAX);
                    out.push_str(self.part(self.index(&Value::from(number))?).unwrap_or(""));
                    rest = &rest[length..];
                }
                Some(letter) => {
                    match letter {
                        'n' => out.push('\n'),
                        't' => out.push('\t'),
                        'r' => out.push('\r'),
                        '\\' => out.push('\\'),
                        other => {
                            out.push('\\');
                            out.push(other);
                        }
                    }
                    rest = &rest[letter.len_utf8()..];
                }
                None => out.push('\\'),
            }
        }
        out.push_str(rest);
        Ok(out)
    }

    fn method(&self, name: &str, args: &[Value]) -> Answer {
        let bound = |args: &[Value]| -> Result<Option<(usize, usize)>, Error> {
            let [group] = bind(name, args, ["group"], 0)?;
            let at = group.map_or(Ok(0), |key| self.index(&key))?;
            Ok(self.spans[at])
        };
        Ok(match name {
            "group" => match args {
                [] => self.group(0, ""),
                [only] => self.optional_group(self.index(only)?),
                many => {
                    let groups = many
                        .iter()
                        .map(|key| Ok(self.optional_group(self.index(key)?)));
                    tuple(groups.collect::<Result<_, Error>>()?)
                }
            },
            "groups" => {
                let [default] = bind(name, args, ["default"], 0)?;
                let missing = default.unwrap_or(Value::from(()));
                let group = |at| self.part(at).map_or(missing.clone(), Value::from);
                tuple((1..self.spans.len()).map(group).collect())
            }
            "groupdict" => {
                let [default] = bind(name, args, ["default"], 0)?;
                let missing = default.unwrap_or(Value::from(()));
                dict(self.names.iter().map(|(name, at)| {
                    let value = self.part(*at).map_or(missing.clone(), Value::from);
                    (Value::from(name.as_str()), value)
                }))
            }
            "start" => Value::from(bound(args)?.map_or(-1, |(from, _)| self.characters(from))),
            "end" => Value::from(bound(args)?.map_or(-1, |(_, to)| self.characters(to))),
            "span" => match bound(args)? {
                Some((from, to)) => tuple(vec![
                    Value::from(self.characters(from)),
                    Value::from(self.characters(to)),
                ]),
                None => tuple(vec![Value::from(-1), Value::from(-1)]),
            },
            _ => {
                let [template] = bind(name, args, ["template"], 1)?;
                Value::from(self.expand(&text(template.as_ref()).unwrap_or_default())?)
            }
        })
    }
}

impl fmt::Debug for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to) = self.spans[0].unwrap_or_default();
        let shown = py_repr(&self.group(0, ""));
        write!(
            f,
            "<re.Match object; span=({}, {}), match={shown}>",
            self.characters(from),
            self.characters(to)
        )
    }
}

impl Object for Match {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = match key.as_str() {
            Some("string") => return Some(Value::from(&*self.text)),
            Some("lastindex") => {
                let last = (1..self.spans.len())
                    .rev()
                    .find(|&at| self.spans[at].is_some());
                return Some(last.map_or(Value::from(()), Value::from));
            }
            Some("group") => "group",
            Some("groups") => "groups",
            Some("groupdict") => "groupdict",
            Some("start") => "start",
            Some("end") => "end",
            Some("span") => "span",
            Some("expand") => "expand",
            _ => return self.index(key).ok().map(|at| self.optional_group(at)),
        };
        let this = Arc::clone(self);
        Some(function(name, move |_, args| this.method(name, args)))
    }
}
