# Thin: every target is one or two commands that you could type yourself. `make` alone lists them.
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -ec
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.PHONY: help setup build release deb demo test test-tsan scenarios fuzz bench bench-short format lint clean

# The test targets of the parts where threads and event loops meet.
CONCURRENT := RelayStorageTests|RelayMessageSendingTests|RelayGatewayTests
# Tests that start the real programs. They run after the others, and the scenarios after those: all at once they starve each other on two cores.
PROCESSES := ^(IntegrationTests|ScenarioTests)\.
SWIFT_FILES := Package.swift Sources Tests
# The same source in the same folder gives the same files: no path of this machine gets into the programs or into what debuggers read, nor the hashes that
# the compiler keeps to skip work, nor the names in its cache; and the pass that unrolls loops over short lists, in any order, is off (LLVM unrolls, too).
# What the linker can make read-only before the program runs is. The programs export nothing: the names of what they could export are a tenth of
# them. And C++ comes along as Swift does: to look up its 4,000 names takes a millisecond of every small command of chatctl.
STATIC := .build/static
RELEASE_FLAGS := -c release --static-swift-stdlib --disable-local-rpath \
    -Xswiftc -file-prefix-map -Xswiftc $(CURDIR)=. -Xcc -ffile-prefix-map=$(CURDIR)=. -Xcxx -ffile-prefix-map=$(CURDIR)=. \
    -Xswiftc -Xfrontend -Xswiftc -disable-incremental-llvm-codegen -Xswiftc -Xfrontend -Xswiftc -no-clang-module-breadcrumbs \
    -Xswiftc -Xllvm -Xswiftc -sil-disable-pass=loop-unroll \
    -Xlinker -z -Xlinker relro -Xlinker -z -Xlinker now -Xlinker --no-export-dynamic -Xlinker -L$(STATIC)
# Compiler progress is noise on a good day; warnings and errors still come through.
QUIET := --quiet

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-12s %s\n", $$1, $$2 }'

setup: ## install the Debian packages that are missing (only then does it use apt)
	@packaging/setup.sh build

build: setup ## debug build of relayd, chatctl and the tests
	@echo "building (the first time takes some minutes)"
	@swift build $(QUIET) --build-tests
	@echo "built: .build/debug/relayd, .build/debug/chatctl"

demo: ## the whole product in a few minutes: a relay, two people, 1,000 messages, a crash (KEEP=1 leaves it running)
	@packaging/setup.sh demo
	@echo "building relayd and chatctl (the first time takes some minutes)"
	@swift build $(QUIET) --product relayd
	@swift build $(QUIET) --product chatctl
	@KEEP=$(KEEP) Tests/Demo/demo.sh "$$(swift build --show-bin-path)"

# What failed is said once more at the end: the report of a thousand tests is long.
define run_tests
	@swift test --skip-build --disable-xctest $(1) 2>&1 | tee .build/tests.log \
	    || { echo; echo "what failed:"; grep -A 3 'recorded an issue' .build/tests.log; grep '^✘' .build/tests.log; exit 1; }
endef

test: build ## every test: unit, property, integration with the real programs, scenarios
	$(call run_tests,--skip '$(PROCESSES)')
	$(call run_tests,--filter '^IntegrationTests\.')
	$(call run_tests,--filter '^ScenarioTests\.')

test-tsan: setup ## the concurrent parts under the thread sanitizer, in a build of their own
	@echo "building with the thread sanitizer into .build-tsan (the first time takes some minutes)"
	@TSAN_OPTIONS="suppressions=$(CURDIR)/Tests/tsan-suppressions.txt" \
	    swift test --sanitize=thread --disable-xctest --scratch-path .build-tsan --filter '^($(CONCURRENT))\.'

scenarios: build ## the scripts in Tests/Scenarios alone (SCENARIO=name for one of them)
	@SCENARIO=$(SCENARIO) swift test --skip-build --disable-xctest --filter '^ScenarioTests\.' | tee .build/scenarios.log
	@grep -E '^[0-9]+ passed, [0-9]+ failed$$' .build/scenarios.log | tail -n 1

# Ten minutes; a debug build, so that an overflow is a crash. `make test` has a run of some seconds.
fuzz: build ## wrong input for the parsers, the decoders and a running relayd (FUZZ_SECONDS=600, FUZZ_SEED=number repeats a run)
	@.build/debug/relay-fuzz --seconds $(or $(FUZZ_SECONDS),600) $(if $(FUZZ_SEED),--seed $(FUZZ_SEED)) --failures .build/fuzz

bench: release ## all marks on temporary relays, as a table and .build/bench/latest.json (release build; some ten minutes)
	@Tests/Demo/bench.sh .build/release

bench-short: build ## all loads, small: only whether promises hold (debug build; part of make test)
	@SHORT=1 Tests/Demo/bench.sh "$$(swift build --show-bin-path)" .build/bench-short

release: setup ## release build without Swift libraries to carry along; prints the stripped sizes
	@echo "building for release (the first time takes about ten minutes)"
	@command -v clang >/dev/null || { echo "clang is not in PATH; it is in the folder of the Swift toolchain where swift is" >&2; exit 1; }
	@mkdir -p $(STATIC) && ln -sf "$$(clang -print-file-name=libstdc++.a)" $(STATIC)/
	@swift build $(QUIET) $(RELEASE_FLAGS) --product relayd
	@swift build $(QUIET) $(RELEASE_FLAGS) --product chatctl
	@for program in relayd chatctl; do \
	    strip -o .build/release/$$program.stripped .build/release/$$program; \
	    printf '%-8s %5.1f MB stripped\n' $$program "$$(( $$(stat -L -c %s .build/release/$$program.stripped) / 100000 ))e-1"; \
	done

deb: ## the Debian packages relayd and chatctl, with those for debuggers, into .build/deb (a release build)
	@packaging/deb.sh

format: ## format every Swift file in place
	@swift format format --in-place --recursive --parallel $(SWIFT_FILES)

lint: setup ## style, and imports that a target does not declare
	@swift format lint --strict --recursive --parallel $(SWIFT_FILES)
	@swift build $(QUIET) --explicit-target-dependency-import-check error
	@echo "nothing to complain about"

clean: ## remove what the builds made
	@rm -rf .build .build-tsan
