//! Runs users' tests of a rule that is not saved yet.

use bellwire_api::ports::{
    RuleTestMismatch, RuleTestOutcome, RuleTests, RuleTestsOutcome, RulesError,
};

use super::plan::{self, mistakes};
use crate::rule_test::file::{self, Test};
use crate::rule_test::run;

/// The most readings that all tests of one request have: judging them takes a tenth of a second.
const READINGS_MAX: usize = 100_000;

/// Runs tests, with the rule alone.
pub(super) fn run(RuleTests { toml, tests }: &RuleTests) -> Result<RuleTestsOutcome, RulesError> {
    match plan::read(toml) {
        Err(RulesError::Wrong(mistakes)) => return Ok(RuleTestsOutcome::WrongRule(mistakes)),
        Err(other) => return Err(other),
        Ok(_) => {}
    }
    Ok(match file::read_tests(tests, READINGS_MAX) {
        Err(errors) => RuleTestsOutcome::WrongTests(mistakes(errors, tests)),
        Ok(all) => RuleTestsOutcome::Ran(all.iter().map(|test| outcome(test, toml)).collect()),
    })
}

fn outcome(test: &Test, toml: &str) -> RuleTestOutcome {
    let mismatch =
        |it: run::Mismatch| RuleTestMismatch { line: it.line, text: it.text.trim_end().to_owned() };
    let found = run::run(test, toml).map(|found| found.into_iter().map(mismatch).collect());
    RuleTestOutcome { name: test.name.clone(), line: test.line, found }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: &str = "[[rule]]\nname = \"warm\"\nwhen = \"temperature > -15\"\nfor = \"1m\"\n";
    const TEST: &str = "
[[test]]
name = \"it warms\"
[[test.input]]
device = \"f-1\"
every = \"10s\"
temperature = \"-18x2 -10x10\"
[[test.expect]]
at = \"1m10s\"
rule = \"warm\"
device = \"f-1\"
state = \"pending\"
";

    fn ask(toml: &str, tests: &str) -> RuleTestsOutcome {
        run(&RuleTests { toml: toml.to_owned(), tests: tests.to_owned() }).unwrap()
    }

    fn ran(toml: &str, tests: &str) -> Vec<RuleTestOutcome> {
        match ask(toml, tests) {
            RuleTestsOutcome::Ran(all) => all,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_rule_that_is_not_saved_is_tested() {
        let passed =
            RuleTestOutcome { name: "it warms".to_owned(), line: 2, found: Ok(Vec::new()) };
        assert_eq!(ran(RULE, TEST), [passed]);
        assert_eq!(ran(RULE, &format!("rules = \"any.toml\"\n{TEST}")).len(), 1, "as in a file");
        let all = ran(&RULE.replace("1m", "10s"), TEST);
        let found = all[0].found.as_ref().unwrap();
        assert_eq!((found.len(), found[0].line), (1, 8));
        assert!(found[0].text.contains("expected  pending"), "{}", found[0].text);
        assert!(found[0].text.contains("found     firing"), "{}", found[0].text);
        let all = ran(RULE, &TEST.replace("rule = \"warm\"", "rule = \"worm\""));
        let found = all[0].found.as_ref().unwrap();
        assert!(found[0].text.contains("did you mean `warm`?"), "{}", found[0].text);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let RuleTestsOutcome::WrongRule(mistakes) = ask(&RULE.replace("when", "wenn"), TEST) else {
            panic!("the rule is wrong");
        };
        assert!(mistakes.iter().any(|it| it.line == 3), "{mistakes:?}");
        let RuleTestsOutcome::WrongTests(mistakes) = ask(RULE, &TEST.replace("state", "stat"))
        else {
            panic!("the test is wrong");
        };
        assert!(mistakes.iter().any(|it| it.line == 12), "{mistakes:?}");
        let RuleTestsOutcome::WrongTests(mistakes) = ask(RULE, "") else { panic!("no test") };
        assert_eq!(mistakes[0].message, "there is no test");
    }

    #[test]
    fn all_series_together_are_bounded() {
        let more = "[[test.input]]\ndevice = \"f-2\"\nevery = \"1s\"\nt = \"1x60000\"\n".repeat(2);
        let RuleTestsOutcome::WrongTests(mistakes) = ask(RULE, &format!("{TEST}{more}")) else {
            panic!("too many readings");
        };
        assert_eq!(
            mistakes[0].message,
            "the series is wrong: it has more than 39988 values, which is what is left of all"
        );
    }
}
