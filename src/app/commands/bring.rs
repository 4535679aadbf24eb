//! Brings commands to devices as they come, and notes in the log what the broker tells of it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bellwire_broker::{Letter, Letters, Posted, Several, Signed};
use bellwire_ingest::commands::CommandEvent;
use bellwire_ingest::log::Entry;
use bellwire_model::{Command, CommandId, DeviceId, QoS, Reply};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{Bell, Desk};

/// How often it is tried again with a device that is there and has no room.
const AGAIN: Duration = Duration::from_secs(5);
/// The most events in one record.
const EVENTS_MAX: usize = 1_000;
/// When what was heard is looked through for commands that are over.
const HEARD_MAX: usize = 1_024;

/// Brings commands until told to end.
pub(super) async fn run(desk: Arc<Desk>, bell: Bell, closing: CancellationToken) {
    let letters = desk.broker.letters();
    let mut full = BTreeSet::new();
    let mut again = tokio::time::interval(AGAIN);
    bell.count();
    loop {
        let devices = tokio::select! {
            () = closing.cancelled() => return,
            () = letters.changed() => desk.hear(&letters).await,
            devices = bell.rung() => devices,
            _ = again.tick(), if !full.is_empty() => std::mem::take(&mut full),
        };
        for device in devices {
            if desk.bring(&device) == Posted::NoRoom {
                full.insert(device);
            }
        }
    }
}

impl Desk {
    /// Notes what the broker tells; gives the devices that came and for which there may be something.
    async fn hear(&self, letters: &Letters) -> BTreeSet<DeviceId> {
        let (events, news) = {
            // Under the lock: whoever takes a command back finds what was heard here or there.
            let mut books = self.books();
            let news = letters.take();
            let mut events = Vec::new();
            for (&id, progress) in &news.letters {
                let id = CommandId(id);
                if progress.n_sent > 0 {
                    books.sent.insert(id);
                    events.push(CommandEvent::Sent {
                        id,
                        qos: progress.qos,
                        times: progress.n_sent,
                    });
                }
                if progress.receipt == Signed::Yes {
                    events.push(CommandEvent::Acknowledged(id));
                }
                if progress.receipt == Signed::Yes || progress.qos == QoS::AtMostOnce {
                    books.delivered.insert(id);
                }
            }
            (events, news)
        };
        for some in events.chunks(EVENTS_MAX) {
            // A control record: it has its room also while the log holds the sockets.
            self.log.append(Entry::commands(some)).await;
        }
        self.tidy();
        match news.several {
            Several::None => news.came,
            Several::Came => self.commands.with(|it| it.devices_to_go_to()),
        }
    }

    /// Forgets what was heard of commands that are over.
    fn tidy(&self) {
        let mut books = self.books();
        if books.sent.len().max(books.delivered.len()) > HEARD_MAX {
            let is_open =
                |id: &CommandId| self.commands.with(|it| it.get(*id).is_some_and(Command::is_open));
            books.sent.retain(is_open);
            books.delivered.retain(is_open);
        }
    }

    /// Posts what is to be brought to a device, in the order it was asked for.
    fn bring(&self, device: &DeviceId) -> Posted {
        let to_bring: Vec<Command> =
            self.commands.with(|it| it.to_bring(device).cloned().collect());
        let (now, topic) = (self.clock.now(), Command::topic(device));
        for command in to_bring.iter().filter(|it| it.expires_at > now) {
            // Under the lock: nobody takes it back between the look and the post.
            let books = self.books();
            if books.withheld.contains(&command.id) || books.delivered.contains(&command.id) {
                continue;
            }
            let response_topic = (command.reply == Reply::Expected).then(|| command.reply_topic());
            let posted = self.broker.post(&Letter {
                id: command.id.0,
                device,
                topic: &topic,
                payload: &command.payload,
                content_type: command.content_type.as_deref(),
                response_topic: response_topic.as_deref(),
                expires_at: command.expires_at,
            });
            match posted {
                Ok(Posted::OnItsWay) => {}
                Ok(posted) => return posted,
                Err(error) => {
                    // A device's name is a level of a topic.
                    warn!(error = &error as &dyn std::error::Error, "A command has no topic.");
                    return Posted::NobodyThere;
                }
            }
        }
        Posted::OnItsWay
    }
}
