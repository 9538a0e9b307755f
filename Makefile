# Phantom's house-keeping. `make help` prints what there is.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# Tools are pinned in tools.mod; Go builds them once and keeps them in the user's cache folder.
TOOL := go tool -modfile=tools.mod
# Tests run on a private stack of their own, which nothing else uses.
STACK := bin/phantom-dev test --

# The race detector needs a C compiler.
RACE := $(if $(shell command -v cc || command -v gcc || command -v clang),-race)

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

.PHONY: build
build: ## Build phantom, phantom-worker and phantom-dev into bin/
	@mkdir -p bin
	go build -ldflags '-X main.version=$(VERSION)' -o bin/phantom ./starter
	go build -ldflags '-X main.version=$(VERSION)' -o bin/phantom-worker ./worker
	go build -o bin/phantom-dev ./devstack

.PHONY: run
run: build ## Bring up everything and do the main job; EXIT=1 stops everything after it
	bin/phantom-dev run $(if $(filter-out 0,$(EXIT)),--exit)

.PHONY: up
up: build ## Start the stack and the worker in the background; again: start what died
	bin/phantom-dev up --detach

.PHONY: down
down: bin/phantom-dev ## Stop them
	bin/phantom-dev down

.PHONY: status
status: bin/phantom-dev ## Show the parts of the stack
	bin/phantom-dev status

.PHONY: test
test: build ## Run every test on a private stack; ARGS='-run Name ./folder' narrows it
	$(if $(RACE),,@echo "no C compiler is on PATH: the tests run without the race detector")
	$(STACK) go test $(RACE) -shuffle=on $(or $(ARGS),-timeout 30m ./...)

.PHONY: test-postgres18
test-postgres18: bin/phantom-dev ## The suites of what stands in PostgreSQL, on the newest version, which is fetched once
	bin/phantom-dev test --only-postgres --fetched-postgres -- go test -shuffle=on -timeout 10m \
		./eventstore/... ./registry/... ./migrations/... ./projection/... ./readmodel/...

.PHONY: test-api
test-api: build ## The HTTP API against its OpenAPI document, by schemathesis from PyPI; SEED=n draws the same
	@echo "schemathesis draws with SEED=$(or $(SEED),1)"
	python=$$(.ci/python .ci/schemathesis.txt); \
	$(STACK) go test -count=1 -v -timeout 15m -run '^TestTheAPIMeetsItsDescription$$' ./internal/e2e -args \
		-schemathesis=$$python/bin/schemathesis -schemathesis.seed=$(or $(SEED),1) -schemathesis.cases=$(or $(CASES),15)

.PHONY: outage
outage: build ## 64 connections of load, in whose middle PostgreSQL is stopped: LOAD=60s STOP=20s
	$(STACK) go test -count=1 -v -timeout 30m -run '^TestLoadThroughAnOutageOfPostgreSQL$$' ./internal/e2e -args \
		-outage.load=$(or $(LOAD),60s) -outage.stop=$(or $(STOP),20s) -outage.pause=5ms

.PHONY: rebuild-check
rebuild-check: bin/phantom-dev ## Rebuild a read model of EVENTS=1000000 beside readers and writers, and compare it row by row
	bin/phantom-dev test --only-postgres -- go test -count=1 -timeout 2h -v -run '^TestARebuildUnderReaders$$' ./readmodel \
		-rebuild.events=$(or $(EVENTS),1000000) -rebuild.back=1s

.PHONY: oracle
oracle: ## The event store under random faults for DURATION=10m: the report is in .phantom/oracle; SEED=n draws the same
	go test -count=1 -timeout 3h -v -run '^TestTheStoreUnderFaults$$' ./internal/oracle -args \
		-oracle.duration=$(or $(DURATION),10m) -oracle.seed=$(or $(SEED),0) -oracle.report=$(CURDIR)/.phantom/oracle \
		-oracle.distance=500ms -oracle.workers=24 -oracle.events=$(or $(EVENTS),1000000) -oracle.faults=$(or $(FAULTS),1000)

.PHONY: bench
bench: bin/phantom-dev ## The event store and the read side beside raw SQL, with fsync on; ARGS='-rows append -round 3s -rounds 5 -json FILE -doc docs/performance.md'
	@go build -o bin/bench ./internal/bench
	bin/phantom-dev test --only-postgres --durable -- bin/bench $(ARGS)

.PHONY: bench-mlflow
bench-mlflow: bin/phantom-dev ## The API beside MLflow from PyPI on the same PostgreSQL
	@go build -o bin/bench ./internal/bench
	python=$$(.ci/python .ci/mlflow.txt); \
	bin/phantom-dev test --only-postgres --durable -- bin/bench -rows mlflow -mlflow $$python/bin/mlflow $(ARGS)

.PHONY: check
check: format lint vet determinism vulnerabilities tidy migrations imports ## Everything that a change must pass besides the tests
	@echo "check: all is well"

.PHONY: format
format: ## Show what the formatters would change (`make fix` changes it)
	$(TOOL) golangci-lint fmt --diff

.PHONY: fix
fix: ## Format, and repair what the linters can repair
	$(TOOL) golangci-lint fmt
	$(TOOL) golangci-lint run --fix ./...

.PHONY: lint
lint: ## Lint as .golangci.yml says
	$(TOOL) golangci-lint run ./...

.PHONY: vet
vet: ## go vet
	go vet ./...

.PHONY: determinism
determinism: ## Temporal's workflowcheck: no workflow asks the clock, chance or the world
	$(TOOL) workflowcheck -config workflowcheck.config.yaml ./workflows/...

.PHONY: vulnerabilities
vulnerabilities: ## Known vulnerabilities in what the code calls
	@.ci/vulnerabilities

.PHONY: tidy
tidy: ## go.mod holds what is imported, and nothing else
	go mod tidy -diff

.PHONY: migrations
migrations: build ## Migrations go up, down and up again on an empty database
	$(STACK) go test -count=1 ./migrations/...

.PHONY: imports
imports: ## Imports go the way that ARCHITECTURE.md draws
	go test -count=1 ./internal/archtest

.PHONY: rollouts
rollouts: ## Simulate thousands of rollouts: the table of docs/rollouts.md
	go run ./rollout/simulate

.PHONY: clean
clean: bin/phantom-dev ## Remove bin/, the stacks' state and our folder in the user's cache
	bin/phantom-dev clean
	rm -rf bin

.PHONY: help
help: ## Print this
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

bin/phantom-dev:
	@mkdir -p bin
	go build -o bin/phantom-dev ./devstack
