"""Avoids importing the torch.compile machinery in runs that compile nothing.

Avoiding the import saves 4.3 s of CPU time and 150 MB of memory in every training process (torch 2.15, one core).

torch's optimisers import this machinery on first use, in two wrappers: the first marks a graph break in `step`, and the
second excludes other methods from compilation. Outside a compiled region, neither wrapper has an effect.
"""

import torch
from torch.optim import SGD, Adam, AdamW, Optimizer


def avoid_compiler_import() -> None:
    """Bypass both wrappers in the optimisers that the engines use. Do nothing if torch has no such wrappers."""
    for kind in (SGD, Adam, AdamW):
        step = getattr(vars(kind).get("step"), "__wrapped__", None)
        if step is not None:
            kind.step = torch.no_grad()(step)
    for method in vars(Optimizer).values():
        function = getattr(method, "__wrapped__", None)
        if function is not None and not hasattr(function, "__dynamo_disable"):
            function.__dynamo_disable = function  # the wrapper calls the function cached here, if any
