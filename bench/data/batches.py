"""Batches of a classification set: `batch(step)` is a function of (seed, rollback, step), so a resumed run continues.

Arrays are kept on the device as uint8. Image files (bench.data.loaders) and samples of shards (bench.data.shards) are
decoded by threads, some batches ahead. The last, incomplete batch of an epoch is dropped.
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
from bench.runtime.rng import generator, permutation

Batch = tuple[Tensor, Tensor]
"""Images uint8 [B, C, H, W] and labels int64 [B]: this process's rows of a global batch."""
AHEAD = 3  # batches decoded before they are asked for
EVALUATION_SHARE = 224 / 256  # the centre crop's part of the shorter side in single-crop evaluation


@dataclass(frozen=True)
class BatchPlan:
    """How a set is cut into batches: the global batch, and this process's rows of it."""

    rows: BatchRows
    seed: int
    device: torch.device


class Batches(Protocol):
    steps_per_epoch: int
    cropped: bool
    """The loader has already cut and flipped the images, as recipe.augment "imagenet" asks."""

    def batch(self, step: int) -> Batch:
        """Batch `step` of the whole training, counted from 0 over all epochs."""

    def reseed(self, rollback: int) -> None: ...


def count_steps(images: int, batch_size: int, source: str) -> int:
    """Full batches in an epoch; an InputError when there is none."""
    if batch_size > images:
        raise InputError(
            f"recipe.batch_size {batch_size} exceeds the {images} training images of {source}: "
            "the incomplete batch is dropped, none would be left"
        )
    return images // batch_size


class MemoryBatches:
    """The whole set as uint8 on the device; only the order of the epoch is moved there."""

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
    """Random resized crop and flip of RGB from 5 uniform draws; antialiased bilinear; uint8 [3, size, size]."""
    top, left, height, width = draw_boxes(uniform[None, :4], image.height, image.width)[0].tolist()
    box = (left, top, left + width, top + height)
    image = image.resize((size, size), Image.Resampling.BILINEAR, box=box, reducing_gap=2.0)
    if uniform[4] < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return to_tensor(image)


def evaluation_crop(image: Image.Image, size: int) -> Tensor:
    """Of RGB, the centre 224/256 of the shorter side, resized with antialiasing, bilinear; uint8 [3, size, size]."""
    side = min(image.size) * EVALUATION_SHARE
    left, top = (image.width - side) / 2, (image.height - side) / 2
    box = (left, top, left + side, top + side)
    return to_tensor(image.resize((size, size), Image.Resampling.BILINEAR, box=box, reducing_gap=2.0))


def to_tensor(image: Image.Image) -> Tensor:
    """uint8 [C, H, W]"""
    pixels = np.array(image)
    return torch.from_numpy(pixels.reshape(*pixels.shape[:2], -1)).permute(2, 0, 1).contiguous()


File = tuple[str, int]
"""Path and label; of a shard, path and number of samples."""


def decode_file(
    file: File, size: int, crop_seed: int | None, index: int, background: Colour = WHITE
) -> tuple[Tensor, int]:
    """One image, cropped, and its label."""
    path, label = file
    with decoded(Path(path), background) as image:
        return crop(image, size, crop_seed, index), label


def crop(image: Image.Image, size: int, crop_seed: int | None, index: int) -> Tensor:
    """The training crop drawn from (crop_seed, index), or the evaluation crop without a seed."""
    if crop_seed is None:
        return evaluation_crop(image, size)
    return training_crop(image, size, torch.rand(5, generator=generator("cpu", crop_seed, index)))


def decode_ahead(batches: Iterator[list[Callable[[], tuple[Tensor, int]]]], device: torch.device) -> Iterator[Batch]:
    """Run each batch's decoding jobs on threads, AHEAD batches early: Pillow decodes and resizes without the GIL."""
    pool = ThreadPoolExecutor(count_threads())
    waiting: deque[list[Future]] = deque()
    try:
        while True:
            for jobs in itertools.islice(batches, AHEAD - len(waiting)):
                waiting.append([pool.submit(job) for job in jobs])
            if not waiting:
                return
            decoded = [future.result() for future in waiting.popleft()]
            images, labels = torch.stack([image for image, _ in decoded]), torch.tensor([n for _, n in decoded])
            if device.type == "cuda":
                images, labels = images.pin_memory(), labels.pin_memory()
            yield images.to(device, non_blocking=True), labels.to(device, non_blocking=True)
    finally:
        # without waiting: the garbage collector may close an unfinished stream on a thread of this pool
        pool.shutdown(wait=False, cancel_futures=True)


class Stream:
    """Provides `batch(step)` from an iterator that has a start. Consecutive steps continue it; others restart it."""

    def __init__(self, start: Callable[[int], Iterator[Batch]]) -> None:
        self._start, self._next, self._batches = start, -1, iter(())

    def batch(self, step: int) -> Batch:
        if step != self._next:
            self._batches, self._next = self._start(step), step
        self._next += 1
        return next(self._batches)


def count_threads() -> int:
    """Decoding threads: the cores this process may use, shared by the processes of this machine, at most 16."""
    cores = len(os.sched_getaffinity(0)) // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return max(1, min(16, cores))
