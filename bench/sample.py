"""Inference with a finished export: image grids of samples, and the most likely classes of images."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageOps
from torch import Tensor

from bench.data.augment import Normalise, Statistics
from bench.data.batches import evaluation_crop, to_tensor
from bench.data.images import WHITE, Colour, decoded
from bench.errors import InputError
from bench.export import META, RETRAIN, load_export
from bench.run import RECIPES
from bench.runtime.device import choose_device
from bench.runtime.images import save_grid, to_signed
from bench.runtime.memory import check_memory
from bench.runtime.rng import generator
from bench.sampling import generate

BATCH = 16  # the authors' batch size for sampling, which affects batch statistics
TOP_CLASSES = 5


def sample(model: Path, n: int, seed: int, out: Path) -> None:
    """Generate `n` images, and write them as an approximately square image grid to `out`."""
    if n < 1:
        raise InputError(f"-n {n}: at least 1 image is needed")
    if seed < 0:
        raise InputError(f"--seed {seed}: must not be negative")
    network, meta = load_export(model)
    kind = type_of(meta, model)
    if kind == "classification":
        raise InputError(f"{model}: {meta['model']['name']} is a classifier; use `slim-bench classify`")
    network = network.to(choose_device("auto"))
    if kind == "oneshot":
        _check_memory(n, math.prod(network.sizes[-1]) * 3)
        images = network.sample(n, generator("cpu", seed, "samples"))
    else:
        batches = generate(network, n, BATCH, seed)
        first = next(batches)
        _check_memory(n, first[0].numel())
        images = to_signed(torch.cat([first, *batches]))
    save_grid(Path(out), images.cpu(), max(1, math.ceil(math.sqrt(n))))


def _check_memory(n: int, values: int) -> None:
    """Raise InputError if `n` float32 images of `values` values each, and their grid, do not fit in memory."""
    check_memory(n * values * 8, f"-n {n}: the images")


def type_of(meta: dict[str, Any], folder: Path) -> str:
    """Return the task of an export: the task of its network or, for an external network, of its run."""
    from bench.registry import MODELS

    name = meta["model"]["name"]
    if name in MODELS:
        return MODELS[name].task
    if ":" not in name:
        raise InputError(f"{folder}: model {name!r} is not known to this version")
    task = (meta.get("description") or {}).get("task")
    if task not in RECIPES:
        raise InputError(f"{folder / META}: description.task is missing; {RETRAIN}")
    return task


def classify(model: Path, images: Sequence[Path]) -> None:
    """Print the five most likely classes of each image, with their probabilities in percent."""
    network, meta = load_export(model)
    if type_of(meta, model) != "classification":
        raise InputError(f"{model}: {meta['model']['name']} is not a classifier; use `slim-bench sample`")
    if not meta.get("data") or "normalise" not in (meta.get("training") or {}):
        raise InputError(f"{model / META}: data or training.normalise is missing; {RETRAIN}")
    preprocessing = preprocessing_of(meta)
    names = meta["data"].get("classes")
    fields = meta["training"]["normalise"]
    normalise = Normalise(Statistics(tuple(fields["mean"]), tuple(fields["std"])), torch.device("cpu"))
    for path in images:
        with torch.inference_mode():
            probabilities = torch.softmax(network(normalise(read_preprocessed(path, preprocessing)))[0], dim=0)
        values, classes = probabilities.topk(min(TOP_CLASSES, len(probabilities)))
        print(path)
        for value, index in zip(values.tolist(), classes.tolist(), strict=True):
            print(f"  {100 * value:5.1f} %  {names[index] if names and index < len(names) else f'class {index}'}")


@dataclass(frozen=True)
class Preprocessing:
    """Preprocessing of a network's test images: `size` in pixels, and colour `mode`.

    `files`: the dataset consists of image files, which are centre-cropped.
    """

    size: int
    mode: str
    files: bool
    background: Colour = WHITE


def preprocessing_of(meta: dict[str, Any]) -> Preprocessing:
    data = meta["data"]
    red, green, blue = data.get("background", WHITE)  # missing in exports of earlier versions
    mode = "L" if data["channels"] == 1 else "RGB"
    return Preprocessing(data.get("image_size") or 224, mode, data.get("kind") == "folder", (red, green, blue))


def read_preprocessed(path: Path, preprocessing: Preprocessing) -> Tensor:
    """Read an image as uint8 [1, C, size, size], preprocessed as in the evaluation.

    For array datasets, larger images are cropped and scaled down, and smaller images are padded with zeros.
    """
    square = (preprocessing.size, preprocessing.size)
    with decoded(path, preprocessing.background) as image:
        if preprocessing.files:
            return evaluation_crop(image, preprocessing.size)[None]
        image = image.convert(preprocessing.mode)
        if max(image.size) > preprocessing.size:
            image = ImageOps.fit(image, square, Image.Resampling.BICUBIC)
    padded = Image.new(preprocessing.mode, square)  # zero padding, as in the preparation of the dataset
    padded.paste(image, ((preprocessing.size - image.width) // 2, (preprocessing.size - image.height) // 2))
    return to_tensor(padded)[None]
