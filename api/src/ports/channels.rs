//! The port for channels: where alerts are sent to.

use std::fmt::Debug;
use std::pin::Pin;
use std::time::Duration;

use bellwire_model::{AlertId, Timestamp};

/// A channel of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelInfo {
    /// Its name.
    pub name: String,
    /// What it speaks: `webhook`, `email`, …
    pub kind: &'static str,
    /// How it is: one of [`ChannelInfo::STATES`].
    pub state: &'static str,
    /// When a message last arrived.
    pub last_success: Option<Timestamp>,
    /// When one last did not, and why.
    pub last_error: Option<(Timestamp, String)>,
    /// Messages that could be sent now, or are on their way.
    pub waiting: usize,
    /// For how long the oldest of them could have been.
    pub oldest: Duration,
}

impl ChannelInfo {
    /// Nothing was sent yet; the last message arrived; it did not, and is tried again; it was not
    /// wanted.
    pub const STATES: [&'static str; 4] = ["idle", "ok", "failing", "rejecting"];
}

/// What an address of a channel said to a test message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestResult {
    /// Which of the channel's addresses, from 0.
    pub address: usize,
    /// What came of it: one of [`DeliveryInfo::RESULTS`].
    pub result: &'static str,
    /// In its words.
    pub said: String,
    /// How long it took.
    pub took: Duration,
}

/// An attempt to send a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryInfo {
    /// Its number; later ones have greater ones.
    pub number: u64,
    /// When it ended.
    pub at: Timestamp,
    /// The channel.
    pub channel: String,
    /// Which of the channel's addresses, from 0.
    pub address: usize,
    /// What the message is known by.
    pub message: String,
    /// Whether it was a test.
    pub is_test: bool,
    /// What came of it: one of [`DeliveryInfo::RESULTS`].
    pub result: &'static str,
    /// In the receiver's words.
    pub said: String,
    /// How long it took.
    pub took: Duration,
    /// The group of alerts.
    pub group: String,
    /// How many of its alerts fire.
    pub n_firing: usize,
    /// The alerts that it tells of.
    pub alerts: Vec<AlertId>,
}

impl DeliveryInfo {
    /// The receiver has it; it is tried again; the receiver does not want it.
    pub const RESULTS: [&'static str; 3] = ["delivered", "failed", "rejected"];
}

/// Which attempts are wanted: the latest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveriesQuery {
    /// Of this channel only.
    pub channel: Option<String>,
    /// That tell of this alert only.
    pub alert: Option<AlertId>,
    /// Only those before this number.
    pub before: Option<u64>,
    /// The most of them, at least 1.
    pub limit: usize,
}

/// Why a channel was not tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TestError {
    /// There is no such channel.
    NoChannel,
    /// Too many are tested at once, or the service stops.
    Busy,
}

/// The answer of a test, which may take as long as the channel's timeout.
pub type TestFuture<'a> =
    Pin<Box<dyn Future<Output = Result<Vec<TestResult>, TestError>> + Send + 'a>>;

/// Where alerts are sent to. All but tests is answered from memory.
pub trait Channels: Send + Sync + Debug {
    /// All of them, as the configuration has them.
    fn list(&self) -> Vec<ChannelInfo>;
    /// Sends a test message, and gives what each address of the channel said.
    fn test(&self, channel: &str) -> TestFuture<'_>;
    /// What was sent.
    fn deliveries(&self, query: DeliveriesQuery) -> Vec<DeliveryInfo>;
}

/// No channels.
#[derive(Clone, Copy, Debug)]
pub struct NoChannels;

impl Channels for NoChannels {
    fn list(&self) -> Vec<ChannelInfo> {
        Vec::new()
    }

    fn test(&self, _: &str) -> TestFuture<'_> {
        Box::pin(std::future::ready(Err(TestError::NoChannel)))
    }

    fn deliveries(&self, _: DeliveriesQuery) -> Vec<DeliveryInfo> {
        Vec::new()
    }
}
