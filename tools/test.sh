#!/usr/bin/env bash
# Runs every test; called by make test, which has built the binaries, the tools and the Python environment.
set -euo pipefail
cd "$(dirname "$0")/.."
export TREELINE_PYTHON=$PWD/.venv/bin/python

stage() { printf '\n== %s (%s)\n' "$*" "$(date +%T)"; }

# Only running the linked binaries shows two Arrow lines registering one protocol file twice.
stage "both binaries start"
bin/scorer version
bin/ctl version

stage "go test, all packages but the whole-server tests"
go list ./... | grep -v '/internal/app$' | xargs go test -timeout 30m

stage "Python tests"
.venv/bin/python -m pytest -q python/tests

stage "whole server: kill -9 at random points, races, full disk (figures are printed)"
go test -v -timeout 20m ./internal/app | grep -vE '^=== '

# What waits for Python and MLflow most of the time, and the gates, whose tests compute, run under the detector in make soak.
stage "go test -race, where goroutines meet"
go test -race -short -timeout 20m ./engine ./frame/... ./scoring/... ./store/... ./monitor ./server/... ./client/... ./internal/service/... \
	./registry/local/... ./lifecycle/{workflow,outbox,orchestration,trigger,schedule,promotion}/...

# Kernels have no goroutines, but pointers of all kinds.
stage "pointers of kernels"
go test -short -gcflags=github.com/treeline-ml/treeline/...=-d=checkptr ./engine/internal/kernel

# GOAMD64=v3 lets the compiler fuse multiply and add: bits must not change.
if grep -qw fma /proc/cpuinfo 2>/dev/null && grep -qw bmi2 /proc/cpuinfo; then
	stage "GOAMD64=v3, where bits count"
	GOAMD64=v3 go test -short -timeout 15m ./forest/... ./internal/libm/... ./engine/... ./frame/...
	GOAMD64=v3 go test -timeout 15m -run 'Golden|Live|Contributions' ./loader
fi

# The suite of engine/enginetest runs every tier that the processor has; here the libraries' own golden rows meet those that are
# not chosen by themselves, and the build without assembly.
stage "golden rows in every tier, and without assembly"
tiers=()
grep -qw avx2 /proc/cpuinfo 2>/dev/null && tiers=(portable)
grep -qw avx512_vbmi2 /proc/cpuinfo 2>/dev/null && grep -qw gfni /proc/cpuinfo && tiers=(portable avx2)
for tier in "${tiers[@]}"; do
	TREELINE_ENGINE_TIER=$tier go test -run Golden ./loader
done
go test -tags purego -short ./engine/... ./internal/rowhash && go test -tags purego -run Golden ./loader

stage "the main job, as make run does it"
mkdir -p var
SCORER_ADDR=127.0.0.1:27070 SCORER_ADMIN_ADDR=127.0.0.1:27071 examples/churn/run.sh >var/run.log 2>&1 || {
	tail -40 var/run.log
	exit 1
}
.venv/bin/python examples/churn/check.py var/demo

stage "the lifecycle by itself, as make run-lifecycle does it"
SCORER_ADDR=127.0.0.1:27072 SCORER_ADMIN_ADDR=127.0.0.1:27073 MLFLOW_PORT=27074 examples/lifecycle/run.sh >var/lifecycle.log 2>&1 || {
	tail -80 var/lifecycle.log
	exit 1
}
.venv/bin/python examples/lifecycle/check.py var/lifecycle
stage "done"
