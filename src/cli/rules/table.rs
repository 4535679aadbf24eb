//! A backtest as a person reads it: what each rule came to, then each time that one fired.

use std::io::{self, Write};

use bellwire_alerts::backtest::{Difference, Ending, Episode, Report, RuleAccount, compare};

use crate::backtest::trial::{Outcome, Rules};
use crate::backtest::words::{count, percent, plain, show as duration, thousands};

/// The most episodes that are shown; `--json` gives all.
const EPISODES_SHOWN: usize = 50;
/// The most characters of a reason.
const REASON_CHARS: usize = 60;

/// Shows it all.
pub(super) fn show(out: &mut impl Write, outcome: &Outcome, rules: &Rules) -> io::Result<()> {
    let Some((from, to)) = outcome.span else {
        return writeln!(out, "No readings, so nothing to say.");
    };
    let readings = count(outcome.n_readings, "reading");
    writeln!(out, "{readings} from {} to {} (UTC).\n", plain(from), plain(to))?;
    accounts(out, &outcome.tried.rules)?;
    let within = duration(rules.flap_within);
    writeln!(out, "\nFlapping: lasted less than {within}, or fired again within {within}.\n")?;
    episodes(out, &outcome.tried)?;
    match &outcome.running {
        None => Ok(()),
        Some(running) => {
            let found = compare(&outcome.tried.episodes, &running.episodes);
            difference(out, &found)?;
            if outcome.tried.n_left_out + running.n_left_out > 0 {
                writeln!(out, "There were too many alerts to compare all of them.")?;
            }
            Ok(())
        }
    }
}

fn accounts(out: &mut impl Write, rules: &[RuleAccount]) -> io::Result<()> {
    let head = [
        "rule", "fired", "devices", "first", "last", "in all", "longest", "share", "flapping",
        "open",
    ];
    let mut rows = vec![head.map(str::to_owned)];
    for RuleAccount { rule, tally, share, devices } in rules {
        let time = |at: Option<_>| at.map_or_else(|| "-".to_owned(), plain);
        let n_devices = devices.iter().filter(|of| of.tally.fired > 0).count() as u64;
        rows.push([
            rule.to_string(),
            thousands(tally.fired),
            thousands(n_devices),
            time(tally.first_at),
            time(tally.last_at),
            duration(tally.total),
            duration(tally.longest),
            percent(*share),
            percent(tally.flap_share()),
            thousands(tally.open),
        ]);
    }
    columns(out, &rows)?;
    for RuleAccount { rule, tally, .. } in rules {
        if tally.fired == 0 {
            let why = match tally.held_short {
                0 if tally.no_data > 0 => {
                    format!("its readings stopped coming {}", times(tally.no_data))
                }
                0 => "its condition never held".to_owned(),
                n => format!("its condition held {}, never for as long as `for` asks", times(n)),
            };
            writeln!(out, "`{rule}` never fired: {why}.")?;
        }
    }
    Ok(())
}

fn times(n: u64) -> String {
    if n == 1 { "once".to_owned() } else { format!("{} times", thousands(n)) }
}

fn episodes(out: &mut impl Write, report: &Report) -> io::Result<()> {
    if report.episodes.is_empty() {
        return Ok(());
    }
    let mut all: Vec<&Episode> = report.episodes.iter().collect();
    all.sort_by_key(|episode| episode.fired_at);
    let head = ["rule", "device", "from", "to", "how long", "severity", "why"];
    let mut rows = vec![head.map(str::to_owned)];
    rows.extend(all.iter().take(EPISODES_SHOWN).map(|episode| row(episode)));
    columns(out, &rows)?;
    let n_more = (all.len().saturating_sub(EPISODES_SHOWN)) as u64 + report.n_left_out;
    if n_more > 0 {
        writeln!(out, "… and {} more: --json has them all.", thousands(n_more))?;
    }
    Ok(())
}

fn row(episode: &Episode) -> [String; 7] {
    let to = match episode.ending {
        Ending::Over => plain(episode.until),
        Ending::Open(state) => format!("still {state}"),
    };
    [
        episode.rule.to_string(),
        episode.device.to_string(),
        plain(episode.fired_at),
        to,
        duration(episode.lasted()),
        episode.severity.to_string(),
        shortened(&episode.reason),
    ]
}

fn shortened(reason: &str) -> String {
    if reason.chars().count() <= REASON_CHARS {
        return reason.to_owned();
    }
    let part: String = reason.chars().take(REASON_CHARS - 1).collect();
    format!("{part}…")
}

fn difference(out: &mut impl Write, found: &Difference<'_>) -> io::Result<()> {
    let n = |episodes: usize| count(episodes as u64, "alert");
    if found.is_none() {
        return writeln!(out, "\nCompared: no difference, {} in both.", n(found.both.len()));
    }
    writeln!(
        out,
        "\nCompared: {} the same, {} new, {} gone, {} at another time.",
        thousands(found.both.len() as u64),
        thousands(found.only_tried.len() as u64),
        thousands(found.only_running.len() as u64),
        thousands(found.moved.len() as u64)
    )?;
    let mut rows = Vec::new();
    let mut add = |sign: &str, episode: &Episode| {
        let [rule, device, from, to, how_long, _, _] = row(episode);
        rows.push([sign.to_owned(), rule, device, from, to, how_long]);
    };
    found.only_running.iter().take(EPISODES_SHOWN).for_each(|old| add("-", old));
    found.only_tried.iter().take(EPISODES_SHOWN).for_each(|new| add("+", new));
    for (new, old) in found.moved.iter().take(EPISODES_SHOWN) {
        add("<", old);
        add(">", new);
    }
    columns(out, &rows)
}

/// Writes rows with each column as wide as its widest cell.
fn columns<const N: usize>(out: &mut impl Write, rows: &[[String; N]]) -> io::Result<()> {
    let width =
        |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..N).map(width).collect();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}
