"""Converts image files to RGB with the same rules for every command.

The file format is detected from the content, never from the name. Images are rotated upright, transparent pixels are
composited onto a background, grey and palette images become RGB, and only the first of several frames or pages is used.
Decoding threads share a pixel budget, so that memory is limited by the largest allowed image, not by the number of
cores.
"""

import os
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

from bench.data.orientation import TRANSPOSES, orientation
from bench.data.problems import ImageError, Kind, damage_kind
from bench.data.walk import Listing, no_files_error, walk
from bench.errors import InputError
from bench.files import check_regular
from bench.schema import whole_number
from bench.terminal import one_line

FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "BMP", "TIFF", "PPM", "GIF")
MAX_PIXELS = 1 << 26
"""Default pixel limit (8192 x 8192) of one image, and of all concurrently decoded images (less than 1 GB in total)."""
PIXELS_VARIABLE = "SLIM_BENCH_MAX_PIXELS"
"""Environment variable with the pixel limit of one image. An image of more than MAX_PIXELS is decoded alone."""
Image.core.set_block_size(1 << 26)
"""Pillow's block size in bytes. Each thread's heap keeps freed blocks of the default size, but releases larger ones."""
BAND_PIXELS = 1 << 20
"""Number of pixels converted at a time."""
Colour = tuple[int, int, int]
WHITE: Colour = (255, 255, 255)
HIGH_BIT_DEPTH_MODES = ("I", "F")
HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
"""Major brands of HEIC files. Phones give some of these files the suffix .jpg."""
CONVERTIBLE = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")

warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # max_pixels() is the only limit
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")  # warnings about unused tags


@dataclass(frozen=True, slots=True)
class Header:
    """Metadata of an image file, including the size of the upright image and the properties that NOTES reports."""

    path: Path
    width: int
    height: int
    transparent: bool = False
    rotated: bool = False
    frames: bool = False
    profile: bool = False
    cmyk: bool = False
    has_16_bits: bool = False
    exif_unreadable: bool = False
    mode: str = "RGB"


NOTES: dict[str, Callable[[Header], bool]] = {
    "have several frames or pages; the first is used": lambda header: header.frames,
    "have a colour profile, which is not applied": lambda header: header.profile,
    "are CMYK and become RGB without a colour profile": lambda header: header.cmyk,
    "have 16 bits per channel; the upper 8 are used": lambda header: header.has_16_bits,
    "have an alpha channel or a transparent colour, composited onto the background": lambda header: header.transparent,
    "are rotated by their EXIF orientation": lambda header: header.rotated,
    "have EXIF data that cannot be read, so they are not rotated": lambda header: header.exif_unreadable,
}
"""Text of a note -> test whether the note applies to an image."""


@dataclass
class ImageFiles:
    """Headers, problems and notes of the images in a folder, or of a single image."""

    folder: Path
    headers: list[Header] = field(default_factory=list)
    problems: list[InputError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def find_images(source: Path, pattern: str = "*", keep: Callable[[list[str]], list[str]] | None = None) -> ImageFiles:
    """Read the headers of all images in a folder, or of one image. Every other file in the folder is a problem.

    `keep`: selects the names of the files to read (bench.data.selection).
    """
    max_pixels()  # reports an invalid setting once instead of once per image
    source = Path(source)
    listing = Listing(source.parent, [source.name]) if source.is_file() else walk(source, pattern)
    if keep is not None and source.is_dir():
        listing.names = keep(listing.names)
    found = ImageFiles(listing.folder, problems=listing.problems, notes=listing.notes)
    if not listing.names:
        found.problems.append(no_files_error(source, pattern))
    for path in listing.files:
        try:
            found.headers.append(read_header(path))
        except InputError as problem:
            found.problems.append(problem)
    found.notes += collect_notes(found.headers, listing.folder, len(found.headers))
    return found


def require_images(
    source: Path, pattern: str = "*", at_least: int = 1, keep: Callable[[list[str]], list[str]] | None = None
) -> ImageFiles:
    """Return the result of `find_images`.

    Raises InputError for the first problem, or for fewer than `at_least` images.
    """
    found = find_images(source, pattern, keep)
    if found.problems:
        raise found.problems[0]
    if len(found.headers) < at_least:
        raise InputError(f"{source}: contains {len(found.headers)} images, but at least {at_least} are needed")
    return found


def print_notes(notes: Iterable[str]) -> None:
    for note in notes:
        print(f"note: {one_line(note)}", file=sys.stderr)


def collect_notes(headers: Sequence[Header], folder: Path, total: int) -> list[str]:
    """Return one note per entry of NOTES that applies to an image.

    `headers`: the images that may need a note. `total`: number of all images.
    """
    notes = []
    for text, applies in NOTES.items():
        names = [header.path.relative_to(folder).as_posix() for header in headers if applies(header)]
        if names:
            shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
            notes.append(f"{len(names)} of {total} images {text} ({shown})")
    return notes


def read_header(source: Path | BinaryIO, name: str | None = None) -> Header:
    """Read the metadata of an image without decoding the pixels.

    Raises InputError, which names the file, if the image is invalid. `name`: the name that errors show for a source
    without a path.
    """
    where = name or source
    with _open(source, where) as image, _convert_image_errors(where):
        rotation = orientation(image)
        width, height = image.size
        if rotation is not None and rotation >= 5 and image.format != "TIFF":  # Pillow swaps the sides of a TIFF
            width, height = height, width
        return Header(
            Path(str(where)),
            width,
            height,
            transparent=image.has_transparency_data,
            rotated=rotation in TRANSPOSES,
            frames=bool(getattr(image, "is_animated", False)),
            profile=bool(image.info.get("icc_profile")),
            cmyk=image.mode == "CMYK",
            has_16_bits=_has_16_bits(image),
            exif_unreadable=rotation is None,
            mode=image.mode,
        )


@contextmanager
def decoded(source: Path | BinaryIO, background: Colour = WHITE, name: str | None = None) -> Iterator[Image.Image]:
    """Yield the first frame of an image as 8-bit RGB, upright, with transparent pixels composited onto `background`.

    The pixels count against the budget of all threads until the `with` block ends, so the block must not decode other
    images. `name`: the name that errors show for a source without a path.
    """
    where = name or source
    image = _open(source, where)
    with DECODE_BUDGET.reserve(image.width * image.height):
        with image, _convert_image_errors(where):  # decoders raise various exceptions
            rotation = (
                None if image.format == "TIFF" else TRANSPOSES.get(orientation(image) or 1)
            )  # load() rotates TIFFs
            key = image.info.get("transparency")
            if isinstance(key, tuple) and _has_16_bits(image):  # Pillow reduces only the pixels to 8 bits
                image.info["transparency"] = tuple(value >> 8 for value in key)
            image.load()
            rgb = _composite(image, background) if image.has_transparency_data else _as_rgb(image)
            rgb = rgb if rotation is None else rgb.transpose(rotation)
        del image
        yield rgb


def _as_rgb(image: Image.Image) -> Image.Image:
    return image if image.mode == "RGB" else image.convert("RGB")


def _composite(image: Image.Image, background: Colour) -> Image.Image:
    """Return an image composited onto `background`, a few rows at a time.

    Compositing the complete image would need four copies.
    """
    composed = Image.new("RGB", image.size)
    for top, band in bands(image):
        under = Image.new("RGBA", band.size, (*background, 255))
        composed.paste(Image.alpha_composite(under, band.convert("RGBA")).convert("RGB"), (0, top))
    return composed


def pixels_of(image: Image.Image) -> np.ndarray:
    """Return an RGB image as uint8 [H, W, 3], copied a few rows at a time. np.asarray alone would need three copies."""
    array = np.empty((image.height, image.width, 3), np.uint8)
    for top, band in bands(image):
        array[top : top + band.height] = np.asarray(band)
    return array


def bands(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """Yield parts of the image of a few rows each, together with the index of the part's first row."""
    rows = max(1, BAND_PIXELS // image.width)
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


def max_pixels() -> int:
    """Return the maximum number of pixels of one image, $SLIM_BENCH_MAX_PIXELS or else MAX_PIXELS."""
    given = os.environ.get(PIXELS_VARIABLE)
    limit = MAX_PIXELS if not given else whole_number(given)
    if not limit:
        raise InputError(f"{PIXELS_VARIABLE}={given}: not a positive whole number of pixels")
    return limit


def pixel_limit_text() -> str:
    return f"the limit of {max_pixels()} pixels; set {PIXELS_VARIABLE} to raise it"


def _open(source: Path | BinaryIO, where: object) -> Image.Image:
    """Open an image and check its format, size and mode, without decoding it."""
    if isinstance(source, str | Path):
        check_regular(Path(source))
    Image.MAX_IMAGE_PIXELS = max_pixels()  # Pillow refuses images of more than twice this number
    try:
        with _convert_image_errors(where):
            image = Image.open(source, formats=FORMATS)
    except Image.DecompressionBombError:
        raise ImageError(f"{where}: the image exceeds {pixel_limit_text()}", "too large") from None
    except UnidentifiedImageError:
        raise ImageError(f"{where}: {_unreadable_reason(source)}", "not an image") from None
    problem = _problem(image)
    if problem is not None:
        image.close()
        raise ImageError(f"{where}: {problem[0]}", problem[1])
    return image


def _problem(image: Image.Image) -> tuple[str, Kind] | None:
    if image.width * image.height > max_pixels():
        return f"{image.width}x{image.height} exceeds {pixel_limit_text()}", "too large"
    if min(image.size) < 1:
        return f"the image has no pixels ({image.width}x{image.height})", "corrupt"
    if image.mode.startswith(HIGH_BIT_DEPTH_MODES):
        return f"more than 8 bits per channel (mode {image.mode}); convert it to 8 bits", "wrong mode"
    if image.mode not in CONVERTIBLE:
        return f"unsupported colour mode {image.mode}; convert it to RGB", "wrong mode"
    return None


@contextmanager
def _convert_image_errors(where: object) -> Iterator[None]:
    """Convert any exception that a damaged or malicious image causes to an InputError that names the image."""
    try:
        yield
    except (InputError, UnidentifiedImageError, Image.DecompressionBombError):
        raise
    except OSError as error:
        if error.errno is not None:  # an error of the file system, not of the content
            raise ImageError(f"{where}: {error.strerror}", "unreadable") from None
        raise _damaged(where, error) from None
    except Exception as error:
        raise _damaged(where, error) from None


def _damaged(where: object, error: Exception) -> ImageError:
    message = " ".join(str(error).split()) or type(error).__name__
    return ImageError(f"{where}: damaged image ({message})", damage_kind(message))


def _unreadable_reason(source: Path | BinaryIO) -> str:
    """Return the reason why a file cannot be opened as an image."""
    if isinstance(source, str | Path):
        with open(source, "rb") as file:
            head = file.read(16)
        if not head:
            return "not an image but an empty file; copy it again or remove it"
        if head[4:8] == b"ftyp" and head[8:12] in HEIC_BRANDS:
            return "a HEIC image, which is not supported; convert it to JPEG or PNG"
    return f"not an image in a supported format ({', '.join(FORMATS)})"


def _has_16_bits(image: Image.Image) -> bool:
    """Return whether the file has more bits per channel than Pillow reads. The mode of such an image implies 8 bits."""
    if image.format == "TIFF":
        return max(image.tag_v2.get(ExifTags.Base.BitsPerSample, (8,))) > 8
    how = image.tile[0].args if image.tile else ""
    first, *rest = how if isinstance(how, tuple) else (how,)
    return ";16" in str(first) or (image.format == "PPM" and any(isinstance(n, int) and n > 255 for n in rest))


class PixelBudget:
    """Limit on the total pixels of the images that all threads decode at a time. A larger image is decoded alone."""

    def __init__(self, limit: int) -> None:
        self.limit, self.decoded_pixels = limit, 0
        self._changed = threading.Condition()

    @contextmanager
    def reserve(self, pixels: int) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self.decoded_pixels or self.decoded_pixels + pixels <= self.limit)
            self.decoded_pixels += pixels
        try:
            yield
        finally:
            with self._changed:
                self.decoded_pixels -= pixels
                self._changed.notify_all()


DECODE_BUDGET = PixelBudget(MAX_PIXELS)
"""The pixel budget of this process."""
