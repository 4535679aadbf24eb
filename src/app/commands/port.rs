//! The API's port for commands.

use std::sync::Arc;
use std::time::Duration;

use bellwire_api::ports::{
    CommandPage, Commands, CommandsError, CommandsFuture, CommandsQuery, Given, NewCommand,
    PortError,
};
use bellwire_ingest::commands::{Ask, CommandEvent, NoRoom};
use bellwire_ingest::log::Entry;
use bellwire_model::{Command, CommandId, CommandState, DeviceId};
use bellwire_store::Queries;
use sha2::{Digest, Sha256};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::{Desk, PATIENCE, list};
use crate::app::durably;

/// Commands, as the API gives and shows them.
#[derive(Debug)]
pub(in crate::app) struct CommandPort {
    desk: Arc<Desk>,
    queries: Queries,
    tracker: TaskTracker,
}

impl CommandPort {
    pub(super) const fn new(desk: Arc<Desk>, queries: Queries, tracker: TaskTracker) -> Self {
        Self { desk, queries, tracker }
    }

    async fn stored(&self, device: &DeviceId, id: CommandId) -> Result<Option<Command>, PortError> {
        match self.queries.command(id).await {
            Ok(found) => Ok(found.filter(|it| it.device == *device)),
            Err(error) if error.is_transient() || error.is_unavailable() => {
                Err(PortError::DatabaseAway)
            }
            Err(error) => Err(PortError::Failed(error.into())),
        }
    }

    async fn look(
        &self,
        device: &DeviceId,
        id: CommandId,
        wait: Duration,
    ) -> Result<Option<Command>, CommandsError> {
        let desk = &self.desk;
        let in_memory = || desk.commands.with(|it| it.get(id).cloned());
        let mut changes = desk.commands.changes();
        let over = async {
            loop {
                let found = in_memory();
                if found.as_ref().is_none_or(|it| !it.is_open() || it.device != *device) {
                    return found;
                }
                if changes.changed().await.is_err() {
                    return found;
                }
            }
        };
        let found = timeout(wait, over).await.unwrap_or_else(|_| in_memory());
        match found {
            Some(command) => Ok(Some(command).filter(|it| it.device == *device)),
            None => Ok(self.stored(device, id).await?),
        }
    }
}

impl Desk {
    /// The command that the key of a request means now, if it means one.
    fn known(
        &self,
        device: &DeviceId,
        key: Option<&str>,
        request: u64,
    ) -> Result<Option<Command>, CommandsError> {
        let Some(key) = key else { return Ok(None) };
        let now = self.clock.now();
        let found = self.commands.with(|it| {
            it.by_key(device, key, now).map(|(command, request)| (command.clone(), request))
        });
        match found {
            Some((command, first)) if first == request => Ok(Some(command)),
            Some((command, _)) => Err(CommandsError::KeyReused(command.id)),
            None => Ok(None),
        }
    }

    async fn give(&self, new: NewCommand) -> Result<Given, CommandsError> {
        let request = hash(&new);
        let device = new.device.clone();
        if let Some(known) = self.known(&device, new.key.as_deref(), request)? {
            return Ok(Given::Known(known));
        }
        // What commands may fill while publishes wait is there for what becomes of them.
        if self.log.held().is_some() {
            return Err(CommandsError::Later);
        }
        let room =
            self.commands.with(|it| it.room(&device, size_of::<Command>() + new.payload.len()));
        room.map_err(full)?;
        let (id, key) = (new_id()?, new.key.clone());
        let event = CommandEvent::Asked(Box::new(ask(id, request, new)));
        self.append(&event).await?;
        if let Some(command) = self.commands.with(|it| it.get(id).cloned()) {
            return Ok(Given::New(command));
        }
        // Another request with the key, or others that filled what there was, came before it.
        match self.known(&device, key.as_deref(), request)? {
            Some(known) => Ok(Given::Known(known)),
            None => Err(self
                .commands
                .with(|it| it.room(&device, 0))
                .map_or_else(full, |()| CommandsError::Full)),
        }
    }

    /// Puts an event into the log; returns when it is judged.
    async fn append(&self, event: &CommandEvent) -> Result<(), CommandsError> {
        let entry = Entry::commands(std::slice::from_ref(event));
        let taken =
            async { durably::append(&self.log, entry).await.is_ok() && self.wait_judged().await };
        match timeout(PATIENCE, taken).await {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(CommandsError::Later),
        }
    }

    /// Takes a command back that is in memory.
    async fn cancel(&self, id: CommandId) -> Result<Option<Command>, CommandsError> {
        let state = || self.commands.with(|it| it.get(id).cloned());
        let Some(command) = state() else { return Ok(None) };
        if command.state != CommandState::Queued {
            return Err(CommandsError::TooLate(command.state));
        }
        // From here on nobody posts it; and where it was posted it is taken out, or was sent.
        self.books().withheld.insert(id);
        self.broker.withdraw(&Command::topic(&command.device), id.0);
        let was_sent = {
            let books = self.books();
            books.sent.contains(&id) || self.broker.letters().knows(id.0)
        };
        let taken = if was_sent {
            Err(CommandsError::TooLate(CommandState::Sent))
        } else {
            self.append(&CommandEvent::Cancelled(id)).await
        };
        self.books().withheld.remove(&id);
        taken?;
        match state() {
            Some(it) if it.state != CommandState::Cancelled => {
                Err(CommandsError::TooLate(it.state))
            }
            state => Ok(state),
        }
    }
}

fn full(why: NoRoom) -> CommandsError {
    match why {
        NoRoom::Device => CommandsError::DeviceFull,
        NoRoom::All => CommandsError::Full,
    }
}

fn new_id() -> Result<CommandId, CommandsError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| PortError::Failed(Box::new(error)))?;
    Ok(CommandId(u128::from_be_bytes(bytes)))
}

/// What makes two requests the same.
fn hash(new: &NewCommand) -> u64 {
    let NewCommand { device, payload, id_as, content_type, reply, author, key: _, lifetime } = new;
    let rest = format!("{device:?} {id_as:?} {content_type:?} {reply:?} {author:?} {lifetime:?}");
    let digest = Sha256::new().chain_update(rest).chain_update(payload).finalize();
    let first = digest.first_chunk().copied().unwrap_or_default();
    u64::from_be_bytes(first)
}

fn ask(id: CommandId, request: u64, new: NewCommand) -> Ask {
    let NewCommand { device, payload, id_as, content_type, reply, author, key, lifetime } = new;
    let payload = match id_as {
        Some(member) => with_id(&payload, &member, id),
        None => payload,
    };
    Ask {
        id,
        device,
        payload: payload.into(),
        content_type: content_type.map(Into::into),
        reply,
        author: author.map(Into::into),
        key: key.map(|key| (key.into(), request)),
        lifetime,
    }
}

/// A JSON object with the command's id as its first member.
fn with_id(object: &[u8], member: &str, id: CommandId) -> Vec<u8> {
    let member = serde_json::Value::from(member);
    let text = object.trim_ascii();
    let rest = text.strip_prefix(b"{").unwrap_or(text).trim_ascii_start();
    let comma = if rest == b"}" { "" } else { "," };
    [format!("{{{member}:\"{id}\"{comma}").as_bytes(), rest].concat()
}

impl Commands for CommandPort {
    fn give(&self, command: NewCommand) -> CommandsFuture<'_, Given> {
        Box::pin(self.desk.give(command))
    }

    fn list(&self, query: CommandsQuery) -> CommandsFuture<'_, CommandPage> {
        Box::pin(list::page(&self.desk.commands, &self.queries, query))
    }

    fn command(
        &self,
        device: DeviceId,
        id: CommandId,
        wait: Duration,
    ) -> CommandsFuture<'_, Option<Command>> {
        Box::pin(async move { self.look(&device, id, wait).await })
    }

    fn cancel(&self, device: DeviceId, id: CommandId) -> CommandsFuture<'_, Option<Command>> {
        Box::pin(async move {
            let owner = self.desk.commands.with(|it| it.get(id).map(|it| it.device.clone()));
            match owner {
                Some(owner) if owner == device => {}
                Some(_) => return Ok(None),
                None => {
                    return match self.stored(&device, id).await? {
                        Some(command) => Err(CommandsError::TooLate(command.state)),
                        None => Ok(None),
                    };
                }
            }
            let desk = Arc::clone(&self.desk);
            // Goes on if whoever asked has gone: a command that is held back shall not stay so.
            let cancelling = self.tracker.spawn(async move { desk.cancel(id).await });
            match cancelling.await {
                Ok(cancelled) => cancelled,
                Err(error) => Err(PortError::Failed(Box::new(error)).into()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_becomes_the_first_member() {
        let id = CommandId(0x1f);
        let shown = "0000000000000000000000000000001f";
        for (object, expected) in [
            ("{}", format!("{{\"id\":\"{shown}\"}}")),
            (" { } ", format!("{{\"id\":\"{shown}\"}}")),
            ("{ \"a\": {}}", format!("{{\"id\":\"{shown}\",\"a\": {{}}}}")),
        ] {
            let with_id = String::from_utf8(with_id(object.as_bytes(), "id", id)).unwrap();
            assert_eq!(with_id, expected);
            assert!(serde_json::from_str::<serde_json::Value>(&with_id).is_ok());
        }
    }
}
