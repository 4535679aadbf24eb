//! The database's ids for devices and metrics, looked up once per name and process.
//!
//! New names are inserted outside the batch's transaction: a name without readings does no harm,
//! and an id that has been given stays. Ids are cached by key, so a known name costs an index.

use bellwire_model::{DeviceKey, KeepBatch, MetricKey, SharedNames};
use hashbrown::HashMap;
use tokio_postgres::Client;

use crate::Error;
use crate::connect::failed;

/// The most names in one statement.
const NAMES_MAX: usize = 10_000;

/// Ids are given from 1.
const UNKNOWN: i32 = 0;

/// The ids that have been looked up, by key.
#[derive(Debug, Default)]
pub(crate) struct Dictionary {
    devices: Vec<i32>,
    metrics: Vec<i32>,
}

impl Dictionary {
    /// The id of a device that [`Dictionary::ensure`] has seen.
    pub(crate) fn device(&self, key: DeviceKey) -> i32 {
        self.devices[key.index()]
    }

    /// The id of a metric that [`Dictionary::ensure`] has seen.
    pub(crate) fn metric(&self, key: MetricKey) -> i32 {
        self.metrics[key.index()]
    }

    /// The ids of a reading's device and metric, if both have been seen.
    pub(crate) fn ids(&self, device: DeviceKey, metric: MetricKey) -> Option<(i32, i32)> {
        let known = |ids: &[i32], index: usize| ids.get(index).copied().filter(|&id| id != UNKNOWN);
        Some((known(&self.devices, device.index())?, known(&self.metrics, metric.index())?))
    }

    /// Looks up or creates the ids of all that `batch` names.
    pub(crate) async fn ensure(
        &mut self,
        client: &Client,
        batch: &KeepBatch,
        names: &SharedNames,
    ) -> Result<(), Error> {
        let (devices, metrics) = self.missing(batch);
        if devices.is_empty() && metrics.is_empty() {
            return Ok(());
        }
        let (devices, metrics) = {
            let names = names.read();
            let devices: Vec<(usize, String)> =
                devices.iter().map(|&k| (k.index(), names.device(k).to_string())).collect();
            let metrics: Vec<(usize, String)> =
                metrics.iter().map(|&k| (k.index(), names.metric(k).to_string())).collect();
            (devices, metrics)
        };
        resolve(client, &DEVICES, &mut self.devices, devices).await?;
        resolve(client, &METRICS, &mut self.metrics, metrics).await
    }

    /// The keys in `batch` without an id, each once. Widens the tables to hold them.
    fn missing(&mut self, batch: &KeepBatch) -> (Vec<DeviceKey>, Vec<MetricKey>) {
        let (mut devices, mut metrics) = (Vec::new(), Vec::new());
        for reading in &batch.readings {
            if is_new(&mut self.devices, reading.device.index()) {
                devices.push(reading.device);
            }
            if is_new(&mut self.metrics, reading.metric.index()) {
                metrics.push(reading.metric);
            }
        }
        for row in batch.ledger.iter().flat_map(|flush| &flush.devices) {
            if is_new(&mut self.devices, row.device.index()) {
                devices.push(row.device);
            }
        }
        let presence = batch.presence.iter().map(|(device, _)| *device);
        for device in presence.chain(batch.profiles.iter().map(|(device, _)| *device)) {
            if is_new(&mut self.devices, device.index()) {
                devices.push(device);
            }
        }
        for (device, metric, _) in &batch.units {
            if is_new(&mut self.devices, device.index()) {
                devices.push(*device);
            }
            if is_new(&mut self.metrics, metric.index()) {
                metrics.push(*metric);
            }
        }
        devices.sort_unstable();
        devices.dedup();
        metrics.sort_unstable();
        metrics.dedup();
        (devices, metrics)
    }
}

fn is_new(ids: &mut Vec<i32>, index: usize) -> bool {
    if let Some(&id) = ids.get(index) {
        return id == UNKNOWN;
    }
    ids.resize(index + 1, UNKNOWN);
    true
}

/// The statements of one dictionary.
struct Table {
    doing: &'static str,
    select: &'static str,
    insert: &'static str,
}

const DEVICES: Table = Table {
    doing: "looking up devices",
    select: "SELECT id, name FROM bellwire.device WHERE name = ANY($1)",
    insert: "INSERT INTO bellwire.device (name) SELECT unnest($1::text[]) \
             ON CONFLICT (name) DO NOTHING",
};

const METRICS: Table = Table {
    doing: "looking up metrics",
    select: "SELECT id, name FROM bellwire.metric WHERE name = ANY($1)",
    insert: "INSERT INTO bellwire.metric (name) SELECT unnest($1::text[]) \
             ON CONFLICT (name) DO NOTHING",
};

/// Fills `ids` at the indexes in `wanted`.
async fn resolve(
    client: &Client,
    table: &Table,
    ids: &mut [i32],
    mut wanted: Vec<(usize, String)>,
) -> Result<(), Error> {
    // In one order everywhere: two inserters of the same names wait for each other, not both.
    wanted.sort_unstable_by(|a, b| a.1.cmp(&b.1));
    for part in wanted.chunks(NAMES_MAX) {
        let mut open: HashMap<&str, usize> =
            part.iter().map(|(index, name)| (name.as_str(), *index)).collect();
        take_known(client, table, ids, &mut open).await?;
        if open.is_empty() {
            continue;
        }
        // Only the missing are inserted: a conflict would use an id up.
        let mut names: Vec<&str> = open.keys().copied().collect();
        names.sort_unstable();
        client.execute(table.insert, &[&names]).await.map_err(failed(table.doing))?;
        // Where another inserter was first, ours waited for its commit: all are visible now.
        take_known(client, table, ids, &mut open).await?;
        if let Some(name) = open.keys().next() {
            return Err(Error::Damaged { what: "a name just inserted", value: (*name).into() });
        }
    }
    Ok(())
}

/// Moves the names that the database knows from `open` to `ids`.
async fn take_known(
    client: &Client,
    table: &Table,
    ids: &mut [i32],
    open: &mut HashMap<&str, usize>,
) -> Result<(), Error> {
    let names: Vec<&str> = open.keys().copied().collect();
    let rows = client.query(table.select, &[&names]).await.map_err(failed(table.doing))?;
    for row in rows {
        if let Some(index) = open.remove(row.get::<_, &str>(1)) {
            ids[index] = row.get(0);
        }
    }
    Ok(())
}
