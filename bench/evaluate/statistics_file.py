"""Computes the FID of images against a file of reference statistics."""

from dataclasses import replace
from pathlib import Path

import torch

from bench.data.array_files import read_npz_headers
from bench.data.images import print_notes
from bench.errors import InputError
from bench.evaluate.extractors import FID, frechet_measurement, open_extractors
from bench.evaluate.image_sets import IMAGES, ScoredImages, alpha_part, is_array_file, source_of
from bench.evaluate.measurement import Clock
from bench.metrics.frechet import frechet_from_moments
from bench.metrics.frechet_error import error_from_moments, replicates_for
from bench.metrics.reference_statistics import COVARIANCE, MEAN, ReferenceStatistics, read_statistics
from bench.score import Score


def has_statistics(path: Path, max_unpacked_gb: float | None = None) -> bool:
    """Return whether a path is an .npz file with statistics but without images. ADM's reference files contain both."""
    if not is_array_file(path):
        return False
    names = read_npz_headers(path, (), max_unpacked_gb)[1]
    if IMAGES in names:
        return False
    if not {MEAN, COVARIANCE} & set(names):
        shown = ", ".join(names[:5]) or "nothing"
        raise InputError(
            f"{path}: contains neither images ({IMAGES}) nor statistics ({MEAN}, {COVARIANCE}), but {shown}"
        )
    return True


def open_statistics(path: Path, metrics: tuple[str, ...] | None) -> ReferenceStatistics:
    """Read a file of statistics. Raises InputError if `metrics` contains a metric other than the FID."""
    others = [name for name in metrics or () if name != FID]
    if others:
        raise InputError(f"{path}: statistics allow only {FID}, but --metrics {others[0]} needs reference images")
    return read_statistics(path)


def score_against_statistics(fake: ScoredImages, real: ReferenceStatistics, device: torch.device) -> list[Score]:
    """Return a list with one score, the FID.

    The part `real-statistics` of its protocol id means that the feature extractor and resizing method of the reference
    are not verified.
    """
    print_notes([f"{fake.path}: {note}" for note in fake.notes])
    (extractor,) = open_extractors([FID], device)
    clock = Clock()
    features = fake.features(extractor)
    measurement = frechet_measurement(
        FID,
        frechet_from_moments(real.mean, real.factor, features),
        error_from_moments(real.mean, real.factor, features),
        replicates_for(real.factor),
    )
    sets = (f"fake-px{fake.size}", *alpha_part(fake), "real-statistics", f"fake{fake.n}-folder")
    measurement = replace(measurement, parts=(extractor.network.name, *sets), n=fake.n, seconds=clock.seconds)
    return [measurement.score(**source_of(fake, real, device))]
