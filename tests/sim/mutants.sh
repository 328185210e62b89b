#!/usr/bin/env bash
# Writes mutants.md anew: for each mutant the first of a hundred seeds that catches it. Run it after a change of the dice.
set -euo pipefail
cd "$(dirname "$0")"
rows=$(cargo run -q -p sim -- --mutants --seeds 100) || true
{
  sed '/^| `/,$d' mutants.md
  cut -c1-260 <<<"$rows"
} >mutants.new
mv mutants.new mutants.md
