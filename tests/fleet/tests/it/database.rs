//! The check against a real PostgreSQL: what is lost or there twice is found, and nothing else.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bellwire_fleet::{AckLog, DeviceAcks, Report, verify, verify_within};
use bellwire_model::DeviceId;
use tokio_postgres::NoTls;

use crate::support::PATIENCE;

/// A PostgreSQL of the test's own, gone with it.
struct Postgres {
    server: Child,
    dir: tempfile::TempDir,
}

impl Postgres {
    async fn start() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let bin = newest_server().expect("PostgreSQL is installed: apt-get install postgresql");
        let data = dir.path().join("data");
        std::fs::create_dir(&data).expect("made");
        let user = server_user();
        if let Some((uid, gid)) = user {
            for path in [dir.path(), &data] {
                std::os::unix::fs::chown(path, Some(uid), Some(gid)).expect("given away");
            }
        }
        let command = |program: &str| {
            let mut command = Command::new(bin.join(program));
            command.arg("-D").arg(&data).current_dir(dir.path());
            command.stdout(Stdio::null()).stderr(Stdio::null());
            if let Some((uid, gid)) = user {
                command.uid(uid).gid(gid);
            }
            command
        };
        let options = ["--username=test", "--auth=trust", "--no-sync", "--encoding=UTF8"];
        let made = command("initdb").args(options).status().expect("initdb runs");
        assert!(made.success(), "initdb: {made}");
        let server = command("postgres")
            .args(["-c", "listen_addresses=", "-c", "fsync=off", "-c"])
            .arg(format!("unix_socket_directories={}", dir.path().display()))
            .spawn()
            .expect("the server starts");
        let postgres = Self { server, dir };
        let ready = async {
            while tokio_postgres::connect(&postgres.url(), NoTls).await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, ready).await.expect("the server answers");
        postgres
    }

    fn url(&self) -> String {
        format!("host={} user=test dbname=postgres", self.dir.path().display())
    }

    async fn execute(&self, sql: &str) {
        let (client, connection) = tokio_postgres::connect(&self.url(), NoTls).await.expect("up");
        tokio::select! {
            done = client.batch_execute(sql) => done.expect("done"),
            ended = connection => panic!("{ended:?}"),
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // The server ends its backends itself when it is asked to, not when it is killed.
        let pid = self.server.id().to_string();
        let asked = Command::new("kill").args(["-INT", &pid]).status();
        if asked.is_ok_and(|status| status.success()) {
            let _ = self.server.wait();
        }
    }
}

fn newest_server() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let bins = versions.filter_map(|version| Some(version.ok()?.path().join("bin")));
    let version_of =
        |bin: &PathBuf| -> Option<u32> { bin.parent()?.file_name()?.to_str()?.parse().ok() };
    bins.filter(|bin| bin.join("initdb").is_file()).max_by_key(version_of)
}

/// Whom the server runs as where we are root, which it refuses to: the user that Debian made for
/// it.
fn server_user() -> Option<(u32, u32)> {
    use std::os::unix::fs::MetadataExt as _;
    let we_are_root = std::fs::metadata("/proc/self").expect("procfs").uid() == 0;
    if !we_are_root {
        return None;
    }
    let users = std::fs::read_to_string(Path::new("/etc/passwd")).expect("readable");
    let line = users.lines().find(|line| line.starts_with("postgres:")).expect("user postgres");
    let mut fields = line.split(':').skip(2).map(|field| field.parse().expect("a number"));
    Some((fields.next().expect("a user"), fields.next().expect("a group")))
}

/// The stable view, over a table of the test's own.
const SCHEMA: &str = "
    CREATE TABLE rows (at timestamptz, device text, metric text, value float8);
    CREATE VIEW readings AS SELECT at, device, metric, value, NULL::text AS text FROM rows;
    INSERT INTO rows
        SELECT now(), 'whole', 'n', n FROM generate_series(1, 5000) AS n
        UNION ALL SELECT now(), 'whole', 'temperature', 20 FROM generate_series(1, 5000)
        UNION ALL SELECT now(), 'lossy', 'n', n FROM generate_series(1, 100) AS n
            WHERE n NOT IN (7, 8, 50)
        UNION ALL SELECT now(), 'twice', 'n', n FROM generate_series(1, 100) AS n
        UNION ALL SELECT now(), 'twice', 'n', n FROM generate_series(10, 12) AS n
        UNION ALL SELECT now(), 'twice', 'n', 12
        UNION ALL SELECT now(), 'later', 'n', n FROM generate_series(1, 40) AS n;";

fn log(devices: &[(&str, u64, u64, &str)]) -> AckLog {
    let mut log = AckLog::default();
    for (name, first, next, acknowledged) in devices {
        let acks = DeviceAcks {
            next: *next,
            acknowledged: acknowledged.parse().expect("ranges"),
            ..DeviceAcks::starting_at(*first)
        };
        log.insert(DeviceId::new(name).expect("valid"), acks);
    }
    log
}

fn of(device: &str, a: u64, b: u64) -> (DeviceId, u64, u64) {
    (DeviceId::new(device).expect("valid"), a, b)
}

#[tokio::test]
async fn what_is_lost_or_twice_is_found_and_nothing_else() {
    let postgres = Postgres::start().await;
    postgres.execute(SCHEMA).await;
    let url = postgres.url();
    let check = async |log: AckLog, expected: Report| {
        assert_eq!(verify(&url, &log).await.expect("answered"), expected);
    };
    check(AckLog::default(), Report::default()).await;
    let counts = Report { devices: 1, ..Report::default() };
    check(
        log(&[("whole", 1, 5001, "1-5000")]),
        Report { acknowledged: 5000, found: 5000, ..counts.clone() },
    )
    .await;
    // 7 and 8 are missing but were never acknowledged; 50 was.
    let lossy = Report {
        acknowledged: 97,
        unacknowledged: 4,
        found: 97,
        unacknowledged_but_found: 1,
        lost: 1,
        lost_ranges: vec![of("lossy", 50, 50)],
        ..counts.clone()
    };
    check(log(&[("lossy", 1, 102, "1-6,9-98,100")]), lossy).await;
    let twice = Report {
        acknowledged: 100,
        found: 100,
        twice: 4,
        twice_details: vec![of("twice", 10, 2), of("twice", 11, 2), of("twice", 12, 3)],
        ..counts.clone()
    };
    assert!(!twice.is_exact());
    check(log(&[("twice", 1, 101, "1-100")]), twice).await;
    // Another run of the same device is none of our business.
    check(
        log(&[("later", 41, 43, "-"), ("nobody", 1, 1, "-"), ("gone", 1, 3, "1-2")]),
        Report {
            devices: 3,
            acknowledged: 2,
            unacknowledged: 2,
            lost: 2,
            lost_ranges: vec![of("gone", 1, 2)],
            ..Report::default()
        },
    )
    .await;
}

#[tokio::test]
async fn readings_that_are_still_on_their_way_are_awaited() {
    let postgres = Postgres::start().await;
    let log = log(&[("slow", 1, 3, "1-2")]);
    // Nobody has made the view yet: an error that waiting may mend.
    let soon = verify_within(&postgres.url(), &log, Duration::ZERO).await;
    assert!(soon.is_err_and(|error| error.to_string() == "failed counting readings"));
    let (url, awaiting) = (postgres.url(), PATIENCE);
    let rows = "INSERT INTO rows SELECT now(), 'slow', 'n', n FROM generate_series(1, 2) AS n;";
    let story = async {
        postgres.execute(SCHEMA).await;
        postgres.execute(rows).await;
    };
    let (report, ()) = tokio::join!(verify_within(&url, &log, awaiting), story);
    let report = report.expect("answered");
    assert!(report.is_exact() && report.found == 2, "{report}");
}
