//! The unit for systemd: as systemd reads it, and held against what the program does.

use std::collections::BTreeSet;

use bellwire::cli::EXIT_CONFIG;
use bellwire::config::{Config, Environment, load};

use super::tools::said;
use super::truth::{command_faults, variable_faults};
use super::{root, text};
use crate::support::fault::{Fault, none_of};
use crate::support::tree;

pub(super) const UNIT: &str = "deploy/systemd/bellwire.service";
/// What `systemd-analyze security` may give at most, in tenths.
const EXPOSURE_MAX: &str = "15";

/// The values of a key, in their order.
fn values<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    let pairs = unit.lines().filter_map(|line| line.split_once('='));
    pairs.filter(|(name, _)| *name == key).map(|(_, value)| value).collect()
}

/// Seconds, as systemd writes times: `20min`, `2s`.
fn seconds(text: &str) -> u64 {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..split].parse().unwrap_or_default();
    match &text[split..] {
        "" | "s" => number,
        "min" => number * 60,
        _ => 0,
    }
}

/// What the program tells systemd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// That it is ready.
    Ready,
    /// That it lives.
    Alive,
}

/// What it tells, as its sources say.
fn told() -> Vec<Told> {
    let files = tree::files();
    let ours = || files.iter().filter(|it| it.path.starts_with("src/") && it.path.ends_with(".rs"));
    let says = |word: &str| ours().any(|file| file.text.contains(word));
    let all = [(Told::Ready, "NotifyState::Ready"), (Told::Alive, "NotifyState::Watchdog")];
    all.into_iter().filter(|(_, word)| says(word)).map(|(told, _)| told).collect()
}

/// What is wrong with a unit, given what the program tells.
fn faults(unit: &str, told: &[Told]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for command in ["ExecStart", "ExecStartPre"].iter().flat_map(|key| values(unit, key)) {
        match command.split_once(' ') {
            Some(("/usr/bin/bellwire", arguments)) => {
                let arguments: Vec<&str> = arguments.split(' ').collect();
                faults.extend(command_faults(UNIT, &arguments));
            }
            _ => faults.push(Fault::whole(UNIT, format!("`{command}` is not the program"))),
        }
    }
    for variable in values(unit, "Environment") {
        let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
        faults.extend(variable_faults(UNIT, name, value));
    }
    let one = |key: &str| values(unit, key).last().copied().unwrap_or_default();
    let config = Config::default();
    let start = (config.database.migrate_timeout_ms + config.database.start_timeout_ms) / 1_000;
    let stop = (config.shutdown_grace_ms + config.database.stop_timeout_ms) / 1_000;
    let connections =
        u64::from(config.mqtt.connections_max) + config.http.connections_max.get() as u64;
    let code = EXIT_CONFIG.to_string();
    let kind = if told.contains(&Told::Ready) { "notify" } else { "exec" };
    let rules = [
        (one("Type") == kind, "its type is not what the program does"),
        (
            told.contains(&Told::Alive) || one("WatchdogSec").is_empty(),
            "the program feeds no watchdog",
        ),
        (one("User") == "bellwire", "it runs as another user"),
        (one("KillMode") == "mixed", "PostgreSQL would be told before it has everything"),
        (one("RestartPreventExitStatus") == code, "a wrong configuration is tried again and again"),
        (one("Restart") == "on-failure", "it is not started again"),
        (one("ExecReload") == "/bin/kill -HUP $MAINPID", "it is not told to read everything again"),
        (
            seconds(one("TimeoutStartSec")) >= start,
            "it has less time to start than migrations may take",
        ),
        (seconds(one("TimeoutStopSec")) >= stop, "it has less time to stop than it may take"),
        (one("LimitNOFILE").parse().is_ok_and(|it: u64| it > connections), "too few files"),
    ];
    let broken = rules.into_iter().filter(|(holds, _)| !holds);
    faults.extend(broken.map(|(_, what)| Fault::whole(UNIT, what)));
    faults
}

/// What `systemd-analyze` says of a unit with this text; nothing if it is content.
fn analysed(unit: &str, arguments: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bellwire.service");
    // It looks whether the program is there.
    std::fs::write(&file, unit.replace("/usr/bin/bellwire", env!("CARGO_BIN_EXE_bellwire")))
        .unwrap();
    let output =
        std::process::Command::new("systemd-analyze").args(arguments).arg(&file).output().unwrap();
    let said = said(&output);
    if output.status.success() && !said.contains(folder.path().to_str().unwrap()) {
        return String::new();
    }
    said
}

fn verified(unit: &str) -> String {
    analysed(unit, &["verify", "--man=no"])
}

fn hardened(unit: &str) -> String {
    analysed(unit, &["security", "--offline=true", "--no-pager", "--threshold", EXPOSURE_MAX])
}

#[test]
fn the_unit_is_what_the_program_does() {
    let unit = text(UNIT);
    none_of(faults(&unit, &told()));
    assert_eq!(verified(&unit), "");
    assert_eq!(hardened(&unit), "");
}

#[test]
fn the_unit_and_the_packages_configuration_have_the_same_folders() {
    let unit = text(UNIT);
    let config =
        load(Some(&root().join("deploy/debian/bellwire.toml")), &Environment::from([]), Vec::new());
    let data_dir = config.unwrap().data_dir;
    assert_eq!(data_dir.to_str(), Some("/var/lib/bellwire"));
    assert_eq!(values(&unit, "StateDirectory"), ["bellwire"]);
    assert_eq!(values(&unit, "Environment"), ["BELLWIRE_CONFIG=/etc/bellwire/bellwire.toml"]);
}

#[test]
fn faults_in_the_unit_are_caught() {
    let good = text(UNIT);
    let both = [Told::Ready, Told::Alive];
    let check = |from: &str, to: &str, expected: &str| {
        assert!(good.contains(from), "{from:?} is not there any more");
        let found = faults(&good.replacen(from, to, 1), &both);
        let says = |fault: &Fault| fault.what.contains(expected);
        assert!(found.iter().any(says), "{from:?} → {to:?}: {found:?}");
    };
    assert_eq!(faults(&good, &both), []);
    assert!(faults(&good, &[Told::Ready])[0].what.contains("watchdog"));
    check("Type=notify", "Type=exec", "its type");
    check("bellwire serve", "bellwire start", "`bellwire start`");
    check("/usr/bin/bellwire serve", "/usr/sbin/bellwire serve", "not the program");
    check("Environment=BELLWIRE_CONFIG", "Environment=BELLWIRE_CONFG", "is no key");
    check("User=bellwire", "User=root", "another user");
    check("KillMode=mixed", "KillMode=control-group", "PostgreSQL");
    check("Status=78", "Status=77", "again and again");
    check("TimeoutStartSec=20min", "TimeoutStartSec=90s", "less time to start");
    check("TimeoutStopSec=2min", "TimeoutStopSec=30s", "less time to stop");
    check("LimitNOFILE=65536", "LimitNOFILE=1024", "too few files");

    assert!(verified(&good.replace("ProtectHome=", "ProtectHouse=")).contains("ProtectHouse"));
    assert!(verified(&good.replace("[Install]", "[Instal]")).contains("Instal"));
    let loose = good.replace("ProtectSystem=strict\n", "").replace("PrivateDevices=yes\n", "");
    assert!(hardened(&loose).contains("ProtectSystem"));
}

#[test]
fn every_script_is_content_with_shellcheck() {
    let files = tree::files();
    let of_a_shell =
        |text: &str| text.starts_with("#!/bin/sh") || text.starts_with("#!/usr/bin/env bash");
    let scripts: BTreeSet<&str> = files
        .iter()
        .filter(|file| of_a_shell(&file.text) || file.path == "scripts/lib.sh")
        .map(|file| file.path.as_str())
        .collect();
    for expected in ["scripts/deb", "deploy/debian/postinst", "deploy/compose/secrets.sh"] {
        assert!(scripts.contains(expected), "{expected}: {scripts:?}");
    }
    let mut command = super::tools::tool("shellcheck");
    command.args(["--external-sources", "--source-path=SCRIPTDIR", "--shell=bash"]).args(&scripts);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let bad = super::tools::told(
        super::tools::tool("shellcheck").args(["-s", "sh", "-"]),
        "rm -rf $1/*\n",
    );
    assert!(said(&bad).contains("SC2086"), "{}", said(&bad));
}
