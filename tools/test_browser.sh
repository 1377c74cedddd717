#!/usr/bin/env bash
# Render a report of invented results, and a report of the size of the paper suite. Test their pages in Chromium with
# the packages of tests/browser.
# `make test-browser` calls this script. If the test is impossible, it prints the reason and exits with code 1.
#   tools/test_browser.sh [--check | PYTHON]    --check: only check whether the test is possible
set -euo pipefail
cd "$(dirname "$0")/.."

stop() {
    echo "$1" >&2
    exit 1
}

chromium=${CHROMIUM:-$(command -v chromium || command -v chromium-browser || true)}
if [ -z "$chromium" ] || ! command -v npm >/dev/null; then
    [ "$(id -u)" = 0 ] && [ -e /etc/debian_version ] && command -v apt-get >/dev/null ||
        stop "npm and Chromium are needed, or root on Debian to install them"
    apt-cache show chromium npm >/dev/null 2>&1 || apt-get update -qq 2>/dev/null || stop "apt-get cannot update its lists"
    apt-cache show chromium npm >/dev/null 2>&1 || stop "the packages chromium and npm cannot be installed"
    [ "${1:-}" = --check ] && exit 0
    apt-get update -qq # existing lists may name versions that the mirror has removed
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium npm >/dev/null
    chromium=$(command -v chromium)
fi
if [ "${1:-}" = --check ]; then
    timeout 20 npm ping --silent >/dev/null 2>&1 || stop "npm cannot reach its registry"
    exit 0
fi

build=$PWD/build/test-browser
rm -rf "$build"
mkdir -p "$build"
cp tests/browser/{package.json,package-lock.json,.npmrc,page.test.mjs} "$build"
(cd "$build" && npm ci --ignore-scripts --no-audit --no-fund --silent) || stop "npm cannot install the packages of tests/browser"
"$1" -c '
import sys
from pathlib import Path
from bench.report.page import render
from bench.report.read.collect import collect
from tests.helpers.large_report import make_large_results
from tests.helpers.report_fixture import make_results

scale_dir = make_results(Path(sys.argv[1]), seeds=3)
collect(scale_dir)
render(scale_dir)
large = Path(sys.argv[1], "results/paper")
make_large_results(large, histories=False)
render(large)
' "$build"
cd "$build"
CHROMIUM=$chromium REPORT=$build/results/demo/report/index.html LARGE=$build/results/paper/report/index.html node --test page.test.mjs
