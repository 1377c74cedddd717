"""What environment variables say: switches, and the user's folder for caches."""

import os
from pathlib import Path

from bench.errors import InputError

OFFLINE = "SLIM_BENCH_OFFLINE"
"""Forbids every download."""
ON, OFF = ("1", "true", "yes", "on"), ("", "0", "false", "no", "off")


def switched_on(name: str) -> bool:
    """Whether the variable `name` is set to a word that means on; a word that means neither is an InputError."""
    value = os.environ.get(name, "").strip().lower()
    if value not in (*ON, *OFF):
        words = f"{', '.join(ON)} mean on; {', '.join(OFF[1:])} or nothing mean off"
        raise InputError(f"{name}={os.environ[name]}: {words}")
    return value in ON


def user_cache() -> Path:
    """XDG_CACHE_HOME, else ~/.cache; not created here, and a user without a home gets a folder that does not exist."""
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
