"""Compares the skip-layer gates and FastGAN's networks with values of the authors' release."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import baselines.fastgan
import slim.fastgan
from slim import SkipLayerSLIM

Tensors = Mapping[str, Tensor]
Metadata = Mapping[str, str]
STEPS = 2


def check_slim_skip(tensors: Tensors, metadata: Metadata) -> dict[str, Tensor]:
    low, high = tensors["low"], tensors["high"]
    noise = tensors.get("noise")
    gate = SkipLayerSLIM(
        low_channels=low.shape[1],
        high_channels=high.shape[1],
        groups=int(metadata["groups"]),
        reduction=int(metadata["reduction"]),
        dilation=int(metadata["dilation"]),
        mask_noise=noise is not None,
        spectral_norm=False,
    )
    state = slim_state({name: tensors[name] for name in tensors if name.startswith("group")}, gate.groups)
    if noise is not None:
        state["noise_weight"] = tensors["noise_weight"]
    load(gate, state)
    low.requires_grad_()
    high.requires_grad_()
    computed = {"output_eval": gate.eval()(low, high, noise), "output_train": gate.train()(low, high, noise)}
    (computed["output_train"] * tensors["probe"]).sum().backward()
    return computed | {"grad_low": low.grad, "grad_high": high.grad}


def check_sle_gate(tensors: Tensors, metadata: Metadata) -> dict[str, Tensor]:
    gate = baselines.fastgan.SLEGate(
        low_channels=int(metadata["low_channels"]), high_channels=int(metadata["high_channels"]), spectral_norm=False
    )
    load(gate, {name: tensors[name] for name in ("conv1.weight", "conv2.weight")})
    return {"output": gate(tensors["low"], tensors["high"])}


def check_generator(tensors: Tensors, metadata: Metadata) -> dict[str, Tensor]:
    size = int(metadata["image_size"])
    generator = slim.fastgan.generator(
        image_size=size,
        base_channels=int(metadata["base_channels"]),
        latent_dim=int(metadata["latent_dim"]),
        groups=int(metadata["groups"]),
        reduction=int(metadata["reduction"]),
        dilation=int(metadata["dilation"]),
        spectral_norm=False,
    )
    source = {name.removeprefix("state."): tensors[name] for name in tensors if name.startswith("state.")}
    load(generator, generator_state(source, generator))
    computed = {}
    for mode in ("eval", "train"):
        generator.train(mode == "train")
        computed[f"{mode}_big"], computed[f"{mode}_128"] = generator(tensors["z"])
    return computed


def check_discriminator(tensors: Tensors, metadata: Metadata) -> dict[str, Tensor]:
    """Check the discriminator in evaluation mode, except `logits_fake_train`.

    For `logits_real` the small image is resized from the large one."""
    discriminator = baselines.fastgan.discriminator(
        image_size=int(metadata["image_size"]), base_channels=int(metadata["base_channels"]), spectral_norm=False
    )
    source = {name.removeprefix("state."): tensors[name] for name in tensors if name.startswith("state.")}
    load(discriminator, discriminator_state(source, discriminator))
    image, fake_small, part = tensors["image"], tensors["fake_small"], int(tensors["part"])
    if part != int(metadata["part"]):
        raise ValueError(f"part is {part} in the tensors and {metadata['part']} in the metadata")
    discriminator.eval()
    small = F.interpolate(image, size=discriminator.small_size, mode="nearest")
    logits, decoded = discriminator(image, small, part=part)
    return {
        "logits_real": in_release_order(logits),
        "rec_all": decoded.whole,
        "rec_small": decoded.small,
        "rec_part": decoded.part,
        "logits_fake": in_release_order(discriminator(image, fake_small)),
        "logits_fake_train": in_release_order(discriminator.train()(image, fake_small)),
    }


def in_release_order(logits: Tensor) -> Tensor:
    """Reorder logits [B, 50] as in the release, with all logits of the large path before those of the small path."""
    return torch.cat([half.flatten() for half in logits.chunk(2, dim=1)])


def load(module: nn.Module, state: dict[str, Tensor]) -> None:
    """Load a state strictly, except BN's batch counters, which golden files do not have."""
    missing, unexpected = module.load_state_dict(state, strict=False)
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    if missing or unexpected:
        raise KeyError(f"missing {missing}, unexpected {unexpected}")


def slim_state(named: Tensors, groups: int) -> dict[str, Tensor]:
    """Convert tensors named group<g>.<branch>.<layer>.<tensor> to the gate's state, with groups on the first axis."""
    steps = range(1, STEPS + 1)
    masks = ["conv_in", "bn_in", *(name for k in steps for name in (f"conv_step{k}", f"bn_step{k}")), "conv_out"]
    names = {"style.fc1": "style.fc1", "style.bn": "style.norm", "style.fc2": "style.fc2"}
    for index, name in enumerate(masks):
        names[f"mask.{name}"] = f"mask.{index + index // 2}"  # a ReLU follows each BN
    state = {}
    for name in [name.removeprefix("group0.") for name in named if name.startswith("group0.")]:
        layer, kind = name.rsplit(".", 1)
        state[f"{names[layer]}.{kind}"] = torch.cat([named[f"group{g}.{name}"] for g in range(groups)])
    return state


_STYLE_LAYERS = {"2": "fc1", "3": "bn", "5": "fc2"}
_MASK_LAYERS = ("conv_in", "bn_in", "", "conv_step1", "bn_step1", "", "conv_step2", "bn_step2", "", "conv_out")


def release_slim_state(source: Tensors, groups: int) -> dict[str, Tensor]:
    """Convert the release's names of one gate, channel_attn.<g>.<n>.<tensor> and spatial_attn.<g>.<n>.<tensor>."""
    named = {}
    for name, value in source.items():
        branch, group, layer, kind = name.split(".")
        style = branch == "channel_attn"
        role = f"style.{_STYLE_LAYERS[layer]}" if style else f"mask.{_MASK_LAYERS[int(layer)]}"
        named[f"group{group}.{role}.{kind}"] = value
    return slim_state(named, groups)


def generator_state(source: Tensors, generator: nn.Module) -> dict[str, Tensor]:
    names = {"init.init.0": "start.conv", "init.init.1": "start.norm", "to_big": "to_image", "to_128": "to_small"}
    for size in generator.sizes:
        composite = any(name.startswith(f"feat_{size}.5.") for name in source)
        layers = {"1": "conv", "2": "norm"}
        if composite:
            layers = {"1": "conv1", "2": "noise1", "3": "norm1", "5": "conv2", "6": "noise2", "7": "norm2"}
        names |= {f"feat_{size}.{number}": f"blocks.{size}.{name}" for number, name in layers.items()}
    state = {}
    for size, gate in generator.gates.items():
        prefix = f"se_{size}."
        if isinstance(gate, SkipLayerSLIM):
            own = {name.removeprefix(prefix): value for name, value in source.items() if name.startswith(prefix)}
            inner = release_slim_state(own, gate.groups)
            state |= {f"gates.{size}.{name}": value for name, value in inner.items()}
            source = {name: value for name, value in source.items() if not name.startswith(prefix)}
        else:
            names |= {f"se_{size}.main.1": f"gates.{size}.conv1", f"se_{size}.main.3": f"gates.{size}.conv2"}
    return state | _renamed(source, names)


def discriminator_state(source: Tensors, discriminator: nn.Module) -> dict[str, Tensor]:
    """Convert the release's names, which number down-blocks by the reduction from 512 px (down_4 ends at 128 px)."""
    names = {f"rf_big.{n}": f"head.{n}" for n in (0, 1, 3)} | {"rf_small": "small_head", "down_from_big.0": "stem.0"}
    names["down_from_small.0"] = "small_path.0"
    for block in (2, 3, 4):
        for layer in (0, 1):
            names[f"down_from_small.{block}.main.{layer}"] = f"small_path.{2 + 3 * (block - 2) + layer}"
    for size in discriminator.sizes:
        block = f"down_{512 // size}"
        names |= {f"{block}.main.{n}": f"blocks.{size}.main.{n}" for n in (0, 1, 3, 4)}
        names |= {f"{block}.direct.{n}": f"blocks.{size}.side.{n}" for n in (1, 2)}
    for target in map(int, discriminator.gates):
        prefix = f"se_{32 // target * 2 if target < 32 else 2}_{512 // target}"
        names |= {f"{prefix}.main.1": f"gates.{target}.conv1", f"{prefix}.main.3": f"gates.{target}.conv2"}
    for name, ours in (("big", "whole"), ("small", "small"), ("part", "part")):
        for n in range(4):
            names[f"decoder_{name}.main.{n + 1}.1"] = f"decode_{ours}.{n}.0"
            names[f"decoder_{name}.main.{n + 1}.2"] = f"decode_{ours}.{n}.1"
        names[f"decoder_{name}.main.5"] = f"decode_{ours}.4"
    return _renamed(source, names)


def _renamed(source: Tensors, names: Mapping[str, str]) -> dict[str, Tensor]:
    state = {}
    for name, value in source.items():
        layer, kind = name.rsplit(".", 1)
        state[f"{names[layer]}.{kind}"] = value
    return state


KINDS = {
    "slim_skip": check_slim_skip,
    "sle_gate": check_sle_gate,
    "fastgan_slim_generator": check_generator,
    "fastgan_discriminator": check_discriminator,
}
