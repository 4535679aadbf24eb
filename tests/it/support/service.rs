//! The whole service as a user runs it: the real program, in a data directory of its own.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::process::{Child, Command};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::http;
use super::shim::BadDisk;
use super::template;

/// How long anything may take here before the test fails: machines are shared and noisy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How a service is started.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    /// Alert rules and labels, TOML.
    pub(crate) rules: Option<String>,
    /// More of the environment: `BELLWIRE_…`, `LD_PRELOAD`.
    pub(crate) environment: Vec<(String, String)>,
    /// Whether it asks for credentials.
    pub(crate) entry: Entry,
}

/// Whether a service asks for credentials.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Entry {
    /// Everyone comes in: `--insecure`.
    #[default]
    Open,
    /// It does.
    Guarded,
}

impl Settings {
    pub(crate) fn with_rules(rules: &str) -> Self {
        Self { rules: Some(rules.to_owned()), ..Self::default() }
    }

    pub(crate) fn guarded() -> Self {
        Self { entry: Entry::Guarded, ..Self::default() }
    }

    pub(crate) fn set(mut self, name: &str, value: impl ToString) -> Self {
        self.environment.push((name.to_owned(), value.to_string()));
        self
    }
}

/// A service and its data directory; both end when it is dropped.
#[derive(Debug)]
pub(crate) struct Service {
    dir: PathBuf,
    settings: Settings,
    /// The disk it is started on, if there is something wrong with it.
    disk: Option<BadDisk>,
    /// What is run.
    program: PathBuf,
    child: Option<Child>,
    endpoints: Value,
}

impl Service {
    /// A data directory, and no service yet. Readable for others: PostgreSQL may run as another
    /// user.
    pub(crate) fn prepare(settings: Settings) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("bellwire-it-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        if let Some(rules) = &settings.rules {
            std::fs::write(dir.join("rules.toml"), rules).unwrap();
        }
        let program = program();
        Self { dir, settings, disk: None, program, child: None, endpoints: Value::Null }
    }

    /// From the next start on, this is in its environment too.
    pub(crate) fn set(&mut self, name: &str, value: impl ToString) {
        self.settings.environment.push((name.to_owned(), value.to_string()));
    }

    /// From the next start on, this program is run: another release.
    pub(crate) fn set_program(&mut self, program: PathBuf) {
        self.program = program;
    }

    /// Starts a service and waits until it is ready.
    pub(crate) async fn start(settings: Settings) -> Self {
        let mut service = Self::prepare(settings);
        service.launch().await;
        service
    }

    /// From the next start on, its log lies on this disk, as `spoil` makes it of a good one.
    pub(crate) fn set_disk(&mut self, spoil: impl FnOnce(BadDisk) -> BadDisk) {
        let log = self.data_dir().join("log");
        std::fs::create_dir_all(&log).unwrap();
        self.disk = Some(spoil(BadDisk::below(&log)));
    }

    /// From the next start on, its managed database has such a disk below `folder` of the data
    /// directory. The service itself has it there too, once the folder exists.
    pub(crate) fn set_database_disk(
        &mut self,
        folder: &Path,
        spoil: impl FnOnce(BadDisk) -> BadDisk,
    ) {
        let disk = BadDisk::below(&self.data_dir().join(folder));
        self.disk = Some(spoil(disk.for_others_in(&self.dir)));
    }

    /// From the next start on, there is nothing wrong with its disk.
    pub(crate) fn mend_disk(&mut self) {
        self.disk = None;
    }

    /// Starts it (again) and waits until it is ready. Ports stay the same over restarts.
    pub(crate) async fn launch(&mut self) {
        self.spawn();
        let endpoints = self.dir.join("data/endpoints.json");
        let until = Instant::now() + PATIENCE;
        let mut poll = poll();
        loop {
            poll.tick().await;
            let text = std::fs::read(&endpoints).ok();
            if let Some(value) = text.and_then(|text| serde_json::from_slice(&text).ok()) {
                self.endpoints = value;
                return;
            }
            let child = self.child.as_mut().expect("just started");
            if let Some(status) = child.try_wait().unwrap() {
                panic!("the service ended with {status}:\n{}", self.log());
            }
            assert!(Instant::now() < until, "the service is not ready:\n{}", self.log());
        }
    }

    /// Starts the program and does not wait.
    pub(crate) fn spawn(&mut self) {
        let _ = std::fs::remove_file(self.dir.join("data/endpoints.json"));
        if self.begins_with_a_database() {
            template::give(&self.program, &self.data_dir());
        }
        let log = std::fs::File::options().create(true).append(true).open(self.log_path()).unwrap();
        let arguments: &[&str] = match self.settings.entry {
            Entry::Open => &["serve", "--insecure"],
            Entry::Guarded => &["serve"],
        };
        let mut command = self.program(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        if let Some(disk) = &self.disk {
            disk.for_command(command.as_std_mut());
        }
        self.child = Some(command.spawn().unwrap());
    }

    /// Whether this is its first start, with a managed database as there are many.
    fn begins_with_a_database(&self) -> bool {
        let elsewhere = ["BELLWIRE_DATABASE_URL", "BELLWIRE_DATABASE_BIN_DIR"];
        let environment = &self.settings.environment;
        let is_managed = !environment.iter().any(|(name, _)| elsewhere.contains(&name.as_str()));
        is_managed && self.disk.is_none() && self.program == program() && !self.data_dir().exists()
    }

    /// The program, to be run with these arguments and the service's own configuration.
    pub(crate) fn program(&self, arguments: &[&str]) -> Command {
        let mut command = Command::from(bare(&self.program));
        command
            .args(arguments)
            .env("BELLWIRE_DATA_DIR", self.data_dir())
            .env("BELLWIRE_MQTT_LISTEN", self.address("mqtt"))
            .env("BELLWIRE_HTTP_LISTEN", self.address("http"))
            // So often that every test, and every kill in one, meets the compactor at work.
            .env("BELLWIRE_DATABASE_COMPACT_INTERVAL_MS", "300");
        if self.settings.rules.is_some() {
            command.env("BELLWIRE_RULES", self.rules_path());
        }
        command
            .envs(self.settings.environment.iter().map(|(name, value)| (name, value)))
            .kill_on_drop(true);
        command
    }

    /// What `/metrics` says.
    pub(crate) async fn metrics(&self) -> String {
        http::get(&self.http(), "/metrics").await.unwrap().1
    }

    /// Runs the program beside the service and gives what it says on stdout, without the line's end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> String {
        let output = self.program(arguments).output().await.unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// The address it had before, or any free one.
    fn address(&self, what: &str) -> String {
        let known = match &self.endpoints[what] {
            Value::Array(addresses) => addresses.first().and_then(Value::as_str),
            other => other.as_str(),
        };
        known.unwrap_or("127.0.0.1:0").to_owned()
    }

    /// Kills it as a power cut would, and waits until it is gone.
    pub(crate) async fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().await.unwrap();
        }
    }

    /// Removes everything of a service that was killed: data directory and managed database.
    pub(crate) async fn destroy(&mut self) {
        if let Some(pid) = self.postgres_pid() {
            send_signal(pid, libc::SIGQUIT);
            let gone = || self.postgres_pid().is_none();
            wait_until("its database has ended", gone).await;
        }
        std::fs::remove_dir_all(self.data_dir()).unwrap();
    }

    /// Asks it to stop and waits until it has.
    pub(crate) async fn stop(&mut self) -> ExitStatus {
        self.signal(libc::SIGTERM);
        self.ended().await
    }

    /// Waits until it has ended of itself.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("it runs");
        match timeout(PATIENCE, child.wait()).await {
            Ok(status) => status.unwrap(),
            Err(_) => panic!("the service does not end:\n{}", self.log()),
        }
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: libc::c_int) {
        send_signal(self.pid(), signal);
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().and_then(Child::id).expect("it runs")
    }

    /// The process of its managed PostgreSQL, if there is one.
    pub(crate) fn postgres_pid(&self) -> Option<u32> {
        let file = self.data_dir().join("postgres/postmaster.pid");
        std::fs::read_to_string(file).ok()?.lines().next()?.trim().parse().ok()
    }

    /// Where MQTT listens, `host:port`.
    pub(crate) fn mqtt(&self) -> String {
        self.address("mqtt")
    }

    /// Where HTTP listens, `host:port`.
    pub(crate) fn http(&self) -> String {
        self.address("http")
    }

    /// The URL of its database.
    pub(crate) fn database_url(&self) -> String {
        let own =
            self.settings.environment.iter().find(|(name, _)| name == "BELLWIRE_DATABASE_URL");
        match own {
            Some((_, url)) => url.clone(),
            None => self.endpoints["database"].as_str().expect("it is managed").to_owned(),
        }
    }

    /// What programs on this machine come in with, as a line of a request's head; empty where nobody asks.
    pub(crate) fn authorization(&self) -> String {
        match std::fs::read_to_string(self.data_dir().join("local-token")) {
            Ok(token) => format!("Authorization: Bearer {}\r\n", token.trim()),
            Err(_) => String::new(),
        }
    }

    /// Asks the API; the status and the JSON body.
    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        http::get_json_as(&self.http(), path, &self.authorization()).await.unwrap()
    }

    /// Waits until the API's answer satisfies `done`, and gives it.
    pub(crate) async fn wait_for(&self, path: &str, done: impl Fn(&Value) -> bool) -> Value {
        let until = Instant::now() + PATIENCE;
        let mut poll = poll();
        loop {
            poll.tick().await;
            let answer = http::get_json_as(&self.http(), path, &self.authorization()).await;
            match &answer {
                Ok((200, body)) if done(body) => return body.clone(),
                _ => assert!(Instant::now() < until, "{path}: {answer:?}\n{}", self.log()),
            }
        }
    }

    /// A connection to its database.
    pub(crate) async fn sql(&self) -> tokio_postgres::Client {
        connect(&self.database_url()).await
    }

    /// What it said on stderr, all starts together.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Fails if it warned of anything that is not expected: each such line must contain one of
    /// `expected`.
    pub(crate) fn assert_quiet(&self, expected: &[&str]) {
        let log = self.log();
        let bad: Vec<_> = log
            .lines()
            .filter(|line| {
                line.contains("WARN") || line.contains("ERROR") || line.contains("panicked")
            })
            .filter(|line| !expected.iter().any(|text| line.contains(text)))
            .collect();
        assert!(bad.is_empty(), "unexpected:\n{}", bad.join("\n"));
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// The rules file it watches.
    pub(crate) fn rules_path(&self) -> PathBuf {
        self.dir.join("rules.toml")
    }

    /// The folder that holds everything of it.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    fn log_path(&self) -> PathBuf {
        self.dir.join("stderr.log")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.child.take());
        // A managed server outlives a killed service, to be adopted by the next: end it here.
        if let Some(pid) = self.postgres_pid() {
            send_signal(pid, libc::SIGQUIT);
        }
        if std::thread::panicking() {
            eprintln!("the service's folder is left at {}", self.dir.display());
        } else {
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}

/// The program that is tested: this build's, or the one that `BELLWIRE_TEST_PROGRAM` names, a release build say.
pub(crate) fn program() -> PathBuf {
    let named = std::env::var_os("BELLWIRE_TEST_PROGRAM");
    named.unwrap_or_else(|| env!("CARGO_BIN_EXE_bellwire").into()).into()
}

/// A program that finds nothing of ours in its environment.
pub(crate) fn bare(program: &Path) -> std::process::Command {
    let mut command = std::process::Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("BELLWIRE_") {
            command.env_remove(name);
        }
    }
    command
}

/// Sends a signal to a process that we started.
pub(crate) fn send_signal(pid: u32, signal: libc::c_int) {
    let pid = libc::pid_t::try_from(pid).unwrap();
    // SAFETY: kill has no preconditions; the process is ours.
    unsafe { libc::kill(pid, signal) };
}

/// A connection to a database, driven until the client is dropped.
pub(crate) async fn connect(url: &str) -> tokio_postgres::Client {
    try_connect(url).await.expect("the database answers")
}

/// The same; `None` if the database does not answer.
pub(crate) async fn try_connect(url: &str) -> Option<tokio_postgres::Client> {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.ok()?;
    spawn(async move {
        let _ = connection.await;
    });
    Some(client)
}

/// Runs a task beside the test; tests end with their runtime, tasks included.
#[expect(clippy::disallowed_methods, reason = "a test's runtime ends with the test")]
pub(crate) fn spawn<F>(future: F) -> tokio::task::JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tokio::spawn(future)
}

/// A pulse for looking at a state until it is as wanted.
pub(crate) fn poll() -> tokio::time::Interval {
    let mut pulse = interval(Duration::from_millis(20));
    pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pulse
}

/// Waits until `done` says so; fails after [`PATIENCE`], saying `what` was awaited.
pub(crate) async fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    let mut poll = poll();
    while !done() {
        assert!(Instant::now() < until, "waited in vain: {what}");
        poll.tick().await;
    }
}
