//! Commands, newest first.

use bellwire_model::{Answer, Command, CommandId, CommandState, DeviceId, Reply, Timestamp};
use tokio_postgres::Row;

use super::{Queries, row_limit, word};
use crate::Error;
use crate::metrics::QueryKind;
use crate::types::At;

const COLUMNS: &str = "id, device, state, payload, content_type, reply, author, key, created_at, \
     expires_at, sent_at, acknowledged_at, ended_at, answered_at, answer, sendings";

impl Queries {
    /// Commands to a device in one of `states`, none of them: in any; newest first, those after
    /// `after` only.
    ///
    /// # Errors
    /// [`Error`]; transient ones while the database is away.
    pub async fn commands(
        &self,
        device: &DeviceId,
        states: &[CommandState],
        after: Option<(Timestamp, CommandId)>,
        limit: usize,
    ) -> Result<Vec<Command>, Error> {
        let states: Vec<&str> = states.iter().map(|state| state.label()).collect();
        let sql = format!(
            "SELECT {COLUMNS} FROM bellwire.command \
             WHERE device = $1 AND (cardinality($2::text[]) = 0 OR state = ANY($2)) \
               AND ($3::timestamptz IS NULL OR (created_at, id) < ($3, $4::text)) \
             ORDER BY created_at DESC, id DESC LIMIT $5"
        );
        let rows = self
            .run(
                QueryKind::Commands,
                "reading commands",
                &sql,
                &[
                    &device.as_str(),
                    &states,
                    &after.map(|(at, _)| At(at)),
                    &after.map(|(_, id)| id.to_string()),
                    &row_limit(limit),
                ],
            )
            .await?;
        rows.iter().map(read).collect()
    }

    /// One command.
    ///
    /// # Errors
    /// [`Error`]; transient ones while the database is away.
    pub async fn command(&self, id: CommandId) -> Result<Option<Command>, Error> {
        let sql = format!("SELECT {COLUMNS} FROM bellwire.command WHERE id = $1");
        let rows =
            self.run(QueryKind::Commands, "reading a command", &sql, &[&id.to_string()]).await?;
        rows.first().map(read).transpose()
    }
}

fn read(row: &Row) -> Result<Command, Error> {
    let time = |index| row.get::<_, Option<At>>(index).map(|At(at)| at);
    let text = |index| row.get::<_, Option<&str>>(index).map(Into::into);
    let (At(created_at), At(expires_at)) = (row.get(8), row.get(9));
    let answer = time(13).map(|at| {
        let payload = row.get::<_, Option<&[u8]>>(14).unwrap_or_default();
        Answer { at, payload: payload.into() }
    });
    Ok(Command {
        id: word("a command's id", row.get(0), |text| text.parse().ok())?,
        device: word("a device", row.get(1), |text| DeviceId::new(text).ok())?,
        state: word("a state", row.get(2), CommandState::from_label)?,
        payload: row.get::<_, &[u8]>(3).into(),
        content_type: text(4),
        reply: word("a kind of reply", row.get(5), Reply::from_label)?,
        author: text(6),
        key: text(7),
        created_at,
        expires_at,
        sent_at: time(10),
        acknowledged_at: time(11),
        ended_at: time(12),
        answer,
        n_sent: u32::try_from(row.get::<_, i64>(15)).unwrap_or(u32::MAX),
    })
}
