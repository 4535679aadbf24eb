//! *Judge* and *keep* over the real log, under histories made from seeds, against a naive model.

mod bounds;
mod database;
mod dice;
mod disk;
mod gate;
mod history;
mod life;
mod model;
mod payload;
mod replays;
mod rules;
mod seen;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use history::History;
use seen::Seen;

/// How many histories a run of the suite plays; `BELLWIRE_SIM_SEEDS=5000` plays more, and
/// `BELLWIRE_SIM_FIRST=1234` begins with another seed (with `BELLWIRE_SIM_SEEDS=1`: only that).
const SEEDS: u64 = 300;

fn from_env(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a whole number"))
}

/// Plays the history of one seed; says the seed if it fails.
fn play(seed: u64) -> Seen {
    match catch_unwind(AssertUnwindSafe(|| History::new(seed).play())) {
        Ok(seen) => seen,
        Err(panic) => {
            eprintln!("seed {seed} failed: BELLWIRE_SIM_FIRST={seed} BELLWIRE_SIM_SEEDS=1");
            resume_unwind(panic)
        }
    }
}

#[test]
fn whatever_happens_the_database_has_what_the_log_says() {
    let first = from_env("BELLWIRE_SIM_FIRST", 0);
    let n_seeds = from_env("BELLWIRE_SIM_SEEDS", SEEDS);
    let (next, total) = (AtomicU64::new(first), Mutex::new(Seen::default()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + n_seeds {
                        return;
                    }
                    let seen = play(seed);
                    total.lock().expect("no panic").add(&seen);
                }
            });
        }
    });
    let total = total.into_inner().expect("no panic");
    println!("{n_seeds} histories: {total:?}");
    if n_seeds >= SEEDS {
        total.assert_all_happened();
    }
}
