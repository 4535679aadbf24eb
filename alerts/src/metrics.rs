//! The engine's numbers for Prometheus.

use bellwire_model::{AlertState, StepKind};
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use crate::engine::Engine;
use crate::handling::Handlings;

/// What `/metrics` says about alerts.
#[derive(Debug)]
pub struct Metrics {
    observations: IntCounter,
    evaluations: IntCounter,
    corrected: IntCounter,
    late: IntCounter,
    clock_steps: IntCounter,
    /// By the order of [`AlertState::ALL`].
    transitions: Vec<IntCounter>,
    /// For the states in [`OPEN`].
    open: Vec<IntGauge>,
    rules: IntGauge,
    /// By the order of [`StepKind::ALL`].
    steps: Vec<IntCounter>,
    latched: IntGauge,
    latched_dropped: IntCounter,
    silences: IntGauge,
}

/// The states in which an alert is not over and this version puts alerts.
const OPEN: [AlertState; 4] =
    [AlertState::Pending, AlertState::Firing, AlertState::Recovering, AlertState::NoData];

impl Metrics {
    /// Registers all of them; all are 0 until [`Metrics::record`].
    ///
    /// # Errors
    /// If one is registered already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let transitions = IntCounterVec::new(
            Opts::new("bellwire_alerts_transitions_total", "Alert transitions, by the new state."),
            &["state"],
        )?;
        registry.register(Box::new(transitions.clone()))?;
        let open = IntGaugeVec::new(
            Opts::new("bellwire_alerts_open", "Alerts that are not over, by state."),
            &["state"],
        )?;
        registry.register(Box::new(open.clone()))?;
        let rules = IntGauge::new("bellwire_alerts_rules", "Alert rules in force.")?;
        registry.register(Box::new(rules.clone()))?;
        let steps = IntCounterVec::new(
            Opts::new("bellwire_alerts_steps_total", "Steps in the handling of alerts, by kind."),
            &["step"],
        )?;
        registry.register(Box::new(steps.clone()))?;
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        Ok(Self {
            observations: counter(
                "bellwire_alerts_observations_total",
                "Observations given to the alert engine.",
            )?,
            evaluations: counter("bellwire_alerts_evaluations_total", "Rules judged.")?,
            corrected: counter(
                "bellwire_alerts_corrected_observations_total",
                "Observations that came late and were judged where they belong.",
            )?,
            late: counter(
                "bellwire_alerts_late_observations_total",
                "Observations that came too late to be judged.",
            )?,
            clock_steps: counter(
                "bellwire_alerts_clock_steps_total",
                "Times a device's clock was set back.",
            )?,
            transitions: AlertState::ALL
                .iter()
                .map(|state| transitions.with_label_values(&[state.label()]))
                .collect(),
            open: OPEN.iter().map(|state| open.with_label_values(&[state.label()])).collect(),
            rules,
            steps: StepKind::ALL
                .iter()
                .map(|kind| steps.with_label_values(&[kind.label()]))
                .collect(),
            latched: gauge(
                "bellwire_alerts_latched",
                "Alerts that are over and wait for somebody to acknowledge them.",
            )?,
            latched_dropped: counter(
                "bellwire_alerts_latched_dropped_total",
                "Alerts that waited for that and went because there were too many.",
            )?,
            silences: gauge("bellwire_alerts_silences", "Silences that mute at present.")?,
        })
    }

    /// Brings them up to the engine's numbers. Costs some loads and stores; call it once a batch.
    /// After a restore the engine counts anew: give it new metrics, or counters stand still until
    /// they are passed.
    pub fn record(&self, engine: &Engine, handlings: &Handlings) {
        let stats = engine.stats();
        raise(&self.observations, stats.observations);
        raise(&self.evaluations, stats.evaluations);
        raise(&self.corrected, stats.corrected);
        raise(&self.late, stats.late);
        raise(&self.clock_steps, stats.clock_steps);
        for (state, counter) in AlertState::ALL.iter().zip(&self.transitions) {
            raise(counter, stats.transitions(*state));
        }
        for (state, gauge) in OPEN.iter().zip(&self.open) {
            gauge.set(signed(stats.open(*state)));
        }
        self.rules.set(signed(engine.rules().rules().len() as u64));
        for (kind, counter) in StepKind::ALL.iter().zip(&self.steps) {
            raise(counter, handlings.stats().steps(*kind));
        }
        self.latched.set(signed(handlings.n_latched() as u64));
        raise(&self.latched_dropped, handlings.stats().latched_dropped);
        self.silences.set(signed(handlings.n_active_silences() as u64));
    }
}

fn raise(counter: &IntCounter, to: u64) {
    counter.inc_by(to.saturating_sub(counter.get()));
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
