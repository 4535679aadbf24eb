//! Chance that a seed decides: the same seed, the same throws, on every machine.

/// A pseudo-random generator: SplitMix64, which passes BigCrush and fits three lines.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Dice that fall as `seed` says.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn throw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    }

    /// A number below `n`, which is above 0.
    pub fn below(&mut self, n: usize) -> usize {
        // The remainder, below `n`, fits; the bias for such small `n` is far below notice.
        usize::try_from(self.throw() % n as u64).unwrap_or(0)
    }

    /// Whether it happens, `n` times in a hundred.
    pub fn percent(&mut self, n: usize) -> bool {
        self.below(100) < n
    }

    /// A byte.
    pub fn byte(&mut self) -> u8 {
        self.throw().to_be_bytes()[0]
    }

    /// One of `choices`, of which there is at least one.
    pub fn of<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        choices[self.below(choices.len())]
    }
}
