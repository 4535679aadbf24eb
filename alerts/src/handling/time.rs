//! What time does to alerts: snoozes and silences end, and what nobody acknowledges goes a level up.

use std::sync::Arc;

use bellwire_model::{AlertId, SilenceId, Step, StepKind};

use super::settle::silenced;
use super::{Handlings, Record, said, step};
use crate::lang::duration;
use crate::rules::handling::chooses;

impl Handlings {
    /// Lets time pass up to when the record was received.
    pub(crate) fn advance(&mut self, record: &mut Record<'_>) {
        let now = record.received_at;
        self.at = self.at.max(now);
        for id in self.silences.advance(now) {
            self.apply_silence(id, None, record);
        }
        while let Some(&(at, id)) = self.due.first()
            && at <= now
        {
            self.come_due(id, record);
        }
        self.done.forget(now);
    }

    fn come_due(&mut self, id: AlertId, record: &mut Record<'_>) {
        let now = record.received_at;
        let Some(held) = self.held.get(&id) else { return };
        let snooze = held.handling().and_then(|handling| handling.snoozed_until);
        if snooze.is_some_and(|until| until <= now) {
            self.touch(id, step(StepKind::SnoozeEnded), record, |it| it.snoozed_until = None);
            return;
        }
        match held.next_level(record.rules) {
            Some((at, after)) if at <= now => {
                let level = held.handling().map_or(0, |handling| handling.escalation) + 1;
                let after = duration::format(after);
                let text = format!("level {level}, not acknowledged for {after}");
                self.touch(id, said(StepKind::Escalated, text), record, |it| {
                    it.escalation = level;
                });
            }
            // Other rules say another time.
            _ => {
                if let Some(mut held) = self.remove(id) {
                    held.reconsider(record.rules, now);
                    self.insert(held);
                }
            }
        }
    }

    /// A silence mutes others than before, or has begun or ceased to: brings all alerts up to date.
    /// Takes time in proportion to them.
    pub(super) fn apply_silence(
        &mut self,
        id: SilenceId,
        by: Option<&Arc<str>>,
        record: &mut Record<'_>,
    ) {
        let active = self.silences.active(id).cloned();
        let ids: Vec<AlertId> = self.held.keys().copied().collect();
        for alert in ids {
            let Some(held) = self.held.get(&alert) else { continue };
            let was = held.handling().is_some_and(|it| it.silenced_by.contains(&id));
            let is = held.is_active()
                && active.as_ref().is_some_and(|it| chooses(&it.matchers, &held.alert));
            let step = match (was, is, &active) {
                (false, true, Some(silence)) => silenced(silence),
                (true, false, _) => {
                    let text = by.is_none().then(|| "it is over".into());
                    Step { kind: StepKind::Unsilenced, by: by.cloned(), text }
                }
                _ => continue,
            };
            self.touch(alert, step, record, |handling| {
                handling.silenced_by.retain(|known| *known != id);
                if is {
                    handling.silenced_by.push(id);
                    handling.silenced_by.sort_unstable();
                }
            });
        }
    }
}
