# What a developer types. The work is in scripts and in cargo; this file only gives it names.

.DEFAULT_GOAL := help
.PHONY: help build demo fleet test bench bench-quick soak soak-bodies

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1	/' | expand -t 20

build: ## both binaries, optimised: target/release/adit-server and target/release/adit
	cargo build --release --locked --bin adit-server --bin adit

demo: ## a server, a sample site and an agent in this terminal; Ctrl-C ends them
	@cargo build --locked --bin adit-server --bin adit
	@exec python3 deploy/demo/demo.py

fleet: ## three nodes, Redis, a load balancer and an agent in this terminal; Ctrl-C ends them
	@cargo build --locked --bin adit-server --bin adit
	@exec python3 -B deploy/fleet/fleet.py

test: ## install what is missing, then format, clippy, documentation, tests
	@.ci/test

bench: ## the figures beside other ways to the same upstream: rates, latencies, CPU, memory
	@benches/run.sh

bench-quick: ## one short round of every case: whether the bench itself works
	@benches/run.sh --rounds 1 --seconds 1 --no-instructions

soak: build ## event streams of ten minutes through the release binaries
	@benches/soak.py

soak-bodies: ## a 5 GB download and upload, and the memory they took
	@benches/soak_bodies.sh
