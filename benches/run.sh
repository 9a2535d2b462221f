#!/usr/bin/env bash
# The figures: builds for release, then measures Adit beside nginx over one upstream, on loopback only.
#
#   make bench                              five rounds of three seconds
#   ROUNDS=1 SECONDS=2 benches/run.sh       a quick look
#
# Needs nginx and wrk (`.ci/install --bench` installs what is missing); perf, where it counts instructions.
set -euo pipefail
# SECONDS counts by itself in bash: what counts is the value it was given in the environment.
seconds=$(tr '\0' '\n' <"/proc/$$/environ" | sed -n 's/^SECONDS=//p')
cd "$(dirname "$0")/.."
PATH="$PATH:/usr/sbin:/sbin"
for command in nginx wrk python3 cargo; do
  command -v "$command" >/dev/null || {
    echo "error: $command is missing; run .ci/install --bench" >&2
    exit 1
  }
done
cargo build --release --locked --bin adit-server --bin adit >&2
cargo build --release --locked -p adit-testkit --example load >&2
exec python3 -B benches/bench.py --rounds "${ROUNDS:-5}" --seconds "${seconds:-3}" "$@"
