"""Renders the report page as one self-contained HTML file, and a page for each run.

All pages can be read without a network and without scripts. Importing this module is fast, because only rendering
imports matplotlib.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bench.paths import project
from bench.report.outputs import OUTPUTS, PAGE, run_page

if TYPE_CHECKING:
    from bench.report.build import Report

__all__ = ["OUTPUTS", "render"]


def render(scale_dir: Path) -> Path:
    """Write tables/, figures/ and report/ under `scale_dir` from its scores.csv. Return the path of the report page."""
    from bench.files import write_text
    from bench.input_hashes import rendered_from
    from bench.report.build import build
    from bench.report.read.scores import read_scores
    from bench.report.report_files import begin_report, end_report
    from bench.report.run_cards import run_cards

    scale_dir = Path(scale_dir)
    page = scale_dir / PAGE
    made_from = rendered_from(scale_dir)
    scores = read_scores(scale_dir / "scores.csv")
    cards = [run_page(row.run) for row in scores.runs]
    begin_report(scale_dir, cards)
    config = project() / "config"
    write_text(page, html_of(build(scale_dir, config), scale_dir, config))
    for path, text in run_cards(scores, scale_dir):
        write_text(scale_dir / path, text)
    end_report(scale_dir, made_from, cards)
    return page


def html_of(report: Report, out: Path, config: Path) -> str:
    """Return the page as HTML. Image grids are inlined as data URIs, and plots as SVG in the page's colours."""
    from bench.report.context import page_context
    from bench.report.html import environment

    return environment().get_template("page.html").render(page_context(report, out, config))
