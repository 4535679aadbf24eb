//! What is true of Bellwire, for the files that say something of it: its variables, commands, routes, ports.

use bellwire::cli::Cli;
use bellwire::config::{Config, Environment, load, unknown_variables};
use clap::Parser as _;

use super::text;
use crate::support::fault::Fault;

/// Variables that name a file which is not here, or are for the command line.
const NOT_HERE: [&str; 1] = ["BELLWIRE_CONFIG"];

/// What is wrong with one variable of Bellwire's environment.
pub(super) fn variable_faults(path: &str, name: &str, value: &str) -> Vec<Fault> {
    if !name.starts_with("BELLWIRE_") || NOT_HERE.contains(&name) {
        return Vec::new();
    }
    let environment = Environment::from([(name, value)]);
    let unknown = unknown_variables(&environment);
    let said = load(None, &environment, Vec::new()).err().map(|error| error.to_string());
    // What is missing beside it is no fault of this one.
    let wrong = said.filter(|error| error.contains(name));
    unknown.into_iter().chain(wrong).map(|what| Fault::whole(path, what)).collect()
}

/// What is wrong with a command line, without the program's own name.
pub(super) fn command_faults(path: &str, arguments: &[&str]) -> Vec<Fault> {
    let line = ["bellwire"].iter().chain(arguments);
    let wrong = Cli::try_parse_from(line).err().map(|error| error.to_string());
    let line = arguments.join(" ");
    wrong
        .map(|error| Fault::whole(path, format!("`bellwire {line}`: {error}")))
        .into_iter()
        .collect()
}

/// A fault unless HTTP answers this path.
pub(super) fn route_faults(path: &str, route: &str) -> Vec<Fault> {
    let routes = text("api/src/routes.rs");
    let known = routes.contains(&format!("&str = \"{route}\";"));
    let fault = || Fault::whole(path, format!("there is no route `{route}`"));
    if known { Vec::new() } else { vec![fault()] }
}

/// The port in `HOST:PORT`.
pub(super) fn port(address: &str) -> u16 {
    let port = address.rsplit_once(':').map_or(address, |(_, port)| port);
    port.parse().unwrap_or_else(|_| panic!("`{address}` has no port"))
}

/// The ports of the variables that say where something listens, in the order of their names.
pub(super) fn listening<'a>(variables: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<u16> {
    let listens = |name: &str| name.starts_with("BELLWIRE_") && name.ends_with("_LISTEN");
    let all = variables.into_iter().filter(|(name, value)| {
        listens(name) && !name.contains("DATABASE") && !value.starts_with("127.")
    });
    let mut ports: Vec<u16> = all.map(|(_, value)| port(value)).collect();
    ports.sort_unstable();
    ports
}

/// A port that a default address has: `mqtt`'s, `http`'s.
pub(super) fn default_ports() -> (u16, u16) {
    let config = Config::default();
    (config.mqtt.listen[0].port(), config.http.listen.port())
}

#[test]
fn what_is_not_so_is_caught() {
    assert_eq!(variable_faults("f", "BELLWIRE_HTTP_LISTEN", "0.0.0.0:8080"), []);
    assert_eq!(variable_faults("f", "BELLWIRE_DATABASE_READER_ROLE", "grafana"), []);
    assert_eq!(variable_faults("f", "HOME", "x"), []);
    let unknown = variable_faults("f", "BELLWIRE_HTTP_LISTENS", "0.0.0.0:8080");
    assert!(unknown[0].what.contains("did you mean `BELLWIRE_HTTP_LISTEN`"), "{unknown:?}");
    let wrong = variable_faults("f", "BELLWIRE_HTTP_LISTEN", "everywhere");
    assert!(wrong[0].what.contains("is no address"), "{wrong:?}");

    assert_eq!(command_faults("f", &["healthcheck", "--ready"]), []);
    assert!(command_faults("f", &["healtcheck"])[0].what.contains("healtcheck"));
    assert!(!command_faults("f", &["serve", "--daemon"]).is_empty());

    assert_eq!(route_faults("f", "/healthz"), []);
    assert!(route_faults("f", "/health")[0].what.contains("`/health`"));

    let listens =
        [("BELLWIRE_MQTT_LISTEN", "0.0.0.0:1883"), ("BELLWIRE_HTTP_LISTEN", "127.0.0.1:1")];
    assert_eq!(listening(listens), [1883]);
}
