"""Environment variables: switches and the user's cache folder."""

import os
from pathlib import Path

from bench.errors import InputError

OFFLINE = "SLIM_BENCH_OFFLINE"
"""Disables all downloads."""
ON, OFF = ("1", "true", "yes", "on"), ("", "0", "false", "no", "off")


def switched_on(name: str) -> bool:
    """Return whether the variable `name` is on. InputError if its value means neither on nor off."""
    value = os.environ.get(name, "").strip().lower()
    if value not in (*ON, *OFF):
        words = f"{', '.join(ON)} mean on; {', '.join(OFF[1:])} or empty mean off"
        raise InputError(f"{name}={os.environ[name]}: {words}")
    return value in ON


def user_cache() -> Path:
    """Return XDG_CACHE_HOME, else ~/.cache. The folder is not created and may not exist for a user without a home."""
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
