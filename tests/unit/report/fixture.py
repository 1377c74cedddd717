"""A results tree with plainly made-up numbers, for tests of the report only."""

import json
import math
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from bench.files import sha256_json, write_json, write_text
from bench.run import training_hash

PROTOCOLS = {
    "fd_efflite0": "fd/efflite0-v1/px64/resize224-bicubic/pool1280/real100-all/fake500/ema/bn-train-b16",
    "kid_efflite0": "kid/efflite0-v1/px64/resize224-bicubic/pool1280/real100-all/fake500/ema/bn-train-b16",
    "ssim_reconstruction": "ssim/rgb/win11-sigma1.5/range1",
    "ssim_samples": "ssim/rgb/win11-sigma1.5/range1/fake8",
    "top1": "top1/px32/test2000/centre",
    "ece": "ece/bins15/test2000",
    "params": "params/all",
    "macs": "macs/px64/batch1",
}
DIRECTIONS = {"fd_efflite0": "lower", "kid_efflite0": "lower", "ece": "lower", "params": "lower", "macs": "lower"}


def described(
    scale: str, task: str, experiment: str, dataset: str, seed: int, metrics: tuple[str, ...], **args: Any
) -> dict[str, Any]:
    """A planned run, in the form of run.json as far as the report reads it."""
    return {
        "schema_version": 1, "scale": scale, "experiment": experiment, "dataset": dataset, "seed": seed, "task": task,
        "model": {"name": experiment, "args": args}, "data": {"path": f"data/prepared/{dataset}-64"},
        "evaluation": {"metrics": list(metrics)},
    }  # fmt: skip


def write_run(scale_dir: Path, run: dict[str, Any], status: str = "ok", reason: str | None = None) -> Path:
    """The run folder as training leaves it: run.json, model.json, history.csv."""
    folder = scale_dir / "runs" / run["experiment"] / run["dataset"] / f"seed{run['seed']}"
    write_json(folder / "run.json", run)
    name = run["experiment"] + run["dataset"] + str(run["seed"])
    model = {
        "status": status, "reason": reason, "run_sha256": training_hash(run), "data_sha256": sha256_json(run["dataset"]),
        "model_sha256": sha256_json(name), "model": run["model"], "commit": "c0ffee" * 6 + "abcd", "dirty": False,
        "training": {"steps": 300, "seconds": 141.5, "device": "cpu", "peak_memory_bytes": 1_300_000_000, "precision": "float32", "perceptual": "efflite0"},
        "versions": {"python": "3.11.9", "torch": "0.0"}, "code_sha256": "d" * 64, "command": "slim-bench train",
    }  # fmt: skip
    write_json(folder / "model.json", model)
    rows = ["step,seconds,loss_d,loss_g,lr"]
    rows += [
        f"{s},{s / 2},{2 * math.exp(-s / 100) + 0.1 * run['seed']},{math.sin(s / 40) + len(run['experiment']) / 10},0.0002"
        for s in range(0, 301, 10)
    ]
    write_text(folder / "history.csv", "\n".join(rows) + "\n")
    return folder


def write_score(folder: Path, metric: str, value: float | None, selection: str = "last", **changes: Any) -> None:
    run, model = (json.loads((folder / name).read_text()) for name in ("run.json", "model.json"))
    score = {
        "metric": metric, "value": value, "unit": "%" if metric in ("top1", "ece") else "", "direction": DIRECTIONS.get(metric, "higher"),
        "protocol": PROTOCOLS.get(metric, metric), "selection": selection, "status": "ok", "reason": None, "seed": run["seed"],
        "run": "x", "run_sha256": training_hash(run), "data_sha256": model["data_sha256"],
        "model_sha256": model["model_sha256"] if selection == "last" else None, "versions": {"python": "3.11.9", "torch": "0.0"},
        "code_sha256": "e" * 64, "details": {}, "device": "cpu", "seconds": 3.0,
    } | changes  # fmt: skip
    suffix = "" if selection == "last" else f"@{selection}"
    write_json(folder / "scores" / f"{metric}{suffix}.json", score)


def picture(path: Path, size: tuple[int, int], hue: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", size, (hue % 256, 120, 200 - hue % 200))
    ImageDraw.Draw(image).ellipse(
        (size[0] // 5, size[1] // 5, size[0] * 4 // 5, size[1] * 4 // 5), fill=(250, 210, hue * 7 % 256)
    )
    image.save(path)


def make_results(root: Path, scale: str = "demo", seeds: int = 2) -> tuple[Path, list[dict[str, Any]]]:
    """results/{scale} with all three tasks, an ablation, one failed run and one that has not begun; and its plan."""
    scale_dir, plan = root / "results" / scale, []
    for seed in range(seeds):
        plan += (
            _few_shot(scale_dir, scale, seed)
            + _one_shot(scale_dir, scale, seed)
            + _classification(scale_dir, scale, seed)
        )
    broken = described(scale, "fewshot", "fastgan-sle-residual", "fluent-emoji-100", 0, ("fd_efflite0",))
    write_run(scale_dir, broken, "failed", "not finite after 3 rollbacks: loss_d at step 120")
    absent = described(scale, "oneshot", "singan-noresidual", "photo-astronaut", 0, ("ssim_samples",))
    return scale_dir, [*plan, broken, absent]


def _few_shot(scale_dir: Path, scale: str, seed: int) -> list[dict[str, Any]]:
    values = {
        "fastgan-sle": 300.0,
        "fastgan-slim-4to64": 290.0,
        "fastgan-slim-4to64-g1": 310.0,
        "fastgan-slim-4to64-g2": 300.0,
        "fastgan-slim-4to64-g8": 288.0,
    }
    plan = []
    for experiment, value in values.items():
        groups = {"groups": int(experiment[-1])} if experiment[-2:-1] == "g" else {}
        metrics = ("fd_efflite0", "kid_efflite0", "params", "macs")
        run = described(scale, "fewshot", experiment, "fluent-emoji-100", seed, metrics, **groups)
        run["model"]["name"] = "fastgan-slim" if "slim" in experiment else experiment
        folder = write_run(scale_dir, run)
        curve = {str(n): value + 4000 / n + seed for n in (50, 100, 250, 500)}
        write_score(folder, "fd_efflite0", value + 3.3 * seed, details={"curve": curve})
        write_score(folder, "fd_efflite0", value - 2, "best", protocol=PROTOCOLS["fd_efflite0"])
        write_score(folder, "fd_efflite0", 390.0 + seed, "untrained")
        write_score(folder, "fd_efflite0", 281.0, "control-white")
        write_score(
            folder,
            "fd_efflite0",
            53.0,
            "control-halves",
            protocol="fd/efflite0-v1/px64/resize224-bicubic/pool1280/real50-half/fake50",
        )
        write_score(folder, "kid_efflite0", value / 1000 - 0.01 * seed, standard_error=0.002)
        write_score(folder, "params", 2_000_000 + 1000 * len(experiment))
        write_score(folder, "macs", 150_000_000 + 100_000 * len(experiment))
        for index, name in enumerate(("step-0000000", "step-0000150", "step-0000300")):
            picture(folder / "samples" / f"{name}.png", (512, 64), 40 * index + seed)
        picture(folder / "samples" / "grid.png", (512, 512), int(value))
        picture(folder / "samples" / "real.png", (512, 512), 11)
        picture(folder / "scores" / "neighbours.png", (526, 130), int(value))
        plan.append(run)
    return plan


def _one_shot(scale_dir: Path, scale: str, seed: int) -> list[dict[str, Any]]:
    plan = []
    for experiment in ("singan", "singan-slim"):
        run = described(scale, "oneshot", experiment, "photo-astronaut", seed, ("ssim_reconstruction", "ssim_samples"))
        folder = write_run(scale_dir, run)
        write_score(folder, "ssim_reconstruction", 0.8 + 0.01 * seed + 0.02 * ("slim" in experiment))
        write_score(folder, "ssim_reconstruction", 0.61, "control-bicubic")
        write_score(folder, "ssim_samples", 0.4 + 0.01 * seed)
        for index, name in enumerate(["training", "bicubic", "reconstruction", *(f"sample_{i:03d}" for i in range(6))]):
            picture(folder / "samples" / f"{name}.png", (128, 96), 30 * index + seed)
        plan.append(run)
    return plan


def _classification(scale_dir: Path, scale: str, seed: int) -> list[dict[str, Any]]:
    plan = []
    for experiment, value in {"resnet14-w16": 87.0, "resnext14-w16": 87.5, "resnet14-slim-w16": 88.0}.items():
        run = described(
            scale, "classification", experiment, "fashion-mnist", seed, ("top1", "top5", "ece", "params", "macs")
        )
        folder = write_run(scale_dir, run)
        write_score(folder, "top1", value + 0.4 * seed)
        write_score(folder, "top1", 81.2, "control-linear")
        bins = [[100, (i + 0.5) / 10, min(1.0, (i + 0.3) / 10 + 0.02 * seed)] for i in range(10)]
        write_score(folder, "ece", 3.0 + seed, details={"bins": bins})
        write_score(folder, "params", 100_000 + 9000 * len(experiment))
        write_score(folder, "macs", 9_000_000 - 200_000 * len(experiment))
        plan.append(run)
    return plan
