//! Checks calls of functions, and `offset`.

use std::sync::Arc;
use std::time::Duration;

use bellwire_model::MetricName;

use super::ast::{Expr, ExprKind};
use super::check::{Checker, Kind, Node, NodeKind, constant};
use super::functions::{Entry, FUNCTIONS, Function, Stat};
use super::names::Param;
use super::{Problem, Span, duration};
use crate::suggest;

/// The most corners of a polygon.
const CORNERS_MAX: usize = 100;
/// The shortest window: shorter ones hold a reading or none.
const WINDOW_MIN: Duration = Duration::from_secs(1);

/// What stands for a part that is wrong.
const NOTHING: NodeKind = NodeKind::Constant(f64::NAN);

/// A metric and how long ago it is asked for.
#[derive(Clone, Copy)]
struct Ago {
    by: Duration,
}

impl Checker<'_, '_> {
    pub(super) fn call(
        &mut self,
        name: &str,
        at: Span,
        args: &[Expr],
        span: Span,
    ) -> (NodeKind, Kind) {
        self.call_ago(name, at, args, span, Ago { by: Duration::ZERO })
    }

    /// `inner offset by`.
    pub(super) fn offset(&mut self, inner: &Expr, by: f64, at: Span) -> (NodeKind, Kind) {
        let ago = Ago { by: Duration::from_secs_f64(by) };
        if self.is_of_members(inner.span.to(at)) {
            return (NOTHING, Kind::Wrong);
        }
        if ago.by.is_zero() {
            let problem = Problem::new(at, "the offset is zero").help("leave `offset` out");
            return (NOTHING, self.wrong(problem));
        }
        match &inner.kind {
            ExprKind::Call { name, at, args } => self.call_ago(name, *at, args, inner.span, ago),
            ExprKind::Metric(name) => self.metric_ago(name, inner.span, ago),
            ExprKind::Name(name) if !self.names.params.contains_key(name.as_ref()) => {
                self.metric_ago(name, inner.span, ago)
            }
            _ => {
                let source = inner.span.of(self.text);
                let message = format!("`{source}` is a parameter, which has no earlier value");
                (NOTHING, self.wrong(Problem::new(inner.span, message)))
            }
        }
    }

    fn metric_ago(&mut self, name: &str, span: Span, ago: Ago) -> (NodeKind, Kind) {
        match self.metric(name, span) {
            (NodeKind::Input(input), _) => {
                let window = self.names.window(input, Duration::ZERO, ago.by, Stat::Last);
                (NodeKind::Window(window, Stat::Last), Kind::Number)
            }
            wrong => wrong,
        }
    }

    fn call_ago(
        &mut self,
        name: &str,
        at: Span,
        args: &[Expr],
        span: Span,
        ago: Ago,
    ) -> (NodeKind, Kind) {
        let Some(entry) = Function::named(name) else {
            return (NOTHING, self.unknown_function(name, at));
        };
        let has_past =
            matches!(entry.function, Function::Last | Function::Window(_) | Function::Quantile);
        if !ago.by.is_zero() && !has_past {
            let message = format!("`offset` is for metrics and windows, not for `{name}`");
            return (NOTHING, self.wrong(Problem::new(at, message)));
        }
        let expected = match entry.function {
            Function::Last | Function::Abs | Function::Age => 1..=1,
            Function::Window(_) | Function::Absent | Function::Distance => 2..=2,
            Function::Quantile => 3..=3,
            Function::Inside => 6..=2 * CORNERS_MAX,
        };
        if !expected.contains(&args.len()) {
            return (NOTHING, self.wrong_count(entry, args.len(), span));
        }
        match entry.function {
            Function::Abs => {
                let (node, kind) = self.node(&args[0]);
                let kind = self.must_be_number(&args[0], kind, name);
                (NodeKind::Abs(Box::new(node)), kind)
            }
            Function::Last => self.last(&args[0], ago),
            Function::Window(stat) => self.window(entry, stat, args, ago),
            Function::Quantile => match self.share(&args[2]) {
                Some(share) => self.window(entry, Stat::Quantile(share), args, ago),
                None => (NOTHING, Kind::Wrong),
            },
            Function::Absent => self.absent(entry, args),
            Function::Age => match self.input_of(entry, &args[0]) {
                Some(input) => (NodeKind::Age(input), Kind::Duration),
                None => (NOTHING, Kind::Wrong),
            },
            Function::Distance => self.distance(entry, args),
            Function::Inside => self.inside(entry, args),
        }
    }

    fn unknown_function(&mut self, name: &str, at: Span) -> Kind {
        let known = FUNCTIONS.map(|entry| entry.name);
        let help = match suggest::nearest(name, known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the functions are {}", suggest::list(&known)),
        };
        self.wrong(Problem::new(at, format!("unknown function `{name}`")).help(help))
    }

    fn wrong_count(&mut self, entry: &Entry, n: usize, span: Span) -> Kind {
        let Entry { name, usage, function, .. } = entry;
        let takes = match function {
            Function::Last | Function::Abs | Function::Age => "one argument",
            Function::Window(_) | Function::Absent | Function::Distance => "two arguments",
            Function::Quantile => "three arguments",
            Function::Inside => "three to a hundred corners of two numbers each",
        };
        let message = format!("`{name}` takes {takes}, not {n}");
        self.wrong(Problem::new(span, message).help(format!("write `{usage}`")))
    }

    fn last(&mut self, arg: &Expr, ago: Ago) -> (NodeKind, Kind) {
        let (node, kind) = self.node(arg);
        match (node.kind, kind) {
            (_, Kind::Wrong) => (NOTHING, Kind::Wrong),
            (NodeKind::Input(input), Kind::Metric) if !ago.by.is_zero() => {
                let window = self.names.window(input, Duration::ZERO, ago.by, Stat::Last);
                (NodeKind::Window(window, Stat::Last), Kind::Number)
            }
            (node, Kind::Metric) => (node, Kind::Metric),
            _ => {
                let source = arg.span.of(self.text);
                let message = format!("`last` needs a metric, but `{source}` is {}", kind.name());
                (NOTHING, self.wrong(Problem::new(arg.span, message)))
            }
        }
    }

    fn window(&mut self, entry: &Entry, stat: Stat, args: &[Expr], ago: Ago) -> (NodeKind, Kind) {
        let input = self.input_of(entry, &args[0]);
        let width = self.duration_of(entry, &args[1]);
        let (Some(input), Some(width)) = (input, width) else { return (NOTHING, Kind::Wrong) };
        if self.is_of_members(args[0].span.to(args[1].span)) {
            return (NOTHING, Kind::Wrong);
        }
        if width < WINDOW_MIN {
            let problem = Problem::new(args[1].span, "the window is shorter than a second");
            return (NOTHING, self.wrong(problem));
        }
        let window = self.names.window(input, width, ago.by, stat);
        (NodeKind::Window(window, stat), Kind::Number)
    }

    fn absent(&mut self, entry: &Entry, args: &[Expr]) -> (NodeKind, Kind) {
        let input = self.input_of(entry, &args[0]);
        let silence = self.duration_of(entry, &args[1]);
        let (Some(input), Some(silence)) = (input, silence) else {
            return (NOTHING, Kind::Wrong);
        };
        if silence < WINDOW_MIN {
            let problem = Problem::new(args[1].span, "the silence is shorter than a second");
            return (NOTHING, self.wrong(problem));
        }
        self.names.deadline(input, silence);
        (NodeKind::Absent(input, silence), Kind::Truth)
    }

    fn distance(&mut self, entry: &Entry, args: &[Expr]) -> (NodeKind, Kind) {
        let (Some(lat), Some(lon)) =
            (self.degrees(entry, &args[0], 90.0), self.degrees(entry, &args[1], 180.0))
        else {
            return (NOTHING, Kind::Wrong);
        };
        let place = self.place(args[0].span);
        (NodeKind::Distance(place, (lat, lon)), Kind::Number)
    }

    fn inside(&mut self, entry: &Entry, args: &[Expr]) -> (NodeKind, Kind) {
        if !args.len().is_multiple_of(2) {
            return (NOTHING, self.wrong_count(entry, args.len(), args[0].span));
        }
        let mut corners = Vec::new();
        for pair in args.chunks_exact(2) {
            let lat = self.degrees(entry, &pair[0], 90.0);
            let lon = self.degrees(entry, &pair[1], 180.0);
            corners.extend(lat.zip(lon));
        }
        if corners.len() * 2 < args.len() {
            return (NOTHING, Kind::Wrong);
        }
        let place = self.place(args[0].span);
        (NodeKind::Inside(place, Arc::from(corners)), Kind::Truth)
    }

    /// The inputs that say where the device is.
    fn place(&mut self, span: Span) -> [u16; 2] {
        ["lat", "lon"].map(|name| {
            let name = MetricName::new(name).expect("letters are a valid name");
            self.input(name, span)
        })
    }

    /// The metric that an argument names.
    fn input_of(&mut self, entry: &Entry, arg: &Expr) -> Option<u16> {
        let (node, kind) = self.node(arg);
        match (node.kind, kind) {
            (NodeKind::Input(input), Kind::Metric) => return Some(input),
            (_, Kind::Wrong) => return None,
            _ => {}
        }
        let source = arg.span.of(self.text);
        let Entry { name, usage, .. } = entry;
        let message = format!("`{name}` needs a metric, but `{source}` is {}", kind.name());
        self.wrong(Problem::new(arg.span, message).help(format!("write `{usage}`")));
        None
    }

    /// The duration that an argument is: a literal, or a parameter that is a text like `5m`.
    fn duration_of(&mut self, entry: &Entry, arg: &Expr) -> Option<Duration> {
        if let ExprKind::Duration(secs) = arg.kind {
            return Some(Duration::from_secs_f64(secs));
        }
        if let ExprKind::Name(name) = &arg.kind
            && let Some(Param::Text(text)) = self.names.params.get(name.as_ref())
        {
            let text = Arc::clone(text);
            self.names.used_params.push(name.to_string());
            return duration::parse(&text)
                .map_err(|message| {
                    self.wrong(Problem::new(arg.span, message).help(duration::HELP));
                })
                .ok();
        }
        let (node, kind) = self.node(arg);
        if kind == Kind::Wrong {
            return None;
        }
        let source = arg.span.of(self.text);
        let message =
            format!("`{}` needs a duration, but `{source}` is {}", entry.name, kind.name());
        let help = match constant(&node) {
            Some(number) => format!("write the unit, as in `{number}s`"),
            None => duration::HELP.to_owned(),
        };
        self.wrong(Problem::new(arg.span, message).help(help));
        None
    }

    /// The constant that an argument is.
    fn constant_of(&mut self, entry: &Entry, arg: &Expr) -> Option<f64> {
        let (node, kind) = self.node(arg);
        let number = constant(&node).filter(|_| kind == Kind::Number);
        if number.is_none() && kind != Kind::Wrong {
            let source = arg.span.of(self.text);
            let message =
                format!("`{}` needs a number that is written out, not `{source}`", entry.name);
            self.wrong(Problem::new(arg.span, message).help(format!("write `{}`", entry.usage)));
        }
        number
    }

    fn degrees(&mut self, entry: &Entry, arg: &Expr, most: f64) -> Option<f64> {
        let number = self.constant_of(entry, arg)?;
        if number.abs() <= most {
            return Some(number);
        }
        let what = if most < 100.0 { "a latitude" } else { "a longitude" };
        let message = format!("{number} is not {what}: it must be from -{most} to {most} degrees");
        self.wrong(Problem::new(arg.span, message));
        None
    }

    /// A share from 0 to 1, in thousandths of a percent.
    pub(super) fn share(&mut self, arg: &Expr) -> Option<u32> {
        let entry = Function::named("quantile").expect("in the table");
        let share = self.constant_of(entry, arg)?;
        if (0.0..=1.0).contains(&share) {
            return Some((share * 100_000.0).round() as u32);
        }
        let message = format!("{share} is not a share from 0 to 1");
        self.wrong(Problem::new(arg.span, message).help("0.95 is what 95 % are not above"));
        None
    }
}

/// The node of a comparison of an age with a constant, which must be a duration.
pub(super) fn age_deadline(left: &Node, right: &Node) -> Option<(u16, f64)> {
    match (&left.kind, constant(right), &right.kind, constant(left)) {
        (NodeKind::Age(input), Some(secs), ..) | (.., NodeKind::Age(input), Some(secs)) => {
            Some((*input, secs))
        }
        _ => None,
    }
}
