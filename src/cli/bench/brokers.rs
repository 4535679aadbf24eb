//! `bellwire bench brokers`: QoS 1 publishes and no subscriber, on this service, on mosquitto and on
//! rumqttd in the same run. Only the first keeps them: on disk before it acknowledges, and in the
//! database.

use std::collections::BTreeMap;
use std::time::Duration;

use bellwire_fleet::FleetConfig;
use bellwire_fleet::bench::cpu_time;
use clap::Args;

use super::super::{EXIT_FAILURE, EXIT_OK, Failure};
use super::{Load, Subject, around, check, on_mosquitto};
use crate::measure::child::Service;
use crate::measure::process::thread_times;
use crate::measure::rumqttd::Rumqttd;
use crate::runtime;

/// The threads that a publish passes until it is acknowledged: those of sockets, and the log's.
const UNTIL_ACKNOWLEDGED: [&str; 3] = ["worker", "log-appender", "log-spares"];

#[derive(Debug, Args)]
pub(super) struct BrokersArgs {
    #[command(flatten)]
    load: Load,
    /// Publishes per second; absent: as many as are acknowledged
    #[arg(long)]
    rate: Option<f64>,
}

pub(super) fn run(args: &BrokersArgs) -> Result<u8, Failure> {
    runtime::single_thread()?.block_on(async {
        println!(
            "QoS 1 publishes, no subscriber; {} connections × {} on their way",
            args.load.connections, args.load.in_flight
        );
        let ours = Service::start("").await?;
        let subject = Subject { name: "bellwire", address: ours.mqtt.parse()?, pid: ours.pid()? };
        let measured = async { check(&ours, &measure(args, subject).await?).await }.await;
        let exact = ours.stop_after(measured).await?;
        on_mosquitto(async |subject| measure(args, subject).await.map(drop)).await?;
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
    let config = FleetConfig { rate: args.rate, ..args.load.at(&subject.address.to_string()) };
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
