# A thin face of Meson: every target first sets up what is missing, then hands over. `make help` lists them.

PREFIX ?= /usr/local
DESTDIR ?=
FUZZ_SECONDS ?= 60
TARGET ?=
SETUP ?= tools/setup

asan_options = -Db_sanitize=address,undefined -Db_lundef=false -Dui=disabled
tsan_options = -Db_sanitize=thread -Db_lundef=false -Dui=disabled
fuzz_options = -Dfuzzing=true $(asan_options)

.PHONY: all setup clients run python check interop ci asan tsan build-asan build-tsan build-fuzz fuzz bench lint install clean help

all: setup ## Set up what is missing and build the optimised program, build/weir (the default)
	@test -f build/build.ninja || meson setup build
	@ninja -C build
	@if [ -e build/src/cli/weir ]; then ln -sfn src/cli/weir build/weir; fi

setup:
	@$(SETUP) build

clients:
	@$(SETUP) build check
	@tools/clients

run: all ## Start everything with the demo services, print the page's address and a query; Ctrl-C stops it all
	@tools/run

python: setup ## Build the Python package's wheel into build/python-dist
	@$(SETUP) build python
	@mkdir -p build
	@test -x build/wheel-venv/bin/pip || python3 -m venv build/wheel-venv
	@rm -rf build/python-dist
	@build/wheel-venv/bin/pip wheel -q --disable-pip-version-check --no-deps -w build/python-dist .
	@ls build/python-dist/*.whl

check: all clients ## Run every test: unit tests, fuzz corpora, the page's tests, end-to-end and fault tests, the Python package's
	@tools/check unit e2e faults python

interop: all clients ## Run our processes beside the stock OpenTelemetry Collector (builds it; needs Go)
	@tools/stock-collector
	@build/venv/bin/python -m pytest tests/e2e/stock_collector.py

ci: all clients build-asan ## What CI runs: lint, unit and protocol tests under ASan and UBSan, then all of `make check`
	@$(SETUP) build lint
	@tools/check lint asan asan-e2e unit e2e faults python

build-asan: setup
	@test -f build-asan/build.ninja || meson setup build-asan $(asan_options)
	@ninja -C build-asan

build-tsan: setup
	@test -f build-tsan/build.ninja || meson setup build-tsan $(tsan_options)
	@ninja -C build-tsan

asan: build-asan ## Run the unit tests and fuzz corpora under AddressSanitizer and UBSan
	@tools/check asan

tsan: build-tsan ## Run the unit tests and fuzz corpora under ThreadSanitizer
	@tools/check tsan

build-fuzz:
	@$(SETUP) build fuzz
	@test -f build-fuzz/build.ninja || CC=clang-14 CXX=clang++-14 meson setup build-fuzz $(fuzz_options)
	@ninja -C build-fuzz

fuzz: build-fuzz ## Fuzz each target for FUZZ_SECONDS (60); TARGET=name picks one
	@tools/fuzz $(FUZZ_SECONDS) $(TARGET)

bench: all clients ## Run the benchmarks; BENCH_PAYLOAD=file for other data
	@meson test -C build --benchmark --verbose
	@PYTHONPATH=build/python/lib build/venv/bin/python bench/python_log.py

lint: setup ## Check ranks, forbidden functions, headers, scripts and stray paths
	@$(SETUP) build lint
	@tools/lint

install: all ## Install under PREFIX (/usr/local), inside DESTDIR if given
	@meson configure build -Dprefix='$(PREFIX)'
	@DESTDIR='$(DESTDIR)' meson install -C build

clean: ## Remove all that was built
	rm -rf build build-asan build-tsan build-fuzz

help: ## Say what the targets do
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 16
