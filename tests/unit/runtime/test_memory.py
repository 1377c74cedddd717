"""Memory freed by a step is reused by the next one without new page faults."""

import os
import platform
import subprocess
import sys

import pytest

from tests.helpers import ROOT

CODE = """
import resource, sys
from bench.runtime.memory import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
faults = []
for _ in range(22):
    block = bytearray(64 << 20)
    del block
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
print(faults[-1] - faults[1])
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_repeated_large_allocations_reuse_pages():
    """Counts the faults of the last 20 of 22 blocks. For any page size a new block causes at least one fault."""
    root, problems = ROOT, {}
    other_allocators = ("LD_PRELOAD", "MALLOC_", "GLIBC_TUNABLES")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(other_allocators)}
    for name in ("kept", "default"):
        command = [sys.executable, "-c", CODE, name]
        done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=True)
        problems[name] = int(done.stdout)
    assert problems["kept"] < 20 <= problems["default"], problems
