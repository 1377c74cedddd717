"""Pairs of images that SLIM and its baseline generated from the same latents, for the sliders of the page."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from bench.claims import ReportSettings
from bench.report.embedded import CaptionedFigure, raster
from bench.report.figures.image_grids import GAP, ONESHOT_HEIGHT, first_runs, fit_height, open_image, top_rows
from bench.report.read.scores import Scores
from bench.schema import Task

ONESHOT_SAMPLES = 4


@dataclass(frozen=True)
class ImagePair:
    """Images of a baseline and of SLIM, which have the same size."""

    caption: str
    baseline: CaptionedFigure
    slim: CaptionedFigure


def image_pairs(scores: Scores, settings: ReportSettings, scale_dir: Path, task: Task) -> list[ImagePair]:
    """Return one image pair per dataset, from the first pair of experiments whose images exist."""
    read = READERS.get(task)
    if read is None:
        return []
    return [
        pair
        for dataset, runs in first_runs(scores, task, settings, scale_dir)
        if (pair := next(_pairs(dict(runs), settings, task, dataset, read), None))
    ]


def _pairs(
    folders: dict[str, Path],
    settings: ReportSettings,
    task: Task,
    dataset: str,
    read: Callable[[Path], Image.Image | None],
) -> Iterator[ImagePair]:
    for pair in settings.tasks[task].pairs:
        if pair.slim in folders and pair.baseline in folders:
            images = [read(folders[name] / "samples") for name in (pair.baseline, pair.slim)]
            if images[0] and images[1] and images[0].size == images[1].size:
                baseline, slim = (
                    CaptionedFigure(name, raster(image, f"{dataset}: samples of {name}"))
                    for name, image in zip((pair.baseline, pair.slim), images, strict=True)
                    if image
                )
                yield ImagePair(f"{dataset}: samples from the same latents.", baseline, slim)


def _oneshot(folder: Path) -> Image.Image | None:
    """Return the first ONESHOT_SAMPLES samples as one row of images, or None without samples."""
    found = (open_image(path) for path in sorted(folder.glob("sample_*.png"))[:ONESHOT_SAMPLES])
    images = [fit_height(image, ONESHOT_HEIGHT) for image in found if image]
    if not images:
        return None
    row = Image.new("RGB", (sum(image.width + GAP for image in images) - GAP, ONESHOT_HEIGHT), "white")
    left = 0
    for image in images:
        row.paste(image, (left, 0))
        left += image.width + GAP
    return row


READERS: dict[Task, Callable[[Path], Image.Image | None]] = {
    "fewshot": lambda folder: top_rows(folder / "grid.png"),
    "oneshot": _oneshot,
}
"""Functions that read the images of a samples folder, by task."""
