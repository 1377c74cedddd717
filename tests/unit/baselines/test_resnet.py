"""ResNets: parameter counts and MACs, equality with torchvision, slots, stems, timm."""

import subprocess
import sys

import pytest
import torch
import torchvision
from torch.utils.flop_counter import FlopCounterMode

import slim.resnet as slim_resnet
from baselines import resnet
from slim.same import LiteralSameLayerSLIM, SameLayerSLIM

# name: (constructor, arguments, parameters, multiply-adds at 224 px in 10^9)
COUNTS = {
    "resnet50": (resnet.resnet50, {}, 25_557_032, 4.089),
    "resnext50": (resnet.resnext50_32x4d, {}, 25_028_904, 4.230),
    "se-resnet50": (resnet.se_resnet50, {}, 28_088_024, 4.09),
    "slim-resnet50": (slim_resnet.resnet50, {}, 18_656_040, 3.323),
    "slim-resnet50-g1": (slim_resnet.resnet50, {"slim_groups": 1}, 31_859_496, 6.58),
    "slim-resnet50-g2": (slim_resnet.resnet50, {"slim_groups": 2}, 23_057_192, 4.41),
    "slim-resnet50-g8": (slim_resnet.resnet50, {"slim_groups": 8}, 16_463_336, 2.80),
    "resnet101": (resnet.resnet101, {}, 44_549_160, 7.80),
    "resnext101": (resnet.resnext101_32x4d, {}, 44_177_704, 7.97),
    "slim-resnet101": (slim_resnet.resnet101, {}, 31_537_960, 5.81),
}
SMALL = {
    "resnet": (resnet.resnet, {}),
    "resnext": (resnet.resnet, {"groups": 8, "group_width": 4}),
    "se": (resnet.resnet, {"squeeze": 4}),
    "slim": (slim_resnet.resnet, {}),
    "slim-literal": (slim_resnet.resnet, {"variant": "literal"}),
}


@pytest.mark.parametrize("name", COUNTS)
def test_parameters_and_macs_equal_published_totals(name: str) -> None:
    make, arguments, parameters, macs = COUNTS[name]
    with torch.device("meta"):
        model = make(**arguments).eval()
        with FlopCounterMode(display=False) as counter:
            assert model(torch.empty(1, 3, 224, 224)).shape == (1, 1000)
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert counter.get_total_flops() / 2e9 == pytest.approx(macs, rel=0.01)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (resnet.resnet50, torchvision.models.resnet50),
        (resnet.resnext50_32x4d, torchvision.models.resnext50_32x4d),
    ],
)
def test_torchvisions_weights_give_torchvisions_outputs(ours, theirs) -> None:
    reference, model = theirs().eval(), ours().eval()
    model.load_state_dict(reference.state_dict())
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(model(x), reference(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize(("stem", "size", "last"), [("small", 28, 4), ("imagenet", 64, 2)])
def test_small_networks_have_the_expected_shapes(name: str, stem: str, size: int, last: int) -> None:
    make, arguments = SMALL[name]
    torch.manual_seed(0)
    model = make(stem=stem, in_channels=1, num_classes=7, **arguments)
    x = torch.randn(4, 1, size, size)
    assert model.features(x).shape == (4, 512, last, last)
    logits = model(x)
    assert logits.shape == (4, 7) and logits.isfinite().all()
    (logits * torch.randn_like(logits)).sum().backward()
    largest = max(p.grad.abs().max() for p in model.parameters())
    for parameter_name, parameter in model.named_parameters():
        if ".skip." in parameter_name and parameter_name.endswith("bias"):
            continue  # biases of the literal variant before a batch norm have no gradient
        assert parameter.grad.isfinite().all() and parameter.grad.abs().max() > 1e-6 * largest, parameter_name


@pytest.mark.parametrize("name", SMALL)
def test_images_of_a_batch_are_independent_in_evaluation(name: str) -> None:
    make, arguments = SMALL[name]
    model = make(**arguments).eval()
    x = torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(model(x)[1:2], model(x[1:2]), rtol=1e-4, atol=1e-5)


def test_every_bottleneck_contains_slim() -> None:
    soft, literal = slim_resnet.resnet(), slim_resnet.resnet(variant="literal")
    assert [type(block.conv2) for stage in (soft.layer1, soft.layer4) for block in stage] == [SameLayerSLIM] * 2
    assert isinstance(literal.layer3[0].conv2, LiteralSameLayerSLIM)
    assert (soft.layer1[0].conv2.stride, soft.layer2[0].conv2.stride) == (1, 2)


def test_groups_are_halved_until_they_divide() -> None:
    model = slim_resnet.resnet(width=20, slim_groups=8)
    assert [model.get_submodule(f"layer{i}")[0].conv2.groups for i in (1, 2, 3, 4)] == [4, 8, 8, 8]


def test_zero_init_of_the_last_gamma() -> None:
    model = resnet.resnet(zero_init_residual=True)
    assert all(stage[0].bn3.weight.abs().max() == 0 for stage in (model.layer1, model.layer4))
    assert model.layer1[0].bn2.weight.min() == 1


def test_slim_keeps_its_initialisation_inside_the_network() -> None:
    conv = slim_resnet.resnet(width=128).layer4[0].conv2.value
    assert conv.weight.std().item() == pytest.approx((2 / (256 * 9)) ** 0.5, rel=0.02)


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (resnet.resnet, {"blocks": ()}, "must be positive"),
        (resnet.resnet, {"blocks": (1, 0)}, "must be positive"),
        (resnet.resnet, {"stem": "large"}, "stem must be one of"),
        (resnet.resnet, {"groups": 3}, "16 channels and 3 groups"),
        (resnet.resnet, {"squeeze": 100}, "squeeze must be in 1..64"),
        (slim_resnet.resnet, {"slim_groups": 0}, "slim_groups must be positive, got 0"),
        (slim_resnet.resnet, {"variant": "hard"}, "variant must be one of"),
    ],
)
def test_invalid_options_are_refused_at_construction(make, arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**arguments)


def test_bfloat16_and_compilation_are_close_to_float32() -> None:
    model = slim_resnet.resnet(stem="imagenet").eval()
    x = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        exact = model(x)
        with torch.autocast("cpu", torch.bfloat16):
            assert (model(x).float() - exact).abs().max() < 0.05 * exact.abs().max()


def test_timm_creates_the_networks() -> None:
    timm = pytest.importorskip("timm")
    import slim.timm_models as registered

    assert set(registered.NETWORKS) <= set(timm.list_models())
    with torch.device("meta"):
        model = timm.create_model("slim_resnet50", num_classes=10, in_chans=1, slim_groups=2)
        assert model(torch.empty(2, 1, 64, 64)).shape == (2, 10)
        assert sum(p.numel() for p in timm.create_model("slim_resnet50").parameters()) == 18_656_040
    assert timm.data.resolve_model_data_config(model)["crop_pct"] == 224 / 256
    with pytest.raises(ValueError, match="no pretrained weights"):
        timm.create_model("slim_resnet50", pretrained=True)


def test_timm_is_imported_only_on_request() -> None:
    code = "import sys, slim, slim.resnet, baselines.resnet; sys.exit('timm' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
