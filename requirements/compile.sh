#!/bin/sh
# Renews the hashed locks. Needs uv. No index lines, no release younger than seven days.
set -eu
cd "$(dirname "$0")/.."
cutoff=$(date -u -d '7 days ago' +%Y-%m-%dT00:00:00Z)
lock() { out=$1; shift; uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
    --exclude-newer "$cutoff" "$@" --output-file "requirements/$out" pyproject.toml; }
lock run.lock --extra test
lock dev.lock --extra test --extra dev --constraint requirements/run.lock
