"""Kinds of problems of a dataset. The audit counts the problems of each kind."""

import re
from typing import Literal, get_args

from bench.errors import InputError

Kind = Literal["truncated", "corrupt", "not an image", "wrong mode", "too small", "too large", "unreadable"]
"""Problems of one image file."""
COUNT, OTHER = "wrong count", "other problem"
SAME, NEAR = "exact duplicate", "near duplicate"
LEAKED, NEARLY_LEAKED = "test image equal to a training image", "test image similar to a training image"
CHECKS: tuple[str, ...] = (*get_args(Kind), COUNT, OTHER, SAME, NEAR, LEAKED, NEARLY_LEAKED)
"""All kinds of problems that an audit counts, in the order of the report."""
TRUNCATED = re.compile(
    r"truncated|truncation|unexpected end|premature|not enough (image )?data|end of file", re.IGNORECASE
)


class ImageError(InputError):
    """Problem of one image file."""

    def __init__(self, message: str, kind: Kind) -> None:
        super().__init__(message)
        self.kind = kind


def damage_kind(message: str) -> Kind:
    """Return the kind of damage that the decoder's message describes."""
    return "truncated" if TRUNCATED.search(message) else "corrupt"
