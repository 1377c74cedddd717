"""prepare, audit and evaluate read a folder by the same rules, with equal images, errors and pixels."""

import os
import shutil
import struct
import subprocess
import sys
import threading
import zlib
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from bench.data.audit import audit
from bench.data.fit import check_one_shot, check_size, target_size
from bench.data.images import (
    FORMATS,
    MAX_PIXELS,
    Header,
    PixelBudget,
    decoded,
    find_images,
    pixels_of,
    read_header,
    require_images,
)
from bench.data.prepare import prepare
from bench.data.walk import is_system_file, list_files, walk
from bench.errors import InputError
from bench.evaluate.folders import ScoredFolder
from bench.metrics.folder import read_image
from tests.helpers import ROOT
from tests.helpers.data_project import image_folder, make_project, random_image, tar_bytes

SIZE = 16
ORIENTATION = 0x0112


@pytest.fixture
def folder(tmp_path):
    return image_folder(tmp_path / "pictures", 3)


def prepared(folder, size=SIZE):
    root = folder.parent / "project"
    if not root.exists():
        make_project(root, a={"source": {"kind": "folder", "path": str(folder)}})
    prepare("a", size, root=root)
    return np.load(root / f"data/prepared/a-{size or 'full'}/images.npy")


def audit_and_prepare(folder):
    """Return the number of images that all three commands find, or the error that all three report."""

    def outcome(read):
        try:
            return read()
        except InputError as error:
            return str(error).replace(f"{folder}{os.sep}", "")

    def audited():
        report = audit(folder, SIZE, folder.parent / "project")
        return report.errors[0] if report.errors else report.images

    found = outcome(lambda: len(prepared(folder))), outcome(audited), outcome(lambda: len(ScoredFolder(folder).files))
    assert len(set(found)) == 1, found
    return found[0]


def png_chunks(width, height, depth, colour, rows):
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + data + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("name", "kind"),
    [("x.jfif", "JPEG"), ("x.jpe", "JPEG"), ("x.gif", "GIF"), ("x.avif", "AVIF"), ("x.webp", "WEBP"), ("x.ppm", "PPM")]
    + [("x.JPEG", "JPEG"), ("x", "PNG"), ("x.txt", "BMP"), ("x.v2", "TIFF"), ("x.png", "JPEG")],
)
def test_the_image_format_is_detected_from_the_content(folder, name, kind):
    random_image(SIZE, SIZE, seed=9).save(folder / name, kind)
    assert audit_and_prepare(folder) == 4


@pytest.mark.parametrize("name", ["notes.txt", "notes", "data.json", "x.png", "x.svg"])
def test_an_invalid_image_is_named(folder, name):
    (folder / name).write_text('{"not": "an image"}')
    assert audit_and_prepare(folder) == f"{name}: not an image in a supported format ({', '.join(FORMATS)})"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an image but an empty file"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "a HEIC image, which is not supported"),
    ],
)
def test_the_error_states_that_a_file_is_empty_or_heic(folder, content, message):
    (folder / "x.jpg").write_bytes(content)
    assert audit_and_prepare(folder).startswith(f"x.jpg: {message}")


def test_folders_behind_links_are_read(folder, tmp_path):
    image_folder(tmp_path / "elsewhere/deep", 3)
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    (folder / "one.png").symlink_to(tmp_path / "elsewhere/deep/0.png")
    assert audit_and_prepare(folder) == 7
    assert [path.relative_to(folder).as_posix() for path in list_files(folder)][3:5] == [
        "linked/deep/0.png",
        "linked/deep/1.png",
    ]


def test_circular_links_are_skipped_and_noted(folder, tmp_path):
    (folder / "sub").mkdir()
    for name, target in (("up", folder), ("sub/up", folder), ("again", folder / "sub"), ("sub/self", folder / "sub")):
        (folder / name).symlink_to(target)
    random_image(SIZE, SIZE, seed=8).save(folder / "sub/x.png")
    assert audit_and_prepare(folder) == 4
    listing = walk(folder)
    assert "sub/x.png" in listing.names, "by the path without a link"
    assert sorted(note.split(":")[0] for note in listing.notes) == ["again", "sub/self", "sub/up", "up"]
    report = audit(folder, SIZE, tmp_path / "project")
    assert "note: up: a link to a folder that was already read; skipped" in report.lines()


def test_changes_behind_links_are_detected(folder, tmp_path):
    from bench.data.catalogue import UserFolder, folder_dataset
    from bench.data.content import describe_installed

    dataset = folder_dataset("a", UserFolder(path=str(folder)))
    (folder / "linked").symlink_to(image_folder(tmp_path / "elsewhere", 1))
    before = describe_installed(folder, dataset)["content_sha256"]
    random_image(SIZE, SIZE, seed=7).save(tmp_path / "elsewhere/0.png")
    changed = describe_installed(folder, dataset)["content_sha256"]
    (tmp_path / "elsewhere/1.png").symlink_to("nothing")
    assert len({before, changed, describe_installed(folder, dataset)["content_sha256"]}) == 3


def test_every_finding_of_an_audit_is_one_line(folder):
    (folder / "x.png").symlink_to("no\nwhere\x1b")
    assert audit_and_prepare(folder)
    lines = audit(folder, SIZE, folder.parent / "project").lines()
    assert lines[1] == "error: x.png: a broken link (no\\nwhere\\x1b); restore its target, or remove it"


@pytest.mark.parametrize("target", ["nothing.png", "x.png"])
def test_broken_links_are_named(folder, target):
    (folder / "x.png").symlink_to(target)
    assert audit_and_prepare(folder) == f"x.png: a broken link ({target}); restore its target, or remove it"


def test_pipes_are_reported_without_reading_them(folder):
    os.mkfifo(folder / "x.png")
    assert audit_and_prepare(folder) == "x.png: a pipe, socket or device, not an image; remove it"


IGNORED = [
    ".DS_Store",
    "Thumbs.db",
    "thumbs.db",
    "Desktop.ini",
    "._0.png",
    "@eaDir/0.png",
    "__MACOSX/._0.png",
    "Icon\r",
]
IGNORED += ["lost+found/0.png", "$RECYCLE.BIN/0.png", "#recycle/0.png", "@Recycle/0.png", ".cache/0.png"]
IGNORED += ["~snapshot/0.png", "x.png@SynoEAStream"]
IGNORED += ["System Volume Information/x", ".snapshot/0.png", "0.png:Zone.Identifier", "#snapshot/0.png", "@tmp/0.png"]


@pytest.mark.parametrize("name", IGNORED)
@pytest.mark.parametrize("inside", ["", "sub/"])
def test_hidden_system_and_nas_entries_are_ignored(folder, name, inside):
    path = folder / inside / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((folder / "0.png").read_bytes() if name.endswith("0.png") else b"litter")
    assert audit_and_prepare(folder) == 3


def test_files_that_only_resemble_system_files_are_used():
    assert not any(map(is_system_file, ["eaDir", "lost", "Thumbs.db.png", "#1.png", "$5.png", "@home.png", "~x.png"]))


utf8 = pytest.mark.skipif(sys.getfilesystemencoding() != "utf-8", reason="file names are not UTF-8 here")


@utf8
@pytest.mark.parametrize("name", ["a\udcff.png", "a\tb.png", "a\nb.png", "sub\udcff/0.png"])
def test_names_with_control_characters_are_refused_and_escaped(folder, name):
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    random_image(SIZE, SIZE).save(BytesIO(), "PNG")
    path.write_bytes((folder / "0.png").read_bytes())
    message = audit_and_prepare(folder)
    assert "not UTF-8; rename it" in message and message.isascii() and message.isprintable()


@pytest.mark.parametrize("kind", ["png", "jpg", "tif", "webp", "avif", "xmp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_rotated_by_its_exif_orientation(tmp_path, kind, orientation):
    """Pixels equal those of Pillow. Size and orientation come from the header without decoding."""
    path = tmp_path / f"x.{kind}"
    image = random_image(30, 20)
    if kind == "xmp":
        image.save(path, "JPEG", xmp=f'<x:xmpmeta><a tiff:Orientation="{orientation}"/></x:xmpmeta>'.encode())
    else:
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        image.save(path, exif=exif, **({"lossless": True} if kind == "webp" else {}))
    header = read_header(path)
    assert (header.width, header.height) == ((20, 30) if orientation >= 5 else (30, 20))
    assert header.rotated == (orientation > 1)
    with decoded(path) as upright:
        assert upright.size == (header.width, header.height)
        seen = pixels_of(upright)
    if kind in ("png", "tif", "webp"):
        turns = [lambda a: a, lambda a: a[:, ::-1], lambda a: a[::-1, ::-1], lambda a: a[::-1]]
        turned = [lambda a, turn=turn: turn(a).transpose(1, 0, 2) for turn in turns]
        order = [*turns, turned[0], turned[3], turned[2], turned[1]]  # 5 to 8
        np.testing.assert_array_equal(seen, order[orientation - 1](np.asarray(image)))


def test_a_transparent_colour_of_16_bits_is_transparent(tmp_path):
    colour = struct.pack(">HHH", 0x8000, 0x4000, 0x2000)
    plain = png_chunks(SIZE, SIZE, 16, 2, (b"\0" + colour * SIZE) * SIZE)
    key = struct.pack(">I4s", 6, b"tRNS") + colour + struct.pack(">I", zlib.crc32(b"tRNS" + colour))
    (tmp_path / "x.png").write_bytes(plain[:33] + key + plain[33:])
    with decoded(tmp_path / "x.png", (9, 8, 7)) as image:
        assert image.getcolors() == [(SIZE * SIZE, (9, 8, 7))]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_damaged_exif_data_are_noted_and_the_image_is_used(folder, kind, capsys):
    random_image(SIZE, SIZE, seed=9).save(folder / "x", kind, exif=b"Exif\0\0garbage")
    assert audit_and_prepare(folder) == 4
    assert "1 of 4 images have EXIF data that cannot be read, so they are not rotated (x)" in capsys.readouterr().err


def test_an_exif_orientation_of_another_type_is_ignored(folder):
    words = struct.pack("<2sHIHHHIII5s", b"II", 42, 8, 1, ORIENTATION, 2, 5, 26, 0, b"abcd\0")
    random_image(SIZE, SIZE, seed=9).save(folder / "x.png", exif=words)
    assert audit_and_prepare(folder) == 4


def test_rotated_images_are_prepared_upright_at_full_size(tmp_path):
    folder = tmp_path / "turned"
    folder.mkdir()
    for index in range(2):
        image, exif = random_image(30, 20, seed=index), Image.Exif()
        exif[ORIENTATION] = 6
        image.save(folder / f"{index}.tif", exif=exif)
    assert prepared(folder, None).shape == (2, 30, 20, 3)
    assert ScoredFolder(folder).sizes == {(30, 20)}


MODES = {
    "grey": ("x.png", lambda: Image.new("L", (SIZE, SIZE), 7), [7, 7, 7]),
    "bilevel": ("x.png", lambda: Image.new("1", (SIZE, SIZE), 1), [255, 255, 255]),
    "rgba": ("x.png", lambda: Image.new("RGBA", (SIZE, SIZE), (0, 0, 0, 0)), [255, 255, 255]),
    "half": ("x.png", lambda: Image.new("RGBA", (SIZE, SIZE), (0, 0, 0, 128)), [127, 127, 127]),
    "la": ("x.png", lambda: Image.new("LA", (SIZE, SIZE), (0, 0)), [255, 255, 255]),
    "la tiff": ("x.tif", lambda: Image.new("LA", (SIZE, SIZE), (9, 255)), [9, 9, 9]),
    "cmyk": ("x.tif", lambda: Image.new("CMYK", (SIZE, SIZE), (0, 0, 255, 0)), [255, 255, 0]),
    "cmyk jpeg": ("x.jpg", lambda: Image.new("CMYK", (SIZE, SIZE), (0, 0, 0, 0)), [255, 255, 255]),
    "ycbcr": ("x.tif", lambda: Image.new("RGB", (SIZE, SIZE), (9, 9, 9)).convert("YCbCr"), [9, 9, 9]),
}


def palette(transparency=None):
    image = Image.new("P", (SIZE, SIZE), 0)
    image.putpalette([10, 20, 30] * 256)
    image.info |= {} if transparency is None else {"transparency": transparency}
    return image


MODES["palette"] = ("x.png", palette, [10, 20, 30])
MODES["palette, transparent"] = ("x.png", lambda: palette(0), [255, 255, 255])
MODES["palette gif"] = ("x.gif", lambda: palette(0), [255, 255, 255])


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_gives_one_rgb(folder, mode):
    name, make, wanted = MODES[mode]
    make().save(folder / name)
    assert audit_and_prepare(folder) == 4
    assert prepared(folder)[3, 0, 0].tolist() == wanted
    assert read_image(folder / name)[:, 0, 0].tolist() == wanted


def test_alpha_is_composited_onto_the_background(tmp_path):
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(tmp_path / "x.png")
    assert read_image(tmp_path / "x.png", (10, 20, 30))[:, 0, 0].tolist() == [10, 20, 30]


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("x.png", lambda: Image.fromarray(np.zeros((20, 20), np.uint16)), "more than 8 bits per channel (mode I;16)"),
        ("x.tif", lambda: Image.fromarray(np.zeros((20, 20), np.uint16)), "more than 8 bits per channel (mode I;16)"),
        ("x.tif", lambda: Image.fromarray(np.zeros((20, 20), np.float32)), "more than 8 bits per channel (mode F)"),
        ("x.tif", lambda: Image.new("LAB", (20, 20)), "unsupported colour mode LAB"),
    ],
)
def test_16_bit_grey_and_unsupported_colours_give_the_same_error(folder, name, make, message):
    make().save(folder / name)
    assert audit_and_prepare(folder).startswith(f"{name}: {message}")


@pytest.mark.parametrize("colour", [2, 6])
def test_16_bit_colours_are_reduced_to_8_bits_with_a_note(folder, colour):
    channels = {2: 3, 6: 4}[colour]
    rows = (b"\0" + b"\x12\x34" * (SIZE * channels)) * SIZE
    if colour == 6:
        rows = (b"\0" + (b"\x12\x34" * 3 + b"\xff\xff") * SIZE) * SIZE
    (folder / "x.png").write_bytes(png_chunks(SIZE, SIZE, 16, colour, rows))
    assert audit_and_prepare(folder) == 4
    assert prepared(folder)[3, 0, 0].tolist() == [0x12] * 3
    assert any("16 bits per channel" in note and "(x.png)" in note for note in find_images(folder).notes)


@pytest.mark.parametrize(("name", "kind"), [("x.gif", "GIF"), ("x.tif", "TIFF"), ("x.webp", "WEBP"), ("x.png", "PNG")])
def test_the_first_of_several_frames_is_used_with_a_note(folder, name, kind, capsys):
    frames = [Image.new("RGB", (SIZE, SIZE), (shade, 0, 0)) for shade in (0, 80, 160)]
    frames[0].save(folder / name, kind, save_all=True, append_images=frames[1:])
    assert audit_and_prepare(folder) == 4
    assert prepared(folder)[3, 0, 0].tolist() == [0, 0, 0]
    note = f"1 of 4 images have several frames or pages; the first is used ({name})"
    assert f"note: {note}\n" in capsys.readouterr().err
    assert note in audit(folder, SIZE, folder.parent / "project").notes and note in ScoredFolder(folder).images.notes


def test_colour_profiles_and_cmyk_are_noted(folder):
    Image.new("RGB", (SIZE, SIZE)).save(folder / "x.jpg", icc_profile=b"profile" * 30)
    Image.new("CMYK", (SIZE, SIZE)).save(folder / "y.jpg")
    assert audit_and_prepare(folder) == 5
    message = " ".join(audit(folder, SIZE, folder.parent / "project").notes)
    assert "1 of 5 images have a colour profile, which is not applied (x.jpg)" in message
    assert "1 of 5 images are CMYK" in message


def test_a_note_names_at_most_three_images(folder):
    for index in range(5):
        Image.new("RGBA", (SIZE, SIZE)).save(folder / f"clear-{index}.png")
    (note,) = find_images(folder).notes
    assert note.startswith("5 of 8 images have an alpha channel") and note.endswith("2.png, ...)")


@pytest.mark.parametrize("side", [8193, 20000])
def test_there_is_one_pixel_limit(folder, side):
    (folder / "x.png").write_bytes(png_chunks(side, 8192, 8, 2, b""))
    assert audit_and_prepare(folder).endswith(
        f"exceeds the limit of {MAX_PIXELS} pixels; set SLIM_BENCH_MAX_PIXELS to raise it"
    )


@pytest.mark.parametrize("side", [8193, 40000])
def test_the_pixel_limit_can_be_raised_and_lowered(folder, side, monkeypatch):
    monkeypatch.setenv("SLIM_BENCH_MAX_PIXELS", "100")
    assert "exceeds the limit of 100 pixels" in audit_and_prepare(folder)
    monkeypatch.setenv("SLIM_BENCH_MAX_PIXELS", "1000000000")
    (folder / "x.png").write_bytes(png_chunks(side, 8192, 8, 2, b""))
    found = find_images(folder)
    assert not found.problems and side in {header.width for header in found.headers}


@pytest.mark.parametrize("value", ["many", "0", "-5", "1e9", "9" * 5000])
def test_a_pixel_limit_that_is_not_a_number_gives_a_one_line_error(folder, value, monkeypatch):
    monkeypatch.setenv("SLIM_BENCH_MAX_PIXELS", value)
    with pytest.raises(InputError, match=r"^SLIM_BENCH_MAX_PIXELS=.*: not a positive whole number of pixels$"):
        find_images(folder)


def test_damaged_and_empty_files_give_the_same_error(folder):
    data = (folder / "0.png").read_bytes()
    (folder / "x.png").write_bytes(data[:60])
    with pytest.raises(InputError, match=r"x\.png: damaged image"), decoded(folder / "x.png"):
        pass
    (folder / "x.png").write_bytes(b"")
    assert audit_and_prepare(folder).startswith("x.png: not an image but an empty file")


def test_sources_of_another_kind_give_a_one_line_error(tmp_path):
    image_folder(tmp_path, 1)
    assert len(find_images(tmp_path / "0.png").headers) == 1
    for place in (tmp_path / "none", tmp_path / "none/x.png"):
        with pytest.raises(InputError, match="no such folder"):
            find_images(place)
    with pytest.raises(InputError, match="contains 1 images, but at least 2"):
        require_images(tmp_path, at_least=2)
    for path in (tmp_path / "none.png", tmp_path):
        with pytest.raises(InputError):
            read_header(path)


def test_problems_in_an_archive_name_the_archive(tmp_path):
    (tmp_path / "set.tar").write_bytes(tar_bytes({"in/x.png": b"text"}))
    root = make_project(tmp_path / "project", a={"source": {"kind": "folder", "path": "../set.tar"}})
    with pytest.raises(InputError, match=r"set\.tar: in/x\.png: not an image"):
        prepare("a", SIZE, root=root)


def test_sizes_are_checked_upright():
    from bench.data.catalogue import Preparation

    header = Header(None, 60, 20)
    check_size(header, 20, Preparation())
    with pytest.raises(InputError, match="60x20 pixels, but the shortest side needs 21"):
        check_size(header, 21, Preparation())
    assert target_size(header, 30, "longest-side") == (30, 10)
    with pytest.raises(InputError, match="30x10 pixels after scaling"):
        check_one_shot(header, (30, 10))


def test_decoded_pixels_of_all_threads_are_bounded():
    """Small images share a batch, and an image that exceeds the budget is a batch of one."""
    budget, most, together = PixelBudget(10), [0], threading.Barrier(2, timeout=10)

    def reserve(pixels, meet):
        with budget.reserve(pixels):
            most[0] = max(most[0], budget.decoded_pixels)
            if meet:
                together.wait()

    for sizes, bound, meet in ([5, 5], 10, True), ([6] * 4, 6, False), ([50, 50, 3], 50, False):
        most[0] = 0
        threads = [threading.Thread(target=reserve, args=(size, meet)) for size in sizes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert most[0] <= bound and budget.decoded_pixels == 0
    with pytest.raises(KeyError), budget.reserve(3):
        raise KeyError
    assert budget.decoded_pixels == 0


MEMORY = """
import re, sys
from pathlib import Path
from bench.data.audit import audit
from bench.data.prepare import prepare

def peak():
    return int(re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1]) << 10

root, folder = map(Path, sys.argv[1:])
before = peak()
assert audit(folder, 16, root).ok
prepare("a", 16, root=root)
print(peak() - before)
"""


def test_memory_is_bounded_by_one_image_of_the_limit_whatever_the_number_of_threads(tmp_path):
    """Four images at the pixel limit on eight threads use about 9 bytes per pixel of one image, not of four."""
    folder, side = tmp_path / "big", 4096
    folder.mkdir()
    Image.new("RGBA", (side, side), (9, 0, 0, 128)).save(folder / "0.png", compress_level=1)
    for index in range(1, 4):
        shutil.copy(folder / "0.png", folder / f"{index}.png")
    root = make_project(tmp_path / "project", a={"source": {"kind": "folder", "path": str(folder)}})
    setup = "import os, bench.data.images as images\nos.sched_getaffinity = lambda _: set(range(8))\n"
    setup += f"images.DECODE_BUDGET.limit = {side * side}\n"
    command = [sys.executable, "-c", setup + MEMORY, str(root), str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 18 * side * side
