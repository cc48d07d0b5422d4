# What there is to do with meshd. `make` alone lists it.

PREFIX ?= /usr/local
binary := .build/release/meshd
swift_sources := Sources Tests Benchmarks Package.swift
test_flags ?= --disable-xctest
T ?= 600
ROAMING ?= 5

.PHONY: help demo test soak lab build test-build bench install clean setup format lint check-docs check-packet-path

help:
	@echo 'make demo      two machines in one mesh, on this one: builds meshd and plays the quick start (root or sudo)'
	@echo 'make test      every test; as root the lab too, with real daemons in network namespaces'
	@echo 'make soak      what crashes, loss and hostile packets must not break, for T=$(T) seconds each'
	@echo 'make lab       which pairs of machines behind NATs find each other, and how fast: a table, and .build/lab.json; as root.'
	@echo '               PAIRS=open/symmetric,cgnat these alone; ROAMING=50 so many tries of each change of network,'
	@echo '               CHANGES=address,router,relay,sleep these alone'
	@echo 'make build     the release binary, $(binary)'
	@echo 'make bench     the benchmarks: a table, and .build/bench.json; of tunnels as root. ONLY=tcp/1x1280 one of them;'
	@echo '               BENCH_PEER=path another WireGuard program to compare with; BENCH_DERP=command another relay'
	@echo 'make install   the release binary, stripped, into $$DESTDIR$$PREFIX/bin (PREFIX=$(PREFIX))'
	@echo 'make clean     removes what was built'
	@echo 'make setup     the system packages that are missing (apt)'
	@echo 'make lint      checks the layout of the sources; make format mends it'
	@echo 'make check-docs  checks what the documentation says against the sources and the program'
	@echo 'make check-packet-path  that the release binary neither allocates nor counts references for a packet'

demo:
	@scripts/demo

# The lab starts real daemons and measures them, so nothing else runs beside its tests.
# So many tests at once, and not all of them: what waits for a machine that does everything at the same time runs into its time limit.
test: export SWT_EXPERIMENTAL_MAXIMUM_PARALLELIZATION_WIDTH ?= 8
test: test-build
	swift test --skip-build $(test_flags) --skip '^Lab\.'
	swift test --skip-build $(test_flags) --filter '^Lab\.'

# What `make test` does briefly goes on for as long as it is told to: suites whose names contain Soak.
soak: test-build
	MESHD_SOAK_SECONDS=$(T) swift test --skip-build $(test_flags) --no-parallel --filter Soak

# Every pair of kinds of host behind NATs, and machines that move; `make test` does a few of each.
lab: test-build
	MESHD_LAB_PAIRS='$(or $(PAIRS),all)' MESHD_LAB_ROAMING=$(ROAMING) MESHD_LAB_CHANGES='$(CHANGES)' \
	  swift test --skip-build $(test_flags) --no-parallel --filter 'Lab.*(NAT|Roaming|MTU)'

test-build: setup
	swift build --build-tests

build: setup
	@scripts/build-release meshd

bench: setup
	@scripts/build-release meshd-bench
	@scripts/build-release meshd
	.build/release/meshd-bench --json .build/bench.json $(if $(ONLY),--only '$(ONLY)')

install:
	@test -x $(binary) || $(MAKE) build
	install -D -s -m 0755 $(binary) $(DESTDIR)$(PREFIX)/bin/meshd

clean:
	swift package clean
	rm -f .build/bench.json .build/lab.json .build/build-*.log

setup:
	@scripts/setup

format:
	swift format -i -r $(swift_sources)

lint:
	swift format lint --strict -r $(swift_sources)

check-docs:
	@scripts/check-docs

check-packet-path:
	@scripts/check-packet-path
