//! What a bridge subscribes to: no filter twice, nor one that another one covers, since a broker may
//! send a publish once for each filter that it matches.

/// Whether `wide` matches every topic that `narrow` matches.
fn covers(wide: &str, narrow: &str) -> bool {
    let mut narrow = narrow.split('/');
    for level in wide.split('/') {
        match (level, narrow.next()) {
            ("#", _) => return true,
            ("+", Some(other)) if other != "#" => {}
            (literal, Some(other)) if literal == other => {}
            _ => return false,
        }
    }
    narrow.next().is_none()
}

/// `filters`, in order, without those that others cover.
pub(crate) fn distinct(filters: Vec<String>) -> Vec<String> {
    let is_covered = |index: usize| {
        filters.iter().enumerate().any(|(other, wide)| {
            // Of two that are the same, the first stays.
            other != index
                && covers(wide, &filters[index])
                && (other < index || !covers(&filters[index], wide))
        })
    };
    let kept: Vec<bool> = (0..filters.len()).map(|index| !is_covered(index)).collect();
    filters
        .into_iter()
        .zip(kept)
        .filter_map(|(filter, is_kept)| is_kept.then_some(filter))
        .collect()
}

/// How `now` differs from `before`: what is new, and what is gone.
pub(crate) fn difference(before: &[String], now: &[String]) -> (Vec<String>, Vec<String>) {
    let without = |all: &[String], others: &[String]| {
        all.iter().filter(|it| !others.contains(it)).cloned().collect()
    };
    (without(now, before), without(before, now))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(filters: &[&str], expected: &[&str]) {
        let filters = filters.iter().map(|&it| it.to_owned()).collect();
        assert_eq!(distinct(filters), expected);
    }

    #[test]
    fn no_filter_is_there_twice() {
        check(&["a/+", "b", "a/+"], &["a/+", "b"]);
        check(&["a/b", "a/+", "a/#"], &["a/#"]);
        check(&["#", "a"], &["#"]);
        check(&["a/+/c", "a/b/+"], &["a/+/c", "a/b/+"]);
        check(&["a/#", "a"], &["a/#"]);
        check(&["+", "a/b"], &["+", "a/b"]);
    }

    #[test]
    fn what_changes_is_subscribed_and_unsubscribed() {
        let of = |all: &[&str]| all.iter().map(|&it| it.to_owned()).collect::<Vec<_>>();
        let found = difference(&of(&["a", "b"]), &of(&["b", "c"]));
        assert_eq!(found, (of(&["c"]), of(&["a"])));
    }
}
