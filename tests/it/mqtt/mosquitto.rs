//! `mosquitto_pub` and `mosquitto_sub`: what people try first.

use std::collections::VecDeque;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::time::timeout;

use super::{LIMIT, SCENARIOS, Transport, certificate, start};
use crate::support::service::Service;

/// One of the two programs, run against a service.
struct Tool<'a> {
    service: &'a Service,
    transport: Transport,
    version: &'static str,
}

/// A `mosquitto_sub` that has subscribed.
struct Subscriber {
    child: Child,
    /// Messages that came before it was subscribed: a session that goes on has some.
    early: VecDeque<String>,
    messages: Lines<BufReader<ChildStdout>>,
    notes: Lines<BufReader<ChildStderr>>,
}

impl Tool<'_> {
    fn command(&self, program: &str) -> Command {
        let url = self.transport.url(self.service);
        let (_, port) = url.rsplit_once(':').unwrap();
        // Into a pipe it would write when it has much to say, not line by line.
        let mut command = Command::new("stdbuf");
        command.args(["-oL", program, "-h", "localhost", "-p", port, "-V", self.version]);
        if self.transport == Transport::Tls {
            command.arg("--cafile").arg(certificate(self.service));
        }
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    async fn publish(&self, arguments: &[&str]) {
        let publishing = self.command("mosquitto_pub").args(arguments).output();
        let output = timeout(LIMIT, publishing).await.expect("it ends in time");
        let output = output.expect("stdbuf is part of coreutils");
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }

    /// Its messages as `QOS RETAIN PAYLOAD`.
    async fn subscribe(&self, arguments: &[&str]) -> Subscriber {
        let mut command = self.command("mosquitto_sub");
        // With -d it says when it is subscribed, line by line.
        command.args(["-d", "-F", "> %q %r %p"]).args(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("stdbuf is part of coreutils");
        let messages = BufReader::new(child.stdout.take().unwrap()).lines();
        let notes = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut subscriber = Subscriber { child, early: VecDeque::new(), messages, notes };
        subscriber.until("Subscribed (mid: 1)").await;
        subscriber
    }
}

impl Subscriber {
    /// The next line that begins so.
    async fn until(&mut self, beginning: &str) -> String {
        let looking = async {
            loop {
                let Some(line) = self.messages.next_line().await.unwrap() else {
                    let note = self.notes.next_line().await.unwrap().unwrap_or_default();
                    panic!("mosquitto_sub has ended, or is missing (make setup-test): {note}");
                };
                if line.starts_with(beginning) {
                    return line;
                }
                if line.starts_with("> ") {
                    self.early.push_back(line);
                }
            }
        };
        timeout(LIMIT, looking).await.expect("it comes in time")
    }

    async fn expect(&mut self, message: &str) {
        let found = match self.early.pop_front() {
            Some(early) => early,
            None => self.until("> ").await,
        };
        assert_eq!(found, format!("> {message}"));
    }

    /// Ends it as a crash would.
    async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Ends it with DISCONNECT.
    async fn end(mut self) {
        let pid = libc::pid_t::try_from(self.child.id().expect("it runs")).unwrap();
        // SAFETY: kill has no preconditions; the process is our child.
        unsafe { libc::kill(pid, libc::SIGTERM) };
        timeout(LIMIT, self.child.wait()).await.expect("it ends in time").unwrap();
    }
}

async fn passes_on(tool: &Tool<'_>, qos: &str) {
    let mut subscriber = tool.subscribe(&["-t", "mosquitto/on/+", "-q", qos]).await;
    for payload in ["1", "2", "3"] {
        tool.publish(&["-t", "mosquitto/on/x", "-q", qos, "-m", payload]).await;
        subscriber.expect(&format!("{qos} 0 {payload}")).await;
    }
    subscriber.end().await;
}

async fn retained(tool: &Tool<'_>) {
    tool.publish(&["-t", "mosquitto/kept", "-q", "1", "-r", "-m", "kept"]).await;
    let mut later = tool.subscribe(&["-t", "mosquitto/kept", "-q", "1"]).await;
    later.expect("1 1 kept").await;
    later.end().await;
    tool.publish(&["-t", "mosquitto/kept", "-q", "1", "-r", "-n"]).await;
    let mut last = tool.subscribe(&["-t", "mosquitto/kept", "-q", "1"]).await;
    tool.publish(&["-t", "mosquitto/kept", "-q", "1", "-m", "plain"]).await;
    last.expect("1 0 plain").await;
    last.end().await;
}

async fn will(tool: &Tool<'_>) {
    let mut watcher = tool.subscribe(&["-t", "mosquitto/will", "-q", "1"]).await;
    let doomed = |words| {
        let will = ["--will-topic", "mosquitto/will", "--will-qos", "1", "--will-payload", words];
        [&["-t", "mosquitto/none"][..], &will].concat()
    };
    // Told to end, mosquitto_sub asks for its will in MQTT 5; mosquitto_pub just leaves.
    tool.publish(&[&doomed("left")[..], &["-m", "x"]].concat()).await;
    tool.subscribe(&doomed("lost")).await.kill().await;
    watcher.expect("1 0 lost").await;
    watcher.end().await;
}

async fn session(tool: &Tool<'_>) {
    let expiry: &[&str] = if tool.version == "mqttv5" { &["-x", "300"] } else { &[] };
    let asleep =
        [&["-i", "mosquitto-sleeps", "-c", "-t", "mosquitto/away", "-q", "2"], expiry].concat();
    tool.subscribe(&asleep).await.end().await;
    for qos in ["1", "2"] {
        tool.publish(&["-t", "mosquitto/away", "-q", qos, "-m", "away"]).await;
    }
    let mut awake = tool.subscribe(&asleep).await;
    for qos in ["1", "2"] {
        awake.expect(&format!("{qos} 0 away")).await;
    }
    awake.end().await;
    let clean = ["-i", "mosquitto-sleeps", "-t", "mosquitto/none"];
    tool.subscribe(&clean).await.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mosquittos_tools_find_what_the_standard_promises() {
    let mut service = start().await;
    // It has no WebSocket in the versions that are packaged.
    let transports = [Transport::Tcp, Transport::Tls];
    let versions = ["mqttv311", "mqttv5"];
    for (transport, version) in transports.iter().flat_map(|it| versions.map(|v| (*it, v))) {
        let tool = Tool { service: &service, transport, version };
        for name in SCENARIOS {
            match name {
                "qos0" => passes_on(&tool, "0").await,
                "qos1" => passes_on(&tool, "1").await,
                "qos2" => passes_on(&tool, "2").await,
                "retained" => retained(&tool).await,
                "will" => will(&tool).await,
                "session" => session(&tool).await,
                name => panic!("there is no scenario {name}"),
            }
        }
    }
    assert!(service.stop().await.success());
    service.assert_quiet(&[]);
}
