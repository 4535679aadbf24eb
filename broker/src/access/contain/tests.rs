//! What is found agrees with trying every topic.

use bellwire_model::{DeviceId, TopicFilter};
use proptest::prelude::*;

use crate::access::Subscribing;
use crate::access::acl::Effect::{Allow, Deny};
use crate::access::acl::{Acl, Action, Effect, Rule, Who};
use crate::access::glob::DevicePattern;
use crate::access::pattern::TopicPattern;
use crate::access::principal::{Principal, Subject};

fn subject(id: &str, speaks_for: &[&str]) -> Subject {
    let patterns = speaks_for.iter().map(|it| DevicePattern::new(it).expect("a pattern")).collect();
    Subject::new(Principal::Device(DeviceId::new(id).expect("an id")), patterns)
}

/// `+a/b` allows, `-a/b` denies.
fn acl(lines: &[String], fallback: Effect) -> Acl {
    let rules = lines
        .iter()
        .map(|line| {
            let (sign, topic) = line.split_at(1);
            Rule {
                who: Who::Everyone,
                action: Action::Subscribe,
                topic: TopicPattern::new(topic).expect("a pattern"),
                effect: if sign == "+" { Allow } else { Deny },
            }
        })
        .collect();
    match fallback {
        Effect::Deny => Acl::strict(rules),
        Effect::Allow => Acl::open(rules),
    }
}

fn check(lines: &[&str], filter: &str, expected: Effect) {
    let lines: Vec<String> = lines.iter().map(|&line| line.to_owned()).collect();
    let filter = TopicFilter::new(filter).expect("a filter");
    let subject = subject("d", &["g-*"]);
    let may = acl(&lines, Effect::Deny).subscribing(&subject, &filter);
    assert_eq!(may == Subscribing::Allowed, expected == Effect::Allow, "{filter} under {lines:?}");
}

#[test]
fn a_filter_is_allowed_if_rules_speak_of_all_it_can_match() {
    check(&[], "devices/d/commands/#", Allow);
    check(&[], "devices/d/commands/+", Allow);
    check(&[], "devices/d/commands", Allow);
    check(&[], "devices/d/#", Deny);
    check(&[], "devices/+/commands", Deny);
    check(&[], "devices/g-1/commands/+/x", Allow);
    check(&[], "devices/g/commands", Deny);
    check(&[], "#", Deny);
    check(&["+#"], "#", Allow);
    check(&["+#"], "$SYS/#", Deny);
    check(&["+$SYS/#"], "$SYS/#", Allow);
    check(&["+$SYS/#"], "$SYS/+/x", Allow);
    check(&["+$SYS/#"], "+/x", Deny);
    check(&["+a/+", "+a"], "a/#", Deny);
    check(&["+a/+/#", "+a"], "a/#", Allow);
    check(&["+a/#"], "a/+", Allow);
    check(&["+a/+"], "a/#", Deny);
}

#[test]
fn a_denial_inside_what_is_allowed_leaves_the_rest() {
    check(&["-a/secret", "+a/#"], "a/#", Allow);
    check(&["-a/secret", "+a/#"], "a/+", Allow);
    check(&["-a/secret", "+a/#"], "a/b", Allow);
    check(&["-a/secret", "+a/#"], "a/secret", Deny);
    check(&["-a/secret/#", "+a/#"], "a/+/x", Allow);
    check(&["-a/secret/#", "+a/#"], "a/secret/#", Deny);
    check(&["-a/secret/#", "+a/#"], "a/secret/+/x", Deny);
    check(&["-a/#", "+a/#"], "a/+", Deny);
    check(&["+a/secret", "-a/+", "+a/#"], "a/secret", Allow);
}

#[test]
fn what_an_earlier_rule_allows_no_later_one_denies() {
    check(&["+a/b", "-a/#", "+#"], "+/b", Allow);
    check(&["+a/b", "-a/#", "+#"], "a/b", Allow);
    check(&["+a/b", "-a/#", "+#"], "a/c", Deny);
    check(&["-a/#", "+a/b", "+#"], "a/b", Deny);
    check(&["+devices/{device}/x", "-devices/+/x"], "devices/+/x", Allow);
    check(&["+devices/{device}/x"], "devices/+/x", Deny);
}

#[test]
fn a_filter_that_is_too_much_to_look_at_is_refused_soon() {
    // Each level tells three texts apart from all others: four to the power of eight topics.
    let line = |n: usize, text: &str| {
        let level = |it| if it == n { text } else { "+" };
        format!("+{}", (0..8).map(level).collect::<Vec<_>>().join("/"))
    };
    let lines: Vec<String> = (0..8)
        .flat_map(|n| ["x", "y", "z"].map(|text| line(n, text)))
        .chain(["+#".to_owned()])
        .collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    check(&lines, "x/y/z/+/x", Allow);
    check(&lines, "+/+/+/+/+/+/+/+", Deny);
    let deep = ["+"; 32].join("/");
    check(&["+#"], &deep, Allow);
}

const LEVELS: [&str; 6] = ["a", "b", "d", "e", "g-1", ""];

/// Every topic of up to three levels of [`LEVELS`].
fn universe() -> Vec<String> {
    let one = LEVELS.map(str::to_owned).to_vec();
    let longer = |shorter: &[String]| -> Vec<String> {
        shorter.iter().flat_map(|it| LEVELS.map(|level| format!("{it}/{level}"))).collect()
    };
    let two = longer(&one);
    let three = longer(&two);
    one.into_iter().chain(two).chain(three).filter(|topic| !topic.is_empty()).collect()
}

fn pattern() -> impl Strategy<Value = String> {
    "(a|b|d|\\+|\\{device\\})(/(a|b|d|e|g-1|\\+)){0,2}(/#)?"
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Of what is allowed, rules speak of every topic; what is refused has a denied one, which is shown,
    /// and if a rule denies it, they deny all.
    #[test]
    fn it_agrees_with_trying_every_topic(
        lines in prop::collection::vec(("[+-]", pattern()), 0..6),
        filter in "(a|b|d|g-1|\\+)(/(a|b|d|e|g-1|\\+)){0,2}(/#)?|#",
        is_strict in any::<bool>(),
    ) {
        let lines: Vec<String> = lines.into_iter().map(|(sign, it)| sign + &it).collect();
        let acl = acl(&lines, if is_strict { Deny } else { Allow });
        let filter = TopicFilter::new(&filter).expect("a filter");
        let subject = subject("d", &["g-*"]);
        let verdict = |topic: &str| acl.verdict(&subject, Action::Subscribe, topic);
        let universe = universe();
        let mut matched = universe.iter().filter(|topic| filter.matches(topic));
        match acl.search(&subject, &filter) {
            super::Found::None => {
                for topic in matched {
                    prop_assert!(
                        !is_strict || verdict(topic).is_some(),
                        "no rule speaks of {topic}, and {filter} was allowed"
                    );
                }
            }
            super::Found::Unspoken(topic) => {
                prop_assert!(filter.matches(&topic), "{topic} is not of {filter}");
                prop_assert!(is_strict && verdict(&topic).is_none(), "a rule speaks of {topic}");
            }
            super::Found::Denied(topic) => {
                prop_assert!(filter.matches(&topic), "{topic} is not of {filter}");
                prop_assert!(verdict(&topic) == Some(Deny), "{topic} is not denied");
                prop_assert!(
                    matched.all(|topic| verdict(topic) == Some(Deny)),
                    "not all of {filter} is denied"
                );
            }
            super::Found::TooMuch => prop_assert!(false, "so few rules are not too much"),
        }
    }
}
