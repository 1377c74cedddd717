"""Memory that a step has freed is there for the next one: no page is fetched twice."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import resource, sys
from bench.train.allocator import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
for _ in range(20):
    block = bytearray(64 << 20)
    del block
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_repeated_large_blocks_fault_once():
    root = Path(__file__).parents[3]
    faults = {}
    for name in ("kept", "default"):
        done = subprocess.run([sys.executable, "-c", CODE, name], cwd=root, capture_output=True, text=True, check=True)
        faults[name] = int(done.stdout)
    assert faults["kept"] < faults["default"] / 4
