"""Weights of the instruments, found or fetched, and always checked against the catalogue's checksum."""

from pathlib import Path

from bench.code_digest import ROOT
from bench.data.catalogue import CATALOGUE
from bench.data.weights import fetch_weights


def weights_path(name: str) -> Path:
    """The checked file; an InputError says where to get it. The project is the current folder, else this package's."""
    return fetch_weights(name, Path(".") if CATALOGUE.exists() else ROOT)
