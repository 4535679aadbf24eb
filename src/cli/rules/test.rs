//! `bellwire rules test`: do rules do what their tests say.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;

use super::{EXIT_FAILURE, EXIT_OK, Failure};
use crate::app::file_error::FileError;
use crate::app::rules;
use crate::backtest::words::count;
use crate::rule_test::{file, run};

#[derive(Debug, Args)]
pub(in crate::cli) struct TestArgs {
    /// Test files (TOML)
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

/// How many tests there were.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    passed: u64,
    failed: u64,
}

pub(super) fn run(args: &TestArgs) -> Result<u8, Failure> {
    let mut all = Count::default();
    for path in &args.files {
        let count = test_file(path)?;
        all.passed += count.passed;
        all.failed += count.failed;
    }
    let (tests, files) = (all.passed + all.failed, args.files.len() as u64);
    println!(
        "{} in {}: {} passed, {} failed.",
        count(tests, "test"),
        count(files, "file"),
        all.passed,
        all.failed
    );
    Ok(if all.failed == 0 { EXIT_OK } else { EXIT_FAILURE })
}

/// Runs the tests of a file, and shows what is not as expected.
fn test_file(path: &Path) -> anyhow::Result<Count> {
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
    let file = file::read(path, &text).map_err(|errors| {
        let reports: Vec<_> = errors.iter().map(|error| error.render(&shown, &text)).collect();
        FileError::Wrong { report: reports.join("\n") }
    })?;
    let (rules, _) = rules::read(&file.rules)
        .with_context(|| format!("the rules of {shown} cannot be tested"))?;
    let mut count = Count::default();
    println!("{shown}");
    for test in &file.tests {
        let found = run::run(test, &rules)
            .map_err(|problem| anyhow::anyhow!("{shown}: test `{}`: {problem}", test.name))?;
        println!("  {}  {}", if found.is_empty() { "ok  " } else { "FAIL" }, test.name);
        for mismatch in &found {
            println!(
                "        {shown}:{}: {}",
                mismatch.line,
                mismatch.text.trim_end().replace('\n', "\n        ")
            );
        }
        if found.is_empty() {
            count.passed += 1;
        } else {
            count.failed += 1;
        }
    }
    Ok(count)
}
