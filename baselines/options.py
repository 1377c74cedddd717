"""Types of the arguments that builders of networks take. Limits are text: the harness reads them from the source."""

from typing import Annotated, Literal

Positive = Annotated[int, "> 0"]
PositiveFloat = Annotated[float, "> 0"]
ImageSize = Literal[64, 128, 256, 512, 1024]
"""Sizes in px at which FastGAN exists."""
GateTarget = Literal[64, 128, 256, 512]
"""Sizes of the maps that pass a gate."""
