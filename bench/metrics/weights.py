"""Weights of feature extractors: find or download them, and always verify the checksum of the catalogue."""

from pathlib import Path

from bench.data.catalogue import CATALOGUE, load_catalogue
from bench.data.weights import fetch_weights, find_weights_file
from bench.paths import PROJECT


def project() -> Path:
    """The current folder if it is a project, else the one that this package is part of."""
    here = Path(".")
    return next((folder for folder in (here, PROJECT) if (folder / CATALOGUE).is_file()), here)


def weights_path(name: str) -> Path:
    """The checked file; an InputError says where to get it."""
    return fetch_weights(name, project())


def weights_are_here(name: str) -> bool:
    """Whether the file lies on this machine, unchecked."""
    return find_weights_file(load_catalogue(project()).find_weights(name), project()) is not None
