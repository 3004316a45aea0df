#!/bin/sh
# Puts containers of the newest image in the place of those that run, one by one and without losing a
# request; `make deploy` calls it. The proxy must run: it finds the containers that there are.
#
# A new one must be ready before an old one is told to stop. Where it never is, or the migrations fail,
# the new one is removed and the old ones stay.
set -eu
engine=${ENGINE:-docker}

say() { echo "deploy: $*" >&2; }
containers() { "$engine" compose ps --quiet web; }

# Waits for a container to take requests, as long as LIFESPAN_STARTUP_TIMEOUT and Django itself may take.
ready() {
    for _ in $(seq 80); do
        "$engine" exec "$1" python -I -S serving/healthcheck.py /readyz >/dev/null 2>&1 && return
        sleep 0.5
    done
    return 1
}

if [ -z "$("$engine" compose ps --quiet proxy 2>/dev/null)" ]; then
    say "no proxy runs; set COMPOSE_FILE=compose.yaml:compose.proxy.yaml in .env, and \`make up\`"
    exit 1
fi

"$engine" compose run --rm migrate

for old in $(containers); do
    before=$(containers)
    count=$(($(echo "$before" | wc -l) + 1))
    "$engine" compose up --detach --no-deps --no-recreate --scale "web=$count" web
    new=$(containers | grep -vxF "$before")
    if ! ready "$new"; then
        say "the new container does not become ready, so it is removed; it says:"
        "$engine" logs --tail 20 "$new" >&2
        "$engine" rm --force "$new" >/dev/null
        exit 1
    fi
    "$engine" stop "$old" >/dev/null
    "$engine" rm "$old" >/dev/null
    say "$(printf %.12s "$new") is in the place of $(printf %.12s "$old")"
done
