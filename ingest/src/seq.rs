//! Follows a device's own counter: what is missing, and when it began anew.

use bellwire_model::SeqLedger;

/// The most gaps remembered per device; beyond it the oldest is given up.
pub const GAPS_MAX: usize = 1_000;

/// Takes the counter's next value into account.
///
/// A value in a gap fills it. A value at or below the last that fills no gap is a repetition or
/// came late, unless it is 0 or 1 after a greater one: then the device has begun anew.
pub fn observe(ledger: &mut SeqLedger, seq: u64) {
    let Some(last) = ledger.last else {
        ledger.last = Some(seq);
        return;
    };
    if seq > last {
        if seq > last + 1 {
            open(&mut ledger.gaps, (last + 1, seq - 1));
        }
        ledger.last = Some(seq);
    } else if !fill(&mut ledger.gaps, seq) && seq <= 1 && last > 1 {
        ledger.resets += 1;
        ledger.gaps.clear();
        ledger.last = Some(seq);
    }
}

/// Takes a value into account that was published before, and is understood only now: it may fill a
/// gap, or go beyond the last, and does not say that the counter began anew.
pub fn recall(ledger: &mut SeqLedger, seq: u64) {
    match ledger.last {
        Some(last) if seq <= last => drop(fill(&mut ledger.gaps, seq)),
        _ => observe(ledger, seq),
    }
}

fn open(gaps: &mut Vec<(u64, u64)>, gap: (u64, u64)) {
    if gaps.len() >= GAPS_MAX {
        gaps.remove(0);
    }
    gaps.push(gap);
}

/// Takes `seq` out of the gap it lies in, if any.
fn fill(gaps: &mut Vec<(u64, u64)>, seq: u64) -> bool {
    let index = gaps.partition_point(|&(_, to)| to < seq);
    let Some(&(from, to)) = gaps.get(index).filter(|&&(from, _)| from <= seq) else {
        return false;
    };
    let before = (from < seq).then(|| (from, seq - 1));
    let after = (seq < to).then(|| (seq + 1, to));
    gaps.splice(index..=index, before.into_iter().chain(after));
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(seqs: &[u64], last: u64, gaps: &[(u64, u64)], resets: u64) {
        let mut ledger = SeqLedger::default();
        seqs.iter().for_each(|&seq| observe(&mut ledger, seq));
        assert_eq!(ledger, SeqLedger { last: Some(last), gaps: gaps.to_vec(), resets }, "{seqs:?}");
    }

    #[test]
    fn missing_numbers_are_gaps_until_they_come() {
        check(&[5, 6, 7], 7, &[], 0);
        check(&[1, 5], 5, &[(2, 4)], 0);
        check(&[1, 5, 3], 5, &[(2, 2), (4, 4)], 0);
        check(&[1, 5, 2, 4, 3], 5, &[], 0);
        check(&[1, 3, 9, 5], 9, &[(2, 2), (4, 4), (6, 8)], 0);
    }

    #[test]
    fn repetitions_change_nothing_and_a_fresh_start_is_a_reset() {
        check(&[1, 2, 2, 1], 1, &[], 1);
        check(&[7, 8, 7], 8, &[], 0);
        check(&[7, 9, 0, 1], 1, &[], 1);
    }

    #[test]
    fn what_is_understood_later_fills_gaps_and_is_no_reset() {
        let mut ledger = SeqLedger::default();
        [5, 9].into_iter().for_each(|seq| observe(&mut ledger, seq));
        [7, 1, 0, 12].into_iter().for_each(|seq| recall(&mut ledger, seq));
        let gaps = vec![(6, 6), (8, 8), (10, 11)];
        assert_eq!(ledger, SeqLedger { last: Some(12), gaps, resets: 0 });
        let mut fresh = SeqLedger::default();
        [3, 2, 1].into_iter().for_each(|seq| recall(&mut fresh, seq));
        assert_eq!(fresh, SeqLedger { last: Some(3), gaps: Vec::new(), resets: 0 });
    }

    #[test]
    fn gaps_are_bounded() {
        let mut ledger = SeqLedger::default();
        (0..5_000).for_each(|n| observe(&mut ledger, n * 2));
        assert_eq!(ledger.gaps.len(), GAPS_MAX);
        assert_eq!(ledger.gaps.last(), Some(&(9_997, 9_997)));
    }
}
