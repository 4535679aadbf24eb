//! Chance that a seed decides: the same seed, device and number give the same bits, whenever asked.

/// 64 bits that depend on nothing but the arguments (Vigna's splitmix64 finaliser).
///
/// A function and not a stream, so that what a device sends does not depend on who was served
/// first.
#[must_use]
pub(crate) const fn hash(seed: u64, stream: u64, number: u64) -> u64 {
    let mixed = seed
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .wrapping_add(stream.wrapping_mul(0xd1b5_4a32_d192_ed03))
        .wrapping_add(number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

/// A number from 0 to 1, 1 excluded, from the bits of [`hash`].
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
pub(crate) fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

/// A probability, made ready to be compared with bits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Chance(f64);

impl Chance {
    /// From a probability, 0 to 1.
    pub(crate) const fn new(probability: f64) -> Self {
        Self(probability)
    }

    /// Whether it happens, for these bits of [`hash`].
    pub(crate) fn hits(self, bits: u64) -> bool {
        self.0 > 0.0 && unit(bits) < self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chances_come_true_as_often_as_they_say() {
        let hits = (0..100_000).filter(|&n| Chance::new(0.01).hits(hash(7, 3, n))).count();
        assert!((800..1200).contains(&hits), "{hits}");
        assert!((0..1000).all(|n| Chance::new(1.0).hits(hash(7, 3, n))));
        assert!((0..1000).all(|n| !Chance::new(0.0).hits(hash(7, 3, n))));
    }
}
