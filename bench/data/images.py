"""Converts image files to RGB with the same rules for every command: which files are refused, noted or converted.

The content says what a file is, never its name. Images are turned upright, transparent pixels are laid on a background,
grey and palette images become RGB, of several frames or pages the first is taken. Decoding threads share a budget of
pixels, so that memory is bounded by the largest image allowed, not by the number of cores.
"""

import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from bench.data.walk import Listing, emptiness, walk
from bench.errors import InputError
from bench.files import check_regular
from bench.terminal import one_line

FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "BMP", "TIFF", "PPM", "GIF")
MAX_PIXELS = 1 << 26
"""8192 x 8192: of one image, and of all images that are decoded at a time, which then take under 1 GB."""
Image.core.set_block_size(1 << 26)
"""Bytes. Blocks of Pillow's default size are kept by each thread's heap when they are freed, larger ones are not."""
BAND = 1 << 20
"""Pixels that are converted at a time."""
Colour = tuple[int, int, int]
WHITE: Colour = (255, 255, 255)
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What turns an image upright, by its EXIF orientation; from 5 on width and height change places."""
DEEP = ("I", "F")
CONVERTIBLE = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")

warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # ours is the one limit
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")  # faults of tags that are not read here


@dataclass(frozen=True, slots=True)
class Header:
    """The metadata of an image file: its upright size and peculiarities."""

    path: Path
    width: int
    height: int
    transparent: bool = False
    turned: bool = False
    frames: bool = False
    profile: bool = False
    cmyk: bool = False
    deep: bool = False


REMARKS: dict[str, Callable[[Header], bool]] = {
    "have several frames or pages, of which the first is used": lambda header: header.frames,
    "carry a colour profile, which is not applied": lambda header: header.profile,
    "are CMYK and become RGB without a colour profile": lambda header: header.cmyk,
    "have 16 bits a channel, of which the upper 8 are used": lambda header: header.deep,
    "have an alpha channel or a transparent colour, which is laid on the background": lambda header: header.transparent,
    "are turned upright, as their EXIF orientation says": lambda header: header.turned,
}
"""What a note says, and of which images."""


@dataclass
class ImageFiles:
    """The images of a folder, or a single one, by their headers."""

    folder: Path
    headers: list[Header] = field(default_factory=list)
    faults: list[InputError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def find_images(place: Path, pattern: str = "*") -> ImageFiles:
    """Headers of all images of a folder or of one file; every other file in the folder is a fault."""
    place = Path(place)
    listing = Listing(place.parent, [place.name]) if place.is_file() else walk(place, pattern)
    found = ImageFiles(listing.folder, faults=listing.faults, notes=listing.notes)
    if not listing.names:
        found.faults.append(emptiness(place, pattern))
    for path in listing.files:
        try:
            found.headers.append(read_header(path))
        except InputError as fault:
            found.faults.append(fault)
    found.notes += notes_on(found.headers, listing.folder, len(found.headers))
    return found


def usable_images(place: Path, pattern: str = "*", at_least: int = 1) -> ImageFiles:
    """`find_images`, with an InputError for the first problem, or for fewer than `at_least` images."""
    found = find_images(place, pattern)
    if found.faults:
        raise found.faults[0]
    if len(found.headers) < at_least:
        raise InputError(f"{place}: {len(found.headers)} images in it, at least {at_least} are needed")
    return found


def print_notes(notes: Iterable[str]) -> None:
    for note in notes:
        print(f"note: {one_line(note)}", file=sys.stderr)


def notes_on(headers: Sequence[Header], folder: Path, total: int) -> list[str]:
    """What one should know of how images are read, a line a kind; `headers`: those of `total` that may need one."""
    notes = []
    for said, applies in REMARKS.items():
        names = [header.path.relative_to(folder).as_posix() for header in headers if applies(header)]
        if names:
            shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
            notes.append(f"{len(names)} of {total} images {said} ({shown})")
    return notes


def read_header(source: Path | BinaryIO, name: str | None = None) -> Header:
    """What an image says of itself, without decoding it; a file that cannot be used is refused by name.

    `name`: what an error calls a source that has no path.
    """
    where = name or source
    with _open(source, where) as image, _damage_named(where):
        turn = _orientation(image)
        width, height = image.size
        if turn >= 5 and image.format != "TIFF":  # whose reader has changed them already
            width, height = height, width
        return Header(
            Path(str(where)),
            width,
            height,
            transparent=image.has_transparency_data,
            turned=turn in TURNS,
            frames=bool(getattr(image, "is_animated", False)),
            profile=bool(image.info.get("icc_profile")),
            cmyk=image.mode == "CMYK",
            deep=_has_16_bits(image),
        )


@contextmanager
def decoded(source: Path | BinaryIO, background: Colour = WHITE, name: str | None = None) -> Iterator[Image.Image]:
    """The first frame as 8-bit RGB, upright, transparent pixels laid on `background`, for the time of the block.

    Meanwhile its pixels count against the budget of all threads, so nothing is to be decoded inside the block.
    `name`: what an error calls a source that has no path.
    """
    where = name or source
    image = _open(source, where)
    with DECODING.hold(image.width * image.height):
        with image, _damage_named(where):  # the decoders raise anything
            turn = TURNS.get(_orientation(image)) if image.format != "TIFF" else None  # a TIFF turns while it is loaded
            image.load()
            rgb = _lay_on(image, background) if image.has_transparency_data else _as_rgb(image)
            rgb = rgb if turn is None else rgb.transpose(turn)
        del image
        yield rgb


def _as_rgb(image: Image.Image) -> Image.Image:
    return image if image.mode == "RGB" else image.convert("RGB")


def _lay_on(image: Image.Image, background: Colour) -> Image.Image:
    """A few rows at a time: whole images would be held four times."""
    whole = Image.new("RGB", image.size)
    for top, band in bands(image):
        under = Image.new("RGBA", band.size, (*background, 255))
        whole.paste(Image.alpha_composite(under, band.convert("RGBA")).convert("RGB"), (0, top))
    return whole


def pixels_of(image: Image.Image) -> np.ndarray:
    """uint8 [H, W, 3] of an RGB image, copied a few rows at a time: NumPy's own way holds it three times."""
    array = np.empty((image.height, image.width, 3), np.uint8)
    for top, band in bands(image):
        array[top : top + band.height] = np.asarray(band)
    return array


def bands(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """The image a few rows at a time, each with its first row's number."""
    rows = max(1, BAND // image.width)
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


def _open(source: Path | BinaryIO, where: object) -> Image.Image:
    """An image whose kind, size and mode are checked; nothing of it is decoded."""
    if isinstance(source, str | Path):
        check_regular(Path(source))
    try:
        with _damage_named(where):
            image = Image.open(source, formats=FORMATS)
    except Image.DecompressionBombError:
        raise InputError(f"{where}: an image beyond the limit of {MAX_PIXELS} pixels") from None
    except UnidentifiedImageError:
        raise InputError(f"{where}: not an image that can be read ({', '.join(FORMATS)})") from None
    fault = _fault(image)
    if fault is not None:
        image.close()
        raise InputError(f"{where}: {fault}")
    return image


def _fault(image: Image.Image) -> str | None:
    if image.width * image.height > MAX_PIXELS:
        return f"{image.width}x{image.height} is beyond the limit of {MAX_PIXELS} pixels"
    if min(image.size) < 1:
        return f"an image of {image.width}x{image.height}, without pixels"
    if image.mode.startswith(DEEP):
        return f"more than 8 bits a channel (mode {image.mode}); convert it first"
    if image.mode not in CONVERTIBLE:
        return f"colours of mode {image.mode}; convert it to RGB first"
    return None


@contextmanager
def _damage_named(where: object) -> Iterator[None]:
    """Whatever the readers say of a damaged or hostile image becomes one line with its name."""
    try:
        yield
    except (InputError, UnidentifiedImageError, Image.DecompressionBombError):
        raise
    except OSError as error:
        if error.errno is not None:  # of the file, not of its content
            raise InputError(f"{where}: {error.strerror}") from None
        raise InputError(f"{where}: damaged image ({_said(error)})") from None
    except Exception as error:
        raise InputError(f"{where}: damaged image ({_said(error)})") from None


def _said(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _orientation(image: Image.Image) -> int:
    """EXIF or XMP orientation, 1 to 8. PNG's own method would decode the whole image to look for it."""
    return Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1)


def _has_16_bits(image: Image.Image) -> bool:
    """Whether colours are stored with more bits than are read: the mode of such images says 8."""
    if image.format == "TIFF":
        return max(image.tag_v2.get(ExifTags.Base.BitsPerSample, (8,))) > 8
    how = image.tile[0].args if image.tile else ""
    first, *rest = how if isinstance(how, tuple) else (how,)
    return ";16" in str(first) or (image.format == "PPM" and any(isinstance(n, int) and n > 255 for n in rest))


class PixelBudget:
    """Lets threads hold decoded images while these have at most `limit` pixels together; a larger one comes alone."""

    def __init__(self, limit: int) -> None:
        self.limit, self.held = limit, 0
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, pixels: int) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self.held or self.held + pixels <= self.limit)
            self.held += pixels
        try:
            yield
        finally:
            with self._changed:
                self.held -= pixels
                self._changed.notify_all()


DECODING = PixelBudget(MAX_PIXELS)
"""Of this process."""
