"""A network without values: its shapes are looked at before memory is taken for it.

A recipe and an export may be anyone's. Their network is built once with parameters on torch's device `meta`, where
tensors have a shape and no storage, and is given up as soon as it has more of them than fit into memory.
"""

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

MOST_LAYERS = 10_000
"""Modules of a network; the largest of this project has 700."""


class _NoValues(TorchFunctionMode):
    """Layers get parameters on `meta`, and no initial values: to draw them there, torch imports its compiler (seconds).

    What a network computes from its arguments, such as the matrices of a resize, has values.
    """

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        given = kwargs or {}
        if func is torch.empty:
            given = {**given, "device": "meta"}
        if getattr(func, "__name__", "").endswith("normal_"):
            return args[0] if args else given["tensor"]
        return func(*args, **given)


def build_skeleton(name: str, args: dict[str, Any], copies: int = 1) -> nn.Module:
    """The network of the registry without values and spectral norm; an InputError where it is too large.

    `copies`: how often its parameters will be held. Code from outside is not built twice: see `check_network_size`.
    """
    args = dict(args)
    if "spectral_norm" in arguments(name).model_fields:
        args["spectral_norm"] = False  # its vectors are computed from the values
    with _counting(name, copies), _NoValues():
        return create_model(name, **args)


def check_network_size(name: str, args: dict[str, Any], copies: int = 1) -> None:
    """InputError where the parameters of a network, held `copies` times, do not fit into memory."""
    if ":" not in name:
        build_skeleton(name, args, copies)


@contextmanager
def _counting(name: str, copies: int) -> Iterator[None]:
    """Give up in the middle of the construction: a network of a billion layers is never complete."""
    total, modules = 0, 0

    def count_parameter(_module: nn.Module, _name: str, parameter: Tensor | None) -> None:
        nonlocal total
        if parameter is not None:
            total += parameter.numel() * parameter.element_size()
            check_memory(total * copies, f"model {name}: its parameters")

    def count_module(*_: Any) -> None:
        nonlocal modules
        modules += 1
        if modules > MOST_LAYERS:
            raise InputError(f"model {name}: more than {MOST_LAYERS:,} layers")

    hooks = [
        registration.register_module_parameter_registration_hook(count_parameter),
        registration.register_module_module_registration_hook(count_module),
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
