//! The engine's numbers, as Prometheus reads them.

use bellwire_alerts::{Handlings, Metrics};
use prometheus::{Registry, TextEncoder};

use crate::world::World;

#[test]
fn metrics_follow_the_engine() {
    let registry = Registry::new();
    let metrics = Metrics::register(&registry).expect("an empty registry");
    let mut world =
        World::new("lateness = '3s'\n[[rule]]\nname = 'r'\nwhen = 'v > 5'\nkeep_firing_for = '9s'");
    for (second, value) in [(0, 9.0), (1, 1.0), (2, 9.0)] {
        world.read("d", second, &[("v", value)]);
        metrics.record(&world.engine, &Handlings::default());
    }
    world.read("e", 2, &[("v", 9.0)]);
    world.read("e", 1, &[("v", 0.0)]);
    world.read("e", -1, &[("v", 0.0)]);
    metrics.record(&world.engine, &Handlings::default());
    let text = TextEncoder::new().encode_to_string(&registry.gather()).expect("encodes");
    for line in [
        "bellwire_alerts_observations_total 6",
        "bellwire_alerts_evaluations_total 4",
        "bellwire_alerts_corrected_observations_total 1",
        "bellwire_alerts_late_observations_total 1",
        "bellwire_alerts_clock_steps_total 0",
        "bellwire_alerts_transitions_total{state=\"firing\"} 3",
        "bellwire_alerts_transitions_total{state=\"recovering\"} 1",
        "bellwire_alerts_transitions_total{state=\"no_data\"} 0",
        "bellwire_alerts_open{state=\"firing\"} 2",
        "bellwire_alerts_open{state=\"pending\"} 0",
        "bellwire_alerts_rules 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    assert!(Metrics::register(&registry).is_err(), "registered twice");
}
