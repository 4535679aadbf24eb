//! `bellwire bench brokers`: QoS 1 publishes and no subscriber, on this service, on mosquitto and on
//! rumqttd in the same run. Only the first keeps them: on disk before it acknowledges, and in the
//! database.

use std::collections::BTreeMap;
use std::time::Duration;

use bellwire_fleet::bench::cpu_time;
use bellwire_fleet::{Bound, FleetConfig};
use clap::Args;

use super::super::{EXIT_FAILURE, EXIT_OK, Failure};
use super::{Subject, around, check};
use crate::measure::child::Service;
use crate::measure::mosquitto::Mosquitto;
use crate::measure::process::thread_times;
use crate::measure::rumqttd::Rumqttd;
use crate::runtime;

/// The threads that a publish passes until it is acknowledged: those of sockets, and the log's.
const UNTIL_ACKNOWLEDGED: [&str; 3] = ["worker", "log-appender", "log-spares"];

#[derive(Debug, Args)]
pub(super) struct BrokersArgs {
    /// Seconds on each broker
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Connections
    #[arg(long, default_value_t = 100)]
    connections: u32,
    /// Publishes on their way per connection
    #[arg(long, default_value_t = 32)]
    in_flight: u16,
    /// Publishes per second; absent: as many as are acknowledged
    #[arg(long)]
    rate: Option<f64>,
}

pub(super) fn run(args: &BrokersArgs) -> Result<u8, Failure> {
    runtime::single_thread()?.block_on(async {
        println!(
            "QoS 1 publishes, no subscriber; {} connections × {} on their way",
            args.connections, args.in_flight
        );
        let ours = Service::start("").await?;
        let subject = Subject { name: "bellwire", address: ours.mqtt.parse()?, pid: ours.pid()? };
        let report = measure(args, subject).await?;
        let exact = check(&ours, &report).await?;
        ours.stop().await?;
        match Mosquitto::start().await? {
            None => println!("mosquitto is not installed: nothing to compare with"),
            Some(it) => {
                let (address, pid) = (it.address.parse()?, it.pid()?);
                measure(args, Subject { name: "mosquitto", address, pid }).await?;
            }
        }
        let rumqttd = Rumqttd::start().await?;
        let (address, pid) = (rumqttd.address, rumqttd.pid()?);
        measure(args, Subject { name: "rumqttd", address, pid }).await?;
        Ok(if exact { EXIT_OK } else { EXIT_FAILURE })
    })
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
async fn measure(
    args: &BrokersArgs,
    subject: Subject,
) -> anyhow::Result<bellwire_fleet::FleetReport> {
    let config = FleetConfig {
        address: subject.address.to_string(),
        devices: args.connections,
        connections: args.connections,
        prefix: "load".to_owned(),
        rate: args.rate,
        in_flight: args.in_flight,
        bound: Bound::Duration(Duration::from_secs(args.seconds)),
        ..FleetConfig::default()
    };
    let before = (cpu_time(subject.pid)?, thread_times(subject.pid)?);
    let report = bellwire_fleet::run(config, around()).await?;
    let cpu = cpu_time(subject.pid)? - before.0;
    let threads = thread_times(subject.pid)?;
    let n = report.progress.acknowledged as f64;
    let per_million = |cpu: Duration| cpu.as_secs_f64() / (n / 1e6);
    println!(
        "  {:10} {:7.0}/s, {:5.2} CPU-s per million publishes",
        subject.name,
        n / report.progress.elapsed.as_secs_f64(),
        per_million(cpu)
    );
    if subject.name == "bellwire" {
        print_threads(&before.1, &threads, per_million);
    }
    Ok(report)
}

/// What of the cost was until the acknowledgement, and what each thread took.
fn print_threads(
    before: &BTreeMap<String, Duration>,
    after: &BTreeMap<String, Duration>,
    per_million: impl Fn(Duration) -> f64,
) {
    let spent: BTreeMap<&str, Duration> = after
        .iter()
        .map(|(name, &cpu)| (name.as_str(), cpu - before.get(name).copied().unwrap_or_default()))
        .collect();
    let until: Duration = UNTIL_ACKNOWLEDGED.iter().filter_map(|name| spent.get(name)).sum();
    println!("  {:10} {:5.2} of it until durable and acknowledged;", "", per_million(until));
    let parts = spent.iter().map(|(name, &cpu)| (name, per_million(cpu)));
    let parts = parts.filter(|(_, cpu)| *cpu >= 0.005);
    let parts: Vec<String> = parts.map(|(name, cpu)| format!("{name} {cpu:.2}")).collect();
    println!("  {:10} by threads: {}", "", parts.join(", "));
}
