//! The habits that no compiler holds: each check is a pure function over a path and its text.

mod clauses;
mod docs;
mod hosts;
mod metrics;
mod rust;

use crate::support::fault::none_of;
use crate::support::tree;

#[test]
fn rust_files_keep_the_habits() {
    let files = tree::files();
    let sources = files.iter().filter(|file| file.path.ends_with(".rs"));
    none_of(sources.flat_map(|file| rust::faults(&file.path, &file.text)));
}

#[test]
fn documents_hold_together() {
    let files = tree::files();
    let paths = tree::paths();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    let index = files.iter().find(|file| file.path == docs::DECISIONS_INDEX);
    let index = index.map_or("", |file| file.text.as_str());
    let pages = files.iter().filter(|file| file.path.ends_with(".md"));
    none_of(pages.flat_map(|file| {
        let mut faults = docs::link_faults(&file.path, &file.text, &paths);
        faults.extend(docs::decision_faults(&file.path, &file.text, index));
        faults
    }));
}

#[test]
fn metrics_that_are_watched_are_registered() {
    let files = tree::files();
    let sources = files.iter().filter(|file| file.path.ends_with(".rs"));
    let registered = sources.flat_map(|file| metrics::registered(&file.path, &file.text)).collect();
    let watchers = files.iter().filter(|file| metrics::watches(&file.path));
    none_of(watchers.flat_map(|file| metrics::faults(&file.path, &file.text, &registered)));
}

#[test]
fn nothing_names_the_machine_it_was_made_on() {
    let files = tree::files();
    none_of(files.iter().flat_map(|file| hosts::faults(&file.path, &file.text)));
}

#[test]
fn clauses_of_the_standard_are_tagged_as_listed() {
    let files = tree::files();
    let list = files.iter().find(|file| file.path == clauses::LIST).expect("the list");
    let sources = || files.iter().filter(|file| file.path.ends_with(".rs"));
    let met = sources().flat_map(|file| clauses::met(&file.path, &file.text)).collect();
    if std::env::var_os("BELLWIRE_BLESS").is_some() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(clauses::LIST);
        std::fs::write(path, clauses::blessed(&list.text, &met)).unwrap();
        return;
    }
    let mut faults = clauses::list_faults(&list.text, &met);
    faults.extend(sources().flat_map(|it| clauses::tag_faults(&it.path, &it.text, &list.text)));
    none_of(faults);
}
