//! The console in a real browser, on the real service: each test is a file of
//! `api/console/tests/flows`, which starts the program itself and tells what an operator does and sees.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Stdio;

use tokio::process::Command;
use tokio::time::{Duration, timeout};

/// How long one flow may take.
const LIMIT: Duration = Duration::from_secs(240);

/// A test for each flow, by the name of its file.
macro_rules! flows {
    ($($name:ident)+) => {
        const FLOWS: &[&str] = &[$(stringify!($name)),+];
        $(
            #[tokio::test]
            async fn $name() {
                run(stringify!($name)).await;
            }
        )+
    };
}

flows! {
    a_chart_is_zoomed_and_exported
    a_command_is_answered
    a_channel_is_tested
    a_device_speaks
    a_first_rule_is_written
    a_name_is_text
    a_page_that_slept_is_right_again
    a_provider_signs_in
    a_silence_is_previewed_and_made
    a_storm_stays_usable
    an_alert_is_acknowledged_by_keyboard
    a_rule_is_tested
    a_rule_is_tried_on_history
    a_rules_versions_are_compared_and_restored
    an_alert_lives
    devices_are_found_by_labels
    devices_are_imported_and_on_the_map
    every_page_from_a_phone
    every_page_is_accessible
    many_alerts_are_handled_at_once
    parts_are_accessible
    people_come_and_go
    quarantine_is_emptied
    settings_are_ones_own
    signing_in_and_out
    the_api_reference_works
    the_console_is_small
    the_database_stops_and_recovers
    the_first_admin
    the_guides_have_pictures
    the_keyboard_does_it_all
    two_operators_see_one_truth
    two_people_edit_labels
    two_people_edit_one_rule
    what_happened_meanwhile_is_told
    wrong_passwords_take_longer
}

#[test]
fn every_flow_is_a_test() {
    let files = std::fs::read_dir(folder().join("tests/flows")).unwrap();
    let found: BTreeSet<String> =
        files.map(|file| file.unwrap().file_name().to_string_lossy().replace(".mjs", "")).collect();
    let named: BTreeSet<String> = FLOWS.iter().map(|&name| name.to_owned()).collect();
    assert_eq!(found, named, "tests/it/console.rs lists the flows");
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("api/console")
}

async fn run(name: &str) {
    let console = folder();
    for built in ["dist/index.html", "node_modules/playwright-core"] {
        assert!(console.join(built).exists(), "the console is not built: make console");
    }
    assert!(is_in_path("node"), "Node is missing: https://nodejs.org");
    let browser = std::env::var_os("CHROMIUM").is_some() || is_in_path("chromium");
    assert!(browser, "chromium is missing: make setup-test");
    let mut flow = Command::new("node");
    flow.args(["tests/flow.mjs", name])
        .current_dir(&console)
        .env("BELLWIRE_BINARY", env!("CARGO_BIN_EXE_bellwire"))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = timeout(LIMIT, flow.output()).await.expect("the flow ends in time").unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    println!("{said}");
}

fn is_in_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}
