"""Resizes images to the prepared size with antialiasing, after a centre crop or with the original aspect ratio."""

from pathlib import Path

import numpy as np
from PIL import Image

from bench.data.catalogue import Preparation
from bench.data.images import Header, decoded, pixels_of
from bench.data.problems import ImageError
from bench.errors import InputError

MIN_ONE_SHOT_SIDE = 25  # pixels; minimum side of the coarsest image of the pyramid
FILTERS = {"lanczos": Image.Resampling.LANCZOS, "bicubic": Image.Resampling.BICUBIC}


def target_size(header: Header, image_size: int | None, fit: str) -> tuple[int, int]:
    """Return (width, height) of an image after resizing."""
    if image_size is None:
        return header.width, header.height
    if fit == "crop":
        return image_size, image_size
    longest = max(header.width, header.height)
    return tuple(max(1, round(side * image_size / longest)) for side in (header.width, header.height))


def check_image_size(name: str, image_size: int | None) -> None:
    """Raise InputError for a size that no network supports."""
    if image_size is not None and image_size < 8:
        raise InputError(f"{name}: image size {image_size} is below the minimum of 8 pixels")


def check_size(header: Header, image_size: int | None, preparation: Preparation) -> None:
    """Raise InputError for an image that needs upscaling, unless the dataset allows upscaling."""
    if image_size is None or preparation.upscale:
        return
    side = min if preparation.fit == "crop" else max
    if side(header.width, header.height) < image_size:
        which = "shortest" if preparation.fit == "crop" else "longest"
        raise ImageError(
            f"{header.path}: has {header.width}x{header.height} pixels, but the {which} side needs {image_size}",
            "too small",
        )


def check_one_shot(header: Header, size: tuple[int, int]) -> None:
    """Raise InputError for an image that is too small for a pyramid at `size` (width, height)."""
    if min(size) < MIN_ONE_SHOT_SIDE:
        raise ImageError(
            f"{header.path}: has {size[0]}x{size[1]} pixels after scaling, but each side needs {MIN_ONE_SHOT_SIDE}",
            "too small",
        )


def fit_image(path: Path, size: tuple[int, int], preparation: Preparation) -> np.ndarray:
    """Return one image as uint8 [H, W, 3] of `size` (width, height)."""
    with decoded(path, preparation.background) as image:
        if preparation.fit == "crop" and size[0] == size[1]:
            side = min(image.size)
            left, top = (image.width - side) // 2, (image.height - side) // 2
            if image.width != image.height:  # crop() would copy a square image
                image = image.crop((left, top, left + side, top + side))
        if image.size != size:
            image = image.resize(size, FILTERS[preparation.resample])
        return pixels_of(image)
