"""Recognises the files that slim-bench wrote to the run folder and state folder of a run, and refuses other files.

An earlier version wrote PNGs without a marker in their metadata, and state folders without a marker file. If a folder
has a record or a checkpoint of that version, files are recognised by name. This module does not import torch.
"""

import contextlib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from bench.card import CARD, is_model_card
from bench.errors import InputError, writing
from bench.files import read_mapping, write_text
from bench.ownership import (
    CHECKPOINT_NAME,
    FilePredicate,
    is_checkpoint,
    is_history,
    is_image_grid,
    is_png,
    is_record,
    is_run,
    is_temporary,
    is_weights,
    read_text_or_empty,
    refuse_foreign,
)
from bench.paths import META, META_COPY, WEIGHTS
from bench.run import Run, read_run

MARKER, OUTPUTS = ".slim-bench-state", "outputs"
MARKER_TEXT = "Checkpoints of a training by slim-bench, which removes them when it is done.\n"
FILES: dict[str, FilePredicate] = {
    CARD: lambda path: is_model_card(read_text_or_empty(path)),
    META: is_record,
    META_COPY: is_record,
    WEIGHTS: is_weights,
    "history.csv": is_history,
}
PARTS: dict[str, tuple[re.Pattern[str], FilePredicate]] = {
    "samples": (
        re.compile(r"(step-\d{7}|grid|real|scale-\d\d|training|reconstruction|bicubic|sample_\d{3,})\.png"),
        is_image_grid,
    ),
    "best": (re.compile(re.escape(WEIGHTS)), is_weights),
    "snapshots": (re.compile(r"step-\d{7}\.safetensors"), is_weights),
}
REMEDY = "move it away, or give another --out"
STATE_REMEDY = "move it away, or give another --state"


def own_run_files(folder: Path, unmarked: bool = False) -> list[Path]:
    """Return the files of a run in `folder` except run.json. `unmarked`: also return PNGs without a marker."""
    found = [folder / name for name, is_ours in FILES.items() if (folder / name).is_file() and is_ours(folder / name)]
    for part, (names, is_ours) in PARTS.items():
        is_ours = is_png if unmarked and is_ours is is_image_grid else is_ours
        found += [path for path in _files_in(folder / part) if names.fullmatch(path.name) and is_ours(path)]
    return found


def remove_files(paths: Iterable[Path], folder: Path) -> None:
    """Remove files in `folder`, then the subfolders that become empty."""
    paths = list(paths)
    for path in paths:
        path.unlink(missing_ok=True)
    for parent in sorted({path.parent for path in paths} - {folder}, reverse=True):
        _remove_empty(parent)


def remove_temporaries(folder: Path) -> None:
    """Remove the temporary files that a killed job left in a run or state folder."""
    known: list[tuple[Path, Callable[[str], object]]] = [
        (folder, lambda name: name in {*FILES, "run.json"} or CHECKPOINT_NAME.fullmatch(name)),
        (folder / "scores", re.compile(r"[a-z0-9_]+(@[a-z-]+)?\.json|neighbours\.png").fullmatch),
        *((folder / part, names.fullmatch) for part, (names, _) in PARTS.items()),
    ]
    for known_folder, is_ours in known:
        for path in _files_in(known_folder):
            if is_temporary(path, lambda name, is_ours=is_ours: bool(is_ours(name))):
                path.unlink(missing_ok=True)
    if (folder / OUTPUTS).is_dir() and is_own_state(folder):
        remove_temporaries(folder / OUTPUTS)


def check_out(out: Path, state: Path) -> None:
    """Raise InputError if training would overwrite anything in `out` that slim-bench did not write."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file, but a run folder must be created there; give another --out")
    _refuse_foreign_files(out, is_unmarked(out), REMEDY)
    if not is_own_state(state) and not any(is_record(out / name) for name in (META, META_COPY)):
        for part in PARTS:  # slim-bench never wrote to this folder
            if any(_entries(out / part)) and not any(path.parent.name == part for path in own_run_files(out)):
                raise InputError(f"{out / part}: contains files that slim-bench did not write; {REMEDY}")


def check_description(run: Run, out: Path) -> None:
    """Raise InputError if run.json in `out` describes another run that is not finished in `out`."""
    description = out / "run.json"
    refuse_foreign(description, is_run, REMEDY)
    if not description.exists():
        return
    found = read_run(description).hash
    if found != run.hash and found != finished_record(out).get("run_sha256"):
        raise InputError(f"{description}: describes a run other than {run.name}; {REMEDY}")


def is_unmarked(out: Path) -> bool:
    """Return whether the run in `out` was written by a version that did not mark its PNGs."""
    records = [read_mapping(out / name) for name in (META, META_COPY) if is_record(out / name)]
    return bool(records) and not any("description" in record for record in records)


def finished_record(out: Path) -> dict[str, Any]:
    """Return the record of a finished run in `out`, or an empty dict if `out` has no finished run or no weights."""
    if not (out / WEIGHTS).exists():
        return {}
    records = (read_mapping(out / name) for name in (META, META_COPY))
    record = next((found for found in records if found.get("status") in ("ok", "failed")), {})
    return record if record.get("status") == "ok" else {}


def check_state(state: Path, out: Path, data: Path) -> None:
    """Raise InputError if `state` overlaps the run folder or the data, or contains files not written by slim-bench."""
    path = state.resolve()
    for other, name in ((out.resolve(), "the run folder"), (data.resolve(), "the data")):
        if path == other or path in other.parents:
            raise InputError(f"{state}: is or contains {name} ({other}); give another --state")
    if state.exists() and not state.is_dir():
        raise InputError(f"{state}: is a file, but a folder must be created there; give another --state")
    refuse_foreign(state / MARKER, _is_marker, STATE_REMEDY)
    outputs = state / OUTPUTS
    if os.path.lexists(outputs) and not outputs.is_dir():
        raise InputError(f"{outputs}: is not a folder, but a folder must be created there; {STATE_REMEDY}")
    if is_own_state(state):
        _refuse_foreign_files(outputs, True, STATE_REMEDY)
        return
    for path in _files_in(state):
        if CHECKPOINT_NAME.fullmatch(path.name):
            refuse_foreign(path, is_checkpoint, STATE_REMEDY)
    own = set(own_run_files(outputs))
    if any(path not in own for path in outputs.rglob("*") if not path.is_dir()):
        raise InputError(f"{outputs}: contains files that slim-bench did not write; {STATE_REMEDY}")


def is_own_state(state: Path) -> bool:
    """Return whether `state` has the marker file of slim-bench or a non-empty checkpoint."""
    return _is_marker(state / MARKER) or any(
        CHECKPOINT_NAME.fullmatch(path.name) and path.stat().st_size and is_checkpoint(path)
        for path in _files_in(state)
    )


def claim_state(state: Path) -> None:
    """Create the state folder if needed, and write its marker file. `release_state` removes both at the end of the
    run."""
    with writing(state / MARKER):
        state.mkdir(parents=True, exist_ok=True)
    if not _is_marker(state / MARKER):
        write_text(state / MARKER, MARKER_TEXT)


def release_state(state: Path) -> None:
    """Remove the checkpoints, outputs and marker file of slim-bench, and the folder if it is then empty."""
    if not is_own_state(state):
        return
    remove_temporaries(state)
    remove_files(own_run_files(state / OUTPUTS, unmarked=True), state / OUTPUTS)
    _remove_empty(state / OUTPUTS)
    for path in _files_in(state):
        if CHECKPOINT_NAME.fullmatch(path.name) and (path.suffix == ".damaged" or is_checkpoint(path)):
            path.unlink(missing_ok=True)
    (state / MARKER).unlink(missing_ok=True)
    _remove_empty(state)


def _is_marker(path: Path) -> bool:
    return read_text_or_empty(path) == MARKER_TEXT


def _refuse_foreign_files(folder: Path, unmarked: bool, remedy: str) -> None:
    """Raise InputError if a file in `folder` has a name that slim-bench uses, but was not written by slim-bench."""
    own = set(own_run_files(folder, unmarked))
    for name in FILES:
        refuse_foreign(folder / name, own.__contains__, remedy)
    for part, (names, _) in PARTS.items():
        if os.path.lexists(folder / part) and not (folder / part).is_dir():
            raise InputError(f"{folder / part}: is a file, but a folder must be created there; {remedy}")
        for path in _entries(folder / part):
            if names.fullmatch(path.name):
                refuse_foreign(path, own.__contains__, remedy)


def _entries(folder: Path) -> Iterator[Path]:
    return folder.iterdir() if folder.is_dir() else iter(())


def _files_in(folder: Path) -> list[Path]:
    return sorted(path for path in _entries(folder) if path.is_file())


def _remove_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()
