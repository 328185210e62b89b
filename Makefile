# The verbs of the house. Each installs what it needs itself.
SHELL := /bin/bash
.DEFAULT_GOAL := help
DIR ?= dev
SEED ?=
CARGO ?= cargo

.PHONY: help build dev test check fix sim sim-long faults former nightly load load-acd load-cluster packages

help: ## What there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

build: ## target/release/cordboard and target/release/cordctl
	$(CARGO) build --release --locked -p cordboard -p cordctl

dev: ## A whole cluster on this machine: make dev [DIR=dev]
	$(CARGO) build --release --locked -p cordboard -p cordctl
	target/release/cordboard dev --dir $(DIR) --demo

test: packages ## Everything that must hold, on real processes, real SIP peers and real disks
	tests/run.sh

check: ## Formatting, lints, documents
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

fix: ## Format and mend what can be mended by a machine
	$(CARGO) fmt --all
	$(CARGO) clippy --workspace --all-targets --fix --allow-dirty --allow-staged

sim: ## 200 bad minutes of a whole system in one thread; make sim SEED=42 plays one and tells its story
	$(CARGO) run -q --locked -p sim -- $(if $(SEED),--seed $(SEED))

sim-long: ## The same with ten bad minutes each, as long as you like: make sim-long SEEDS=5000
	$(CARGO) run -q --release --locked -p sim -- --long --seeds $(or $(SEEDS),1000)

faults: packages build ## Every fault under load, each proved, then ten by dice: make faults [SEED=42] [FAULTS="--only leader-killed"]
	$(CARGO) run --release --locked -p tests --bin faults -- $(if $(SEED),--seed $(SEED)) $(FAULTS)

FORMER ?= 98ba4b5
former: ## The former release as the upgrade under load wants it: make former [FORMER=COMMIT]
	test -d target/former/$(FORMER) || git worktree add --detach target/former/$(FORMER) $(FORMER)
	cd target/former/$(FORMER) && CARGO_TARGET_DIR=../build $(CARGO) build --release --locked -p cordboard

nightly: packages build former ## What takes too long for every change: a day of simulated faults, all real ones, an upgrade, an hour of faults by dice
	$(CARGO) run -q --release --locked -p sim -- --long --seeds $(or $(SEEDS),150)
	$(CARGO) run --release --locked -p tests --bin faults
	$(CARGO) run --release --locked -p tests --bin faults -- --former target/former/build/release/cordboard
	$(CARGO) run --release --locked -p tests --bin faults -- --minutes $(or $(MINUTES),60) $(if $(SEED),--seed $(SEED))

load: packages build ## Figures of docs/performance.md, side by side in one run
	$(CARGO) run --release --locked -p tests --bin load

load-cluster: packages build ## The replication beside etcd in one run: writes per CPU-second, failover, idle shards, a node's return
	$(CARGO) run --release --locked -p tests --bin load-cluster -- $(LOAD)

load-acd: ## How fast the distribution core is, how it grows, what a row and a snapshot cost; the last line is JSON
	$(CARGO) run -q --release --locked -p acd --example load

packages:
	@tests/packages.sh
