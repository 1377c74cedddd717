"""Several GPUs on one machine: every job leases one device for its lifetime. One GPU or none needs nothing.

Snakemake counts GPUs but does not say which one a job has. A lease is a lock on a file, so that the kernel gives it
back when a job dies, however it dies. No torch here: CUDA_VISIBLE_DEVICES has to be set before torch is imported.
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


def visible_devices() -> list[str]:
    """Ids of the GPUs this process may use, as CUDA_VISIBLE_DEVICES names them; empty without a GPU."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [name.strip() for name in given.split(",") if name.strip() not in ("", "-1")]
    return [str(index) for index in range(_count())]


def _count() -> int:
    """GPUs that NVIDIA's driver shows. The import costs 50 ms, so only where there is a driver."""
    if not Path("/proc/driver/nvidia").exists() and not Path("/dev/nvidiactl").exists():
        return 0
    try:
        import pynvml

        pynvml.nvmlInit()
        return int(pynvml.nvmlDeviceGetCount())
    except Exception:  # a driver without devices, or hidden from this container: the job runs on the CPU
        return 0


@contextmanager
def leased_device(folder: Path | None = None) -> Iterator[str | None]:
    """Hold one of several GPUs: it is the only one that torch, imported inside, will see. Waits while all are held."""
    devices = visible_devices()
    if len(devices) < 2 or "LOCAL_RANK" in os.environ:  # torchrun gives each process its device
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
    said = False
    while True:
        for device in devices:
            lock = lock_file(folder / f"{device.replace('/', '_')}.lock")
            if lock is not None:
                return device, lock
        if not said:
            print(f"all {len(devices)} GPUs are held by other jobs; waiting", file=sys.stderr, flush=True)
            said = True
        time.sleep(POLL_SECONDS)
