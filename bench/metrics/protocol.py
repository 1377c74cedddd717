"""Builds protocol ids, and refuses to mix scores of different protocols. An id describes how a score was measured.

A protocol id is a path of lower-case parts from general to specific, such as
`fd_efflite0/efflite0-v1/resize224-bicubic/pool1280/px64/real100-all/fake500/ema0.999/bn-train-b16`.
Every property that changes the meaning of the score is a part, except the scored weights (last, untrained), which are
stored in `Score.weights`.
"""

import re
from collections.abc import Iterable

from bench.errors import InputError

PART = re.compile(r"[a-z0-9][a-z0-9.+_-]*(/[a-z0-9][a-z0-9.+_-]*)*")
DATASET_PARTS = (
    (re.compile(r"(?<=/)(px|real|test)\d+(x\d+)?(?=-all|/|$)"), r"\1*"),
    (re.compile(r"(subsets\d+x)\d+"), r"\1*"),
)
"""Patterns of numbers that depend on the dataset (image size, image count, derived values), and replacements."""


class ProtocolError(InputError):
    """Error raised when scores of different protocols would be mixed in a column, test or plot."""


def protocol_id(*parts: str) -> str:
    for part in parts:
        if not PART.fullmatch(part):
            raise ValueError(f"protocol part {part!r}: only a-z 0-9 . + _ - are allowed")
    return "/".join(parts)


def without_dataset_parts(protocol: str) -> str:
    """Return the id without the dataset's numbers. The result must be equal for all datasets of a significance test."""
    for pattern, replacement in DATASET_PARTS:
        protocol = pattern.sub(replacement, protocol)
    return protocol


def without_checkpoint_selection(protocol: str) -> str:
    """Return the id without the part for checkpoint selection. The ids of `last` weights do not have this part."""
    return re.sub(r"/best-[^/]+", "", protocol)


def same_protocol(protocols: Iterable[str], where: str, advice: str = "") -> str | None:
    """Return the common protocol id of the scores at `where`, or None if there are no scores.

    Raises ProtocolError if two ids differ. `advice`: next step for the user, added at the end of the error message.
    """
    first = None
    for protocol in protocols:
        if first is None:
            first = protocol
        elif protocol != first:
            ending = f"; {advice}" if advice else ""
            raise ProtocolError(f"{where}: scores of two protocols: '{first}' and '{protocol}'{ending}")
    return first
