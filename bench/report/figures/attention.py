"""Draws the values of each network's gates, from the files that `evaluate` wrote next to the scores.

A row shows one gate. For each image, a row of SLIM has one tile per group. The tile shows the image in grey, coloured
by the mask of the group, and the caption states the strength of the group's style. A row of SLE has one bar per
channel, because the factors of SLE are equal at all positions.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image

from bench.claims import ReportSettings
from bench.ownership import is_attention
from bench.report.figures.image_grids import TILE, LabelledRow, first_runs, fit_height, image_grid
from bench.report.read.scores import Scores
from bench.schema import Task

ATTENTION = "attention.safetensors"
COLOURS = "magma"
IMAGES = {"fewshot": 2, "oneshot": 2}
DATASETS = {"fewshot": 2, "oneshot": 1}
IMAGE_CAPTIONS = {"fewshot": ("image 1", "image 2"), "oneshot": ("reconstruction", "sample")}
OPACITY = 0.65
MAX_CHANNELS = 128
BAR = (62, 122, 178)
"""Blue of the bars, readable on a light and on a dark page."""


@dataclass(frozen=True)
class Gate:
    """Recorded values of one gate for N images: `masks` [N, G, h, w] and `strength` [N, G], or `channels` [N, C]."""

    name: str
    low: tuple[int, int]
    high: tuple[int, int]
    masks: np.ndarray | None
    strength: np.ndarray | None
    channels: np.ndarray | None

    @property
    def label(self) -> str:
        return f"{_size(self.low)} → {_size(self.high)} px"


def attention_grid(scores: Scores, settings: ReportSettings, scale_dir: Path, task: Task) -> Image.Image | None:
    """Return the grid of all gates of a task's networks on the first datasets, or None if no run recorded gates."""
    rows: list[LabelledRow] = []
    found = 0
    for dataset, runs in first_runs(scores, task, settings, scale_dir):
        network_rows = [row for name, folder in runs for row in _network_rows(f"{dataset}, {name}", folder, task)]
        rows += network_rows
        found += bool(network_rows)
        if found == DATASETS[task]:
            break
    return image_grid(rows)


def _network_rows(title: str, folder: Path, task: Task) -> Iterator[LabelledRow]:
    read = read_attention(folder / "scores" / ATTENTION)
    if read is None:
        return
    images, gates = read
    for gate in gates:
        tiles: list[Image.Image] = []
        captions: list[str] = []
        for index in range(min(IMAGES[task], len(images))):
            image = Image.fromarray(images[index].transpose(1, 2, 0))
            tiles.append(fit_height(image, TILE))
            captions.append(IMAGE_CAPTIONS[task][index])
            for tile, caption in _tiles(gate, index, tiles[-1]):
                tiles.append(tile)
                captions.append(caption)
        yield LabelledRow(f"{title}, {gate.label}", tuple(tiles), tuple(captions))


def _tiles(gate: Gate, index: int, image: Image.Image) -> Iterator[tuple[Image.Image, str]]:
    if gate.channels is not None:
        factors = gate.channels[index]
        low, high = factors.min(), factors.max()
        yield _bars(factors[:MAX_CHANNELS], 3 * image.width), f"{len(factors)} channels, {low:.2f} to {high:.2f}"
    if gate.masks is not None and gate.strength is not None:
        for group, (mask, strength) in enumerate(zip(gate.masks[index], gate.strength[index], strict=True)):
            yield overlay(image, mask), f"group {group + 1}, style {strength:.2f}"


def overlay(image: Image.Image, mask: np.ndarray) -> Image.Image:
    """Return `image` in grey, coloured by `mask` [h, w]. The colours span the range of this mask."""
    low, high = float(mask.min()), float(mask.max())
    scaled = (mask.astype(np.float32) - low) / (high - low) if high > low else np.full(mask.shape, 0.5, np.float32)
    colours = (matplotlib.colormaps[COLOURS](scaled)[..., :3] * 255).astype(np.uint8)
    coloured = Image.fromarray(colours).resize(image.size, Image.Resampling.NEAREST)
    return Image.blend(image.convert("L").convert("RGB"), coloured, OPACITY)


def _bars(factors: np.ndarray, width: int) -> Image.Image:
    """Return a tile with one bar per channel. A bar of full height means 1, or 2 if a factor is above 1."""
    top = 1.0 if factors.max() <= 1 else 2.0
    canvas = np.zeros((TILE, width, 4), np.uint8)
    edges = np.linspace(0, width, len(factors) + 1).astype(int)
    for left, right, factor in zip(edges, edges[1:], factors, strict=False):
        height = round(TILE * min(1.0, max(0.0, float(factor) / top)))
        canvas[TILE - height :, left : max(left + 1, right - 1)] = (*BAR, 255)
    return Image.fromarray(canvas)


def read_attention(path: Path) -> tuple[np.ndarray, list[Gate]] | None:
    """Return images, uint8 [N, 3, H, W], and gates of a file, or None if the file is missing or damaged."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file() or not is_attention(path):
        return None
    try:
        with safe_open(path, "np") as file:
            names = set(file.keys())
            gates = [
                Gate(
                    name=entry["name"],
                    low=tuple(entry["low"]),
                    high=tuple(entry["high"]),
                    **{
                        part: file.get_tensor(f"{entry['name']}/{part}") if f"{entry['name']}/{part}" in names else None
                        for part in ("masks", "strength", "channels")
                    },
                )
                for entry in json.loads(file.metadata()["gates"])
            ]
            images = file.get_tensor("images")
            return (images, gates) if _have_valid_shapes(images, gates) else None
    except (SafetensorError, OSError, ValueError, KeyError, TypeError):
        return None


def _have_valid_shapes(images: np.ndarray, gates: list[Gate]) -> bool:
    """Return whether images and values have the shapes that `Gate` and `read_attention` state."""
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] != 3 or not images.size:
        return False
    for gate in gates:
        for values, dimensions in ((gate.masks, 4), (gate.strength, 2), (gate.channels, 2)):
            if values is not None and (values.ndim != dimensions or len(values) != len(images) or not values.size):
                return False
        if gate.masks is not None and (gate.strength is None or gate.strength.shape != gate.masks.shape[:2]):
            return False
    return True


def _size(size: tuple[int, int]) -> str:
    height, width = size
    return f"{width}" if width == height else f"{width}x{height}"
