#!/usr/bin/env bash
# Writes <name>_amd64.s and <name>_amd64.go of this folder with every generator _gen/<name>, or those named.
set -euo pipefail
cd "$(dirname "$0")/_gen"
names=("$@")
[ ${#names[@]} -gt 0 ] || names=(*/main.go)
old=$(mktemp -d)
trap 'rm -rf "$old"' EXIT
for name in "${names[@]%/main.go}"; do
	for out in "../${name}_amd64.s" "../${name}_amd64.go"; do
		[ ! -f "$out" ] || cp "$out" "$old/"
	done
	# The generator's file names are in the first line of what it writes, so it writes in place.
	go run -mod=readonly "./$name" -out "../${name}_amd64.s" -stubs "../${name}_amd64.go" -pkg kernel || {
		rm -f "../${name}_amd64.s" "../${name}_amd64.go"
		cp "$old/${name}_amd64".* .. 2>/dev/null || true
		exit 1
	}
done
