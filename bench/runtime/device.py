"""The device a job computes on."""

import os

import torch

from bench.errors import InputError


def choose_device(name: str) -> torch.device:
    """`auto` is the GPU where there is one; under torchrun each process takes the GPU of its local rank."""
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("compute.device: cuda, but torch sees no GPU here")
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
