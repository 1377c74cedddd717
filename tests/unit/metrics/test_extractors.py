"""EfficientNet-Lite0 against its published network, and the extraction of features from streams of images."""

import weakref

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from bench.errors import InputError
from bench.evaluate.extractors import MEASUREMENTS_BY_FAMILY, MetricExtractor, compare_features
from bench.metrics import features, folder
from bench.metrics.catalogue import EXTRACTOR_WEIGHTS, METRICS, metrics_of_extractor
from bench.metrics.efflite import EfficientNetLite0, load_efflite0
from bench.metrics.features import FeatureRows, extract_features, features_of
from bench.metrics.folder import list_images, read_image, stream_images
from bench.metrics.sifid import InceptionStem, sifid


def images(n: int, size: int = 40, seed: int = 0) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    coarse = torch.rand(n, 3, 6, 6, generator=random)
    return (255 * F.interpolate(coarse, size=size, mode="bilinear")).round().to(torch.uint8)


@pytest.fixture(scope="module")
def efflite():
    return EfficientNetLite0()


def test_efflite_equals_the_plain_network(efflite):
    """Folded batch norms, channels_last and chunks change only rounding errors."""
    batch = images(3, 64)
    x = F.interpolate(batch.float(), size=(224, 224), mode="bicubic", antialias=True).clamp(0, 255)
    with torch.inference_mode():
        expected = load_efflite0().extract_features((x - 127) / 128).mean(dim=(2, 3)).numpy()
    assert np.allclose(features_of(efflite, batch), expected, rtol=1e-3, atol=1e-4)


def test_efflite_classifies_a_cat_image(efflite):
    data = pytest.importorskip("skimage.data")
    cat = torch.from_numpy(data.cat()).permute(2, 0, 1)[None]
    features = torch.from_numpy(features_of(efflite, cat))
    assert load_efflite0()._fc(features).argmax().item() == 285  # Egyptian cat


def test_extraction_is_deterministic(efflite):
    batch = images(11, 32)
    whole = extract_features(efflite, [batch])
    assert whole.shape == (11, 1280)
    assert (extract_features(efflite, [batch]) == whole).all()
    assert np.allclose(extract_features(efflite, batch.split(1)), whole, rtol=1e-3, atol=1e-4)


def test_extraction_is_never_more_than_a_batch_ahead():
    extractor, drawn, ahead = CountingExtractor(), 0, []

    def stream():
        nonlocal drawn
        for batch in images(24, 8).split(4):
            drawn += len(batch)
            ahead.append(drawn - extractor.seen)
            yield batch

    assert len(extract_features(extractor, stream())) == extractor.seen == 24
    assert max(ahead) == 4


def test_features_of_batches_are_not_stored_separately(monkeypatch):
    """Such an array would keep the memory of the batch's images from being reused."""
    given, alive = [], []

    def watched(extractor, batch):
        rows = features_of(extractor, batch)
        alive.append(sum(reference() is not None for reference in given))
        given.append(weakref.ref(rows))
        return rows

    monkeypatch.setattr(features, "features_of", watched)
    found = extract_features(CountingExtractor(), images(24, 8).split(2))
    assert len(alive) == 12 and max(alive) <= 1
    assert (found == features_of(CountingExtractor(), images(24, 8))).all()


def test_feature_rows_grow_beyond_their_initial_capacity():
    rows, parts = FeatureRows(3, capacity=2), [np.full((n, 3), n, np.float32) for n in (1, 2, 3, 9)]
    for part in parts:
        rows.add(part)
    assert (rows.all() == np.concatenate(parts)).all()


def test_a_folder_is_read_no_more_than_a_batch_ahead(tmp_path, monkeypatch):
    extractor, read, ahead = CountingExtractor(), 0, []

    def counted(path, background):
        nonlocal read
        read += 1
        ahead.append(read - extractor.seen)
        return read_image(path, background)

    for index, image in enumerate(images(24, 8)):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(tmp_path / f"{index:02d}.png")
    monkeypatch.setattr(folder, "read_image", counted)
    extract_features(extractor, stream_images(list_images(tmp_path), 4))
    assert read == extractor.seen == 24
    assert max(ahead) == 4


class CountingExtractor:
    """Feature extractor with one feature, the mean, that counts its images."""

    name, dim, input_range, weights_sha256 = "mean", 1, (0, 255), ""

    def __init__(self) -> None:
        self.seen = 0

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        self.seen += len(batch)
        return batch.float().flatten(1).mean(dim=1, keepdim=True)


@pytest.mark.parametrize(
    ("batch", "words"),
    [
        (torch.rand(2, 3, 8, 8), "uint8 .* got float32"),
        (torch.zeros(2, 1, 8, 8, dtype=torch.uint8), r"RGB .* \(2, 1, 8, 8\)"),
        (torch.zeros(3, 8, 8, dtype=torch.uint8), r"RGB .* \(3, 8, 8\)"),
    ],
)
def test_float_and_grey_images_are_refused(efflite, batch, words):
    with pytest.raises(InputError, match=words):
        features_of(efflite, batch)


def test_empty_streams_and_nan_features_are_refused(efflite):
    with pytest.raises(InputError, match="no images"):
        extract_features(efflite, [])

    class Broken:
        name, dim, input_range, weights_sha256 = "broken", 4, (0, 255), ""

        def __call__(self, batch):
            return torch.tensor([[0.0, 1, 2, 3], [0, 1, torch.nan, 3]])

    with pytest.raises(InputError, match="broken: features of 1 of 2 images"):
        features_of(Broken(), images(2))


def test_sifid_layers_equal_those_of_torchvision(tmp_path):
    from torchvision.models import inception_v3

    torch.manual_seed(0)
    network = inception_v3(weights=None, aux_logits=True, init_weights=False, transform_input=False).eval()
    torch.save(network.state_dict(), tmp_path / "inception.pth")
    stem = InceptionStem(tmp_path / "inception.pth")
    image = images(1, 75)
    with torch.inference_mode():
        x = image.float() / 127.5 - 1
        x = network.Conv2d_2b_3x3(network.Conv2d_2a_3x3(network.Conv2d_1a_3x3(x)))
        first = network.maxpool1(x)
        second = network.Conv2d_4a_3x3(network.Conv2d_3b_1x1(first))
    for ours, theirs in zip(stem(image), (first, second), strict=True):
        assert np.allclose(ours, theirs[0].flatten(1).T.numpy(), rtol=1e-5, atol=1e-6)
    assert stem(image)[0].shape[1] == 64
    assert stem(image)[1].shape[1] == 192
    at64, at192 = sifid(stem, torch.cat([image, images(1, 75, seed=5)]), image)
    assert abs(at64[0]) < 1e-6
    assert abs(at192[0]) < 1e-6
    assert at64[1] > 1e-6
    with pytest.raises(InputError, match="batch of 2"):
        stem(images(2))


def test_an_extractor_without_logits_has_no_inception_score():
    """Only this metric fails; the others are computed."""
    features = np.random.default_rng(0).normal(size=(2, 8, 4))
    metrics = {"frechet": "fid_authors", "inception_score": "inception_score"}
    extractor = MetricExtractor(CountingExtractor(), metrics)
    numbers, refused = compare_features(extractor, *features, set(metrics.values()))
    assert [(number.metric, number.n) for number in numbers] == [("fid_authors", 8)]
    assert "no class logits" in refused["inception_score"]


def test_every_metric_of_features_is_computed():
    families = [family for measured in MEASUREMENTS_BY_FAMILY for family in measured]
    assert len(families) == len(set(families))
    for extractor in EXTRACTOR_WEIGHTS:
        assert metrics_of_extractor(extractor).keys() <= set(families), extractor
    found = [metric for extractor in EXTRACTOR_WEIGHTS for metric in metrics_of_extractor(extractor).values()]
    assert sorted(found) == sorted(name for name, kind in METRICS.items() if kind.extractor)
