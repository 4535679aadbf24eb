//! The Helm chart: rendered by Helm itself, its objects read by Kubernetes' own schemas and held against what
//! Bellwire is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use yaml_rust2::{Yaml, YamlLoader};

use super::chart_objects;
use super::chart_planted::{SPOILS, Spoil};
use super::tools::{json as json_of, python, told};
use super::{root, text, version};
use crate::dashboards::rules::RULES;
use crate::support::fault::none_of;

const CHART: &str = "deploy/helm/bellwire";
/// The oldest that the chart is for, and the newest whose schemas we have.
const KUBERNETES: [&str; 2] = ["1.27.0", "1.37.0"];

/// What Helm makes of some values.
#[derive(Debug)]
pub(super) struct Rendered {
    /// Why it makes nothing.
    pub(super) error: Option<String>,
    /// What `helm lint` and Kubernetes' schemas say.
    pub(super) faults: Vec<String>,
    /// All objects.
    pub(super) objects: Vec<Yaml>,
    /// What is said to who installs it.
    pub(super) notes: String,
}

/// A chart, with a name and values.
type Case = (String, PathBuf, Value);

/// Renders charts with values, as these versions of Kubernetes would take them.
fn render(cases: &[Case], kubernetes: &[&str]) -> BTreeMap<String, Rendered> {
    let cases: serde_json::Map<String, Value> = cases
        .iter()
        .map(|(name, chart, values)| (name.clone(), json!({"chart": chart, "values": values})))
        .collect();
    let asked = json!({"cases": cases, "kubernetes": kubernetes});
    let script = root().join("tests/interop/helm_render.py");
    let answers = json_of(&told(python().arg(script), &asked.to_string()));
    let words = |list: &Value| -> Vec<String> {
        list.as_array().into_iter().flatten().map(|it| it.as_str().unwrap().to_owned()).collect()
    };
    let read = |answer: &Value| {
        let files = answer["rendered"].as_object().into_iter().flatten();
        let (notes, files): (Vec<_>, Vec<_>) =
            files.partition(|(path, _)| path.ends_with("NOTES.txt"));
        let documents = files.iter().flat_map(|(path, text)| {
            let read = YamlLoader::load_from_str(text.as_str().unwrap());
            read.unwrap_or_else(|error| panic!("{path}: {error}"))
        });
        Rendered {
            error: answer["error"].as_str().map(str::to_owned),
            faults: [words(&answer["lint"]), words(&answer["faults"])].concat(),
            objects: documents.filter(|it| !it.is_badvalue() && !it.is_null()).collect(),
            notes: notes.iter().filter_map(|(_, text)| text.as_str()).collect(),
        }
    };
    answers.as_object().unwrap().iter().map(|(name, answer)| (name.clone(), read(answer))).collect()
}

fn example() -> Value {
    // YAML to JSON by who reads it anyway.
    let script = "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)";
    json_of(&told(python().args(["-c", script]), &text("deploy/helm/example.values.yaml")))
}

/// Values that are good, each with what it is about.
fn good() -> Vec<(&'static str, Value)> {
    let rule = "[[rule]]\nname = \"hot\"\nwhen = \"temperature > 30\"\n\nsummary = \"{device}\"\n";
    vec![
        ("example", example()),
        ("smallest", json!({"database": {"existingSecret": "bellwire"}})),
        (
            "embedded",
            json!({
                "database": {"embedded": true},
                "podDisruptionBudget": {"enabled": true},
                "networkPolicy": {"enabled": false},
                "serviceAccount": {"create": false},
            }),
        ),
        (
            "everything",
            json!({
                "fullnameOverride": "plant-7",
                "image": {"repository": "registry.example/bellwire", "tag": "0.1.0-1", "pullSecrets": ["pull"]},
                "database": {"existingSecret": "db", "reader": {"role": "grafana", "existingSecret": "reader"}},
                "settings": {"mqtt.connections_max": "20000", "public_url": "https://bellwire.example"},
                "rules": rule,
                "mappings": "[[mapping]]\npreset = \"tasmota\"\n",
                "mqtt": {
                    "websocket": true,
                    "tls": {"existingSecret": "mqtt-tls"},
                    "service": {"type": "LoadBalancer", "loadBalancerSourceRanges": ["10.0.0.0/8"]},
                },
                "http": {"tls": {"existingSecret": "http-tls"}, "trustedProxies": ["10.0.0.5"]},
                "ingress": {"enabled": true, "className": "nginx", "tlsSecret": "tls"},
                "metrics": {"auth": "open"},
                "serviceMonitor": {"enabled": true, "labels": {"release": "prometheus"}},
                "prometheusRule": {"enabled": true},
                "podDisruptionBudget": {"enabled": true, "maxUnavailable": 1},
                "persistence": {"storageClass": "fast", "accessMode": "ReadWriteOncePod"},
                "networkPolicy": {"egressPorts": []},
                "nodeSelector": {"disk": "fast"},
                "tolerations": [{"key": "iot", "operator": "Exists"}],
                "podLabels": {"team": "plant"},
            }),
        ),
    ]
}

#[test]
fn whatever_is_set_the_chart_makes_what_bellwire_needs() {
    let chart = root().join(CHART);
    let cases = good().into_iter().map(|(name, values)| (name.to_owned(), chart.clone(), values));
    let rendered = render(&cases.collect::<Vec<_>>(), &KUBERNETES);
    for (name, it) in &rendered {
        assert_eq!((it.error.as_deref(), &it.faults), (None, &Vec::new()), "{name}");
        none_of(chart_objects::faults(name, &it.objects));
    }
    let kinds = |name: &str| -> Vec<&str> {
        let mut kinds: Vec<_> =
            rendered[name].objects.iter().filter_map(|it| it["kind"].as_str()).collect();
        kinds.sort_unstable();
        kinds
    };
    let smallest = ["NetworkPolicy", "Pod", "Service", "Service", "ServiceAccount", "StatefulSet"];
    assert_eq!(kinds("smallest"), smallest);
    for kind in ["ConfigMap", "Ingress", "PodDisruptionBudget", "PrometheusRule", "ServiceMonitor"]
    {
        assert!(kinds("everything").contains(&kind), "{kind}");
    }
    assert!(rendered["example"].notes.contains("https://bellwire.example.org/"));
    assert!(rendered["embedded"].notes.contains("a PostgreSQL of its own"));
}

#[test]
fn values_that_cannot_work_are_refused_with_what_would() {
    let own = |more: Value| {
        let mut values = json!({"database": {"existingSecret": "db"}});
        values.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        values
    };
    let cases = [
        (json!({}), "database.existingSecret must name a Secret"),
        (own(json!({"databse": {}})), "'databse' not allowed"),
        (own(json!({"replicas": 3})), "'replicas' not allowed"),
        (own(json!({"mqtt": {"plain": false}})), "one of plain, websocket and tls"),
        (own(json!({"settings": {"mqtt.connections_max": 20000}})), "got number, want string"),
        (own(json!({"settings": {"MQTT": "x"}})), "'MQTT' does not match"),
        (
            own(json!({"serviceMonitor": {"enabled": true}})),
            "serviceMonitor.tokenSecret must be set",
        ),
        (own(json!({"metrics": {"auth": "local"}})), "metrics"),
        (
            json!({"database": {"embedded": true, "reader": {"role": "g"}}}),
            "reader.existingSecret must",
        ),
        (own(json!({"persistence": {"size": "much"}})), "persistence/size"),
        (own(json!({"http": {"trustedProxies": ["proxy.example"]}})), "trustedProxies"),
    ];
    let chart = root().join(CHART);
    let asked = cases.iter().enumerate();
    let asked =
        asked.map(|(index, (values, _))| (index.to_string(), chart.clone(), values.clone()));
    let rendered = render(&asked.collect::<Vec<_>>(), &KUBERNETES);
    for (index, (values, expected)) in cases.iter().enumerate() {
        let error = rendered[&index.to_string()].error.as_deref().unwrap_or_default();
        assert!(error.contains(expected), "{values}: {error:?} does not say {expected:?}");
    }
}

/// A copy of the chart, in which one text in one file is another.
fn spoilt(folder: &Path, spoil: &Spoil) -> PathBuf {
    let [file, from, to, _] = spoil;
    let copied = Command::new("cp").arg("-r").arg(root().join(CHART)).arg(folder).status().unwrap();
    assert!(copied.success());
    let path = folder.join(file);
    let good = std::fs::read_to_string(&path).unwrap();
    assert!(good.contains(from), "{file} has no {from:?} any more");
    std::fs::write(path, good.replace(from, to)).unwrap();
    folder.to_owned()
}

#[test]
fn faults_in_the_chart_are_caught() {
    let folder = tempfile::tempdir().unwrap();
    let (_, values) = good().pop().unwrap();
    let cases = SPOILS.iter().enumerate().map(|(index, spoil)| {
        let name = index.to_string();
        (name.clone(), spoilt(&folder.path().join(name), spoil), values.clone())
    });
    let rendered = render(&cases.collect::<Vec<_>>(), &KUBERNETES[1..]);
    for (index, [_, from, to, expected]) in SPOILS.iter().enumerate() {
        let it = &rendered[&index.to_string()];
        let mut found: Vec<String> = it.error.iter().cloned().chain(it.faults.clone()).collect();
        let ours = chart_objects::faults("spoilt", &it.objects);
        found.extend(ours.iter().map(ToString::to_string));
        assert!(found.iter().any(|fault| fault.contains(expected)), "{from:?} → {to:?}: {found:?}");
    }
}

#[test]
fn the_chart_is_of_this_version_and_has_the_rules() {
    let chart = text(&format!("{CHART}/Chart.yaml"));
    let chart = &YamlLoader::load_from_str(&chart).unwrap()[0];
    assert_eq!(chart["version"].as_str(), Some(version()));
    assert_eq!(chart["appVersion"].as_str(), Some(version()));
    let copy = format!("{CHART}/files/bellwire.rules.yml");
    let rules = text(RULES);
    if std::env::var_os("BELLWIRE_BLESS").is_some() {
        std::fs::write(root().join(&copy), &rules).unwrap();
    }
    assert!(text(&copy) == rules, "{copy} is not {RULES}: run this test with BELLWIRE_BLESS=1");
}

/// Keys of values that the schema does not have, or the other way round.
fn schema_faults(place: &str, values: &Yaml, schema: &Value) -> Vec<String> {
    let (Some(values), Some(known)) = (values.as_hash(), schema["properties"].as_object()) else {
        return Vec::new();
    };
    let mut faults = Vec::new();
    for (key, value) in values {
        let key = key.as_str().unwrap();
        match known.get(key) {
            Some(schema) => faults.extend(schema_faults(&format!("{place}.{key}"), value, schema)),
            None => faults.push(format!("{place}.{key} is not in the schema")),
        }
    }
    let unset = known.keys().filter(|key| *key != "global");
    let unset = unset.filter(|key| !values.contains_key(&Yaml::String((*key).clone())));
    faults.extend(unset.map(|key| format!("{place}.{key} has no default")));
    faults
}

#[test]
fn every_value_has_a_default_and_a_place_in_the_schema() {
    let values = text(&format!("{CHART}/values.yaml"));
    let schema: Value =
        serde_json::from_str(&text(&format!("{CHART}/values.schema.json"))).unwrap();
    let check =
        |values: &str| schema_faults("", &YamlLoader::load_from_str(values).unwrap()[0], &schema);
    assert_eq!(check(&values), Vec::<String>::new());
    let wrong = values.replace("\n  plain: true", "\n  plane: true");
    assert_eq!(check(&wrong), [".mqtt.plane is not in the schema", ".mqtt.plain has no default"]);
}
