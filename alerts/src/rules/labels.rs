//! Labels that the rules file gives to devices, by patterns of their names.

use std::sync::Arc;

use bellwire_model::{DeviceId, Labels};

/// A `[[labels]]` entry: labels for the devices whose name fits a pattern.
#[derive(Clone, Debug)]
pub(crate) struct LabelRule {
    pub(crate) device: Glob,
    pub(crate) set: Vec<(Arc<str>, Arc<str>)>,
}

/// The labels that `entries` give `device`: where two give the same label, the later one wins.
pub(crate) fn labels_of(entries: &[LabelRule], device: &DeviceId) -> Labels {
    let mut labels = Labels::default();
    for entry in entries.iter().filter(|entry| entry.device.matches(device.as_str())) {
        for (name, value) in &entry.set {
            labels.set(name, value);
        }
    }
    labels
}

/// A pattern for names: `*` is any text, `?` is any one character, all else is itself.
#[derive(Clone, Debug)]
pub(crate) struct Glob(Box<[char]>);

impl Glob {
    pub(crate) fn new(pattern: &str) -> Self {
        Self(pattern.chars().collect())
    }

    /// Whether it fits all of `name`. Takes at most pattern × name steps and no recursion.
    pub(crate) fn matches(&self, name: &str) -> bool {
        let (mut pattern, mut rest) = (0, name.chars());
        // The last `*`, and what was left of the name when it took nothing.
        let mut star: Option<(usize, std::str::Chars<'_>)> = None;
        loop {
            let before = rest.clone();
            match (self.0.get(pattern), rest.next()) {
                (Some('*'), _) => {
                    star = Some((pattern, before.clone()));
                    rest = before;
                    pattern += 1;
                }
                (None, None) => return true,
                (Some('?'), Some(_)) => pattern += 1,
                (Some(expected), Some(found)) if *expected == found => pattern += 1,
                (_, found) => {
                    // Let the last `*` take one character more.
                    let Some((at, mut more)) = star.take() else { return false };
                    if found.is_none() || more.next().is_none() {
                        return false;
                    }
                    rest = more.clone();
                    pattern = at + 1;
                    star = Some((at, more));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(pattern: &str, name: &str) -> bool {
        Glob::new(pattern).matches(name)
    }

    #[test]
    fn globs_fit_whole_names() {
        assert!(fits("freezer-*", "freezer-1"));
        assert!(fits("freezer-*", "freezer-"));
        assert!(!fits("freezer-*", "a-freezer-1"));
        assert!(fits("*", ""));
        assert!(fits("*-?", "a-b-c"));
        assert!(!fits("*-?", "a-b-cd"));
        assert!(fits("a*b*c", "a--b-b--c"));
        assert!(!fits("a*b*c", "a--c--b"));
        assert!(fits("f?ü", "füü"));
        assert!(!fits("?", ""));
        assert!(!fits("[a]", "a"));
        assert!(fits("", ""));
        assert!(fits(&"*a".repeat(50), &"a".repeat(256)));
        assert!(!fits(&("*a".repeat(50) + "b"), &"a".repeat(256)));
    }

    #[test]
    fn the_later_entry_wins() {
        let entry = |device, name: &str, value: &str| LabelRule {
            device: Glob::new(device),
            set: vec![(name.into(), value.into())],
        };
        let entries = [entry("*", "site", "x"), entry("f-*", "site", "y"), entry("g", "site", "z")];
        let labels = labels_of(&entries, &DeviceId::new("f-1").expect("valid"));
        assert_eq!(labels.iter().collect::<Vec<_>>(), [("site", "y")]);
        assert_eq!(labels.get("site"), Some("y"));
    }
}
