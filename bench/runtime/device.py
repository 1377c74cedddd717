"""Selects the device and number of threads of a job, and recognises errors of a GPU that no longer works."""

import torch

from bench.errors import InputError, first_line
from bench.run import Compute
from bench.runtime.environment import check_threads, launcher_variable

DEVICE_FAILURES = ("CUDA error", "CUDA driver error", "cuDNN error", "CUDNN_STATUS", "CUBLAS_STATUS", "NCCL error")
"""Parts of torch's messages about a failed GPU. After such a message, later calls in the same process fail too."""


def choose_device(name: str) -> torch.device:
    """Return the device for `name`. `auto` prefers a GPU; under torchrun each process uses the GPU of its local rank.

    Raises InputError if `name` is cuda and torch finds no GPU.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("compute.device: cuda, but torch finds no GPU; set auto or cpu")
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", launcher_variable("LOCAL_RANK", 0))


def open_device(compute: Compute) -> torch.device:
    """Return the device of a run after making it current and setting the run's number of threads."""
    check_threads(compute.threads, "compute.threads")
    device = choose_device(compute.device)
    if device.type == "cuda":
        try:
            torch.cuda.set_device(device)
        except RuntimeError as error:
            reason = f"{device} cannot be used ({first_line(error)})"
            raise InputError(f"compute.device: {reason}; check `nvidia-smi`, or set cpu") from error
    if compute.threads is not None:
        torch.set_num_threads(compute.threads)
    return device


def is_device_failure(error: BaseException) -> bool:
    """Return whether an error comes from a GPU that was lost, or from its driver."""
    if isinstance(error, torch.OutOfMemoryError) or not isinstance(error, RuntimeError):
        return False
    kind = getattr(torch, "AcceleratorError", None)
    return (kind is not None and isinstance(error, kind)) or any(mark in str(error) for mark in DEVICE_FAILURES)


def device_name(device: torch.device) -> str:
    """Return the model name of a GPU, or `cpu`."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
