//! What happened in histories, to know that they are worth something.

/// What happened, to know that the histories are worth something.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) n_records: u64,
    pub(crate) n_rows: u64,
    pub(crate) n_duplicates: u64,
    pub(crate) n_quarantined: u64,
    pub(crate) n_transitions: u64,
    pub(crate) n_crashes: u64,
    pub(crate) n_torn: u64,
    pub(crate) n_unfinished: u64,
    pub(crate) n_stops: u64,
    pub(crate) n_starts_without_database: u64,
    pub(crate) n_commits: u64,
    pub(crate) n_lost_answers: u64,
    pub(crate) n_refused: u64,
    pub(crate) n_snapshots: u64,
    pub(crate) n_trimmed_logs: u64,
    pub(crate) n_bytes_read_again: u64,
    pub(crate) n_skips: u64,
    pub(crate) n_unlike_default: u64,
    pub(crate) n_presences: u64,
    pub(crate) n_mapped: u64,
    pub(crate) n_unmapped: u64,
    pub(crate) n_replays: u64,
    pub(crate) n_replayed: u64,
    pub(crate) n_refusals: u64,
    pub(crate) n_deeds: u64,
}

impl Seen {
    fn fields(&mut self) -> [&mut u64; 25] {
        [
            &mut self.n_records,
            &mut self.n_rows,
            &mut self.n_duplicates,
            &mut self.n_quarantined,
            &mut self.n_transitions,
            &mut self.n_crashes,
            &mut self.n_torn,
            &mut self.n_unfinished,
            &mut self.n_stops,
            &mut self.n_starts_without_database,
            &mut self.n_commits,
            &mut self.n_lost_answers,
            &mut self.n_refused,
            &mut self.n_snapshots,
            &mut self.n_trimmed_logs,
            &mut self.n_bytes_read_again,
            &mut self.n_skips,
            &mut self.n_unlike_default,
            &mut self.n_presences,
            &mut self.n_mapped,
            &mut self.n_unmapped,
            &mut self.n_replays,
            &mut self.n_replayed,
            &mut self.n_refusals,
            &mut self.n_deeds,
        ]
    }

    pub(crate) fn add(&mut self, other: &Self) {
        let mut other = Self { ..*other };
        for (mine, others) in self.fields().into_iter().zip(other.fields()) {
            *mine += *others;
        }
    }

    pub(crate) fn assert_all_happened(mut self) {
        let all = self.fields().into_iter().all(|n| *n > 50);
        assert!(all, "each happens in many histories: {self:?}");
    }
}
