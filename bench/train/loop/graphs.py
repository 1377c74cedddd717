"""Work made of many small kernels, recorded as a CUDA graph: a replay launches all of them by one call.

At a batch of eight, or on an image of 25 px, a GPU is done with a kernel before Python has launched the next one.
Recorded whole, a step takes what its kernels take. The price is memory: what a recording computes keeps its place.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from bench.run import Compute

Scalars = dict[str, Tensor]
Call = Callable[[], Scalars]
Replay = Callable[[], None]

WARM_UP = 3
"""Calls of a key before its recording: by then kernels are chosen and compiled, optimisers have made their state."""


class Recorder(Protocol):
    def run(self, call: Call) -> Scalars:
        """The call as it is, where it can be recorded later."""

    def record(self, call: Call) -> tuple[Replay, Scalars]:
        """Computes nothing: how to repeat the call, and the tensors that each repetition fills."""


class Replayed:
    """`work(*key)`: as it is for the first calls of a key, then recorded and replayed; without a recorder as it is.

    `work` may read only tensors that stay in their place (parameters, buffers, optimiser state, inputs copied there),
    its key, and numbers that never change; and it may not wait for the device. What it returns is overwritten by the
    next call. After anything else has changed, call `forget`.
    """

    def __init__(self, work: Callable[..., Scalars], recorder: Recorder | None) -> None:
        self.work, self.recorder = work, recorder
        self.forget()

    def forget(self) -> None:
        self.calls: Counter[Hashable] = Counter()
        self.recorded: dict[Hashable, tuple[Replay, Scalars]] = {}

    def __call__(self, *key: Hashable) -> Scalars:
        if self.recorder is None:
            return self.work(*key)
        if key not in self.recorded:
            if self.calls[key] < WARM_UP:
                self.calls[key] += 1
                return self.recorder.run(lambda: self.work(*key))
            self.recorded[key] = self.recorder.record(lambda: self.work(*key))
        replay, scalars = self.recorded[key]
        replay()
        return scalars


class CudaRecorder:
    """Runs and records on a stream of its own, since a backward pass stays tied to the stream of its first run.

    Recordings share their memory: one runs at a time, and none needs what another left in it.

    Args:
        generators: all that the work draws from, besides torch's own.
    """

    def __init__(self, generators: Sequence[torch.Generator]) -> None:
        self.generators = generators
        self.stream, self.pool = torch.cuda.Stream(), torch.cuda.graph_pool_handle()

    def run(self, call: Call) -> Scalars:
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            scalars = call()
        torch.cuda.current_stream().wait_stream(self.stream)
        return scalars

    def record(self, call: Call) -> tuple[Replay, Scalars]:
        graph = torch.cuda.CUDAGraph()
        for generator in self.generators:
            graph.register_generator_state(generator)
        with torch.cuda.graph(graph, pool=self.pool, stream=self.stream):
            scalars = call()
        return graph.replay, scalars


def uses_graphs(compute: Compute, device: torch.device) -> bool:
    return compute.cuda_graphs and device.type == "cuda"


def recorder(compute: Compute, device: torch.device, generators: Sequence[torch.Generator]) -> Recorder | None:
    """None where the run asks for no recording, or the device has none."""
    return CudaRecorder(generators) if uses_graphs(compute, device) else None
