#!/usr/bin/env bash
# A tour of the HTTP door with curl, which fails where an answer is wrong.
#
#     tidings serve --data data --definitions definitions.yaml
#     examples/curl.sh http://127.0.0.1:7380 notes/tour
#
# Everything in that database is deleted.
set -euo pipefail

peer=${1:-http://127.0.0.1:7380}
database="$peer/v1/databases/$(sed 's,/,%2F,g' <<<"${2:-notes/tour}")"

# is EXPECTED ACTUAL
is() {
    [[ $1 == "$2" ]] || { echo "expected $1, and got $2" >&2; exit 1; }
}
status() { curl --silent --output /dev/null --write-out '%{http_code}' "$@"; }
body() { curl --silent --show-error --fail-with-body "$@"; }

curl --silent --output /dev/null --request DELETE "$database"
is 404 "$(status "$database/keys/greeting")"
is 200 "$(status --request PUT --data-binary hello "$database/keys/greeting")"
is hello "$(body "$database/keys/greeting")"
is 412 "$(status --request PUT --header 'If-None-Match: *' --data-binary again "$database/keys/greeting")"
version=$(curl --silent --head "$database/keys/greeting" | tr -d '\r' | sed -n 's/^etag: //Ip')
is 200 "$(status --request PUT --header "If-Match: $version" --data-binary again "$database/keys/greeting")"
is 304 "$(status --header "If-None-Match: $(curl --silent --head "$database/keys/greeting" | tr -d '\r' | sed -n 's/^etag: //Ip')" "$database/keys/greeting")"
echo "values: as expected"

body --request POST --data '' "$database/keys/n/incr?by=41" >/dev/null
is 42 "$(body --request POST --data '' "$database/keys/n/incr" | sed 's/.*"value":\([0-9]*\).*/\1/')"
echo "counters: as expected"

printf '{"put":{"key":"user:1","value":"a"}}\n{"put":{"key":"user:2","value":"b"}}\n{"delete":{"key":"n"}}\n' |
    body --header 'Content-Type: application/x-ndjson' --data-binary @- "$database/batch" >/dev/null
is 2 "$(body "$database/scan?start=user:&end=user;" | wc -l)"
is 404 "$(status "$database/keys/n")"
echo "batches and scans: as expected"

# A watch, interrupted, goes on with the id of its last event.
first=$(timeout 3 curl --silent --no-buffer "$database/watch" | {
    seen=0
    while read -r line; do
        case $line in
            *ready*) curl --silent --output /dev/null --request PUT --data-binary 1 "$database/keys/watched" ;;
            id:*) seen=$((seen + 1)); [[ $seen -lt 2 ]] || { echo "${line#id: }"; break; } ;;
        esac
    done
} || true)
[[ -n $first ]] || { echo "the watch told nothing" >&2; exit 1; }
curl --silent --output /dev/null --request PUT --data-binary 2 "$database/keys/meanwhile"
told=$({ timeout 3 curl --silent --no-buffer --header "Last-Event-ID: ${first%$'\r'}" "$database/watch" || true; } |
    sed -n '/^data: {"put"/{p;q}')
[[ $told == *meanwhile* ]] || { echo "the watch went on with: $told" >&2; exit 1; }
echo "watches: as expected"

is 200 "$(status --request DELETE "$database")"
is 404 "$(status "$database/keys/greeting")"
echo "drops: as expected"
