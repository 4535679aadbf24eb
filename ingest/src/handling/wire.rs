//! The handling of an alert, its steps, and silences as bytes.

use std::borrow::Cow;
use std::sync::Arc;

use bellwire_model::{
    Acknowledgement, AlertId, Handling, Labels, Matchers, Silence, SilenceId, Step, StepKind,
    Timestamp,
};
use serde::{Deserialize, Serialize};

type Text<'a> = Cow<'a, str>;

fn text(text: Option<Text<'_>>) -> Option<Arc<str>> {
    text.map(|it| it.into_owned().into())
}

/// [`Handling`] as bytes.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct WireHandling<'a> {
    acknowledged: Option<(Text<'a>, i64)>,
    assigned_to: Option<Text<'a>>,
    snoozed_until: Option<i64>,
    latched: bool,
    silenced_by: Vec<u128>,
    inhibited_by: Option<u64>,
    escalation: u8,
}

impl<'a> From<&'a Handling> for WireHandling<'a> {
    fn from(handling: &'a Handling) -> Self {
        let ack = handling.acknowledged.as_ref();
        Self {
            acknowledged: ack.map(|ack| ((&*ack.by).into(), ack.at.as_micros())),
            assigned_to: handling.assigned_to.as_deref().map(Into::into),
            snoozed_until: handling.snoozed_until.map(Timestamp::as_micros),
            latched: handling.latched,
            silenced_by: handling.silenced_by.iter().map(|id| id.0).collect(),
            inhibited_by: handling.inhibited_by.map(|id| id.0),
            escalation: handling.escalation,
        }
    }
}

impl From<WireHandling<'_>> for Handling {
    fn from(wire: WireHandling<'_>) -> Self {
        Self {
            acknowledged: wire.acknowledged.map(|(by, at)| Acknowledgement {
                by: by.into_owned().into(),
                at: Timestamp::from_micros(at),
            }),
            assigned_to: text(wire.assigned_to),
            snoozed_until: wire.snoozed_until.map(Timestamp::from_micros),
            latched: wire.latched,
            silenced_by: wire.silenced_by.into_iter().map(SilenceId).collect(),
            inhibited_by: wire.inhibited_by.map(AlertId),
            escalation: wire.escalation,
        }
    }
}

/// [`Step`] as bytes.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct WireStep<'a> {
    kind: u8,
    by: Option<Text<'a>>,
    text: Option<Text<'a>>,
}

impl<'a> From<&'a Step> for WireStep<'a> {
    fn from(step: &'a Step) -> Self {
        Self {
            kind: step.kind as u8,
            by: step.by.as_deref().map(Into::into),
            text: step.text.as_deref().map(Into::into),
        }
    }
}

impl WireStep<'_> {
    /// The step; `None` if its kind is unknown.
    pub(crate) fn step(self) -> Option<Step> {
        let kind = *StepKind::ALL.get(usize::from(self.kind))?;
        Some(Step { kind, by: text(self.by), text: text(self.text) })
    }
}

/// Labels as bytes.
pub(crate) fn wire_labels(labels: &Labels) -> Vec<(Text<'_>, Text<'_>)> {
    labels.iter().map(|(name, value)| (name.into(), value.into())).collect()
}

/// What [`wire_labels`] gave.
pub(crate) fn labels_of(wire: Vec<(Text<'_>, Text<'_>)>) -> Labels {
    let arc = |text: Text<'_>| Arc::<str>::from(text.as_ref());
    wire.into_iter().map(|(name, value)| (arc(name), arc(value))).collect()
}

/// [`Silence`] as bytes.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct WireSilence<'a> {
    id: u128,
    version: u32,
    matchers: Text<'a>,
    starts_at: i64,
    ends_at: i64,
    schedule: Option<(Text<'a>, Text<'a>)>,
    author: Text<'a>,
    reason: Text<'a>,
    created_at: i64,
    updated_at: i64,
}

impl<'a> From<&'a Silence> for WireSilence<'a> {
    fn from(silence: &'a Silence) -> Self {
        let schedule = silence.schedule.as_ref();
        Self {
            id: silence.id.0,
            version: silence.version,
            matchers: silence.matchers.to_string().into(),
            starts_at: silence.starts_at.as_micros(),
            ends_at: silence.ends_at.as_micros(),
            schedule: schedule.map(|(hours, zone)| ((&**hours).into(), (&**zone).into())),
            author: (&*silence.author).into(),
            reason: (&*silence.reason).into(),
            created_at: silence.created_at.as_micros(),
            updated_at: silence.updated_at.as_micros(),
        }
    }
}

impl WireSilence<'_> {
    /// The silence; `None` if its matchers are not understood.
    pub(crate) fn silence(self) -> Option<Silence> {
        let arc = |text: Text<'_>| Arc::<str>::from(text.as_ref());
        Some(Silence {
            id: SilenceId(self.id),
            version: self.version,
            matchers: Matchers::parse(&self.matchers).ok()?,
            starts_at: Timestamp::from_micros(self.starts_at),
            ends_at: Timestamp::from_micros(self.ends_at),
            schedule: self.schedule.map(|(hours, zone)| (arc(hours), arc(zone))),
            author: arc(self.author),
            reason: arc(self.reason),
            created_at: Timestamp::from_micros(self.created_at),
            updated_at: Timestamp::from_micros(self.updated_at),
        })
    }
}
