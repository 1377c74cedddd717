"""Moves a finished run that will be replaced to a separate folder: weights, record, run.json, samples and scores.

The files are copied completely before any file is removed. On file systems with hard links, the copy takes almost no
space. If the process is killed, the run is still complete in its folder, in the copy, or in both.
"""

import os
from pathlib import Path
from typing import Any

from bench.errors import InputError, writing
from bench.files import link_or_copy, sync, write_bytes, write_json
from bench.input_hashes import COMPLETE, is_complete_mark
from bench.ownership import is_attention, is_image_grid, is_png, is_score_of, is_weights
from bench.paths import META, META_COPY, WEIGHTS, superseded_folder
from bench.run import Run, read_run
from bench.train.loop.folders import finished_record, is_unmarked, own_run_files, remove_files


def move_aside(run: Run, out: Path) -> Path | None:
    """Move the weights in `out` and all files that belong to the weights to another folder, and return this folder.

    Returns None if there are no weights. run.json is not moved if it describes `run`, the run to be trained.
    """
    if not is_weights(out / WEIGHTS):
        return None
    record = finished_record(out)
    files = [*own_run_files(out, is_unmarked(out)), *_scores(out, record)]
    destination = _find_interrupted(out) or _copied(out, files, record)
    description, last = out / "run.json", [out / META, out / META_COPY]
    descriptions = [description] if _run_hash(description) == record.get("run_sha256") != run.hash else []
    # the weights are removed first, because a record without weights does not count as a finished run
    remove_files([out / WEIGHTS, *(path for path in files if path not in last), *descriptions, *last], out)
    return destination


def _copied(out: Path, files: list[Path], record: dict[str, Any]) -> Path:
    number = 1
    while os.path.lexists(superseded_folder(out, number)):
        number += 1
    destination = superseded_folder(out, number)
    part = destination.with_name(f".{destination.name}.part")
    if part.is_dir():  # left by a killed move, so each file in the folder is a copy
        _remove_copies(part, out)
    try:
        with writing(destination):
            part.mkdir(parents=True)
            for path in files:
                link_or_copy(path, part / path.relative_to(out))
            if record:
                write_json(part / META, record)
            if _run_hash(out / "run.json") == record.get("run_sha256"):
                # copied, not linked, because an edit of one file would change the other file
                write_bytes(part / "run.json", (out / "run.json").read_bytes())
            elif record.get("description"):
                write_json(part / "run.json", record["description"])
            for folder in {path.parent for path in part.rglob("*")}:
                sync(folder)
            part.rename(destination)
            sync(destination.parent)
    except BaseException:
        if part.is_dir():
            _remove_copies(part, out)
        raise
    return destination


def _find_interrupted(out: Path) -> Path | None:
    """Return the folder to which an interrupted move has already linked the weights in `out`, or None."""
    number, found = 1, None
    while (destination := superseded_folder(out, number)).is_dir():
        if (destination / WEIGHTS).exists() and (out / WEIGHTS).samefile(destination / WEIGHTS):
            found = destination
        number += 1
    return found


def _remove_copies(part: Path, out: Path) -> None:
    rewritten = {META, "run.json"}
    copies = [path for path in part.rglob("*") if path.is_file()]
    removable = [path for path in copies if path.name in rewritten or (out / path.relative_to(part)).exists()]
    remove_files(removable, part)
    part.rmdir()


def _run_hash(description: Path) -> str | None:
    """Return the hash of the run that a run.json describes, or None if the file is not valid."""
    try:
        return read_run(description).hash
    except InputError:
        return None


def _scores(out: Path, record: dict[str, Any]) -> list[Path]:
    """Return the run's score files and, if present, the files of nearest neighbours, gates and completion."""
    folder = out / "scores"
    found = [
        path for path in folder.glob("*.json") if path.is_file() and is_score_of(path, record.get("run", ""), None)
    ]
    more = [(folder / "neighbours.png", is_png if is_unmarked(out) and found else is_image_grid)]
    more += [(folder / "attention.safetensors", is_attention), (folder / COMPLETE, is_complete_mark)]
    return [*found, *(path for path, ours in more if path.is_file() and ours(path))]
