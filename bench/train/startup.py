"""Starts training: checks folders and data, sets device and precision, builds the engine and runs the loop."""

import importlib
import sys
from pathlib import Path
from typing import Any

import torch

from bench.data.images import WHITE
from bench.data.manifest import Manifest
from bench.errors import InputError, RunFailedError, first_line
from bench.metrics.catalogue import check_metrics
from bench.run import Run
from bench.runtime.compile_cache import choose_compile_cache
from bench.runtime.device import device_name, is_device_failure, open_device
from bench.runtime.memory import check_memory, is_out_of_memory, keep_freed_memory, out_of_memory_message
from bench.runtime.processes import barrier, rank, start_group, stop_group, world_size
from bench.terminal import one_line
from bench.train.eager import avoid_compiler_import
from bench.train.loop.engine import Engine
from bench.train.loop.folders import (
    check_description,
    check_out,
    check_state,
    claim_state,
    finished_record,
    release_state,
)
from bench.train.loop.loop import run_loop
from bench.train.loop.record import Data, Outcome, forget_record, restore_record, write_record
from bench.train.loop.superseded import move_aside

ENGINES = {
    "fewshot": "bench.train.fewshot.engine:FewShot",
    "oneshot": "bench.train.oneshot.engine:OneShot",
    "classification": "bench.train.classification.engine:Classification",
}


def start(run: Run, out: Path, state: Path, overwrite: bool = False) -> None:
    from bench.data.datasets import check_content, read_manifest

    check_metrics(run.evaluation.metrics, run.task, run.name, run.evaluation.n_fake)  # before training starts
    device = open_device(run.compute)
    manifest = read_manifest(run.data_folder)
    start_group(device)
    try:
        if world_size() > 1 and run.task != "classification":
            raise InputError(f"{run.name}: {run.task} supports only one process; use torchrun only for classification")
        check_state(state, out, run.data_folder)
        if not overwrite and restore_record(run, out, manifest.sha256):
            release_state(state)
            return
        check_out(out, state)
        check_description(run, out)
        check_content(run.data_folder, manifest)
        configure_torch(run, device)
        data = Data(manifest.sha256, describe_data(manifest))
        _check_batch(run, device, data)
        engine = _make_engine(run, device, (out, state), data)
        _move_finished_run(run, out, state)
        run_loop(engine, run, out, state, data)
    except RunFailedError as error:
        print(f"[{run.name}] failed: {one_line(error)}", file=sys.stderr, flush=True)
    except RuntimeError as error:
        if not is_device_failure(error):
            raise
        hint = f"the checkpoints in {state} are kept; start again, on another GPU if this one fails again"
        raise InputError(f"{run.name}: the GPU failed ({first_line(error)}); {hint}") from error
    finally:
        stop_group()


def _check_batch(run: Run, device: torch.device, data: Data) -> None:
    """Raise InputError if a batch of images (real and generated, or decoded and augmented) exceeds the free memory.

    A batch that fits only without its activations fails at the first step.
    """
    about = data.about or {}
    size, batch = about.get("image_size"), getattr(run.recipe, "batch_size", None)
    if size and batch and device.type == "cpu":
        values = batch // world_size() * about["channels"] * size**2
        check_memory(2 * 4 * values, f"{run.name}: recipe.batch_size {batch}")


def describe_data(manifest: Manifest) -> dict[str, Any]:
    """Return the fields of model.json that describe the data. A missing image_size is read from the training array."""
    shape = manifest.arrays.get("train_images.npy", (0, None))
    fields = {"kind": manifest.kind, "image_size": manifest.image_size or shape[1]}
    background = {"background": manifest.preparation.get("background", WHITE)} if manifest.kind == "folder" else {}
    return {**fields, **background, "channels": manifest.channels, "classes": manifest.classes}


def configure_torch(run: Run, device: torch.device) -> None:
    """Set this process's precision, allocator and compiler for a run. Call this before the engine is created."""
    set_precision(run, device)
    if device.type == "cpu":
        keep_freed_memory()
    if run.compute.compile:
        choose_compile_cache()
    else:
        avoid_compiler_import()


def set_precision(run: Run, device: torch.device) -> None:
    """Enable TF32 only for bf16 runs, so that float32 runs compute in true float32.

    Raises InputError if the run uses bf16 and the GPU does not support it.
    """
    if device.type == "cuda":
        if run.compute.precision == "bf16" and not torch.cuda.is_bf16_supported(including_emulation=False):
            raise InputError(
                f"{run.name}: compute.precision is bf16, which {device_name(device)} does not support; set float32"
            )
        allowed = run.compute.precision != "float32"
        torch.backends.cudnn.allow_tf32 = allowed
        torch.backends.cuda.matmul.allow_tf32 = allowed
        torch.backends.cudnn.benchmark = True


def _make_engine(run: Run, device: torch.device, folders: tuple[Path, Path], data: Data) -> Engine:
    """Return the engine of a run. Running out of memory raises InputError if checkpoints exist, else RunFailedError."""
    out, state = folders
    try:
        return engine_class(run.task)(run, device)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error) or world_size() > 1:
            raise
        reason = out_of_memory_message(error, None, device)
        if any(state.glob("step-*")):
            raise InputError(f"{run.name}: {reason}; checkpoints are kept; free memory and start again") from error
        _move_finished_run(run, out, state)
        write_record(out, run, data, Outcome(device=device.type, precision=run.compute.precision).training(), reason)
        raise RunFailedError(reason) from error


def _move_finished_run(run: Run, out: Path, state: Path) -> None:
    """Move a finished run aside. Weights of a killed export, next to checkpoints and without a record, are not moved.

    The marker file of the state folder is written first, because it shows after a kill that this folder was checked.
    """
    if rank() == 0:
        claim_state(state)
        moved_to = move_aside(run, out) if finished_record(out) or not any(state.glob("step-*")) else None
        if moved_to is not None:
            print(f"[{run.name}] the finished run in {out} was moved to {moved_to}", file=sys.stderr, flush=True)
        forget_record(out)
    barrier()


def engine_class(task: str) -> type:
    module, name = ENGINES[task].split(":")
    return getattr(importlib.import_module(module), name)
