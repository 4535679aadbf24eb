//! A PostgreSQL server of our own, in the data directory: nothing to set up.
//!
//! It is a child process, reachable through a Unix socket only. It is *not* bound to our life: it
//! survives a `kill -9` of ours, finishes what it was sent, and the next start adopts it. Killing
//! it with us would gain nothing but its crash recovery. It runs in a process group of its own, so
//! that a Ctrl-C meant for us does not stop it before *keep* is done. It is only ever stopped by a
//! fast shutdown, never by SIGKILL; a [`Managed`] that is dropped leaves it running.
//!
//! Run by root, the server runs as `postgres`, or as `nobody` where that does not exist; then the
//! cluster belongs to that user, and nothing else does.

mod binaries;
mod cluster;
mod door;
mod process;
mod user;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{info, warn};

pub(crate) use self::binaries::{Binaries, installed_dirs, version_of};
use self::cluster::Layout;
pub(crate) use self::cluster::{NAME, cluster_major, last_line_of};
use self::door::Door;
use self::process::{PidFile, Server, Status, runs_on};
use self::user::ServerUser;
pub(crate) use self::user::effective_uid;
use crate::connect::{Target, deadline, failed};
use crate::{Config, Error, Metrics};

/// How often we look whether the server has come up or gone down.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What [`Managed::ensure_running`] had to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Running {
    /// Nothing: it ran.
    Already,
    /// It ran, started by an earlier process of ours.
    Adopted,
    /// It was started.
    Started,
}

/// A PostgreSQL server of our own.
#[derive(Debug)]
pub struct Managed {
    layout: Layout,
    bin_dir: Option<PathBuf>,
    start_timeout: Duration,
    stop_timeout: Duration,
    extra_settings: &'static str,
    door: Option<Door>,
    metrics: Metrics,
    server: Mutex<Option<Server>>,
}

impl Managed {
    /// A server in `data_dir`, which is created; nothing is started yet.
    pub(crate) fn new(config: &Config, data_dir: &Path, metrics: Metrics) -> Result<Self, Error> {
        Ok(Self {
            layout: Layout::in_data_dir(data_dir)?,
            bin_dir: config.bin_dir.clone(),
            start_timeout: config.start_timeout(),
            stop_timeout: config.stop_timeout(),
            extra_settings: "",
            door: Door::of(&config.reader),
            metrics,
            server: Mutex::new(None),
        })
    }

    /// With these lines at the end of its settings.
    pub(crate) const fn with_settings(mut self, lines: &'static str) -> Self {
        self.extra_settings = lines;
        self
    }

    /// How to reach it.
    pub(crate) fn connection(&self) -> tokio_postgres::Config {
        let mut pg = tokio_postgres::Config::new();
        pg.host_path(&self.layout.socket_dir).port(self.port()).user(NAME).dbname(NAME);
        pg
    }

    /// Its port, which is part of its socket's name too.
    pub(crate) fn port(&self) -> u16 {
        self.door.as_ref().map_or(PORT, Door::port)
    }

    /// Where its socket lies.
    pub(crate) fn socket_dir(&self) -> &Path {
        &self.layout.socket_dir
    }

    /// Starts the server unless it runs; makes the cluster the first time. Call it again whenever
    /// the database does not answer: a server that died is started anew.
    ///
    /// `target` is [`Managed::connection`] with its limits.
    ///
    /// # Errors
    /// [`Error`]; [`Error::is_transient`] ones are worth another call.
    ///
    /// # Cancel safety
    /// Dropped half-way, the server may run; the next call adopts it.
    pub(crate) async fn ensure_running(&self, target: &Target) -> Result<Running, Error> {
        let mut server = self.server.lock().await;
        if let Some(known) = server.as_mut() {
            if known.is_alive(&self.layout.cluster) {
                return Ok(Running::Already);
            }
            warn!(postgres.pid = known.pid(), "PostgreSQL has ended; starting it again.");
            *server = None;
        }
        let end = Instant::now() + self.start_timeout;
        let running = if let Some(pid) = self.find_running(end).await? {
            info!(postgres.pid = pid, "PostgreSQL is running already.");
            *server = Some(Server::adopted(pid));
            Running::Adopted
        } else {
            *server = Some(self.start(end).await?);
            Running::Started
        };
        match timeout_at(end, ensure_database(target)).await {
            Ok(made) => made.map(|()| running),
            Err(_) => Err(deadline("making the database", self.start_timeout)),
        }
    }

    /// Stops the server if it runs, whoever started it, and waits until it has ended.
    ///
    /// # Errors
    /// [`Error::Deadline`] if it takes longer than `database.stop_timeout_ms`; it is still ending.
    pub async fn stop(&self) -> Result<(), Error> {
        let mut server = self.server.lock().await;
        let cluster = &self.layout.cluster;
        let running = server.take().or_else(|| {
            let file = PidFile::read(cluster).filter(|file| runs_on(file.pid, cluster))?;
            Some(Server::adopted(file.pid))
        });
        let Some(mut running) = running else { return Ok(()) };
        let end = Instant::now() + self.stop_timeout;
        running.ask_to_stop();
        while running.is_alive(cluster) {
            if Instant::now() >= end {
                *server = Some(running);
                return Err(deadline("stopping PostgreSQL", self.stop_timeout));
            }
            sleep(LOOK_EVERY).await;
        }
        self.layout.remove_outer_socket_dir();
        info!("Stopped PostgreSQL.");
        Ok(())
    }

    /// Whether a server runs on our cluster, whoever started it.
    pub(crate) fn is_running(&self) -> bool {
        let cluster = &self.layout.cluster;
        PidFile::read(cluster).is_some_and(|file| runs_on(file.pid, cluster))
    }

    /// The process of the server, while one of ours runs.
    pub async fn pid(&self) -> Option<i32> {
        self.server.lock().await.as_ref().map(Server::pid)
    }

    /// A server that runs on our cluster and is ready to be used as it is.
    async fn find_running(&self, end: Instant) -> Result<Option<i32>, Error> {
        let cluster = &self.layout.cluster;
        let mut asked = false;
        loop {
            let file = PidFile::read(cluster).filter(|file| runs_on(file.pid, cluster));
            let Some(file) = file else { return Ok(None) };
            if file.status == Status::Ready {
                let is_here = file.socket_dir == self.layout.socket_dir;
                if is_here && Door::is_open(self.door.as_ref(), &file) {
                    return Ok(Some(file.pid));
                }
                // Its socket is not where we look: the data directory has moved. Or it listens
                // elsewhere than is configured now. Start it anew.
                if !asked {
                    asked = true;
                    Server::adopted(file.pid).ask_to_stop();
                }
            }
            self.wait_a_little(end).await?;
        }
    }

    async fn wait_a_little(&self, end: Instant) -> Result<(), Error> {
        if Instant::now() >= end {
            return Err(deadline("starting PostgreSQL", self.start_timeout));
        }
        sleep(LOOK_EVERY).await;
        Ok(())
    }

    /// Starts a server and waits until it is ready.
    async fn start(&self, end: Instant) -> Result<Server, Error> {
        let layout = &self.layout;
        let wanted = layout.major().map(|major| (major, layout.cluster.as_path()));
        let binaries = Binaries::find(self.bin_dir.as_deref(), wanted)?;
        let user = ServerUser::choose()?;
        if let (Some(user), Some(data_dir)) = (&user, layout.cluster.parent()) {
            user.can_enter(data_dir)?;
        }
        if wanted.is_none() {
            layout.init(&binaries, user.as_ref()).await?;
        }
        layout.prepare(&binaries, user.as_ref(), self.door.as_ref(), self.extra_settings)?;
        loop {
            let (log, skip) = layout.open_log()?;
            let mut server = self.spawn(&binaries, user.as_ref(), log)?;
            self.metrics.server_starts.inc();
            while server.is_alive(&layout.cluster) {
                let file = PidFile::read(&layout.cluster).filter(|file| file.pid == server.pid());
                if file.is_some_and(|file| file.status == Status::Ready) {
                    info!(postgres.pid = server.pid(), "Started PostgreSQL.");
                    return Ok(server);
                }
                self.wait_a_little(end).await?;
            }
            let last_line = layout.last_words(skip);
            // The backends of a killed server need a moment to notice.
            if !last_line.contains("shared memory block") || Instant::now() >= end {
                return Err(Error::Start { last_line, log: layout.log.clone() });
            }
            self.wait_a_little(end).await?;
        }
    }

    fn spawn(
        &self,
        binaries: &Binaries,
        user: Option<&ServerUser>,
        log: std::fs::File,
    ) -> Result<Server, Error> {
        let program = binaries.program("postgres");
        let failed = |source| Error::Files { doing: "running", path: program.clone(), source };
        let stdout = log.try_clone().map_err(failed)?;
        let mut command = Command::new(&program);
        command
            .arg("-D")
            .arg(&self.layout.cluster)
            .current_dir("/")
            // It would say there that it is ready, which is no news of ours.
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(log)
            .process_group(0)
            .kill_on_drop(false);
        if let Some(user) = user {
            user.run(&mut command);
        }
        let child = command.spawn().map_err(failed)?;
        Server::started(child).ok_or_else(|| Error::Start {
            last_line: "it ended at once".into(),
            log: self.layout.log.clone(),
        })
    }
}

/// PostgreSQL's own default; part of the socket's name.
pub(crate) const PORT: u16 = 5432;

/// Makes our database, which a new cluster has not. Whoever was killed in the middle of it has left
/// a statement that still runs: the lock goes with its session.
async fn ensure_database(target: &Target) -> Result<(), Error> {
    let doing = "making the database";
    let link = target.with_database("postgres").connect("bellwire start").await?;
    link.client
        .execute("SELECT pg_advisory_lock($1)", &[&crate::migrate::LOCK])
        .await
        .map_err(failed(doing))?;
    let known = link
        .client
        .query_opt("SELECT FROM pg_database WHERE datname = $1", &[&NAME])
        .await
        .map_err(failed(doing))?;
    if known.is_none() {
        let create = format!("CREATE DATABASE {NAME}");
        link.client.batch_execute(&create).await.map_err(failed(doing))?;
    }
    crate::migrate::unlock(&link.client).await
}
