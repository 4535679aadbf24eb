//! The document is whole, and says the same as router, sources and guide.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use regex::Regex;
use serde_json::Value;

use super::codes::CODES;
use crate::routes::TEMPLATES;

fn json() -> Value {
    serde_json::to_value(super::document()).expect("it serializes")
}

/// Every operation: path, method, itself.
fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
    let paths = document["paths"].as_object().expect("paths");
    let mut all = Vec::new();
    for (path, item) in paths {
        for (method, operation) in item.as_object().expect("operations") {
            all.push((path.as_str(), method.as_str(), operation));
        }
    }
    all
}

/// The texts of all sources of this room but this one's.
fn sources() -> String {
    fn walk(folder: &Path, all: &mut String) {
        for entry in fs::read_dir(folder).expect("it is there") {
            let path = entry.expect("it is read").path();
            if path.is_dir() && !path.ends_with("openapi") {
                walk(&path, all);
            } else if path.extension().is_some_and(|it| it == "rs") {
                all.push_str(&fs::read_to_string(&path).expect("text"));
            }
        }
    }
    let mut all = String::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut all);
    all
}

#[test]
fn every_route_is_in_the_document_and_the_reverse() {
    let document = json();
    let documented: BTreeSet<&str> = operations(&document).iter().map(|it| it.0).collect();
    let routed: BTreeSet<&str> = TEMPLATES.into_iter().collect();
    let missing: Vec<_> = routed.difference(&documented).collect();
    assert!(missing.is_empty(), "routes without a description in api/src/openapi: {missing:?}");
    let gone: Vec<_> = documented.difference(&routed).collect();
    assert!(gone.is_empty(), "described, but not in `routes::TEMPLATES`: {gone:?}");
    let routes = include_str!("../routes.rs");
    let n_routes = routes.lines().filter(|line| line.contains(": &str = \"/")).count();
    assert_eq!(n_routes, TEMPLATES.len(), "a route is not in `TEMPLATES`");
}

#[test]
fn every_code_is_in_the_table_and_the_reverse() {
    let sources = sources();
    let calls = Regex::new(concat!(
        r#"(?:new\(\s*StatusCode::[A-Z_]+,|bad_request\(|not_found\(|later\(|unfit\(|conflict\(|"#,
        r#"refused\()\s*"([a-z0-9_]+)""#
    ));
    let calls = calls.expect("a pattern");
    let used: BTreeSet<&str> =
        calls.captures_iter(&sources).filter_map(|it| it.get(1)).map(|it| it.as_str()).collect();
    assert!(used.len() > 40, "the pattern finds hardly any: {used:?}");
    let known: BTreeSet<&str> = CODES.iter().map(|it| it.code).collect();
    let missing: Vec<_> = used.difference(&known).collect();
    assert!(missing.is_empty(), "codes that are not in openapi/codes.rs: {missing:?}");
    let gone: Vec<_> = known.iter().filter(|it| !sources.contains(&format!("\"{it}\""))).collect();
    assert!(gone.is_empty(), "codes that no source has: {gone:?}");
    assert!(CODES.is_sorted_by_key(|it| (it.status, it.code)), "by status and name");
}

#[test]
fn every_code_is_a_problem_of_some_operation() {
    let document = json();
    let text = document["paths"].to_string();
    let of_none = ["method_not_allowed"];
    for code in CODES.iter().filter(|it| !of_none.contains(&it.code)) {
        assert!(text.contains(&format!("`{}`: {}", code.code, code.means)), "{}", code.code);
    }
}

#[test]
fn names_lead_somewhere_and_are_used() {
    let document = json();
    let text = document.to_string();
    let parts = document["components"]["schemas"].as_object().expect("schemas");
    let links = Regex::new(r##""\$ref":"#/components/schemas/([A-Za-z]+)""##).expect("a pattern");
    let used: BTreeSet<&str> =
        links.captures_iter(&text).filter_map(|it| it.get(1)).map(|it| it.as_str()).collect();
    let known: BTreeSet<&str> = parts.keys().map(String::as_str).collect();
    assert_eq!(used, known);
}

#[test]
fn operations_have_names_of_their_own_and_the_parts_of_their_paths() {
    let document = json();
    let mut ids = BTreeSet::new();
    for (path, method, operation) in operations(&document) {
        let id = operation["operationId"].as_str().expect("an id");
        assert!(ids.insert(id), "{id} twice");
        assert_eq!(operation["tags"].as_array().map(Vec::len), Some(1), "{method} {path}");
        let parameters = operation["parameters"].as_array().map_or(&[][..], Vec::as_slice);
        let in_path = parameters.iter().filter(|it| it["in"] == "path");
        let mut named: Vec<&str> = in_path.filter_map(|it| it["name"].as_str()).collect();
        let mut parts: Vec<&str> = path.split(['{', '}']).skip(1).step_by(2).collect();
        named.sort_unstable();
        parts.sort_unstable();
        assert_eq!(named, parts, "{method} {path}");
        for (status, answer) in operation["responses"].as_object().expect("answers") {
            assert_ne!(answer["description"], "", "{method} {path} {status}");
        }
    }
}

/// The reference as it should be: its tables of codes and routes are those of the document.
#[test]
fn the_reference_has_every_code_and_every_route() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/api.md");
    let found = fs::read_to_string(&path).expect("it is there");
    let mut codes = String::from("| status | code | |\n|---|---|---|\n");
    for code in CODES {
        codes += &format!("| {} | `{}` | {} |\n", code.status, code.code, code.means);
    }
    let document = json();
    let mut routes = String::from("| | | |\n|---|---|---|\n");
    for (path, method, operation) in operations(&document) {
        let summary = operation["summary"].as_str().expect("a summary");
        routes += &format!("| {} | `{path}` | {summary} |\n", method.to_uppercase());
    }
    let due = with(&with(&found, "codes", &codes), "routes", &routes);
    if std::env::var_os("BELLWIRE_WRITE_REFERENCE").is_some() {
        fs::write(&path, &due).expect("it is written");
    }
    let is_same = found == due;
    assert!(is_same, "docs/reference/api.md is old: run this with BELLWIRE_WRITE_REFERENCE=1");
}

/// The document as a file, from which the console's types are made, and whoever else's.
#[test]
fn the_reference_has_the_document() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/openapi.json");
    let found = fs::read_to_string(&path).unwrap_or_default();
    let mut document = json();
    // A release does not change the document.
    document["info"]["version"] = Value::from("0");
    let due = lines(&document, 3) + "\n";
    if std::env::var_os("BELLWIRE_WRITE_REFERENCE").is_some() {
        fs::write(&path, &due).expect("it is written");
    }
    let is_same = found == due;
    assert!(
        is_same,
        "docs/reference/openapi.json is old: run this with BELLWIRE_WRITE_REFERENCE=1"
    );
}

/// JSON with a line for each value of the outer `depth` objects: one for each operation, one for each
/// shape, so that a change is seen as one.
fn lines(value: &Value, depth: usize) -> String {
    match value {
        Value::Object(members) if depth > 0 && !members.is_empty() => {
            let member = |(name, value): (&String, &Value)| {
                let name = Value::from(name.as_str());
                format!("{name}: {}", lines(value, depth - 1))
            };
            let members: Vec<String> = members.iter().map(member).collect();
            format!("{{\n{}\n}}", members.join(",\n"))
        }
        other => other.to_string(),
    }
}

/// `page` with `table` behind the comment that begins with `name`.
fn with(page: &str, name: &str, table: &str) -> String {
    let (before, rest) = page.split_once(&format!("<!-- {name}:")).expect("the comment");
    let (comment, rest) = rest.split_once("-->\n").expect("its end");
    let (_, after) = rest.split_once("<!-- end -->").expect("the end of the table");
    format!("{before}<!-- {name}:{comment}-->\n{table}<!-- end -->{after}")
}
