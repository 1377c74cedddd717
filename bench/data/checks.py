"""Reads all files of a dataset again, and compares them with the catalogue and with the DVC record."""

from bench.data.content import describe_installed, file_stamp
from bench.data.dvc_cache import open_cache
from bench.data.fetch_job import FetchJob, hashes_of, mismatch
from bench.data.installed import archives_problem, installed_problem
from bench.data.pointers import pointer_of, pointer_path
from bench.data.present import installed_path, present_source
from bench.data.receipts import read_receipt
from bench.data.sources import Shipped, SourceFile
from bench.errors import InputError


def dataset_problems(job: FetchJob) -> list[str]:
    """Return every difference between the files of a dataset and its checksums. Receipts are not trusted."""
    try:
        path = installed_path(job.root, job.dataset)
        if path is not None:
            described = describe_installed(path, job.dataset)
            changed = installed_problem(job, path, described) if job.dataset.folder is None else None
            return [changed] if changed else []
        source = present_source(job.root, job.dataset, read_receipt(job.name, job.root))
        if source is None:
            return [f"not here; run `slim-bench data fetch {job.name}`"]
        found = {file: hashes_of(job.root / file.local) for file in source.files}
        differing = [mismatch(job, file, hashes) for file, hashes in found.items()]
        problems = [problem for problem in differing if problem is not None]
        if problems or isinstance(source, Shipped):
            return problems
        if job.dataset.layout != "imagenet":
            return _unrecorded(job, source.files)
        stamped = [file_stamp(job.root / file.local, file.name) | hashes for file, hashes in found.items()]
        listed = archives_problem(job, stamped)
        return [listed] if listed else []
    except (InputError, OSError) as error:
        return [str(error)]


def _unrecorded(job: FetchJob, files: tuple[SourceFile, ...]) -> list[str]:
    """Return one problem for each file that has no pointer, or whose content is missing in the DVC cache."""
    problems, cache = [], open_cache(job.root)
    for file in files:
        pointer = pointer_of(job.root / file.local)
        if pointer is None:
            problems.append(f"{pointer_path(file.local)}: missing; run `slim-bench data pin {job.name}`")
        elif cache is not None and pointer.md5 and not cache.contains(pointer.md5, pointer.size):
            problems.append(
                f"{file.local}: missing in the DVC cache, so `dvc push` does not upload it; run "
                f"`slim-bench data pin {job.name}`"
            )
    return problems
