"""Argument types of network builders. Limits are strings because `bench` reads them from the source text."""

from typing import Annotated, Literal

Positive = Annotated[int, "> 0"]
PositiveFloat = Annotated[float, "> 0"]
ImageSize = Literal[64, 128, 256, 512, 1024]
"""Image sizes in px that FastGAN supports."""
GateTarget = Literal[64, 128, 256, 512]
"""Sizes in px of the feature maps that can be gated."""
