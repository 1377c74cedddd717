"""The few-shot step against the plain loop: 256 px, base_channels 64, batch 8, two threads, side by side.

Both take the same perceptual network, VGG16 with LPIPS's shape; its weights are random where LPIPS's are not there,
which changes no operation. Steps are taken in turn, and the median over the rounds of the quotient of two neighbours
is compared. float32 is always measured; bf16 only where the CPU multiplies it, and else the record says so. A last
number tells how long a step waits for its data.
"""

import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.data.job import content_hash
from bench.data.manifest import Manifest, write_manifest
from bench.errors import InputError
from bench.metrics.lpips import Lpips, load_lpips
from bench.run import Compute, DataSpec, Evaluation, FewShotRecipe, ModelSpec, Run
from bench.train.allocator import keep_freed_memory
from bench.train.fewshot import FewShot
from bench.train.perceptual import LpipsTrunk, PerceptualLoss
from benchmarks.plain_fewshot import PlainFewShot
from benchmarks.timing import Work, interleaved, median_ratio, target

THREADS, BATCH, REPEATS = 2, 8, 3
SPEEDUP = {"float32": 1.3, "bf16": 1.8}
WAITING = 1.05
CHANNELS = (64, 128, 256, 512, 512)


def measure(quick: bool) -> dict[str, Any]:
    """Seconds a step of both loops and their ratio; waiting for data as a share of a small step."""
    threads = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    keep_freed_memory()  # as a training does; the plain loop has it too
    try:
        with tempfile.TemporaryDirectory() as folder:
            plain = _against_plain(Path(folder), 1 if quick else REPEATS)
            waiting = _waiting_for_data(Path(folder), 4 if quick else 16)
    finally:
        torch.set_num_threads(threads)
    return {**plain, **waiting, "targets": [*plain["targets"], *waiting["targets"]]}


def _against_plain(folder: Path, repeats: int) -> dict[str, Any]:
    torch.manual_seed(0)
    device = torch.device("cpu")
    lpips, weights = _lpips()
    plain = PlainFewShot(device, lpips)
    engines = {}
    for precision in ("float32", "bf16") if _has_bf16() else ("float32",):
        engines[precision] = FewShot(_run(folder / precision, 256, 64, precision), device)
        engines[precision].perceptual = PerceptualLoss(LpipsTrunk(lpips).to(memory_format=torch.channels_last))
    images, steps = engines["float32"].images[:BATCH], iter(range(1000))
    works: dict[str, Work] = {"plain": lambda: plain.step(images)}
    works |= {name: lambda engine=engine: engine.step(next(steps)) for name, engine in engines.items()}
    seconds = interleaved(works, repeats, warm_up=1)
    rows = [
        target(
            f"plain loop over engine, {name}, CPU",
            median_ratio(seconds["plain"], seconds[name]),
            at_least=SPEEDUP[name],
        )
        for name in engines
    ]
    return {
        "setting": f"256 px, base_channels 64, batch {BATCH}, {THREADS} threads, LPIPS with {weights} weights",
        "bf16": "measured" if "bf16" in engines else "not measured: this CPU has no instructions for it",
        "step_seconds": {name: [round(value, 3) for value in values] for name, values in seconds.items()},
        "targets": rows,
    }


def _waiting_for_data(folder: Path, repeats: int) -> dict[str, Any]:
    """Step time with real batches over that with one fixed batch, at the demo's size."""
    engine = FewShot(_run(folder / "64", 64, 16, "float32"), torch.device("cpu"))
    with_data, fixed, steps = engine._batch, engine._batch(0), iter(range(1000))

    def step(batch: Callable[[int], torch.Tensor]) -> None:
        engine._batch = batch
        engine.step(next(steps))

    works = {"data": lambda: step(with_data), "fixed": lambda: step(lambda index: fixed)}
    seconds = interleaved(works, repeats)
    ratio = median_ratio(seconds["data"], seconds["fixed"])
    return {
        "demo_step_seconds": statistics.median(seconds["data"]),
        "targets": [target("step with data over step on a fixed batch", ratio, at_most=WAITING)],
    }


def _has_bf16() -> bool:
    """Whether the CPU multiplies bf16 in hardware; elsewhere it is emulated and slower than float32."""
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def _lpips() -> tuple[Lpips, str]:
    try:
        return load_lpips(), "its own"
    except InputError:
        from torchvision.models.vgg import cfgs, make_layers

        trunk = {f"features.{key}": value for key, value in make_layers(cfgs["D"]).state_dict().items()}
        heads = {f"lin{i}.model.1.weight": torch.rand(1, n, 1, 1) for i, n in enumerate(CHANNELS)}
        return Lpips(trunk, heads), "random"


def _run(folder: Path, size: int, base_channels: int, precision: str) -> Run:
    """The paper's network at 256 px, the demo's at 64, on random images."""
    folder.mkdir()
    images = np.random.default_rng(0).integers(0, 256, (32, size, size, 3), dtype=np.uint8)
    np.save(folder / "images.npy", images)
    arrays = {"images.npy": images}
    manifest = Manifest(
        name="random",
        title="random pixels",
        task="fewshot",
        kind="images",
        n=len(images),
        image_size=size,
        channels=3,
        sha256=content_hash(arrays),
        preparation={},
        licence="none",
        arrays={name: array.shape for name, array in arrays.items()},
    )
    write_manifest(folder, manifest)
    pairs = {"pairs": (64,)} if size == 64 else {}
    return Run(
        scale="bench",
        experiment="fastgan-slim",
        dataset="random",
        seed=0,
        task="fewshot",
        model=ModelSpec(name="fastgan-slim", args={"image_size": size, "base_channels": base_channels, **pairs}),
        data=DataSpec(path=str(folder), image_size=size),
        recipe=FewShotRecipe(steps=1000, batch_size=BATCH, perceptual="efflite0", decoder_scaled=size == 64),
        evaluation=Evaluation(metrics=("params",)),
        compute=Compute(device="cpu", threads=THREADS, precision=precision),
    )
