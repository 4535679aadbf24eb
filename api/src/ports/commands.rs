//! The port for commands to devices.

use std::fmt::Debug;
use std::pin::Pin;
use std::time::Duration;

use bellwire_model::{Command, CommandId, CommandState, DeviceId, Reply};

use super::PortError;

/// A command that someone asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCommand {
    /// Who is to do it.
    pub device: DeviceId,
    /// What: at most [`Command::PAYLOAD_BYTES_MAX`].
    pub payload: Vec<u8>,
    /// The member under which the command's id is added to the payload; that is a JSON object then, and
    /// has no such member.
    pub id_as: Option<String>,
    /// What the payload is, for MQTT 5.
    pub content_type: Option<String>,
    /// Whether the device is to answer.
    pub reply: Reply,
    /// Who asks, as he calls himself.
    pub author: Option<String>,
    /// His name for the request: the same again is the same command.
    pub key: Option<String>,
    /// How long it is worth something.
    pub lifetime: Duration,
}

/// Whether a request made a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Given {
    /// It did.
    New(Command),
    /// Its key was used before, for the same.
    Known(Command),
}

/// Which commands are wanted: the latest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandsQuery {
    /// Whose.
    pub device: DeviceId,
    /// In one of these states; none: in any.
    pub states: Vec<CommandState>,
    /// The most rows of one page, at least 1.
    pub limit: usize,
    /// Where the page before ended.
    pub after: Option<String>,
}

/// Whether a list has all there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// It has.
    Whole,
    /// The database is away: only those that are open, or ended lately.
    InMemory,
}

/// A part of the list of commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandPage {
    /// The latest first.
    pub commands: Vec<Command>,
    /// Handed back as `after` it gives the next part.
    pub next: Option<String>,
    /// Whether there may be more than this list will ever give.
    pub extent: Extent,
}

/// Why a command is not taken, or not taken back.
#[derive(Debug, thiserror::Error)]
pub enum CommandsError {
    /// The device has as many open commands as it may.
    #[error("the device has too many open commands")]
    DeviceFull,
    /// All devices together have.
    #[error("there are too many open commands")]
    Full,
    /// The key was used for another request.
    #[error("the key was used for another request")]
    KeyReused(CommandId),
    /// It cannot be taken back in this state.
    #[error("the command is {}", .0.label())]
    TooLate(CommandState),
    /// There was no room in the log in time, or the service stops; it is not known whether it was taken.
    #[error("the log has no room")]
    Later,
    /// It could not be asked.
    #[error(transparent)]
    Port(#[from] PortError),
}

/// The answer of this port, which may have to wait.
pub type CommandsFuture<'a, T> =
    Pin<Box<dyn Future<Output = Result<T, CommandsError>> + Send + 'a>>;

/// Gives commands to devices.
pub trait Commands: Send + Sync + Debug {
    /// Takes a command; done when it is on disk and will be brought to the device, or was before.
    fn give(&self, command: NewCommand) -> CommandsFuture<'_, Given>;
    /// Commands of one device.
    fn list(&self, query: CommandsQuery) -> CommandsFuture<'_, CommandPage>;
    /// One command of a device, if there is such a one; with `wait`, when nothing more is expected of
    /// it, or as it stands then.
    fn command(
        &self,
        device: DeviceId,
        id: CommandId,
        wait: Duration,
    ) -> CommandsFuture<'_, Option<Command>>;
    /// Takes one back that was not sent; `None` if there is no such one.
    fn cancel(&self, device: DeviceId, id: CommandId) -> CommandsFuture<'_, Option<Command>>;
}

/// No commands: they are not taken, and there are none.
#[derive(Clone, Copy, Debug)]
pub struct NoCommands;

impl Commands for NoCommands {
    fn give(&self, _command: NewCommand) -> CommandsFuture<'_, Given> {
        Box::pin(std::future::ready(Err(CommandsError::Full)))
    }

    fn list(&self, _query: CommandsQuery) -> CommandsFuture<'_, CommandPage> {
        let page = CommandPage { commands: Vec::new(), next: None, extent: Extent::Whole };
        Box::pin(std::future::ready(Ok(page)))
    }

    fn command(
        &self,
        _device: DeviceId,
        _id: CommandId,
        _wait: Duration,
    ) -> CommandsFuture<'_, Option<Command>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    fn cancel(&self, _device: DeviceId, _id: CommandId) -> CommandsFuture<'_, Option<Command>> {
        Box::pin(std::future::ready(Ok(None)))
    }
}
