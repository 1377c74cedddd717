"""Data-parallel classification under torchrun, with results that do not depend on the number of processes.

Each process computes its rows of every global batch. Random augmentation parameters are drawn for the whole batch.
DistributedDataParallel averages the gradients. This average is the gradient of the global mean loss, because all local
batches have equal size. Batch norm statistics are summed over the processes by torch's SyncBatchNorm on GPUs and by
`GroupBatchNorm` (all-reduce, any device) elsewhere. A single process uses neither class.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from bench.data.augment import BatchRows
from bench.errors import InputError
from bench.runtime.processes import rank, world_size


def local_rows(batch_size: int) -> BatchRows:
    """Return this process's rows of a global batch.

    Raises InputError if the batch is not divisible by the number of processes.
    """
    count, rest = divmod(batch_size, world_size())
    if rest or not count:
        raise InputError(f"recipe.batch_size {batch_size} is not divisible by the {world_size()} processes")
    return BatchRows(rank() * count, (rank() + 1) * count, batch_size)


def check_even(rows: BatchRows) -> None:
    """Raise InputError if the local batch of each process has an odd size.

    Mixup and cutmix pair images within a process. With odd local batches, the pairs would differ from those of a run
    with one process.
    """
    if world_size() > 1 and (rows.stop - rows.start) % 2:
        raise InputError(f"recipe.batch_size {rows.total}: mixup and cutmix need an even number of images per process")


def data_parallel(model: nn.Module) -> nn.Module:
    """Wrap the model in DistributedDataParallel if there are several processes.

    Buffers are not broadcast, because batch norm computes the same statistics in every process.
    """
    if world_size() == 1:
        return model
    return DistributedDataParallel(model, broadcast_buffers=False)


def mean_over_processes(scalars: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the mean of each scalar over the processes. Each process must have averaged equally many rows."""
    if world_size() == 1:
        return scalars
    values = torch.stack(list(scalars.values()))
    dist.all_reduce(values)
    return dict(zip(scalars, (values / world_size()).unbind(), strict=True))


def synchronise_norms(model: nn.Module) -> nn.Module:
    """Make every batch norm compute its statistics over all processes, with unchanged parameter and buffer names."""
    if world_size() == 1:
        return model
    if next(model.parameters()).device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(model)
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.__class__ = GroupBatchNorm
    return model


class _AllReduceSum(torch.autograd.Function):
    """Sum of a tensor over the processes. The backward pass sums the gradients of all processes."""

    @staticmethod
    def forward(context: Any, value: Tensor) -> Tensor:
        value = value.clone()
        dist.all_reduce(value)
        return value

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        gradient = gradient.clone()
        dist.all_reduce(gradient)
        return gradient


class GroupBatchNorm(_BatchNorm):
    """Batch norm over all processes, with equally many images in each.

    In evaluation mode, the computation is that of torch's batch norm.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        if input.ndim < 2:
            raise ValueError(f"expected [B, C, ...], got {list(input.shape)}")

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        axes = [axis for axis in range(input.ndim) if axis != 1]
        shape = [1, -1] + [1] * (input.ndim - 2)
        count = input.numel() // input.shape[1] * world_size()
        mean = _AllReduceSum.apply(input.sum(axes)) / count
        centred = input - mean.view(shape)
        variance = _AllReduceSum.apply(centred.square().sum(axes)) / count
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
            self.num_batches_tracked += 1
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return centred * scale.view(shape) + self.bias.view(shape)
