//! The configuration for a reader: TOML without secrets, each key with whence it comes if that is wanted.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use bellwire_store::HIDDEN;
use toml::de::{DeTable, DeValue};

use super::places::{self, Kind};
use super::{Config, Origins};

/// Types of channels whose URL is a secret.
const SECRET_URLS: [&str; 3] = ["slack", "teams", "pagerduty"];
/// How the last part of a key is named whose value is a secret.
const SECRET_NAMES: [&str; 4] = ["password", "secret", "token", "key"];

/// The configuration as TOML; with `origins`, whence each key comes behind it.
///
/// # Errors
/// If a value is none of TOML's.
pub(crate) fn shown(
    config: &Config,
    origins: Option<&Origins>,
) -> Result<String, toml::ser::Error> {
    let text = toml::to_string(config)?;
    // It is TOML: it was just made.
    let Ok(table) = DeTable::parse(&text) else { return Ok(text) };
    let mut edits: Vec<(Range<usize>, String)> = Vec::new();
    for entry in places::entries(table.get_ref()) {
        if entry.kind == Kind::Table {
            continue;
        }
        let (of, value) = (&entry.path, entry.value);
        if let Some(other) = hidden(table.get_ref(), of, &text[value.clone()]) {
            edits.push((value.clone(), other));
        }
        if let Some(origins) = origins {
            edits.push((value.end..value.end, format!("  # {}", origins.of(of))));
        }
    }
    edits.sort_by_key(|(range, _)| (range.start, range.end));
    let mut out = String::with_capacity(text.len() * 2);
    let mut from = 0;
    for (range, new) in edits {
        out.push_str(&text[from..range.start]);
        out.push_str(&new);
        from = range.end;
    }
    out.push_str(&text[from..]);
    Ok(out)
}

/// The keys that the two set otherwise, in the order of the alphabet.
pub(crate) fn differing(one: &Config, other: &Config) -> Vec<String> {
    let keys = |config: &Config| -> BTreeMap<String, String> {
        let text = toml::to_string(config).unwrap_or_default();
        let Ok(table) = DeTable::parse(&text) else { return BTreeMap::new() };
        let values = places::entries(table.get_ref()).into_iter();
        let values = values.filter(|entry| entry.kind == Kind::Value);
        values.map(|entry| (entry.path, text[entry.value].to_owned())).collect()
    };
    let (mut one_keys, other_keys) = (keys(one), keys(other));
    let mut differing: BTreeSet<_> = other_keys
        .into_iter()
        .filter(|(key, value)| one_keys.remove(key).as_ref() != Some(value))
        .map(|(key, _)| key)
        .collect();
    differing.extend(one_keys.into_keys());
    // What is hidden is compared as it is.
    let (one, other) = (&one.database, &other.database);
    if one.url != other.url {
        differing.insert("database.url".to_owned());
    }
    if one.reader != other.reader && !differing.iter().any(|key| key.starts_with("database.reader"))
    {
        differing.insert("database.reader.password".to_owned());
    }
    differing.into_iter().collect()
}

/// What is shown in place of `value`, which is TOML, if there is a secret in it.
fn hidden(table: &DeTable<'_>, key: &str, value: &str) -> Option<String> {
    let name = key.rsplit('.').next().unwrap_or(key);
    let is_secret = SECRET_NAMES.iter().any(|secret| {
        name.strip_suffix(secret).is_some_and(|before| before.is_empty() || before.ends_with('_'))
    });
    if is_secret || (matches!(name, "url" | "urls") && has_secret_url(table, key)) {
        return Some(format!("\"{HIDDEN}\""));
    }
    without_password(value)
}

/// Whether `key` is of a channel that comes in by its URL.
fn has_secret_url(table: &DeTable<'_>, key: &str) -> bool {
    let index = key.strip_prefix("channel[").and_then(|rest| rest.split_once(']'));
    let Some(index) = index.and_then(|(index, _)| index.parse::<usize>().ok()) else {
        return false;
    };
    let Some(DeValue::Array(channels)) = table.get("channel").map(toml::Spanned::get_ref) else {
        return false;
    };
    let Some(DeValue::Table(channel)) = channels.get(index).map(toml::Spanned::get_ref) else {
        return false;
    };
    match channel.get("type").map(toml::Spanned::get_ref) {
        Some(DeValue::String(kind)) => SECRET_URLS.contains(&kind.as_ref()),
        _ => false,
    }
}

/// URLs without the passwords that stand in them; `None` where none does.
fn without_password(value: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = value;
    let mut is_changed = false;
    while let Some(start) = rest.find("://") {
        let (before, after) = rest.split_at(start + 3);
        out.push_str(before);
        let end = after.find(['/', '?', '#', '"', '\'', ' ', ',']).unwrap_or(after.len());
        let (authority, behind) = after.split_at(end);
        match authority
            .rsplit_once('@')
            .and_then(|(who, host)| Some((who.split_once(':')?.0, host)))
        {
            Some((user, host)) => {
                out.push_str(&format!("{user}:{HIDDEN}@{host}"));
                is_changed = true;
            }
            None => out.push_str(authority),
        }
        rest = behind;
    }
    is_changed.then(|| out + rest)
}

#[cfg(test)]
mod tests {
    use super::super::{Environment, look};
    use super::*;

    fn looked(text: &str, environment: &Environment) -> super::super::Looked {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let looked = look(Some(file.path()), environment, Vec::new());
        assert!(looked.faults.is_empty(), "{:?}", looked.faults);
        looked
    }

    #[test]
    fn each_key_says_whence_it_comes() {
        let environment = Environment::from([("BELLWIRE_HTTP_LISTEN", "127.0.0.1:9")]);
        let text = "log_filter = 'warn'\n\n[[acl]]\nwho = '*'\naction = 'publish'\ntopic = 'a'\nallow = true\n";
        let looked = looked(text, &environment);
        let shown = shown(&looked.config, Some(&looked.origins)).unwrap();
        let line = |key: &str| shown.lines().find(|line| line.starts_with(key)).unwrap();
        assert!(line("log_filter = \"warn\"  # /").ends_with(":1"), "{shown}");
        assert_eq!(line("insecure"), "insecure = false  # default");
        assert!(line("topic = \"a\"  # /").ends_with(":6"), "{shown}");
        let listen = "listen = \"127.0.0.1:9\"  # BELLWIRE_HTTP_LISTEN";
        assert!(shown.contains(listen), "{shown}");
        assert_eq!(toml::from_str::<Config>(&shown).unwrap(), looked.config, "it is TOML still");
    }

    #[test]
    fn no_secret_is_shown_wherever_it_stands() {
        let text = "[database]\nurl = 'postgres://u:hush@h/d'\n[database.reader]\nrole = 'r'\n\
                    password = 'hush'\n[[channel]]\nname = 'a'\ntype = 'slack'\n\
                    url = 'https://hooks.example/hush'\n[[channel]]\nname = 'b'\n\
                    type = 'webhook'\nurl = 'https://b.example/x'\n";
        let looked = looked(text, &Environment::default());
        for origins in [None, Some(&looked.origins)] {
            let shown = shown(&looked.config, origins).unwrap();
            assert!(!shown.contains("hush") && shown.matches(HIDDEN).count() == 3, "{shown}");
            assert!(shown.contains("https://b.example/x"), "{shown}");
        }
    }

    #[test]
    fn keys_that_differ_are_named_secrets_among_them() {
        let of = |text: &str| toml::from_str::<Config>(text).unwrap();
        let one =
            of("rules = 'a'\n[database]\nurl = 'postgres://a'\n[mqtt]\nconnections_max = 5\n");
        let other =
            of("mappings = 'a'\n[database]\nurl = 'postgres://b'\n[mqtt]\nconnections_max = 6\n\
                        [[channel]]\nname = 'a'\n");
        assert!(differing(&one, &one).is_empty());
        let found = differing(&one, &other);
        let expected = ["database.url", "mappings", "mqtt.connections_max", "rules"];
        assert!(expected.iter().all(|key| found.iter().any(|it| it == key)), "{found:?}");
        let others: Vec<_> = found.iter().filter(|key| !expected.contains(&key.as_str())).collect();
        assert!(others.iter().all(|key| key.starts_with("channel[0].")), "{found:?}");
        assert!(others.contains(&&"channel[0].name".to_owned()));
    }

    #[test]
    fn a_password_in_a_url_is_hidden_and_the_rest_is_not() {
        for (value, expected) in [
            ("\"amqp://u:p@h:1/x\"", Some("\"amqp://u:<hidden>@h:1/x\"")),
            ("['http://a', 'http://u:p:@q@b']", Some("['http://a', 'http://u:<hidden>@b']")),
            ("\"http://u@h/a:b@c\"", None),
            ("\"127.0.0.1:1883\"", None),
        ] {
            assert_eq!(without_password(value).as_deref(), expected, "{value}");
        }
    }
}
