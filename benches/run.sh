#!/usr/bin/env bash
# The figures: builds for release, then measures Adit beside its yardsticks over one upstream, on loopback only.
#
#   make bench                                      five rounds of three seconds a case, all cases
#   make bench-quick                                one round of one second: does the bench itself work?
#   benches/run.sh --page docs/benchmarks.md        and the page with what came of it
#   benches/run.sh --rounds 9 --cases get1k,single --peers nginx2,adit
#   benches/run.sh --help
#
# Needs nginx and wrk (`.ci/install --bench` installs what is missing). Counts instructions by perf where the machine has
# counters, else by benches/instructions.py. bore, rathole and frp join in where they are on PATH (`.ci/install --peers`).
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PATH:/usr/sbin:/sbin:${CARGO_TARGET_DIR:-$PWD/target}/peers/bin"
for command in nginx wrk python3 cargo; do
  command -v "$command" >/dev/null || {
    echo "error: $command is missing; run .ci/install --bench" >&2
    exit 1
  }
done
cargo build --release --locked --bin adit-server --bin adit >&2
cargo build --release --locked -p adit-testkit --example load >&2
exec python3 -B benches/bench.py "$@"
