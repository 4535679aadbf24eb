//! `bellwire doctor`: one look at everything.

use clap::Args;

use super::{Common, EXIT_FAILURE, EXIT_OK, Failure, print_json};
use crate::care::doctor::{self, Report, Status};
use crate::config::Environment;
use crate::{logging, runtime};

#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    common: Common,
    /// Say it as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &DoctorArgs) -> Result<u8, Failure> {
    let config = args.common.load()?;
    logging::start("error")?;
    let environment = Environment::of_process();
    let data_dir = config.data_dir(&environment)?;
    let file = args.common.config.as_ref().map(|file| file.display().to_string());
    let source = match file.or_else(|| environment.get("BELLWIRE_CONFIG").map(str::to_owned)) {
        Some(file) => format!("{file}, environment and flags"),
        None => "no file; environment and flags".to_owned(),
    };
    let report = runtime::multi_thread()?.block_on(doctor::look(&config, &source, &data_dir));
    if args.json {
        print_json(&report)?;
    } else {
        show(&report);
    }
    Ok(if report.status == Status::Fail { EXIT_FAILURE } else { EXIT_OK })
}

fn show(report: &Report) {
    let width = report.checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
    for check in &report.checks {
        println!("{}  {:width$}  {}", label(check.status), check.name, check.detail);
        if let Some(remedy) = &check.remedy {
            println!("{:6}{:width$}  → {remedy}", "", "");
        }
    }
    let count = |status| report.checks.iter().filter(|check| check.status == status).count();
    match (count(Status::Fail), count(Status::Warn)) {
        (0, 0) => println!("\nEverything is well."),
        (fail, warn) => println!("\n{fail} failed, {warn} to look at."),
    }
}

const fn label(status: Status) -> &'static str {
    match status {
        Status::Ok => "ok  ",
        Status::Warn => "warn",
        Status::Fail => "fail",
    }
}
