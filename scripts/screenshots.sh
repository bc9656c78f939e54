#!/usr/bin/env bash
# Writes the pictures of the registry's pages in docs/screenshots/: starts a registry, two nodes and an example cluster with real
# processes, and has a headless Chromium look at them. Needs python3, chromium and chromedriver (Debian: chromium chromium-driver).
#
#   scripts/screenshots.sh [FOLDER]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
for command in python3 chromium chromedriver; do
    command -v "$command" >/dev/null || { echo "missing: $command (Debian: apt-get install chromium chromium-driver)" >&2; exit 1; }
done
cargo build --quiet --package palm-cli
exec python3 scripts/screenshots.py "${CARGO_TARGET_DIR:-target}/debug/palm" "${1:-docs/screenshots}"
