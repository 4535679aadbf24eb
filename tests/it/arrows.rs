//! The arrows between rooms: who may know whom. Read from the manifests and from the sources.

use crate::support::fault::{Fault, none_of};
use crate::support::tree;

/// Each room's folder, and the rooms that it may know. The root package knows them all.
const ARROWS: [(&str, &[&str]); 8] = [
    ("model", &[]),
    ("broker", &["model"]),
    ("ingest", &["model"]),
    ("store", &["model"]),
    ("alerts", &["model"]),
    ("notify", &["model"]),
    ("api", &["model", "store"]),
    ("tests/fleet", &["model"]),
];

/// What the words are made of beside the standard library: no I/O, no async, no serde.
const MODEL_MAY_USE: [&str; 3] = ["hashbrown", "proptest", "regex"];

/// The last part of a room's folder is its name; its crate is `bellwire-` and that name.
fn room_name(folder: &str) -> &str {
    folder.rsplit('/').next().expect("splitting gives at least one part")
}

/// The folder of the room that `path` lies in; `None` for the root package.
fn room_of(path: &str) -> Option<(&'static str, &'static [&'static str])> {
    ARROWS
        .into_iter()
        .find(|(folder, _)| path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')))
}

/// Every dependency a manifest names, of every kind and for every target.
fn dependencies(manifest: &toml::Table) -> Vec<(String, toml::Value)> {
    const KINDS: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];
    let targets = manifest.get("target").and_then(toml::Value::as_table);
    let tables = targets.into_iter().flat_map(|targets| targets.values());
    std::iter::once(manifest)
        .chain(tables.filter_map(toml::Value::as_table))
        .flat_map(|table| KINDS.into_iter().filter_map(|kind| table.get(kind)?.as_table()))
        .flatten()
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// Faults of one room's manifest.
fn manifest_faults(path: &str, text: &str) -> Vec<Fault> {
    let Some((folder, allowed)) = room_of(path) else { return Vec::new() };
    let manifest: toml::Table = match text.parse() {
        Ok(manifest) => manifest,
        Err(error) => return vec![Fault::whole(path, error.to_string())],
    };
    let mut faults = Vec::new();
    for (name, value) in dependencies(&manifest) {
        if value.get("workspace").and_then(toml::Value::as_bool) != Some(true) {
            let what = format!("`{name}` must be listed in the root and say `workspace = true`");
            faults.push(Fault::whole(path, what));
        }
        match name.strip_prefix("bellwire-") {
            Some(other) if !allowed.contains(&other) => {
                faults.push(Fault::whole(path, format!("{folder} must not know {other}")));
            }
            None if folder == "model" && !MODEL_MAY_USE.contains(&name.as_str()) => {
                faults.push(Fault::whole(path, format!("model must stay pure: not `{name}`")));
            }
            _ => {}
        }
    }
    faults
}

/// Workspace members without a row in [`ARROWS`], and rows without a member.
fn member_faults(path: &str, text: &str) -> Vec<Fault> {
    let manifest: toml::Table = text.parse().expect("cargo has read the root manifest");
    let members: Vec<&str> = manifest["workspace"]["members"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(toml::Value::as_str)
        .collect();
    let unknown = members.iter().filter(|member| !ARROWS.iter().any(|(room, _)| room == *member));
    let missing = ARROWS.iter().map(|(room, _)| room).filter(|room| !members.contains(room));
    unknown
        .map(|member| Fault::whole(path, format!("room {member} has no row in arrows.rs")))
        .chain(missing.map(|room| Fault::whole(path, format!("room {room} is gone"))))
        .collect()
}

/// Places where a room's source names a room that it may not know.
fn source_faults(path: &str, text: &str) -> Vec<Fault> {
    let Some((folder, allowed)) = room_of(path) else { return Vec::new() };
    let own = room_name(folder);
    let strangers: Vec<&str> = ARROWS
        .iter()
        .map(|(other, _)| room_name(other))
        .filter(|other| *other != own && !allowed.contains(other))
        .collect();
    let named = |line: &str, other: &str| {
        let name = format!("bellwire_{other}");
        line.contains(&format!("{name}::"))
            || line.trim_start().starts_with(&format!("use {name}"))
            || line.contains(&format!("extern crate {name}"))
    };
    text.lines()
        .enumerate()
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .flat_map(|(index, line)| {
            let named = strangers.iter().filter(move |other| named(line, other));
            named.map(move |other| Fault::at(path, index, format!("{folder} names {other}")))
        })
        .collect()
}

#[test]
fn rooms_know_only_whom_they_may() {
    let files = tree::files();
    none_of(files.iter().flat_map(|file| match file.path.as_str() {
        "Cargo.toml" => member_faults(&file.path, &file.text),
        path if path.ends_with("/Cargo.toml") => manifest_faults(path, &file.text),
        path if path.ends_with(".rs") => source_faults(path, &file.text),
        _ => Vec::new(),
    }));
}

#[test]
fn a_room_that_learns_of_another_is_caught() {
    let text = "[dependencies]\nbellwire-model.workspace = true\nbellwire-store.workspace = true\n";
    let expected = Fault::whole("alerts/Cargo.toml", "alerts must not know store");
    assert_eq!(manifest_faults("alerts/Cargo.toml", text), [expected]);
    assert_eq!(manifest_faults("api/Cargo.toml", text), []);
}

#[test]
fn tests_and_targets_are_no_way_around() {
    for table in ["dev-dependencies", "target.'cfg(unix)'.build-dependencies"] {
        let text = format!("[{table}]\nbellwire-api = {{ workspace = true }}\n");
        let expected = Fault::whole("tests/fleet/Cargo.toml", "tests/fleet must not know api");
        assert_eq!(manifest_faults("tests/fleet/Cargo.toml", &text), [expected], "{table}");
    }
}

#[test]
fn a_version_of_its_own_is_caught() {
    let faults = manifest_faults("store/Cargo.toml", "[dependencies]\nbytes = \"1\"\n");
    assert_eq!(faults.len(), 1, "{faults:?}");
}

#[test]
fn an_impure_model_is_caught() {
    let faults = manifest_faults("model/Cargo.toml", "[dependencies]\nserde.workspace = true\n");
    let expected = Fault::whole("model/Cargo.toml", "model must stay pure: not `serde`");
    assert_eq!(faults, [expected]);
}

#[test]
fn a_room_without_arrows_is_caught() {
    let faults = member_faults("Cargo.toml", "[workspace]\nmembers = [\"model\", \"cellar\"]\n");
    let expected = Fault::whole("Cargo.toml", "room cellar has no row in arrows.rs");
    assert_eq!(faults.first(), Some(&expected));
    assert_eq!(faults.len(), ARROWS.len(), "and the rooms that are gone: {faults:?}");
}

#[test]
fn a_source_that_names_a_stranger_is_caught() {
    let text =
        "//! [`bellwire_api::x`]\nuse bellwire_model::Reading;\nlet a = bellwire_api::x();\n";
    let expected = Fault::at("store/src/lib.rs", 2, "store names api");
    assert_eq!(source_faults("store/src/lib.rs", text), [expected]);
    assert_eq!(source_faults("src/app.rs", text), []);
    assert_eq!(source_faults("api/tests/feed.rs", text), [], "a room may name itself");
}
