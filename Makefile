# Every target installs the environment first if necessary.
#   make setup       install .venv from requirements.lock, with verified hashes; TORCH_BACKEND=cpu: with torch's CPU build
#   make demo        run the whole pipeline at demo scale on real images; writes results/demo/report/index.html
#   make test        run the test suite, offline
#   make test-fast   run the files of tests/fast.txt: at least one test of every module, in two minutes
#   make test-images IMAGES=FOLDER  run the workflow at tiny scale on the paper's one-shot images in FOLDER
#   make test-scipy  test the metrics with SciPy 1.18, which clean-fid does not support
#   make test-python PYTHON_VERSION=3.13  run the fast tests on another Python
#   make test-slurm  run the tiny suite on a SLURM cluster of one node; needs root on Debian, installs slurm-wlm and munge
#   make test-browser  test the report's pages in Chromium; needs npm and Chromium, or root on Debian to install them
#   make test-fresh  run demo and tests in a fresh Debian 13; needs root and debootstrap
#   make lint        run ruff, mypy, snakefmt, snakemake --lint, codespell, the glossary check
#   make bench       measure speed and memory against the reference implementations
#   make gpu-proof   test the claims about GPUs in parts (PARTS='tests curves'); gpu-proof-quick runs the code on a CPU
#   make report      render tables, figures and page from all existing results

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
# Python versions of the lock file; PYTHON=PATH selects an interpreter, otherwise tools/find_python.sh finds one
VERSIONS := 3.11 3.12 3.13
# pip and uv cache in the home folder, or in build/ if the home folder is missing or read-only
CACHE := $${XDG_CACHE_HOME:-$${HOME:?}/.cache}
ifneq ($(shell { mkdir -p "$(CACHE)" && [ -w "$(CACHE)" ] && echo yes; } 2>/dev/null),yes)
export XDG_CACHE_HOME := $(CURDIR)/build/cache
endif
# nproc prints OMP_NUM_THREADS if it is set, and many clusters set it to 1. Each job sets its own number of threads.
CORES ?= $(shell unset OMP_NUM_THREADS OMP_THREAD_LIMIT; nproc)
VENV := .venv
BIN := $(VENV)/bin
SLURM := workflow/profiles/slurm
export DVC_NO_ANALYTICS := 1
# containers set this, but then each of the demo's sixty processes recompiles torch's bytecode, which takes 10 s
unexport PYTHONDONTWRITEBYTECODE
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: setup demo test test-fast test-images test-scipy test-python test-slurm test-browser test-fresh lint bench \
	gpu-proof gpu-proof-quick report lock clean
.DEFAULT_GOAL := demo

setup:
	@PYTHON='$(PYTHON)' TORCH_BACKEND='$(TORCH_BACKEND)' $(SHELL) tools/setup.sh $(VERSIONS)

demo: setup
	$(BIN)/snakemake --cores $(CORES)
	@$(BIN)/slim-bench verify --scale demo 2>/dev/null | tail -n 1 || true
	@echo "report: results/demo/report/index.html"

report: setup
	$(BIN)/snakemake --cores $(CORES) report

test: setup
	$(BIN)/python -m pytest --numprocesses $(CORES) --dist loadscope --no-loadscope-reorder

test-fast: setup
	$(BIN)/python -m pytest --numprocesses $(CORES) --dist loadscope @tests/fast.txt

# the images are not shipped, because their publishers state no licence
test-images: setup
	ONESHOT_IMAGES='$(abspath $(IMAGES))' $(BIN)/python -m pytest tests/workflow/test_oneshot_images.py

# installs a temporary environment build/$@ from the lock file, on a Python of VERSIONS; OVERRIDE replaces pins
define throw_away
	mkdir -p build
	printf '$(OVERRIDE)\n' > build/$@.txt
	python=$$(PYTHON= tools/find_python.sh $(VERSIONS)) && \
		$(BIN)/uv venv --quiet --clear --no-python-downloads --python "$$python" build/$@
	$(BIN)/uv pip install --quiet --python build/$@/bin/python --override build/$@.txt -r requirements.lock
	$(BIN)/uv pip install --quiet --python build/$@/bin/python --no-deps --no-build-isolation --editable .
endef

# SciPy 1.18 has no wheels for Python 3.11, and clean-fid fails on SciPy 1.18
test-scipy: private VERSIONS = 3.12 3.13
test-scipy: private OVERRIDE = scipy>=1.18,<1.19\nclean-fid ; python_version < "3"
test-scipy: setup
	$(throw_away)
	build/$@/bin/python -m pytest --numprocesses $(CORES) --dist loadscope \
		tests/unit/metrics tests/unit/report/compare/test_statistics.py tests/unit/data/test_prepare.py

# runs the fast tests on another Python
PYTHON_VERSION ?= 3.13
test-python: private VERSIONS = $(PYTHON_VERSION)
test-python: setup
	$(throw_away)
	build/$@/bin/python -m pytest --numprocesses $(CORES) --dist loadscope @tests/fast.txt

# The SLURM executor is installed only here, because importing it calls a program of SLURM.
test-slurm: private OVERRIDE =
test-slurm: setup
	tools/install_slurm.sh
	$(throw_away)
	$(BIN)/uv pip install --quiet --python build/$@/bin/python --require-hashes --no-deps -r $(SLURM)/requirements.lock
	build/$@/bin/python -m pytest -m slurm tests/slurm

test-browser: setup
	tools/test_browser.sh $(BIN)/python

# needs root, debootstrap and a network, so CI does not run it; FRESH='--quick --archive' runs a small part, from a ZIP
test-fresh:
	$(SHELL) tools/test_fresh.sh $(FRESH)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check workflow
	$(BIN)/python tools/lint_workflow.py
	$(BIN)/codespell
	$(BIN)/python tools/check_words.py

bench: setup
	$(BIN)/python -m benchmarks

gpu-proof: setup
	$(BIN)/python -m benchmarks.gpu_proof $(PARTS)

gpu-proof-quick: setup
	$(BIN)/python -m benchmarks.gpu_proof --quick $(PARTS)

# a single lock file for every Python of VERSIONS; scipy is pinned to 1.17.1 because clean-fid fails on 1.18
lock:
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--extra dev --custom-compile-command "make lock" pyproject.toml --output-file requirements.lock
	printf 'snakemake-executor-plugin-slurm%s\n' '' -jobstep | $(BIN)/uv pip compile --quiet --universal \
		--python-version 3.11 --generate-hashes --no-emit-index-url --no-deps --constraint requirements.lock \
		--custom-compile-command "make lock" - --output-file $(SLURM)/requirements.lock

# removes only files that this Makefile created
clean:
	[ ! -e $(VENV)/.slim-bench ] || rm -rf $(VENV)
	rm -rf build/test-scipy* build/test-python* build/test-slurm* build/test-browser slim_bench.egg-info
	rmdir build 2>/dev/null || true
