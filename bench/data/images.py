"""From files to RGB arrays: finding images, refusing what is none, compositing, cropping, antialiased resizing."""

from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from bench.data.catalogue import Preparation
from bench.errors import InputError

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "PPM", "GIF")
MAX_PIXELS = 1 << 26  # 8192 x 8192: larger headers are taken for an attack or a mistake
ORIENTATION = 0x0112  # exif tag; from 5 on the image lies on its side
FILTERS = {"lanczos": Image.Resampling.LANCZOS, "bicubic": Image.Resampling.BICUBIC}
BROKEN = (UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)


@dataclass(frozen=True)
class Header:
    """What an image file says about itself, upright."""

    path: Path
    width: int
    height: int


def list_files(folder: Path, pattern: str = "*") -> list[Path]:
    """Files under `folder` whose name matches, by name; hidden files and system litter do not count."""
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    found = [path for path in folder.rglob("*") if path.is_file() and not is_litter(path.relative_to(folder))]
    found = [path for path in found if fnmatch(path.name, pattern)]
    if not found:
        raise InputError(f"{folder}: no file matches {pattern!r}" if pattern != "*" else f"{folder}: no images in it")
    for path in found:
        check_name(path)
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def check_name(path: Path) -> None:
    """Refuse a name that a line of a UTF-8 list cannot hold."""
    name = str(path)
    if "\t" in name or len(name.splitlines()) != 1 or any("\ud800" <= letter <= "\udfff" for letter in name):
        raise InputError(f"{name!r}: a name with a tab, a line break or bytes that are not UTF-8; rename it")


def is_litter(path: Path) -> bool:
    """Hidden, or left behind by an operating system."""
    return any(part.startswith((".", "__MACOSX")) or part in ("Thumbs.db", "desktop.ini") for part in path.parts)


def read_header(path: Path) -> Header:
    """Size of an image without decoding it; a file that is no image is refused by name."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            width, height = image.size
            # asking a PNG without an exif chunk would decode the whole image
            known = "exif" in image.info or image.format == "TIFF"
            turned = known and image.getexif().get(ORIENTATION, 1) >= 5
    except BROKEN:
        raise InputError(f"{path}: not an image that can be read ({', '.join(FORMATS)})") from None
    check_pixels(path, width, height)
    return Header(path, height, width) if turned else Header(path, width, height)


def check_pixels(path: Path, width: int, height: int) -> None:
    """Refuse an image that would take too much memory to decode."""
    if width * height > MAX_PIXELS:
        raise InputError(f"{path}: {width}x{height} is beyond the limit of {MAX_PIXELS} pixels")


def decode(path: Path, background: tuple[int, int, int]) -> Image.Image:
    """The first frame as 8-bit RGB, upright, transparent pixels laid on `background`."""
    read_header(path)
    try:
        with Image.open(path, formats=FORMATS) as image:
            image.load()
            upright = ImageOps.exif_transpose(image)
            if upright.mode.startswith(("I", "F")):
                raise InputError(f"{path}: more than 8 bits a channel (mode {upright.mode}); convert it first")
            if upright.has_transparency_data:
                rgba = upright.convert("RGBA")
                return Image.alpha_composite(Image.new("RGBA", rgba.size, (*background, 255)), rgba).convert("RGB")
            return upright.convert("RGB")
    except InputError:
        raise
    except BROKEN as error:
        raise InputError(f"{path}: damaged image ({error})") from None


def target_size(header: Header, image_size: int | None, fit: str) -> tuple[int, int]:
    """(width, height) that an image is brought to."""
    if image_size is None:
        return header.width, header.height
    if fit == "crop":
        return image_size, image_size
    longest = max(header.width, header.height)
    return tuple(max(1, round(side * image_size / longest)) for side in (header.width, header.height))


def check_size(header: Header, image_size: int | None, preparation: Preparation) -> None:
    """Refuse an image that would have to be enlarged, unless the data set allows that."""
    if image_size is None or preparation.upscale:
        return
    side = min if preparation.fit == "crop" else max
    if side(header.width, header.height) < image_size:
        which = "shortest" if preparation.fit == "crop" else "longest"
        raise InputError(
            f"{header.path}: {header.width}x{header.height}, but {image_size} pixels are needed on the {which} side"
        )


def fitted(path: Path, size: tuple[int, int], preparation: Preparation) -> np.ndarray:
    """One image as uint8 [H, W, 3] of `size` (width, height)."""
    image = decode(path, preparation.background)
    if preparation.fit == "crop":
        side = min(image.size) if size[0] == size[1] else None
        if side:
            left, top = (image.width - side) // 2, (image.height - side) // 2
            image = image.crop((left, top, left + side, top + side))
    if image.size != size:
        image = image.resize(size, FILTERS[preparation.resample])
    return np.asarray(image, np.uint8)
