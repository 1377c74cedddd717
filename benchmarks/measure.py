"""One benchmark and the machine it ran on: what the process that measures it does."""

import importlib
import platform
import time
from typing import Any

import torch

from bench.provenance import processor_name


def measure(name: str, quick: bool) -> dict[str, Any]:
    start = time.perf_counter()
    result = importlib.import_module(f"benchmarks.bench_{name}").measure(quick)
    seconds = round(time.perf_counter() - start, 1)
    return {"benchmark": name, "quick": quick, **machine(), **result, "seconds": seconds}


def machine() -> dict[str, Any]:
    """Device, versions and threads: what a number of this run hangs on."""
    gpu = torch.cuda.is_available()
    versions = {"python": platform.python_version(), "torch": torch.__version__, "cuda": torch.version.cuda}
    return {
        "device": torch.cuda.get_device_name() if gpu else "cpu",
        "processor": processor(),
        "threads": torch.get_num_threads(),
        "versions": versions,
    }


def processor() -> str:
    """Model name and vector instructions of the CPU."""
    return f"{processor_name()}, {torch.backends.cpu.get_cpu_capability()}"
