//! Commands of a device, from memory and from the database, which has them later and longer.

use bellwire_api::ports::{CommandPage, CommandsError, CommandsQuery, Extent, PortError};
use bellwire_ingest::commands::SharedCommands;
use bellwire_model::{Command, CommandId, Timestamp};
use bellwire_store::Queries;

use crate::app::page::{from_time, read, to_time, token};

/// A command's place in the list, which goes from the latest to the first.
type Place = (Timestamp, CommandId);

const fn place(command: &Command) -> Place {
    (command.created_at, command.id)
}

fn after(token: &str) -> Result<Place, PortError> {
    let [at, high, low] = read::<3>(token)?;
    Ok((to_time(at), CommandId(u128::from(high) << 64 | u128::from(low))))
}

#[expect(clippy::cast_possible_truncation, reason = "halves")]
fn token_of((at, id): Place) -> String {
    token([from_time(at), (id.0 >> 64) as u64, id.0 as u64])
}

/// One page of them.
pub(super) async fn page(
    commands: &SharedCommands,
    queries: &Queries,
    query: CommandsQuery,
) -> Result<CommandPage, CommandsError> {
    let CommandsQuery { device, states, limit, after: token } = query;
    let after = token.as_deref().map(after).transpose()?;
    let stored = queries.commands(&device, &states, after, limit).await;
    // Looked at behind the database: whatever that does not have yet is here.
    let in_memory: Vec<Command> = commands.with(|it| it.all_of(&device).rev().cloned().collect());
    let (stored, extent) = match stored {
        Ok(stored) => (stored, Extent::Whole),
        Err(error) if error.is_transient() || error.is_unavailable() => {
            (Vec::new(), Extent::InMemory)
        }
        Err(error) => return Err(PortError::Failed(error.into()).into()),
    };
    let is_wanted = |it: &Command| {
        (states.is_empty() || states.contains(&it.state))
            && after.is_none_or(|after| place(it) < after)
    };
    let (commands, next) = merge(in_memory, stored, limit, is_wanted);
    Ok(CommandPage { commands, next: next.map(token_of), extent })
}

/// The first `limit` of both, each once, as memory has it; and where the next page begins. `stored` has
/// the first `limit` that are wanted.
fn merge(
    in_memory: Vec<Command>,
    mut stored: Vec<Command>,
    limit: usize,
    is_wanted: impl Fn(&Command) -> bool,
) -> (Vec<Command>, Option<Place>) {
    // What comes behind the last of a full page the database may have too.
    let end = stored.last().filter(|_| stored.len() >= limit).map(place);
    stored.retain(|it| in_memory.iter().all(|other| other.id != it.id));
    let fits = |it: &Command| is_wanted(it) && end.is_none_or(|end| place(it) >= end);
    let mut all: Vec<Command> = in_memory.into_iter().filter(fits).chain(stored).collect();
    all.sort_unstable_by_key(|it| std::cmp::Reverse(place(it)));
    if all.len() > limit {
        all.truncate(limit);
        let next = all.last().map(place);
        return (all, next);
    }
    (all, end)
}

#[cfg(test)]
mod tests {
    use bellwire_model::{CommandState, DeviceId, Reply};

    use super::*;

    fn command(n: u32, state: CommandState) -> Command {
        let at = Timestamp::from_secs(n.into());
        Command {
            id: CommandId(n.into()),
            device: DeviceId::new("a").unwrap(),
            payload: b"{}".as_slice().into(),
            content_type: None,
            reply: Reply::Expected,
            author: None,
            key: None,
            state,
            created_at: at,
            expires_at: at,
            sent_at: None,
            acknowledged_at: None,
            ended_at: None,
            answer: None,
            n_sent: 0,
        }
    }

    /// All pages of those that are queued, where memory and database have these.
    fn pages(in_memory: &[(u32, CommandState)], stored: &[u32], limit: usize) -> Vec<Vec<u128>> {
        let mut stored: Vec<_> = stored.iter().map(|n| command(*n, CommandState::Queued)).collect();
        stored.sort_by_key(|it| std::cmp::Reverse(place(it)));
        let memory: Vec<_> = in_memory.iter().map(|(n, state)| command(*n, *state)).collect();
        let (mut pages, mut after) = (Vec::new(), None);
        loop {
            let is_behind = |it: &Command| after.is_none_or(|after| place(it) < after);
            let rows = stored.iter().filter(|it| is_behind(it)).take(limit).cloned().collect();
            let is_wanted = |it: &Command| it.state == CommandState::Queued && is_behind(it);
            let (page, next) = merge(memory.clone(), rows, limit, is_wanted);
            pages.push(page.iter().map(|it| it.id.0).collect());
            match next {
                Some(next) => after = Some(next),
                None => return pages,
            }
        }
    }

    #[test]
    fn memory_knows_better_and_every_command_is_listed_once() {
        let (queued, sent) = (CommandState::Queued, CommandState::Sent);
        assert_eq!(pages(&[], &[], 2), [vec![]]);
        assert_eq!(pages(&[(9, queued)], &[], 2), [vec![9]]);
        assert_eq!(pages(&[(9, queued), (8, queued)], &[9, 7], 2), [vec![9, 8], vec![7]]);
        // The database has 6 and 5 as queued still; they were sent.
        let all: Vec<u128> = pages(&[(6, sent), (5, sent), (2, queued)], &[7, 6, 5, 4, 3, 2, 1], 2)
            .into_iter()
            .flatten()
            .collect();
        assert_eq!(all, [7, 4, 3, 2, 1]);
    }

    #[test]
    fn a_token_reads_back() {
        let place = (Timestamp::from_micros(7), CommandId(u128::MAX - 5));
        assert_eq!(after(&token_of(place)).unwrap(), place);
    }
}
