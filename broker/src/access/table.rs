//! Who may do what where: every kind of principal, every class of topic, both actions.

use std::sync::Arc;

use bellwire_model::{DeviceId, ServiceName, TopicFilter};

use super::acl::{Acl, Effect};
use super::entry::{AclAction, AclEntry, rules};
use super::glob::DevicePattern;
use super::principal::{Principal, Subject};
use super::{Anyone, Gatekeeper, Grant, Hello};
use crate::peer::Peer;

fn entry(who: &str, action: AclAction, topic: &str, effect: Effect) -> AclEntry {
    let allow = effect == Effect::Allow;
    AclEntry { who: who.to_owned(), action, topic: topic.to_owned(), allow }
}

fn acl() -> Vec<AclEntry> {
    use AclAction::{Publish, Subscribe};
    vec![
        entry("user:backend", Publish, "devices/+/commands/#", Effect::Allow),
        entry("user:backend", Subscribe, "devices/#", Effect::Allow),
        entry("user:backend", Subscribe, "$SYS/#", Effect::Allow),
        entry("user:watcher", Subscribe, "devices/secret/#", Effect::Deny),
        entry("user:watcher", Subscribe, "devices/#", Effect::Allow),
        entry("*", Subscribe, "news/#", Effect::Allow),
        entry("device", Publish, "devices/{device}/telemetry/internal/#", Effect::Deny),
    ]
}

fn grant(principal: Principal, speaks_for: &[&str]) -> Grant {
    let patterns = speaks_for.iter().map(|it| DevicePattern::new(it).expect("a pattern")).collect();
    let acl = Acl::strict(rules(&acl()).expect("rules"));
    Grant::ruled(Arc::new(acl), Arc::new(Subject::new(principal, patterns)))
}

fn device(id: &str) -> Principal {
    Principal::Device(DeviceId::new(id).expect("an id"))
}

fn service(name: &str) -> Principal {
    Principal::Service(ServiceName::new(name).expect("a name"))
}

/// `P` may publish, `S` may subscribe, `-` neither, for: the device, the gateway, `backend`,
/// `watcher`, and a service account without rules. A topic with a wildcard is only subscribed to.
const TABLE: &[(&str, [&str; 5])] = &[
    ("devices/press/telemetry", ["P", "-", "S", "S", "-"]),
    ("devices/press/telemetry/temperature", ["P", "-", "S", "S", "-"]),
    ("devices/press/telemetry/internal/x", ["-", "-", "S", "S", "-"]),
    ("devices/press/status", ["P", "-", "S", "S", "-"]),
    ("devices/press/status/x", ["-", "-", "S", "S", "-"]),
    ("devices/press/commands", ["S", "-", "PS", "S", "-"]),
    ("devices/press/commands/start", ["S", "-", "PS", "S", "-"]),
    ("devices/press/commands/17/reply", ["PS", "-", "PS", "S", "-"]),
    ("devices/press/commands/#", ["S", "-", "S", "S", "-"]),
    ("devices/press/#", ["-", "-", "S", "S", "-"]),
    ("devices/gate/telemetry", ["-", "P", "S", "S", "-"]),
    ("devices/line-3-a/telemetry", ["-", "P", "S", "S", "-"]),
    ("devices/line-3-a/telemetry/t", ["-", "P", "S", "S", "-"]),
    ("devices/line-3-a/telemetry/internal/t", ["-", "-", "S", "S", "-"]),
    ("devices/line-3-a/commands/#", ["-", "S", "S", "S", "-"]),
    ("devices/line-3-a/commands/1/reply", ["-", "PS", "PS", "S", "-"]),
    ("devices/scale/status", ["-", "P", "S", "S", "-"]),
    ("devices/line-33/telemetry", ["-", "-", "S", "S", "-"]),
    ("devices/+/commands", ["-", "-", "S", "S", "-"]),
    ("devices/+/commands/+", ["-", "-", "S", "S", "-"]),
    ("devices/secret/status", ["-", "-", "S", "-", "-"]),
    ("devices/secret/#", ["-", "-", "S", "-", "-"]),
    ("devices/#", ["-", "-", "S", "S", "-"]),
    ("devices//telemetry", ["-", "-", "S", "S", "-"]),
    ("other/a", ["-", "-", "-", "-", "-"]),
    ("news/today", ["S", "S", "S", "S", "S"]),
    ("news/#", ["S", "S", "S", "S", "S"]),
    ("+/today", ["-", "-", "-", "-", "-"]),
    ("#", ["-", "-", "-", "-", "-"]),
    ("$SYS/broker/uptime", ["-", "-", "S", "-", "-"]),
    ("$SYS/#", ["-", "-", "S", "-", "-"]),
];

#[test]
fn everyone_may_do_what_the_table_says() {
    let grants = [
        grant(device("press"), &[]),
        grant(device("gate"), &["line-3-*", "scale"]),
        grant(service("backend"), &[]),
        grant(service("watcher"), &[]),
        grant(service("idle"), &[]),
    ];
    for (topic, expected) in TABLE {
        let filter = TopicFilter::new(topic).expect("a filter");
        let is_topic = !topic.contains(['+', '#']);
        for (grant, expected) in grants.iter().zip(expected) {
            let mut may = String::new();
            if is_topic && grant.may_publish(topic) {
                may.push('P');
            }
            if grant.may_subscribe(&filter) {
                may.push('S');
            }
            let may = if may.is_empty() { "-" } else { &may };
            assert_eq!(may, *expected, "{} on {topic}", grant.principal());
        }
    }
}

#[tokio::test]
async fn without_credentials_all_is_allowed_but_what_a_rule_for_everyone_denies() {
    use AclAction::Subscribe;
    let entries = [
        entry("*", Subscribe, "test/nosubscribe", Effect::Deny),
        entry("device", Subscribe, "a", Effect::Deny),
        entry("user:anne", Subscribe, "b", Effect::Deny),
        entry("*", Subscribe, "devices/{device}/x", Effect::Deny),
    ];
    let open = Anyone::under(Arc::new(Acl::open(rules(&entries).expect("rules"))));
    let peer = Peer::at(([127, 0, 0, 1], 1).into());
    let hello = Hello { client: None, user: Some("anne"), password: None, peer: &peer };
    let grant = open.admit(hello).await.expect("everyone");
    let may = |filter: &str| grant.may_subscribe(&TopicFilter::new(filter).expect("a filter"));
    assert!(!may("test/nosubscribe"));
    assert!(may("test/#") && may("#"), "but for what is denied");
    assert!(!grant.may_receive("test/nosubscribe") && grant.may_receive("test/other"));
    for filter in ["test/other", "a", "b", "devices/d/x", "$SYS/#"] {
        assert!(may(filter), "{filter}");
    }
    assert!(grant.may_publish("test/nosubscribe"));
    assert_eq!(grant.principal(), &Principal::Anyone);
}
