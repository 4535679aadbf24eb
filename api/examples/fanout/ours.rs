//! Our live feed as a server that is measured.

use std::io::BufRead as _;
use std::sync::Arc;
use std::time::Duration;

use bellwire_api::{Api, Config, Fleet, Hub, Metrics, Ports};
use bellwire_model::{Clock, LogId, LogPosition, StageTimes, Timestamp};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Outcome;
use crate::event;

/// More than any run has.
const CLIENTS_MAX: usize = 20_000;

/// A feed, and what runs it.
pub(crate) struct Feed {
    pub(crate) hub: Arc<Hub>,
    pub(crate) port: u16,
    pub(crate) shutdown: CancellationToken,
    pub(crate) tracker: TaskTracker,
}

impl Feed {
    pub(crate) async fn start() -> Outcome<Self> {
        let registry = prometheus::Registry::new();
        let mut config = Config { listen: ([127, 0, 0, 1], 0).into(), ..Config::default() };
        config.connections_max = CLIENTS_MAX.try_into()?;
        config.live.clients_max = CLIENTS_MAX.try_into()?;
        // All come from one address, at once.
        config.rate.requests_per_second = 0;
        config.connections_per_source_max = 0;
        let clock: Arc<dyn Clock> = Arc::new(Still);
        let metrics = Metrics::register(&registry)?;
        let fleet = Fleet::nothing();
        let hub = Hub::new(LogId(1), config.live.clone(), fleet, Arc::clone(&clock), metrics);
        hub.set_snapshot(LogPosition(1), []);
        let (tracker, shutdown) = (TaskTracker::new(), CancellationToken::new());
        let ports = Ports::nothing();
        let api =
            Api::bind(config, ports, Arc::clone(&hub), registry, clock, tracker.clone()).await?;
        let port = api.local_addr().port();
        tracker.spawn(api.run(shutdown.clone()));
        Ok(Self { hub, port, shutdown, tracker })
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

/// Serves as the peers do: see `peers/common.mjs`.
pub(crate) fn serve() -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let feed = runtime.block_on(Feed::start())?;
    println!("{}", feed.port);
    let mut lines = std::io::stdin().lock().lines();
    // The event's shape is known here.
    lines.next().ok_or("an event")??;
    let order = lines.next().ok_or("an order")??;
    let (rate, n) = order.split_once(' ').ok_or("RATE N")?;
    let (rate, n): (u64, u64) = (rate.parse()?, n.parse()?);
    let hub = Arc::clone(&feed.hub);
    runtime.block_on(async move {
        let (start, start_us) = (Instant::now(), event::now_us());
        for position in 0..n {
            let due = start + Duration::from_micros(position * 1_000_000 / rate);
            tokio::time::sleep_until(due).await;
            let due_us = event::due_us(start_us, position, rate);
            hub.transition(&event::transition(position + 2, due_us), StageTimes::default());
        }
    });
    println!("done");
    lines.next();
    runtime.block_on(feed.stop());
    Ok(())
}

/// For it the time stands still.
#[derive(Debug)]
struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::EPOCH
    }
}
