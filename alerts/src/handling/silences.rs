//! Silences and maintenance windows: which mute at present, and when that changes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bellwire_model::{Alert, Silence, SilenceDraft, SilenceId, SilenceOutcome, Timestamp};

use crate::rules::handling::chooses;
use crate::rules::schedule::Schedule;

/// The most silences that are not over.
pub(super) const OPEN_MAX: usize = 1_000;
/// The most that are remembered, those that are over included.
const KEPT_MAX: usize = 10_000;
/// How long one that is over is remembered: Alertmanager's retention.
const RETENTION: Duration = Duration::from_hours(120);

/// A silence that is remembered.
#[derive(Debug)]
struct Kept {
    silence: Arc<Silence>,
    schedule: Option<Schedule>,
    /// When something about it changes next.
    change: Timestamp,
}

/// All silences that are remembered.
#[derive(Debug, Default)]
pub(super) struct Silences {
    all: BTreeMap<SilenceId, Kept>,
    /// Those that mute at present.
    active: BTreeSet<SilenceId>,
    changes: BTreeSet<(Timestamp, SilenceId)>,
    /// Another number whenever `all` or `active` has changed.
    n_changes: u64,
}

/// The hours in which a silence mutes, if it has some.
///
/// # Errors
/// If they are not understood.
pub(super) fn schedule_of(
    text: Option<&(Arc<str>, Arc<str>)>,
) -> Result<Option<Schedule>, SilenceOutcome> {
    let Some((hours, zone)) = text else { return Ok(None) };
    let bad = SilenceOutcome::BadSchedule;
    let zone = Schedule::zone(zone).map_err(|_| bad)?;
    Schedule::parse(hours, zone).map(Some).map_err(|_| bad)
}

impl Kept {
    fn new(silence: Arc<Silence>, schedule: Option<Schedule>) -> Self {
        Self { silence, schedule, change: Timestamp::MAX }
    }

    /// Whether it mutes at `now`, and until when that stays so.
    fn look(&self, now: Timestamp) -> (bool, Timestamp) {
        let Silence { starts_at, ends_at, .. } = *self.silence;
        if now < starts_at {
            return (false, starts_at);
        }
        if ends_at <= now {
            return (false, ends_at + RETENTION);
        }
        match &self.schedule {
            None => (true, ends_at),
            Some(schedule) => {
                let stretch = schedule.stretch(now);
                (stretch.is_active, stretch.until.min(ends_at))
            }
        }
    }
}

impl Silences {
    /// All, each with whether it mutes at present.
    pub(super) fn all(&self) -> impl Iterator<Item = (&Arc<Silence>, bool)> {
        self.all.iter().map(|(id, kept)| (&kept.silence, self.active.contains(id)))
    }

    pub(super) const fn n_changes(&self) -> u64 {
        self.n_changes
    }

    pub(super) fn n_active(&self) -> usize {
        self.active.len()
    }

    pub(super) fn next_change(&self) -> Option<Timestamp> {
        self.changes.first().map(|(at, _)| *at)
    }

    /// One of them.
    pub(super) fn get(&self, id: SilenceId) -> Option<&Arc<Silence>> {
        self.all.get(&id).map(|kept| &kept.silence)
    }

    /// One of them, if it mutes at present.
    pub(super) fn active(&self, id: SilenceId) -> Option<&Arc<Silence>> {
        self.active.get(&id).and_then(|id| self.get(*id))
    }

    /// Those that mute an alert at present, by id.
    pub(super) fn muting<'a>(&'a self, alert: &'a Alert) -> impl Iterator<Item = &'a Arc<Silence>> {
        let active = self.active.iter().filter_map(|id| self.get(*id));
        active.filter(|silence| chooses(&silence.matchers, alert))
    }

    /// Makes or changes one.
    ///
    /// # Errors
    /// Why it cannot be.
    pub(super) fn put(
        &mut self,
        draft: &SilenceDraft,
        author: &Arc<str>,
        now: Timestamp,
    ) -> Result<Arc<Silence>, SilenceOutcome> {
        let old = self.get(draft.id);
        let version = old.map_or(0, |old| old.version);
        if draft.version.is_some_and(|wanted| wanted != version) {
            return Err(SilenceOutcome::Changed(version));
        }
        if old.is_some_and(|old| old.is_over(now)) {
            return Err(SilenceOutcome::Over);
        }
        let starts_at = match old {
            // What has begun has begun.
            Some(old) if old.starts_at <= now => old.starts_at,
            Some(old) => draft.starts_at.unwrap_or(old.starts_at).max(now),
            None => draft.starts_at.unwrap_or(now).max(now),
        };
        if draft.ends_at <= now.max(starts_at) {
            return Err(SilenceOutcome::EndsTooEarly);
        }
        let schedule = schedule_of(draft.schedule.as_ref())?;
        let is_open = |kept: &&Kept| !kept.silence.is_over(now);
        if old.is_none() && self.all.values().filter(is_open).count() >= OPEN_MAX {
            return Err(SilenceOutcome::Full);
        }
        let silence = Arc::new(Silence {
            id: draft.id,
            version: version + 1,
            matchers: draft.matchers.clone(),
            starts_at,
            ends_at: draft.ends_at,
            schedule: draft.schedule.clone(),
            author: Arc::clone(author),
            reason: Arc::clone(&draft.reason),
            created_at: old.map_or(now, |old| old.created_at),
            updated_at: now,
        });
        self.insert(Arc::clone(&silence), schedule, now);
        self.forget_surplus(now);
        Ok(silence)
    }

    /// Ends one.
    ///
    /// # Errors
    /// Why it cannot be.
    pub(super) fn expire(
        &mut self,
        (id, version): (SilenceId, Option<u32>),
        author: &Arc<str>,
        now: Timestamp,
    ) -> Result<Arc<Silence>, SilenceOutcome> {
        let old = self.get(id).ok_or(SilenceOutcome::NotFound)?;
        if version.is_some_and(|wanted| wanted != old.version) {
            return Err(SilenceOutcome::Changed(old.version));
        }
        if old.is_over(now) {
            return Err(SilenceOutcome::Over);
        }
        let silence = Arc::new(Silence {
            version: old.version + 1,
            starts_at: old.starts_at.min(now),
            ends_at: now,
            author: Arc::clone(author),
            updated_at: now,
            ..Silence::clone(old)
        });
        let schedule = schedule_of(silence.schedule.as_ref())?;
        self.insert(Arc::clone(&silence), schedule, now);
        Ok(silence)
    }

    /// Puts one in its places, or another version of it.
    pub(super) fn insert(
        &mut self,
        silence: Arc<Silence>,
        schedule: Option<Schedule>,
        now: Timestamp,
    ) {
        let id = silence.id;
        self.forget(id);
        self.n_changes += 1;
        self.all.insert(id, Kept::new(silence, schedule));
        self.refresh(id, now);
    }

    /// Looks whether one mutes at `now`.
    fn refresh(&mut self, id: SilenceId, now: Timestamp) {
        let Some(kept) = self.all.get_mut(&id) else { return };
        let (mutes, until) = kept.look(now);
        self.changes.remove(&(kept.change, id));
        kept.change = until;
        self.changes.insert((until, id));
        let is_turned = if mutes { self.active.insert(id) } else { self.active.remove(&id) };
        self.n_changes += u64::from(is_turned);
    }

    fn forget(&mut self, id: SilenceId) {
        if let Some(kept) = self.all.remove(&id) {
            self.n_changes += 1;
            self.changes.remove(&(kept.change, id));
            self.active.remove(&id);
        }
    }

    fn forget_surplus(&mut self, now: Timestamp) {
        while self.all.len() > KEPT_MAX {
            let over = self.all.values().filter(|kept| kept.silence.is_over(now));
            let oldest = over.min_by_key(|kept| (kept.silence.ends_at, kept.silence.id));
            let Some(id) = oldest.map(|kept| kept.silence.id) else { return };
            self.forget(id);
        }
    }

    /// Lets time pass up to `now`; gives those that began or ceased to mute.
    pub(super) fn advance(&mut self, now: Timestamp) -> Vec<SilenceId> {
        let mut turned = Vec::new();
        while let Some(&(at, id)) = self.changes.first()
            && at <= now
        {
            let was_active = self.active.contains(&id);
            if self.get(id).is_some_and(|silence| silence.ends_at + RETENTION <= now) {
                self.forget(id);
            } else {
                self.refresh(id, now);
            }
            if was_active != self.active.contains(&id) {
                turned.push(id);
            }
        }
        turned.sort_unstable();
        turned.dedup();
        turned
    }
}
