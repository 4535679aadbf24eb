//! The files of this repository as text, for the tests that read them.

use std::fs;
use std::path::Path;
use std::process::Command;

/// What is built or fetched, never written by hand. (`.git` is a file in a second worktree.)
const NOT_OURS: [&str; 4] = [".git", "target", "node_modules", "dist"];

/// A text file of the repository.
#[derive(Debug)]
pub(crate) struct TextFile {
    /// Relative to the repository, with `/`.
    pub(crate) path: String,
    /// What it says.
    pub(crate) text: String,
}

/// Every text file that is in the repository, or would be if all were committed now.
///
/// # Panics
/// If there is none, or one cannot be read.
pub(crate) fn files() -> Vec<TextFile> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files: Vec<_> = paths().into_iter().filter_map(|path| read(root, path)).collect();
    assert!(files.iter().any(|file| file.path == "Cargo.toml"), "found no sources in {root:?}");
    files
}

/// The paths of all files, pictures too, in order; without those that are deleted but not yet committed.
pub(crate) fn paths() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = listed_by_git(root).unwrap_or_else(|| walked(root));
    paths.retain(|path| root.join(path).is_file());
    paths.sort();
    paths
}

/// `None` where there is no git, or no repository: in an unpacked archive. Whoever owns the files,
/// we only list them, so git need not trust their owner.
fn listed_by_git(root: &Path) -> Option<Vec<String>> {
    let output = Command::new("git")
        .args(["-c", "safe.directory=*"])
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .ok()?;
    let text = output.status.success().then(|| String::from_utf8(output.stdout).ok())??;
    Some(text.split_terminator('\0').map(str::to_owned).collect())
}

fn walked(root: &Path) -> Vec<String> {
    let mut paths = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder)).expect("a folder of ours can be read") {
            let entry = entry.expect("a folder of ours can be read");
            let name = entry.file_name().into_string().expect("our file names are UTF-8");
            let kind = entry.file_type().expect("an entry has a type");
            if NOT_OURS.contains(&name.as_str()) {
                continue;
            }
            if kind.is_dir() {
                folders.push(format!("{folder}{name}/"));
            } else if kind.is_file() {
                paths.push(format!("{folder}{name}"));
            }
        }
    }
    paths
}

/// `None` for what is no text.
fn read(root: &Path, path: String) -> Option<TextFile> {
    let bytes = fs::read(root.join(&path)).expect("a file of ours can be read");
    String::from_utf8(bytes).ok().map(|text| TextFile { path, text })
}

#[test]
fn walking_finds_what_git_lists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let walked = walked(root);
    for file in files() {
        assert!(walked.contains(&file.path), "{} was not walked", file.path);
    }
}
