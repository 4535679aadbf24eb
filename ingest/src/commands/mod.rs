//! Commands to devices, pure: what the log says of them comes in, how each stands comes out.
//!
//! A command is open until nothing more is expected of it: an answer, or where none is expected, that the
//! device has it. Its time runs out with a record of the log, not with a clock. Of those that have
//! ended the last ones stay: their keys are known, late answers find them, and they can be looked at
//! while the database is away.

mod event;
mod shared;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
mod wire;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bellwire_model::{Answer, Command, CommandId, CommandState, DeviceId, QoS, Reply, Timestamp};
use hashbrown::HashMap;

pub use event::{Ask, CommandEvent};
pub(crate) use event::{read, write};
pub use shared::SharedCommands;
pub(crate) use wire::WireCommand;

/// The most open commands of one device.
pub const OPEN_PER_DEVICE_MAX: usize = 100;
/// The most open commands of all devices.
pub const OPEN_MAX: usize = 10_000;
/// The most bytes of open commands.
pub const OPEN_BYTES_MAX: usize = 64 << 20;
/// The most commands that have ended and are remembered.
pub const ENDED_MAX: usize = 10_000;
/// The most bytes of them.
pub const ENDED_BYTES_MAX: usize = 32 << 20;
/// How long a key means the same command, if that is remembered so long.
pub const KEY_FOR: Duration = Duration::from_secs(24 * 3_600);

/// Why there is no room for a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRoom {
    /// The device has too many open ones.
    Device,
    /// All devices together have.
    All,
}

/// Whether a command is still to be brought to its device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// It is.
    Ahead,
    /// The device has it; or it was sent with QoS 0, once and never again.
    Done,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Held {
    /// The order in which they were asked for.
    number: u64,
    command: Command,
    way: Way,
    /// A hash of the request that had the key.
    request: u64,
}

/// All commands that are open, and the last that have ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commands {
    held: HashMap<CommandId, Held>,
    by_device: HashMap<DeviceId, BTreeMap<u64, CommandId>>,
    deadlines: BTreeSet<(Timestamp, CommandId)>,
    /// Those that have ended, the oldest end first.
    ended: VecDeque<CommandId>,
    open_bytes: usize,
    ended_bytes: usize,
    n_asked: u64,
}

impl Commands {
    /// Takes what a record of the log says; what has changed by it is added to `out`.
    pub fn apply(&mut self, event: CommandEvent, at: Timestamp, out: &mut Vec<Command>) {
        match event {
            CommandEvent::Asked(ask) => self.ask(*ask, at, out),
            CommandEvent::Sent { id, qos, times } => self.sent(id, (qos, times), at, out),
            CommandEvent::Acknowledged(id) => self.acknowledged(id, at, out),
            CommandEvent::Cancelled(id) => {
                let is_queued = |it: &Held| it.command.state == CommandState::Queued;
                if self.held.get(&id).is_some_and(is_queued) {
                    self.end(id, CommandState::Cancelled, at, out);
                }
            }
        }
    }

    /// Whether one more of so many bytes may be asked of `device`.
    ///
    /// # Errors
    /// [`NoRoom`] if not.
    pub fn room(&self, device: &DeviceId, bytes: usize) -> Result<(), NoRoom> {
        let n_open = self.open_of(device).count();
        if n_open >= OPEN_PER_DEVICE_MAX {
            return Err(NoRoom::Device);
        }
        let fits = self.deadlines.len() < OPEN_MAX && self.open_bytes + bytes <= OPEN_BYTES_MAX;
        if fits { Ok(()) } else { Err(NoRoom::All) }
    }

    /// The command that a key means at `at`, and the hash of the request that first had it.
    #[must_use]
    pub fn by_key(&self, device: &DeviceId, key: &str, at: Timestamp) -> Option<(&Command, u64)> {
        let found = self.of(device).rev().find(|it| it.command.key.as_deref() == Some(key))?;
        let holds = at.since(found.command.created_at) < KEY_FOR;
        holds.then_some((&found.command, found.request))
    }

    fn ask(&mut self, ask: Ask, at: Timestamp, out: &mut Vec<Command>) {
        let key = ask.key.as_ref().map(|(key, _)| &**key);
        let is_known = self.held.contains_key(&ask.id)
            || key.is_some_and(|key| self.by_key(&ask.device, key, at).is_some());
        let Ask { id, device, payload, content_type, reply, author, key, lifetime } = ask;
        let (key, request) = key.map_or((None, 0), |(key, request)| (Some(key.into()), request));
        let command = Command {
            id,
            device,
            payload: payload.into(),
            content_type: content_type.map(Into::into),
            reply,
            author: author.map(Into::into),
            key,
            state: CommandState::Queued,
            created_at: at,
            expires_at: at + lifetime,
            sent_at: None,
            acknowledged_at: None,
            ended_at: None,
            answer: None,
            n_sent: 0,
        };
        if is_known || self.room(&command.device, command.bytes()).is_err() {
            return;
        }
        out.push(command.clone());
        self.n_asked += 1;
        self.insert(Held { number: self.n_asked, command, way: Way::Ahead, request });
    }

    /// Puts one into its places.
    fn insert(&mut self, held: Held) {
        let Held { number, command, .. } = &held;
        let bytes = command.bytes();
        if command.is_open() {
            self.open_bytes += bytes;
            self.deadlines.insert((command.expires_at, command.id));
        } else {
            self.ended_bytes += bytes;
            self.ended.push_back(command.id);
        }
        self.by_device.entry_ref(&command.device).or_default().insert(*number, command.id);
        self.held.insert(command.id, held);
    }

    fn sent(
        &mut self,
        id: CommandId,
        (qos, times): (QoS, u32),
        at: Timestamp,
        out: &mut Vec<Command>,
    ) {
        let Some(held) = self.held.get_mut(&id) else { return };
        let command = &mut held.command;
        command.n_sent = command.n_sent.saturating_add(times);
        command.sent_at.get_or_insert(at);
        if command.state == CommandState::Queued {
            command.state = CommandState::Sent;
        }
        if qos == QoS::AtMostOnce {
            held.way = Way::Done;
        }
        if held.way == Way::Done && command.reply == Reply::None && command.is_open() {
            let state = command.state;
            self.end(id, state, at, out);
        } else {
            out.push(command.clone());
        }
    }

    fn acknowledged(&mut self, id: CommandId, at: Timestamp, out: &mut Vec<Command>) {
        let Some(held) = self.held.get_mut(&id) else { return };
        held.way = Way::Done;
        let command = &mut held.command;
        if command.acknowledged_at.is_some() {
            return;
        }
        command.acknowledged_at = Some(at);
        if matches!(command.state, CommandState::Queued | CommandState::Sent) {
            command.state = CommandState::Acknowledged;
        }
        if command.reply == Reply::None && command.is_open() {
            self.end(id, CommandState::Acknowledged, at, out);
        } else {
            out.push(command.clone());
        }
    }

    /// Takes what a device published as its answer, also a late one. Whether it is the answer to a
    /// command of this device that has none and was not cancelled.
    #[must_use]
    pub fn answer(
        &mut self,
        device: &DeviceId,
        id: CommandId,
        payload: &[u8],
        at: Timestamp,
        out: &mut Vec<Command>,
    ) -> bool {
        let waits = |it: &&mut Held| {
            it.command.device == *device
                && it.command.answer.is_none()
                && it.command.state != CommandState::Cancelled
        };
        let Some(held) = self.held.get_mut(&id).filter(waits) else { return false };
        held.way = Way::Done;
        let command = &mut held.command;
        command.answer = Some(Answer { at, payload: payload.into() });
        if command.is_open() {
            self.open_bytes += payload.len();
            self.end(id, CommandState::Answered, at, out);
        } else {
            self.ended_bytes += payload.len();
            command.state = CommandState::Answered;
            out.push(command.clone());
            self.forget();
        }
        true
    }

    /// Time has come this far: those that are beyond theirs end.
    pub fn advance(&mut self, at: Timestamp, out: &mut Vec<Command>) {
        while let Some(&(expires_at, id)) = self.deadlines.first()
            && expires_at <= at
        {
            self.end(id, CommandState::Expired, at, out);
        }
    }

    /// When the next one expires.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    fn end(&mut self, id: CommandId, state: CommandState, at: Timestamp, out: &mut Vec<Command>) {
        let Some(held) = self.held.get_mut(&id) else { return };
        held.way = Way::Done;
        let command = &mut held.command;
        command.state = state;
        command.ended_at = Some(at);
        out.push(command.clone());
        let bytes = command.bytes();
        self.deadlines.remove(&(command.expires_at, id));
        self.open_bytes -= bytes;
        self.ended_bytes += bytes;
        self.ended.push_back(id);
        self.forget();
    }

    /// Forgets the oldest of those that have ended, if there are too many.
    fn forget(&mut self) {
        while self.ended.len() > ENDED_MAX || self.ended_bytes > ENDED_BYTES_MAX {
            let Some(held) = self.ended.pop_front().and_then(|id| self.held.remove(&id)) else {
                return;
            };
            self.ended_bytes -= held.command.bytes();
            let device = &held.command.device;
            if let Some(all) = self.by_device.get_mut(device) {
                all.remove(&held.number);
                if all.is_empty() {
                    self.by_device.remove(device);
                }
            }
        }
    }

    fn of(&self, device: &DeviceId) -> impl DoubleEndedIterator<Item = &Held> {
        let ids = self.by_device.get(device).into_iter().flat_map(BTreeMap::values);
        ids.filter_map(|id| self.held.get(id))
    }

    fn open_of(&self, device: &DeviceId) -> impl Iterator<Item = &Held> {
        self.of(device).filter(|it| it.command.is_open())
    }

    /// Those of a device that are still to be brought to it, in the order they were asked for.
    pub fn to_bring(&self, device: &DeviceId) -> impl Iterator<Item = &Command> {
        self.open_of(device).filter(|it| it.way == Way::Ahead).map(|it| &it.command)
    }

    /// The devices to which something is still to be brought.
    #[must_use]
    pub fn devices_to_go_to(&self) -> BTreeSet<DeviceId> {
        let open = self.deadlines.iter().filter_map(|(_, id)| self.held.get(id));
        let ahead = open.filter(|it| it.way == Way::Ahead);
        ahead.map(|it| it.command.device.clone()).collect()
    }

    /// All of a device that are remembered, the latest last.
    pub fn all_of(&self, device: &DeviceId) -> impl DoubleEndedIterator<Item = &Command> {
        self.of(device).map(|it| &it.command)
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, id: CommandId) -> Option<&Command> {
        self.held.get(&id).map(|it| &it.command)
    }

    /// How many are open.
    #[must_use]
    pub fn n_open(&self) -> usize {
        self.deadlines.len()
    }

    /// Everything, as bytes for a snapshot; none is empty.
    #[must_use]
    pub fn image(&self) -> Vec<u8> {
        let ended = self.ended.iter().filter_map(|id| self.held.get(id));
        let open = self.deadlines.iter().filter_map(|(_, id)| self.held.get(id));
        let all: Vec<_> = ended
            .chain(open)
            .map(|it| (it.number, it.request, it.way == Way::Done, &it.command))
            .collect();
        if all.is_empty() { Vec::new() } else { wire::write_all(self.n_asked, &all) }
    }

    /// From what [`Commands::image`] gave; `None` if it is something else.
    #[must_use]
    pub fn from_image(bytes: &[u8]) -> Option<Self> {
        let mut commands = Self::default();
        if bytes.is_empty() {
            return Some(commands);
        }
        let (n_asked, all) = wire::read_all(bytes)?;
        commands.n_asked = n_asked;
        for (number, request, is_done, command) in all {
            let way = if is_done { Way::Done } else { Way::Ahead };
            commands.insert(Held { number, command, way, request });
        }
        Some(commands)
    }
}
