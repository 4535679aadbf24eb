//! Every command in the documents is run, and every example is read: a page is a story that a test tells.
//!
//! How pages are written so that they can be run is in CONTRIBUTING.md.

mod commands;
mod directive;
mod examples;
mod page;
mod planted;
mod programs;
mod story;

use std::collections::BTreeSet;

use crate::support::fault::{Fault, none_of};
use crate::support::tree::{self, TextFile};
use commands::Known;
use page::Page;

/// The pages with commands, each of which is a test.
macro_rules! pages {
    ($($name:ident: $path:literal,)*) => {
        const PAGES: &[&str] = &[$($path),*];

        $(
            #[tokio::test]
            async fn $name() {
                run($path).await;
            }
        )*
    };
}

pages! {
    readme: "README.md",
    account: "docs/guides/account.md",
    alerts: "docs/guides/alerts.md",
    audit_log: "docs/guides/audit-log.md",
    backup: "docs/guides/backup.md",
    bridge: "docs/guides/bridge.md",
    command: "docs/guides/commands.md",
    configuration: "docs/guides/configuration.md",
    connect: "docs/guides/connect.md",
    cookbook: "docs/guides/cookbook.md",
    database: "docs/guides/database.md",
    devices: "docs/guides/devices.md",
    history: "docs/guides/history.md",
    http: "docs/guides/http.md",
    mappings: "docs/guides/mappings.md",
    mqtt_listeners: "docs/guides/mqtt-listeners.md",
    operating: "docs/guides/operating.md",
    people: "docs/guides/people.md",
    prometheus: "docs/guides/prometheus.md",
    registry: "docs/guides/registry.md",
    rules: "docs/guides/rules.md",
    security: "docs/guides/security.md",
    start: "docs/guides/start.md",
    traces: "docs/guides/traces.md",
}

/// Whether a file is a page of the documents. Decisions are what was true on their day.
fn is_page(path: &str) -> bool {
    let ours = path.starts_with("docs/") && !path.starts_with("docs/decisions/");
    path.ends_with(".md")
        && (ours
            || ["README.md", "CONTRIBUTING.md", "deploy/README.md", "dashboards/README.md"]
                .contains(&path))
}

fn texts() -> Vec<TextFile> {
    tree::files().into_iter().filter(|file| is_page(&file.path)).collect()
}

async fn run(path: &str) {
    let text = texts().into_iter().find(|file| file.path == path);
    let (page, _) = page::parse(path, &text.expect("the page is there").text);
    if let Err(what) = story::run(&page).await {
        panic!("{what}");
    }
}

fn known() -> Known {
    let files = tree::files();
    let of = |path: &str| files.iter().find(|file| file.path == path).unwrap().text.clone();
    let is_test = |file: &&TextFile| {
        ["tests/it/", "tests/drills/"].iter().any(|folder| file.path.starts_with(folder))
    };
    let tests = files.iter().filter(is_test);
    let tests: String = tests.map(|file| file.text.as_str()).collect();
    let mut paths = tree::paths();
    for path in paths.clone() {
        paths.extend(path.match_indices('/').map(|(end, _)| path[..end].to_owned()));
    }
    Known { paths, ignored: of(".gitignore"), makefile: of("Makefile"), tests }
}

/// What is wrong with a page, without running it.
fn faults(path: &str, text: &str, known: &Known) -> (Page, Vec<Fault>) {
    let (page, mut faults) = page::parse(path, text);
    for block in page.blocks("sh").chain(page.blocks("sql")) {
        faults.extend(commands::block_faults(path, block, known));
    }
    faults.extend(examples::faults(&page));
    let code = commands::inline_code(text).into_iter();
    faults.extend(code.filter_map(|(index, code)| {
        Some(Fault::at(path, index, commands::inline_fault(&code, known)?))
    }));
    (page, faults)
}

#[test]
fn pages_are_written_so_that_they_can_be_run() {
    let known = known();
    none_of(texts().iter().flat_map(|file| faults(&file.path, &file.text, &known).1));
}

#[test]
fn no_page_is_forgotten() {
    let texts = texts();
    let pages = texts.iter().map(|file| page::parse(&file.path, &file.text).0);
    let with_commands: BTreeSet<String> =
        pages.filter(Page::has_commands).map(|page| page.path).collect();
    let listed: BTreeSet<String> = PAGES.iter().map(|&path| path.to_owned()).collect();
    assert_eq!(
        with_commands, listed,
        "the list in tests/it/docs.rs names every page with commands"
    );
}
