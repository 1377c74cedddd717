"""`evaluate` of .npz files: images as ADM writes them, and reference statistics as pytorch-fid and clean-fid do."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bench.cli import main
from bench.data.array_files import ArrayStream
from bench.errors import InputError
from bench.evaluate import folders, image_sets, statistics_file
from bench.evaluate.extractors import MetricExtractor
from bench.evaluate.folders import ScoredFolder, evaluate_folders
from bench.evaluate.image_sets import ScoredArray
from bench.metrics.frechet import frechet_distance, frechet_from_moments
from bench.metrics.frechet_error import Resampled, ResampledFromMoments
from bench.metrics.reference_statistics import is_own_statistics, read_statistics, save_statistics

DIM = 12


class Pixels:
    """Feature extractor that returns four pixels without a network."""

    name, dim, input_range, weights_sha256 = "pixels", DIM, (0, 255), ""

    def __call__(self, images):
        return torch.nn.functional.adaptive_avg_pool2d(images.float(), 2).flatten(1)


@pytest.fixture(autouse=True)
def stub_extractors(monkeypatch):
    monkeypatch.setattr("bench.metrics.inception_network.FEATURES", DIM)
    extractor = MetricExtractor(Pixels(), {"frechet": "fid_cleanfid"})
    for module in (folders, statistics_file):
        monkeypatch.setattr(module, "open_extractors", lambda *_: [extractor])


@pytest.fixture
def workdir(tmp_path, monkeypatch):
    """Create twenty images, as an array and as folder."""
    monkeypatch.chdir(tmp_path)
    images = np.random.default_rng(0).integers(0, 256, (20, 16, 24, 3), np.uint8)
    np.savez("stored.npz", images, np.arange(20))
    np.savez_compressed("deflated.npz", images)
    (tmp_path / "folder").mkdir()
    for index, image in enumerate(images):
        Image.fromarray(image).save(f"folder/{index:02}.png")
    np.savez("other.npz", np.random.default_rng(1).integers(0, 200, (15, 16, 24, 3), np.uint8))
    return tmp_path


def fid(samples, reference, **options):
    (score,) = evaluate_folders(Path(samples), Path(reference), metrics=("fid_cleanfid",), **options)
    return score


def test_an_array_has_the_same_score_and_protocol_as_a_folder_of_its_images(workdir):
    expected = fid("folder", "other.npz")
    assert expected.protocol == "fid_cleanfid/pixels/px16x24/real15-all/fake20-folder"
    for name in ("stored.npz", "deflated.npz"):
        found = fid(name, "other.npz")
        assert (found.value, found.protocol) == (expected.value, expected.protocol)
    assert abs(fid("stored.npz", "folder").value) < 1e-6
    assert fid("stored.npz", "stored.npz").run == "stored.npz against itself"


@pytest.mark.parametrize("name", ["stored.npz", "deflated.npz"])
def test_an_array_is_read_in_batches_of_the_requested_blocks(workdir, name, monkeypatch):
    monkeypatch.setattr(image_sets, "BLOCK_IMAGES", 8)
    images = ScoredArray(Path(name))
    assert [block.n for block in images.blocks] == [8, 8, 4] and images.size == "16x24"
    sizes = []
    read = ArrayStream.read
    monkeypatch.setattr(ArrayStream, "read", lambda self, shape: sizes.append(shape[0]) or read(self, shape))
    (first, one), (second, two) = images.stream([0, 2])
    assert (first, second) == (0, 2) and sizes == [8, 4]
    whole = np.load(name)["arr_0"].transpose(0, 3, 1, 2)
    assert np.array_equal(one, whole[:8]) and np.array_equal(two, whole[16:])
    assert torch.equal(one, next(batch for _, batch in ScoredFolder(Path("folder")).stream([0])))


ARRAYS = {
    "float images": (np.zeros((4, 8, 8, 3), np.float32), r"arr_0 is float32 \(4, 8, 8, 3\), but images must be uint8"),
    "channels first": (np.zeros((4, 3, 8, 8), np.uint8), r"arr_0 is uint8 \(4, 3, 8, 8\), but images must be uint8"),
    "one image": (np.zeros((1, 8, 8, 3), np.uint8), "contains 1 images, but at least 2 are needed"),
    "no pixels": (np.zeros((4, 0, 8, 3), np.uint8), "images of 8x0 have no pixels"),
    "objects": (np.array([{}, {}]), "Python objects, which is unsafe to load"),
    "Fortran order": (np.asfortranarray(np.zeros((4, 8, 8, 3), np.uint8)), "in Fortran order"),
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_arrays_that_are_not_images_are_refused_in_one_line(workdir, kind, feature_cache, capsys):
    array, message = ARRAYS[kind]
    np.savez("wrong.npz", array)
    with pytest.raises(InputError, match=f"wrong.npz: .*{message}"):
        fid("wrong.npz", "folder")
    assert main(["evaluate", "--samples", "folder", "--reference", "wrong.npz"]) == 2
    assert not list(feature_cache.iterdir())


def test_other_files_are_refused(workdir):
    (workdir / "text.npz").write_text("text")
    np.savez("named.npz", pictures=np.zeros((4, 8, 8, 3), np.uint8))
    data = (workdir / "deflated.npz").read_bytes()
    (workdir / "truncated.npz").write_bytes(data[: len(data) // 2])
    damaged = bytearray((workdir / "stored.npz").read_bytes())
    damaged[5000] ^= 255
    (workdir / "damaged.npz").write_bytes(damaged)
    for name, message in {
        "text.npz": "neither a tar",
        "truncated.npz": "damaged archive",
        "damaged.npz": "damaged",
    }.items():
        with pytest.raises(InputError, match=f"{name}: .*{message}"):
            fid(name, "folder")
    with pytest.raises(InputError, match=r"named\.npz: contains no array of images arr_0; it contains pictures"):
        fid("named.npz", "folder")
    with pytest.raises(InputError, match=r"named\.npz: contains neither images .* nor statistics .*, but pictures"):
        fid("folder", "named.npz")
    with pytest.raises(InputError, match=r"deflated\.npz: unpacks to .* raise the limit with --max-unpacked-gb"):
        fid("deflated.npz", "folder", max_unpacked_gb=1e-6)


def test_saved_statistics_give_the_distance_of_their_images(workdir, capsys):
    command = ["evaluate", "--samples", "other.npz", "--reference", "folder", "--metrics", "fid_cleanfid"]
    assert main([*command, "--save-statistics", "stats.npz", "--json"]) == 0
    expected = json.loads(capsys.readouterr().out)[0]["value"]
    with np.load("stats.npz") as saved:
        assert saved["mu"].shape == (DIM,) and saved["sigma"].shape == (DIM, DIM) and saved["mu"].dtype == float
        assert str(saved["protocol"]) == "pixels/px16x24/real20-all"
    found = fid("other.npz", "stats.npz")
    assert found.value == pytest.approx(expected, rel=1e-6)
    assert found.protocol == "fid_cleanfid/pixels/fake-px16x24/real-statistics/fake15-folder"
    assert found.interval is not None and found.run == "other.npz against stats.npz"
    assert main([*command, "--save-statistics", "stats.npz"]) == 0, "our own file is replaced"
    for name in ("stored.npz", "folder"):
        assert main([*command, "--save-statistics", name]) == 2
    assert main([*command[:4], "stats.npz", "--save-statistics", "again.npz"]) == 2
    assert main([*command[:4], "stats.npz", "--metrics", "kid_inception"]) == 2
    assert "stats.npz: statistics allow only fid_cleanfid, but --metrics kid_inception needs" in capsys.readouterr().err
    assert is_own_statistics(workdir / "stats.npz") and not is_own_statistics(workdir / "stored.npz")


@pytest.mark.parametrize(("n", "m"), [(40, 30), (6, 30), (40, 5), (6, 5)])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_distance_from_statistics_equals_distance_from_features(tmp_path, n, m, dtype):
    """Covers full-rank and rank-deficient covariances."""
    random = np.random.default_rng(n)
    real, fake = random.normal(size=(n, DIM)), random.normal(1, 2, size=(m, DIM))
    np.savez(tmp_path / "a.npz", mu=real.mean(axis=0).astype(dtype), sigma=np.cov(real, rowvar=False).astype(dtype))
    statistics = read_statistics(tmp_path / "a.npz")
    found = frechet_from_moments(statistics.mean, statistics.factor, fake)
    assert found == pytest.approx(frechet_distance(real, fake), rel=1e-6 if dtype is np.float64 else 1e-4)
    counts = np.bincount(random.integers(m, size=m), minlength=m)
    replicate = ResampledFromMoments(statistics.mean, statistics.factor, fake)(counts)
    assert replicate == pytest.approx(Resampled(real, fake)(counts), rel=1e-5 if dtype is np.float64 else 1e-3)


MEAN, COVARIANCE = np.zeros(DIM), np.eye(DIM)
WRONG = {
    "other features": ({"mu": np.zeros(64), "sigma": np.eye(64)}, r"mu has shape \(64,\) and sigma \(64, 64\)"),
    "no sigma": ({"mu": MEAN}, "has no sigma, only mu; save mu and sigma"),
    "NaN": ({"mu": MEAN + np.nan, "sigma": COVARIANCE}, "12 numbers of mu and 0 of sigma are NaN"),
    "asymmetric": ({"mu": MEAN, "sigma": COVARIANCE + np.eye(DIM, k=1)}, "not symmetric; .* by up to 1"),
    "negative": ({"mu": MEAN, "sigma": -COVARIANCE}, "not a covariance; its eigenvalues range from -1 to -1"),
    "integers": ({"mu": MEAN.astype(int), "sigma": COVARIANCE}, "mu is int64; float64 or float32 is needed"),
    "objects": ({"mu": np.array([None] * DIM), "sigma": COVARIANCE}, "Python objects, which is unsafe to load"),
    "infinite": ({"mu": MEAN + 1e300, "sigma": COVARIANCE}, r"mu has values up to 1e\+300"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_statistics_are_refused_in_one_line(workdir, kind, capsys):
    arrays, message = WRONG[kind]
    np.savez("wrong.npz", **arrays)
    with pytest.raises(InputError, match=f"wrong.npz: .*{message}"):
        fid("folder", "wrong.npz")
    assert main(["evaluate", "--samples", "wrong.npz", "--reference", "folder"]) == 2


def test_statistics_are_written_atomically(workdir, monkeypatch):
    monkeypatch.setattr(np, "savez", lambda *_, **__: pytest.fail("interrupted"))
    with pytest.raises(pytest.fail.Exception):
        save_statistics(workdir / "stats.npz", np.zeros((3, DIM)), "id")
    assert not (workdir / "stats.npz").exists()


@pytest.mark.parametrize("limit", ["0", "-1", "nan", "1e9"])
def test_an_unpacked_limit_outside_its_range_is_refused(workdir, limit, capsys):
    command = ["evaluate", "--samples", "other.npz", "--reference", "folder", "--max-unpacked-gb", limit]
    assert main(command) == 2 and "a number above 0" in capsys.readouterr().err
