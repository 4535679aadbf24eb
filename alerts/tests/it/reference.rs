//! What the engine should say, worked out the slow way: second by second, looking back over the
//! whole history at each step, with rules written in Rust.

use std::collections::BTreeMap;

use bellwire_model::AlertState::{self, Firing, Inactive, Pending, Recovering, Resolved};

/// Metric values by name; `None` is a text.
pub(crate) type Values = BTreeMap<&'static str, Option<f64>>;

/// A rule as Rust, with the same rule as text.
#[derive(Clone, Copy)]
pub(crate) struct RefRule {
    pub(crate) when: fn(&Values) -> Option<bool>,
    pub(crate) clear: fn(&Values) -> Option<bool>,
    pub(crate) metrics: &'static [&'static str],
    pub(crate) text: &'static str,
}

/// Seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RefTiming {
    pub(crate) hold: i64,
    pub(crate) keep: i64,
    pub(crate) gap: i64,
}

/// What one reading showed.
#[derive(Clone, Copy)]
struct Judged {
    at: i64,
    when: Option<bool>,
    clear: Option<bool>,
}

/// A transition: the states and the second.
pub(crate) type Step = (AlertState, AlertState, i64);

/// The history of one rule on one device up to and including second `end`. `readings` are in
/// order of arrival, with seconds that never decrease.
pub(crate) fn history(
    rule: &RefRule,
    timing: RefTiming,
    readings: &[(i64, Values)],
    end: i64,
) -> Vec<Step> {
    let mut known = Values::new();
    let mut judged = Vec::new();
    for (at, values) in readings {
        known.extend(values);
        if values.keys().any(|name| rule.metrics.contains(name)) {
            judged.push(Judged { at: *at, when: (rule.when)(&known), clear: (rule.clear)(&known) });
        }
    }
    let mut steps: Vec<Step> = Vec::new();
    for second in 0..=end {
        for n in 0..judged.len() {
            if judged[n].at == second {
                let past = &judged[..=n];
                steps.extend(on_reading(&steps, timing, past));
            }
        }
        let n_past = judged.iter().filter(|judged| judged.at <= second).count();
        steps.extend(on_silence(&steps, timing, &judged[..n_past], second));
    }
    steps
}

fn state(steps: &[Step]) -> AlertState {
    steps.last().map_or(Inactive, |(_, to, _)| *to)
}

/// When the state that it is in was entered.
fn entered(steps: &[Step]) -> i64 {
    steps.last().map_or(0, |(_, _, at)| *at)
}

fn on_reading(steps: &[Step], timing: RefTiming, past: &[Judged]) -> Option<Step> {
    let now = past.last()?;
    let from = state(steps);
    match from {
        Inactive | Resolved if now.when == Some(true) => {
            let to = if timing.hold == 0 { Firing } else { Pending };
            Some((Inactive, to, now.at))
        }
        Pending if now.when == Some(false) => Some((from, Inactive, now.at)),
        Pending if now.when == Some(true) && entered(steps) + timing.hold <= now.at => {
            Some((from, Firing, entered(steps) + timing.hold))
        }
        Firing if now.when != Some(true) && now.clear == Some(true) => {
            let to = if timing.keep == 0 { Resolved } else { Recovering };
            Some((from, to, now.at))
        }
        Recovering if now.when == Some(true) => Some((from, Firing, now.at)),
        _ => None,
    }
}

/// What is so at the end of `second`, when all its readings are in.
fn on_silence(steps: &[Step], timing: RefTiming, past: &[Judged], second: i64) -> Option<Step> {
    let from = state(steps);
    match from {
        Pending => {
            let last = past.last()?;
            let held_at = past.iter().rev().find(|judged| judged.when == Some(true))?.at;
            if last.when == Some(true) && second == entered(steps) + timing.hold {
                Some((from, Firing, second))
            } else if second == held_at + timing.gap {
                Some((from, Inactive, second))
            } else {
                None
            }
        }
        Recovering if second == entered(steps) + timing.keep => Some((from, Resolved, second)),
        _ => None,
    }
}
