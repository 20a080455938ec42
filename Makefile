# The only entry point. "make" lists the targets; "make test" is what CI runs.

GO       ?= go
FUZZTIME ?= 30s
# Captures with labels; kept outside of the project, used when present.
WEIR_CORPUS ?= $(wildcard ../shared/corpus)
REF      ?= HEAD
BENCH    ?= .

export CGO_ENABLED = 0
export WEIR_CORPUS := $(if $(WEIR_CORPUS),$(abspath $(WEIR_CORPUS)))
# The binaries say their commit through LDFLAGS; stamping by go itself fails in a
# checkout that belongs to another user.
export GOFLAGS := $(GOFLAGS) -buildvcs=false
export PATH := $(PATH):/usr/sbin:/sbin

TAG    := $(shell git describe --tags --always --dirty 2>/dev/null)
COMMIT := $(shell git rev-parse --short=12 HEAD 2>/dev/null)
LDFLAGS = -s -w -X weir/proto/daemon.tag=$(TAG) -X weir/proto/daemon.commit=$(COMMIT)
BUILD   = $(GO) build -trimpath -ldflags '$(LDFLAGS)'

# binary = package
BINARIES = capd=./capd dpid=./dpid policyd=./policyd ringctl=./shm/ringctl weir=./scripts/launch
ARCHS    = amd64 arm64 arm
export GOARM = 7

# Whole processes; the other packages hold what runs in one.
PROCESS = ./tests/e2e/... ./tests/crash/... ./tests/live/... ./tests/queue/...
UNIT    = $(shell $(GO) list ./... | grep -vE '^weir/tests/(e2e|crash|live|queue|corpus|bench|arch)(/|$$)')
# What runs on small machines.
UNIT32  = $(shell $(GO) list ./proto/... ./shm/... ./capd/... ./dpid/...)

SKIPS  = bin/skips.txt
GOTEST = bin/gotest -skips $(SKIPS) --
# the same, with the output of what passes
TELL   = bin/gotest -skips $(SKIPS) -v --
LINT   = bin/golangci-lint

.NOTPARALLEL:
.PHONY: help build demo test corpus race test32 lint arch golden fuzz fuzz-short bench bench-quick bench-compare \
	e2e e2e-full crash crash-full cover clean tidy-check generate-check cross fmt vet unit setup report begin

help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1|/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "  %-14s %s\n", $$1, $$2}'

build: ## bin/: the daemons, ringctl, weir and the compiled catalogue
	@mkdir -p bin
	@set -e; for b in $(BINARIES); do $(BUILD) -o bin/$${b%%=*} $${b#*=}; done
	@bin/dpid catalog compile -o bin/catalog.weir

demo: build ## what Weir does, in a minute
	@scripts/demo

# In this order: what fails fast comes first.
test: setup begin fmt vet lint tidy-check generate-check arch cross build unit race test32 crash e2e corpus bench-quick report ## everything that CI checks

setup:
	@scripts/setup test

begin:
	@mkdir -p bin
	@rm -f $(SKIPS)
	@$(GO) build -o bin/gotest ./scripts/gotest

fmt:
	@bad=$$(gofmt -l $$(find . -name '*.go' -not -path './bin/*')); \
	if [ -n "$$bad" ]; then echo "not formatted, run gofmt -w:"; echo "$$bad"; exit 1; fi

vet:
	$(GO) vet ./...

lint: $(LINT) ## golangci-lint, built once from scripts/tools
	$(LINT) run --allow-parallel-runners ./...

bin/golangci-lint: scripts/tools/go.mod scripts/tools/go.sum
	$(GO) build -modfile=scripts/tools/go.mod -o $@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

bin/benchstat: scripts/tools/go.mod scripts/tools/go.sum
	$(GO) build -modfile=scripts/tools/go.mod -o $@ golang.org/x/perf/cmd/benchstat

tidy-check: ## go.mod and go.sum say what the code needs
	$(GO) mod tidy -diff

generate-check: ## generated files are those that the code generates
	@if grep -rqs --include='*.go' '^//go:generate' . ; then \
		before=$$(git diff | sha1sum); $(GO) generate ./...; \
		if [ "$$before" != "$$(git diff | sha1sum)" ]; then echo "go generate changes files:"; git diff --stat; exit 1; fi; fi

# -count=1: the test cache does not see what go list reads.
arch: begin ## dependency rules and the shape of the project
	$(GOTEST) -count=1 ./tests/arch/...

cross: ## every binary for every architecture; tests compile for 32 bits, too
	@set -e; for arch in $(ARCHS); do for b in $(BINARIES); do \
		GOARCH=$$arch $(BUILD) -o bin/cross/$$arch/$${b%%=*} $${b#*=}; done; echo "cross: $$arch built"; done
	GOARCH=arm $(GO) vet ./...

# Every test, fuzz seed and golden file once, and every benchmark once, so that
# benchmarks cannot rot.
unit: begin
	$(GOTEST) -timeout 10m -bench . -benchtime 1x $(UNIT)

# Skips are not counted here: the same tests have run above.
race: begin ## unit tests under the race detector, where there is a C compiler
	@if command -v gcc >/dev/null; then set -x; CGO_ENABLED=1 bin/gotest -- -race -short -timeout 10m $(UNIT); \
	else echo "weir make race: no C compiler" | tee -a $(SKIPS); fi

# An amd64 machine runs 386 programs: this shows alignment of 64-bit atomics and
# lengths that do not fit an int, as on arm. Skips are counted above.
test32: begin ## unit tests in 32 bits, where the machine can
	@if [ "$$($(GO) env GOHOSTARCH)" = amd64 ]; then set -x; GOARCH=386 bin/gotest -- -short -timeout 10m $(UNIT32); \
	else echo "weir make test32: not an amd64 machine" | tee -a $(SKIPS); fi

golden: begin ## golden files only; UPDATE=1 rewrites them
	$(if $(UPDATE),UPDATE_GOLDEN=1) $(GOTEST) -count=1 -run Golden ./...
	$(if $(UPDATE),$(GO) test -count=1 $(dir $(shell grep -rl --include='*_test.go' 'flag.Bool."update"' ./*/)) -update)

fuzz: ## every fuzz target for FUZZTIME
	scripts/fuzz $(FUZZTIME) $(FUZZ)

fuzz-short: ## every fuzz target for 5 s
	scripts/fuzz 5s $(FUZZ)

crash: begin build ## kill daemons at random moments, short
	$(GOTEST) -count=1 -p 1 -timeout 5m ./tests/crash/...

crash-full: begin build ## the same, at least 50 kills of each
	WEIR_LONG=1 $(TELL) -count=1 -p 1 -timeout 60m ./tests/crash/... ./shm/...

e2e: begin build ## real daemons in network namespaces, needs root
	$(GOTEST) -count=1 -p 1 -timeout 5m ./tests/e2e/... ./tests/live/... ./tests/queue/...

e2e-full: begin build ## the same, long variants
	WEIR_LONG=1 $(TELL) -count=1 -p 1 -timeout 60m ./tests/e2e/... ./tests/live/... ./tests/queue/...

corpus: begin build ## agreement with labelled captures, a table by protocol
	$(TELL) -count=1 -timeout 10m ./tests/corpus/...

bench: build ## speed against named references, one table; then every benchmark
	@scripts/setup bench
	$(GO) run ./tests/bench
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem $(UNIT)

bench-quick: build ## every row of bench once and small: that it works
	$(GO) run ./tests/bench -quick -bin bin -skips $(SKIPS)

bench-compare: bin/benchstat ## benchmarks of the working tree against REF
	scripts/bench-compare $(REF) '$(BENCH)'

cover: ## statements covered, by package
	@mkdir -p bin
	$(GO) test -coverprofile bin/cover.out $(UNIT) | grep -v 'no test files'
	@$(GO) tool cover -func bin/cover.out | tail -1

report:
	@bin/gotest -summary $(SKIPS) -allow tests/skips.allow

clean: ## remove what was built
	rm -rf bin
