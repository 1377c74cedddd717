"""LPIPS equals torchmetrics on a random VGG16, and its gradient is finite for zero features."""

import copy
from pathlib import Path

import pytest
import torch

from bench.metrics.lpips import load_lpips
from tests.helpers.stub_weights import vgg16


@pytest.fixture(scope="module")
def both_networks(tmp_path_factory):
    import torchmetrics.functional.image.lpips as theirs
    from torchvision.models.vgg import cfgs, make_layers

    torch.manual_seed(0)
    trunk = tmp_path_factory.mktemp("weights") / "vgg16.pth"
    features = vgg16(trunk)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(theirs, "_get_tv_model_features", lambda *_: make_layers(cfgs["D"]))
        reference = theirs._LPIPS(pretrained=True, net="vgg", pnet_rand=True)
    state = {}
    for part in range(1, 6):
        for name, _ in getattr(reference.net, f"slice{part}").named_parameters():
            state[f"slice{part}.{name}"] = features.state_dict()[name]
    reference.net.load_state_dict(state)
    heads = Path(theirs.__file__).parent / "lpips_models" / "vgg.pth"
    return load_lpips(trunk, heads), reference.eval()


def test_lpips_equals_torchmetrics(both_networks):
    ours, theirs = both_networks
    random = torch.Generator().manual_seed(1)
    x, y = torch.rand(2, 3, 64, 48, generator=random) * 2 - 1, torch.rand(2, 3, 64, 48, generator=random) * 2 - 1
    with torch.inference_mode():
        expected = theirs(x, y).flatten()
        assert torch.allclose(ours(x, y), expected, rtol=1e-4)
        assert ours(x, x).abs().max() < 1e-10  # squares of rounding errors


def test_gradient_is_finite_where_features_vanish(both_networks):
    ours = copy.deepcopy(both_networks[0])
    for layers in ours.slices:
        for layer in layers:
            if hasattr(layer, "bias"):
                torch.nn.init.constant_(layer.bias, -1e3)
    x = torch.zeros(1, 3, 32, 32, requires_grad=True)
    ours(x, torch.ones(1, 3, 32, 32)).sum().backward()
    assert torch.isfinite(x.grad).all()
