//! `bellwire bench connections`: what an idle connection costs in memory, and how fast clients come
//! in, beside mosquitto and rumqttd in the same run.

use std::time::Duration;

use anyhow::bail;
use bellwire_fleet::bench::cpu_time;
use clap::Args;
use tokio::time::{Instant, sleep};

use super::super::{EXIT_OK, Failure};
use super::{Subject, on_mosquitto};
use crate::measure::child::{Door, Service, any_connect_rate};
use crate::measure::crowd::{Crowd, Guests, Wish};
use crate::measure::process::{memory_bytes, open_files};
use crate::measure::rumqttd::Rumqttd;
use crate::runtime;

/// Clients that come and go before anything is measured: what a broker makes once is made then.
const WARM_UP: usize = 100;
/// How long a broker has to come to rest before its memory is looked at.
const REST: Duration = Duration::from_secs(1);
/// How long it may take to notice that everyone has left.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Args)]
pub(super) struct ConnectionsArgs {
    /// Connections, each subscribed to its own command topic
    #[arg(long, default_value_t = 10_000)]
    n: usize,
    /// How many connect at a time
    #[arg(long, default_value_t = 256)]
    at_once: usize,
    /// Leave out rumqttd, which needs half a gigabyte for this
    #[arg(long)]
    without_rumqttd: bool,
}

pub(super) fn run(args: &ConnectionsArgs) -> Result<u8, Failure> {
    runtime::single_thread()?.block_on(async {
        println!("{} idle connections, each subscribed to its own command topic", args.n);
        let most = ("BELLWIRE_MQTT_CONNECTIONS_MAX", (args.n + WARM_UP).to_string());
        let ours = Service::start_with("", Door::Open, &[most, any_connect_rate()]).await?;
        let subject = Subject { name: "bellwire", address: ours.mqtt.parse()?, pid: ours.pid()? };
        let measured = measure(args, subject).await;
        ours.stop_after(measured).await?;
        on_mosquitto(async |subject| measure(args, subject).await).await?;
        if !args.without_rumqttd {
            let rumqttd = Rumqttd::start().await?;
            let (address, pid) = (rumqttd.address, rumqttd.pid()?);
            let measured = measure(args, Subject { name: "rumqttd", address, pid }).await;
            if let Err(error) = measured {
                println!("  rumqttd    cannot be measured: {error:#}");
            }
        }
        Ok(EXIT_OK)
    })
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
async fn measure(args: &ConnectionsArgs, subject: Subject) -> anyhow::Result<()> {
    let all = Guests {
        address: subject.address,
        prefix: "idle",
        n: args.n,
        at_once: args.at_once,
        wish: Wish::Commands,
        passwords: None,
    };
    let files = open_files(subject.pid)?;
    drop(Crowd::join(&Guests { n: WARM_UP, prefix: "warm", ..all }).await?);
    all_left(subject, files).await?;
    let before = memory_bytes(subject.pid)?;
    let (crowd, _) = Crowd::join(&all).await?;
    sleep(REST).await;
    let grown = memory_bytes(subject.pid)?.saturating_sub(before);
    let gone = crowd.gone();
    drop(crowd);
    all_left(subject, files).await?;
    let before = cpu_time(subject.pid)?;
    let (crowd, elapsed) =
        Crowd::join(&Guests { prefix: "guest", wish: Wish::Stay, ..all }).await?;
    let cpu = cpu_time(subject.pid)? - before;
    drop(crowd);
    let n = args.n as f64;
    println!(
        "  {:10} {:6.2} KB each; {:6.0} connects/s at {:.0} CPU-µs each",
        subject.name,
        grown as f64 / n / 1024.0,
        n / elapsed.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / n
    );
    if gone > 0 {
        println!("  {:10} hung up on {gone} of them", subject.name);
    }
    Ok(())
}

/// Waits until the broker has closed what its clients have, and some more.
async fn all_left(subject: Subject, files: usize) -> anyhow::Result<()> {
    let until = Instant::now() + PATIENCE;
    while open_files(subject.pid)? > files + WARM_UP / 2 {
        if Instant::now() > until {
            bail!("{} does not close connections whose clients have gone", subject.name);
        }
        sleep(Duration::from_millis(20)).await;
    }
    sleep(REST).await;
    Ok(())
}
