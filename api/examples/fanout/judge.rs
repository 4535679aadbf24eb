//! What the feed costs *judge*: to hand a transition over, and to ask whether a device is watched.

use std::hint::black_box;
use tokio::time::Instant;

use bellwire_model::{DeviceKey, StageTimes};

use crate::Outcome;
use crate::event;
use crate::ours::Feed;

/// Says what both take.
pub(crate) fn run() -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let feed = runtime.block_on(Feed::start())?;
    let transitions: Vec<_> = (0..10_000).map(|n| event::transition(n + 2, n)).collect();
    let start = Instant::now();
    for transition in &transitions {
        feed.hub.transition(transition, StageTimes::default());
    }
    println!("a transition: {:.2} µs", start.elapsed().as_secs_f64() * 1e6 / 1e4);
    let start = Instant::now();
    let n_wanted = (0..10_000_000).filter(|n| feed.hub.wants(DeviceKey(n % 1_000))).count();
    let took = start.elapsed().as_secs_f64() * 1e9 / 1e7;
    println!("whether a device is watched: {took:.2} ns");
    black_box(n_wanted);
    runtime.block_on(feed.stop());
    Ok(())
}
