//! People who use the API: how they come in, and ask.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::http;
use super::service::{PATIENCE, Service, poll};

/// Everybody's password.
pub(crate) const PASSWORD: &str = "correct horse battery";

/// Asks with these lines of head; the status, the head, and the JSON body.
pub(crate) async fn ask(
    service: &Service,
    what: &str,
    headers: &str,
    body: &Value,
) -> (u16, String, Value) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let (status, head, body) = http::send(&service.http(), what, headers, &body).await.unwrap();
    (status, head, serde_json::from_str(&body).unwrap_or(Value::Null))
}

pub(crate) async fn status(service: &Service, what: &str, headers: &str) -> u16 {
    ask(service, what, headers, &Value::Null).await.0
}

/// Somebody who has signed in: the lines of head that show it.
pub(crate) async fn sign_in(service: &Service, name: &str) -> String {
    let body = json!({"name": name, "password": PASSWORD});
    let (status, head, body) = ask(service, "POST /api/v1/session", "", &body).await;
    assert_eq!(status, 200, "{body}");
    signed_in(&head, &body)
}

pub(crate) fn signed_in(head: &str, body: &Value) -> String {
    let cookie = head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).expect("a cookie");
    let cookie = cookie.split(';').next().unwrap();
    format!("Cookie: {cookie}\r\nX-CSRF-Token: {}\r\n", body["csrf"].as_str().unwrap())
}

/// Runs the program with something on its standard input; what it says on standard output.
pub(crate) async fn run_with(service: &Service, arguments: &[&str], input: &str) -> String {
    let mut command = service.program(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
    let output = child.wait_with_output().await.unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

pub(crate) async fn add_user(service: &Service, name: &str, role: &str) {
    let arguments = ["people", "add", name, "--role", role, "--password-file", "-"];
    run_with(service, &arguments, &format!("{PASSWORD}\n")).await;
}

/// Waits until a request is answered so.
pub(crate) async fn wait_for_status(service: &Service, what: &str, headers: &str, wanted: u16) {
    let asking = async {
        let mut poll = poll();
        while status(service, what, headers).await != wanted {
            poll.tick().await;
        }
    };
    timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("{what} is never {wanted}"));
}

/// Rules of which each device and each site has alerts, and two kinds of devices of two sites.
pub(crate) fn rules_of_two_sites([one, other]: [(&str, &str); 2]) -> String {
    let site = |(device, site): (&str, &str)| {
        format!("\n[[labels]]\ndevice = \"{device}\"\nset = {{ site = \"{site}\" }}\n")
    };
    let rule = |name: &str, value: &str| {
        format!("[[rule]]\nname = \"{name}\"\nwhen = \"{value} > 5\"\nseverity = \"warning\"\n\n")
    };
    rule("warm", "t") + &rule("site-warm", "max by (site) (t)") + &site(one) + &site(other)
}
