"""Environment variables for switches and the user's cache folder, and the limit on the number of threads."""

import os
from pathlib import Path

from bench.errors import InputError
from bench.schema import whole_number

MAX_THREADS = 64
"""Number of threads that is permitted on every machine, for any number of processors."""

OFFLINE = "SLIM_BENCH_OFFLINE"
"""Variable that disables all downloads."""
ON, OFF = ("1", "true", "yes", "on"), ("", "0", "false", "no", "off")


def check_threads(threads: int | None, where: str) -> None:
    """Raise InputError for a number of threads outside the limits of this machine, because torch would crash.

    More threads than processors are allowed, because a run that started on a larger machine keeps its thread count.
    """
    most = max(MAX_THREADS, os.cpu_count() or 1)
    if threads is not None and not 0 < threads <= most:
        raise InputError(f"{where}: {threads} threads are requested, but {os.cpu_count()} processors allow 1 to {most}")


def is_enabled(name: str) -> bool:
    """Return whether the variable `name` is on. Raises InputError if its value is neither in ON nor in OFF."""
    value = os.environ.get(name, "").strip().lower()
    if value not in (*ON, *OFF):
        words = f"use {', '.join(ON)} to enable it, or {', '.join(OFF[1:])} or an empty value to disable it"
        raise InputError(f"{name}={os.environ[name]}: {words}")
    return value in ON


def launcher_variable(name: str, default: int) -> int:
    """Return the whole number in a variable of torchrun, such as WORLD_SIZE, or `default` if it is not set.

    Raises InputError for any other value.
    """
    number = whole_number(os.environ.get(name, str(default)))
    if number is None:
        raise InputError(f"{name}={os.environ[name]}: expected a whole number, as torchrun sets it; unset it")
    return number


def user_cache() -> Path:
    """Return XDG_CACHE_HOME, or ~/.cache if it is not set. The folder may not exist (user without a home folder)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
