//! Nothing in the repository names the machine or the package mirror that it was made with.

use crate::support::fault::Fault;

/// Put together here so that this file does not hold them.
const NEVER: [&str; 4] = [
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/fa", "rm/"),
    concat!("arti", "factory"),
];

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Faults of one file of any kind.
pub(super) fn faults(path: &str, text: &str) -> Vec<Fault> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let of_line = |line: &str| -> Option<String> {
        if let Some(word) = NEVER.into_iter().find(|word| line.contains(word)) {
            return Some(format!("names a machine: `{word}`"));
        }
        let line = line.trim_start();
        match name {
            "Cargo.lock" => line
                .strip_prefix("source = ")
                .filter(|source| source.trim_matches('"') != CRATES_IO)
                .map(|source| format!("crates come from crates.io, not {source}")),
            "package-lock.json" => line
                .starts_with("\"resolved\"")
                .then(|| "names a registry: lock with omit-lockfile-registry-resolved".to_owned()),
            _ => None,
        }
    };
    text.lines()
        .enumerate()
        .filter_map(|(index, line)| of_line(line).map(|what| Fault::at(path, index, what)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, text: &str, expected: usize) {
        let faults = faults(path, text);
        assert_eq!(faults.len(), expected, "{text:?} in {path}: {faults:?}");
    }

    #[test]
    fn machine_paths_are_caught() {
        for word in NEVER {
            check("docs/a.md", &format!("see\n{word}x\n"), 1);
        }
        check("docs/a.md", "networks/a and framework\n", 0);
    }

    #[test]
    fn lock_files_name_no_mirror() {
        check("Cargo.lock", &format!("source = \"{CRATES_IO}\"\n"), 0);
        check("Cargo.lock", "source = \"registry+https://mirror.example/index\"\n", 1);
        check("api/console/package-lock.json", "  \"resolved\": \"https://mirror.example\",\n", 1);
        check("docs/a.md", "\"resolved\"\n", 0);
    }
}
