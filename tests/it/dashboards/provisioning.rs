//! Grafana's provisioning files: their keys are Grafana's, and they say what the dashboards expect.

use yaml_rust2::{Yaml, YamlLoader};

use super::{FOLDER, boards};
use crate::support::fault::{Fault, none_of};
use crate::support::tree;

/// Keys of a data source that we use.
const SOURCE_KEYS: [&str; 8] =
    ["name", "uid", "type", "access", "url", "user", "jsonData", "secureJsonData"];
/// Keys of `jsonData`, of both sources.
const JSON_KEYS: [&str; 9] = [
    "database",
    "sslmode",
    "postgresVersion",
    "timescaledb",
    "maxOpenConns",
    "maxIdleConns",
    "connMaxLifetime",
    "httpMethod",
    "timeInterval",
];
const PROVIDER_KEYS: [&str; 7] = [
    "name",
    "folder",
    "type",
    "disableDeletion",
    "allowUiUpdates",
    "updateIntervalSeconds",
    "options",
];

fn document(name: &str) -> Yaml {
    let path = format!("{FOLDER}provisioning/{name}/bellwire.yml");
    let file = tree::files().into_iter().find(|file| file.path == path).unwrap();
    YamlLoader::load_from_str(&file.text).unwrap().swap_remove(0)
}

fn key_faults(what: &Yaml, known: &[&str]) -> Vec<String> {
    let keys = what.as_hash().unwrap().keys().map(|key| key.as_str().unwrap());
    keys.filter(|key| !known.contains(key)).map(|key| format!("`{key}` is no key")).collect()
}

/// Faults of the data sources, which these uids of these types must be among.
pub(crate) fn source_faults(document: &Yaml, wanted: &[(String, String)]) -> Vec<String> {
    let sources = document["datasources"].as_vec().unwrap();
    let mut faults = Vec::new();
    for source in sources {
        faults.extend(key_faults(source, &SOURCE_KEYS));
        faults.extend(key_faults(&source["jsonData"], &JSON_KEYS));
        let is_sql = source["type"].as_str() == Some("grafana-postgresql-datasource");
        if is_sql && source["jsonData"]["database"].as_str().is_none() {
            faults.push("the database belongs into jsonData".to_owned());
        }
    }
    let is = |source: &Yaml, (uid, kind): &(String, String)| {
        source["uid"].as_str() == Some(uid) && source["type"].as_str() == Some(kind)
    };
    let missing = wanted.iter().filter(|it| !sources.iter().any(|source| is(source, it)));
    faults.extend(missing.map(|(uid, kind)| format!("no source `{uid}` of type {kind}")));
    faults
}

/// The sources that the dashboards choose when they open.
pub(crate) fn wanted() -> Vec<(String, String)> {
    let of_source = |it: &super::model::Variable| {
        let uid = it.current["value"].as_str().unwrap().to_owned();
        (uid, it.query.as_str().unwrap().to_owned())
    };
    let boards = boards();
    let variables = boards.iter().flat_map(|board| &board.dashboard.templating.list);
    let sources = variables.filter(|it| it.kind == super::model::VariableKind::DataSource);
    sources.map(of_source).collect()
}

#[test]
fn provisioning_has_what_the_dashboards_choose() {
    let mut faults = source_faults(&document("datasources"), &wanted());
    let providers = document("dashboards");
    let provider = &providers["providers"][0];
    faults.extend(key_faults(provider, &PROVIDER_KEYS));
    faults.extend(key_faults(&provider["options"], &["path"]));
    none_of(faults.into_iter().map(|what| Fault::whole(FOLDER, what)));
}

#[test]
fn provisioning_that_does_not_fit_is_caught() {
    let text = "datasources: [{name: a, uid: x, type: grafana-postgresql-datasource, database: d, jsonData: {ssl: no}}]";
    let document = YamlLoader::load_from_str(text).unwrap().swap_remove(0);
    let found = source_faults(&document, &[("x".to_owned(), "prometheus".to_owned())]);
    assert_eq!(found.len(), 4, "{found:?}");
    for expected in ["`database` is no key", "`ssl` is no key", "into jsonData", "no source `x`"] {
        assert!(found.iter().any(|it| it.contains(expected)), "{expected}: {found:?}");
    }
}
