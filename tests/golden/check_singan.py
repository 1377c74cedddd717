"""Compares SinGAN with golden values: scale networks with and without SLIM, bicubic resize, sizes of the pyramid."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from baselines.ops.imresize import imresize
from baselines.pyramid import pyramid_sizes
from baselines.singan_scale import PADDING, ScaleCritic, ScaleGenerator, per_image
from bench.train.oneshot.wgan import gradient_penalty
from slim.singan import dilation_at
from slim.skip import SkipLayerSLIM

STYLE_LAYERS = {"2": "fc1", "4": "fc2"}


def check_imresize(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> dict[str, Tensor]:
    prefix = "output_scale_"
    names = [name for name in tensors if name.startswith(prefix)]
    return {name: imresize(tensors["image"].float(), float(name.removeprefix(prefix))) for name in names}


def check_scale(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> dict[str, Tensor]:
    """Check generator, critic and gradient penalty (at the image), all with the statistics of the image."""
    width, slim = int(metadata["channels"]), metadata["slim"] == "True"
    assert int(metadata["padding"]) == PADDING
    gate = None
    if slim:
        assert int(metadata["dilation"]) == dilation_at(int(metadata["scale"]))
        slim_gate = SkipLayerSLIM(
            low_channels=width,
            high_channels=width,
            groups=int(metadata["groups"]),
            reduction=int(metadata["reduction"]),
            dilation=int(metadata["dilation"]),
            spectral_norm=False,
            style_norm=False,
        )
        gate = per_image(slim_gate)
    generator = ScaleGenerator(width, residual=metadata["residual"] == "True", gate=gate)
    generator.load_state_dict(generator_state(tensors, int(metadata["groups"])))
    critic = ScaleCritic(width)
    critic.load_state_dict(with_prefix(tensors, "critic."))
    image = tensors["image"].float()
    return {
        "output_generator": generator(tensors["noise_plus_previous"].float(), tensors["previous"].float()),
        "output_critic": critic(image),
        "output_gradient_penalty_unweighted": gradient_penalty(critic, image).reshape(1),
    }


def check_pyramid(entries: list[dict[str, Any]]) -> None:
    """Check every size, count and factor of every entry for equality."""
    assert entries
    for entry in entries:
        plan = pyramid_sizes(entry["height"], entry["width"], min_size=entry["min_size"], max_size=entry["max_size"])
        assert [list(size) for size in plan.sizes] == entry["sizes"], entry
        assert (plan.num_scales, plan.stop_scale) == (entry["num_scales"], entry["stop_scale"]), entry
        assert (plan.shrink, plan.scale_factor) == (entry["scale1"], entry["scale_factor"]), entry


KINDS = {"singan_imresize": check_imresize, "singan_scale": check_scale}


def with_prefix(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names begin with `prefix`, without BN's running statistics, which are not used."""
    found = {name.removeprefix(prefix): value.float() for name, value in tensors.items() if name.startswith(prefix)}
    return {name: value for name, value in found.items() if not name.endswith(("running_mean", "running_var"))}


def generator_state(tensors: Mapping[str, Tensor], groups: int) -> dict[str, Tensor]:
    """Return the state of a scale generator. The groups of SLIM's branches are stacked along their outputs."""
    state = with_prefix(tensors, "generator.")
    block = "Inception_Block."
    for name in [name for name in state if name.startswith(block)]:
        part, group, layer, tensor = name.removeprefix(block).split(".")
        if group == "0":
            stacked = torch.cat([state[f"{block}{part}.{index}.{layer}.{tensor}"] for index in range(groups)])
            role = f"mask.{layer}" if part == "spatial_attn" else f"style.{STYLE_LAYERS[layer]}"
            state[f"gate.{role}.{tensor}"] = stacked
    return {name: value for name, value in state.items() if not name.startswith(block)}
