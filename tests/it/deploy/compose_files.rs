//! What deploy/compose.yaml mounts: the secrets that a script makes, the script that sets up the database,
//! Grafana's data sources.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use bellwire::config::{Environment, load};
use yaml_rust2::YamlLoader;

use super::{root, text};
use crate::dashboards::provisioning::{source_faults, wanted};
use crate::support::device::Device;
use crate::support::server::Server;
use crate::support::service::{Service, Settings, connect};

/// Runs secrets.sh in a folder of its own.
fn make(folder: &Path) -> String {
    let script = folder.join("secrets.sh");
    std::fs::copy(root().join("deploy/compose/secrets.sh"), &script).unwrap();
    let output = Command::new("sh").arg(&script).current_dir("/").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The names of the files that secrets.sh makes.
pub(super) fn secrets() -> BTreeSet<String> {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path());
    let files = std::fs::read_dir(folder.path().join("secrets")).unwrap();
    files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn secrets_are_made_once_and_are_nobodys_guess() {
    let folder = tempfile::tempdir().unwrap();
    let made = make(folder.path());
    assert_eq!(made.lines().count(), 5, "{made}");
    let secrets = folder.path().join("secrets");
    let mode = std::fs::metadata(&secrets).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700, "the folder is its owner's only");
    let read = |name: &str| std::fs::read_to_string(secrets.join(name)).unwrap();
    let names = ["postgres_password", "database_password", "reader_password", "grafana_password"];
    let passwords: BTreeSet<String> = names.into_iter().map(read).collect();
    assert_eq!(passwords.len(), 4, "each is another");
    for password in &passwords {
        assert!(password.len() == 64 && password.bytes().all(|it| it.is_ascii_hexdigit()));
    }
    // Containers run as users of their own.
    let mode = std::fs::metadata(secrets.join("reader_password")).unwrap().permissions().mode();
    assert_eq!(mode & 0o444, 0o444);

    let config = load(Some(&secrets.join("bellwire.toml")), &Environment::from([]), Vec::new());
    let url = config.unwrap().database.url.expect("a URL").reveal().to_owned();
    let password = read("database_password");
    assert_eq!(url, format!("postgres://bellwire:{password}@database:5432/bellwire"));

    // What is there stays; what is missing comes.
    std::fs::remove_file(secrets.join("grafana_password")).unwrap();
    assert_eq!(make(folder.path()), "made grafana_password\n");
    assert_eq!(read("database_password"), password);
    assert_eq!(make(folder.path()), "");
}

/// Sets up a server as database.sh does in its container, under other names: the test's own server has
/// these, and no TimescaleDB.
fn set_up(server: &Server, folder: &Path) -> String {
    let script = text("deploy/compose/database.sh");
    for word in ["/run/secrets/database_password", "timescaledb", "bellwire"] {
        assert!(script.contains(word), "{word} is not there any more");
    }
    let password = folder.join("database_password");
    std::fs::write(&password, "hush'hush").unwrap();
    let script = script
        .replace("/run/secrets/database_password", password.to_str().unwrap())
        .replace("timescaledb", "plpgsql")
        .replace("bellwire", "plant");
    let url = server.url();
    let socket = url.split("host=").nth(1).unwrap().split('&').next().unwrap().replace("%2F", "/");
    let output = Command::new("sh")
        .args(["-c", &script])
        .env("PGHOST", socket)
        .env("POSTGRES_USER", "bellwire")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    url.replace("bellwire@", "plant@").replace("/bellwire?", "/plant?")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_role_that_the_database_is_set_up_with_is_enough_and_no_superuser() {
    let server = Server::start().await;
    let folder = tempfile::tempdir().unwrap();
    let url = set_up(&server, folder.path());
    let admin = connect(&server.url()).await;
    let role = "SELECT rolsuper, rolcreaterole, rolpassword LIKE 'SCRAM-SHA-256$%' \
                FROM pg_authid WHERE rolname = 'plant'";
    let role = admin.query_one(role, &[]).await.unwrap();
    assert_eq!((role.get(0), role.get(1), role.get(2)), (false, true, true));

    let password = folder.path().join("reader");
    std::fs::write(&password, "hush").unwrap();
    let settings = Settings::default()
        .set("BELLWIRE_DATABASE_URL", &url)
        .set("BELLWIRE_DATABASE_READER_ROLE", "drawer")
        .set("BELLWIRE_DATABASE_READER_PASSWORD_FILE", password.display());
    let mut service = Service::start(settings).await;
    let mut device = Device::connect(&service.mqtt(), "d").await;
    device.publish("devices/d/telemetry/t", "1.5").await;
    service.wait_for("/api/v1/devices/d/audit", |audit| audit["stored"] == 1).await;
    let reader = connect(&url.replace("plant@", "drawer@")).await;
    let row = reader.query_one("SELECT device FROM readings", &[]).await.unwrap();
    assert_eq!(row.get::<_, &str>(0), "d");
    assert!(service.stop().await.success());
    service.assert_quiet(&[]);
}

#[test]
fn grafana_has_the_sources_that_the_dashboards_choose() {
    let yaml = text("deploy/compose/grafana.yml");
    let document = YamlLoader::load_from_str(&yaml).unwrap().swap_remove(0);
    assert_eq!(source_faults(&document, &wanted()), Vec::<String>::new());
    let compose = text(super::compose::COMPOSE);
    let sources = document["datasources"].as_vec().unwrap();
    for source in sources {
        let url = source["url"].as_str().unwrap();
        let host = url.trim_start_matches("http://").split(':').next().unwrap();
        assert!(compose.contains(&format!("\n  {host}:\n")), "there is no service `{host}`");
    }
    let user = sources[0]["user"].as_str().unwrap();
    assert!(compose.contains(&format!("BELLWIRE_DATABASE_READER_ROLE: {user}\n")), "{user}");
    let password = sources[0]["secureJsonData"]["password"].as_str().unwrap();
    assert_eq!(password, "$__file{/run/secrets/reader_password}");
}
