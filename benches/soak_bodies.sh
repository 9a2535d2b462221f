#!/usr/bin/env bash
# One download and one upload of 5 GB (or of $1 GB) through both processes; fails when their memory grows with it.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PATH:/usr/sbin:/sbin"
command -v nginx >/dev/null || {
  echo "error: nginx is missing; run .ci/install" >&2
  exit 1
}
cargo build --release --locked --bin adit-server --bin adit >&2
cargo build --release --locked -p adit-testkit --example load >&2
exec python3 -B benches/soak_bodies.py "${1:-5}"
