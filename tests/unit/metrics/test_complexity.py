"""The counter of multiply-accumulates: published totals, counted and ignored operations."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
import torchvision
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from baselines.ops.imresize import Resize
from bench.commands.reporting import _one_call
from bench.evaluate import cost
from bench.metrics.complexity import multiply_accumulates, parameter_count
from bench.metrics.latency import Latency, measure_latency
from bench.metrics.memory import peak_bytes
from bench.provenance import processor_name, slug
from bench.registry import MODELS, create_model


@pytest.mark.parametrize("name", ["resnet50", "resnext50_32x4d"])
def test_totals_equal_those_published_by_torchvision(name):
    meta = torchvision.models.get_model_weights(name).DEFAULT.meta
    with torch.device("meta"):
        network = torchvision.models.get_model(name).eval()
        image = torch.zeros(1, 3, 224, 224)
    assert parameter_count(network) == meta["num_params"]
    assert multiply_accumulates(lambda: network(image)) == pytest.approx(1e9 * meta["_ops"], rel=0.01)


@pytest.mark.parametrize(
    ("name", "giga"),
    [("resnet50", 4.089), ("resnext50-32x4d", 4.230), ("slim-resnet50", 3.323), ("slim-resnet101", 5.81)],
)
def test_totals_of_the_networks_of_this_project_have_their_known_values(name, giga):
    with torch.device("meta"):
        network, image = create_model(name).eval(), torch.zeros(1, 3, 224, 224)
    assert multiply_accumulates(lambda: network(image)) == pytest.approx(1e9 * giga, rel=0.01)


@pytest.mark.parametrize(
    ("layer", "shape", "count"),
    [
        (nn.Conv2d(8, 12, 3, padding=1, groups=4), (2, 8, 5, 6), 2 * 12 * 30 * 2 * 9),
        (nn.ConvTranspose2d(8, 12, 4, stride=2, groups=2), (1, 8, 5, 5), 8 * 25 * 6 * 16),
        (nn.Linear(7, 5), (3, 7), 105),
        (nn.Linear(7, 5, bias=False), (3, 7), 105),
        (nn.BatchNorm2d(8), (2, 8, 5, 5), 0),
        (nn.Sequential(nn.ReLU(), nn.AvgPool2d(2), nn.Upsample(scale_factor=2)), (2, 8, 6, 6), 0),
    ],
)
def test_operations_of_each_layer_are_counted(layer, shape, count):
    assert multiply_accumulates(lambda: layer.eval()(torch.zeros(shape))) == count


def _products(*arguments, out_val=None, **_):
    """Count elementwise products, which torch's counter ignores. It also counts a multiply-accumulate as two."""
    gated = all(isinstance(factor, torch.Tensor) and factor.ndim for factor in arguments[:2])
    return 2 * out_val.numel() if gated else 0


_products._get_raw = True  # the counter passes tensors instead of shapes


@pytest.mark.parametrize("name", MODELS)
def test_torchs_counter_agrees_on_every_network(name, monkeypatch):
    """Runs on the meta device, which does not support autocast.

    The counter of this project gives the same result under inference_mode.
    """
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
    with torch.device("meta"):
        network = create_model(name).eval()
        call = _one_call(name, network)
        mapping = {torch.ops.aten.mul: _products, torch.ops.aten.mul_: _products}
        with FlopCounterMode(display=False, custom_mapping=mapping) as theirs:
            ours = multiply_accumulates(call)
        with torch.inference_mode():
            again = multiply_accumulates(call)
    assert 2 * ours == theirs.get_total_flops() and again == ours
    if name == "slim-resnet50":
        assert ours == 3_327_268_352  # 3,323,454,976 without the products of the gates


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_autograd_mode_does_not_change_the_count(mode):
    layers = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Flatten(), nn.Linear(4 * 36, 5)).eval()
    count = 4 * 36 * 3 * 9 + 4 * 36 * 5

    def inside():
        with mode():
            return layers(torch.zeros(1, 3, 6, 6))

    assert multiply_accumulates(inside) == count
    with mode():
        assert multiply_accumulates(lambda: layers(torch.zeros(1, 3, 6, 6))) == count
        assert (
            multiply_accumulates(lambda: torch.einsum("bij,bjk->bik", torch.ones(2, 3, 4), torch.ones(2, 4, 5))) == 120
        )


def test_tensor_products_are_counted_and_scaling_is_not():
    x, gate = torch.ones(2, 3, 4), torch.ones(2, 3, 1)
    assert multiply_accumulates(lambda: x * gate) == 24
    assert multiply_accumulates(lambda: x * 2) == 0
    assert multiply_accumulates(lambda: x * torch.tensor(2.0)) == 0
    assert multiply_accumulates(lambda: torch.einsum("bij,bik->bjk", x, x)) == 2 * 4 * 4 * 3


def test_singans_resizing_is_counted_as_matrix_products():
    """torch's interpolation is not counted (see the layers above)."""
    resize = Resize((9, 12), 4 / 3)
    height, width = 12, 16
    counted = multiply_accumulates(lambda: resize(torch.zeros(2, 3, 9, 12)))
    assert counted == 2 * 3 * (height * 12 * 9 + height * width * 12)


def cost_scores(device, *metrics):
    """Return a stub of the scores folder for `measure_cost`, which collects the measurements in `.added`."""
    added = []
    return SimpleNamespace(is_planned=lambda metric: metric in metrics, add=added.append, device=device, added=added)


def test_cost_protocols_contain_the_name_of_the_processor(monkeypatch):
    """Times of two machines are separate columns, on CPUs too."""
    ids = []
    for name in ("AMD EPYC 9J14 96-Core Processor", "Intel(R) Xeon(R) CPU @ 2.20GHz"):
        monkeypatch.setattr(cost, "processor_name", lambda name=name: name)
        scores = cost_scores(torch.device("cpu"), "latency", "memory")
        cost.measure_cost(scores, nn.Identity(), lambda: torch.ones(1), "px8")
        ids += [measurement.protocol for measurement in scores.added]
    threads = f"threads{torch.get_num_threads()}"
    assert ids[0] == f"latency/float32-eager/batch1/px8/cpu-amd-epyc-9j14-96-core-processor-{threads}"
    assert ids[2] == f"latency/float32-eager/batch1/px8/cpu-intel-r-xeon-r-cpu-2-20ghz-{threads}"
    assert ids[1] == ids[3] == "memory/float32-eager/batch1/px8/cpu"


def test_cost_protocols_contain_the_name_of_the_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA H100 80GB HBM3")
    monkeypatch.setattr(cost, "peak_bytes", lambda *_: 1)
    monkeypatch.setattr(cost, "measure_latency", lambda *_: Latency(1.0, (1.0, 1.0), 1))
    scores = cost_scores(torch.device("cuda"), "latency", "memory")
    cost.measure_cost(scores, nn.Identity(), lambda: None, "px8")
    assert [measurement.protocol for measurement in scores.added] == [
        f"{metric}/float32-eager/batch1/px8/nvidia-h100-80gb-hbm3" for metric in ("latency", "memory")
    ]


def test_the_processor_has_a_name():
    assert slug(processor_name())


def test_a_grouped_convolution_has_fewer_operations_by_the_number_of_groups():
    image = torch.zeros(1, 32, 16, 16)
    plain, grouped = nn.Conv2d(32, 32, 3, padding=1), nn.Conv2d(32, 32, 3, padding=1, groups=8)
    assert multiply_accumulates(lambda: plain(image)) == 8 * multiply_accumulates(lambda: grouped(image))


def test_latency_counts_the_calls():
    calls = []
    result = measure_latency(lambda: calls.append(1), torch.device("cpu"), warmup=2, repeats=5)
    assert len(calls) == 7
    assert result.repeats == 5
    assert result.quartiles_ms[0] <= result.median_ms <= result.quartiles_ms[1]


def test_peak_memory_is_that_of_one_call():
    def work():
        first = torch.empty(1000, dtype=torch.float32)
        second = torch.empty(500, dtype=torch.float32)
        del first
        torch.empty(250, dtype=torch.float32)
        return second

    assert peak_bytes(work) == 6000
