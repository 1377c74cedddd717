"""Process group of a run started by torchrun. All functions also work in a single process."""

import torch
import torch.distributed as dist

from bench.runtime.environment import launcher_variable


def start_group(device: torch.device) -> None:
    """Join the group that torchrun describes in the environment (nccl on GPUs, gloo on CPUs)."""
    if launcher_variable("WORLD_SIZE", 1) > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")


def stop_group() -> None:
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def world_size() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def any_process(flag: bool, device: torch.device) -> bool:
    """Return whether `flag` is set in any process. All processes must stop, save or roll back together."""
    if world_size() == 1:
        return flag
    value = torch.tensor(float(flag), device=device)
    dist.all_reduce(value, dist.ReduceOp.MAX)
    return bool(value.item())


def all_equal(value: int, device: torch.device) -> bool:
    """Return whether `value` is equal in all processes."""
    if world_size() == 1:
        return True
    extremes = torch.tensor([value, -value], device=device)
    dist.all_reduce(extremes, dist.ReduceOp.MAX)
    return int(extremes[0]) == -int(extremes[1])


def barrier() -> None:
    if world_size() > 1:
        dist.barrier()
