"""Assigns GPUs to jobs on a machine with several GPUs. Each job leases one device for its lifetime.

Snakemake counts GPUs but does not assign a particular GPU to a job. A lease is a file lock, which the kernel releases
when the job ends for any reason. This module does not import torch, because CUDA_VISIBLE_DEVICES must be set before
torch is imported. A job takes no lease if at most one GPU is visible.
"""

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import BaseFileLock

from bench.runtime.locks import lock_file

POLL_SECONDS = 2.0
DEVICE_FILES = Path("/dev")


def visible_devices() -> list[str]:
    """Return the ids of the GPUs that this process may use, in the format of CUDA_VISIBLE_DEVICES."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [name.strip() for name in given.split(",") if name.strip() not in ("", "-1")]
    return [str(index) for index in range(_count())]


def _count() -> int:
    """Return the number of GPUs that NVIDIA's driver reports, or the number of device files if NVML does not work.

    NVML is imported only if the driver is present, because the import takes 50 ms.
    """
    if not Path("/proc/driver/nvidia").exists() and not (DEVICE_FILES / "nvidiactl").exists():
        return 0
    try:
        import pynvml

        pynvml.nvmlInit()
        return int(pynvml.nvmlDeviceGetCount())
    except Exception:  # a container without GPUs has no device files, so its jobs run on the CPU
        return sum(path.name.removeprefix("nvidia").isdecimal() for path in DEVICE_FILES.glob("nvidia*"))


@contextmanager
def leased_device(folder: Path | None = None) -> Iterator[str | None]:
    """Hold a lease on one of several GPUs and make this GPU the only visible GPU. Waits while all GPUs are leased.

    Import torch inside the context, so that torch finds only this GPU.
    """
    devices = visible_devices()
    if len(devices) < 2 or "LOCAL_RANK" in os.environ:  # torchrun assigns a device to each process
        yield devices[0] if devices else None
        return
    device, lock = _wait_for_one(devices, folder or Path(tempfile.gettempdir()) / f"slim-bench-gpu-{os.getuid()}")
    before = os.environ.get("CUDA_VISIBLE_DEVICES")
    os.environ["CUDA_VISIBLE_DEVICES"] = device
    try:
        yield device
    finally:
        lock.release()
        if before is None:
            del os.environ["CUDA_VISIBLE_DEVICES"]
        else:
            os.environ["CUDA_VISIBLE_DEVICES"] = before


def _wait_for_one(devices: list[str], folder: Path) -> tuple[str, BaseFileLock]:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    printed = False
    while True:
        for device in devices:
            lock = lock_file(folder / f"{device.replace('/', '_')}.lock")
            if lock is not None:
                return device, lock
        if not printed:
            print(f"waiting for a GPU: other jobs use all {len(devices)}", file=sys.stderr, flush=True)
            printed = True
        time.sleep(POLL_SECONDS)
