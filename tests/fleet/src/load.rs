//! Devices that publish as fast as asked, with the faults they are asked for: one connection's
//! share of the fleet.

use std::sync::Arc;
use std::time::Duration;

use bellwire_model::{DeviceId, Timestamp};
use tokio::time::Instant;

use crate::pace::Pace;
use crate::payload::{push_hundredths, push_i64, push_key, push_u64};
use crate::random::{Chance, hash};
use crate::source::{Moment, Next, Source, Verdict};
use crate::{Bound, DeviceAcks, FleetConfig, FleetError, Published, PublishedLog};

/// Streams of chance, so that one fault's bits say nothing about another's.
const CUT: u64 = 1 << 32;
const REPEAT: u64 = 2 << 32;
const BAD: u64 = 3 << 32;
const SKEW: u64 = 4 << 32;
const VALUE: u64 = 5 << 32;

/// What the messages of all connections have in common.
#[derive(Debug)]
pub(crate) struct Plan {
    /// `,"temperature":` and so on.
    keys: Vec<Box<[u8]>>,
    own_ts: bool,
    seq: bool,
    seed: u64,
    reconnect: Chance,
    duplicate: Chance,
    bad_payload: Chance,
    published: Option<Arc<PublishedLog>>,
}

impl Plan {
    pub(crate) fn new(config: &FleetConfig, published: Option<Arc<PublishedLog>>) -> Arc<Self> {
        let key = |name: &str| {
            let mut bytes = Vec::new();
            push_key(&mut bytes, name);
            bytes.into_boxed_slice()
        };
        Arc::new(Self {
            keys: config.metrics.iter().map(|name| key(name.as_str())).collect(),
            own_ts: config.own_ts,
            seq: config.seq,
            seed: config.seed,
            reconnect: Chance::new(config.faults.reconnect),
            duplicate: Chance::new(config.faults.duplicate),
            bad_payload: Chance::new(config.faults.bad_payload),
            published,
        })
    }
}

/// The device with this number, from 1.
///
/// # Errors
/// [`FleetError::Config`] if the prefix can begin no device's name.
pub(crate) fn device_id(prefix: &str, number: u32) -> Result<DeviceId, FleetError> {
    DeviceId::new(&format!("{prefix}-{number:05}"))
        .map_err(|_| FleetError::Config { key: "prefix", problem: "cannot begin a device's name" })
}

#[derive(Debug)]
struct Device {
    id: DeviceId,
    topic: Box<str>,
    number: u32,
    /// How many readings it has yet to publish.
    left: u64,
    /// The `ts` before this one, in microseconds.
    last_ts: i64,
    /// How far its clock is off, in microseconds.
    skew: i64,
    acks: DeviceAcks,
}

/// What the window remembers: a message is made of this and the plan.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message {
    kind: Kind,
    /// Which device of this connection.
    device: u32,
    /// Its number; of a bad payload, how many of those came before.
    n: u64,
    /// Microseconds since the Unix epoch, by the device's clock.
    ts: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Reading,
    Repeat,
    Bad,
}

/// The devices of one connection, in turn.
#[derive(Debug)]
pub(crate) struct Load {
    plan: Arc<Plan>,
    devices: Vec<Device>,
    /// Whose turn it is.
    turn: usize,
    /// How many readings are left over all; beyond any run where a duration ends it.
    left: u64,
    pace: Option<Pace>,
    duration: Option<Duration>,
    ends_at: Option<Instant>,
    /// The reading that a bad payload went before.
    delayed: Option<Message>,
    /// What is to be repeated next.
    repeat: Option<Message>,
}

impl Load {
    /// The share of connection `at` (from 0) of `config.connections`, with this pace.
    pub(crate) fn new(
        config: &FleetConfig,
        plan: &Arc<Plan>,
        at: u32,
        pace: Option<Pace>,
    ) -> Result<Self, FleetError> {
        let numbers = (at..config.devices).step_by(config.connections as usize);
        let devices = numbers
            .map(|number| Device::new(config, number))
            .collect::<Result<Vec<_>, FleetError>>()?;
        let left = devices.iter().fold(0_u64, |sum, device| sum.saturating_add(device.left));
        let duration = match config.bound {
            Bound::Duration(duration) => Some(duration),
            Bound::Messages(_) => None,
        };
        Ok(Self {
            plan: Arc::clone(plan),
            devices,
            turn: 0,
            left,
            pace,
            duration,
            ends_at: None,
            delayed: None,
            repeat: None,
        })
    }

    /// The next reading of the device whose turn it is.
    fn reading(&mut self, now: Moment) -> Option<Message> {
        if self.left == 0 {
            return None;
        }
        while self.devices[self.turn].left == 0 {
            self.turn = (self.turn + 1) % self.devices.len();
        }
        let at = self.turn;
        self.turn = (self.turn + 1) % self.devices.len();
        self.left -= 1;
        let device = &mut self.devices[at];
        device.left -= 1;
        let n = device.acks.next;
        device.acks.next += 1;
        let ts = (now.wall.as_micros() + device.skew).max(device.last_ts + 1);
        device.last_ts = ts;
        let device_at = u32::try_from(at).expect("devices are counted in 32 bits");
        Some(Message { kind: Kind::Reading, device: device_at, n, ts })
    }

    fn chance(&self, chance: Chance, stream: u64, message: Message) -> bool {
        let number = self.devices[message.device as usize].number;
        chance.hits(hash(self.plan.seed, stream + u64::from(number), message.n))
    }

    /// Hands a reading over, remembering what chance has decided for it.
    fn publish(&mut self, message: Message, now: Moment) -> Next<Message> {
        if let Some(log) = &self.plan.published {
            let at = Timestamp::from_micros(message.ts);
            let published = Published { n: message.n, at, sent_at: now.instant };
            log.record(&self.devices[message.device as usize].id, published);
        }
        if self.chance(self.plan.duplicate, REPEAT, message) {
            self.devices[message.device as usize].acks.repeats_sent += 1;
            self.repeat = Some(Message { kind: Kind::Repeat, ..message });
        }
        if self.chance(self.plan.reconnect, CUT, message) {
            return Next::PublishAndCut(message);
        }
        Next::Publish(message)
    }
}

impl Device {
    fn new(config: &FleetConfig, number: u32) -> Result<Self, FleetError> {
        let id = device_id(&config.prefix, number + 1)?;
        let left = match config.bound {
            Bound::Duration(_) => u64::MAX,
            Bound::Messages(all) => {
                let devices = u64::from(config.devices);
                all / devices + u64::from(u64::from(number) < all % devices)
            }
        };
        let reach = i64::try_from(config.faults.clock_skew.as_micros()).unwrap_or(i64::MAX / 4);
        let bits = hash(config.seed, SKEW, u64::from(number)).cast_signed();
        let skew = if reach == 0 { 0 } else { bits % (reach + 1) };
        Ok(Self {
            topic: format!("devices/{id}/telemetry").into(),
            id,
            number,
            left,
            last_ts: 0,
            skew,
            acks: DeviceAcks::starting_at(config.n_first),
        })
    }
}

impl Source for Load {
    type Item = Message;

    fn begin(&mut self, now: Moment) {
        self.ends_at = self.duration.map(|duration| now.instant + duration);
        if let Some(pace) = &mut self.pace {
            pace.begin(now.instant);
        }
    }

    fn next(&mut self, now: Moment) -> Next<Message> {
        if let Some(repeat) = self.repeat.take() {
            return Next::Publish(repeat);
        }
        if let Some(reading) = self.delayed.take() {
            return self.publish(reading, now);
        }
        if self.is_over(now.instant) {
            return Next::Done;
        }
        if let Some(due) = self.pace.as_mut().and_then(|pace| pace.take(now.instant)) {
            return Next::At(self.ends_at.map_or(due, |ends_at| due.min(ends_at)));
        }
        let Some(reading) = self.reading(now) else { return Next::Done };
        if self.chance(self.plan.bad_payload, BAD, reading) {
            self.delayed = Some(reading);
            let acks = &mut self.devices[reading.device as usize].acks;
            let bad = Message { kind: Kind::Bad, n: acks.bad_sent, ..reading };
            acks.bad_sent += 1;
            return Next::Publish(bad);
        }
        self.publish(reading, now)
    }

    fn is_over(&self, now: Instant) -> bool {
        let nothing_begun = self.repeat.is_none() && self.delayed.is_none();
        nothing_begun && self.left == 0 || self.ends_at.is_some_and(|ends_at| now >= ends_at)
    }

    fn topic<'a>(&'a self, item: &'a Message) -> &'a str {
        &self.devices[item.device as usize].topic
    }

    fn payload(&self, item: &Message, out: &mut Vec<u8>) {
        match item.kind {
            Kind::Reading | Kind::Repeat => self.push_reading(item, out),
            Kind::Bad => push_bad(item.n, out),
        }
    }

    fn settle(&mut self, item: &Message, verdict: Verdict) {
        let acks = &mut self.devices[item.device as usize].acks;
        match (verdict, item.kind) {
            (Verdict::Refused, _) => acks.refused += 1,
            (Verdict::Acknowledged, Kind::Reading) => acks.acknowledged.insert(item.n),
            (Verdict::Acknowledged, Kind::Repeat) => {
                acks.acknowledged.insert(item.n);
                acks.repeats_acknowledged += 1;
            }
            (Verdict::Acknowledged, Kind::Bad) => acks.bad_acknowledged += 1,
        }
    }

    fn into_accounts(self) -> Vec<(DeviceId, DeviceAcks)> {
        self.devices.into_iter().map(|device| (device.id, device.acks)).collect()
    }
}

impl Load {
    fn push_reading(&self, item: &Message, out: &mut Vec<u8>) {
        let number = u64::from(self.devices[item.device as usize].number);
        out.push(b'{');
        if self.plan.own_ts {
            out.extend_from_slice(b"\"ts\":");
            push_i64(out, item.ts);
            out.push(b',');
        }
        if self.plan.seq {
            out.extend_from_slice(b"\"seq\":");
            push_u64(out, item.n);
            out.push(b',');
        }
        let mut bits = hash(self.plan.seed, VALUE + number, item.n);
        for (key, base) in self.plan.keys.iter().zip((2100..).step_by(1500)) {
            out.extend_from_slice(key);
            push_hundredths(out, base + wave(item.n + number * 17) + (bits & 15).cast_signed());
            out.push(b',');
            bits = bits.rotate_right(4);
        }
        out.extend_from_slice(b"\"n\":");
        push_u64(out, item.n);
        out.push(b'}');
    }
}

/// A triangle 4.8 wide and 480 readings long, in hundredths: values that drift as real ones do.
fn wave(step: u64) -> i64 {
    let step = (step % 480).cast_signed();
    (if step < 240 { step } else { 480 - step }) * 2 - 240
}

/// Four ways of being unreadable, in turn; no two of a device are alike.
fn push_bad(count: u64, out: &mut Vec<u8>) {
    match count % 4 {
        0 => {
            out.extend_from_slice(b"{\"bad\":");
            push_u64(out, count);
            out.extend_from_slice(b",\"temperature\":21.");
        }
        1 => {
            out.extend_from_slice(b"{\"bad\":");
            push_u64(out, count);
            out.extend_from_slice(b",\"temperature\":NaN}");
        }
        2 => {
            out.extend_from_slice(b"{\"bad\":\"\xff\xfe");
            push_u64(out, count);
            out.extend_from_slice(b"\"}");
        }
        _ => {
            out.extend_from_slice(b"{\"temperature\":[");
            push_u64(out, count);
            out.extend_from_slice(b",null]}");
        }
    }
}
