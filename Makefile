# Berth. The two commands to know are `make demo` and `make test`.

GO        ?= go
BIN       := bin
VERSION   := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS   := -s -w -X main.buildVersion=$(VERSION) -X main.version=$(VERSION)
# Tools are run at pinned versions through the module proxy.
STATICCHECK := $(GO) run honnef.co/go/tools/cmd/staticcheck@v0.7.0
GOVULNCHECK := $(GO) run golang.org/x/vuln/cmd/govulncheck@v1.9.0
SPARK_BACKEND := $(BIN)/berth-spark-backend.jar
WORKLOAD ?= w-10k-10k
FUZZTIME ?= 20s
FUZZMOST ?= 5m
# How many fresh seeds of the simulator make test plays, and without SEED and SEEDS make sim.
FRESH ?= 2000

.PHONY: all
all: build

.PHONY: help
help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 22

.PHONY: build
build: ## build berth and berth-executor into bin/
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/ ./cmd/berth ./cmd/berth-executor

.PHONY: spark-backend
spark-backend: $(SPARK_BACKEND) ## build and test the plugin for Spark drivers, into bin/
$(SPARK_BACKEND): $(shell find executor/spark-backend -type f)
	$(GO) run ./test/rig/cmd/spark-backend -version '$(VERSION)' -o $@

.PHONY: setup
setup: ## install what demo and most tests need: Mesos, ZooKeeper, Elasticsearch
	$(GO) run ./test/rig/cmd/setup

.PHONY: setup-everything
setup-everything: ## install what all tests need: also Spark (0.8 GB to download)
	$(GO) run ./test/rig/cmd/setup -everything

.PHONY: demo
demo: setup ## run the main job on real parts and stay up until Ctrl-C
	$(GO) run ./test/cmd/demo

.PHONY: demo-check
demo-check: setup ## the demo without a person: exit code 0 or 1
	$(GO) run ./test/cmd/demo -check

.PHONY: demo-spark
demo-spark: setup-everything spark-backend ## run a Spark streaming job, scale it live, kill its driver, and stay up until Ctrl-C
	$(GO) run ./test/cmd/demo-spark

.PHONY: demo-spark-check
demo-spark-check: setup-everything spark-backend ## the same without a person: exit code 0 or 1
	$(GO) run ./test/cmd/demo-spark -check

.PHONY: test
test: quick setup-everything build spark-backend ## the whole suite with the race detector, on real systems, and FRESH seeds of the simulator
	$(GO) run ./test/cmd/sim -fresh $(FRESH)
	BERTH_TEST_REQUIRE_REAL=1 $(GO) run ./test/cmd/suite -race -count=1 -timeout 30m -p 2 ./...

.PHONY: test-spark
test-spark: setup-everything build spark-backend ## all tests on real Spark, those that make test has no time for too
	BERTH_TEST_REQUIRE_REAL=1 BERTH_TEST_SPARK=full $(GO) run ./test/cmd/suite -race -count=1 -timeout 40m -p 1 -v ./executor/spark/... ./test/sparksubmit ./test/spark

.PHONY: test-short
test-short: ## what needs no external system, under a minute
	$(GO) test -short -count=1 ./...

.PHONY: quick
quick: ## what takes seconds and finds most slips: gofmt, go vet, the architecture's rules
	@out=$$(gofmt -l . ); if [ -n "$$out" ]; then echo "not gofmt-ed: $$out"; exit 1; fi
	$(GO) vet ./...
	$(GO) test -count=1 ./test/arch

.PHONY: lint
lint: quick staticcheck ## quick, and staticcheck

.PHONY: staticcheck-version
staticcheck-version:
	@$(STATICCHECK) -version

.PHONY: staticcheck
staticcheck: ## at a pinned version, through the module proxy
	$(STATICCHECK) ./...

.PHONY: vuln
vuln: ## known vulnerabilities that the code reaches (needs the Go vulnerability database)
	$(GOVULNCHECK) ./...

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME, all of them within FUZZMOST (0: no bound)
	$(GO) run ./test/cmd/fuzz -time $(FUZZTIME) -most $(FUZZMOST)

.PHONY: sim
sim: ## the simulator: SEED=n with a trace (ITEMS=3,9 only these of it), SEEDS=from-to, or FRESH seeds
	$(GO) run ./test/cmd/sim $(if $(SEED),-seed $(SEED) -trace $(if $(ITEMS),-items $(ITEMS)),$(if $(SEEDS),-seeds $(SEEDS),-fresh $(FRESH)))

.PHONY: mutate
mutate: ## check the simulator: break the core in known ways, and see that it notices each
	$(GO) run ./test/cmd/sim/mutate

.PHONY: bench-placement
bench-placement: ## placements per second: WORKLOAD=file.json or a standard name
	$(GO) run ./test/placement/cmd/bench-placement -workload $(WORKLOAD)

.PHONY: bench-apply
bench-apply: setup ## apply to green, against the same nodes started by hand
	$(GO) run ./test/cmd/bench-apply

.PHONY: bench-load
bench-load: setup ## from the election to the first decision, with 1,000 clusters in a real ZooKeeper
	$(GO) run ./test/cmd/bench-load -most 2s

.PHONY: clean
clean: ## remove what was built here; the download cache stays
	rm -rf $(BIN)
