# Everything that this project does on a machine. `make help` lists the targets.
#
# What tests and the demonstration need is built from pinned Go modules (tools/*/go.mod) into .tools, or
# comes from Debian's packages; `make system` installs those that are missing, and wants root for it.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

TOOLS   := $(CURDIR)/.tools
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

# A Go that its distributor has fixed to itself fetches the one that go.mod names all the same: its library is in what we build.
export GOTOOLCHAIN ?= auto

# command=package, for what comes from Debian.
SYSTEM := gcc=gcc runc=runc fusermount3=fuse3 skopeo=skopeo umoci=umoci busybox=busybox-static \
  mkfs.ext4=e2fsprogs mkfs.xfs=xfsprogs mount=mount
BENCH  := fio=fio s3fs=s3fs
BROWSER := chromium=chromium
CEPH   := ceph-mon=ceph-mon ceph-osd=ceph-osd radosgw=radosgw ceph=ceph-common

PACKAGES := ./...

# What `make servers` runs instead of `make e2e`: to build SeaweedFS takes longer than all other tests.
HEAVY := Test(Contract|BothDirectionsElsewhere)/(seaweedfs|radosgw)

FUZZTIME ?= 20s

# What `make chaos` runs, how many kills of each of its six kinds, how long its other faults go on (each test takes its
# share of that: an eighth, say), and the seed of its choices; for how long `make hosts` has many hosts at work.
CHAOS  := Test(Kill|PowerLoss|DamagedIndex|IndexIsDamagedWhileItIsMounted|HostileBucket|Chaos.*)$$
ROUNDS ?= 34
FAULTS ?= 4m
MANY   ?= 10m
SEED   ?= $(shell date +%s)

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/layoutfs
	go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/layoutfs ./cmd/layoutfs

.PHONY: test
test: race e2e ## run all tests; installs what they need

.PHONY: race
race: system ## run the tests of the product's own module, with the race detector
	go test -race $(PACKAGES)
	cd bench && go test -race ./...

.PHONY: e2e
e2e: system browser tools ## run the tests with real builders, S3 servers and OCI clients
	cd e2e && go test -timeout 40m -skip '$(HEAVY)' ./...

.PHONY: servers
servers: system ceph tools seaweedfs ## run the contract of servers and a build on SeaweedFS and Ceph, too
	cd e2e && go test -timeout 40m -run 'TestContract|TestBothDirectionsElsewhere' -v ./...

.PHONY: lint
lint: linters vuln ## check the code's style, what may import what, and for known vulnerabilities
	$(TOOLS)/golangci-lint run ./...
	cd e2e && $(TOOLS)/golangci-lint run ./...
	cd bench && $(TOOLS)/golangci-lint run ./...
	go mod tidy -diff
	cd e2e && go mod tidy -diff
	cd bench && go mod tidy -diff

# The database is a module as well, and pinned beside the tool, so that the answer is the same everywhere. To renew both:
# cd tools/govulncheck && go get golang.org/x/vuln@latest golang.org/x/vulndb@latest (no go mod tidy: nothing imports
# the database). What is found in the standard library is mended by the toolchain that go.mod names.
VULNDB = $$(cd tools/govulncheck && go mod download golang.org/x/vulndb && go list -m -f '{{.Dir}}' golang.org/x/vulndb)/data/osv

.PHONY: vuln
vuln: govulncheck ## look for known vulnerabilities in what the product calls
	$(TOOLS)/govulncheck -db "file://$(VULNDB)" ./...

.PHONY: check
check: lint test ## what CI runs

.PHONY: fuzz
fuzz: ## fuzz everything that parses, FUZZTIME (20s) each
	@go list -f '{{.Dir}}' ./... | while read -r dir; do \
	  { grep -ho '^func Fuzz[A-Za-z0-9_]*' "$$dir"/*_test.go 2>/dev/null || true; } | cut -c6- | while read -r f; do \
	    echo "$$f in $${dir#$(CURDIR)/}"; \
	    go test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) "$$dir"; \
	  done; \
	done

.PHONY: chaos
chaos: SEED := $(SEED)
chaos: system tools ## kill, cut the power, break disk and bucket, in under 20 minutes; SEED= repeats its choices
	@echo "seed $(SEED): run again with make chaos SEED=$(SEED)"
	cd e2e && LAYOUTFS_E2E_LONG=1 LAYOUTFS_CRASH_ROUNDS=$(ROUNDS) LAYOUTFS_CRASH_SEED=$(SEED) LAYOUTFS_CHAOS_TIME=$(FAULTS) \
	  go test -timeout 40m -count=1 -json -run '$(CHAOS)' -skip 'TestChaosHosts$$' . | go run ./chaosreport -to ../docs/reliability.md \
	    -title "Seed $(SEED), commit $$(git rev-parse --short HEAD), $$(date -u +%F); $(ROUNDS) kills of each of six kinds."

.PHONY: hosts
hosts: system tools ## have eight daemons at work on one bucket for ten minutes, and hosts killed; MANY=1h for longer
	cd e2e && LAYOUTFS_CRASH_SEED=$(SEED) LAYOUTFS_CHAOS_TIME=$(MANY) go test -timeout 24h -count=1 -v -run 'TestChaosHosts$$' .

.PHONY: bench
bench: system benchmarks buildkit minio rclone build ## measure against the alternatives; ROWS=E1,I1 LINKS=slow SERVERS=minio ROUNDS=3
	cd bench && go run . $(foreach f,rows links servers rounds,$(if $(BENCH_$(f)),-$(f) $(BENCH_$(f)))) $(BENCHFLAGS)
	$(if $(ROWS),,$(MAKE) bench-micro)

# ROUNDS is that of chaos as well, which has another default.
BENCH_rows := $(ROWS)
BENCH_links := $(LINKS)
BENCH_servers := $(SERVERS)
BENCH_rounds := $(if $(filter command%,$(origin ROUNDS)),$(ROUNDS))

.PHONY: bench-inspect
bench-inspect: ## measure how fast caches are looked into, which fails where it is too slow
	go test -run '^$$' -bench 'List|Verify|DryRun|Names' -benchtime 3x -v ./cmd/layoutfs ./inspect/prune ./index

.PHONY: bench-micro
bench-micro: benchstat ## run the Go benchmarks, and compare them with those of the last kept run
	@mkdir -p bench/out
	go test -run '^$$' -bench . -count 6 -benchtime 5x ./sync/disk > bench/out/micro.txt || { cat bench/out/micro.txt; exit 1; }
	$(TOOLS)/benchstat $(wildcard bench/results/micro.txt) bench/out/micro.txt

.PHONY: demo
demo: system buildkit build ## export, lose the machine, import: for real, with the embedded S3 server
	demo/demo.sh buildkit

.PHONY: demo-docker
demo-docker: system docker containerd buildx build ## the same with a Docker Engine, whose default driver knows no type=s3
	demo/demo.sh docker

.PHONY: clean
clean: ## remove what was built
	rm -rf bin $(TOOLS)

# --- what tests need -------------------------------------------------------------------------------------

.PHONY: system browser ceph benchmarks
system: NEEDS := $(SYSTEM)
browser: NEEDS := $(BROWSER)
ceph: NEEDS := $(CEPH)
benchmarks: NEEDS := $(BENCH)
system: fuse ## install what is missing of Debian's packages
browser: system ## install the browser that the web page is tested with
ceph: system ## install Ceph, of which tests use the S3 gateway
benchmarks: system ## install what `make bench` measures with and against
system browser ceph benchmarks:
	@missing=; \
	for need in $(NEEDS); do command -v "$${need%%=*}" >/dev/null || missing+=" $${need#*=}"; done; \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" != 0 ]; then echo "make: install$$missing, or run this as root" >&2; exit 1; fi; \
	  apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $$missing; \
	fi

# As udev does it, which not every machine has.
.PHONY: fuse
fuse:
	@if [ "$$(id -u)" = 0 ] && [ -c /dev/fuse ] && [ "$$(stat -c %a /dev/fuse)" != 666 ]; then chmod 666 /dev/fuse; fi

# Each tool is installed when the go.mod that pins it changes.
define module
.PHONY: $(1)
$(1): $(TOOLS)/.$(1)
$(TOOLS)/.$(1): tools/$(1)/go.mod tools/$(1)/go.sum
	cd tools/$(1) && GOBIN=$(TOOLS) CGO_ENABLED=0 go install tool
	touch $$@
endef
MODULES := buildkit buildx containerd docker minio oci
$(foreach m,$(MODULES) seaweedfs linters rclone benchstat govulncheck,$(eval $(call module,$(m))))

.PHONY: tools
tools: $(MODULES) ## build what `make e2e` runs: BuildKit, Docker, buildx, MinIO, crane, oras, regctl
