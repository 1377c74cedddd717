"""Pictures put side by side from the sample files of the run folders: where people would rather look than read.

Sheets have a transparent ground and grey labels, so that they stand on a light page and on a dark one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
from PIL import Image, ImageDraw, ImageFont

from bench.files import write_png
from bench.report.read.experiment_roles import experiments_of, role_of, without_ablations
from bench.report.read.scores import Scores
from bench.report.read.settings import ReportSettings
from bench.schema import Task

LABEL = (118, 128, 138, 255)
GAP, LINE, SPACE = 4, 22, 14
TILE, ONESHOT_HEIGHT = 128, 180
ACROSS, GRID_ROWS, STRIP_ROWS = 8, 2, 3
MOST_SETS = 6


@dataclass(frozen=True)
class Strip:
    """A labelled row of images; `captions` stand above each of them."""

    label: str
    images: tuple[Image.Image, ...]
    captions: tuple[str, ...] = ()


# -- the four pictures ----------------------------------------------------------------------------------------------


def samples_picture(scores: Scores, settings: ReportSettings, scale_dir: Path) -> Image.Image | None:
    """Per data set: training images, then the same latents through every network."""
    strips = []
    for dataset, runs in _first_runs(scores, "fewshot", settings, scale_dir):
        reals = (_top_rows(folder / "samples" / "real.png") for _, folder in runs)
        strips += [Strip(f"{dataset}: training images", (real,)) for real in list(filter(None, reals))[:1]]
        grids = ((name, _top_rows(folder / "samples" / "grid.png")) for name, folder in runs)
        strips += [Strip(name, (grid,)) for name, grid in grids if grid]
    return sheet(strips)


def strip_picture(scores: Scores, settings: ReportSettings, scale_dir: Path) -> Image.Image | None:
    """Of the first data set: the same latents by step, a row of columns per network."""
    for dataset, runs in _first_runs(scores, "fewshot", settings, scale_dir):
        strips = [strip for name, folder in runs if (strip := _steps(name, folder / "samples"))]
        if strips:
            return sheet([Strip(f"{dataset}, {strips[0].label}", strips[0].images, strips[0].captions), *strips[1:]])
    return None


def neighbours_picture(scores: Scores, settings: ReportSettings, scale_dir: Path) -> Image.Image | None:
    """Per network of the first data set that has one: samples above their nearest training images."""
    for dataset, runs in _first_runs(scores, "fewshot", settings, scale_dir):
        pairs = ((name, open_image(folder / "scores" / "neighbours.png")) for name, folder in runs)
        strips = [Strip(f"{dataset}, {name}", (_fit(image, 2 * TILE),)) for name, image in pairs if image]
        if strips:
            return sheet(strips)
    return None


def oneshot_picture(scores: Scores, settings: ReportSettings, scale_dir: Path) -> Image.Image | None:
    """Per image: the training image and its bicubic control, then per network the reconstruction and five samples."""
    strips = []
    for dataset, runs in _first_runs(scores, "oneshot", settings, scale_dir):
        sources = (
            _row(folder / "samples", {"training": "training image", "bicubic": "bicubic upsampling"})
            for _, folder in runs
        )
        strips += [Strip(dataset, *row) for row in list(filter(None, sources))[:1]]
        for name, folder in runs:
            samples = sorted((folder / "samples").glob("sample_*.png"))[:5]
            row = _row(folder / "samples", {"reconstruction": "reconstruction"} | {p.stem: "sample" for p in samples})
            strips += [Strip(name, *row)] if row else []
    return sheet(strips)


# -- what they are made of ------------------------------------------------------------------------------------------


def _first_runs(
    scores: Scores, task: Task, settings: ReportSettings, scale_dir: Path
) -> list[tuple[str, list[tuple[str, Path]]]]:
    """(data set, [(experiment, folder of its first finished seed)]), the baseline first, ablations left out."""
    roles = settings.tasks[task]
    runs = without_ablations(scores.runs.where(task=task, status="ok"), roles)
    found = []
    for dataset in runs.distinct("dataset")[:MOST_SETS]:
        here = runs.where(dataset=dataset)
        names = sorted(experiments_of(here, roles), key=lambda name: role_of(name, roles) != "baseline")
        first = {name: min(here.where(experiment=name), key=lambda row: row.seed) for name in names}
        found.append((dataset, [(name, scale_dir / row.run_dir) for name, row in first.items()]))
    return found


def _top_rows(path: Path) -> Image.Image | None:
    """The first rows of a grid of square tiles, ACROSS to a row."""
    grid = open_image(path)
    if grid is None:
        return None
    tile = grid.width // ACROSS if grid.width // ACROSS <= grid.height else grid.height
    rows = max(1, min(GRID_ROWS, grid.height // tile))
    return _fit(grid.crop((0, 0, grid.width, rows * tile)), rows * TILE)


def _steps(name: str, folder: Path) -> Strip | None:
    """A column of samples per step, from rows of tiles named step-NNNNNNN.png."""
    columns, captions = [], []
    for path in sorted(folder.glob("step-*.png")):
        row = open_image(path)
        if row is not None:
            captions.append(f"step {int(path.stem.removeprefix('step-'))}")
            size = row.height
            tiles = [row.crop((left, 0, left + size, size)) for left in range(0, row.width - size + 1, size)]
            columns.append(_stack([_fit(tile, TILE) for tile in tiles[:STRIP_ROWS]]))
    return Strip(name, tuple(columns[:ACROSS]), tuple(captions[:ACROSS])) if columns else None


def _stack(tiles: Sequence[Image.Image]) -> Image.Image:
    column = Image.new("RGB", (tiles[0].width, sum(tile.height for tile in tiles)))
    for index, tile in enumerate(tiles):
        column.paste(tile, (0, index * tile.height))
    return column


def _row(folder: Path, names: dict[str, str]) -> tuple[tuple[Image.Image, ...], tuple[str, ...]] | None:
    """Pictures `folder`/NAME.png that exist, at one height, with their captions."""
    found = [(image, caption) for name, caption in names.items() if (image := open_image(folder / f"{name}.png"))]
    images, captions = (tuple(part) for part in zip(*found, strict=True)) if found else ((), ())
    return (tuple(_fit(image, ONESHOT_HEIGHT) for image in images), captions) if found else None


def open_image(path: Path) -> Image.Image | None:
    """The picture, or None where it is absent or broken: a report never fails over a picture."""
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except OSError:
        return None


def _fit(image: Image.Image, height: int) -> Image.Image:
    """Scale to `height` pixels; whole multiples by nearest, so that pixels stay pixels."""
    width = max(1, round(image.width * height / image.height))
    whole = height % image.height == 0
    return image.resize((width, height), Image.Resampling.NEAREST if whole else Image.Resampling.LANCZOS)


def sheet(strips: Sequence[Strip]) -> Image.Image | None:
    """Labelled rows of images under each other; None without any."""
    if not strips:
        return None
    width = max(sum(image.width + GAP for image in strip.images) for strip in strips)
    height = sum(_height(strip) for strip in strips)
    canvas = Image.new("RGBA", (max(width, 360), height), (0, 0, 0, 0))
    draw, top = ImageDraw.Draw(canvas), 0
    for strip in strips:
        draw.text((0, top + 2), strip.label, fill=LABEL, font=_font(15))
        _place(canvas, draw, strip, top + LINE)
        top += _height(strip)
    return canvas


def _height(strip: Strip) -> int:
    return LINE + (LINE if strip.captions else 0) + max(image.height for image in strip.images) + SPACE


def _place(canvas: Image.Image, draw: ImageDraw.ImageDraw, strip: Strip, top: int) -> None:
    left = 0
    for index, image in enumerate(strip.images):
        if strip.captions:
            draw.text((left, top + 3), strip.captions[index], fill=LABEL, font=_font(12))
        canvas.paste(image, (left, top + (LINE if strip.captions else 0)))
        left += image.width + GAP


def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"), size)


def save_placeholder(path: Path, words: str) -> None:
    canvas = Image.new("RGBA", (480, 60), (0, 0, 0, 0))
    ImageDraw.Draw(canvas).text((8, 20), words, fill=LABEL, font=_font(13))
    write_png(path, canvas)
