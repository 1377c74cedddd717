"""Protocol ids: how a number was measured, in one line.

An id is a path of lower-case parts, coarse to fine, e.g.
`fd/efflite0-v1/px64/resize224-bicubic/pool1280/real100-all/fake500/ema/bn-train-b16`.
Whatever changes the number's meaning is a part; which weights were scored (last, untrained) is `Score.selection`. Numbers
of two ids never meet in one column, test or plot: `bench.report.guard` refuses, with both named.
"""

import re

PART = re.compile(r"[a-z0-9][a-z0-9.+_-]*")


def protocol_id(*parts: str) -> str:
    for part in parts:
        if not PART.fullmatch(part):
            raise ValueError(f"protocol part {part!r}: only a-z 0-9 . + _ - are allowed")
    return "/".join(parts)
