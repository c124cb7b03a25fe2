#!/usr/bin/env bash
# Runs every fuzz target for a while. Usage: FUZZTIME=10s scripts/fuzz.sh [package-pattern]
set -euo pipefail
cd "$(dirname "$0")/.."
for package in $(go list "${1:-./...}"); do
	for target in $(go test -list '^Fuzz' "$package" | grep '^Fuzz' || true); do
		echo "== $package $target"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-10s}" "$package"
	done
done
