"""Random weights of the feature extractors in the published formats, and a project with their checksums."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from bench.data.catalogue import CATALOGUE
from bench.data.sources import SOURCES
from bench.files import read_yaml, sha256_file, write_json
from bench.metrics.inception_weights import PORTED, inception_tensors

LPIPS_CHANNELS = (64, 128, 256, 512, 512)


class PublishedInception(nn.Module):
    """NVIDIA's TorchScript file: the tensors of the FID Inception under their names there, and a last layer."""

    def __init__(self) -> None:
        super().__init__()
        for name, tensor in inception_tensors()[0].items():
            conv, _, part = name.partition(".")
            if not hasattr(self, f"conv_{conv}"):
                self.add_module(f"conv_{conv}", nn.Module())
            getattr(self, f"conv_{conv}").register_buffer(part, tensor)
        self.output = nn.Linear(2048, 1008)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(x)


def _cleanfid(path: Path) -> None:
    torch.jit.script(PublishedInception().eval()).save(str(path))


def _pytorch_fid(path: Path) -> None:
    """pytorch-fid's state dictionary: the tensors under torchvision's names, and a last layer."""
    names = {part: name for name, part in PORTED.items()} | {"scale": "bn.weight"}
    state = {}
    for name, tensor in inception_tensors()[0].items():
        conv, _, part = name.partition(".")
        state[f"Block_{conv}.{names[part]}"] = tensor
        if part == "beta":
            state[f"Block_{conv}.{names['scale']}"] = torch.ones_like(tensor)
    torch.save(state | {"fc.weight": torch.rand(1008, 2048), "fc.bias": torch.zeros(1008)}, path)


def _torchvision(path: Path) -> None:
    """Write the layers that SIFID uses. The rest of the file is not read."""
    from torchvision.models.inception import BasicConv2d

    layers = {
        "Conv2d_1a_3x3": BasicConv2d(3, 32, kernel_size=3),
        "Conv2d_2a_3x3": BasicConv2d(32, 32, kernel_size=3),
        "Conv2d_2b_3x3": BasicConv2d(32, 64, kernel_size=3),
        "Conv2d_3b_1x1": BasicConv2d(64, 80, kernel_size=1),
        "Conv2d_4a_3x3": BasicConv2d(80, 192, kernel_size=3),
    }
    torch.save(nn.ModuleDict(layers).state_dict(), path)


def vgg16(path: Path) -> nn.Module:
    """Write torchvision's VGG16 without its classifier; return the layers."""
    from torchvision.models.vgg import cfgs, make_layers

    features = make_layers(cfgs["D"])
    torch.save({f"features.{name}": value for name, value in features.state_dict().items()}, path)
    return features


def _heads(path: Path) -> None:
    torch.save({f"lin{i}.model.1.weight": torch.rand(1, n, 1, 1) for i, n in enumerate(LPIPS_CHANNELS)}, path)


WRITERS: dict[str, Callable[[Path], object]] = {
    "inception-cleanfid": _cleanfid,
    "inception-pytorch-fid": _pytorch_fid,
    "inception-torchvision": _torchvision,
    "vgg16-torchvision": vgg16,
    "lpips-vgg16-heads": _heads,
}


def write_project(root: Path, *names: str) -> Path:
    """Create a folder with stubs of `names` in data/sources and a catalogue of their checksums."""
    catalogue = read_yaml(CATALOGUE)
    (root / SOURCES).mkdir(parents=True)
    for name in names:
        entry = catalogue["weights"][name]
        torch.manual_seed(0)
        WRITERS[name](root / SOURCES / entry["file"])
        entry["sha256"] = sha256_file(root / SOURCES / entry["file"])
    write_json(root / CATALOGUE, catalogue)  # JSON is valid YAML
    return root
