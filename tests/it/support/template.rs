//! A managed database that has been made before. Most tests are not about how it is made, which costs each of
//! them a second and a half; pages that begin with `bellwire serve` (`docs::`) and the store's own tests are.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::UNIX_EPOCH;

use super::service::bare;

/// Gives a data directory that is not there yet a database: a copy of one that `program` has made. The first
/// test that asks has it made; two who are first at once both do, and one is used.
pub(crate) fn give(program: &Path, data_dir: &Path) {
    let template = template(program);
    if !template.exists() {
        make(program, &template);
    }
    std::fs::create_dir_all(data_dir).unwrap();
    copy(&template, &data_dir.join("postgres"));
}

/// Where that of this program is: another build may make another.
fn template(program: &Path) -> PathBuf {
    let about = program.metadata().unwrap();
    let built = about.modified().unwrap().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    folder().join(format!("{built:x}-{:x}", about.len()))
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("databases")
}

fn make(program: &Path, template: &Path) {
    // PostgreSQL may run as another user, who cannot see every folder.
    let number = std::process::id();
    let begun = std::env::temp_dir().join(format!("bellwire-it-{number}-template"));
    let made = bare(program).args(["migrate", "--data-dir"]).arg(&begun).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    std::fs::create_dir_all(folder()).unwrap();
    let copied = template.with_extension(number.to_string());
    copy(&begun.join("postgres"), &copied);
    std::fs::remove_dir_all(begun).unwrap();
    // Those of earlier builds; and if somebody else was first, theirs is as good.
    let earlier = std::fs::read_dir(folder()).unwrap().flatten().map(|entry| entry.path());
    for path in earlier.filter(|path| path.file_stem() != template.file_stem()) {
        let _ = std::fs::remove_dir_all(path);
    }
    if std::fs::rename(&copied, template).is_err() {
        std::fs::remove_dir_all(copied).unwrap();
    }
}

/// With owners and modes.
fn copy(from: &Path, to: &Path) {
    let copied =
        Command::new("cp").args(["--archive", "--reflink=auto"]).arg(from).arg(to).output();
    let copied = copied.unwrap();
    assert!(copied.status.success(), "{copied:?}");
}
