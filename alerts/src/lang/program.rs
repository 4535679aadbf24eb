//! A checked condition as a short list of operations over `f64`: what runs for every reading.
//!
//! Three-valued logic lives in the numbers: true is 1, false is 0 and unknown is NaN, which
//! arithmetic carries along by itself. Nothing here allocates once the stack has grown.

use std::sync::Arc;
use std::time::Duration;

use bellwire_model::{Timestamp, Value};

use super::ast::{Arith, Comparison};
use super::check::{Node, NodeKind, constant};
use super::functions::Stat;
use super::place;
use crate::engine::series::Series;

/// What a condition says of the present values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    True,
    False,
    /// A value is missing or makes no sense: neither fires nor clears.
    Unknown,
}

impl Verdict {
    /// What `not` makes of it.
    pub(crate) const fn opposite(self) -> Self {
        match self {
            Self::True => Self::False,
            Self::False => Self::True,
            Self::Unknown => Self::Unknown,
        }
    }

    const fn of(number: f64) -> Self {
        if number.is_nan() {
            Self::Unknown
        } else if number == 0.0 {
            Self::False
        } else {
            Self::True
        }
    }
}

/// The last values of one device as one rule sees them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    /// The device's values.
    pub(crate) values: &'a [Option<Value>],
    /// Which of them each of the rule's inputs is.
    pub(crate) bindings: &'a [u32],
    /// When each of the values was read; when the device was met, where it was not.
    pub(crate) seen: &'a [Timestamp],
    /// The device's windows.
    pub(crate) windows: &'a [Series],
    /// Which of them each of the rule's windows is.
    pub(crate) window_bindings: &'a [u32],
    /// The instant that is judged.
    pub(crate) now: Timestamp,
}

impl<'a> View<'a> {
    /// Values alone.
    #[cfg(test)]
    pub(crate) fn of(values: &'a [Option<Value>], bindings: &'a [u32]) -> Self {
        let now = Timestamp::EPOCH;
        Self { values, bindings, seen: &[], windows: &[], window_bindings: &[], now }
    }

    /// The value of an input, if the device has sent one.
    pub(crate) fn value(self, input: u16) -> Option<&'a Value> {
        self.values[self.bindings[usize::from(input)] as usize].as_ref()
    }

    /// Its number; NaN if it has none.
    fn number(self, input: u16) -> f64 {
        match self.value(input) {
            Some(Value::Number(number)) => *number,
            _ => f64::NAN,
        }
    }

    fn silence(self, input: u16) -> Duration {
        self.now.since(self.seen[self.bindings[usize::from(input)] as usize])
    }

    fn window(self, window: u16, stat: Stat) -> f64 {
        self.windows[self.window_bindings[usize::from(window)] as usize].stat(stat)
    }

    /// Where the device is, in degrees.
    fn place(self, [lat, lon]: [u16; 2]) -> (f64, f64) {
        (self.number(lat), self.number(lon))
    }
}

/// Room for the operands; keep one and hand it in.
pub(crate) type Stack = Vec<f64>;

#[derive(Clone, Debug, PartialEq)]
enum Op {
    Push(f64),
    Load(u16),
    Window(u16, Stat),
    Age(u16),
    Absent(u16, Duration),
    Distance([u16; 2], (f64, f64)),
    /// Whether the place of two inputs is within this one of the program's areas.
    Inside([u16; 2], u16),
    Test(Test),
    /// Whether an input is this one of the program's texts.
    TextIs {
        input: u16,
        text: u16,
        comparison: Comparison,
    },
    Not,
    Negate,
    Abs,
    Arith(Arith),
    Compare(Comparison),
    And,
    Or,
}

/// `metric > 90` and its like, which most rules are made of: a load and a comparison in one.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Test {
    input: u16,
    comparison: Comparison,
    limit: f64,
}

impl Test {
    fn of(node: &Node) -> Option<Self> {
        let NodeKind::Compare(comparison, left, right) = &node.kind else { return None };
        match (&left.kind, constant(left), &right.kind, constant(right)) {
            (&NodeKind::Input(input), _, _, Some(limit)) => {
                Some(Self { input, comparison: *comparison, limit })
            }
            (_, Some(limit), &NodeKind::Input(input), _) => {
                Some(Self { input, comparison: comparison.mirrored(), limit })
            }
            _ => None,
        }
    }

    #[inline]
    fn value(self, view: View<'_>) -> f64 {
        compare(self.comparison, view.number(self.input), self.limit)
    }
}

/// The corners of a polygon: latitudes and longitudes.
type Area = Arc<[(f64, f64)]>;

/// A compiled condition or number.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Program {
    ops: Box<[Op]>,
    texts: Box<[Arc<str>]>,
    areas: Box<[Area]>,
}

impl Program {
    pub(crate) fn compile(node: &Node) -> Self {
        let mut compiler = Compiler::default();
        compiler.push(node);
        let Compiler { ops, texts, areas } = compiler;
        Self { ops: ops.into(), texts: texts.into(), areas: areas.into() }
    }

    /// The verdict on these values.
    #[inline]
    pub(crate) fn verdict(&self, view: View<'_>, stack: &mut Stack) -> Verdict {
        match *self.ops {
            [Op::Test(test)] => Verdict::of(test.value(view)),
            _ => Verdict::of(self.number(view, stack)),
        }
    }

    /// The number it comes to; NaN if it is unknown.
    pub(crate) fn number(&self, view: View<'_>, stack: &mut Stack) -> f64 {
        stack.clear();
        for op in &self.ops {
            let value = match *op {
                Op::Push(number) => number,
                Op::Load(input) => view.number(input),
                Op::Test(test) => test.value(view),
                Op::Window(window, stat) => view.window(window, stat),
                Op::Age(input) => view.silence(input).as_secs_f64(),
                Op::Absent(input, silence) => f64::from(view.silence(input) >= silence),
                Op::Distance(inputs, from) => place::distance(view.place(inputs), from),
                Op::Inside(inputs, area) => {
                    place::inside(view.place(inputs), &self.areas[usize::from(area)])
                }
                Op::TextIs { input, text, comparison } => match view.value(input) {
                    Some(Value::Text(value)) => {
                        let same = **value == *self.texts[usize::from(text)];
                        f64::from(same == (comparison == Comparison::Equal))
                    }
                    _ => f64::NAN,
                },
                Op::Not => not(pop(stack)),
                Op::Negate => -pop(stack),
                Op::Abs => pop(stack).abs(),
                Op::Arith(op) => binary(stack, |left, right| arith(op, left, right)),
                Op::Compare(op) => binary(stack, |left, right| compare(op, left, right)),
                Op::And => binary(stack, and),
                Op::Or => binary(stack, |left, right| not(and(not(left), not(right)))),
            };
            stack.push(value);
        }
        pop(stack)
    }
}

#[derive(Default)]
struct Compiler {
    ops: Vec<Op>,
    texts: Vec<Arc<str>>,
    areas: Vec<Area>,
}

impl Compiler {
    fn push(&mut self, node: &Node) {
        let fused = constant(node).map(Op::Push).or_else(|| Test::of(node).map(Op::Test));
        if let Some(op) = fused {
            self.ops.push(op);
            return;
        }
        let op = match &node.kind {
            NodeKind::Constant(number) => Op::Push(*number),
            NodeKind::Input(input) => Op::Load(*input),
            NodeKind::Window(window, stat) => Op::Window(*window, *stat),
            NodeKind::Age(input) => Op::Age(*input),
            NodeKind::Absent(input, silence) => Op::Absent(*input, *silence),
            NodeKind::Distance(inputs, from) => Op::Distance(*inputs, *from),
            NodeKind::Inside(inputs, area) => {
                self.areas.push(Arc::clone(area));
                Op::Inside(*inputs, last_of(&self.areas))
            }
            NodeKind::TextIs { op, input, text, .. } => {
                self.texts.push(Arc::clone(text));
                Op::TextIs { input: *input, text: last_of(&self.texts), comparison: *op }
            }
            NodeKind::Not(inner) => self.unary(inner, Op::Not),
            NodeKind::Negate(inner) => self.unary(inner, Op::Negate),
            NodeKind::Abs(inner) => self.unary(inner, Op::Abs),
            NodeKind::Arith(op, left, right) => self.both(left, right, Op::Arith(*op)),
            NodeKind::Compare(op, left, right) => self.both(left, right, Op::Compare(*op)),
            NodeKind::And(left, right) => self.both(left, right, Op::And),
            NodeKind::Or(left, right) => self.both(left, right, Op::Or),
        };
        self.ops.push(op);
    }

    fn unary(&mut self, inner: &Node, op: Op) -> Op {
        self.push(inner);
        op
    }

    fn both(&mut self, left: &Node, right: &Node, op: Op) -> Op {
        self.push(left);
        self.push(right);
        op
    }
}

/// `NODES_MAX` keeps it below 65,536.
fn last_of<T>(list: &[T]) -> u16 {
    u16::try_from(list.len() - 1).expect("fewer than nodes")
}

fn pop(stack: &mut Stack) -> f64 {
    // The compiler pushes an operand for each that is taken.
    stack.pop().unwrap_or(f64::NAN)
}

fn binary(stack: &mut Stack, op: impl Fn(f64, f64) -> f64) -> f64 {
    let right = pop(stack);
    let left = pop(stack);
    op(left, right)
}

/// Kleene's `not`: anything but 0 counts as true.
fn not(value: f64) -> f64 {
    if value.is_nan() { value } else { f64::from(value == 0.0) }
}

/// Kleene's `and`.
fn and(left: f64, right: f64) -> f64 {
    if left == 0.0 || right == 0.0 {
        0.0
    } else if left.is_nan() || right.is_nan() {
        f64::NAN
    } else {
        1.0
    }
}

/// NaN where the result is no finite number.
pub(crate) fn arith(op: Arith, left: f64, right: f64) -> f64 {
    let value = match op {
        Arith::Add => left + right,
        Arith::Subtract => left - right,
        Arith::Multiply => left * right,
        Arith::Divide => left / right,
        Arith::Remainder => left % right,
    };
    if value.is_finite() { value } else { f64::NAN }
}

#[inline]
fn compare(op: Comparison, left: f64, right: f64) -> f64 {
    if left.is_nan() || right.is_nan() {
        return f64::NAN;
    }
    f64::from(match op {
        Comparison::Greater => left > right,
        Comparison::GreaterEqual => left >= right,
        Comparison::Less => left < right,
        Comparison::LessEqual => left <= right,
        Comparison::Equal => left == right,
        Comparison::NotEqual => left != right,
    })
}

#[cfg(test)]
mod tests {
    use super::super::check::condition;
    use super::super::names::{Names, Params};
    use super::*;

    /// Judges `text` where metric `a` is 6, `zero` is 0, `mode` is `'on'`, and no other is known.
    fn check(text: &str, expected: Verdict) {
        let params = Params::new();
        let mut names = Names::new(&params);
        let node = condition(text, &mut names).expect("a sound condition");
        let values: Vec<_> = names
            .inputs
            .iter()
            .map(|name| match name.as_str() {
                "a" => Some(Value::Number(6.0)),
                "zero" => Some(Value::Number(0.0)),
                "huge" => Some(Value::Number(f64::MAX)),
                "mode" => Some(Value::Text("on".into())),
                _ => None,
            })
            .collect();
        let bindings: Vec<_> = (0..u32::try_from(values.len()).expect("few")).collect();
        let view = View::of(&values, &bindings);
        assert_eq!(Program::compile(&node).verdict(view, &mut Stack::new()), expected, "{text}");
    }

    #[test]
    fn arithmetic_and_comparison_are_the_usual() {
        for text in [
            "a > 5",
            "5 < a",
            "7 > a and not 6 > a and 6 >= a",
            "a >= 6 and a <= 6 and a == 6 and a != 7",
            "a + 2 * 3 = 12",
            "(a + 2) * 3 = 24",
            "a % 4 = 2",
            "-a < 0 and abs(-a) = 6",
            "a",
            "not zero",
            "zero = false",
            "a / 4 = 1.5",
            "mode = 'on' and mode != 'off' and not mode = 'off'",
        ] {
            check(text, Verdict::True);
        }
        for text in ["a > 6", "not a", "zero", "mode != 'on'", "zero or a < 1"] {
            check(text, Verdict::False);
        }
    }

    #[test]
    fn what_is_not_known_stays_unknown() {
        for text in [
            "missing > 5",
            "not missing",
            "missing = missing",
            "missing = 'x'",
            "missing != 'x'",
            "a > 5 and missing > 5",
            "a > 9 or missing > 5",
            "a / zero > 1",
            "a % zero > 1",
            "huge * a > 1",
            "huge + huge - huge > 1",
            "a = 'six'",
            "mode > 1",
        ] {
            check(text, Verdict::Unknown);
        }
    }

    #[test]
    fn the_known_side_may_decide_alone() {
        check("a > 9 and missing > 5", Verdict::False);
        check("missing > 5 and a > 9", Verdict::False);
        check("a > 5 or missing > 5", Verdict::True);
        check("missing > 5 or a > 5", Verdict::True);
    }
}
