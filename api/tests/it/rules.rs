//! Rules over HTTP: what is asked for reaches the port, its answers and refusals reach the client.

use std::sync::{Arc, Mutex};

use bellwire_api::ports::{
    AlertFate, ChangedBy, ChangedRule, Known, LastChange, NewRule, PortError, RuleCheck, RuleDeed,
    RuleDetail, RuleInfo, RuleMistake, RuleSource, RuleTestMismatch, RuleTestOutcome, RuleTests,
    RuleTestsOutcome, RuleTrial, RuleVersion, RuleWord, RuleWords, Rules, RulesError, RulesFuture,
};
use bellwire_model::{AlertState, RuleName, Severity, Timestamp};
use serde_json::{Value, json};

use crate::backtests::check;
use crate::support::{Answer, Service, transition};

/// Answers as the test says; it remembers what it was asked.
#[derive(Debug, Default)]
pub(crate) struct Book {
    rules: Mutex<Vec<RuleDetail>>,
    versions: Mutex<Vec<RuleVersion>>,
    asked: Mutex<Vec<String>>,
    /// The next refusal.
    refusal: Mutex<Option<RulesError>>,
    trial: Mutex<Option<RuleCheck>>,
}

impl Book {
    fn with_one() -> RuleDetail {
        RuleDetail {
            info: RuleInfo {
                name: name("too-warm"),
                severity: Severity::Critical,
                when: "temperature > -15".to_owned(),
                clear: None,
                hold: Some("2m".to_owned()),
                keep_firing_for: None,
                select: Some("kind = 'freezer'".to_owned()),
                summary: None,
                version: 255,
                source: RuleSource::Api,
                enabled: true,
                problem: None,
                changed: Some(LastChange {
                    revision: 7,
                    at: Timestamp::from_secs(1_700_000_000),
                    author: "Ada".to_owned(),
                }),
            },
            toml: "[[rule]]".to_owned(),
        }
    }

    fn refuses(&self, error: RulesError) {
        *self.refusal.lock().expect("whole") = Some(error);
    }

    fn last(&self) -> String {
        self.asked.lock().expect("whole").last().cloned().unwrap_or_default()
    }

    fn answer<T: Send + 'static>(&self, question: String, answer: T) -> RulesFuture<'_, T> {
        self.asked.lock().expect("whole").push(question);
        let refusal = self.refusal.lock().expect("whole").take();
        Box::pin(std::future::ready(refusal.map_or(Ok(answer), Err)))
    }
}

impl Rules for Book {
    fn list(&self) -> Vec<RuleInfo> {
        self.rules.lock().expect("whole").iter().map(|rule| rule.info.clone()).collect()
    }

    fn rule(&self, name: &RuleName) -> Option<RuleDetail> {
        self.rules.lock().expect("whole").iter().find(|rule| rule.info.name == *name).cloned()
    }

    fn versions(&self, name: &RuleName) -> Option<Vec<RuleVersion>> {
        (name.as_str() == "too-warm").then(|| self.versions.lock().expect("whole").clone())
    }

    fn words(&self) -> RuleWords {
        let word = RuleWord { name: "abs", usage: "abs(number)", gives: "the number" };
        RuleWords { functions: vec![word], keywords: vec!["and"], ..RuleWords::default() }
    }

    fn create(&self, new: NewRule, by: ChangedBy) -> RulesFuture<'_, RuleDetail> {
        self.answer(format!("{new:?} {by:?}"), Self::with_one())
    }

    fn change(
        &self,
        name: RuleName,
        deed: RuleDeed,
        known: Known,
        by: ChangedBy,
    ) -> RulesFuture<'_, ChangedRule> {
        let after = (deed != RuleDeed::Delete).then(Self::with_one);
        let changed = ChangedRule { before: self.rule(&name), after };
        self.answer(format!("{name} {deed:?} {known:?} {by:?}"), changed)
    }

    fn check(&self, trial: RuleTrial) -> RulesFuture<'_, RuleCheck> {
        let check = self.trial.lock().expect("whole").take();
        let nothing = RuleCheck {
            name: name("x"),
            before: None,
            after: None,
            enabled: true,
            n_devices: 0,
            alerts: Vec::new(),
        };
        self.answer(format!("{trial:?}"), check.unwrap_or(nothing))
    }

    fn test(&self, tests: RuleTests) -> RulesFuture<'_, RuleTestsOutcome> {
        let RuleTests { toml, tests } = tests;
        let mistake = || RuleMistake {
            key: None,
            line: 3,
            column: 1,
            length: 4,
            message: "unknown key".to_owned(),
            help: None,
            found: "wenn".to_owned(),
        };
        let outcome = match (&*toml, &*tests) {
            ("wrong", _) => RuleTestsOutcome::WrongRule(vec![mistake()]),
            (_, "wrong") => RuleTestsOutcome::WrongTests(vec![mistake()]),
            _ => {
                let mismatch = RuleTestMismatch { line: 9, text: "found inactive".to_owned() };
                let found = [Ok(Vec::new()), Ok(vec![mismatch]), Err("too many names".to_owned())];
                let test = |found| RuleTestOutcome { name: "warm".to_owned(), line: 1, found };
                RuleTestsOutcome::Ran(found.map(test).into())
            }
        };
        self.answer(String::new(), outcome)
    }
}

fn name(name: &str) -> RuleName {
    RuleName::new(name).expect("valid")
}

const RULE: &str = "/api/v1/rules/too-warm";

/// Sends a request with a body of JSON, if it is not empty, and more headers.
async fn send(service: &Service, request: &str, headers: &str, body: &str) -> Answer {
    let kind = if body.is_empty() { "" } else { "content-type: application/json\r\n" };
    let length = body.len();
    service
        .send(&format!(
            "{request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}{kind}\
             content-length: {length}\r\n\r\n{body}"
        ))
        .await
}

#[tokio::test]
async fn rules_are_shown_as_they_were_written() {
    let service = Service::start().await;
    *service.book.rules.lock().expect("whole") = vec![Book::with_one()];
    let mut rule = json!({"name": "too-warm", "severity": "critical",
        "when": "temperature > -15", "clear": null, "for": "2m", "keep_firing_for": null,
        "select": "kind = 'freezer'", "summary": null, "version": "00000000000000ff",
        "source": "api", "enabled": true, "problem": null, "revision": 7,
        "updated_at": "2023-11-14T22:13:20.000000Z", "author": "Ada"});
    assert_eq!(service.get("/api/v1/rules").await.json(), json!({"rules": [rule.clone()]}));
    rule["toml"] = "[[rule]]".into();
    let one = service.get(RULE).await;
    assert_eq!((one.json(), one.header("etag")), (rule, "\"7\""));
    check(&service.get("/api/v1/rules/other").await, 404, "rule_not_found");
    check(&service.get("/api/v1/rules/a%0Ab").await, 404, "rule_not_found");
}

#[tokio::test]
async fn a_change_reaches_the_port_with_what_was_known_and_by_whom() {
    let service = Service::start().await;
    let body = r#"{"toml": "text", "enabled": false, "author": "Ada", "comment": "why\nso"}"#;
    let made = send(&service, "POST /api/v1/rules", "", body).await;
    assert_eq!((made.status, made.header("location")), (201, RULE));
    assert_eq!(made.header("etag"), "\"7\"");
    let asked = service.book.last();
    assert!(asked.contains("toml: \"text\", enabled: false"), "{asked}");
    assert!(asked.contains("author: \"Ada\", comment: Some(\"why\\nso\")"), "{asked}");
    let known = "if-match: \"7\"\r\n";
    let put = send(&service, &format!("PUT {RULE}"), known, r#"{"toml": "text"}"#).await;
    assert_eq!(put.status, 200);
    let by = "ChangedBy { author: \"api\", comment: None }";
    let expected = format!("too-warm Change {{ toml: \"text\" }} Revisions([7]) {by}");
    assert_eq!(service.book.last(), expected);
    for (request, deed, status) in [
        (format!("DELETE {RULE}"), "Delete", 204),
        (format!("POST {RULE}/enable"), "Enable", 200),
        (format!("POST {RULE}/disable"), "Disable", 200),
        (format!("POST {RULE}/restore?version=3"), "Restore { version: 3 }", 200),
    ] {
        let answer = send(&service, &request, "if-match: *\r\n", "").await;
        assert_eq!(answer.status, status, "{request}: {answer:?}");
        assert_eq!(service.book.last(), format!("too-warm {deed} Any {by}"));
        let answer = send(&service, &request, known, r#"{"author": "Bo"}"#).await;
        assert_eq!(answer.status, status, "{request}: {answer:?}");
        assert!(service.book.last().contains("author: \"Bo\""), "{}", service.book.last());
        let careless = send(&service, &request, "", "").await;
        check(&careless, 428, "if_match_missing");
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_change_is_a_problem() {
    let service = Service::start().await;
    let post = "POST /api/v1/rules";
    let long = format!(r#"{{"toml": "x", "author": "{}"}}"#, "a".repeat(101));
    for body in [
        "{",
        "{}",
        r#"{"toml": 1}"#,
        r#"{"toml": "x", "auther": "a"}"#,
        r#"{"toml": "x", "author": "\u001b[1m"}"#,
        &long,
    ] {
        check(&send(&service, post, "", body).await, 400, "invalid_body");
    }
    check(&send(&service, post, "", "").await, 415, "not_json");
    let restore = format!("POST {RULE}/restore");
    check(&send(&service, &restore, "if-match: *\r\n", "").await, 400, "invalid_parameter");
    let huge = format!(r#"{{"toml": "{}"}}"#, "x".repeat(2_000_000));
    check(&send(&service, post, "", &huge).await, 413, "body_too_large");
    assert_eq!(service.book.last(), "", "none of these has reached the port");
    for (error, status, code) in [
        (RulesError::Exists(name("a")), 409, "rule_exists"),
        (RulesError::InFile(name("a")), 409, "rule_in_file"),
        (RulesError::NoSuchRule(name("a")), 404, "rule_not_found"),
        (RulesError::Stale { revision: 8 }, 412, "rule_changed"),
        (RulesError::OtherName { found: name("b") }, 422, "rule_name_differs"),
        (RulesError::NoFit("Too many.".to_owned()), 422, "rules_do_not_fit"),
        (RulesError::NoSuchVersion(3), 404, "version_not_found"),
        (RulesError::IsDeletion(3), 409, "version_is_deletion"),
        (RulesError::Busy, 503, "rules_busy"),
        (RulesError::Waiting, 503, "log_full"),
        (RulesError::Stopping, 503, "stopping"),
        (PortError::Failed("a disk".into()).into(), 500, "internal"),
    ] {
        service.book.refuses(error);
        let (what, body) = match code {
            "rule_exists" => (post.to_owned(), r#"{"toml": "x"}"#),
            "version_not_found" | "version_is_deletion" => (format!("{restore}?version=3"), ""),
            _ => (format!("PUT {RULE}"), r#"{"toml": "x"}"#),
        };
        let answer = send(&service, &what, "if-match: \"1\"\r\n", body).await;
        check(&answer, status, code);
        assert_eq!(answer.json().get("errors"), None);
    }
    for path in [RULE, "/api/v1/rules", &format!("{RULE}/enable")] {
        let answer = send(&service, &format!("PATCH {path}"), "", "").await;
        check(&answer, 405, "method_not_allowed");
        assert!(!answer.header("allow").is_empty(), "{answer:?}");
    }
}

#[tokio::test]
async fn the_words_of_rules_are_told() {
    let service = Service::start().await;
    let answer = service.get("/api/v1/rule-words").await;
    let abs = json!({"name": "abs", "usage": "abs(number)", "gives": "the number"});
    let words = json!({"functions": [abs], "aggregates": [], "keys": [], "keywords": ["and"]});
    assert_eq!(answer.json(), words);
    let tag = format!("if-none-match: {}\r\n", answer.header("etag"));
    assert_eq!(send(&service, "GET /api/v1/rule-words", &tag, "").await.status, 304);
}

#[tokio::test]
async fn a_rule_may_be_named_as_a_route_is() {
    let service = Service::start().await;
    let mut rule = Book::with_one();
    rule.info.name = name("check");
    *service.book.rules.lock().expect("whole") = vec![rule];
    assert_eq!(service.get("/api/v1/rules/check").await.json()["name"], "check");
    for what in ["DELETE /api/v1/rules/check", "POST /api/v1/rules/check/enable"] {
        let answer = send(&service, what, "if-match: *\r\n", "").await;
        assert!(matches!(answer.status, 200 | 204), "{what}: {answer:?}");
        assert!(service.book.last().starts_with("check "), "{}", service.book.last());
    }
}

fn mistake() -> RuleMistake {
    RuleMistake {
        key: Some("when"),
        line: 3,
        column: 10,
        length: 1,
        message: "unexpected `>`".to_owned(),
        help: Some("a metric".to_owned()),
        found: ">".to_owned(),
    }
}

#[tokio::test]
async fn mistakes_come_with_their_places() {
    let service = Service::start().await;
    let errors = json!([{"key": "when", "line": 3, "column": 10, "length": 1,
        "message": "unexpected `>`", "help": "a metric", "found": ">"}]);
    service.book.refuses(RulesError::Wrong(vec![mistake()]));
    let answer = send(&service, "POST /api/v1/rules", "", r#"{"toml": "x"}"#).await;
    check(&answer, 422, "invalid_rule");
    assert_eq!(answer.json()["errors"], errors);
    assert!(answer.json()["detail"].as_str().is_some_and(|it| it.contains("line 3, column 10")));
    service.book.refuses(RulesError::Wrong(vec![mistake()]));
    let answer = send(&service, "POST /api/v1/rules/check", "", r#"{"toml": "x"}"#).await;
    assert_eq!((answer.status, answer.json()), (200, json!({"valid": false, "errors": errors})));
}

#[tokio::test]
async fn tests_of_a_rule_say_what_came_of_each() {
    let service = Service::start().await;
    let ask = async |body: &str| {
        let answer = send(&service, "POST /api/v1/rule-tests", "", body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    };
    let test = |passed, problem: Value, mismatches: Value| json!({"name": "warm", "line": 1, "passed": passed, "problem": problem, "mismatches": mismatches});
    let tests = [
        test(true, Value::Null, json!([])),
        test(false, Value::Null, json!([{"line": 9, "text": "found inactive"}])),
        test(false, json!("too many names"), json!([])),
    ];
    let ran = json!({"valid": true, "passed": 1, "failed": 2, "tests": tests});
    assert_eq!(ask(r#"{"toml": "x", "tests": "y"}"#).await, ran);
    for (of, body) in [
        ("rule", r#"{"toml": "wrong", "tests": "y"}"#),
        ("tests", r#"{"toml": "x", "tests": "wrong"}"#),
    ] {
        let found = ask(body).await;
        assert_eq!((&found["valid"], &found["of"]), (&json!(false), &json!(of)));
        assert_eq!(found["errors"][0]["line"], 3);
    }
    let answer = send(&service, "POST /api/v1/rule-tests", "", r#"{"toml": "x"}"#).await;
    check(&answer, 400, "invalid_body");
}

#[tokio::test]
async fn a_trial_says_what_would_come_of_it() {
    let service = Service::start().await;
    let alert = Arc::new(transition(5, 9, AlertState::Firing).alert);
    *service.book.trial.lock().expect("whole") = Some(RuleCheck {
        name: name("too-warm"),
        before: Some("a\nb\n".to_owned()),
        after: Some("a\nc\n".to_owned()),
        enabled: true,
        n_devices: 2,
        alerts: vec![(alert, AlertFate::JudgedAnew)],
    });
    let answer = send(&service, "POST /api/v1/rules/check", "", r#"{"toml": "x"}"#).await;
    assert_eq!(
        answer.json(),
        json!({"valid": true, "name": "too-warm", "effect": "change", "enabled": true, "devices": 2,
            "alerts": {"carried": 0, "judged_anew": 1, "closed": 0, "list": [
                {"id": "0000000000000009", "device": "freezer-1", "state": "firing", "fate": "judged_anew"}]},
            "diff": "--- now\n+++ then\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n"})
    );
    let answer = send(&service, "POST /api/v1/rules/check", "", r#"{"remove": "too-warm"}"#).await;
    assert_eq!(answer.status, 200);
    assert_eq!(service.book.last(), "Remove(\"too-warm\")");
    for body in ["{}", r#"{"toml": "x", "remove": "y"}"#] {
        let answer = send(&service, "POST /api/v1/rules/check", "", body).await;
        check(&answer, 400, "invalid_body");
    }
}

#[tokio::test]
async fn versions_are_shown_with_what_they_changed() {
    let service = Service::start().await;
    let version = |number, deed, before: Option<&str>, after: Option<&str>| RuleVersion {
        number,
        at: Timestamp::from_secs(1_700_000_000),
        author: "Ada".to_owned(),
        comment: None,
        deed,
        enabled: true,
        before: before.map(Into::into),
        after: after.map(Into::into),
    };
    *service.book.versions.lock().expect("whole") = vec![
        version(4, "change", None, Some("a\n")),
        version(5, "change", Some("a\n"), Some("b\n")),
        version(6, "delete", Some("b\n"), None),
    ];
    let all = service.get(&format!("{RULE}/versions")).await.json();
    assert_eq!(all["versions"][0]["version"], 6, "the latest first");
    assert_eq!(
        all["versions"][1],
        json!({"version": 5, "at": "2023-11-14T22:13:20.000000Z", "author": "Ada", "comment": null,
            "action": "change", "enabled": true})
    );
    let one = service.get(&format!("{RULE}/versions/5")).await.json();
    assert_eq!((&one["before"], &one["toml"]), (&"a\n".into(), &"b\n".into()));
    assert_eq!(one["diff"], "--- version 4\n+++ version 5\n@@ -1 +1 @@\n-a\n+b\n");
    let service = &service;
    let diff =
        |query: &'static str| async move { service.get(&format!("{RULE}/diff{query}")).await };
    let last = diff("").await.json();
    assert_eq!((&last["from"], &last["to"]), (&5.into(), &6.into()));
    assert_eq!(last["diff"], "--- version 5\n+++ version 6\n@@ -1 +0,0 @@\n-b\n");
    assert_eq!(diff("?from=4&to=4").await.json()["diff"], "");
    let whole = diff("?from=0&to=4").await.json();
    assert_eq!(whole["diff"], "--- version 0\n+++ version 4\n@@ -0,0 +1 @@\n+a\n");
    check(&diff("?from=3&to=4").await, 404, "version_not_found");
    check(&diff("?from=x").await, 400, "invalid_parameter");
    check(&service.get(&format!("{RULE}/versions/9")).await, 404, "version_not_found");
    check(&service.get(&format!("{RULE}/versions/x")).await, 400, "invalid_parameter");
    check(&service.get("/api/v1/rules/none/versions").await, 404, "rule_not_found");
}
