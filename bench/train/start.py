"""From run.json to a finished run folder: device, threads, data hash, engine, loop, and what a failure leaves."""

import importlib
import os
import sys
from pathlib import Path

import torch

from bench.errors import InputError, RunFailedError
from bench.run import Run
from bench.train.allocator import keep_freed_memory
from bench.train.eager import spare_compiler_import
from bench.train.group import start_group, stop_group, world_size
from bench.train.loop import run_loop

ENGINES = {
    "fewshot": "bench.train.fewshot:FewShot",
    "oneshot": "bench.train.oneshot:OneShot",
    "classification": "bench.train.classify:Classification",
}


def choose_device(name: str) -> torch.device:
    """`auto` is the GPU where there is one; under torchrun each process takes the GPU of its local rank."""
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("compute.device: cuda, but torch sees no GPU here")
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


def start(run: Run, out: Path, state: Path) -> None:
    from bench.data.datasets import read_manifest

    device = choose_device(run.compute.device)
    if run.compute.threads is not None:
        torch.set_num_threads(run.compute.threads)
    manifest = read_manifest(Path(run.data.path))
    about = {"image_size": manifest.image_size, "channels": manifest.channels, "classes": manifest.classes}
    start_group(device)
    try:
        if world_size() > 1 and run.task != "classification":
            raise InputError(f"{run.name}: {run.task} runs in one process; torchrun is for classification")
        set_precision(run, device)
        if device.type == "cpu":
            keep_freed_memory()
        if not run.compute.compile:
            spare_compiler_import()
        engine = engine_class(run.task)(run, device)
        run_loop(engine, run, out, state, manifest.sha256, about)
    except RunFailedError as error:
        print(f"[{run.name}] failed: {error}", file=sys.stderr, flush=True)
    finally:
        stop_group()


def set_precision(run: Run, device: torch.device) -> None:
    """float32 means float32: no TF32 in convolutions or products unless the run says bf16."""
    if device.type == "cuda":
        allowed = run.compute.precision != "float32"
        torch.backends.cudnn.allow_tf32 = allowed
        torch.backends.cuda.matmul.allow_tf32 = allowed
        torch.backends.cudnn.benchmark = True


def engine_class(task: str) -> type:
    module, name = ENGINES[task].split(":")
    return getattr(importlib.import_module(module), name)
