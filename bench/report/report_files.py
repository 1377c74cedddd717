"""Uses the hashes in the record RENDERED to recognise files of results/{scale} that slim-bench wrote for the report.

Reports of earlier versions, which did not write the record, are recognised by the format of their files. Pages of runs
that no longer exist are removed.
"""

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from bench.errors import InputError
from bench.files import read_mapping, sha256_file, write_json
from bench.input_hashes import RENDERED, is_origin_record
from bench.ownership import is_png, move_if_foreign, read_head, read_text_or_empty, refuse_foreign
from bench.report.outputs import FIGURES, IMAGE_GRIDS, PAGE, PLOT_SUFFIXES, RUN_PAGES, TABLES

PATHS = (
    *(f"{stem}.{suffix}" for stem in TABLES for suffix in ("csv", "md", "tex")),
    *(f"{stem}.{suffix}" for stem in FIGURES for suffix in PLOT_SUFFIXES),
    *(f"{stem}.png" for stem in IMAGE_GRIDS),
    PAGE,
)
OLD_PAGE = "<title>SLIM and its "
CARD_MARK = '<meta name="generator" content="slim-bench run">'
PDF_MARK = b"/Creator (slim-bench)"
MOST_PDF_BYTES = 2**24
REMEDY = "move it away, or delete it if it is an edited file of the report"


def begin_report(scale_dir: Path, cards: Sequence[str]) -> None:
    """Record that the report and its run pages `cards` are being written. Remove the pages of other runs.

    Raises InputError if another file has the name of a file of the report. A damaged record is moved aside, and the
    files are then recognised by their format.
    """
    record = scale_dir / RENDERED
    move_if_foreign(record, is_origin_record)
    known = _read_record(record)
    for path in (*PATHS, *cards):
        refuse_foreign(scale_dir / path, partial(_is_written, known, scale_dir, path), REMEDY)
    for card in _old_cards(known, scale_dir, set(cards)):
        card.unlink()
        for folder in card.parents[:2]:
            with suppress(OSError):  # the folder contains other files
                folder.rmdir()
    write_json(record, {"made_from": None, "writing": True})


def end_report(scale_dir: Path, made_from: str, cards: Sequence[str]) -> None:
    """Record the hashes of the written files and of their inputs."""
    paths = (*PATHS, *cards)
    files = {path: sha256_file(scale_dir / path) for path in paths if (scale_dir / path).is_file()}
    write_json(scale_dir / RENDERED, {"made_from": made_from, "files": files})


def _old_cards(known: dict[str, Any], scale_dir: Path, cards: set[str]) -> list[Path]:
    """Return the unedited pages of runs that are not in `cards`.

    Files with other names or contents are excluded, because slim-bench did not write them.
    """
    found = [path for path in (scale_dir / RUN_PAGES).glob("*/*/seed*.html") if path.is_file()]
    names = [(path, path.relative_to(scale_dir).as_posix()) for path in found]
    return [path for path, name in names if name not in cards and _is_written(known, scale_dir, name, path)]


def _read_record(path: Path) -> dict[str, Any]:
    """Return the record of the report, or an empty dict if the record is missing or damaged."""
    record = read_mapping(path)
    is_whole = "made_from" in record and isinstance(record.get("files", {}), dict)
    return record if is_whole else {}


def _is_written(known: dict[str, Any], scale_dir: Path, name: str, path: Path) -> bool:
    """Return whether slim-bench wrote the file `path`. `name`: path of this file in the record `known`."""
    if "files" in known:
        return _same_hash(path, known["files"].get(name))
    if name.startswith(f"{RUN_PAGES}/"):
        return CARD_MARK in read_text_or_empty(path)
    return bool(known.get("writing")) or _has_old_form(path, scale_dir)


def _same_hash(path: Path, expected: Any) -> bool:
    try:
        return sha256_file(path) == expected
    except InputError:
        return False


def _has_old_form(path: Path, scale_dir: Path) -> bool:
    text = read_text_or_empty(path)
    if path.suffix == ".md":
        return text.startswith("Nothing to show yet.") or (text.startswith("### ") and "\n\n| " in text)
    if path.suffix == ".tex":
        return text.startswith("% ") and ("\\begin{tabular}" in text or "nothing to show yet" in text)
    if path.suffix == ".svg":
        return "<dc:title>Matplotlib v" in text
    if path.suffix == ".pdf":
        return PDF_MARK in read_head(path, MOST_PDF_BYTES)
    page = OLD_PAGE in read_text_or_empty(scale_dir / PAGE)
    return page and (is_png(path) or path.suffix in (".csv", ".html"))
