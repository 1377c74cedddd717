"""The Inception of FID equals torch-fidelity, pytorch-fid and clean-fid with the installed tensors."""

import random
from importlib.util import find_spec

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from bench.metrics.features import extract_features, features_of
from bench.metrics.frechet import frechet_distance
from bench.metrics.inception import CleanFidInception
from bench.metrics.inception_weights import PORTED, inception_tensors
from bench.metrics.kid import squared_mmd

needs_old_scipy = pytest.mark.skipif(not find_spec("cleanfid"), reason="clean-fid and pytorch-fid fail on SciPy 1.18")


@pytest.fixture(scope="module")
def ported(tmp_path_factory):
    """Return the tensors as a state dictionary with torchvision's names, which all ports of the network use."""
    from torchvision.models.inception import BasicConv2d, inception_v3

    with torch.device("meta"):
        blank = inception_v3(weights=None, num_classes=1008, aux_logits=False, init_weights=False)
    tensors, _ = inception_tensors()
    names = {part: name for name, part in PORTED.items()}
    state = {"fc.weight": torch.zeros(1008, 2048), "fc.bias": torch.zeros(1008)}
    convolutions = [name for name, module in blank.named_modules() if isinstance(module, BasicConv2d)]
    for index, name in enumerate(convolutions):
        state |= {f"{name}.{names[part]}": tensors[f"{index:02}.{part}"] for part in names}
        state[f"{name}.bn.weight"] = torch.ones_like(tensors[f"{index:02}.beta"])
    path = tmp_path_factory.mktemp("ported") / "inception.pth"
    torch.save(state, path)
    return path


def save(folder, images):
    folder.mkdir()
    for index, image in enumerate(images.contiguous()):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(folder / f"{index}.png")
    return str(folder)


def test_the_network_equals_that_of_torch_fidelity(authors, ported, photographs):
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    theirs = FeatureExtractorInceptionV3("inception-v3-compat", ["64", "2048"], str(ported))
    with torch.inference_mode():
        first, pooled = theirs(photographs)
        x = (photographs.float() - 128) / 128
        assert np.allclose(authors.network(x), pooled, rtol=1e-4, atol=1e-5)
        assert np.allclose(authors.network[:4](x).mean(dim=(2, 3)), first, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@needs_old_scipy
def test_fid_of_folders_equals_clean_fids(ported, photographs, tmp_path):
    """clean-fid's loop runs over two folders of PNGs with features from torch-fidelity's network."""
    from cleanfid import fid
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    theirs = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], str(ported))
    crops = [photographs[:, :, y : y + 150, x : x + 170] for y, x in ((0, 0), (140, 120))]
    sets = [torch.cat(crops), torch.cat(crops).flip(3)[:, :, 9:]]
    folders = [save(tmp_path / name, images) for name, images in zip("ab", sets, strict=True)]

    def resized(x):
        """clean-fid passes float images of 299x299. torch-fidelity's forward needs uint8, so its layers are called."""
        return trunk(theirs, (x - 128) / 128)

    options = {"num_workers": 0, "verbose": False, "device": torch.device("cpu")}
    value = fid.compute_fid(*folders, custom_feat_extractor=resized, **options)
    extractor = CleanFidInception()
    ours = [extract_features(extractor, [images]) for images in sets]
    assert frechet_distance(*ours) == pytest.approx(value, rel=1e-3)


def trunk(network, x):
    """Apply torch-fidelity's layers from the first convolution to the pooled features."""
    stop = ("fc", "AvgPool")
    for name, module in network.named_children():
        if name not in stop:
            x = module(x)
    return network.AvgPool(x).flatten(1)


@pytest.mark.slow
@needs_old_scipy
def test_authors_fid_equals_pytorch_fids(authors, ported, photographs, tmp_path, monkeypatch):
    """Compared with pytorch-fid's score of two folders of PNGs of 256x256."""
    pytorch_fid = pytest.importorskip("pytorch_fid.fid_score")
    from pytorch_fid import inception as theirs

    monkeypatch.setattr(theirs, "load_state_dict_from_url", lambda *_, **__: torch.load(ported, weights_only=True))
    tiles = F.interpolate(photographs.float(), size=(512, 512), mode="bilinear").to(torch.uint8)
    sets = [torch.cat([tiles[..., :256, :256], tiles[..., 256:, 256:]]), tiles[..., 100:356, 100:356].flip(3)]
    folders = [save(tmp_path / name, images) for name, images in zip("ab", sets, strict=True)]
    value = pytorch_fid.calculate_fid_given_paths(folders, 6, torch.device("cpu"), 2048, num_workers=0)
    assert frechet_distance(*(features_of(authors, images) for images in sets)) == pytest.approx(value, rel=1e-3)


@pytest.mark.slow
def test_values_equal_the_examples_of_torchmetrics(authors, ported):
    """Reproduces the examples of torchmetrics' documentation for FID with 64 features and KID, with seed 42."""
    from torchmetrics.image.fid import FrechetInceptionDistance

    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(42)
    # draws the same numbers as the examples, so that the images are equal
    FrechetInceptionDistance(feature=64, feature_extractor_weights_path=str(ported))
    sets = [torch.randint(*levels, (100, 3, 299, 299), dtype=torch.uint8) for levels in ((0, 200), (100, 255))]
    stem, features = authors.network[:4], authors.network[4:]
    with torch.inference_mode():
        early = [[stem((batch.float() - 128) / 128) for batch in images.split(10)] for images in sets]
        small = [torch.cat([maps.mean(dim=(2, 3)) for maps in batches]).numpy() for batches in early]
        whole = [torch.cat([features(maps) for maps in batches]).numpy() for batches in early]
    assert frechet_distance(*small) == pytest.approx(12.6388, rel=1e-3)
    values = [squared_mmd(*(rows[torch.randperm(100)[:50].numpy()] for rows in whole)) for _ in range(100)]
    assert np.mean(values) == pytest.approx(0.0312, abs=0.00005)
    assert np.std(values) == pytest.approx(0.0025, abs=0.00005)
