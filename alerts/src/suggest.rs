//! Finds the word that was probably meant, for "did you mean" in errors.

/// The candidate nearest to `word`, if it is near enough to be a slip of the fingers.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A third of the word may be wrong, or one letter of two; or its end may be missing.
    let length = word.chars().count();
    let allowed = (length / 3).max(usize::from(length > 1));
    candidates
        .into_iter()
        .map(|candidate| {
            let cut = length > 2 && candidate.starts_with(word);
            (if cut { 1 } else { distance(word, candidate) }, candidate)
        })
        .filter(|&(distance, _)| distance <= allowed)
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

/// `a`, `b` and `c`
pub(crate) fn list(words: &[&str]) -> String {
    match words {
        [] => "nothing".to_owned(),
        [only] => format!("`{only}`"),
        [first @ .., last] => format!("`{}` and `{last}`", first.join("`, `")),
    }
}

/// How many letters must be added, dropped, replaced or swapped with a neighbour to make one word
/// of the other (optimal string alignment). Words over 64 letters are infinitely far.
fn distance(from: &str, to: &str) -> usize {
    let from: Vec<char> = from.to_lowercase().chars().take(65).collect();
    let to: Vec<char> = to.to_lowercase().chars().take(65).collect();
    if from.len().max(to.len()) > 64 {
        return usize::MAX;
    }
    // From nothing to a beginning of `to` it takes its letters; from a beginning of `from` to
    // nothing, as many.
    let mut rows: Vec<Vec<usize>> =
        (0..=from.len()).map(|i| (i..=i + to.len()).collect()).collect();
    for i in 1..=from.len() {
        for j in 1..=to.len() {
            let changed = usize::from(from[i - 1] != to[j - 1]);
            let mut best =
                (rows[i - 1][j] + 1).min(rows[i][j - 1] + 1).min(rows[i - 1][j - 1] + changed);
            if i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[from.len()][to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_word() {
        let keys = ["when", "clear", "keep_firing_for", "severity"];
        for (slip, meant) in [
            ("wehn", Some("when")),
            ("keep_fireing_for", Some("keep_firing_for")),
            ("Severity", Some("severity")),
            ("sev", Some("severity")),
            ("x", None),
            ("threshold", None),
            ("", None),
        ] {
            assert_eq!(nearest(slip, keys), meant, "{slip}");
        }
    }
}
