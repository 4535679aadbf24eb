//! What would come of a change of a rule: for which devices it would be, and what becomes of its alerts.

use std::sync::Arc;

use bellwire_alerts::RuleSet;
use bellwire_api::ports::{AlertFate, RuleCheck, RuleTrial, RulesError};
use bellwire_model::{Alert, DeviceId, Registry, RuleName};

use super::plan::{self, misfit};
use super::show::Shown;
use crate::rulebook::effective::{Draft, compose};

/// Tries it beside everything else that is there.
pub(super) fn run(
    shown: &Shown,
    trial: RuleTrial,
    (devices, registry): (&[DeviceId], &Registry),
    alerts: &[Arc<Alert>],
) -> Result<RuleCheck, RulesError> {
    let (name, after) = match trial {
        RuleTrial::Put { toml } => (plan::read(&toml)?.name().clone(), Some(toml)),
        RuleTrial::Remove(name) => (name, None),
    };
    if shown.file.has(name.as_str()) {
        return Err(RulesError::InFile(name));
    }
    let current = shown.history.current(name.as_str());
    if current.is_none() && after.is_none() {
        return Err(RulesError::NoSuchRule(name));
    }
    let draft = Draft { rule: &name, toml: after.as_deref() };
    let then = compose(&shown.file, &shown.history, Some(draft)).map_err(misfit)?.set;
    let n_devices = devices
        .iter()
        .filter(|device| then.rule_for(name.as_str(), device, registry).is_some())
        .count();
    let now = &shown.effective.set;
    let of_rule = alerts.iter().filter(|alert| alert.rule == name);
    let alerts = of_rule
        .map(|alert| (Arc::clone(alert), fate(alert, &name, (now, &then), registry)))
        .collect();
    let enabled = current.is_none_or(|version| version.standing.is_enabled());
    let before = current.and_then(|version| version.toml.as_deref()).map(str::to_owned);
    Ok(RuleCheck { name, before, after, enabled, n_devices, alerts })
}

/// As `bellwire_alerts::engine` does it when the rules change.
fn fate(
    alert: &Alert,
    name: &RuleName,
    (now, then): (&RuleSet, &RuleSet),
    registry: &Registry,
) -> AlertFate {
    let device = DeviceId::new(alert.device.as_str()).ok();
    let of = |set: &RuleSet| match &device {
        Some(device) => set
            .rule_for(name.as_str(), device, registry)
            .filter(|it| !it.is_about_groups())
            .cloned(),
        // Whether the group will have members, its devices' next readings decide.
        None => set.rule(name.as_str()).filter(|it| it.is_about_groups()).cloned(),
    };
    match (of(now), of(then)) {
        (_, None) => AlertFate::Closed,
        (Some(old), Some(new)) if old.decides_like(&new) => AlertFate::Carried,
        (_, Some(_)) => AlertFate::JudgedAnew,
    }
}
