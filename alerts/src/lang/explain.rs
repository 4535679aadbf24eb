//! Says in words why a condition holds or does not: `temperature 91.2 > 90`.

use std::fmt;

use bellwire_model::Value;

use super::Problem;
use super::ast::Comparison;
use super::check::{Node, NodeKind, condition, constant};
use super::names::{Names, WindowSpec};
use super::program::{Program, Stack, Verdict, View};
use crate::rules::rule::InputKind;

/// The longest explanation, in bytes.
const EXPLANATION_BYTES_MAX: usize = 400;

/// `when` or `clear` of a rule: to run, and to explain.
#[derive(Clone, Debug)]
pub(crate) struct Condition {
    source: Box<str>,
    root: Node,
    program: Program,
    /// What the alert's value is: the first comparison's left side, or its right side where the
    /// left is constant.
    subject: Node,
}

impl Condition {
    /// Reads and checks `source`.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub(crate) fn parse(source: &str, names: &mut Names<'_>) -> Result<Self, Vec<Problem>> {
        let root = condition(source, names)?;
        let program = Program::compile(&root);
        let subject = subject(&root).clone();
        Ok(Self { source: source.into(), root, program, subject })
    }

    /// As written.
    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    /// Notes what each of the rule's inputs must be for it to be judged.
    pub(crate) fn note_kinds(&self, windows: &[WindowSpec], kinds: &mut [InputKind]) {
        note_kinds(&self.root, windows, kinds);
    }

    /// Whether it decides the same, whatever it looks like. Both must number their inputs alike.
    pub(crate) fn decides_like(&self, other: &Self) -> bool {
        self.program == other.program
    }

    #[inline]
    pub(crate) fn verdict(&self, view: View<'_>, stack: &mut Stack) -> Verdict {
        self.program.verdict(view, stack)
    }

    /// The value that the condition is about, if it is known.
    pub(crate) fn value(&self, view: View<'_>) -> Option<Value> {
        if let NodeKind::Input(input) | NodeKind::TextIs { input, .. } = self.subject.kind {
            return view.value(input).cloned();
        }
        let number = number(&self.subject, view);
        (!number.is_nan()).then_some(Value::Number(number))
    }

    /// What makes it true or false, in words; empty if it is unknown.
    pub(crate) fn explain(&self, view: View<'_>) -> String {
        let verdict = self.verdict(view, &mut Stack::new());
        let mut text = self.facts(&self.root, verdict, view).join(" and ");
        if text.len() > EXPLANATION_BYTES_MAX {
            text.truncate(text.floor_char_boundary(EXPLANATION_BYTES_MAX));
            text.push('…');
        }
        text
    }

    /// The facts by which `node` comes to `verdict`, which it does; none if that is unknown.
    fn facts(&self, node: &Node, verdict: Verdict, view: View<'_>) -> Vec<String> {
        if verdict == Verdict::Unknown {
            return Vec::new();
        }
        let truth = verdict == Verdict::True;
        match &node.kind {
            NodeKind::Not(inner) => self.facts(inner, verdict.opposite(), view),
            NodeKind::And(left, right) | NodeKind::Or(left, right) => [left, right]
                .into_iter()
                .filter(|side| verdict_of(side, view) == verdict)
                .flat_map(|side| self.facts(side, verdict, view))
                .collect(),
            NodeKind::Compare(op, left, right) => {
                let op = if truth { *op } else { op.opposite() };
                let (left, right) = (self.side(left, view), self.side(right, view));
                vec![format!("{left} {} {right}", op.symbol())]
            }
            NodeKind::TextIs { op, input, metric, text } => {
                let source = metric.of(&self.source);
                let is = (*op == Comparison::Equal) == truth;
                vec![match view.value(*input) {
                    Some(Value::Text(value)) if !is => format!("{source} '{value}' != '{text}'"),
                    _ => format!("{source} = '{text}'"),
                }]
            }
            _ => {
                let source = node.span.of(&self.source);
                vec![if truth { source.to_owned() } else { format!("not {source}") }]
            }
        }
    }

    /// A side of a comparison: `temperature 91.2`, or the number alone where it is constant.
    fn side(&self, node: &Node, view: View<'_>) -> String {
        let value = Number(number(node, view));
        match constant(node) {
            Some(_) => value.to_string(),
            None => format!("{} {value}", node.span.of(&self.source)),
        }
    }
}

fn note_kinds(node: &Node, windows: &[WindowSpec], kinds: &mut [InputKind]) {
    let mut note = |input: u16, kind: InputKind| {
        if let Some(known) = kinds.get_mut(usize::from(input)) {
            *known = known.and(kind);
        }
    };
    match &node.kind {
        NodeKind::Input(input) => note(*input, InputKind::Number),
        NodeKind::TextIs { input, .. } => note(*input, InputKind::Text),
        NodeKind::Window(window, stat) if !stat.ebbs() => {
            note(windows[usize::from(*window)].input, InputKind::Number);
        }
        NodeKind::Distance(inputs, _) | NodeKind::Inside(inputs, _) => {
            inputs.iter().for_each(|input| note(*input, InputKind::Number));
        }
        NodeKind::Constant(_) | NodeKind::Window(..) | NodeKind::Age(_) | NodeKind::Absent(..) => {}
        NodeKind::Not(inner) | NodeKind::Negate(inner) | NodeKind::Abs(inner) => {
            note_kinds(inner, windows, kinds);
        }
        NodeKind::Arith(_, left, right)
        | NodeKind::Compare(_, left, right)
        | NodeKind::And(left, right)
        | NodeKind::Or(left, right) => {
            note_kinds(left, windows, kinds);
            note_kinds(right, windows, kinds);
        }
    }
}

fn verdict_of(node: &Node, view: View<'_>) -> Verdict {
    Program::compile(node).verdict(view, &mut Stack::new())
}

fn number(node: &Node, view: View<'_>) -> f64 {
    Program::compile(node).number(view, &mut Stack::new())
}

fn subject(node: &Node) -> &Node {
    match &node.kind {
        NodeKind::Not(inner) => subject(inner),
        NodeKind::And(left, _) | NodeKind::Or(left, _) => subject(left),
        NodeKind::Compare(_, left, right) => match constant(left) {
            Some(_) => subject(right),
            None => subject(left),
        },
        _ => node,
    }
}

/// A number for people: six significant digits, whole parts in full, `unknown` for NaN.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Number(pub(crate) f64);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.0;
        let size = number.abs();
        if number.is_nan() {
            return f.write_str("unknown");
        }
        if size != 0.0 && !(1e-4..1e15).contains(&size) {
            return write!(f, "{number:e}");
        }
        let digits_before = if size < 1.0 { 0 } else { size.log10() as usize + 1 };
        let leading_zeros = if size == 0.0 || size >= 0.1 { 0 } else { -size.log10() as usize };
        let text = format!("{number:.*}", (6 + leading_zeros).saturating_sub(digits_before));
        let text = match text.split_once('.') {
            Some(_) => text.trim_end_matches('0').trim_end_matches('.'),
            None => &text,
        };
        f.write_str(if text == "-0" { "0" } else { text })
    }
}

/// A value for people.
pub(crate) fn show(value: Option<&Value>) -> String {
    match value {
        Some(Value::Number(number)) => Number(*number).to_string(),
        Some(Value::Text(text)) => text.to_string(),
        None => "unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::names::{Param, Params};
    use super::*;

    /// Explains `text` where `a` is 6, `b` is 2.5, `on` is 1, `mode` is `'x=y'`.
    fn check(text: &str, value: &str, expected: &str) {
        let params = Params::from([("limit".to_owned(), Param::Number(4.0))]);
        let mut names = Names::new(&params);
        let condition = Condition::parse(text, &mut names).expect("sound");
        let values: Vec<_> = names
            .inputs
            .iter()
            .map(|name| match name.as_str() {
                "a" => Some(Value::Number(6.0)),
                "b" => Some(Value::Number(2.5)),
                "on" => Some(Value::Number(1.0)),
                "mode" => Some(Value::Text("x=y".into())),
                _ => None,
            })
            .collect();
        let view = View::of(&values, &[0, 1, 2, 3]);
        assert_eq!(condition.explain(view), expected, "{text}");
        assert_eq!(show(condition.value(view).as_ref()), value, "{text}");
    }

    #[test]
    fn an_explanation_states_what_is_true() {
        check("a > limit", "6", "a 6 > 4");
        check("a > limit * 2 - 1", "6", "a 6 <= 7");
        check("limit < a", "6", "4 < a 6");
        check("a - b > 2", "3.5", "a - b 3.5 > 2");
        check("a > 5 and b > 1", "6", "a 6 > 5 and b 2.5 > 1");
        check("a > 5 and b > 9", "6", "b 2.5 <= 9");
        check("a > 9 or b > 1", "6", "b 2.5 > 1");
        check("not (a > 9 or b > 9)", "6", "a 6 <= 9 and b 2.5 <= 9");
        check("on and a > b", "1", "on and a 6 > b 2.5");
        check("not on", "1", "on");
        check("mode = 'x=y'", "x=y", "mode = 'x=y'");
        check("'z' = mode", "x=y", "mode 'x=y' != 'z'");
        check("mode != 'z'", "x=y", "mode 'x=y' != 'z'");
        check("mode != 'x=y'", "x=y", "mode = 'x=y'");
        check("missing > 3", "unknown", "");
    }

    #[test]
    fn numbers_are_short_and_right() {
        for (number, text) in [
            (91.2, "91.2"),
            (0.1 + 0.2, "0.3"),
            (22_695_123.4, "22695123"),
            (-0.000_000_1, "-1e-7"),
            (0.001_234_567_8, "0.00123457"),
            (999_999.96, "1000000"),
            (-15.0, "-15"),
            (-0.0, "0"),
            (1e300, "1e300"),
            (100.0, "100"),
        ] {
            assert_eq!(Number(number).to_string(), text);
        }
    }

    #[test]
    fn a_long_explanation_is_cut() {
        let text = vec!["a > 1"; 200].join(" and ");
        let params = Params::new();
        let condition = Condition::parse(&text, &mut Names::new(&params)).expect("sound");
        let explanation = condition.explain(View::of(&[Some(Value::Number(6.0))], &[0]));
        assert!(explanation.len() < EXPLANATION_BYTES_MAX + 4, "{}", explanation.len());
    }
}
