//! One slice of a generation: read, sorted, written where it belongs, and its rollups merged in.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Range;
use std::pin::pin;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::SinkExt;
use tokio_postgres::Client;

use super::index::{PIECE_ROWS, Summaries};
use super::read::{Row, read};
use super::rollup::{Level, Rollup, rollups};
use crate::connect::failed;
use crate::encode::{self, CHUNK_BYTES, Cell, Encoder, HEADER, TRAILER};
use crate::partitions::{self, PARENT, day_of};
use crate::{Error, Mode};

const COPYING: &str = "copying readings over";
const ROLLING_UP: &str = "keeping the rollups";

/// Moves slices.
#[derive(Debug)]
pub(super) struct Carrier {
    mode: Mode,
    encoder: Encoder,
    /// Where rows went since the last [`Carrier::summarize`].
    touched: Vec<Box<str>>,
    summaries: Summaries,
}

impl Carrier {
    pub(super) fn new(mode: Mode) -> Self {
        Self {
            mode,
            encoder: Encoder::default(),
            touched: Vec::new(),
            summaries: Summaries::default(),
        }
    }

    /// Carries over what lies in `pages` of `table`, in the open transaction; says how many rows.
    pub(super) async fn carry(
        &mut self,
        client: &Client,
        table: &str,
        pages: Range<i64>,
    ) -> Result<u64, Error> {
        let sql = format!(
            "COPY (SELECT at, device_id, metric_id, value, text FROM bellwire.{table} \
                   WHERE ctid >= '({},0)' AND ctid < '({},0)') TO STDOUT (FORMAT binary)",
            pages.start, pages.end
        );
        let mut rows = read(client, &sql).await?;
        rows.sort_unstable_by(in_order);
        let levels = rollups(&rows);
        match self.mode {
            Mode::Timescale => self.copy(client, PARENT, rows.iter()).await?,
            Mode::Plain => self.copy_by_day(client, &rows).await?,
        }
        for (level, rollups) in Level::ALL.into_iter().zip(&levels) {
            merge(client, level, rollups).await?;
        }
        Ok(rows.len() as u64)
    }

    /// Each day's rows straight into its partition.
    async fn copy_by_day(&mut self, client: &Client, rows: &[Row]) -> Result<(), Error> {
        let mut by_day: BTreeMap<i64, Vec<&Row>> = BTreeMap::new();
        for row in rows {
            by_day.entry(day_of(row.at)).or_default().push(row);
        }
        let days: Vec<i64> = by_day.keys().copied().collect();
        let tables = partitions::ensure(client, &days).await?;
        // Neighbouring days can share a partition: those long past do.
        let mut by_table: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
        for (day, rows) in by_day {
            let table = tables.get(&day).map_or(PARENT, |table| table);
            by_table.entry(table).or_default().extend(rows);
        }
        for (table, rows) in by_table {
            self.copy(client, table, rows.into_iter()).await?;
            if !self.touched.iter().any(|known| &**known == table) {
                self.touched.push(table.into());
            }
        }
        Ok(())
    }

    /// Piece by piece, so that the index keeps up.
    async fn copy(
        &mut self,
        client: &Client,
        table: &str,
        rows: impl Iterator<Item = &Row> + Send,
    ) -> Result<(), Error> {
        self.summaries.begin(client, table).await?;
        let mut rows = rows.peekable();
        while rows.peek().is_some() {
            self.copy_piece(client, table, rows.by_ref().take(PIECE_ROWS)).await?;
            self.summaries.catch_up(client, table).await?;
        }
        Ok(())
    }

    async fn copy_piece(
        &mut self,
        client: &Client,
        table: &str,
        rows: impl Iterator<Item = &Row> + Send,
    ) -> Result<(), Error> {
        let sql = encode::copy_in(table);
        let mut sink = pin!(client.copy_in::<_, Bytes>(&sql).await.map_err(failed(COPYING))?);
        self.encoder.begin();
        for row in rows {
            let cell = match (&row.text, row.value) {
                (Some(text), _) => Cell::Text(text),
                (None, value) => Cell::Number(value.unwrap_or(f64::NAN)),
            };
            self.encoder.push(row.device_id, row.metric_id, row.at, cell);
            if let Some(chunk) = self.encoder.chunk() {
                sink.feed(chunk).await.map_err(failed(COPYING))?;
            }
        }
        sink.feed(self.encoder.end()).await.map_err(failed(COPYING))?;
        sink.finish().await.map_err(failed(COPYING))?;
        Ok(())
    }

    /// Lets the index know those new pages that it was not told of while they came.
    pub(super) async fn summarize(&mut self, client: &Client) -> Result<(), Error> {
        let doing = "summarising the readings' index";
        let sql = match self.mode {
            Mode::Plain => {
                "SELECT brin_summarize_new_values(i.indexrelid) \
                 FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid \
                 JOIN pg_am a ON a.oid = c.relam AND a.amname = 'brin' \
                 WHERE i.indrelid IN (SELECT to_regclass(format('bellwire.%I', t)) \
                                      FROM unnest($1::text[]) t)"
            }
            // The chunks of the last two intervals; older ones are in the columnstore, or will be.
            Mode::Timescale => {
                "SELECT brin_summarize_new_values(i.indexrelid) \
                 FROM (SELECT format('%I.%I', chunk_schema, chunk_name)::regclass AS chunk \
                       FROM timescaledb_information.chunks \
                       WHERE hypertable_schema = 'bellwire' AND hypertable_name = 'reading' \
                         AND NOT is_compressed AND cardinality($1::text[]) >= 0 \
                       ORDER BY range_start DESC LIMIT 4) k \
                 JOIN pg_index i ON i.indrelid = k.chunk \
                 JOIN pg_class c ON c.oid = i.indexrelid \
                 JOIN pg_am a ON a.oid = c.relam AND a.amname = 'brin'"
            }
        };
        let touched: Vec<&str> = self.touched.iter().map(|table| &**table).collect();
        client.execute(sql, &[&touched]).await.map_err(failed(doing))?;
        self.touched.clear();
        self.summaries.end();
        Ok(())
    }
}

/// By device, metric, time; and then so that the result does not depend on who came first.
fn in_order(a: &Row, b: &Row) -> Ordering {
    let key = |row: &Row| (row.device_id, row.metric_id, row.at);
    key(a)
        .cmp(&key(b))
        .then_with(|| match (a.value, b.value) {
            (Some(a), Some(b)) => a.total_cmp(&b),
            (a, b) => a.is_some().cmp(&b.is_some()),
        })
        .then_with(|| a.text.cmp(&b.text))
}

/// Merges `rollups` into the level's table.
async fn merge(client: &Client, level: Level, rollups: &[Rollup]) -> Result<(), Error> {
    if rollups.is_empty() {
        return Ok(());
    }
    let mut sink = pin!(
        client
            .copy_in::<_, Bytes>("COPY pg_temp.rollup_in FROM STDIN (FORMAT binary)")
            .await
            .map_err(failed(ROLLING_UP))?
    );
    let mut out = BytesMut::with_capacity(CHUNK_BYTES + 1_024);
    out.put_slice(HEADER);
    for rollup in rollups {
        rollup.encode(&mut out);
        if out.len() >= CHUNK_BYTES {
            sink.feed(out.split().freeze()).await.map_err(failed(ROLLING_UP))?;
        }
    }
    out.put_slice(&TRAILER);
    sink.feed(out.freeze()).await.map_err(failed(ROLLING_UP))?;
    sink.finish().await.map_err(failed(ROLLING_UP))?;
    let table = level.table();
    // A sum beyond the range of float8 would be an error: it becomes infinite instead.
    let sql = format!(
        "INSERT INTO bellwire.{table} AS r SELECT * FROM pg_temp.rollup_in \
         ON CONFLICT (device_id, metric_id, bucket) DO UPDATE SET \
           count = r.count + excluded.count, \
           sum = CASE WHEN abs(r.sum / 2 + excluded.sum / 2) < 8.98e307 \
                      THEN r.sum + excluded.sum \
                      ELSE sign(r.sum / 2 + excluded.sum / 2) * 'Infinity'::float8 END, \
           min = least(r.min, excluded.min), \
           max = greatest(r.max, excluded.max), \
           first = CASE WHEN (excluded.first_at, excluded.first) < (r.first_at, r.first) \
                        THEN excluded.first ELSE r.first END, \
           first_at = least(r.first_at, excluded.first_at), \
           last = CASE WHEN (excluded.last_at, excluded.last) > (r.last_at, r.last) \
                       THEN excluded.last ELSE r.last END, \
           last_at = greatest(r.last_at, excluded.last_at); \
         TRUNCATE pg_temp.rollup_in"
    );
    client.batch_execute(&sql).await.map_err(failed(ROLLING_UP))
}
