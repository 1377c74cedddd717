# The words of the project: every target sets up what it needs first.
#   make setup   one virtual environment, .venv, from requirements.lock (every pin with its hashes)
#   make demo    the whole pipeline at demo scale, on real images; ends in results/demo/report/index.html
#   make test    the test-suite, offline
#   make test-scipy  the metrics' own code on SciPy 1.18, which clean-fid cannot take
#   make lint    ruff, snakefmt, snakemake --lint
#   make bench   speed and memory, each ratio measured side by side in one run
#   make report  tables, figures and page from whatever has finished so far

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
# the first that is 3.11 or 3.12 and can make environments
PYTHONS := python3.11 python3.12 python3
CHECK := import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))
PYTHON ?= $(firstword $(foreach name,$(PYTHONS),$(shell $(name) -c '$(CHECK)' 2>/dev/null && echo $(name))))
CORES ?= $(shell nproc)
VENV := .venv
BIN := $(VENV)/bin
# set-up is finished only when this file stands: it is written last, and any change of the lock renews it
STAMP := $(VENV)/.installed
export DVC_NO_ANALYTICS := 1
# containers set this; but torch's bytecode is then compiled anew (10 s) at each of a demo's sixty process starts
unexport PYTHONDONTWRITEBYTECODE
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: setup demo test test-scipy lint bench report lock clean
.DEFAULT_GOAL := demo

setup: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	@echo "setting up $(VENV) from requirements.lock (once; torch with CUDA is large, a few minutes)"
	@$(or $(PYTHON),false) -c '$(CHECK)' 2>/dev/null || { \
		echo "Python 3.11 or 3.12 with venv is needed, not $(or $(PYTHON),any of $(PYTHONS)): run make with PYTHON=PATH" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	awk '/^uv==/ {on = 1} on {print} on && !/\\$$/ {exit}' requirements.lock > $(VENV)/uv.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(VENV)/uv.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	touch $@

demo: setup
	$(BIN)/snakemake --cores $(CORES)

report: setup
	$(BIN)/snakemake --cores $(CORES) report

test: setup
	$(BIN)/python -m pytest --numprocesses $(CORES) --dist loadscope --no-loadscope-reorder

# a throw-away environment from the same lock, but with SciPy 1.18 (no wheels for Python 3.11) and without clean-fid
PYTHON312 ?= python3.12
NEXT := build/scipy-1.18
test-scipy: setup
	mkdir -p build
	printf 'scipy>=1.18,<1.19\nclean-fid ; python_version < "3"\n' > $(NEXT).txt
	$(BIN)/uv venv --quiet --clear --no-python-downloads --python $(PYTHON312) $(NEXT)
	$(BIN)/uv pip install --quiet --python $(NEXT)/bin/python --override $(NEXT).txt -r requirements.lock
	$(NEXT)/bin/python -m pytest --numprocesses $(CORES) --dist loadscope \
		tests/unit/metrics tests/unit/report/test_report_statistics.py tests/unit/test_prepare.py

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check workflow
	$(BIN)/python tools/lint_workflow.py

bench: setup
	$(BIN)/python -m benchmarks

# the one lock for Python 3.11 and 3.12; scipy stays at 1.17.1 because clean-fid breaks on 1.18
lock:
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--extra dev --custom-compile-command "make lock" pyproject.toml --output-file requirements.lock

clean:
	rm -rf $(VENV) build *.egg-info
