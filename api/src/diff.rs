//! The difference between two texts, as `diff -u` shows it.

use std::time::Duration;

use similar::TextDiff;

/// How long to look for the smallest difference; after that, a larger one will do.
const PATIENCE: Duration = Duration::from_millis(50);

/// What leads from `before` to `after`, in the unified format, which calls them `names`; empty if they
/// are the same.
pub(crate) fn unified(before: &str, after: &str, names: (&str, &str)) -> String {
    if before == after {
        return String::new();
    }
    let diff = TextDiff::configure().timeout(PATIENCE).diff_lines(before, after);
    diff.unified_diff().context_radius(3).header(names.0, names.1).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_as_diff_shows_it() {
        let shown = unified("a\nb\nc\n", "a\nB\nc", ("1", "2"));
        assert_eq!(
            shown,
            "--- 1\n+++ 2\n@@ -1,3 +1,3 @@\n a\n-b\n-c\n+B\n+c\n\\ No newline at end of file\n"
        );
        assert_eq!(unified("a", "a", ("1", "2")), "");
        assert_eq!(unified("", "a\n", ("0", "1")), "--- 0\n+++ 1\n@@ -0,0 +1 @@\n+a\n");
    }
}
