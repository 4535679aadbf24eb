//! Makes the folders of this room, which hold raw telemetry: nobody else may look into them.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// Makes `dir` for its owner only, if it is not there; the folders above it as usual.
///
/// # Errors
/// If it cannot be made.
pub(crate) fn make_private(dir: &Path) -> io::Result<()> {
    if let Some(parent) = dir.parent() {
        std::fs::create_dir_all(parent)?;
    }
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn nobody_else_may_look_into_it() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("above/log");
        make_private(&inner).unwrap();
        make_private(&inner).unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&inner), 0o700);
        assert_ne!(mode(inner.parent().unwrap()) & 0o055, 0, "PostgreSQL may pass there");
    }
}
