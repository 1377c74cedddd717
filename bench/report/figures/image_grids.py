"""Draws image grids with samples of all networks, from the image files in the run folders.

The background is transparent and the labels are grey, so that a grid can be read on a light and on a dark page.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import matplotlib
from PIL import Image, ImageDraw, ImageFont

from bench.claims import ReportSettings
from bench.files import write_png
from bench.report.read.experiment_roles import experiments_of, role_of, without_ablations
from bench.report.read.scores import Scores
from bench.schema import Task

LABEL_COLOUR = (118, 128, 138, 255)
GAP, LINE, SPACE = 4, 22, 14
LABEL_SIZE, CAPTION_SIZE = 15, 12
TILE, SMALL_TILE, ONESHOT_HEIGHT = 128, 84, 180
TILES_PER_ROW, GRID_ROWS, PROGRESS_ROWS = 8, 2, 3
MAX_DATASETS = 6
SOURCES = {"training": "training image", "bicubic": "bicubic upsampling"}
"""Captions of the one-shot images that do not depend on the network, by file stem."""


@dataclass(frozen=True)
class LabelledRow:
    """Row of images with a label. `captions`: one caption above each image, or none."""

    label: str
    images: tuple[Image.Image, ...]
    captions: tuple[str, ...] = ()


# -- the grids -------------------------------------------------------------------------------------------------


def samples_grid(scores: Scores, settings: ReportSettings, scale_dir: Path) -> Image.Image | None:
    """Return a grid with, for each dataset, training images, then samples of every network from the same latents."""
    rows = []
    for dataset, runs in first_runs(scores, "fewshot", settings, scale_dir):
        reals = (top_rows(folder / "samples" / "real.png") for _, folder in runs)
        rows += [LabelledRow(f"{dataset}: training images", (real,)) for real in list(filter(None, reals))[:1]]
        grids = ((name, top_rows(folder / "samples" / "grid.png")) for name, folder in runs)
        rows += [LabelledRow(name, (grid,)) for name, grid in grids if grid]
    return image_grid(rows)


def progress_grid(scores: Scores, settings: ReportSettings, scale_dir: Path) -> Image.Image | None:
    """Return one row per network with samples from the same latents at successive training steps, on one dataset."""
    for dataset, runs in first_runs(scores, "fewshot", settings, scale_dir):
        rows = [row for name, folder in runs if (row := _steps(name, folder / "samples"))]
        if rows:
            return image_grid([LabelledRow(f"{dataset}, {rows[0].label}", rows[0].images, rows[0].captions), *rows[1:]])
    return None


def neighbours_grid(scores: Scores, settings: ReportSettings, scale_dir: Path) -> Image.Image | None:
    """Return a grid of the first dataset with neighbours: samples of each network above the nearest training images."""
    for dataset, runs in first_runs(scores, "fewshot", settings, scale_dir):
        pairs = ((name, open_image(folder / "scores" / "neighbours.png")) for name, folder in runs)
        rows = [LabelledRow(f"{dataset}, {name}", (fit_height(image, 2 * TILE),)) for name, image in pairs if image]
        if rows:
            return image_grid(rows)
    return None


def oneshot_grid(scores: Scores, settings: ReportSettings, scale_dir: Path) -> Image.Image | None:
    """Return the one-shot grid.

    For each training image, the grid shows the image, its bicubic upsampling, and a reconstruction and five samples of
    each network.
    """
    rows = []
    for dataset, runs in first_runs(scores, "oneshot", settings, scale_dir):
        sources = (_row(folder / "samples", SOURCES) for _, folder in runs)
        rows += [LabelledRow(dataset, *row) for row in list(filter(None, sources))[:1]]
        rows += [row for name, folder in runs if (row := labelled_samples(folder / "samples", name, sources=False))]
    return image_grid(rows)


def labelled_samples(folder: Path, label: str = "", sources: bool = True) -> LabelledRow | None:
    """Return a labelled row with the reconstruction and five samples of a one-shot run.

    If `sources`, the row begins with the training image and its bicubic upsampling. Returns None if no image of the row
    exists.
    """
    names = SOURCES if sources else {}
    samples = {path.stem: "sample" for path in sorted(folder.glob("sample_*.png"))[:5]}
    row = _row(folder, names | {"reconstruction": "reconstruction"} | samples)
    return LabelledRow(label, *row) if row else None


def labelled_thumbnails(path: Path, labels: Sequence[str]) -> Image.Image | None:
    """Return a grid with one labelled row of images per split, or None if the PNG of the dataset's audit is missing."""
    image = open_image(path)
    if image is None or not labels or image.height % len(labels):
        return None
    height = image.height // len(labels)
    enlarged = height * max(1, SMALL_TILE // height)
    rows = [image.crop((0, top, image.width, top + height)) for top in range(0, image.height, height)]
    return image_grid(
        [LabelledRow(label, (fit_height(row, enlarged),)) for label, row in zip(labels, rows, strict=True)]
    )


# -- parts of the grids ---------------------------------------------------------------------------------------------


def first_runs(
    scores: Scores, task: Task, settings: ReportSettings, scale_dir: Path
) -> list[tuple[str, list[tuple[str, Path]]]]:
    """Return [(dataset, [(experiment, folder of its lowest finished seed)])], baselines first, without ablations."""
    roles = settings.tasks[task]
    runs = without_ablations(scores.runs.where(task=task, status="ok"), roles)
    found = []
    for dataset in runs.distinct("dataset")[:MAX_DATASETS]:
        dataset_runs = runs.where(dataset=dataset)
        names = sorted(experiments_of(dataset_runs, roles), key=lambda name: role_of(name, roles) != "baseline")
        first = {name: min(dataset_runs.where(experiment=name), key=lambda row: row.seed) for name in names}
        found.append((dataset, [(name, scale_dir / row.run_dir) for name, row in first.items()]))
    return found


def top_rows(path: Path) -> Image.Image | None:
    """Return the first rows of a grid of square tiles, TILES_PER_ROW wide, or None if the file is missing."""
    grid = open_image(path)
    if grid is None:
        return None
    tile = grid.width // TILES_PER_ROW if grid.width // TILES_PER_ROW <= grid.height else grid.height
    rows = max(1, min(GRID_ROWS, grid.height // tile))
    return fit_height(grid.crop((0, 0, grid.width, rows * tile)), rows * TILE)


def _steps(name: str, folder: Path) -> LabelledRow | None:
    """Return a row with a column of samples per training step, read from step-NNNNNNN.png (a row of square tiles)."""
    columns, captions = [], []
    for path in sorted(folder.glob("step-*.png")):
        row = open_image(path)
        if row is not None:
            captions.append(f"step {int(path.stem.removeprefix('step-'))}")
            size = row.height
            tiles = [row.crop((left, 0, left + size, size)) for left in range(0, row.width - size + 1, size)]
            columns.append(_stack([fit_height(tile, TILE) for tile in tiles[:PROGRESS_ROWS]]))
    return LabelledRow(name, tuple(columns[:TILES_PER_ROW]), tuple(captions[:TILES_PER_ROW])) if columns else None


def _stack(tiles: Sequence[Image.Image]) -> Image.Image:
    column = Image.new("RGB", (tiles[0].width, sum(tile.height for tile in tiles)))
    for index, tile in enumerate(tiles):
        column.paste(tile, (0, index * tile.height))
    return column


def _row(folder: Path, names: dict[str, str]) -> tuple[tuple[Image.Image, ...], tuple[str, ...]] | None:
    """Return the existing images `folder`/NAME.png at one height, with their captions, or None without images."""
    found = [(image, caption) for name, caption in names.items() if (image := open_image(folder / f"{name}.png"))]
    images, captions = (tuple(part) for part in zip(*found, strict=True)) if found else ((), ())
    return (tuple(fit_height(image, ONESHOT_HEIGHT) for image in images), captions) if found else None


def open_image(path: Path) -> Image.Image | None:
    """Return the image, or None if it is missing or damaged. A missing or damaged image must not stop the report."""
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except OSError:
        return None


def fit_height(image: Image.Image, height: int) -> Image.Image:
    """Return an image scaled to `height` px: nearest for integer factors, which keeps pixels sharp, else Lanczos."""
    width = max(1, round(image.width * height / image.height))
    is_multiple = height % image.height == 0
    return image.resize((width, height), Image.Resampling.NEAREST if is_multiple else Image.Resampling.LANCZOS)


def image_grid(rows: Sequence[LabelledRow]) -> Image.Image | None:
    """Return an image of the labelled rows below each other, or None without rows."""
    if not rows:
        return None
    width = max(max(sum(_widths(row)), _length(row.label, LABEL_SIZE)) for row in rows)
    height = sum(_height(row) for row in rows)
    canvas = Image.new("RGBA", (max(width, 360), height), (0, 0, 0, 0))
    draw, top = ImageDraw.Draw(canvas), 0
    for row in rows:
        draw.text((0, top + 2), row.label, fill=LABEL_COLOUR, font=_font(LABEL_SIZE))
        _place(canvas, draw, row, top + LINE)
        top += _height(row)
    return canvas


def _height(row: LabelledRow) -> int:
    return LINE + (LINE if row.captions else 0) + max(image.height for image in row.images) + SPACE


def _place(canvas: Image.Image, draw: ImageDraw.ImageDraw, row: LabelledRow, top: int) -> None:
    left = 0
    for index, (image, width) in enumerate(zip(row.images, _widths(row), strict=True)):
        if row.captions:
            draw.text((left, top + 3), row.captions[index], fill=LABEL_COLOUR, font=_font(CAPTION_SIZE))
        canvas.paste(image, (left, top + (LINE if row.captions else 0)))
        left += width


def _widths(row: LabelledRow) -> list[int]:
    """Return the width of each column, which fits its image and its caption."""
    captions = row.captions or ("",) * len(row.images)
    pairs = zip(row.images, captions, strict=True)
    return [max(image.width + GAP, _length(caption, CAPTION_SIZE)) for image, caption in pairs]


def _length(text: str, size: int) -> int:
    """Return the width of a text in pixels, including a gap, or 0 for empty text."""
    return math.ceil(_font(size).getlength(text)) + 2 * GAP if text else 0


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"), size)


def save_placeholder_grid(path: Path, words: str) -> None:
    canvas = Image.new("RGBA", (480, 60), (0, 0, 0, 0))
    ImageDraw.Draw(canvas).text((8, 20), words, fill=LABEL_COLOUR, font=_font(13))
    write_png(path, canvas)
