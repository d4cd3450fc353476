# Everything that CI does is a target here, so a laptop and CI cannot disagree. "make" alone lists them.

SHELL       := /bin/bash
GO          ?= go
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
FUZZ_TIME   ?= 30s
# Where people run the server, and where they may use the libraries. linux/386 stands for everything with 32-bit integers.
PLATFORMS   ?= darwin/arm64 windows/amd64
LIBRARIES   ?= freebsd/amd64 linux/386
# Modules of their own, so that rivals and their dependencies never reach a user's go.mod.
NESTED      := interop bench
# What "make test" runs after deps, in this order.
STEPS       := fmt vet web-check unit scale chaos-short cross fuzz-short conformance interop browser client-ts bench-test

TALLY_BIN    := $(CURDIR)/build/tally-bin
export TALLY := $(CURDIR)/build/tally

.DEFAULT_GOAL := help
.PHONY: help test deps web chaos bench clean $(STEPS)

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

test: deps ## everything below but bench; ends with "N passed, N failed"
	@rm -rf $(TALLY)
	@for step in $(STEPS); do \
		echo "== $$step"; \
		$(MAKE) --no-print-directory $$step; \
	done; \
	for step in $(STEPS); do \
		[ -e $(TALLY)/$$step ] || { echo "$$step left no result"; lost=1; }; \
	done; \
	$(TALLY_BIN) sum && [ -z "$$lost" ]

deps: ## install what the tests need: npm packages; as root also Debian's chromium, nginx, postgresql, fonts
	@.ci/deps

$(TALLY_BIN): .ci/tally/*.go
	@$(GO) build -o $@ ./.ci/tally

fmt: $(TALLY_BIN) ## check that gofmt has nothing to change
	@$(TALLY_BIN) exit $@ .ci/fmt

vet: $(TALLY_BIN) ## go vet and staticcheck, in every module
	@$(TALLY_BIN) exit $@ $(SHELL) -ec '\
		$(GO) vet ./... ./.ci/tally; $(GO) run $(STATICCHECK) ./... ./.ci/tally; \
		for module in $(NESTED); do (cd $$module; $(GO) vet ./...; $(GO) run $(STATICCHECK) ./...); done'

unit: $(TALLY_BIN) ## tests of the main module but conformance and chaos, with the race detector, in random order; the longest first
	@$(TALLY_BIN) go $@ $(GO) test -json -race -shuffle=on -timeout 5m ./websocket/scaletest $$($(GO) list ./... | grep -v -e /conformance$$ -e /chaos$$) ./.ci/tally

scale: $(TALLY_BIN) ## what takes up to 15,000 connections: without the race detector, with which unit has run it on fewer
	@$(TALLY_BIN) go $@ $(GO) test -json -count=1 -timeout 5m -run 'Test(Many|ConnectAnd|Slow)' ./websocket/scaletest ./session/scaletest

chaos-short: $(TALLY_BIN) ## one of each fault to clients, nodes and NATS servers, about a minute and a half; "make chaos" is the long form
	@$(TALLY_BIN) go $@ $(GO) test -json -count=1 -timeout 5m ./chaos

cross: $(TALLY_BIN) ## build the command and type-check all code and tests for other platforms; for some only the libraries
	@$(TALLY_BIN) exit $@ $(SHELL) -ec '\
		export CGO_ENABLED=0; \
		for platform in $(PLATFORMS) $(LIBRARIES); do \
			echo $$platform; export GOOS=$${platform%/*} GOARCH=$${platform#*/}; \
			case " $(PLATFORMS) " in \
			*" $$platform "*) $(GO) build -o /dev/null ./cmd/duplex; $(GO) vet ./... ;; \
			*) $(GO) vet ./websocket/... ./hub ./session/... ./client/... ./conformance ./internal/loop/... ./internal/load ;; \
			esac; \
		done'

fuzz-short: $(TALLY_BIN) ## every fuzz target for an equal part of FUZZ_TIME (30s)
	@$(TALLY_BIN) fuzz $@ $(FUZZ_TIME)

conformance: $(TALLY_BIN) ## the conformance suite, against both roles of ours
	@$(TALLY_BIN) go $@ $(GO) test -json -count=1 -timeout 5m ./conformance/...

interop: $(TALLY_BIN) ## other people's clients and servers, and nginx in between
	@cd interop && $(TALLY_BIN) go $@ $(GO) test -json -count=1 -timeout 5m ./...

browser: $(TALLY_BIN) ## the pages in a real Chromium
	@$(GO) build -o build/duplex ./cmd/duplex
	@cd browser && DUPLEX=$(CURDIR)/build/duplex $(TALLY_BIN) tap $@ node --test --test-concurrency=2 --test-reporter=tap

client-ts: $(TALLY_BIN) ## the TypeScript client: units, the real server, a real Chromium
	@cd clients/typescript && $(TALLY_BIN) tap $@ npx --no-install vitest run --reporter=tap-flat

bench-test: $(TALLY_BIN) ## the tests of the benchmark itself
	@cd bench && $(TALLY_BIN) go $@ $(GO) test -json -count=1 -timeout 5m ./...

web-check: $(TALLY_BIN) ## check the types of the pages, and that web/dist is what web/src gives
	@cd web && $(TALLY_BIN) exit $@ npm run --silent check

web: deps ## build web/dist, which is committed, from web/src; and the client for other people's pages
	@cd clients/typescript && npm run --silent build
	@cd web && npm run --silent build

chaos: ## every fault that there is, for about 6 minutes, and whether each message is accounted for; FLAGS="-seed 7" and others, see FLAGS=-h
	@$(GO) run ./chaos $(FLAGS)

bench: ## measure against other libraries (bench/README.md); not part of test
	@cd bench && $(GO) run .

clean: ## remove what builds and tests leave behind
	rm -rf build */node_modules */*/node_modules clients/typescript/node_modules clients/typescript/dist
	$(GO) clean -testcache
