//! Lays file, environment and flags over the defaults, and says precisely what does not fit.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::{Table, Value};
use tracing::warn;

use super::Config;

/// Keys that have no default and so are not in the table of defaults.
const OPTIONAL_KEYS: [&str; 3] = ["rules", "database.url", "database.bin_dir"];
/// Variables that belong to us and are no keys.
const OTHER_VARIABLES: [&str; 1] = ["BELLWIRE_CONFIG"];

/// Why there is no configuration. All of them are exit code 78.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read config file {path}: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no TOML, or has a key or value that does not fit. The text names the place.
    #[error("config file {path}: {message}")]
    File {
        /// Which.
        path: PathBuf,
        /// Line, column, what was found and what would be right.
        message: String,
    },
    /// A variable's value does not fit its key.
    #[error("environment variable {variable}: {message}")]
    Variable {
        /// Which.
        variable: String,
        /// What would be right.
        message: String,
    },
    /// A value that fits its type and still cannot be.
    #[error("{0}")]
    Value(String),
    /// No data directory can be chosen.
    #[error("neither data_dir nor HOME is set: say where to keep data with --data-dir")]
    NoHome,
}

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

/// Loads the configuration from `file` (or `BELLWIRE_CONFIG`), the environment and flags.
///
/// # Errors
/// [`ConfigError`], naming file, line and column, or the variable.
pub fn load(
    file: Option<&Path>,
    environment: &Environment,
    overrides: Overrides,
) -> Result<Config, ConfigError> {
    let from_environment = environment.get("BELLWIRE_CONFIG").map(PathBuf::from);
    let mut table = match file.map(Path::to_owned).or(from_environment) {
        Some(path) => read_file(&path)?,
        None => Table::new(),
    };
    for (variable, key, value) in variables(environment)? {
        set(&mut table, &key, value);
        // Checked one by one, so that the error names the variable.
        table.clone().try_into::<Config>().map_err(|error| ConfigError::Variable {
            variable,
            message: error.message().to_owned(),
        })?;
    }
    for (key, value) in overrides {
        set(&mut table, key, value);
    }
    table
        .try_into()
        .map_err(|error: toml::de::Error| ConfigError::Value(error.message().to_owned()))
}

fn read_file(path: &Path) -> Result<Table, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    let file_error = |error: toml::de::Error| {
        let place = error.span().map(|span| place_of(&text, span.start));
        let place = place
            .map_or_else(String::new, |(line, column)| format!("line {line}, column {column}: "));
        ConfigError::File { path: path.to_owned(), message: format!("{place}{}", error.message()) }
    };
    // The whole file is checked against the keys here, where places are still known.
    toml::from_str::<Config>(&text).map_err(file_error)?;
    text.parse::<Table>().map_err(file_error)
}

fn place_of(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..offset.min(text.len())];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |rest| rest.chars().count()) + 1;
    (line, column)
}

/// Every `BELLWIRE_…` variable that is a key: its name, the key, and the value in the key's type.
fn variables(environment: &Environment) -> Result<Vec<(String, String, Value)>, ConfigError> {
    let keys = keys();
    let mut found = Vec::new();
    for (variable, text) in &environment.0 {
        if !variable.starts_with("BELLWIRE_")
            || OTHER_VARIABLES.contains(&variable.as_str())
            || text.is_empty()
        {
            continue;
        }
        let Some((key, default)) = keys.iter().find(|(key, _)| variable_of(key) == *variable)
        else {
            warn!(
                "The environment variable {variable} is no key of the configuration: it is not used."
            );
            continue;
        };
        let value = parse(text, default)
            .map_err(|message| ConfigError::Variable { variable: variable.clone(), message })?;
        found.push((variable.clone(), key.clone(), value));
    }
    Ok(found)
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
    let optional =
        OPTIONAL_KEYS.iter().map(|key| ((*key).to_owned(), Value::String(String::new())));
    keys.extend(optional);
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
    fn a_misspelt_key_is_named_with_its_place() {
        let error =
            with_file("insecure = true\n[keep]\nbatch_readigns = 5\n", &Environment::default());
        let text = error.unwrap_err().to_string();
        assert!(text.contains("line 3, column 1"), "{text}");
        assert!(text.contains("batch_readigns") && text.contains("batch_readings"), "{text}");
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
        assert!(text.starts_with("environment variable BELLWIRE_MQTT_LISTEN: "), "{text}");
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
