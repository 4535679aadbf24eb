//! Makes a tree of a condition's tokens, by recursive descent with a limit on depth and size.

use std::sync::Arc;

use super::ast::{Arith, Binary, Expr, ExprKind};
use super::lexer::{Token, TokenKind, tokens};
use super::{DEPTH_MAX, NODES_MAX, Problem, Span};

/// Reads a condition.
///
/// # Errors
/// The first thing that does not belong where it stands.
pub(crate) fn parse(text: &str) -> Result<Expr, Problem> {
    let tokens = tokens(text)?;
    let mut parser = Parser { text, tokens: &tokens, next: 0, depth: 0, n_nodes: 0 };
    let expr = parser.or()?;
    match parser.peek().kind {
        TokenKind::End => Ok(expr),
        _ => Err(parser.leftover()),
    }
}

struct Parser<'a> {
    text: &'a str,
    tokens: &'a [Token],
    next: usize,
    depth: usize,
    n_nodes: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> &'a Token {
        // The last token is `End`, which nobody takes.
        &self.tokens[self.next]
    }

    fn take(&mut self) -> &'a Token {
        let token = self.peek();
        if token.kind != TokenKind::End {
            self.next += 1;
        }
        token
    }

    fn node(&mut self, kind: ExprKind, span: Span) -> Result<Expr, Problem> {
        self.n_nodes += 1;
        if self.n_nodes > NODES_MAX {
            let message = format!("more than {NODES_MAX} operators, names and literals");
            return Err(Problem::new(span, message));
        }
        Ok(Expr { kind, span })
    }

    /// Runs `inner` one level deeper.
    fn deeper(
        &mut self,
        at: Span,
        inner: fn(&mut Self) -> Result<Expr, Problem>,
    ) -> Result<Expr, Problem> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(Problem::new(at, format!("nested deeper than {DEPTH_MAX} levels")));
        }
        let expr = inner(self)?;
        self.depth -= 1;
        Ok(expr)
    }

    fn binary(&mut self, op: Binary, at: Span, left: Expr, right: Expr) -> Result<Expr, Problem> {
        let span = left.span.to(right.span);
        let (left, right) = (Box::new(left), Box::new(right));
        self.node(ExprKind::Binary { op, at, left, right }, span)
    }

    /// `operand { op operand }`, for the operators that `op_of` knows.
    fn chain(
        &mut self,
        operand: fn(&mut Self) -> Result<Expr, Problem>,
        op_of: fn(&TokenKind) -> Option<Binary>,
    ) -> Result<Expr, Problem> {
        let mut left = operand(self)?;
        while let Some(op) = op_of(&self.peek().kind) {
            let at = self.take().span;
            let right = operand(self)?;
            left = self.binary(op, at, left, right)?;
        }
        Ok(left)
    }

    fn or(&mut self) -> Result<Expr, Problem> {
        self.chain(Self::and, |kind| (*kind == TokenKind::Or).then_some(Binary::Or))
    }

    fn and(&mut self) -> Result<Expr, Problem> {
        self.chain(Self::not, |kind| (*kind == TokenKind::And).then_some(Binary::And))
    }

    fn not(&mut self) -> Result<Expr, Problem> {
        if self.peek().kind != TokenKind::Not {
            return self.comparison();
        }
        let at = self.take().span;
        let inner = self.deeper(at, Self::not)?;
        let span = at.to(inner.span);
        self.node(ExprKind::Not(Box::new(inner)), span)
    }

    fn comparison(&mut self) -> Result<Expr, Problem> {
        let left = self.sum()?;
        let TokenKind::Compare(op) = self.peek().kind else {
            return Ok(left);
        };
        let at = self.take().span;
        let right = self.sum()?;
        if let TokenKind::Compare(_) = self.peek().kind {
            let symbol = self.peek().span;
            let (l, r) = (left.span.of(self.text), right.span.of(self.text));
            let first = format!("`{l} {} {r} and {r} {} …`", op.symbol(), symbol.of(self.text));
            return Err(
                Problem::new(symbol, "comparisons do not chain").help(format!("write {first}"))
            );
        }
        self.binary(Binary::Compare(op), at, left, right)
    }

    fn sum(&mut self) -> Result<Expr, Problem> {
        self.chain(Self::product, |kind| match kind {
            TokenKind::Arith(op @ (Arith::Add | Arith::Subtract)) => Some(Binary::Arith(*op)),
            _ => None,
        })
    }

    fn product(&mut self) -> Result<Expr, Problem> {
        self.chain(Self::sign, |kind| match kind {
            TokenKind::Arith(op @ (Arith::Multiply | Arith::Divide | Arith::Remainder)) => {
                Some(Binary::Arith(*op))
            }
            _ => None,
        })
    }

    fn sign(&mut self) -> Result<Expr, Problem> {
        if self.peek().kind != TokenKind::Arith(Arith::Subtract) {
            return self.primary();
        }
        let at = self.take().span;
        let inner = self.deeper(at, Self::sign)?;
        let span = at.to(inner.span);
        self.node(ExprKind::Negate(Box::new(inner)), span)
    }

    fn primary(&mut self) -> Result<Expr, Problem> {
        let token = self.peek();
        let kind = match &token.kind {
            TokenKind::Number(number) => ExprKind::Number(*number),
            TokenKind::Duration(secs) => ExprKind::Duration(*secs),
            TokenKind::True => ExprKind::Truth(true),
            TokenKind::False => ExprKind::Truth(false),
            TokenKind::Text(text) => ExprKind::Text(Arc::clone(text)),
            TokenKind::Quoted(name) => {
                self.take();
                let metric = self.node(ExprKind::Metric(name.clone()), token.span)?;
                return self.offset(metric);
            }
            TokenKind::Name(name) => {
                self.take();
                let named = match &self.peek().kind {
                    TokenKind::Name(word) if **word == *"by" => {
                        return self.group(name, token.span);
                    }
                    TokenKind::Open => self.call(name, token.span)?,
                    _ => self.node(ExprKind::Name(name.clone()), token.span)?,
                };
                return self.offset(named);
            }
            TokenKind::Open => {
                self.take();
                let mut inner = self.deeper(token.span, Self::or)?;
                let close = self.close(token.span)?;
                inner.span = token.span.to(close);
                return Ok(inner);
            }
            _ => return Err(self.unexpected("a metric, a number or `(`")),
        };
        self.take();
        self.node(kind, token.span)
    }

    fn call(&mut self, name: &str, at: Span) -> Result<Expr, Problem> {
        let (args, close) = self.args()?;
        self.node(ExprKind::Call { name: name.into(), at, args }, at.to(close))
    }

    /// `name by (labels) (args)`, of which the name is taken.
    fn group(&mut self, name: &str, at: Span) -> Result<Expr, Problem> {
        self.take();
        let open = self.peek().span;
        if self.peek().kind != TokenKind::Open {
            return Err(self.unexpected("`(` and the labels of the groups"));
        }
        self.take();
        let mut by = Vec::new();
        while let TokenKind::Name(label) = &self.peek().kind {
            by.push((label.clone(), self.take().span));
            if self.peek().kind != TokenKind::Comma {
                break;
            }
            self.take();
        }
        self.close(open)?;
        if self.peek().kind != TokenKind::Open {
            return Err(self.unexpected("`(` and what the members give"));
        }
        let (args, close) = self.args()?;
        self.node(ExprKind::Group { name: name.into(), at, by, args }, at.to(close))
    }

    /// What stands in parentheses, and where they end.
    fn args(&mut self) -> Result<(Vec<Expr>, Span), Problem> {
        let open = self.take().span;
        let mut args = Vec::new();
        if self.peek().kind != TokenKind::Close {
            args.push(self.deeper(open, Self::or)?);
            while self.peek().kind == TokenKind::Comma {
                self.take();
                args.push(self.deeper(open, Self::or)?);
            }
        }
        Ok((args, self.close(open)?))
    }

    /// `inner offset 1h`, or `inner` as it is.
    fn offset(&mut self, inner: Expr) -> Result<Expr, Problem> {
        match &self.peek().kind {
            TokenKind::Name(word) if **word == *"offset" => self.take(),
            _ => return Ok(inner),
        };
        let at = self.peek().span;
        let TokenKind::Duration(by) = self.peek().kind else {
            return Err(self.unexpected("a duration like `1h`"));
        };
        self.take();
        let span = inner.span.to(at);
        self.node(ExprKind::Offset { inner: Box::new(inner), by, at }, span)
    }

    fn close(&mut self, open: Span) -> Result<Span, Problem> {
        match self.peek().kind {
            TokenKind::Close => Ok(self.take().span),
            TokenKind::End => {
                Err(Problem::new(open, "the parenthesis has no end").help("close it with `)`"))
            }
            _ => Err(self.leftover()),
        }
    }

    fn unexpected(&self, expected: &str) -> Problem {
        let span = self.peek().span;
        match self.peek().kind {
            TokenKind::End => {
                Problem::new(span, format!("the expression ends where {expected} should be"))
            }
            _ => Problem::new(span, format!("unexpected `{}`", span.of(self.text)))
                .help(format!("{expected} should be here")),
        }
    }

    /// A whole expression is over, but there is more.
    fn leftover(&self) -> Problem {
        let token = self.peek();
        let word = token.span.of(self.text);
        let problem = Problem::new(token.span, format!("unexpected `{word}`"));
        let lower = word.to_lowercase();
        match &token.kind {
            TokenKind::Name(_) if super::lexer::KEYWORDS.contains(&lower.as_str()) => {
                problem.help(format!("write `{lower}`"))
            }
            TokenKind::Match | TokenKind::NoMatch => {
                problem.help("patterns are for labels, in `select`; compare texts with `=` or `!=`")
            }
            TokenKind::Close => problem.help("there is no `(` that it closes"),
            _ => problem.help("an operator like `and`, `>` or `+` should be here"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tree in Polish notation.
    fn shape(expr: &Expr) -> String {
        match &expr.kind {
            ExprKind::Number(number) | ExprKind::Duration(number) => number.to_string(),
            ExprKind::Offset { inner, by, .. } => format!("(offset {} {by})", shape(inner)),
            ExprKind::Truth(truth) => truth.to_string(),
            ExprKind::Text(text) => format!("'{text}'"),
            ExprKind::Name(name) | ExprKind::Metric(name) => name.to_string(),
            ExprKind::Not(inner) => format!("(not {})", shape(inner)),
            ExprKind::Negate(inner) => format!("(neg {})", shape(inner)),
            ExprKind::Call { name, args, .. } => {
                format!("({name} {})", args.iter().map(shape).collect::<Vec<_>>().join(" "))
            }
            ExprKind::Group { name, by, args, .. } => {
                let by: Vec<_> = by.iter().map(|(label, _)| &**label).collect();
                let args: Vec<_> = args.iter().map(shape).collect();
                format!("({name} by [{}] {})", by.join(" "), args.join(" "))
            }
            ExprKind::Binary { op, left, right, .. } => {
                let op = match op {
                    Binary::Or => "or",
                    Binary::And => "and",
                    Binary::Compare(op) => op.symbol(),
                    Binary::Arith(Arith::Add) => "+",
                    Binary::Arith(Arith::Subtract) => "-",
                    Binary::Arith(Arith::Multiply) => "*",
                    Binary::Arith(Arith::Divide) => "/",
                    Binary::Arith(Arith::Remainder) => "%",
                };
                format!("({op} {} {})", shape(left), shape(right))
            }
        }
    }

    #[test]
    fn operators_bind_as_documented() {
        for (text, expected) in [
            ("a or b and not c", "(or a (and b (not c)))"),
            ("not a > b", "(not (> a b))"),
            ("a - b - c", "(- (- a b) c)"),
            ("a + b * -c % 2 >= 3", "(>= (+ a (% (* b (neg c)) 2)) 3)"),
            ("(a or b) and c", "(and (or a b) c)"),
            ("last(motor.speed) == 5m", "(= (last motor.speed) 300)"),
            ("a - avg(a, 1m) offset 1h > 2", "(> (- a (offset (avg a 60) 3600)) 2)"),
            ("a offset 1d = `b` offset 2s", "(= (offset a 86400) (offset b 2))"),
            ("offset > 1", "(> offset 1)"),
            ("by > avg by () (a)", "(> by (avg by [] a))"),
            ("count by (site, kind) (a > 2) >= 3", "(>= (count by [site kind] (> a 2)) 3)"),
            ("`a-b` != 'x'", "(!= a-b 'x')"),
        ] {
            assert_eq!(parse(text).map(|expr| shape(&expr)), Ok(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn errors_say_what_would_be_right() {
        for (text, start, message, help) in [
            ("", 0, "the expression ends where a metric, a number or `(` should be", None),
            ("a >", 3, "the expression ends where a metric, a number or `(` should be", None),
            ("a > > b", 4, "unexpected `>`", Some("a metric, a number or `(` should be here")),
            ("a AND b", 2, "unexpected `AND`", Some("write `and`")),
            ("(a > 1", 0, "the parenthesis has no end", Some("close it with `)`")),
            ("a > 1)", 5, "unexpected `)`", Some("there is no `(` that it closes")),
            (
                "avg by site (a)",
                7,
                "unexpected `site`",
                Some("`(` and the labels of the groups should be here"),
            ),
            (
                "avg by (site) > 2",
                14,
                "unexpected `>`",
                Some("`(` and what the members give should be here"),
            ),
            ("1 < a < 2", 6, "comparisons do not chain", Some("write `1 < a and a < …`")),
        ] {
            let problem = parse(text).expect_err(text);
            assert_eq!(
                (problem.span.start, problem.message.as_str(), problem.help.as_deref()),
                (start, message, help),
                "{text}"
            );
        }
    }

    #[test]
    fn depth_and_size_have_limits() {
        let nested = |n| format!("{}a{}", "(".repeat(n), ")".repeat(n));
        assert!(parse(&nested(DEPTH_MAX)).is_ok());
        for hostile in [nested(DEPTH_MAX + 1), nested(30_000), "not ".repeat(16_000) + "a"] {
            let problem = parse(&hostile).expect_err("too deep");
            assert_eq!(problem.message, "nested deeper than 64 levels");
        }
        let problem = parse(&("a".to_owned() + &"+a".repeat(30_000))).expect_err("too big");
        assert_eq!(problem.message, "more than 1000 operators, names and literals");
        assert!(parse(&"a".repeat(70_000)).is_err(), "too long");
    }
}
