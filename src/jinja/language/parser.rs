//! Parses a template into minijinja's syntax tree, by Jinja2's grammar and with dbt's tags.
//!
//! Python's operators, displays and macros are lowered here to calls of our own, so minijinja's
//! code generator and machine stay as they are. Expressions are parsed in [`super::expression`].

use std::ops::Range;
use std::sync::Arc;

use indexmap::IndexSet;
use minijinja::Value;
use minijinja::machinery::{Span, ast};
use rustc_hash::FxBuildHasher;

use super::fault::Origin;
use super::lexer::{Spanned, SyntaxError, Token, tokenize};
use super::macros::{MacroDef, Maker, Parameter};
use super::native;
use super::operators::names;
use super::syntax::Syntax;
use crate::diagnostic::nearest;

pub(crate) type Stmt = ast::Stmt<'static>;
pub(crate) type Expr = ast::Expr<'static>;
pub(crate) type Parse<T> = Result<T, SyntaxError>;

/// How deeply tags and expressions may nest.
const MAX_DEPTH: usize = 100;

const TAGS: [&str; 16] = [
    "if",
    "for",
    "set",
    "do",
    "macro",
    "call",
    "filter",
    "with",
    "raw",
    "materialization",
    "test",
    "data_test",
    "docs",
    "snapshot",
    "break",
    "continue",
];

/// What a text mentions, collected while it is parsed.
#[derive(Default)]
pub(crate) struct Mentions {
    /// Every name that is read.
    pub names: IndexSet<&'static str, FxBuildHasher>,
    /// Names that are called, as written; see [`super::MacroInfo::calls`].
    pub calls: Vec<String>,
    /// `adapter.dispatch(name, namespace)` with constant arguments.
    pub dispatches: Vec<(String, Option<String>)>,
}

impl Mentions {
    pub fn call(&mut self, name: String) {
        if !self.calls.contains(&name) {
            self.calls.push(name);
        }
    }

    fn absorb(&mut self, inner: &Mentions) {
        self.names.extend(inner.names.iter().copied());
        for name in &inner.calls {
            self.call(name.clone());
        }
        for dispatch in &inner.dispatches {
            if !self.dispatches.contains(dispatch) {
                self.dispatches.push(dispatch.clone());
            }
        }
    }
}

/// A macro at the top of a file.
pub(crate) struct ParsedMacro {
    pub def: MacroDef,
    pub span: Range<usize>,
    pub mentions: Mentions,
    pub is_materialization: bool,
    pub languages: Vec<String>,
}

/// A `snapshot` block.
pub(crate) struct ParsedSnapshot {
    pub name: String,
    pub span: Range<usize>,
    pub body: Vec<Stmt>,
    pub mentions: Mentions,
}

/// What a file holds.
pub(crate) struct Parsed {
    pub body: Vec<Stmt>,
    pub mentions: Mentions,
    pub macros: Vec<ParsedMacro>,
    pub snapshots: Vec<ParsedSnapshot>,
}

/// Whether macros at the top of a file are collected, or belong to the template around them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    MacroFile,
    Template,
    /// A YAML scalar, whose printed values are kept.
    Native,
}

pub(crate) struct Parser<'a> {
    pub syntax: &'a Syntax,
    pub text: &'a str,
    pub tokens: Vec<Spanned<'a>>,
    pub at: usize,
    pub depth: usize,
    /// What the text mentions, by enclosing macro.
    pub mentions: Vec<Mentions>,
    /// The caller that the outermost call of a `call` tag passes.
    pub caller: Option<Expr>,
    pub kind: Kind,
    origin: &'a Arc<Origin>,
    package: &'a Arc<str>,
    open: Vec<(&'static str, Range<usize>)>,
    loops: usize,
    macros: Vec<ParsedMacro>,
    snapshots: Vec<ParsedSnapshot>,
}

/// Parses the bytes `range` of a text.
pub(crate) fn parse(
    syntax: &Syntax,
    kind: Kind,
    origin: &Arc<Origin>,
    package: &Arc<str>,
    text: &str,
    range: Range<usize>,
) -> Parse<Parsed> {
    let mut parser = Parser {
        syntax,
        text,
        tokens: tokenize(text, range)?,
        at: 0,
        depth: 0,
        mentions: vec![Mentions::default()],
        caller: None,
        kind,
        origin,
        package,
        open: Vec::new(),
        loops: 0,
        macros: Vec::new(),
        snapshots: Vec::new(),
    };
    let body = parser.statements(&[])?;
    Ok(Parsed {
        body,
        mentions: parser.mentions.pop().unwrap_or_default(),
        macros: parser.macros,
        snapshots: parser.snapshots,
    })
}

/// The span of a node: all on one line, so that every instruction keeps its bytes.
pub(crate) fn span(range: &Range<usize>) -> Span {
    let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    Span {
        start_line: 1,
        start_col: 0,
        start_offset: offset(range.start),
        end_line: 1,
        end_col: 0,
        end_offset: offset(range.end),
    }
}

pub(crate) fn node<T>(node: T, range: &Range<usize>) -> ast::Spanned<T> {
    ast::Spanned::new(node, span(range))
}

pub(crate) fn constant(value: Value, range: &Range<usize>) -> Expr {
    Expr::Const(node(ast::Const { value }, range))
}

/// A call of a filter: how operators are lowered.
pub(crate) fn apply(
    name: &'static str,
    first: Expr,
    rest: Vec<Expr>,
    range: &Range<usize>,
) -> Expr {
    let args = rest.into_iter().map(ast::CallArg::Pos).collect();
    Expr::Filter(node(
        ast::Filter {
            name,
            expr: Some(first),
            args,
        },
        range,
    ))
}

/// A call of a value.
pub(crate) fn call(value: Value, args: Vec<ast::CallArg<'static>>, range: &Range<usize>) -> Expr {
    let expr = constant(value, range);
    Expr::Call(node(ast::Call { expr, args }, range))
}

impl<'a> Parser<'a> {
    /// A statement that prints a value.
    fn emit(&self, expr: Expr, range: &Range<usize>) -> Stmt {
        let expr = match self.kind {
            Kind::Native => {
                let is_constant = Value::from(native::is_constant(&expr));
                apply(names::NODE, expr, vec![constant(is_constant, range)], range)
            }
            _ => expr,
        };
        Stmt::EmitExpr(node(ast::EmitExpr { expr }, range))
    }

    // --- tokens ---

    pub fn peek(&self) -> Option<&Token<'a>> {
        self.tokens.get(self.at).map(|(token, _)| token)
    }

    pub fn peek_at(&self, ahead: usize) -> Option<&Token<'a>> {
        self.tokens.get(self.at + ahead).map(|(token, _)| token)
    }

    /// The bytes of the next token; at the end, the end.
    pub fn range(&self) -> Range<usize> {
        match self.tokens.get(self.at) {
            Some((_, range)) => range.clone(),
            None => {
                let end = self.tokens.last().map_or(0, |(_, range)| range.end);
                end..end
            }
        }
    }

    /// From a start to the end of the last token.
    pub fn since(&self, start: usize) -> Range<usize> {
        let end = match self.at {
            0 => start,
            at => self.tokens[at - 1].1.end,
        };
        start..end.max(start)
    }

    pub fn is_op(&self, operator: &str) -> bool {
        matches!(self.peek(), Some(Token::Op(found)) if *found == operator)
    }

    pub fn is_name(&self, name: &str) -> bool {
        matches!(self.peek(), Some(Token::Name(found)) if *found == name)
    }

    pub fn skip_op(&mut self, operator: &str) -> bool {
        let found = self.is_op(operator);
        self.at += usize::from(found);
        found
    }

    pub fn skip_name(&mut self, name: &str) -> bool {
        let found = self.is_name(name);
        self.at += usize::from(found);
        found
    }

    pub fn expect_op(&mut self, operator: &'static str) -> Parse<()> {
        match self.skip_op(operator) {
            true => Ok(()),
            false => Err(self.unexpected(&format!("`{operator}`"))),
        }
    }

    pub fn expect_name(&mut self, what: &str) -> Parse<&'static str> {
        match self.peek() {
            Some(Token::Name(name)) => {
                let name = self.syntax.intern(name);
                self.at += 1;
                Ok(name)
            }
            _ => Err(self.unexpected(what)),
        }
    }

    pub fn unexpected(&self, expected: &str) -> SyntaxError {
        let range = self.range();
        let found = match self.peek() {
            None => "the end of the template".to_owned(),
            Some(Token::Data(_)) => "text".to_owned(),
            Some(_) => format!("`{}`", &self.text[range.clone()]),
        };
        SyntaxError::new(format!("unexpected {found}, expected {expected}"), range)
    }

    /// Counts the depth of what `parse` reads.
    pub fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Parse<T>) -> Parse<T> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(SyntaxError::new("this is nested too deeply", self.range()));
        }
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    pub fn mention(&mut self) -> &mut Mentions {
        self.mentions
            .last_mut()
            .expect("the outermost text mentions too")
    }

    // --- statements ---

    /// Statements up to a tag whose name is one of `ends`, which is left as the next token.
    fn statements(&mut self, ends: &[&str]) -> Parse<Vec<Stmt>> {
        let mut body = Vec::new();
        loop {
            let range = self.range();
            match self.tokens.get_mut(self.at) {
                None => {
                    return match self.open.last() {
                        Some((tag, range)) if !ends.is_empty() => Err(SyntaxError::new(
                            format!("this `{tag}` is not closed"),
                            range.clone(),
                        )),
                        _ => Ok(body),
                    };
                }
                Some((Token::Data(data), _)) => {
                    let value = Value::from(std::mem::take(data));
                    self.at += 1;
                    let data = self.emit(constant(value, &range), &range);
                    body.push(data);
                }
                Some((Token::PrintStart, _)) => {
                    self.at += 1;
                    let start = self.range().start;
                    let expr = self.tuple(true)?;
                    let inner = self.since(start);
                    if self.peek() != Some(&Token::PrintEnd) {
                        return Err(self.unexpected("`}}`"));
                    }
                    self.at += 1;
                    body.push(self.emit(expr, &inner));
                }
                Some(_) => {
                    self.at += 1;
                    if let Some(Token::Name(name)) = self.peek()
                        && ends.contains(name)
                    {
                        return Ok(body);
                    }
                    if let Some(statement) = self.nested(|parser| parser.statement(range.start))? {
                        body.push(statement);
                    }
                    self.block_end()?;
                }
            }
        }
    }

    fn block_end(&mut self) -> Parse<()> {
        match self.peek() {
            Some(Token::BlockEnd) => {
                self.at += 1;
                Ok(())
            }
            _ => Err(self.unexpected("`%}`")),
        }
    }

    /// The body of a tag: behind its `%}`, up to one of `ends`.
    fn body(&mut self, tag: &'static str, start: usize, ends: &[&str]) -> Parse<Vec<Stmt>> {
        self.skip_op(":");
        let opening = self.since(start);
        self.block_end()?;
        self.open.push((tag, opening));
        let body = self.statements(ends)?;
        self.open.pop();
        Ok(body)
    }

    /// The body of a tag that has one end, which is consumed.
    fn whole_body(&mut self, tag: &'static str, start: usize, end: &str) -> Parse<Vec<Stmt>> {
        let body = self.body(tag, start, &[end])?;
        self.at += 1;
        Ok(body)
    }

    /// One tag; `start` is where its `{%` stands.
    fn statement(&mut self, start: usize) -> Parse<Option<Stmt>> {
        let range = self.range();
        let Some(Token::Name(name)) = self.peek() else {
            return Err(self.unexpected("a tag's name"));
        };
        let name = *name;
        self.at += 1;
        Ok(Some(match name {
            "if" => self.if_tag(start)?,
            "for" => self.for_tag(start)?,
            "set" => self.set_tag(start)?,
            "do" => {
                let expr = self.tuple(true)?;
                let range = self.since(range.start);
                let expr = apply(names::DO, expr, Vec::new(), &range);
                Stmt::EmitExpr(node(ast::EmitExpr { expr }, &range))
            }
            "print" => {
                let expr = self.tuple(true)?;
                let range = self.since(range.start);
                self.emit(expr, &range)
            }
            "with" => self.with_tag(start)?,
            "filter" => {
                let filter_start = self.range().start;
                let filter = self.filter_chain()?;
                let filter_span = span(&self.since(filter_start));
                let body = self.whole_body("filter", start, "endfilter")?;
                Stmt::FilterBlock(node(
                    ast::FilterBlock {
                        filter,
                        filter_span,
                        body,
                    },
                    &range,
                ))
            }
            "autoescape" => {
                self.expression()?;
                let body = self.whole_body("autoescape", start, "endautoescape")?;
                let assignments = Vec::new();
                Stmt::WithBlock(node(ast::WithBlock { assignments, body }, &range))
            }
            "call" => self.call_tag(start)?,
            "macro" => return self.macro_tag(start),
            "test" | "data_test" => {
                self.test_tag(start, name)?;
                return Ok(None);
            }
            "materialization" => {
                self.materialization_tag(start)?;
                return Ok(None);
            }
            "snapshot" => {
                self.snapshot_tag(start)?;
                return Ok(None);
            }
            "break" | "continue" if self.loops == 0 => {
                return Err(SyntaxError::new(
                    format!("`{name}` stands outside of a loop"),
                    range,
                ));
            }
            "break" => Stmt::Break(node(ast::Break, &range)),
            "continue" => Stmt::Continue(node(ast::Continue, &range)),
            "block" | "extends" | "include" | "import" | "from" => {
                return Err(SyntaxError::new(
                    format!("`{name}` is not available: dbt has no template files to load"),
                    range,
                ));
            }
            _ => return Err(self.unknown_tag(name, range)),
        }))
    }

    fn unknown_tag(&self, name: &str, range: Range<usize>) -> SyntaxError {
        if name.starts_with("end") || matches!(name, "else" | "elif") {
            let mut error = SyntaxError::new(format!("unexpected `{name}`"), range);
            if let Some((tag, opened)) = self.open.last() {
                error.opened = Some((opened.clone(), format!("this `{tag}` is open")));
            }
            return error;
        }
        let hint = match nearest(name, TAGS) {
            Some(near) => format!("no tag named `{name}`; did you mean `{near}`?"),
            None => format!("no tag named `{name}`"),
        };
        SyntaxError::new(hint, range)
    }

    fn if_tag(&mut self, start: usize) -> Parse<Stmt> {
        let expr = self.tuple(false)?;
        let true_body = self.body("if", start, &["elif", "else", "endif"])?;
        let branch = self.range();
        let name = self.expect_name("`endif`")?;
        let false_body = match name {
            "elif" => vec![self.nested(|parser| parser.if_tag(branch.start))?],
            "else" => self.whole_body("if", start, "endif")?,
            _ => Vec::new(),
        };
        let condition = ast::IfCond {
            expr,
            true_body,
            false_body,
        };
        Ok(Stmt::IfCond(node(condition, &(start..branch.end))))
    }

    fn for_tag(&mut self, start: usize) -> Parse<Stmt> {
        let target = self.target()?;
        if !self.skip_name("in") {
            return Err(self.unexpected("`in`"));
        }
        let iter_start = self.range().start;
        let iter = self.tuple(false)?;
        let iter_range = self.since(iter_start);
        let iter = apply(names::ITER, iter, Vec::new(), &iter_range);
        let filter_expr = match self.skip_name("if") {
            true => Some(self.expression()?),
            false => None,
        };
        let recursive = self.skip_name("recursive");
        self.loops += 1;
        let body = self.body("for", start, &["else", "endfor"])?;
        self.loops -= 1;
        let else_body = match self.expect_name("`endfor`")? {
            "else" => self.whole_body("for", start, "endfor")?,
            _ => Vec::new(),
        };
        Ok(Stmt::ForLoop(node(
            ast::ForLoop {
                target,
                iter,
                filter_expr,
                recursive,
                body,
                else_body,
            },
            &iter_range,
        )))
    }

    fn set_tag(&mut self, start: usize) -> Parse<Stmt> {
        let range = self.range();
        let target = match (self.peek(), self.peek_at(1)) {
            (Some(Token::Name(_)), Some(Token::Op("."))) => {
                let name = self.expect_name("a name")?;
                self.mention().names.insert(name);
                self.at += 1;
                let attribute = self.expect_name("a name")?;
                let expr = Expr::Var(node(ast::Var { id: name }, &range));
                let range = self.since(range.start);
                Expr::GetAttr(node(
                    ast::GetAttr {
                        expr,
                        name: attribute,
                    },
                    &range,
                ))
            }
            _ => self.target()?,
        };
        if self.skip_op("=") {
            let expr = self.tuple(true)?;
            let range = self.since(range.start);
            return Ok(Stmt::Set(node(ast::Set { target, expr }, &range)));
        }
        let filter = match self.skip_op("|") {
            true => Some(self.filter_chain()?),
            false => None,
        };
        if !matches!(self.peek(), Some(Token::BlockEnd)) {
            return Err(self.unexpected("`=` or `%}`"));
        }
        let body = self.whole_body("set", start, "endset")?;
        Ok(Stmt::SetBlock(node(
            ast::SetBlock {
                target,
                filter,
                body,
            },
            &range,
        )))
    }

    fn with_tag(&mut self, start: usize) -> Parse<Stmt> {
        let range = self.range();
        let mut assignments = Vec::new();
        while !matches!(self.peek(), Some(Token::BlockEnd)) {
            if !assignments.is_empty() {
                self.expect_op(",")?;
            }
            let target = self.single_target()?;
            self.expect_op("=")?;
            assignments.push((target, self.expression()?));
        }
        let body = self.whole_body("with", start, "endwith")?;
        Ok(Stmt::WithBlock(node(
            ast::WithBlock { assignments, body },
            &range,
        )))
    }

    /// `a` or `a, (b, c)`: what `for` and `set` assign to.
    fn target(&mut self) -> Parse<Expr> {
        let start = self.range().start;
        let mut items = vec![self.single_target()?];
        let mut is_tuple = false;
        while self.skip_op(",") {
            is_tuple = true;
            if !matches!(self.peek(), Some(Token::Name(name)) if *name != "in") && !self.is_op("(")
            {
                break;
            }
            items.push(self.single_target()?);
        }
        if is_tuple {
            let range = self.since(start);
            return Ok(Expr::List(node(ast::List { items }, &range)));
        }
        Ok(items.remove(0))
    }

    fn single_target(&mut self) -> Parse<Expr> {
        let range = self.range();
        for open in ["(", "["] {
            if self.skip_op(open) {
                let target = self.nested(Parser::target)?;
                self.expect_op(if open == "(" { ")" } else { "]" })?;
                return Ok(target);
            }
        }
        let name = self.expect_name("a name")?;
        if matches!(name, "true" | "false" | "none" | "True" | "False" | "None") {
            return Err(SyntaxError::new(
                format!("cannot assign to `{name}`"),
                range,
            ));
        }
        Ok(Expr::Var(node(ast::Var { id: name }, &range)))
    }

    // --- macros ---

    /// `(a, b=1)`, each default as a program of its own.
    fn signature(&mut self) -> Parse<Vec<Parameter>> {
        self.expect_op("(")?;
        let mut parameters: Vec<Parameter> = Vec::new();
        while !self.skip_op(")") {
            if !parameters.is_empty() {
                self.expect_op(",")?;
                if self.skip_op(")") {
                    break;
                }
            }
            let range = self.range();
            let name = self.expect_name("a parameter's name")?;
            if parameters.iter().any(|parameter| parameter.name == name) {
                return Err(SyntaxError::new(
                    format!("two parameters are named `{name}`"),
                    range,
                ));
            }
            let default = match self.skip_op("=") {
                true => Some(self.expression()?),
                false if parameters.iter().any(Parameter::has_default) => {
                    return Err(SyntaxError::new(
                        format!("parameter `{name}` without a default follows one with a default"),
                        range,
                    ));
                }
                false => None,
            };
            parameters.push(Parameter::new(name, default.as_ref()));
        }
        Ok(parameters)
    }

    /// Parses what a macro consists of, and hands back what it mentions.
    fn definition(
        &mut self,
        name: &str,
        parse: impl FnOnce(&mut Self) -> Parse<(Vec<Parameter>, Vec<Stmt>)>,
    ) -> Parse<(MacroDef, Mentions)> {
        self.mentions.push(Mentions::default());
        let loops = std::mem::take(&mut self.loops);
        let (parameters, body) = parse(self)?;
        self.loops = loops;
        let mentions = self.mentions.pop().unwrap_or_default();
        let def = MacroDef::new(name, self.package, self.origin, parameters, body, &mentions);
        Ok((def, mentions))
    }

    /// The expression that makes the value of a macro inside a template, with the names it captures.
    fn maker(&mut self, def: MacroDef, mentions: &Mentions, range: &Range<usize>) -> Expr {
        self.mention().absorb(mentions);
        let args = mentions
            .names
            .iter()
            .filter(|name| !def.has_local(name))
            .map(|name| ast::CallArg::Kwarg(name, Expr::Var(node(ast::Var { id: name }, range))))
            .collect();
        call(Value::from_object(Maker::new(def)), args, range)
    }

    fn collect(&mut self, start: usize, def: MacroDef, mentions: Mentions) -> &mut ParsedMacro {
        let span = start..self.range().end;
        self.macros.push(ParsedMacro {
            def,
            span,
            mentions,
            is_materialization: false,
            languages: Vec::new(),
        });
        self.macros.last_mut().expect("it was just pushed")
    }

    fn macro_tag(&mut self, start: usize) -> Parse<Option<Stmt>> {
        let range = self.range();
        let name = self.expect_name("the macro's name")?;
        let (def, mentions) = self.definition(name, |parser| {
            let parameters = parser.signature()?;
            Ok((parameters, parser.whole_body("macro", start, "endmacro")?))
        })?;
        if self.kind == Kind::MacroFile && self.open.is_empty() {
            self.collect(start, def, mentions);
            return Ok(None);
        }
        let target = Expr::Var(node(ast::Var { id: name }, &range));
        let expr = self.maker(def, &mentions, &range);
        Ok(Some(Stmt::Set(node(ast::Set { target, expr }, &range))))
    }

    fn test_tag(&mut self, start: usize, tag: &str) -> Parse<()> {
        let name = self.expect_name("the test's name")?;
        let (tag, end) = match tag {
            "test" => ("test", "endtest"),
            _ => ("data_test", "enddata_test"),
        };
        let (def, mentions) = self.definition(&format!("test_{name}"), |parser| {
            let parameters = match parser.is_op("(") {
                true => parser.signature()?,
                false => Vec::new(),
            };
            Ok((parameters, parser.whole_body(tag, start, end)?))
        })?;
        self.collect(start, def, mentions);
        Ok(())
    }

    /// `{% materialization name, adapter='x', supported_languages=['sql'] %}`
    fn materialization_tag(&mut self, start: usize) -> Parse<()> {
        let name = self.expect_name("the materialization's name")?;
        let mut adapter = "default".to_owned();
        let mut languages = Vec::new();
        while self.skip_op(",") {
            let range = self.range();
            match self.expect_name("`default`, `adapter` or `supported_languages`")? {
                "default" => {}
                "adapter" => {
                    self.expect_op("=")?;
                    adapter = self.text_constant()?;
                }
                "supported_languages" => {
                    self.expect_op("=")?;
                    self.expect_op("[")?;
                    while !self.skip_op("]") {
                        languages.push(self.text_constant()?);
                        self.skip_op(",");
                    }
                }
                other => {
                    return Err(SyntaxError::new(
                        format!("a materialization takes no `{other}`"),
                        range,
                    ));
                }
            }
        }
        let full = format!("materialization_{name}_{adapter}");
        let (def, mentions) = self.definition(&full, |parser| {
            let body = parser.whole_body("materialization", start, "endmaterialization")?;
            Ok((Vec::new(), body))
        })?;
        let collected = self.collect(start, def, mentions);
        collected.is_materialization = true;
        collected.languages = languages;
        Ok(())
    }

    fn text_constant(&mut self) -> Parse<String> {
        match self.peek() {
            Some(Token::Text(text)) => {
                let text = text.clone();
                self.at += 1;
                Ok(text)
            }
            _ => Err(self.unexpected("a string")),
        }
    }

    fn snapshot_tag(&mut self, start: usize) -> Parse<()> {
        let name = self.expect_name("the snapshot's name")?.to_owned();
        self.mentions.push(Mentions::default());
        let body = self.whole_body("snapshot", start, "endsnapshot")?;
        let mentions = self.mentions.pop().unwrap_or_default();
        let span = start..self.range().end;
        self.snapshots.push(ParsedSnapshot {
            name,
            span,
            body,
            mentions,
        });
        Ok(())
    }

    /// `{% call(x) f(y) %} .. {% endcall %}`: the body becomes the `caller` of the call.
    fn call_tag(&mut self, start: usize) -> Parse<Stmt> {
        let range = self.range();
        let mut call_at = self.at;
        let (def, mentions) = self.definition("caller", |parser| {
            let parameters = match parser.is_op("(") {
                true => parser.signature()?,
                false => Vec::new(),
            };
            // The body comes first: the call is parsed once its caller is known.
            call_at = parser.at;
            while !matches!(parser.peek(), Some(Token::BlockEnd) | None) {
                parser.at += 1;
            }
            Ok((parameters, parser.whole_body("call", start, "endcall")?))
        })?;
        let resume = self.at;
        let caller = self.maker(def.into_caller(), &mentions, &range);
        self.at = call_at;
        let expr_range = self.range();
        self.caller = Some(caller);
        let expr = self.expression()?;
        let expr_range = self.since(expr_range.start);
        if self.caller.take().is_some() || !matches!(self.peek(), Some(Token::BlockEnd)) {
            return Err(SyntaxError::new(
                "`call` needs a call of a macro",
                expr_range,
            ));
        }
        self.at = resume;
        Ok(self.emit(expr, &expr_range))
    }
}
