//! Asks whether a condition makes sense, and numbers the metrics it uses.
//!
//! All that is wrong is reported, not the first thing only: a part that is wrong has the kind
//! [`Kind::Wrong`], about which nothing more is said.

use std::sync::Arc;
use std::time::Duration;

use bellwire_model::MetricName;

use super::ast::{Arith, Binary, Comparison, Expr, ExprKind};
use super::calls::age_deadline;
use super::functions::Stat;
use super::names::{Names, Param, Params};
use super::{Problem, Span, parser};

/// A part of a condition that makes sense.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) kind: NodeKind,
    /// Where it stands in the condition's text.
    pub(crate) span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum NodeKind {
    /// Also a boolean, as 1 or 0.
    Constant(f64),
    /// The last value of this one of the rule's [`Names::inputs`].
    Input(u16),
    /// A number made of this one of the rule's [`Names::windows`].
    Window(u16, Stat),
    /// The seconds since this input was read.
    Age(u16),
    /// Whether this input has been silent for so long.
    Absent(u16, Duration),
    /// The metres between where two inputs say the device is, and a latitude and longitude.
    Distance([u16; 2], (f64, f64)),
    /// Whether the device is within these corners.
    Inside([u16; 2], Arc<[(f64, f64)]>),
    Not(Box<Node>),
    Negate(Box<Node>),
    Abs(Box<Node>),
    Arith(Arith, Box<Node>, Box<Node>),
    Compare(Comparison, Box<Node>, Box<Node>),
    /// Whether an input is this text, or ([`Comparison::NotEqual`]) is not.
    TextIs {
        op: Comparison,
        input: u16,
        /// Where the input stands in the condition's text.
        metric: Span,
        text: Arc<str>,
    },
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
}

/// Reads and checks a condition.
///
/// # Errors
/// Everything that is wrong with it.
pub(crate) fn condition(text: &str, names: &mut Names<'_>) -> Result<Node, Vec<Problem>> {
    let expr = parser::parse(text).map_err(|problem| vec![problem])?;
    let n_inputs_used = uses_metric(&expr, names.params);
    let mut checker =
        Checker { text, names, problems: Vec::new(), is_within_group: false, bare: None };
    let (node, kind) = checker.node(&expr);
    checker.must_be_truth(&expr, kind, "the condition");
    if checker.problems.is_empty() && !n_inputs_used {
        let problem = Problem::new(expr.span, "the condition names no metric");
        checker.problems.push(problem.help("it would always be the same"));
    }
    checker.must_be_of_one_kind(expr.span);
    if checker.problems.is_empty() { Ok(node) } else { Err(checker.problems) }
}

fn uses_metric(expr: &Expr, params: &Params) -> bool {
    match &expr.kind {
        ExprKind::Number(_) | ExprKind::Duration(_) | ExprKind::Truth(_) | ExprKind::Text(_) => {
            false
        }
        ExprKind::Name(name) => !params.contains_key(name.as_ref()),
        ExprKind::Metric(_) => true,
        ExprKind::Not(inner) | ExprKind::Negate(inner) => uses_metric(inner, params),
        ExprKind::Binary { left, right, .. } => {
            uses_metric(left, params) || uses_metric(right, params)
        }
        ExprKind::Offset { inner, .. } => uses_metric(inner, params),
        ExprKind::Group { .. } => true,
        ExprKind::Call { name, args, .. } => {
            matches!(&**name, "distance" | "inside")
                || args.iter().any(|arg| uses_metric(arg, params))
        }
    }
}

/// What a part can be used as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Number,
    /// Seconds.
    Duration,
    Truth,
    Text,
    /// A bare metric: whatever its place asks for.
    Metric,
    /// Already reported.
    Wrong,
}

impl Kind {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Number => "a number",
            Self::Duration => "a duration",
            Self::Truth => "a condition",
            Self::Text => "a text",
            Self::Metric => "a metric",
            Self::Wrong => "an error",
        }
    }
}

pub(super) struct Checker<'a, 'n> {
    pub(super) text: &'a str,
    pub(super) names: &'a mut Names<'n>,
    problems: Vec<Problem>,
    /// Names mean metrics of a group's members.
    pub(super) is_within_group: bool,
    /// The first metric that is no member's.
    bare: Option<Span>,
}

impl Checker<'_, '_> {
    pub(super) fn wrong(&mut self, problem: Problem) -> Kind {
        self.problems.push(problem);
        Kind::Wrong
    }

    pub(super) fn node(&mut self, expr: &Expr) -> (Node, Kind) {
        let (kind, of) = match &expr.kind {
            ExprKind::Number(number) => (NodeKind::Constant(*number), Kind::Number),
            ExprKind::Duration(secs) => (NodeKind::Constant(*secs), Kind::Duration),
            ExprKind::Offset { inner, by, at } => self.offset(inner, *by, *at),
            ExprKind::Truth(truth) => (NodeKind::Constant(f64::from(*truth)), Kind::Truth),
            ExprKind::Text(_) => (NodeKind::Constant(f64::NAN), Kind::Text),
            ExprKind::Name(name) => match self.names.params.get(name.as_ref()) {
                Some(param) => {
                    let param = param.clone();
                    self.names.used_params.push(name.to_string());
                    match param {
                        Param::Number(number) => (NodeKind::Constant(number), Kind::Number),
                        Param::Truth(truth) => (NodeKind::Constant(f64::from(truth)), Kind::Truth),
                        Param::Text(_) => (NodeKind::Constant(f64::NAN), Kind::Text),
                    }
                }
                None => self.metric(name, expr.span),
            },
            ExprKind::Metric(name) => self.metric(name, expr.span),
            ExprKind::Not(inner) => {
                let (node, kind) = self.node(inner);
                let kind = self.must_be_truth(inner, kind, "what `not` negates");
                (NodeKind::Not(Box::new(node)), kind)
            }
            ExprKind::Negate(inner) => {
                let (node, kind) = self.node(inner);
                let kind = self.must_be_number(inner, kind, "-");
                (NodeKind::Negate(Box::new(node)), kind)
            }
            ExprKind::Call { name, at, args } => self.call(name, *at, args, expr.span),
            ExprKind::Group { name, at, by, args } => self.group((name, *at), by, args, expr.span),
            ExprKind::Binary { op, at, left, right } => self.binary(*op, *at, left, right),
        };
        (Node { kind, span: expr.span }, of)
    }

    pub(super) fn metric(&mut self, name: &str, span: Span) -> (NodeKind, Kind) {
        match MetricName::new(name) {
            Ok(name) => (NodeKind::Input(self.input(name, span)), Kind::Metric),
            Err(error) => {
                let problem = Problem::new(span, format!("`{name}` cannot be a metric: {error}"));
                (NodeKind::Constant(f64::NAN), self.wrong(problem))
            }
        }
    }

    /// The number of a metric, of the device or of a group's members.
    pub(super) fn input(&mut self, name: MetricName, span: Span) -> u16 {
        if !self.is_within_group {
            self.bare.get_or_insert(span);
        }
        self.names.input(name)
    }

    /// Reports a metric of one device in a rule that is about groups.
    fn must_be_of_one_kind(&mut self, whole: Span) {
        if self.names.group.is_none() || self.names.inputs.is_empty() {
            return;
        }
        let span = self.bare.unwrap_or(whole);
        let problem = match self.bare {
            Some(span) => {
                let source = span.of(self.text);
                Problem::new(
                    span,
                    format!("`{source}` is of one device, but the rule is of groups"),
                )
            }
            None => Problem::new(span, "this is of groups, but the rule is of single devices"),
        };
        self.wrong(problem.help("write what is made of the members, as in `max by (site) (t)`"));
    }

    /// Reports a part that is no truth; gives the kind of a whole that needs it to be one.
    fn must_be_truth(&mut self, expr: &Expr, kind: Kind, role: &str) -> Kind {
        let source = expr.span.of(self.text);
        match kind {
            Kind::Truth | Kind::Metric => Kind::Truth,
            Kind::Wrong => Kind::Wrong,
            Kind::Number | Kind::Duration | Kind::Text => self.wrong(
                Problem::new(expr.span, format!("{role} is {}: `{source}`", kind.name()))
                    .help("compare it with something, as in `temperature > 90`"),
            ),
        }
    }

    pub(super) fn must_be_number(&mut self, expr: &Expr, kind: Kind, op: &str) -> Kind {
        let source = expr.span.of(self.text);
        match kind {
            Kind::Number | Kind::Metric => Kind::Number,
            Kind::Duration => Kind::Duration,
            Kind::Wrong => Kind::Wrong,
            Kind::Truth | Kind::Text => self.wrong(Problem::new(
                expr.span,
                format!("`{op}` needs numbers, but `{source}` is {}", kind.name()),
            )),
        }
    }

    fn binary(&mut self, op: Binary, at: Span, left: &Expr, right: &Expr) -> (NodeKind, Kind) {
        let (l, l_kind) = self.node(left);
        let (r, r_kind) = self.node(right);
        match op {
            Binary::And | Binary::Or => {
                let role = if op == Binary::And { "a side of `and`" } else { "a side of `or`" };
                let kinds = [
                    self.must_be_truth(left, l_kind, role),
                    self.must_be_truth(right, r_kind, role),
                ];
                let (l, r) = (Box::new(l), Box::new(r));
                let node = if op == Binary::And { NodeKind::And(l, r) } else { NodeKind::Or(l, r) };
                (node, whole(kinds, Kind::Truth))
            }
            Binary::Arith(op) => {
                let symbol = at.of(self.text);
                let kinds = [
                    self.must_be_number(left, l_kind, symbol),
                    self.must_be_number(right, r_kind, symbol),
                ];
                self.arith(op, at, (l, r), kinds)
            }
            Binary::Compare(op) => self.compare(op, at, (left, l, l_kind), (right, r, r_kind)),
        }
    }

    fn arith(
        &mut self,
        op: Arith,
        at: Span,
        (l, r): (Node, Node),
        kinds: [Kind; 2],
    ) -> (NodeKind, Kind) {
        if kinds.contains(&Kind::Wrong) {
            return (NodeKind::Constant(f64::NAN), Kind::Wrong);
        }
        let divides = matches!(op, Arith::Divide | Arith::Remainder);
        if divides && constant(&r) == Some(0.0) {
            let message = format!("`{}` is zero", r.span.of(self.text));
            let problem = Problem::new(at.to(r.span), message);
            let kind = self.wrong(problem.help("a division by zero is always unknown"));
            return (NodeKind::Constant(f64::NAN), kind);
        }
        for node in [&l, &r] {
            if let NodeKind::Age(_) = node.kind {
                return (NodeKind::Constant(f64::NAN), self.age_alone(node.span));
            }
        }
        let adds = matches!(op, Arith::Add | Arith::Subtract);
        if adds && self.mixes_units((&l, kinds[0]), (&r, kinds[1])) {
            return (NodeKind::Constant(f64::NAN), Kind::Wrong);
        }
        let kind = match (op, kinds) {
            (Arith::Divide, [Kind::Duration, Kind::Duration]) => Kind::Number,
            (_, [Kind::Duration, Kind::Number] | [Kind::Number, Kind::Duration])
                if constant(&l).is_some() && constant(&r).is_some() =>
            {
                Kind::Duration
            }
            (_, [Kind::Duration, Kind::Duration]) => Kind::Duration,
            _ => Kind::Number,
        };
        (NodeKind::Arith(op, Box::new(l), Box::new(r)), kind)
    }

    /// Reports a duration beside a number that is written without a unit.
    fn mixes_units(&mut self, (l, l_kind): (&Node, Kind), (r, r_kind): (&Node, Kind)) -> bool {
        let bare = match (l_kind, r_kind) {
            (Kind::Duration, Kind::Number) => r,
            (Kind::Number, Kind::Duration) => l,
            _ => return false,
        };
        let Some(number) = constant(bare) else { return false };
        let source = bare.span.of(self.text);
        let problem = Problem::new(bare.span, format!("`{source}` lacks the unit of a duration"));
        self.wrong(problem.help(format!("write `{number}s` or another unit")));
        true
    }

    fn age_alone(&mut self, span: Span) -> Kind {
        let problem = Problem::new(span, "an age can only be compared with a duration");
        self.wrong(problem.help("write `age(temperature) > 5m`"))
    }

    fn compare(
        &mut self,
        op: Comparison,
        at: Span,
        (left, l, l_kind): (&Expr, Node, Kind),
        (right, r, r_kind): (&Expr, Node, Kind),
    ) -> (NodeKind, Kind) {
        let symbol = at.of(self.text);
        let nothing = NodeKind::Constant(f64::NAN);
        match (l_kind, r_kind) {
            (Kind::Wrong, _) | (_, Kind::Wrong) => return (nothing, Kind::Wrong),
            (Kind::Text, Kind::Metric) | (Kind::Metric, Kind::Text) => {
                let (metric, text) = if l_kind == Kind::Text { (&r, left) } else { (&l, right) };
                let (NodeKind::Input(input), Some(text)) = (&metric.kind, self.text_of(text))
                else {
                    return (nothing, Kind::Wrong);
                };
                if op.is_equality() {
                    let (input, metric) = (*input, metric.span);
                    return (NodeKind::TextIs { op, input, metric, text }, Kind::Truth);
                }
                let message = format!("texts have no order, so `{symbol}` cannot compare them");
                let problem = Problem::new(at, message).help("use `=` or `!=`");
                return (nothing, self.wrong(problem));
            }
            (
                Kind::Number | Kind::Metric | Kind::Duration,
                Kind::Number | Kind::Metric | Kind::Duration,
            ) => {
                if self.mixes_units((&l, l_kind), (&r, r_kind)) || !self.age_is_bounded(&l, &r) {
                    return (nothing, Kind::Wrong);
                }
            }
            (Kind::Truth | Kind::Metric, Kind::Truth | Kind::Metric) if op.is_equality() => {}
            _ => {
                let (l_source, r_source) = (left.span.of(self.text), right.span.of(self.text));
                let message = format!(
                    "`{symbol}` cannot compare {} `{l_source}` with {} `{r_source}`",
                    l_kind.name(),
                    r_kind.name()
                );
                return (nothing, self.wrong(Problem::new(left.span.to(right.span), message)));
            }
        }
        (NodeKind::Compare(op, Box::new(l), Box::new(r)), Kind::Truth)
    }

    /// Has the rule judged when an age comes to what it is compared with; reports an age that is
    /// compared with anything but a constant.
    fn age_is_bounded(&mut self, l: &Node, r: &Node) -> bool {
        let age = [l, r].into_iter().find(|node| matches!(node.kind, NodeKind::Age(_)));
        let Some(age) = age else { return true };
        match age_deadline(l, r) {
            Some((input, secs)) if secs > 0.0 => {
                self.names.deadline(input, Duration::from_secs_f64(secs));
                true
            }
            _ => {
                self.age_alone(age.span);
                false
            }
        }
    }

    fn text_of(&self, expr: &Expr) -> Option<Arc<str>> {
        match &expr.kind {
            ExprKind::Text(text) => Some(Arc::clone(text)),
            ExprKind::Name(name) => match self.names.params.get(name.as_ref()) {
                Some(Param::Text(text)) => Some(Arc::clone(text)),
                _ => None,
            },
            _ => None,
        }
    }
}

/// The kind of a whole whose parts have these kinds.
fn whole(parts: [Kind; 2], kind: Kind) -> Kind {
    if parts.contains(&Kind::Wrong) { Kind::Wrong } else { kind }
}

/// The value of a part in which no metric is, if it is a finite number.
pub(crate) fn constant(node: &Node) -> Option<f64> {
    use super::program::arith;
    let value = match &node.kind {
        NodeKind::Constant(number) => *number,
        NodeKind::Negate(inner) => -constant(inner)?,
        NodeKind::Abs(inner) => constant(inner)?.abs(),
        NodeKind::Arith(op, left, right) => arith(*op, constant(left)?, constant(right)?),
        _ => return None,
    };
    value.is_finite().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::super::functions::FUNCTIONS;
    use super::*;

    fn problems(text: &str) -> Vec<(usize, String, Option<String>)> {
        let params = Params::from([
            ("limit".to_owned(), Param::Number(5.0)),
            ("mode".to_owned(), Param::Text("x".into())),
        ]);
        let Err(problems) = condition(text, &mut Names::new(&params)) else {
            return Vec::new();
        };
        problems.into_iter().map(|p| (p.span.start, p.message, p.help)).collect()
    }

    fn check(text: &str, expected: &[(usize, &str)]) {
        let found = problems(text);
        let found: Vec<_> = found.iter().map(|(start, m, _)| (*start, m.as_str())).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn sound_conditions_pass() {
        for text in [
            "temperature > limit",
            "door_open",
            "not door_open and temperature >= -limit + 2 * 3",
            "state = 'defrost' or 'off' != state or state = mode",
            "door_open = true",
            "(a > 1) = (b > 1)",
            "abs(a - last(b)) > 1 and uptime < 5m",
            "limit < a",
        ] {
            check(text, &[]);
        }
    }

    #[test]
    fn each_thing_that_is_wrong_is_reported() {
        check(
            "mean(a) > 1 and lst(b) > 1 and 'x' > c",
            &[
                (0, "unknown function `mean`"),
                (16, "unknown function `lst`"),
                (35, "texts have no order, so `>` cannot compare them"),
            ],
        );
        let helps: Vec<_> = problems("median(a) > lst(b)").into_iter().map(|p| p.2).collect();
        assert_eq!(
            helps,
            [
                Some(format!(
                    "the functions are {}",
                    crate::suggest::list(&FUNCTIONS.map(|it| it.name))
                )),
                Some("did you mean `last`?".to_owned())
            ]
        );
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        check("a + 1", &[(0, "the condition is a number: `a + 1`")]);
        check("limit > 3", &[(0, "the condition names no metric")]);
        check("a and 5", &[(6, "a side of `and` is a number: `5`")]);
        check("not -a", &[(4, "what `not` negates is a number: `-a`")]);
        check("(a > b) + 1 > 2", &[(0, "`+` needs numbers, but `(a > b)` is a condition")]);
        check("(a > b) > c", &[(0, "`>` cannot compare a condition `(a > b)` with a metric `c`")]);
        check("'x' = 'y'", &[(0, "`=` cannot compare a text `'x'` with a text `'y'`")]);
        check(
            "a = 1 or b = 'x' and 'y' = 3",
            &[(21, "`=` cannot compare a text `'y'` with a number `3`")],
        );
        check("a / (limit - 5) > 1", &[(2, "`(limit - 5)` is zero")]);
        check("last(a + 1) > 1", &[(5, "`last` needs a metric, but `a + 1` is a number")]);
        check("abs(a, 5m) > 1", &[(0, "`abs` takes one argument, not 2")]);
        check(
            "`a/b` > 1",
            &[(0, "`a/b` cannot be a metric: name has the forbidden character '/'")],
        );
    }
}
