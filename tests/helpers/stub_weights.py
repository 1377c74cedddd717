"""Random weights of the feature extractors in the published formats, and a project with their checksums."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from bench.data.catalogue import CATALOGUE, SOURCES
from bench.files import read_yaml, sha256_file, write_json

LPIPS_CHANNELS = (64, 128, 256, 512, 512)


class StubInception(nn.Module):
    """Network with the attributes of the TorchScript file: `layers` to 2048 features, `output` to 1008 classes."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.AvgPool2d(23), nn.Conv2d(3, 32, 5), nn.Tanh(), nn.Flatten(), nn.Linear(2592, 2048)
        )
        self.output = nn.Linear(2048, 1008)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.layers(x))


def port_blocks(network: nn.Module) -> None:
    """Replace blocks of torchvision's Inception by those of pytorch-fid, of which clean-fid has a copy."""
    from cleanfid import inception_pytorch as theirs

    sizes = {"5b": (192, 32), "5c": (256, 64), "5d": (288, 64)}
    for block, (channels, pool) in sizes.items():
        setattr(network, f"Mixed_{block}", theirs.FIDInceptionA(channels, pool_features=pool))
    for block, channels in {"6b": 128, "6c": 160, "6d": 160, "6e": 192}.items():
        setattr(network, f"Mixed_{block}", theirs.FIDInceptionC(768, channels_7x7=channels))
    network.Mixed_7b, network.Mixed_7c = theirs.FIDInceptionE_1(1280), theirs.FIDInceptionE_2(2048)


def _cleanfid(path: Path) -> None:
    torch.jit.script(StubInception().eval()).save(str(path))


def _pytorch_fid(path: Path) -> None:
    from torchvision.models import inception_v3

    network = inception_v3(weights=None, num_classes=1008, aux_logits=False, init_weights=False)
    port_blocks(network)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(
                module.weight, nonlinearity="relu"
            )  # otherwise the activations vanish after so many layers
    torch.save(network.state_dict(), path)


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
