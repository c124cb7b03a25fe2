# Thin targets: what they do stands in scripts/ and in Go.
GO ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS = -s -w -X omsync/daemon/process.release=$(VERSION)
DAEMONS = ./cmd/data_collector ./cmd/synctool ./cmd/omsync-tui

.PHONY: help build dist test demo lint fuzz mutants bench microbench clean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1	/p' $(MAKEFILE_LIST) | expand -t 14

build: ## static binaries in bin/
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ $(DAEMONS)

dist: ## build/dist/omsync-<version>-linux-amd64.tar.gz, which unpacks over an OpenMLDB package
	VERSION=$(VERSION) GO=$(GO) scripts/dist.sh

test: ## install what the tests need and run them all
	scripts/test.sh

demo: ## two tables exported while they are written and every daemon is killed once
	$(GO) run ./testenv/cmd/demo

lint: ## gofmt, build without cgo, vet, staticcheck
	scripts/test.sh lint

fuzz: ## every fuzz target for FUZZTIME (default 10s) each
	scripts/fuzz.sh

mutants: ## break the code in known ways and see a test turn red for each
	$(GO) run ./testenv/cmd/mutants

bench: ## what users wait for, beside what is promised; figures also in build/bench.jsonl (needs what make test installs)
	$(GO) run -tags rocksdb ./testenv/cmd/bench

microbench: ## benchmarks of single functions on the hot paths
	$(GO) test -run '^$$' -bench . -benchmem ./openmldb/... ./daemon/dest/... ./daemon/collector/...

clean: ## what was built and downloaded
	rm -rf build bin/data_collector bin/synctool bin/omsync-tui
