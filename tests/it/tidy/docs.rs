//! Rules for documents: links lead somewhere, decisions are dated and listed.

use crate::support::fault::Fault;

/// The page that lists all decisions.
pub(super) const DECISIONS_INDEX: &str = "docs/decisions/README.md";

const SECTIONS: [&str; 3] = ["## Context", "## Decision", "## Consequences"];

/// Faults of one decision, given the page that should list it; none for other documents.
pub(super) fn decision_faults(path: &str, text: &str, index: &str) -> Vec<Fault> {
    let Some(name) = path.strip_prefix("docs/decisions/") else { return Vec::new() };
    if path == DECISIONS_INDEX {
        return Vec::new();
    }
    let mut faults = Vec::new();
    if !is_numbered(name) {
        faults.push(Fault::whole(path, "a decision's file is `NNNN-a-few-words.md`"));
    }
    if !index.contains(&format!("]({name})")) {
        faults.push(Fault::whole(path, format!("is not linked from {DECISIONS_INDEX}")));
    }
    for field in ["- Date: ", "- Status: "] {
        if !text.lines().any(|line| line.starts_with(field)) {
            faults.push(Fault::whole(path, format!("needs a line `{}…`", field.trim_start())));
        }
    }
    for section in SECTIONS {
        if !text.lines().any(|line| line == section) {
            faults.push(Fault::whole(path, format!("needs a section `{section}`")));
        }
    }
    faults
}

fn is_numbered(name: &str) -> bool {
    name.split_once('-').is_some_and(|(number, words)| {
        number.len() == 4
            && number.bytes().all(|byte| byte.is_ascii_digit())
            && words.ends_with(".md")
    })
}

/// Links of one document to files that are not among `paths`.
pub(super) fn link_faults(path: &str, text: &str, paths: &[&str]) -> Vec<Fault> {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut faults = Vec::new();
    let mut in_code = false;
    for (index, line) in text.lines().enumerate() {
        in_code ^= line.trim_start().starts_with("```");
        if in_code {
            continue;
        }
        for target in targets(line) {
            let leads = resolve(folder, target).is_some_and(|full| exists(&full, paths));
            if !leads {
                faults.push(Fault::at(path, index, format!("link to nothing: {target}")));
            }
        }
    }
    faults
}

/// The files that a line links to, without anchors; not other sites, not places in the same page.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .filter(|target| !target.contains("://") && !target.starts_with("mailto:"))
        .filter_map(|target| target.split('#').next())
        .filter(|target| !target.is_empty())
}

/// `target` as seen from `folder`; `None` if it leaves the repository.
fn resolve(folder: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.trim_end_matches('/').split('/') {
        match part {
            "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

fn exists(full: &str, paths: &[&str]) -> bool {
    let folder = format!("{full}/");
    full.is_empty() || paths.iter().any(|path| *path == full || path.starts_with(&folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# 0001. A\n- Date: 2026-01-01\n- Status: accepted\n\n\
                        ## Context\n\n## Decision\n\n## Consequences\n";

    #[test]
    fn a_decision_is_listed_dated_and_complete() {
        let index = "- [0001](0001-a.md)";
        assert_eq!(decision_faults("docs/decisions/0001-a.md", GOOD, index), []);
        for missing in ["- Date: 2026-01-01\n", "- Status: accepted\n", "## Context\n"] {
            let text = GOOD.replace(missing, "");
            let faults = decision_faults("docs/decisions/0001-a.md", &text, index);
            assert_eq!(faults.len(), 1, "without {missing:?}: {faults:?}");
        }
        let faults = decision_faults("docs/decisions/0002-b.md", GOOD, index);
        assert!(faults[0].what.contains("not linked"), "{faults:?}");
        let faults = decision_faults("docs/decisions/a.md", GOOD, "[a](a.md)");
        assert!(faults[0].what.contains("NNNN"), "{faults:?}");
    }

    #[test]
    fn a_link_to_nothing_is_caught() {
        let paths = ["README.md", "docs/live.md", "docs/decisions/0001-a.md"];
        let check = |path, text, expected: usize| {
            let faults = link_faults(path, text, &paths);
            assert_eq!(faults.len(), expected, "{text:?}: {faults:?}");
        };
        check("README.md", "[a](docs/live.md#frames) and [b](docs/decisions/)", 0);
        check("README.md", "[a](docs/gone.md) [b](docs/live.md) [c](x.md)", 2);
        check("docs/live.md", "[up](../README.md), [d](decisions/0001-a.md)", 0);
        check("docs/live.md", "[out](../../README.md)", 1);
        check("README.md", "[web](https://example.com/x) [here](#top)", 0);
        check("README.md", "```\n[not](a-link)\n```\n", 0);
    }
}
