//! The document of `rules`.

use super::op::Op;
use super::parts::{severity, state};
use super::shape::{
    Shape, count, device, either, flag, hex, list, named, object, text, time, word,
};
use crate::routes::{
    BACKTEST, RULE, RULE_DIFF, RULE_DISABLE, RULE_ENABLE, RULE_RESTORE, RULE_TESTS, RULE_VERSION,
    RULE_VERSIONS, RULE_WORDS, RULES, RULES_CHECK,
};

/// Shapes with a name.
pub(super) fn parts() -> Vec<(&'static str, Shape)> {
    let mistake = object()
        .must("line", count().says("From 1."))
        .must("column", count().says("From 1, in characters."))
        .must("length", count())
        .must("key", text().or_null())
        .must("message", text())
        .must("help", text().or_null().says("What would be right."))
        .must("found", text().says("What stands there."));
    let list_of_rules = object().must("rules", list(named("Rule")));
    let by = object().may("author", who()).may("comment", why()).closed();
    let put = object().must("toml", toml()).may("author", who()).may("comment", why()).closed();
    let create = object()
        .must("toml", toml())
        .may("enabled", flag().usual(true))
        .may("author", who())
        .may("comment", why())
        .closed();
    let mut parts = vec![
        ("Rule", a_rule().says("A rule, as it was written.")),
        ("RuleDetail", a_rule().must("toml", text()).says("A rule with its text.")),
        ("RulesList", list_of_rules),
        ("RuleMistake", mistake.says("One thing that is wrong in the text of a rule.")),
        ("RuleBy", by.says("Who changes it, and why.")),
        ("RulePut", put),
        ("NewRule", create),
    ];
    parts.extend(checks());
    parts.extend(versions());
    parts.push(("RuleWords", words()));
    parts.extend(tests());
    parts
}

fn words() -> Shape {
    let word = || {
        let word = object()
            .must("name", text())
            .must("usage", text().says("How it is written."))
            .must("gives", text().says("What it gives or means."));
        list(word)
    };
    object()
        .must("functions", word().says("Of a device's metrics."))
        .must("aggregates", word().says("Of the members of a group."))
        .must("keys", word().says("Of a rule."))
        .must("keywords", list(text()).says("Within a condition."))
        .says("What rules are written in.")
}

fn who() -> Shape {
    text().lengths(0, 100).or_null()
}

fn why() -> Shape {
    text().lengths(0, 1_000).or_null()
}

fn toml() -> Shape {
    text().example("[[rule]]\nname = \"too-warm\"\nwhen = \"temperature > -15\"\n")
}

fn a_rule() -> Shape {
    let changed = "Counts its changes, for `If-Match`; `null` for those of the file.";
    let problem = "Why it is not judged although it is enabled.";
    object()
        .must("name", text())
        .must("severity", severity())
        .must("when", text())
        .must("clear", text().or_null())
        .must("for", text().or_null())
        .must("keep_firing_for", text().or_null())
        .must("select", text().or_null())
        .must("summary", text().or_null())
        .must("version", hex(16).says("A hash of all rules in force; transitions carry it."))
        .must("source", word(["file", "api"]))
        .must("enabled", flag())
        .must("problem", text().or_null().says(problem))
        .must("revision", count().or_null().says(changed))
        .must("updated_at", time().or_null())
        .must("author", text().or_null())
}

fn checks() -> [(&'static str, Shape); 3] {
    let alert = object()
        .must("id", hex(16))
        .must("device", text())
        .must("state", state())
        .must("fate", word(["carried", "judged_anew", "closed"]));
    let alerts = object()
        .must("carried", count())
        .must("judged_anew", count())
        .must("closed", count())
        .must("list", list(alert).says("The first 100 of them."));
    let right = object()
        .must("valid", flag())
        .must("name", text())
        .must("effect", word(["create", "change", "remove", "none"]))
        .must("enabled", flag())
        .must("devices", count().says("How many of those that are known it would be for."))
        .must("alerts", alerts.says("What would become of its open alerts."))
        .must("diff", text());
    let wrong = object().must("valid", flag()).must("errors", list(named("RuleMistake")));
    let ask = object()
        .may("toml", text().or_null().says("A rule as it is to be; or"))
        .may("remove", text().or_null().says("the name of one that is to be gone."))
        .closed();
    [
        ("RuleCheck", right.says("What would come of it.")),
        ("RuleMistakes", wrong.says("What is wrong.")),
        ("RuleTrial", ask),
    ]
}

fn versions() -> [(&'static str, Shape); 3] {
    let version = || {
        object()
            .must("version", count())
            .must("at", time())
            .must("author", text())
            .must("comment", text().or_null())
            .must("action", text().example("change"))
            .must("enabled", flag())
    };
    let detail = version()
        .must("before", text().or_null())
        .must("toml", text().or_null())
        .must("diff", text());
    let list = object().must("versions", list(named("RuleVersion")));
    [
        ("RuleVersion", version().says("One change of a rule.")),
        ("RuleVersionDetail", detail.says("One change of a rule, with the texts.")),
        ("RuleVersionsList", list),
    ]
}

fn tests() -> [(&'static str, Shape); 3] {
    let tests = text().example(
        "[[test]]\nname = \"warm\"\n[[test.input]]\ndevice = \"f-1\"\nat = \"0s\"\ntemperature = -12\n\
         [[test.expect]]\nat = \"1s\"\nrule = \"too-warm\"\ndevice = \"f-1\"\nstate = \"firing\"\n",
    );
    let ask = object()
        .must("toml", toml())
        .must(
            "tests",
            tests.says("As in a file for `bellwire rules test`; its `rules` does not count."),
        )
        .closed();
    let mismatch = object()
        .must("line", count().says("Of the tests, from 1."))
        .must("text", text().says("What was expected, and what was found."));
    let test = object()
        .must("name", text())
        .must("line", count().says("Where it begins."))
        .must("passed", flag())
        .must("problem", text().or_null().says("Why it cannot be run."))
        .must("mismatches", list(mismatch));
    let ran = object()
        .must("valid", flag())
        .must("passed", count())
        .must("failed", count())
        .must("tests", list(test));
    let wrong = object()
        .must("valid", flag())
        .must("of", word(["rule", "tests"]).says("Which text is wrong."))
        .must("errors", list(named("RuleMistake")));
    [
        ("RuleTestsAsk", ask),
        ("RuleTestsRan", ran.says("What came of each test.")),
        ("RuleTestsWrong", wrong.says("What is wrong in a text.")),
    ]
}

/// What stands in the document.
pub(super) fn ops() -> Vec<Op> {
    let all = [looking(), changing(), checking(), trying()];
    all.into_iter().flatten().map(|op| op.tag("rules")).collect()
}

fn name(op: Op) -> Op {
    op.part("name", text().lengths(1, 128).example("too-warm"), "The rule's name.")
        .problems(&["rule_not_found"])
}

fn looking() -> Vec<Op> {
    let list = Op::get(RULES, "listRules", "Lists rules")
        .about("Those of the file in its order, then those made by API, by name.")
        .if_none_match()
        .gives(200, "All of them.", named("RulesList"))
        .answer_header(200, "ETag", "Of the list.");
    let words = Op::get(RULE_WORDS, "listRuleWords", "Lists the words that rules are written in")
        .about("Functions, keys of a rule, and keywords, for editors.")
        .if_none_match()
        .gives(200, "All of them.", named("RuleWords"))
        .answer_header(200, "ETag", "Of the list.");
    let of = |op: Op| name(op).problems(&["rule_in_file"]);
    let versions = of(Op::get(RULE_VERSIONS, "listRuleVersions", "Lists a rule's changes")).gives(
        200,
        "The latest first.",
        named("RuleVersionsList"),
    );
    let version = of(Op::get(RULE_VERSION, "getRuleVersion", "Shows one change of a rule"))
        .part("number", count(), "Which, from 1.")
        .problems(&["version_not_found"])
        .gives(200, "The change.", named("RuleVersionDetail"));
    let shown = object().must("from", count()).must("to", count()).must("diff", text());
    let diff = of(Op::get(RULE_DIFF, "diffRule", "Shows the difference between two versions"))
        .query("from", count(), "Absent: the one before `to`. 0 is empty.")
        .query("to", count(), "Absent: the last.")
        .problems(&["version_not_found"])
        .gives(200, "As `diff -u` writes it.", shown);
    vec![list, words, name(get(RULE, "getRule")), versions, version, diff]
}

fn get(path: &'static str, id: &'static str) -> Op {
    Op::get(path, id, "Shows a rule with its text")
        .problems(&["rule_not_found"])
        .gives(200, "The rule.", named("RuleDetail"))
        .answer_header(200, "ETag", "Its revision, for `If-Match`; rules of the file have none.")
}

/// What every change of rules may answer.
const CHANGES: [&str; 6] =
    ["rule_in_file", "rules_do_not_fit", "rules_busy", "log_full", "stopping", "invalid_rule"];

fn changes(op: Op) -> Op {
    op.if_match("rule").problems(&CHANGES).problems(&["rule_changed", "rule_not_found"])
}

fn put(path: &'static str, id: &'static str) -> Op {
    changes(Op::put(path, id, "Changes a rule"))
        .body(named("RulePut"))
        .problems(&["rule_name_differs"])
        .gives(200, "It is in force.", named("RuleDetail"))
        .answer_header(200, "ETag", "Its revision.")
}

fn delete(path: &'static str, id: &'static str) -> Op {
    changes(Op::delete(path, id, "Deletes a rule"))
        .about("Its open alerts are closed; its versions are kept.")
        .may_body(named("RuleBy"))
        .empty(204, "It is gone.")
}

fn changing() -> Vec<Op> {
    let create = Op::post(RULES, "createRule", "Makes a rule")
        .body(named("NewRule"))
        .problems(&CHANGES)
        .problems(&["rule_exists"])
        .gives(201, "It is in force.", named("RuleDetail"))
        .answer_header(201, "ETag", "Its revision.")
        .answer_header(201, "Location", "The rule's own address.");
    let plain = |op: Op| {
        changes(name(op))
            .may_body(named("RuleBy"))
            .gives(200, "The rule as it is now.", named("RuleDetail"))
            .answer_header(200, "ETag", "Its revision.")
    };
    let restore = Op::post(RULE_RESTORE, "restoreRule", "Gives a rule an earlier text again");
    let restore = plain(restore)
        .must_query("version", count(), "Which one; also of a rule that is deleted.")
        .problems(&["version_not_found", "version_is_deletion"]);
    vec![
        create,
        name(put(RULE, "putRule")),
        name(delete(RULE, "deleteRule")),
        plain(Op::post(RULE_ENABLE, "enableRule", "Has a rule judged")),
        plain(Op::post(RULE_DISABLE, "disableRule", "Has a rule kept, and not judged")),
        restore,
    ]
}

/// `rules/check`, and the rule of that name.
fn checking() -> Vec<Op> {
    let found = either([named("RuleCheck"), named("RuleMistakes")]);
    let check = Op::post(RULES_CHECK, "checkRule", "Says what would come of a change")
        .about("Nothing is changed. A text that is wrong is no problem here, but the answer.")
        .body(named("RuleTrial"))
        .problems(&["rule_not_found", "rule_in_file", "rules_do_not_fit", "rules_busy"])
        .problems(&["stopping"])
        .gives(200, "What would come of it, or what is wrong.", found);
    let found = either([named("RuleTestsRan"), named("RuleTestsWrong")]);
    let tests = Op::post(RULE_TESTS, "testRule", "Runs tests of a rule")
        .about(
            "The rule alone judges what the tests say is read; nothing is changed. A text that is wrong is no \
             problem here, but the answer. All tests have 100,000 readings at most.",
        )
        .body(named("RuleTestsAsk"))
        .gives(200, "What came of them, or what is wrong.", found);
    vec![
        check,
        tests,
        get(RULES_CHECK, "getRuleNamedCheck"),
        put(RULES_CHECK, "putRuleNamedCheck"),
        delete(RULES_CHECK, "deleteRuleNamedCheck"),
    ]
}

fn trying() -> Vec<Op> {
    let about = "The answer is NDJSON: lines of `type` `progress` and `transition`, then one \
        `summary`, or one `error` with `code` and `detail`. An answer without one of these two at its \
        end has been cut off.";
    let ask = object()
        .may("toml", text().or_null().says("The rule as it is to be tried; or"))
        .may("rules", text().or_null().says("a rules file's text. Neither: as it is in force."))
        .may("from", time().or_null())
        .may("to", time().or_null())
        .may("device", device().or_null().says("This device's readings only."))
        .closed();
    let backtest = Op::post(BACKTEST, "backtestRule", "Tries a rule on what is stored")
        .about(about)
        .body(ask)
        .problems(&["rule_not_found", "device_not_found", "invalid_rules", "backtest_busy"])
        .problem(422, "too_many_readings")
        .asks_history()
        .gives_as(200, "application/x-ndjson", "Line by line.", text());
    vec![name(backtest)]
}
