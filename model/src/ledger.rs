//! The account of one device: every publish it made is in exactly one of the columns.

/// The device's own counter, `seq`, as we saw it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeqLedger {
    /// The highest since the last reset.
    pub last: Option<u64>,
    /// Numbers that are missing, as inclusive ranges, ascending.
    pub gaps: Vec<(u64, u64)>,
    /// How often the counter began anew.
    pub resets: u64,
}

/// What became of one device's publishes.
///
/// Always `received = stored + duplicate + quarantined + refused`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceLedger {
    /// Publishes that arrived.
    pub received: u64,
    /// Publishes whose every reading is in the database.
    pub stored: u64,
    /// Publishes that repeated an earlier one.
    pub duplicate: u64,
    /// Publishes of which some part could not be read, where the readable part is stored; and
    /// those that the database refused, of which nothing is.
    pub quarantined: u64,
    /// Publishes that were refused before they reached the log.
    pub refused: u64,
    /// Readings stored.
    pub readings: u64,
    /// The device's own counter.
    pub seq: SeqLedger,
}

impl DeviceLedger {
    /// Whether every publish is accounted for.
    #[must_use]
    pub const fn balances(&self) -> bool {
        self.received == self.stored + self.duplicate + self.quarantined + self.refused
    }
}
