# Shared by the scripts beside it: sourced, not run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Says `$1` on stderr in one line and ends the script.
die() {
    printf '%s: %s\n' "$(basename "$0")" "$1" >&2
    exit 1
}

have() {
    command -v "$1" >/dev/null 2>&1
}

# Hashes the names and contents of the files whose NUL-separated paths come on stdin.
hash_files() {
    LC_ALL=C sort -z | xargs -0 -r sha256sum | sha256sum | cut -d' ' -f1
}
