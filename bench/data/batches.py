"""Batches of a classification dataset. `batch(step)` depends only on (seed, rollback, step), so a run can resume.

Arrays are kept on the device as uint8. Threads decode image files (bench.data.loaders) and samples of shards
(bench.data.shards) several batches ahead. The last, incomplete batch of an epoch is dropped.
"""

import itertools
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from bench.data.augment import BatchRows, draw_boxes
from bench.data.images import WHITE, Colour, decoded
from bench.errors import InputError
from bench.runtime.environment import launcher_variable
from bench.runtime.rng import generator, permutation

Batch = tuple[Tensor, Tensor]
"""Images, uint8 [B, C, H, W], and labels, int64 [B]. They are this process's rows of a global batch."""
PREFETCH = 3  # number of batches that are decoded in advance
CENTRE_CROP_RATIO = 224 / 256  # side of the centre crop relative to the shorter side, in single-crop evaluation


@dataclass(frozen=True)
class BatchPlan:
    """Division of a dataset into global batches, and the rows of each batch that belong to this process."""

    rows: BatchRows
    seed: int
    device: torch.device


class Batches(Protocol):
    steps_per_epoch: int
    cropped: bool
    """True if the loader already crops and flips the images, as recipe.augment "imagenet" requires."""

    def batch(self, step: int) -> Batch:
        """Return batch `step` of the run, counted from 0 over all epochs."""

    def reseed(self, rollback: int) -> None: ...


def count_steps(images: int, batch_size: int, source: str) -> int:
    """Return the number of full batches in an epoch. Raises InputError if there is no full batch."""
    if batch_size > images:
        raise InputError(
            f"recipe.batch_size {batch_size} exceeds the {images} training images of {source}: "
            "incomplete batches are dropped, so none would remain"
        )
    return images // batch_size


class MemoryBatches:
    """Batches of arrays kept on the device as uint8. In each epoch, only the permutation is copied to the device."""

    cropped = False

    def __init__(self, images: Tensor, labels: Tensor, plan: BatchPlan, source: str) -> None:
        self.steps_per_epoch = count_steps(len(images), plan.rows.total, source)
        self.images, self.labels, self.plan = images.to(plan.device), labels.to(plan.device), plan
        self.reseed(0)

    def reseed(self, rollback: int) -> None:
        self.rollback, self._epoch = rollback, -1

    def batch(self, step: int) -> Batch:
        epoch, index = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            order = permutation(len(self.images), self.plan.seed, "order", self.rollback, epoch)
            self._order, self._epoch = order.to(self.plan.device), epoch
        rows = self.plan.rows
        chosen = self._order[index * rows.total :][rows.start : rows.stop]
        return self.images[chosen], self.labels[chosen]


def training_crop(image: Image.Image, size: int, uniform: Tensor) -> Tensor:
    """Return a random crop of an RGB image as uint8 [3, size, size], resized with antialiased bilinear interpolation.

    `uniform` has 5 random numbers in [0, 1): four determine the box, and the fifth whether the crop is flipped.
    """
    top, left, height, width = draw_boxes(uniform[None, :4], image.height, image.width)[0].tolist()
    box = (left, top, left + width, top + height)
    image = image.resize((size, size), Image.Resampling.BILINEAR, box=box, reducing_gap=2.0)
    if uniform[4] < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return to_tensor(image)


def evaluation_crop(image: Image.Image, size: int) -> Tensor:
    """Return the centre crop of an RGB image as uint8 [3, size, size], resized with antialiased bilinear interpolation.

    The side of the square crop is 224/256 of the shorter side of the image.
    """
    side = min(image.size) * CENTRE_CROP_RATIO
    left, top = (image.width - side) / 2, (image.height - side) / 2
    box = (left, top, left + side, top + side)
    return to_tensor(image.resize((size, size), Image.Resampling.BILINEAR, box=box, reducing_gap=2.0))


def to_tensor(image: Image.Image) -> Tensor:
    """Convert an RGB image to uint8 [C, H, W]."""
    pixels = np.array(image)
    return torch.from_numpy(pixels.reshape(*pixels.shape[:2], -1)).permute(2, 0, 1).contiguous()


File = tuple[str, int]
"""Path and label of an image file, or path and number of samples of a shard."""


def decode_file(
    file: File, size: int, crop_seed: int | None, index: int, background: Colour = WHITE
) -> tuple[Tensor, int]:
    """Decode and crop one image, and return it with its label."""
    path, label = file
    with decoded(Path(path), background) as image:
        return crop(image, size, crop_seed, index), label


def crop(image: Image.Image, size: int, crop_seed: int | None, index: int) -> Tensor:
    """Return the training crop drawn from (crop_seed, index), or the evaluation crop if `crop_seed` is None."""
    if crop_seed is None:
        return evaluation_crop(image, size)
    return training_crop(image, size, torch.rand(5, generator=generator("cpu", crop_seed, index)))


def decode_ahead(batches: Iterator[list[Callable[[], tuple[Tensor, int]]]], device: torch.device) -> Iterator[Batch]:
    """Yield batches that threads decode up to PREFETCH batches ahead. Pillow decodes and resizes without the GIL."""
    pool = ThreadPoolExecutor(count_threads())
    waiting: deque[list[Future]] = deque()
    try:
        while True:
            for jobs in itertools.islice(batches, PREFETCH - len(waiting)):
                waiting.append([pool.submit(job) for job in jobs])
            if not waiting:
                return
            decoded = [future.result() for future in waiting.popleft()]
            images, labels = torch.stack([image for image, _ in decoded]), torch.tensor([n for _, n in decoded])
            if device.type == "cuda":
                images, labels = images.pin_memory(), labels.pin_memory()
            yield images.to(device, non_blocking=True), labels.to(device, non_blocking=True)
    finally:
        # does not wait, because the garbage collector may close an unfinished stream on a thread of this pool
        pool.shutdown(wait=False, cancel_futures=True)


class Stream:
    """Random access to the batches of a restartable iterator.

    The step that follows the previous step continues the iterator, and any other step restarts the iterator.
    """

    def __init__(self, start: Callable[[int], Iterator[Batch]]) -> None:
        self._start, self._next, self._batches = start, -1, iter(())

    def batch(self, step: int) -> Batch:
        if step != self._next:
            self._batches, self._next = self._start(step), step
        self._next += 1
        return next(self._batches)


def count_threads() -> int:
    """Return the number of usable cores divided by the number of processes on this machine, clamped to 1..16."""
    cores = len(os.sched_getaffinity(0)) // max(1, launcher_variable("LOCAL_WORLD_SIZE", 1))
    return max(1, min(16, cores))
