"""Moves a prepared dataset to its folder, by renaming if the folder is new, otherwise file by file.

In an existing folder this module replaces only files of an earlier preparation, and keeps all others. It removes
manifest.json first and writes it last, so that a partially replaced folder is never considered complete. During the
replacement a journal lists the files that slim-bench wrote. If the process is killed, the next preparation recognises
these files by the journal. Processes that have mapped the old arrays can still read them.
"""

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.data.manifest import MANIFEST
from bench.data.ownership import JOURNAL, is_journal, own_prepared_files
from bench.data.staging import creation_lock, make_temporary, remove_marker
from bench.errors import InputError
from bench.files import sha256_file, sync, write_json
from bench.ownership import refuse_foreign

REMEDY = "move it away, or give another --out"


def refuse_overlap(out: Path, sources: Iterable[Path]) -> None:
    """Raise InputError if the output folder is, contains or is inside the source."""
    target = out.resolve()
    for source in sources:
        path = source.resolve()
        if target == path or path in target.parents or target in path.parents:
            raise InputError(f"{out}: overlaps with the source {source}; give an --out outside of it")


@contextmanager
def staged_content(out: Path, names: tuple[str, ...], is_default: bool = False) -> Iterator[Path]:
    """Yield a temporary folder for the files `names` and manifest.json.

    If the block succeeds, the content is moved to `out`; otherwise it is deleted. `out` may be a link to a folder.
    Raises InputError before the block if `out` contains a file with one of these names that no preparation wrote.
    `is_default` is explained in `own_prepared_files`.
    """
    out = Path(os.path.realpath(out))
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file, but a folder must be created there; give another --out")
    with creation_lock(out):
        _refuse_foreign_files(out, names, own_prepared_files(out, is_default))
        staging = make_temporary(out if out.is_dir() else out.parent, out.name)
        try:
            yield staging
            remove_marker(staging)
            for path in staging.iterdir():
                sync(path)
            if out.exists():
                _replace_files(staging, out, is_default)
            else:
                staging.chmod(0o755)
                staging.rename(out)
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def _refuse_foreign_files(out: Path, names: Iterable[str], own: set[str]) -> None:
    refuse_foreign(out / JOURNAL, is_journal, REMEDY)
    for name in (MANIFEST, *names):  # MANIFEST first, because a foreign manifest is the cause to report
        refuse_foreign(out / name, lambda path: path.name in own, REMEDY)


def _replace_files(staging: Path, out: Path, is_default: bool) -> None:
    new, own = {path.name for path in staging.iterdir()}, own_prepared_files(out, is_default)
    _refuse_foreign_files(out, new, own)
    files = [(name, folder / name) for folder, names in ((out, own), (staging, new)) for name in names]
    journal: dict[str, list[str]] = {name: [] for name, _ in files}
    for name, path in files:
        journal[name].append(sha256_file(path))
    write_json(out / JOURNAL, {"files": journal})
    (out / MANIFEST).unlink(missing_ok=True)
    for name in sorted(new - {MANIFEST}):
        os.replace(staging / name, out / name)
    for name in own - new:
        (out / name).unlink()
    sync(out)
    os.replace(staging / MANIFEST, out / MANIFEST)
    (out / JOURNAL).unlink()
    sync(out)
