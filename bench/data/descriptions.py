"""Describes the sources (in order), checksums, DVC pointers and licence of a dataset for `slim-bench data show`."""

from typing import Any

from bench.data.catalogue import PREPARED
from bench.data.fetch_job import FetchJob
from bench.data.pointers import pointer_of, pointer_path
from bench.data.record import INSTALLED, source_text
from bench.data.sources import SOURCES, Manual, label, record_names
from bench.data.states import MANUAL, dataset_state
from bench.errors import readable_size


def describe_dataset(job: FetchJob) -> dict[str, Any]:
    """Return the description as JSON values."""
    entry, state = job.dataset, dataset_state(job)
    fields = ("title", "role", "licence", "terms", "citation")
    return (
        state.as_dict()
        | {field: value for field in fields if (value := getattr(entry, field, None)) is not None}
        | {
            "sources": [_described(job, source) for source in entry.sources],
            "records": _records(job),
            "prepared": sorted(path.parent.name for path in (job.root / PREPARED).glob(f"{job.name}-*/manifest.json")),
        }
    )


def _described(job: FetchJob, source: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"source": label(source), "files": []}
    for file in source.files:
        recorded = job.recorded(file)
        sha256, md5 = file.sha256, file.md5
        found["files"].append(
            {
                "name": file.name,
                "from": source_text(source, file),
                "bytes": file.bytes,
                "published": f"sha256 {sha256}" if sha256 else f"md5 {md5}" if md5 else None,
                "recorded": f"md5 {recorded.md5}" if recorded else None,
                "is_here": (job.root / file.local).is_file(),
            }
        )
    if isinstance(source, Manual):
        found |= {"folder": (SOURCES / source.place).as_posix(), "how": source.how}
    return found


def _records(job: FetchJob) -> list[dict[str, Any]]:
    """Return the DVC pointers of the dataset."""
    names = [file.name for source in job.dataset.sources for file in source.files]
    found = []
    for name in dict.fromkeys([*names, *record_names(job.name)]):
        pointer = pointer_of(job.root / SOURCES / name)
        if pointer is not None:
            path = pointer_path(SOURCES / name).as_posix()
            found.append({"pointer": path, "md5": pointer.md5, "bytes": pointer.size, **pointer.meta})
    return found


def description_lines(described: dict[str, Any]) -> list[str]:
    """Return the description as lines of text."""
    shown = ("title", "task", "role", "licence", "terms", "citation")
    lines = [described["name"], *(f"  {key}: {described[key]}" for key in shown if described.get(key))]
    size = "" if described["bytes"] is None else f", {readable_size(described['bytes'])}"
    remedy = "" if described["state"] == MANUAL or not described["remedy"] else f"; {described['remedy']}"
    lines.append(f"  state: {described['state']}{size}{remedy}")
    for number, source in enumerate(described["sources"], 1):
        lines.append(f"  source {number}: {source['source']}")
        for file in source["files"]:
            size = "size unknown" if file["bytes"] is None else readable_size(file["bytes"])
            checksum = file["published"] or (f"recorded {file['recorded']}" if file["recorded"] else "no checksum")
            origin = "" if file["from"] == INSTALLED else f", {file['from']}"
            lines.append(f"    {file['name']}: {size}, {checksum}{origin}")
        if "how" in source:
            lines.append(f"    {source['folder']}: {source['how']}")
    for record in described["records"]:
        lines.append(f"  DVC pointer: {record['pointer']}, md5 {record['md5']}, from {record.get('source', 'DVC')}")
    lines += [f"  prepared: {(PREPARED / name).as_posix()}" for name in described["prepared"]]
    return lines
