//! Examples of files: read by what reads such files.

use bellwire::config::{Environment, load};
use serde_json::Value;

use super::directive::Toml;
use super::page::{Block, Page};
use crate::cli::bellwire;
use crate::support::fault::Fault;

/// What is wrong with a page's examples.
pub(super) fn faults(page: &Page) -> Vec<Fault> {
    let toml = page.blocks("toml").filter_map(|block| Some((block, toml_fault(block)?)));
    let json = page.blocks("json").filter_map(|block| Some((block, json_fault(&block.text)?)));
    let all = toml.chain(json);
    all.map(|(block, what)| Fault::at(&page.path, block.line - 1, what)).collect()
}

/// What a block is, as its comment or its content says.
fn kind(block: &Block) -> Toml {
    let has = |names: &[&str]| {
        let begins = |line: &str| names.iter().any(|name| line.starts_with(name));
        block.text.lines().any(begins)
    };
    match block.toml {
        Some(kind) => kind,
        None if has(&["[[test"]) => Toml::Test,
        None if has(&["[[rule", "[[labels", "[[inhibit", "[[escalation", "lateness "]) => {
            Toml::Rules
        }
        None if has(&["[[mapping"]) => Toml::Mappings,
        None => Toml::Config,
    }
}

fn toml_fault(block: &Block) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("example.toml");
    std::fs::write(&file, &block.text).unwrap();
    let said = |arguments: &[&str]| {
        let path = file.to_str().unwrap();
        let output = bellwire(&[arguments, &[path]].concat(), &[]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (!output.status.success()).then_some(said)
    };
    match kind(block) {
        Toml::Rules => said(&["rules", "check"]),
        Toml::Mappings => said(&["mapping", "check"]),
        Toml::Config => load(Some(&file), &Environment::from([]), Vec::new())
            .err()
            .map(|error| error.to_string()),
        Toml::Test if block.file.is_none() => {
            Some("a test of rules has `file:`, and is run by the page".to_owned())
        }
        Toml::Test | Toml::Other => None,
    }
}

/// JSON is JSON, unless it leaves something out.
fn json_fault(text: &str) -> Option<String> {
    let whole = !text.contains('…');
    let error = serde_json::from_str::<Value>(text).err()?;
    whole.then(|| error.to_string())
}

#[test]
fn examples_that_are_wrong_are_caught() {
    let check = |text: &str| {
        let (page, faults) = super::page::parse("a.md", text);
        assert_eq!(faults, []);
        let all: Vec<String> =
            super::examples::faults(&page).iter().map(Fault::to_string).collect();
        all.join("\n")
    };
    for good in [
        "[http]\nlisten = \"127.0.0.1:8080\"",
        "[[rule]]\nname = \"a\"\nwhen = \"t > 1\"",
        "[[mapping]]\npreset = \"tasmota\"",
    ] {
        assert_eq!(check(&format!("```toml\n{good}\n```\n")), "");
    }
    for (wrong, what) in [
        ("[http]\nlistens = \"127.0.0.1:8080\"", "did you mean `listen`"),
        ("[[rule]]\nname = \"a\"\nwhen = \"avgg(t, 1m) > 1\"", "avgg"),
        ("[[mapping]]\npreset = \"tasmata\"", "did you mean `tasmota`"),
        ("[[test]]\nname = \"a\"", "has `file:`"),
    ] {
        let said = check(&format!("```toml\n{wrong}\n```\n"));
        assert!(said.starts_with("a.md:2: ") && said.contains(what), "{wrong}: {said}");
    }
    assert_eq!(check("<!-- toml: other -->\n```toml\nlistens = 1\n```\n"), "");
    assert_eq!(check("```json\n{\"a\": [{…}]}\n```\n"), "");
    assert!(check("```json\n{\"a\": }\n```\n").contains("expected value"));
}
