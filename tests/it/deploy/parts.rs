//! What Bellwire is made of, as scripts/sbom says it: every package of the lock files, and no other.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

use super::tools::{json, said};
use super::{root, text};

type Names = BTreeSet<(String, String)>;

/// The packages of Cargo.lock but for ourselves, by name and version.
fn crates() -> Names {
    let lock: toml::Table = text("Cargo.lock").parse().unwrap();
    let packages = lock["package"].as_array().unwrap();
    let word = |it: &toml::Value, key: &str| it[key].as_str().unwrap().to_owned();
    let all = packages.iter().map(|it| (word(it, "name"), word(it, "version")));
    all.filter(|(name, _)| name != "bellwire").collect()
}

/// The packages that the console is built with.
fn console() -> Names {
    let lock: Value = serde_json::from_str(&text("api/console/package-lock.json")).unwrap();
    let packages = lock["packages"].as_object().unwrap();
    let named = packages.iter().filter_map(|(path, it)| {
        let name = path.rsplit_once("node_modules/")?.1;
        Some((name.to_owned(), it["version"].as_str()?.to_owned()))
    });
    named.collect()
}

/// What is wrong with a document, given what it must name.
fn faults(document: &Value, wanted: &Names) -> Vec<String> {
    let components = document["components"].as_array().unwrap();
    let word = |it: &Value, key: &str| it[key].as_str().unwrap_or_default().to_owned();
    let named: Names =
        components.iter().map(|it| (word(it, "name"), word(it, "version"))).collect();
    let missing = wanted.difference(&named).map(|it| format!("{it:?} is missing"));
    let strange = named.difference(wanted).map(|it| format!("{it:?} is in no lock file"));
    let mut faults: Vec<String> = missing.chain(strange).collect();
    let refs: BTreeSet<String> = components.iter().map(|it| word(it, "bom-ref")).collect();
    if refs.len() != components.len() {
        faults.push("two components have one name".to_owned());
    }
    let others = components.iter().filter(|it| !it["purl"].is_null());
    let unlicensed = others.filter(|it| it["licenses"].is_null()).map(|it| word(it, "name"));
    faults.extend(unlicensed.map(|name| format!("{name} has no licence")));
    faults
}

#[test]
fn every_package_is_named() {
    let output = Command::new(root().join("scripts/sbom")).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let mut document = json(&output);
    let mut wanted = crates();
    wanted.extend(console());
    assert_eq!(faults(&document, &wanted), Vec::<String>::new());
    assert_eq!(
        (&document["bomFormat"], &document["specVersion"]),
        (&"CycloneDX".into(), &"1.5".into())
    );
    let scope = |name: &str| {
        let mut all = document["components"].as_array().unwrap().iter();
        all.find(|it| it["name"] == name).unwrap()["scope"].clone()
    };
    for (name, expected) in [
        ("tokio", "required"),
        ("svelte", "required"),
        ("proptest", "excluded"),
        ("vite", "excluded"),
    ] {
        assert_eq!(scope(name), expected, "{name}");
    }

    // What is not so is caught.
    let gone = document["components"].as_array_mut().unwrap().remove(7);
    let name = gone["name"].as_str().unwrap().to_owned();
    assert!(faults(&document, &wanted)[0].contains(&name));
    let mut stranger = gone;
    stranger["version"] = "99.0.0".into();
    document["components"].as_array_mut().unwrap().push(stranger);
    assert_eq!(faults(&document, &wanted).len(), 2);
}
