//! Readings out of a binary COPY: the server sends each row as a message of its own.

use bellwire_model::{DeviceKey, MetricKey, Reading, Value};

use super::{Keys, NONE};
use crate::Error;
use crate::encode::HEADER;
use crate::types::from_pg_micros;

/// Takes the rows of one COPY.
#[derive(Debug)]
pub(super) struct Rows<'a> {
    keys: &'a Keys,
    limit: usize,
    readings: Vec<Reading>,
    n_seen: usize,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Begin,
    Rows,
    End,
}

impl<'a> Rows<'a> {
    pub(super) const fn new(keys: &'a Keys, limit: usize) -> Self {
        Self { keys, limit, readings: Vec::new(), n_seen: 0, place: Place::Begin }
    }

    /// Takes a message. What is beyond the limit is only counted.
    pub(super) fn push(&mut self, message: &[u8]) -> Result<(), Error> {
        let mut rest = message;
        if self.place == Place::Begin {
            rest = rest.strip_prefix(HEADER).ok_or_else(|| damaged("header"))?;
            self.place = Place::Rows;
        }
        while !rest.is_empty() {
            match i16::from_be_bytes(take(&mut rest)?) {
                5 => self.row(&mut rest)?,
                -1 => self.place = Place::End,
                _ => return Err(damaged("row")),
            }
        }
        Ok(())
    }

    #[inline]
    fn row(&mut self, rest: &mut &[u8]) -> Result<(), Error> {
        let at = i64::from_be_bytes(column(rest)?);
        let device = key(&self.keys.devices, i32::from_be_bytes(column(rest)?))?;
        let metric = key(&self.keys.metrics, i32::from_be_bytes(column(rest)?))?;
        let number = match i32::from_be_bytes(take(rest)?) {
            8 => Some(f64::from_be_bytes(take(rest)?)),
            -1 => None,
            _ => return Err(damaged("column")),
        };
        let text = match i32::from_be_bytes(take(rest)?) {
            -1 => None,
            length => Some(text(rest, length)?),
        };
        let value = match (number, text) {
            (_, Some(text)) => Value::Text(text.into()),
            (Some(number), None) => Value::Number(number),
            (None, None) => return Err(damaged("value")),
        };
        self.n_seen += 1;
        if self.n_seen <= self.limit {
            let (device, metric) = (DeviceKey(device), MetricKey(metric));
            self.readings.push(Reading { device, metric, at: from_pg_micros(at), value });
        }
        Ok(())
    }

    /// All of them; or, as the other result, the first ones of more than the limit.
    pub(super) fn end(self) -> Result<Result<Vec<Reading>, Vec<Reading>>, Error> {
        match self.place {
            Place::End if self.n_seen <= self.limit => Ok(Ok(self.readings)),
            Place::End => Ok(Err(self.readings)),
            Place::Begin | Place::Rows => Err(damaged("end")),
        }
    }
}

/// A column of `N` bytes that is never NULL.
#[inline]
fn column<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], Error> {
    let length = i32::from_be_bytes(take(rest)?);
    if usize::try_from(length) == Ok(N) { take(rest) } else { Err(damaged("column")) }
}

#[inline]
fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], Error> {
    let (bytes, after) = rest.split_first_chunk().ok_or_else(|| damaged("row"))?;
    *rest = after;
    Ok(*bytes)
}

fn text<'a>(rest: &mut &'a [u8], length: i32) -> Result<&'a str, Error> {
    let length = usize::try_from(length).map_err(|_| damaged("column"))?;
    let (bytes, after) = rest.split_at_checked(length).ok_or_else(|| damaged("column"))?;
    *rest = after;
    std::str::from_utf8(bytes).map_err(|_| damaged("text"))
}

#[inline]
fn key(keys: &[u32], id: i32) -> Result<u32, Error> {
    let key = usize::try_from(id).ok().and_then(|id| keys.get(id));
    key.copied().filter(|key| *key != NONE).ok_or_else(|| damaged("name"))
}

#[cold]
fn damaged(what: &str) -> Error {
    Error::Damaged { what: "stored history", value: format!("a {what} is not as it should be") }
}

#[cfg(test)]
mod tests {
    use bellwire_model::Timestamp;

    use super::*;
    use crate::encode::{Cell, Encoder};
    use crate::types::pg_micros;

    fn keys() -> Keys {
        Keys { devices: vec![NONE, 0, NONE, 1], metrics: vec![NONE, 0] }
    }

    fn encoded(rows: &[(i32, i64)]) -> bytes::Bytes {
        let mut encoder = Encoder::default();
        encoder.begin();
        for (device_id, secs) in rows {
            let at = pg_micros(Timestamp::from_secs(*secs));
            encoder.push(*device_id, 1, at, Cell::Number(0.5));
        }
        encoder.push(3, 1, pg_micros(Timestamp::EPOCH), Cell::Text("offen"));
        encoder.end()
    }

    #[test]
    fn what_the_encoder_writes_becomes_readings() {
        let keys = keys();
        let mut rows = Rows::new(&keys, 9);
        rows.push(&encoded(&[(1, 7)])).expect("readable");
        let reading = |device, secs, value| Reading {
            device: DeviceKey(device),
            metric: MetricKey(0),
            at: Timestamp::from_secs(secs),
            value,
        };
        let expected =
            vec![reading(0, 7, Value::Number(0.5)), reading(1, 0, Value::Text("offen".into()))];
        assert_eq!(rows.end().expect("whole"), Ok(expected));
    }

    #[test]
    fn more_than_the_limit_is_said() {
        let keys = keys();
        let mut rows = Rows::new(&keys, 1);
        rows.push(&encoded(&[(1, 7)])).expect("readable");
        assert_eq!(rows.end().expect("whole").map_err(|kept| kept.len()), Err(1));
    }

    #[test]
    fn what_is_cut_or_strange_is_an_error() {
        let keys = keys();
        let whole = encoded(&[(1, 7)]);
        for length in 0..whole.len() {
            let mut rows = Rows::new(&keys, 9);
            let taken = rows.push(&whole[..length]);
            assert!(taken.is_err() || rows.end().is_err(), "{length}");
        }
        assert!(Rows::new(&keys, 9).push(&encoded(&[(2, 7)])).is_err(), "no such device");
    }
}
