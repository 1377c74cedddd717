# The words of the project: every target sets up what it needs first.
#   make setup   one virtual environment, .venv, from requirements.lock (every pin with its hashes)
#   make demo    the whole pipeline at demo scale, on real images; ends in results/demo/report/index.html
#   make test    the test-suite, offline
#   make test-fast  a test of every module in two minutes: the files of tests/fast.txt
#   make test-scipy  the metrics' own code on SciPy 1.18, which clean-fid cannot take
#   make test-python PYTHON_VERSION=3.13  the fast tests on another Python
#   make test-fresh  demo and tests in a fresh Debian 13; needs root and debootstrap
#   make lint    ruff, mypy, snakefmt, snakemake --lint
#   make bench   speed and memory, each ratio measured side by side in one run
#   make report  tables, figures and page from whatever has finished so far

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
# what the lock is compiled for; PYTHON=PATH names one, else tools/find_python.sh looks for the first that works
VERSIONS := 3.11 3.12 3.13
# pip and uv keep caches in the home; where that is missing or read-only, in build/
CACHE := $${XDG_CACHE_HOME:-$${HOME:?}/.cache}
ifneq ($(shell { mkdir -p "$(CACHE)" && [ -w "$(CACHE)" ] && echo yes; } 2>/dev/null),yes)
export XDG_CACHE_HOME := $(CURDIR)/build/cache
endif
CORES ?= $(shell nproc)
VENV := .venv
BIN := $(VENV)/bin
export DVC_NO_ANALYTICS := 1
# containers set this; but torch's bytecode is then compiled anew (10 s) at each of a demo's sixty process starts
unexport PYTHONDONTWRITEBYTECODE
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: setup demo test test-fast test-scipy test-python test-fresh lint bench report lock clean
.DEFAULT_GOAL := demo

setup:
	@PYTHON='$(PYTHON)' $(SHELL) tools/setup.sh $(VERSIONS)

demo: setup
	$(BIN)/snakemake --cores $(CORES)

report: setup
	$(BIN)/snakemake --cores $(CORES) report

test: setup
	$(BIN)/python -m pytest --numprocesses $(CORES) --dist loadscope --no-loadscope-reorder

test-fast: setup
	$(BIN)/python -m pytest --numprocesses $(CORES) --dist loadscope @tests/fast.txt

# a throw-away environment in $@, from the same lock: of Python VERSIONS, with the pins in OVERRIDE instead of the lock's
define throw_away
	mkdir -p build
	printf '$(OVERRIDE)\n' > build/$@.txt
	python=$$(PYTHON= tools/find_python.sh $(VERSIONS)) && \
		$(BIN)/uv venv --quiet --clear --no-python-downloads --python "$$python" build/$@
	$(BIN)/uv pip install --quiet --python build/$@/bin/python --override build/$@.txt -r requirements.lock
	$(BIN)/uv pip install --quiet --python build/$@/bin/python --no-deps --no-build-isolation --editable .
endef

# SciPy 1.18 has no wheels for Python 3.11, and clean-fid does not run on it
test-scipy: private VERSIONS = 3.12 3.13
test-scipy: private OVERRIDE = scipy>=1.18,<1.19\nclean-fid ; python_version < "3"
test-scipy: setup
	$(throw_away)
	build/$@/bin/python -m pytest --numprocesses $(CORES) --dist loadscope \
		tests/unit/metrics tests/unit/report/compare/test_statistics.py tests/unit/data/test_prepare.py

# on another Python: a test of every module
PYTHON_VERSION ?= 3.13
test-python: private VERSIONS = $(PYTHON_VERSION)
test-python: setup
	$(throw_away)
	build/$@/bin/python -m pytest --numprocesses $(CORES) --dist loadscope @tests/fast.txt

# not in CI: root, debootstrap and a network; FRESH='--quick --archive': a small part, and as from a ZIP
test-fresh:
	$(SHELL) tools/test_fresh.sh $(FRESH)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check workflow
	$(BIN)/python tools/lint_workflow.py

bench: setup
	$(BIN)/python -m benchmarks

# the one lock for every Python of VERSIONS; scipy stays at 1.17.1 because clean-fid breaks on 1.18
lock:
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--extra dev --custom-compile-command "make lock" pyproject.toml --output-file requirements.lock

# what this Makefile made, nothing else in these folders
clean:
	[ ! -e $(VENV)/.slim-bench ] || rm -rf $(VENV)
	rm -rf build/test-scipy* build/test-python* slim_bench.egg-info
	rmdir build 2>/dev/null || true
