//! Lays file, environment and flags over the defaults, and says precisely what does not fit.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::de::{DeTable, Deserializer};
use toml::{Table, Value};

use super::origin::{Origin, Origins};
use super::{Config, ConfigError, explain, places, settle};

/// Keys that have no default and so are not in the table of defaults, with any value of their type.
const OPTIONAL_KEYS: [(&str, Value); 32] = [
    ("rules", Value::String(String::new())),
    ("mappings", Value::String(String::new())),
    ("public_url", Value::String(String::new())),
    ("mqtt.tls.cert_file", Value::String(String::new())),
    ("mqtt.tls.key_file", Value::String(String::new())),
    ("mqtt.tls.client_ca_file", Value::String(String::new())),
    ("mqtt.tls.client_crl_file", Value::String(String::new())),
    ("http.tls.listen", Value::String(String::new())),
    ("http.tls.cert_file", Value::String(String::new())),
    ("http.tls.key_file", Value::String(String::new())),
    ("http.tls.client_ca_file", Value::String(String::new())),
    ("http.oidc.issuer", Value::String(String::new())),
    ("http.oidc.client_id", Value::String(String::new())),
    ("http.oidc.client_secret_file", Value::String(String::new())),
    ("http.oidc.redirect_url", Value::String(String::new())),
    ("database.url", Value::String(String::new())),
    ("database.bin_dir", Value::String(String::new())),
    ("ingest.time.past_max_days", Value::Integer(1)),
    ("database.retention_days", Value::Integer(1)),
    ("database.retention_1m_days", Value::Integer(1)),
    ("database.retention_1h_days", Value::Integer(1)),
    ("database.retention_1d_days", Value::Integer(1)),
    ("database.reader.role", Value::String(String::new())),
    ("database.reader.password", Value::String(String::new())),
    ("database.reader.password_file", Value::String(String::new())),
    ("database.reader.listen", Value::String(String::new())),
    ("traces.endpoint", Value::String(String::new())),
    ("traces.headers_file", Value::String(String::new())),
    ("traces.ca_file", Value::String(String::new())),
    ("rumqttd.listen", Value::String(String::new())),
    ("rumqttd.user", Value::String(String::new())),
    ("rumqttd.password_file", Value::String(String::new())),
];
/// Variables that belong to us and are no keys.
const OTHER_VARIABLES: [&str; 2] = ["BELLWIRE_CONFIG", TOKEN_VARIABLE];
/// The API token that the command line comes to a service with.
pub(crate) const TOKEN_VARIABLE: &str = "BELLWIRE_TOKEN";

/// The environment, as it was at start.
#[derive(Clone, Debug, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The process's environment; variables that are not UTF-8 are left out.
    #[must_use]
    pub fn of_process() -> Self {
        let text = |os: std::ffi::OsString| os.into_string().ok();
        Self(std::env::vars_os().filter_map(|(k, v)| Some((text(k)?, text(v)?))).collect())
    }

    /// One variable, if it is set and not empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Environment {
    fn from(pairs: [(&str, &str); N]) -> Self {
        Self(pairs.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect())
    }
}

/// What flags set: full key → value. Strongest of all.
pub type Overrides = Vec<(&'static str, Value)>;

/// What was found in file, environment and flags.
#[derive(Debug)]
pub struct Looked {
    /// The configuration; keys that do not fit have their defaults.
    pub config: Config,
    /// Whence its keys come.
    pub origins: Origins,
    /// Everything that does not fit.
    pub faults: Vec<ConfigError>,
}

/// Loads the configuration from `file` (or `BELLWIRE_CONFIG`), the environment and flags.
///
/// # Errors
/// [`ConfigError`] with everything that does not fit, naming file, line and column, or the variable.
pub fn load(
    file: Option<&Path>,
    environment: &Environment,
    overrides: Overrides,
) -> Result<Config, ConfigError> {
    let Looked { config, faults, .. } = look(file, environment, overrides);
    ConfigError::of(faults).map_or(Ok(config), Err)
}

/// Loads it too, and says everything that does not fit beside what does.
#[must_use]
pub fn look(file: Option<&Path>, environment: &Environment, overrides: Overrides) -> Looked {
    let from_environment = environment.get("BELLWIRE_CONFIG").map(PathBuf::from);
    let Read { mut table, mut origins, mut faults } = file
        .map(Path::to_owned)
        .or(from_environment)
        .map_or_else(Read::default, |path| read(&path));
    let (variables, wrong) = variables(environment);
    faults.extend(wrong);
    // Checked one by one, so that the error names the variable or flag.
    for Variable { name, text, key, value } in variables {
        match with(&table, &key, value) {
            Ok(new) => {
                table = new;
                origins.by_key.insert(key, Origin::Variable(name));
            }
            Err(error) => {
                let message = explain::value(&text, error.message());
                faults.push(ConfigError::Variable { variable: name, message });
            }
        }
    }
    for (key, value) in overrides {
        let (text, flag) = (explain::shown(&value), key.replace(['.', '_'], "-"));
        match with(&table, key, value) {
            Ok(new) => {
                table = new;
                origins.by_key.insert(key.to_owned(), Origin::Flag(flag));
            }
            Err(error) => {
                let message = explain::value(&text, error.message());
                faults.push(ConfigError::Flag { flag, message });
            }
        }
    }
    let config = settle::settle(table, &mut origins, &mut faults);
    faults.sort_by_key(ConfigError::place);
    Looked { config, origins, faults }
}

pub(super) fn checked(table: &Table) -> Result<Config, toml::de::Error> {
    table.clone().try_into()
}

/// The table with `value` for `key`.
fn with(table: &Table, key: &str, value: Value) -> Result<Table, toml::de::Error> {
    let mut new = table.clone();
    set(&mut new, key, value);
    checked(&new).map(|_| new)
}

/// What a file has.
#[derive(Debug, Default)]
struct Read {
    /// What fits.
    table: Table,
    origins: Origins,
    /// What does not.
    faults: Vec<ConfigError>,
}

fn read(path: &Path) -> Read {
    match std::fs::read_to_string(path) {
        Ok(text) => read_text(&path.display().to_string(), &text),
        Err(source) => {
            let faults = vec![ConfigError::Read { path: path.to_owned(), source }];
            Read { faults, ..Read::default() }
        }
    }
}

/// Reads the text of `file`. What the parser does not like is taken out, so that it says more.
fn read_text(file: &str, text: &str) -> Read {
    let mut read = Read::default();
    let (mut root, wrong) = DeTable::parse_recoverable(text);
    for entry in places::entries(root.get_ref()) {
        let (line, column) = places::place_of(text, entry.key.start);
        let origin = Origin::File { file: file.to_owned(), line, column };
        read.origins.by_key.insert(entry.path, origin);
    }
    let mut lines = Vec::new();
    let mut fault = |error: &toml::de::Error| {
        let start = error.span().map_or(0, |span| span.start);
        let (line, column) = places::place_of(text, start);
        // What is no TOML is not seldom no good value either.
        let is_new = !lines.contains(&line);
        lines.push(line);
        let place = format!("{file}:{line}:{column}");
        let message = explain::sentence(error.message());
        is_new.then_some(ConfigError::File { place, message })
    };
    read.faults.extend(wrong.iter().filter_map(&mut fault));
    while let Err(error) = Config::deserialize(Deserializer::from(root.clone())) {
        read.faults.extend(fault(&error));
        let at = error.span().map(|span| span.start);
        let gone = &mut read.origins.gone;
        if !at.is_some_and(|at| places::take_out(root.get_mut(), at, gone)) {
            return read;
        }
    }
    read.table = Table::deserialize(Deserializer::from(root)).unwrap_or_default();
    read
}

/// A variable that is a key.
struct Variable {
    name: String,
    text: String,
    key: String,
    /// The text in the key's type.
    value: Value,
}

/// Every `BELLWIRE_…` variable that is set, with its value.
fn ours(environment: &Environment) -> impl Iterator<Item = (&String, &String)> {
    environment.0.iter().filter(|(variable, text)| {
        variable.starts_with("BELLWIRE_")
            && !OTHER_VARIABLES.contains(&variable.as_str())
            && !text.is_empty()
    })
}

/// The variables that are keys, and what is wrong with others.
fn variables(environment: &Environment) -> (Vec<Variable>, Vec<ConfigError>) {
    let keys = keys();
    let (mut found, mut wrong) = (Vec::new(), Vec::new());
    for (name, text) in ours(environment) {
        let key = keys.iter().find(|(key, _)| variable_of(key) == *name);
        let Some((key, default)) = key else { continue };
        let (variable, key) = (name.clone(), key.clone());
        match parse(text, default) {
            Ok(value) => found.push(Variable { name: variable, text: text.clone(), key, value }),
            Err(message) => wrong.push(ConfigError::Variable { variable, message }),
        }
    }
    (found, wrong)
}

/// A sentence for each `BELLWIRE_…` variable that is no key. Not an error: a cluster puts
/// variables of its own beside ours, named after the service.
#[must_use]
pub fn unknown_variables(environment: &Environment) -> Vec<String> {
    let known: Vec<_> = keys().iter().map(|(key, _)| variable_of(key)).collect();
    ours(environment)
        .filter(|(name, _)| !known.contains(name))
        .map(|(name, _)| {
            let meant = explain::meant(name, known.iter().map(String::as_str));
            format!("The environment variable {name} is no key of the configuration{meant}")
        })
        .collect()
}

/// The variable of a key: `mqtt.listen` → `BELLWIRE_MQTT_LISTEN`.
fn variable_of(key: &str) -> String {
    format!("BELLWIRE_{}", key.replace('.', "_").to_uppercase())
}

/// Every key with its default.
fn keys() -> Vec<(String, Value)> {
    let defaults = Table::try_from(Config::default()).expect("the defaults are plain values");
    let mut keys = Vec::new();
    collect(&defaults, "", &mut keys);
    keys.extend(OPTIONAL_KEYS.into_iter().map(|(key, value)| (key.to_owned(), value)));
    keys
}

fn collect(table: &Table, prefix: &str, keys: &mut Vec<(String, Value)>) {
    for (name, value) in table {
        match value {
            Value::Table(inner) => collect(inner, &format!("{prefix}{name}."), keys),
            value => keys.push((format!("{prefix}{name}"), value.clone())),
        }
    }
}

/// Reads a variable's text in the type of the key's default.
fn parse(text: &str, default: &Value) -> Result<Value, String> {
    match default {
        Value::Integer(_) => {
            text.parse().map(Value::Integer).map_err(|_| format!("`{text}` is no whole number"))
        }
        Value::Float(_) => {
            text.parse().map(Value::Float).map_err(|_| format!("`{text}` is no number"))
        }
        Value::Boolean(_) => match text {
            "1" | "true" | "yes" | "on" => Ok(Value::Boolean(true)),
            "0" | "false" | "no" | "off" => Ok(Value::Boolean(false)),
            _ => Err(format!("`{text}` is neither true nor false")),
        },
        Value::Array(_) => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            Ok(Value::Array(items.map(|item| Value::String(item.to_owned())).collect()))
        }
        _ => Ok(Value::String(text.to_owned())),
    }
}

fn set(table: &mut Table, key: &str, value: Value) {
    match key.split_once('.') {
        Some((part, rest)) => {
            let inner = table.entry(part).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(inner) = inner {
                set(inner, rest, value);
            }
        }
        None => {
            table.insert(key.to_owned(), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_file(text: &str, environment: &Environment) -> Result<Config, ConfigError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        load(Some(file.path()), environment, Vec::new())
    }

    #[test]
    fn the_environment_beats_the_file_and_flags_beat_both() {
        let environment = Environment::from([
            ("BELLWIRE_DATA_DIR", "/env"),
            ("BELLWIRE_KEEP_BATCH_READINGS", "7"),
        ]);
        let config = with_file("data_dir = '/file'\nlog_filter = 'warn'", &environment).unwrap();
        assert_eq!(config.data_dir, Path::new("/env"));
        assert_eq!((config.log_filter.as_str(), config.keep.batch_readings), ("warn", 7));
        let flags = vec![("data_dir", Value::String("/flag".to_owned()))];
        let config = load(None, &environment, flags).unwrap();
        assert_eq!(config.data_dir, Path::new("/flag"));
    }

    #[test]
    fn a_key_without_a_default_is_read_in_its_own_type() {
        let environment = Environment::from([("BELLWIRE_INGEST_TIME_PAST_MAX_DAYS", "30")]);
        let config = load(None, &environment, Vec::new()).unwrap();
        assert_eq!(config.ingest.time.past_max_days, Some(30));
        assert_eq!(Config::default().ingest.time.past_max_days, None);
    }

    #[test]
    fn a_misspelt_key_is_named_with_its_place() {
        let error =
            with_file("insecure = true\n[keep]\nbatch_readigns = 5\n", &Environment::default());
        let text = error.unwrap_err().to_string();
        let expected = ":3:1: unknown key `batch_readigns`: did you mean `batch_readings`?";
        assert!(text.ends_with(expected), "{text}");
    }

    #[test]
    fn a_variable_that_does_not_fit_is_named() {
        let environment = Environment::from([("BELLWIRE_INSECURE", "perhaps")]);
        let text = load(None, &environment, Vec::new()).unwrap_err().to_string();
        assert_eq!(
            text,
            "environment variable BELLWIRE_INSECURE: `perhaps` is neither true nor false"
        );
        let environment = Environment::from([("BELLWIRE_MQTT_LISTEN", "nowhere")]);
        let text = load(None, &environment, Vec::new()).unwrap_err().to_string();
        assert_eq!(
            text,
            "environment variable BELLWIRE_MQTT_LISTEN: `nowhere` is no address with a port, \
             as in 127.0.0.1:1883"
        );
    }

    #[test]
    fn a_flag_that_does_not_fit_is_named() {
        let flags = vec![("http.listen", Value::String("8080".to_owned()))];
        let text = load(None, &Environment::default(), flags).unwrap_err().to_string();
        assert_eq!(text, "--http-listen: `8080` is no address with a port, as in 127.0.0.1:1883");
    }

    #[test]
    fn a_misspelt_variable_is_not_passed_over() {
        let environment = Environment::from([
            ("BELLWIRE_MQQT_LISTEN", "127.0.0.1:0"),
            ("BELLWIRE_CONFIG", "c.toml"),
            ("BELLWIRE_DATA_DIR", "/d"),
            ("HOME", "/root"),
        ]);
        assert_eq!(
            unknown_variables(&environment),
            ["The environment variable BELLWIRE_MQQT_LISTEN is no key of the configuration: \
              did you mean `BELLWIRE_MQTT_LISTEN`?"]
        );
    }

    #[test]
    fn what_cannot_work_is_found_before_anything_starts() {
        for (text, expected) in [
            ("[mqtt]\npacket_bytes_max = 3", "mqtt.packet_bytes_max is 3 and must be at least 64"),
            ("[log]\nsegment_bytes = 3", "log.segment_bytes must be from 8 KiB to 1 GiB"),
            ("[database]\npool_size = 0", "database.pool_size must be 1 to 1000"),
            ("[database]\nurl = 'mysql://u:hush@h'", "database.url is not a PostgreSQL URL"),
            ("[ingest.time]\nfuture_max_secs = 86401", "ingest.time.future_max_secs must be 0 to"),
            ("[ingest.time]\npast_max_days = 0", "ingest.time.past_max_days must be 1 to"),
            (
                "[[acl]]\nwho = 'anne'\naction = 'publish'\ntopic = 'a'\nallow = true",
                "acl[0].who: `anne` is neither `*`, `device` nor `user:NAME`",
            ),
            ("[[bridge]]\nname = 'a'", "bridge[0].url: it must be set, as mqtt://"),
            ("[[channel]]\nname = 'a'", "channel[0].type must be set"),
            ("[[route]]\nchannels = ['a']", "route[0].channels: there is no channel `a`"),
            ("public_url = 'bell'", "public_url: "),
            ("[rumqttd]\nuser = 'a'", "rumqttd.user and rumqttd.password_file belong together"),
            ("[traces]\nsample = 2.0", "traces.sample is 2 and must be 0.0 to 1.0"),
            ("log_filter = 'a=b=c'", "log_filter: `a=b=c` is no filter"),
        ] {
            let error = with_file(text, &Environment::default()).unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains("hush"), "{error}");
        }
    }

    #[test]
    fn everything_that_does_not_fit_is_said_at_once_and_at_its_place() {
        let text = "log_filter = nothing\ninsecur = true\n[mqtt]\npacket_bytes_max = 3\n\
                    connections_max = 'many'\n[database]\npool_size = 0\nwrite_timeout_ms = 0\n\
                    [kep]\nbatch_readings = 1\n[[acl]]\nwho = '*'\n[[acl]]\nwho = 'anne'\n\
                    action = 'publish'\ntopic = 'a'\nallow = true\n[[channel]]\nname = 'ops'\n\
                    type = 'webhook'\nurll = 'http://a'\n[[route]]\nchannels = ['ops', 'opps']\n";
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let environment = Environment::from([
            ("BELLWIRE_INSECURE", "perhaps"),
            ("BELLWIRE_LOG_QUEUE_BYTES", "1"),
            ("BELLWIRE_HTTP_LISTEN", "nowhere"),
        ]);
        let looked = look(Some(file.path()), &environment, Vec::new());
        let name = format!("config file {}:", file.path().display());
        let said: Vec<_> = looked.faults.iter().map(ToString::to_string).collect();
        let expected = [
            "1:14: invalid float, expected `nan`",
            "2:1: unknown key `insecur`: did you mean `insecure`?",
            "4:1: mqtt.packet_bytes_max is 3 and must be at least 64",
            "5:19: invalid type: string \"many\", expected u32",
            "7:1: database.pool_size must be 1 to 1000",
            "8:1: database.write_timeout_ms must be 1 to",
            "9:2: unknown key `kep`: did you mean `keep`?",
            "11:1: missing field `action`",
            "14:1: acl[1].who: `anne` is neither",
            "18:1: channel[0].url must be set",
            "21:1: unknown key `urll`: did you mean `url`?",
            "23:1: route[0].channels: there is no channel `opps`",
            "BELLWIRE_INSECURE: `perhaps` is neither true nor false",
            "BELLWIRE_HTTP_LISTEN: `nowhere` is no address with a port",
            "BELLWIRE_LOG_QUEUE_BYTES: log.queue_bytes must be from",
        ];
        assert_eq!(said.len(), expected.len(), "{said:#?}");
        for (text, expected) in said.iter().zip(expected) {
            let text = text.strip_prefix(&name).unwrap_or(text);
            let text = text.strip_prefix("environment variable ").unwrap_or(text);
            assert!(text.starts_with(expected), "{text} is not {expected}; all: {said:#?}");
        }
    }

    #[test]
    fn every_key_has_a_variable_of_its_own() {
        let mut variables: Vec<_> = keys().iter().map(|(key, _)| variable_of(key)).collect();
        let n_keys = variables.len();
        variables.sort();
        variables.dedup();
        assert_eq!(variables.len(), n_keys);
        assert!(variables.contains(&"BELLWIRE_DATABASE_URL".to_owned()));
    }

    #[test]
    fn the_example_has_every_key_at_its_default() {
        assert_eq!(toml::from_str::<Config>(super::super::EXAMPLE).unwrap(), Config::default());
        let uncommented: String = super::super::EXAMPLE
            .lines()
            .map(|line| line.trim_start_matches("# "))
            .fold(String::new(), |text, line| {
                if line.contains(" = ") || line.starts_with('[') {
                    text + line + "\n"
                } else {
                    text
                }
            });
        for (key, _) in keys() {
            let name = key.rsplit('.').next().unwrap();
            let has = uncommented.lines().any(|line| line.starts_with(&format!("{name} = ")));
            assert!(has, "deploy/bellwire.example.toml lacks {key}");
        }
    }
}
