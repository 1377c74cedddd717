"""The two errors that end a command, and the hint for a mistyped name."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """An input error of the user: one line with file and key. The command line prints it and exits with code 2."""


class RunFailedError(RuntimeError):
    """A failure of a run, such as NaN after three rollbacks: recorded as status failed, with exit code 0."""


def did_you_mean(name: str, valid: Iterable[str]) -> str:
    """` (did you mean 'x'?)` for the nearest valid name, or the list of valid names."""
    valid = sorted(valid)
    near = difflib.get_close_matches(name, valid, n=1, cutoff=0.5)
    if near:
        return f" (did you mean '{near[0]}'?)"
    return f" (valid: {', '.join(valid)})" if valid else ""
