"""Reads the orientation of an image from its EXIF or XMP data, without decoding the pixels."""

import os
import struct
from typing import BinaryIO

from PIL import ExifTags, Image

TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> transposition that turns the image upright. Orientations 5 to 8 swap width and height."""
MAX_EXIF_BYTES = 1 << 20
"""Maximum number of bytes of EXIF data that are read."""


def orientation(image: Image.Image) -> int | None:
    """Return the EXIF or XMP orientation, 1 to 8, or None if it cannot be read. No pixels are decoded."""
    if image.format == "PNG" and "exif" not in image.info:
        image.info |= _trailing_exif(image.fp)
    try:
        Image.Exif().load(image.info.get("exif", b""))  # Pillow's JPEG reader suppresses this error
        value = Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1)
    except Exception:  # damaged EXIF data may raise any exception, but the pixels may be intact
        return None
    return value if value in TRANSPOSES else 1


def _trailing_exif(file: BinaryIO) -> dict[str, bytes]:
    """Return the EXIF data that follow the pixels of a PNG. Pillow reads them only after decoding."""
    position = file.tell()
    try:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            if kind == b"eXIf":
                return {"exif": b"Exif\0\0" + file.read(min(length, MAX_EXIF_BYTES))}
            file.seek(length + 4, os.SEEK_CUR)
        return {}
    finally:
        file.seek(position)
