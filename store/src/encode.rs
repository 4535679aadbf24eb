//! Readings as PostgreSQL's binary COPY format, written straight into a reused buffer.
//!
//! The format: a header, per row the number of columns and each column as length and bytes, a
//! trailer. <https://www.postgresql.org/docs/current/sql-copy.html> ("Binary Format").

use bellwire_model::Value;
use bytes::{BufMut, Bytes, BytesMut};

use crate::types::storable;

/// Signature, flags and the length of the header's extension.
pub(crate) const HEADER: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// "No more rows": a row of −1 columns.
pub(crate) const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();

/// The statement that takes what this module writes, into `table` of the schema `bellwire`.
pub(crate) fn copy_in(table: &str) -> String {
    format!(
        "COPY bellwire.{table} (at, device_id, metric_id, value, text) FROM STDIN (FORMAT binary)"
    )
}

/// When a buffer is handed on. Measured (examples/copy_bench.rs): 16 KiB cost a third more CPU
/// here, 256 KiB gain nothing.
pub(crate) const CHUNK_BYTES: usize = 64 * 1024;

/// The bytes of a row whose value is a number.
const ROW_BYTES: usize = 2 + (4 + 8) + (4 + 4) + (4 + 4) + (4 + 8) + 4;
/// The bytes of a text row before the text.
const TEXT_ROW_HEAD_BYTES: usize = ROW_BYTES - 8;

const N_COLUMNS: [u8; 2] = 5_i16.to_be_bytes();
const NULL: [u8; 4] = (-1_i32).to_be_bytes();
const LENGTH_4: [u8; 4] = 4_i32.to_be_bytes();
const LENGTH_8: [u8; 4] = 8_i32.to_be_bytes();

/// What was read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cell<'a> {
    Number(f64),
    Text(&'a str),
}

impl<'a> From<&'a Value> for Cell<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Number(number) => Self::Number(*number),
            Value::Text(text) => Self::Text(text),
        }
    }
}

/// Gathers rows and gives them out in chunks of about [`CHUNK_BYTES`].
#[derive(Debug, Default)]
pub(crate) struct Encoder {
    buffer: BytesMut,
}

impl Encoder {
    /// Begins a COPY, forgetting what an earlier one left.
    pub(crate) fn begin(&mut self) {
        self.buffer.clear();
        self.reserve();
        self.buffer.put_slice(HEADER);
    }

    /// Writes a reading of the device and metric with these ids; `at` counts microseconds from
    /// PostgreSQL's epoch. A text's U+0000 becomes U+FFFD.
    pub(crate) fn push(&mut self, device_id: i32, metric_id: i32, at: i64, cell: Cell<'_>) {
        match cell {
            Cell::Number(number) => {
                let mut row = [0_u8; ROW_BYTES];
                head(&mut row, at, device_id, metric_id);
                row[30..34].copy_from_slice(&LENGTH_8);
                row[34..42].copy_from_slice(&number.to_be_bytes());
                row[42..46].copy_from_slice(&NULL);
                self.buffer.put_slice(&row);
            }
            Cell::Text(text) => {
                let text = storable(text);
                let mut row = [0_u8; TEXT_ROW_HEAD_BYTES];
                head(&mut row, at, device_id, metric_id);
                row[30..34].copy_from_slice(&NULL);
                // A reading's text has at most `Value::TEXT_BYTES_MAX` bytes, thrice that with
                // every U+0000 replaced.
                let length = i32::try_from(text.len()).unwrap_or(i32::MAX);
                row[34..38].copy_from_slice(&length.to_be_bytes());
                self.buffer.put_slice(&row);
                self.buffer.put_slice(text.as_bytes());
            }
        }
    }

    /// A full chunk, if there is one.
    pub(crate) fn chunk(&mut self) -> Option<Bytes> {
        if self.buffer.len() < CHUNK_BYTES {
            return None;
        }
        let chunk = self.buffer.split().freeze();
        self.reserve();
        Some(chunk)
    }

    /// Ends the COPY: what is left, trailer included.
    pub(crate) fn end(&mut self) -> Bytes {
        self.buffer.put_slice(&TRAILER);
        self.buffer.split().freeze()
    }

    /// Room for a chunk and the row that overfills it; the memory of chunks that have been sent is
    /// taken again.
    fn reserve(&mut self) {
        self.buffer.reserve(CHUNK_BYTES + 4 * 1024);
    }
}

/// The first three columns.
fn head(row: &mut [u8], at: i64, device_id: i32, metric_id: i32) {
    row[0..2].copy_from_slice(&N_COLUMNS);
    row[2..6].copy_from_slice(&LENGTH_8);
    row[6..14].copy_from_slice(&at.to_be_bytes());
    row[14..18].copy_from_slice(&LENGTH_4);
    row[18..22].copy_from_slice(&device_id.to_be_bytes());
    row[22..26].copy_from_slice(&LENGTH_4);
    row[26..30].copy_from_slice(&metric_id.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    #[test]
    fn a_number_is_written_as_the_format_says() {
        let mut encoder = Encoder::default();
        encoder.begin();
        encoder.push(7, 9, SECOND, Cell::Number(1.0));
        let bytes = encoder.end();
        let mut expected = HEADER.to_vec();
        expected.extend([0, 5]);
        expected.extend([0, 0, 0, 8, 0, 0, 0, 0, 0, 0x0f, 0x42, 0x40]);
        expected.extend([0, 0, 0, 4, 0, 0, 0, 7]);
        expected.extend([0, 0, 0, 4, 0, 0, 0, 9]);
        expected.extend([0, 0, 0, 8, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0]);
        expected.extend([0xff, 0xff, 0xff, 0xff]);
        expected.extend([0xff, 0xff]);
        assert_eq!(bytes, expected);
    }

    #[test]
    fn a_text_takes_the_last_column_and_the_number_is_null() {
        let mut encoder = Encoder::default();
        encoder.begin();
        encoder.push(7, 9, SECOND, Cell::Text("a\0b"));
        let bytes = encoder.end();
        let tail = &bytes[HEADER.len() + 30..];
        assert_eq!(tail, b"\xff\xff\xff\xff\0\0\0\x05a\xef\xbf\xbdb\xff\xff");
    }

    #[test]
    fn chunks_are_whole_rows_and_nothing_is_lost() {
        let mut encoder = Encoder::default();
        encoder.begin();
        let mut total = 0;
        for _ in 0..10_000 {
            encoder.push(1, 2, SECOND, Cell::Number(0.5));
            total += encoder.chunk().map_or(0, |chunk| chunk.len());
        }
        total += encoder.end().len();
        assert_eq!(total, HEADER.len() + 10_000 * ROW_BYTES + TRAILER.len());
    }
}
