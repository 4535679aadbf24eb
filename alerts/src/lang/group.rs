//! Numbers of a group of devices: `avg by (site) (temperature)`, and their checks.

use std::fmt::Write as _;
use std::time::Duration;

use bellwire_model::MetricName;

use super::ast::Expr;
use super::check::{Checker, Kind, NodeKind};
use super::program::Program;
use super::{Problem, Span, lexer};
use crate::suggest;

/// The most labels that tell groups apart.
const LABELS_MAX: usize = 8;

/// What is made of the numbers that the members of a group give.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Aggregate {
    Avg,
    Count,
    Max,
    Min,
    /// The share, in thousandths of a percent.
    Quantile(u32),
    Stddev,
    Sum,
}

/// One line of the table.
pub(super) struct Entry {
    pub(super) name: &'static str,
    aggregate: Aggregate,
    pub(super) usage: &'static str,
    pub(super) gives: &'static str,
}

/// All of them, by name.
pub(super) const AGGREGATES: [Entry; 7] = [
    Entry {
        name: "avg",
        aggregate: Aggregate::Avg,
        usage: "avg by (label) (number)",
        gives: "the mean over the members; of a condition, the share where it is true",
    },
    Entry {
        name: "count",
        aggregate: Aggregate::Count,
        usage: "count by (label) (condition)",
        gives: "how many members it is true for",
    },
    Entry {
        name: "max",
        aggregate: Aggregate::Max,
        usage: "max by (label) (number)",
        gives: "the greatest among the members",
    },
    Entry {
        name: "min",
        aggregate: Aggregate::Min,
        usage: "min by (label) (number)",
        gives: "the least among the members",
    },
    Entry {
        name: "quantile",
        aggregate: Aggregate::Quantile(0),
        usage: "quantile by (label) (number, share)",
        gives: "what that share of the members is not above; 0.5 is the median",
    },
    Entry {
        name: "stddev",
        aggregate: Aggregate::Stddev,
        usage: "stddev by (label) (number)",
        gives: "the standard deviation among the members (of the population)",
    },
    Entry {
        name: "sum",
        aggregate: Aggregate::Sum,
        usage: "sum by (label) (number)",
        gives: "the sum over the members",
    },
];

/// The aggregates as a table in Markdown: what `docs/reference/rules.md` shows.
#[must_use]
pub fn aggregate_reference() -> String {
    let mut page = String::from("| of a group | gives |\n|---|---|\n");
    for Entry { usage, gives, .. } in &AGGREGATES {
        let _ = writeln!(page, "| `{usage}` | {gives} |");
    }
    page
}

impl Aggregate {
    /// What it makes of the members' numbers, none of which is NaN; NaN of none. The order of
    /// `numbers` is lost.
    pub(crate) fn of(self, numbers: &mut [f64]) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "fewer members than 2^53")]
        let n = numbers.len() as f64;
        match self {
            _ if numbers.is_empty() => f64::NAN,
            #[expect(clippy::cast_precision_loss, reason = "fewer members than 2^53")]
            Self::Count => numbers.iter().filter(|it| **it != 0.0).count() as f64,
            Self::Avg => numbers.iter().sum::<f64>() / n,
            Self::Sum => numbers.iter().sum(),
            Self::Max => numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            Self::Min => numbers.iter().copied().fold(f64::INFINITY, f64::min),
            Self::Stddev => {
                let mean = numbers.iter().sum::<f64>() / n;
                let squares = numbers.iter().map(|it| (it - mean) * (it - mean));
                (squares.sum::<f64>() / n).sqrt()
            }
            Self::Quantile(share) => {
                numbers.sort_unstable_by(f64::total_cmp);
                quantile(numbers, share)
            }
        }
    }
}

/// What a share, in thousandths of a percent, of the numbers is not above; they ascend. Between two
/// of them, a straight line; NaN of none.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a place in a list in memory"
)]
pub(crate) fn quantile(ascending: &[f64], share: u32) -> f64 {
    let Some(last) = ascending.len().checked_sub(1) else { return f64::NAN };
    let place = f64::from(share) / 100_000.0 * last as f64;
    let low = place.floor() as usize;
    let high = (low + 1).min(last);
    let (low, high) = (ascending[low], ascending[high]);
    low + (high - low) * place.fract()
}

/// One number of a group.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Part {
    pub(crate) aggregate: Aggregate,
    /// What each member gives.
    pub(crate) program: Program,
}

/// What a rule about groups asks of their members.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct GroupSpec {
    /// The labels that tell groups apart.
    pub(crate) by: Vec<Box<str>>,
    /// The members' metrics; parts know them by their place here.
    pub(crate) inputs: Vec<MetricName>,
    /// Inputs, and the silence of each after which a member gives something else.
    pub(crate) deadlines: Vec<(u16, Duration)>,
    /// The group's numbers; conditions know them by their place here.
    pub(crate) parts: Vec<Part>,
}

/// What nothing sensible can be made of.
const NOTHING: NodeKind = NodeKind::Constant(f64::NAN);

impl Checker<'_, '_> {
    /// `name by (labels) (args)`.
    pub(super) fn group(
        &mut self,
        (name, at): (&str, Span),
        by: &[(Box<str>, Span)],
        args: &[Expr],
        span: Span,
    ) -> (NodeKind, Kind) {
        if self.is_within_group {
            let problem = Problem::new(span, "a group within a group");
            return (NOTHING, self.wrong(problem.help("name a metric of the members")));
        }
        let Some(entry) = AGGREGATES.iter().find(|entry| entry.name == name) else {
            let known = AGGREGATES.map(|entry| entry.name);
            let help = match suggest::nearest(name, known) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("of a group there are {}", suggest::list(&known)),
            };
            let problem = Problem::new(at, format!("`{name}` says nothing of a group"));
            return (NOTHING, self.wrong(problem.help(help)));
        };
        let n_expected = if let Aggregate::Quantile(_) = entry.aggregate { 2 } else { 1 };
        if args.len() != n_expected {
            let count = if n_expected == 1 { "one argument" } else { "two arguments" };
            let problem =
                Problem::new(span, format!("`{name} by` takes {count}, not {}", args.len()));
            return (NOTHING, self.wrong(problem.help(format!("write `{}`", entry.usage))));
        }
        let aggregate = match entry.aggregate {
            Aggregate::Quantile(_) => match self.share(&args[1]) {
                Some(share) => Aggregate::Quantile(share),
                None => return (NOTHING, Kind::Wrong),
            },
            plain => plain,
        };
        let mut spec = self.names.group.take().unwrap_or_default();
        let is_by_ok = self.take_labels(by, &mut spec, span);
        self.exchange(&mut spec);
        let (node, kind) = self.node(&args[0]);
        self.exchange(&mut spec);
        let kind = self.must_suit(entry, &args[0], kind);
        let part = Part { aggregate, program: Program::compile(&node) };
        let known = spec.parts.iter().position(|known| *known == part);
        let place = known.unwrap_or_else(|| {
            spec.parts.push(part);
            spec.parts.len() - 1
        });
        self.names.group = Some(spec);
        if kind == Kind::Wrong || !is_by_ok {
            return (NOTHING, Kind::Wrong);
        }
        // `NODES_MAX` keeps it far below 65,536.
        (NodeKind::Input(u16::try_from(place).unwrap_or(u16::MAX)), Kind::Number)
    }

    /// Names mean the members' metrics, or those of the rule again.
    fn exchange(&mut self, spec: &mut GroupSpec) {
        std::mem::swap(&mut self.names.inputs, &mut spec.inputs);
        std::mem::swap(&mut self.names.deadlines, &mut spec.deadlines);
        self.is_within_group = !self.is_within_group;
    }

    fn take_labels(&mut self, by: &[(Box<str>, Span)], spec: &mut GroupSpec, span: Span) -> bool {
        for (label, at) in by {
            let problem = match &**label {
                "device" => Problem::new(*at, "each device is a group of its own")
                    .help("leave the group out: a rule is for each device anyway"),
                name if !lexer::is_name(name) => {
                    Problem::new(*at, format!("`{name}` cannot be a label"))
                }
                _ => continue,
            };
            self.wrong(problem);
            return false;
        }
        if by.len() > LABELS_MAX {
            self.wrong(Problem::new(span, format!("more than {LABELS_MAX} labels")));
            return false;
        }
        let labels = || by.iter().map(|(label, _)| label);
        if !spec.parts.is_empty() && !labels().eq(&spec.by) {
            let message = "all groups of a rule must be by the same labels";
            let help = format!("write `by ({})` here too", spec.by.join(", "));
            self.wrong(Problem::new(span, message).help(help));
            return false;
        }
        spec.by = labels().cloned().collect();
        true
    }

    /// Whether the aggregate can be made of what each member gives.
    fn must_suit(&mut self, entry: &Entry, arg: &Expr, kind: Kind) -> Kind {
        let source = arg.span.of(self.text);
        let is_share = matches!(entry.aggregate, Aggregate::Avg | Aggregate::Sum);
        match kind {
            Kind::Wrong => Kind::Wrong,
            Kind::Truth if is_share || entry.aggregate == Aggregate::Count => Kind::Truth,
            Kind::Number | Kind::Metric | Kind::Duration if entry.aggregate != Aggregate::Count => {
                Kind::Number
            }
            _ if entry.aggregate == Aggregate::Count => {
                let message =
                    format!("`count` needs a condition, but `{source}` is {}", kind.name());
                let help = match kind {
                    Kind::Metric => format!(
                        "write `{source} = true`, or `not absent({source}, 5m)` to count who sends it"
                    ),
                    _ => format!("write `{}`", entry.usage),
                };
                self.wrong(Problem::new(arg.span, message).help(help))
            }
            _ => {
                let message =
                    format!("`{}` needs a number, but `{source}` is {}", entry.name, kind.name());
                self.wrong(Problem::new(arg.span, message).help(format!("write `{}`", entry.usage)))
            }
        }
    }

    /// Reports what is over time where only the present of a group's members is known.
    pub(super) fn is_of_members(&mut self, span: Span) -> bool {
        if self.is_within_group {
            let source = span.of(self.text);
            let message = format!("`{source}` is over time, but a group is made of present values");
            let help = "use the metric itself, and `for` to ask that it lasts";
            self.wrong(Problem::new(span, message).help(help));
        }
        self.is_within_group
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aggregates_are_what_they_say() {
        for (aggregate, expected) in [
            (Aggregate::Avg, 3.0),
            (Aggregate::Count, 4.0),
            (Aggregate::Max, 9.0),
            (Aggregate::Min, 0.0),
            (Aggregate::Quantile(50_000), 2.0),
            (Aggregate::Quantile(0), 0.0),
            (Aggregate::Quantile(100_000), 9.0),
            (Aggregate::Sum, 15.0),
        ] {
            let numbers = &mut [1.0, 9.0, 0.0, 2.0, 3.0];
            assert!((aggregate.of(numbers) - expected).abs() < 1e-9, "{aggregate:?}");
        }
        let stddev = Aggregate::Stddev.of(&mut [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]);
        assert!((stddev - 2.0).abs() < 1e-9);
        assert!(Aggregate::Avg.of(&mut []).is_nan() && Aggregate::Max.of(&mut []).is_nan());
        assert!(Aggregate::Count.of(&mut []).is_nan());
    }
}
