"""Gates and networks of other packages are built, checked, hashed, exported and loaded like registered ones."""

import json
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from bench.code_digest import _fingerprint, code_digest
from bench.errors import InputError
from bench.export import create_seeded, load_export, load_weights, save_weights
from bench.provenance import provenance
from bench.registry import create_model, entry, network_modules, training_modules
from bench.run import ModelSpec, write_run
from bench.sample import type_of
from bench.source import parse_source
from bench.train import train
from bench.train.startup import engine_class
from tests.helpers.tiny import tiny_run, write_data

GATES = '''
import torch
from torch import nn
from slim import SkipLayerSLIM
from .shape import WIDTH

class Gate(nn.Module):
    def __init__(self, *, low_channels: int, high_channels: int, width: int = WIDTH):
        super().__init__()
        if width > 64:
            raise ValueError(f"width must be at most 64, got {width}")
        self.conv = nn.Conv2d(low_channels, high_channels, 1)
        self.width = width

    def forward(self, low, high):
        return high * torch.sigmoid(self.conv(low).mean((2, 3), keepdim=True))

class Normed(Gate):
    """Spectral norm without an argument that switches it off."""
    def __init__(self, *, low_channels: int, high_channels: int):
        super().__init__(low_channels=low_channels, high_channels=high_channels)
        nn.utils.parametrizations.spectral_norm(self.conv)

class Slim(SkipLayerSLIM):
    pass

class Swapped(Gate):
    def forward(self, low, high):
        return low

class Noisy(Gate):
    def forward(self, low, high):
        return super().forward(low, high) + torch.randn_like(high)

def function(low_channels, high_channels):
    return "no module"

def fewshot():
    return nn.Linear(1, 1)

def oneshot(*, height: int, width: int, min_size: int, max_size: int, scale_factor: float):
    return nn.Linear(1, 1)

def touch(path):
    open(path, "w").close()

def classifier(*, in_channels: int, num_classes: int, width: int = 8):
    return nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * in_channels, num_classes))
'''
SMALL = {"image_size": 128, "base_channels": 16}


@pytest.fixture(autouse=True)
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Create a project with the package `outside_gates`. Its experiments use the names passed to `named`."""
    (tmp_path / "outside_gates").mkdir()
    (tmp_path / "config").mkdir()
    texts = {"__init__": "", "gates": GATES, "shape": "WIDTH = 3\n", "broken": "import no_such_module\ndef f(): ...\n"}
    for name, text in texts.items():
        (tmp_path / "outside_gates" / f"{name}.py").write_text(text)
    (tmp_path / "config/experiments.yaml").write_text("{}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("outside_gates")]:
        del sys.modules[name]


def named(*names: str) -> None:
    entries = [f'e{index}: {{model: {{name: "{name}"}}}}\n' for index, name in enumerate(names)]
    Path("config/experiments.yaml").write_text("".join(entries))


def test_a_gate_is_built_for_all_pairs_or_the_given_ones():
    network = create_model("outside_gates.gates:Gate", **SMALL, width=5)
    assert {size: type(gate).__name__ for size, gate in network.gates.items()} == {"64": "Gate", "128": "Gate"}
    assert network.gates["64"].width == 5
    network = create_model("outside_gates.gates:Gate", **SMALL, pairs=[128])
    assert {size: type(gate).__name__ for size, gate in network.gates.items()} == {"64": "SLEGate", "128": "Gate"}
    image, small = network(torch.randn(2, 256))
    assert image.shape == (2, 3, 128, 128) and small.shape == (2, 3, 64, 64)


def test_a_project_gate_by_import_path_equals_the_registered_network():
    """Initial weights are bit-identical, because checking the gate's interface draws no random numbers."""
    slim = {**SMALL, "pairs": [64, 128], "reduction": 2, "groups": 2}
    named("slim.skip:SkipLayerSLIM", "outside_gates.gates:Slim")
    theirs = create_seeded({"name": "fastgan-slim", "args": slim}, 3).state_dict()
    for name in ("slim.skip:SkipLayerSLIM", "outside_gates.gates:Slim"):
        own = create_seeded({"name": name, "args": slim}, 3).state_dict()
        assert own.keys() == theirs.keys() and all(torch.equal(own[key], theirs[key]) for key in own)


@pytest.mark.parametrize("name", ["Gate", "Normed", "Slim", "Noisy"])
def test_an_export_generates_the_same_images(name, tmp_path):
    target = f"outside_gates.gates:{name}"
    named(target)
    spec = {"name": target, "args": SMALL | ({"reduction": 1} if name == "Slim" else {})}
    network = create_seeded(spec, 1)
    with torch.no_grad():
        network(torch.randn(4, 256))  # moves the batch norms
    save_weights(tmp_path / "model.safetensors", network, spec)
    loaded, z = load_weights(tmp_path / "model.safetensors"), torch.randn(2, 256)
    with torch.no_grad():
        torch.manual_seed(0)
        before = network.eval()(z)[0]
        torch.manual_seed(0)
        after = loaded(z)[0]
    assert torch.allclose(before, after, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "args", "message"),
    [
        ("gates:Gate", {"widht": 3}, r"widht: .*did you mean 'width'"),
        ("gates:Gate", {"width": 65}, "width must be at most 64, got 65"),
        ("gates:Gate", {"pairs": [256]}, r"pairs must name target sizes that exist .*\(64, 128\)"),
        ("gates:Swapped", {}, r"the gate of the pair 4 to 64 must return \[2, \d+, 64, 64\].*got \[2, \d+, 4, 4\]"),
        ("gates:function", {}, "must be a torch.nn.Module, got str"),
        ("broken:f", {}, "broken.py: f .* cannot be imported: ModuleNotFoundError: No module named 'no_such_module'"),
    ],
)
def test_an_invalid_argument_gives_a_one_line_error(name, args, message):
    with pytest.raises(InputError, match=message) as caught:
        create_model(f"outside_gates.{name}", **({} if name == "broken:f" else SMALL), **args)
    assert "\n" not in str(caught.value)


def test_an_external_network_is_registered():
    name = "outside_gates.gates:classifier"
    assert (entry(name).task, entry(name).gate) == (None, None)
    assert create_model(name, in_channels=3, num_classes=7)(torch.zeros(2, 3, 8, 8)).shape == (2, 7)
    with pytest.raises(InputError, match="num_classes: Field required"):
        create_model(name, in_channels=3)


def test_the_digest_covers_the_gate_and_its_imports_within_the_package(outside):
    name = "outside_gates.gates:Gate"
    assert network_modules(name) == {"baselines.fastgan", "outside_gates.gates"}

    def digest() -> str:
        for cached in (code_digest, parse_source, _fingerprint):
            cached.cache_clear()
        return provenance(*training_modules("fewshot", name))["code_sha256"]

    before = digest()
    (outside / "outside_gates/shape.py").write_text("WIDTH = 3  # a comment\n")
    assert digest() == before
    (outside / "outside_gates/shape.py").write_text("WIDTH = 4\n")
    assert digest() != before


@pytest.mark.parametrize(
    ("task", "message"),
    [("fewshot", "the network has no attribute 'latent_dim'"), ("oneshot", "the network has no attribute 'sizes'")],
)
def test_a_network_unsuited_to_its_task_gives_a_one_line_error(task, message, tmp_path):
    name = f"outside_gates.gates:{task}"
    named(name)
    run = tiny_run(task, write_data(task, tmp_path / "data"))
    run = run.model_copy(update={"model": ModelSpec(name=name, args={})})
    with pytest.raises(InputError, match=f"model {name}: {message}; see bench.networks"):
        engine_class(task)(run, torch.device("cpu"))


def test_a_classifier_is_trained_and_exported(tmp_path):
    name = "outside_gates.gates:classifier"
    named(name)
    run = tiny_run("classification", write_data("classification", tmp_path / "data"))
    run = run.model_copy(update={"model": ModelSpec(name=name, args={})})
    write_run(tmp_path / "run/run.json", run)
    train(run, tmp_path / "run", tmp_path / "state")
    network, meta = load_export(tmp_path / "run")
    assert network(torch.zeros(2, 1, 32, 32)).shape == (2, 4)
    assert meta["model"] == {"name": name, "args": {"in_channels": 1, "num_classes": 4}}
    assert type_of(meta, tmp_path) == "classification"


@pytest.mark.parametrize("read", ["export", "run.json"])
def test_a_file_of_someone_else_starts_no_code(read, tmp_path):
    path, ran = tmp_path / "weights", tmp_path / "ran"
    spec = {"name": "outside_gates.gates:touch", "args": {"path": str(ran)}}
    save_file({"x": torch.zeros(1)}, path, {"model": json.dumps(spec)})
    with pytest.raises(InputError, match=r"'outside_gates.gates:touch' is code from outside this repository"):
        load_weights(path) if read == "export" else create_seeded(spec, 0)
    assert not ran.exists()
    named(spec["name"])
    with pytest.raises(InputError, match=r"gates:touch: returned NoneType, not a torch\.nn\.Module"):
        load_weights(path) if read == "export" else create_seeded(spec, 0)
    assert ran.exists()
