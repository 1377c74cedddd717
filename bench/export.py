"""Exports of finished runs.

An export consists of model.safetensors with spectral norm folded in, a model card, and model.json, which is written
last. `load_export` rebuilds the network from its registry name. `batch_statistics` makes batch norms use the statistics
of the batch, as in the authors' sampling protocol. The function changes no buffer, so samples do not depend on earlier
samples.
"""

import copy
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict
from safetensors import SafetensorError, safe_open
from torch import nn
from torch.nn.utils import parametrize

from bench.errors import InputError
from bench.files import check_regular, parse_json, read_json, sha256_file, write_bytes
from bench.paths import META, META_COPY, WEIGHTS
from bench.runtime.rng import seed_global_generator
from bench.schema import Pixels, parse_strict
from bench.training_record import Trained, Training

TYPES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.float64: "F64", torch.int64: "I64"}
"""Names of tensor types in the header of a safetensors file."""
RETRAIN = "`slim-bench train` retrains the run and keeps this export as superseded"


class DataRecord(BaseModel):
    """The fields of `data` in model.json that are needed to use an export."""

    model_config = ConfigDict(strict=True)
    kind: str | None = None
    image_size: Pixels | None = None
    channels: Literal[1, 3]
    classes: tuple[str, ...] | None = None


class Normalisation(BaseModel):
    """Mean and standard deviation of each channel of the training images."""

    model_config = ConfigDict(strict=True)
    mean: tuple[float, ...]
    std: tuple[float, ...]


class ExportTraining(Training):
    """The record of how a run was trained and, for classifiers, the normalisation of the images."""

    normalise: Normalisation | None = None


class ExportRecord(Trained):
    """The fields of model.json that are needed to use an export."""

    data: DataRecord | None = None
    training: ExportTraining | None = None


def create_seeded(spec: dict[str, Any], seed: int, purpose: str = "model", copies: int = 1) -> nn.Module:
    """Return the untrained network `spec` = {name, args} of a run, with weights initialised from `seed`.

    `copies` is the number of copies of the parameters that will be in memory. Raises InputError if they do not fit.
    """
    from bench.registry import check_registered, create_model
    from bench.skeleton import check_network_size

    check_registered(spec["name"], "run.json")
    check_network_size(spec["name"], spec["args"], copies)
    with seed_global_generator(seed, "initialisation", purpose):
        return create_model(spec["name"], **spec["args"])


def fold(model: nn.Module) -> nn.Module:
    """Return a copy of `model` in evaluation mode on the CPU, with all parametrisations (spectral norm) folded in.

    The copy is set to evaluation mode first, because reading a spectrally normalised weight in training mode advances
    its power iteration.
    """
    folded = copy.deepcopy(model).eval().requires_grad_(False).cpu()
    for module in list(folded.modules()):
        if parametrize.is_parametrized(module):
            # deepcopy shares the class that defines the property, so removing the property would break the original
            attributes = {
                name: value for name, value in vars(type(module)).items() if name not in ("__dict__", "__weakref__")
            }
            module.__class__ = type(type(module).__name__, type(module).__bases__, attributes)
            for name in list(module.parametrizations):
                parametrize.remove_parametrizations(module, name, leave_parametrized=True)
    return folded.requires_grad_(False)


def is_folded(model: nn.Module) -> bool:
    return not any(parametrize.is_parametrized(module) for module in model.modules())


@contextmanager
def batch_statistics(model: nn.Module) -> Iterator[nn.Module]:
    """Make batch norms use batch statistics within the block, without updating their buffers."""
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    before = [(m.training, m.track_running_stats, m.running_mean, m.running_var) for m in norms]
    try:
        for norm in norms:
            norm.training, norm.track_running_stats = True, False
            norm.running_mean = norm.running_var = None
        yield model
    finally:
        for norm, (training, track, mean, variance) in zip(norms, before, strict=True):
            norm.training, norm.track_running_stats = training, track
            norm.running_mean, norm.running_var = mean, variance


def save_weights(path: Path, model: nn.Module, spec: dict[str, Any]) -> str:
    """Write the folded weights of `model`, created from `spec` = {name, args}, and return the file's sha256.

    The file's metadata contain `spec`, with spectral_norm=False if spectral norm was folded in. A network without the
    argument `spectral_norm` is folded again when it is loaded.
    """
    from safetensors.torch import save

    from bench.registry import arguments

    args = dict(spec["args"])
    if not is_folded(model) and "spectral_norm" in arguments(spec["name"]).model_fields:
        args["spectral_norm"] = False
    folded = fold(model)
    tensors = {name: value.detach().contiguous().clone() for name, value in folded.state_dict().items()}
    data = save(tensors, {"model": json.dumps({"name": spec["name"], "args": args}, sort_keys=True)})
    write_bytes(path, data)
    return sha256_file(path)


def read_spec(path: Path) -> dict[str, Any]:
    """Return {name, args} of the network of a weights file."""
    check_regular(path)
    try:
        with safe_open(path, "pt") as file:
            spec = parse_json((file.metadata() or {})["model"], path)
        return {"name": str(spec["name"]), "args": dict(spec["args"])}
    except (SafetensorError, KeyError, TypeError, ValueError):
        raise InputError(f"{path}: not an export of slim-bench, or damaged; {RETRAIN}") from None


def load_weights(path: Path) -> nn.Module:
    """Return the network of a weights file, in evaluation mode, without gradients."""
    return _network_of(path, _checked_spec(path))


def _checked_spec(path: Path) -> dict[str, Any]:
    """Return {name, args} of a weights file, after checking the tensors in its header against the network."""
    from bench.registry import check_registered

    spec = read_spec(path)
    check_registered(spec["name"], path)
    _check_shapes(path, spec)
    return spec


def _network_of(path: Path, spec: dict[str, Any]) -> nn.Module:
    from safetensors.torch import load_file

    from bench.registry import create_model

    model = create_model(spec["name"], **spec["args"])
    model = model if is_folded(model) else fold(model)
    try:
        model.load_state_dict(load_file(path))
    except RuntimeError as error:
        raise InputError(f"{path}: does not fit {spec['name']}: {str(error).splitlines()[-1].strip()}") from None
    return model.eval().requires_grad_(False)


def _check_shapes(path: Path, spec: dict[str, Any]) -> None:
    """Raise InputError if the tensors in the header of a weights file differ from those of the network.

    Only the header is read.
    """
    from bench.skeleton import build_skeleton

    if ":" in spec["name"]:  # an external network, whose code is not run twice
        return
    network = build_skeleton(spec["name"], spec["args"])
    wanted = {name: (TYPES.get(value.dtype), list(value.shape)) for name, value in network.state_dict().items()}
    with safe_open(path, "pt") as file:
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
        found = {name: (part.get_dtype(), part.get_shape()) for name, part in slices.items()}
    different = next((name for name in sorted(wanted | found) if wanted.get(name) != found.get(name)), None)
    if different is not None:
        in_file, in_network = (_written(tensors.get(different)) for tensors in (found, wanted))
        raise InputError(
            f"{path}: does not fit {spec['name']}: {different} is {in_file} in the file, "
            f"but {in_network} in the network"
        )


def _written(tensor: tuple[str | None, list[int]] | None) -> str:
    return "missing" if tensor is None else f"{tensor[0]} {tensor[1]}"


def read_meta(folder: Path) -> dict[str, Any]:
    """Return the content of model.json of a run folder, whatever the status of the run."""
    path = Path(folder) / META
    if not path.exists():
        raise InputError(f"{path}: no such file; the folder contains no finished export")
    try:
        meta = read_json(path)
        parse_strict(ExportRecord, meta, path)
    except InputError as error:
        copy = path.with_name(META_COPY)
        remedy = f"restores it from {copy.name}" if copy.exists() else "retrains the run"
        raise InputError(f"{error}: not a valid record of a run; delete it, then `slim-bench train` {remedy}") from None
    return meta


def load_export(folder: Path) -> tuple[nn.Module, dict[str, Any]]:
    """Return the network of a finished run, in evaluation mode, and the content of its model.json.

    Raises InputError if the checksum of the weights does not match.
    """
    meta = read_meta(folder)
    if meta.get("status") != "ok":
        raise InputError(f"{Path(folder) / META}: this run has status {meta.get('status')}: {meta.get('reason')}")
    path = Path(folder) / WEIGHTS
    if not path.exists():
        raise InputError(f"{path}: no such file")
    spec = _checked_spec(path)
    if sha256_file(path) != meta.get("model_sha256"):
        raise InputError(
            f"{path}: sha256 is not {meta.get('model_sha256')} as in model.json, so the export is damaged; {RETRAIN}"
        )
    if spec != meta.get("model"):
        raise InputError(f"{Path(folder) / META}: describes a different network than {path} contains; {RETRAIN}")
    return _network_of(path, spec), meta
