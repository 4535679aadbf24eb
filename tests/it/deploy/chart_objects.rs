//! Objects for Kubernetes that Helm rendered, held against what Bellwire is: its ports, probes, variables,
//! commands, and what they say of each other.

use std::collections::BTreeMap;

use yaml_rust2::Yaml;

use super::truth::{command_faults, listening, route_faults, variable_faults};
use crate::support::fault::Fault;

fn texts(list: &Yaml) -> Vec<&str> {
    list.as_vec().into_iter().flatten().filter_map(Yaml::as_str).collect()
}

fn list(yaml: &Yaml) -> impl Iterator<Item = &Yaml> {
    yaml.as_vec().into_iter().flatten()
}

/// The objects of one installation.
struct Objects<'a> {
    path: String,
    all: &'a [Yaml],
    faults: Vec<Fault>,
}

impl<'a> Objects<'a> {
    fn of_kind(&self, kind: &str) -> Vec<&'a Yaml> {
        self.all.iter().filter(|it| it["kind"].as_str() == Some(kind)).collect()
    }

    fn fault(&mut self, what: impl Into<String>) {
        self.faults.push(Fault::whole(&self.path, what));
    }

    /// Nothing that a restricted cluster would refuse.
    fn check_rights(&mut self, pod: &Yaml) {
        let context = &pod["securityContext"];
        let mut rules = vec![
            (context["runAsNonRoot"].as_bool() == Some(true), "runAsNonRoot"),
            (context["runAsUser"].as_i64().is_some_and(|user| user > 0), "runAsUser"),
            (
                context["seccompProfile"]["type"].as_str() == Some("RuntimeDefault"),
                "seccompProfile",
            ),
            (
                pod["automountServiceAccountToken"].as_bool() == Some(false),
                "automountServiceAccountToken",
            ),
            (pod["enableServiceLinks"].as_bool() == Some(false), "enableServiceLinks"),
        ];
        for container in list(&pod["containers"]) {
            let own = &container["securityContext"];
            rules.push((
                own["allowPrivilegeEscalation"].as_bool() == Some(false),
                "allowPrivilegeEscalation",
            ));
            rules.push((
                own["readOnlyRootFilesystem"].as_bool() == Some(true),
                "readOnlyRootFilesystem",
            ));
            rules.push((texts(&own["capabilities"]["drop"]) == ["ALL"], "capabilities.drop"));
        }
        for (_, what) in rules.into_iter().filter(|(holds, _)| !holds) {
            self.fault(format!("a restricted pod needs {what}"));
        }
    }

    /// Volumes are there, and files that variables name are in them.
    fn check_files(&mut self, pod: &Yaml, claims: &Yaml, variables: &BTreeMap<&str, &str>) {
        let own = list(&pod["volumes"]).filter_map(|it| it["name"].as_str());
        let claimed = list(claims).filter_map(|it| it["metadata"]["name"].as_str());
        let volumes: Vec<&str> = own.chain(claimed).collect();
        let mounts: Vec<(&str, &str)> = list(&pod["containers"][0]["volumeMounts"])
            .filter_map(|it| Some((it["name"].as_str()?, it["mountPath"].as_str()?)))
            .collect();
        for (name, _) in mounts.iter().filter(|(name, _)| !volumes.contains(name)) {
            self.fault(format!("there is no volume `{name}`"));
        }
        let unused = volumes.iter().filter(|it| !mounts.iter().any(|(name, _)| name == *it));
        for name in unused {
            self.fault(format!("nobody mounts `{name}`"));
        }
        for (variable, path) in variables.iter().filter(|(_, value)| value.starts_with('/')) {
            if !mounts.iter().any(|(_, mount)| path.starts_with(&format!("{mount}/"))) {
                self.fault(format!("{variable} is {path}, where nothing is mounted"));
            }
        }
    }

    fn check_set(&mut self, set: &Yaml) {
        let pod = &set["spec"]["template"]["spec"];
        let container = &pod["containers"][0];
        if set["spec"]["replicas"].as_i64() != Some(1) {
            self.fault("a log has one replica");
        }
        if pod["securityContext"]["fsGroupChangePolicy"].as_str() != Some("OnRootMismatch") {
            self.fault("PostgreSQL needs fsGroupChangePolicy");
        }
        self.check_rights(pod);
        let variables = list(&container["env"]);
        let variables: BTreeMap<&str, &str> = variables
            .filter_map(|it| Some((it["name"].as_str()?, it["value"].as_str()?)))
            .collect();
        let wrong =
            variables.iter().flat_map(|(name, value)| variable_faults(&self.path, name, value));
        let wrong: Vec<Fault> = wrong.collect();
        self.faults.extend(wrong);
        self.check_files(pod, &set["spec"]["volumeClaimTemplates"], &variables);
        self.faults.extend(command_faults(&self.path, &texts(&container["args"])));
        let ports = ports(set);
        let mut numbers: Vec<u16> = ports.values().copied().collect();
        numbers.sort_unstable();
        let listens = listening(variables);
        if listens != numbers {
            self.fault(format!("it listens on {listens:?}, and its ports are {numbers:?}"));
        }
        for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
            let get = &container[probe]["httpGet"];
            let route = get["path"].as_str().unwrap_or_default();
            self.faults.extend(route_faults(&self.path, route));
            self.check_port(&ports, get["port"].as_str().unwrap_or_default());
        }
    }

    fn check_port(&mut self, ports: &BTreeMap<&str, u16>, name: &str) {
        if !ports.contains_key(name) {
            self.fault(format!("`{name}` is no port"));
        }
    }

    /// What leads to the pod leads to ports that it has.
    fn check_ways(&mut self, ports: &BTreeMap<&str, u16>) {
        let mut reached = Vec::new();
        for service in self.of_kind("Service") {
            for port in list(&service["spec"]["ports"]) {
                let name = port["targetPort"].as_str().unwrap_or_default();
                self.check_port(ports, name);
                reached.push(name);
            }
        }
        for name in ports.keys().filter(|name| !reached.contains(*name)) {
            self.fault(format!("no service leads to `{name}`"));
        }
        for ingress in self.of_kind("Ingress") {
            let backend = &ingress["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"];
            self.check_port(ports, backend["port"]["name"].as_str().unwrap_or_default());
        }
        for policy in self.of_kind("NetworkPolicy") {
            let rules = list(&policy["spec"]["ingress"]).flat_map(|rule| list(&rule["ports"]));
            let mut open: Vec<u16> =
                rules.filter_map(|it| u16::try_from(it["port"].as_i64()?).ok()).collect();
            open.sort_unstable();
            let mut own: Vec<u16> = ports.values().copied().collect();
            own.sort_unstable();
            if open != own {
                self.fault(format!("the policy lets in to {open:?}, not {own:?}"));
            }
        }
    }

    fn check_watchers(&mut self) {
        for monitor in self.of_kind("ServiceMonitor") {
            let endpoint = &monitor["spec"]["endpoints"][0];
            self.faults
                .extend(route_faults(&self.path, endpoint["path"].as_str().unwrap_or_default()));
            let named = list(&endpoint["relabelings"]).any(|it| {
                it["targetLabel"].as_str() == Some("job")
                    && it["replacement"].as_str() == Some("bellwire")
            });
            if !named {
                self.fault("the rules look for job `bellwire`");
            }
        }
        for rules in self.of_kind("PrometheusRule") {
            if list(&rules["spec"]["groups"]).count() == 0 {
                self.fault("there are no rules");
            }
        }
    }

    /// Those that select pods select ours: by labels that stay when the version changes.
    fn check_selectors(&mut self, set: &Yaml) {
        let wanted = &set["spec"]["selector"]["matchLabels"];
        let labels = &set["spec"]["template"]["metadata"]["labels"];
        let is_subset = |all: &Yaml, of: &Yaml| {
            all.as_hash().is_some_and(|all| {
                all.iter().all(|(key, value)| of[key.as_str().unwrap()] == *value)
            })
        };
        if !is_subset(wanted, labels) {
            self.fault("the set does not select its pod");
        }
        let services = self.of_kind("Service").into_iter().map(|it| &it["spec"]["selector"]);
        let policies = self
            .of_kind("NetworkPolicy")
            .into_iter()
            .map(|it| &it["spec"]["podSelector"]["matchLabels"]);
        let budgets = self
            .of_kind("PodDisruptionBudget")
            .into_iter()
            .map(|it| &it["spec"]["selector"]["matchLabels"]);
        let all: Vec<&Yaml> = services.chain(policies).chain(budgets).collect();
        for selector in all {
            if selector != wanted {
                self.fault(format!("something selects {selector:?}"));
            }
        }
    }

    fn check_test(&mut self, ports: &BTreeMap<&str, u16>) {
        let services = self.of_kind("Service");
        let names: Vec<&str> =
            services.iter().filter_map(|it| it["metadata"]["name"].as_str()).collect();
        for pod in self.of_kind("Pod") {
            self.check_rights(&pod["spec"]);
            let arguments = texts(&pod["spec"]["containers"][0]["args"]);
            self.faults.extend(command_faults(&self.path, &arguments));
            let url = arguments.last().copied().unwrap_or_default();
            let known = names.iter().any(|name| url == format!("http://{name}:{}", ports["http"]));
            if !known {
                self.fault(format!("the test asks {url}"));
            }
        }
    }
}

/// The ports of the set's container, by name.
fn ports(set: &Yaml) -> BTreeMap<&str, u16> {
    let ports = list(&set["spec"]["template"]["spec"]["containers"][0]["ports"]);
    let read = |it: &'_ Yaml| u16::try_from(it["containerPort"].as_i64()?).ok();
    ports.filter_map(|it| Some((it["name"].as_str()?, read(it)?))).collect()
}

/// What is wrong with the objects of one installation, which is called `name`.
pub(super) fn faults(name: &str, objects: &[Yaml]) -> Vec<Fault> {
    let mut found = Objects { path: format!("chart, {name}"), all: objects, faults: Vec::new() };
    let sets = found.of_kind("StatefulSet");
    let [set] = sets[..] else {
        found.fault(format!("there are {} sets", sets.len()));
        return found.faults;
    };
    found.check_set(set);
    let ports = ports(set);
    found.check_ways(&ports);
    found.check_watchers();
    found.check_selectors(set);
    found.check_test(&ports);
    found.faults
}
