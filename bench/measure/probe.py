"""Returns one probe per distinct workload of a list of runs, in the order of measurement.

This module does not import torch.
"""

from collections.abc import Iterable, Sequence
from itertools import chain, zip_longest

from bench.data.catalogue import Catalogue
from bench.run import Run
from bench.schema import Strict
from bench.workload import (
    Images,
    Workload,
    images_of,
    preparation_workload,
    scoring_workload,
    training_workload,
)


class Probe(Strict):
    """Workload to measure, and a run that has this workload. `source_size`: side of the images to prepare, in px."""

    workload: Workload
    run: Run
    images: Images
    layout: str
    source_size: int


def probes_of(runs: Iterable[Run], catalogue: Catalogue) -> list[Probe]:
    """Return one probe per distinct workload: preparation first, then training, then scoring.

    Training and scoring alternate between the tasks, from the smallest images to the largest. If the time ends early,
    each task has been measured at its smallest size.
    """
    found: dict[str, Probe] = {}
    for run in runs:
        dataset = catalogue.dataset(run.dataset)
        images = images_of(run, dataset)
        for workload in (
            preparation_workload(run, dataset),
            training_workload(run, images),
            scoring_workload(run, images),
        ):
            size = dataset.size or run.data.image_size or 512
            probe = Probe(workload=workload, run=run, images=images, layout=dataset.layout, source_size=size)
            found.setdefault(workload.key, probe)
    parts = {part: [p for p in found.values() if p.workload.part == part] for part in ("prepare", "train", "score")}
    return [*parts["prepare"], *_alternating(parts["train"]), *_alternating(parts["score"])]


def _alternating(probes: Sequence[Probe]) -> list[Probe]:
    tasks = dict.fromkeys(probe.workload.task for probe in probes)
    rows = [
        sorted((p for p in probes if p.workload.task == task), key=lambda p: p.workload.image_size or 0)
        for task in tasks
    ]
    return [probe for probe in chain.from_iterable(zip_longest(*rows)) if probe is not None]
