//! The channels, as the API asks for them.

use bellwire_api::ports::{
    ChannelInfo, Channels, DeliveriesQuery, DeliveryInfo, TestError, TestFuture, TestResult,
};
use bellwire_model::AlertId;
use bellwire_notify::channels::Outcome;
use bellwire_notify::deliveries::{Cause, Delivery, DeliveryFilter};
use bellwire_notify::{ChannelStatus, Handle, TestAnswer};
use std::time::Duration;

/// What is sent, if there is a channel.
#[derive(Debug)]
pub(in super::super) struct ChannelPort(pub(in super::super) Option<Handle>);

fn info(status: ChannelStatus) -> ChannelInfo {
    ChannelInfo {
        name: status.name,
        kind: status.kind.label(),
        state: status.state.label(),
        last_success: status.last_success,
        last_error: status.last_error,
        waiting: status.waiting,
        oldest: status.oldest,
    }
}

fn delivery(it: Delivery) -> DeliveryInfo {
    DeliveryInfo {
        at: it.ended_at(),
        number: it.number,
        channel: it.channel,
        address: it.address,
        message: it.message,
        is_test: it.cause == Cause::Test,
        result: it.result.label(),
        said: it.said,
        took: Duration::from_millis(it.took_ms),
        group: it.group,
        n_firing: it.n_firing,
        alerts: it.alerts.into_iter().map(AlertId).collect(),
    }
}

fn test_result(answer: TestAnswer) -> TestResult {
    let [delivered, failed, rejected] = DeliveryInfo::RESULTS;
    let result = match answer.outcome {
        Outcome::Delivered => delivered,
        Outcome::Away(_) => failed,
        Outcome::Rejected => rejected,
    };
    TestResult { address: answer.address, result, said: answer.said, took: answer.took }
}

impl Channels for ChannelPort {
    fn list(&self) -> Vec<ChannelInfo> {
        let all = self.0.as_ref().map(Handle::channels).unwrap_or_default();
        all.into_iter().map(info).collect()
    }

    fn test(&self, channel: &str) -> TestFuture<'_> {
        let channel = channel.to_owned();
        Box::pin(async move {
            let handle = self.0.as_ref().ok_or(TestError::NoChannel)?;
            if !handle.channels().iter().any(|it| it.name == channel) {
                return Err(TestError::NoChannel);
            }
            let answers = handle.test(&channel).await.ok_or(TestError::Busy)?;
            Ok(answers.into_iter().map(test_result).collect())
        })
    }

    fn deliveries(&self, query: DeliveriesQuery) -> Vec<DeliveryInfo> {
        let DeliveriesQuery { channel, alert, before, limit } = query;
        let filter = DeliveryFilter { channel, alert, before, limit };
        let found = self.0.as_ref().map(|handle| handle.deliveries(&filter)).unwrap_or_default();
        found.into_iter().map(delivery).collect()
    }
}
