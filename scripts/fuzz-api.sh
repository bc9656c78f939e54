#!/usr/bin/env bash
# Sends the registry what its OpenAPI document allows and what it does not, as an admin and as a user: no answer may be a 5xx, each must
# be as the document says, and everything must be done at least once: most requests are about things that are there (fuzz_api.py). With
# schemathesis from PyPI, in a virtual environment below target/.
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

export FUZZ_API_ANSWERS=$folder/answers PYTHONPATH=$PWD/scripts PYTHONDONTWRITEBYTECODE=1
PALM_TOKEN=$admin python3 -m fuzz_api seed "$url" admin user >"$folder/admin.json"
PALM_TOKEN=$user python3 -m fuzz_api seed "$url" user admin >"$folder/user.json"

checks=not_a_server_error,response_schema_conformance,status_code_conformance,content_type_conformance
failed=
for who in admin user; do
    echo "as $who"
    # It leaves a cache where it runs. Streams do not end by themselves.
    cd "$folder"
    FUZZ_API_SEED=$folder/$who.json SCHEMATHESIS_HOOKS=fuzz_api timeout 300 "$venv/bin/st" run "$url/api/v1/openapi.json" \
        -H "Authorization: Bearer ${!who}" --checks "$checks" --max-examples "$examples" --exclude-path-regex '/(events|follow)' || failed=yes
done
python3 -m fuzz_api told
[ -z "$failed" ]
