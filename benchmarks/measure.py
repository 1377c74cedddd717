"""Runs one benchmark in the current process and adds a description of the machine."""

import importlib
import platform
import time
from typing import Any

import torch

from bench.provenance import processor_name
from bench.runtime.device import choose_device, device_name


def measure(name: str, quick: bool) -> dict[str, Any]:
    start = time.perf_counter()
    result = importlib.import_module(f"benchmarks.bench_{name}").measure(quick)
    seconds = round(time.perf_counter() - start, 1)
    return {"benchmark": name, "quick": quick, **machine(), **result, "seconds": seconds}


def machine() -> dict[str, Any]:
    """Return device, processor, threads and versions, because the results depend on them."""
    versions = {"python": platform.python_version(), "torch": torch.__version__, "cuda": torch.version.cuda}
    return {
        "device": device_name(choose_device("auto")),
        "processor": processor(),
        "threads": torch.get_num_threads(),
        "versions": versions,
    }


def processor() -> str:
    """Return the model name and vector instructions of the CPU."""
    return f"{processor_name()}, {torch.backends.cpu.get_cpu_capability()}"
