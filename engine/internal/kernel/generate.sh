#!/usr/bin/env bash
# Writes <name>_amd64.s and <name>_amd64.go of this folder with every generator _gen/<name>, or those named.
set -euo pipefail
cd "$(dirname "$0")/_gen"
names=("$@")
[ ${#names[@]} -gt 0 ] || names=(*/main.go)
for name in "${names[@]%/main.go}"; do
	go run -mod=readonly "./$name" -out "../${name}_amd64.s" -stubs "../${name}_amd64.go" -pkg kernel
done
