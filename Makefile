# Every target runs from a fresh clone and installs what it needs, pinned, into a cache outside the clone.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory

CACHE := $(or $(TREELINE_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/treeline)
TOOLS := $(CACHE)/tools-$(shell sha256sum tools/go.mod tools/go.sum | sha256sum | cut -c1-16)
export PATH := $(TOOLS):$(PATH)
PYTHON := .venv/bin/python
KERNEL := engine/internal/kernel
ROWHASH := internal/rowhash
ASSEMBLY := $(ROWHASH)/sum16_amd64.s $(ROWHASH)/sum16_amd64.go $(foreach g,$(wildcard $(KERNEL)/_gen/*/main.go),$(patsubst $(KERNEL)/_gen/%/main.go,$(KERNEL)/%_amd64.s $(KERNEL)/%_amd64.go,$(g)))

.PHONY: help
help: ## Describe the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  %-16s %s\n", $$1, $$2 }'

.PHONY: build
build: ## Build bin/scorer and bin/ctl
	go build -trimpath -buildvcs=auto -ldflags '-s -w' -o bin/ ./cmd/scorer ./cmd/ctl

.PHONY: run
run: build ## The main job on the embedded default: score, promote, score, roll back, re-run (about a minute)
	examples/churn/run.sh

.PHONY: run-lifecycle
run-lifecycle: build python ## The lifecycle by itself: schedules, trainers, gates, drift, MLflow, a rollback (about 2 minutes)
	examples/lifecycle/run.sh
	$(PYTHON) examples/lifecycle/check.py var/lifecycle

.PHONY: test
test: build python lint check-generate ## Everything: lint, generated code, all tests, all build tags
	tools/test.sh

.PHONY: lint
lint: tools ## golangci-lint, gofumpt, go vet, buf lint and breaking changes
	@test -z "$$(gofumpt -l $$(git ls-files '*.go' | grep -v '^gen/'))" || { echo 'not formatted (make format):'; gofumpt -l $$(git ls-files '*.go' | grep -v '^gen/'); exit 1; }
	golangci-lint run ./...
	GOARCH=arm64 go vet ./forest/... ./engine/... ./loader/... ./internal/libm/... ./internal/rowhash/...
	buf lint
	buf breaking --against proto/released.binpb

.PHONY: format
format: tools ## gofumpt all Go files
	gofumpt -w $$(git ls-files '*.go' | grep -v '^gen/')

.PHONY: generate
generate: tools ## Regenerate gen/ from proto/ and the engine's assembly from its generators
	buf generate
	$(KERNEL)/generate.sh
	$(ROWHASH)/generate.sh

.PHONY: check-generate
check-generate: generate ## Fail when committed generated code differs
	@test -z "$$(git status --porcelain gen $(ASSEMBLY))" || { echo 'generated code differs from its source: commit the result of make generate'; git status --short gen $(ASSEMBLY); exit 1; }

.PHONY: release-proto
release-proto: tools ## Freeze the protocol: later changes are checked against it
	buf build -o proto/released.binpb

.PHONY: bench
bench: build python python-bench ## Side by side with every engine, single rows to whole jobs; exit status 1 if a goal is missed (about 40 minutes)
	go run ./bench/compare -pipeline

.PHONY: bench-quick
bench-quick: python-bench ## The engines that goals name, batches of 1 and 100,000 rows (less than 5 minutes once models are there)
	go run ./bench/compare -quick

.PHONY: bench-pipeline
bench-pipeline: build python ## The whole batch job side by side with Python
	go run ./bench/pipeline

.PHONY: soak
soak: python ## The long forms of the tests that have one, then every fuzz target for a minute (about an hour)
	TREELINE_LONG=1 TREELINE_PYTHON=$(CURDIR)/$(PYTHON) go test -v -timeout 60m \
		./lifecycle/schedule ./lifecycle/orchestration ./lifecycle/trigger ./internal/app | grep -vE '^=== '
	TREELINE_PYTHON=$(CURDIR)/$(PYTHON) TREELINE_SOAK=1 go test -race -timeout 60m \
		./lifecycle/gate ./lifecycle/training/... ./lifecycle/projection ./registry/mlflow
	tools/fuzz.sh 60

.PHONY: golden
golden: python python-legacy ## Train the golden models again with the real libraries
	$(PYTHON) internal/testmodels/generate.py
	.venv-legacy/bin/python internal/testmodels/generate_legacy.py

.PHONY: examples
examples: python ## Train the example models again
	$(PYTHON) examples/churn/train.py
	$(PYTHON) examples/flights/train.py

.PHONY: python
python:
	@tools/python/env.sh

.PHONY: python-legacy
python-legacy:
	@tools/python/env.sh legacy

.PHONY: python-bench
python-bench:
	@tools/python/env.sh bench

.PHONY: tools
tools: $(TOOLS)/.complete

$(TOOLS)/.complete: tools/go.mod tools/go.sum
	@echo 'building pinned tools (once per lock file)'
	@mkdir -p $(TOOLS)
	cd tools && GOFLAGS=-mod=readonly go build -o $(TOOLS)/ tool
	@touch $@

.PHONY: clean
clean: ## Remove what the targets made inside the clone
	rm -rf bin var .venv .venv-legacy .venv-bench
