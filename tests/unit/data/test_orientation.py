"""The orientation of an image is read from any place in the file."""

import struct
import zlib
from io import BytesIO

import numpy as np
from PIL import ExifTags, Image

from bench.data.images import decoded, pixels_of, read_header
from bench.data.orientation import orientation
from tests.helpers.data_project import random_image


def test_exif_data_after_the_pixels_of_a_png_are_applied(tmp_path):
    path, plain, image = tmp_path / "x.png", BytesIO(), random_image(30, 20)
    image.save(plain, "PNG")
    exif = struct.pack("<2sHIHHHIHHI", b"II", 42, 8, 1, ExifTags.Base.Orientation, 3, 1, 6, 0, 0)
    late = struct.pack(">I4s", len(exif), b"eXIf") + exif + struct.pack(">I", zlib.crc32(b"eXIf" + exif))
    path.write_bytes(plain.getvalue()[:-12] + late + plain.getvalue()[-12:])
    with Image.open(path) as image_file:
        assert orientation(image_file) == 6
        assert image_file.load(), "the place in the file is restored"
    header = read_header(path)
    assert header.rotated and (header.width, header.height) == (20, 30)
    with decoded(path) as upright:
        np.testing.assert_array_equal(pixels_of(upright), np.asarray(image.transpose(Image.Transpose.ROTATE_270)))
