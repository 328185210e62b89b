#!/usr/bin/env bash
# make test: builds once, checks style, runs every test. One target folder, one profile, so that nothing is built twice.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo fmt --all --check
cargo clippy --workspace --all-targets --locked -- -D warnings
# The binaries that tests start as real processes.
cargo build --workspace --bins --locked
cargo nextest run --workspace --locked
cargo test --workspace --doc --locked
