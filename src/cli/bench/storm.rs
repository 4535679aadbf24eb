//! `bellwire bench storm`: thousands of clients reconnect all at once, again and again, while
//! others publish and others just wait; nobody innocent may be dropped.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bellwire_broker::access::DevicePattern;
use bellwire_fleet::{Bound, FleetConfig, FleetReport, Login};
use bellwire_store::{AccountKind, Secret};
use clap::Args;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::super::{EXIT_FAILURE, EXIT_OK, Failure};
use super::{around, check, on_thread, print_cpu, print_line};
use crate::care::access::Credentials;
use crate::config::Config;
use crate::measure::Quantiles;
use crate::measure::child::{Door, Service, any_connect_rate};
use crate::measure::crowd::{Crowd, Guests, Wish};
use crate::runtime;

/// Clients that connect once and are to stay.
const BYSTANDERS: usize = 1_000;

#[derive(Debug, Args)]
pub(super) struct StormArgs {
    /// Clients that reconnect
    #[arg(long, default_value_t = 10_000)]
    n: usize,
    /// How many of them at a time
    #[arg(long, default_value_t = 1_000)]
    at_once: usize,
    /// Publishes per second of the others
    #[arg(long, default_value_t = 5_000.0)]
    rate: f64,
    /// Connections that publish
    #[arg(long, default_value_t = 100)]
    connections: u32,
    /// Seconds of calm, and of storm
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Everyone comes with a token of its own
    #[arg(long)]
    credentials: bool,
}

/// What everyone comes with.
#[derive(Debug, Default)]
struct Passwords {
    bystanders: Option<Vec<String>>,
    storm: Option<Vec<String>>,
    /// One gateway for all that publish.
    publishers: Option<Arc<Login>>,
}

const BYSTANDER: &str = "bystander";
const STORM: &str = "storm";
const GATEWAY: &str = "gateway";
/// How long the service may take to hear of new credentials.
const HEARS_WITHIN: Duration = Duration::from_secs(30);

/// What a storm came to.
#[derive(Clone, Copy, Debug, Default)]
struct Stormed {
    /// How often everyone has come back.
    times: usize,
    /// How long that took, all times together.
    elapsed: Duration,
    /// The longest.
    longest: Duration,
}

pub(super) fn run(args: &StormArgs) -> Result<u8, Failure> {
    runtime::single_thread()?.block_on(async {
        let most = args.n + BYSTANDERS + args.connections as usize;
        // Twice as many: a client may be back before the broker knows that it went.
        let most = ("BELLWIRE_MQTT_CONNECTIONS_MAX", (2 * most).to_string());
        let door = if args.credentials { Door::Credentials } else { Door::Open };
        let service = Service::start_with("", door, &[most, any_connect_rate()]).await?;
        let measured = async {
            let passwords = match door {
                Door::Open => Passwords::default(),
                Door::Credentials => register(args, &service).await?,
            };
            measure(args, &service, passwords).await
        };
        let measured = measured.await;
        let good = service.stop_after(measured).await?;
        Ok(if good { EXIT_OK } else { EXIT_FAILURE })
    })
}

/// Gives everyone a token, and waits until the service knows of the last.
async fn register(args: &StormArgs, service: &Service) -> anyhow::Result<Passwords> {
    let mut config = Config::default();
    config.database.url = Some(Secret::new(&service.database));
    let credentials = Credentials::open(&config, &service.data_dir()).await?;
    let begun = Instant::now();
    let token = credentials.add(AccountKind::Device, GATEWAY, &[DevicePattern::new("*")?]).await?;
    let login = Login { user: GATEWAY.to_owned(), password: token.as_str().to_owned() };
    let bystanders = add_all(&credentials, BYSTANDER, BYSTANDERS).await?;
    let storm = add_all(&credentials, STORM, args.n).await?;
    credentials.close().await;
    let (n, took) = (args.n + BYSTANDERS + 1, begun.elapsed().as_secs_f64());
    println!("{n} tokens were given out in {took:.1} s");
    let passwords = Some(&*storm);
    let address = service.mqtt.parse()?;
    let last = Guests { address, prefix: STORM, n: 1, at_once: 1, wish: Wish::Stay, passwords };
    let until = Instant::now() + HEARS_WITHIN;
    while let Err(error) = Crowd::join(&last).await {
        if Instant::now() > until {
            return Err(error.context("the service does not hear of new credentials"));
        }
        sleep(Duration::from_millis(500)).await;
    }
    let publishers = Some(Arc::new(login));
    Ok(Passwords { bystanders: Some(bystanders), storm: Some(storm), publishers })
}

/// A token for each of `n`, the first one last.
async fn add_all(credentials: &Credentials, prefix: &str, n: usize) -> anyhow::Result<Vec<String>> {
    let mut tokens = VecDeque::with_capacity(n);
    for number in (0..n).rev() {
        let id = Guests::id(prefix, number);
        let token = credentials.add(AccountKind::Device, &id, &[]).await?;
        tokens.push_front(token.as_str().to_owned());
    }
    Ok(tokens.into())
}

fn steady(
    args: &StormArgs,
    service: &Service,
    login: &Option<Arc<Login>>,
    prefix: &str,
) -> FleetConfig {
    FleetConfig {
        address: service.mqtt.clone(),
        login: login.clone(),
        devices: args.connections,
        connections: args.connections,
        prefix: prefix.to_owned(),
        rate: Some(args.rate),
        bound: Bound::Duration(Duration::from_secs(args.seconds)),
        ..FleetConfig::default()
    }
}

async fn measure(
    args: &StormArgs,
    service: &Service,
    passwords: Passwords,
) -> anyhow::Result<bool> {
    let bystanders = Guests {
        address: service.mqtt.parse()?,
        prefix: BYSTANDER,
        n: BYSTANDERS,
        at_once: args.at_once,
        wish: Wish::Commands,
        passwords: passwords.bystanders.as_deref(),
    };
    let (bystanders, _) = Crowd::join(&bystanders).await?;
    let login = passwords.publishers;
    println!("calm: {} publishes/s, {BYSTANDERS} idle connections", args.rate);
    let calm = bellwire_fleet::run(steady(args, service, &login, "calm"), around()).await?;
    let mut good = report(service, &calm).await?;

    let stop = CancellationToken::new();
    let storm = {
        let (address, stop) = (service.mqtt.parse()?, stop.clone());
        let (n, at_once, storm_of) = (args.n, args.at_once, passwords.storm);
        on_thread("storm", async move || {
            let (wish, passwords) = (Wish::Commands, storm_of.as_deref());
            storm(Guests { address, prefix: STORM, n, at_once, wish, passwords }, stop).await
        })?
    };
    let before = service.cpu()?;
    let stormy = bellwire_fleet::run(steady(args, service, &login, "stormy"), around()).await?;
    stop.cancel();
    let stormed = storm.await.context("the storm")?;
    print_storm(args, stormed);
    print_cpu(&before, &service.cpu()?, stormy.progress.acknowledged);
    good &= report(service, &stormy).await?;
    let gone = bystanders.gone();
    println!("  bystanders dropped          {gone} of {BYSTANDERS}");
    Ok(good && gone == 0)
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn print_storm(args: &StormArgs, stormed: Stormed) {
    let Stormed { times, elapsed, longest } = stormed;
    println!(
        "storm: {} clients reconnect and subscribe, {} at a time, {times} times",
        args.n, args.at_once
    );
    println!(
        "  reconnects                  {:.0}/s; all of them within {:.1} s",
        (times * args.n) as f64 / elapsed.as_secs_f64(),
        longest.as_secs_f64()
    );
}

/// Lets everyone come, vanish without a word, and come again, until `stop`.
async fn storm(guests: Guests<'_>, stop: CancellationToken) -> anyhow::Result<Stormed> {
    let mut stormed = Stormed::default();
    let (mut crowd, _) = Crowd::join(&guests).await?;
    while !stop.is_cancelled() {
        let begun = Instant::now();
        drop(crowd);
        crowd = Crowd::join(&guests).await?.0;
        let took = begun.elapsed();
        stormed.times += 1;
        stormed.elapsed += took;
        stormed.longest = stormed.longest.max(took);
    }
    Ok(stormed)
}

/// Prints what the publishers met; gives whether none was dropped and nothing is missing.
async fn report(service: &Service, fleet: &FleetReport) -> anyhow::Result<bool> {
    print_line("acknowledged after", Quantiles::of(&fleet.ack_latency));
    println!("  publishers dropped          {}", fleet.progress.reconnects);
    Ok(check(service, fleet).await? && fleet.progress.reconnects == 0 && fleet.unsettled == 0)
}
