//! The check against a real PostgreSQL: what is lost or there twice is found, and nothing else.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use bellwire_fleet::{AckLog, DeviceAcks, Report, verify, verify_within};
use bellwire_model::DeviceId;
use tokio_postgres::NoTls;

use crate::support::PATIENCE;

/// A PostgreSQL of the test's own, gone with it.
struct Postgres {
    bin: PathBuf,
    user: Option<(u32, u32)>,
    dir: tempfile::TempDir,
}

impl Postgres {
    fn start() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let bin = newest_server().expect("PostgreSQL is installed: apt-get install postgresql");
        let postgres = Self { bin, user: server_user(), dir };
        std::fs::create_dir(postgres.data()).expect("made");
        if let Some((uid, gid)) = postgres.user {
            for path in [postgres.dir.path(), &postgres.data()] {
                std::os::unix::fs::chown(path, Some(uid), Some(gid)).expect("given away");
            }
        }
        postgres
            .run("initdb", &["--username=test", "--auth=trust", "--no-sync", "--encoding=UTF8"]);
        let socket_dir = postgres.dir.path().display();
        let options = format!("-c listen_addresses= -c unix_socket_directories={socket_dir}");
        postgres.run("pg_ctl", &["start", "--wait", "--options", &options]);
        postgres
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Runs one of the server's programs on our cluster.
    fn run(&self, program: &str, arguments: &[&str]) {
        let mut command = Command::new(self.bin.join(program));
        command.args(arguments).arg("-D").arg(self.data()).current_dir(self.dir.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        let status = command.status().expect("PostgreSQL's programs run");
        assert!(status.success() || std::thread::panicking(), "{program}: {status}");
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
        self.run("pg_ctl", &["stop", "--wait", "--mode=immediate"]);
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
    let users = std::fs::read_to_string("/etc/passwd").expect("readable");
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
    let postgres = Postgres::start();
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
    let postgres = Postgres::start();
    let log = log(&[("slow", 1, 3, "1-2")]);
    // Nobody has made the view yet: an error that waiting may mend.
    let soon = verify_within(&postgres.url(), &log, Duration::ZERO).await;
    assert!(soon.is_err_and(|error| error.to_string() == "failed reading the readings"));
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
