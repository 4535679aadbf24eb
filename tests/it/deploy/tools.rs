//! The programs that read what is in deploy/, from packages that `scripts/interop fetch` installed.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use super::root;

/// Where they are.
fn packages() -> PathBuf {
    let folder = root().join("tests/interop/deploy");
    assert!(folder.exists(), "the tools are not there: scripts/interop fetch");
    folder
}

/// A program among them.
pub(super) fn tool(name: &str) -> Command {
    let mut command = Command::new(packages().join("bin").join(name));
    command.current_dir(root());
    command
}

/// Python with their libraries.
pub(super) fn python() -> Command {
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", packages()).env("PYTHONDONTWRITEBYTECODE", "1").current_dir(root());
    command
}

/// What it says to `input`.
pub(super) fn told(command: &mut Command, input: &str) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    // Who does not read it all says why.
    let writer = std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

/// All that it said.
pub(super) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

/// JSON on its standard output.
#[track_caller]
pub(super) fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no JSON: {}", said(output)))
}
