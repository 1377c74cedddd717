"""The few-shot step against the plain loop: 256 px, base_channels 64, batch 8, side by side; two threads on a CPU.

Both take the same perceptual network, VGG16 with LPIPS's shape; its weights are random where LPIPS's are not there,
which changes no operation. Steps are taken in turn, and the median over the rounds of the quotient of two neighbours
is compared. float32 is always measured; bf16 only where the device multiplies it, and else the record says so;
compiled and recorded steps on a GPU. Two more numbers: a step over its floor (see benchmarks.floor), and how long a
step waits for its data.
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
from benchmarks.floor import floor_seconds
from benchmarks.plain_fewshot import PlainFewShot
from benchmarks.timing import Work, interleaved, median_ratio, target

THREADS, BATCH = 2, 8
REPEATS, WARM_UP = {"cpu": 3, "cuda": 50}, {"cpu": 1, "cuda": 40}
CPU_AT_LEAST, GPU_AT_LEAST = {"float32": 1.3, "bf16": 1.8}, {"bf16, compiled": 3.0}
WAITING = 1.05
CHANNELS = (64, 128, 256, 512, 512)


def measure(quick: bool) -> dict[str, Any]:
    """Seconds a step of both loops and their ratio; waiting for data as a share of a small step."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    threads = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    if device.type == "cpu":
        keep_freed_memory()  # as a training does; the plain loop has it too
    try:
        with tempfile.TemporaryDirectory() as folder:
            plain = _against_plain(Path(folder), device, 1 if quick else REPEATS[device.type])
            waiting = _waiting_for_data(Path(folder), device, 4 if quick else 16)
    finally:
        torch.set_num_threads(threads)
    return {**plain, **waiting, "targets": [*plain["targets"], *waiting["targets"]]}


def _against_plain(folder: Path, device: torch.device, repeats: int) -> dict[str, Any]:
    torch.manual_seed(0)
    lpips, weights = _lpips()
    lpips = lpips.to(device)
    plain = PlainFewShot(device, lpips)
    engines = {}
    for name, compute in _ways(device).items():
        engines[name] = FewShot(_run(folder / name, 256, 64, compute), device)
        engines[name].perceptual = PerceptualLoss(LpipsTrunk(lpips).to(memory_format=torch.channels_last))
    images, steps = engines["float32"].images[:BATCH], iter(range(10_000))
    works: dict[str, Work] = {"plain": lambda: plain.step(images)}
    works |= {name: lambda engine=engine: engine.step(next(steps)) for name, engine in engines.items()}
    seconds = interleaved(works, repeats, warm_up=WARM_UP[device.type])
    bounds = CPU_AT_LEAST if device.type == "cpu" else GPU_AT_LEAST
    ratios = {name: median_ratio(seconds["plain"], seconds[name]) for name in engines}
    eager = {name: engine for name, engine in engines.items() if not engine.run.compute.compile}
    floors = {name: floor_seconds(works[name]) for name in eager}
    least = {name: floors.get(name, floors.get("bf16")) for name in engines}
    over = {name: statistics.median(seconds[name]) / least[name] for name in engines}
    return {
        "setting": f"256 px, base_channels 64, batch {BATCH}, {THREADS} threads, LPIPS with {weights} weights",
        "bf16": "measured" if "bf16" in engines else "not measured: this CPU has no instructions for it",
        "step_seconds": {name: [round(value, 4) for value in values] for name, values in seconds.items()},
        "floor_seconds": {name: round(value, 4) for name, value in floors.items()},
        "targets": [
            *(target(f"plain loop over engine, {n}", ratio, at_least=bounds.get(n)) for n, ratio in ratios.items()),
            *(target(f"engine over its floor, {n}", value) for n, value in over.items()),
        ],
    }


def _ways(device: torch.device) -> dict[str, dict[str, Any]]:
    """Settings of `compute` to measure on a device."""
    ways: dict[str, dict[str, Any]] = {"float32": {}}
    if device.type == "cuda" or _has_bf16():
        ways["bf16"] = {"precision": "bf16"}
    if device.type == "cuda":
        ways["bf16, compiled"] = {"precision": "bf16", "compile": True}
        ways["bf16, compiled, recorded"] = {**ways["bf16, compiled"], "cuda_graphs": True}
    return ways


def _waiting_for_data(folder: Path, device: torch.device, repeats: int) -> dict[str, Any]:
    """Step time with real batches over that with one fixed batch, at the demo's size."""
    engine = FewShot(_run(folder / "64", 64, 16, {}), device)
    choose, batch, fixed, steps = engine._choose_images, engine._batch, engine._batch(), iter(range(1000))

    def step(choose: Callable[[int], None], batch: Callable[[], torch.Tensor]) -> None:
        engine._choose_images, engine._batch = choose, batch
        engine.step(next(steps))

    works = {"data": lambda: step(choose, batch), "fixed": lambda: step(lambda index: None, lambda: fixed)}
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


def _run(folder: Path, size: int, base_channels: int, compute: dict[str, Any]) -> Run:
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
        compute=Compute(threads=THREADS, **compute),
    )
