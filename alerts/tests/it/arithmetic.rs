//! Random conditions against a slow evaluator over `Option`: a rule fires where that says true.

use proptest::prelude::*;

use crate::world::World;

/// A number, or something that must be compared to be one.
#[derive(Clone, Debug)]
enum Number {
    Literal(i8),
    /// A metric that has a value.
    A,
    /// Another.
    B,
    /// One that never comes.
    Missing,
    Negate(Box<Self>),
    Abs(Box<Self>),
    Binary(char, Box<Self>, Box<Self>),
}

#[derive(Clone, Debug)]
enum Truth {
    /// `a` as a boolean.
    A,
    Missing,
    Not(Box<Self>),
    Compare(&'static str, Number, Number),
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
}

impl Number {
    fn text(&self) -> String {
        match self {
            Self::Literal(number) if *number < 0 => format!("(-{})", number.unsigned_abs()),
            Self::Literal(number) => number.to_string(),
            Self::A => "a".to_owned(),
            Self::B => "last(b)".to_owned(),
            Self::Missing => "missing".to_owned(),
            Self::Negate(inner) => format!("(-{})", inner.text()),
            Self::Abs(inner) => format!("abs({})", inner.text()),
            Self::Binary(op, left, right) => format!("({} {op} {})", left.text(), right.text()),
        }
    }

    fn value(&self, a: f64, b: f64) -> Option<f64> {
        let value = match self {
            Self::Literal(number) => f64::from(*number),
            Self::A => a,
            Self::B => b,
            Self::Missing => return None,
            Self::Negate(inner) => -inner.value(a, b)?,
            Self::Abs(inner) => inner.value(a, b)?.abs(),
            Self::Binary(op, left, right) => {
                let (left, right) = (left.value(a, b)?, right.value(a, b)?);
                match op {
                    '+' => left + right,
                    '-' => left - right,
                    '*' => left * right,
                    '/' => left / right,
                    _ => left % right,
                }
            }
        };
        value.is_finite().then_some(value)
    }
}

impl Truth {
    fn text(&self) -> String {
        match self {
            Self::A => "a".to_owned(),
            Self::Missing => "missing".to_owned(),
            Self::Not(inner) => format!("not ({})", inner.text()),
            Self::Compare(op, left, right) => format!("{} {op} {}", left.text(), right.text()),
            Self::And(left, right) => format!("({} and {})", left.text(), right.text()),
            Self::Or(left, right) => format!("({} or {})", left.text(), right.text()),
        }
    }

    fn value(&self, a: f64, b: f64) -> Option<bool> {
        match self {
            Self::A => Some(a != 0.0),
            Self::Missing => None,
            Self::Not(inner) => inner.value(a, b).map(|truth| !truth),
            Self::Compare(op, left, right) => {
                let (left, right) = (left.value(a, b)?, right.value(a, b)?);
                Some(match *op {
                    ">" => left > right,
                    ">=" => left >= right,
                    "<" => left < right,
                    "<=" => left <= right,
                    "=" => left == right,
                    _ => left != right,
                })
            }
            Self::And(left, right) => match (left.value(a, b), right.value(a, b)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (left, right) => Some(left? && right?),
            },
            Self::Or(left, right) => match (left.value(a, b), right.value(a, b)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (left, right) => Some(left? || right?),
            },
        }
    }
}

fn number() -> impl Strategy<Value = Number> {
    let leaf = prop_oneof![
        3 => (-4_i8..5).prop_map(Number::Literal),
        3 => Just(Number::A),
        2 => Just(Number::B),
        1 => Just(Number::Missing),
    ];
    leaf.prop_recursive(3, 12, 2, |inner| {
        let op = prop::sample::select(vec!['+', '-', '*', '/', '%']);
        prop_oneof![
            inner.clone().prop_map(|n| Number::Negate(n.into())),
            inner.clone().prop_map(|n| Number::Abs(n.into())),
            (op, inner.clone(), inner).prop_map(|(op, left, right)| Number::Binary(
                op,
                left.into(),
                right.into()
            )),
        ]
    })
}

fn truth() -> impl Strategy<Value = Truth> {
    let op = prop::sample::select(vec![">", ">=", "<", "<=", "=", "!="]);
    let leaf = prop_oneof![
        6 => (op, number(), number()).prop_map(|(op, l, r)| Truth::Compare(op, l, r)),
        1 => Just(Truth::A),
        1 => Just(Truth::Missing),
    ];
    leaf.prop_recursive(3, 12, 2, |inner| {
        prop_oneof![
            inner.clone().prop_map(|t| Truth::Not(t.into())),
            (inner.clone(), inner.clone()).prop_map(|(l, r)| Truth::And(l.into(), r.into())),
            (inner.clone(), inner).prop_map(|(l, r)| Truth::Or(l.into(), r.into())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn a_rule_fires_where_its_condition_is_true(
        truth in truth(), a in -3_i8..4, b in prop_oneof![Just(f64::MAX), -3.0..3.0_f64],
    ) {
        let a = f64::from(a);
        let text = format!("[[rule]]\nname = 'r'\nwhen = '{}'", truth.text());
        // A constant condition and a division by a constant zero are refused.
        prop_assume!(bellwire_alerts::RuleSet::parse(&text).is_ok());
        let mut world = World::new(&text);
        world.read("d", 0, &[("a", a), ("b", b)]);
        // Without `a` and `b` in it, nothing asks for a judgement.
        let judged = world.engine.stats().evaluations > 0;
        let expected = judged && truth.value(a, b) == Some(true);
        prop_assert_eq!(world.said.len(), usize::from(expected), "{}", text);
        if let Some(said) = world.said.first() {
            prop_assert!(!said.reason.is_empty(), "{}", text);
        }
    }
}
