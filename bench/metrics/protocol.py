"""Protocol ids: how a number was measured, in one line, and the guard that keeps two protocols apart.

An id is a path of lower-case parts, coarse to fine, e.g.
`fd_efflite0/efflite0-v1/resize224-bicubic/pool1280/px64/real100-all/fake500/ema0.999/bn-train-b16`.
Whatever changes the meaning of the number is a part; which weights were scored (last, untrained) is `Score.weights`.
"""

import re
from collections.abc import Iterable

from bench.errors import InputError

PART = re.compile(r"[a-z0-9][a-z0-9.+_-]*(/[a-z0-9][a-z0-9.+_-]*)*")
OF_THE_SET = (
    (re.compile(r"(?<=/)(px|real|test)\d+(x\d+)?(?=-all|/|$)"), r"\1*"),
    (re.compile(r"(subsets\d+x)\d+"), r"\1*"),
)
"""Numbers that a data set brings with it: image size, counts of its images, and what follows from these."""


class ProtocolError(InputError):
    """Two numbers of different protocols were about to meet in one column, test or plot."""


def protocol_id(*parts: str) -> str:
    for part in parts:
        if not PART.fullmatch(part):
            raise ValueError(f"protocol part {part!r}: only a-z 0-9 . + _ - are allowed")
    return "/".join(parts)


def across_sets(protocol: str) -> str:
    """The id without the numbers of the data set: what must be equal where several data sets meet in one test."""
    for pattern, replacement in OF_THE_SET:
        protocol = pattern.sub(replacement, protocol)
    return protocol


def without_choice(protocol: str) -> str:
    """The id of a chosen export without how it was chosen: what it shares with the last one."""
    return re.sub(r"/best-[^/]+", "", protocol)


def same_protocol(protocols: Iterable[str], where: str, advice: str = "") -> str | None:
    """The one protocol of all numbers that meet at `where`; None if there are none; else both ids are named.

    `advice`: what to do then, the end of the one line.
    """
    first = None
    for protocol in protocols:
        if first is None:
            first = protocol
        elif protocol != first:
            way_out = f"; {advice}" if advice else ""
            raise ProtocolError(f"{where}: two protocols must not meet: '{first}' and '{protocol}'{way_out}")
    return first
