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

# Seconds since $1, which EPOCHREALTIME was then.
since() {
    awk -v a="$1" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }'
}

# Hashes the names and contents of the files whose NUL-separated paths come on stdin.
hash_files() {
    LC_ALL=C sort -z | xargs -0 -r sha256sum | sha256sum | cut -d' ' -f1
}

# In a folder with a package.json: runs "$@" unless its stamp $1 already says $2.
once() {
    local stamp=node_modules/.$1 want=$2
    shift 2
    [[ $(cat "$stamp" 2>/dev/null || true) != "$want" ]] || return 0
    "$@"
    echo "$want" >"$stamp"
}

# In a folder with a package.json: fetches its packages if the lock file or Node has changed.
fetch_packages() {
    once fetched "$(printf '%s\0' package.json package-lock.json | hash_files) node $(node --version)" \
        npm ci --no-audit --no-fund
}
