#!/usr/bin/env bash
# make test: builds once, checks style, runs every test. One target folder, one profile, so that nothing is built twice.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo fmt --all --check
cargo clippy --workspace --all-targets --locked -- -D warnings
# The binaries that tests start as real processes; with the tests, so that both have the same features and nothing is
# built twice.
cargo build --workspace --bins --tests --locked
cargo nextest run --workspace --locked
cargo test --workspace --doc --locked
