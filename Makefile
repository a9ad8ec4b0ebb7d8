# Needs Python 3.11+ with venv, git, make and a compiler. All else comes from the package index, into .venv.
PYTHON ?= python3
BIN := .venv/bin
SYNC := .venv/.synced
# Two more than there are processors: tests of processes wait as much as they work.
WORKERS ?= $(shell echo $$(($$(getconf _NPROCESSORS_ONLN) + 2)))
MANIFESTS := pyproject.toml uv.lock kernel/pyproject.toml carrier/pyproject.toml testkit/pyproject.toml $(wildcard plugins/*/*/pyproject.toml)

.PHONY: demo test test-fast bench docs lint setup clean

demo: setup
	@$(BIN)/hermes demo --folder .demo

test: setup
	@$(BIN)/pytest -n $(WORKERS) --dist worksteal

test-fast: setup
	@$(BIN)/pytest -n $(WORKERS) --dist worksteal -m "not slow"

bench: setup
	@for file in benchmarks/bench_*.py; do echo "== $$file"; $(BIN)/python $$file || exit 1; done

docs: setup
	@$(BIN)/python docs/generate.py

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy kernel/src/hermes carrier/src/hermes_carrier

setup: $(SYNC)

$(BIN)/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Hermes needs Python 3.11 or newer.")'
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check "uv>=0.5"

$(SYNC): $(BIN)/uv $(MANIFESTS)
	@VIRTUAL_ENV=$(CURDIR)/.venv UV_PYTHON=$(CURDIR)/.venv/bin/python UV_PYTHON_DOWNLOADS=never \
		$(BIN)/uv sync --locked --all-packages --inexact --quiet --compile-bytecode
	@$(BIN)/python -m compileall -q kernel/src carrier/src plugins testkit/src
	@touch $@

clean:
	@rm -rf .venv .tox dist
