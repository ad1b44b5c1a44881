# Every check that a change has to pass, and what else is run often.

TOOL  = go tool -modfile=cmd/tools.mod
FUZZ ?= 5s
GO   ?= ./...
# What "surrogate version" prints; where it is empty, what Go knows of the build.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null)

.PHONY: help test race fuzz lint judge fleet warm bench compare demo build setup

help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' Makefile

test: setup ## vet and test everything; RACE=1 with the race detector, GO=./store a part
	go vet $(GO)
	go test $(if $(RACE),-race) $(GO)

race: ## test with the race detector
	$(MAKE) test RACE=1

fuzz: ## run each fuzz target for FUZZ=5s
	@for dir in $$(grep -l '^func Fuzz' $$(git ls-files '*_test.go') | xargs -r -n 1 dirname | sort -u); do \
		for target in $$(go test -list '^Fuzz' ./$$dir | grep '^Fuzz'); do \
			echo "go test ./$$dir -fuzz $$target"; \
			go test ./$$dir -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZ) || exit 1; \
		done; \
	done

lint: ## gofmt, go.mod, vet, staticcheck, govulncheck
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "not gofmt'ed: $$unformatted"; exit 1; }
	go mod tidy -diff
	go vet ./...
	$(TOOL) staticcheck ./...
	@.ci/vulncheck

judge: setup ## the public suite for HTTP caches, and real sites in a real browser
	go test -count=1 -v ./judge

fleet: setup ## three nodes and Redis under faults for minutes, 200,000 reads; SEED=7 another run
	go test -count=1 -v -timeout 30m ./judge/fleet -run TestNoNode -fleet.for=4m $(if $(SEED),-fleet.seed=$(SEED))

warm: setup ## 100,000 URLs warmed by three nodes, one of which is killed
	go test -count=1 -v -timeout 30m ./judge/fleet -run TestWarm -fleet.urls=100000

bench: ## benchmarks, with allocations
	go test -run '^$$' -bench . -benchmem $(GO)

compare: ## beside HAProxy, nginx and Varnish on this machine: seventeen minutes that it should have to itself; ARGS="-only requests"
	go run ./bench $(ARGS)

demo: ## a shop behind the proxy, to play with
	go run ./cmd/surrogate demo

build: ## a static binary, ./surrogate
	CGO_ENABLED=0 go build -trimpath -ldflags '-X main.buildVersion=$(VERSION)' -o surrogate ./cmd/surrogate

setup: ## install what the tests need; make test does it too
	@judge/install.sh || echo "make: tests that need those are skipped"
