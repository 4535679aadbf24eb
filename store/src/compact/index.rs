//! Keeps the readings' index up with the transaction that adds to them.
//!
//! A BRIN knows nothing of new pages until they are summarised; until then every question reads them,
//! whatever device it asks for: also those of a transaction that is not over. Half a minute's readings
//! are 45 MB. So they are added in pieces, and each piece is summarised before the next one.

use hashbrown::HashMap;
use tokio_postgres::Client;

use crate::Error;
use crate::connect::failed;

/// Readings of a piece: 3 MB, which a question reads in 2 ms.
pub(super) const PIECE_ROWS: usize = 65_536;

/// As migration `0003_fresh` has it.
const PAGES_PER_RANGE: i64 = 4;

const DOING: &str = "summarising the readings' index";

/// How many pages the index of a table may know, for a partition or for a hypertable's newest chunks;
/// and whether somebody, a vacuum mostly, has a lock that summarising would wait for.
const SIZES: &str = "SELECT i.indexrelid, \
            pg_relation_size(i.indrelid) / current_setting('block_size')::int8, \
            EXISTS (SELECT FROM pg_locks l \
                    WHERE l.relation = i.indrelid AND l.pid <> pg_backend_pid() \
                      AND l.mode NOT IN ('AccessShareLock', 'RowShareLock', 'RowExclusiveLock')) \
     FROM (SELECT $1::text::regclass AS oid \
           UNION ALL (SELECT inhrelid FROM pg_inherits WHERE inhparent = $1::text::regclass \
                      ORDER BY inhrelid DESC LIMIT 4)) t \
     JOIN pg_index i ON i.indrelid = t.oid \
     JOIN pg_class c ON c.oid = i.indexrelid AND c.relkind = 'i' \
     JOIN pg_am a ON a.oid = c.relam AND a.amname = 'brin'";

/// How far each index is.
#[derive(Debug, Default)]
pub(super) struct Summaries {
    /// By the index's oid: the first page that this transaction has yet to summarise.
    reached: HashMap<u32, i64>,
}

impl Summaries {
    /// Before anything is added to `table`, a partition or the hypertable.
    pub(super) async fn begin(&mut self, client: &Client, table: &str) -> Result<(), Error> {
        for (index, n_pages, _) in sizes(client, table).await? {
            self.reached.entry(index).or_insert(n_pages);
        }
        Ok(())
    }

    /// Summarises what was added to `table` since, but for the last pages, which are not a whole range.
    /// Where a lock would have to be waited for, the next call does it, or the one after the commit.
    pub(super) async fn catch_up(&mut self, client: &Client, table: &str) -> Result<(), Error> {
        for (index, n_pages, is_locked) in sizes(client, table).await? {
            // An index that was not there at the beginning is a new chunk's.
            let reached = self.reached.entry(index).or_insert(0);
            let (first, end) = (whole_ranges(*reached), whole_ranges(n_pages));
            if is_locked || first >= end {
                continue;
            }
            let last = end - 1;
            let sql = "SELECT count(brin_summarize_range($1::oid::regclass, page)) \
                       FROM generate_series($2::int8, $3::int8, $4::int8) page";
            client
                .query_one(sql, &[&index, &first, &last, &PAGES_PER_RANGE])
                .await
                .map_err(failed(DOING))?;
            *reached = end;
        }
        Ok(())
    }

    /// After the commit, and after what is left over has been summarised.
    pub(super) fn end(&mut self) {
        self.reached.clear();
    }
}

/// The pages of whole ranges.
const fn whole_ranges(n_pages: i64) -> i64 {
    n_pages - n_pages % PAGES_PER_RANGE
}

async fn sizes(client: &Client, table: &str) -> Result<Vec<(u32, i64, bool)>, Error> {
    let name = format!("bellwire.{table}");
    let rows = client.query(SIZES, &[&name]).await.map_err(failed(DOING))?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect())
}
