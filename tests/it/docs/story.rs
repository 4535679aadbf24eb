//! Runs a page: its commands in their order, as a reader does, in a folder of its own, against a service of its own.

use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use regex::Regex;
use tokio::process::Command;
use tokio::time::timeout;

use super::commands::lines;
use super::directive::Runs;
use super::page::{Block, Page, Part};
use crate::support::service::{PATIENCE, Service, Settings, bare, send_signal, wait_until};

/// What a page's commands are run in.
const FRAME: &str = include_str!("story.sh");

/// Programs that others stand in for.
const STAND_INS: [&str; 7] =
    ["bellwire", "curl", "eventually", "mosquitto_pub", "mosquitto_sub", "npm", "pip"];

/// Folders of the machine that pages name: they are below the page's.
const MACHINE: [&str; 10] = [
    "/etc/bellwire",
    "/etc/mosquitto",
    "/etc/grafana",
    "/etc/prometheus",
    "/etc/default",
    "/etc/bash_completion.d",
    "/usr/local/share/man",
    "/usr/local/bin",
    "/var/lib/bellwire",
    "/backups",
];

/// Folders of the repository that a reader has at hand.
const CLONE: [&str; 4] = ["dashboards", "deploy", "scripts", "tests"];

/// What pages call ports; those of MQTT and HTTP come first.
const PORTS: [u16; 7] = [1883, 8080, 8883, 8083, 8084, 8443, 5433];

/// A page, and what it is run in.
struct Story<'a> {
    page: &'a Page,
    service: Service,
    /// The port for each of [`PORTS`].
    ports: Vec<u16>,
}

/// A command that failed.
struct Failed {
    step: usize,
    line: usize,
    code: i32,
}

/// Runs a page; what went wrong with it.
pub(super) async fn run(page: &Page) -> Result<(), String> {
    let story = Story::new(page).await;
    story.write();
    let mut bash = Command::from(bare(Path::new("bash")));
    story.environment(&mut bash);
    let mut bash = bash
        .arg(story.dir().join("story.sh"))
        .current_dir(story.dir().join("page"))
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(story.dir().join("story.err")).unwrap())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let group = bash.id().expect("it was just started");
    let ended = timeout(2 * PATIENCE, bash.wait()).await;
    let outcome = story.outcome(ended.map(|it| it.unwrap().success()).ok());
    story.end(group).await;
    outcome
}

impl<'a> Story<'a> {
    async fn new(page: &'a Page) -> Self {
        let settings = match page.runs {
            Runs::Secure => Settings::guarded(),
            Runs::Insecure | Runs::Nothing => Settings::default(),
        };
        let mut service = Service::prepare(settings);
        if page.runs != Runs::Nothing {
            service.launch().await;
        }
        let own =
            |address: String| address.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        let known = [own(service.mqtt()), own(service.http())];
        let known = known.map(|port: Option<u16>| port.filter(|port| *port != 0));
        let free: Vec<TcpListener> =
            PORTS.iter().map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let free = free.iter().map(|it| it.local_addr().unwrap().port());
        let known = known.into_iter().chain(std::iter::repeat(None));
        let ports = free.zip(known).map(|(free, known)| known.unwrap_or(free)).collect();
        Self { page, service, ports }
    }

    fn dir(&self) -> &Path {
        self.service.dir()
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }

    /// A page's text, with addresses and folders of this test in place of those that readers have.
    fn moved(&self, text: &str) -> String {
        let ports = Regex::new(&format!(r"\b({})\b", PORTS.map(|port| port.to_string()).join("|")));
        let text = ports.unwrap().replace_all(text, |found: &regex::Captures<'_>| {
            let at = PORTS.iter().position(|port| found[0] == port.to_string());
            self.ports[at.expect("it is one of them")].to_string()
        });
        let folders = format!(r#"(^|[\s"'=:<>(@])({})\b"#, MACHINE.join("|"));
        let folders = Regex::new(&folders).unwrap();
        let below = format!("${{1}}{}${{2}}", self.at("machine").display());
        folders.replace_all(&text, below).into_owned()
    }

    /// Writes everything that bash needs.
    fn write(&self) {
        for folder in ["page/target/release", "home/.local/state", "bin", "python"] {
            std::fs::create_dir_all(self.at(folder)).unwrap();
        }
        for folder in MACHINE {
            std::fs::create_dir_all(self.at(&format!("machine{folder}"))).unwrap();
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let link = |to: &Path, name: &str| std::os::unix::fs::symlink(to, self.at(name)).unwrap();
        let stand_in = root.join("tests/it/docs/stand-in");
        STAND_INS.into_iter().for_each(|name| link(&stand_in, &format!("bin/{name}")));
        link(&self.at("bin/bellwire"), "page/target/release/bellwire");
        CLONE.into_iter().for_each(|name| link(&root.join(name), &format!("page/{name}")));
        link(&self.service.data_dir(), "home/.local/state/bellwire");
        let mut script = FRAME.to_owned();
        for (step, part) in self.page.parts.iter().enumerate() {
            let last = last_line(part);
            writeln!(script, "story_step={step} story_line={last}").unwrap();
            match part {
                Part::Before { line, commands } => self.step(&mut script, step, *line, commands),
                Part::Block(block) => self.block(&mut script, step, block),
            }
        }
        std::fs::write(self.at("story.sh"), script).unwrap();
        if self.page.runs != Runs::Nothing {
            std::fs::write(self.at("service"), self.service.pid().to_string()).unwrap();
        }
    }

    fn block(&self, script: &mut String, step: usize, block: &Block) {
        if let Some(name) = &block.file {
            std::fs::write(self.at(&format!("{step}.file")), self.moved(&block.text)).unwrap();
            let file = format!("\"$STORY/{step}.file\"");
            writeln!(script, "mkdir -p \"$(dirname '{name}')\"\ncat {file} >'{name}'").unwrap();
            return;
        }
        if block.not_run.is_some() {
            return;
        }
        match (&*block.language, block.exit) {
            ("sh", None) => self.step(script, step, block.line, &block.text),
            ("sh", Some(code)) => {
                let (last, text) = lines(block).pop().expect("a block has a line");
                let before = block.text.lines().take(last - block.line);
                let before: String = before.flat_map(|line| [line, "\n"]).collect();
                self.step(script, step, block.line, &before);
                std::fs::write(self.at(&format!("{step}.last")), self.moved(&text)).unwrap();
                let run = format!("source \"$STORY/{step}.last\" >>\"$STORY/{step}.out\" 2>&1");
                writeln!(script, "{run} && code=0 || code=$?\nstory_ended $code {code}").unwrap();
            }
            ("sql", _) => {
                let padded = padded(block.line, &self.moved(&block.text));
                std::fs::write(self.at(&format!("{step}.sql")), padded).unwrap();
                let psql = "psql -X -v ON_ERROR_STOP=1 \"$(story_database)\"";
                let files = format!("-f \"$STORY/{step}.sql\" >\"$STORY/{step}.out\" 2>&1");
                writeln!(script, "{psql} {files}").unwrap();
            }
            _ => {}
        }
    }

    /// Commands that begin in this line of the page.
    fn step(&self, script: &mut String, step: usize, line: usize, commands: &str) {
        let padded = padded(line, &self.moved(commands));
        std::fs::write(self.at(&format!("{step}.sh")), padded).unwrap();
        writeln!(script, "source \"$STORY/{step}.sh\" >\"$STORY/{step}.out\" 2>&1").unwrap();
    }

    fn environment(&self, command: &mut Command) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let path = std::env::var("PATH").unwrap();
        let port = |of: u16| {
            let at = PORTS.iter().position(|port| *port == of);
            self.ports[at.expect("it is one of them")].to_string()
        };
        command
            .env("PATH", format!("{}:{path}", self.at("bin").display()))
            .env("HOME", self.at("home"))
            .env("PYTHONPATH", self.at("python"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("BELLWIRE_DATA_DIR", self.service.data_dir())
            .env("BELLWIRE_MQTT_LISTEN", format!("127.0.0.1:{}", port(1883)))
            .env("BELLWIRE_HTTP_LISTEN", format!("127.0.0.1:{}", port(8080)))
            .env("STORY", self.dir())
            .env("STORY_PATH", path)
            .env("STORY_BELLWIRE", env!("CARGO_BIN_EXE_bellwire"))
            .env("STORY_PACKAGES", root.join("tests/interop"))
            .env("STORY_HTTP_PORT", port(8080))
            .env("STORY_MQTT_PORT", port(1883))
            .env("STORY_MQTTS_PORT", port(8883));
    }

    /// What a step said.
    fn said(&self, step: usize) -> String {
        let said = std::fs::read(self.at(&format!("{step}.out"))).unwrap_or_default();
        String::from_utf8_lossy(&said).into_owned()
    }

    fn failed(&self) -> Option<Failed> {
        let text = std::fs::read_to_string(self.at("failed")).ok()?;
        let numbers: Vec<i32> = text.split_whitespace().map(|it| it.parse().unwrap()).collect();
        let [step, line, code] = numbers[..] else { panic!("three numbers: {text}") };
        Some(Failed { step: step.try_into().unwrap(), line: line.try_into().unwrap(), code })
    }

    /// What came of it; `None` if it did not end.
    fn outcome(&self, succeeded: Option<bool>) -> Result<(), String> {
        let failed = self.failed();
        let reached = failed.as_ref().map_or(self.page.parts.len(), |failed| failed.step);
        for (step, part) in self.page.parts.iter().enumerate().take(reached) {
            let Part::Block(block) = part else { continue };
            let said = self.said(step);
            if succeeded.is_none() && said.is_empty() {
                continue;
            }
            if let Some(text) = block.shows.iter().find(|text| !said.contains(*text)) {
                let place = format!("{}:{}", self.page.path, block.line);
                return Err(format!("{place}: does not show `{text}`, but:\n{said}"));
            }
        }
        match (failed, succeeded) {
            (Some(failed), _) => Err(self.failure(&failed)),
            (None, Some(true)) => Ok(()),
            (None, Some(false)) => {
                Err(format!("{}: the story broke:\n{}", self.page.path, self.log()))
            }
            (None, None) => Err(self.unended()),
        }
    }

    /// The page's line, and with it those that it goes on in.
    fn command(&self, step: usize, line: usize) -> String {
        match &self.page.parts[step] {
            Part::Before { commands, .. } => commands.clone(),
            Part::Block(block) => {
                let mut begun = lines(block).into_iter().filter(|(first, _)| *first <= line);
                begun.next_back().map(|(_, text)| text).unwrap_or_default()
            }
        }
    }

    fn failure(&self, failed: &Failed) -> String {
        let Failed { step, line, code } = *failed;
        let (place, said) = (format!("{}:{line}", self.page.path), self.said(step));
        let command = self.command(step, line);
        format!("{place}: `{command}` ended with {code}:\n{said}\n{}", self.log())
    }

    fn unended(&self) -> String {
        let written = |step: &usize| self.at(&format!("{step}.out")).exists();
        let step = (0..self.page.parts.len()).rfind(written);
        let said = step.map(|step| self.said(step)).unwrap_or_default();
        let line = step.map_or(0, |step| match &self.page.parts[step] {
            Part::Before { line, .. } => *line,
            Part::Block(block) => block.line,
        });
        format!("{}:{line}: a command of this block does not end:\n{said}", self.page.path)
    }

    /// The last lines that the service and bash said.
    fn log(&self) -> String {
        let later = std::fs::read_to_string(self.at("service.log")).unwrap_or_default();
        let broken = std::fs::read_to_string(self.at("story.err")).unwrap_or_default();
        let all = format!("{}{later}{broken}", self.service.log());
        let all: Vec<&str> = all.lines().collect();
        let lines = &all[all.len().saturating_sub(8)..];
        format!("(the service: {})", lines.join("\n"))
    }

    /// Ends what the page has started, and waits until it is gone.
    async fn end(&self, group: u32) {
        let all = || -> libc::pid_t { group.try_into().expect("it is a process") };
        // SAFETY: kill has no preconditions; the processes are ours.
        unsafe { libc::kill(-all(), libc::SIGTERM) };
        let later = std::fs::read_to_string(self.at("service")).unwrap_or_default();
        if let Ok(pid) = later.trim().parse() {
            send_signal(pid, libc::SIGTERM);
            let gone = || {
                let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
                stat.is_empty() || stat.contains(") Z ")
            };
            wait_until("the page's service has ended", gone).await;
        }
        // SAFETY: as above.
        unsafe { libc::kill(-all(), libc::SIGKILL) };
    }
}

/// The line of a part's last command.
fn last_line(part: &Part) -> usize {
    match part {
        Part::Before { line, commands } => line + commands.lines().count() - 1,
        Part::Block(block) => lines(block).last().map_or(block.line, |(line, _)| *line),
    }
}

/// A text that begins in this line of its file.
fn padded(line: usize, text: &str) -> String {
    format!("{}{text}", "\n".repeat(line - 1))
}
