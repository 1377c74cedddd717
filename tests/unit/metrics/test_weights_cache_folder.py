"""Weights verified by checksum, cached features, and folders of images. Errors name the file."""

import hashlib
import io
import os

import numpy as np
import pytest
import torch
from PIL import Image

from bench.data.catalogue import load_catalogue
from bench.data.fetch import fetch
from bench.errors import InputError
from bench.metrics import cache
from bench.metrics.cache import cache_key, cached_features
from bench.metrics.catalogue import METRICS, check_metrics
from bench.metrics.checks import check_count
from bench.metrics.folder import hash_files, list_images, stream_images
from bench.metrics.protocol import ProtocolError, protocol_id, same_protocol, without_dataset_parts
from bench.metrics.weights import has_weights, project, weights_path


class Means:
    """Feature extractor with three features that counts its calls."""

    name, dim, input_range, weights_sha256, device = "means/pool3", 3, (0, 255), "0" * 64, "cpu"

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return images.float().mean(dim=(2, 3))


def write_images(root, n=3, size=(10, 12)):
    root.mkdir(exist_ok=True)
    for index in range(n):
        pixels = np.random.default_rng(index).integers(0, 256, (*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / f"{index}.png")
    return root


def test_weights_of_the_metrics_are_in_the_catalogue():
    catalogue = load_catalogue(project())
    needed = {name for kind in METRICS.values() for name in kind.weights}
    assert len(needed) == 5
    for weights in map(catalogue.find_weights, needed):
        assert weights.url or weights.shipped or weights.package


def test_the_error_for_damaged_weights_gives_both_checksums_and_the_source(tmp_path, monkeypatch):
    monkeypatch.setenv("SLIM_BENCH_WEIGHTS", str(tmp_path))
    path = tmp_path / "inception-2015-12-05.pt"
    path.write_bytes(b"half a download")
    wrong = hashlib.sha256(b"half a download").hexdigest()
    assert has_weights("inception-cleanfid")
    with pytest.raises(InputError, match=f"(?s){wrong}.*f58cb9b6.*nvlabs"):
        weights_path("inception-cleanfid")


@pytest.mark.parametrize("place", ["given", "data/sources", "home/.cache/slim-bench/weights"])
def test_metrics_and_fetch_search_the_same_folders(tmp_path, monkeypatch, place):
    """Both search the folder of the environment variable, data/sources and the user's cache."""
    monkeypatch.setenv("SLIM_BENCH_WEIGHTS", str(tmp_path / "given"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    (tmp_path / "config").mkdir()
    content = b"weights"
    entry = {"title": "t", "file": "w.pth", "url": "https://nowhere.invalid/w.pth", "licence": "l", "used_by": "u"}
    entry["sha256"] = hashlib.sha256(content).hexdigest()
    (tmp_path / "config/datasets.yaml").write_text(f"datasets: {{}}\nweights: {{w: {entry!r}}}\n")
    monkeypatch.chdir(tmp_path)
    assert not has_weights("w")
    path = tmp_path / place / "w.pth"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    assert has_weights("w")
    assert weights_path("w").resolve() == fetch("w").resolve() == path


def test_features_are_computed_once(tmp_path):
    images = torch.randint(0, 256, (6, 3, 8, 8), dtype=torch.uint8)
    extractor = Means()
    first = cached_features(extractor, "a" * 64, lambda: images.split(2), tmp_path)
    again = cached_features(extractor, "a" * 64, lambda: images.split(2), tmp_path)
    assert extractor.calls == 3
    assert first.dtype == np.float32
    assert (first == again).all()
    cached_features(extractor, "b" * 64, lambda: images.split(2), tmp_path)
    assert extractor.calls == 6
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".npy", ".npy"]


def _fewer_rows(path, data):
    with path.open("wb") as file:
        np.save(file, np.load(io.BytesIO(data))[:3])


def _write_header(path, rows):
    """Write only the header of an array of `rows` rows, which would need terabytes or more."""
    with path.open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (rows, 3)}
        np.lib.format.write_array_header_1_0(file, header)


CACHE_DAMAGE = {
    "empty": lambda path, data: path.write_bytes(b""),
    "no array": lambda path, data: path.write_bytes(b"\x93NUMPY garbage"),
    "truncated": lambda path, data: path.write_bytes(data[:-5]),
    "one bit": lambda path, data: path.write_bytes(data[:130] + bytes([data[130] ^ 1]) + data[131:]),
    "fewer rows": _fewer_rows,
    "several arrays": lambda path, data: np.savez(path.open("wb"), a=np.zeros(3)),
    "header": lambda path, data: path.write_bytes(b"\x93NUMPY\x01\x00\x0a\x00{'descr':(" + data),
    "large": lambda path, data: _write_header(path, 2**37),
    "larger": lambda path, data: _write_header(path, 2**60),
    "sparse": lambda path, data: os.truncate(path, 2**28),
    "pipe": lambda path, data: (path.unlink(), os.mkfifo(path)),
    "loop": lambda path, data: (path.unlink(), path.symlink_to(path.name)),
}


@pytest.mark.parametrize("damage", CACHE_DAMAGE)
def test_features_with_a_damaged_cache_file_are_computed_again(tmp_path, damage):
    images = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8)
    extractor = Means()
    expected = cached_features(extractor, "a" * 64, lambda: [images], tmp_path)
    (path,) = tmp_path.iterdir()
    CACHE_DAMAGE[damage](path, path.read_bytes())
    assert (cached_features(extractor, "a" * 64, lambda: [images], tmp_path) == expected).all()
    assert extractor.calls == 2
    assert (np.load(path) == expected).all()


def test_the_cache_key_depends_on_weights_and_thread_count(monkeypatch):
    first, second = Means(), Means()
    second.weights_sha256 = "1" * 64
    key = cache_key(first, "a")
    assert cache_key(second, "a") != key
    monkeypatch.setattr(cache.torch, "get_num_threads", lambda: 77)
    assert cache_key(first, "a") != key


def test_the_environment_variable_sets_the_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("SLIM_BENCH_CACHE", str(tmp_path))
    assert cache.cache_folder() == tmp_path


def test_images_of_a_folder_are_sorted_streamed_and_hashed(tmp_path):
    root = write_images(tmp_path / "images", 5)
    write_images(root / "deeper", 1, (7, 7))
    files = list_images(root)
    assert [path.relative_to(root).as_posix() for path in files][:2] == ["0.png", "1.png"]
    assert [tuple(batch.shape) for batch in stream_images(files, 2)] == [
        (2, 3, 10, 12),
        (2, 3, 10, 12),
        (1, 3, 10, 12),
        (1, 3, 7, 7),
    ]
    before = hash_files(files, root)
    (root / "4.png").write_bytes((root / "3.png").read_bytes())
    assert hash_files(files, root) != before


def test_hidden_folders_and_folders_named_like_images_are_ignored(tmp_path):
    root = write_images(tmp_path / "set", 2)
    write_images(root / ".thumbnails", 1)
    (root / "album.png").mkdir()
    assert [path.name for path in list_images(root)] == ["0.png", "1.png"]


def test_the_error_names_a_missing_folder_or_one_with_too_few_images(tmp_path):
    with pytest.raises(InputError, match="nowhere: no such folder"):
        list_images(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"1 images.* at least 2"):
        list_images(write_images(tmp_path / "one", 1))
    with pytest.raises(InputError, match=r"0\.png: contains 1 images.* at least 2"):
        list_images(tmp_path / "one/0.png")


def test_different_protocols_are_refused():
    first = protocol_id("fd_efflite0", "efflite0-v1", "real100-all", "fake500")
    second = protocol_id("fd_efflite0", "efflite0-v1", "real100-all", "fake5000")
    assert same_protocol([first, first], "a table") == first
    assert same_protocol([], "a table") is None
    with pytest.raises(ProtocolError, match=f"a table: .*'{first}' and '{second}'"):
        same_protocol([first, first, second], "a table")
    with pytest.raises(ValueError, match="protocol part"):
        protocol_id("fd", "Not This")


def test_dataset_sizes_in_a_protocol_id_are_replaced_by_asterisks():
    assert without_dataset_parts(
        "kid/efflite0-v1/resize224-bicubic/pool1280/px64/real100-all/fake500/poly3-subsets100x50"
    ) == ("kid/efflite0-v1/resize224-bicubic/pool1280/px*/real*-all/fake500/poly3-subsets100x*")
    assert (
        without_dataset_parts("ms_ssim/gauss11/scales4/px186x248/samples25") == "ms_ssim/gauss11/scales4/px*/samples25"
    )
    assert without_dataset_parts("top1/whole32/last/test10000") == "top1/whole32/last/test*"


def test_a_set_whose_size_differs_from_the_protocol_is_reported():
    check_count(100, 100, "reference set")
    with pytest.raises(InputError, match="reference set: the protocol requires 100 images, but there are 99"):
        check_count(99, 100, "reference set")


def test_unknown_metrics_and_metrics_of_other_tasks_are_refused():
    check_metrics(("fd_efflite0", "params"), "fewshot", "run")
    with pytest.raises(InputError, match=r"unknown metric 'fd_eflite0' .*'fd_efflite0'"):
        check_metrics(("fd_eflite0",), "fewshot", "run")
    with pytest.raises(InputError, match="'top1' is for classification, not fewshot"):
        check_metrics(("top1",), "fewshot", "run")
