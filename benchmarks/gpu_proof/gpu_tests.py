"""Runs tests/gpu with pytest. Each outcome is recorded when its test ends, and tests that passed are not repeated."""

import re
import subprocess
import sys
import threading
from collections import Counter

from bench.code_digest import ROOT
from bench.runtime.device import choose_device
from benchmarks.gpu_proof.record import NEEDS_GPU, NO_TIME, Record

LINE = re.compile(r"^(tests/gpu/\S+::.+?) (PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS)\b")


def measure(record: Record, quick: bool) -> None:
    passed = [name for name, entry in record.entries.items() if entry.get("outcome") == "PASSED"]
    options = [option for name in passed for option in ("--deselect", name)]
    command = [sys.executable, "-m", "pytest", "tests/gpu", "-v", "-p", "no:cacheprovider", "--tb=short", *options]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        timer = threading.Timer(record.seconds_left(), process.kill)
        timer.start()
        output = []
        for line in process.stdout:
            output.append(line)
            if match := LINE.match(line):
                record.entries[match.group(1)] = {"outcome": match.group(2)}
                record.save()
        timer.cancel()
    counts = Counter(entry["outcome"] for entry in record.entries.values())
    if process.returncode < 0:
        record.unfinished.append("tests/gpu")
        record.skip("tests/gpu", NO_TIME)
    elif not counts or counts["FAILED"] + counts["ERROR"]:
        print("".join(output[-100:]), file=sys.stderr, flush=True)
    record.row("failed tests of tests/gpu", counts["FAILED"] + counts["ERROR"] if counts else None, at_most=0)
    if choose_device("auto").type == "cpu":
        record.skip("passed tests of tests/gpu", NEEDS_GPU)
    else:
        record.row("passed tests of tests/gpu", counts["PASSED"], at_least=1)
