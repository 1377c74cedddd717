"""Builds networks without parameter values to check the size of a network before its memory is allocated.

A run.json or an export may be untrusted. Its network is first built with parameters on torch's device `meta`, where
tensors have a shape but no storage. The construction stops when the parameters no longer fit in memory.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as registration
from torch.overrides import TorchFunctionMode

from bench.errors import InputError
from bench.registry import arguments, create_model
from bench.runtime.memory import check_memory

MAX_LAYERS = 10_000
"""Maximum number of modules of a network; the largest of this project has 700."""


class _NoValues(TorchFunctionMode):
    """Mode that creates parameters on `meta` and skips their initialisation, which would import torch's compiler.

    That import takes seconds. Buffers that a network computes from its arguments, such as resize matrices, have values.
    Raises InputError for a parameter that does not fit in memory, before torch computes its size, which may overflow.
    """

    def __init__(self, name: str):
        super().__init__()
        self.name = name

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        given = kwargs or {}
        if func is torch.empty:
            sizes = args[0] if args and isinstance(args[0], list | tuple) else args
            check_memory(math.prod(sizes), f"model {self.name}: its parameters")
            given = {**given, "device": "meta"}
        if getattr(func, "__name__", "").endswith("normal_"):
            return args[0] if args else given["tensor"]
        return func(*args, **given)


def build_skeleton(name: str, args: dict[str, Any], copies: int = 1) -> nn.Module:
    """Return a network of the registry without parameter values or spectral norm. Raises InputError if it is too large.

    `copies`: number of copies of its parameters that will be in memory. Callers skip external networks ("module:name"),
    so that their code does not run twice.
    """
    args = dict(args)
    if "spectral_norm" in arguments(name).model_fields:
        args["spectral_norm"] = False  # spectral norm would compute vectors from the values
    with _limit_layers(name, copies), _NoValues(name):
        return create_model(name, **args)


def check_network_size(name: str, args: dict[str, Any], copies: int = 1) -> None:
    """Raise InputError if `copies` copies of a network's parameters do not fit in memory. Skip external networks."""
    if ":" not in name:
        build_skeleton(name, args, copies)


@contextmanager
def _limit_layers(name: str, copies: int) -> Iterator[None]:
    """Stop the construction of a network that is too large. With a billion layers, the construction would never end."""
    total, modules = 0, 0

    def count_parameter(_module: nn.Module, _name: str, parameter: Tensor | None) -> None:
        nonlocal total
        if parameter is not None:
            total += parameter.numel() * parameter.element_size()
            check_memory(total * copies, f"model {name}: its parameters")

    def count_module(*_: Any) -> None:
        nonlocal modules
        modules += 1
        if modules > MAX_LAYERS:
            raise InputError(f"model {name}: more than {MAX_LAYERS:,} layers")

    hooks = [
        registration.register_module_parameter_registration_hook(count_parameter),
        registration.register_module_module_registration_hook(count_module),
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
