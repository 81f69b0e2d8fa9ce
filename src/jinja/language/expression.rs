//! The expressions of the parser, by Jinja2's precedence.

use std::ops::Range;

use minijinja::machinery::ast::{self, BinOpKind, CallArg, CompareOpKind, UnaryOpKind};
use minijinja::value::Value;

use super::lexer::{SyntaxError, Token};
use super::lowered::{DictDisplay, ListDisplay, Located};
use super::native::native_filter;
use super::operators::{int, names};
use super::parser::{Expr, Kind, Parse, Parser, apply, call, constant, node};

/// Functions of the context that want to know where they were called.
const LOCATED: [&str; 6] = ["ref", "source", "self", "config", "metric", "function"];

impl Parser<'_> {
    /// An expression, or several with commas between them, which make a tuple.
    ///
    /// `conditional` says whether `a if b else c` may stand at the top.
    pub fn tuple(&mut self, conditional: bool) -> Parse<Expr> {
        let start = self.range().start;
        let first = self.element(conditional)?;
        if !self.is_op(",") {
            return Ok(first);
        }
        let mut items = vec![first];
        while self.skip_op(",") {
            if self.ends_tuple() {
                break;
            }
            items.push(self.element(conditional)?);
        }
        let range = self.since(start);
        Ok(Expr::Tuple(node(ast::Tuple { items }, &range)))
    }

    fn element(&mut self, conditional: bool) -> Parse<Expr> {
        match conditional {
            true => self.expression(),
            false => self.nested(Parser::or),
        }
    }

    fn ends_tuple(&self) -> bool {
        match self.peek() {
            None | Some(Token::PrintEnd | Token::BlockEnd) => true,
            Some(Token::Op(operator)) => matches!(*operator, ")" | "]" | "}" | ":"),
            Some(Token::Name(name)) => matches!(*name, "if" | "recursive"),
            _ => false,
        }
    }

    /// One expression.
    pub fn expression(&mut self) -> Parse<Expr> {
        self.nested(|parser| {
            let start = parser.range().start;
            let mut expr = parser.or()?;
            while parser.skip_name("if") {
                let test_expr = parser.or()?;
                let false_expr = match parser.skip_name("else") {
                    true => Some(parser.expression()?),
                    false => None,
                };
                let range = parser.since(start);
                expr = Expr::IfExpr(node(
                    ast::IfExpr {
                        test_expr,
                        true_expr: expr,
                        false_expr,
                    },
                    &range,
                ));
            }
            Ok(expr)
        })
    }

    fn binary(&self, op: BinOpKind, left: Expr, right: Expr, start: usize) -> Expr {
        Expr::BinOp(node(ast::BinOp { op, left, right }, &self.since(start)))
    }

    fn or(&mut self) -> Parse<Expr> {
        let start = self.range().start;
        let mut left = self.and()?;
        while self.skip_name("or") {
            let right = self.and()?;
            left = self.binary(BinOpKind::ScOr, left, right, start);
        }
        Ok(left)
    }

    fn and(&mut self) -> Parse<Expr> {
        let start = self.range().start;
        let mut left = self.not()?;
        while self.skip_name("and") {
            let right = self.not()?;
            left = self.binary(BinOpKind::ScAnd, left, right, start);
        }
        Ok(left)
    }

    fn not(&mut self) -> Parse<Expr> {
        let start = self.range().start;
        if self.skip_name("not") {
            let expr = self.nested(Parser::not)?;
            return Ok(self.negated(expr, start));
        }
        self.comparison()
    }

    fn negated(&self, expr: Expr, start: usize) -> Expr {
        let op = UnaryOpKind::Not;
        Expr::UnaryOp(node(ast::UnaryOp { op, expr }, &self.since(start)))
    }

    fn comparison(&mut self) -> Parse<Expr> {
        let start = self.range().start;
        let first = self.sum()?;
        let mut ops = Vec::new();
        loop {
            let op = match self.peek() {
                Some(Token::Op("==")) => CompareOpKind::Eq,
                Some(Token::Op("!=")) => CompareOpKind::Ne,
                Some(Token::Op("<")) => CompareOpKind::Lt,
                Some(Token::Op("<=")) => CompareOpKind::Lte,
                Some(Token::Op(">")) => CompareOpKind::Gt,
                Some(Token::Op(">=")) => CompareOpKind::Gte,
                Some(Token::Name("in")) => CompareOpKind::In,
                Some(Token::Name("not")) if self.peek_at(1) == Some(&Token::Name("in")) => {
                    self.at += 1;
                    CompareOpKind::NotIn
                }
                _ => break,
            };
            self.at += 1;
            ops.push((op, self.sum()?));
        }
        if ops.len() > 1 {
            let ops = ops
                .into_iter()
                .map(|(op, expr)| ast::CompareOp { op, expr })
                .collect();
            let range = self.since(start);
            return Ok(Expr::Compare(node(
                ast::Compare { expr: first, ops },
                &range,
            )));
        }
        let Some((op, right)) = ops.pop() else {
            return Ok(first);
        };
        let name = match op {
            CompareOpKind::Eq => return Ok(self.binary(BinOpKind::Eq, first, right, start)),
            CompareOpKind::Ne => return Ok(self.binary(BinOpKind::Ne, first, right, start)),
            CompareOpKind::Lt => names::LT,
            CompareOpKind::Lte => names::LE,
            CompareOpKind::Gt => names::GT,
            CompareOpKind::Gte => names::GE,
            CompareOpKind::In => names::IN,
            CompareOpKind::NotIn => names::NOT_IN,
        };
        Ok(apply(name, first, vec![right], &self.since(start)))
    }

    /// A chain of operators of one precedence.
    fn chain(
        &mut self,
        operators: &[&'static str],
        next: fn(&mut Self) -> Parse<Expr>,
    ) -> Parse<Expr> {
        let start = self.range().start;
        let mut left = next(self)?;
        loop {
            let name = match self.peek() {
                Some(Token::Op(operator)) if operators.contains(operator) => *operator,
                _ => return Ok(left),
            };
            self.at += 1;
            let right = next(self)?;
            left = apply(name, left, vec![right], &self.since(start));
        }
    }

    fn sum(&mut self) -> Parse<Expr> {
        self.chain(&[names::ADD, names::SUB], Parser::concatenation)
    }

    fn concatenation(&mut self) -> Parse<Expr> {
        let start = self.range().start;
        let first = self.product()?;
        let mut more = Vec::new();
        while self.skip_op("~") {
            more.push(self.product()?);
        }
        match more.is_empty() {
            true => Ok(first),
            false => Ok(apply(names::CONCAT, first, more, &self.since(start))),
        }
    }

    fn product(&mut self) -> Parse<Expr> {
        self.chain(
            &[names::MUL, names::DIV, names::FLOOR_DIV, names::MOD],
            Parser::power,
        )
    }

    fn power(&mut self) -> Parse<Expr> {
        self.chain(&[names::POW], |parser| parser.unary(true))
    }

    fn unary(&mut self, with_filter: bool) -> Parse<Expr> {
        let range = self.range();
        let sign = match self.peek() {
            Some(Token::Op("-")) => Some(names::NEG),
            Some(Token::Op("+")) => Some(names::POS),
            _ => None,
        };
        let expr = match sign {
            Some(sign) => {
                self.at += 1;
                let negated = match (sign, self.peek()) {
                    (names::NEG, Some(Token::Int(value))) => Some(int(-value)),
                    (names::NEG, Some(Token::Float(value))) => Some(Value::from(-value)),
                    _ => None,
                };
                let plain = !matches!(self.peek_at(1), Some(Token::Op("." | "[" | "(" | "**")));
                match negated.filter(|_| plain) {
                    Some(value) => {
                        self.at += 1;
                        constant(value, &self.since(range.start))
                    }
                    None => {
                        let operand = self.nested(|parser| parser.unary(false))?;
                        apply(sign, operand, Vec::new(), &self.since(range.start))
                    }
                }
            }
            None => self.primary()?,
        };
        let expr = self.postfix(expr, range.start)?;
        match with_filter {
            true => self.filters_and_tests(expr, range.start),
            false => Ok(expr),
        }
    }

    fn primary(&mut self) -> Parse<Expr> {
        let range = self.range();
        let Some(token) = self.peek().cloned() else {
            return Err(self.unexpected("an expression"));
        };
        self.at += 1;
        Ok(match token {
            Token::Name("true" | "True") => constant(Value::from(true), &range),
            Token::Name("false" | "False") => constant(Value::from(false), &range),
            Token::Name("none" | "None") => constant(Value::from(()), &range),
            Token::Name(name) => {
                let id = self.syntax.intern(name);
                self.mention().names.insert(id);
                Expr::Var(node(ast::Var { id }, &range))
            }
            Token::Text(mut text) => {
                while let Some(Token::Text(more)) = self.peek() {
                    text.push_str(more);
                    self.at += 1;
                }
                constant(Value::from(text), &self.since(range.start))
            }
            Token::Int(value) => constant(int(value), &range),
            Token::Float(value) => constant(Value::from(value), &range),
            Token::Op("(") => self.parenthesis(&range)?,
            Token::Op("[") => {
                let items =
                    self.display("]", |parser| Ok(vec![CallArg::Pos(parser.expression()?)]))?;
                call(
                    Value::from_object(ListDisplay),
                    items,
                    &self.since(range.start),
                )
            }
            Token::Op("{") => {
                let entries = self.display("}", |parser| {
                    let key = parser.expression()?;
                    parser.expect_op(":")?;
                    Ok(vec![CallArg::Pos(key), CallArg::Pos(parser.expression()?)])
                })?;
                call(
                    Value::from_object(DictDisplay),
                    entries,
                    &self.since(range.start),
                )
            }
            _ => {
                self.at -= 1;
                return Err(self.unexpected("an expression"));
            }
        })
    }

    fn parenthesis(&mut self, range: &Range<usize>) -> Parse<Expr> {
        if self.skip_op(")") {
            let items = Vec::new();
            return Ok(Expr::Tuple(node(
                ast::Tuple { items },
                &self.since(range.start),
            )));
        }
        let expr = self.tuple(true)?;
        self.expect_op(")")?;
        Ok(expr)
    }

    /// The items of a list or a dict, up to and with its closing bracket.
    fn display(
        &mut self,
        close: &'static str,
        item: impl Fn(&mut Self) -> Parse<Vec<CallArg<'static>>>,
    ) -> Parse<Vec<CallArg<'static>>> {
        let mut items = Vec::new();
        while !self.skip_op(close) {
            if !items.is_empty() {
                self.expect_op(",")?;
                if self.skip_op(close) {
                    break;
                }
            }
            items.extend(item(self)?);
        }
        Ok(items)
    }

    /// Attributes, subscripts and calls behind an expression.
    fn postfix(&mut self, mut expr: Expr, start: usize) -> Parse<Expr> {
        loop {
            expr = match self.peek() {
                Some(Token::Op(".")) => {
                    self.at += 1;
                    match self.peek() {
                        Some(Token::Name(name)) => {
                            let name = self.syntax.intern(name);
                            self.at += 1;
                            let range = self.since(start);
                            Expr::GetAttr(node(ast::GetAttr { expr, name }, &range))
                        }
                        Some(Token::Int(index)) => {
                            let subscript_expr = constant(int(*index), &self.range());
                            self.at += 1;
                            let range = self.since(start);
                            Expr::GetItem(node(
                                ast::GetItem {
                                    expr,
                                    subscript_expr,
                                },
                                &range,
                            ))
                        }
                        _ => return Err(self.unexpected("a name or a number")),
                    }
                }
                Some(Token::Op("[")) => {
                    self.at += 1;
                    self.subscript(expr, start)?
                }
                Some(Token::Op("(")) => self.call(expr, start)?,
                _ => return Ok(expr),
            };
        }
    }

    fn subscript(&mut self, expr: Expr, start: usize) -> Parse<Expr> {
        let inner_start = self.range().start;
        let mut bounds: Vec<Option<Expr>> = vec![None];
        let mut items = Vec::new();
        loop {
            if self.skip_op("]") {
                break;
            }
            if self.skip_op(":") {
                bounds.push(None);
            } else if self.skip_op(",") {
                if let Some(Some(item)) = bounds.pop() {
                    items.push(item);
                }
                bounds.push(None);
            } else if matches!(bounds.last(), Some(None)) {
                let bound = self.expression()?;
                if let Some(last) = bounds.last_mut() {
                    *last = Some(bound);
                }
            } else {
                return Err(self.unexpected("`]`"));
            }
        }
        let range = self.since(start);
        if bounds.len() > 1 {
            if bounds.len() > 3 || !items.is_empty() {
                return Err(SyntaxError::new("this slice has too many parts", range));
            }
            bounds.resize_with(3, || None);
            let bounds = bounds
                .into_iter()
                .map(|bound| bound.unwrap_or_else(|| constant(Value::from(()), &range)))
                .collect();
            return Ok(apply(names::SLICE, expr, bounds, &range));
        }
        let last = bounds.pop().flatten();
        let subscript_expr = match (items.is_empty(), last) {
            (true, Some(item)) => item,
            (true, None) => return Err(SyntaxError::new("an index is missing", range)),
            (false, last) => {
                items.extend(last);
                Expr::Tuple(node(ast::Tuple { items }, &self.since(inner_start)))
            }
        };
        Ok(Expr::GetItem(node(
            ast::GetItem {
                expr,
                subscript_expr,
            },
            &range,
        )))
    }

    fn call(&mut self, expr: Expr, start: usize) -> Parse<Expr> {
        let args = self.arguments()?;
        let range = self.since(start);
        match &expr {
            Expr::Var(var) => {
                let name = var.id;
                self.mention().call(name.to_owned());
                if LOCATED.contains(&name) {
                    let mut all = vec![CallArg::Pos(expr)];
                    all.extend(args);
                    return Ok(call(
                        Value::from_object(Located::new(name, &range)),
                        all,
                        &range,
                    ));
                }
            }
            Expr::GetAttr(attribute) => {
                if let Expr::Var(var) = &attribute.expr {
                    self.mention_method(var.id, attribute.name, &args);
                }
            }
            _ => {}
        }
        Ok(Expr::Call(node(ast::Call { expr, args }, &range)))
    }

    fn mention_method(&mut self, object: &str, method: &str, args: &[CallArg<'static>]) {
        if (object, method) != ("adapter", "dispatch") {
            self.mention().call(format!("{object}.{method}"));
            return;
        }
        let mut name = None;
        let mut namespace = None;
        let text = |expr: &Expr| match expr {
            Expr::Const(constant) => constant.value.as_str().map(str::to_owned),
            _ => None,
        };
        for (index, arg) in args.iter().enumerate() {
            match (index, arg) {
                (0, CallArg::Pos(expr)) | (_, CallArg::Kwarg("macro_name", expr)) => {
                    name = text(expr)
                }
                (1, CallArg::Pos(expr)) | (_, CallArg::Kwarg("macro_namespace", expr)) => {
                    namespace = text(expr);
                }
                _ => {}
            }
        }
        if let Some(name) = name {
            self.mention().call(name.clone());
            self.mention().dispatches.push((name, namespace));
        }
    }

    fn arguments(&mut self) -> Parse<Vec<CallArg<'static>>> {
        self.expect_op("(")?;
        let mut args = Vec::new();
        let mut keywords = false;
        while !self.skip_op(")") {
            if !args.is_empty() {
                self.expect_op(",")?;
                if self.skip_op(")") {
                    break;
                }
            }
            if self.skip_op("*") {
                args.push(CallArg::PosSplat(self.expression()?));
            } else if self.skip_op("**") {
                keywords = true;
                args.push(CallArg::KwargSplat(self.expression()?));
            } else if let (Some(Token::Name(name)), Some(Token::Op("="))) =
                (self.peek(), self.peek_at(1))
            {
                keywords = true;
                let name = self.syntax.intern(name);
                self.at += 2;
                args.push(CallArg::Kwarg(name, self.expression()?));
            } else {
                let range = self.range();
                let expr = self.expression()?;
                if keywords {
                    return Err(SyntaxError::new(
                        "a positional argument follows a keyword argument",
                        self.since(range.start),
                    ));
                }
                args.push(CallArg::Pos(expr));
            }
        }
        if matches!(self.peek(), Some(Token::BlockEnd))
            && let Some(caller) = self.caller.take()
        {
            args.push(CallArg::Kwarg("caller", caller));
        }
        Ok(args)
    }

    fn filters_and_tests(&mut self, mut expr: Expr, start: usize) -> Parse<Expr> {
        loop {
            expr = match self.peek() {
                Some(Token::Op("|")) => {
                    self.at += 1;
                    self.filter(Some(expr), start)?
                }
                Some(Token::Name("is")) => {
                    self.at += 1;
                    self.test(expr, start)?
                }
                Some(Token::Op("(")) => self.call(expr, start)?,
                _ => return Ok(expr),
            };
        }
    }

    /// `a.b`: the name of a filter or a test.
    fn dotted_name(&mut self, what: &str) -> Parse<(&'static str, Range<usize>)> {
        let start = self.range().start;
        let mut name = self.expect_name(what)?;
        while self.is_op(".") {
            self.at += 1;
            let more = self.expect_name(what)?;
            name = self.syntax.intern(&format!("{name}.{more}"));
        }
        Ok((name, self.since(start)))
    }

    fn filter(&mut self, expr: Option<Expr>, start: usize) -> Parse<Expr> {
        let (name, range) = self.dotted_name("a filter's name")?;
        self.syntax.check_filter(name, &range)?;
        let name = match self.kind {
            Kind::Native => native_filter(name).unwrap_or(name),
            _ => name,
        };
        let args = match self.is_op("(") {
            true => self.arguments()?,
            false => Vec::new(),
        };
        let range = self.since(start);
        Ok(Expr::Filter(node(ast::Filter { name, expr, args }, &range)))
    }

    /// The filters of a `filter` or `set` block, whose text is on the stack.
    pub fn filter_chain(&mut self) -> Parse<Expr> {
        let start = self.range().start;
        let mut expr = self.filter(None, start)?;
        while self.skip_op("|") {
            expr = self.filter(Some(expr), start)?;
        }
        Ok(expr)
    }

    fn test(&mut self, expr: Expr, start: usize) -> Parse<Expr> {
        let negated = self.skip_name("not");
        let (name, range) = self.dotted_name("a test's name")?;
        self.syntax.check_test(name, &range)?;
        let takes_argument = match self.peek() {
            Some(Token::Name("else" | "or" | "and" | "if" | "is" | "in" | "not" | "recursive")) => {
                false
            }
            Some(Token::Name(_) | Token::Text(_) | Token::Int(_) | Token::Float(_)) => true,
            Some(Token::Op(operator)) => matches!(*operator, "[" | "{"),
            _ => false,
        };
        let args = if self.is_op("(") {
            self.arguments()?
        } else if takes_argument {
            let argument_start = self.range().start;
            let argument = self.primary()?;
            vec![CallArg::Pos(self.postfix(argument, argument_start)?)]
        } else {
            Vec::new()
        };
        let range = self.since(start);
        let test = Expr::Test(node(ast::Test { name, expr, args }, &range));
        Ok(match negated {
            true => self.negated(test, start),
            false => test,
        })
    }
}
