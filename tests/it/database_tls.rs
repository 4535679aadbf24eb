//! TLS to a PostgreSQL of one's own: what `sslmode` and `sslrootcert` in the URL ask for is what is done.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use crate::backup::{fail, run, succeed, text};
use crate::support::device::Device;
use crate::support::server::Server;
use crate::support::service::{Service, Settings, connect};

/// Where the server listens with TLS: not where another one on this machine may.
const ADDRESS: &str = "127.0.0.52";

/// An authority's certificate (PEM), and one of a server that it has signed, with its key.
struct Pair {
    authority: String,
    certificate: String,
    key: String,
}

fn pair() -> Pair {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // Not as those that it signs: OpenSSL would take them for their own issuers.
    params.distinguished_name.push(DnType::CommonName, "authority of the test");
    let key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["db.plant.test".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap().pem();
    Pair { authority, certificate, key: key.serialize_pem() }
}

/// Writes a file beside the server's data, as the user whom it runs as.
async fn write(sql: &tokio_postgres::Client, path: &Path, content: &str) {
    let lines = format!("SELECT unnest(string_to_array('{}', E'\\n'))", content.trim());
    let program = format!("umask 077; cat > {}", path.display());
    sql.batch_execute(&format!("COPY ({lines}) TO PROGRAM '{program}'")).await.unwrap();
}

/// A server that takes connections with TLS only, and where its authority's certificate is.
async fn server(folder: &Path) -> (Server, PathBuf) {
    let server = Server::start().await;
    let sql = connect(&server.url()).await;
    let row = sql.query_one("SHOW data_directory", &[]).await.unwrap();
    let data = PathBuf::from(row.get::<_, String>(0));
    let pair = pair();
    let [certificate, key, hba] = ["tls.crt", "tls.key", "tls_hba.conf"].map(|it| data.join(it));
    write(&sql, &certificate, &pair.certificate).await;
    write(&sql, &key, &pair.key).await;
    write(&sql, &hba, "local all all trust\nhostssl all all 127.0.0.0/8 trust").await;
    for (name, value) in [
        ("ssl", "on"),
        ("ssl_cert_file", text(&certificate)),
        ("ssl_key_file", text(&key)),
        ("hba_file", text(&hba)),
        ("listen_addresses", ADDRESS),
    ] {
        sql.batch_execute(&format!("ALTER SYSTEM SET {name} = '{value}'")).await.unwrap();
    }
    drop(sql);
    server.stop().await;
    server.go_on().await;
    let authority = folder.join("authority.pem");
    std::fs::write(&authority, pair.authority).unwrap();
    (server, authority)
}

/// The server's URL with these parameters, by the name `host`.
fn url(server: &Server, host: &str, parameters: &str) -> String {
    let own: tokio_postgres::Config = server.url().parse().unwrap();
    let (user, database) = (own.get_user().unwrap(), own.get_dbname().unwrap());
    let port = own.get_ports().first().copied().unwrap_or(5432);
    format!("postgres://{user}@{host}:{port}/{database}?hostaddr={ADDRESS}&{parameters}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_is_reached_over_tls_and_known_by_its_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let (server, authority) = server(folder.path()).await;
    let own = format!("sslrootcert={}", authority.display());
    let checked = url(&server, "db.plant.test", &format!("sslmode=verify-full&{own}"));
    let mut service =
        Service::start(Settings::default().set("BELLWIRE_DATABASE_URL", &checked)).await;
    let mut device = Device::connect(&service.mqtt(), "press").await;
    device.publish("devices/press/telemetry/t", "1").await;
    service.wait_for("/api/v1/devices/press/audit", |audit| audit["stored"] == 1).await;
    service
        .wait_for("/api/v1/devices/press/readings?metric=t", |it| it["readings"][0].is_object())
        .await;
    let sql = connect(&server.url()).await;
    let query = "SELECT count(*), bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                 WHERE client_addr IS NOT NULL";
    let row = sql.query_one(query, &[]).await.unwrap();
    assert!(row.get::<_, i64>(0) >= 3, "writer, pool, compactor");
    assert_eq!(row.get::<_, Option<bool>>(1), Some(true));
    // `pg_dump` is told the same.
    let to = folder.path().join("backup");
    succeed(&service, &["backup", "--to", text(&to)]).await;
    assert!(service.stop().await.success());
    service.assert_quiet(&[]);

    std::fs::write(folder.path().join("other.pem"), pair().authority).unwrap();
    let other = format!("sslrootcert={}", folder.path().join("other.pem").display());
    let full = |roots: &str| format!("sslmode=verify-full&{roots}");
    let (ca, require) = (format!("sslmode=verify-ca&{own}"), format!("sslmode=require&{own}"));
    for (host, parameters, said) in [
        ("db.plant.test", "sslmode=prefer", None),
        ("db.plant.test", "sslmode=require", None),
        ("elsewhere.test", &ca, None),
        ("elsewhere.test", &require, None),
        ("db.plant.test", "sslmode=disable", Some("no pg_hba.conf entry")),
        ("elsewhere.test", &full(&own), Some("certificate not valid for name")),
        ("db.plant.test", &full(&other), Some("invalid peer certificate")),
        ("db.plant.test", &format!("sslmode=verify-ca&{other}"), Some("invalid peer certificate")),
    ] {
        service.set("BELLWIRE_DATABASE_URL", url(&server, host, parameters));
        let output = run(&service, &["migrate", "--check"]).await;
        let stderr = String::from_utf8_lossy(&output.stderr);
        match said {
            None => assert!(output.status.success(), "{host} {parameters}: {stderr}"),
            Some(said) => {
                assert!(!output.status.success(), "{host} {parameters}");
                assert!(stderr.contains(said), "{host} {parameters}: {stderr}");
            }
        }
    }
    for (parameters, said) in [
        ("sslmode=verify", "database.url: `verify` is no sslmode"),
        ("sslmode=verify-ca&sslrootcert=/nowhere.pem", "sslrootcert /nowhere.pem: No such file"),
    ] {
        service.set("BELLWIRE_DATABASE_URL", url(&server, "db.plant.test", parameters));
        fail(&service, &["check-config"], 78, said).await;
    }
}
