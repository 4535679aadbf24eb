//! Finds every value that cannot work, not only the first: each is put back to its default, and it is
//! looked again.

use std::collections::BTreeSet;

use toml::{Table, Value};

use super::layers::checked;
use super::origin::{Origins, element, key_of, parent};
use super::{Config, ConfigError};

/// The configuration of `table`, whose keys fit; those that cannot work are said, and have their defaults.
pub(super) fn settle(
    mut table: Table,
    origins: &mut Origins,
    faults: &mut Vec<ConfigError>,
) -> Config {
    let mut said = BTreeSet::new();
    loop {
        let Ok(config) = checked(&table) else {
            // Each part fitted when it was laid on, and what was taken out is mended below.
            return Config::default();
        };
        let Err(error) = config.check() else { return config };
        let message = error.to_string();
        let key = key_of(&message);
        // What comes of putting back what is said already is no mistake of its own.
        if said.insert(origins.in_file(key)) {
            faults.push(origins.fault(&message));
        }
        let mut up = std::iter::successors(Some(key), |&key| parent(key));
        if !up.any(|key| reset(&mut table, key, origins)) {
            return config;
        }
        // An element in which a key must be is nothing without it.
        if let Some((list, index, _)) = element(key)
            && checked(&table).is_err()
        {
            take_out(&mut table, (list, index), origins);
        }
    }
}

/// Takes out a key, so that it has its default. Whether it was there.
fn reset(table: &mut Table, key: &str, origins: &mut Origins) -> bool {
    match element(key) {
        Some((list, index, "")) => take_out(table, (list, index), origins),
        _ => remove(table, key),
    }
}

/// Takes out a key that is no element of a list of tables.
fn remove(table: &mut Table, key: &str) -> bool {
    let Some((first, rest)) = key.split_once('.') else {
        // Of a list of values all go.
        let list = key.split_once('[').map_or(key, |(list, _)| list);
        return table.remove(list).is_some();
    };
    let inner = match element(first) {
        Some((list, index, _)) => table.get_mut(list).and_then(|list| list.get_mut(index)),
        None => table.get_mut(first),
    };
    inner.and_then(Value::as_table_mut).is_some_and(|inner| remove(inner, rest))
}

/// Takes an element out of a list. A channel stays known to the routes: that it is not there is no
/// mistake of theirs.
fn take_out(table: &mut Table, (list, index): (&str, usize), origins: &mut Origins) -> bool {
    let Some(Value::Array(items)) = table.get_mut(list) else { return false };
    if index >= items.len() {
        return false;
    }
    let gone = items.remove(index);
    origins.gone.take_out(list, index);
    if list == "channel"
        && let Some(Value::Array(routes)) = table.get_mut("route")
    {
        let name = gone.get("name");
        let named = routes.iter_mut().filter_map(|route| route.get_mut("channels")?.as_array_mut());
        named.for_each(|channels| channels.retain(|channel| Some(channel) != name));
    }
    true
}
