//! Commands as they stand, as bytes: for snapshots and the journal.

use std::borrow::Cow;

use bellwire_model::{Answer, Command, CommandId, CommandState, DeviceId, Reply, Timestamp};
use serde::{Deserialize, Serialize};

/// A command as bytes.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct WireCommand<'a> {
    id: u128,
    device: Cow<'a, str>,
    #[serde(borrow)]
    payload: &'a [u8],
    content_type: Option<Cow<'a, str>>,
    reply: u8,
    author: Option<Cow<'a, str>>,
    key: Option<Cow<'a, str>>,
    state: u8,
    created_at: i64,
    expires_at: i64,
    sent_at: Option<i64>,
    acknowledged_at: Option<i64>,
    ended_at: Option<i64>,
    #[serde(borrow)]
    answer: Option<(i64, &'a [u8])>,
    n_sent: u32,
}

impl<'a> From<&'a Command> for WireCommand<'a> {
    fn from(command: &'a Command) -> Self {
        let micros = |at: Option<Timestamp>| at.map(Timestamp::as_micros);
        Self {
            id: command.id.0,
            device: command.device.as_str().into(),
            payload: &command.payload,
            content_type: command.content_type.as_deref().map(Into::into),
            reply: command.reply as u8,
            author: command.author.as_deref().map(Into::into),
            key: command.key.as_deref().map(Into::into),
            state: command.state as u8,
            created_at: command.created_at.as_micros(),
            expires_at: command.expires_at.as_micros(),
            sent_at: micros(command.sent_at),
            acknowledged_at: micros(command.acknowledged_at),
            ended_at: micros(command.ended_at),
            answer: command.answer.as_ref().map(|it| (it.at.as_micros(), &*it.payload)),
            n_sent: command.n_sent,
        }
    }
}

impl WireCommand<'_> {
    /// The command; `None` if a word in it is unknown.
    pub(crate) fn command(self) -> Option<Command> {
        let at = |micros: Option<i64>| micros.map(Timestamp::from_micros);
        let text = |text: Option<Cow<'_, str>>| text.map(|it| it.into_owned().into());
        Some(Command {
            id: CommandId(self.id),
            device: DeviceId::new(&self.device).ok()?,
            payload: self.payload.into(),
            content_type: text(self.content_type),
            reply: *Reply::ALL.get(usize::from(self.reply))?,
            author: text(self.author),
            key: text(self.key),
            state: *CommandState::ALL.get(usize::from(self.state))?,
            created_at: Timestamp::from_micros(self.created_at),
            expires_at: Timestamp::from_micros(self.expires_at),
            sent_at: at(self.sent_at),
            acknowledged_at: at(self.acknowledged_at),
            ended_at: at(self.ended_at),
            answer: self.answer.map(|(at, payload)| Answer {
                at: Timestamp::from_micros(at),
                payload: payload.into(),
            }),
            n_sent: self.n_sent,
        })
    }
}

/// Number, hash of the request, whether it is delivered, and the command.
type Row<C> = (u64, u64, bool, C);

#[derive(Debug, Serialize, Deserialize)]
struct Image<'a> {
    n_asked: u64,
    #[serde(borrow)]
    all: Vec<Row<WireCommand<'a>>>,
}

pub(super) fn write_all(n_asked: u64, all: &[Row<&Command>]) -> Vec<u8> {
    let rows = all.iter().map(|&(number, request, is_done, command)| {
        (number, request, is_done, WireCommand::from(command))
    });
    let image = Image { n_asked, all: rows.collect() };
    postcard::to_stdvec(&image).expect("a buffer in memory takes everything")
}

pub(super) fn read_all(bytes: &[u8]) -> Option<(u64, Vec<Row<Command>>)> {
    let image: Image<'_> = postcard::from_bytes(bytes).ok()?;
    let row = |(number, request, is_done, wire): Row<WireCommand<'_>>| {
        Some((number, request, is_done, wire.command()?))
    };
    Some((image.n_asked, image.all.into_iter().map(row).collect::<Option<_>>()?))
}
