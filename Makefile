# hoist builds with Go and nothing else; `make help` lists what can be done.

GO      ?= go
BIN     ?= bin/hoist
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT  ?= $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)
TOOL    := $(GO) tool -modfile=tools/go.mod
# buf is a schema compiler that comes as an npm package; only `make generate` needs it.
BUF     ?= npx --yes @bufbuild/buf@1.75.0
# What a benchmark run covers; narrow it with BENCH=Evaluate or PKG=./evaluator/...
BENCH   ?= .
PKG     ?= ./...
# How long `make chaos` breaks things
DURATION ?= 2m

export CGO_ENABLED = 0

.DEFAULT_GOAL := build
.PHONY: sim sim-bugs help build install demo chaos test race conformance fuzz bench bench-failover benchdocs lint fmt vet generate checkgenerate report clean

help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## Build bin/hoist
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN) ./cmd/hoist

install: ## Install hoist into Go's bin directory
	$(GO) install -trimpath -ldflags '$(LDFLAGS)' ./cmd/hoist

demo: build ## Run a 3-node cluster on loopback with sample flags and traffic
	$(BIN) demo

chaos: build ## Break a cluster of real processes and judge its history: make chaos DURATION=1h SEED=7 NEMESIS=kill-leader+halves
	HOIST_BINARY=$(CURDIR)/$(BIN) HOIST_CHAOS_DURATION=$(DURATION) HOIST_CHAOS_SEED=$(SEED) HOIST_CHAOS_NEMESIS=$(NEMESIS) \
		$(GO) test ./chaos -count=1 -timeout 72h -run '^TestProcesses' -v

test: ## Run all tests, and the OpenFeature conformance suite where its data is present
	$(GO) test -timeout 10m ./...
	$(MAKE) --no-print-directory conformance

race: ## Run the tests under the race detector (needs a C compiler)
	CGO_ENABLED=1 $(GO) test -race -short -timeout 12m ./...

# One seed is a cluster of its own, broken for $(ROUNDS) rounds of ten virtual seconds; 72 seeds of 30 rounds are 6 hours.
SEEDS  ?= 72
ROUNDS ?= 30
sim: ## Break clusters in virtual time: SEEDS=10000, or one case again with SEED=7 NEMESIS=kill-leader+loss
	@out=$$(GOGC=400 HOIST_SIM_SEEDS=$(SEEDS) HOIST_SIM_SEED=$(SEED) HOIST_SIM_NEMESIS=$(NEMESIS) HOIST_SIM_ROUNDS=$(ROUNDS) \
		$(GO) test -count=1 -timeout 12h ./chaos -run '^TestHistoriesAreLawfulWhateverBreaks$$' -v); code=$$?; \
		echo "$$out" | grep -v '^ *--- \|^=== '; exit $$code

sim-bugs: ## Plant every known defect in turn and show which invariant catches it
	@out=$$($(GO) test -count=1 -tags seededbugs ./chaos -run '^TestEveryPlantedDefectIsCaught$$' -v); code=$$?; \
		echo "$$out" | grep -v '^ *--- \|^=== \|_test.go:'; exit $$code

.PHONY: sim-found
sim-found: ## Bring the defects back that the simulator has found, and show that their tests still see them
	chaos/testdata/again.sh found

.PHONY: sim-healing
sim-healing: ## Switch each healing of a node off in turn, and show which test fails without it
	chaos/testdata/again.sh healing

conformance: ## Run the OpenFeature suite against `hoist dev`: the stock Go and npm OFREP providers, and ours in process
	cd transport/openfeature && $(GO) test ./...
	cd conformance && $(GO) test ./...

fuzz: ## Fuzz one target for a minute: make fuzz PKG=./evaluator FUZZ=FuzzParseContext
	$(GO) test $(PKG) -run '^$$' -fuzz '$(FUZZ)' -fuzztime 60s

bench: build ## Run the benchmarks (BENCH=pattern, PKG=./folder), then the server against its baselines
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem $(PKG)
	$(BIN) bench ofrep --compare-baseline
	$(BIN) bench writes --compare-baseline
	$(BIN) bench fanout
	cd bench && $(GO) test -bench '$(BENCH)' -benchmem
	$(BIN) bench apply

benchdocs: build ## Measure and write the tables of docs/benchmarks.md (ONLY=evaluators,ofrep,… for some of them)
	cd bench && $(GO) run ./tables -hoist ../$(BIN) -doc ../docs/benchmarks.md -only '$(ONLY)'

bench-failover: build ## Kill the leader a hundred times, restart nodes in turn, start servers with many flags, and print how long it took
	$(BIN) bench failover --kills 100

lint: ## Run the linters of .golangci.yml (downloads them the first time)
	$(TOOL) golangci-lint run ./...

fmt: ## Format every Go file
	gofmt -w $$(git ls-files '*.go')

vet: ## Run go vet
	$(GO) vet ./...

generate: ## Generate the API code from transport/proto (needs Node for buf)
	cd transport/proto && $(BUF) generate

checkgenerate: generate ## Fail when the committed generated code is not what the schema gives
	git diff --exit-code -- transport/api

report: ## Run the tests and write bin/junit.xml for a build server
	mkdir -p bin
	$(TOOL) gotestsum --junitfile bin/junit.xml -- ./...

clean: ## Remove what was built
	rm -rf bin
