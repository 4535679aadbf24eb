//! Tests of the rules on a real log: what is kept is in force, whatever happens between.

use std::path::PathBuf;

use bellwire_api::Metrics;
use bellwire_api::ports::{AlertFate, RuleSource};
use bellwire_ingest::log::{LocalLog, Options, Record};
use bellwire_model::{Alert, AlertId, AlertState, LogPosition, Severity, Target, Timestamp};
use prometheus::Registry;

use super::*;
use crate::clock::SystemClock;
use crate::rulebook::file::NAME;

/// A service's rules, with the folder they are in.
struct Fixture {
    dir: tempfile::TempDir,
    log: Arc<dyn Log>,
    book: Rulebook,
}

fn file(text: &str) -> FileRules {
    FileRules::from((text.to_owned(), RuleSet::parse(text).unwrap()))
}

fn rule(name: &str, when: &str) -> String {
    format!("[[rule]]\nname = '{name}'\nwhen = '{when}'\n")
}

fn name(name: &str) -> RuleName {
    RuleName::new(name).unwrap()
}

fn by(author: &str) -> ChangedBy {
    ChangedBy { author: author.to_owned(), comment: None }
}

fn new(toml: String) -> NewRule {
    NewRule { toml, enabled: true }
}

impl Fixture {
    fn new(text: &str) -> Self {
        Self::over(tempfile::tempdir().unwrap(), text)
    }

    /// As after a start.
    fn over(dir: tempfile::TempDir, text: &str) -> Self {
        let registry = Registry::new();
        let metrics = bellwire_ingest::log::Metrics::register(&registry).unwrap();
        let fail_stop = Arc::new(|error: &bellwire_ingest::log::Error| panic!("{error}"));
        let clock: Arc<dyn Clock> = SystemClock::shared();
        let options = Options::new(&dir.path().join("log"), Arc::clone(&clock), fail_stop, metrics);
        let log: Arc<dyn Log> = Arc::new(LocalLog::open(options).unwrap());
        let beginning = Beginning::open(dir.path(), file(text)).unwrap();
        let names = SharedNames::default();
        let metrics = Metrics::register(&registry).unwrap();
        let hub = Hub::new(
            log.id(),
            bellwire_api::LiveConfig::default(),
            bellwire_api::Fleet::nothing(),
            Arc::clone(&clock),
            metrics,
        );
        hub.set_snapshot(LogPosition::ZERO, []);
        let present = SharedPresent::with_skew_max(Duration::ZERO);
        let concerned = Concerned { names, present, registry: SharedRegistry::default(), hub };
        let prepared = PreparedRules::default();
        let clock = (clock, TaskTracker::new());
        let book = Rulebook::new(beginning, prepared, Arc::clone(&log), concerned, clock);
        Self { dir, log, book }
    }

    /// Stops it, and starts it again.
    fn again(self, text: &str) -> Self {
        self.log.close();
        drop((self.book, self.log));
        Self::over(self.dir, text)
    }

    async fn create(&self, toml: String) -> Result<RuleDetail, RulesError> {
        self.book.create(new(toml), by("Ada")).await
    }

    async fn change(&self, of: &str, deed: RuleDeed) -> Result<Option<RuleDetail>, RulesError> {
        let changed = Rules::change(&self.book, name(of), deed, Known::Any, by("Bo")).await?;
        Ok(changed.after)
    }

    /// The texts of all rules that were put into the log.
    fn logged(&self) -> Vec<String> {
        let (mut texts, end) = (Vec::new(), self.log.durable().end);
        let mut reader = self.log.reader(self.log.floor());
        while let Some(chunk) = reader.read(end, 1 << 20).unwrap() {
            for frame in chunk.frames() {
                if let Ok(Record::Rules { text }) = frame.record() {
                    texts.push(text.to_owned());
                }
            }
        }
        texts
    }

    fn in_force(&self) -> Vec<String> {
        let shown = self.book.0.read();
        shown.effective.set.rules().iter().map(|rule| rule.name().to_string()).collect()
    }

    fn deeds(&self, of: &str) -> Vec<&'static str> {
        self.book.versions(&name(of)).unwrap().iter().map(|version| version.deed).collect()
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join(NAME)
    }
}

#[tokio::test]
async fn a_rule_lives_and_every_step_is_in_the_log() {
    let of_file = rule("file", "t > 1");
    let it = Fixture::new(&of_file);
    let (first, second) = (rule("hot", "t > 10"), rule("hot", "t > 20"));
    let made = it.create(first.clone()).await.unwrap();
    assert_eq!((made.info.source, made.toml), (RuleSource::Api, first.clone()));
    let detail =
        it.change("hot", RuleDeed::Change { toml: second.clone() }).await.unwrap().unwrap();
    assert_eq!(detail.info.changed.as_ref().unwrap().revision, 2);
    it.change("hot", RuleDeed::Change { toml: second.clone() }).await.unwrap();
    it.change("hot", RuleDeed::Disable).await.unwrap();
    let list = it.book.list();
    assert_eq!((list.len(), list[1].enabled, &*list[1].when), (2, false, "t > 20"));
    it.change("hot", RuleDeed::Change { toml: first.clone() }).await.unwrap();
    it.change("hot", RuleDeed::Enable).await.unwrap();
    assert_eq!(it.change("hot", RuleDeed::Delete).await.unwrap(), None);
    assert_eq!(it.book.rule(&name("hot")), None);
    it.change("hot", RuleDeed::Restore { version: 2 }).await.unwrap();
    let deeds = ["create", "change", "disable", "change", "enable", "delete", "restore"];
    assert_eq!(it.deeds("hot"), deeds, "what changes nothing is no version");
    let with = |rule: &str| format!("{of_file}\n{rule}");
    let texts = [
        with(&first),
        with(&second),
        of_file.clone(),
        with(&first),
        of_file.clone(),
        with(&second),
    ];
    assert_eq!(it.logged(), texts, "a disabled rule is changed without the log");
    let it = it.again(&of_file);
    assert_eq!(it.deeds("hot"), deeds);
    assert_eq!(it.in_force(), ["file", "hot"]);
    let versions = it.book.versions(&name("hot")).unwrap();
    assert_eq!(
        (versions[6].before.as_deref(), versions[6].after.as_deref()),
        (None, Some(&*second))
    );
    assert_eq!((versions[1].before.as_deref(), &*versions[1].author), (Some(&*first), "Bo"));
}

#[tokio::test]
async fn what_may_not_be_is_refused_and_nothing_is_kept() {
    let it = Fixture::new(&rule("file", "t > 1"));
    it.create(rule("hot", "t > 10")).await.unwrap();
    let before = std::fs::read(it.path()).unwrap();
    let change = |toml: String| RuleDeed::Change { toml };
    assert!(matches!(it.create(rule("hot", "t > 1")).await, Err(RulesError::Exists(_))));
    assert!(matches!(it.create(rule("file", "t > 1")).await, Err(RulesError::InFile(_))));
    let wrong = it.create("[[rule]]\nname = 'a'\nwhen = 't >> 1'\n".to_owned()).await;
    let Err(RulesError::Wrong(mistakes)) = wrong else { panic!("{wrong:?}") };
    assert_eq!((mistakes[0].line, mistakes[0].column, &*mistakes[0].found), (3, 12, ">"));
    let labels = "[[rule]]\nname='a'\nwhen='t>1'\n[[labels]]\ndevice='*'\nset={a='b'}\n".to_owned();
    assert!(matches!(it.create(labels).await, Err(RulesError::Wrong(_))), "one rule, nothing else");
    assert!(matches!(
        it.change("hot", change(rule("cold", "t > 1"))).await,
        Err(RulesError::OtherName { .. })
    ));
    assert!(matches!(it.change("none", RuleDeed::Disable).await, Err(RulesError::NoSuchRule(_))));
    for deed in [RuleDeed::Disable, RuleDeed::Delete, change(rule("file", "t > 2"))] {
        assert!(matches!(it.change("file", deed).await, Err(RulesError::InFile(_))));
    }
    let restored = it.change("hot", RuleDeed::Restore { version: 9 }).await;
    assert!(matches!(restored, Err(RulesError::NoSuchVersion(9))));
    let known = Known::Revisions(vec![0, 2]);
    let stale = Rules::change(&it.book, name("hot"), RuleDeed::Delete, known, by("Bo")).await;
    assert!(matches!(stale, Err(RulesError::Stale { revision: 1 })));
    assert_eq!(std::fs::read(it.path()).unwrap(), before);
    assert_eq!((it.logged().len(), it.in_force().len()), (1, 2));
}

#[tokio::test]
async fn after_a_crash_between_keeping_and_logging_the_start_has_the_rule() {
    let it = Fixture::new("");
    it.create(rule("hot", "t > 10")).await.unwrap();
    // The log ends, as a crash would end it, before it takes the rules.
    it.log.close();
    let changed = it.change("hot", RuleDeed::Change { toml: rule("hot", "t > 99") }).await;
    assert!(matches!(changed, Err(RulesError::Stopping)), "{changed:?}");
    assert_eq!(it.logged().len(), 1);
    let it = it.again("");
    let beginning_has = it.book.0.read().effective.set.rule("hot").unwrap().when().to_owned();
    assert_eq!(beginning_has, "t > 99");
}

#[tokio::test]
async fn the_file_wins_and_what_it_hid_comes_back() {
    let it = Fixture::new("");
    it.create(rule("hot", "t > 10")).await.unwrap();
    let n_rules = it.book.take_file(file(&rule("hot", "t > 77"))).await.unwrap();
    assert_eq!(n_rules, 1);
    let list = it.book.list();
    assert_eq!((list.len(), &*list[0].when, list[0].source), (1, "t > 77", RuleSource::File));
    assert!(list[0].problem.as_ref().unwrap().contains("set aside"));
    assert!(matches!(it.change("hot", RuleDeed::Disable).await, Err(RulesError::InFile(_))));
    it.book.take_file(FileRules::default()).await.unwrap();
    assert_eq!(&*it.book.list()[0].when, "t > 10");
    it.book.take_file(file(&rule("hot", "t > 77"))).await.unwrap();
    it.change("hot", RuleDeed::Delete).await.unwrap();
    assert_eq!(it.book.list()[0].problem, None, "the one that was hidden is gone");
    let inline = file("rule = [{ name = 'a', when = 't > 1' }]");
    it.create(rule("cold", "t < 1")).await.unwrap();
    let refused = it.book.take_file(inline).await.unwrap_err().to_string();
    assert!(refused.contains("cannot follow the rules file"), "{refused}");
    assert_eq!(it.in_force(), ["hot", "cold"], "those in force stay");
}

#[tokio::test]
async fn damage_stops_the_start_and_says_where() {
    let it = Fixture::new("");
    it.create(rule("hot", "t > 10")).await.unwrap();
    let text = std::fs::read_to_string(it.path()).unwrap().replace("t > 10", "t > 11");
    std::fs::write(it.path(), text).unwrap();
    let error = Beginning::open(it.dir.path(), FileRules::default()).unwrap_err().to_string();
    assert!(error.contains("line 2") && error.contains(NAME), "{error}");
}

/// An open alert of `rule` on a device.
fn firing(rule: &str, device: &str) -> Alert {
    let at = Timestamp::from_secs(1);
    Alert {
        id: AlertId(1),
        rule: name(rule),
        device: Target::new(device).unwrap(),
        severity: Severity::Warning,
        state: AlertState::Firing,
        since: at,
        fired_at: Some(at),
        resolved_at: None,
        value: Some(1.0),
        summary: String::new(),
        labels: None,
        handling: None,
    }
}

#[tokio::test]
async fn a_trial_tells_the_fate_of_alerts_and_changes_nothing() {
    let it = Fixture::new("");
    let hot = |more: &str| format!("{}{more}\n", rule("hot", "t > 10"));
    it.create(hot("")).await.unwrap();
    it.book.0.concerned.hub.set_snapshot(LogPosition(1), [firing("hot", "d")]);
    let fate = async |trial: RuleTrial| it.book.check(trial).await.unwrap().alerts[0].1;
    let put = |toml: String| RuleTrial::Put { toml };
    assert_eq!(fate(put(hot("for = '5m'"))).await, AlertFate::Carried);
    assert_eq!(fate(put(rule("hot", "t > 20"))).await, AlertFate::JudgedAnew);
    assert_eq!(fate(put(hot("select = \"device = 'e'\""))).await, AlertFate::Closed);
    assert_eq!(fate(RuleTrial::Remove(name("hot"))).await, AlertFate::Closed);
    let group = "avg by (site) (t) > 10";
    assert_eq!(fate(put(rule("hot", group))).await, AlertFate::Closed, "no device has it then");
    let fresh = it.book.check(put(rule("cold", "t < 1"))).await.unwrap();
    assert_eq!((fresh.alerts.len(), fresh.before), (0, None));
    assert!(matches!(it.book.check(put("x".to_owned())).await, Err(RulesError::Wrong(_))));
    let none = it.book.check(RuleTrial::Remove(name("none"))).await;
    assert!(matches!(none, Err(RulesError::NoSuchRule(_))));
    assert_eq!(it.deeds("hot"), ["create"]);
    assert_eq!(it.logged().len(), 1);
}
