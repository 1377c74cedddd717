"""Weights of feature extractors, found locally or downloaded, and verified by the catalogue's checksum."""

from pathlib import Path

from bench.data.catalogue import CATALOGUE, Weights, load_catalogue
from bench.data.weights import fetch_weights, find_weights_file
from bench.paths import PROJECT


def project() -> Path:
    """Return the current folder if it is a project, else the project that contains this package."""
    here = Path(".")
    return next((folder for folder in (here, PROJECT) if (folder / CATALOGUE).is_file()), here)


def weights_path(name: str) -> Path:
    """Return the path of the verified file. InputError explains how to get a missing file."""
    return fetch_weights(name, project())


def weights_are_here(name: str) -> bool:
    """Return whether the file is on this machine, without verifying it."""
    return find_weights_file(weights_entry(name), project()) is not None


def weights_entry(name: str) -> Weights:
    """Return the catalogue entry of weights `name`."""
    return load_catalogue(project()).find_weights(name)
