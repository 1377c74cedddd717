"""Batches of a classification set: `batch(step)` is a function of (seed, rollback, step), so a resumed run continues.

Arrays lie on the device as uint8. An ImageFolder is decoded by workers; an image's crop depends on (seed, epoch, its
index) alone. WebDataset shards are in bench.data.shards. The last, incomplete batch of an epoch is dropped.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from bench.data.augment import Rows, draw_boxes
from bench.errors import InputError
from bench.train.rng import generator, permutation

Batch = tuple[Tensor, Tensor]
"""Images uint8 [B, C, H, W] and labels int64 [B]: this process's rows of a global batch."""
EVALUATION_SHARE = 224 / 256  # the centre crop's part of the shorter side in single-crop evaluation


@dataclass(frozen=True)
class Plan:
    """How a set is cut into batches: the global batch, and this process's rows of it."""

    rows: Rows
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

    def __init__(self, images: Tensor, labels: Tensor, plan: Plan, source: str) -> None:
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
    """Random resized crop and flip from 5 uniform draws; antialiased bilinear; uint8 [3, size, size]."""
    top, left, height, width = draw_boxes(uniform[None, :4], image.height, image.width)[0].tolist()
    box = (left, top, left + width, top + height)
    image = image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR, box=box, reducing_gap=2.0)
    if uniform[4] < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return to_tensor(image)


def evaluation_crop(image: Image.Image, size: int) -> Tensor:
    """The centre 224/256 of the shorter side, resized to size x size, antialiased bilinear; uint8 [3, size, size]."""
    side = min(image.size) * EVALUATION_SHARE
    left, top = (image.width - side) / 2, (image.height - side) / 2
    box = (left, top, left + side, top + side)
    return to_tensor(image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR, box=box, reducing_gap=2.0))


def to_tensor(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()


@dataclass(frozen=True)
class ImageList(Dataset):
    """Decoded images of an ImageFolder; key (index, epoch seed), where no seed means the evaluation crop."""

    files: list[tuple[str, int]]
    size: int

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: tuple[int, int | None]) -> tuple[Tensor, int]:
        index, seed = key
        path, label = self.files[index]
        try:
            with Image.open(path) as image:
                if seed is None:
                    return evaluation_crop(image, self.size), label
                return training_crop(image, self.size, torch.rand(5, generator=generator("cpu", seed, index))), label
        except (OSError, Image.DecompressionBombError) as error:
            raise InputError(f"{path}: not a readable image ({error})") from None


def list_folder(root: Path) -> list[tuple[str, int]]:
    """(path, class index) of root/CLASS/*, classes in the order of their names."""
    from torchvision.datasets import ImageFolder

    try:
        return ImageFolder(str(root)).samples
    except FileNotFoundError as error:
        raise InputError(f"{root}: {str(error).splitlines()[0]}") from None


class FolderBatches:
    """Image files (path, label), decoded by worker processes in the order of (seed, rollback, epoch)."""

    def __init__(self, files: list[tuple[str, int]], size: int, plan: Plan, *, crop: bool, source: str) -> None:
        self.steps_per_epoch = count_steps(len(files), plan.rows.total, source)
        self.dataset, self.plan, self.cropped = ImageList(files, size), plan, crop
        self.reseed(0)

    def reseed(self, rollback: int) -> None:
        self.rollback, self._next, self._iterator = rollback, -1, iter(())

    def batch(self, step: int) -> Batch:
        if step != self._next:
            self._iterator, self._next = self._restart(step), step
        self._next += 1
        return next(self._iterator)

    def _restart(self, step: int) -> Iterator[Batch]:
        loader = DataLoader(
            self.dataset,
            batch_sampler=self._keys(step),
            num_workers=count_workers(),
            pin_memory=self.plan.device.type == "cuda",
        )
        for images, labels in loader:
            yield images.to(self.plan.device, non_blocking=True), labels.to(self.plan.device, non_blocking=True)

    def _keys(self, step: int) -> Iterator[list[tuple[int, int | None]]]:
        rows, seed = self.plan.rows, self.plan.seed
        epoch, start = divmod(step, self.steps_per_epoch)
        while True:
            order = permutation(len(self.dataset), seed, "order", self.rollback, epoch).tolist()
            crop_seed = generator("cpu", seed, "crop", self.rollback, epoch).initial_seed() if self.cropped else None
            for index in range(start, self.steps_per_epoch):
                chosen = order[index * rows.total :][rows.start : rows.stop]
                yield [(image, crop_seed) for image in chosen]
            epoch, start = epoch + 1, 0


def read_evaluation(files: list[tuple[str, int]], size: int, batch_size: int = 64) -> Batch:
    """All images once, in order, centre-cropped, as one uint8 tensor on the CPU."""
    parts = list(evaluation_batches(files, size, batch_size))
    return torch.cat([images for images, _ in parts]), torch.cat([labels for _, labels in parts])


def evaluation_batches(files: list[tuple[str, int]], size: int, batch_size: int) -> Iterator[Batch]:
    """All images once, in order, centre-cropped, on the CPU."""
    keys = [(index, None) for index in range(len(files))]
    batches = [keys[start : start + batch_size] for start in range(0, len(keys), batch_size)]
    yield from DataLoader(ImageList(files, size), batch_sampler=batches, num_workers=count_workers())


def count_workers() -> int:
    """Decoding processes: the cores this process may use, shared by the processes of this machine, at most 16."""
    cores = len(os.sched_getaffinity(0)) // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return max(1, min(16, cores))
