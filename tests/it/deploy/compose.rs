//! deploy/compose.yaml: as Docker Compose itself reads it, held against the images, the files that it mounts
//! and what it sets.

use std::collections::BTreeSet;

use serde_json::Value;

use super::container::{self, DOCKERFILE, is_pinned};
use super::tools::{json, said, told, tool};
use super::truth::{port, variable_faults};
use super::{paths, root, text};
use crate::support::fault::{Fault, none_of};

pub(super) const COMPOSE: &str = "deploy/compose.yaml";
/// Services whose image is ours.
const OURS: &str = "bellwire";
/// What is reached from elsewhere; the others from this machine only.
const OPEN_PORTS: [u64; 1] = [1883];

/// What Compose makes of it; the error is what it says.
fn read(yaml: &str) -> Result<Value, String> {
    let mut command = tool("docker-compose");
    command.args(["-f", "-", "--project-directory"]).arg(root().join("deploy"));
    let output = told(command.args(["config", "--format", "json", "--no-interpolate"]), yaml);
    if output.status.success() { Ok(json(&output)) } else { Err(said(&output)) }
}

fn strings(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}

fn objects(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// The path of a file as it is in the repository.
fn own_path(full: &str) -> &str {
    let root = root();
    full.strip_prefix(root.to_str().unwrap()).map_or(full, |path| path.trim_start_matches('/'))
}

/// Whose health check a service has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    /// That of its image.
    Image,
    /// One of its own.
    Own,
}

/// What is wrong with how a service runs.
fn service_faults(name: &str, service: &Value, check: Check) -> Vec<String> {
    let mut faults = Vec::new();
    let image = service["image"].as_str().unwrap_or_default();
    if !is_pinned(image) {
        faults.push(format!("`{image}` has no tag that says which"));
    }
    if check == Check::Own && !service["healthcheck"]["test"].is_array() {
        faults.push("it has no health check".to_owned());
    }
    if service["restart"] != "unless-stopped" {
        faults.push("it is not started again".to_owned());
    }
    if !strings(&service["cap_drop"]).any(|it| it == "ALL") || service["privileged"] == true {
        faults.push("it has all capabilities".to_owned());
    }
    if !strings(&service["security_opt"]).any(|it| it == "no-new-privileges:true") {
        faults.push("it may gain privileges".to_owned());
    }
    for published in service["ports"].as_array().into_iter().flatten() {
        let target = published["target"].as_u64().unwrap_or_default();
        if published["host_ip"] != "127.0.0.1" && !OPEN_PORTS.contains(&target) {
            faults.push(format!("port {target} is open to everybody"));
        }
    }
    faults.into_iter().map(|what| format!("{name}: {what}")).collect()
}

/// What is wrong with what a service is given: variables, files, secrets.
fn given_faults(name: &str, service: &Value, paths: &[String]) -> Vec<String> {
    let secrets = service["secrets"].as_array().into_iter().flatten();
    let secrets: BTreeSet<&str> = secrets.filter_map(|it| it["source"].as_str()).collect();
    let mut faults = Vec::new();
    for (variable, value) in objects(&service["environment"]) {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        if let Some(secret) = value.strip_prefix("/run/secrets/") {
            if !secrets.contains(secret) {
                faults.push(format!("{variable} is in `{secret}`, which it is not given"));
            }
        } else if variable.contains("PASSWORD") || value.contains("://") && value.contains('@') {
            faults.push(format!("{variable} has a secret that is in no file"));
        }
    }
    for volume in service["volumes"].as_array().into_iter().flatten() {
        let source = own_path(volume["source"].as_str().unwrap_or_default());
        if volume["type"] == "bind" && !paths.iter().any(|path| path == source) {
            faults.push(format!("it mounts {source}, which is not there"));
        }
        if volume["type"] == "bind" && volume["read_only"] != true {
            faults.push(format!("it may write to {source}"));
        }
    }
    faults.into_iter().map(|what| format!("{name}: {what}")).collect()
}

/// Faults of our own service, given its image.
fn own_faults(service: &Value, image: &container::Stage) -> Vec<Fault> {
    let own =
        objects(&service["environment"]).filter_map(|(name, value)| Some((name, value.as_str()?)));
    let mut faults: Vec<Fault> =
        own.flat_map(|(name, value)| variable_faults(COMPOSE, name, value)).collect();
    let mut fault = |what: String| faults.push(Fault::whole(COMPOSE, what));
    let volumes = service["volumes"].as_array().into_iter().flatten();
    let mounted: Vec<_> =
        volumes.filter(|it| it["type"] == "volume").map(|it| &it["target"]).collect();
    if mounted != image.all("VOLUME") {
        fault(format!("bellwire: {mounted:?} is not its data directory"));
    }
    let exposed = image.all("EXPOSE").join(" ");
    for published in service["ports"].as_array().into_iter().flatten() {
        let target = published["target"].to_string();
        if !exposed.split_whitespace().any(|port| port == target) {
            fault(format!("bellwire: nothing listens on {target}"));
        }
    }
    faults
}

fn faults(yaml: &str) -> Vec<Fault> {
    let read = match read(yaml) {
        Ok(read) => read,
        Err(said) => return vec![Fault::whole(COMPOSE, said)],
    };
    let stages = container::stages(&text(DOCKERFILE));
    let target = read["services"][OURS]["build"]["target"].as_str().unwrap_or_default();
    let Some(image) = stages.iter().find(|stage| stage.name == target) else {
        return vec![Fault::whole(COMPOSE, format!("there is no image `{target}`"))];
    };
    let paths = paths();
    let mut faults = own_faults(&read["services"][OURS], image);
    let mut say =
        |all: Vec<String>| faults.extend(all.into_iter().map(|what| Fault::whole(COMPOSE, what)));
    for (name, service) in objects(&read["services"]) {
        let of_image = name == OURS && !image.all("HEALTHCHECK").is_empty();
        let check = if of_image { Check::Image } else { Check::Own };
        say(service_faults(name, service, check));
        say(given_faults(name, service, &paths));
    }
    let version = format!("{OURS}:{}", super::version());
    if read["services"][OURS]["image"] != version.as_str() {
        say(vec![format!("our image is not {version}")]);
    }
    let made = super::compose_files::secrets();
    let named = objects(&read["secrets"]).filter_map(|(_, it)| it["file"].as_str());
    let named: BTreeSet<_> =
        named.filter_map(|it| it.rsplit('/').next().map(str::to_owned)).collect();
    if made != named {
        say(vec![format!("secrets.sh makes {made:?}, not {named:?}")]);
    }
    faults
}

#[test]
fn compose_starts_what_is_there() {
    none_of(faults(&text(COMPOSE)));
}

#[test]
fn faults_in_the_compose_file_are_caught() {
    let good = text(COMPOSE);
    let check = |from: &str, to: &str, expected: &str| {
        assert!(good.contains(from), "{from:?} is not there any more");
        let found = faults(&good.replacen(from, to, 1));
        let says = |fault: &Fault| fault.what.contains(expected);
        assert!(found.iter().any(says), "{from:?} → {to:?}: {found:?}");
    };
    check("depends_on:", "depend_on:", "depend_on");
    check("target: external", "target: externals", "no image `externals`");
    check("bellwire:0.2.0", "bellwire:0.0.9", "our image is not");
    check("prom/prometheus:v3.5.0", "prom/prometheus", "has no tag");
    check("restart: unless-stopped", "restart: \"no\"", "not started again");
    check("cap_drop: [ALL]", "cap_drop: [NET_RAW]", "all capabilities");
    check("no-new-privileges:true", "seccomp:unconfined", "gain privileges");
    check("127.0.0.1:8080:8080", "8080:8080", "port 8080 is open");
    check("127.0.0.1:8080:8080", "127.0.0.1:8080:8081", "nothing listens on 8081");
    check(
        "BELLWIRE_HTTP_AUTH_METRICS: open",
        "BELLWIRE_HTTP_AUTH_METRICS: opened",
        "BELLWIRE_HTTP_AUTH_METRICS",
    );
    check("BELLWIRE_DATABASE_READER_ROLE", "BELLWIRE_READER_ROLE", "is no key");
    check("data:/var/lib/bellwire", "data:/data", "not its data directory");
    check("secrets: [configuration, reader_password]", "secrets: [configuration]", "is not given");
    check(
        "POSTGRES_PASSWORD_FILE: /run/secrets/postgres_password",
        "POSTGRES_PASSWORD: x",
        "in no file",
    );
    check("bellwire.rules.yml:/etc", "bellwire.rule.yml:/etc", "is not there");
    check("prometheus.yml:ro", "prometheus.yml", "may write to deploy/compose/prometheus.yml");
    check("./compose/secrets/grafana_password", "./compose/secrets/grafana", "secrets.sh makes");
}

/// Whom Prometheus watches, as `host:port`.
fn watched() -> Vec<String> {
    let yaml = text("deploy/compose/prometheus.yml");
    let document = yaml_rust2::YamlLoader::load_from_str(&yaml).unwrap().swap_remove(0);
    let job = &document["scrape_configs"][0];
    assert_eq!(job["job_name"].as_str(), Some("bellwire"), "the rules look for this name");
    assert_eq!(document["rule_files"][0].as_str(), Some("bellwire.rules.yml"));
    let targets = job["static_configs"][0]["targets"].as_vec().unwrap();
    targets.iter().map(|it| it.as_str().unwrap().to_owned()).collect()
}

/// Whether `from` is in a network with the service that is named by `host`.
fn reaches(compose: &Value, from: &str, host: &str) -> bool {
    let networks = |name: &str| -> BTreeSet<&String> {
        objects(&compose["services"][name]["networks"]).map(|(name, _)| name).collect()
    };
    !networks(from).is_disjoint(&networks(host))
}

#[test]
fn whoever_is_asked_can_be_reached() {
    let compose = read(&text(COMPOSE)).unwrap();
    let stages = container::stages(&text(DOCKERFILE));
    let image = stages.iter().find(|stage| stage.name == "external").unwrap();
    let listens = super::truth::listening(image.environment());
    for target in watched() {
        let host = target.split(':').next().unwrap();
        assert!(reaches(&compose, "prometheus", host), "{target}");
        assert!(listens.contains(&port(&target)), "{target}: {listens:?}");
    }
    for host in ["database", "prometheus"] {
        assert!(reaches(&compose, "grafana", host), "{host}");
    }
    assert!(reaches(&compose, OURS, "database"));
    // The database answers nobody else.
    assert!(!reaches(&compose, "prometheus", "database"));
    assert!(compose["services"]["database"]["ports"].is_null());
    assert_eq!(compose["networks"]["data"]["internal"], true);
}
