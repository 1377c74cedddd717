"""Finds or downloads the weights of feature extractors, and verifies them against the catalogue's checksum."""

from pathlib import Path

from bench.data.catalogue import Weights, load_weights_entry
from bench.data.weights import fetch_weights, find_weights_file
from bench.errors import InputError, did_you_mean
from bench.metrics.catalogue import FOLDER_METRICS, METRICS
from bench.paths import project


def weights_path(name: str) -> Path:
    """Return the path of the verified weights file. If it is missing, InputError explains how to install the file."""
    return fetch_weights(name, project())


def has_weights(name: str) -> bool:
    """Return whether the weights file is on this machine, without verifying it."""
    return find_weights_file(weights_entry(name), project()) is not None


def weights_entry(name: str) -> Weights:
    """Return the catalogue entry of the weights `name`."""
    return load_weights_entry(name, project())


def folder_metrics(given: str | None) -> tuple[str, ...]:
    """Return the metrics that `--metrics` lists. The default is all folder metrics whose weights are on this machine.

    Raises InputError for a name that is not a folder metric, and for metrics whose weights are not on this machine.
    """
    if given is None:
        return tuple(name for name in FOLDER_METRICS if all(map(has_weights, METRICS[name].weights)))
    names = [name.strip() for name in given.split(",")]
    for name in names:
        if name not in FOLDER_METRICS:
            known = f"metric {name!r} needs a run" if name in METRICS else f"unknown metric {name!r}"
            raise InputError(f"--metrics: {known}{did_you_mean(name, FOLDER_METRICS)}")
        for weights in METRICS[name].weights:
            try:
                if not has_weights(weights):
                    fetch_weights(weights, project(), network=False)
            except InputError as error:
                raise InputError(f"--metrics: {name} needs weights; {error}") from None
    return tuple(name for name in FOLDER_METRICS if name in names)
