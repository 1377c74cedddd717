"""Peak memory of a computation, excluding memory allocated before the computation."""

from collections.abc import Callable

import torch
from torch.profiler import ProfilerActivity, profile


def peak_bytes(work: Callable[[], object], device: torch.device | str = "cpu") -> int:
    """Return the peak of the bytes that `work` allocates on `device`.

    The peak is read from the allocator's statistics on a GPU, and from the profiler's allocation events on a CPU.
    """
    device = torch.device(device)
    if device.type != "cuda":
        return _peak_on_cpu(work)
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    work()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before


def _peak_on_cpu(work: Callable[[], object]) -> int:
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        work()
    allocated = peak = 0
    events = [event for event in recorded.profiler.kineto_results.events() if event.name() == "[memory]"]
    for event in sorted(events, key=lambda event: event.start_ns()):
        if event.device_type() == torch.autograd.DeviceType.CPU:
            allocated += event.nbytes()
            peak = max(peak, allocated)
    return peak
