#!/usr/bin/env bash
# Runs every fuzz target for a while: tools/fuzz.sh [SECONDS EACH, default 60]. make test replays their corpora only.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
grep -rlE '^func Fuzz' --include='*_test.go' . | xargs -n1 dirname | sort -u | while read -r package; do
	go test -list '^Fuzz' "$package" | grep '^Fuzz' | while read -r target; do
		echo "== $package $target"
		# Minimising an interesting input may take longer than finding it.
		go test -run '^$' -fuzz "^$target\$" -fuzztime "${seconds}s" -fuzzminimizetime 10x "$package"
	done
done
