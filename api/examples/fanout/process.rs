//! Measures one server: starts it and the clients, has it send, and reads what that cost it.

use std::fmt;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::Outcome;
use crate::event;

/// A server that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    Ours,
    OursDeflate,
    Raw,
    Ws,
    SocketIo,
}

/// What one run came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    /// Of the server, for each event and client.
    pub(crate) cpu_us: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// What the server's memory grew by for each client that connected, sent to or not.
    pub(crate) client_kb: f64,
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cpu_us, p50_ms, p99_ms, client_kb } = self;
        write!(
            f,
            "CPU {cpu_us:6.2} µs a delivery, p50 {p50_ms:6.2} ms, p99 {p99_ms:6.2} ms, {client_kb:5.1} KB a client"
        )
    }
}

impl Subject {
    pub(crate) fn named(name: &str) -> Outcome<Self> {
        let all = [Self::Ours, Self::OursDeflate, Self::Raw, Self::Ws, Self::SocketIo];
        all.into_iter()
            .find(|it| it.name() == name)
            .ok_or_else(|| format!("no server {name}").into())
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::OursDeflate => "ours-deflate",
            Self::Raw => "raw",
            Self::Ws => "ws",
            Self::SocketIo => "socket.io",
        }
    }

    fn command(self) -> Outcome<Command> {
        let own = |part: &str| -> Outcome<Command> {
            let mut command = Command::new(std::env::current_exe()?);
            command.arg(part);
            Ok(command)
        };
        match self {
            Self::Ours | Self::OursDeflate => own("serve-ours"),
            Self::Raw => own("serve-raw"),
            Self::Ws => peer("ws.mjs"),
            Self::SocketIo => peer("socketio.mjs"),
        }
    }
}

/// A server in Node; installs its packages once.
fn peer(script: &str) -> Outcome<Command> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/fanout/peers");
    if !dir.join("node_modules").exists() {
        let installed = Command::new("npm").args(["ci", "--silent"]).current_dir(&dir).status()?;
        if !installed.success() {
            return Err("npm ci failed".into());
        }
    }
    let mut command = Command::new("node");
    command.arg(dir.join(script)).env("NODE_ENV", "production");
    Ok(command)
}

/// A process that is told what to do line by line, and answers so.
struct Talk {
    child: Child,
    say: ChildStdin,
    hear: BufReader<ChildStdout>,
}

impl Talk {
    fn start(mut command: Command) -> Outcome<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let say = child.stdin.take().ok_or("a pipe")?;
        let hear = BufReader::new(child.stdout.take().ok_or("a pipe")?);
        Ok(Self { child, say, hear })
    }

    fn say(&mut self, line: &str) -> Outcome {
        writeln!(self.say, "{line}")?;
        Ok(self.say.flush()?)
    }

    fn hear(&mut self) -> Outcome<String> {
        let mut line = String::new();
        if self.hear.read_line(&mut line)? == 0 {
            return Err("the process ended".into());
        }
        Ok(line.trim_end().to_owned())
    }

    /// User and system time so far, in microseconds; to 10 ms.
    fn cpu_us(&self) -> Outcome<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let behind_name = stat.rsplit_once(") ").ok_or("an unknown format")?.1;
        let fields: Vec<&str> = behind_name.split(' ').collect();
        let ticks = fields[11].parse::<u32>()? + fields[12].parse::<u32>()?;
        Ok(f64::from(ticks) * 10_000.0)
    }

    /// Memory in use, in KB.
    fn memory_kb(&self) -> Outcome<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }

    fn end(mut self) -> Outcome {
        drop(self.say);
        self.child.wait()?;
        Ok(())
    }
}

/// Has `subject` send `rate` events a second to `n_clients` for `secs` seconds.
pub(crate) fn measure(subject: Subject, n_clients: u64, rate: u64, secs: u64) -> Outcome<Measured> {
    let n_events = rate * secs;
    let mut server = Talk::start(subject.command()?)?;
    let port = server.hear()?;
    let before_kb = server.memory_kb()?;
    let mut command = Command::new(std::env::current_exe()?);
    let how = match subject {
        Subject::SocketIo => "socket.io",
        Subject::OursDeflate => "deflate",
        Subject::Ours | Subject::Raw | Subject::Ws => "plain",
    };
    let address = format!("{how}@127.0.0.1:{port}");
    command.args(["listen", &address, &n_clients.to_string(), &n_events.to_string()]);
    let mut clients = Talk::start(command)?;
    clients.hear()?;
    let client_kb = (server.memory_kb()? - before_kb) / n_clients as f64;
    server.say(&event::json(1, 0))?;
    let before_us = server.cpu_us()?;
    server.say(&format!("{rate} {n_events}"))?;
    let quantiles = clients.hear()?;
    let cpu_us = (server.cpu_us()? - before_us) / (n_clients * n_events) as f64;
    server.hear()?;
    clients.end()?;
    server.end()?;
    let (p50, p99) = quantiles.split_once(' ').ok_or("two figures")?;
    let ms = |us: &str| -> Outcome<f64> { Ok(us.parse::<f64>()? / 1e3) };
    Ok(Measured { cpu_us, p50_ms: ms(p50)?, p99_ms: ms(p99)?, client_kb })
}
