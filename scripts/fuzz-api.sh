#!/usr/bin/env bash
# Sends the registry what its OpenAPI document allows and what it does not, as an admin and as a user: no answer may be a 5xx, and each must
# be as the document says. With schemathesis from PyPI, in a virtual environment below target/.
#
#   scripts/fuzz-api.sh [EXAMPLES]     so many for each operation (15)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
examples=${1:-15}
target=${CARGO_TARGET_DIR:-target}
palm=$(realpath -m "${PALM_TEST_PROGRAM:-$target/debug/palm}")
[ -n "${PALM_TEST_PROGRAM:-}" ] || cargo build --workspace --bin palm --quiet --locked

venv=$(realpath -m "$target")/schemathesis-venv
if ! "$venv/bin/st" --version >/dev/null 2>&1; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check 'schemathesis>=4,<5'
fi

folder=$(mktemp -d)
trap 'kill "${registry:-}" 2>/dev/null || true; rm -rf "$folder"' EXIT
admin=$("$palm" registry add-user admin --admin --store "$folder/store.db")
user=$("$palm" registry add-user user --store "$folder/store.db")
"$palm" registry --listen 127.0.0.1:0 --store "$folder/store.db" >"$folder/log" 2>&1 &
registry=$!
url=
for _ in $(seq 600); do
    url=$(grep -o 'http://127.0.0.1:[0-9]*$' "$folder/log" | tail -1) && [ -n "$url" ] && break
    sleep 0.1
done
[ -n "$url" ] || { cat "$folder/log"; exit 1; }

checks=not_a_server_error,response_schema_conformance,status_code_conformance,content_type_conformance
# Streams do not end by themselves. An admin that deletes tokens and users would soon delete its own.
for who in admin user; do
    [ "$who" = admin ] && mine=(--exclude-method DELETE --exclude-path-regex '/(events|follow|session|password)') ||
        mine=(--exclude-path-regex '/(events|follow)')
    echo "as $who"
    # It leaves a cache where it runs.
    cd "$folder"
    timeout 300 "$venv/bin/st" run "$url/api/v1/openapi.json" -H "Authorization: Bearer ${!who}" --checks "$checks" \
        --max-examples "$examples" "${mine[@]}"
done
