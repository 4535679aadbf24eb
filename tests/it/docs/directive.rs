//! What a comment of a page tells the test that runs it: `<!-- exit: 1 -->`.

use std::str::FromStr as _;

/// What runs while a page is run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Runs {
    /// A service that lets everybody in.
    #[default]
    Insecure,
    /// One that asks for credentials.
    Secure,
    /// Nothing: the page's own commands start it.
    Nothing,
}

/// What a block of TOML is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Toml {
    Config,
    Rules,
    Mappings,
    Test,
    Other,
}

/// Why a block is not run.
const REASONS: [&str; 8] = [
    "docker",
    "kubernetes",
    "systemd",
    "installs packages",
    "another machine",
    "builds",
    "grafana",
    LONG,
];

/// The reason that names a test which runs it.
const LONG: &str = "long";

/// Why a block is not run, and the test that does instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NotRun {
    pub(super) reason: &'static str,
    pub(super) test: Option<String>,
}

/// One comment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Directive {
    File(String),
    NotRun(NotRun),
    Before(String),
    Exit(i32),
    Shows(String),
    Service(Runs),
    Toml(Toml),
    /// Marks what another test writes.
    Written,
}

/// Reads what stands between `<!--` and `-->`; what is wrong with it otherwise.
pub(super) fn parse(comment: &str) -> Result<Directive, String> {
    let (name, value) = comment.split_once(':').unwrap_or((comment, ""));
    let (name, value) = (name.trim(), value.trim());
    match name {
        "codes" | "routes" | "end" => return Ok(Directive::Written),
        _ if value.is_empty() => return Err(format!("`{comment}` is no directive")),
        _ => {}
    }
    match name {
        "file" => file(value),
        "not run" => not_run(value).map(Directive::NotRun),
        "before" => Ok(Directive::Before(value.to_owned())),
        "exit" => i32::from_str(value)
            .map(Directive::Exit)
            .map_err(|_| format!("`{value}` is no exit code")),
        "shows" => Ok(Directive::Shows(value.to_owned())),
        "service" => service(value),
        "toml" => toml(value),
        _ => Err(format!("`{name}:` is no directive")),
    }
}

fn file(name: &str) -> Result<Directive, String> {
    let below = !name.starts_with('/') && !name.split('/').any(|part| part == "..");
    if below {
        Ok(Directive::File(name.to_owned()))
    } else {
        Err(format!("`{name}` is not in the page's folder"))
    }
}

fn not_run(value: &str) -> Result<NotRun, String> {
    let (word, test) = match value.split_once(", test=") {
        Some((word, test)) => (word, Some(test.to_owned())),
        None => (value, None),
    };
    let reason = REASONS.into_iter().find(|reason| *reason == word);
    let reason = reason.ok_or_else(|| {
        format!("`{word}` is no reason not to run it; reasons are {}", REASONS.join(", "))
    })?;
    if (reason == LONG) != test.is_some() {
        return Err(format!("`{LONG}`, and nothing else, names a test: `{LONG}, test=NAME`"));
    }
    Ok(NotRun { reason, test })
}

fn service(value: &str) -> Result<Directive, String> {
    let runs = match value {
        "insecure" => Runs::Insecure,
        "secure" => Runs::Secure,
        "none" => Runs::Nothing,
        _ => return Err(format!("`{value}` is no service: insecure, secure or none")),
    };
    Ok(Directive::Service(runs))
}

fn toml(value: &str) -> Result<Directive, String> {
    let kind = match value {
        "config" => Toml::Config,
        "rules" => Toml::Rules,
        "mappings" => Toml::Mappings,
        "test" => Toml::Test,
        "other" => Toml::Other,
        _ => return Err(format!("`{value}` is no kind of TOML")),
    };
    Ok(Directive::Toml(kind))
}

#[test]
fn directives_are_read() {
    assert_eq!(parse(" exit: 78 "), Ok(Directive::Exit(78)));
    assert_eq!(parse("before: A=1\nB=2"), Ok(Directive::Before("A=1\nB=2".to_owned())));
    assert_eq!(parse("service: secure"), Ok(Directive::Service(Runs::Secure)));
    assert_eq!(parse("codes: written by a test"), Ok(Directive::Written));
    let not_run = |reason, test: Option<&str>| {
        Ok(Directive::NotRun(NotRun { reason, test: test.map(str::to_owned) }))
    };
    assert_eq!(parse("not run: installs packages"), not_run("installs packages", None));
    assert_eq!(parse("not run: long, test=storm"), not_run("long", Some("storm")));
    for (wrong, why) in [
        ("exits: 1", "is no directive"),
        ("a remark", "is no directive"),
        ("exit:", "is no directive"),
        ("exit: one", "is no exit code"),
        ("not run: it fails", "is no reason"),
        ("not run: long", "names a test"),
        ("not run: docker, test=a", "names a test"),
        ("file: /etc/passwd", "page's folder"),
        ("file: ../x", "page's folder"),
        ("service: both", "is no service"),
        ("toml: yaml", "is no kind"),
    ] {
        let said = parse(wrong).expect_err(wrong);
        assert!(said.contains(why), "{wrong}: {said}");
    }
}
