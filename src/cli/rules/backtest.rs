//! `bellwire rules backtest`: what rules would have said to readings that are there.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bellwire_alerts::RuleSet;
use bellwire_model::{DeviceId, MetricName, Registry, RuleName, Timestamp, Transition};
use bellwire_store::Wanted;
use clap::Args;

use super::super::access::device_id;
use super::{Common, EXIT_OK, Failure, table};
use crate::app::rules as rules_file;
use crate::backtest::csv::{CsvError, Recording};
use crate::backtest::stored::{self, Limits, Said, StoredError};
use crate::backtest::trial::{Outcome, Rules, Trial};
use crate::backtest::{line, rules, words};
use crate::care::reach::{Reached, unavailable};
use crate::config::Environment;
use crate::{logging, runtime};

#[derive(Debug, Args)]
pub(in crate::cli) struct BacktestArgs {
    /// The rules to try (TOML)
    #[arg(value_name = "RULES")]
    file: PathBuf,
    /// A recording to try them on, `timestamp,value` on each line, instead of the database
    #[arg(long, value_name = "FILE", requires = "device")]
    csv: Option<PathBuf>,
    /// Whose readings: of a recording, the device that made it; else only this one's
    #[arg(long, value_name = "ID", value_parser = device_id)]
    device: Option<DeviceId>,
    /// What a recording's value is; or the one of its columns that counts
    #[arg(long, value_name = "NAME", value_parser = metric, requires = "csv")]
    metric: Option<MetricName>,
    /// Only the rule of this name; may be repeated
    #[arg(long = "rule", value_name = "NAME", value_parser = rule)]
    only: Vec<RuleName>,
    /// Only readings from this time on, e.g. 2026-01-31 or 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<Timestamp>,
    /// Only readings before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Option<Timestamp>,
    /// Rules to compare with, e.g. the ones that are in force (TOML)
    #[arg(long, value_name = "RULES")]
    against: Option<PathBuf>,
    /// A line of JSON for each transition, and nothing else
    #[arg(long)]
    json: bool,
    /// An alert that lasts less than this, or comes again within it, counts as flapping
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "5m")]
    flap_within: Duration,
    #[command(flatten)]
    common: Common,
}

fn metric(text: &str) -> Result<MetricName, String> {
    MetricName::new(text).map_err(|error| error.to_string())
}

fn rule(text: &str) -> Result<RuleName, String> {
    RuleName::new(text).map_err(|error| error.to_string())
}

fn time(text: &str) -> Result<Timestamp, String> {
    words::time(text).ok_or_else(|| "no time such as 2026-01-31 or 2026-01-31T12:00:00Z".to_owned())
}

fn duration(text: &str) -> Result<Duration, String> {
    words::duration(text).ok_or_else(|| "no duration such as 90s or 5m".to_owned())
}

pub(super) fn run(args: &BacktestArgs) -> Result<u8, Failure> {
    let rules = read_rules(args)?;
    let mut out = BufWriter::new(io::stdout());
    // An error of stdout: nobody reads on, so nobody needs more.
    let mut closed = None;
    let mut hear = |transition: &Transition| {
        if args.json && closed.is_none() {
            closed = writeln!(out, "{}", line::transition(transition)).err();
        }
        if closed.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let tried = match &args.csv {
        Some(path) => recorded(args, path, &rules, &mut hear)?,
        None => stored(args, &rules, &mut hear)?,
    };
    if let Some(outcome) = tried {
        if !args.json {
            table::show(&mut out, &outcome, &rules)?;
        }
        out.flush()?;
    }
    match closed {
        Some(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(EXIT_OK),
    }
}

fn read_rules(args: &BacktestArgs) -> Result<Rules, Failure> {
    let (_, set) = rules_file::read(&args.file)?;
    let tried = Arc::new(rules::only(set, &args.only)?);
    let running = match &args.against {
        Some(path) => Some(Arc::new(running(path, &args.only)?)),
        None => None,
    };
    let registry = Registry::default();
    Ok(Rules { tried, running, registry, flap_within: args.flap_within })
}

/// What to compare with, which need not have the rules that are tried.
fn running(path: &Path, only: &[RuleName]) -> anyhow::Result<RuleSet> {
    let (_, set) = rules_file::read(path)?;
    if only.is_empty() { Ok(set) } else { Ok(rules::existing(&set, only)?) }
}

/// Why a recording was not tried to its end.
enum Ended {
    GivenUp,
    Csv(CsvError),
}

impl From<CsvError> for Ended {
    fn from(error: CsvError) -> Self {
        Self::Csv(error)
    }
}

/// Tries them on a recording; nothing if nobody listens any more.
fn recorded(
    args: &BacktestArgs,
    path: &Path,
    rules: &Rules,
    hear: &mut impl FnMut(&Transition) -> ControlFlow<()>,
) -> Result<Option<Outcome>, Failure> {
    let device = args.device.as_ref().expect("clap requires it with a recording");
    let recording = Recording::open(path, device, args.metric.as_ref())?;
    let names = recording.names();
    let mut say = |transition: &Transition| match hear(transition) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Ended::GivenUp),
    };
    let mut trial = Trial::new(rules);
    let is_wanted =
        |at: Timestamp| args.from.is_none_or(|from| at >= from) && args.to.is_none_or(|to| at < to);
    let read = recording.read(|readings| {
        if is_wanted(readings[0].at) { trial.observe(readings, names, &mut say) } else { Ok(()) }
    });
    match read.and_then(|()| trial.finish(names, &mut say)) {
        Ok(outcome) => {
            explain(args, &outcome, rules, &Source::Recording(&recording));
            Ok(Some(outcome))
        }
        Err(Ended::GivenUp) => Ok(None),
        Err(Ended::Csv(error)) => Err(error.into()),
    }
}

/// Tries them on what is stored; nothing if nobody listens any more.
fn stored(
    args: &BacktestArgs,
    rules: &Rules,
    hear: &mut (impl FnMut(&Transition) -> ControlFlow<()> + Send),
) -> Result<Option<Outcome>, Failure> {
    let config = args.common.load()?;
    logging::start("warn")?;
    let data_dir = config.data_dir(&Environment::of_process())?;
    let runtime = runtime::single_thread()?;
    let reached = runtime.block_on(Reached::open(&config, &data_dir))?;
    let queries = reached.database.queries().map_err(unavailable)?;
    let registry = runtime.block_on(queries.registry(None)).map_err(unavailable)?;
    let rules = &Rules { registry, ..rules.clone() };
    let wanted =
        Wanted { from: args.from, to: args.to, device: args.device.clone(), metrics: None };
    let limits = Limits { wanted, readings_max: u64::MAX, time_max: None };
    let progress = Progress::new();
    let tried = stored::run(&runtime, &reached.database, rules, limits, |said| match said {
        Said::Begun => ControlFlow::Continue(()),
        Said::Transition(transition) => hear(transition),
        Said::Progress { n_readings, n_expected, at } => {
            progress.show(n_readings, n_expected, at);
            ControlFlow::Continue(())
        }
    });
    progress.end();
    runtime.block_on(reached.close());
    match tried {
        Ok(outcome) => {
            explain(args, &outcome, rules, &Source::Database);
            Ok(Some(outcome))
        }
        Err(StoredError::GivenUp) => Ok(None),
        Err(StoredError::Store(error)) => Err(unavailable(error).into()),
        Err(error) => Err(error.into()),
    }
}

/// How far it has come, in one line of a terminal.
struct Progress {
    shows: bool,
}

impl Progress {
    fn new() -> Self {
        Self { shows: io::stderr().is_terminal() }
    }

    fn show(&self, n_readings: u64, n_expected: u64, at: Timestamp) {
        if self.shows {
            let (n, all) =
                (words::thousands(n_readings), words::thousands(n_expected.max(n_readings)));
            eprint!("\r{n} of {all} readings, up to {}   ", words::plain(at));
        }
    }

    fn end(&self) {
        if self.shows {
            eprint!("\r{:78}\r", "");
        }
    }
}

/// Where the readings are from.
enum Source<'a> {
    Recording(&'a Recording),
    Database,
}

/// Says on stderr what is odd, and what could be done about it.
fn explain(args: &BacktestArgs, outcome: &Outcome, rules: &Rules, source: &Source<'_>) {
    let used: Vec<_> = rules.metrics().iter().map(|metric| format!("`{metric}`")).collect();
    let used = used.join(", ");
    let chosen = args.from.is_some() || args.to.is_some() || args.device.is_some();
    if rules.tried.rules().is_empty() {
        eprintln!("bellwire: there are no rules in {}", args.file.display());
        return;
    }
    match source {
        Source::Recording(recording) => {
            let has = |metric: &MetricName| recording.names().metric_key(metric.as_str()).is_some();
            let metrics = recording.names().metrics();
            if !rules.metrics().iter().any(has) {
                let has: Vec<_> = metrics.iter().map(|metric| format!("`{metric}`")).collect();
                eprintln!(
                    "bellwire: the recording has {}, the rules use {used}: say what it is with --metric",
                    has.join(", ")
                );
            } else if outcome.n_readings == 0 && recording.n_lines() > 0 {
                eprintln!(
                    "bellwire: none of the recording's readings lies between --from and --to"
                );
            }
            if outcome.n_late > 0 {
                eprintln!(
                    "bellwire: {} older than the line before changed nothing: the file's order counts as \
                     the order of arrival",
                    words::count(outcome.n_late, "line")
                );
            }
        }
        Source::Database if outcome.n_readings == 0 => {
            let hint = if chosen {
                "try it without --from, --to and --device"
            } else {
                "publish some first"
            };
            eprintln!("bellwire: nothing is stored of {used}: {hint}");
        }
        Source::Database => {}
    }
}
