#!/bin/sh
# Makes the secrets of deploy/compose.yaml, each of 256 random bits, in the folder `secrets` beside this
# script. Those that are there already stay. Containers run as users of their own, so the files are readable;
# the folder is its owner's only.
set -eu
cd "$(dirname "$0")"
umask 022
mkdir -p secrets
chmod 700 secrets

random() {
    od -An -N32 -tx1 /dev/urandom | tr -d ' \n'
}

# Writes its standard input to the secret $1, whole or not at all.
keep() {
    cat >"secrets/.$1"
    mv "secrets/.$1" "secrets/$1"
    echo "made $1"
}

for name in postgres_password database_password reader_password grafana_password; do
    [ -s "secrets/$name" ] || random | keep "$name"
done

if ! [ -s secrets/bellwire.toml ]; then
    keep bellwire.toml <<TOML
# The URL of the database, with its password. What else is set, deploy/compose.yaml sets.
[database]
url = "postgres://bellwire:$(cat secrets/database_password)@database:5432/bellwire"
TOML
fi
