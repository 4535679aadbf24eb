//! A test message: one that nobody can take for an alert, and that leaves nothing open behind it.

use std::sync::Arc;
use std::time::Duration;

use bellwire_model::{Alert, AlertId, AlertState, Labels, RuleName, Severity, Target, Timestamp};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::shared::TestAnswer;
use crate::channels::{Answer, Outcome, Sender, Setting};
use crate::config::ChannelType;
use crate::dispatch::{Facts, Notice, Said, Status};

/// The most tests at once.
pub(super) const TESTS_MAX: usize = 4;

/// Somebody tries a channel.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) channel: String,
    pub(super) reply: oneshot::Sender<Vec<TestAnswer>>,
}

/// An address that is tried.
#[derive(Debug)]
pub(super) struct Tried {
    pub(super) receiver: usize,
    pub(super) address: usize,
    pub(super) kind: ChannelType,
    pub(super) sender: Arc<Sender>,
}

/// What came of one address.
#[derive(Debug)]
pub(super) struct TestDone {
    pub(super) receiver: usize,
    pub(super) address: usize,
    pub(super) notice: Notice,
    pub(super) answer: Answer,
    pub(super) took: Duration,
}

fn message(status: Status, now: Timestamp) -> Option<Notice> {
    let state = if status == Status::Firing { AlertState::Firing } else { AlertState::Resolved };
    let mut labels = Labels::default();
    labels.set(&"site".into(), &"test".into());
    let alert = Alert {
        id: AlertId(u64::MAX),
        rule: RuleName::new("BellwireTest").ok()?,
        device: Target::new("no-device").ok()?,
        severity: Severity::Info,
        state,
        since: now,
        fired_at: Some(now),
        resolved_at: (status != Status::Firing).then_some(now),
        value: None,
        summary: "This is a test of the channel. Nothing is wrong.".to_owned(),
        labels: Some(Arc::new(labels)),
        handling: None,
    };
    let facts = Arc::new(Facts::new(&alert, now));
    let id = format!("{:016x}{:016x}", now.as_micros(), status as u8);
    Some(Notice::test(id, vec![Said { status, facts }]))
}

/// Tries all addresses, one after the other.
pub(super) async fn run(tried: Vec<Tried>, setting: Setting) -> Vec<TestDone> {
    let mut done = Vec::new();
    for Tried { receiver, address, kind, sender } in tried {
        let Some(notice) = message(Status::Firing, setting.now) else { continue };
        let begun = Instant::now();
        let mut answer = sender.send(&notice, &setting).await;
        // What the message has opened there is closed again.
        let opens = matches!(kind, ChannelType::Alertmanager | ChannelType::Pagerduty);
        if opens
            && answer.outcome == Outcome::Delivered
            && let Some(end) = message(Status::Resolved, setting.now)
        {
            answer = sender.send(&end, &setting).await;
        }
        done.push(TestDone { receiver, address, notice, answer, took: begun.elapsed() });
    }
    done
}
