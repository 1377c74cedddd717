"""Records a sequence of many small kernels as a CUDA graph, which launches all kernels with one call.

With a batch of eight or an image of 25 px, a GPU finishes each kernel before Python launches the next kernel. A
recorded step takes only the time of its kernels. A recorded step needs more memory than an unrecorded step, because the
tensors of a recording remain allocated.
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
"""Number of calls with the same arguments before recording. These calls select kernels and allocate optimiser state."""


class Recorder(Protocol):
    def run(self, call: Call) -> Scalars:
        """Run the call without recording, so that the call can be recorded later."""

    def record(self, call: Call) -> tuple[Replay, Scalars]:
        """Record the call without executing it. Return a function that replays it, and the tensors that it fills."""


class Replayed:
    """Callable that runs `work(*key)`. After WARM_UP calls with a key, the work is recorded and then replayed.

    Without a recorder, every call runs `work` directly. `work` may read only its key, constant numbers, and tensors
    with a fixed address (parameters, buffers, optimiser state, inputs copied to such tensors), and it must not
    synchronise with the device. The next call overwrites the returned tensors. Call `forget` if anything else that
    `work` uses has changed, such as a learning rate.
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
    """Recorder with a separate stream, because a backward pass remains bound to the stream of its first run.

    Recordings share one memory pool, because only one recording is replayed at a time and no recording reads the
    results of another.

    Args:
        generators: all random generators that the work uses, except torch's global generator.
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
    """Return a recorder, or None if the run disables CUDA graphs or the device is not a GPU."""
    return CudaRecorder(generators) if uses_graphs(compute, device) else None
