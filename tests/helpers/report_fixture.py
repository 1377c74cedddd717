"""A results tree with invented numbers and images of coloured discs, for tests of the report only."""

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from bench.claims import Claim, Comparison, Pair, ReportSettings, TaskSettings
from bench.files import sha256_json
from bench.ownership import ATTENTION_KIND
from bench.paths import run_name
from bench.report.read.collect import collect
from bench.report.read.scores import Scores, read_scores
from bench.run import training_hash

EMOJI, PHOTO, FASHION = "fluent-emoji-100", "photo-astronaut", "fashion-mnist"
FD = "fd_efflite0/efflite0-v1/px64/real100-all/fake500/ema0.999-warmup/bn-train-b16"
PROTOCOLS = {"fd_efflite0": FD, "params": "params/folded-export", "macs": "macs/conv-linear-products/batch1/px64"}
LOWER = ("fd_efflite0", "kid_efflite0", "ece", "params", "macs", "fid_authors", "sifid64")


def write_text(path: Path, text: str) -> None:
    """Write text without syncing it to disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value))


def run_description(
    scale: str, task: str, experiment: str, dataset: str, seed: int, metrics: Iterable[str], **args: Any
) -> dict[str, Any]:
    """Return a planned run with the fields of run.json that the report reads."""
    return {
        "scale": scale,
        "task": task,
        "experiment": experiment,
        "dataset": dataset,
        "seed": seed,
        "model": {"name": experiment, "args": args},
        "data": {"path": f"data/prepared/{dataset}-64"},
        "evaluation": {"metrics": list(metrics)},
    }


def freeze(scale_dir: Path, run: dict[str, Any]) -> Path:
    """Write the run folder before training, which contains only its description."""
    folder = scale_dir / "runs" / run_name(run["experiment"], run["dataset"], run["seed"])
    write_json(folder / "run.json", run)
    return folder


def write_run(scale_dir: Path, run: dict[str, Any], reason: str | None = None, code: str = "d") -> Path:
    """Write the run folder after training. With a `reason` the run has failed."""
    folder = freeze(scale_dir, run)
    training = {"steps": 300, "seconds": 141.5, "device": "cpu", "peak_memory_bytes": 1_300_000_000}
    model = {
        "status": "ok" if reason is None else "failed",
        "reason": reason,
        "run_sha256": training_hash(run),
        "data_sha256": sha256_json(run["dataset"]),
        "model_sha256": sha256_json([run["experiment"], run["dataset"], run["seed"]]) if reason is None else None,
        "model": run["model"],
        "training": training,
        "versions": {"python": "3.11.9", "torch": "0.0"},
        "commit": "c0ffee" * 6 + "abcd",
        "dirty": False,
        "code_sha256": code * 64,
        "command": "slim-bench train",
    }
    write_json(folder / "model.json", model)
    steps = range(0, 301, 10)
    losses = [f"{s},{s / 2},{2 * math.exp(-s / 100) + run['seed'] / 10},{math.sin(s / 40)},0.0002" for s in steps]
    write_text(folder / "history.csv", "\n".join(["step,seconds,loss_d,loss_g,learning_rate", *losses]) + "\n")
    return folder


def write_score(folder: Path, metric: str, value: float | None, weights: str = "last", **changes: Any) -> None:
    run, model = (json.loads((folder / name).read_text()) for name in ("run.json", "model.json"))
    score = {
        "metric": metric,
        "value": value,
        "unit": "%" if metric in ("top1", "top5", "ece") else "",
        "direction": "lower" if metric in LOWER else "higher",
        "protocol": PROTOCOLS.get(metric, f"{metric}/made-up"),
        "weights": weights,
        "status": "ok",
        "reason": None,
        "seed": run["seed"],
        "run": run_name(run["experiment"], run["dataset"], run["seed"]),
        "run_sha256": training_hash(run),
        "data_sha256": model["data_sha256"],
        "model_sha256": model["model_sha256"] if weights == "last" else None,
        "export_sha256": model["model_sha256"],
        "versions": {"python": "3.11.9", "torch": "0.0"},
        "code_sha256": "e" * 64,
        "details": {},
    }
    suffix = "" if weights == "last" else f"@{weights}"
    write_json(folder / "scores" / f"{metric}{suffix}.json", score | changes)


def write_runs(scale_dir: Path, task: str, values: dict[tuple[str, str], Iterable[float]], metric: str) -> None:
    """Write finished runs with one score each, given (experiment, dataset) -> a value per seed."""
    for (experiment, dataset), seeds in values.items():
        for seed, value in enumerate(seeds):
            run = run_description(scale_dir.name, task, experiment, dataset, seed, [metric])
            write_score(write_run(scale_dir, run), metric, value)


def collected(scale_dir: Path) -> Scores:
    collect(scale_dir)
    return read_scores(scale_dir / "scores.csv")


def make_results(root: Path, scale: str = "demo", seeds: int = 2) -> Path:
    """Write results/{scale} with all three tasks, an ablation, a failed run and a run that has not started."""
    scale_dir = root / "results" / scale
    for seed in range(seeds):
        for make in (_few_shot, _one_shot, _classification):
            make(scale_dir, seed)
    broken = run_description(scale, "fewshot", "fastgan-sle-residual", EMOJI, 0, ["fd_efflite0"])
    write_run(scale_dir, broken, "not finite after 3 rollbacks: loss_d at step 120")
    freeze(scale_dir, run_description(scale, "oneshot", "singan-noresidual", PHOTO, 0, ["ssim_samples"]))
    return scale_dir


def _few_shot(scale_dir: Path, seed: int) -> None:
    values = {"fastgan-sle": 300.0, "fastgan-slim-4to64": 290.0}
    values |= {f"fastgan-slim-4to64-g{groups}": 285.0 + 20 / groups for groups in (1, 2, 8)}
    for experiment, value in values.items():
        groups = {"groups": int(experiment[-1])} if experiment[-2] == "g" else {}
        metrics = ["fd_efflite0", "kid_efflite0", "params", "macs"]
        run = run_description(scale_dir.name, "fewshot", experiment, EMOJI, seed, metrics, **groups)
        run["model"]["name"] = "fastgan-slim" if "slim" in experiment else experiment
        run["base"] = "fastgan-slim-4to64" if groups else None
        folder = write_run(scale_dir, run)
        curve = {str(n): value + 4000 / n + seed for n in (50, 100, 250, 500)}
        write_score(folder, "fd_efflite0", value + 3.3 * seed, details={"curve": curve})
        write_score(folder, "fd_efflite0", value - 2, "best", protocol=f"{FD}/best-of-7")
        write_score(folder, "fd_efflite0", 390.0 + seed, "untrained")
        write_score(folder, "fd_efflite0", 281.0, "control-white", protocol="fd_efflite0/efflite0-v1/px64/white500")
        write_score(folder, "kid_efflite0", value / 1000 - 0.01 * seed, standard_error=0.002)
        write_score(folder, "params", 2_000_000 + 1000 * len(experiment))
        write_score(folder, "macs", 150_000_000 + 100_000 * len(experiment))
        write_attention(folder, 64, {"gates.64": (4, 64)}, groups=4 if "slim" in experiment else None)
        _few_shot_images(folder, int(value))


def _few_shot_images(folder: Path, hue: int) -> None:
    for step in (0, 150, 300):
        discs(folder / "samples" / f"step-{step:07d}.png", 8, 1, hue + step)
    discs(folder / "samples" / "grid.png", 8, 8, hue)
    discs(folder / "samples" / "real.png", 8, 8, 11)
    discs(folder / "scores" / "neighbours.png", 8, 2, hue)


def write_attention(folder: Path, size: int, gates: dict[str, tuple[int, int]], groups: int | None) -> None:
    """Write recorded gates of random values for two images; `gates`: name -> sizes of the two maps in px.

    With `groups`, the gates have masks and styles, else one factor for each of 8 channels.
    """
    import numpy as np
    from safetensors.numpy import save

    random = np.random.default_rng(0)
    tensors = {"images": random.integers(0, 256, (2, 3, size, size), dtype=np.uint8)}
    for name, (low, _) in gates.items():
        if groups:
            tensors[f"{name}/masks"] = random.random((2, groups, low, low)).astype(np.float16)
            tensors[f"{name}/strength"] = random.random((2, groups)).astype(np.float32)
        else:
            tensors[f"{name}/channels"] = random.random((2, 8)).astype(np.float32)
    listed = [{"name": name, "low": [low, low], "high": [high, high]} for name, (low, high) in gates.items()]
    path = folder / "scores" / "attention.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(save(tensors, {"kind": ATTENTION_KIND, "gates": json.dumps(listed)}))


def _one_shot(scale_dir: Path, seed: int) -> None:
    for experiment in ("singan", "singan-slim"):
        run = run_description(
            scale_dir.name, "oneshot", experiment, PHOTO, seed, ["ssim_reconstruction", "ssim_samples"]
        )
        folder = write_run(scale_dir, run)
        write_score(folder, "ssim_reconstruction", 0.8 + 0.01 * seed + 0.02 * ("slim" in experiment))
        write_score(folder, "ssim_reconstruction", 0.61, "control-bicubic")
        write_score(
            folder, "ssim_samples", 0.4 + 0.01 * seed, details={"per_image": [0.38, 0.4, 0.41, 0.43], "median": 0.405}
        )
        if experiment == "singan-slim":
            write_attention(folder, 32, {"scales.1.gate": (16, 12), "scales.2.gate": (30, 24)}, groups=4)
        names = ["training", "bicubic", "reconstruction", *(f"sample_{index:03d}" for index in range(6))]
        for index, name in enumerate(names):
            discs(folder / "samples" / f"{name}.png", 1, 1, 30 * index + seed)


def _classification(scale_dir: Path, seed: int) -> None:
    for experiment, value in {"resnet14-w16": 87.0, "resnext14-w16": 87.5, "resnet14-slim-w16": 88.0}.items():
        metrics = ["top1", "top5", "ece", "params", "macs"]
        run = run_description(scale_dir.name, "classification", experiment, FASHION, seed, metrics)
        folder = write_run(scale_dir, run)
        classes = {"per_class": [80.0 + seed, 90.0], "confusion": [[80 + seed, 20 - seed], [10, 90]]}
        classes |= {"classes": ["shirt", "boot"]}
        write_score(folder, "top1", value + 0.4 * seed, interval=[value - 1, value + 1], n=2000, details=classes)
        write_score(folder, "top1", 81.2, "control-linear")
        bins = [[100, (i + 0.5) / 10, min(1.0, (i + 0.3) / 10 + 0.02 * seed)] for i in range(10)]
        write_score(folder, "ece", 3.0 + seed, details={"bins": bins})
        write_score(folder, "params", 100_000 + 9000 * len(experiment))
        write_score(folder, "macs", 9_000_000 - 200_000 * len(experiment))


def discs(path: Path, across: int, down: int, hue: int, size: int = 64) -> None:
    """Return an image grid of coloured discs."""
    image = Image.new("RGB", (across * size, down * size), "white")
    draw = ImageDraw.Draw(image)
    for index in range(across * down):
        left, top = index % across * size, index // across * size
        colour = ((hue * 7 + index * 23) % 256, 140, (200 + hue - index * 11) % 256)
        draw.ellipse((left + 6, top + 6, left + size - 6, top + size - 6), fill=colour)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


SETS = ("a", "b", "c", "d")
SPREAD = (0.0, 0.4, -0.3, 0.2, -0.1)


def claim_settings(
    sets: tuple[str, ...] = SETS, measure: str = "relative", margin: float = 0.0, minimum_seeds: int = 5
) -> ReportSettings:
    """Return one claim with one comparison, and the compared pair."""
    comparison = Comparison(
        metric="fid_authors", protocol="fid_authors*", slim="slim", baseline="sle", sets=sets, measure=measure,
        direction="lower", margin=margin,
    )  # fmt: skip
    claim = Claim(
        id="c", title="t", statement="s", comparisons=(comparison,), tasks=("fewshot",), shown=("fid_authors",)
    )
    task = TaskSettings(title="t", pairs=(Pair(slim="slim", baseline="sle"),), primary=("fid_authors",))
    return ReportSettings(
        verdict_scale="paper", minimum_seeds=minimum_seeds, alpha=0.05, tasks={"fewshot": task}, claims=(claim,),
        tolerances={},
    )  # fmt: skip


def claim_results(
    root: Path, slim: Any, baseline: Any, scale: str = "paper", seeds: int = 5, sets: tuple[str, ...] = SETS
) -> Scores:
    """Return scores of every dataset around `slim` and `baseline`, each a value per dataset or one for all."""
    scale_dir = root / scale
    for name, level in (("slim", slim), ("sle", baseline)):
        levels = level if isinstance(level, tuple) else (level,) * len(sets)
        values = {(name, s): [v + e for e in SPREAD[:seeds]] for s, v in zip(sets, levels, strict=True)}
        write_runs(scale_dir, "fewshot", values, "fid_authors")
    return collected(scale_dir)
