//! Rows as they come out of a binary COPY.

use std::pin::pin;

use bytes::{Buf, Bytes};
use futures_util::TryStreamExt;
use tokio_postgres::Client;

use crate::Error;
use crate::connect::failed;
use crate::encode::HEADER;

/// One reading, as the database has it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) device_id: i32,
    pub(super) metric_id: i32,
    /// Microseconds from PostgreSQL's epoch.
    pub(super) at: i64,
    /// One of these two.
    pub(super) value: Option<f64>,
    pub(super) text: Option<Box<str>>,
}

/// Reads what `sql`, a binary `COPY … TO STDOUT` of a reading's five columns, gives.
pub(super) async fn read(client: &Client, sql: &str) -> Result<Vec<Row>, Error> {
    let doing = "reading fresh readings";
    let mut stream = pin!(client.copy_out(sql).await.map_err(failed(doing))?);
    let mut parser = Parser::default();
    while let Some(chunk) = stream.try_next().await.map_err(failed(doing))? {
        parser.push(chunk)?;
    }
    parser.end()
}

/// Takes the stream apart. The server sends whole rows, the first together with the header.
#[derive(Debug, Default)]
struct Parser {
    rows: Vec<Row>,
    has_begun: bool,
    has_ended: bool,
}

impl Parser {
    fn push(&mut self, mut chunk: Bytes) -> Result<(), Error> {
        if !self.has_begun {
            if chunk.len() < HEADER.len() || chunk[..HEADER.len()] != HEADER[..] {
                return Err(damaged("header"));
            }
            chunk.advance(HEADER.len());
            self.has_begun = true;
        }
        while chunk.has_remaining() {
            match chunk.try_get_i16().map_err(|_| damaged("row"))? {
                5 => self.rows.push(row(&mut chunk)?),
                -1 => self.has_ended = true,
                _ => return Err(damaged("row")),
            }
        }
        Ok(())
    }

    fn end(self) -> Result<Vec<Row>, Error> {
        if self.has_ended { Ok(self.rows) } else { Err(damaged("end")) }
    }
}

fn row(chunk: &mut Bytes) -> Result<Row, Error> {
    let at = field(chunk)?.and_then(|mut raw| raw.try_get_i64().ok());
    let device_id = field(chunk)?.and_then(|mut raw| raw.try_get_i32().ok());
    let metric_id = field(chunk)?.and_then(|mut raw| raw.try_get_i32().ok());
    let value = field(chunk)?.and_then(|mut raw| raw.try_get_f64().ok());
    let text = match field(chunk)? {
        Some(raw) => Some(std::str::from_utf8(&raw).map_err(|_| damaged("text"))?.into()),
        None => None,
    };
    match (at, device_id, metric_id) {
        (Some(at), Some(device_id), Some(metric_id)) => {
            Ok(Row { device_id, metric_id, at, value, text })
        }
        _ => Err(damaged("column")),
    }
}

/// One column: its bytes, or NULL.
fn field(chunk: &mut Bytes) -> Result<Option<Bytes>, Error> {
    let length = chunk.try_get_i32().map_err(|_| damaged("column"))?;
    if length == -1 {
        return Ok(None);
    }
    match usize::try_from(length) {
        Ok(length) if length <= chunk.remaining() => Ok(Some(chunk.split_to(length))),
        _ => Err(damaged("column")),
    }
}

fn damaged(what: &str) -> Error {
    Error::Damaged { what: "a binary COPY", value: format!("a {what} is not as it should be") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::{Cell, Encoder};

    #[test]
    fn what_the_encoder_writes_reads_back() {
        let mut encoder = Encoder::default();
        encoder.begin();
        encoder.push(7, 9, 12, Cell::Number(-0.5));
        encoder.push(8, 10, -13, Cell::Text("offen"));
        let mut parser = Parser::default();
        parser.push(encoder.end()).expect("readable");
        let row = Row { device_id: 7, metric_id: 9, at: 12, value: Some(-0.5), text: None };
        let other =
            Row { device_id: 8, metric_id: 10, at: -13, value: None, text: Some("offen".into()) };
        assert_eq!(parser.end().expect("whole"), [row, other]);
    }

    #[test]
    fn a_cut_stream_is_an_error() {
        let mut encoder = Encoder::default();
        encoder.begin();
        encoder.push(7, 9, 12, Cell::Number(-0.5));
        let whole = encoder.end();
        for end in 0..whole.len() {
            let mut parser = Parser::default();
            let pushed = parser.push(whole.slice(..end));
            assert!(pushed.and_then(|()| parser.end().map(drop)).is_err(), "cut at {end}");
        }
    }
}
