"""Pictures put side by side from the sample files of the run folders: where people would rather look than read.

Sheets have a transparent ground and grey labels, so that they stand on a light page and on a dark one.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
from PIL import Image, ImageDraw, ImageFont

from bench.files import atomic_file
from bench.report.roles import experiments_of, role_of, without_ablations
from bench.report.scores import Scores
from bench.report.settings import Settings

LABEL = (110, 120, 130, 255)
GAP, LABEL_HEIGHT, MOST_SOURCES = 4, 26, 6


@dataclass(frozen=True)
class Strip:
    """A labelled row of images."""

    label: str
    images: tuple[Image.Image, ...]


def sheet(strips: Sequence[Strip], tile: int) -> Image.Image:
    """Rows of images, each scaled to `tile` pixels high (whole multiples by nearest, so that pixels stay pixels)."""
    rows = [(strip.label, [_fit(image, tile) for image in strip.images]) for strip in strips]
    width = max(sum(image.width + GAP for image in images) - GAP for _, images in rows)
    height = sum(LABEL_HEIGHT + max(image.height for image in images) + GAP for _, images in rows)
    canvas = Image.new("RGBA", (max(width, 240), height), (0, 0, 0, 0))
    draw, font, top = ImageDraw.Draw(canvas), _font(15), 0
    for label, images in rows:
        draw.text((0, top + 4), label, fill=LABEL, font=font)
        left, top = 0, top + LABEL_HEIGHT
        for image in images:
            canvas.paste(image, (left, top))
            left += image.width + GAP
        top += max(image.height for image in images) + GAP
    return canvas


def _fit(image: Image.Image, height: int) -> Image.Image:
    width = max(1, round(image.width * height / image.height))
    whole = height % image.height == 0
    return image.convert("RGB").resize((width, height), Image.Resampling.NEAREST if whole else Image.Resampling.LANCZOS)


def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"), size)


def save_sheet(path: Path, image: Image.Image) -> None:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    with atomic_file(path) as file:
        file.write(buffer.getvalue())


def save_placeholder(path: Path, words: str) -> None:
    canvas = Image.new("RGBA", (480, 60), (0, 0, 0, 0))
    ImageDraw.Draw(canvas).text((8, 20), words, fill=LABEL, font=_font(15))
    save_sheet(path, canvas)


def open_image(path: Path) -> Image.Image | None:
    """The picture, or None where it is not there or broken: a report never fails over a picture."""
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except OSError:
        return None


def first_runs(scores: Scores, task: str, settings: Settings, scale_dir: Path) -> dict[str, list[tuple[str, Path]]]:
    """Data set -> (experiment, samples folder of its first finished seed), the rival first, ablations left out."""
    runs = without_ablations(scores.runs.where(task=task, status="ok"), settings.tasks[task])
    found: dict[str, list[tuple[str, Path]]] = {}
    for dataset in runs.distinct("dataset"):
        here = runs.where(dataset=dataset)
        names = experiments_of(here, settings.tasks[task])
        names.sort(key=lambda name: role_of(name, settings.tasks[task]) != "rival")
        first = {name: min(here.where(experiment=name), key=lambda row: row.seed) for name in names}
        found[dataset] = [(name, scale_dir / row.run_dir / "samples") for name, row in first.items()]
    return found


def tiles_of(grid: Image.Image, tile: int, count: int) -> tuple[Image.Image, ...]:
    """The first `count` tiles of a grid picture, row by row."""
    across = max(1, grid.width // tile)
    boxes = ((index % across * tile, index // across * tile) for index in range(count))
    return tuple(grid.crop((x, y, x + tile, y + tile)) for x, y in boxes if y + tile <= grid.height)


def samples_picture(scores: Scores, settings: Settings, scale_dir: Path) -> Image.Image | None:
    """Real images, then the same latents through every network of the first data set."""
    return None


def strip_picture(scores: Scores, settings: Settings, scale_dir: Path) -> Image.Image | None:
    """The same latents by step, a row per network."""
    return None


def neighbours_picture(scores: Scores, settings: Settings, scale_dir: Path) -> Image.Image | None:
    """Samples above their nearest training images."""
    return None


def oneshot_picture(scores: Scores, settings: Settings, scale_dir: Path) -> Image.Image | None:
    """Per image: the training image and its bicubic control, then per method the reconstruction and five samples."""
    strips = []
    for dataset, samples in list(first_runs(scores, "oneshot", settings, scale_dir).items())[:MOST_SOURCES]:
        strips += _source_strip(dataset, samples)
        for experiment, folder in samples:
            paths = [folder / "reconstruction.png", *sorted(folder.glob("sample_*.png"))[:5]]
            images = tuple(filter(None, map(open_image, paths)))
            if images:
                strips.append(Strip(f"{experiment}: reconstruction, samples", images))
    return sheet(strips, 180) if strips else None


def _source_strip(dataset: str, samples: list[tuple[str, Path]]) -> list[Strip]:
    for _, folder in samples:
        images = tuple(filter(None, (open_image(folder / "training.png"), open_image(folder / "bicubic.png"))))
        if images:
            return [
                Strip(
                    f"{dataset}: training image" + (", bicubic from the coarsest" if len(images) == 2 else ""), images
                )
            ]
    return []
