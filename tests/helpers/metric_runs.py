"""Small finished runs of all three tasks, with prepared data, run description and untrained export."""

from pathlib import Path

import numpy as np

from bench.evaluate import evaluate_run
from bench.export import META, WEIGHTS, create_seeded, read_spec, save_weights
from bench.files import write_json
from bench.run import ClassificationRecipe, Compute, DataSpec, Evaluation, FewShotRecipe, ModelSpec, OneShotRecipe, Run
from bench.score import Score, read_score
from reference.prepared import write_prepared

FEWSHOT = (
    "fd_efflite0",
    "kid_efflite0",
    "precision_efflite0",
    "diversity_efflite0",
    "memorisation_efflite0",
    "params",
    "macs",
)
ONESHOT = ("ssim_reconstruction", "ssim_samples", "ms_ssim_samples", "diversity", "params", "macs")
CLASSIFICATION = ("top1", "top5", "ece", "params", "macs", "latency", "memory")


def prepare(folder: Path, task: str, arrays: dict[str, np.ndarray], classes: tuple[str, ...] | None = None) -> str:
    return write_prepared(folder, task, {f"{name}.npy": array for name, array in arrays.items()}, folder.name, classes)


def random_images(n: int, size: tuple[int, int], channels: int = 3, seed: int = 0) -> np.ndarray:
    """Return smooth random images, uint8 [n, H, W, C]."""
    random = np.random.default_rng(seed)
    coarse = random.random((n, 5, 5, channels))
    rows, columns = (np.linspace(0, 3.99, length).astype(int) for length in size)
    noise = random.random((n, *size, channels))
    return (255 * (0.8 * coarse[:, rows][:, :, columns] + 0.2 * noise)).astype(np.uint8)


def finish(root: Path, run: Run, spec: dict, data_sha256: str, seed: int = 5, **training) -> Path:
    """Write an export as a training does, with the untrained network for `seed`."""
    folder = root / "run"
    folder.mkdir(parents=True, exist_ok=True)
    sha256 = save_weights(folder / WEIGHTS, create_seeded(spec, seed), spec)
    meta = {"status": "ok", "reason": None, "run_sha256": run.hash, "data_sha256": data_sha256, "training": training}
    write_json(folder / META, meta | {"model": read_spec(folder / WEIGHTS), "model_sha256": sha256})
    return folder


def describe(
    root: Path, task: str, model: ModelSpec, metrics: tuple[str, ...], recipe, n_fake: int | None = None
) -> Run:
    return Run(
        scale="tiny",
        experiment=model.name,
        dataset="test",
        seed=3,
        task=task,
        model=model,
        data=DataSpec(path=str(root / "data")),
        recipe=recipe,
        evaluation=Evaluation(metrics=metrics, n_fake=n_fake, batch_size=8),
        compute=Compute(device="cpu", threads=1),
    )


def evaluated(run: Run, **changes) -> Run:
    """Return the run with changed evaluation keys, which need no new training."""
    return run.model_copy(update={"evaluation": run.evaluation.model_copy(update=changes)})


def evaluate(run: Run, folder: Path, out: Path | None = None) -> dict[str, Score]:
    """Evaluate the run and return its scores by file name."""
    out = out or folder / "scores"
    evaluate_run(run, folder, out)
    return {path.stem: read_score(path) for path in sorted(out.glob("*.json"))}


def fewshot(
    root: Path,
    metrics: tuple[str, ...] = FEWSHOT,
    n: int = 12,
    images: np.ndarray | None = None,
    ema_warmup: bool = True,
) -> tuple[Run, Path]:
    """Return a run on n random images, or on `images`, with its folder."""
    images = random_images(n, (64, 64)) if images is None else images
    sha256 = prepare(root / "data", "fewshot", {"images": images})
    model = ModelSpec(name="fastgan-sle", args={"image_size": 64, "base_channels": 4})
    run = describe(root, "fewshot", model, metrics, FewShotRecipe(steps=1, ema_warmup=ema_warmup), n_fake=20)
    return run, finish(root, run, model.model_dump(), sha256)


def oneshot(
    root: Path,
    size: tuple[int, int] = (48, 60),
    min_size: int = 25,
    metrics: tuple[str, ...] = ONESHOT,
    images: np.ndarray | None = None,
) -> tuple[Run, Path]:
    """Return a run on one random image of this size, or on `images`, with its folder."""
    from bench.train.oneshot.engine import load_image, model_spec

    sha256 = prepare(root / "data", "oneshot", {"images": random_images(1, size) if images is None else images})
    model, recipe = (
        ModelSpec(name="singan-slim", args={"base_channels": 4}),
        OneShotRecipe(min_size=min_size, max_size=60, n_samples=3),
    )
    run = describe(root, "oneshot", model, metrics, recipe)
    return run, finish(root, run, model_spec(run, load_image(run)), sha256)


def classification(root: Path, n_classes: int = 6, holdout: int = 0) -> tuple[Run, Path]:
    labels = np.arange(60) % n_classes
    images = random_images(60, (32, 32), channels=1)
    images[np.arange(60), labels * 5] = 255  # a bright row identifies the class
    arrays = {"train_images": images, "train_labels": labels, "test_images": images, "test_labels": labels}
    classes = tuple("abcdef"[:n_classes])
    sha256 = prepare(root / "data", "classification", arrays, classes)
    model = ModelSpec(name="resnet", args={"in_channels": 1, "num_classes": n_classes, "width": 8})
    run = describe(
        root, "classification", model, CLASSIFICATION, ClassificationRecipe(epochs=1, warmup_epochs=0, holdout=holdout)
    )
    normalise = {"mean": [0.4], "std": [0.2]}
    return run, finish(root, run, model.model_dump(), sha256, normalise=normalise, protocol="last")
