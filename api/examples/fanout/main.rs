//! What one event costs the server for each client that hears it, and how long it takes: our live feed
//! beside `ws`, socket.io and raw frames that were made before, in one run.
//!
//! `cargo run --release -p bellwire-api --example fanout -- 1000 100 10` has 1,000 WebSocket clients
//! (in a process of their own) hear 100 events a second for 10 seconds, from one server after the
//! other, each in a process of its own. A fourth argument is how many rounds; a fifth names the
//! servers, as `ours,raw`. `ours-deflate` is ours with compression. npm's packages for the peers are
//! installed by `npm ci` in `api/examples/fanout/peers` if they are not there.

mod clients;
mod event;
mod judge;
mod ours;
mod process;
mod raw;

use std::error::Error;

use process::{Measured, Subject};

/// What goes wrong ends the program.
type Outcome<T = ()> = Result<T, Box<dyn Error>>;

fn main() -> Outcome {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |n: usize, default: u64| -> Result<u64, std::num::ParseIntError> {
        args.get(n).map_or(Ok(default), |text| text.parse())
    };
    match args.first().map(String::as_str) {
        Some("serve-ours") => return ours::serve(),
        Some("serve-raw") => return raw::serve(),
        Some("listen") => return clients::run(&args[1], number(2, 1)?, number(3, 1)?),
        Some("judge") => return judge::run(),
        _ => {}
    }
    let (n_clients, rate, secs) = (number(0, 1_000)?, number(1, 100)?, number(2, 10)?);
    let names = args.get(4).map_or("raw,ours,ws,socket.io", String::as_str);
    let subjects: Vec<Subject> = names.split(',').map(Subject::named).collect::<Outcome<_>>()?;
    let mut all: Vec<(Subject, Vec<Measured>)> =
        subjects.iter().map(|it| (*it, Vec::new())).collect();
    for round in 1..=number(3, 1)? {
        println!("round {round}: {n_clients} clients, {rate} events/s, {secs} s");
        for (subject, measured) in &mut all {
            let one = process::measure(*subject, n_clients, rate, secs)?;
            println!("  {:13} {one}", subject.name());
            measured.push(one);
        }
    }
    let raw = all.iter().find(|(subject, _)| *subject == Subject::Raw).map(|(_, it)| median(it));
    if let Some(raw) = raw {
        println!("medians beside raw");
        for (subject, measured) in &all {
            let it = median(measured);
            println!(
                "  {:13} CPU {:.2}×, p50 {:.2}×, p99 {:.2}×",
                subject.name(),
                it.cpu_us / raw.cpu_us,
                it.p50_ms / raw.p50_ms,
                it.p99_ms / raw.p99_ms
            );
        }
    }
    Ok(())
}

/// The median of each figure.
fn median(all: &[Measured]) -> Measured {
    let of = |figure: fn(&Measured) -> f64| {
        let mut figures: Vec<f64> = all.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        figures[figures.len() / 2]
    };
    Measured {
        cpu_us: of(|it| it.cpu_us),
        p50_ms: of(|it| it.p50_ms),
        p99_ms: of(|it| it.p99_ms),
        client_kb: of(|it| it.client_kb),
    }
}
