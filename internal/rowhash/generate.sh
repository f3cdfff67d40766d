#!/usr/bin/env bash
# Writes sum16_amd64.s and sum16_amd64.go with the generator in _gen.
set -euo pipefail
cd "$(dirname "$0")/_gen"
go run -mod=readonly . -out ../sum16_amd64.s -stubs ../sum16_amd64.go -pkg rowhash
