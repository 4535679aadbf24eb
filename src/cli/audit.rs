//! `bellwire audit`: what became of every publish, of one device or of all.

use anyhow::bail;
use clap::Args;
use serde_json::Value;

use super::service::{Service, encoded};
use super::{Common, EXIT_OK, Failure};

#[derive(Debug, Args)]
pub(super) struct AuditArgs {
    #[command(flatten)]
    common: Common,
    /// Only this device, with the gaps in its counter
    #[arg(value_name = "DEVICE")]
    device: Option<String>,
    /// Print JSON: of one device an object, of all a line for each
    #[arg(long)]
    json: bool,
}

/// Where a publish can end.
const ENDS: [&str; 4] = ["stored", "duplicate", "quarantined", "refused"];

pub(super) fn run(args: &AuditArgs) -> Result<u8, Failure> {
    let service = Service::find(&args.common)?;
    match &args.device {
        Some(device) => {
            let path = format!("/devices/{}/audit", encoded(device));
            let audit = service.get(&path)?;
            if args.json {
                println!("{audit:#}");
            } else {
                print_one(&audit);
            }
            check(&[audit])?;
        }
        None => {
            let audits = all(&service)?;
            if args.json {
                audits.iter().for_each(|audit| println!("{audit}"));
            } else {
                print_all(&audits);
            }
            check(&audits)?;
        }
    }
    Ok(EXIT_OK)
}

/// Every device's account, page by page.
fn all(service: &Service) -> anyhow::Result<Vec<Value>> {
    let (mut audits, mut cursor) = (Vec::new(), String::new());
    loop {
        let mut page = service.get(&format!("/audit?limit=10000{cursor}"))?;
        if let Value::Array(rows) = page["audit"].take() {
            audits.extend(rows);
        }
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={}", encoded(next)),
            None => return Ok(audits),
        }
    }
}

fn count(audit: &Value, key: &str) -> u64 {
    audit[key].as_u64().unwrap_or_default()
}

fn n_gaps(audit: &Value) -> usize {
    audit["seq"]["gaps"].as_array().map_or(0, Vec::len)
}

/// # Errors
/// If a publish was received and ended nowhere, or more often than it was received.
fn check(audits: &[Value]) -> anyhow::Result<()> {
    let balances = |audit: &&Value| {
        count(audit, "received") == ENDS.iter().map(|end| count(audit, end)).sum::<u64>()
    };
    let wrong: Vec<_> = audits.iter().filter(|audit| !balances(audit)).collect();
    let Some(first) = wrong.first() else { return Ok(()) };
    bail!(
        "the accounts of {} devices do not balance, of {} among them",
        wrong.len(),
        first["device"]
    );
}

fn print_one(audit: &Value) {
    println!("{}", audit["device"].as_str().unwrap_or_default());
    for key in ["received", ENDS[0], ENDS[1], ENDS[2], ENDS[3], "readings"] {
        println!("  {key:<12} {:>12}", count(audit, key));
    }
    let seq = &audit["seq"];
    if let Some(last) = seq["last"].as_u64() {
        println!("  {:<12} {last:>12}", "last seq");
        println!("  {:<12} {:>12}", "seq resets", count(seq, "resets"));
        for gap in seq["gaps"].as_array().into_iter().flatten() {
            println!("  missing seq  {} to {}", gap[0], gap[1]);
        }
    }
}

fn print_all(audits: &[Value]) {
    println!(
        "{:<32} {:>12} = {:>12} + {:>9} + {:>11} + {:>7}   {:>12} {:>5}",
        "device", "received", ENDS[0], ENDS[1], ENDS[2], ENDS[3], "readings", "gaps"
    );
    let line = |name: &str, of: &dyn Fn(&str) -> u64, gaps: usize| {
        println!(
            "{name:<32} {:>12} = {:>12} + {:>9} + {:>11} + {:>7}   {:>12} {gaps:>5}",
            of("received"),
            of(ENDS[0]),
            of(ENDS[1]),
            of(ENDS[2]),
            of(ENDS[3]),
            of("readings"),
        );
    };
    for audit in audits {
        let name = audit["device"].as_str().unwrap_or_default();
        line(name, &|key| count(audit, key), n_gaps(audit));
    }
    let total = format!("{} devices", audits.len());
    let sum = |key: &str| audits.iter().map(|audit| count(audit, key)).sum();
    line(&total, &sum, audits.iter().map(n_gaps).sum());
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_account_that_does_not_balance_is_told() {
        let right = json!({"device": "a", "received": 4, "stored": 1, "duplicate": 1, "quarantined": 1, "refused": 1});
        let wrong = json!({"device": "b", "received": 2, "stored": 1});
        assert!(check(std::slice::from_ref(&right)).is_ok());
        let told = check(&[right, wrong]).unwrap_err().to_string();
        assert_eq!(told, "the accounts of 1 devices do not balance, of \"b\" among them");
    }
}
