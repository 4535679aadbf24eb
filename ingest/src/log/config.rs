//! How big the log may grow, and what it keeps free.

use serde::{Deserialize, Serialize};

use super::error::Error;
use super::segment::HEADER_BYTES;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// The log's limits. All are bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Size of one segment file; 8 KiB to 1 GiB, default 64 MiB. Space comes back a segment at a
    /// time; a new one costs three syncs, and start-up reads the last one whole.
    pub segment_bytes: u64,
    /// Most bytes of records on disk, default 32 GiB, at least four segments and 16 times `mqtt.packet_bytes_max`. Reached when the
    /// database has been away for long: then the sockets are held. Control records may go 5%
    /// beyond. The files take up to two segments more.
    pub bytes_max: u64,
    /// Bytes that stay free on the file system, default 1 GiB: the managed database lives there
    /// too, and it stops on a full disk. Less free: the sockets are held.
    pub disk_reserve_bytes: u64,
    /// Most bytes of publishes in memory on their way to the disk, default 64 MiB; 64 KiB to
    /// 2 GiB. When it is full, `append` waits, and so the socket behind it.
    pub queue_bytes: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            segment_bytes: 64 * MIB,
            bytes_max: 32 * GIB,
            disk_reserve_bytes: GIB,
            queue_bytes: 64 * MIB,
        }
    }
}

impl Config {
    /// The most bytes of records with control records counted: 5% more than `bytes_max`.
    #[must_use]
    pub const fn control_bytes_max(&self) -> u64 {
        self.bytes_max.saturating_add(self.bytes_max / 20)
    }

    /// Bytes of frames that fit into one segment.
    pub(super) const fn segment_room_bytes(&self) -> u64 {
        self.segment_bytes - HEADER_BYTES
    }

    /// Checks the limits against each other.
    ///
    /// # Errors
    /// [`Error::Config`] names the key that is out of range.
    pub fn check(&self) -> Result<(), Error> {
        let wrong = |key, rule| Err(Error::Config { key, rule });
        if !(2 * HEADER_BYTES..=GIB).contains(&self.segment_bytes) {
            return wrong("segment_bytes", "from 8 KiB to 1 GiB");
        }
        // With fewer, a log whose floor has caught up could stay full for ever: only whole
        // segments go, and never the one being written.
        if self.bytes_max < self.segment_bytes.saturating_mul(4) {
            return wrong("bytes_max", "at least four times segment_bytes");
        }
        if !(64 << 10..=2 * GIB).contains(&self.queue_bytes) {
            return wrong("queue_bytes", "from 64 KiB to 2 GiB");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_allowed() {
        assert!(Config::default().check().is_ok());
    }

    #[test]
    fn limits_that_cannot_work_are_named() {
        for (config, key) in [
            (Config { segment_bytes: 4096, ..Config::default() }, "segment_bytes"),
            (Config { bytes_max: 128 * MIB, ..Config::default() }, "bytes_max"),
            (Config { queue_bytes: 0, ..Config::default() }, "queue_bytes"),
        ] {
            let error = config.check().expect_err("out of range").to_string();
            assert!(error.contains(key), "{error}");
        }
    }

    #[test]
    fn a_misspelt_key_is_refused() {
        let error = serde_json::from_str::<Config>(r#"{"segment_size": 1}"#).expect_err("typo");
        assert!(error.to_string().contains("segment_bytes"), "{error}");
    }
}
