//! What a publish costs the generator: `cost sink ADDRESS`, and beside it `cost load ADDRESS
//! [SECONDS [CONNECTIONS [RATE]]]`.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bellwire_fleet::sink::{Memory, Sink, SinkConfig};
use bellwire_fleet::{Bound, FleetConfig, Surroundings};
use bellwire_model::{Clock, Timestamp};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

#[derive(Debug)]
struct WallClock;

impl Clock for WallClock {
    #[expect(clippy::disallowed_methods, reason = "this is the program's one clock")]
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let micros = since.map_or(0, |since| since.as_micros());
        Timestamp::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument = |at: usize| arguments.get(at).map(String::as_str);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match (argument(0), argument(1)) {
        (Some("sink"), Some(address)) => runtime.block_on(sink(address)),
        (Some("load"), Some(address)) => {
            let seconds = argument(2).unwrap_or("5").parse()?;
            let connections = argument(3).unwrap_or("100").parse()?;
            let rate = argument(4).map(str::parse).transpose()?;
            runtime.block_on(load(address, seconds, connections, rate))
        }
        _ => Err("say `cost sink ADDRESS` or `cost load ADDRESS`".into()),
    }
}

async fn sink(address: &str) -> Result<(), Box<dyn Error>> {
    let config =
        SinkConfig { listen: address.parse()?, memory: Memory::Counts, ..SinkConfig::default() };
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let sink = Sink::start(config, &tasks, stop.clone()).await?;
    println!("acknowledging at {}", sink.address());
    tokio::signal::ctrl_c().await?;
    stop.cancel();
    tasks.close();
    tasks.wait().await;
    Ok(())
}

async fn load(
    address: &str,
    seconds: u64,
    connections: u32,
    rate: Option<f64>,
) -> Result<(), Box<dyn Error>> {
    let config = FleetConfig {
        address: address.to_owned(),
        devices: connections,
        connections,
        rate,
        bound: Bound::Duration(Duration::from_secs(seconds)),
        ..FleetConfig::default()
    };
    let surroundings = Surroundings::new(Arc::new(WallClock), CancellationToken::new());
    let before = bellwire_fleet::bench::cpu_time(std::process::id())?;
    let report = bellwire_fleet::run(config, surroundings).await?;
    let cpu = bellwire_fleet::bench::cpu_time(std::process::id())? - before;
    let published = report.progress.published as f64;
    let quantile = |per_mille| report.ack_latency.quantile(per_mille).unwrap_or_default();
    println!(
        "{:.0} publishes/s, {:.3} CPU-µs each, ack p50 {:?} p99 {:?}, {:?}",
        published / report.progress.elapsed.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / published,
        quantile(500),
        quantile(990),
        report.progress,
    );
    Ok(())
}
