"""The two ways a command ends early, and the hint that goes with a mistyped name."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """A mistake in what the user gave: one line that names file and key; the command line prints it, exits 2."""


class RunFailedError(RuntimeError):
    """A run that fails for reasons of its own (NaN after three rollbacks, say): recorded as status failed, exit 0."""


def did_you_mean(name: str, valid: Iterable[str]) -> str:
    """` (did you mean 'x'?)` for the nearest valid name, else the list of valid names."""
    valid = sorted(valid)
    near = difflib.get_close_matches(name, valid, n=1, cutoff=0.5)
    if near:
        return f" (did you mean '{near[0]}'?)"
    return f" (valid: {', '.join(valid)})" if valid else ""
