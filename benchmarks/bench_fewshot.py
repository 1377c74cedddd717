"""The few-shot step against the plain loop: 256 px, base_channels 64, batch 8, two threads, float32, side by side.

Both take the same perceptual network, VGG16 with LPIPS's shape; its weights are random where LPIPS's are not there,
which changes no operation. Steps are taken in turn and the fastest of each is compared: what else the machine does
slows single steps, never speeds one up. A second number tells how long a step waits for its data.
"""

import statistics
import tempfile
import time
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
from bench.train.fewshot import FewShot
from bench.train.perceptual import LpipsTrunk, PerceptualLoss
from benchmarks.plain_fewshot import PlainFewShot

THREADS, BATCH, REPEATS = 2, 8, 3
CHANNELS = (64, 128, 256, 512, 512)


def measure(repeats: int = REPEATS) -> dict[str, Any]:
    """Seconds a step of both loops and their ratio; waiting for data as a share of a small step."""
    threads = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    try:
        with tempfile.TemporaryDirectory() as folder:
            return {**_against_plain(Path(folder), repeats), **_waiting_for_data(Path(folder))}
    finally:
        torch.set_num_threads(threads)


def _against_plain(folder: Path, repeats: int) -> dict[str, Any]:
    torch.manual_seed(0)
    device = torch.device("cpu")
    lpips, weights = _lpips()
    plain = PlainFewShot(device, lpips)
    engine = FewShot(_run(folder / "256", 256, 64), device)
    engine.perceptual = PerceptualLoss(LpipsTrunk(lpips).to(memory_format=torch.channels_last))
    images = engine.images[:BATCH]
    seconds: dict[str, list[float]] = {"plain": [], "ours": []}
    for index in range(repeats + 1):
        seconds["plain"].append(_timed(lambda: plain.step(images)))
        seconds["ours"].append(_timed(lambda index=index: engine.step(index)))
    best = {name: min(values[1:]) for name, values in seconds.items()}
    return {
        "fewshot_plain_seconds_per_step": best["plain"],
        "fewshot_seconds_per_step": best["ours"],
        "fewshot_speedup": best["plain"] / best["ours"],
        "fewshot_speedup_wanted": 1.3,
        "fewshot_setting": f"256 px, base_channels 64, batch {BATCH}, {THREADS} threads, float32, LPIPS with {weights} "
        f"weights, fastest of {repeats} in turn",
    }


def _waiting_for_data(folder: Path, steps: int = 12) -> dict[str, Any]:
    """Median step time with real batches over that with one fixed batch, in turn, at the demo's size."""
    engine = FewShot(_run(folder / "64", 64, 16), torch.device("cpu"))
    with_data, fixed = engine._batch, engine._batch(0)
    seconds: dict[str, list[float]] = {"data": [], "fixed": []}
    for index in range(2 * steps):
        name = ("data", "fixed")[index % 2]
        engine._batch = with_data if name == "data" else lambda index: fixed
        seconds[name].append(_timed(lambda index=index: engine.step(index)))
    ratio = statistics.median(seconds["data"][1:]) / statistics.median(seconds["fixed"][1:])
    return {"fewshot_data_over_fixed_batch": ratio, "fewshot_data_over_fixed_batch_wanted": 1.05}


def _timed(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _lpips() -> tuple[Lpips, str]:
    try:
        return load_lpips(), "its own"
    except InputError:
        from torchvision.models.vgg import cfgs, make_layers

        trunk = {f"features.{key}": value for key, value in make_layers(cfgs["D"]).state_dict().items()}
        heads = {f"lin{i}.model.1.weight": torch.rand(1, n, 1, 1) for i, n in enumerate(CHANNELS)}
        return Lpips(trunk, heads), "random"


def _run(folder: Path, size: int, base_channels: int) -> Run:
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
        evaluation=Evaluation(metrics=()),
        compute=Compute(device="cpu", threads=THREADS),
    )
