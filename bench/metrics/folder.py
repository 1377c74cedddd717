"""Streams the images of a folder as uint8 batches in sorted order. Errors name the file that cannot be read."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from bench.data.images import check_pixels, is_litter
from bench.errors import InputError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm")


def list_images(folder: Path) -> list[Path]:
    """Return the image files in `folder` and its subfolders, sorted by path. InputError for fewer than two."""
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    files = [p for p in files if not is_litter(p.relative_to(folder))]
    if len(files) < 2:
        raise InputError(f"{folder}: {len(files)} images ({', '.join(SUFFIXES)}), but at least 2 are needed")
    return files


def read_image(path: Path) -> Tensor:
    """Return an image, uint8 [3, H, W]. InputError for greyscale and transparency, which the user must convert."""
    try:
        with Image.open(path) as image:
            check_pixels(path, image.width, image.height)
            if image.mode not in ("RGB", "P") or "transparency" in image.info:
                bands = ", ".join(image.getbands())
                found = f"this image has {len(image.getbands())} channels ({bands})"
                raise InputError(f"{path}: RGB is needed, {found}; save it as RGB, without transparency")
            pixels = np.array(image.convert("RGB"))
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: not a readable image ({error})") from None
    return torch.from_numpy(pixels).permute(2, 0, 1)


def stream_images(files: list[Path], batch_size: int = 8) -> Iterator[Tensor]:
    """Yield uint8 batches [<= batch_size, 3, H, W]. Consecutive images of equal size share a batch."""
    batch: list[Tensor] = []
    for path in files:
        image = read_image(path)
        if batch and (len(batch) == batch_size or image.shape != batch[0].shape):
            yield torch.stack(batch)
            batch = []
        batch.append(image)
    if batch:
        yield torch.stack(batch)


def hash_files(files: list[Path], root: Path) -> str:
    """Return the sha256 of names and contents."""
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(root).as_posix()}\0".encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
