//! Numbers that look random and are the same for the same seed (Vigna's splitmix64).

pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number from 0 up to, but not including, `end`.
    pub(crate) fn below(&mut self, end: i64) -> i64 {
        let end = u64::try_from(end).expect("a positive bound");
        i64::try_from(self.next() % end).expect("below a positive i64")
    }

    pub(crate) fn one_in(&mut self, n: i64) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        let n = i64::try_from(choices.len()).expect("few choices");
        choices[usize::try_from(self.below(n)).expect("not negative")]
    }
}

/// Runs `history` for as many seeds as `BELLWIRE_SIM_SEEDS` says, else for `default`.
pub(crate) fn for_seeds(default: u64, history: impl Fn(u64)) {
    let n_seeds = std::env::var("BELLWIRE_SIM_SEEDS")
        .ok()
        .map_or(default, |n| n.parse().expect("BELLWIRE_SIM_SEEDS is a number"));
    for seed in 0..n_seeds {
        history(seed);
    }
}
