# One command per task; bare `make` lists them. PYTHON chooses the interpreter (3.10 or newer).

PYTHON ?= python3

# An interpreter that has torch is used as it is, offline (a prepared GPU machine); else a .venv is made.
ifeq ($(shell $(PYTHON) -c "import torch" 2>/dev/null && echo torch),torch)
BIN   :=
PY    := $(PYTHON)
STAMP := build/.setup
else
BIN   := .venv/bin/
PY    := .venv/bin/python
STAMP := .venv/.setup
endif
PIP     := $(PY) -m pip install --quiet --disable-pip-version-check
SOURCES := $(shell find csrc -type f) setup.py pyproject.toml

.PHONY: help setup demo test slow cpp lint bench gpu clean

help:  ## List the tasks.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: $(STAMP)  ## Install the pinned packages into .venv and build the kernels.

.venv/.packages: constraints.txt pyproject.toml
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	$(PIP) "$$(grep '^torch==' constraints.txt)"
	$(PIP) --constraint constraints.txt setuptools wheel ninja
	$(PIP) --constraint constraints.txt --no-build-isolation --editable ".[dev,tensorboard]"
	touch $@

.venv/.setup: .venv/.packages $(SOURCES)
	$(PIP) --no-build-isolation --no-deps --editable .
	touch $@

build/.setup: $(SOURCES)
	$(PIP) --no-index --no-build-isolation --no-deps --editable .
	mkdir -p build && touch $@

demo: $(STAMP)  ## Data, training, rollout, pictures and a table on real digits, in demo/.
	$(PY) -m vidpred demo

test: $(STAMP)  ## Run the tests that take seconds.
	$(PY) -m pytest --quiet

slow: $(STAMP)  ## Run the tests that take minutes.
	$(PY) -m pytest --quiet -m slow

cpp: $(STAMP)  ## Build the torch-free kernels and run the C++ tests, plain and under sanitizers.
	$(BIN)cmake -S . -B build/cpp -DPython_EXECUTABLE=$(abspath $(PY))
	$(BIN)cmake --build build/cpp --parallel 2
	$(BIN)ctest --test-dir build/cpp --output-on-failure

lint: $(STAMP)  ## Check style, types and the direction of imports.
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(BIN)lint-imports
	$(BIN)clang-format --dry-run --Werror $(filter %.h %.cpp %.cu,$(SOURCES))

bench: $(STAMP)  ## Measure the kernels, record the result and refresh the README's table.
	$(PY) benchmarks/record_kernels.py

gpu:  ## On a machine with a GPU: build, test, sanitize and measure, into build/gpu.
	PYTHON=$(PYTHON) benchmarks/gpu.sh

clean:  ## Remove what was built, and the .venv.
	rm -rf .venv build demo vidpred/*.so *.egg-info
