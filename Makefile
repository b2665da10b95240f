# The one way to build, lint, test and measure. `make serve` and `make test` install what they need.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8000
# The scripts that install and start what we measure against; without them the benchmark runs alone.
PEERS ?= ../shared/peers
export CARGO_TERM_COLOR ?= auto

RUST_SOURCES := Cargo.toml Cargo.lock $(shell find crates benches/floor benches/scheduler proto -type f)
PYTHON_PATHS := python api_server examples tests benches

.PHONY: serve test test-rust test-python lint format wheel bench bench-objects bench-scheduler bench-pools bench-fleet miri clean

## Build, install and serve examples.basic.app:app until Ctrl-C.
serve: $(VENV)/installed
	$(BIN)/anyserve run examples.basic.app:app --port $(PORT)

## Install what tests need and run everything.
test: lint test-rust test-python

test-rust:
	tests/install_tools.sh
	cargo test --workspace --exclude anyserve-py --quiet

test-python: $(VENV)/installed
	tests/install_tools.sh
	$(BIN)/python -m pytest

lint: $(VENV)/installed
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet
	$(BIN)/ruff check $(PYTHON_PATHS)
	$(BIN)/ruff format --check $(PYTHON_PATHS)
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest anyserve._core

format: $(VENV)/tools
	cargo fmt --all
	$(BIN)/ruff check --fix $(PYTHON_PATHS)
	$(BIN)/ruff format $(PYTHON_PATHS)

## A wheel for any Python from 3.11 on, in dist/.
wheel: $(VENV)/tools
	$(BIN)/maturin build --release --out dist

## The tables of docs/benchmarks.md; PEERS=DIR names the scripts of the peers.
bench: $(VENV)/installed
	cargo build --release --quiet -p anyserve-bench-floor
	$(BIN)/python benches/bench.py --peers $(PEERS) --floor target/release/anyserve-bench-floor

## The table of the objects in docs/benchmarks.md; PEERS=DIR as for bench. iperf3 must be there to be measured beside.
bench-objects: $(VENV)/installed
	cargo build --release --quiet -p anyserve-bench-floor
	$(BIN)/python benches/objects_bench.py --peers $(PEERS) --floor target/release/anyserve-bench-floor

## The tables and the plot of docs/scheduling.md; TRACE=FILE names the trace that is replayed.
bench-scheduler:
	cargo build --release --quiet -p anyserve-bench-scheduler
	$(if $(TRACE),target/release/simulate $(TRACE) docs/scheduling.svg,@echo "no TRACE=FILE was given: no simulation")
	target/release/speed

## How fast workers start and pools take turns; TRACE=FILE adds the replay of docs/workers.md.
bench-pools: $(VENV)/installed
	$(BIN)/python benches/pools.py
	cargo build --release --quiet -p anyserve-bench-scheduler
	$(if $(TRACE),target/release/switch $(TRACE),@echo "no TRACE=FILE was given: no replay")
	$(if $(TRACE),$(BIN)/python benches/replay.py $(TRACE))
	target/release/switch --tick

## What a gateway adds beside nginx, calls between workers, clients beside tritonclient, and GET /route. Needs h2load, nginx
## and wrk.
bench-fleet: $(VENV)/installed
	cargo run --release --quiet -p anyserve-bench-scheduler --bin matching
	$(BIN)/python benches/gateway_bench.py
	$(BIN)/python benches/calls_bench.py
	$(BIN)/python benches/client_bench.py
	$(BIN)/python benches/route_bench.py

## What anyserve-shm does without a system call, under Miri. Needs a nightly toolchain that has it:
## rustup toolchain install nightly --component miri
miri:
	PROPTEST_CASES=8 MIRIFLAGS=-Zmiri-disable-isolation cargo +nightly miri test -p anyserve-shm

clean:
	rm -rf $(VENV) dist target

$(VENV)/tools: pyproject.toml
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/pip install --quiet --group dev
	touch $@

# The Python sources are used in place; only a change of the Rust ones needs a build.
$(VENV)/installed: $(VENV)/tools $(RUST_SOURCES) api_server/pyproject.toml
	VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/maturin develop --release --quiet
	$(BIN)/pip install --quiet --no-deps --editable api_server
	touch $@
