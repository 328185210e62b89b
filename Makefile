# The verbs of the house. Each installs what it needs itself.
SHELL := /bin/bash
.DEFAULT_GOAL := help
DIR ?= dev
SEED ?=
CARGO ?= cargo

.PHONY: help build dev test check fix load packages

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

load: packages build ## Figures of docs/performance.md, side by side in one run
	$(CARGO) run --release --locked -p tests --bin load

packages:
	@tests/packages.sh
