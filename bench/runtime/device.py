"""The device a job computes on, and its threads."""

import os

import torch

from bench.errors import InputError
from bench.run import Compute


def choose_device(name: str) -> torch.device:
    """`auto` is the GPU where there is one; under torchrun each process takes the GPU of its local rank."""
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("compute.device: cuda, but torch sees no GPU here")
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


def open_device(compute: Compute) -> torch.device:
    """The device that a run asks for, made the current one, with the run's threads."""
    device = choose_device(compute.device)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if compute.threads is not None:
        torch.set_num_threads(compute.threads)
    return device


def device_name(device: torch.device) -> str:
    """The model of a GPU, else `cpu`."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
