"""Files of the report under results/{scale}/ and their captions, for the page and the outputs of the workflow."""

from pathlib import Path, PurePosixPath
from urllib.parse import quote

from bench.errors import InputError

TABLES = {
    "tables/summary": "summary.rst",
    "tables/fewshot": "comparison.rst",
    "tables/oneshot": "comparison.rst",
    "tables/classification": "comparison.rst",
    "tables/ablations": "ablations.rst",
    "tables/paired": "paired.rst",
    "tables/claims": "claims.rst",
    "tables/published": "published.rst",
    "tables/data": "data.rst",
    "tables/runs": "runs.rst",
    "tables/cost": "cost.rst",
    "tables/compute": "compute.rst",
}
FIGURES = {
    "figures/scores_fewshot": "scores.rst",
    "figures/scores_oneshot": "scores.rst",
    "figures/scores_classification": "scores.rst",
    "figures/curves_fewshot": "curves.rst",
    "figures/curves_oneshot": "curves.rst",
    "figures/curves_classification": "curves.rst",
    "figures/complexity": "complexity.rst",
    "figures/ablations": "ablation_figure.rst",
    "figures/fd_curve": "fd_curve.rst",
    "figures/confusion": "confusion.rst",
    "figures/calibration": "calibration.rst",
}
IMAGE_GRIDS = {
    "figures/samples_fewshot": "samples_fewshot.rst",
    "figures/progress_fewshot": "progress.rst",
    "figures/neighbours": "neighbours.rst",
    "figures/samples_oneshot": "samples_oneshot.rst",
    "figures/attention_fewshot": "attention.rst",
    "figures/attention_oneshot": "attention.rst",
}
PLOT_SUFFIXES = ("svg", "pdf", "png")
PAGE = "report/index.html"
RUN_PAGES = "report/runs"

OUTPUTS: dict[str, str] = (
    {f"{stem}.csv": caption for stem, caption in TABLES.items()}
    | {f"{stem}.png": caption for stem, caption in (FIGURES | IMAGE_GRIDS).items()}
    | {PAGE: "page.rst"}
)
"""Caption files in templates/ by output path relative to results/{scale}. Every report writes all outputs, with
placeholders for missing data. Tables also have .md and .tex files, and plots have .svg and .pdf files."""


def caption_of(stem: str) -> str:
    """Return the caption of a figure or image grid, such as `figures/scores_fewshot`."""
    file = Path(__file__).parent / "templates" / (FIGURES | IMAGE_GRIDS)[stem]
    return file.read_text(encoding="utf-8").strip()


def figure_links(stem: str) -> tuple[tuple[str, str], ...]:
    """Return (format, link from the report page) of each file of a figure or image grid."""
    suffixes = PLOT_SUFFIXES if stem in FIGURES else ("png",)
    return tuple((suffix.upper(), f"../{stem}.{suffix}") for suffix in suffixes)


def run_page(run: str) -> str:
    """Return the path of the page of a run. Raises InputError if `run` is not EXPERIMENT/DATASET/seedN.

    Run names are read from scores.csv, so a name could contain `..`.
    """
    parts = run.split("/")
    if len(parts) != 3 or any(part in ("", ".", "..") or "\\" in part or "\0" in part for part in parts):
        raise InputError(
            f"scores.csv: run {run!r} is not EXPERIMENT/DATASET/seedN; recreate it with `slim-bench collect`"
        )
    return f"{RUN_PAGES}/{run}.html"


def run_link(run: str) -> str:
    """Return the link from the report page to the page of a run."""
    return quote(str(PurePosixPath(run_page(run)).relative_to(PurePosixPath(PAGE).parent)))
