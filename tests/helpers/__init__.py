"""Helpers shared by tests: small datasets, runs, score files, projects."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
